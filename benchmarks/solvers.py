"""Every solver on trained networks: distance to the real images against evaluations.

    make benchmark-solvers                            # or: python benchmarks/solvers.py
    python benchmarks/solvers.py --data digits --seeds 0 --minutes 30

The networks are those of the laboratory (`benchmarks/laboratory.py`, experiment "blur" at the
usual times), r = 0, 1/2 and 1, three seeds, on digits, clothes and patches of photographs; what is
missing is trained first. First the search, the same for all solvers, on the first network of each
kind and with noise of its own: five time grids at each number of evaluations up to ten, and two
last times at twenty, of which the better is kept for more. Then the report on all three networks,
each solver with the grid that was found. The fitted solver has nothing to be searched; it is shown
with and without caution. Last the puzzle, digits with blur at JiT's early times and at late ones,
where more steps can be worse. An entry that is done is kept under runs/solvers, with the hash of
the weights.
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
from hdfm.fitted import CAUTION, FITTED_STEPS, fit_two_step, variance_within
from hdfm.guidance import predictor
from hdfm.multistep import log_snr_grid, visible_grid
from hdfm.run import RunFolder
from hdfm.sampling import SOLVERS, time_grid
import laboratory
from judge import Judge
from machine import machine
from measuring import held_out

RESULTS = Path(__file__).parent / "results"
FOLDER = Path("runs/solvers")
STRENGTHS = ("r = 0", "r = 1/2", "r = 1")
SAMPLES = dict(digits=500, fashion=400, photos=500)
SEARCH_SAMPLES = 250
FEW = (3, 4, 5, 6, 8, 10)  # evaluations at which the grid is searched
MORE = (20, 50)
MANY = 100  # evaluations of what all are compared with
LASTS = ("0.85", "0.95")  # last times, searched at 20 evaluations, kept from there on
COST = {"heun": 2, "adaptive_heun": 2}  # evaluations a step
LEADING = ("exponential_2m", "deis_3m", "dpm_2m", "dpm_3m", "unipc")
OTHERS = ("euler", "heun", "adaptive_heun", "exponential", "ancestral", "sde_dpm_2m")
PUZZLE = ("early", "late")  # times of training
PUZZLE_STEPS = (5, 10, 20, 50, 100)


def grids(steps, path, variance):
    """{name: times} of so many steps."""
    found = {"equal": time_grid(steps)}
    if steps >= 3:
        found |= {last: time_grid(steps, last_time=float(last)) for last in LASTS}
        found |= {"log SNR": log_snr_grid(steps), "visible": visible_grid(steps, path, variance)}
    return found


def steps_of(solver, evaluations):
    return max(1, evaluations // COST.get(solver, 1))


class Bench:
    """One trained network, and the images that solvers make with it."""

    def __init__(self, data, way, seed, times=None):
        entry = (data, way, times or laboratory.USUAL[data], 0, seed)
        place = laboratory.place_of(entry)
        laboratory.train(laboratory.config_of(*entry), place, "cpu")
        self.loaded = RunFolder(place).load()
        self.path = self.loaded.path
        config = laboratory.BASE[data]
        self.images = load_data(config.data)
        few = self.images.images[:10_000]
        self.variance = variance_within(self.path, few, self.images.labels[:10_000])
        self.judge = Judge(config.data, held_out(config.data).images)
        weights = self.loaded.info["sha256"][:16]
        self.file = FOLDER / f"{place.name}.json"
        report = json.loads(self.file.read_text()) if self.file.exists() else {}
        if report.get("weights") != weights:
            when = entry[2]
            report = dict(data=data, way=way, times=when, seed=seed, weights=weights, entries={})
        self.entries = report["entries"]
        self.report = report

    def distance(self, kind, solver, evaluations, grid, n, extra=None, times=None):
        """The distance of `n` images, from the file if it is known; `kind`: search or report."""
        key = f"{kind}, {solver}, {grid}, {evaluations}"
        if key not in self.entries:
            if times is None:
                times = grids(steps_of(solver, evaluations), self.path, self.variance)[grid]
            made = self.draw(solver, times, n, kind == "search", extra)
            self.entries[key] = self.judge.distance(made)
            write_whole(self.file, json.dumps(self.report).encode())
        return self.entries[key]

    @torch.no_grad()
    def draw(self, solver, times, n, search, extra, chunk=250):
        """`n` images from noise that is the same for all solvers."""
        made = []
        labels = class_labels(n, self.images.num_classes)
        like = torch.empty(n, *self.images.shape)
        noise = self.path.start(like, block_generator(2 if search else 0))
        generator = block_generator(3 if search else 1)
        more = (generator,) if SOLVERS[solver].stochastic else (extra,) if extra else ()
        for z, part in zip(noise.split(chunk), labels.split(chunk)):
            predict = predictor(self.loaded.model, self.path, part)
            made.append(SOLVERS[solver](predict, self.path, z, times, *more).clamp(-1, 1))
        return torch.cat(made)


def searched(bench, bar):
    """{solver: {evaluations: the best grid}}."""
    found = {}
    for solver in (*LEADING, *OTHERS):
        found[solver] = {}
        for evaluations in (*FEW, 20):
            names = grids(steps_of(solver, evaluations), bench.path, bench.variance)
            names = [*names] if evaluations in FEW else [*LASTS]
            distances = {}
            for grid in names:
                distances[grid] = bench.distance(
                    "search", solver, evaluations, grid, SEARCH_SAMPLES
                )
                bar.update()
            found[solver][evaluations] = min(distances, key=distances.get)
        found[solver] |= {n: found[solver][20] for n in (*MORE, MANY)}
    return found


def reported(bench, chosen, n, bar):
    """Every solver, at the grid that was chosen for it."""
    for solver in (*LEADING, *OTHERS):
        many = (MANY,) if solver in ("exponential_2m", "heun") else ()
        for evaluations in (*FEW, *MORE, *many):
            bench.distance("report", solver, evaluations, chosen[solver][evaluations], n)
            bar.update()
    for steps in FITTED_STEPS:
        for grid, caution in (("exact", 0.0), ("cautious", CAUTION)):
            times, ahead = fit_two_step(bench.path, bench.variance, steps, caution)
            bench.distance("report", "fitted", steps, grid, n, ahead, [*times])
            bar.update()


def puzzle(seed, bar):
    """Equal steps and the jump, by the times of training."""
    for when in PUZZLE:
        bench = Bench("digits", "r = 1", seed, when)
        for grid in ("equal", "0.85"):
            for steps in PUZZLE_STEPS:
                bench.distance("puzzle", "exponential_2m", steps, grid, SAMPLES["digits"])
                bar.update()


def write_result():
    """All reports that there are, as a dated result."""
    found = [json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))]
    result = dict(command="python benchmarks/solvers.py", samples=SAMPLES, machine=machine())
    result |= dict(search_samples=SEARCH_SAMPLES, usual=laboratory.USUAL)
    out = RESULTS / f"{datetime.date.today()}-solvers.json"
    text = json.dumps(dict(result, reports=found))
    write_whole(out, (text.replace('{"data"', '\n{"data"') + "\n").encode())
    print(f"{len(found)} networks: {out}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", action="append", choices=SAMPLES)
    parser.add_argument("--way", action="append", choices=STRENGTHS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no network after so many")
    args = parser.parse_args()
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + 60 * args.minutes
    with tqdm(desc="entries", unit="entry") as bar:
        for data in args.data or SAMPLES:
            for way in args.way or STRENGTHS:
                chosen = searched(Bench(data, way, 0), bar)
                for seed in args.seeds:
                    if time.monotonic() < until:
                        reported(Bench(data, way, seed), chosen, SAMPLES[data], bar)
            for seed in args.seeds if data == "digits" else ():
                puzzle(seed, bar)
    write_result()


if __name__ == "__main__":
    main()
