"""Quality against network evaluations for every solver, on digits and on patches of photographs,
three seeds, three blur strengths.

    make benchmark-few-steps                          # or: python benchmarks/few_steps.py

Three parts: the table; a search for better time grids and multistep rules on digits; and an
intervention, digits trained at uniform times. Trains what is missing (nine small networks on each
of the two data sets, and three), then samples 1000 digits or 200 patches per entry. Four hours on
one core; parts may run side by side, one process each (OMP_NUM_THREADS=1), by naming them:
`python benchmarks/few_steps.py photos 0.5 2`, `... search 1 0`, `... uniform 1 0`. Finished
entries are kept under runs/benchmark-few-steps. Needs a C++ compiler.
"""

import datetime
import json
import math
import statistics
import sys
from pathlib import Path

import torch

from hdfm.checkpoint import write_whole
from hdfm.config import PRESETS
from hdfm.data import load_data
from hdfm.guidance import predictor
from hdfm.metrics import classifier_accuracy, digit_reader, frechet_distance, mode_frechet
from hdfm.sampling import SOLVERS, evaluations, exponential_step, time_grid
from hdfm.run import RunFolder
from hdfm.train import fit
from machine import machine

FOLDER = Path("runs/benchmark-few-steps")
DATA = ("digits", "photos")
SEEDS = (0, 1, 2)
STRENGTHS = (1.0, 0.5, 0.0)
BUDGETS = (5, 10, 20, 50, 100)
SAMPLES = dict(digits=1000, photos=200)
CHUNK = dict(digits=250, photos=100)
FIXED_STEP = ("euler", "heun", "adaptive_euler", "adaptive_heun", "exponential", "exponential_2m")
GRIDS = [(solver, 1.0) for solver in FIXED_STEP]
GRIDS += [("exponential_2m", 0.85), ("exponential_2m", 0.8)]


def steps_for(solver, budget):
    """The most steps of a solver that cost at most `budget` evaluations."""
    return max(n for n in range(1, budget + 1) if evaluations(solver, n) <= budget)


def multistep(order, clock=lambda t: t):
    """The exponential multistep method that extrapolates x̂ by a polynomial of degree order - 1
    in a clock, to the middle of the step."""

    def solve(predict, path, z, ts):
        known = []
        for t, t_next in zip(ts, ts[1:]):
            known = [(clock(t), predict(z, t)), *known[: order - 1]]
            middle = (clock(t) + clock(t_next)) / 2
            x_hat = 0
            for i, (a, x) in enumerate(known):
                x_hat = x_hat + x * math.prod(
                    (middle - b) / (a - b) for j, (b, _) in enumerate(known) if j != i
                )
            z = exponential_step(path, x_hat, z, t, t_next)
        return z

    return solve


def corrected(predict, path, z, ts):
    """The two-step method, each step taken again with the mean of x̂ at both ends, which costs
    nothing more (as UniPC does)."""
    x_hat = predict(z, ts[0])
    last = None
    t_last = None
    for t, t_next in zip(ts, ts[1:]):
        ahead = (
            x_hat if last is None else x_hat + (t_next - t) / (2 * (t - t_last)) * (x_hat - last)
        )
        trial = exponential_step(path, ahead, z, t, t_next)
        if t_next == 1:
            return trial
        last = x_hat
        t_last = t
        following = predict(trial, t_next)
        z = exponential_step(path, (x_hat + following) / 2, z, t, t_next)
        x_hat = following
    return z


def log_snr(t):
    return math.log(max(t, 0.01) / max(1 - t, 0.01))


def quantiles(n):
    """Times at equal shares of the logit-normal training times, between 0 and 1."""
    normal = statistics.NormalDist(-0.8, 0.8)
    return [0.0, *(1 / (1 + math.exp(-normal.inv_cdf(i / n))) for i in range(1, n)), 1.0]


VARIANTS = {
    "third order": multistep(3),
    "extrapolated in log SNR": multistep(2, log_snr),
    "corrected": corrected,
}
LAST_TIMES = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)


def network(data, blur_strength, seed, **options):
    config = PRESETS["digits"].replace(blur_strength=blur_strength, seed=seed, **options)
    if options:
        data = "uniform"
    if data == "photos":
        photos = dict(data="photos-32", model="JiT-XS/4", batch_size=64, sample_every=2000)
        config = config.replace(**photos)
    out = Path(f"runs/benchmark-{data}") / f"r{blur_strength:g}-seed{seed}"
    fit(config, out, "digits", resume=True, device="cpu")
    return RunFolder(out).load()


@torch.no_grad()
def draw(model, path, solver, ts, labels, noise, chunk):
    calls = []
    images = []

    def counted(predict):
        return lambda z, t: calls.append(len(z)) or predict(z, t)

    for z, part in zip(noise.split(chunk), labels.split(chunk)):
        images.append(solver(counted(predictor(model, path, part)), path, z, ts).clamp(-1, 1))
    return torch.cat(images), sum(calls) / len(labels)


def measure(part, blur_strength, seed):
    """The entries of one network: `part` is 'digits' or 'photos' (the table), 'search', or
    'uniform' (the intervention)."""
    file = FOLDER / f"{part}-r{blur_strength:g}-seed{seed}.json"
    data = "photos" if part == "photos" else "digits"
    report = json.loads(file.read_text()) if file.exists() else {}
    config, model, path, info = network(
        data, blur_strength, seed, **(dict(time_sampling="uniform") if part == "uniform" else {})
    )
    real = load_data(config.data)
    n = SAMPLES[data]
    labels = torch.arange(n) % real.num_classes
    read = digit_reader(real) if data == "digits" else None
    noise = path.noise(torch.empty(n, *real.images.shape[1:]), torch.Generator().manual_seed(seed))
    if report.get("weights", info["sha256"][:16]) != info["sha256"][:16]:
        report = {}  # trained anew
    report.update(
        part=part, blur_strength=blur_strength, seed=seed, samples=n, weights=info["sha256"][:16]
    )
    compiled = torch.compile(model)
    entries = report.setdefault("entries", {})
    for key, name, solver, budget, ts in jobs(part):
        if key in entries:
            continue
        images, used = draw(compiled, path, solver, ts, labels, noise, CHUNK[data])
        entry = dict(solver=name, budget=budget, evaluations=round(used, 1))
        if data == "digits":
            entry |= dict(
                distance=frechet_distance(images, real.images),
                recognised=classifier_accuracy(read, images, labels),
            )
        else:
            entry |= dict(distance=mode_frechet(images, real.images))
        entries[key] = entry
        write_whole(file, json.dumps(report).encode())
        print(part, blur_strength, seed, key, round(entry["distance"], 3), flush=True)
    return report


def jobs(part):
    """(key, name, solver, budget, times) of every entry."""
    if part == "search":
        for budget in (5, 10, 20):
            for last in LAST_TIMES:
                yield (
                    f"two-step {last:g} {budget}",
                    "exponential_2m",
                    SOLVERS["exponential_2m"],
                    budget,
                    time_grid(budget, last_time=last),
                )
            yield (
                f"two-step quantiles {budget}",
                "quantiles",
                SOLVERS["exponential_2m"],
                budget,
                quantiles(budget),
            )
            for name, solver in VARIANTS.items():
                yield f"{name} {budget}", name, solver, budget, time_grid(budget, last_time=0.85)
        return
    for budget in BUDGETS:
        for solver, last in GRIDS:
            if part == "uniform" and (solver, last) not in (
                ("exponential_2m", 1.0),
                ("exponential_2m", 0.85),
            ):
                continue
            grid = time_grid(steps_for(solver, budget), last_time=last)
            yield f"{solver} {last:g} {budget}", solver, SOLVERS[solver], budget, grid
    if part != "uniform":
        yield "dopri5 1 None", "dopri5", SOLVERS["dopri5"], None, [0.0, 1.0]


def floor(data):
    """What as many real images score against the rest."""
    real = load_data("digits" if data == "digits" else "photos-32").images
    distance = frechet_distance if data == "digits" else mode_frechet
    found = []
    for seed in SEEDS:
        order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))
        n = min(SAMPLES[data], len(real) // 2)
        found.append(distance(real[order[:n]], real[order[n:]]))
    return found


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    if len(sys.argv) == 4:
        return measure(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
    reports = [measure(part, r, seed) for part in DATA for seed in SEEDS for r in STRENGTHS]
    reports += [measure("search", r, seed) for seed in SEEDS for r in (1.0, 0.0)] + [
        measure("uniform", 1.0, seed) for seed in SEEDS
    ]
    result = dict(
        date=str(datetime.date.today()),
        command="python benchmarks/few_steps.py",
        machine=machine(),
        samples=SAMPLES,
        floors={data: floor(data) for data in DATA},
        reports=reports,
    )
    path = Path(__file__).parent / "results" / f"{result['date']}-few-steps.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"saved {path}")


if __name__ == "__main__":
    main()
