# 35.1 one direction only
def change_of_log_density(kappa, D):
    return -kappa

# 35.1 the volume instead of the density
def change_of_log_density(kappa, D):
    return kappa * D

# 35.2 right trace, but a spread
J = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 3.0]])

# 35.2 no spread, another trace
J = torch.eye(3)

# 35.3 the sum with the wrong sign
def euler_log_likelihood(predict, path, z, t_end, steps):
    h = t_end / steps
    total = torch.zeros(len(z), dtype=z.dtype)
    for i in range(steps):
        t = t_end - i * h
        v, spread = divergence(lambda z: path.target_to_velocity(predict(z, t), z, t), z)
        z = z - h * v
        total = total + h * spread
    noise = torch.distributions.Normal(0.0, path.noise_scale)
    return total + noise.log_prob(z).flatten(1).sum(1)

# 35.3 noise of standard deviation 1, whatever the path has
def euler_log_likelihood(predict, path, z, t_end, steps):
    h = t_end / steps
    total = torch.zeros(len(z), dtype=z.dtype)
    for i in range(steps):
        t = t_end - i * h
        v, spread = divergence(lambda z: path.target_to_velocity(predict(z, t), z, t), z)
        z = z - h * v
        total = total - h * spread
    noise = torch.distributions.Normal(0.0, 1.0)
    return total + noise.log_prob(z).flatten(1).sum(1)

# 35.3 the density of the noise left out
def euler_log_likelihood(predict, path, z, t_end, steps):
    h = t_end / steps
    total = torch.zeros(len(z), dtype=z.dtype)
    for i in range(steps):
        t = t_end - i * h
        v, spread = divergence(lambda z: path.target_to_velocity(predict(z, t), z, t), z)
        z = z - h * v
        total = total - h * spread
    return total
