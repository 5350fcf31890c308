"""`hdfm doctor`: every illness is made on purpose and called by its name, and health is let be."""

import json
import os
import shutil
import sys
from collections import namedtuple

import pytest
from conftest import ROOT, files, status_of

import hdfm.machine
from hdfm.doctor import EYES, SYMPTOMS, diagnose, has
from hdfm.fashion import SHA256
from hdfm.recorded import recorded
from hdfm.run import RunFolder
from hdfm.train import fit

sys.path.insert(0, str(ROOT / "benchmarks"))
import doctor as sick

MAKERS = {one.__name__.replace("_", " "): one for one in sick.TRAINED + sick.EDITED + sick.BROKEN}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """A small run that is well."""
    return fit(sick.SMALL, tmp_path_factory.mktemp("doctor") / "healthy", "digits", device="cpu")


@pytest.fixture
def copy(healthy, tmp_path):
    shutil.copytree(healthy, tmp_path / "copy")
    return RunFolder(tmp_path / "copy")


def test_every_symptom_is_made_here():
    assert set(MAKERS) == set(SYMPTOMS)


LONG = "lost rank", "stalled", "killed", "full disk"  # by processes that are waited for
ILLNESSES = [pytest.param(name, marks=[pytest.mark.long] * (name in LONG)) for name in MAKERS]


@pytest.mark.parametrize("name", ILLNESSES)
def test_each_illness_is_called_by_its_name_and_no_other(name, healthy, tmp_path):
    found = sick.made(MAKERS[name], tmp_path / "run", healthy).found
    assert set(found) == {name}, found


def test_a_healthy_run_is_healthy_and_is_not_touched(healthy, capsys):
    before = {path: path.stat().st_mtime_ns for path in healthy.rglob("*")}
    assert not diagnose(healthy).found
    assert status_of("doctor", healthy) == 0
    assert "healthy: none of" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in healthy.rglob("*")} == before


def test_the_command_says_it_to_people_and_to_programs(copy, capsys):
    copy.error_file.write_text(json.dumps(dict(text="No space left on device")))
    assert status_of("doctor", copy) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "sick: 1 of" in lines[2] and lines[4].startswith("full disk:") and len(lines) == 7
    assert status_of("doctor", copy, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert [one["symptom"] for one in report["symptoms"]] == ["full disk"]
    assert not report["healthy"] and report["step"] == 60 and report["checked"] == len(SYMPTOMS)


def test_what_is_no_run_is_one_line(tmp_path, refused, healthy):
    refused("doctor", tmp_path, says=["is not a run folder"])
    refused("doctor", tmp_path / "nothing", says=["is not a run folder"])
    refused("doctor", healthy, "--runs", tmp_path, says=["--runs"])
    (tmp_path / "config.json").write_text("[]")
    refused("doctor", tmp_path, says=["config.json is not a configuration"])


def test_an_error_is_written_down_until_the_run_goes_on(tmp_path):
    run = RunFolder(tmp_path / "run")
    with pytest.raises(RuntimeError):
        slow = sick.Slow(wait=0, fails_at=30)
        fit(sick.SMALL, run, "digits", device="cpu", data=slow)
    assert json.loads(run.error_file.read_text())["text"] == "the coffee machine is on fire"
    assert set(diagnose(run).found) == {"failed"}
    fit(sick.SMALL, run, "digits", resume=True, device="cpu")
    assert not run.error_file.exists() and not diagnose(run).found


def test_a_second_start_is_no_illness_of_the_first(copy, refused):
    refused("train", "digits", "--out", copy, says=["already holds a run"])
    assert not copy.error_file.exists() and not diagnose(copy).found


def test_a_stranger_s_folder_is_read_with_care(copy, refused):
    copy.error_file.write_text('{"text": "a\\u001b[2J\\nb"}')
    copy.holder_file.write_text('{"process": "1; rm", "host": 3, "ranks": "many"}')
    copy.bad_file.write_text("[1, 2")
    with open(copy.metrics_file, "a") as log:
        log.write('{"step": 60, "loss": "low", "waiting": [1], "seconds": null, "mfu": {}}\n[3]\n')
    found = diagnose(copy).found
    assert found == {"failed": "a?[2J?b"}
    copy.metrics_file.unlink()
    os.mkfifo(copy.metrics_file)
    refused("doctor", copy, says=["metrics.jsonl is a pipe"])


def test_weights_that_are_no_numbers_are_seen(copy):
    import torch
    from hdfm.checkpoint import load_tensors, save_tensors

    file = copy.weights_file(copy.config)
    tensors, info = load_tensors(file, "model")
    next(iter(tensors.values())).fill_(torch.nan)
    save_tensors(file, tensors, "model", **{k: info[k] for k in ("step", "ema", "sizes")})
    assert "not finite" in diagnose(copy).found["damaged"]


def test_weights_that_are_still_to_be_written_are_no_damage(copy):
    """A run may be killed after its first checkpoint and before its first weights."""
    copy.weights_file(copy.config).unlink()
    assert "does not exist" in diagnose(copy).found["damaged"]
    record = json.loads(copy.config_file.read_text())
    record["config"]["steps"] = 10**5
    copy.config_file.write_text(json.dumps(record))
    assert not diagnose(copy).found


def rows_of(**columns):
    """Rows of a log, from columns of numbers."""
    return [
        dict(step=step, **dict(zip(columns, values)))
        for step, values in enumerate(zip(*columns.values()), 1)
    ]


def steps(a, b, n=60):
    return [a] * (n - n // 5) + [b] * (n // 5)


# name -> a log in which the symptom's measure is x
AT_THE_LIMIT = {
    "flat": lambda x: rows_of(loss=steps(1.0, x)),
    "diverged": lambda x: rows_of(loss=[4.0] * 6 + steps(1.0, x)),
    "drifting": lambda x: rows_of(proxy_not_fid=[3.0, 2.0, 1.0, x, x]),
    "seams": lambda x: rows_of(seams=[3.0, x, x]),
    "waiting": lambda x: rows_of(waiting=[0.9] * 5 + [x] * 10),
    "slowing": lambda x: rows_of(
        images_per_second=steps(100, 100 * x), seconds=[*range(0, 6000, 100)]
    ),
    "low use": lambda x: rows_of(mfu=[x] * 40, images_per_second=[10.0] * 40),
    "growing gradient": lambda x: rows_of(
        grad_norm=[1.0] * 20 + [1.0 + (x - 1) * i / 40 for i in range(40)] + [x] * 15
    ),
}


@pytest.mark.parametrize("name", AT_THE_LIMIT)
def test_the_limit_is_where_it_is_said_to_be(name, healthy):
    limit = SYMPTOMS[name].limit
    seen = recorded(healthy)
    found = {
        factor: has(seen._replace(rows=AT_THE_LIMIT[name](limit * factor)), name)
        for factor in (0.9, 1.1)
    }
    falls = name in ("slowing", "low use")
    assert bool(found[0.9]) == falls and bool(found[1.1]) != falls, found


def test_no_room_for_the_next_save(healthy):
    seen = recorded(healthy)._replace(free=10**5, needed=10**6)
    assert not has(seen, "full disk")  # it is done
    half = seen._replace(config=seen.config.replace(steps=120))
    assert "0 MB are free" in has(half, "full disk")
    assert not has(half._replace(free=10**7), "full disk")


def test_a_healthy_process_is_not_called_silent(copy):
    seen = recorded(copy)
    held = seen._replace(
        config=seen.config.replace(steps=10**4), holder=dict(process=1), alive=True, silent=30.0
    )
    assert held.state == "training" and not has(held, "stalled")
    assert has(held._replace(silent=600.0), "stalled")
    assert has(held._replace(alive=None, silent=600.0), "stalled")  # on another machine


def test_the_table_of_the_chapter_is_printed_from_the_list():
    cells = json.loads((ROOT / "nbs/28_imagenet.ipynb").read_text(encoding="utf-8"))["cells"]
    (cell,) = (c for c in cells if "in SYMPTOMS.values()" in "".join(c["source"]))
    shown = "".join(cell["outputs"][0]["data"]["text/markdown"])
    for one in SYMPTOMS.values():
        for text in (one.seen, one.means, one.remedy):
            assert text.replace("|", "\\|") in shown, one.name
        assert one.why and callable(one.check)
    assert shown.count("(eyes)") == len(EYES)


# the machine


def test_the_machine_is_asked_and_nothing_is_left(tmp_path, capsys):
    assert status_of("doctor", "--runs", tmp_path / "runs") == 0
    assert "healthy: this machine can train" in capsys.readouterr().out
    assert not files(tmp_path) and not list(tmp_path.iterdir())


def test_what_is_wrong_with_a_machine_is_named(tmp_path, capsys, monkeypatch):
    def broken(device):
        raise RuntimeError("no kernel image\nis available")

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(hdfm.machine, "one_step", broken)
    monkeypatch.setattr(hdfm.machine.shutil, "disk_usage", lambda path: usage(10, 10, 10**8))
    assert status_of("doctor", "--runs", tmp_path, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["problems"][0] == "cpu: RuntimeError: no kernel image is available"
    assert report["problems"][-1] == "disk: only 0.10 GB are free; make room"
    assert "write_mb_s" not in report["disk"]


def test_clothes_that_are_damaged_or_not_here(tmp_path, monkeypatch):
    monkeypatch.setattr(hdfm.machine, "found_elsewhere", lambda name: iter([(tmp_path, "")]))
    monkeypatch.setattr(hdfm.machine, "cache_folder", lambda: tmp_path)
    assert hdfm.machine.readable("fashion") == "not here; a training fetches it"
    for name in SHA256:
        (tmp_path / name).write_bytes(b"not clothes")
    with pytest.raises(ValueError, match="is not the file train-images"):
        hdfm.machine.readable("fashion")
