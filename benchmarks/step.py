"""One training step, now and as it was at an earlier commit, in turn.

    python benchmarks/step.py                  # or: make benchmark-step (ten minutes, two cores)
    python benchmarks/step.py --before COMMIT --steps 5 --cases "JiT-XS/4 28 64"

Two processes of one thread each take turns: one with the library of the earlier commit, its
optimiser and its allocator, one with those of this checkout. Only one of them works at a time.
What is reported is the median over turns of the ratio of their times, and the quartiles of it;
then the same with compiled blocks, and where the time of a step goes now. Both networks begin
with the same weights and see the same images; their losses and gradients are compared first.

Results: benchmarks/results/DATE-step.json, with the machine named.
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
BEFORE = "eaa5324"                                        # the last commit before the faster step
CASES = ("JiT-XS/2 8 128", "JiT-XS/4 28 64", "JiT-S/4 28 32", "JiT-S/8 64 16", "JiT-B/16 256 1")


def make_step(case, before, compiled):
    """(a function that does one training step, the network) for `case`: name, size, batch."""
    import torch
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    from hdfm.objective import training_loss
    from hdfm.path import HeatProbPath
    from hdfm.vit import build_model

    torch.set_num_threads(1)
    torch.manual_seed(0)
    name, size, batch = case.split()
    size = int(size)
    batch = int(batch)
    channels = 1 if size == 8 or size == 28 else 3
    model = build_model(name, size, channels, 10)
    if not before:                                        # the order of before
        from hdfm.embedding import sincos_embedding
        from hdfm.parallel import keep_memory

        keep_memory()
        grid = size // model.patch_size
        model.position = sincos_embedding(grid, model.position.shape[1], "row")
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():                     # at first modulations and head are 0
        if not weight.detach().any():
            torch.nn.init.normal_(weight, std=0.02, generator=generator)
    if compiled:
        model.compile_blocks()
    path = HeatProbPath((size, size))
    images = torch.rand(batch, channels, size, size, generator=generator) * 2 - 1
    labels = torch.arange(batch) % 10
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=not before)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.998))

    def step():
        optimizer.zero_grad(set_to_none=True)
        noise = torch.Generator().manual_seed(1)
        loss = training_loss(model, path, images, labels, generator=noise)
        loss.backward()
        torch.nn.utils.get_total_norm([p.grad for p in model.parameters()]).item()
        optimizer.step()
        average.update_parameters(model)
        return loss.item()

    return step, model


def worker(case, before, compiled):
    """Answer each line of standard input, a number of steps, with the seconds that they took."""
    step, model = make_step(case, before, compiled)
    loss = step()
    lengths = [p.grad.norm().item() for p in model.parameters()]
    flops = None
    if not compiled:
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            step()
        flops = counter.get_total_flops()
    for _ in range(3):
        step()
    print(json.dumps(dict(loss=loss, lengths=lengths, flops=flops)), flush=True)
    for line in sys.stdin:
        if line.strip() == "profile":
            print(json.dumps(profile(step)), flush=True)
            continue
        began = time.perf_counter()
        for _ in range(int(line)):
            step()
        print(time.perf_counter() - began, flush=True)


def profile(step, rows=12):
    """The operations that take most of the time of a step, and their shares of it."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as recorded

    for _ in range(2):                                    # the first one grows the memory
        with recorded(activities=[ProfilerActivity.CPU]) as found:
            for _ in range(5):
                step()
    events = sorted(found.key_averages(), key=lambda e: -e.self_cpu_time_total)
    total = sum(e.self_cpu_time_total for e in events)
    return {e.key: round(e.self_cpu_time_total / total, 3) for e in events[:rows]}


def started(library, case, before=False, compiled=False):
    """A worker process, with the `hdfm` of a folder, and what it said when it was ready."""
    command = [sys.executable, __file__, "--worker", "--cases", case]
    command += ["--was"] * before + ["--compiled"] * compiled
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(library)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               env=environment, text=True)
    return process, json.loads(process.stdout.readline())


def ask(process, line):
    """What a worker answers to a line."""
    print(line, file=process.stdin, flush=True)
    return json.loads(process.stdout.readline())


def in_turn(a, b, turns, steps):
    """The times of `steps` steps of two workers, in turn: two lists of seconds for one step."""
    times = [], []
    for _ in range(turns):
        for process, found in zip((a, b), times):
            found.append(ask(process, steps) / steps)
    return times


def measured(library, case, turns, steps):
    """One case: milliseconds, ratio with quartiles, GFLOP/s, agreement and profile."""
    old, said = started(library, case, before=True)
    new, says = started(HERE, case)
    before, after = in_turn(old, new, turns, steps)
    ratios = [a / b for a, b in zip(before, after)]
    profiled = ask(new, "profile")
    old.kill()
    fast, _ = started(HERE, case, compiled=True)
    eager, compiled = in_turn(new, fast, turns, steps)
    new.kill()
    fast.kill()
    length = max(said["lengths"])
    return dict(
        before_ms=round(statistics.median(before) * 1e3, 2),
        after_ms=round(statistics.median(after) * 1e3, 2),
        ratio=round(statistics.median(ratios), 3),
        quartiles=[round(q, 3) for q in statistics.quantiles(ratios, n=4)[::2]],
        gflops=[round(said["flops"] / statistics.median(t) / 1e9, 1) for t in (before, after)],
        compiled_over_after=round(statistics.median(a / b for a, b in zip(eager, compiled)), 3),
        loss_gap=abs(said["loss"] - says["loss"]) / abs(said["loss"]),
        gradient_gap=max(abs(a - b) for a, b in zip(said["lengths"], says["lengths"])) / length,
        profile=profiled)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", default=BEFORE)
    parser.add_argument("--cases", nargs="+", default=CASES)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--steps", type=int, default=0, help="in one turn (0: about a second)")
    parser.add_argument("--worker", action="store_true")
    parser.add_argument("--was", action="store_true")
    parser.add_argument("--compiled", action="store_true")
    args = parser.parse_args()
    if args.worker:
        return worker(args.cases[0], args.was, args.compiled)
    from machine import machine

    report = dict(machine=machine(), before=args.before, threads=1, turns=args.turns, cases={})
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(["git", "archive", args.before, "hdfm"], cwd=HERE, check=True,
                                capture_output=True)
        subprocess.run(["tar", "-x", "-C", folder], input=packed.stdout, check=True)
        for case in args.cases:
            steps = args.steps or (30 if "XS/2" in case else 5 if "XS" in case else 1)
            found = measured(folder, case, args.turns, steps)
            report["cases"][case] = found
            print(case, {k: v for k, v in found.items() if k != "profile"}, flush=True)
            print("  ", found["profile"], flush=True)
    out = HERE / "benchmarks" / "results" / f"{datetime.date.today()}-step.json"
    out.write_text(json.dumps(report, indent=1) + "\n")
    print(out)


if __name__ == "__main__":
    main()
