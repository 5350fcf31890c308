"""How time and memory grow with everything that can become large: curves and their exponents.

    python benchmarks/growth.py                      # or: make benchmark-growth (fifteen minutes)
    python benchmarks/growth.py --only files history

Each curve is measured in processes of one thread, which are forked for one point, from small to
large: the time of the core that they use, so that it does not matter who else uses the machine,
and the memory that they add to what they begin with. The exponent is the slope of the curve of
logarithms over its last three points. A group that is done is kept in the results, so a call that
was stopped goes on with the others. Files, a million names without contents, are made under a
temporary folder and removed.

Results: benchmarks/results/DATE-growth.json, with the machine named.
"""

import argparse
import datetime
import io
import json
import math
import multiprocessing
import os
import resource
import shutil
import statistics
import tarfile
import tempfile
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from machine import machine
from PIL import Image
from scipy.fft import dctn, idctn

from hdfm.config import PRESETS
from hdfm.core import HeatOperator
from hdfm.data import batch_indices, epoch_order
from hdfm.folders import FolderImages
from hdfm.listing import list_images
from hdfm.objective import training_loss
from hdfm.page import page_of
from hdfm.path import HeatProbPath
from hdfm.pictures import center_crop
from hdfm.run import RunFolder
from hdfm.shards import list_shards
from hdfm.vit import JiT

HERE = Path(__file__).resolve().parents[1]
SIDES = (8, 16, 32, 64, 128, 256, 512, 1024)
COUNTS = (1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
LEAST = 0.2  # seconds of a core that a measurement takes


def core_seconds():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


def megabytes():
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# Points: each is measured in a process of its own


def _measure(make, sender):
    torch.set_num_threads(1)
    try:
        before = megabytes()
        work = make()
        work()
        memory = megabytes() - before
        times = []
        while sum(times) < LEAST:
            began = core_seconds()
            work()
            times.append(core_seconds() - began)
        sender.send((statistics.median(times), memory))
    except BaseException as error:
        sender.send(repr(error))
        raise


def point(make):
    """(seconds of a core, megabytes) of a call of what `make` makes."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(make, sender))
    process.start()
    sender.close()
    found = receiver.recv()
    process.join()
    if isinstance(found, str):
        raise RuntimeError(found)
    return found


def slope(sizes, values):
    """The exponent of growth: the slope of the line through the last three points, in logarithms;
    None if one of them is not above 0."""
    last = [(math.log(n), math.log(v)) for n, v in list(zip(sizes, values))[-3:] if v > 0]
    if len(last) < 3:
        return None
    mean_x = sum(x for x, _ in last) / 3
    mean_y = sum(y for _, y in last) / 3
    rise = sum((x - mean_x) * (y - mean_y) for x, y in last)
    return round(rise / sum((x - mean_x) ** 2 for x, _ in last), 2)


def curve(name, sizes, make):
    """One curve: sizes, seconds, megabytes, and the exponents of both."""
    found = [point(partial(make, size)) for size in sizes]
    seconds, memory = ([float(f"{value:.3g}") for value in column] for column in zip(*found))
    done = dict(sizes=list(sizes), seconds=seconds, megabytes=memory)
    done["exponent"] = slope(sizes, seconds)
    done["memory_exponent"] = slope(sizes, memory)
    print(f"{name}: {done}", flush=True)
    return done


# What grows: each function takes a size and gives what is timed


def operator(pixels):
    side = math.isqrt(pixels)
    op = HeatOperator((side, side))
    x = torch.randn(1, 3, side, side)
    t = torch.tensor([0.5])
    return lambda: op(x, t)


def scipy_operator(pixels):
    side = math.isqrt(pixels)
    x = torch.randn(1, 3, side, side)
    decay = HeatOperator((side, side)).decay(x, torch.tensor([0.5])).numpy()
    x = x.numpy()
    return lambda: idctn(dctn(x, axes=(2, 3), norm="ortho") * decay, axes=(2, 3), norm="ortho")


def copy(pixels):
    x = torch.randn(1, 3, pixels)
    return lambda: x.clone()


def path_sample(pixels):
    side = math.isqrt(pixels)
    path = HeatProbPath((side, side))
    x = torch.rand(1, 3, side, side) * 2 - 1
    t = torch.tensor([0.5])
    return lambda: path.sample(torch.randn_like(x), x, t)


def crop(pixels):
    side = math.isqrt(pixels)
    image = Image.effect_noise((side * 3 // 2, side * 5 // 4), 60).convert("RGB")
    return lambda: center_crop(image, side)


class Objective(torch.nn.Module):
    """The loss of a small network, as something that can be shared among ranks."""

    def __init__(self, side, patch, depth):
        super().__init__()
        self.model = JiT(side, patch, 3, 10, depth=depth, width=64, heads=4, bottleneck=32,
                         context_start=1, context_tokens=4)  # fmt: skip
        self.path = HeatProbPath((side, side))

    def forward(self, images, labels):
        return training_loss(self.model, self.path, images, labels)


def training_step(side=16, patch=2, batch=1, depth=4, shared=False):
    """A step of a small network, on one rank or as one of several."""
    torch.manual_seed(0)
    objective = Objective(side, patch, depth)
    if shared:
        objective = torch.nn.parallel.DistributedDataParallel(objective)
    images = torch.rand(batch, 3, side, side) * 2 - 1
    labels = torch.arange(batch) % 10
    optimizer = torch.optim.AdamW(objective.parameters(), fused=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        objective(images, labels).backward()
        optimizer.step()

    return step


def step_of(pixels, patches=None):
    """A step of a network with that many patches, or with patches of 4x4 pixels."""
    side = math.isqrt(pixels)
    return training_step(side=side, patch=side // 16 if patches else 4)


def of_pixels():
    pixels = [side**2 for side in SIDES]
    step = partial(step_of, patches=256)
    return {
        "operator": curve("operator", pixels, operator),
        "operator, by scipy": curve("scipy", pixels, scipy_operator),
        "copy of an image": curve("copy", pixels, copy),
        "path, x_t and its velocity": curve("path", pixels, path_sample),
        "crop of a picture": curve("crop", pixels, crop),
        "step, 256 patches": curve("step", pixels[1:], step),
        "step, patches of 4x4": curve("step4", pixels[:-2], step_of),
    }


def of_batch():
    sizes = (1, 4, 16, 64, 256, 1024)
    return {"step": curve("batch", sizes, lambda n: training_step(batch=n))}


def of_depth():
    sizes = (2, 4, 8, 16, 32, 64)
    return {"step": curve("depth", sizes, lambda n: training_step(batch=16, depth=n))}


def _rank(rank, size, store, batch, steps, queue):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    step = training_step(batch=batch // size, shared=True)
    for _ in range(3):
        step()
    dist.barrier()
    began = core_seconds()
    for _ in range(steps):
        step()
    queue.put(((core_seconds() - began) / steps, megabytes()))
    dist.barrier()
    dist.destroy_process_group()


def of_ranks(batch=64, steps=8):
    """A step of a batch that is shared: what all ranks together use of the cores, and their
    memory, with what each has before it begins."""
    sizes = (1, 2, 4, 8)
    context = multiprocessing.get_context("fork")
    seconds = []
    memory = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            queue = context.Queue()
            args = (size, Path(folder) / "store", batch, steps, queue)
            ranks = [context.Process(target=_rank, args=(rank, *args)) for rank in range(size)]
            for process in ranks:
                process.start()
            rows = [queue.get(timeout=240) for _ in ranks]
            for process in ranks:
                process.join()
        seconds.append(float(f"{sum(own for own, _ in rows):.3g}"))
        memory.append(float(f"{sum(used for _, used in rows):.3g}"))
    done = dict(sizes=list(sizes), seconds=seconds, megabytes=memory)
    done |= dict(exponent=slope(sizes, seconds), memory_exponent=slope(sizes, memory))
    print(done, flush=True)
    return {"step of a shared batch": done}


def write_run(folder, rows):
    """A run folder with that many rows of metrics."""
    config = PRESETS["digits"].replace(steps=50 * rows)
    Path(folder).mkdir(parents=True)
    record = dict(format=2, preset="digits", config=config.flat(), about={})
    (Path(folder) / "config.json").write_text(json.dumps(record))
    with open(Path(folder) / "metrics.jsonl", "w") as stream:
        for i in range(1, rows + 1):
            row = dict(step=50 * i, loss=0.5 + 1 / i, lr=2e-4, seconds=0.5 * i, grad_norm=0.1234)
            row |= dict(images_per_second=1234.5, waiting=0.01, memory_gb=1.5, seconds_left=50.0)
            stream.write(json.dumps(row) + "\n")


def of_history(root):
    runs = {n: root / f"run{n}" for n in COUNTS}
    for n, folder in runs.items():
        write_run(folder, n)

    def rows(n):
        return RunFolder(runs[n]).metrics

    def page(n):
        return partial(page_of, RunFolder(runs[n]))

    def resume(n):
        return partial(RunFolder(runs[n]).rewind, 50 * n)

    return {
        "reading the history": curve("rows", COUNTS, rows),
        "page of the run": curve("page", COUNTS, page),
        "history, on resuming": curve("resume", COUNTS, resume),
    }


def write_names(folder, count):
    """A folder of that many empty files, a thousand in each class."""
    for start in range(0, count, 1000):
        place = Path(folder) / f"n{start // 1000:08d}"
        place.mkdir(parents=True)
        for i in range(start, min(start + 1000, count)):
            os.close(os.open(place / f"n{start // 1000:08d}_{i}.JPEG", os.O_CREAT | os.O_WRONLY))


def write_tar(file, count):
    """A tar of that many pictures without contents, with classes."""
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as tar:
        for i in range(count):
            for ending, data in ((".jpg", b""), (".cls", b"%d" % (i // 1000))):
                info = tarfile.TarInfo(f"{i:09d}{ending}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def order_of(n):
    def order():
        epoch_order.cache_clear()
        return epoch_order(0, 0, n)

    return order


def of_files(root):
    root.mkdir(exist_ok=True)
    done = {"order of an epoch": curve("order", COUNTS, order_of)}

    def one_batch(n):
        epoch_order(0, 0, n)
        return lambda: [batch_indices(step % (n // 256), 256, n, 0) for step in range(100)]

    done["a hundred batches of numbers"] = curve("batches", COUNTS, one_batch)
    listed = {}
    opened = {}
    for n in COUNTS:  # one folder at a time: a million names take as many inodes
        write_names(root / "names", n)
        listed[n] = point(lambda: partial(list_images, root / "names"))
        opened[n] = point(lambda: partial(FolderImages, root / "names", 64))
        shutil.rmtree(root / "names")
    for name, found in {"listing a folder": listed, "opening it": opened}.items():
        seconds, memory = ([float(f"{v:.3g}") for v in column] for column in zip(*found.values()))
        done[name] = dict(sizes=list(COUNTS), seconds=seconds, megabytes=memory)
        done[name]["exponent"] = slope(COUNTS, seconds)
        done[name]["memory_exponent"] = slope(COUNTS, memory)
        print(name, done[name], flush=True)
    some = COUNTS[:5]
    for n in some:
        write_tar(root / f"{n}.tar", n)

    def by_us(n):
        return partial(list_shards, root / f"{n}.tar")

    done["listing tar files"] = curve("tars", some, by_us)

    def by_tarfile(n):
        def read():
            with tarfile.open(root / f"{n}.tar") as tar:
                return sum(1 for _ in tar)

        return read

    done["the same, by Python's tarfile"] = curve("tarfile", some, by_tarfile)
    return done


GROUPS = dict(pixels=of_pixels, batch=of_batch, depth=of_depth, ranks=of_ranks, history=of_history,
              files=of_files)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=GROUPS, help="measure these, done or not")
    args = parser.parse_args()
    out = HERE / "benchmarks" / "results" / f"{datetime.date.today()}-growth.json"
    report = json.loads(out.read_text()) if out.exists() else dict(
        machine=machine(), date=str(datetime.date.today()), groups={}
    )
    for name in args.only or [name for name in GROUPS if name not in report["groups"]]:
        with tempfile.TemporaryDirectory() as folder:
            needs_files = name in ("history", "files")
            found = GROUPS[name](Path(folder) / "made") if needs_files else GROUPS[name]()
        report["groups"][name] = found
        out.write_text(json.dumps(report, indent=1) + "\n")
    print(out)


if __name__ == "__main__":
    main()
