"""Train the preset `fashion` for r = 0, ½ and 1, three seeds each, and measure 5,000 images of each
at 10 and at 50 evaluations against the test images.

    python benchmarks/fashion.py                      # all nine, some three hours of one core
    python benchmarks/fashion.py 1 0                  # r = 1 with seed 0 alone
    python benchmarks/fashion.py table                # the dated table of those that are done

It can be stopped and started again, and several can run side by side: finished parts are kept
under runs/fashion.
"""

import datetime
import json
import sys
from pathlib import Path

import torch

from hdfm.config import PRESETS
from hdfm.evaluate import evaluate_run
from hdfm.run import RunFolder
from hdfm.train import fit
from machine import machine

RUNS = Path("runs/fashion")
STRENGTHS = (1.0, 0.0, 0.5)
SEEDS = (0, 1, 2)
STEPS = (10, 50)
SAMPLES = 5000


def one(r, seed):
    """The reports of one training, made now unless they are there."""
    run = RUNS / f"r{r:g}-seed{seed}"
    kept = RUNS / f"r{r:g}-seed{seed}.json"
    if not kept.exists():
        config = PRESETS["fashion"].replace(blur_strength=r, seed=seed)
        fit(config, run, "fashion", resume=True, device="cpu")
        how = dict(samples=SAMPLES, read_samples=SAMPLES, seed=seed, device="cpu")
        reports = [evaluate_run(run, sampling=dict(steps=n), **how) for n in STEPS]
        seconds = RunFolder(run).metrics()[-1]["seconds"]
        kept.write_text(json.dumps(dict(r=r, seed=seed, seconds=seconds, reports=reports)) + "\n")
    print(r, seed, "done", flush=True)
    return json.loads(kept.read_text())


def table():
    """Write what is done as a dated result."""
    files = [RUNS / f"r{r:g}-seed{seed}.json" for r in STRENGTHS for seed in SEEDS]
    runs = [json.loads(file.read_text()) for file in files if file.exists()]
    date = datetime.date.today().isoformat()
    out = Path(__file__).parent / "results" / f"{date}-fashion.json"
    result = dict(date=date, config=PRESETS["fashion"].flat(), runs=runs, machine=machine())
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{len(runs)} of {len(files)} trainings: {out}")


def main(args):
    torch.set_num_threads(1)
    RUNS.mkdir(parents=True, exist_ok=True)
    if args != ["table"]:
        pairs = [(float(args[0]), int(args[1]))] if args else None
        for r, seed in pairs or [(r, seed) for seed in SEEDS for r in STRENGTHS]:
            one(r, seed)
    table()


if __name__ == "__main__":
    main(sys.argv[1:])
