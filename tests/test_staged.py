"""A staged flow is killed and resumed; what cannot train one is refused."""
import signal
import subprocess
import sys
import time

import pytest

from conftest import hdfm
from hdfm.config import PRESETS

LENGTH = "--steps 12 --warmup 2 --save-every 3 --log-every 1".split()
SMALL = "--batch-size 32 --sample-rows 1 --sample-every 1000 --proxy-every 0".split()
START = "import sys; from hdfm.cli import main; sys.exit(main())"
LONG = [pytest.param(path, marks=pytest.mark.long) for path in ("pyramidal-staged", "edify")]


def words(out, path, *more):
    return ["train", "digits", "--path", path, "--out", str(out), *LENGTH, *SMALL, *more]


@pytest.mark.parametrize("path", ["lapflow-staged", *LONG])
def test_a_killed_run_goes_on_to_the_same_bits(path, tmp_path):
    whole = tmp_path / "whole"
    killed = tmp_path / "killed"
    command = [sys.executable, "-c", START, *words(killed, path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.time() + 120
    while not list(killed.glob("checkpoints/step-*/manifest.json")):
        assert process.poll() is None and time.time() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for out, how in ((whole, "never"), (killed, "auto")):
        done = hdfm(*words(out, path, "--resume", how))
        assert done.returncode == 0, done.stderr
    weights = [(out / "model.safetensors").read_bytes() for out in (whole, killed)]
    assert weights[0] == weights[1]


def test_a_network_of_one_grid_is_refused():
    with pytest.raises(ValueError, match="MoT"):
        PRESETS["digits"].replace(path="edify", model="JiT-XS/2")
    with pytest.raises(ValueError, match="shard"):
        PRESETS["digits"].replace(path="edify", shard=True)
