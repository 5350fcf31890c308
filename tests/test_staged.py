"""A staged flow in the hands of trainer, sampler, evaluation and export; killed, and resumed."""
import signal
import subprocess
import sys
import time

import pytest
import torch

from conftest import hdfm
from hdfm.config import PRESETS
from hdfm.evaluate import evaluate_run
from hdfm.film import way
from hdfm.hub import export_run, open_model
from hdfm.run import RunFolder
from hdfm.train import fit

LENGTH = "--steps 12 --warmup 2 --save-every 3 --log-every 1".split()
SMALL = "--batch-size 32 --sample-rows 1 --sample-every 1000 --proxy-every 0".split()
START = "import sys; from hdfm.cli import main; sys.exit(main())"
LONG = [pytest.param(path, marks=pytest.mark.long) for path in ("pyramidal-staged", "edify")]


def words(out, path, *more):
    return ["train", "digits", "--path", path, "--out", str(out), *LENGTH, *SMALL, *more]


def config(path, **more):
    small = dict(steps=2, batch_size=16, warmup=1, sample_rows=1, sample_steps=4, guidance=2.0)
    return PRESETS["digits"].replace(path=path, **small | more)


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


@pytest.mark.parametrize("path", ["lapflow-staged", "pyramidal-staged", "edify"])
def test_a_staged_run_is_sampled_judged_and_exported(path, tmp_path):
    out = fit(config(path), tmp_path / "run", device="cpu")
    loaded = RunFolder(out).load()
    labels = torch.arange(4)

    def sampled(loaded):
        noise = torch.Generator().manual_seed(0)
        return loaded.sampling.generate(loaded.model, loaded.path, labels, generator=noise)

    export_run(out, tmp_path / "exported")
    images = sampled(loaded)
    assert images.shape == (4, 1, 8, 8) and torch.equal(images, sampled(open_model(out)))
    assert torch.equal(images, sampled(open_model(tmp_path / "exported")))
    report = evaluate_run(out, samples=20, device="cpu")
    assert report["model"]["path"] == path
    assert report["protocol"]["evaluations"] == 7                 # of the 4 at t > 0.1, doubled
    assert way(loaded, labels)[f"{path} path"].shape == (4, 11, 1, 8, 8)


def test_a_network_of_one_grid_is_refused():
    with pytest.raises(ValueError, match="MoT"):
        config("edify", model="JiT-XS/2")
    with pytest.raises(ValueError, match="shard"):
        config("edify", shard=True)
