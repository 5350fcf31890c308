"""The command from outside: what it prints, what it returns, and that a mistake leaves everything
as it was."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import ROOT, TINY, files, hdfm, status_of
from PIL import Image

from hdfm import cli
from hdfm.config import PRESETS
from hdfm.hub import FlowModel
from hdfm.path import PATHS
from hdfm.run import RunFolder


def test_a_run_folder_holds_what_it_should(trained):
    names = set(files(trained))
    assert {"config.json", "metrics.jsonl", "model.safetensors", "report.png"} <= names
    assert "12 of 12 steps" in (trained / "index.html").read_text()
    for step in ("step-0000010", "step-0000012"):  # the newest two
        kept = {f"checkpoints/{step}/{name}" for name in ("manifest.json", "state.safetensors")}
        assert kept <= names
    assert {"samples/step-0000006.png", "samples/step-0000012.png"} <= names
    assert not [name for name in names if "partial" in name]
    assert json.loads((trained / "config.json").read_text())["config"]["steps"] == 12
    rows = (trained / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == list(range(1, 13))


def test_sample_and_evaluate(trained, tmp_path):
    draw = "--count", 12, "--label", 3, "--steps", 2
    a, b, c = (tmp_path / f"{name}.png" for name in "abc")
    done = hdfm("sample", trained, "--out", a, "--npz", tmp_path / "a.npz", *draw)
    assert done.returncode == 0, done.stderr
    arrays = np.load(tmp_path / "a.npz")
    assert arrays["images"].shape == (12, 8, 8, 1) and arrays["images"].dtype == np.uint8
    assert set(arrays["labels"]) == {3}
    assert Image.open(a).size == (10 * 66 + 2, 2 * 66 + 2)
    hdfm("sample", trained, "--out", b, *draw)
    assert a.read_bytes() == b.read_bytes()
    hdfm("sample", trained, "--out", c, *draw, "--seed", 1)
    assert a.read_bytes() != c.read_bytes()
    done = hdfm("evaluate", trained, "--samples", 40, "--steps", 2, "--json")
    assert json.loads(done.stdout) == json.loads((trained / "evaluation.json").read_text())
    measured = {"pixel_frechet", "accuracy", "nearest_rms", "real", "protocol", "model"}
    assert measured <= set(json.loads(done.stdout))
    assert "Not measured yet" not in (trained / "index.html").read_text()


def test_evaluate_prints_a_table_and_keeps_the_numbers(trained, tmp_path):
    kept = tmp_path / "new" / "report.json"
    done = hdfm("evaluate", trained, "--samples", 40, "--steps", 2, "--out", kept)
    lines = done.stdout.splitlines()
    assert 2 <= len(lines) <= 12 and not done.stdout.startswith("{"), done.stdout
    assert all(len(line) <= 100 for line in lines) and any("real" in line for line in lines)
    assert kept.read_bytes() == (trained / "evaluation.json").read_bytes()


def test_the_demo_ends_with_five_lines(trained, tmp_path):
    command = [sys.executable, ROOT / "tools" / "demo.py"]
    assert hdfm("evaluate", trained, "--samples", 40, "--steps", 2).returncode == 0
    words = [*command, trained, trained / "report.png", tmp_path / "none.png"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 5 and "12 steps of 16 images" in lines[0] and "none.png" not in lines[3]
    assert "real images score" in lines[1] and "of real images" in lines[2]
    for preset in ("digits", "fashion-quick"):
        told = subprocess.run([*command, "--data", preset], capture_output=True, text=True)
        assert told.stdout.strip() in ("", "--data fashion")[: 1 + preset.startswith("fashion")]


def test_four_kinds_of_networks_are_opened_alike(refused, trained, tmp_path):
    """A run folder, an exported folder and a bundled name; a name of the Hub needs the Hub."""
    shared = tmp_path / "shared"
    assert status_of("export", trained, "--out", shared) == 0
    pictures = []
    for network in (trained, shared):
        pictures.append(tmp_path / f"{network.name}.png")
        draw = "sample", network, "--out", pictures[-1], "--count", 10
        assert status_of(*draw, "--film", tmp_path / "way.png") == 0
        assert Image.open(tmp_path / "way.png").width > 300
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
    few = "--samples", 40, "--steps", 2, "--out"
    for network in (trained, shared):
        assert status_of("evaluate", network, *few, tmp_path / f"{network.name}.json") == 0
    a, b = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("trained", "shared"))
    assert a["features"] == b["features"] and a["pixel_frechet"] == b["pixel_frechet"]
    assert {path.name for path in shared.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
    }
    refused("evaluate", shared, "--ema", 0.5, says=["one set of weights"])
    refused("evaluate", "patches", says=["does not say what it was trained on", "--data"])
    other = "sample", "x", "--out", tmp_path / "x.png"
    refused(*other, says=["'x' is not a run folder", "owner/name", "digits"])


def test_a_folder_of_a_bundled_name_is_said_to_be_there(trained, tmp_path):
    """The name means the bundled network; a line says how to name the folder."""
    shutil.copytree(trained, tmp_path / "digits")
    draw = "--out", "x.png", "--count", 10, "--steps", 2
    done = hdfm("sample", "digits", *draw, cwd=tmp_path)
    said = [line for line in done.stderr.splitlines() if line.startswith("hdfm:")]
    assert done.returncode == 0 and len(said) == 1 and "./digits" in said[0], done.stderr
    bundled = (tmp_path / "x.png").read_bytes()
    done = hdfm("sample", "./digits", *draw, cwd=tmp_path)
    assert done.returncode == 0 and "hdfm:" not in done.stderr and "at step 12" in done.stdout
    assert (tmp_path / "x.png").read_bytes() != bundled


def test_drawing_loads_little(tmp_path):
    """What takes long to load, and drawing does not need, is not loaded."""
    code = (
        "import sys; from hdfm.__main__ import main\n"
        f"main(['sample', 'digits', '--out', {str(tmp_path / 'x.png')!r}])\n"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"triton", "sympy", "matplotlib", "sklearn", "scipy", "torch.distributed.fsdp"}
    if torch.__version__.startswith("2.6"):  # loads it for its derivatives
        heavy.remove("sympy")
    assert not heavy & set(done.stdout.split())


def test_the_page_of_a_run_is_whole(trained):
    """Every file it names is there, every picture has a text, nothing comes from elsewhere."""
    text = (trained / "index.html").read_text()
    assert "http" not in text.split("All options")[0] and "<script src" not in text
    for name in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert (trained / name).is_file(), name
    assert all('alt="' in picture for picture in re.findall(r"<img[^>]*>", text))


def test_a_page_that_cannot_be_written_stops_no_training(tmp_path):
    run = tmp_path / "run"
    begun = hdfm("train", "digits", "--out", run, *TINY)
    assert begun.returncode == 0, begun.stderr
    (run / "index.html").unlink()
    (run / "index.html").mkdir()
    (run / "index.html" / "precious").write_text("")
    shutil.rmtree(run / "checkpoints" / "step-0000012")
    again = hdfm("train", "digits", "--out", run, *TINY, "--resume", "auto")
    assert again.returncode == 0 and "index.html could not be written" in again.stderr
    assert (run / "index.html" / "precious").exists()


def test_a_mistake_in_a_process_of_its_own(tmp_path):
    done = hdfm("train", "digots", "--out", tmp_path / "run", fresh=True)
    said = f"hdfm: error: unknown preset 'digots'; choose one of {', '.join(PRESETS)}\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_the_module_is_the_command():
    done = hdfm("digits", "--print-config", "--lr", "0.5", module="hdfm.train", fresh=True)
    assert json.loads(done.stdout)["lr"] == 0.5
    help_text = hdfm("digits", "--help", module="hdfm.train").stdout
    assert "--blur-strength" in help_text and "0 is plain flow matching" in help_text
    done = hdfm("no/such/run", module="hdfm.evaluate", fresh=True)
    assert done.returncode == 2 and "is not a run folder" in done.stderr


def test_mistakes_on_the_command_line(refused, tmp_path):
    out = tmp_path / "run"

    def train(*args, says):
        refused("train", "digits", "--out", out, *args, says=says)

    refused("train", "digots", "--out", out, says=["unknown preset 'digots'", "digits"])
    train("--steps", "0", says=["steps=0", "at least 1"])
    train("--steps", "many", says=["--steps", "many"])
    train("--model", "JiT-Q", says=["unknown model 'JiT-Q'", "JiT-XS/2"])
    train("--data", "cats", says=["unknown data 'cats'", "digits"])
    train("--solver", "rk4", says=["unknown solver 'rk4'", "heun"])
    train("--blur-strength", "-1", says=["blur_strength=-1", "r from 0"])
    train("--path", "lapflow", "--blur-strength", "1", says=["lapflow", "no option blur_strength"])
    refused("trian", says=["unknown command 'trian'", "train"])
    refused("sample", out, "--out", tmp_path / "x.png", says=["is not a run folder", "hdfm train"])
    refused("evaluate", out, says=["is not a run folder", "hdfm train"])
    refused("export", out, "--out", tmp_path / "x", says=["is not a run folder", "hdfm train"])
    assert list(tmp_path.iterdir()) == []


def test_zero_is_not_the_default(refused, trained, tmp_path):
    """A number of 0 is refused, where it would otherwise be taken for one that was not given."""
    before = files(trained)
    out = tmp_path / "x.png"
    sample = "sample", trained, "--out", out
    refused(*sample, "--steps", 0, says=["steps=0", "at least 1"])
    refused(*sample, "--count", 0, says=["--count", "at least 1"])
    refused(*sample, "--last-time", 0, says=["last_time=0", "(0, 1]"])
    refused("evaluate", trained, "--steps", 0, says=["steps=0", "at least 1"])
    for option in ("--batch", "--samples"):
        refused("evaluate", trained, option, 0, says=[option, "at least 1"])
    for form in (["stats", "digits", "--out", out], ["images", "digits", "digits"]):
        refused("evaluate", *form, "--batch", 0, says=["--batch", "at least 1"])
    assert files(trained) == before and not out.exists()


def test_a_class_that_is_not_there(refused, trained, tmp_path):
    for label in (10, -1):
        draw = "sample", trained, "--out", tmp_path / "x.png", "--label", label
        refused(*draw, says=[f"--label {label}", "from 0 to 9"])
    assert not (tmp_path / "x.png").exists()


def test_a_sampler_that_the_path_cannot_have(refused, trained, tmp_path):
    draw = "--out", tmp_path / "x.png", "--solver", "chain"
    refused("sample", trained, *draw, says=["chain"])
    refused("sample", trained, *draw[:2], "--solver", "rk4", says=["unknown solver 'rk4'", "heun"])
    refused("evaluate", trained, *draw[2:], says=["chain"])


def with_guidance(run, copy, interval):
    """A copy of a run whose configuration guides between those times."""
    shutil.copytree(run, copy)
    file = copy / "config.json"
    stored = json.loads(file.read_text())
    stored["config"] |= dict(guidance=500.0, guidance_interval=interval)
    file.write_text(json.dumps(stored))
    return copy


def test_the_guidance_interval_of_a_run_is_honoured(trained, tmp_path):
    """In what is sampled, and in what is exported; and the command line has the last word."""
    early, late = (
        with_guidance(trained, tmp_path / name, interval)
        for name, interval in (("early", [0.0, 0.6]), ("late", [0.6, 1.0]))
    )

    def drawn(run, *options):
        draw = "--out", tmp_path / "x.png", "--npz", tmp_path / "x.npz", "--count", 10
        assert status_of("sample", run, *draw, *options) == 0
        return np.load(tmp_path / "x.npz")["images"]

    assert not np.array_equal(drawn(early), drawn(late))
    assert np.array_equal(drawn(early), drawn(late, "--guidance-interval", 0, 0.6))
    exported = []
    for run in (early, late):
        assert status_of("export", run, "--out", run / "shared") == 0
        model = FlowModel.from_pretrained(run / "shared")
        exported.append(model.sample(generator=torch.Generator().manual_seed(0)))
    assert not torch.equal(*exported)
    assert model.sampling.guidance_interval == (0.6, 1.0)
    done = hdfm("evaluate", early, "--samples", 40, "--guidance-interval", 0.2, 0.7, "--json")
    assert json.loads(done.stdout)["protocol"]["guidance_interval"] == [0.2, 0.7], done.stderr


@pytest.mark.parametrize("path", PATHS)
def test_every_path_by_the_command(path, tmp_path, capsys):
    """Trained, sampled, evaluated, exported, and opened again, with nothing said but its name."""
    run = tmp_path / "run"
    short = "--steps 6 --warmup 1 --lr 0.02 --ema 0 --batch-size 16 --sample-rows 1".split()
    if path == "ihdm":
        short += ["--levels", "4"]
    assert status_of("train", "digits", "--path", path, "--out", run, *short) == 0
    draw = "--out", tmp_path / "x.png", "--npz", tmp_path / "x.npz", "--count", 12
    assert status_of("sample", run, *draw) == 0
    assert np.load(tmp_path / "x.npz")["images"].std() > 0
    capsys.readouterr()
    assert status_of("evaluate", run, "--samples", 20, "--json") == 0
    assert json.loads(capsys.readouterr().out)["model"]["path"] == path
    assert status_of("export", run, "--out", tmp_path / "model") == 0
    pair = FlowModel.from_run(run), FlowModel.from_pretrained(tmp_path / "model")
    images = [m.sample(count=3, generator=torch.Generator().manual_seed(0)) for m in pair]
    assert torch.equal(*images) and repr(pair[0].path) == repr(pair[1].path)
    assert pair[0].sampling == pair[1].sampling


def test_a_folder_that_is_taken(refused, trained, tmp_path):
    before = files(trained)

    def train(out, *options, says):
        refused("train", "digits", "--out", out, *TINY, *options, says=says)

    train(trained, says=["already holds a run", "--resume auto", "--out"])
    another = ["another run", "seed 0 there, 5 here"]
    train(trained, "--seed", "5", "--resume", "auto", says=another)
    (tmp_path / "thesis.txt").write_text("precious")
    train(tmp_path, says=["is not a run folder", "--out"])
    refused("export", trained, "--out", tmp_path, says=["not an empty folder", "--out"])
    assert files(trained) == before and files(tmp_path) == {"thesis.txt": b"precious"}


@pytest.mark.parametrize(
    "name, damage, says",
    [
        ("model.safetensors", lambda b: b[:-100], ["model.safetensors is truncated"]),
        ("model.safetensors", lambda b: b"", ["model.safetensors is truncated"]),
        (
            "model.safetensors",
            lambda b: b[:-3] + bytes([b[-3] ^ 4]) + b[-2:],
            ["model.safetensors is damaged", "SHA-256"],
        ),
        ("config.json", lambda b: b[:-20], ["config.json is not a configuration"]),
    ],
)
def test_damaged_files_are_refused(refused, trained, tmp_path, name, damage, says):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / name).write_bytes(damage((run / name).read_bytes()))
    before = files(tmp_path)
    refused("sample", run, "--out", tmp_path / "x.png", says=says)
    refused("export", run, "--out", tmp_path / "x", says=says)
    assert files(tmp_path) == before


def test_a_run_without_a_whole_checkpoint_is_not_begun_anew(refused, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    for manifest in run.glob("checkpoints/*/manifest.json"):
        manifest.write_text(manifest.read_text()[:-30])
    before = files(run)
    again = "train", "digits", "--out", run, *TINY, "--resume", "auto"
    says = ["no checkpoint in", "manifest", "step-0000010", "step-0000012"]
    refused(*again, says=says)
    assert files(run) == before
    shutil.rmtree(run / "checkpoints")
    refused(*again, says=["trained weights but no checkpoint"])


def test_what_may_be_changed_on_the_way(refused, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    again = "train", "digits", "--out", run, *TINY, "--resume", "auto"
    assert status_of(*again, "--log-every", "3", "--keep", "5") == 0
    refused(*again, "--lr", "1", says=["another run", "lr 0.002 there, 1.0 here"])
    refused(*again, "--steps", "20", says=["another run", "steps 12 there, 20 here"])


def test_foreign_checkpoints_are_refused(refused, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    draw = "sample", run, "--out", tmp_path / "x.png"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, run / "model.safetensors")
    refused(*draw, says=["is not an hdfm model"])
    # a pickle: must not even be opened as one
    torch.save({"weight": torch.zeros(3)}, run / "model.safetensors")
    refused(*draw, says=["not a safetensors file"])
    assert not (tmp_path / "x.png").exists()


HOLED = """
import sys
import hdfm.cli
import hdfm.data as d

def holed():
    good = d.digits()
    images = good.images.clone()
    images[7, 0, 2, 2] = float('nan')
    return d.ImageData('digits', images, good.labels, 10)

d.DATASETS['digits'] = holed
sys.exit(hdfm.cli.main(['train', 'digits', '--out', sys.argv[1]]))
"""


def test_nan_in_the_images_is_found_before_anything_is_written(tmp_path):
    command = [sys.executable, "-c", HOLED, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "1 images hold NaN" in done.stderr and "number 7" in done.stderr
    assert not (tmp_path / "run").exists()


# A mistake of the program is not passed off as one of the person who runs it.


def missing_key():
    return {}["weights"]


def wrong_number():
    return int("three")  # a ValueError, but not one that we raise


def torch_error():
    return torch.zeros(2) @ torch.zeros(3)


@pytest.fixture
def broken(monkeypatch):
    """Let drawing images fail by that function."""

    def plant(function):
        monkeypatch.setattr(cli, "generate_many", lambda *_, **__: function())

    return plant


@pytest.mark.parametrize("bug", [missing_key, wrong_number, torch_error])
def test_a_bug_says_that_it_is_one(refused, broken, trained, tmp_path, bug, monkeypatch):
    broken(bug)
    draw = "sample", trained, "--out", tmp_path / "x.png"
    kind = dict(missing_key="KeyError", wrong_number="ValueError", torch_error="RuntimeError")
    line = f"line {bug.__code__.co_firstlineno + 1}"
    says = [f"unexpected {kind[bug.__name__]}", "test_command.py", line, "HDFM_TRACEBACK=1"]
    refused(*draw, says=says, mendable=False)
    monkeypatch.setenv("HDFM_TRACEBACK", "1")
    with pytest.raises((LookupError, ValueError, RuntimeError)):
        status_of(*draw)


def test_a_bug_in_what_the_first_rank_does_alone(refused, tmp_path, monkeypatch):
    """An error that is told to all ranks still says where it arose."""
    monkeypatch.setattr(RunFolder, "open", lambda *_, **__: missing_key())
    line = f"line {missing_key.__code__.co_firstlineno + 1}"
    says = ["unexpected KeyError", "test_command.py", line]
    refused("train", "digits", "--out", tmp_path / "run", *TINY, says=says, mendable=False)


def test_an_interrupt_is_no_error(broken, trained, tmp_path, capsys):
    def interrupt():
        raise KeyboardInterrupt

    broken(interrupt)
    assert status_of("sample", trained, "--out", tmp_path / "x.png") == 130
    assert len(capsys.readouterr().err.strip().splitlines()[-1:]) == 1


def test_a_file_that_cannot_be_written_is_not_a_bug(trained, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    draw = "sample", trained, "--out", tmp_path / "file" / "x.png", "--count", 2, "--steps", 1
    assert status_of(*draw) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("hdfm: error") and "file" in said and "unexpected" not in said
