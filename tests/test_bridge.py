"""The adapters against the real packages: the checks of benchmarks/bridge.py, each skipped where
its package is not installed; and what pipelines do to a scheduler besides stepping through it."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import bridge
from hdfm.hub import FlowModel
from hdfm.onnx import example_inputs, export_onnx
from hdfm.path import HeatProbPath
from hdfm.sampling import SOLVERS, time_grid

MODULES = {"k-diffusion": "k_diffusion"}  # where the package's name is not its module's


@pytest.mark.parametrize("one", bridge.CHECKS, ids=lambda one: one[3].__name__)
def test_parity(one):
    package, _, allowed, function = one
    pytest.importorskip(MODULES.get(package, package))
    assert function() <= allowed


def test_the_kept_measurements_are_within_their_limits():
    kept = sorted((ROOT / "benchmarks/results").glob("*-bridge.json"))[-1]
    rows = json.loads(kept.read_text(encoding="utf-8"))["rows"]
    assert [row["what"] for row in rows] == [what for _, what, _, _ in bridge.CHECKS]
    assert all(row["difference"] <= row["allowed"] for row in rows)


def test_importing_hdfm_imports_no_peer():
    code = (
        "import sys, hdfm.bridge, hdfm.pipeline, hdfm.onnx, hdfm.cli\n"
        "peers = {'flow_matching', 'torchcfm', 'diffusers', 'k_diffusion', 'onnx', 'onnxscript'}\n"
        "assert not peers & sys.modules.keys(), peers & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_package_is_named(monkeypatch):
    for name in ("diffusers", "flow_matching.path", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)
    from hdfm import pipeline

    pipeline._scheduler_class.cache_clear()
    with pytest.raises(ImportError, match="pip install diffusers"):
        pipeline.HeatScheduler
    pipeline._scheduler_class.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'hdfm\[onnx\]'"):
        export_onnx("digits", "never.onnx")


@pytest.fixture
def scheduler():
    pytest.importorskip("diffusers")
    from hdfm.pipeline import HeatScheduler

    options = dict(blur_strength=1.0)
    return lambda solver: HeatScheduler(
        path_options=options, solver=solver, last_time=0.9, prediction_type="sample"
    )


@pytest.mark.parametrize("solver, index", [("exponential_2m", 3), ("heun", 4)])
def test_an_image_is_begun_in_the_middle(scheduler, solver, index):
    """As image-to-image pipelines do: noise is added at a timestep, and steps go on from there."""
    path, oracle, noise = bridge.exact(1.0)
    image = 0.3 * torch.randn(8, 1, 8, 8, dtype=torch.float64, generator=bridge.seeded(5))
    ours = scheduler(solver)
    ours.set_timesteps(6)
    ours.set_begin_index(index)
    timestep = ours.timesteps[index]
    z = start = ours.scale_noise(image, timestep.expand(8), noise)
    t = 1 - timestep.item() / 1000
    assert torch.allclose(z, path.interpolate(noise, image, t), atol=1e-12)
    for i, timestep in enumerate(ours.timesteps[index:], index):
        z = ours.step(oracle(z, 1 - ours.sigmas[i].item()), timestep, z).prev_sample
    rest = [s for s in time_grid(6, last_time=0.9) if s > t - 1e-9]
    assert torch.allclose(z, SOLVERS[solver](oracle, path, start, rest), atol=1e-9)


def test_a_point_that_was_altered_is_gone_on_from(scheduler):
    """As inpainting pipelines do, between any two steps."""
    path, oracle, z = bridge.exact(1.0)
    ours = scheduler("exponential_2m")
    ours.set_timesteps(5)
    for i, timestep in enumerate(ours.timesteps):
        if i == 3:
            z = altered = 0.9 * z
        z = ours.step(oracle(z, 1 - ours.sigmas[i].item()), timestep, z, return_dict=False)[0]
    rest = time_grid(5, last_time=0.9)[3:]
    assert torch.allclose(z, SOLVERS["exponential_2m"](oracle, path, altered, rest), atol=1e-9)
    with pytest.raises(ValueError, match="call set_timesteps again"):
        ours.step(z, 0.0, z)


def test_a_flow_of_diffusers_by_our_solver(scheduler):
    """The configuration of their scheduler becomes ours without blur, in their convention."""
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.FlowMatchEulerDiscreteScheduler()
    ours = type(scheduler("euler")).from_config(theirs.config, solver="euler")
    sigmas = np.linspace(1, 0.1, 7)
    z = own = torch.randn(2, 4, 16, 16, generator=bridge.seeded(0))
    matrix = torch.randn(16, 16, generator=bridge.seeded(1)) / 8
    for each in (theirs, ours):
        each.set_timesteps(sigmas=sigmas.tolist())
    for a, b in zip(theirs.timesteps, ours.timesteps):
        assert abs(a - b) < 1e-3
        z = theirs.step(torch.tanh(z @ matrix) + z / 3, a, z).prev_sample
        step = ours.step(torch.tanh(own @ matrix) + own / 3, b, own)
        own = step.prev_sample
    assert (z - own).abs().max() < 1e-4
    assert torch.allclose(step.pred_original_sample, own, atol=1e-5)  # the last step lands on it


def test_steps_in_half_precision(scheduler):
    ours = scheduler("exponential_2m")
    ours.set_timesteps(4)
    z = torch.randn(2, 1, 8, 8, generator=bridge.seeded(0)).half()
    for timestep in ours.timesteps:
        z = ours.step((z / 2).half(), timestep, z).prev_sample
    assert z.dtype == torch.float16 and z.isfinite().all()


def test_a_scheduler_is_saved_and_found(scheduler, tmp_path):
    ours = scheduler("heun")
    ours.save_pretrained(tmp_path)
    path = HeatProbPath((5, 7), 1.0)
    for again in (type(ours).from_pretrained(tmp_path), type(ours).from_config(ours.config)):
        assert repr(again.path_for((5, 7))) == repr(path) and again.order == 2
        assert again.config.solver == "heun" and again.config.last_time == 0.9


def small(folder):
    """A network of one block, not trained, in a folder."""
    torch.manual_seed(0)
    sizes = dict(image_size=8, patch_size=4, channels=1, num_classes=3, depth=1, width=16, heads=2)
    sizes |= dict(bottleneck=8, context_start=0, context_tokens=1)
    model = FlowModel(sizes, dict(kind="heat", shape=[8, 8]))
    torch.nn.init.normal_(model.network.head.weight)
    model.save_pretrained(folder)
    return str(folder)


LONG = [pytest.param(name, marks=pytest.mark.long) for name in ("digits", "patches")]


@pytest.mark.parametrize("name", [small, *LONG])
def test_onnx_by_the_command(name, tmp_path):
    """The clothes are those of tests/test_playground.py."""
    if name is small:
        name = small(tmp_path / "small")
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    runtime = pytest.importorskip("onnxruntime")
    from hdfm.cli import main

    file = tmp_path / "new" / "network.onnx"
    assert main(["export", name, "--format", "onnx", "--out", str(file)]) == 0
    assert [found.name for found in file.parent.iterdir()] == ["network.onnx"]
    session = runtime.InferenceSession(file)
    told = json.loads(session.get_modelmeta().custom_metadata_map["hdfm"])
    model = FlowModel.from_pretrained(name)
    assert told["sampling"]["solver"] == model.sampling.solver and told["prediction"] == "x"
    for count in (1, 3):
        z, t, label = example_inputs(model, count, seed=count)
        with torch.no_grad():
            wanted = model(z, t, label).numpy()
        fed = dict(z=z.numpy(), t=t.numpy(), label=label.numpy())
        assert np.abs(session.run(["x_hat"], fed)[0] - wanted).max() < 1e-4


def test_an_onnx_file_is_whole_or_absent(tmp_path, monkeypatch):
    model = FlowModel.from_pretrained("digits")
    file = tmp_path / "network.onnx"
    file.write_bytes(b"precious")
    monkeypatch.setattr("hdfm.onnx._traced", lambda model: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_onnx(model, file)
    assert file.read_bytes() == b"precious" and len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr("hdfm.onnx.MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="GB of weights"):
        export_onnx(model, file)
