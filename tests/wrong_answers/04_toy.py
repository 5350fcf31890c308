# 4.1 the share that is kept
lost_share = 100 / 400

# 4.2 of one coordinate
off_plane = 0.05 / math.e

# 4.3 without the blur
def noise_of(path, x_hat, z, t):
    return (z - t * x_hat) / (1 - t)
