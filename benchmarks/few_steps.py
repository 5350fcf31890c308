"""Quality against network evaluations for every solver, on digits and on patches of photographs, three seeds, three blur strengths.

    make benchmark-few-steps                          # or: python benchmarks/few_steps.py

Trains what is missing (nine small networks on each of the two), then samples 1000 digits or 300 patches per entry of the
table. Four hours on one core; parts may run side by side, one process each (OMP_NUM_THREADS=1), by naming them:
`python benchmarks/few_steps.py photos 0.5 2`. Finished entries are kept under runs/benchmark-few-steps. Needs a C++ compiler.
"""
import datetime
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from hdfm.data import load_data
from hdfm.evaluate import classifier_accuracy, digit_reader, frechet_distance, mode_frechet
from hdfm.sampling import SOLVERS, evaluations, predictor, time_grid
from hdfm.train import PRESETS, fit, load_run
from machine import machine

FOLDER = Path("runs/benchmark-few-steps")
DATA, SEEDS, STRENGTHS, BUDGETS = ("digits", "photos"), (0, 1, 2), (1.0, 0.5, 0.0), (5, 10, 20, 50, 100)
SAMPLES, CHUNK = dict(digits=1000, photos=300), dict(digits=250, photos=100)
GRIDS = [(solver, 1.0) for solver in SOLVERS if solver != "dopri5"] + [("exponential_2m", 0.85), ("exponential_2m", 0.8)]


def steps_for(solver, budget):
    """The most steps of a solver that cost at most `budget` evaluations."""
    return max(n for n in range(1, budget + 1) if evaluations(solver, n) <= budget)


def network(data, blur_strength, seed):
    config = replace(PRESETS["digits"], blur_strength=blur_strength, seed=seed)
    if data == "photos": config = replace(config, data="photos-32", model="JiT-XS/4", batch_size=64, sample_every=2000)
    run = fit(config, Path(f"runs/benchmark-{data}") / f"r{blur_strength:g}-seed{seed}", "digits", resume=True, device="cpu")
    return load_run(run)


def draw(model, path, solver, ts, labels, noise, chunk):
    calls, images = [], []

    def counted(predict):
        return lambda z, t: calls.append(len(z)) or predict(z, t)

    for z, part in zip(noise.split(chunk), labels.split(chunk)):
        images.append(SOLVERS[solver](counted(predictor(model, path, part)), path, z, ts).clamp(-1, 1))
    return torch.cat(images), sum(calls) / len(labels)


@torch.no_grad()
def measure(data, blur_strength, seed):
    file = FOLDER / f"{data}-r{blur_strength:g}-seed{seed}.json"
    report = json.loads(file.read_text()) if file.exists() else {}
    config, model, path, info = network(data, blur_strength, seed)
    real, n = load_data(config.data), SAMPLES[data]
    labels = torch.arange(n) % real.num_classes
    noise = path.noise(torch.empty(n, *real.images.shape[1:]), torch.Generator().manual_seed(seed))
    report.update(data=data, blur_strength=blur_strength, seed=seed, samples=n, weights=info["sha256"][:16])
    compiled, entries = torch.compile(model), report.setdefault("entries", {})
    jobs = [(solver, last, budget) for budget in BUDGETS for solver, last in GRIDS] + [("dopri5", 1.0, None)]
    for solver, last, budget in jobs:
        key = f"{solver} {last:g} {budget}"
        if key in entries: continue
        steps = steps_for(solver, budget) if budget else 1
        images, used = draw(compiled, path, solver, time_grid(steps, last_time=last), labels, noise, CHUNK[data])
        entry = dict(solver=solver, last_time=last, budget=budget, steps=steps, evaluations=round(used, 1))
        if data == "digits":
            entry |= dict(distance=frechet_distance(images, real.images), recognised=classifier_accuracy(digit_reader(real), images, labels))
        else: entry |= dict(distance=mode_frechet(images, real.images))
        entries[key] = entry
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(report))
        partial.rename(file)
        print(data, blur_strength, seed, key, round(entry["distance"], 3), flush=True)
    return report


def floor(data):
    """What as many real images score against the rest."""
    real = load_data("digits" if data == "digits" else "photos-32").images
    distance, found = frechet_distance if data == "digits" else mode_frechet, []
    for seed in SEEDS:
        order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))
        n = min(SAMPLES[data], len(real) // 2)
        found.append(distance(real[order[:n]], real[order[n:]]))
    return found


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    if len(sys.argv) == 4: return measure(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
    reports = [measure(data, r, seed) for data in DATA for seed in SEEDS for r in STRENGTHS]
    result = dict(date=str(datetime.date.today()), command="python benchmarks/few_steps.py", machine=machine(), samples=SAMPLES,
                  floors={data: floor(data) for data in DATA}, reports=reports)
    path = Path(__file__).parent / "results" / f"{result['date']}-few-steps.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"saved {path}")


if __name__ == "__main__":
    main()
