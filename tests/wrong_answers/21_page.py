# 21.1 the mean, which the hour misleads
def time_left(rows, steps):
    first = rows[0]
    last = rows[-1]
    pace = (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])
    return pace * (steps - last["step"])
