"""Every solver on trained networks: distance to the real images against evaluations.

    make benchmark-solvers                            # or: python benchmarks/solvers.py
    python benchmarks/solvers.py --data digits --seeds 0 --minutes 30

The networks are those of the laboratory (`benchmarks/laboratory.py`, experiment "blur" at the
usual times), r = 0, 1/2 and 1, three seeds, on digits and clothes; what is missing is trained
first. Each multistep solver gets the same search, over five time grids for up to ten evaluations
and two for more; the others over two. The fitted solver has nothing to be searched. An entry that
is done is kept under runs/solvers, with the hash of the weights.
"""

import argparse
import datetime
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: the processes share the cores

import torch
from tqdm import tqdm

from hdfm.checkpoint import write_whole
from hdfm.data import class_labels, load_data
from hdfm.evaluate import block_generator
from hdfm.fitted import FITTED_STEPS, fit_two_step, variance_within
from hdfm.guidance import predictor
from hdfm.multistep import log_snr_grid, visible_grid
from hdfm.run import RunFolder
from hdfm.sampling import SOLVERS, time_grid
import laboratory
from judge import Judge
from machine import machine

RESULTS = Path(__file__).parent / "results"
FOLDER = Path("runs/solvers")
STRENGTHS = ("r = 0", "r = 1/2", "r = 1")
SAMPLES = dict(digits=1000, fashion=500)
BUDGETS = (3, 4, 5, 6, 8, 10, 20, 50)
MANY = 100  # evaluations of what all are compared with
COST = {"heun": 2, "adaptive_heun": 2}  # evaluations a step
LEADING = ("exponential_2m", "deis_3m", "dpm_2m", "dpm_3m", "unipc")
OTHERS = ("euler", "heun", "adaptive_heun", "exponential", "ancestral", "sde_dpm_2m")


def grids(steps, path, variance):
    """{name: times} of so many steps."""
    found = {"equal": time_grid(steps)}
    if steps >= 3:
        found |= {"0.85": time_grid(steps, last_time=0.85), "log SNR": log_snr_grid(steps)}
        found |= {"0.95": time_grid(steps, last_time=0.95)}
        found |= {"visible": visible_grid(steps, path, variance)}
    return found


def jobs(path, variance):
    """(key, solver, budget, grid, times, extra) of every entry; `extra` goes to the solver."""
    for n in BUDGETS:
        for solver in (*LEADING, *OTHERS):
            names = ("equal", "0.85", "0.95", "log SNR", "visible")
            if n > 10 or solver in OTHERS:
                names = ("equal", "0.95")
            steps = max(1, n // COST.get(solver, 1))
            for grid, ts in grids(steps, path, variance).items():
                if grid in names or steps < 3:
                    yield f"{solver}, {grid}, {n}", solver, n, grid, ts, ()
        if n in FITTED_STEPS:
            times, ahead = fit_two_step(path, variance, n)
            yield f"fitted, fitted, {n}", "fitted", n, "fitted", [*times], (ahead,)
    for solver in ("heun", "exponential_2m"):
        for grid, ts in grids(MANY // COST.get(solver, 1), path, variance).items():
            if grid in ("equal", "0.85", "0.95"):
                yield f"{solver}, {grid}, {MANY}", solver, MANY, grid, ts, ()


@torch.no_grad()
def draw(loaded, noise, labels, solver, ts, extra, chunk=250):
    """The images of one entry."""
    made = []
    generator = block_generator(1)
    more = (generator,) if SOLVERS[solver].stochastic else extra
    for z, part in zip(noise.split(chunk), labels.split(chunk)):
        predict = predictor(loaded.model, loaded.path, part)
        made.append(SOLVERS[solver](predict, loaded.path, z, ts, *more).clamp(-1, 1))
    return torch.cat(made)


def measured(data, way, seed, until):
    """The report on one network, as far as there is time."""
    entry = (data, way, laboratory.USUAL[data], 0, seed)
    place = laboratory.place_of(entry)
    laboratory.train(laboratory.config_of(*entry), place, "cpu")
    loaded = RunFolder(place).load()
    path = loaded.path
    weights = loaded.info["sha256"][:16]
    file = FOLDER / f"{place.name}.json"
    report = json.loads(file.read_text()) if file.exists() else {}
    if report.get("weights") != weights:
        report = dict(data=data, way=way, seed=seed, weights=weights, entries={})
    images = load_data(data)
    variance = variance_within(path, images.images[:10_000], images.labels[:10_000])
    judge = Judge(data, laboratory.held_out(data).images)
    n = SAMPLES[data]
    labels = class_labels(n, images.num_classes)
    noise = path.start(torch.empty(n, *images.shape), block_generator(0))
    bar = tqdm([*jobs(path, variance)], desc=place.name, unit="entry")
    for key, solver, budget, grid, ts, extra in bar:
        if key in report["entries"]:
            continue
        if time.monotonic() > until:
            break
        made = draw(loaded, noise, labels, solver, ts, extra)
        row = dict(solver=solver, evaluations=budget, grid=grid, distance=judge.distance(made))
        report["entries"][key] = row
        write_whole(file, json.dumps(report).encode())
    return report


def write_result():
    """All reports that there are, as a dated result."""
    found = [json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))]
    result = dict(command="python benchmarks/solvers.py", samples=SAMPLES, machine=machine())
    out = RESULTS / f"{datetime.date.today()}-solvers.json"
    text = json.dumps(dict(result, reports=found))
    write_whole(out, (text.replace('{"data"', '\n{"data"') + "\n").encode())
    print(f"{len(found)} networks: {out}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", action="append", choices=SAMPLES)
    parser.add_argument("--way", action="append", choices=STRENGTHS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=1e9, help="begin nothing after so many")
    args = parser.parse_args()
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + 60 * args.minutes
    for seed in args.seeds:
        for data in args.data or SAMPLES:
            for way in args.way or STRENGTHS:
                if time.monotonic() < until:
                    measured(data, way, seed, until)
    write_result()


if __name__ == "__main__":
    main()
