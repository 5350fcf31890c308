"""Every damaged file of a folder is named; none stops a batch; nothing depends on who reads."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from damage import BAD, LISTED, encoded, make_folder, png_bomb
from PIL import Image

from hdfm.cli import main
from hdfm.data import (
    SOURCES,
    Batch,
    Images,
    StepBatches,
    as_bytes,
    batches,
    load_data,
    register_source,
)
from hdfm.folders import FolderImages, NoPicture, check_folder, open_images
from hdfm.listing import list_images
from hdfm.parallel import is_mendable
from hdfm.pictures import BadImage, center_crop, open_image

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="needs links, pipes and permissions"
)
ROOT_USER = hasattr(os, "getuid") and os.getuid() == 0
FINE = "cmyk", "16-bit", "palette", "exif"


@pytest.fixture(scope="module")
def world():
    """(folder, {kind: name}); a place of its own, that another user can enter too."""
    folder = Path(tempfile.mkdtemp())
    names = make_folder(folder)
    classes = ("china", "flower", "astronaut", "coffee", "rocket")
    for path in [folder, *(folder / name for name in classes)]:
        path.chmod(0o755)
    yield folder, names
    shutil.rmtree(folder)


def python(code, *args):
    """What a program prints, as JSON."""
    command = [sys.executable, "-c", code, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_damaged_file_is_named_with_its_reason(world):
    folder, names = world
    code = (
        "import json, os, sys\nimport PIL.TiffImagePlugin\n"
        "from hdfm.folders import check_folder, open_image\n"
        "open_image(sys.argv[1] + '/china/000000.jpg')  # Pillow loads its plugins\n"
        "if os.getuid() == 0: os.setuid(65534)  # root may read everything\n"
        "print(json.dumps(check_folder(sys.argv[1], 16)))"
    )
    found = python(code, folder)
    assert found["files"] == 500 + 13 - len(LISTED)
    assert found["classes"] == ["astronaut", "china", "coffee", "flower", "rocket"]
    assert set(found["bad"]) == {names[kind] for kind in BAD}
    for kind, words in BAD.items():
        assert words in found["bad"][names[kind]], kind
    assert {kind for kind in names if names[kind] in list_images(folder).bad} == set(LISTED)


def test_the_odd_kinds_are_read_and_look_alike(world):
    folder, names = world
    read = {kind: np.asarray(open_image(folder / names[kind])).astype(float) for kind in FINE}
    for kind, pixels in read.items():
        assert pixels.shape == (32, 40, 3), kind
        assert np.abs(pixels.mean(2) - read["16-bit"].mean(2)).mean() < 15, kind


def loaded(data, order, workers):
    """Images, labels and bad ones, by index; `order` is a list of lists of indices."""
    images, labels, bad = zip(*batches(data, order, workers))
    place = np.argsort(np.concatenate(order))
    return torch.cat(images)[place], torch.cat(labels)[place], sorted(sum(bad, []))


def test_replacements_do_not_depend_on_worker_or_order(world):
    folder, names = world
    data = FolderImages(folder, 16, seed=3)
    order = np.random.default_rng(0).permutation(len(data)).tolist()
    straight = loaded(data, [list(range(len(data)))], 0)
    sevens = [order[i : i + 7] for i in range(0, len(order), 7)]
    shuffled = loaded(pickle.loads(pickle.dumps(data)), sevens, 2)
    assert torch.equal(straight[0], shuffled[0]) and torch.equal(straight[1], shuffled[1])
    assert straight[2] == shuffled[2]
    seen = {name: reason for _, name, reason in straight[2]}
    readable = {"unreadable"} if ROOT_USER else set()
    assert set(seen) == {names[kind] for kind in set(BAD) - set(LISTED) - readable}
    assert straight[0].shape == (510, 3, 16, 16) and straight[0].dtype == torch.uint8
    assert straight[1].dtype == torch.int64
    other = loaded(FolderImages(folder, 16, seed=4), [list(range(len(data)))], 0)
    assert not torch.equal(straight[0], other[0])  # the control: another seed replaces otherwise
    where = [i for i in range(len(data)) if data.called(i) in seen]
    kept = torch.ones(len(data), dtype=torch.bool)
    kept[where] = False
    assert torch.equal(straight[0][kept], other[0][kept])


def test_a_bomb_takes_no_memory(world):
    folder, names = world
    code = (
        "import json, resource, sys\nfrom hdfm.pictures import BadImage, open_image\n"
        "open_image(sys.argv[1])\n"
        "unit = 1024 if sys.platform == 'linux' else 1024**2  # to megabytes\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit\n"
        "before = peak()\n"
        "try: open_image(sys.argv[2])\n"
        "except BadImage as error: print(json.dumps([str(error), peak() - before]))"
    )
    reason, grown = python(code, folder / "china" / "000000.jpg", folder / names["bomb"])
    assert reason == "400,000,000 pixels, more than 100,000,000" and grown < 200
    assert (folder / names["bomb"]).stat().st_size < 100_000


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_below_and_above_pillows_own_limit():
    with pytest.raises(BadImage, match="^121,000,000 pixels, more than 100,000,000$"):
        open_image(png_bomb(11_000))  # here Pillow only warns
    with pytest.raises(BadImage, match="^1,000,000 pixels, more than 999,999$"):
        open_image(png_bomb(1000), max_pixels=999_999)
    assert open_image(png_bomb(1000)).size == (1000, 1000)
    with pytest.raises(BadImage, match="^81,000,000 pixels in [0-9,]+ bytes$"):
        open_image(png_bomb(9000))  # few bytes for so many
    assert open_image(png_bomb(4000)).size == (4000, 4000)


def test_a_pipe_does_not_hang(tmp_path):
    def late(*_):
        raise AssertionError("waited for a pipe")

    (tmp_path / "a.png").write_bytes(encoded(Image.new("RGB", (9, 9)), "PNG"))
    (tmp_path / "b.png").write_bytes(encoded(Image.new("RGB", (9, 9)), "PNG"))
    data = FolderImages(tmp_path, 8)
    os.remove(tmp_path / "b.png")
    os.mkfifo(tmp_path / "b.png")
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(10)
    try:
        bad = data.read([1]).bad
        assert bad and set(bad) == {(1, "b.png", "not a regular file")}
        assert list_images(tmp_path).bad == {"b.png": "not a regular file"}
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_names_of_any_kind_and_the_fingerprint(tmp_path):
    picture = encoded(Image.new("RGB", (9, 9), "red"), "PNG")
    names = [
        b"caf\xe9 1.png",
        "straße/日本 語.PNG".encode(),
        b"new\nline/\xff\xfe.png",
        b" /  .png",
    ]
    for name in (b"all/" + name for name in names):
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).write_bytes(picture)
    data = FolderImages(tmp_path, 8)
    images, labels, bad = data.read(range(len(data)))
    assert sorted(data.names.tolist()) == sorted(b"all/" + name for name in names)
    assert not bad and images[:, 0].min() == 255
    "".join(data.called(i) for i in range(len(data))).encode()  # can be printed
    assert FolderImages(tmp_path, 8).fingerprint == data.fingerprint
    (tmp_path / "all" / "z.png").write_bytes(picture)
    assert FolderImages(tmp_path, 8).fingerprint != data.fingerprint


def test_the_order_is_that_of_the_names_not_of_the_disk(tmp_path):
    picture = encoded(Image.new("RGB", (9, 9)), "PNG")
    for folder, order in (("one", range(40)), ("two", reversed(range(40)))):
        for i in order:
            (tmp_path / folder / f"c{i % 3}").mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / f"c{i % 3}" / f"{i}.png").write_bytes(picture)
    one, two = (FolderImages(tmp_path / folder, 8) for folder in ("one", "two"))
    assert one.fingerprint == two.fingerprint
    assert one.names.tolist() == two.names.tolist() == sorted(one.names.tolist())


def test_a_link_to_a_class_elsewhere_is_followed_once(tmp_path):
    picture = encoded(Image.new("RGB", (9, 9)), "PNG")
    for folder in ("elsewhere/deep", "root/zebra"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.png").write_bytes(picture)
    links = {"fish": "../elsewhere", "again": "../elsewhere/deep", "aardvark": "zebra"}
    links["gone"] = "nowhere"
    for name, target in links.items():
        (tmp_path / "root" / name).symlink_to(target)
    found = list_images(tmp_path / "root")
    # real folders first, then links by name
    assert found.names.tolist() == [b"again/a.png", b"zebra/a.png"]
    last_words = {name: reason.split()[-1] for name, reason in found.bad.items()}
    assert last_words == {"aardvark": "already", "fish/deep": "already", "gone": "nothing"}


def test_all_bad_is_one_clear_error(tmp_path):
    (tmp_path / "only.jpg").write_bytes(b"")
    with pytest.raises(
        ValueError, match="only.jpg is bad .empty file., and so were the 99 pictures"
    ):
        FolderImages(tmp_path, 8).read([0])
    with pytest.raises(IndexError):
        FolderImages(tmp_path, 8)[1]


@pytest.mark.parametrize("workers", [0, 1])
def test_that_all_is_bad_is_one_line_from_a_worker_too(tmp_path, workers):
    (tmp_path / "only.jpg").write_bytes(b"")
    with pytest.raises(NoPicture) as caught:
        list(batches(FolderImages(tmp_path, 8), [[0]], workers))
    said = str(caught.value)
    assert is_mendable(caught.value) and "\n" not in said
    assert said.startswith(f"{tmp_path.name}: only.jpg is bad (empty file), and so were the 99")


def test_too_many_open_files_is_not_the_files_fault(tmp_path, monkeypatch):
    """A replacement for such a reason would make the run depend on the machine."""
    (tmp_path / "a.png").write_bytes(encoded(Image.new("RGB", (9, 9)), "PNG"))
    data = FolderImages(tmp_path, 8)

    def busy(*_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("builtins.open", busy)
    with pytest.raises(OSError, match="Too many open files") as caught:
        data[0]
    assert not isinstance(caught.value, BadImage)


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "P", "RGB", "LA", "RGBA"])
def test_clear_parts_are_white_in_every_mode(mode):
    grey = np.zeros((9, 9), np.uint8)
    grey[4:] = 200
    picture = Image.fromarray(grey)
    options = dict(transparency=0)
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode in ("LA", "RGBA"):
        picture = picture.convert(mode)
        options = {}
        picture.putalpha(Image.fromarray((grey > 0).astype(np.uint8) * 255))
    elif mode == "P":
        picture = picture.quantize(2)
        options = dict(transparency=picture.getpixel((0, 0)))
    else:
        picture = picture.convert(mode, dither=Image.Dither.NONE)
        if mode == "RGB":
            options = dict(transparency=(0, 0, 0))
    read = np.asarray(open_image(encoded(picture, "PNG", **options)))
    assert (read[:4] == 255).all() and (read[4:] == (255 if mode == "1" else 200)).all()


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    for kind in ("WEBP", "PNG"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
        assert open_image(data).getpixel((3, 3)) == (255, 0, 0), kind


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_broken_exif_block_does_not_cost_the_picture():
    picture = Image.new("RGB", (16, 9), "red")
    for block in (
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0" + b"\xff" * 40,
        b"junk",
    ):
        assert open_image(encoded(picture, exif=block)).size == (16, 9), block


def test_every_truncation_is_refused_or_is_all_there():
    whole = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8))
    for kind in ("JPEG", "PNG", "WEBP"):
        data = encoded(whole, kind)
        picture = np.asarray(open_image(data))
        for end in range(0, len(data), 7):
            try:
                assert np.array_equal(np.asarray(open_image(data[:end])), picture), (kind, end)
            except BadImage as error:
                assert "\n" not in str(error) and len(str(error)) < 100


def test_a_strip_is_not_enlarged_as_a_whole():
    assert center_crop(Image.new("RGB", (8, 2_000_000), "red"), 256)[0].min() == 255


def check(*words):
    """The exit status of `hdfm check`."""
    try:
        return main(["check", *map(str, words)])
    except SystemExit as done:
        return done.code


def test_the_command(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(encoded(Image.new("RGB", (9, 9)), "PNG"))
    assert check(tmp_path) == 0 and json.loads(capsys.readouterr().out)["bad"] == 0
    (tmp_path / "b.png").write_bytes(b"")
    assert check(tmp_path) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["files"] == 2 and found["bad"] == 1 and found["reasons"] == {"b.png": "empty file"}
    assert check(tmp_path / "nothing") == 2 and "not a folder" in capsys.readouterr().err


def test_a_hub_data_set_by_the_same_rules(tmp_path):
    datasets = pytest.importorskip("datasets")
    whole = encoded(Image.new("RGB", (20, 9), "red"), "PNG")
    cells = [dict(bytes=data, path=None) for data in (whole, whole[:40], b"", whole)]
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["a", "b"])
    )
    table = datasets.Dataset.from_dict(dict(image=cells, label=[0, 1, 1, 0]), features=features)
    datasets.DatasetDict(train=table, test=table.select([0])).save_to_disk(tmp_path / "set")
    data = open_images(f"hf:{tmp_path / 'set'}", 8)
    images, labels, bad = loaded(pickle.loads(pickle.dumps(data)), [[3, 2], [1, 0]], 2)
    assert labels.tolist() == [0, 0, 0, 0] and (images[:, 0] == 255).all()
    assert {name: reason for _, name, reason in bad} == {
        "train[1]": "truncated",
        "train[2]": "empty file",
    }
    assert len(open_images(f"hf:{tmp_path / 'set'}:test", 8)) == 1 and data.classes == ["a", "b"]
    with pytest.raises(ValueError, match="no split 'dev'; choose one of train, test"):
        open_images(f"hf:{tmp_path / 'set'}:dev", 8)


def test_what_is_in_memory_is_not_resized_and_a_folder_needs_a_size(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(Image.new("RGB", (20, 9)), "PNG"))
    assert open_images(tmp_path, 8).shape == (3, 8, 8)
    for size in (None, 0):
        with pytest.raises(ValueError, match="need a size in pixels: give --image-size or --size"):
            open_images(tmp_path, size)
    with pytest.raises(ValueError, match="digits has images of 8 pixels, not 16"):
        open_images("digits", 16)
    with pytest.raises(ValueError, match="unknown data 'cats': give one of digits, "):
        open_images("cats", 16)


def test_images_in_a_file(tmp_path):
    digits = load_data("digits")
    file = tmp_path / "some.npz"
    pixels = as_bytes(digits.images[:20]).permute(0, 2, 3, 1).numpy()
    np.savez(file, images=pixels, labels=digits.labels[:20].numpy())
    images = open_images(file, 8)
    assert torch.equal(images.read([3, 19]).images, as_bytes(digits.images[[3, 19]]))
    assert images[7][1] == digits[7][1] and images.num_classes == 10 and images.features == "modes"
    with pytest.raises(ValueError, match="some.npz has images of 8 pixels, not 16"):
        open_images(file, 16)
    for wrong in (
        dict(images=pixels / 255),
        dict(images=pixels, labels=[0.5] * 20),
        dict(x=pixels),
    ):
        np.savez(file, **wrong)
        with pytest.raises(ValueError, match="some.npz"):
            open_images(file)


class Toy(Images):
    """`toy:N`: N grey images, each as bright as its number."""

    form = "toy:N"

    def __init__(self, n):
        self.n = n
        self.name = self.fingerprint = f"toy:{n}"
        self.shape = (1, 2, 2)

    @classmethod
    def matches(cls, name):
        return name.startswith("toy:")

    @classmethod
    def open(cls, name, size=None, seed=0):
        return cls(int(name[4:]))

    def __len__(self):
        return self.n

    def read(self, indices):
        bright = torch.tensor(indices, dtype=torch.uint8)
        return Batch(
            bright[:, None, None, None].expand(-1, *self.shape), torch.zeros(len(bright)), []
        )


def test_a_source_of_ones_own(monkeypatch):
    monkeypatch.setitem(SOURCES, "toy", None)  # so that it is put back
    register_source("toy")(Toy)
    data = open_images("toy:12")
    order = StepBatches(12, 3, 4, seed=0)
    for workers in (0, 1):
        seen = torch.cat([part.images[:, 0, 0, 0] for part in batches(data, order, workers)])
        assert sorted(seen.tolist()) == list(range(12))
    assert data[3][0].shape == (1, 2, 2)
    del SOURCES["toy"]
    with pytest.raises(ValueError, match="unknown data 'toy:12'"):
        open_images("toy:12")
