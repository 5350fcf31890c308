# 34.1 one step too many
def jump_grid(steps, last_time):
    return [last_time * i / steps for i in range(steps + 1)] + [1.0]

# 34.1 without a jump the last step has no length
def jump_grid(steps, last_time):
    return [last_time * i / (steps - 1) for i in range(steps)] + [1.0]

# 34.1 equal steps, with the one before the last moved
def jump_grid(steps, last_time):
    ts = [i / steps for i in range(steps + 1)]
    return ts[:-2] + [min(last_time, ts[-2]), 1.0]

# 34.2 wrong at all times
def spoiled(exact):
    return lambda z, t: exact(z, t) + 1.0

# 34.2 wrong early
def spoiled(exact):
    return lambda z, t: exact(z, t) + (1.0 if t < 0.5 else 0.0)

# 34.2 wrong late, but not systematically: too small by one part in a hundred
def spoiled(exact):
    return lambda z, t: exact(z, t) * (0.99 if t > 0.95 else 1.0)
