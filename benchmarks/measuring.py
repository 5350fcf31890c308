"""What is measured of a small network: before it is trained, of its weights, and of what it draws.

Used by the queues (`benchmarks/laboratory.py`, `benchmarks/multiscale.py`). Data sets are named as
in `hdfm.data.load_data`.
"""

import math
from functools import lru_cache

import torch

from hdfm.config import build
from hdfm.core import dct, idct
from hdfm.data import as_bytes, class_labels, load_data
from hdfm.evaluate import Generated, Plan, evaluate_run, generate_many
from hdfm.evaluate import judged as judged_images
from hdfm.features import features_of
from hdfm.guidance import predictor
from hdfm.metrics import mode_moments
from hdfm.parallel import Ranks, pick_device
from hdfm.path import HeatProbPath
from hdfm.prior import mean_and_deviation
from hdfm.report import yardstick
from hdfm.reverse import log_likelihood
from hdfm.run import RunFolder
from hdfm.sampling import heun
from hdfm.spectra import frequency_ratio
from hdfm.times import linear_error
from hdfm.train import Objective

RINGS = 7  # of frequency, coarse to fine
PLAIN = ("accuracy", "seams", "pixel_frechet", "mode_frechet", "per_class", "nearest")


def generator_of(seed):
    return torch.Generator().manual_seed(seed)


def held_out(data):
    """Test images; of data without any, those that were trained on."""
    return load_data(load_data(data).test or data)


def last_held_out(data, n):
    """The last `n` held-out images and their labels; of all classes, also if they lie in order."""
    test = held_out(data)
    rows = torch.arange(len(test))
    if (test.labels.diff() >= 0).all():
        rows = torch.randperm(len(test), generator=generator_of(0))
    return test.images[rows[-n:]], test.labels[rows[-n:]]


def mode_variance(images):
    """v of each mode of the images `[n, C, H, W]`, the mean over channels: `[H, W]`."""
    return mean_and_deviation(mode_moments(images))[1].square().mean(0)


def trace(config):
    """What the code gives for a network before training: two losses, and the sum of a sample."""
    data = load_data(config.data)
    model, path = build(config, *data.shape, data.num_classes)
    images = data.images[:16]
    labels = data.labels[:16]
    if path.prior.needs_data:
        path.fit(data.images[:500])
    variance = mode_variance(data.images[:500]) if config.needs_variance else None
    with torch.no_grad():
        for p in model.parameters():  # the new network says 0, which would hide much
            p += 0.1 * torch.randn(p.shape, generator=generator_of(p.numel()))
    objective = Objective(config, model, path, variance)
    numbers = [objective(images, labels, seed).item() for seed in (0, 1)]
    sampling = config.sampling.replace(steps=3) if config.path != "ihdm" else config.sampling
    drawn = generate_many(model, path, labels[:2], 0, sampling, progress=None)
    return [float(f"{x:.5g}") for x in (*numbers, drawn.abs().sum().item())]


def gradient_noise(config, model, path, variance, rounds=24):
    """(the variance of the gradient of a batch, the square of its mean) at these weights. At the
    end of a training the second is nearly nothing, so that only variances of one objective can be
    compared."""
    data = load_data(config.data)
    device = next(model.parameters()).device
    objective = Objective(config, model, path, variance)
    total = 0.0
    squares = 0.0
    generator = generator_of(0)
    for seed in range(rounds):
        chosen = torch.randint(len(data), (config.batch_size,), generator=generator)
        model.zero_grad()
        batch = data.images[chosen].to(device), data.labels[chosen].to(device)
        objective(*batch, seed).backward()
        g = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        total = total + g
        squares = squares + g.square().sum().item()
    mean = total / rounds
    spread = (squares / rounds - mean.square().sum().item()) * rounds / (rounds - 1)
    signal = mean.square().sum().item() - spread / rounds
    return [float(f"{x:.4g}") for x in (spread, signal)]


def residuals(data, model, path, variance, n=500):
    """At nine times, the mean squared error of the network's images, summed over pixels and
    channels, and that of the best linear guess, whose `variance` of the modes is the mean over
    channels; nothing for a network that does not predict x."""
    if model.prediction != "x" or not path.has_noise:
        return {}
    images, labels = last_held_out(data, n)
    device = next(model.parameters()).device
    generator = generator_of(0)
    found = dict(times=[k / 10 for k in range(1, 10)], network=[], linear=[])
    for t in found["times"]:
        z = path.interpolate(path.noise(images, generator), images, t)
        with torch.no_grad():
            batch = z, torch.full((len(z),), t), labels
            guess = model(*(one.to(device) for one in batch))
        error = (guess.cpu() - images).square().sum((1, 2, 3)).mean().item()
        found["network"].append(float(f"{error:.4g}"))
        linear = images.shape[1] * linear_error(path, variance, t).item()
        found["linear"].append(float(f"{linear:.4g}"))
    return found


def log_noise(path, t, like):
    """The mean over modes of the log of the noise that a point of the path has at t, seen in the
    image: of s·σ/a."""
    a, s = path.clocks(t, like)
    return (s * path.noise_scale / a.clamp(min=1e-30)).expand_as(like).log().mean().item()


def equally_smooth(path, like):
    """The time at which a path leaves as much noise in the image as HDFM's does at 0.95, by its
    volume; None for one that ends with more, and for one of levels, which has no flow."""
    if not hasattr(path, "t_eps"):
        return None
    wanted = log_noise(HeatProbPath(tuple(like.shape[-2:]), 1.0), 0.95, like)
    early = 0.5
    late = 1 - path.t_eps
    if log_noise(path, late, like) > wanted + 1e-9:
        return None
    for _ in range(40):
        middle = (early + late) / 2
        if log_noise(path, middle, like) > wanted:
            early = middle
        else:
            late = middle
    return late


def likelihood(data, model, path, n=64):
    """Bits per dimension of each of the last `n` held-out images, with the noise of
    `equally_smooth` in them and 256 levels a pixel; the same images and probes for each network."""
    images, labels = last_held_out(data, n)
    device = next(model.parameters()).device
    like = images[:1].double()
    t = equally_smooth(path, like) if path.has_noise else None
    if t is None:
        return {}
    z = path.interpolate(path.noise(images, generator_of(0)), images, t)
    predict = predictor(model, path, labels.to(device))
    how = dict(t_end=t, probes=4, generator=generator_of(1), rtol=0.01, atol=0.01)
    nats = log_likelihood(predict, path, z.to(device), **how).cpu()
    nats = nats + path.clocks(t, like)[0].expand_as(like).log().sum()  # of z/a in place of z
    bits = math.log2(128) - nats / (images[0].numel() * math.log(2))
    return dict(t_end=t, bits=[round(b, 3) for b in bits.tolist()])


@lru_cache(maxsize=1)
def yardstick_of(data, device):
    """What images like a data set's are held against; kept, so that real ones are judged once."""
    return yardstick(data, load_data(data).shape, Ranks(device=pick_device(device)))


def reports(run, data, samplers, samples, device, compile=False):
    """(sampler, the whole report) of a run that was trained on `data`."""
    how = dict(seed=1, device=device, read_samples=samples, batch=500, compile=compile)
    for name, sampling in samplers.items():
        yield name, evaluate_run(run, samples, sampling, against=yardstick_of(data, device), **how)


def measures(report):
    """What a row keeps of an evaluation's report."""
    real = dict(report["real"], frechet=report["real"].get("features", {}).get("frechet"))
    features = report["features"]
    found = {key: report[key] for key in PLAIN if key in report}
    found |= {key: features[key] for key in ("frechet", "kid", "precision", "recall")}
    found["evaluations"] = report["protocol"]["evaluations"]
    kept = ("frechet", *PLAIN[:4])
    return dict(found, real={key: real[key] for key in kept if real.get(key) is not None})


def rings_of(side, rings):
    """The square ring of frequency, coarse to fine, of each mode of an image."""
    k = torch.arange(side)
    return torch.maximum(k[:, None], k[None]) * rings // side


def ring_gain(images, real, rings=RINGS):
    """Standard deviation of the modes over that of real images, ring by ring."""
    ring = rings_of(images.shape[-1], rings)
    variance, truth = (dct(x.double()).var(0).mean(0) for x in (images, real))
    gains = [(variance[ring == i].mean() / truth[ring == i].mean()).sqrt() for i in range(rings)]
    return [float(f"{gain:.4g}") for gain in gains]


def with_gains(images, factors):
    """Images whose modes are multiplied by a factor for each ring of frequency."""
    ring = rings_of(images.shape[-1], len(factors))
    return idct(torch.tensor(factors)[ring] * dct(images))


def filtered_like(own, other, run, samplers, samples, device):
    """{sampler: measures} of the samples of a run after each ring of their modes was given the
    deviation that the samples of another run have: `own` and `other` are the gains of the two."""
    loaded = RunFolder(run).load(device)
    against = yardstick_of(loaded.data, device)
    labels = class_labels(samples, loaded.model.num_classes)
    factors = [b / a for a, b in zip(own, other)]
    found = {}
    for name, sampling in samplers.items():
        images = generate_many(loaded.model, loaded.path, labels, 1, sampling, progress=None)
        images = with_gains(images, factors)
        made = features_of(as_bytes(images), against.extract, progress=None) | dict(images=images)
        made = Generated(made, {images.shape[-1]: float(sampling.evaluations())})
        plan = Plan(loaded.data, samples, sampling, None, 1, 500, samples)
        report = judged_images(made, labels, against, plan, loaded.model)
        found[name] = measures(report)
    return found


@torch.no_grad()
def followed(model, path, n=200, points=21):
    """E_high / E_low of `n` states along the path, from common noise, with Heun's method; low is
    the lowest half of each axis."""
    labels = torch.arange(n) % model.num_classes
    z = path.start(torch.empty(n, model.channels, *path.operator.shape), generator_of(7))
    predict = predictor(model, path, labels)
    ts = torch.linspace(path.t_min, 1, points, dtype=torch.float64).tolist()
    ratios = [frequency_ratio(z, 0.5).item()]
    for t, t_next in zip(ts, ts[1:]):
        z = heun(predict, path, z, [t, t_next])
        ratios.append(frequency_ratio(z, 0.5).item())
    return dict(times=ts, ratios=[float(f"{ratio:.4g}") for ratio in ratios])
