"""What saving a network costs that is spread over processes: gathered on the first, as hdfm did
before, against a part for each, written while the training goes on.

    python benchmarks/checkpoint.py [--model JiT-B/16] [--ranks 2] [--turns 3] [--out FILE]

Both ways save the same state in turn, each in new gloo processes of this machine. Measured are
the seconds for which the training stands still, the seconds until the checkpoint and the averaged
weights are in their places, and the most memory of its own (RssAnon) that the first process takes
above what it has before. While a part is written, the training is AdamW's step, again and again.
"""
import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path
from statistics import median

import torch
from machine import machine
from torch.optim.swa_utils import AveragedModel

from hdfm.checkpoint import save_checkpoint, save_tensors
from hdfm.parallel import parallel, shard
from hdfm.spread import States
from hdfm.state import by_first_word, state_tensors
from hdfm.vit import build_model


def own_memory():
    """The bytes that this process has for itself."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return 1024 * int(line.split()[1])


class Peak:
    """The most memory that was taken within a `with` block, above that before it."""

    def __enter__(self):
        self.before = self.most = own_memory()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.over.wait(0.005):
            self.most = max(self.most, own_memory())

    def __exit__(self, *error):
        self.over.set()
        self.thread.join()
        self.bytes = self.most - self.before


def make(name, ranks):
    """A network that is spread, with an average, and AdamW after a step."""
    torch.manual_seed(0)
    model = build_model(name, 256)
    average = AveragedModel(model)
    for one in (model, average.module):
        shard(one, ranks)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    return model, [average], optimizer


def gathered(folder, step, parts, ranks):
    """All on the first, as before; the seconds that all wait, which are all there are."""
    start = time.perf_counter()
    state = state_tensors(*parts)

    def write():
        save_checkpoint(folder, step, state, ranks=ranks.size)
        save_tensors(folder / "model.safetensors", by_first_word(state)["ema0"], "model")

    ranks.on_first(write)
    took = time.perf_counter() - start
    return dict(waits=took, takes=took, steps=0)


def in_parts(folder, step, parts, ranks):
    """A part for each, while the optimiser goes on."""
    states = States(folder)
    steps = 0

    def publish(averages):
        save_tensors(folder / "model.safetensors", averages[0], "model")

    start = time.perf_counter()
    states.save(step, parts, ranks, publish)
    waits = time.perf_counter() - start
    while not states.saving.over:
        parts[2].step()
        steps += 1
        if ranks.total([float(states.written)])[0] == ranks.size:
            begin = time.perf_counter()
            states.advance(ranks)
            waits += time.perf_counter() - begin
    return dict(waits=waits, takes=time.perf_counter() - start, steps=steps)


def on_rank(name, way):
    """What one of the processes does; the first prints what it found."""
    way = WAYS[way]
    with parallel("cpu") as ranks, tempfile.TemporaryDirectory() as scratch:
        folder = Path(ranks.share(scratch))
        way(folder / "warm", 1, make("JiT-XS/16", ranks), ranks)
        parts = make(name, ranks)
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before is not there to be used again
        ranks.gather(None)
        with Peak() as peak:
            told = way(folder / "run", 2, parts, ranks)
        peaks = ranks.gather(peak.bytes)
        size = sum(file.stat().st_size for file in (folder / "run").rglob("*.safetensors"))
        weights = sum(weight.numel() for weight in parts[0].parameters())
        ranks.gather(None)
    told |= dict(peak_first=peaks[0], peak_others=max(peaks[1:]), on_disk=size, weights=weights)
    if ranks.first:
        print(json.dumps(told))


def launched(args, way):
    """What the processes found, started by torchrun."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={args.ranks}", __file__, "--model", args.model, "--way", way]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    found = dict(way=way) | json.loads(done.stdout.splitlines()[-1])
    print(found, file=sys.stderr)
    return found


WAYS = dict(gathered=gathered, in_parts=in_parts)


def summary(rows):
    """{way: {what: median}} and the ratios of the first way to the second."""
    names = ("waits", "takes", "peak_first", "peak_others", "steps", "on_disk")
    middle = {
        way: {name: median(row[name] for row in rows if row["way"] == way) for name in names}
        for way in WAYS
    }
    ratios = {
        name: [
            old[name] / new[name] for old, new in zip(rows[::2], rows[1::2], strict=True)
        ]
        for name in ("waits", "takes", "peak_first")
    }
    return dict(middle, ratios=ratios)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="JiT-B/16")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        return on_rank(args.model, args.way)
    rows = [launched(args, way) for _ in range(args.turns) for way in WAYS]
    about = dict(date=str(date.today()), machine=machine(), model=args.model, ranks=args.ranks)
    result = about | dict(rows=rows, summary=summary(rows))
    text = json.dumps(result, indent=1)
    if args.out:
        args.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
