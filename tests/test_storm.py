"""A dozen storms of `benchmarks/storm.py`, which counts hundreds: killed, starved, stopped and
damaged at any moment, a training ends with the bytes of one that was left alone."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit and POSIX signals")


def test_storms(tmp_path):
    out = tmp_path / "storm.json"
    few = "--storms", "12", "--minutes", "1", "--first", "1000", "--out", out
    command = [sys.executable, ROOT / "benchmarks" / "storm.py", *few]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(out.read_text())
    assert found["counts"]["differences"] == [0, 0] and len(found["storms"]) >= 2
    assert all(storm["different"] is None for storm in found["storms"])
