# 9.1 one row of each
length = 16 + 10_000 * 28

# 9.2 by brightness alone
def nearest_mean(images, labels, new):
    means = np.stack([images[labels == label].mean() for label in range(10)])
    return abs(new.mean((1, 2))[:, None] - means).argmin(1)
