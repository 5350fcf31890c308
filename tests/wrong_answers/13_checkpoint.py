# 13.1 twice the same
six = torch.arange(6.0)
twins = ({"w": six.reshape(2, 3)}, {"w": six.clone().reshape(2, 3)})

# 13.1 other numbers
twins = ({"w": torch.arange(6.0)}, {"w": torch.arange(1, 7.0)})

# 13.2 over the old file
def save(path, data):
    path.write_bytes(data)

# 13.2 as it was
def save(path, data):
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    path.unlink(missing_ok=True)
    partial.rename(path)

# 13.2 the old one out of the way first
def save(path, data):
    os.replace(path, path.with_suffix(".old"))
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    os.replace(partial, path)
