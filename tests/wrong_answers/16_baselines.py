# 16.1 the middle of the scale's own time
equal_time = 3 / 4

# 16.2 noise first
def cosine_clocks(t):
    return torch.cos(math.pi * t / 2), torch.sin(math.pi * t / 2)
