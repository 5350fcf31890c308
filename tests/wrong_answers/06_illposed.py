# 6.1 the finest mode alone
def longest_blur(bits, n):
    rounding = 2 / (2**bits - 1) / math.sqrt(12)
    return math.log(0.1 / rounding) / laplacian_eigenvalues((n, n)).max().item()

# 6.1 the step for the rounding error
def longest_blur(bits, n):
    lam = laplacian_eigenvalues((n, n), dtype=torch.float64)
    taus = torch.linspace(0, 2, 20_001, dtype=torch.float64)
    errors = [2 / (2**bits - 1) * torch.exp(2 * lam * tau).mean().sqrt().item() for tau in taus[::20]]
    return taus[::20][[error < 0.1 for error in errors].count(True)].item()

# 6.2 divides everything
def sharpen(path, variance, z, t):
    a, s = path.clocks(t, z)
    return idct(dct(z, 1) / a, 1)

# 6.2 divides by nothing small
def sharpen(path, variance, z, t):
    a, s = path.clocks(t, z)
    return idct(dct(z, 1) / a.clamp(min=0.1), 1)

# 6.2 undoes the scale only
def sharpen(path, variance, z, t):
    return z / t

# 6.3 forgets the part that depends on z directly
def velocity_bound(path, L, t):
    z = torch.zeros(1, *path.operator.shape, dtype=torch.float64)
    return path.weight(z, t).max().item() * L

# 6.3 the bound for all times
def velocity_bound(path, L, t):
    return (1 / path.t_eps + path.blur_strength * 2 * math.pi**2) * L + 1 / path.t_eps
