# 10.1 one run
twins = ((0, 1), (0, 1))

# 10.1 other sums
twins = ((0, 0), (1, 1))

# 10.2 as if all steps had been of 64
def smaller_batch(step, seed):
    return batch_indices(step, 64, 1797, seed)

# 10.2 from the beginning
def smaller_batch(step, seed):
    return batch_indices(step - 300, 64, 1797, seed)

# 10.2 the first half of each larger batch
def smaller_batch(step, seed):
    return batch_indices(step, 128, 1797, seed)[:64]
