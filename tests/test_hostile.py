"""Files from strangers: either what is in them is what it was, or there is one line that says why
not. Nothing in them is executed, nothing outside their folder is touched, and none takes more than
five seconds or much memory.

Each case is a valid file, changed as its number says (`mutants`). `HDFM_EXAMPLES` says how many
there are altogether: about 1,000 if it is not set. `HDFM_CASE=npz:17` tries one case alone.
"""

import contextlib
import gzip
import hashlib
import io
import json
import os
import pickle
import random
import resource
import shutil
import struct
import sys
import time
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import EXAMPLES, longest, status_of, tally
from damage import encoded
from mutants import HOSTILE, changed, changed_json
from PIL import Image

from hdfm.checkpoint import newest_checkpoint, save_checkpoint
from hdfm.config import PRESETS
from hdfm.data import ImageData
from hdfm.fashion import idx_bytes, read_idx, unpacked
from hdfm.features import (
    extractor,
    load_reference,
    read_weights,
    reference_statistics,
    save_reference,
)
from hdfm.files import read_npz
from hdfm.folders import check_folder, open_images
from hdfm.hub import FlowModel, open_model
from hdfm.page import page_of
from hdfm.parallel import is_mendable
from hdfm.pictures import BadImage, center_crop, open_image
from hdfm.run import RunFolder
from hdfm.train import fit
from hdfm.words import one_line

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX names and limits")
SECONDS = 5
MEGABYTES = 700
COUNT = tally("files from strangers")
TARGETS = {}  # name -> (share of the cases, what prepares it)


def target(share):
    """A decorator: a generator function of a folder, which yields a function of dice: one case."""

    def note(prepare):
        TARGETS[prepare.__name__] = (share, prepare)
        return prepare

    return note


# what is watched


class Guard:
    """What Python says that it does: what is run, and what is written outside a folder."""

    RUN = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class")
    RUN += ("socket.connect", "socket.getaddrinfo", "webbrowser.open")
    TOUCHED = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink")
    TOUCHED += ("os.chmod", "os.truncate", "shutil.rmtree")
    folder = None
    seen = ()

    def __call__(self, event, args):
        if self.folder is None:
            return
        if event in self.RUN:
            self.seen.append((event, str(args)[:100]))
        if event in ("os.link", "os.symlink"):
            args = args[1:]
        written = event == "open" and (args[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if (written or event in self.TOUCHED) and isinstance(args[0], (str, bytes, os.PathLike)):
            place = os.fsdecode(args[0])
            within = place.startswith((str(self.folder), os.devnull))
            if not within and os.path.isabs(place):  # others are below an open folder
                self.seen.append((event, place))


guard = Guard()
sys.addaudithook(guard)


def peak():
    unit = 1024 if sys.platform == "linux" else 1024**2
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def run_case(name, case, one):
    """Try one case; a string that says what is wrong with what happens, or None."""
    dice = random.Random(f"{name} {case}")
    before = peak()
    begin = time.perf_counter()
    wrong = None
    COUNT["cases"] += 1
    try:
        wrong = one(dice)
    except Exception as error:
        COUNT["refused"] += 1
        line = one_line(error)
        if not is_mendable(error) or len(line) > 1200 or not line:
            wrong = line[:500]
    seconds = time.perf_counter() - begin
    longest(COUNT, seconds, f"{name}:{case}")
    if seconds > SECONDS:
        wrong = f"{seconds:.1f} s"
    if peak() - before > MEGABYTES:
        wrong = f"{peak() - before:.0f} MB"
    return wrong


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with valid files in it, and things beside it that nobody may touch."""
    outside = tmp_path_factory.mktemp("hostile")
    (outside / "precious.txt").write_text("precious")
    os.environ["HF_DATASETS_CACHE"] = str(outside / "home" / "cache")
    (outside / "home").mkdir()
    return outside / "home"


# runs, exported folders and their files


def digits(n=40):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(n, 1, 8, 8, generator=generator) * 2 - 1
    return ImageData("digits", images, torch.arange(n) % 10, 10, features="pixels")


def few_steps(folder):
    """A run of two steps."""
    short = dict(steps=2, batch_size=4, sample_steps=1, sample_rows=1, save_every=1, log_every=1)
    config = PRESETS["digits"].replace(**short, sample_every=2, proxy_every=0, warmup=1)
    return RunFolder(fit(config, folder, "digits", data=digits()))


def restoring(file):
    """A function that writes other bytes into a file, and what puts the right ones back."""
    body = file.read_bytes()
    return body, lambda: file.write_bytes(body)


@target(2)
def configs(home):
    run = few_steps(home / "configs")
    body, restore = restoring(run.config_file)

    def one(dice):
        run.config_file.write_bytes(changed_json(dice, body))
        try:
            run.record()
            if dice.random() < 0.3:
                loaded = run.load()
                assert loaded.model is not None
            if "<script>alert" in page_of(run):
                return "a script on the page"
        finally:
            restore()

    yield one


@target(1)
def logs(home):
    run = few_steps(home / "logs")
    run.bad_file.write_text('{"a.jpg": "truncated"}')
    run.evaluation_file.write_text(json.dumps(EVALUATION))
    run.holder_file.write_text('{"host": "a", "process": 3, "since": "today"}')
    names = [run.metrics_file, run.bad_file, run.evaluation_file, run.holder_file]
    bodies = {file: file.read_bytes() for file in names}

    def one(dice):
        file = dice.choice(names)
        change = changed if file == run.metrics_file and dice.random() < 0.5 else by_lines
        file.write_bytes(change(dice, bodies[file]))
        try:
            assert all(isinstance(row["step"], int) for row in run.metrics())
            assert run.held()
            if "<script>alert" in page_of(run):
                return "a script on the page"
            run.rewind(1)
            run.bad_images()
        finally:
            for each in names:
                each.write_bytes(bodies[each])

    yield one


EVALUATION = {
    "generated_images": 40,
    "frechet": 3.5,
    "features": {"name": "pixels", "frechet": 1.5, "real_halves": {"frechet": 0.2}},
    "real": {"frechet": 0.1},
    "protocol": {"samples": 40, "steps": 2},
    "model": {"train_steps": 2, "sha256": "0" * 64},
}


def by_lines(dice, body):
    """JSON, or lines of JSON, of which one is changed."""
    lines = body.splitlines() if b"\n{" in body else [body]
    n = dice.randrange(len(lines))
    return b"\n".join([*lines[:n], changed_json(dice, lines[n]), *lines[n + 1 :]]) + b"\n"


def head_of(body):
    """The bytes of a safetensors file that describe the others."""
    return 8 + struct.unpack("<Q", body[:8])[0]


def changed_tensors(dice, body):
    """A safetensors file with another header, other metadata, or other bytes anywhere."""
    head = head_of(body)
    what = dice.randrange(4)
    if what == 0:
        return changed(dice, body)
    if what == 1:
        return changed(dice, body, head)
    text = changed_json(dice, body[8:head])
    if what == 2:
        told = json.loads(body[8:head])
        said = told.setdefault("__metadata__", {}).get("hdfm", "{}")
        told["__metadata__"]["hdfm"] = changed_json(dice, said.encode()).decode(errors="replace")
        text = json.dumps(told).encode()
    return struct.pack("<Q", len(text)) + text + body[head:]


def same(found, right):
    return found.keys() == right.keys() and all(found[k].equal(v) for k, v in right.items())


@target(2)
def weights(home):
    run = few_steps(home / "weights")
    file = run.weights_file(run.config)
    right = run.load().model.state_dict()
    body, restore = restoring(file)

    def one(dice):
        file.write_bytes(changed_tensors(dice, body))
        try:
            if not same(run.load().model.state_dict(), right):
                return "other weights were loaded"
        finally:
            restore()

    yield one


@target(3)
def checkpoints(home):
    folder = home / "checkpoints"
    tensors = {"model/w": torch.arange(50.0), "optimizer/w/step": torch.tensor(3.0)}
    place = save_checkpoint(folder, 3, tensors, ranks=1)
    bodies = {file: file.read_bytes() for file in place.iterdir()}

    def one(dice):
        for file in dice.sample(list(bodies), dice.choice([1, 1, 2])):
            change = changed_json if file.suffix == ".json" else changed_tensors
            file.write_bytes(change(dice, bodies[file]))
        try:
            found, info, problems = newest_checkpoint(folder)
            if found is not None and not same(found, tensors):
                return "other tensors were loaded"
        finally:
            shutil.rmtree(folder)
            place.mkdir(parents=True)
            for file, body in bodies.items():
                file.write_bytes(body)

    yield one


def small_model():
    torch.manual_seed(0)
    network = dict(image_size=8, patch_size=4, channels=1, num_classes=3, depth=1, width=16)
    network |= dict(heads=2, bottleneck=8, context_tokens=2, context_start=0)
    return FlowModel(network, dict(kind="heat", shape=[8, 8]), dict(steps=2), dict(data="digits"))


@target(4)
def strangers(home):
    """A folder as from the Hub."""
    folder = home / "strangers"
    small_model().save_pretrained(folder)
    names = [folder / "config.json", folder / "model.safetensors"]
    bodies = {file: file.read_bytes() for file in names}

    def one(dice):
        for file in dice.sample(names, dice.choice([1, 1, 1, 2])):
            change = changed_json if file.suffix == ".json" else changed_tensors
            file.write_bytes(change(dice, bodies[file]))
        try:
            loaded = open_model(str(folder))
            if loaded.sampling.steps < 50:
                images = FlowModel.from_pretrained(str(folder)).sample(count=2)
                if not images.isfinite().all():
                    return "images that are not finite"
        finally:
            for each in names:
                each.write_bytes(bodies[each])

    yield one


@target(1)
def statistics(home):
    file = home / "statistics.safetensors"
    save_reference(file, reference_statistics(digits(), extractor("modes"), progress=None))
    right = load_reference(file)
    right = [right.mean.clone(), right.covariance.clone(), right.rows.clone()]
    body, _ = restoring(file)

    def one(dice):
        file.write_bytes(changed_tensors(dice, body))
        found = load_reference(file)
        read = (found.mean, found.covariance, found.rows)
        if not all(a.equal(b) for a, b in zip(read, right)):
            return "other numbers were loaded"

    yield one


# pictures


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@lru_cache
def zeros(count):
    """So many zeros, packed."""
    return zlib.compress(bytes(count), 9)


def png_of_parts(dice):
    """A PNG file with right checksums and wrong parts: sizes, ratios and texts of any kind."""
    side = dice.choice([0, 1, 8, 10**4, 2**20, 2**31 - 1, 2**31, 2**32 - 1])
    other = dice.choice([side, 1, 8, 20_000])
    depth, colour = dice.choice([(1, 0), (8, 2), (16, 6), (8, 3), (3, 7)])
    header = struct.pack(">IIBBBBB", side, other, depth, colour, 0, 0, dice.choice([0, 1]))
    pixels = zeros(dice.choice([10, 10**6, 10**8]))
    text = dice.choice([b"", b"Comment\0\0\0\0\0" + zeros(10**8)])
    kind = dice.choice([b"iTXt", b"zTXt", b"iCCP", b"tRNS", b"eXIf", b"acTL"])
    parts = [chunk(kind, text)] if dice.random() < 0.5 else []
    parts += [chunk(b"IDAT", pixels)] * dice.choice([0, 1, 1, 3])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(parts) + chunk(b"IEND", b"")


def pictures_of_all_kinds():
    noise = np.random.default_rng(0).integers(0, 255, (40, 32, 3), np.uint8)
    image = Image.fromarray(noise)
    kinds = [encoded(image, kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")]
    animated = encoded(image, "WEBP", save_all=True, append_images=[image.rotate(90)])
    turned = Image.Exif()
    turned[0x0112] = 6
    return [*kinds, animated, encoded(image, "JPEG", exif=turned, progressive=True)]


@target(4)
def pictures(home):
    bodies = pictures_of_all_kinds()

    def one(dice):
        body = png_of_parts(dice) if dice.random() < 0.2 else changed(dice, dice.choice(bodies))
        try:
            image = open_image(body)
        except BadImage as error:
            COUNT["refused"] += 1
            return None if "\n" not in str(error) and len(str(error)) < 300 else str(error)
        assert image.mode == "RGB" and min(image.size) >= 8
        if image.width * image.height < 10**7:
            assert center_crop(image, 8).shape == (3, 8, 8)

    yield one


def any_name(dice):
    """Bytes that a file may be called."""
    body = dice.randbytes(dice.choice([1, 3, 20, 200]))
    body = dice.choice([body, body, b"\n", b"\x1b[2J", b"-rf", b"a b", "ä☃".encode(), b"\\..\\"])
    return body.translate(None, b"/\0")[:200].strip(b".") or b"x"


@target(1)
def names(home):
    """Pictures of any name, and links that lead out of the folder."""
    good, *_ = pictures_of_all_kinds()
    outside = home.parent / "precious.txt"

    def one(dice):
        root = os.fsencode(home / "names")
        os.mkdir(root)
        try:
            for _ in range(dice.randint(1, 4)):
                folder = os.path.join(root, any_name(dice))
                os.makedirs(folder, exist_ok=True)
                file = os.path.join(folder, any_name(dice) + dice.choice([b".png", b".JPG", b""]))
                if os.path.lexists(file):
                    continue
                if dice.random() < 0.3:
                    os.symlink(dice.choice([outside, b"..", b".", b"/dev/zero", file]), file)
                else:
                    Path(os.fsdecode(file)).write_bytes(good if dice.random() < 0.5 else b"x")
            place = os.fsdecode(root)
            found = check_folder(place, 8)
            json.dumps(found).encode()
            data = open_images(place, 8)
            assert data.read([0]).images.shape == (1, 3, 8, 8)
        finally:
            shutil.rmtree(root)

    yield one


# archives


class Bomb:
    """What a pickle would run."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.system, (f"touch {self.folder}/executed",)


def npy(dice, home):
    """An array's bytes, as they should be or not."""
    file = io.BytesIO()
    what = dice.randrange(5)
    if what == 0:
        np.save(file, np.array([Bomb(home), 1], dtype=object), allow_pickle=True)
        return file.getvalue()
    if what == 1:
        return b"\x93NUMPY" + dice.randbytes(2) + pickle.dumps(Bomb(home))
    shape = dice.choice([(2, 8, 8, 1), (2, 8, 8, 3), (10**6, 10**6), (-1,), (2**62, 4), (0,), ()])
    kind = dice.choice(["|u1", "<f8", "|O", "|S9999999", "<U2", "V8", "<M8[s]", "zzz"])
    header = repr(dict(descr=kind, fortran_order=dice.random() < 0.2, shape=shape)).encode()
    header = dice.choice([header, b"(" * 5000, b"__import__('os').system('x')", header * 3])
    version = dice.choice([b"\1\0", b"\2\0", b"\3\0", b"\x09\0"])
    size = struct.pack("<H" if version[0] == 1 else "<I", len(header) + 1)
    return b"\x93NUMPY" + version + size + header + b"\n" + bytes(dice.choice([0, 128, 10**6]))


def zip_of(dice, home):
    """An archive of such arrays, with names that lead out of its folder."""
    file = io.BytesIO()
    packing = dice.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
    with zipfile.ZipFile(file, "w", packing) as packed:
        for _ in range(dice.randint(1, 4)):
            usual = dice.choice(["images", "images.npy", "labels.npy", "../../precious.txt"])
            name = dice.choice([usual, usual, "/images.npy", "a" * 300, "..\\x.npy", "\udc80"])
            try:
                packed.writestr(name, npy(dice, home))
            except (UnicodeError, ValueError):
                pass
    return file.getvalue()


def zip_bomb():
    """An archive of half a gigabyte of zeros."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        with packed.open("images.npy", "w") as bomb:
            for _ in range(50):
                bomb.write(bytes(10**7))
    return file.getvalue()


@pytest.mark.filterwarnings("ignore")
@target(4)
def npz(home):
    file = home / "x.npz"
    right = io.BytesIO()
    images = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 1), np.uint8)
    np.savez_compressed(right, images=images, labels=np.array([0, 1, 2]))
    bomb = zip_bomb()

    def one(dice):
        made = [zip_of(dice, home)] * 5 + [changed(dice, right.getvalue())] * 10 + [bomb]
        file.write_bytes(dice.choice(made))
        found, labels = read_npz(file)
        assert found.dtype == np.uint8 and found.ndim == 4 and len(found) == len(labels)

    yield one


@target(1)
def pickles(home):
    file = home / "x.pth"
    state = {"w": torch.arange(3.0)}
    bodies = []
    for thing in (state, Bomb(home), {"w": Bomb(home)}, [Bomb(home)]):
        stream = io.BytesIO()
        torch.save(thing, stream)
        bodies += [stream.getvalue(), pickle.dumps(thing)]

    def one(dice):
        body = dice.choice(bodies)
        body = body if dice.random() < 0.3 else changed(dice, body)
        file.write_bytes(body)
        found = read_weights(file, hashlib.sha256(body).hexdigest())
        assert isinstance(found, dict)

    yield one


@target(1)
def packed(home):
    """IDX files, packed or not."""
    file = home / "x.gz"
    right = idx_bytes(np.arange(60).reshape(3, 4, 5))
    bomb = gzip.compress(bytes(5 * 10**8), 1)

    def one(dice):
        body = changed(dice, right)
        body = dice.choice([body, gzip.compress(body), changed(dice, gzip.compress(right))])
        file.write_bytes(bomb if dice.random() < 0.05 else body)
        assert read_idx(unpacked(file)).dtype == np.uint8

    yield one


@target(1)
def hub_data(home):
    """A folder of the library `datasets`, from a stranger."""
    datasets = pytest.importorskip("datasets")
    folder = home / "data"
    good = pictures_of_all_kinds()[1]
    classes = datasets.ClassLabel(names=["a", "b"])
    features = datasets.Features(image=datasets.Image(), label=classes)
    rows = dict(image=[dict(bytes=good, path=None)] * 3, label=[0, 1, 0])
    datasets.Dataset.from_dict(rows, features).save_to_disk(folder)
    bodies = {file: file.read_bytes() for file in folder.iterdir()}

    def one(dice):
        for file in dice.sample(sorted(bodies), dice.choice([1, 1, 2])):
            change = changed_json if file.suffix == ".json" else changed
            file.write_bytes(change(dice, bodies[file]))
        try:
            data = open_images(f"hf:{folder}", 8)
            data.read(range(len(data)))
        finally:
            for file in folder.iterdir():
                if file not in bodies:
                    file.unlink()
            for file, body in bodies.items():
                file.write_bytes(body)

    yield one


# the command


@target(1)
def words(home):
    """Words of a command that nobody would type."""
    verbs = dict(sample="count steps solver guidance ema label seed device out".split())
    verbs["train"] = "steps lr ema model path data image-size blur-strength seed out".split()
    verbs["evaluate"] = "samples steps data features batch protocol seed".split()
    verbs["check"] = "size min-side".split()

    def one(dice):
        verb = dice.choice(list(verbs))
        given = [verb, str(home / "nothing")]
        for option in dice.sample(verbs[verb], 2):
            value = str(dice.choice(HOSTILE)).replace("\0", "").replace("\ud800", "\udc80")
            given += [f"--{option}", value[:100]]
        with contextlib.redirect_stderr(io.StringIO()) as said:
            status = status_of(*given)
        lines = said.getvalue().strip().splitlines()
        if status != 2 or len(lines) != 1 or "unexpected" in lines[0]:
            return f"{given}: {status}, {lines}"
        COUNT["refused"] += 1

    yield one


def cases_of(name):
    """The numbers of the cases of a target."""
    only = os.environ.get("HDFM_CASE", "").split(":")
    if only[0]:
        return [int(only[1])] if only[0] == name else []
    total = sum(share for share, _ in TARGETS.values())
    return range(max(1, -(-EXAMPLES * TARGETS[name][0] // total)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_strangers_are_refused_in_one_line(home, name):
    cases = cases_of(name)
    if not cases:
        return
    one = next(TARGETS[name][1](home))
    wrong = {}
    guard.seen = []
    guard.folder = home
    try:
        for case in cases:
            if found := run_case(name, case, one):
                wrong[f"{name}:{case}"] = found
            if guard.seen:
                wrong[f"{name}:{case}"] = str(guard.seen)
                guard.seen = []
    finally:
        guard.folder = None
    COUNT["unrefused"] += len(wrong)
    lines = "\n".join(f"{case} {found}" for case, found in wrong.items())
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n{lines}"
    assert not (home / "executed").exists()
    assert {path.name for path in home.parent.iterdir()} == {"precious.txt", "home"}
    assert (home.parent / "precious.txt").read_text() == "precious"
