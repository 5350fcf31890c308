"""Whether the field that a network has learned is a gradient, how many dimensions it lets through,
and how many dimensions the neighbours of noised images see.

    make benchmark-field                              # or: python benchmarks/field.py

Trains six small networks on the first 1597 digits (r = 0 and 1, three seeds, 800 steps; under a
minute each on one core) and measures them at noised versions of sixteen of the 200 others. Beside
them stand the exact predictor of the 1597 digits and a network with random weights. Then come the
nearest-neighbour dimensions of noised digits and clothes. Six minutes of one core in all. It can
be stopped and started again: trainings go on from their last checkpoint, and finished
measurements are kept under runs/field.
"""

import datetime
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch

import torch
from tqdm import tqdm

from hdfm.checkpoint import write_whole
from hdfm.config import PRESETS, build
from hdfm.core import HeatOperator, dct
from hdfm.data import ImageData, load_data
from hdfm.exact import EmpiricalPosterior
from hdfm.field import (
    asymmetry,
    degrees_of_freedom,
    field_in_modes,
    jacobian_in_modes,
    linear_degrees_of_freedom,
    loop_integral,
    nearest_dimension,
)
from hdfm.path import HeatProbPath
from hdfm.run import RunFolder
from hdfm.train import fit
from machine import machine

RESULTS = Path(__file__).parent / "results"
RUNS = Path("runs/field")
STRENGTHS = (0.0, 1.0)
SEEDS = (0, 1, 2)
TIMES = (0.2, 0.4, 0.6, 0.8)
HELD_OUT = 200  # the last digits, which no network sees in training
POINTS = 16  # of them are looked at
CIRCLES = 2  # round each
CLOTHES = 2000
NEIGHBOURS = 10
DIMENSION_TIMES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)


def config_of(r, seed):
    """The `TrainConfig` of a network."""
    options = dict(steps=800, batch_size=64, ema=0.995, time_mean=0.0)
    often = dict(sample_every=800, save_every=400, keep=1)
    return PRESETS["digits"].replace(blur_strength=r, seed=seed, **options, **often)


def halves():
    """The digits to train on, and images and labels of those to look at, one in twelve of the
    rest."""
    digits = load_data("digits")
    images = digits.images[:-HELD_OUT]
    labels = digits.labels[:-HELD_OUT]
    known = ImageData("digits", images, labels, digits.num_classes, features="pixels")
    some = torch.arange(POINTS) * 12 + len(known)
    return known, digits.images[some], digits.labels[some]


def kept(name, measure):
    """The rows that `measure()` gives, from the file of an earlier run if there is one."""
    file = RUNS / f"{name}.json"
    if not file.exists():
        write_whole(file, (json.dumps(measure()) + "\n").encode())
    return json.loads(file.read_text())


def said(values):
    """Mean and standard deviation over points, to four digits."""
    return [float(f"{x:.4g}") for x in (values.mean().item(), values.std().item())]


def negative_share(J):
    """Σ|λ < 0| / Σ|λ| of the symmetric part: 0 if it can be a covariance."""
    eigenvalues = torch.linalg.eigvalsh((J + J.mT).double() / 2)
    return eigenvalues.clamp(max=0).sum(1).abs() / eigenvalues.abs().sum(1)


def largest_block(J, variance, path, t, n=16):
    """J among the n modes that can be seen best at t."""
    a, s = path.clocks(t, variance[None])
    best = (a**2 * variance / s**2).flatten().argsort(descending=True)[:n]
    return J[:, best][:, :, best]


def measures(predict, path, images, variance, t, seed):
    """{measure: [mean, standard deviation over points]} of a predictor at noised images."""
    generator = torch.Generator().manual_seed(seed)
    noise = path.noise(images, generator)
    Z = path.operator.modes(path.interpolate(noise, images, t))
    field = field_in_modes(predict, path, t)
    J = jacobian_in_modes(field, Z)
    a, s = path.clocks(t, Z)
    plain = J / (a / s**2).expand_as(Z).flatten(1)[..., None]  # the Jacobian of x̂ alone
    radius = (1 - t) * path.noise_scale
    loops = [loop_integral(field, Z, radius, generator) for _ in range(CIRCLES)]
    return dict(
        asymmetry=said(asymmetry(J)),
        plain=said(asymmetry(plain)),
        seen=said(asymmetry(largest_block(J, variance, path, t))),
        loop=said(torch.stack(loops)),
        negative=said(negative_share(J)),
        freedom=said(degrees_of_freedom(J, path, Z, t)),
    )


def told(model, labels):
    return lambda z, t: model(z, torch.full((len(z),), t), labels)


def of_network(r, seed):
    """The rows of a network, trained now unless it is there."""
    known, images, labels = halves()
    variance = dct(known.images).var(0).mean(0)
    place = RUNS / f"r{r:g}-seed{seed}"
    fit(config_of(r, seed), place, "field", resume=True, device="cpu", data=known)
    run = RunFolder(place)
    loaded = run.load()
    rows = []
    for label, given in (("given", labels), ("none", None)):
        for t in TIMES:
            predict = told(loaded.model, given)
            found = measures(predict, loaded.path, images, variance, t, seed)
            rows.append(dict(what="network", r=r, seed=seed, labels=label, t=t, **found))
    first = rows[0]
    first["loss"] = run.metrics()[-1]["loss"]
    first["weights"] = loaded.info["sha256"][:16]
    return rows


def of_exact(r, seed):
    """The rows of the exact predictor of the digits that the networks learn from."""
    known, images, _ = halves()
    variance = dct(known.images.double()).var(0).mean(0)
    path = HeatProbPath((8, 8), r)
    exact = EmpiricalPosterior(known.images.double(), path)
    rows = []
    for t in TIMES:
        found = measures(exact, path, images.double(), variance, t, seed)
        rows.append(dict(what="exact", r=r, seed=seed, t=t, **found))
    return rows


def of_random(r, seed):
    """The rows of a network with random weights."""
    known, images, labels = halves()
    variance = dct(known.images).var(0).mean(0)
    model, path = build(config_of(r, seed), *known.shape, known.num_classes)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():  # a new network says 0
            p += 0.1 * torch.randn(p.shape, generator=generator)
    rows = []
    for t in TIMES:
        found = measures(told(model.eval(), labels), path, images, variance, t, seed)
        rows.append(dict(what="random", r=r, seed=seed, t=t, **found))
    return rows


def of_neighbours(data, r, seed):
    """The rows of noised images, and (seed None) of images that are only blurred."""
    images = load_data(data).images.double()
    if data != "digits":
        images = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))]
        images = images[:CLOTHES]
    path = HeatProbPath(images.shape[-2:], r)
    if seed is None:
        blur = HeatOperator(images.shape[-2:], r)
        shown = {t: blur(images, t) for t in DIMENSION_TIMES if t > 0}
    else:
        noise = path.noise(images, torch.Generator().manual_seed(seed))
        shown = {t: path.interpolate(noise, images, t) for t in DIMENSION_TIMES}
    return [
        dict(data=data, r=r, seed=seed, t=t, n=len(z), d=round(nearest_dimension(z, NEIGHBOURS), 3))
        for t, z in shown.items()
    ]


def main():
    torch.set_num_threads(1)
    RUNS.mkdir(parents=True, exist_ok=True)
    every = [(r, seed) for seed in SEEDS for r in STRENGTHS]
    jobs = [(of, entry) for of in (of_exact, of_random, of_network) for entry in every]
    fields = []
    for of, (r, seed) in tqdm(jobs, desc="fields"):
        fields += kept(f"{of.__name__}-r{r:g}-seed{seed}", lambda: of(r, seed))
    neighbours = []
    entries = [(data, r, seed) for data in ("digits", "fashion-small") for r, seed in every]
    entries += [(data, 1.0, None) for data in ("digits", "fashion-small")]
    for entry in tqdm(entries, desc="neighbours"):
        name = "-".join(map(str, ("neighbours", *entry)))
        neighbours += kept(name, lambda: of_neighbours(*entry))
    variance = dct(halves()[0].images.double()).var(0).mean(0)
    grid = [i / 100 for i in range(100)]
    linear = {
        f"{r:g}": linear_degrees_of_freedom(HeatProbPath((8, 8), r), variance, grid).tolist()
        for r in STRENGTHS
    }
    result = dict(
        command="python benchmarks/field.py",
        date=datetime.date.today().isoformat(),
        machine=machine(),
        config=config_of(0.0, 0).flat(),
        points=POINTS,
        circles=CIRCLES,
        neighbours=NEIGHBOURS,
        fields=fields,
        dimensions=neighbours,
        linear=dict(t=grid, **{r: [round(x, 4) for x in d] for r, d in linear.items()}),
    )
    out = RESULTS / f"{result['date']}-field.json"
    text = json.dumps(result).replace('{"what"', '\n{"what"').replace('{"data": ', '\n{"data": ')
    write_whole(out, (text + "\n").encode())
    print(out)


if __name__ == "__main__":
    main()
