# 24.1 the same set in another order
def twin(features):
    return features.flip(0)

# 24.1 mirrored at the origin: the mean moves
def twin(features):
    return -features

# 24.1 noise with the right mean
def twin(features):
    return features.mean(0) + torch.randn_like(features) * features.std(0)
