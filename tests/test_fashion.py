"""Clothes from wherever they are: what is not right is refused in one line, and never kept."""

import gzip
import shutil
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, files, hdfm

from hdfm import fashion
from hdfm.data import DATASETS, Images, load_data
from hdfm.fashion import (
    CLASSES,
    FASHION,
    SHA256,
    DamagedFile,
    contents_of,
    fashion_arrays,
    fetch,
    find_file,
    first_of_each,
    idx_bytes,
    unpacked,
)

SAMPLE = ROOT / "hdfm" / "samples" / "fashion-small"
IMAGES, LABELS = FASHION["fashion-small-test"]        # what stands for the large files here
NOWHERE = "http://127.0.0.1:9/"
THREE_WAYS = ("apt-get install dataset-fashion-mnist", "HDFM_DATA", "network")


def packed(name):
    return (SAMPLE / f"{name}.gz").read_bytes()


def flip(contents, place):
    """The contents with one bit of one byte turned round."""
    changed = bytearray(contents)
    changed[place] ^= 1
    return bytes(changed)


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """A machine with no files, no network and an empty cache: the path of the cache."""
    cache = tmp_path / "cache"
    monkeypatch.delenv("HDFM_DATA", raising=False)
    monkeypatch.setattr(fashion, "system_folders", lambda: [tmp_path / "no such folder"])
    monkeypatch.setattr(fashion, "cache_folder", lambda: cache)
    monkeypatch.setattr(fashion, "MIRRORS", [NOWHERE])
    return cache


class Mirror(BaseHTTPRequestHandler):
    """Sends what `answers` has for a name: (status, length that it claims, bytes)."""

    def __init__(self, answers, *args):
        self.answers = answers
        super().__init__(*args)

    def do_GET(self):
        status, length, body = self.answers.get(self.path[1:], (404, 0, b""))
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def mirror():
    """(address, answers) of a mirror on this machine."""
    answers = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Mirror, answers))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", answers
    server.shutdown()
    server.server_close()


def sends(answers, contents, *, name=LABELS, claims=None, status=200):
    length = len(contents) if claims is None else claims
    answers[f"{name}.gz"] = status, length, contents


def refusal(kind, *args, **kwargs):
    """The one line with which `contents_of` refuses."""
    with pytest.raises(kind) as caught:
        contents_of(*args, **kwargs)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 600
    return text


WRONG = {
    "flipped": lambda name: flip(packed(name), 200),
    "flipped inside": lambda name: gzip.compress(flip(unpacked(SAMPLE / f"{name}.gz"), 20)),
    "truncated": lambda name: packed(name)[:150],
    "empty": lambda name: b"",
    "without an end": lambda name: packed(name)[:-8],
    "with an appendix": lambda name: packed(name) + b"more",
    "a web page": lambda name: b"<html>Please log in</html>",
    "another file": lambda name: packed(FASHION["fashion-small"][1]),
    "plain and cut": lambda name: unpacked(SAMPLE / f"{name}.gz")[:-1],
}
wrong = pytest.mark.parametrize("contents", [make(LABELS) for make in WRONG.values()], ids=WRONG)


# Where the files are found.


def test_the_sample_is_there_for_everyone(alone):
    for name, n, test in (
        ("fashion-small", 2000, "fashion-small-test"),
        ("fashion-small-test", 400, None),
    ):
        data = load_data(name)
        assert data.images.shape == (n, 1, 28, 28)
        assert data.labels.bincount().tolist() == [n // 10] * 10
        assert data.test == test and data.class_names == CLASSES and data.features == "fashion"
        assert data.images.min() == -1 and data.images.max() == 1 and data.num_classes == 10
    assert Images.test is None and Images.class_names == ()
    assert not alone.exists()


def test_the_names_are_known():
    assert set(FASHION) < set(DATASETS)
    assert set(sum(FASHION.values(), ())) == set(SHA256)
    assert all((SAMPLE / f"{name}.gz").is_file() for name in SHA256 if name.startswith("small"))
    licence = (SAMPLE / "LICENSE").read_text(encoding="utf-8")
    assert licence.startswith("The MIT License (MIT)") and "2017 Zalando SE" in licence


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("how", ["argument", "variable", "variable, below", "debian", "cache"])
def test_each_place_is_found(alone, monkeypatch, tmp_path, how, ending):
    place = alone if how == "cache" else tmp_path / "place"
    place.mkdir()
    contents = unpacked(SAMPLE / f"{LABELS}.gz")
    (place / f"{LABELS}{ending}").write_bytes(gzip.compress(contents) if ending else contents)
    if how.startswith("variable"):
        monkeypatch.setenv("HDFM_DATA", str(tmp_path))
    if how == "variable, below":
        place = place.rename(tmp_path / "below")
    if how == "debian":
        monkeypatch.setattr(fashion, "system_folders", lambda: [place])
    before = files(tmp_path)
    assert contents_of(LABELS, place if how == "argument" else None) == contents
    assert files(tmp_path) == before


def test_gzip_is_known_by_its_first_bytes(alone, tmp_path):
    (tmp_path / LABELS).write_bytes(packed(LABELS))
    assert contents_of(LABELS, tmp_path) == unpacked(SAMPLE / f"{LABELS}.gz")


def test_debian_s_folder_is_below_the_prefix(monkeypatch):
    monkeypatch.setattr(sys, "prefix", "/somewhere")
    folders = fashion.system_folders()
    assert folders[0] == Path("/somewhere/share/datasets/fashion-mnist")
    assert Path("/usr/share/datasets/fashion-mnist") in folders


def test_the_cache_is_the_user_s(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fashion.cache_folder().parts[-2:] == ("hdfm", "fashion")


# What is wrong with them.


@wrong
@pytest.mark.parametrize("how", ["argument", "variable"])
def test_a_named_folder_is_the_only_place(alone, monkeypatch, mirror, tmp_path, contents, how):
    address, answers = mirror
    sends(answers, packed(LABELS))
    monkeypatch.setattr(fashion, "MIRRORS", [address])
    place = tmp_path / "place"
    place.mkdir()
    (place / f"{LABELS}.gz").write_bytes(contents)
    if how == "variable":
        monkeypatch.setenv("HDFM_DATA", str(place))
    text = refusal(DamagedFile, LABELS, place if how == "argument" else None)
    assert str(place / f"{LABELS}.gz") in text and LABELS in text
    assert ("HDFM_DATA" in text) == (how == "variable")
    assert not alone.exists() and (place / f"{LABELS}.gz").read_bytes() == contents


@pytest.mark.parametrize("there", [True, False])
def test_a_named_folder_without_the_file(alone, tmp_path, there):
    place = tmp_path / "place"
    if there:
        place.mkdir()
    text = refusal(FileNotFoundError, LABELS, place)
    assert str(place) in text and LABELS in text and not alone.exists()


def test_the_variable_in_a_command(tmp_path):
    """The whole way: one line, no traceback, and nothing written."""
    folder = tmp_path / "clothes"
    folder.mkdir()
    for name in FASHION["fashion-test"]:
        (folder / f"{name}.gz").write_bytes(packed(LABELS))
    env = {"HDFM_DATA": str(folder), "PATH": "", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    done = hdfm(
        *("evaluate", "images", "fashion-test", "fashion-small", "--features", "pixels"),
        cwd=tmp_path,
        env=env,
    )
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1 and "t10k-images-idx3-ubyte.gz" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["clothes"]


@wrong
def test_a_damaged_copy_of_debian_s(alone, monkeypatch, tmp_path, contents):
    (tmp_path / f"{LABELS}.gz").write_bytes(contents)
    monkeypatch.setattr(fashion, "system_folders", lambda: [tmp_path])
    text = refusal(DamagedFile, LABELS)
    assert "--reinstall dataset-fashion-mnist" in text and str(tmp_path) in text


def test_no_place_and_no_network(alone):
    text = refusal(FileNotFoundError, LABELS)
    assert all(way in text for way in THREE_WAYS) and f"{LABELS}.gz" in text
    assert not files(alone)
    with pytest.raises(FileNotFoundError):
        load_data("fashion")


def test_a_cache_that_cannot_be_written(alone):
    alone.write_text("a file")
    text = refusal(FileNotFoundError, LABELS)
    assert all(way in text for way in THREE_WAYS) and str(alone) in text
    assert alone.read_text() == "a file"


# Downloads.


def test_a_download_is_kept(alone, mirror, monkeypatch, capfd):
    address, answers = mirror
    sends(answers, packed(LABELS))
    monkeypatch.setattr(fashion, "MIRRORS", [NOWHERE, address])       # the first does not answer
    contents = contents_of(LABELS)
    assert contents == unpacked(SAMPLE / f"{LABELS}.gz")
    assert f"{LABELS}.gz: 100%" in capfd.readouterr().err
    assert files(alone) == {f"{LABELS}.gz": packed(LABELS)}
    monkeypatch.setattr(fashion, "MIRRORS", [NOWHERE])
    assert contents_of(LABELS) == contents


@wrong
def test_a_mirror_that_sends_something_else(alone, mirror, monkeypatch, contents):
    address, answers = mirror
    sends(answers, contents)
    monkeypatch.setattr(fashion, "MIRRORS", [address])
    text = refusal(FileNotFoundError, LABELS)
    assert all(way in text for way in THREE_WAYS) and "something else" in text
    assert not files(alone)


@pytest.mark.parametrize("sent", [0, 100, 1000])
def test_a_mirror_that_closes_early(alone, mirror, monkeypatch, sent):
    address, answers = mirror
    whole = packed(IMAGES)
    sends(answers, whole[:sent], name=IMAGES, claims=len(whole))
    monkeypatch.setattr(fashion, "MIRRORS", [address])
    text = refusal(FileNotFoundError, IMAGES)
    assert all(way in text for way in THREE_WAYS)
    assert not files(alone)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_mirror_without_the_file(alone, mirror, monkeypatch, status):
    address, answers = mirror
    sends(answers, packed(LABELS), status=status)
    monkeypatch.setattr(fashion, "MIRRORS", [address])
    assert str(status) in refusal(FileNotFoundError, LABELS)
    assert not files(alone)


@wrong
def test_the_cache_mends_itself(alone, mirror, monkeypatch, capsys, contents):
    address, answers = mirror
    sends(answers, packed(LABELS))
    alone.mkdir()
    (alone / f"{LABELS}.gz").write_bytes(contents)
    monkeypatch.setattr(fashion, "MIRRORS", [address])
    assert contents_of(LABELS) == unpacked(SAMPLE / f"{LABELS}.gz")
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("hdfm: ")]
    assert len(said) == 1 and str(alone) in said[0] and "downloaded again" in said[0]
    assert files(alone) == {f"{LABELS}.gz": packed(LABELS)}


def test_a_damaged_cache_without_network(alone, capsys):
    alone.mkdir()
    (alone / f"{LABELS}.gz").write_bytes(WRONG["flipped"](LABELS))
    text = refusal(FileNotFoundError, LABELS)
    assert all(way in text for way in THREE_WAYS) and "deleted" in capsys.readouterr().err
    assert not files(alone)


def test_who_is_interrupted_leaves_nothing(alone, mirror, monkeypatch):
    address, answers = mirror
    sends(answers, packed(LABELS))

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(fashion, "verified", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(address, LABELS, alone)
    assert not files(alone)


# The full set, where it is.


def full_set():
    """Whether the full set is on this machine."""
    name = LABELS.removeprefix("small-")
    return any(find_file(place, name) for place in fashion.system_folders())


needs_full_set = pytest.mark.skipif(not full_set(), reason="needs dataset-fashion-mnist")


@needs_full_set
def test_the_full_set(monkeypatch):
    monkeypatch.delenv("HDFM_DATA", raising=False)
    for name, n in (("fashion", 60_000), ("fashion-test", 10_000)):
        data = load_data(name)
        assert data.images.shape == (n, 1, 28, 28)
        assert data.labels.bincount().tolist() == [n // 10] * 10


@needs_full_set
def test_one_flipped_byte_of_the_full_set(alone, tmp_path):
    """In the middle of the test images, packed and unpacked."""
    (place,) = [place for place in map(Path, ["/usr/share/datasets/fashion-mnist"])]
    names = FASHION["fashion-test"]
    for name in names:
        shutil.copy(place / f"{name}.gz", tmp_path)
    assert len(fashion_arrays("fashion-test", tmp_path)[0]) == 10_000
    path = tmp_path / f"{names[0]}.gz"
    whole = unpacked(path)
    path.write_bytes(flip(path.read_bytes(), 2_000_000))
    assert str(path) in refusal(DamagedFile, names[0], tmp_path)
    path.unlink()
    (tmp_path / names[0]).write_bytes(flip(whole, 4_000_000))
    assert "SHA-256" in refusal(DamagedFile, names[0], tmp_path)


@needs_full_set
def test_the_sample_is_made_from_the_full_set(monkeypatch):
    monkeypatch.delenv("HDFM_DATA", raising=False)
    for name, n in (("fashion", 200), ("fashion-test", 40)):
        arrays = fashion_arrays(name)
        which = first_of_each(arrays[1], n)
        small = FASHION[name.replace("fashion", "fashion-small")]
        for array, file in zip(arrays, small):
            assert idx_bytes(array[which]) == unpacked(SAMPLE / f"{file}.gz")
        assert np.all(np.diff(which) > 0)
