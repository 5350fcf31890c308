"""Train the digits preset with and without blur, three seeds each, and write the table that the
README shows.

    make benchmark-digits                             # or: python benchmarks/digits.py

Half an hour on two cores. It can be stopped and started again: finished parts are kept under
runs/benchmark-digits.
"""

import datetime
import json
import statistics
from pathlib import Path

from hdfm.config import PRESETS
from hdfm.evaluate import evaluate_run
from hdfm.run import RunFolder
from hdfm.train import fit
from machine import machine

METHODS = {"HDFM, blur strength 1": 1.0, "plain flow matching, blur strength 0": 0.0}
SEEDS = (0, 1, 2)
MEASURES = ("pixel_frechet", "accuracy", "nearest_rms")


def spread(values, digits):
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def percent(values):
    return f"{100 * statistics.mean(values):.1f} ± {100 * statistics.stdev(values):.1f} %"


def row(name, frechet, accuracy, nearest):
    return dict(
        name=name,
        pixel_frechet=spread(frechet, 2),
        accuracy=percent(accuracy),
        nearest_rms=spread(nearest, 3),
    )


def main():
    folder = Path("runs/benchmark-digits")
    reports = {name: [] for name in METHODS}
    for seed in SEEDS:
        for name, blur_strength in METHODS.items():
            config = PRESETS["digits"].replace(blur_strength=blur_strength, seed=seed)
            run = folder / f"r{blur_strength:g}-seed{seed}"
            fit(config, run, "digits", resume=True, device="cpu")
            report = evaluate_run(run, seed=seed)
            measured = {k: report[k] for k in MEASURES}
            print(json.dumps(dict(name=name, seed=seed, **measured)), flush=True)
            seconds = RunFolder(run).metrics()[-1]["seconds"]
            reports[name].append(dict(report, train_seconds=seconds))
    table = [
        row(name, *([r[k] for r in found] for k in MEASURES)) for name, found in reports.items()
    ]
    real = [r["real"] for r in reports["HDFM, blur strength 1"]]
    table.append(
        dict(
            name="real digits: two halves; the 597 the SVM has not seen; nearest other",
            pixel_frechet=spread([r["pixel_frechet"] for r in real], 2),
            accuracy=f"{100 * real[0]['accuracy']:.1f} %",
            nearest_rms=f"{real[0]['nearest_rms']:.3f}",
        )
    )
    protocol = reports["HDFM, blur strength 1"][0]["protocol"]
    sentence = (
        f"{PRESETS['digits'].steps} steps of {PRESETS['digits'].batch_size}, "
        f"`{PRESETS['digits'].model}`, {protocol['evaluations']:g} evaluations of "
        f"`{protocol['solver']}`, the last from t = {protocol['last_time']:g}"
    )
    result = dict(
        date=str(datetime.date.today()),
        command="python benchmarks/digits.py",
        machine=machine(),
        protocol=sentence,
        table=table,
        reports=reports,
    )
    path = Path(__file__).parent / "results" / f"{result['date']}-digits.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(table, indent=1))
    print(f"saved {path}")


if __name__ == "__main__":
    main()
