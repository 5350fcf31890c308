"""A staged flow is killed and resumed; what cannot train one is refused."""
import json
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from conftest import hdfm
from hdfm.checkpoint import CheckpointError
from hdfm.cli import main
from hdfm.config import PRESETS, build
from hdfm.data import load_data
from hdfm.evaluate import evaluate_run
from hdfm.fitted import fit_two_step
from hdfm.hub import FlowModel, build_path
from hdfm.mot import network_sizes
from hdfm.pyramid import StagedLapFlow
from hdfm.reverse import invert, log_likelihood
from hdfm.run import RunFolder
from hdfm.train import Objective, fit

LENGTH = "--steps 12 --warmup 2 --save-every 3 --log-every 1".split()
SMALL = "--batch-size 32 --sample-rows 1 --sample-every 1000 --proxy-every 0".split()
START = "import sys; from hdfm.cli import main; sys.exit(main())"
PATHS = ("lapflow-staged", "pyramidal-staged", "edify")


def words(out, path, *more):
    return ["train", "digits", "--path", path, "--out", str(out), *LENGTH, *SMALL, *more]


def weights(out):
    return (out / "model.safetensors").read_bytes()


class Soon(list):
    """Asks a run to stop, after it was looked at a few times."""
    looks = 0

    def __bool__(self):
        self.looks += 1
        return self.looks > 2


@pytest.mark.parametrize("path", PATHS)
def test_a_stopped_run_goes_on_to_the_same_bits(path, tmp_path):
    small = dict(steps=6, batch_size=16, warmup=1, sample_rows=1, save_every=2, sample_steps=2)
    config = PRESETS["digits"].replace(path=path, **small)
    whole = fit(config, tmp_path / "whole", device="cpu")
    stopped = fit(config, tmp_path / "stopped", device="cpu", stop=Soon())
    assert weights(whole) != weights(stopped)
    fit(config, stopped, resume=True, device="cpu")
    assert weights(whole) == weights(stopped)


@pytest.mark.long
@pytest.mark.parametrize("path", PATHS)
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
    assert weights(whole) == weights(killed)


def test_a_network_of_one_grid_is_refused():
    with pytest.raises(ValueError, match="MoT"):
        PRESETS["digits"].replace(path="edify", model="JiT-XS/2")


def test_times_of_a_stage():
    """Balanced weights are those of the stage's own losses; visible times are of one flow."""
    config = PRESETS["digits"].replace(path="lapflow-staged")
    model, path = build(config, 1, 8, 8, 10)
    images = load_data("digits").images[:16]
    labels = torch.zeros(16, dtype=torch.long)
    plain, balanced = (
        Objective(config.replace(time_weighting=how), model, path)(images, labels, 0)
        for how in ("as_drawn", "balanced")
    )
    assert plain != balanced and balanced.isfinite()
    for option in ("time_sampling", "time_weighting"):
        with pytest.raises(ValueError, match="has stages, each with times of its own"):
            config.replace(**{option: "visible"})


def test_a_folder_whose_network_reads_too_few_grids_is_refused(tmp_path):
    way = dict(kind="lapflow-staged", shape=[8, 8], scales=2)
    sizes = network_sizes("MoT-XS/2", build_path(way), channels=1, num_classes=0)
    FlowModel(sizes, way).save_pretrained(tmp_path)
    assert FlowModel.from_pretrained(tmp_path).path.scales == 2
    told = json.loads((tmp_path / "config.json").read_text())
    told["path"]["scales"] = 3
    (tmp_path / "config.json").write_text(json.dumps(told))
    with pytest.raises(CheckpointError, match="a path of 3 grids, of which it reads 2"):
        FlowModel.from_pretrained(tmp_path)


def test_what_needs_one_flow_says_so():
    """Between stages no flow leads, so nothing is undone, weighed or fitted across them."""
    way = StagedLapFlow((8, 8), 2)
    z = torch.zeros(1, 1, 8, 8)
    calls = (
        lambda: invert(lambda z, t: z, way, z),
        lambda: log_likelihood(lambda z, t: z, way, z),
        lambda: fit_two_step(way, torch.ones(8, 8), 4),
    )
    for call in calls:
        with pytest.raises(ValueError, match="has stages, and no flow leads"):
            call()


@pytest.fixture(scope="module")
def halved_thrice(tmp_path_factory):
    """A run by the command, on clothes in a frame, from 4 pixels to 32."""
    out = tmp_path_factory.mktemp("framed") / "run"
    own = "--path lapflow-staged --scales 4 --model MoT-XS/4 --steps 2 --batch-size 8 --warmup 1"
    more = "--sample-rows 1 --proxy-every 0 --sample-steps 8 --solver heun --guidance 1"
    command = ["train", "fashion-32", "--data", "fashion-small-32", "--out", str(out)]
    assert main([*command, *own.split(), *more.split()]) == 0
    return out


def test_clothes_are_judged_within_their_frame(halved_thrice):
    data = load_data("fashion-small-32")
    assert data.shape == (1, 32, 32) and data.test == "fashion-small-32-test"
    report = evaluate_run(halved_thrice, samples=20, device="cpu")
    assert report["features"]["name"] == "fashion" and 0.8 < report["real"]["accuracy"] <= 1


def test_a_report_says_what_a_sample_costs(halved_thrice, capsys):
    """Against the FLOPs that PyTorch counts of one image, with attention that it can see into."""
    loaded = RunFolder(halved_thrice).load()
    assert not main(["evaluate", str(halved_thrice), "--samples", "20"])
    said = "a sample takes 15 evaluations (4 of 4 px, 4 of 8 px, 4 of 16 px, 3 of 32 px)"
    assert said in capsys.readouterr().out
    cost = json.loads((halved_thrice / "evaluation.json").read_text())["protocol"]["cost"]
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        loaded.sampling.generate(loaded.model, loaded.path, torch.zeros(1, dtype=torch.long))
    by_operation = counter.get_flop_counts()["MoT"]
    assert abs(cost["gflop"] * 1e9 / sum(by_operation.values()) - 1) < 0.05
    grids = [one["gflop"] for name, one in cost.items() if " px" in name]
    assert len(grids) == 4 and abs(sum(grids) / cost["gflop"] - 1) < 1e-3
    assert "a sample takes" in (halved_thrice / "index.html").read_text()
