"""One process at a time in a run folder: a second one is refused, a dead one's lock is taken."""
import os
import signal
import time

import pytest

from conftest import TINY, hdfm
from processes import Forked

LONG = ["--steps", "100000", "--save-every", "10", "--sample-every", "100000"]


def start(out, *more):
    """`hdfm train` in a process of its own that is not waited for."""
    return Forked("-m", "hdfm", "train", "digits", "--out", out, *TINY, *LONG, *more)


def wait_for_checkpoint(out, process, after=""):
    """Until the process has written a checkpoint later than the one named `after`."""
    until = time.time() + 120
    def found():
        manifests = out.glob("checkpoints/step-*/manifest.json")
        return max((path.parent.name for path in manifests), default="")

    while not found() > after:
        assert process.poll() is None and time.time() < until
        time.sleep(0.1)


@pytest.fixture
def running(tmp_path):
    """(run folder, process that trains in it), once it has saved something."""
    out = tmp_path / "run"
    process = start(out)
    wait_for_checkpoint(out, process)
    yield out, process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_and_names_the_first(running):
    out, process = running
    before = (out / "config.json").read_bytes()
    done = hdfm("train", "digits", "--out", out, *TINY, *LONG, "--resume", "auto")
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2 and len(lines) == 1, done.stderr
    for part in (f"process {process.pid}", "since", os.uname().nodename):
        assert part in lines[0], lines[0]
    assert process.poll() is None and (out / "config.json").read_bytes() == before


def test_the_lock_of_a_killed_process_is_taken_over(running):
    out, process = running
    process.send_signal(signal.SIGKILL)
    process.wait()
    last = max(path.name for path in out.glob("checkpoints/step-*"))
    process = start(out, "--resume", "auto")
    wait_for_checkpoint(out, process, after=last)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert not (out / ".lock.json").exists()


def test_a_progress_bar_does_not_fill_a_log(tmp_path):
    words = [*TINY, "--steps", "40", "--log-every", "1"]
    done = hdfm("train", "digits", "--out", tmp_path / "run", *words)
    assert done.returncode == 0, done.stderr
    bars = [line for line in done.stderr.splitlines() if line.startswith("train run:")]
    assert "40/40" in bars[-1] and "loss=" in bars[-1]
    assert len(bars) < 10, done.stderr
