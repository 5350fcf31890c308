"""Draw with less precision, and compiled: what it costs and what becomes of the images.

    make benchmark-drawing               # or: python benchmarks/drawing.py [--network digits]

The four ways draw the same images from the same noise in turn, round after round, in one process;
times are the median over rounds of theirs divided by that of plain float32. Then the shares of an
evaluation's time, and the evaluation of each precision, compiled, three seeds. What bfloat16
costs on a CPU says nothing about a GPU; what it does to the images says much.
"""

import argparse
import copy
import datetime
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy
import torch

from hdfm.data import as_bytes, class_labels
from hdfm.evaluate import evaluate_run, generate_many
from hdfm.features import features_of
from hdfm.hub import open_model
from hdfm.parallel import Ranks
from hdfm.report import yardstick
from machine import machine

COUNT = 100
SAMPLES = 1000
SEEDS = (0, 1, 2)


def timed(ways, rounds):
    """{way: (its images, its times over the plain ones')}; the first round warms up."""
    times = {name: [] for name in ways}
    images = {}
    for _ in range(rounds + 1):
        for name, draw in ways.items():
            began = time.perf_counter()
            images[name] = draw()
            times[name].append(time.perf_counter() - began)
    plain = times["fp32"][1:]
    ratios = {name: [a / b for a, b in zip(t[1:], plain)] for name, t in times.items()}
    return {name: (images[name], statistics.median(r)) for name, r in ratios.items()}


def judged(loaded, precision):
    """What the evaluation says of one precision, seed by seed."""
    rows = []
    for seed in SEEDS:
        how = dict(seed=seed, sampling=dict(precision=precision), data=loaded.data)
        report = evaluate_run(loaded, SAMPLES, **how)
        features = report["features"]
        rows.append(dict(seed=seed, frechet=features["frechet"], accuracy=report["accuracy"]))
    return rows


def shares(loaded, images):
    """The share of an evaluation's time that each part of it takes: what doing them side by side
    could save at most is all but the largest."""
    labels = class_labels(len(images), loaded.model.num_classes)
    extract = yardstick(loaded.data, loaded.info["sizes"][:-1], Ranks()).extract
    images = as_bytes(images)
    draw = dict(path=loaded.path, labels=labels, seed=0, sampling=loaded.sampling, progress=None)
    with tempfile.TemporaryDirectory() as folder:
        parts = dict(
            drawing=lambda: generate_many(loaded.model, **draw),
            features=lambda: features_of(images, extract, progress=None),
            disk=lambda: numpy.savez(Path(folder) / "images.npz", images.numpy()),
        )
        seconds = {}
        for name, do in parts.items():
            do()
            began = time.perf_counter()
            do()
            seconds[name] = time.perf_counter() - began
    return {name: round(s / sum(seconds.values()), 4) for name, s in seconds.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="fashion", help="a bundled one (fashion)")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    loaded = open_model(args.network)
    labels = class_labels(COUNT, loaded.model.num_classes)
    compiled = copy.deepcopy(loaded.model).compile_blocks(fullgraph=False)

    def drawing(model, precision):
        sampling = loaded.sampling.replace(precision=precision)
        return lambda: generate_many(model, loaded.path, labels, 0, sampling, progress=None)

    models = {"": loaded.model, "compiled ": compiled}
    ways = {f"{m}{p}": drawing(models[m], p) for m in models for p in ("fp32", "bf16")}
    found = timed(ways, args.rounds)
    exact = found["fp32"][0]
    rows = []
    for name, (images, ratio) in found.items():
        grey = (images.clamp(-1, 1) - exact.clamp(-1, 1)).square().mean().sqrt().item() * 127.5
        rows.append(dict(way=name, time=round(ratio, 3), grey_levels=round(grey, 4)))
        print(f"{name:<14} {ratio:.2f} of the time of fp32, {grey:.3f} grey levels from it")
    parts = shares(loaded, exact)
    print(", ".join(f"{name} {share:.1%}" for name, share in parts.items()))
    loaded.model.compile_blocks(fullgraph=False)
    scores = {precision: judged(loaded, precision) for precision in ("fp32", "bf16")}
    result = dict(
        command=f"python benchmarks/drawing.py --network {args.network}",
        network=args.network,
        images=COUNT,
        samples=SAMPLES,
        sampling=vars(loaded.sampling),
        threads=torch.get_num_threads(),
        machine=machine(),
        ways=rows,
        shares=parts,
        scores=scores,
    )
    file = Path(__file__).parent / "results" / f"{datetime.date.today()}-drawing.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    print(file)


if __name__ == "__main__":
    main()
