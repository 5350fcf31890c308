# 1.1 the correction without the blur
def weight_ratio(lam, t, r, t_eps):
    return 1 + r * lam * max(1 - t, t_eps)

# 1.1 the clamp is forgotten
def weight_ratio(lam, t, r, t_eps):
    return t ** (r * lam) * (1 + r * lam * (1 - t))

# 1.1 the blur without the correction
def weight_ratio(lam, t, r, t_eps):
    return t ** (r * lam)

# 1.2 the library's noise term
def fast_fading_velocity(path, e, x, t):
    u, lap = path.operator.with_laplacian(x, t)
    return u - path.blur_strength * lap - e

# 1.2 the Laplacian at full strength
def fast_fading_velocity(path, e, x, t):
    u, lap = path.operator.with_laplacian(x, t)
    return u - lap - 2 * (1 - t) * e

# 1.2 the inner derivative is forgotten
def fast_fading_velocity(path, e, x, t):
    u, lap = path.operator.with_laplacian(x, t)
    return u - path.blur_strength * lap + 2 * (1 - t) * e

# 1.3 blur at full strength
def target_bias(lam, X, t, r, c):
    return (c - r) * lam * t ** lam * X

# 1.3 the sign of the Laplacian is forgotten
def target_bias(lam, X, t, r, c):
    return (r - c) * lam * t ** (r * lam) * X

# 1.3 right for the released code only
def target_bias(lam, X, t, r, c):
    return 0.5 * lam * t ** (0.5 * lam) * X

# 1.4 the blur's factor without the t in front
def emergence(nu, lam, r, sigma):
    low, high = 0.0, 1.0
    for _ in range(60):
        t = (low + high) / 2
        if t ** (2 * r * lam) * nu > (1 - t)**2 * sigma**2: high = t
        else: low = t
    return t

# 1.4 amplitudes compared with variances
def emergence(nu, lam, r, sigma):
    low, high = 0.0, 1.0
    for _ in range(60):
        t = (low + high) / 2
        if t ** (1 + r * lam) * nu > (1 - t) * sigma: high = t
        else: low = t
    return t

# 1.4 the answer without blur
def emergence(nu, lam, r, sigma):
    return sigma / (sigma + math.sqrt(nu))
