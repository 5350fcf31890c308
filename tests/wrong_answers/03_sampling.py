# 3.1
factor = 4

# 3.2 the blur left out
def ddim_step(path, x_hat, z, t, t_next):
    e = (z - t * x_hat) / (1 - t)
    return t_next * x_hat + (1 - t_next) * e

# 3.3 what enters, not what is left
noise_left = 0.2 * 2
