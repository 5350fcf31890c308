"""Rivals by the command, and the experiments of the evidence: they run, can be interrupted, and go on to the same result."""
import json
import os
import signal
import subprocess
import sys
import time

from conftest import ROOT, TINY, hdfm

IHDM = "--path ihdm --prediction v --solver ancestral --last-time 1 --time-sampling uniform --levels 4 --sample-steps 4".split()


def test_a_rival_by_the_command(tmp_path):
    tiny = [word for word in TINY if word not in ("--sample-steps",)][:-1]
    done = hdfm("train", "digits", "--out", tmp_path / "run", *tiny, *IHDM)
    assert done.returncode == 0, done.stderr
    done = hdfm("sample", tmp_path / "run", "--out", tmp_path / "a.png", "--count", 4)
    assert done.returncode == 0, done.stderr
    done = hdfm("evaluate", tmp_path / "run", "--samples", 20)
    assert done.returncode == 0 and json.loads(done.stdout)["model"]["path"] == "ihdm", done.stderr
    done = hdfm("export", tmp_path / "run", "--out", tmp_path / "model")
    assert done.returncode == 2 and "heat and blur" in done.stderr, done.stderr


def test_a_rival_trained_in_a_way_it_cannot_be_is_refused_before_anything_is_made(tmp_path):
    done = hdfm("train", "digits", "--out", tmp_path / "run", "--path", "ihdm")
    assert done.returncode == 2 and "prediction=v" in done.stderr and not (tmp_path / "run").exists(), done.stderr
    done = hdfm("train", "digits", "--out", tmp_path / "run", *IHDM[:-1], 5)
    assert done.returncode == 2 and "sample_steps=4" in done.stderr and not (tmp_path / "run").exists(), done.stderr


def test_the_evidence_is_resumed(tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "evidence.py", "--size", "tiny", "--only", "Table 1", "--data", "digits", "--root"]
    process = subprocess.Popen([*command, tmp_path / "a"], stderr=subprocess.DEVNULL, start_new_session=True)
    until = time.time() + 200
    while not list(tmp_path.glob("a/*/*/*/result.json")) and time.time() < until:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("a/*/*/*/result.json")}
    assert kept
    done = subprocess.run([*command, tmp_path / "a"], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-2000:]
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())         # what was finished was not done again
    found = json.loads((tmp_path / "a" / "evidence.json").read_text())
    assert len(found["runs"]) == 2 * 2 and {run["seed"] for run in found["runs"]} == {0, 1}
    assert {"command", "machine", "seeds", "images", "floors", "costs"} <= set(found)
