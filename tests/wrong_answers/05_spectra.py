# 5.1 all modes over the low ones
start = 9

# 5.1 the share of one axis
start = 2

# 5.2 forgot the factor 1 + rλ
def turning_time(lam, X, E, r):
    return (E / X) ** (1 / (r * lam))

# 5.2 forgot the blur strength
def turning_time(lam, X, E, r):
    return (E / ((1 + lam) * X)) ** (1 / lam)

# 5.2 where the mode is half way by its own clock
def turning_time(lam, X, E, r):
    times = torch.linspace(0, 1, 100_001)
    return times[(times ** (1 + r * lam) - (1 - times)).abs().argmin()].item()

# 5.3 the paper's
def find_blur_strength(states, times, S):
    return 1.0

# 5.3 only the last time, and no noise
def find_blur_strength(states, times, S):
    energy = dct(states[-1]).square().mean(0)[-1, -1]
    lam = HeatProbPath(tuple(S.shape)).operator.eigenvalues(S)[-1, -1]
    return ((energy / S[-1, -1]).log() / (2 * lam * times[-1].log())).item()

# 5.3 the ratio of the clean spectrum with blur, without noise
def find_blur_strength(states, times, S):
    measured = torch.stack([frequency_ratio(z) for z in states])
    def mismatch(r):
        expected = expected_ratio(S, BlurProbPath(tuple(S.shape), r), times)
        return (measured / expected).log().square().sum().item()
    return min((i / 100 for i in range(1, 301)), key=mismatch)
