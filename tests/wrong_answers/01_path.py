# 1.1 the correction without the blur
weight_ratio = 1.5

# 1.2 the library's noise term
def fast_fading_velocity(path, e, x, t):
    u, lap = path.operator.with_laplacian(x, t)
    return u - path.blur_strength * lap - e

# 1.3 blur at full strength
def released_bias(lam, X, t):
    return 0.5 * lam * t ** lam * X
