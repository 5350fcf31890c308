"""Killed at any moment: nothing saved is corrupted, and the resumed run is the one that never stopped."""
import random
import signal
import subprocess
import sys
import time

import pytest

from conftest import TINY, files, hdfm

TRAIN = [sys.executable, "-m", "hdfm.train", "digits", *TINY]


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_and_resumed_is_the_same_run(trained, tmp_path):
    run, dice, kills = tmp_path / "killed", random.Random(0), 0
    while not (run / "report.png").exists():
        assert kills < 40, "never finished"
        process = subprocess.Popen([*TRAIN, "--out", str(run), "--resume", "auto"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (run / "metrics.jsonl").exists() and process.poll() is None:  # past the imports
            time.sleep(0.01)
        try:
            process.wait(timeout=dice.uniform(0.0, 2.0) if kills < 6 else None)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        else:
            assert process.returncode == 0
    assert kills > 0
    killed, straight = files(run), files(trained)
    for name in ("model.safetensors", "state.safetensors", "samples/step-0000012.png"):
        assert killed[name] == straight[name], name


def test_another_seed_is_another_run(trained, tmp_path):
    """The control: if the comparison above could not fail, this would not differ."""
    assert hdfm("train", "digits", "--out", tmp_path / "other", *TINY, "--seed", "1").returncode == 0
    assert files(tmp_path / "other")["model.safetensors"] != files(trained)["model.safetensors"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_while_saving_leaves_a_whole_file(tmp_path):
    from hdfm.train import load_tensors
    code = ("import sys, torch; from hdfm.train import save_tensors\n"
            "tensors, step = {'w': torch.randn(400, 1000)}, 0\n"
            "while True: step += 1; save_tensors(sys.argv[1], tensors, 'test', step=step)")
    target, dice, steps = tmp_path / "t.safetensors", random.Random(1), []
    for _ in range(8):
        target.unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, "-c", code, str(target)])
        while not target.exists():
            time.sleep(0.005)
        time.sleep(dice.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        steps.append(load_tensors(target, "test")[1]["step"])
    assert max(steps) > 1  # it was killed in the middle of saving, not before
