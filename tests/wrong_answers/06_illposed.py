# 6.1
t_lost = 6e-8 * (2 * math.pi ** 2)

# 6.2
magnification = 0.5 / 0.02

# 6.3 forgets the part that depends on z directly
def velocity_bound(path, L, t):
    z = torch.zeros(1, *path.operator.shape, dtype=torch.float64)
    return path.weight(z, t).max().item() * L
