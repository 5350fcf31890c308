"""Train the buried spiral in every way that 04_toy shows, three seeds each.

    make benchmark-toy                                # or: python benchmarks/toy.py [--workers 2]

An hour on two cores. It can be stopped and started again: finished runs are kept under
runs/benchmark-toy.
"""

import argparse
import datetime
import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
import torch

from hdfm.toy import sample_spiral, sliced_wasserstein, spiral, train_spiral
from machine import machine

SEEDS = (0, 1, 2)
POINTS = 4000
FOLDER = Path("runs/benchmark-toy")
RESULTS = Path(__file__).parent / "results"


def experiments():
    """Figure 3, then width and skip, then noise off the manifold, then no blur; each with every
    seed."""
    grid = [dict(D=D, prediction=p) for D in (2, 8, 16, 512) for p in ("x", "eps", "v")]
    grid += [dict(D=512, prediction="v + skip"), dict(D=512, prediction="v", width=1024)]
    grid += [
        dict(D=512, prediction=p, off_manifold=s) for s in (0.02, 0.1, 0.3, 1.0) for p in ("x", "v")
    ]
    grid += [
        dict(D=D, prediction=p, blur_strength=0.0)
        for D in (2, 8, 16, 512)
        for p in ("x", "eps", "v")
    ]
    return [dict(options, seed=seed) for options in grid for seed in SEEDS]


def name_of(options):
    return "_".join(f"{k}={v}".replace(" ", "") for k, v in options.items())


def truth(D, off_manifold, n, generator):
    """Real data in the plane, and its root mean square distance from the plane."""
    return spiral(n, generator) + off_manifold * torch.randn(
        n, 2, generator=generator
    ), off_manifold * (D - 2) ** 0.5


def run(options):
    path = FOLDER / f"{name_of(options)}.json"
    if path.exists():
        return
    torch.set_num_threads(1)
    start = time.time()
    velocity, prob_path, P, loss = train_spiral(**options)
    generator = torch.Generator().manual_seed(1000 + options["seed"])
    plane, off_plane = sample_spiral(velocity, prob_path, P, POINTS, generator=generator)
    real, off_plane_real = truth(options["D"], options.get("off_manifold", 0.0), POINTS, generator)
    pairs = [
        (
            truth(options["D"], options.get("off_manifold", 0.0), POINTS, generator)[0]
            for _ in range(2)
        )
        for _ in range(10)
    ]
    report = dict(
        options,
        loss=loss,
        plane=sliced_wasserstein(plane, real).item(),
        floor=sum(sliced_wasserstein(*pair).item() for pair in pairs) / len(pairs),
        off_plane=off_plane,
        off_plane_real=off_plane_real,
        seconds=time.time() - start,
    )
    np.save(path.with_suffix(".npy"), plane.clamp(-10, 10).numpy().astype(np.float16))
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(report))
    partial.rename(path)
    print(json.dumps(report), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(parser.parse_args().workers) as pool:
        for _ in pool.imap_unordered(run, experiments()):
            pass
    reports = [json.loads((FOLDER / f"{name_of(o)}.json").read_text()) for o in experiments()]
    figure = {
        f"{o['D']}-{o['prediction']}": np.load(FOLDER / f"{name_of(o)}.npy")[:1000]
        for o in experiments()
        if set(o) == {"D", "prediction", "seed"} and o["seed"] == SEEDS[0]
    }
    date = str(datetime.date.today())
    np.savez_compressed(RESULTS / f"{date}-toy-points.npz", **figure)
    result = dict(
        date=date,
        command="python benchmarks/toy.py",
        machine=machine(),
        points=POINTS,
        reports=reports,
    )
    (RESULTS / f"{date}-toy.json").write_text(json.dumps(result, indent=0) + "\n")
    print(f"saved {RESULTS / f'{date}-toy.json'}")


if __name__ == "__main__":
    main()
