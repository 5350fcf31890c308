"""Storms: a training is broken again and again, resumed, and compared with one that was left alone.

    make storm                                        # or: python benchmarks/storm.py --minutes 3
    python benchmarks/storm.py --seed 17              # that storm alone, with all that was said

A storm is one run folder: a tiny network on digits, on one rank (even seeds) or two. It is struck
up to six times, each time while it starts, trains, saves or ends, or while nobody uses it, and is
resumed after each blow. At the end it is resumed once more, to the last step, and its weights must
have the SHA-256 of those that an undisturbed training has made with the ordinary command. A seed
fixes the blows and the steps at which they fall; the millisecond within a step is the machine's.

Processes are forked from one that has imported PyTorch, which saves seven seconds of each start;
they are processes of their own, and a SIGKILL ends them as any other. Bounded by --minutes (a storm
that has begun is ended). The status is 1 if anything is different from what it should be.
"""

import argparse
import datetime
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch

from tqdm import tqdm

from hdfm.checkpoint import list_checkpoints, write_whole
from hdfm.run import RunFolder

RESULTS = Path(__file__).parent / "results"
STEPS = 24
WORDS = (
    f"digits --steps {STEPS} --batch-size 16 --warmup 2 --save-every 2 --sample-every 12 "
    "--log-every 1 --sample-steps 2 --ema 0.9 0.5 --resume auto"
).split()
STATE = f"checkpoints/step-{STEPS:07d}/state.safetensors"
WEIGHTS = ("model.safetensors", "model-0.5.safetensors", STATE)
LOADED = "hdfm.train sklearn.datasets matplotlib.pyplot torch.utils.flop_counter torch._dynamo"
PATIENCE = 90  # seconds that anything may take
GRACE = 3  # seconds that a launcher leaves the other ranks when one is lost


class Different(Exception):
    """What should not be: the storm has found a mistake."""


def forks():
    """A context of processes that begin with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["torch.distributed.checkpoint.state_dict", "hdfm.cli", *LOADED.split()]
    )
    return context


def train(words, group, timeout, said):
    """What one rank does, in a process of its own; ranks wait `timeout` seconds for each other."""
    import hdfm.train
    from hdfm.cli import main

    for stream in (1, 2):
        os.dup2(said.fileno(), stream)
    said.close()
    tqdm.set_lock(threading.RLock())  # its own would outlive a process that is killed
    os.environ.update(group)
    hdfm.train.parallel = partial(hdfm.train.parallel, timeout=timeout)
    sys.exit(main(["train", *words]))


class Crew:
    """The ranks that train one run folder."""

    def __init__(self, context, run, size=1, timeout=PATIENCE):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = str(free.getsockname()[1])
        group = dict(WORLD_SIZE=str(size), MASTER_ADDR="localhost", MASTER_PORT=port)
        self.texts = [b""] * size
        self.pipes = []
        self.processes = []
        for rank in range(size):
            ours, theirs = context.Pipe(duplex=False)
            mine = group | dict(RANK=str(rank), LOCAL_RANK=str(rank))
            words = (*WORDS, "--out", str(run))
            process = context.Process(target=train, args=(words, mine, timeout, theirs))
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)

    @property
    def codes(self):
        """The exit status of each rank; None while it is alive."""
        return [process.exitcode for process in self.processes]

    @property
    def alive(self):
        return None in self.codes

    def listen(self):
        """Take what the ranks have said since."""
        for rank, pipe in enumerate(self.pipes):
            try:
                while not pipe.closed and multiprocessing.connection.wait([pipe], 0):
                    text = os.read(pipe.fileno(), 2**16)
                    if not text:
                        break
                    self.texts[rank] += text
            except OSError:
                pass

    def leave(self):
        """Stop reading: whatever is said from now on meets a closed pipe."""
        self.listen()
        for pipe in self.pipes:
            pipe.close()

    def send(self, number, ranks=None):
        for process in self.processes if ranks is None else [self.processes[r] for r in ranks]:
            if process.exitcode is None:
                os.kill(process.pid, number)

    def ended(self, seconds=PATIENCE):
        """Wait; whether all have ended by themselves. If not, they are killed."""
        end = time.time() + seconds
        while self.alive and time.time() < end:
            self.listen()
            time.sleep(0.01)
        by_themselves = not self.alive
        self.send(signal.SIGKILL)
        for process in self.processes:
            process.join()
        self.listen()
        return by_themselves

    @property
    def said(self):
        return b"".join(self.texts).decode(errors="replace")

    @property
    def errors(self):
        """Lines that tell of an error."""
        return [line for line in self.said.splitlines() if "error" in line or "Traceback" in line]


MOMENTS = dict(starting=1, training=4, saving=4, ending=1)  # and how often each is drawn
LATER = dict(starting=0.6, training=0.1, saving=0.06, ending=1)  # seconds, at most, until the blow


class Storm:
    """One run folder, and what becomes of it."""

    def __init__(self, context, folder, seed, expected):
        self.context = context
        self.seed = seed
        self.size = 1 + seed % 2
        self.dice = random.Random(seed)
        self.run = Path(folder) / f"storm-{seed}"
        self.expected = expected
        self.blows = []
        self.said = []

    def start(self, **more):
        return Crew(self.context, self.run, self.size, **more)

    def rage(self):
        """Strike, resume, and strike again; then compare."""
        for _ in range(self.dice.randint(2, 6)):
            kind = self.dice.choices(list(KINDS), [weight for _, weight in KINDS.values()])[0]
            struck = KINDS[kind][0](self)
            if struck:
                self.blows.append(dict(kind=kind, **struck))
        crew = self.start()
        if not crew.ended() or crew.codes != [0] * self.size:
            self.differs("it does not go on", crew)
        self.said.append(crew.said)
        found = hashes(self.run)
        for name in WEIGHTS:
            if found[name] != self.expected[name]:
                self.differs(f"{name} is different")
        return self

    def differs(self, what, crew=None):
        more = f": {crew.codes}, {crew.errors or crew.said[-500:]}" if crew else ""
        raise Different(f"storm {self.seed}, after {self.blows}: {what}{more}")

    def check(self, crew, allowed):
        """The ranks may have ended like that, and have said so in one line each."""
        self.said.append(crew.said)
        if not set(crew.codes) <= set(allowed):
            self.differs(f"a status not in {allowed}", crew)
        if "Traceback" in crew.said or any("unexpected" in line for line in crew.errors):
            self.differs("a riddle", crew)
        if len(crew.errors) > self.size:
            self.differs("more than a line a rank", crew)

    # moments

    def done(self):
        """The step of the newest checkpoint."""
        found = list_checkpoints(self.run / "checkpoints")
        return int(found[0].name[5:]) if found else 0

    def until(self, crew, condition):
        """Wait for a condition; whether the ranks are alive then."""
        end = time.time() + PATIENCE
        while crew.alive and not condition():
            if time.time() > end:
                crew.ended(0)
                self.differs("nothing happens", crew)
            crew.listen()
            time.sleep(0.001)
        return crew.alive

    def moment(self, crew):
        """Wait for a moment drawn at random: its name, or None if the training was faster."""
        name = self.dice.choices(list(MOMENTS), MOMENTS.values())[0]
        step = min(STEPS, self.done() + self.dice.randint(1, 9))
        metrics = self.run / "metrics.jsonl"
        saved = self.run / "checkpoints" / f".step-{step + step % 2:07d}.partial"
        step = STEPS if name == "ending" else step
        before = identity(metrics), identity(saved)  # the log is made anew before the first step

        def begun():
            return identity(metrics) != before[0]

        def reached():
            return begun() and last_step(self.run) >= step

        def saving():
            return identity(saved) not in (None, before[1])

        conditions = dict(starting=lambda: True, saving=saving)
        if not self.until(crew, conditions.get(name, reached)):
            return None
        time.sleep(self.dice.uniform(0, LATER[name]))
        if not begun():
            name = "starting"
        return name if crew.alive else None

    def some_ranks(self):
        return self.dice.choice([range(self.size), [0], [self.size - 1]])


def identity(file):
    """What tells a file from one that is put in its place."""
    try:
        return os.stat(file).st_ino
    except OSError:
        return None


def last_step(run):
    rows = RunFolder(run).metrics()
    return rows[-1]["step"] if rows else 0


def hashes(run):
    """SHA-256 of the weights of a finished run; None for what is not there."""
    files = {name: run / name for name in WEIGHTS}
    return {
        name: hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None
        for name, file in files.items()
    }


# blows: each strikes a `Storm`, and returns what it did, or None if it came too late


def kill(storm):
    """SIGKILL, to one rank or to all."""
    crew = storm.start()
    moment = storm.moment(crew)
    ranks = storm.some_ranks()
    if moment:
        crew.send(signal.SIGKILL, ranks)
        half = [*storm.run.glob(".*.partial"), *storm.run.glob("checkpoints/.*.partial")]
    crew.ended(GRACE if moment else PATIENCE)
    storm.check(crew, (0, 2, -signal.SIGKILL))
    return dict(moment=moment, ranks=len(ranks), in_a_save=bool(half)) if moment else None


def stop(storm):
    """SIGTERM, or another signal that asks for an end."""
    crew = storm.start()
    moment = storm.moment(crew)
    number = storm.dice.choice([signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
    ranks = storm.some_ranks()
    if moment:
        crew.send(number, ranks)
    crew.ended(GRACE if moment in ("starting", "ending") else PATIENCE)
    not_listening = moment == "starting" or last_step(storm.run) == STEPS
    allowed = (1, 2, -signal.SIGKILL, -number) if not_listening else ()  # it ends a rank at once
    storm.check(crew, (0, 130, *allowed))
    return dict(moment=moment, ranks=len(ranks), signal=number.name) if moment else None


def full_disk(storm):
    """From a moment on, no file may grow beyond some size, as on a disk that is full."""
    crew = storm.start()
    moment = storm.moment(crew)
    room = storm.dice.choice([0, 3000, 1_000_000, 3_000_000])
    if moment:
        for process in crew.processes:
            if process.exitcode is None:
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (room, room))
    if not crew.ended():
        storm.differs("it hangs", crew)
    storm.check(crew, (0, 2))
    return dict(moment=moment, room=room) if moment else None


def stop_the_clock(storm):
    """SIGSTOP for longer than ranks wait for each other, then SIGCONT."""
    crew = storm.start(timeout=2)
    moment = storm.moment(crew)
    ranks = [storm.dice.randrange(storm.size)]
    seconds = storm.dice.uniform(2.5, 3.5) if storm.size > 1 else storm.dice.uniform(0.2, 1)
    if moment:
        crew.send(signal.SIGSTOP, ranks)
        time.sleep(seconds)
        crew.send(signal.SIGCONT, ranks)
        go_on(storm, crew)
    crew.ended(PATIENCE if storm.size == 1 else GRACE + 2)
    storm.check(crew, (0, 2, -signal.SIGKILL))
    return dict(moment=moment, seconds=round(seconds, 1)) if moment else None


def second(storm):
    """Another process begins to train the same folder: it is turned away."""
    held = storm.run / ".lock.json"
    old = identity(held)  # of one that was killed
    crew = storm.start()
    locked = storm.until(crew, lambda: identity(held) not in (None, old))
    moment = storm.moment(crew) if locked else None
    if moment:
        other = Crew(storm.context, storm.run)
        other.ended()
        storm.check(other, (0, 2))
        if other.codes == [2] and "is being trained by" not in other.said:
            storm.differs("the second process is not told by whom", other)
        if other.codes == [0] and crew.alive:
            storm.differs("two processes trained at once", other)
        go_on(storm, crew)
    crew.ended()
    storm.check(crew, (0, -signal.SIGKILL))
    return dict(moment=moment, turned_away=other.codes == [2]) if moment else None


def leave(storm):
    """Nobody reads any more what the training says."""
    crew = storm.start()
    moment = storm.moment(crew)
    if moment:
        crew.leave()
        go_on(storm, crew)
    crew.ended()
    storm.check(crew, (0, -signal.SIGKILL))
    return dict(moment=moment) if moment else None


def go_on(storm, crew):
    """Let the ranks train a while, then kill them; or let them end."""
    if storm.dice.random() < 0.5:
        time.sleep(storm.dice.uniform(0, 0.5))
        crew.send(signal.SIGKILL)


def flip(storm):
    """Bits of the newest checkpoint change, or of all."""
    return damage(storm, flip_bits)


def remove(storm):
    """Files or folders of the run are lost."""
    return damage(storm, remove_one)


def damage(storm, harm):
    """Harm files while nobody uses them. What is whole is used, and what is not is refused."""
    checkpoints = list_checkpoints(storm.run / "checkpoints")
    if not checkpoints:
        return None
    copy = storm.run.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(storm.run, copy, symlinks=True)
    struck = checkpoints if storm.dice.random() < 0.3 else checkpoints[:1]
    harmed = [harm(storm, checkpoint) for checkpoint in struck]
    lost = len(struck) == len(checkpoints) or not (storm.run / "config.json").exists()
    crew = storm.start()
    if not crew.ended():
        storm.differs("it hangs", crew)
    storm.check(crew, (0, 2) if lost else (0,))
    refused = set(crew.codes) == {2}
    named = "continuing from step" in crew.said
    if not (refused or named) and harmed[0] == f"{checkpoints[0].name}/state.safetensors":
        storm.differs(f"{harmed} was harmed, and nobody says so", crew)
    if refused:
        if len(crew.errors) != 1:
            storm.differs("a refusal is one line", crew)
        shutil.rmtree(storm.run)
        shutil.move(copy, storm.run)
    shutil.rmtree(copy, ignore_errors=True)
    return dict(harmed=harmed, end="refused" if refused else "went on")


def flip_bits(storm, checkpoint):
    file = storm.dice.choice(["state.safetensors", "state.safetensors", "manifest.json"])
    path = checkpoint / file
    body = bytearray(path.read_bytes())
    for _ in range(storm.dice.randint(1, 3)):
        body[storm.dice.randrange(len(body))] ^= 1 << storm.dice.randrange(8)
    path.write_bytes(body)
    return f"{checkpoint.name}/{file}"


def remove_one(storm, checkpoint):
    whole = [checkpoint / "state.safetensors", checkpoint / "manifest.json", checkpoint]
    files = [path for path in sorted(storm.run.rglob("*")) if path.is_file()]
    others = [path for path in files if "checkpoints" not in path.parts]
    path = storm.dice.choice(whole + storm.dice.sample(others, min(2, len(others))))
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    return path.relative_to(storm.run).as_posix().removeprefix("checkpoints/")


KINDS = dict(
    kill=(kill, 58),
    stop=(stop, 12),
    full_disk=(full_disk, 7),
    flip=(flip, 7),
    remove=(remove, 7),
    stop_the_clock=(stop_the_clock, 4),
    second=(second, 4),
    leave=(leave, 4),
)


def undisturbed(folder, size):
    """The hashes of a training by the ordinary command, on one rank or (by torchrun) on several."""
    launch = ["-m", "hdfm.train"]
    if size > 1:
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={size}"]
        launch = [*torchrun, *launch]
    run = Path(folder) / f"undisturbed-{size}"
    command = [sys.executable, *launch, *WORDS, "--out", str(run)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return hashes(run)


def weather(context, folder, expected, seeds, minutes):
    """Yield what becomes of each storm, a dict, while there is time."""
    began = time.time()
    bar = tqdm(total=round(60 * minutes), desc="storms", unit="s", disable=len(seeds) == 1)
    found = Counter()
    with bar:
        for seed in seeds:
            if time.time() - began > 60 * minutes:
                return
            start = time.time()
            storm = Storm(context, folder, seed, expected[1 + seed % 2])
            different = None
            try:
                storm.rage()
                shutil.rmtree(storm.run)
            except Different as error:
                different = str(error)
                bar.write(different, sys.stderr)
                for process in multiprocessing.active_children():
                    process.kill()
            found.update(storms=1, blows=len(storm.blows), differences=bool(different))
            bar.set_postfix(found, refresh=False)
            bar.update(min(bar.total - bar.n, round(time.time() - began) - bar.n))
            if len(seeds) == 1:
                print(*storm.said, *storm.blows, sep="\n")
            yield dict(
                seed=seed,
                ranks=storm.size,
                seconds=round(time.time() - start, 1),
                different=different,
                blows=storm.blows,
            )


def table(rows):
    """Counts by kind and by number of ranks."""
    lines = [f"{'':24}{'one rank':>10}{'two ranks':>11}"]
    for name, counts in rows.items():
        lines.append(f"{name:24}{counts[0]:>10}{counts[1]:>11}")
    return "\n".join(lines)


def counted(storms):
    """{what: (on one rank, on two)} of what `weather` has given."""

    def count(measure):
        return [sum(map(measure, (s for s in storms if s["ranks"] == size))) for size in (1, 2)]

    def blows(kind):
        return lambda storm: sum(blow["kind"] == kind for blow in storm["blows"])

    return {
        "storms": count(lambda storm: 1),
        **{f"  {kind.replace('_', ' ')}": count(blows(kind)) for kind in KINDS},
        "killed in a save": count(lambda s: sum(b.get("in_a_save", 0) for b in s["blows"])),
        "refused rightly": count(lambda s: sum(b.get("end") == "refused" for b in s["blows"])),
        "resumed, ended equal": count(lambda storm: storm["different"] is None),
        "differences": count(lambda storm: storm["different"] is not None),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=3, help="begin no storm after that (3)")
    parser.add_argument("--storms", type=int, default=10**6, help="no more than that many")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--seed", type=int, help="only that storm, and what it says")
    parser.add_argument("--out", type=Path, help="a JSON file of counts, which is added to")
    args = parser.parse_args()
    known = json.loads(args.out.read_text()) if args.out and args.out.exists() else {}
    storms = known.get("storms", [])
    first = max([args.first, *(storm["seed"] + 1 for storm in storms)])
    seeds = range(first, first + args.storms) if args.seed is None else [args.seed]
    sizes = (1, 2) if args.seed is None else (1 + args.seed % 2,)
    with tempfile.TemporaryDirectory(prefix="storm-") as folder:
        expected = {size: undisturbed(folder, size) for size in sizes}
        for storm in weather(forks(), folder, expected, seeds, args.minutes):
            storms.append(storm)
            if args.out:
                write_whole(args.out, report(storms).encode())
    rows = counted(storms)
    print(table(rows))
    return int(any(rows["differences"]))


def report(storms):
    """The counts as JSON, a line for each storm."""
    from machine import machine

    result = dict(
        command="python benchmarks/storm.py",
        date=datetime.date.today().isoformat(),
        machine=machine(),
        training=" ".join(WORDS),
        minutes=round(sum(storm["seconds"] for storm in storms) / 60, 1),
        counts={name.strip(): counts for name, counts in counted(storms).items()},
        storms=storms,
    )
    return json.dumps(result).replace('{"seed"', '\n{"seed"') + "\n"


if __name__ == "__main__":
    sys.exit(main())
