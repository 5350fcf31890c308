"""A flow map distilled from the bundled fashion network: one and two evaluations against the
solvers of its teacher at 1 to 50.

    make benchmark-flow-map                           # or: python benchmarks/flow_map.py

The student is the teacher with a second time as input. It is asked for the x̂ whose exponential
step from t to s lands where the teacher's flow lands, for the three pairs of the times 0, m and 1;
by m half of the images' variance has come into sight. Twelve minutes on one core. What is done
is kept under runs/flow-map: trajectories, each student every hundred steps, each distance.
"""

import argparse
import copy
import datetime
import io
import json
import math
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: the processes share the cores

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from hdfm.checkpoint import write_whole
from hdfm.core import dct
from hdfm.data import as_bytes, class_labels, load_data
from hdfm.embedding import time_features
from hdfm.evaluate import block_generator
from hdfm.fitted import variance_within
from hdfm.hub import FlowModel
from hdfm.multistep import visible_grid
from hdfm.sampling import SOLVERS, exponential_2m, exponential_step, time_grid
from judge import Judge
from machine import machine

RESULTS = Path(__file__).parent / "results"
FOLDER = Path("runs/flow-map")
TRAJECTORIES = 6000
HALF_STEPS = 8  # of the teacher, on either side of m
STEPS = 1000
BATCH = 64
RATE = 1e-3
WARMUP = 50
SAMPLES = 500
BUDGETS = (1, 2, 3, 5, 10, 50)


class SecondTime(nn.Module):
    """A network's embedding of its time, plus one of the time `until`: at first nothing."""

    def __init__(self, first, width):
        super().__init__()
        self.first = first
        self.second = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        nn.init.zeros_(self.second[2].weight)
        nn.init.zeros_(self.second[2].bias)
        self.until = None

    def forward(self, features):
        return self.first(features) + self.second(time_features(self.until))


class FlowMap(nn.Module):
    """`flow(z, t, s, labels)`: where the flow carries z from t to s, in one evaluation."""

    def __init__(self, teacher):
        super().__init__()
        self.path = teacher.path
        self.network = copy.deepcopy(teacher.network).requires_grad_(True)
        width = self.network.label.weight.shape[1]
        self.network.time = SecondTime(self.network.time, width)

    def forward(self, z, t, s, labels):
        t, s = (torch.as_tensor(time, dtype=torch.float32).expand(len(z)) for time in (t, s))
        self.network.time.until = s
        return exponential_step(self.path, self.network(z, t, labels), z, t, s)


def grid_through(middle, half_steps):
    """Equal steps from 0 to `middle`, and as many from there to 1."""
    early = [middle * i / half_steps for i in range(half_steps)]
    return early + [middle + (1 - middle) * i / half_steps for i in range(half_steps)] + [1.0]


@torch.no_grad()
def trajectories(teacher, z, labels, middle, half_steps, chunk=50):
    """The points [3, N, 1, 28, 28] at 0, `middle` and 1 of the teacher's trajectories from `z`."""
    ts = grid_through(middle, half_steps)
    pieces = []
    for start, part in zip(tqdm(z.split(chunk), desc="trajectories"), labels.split(chunk)):
        predict = teacher.predictor(part)
        seen = {}

        def noted(z, t):
            seen[t] = z
            return predict(z, t)

        end = exponential_2m(noted, teacher.path, start, ts)
        pieces.append(torch.stack([start, seen[ts[half_steps]], end]))
    return torch.cat(pieces, 1)


def kept(file, make):
    """The tensors in a file under runs/flow-map; made first, if there is none."""
    if not file.exists():
        buffer = io.BytesIO()
        torch.save(make(), buffer)
        write_whole(file, buffer.getvalue())
    return torch.load(file, weights_only=True)


def lesson(teacher, middle):
    """Labels and points of the trajectories to learn from, and how exact those are: the root
    mean square distance of the images from those of four times as many steps, of a few."""
    labels = class_labels(TRAJECTORIES, 10)
    like = torch.empty(TRAJECTORIES, 1, 28, 28)
    noise = teacher.path.start(like, torch.Generator().manual_seed(12345))
    points = trajectories(teacher, noise, labels, middle, HALF_STEPS)
    few = trajectories(teacher, noise[:100], labels[:100], middle, 4 * HALF_STEPS)
    error = (few - points[:, :100]).square().mean((1, 2, 3, 4)).sqrt()
    return dict(labels=labels, points=points, error=error)


def trained(teacher, taught, middle, seed, bar):
    """The student of a seed, and its losses, the mean of each fifty steps."""
    file = FOLDER / f"student-{seed}.pt"
    times = torch.tensor([0.0, middle, 1.0])
    pairs = torch.tensor([(0, 1), (0, 2), (1, 2)])
    torch.manual_seed(seed)
    student = FlowMap(teacher)
    search = torch.optim.Adam(student.parameters(), RATE, betas=(0.9, 0.99))
    begun = 0
    losses = []
    if file.exists():
        state = torch.load(file, weights_only=True)
        student.load_state_dict(state["student"])
        search.load_state_dict(state["search"])
        begun = state["step"]
        losses = state["losses"]
    for step in range(begun, STEPS):
        generator = torch.Generator().manual_seed(1_000_000 * (seed + 1) + step)
        chosen = torch.randint(TRAJECTORIES, (BATCH,), generator=generator)
        first, last = pairs[torch.randint(3, (BATCH,), generator=generator)].T
        for group in search.param_groups:
            falling = (1 + math.cos(math.pi * step / STEPS)) / 2
            group["lr"] = RATE * min((step + 1) / WARMUP, falling)
        points = taught["points"]
        labels = taught["labels"][chosen]
        landed = student(points[first, chosen], times[first], times[last], labels)
        loss = (landed - points[last, chosen]).square().mean()
        search.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        search.step()
        losses.append(loss.item())
        bar.update()
        if (step + 1) % 100 == 0:
            buffer = io.BytesIO()
            state = dict(student=student.state_dict(), search=search.state_dict())
            torch.save(dict(state, step=step + 1, losses=losses), buffer)
            write_whole(file, buffer.getvalue())
    means = torch.tensor(losses).reshape(-1, 50).mean(1)
    return student.eval(), [round(x, 5) for x in means.tolist()]


@torch.no_grad()
def mapped(student, noise, labels, times):
    """The images of a student that goes through these times."""
    made = []
    for z, part in zip(noise.split(50), labels.split(50)):
        for t, s in zip(times, times[1:]):
            z = student(z, t, s, part)
        made.append(z.clamp(-1, 1))
    return torch.cat(made)


@torch.no_grad()
def solved(teacher, noise, labels, solver, ts, extra=()):
    """The images of a solver of the teacher."""
    made = []
    for z, part in zip(noise.split(50), labels.split(50)):
        z = SOLVERS[solver](teacher.predictor(part), teacher.path, z, ts, *extra)
        made.append(z.clamp(-1, 1))
    return torch.cat(made)


def jobs(teacher, middle):
    """(solver, evaluations, grid, times, more arguments) of the teacher's entries."""
    fits = {len(times) - 1: (times, ahead) for times, ahead in teacher.sampling.fits}
    for n in BUDGETS:
        if n < 50:
            yield "euler", n, "equal", time_grid(n), ()
        yield "exponential_2m", n, "equal", time_grid(n), ()
        if n == 2:
            yield "exponential_2m", n, "through m", [0.0, middle, 1.0], ()
        if n > 2:
            yield "exponential_2m", n, "0.9", time_grid(n, last_time=0.9), ()
        if n in fits:
            times, ahead = fits[n]
            yield "fitted", n, "fitted", [*times], (ahead,)


class Remembered:
    """Distances to the test images, kept in a file."""

    def __init__(self):
        self.judge = Judge("fashion", load_data("fashion", split="test").images)
        self.file = FOLDER / "distances.json"
        self.known = json.loads(self.file.read_text()) if self.file.exists() else {}

    def distance(self, key, make):
        """That of the images that `make` makes, unless it is known."""
        if key not in self.known:
            self.known[key] = self.judge.distance(make())
            write_whole(self.file, json.dumps(self.known).encode())
        return self.known[key]


def judged(teacher, students, middle):
    """The rows of all distances."""
    judge = Remembered()
    noise = teacher.path.start(torch.empty(SAMPLES, 1, 28, 28), block_generator(0))
    labels = class_labels(SAMPLES, 10)
    rows = []
    train = load_data("fashion")
    some = torch.cat([(train.labels == k).nonzero()[: SAMPLES // 10, 0] for k in range(10)])
    real = judge.distance("real", lambda: train.images[some])
    for solver, n, grid, ts, extra in tqdm([*jobs(teacher, middle)], desc="teacher"):
        distance = judge.distance(
            f"{solver}, {grid}, {n}",
            lambda: solved(teacher, noise, labels, solver, ts, extra),
        )
        rows.append(dict(who="teacher", solver=solver, grid=grid, evaluations=n, distance=distance))
    ts = grid_through(middle, HALF_STEPS)
    distance = judge.distance(
        "what is taught", lambda: solved(teacher, noise, labels, "exponential_2m", ts)
    )
    rows.append(dict(who="what is taught", evaluations=2 * HALF_STEPS, distance=distance))
    for seed, student in students.items():
        for times in ([0.0, 1.0], [0.0, middle, 1.0]):
            n = len(times) - 1
            key = f"map, seed {seed}, {n}"
            distance = judge.distance(key, lambda: mapped(student, noise, labels, times))
            rows.append(dict(who="map", seed=seed, evaluations=n, distance=distance))
    return real, rows


def off_the_teacher(teacher, students, middle):
    """Root mean square distance of the images of 100 new noises from where the flow ends."""
    noise = teacher.path.start(torch.empty(100, 1, 28, 28), block_generator(2))
    labels = class_labels(100, 10)
    ends = trajectories(teacher, noise, labels, middle, 4 * HALF_STEPS)[2].clamp(-1, 1)
    found = []

    def note(images, **what):
        error = (images - ends).square().mean().sqrt().item()
        found.append(dict(what, error=round(error, 4)))

    for solver, n, grid, ts, extra in jobs(teacher, middle):
        if n <= 10:
            images = solved(teacher, noise, labels, solver, ts, extra)
            note(images, who="teacher", solver=solver, grid=grid, evaluations=n)
    for seed, student in students.items():
        for times in ([0.0, 1.0], [0.0, middle, 1.0]):
            images = mapped(student, noise, labels, times)
            note(images, who="map", seed=seed, evaluations=len(times) - 1)
    return found


def ring_power(images):
    """The power of images in four rings of frequency, with limits 4, 8 and 14."""
    index = torch.arange(28.0)
    radius = (index[:, None] ** 2 + index**2).sqrt()
    ring = torch.bucketize(radius, torch.tensor([4.0, 8.0, 14.0]), right=True)
    modes = dct(images.double())
    return torch.stack([modes[..., ring == k].square().sum() for k in range(4)])


@torch.no_grad()
def losses_by_pair(students, points, labels, middle):
    """{pair: the loss of each student} on the points of trajectories."""
    times = [0.0, middle, 1.0]
    found = {}
    for name, i, j in (("0 to 1", 0, 2), ("0 to m", 0, 1), ("m to 1", 1, 2)):
        landed = [flow(points[i], times[i], times[j], labels) for flow in students.values()]
        found[name] = [round((z - points[j]).square().mean().item(), 6) for z in landed]
    return found


def closer(teacher, students, taught, middle, n=200):
    """Losses on trajectories that were taught and on new ones, and the power of images by
    frequency, as a share of that of the teacher's images in 64 steps."""
    noise = teacher.path.start(torch.empty(n, 1, 28, 28), block_generator(7))
    labels = class_labels(n, 10)
    new = trajectories(teacher, noise, labels, middle, HALF_STEPS)
    fine = trajectories(teacher, noise, labels, middle, 4 * HALF_STEPS)[2].clamp(-1, 1)
    chosen = torch.arange(n)
    old = taught["points"][:, chosen], taught["labels"][chosen]
    images = {"what is taught": [new[2].clamp(-1, 1)]}
    for times in ([0.0, 1.0], [0.0, middle, 1.0]):
        made = [mapped(student, noise, labels, times) for student in students.values()]
        images[f"map, {len(times) - 1}"] = made
    whole = ring_power(fine)

    def share(made):
        found = torch.stack([ring_power(x) / whole for x in made]).mean(0)
        return [round(x, 4) for x in found.tolist()]

    return dict(
        n=n,
        losses_taught=losses_by_pair(students, *old, middle),
        losses_new=losses_by_pair(students, new, labels, middle),
        taught_off_the_flow=round((new[2].clamp(-1, 1) - fine).square().mean().sqrt().item(), 4),
        power={name: share(made) for name, made in images.items()},
    )


def spent(seconds):
    """The seconds of processor time of all runs so far."""
    file = FOLDER / "seconds.json"
    before = json.loads(file.read_text()) if file.exists() else 0
    write_whole(file, json.dumps(before + seconds).encode())
    return before + seconds


def pictures(teacher, student, middle):
    """{name: uint8 [10, 28, 28]} of one noise each, a class each."""
    noise = teacher.path.start(torch.empty(10, 1, 28, 28), block_generator(2))
    labels = class_labels(10, 10)
    fits = {len(times) - 1: (times, ahead) for times, ahead in teacher.sampling.fits}
    times, ahead = fits[5]
    made = {
        "teacher, 1": solved(teacher, noise, labels, "exponential_2m", time_grid(1)),
        "teacher, 2": solved(teacher, noise, labels, "exponential_2m", [0.0, middle, 1.0]),
        "map, 1": mapped(student, noise, labels, [0.0, 1.0]),
        "map, 2": mapped(student, noise, labels, [0.0, middle, 1.0]),
        "teacher, 5": solved(teacher, noise, labels, "fitted", [*times], (ahead,)),
        "teacher, 50": solved(teacher, noise, labels, "exponential_2m", time_grid(50)),
    }
    return {name: as_bytes(images)[:, 0].numpy() for name, images in made.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    begun = time.process_time()
    teacher = FlowModel.from_pretrained("fashion").requires_grad_(False)
    data = load_data("fashion")
    within = variance_within(teacher.path, data.images[:10_000], data.labels[:10_000])
    middle = round(visible_grid(2, teacher.path, within)[1], 4)
    taught = kept(FOLDER / "lesson.pt", lambda: lesson(teacher, middle))
    students = {}
    losses = {}
    for seed in args.seeds:
        with tqdm(total=STEPS, desc=f"student {seed}") as bar:
            students[seed], losses[seed] = trained(teacher, taught, middle, seed, bar)
    real, rows = judged(teacher, students, middle)
    result = dict(
        command="python benchmarks/flow_map.py",
        machine=machine(),
        setting=dict(
            middle=middle, trajectories=TRAJECTORIES, teacher_steps=2 * HALF_STEPS, steps=STEPS,
            batch=BATCH, rate=RATE, samples=SAMPLES, seeds=args.seeds,
        ),
        trajectory_error=[round(x, 5) for x in taught["error"].tolist()],
        losses=losses,
        real=real,
        distances=rows,
        errors=off_the_teacher(teacher, students, middle),
        closer=closer(teacher, students, taught, middle),
    )  # fmt: skip
    result["core_seconds"] = round(spent(time.process_time() - begun))
    out = RESULTS / f"{datetime.date.today()}-flow-map.json"
    text = json.dumps(result).replace('{"who"', '\n{"who"').replace('"closer"', '\n"closer"')
    write_whole(out, (text + "\n").encode())
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **pictures(teacher, students[args.seeds[0]], middle))
    write_whole(out.with_suffix(".npz"), buffer.getvalue())
    print(out)


if __name__ == "__main__":
    main()
