"""Killed while saving, asked to stop, or fed NaN on one rank: nothing saved is corrupted, and a
resumed run is the one that never stopped. Trainings are killed at any moment in `test_storm`."""
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import TINY, files, hdfm
from processes import codes, finish, start
from hdfm.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from hdfm.run import RunFolder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
FAULTY = str(Path(__file__).with_name("faulty.py"))


def options(steps, **more):
    text = (f"--steps {steps} --batch-size 16 --warmup 2 --save-every 2 --sample-every {steps} "
            "--log-every 1 --sample-steps 2 --ema 0.9 0.5")
    given = [(f"--{name.replace('_', '-')}", str(value)) for name, value in more.items()]
    return text.split() + [word for pair in given for word in pair]


def wait_for(condition, processes, seconds=120):
    end = time.time() + seconds
    while not condition() and all(p.poll() is None for p in processes):
        assert time.time() < end, "nothing happened"
        time.sleep(0.01)


def last_step(run):
    rows = RunFolder(run).metrics()
    return rows[-1]["step"] if rows else 0


def left_by(run, rank):
    """(first step, last step, digest of the weights) that a rank of `faulty.py` has written."""
    return (run / f"rank-{rank}.txt").read_text().split()


def checkpoint(run, step):
    """The tensors of one checkpoint."""
    return load_checkpoint(run / "checkpoints" / f"step-{step:07d}")[0]


def test_a_run_that_forgets_its_random_state_differs(tmp_path):
    """The control: with noise drawn anew after each start, the comparison fails, so it can."""
    weights = {}
    for what in ("none", "forget"):
        for run, ends in (("straight", [12]), ("resumed", [6, 12])):
            out = tmp_path / what / run
            for steps in ends:
                more = ["--out", out, "--resume", "auto", *options(steps, schedule="constant")]
                assert codes(start(FAULTY, what, "digits", *more)) == [0]
            weights[what, run] = (out / "model.safetensors").read_bytes()
    assert weights["none", "straight"] == weights["none", "resumed"]
    assert weights["none", "straight"] == weights["forget", "straight"]
    assert weights["forget", "straight"] != weights["forget", "resumed"]


def test_a_signal_to_the_launcher_stops_all_ranks_at_one_step(tmp_path):
    run = tmp_path / "run"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words = [FAULTY, "none", "digits", "--out", str(run), *options(100_000, save_every=50_000)]
    launcher = subprocess.Popen([*launch, *words], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)
    wait_for(lambda: last_step(run) > 3, [launcher])
    launcher.terminate()
    said, _ = launcher.communicate(timeout=120)
    _, step, weights = left_by(run, 0)
    assert left_by(run, 1)[1:] == [step, weights]
    assert f"{step} of 100000 steps, stopped by SIGTERM" in said
    (saved,) = list_checkpoints(run / "checkpoints")
    assert load_checkpoint(saved)[1]["step"] == int(step) == last_step(run)


def test_the_signal_of_slurm_and_another_number_of_ranks(tmp_path):
    """One rank of two gets SIGUSR1; one rank alone finishes the run; the order of images and noise
    stays: only rounding may differ."""
    words = [FAULTY, "none", "digits", *options(40, micro_batch=8)]
    run = tmp_path / "run"
    straight = tmp_path / "straight"
    ranks = start(*words, "--out", run, size=2)
    wait_for(lambda: last_step(run) > 5, ranks)
    ranks[1].send_signal(signal.SIGUSR1)
    assert codes(ranks) == [0, 0]
    assert 5 < last_step(run) < 40
    for out in (run, straight):
        assert codes(start(*words, "--out", out, "--resume", "auto")) == [0]
    found = checkpoint(run, 40)
    expected = checkpoint(straight, 40)
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-5)


def test_nan_on_one_rank_stops_all_before_the_update(tmp_path):
    run = tmp_path / "run"
    words = ["digits", "--out", run, *options(12, save_every=1)]
    (code, first), (other, second) = finish(start(FAULTY, "nan:1:5", *words, size=2))
    assert (code, other) == (2, 2)
    assert "at step 5 the loss is not finite on rank 1 (nan)" in first
    assert "left as they were" in first and "error" not in second
    _, step, weights = left_by(run, 0)
    assert step == "4" and left_by(run, 1)[2] == weights
    fine = tmp_path / "fine"  # the same run unharmed; after four steps it has the same weights
    words = ["digits", "--out", fine, *options(12, save_every=1, keep=20)]
    assert codes(start(FAULTY, "none", *words, size=2)) == [0, 0]
    assert newest_checkpoint(run / "checkpoints")[1]["step"] == 4
    expected = checkpoint(fine, 4)
    stopped = checkpoint(run, 4)
    for name in expected:
        assert torch.equal(expected[name], stopped[name]), name


def save_forever(save):
    """A child process that saves again and again; returns its number."""
    child = os.fork()
    if child:
        return child
    try:
        tensors = {"w": torch.arange(200_000.0)}
        step = 0
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
    seen = []

    def good(step, tensors):
        save_checkpoint(tmp_path / "good", 10 * len(seen) + step, tensors)

    good(0, dict(w=torch.arange(200_000.0)))  # so that there is one, whenever the first kill comes
    for _ in killed_while_saving(good, 40, seed=1):
        tensors, info, problems = newest_checkpoint(tmp_path / "good")
        assert not problems and torch.equal(tensors["w"], torch.arange(200_000.0))
        seen.append(info["step"])
        for old in list_checkpoints(tmp_path / "good")[1:]:
            shutil.rmtree(old)
    assert len(seen) == 40
    assert list((tmp_path / "good").glob(".step-*.partial"))  # some were killed in the middle


def test_the_obvious_way_to_save_does_not_survive_kills(tmp_path):
    """The control of the test above."""
    unreadable = 0

    def naive(step, tensors):
        torch.save(tensors, tmp_path / "naive.pt")

    for _ in killed_while_saving(naive, 40, seed=1):
        try:
            torch.load(tmp_path / "naive.pt", weights_only=True)
        except Exception:
            unreadable += 1
    assert unreadable > 10


def test_a_damaged_checkpoint_falls_back_to_the_one_before(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    newest, before = list_checkpoints(run / "checkpoints")
    state = newest / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1000])
    done = hdfm("train", "digits", "--out", run, "--resume", "auto", *TINY)
    assert done.returncode == 0
    assert f"continuing from step {int(before.name[5:])}" in done.stderr
    assert "state.safetensors has" in done.stderr
    for name in ("model.safetensors", f"checkpoints/{newest.name}/state.safetensors"):
        assert files(run)[name] == files(trained)[name]


def test_another_seed_is_another_run(trained, tmp_path):
    """Another control: if such comparisons could not fail, this would not differ."""
    other = tmp_path / "other"
    assert hdfm("train", "digits", "--out", other, *TINY, "--seed", "1").returncode == 0
    assert files(other)["model.safetensors"] != files(trained)["model.safetensors"]
