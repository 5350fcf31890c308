"""Time HeatOperator.with_laplacian, forward and backward, against two other ways to compute the
same thing.

    make benchmark                       # or: python benchmarks/heat_operator.py [--save]

All contestants run in turn, round after round, in one process, so that a machine that slows down
slows them all; the table shows the median time of ours and, for the others, the median over
rounds of their time divided by ours.

scipy    scipy.fft.dctn/idctn with all cores, and its hand-written adjoint: three transforms each
way plain    torch.fft.fft of the signal and its mirror image, a complex FFT of twice the length
per axis and transform matrix   our operator, made to multiply by the cosine matrix at every size
fast     our operator, made to use the real FFT at every size """

import argparse
import datetime
import json
import math
import os
import random
import statistics
import sys
import time
from pathlib import Path

import scipy.fft
import torch

import hdfm.core as core
from machine import machine

SIZES = {
    8: 256,
    16: 256,
    32: 64,
    64: 64,
    128: 32,
    256: 16,
    384: 8,
    512: 4,
    768: 2,
    1024: 1,
}  # side -> batch, three channels each


def ours(op, t, matrix_max=None):
    def run(x, gu, gl):
        default = core._MATRIX_MAX
        core._MATRIX_MAX = core._MATRIX_MAX if matrix_max is None else matrix_max
        try:
            x = x.detach().requires_grad_()
            u, lap = op.with_laplacian(x, t)
            torch.autograd.backward((u, lap), (gu, gl))
            return u, lap, x.grad
        finally:
            core._MATRIX_MAX = default

    return run


def by_scipy(op, t):
    options = dict(axes=(-2, -1), norm="ortho", workers=os.cpu_count())

    def run(x, gu, gl):
        decay = op.decay(x, t).numpy()
        lam = op.eigenvalues(x).numpy()
        U = decay * scipy.fft.dctn(x.numpy(), **options)
        u = scipy.fft.idctn(U, **options)
        lap = scipy.fft.idctn(-lam * U, **options)
        G = scipy.fft.dctn(gu.numpy(), **options) - lam * scipy.fft.dctn(gl.numpy(), **options)
        return tuple(map(torch.from_numpy, (u, lap, scipy.fft.idctn(decay * G, **options))))

    return run


def mirrored_dct(x):
    """DCT-II along the last axis by a complex FFT of the doubled signal."""
    n = x.shape[-1]
    k = torch.arange(n, dtype=x.dtype)
    y = torch.fft.fft(torch.cat([x, x.flip(-1)], -1))[..., :n] * torch.polar(
        torch.ones_like(k), -math.pi * k / (2 * n)
    )
    return y.real * torch.where(k == 0, math.sqrt(1 / (4 * n)), math.sqrt(1 / (2 * n)))


def mirrored_idct(X):
    n = X.shape[-1]
    k = torch.arange(n, dtype=X.dtype)
    Y = (
        X
        / torch.where(k == 0, math.sqrt(1 / (4 * n)), math.sqrt(1 / (2 * n)))
        * torch.polar(torch.ones_like(k), math.pi * k / (2 * n))
    )
    Y = torch.cat([Y, torch.zeros_like(Y[..., :1]), Y[..., 1:].flip(-1).conj()], -1)
    return torch.fft.ifft(Y)[..., :n].real


def plain(op, t):
    def both(f, x):
        return f(f(x).mT).mT

    def run(x, gu, gl):
        x = x.detach().requires_grad_()
        U = op.decay(x, t) * both(mirrored_dct, x)
        u = both(mirrored_idct, U)
        lap = both(mirrored_idct, -op.eigenvalues(x) * U)
        torch.autograd.backward((u, lap), (gu, gl))
        return u, lap, x.grad

    return run


def compare(side, batch, seconds):
    """Median milliseconds of ours, and the others' times as multiples of it."""
    op = core.HeatOperator((side, side))
    t = torch.rand(batch)
    tensors = [torch.randn(batch, 3, side, side) for _ in range(3)]
    contestants = dict(
        ours=ours(op, t),
        scipy=by_scipy(op, t),
        plain=plain(op, t),
        matrix=ours(op, t, 10**6),
        fast=ours(op, t, 0),
    )
    expected = contestants["ours"](*tensors)
    for (
        name,
        run,
    ) in contestants.items():  # the same job, or no comparison; this is also the warm-up
        for a, b in zip(run(*tensors), expected):
            a = a.detach()
            b = b.detach()
            assert torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max())), name
    times = {name: [] for name in contestants}
    began = time.perf_counter()
    while len(times["ours"]) < 7 or time.perf_counter() - began < seconds:
        order = list(contestants)
        random.shuffle(order)  # nobody always runs after the one that empties the caches
        for name in order:
            start = time.perf_counter()
            contestants[name](*tensors)
            times[name].append(time.perf_counter() - start)
    row = dict(
        side=side,
        batch=batch,
        rounds=len(times["ours"]),
        ours_ms=1e3 * statistics.median(times["ours"]),
    )
    row |= {
        name: statistics.median(a / b for a, b in zip(times[name], times["ours"]))
        for name in contestants
        if name != "ours"
    }
    return row | dict(picked="matrix" if core._prefer_matrix(side) else "fast")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4, help="of measuring per size")
    parser.add_argument(
        "--save", action="store_true", help="also write benchmarks/results/DATE-heat-operator.json"
    )
    args = parser.parse_args()
    print(
        "with_laplacian, forward and backward, float32, three channels. "
        "Times of the others as multiples of ours.\n"
    )
    print(
        f"{'batch':>6} {'side':>5} {'ours':>10} {'scipy':>8} {'plain':>8} {'matrix':>8} "
        f"{'fast':>8}   picked"
    )
    rows = []
    for side, batch in SIZES.items():
        row = compare(side, batch, args.seconds)
        rows.append(row)
        ratios = " ".join(f"{row[name]:>7.2f}x" for name in ("scipy", "plain", "matrix", "fast"))
        print(
            f"{batch:>6} {side:>5} {row['ours_ms']:>7.2f} ms {ratios}   {row['picked']}", flush=True
        )
    if args.save:
        results = Path(__file__).parent / "results" / f"{datetime.date.today()}-heat-operator.json"
        results.write_text(
            json.dumps(
                dict(command=" ".join(["python", *sys.argv]), machine=machine(), rows=rows),
                indent=1,
            )
            + "\n"
        )
        print(f"\nsaved {results}")


if __name__ == "__main__":
    main()
