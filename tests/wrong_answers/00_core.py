# 0.1 forgot that the variance is 2τ
def time_of_blur(pixels, r):
    return math.exp(-pixels**2 / r)

# 0.1 the strength multiplies instead of dividing; right at r = 1
def time_of_blur(pixels, r):
    return math.exp(-r * pixels**2 / 2)

# 0.1 the deviation taken for the variance
def time_of_blur(pixels, r):
    return math.exp(-pixels / 2 / r)

# 0.2 squared instead of rooted
def time_at_other_strength(t, r, other):
    return t ** (other / r)

# 0.2 right for one pair of strengths only
def time_at_other_strength(t, r, other):
    return t ** 0.5

# 0.3 the row's eigenvalues on the ring's modes
def ring_heat(x, tau):
    n = len(x)
    lam = 4 * torch.sin(math.pi * torch.fft.rfftfreq(n, 1 / n).double() / (2 * n)) ** 2
    return torch.fft.irfft(torch.exp(-lam * tau) * torch.fft.rfft(x), n)

# 0.3 fails for every odd n
def ring_heat(x, tau):
    n = len(x)
    lam = 4 * torch.sin(math.pi * torch.arange(n // 2 + 1).double() / n) ** 2
    return torch.fft.irfft(torch.exp(-lam * tau) * torch.fft.rfft(x))

# 0.3 fails for every even n: the mode that alternates is left out
def ring_heat(x, tau):
    n = len(x)
    modes = torch.fft.rfft(x)
    lam = 4 * torch.sin(math.pi * torch.arange(len(modes)).double() / n) ** 2
    kept = torch.exp(-lam * tau)
    kept[(n + 1) // 2:] = 0
    return torch.fft.irfft(kept * modes, n)

# 0.3 the spectrum of the continuous ring
def ring_heat(x, tau):
    n = len(x)
    lam = (2 * math.pi * torch.arange(n // 2 + 1).double() / n) ** 2
    return torch.fft.irfft(torch.exp(-lam * tau) * torch.fft.rfft(x), n)
