"""What solvers and guidance do on digits trained with blur, and the frequency ratio with and
without: evidence for 38_claims.

    make benchmark-digits-sampling                    # or: python benchmarks/digits_sampling.py

Uses the networks of benchmarks/digits.py (and trains them first where they are missing). Half an
hour on two cores after that. It can be stopped and started again: finished parts are kept under
runs/benchmark-digits-sampling.
"""

import datetime
import json
from pathlib import Path

import torch

from digits import SEEDS
from hdfm.checkpoint import write_whole
from hdfm.config import PRESETS
from hdfm.data import load_data
from hdfm.evaluate import generate_many
from hdfm.guidance import guided
from hdfm.metrics import classifier_accuracy, digit_reader, frechet_distance
from hdfm.run import RunFolder
from hdfm.sampling import Sampling, evaluations, exponential_2m, time_grid
from hdfm.spectra import frequency_ratio
from hdfm.train import fit
from machine import machine

FOLDER = Path("runs/benchmark-digits-sampling")
BUDGETS = (10, 20, 50)
FIXED_STEP = ("euler", "heun", "adaptive_euler", "adaptive_heun", "exponential", "exponential_2m")
GUIDANCE = (0.0, 0.5, 1.0, 2.0, 3.0)
SAMPLES = 1800


def steps_for(solver, budget):
    """The most steps of a solver that cost at most `budget` evaluations."""
    return max(n for n in range(1, budget + 1) if evaluations(solver, n) <= budget)


def ratio_along(model, path, seed):
    """The frequency ratio (low: the lowest half of each axis) of the states of one sampling run
    of 20 steps."""
    labels = torch.arange(SAMPLES) % 10
    states = []
    predict = guided(model, labels)

    def watched(z, t):
        states.append(frequency_ratio(z, cut=0.5).item())
        return predict(z, t)

    with torch.no_grad():
        noise = path.noise(torch.empty(SAMPLES, 1, 8, 8), torch.Generator().manual_seed(seed))
        end = exponential_2m(watched, path, noise, time_grid(20))
    return [*states, frequency_ratio(end, cut=0.5).item()]


def measure(blur_strength, seed):
    path = FOLDER / f"r{blur_strength:g}-seed{seed}.json"
    if path.exists():
        return json.loads(path.read_text())
    config = PRESETS["digits"].replace(blur_strength=blur_strength, seed=seed)
    run = Path("runs/benchmark-digits") / f"r{blur_strength:g}-seed{seed}"
    fit(config, run, "digits", resume=True, device="cpu")
    _, model, prob_path, info = RunFolder(run).load()
    data = load_data("digits")
    read = digit_reader(data)
    labels = torch.arange(SAMPLES) % 10
    report = dict(
        blur_strength=blur_strength,
        seed=seed,
        weights=info["sha256"][:16],
        frequency_ratio=ratio_along(model, prob_path, seed),
        solvers={},
        guidance={},
    )
    def drawn(**options):
        how = Sampling(last_time=1.0, **options)
        return generate_many(model, prob_path, labels, seed, how, progress=None)

    for solver in FIXED_STEP if blur_strength else ():
        for budget in BUDGETS:
            images = drawn(solver=solver, steps=steps_for(solver, budget))
            report["solvers"].setdefault(solver, {})[budget] = frechet_distance(images, data.images)
    for scale in GUIDANCE if blur_strength else ():
        images = drawn(guidance_scale=scale, guidance_interval=(-1.0, 1.0))
        report["guidance"][scale] = dict(
            accuracy=classifier_accuracy(read, images, labels),
            pixel_frechet=frechet_distance(images, data.images),
        )
    write_whole(path, json.dumps(report).encode())
    print(json.dumps(report), flush=True)
    return json.loads(path.read_text())


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    reports = [measure(r, seed) for seed in SEEDS for r in (1.0, 0.0)]
    result = dict(
        date=str(datetime.date.today()),
        command="python benchmarks/digits_sampling.py",
        machine=machine(),
        samples=SAMPLES,
        reports=reports,
    )
    path = Path(__file__).parent / "results" / f"{result['date']}-digits-sampling.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"saved {path}")


if __name__ == "__main__":
    main()
