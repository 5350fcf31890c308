# 2.1 z / t
guess = 2.0

# 2.1 the signal's share of z
guess = 0.5

# 2.2 one direction only
def divergence(t, D, r):
    return -1 / (1 - t)

# 2.2 the Laplacian counted as if it were taken of z
def divergence(t, D, r):
    lam = (math.pi * torch.arange(D) / D) ** 2
    return (-D / (1 - t) + (r * lam * t).sum()).item()

# 2.2 at one time only
def divergence(t, D, r):
    return -4.0 * D

# 2.3 no noise scale
def score(path, x_hat, z, t):
    return (t * path.operator(x_hat, t) - z) / (1 - t) ** 2

# 2.3 the blur left out
def score(path, x_hat, z, t):
    return (t * x_hat - z) / ((1 - t) * path.noise_scale) ** 2

# 2.3 the deviation, not the variance
def score(path, x_hat, z, t):
    return (t * path.operator(x_hat, t) - z) / ((1 - t) * path.noise_scale)
