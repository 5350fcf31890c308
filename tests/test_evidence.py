"""Rivals by the command, and the experiments of the evidence: they run, can be interrupted, and
go on to the same result."""

import json
import os
import signal
import subprocess
import sys
import time

from conftest import ROOT, TINY, hdfm
from hdfm.baselines import InverseHeat
from hdfm.hub import FlowModel

IHDM = "--path ihdm --levels 4".split()


def test_a_rival_by_the_command(tmp_path):
    tiny = [word for word in TINY if word not in ("--sample-steps",)][:-1]
    done = hdfm("train", "digits", "--out", tmp_path / "run", *tiny, *IHDM)
    assert done.returncode == 0, done.stderr
    done = hdfm("sample", tmp_path / "run", "--out", tmp_path / "a.png", "--count", 4)
    assert done.returncode == 0, done.stderr
    done = hdfm("evaluate", tmp_path / "run", "--samples", 20, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["model"]["path"] == "ihdm", done.stderr
    done = hdfm("export", tmp_path / "run", "--out", tmp_path / "model")
    assert done.returncode == 0, done.stderr
    exported = FlowModel.from_pretrained(tmp_path / "model")
    assert type(exported.path) is InverseHeat and exported.path.levels == 4
    assert exported.sample(count=3).isfinite().all()


def test_a_rival_trained_in_a_way_it_cannot_be_is_refused_before_anything_is_made(tmp_path):
    def refused(*options, says):
        done = hdfm("train", "digits", "--out", tmp_path / "run", *options)
        assert done.returncode == 2 and says in done.stderr, done.stderr
        assert not (tmp_path / "run").exists()

    refused("--path", "ihdm", "--prediction", "x", says="prediction=v")
    refused(*IHDM, "--sample-steps", "5", says="sample_steps=4")
    refused(*IHDM, "--solver", "heun", says="solver=heun")
    refused("--path", "lapflow", "--blur-strength", "7", says="no option blur_strength")
    refused("--prediction", "v", "--solver", "exponential_2m", says="solver=exponential_2m")


def test_the_evidence_is_resumed(tmp_path):
    command = [
        sys.executable,
        ROOT / "benchmarks" / "evidence.py",
        "--size",
        "tiny",
        "--only",
        "Table 1",
        "--data",
        "digits",
        "--root",
    ]
    process = subprocess.Popen(
        [*command, tmp_path / "a"], stderr=subprocess.DEVNULL, start_new_session=True
    )
    until = time.time() + 200
    while not list(tmp_path.glob("a/*/*/*/result.json")) and time.time() < until:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("a/*/*/*/result.json")}
    assert kept
    done = subprocess.run([*command, tmp_path / "a"], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-2000:]
    assert all(
        path.stat().st_mtime_ns == when for path, when in kept.items()
    )  # what was finished was not done again
    found = json.loads((tmp_path / "a" / "evidence.json").read_text())
    assert len(found["runs"]) == 2 * 2 and {run["seed"] for run in found["runs"]} == {0, 1}
    assert {"command", "machine", "seeds", "images", "floors", "costs"} <= set(found)


def test_results_of_other_code_are_measured_again(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import evidence

    monkeypatch.setattr(evidence.hdfm, "__file__", str(tmp_path / "__init__.py"))
    digests = set()
    for code in ("distance = 1", "distance = 2"):
        (tmp_path / "metrics.py").write_text(code)
        evidence.code_digest.cache_clear()
        digests.add(evidence.code_digest())
    evidence.code_digest.cache_clear()
    assert len(digests) == 2
