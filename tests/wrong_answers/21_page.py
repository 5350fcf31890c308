# 21.1 the mean, which the hour misleads
def time_left(rows, steps):
    first = rows[0]
    last = rows[-1]
    pace = (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])
    return pace * (steps - last["step"])

# 21.1 the slowest gap
def time_left(rows, steps):
    pairs = zip(rows, rows[1:])
    pace = max((b["seconds"] - a["seconds"]) / (b["step"] - a["step"]) for a, b in pairs)
    return pace * (steps - rows[-1]["step"])

# 21.2 as it was
def listed(names):
    items = "".join(f'<li><a href="{name}/index.html">{name}</a></li>' for name in names)
    return f"<ul>{items}</ul>"

# 21.2 escaped, and the address too
def listed(names):
    links = (tag("a", escape(name), href=f"{name}/index.html") for name in names)
    return tag("ul", "".join(tag("li", link) for link in links))

# 21.2 quoted everywhere
def listed(names):
    links = (tag("a", quote(name), href=f"{quote(name)}/index.html") for name in names)
    return tag("ul", "".join(tag("li", link) for link in links))
