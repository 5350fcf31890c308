# 15.1 rounding, but little of it
three = (0.1, 0.2, 0.3)

# 15.1 too small to lose a 1
three = (1e6, -1e6, 1)

# 15.2 as it was
def accumulate(network, x, y, most):
    for part in torch.arange(len(x)).split(most):
        (network(x[part]) - y[part]).square().mean().backward()

# 15.2 the mean of the means
def accumulate(network, x, y, most):
    parts = torch.arange(len(x)).split(most)
    for part in parts:
        ((network(x[part]) - y[part]).square().mean() / len(parts)).backward()

# 15.2 the last part left out
def accumulate(network, x, y, most):
    for start in range(0, len(x) - most + 1, most):
        part = slice(start, start + most)
        ((network(x[part]) - y[part]).square().mean() * most / len(x)).backward()
