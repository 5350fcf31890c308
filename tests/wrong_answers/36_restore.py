# 36.1 the heat time of b is b squared over two
blur_strength = 2.5 ** 2 / math.log(1 / 0.8)

# 36.2 blurs do not add
def total_blur(b1, b2):
    return b1 + b2
