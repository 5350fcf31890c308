# 36.1 the heat time of b is b squared over two
def strength_for(b, t):
    return b**2 / math.log(1 / t)

# 36.1 the width instead of its square
def strength_for(b, t):
    return b / (2 * math.log(1 / t))

# 36.2 blurs do not add
def total_blur(b1, b2):
    return b1 + b2

# 36.2 the stronger one alone
def total_blur(b1, b2):
    return max(b1, b2)

# 36.3 overlapping tiles, the last one wins
def patchwork(f, image, size):
    out = torch.zeros_like(image)
    for y in range(0, image.shape[-2] - size + 1, size // 2):
        for x in range(0, image.shape[-1] - size + 1, size // 2):
            out[..., y:y + size, x:x + size] = f(image[..., y:y + size, x:x + size])
    return out

# 36.3 a plain mean still has edges
def patchwork(f, image, size):
    out = torch.zeros_like(image)
    weight = torch.zeros_like(image)
    for y in range(0, image.shape[-2] - size + 1, size // 2):
        for x in range(0, image.shape[-1] - size + 1, size // 2):
            place = (..., slice(y, y + size), slice(x, x + size))
            out[place] += f(image[place])
            weight[place] += 1
    return out / weight

# 36.3 faded, but not divided by the weights
def patchwork(f, image, size):
    fade = torch.hann_window(size + 2, periodic=False, dtype=image.dtype)[1:-1]
    out = torch.zeros_like(image)
    for y in range(0, image.shape[-2] - size + 1, size // 2):
        for x in range(0, image.shape[-1] - size + 1, size // 2):
            place = (..., slice(y, y + size), slice(x, x + size))
            out[place] += fade[:, None] * fade * f(image[place])
    return out
