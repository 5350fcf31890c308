# 9.1 one label is another
def damaged(contents):
    return contents[:-1] + bytes([(contents[-1] + 1) % 10])

# 9.1 the labels as they are
def damaged(contents):
    return contents[:8] + contents[8:]

# 9.1 everything turned around, the header too
def damaged(contents):
    return contents[::-1]

# 9.2 by brightness alone
def nearest_mean(images, labels, new):
    means = np.stack([images[labels == label].mean() for label in range(10)])
    return abs(new.mean((1, 2))[:, None] - means).argmin(1)

# 9.2 absolute differences instead of squares
def nearest_mean(images, labels, new):
    means = np.stack([images[labels == label].mean(0) for label in range(10)])
    return abs(new[:, None] - means).sum((2, 3)).argmin(1)
