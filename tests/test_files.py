"""Files that are not what they seem, outputs that would be lost, and numbers that are none: each is
refused with one line that names it, before any work is done."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest
import torch
from conftest import TINY, files, hdfm, status_of
from processes import Forked

from hdfm.checkpoint import list_checkpoints, load_tensors, save_checkpoint, save_tensors
from hdfm.fashion import unpacked
from hdfm.features import load_reference
from hdfm.hub import FlowModel, locate
from hdfm.page import page_of
from hdfm.parallel import Ranks
from hdfm.run import RunFolder
from hdfm.words import one_line

FEW = "--count", 10, "--steps", 2
posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")


@pytest.fixture
def run(trained, tmp_path):
    """A copy of a finished tiny run."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def again(run):
    return "train", "digits", "--out", run, *TINY, "--resume", "auto"


# outputs


@posix
@pytest.mark.parametrize("option", ["--out", "--npz", "--film"])
def test_an_output_replaces_nothing_but_a_file(refused, tmp_path, option):
    (tmp_path / "x").write_text("")
    places = {"pipe": "a pipe", "folder": "a folder", "link": "a link", "x/y": "no folder"}
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/dev/null")
    for name, kind in places.items():
        words = {"--out": tmp_path / "new.png"} | {option: tmp_path / name}
        draw = [word for pair in words.items() for word in pair]
        refused("sample", "digits", *FEW, *draw, says=[name, kind, "name another"])
    refused("evaluate", "digits", "--out", tmp_path / "pipe", says=["a pipe"])
    refused("evaluate", "stats", "digits", "--out", tmp_path / "pipe", says=["a pipe"])
    assert not (tmp_path / "new.png").exists() and (tmp_path / "link").is_symlink()


def test_two_outputs_of_one_name(refused, tmp_path):
    same = "--out", tmp_path / "x", "--npz", tmp_path / "x"
    refused("sample", "digits", *FEW, *same, says=["named twice"])


def test_a_run_that_cannot_keep_its_evaluation(refused, run):
    (run / "evaluation.json").unlink(missing_ok=True)  # of another test with this training
    (run / "evaluation.json").mkdir()
    refused("evaluate", run, "--samples", 40, says=["evaluation.json", "a folder"])


def test_a_training_that_could_not_save_does_not_begin(refused, run):
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").write_text("")
    refused(*again(run), says=["checkpoints", "no folder"])
    assert RunFolder(run).metrics()[-1]["step"] == 12


def wait_for(condition, process):
    end = time.time() + 120
    while not condition():
        assert process.poll() is None and time.time() < end
        time.sleep(0.005)


def last_step(run):
    rows = RunFolder(run).metrics()
    return rows[-1]["step"] if rows else 0


def start(*words, **more):
    command = [sys.executable, "-m", "hdfm", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, **more)


LONG = "--steps", "100000", "--sample-every", "5", "--save-every", "10"


@pytest.mark.parametrize("what", ["moved", "deleted", "replaced"])
def test_a_run_that_is_moved_away_stops(tmp_path, what):
    run = tmp_path / "run"
    process = Forked("-m", "hdfm", "train", "digits", "--out", run, *TINY, *LONG)
    wait_for(lambda: last_step(run) > 20 and last_step(run) % 10 in (6, 7), process)
    run.rename(tmp_path / "elsewhere")
    if what == "deleted":
        shutil.rmtree(tmp_path / "elsewhere")
    if what == "replaced":
        run.mkdir()
    said = process.communicate(timeout=60)[1]
    lines = [line for line in said.splitlines() if "error" in line]
    assert process.returncode == 2 and len(lines) == 1, said
    assert str(run) in lines[0] and "moved or deleted" in lines[0]
    assert not run.exists() or not list(run.iterdir())


def test_what_has_the_name_of_a_checkpoint_stops_no_resume(run, capsys):
    newest, before = list_checkpoints(run / "checkpoints")
    for name in (newest.name, "step-0000099"):
        shutil.rmtree(newest.with_name(name), ignore_errors=True)
        newest.with_name(name).write_text("a note")
    newest.with_name("step-0000098").symlink_to(before)
    for _ in range(2):
        assert status_of(*again(run)) == 0
        assert "12 of 12 steps" in capsys.readouterr().out
    assert newest.is_dir() and newest.with_name("step-0000099").read_text() == "a note"
    assert newest.with_name(f"{newest.name}.not-a-checkpoint").read_text() == "a note"


# what is silently wrong


def test_a_manifest_must_vouch_for_the_state(run, refused):
    for checkpoint in list_checkpoints(run / "checkpoints"):
        file = checkpoint / "manifest.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | dict(files={})))
    refused(*again(run), says=["no checkpoint in", "names []", "state.safetensors"])


def test_a_linked_state_is_not_read(run, tmp_path, capsys):
    state = list_checkpoints(run / "checkpoints")[0] / "state.safetensors"
    shutil.move(state, tmp_path / "state")
    state.symlink_to(tmp_path / "state")
    assert status_of(*again(run)) == 0
    assert "is a link" in capsys.readouterr().err


def test_a_renamed_checkpoint_is_another_step(run, capsys):
    newest, before = list_checkpoints(run / "checkpoints")
    shutil.rmtree(newest)
    before.rename(before.with_name("step-0000011"))
    assert status_of(*again(run)) == 2
    assert "holds step 10 by its manifest" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["optimizer", "ema0", "model"])
def test_a_state_without_a_part_is_not_resumed(run, capsys, part):
    newest, _ = list_checkpoints(run / "checkpoints")
    tensors, _ = load_tensors_of(newest)
    fewer = {name: t for name, t in tensors.items() if not name.startswith(part)}
    save_checkpoint(newest.parent, 12, fewer, ranks=1)
    assert status_of(*again(run)) == 0
    said = capsys.readouterr().err
    assert f"the tensor '{part}/" in said and "continuing from step 10" in said


def load_tensors_of(checkpoint):
    from hdfm.checkpoint import load_checkpoint

    return load_checkpoint(checkpoint)


def test_an_export_that_no_name_would_open(refused, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused("export", trained, "--out", "digits", says=["digits", "./digits"])
    assert status_of("export", trained, "--out", "./digits") == 0
    assert FlowModel.from_pretrained("./digits").about["steps"] == 12


def test_numbers_that_are_none(refused, trained, tmp_path):
    out = "--out", tmp_path / "x.png"
    for option, value in [
        ("--guidance", "nan"),
        ("--guidance", "inf"),
        ("--last-time", "nan"),
        ("--ema", "nan"),
        ("--count", "0"),
        ("--count", "99999999999"),
        ("--steps", "99999999999"),
        ("--steps", "0"),
        ("--solver", ""),
        ("--seed", "-1"),
        ("--seed", "one"),
        ("--device", "meta"),
        ("--device", ""),
    ]:
        refused("sample", trained, *out, option, value, says=[option.strip("-").split("-")[0]])
    refused("sample", trained, *out, "--guidance-interval", "nan", 1, says=["nan", "finite"])
    refused("evaluate", trained, "--samples", -1, says=["--samples", "at least 1"])
    refused("evaluate", "stats", "digits", *out, "--keep", 0, says=["--keep", "at least 1"])
    for option, value in [
        ("--keep", 0),
        ("--steps", 10**12),
        ("--workers", 10**6),
        ("--sample-rows", 10**6),
        ("--sample-steps", 10**9),
        ("--time-mean", "nan"),
        ("--blur-strength", "inf"),
        ("--image-size", 10**6),
        ("--seed", -1),
    ]:
        name = option[2:].split("-")[0]
        refused("train", "digits", "--out", tmp_path / "run", option, value, says=[name])
    ema = "--ema", 0.9999999, 0.99999991
    refused("train", "digits", "--out", tmp_path / "run", *ema, says=["ema", "six digits"])
    assert list(tmp_path.iterdir()) == []


def with_weights(run, change, **more):
    """Change the weights of a run, and what they say of themselves."""
    file = run / "model.safetensors"
    tensors, info = load_tensors(file, "model")
    told = {k: v for k, v in info.items() if k not in ("kind", "sha256")}
    save_tensors(file, change(tensors), "model", **(told | more))


def test_images_that_are_not_finite_are_not_written(capsys, run, tmp_path):
    with_weights(run, lambda tensors: {k: v * float("nan") for k, v in tensors.items()})
    for words in (("sample", run, "--out", tmp_path / "x.png", *FEW), ("evaluate", run)):
        assert status_of(*words) == 2
        assert "images that were drawn are not finite" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "x.png").exists()


def test_a_model_draws_no_images_that_are_not_finite(tmp_path):
    model = FlowModel.from_pretrained("digits")
    with torch.no_grad():
        for weight in model.network.parameters():
            weight.mul_(1e30)
    assert all(weight.isfinite().all() for weight in model.network.parameters())
    with pytest.raises(ValueError, match="10 of 10 images that were drawn are not finite"):
        model.sample()


@pytest.mark.parametrize("harm", ["gone", "old", "damaged"])
def test_a_finished_run_has_the_weights_of_its_last_step(run, trained, harm):
    """A crash may come between the last checkpoint and the weights that are made of it."""
    file = run / "model.safetensors"
    if harm == "old":
        with_weights(run, dict, step=10)
    if harm == "damaged":
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    if harm == "gone":
        file.unlink()
    assert status_of(*again(run)) == 0
    assert file.read_bytes() == (trained / "model.safetensors").read_bytes()


def test_numbers_of_a_config_are_whole_where_they_count(refused, run):
    file = run / "config.json"
    whole = json.loads(file.read_text())
    for name, value in (("seed", 0.5), ("batch_size", 2.5), ("steps", True), ("keep", "2")):
        file.write_text(json.dumps(whole | dict(config=whole["config"] | {name: value})))
        refused("sample", run, "--out", run / "x.png", says=[str(file), name])


# what would hang, or fill the memory


def test_a_packed_file_that_is_huge_unpacked(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(2**26 + 1), 1))
    with pytest.raises(ValueError, match="more than 67,108,864 bytes"):
        unpacked(tmp_path / "x.gz")


def test_an_array_whose_header_never_ends(refused, tmp_path):
    header = b"(" * 5000
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as packed:
        size = len(header).to_bytes(2, "little")
        packed.writestr("images.npy", b"\x93NUMPY\1\0" + size + header)
    refused("evaluate", "images", tmp_path / "x.npz", "digits", says=["x.npz", "cannot be read"])



def within(seconds, call, *args):
    """What a call returns, if it does so in time."""
    found = []
    thread = threading.Thread(target=lambda: found.append(call(*args)), daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"
    return found[0]


def in_place(file, kind):
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to({"circle": file.name, "device": "/dev/zero"}[kind])


@posix
@pytest.mark.parametrize("kind", ["pipe", "circle", "device"])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "metrics.jsonl"])
def test_no_file_of_a_run_is_waited_for(run, tmp_path, capsys, name, kind):
    in_place(run / name, kind)
    commands = [("sample", run, "--out", tmp_path / "x.png", *FEW), again(run)]
    for words in commands[name == "metrics.jsonl" :]:
        capsys.readouterr()
        assert within(60, status_of, *words) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and str(run) in lines[0] and "unexpected" not in lines[0], lines


@posix
@pytest.mark.parametrize("kind", ["pipe", "circle", "device"])
def test_no_data_is_waited_for(tmp_path, capsys, kind):
    for name in ("x.npz", "x.pth"):
        (tmp_path / name).write_text("")
        in_place(tmp_path / name, kind)
    data = "--data", tmp_path / "x.npz"
    inception = "--features", "inception", "--weights", tmp_path / "x.pth"
    for words in [
        ("train", "digits", "--out", tmp_path / "run", *data, *TINY),
        ("evaluate", "digits", *data),
        ("evaluate", "digits", "--reference", tmp_path / "x.npz", "--samples", 40),
        ("evaluate", "stats", "digits", "--out", tmp_path / "s", *inception),
    ]:
        capsys.readouterr()
        assert within(60, status_of, *words) == 2, words
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and "unexpected" not in lines[0], lines


def test_an_archive_that_says_it_is_huge(refused, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        with packed.open("images.npy", "w") as file:
            shape = dict(descr="|u1", fortran_order=False, shape=(70_000, 64, 64, 1))
            np.lib.format.write_array_header_1_0(file, shape)
            for _ in range(70_000):
                file.write(bytes(64 * 64))
    assert (tmp_path / "x.npz").stat().st_size < 300_000
    refused("evaluate", "images", tmp_path / "x.npz", "digits", says=["x.npz", "more than"])


def exported(folder, **changes):
    """The bundled folder of digits with another config.json."""
    shutil.copytree(locate("digits"), folder)
    file = folder / "config.json"
    config = json.loads(file.read_text())
    for part, values in changes.items():
        config[part] = config[part] | values
    file.write_text(json.dumps(config))
    return folder


HUGE = [
    dict(network=dict(depth=10**6)),
    dict(network=dict(channels=10**9)),
    dict(network=dict(num_classes=10**9)),
    dict(network=dict(width=2**40)),
    dict(network=dict(bottleneck=10**9)),
    dict(network=dict(context_tokens=10**10)),
    dict(network=dict(refine=10**8)),
    dict(network=dict(image_size=2**20)),
    dict(network=dict(image_size=2**20), path=dict(shape=[2**20, 2**20])),
    dict(path=dict(shape=[10**6, 10**6])),
    dict(path=dict(shape=None)),
    dict(path=dict(kind="ihdm", levels=10**9)),
    dict(sampling=dict(steps=10**9)),
    dict(network=dict(heads=0)),
    dict(network=dict(depth="many")),
    dict(network=dict(num_classes=-5)),
]


@pytest.mark.parametrize("number", range(len(HUGE)))
def test_a_network_that_is_too_large_is_not_made(refused, tmp_path, number):
    folder = exported(tmp_path / "model", **HUGE[number])
    begun = time.time()
    refused("sample", folder, "--out", tmp_path / "x.png", says=[str(folder)])
    assert time.time() - begun < 20


def test_a_run_that_says_it_is_huge(refused, run, tmp_path):
    draw = "sample", run, "--out", tmp_path / "x.png"
    for sizes in ([1, 8, 8, 10**12], [10**12, 8, 8, 10], [1, 2**20, 2**20, 10], [1, 8], None, "8"):
        with_weights(run, dict, sizes=sizes)
        refused(*draw, says=[str(run / "model.safetensors")])
    with_weights(run, dict, sizes=[1, 8, 8, 10])
    assert status_of(*draw, *FEW) == 0


# riddles


@pytest.mark.parametrize("text", [b"", bytes(range(256)), b"[1]", b"null", b"[" * 100_000, b'"x"'])
def test_a_config_that_is_none(refused, run, tmp_path, text):
    folder = exported(tmp_path / "model")
    for place in (folder, run):
        (place / "config.json").write_bytes(text)
        draw = "sample", place, "--out", tmp_path / "x.png"
        refused(*draw, says=[str(place), "config"])
    with pytest.raises(ValueError, match="config.json"):
        FlowModel.from_pretrained(str(folder))


@pytest.mark.parametrize("told", ["null", "[1]", "{}", '{"kind": "model"}', "[" * 100_000, "x"])
def test_weights_that_say_nothing_of_themselves(refused, run, tmp_path, told):
    import safetensors.torch

    folder = exported(tmp_path / "model")
    for place in (folder, run):
        file = place / "model.safetensors"
        tensors = safetensors.torch.load_file(file)
        safetensors.torch.save_file(tensors, file, dict(hdfm=told))
        refused("sample", place, "--out", tmp_path / "x.png", says=["model.safetensors"])


def test_weights_that_lack_a_tensor(refused, run, tmp_path):
    def fewer(tensors):
        return {k: v for k, v in tensors.items() if k != "context"}

    def bent(tensors):
        return tensors | dict(context=torch.zeros(3))

    def more(tensors):
        return tensors | dict(context=torch.zeros(4, 64), wings=torch.zeros(3))

    draw = "sample", run, "--out", tmp_path / "x.png"
    for change, says in ((fewer, "is missing"), (bent, "has the shape (3,)"), (more, "wings")):
        with_weights(run, change)
        refused(*draw, says=["model.safetensors", says])


def test_reference_statistics_that_lack_something(tmp_path):
    whole = dict(mean=torch.zeros(3), covariance=torch.eye(3), rows=torch.zeros(4, 3))
    known = dict(n=4, data="x", features="modes", shape=[1, 8, 8])
    kind = "feature statistics"
    save_tensors(tmp_path / "s", whole, kind, **known)
    assert load_reference(tmp_path / "s").n == 4
    for name in whole:
        save_tensors(tmp_path / "s", {k: v for k, v in whole.items() if k != name}, kind, **known)
        with pytest.raises(ValueError, match="does not fit"):
            load_reference(tmp_path / "s")
    save_tensors(tmp_path / "s", whole | dict(rows=torch.zeros(3)), kind, **known)
    with pytest.raises(ValueError, match="does not fit"):
        load_reference(tmp_path / "s")
    for name in known:
        save_tensors(tmp_path / "s", whole, kind, **{k: v for k, v in known.items() if k != name})
        with pytest.raises(ValueError, match=f"lacks {name}"):
            load_reference(tmp_path / "s")


ODD_ROWS = 'null\n3\n{"loss": 1}\n{"step": "x"}\n{"step": 3}\n{"step": 4, "loss": "x"}\n'


def test_odd_rows_of_metrics_are_passed_over(run):
    file = run / "metrics.jsonl"
    odd = ODD_ROWS.encode() + b"\xff\xfe\n" + b"[" * 100_000 + b"\n"
    file.write_bytes(odd + file.read_bytes())
    shutil.rmtree(list_checkpoints(run / "checkpoints")[0])
    assert status_of(*again(run)) == 0
    assert "12 of 12 steps" in (run / "index.html").read_text()
    assert all(isinstance(row["step"], int) for row in RunFolder(run).metrics())


@pytest.mark.parametrize("about", [None, {}, dict(data="digits")])
def test_a_run_that_knows_little_of_itself(run, about):
    file = run / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | dict(about=about)))
    assert status_of(*again(run)) == 0


@pytest.mark.parametrize(
    "given, says",
    [
        (dict(RANK="abc"), "RANK is 'abc'"),
        (dict(WORLD_SIZE="two"), "WORLD_SIZE is 'two'"),
        (dict(WORLD_SIZE="2"), "RANK, MASTER_ADDR, MASTER_PORT not set"),
        (dict(WORLD_SIZE="0", MASTER_ADDR="x", MASTER_PORT="1", RANK="0"), "WORLD_SIZE is 0"),
        (dict(WORLD_SIZE="2", MASTER_ADDR="x", MASTER_PORT="1", RANK="2"), "RANK is 2"),
    ],
)
def test_an_environment_that_cannot_be(refused, monkeypatch, given, says, tmp_path):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    refused("train", "digits", "--out", tmp_path / "run", *TINY, says=[says, "torchrun"])


def test_ranks_without_a_group():
    for ask in (Ranks(size=2).gather, Ranks(size=2).share):
        with pytest.raises(ValueError, match="with parallel"):
            ask(1)


def test_numbers_and_reports_of_strangers_make_a_page(run):
    odd = [dict(step=3, loss={}, seconds=[1], lr=float("nan"), grad_norm=10**400), dict(step=True)]
    RunFolder(run).metrics_file.write_text("".join(json.dumps(row) + "\n" for row in odd))
    assert RunFolder(run).metrics() == [dict(step=3)]
    for part in ("features", "real", "protocol", "model"):
        (run / "evaluation.json").write_text(json.dumps(dict(frechet="<b>", **{part: 0.5})))
        assert "&lt;b&gt;" in page_of(RunFolder(run))


def test_words_of_strangers_are_one_short_line(refused, tmp_path):
    refused("check", tmp_path, "--size", "two\nlines", says=["two lines"])
    folder = exported(tmp_path / "model", network=dict(depth="x" * 5000))
    with pytest.raises(ValueError) as error:
        FlowModel.from_pretrained(str(folder))
    assert len(one_line(error.value)) < 1000


# Ctrl-C, and a reader who has left


@posix
@pytest.mark.parametrize("seconds", [0.3, 0.6, 1, 1.5, 2, 3])
def test_ctrl_c_shows_no_traceback(tmp_path, seconds):
    process = start("train", "digits", "--out", tmp_path / "run", *TINY, *LONG)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130 and "Traceback" not in said, said


@posix
def test_ctrl_c_saves_and_is_no_success(tmp_path):
    run = tmp_path / "run"
    process = Forked("-m", "hdfm", "train", "digits", "--out", run, *TINY, *LONG)
    wait_for(lambda: RunFolder(run).metrics(), process)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "stopped by SIGINT" in out and "Traceback" not in said
    assert list_checkpoints(run / "checkpoints")


@posix
def test_a_training_needs_no_reader(tmp_path):
    process = start("train", "digits", "--out", tmp_path / "run", *TINY)
    process.stdout.close()
    process.stderr.close()
    assert process.wait(120) == 0 and last_step(tmp_path / "run") == 12


@posix
@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["train", "--help"],
        ["train", "digits", "--print-config"],
        ["evaluate", "digits", "--samples", "40", "--steps", "1", "--json"],
    ],
)
def test_a_reader_who_has_left_is_no_error(words):
    process = start(*words)
    process.stdout.close()
    said = process.stderr.read().decode()
    assert process.wait(120) == 0 and "Broken" not in said and "error" not in said, said


def test_the_page_and_the_numbers_are_whole(run):
    """The control: an evaluation that nothing is in the way of."""
    done = hdfm("evaluate", run, "--samples", 40, "--steps", 2, "--json")
    assert json.loads(done.stdout) == json.loads(files(run)["evaluation.json"])
