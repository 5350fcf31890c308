"""The command from outside: what it prints, what it returns, and that a mistake leaves everything as it was."""
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from conftest import TINY, files, hdfm
from hdfm.cli import main
from hdfm.train import PRESETS


@pytest.fixture
def refused(capsys):
    """The command must fail with status 2 and one line that contains each of `says`."""
    def check(*args, says):
        capsys.readouterr()
        try:
            status = main([str(arg) for arg in args])
        except SystemExit as stop:
            status = stop.code
        lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
        assert status == 2 and len(lines) == 1 and "error" in lines[0], (status, lines)
        for part in says:
            assert part in lines[0], lines[0]
    return check


def test_a_run_folder_holds_what_it_should(trained):
    names = set(files(trained))
    assert {"config.json", "metrics.jsonl", "model.safetensors", "report.png"} <= names
    for step in ("step-0000010", "step-0000012"):  # the newest two
        assert {f"checkpoints/{step}/manifest.json", f"checkpoints/{step}/state.safetensors"} <= names
    assert {"samples/step-0000006.png", "samples/step-0000012.png"} <= names
    assert not [n for n in names if "partial" in n]
    assert json.loads((trained / "config.json").read_text())["config"]["steps"] == 12
    assert [json.loads(line)["step"] for line in (trained / "metrics.jsonl").read_text().splitlines()] == list(range(1, 13))


def test_sample_and_evaluate(trained, tmp_path):
    done = hdfm("sample", trained, "--out", tmp_path / "a.png", "--npz", tmp_path / "a.npz", "--count", 12, "--label", 3, "--steps", 2)
    assert done.returncode == 0, done.stderr
    arrays = np.load(tmp_path / "a.npz")
    assert arrays["images"].shape == (12, 8, 8, 1) and arrays["images"].dtype == np.uint8 and set(arrays["labels"]) == {3}
    assert Image.open(tmp_path / "a.png").size == (10 * 34 + 2, 2 * 34 + 2)
    hdfm("sample", trained, "--out", tmp_path / "b.png", "--count", 12, "--label", 3, "--steps", 2)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    hdfm("sample", trained, "--out", tmp_path / "c.png", "--count", 12, "--label", 3, "--steps", 2, "--seed", 1)
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "c.png").read_bytes()
    done = hdfm("evaluate", trained, "--samples", 40, "--steps", 2)
    assert json.loads(done.stdout) == json.loads((trained / "evaluation.json").read_text())
    assert {"pixel_frechet", "accuracy", "nearest_rms", "real", "protocol", "model"} <= set(json.loads(done.stdout))


def test_a_mistake_in_a_process_of_its_own(tmp_path):
    done = hdfm("train", "digots", "--out", tmp_path / "run")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"hdfm: error: unknown preset 'digots'; choose one of {', '.join(PRESETS)}\n")


def test_the_module_is_the_command():
    assert json.loads(hdfm("digits", "--print-config", "--lr", "0.5", module="hdfm.train").stdout)["lr"] == 0.5
    help_text = hdfm("digits", "--help", module="hdfm.train").stdout
    assert "--blur-strength" in help_text and "0 is plain flow matching" in help_text


def test_mistakes_on_the_command_line(refused, tmp_path):
    out = tmp_path / "run"
    refused("train", "digots", "--out", out, says=["unknown preset 'digots'", "digits"])
    refused("train", "digits", "--out", out, "--steps", "0", says=["steps=0", "at least 1"])
    refused("train", "digits", "--out", out, "--steps", "many", says=["--steps", "many"])
    refused("train", "digits", "--out", out, "--model", "JiT-Q", says=["unknown model 'JiT-Q'", "JiT-XS/2"])
    refused("train", "digits", "--out", out, "--data", "cats", says=["unknown data 'cats'", "digits"])
    refused("train", "digits", "--out", out, "--solver", "rk4", says=["unknown solver 'rk4'", "heun"])
    refused("train", "digits", "--out", out, "--blur-strength", "-1", says=["blur_strength=-1", "r ≥ 0"])
    refused("trian", says=["unknown command 'trian'", "train"])
    refused("sample", out, "--out", tmp_path / "x.png", says=["is not a run folder", "hdfm train"])
    refused("evaluate", out, says=["is not a run folder", "hdfm train"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_taken(refused, trained, tmp_path):
    before = files(trained)
    refused("train", "digits", "--out", trained, *TINY, says=["already holds a run", "--resume auto", "--out"])
    refused("train", "digits", "--out", trained, *TINY, "--seed", "5", "--resume", "auto", says=["another run", "seed 0 there, 5 here"])
    (tmp_path / "thesis.txt").write_text("precious")
    refused("train", "digits", "--out", tmp_path, *TINY, says=["is not a run folder", "--out"])
    assert files(trained) == before and files(tmp_path) == {"thesis.txt": b"precious"}


@pytest.mark.parametrize("name, damage, says", [
    ("model.safetensors", lambda b: b[:-100], ["model.safetensors is truncated"]),
    ("model.safetensors", lambda b: b"", ["model.safetensors is truncated"]),
    ("model.safetensors", lambda b: b[:-3] + bytes([b[-3] ^ 4]) + b[-2:], ["model.safetensors is damaged", "SHA-256"]),
    ("config.json", lambda b: b[:-20], ["config.json is not a configuration"]),
])
def test_damaged_files_are_refused(refused, trained, tmp_path, name, damage, says):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / name).write_bytes(damage((run / name).read_bytes()))
    before = files(tmp_path)
    refused("sample", run, "--out", tmp_path / "x.png", says=says)
    assert files(tmp_path) == before


def test_a_run_without_a_whole_checkpoint_is_not_begun_anew(refused, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    for manifest in run.glob("checkpoints/*/manifest.json"):
        manifest.write_text(manifest.read_text()[:-30])
    before = files(run)
    refused("train", "digits", "--out", run, *TINY, "--resume", "auto", says=["no checkpoint in", "manifest", "step-0000010", "step-0000012"])
    assert files(run) == before
    shutil.rmtree(run / "checkpoints")
    refused("train", "digits", "--out", run, *TINY, "--resume", "auto", says=["trained weights but no checkpoint"])


def test_what_may_be_changed_on_the_way(refused, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    assert main(["train", "digits", "--out", str(run), *TINY, "--resume", "auto", "--log-every", "3", "--keep", "5"]) == 0
    refused("train", "digits", "--out", run, *TINY, "--resume", "auto", "--lr", "1", says=["another run", "lr 0.002 there, 1.0 here"])
    refused("train", "digits", "--out", run, *TINY, "--resume", "auto", "--steps", "20", says=["another run", "steps 12 there, 20 here"])


def test_foreign_checkpoints_are_refused(refused, trained, tmp_path):
    import safetensors.torch
    import torch
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    safetensors.torch.save_file({"weight": torch.zeros(3)}, run / "model.safetensors")
    refused("sample", run, "--out", tmp_path / "x.png", says=["is not an hdfm model"])
    torch.save({"weight": torch.zeros(3)}, run / "model.safetensors")  # a pickle: must not even be opened as one
    refused("sample", run, "--out", tmp_path / "x.png", says=["not a safetensors file"])
    assert not (tmp_path / "x.png").exists()


def test_nan_in_the_images_is_found_before_anything_is_written(tmp_path):
    import subprocess
    import sys
    code = ("import sys, torch, hdfm.data as d\n"
            "def holed():\n"
            "    good = d.digits(); images = good.images.clone(); images[7, 0, 2, 2] = float('nan')\n"
            "    return d.ImageData('digits', images, good.labels, 10)\n"
            "d.DATASETS['digits'] = holed\n"
            f"from hdfm.train import main; sys.exit(main(['digits', '--out', r'{tmp_path / 'run'}']))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2 and "1 images hold NaN" in done.stderr and "number 7" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()
