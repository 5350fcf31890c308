"""What only a GPU can say, measured on one, in five parts of under nine minutes each.

    make gpu                                   # or: python benchmarks/gpu.py [PART ...]
    python benchmarks/gpu.py training --tiny   # the same at toy size, on a CPU too

agree      the same answers as on the CPU: operator, loss and gradients, solvers, a training step
           in fp32 and bf16, compiled or not, DDP and FSDP2 of world size one, resuming to the bit
bandwidth  the operator's share of the memory bandwidth that a copy reaches
training   JiT-B/16 at 256 pixels on generated images: images/s, MFU and memory, r = 1 against
           r = 0 in turn, by batch size and by what saves time or memory
sampling   images/s of each solver, with and without guidance, fp32 and bf16, and what 50,000 cost
clothes    the preset fashion-gpu, r = 1 and r = 0, three seeds at once, 5,000 images of each
           against the test images; it needs Fashion-MNIST, in the folder that HDFM_DATA names

It needs no network. What is measured is kept after every entry in runs/gpu/PART.json, so that an
interrupted part goes on; a finished part becomes benchmarks/results/DATE-gpu-PART.json, with the
machine named (not for --tiny).
"""

import argparse
import datetime
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path

import torch
import torch.distributed as dist

from hdfm.checkpoint import write_whole
from hdfm.config import PRESETS
from hdfm.core import HeatOperator
from hdfm.data import ImageData, load_data
from hdfm.evaluate import evaluate_run
from hdfm.parallel import Ranks, can_shard, replicate, shard
from hdfm.path import HeatProbPath
from hdfm.run import RunFolder
from hdfm.sampling import SOLVERS, Sampling, evaluations, solvers_for
from hdfm.train import fit
from hdfm.vit import build_model
from hdfm.watch import training_flops, utilisation
from machine import machine

SHAPES = ((5,), (64,), (32, 32), (31, 40), (256, 256), (400, 16), (8, 9, 10))


class Part:
    """The entries of one part: those of an earlier, interrupted run, and those measured now."""

    def __init__(self, name, folder, tiny):
        self.name = name
        self.file = Path(folder) / f"{name}{'-tiny' if tiny else ''}.json"
        self.entries = json.loads(self.file.read_text()) if self.file.exists() else {}

    def __call__(self, key, measure, *args, **options):
        """The entry `key`, measured unless it is known; out of memory is a result too."""
        if key not in self.entries:
            try:
                self.entries[key] = measure(*args, **options)
            except torch.cuda.OutOfMemoryError:
                self.entries[key] = "out of memory"
            torch.cuda.empty_cache()
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.file, json.dumps(self.entries, indent=1).encode())
        print(f"{self.name} | {key} | {self.entries[key]}", flush=True)
        return self.entries[key]


def rounded(x):
    return float(f"{float(x):.4g}")


def gap(a, b):
    """Relative distance of two tensors, in float64 on the CPU."""
    a = a.detach().double().cpu()
    b = b.detach().double().cpu()
    return rounded((a - b).norm() / b.norm().clamp(min=1e-30))


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(f, device, seconds, warmup=3):
    """The median time of `f()`, over as many calls as `seconds` allow, at least five."""
    for _ in range(warmup):
        f()
    synchronize(device)
    times = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 5:
        began = time.perf_counter()
        f()
        synchronize(device)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def network(name, size, channels=3, classes=10, seed=0):
    """A seeded network whose modulations and head are not zero."""
    torch.manual_seed(seed)
    model = build_model(name, size, channels, classes)
    for weight in model.parameters():
        if not weight.detach().any():
            torch.nn.init.normal_(weight, std=0.02)
    return model


# ---- agree ----------------------------------------------------------------------------------


def operator_gap(shape, dtype, device, precision="highest"):
    """Operator, Laplacian and gradient on the device against float64 on the CPU."""
    torch.manual_seed(0)
    x = torch.randn(4, 3, *shape, dtype=torch.float64)
    t = torch.tensor([0.0, 0.3, 0.9, 1.0], dtype=torch.float64)
    found = []
    torch.set_float32_matmul_precision(precision)
    try:
        for place, kind in ((device, dtype), (torch.device("cpu"), torch.float64)):
            y = x.to(place, kind).requires_grad_()
            u, laplacian = HeatOperator(shape).with_laplacian(y, t.to(place))
            (u.square().sum() + laplacian.square().sum()).backward()
            found.append((u, laplacian, y.grad))
    finally:
        torch.set_float32_matmul_precision("highest")
    return [gap(a, b) for a, b in zip(*found)]


def whole_gradient(weight):
    """The gradient of a weight, gathered if it is shared out."""
    return weight.grad.full_tensor() if hasattr(weight.grad, "full_tensor") else weight.grad


def step_gap(device, size, precision="fp32", compiled=False, parallel=None):
    """Loss and gradients of one training step on the device against fp32 on the CPU."""
    name = "JiT-XS/8" if size < 256 else "JiT-B/16"
    torch.manual_seed(1)
    images = torch.rand(4, 3, size, size) * 2 - 1
    noise_free = HeatProbPath((size, size))
    z = noise_free.interpolate(torch.randn_like(images), images, torch.full((4,), 0.5))
    found = []
    for here, place in ((True, device), (False, torch.device("cpu"))):
        model = network(name, size).to(place)
        if here and compiled:
            model.compile_blocks()
        ranks = Ranks(device=place)
        if here and parallel == "FSDP2":
            shard(model, ranks, precision)
        call = replicate(model, Ranks(0, 2, place)) if here and parallel == "DDP" else model
        with torch.autocast(place.type, torch.bfloat16, enabled=here and precision == "bf16"):
            t = torch.full((4,), 0.5, device=place)
            out = call(z.to(place), t, torch.arange(4, device=place))
        loss = (out.float() - images.to(place)).square().mean()
        loss.backward()
        weights = [model.patches[0].weight, model.blocks[-1].mlp.out.weight, model.head.weight]
        found.append((loss, *map(whole_gradient, weights)))
    return [gap(a, b) for a, b in zip(*found)]


def solver_gap(name, device, size):
    """Samples of a network by one solver, on the device against the CPU, from the same noise."""
    path = HeatProbPath((size, size))
    sampling = Sampling(name, steps=4, last_time=1.0, guidance_scale=2.0)
    labels = torch.arange(4) % 10
    found = []
    for place in (device, torch.device("cpu")):
        model = network("JiT-XS/8", size).to(place)
        generator = torch.Generator().manual_seed(0)
        found.append(sampling.generate(model, path, labels.to(place), generator=generator))
    return gap(*found)


def resume_equal(device, steps=20):
    """Whether a run that is stopped half-way and resumed ends at the same bits."""
    config = PRESETS["digits"].replace(steps=steps, warmup=2, save_every=5, sample_every=steps)
    with tempfile.TemporaryDirectory() as folder:
        straight = Path(folder) / "straight"
        broken = Path(folder) / "broken"
        fit(config, straight, device=str(device))
        fit(config, broken, device=str(device), stop=["asked"])
        fit(config, broken, device=str(device), resume=True)
        ours, theirs = (RunFolder(run).load().model.state_dict() for run in (straight, broken))
        return all(torch.equal(ours[name], theirs[name]) for name in ours)


def one_rank(device):
    """A process group of this process alone, for DDP and FSDP2."""
    os.environ |= dict(MASTER_ADDR="127.0.0.1", MASTER_PORT="29533")
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, rank=0, world_size=1)


def agree(part, device, tiny):
    size = 64 if tiny else 256
    for shape in SHAPES[:4] if tiny else SHAPES:
        for dtype in (torch.float64, torch.float32, torch.bfloat16):
            kind = str(dtype)[6:]
            part(f"operator {'×'.join(map(str, shape))} {kind}", operator_gap, shape, dtype, device)
    for precision in ("high", "medium"):
        key = f"operator 64×64 float32, matmul precision {precision}"
        part(key, operator_gap, (64, 64), torch.float32, device, precision)
    part(f"step at {size}", step_gap, device, size)
    part(f"step at {size}, bf16", step_gap, device, size, "bf16")
    part(f"step at {size}, compiled", step_gap, device, size, compiled=True)
    if not tiny:
        part(f"step at {size}, bf16, compiled", step_gap, device, size, "bf16", True)
    for name in solvers_for(HeatProbPath((64, 64))):
        if name == "fitted" or (SOLVERS[name].stochastic and device.type != "cpu"):
            continue  # one needs its fit, and the noise of the others belongs to the device
        part(f"solver {name}", solver_gap, name, device, 64)
    part("resumed run equal to the bit", resume_equal, device)
    one_rank(device)
    part("step at 64, DDP of one", step_gap, device, 64, parallel="DDP")
    if can_shard(device):
        part("step at 64, FSDP2 of one", step_gap, device, 64, parallel="FSDP2")
    dist.destroy_process_group()


# ---- bandwidth ------------------------------------------------------------------------------


def bandwidth_of(side, dtype, device, seconds, megabytes):
    """GB/s of a copy, of `op(x, t)` and of `with_laplacian`, counting what must move once."""
    images = max(1, megabytes * 2**20 // (3 * side * side * dtype.itemsize))
    x = torch.randn(images, 3, side, side, device=device).to(dtype)
    t = torch.rand(images, device=device)
    op = HeatOperator((side, side))
    target = torch.empty_like(x)
    moved = x.numel() * x.element_size() / 1e9
    copy = 2 * moved / median_seconds(lambda: target.copy_(x), device, seconds)
    blur = 2 * moved / median_seconds(lambda: op(x, t), device, seconds)
    both = 3 * moved / median_seconds(lambda: op.with_laplacian(x, t), device, seconds)
    found = dict(copy_gb_s=copy, blur_share=blur / copy, with_laplacian_share=both / copy)
    return dict(images=images, **{name: rounded(value) for name, value in found.items()})


def bandwidth(part, device, tiny):
    seconds, megabytes = (0.01, 1) if tiny else (1.0, 512)
    for side in (32, 64) if tiny else (32, 64, 128, 256, 384, 512, 1024):
        for dtype in (torch.float32, torch.bfloat16):
            key = f"{side}×{side} {str(dtype)[6:]}"
            part(key, bandwidth_of, side, dtype, device, seconds, megabytes)


# ---- training -------------------------------------------------------------------------------


def trained(device, tiny, r, batch, **options):
    """Images/s (median of the log), MFU, share of time that images were waited for, and memory, of
    some steps on generated images."""
    size, model = (32, "JiT-XS/4") if tiny else (256, "JiT-B/16")
    steps = 6 if tiny else 40
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2 * batch, 3, size, size, generator=generator) * 2 - 1
    data = ImageData("generated", images, torch.arange(2 * batch) % 10, 10)
    shape = dict(model=model, blur_strength=r, batch_size=batch, steps=steps, image_size=size)
    quiet = dict(save_every=steps, sample_every=10 * steps, log_every=max(1, steps // 8), keep=1)
    readers = dict(workers=0 if tiny else 4)  # else the step waits while floats are gathered
    sampler = dict(sample_rows=1, sample_steps=1, solver="euler", last_time=1.0, guidance=1.0)
    config = PRESETS["imagenet256"].replace(**shape, **quiet, **readers, **sampler, warmup=2,
                                            flip=False, **{"ema": 0.9999, **options})
    gc.collect()  # the networks of earlier entries
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    with tempfile.TemporaryDirectory() as folder:
        fit(config, Path(folder) / "run", "gpu", device=str(device), data=data)
        rows = RunFolder(Path(folder) / "run").metrics()
    torch.compiler.reset()
    speed, waiting = (
        statistics.median(row[name] for row in rows[len(rows) // 2 :])
        for name in ("images_per_second", "waiting")
    )
    flops = speed * training_flops(model, (3, size, size), 10)
    mfu = utilisation(flops, device, config.precision)
    return dict(images_per_second=rounded(speed), waiting=rounded(waiting), mfu=mfu,
                memory_gb=rows[-1]["memory_gb"], loss=rounded(rows[-1]["loss"]))


def training(part, device, tiny):
    plain = dict(precision="fp32", compile=False)
    bf16 = dict(precision="bf16", compile=not tiny) if not tiny else plain
    batch = 8 if tiny else 128
    for turn in range(1 if tiny else 3):  # in turn, so that a drift of the machine is in both
        for r in (1.0, 0.0):
            part(f"r = {r:g}, batch {batch}, turn {turn}", trained, device, tiny, r, batch, **bf16)
    for other in (16,) if tiny else (32, 64, 256):
        part(f"r = 1, batch {other}", trained, device, tiny, 1.0, other, **bf16)
    half = dict(bf16, micro_batch=batch // 2)
    part("r = 1, micro-batches of half", trained, device, tiny, 1.0, batch, **half)
    more = dict(bf16, checkpointing=True)
    part("r = 1, checkpointing", trained, device, tiny, 1.0, batch, **more)
    if not tiny:
        eager = dict(bf16, compile=False)
        part("r = 1, not compiled", trained, device, tiny, 1.0, batch, **eager)
        part("r = 1, fp32", trained, device, tiny, 1.0, batch // 2, **dict(plain, compile=True))


# ---- sampling -------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def sampled_network(device, tiny):
    """The network of `sampled`, compiled once for all its entries; and its path."""
    size = 32 if tiny else 256
    model = network("JiT-XS/4" if tiny else "JiT-B/16", size, classes=1000).to(device)
    if not tiny:
        model.compile_blocks()
    return model, HeatProbPath((size, size))


def sampled(device, tiny, name, guidance, precision, count):
    """Images/s of one solver at 50 evaluations (tiny: 4), and hours for 50,000 images."""
    model, path = sampled_network(device, tiny)
    budget = 4 if tiny else 50
    steps = max(n for n in range(1, budget + 1) if evaluations(name, n) <= budget)
    how = Sampling(name, steps, 1.0, guidance, precision=precision)
    labels = torch.arange(count, device=device)
    for _ in range(2):  # the first compiles
        synchronize(device)
        began = time.perf_counter()
        generator = torch.Generator(device).manual_seed(0)
        how.generate(model, path, labels, generator=generator)
        synchronize(device)
        seconds = time.perf_counter() - began
    found = dict(steps=steps, evaluations=how.evaluations(), images_per_second=count / seconds)
    hours = 50_000 * seconds / count / 3600
    return {k: rounded(v) for k, v in dict(found, hours_for_50_000=hours).items()}


def sampling(part, device, tiny):
    count = 4 if tiny else 64
    names = [name for name in solvers_for(HeatProbPath((8, 8))) if name not in ("dopri5", "fitted")]
    for name in names:
        precision = "fp32" if tiny else "bf16"
        part(f"{name}, {precision}", sampled, device, tiny, name, 1.0, precision, count)
    for guidance, precision in ((2.9, "bf16"), (1.0, "fp32"), (2.9, "fp32")):
        key = f"heun, {precision}, guidance {guidance:g}"
        if not tiny or precision == "fp32":
            part(key, sampled, device, tiny, "heun", guidance, precision, count)


# ---- clothes --------------------------------------------------------------------------------

SMALL = ("--model", "JiT-XS/4", "--steps", "4", "--batch-size", "8", "--precision", "fp32",
         "--no-compile", "--workers", "0", "--warmup", "1", "--data", "fashion-small",
         "--proxy-every", "0")


def clothes_of(part, device, tiny, r, seeds):
    """Train with that blur strength, all seeds at once; the report on each."""
    runs = [part.file.parent / f"clothes{'-tiny' if tiny else ''}-r{r:g}-seed{s}" for s in seeds]
    base = [sys.executable, "-m", "hdfm", "train", "fashion-gpu", *(SMALL if tiny else ())]
    base += ["--blur-strength", str(r), "--device", device.type, "--resume", "auto"]
    pairs = list(zip(seeds, runs))
    jobs = [subprocess.Popen([*base, "--seed", str(s), "--out", run]) for s, run in pairs]
    if any([job.wait() for job in jobs]):
        raise SystemExit(f"a training for r = {r:g} failed; see above")
    count = 20 if tiny else 5000
    how = dict(samples=count, read_samples=count, batch=count, device=str(device))
    return {
        f"seed {seed}, {n} steps": clothes_row(run, sampling=dict(steps=n), **how)
        for seed, run in pairs
        for n in ((2,) if tiny else (10, 50))
    }


def clothes_row(run, **how):
    """The measures that are kept of a run, what real images score, and the time of training."""
    report = evaluate_run(run, **how)
    keys = ("accuracy", "seams", "mode_frechet", "nearest", "per_class")
    def of(found): return {k: found.get(k) for k in keys} | dict(features=found["features"])
    seconds = RunFolder(run).metrics()[-1]["seconds"]
    return dict(of(report), real=of(report["real"]), train_seconds=rounded(seconds))


def clothes(part, device, tiny):
    load_data("fashion-small" if tiny else "fashion")  # refused now if it is not here
    for r in (1.0, 0.0):
        seeds = (0,) if tiny else (0, 1, 2)
        part(f"r = {r:g}", clothes_of, part, device, tiny, r, seeds)


PARTS = dict(agree=agree, bandwidth=bandwidth, training=training, sampling=sampling,
             clothes=clothes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)} (all)")
    parser.add_argument("--tiny", action="store_true", help="toy sizes, to try it on any machine")
    parser.add_argument("--device", default="cuda", help="cuda or cpu (cuda)")
    parser.add_argument("--folder", default="runs/gpu", help="where entries are kept (runs/gpu)")
    args = parser.parse_args()
    unknown = set(args.parts) - PARTS.keys()
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU here; try the parts with --tiny --device cpu")
    device = torch.empty(0, device=args.device).device
    for name in args.parts or PARTS:
        part = Part(name, args.folder, args.tiny)
        load = round(os.getloadavg()[0], 1)  # of processes that run beside it
        began = time.perf_counter()
        PARTS[name](part, device, args.tiny)
        date = str(datetime.date.today())
        result = dict(date=date, command=f"python benchmarks/gpu.py {name}", machine=machine(),
                      load=load, seconds=round(time.perf_counter() - began),
                      entries=part.entries)
        out = Path(__file__).parent / "results" / f"{date}-gpu-{name}.json"
        if args.tiny:
            out = part.file.with_name(f"{name}-tiny-result.json")
        write_whole(out, (json.dumps(result, indent=1) + "\n").encode())
        print(f"{name}: {result['seconds']} s, {out}")


if __name__ == "__main__":
    main()
