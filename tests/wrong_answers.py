"""For every exercise of the notebooks an answer that someone might give, and that must not pass."""

WRONG = {
    "E.1": "halvings = 2",
    "0.1": "t_of_three_pixels = math.exp(-9)  # forgot that the variance is 2τ",
    "0.2": "t_at_double_strength = 0.25 ** 2  # squared instead of rooted",
    "0.3": """
def ring_heat(x, tau):  # the row's eigenvalues on the ring's modes
    n = len(x)
    lam = 4 * torch.sin(math.pi * torch.fft.rfftfreq(n, 1 / n).double() / (2 * n)) ** 2
    return torch.fft.irfft(torch.exp(-lam * tau) * torch.fft.rfft(x), n)
""",
    "1.1": "weight_ratio = 1.5  # the correction without the blur",
    "1.2": """
def fast_fading_velocity(path, e, x, t):  # the library's noise term
    u, lap = path.operator.with_laplacian(x, t)
    return u - path.blur_strength * lap - e
""",
    "1.3": """
def released_bias(lam, X, t):  # blur at full strength
    return 0.5 * lam * t ** lam * X
""",
    "2.1": "guess = 2.0  # z / t",
    "2.2": """
def score(path, x_hat, z, t):  # no noise scale
    return (t * path.operator(x_hat, t) - z) / (1 - t) ** 2
""",
    "2.3": "divergence = -1 / (1 - 0.75)  # one direction only",
    "3.1": "factor = 4",
    "3.2": """
def ddim_step(path, x_hat, z, t, t_next):  # the blur left out
    e = (z - t * x_hat) / (1 - t)
    return t_next * x_hat + (1 - t_next) * e
""",
    "3.3": "noise_left = 0.2 * 2  # what enters, not what is left",
    "4.1": "lost_share = 100 / 400  # the share that is kept",
    "4.2": "off_plane = 0.05 / math.e  # of one coordinate",
    "4.3": """
def noise_of(path, x_hat, z, t):  # without the blur
    return (z - t * x_hat) / (1 - t)
""",
    "5.1": "start = 9  # all modes over the low ones",
    "5.2": "turning_time = 0.5 ** 0.25  # forgot the factor 1 + λ",
    "5.3": """
def own_clock(t, lam, r=1.0):  # does not add up to one with its partner
    return t ** (1 + r * lam) + 0 * lam
""",
    "6.1": "t_lost = 6e-8 * (2 * math.pi ** 2)",
    "6.2": "magnification = 0.5 / 0.02",
    "6.3": """
def velocity_bound(path, L, t):  # forgets the part that depends on z directly
    z = torch.zeros(1, *path.operator.shape, dtype=torch.float64)
    return path.weight(z, t).max().item() * L
""",
    "7.1": """
def rms_norm(x, weight, eps=1e-6):  # LayerNorm
    x = x - x.mean(-1, keepdim=True)
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight
""",
    "8.1": "loss_of_zero = 4  # the weight, not squared",
    "9.1": "length = 16 + 10_000 * 28  # one row of each",
    "9.2": """
def nearest_mean(images, labels, new):  # by brightness alone
    means = np.stack([images[labels == label].mean() for label in range(10)])
    return abs(new.mean((1, 2))[:, None] - means).argmin(1)
""",
    "10.1": "epoch = 1000 // 128",
    # the bits of the file, not the bytes of the picture
    "11.1": "gigabytes = 20_000**2 / 8 / 1e9",
    "12.1": "share = 10 / 1000 * 128  # the expected number of bad pictures, not a chance",
    "12.2": """
def reads_per_picture(b):  # one replacement at most
    return 1 + b
""",
    "15.1": "gigabytes = 131.1e6 * 4 / 1e9  # only once",
    # forgot that the rule is for 256 images
    "18.1": "times_the_rule = 2e-3 / 5e-5",
    # without the optimiser
    "20.1": "gigabytes = (1 + 2) * 131.1e6 * 4 / 1e9",
    "19.1": "must_be_replaced = '&<>'  # what matters outside of tags",
    "21.1": """
def time_left(rows, steps):  # the mean, which the hour misleads
    first = rows[0]
    last = rows[-1]
    pace = (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])
    return pace * (steps - last["step"])
""",
    "22.1": """
def smoothed(losses, decay):  # begins at 0 and stays too low
    mean = 0.0
    found = []
    for loss in losses:
        mean = decay * mean + (1 - decay) * loss
        found.append(mean)
    return found
""",
    "24.1": """
def twin(features):  # the same set in another order
    return features.flip(0)
""",
    "23.1": "half_life = 0.5 / 0.002  # as if it fell in a straight line",
    "13.1": "seconds_between_checkpoints = math.sqrt(30 * 86_400)  # forgot the half",
    "14.2": "seams = 1 + 0.3 / 0.4  # deviations instead of squares",
    "14.1": "distance = 1 + (9 - 1) ** 2  # variances",
    "25.1": "times_as_far = 1  # a coat is a coat",
    "26.1": "factor = 1.0  # the floor is a property of the images",
    "17.1": "order = ['fashion-gpu', 'fashion']  # the base is read last",
    "27.1": "score = 64 / 2000  # the mean only",
    "28.1": "rate, steps = 2e-4, 100 * 1_281_167 // 512  # the rate of the batch of 1024",
    "28.2": "epochs = 24 * 3600 * 989e12 * 0.4 / 528e9 / 1_281_167  # one GPU",
    "29.1": """
def seams(images, patch):  # one direction only
    steps = images.diff(dim=-1).square()
    border = (torch.arange(steps.shape[-1]) + 1) % patch == 0
    return steps[..., border].mean() / steps[..., ~border].mean()
""",
    "33.1": "network_evaluations = 20",
    "30.1": """
def sample_on_wrong_path(model, generator):  # the right path
    return generate(model.network, model.path, torch.arange(10), generator=generator)
""",
    "31.1": "t_in_focus = math.exp(-1)  # forgot the half of b²/2",
    "32.1": "wrong_for = -1",
    "34.1": "share = 0.15  # as if times were uniform",
    "34.2": "steps = 10, 20, 20  # the adaptive form counted as if it cost one evaluation a step",
    "35.1": """
def change_of_log_density(a, D):  # one direction only
    return -a
""",
    # right trace, but a spread
    "35.2": "J = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 3.0]])",
    # the heat time of b is b squared over two
    "36.1": "blur_strength = 2.5 ** 2 / math.log(1 / 0.8)",
    "36.2": """
def total_blur(b1, b2):  # blurs do not add
    return b1 + b2
""",
    "16.1": "equal_time = 3 / 4  # the middle of the scale's own time",
    "16.2": """
def cosine_clocks(t):  # noise first
    return torch.cos(math.pi * t / 2), torch.sin(math.pi * t / 2)
""",
    "37.1": "same_blur_at_256 = 256 / 8  # the width grows so, not r",
    # against the other table, not the baseline
    "38.1": "per_cent_worse = 100 * (9.40 - 7.73) / 7.73",
}
