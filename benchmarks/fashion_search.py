"""What each choice of the preset `fashion` is worth: the preset with one thing changed at a time.

    python benchmarks/fashion_search.py               # all of them, some three hours of one core
    python benchmarks/fashion_search.py "lr 1e-3"     # one of them
    python benchmarks/fashion_search.py table         # the dated table of those that are done

One seed each, 5,000 steps; then the same of `fashion-quick`. It can be stopped and started again,
and several can run side by side: finished parts are kept under runs/fashion-search.
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

RUNS = Path("runs/fashion-search")
BASE = PRESETS["fashion"].replace(steps=5000, proxy_every=0, sample_every=5000)
TRAININGS = {
    "the preset": {},
    "lr 1e-3": dict(lr=1e-3),
    "lr 2e-3": dict(lr=2e-3),
    "times uniform": dict(time_sampling="uniform"),
    "EMA 0.99": dict(ema=0.99),
    "EMA 0.9995": dict(ema=0.9995),
    "constant rate": dict(schedule="constant"),
    "refined": dict(model="JiT-XS/4-refined"),
    "refined, lr 4e-3": dict(model="JiT-XS/4-refined", lr=4e-3),
    "lr 1.6e-2": dict(lr=1.6e-2),
    "lr 4e-3": dict(lr=4e-3),
    "patches of 2": dict(model="JiT-XS/2"),
    "batch 32": dict(batch_size=32, steps=10_000),
    "mirrored": dict(flip=True),
}
QUICK = PRESETS["fashion-quick"].replace(data="fashion", proxy_every=0, sample_every=3000)
QUICK_TRAININGS = {
    "quick": {},
    "quick, EMA 0.999": dict(ema=0.999),
    "quick, lr 4e-3": dict(lr=4e-3),
    "quick, 2,000 steps": dict(steps=2000),
}
SAMPLINGS = {
    "guidance 1": dict(guidance_scale=1.0),
    "guidance 2": dict(guidance_scale=2.0),
    "last time 0.8": dict(last_time=0.8),
    "last time 0.97": dict(last_time=0.97),
    "10 steps": dict(steps=10),
    "50 steps": dict(steps=50),
}
SAMPLES = 2000


def row(name, report, run):
    """The measures that the table shows."""
    features = report["features"]
    return dict(
        name=name,
        frechet=features["frechet"],
        kid=features["kid"],
        precision=features["precision"],
        recall=features["recall"],
        accuracy=report["accuracy"],
        seams=report["seams"],
        mode_frechet=report["mode_frechet"],
        nearest_ratio=report["nearest"]["ratio"],
        evaluations=report["protocol"]["evaluations"],
        seconds=round(run.metrics()[-1]["seconds"]),
        date=datetime.date.today().isoformat(),
        cpu=machine()["cpu"],
        real=dict(
            frechet=report["real"]["features"]["frechet"],
            accuracy=report["real"]["accuracy"],
            seams=report["real"]["seams"],
            mode_frechet=report["real"]["mode_frechet"],
        ),
    )


def config_of(training):
    """The preset, or the quick one, with its one change."""
    if training in QUICK_TRAININGS:
        return QUICK.replace(**QUICK_TRAININGS[training])
    return BASE.replace(**TRAININGS[training])


def judged(name, training, sampling):
    """The row of a run, trained and judged now unless it is done."""
    run = RUNS / training.replace(" ", "-").replace(".", "_").replace(",", "")
    kept = RUNS / f"{name.replace(' ', '-')}.json"
    if not kept.exists():
        fit(config_of(training), run, "fashion", resume=True, device="cpu")
        how = dict(samples=SAMPLES, read_samples=SAMPLES, sampling=sampling, device="cpu")
        found = row(name, evaluate_run(run, **how), RunFolder(run))
        kept.write_text(json.dumps(found, indent=1) + "\n")
        print(json.dumps(found), flush=True)
    return json.loads(kept.read_text())


def table():
    """Write what is done as a dated result."""
    names = [*TRAININGS, *SAMPLINGS, *QUICK_TRAININGS]
    files = [RUNS / f"{name.replace(' ', '-')}.json" for name in names]
    rows = [json.loads(file.read_text()) for file in files if file.exists()]
    date = datetime.date.today().isoformat()
    out = Path(__file__).parent / "results" / f"{date}-fashion-search.json"
    result = dict(date=date, samples=SAMPLES, base=BASE.flat(), rows=rows, machine=machine())
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{len(rows)} of {len(names)} rows: {out}")


def main(names):
    torch.set_num_threads(1)
    RUNS.mkdir(parents=True, exist_ok=True)
    if names == ["table"]:
        return table()
    for name in names or [*TRAININGS, *SAMPLINGS, *QUICK_TRAININGS]:
        if name in SAMPLINGS:
            judged(name, "the preset", SAMPLINGS[name])
        else:
            judged(name, name, {})
    table()


if __name__ == "__main__":
    main(sys.argv[1:])
