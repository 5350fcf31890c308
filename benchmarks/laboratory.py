"""The order laboratory: what blur is worth, one change at a time, on images that small networks
can draw.

    make laboratory                                   # or: python benchmarks/laboratory.py
    python benchmarks/laboratory.py --list            # the experiments, and what is done of each
    python benchmarks/laboratory.py --only times --data digits --minutes 60
    python benchmarks/laboratory.py --size large --device cuda --jobs 1       # not run by us yet

A queue of networks, each a few options away from `BASE`, each trained by one process on one
thread, two at a time. It can be stopped and started again: an interrupted training goes on from
its last checkpoint, and the row of a finished one is kept under runs/laboratory; rows of the
newest committed result are taken over. Every row holds a trace, numbers that the code gave before
training, by which the chapter `laboratory` sees whether the code still does what was measured.
"""

import datetime
import io
import json
import math
import os
import time
from functools import lru_cache, partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: the processes share the cores

import numpy as np
import torch

from hdfm.checkpoint import write_whole
from hdfm.config import PRESETS, build
from hdfm.core import HeatOperator, dct, idct
from hdfm.data import as_bytes, class_labels, load_data
from hdfm.evaluate import Generated, Plan, evaluate_run, generate_many
from hdfm.evaluate import judged as judged_images
from hdfm.features import features_of
from hdfm.guidance import predictor
from hdfm.metrics import mode_moments
from hdfm.parallel import Ranks, pick_device
from hdfm.path import HeatProbPath, ProbPath, register_path
from hdfm.prior import mean_and_deviation
from hdfm.report import yardstick
from hdfm.reverse import log_likelihood
from hdfm.run import RunFolder
from hdfm.sampling import Sampling, heun
from hdfm.spectra import frequency_ratio
from hdfm.times import linear_error
from hdfm.train import Objective, fit
from hdfm.vit import MODELS
import workers
from machine import machine
from rows import RESULTS, newest

RUNS = Path("runs/laboratory")
RINGS = 7  # of frequency, coarse to fine
MODELS.update({f"JiT-XS/{p}": dict(MODELS["JiT-XS/4"], patch_size=p) for p in (7, 14)})
BASE = dict(
    digits=PRESETS["digits"].replace(steps=1500, batch_size=64, ema=0.995),
    fashion=PRESETS["fashion"].replace(steps=1500, warmup=150, ema=0.995, guidance=1.0),
    photos=PRESETS["digits"].replace(
        data="photos-16", model="JiT-XS/4", steps=1500, batch_size=64, ema=0.995, flip=True
    ),
)
LARGE = dict(model="JiT-S/4", steps=20_000, batch_size=256, lr=2e-3, warmup=1000, ema=0.9995)
LARGE |= dict(precision="bf16")
SAMPLES = dict(digits=1000, fashion=2000, photos=1000)
SAMPLERS = {
    f"20 steps, last {last}": Sampling("exponential_2m", 20, last_time=last)
    for last in (0.85, 0.95)  # of 20 equal steps the last is at 0.95
}

# What is compared: the path, the times, and the rest, each as options of TrainConfig.
WAYS = {
    "r = 0": dict(blur_strength=0.0),
    "r = 1/84": dict(blur_strength=1 / 84),
    "r = 1/10": dict(blur_strength=0.1),
    "r = 1/3": dict(blur_strength=1 / 3),
    "r = 1/2": dict(blur_strength=0.5),
    "r = 1": dict(blur_strength=1.0),
    "r = 4": dict(blur_strength=4.0),
    "EqualSNR": dict(path="coloured", order=0.0),
    "order 0.5": dict(path="coloured", order=0.5),
    "order 1.25": dict(path="coloured", order=1.25),
    "order 1.5": dict(path="coloured", order=1.5),
    "order 2": dict(path="coloured", order=2.0),
    "r = 0, weight of r = 1": dict(path="heat-weighed", blur_strength=0.0, weight_of=1.0),
    "r = 1, weight of r = 0": dict(path="heat-weighed", blur_strength=1.0, weight_of=0.0),
    "r = 0, plain x": dict(blur_strength=0.0, loss="x"),
    "r = 1, plain x": dict(blur_strength=1.0, loss="x"),
    "r = 0, filtered input": dict(path="heat-filtered"),
    "r = 0, samples filtered": dict(blur_strength=0.0),  # made as contrasty as those of r = 1
    "HDFM-blur": dict(path="blur"),
    "LapFlow": dict(path="lapflow", scales=3),
    "pyramidal flow": dict(path="pyramidal", scales=3),
    "blurring diffusion": dict(path="blurring", prediction="x", loss="x"),
    "IHDM": dict(path="ihdm", levels=50),
    "r = 0, v-prediction": dict(blur_strength=0.0, prediction="v", solver="heun", last_time=1.0),
    "r = 1, v-prediction": dict(blur_strength=1.0, prediction="v", solver="heun", last_time=1.0),
    "r = 0, Heun": dict(blur_strength=0.0, solver="heun", last_time=1.0),
    "r = 1, Heun": dict(blur_strength=1.0, solver="heun", last_time=1.0),
    "r = 1, noise 1/2": dict(noise_scale=0.5),
    "r = 1, noise 2": dict(noise_scale=2.0),
    "r = 1, LayerSync": dict(layersync=0.2),
    "r = 1/2, released code": dict(blur_strength=0.5, laplacian_coefficient=1.0),
    "r = 1, guidance 1.5": dict(guidance=1.5),
    "r = 1, guidance 2.9": dict(guidance=2.9),
    "r = 1, guidance 2.9 always": dict(guidance=2.9, guidance_interval=(-1.0, 1.0)),
    "r = 1, guidance 3.5": dict(guidance=3.5),
}
DERIVED = {  # ways that sample another's networks
    way: way[:5] for way in WAYS if "guidance" in way or way.endswith(("Heun", "samples filtered"))
}
FOLLOWED = ("r = 0", "r = 1/3", "r = 1/2", "r = 1", "HDFM-blur")  # on digits, along the path
TIMES = {
    "early": dict(time_sampling="logit_normal", time_mean=-0.8),
    "middle": dict(time_sampling="logit_normal", time_mean=0.0),
    "late": dict(time_sampling="logit_normal", time_mean=0.8),
    "uniform": dict(time_sampling="uniform"),
    "visible": dict(time_sampling="visible"),
    "balanced": dict(time_sampling="visible", time_weighting="balanced"),
    "early, drawn visible": dict(time_sampling="visible", time_weighting="logit_normal"),
    "early, drawn uniform": dict(time_sampling="uniform", time_weighting="logit_normal"),
    "visible, drawn uniform": dict(time_sampling="uniform", time_weighting="visible"),
}
CLOCKED = ("r = 0", "r = 1/2", "r = 1", "EqualSNR", "LapFlow")
USUAL = dict(digits="middle", fashion="early", photos="early")  # times, where they are not asked
EXPERIMENTS = {  # name -> (data sets, ways, times; None: the usual ones, patch sides)
    "times": (
        ("digits", "fashion", "photos"),
        CLOCKED,
        ("early", "middle", "late", "uniform", "visible", "balanced"),
    ),
    "density": (
        ("digits", "fashion"),
        ("r = 0", "r = 1"),
        ("early, drawn visible", "early, drawn uniform", "visible, drawn uniform"),
    ),
    "blur": (
        ("digits", "fashion"),
        ("r = 0", "r = 1/84", "r = 1/10", "r = 1/3", "r = 1/2", "r = 1", "r = 4"),
        None,
    ),
    "order": (
        ("digits", "fashion"),
        ("EqualSNR", "order 0.5", "r = 0", "order 1.25", "order 1.5", "order 2"),
        None,
    ),
    "weight": (
        ("digits", "fashion"),
        ("r = 0", "r = 1", "r = 0, weight of r = 1", "r = 1, weight of r = 0")
        + ("r = 0, plain x", "r = 1, plain x"),
        None,
    ),
    "controls": (
        ("digits", "fashion"),
        ("r = 0", "r = 0, filtered input", "r = 0, samples filtered", "r = 1"),
        None,
    ),
    "rivals": (
        ("digits", "fashion"),
        ("LapFlow", "pyramidal flow", "blurring diffusion", "HDFM-blur", "IHDM"),
        ("uniform",),
    ),
    "patches": (("fashion",), ("r = 0", "r = 1"), None, (14, 7, 0, 2)),  # 0: the usual ones, of 4
    "prediction": (
        ("digits", "fashion"),
        ("r = 0, Heun", "r = 1, Heun", "r = 0, v-prediction", "r = 1, v-prediction"),
        None,
    ),
    "prediction, large patches": (
        ("fashion",),
        ("r = 0, Heun", "r = 1, Heun", "r = 0, v-prediction", "r = 1, v-prediction"),
        None,
        (14,),
    ),
    "paper": (
        ("digits", "fashion"),
        ("r = 1", "r = 1, noise 1/2", "r = 1, noise 2", "r = 1, LayerSync")
        + ("r = 1/2", "r = 1/2, released code"),
        None,
    ),
    "guidance": (
        ("digits", "fashion"),
        ("r = 1", "r = 1, guidance 1.5", "r = 1, guidance 2.9", "r = 1, guidance 2.9 always")
        + ("r = 1, guidance 3.5",),
        None,
    ),
}


@register_path("heat-weighed")
class HeatWeighed(HeatProbPath):
    """HDFM's path of one strength, trained by the weight that the velocity of another gives."""

    help = dict(HeatProbPath.help, weight_of="r of the path whose weight counts")

    def __init__(self, shape, blur_strength: float = 1.0, weight_of: float = 0.0):
        super().__init__(shape, blur_strength)
        self.weight_of = float(weight_of)
        self.other = HeatProbPath(shape, self.weight_of)

    def error_gain(self, prediction, loss, x, t, **options):
        return self.other.error_gain(prediction, loss, x, t, **options)


@register_path("heat-filtered")
class HeatFiltered(ProbPath):
    """JiT's path, seen through a filter that opens with t, as in Spectral Forcing: both clocks
    have its gain, so that no ratio of signal to noise changes, and the loss is JiT's."""

    help = dict(blur_strength="r of the filter, that of HDFM's blur")

    def __init__(self, shape, blur_strength: float = 1.0):
        super().__init__(HeatOperator(shape, blur_strength))
        self.blur_strength = self.operator.blur_strength
        self.plain = HeatProbPath(shape, 0.0)

    def clocks(self, t, like):
        a, s = self.plain.clocks(t, like)
        gain = self.operator.decay(like, self.time(t, like).clamp(min=1e-3)).clamp(min=1e-3)
        return a * gain, s * gain

    def start(self, like, generator=None):
        _, s = self.clocks(0.0, like)
        return self.scaled(s.expand_as(like), super().start(like, generator))

    def error_gain(self, prediction, loss, x, t, **options):
        return self.plain.error_gain(prediction, loss, x, t, **options)


def generator_of(seed):
    return torch.Generator().manual_seed(seed)


def entries(experiment, seeds):
    """(data, way, times, patch, seed) of the networks that an experiment needs."""
    sets, ways, times, *patches = EXPERIMENTS[experiment]
    for seed in seeds:
        for data in sets:
            for patch in patches[0] if patches else (0,):
                for way in ways:
                    for when in times or (USUAL[data],):
                        yield data, way, when, patch, seed


def config_of(data, way, times, patch, seed, size="small"):
    """The `TrainConfig` of an entry."""
    options = dict(WAYS[way], **TIMES[times], seed=seed)
    if "path" in WAYS[way] and WAYS[way]["path"] in ("ihdm", "blur"):
        options = dict(WAYS[way], time_sampling="uniform", seed=seed)
    if size == "large":
        options = LARGE | options
    if size == "tiny":
        options |= dict(steps=2, batch_size=8)
    if patch:
        options["model"] = f"JiT-XS/{patch}"
    steps = options.get("steps", BASE[data].steps)
    often = dict(sample_every=steps, save_every=max(1, steps // 3), keep=1, proxy_every=0)
    faster = size != "tiny"  # to compile takes a minute for the first of a kind, then seconds
    return BASE[data].replace(compile=faster, **options, **often)


def name_of(data, way, times, patch, seed):
    """The name of an entry, which is also that of its files."""
    words = [data, way, times, *([f"patch {patch}"] if patch else []), f"seed {seed}"]
    return ", ".join(words)


def place_of(entry, size="small"):
    return RUNS / size / "".join(c if c.isalnum() or c in ".-" else "_" for c in name_of(*entry))


def row_file(place):
    """Where the row of a network is kept, beside the folder of its run. (A name may have a dot.)"""
    return place.with_name(f"{place.name}.json")


def trace(config):
    """What the code gives for a network before training: two losses, and the sum of a sample."""
    data = load_data(config.data)
    model, path = build(config, *data.shape, data.num_classes)
    images = data.images[:16]
    labels = data.labels[:16]
    if path.prior.needs_data:
        path.fit(data.images[:500])
    variance = None
    if config.needs_variance:
        variance = mean_and_deviation(mode_moments(data.images[:500]))[1].square().mean(0)
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


def held_out(data):
    """Test images; of data without any, those that were trained on."""
    data = BASE[data].data if data in BASE else data
    return load_data(load_data(data).test or data)


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
    test = held_out(data)
    device = next(model.parameters()).device
    images = test.images[-n:]
    like = images[:1].double()
    t = equally_smooth(path, like) if path.has_noise else None
    if t is None:
        return {}
    z = path.interpolate(path.noise(images, generator_of(0)), images, t)
    predict = predictor(model, path, test.labels[-n:].to(device))
    how = dict(t_end=t, probes=4, generator=generator_of(1), rtol=0.01, atol=0.01)
    nats = log_likelihood(predict, path, z.to(device), **how).cpu()
    nats = nats + path.clocks(t, like)[0].expand_as(like).log().sum()  # of z/a in place of z
    bits = math.log2(128) - nats / (images[0].numel() * math.log(2))
    return dict(t_end=t, bits=[round(b, 3) for b in bits.tolist()])


def residuals(data, model, path, variance, n=500):
    """At nine times, the mean squared error of the network's images, summed over pixels, and that
    of the best linear guess; nothing for a network that does not predict x."""
    if model.prediction != "x" or not path.has_noise:
        return {}
    test = held_out(data)
    device = next(model.parameters()).device
    images = test.images[-n:]
    generator = generator_of(0)
    found = dict(times=[k / 10 for k in range(1, 10)], network=[], linear=[])
    for t in found["times"]:
        z = path.interpolate(path.noise(images, generator), images, t)
        with torch.no_grad():
            batch = z, torch.full((len(z),), t), test.labels[-n:]
            guess = model(*(one.to(device) for one in batch))
        error = (guess.cpu() - images).square().sum((1, 2, 3)).mean().item()
        found["network"].append(float(f"{error:.4g}"))
        found["linear"].append(float(f"{linear_error(path, variance, t).item():.4g}"))
    return found


PLAIN = ("accuracy", "seams", "pixel_frechet", "mode_frechet", "per_class", "nearest")


def measures(report):
    """What a row keeps of an evaluation's report."""
    real = dict(report["real"], frechet=report["real"].get("features", {}).get("frechet"))
    features = report["features"]
    found = {key: report[key] for key in PLAIN if key in report}
    found |= {key: features[key] for key in ("frechet", "kid", "precision", "recall")}
    found["evaluations"] = report["protocol"]["evaluations"]
    kept = ("frechet", *PLAIN[:4])
    return dict(found, real={key: real[key] for key in kept if real.get(key) is not None})


@lru_cache(maxsize=1)
def yardstick_of(data, device):
    """What images like a data set's are held against; kept, so that real ones are judged once."""
    return yardstick(data, load_data(data).shape, Ranks(device=pick_device(device)))


def reports(run, data, samplers, samples, device, compile=False):
    """(sampler, the whole report) of a run that was trained on `data`."""
    how = dict(seed=1, device=device, read_samples=samples, batch=500, compile=compile)
    for name, sampling in samplers.items():
        yield name, evaluate_run(run, samples, sampling, against=yardstick_of(data, device), **how)


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


def filtered_like(own, other, run, samples, device):
    """{sampler: measures} of the samples of a run after each ring of their modes was given the
    deviation that the samples of another run have: `own` and `other` are the gains of the two."""
    loaded = RunFolder(run).load(device)
    against = yardstick_of(loaded.data, device)
    labels = class_labels(samples, loaded.model.num_classes)
    factors = [b / a for a, b in zip(own, other)]
    found = {}
    for name, sampling in SAMPLERS.items():
        images = generate_many(loaded.model, loaded.path, labels, 1, sampling, progress=None)
        images = with_gains(images, factors)
        made = features_of(as_bytes(images), against.extract, progress=None) | dict(images=images)
        made = Generated(made, {images.shape[-1]: float(sampling.evaluations())})
        plan = Plan(loaded.data, samples, sampling, None, 1, 500, samples)
        report = judged_images(made, labels, against, plan, loaded.model)
        found[name] = measures(report)
    return found


def samplers_of(config):
    if config.path == "ihdm":
        return {"50 levels": config.sampling.replace(steps=50)}
    asked = config.sampling
    if asked.solver == "heun":
        return {"Heun, 25 steps": asked.replace(steps=25)}
    how = dict(guidance_scale=asked.guidance_scale, guidance_interval=asked.guidance_interval)
    return {name: sampling.replace(**how) for name, sampling in SAMPLERS.items()}


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


def train(config, place, device):
    """Train a network, or go on with it, or nothing if it is trained; end if nobody waits."""
    fit(config, place, "laboratory", resume=True, device=device, stop=workers.alone)
    workers.leave_if_alone()


def done(entry, size="small"):
    """The row of an entry, or None; one that lacks what was not measured at first is not whole."""
    kept = row_file(place_of(entry, size))
    row = json.loads(kept.read_text()) if kept.exists() else None
    if not row or entry[1] in DERIVED:
        return row
    return row if "likelihood" in row and ("ratio" in row or not is_followed(*entry)) else None


def is_followed(data, way, times, patch, seed):
    usual = "uniform" if way == "HDFM-blur" else USUAL[data]
    return data == "digits" and way in FOLLOWED and (times, patch) == (usual, 0)


def measured(entry, size, device):
    """The row of an entry: trained and judged now, unless it is done."""
    torch.set_num_threads(1)
    kept = row_file(place_of(entry, size))
    if row := done(entry, size):
        return row
    data, way, times, patch, seed = entry
    config = config_of(*entry, size)
    own = (data, DERIVED.get(way, way), times, patch, seed)  # whose network it is
    began = time.perf_counter()
    samples = SAMPLES[data] if size != "tiny" else 40
    row = dict(data=data, way=way, times=times, patch=patch, seed=seed, size=size)
    row |= dict(options=config.flat(), trace=trace(config))
    train(config_of(*own, size), place_of(own, size), device)
    if way.endswith("samples filtered"):
        blurred = (data, "r = 1", times, patch, seed)
        gains = [measured(one, size, device)["gains"] for one in (own, blurred)]
        row["scores"] = filtered_like(*gains, place_of(own, size), samples, device)
        return keep(row, kept, began, device)
    folder = RunFolder(place_of(own, size))
    judged = reports(
        folder.path, config.data, samplers_of(config), samples, device, config.compile
    )
    row["scores"] = {name: measures(report) for name, report in judged}
    if way in DERIVED:
        return keep(row, kept, began, device)
    loaded = folder.load(device)
    images = load_data(config.data).images
    variance = mean_and_deviation(mode_moments(images[:10_000]))[1].square().mean(0)
    sampling = next(iter(samplers_of(config).values()))
    labels = torch.arange(min(500, samples)) % loaded.model.num_classes
    drawn = generate_many(loaded.model, loaded.path, labels, 7, sampling, progress=None)
    row |= dict(
        gains=ring_gain(drawn, images[:10_000]),
        gradient_noise=gradient_noise(config, loaded.model, loaded.path, variance),
        residuals=residuals(data, loaded.model, loaded.path, variance),
        likelihood=likelihood(data, loaded.model, loaded.path),
        loss=folder.metrics()[-1]["loss"],
        weights=loaded.info["sha256"][:16],
    )
    if is_followed(*entry):
        row["ratio"] = followed(loaded.model, loaded.path)
    return keep(row, kept, began, device)


def keep(row, file, began, device):
    """Write a row that is done, with when, where and by which code."""
    row |= dict(
        seconds=round(time.perf_counter() - began),
        date=datetime.date.today().isoformat(),
        cpu=MACHINE["cpu"],
        device=device,
        torch=torch.__version__,
        commit=MACHINE["commit"],
    )
    write_whole(file, (json.dumps(row) + "\n").encode())
    return row


MACHINE = machine()


def take_over():
    """Rows of the newest committed result become files, where there is none."""
    for row in (newest("laboratory") or dict(rows=[]))["rows"]:
        entry = tuple(row[k] for k in ("data", "way", "times", "patch", "seed"))
        kept = row_file(place_of(entry))
        if not kept.exists():
            kept.write_text(json.dumps(row) + "\n")


def rows():
    return [json.loads(file.read_text()) for file in sorted((RUNS / "small").glob("*.json"))]


def write_result():
    """All finished rows as a dated result."""
    found = rows()
    out = RESULTS / f"{datetime.date.today()}-laboratory.json"
    experiments = {name: list(entries(name, (0,))) for name in EXPERIMENTS}
    result = dict(
        command="python benchmarks/laboratory.py",
        samples=SAMPLES,
        base={data: config.flat() for data, config in BASE.items()},
        ways=WAYS,
        times=TIMES,
        usual=USUAL,
        experiments=experiments,
        machine=machine(),
        rows=found,
    )
    text = json.dumps(result, ensure_ascii=False)
    write_whole(out, (text.replace('{"data"', '\n{"data"') + "\n").encode())
    kept = io.BytesIO()
    np.savez_compressed(kept, **pictures())
    write_whole(out.with_suffix(".npz"), kept.getvalue())
    print(f"{len(found)} networks: {out}")


def drawn_first(data, way, patch):
    """The folder of the first network of a way, at its usual times, or at uniform ones if three
    seeds were not trained at those; None if it is not here."""
    own = DERIVED.get(way, way)
    usual = [done((data, own, USUAL[data], patch, seed)) for seed in range(3)]
    place = place_of((data, own, USUAL[data] if all(usual) else "uniform", patch, 0))
    return place if (place / "model.safetensors").exists() else None


def pictures():
    """{"data, way": ten images, bytes} of the first network of each, and of those with patches of
    14; those of the newest committed result where the network is not here."""
    files = sorted(RESULTS.glob("*-laboratory.npz"))
    found = dict(np.load(files[-1])) if files else {}
    for data in USUAL:
        for way in WAYS:
            for patch, name in ((0, f"{data}, {way}"), (14, f"{data}, {way}, patch 14")):
                place = drawn_first(data, way, patch)
                if not place or way.endswith("filtered"):
                    continue
                loaded = RunFolder(place).load()
                labels = torch.arange(10) % loaded.model.num_classes
                config = config_of(data, way, USUAL[data], patch, 0)
                sampling = next(iter(samplers_of(config).values()))
                how = dict(sampling=sampling, progress=None)
                made = generate_many(loaded.model, loaded.path, labels, 3, **how)
                found[name] = as_bytes(made).numpy()
    return found


def listed(seeds):
    """What each experiment has of what it needs."""
    for name in EXPERIMENTS:
        need = list(entries(name, seeds))
        print(f"{name:<10} {sum(bool(done(e)) for e in need):>4} of {len(need)}")


def told(entry, row):
    """A finished network, in a line."""
    score = row["scores"][next(iter(row["scores"]))]
    read = f", {score['accuracy']:.1%}" if "accuracy" in score else ""
    return f"{name_of(*entry)}: {score['frechet']:.4g}{read}"


def main():
    filters = dict(only=EXPERIMENTS, data=BASE, way=WAYS, times=TIMES)
    parser = workers.queue_parser(__doc__, ("small", "large", "tiny"), filters)
    args = parser.parse_args()
    for size in ("small", args.size):
        (RUNS / size).mkdir(parents=True, exist_ok=True)
    take_over()
    if args.list:
        return listed(args.seeds)
    wanted = [e for name in args.only or EXPERIMENTS for e in entries(name, args.seeds)]
    wanted = [
        e
        for e in dict.fromkeys(wanted)
        if e[0] in (args.data or BASE) and e[1] in (args.way or WAYS)
        if e[2] in (args.times or TIMES)
    ]
    todo = [e for e in wanted if not done(e, args.size)]
    todo.sort(key=lambda e: row_file(place_of(e, args.size)).exists())
    workers.work_off(todo, partial(measured, size=args.size, device=args.device), args, told)
    if args.size == "small":
        write_result()


if __name__ == "__main__":
    main()
