"""The order laboratory: what blur is worth, one change at a time, on images that small networks
can draw.

    make laboratory                                   # or: python benchmarks/laboratory.py
    python benchmarks/laboratory.py --list            # the experiments, and what is done of each
    python benchmarks/laboratory.py --only times --data digits --minutes 60
    python benchmarks/laboratory.py --size large --device cuda --jobs 1       # not run by us yet

A queue of networks, each a few options away from `BASE`, each trained by one process on one
thread, two at a time. It can be stopped and started again: an interrupted training goes on from
its last checkpoint, and the row of a finished one is kept under runs/laboratory; rows of the
newest committed result are taken over. Every row holds a trace, numbers that the code gave before
training, by which the chapter `laboratory` sees whether the code still does what was measured.
"""

import datetime
import io
import json
import os
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: the processes share the cores

import numpy as np
import torch

from hdfm.checkpoint import write_whole
from hdfm.config import PRESETS
from hdfm.core import HeatOperator
from hdfm.data import as_bytes, load_data
from hdfm.evaluate import generate_many
from hdfm.path import HeatProbPath, ProbPath, register_path
from hdfm.run import RunFolder
from hdfm.sampling import Sampling
from hdfm.train import fit
from hdfm.vit import MODELS
import measuring
import workers
from machine import machine
from rows import RESULTS, newest

RUNS = Path("runs/laboratory")
MODELS.update({f"JiT-XS/{p}": dict(MODELS["JiT-XS/4"], patch_size=p) for p in (7, 14)})
BASE = dict(
    digits=PRESETS["digits"].replace(steps=1500, batch_size=64, ema=0.995),
    fashion=PRESETS["fashion"].replace(steps=1500, warmup=150, ema=0.995, guidance=1.0),
    photos=PRESETS["digits"].replace(  # in half as many steps they draw a mosaic of patches
        data="photos-16",
        model="JiT-XS/4",
        steps=3000,
        warmup=300,
        batch_size=64,
        lr=8e-3,
        ema=0.995,
        flip=True,
    ),
)
LARGE = dict(model="JiT-S/4", steps=20_000, batch_size=256, lr=2e-3, warmup=1000, ema=0.9995)
LARGE |= dict(precision="bf16")
SAMPLES = dict(digits=1000, fashion=2000, photos=1000)
SAMPLERS = {
    f"20 steps, last {last}": Sampling("exponential_2m", 20, last_time=last)
    for last in (0.85, 0.95)  # of 20 equal steps the last is at 0.95
}

# What is compared: the path, the times, and the rest, each as options of TrainConfig.
WAYS = {
    "r = 0": dict(blur_strength=0.0),
    "r = 1/84": dict(blur_strength=1 / 84),
    "r = 1/10": dict(blur_strength=0.1),
    "r = 1/3": dict(blur_strength=1 / 3),
    "r = 1/2": dict(blur_strength=0.5),
    "r = 1": dict(blur_strength=1.0),
    "r = 4": dict(blur_strength=4.0),
    "EqualSNR": dict(path="coloured", order=0.0),
    "order 0.5": dict(path="coloured", order=0.5),
    "order 1.25": dict(path="coloured", order=1.25),
    "order 1.5": dict(path="coloured", order=1.5),
    "order 2": dict(path="coloured", order=2.0),
    "r = 0, weight of r = 1": dict(path="heat-weighed", blur_strength=0.0, weight_of=1.0),
    "r = 1, weight of r = 0": dict(path="heat-weighed", blur_strength=1.0, weight_of=0.0),
    "r = 0, plain x": dict(blur_strength=0.0, loss="x"),
    "r = 1, plain x": dict(blur_strength=1.0, loss="x"),
    "r = 0, filtered input": dict(path="heat-filtered"),
    "r = 0, samples filtered": dict(blur_strength=0.0),  # made as contrasty as those of r = 1
    "HDFM-blur": dict(path="blur"),
    "LapFlow": dict(path="lapflow", scales=3),
    "pyramidal flow": dict(path="pyramidal", scales=3),
    "blurring diffusion": dict(path="blurring", prediction="x", loss="x"),
    "IHDM": dict(path="ihdm", levels=50),
    "r = 0, v-prediction": dict(blur_strength=0.0, prediction="v", solver="heun", last_time=1.0),
    "r = 1, v-prediction": dict(blur_strength=1.0, prediction="v", solver="heun", last_time=1.0),
    "r = 0, Heun": dict(blur_strength=0.0, solver="heun", last_time=1.0),
    "r = 1, Heun": dict(blur_strength=1.0, solver="heun", last_time=1.0),
    "r = 1, noise 1/2": dict(noise_scale=0.5),
    "r = 1, noise 2": dict(noise_scale=2.0),
    "r = 1, LayerSync": dict(layersync=0.2),
    "r = 1/2, released code": dict(blur_strength=0.5, laplacian_coefficient=1.0),
    "r = 1, guidance 1.5": dict(guidance=1.5),
    "r = 1, guidance 2.9": dict(guidance=2.9),
    "r = 1, guidance 2.9 always": dict(guidance=2.9, guidance_interval=(-1.0, 1.0)),
    "r = 1, guidance 3.5": dict(guidance=3.5),
}
DERIVED = {  # ways that sample another's networks
    way: way[:5] for way in WAYS if "guidance" in way or way.endswith(("Heun", "samples filtered"))
}
FOLLOWED = ("r = 0", "r = 1/3", "r = 1/2", "r = 1", "HDFM-blur")  # on digits, along the path
TIMES = {
    "early": dict(time_sampling="logit_normal", time_mean=-0.8),
    "middle": dict(time_sampling="logit_normal", time_mean=0.0),
    "late": dict(time_sampling="logit_normal", time_mean=0.8),
    "uniform": dict(time_sampling="uniform"),
    "visible": dict(time_sampling="visible"),
    "balanced": dict(time_sampling="visible", time_weighting="balanced"),
    "early, drawn visible": dict(time_sampling="visible", time_weighting="logit_normal"),
    "early, drawn uniform": dict(time_sampling="uniform", time_weighting="logit_normal"),
    "visible, drawn uniform": dict(time_sampling="uniform", time_weighting="visible"),
}
CLOCKED = ("r = 0", "r = 1/2", "r = 1", "EqualSNR", "LapFlow")
USUAL = dict(digits="middle", fashion="early", photos="early")  # times, where they are not asked
EXPERIMENTS = {  # name -> (data sets, ways, times; None: the usual ones, patch sides)
    "times": (
        ("digits", "fashion", "photos"),
        CLOCKED,
        ("early", "middle", "late", "uniform", "visible", "balanced"),
    ),
    "density": (
        ("digits", "fashion"),
        ("r = 0", "r = 1"),
        ("early, drawn visible", "early, drawn uniform", "visible, drawn uniform"),
    ),
    "blur": (
        ("digits", "fashion"),
        ("r = 0", "r = 1/84", "r = 1/10", "r = 1/3", "r = 1/2", "r = 1", "r = 4"),
        None,
    ),
    "order": (
        ("digits", "fashion"),
        ("EqualSNR", "order 0.5", "r = 0", "order 1.25", "order 1.5", "order 2"),
        None,
    ),
    "weight": (
        ("digits", "fashion"),
        ("r = 0", "r = 1", "r = 0, weight of r = 1", "r = 1, weight of r = 0")
        + ("r = 0, plain x", "r = 1, plain x"),
        None,
    ),
    "controls": (
        ("digits", "fashion"),
        ("r = 0", "r = 0, filtered input", "r = 0, samples filtered", "r = 1"),
        None,
    ),
    "rivals": (
        ("digits", "fashion"),
        ("LapFlow", "pyramidal flow", "blurring diffusion", "HDFM-blur", "IHDM"),
        ("uniform",),
    ),
    "patches": (("fashion",), ("r = 0", "r = 1"), None, (14, 7, 0, 2)),  # 0: the usual ones, of 4
    "prediction": (
        ("digits", "fashion"),
        ("r = 0, Heun", "r = 1, Heun", "r = 0, v-prediction", "r = 1, v-prediction"),
        None,
    ),
    "prediction, large patches": (
        ("fashion",),
        ("r = 0, Heun", "r = 1, Heun", "r = 0, v-prediction", "r = 1, v-prediction"),
        None,
        (14,),
    ),
    "paper": (
        ("digits", "fashion"),
        ("r = 1", "r = 1, noise 1/2", "r = 1, noise 2", "r = 1, LayerSync")
        + ("r = 1/2", "r = 1/2, released code"),
        None,
    ),
    "guidance": (
        ("digits", "fashion"),
        ("r = 1", "r = 1, guidance 1.5", "r = 1, guidance 2.9", "r = 1, guidance 2.9 always")
        + ("r = 1, guidance 3.5",),
        None,
    ),
}


@register_path("heat-weighed")
class HeatWeighed(HeatProbPath):
    """HDFM's path of one strength, trained by the weight that the velocity of another gives."""

    help = dict(HeatProbPath.help, weight_of="r of the path whose weight counts")

    def __init__(self, shape, blur_strength: float = 1.0, weight_of: float = 0.0):
        super().__init__(shape, blur_strength)
        self.weight_of = float(weight_of)
        self.other = HeatProbPath(shape, self.weight_of)

    def error_gain(self, prediction, loss, x, t, **options):
        return self.other.error_gain(prediction, loss, x, t, **options)


@register_path("heat-filtered")
class HeatFiltered(ProbPath):
    """JiT's path, seen through a filter that opens with t, as in Spectral Forcing: both clocks
    have its gain, so that no ratio of signal to noise changes, and the loss is JiT's."""

    help = dict(blur_strength="r of the filter, that of HDFM's blur")

    def __init__(self, shape, blur_strength: float = 1.0):
        super().__init__(HeatOperator(shape, blur_strength))
        self.blur_strength = self.operator.blur_strength
        self.plain = HeatProbPath(shape, 0.0)

    def clocks(self, t, like):
        a, s = self.plain.clocks(t, like)
        gain = self.operator.decay(like, self.time(t, like).clamp(min=1e-3)).clamp(min=1e-3)
        return a * gain, s * gain

    def start(self, like, generator=None):
        _, s = self.clocks(0.0, like)
        return self.scaled(s.expand_as(like), super().start(like, generator))

    def error_gain(self, prediction, loss, x, t, **options):
        return self.plain.error_gain(prediction, loss, x, t, **options)


def entries(experiment, seeds):
    """(data, way, times, patch, seed) of the networks that an experiment needs."""
    sets, ways, times, *patches = EXPERIMENTS[experiment]
    for seed in seeds:
        for data in sets:
            for patch in patches[0] if patches else (0,):
                for way in ways:
                    for when in times or (USUAL[data],):
                        yield data, way, when, patch, seed


def config_of(data, way, times, patch, seed, size="small"):
    """The `TrainConfig` of an entry."""
    options = dict(WAYS[way], **TIMES[times], seed=seed)
    if "path" in WAYS[way] and WAYS[way]["path"] in ("ihdm", "blur"):
        options = dict(WAYS[way], time_sampling="uniform", seed=seed)
    if size == "large":
        options = LARGE | options
    if size == "tiny":
        options |= dict(steps=2, batch_size=8)
    if patch:
        options["model"] = f"JiT-XS/{patch}"
    steps = options.get("steps", BASE[data].steps)
    often = dict(sample_every=steps, save_every=max(1, steps // 3), keep=1, proxy_every=0)
    faster = size != "tiny"  # to compile takes a minute for the first of a kind, then seconds
    return BASE[data].replace(compile=faster, **options, **often)


def name_of(data, way, times, patch, seed):
    """The name of an entry, which is also that of its files."""
    words = [data, way, times, *([f"patch {patch}"] if patch else []), f"seed {seed}"]
    return ", ".join(words)


def place_of(entry, size="small"):
    return RUNS / size / "".join(c if c.isalnum() or c in ".-" else "_" for c in name_of(*entry))


def row_file(place):
    """Where the row of a network is kept, beside the folder of its run. (A name may have a dot.)"""
    return place.with_name(f"{place.name}.json")


def samplers_of(config):
    if config.path == "ihdm":
        return {"50 levels": config.sampling.replace(steps=50)}
    asked = config.sampling
    if asked.solver == "heun":
        return {"Heun, 25 steps": asked.replace(steps=25)}
    how = dict(guidance_scale=asked.guidance_scale, guidance_interval=asked.guidance_interval)
    return {name: sampling.replace(**how) for name, sampling in SAMPLERS.items()}


def train(config, place, device):
    """Train a network, or go on with it, or nothing if it is trained; end if nobody waits."""
    fit(config, place, "laboratory", resume=True, device=device, stop=workers.alone)
    workers.leave_if_alone()


def done(entry, size="small"):
    """The row of an entry, or None; one that lacks what was not measured at first is not whole."""
    kept = row_file(place_of(entry, size))
    row = json.loads(kept.read_text()) if kept.exists() else None
    if not row or entry[1] in DERIVED:
        return row
    return row if "likelihood" in row and ("ratio" in row or not is_followed(*entry)) else None


def is_followed(data, way, times, patch, seed):
    usual = "uniform" if way == "HDFM-blur" else USUAL[data]
    return data == "digits" and way in FOLLOWED and (times, patch) == (usual, 0)


def measured(entry, size, device):
    """The row of an entry: trained and judged now, unless it is done."""
    torch.set_num_threads(1)
    kept = row_file(place_of(entry, size))
    if row := done(entry, size):
        return row
    data, way, times, patch, seed = entry
    config = config_of(*entry, size)
    own = (data, DERIVED.get(way, way), times, patch, seed)  # whose network it is
    began = time.perf_counter()
    samples = SAMPLES[data] if size != "tiny" else 40
    row = dict(data=data, way=way, times=times, patch=patch, seed=seed, size=size)
    row |= dict(options=config.flat(), trace=measuring.trace(config))
    train(config_of(*own, size), place_of(own, size), device)
    if way.endswith("samples filtered"):
        blurred = (data, "r = 1", times, patch, seed)
        gains = [measured(one, size, device)["gains"] for one in (own, blurred)]
        run = place_of(own, size)
        row["scores"] = measuring.filtered_like(*gains, run, SAMPLERS, samples, device)
        return keep(row, kept, began, device)
    folder = RunFolder(place_of(own, size))
    judged = measuring.reports(
        folder.path, config.data, samplers_of(config), samples, device, config.compile
    )
    row["scores"] = {name: measuring.measures(report) for name, report in judged}
    if way in DERIVED:
        return keep(row, kept, began, device)
    loaded = folder.load(device)
    images = load_data(config.data).images
    variance = measuring.mode_variance(images[:10_000])
    sampling = next(iter(samplers_of(config).values()))
    labels = torch.arange(min(500, samples)) % loaded.model.num_classes
    drawn = generate_many(loaded.model, loaded.path, labels, 7, sampling, progress=None)
    row |= dict(
        gains=measuring.ring_gain(drawn, images[:10_000]),
        gradient_noise=measuring.gradient_noise(config, loaded.model, loaded.path, variance),
        residuals=measuring.residuals(config.data, loaded.model, loaded.path, variance),
        likelihood=measuring.likelihood(config.data, loaded.model, loaded.path),
        loss=folder.metrics()[-1]["loss"],
        weights=loaded.info["sha256"][:16],
    )
    if is_followed(*entry):
        row["ratio"] = measuring.followed(loaded.model, loaded.path)
    return keep(row, kept, began, device)


def keep(row, file, began, device):
    """Write a row that is done, with when, where and by which code."""
    row |= dict(
        seconds=round(time.perf_counter() - began),
        date=datetime.date.today().isoformat(),
        cpu=MACHINE["cpu"],
        device=device,
        torch=torch.__version__,
        commit=MACHINE["commit"],
    )
    write_whole(file, (json.dumps(row) + "\n").encode())
    return row


MACHINE = machine()


def take_over():
    """Rows of the newest committed result become files, where there is none."""
    for row in (newest("laboratory") or dict(rows=[]))["rows"]:
        entry = tuple(row[k] for k in ("data", "way", "times", "patch", "seed"))
        kept = row_file(place_of(entry))
        if not kept.exists():
            kept.write_text(json.dumps(row) + "\n")


def rows():
    return [json.loads(file.read_text()) for file in sorted((RUNS / "small").glob("*.json"))]


def write_result():
    """All finished rows as a dated result."""
    found = rows()
    out = RESULTS / f"{datetime.date.today()}-laboratory.json"
    experiments = {name: list(entries(name, (0,))) for name in EXPERIMENTS}
    result = dict(
        command="python benchmarks/laboratory.py",
        samples=SAMPLES,
        base={data: config.flat() for data, config in BASE.items()},
        ways=WAYS,
        times=TIMES,
        usual=USUAL,
        experiments=experiments,
        machine=machine(),
        rows=found,
    )
    text = json.dumps(result, ensure_ascii=False)
    write_whole(out, (text.replace('{"data"', '\n{"data"') + "\n").encode())
    kept = io.BytesIO()
    np.savez_compressed(kept, **pictures())
    write_whole(out.with_suffix(".npz"), kept.getvalue())
    print(f"{len(found)} networks: {out}")


def drawn_first(data, way, patch):
    """The folder of the first network of a way, at its usual times, or at uniform ones if three
    seeds were not trained at those; None if it is not here."""
    own = DERIVED.get(way, way)
    usual = [done((data, own, USUAL[data], patch, seed)) for seed in range(3)]
    place = place_of((data, own, USUAL[data] if all(usual) else "uniform", patch, 0))
    return place if (place / "model.safetensors").exists() else None


def pictures():
    """{"data, way": ten images, bytes} of the first network of each, and of those with patches of
    14; those of the newest committed result where the network is not here."""
    files = sorted(RESULTS.glob("*-laboratory.npz"))
    found = dict(np.load(files[-1])) if files else {}
    for data in USUAL:
        for way in WAYS:
            for patch, name in ((0, f"{data}, {way}"), (14, f"{data}, {way}, patch 14")):
                place = drawn_first(data, way, patch)
                if not place or way.endswith("filtered"):
                    continue
                loaded = RunFolder(place).load()
                labels = torch.arange(10) % loaded.model.num_classes
                config = config_of(data, way, USUAL[data], patch, 0)
                sampling = next(iter(samplers_of(config).values()))
                how = dict(sampling=sampling, progress=None)
                made = generate_many(loaded.model, loaded.path, labels, 3, **how)
                found[name] = as_bytes(made).numpy()
    return found


def listed(seeds):
    """What each experiment has of what it needs."""
    for name in EXPERIMENTS:
        need = list(entries(name, seeds))
        print(f"{name:<10} {sum(bool(done(e)) for e in need):>4} of {len(need)}")


def told(entry, row):
    """A finished network, in a line."""
    score = row["scores"][next(iter(row["scores"]))]
    read = f", {score['accuracy']:.1%}" if "accuracy" in score else ""
    return f"{name_of(*entry)}: {score['frechet']:.4g}{read}"


def main():
    filters = dict(only=EXPERIMENTS, data=BASE, way=WAYS, times=TIMES)
    parser = workers.queue_parser(__doc__, ("small", "large", "tiny"), filters)
    args = parser.parse_args()
    for size in ("small", args.size):
        (RUNS / size).mkdir(parents=True, exist_ok=True)
    take_over()
    if args.list:
        return listed(args.seeds)
    wanted = [e for name in args.only or EXPERIMENTS for e in entries(name, args.seeds)]
    wanted = [
        e
        for e in dict.fromkeys(wanted)
        if e[0] in (args.data or BASE) and e[1] in (args.way or WAYS)
        if e[2] in (args.times or TIMES)
    ]
    todo = [e for e in wanted if not done(e, args.size)]
    todo.sort(key=lambda e: row_file(place_of(e, args.size)).exists())
    workers.work_off(todo, partial(measured, size=args.size, device=args.device), args, told)
    if args.size == "small":
        write_result()


if __name__ == "__main__":
    main()
