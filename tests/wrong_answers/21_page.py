# 21.1 a script, which is escaped
name = "<script>alert(1)</script>"

# 21.1 the other kind of quotes
name = 'x" onclick="alert(1)'

# 21.2 the mean, which the hour misleads
def time_left(rows, steps):
    first = rows[0]
    last = rows[-1]
    pace = (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])
    return pace * (steps - last["step"])

# 21.2 the last gap only, in which the laptop may have slept
def time_left(rows, steps):
    before, last = rows[-2:]
    pace = (last["seconds"] - before["seconds"]) / (last["step"] - before["step"])
    return pace * (steps - last["step"])

# 21.2 the median of the seconds and not of the paces
def time_left(rows, steps):
    gaps = sorted(b["seconds"] - a["seconds"] for a, b in zip(rows, rows[1:]))
    return gaps[len(gaps) // 2] * (steps - rows[-1]["step"])
