# 16.1 noise first
def cosine_clocks(t):
    return torch.cos(math.pi * t / 2), torch.sin(math.pi * t / 2)

# 16.1 roots instead of a circle
def cosine_clocks(t):
    return torch.sqrt(t), torch.sqrt(1 - t)

# 16.2 as it was
def signal(t, j, n):
    begin = j / n
    end = (j + 1) / n
    if t < begin: return 0.0
    if t < end: return (t - begin) / (end - begin)
    return t

# 16.2 whichever is smaller
def signal(t, j, n):
    return min(t, max(0.0, n * (t - j / n)))

# 16.2 LapFlow's clock
def signal(t, j, n):
    return max(0.0, (t - j / n) / (1 - j / n))

# 16.3 all of the time for the finest
def late_clocks(t, lam):
    begin = lam / lam.max() * 0.9
    return ((t - begin) / (1 - begin)).clamp(min=0), 1 - t

# 16.3 negative before its time
def late_clocks(t, lam):
    begin = lam / lam.max() / 2
    return (t - begin) / (1 - begin), 1 - t

# 16.3 does not reach 1
def late_clocks(t, lam):
    begin = lam / lam.max() / 2
    return (t - begin).clamp(min=0), 1 - t
