# 0.1 forgot that the variance is 2τ
t_of_three_pixels = math.exp(-9)

# 0.2 squared instead of rooted
t_at_double_strength = 0.25 ** 2

# 0.3 the row's eigenvalues on the ring's modes
def ring_heat(x, tau):
    n = len(x)
    lam = 4 * torch.sin(math.pi * torch.fft.rfftfreq(n, 1 / n).double() / (2 * n)) ** 2
    return torch.fft.irfft(torch.exp(-lam * tau) * torch.fft.rfft(x), n)
