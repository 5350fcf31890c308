# 2.1 z / t
guess = 2.0

# 2.2 no noise scale
def score(path, x_hat, z, t):
    return (t * path.operator(x_hat, t) - z) / (1 - t) ** 2

# 2.3 one direction only
divergence = -1 / (1 - 0.75)
