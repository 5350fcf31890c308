# S.1 the posterior mean of x instead of the velocity
def gaussian_velocity(z, t, variance):
    return t * variance / (t**2 * variance + (1 - t)**2) * z

# S.1 the covariance without its noise, right only at t = 1
def gaussian_velocity(z, t, variance):
    return t * variance / (t**2 * variance + (1 - t)**2) * z * (1 - t) + t * z

# S.1 the noise added instead of subtracted
def gaussian_velocity(z, t, variance):
    return (t * variance + (1 - t)) / (t**2 * variance + (1 - t)**2) * z

# S.2 Euler's step
def follow_midpoint(velocity, z, steps=50):
    h = 1 / steps
    for i in range(steps):
        z = z + h * velocity(z, i * h)
    return z

# S.2 the second arrow at the right place and the wrong time
def follow_midpoint(velocity, z, steps=50):
    h = 1 / steps
    for i in range(steps):
        first = velocity(z, i * h)
        z = z + h * velocity(z + h / 2 * first, i * h)
    return z

# S.2 two half steps of Euler
def follow_midpoint(velocity, z, steps=50):
    h = 1 / steps
    for i in range(steps):
        z = z + h / 2 * velocity(z, i * h)
        z = z + h / 2 * velocity(z, i * h + h / 2)
    return z

# S.3 the straight path's noise
def circle_velocity(x_hat, z, t):
    angle = math.pi * t / 2
    noise = (z - t * x_hat) / (1 - t)
    return math.pi / 2 * (math.cos(angle) * x_hat - math.sin(angle) * noise)

# S.3 forgot the inner derivative
def circle_velocity(x_hat, z, t):
    angle = math.pi * t / 2
    return x_hat / math.cos(angle) - z * math.tan(angle)
