"""The paper's tables and figures, and its rivals, on digits and on photographs: every network
trained alike, three seeds.

    make evidence                                     # or: python benchmarks/evidence.py
    make evidence-small                               # all of it in reduced form, ten minutes
    python benchmarks/evidence.py --only "Table 1"    # one experiment; --list names them

Every run trains one network (`CONDITIONS`, a few options away from `BASE`) and measures what its
experiments ask for. Finished runs are kept in runs/evidence/SIZE, and what was interrupted goes
on from its last checkpoint. Two processes, one thread each, by default; about an hour and a half
on two cores. The notebook 37_evidence draws the tables and figures from the result. With a GPU,
the photographs with a larger network and for longer: `python benchmarks/evidence.py --size large
--device cuda --jobs 1` (not run by us yet).
"""

import argparse
import datetime
import hashlib
import io
import json
import multiprocessing
import os
import shutil
import statistics
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: the processes share the cores

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

import hdfm
import workers
from hdfm.baselines import METHODS
from hdfm.checkpoint import write_whole
from hdfm.config import PRESETS, build
from hdfm.core import dct
from hdfm.data import as_bytes, epoch_order, load_data
from hdfm.guidance import predictor
from hdfm.metrics import (
    classifier_accuracy,
    digit_reader,
    feature_statistics,
    frechet_of_moments,
    frechet_of_statistics,
    mode_moments,
    nearest_distance,
)
from hdfm.run import RunFolder
from hdfm.sampling import Sampling, heun
from hdfm.spectra import frequency_ratio
from hdfm.train import Objective, fit, make_optimizer
from machine import machine

SEEDS = (0, 1, 2)
BASE = dict(  # what every network of a data set shares
    digits=PRESETS["digits"].replace(steps=800, batch_size=64, ema=0.995),
    photos=PRESETS["digits"].replace(
        data="photos-64",
        model="JiT-XS/16",
        flip=True,
        steps=800,
        batch_size=32,
        ema=0.995,
    ),
)
SIZES = dict(  # "full" keeps the batch sizes of BASE
    full=dict(steps=800, seeds=SEEDS, samples=dict(digits=500, photos=400), traced=200, rounds=9),
    small=dict(
        steps=60,
        batch_size=16,
        seeds=(0, 1),
        samples=dict(digits=100, photos=60),
        traced=30,
        rounds=3,
    ),
    tiny=dict(
        steps=2, batch_size=8, seeds=(0, 1), samples=dict(digits=20, photos=12), traced=4, rounds=1
    ),
    large=dict(
        steps=20_000,
        batch_size=128,
        seeds=SEEDS,
        samples=dict(photos=2000),
        traced=500,
        rounds=9,  # for a GPU
        options=dict(model="JiT-S/16", lr=5e-4, ema=0.9995, precision="bf16", compile=True),
    ),
)
LEVELS = 50  # of IHDM: the evaluations of its one sampler
BUDGETS = (10, 50)  # network evaluations per sample

RIVALS = ("JiT", "HDFM", "HDFM-blur", "IHDM", "blurring diffusion", "LapFlow")
CONDITIONS = {name: dict(options) for name, options in METHODS.items()}
CONDITIONS["IHDM"] |= dict(levels=LEVELS)
CONDITIONS |= {f"HDFM, r = {r}": dict(blur_strength=r) for r in (0.3, 0.5, 16.0)}
CONDITIONS |= {f"HDFM, noise {s}": dict(noise_scale=s) for s in (0.8, 0.5)}
CONDITIONS |= {
    "HDFM, LayerSync": dict(layersync=0.2),
    "HDFM, released code": dict(blur_strength=0.5, laplacian_coefficient=1.0),
    "JiT, uniform times": dict(blur_strength=0.0, time_sampling="uniform"),
    "HDFM, uniform times": dict(time_sampling="uniform"),
    "JiT, late times": dict(blur_strength=0.0, time_mean=0.8),
    "HDFM, late times": dict(time_mean=0.8),
    "blurring diffusion, x-prediction": dict(
        METHODS["blurring diffusion"], prediction="x", loss="x"
    ),
}
EXPERIMENTS = {  # name -> the conditions it compares, for each data set
    "Table 1": dict.fromkeys(BASE, ("HDFM", "HDFM, v-prediction")),
    "Table 2": dict(digits=RIVALS, photos=(*RIVALS, "blurring diffusion, x-prediction")),
    "Table 3": dict.fromkeys(BASE, ("HDFM",)),
    "Table 4": dict.fromkeys(BASE, ("HDFM", "HDFM, noise 0.8", "HDFM, noise 0.5")),
    "Figure 5": dict(
        digits=("JiT", "HDFM", "HDFM-blur", "HDFM, r = 0.3", "HDFM, r = 0.5"),
        photos=("JiT", "HDFM", "HDFM-blur", "HDFM, r = 0.3", "HDFM, r = 0.5"),
    ),
    "LayerSync": dict.fromkeys(BASE, ("HDFM", "HDFM, LayerSync")),
    "coefficient": dict.fromkeys(BASE, ("HDFM", "HDFM, released code", "HDFM, r = 0.5")),
    "adaptive correction": dict.fromkeys(BASE, ("HDFM",)),
    "blur strength": dict(
        digits=("JiT", "HDFM, r = 0.3", "HDFM, r = 0.5", "HDFM"),
        photos=("JiT", "HDFM, r = 0.3", "HDFM, r = 0.5", "HDFM", "HDFM, r = 16.0"),
    ),
    "training times": dict(
        digits=(
            "JiT",
            "HDFM",
            "JiT, uniform times",
            "HDFM, uniform times",
            "JiT, late times",
            "HDFM, late times",
        ),
        photos=("JiT", "HDFM", "JiT, uniform times", "HDFM, uniform times"),
    ),
}
GUIDANCE = (0.0, 1.0, 1.5, 2.9, 3.5)  # 0: unconditional, 1: no guidance


def config_of(data, condition, seed, size):
    limits = SIZES[size]
    steps = limits["steps"]
    batch_size = limits.get("batch_size", BASE[data].batch_size)
    often = dict(warmup=steps // 10, sample_every=steps, save_every=max(1, steps // 2), keep=1)
    options = {**limits.get("options", {}), **CONDITIONS[condition]}
    return BASE[data].replace(**options, seed=seed, steps=steps, batch_size=batch_size, **often)


def samplers(condition, config):
    """(key, `Sampling`, start) of every set of samples of a condition; the one it is judged by
    comes last."""

    def equal_steps(solver, steps):
        return Sampling(solver, steps, last_time=1.0)

    def two_step(n, **options):
        return Sampling("exponential_2m", n, last_time=0.85, **options)

    if config.path == "ihdm":
        chain = equal_steps("chain", LEVELS)
        return [
            (f"ancestral {LEVELS}, fitted start", chain, "own"),
            (f"ancestral {LEVELS}", chain, "real"),
        ]
    if config.path == "blurring":
        solvers = ("exponential_2m", "ancestral")
        return [(f"{s} {n}", equal_steps(s, n), "own") for s in solvers for n in BUDGETS]
    jobs = []
    if condition in METHODS:
        jobs += [(f"heun {n}", equal_steps("heun", (n + 1) // 2), "own") for n in BUDGETS]
    if config.prediction == "v":
        return jobs  # a step that asks for x divides by what may be nothing
    if condition == "HDFM":
        for solver, cost in (("euler", 1), ("adaptive_euler", 2), ("adaptive_heun", 2)):
            jobs += [(f"{solver} {n}", equal_steps(solver, n // cost), "own") for n in BUDGETS]
        jobs += [(f"guidance {g}", two_step(10, guidance_scale=g), "own") for g in GUIDANCE]
    if config.path == "blur":
        jobs += [("exponential_2m 50, real start", two_step(50), "real")]
    compared = ("blur strength", "training times")
    if any(condition in names for e in compared for names in EXPERIMENTS[e].values()):
        jobs += [("exponential_2m 50, equal steps", equal_steps("exponential_2m", 50), "own")]
    return jobs + [(f"exponential_2m {n}", two_step(n), "own") for n in BUDGETS]


@lru_cache(maxsize=2)
def real_images(name):
    return load_data(name)


def edge_features(images):
    """Histograms of oriented gradients `[N, 128]` of 64-pixel images: 4 by 4 cells, 8 directions;
    edges and textures, whatever their colour."""
    from skimage.feature import hog

    grey = ((images.clamp(-1, 1) + 1) / 2).mean(1).double().numpy()
    return torch.stack(
        [torch.from_numpy(hog(g, 8, (16, 16), (1, 1), feature_vector=True)) for g in grey]
    )


def features(data, images):
    """name -> vectors of which a Fréchet distance is taken."""
    if data == "digits":
        return dict(pixels=images.flatten(1))
    return dict(layout=F.avg_pool2d(images, 8).flatten(1), edges=edge_features(images))


def statistics_of(data, images):
    """(statistics of the features, moments of the modes) of images."""
    statistics = {name: feature_statistics(f) for name, f in features(data, images).items()}
    return statistics, mode_moments(images)


@lru_cache(maxsize=2)
def reference(data, n=3000):
    """The statistics of at most `n` real images."""
    real = real_images(BASE[data].data)
    return statistics_of(data, real.images[epoch_order(0, 0, len(real))[:n]])


def distances(data, images, real=None):
    """Fréchet distances to real images of which the statistics are given; of modes taken as
    independent under "modes"."""
    statistics, moments = real or reference(data)
    found = {
        name: frechet_of_statistics(*feature_statistics(f), *statistics[name])
        for name, f in features(data, images).items()
    }
    return dict(found, modes=frechet_of_moments(mode_moments(images), moments))


def blurred_images(path, data, labels, generator):
    """Real images of the classes asked for, as blurred as the path has them: where IHDM begins,
    and HDFM-blur may."""
    real = real_images(BASE[data].data)
    chosen = []
    for label in labels.tolist():
        places = (real.labels == label).nonzero().flatten()
        chosen.append(places[torch.randint(len(places), (), generator=generator)])
    return path.blurriest(real.images[torch.stack(chosen)])


@torch.no_grad()
def draw(data, config, model, path, n, sampling, start, chunk=200):
    """`n` samples, classes in turn, from noise that depends on the seed alone."""
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(1000 + config.seed)
    images = []
    for labels in (torch.arange(n) % model.num_classes).split(chunk):
        begin = {}
        if start == "real":
            z = blurred_images(path, data, labels, generator).to(device)
            begin = dict(z=z, t_start=path.t_min)
        made = sampling.generate(model, path, labels.to(device), generator=generator, **begin)
        images.append(made.cpu())
    return torch.cat(images)


@torch.no_grad()
def ratio_along(config, model, path, n, points=21):
    """E_high / E_low of the states of a sampling run, from common noise; low is the lowest
    quarter of each axis (digits: half)."""
    device = next(model.parameters()).device
    cut = 0.5 if config.data == "digits" else 0.25
    labels = torch.arange(n, device=device) % model.num_classes
    z = path.start(
        torch.empty(n, model.channels, *path.operator.shape, device=device),
        torch.Generator().manual_seed(7),
    )
    predict = predictor(model, path, labels)
    ratios = [frequency_ratio(z, cut).item()]
    ts = torch.linspace(path.t_min, 1, points, dtype=torch.float64).tolist()
    for t, t_next in zip(ts, ts[1:]):
        z = heun(predict, path, z, [t, t_next])
        ratios.append(frequency_ratio(z, cut).item())
    return dict(times=ts, ratios=ratios)


def run_folder(root, data, condition, seed):
    name = "".join(c if c.isalnum() or c in ".-" else "_" for c in condition)
    return Path(root) / data / name / f"seed{seed}"


@lru_cache(maxsize=1)
def code_digest():
    """Of all the code that trains, samples and measures: a result is kept only for the same."""
    library = sorted(Path(hdfm.__file__).parent.glob("*.py"))
    whole = b"".join(file.read_bytes() for file in [*library, Path(__file__)])
    return hashlib.sha256(whole).hexdigest()[:16]


def trained(run, config, real, device):
    """The network of a run, trained now, or before, or from where that was left."""
    folder = RunFolder(run)
    finished = (run / "model.safetensors").exists() and folder.config == config
    if not (finished and folder.load().info["step"] == config.steps):
        fit(config, run, "evidence", resume=True, device=device, data=real, stop=workers.alone)
        workers.leave_if_alone()
        shutil.rmtree(run / "checkpoints")  # it will not be trained further
    return RunFolder(run).load(device)


def measure(data, condition, seed, size, root, device="cpu"):
    """Train one network and measure it, each as far as that is not yet done; what is finished is
    kept in files."""
    torch.set_num_threads(1)
    limits = SIZES[size]
    config = config_of(data, condition, seed, size)
    began = time.perf_counter()
    place = run_folder(root, data, condition, seed)
    n = limits["samples"][data]
    real = real_images(BASE[data].data)
    _, model, path, info = trained(place / "run", config, real, device)
    rows = RunFolder(place / "run").metrics()
    file = place / "result.json"
    about = dict(data=data, condition=condition, seed=seed, size=size, samples=n)
    about |= dict(weights=info["sha256"][:16], code=code_digest())
    known = json.loads(file.read_text()) if file.exists() else {}
    if any(known.get(key) != value for key, value in about.items()):
        known = {}
    result = dict(
        about,
        commit=known.get("commit", COMMIT),
        loss=rows[-1]["loss"],
        training_seconds=round(rows[-1]["seconds"], 1),
        entries=known.get("entries", {}),
        seconds=known.get("seconds", 0.0),
        **{k: v for k, v in known.items() if k in EXTRAS},
    )
    jobs = samplers(condition, config)
    result["entries"] = {
        key: result["entries"][key] for key, *_ in jobs if key in result["entries"]
    }
    for key, sampling, start in jobs:
        own = key == jobs[-1][0]
        if key in result["entries"] and not (own and "ring_gain" not in result):
            continue
        images = draw(data, config, model, path, n, sampling, start)
        entry = dict(evaluations=sampling.evaluations())
        entry |= {k: float(f"{v:.5g}") for k, v in distances(data, images).items()}
        if data == "digits":
            entry["recognised"] = classifier_accuracy(
                reader(), images, torch.arange(n) % model.num_classes
            )
        result["entries"][key] = entry
        if own:
            some = real.images[epoch_order(0, 0, len(real))[:3000]]
            result |= dict(
                nearest=nearest_distance(images[:100], some), ring_gain=ring_gain(images, some)
            )
            write_whole(place / "samples.npy", numpy_bytes(as_bytes(images[:8])))
    if condition in EXPERIMENTS["Figure 5"][data] and "ratio" not in result:
        result["ratio"] = ratio_along(config, model, path, limits["traced"])
    result["seconds"] = round(max(result["seconds"], time.perf_counter() - began), 1)
    if result != known:
        write_whole(file, json.dumps(result).encode())
    return result


COMMIT = machine()["commit"]
EXTRAS = ("nearest", "ring_gain", "ratio")


@lru_cache(maxsize=1)
def reader():
    return digit_reader(load_data("digits"))


def ring_gain(images, real, rings=8):
    """Standard deviation of the modes over that of real images, in square rings of frequency,
    coarse to fine."""
    k = torch.arange(images.shape[-1])
    ring = torch.maximum(k[:, None], k[None]) * rings // images.shape[-1]
    variance, truth = (dct(x.double()).var(0).mean(0) for x in (images, real))
    return [
        float(f"{(variance[ring == i].mean() / truth[ring == i].mean()).sqrt():.4g}")
        for i in range(rings)
    ]


def numpy_bytes(tensor):
    stream = io.BytesIO()
    np.save(stream, tensor.numpy())
    return stream.getvalue()


def floors(data, size):
    """What as many real images score against others, three times."""
    n = SIZES[size]["samples"][data]
    real = real_images(BASE[data].data)
    orders = [epoch_order(seed + 1, 0, len(real)) for seed in SEEDS]
    found = []
    for order in orders:
        others = statistics_of(data, real.images[order[n : n + 3000]])
        found.append(distances(data, real.images[order[:n]], others))
    return found


def costs(data, rounds):
    """A training step and a network evaluation in sampling of each method, in those of JiT:
    medians of rounds taken in turn, on the CPU."""
    torch.set_num_threads(1)
    real = real_images(BASE[data].data)
    found = {}
    images = real.images[:32]
    labels = real.labels[:32]
    tools = {}
    for name in METHODS:
        config = BASE[data].replace(**CONDITIONS[name])
        model, path = build(config, *real.shape, real.num_classes)
        path.fit(real.images[:500])
        optimizer = make_optimizer(config, model)
        sampling = samplers(name, config)[-1][1].replace(last_time=1.0)
        if not config.path == "ihdm":
            sampling = sampling.replace(steps=10)
        tools[name] = (model, path, Objective(config, model, path), optimizer, sampling)
        found[name] = ([], [])
    for round in range(rounds):
        for name, (model, path, objective, optimizer, sampling) in tools.items():
            began = time.perf_counter()
            optimizer.zero_grad()
            objective(images, labels, round).backward()
            optimizer.step()
            middle = time.perf_counter()
            sampling.generate(model, path, labels, generator=torch.Generator().manual_seed(0))
            seconds = time.perf_counter() - middle
            found[name][0].append(middle - began)
            found[name][1].append(seconds / sampling.evaluations())
    medians = {name: [statistics.median(times) for times in pair] for name, pair in found.items()}
    return {
        name: dict(training_step=a / medians["JiT"][0], evaluation=b / medians["JiT"][1])
        for name, (a, b) in medians.items()
    }


def pictures(root, sets, n=6):
    """`n` real images of each data set and `n` samples of each method, first seed, as uint8 `[n,
    C, H, W]`."""
    found = {}
    for data in sets:
        real = real_images(BASE[data].data)
        found[f"{data}: real"] = as_bytes(real.images[epoch_order(0, 0, len(real))[:n]]).numpy()
        for name in METHODS:
            file = run_folder(root, data, name, 0) / "samples.npy"
            if file.exists():
                found[f"{data}: {name}"] = np.load(file)[:n]
    return found


def draw_notebook(root, result):
    """Run a copy of 37_evidence on a result that is not the committed one; it is left beside it."""
    import nbformat
    from nbclient import NotebookClient

    place = Path(__file__).parents[1] / "nbs"
    notebook = nbformat.read(place / "37_evidence.ipynb", as_version=4)
    os.environ["HDFM_EVIDENCE"] = str(result.resolve())
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(place)}}).execute()
    nbformat.write(notebook, root / "37_evidence.ipynb")
    print(f"tables and figures: {root / '37_evidence.ipynb'}")


def jobs_of(experiments, size, sets):
    """(data, condition, seed) of every run that some experiments need, each once, the first
    experiment's first."""
    wanted = [
        (data, condition, seed)
        for name in experiments
        for seed in SIZES[size]["seeds"]
        for data in sets
        for condition in EXPERIMENTS[name][data]
    ]
    return list(dict.fromkeys(wanted))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument(
        "--only", action="append", choices=EXPERIMENTS, help="an experiment; again for another"
    )
    parser.add_argument("--data", action="append", choices=BASE, help="one of the data sets only")
    parser.add_argument("--jobs", type=int, default=2, help="processes, one thread each (2)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    parser.add_argument("--root", help="where runs are kept (runs/evidence/SIZE)")
    parser.add_argument(
        "--draw",
        action="store_true",
        help="also run a copy of the notebook 37_evidence on the result",
    )
    parser.add_argument(
        "--out",
        help="the result (benchmarks/results/DATE-evidence.json; for other sizes in the root)",
    )
    args = parser.parse_args()
    root = Path(args.root or f"runs/evidence/{args.size}")
    chosen = args.only or list(EXPERIMENTS)
    root.mkdir(parents=True, exist_ok=True)
    sets = [data for data in SIZES[args.size]["samples"] if data in (args.data or BASE)]
    date = str(datetime.date.today())
    default = (
        Path(__file__).parent / "results" / f"{date}-evidence.json"
        if args.size == "full" and not (args.only or args.data)
        else root / "evidence.json"
    )
    out = Path(args.out or default)
    began = time.perf_counter()
    runs = []
    jobs = jobs_of(chosen, args.size, sets)
    with ProcessPoolExecutor(
        args.jobs, multiprocessing.get_context("spawn"), initializer=workers.quiet
    ) as pool:
        waiting = [pool.submit(measure, *job, args.size, str(root), args.device) for job in jobs]
        for done in tqdm(as_completed(waiting), total=len(jobs), desc="runs", unit="run"):
            runs.append(done.result())
    order = {job: i for i, job in enumerate(jobs)}
    runs.sort(key=lambda run: order[run["data"], run["condition"], run["seed"]])
    command = "python benchmarks/evidence.py"
    if args.size != "full":
        command += f" --size {args.size}"
    result = dict(
        date=date,
        command=command,
        machine=machine(),
        size=args.size,
        seeds=SIZES[args.size]["seeds"],
        budgets=BUDGETS,
        base={data: config_of(data, "HDFM", 0, args.size).flat() for data in sets},
        conditions=CONDITIONS,
        experiments={name: EXPERIMENTS[name] for name in chosen},
        images={data: real_images(BASE[data].data).fingerprint for data in sets},
        floors={data: floors(data, args.size) for data in sets},
        costs={data: costs(data, SIZES[args.size]["rounds"]) for data in sets},
        seconds_of_training_and_measuring=round(sum(run["seconds"] for run in runs)),
        runs=runs,
    )
    write_whole(out, (json.dumps(result, indent=1) + "\n").encode())
    stream = io.BytesIO()
    np.savez_compressed(stream, **pictures(root, sets))
    write_whole(out.with_suffix(".npz"), stream.getvalue())
    print(f"saved {out} after {(time.perf_counter() - began) / 60:.0f} minutes")
    if args.draw:
        draw_notebook(root, out)


if __name__ == "__main__":
    main()
