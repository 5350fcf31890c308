# 14.1 too many ideas
def monotonous(data):
    which = torch.cat([(data.labels == digit).nonzero()[:20, 0] for digit in range(10)])
    return data.images[which], data.labels[which]

# 14.1 means, which are no real digits
def monotonous(data):
    labels = torch.arange(10).repeat_interleave(20)
    means = torch.stack([data.images[data.labels == digit].mean(0) for digit in range(10)])
    return means[labels] * 4, labels

# 14.1 one class
def monotonous(data):
    return data.images[:1].expand(200, -1, -1, -1), data.labels[:1].expand(200)

# 14.2 as it was
def discrepancy(a, b):
    def alike(x, y): return (x @ y.T / x.shape[1] + 1)**3
    return alike(a, a).mean() + alike(b, b).mean() - 2 * alike(a, b).mean()

# 14.2 no diagonal, but divided by all pairs
def discrepancy(a, b):
    def alike(x, y): return (x @ y.T / x.shape[1] + 1)**3
    def pairs(x): return (alike(x, x).sum() - alike(x, x).trace()) / len(x)**2
    return pairs(a) + pairs(b) - 2 * alike(a, b).mean()

# 14.2 the pairs across the sets lost as well
def discrepancy(a, b):
    def alike(x, y): return (x @ y.T / x.shape[1] + 1)**3
    def pairs(x): return (alike(x, x).sum() - alike(x, x).trace()) / (len(x) * (len(x) - 1))
    return pairs(a) + pairs(b) - alike(a, b).mean()
