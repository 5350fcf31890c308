"""One healthy run and runs that are sick in every way that `hdfm doctor` knows.

    make benchmark-doctor                             # or: python benchmarks/doctor.py

Trains the digits preset as it is, which takes three minutes of one core, and makes a small run for
each symptom of `hdfm.doctor`: most of them are trained and go wrong by themselves, some have
numbers in their log that were written by hand, since no laptop is hot for hours. The runs lie
below runs/doctor; what the doctor says of each, and the numbers of the trained ones, are kept with
date and machine. tests/test_doctor.py makes the same sick runs.
"""

import datetime
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch

import numpy as np
from PIL import Image
from tqdm import tqdm

from hdfm.checkpoint import list_checkpoints, write_whole
from hdfm.config import PRESETS
from hdfm.data import load_data
from hdfm.doctor import diagnose
from hdfm.run import RunFolder
from hdfm.train import fit
from machine import machine

RESULTS = Path(__file__).parent / "results"
RUNS = Path("runs/doctor")
OFTEN = dict(log_every=1, sample_every=10**6, save_every=20, sample_rows=1, sample_steps=2)
SMALL = PRESETS["digits"].replace(
    steps=60, warmup=5, batch_size=16, lr=4e-3, ema=0.9, **OFTEN
)  # a few seconds
FOREVER = SMALL.replace(steps=100_000)  # until it is killed


def small(run, images=None, **options):
    """A small run, with other options; an error that ends it is no reason to stop here."""
    config = SMALL.replace(**options)
    with suppress(ValueError, RuntimeError, OSError):
        fit(config, run, "digits", device="cpu", data=images)


def edited(run, healthy, change):
    """A copy of a small run whose log has other numbers: `change(share, row)` changes a row in
    place, where `share` goes from 0 to 1."""
    shutil.copytree(healthy, run)
    folder = RunFolder(run)
    rows = folder.metrics()
    for number, row in enumerate(rows):
        change(number / (len(rows) - 1), row)
    folder.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))


class Slow:
    """Digits from a disk that takes its time."""

    def __init__(self, wait=0.1, fails_at=None):
        self.data = load_data("digits")
        self.wait = wait
        self.fails_at = fails_at
        self.reads = 0

    def __getattr__(self, name):
        return getattr(self.data, name)

    def __len__(self):
        return len(self.data)

    def read(self, indices):
        self.reads += 1
        time.sleep(self.wait)
        if self.reads == self.fails_at:
            raise RuntimeError("the coffee machine is on fire")
        return self.data.read(indices)

    __getitems__ = read


def started(run, size=1):
    """Processes that train for ever, once they have saved something."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    group = dict(WORLD_SIZE=str(size), MASTER_ADDR="localhost", MASTER_PORT=port)
    words = [f"--{name.replace('_', '-')}={value}" for name, value in dict(
        steps=FOREVER.steps, warmup=5, batch_size=16, ema=0.9, **OFTEN).items()]
    command = [sys.executable, "-m", "hdfm", "train", "digits", "--out", str(run), *words]
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    processes = [
        subprocess.Popen(
            command, env=os.environ | group | dict(RANK=str(r), LOCAL_RANK=str(r)), **quiet
        )
        for r in range(size)
    ]
    wait_for(lambda: list(run.glob("checkpoints/step-*/manifest.json")), processes)
    return processes


def wait_for(condition, processes):
    """Until a condition holds; an error if that takes long, or if a process ends before."""
    until = time.monotonic() + 240
    while not condition():
        if time.monotonic() > until or any(p.poll() is not None for p in processes):
            raise RuntimeError("nothing happened")
        time.sleep(0.1)


def flat(run, healthy):
    small(run, warmup=10**6)


def diverged(run, healthy):
    small(run, lr=0.4)


def not_finite(run, healthy):
    small(run, lr=1e20)


def slow_average(run, healthy):
    small(run, ema=0.9999)


def seams(run, healthy):
    small(run, proxy_every=20, proxy_samples=100, sample_steps=10)


def waiting(run, healthy):
    small(run, Slow(), steps=40)


def failed(run, healthy):
    small(run, Slow(wait=0, fails_at=30))


def growing_gradient(run, healthy):
    def change(share, row):
        row["grad_norm"] = 0.2 * 10**share

    edited(run, healthy, change)


def drifting(run, healthy):
    def change(share, row):
        if row["step"] % 10 == 0:
            row["proxy_not_fid"] = 10 - 30 * share * (1 - share)

    edited(run, healthy, change)


def slowing(run, healthy):
    def change(share, row):
        row["seconds"] = 8 * 3600 * share
        row["images_per_second"] = 500 - 250 * share

    edited(run, healthy, change)


def low_use(run, healthy):
    def change(share, row):
        row["mfu"] = 0.08
        row["images_per_second"] = 100.0

    edited(run, healthy, change)


def damaged(run, healthy):
    shutil.copytree(healthy, run)
    state = list_checkpoints(RunFolder(run).checkpoints)[0] / "state.safetensors"
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)


def full_disk(run, healthy):
    """A limit on the size of a file stands for a disk that is full, as in tests/test_crashes.py."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6)); "
    code = limit + "import sys; from hdfm.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["train", "digits", "--out", str(run), "--steps", "4", "--batch-size", "8"]
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run([sys.executable, "-c", code, *words, "--ema", "0.5"], **quiet)


def bad_images(run, healthy):
    """Pictures, of which every tenth is cut off."""
    folder = run.with_name("pictures")
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(40):
        file = folder / f"{number:02d}.png"
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file)
        if number % 10 == 0:
            file.write_bytes(file.read_bytes()[:60])
    small(run, data=str(folder), image_size=8, max_bad=0.5, steps=4, ema=0.5)


def killed(run, healthy):
    (process,) = started(run)
    process.kill()
    process.wait()


def stalled(run, healthy):
    """A process that is stopped, and a clock that is put forward by half a day."""
    (process,) = started(run)
    process.send_signal(signal.SIGSTOP)
    then = time.time() - 43_200
    for path in (*run.rglob("*"), run):
        os.utime(path, (then, then))
    return process


def lost_rank(run, healthy):
    first, second = started(run, 2)
    second.kill()
    second.wait()
    wait_for(RunFolder(run).error_file.exists, [])
    first.kill()
    first.wait()


TRAINED = [flat, diverged, not_finite, seams, slow_average, waiting, failed]
EDITED = [growing_gradient, drifting, slowing, low_use]
BROKEN = [damaged, full_disk, bad_images, killed, stalled, lost_rank]


def made(maker, run, healthy):
    """The `Diagnosis` of a new sick run; a process that it leaves is ended."""
    process = maker(run, healthy)
    try:
        return diagnose(run)
    finally:
        if process:
            process.kill()
            process.wait()


def entry(diagnosis, how):
    """What is kept of a run."""
    names = ("step", "loss", "grad_norm", "waiting", "seams", "proxy_not_fid", "images_per_second")
    rows = [{name: row[name] for name in names if name in row} for row in diagnosis.seen.rows]
    return dict(how=how, found=diagnosis.found, rows=rows)


def main():
    healthy = RUNS / "digits"
    small_one = RUNS / "healthy"
    fit(PRESETS["digits"].replace(proxy_every=200), healthy, "digits", resume=True)
    fit(SMALL, small_one, "digits", resume=True)
    runs = {"digits": entry(diagnose(healthy), "the preset"),
            "healthy": entry(diagnose(small_one), "trained")}
    kinds = {"trained": TRAINED, "log edited": EDITED, "broken": BROKEN}
    for how, makers in kinds.items():
        for maker in tqdm(makers, desc=how):
            run = RUNS / maker.__name__
            shutil.rmtree(run, ignore_errors=True)
            shutil.rmtree(RUNS / "pictures", ignore_errors=True)
            runs[maker.__name__.replace("_", " ")] = entry(made(maker, run, small_one), how)
    for name, one in runs.items():
        print(f"{name:20} {one['how']:12} {one['found']}")
    date = datetime.date.today().isoformat()
    kept = dict(date=date, command="python benchmarks/doctor.py", machine=machine(), runs=runs)
    write_whole(RESULTS / f"{date}-doctor.json", (json.dumps(kept) + "\n").encode())


if __name__ == "__main__":
    main()
