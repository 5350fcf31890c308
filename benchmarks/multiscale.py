"""Flows of several scales and of one, side by side, at equal cost of training.

    make benchmark-multiscale                          # or: python benchmarks/multiscale.py
    python benchmarks/multiscale.py --list             # what there is, and what is done of it
    python benchmarks/multiscale.py --only masks --data fashion-32 --seeds 0 --minutes 60

A queue of networks like that of the laboratory (`benchmarks/laboratory.py`, whose parts are used):
each is trained by one process on one thread, can be stopped and goes on from its last checkpoint;
rows that are done are kept under runs/multiscale, and those of the newest committed result are
taken over.

Images are clothes in a frame of 32 pixels and patches of photographs of 32 pixels. (The LapFlow
paper's grids have 32×32 to 128×128 places; 64 pixels would take four times as long here.) All
networks are of size XS with patches of 4 pixels, so that three scales have 8×8, 4×4 and 2×2 tokens.

Budgets: the reference, JiT, trains for `STEPS` steps. Under the budget `flops` every other gets as
many steps as cost the same by `hdfm.mot.evaluation_flops`, under `time` as many as take the same
time by seconds a step, which were measured in turns with the reference's before anything was
trained. Batch, learning rate, and all else that a path does not choose are the same for all; they
were chosen for JiT.
"""

import datetime
import json
import statistics
import time
from functools import lru_cache, partial
from pathlib import Path

import laboratory  # sets one thread before torch is loaded

import torch

from hdfm.checkpoint import write_whole
from hdfm.config import PRESETS, build
from hdfm.data import StepBatches, class_labels, load_data
from hdfm.evaluate import generate_many
from hdfm.parallel import Ranks
from hdfm.run import RunFolder
from hdfm.train import prepare, train_step, update
from hdfm.watch import training_flops
import workers
from laboratory import SAMPLERS, TIMES
from machine import machine
from measuring import measures, reports, ring_gain, trace
from rows import RESULTS, newest

RUNS = Path("runs/multiscale")
REFERENCE = "JiT"
STEPS = dict(small=1000, tiny=4)  # of the reference
SAMPLES = dict(small=1000, tiny=24)
TINY = {"fashion-32": "fashion-small-32", "photos-32": "photos-16"}  # data of a trial
DATA = ("fashion-32", "photos-32")
BUDGETS = ("flops", "time")
BASE = {
    "fashion-32": laboratory.BASE["fashion"].replace(data="fashion-32"),
    "photos-32": PRESETS["photos"].replace(data="photos-32", model="JiT-XS/4", lr=4e-3, ema=0.995),
}
USUAL = {"fashion-32": TIMES["early"], "photos-32": TIMES["uniform"]}  # of what has one scale


def lapflow(scales, more="", **options):
    """LapFlow of so many scales, with a mixture whose name ends in `more`."""
    return dict(path="lapflow-staged", scales=scales, model=f"MoT-XS/4{more}", **options)


WAYS = {  # options of TrainConfig
    "JiT": dict(blur_strength=0.0),
    "HDFM, r = 1/2": dict(blur_strength=0.5),
    "HDFM, r = 1": dict(blur_strength=1.0),
    "LFM": dict(blur_strength=0.0, prediction="v", time_sampling="uniform"),
    "LapFlow, 1 scale": lapflow(1),
    "LapFlow, 2 scales": lapflow(2),
    "LapFlow, 3 scales": lapflow(3),
    "LapFlow, velocity": lapflow(3, prediction="v"),
    "LapFlow, self mask": lapflow(3, "-self"),
    "LapFlow, no mask": lapflow(3, "-open"),
    "LapFlow, shared weights": lapflow(3, "-shared"),
    "pyramidal": dict(path="pyramidal-staged", scales=3, model="MoT-XS/4-image-shared"),
    "Edify": dict(path="edify", scales=3, model="MoT-XS/4-image"),
}
SEARCH_SEED = 9  # of the search for times, reported nowhere
SEARCH = {
    f"{way}, {times} times": dict(WAYS[way], **TIMES[times])
    for way in ("LFM", "LapFlow, 3 scales", "pyramidal", "Edify")
    for times in ("early", "middle", "late", "uniform")
}
WAYS |= SEARCH
EXPERIMENTS = {
    "families": ("JiT", "LFM", "LapFlow, 3 scales", "HDFM, r = 1", "HDFM, r = 1/2")
    + ("pyramidal", "Edify"),
    "scales": ("LapFlow, 1 scale", "LapFlow, 2 scales", "LapFlow, 3 scales"),
    "masks": ("LapFlow, 3 scales", "LapFlow, self mask", "LapFlow, no mask"),
    "weights": ("LapFlow, 3 scales", "LapFlow, shared weights", "LapFlow, velocity"),
    "search": (*SEARCH,),
}


def entries(experiment, seeds):
    """(data, way, budget, seed) of the networks that an experiment needs. Both budgets are the
    reference's own. The search has one, and a seed of its own."""
    budgets = BUDGETS
    if experiment == "search":
        budgets = ("flops",)
        seeds = (SEARCH_SEED,)
    for budget in budgets:
        for seed in seeds:
            for data in DATA:
                for way in EXPERIMENTS[experiment]:
                    yield data, way, "flops" if way == REFERENCE else budget, seed


def config_of(data, way, steps, seed, size):
    """The `TrainConfig` of a network that trains for so many steps."""
    options = dict(WAYS[way], seed=seed, steps=steps, warmup=max(1, steps // 10))
    if "path" not in options:
        options = USUAL[data] | options
    if size == "tiny":
        options |= dict(data=TINY[data], batch_size=8, sample_rows=1, sample_steps=2)
    often = dict(sample_every=steps, save_every=max(1, steps // 3), keep=1, proxy_every=0)
    return BASE[data].replace(**options, **often)


@lru_cache
def images_of(name):
    """A data set, made once in each process."""
    return load_data(name)


def step_flops(config):
    """Operations of a step of training."""
    data = images_of(config.data)
    path = config.make_path(data.shape[1:])
    return config.batch_size * training_flops(config.model, data.shape, data.num_classes, path)


def in_turns(functions, rounds):
    """The median seconds of each of some functions, called in turns, after a first call."""
    seconds = [[] for _ in functions]
    for number in range(rounds + 1):
        for function, mine in zip(functions, seconds):
            began = time.perf_counter()
            function()
            if number:
                mine.append(time.perf_counter() - began)
    return [float(f"{statistics.median(mine):.4g}") for mine in seconds]


def stepper(config):
    """A function that does a step of training of a new network."""
    data = images_of(config.data)
    ranks = Ranks()
    training = prepare(config, data, ranks)
    order = StepBatches(len(data), 10**6, config.batch_size, config.seed)
    steps = enumerate(order)

    def step():
        n, rows = next(steps)
        _, norm = train_step(config, training, [data.read(rows)], order, n, ranks)
        update(config, training, norm, 0)

    return step


def pace_file(data, way, size):
    return RUNS / size / "pace" / f"{data}_{way}.json".replace("/", "_")


def pace(data, way, size):
    """Seconds a step: the way's own, and the reference's measured in turns with it; kept."""
    file = pace_file(data, way, size)
    if file.exists():
        return json.loads(file.read_text())
    steps = [stepper(config_of(data, one, STEPS[size], 0, size)) for one in (way, REFERENCE)]
    found = dict(zip(("own", "reference"), in_turns(steps, 2 if size == "tiny" else 15)))
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps(found).encode())
    return found


def steps_of(data, way, budget, size):
    """How many steps a way has under a budget."""
    if way == REFERENCE:
        return STEPS[size]
    if budget == "time":
        seconds = pace(data, way, size)
        return max(1, round(STEPS[size] * seconds["reference"] / seconds["own"]))
    own, reference = (step_flops(config_of(data, one, 1, 0, size)) for one in (way, REFERENCE))
    return max(1, round(STEPS[size] * reference / own))


def name_of(data, way, budget, seed):
    """The name of an entry, which is also that of its files."""
    return f"{data}, {way}, equal {budget}, seed {seed}"


def place_of(entry, size):
    return RUNS / size / "".join(c if c.isalnum() or c in ".-" else "_" for c in name_of(*entry))


def done(entry, size):
    """The row of an entry, or None."""
    kept = laboratory.row_file(place_of(entry, size))
    return json.loads(kept.read_text()) if kept.exists() else None


def judged(run, data, samples, device):
    """{sampler: measures and cost of a sample} of a trained run."""
    found = {}
    for name, report in reports(run, data, SAMPLERS, samples, device):
        found[name] = dict(measures(report), cost=report["protocol"]["cost"])
        if "nearest_rms" in report:
            found[name]["nearest_rms"] = report["nearest_rms"]
    return found


def draw_seconds(loaded, data, size):
    """{sampler: seconds a sample of the network, and of a new reference, drawn in turns}."""
    count, rounds = (4, 1) if size == "tiny" else (25, 3)
    reference = config_of(data, REFERENCE, 1, 0, size)
    *shape, num_classes = loaded.info["sizes"]
    model, path = build(reference, *shape, num_classes)
    labels = class_labels(count, num_classes)
    found = {}
    for name, sampling in SAMPLERS.items():
        draws = [
            partial(generate_many, *pair, labels, 0, sampling, progress=None)
            for pair in ((loaded.model, loaded.path), (model.eval(), path))
        ]
        both = [float(f"{seconds / count:.4g}") for seconds in in_turns(draws, rounds)]
        found[name] = dict(zip(("own", "reference"), both))
    return found


def measured(entry, size, device="cpu"):
    """The row of an entry: trained and judged now, unless it is done."""
    torch.set_num_threads(1)
    if row := done(entry, size):
        return row
    place = place_of(entry, size)
    data, way, budget, seed = entry
    config = config_of(data, way, steps_of(data, way, budget, size), seed, size)
    began = time.perf_counter()
    row = dict(data=data, way=way, budget=budget, seed=seed, size=size)
    row |= dict(options=config.flat(), trace=trace(config))
    row |= dict(steps=config.steps, step_gflop=float(f"{step_flops(config) / 1e9:.4g}"))
    if budget == "time":
        row["step_seconds"] = pace(data, way, size)
    laboratory.train(config, place, device)
    folder = RunFolder(place)
    loaded = folder.load(device)
    samples = SAMPLES[size]
    images = images_of(config.data).images[:10_000]
    sampling = next(iter(SAMPLERS.values()))
    labels = class_labels(min(500, samples), loaded.model.num_classes)
    drawn = generate_many(loaded.model, loaded.path, labels, 7, sampling, progress=None)
    row |= dict(
        scores=judged(place, config.data, samples, device),
        draw_seconds=draw_seconds(folder.load(), data, size),
        gains=ring_gain(drawn, images),
        parameters=sum(p.numel() for p in loaded.model.parameters()),
        loss=folder.metrics()[-1]["loss"],
        weights=loaded.info["sha256"][:16],
    )
    return laboratory.keep(row, laboratory.row_file(place), began, device)


def take_over():
    """Rows and paces of the newest committed result become files, where there is none."""
    for row in (newest("multiscale") or dict(rows=[]))["rows"]:
        entry = tuple(row[k] for k in ("data", "way", "budget", "seed"))
        kept = laboratory.row_file(place_of(entry, "small"))
        paced = pace_file(row["data"], row["way"], "small")
        if not kept.exists():
            kept.write_text(json.dumps(row) + "\n")
        if "step_seconds" in row and not paced.exists():
            paced.write_text(json.dumps(row["step_seconds"]))


def write_result(size="small", folder=RESULTS):
    """All finished rows as a dated result."""
    found = [json.loads(file.read_text()) for file in sorted((RUNS / size).glob("*.json"))]
    result = dict(
        command="python benchmarks/multiscale.py",
        samples=SAMPLES[size],
        reference=dict(way=REFERENCE, steps=STEPS[size]),
        base={data: config.flat() for data, config in BASE.items()},
        ways=WAYS,
        experiments=EXPERIMENTS,
        machine=machine(),
        rows=found,
    )
    out = Path(folder) / f"{datetime.date.today()}-multiscale.json"
    text = json.dumps(result, ensure_ascii=False)
    write_whole(out, (text.replace('{"data"', '\n{"data"') + "\n").encode())
    print(f"{len(found)} networks: {out}")


def listed(seeds, size):
    """What each experiment has of what it needs."""
    for name in EXPERIMENTS:
        for budget in BUDGETS:
            need = [e for e in dict.fromkeys(entries(name, seeds)) if e[2] == budget]
            finished = sum(bool(done(e, size)) for e in need)
            print(f"{name:<10}{budget:<6}{finished:>4} of {len(need)}")


def told(entry, row):
    """A finished network, in a line."""
    best = min(row["scores"].values(), key=lambda one: one["frechet"])
    return (
        f"{name_of(*entry)}: {row['steps']} steps, distance {best['frechet']:.4g}, "
        f"{best['cost']['gflop']:.3g} GFLOP a sample"
    )


def main(argv=None):
    filters = dict(only=EXPERIMENTS, data=DATA, way=WAYS, budget=BUDGETS)
    parser = workers.queue_parser(__doc__, STEPS, filters)
    args = parser.parse_args(argv)
    for size in ("small", args.size):
        (RUNS / size / "pace").mkdir(parents=True, exist_ok=True)
    take_over()
    if args.list:
        return listed(args.seeds, args.size)
    wanted = [e for name in args.only or EXPERIMENTS for e in entries(name, args.seeds)]
    wanted = [
        e
        for e in sorted(dict.fromkeys(wanted), key=lambda e: (BUDGETS.index(e[2]), e[3]))
        if e[0] in (args.data or DATA) and e[1] in (args.way or WAYS)
        if e[2] in (args.budget or BUDGETS)
    ]
    todo = [e for e in wanted if not done(e, args.size)]
    for data, way in dict.fromkeys((e[0], e[1]) for e in todo if e[2] == "time"):
        pace(data, way, args.size)  # before processes of ours share the cores
    workers.work_off(todo, partial(measured, size=args.size, device=args.device), args, told)
    if args.size == "small":
        write_result()


if __name__ == "__main__":
    main()
