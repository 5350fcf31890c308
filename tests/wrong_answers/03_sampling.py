# 3.1 first order
factor = 4

# 3.1 third order
factor = 64

# 3.2 the blur left out
def ddim_step(path, x_hat, z, t, t_next):
    e = (z - t * x_hat) / (1 - t)
    return t_next * x_hat + (1 - t_next) * e

# 3.2 the clamp
def ddim_step(path, x_hat, z, t, t_next):
    e = (z - t * path.operator(x_hat, t)) / path.remaining(z, t)
    return t_next * path.operator(x_hat, t_next) + (1 - t_next) * e

# 3.2 the blur of the time before
def ddim_step(path, x_hat, z, t, t_next):
    e = (z - t * path.operator(x_hat, t)) / (1 - t)
    return t_next * path.operator(x_hat, t) + (1 - t_next) * e

# 3.3 Heun's method, which averages velocities
exponential_ahead = heun

# 3.3 the prediction at the end alone
def exponential_ahead(predict, path, z, ts):
    for t, t_next in zip(ts, ts[1:]):
        ahead = exponential_step(path, predict(z, t), z, t, t_next)
        z = exponential_step(path, predict(ahead, t_next), z, t, t_next)
    return z

# 3.3 the second step taken from where the first one arrived
def exponential_ahead(predict, path, z, ts):
    for t, t_next in zip(ts, ts[1:]):
        x_hat = predict(z, t)
        ahead = exponential_step(path, x_hat, z, t, t_next)
        z = exponential_step(path, (x_hat + predict(ahead, t_next)) / 2, ahead, t, t_next)
    return z

# 3.3 first order twice
def exponential_ahead(predict, path, z, ts):
    for t, t_next in zip(ts, ts[1:]):
        middle = (t + t_next) / 2
        z = exponential_step(path, predict(z, t), z, t, middle)
        z = exponential_step(path, predict(z, middle), z, middle, t_next)
    return z
