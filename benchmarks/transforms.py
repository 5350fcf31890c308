"""Time the DCT of two axes by several forms: the two of 00_core, and three that it does without.

    make benchmark-transforms            # or: python benchmarks/transforms.py

matrix    the cosine matrix along both axes
fast      one real FFT along each axis
radix     one radix step (sums and differences of the halves), then two matrices of half the side
unsorted  the same with its coefficients left as they fall, even frequencies before odd ones
together  one real FFT of both axes
scipy     scipy.fft.dctn

All take turns, round after round, in one process of one thread; the table has the median over
rounds of each one's time divided by that of the form the library takes at that size.
"""

import datetime
import json
import math
import os
import random
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import scipy.fft
import torch

import hdfm.core as core
from machine import machine

SIZES = {32: 64, 64: 64, 128: 32, 256: 16, 512: 4, 1024: 1}  # side -> batch, three channels each


def halves(n):
    """The matrices of the sums (DCT-II) and of the differences (DCT-IV) of half the side."""
    k = torch.arange(n // 2, dtype=torch.float64)
    odd = torch.cos(math.pi * (2 * k[:, None] + 1) * (2 * k + 1) / (2 * n)) * math.sqrt(2 / n)
    return core._cosines(n // 2).float() / math.sqrt(2), odd.float()


def split(x, axis):
    a, b = x.chunk(2, axis)
    return a + b.flip(axis), a - b.flip(axis)


def unsorted(x, even, odd):
    for axis in (-1, -2):
        a, b = split(x, axis)
        parts = (a @ even.T, b @ odd.T) if axis == -1 else (even @ a, odd @ b)
        x = torch.cat(parts, axis)
    return x


def radix(x, even, odd):
    a, b = split(x, -1)
    x = torch.stack((a @ even.T, b @ odd.T), -1).flatten(-2)
    a, b = split(x, -2)
    return torch.stack((even @ a, odd @ b), -2).flatten(-3, -2)


def together(x):
    """Makhoul's reordering of both axes, one real FFT of both, and the rotation of both."""
    n = x.shape[-1]
    for axis in (-1, -2):
        even, odd = (x.unflatten(axis, (-1, 2)).select(axis, k) for k in (0, 1))
        x = torch.cat([even, odd.flip(axis)], axis)
    k = torch.arange(n, dtype=torch.float64)
    phase = torch.polar(torch.full_like(k, math.sqrt(2 / n)), -math.pi * k / (2 * n))
    phase[0] = math.sqrt(1 / n)
    phase = phase.to(torch.complex64)
    V = torch.fft.rfft2(x)
    mirrored = V[..., (-torch.arange(n)) % n, :]
    half = phase[: n // 2 + 1] / 2
    T = (V * phase[:, None]).addcmul_(mirrored, phase.conj()[:, None]) * half
    return torch.cat([T.real, -T.imag[..., 1 : n // 2].flip(-1)], -1)


def by_matrix(x, M):
    return M @ (x @ M.T)


def by_fft(x):
    for axis in (-1, -2):
        x = core._dct_by_fft(x.movedim(axis, -1)).movedim(-1, axis)
    return x


def forms(x):
    n = x.shape[-1]
    even, odd = halves(n)
    M = core._cosines(n).float()
    how = dict(axes=(-2, -1), norm="ortho", workers=1)
    return {
        "matrix": lambda: by_matrix(x, M),
        "fast": lambda: by_fft(x),
        "radix": lambda: radix(x, even, odd),
        "unsorted": lambda: unsorted(x, even, odd),
        "together": lambda: together(x),
        "scipy": lambda: torch.from_numpy(scipy.fft.dctn(x.numpy(), **how)),
    }


def check(n, ways):
    """All forms agree, the unsorted one after sorting."""
    order = torch.cat([torch.arange(0, n, 2), torch.arange(1, n, 2)])
    exact = ways["scipy"]()
    for name, way in ways.items():
        wanted = exact[..., order, :][..., order] if name == "unsorted" else exact
        assert (way() - wanted).abs().max() < 1e-3, (name, n)


def measured(n, batch, rounds=15):
    """{form: median over rounds of its time over that of the library's form}."""
    ways = forms(torch.randn(batch, 3, n, n))
    check(n, ways)
    ours = "matrix" if core._prefer_matrix(n) else "fast"
    ratios = {name: [] for name in ways}
    for _ in range(rounds):
        spent = {}
        for name in random.sample(list(ways), len(ways)):
            began = time.thread_time()
            ways[name]()
            spent[name] = time.thread_time() - began
        for name, seconds in spent.items():
            ratios[name].append(seconds / spent[ours])
    return dict(side=n, library=ours) | {
        name: round(statistics.median(values), 3) for name, values in ratios.items()
    }


def main():
    torch.manual_seed(0)
    random.seed(0)
    rows = []
    for n, batch in SIZES.items():
        rows.append(measured(n, batch))
        print(rows[-1])
    result = dict(command="python benchmarks/transforms.py", machine=machine(), rows=rows)
    file = Path(__file__).parent / "results" / f"{datetime.date.today()}-transforms.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    print(file)


if __name__ == "__main__":
    main()
