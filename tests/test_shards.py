"""Tar files as a source of images: found as Python's library finds them, refused in one line when
they are not what they should be, and trained on as the folder that they were made of."""

import io
import json
import os
import pickle
import tarfile
import time

import numpy as np
import pytest
import torch
from conftest import files, status_of
from damage import encoded
from PIL import Image

from hdfm.config import PRESETS
from hdfm.data import StepBatches, batches, photographs
from hdfm.files import FileProblem
from hdfm.folders import FolderImages, ShardImages, check_folder, open_images
from hdfm.run_files import RunError
from hdfm.shards import list_shards, read_picture, write_shards
from hdfm.train import fit

FORMS = tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT
CASES = 3000


def packed(file, members, form=tarfile.GNU_FORMAT, **more):
    """A tar file of {name: bytes}."""
    with tarfile.open(file, "w", format=form) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for field, value in more.items():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(data))
    return file


def picture(i, kind="JPEG"):
    pixels = list(photographs().values())[i % 7]
    square = Image.fromarray(pixels).resize((24, 20), Image.Resampling.BOX)
    return encoded(square.rotate(i), kind)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty pictures in two classes, two of them broken."""
    root = tmp_path_factory.mktemp("pictures")
    for i in range(40):
        place = root / "ab"[i % 2]
        place.mkdir(exist_ok=True)
        kind = "PNG" if i % 3 else "JPEG"
        data = picture(i, kind)
        if i in (5, 6):
            data = data[: len(data) // 2]
        (place / f"{i:02d}.{kind.lower()}").write_bytes(data)
    return root


@pytest.fixture(scope="module")
def shards(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("shards") / "tars"
    write_shards(FolderImages(folder, 16), place, each=7)
    return place


@pytest.mark.parametrize("form", FORMS)
def test_members_are_where_pythons_library_finds_them(tmp_path, form):
    names = ["a.jpg", "b/c.PNG", "d" * 60 + "/" + "e" * 60 + ".jpeg", "f.webp"]
    if form != tarfile.USTAR_FORMAT:
        names += ["ü" * 90 + ".jpg", "n" * 900 + ".jpg"]
    members = {name: bytes([i]) * (400 * i) for i, name in enumerate(names)}
    packed(tmp_path / "x.tar", members, form, mtime=0.5 if form == tarfile.PAX_FORMAT else 0)
    found = list_shards(tmp_path)
    with tarfile.open(tmp_path / "x.tar") as tar:
        theirs = {m.name.encode(): (m.offset_data, m.size) for m in tar if m.isfile()}
    assert dict(zip(found.names.tolist(), map(tuple, found.places.tolist()))) == theirs
    assert [read_picture(found, i) for i in range(len(names))] == list(members.values())
    assert found.classes == [] and not found.labels.any()


def test_a_folder_a_global_header_and_hidden_files_do_no_harm(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w", pax_headers={"comment": "made by hand"}) as tar:
        inside = tarfile.TarInfo("a")
        inside.type = tarfile.DIRTYPE
        tar.addfile(inside)
        for name in ("a/x.jpg", "a/x.cls", "a/x.seg.png", "a/x.txt", "a/._x.jpg"):
            data = b"007\n" if name.endswith("cls") else b"?"
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    found = list_shards(tmp_path / "x.tar")
    assert found.names.tolist() == [b"a/x.jpg"] and found.labels.tolist() == [7]
    assert found.ignored == 3 and len(found.classes) == 8


@pytest.mark.parametrize("said", [{"label": 3}, {"cls": 3, "caption": "a"}, 3])
def test_a_class_may_stand_in_json(tmp_path, said):
    packed(tmp_path / "x.tar", {"a.json": json.dumps(said).encode(), "a.jpg": b"?"})
    assert list_shards(tmp_path).labels.tolist() == [3]


def test_names_of_the_classes(tmp_path):
    packed(tmp_path / "x.tar", {"a.jpg": b"?", "a.cls": b"1"})
    for names, ok in ((["cat", "dog"], True), (["cat"], False), ("ab", False), ([1, 2], False)):
        (tmp_path / "classes.json").write_text(json.dumps(names))
        if ok:
            assert list_shards(tmp_path).classes == names
            continue
        with pytest.raises(FileProblem, match="classes.json is no list of the names of 2 classes"):
            list_shards(tmp_path)


def test_no_tar_and_compressed_ones(tmp_path):
    with pytest.raises(FileProblem, match="no .tar in .*, among 0 files"):
        list_shards(tmp_path)
    (tmp_path / "a.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(FileProblem, match="only compressed ones"):
        list_shards(tmp_path)
    os.mkfifo(tmp_path / "b.tar")
    with pytest.raises(FileProblem, match="a pipe, not a regular file"):
        list_shards(tmp_path)
    with pytest.raises(FileProblem, match="cannot be opened"):
        open_images(f"shards:{tmp_path / 'nowhere.tar'}", 16)


def test_any_damage_is_a_list_or_one_line(tmp_path):
    """Bits, cuts, doubled and moved blocks, fields of headers: never another error, never long."""
    draw = np.random.default_rng(0)
    whole = {}
    for form in FORMS:
        deep = "b" * 50 + "/" + "é" * 40
        names = ("a.jpg", "a.cls", f"{deep}.jpg", f"{deep}.json")
        data = (b"?" * 700, b"3", b"!" * 90, b'{"label": 2}')
        file = packed(tmp_path / "whole.tar", dict(zip(names, data)), form, mtime=1.5 * (form == 2))
        whole[form] = file.read_bytes()
    file = tmp_path / "x.tar"
    worst = 0
    lists = 0
    for case in range(CASES):
        data = bytearray(whole[FORMS[case % 3]])
        for _ in range(int(draw.integers(1, 4))):
            place = int(draw.integers(len(data)))
            kind = int(draw.integers(4))
            if kind == 0:
                data[place] ^= 1 << int(draw.integers(8))
            elif kind == 1:
                del data[place:]
            elif kind == 2:
                block = place // 512 * 512
                data[block:block] = data[:512]
            else:  # a field of a header, with a checksum that fits
                start = int(draw.choice([0, 100, 124, 156, 257, 345]))
                block = place // 512 * 512
                data[block + start : block + start + 6] = bytes(draw.integers(40, 58, 6).tolist())
                data[block + 148 : block + 156] = b" " * 8
                data[block + 148 : block + 155] = b"%06o\0" % sum(data[block : block + 512])
            data = data or bytearray(b"\0")
        file.write_bytes(data)
        began = time.perf_counter()
        try:
            list_shards(file)
            lists += 1
        except FileProblem as error:
            assert "\n" not in str(error) and str(file) in str(error), case
        worst = max(worst, time.perf_counter() - began)
    assert 0 < lists < CASES and worst < 5
    print(f"{CASES} tars, {lists} of them lists all the same; the slowest: {worst * 1e3:.1f} ms")


def test_a_header_that_claims_much_takes_no_memory(tmp_path):
    for kind in (b"L", b"x", b"g", b"0"):
        info = tarfile.TarInfo("a.jpg")
        info.type = kind
        info.size = 8**11 - 1
        (tmp_path / "x.tar").write_bytes(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024))
        with pytest.raises(FileProblem, match="is cut off within a.jpg"):
            list_shards(tmp_path)
    with open(tmp_path / "x.tar", "wb") as stream:
        info.type = b"L"
        info.size = 2**32
        stream.write(info.tobuf(tarfile.USTAR_FORMAT))
        stream.truncate(2**32 + 4096)
    with pytest.raises(FileProblem, match="a long name of 4,294,967,296 bytes"):
        list_shards(tmp_path)
    with open(tmp_path / "x.tar", "wb") as stream:
        info.type = b"0"
        stream.write(info.tobuf(tarfile.USTAR_FORMAT))
        stream.truncate(2**32 + 4096)
    assert ShardImages(tmp_path, 8).called(0) == "x.tar/a.jpg"
    assert check_folder(f"shards:{tmp_path}")["bad"] == {
        "x.tar/a.jpg": "4,294,967,296 bytes, more than 268,435,456"
    }


def test_a_tar_that_shrinks_or_goes_makes_bad_pictures(folder, tmp_path):
    write_shards(FolderImages(folder, 16), tmp_path / "tars", each=20)
    data = ShardImages(tmp_path / "tars", 16)
    tar = tmp_path / "tars" / "000001.tar"
    os.truncate(tar, 600)
    bad = {why for _, _, why in data.read(range(20, 40)).bad}
    assert bad == {"its tar file is shorter than when it was listed"}
    tar.unlink()
    assert all("cannot be opened" in why for _, _, why in data.read(range(20, 40)).bad)


def test_the_batches_are_those_of_the_folder(folder, shards):
    """By any workers, in any process, replacements included."""
    there = FolderImages(folder, 16, seed=3)
    here = pickle.loads(pickle.dumps(ShardImages(shards, 16, seed=3)))
    assert here.shared and len(here) == 40 and here.classes == there.classes
    for workers, rank in ((0, 0), (2, 1)):
        order = StepBatches(40, 12, 8, seed=1, start=3, rank=rank, size=2)
        pairs = zip(batches(there, order, 0), batches(here, order, workers), strict=True)
        for one, other in pairs:
            assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)
            assert [(i, why) for i, _, why in one.bad] == [(i, why) for i, _, why in other.bad]
    again = ShardImages(shards, 16)
    assert again.fingerprint == here.fingerprint != there.fingerprint
    assert sorted(check_folder(f"shards:{shards}", 16)["bad"].values()) == ["truncated"] * 2


def test_shards_of_shards_are_the_same(shards, tmp_path):
    write_shards(ShardImages(shards, 16), tmp_path / "again", each=7)
    assert files(shards) == files(tmp_path / "again")


def test_what_is_there_is_not_written_over_and_nothing_half_is_left(folder, tmp_path):
    data = FolderImages(folder, 16)
    (tmp_path / "here").mkdir()
    with pytest.raises(FileProblem, match="here is there already and is not written over"):
        write_shards(data, tmp_path / "here")

    def busy(i):
        if i == 20:
            raise KeyboardInterrupt
        return b""

    data.file = busy
    with pytest.raises(KeyboardInterrupt):
        write_shards(data, tmp_path / "new", each=5)
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


class After:
    """A reason to stop, once it has been asked for some times."""

    def __init__(self, times):
        self.left = times

    def __bool__(self):
        self.left -= 1
        return self.left < 0


def test_train_resume_and_evaluate(folder, shards, tmp_path, capsys):
    """The weights after twelve steps are those of the folder; also with a stop within an epoch."""
    config = PRESETS["digits"].replace(
        image_size=16, steps=12, batch_size=16, warmup=2, save_every=4, sample_every=12,
        log_every=1, sample_steps=2, max_bad=0.5,
    )  # fmt: skip
    there = fit(config.replace(data=str(folder)), tmp_path / "folder", device="cpu")
    config = config.replace(data=f"shards:{shards}")
    here = fit(config, tmp_path / "shards", device="cpu")
    stopped = fit(config, tmp_path / "stopped", device="cpu", stop=After(6))
    whole, part = ((run / "model.safetensors").read_bytes() for run in (here, stopped))
    assert whole != part
    fit(config.replace(workers=1), stopped, resume=True, device="cpu")
    weights = {(run / "model.safetensors").read_bytes() for run in (there, here, stopped)}
    assert len(weights) == 1
    with pytest.raises(RunError):  # other images
        fit(config.replace(data=str(folder), steps=14), stopped, resume=True, device="cpu")
    capsys.readouterr()
    words = ["--features", "modes", "--samples", 20, "--device", "cpu", "--json"]
    assert status_of("evaluate", here, *words) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["features"]["real_images"] == 38  # nothing in the place of a broken one
