# 24.1 the same set in another order
def twin(features):
    return features.flip(0)
