"""Killed at any moment, asked to stop, or fed NaN on one rank: nothing saved is corrupted, and a resumed run is the one that never stopped."""
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from conftest import TINY, files, hdfm
from hdfm.checkpoint import list_checkpoints, load_checkpoint, newest_checkpoint, save_checkpoint
from hdfm.train import read_metrics

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
FAULTY = str(Path(__file__).with_name("faulty.py"))


def options(steps, **more):
    text = f"--steps {steps} --batch-size 16 --warmup 2 --save-every 2 --sample-every {steps} --log-every 1 --sample-steps 2 --ema 0.9 0.5"
    return text.split() + [str(word) for name, value in more.items() for word in (f"--{name.replace('_', '-')}", value)]


def start(*command, size=1, **env):
    """Start `python command` once for each rank, as torchrun would."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    where = dict(WORLD_SIZE=size, MASTER_ADDR="localhost", MASTER_PORT=port, **env)
    return [subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                             env=os.environ | {k: str(v) for k, v in (where | dict(RANK=rank, LOCAL_RANK=rank)).items()})
            for rank in range(size)]


def finish(processes):
    return [(p.communicate(timeout=300)[1], p.returncode)[::-1] for p in processes]


def wait_for(condition, processes, seconds=120):
    end = time.time() + seconds
    while not condition() and all(p.poll() is None for p in processes):
        assert time.time() < end, "nothing happened"
        time.sleep(0.01)


def last_step(run):
    rows = read_metrics(run)
    return rows[-1]["step"] if rows else 0


def test_ten_kills_of_two_ranks(tmp_path):
    """SIGKILL to one rank or both, at random moments of training, saving and sampling; then on to the end."""
    words = ["-m", "hdfm.train", "digits", *options(60)]
    assert [code for code, _ in finish(start(*words, "--out", tmp_path / "straight", size=2))] == [0, 0]
    run, dice, kills = tmp_path / "killed", random.Random(0), 0
    while kills < 10:
        before = last_step(run)
        ranks = start(*words, "--out", run, "--resume", "auto", size=2)
        wait_for(lambda: last_step(run) not in (0, before), ranks)  # it has rewound its log, and goes on
        time.sleep(dice.uniform(0.0, 0.4))
        assert any(p.poll() is None for p in ranks), "finished before the tenth kill: give it more steps"
        for p in dice.choice([ranks, ranks[:1], ranks[1:]]):
            p.kill()
        kills += 1
        time.sleep(0.05)
        for p in ranks:  # the other rank cannot go on alone
            p.kill()
        finish(ranks)
    assert [code for code, _ in finish(start(*words, "--out", run, "--resume", "auto", size=2))] == [0, 0]
    killed, straight = files(run), files(tmp_path / "straight")
    for name in ("model.safetensors", "model-0.5.safetensors", "checkpoints/step-0000060/state.safetensors", "samples/step-0000060.png"):
        assert killed[name] == straight[name], name
    assert [row["step"] for row in read_metrics(run)] == list(range(1, 61))
    assert [row["loss"] for row in read_metrics(run)] == [row["loss"] for row in read_metrics(tmp_path / "straight")]


def test_a_run_that_forgets_its_random_state_differs(tmp_path):
    """The control: with the noise drawn anew after each start, the same comparison fails, so it can."""
    for what in ("none", "forget"):
        for run, kinds in (("straight", [12]), ("resumed", [6, 12])):
            for steps in kinds:
                more = ["--out", tmp_path / what / run, "--resume", "auto", *options(steps, schedule="constant")]
                assert [code for code, _ in finish(start(FAULTY, what, "digits", *more))] == [0]
    weights = {(what, run): (tmp_path / what / run / "model.safetensors").read_bytes()
               for what in ("none", "forget") for run in ("straight", "resumed")}
    assert weights["none", "straight"] == weights["none", "resumed"] == weights["forget", "straight"] != weights["forget", "resumed"]


def test_a_signal_to_the_launcher_stops_all_ranks_at_one_step(tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", FAULTY, "none", "digits",
               "--out", str(run), *options(100_000, save_every=50_000)]
    launcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    wait_for(lambda: last_step(run) > 3, [launcher])
    launcher.terminate()
    said, _ = launcher.communicate(timeout=120)
    (_, step, weights), (_, other, same) = ((run / f"rank-{rank}.txt").read_text().split() for rank in range(2))
    assert step == other and weights == same and f"{step} of 100000 steps, stopped by SIGTERM" in said
    (checkpoint,) = list_checkpoints(run / "checkpoints")
    assert load_checkpoint(checkpoint)[1]["step"] == int(step) == last_step(run)


def test_the_signal_of_slurm_and_another_number_of_ranks(tmp_path):
    """One rank of two gets SIGUSR1; one rank alone finishes the run; the order of images and noise stays: only rounding may differ."""
    words = [FAULTY, "none", "digits", *options(40, micro_batch=8)]
    ranks = start(*words, "--out", tmp_path / "run", size=2)
    wait_for(lambda: last_step(tmp_path / "run") > 5, ranks)
    ranks[1].send_signal(signal.SIGUSR1)
    assert [code for code, _ in finish(ranks)] == [0, 0]
    assert 5 < last_step(tmp_path / "run") < 40
    for run in ("run", "straight"):
        assert [code for code, _ in finish(start(*words, "--out", tmp_path / run, "--resume", "auto"))] == [0]
    states = [load_checkpoint(tmp_path / run / "checkpoints" / "step-0000040")[0] for run in ("run", "straight")]
    for name in states[0]:
        torch.testing.assert_close(states[0][name], states[1][name], rtol=1e-3, atol=1e-5)


def test_nan_on_one_rank_stops_all_before_the_update(tmp_path):
    run = tmp_path / "run"
    (code, first), (other, second) = finish(start(FAULTY, "nan:1:5", "digits", "--out", run, *options(12, save_every=1), size=2))
    assert (code, other) == (2, 2)
    assert "at step 5 the loss is not finite on rank 1 (nan)" in first and "left as they were" in first and "error" not in second
    (_, step, weights), (_, _, same) = ((run / f"rank-{rank}.txt").read_text().split() for rank in range(2))
    assert step == "4" and weights == same
    fine = tmp_path / "fine"  # the same run, that ends after four steps, has the same weights
    assert [c for c, _ in finish(start(FAULTY, "none", "digits", "--out", fine, *options(12, save_every=1, keep=20), size=2))] == [0, 0]
    four, stopped = (load_checkpoint(folder / "checkpoints" / "step-0000004")[0] for folder in (fine, run))
    assert newest_checkpoint(run / "checkpoints")[1]["step"] == 4
    for name in four:
        assert torch.equal(four[name], stopped[name]), name


def save_forever(save):
    """A child process that saves again and again; returns its number."""
    child = os.fork()
    if child:
        return child
    try:
        tensors, step = {"w": torch.arange(200_000.0)}, 0
        while True:
            step += 1
            save(step, tensors)
    finally:
        os._exit(1)


def killed_while_saving(save, times, seed):
    dice = random.Random(seed)
    for _ in range(times):
        child = save_forever(save)
        time.sleep(dice.uniform(0.02, 0.12))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        yield


def test_forty_kills_while_saving(tmp_path):
    def good(step, tensors):
        save_checkpoint(tmp_path / "good", 10 * len(seen) + step, tensors)

    def naive(step, tensors):
        torch.save(tensors, tmp_path / "naive.pt")

    seen, unreadable = [], 0
    for _ in killed_while_saving(good, 40, seed=1):
        tensors, info, problems = newest_checkpoint(tmp_path / "good")
        assert not problems and torch.equal(tensors["w"], torch.arange(200_000.0))
        seen.append(info["step"])
        for old in list_checkpoints(tmp_path / "good")[1:]:
            for file in [*old.iterdir()]:
                file.unlink()
            old.rmdir()
    assert len(seen) == 40 and list((tmp_path / "good").glob(".step-*.partial"))  # some were killed in the middle
    for _ in killed_while_saving(naive, 40, seed=1):
        try:
            torch.load(tmp_path / "naive.pt", weights_only=True)
        except Exception:
            unreadable += 1
    assert unreadable > 10  # the control: the obvious way does not survive this


def test_a_damaged_checkpoint_falls_back_to_the_one_before(trained, tmp_path):
    import shutil
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (newest, before) = list_checkpoints(run / "checkpoints")
    state = newest / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1000])
    done = hdfm("train", "digits", "--out", run, "--resume", "auto", *TINY)
    assert done.returncode == 0 and f"continuing from step {int(before.name[5:])}" in done.stderr and "state.safetensors has" in done.stderr
    for name in ("model.safetensors", f"checkpoints/{newest.name}/state.safetensors"):
        assert files(run)[name] == files(trained)[name]


def test_another_seed_is_another_run(trained, tmp_path):
    """Another control: if such comparisons could not fail, this would not differ."""
    assert hdfm("train", "digits", "--out", tmp_path / "other", *TINY, "--seed", "1").returncode == 0
    assert files(tmp_path / "other")["model.safetensors"] != files(trained)["model.safetensors"]


def test_a_full_disk_ends_the_run_with_what_was_saved_whole(trained, tmp_path):
    """A limit on the size of a file stands for a disk that is full: the checkpoint does not fit, the small files do."""
    import resource
    import shutil
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    kept = {name: data for name, data in files(run).items() if name.startswith(("checkpoints/step-0000010", "model"))}
    shutil.rmtree(list_checkpoints(run / "checkpoints")[0])  # so that there is one to write
    done = hdfm("train", "digits", "--out", run, "--resume", "auto", *TINY,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)))
    lines = [line for line in done.stderr.splitlines() if "error" in line]
    assert done.returncode == 2 and len(lines) == 1 and "checkpoints" in lines[0], done.stderr[-2000:]
    left = files(run)
    assert all(left[name] == data for name, data in kept.items()) and [p.name for p in list_checkpoints(run / "checkpoints")] == ["step-0000010"]
    assert hdfm("train", "digits", "--out", run, "--resume", "auto", *TINY).returncode == 0
    assert files(run)["model.safetensors"] == files(trained)["model.safetensors"]
