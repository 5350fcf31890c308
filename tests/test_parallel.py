"""The trainer on several ranks, on damaged folders, and at ImageNet's size: what must be equal
is, and what must be refused is."""

import ctypes
import json
import os
import subprocess
import sys

import pytest
import torch
from PIL import Image

import damage
from conftest import hdfm
from processes import start
from hdfm.checkpoint import load_checkpoint
from hdfm.data import photographs
from hdfm.parallel import can_shard
from hdfm.run import RunFolder

sharding = pytest.mark.skipif(
    not can_shard(torch.device("cpu")), reason="this PyTorch cannot shard on a CPU"
)
SMALL = "--steps 4 --batch-size 16 --warmup 2 --save-every 2 --sample-every 4 --log-every 1".split()
SMALL += "--sample-steps 2 --sample-rows 1".split()


def torchrun(ranks, *words):
    """`hdfm train` on several ranks of this machine, by PyTorch's launcher."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={ranks}",
        "-m",
        "hdfm.train",
    ]
    done = subprocess.run(
        [*command, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=400,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]


def ranks(size, *words):
    """The same without the launcher, forked; returns what the first rank has printed."""
    processes = start("-m", "hdfm.train", *words, size=size)
    said = [process.communicate(timeout=400) for process in processes]
    assert [process.returncode for process in processes] == [0] * size, said[0][1][-3000:]
    return said[0][0]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder shaped like ImageNet's training set, very small."""
    root = tmp_path_factory.mktemp("imagenet")
    photos = list(photographs().values())
    for c, name in enumerate(("n01440764", "n01443537", "n02123045")):
        (root / name).mkdir()
        for i in range(6):
            x = 30 * c + 5 * i
            y = 10 * i
            Image.fromarray(photos[c][y : y + 200 + i, x : x + 300]).save(
                root / name / f"{name}_{i}.JPEG"
            )
    return root


def test_ranks_and_sharding_change_nothing_but_rounding(tmp_path):
    """One rank, two replicated, two sharded, eight: with the same micro-batch it is the same
    training."""
    common = ["digits", *SMALL, "--micro-batch", "2", "--ema", "0.9", "0.5"]
    assert hdfm(*common, "--out", tmp_path / "1", module="hdfm.train").returncode == 0
    torchrun(2, *common, "--out", tmp_path / "2")
    if can_shard(torch.device("cpu")):
        ranks(2, *common, "--out", tmp_path / "2 sharded", "--shard")
    ranks(8, *common, "--out", tmp_path / "8")
    alone, info = load_checkpoint(tmp_path / "1" / "checkpoints" / "step-0000004")
    for name in sorted({path.name for path in tmp_path.iterdir()} - {"1"}):
        state, info = load_checkpoint(tmp_path / name / "checkpoints" / "step-0000004")
        assert info["ranks"] == int(name[0]) and state.keys() == alone.keys()
        for key in alone:
            torch.testing.assert_close(
                state[key], alone[key], rtol=1e-3, atol=1e-6, msg=lambda m: f"{name}: {key}: {m}"
            )
    if can_shard(torch.device("cpu")):
        one, other = (
            (tmp_path / name / "model.safetensors").read_bytes() for name in ("2", "2 sharded")
        )
        assert one == other  # the same additions in the same order


@sharding
def test_a_sharded_run_goes_on_alone(tmp_path):
    common = ["digits", *SMALL, "--micro-batch", "8", "--schedule", "constant"]
    ranks(2, *common, "--out", tmp_path / "run", "--shard")
    done = hdfm(
        *common, "--out", tmp_path / "run", "--resume", "auto", "--steps", "8", module="hdfm.train"
    )
    assert done.returncode == 0 and "8 of 8 steps done" in done.stdout, done.stderr
    assert (
        hdfm(
            *common, "--out", tmp_path / "straight", "--steps", "8", module="hdfm.train"
        ).returncode
        == 0
    )
    loaded = [RunFolder(tmp_path / name).load().model for name in ("run", "straight")]
    ours, straight = (model.state_dict() for model in loaded)
    for name in ours:
        torch.testing.assert_close(ours[name], straight[name], rtol=1e-3, atol=1e-6)


@sharding
def test_a_mixture_is_spread_as_it_is_replicated(tmp_path):
    """Its stages are of several grids, and the coarse ones leave the finest expert alone."""
    common = ["digits", *SMALL, "--micro-batch", "4"]
    common += ["--path", "lapflow-staged", "--scales", "2", "--model", "MoT-XS/2"]
    found = []
    for name, more in (("replicated", []), ("spread", ["--shard"])):
        ranks(2, *common, *more, "--out", tmp_path / name)
        found.append(RunFolder(tmp_path / name).load().model.state_dict())
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-9)


@sharding
def test_sharded_bf16_on_four_ranks_with_the_imagenet_preset(pictures):
    printed = ranks(
        4,
        "imagenet256",
        "--model",
        "JiT-S/16",
        "--image-size",
        "64",
        "--data",
        pictures,
        "--dry-run",
        "--shard",
        "--workers",
        "0",
    )
    assert (
        "dry run of imagenet256: training, saving, resuming, loading, sampling and evaluating work"
        in printed
    )


@pytest.mark.long
def test_dry_run_of_imagenet256(pictures):
    """The real size: JiT-B/16 at 256 pixels, a hundred and thirty million weights."""
    done = hdfm(
        "train",
        "imagenet256",
        "--data",
        pictures,
        "--dry-run",
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        fresh=True,
    )
    assert done.returncode == 0 and "dry run of imagenet256" in done.stdout, done.stderr[-2000:]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """(a damaged folder, {kind of damage: name}, a place to write)."""
    place = tmp_path_factory.mktemp("damaged")
    return place / "pictures", damage.make_folder(place / "pictures"), place


def without_override():
    """Give up root's right to read what no one may read: CAP_DAC_OVERRIDE and
    CAP_DAC_READ_SEARCH, for good; a fresh process begins without it, a forked one would not."""
    if os.getuid() == 0:
        for capability in (1, 2):
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def train_on_folder(root, out, *more):
    words = [
        "--data",
        root,
        "--out",
        out,
        "--image-size",
        "16",
        "--model",
        "JiT-XS/4",
        *SMALL,
        "--steps",
        "40",
        "--batch-size",
        "32",
        "--precision",
        "fp32",
        "--no-compile",
        "--proxy-every",
        "0",
        *more,
    ]
    return hdfm("train", "folder", *words, fresh=True, preexec_fn=without_override)


def test_a_damaged_folder_is_trained_on_if_one_allows_it(damaged):
    root, kinds, place = damaged
    done = train_on_folder(root, place / "run", "--max-bad", "0.05", "--workers", "2")
    assert done.returncode == 0, done.stderr[-2000:]
    named = json.loads((place / "run" / "bad_files.json").read_text())
    for kind, words in damage.BAD.items():  # 40 steps of 32 images have met each of 500
        assert words in named[kinds[kind]] and kinds[kind] in done.stderr, kind
    assert len(named) == len(damage.BAD)
    assert (
        train_on_folder(root, place / "again", "--max-bad", "0.05", "--workers", "0").returncode
        == 0
    )
    assert (place / "run" / "model.safetensors").read_bytes() == (
        place / "again" / "model.safetensors"
    ).read_bytes()


def test_a_damaged_folder_stops_the_run_by_default(damaged):
    root, kinds, place = damaged
    done = train_on_folder(root, place / "stopped", "--workers", "0")
    assert (
        done.returncode == 2
        and "images cannot be read, more than max_bad=0.01 allows" in done.stderr
    )
    assert len(json.loads((place / "stopped" / "bad_files.json").read_text())) > 5


def test_another_folder_is_another_run(pictures, tmp_path):
    words = [
        "train",
        "folder",
        "--data",
        pictures,
        "--image-size",
        "16",
        "--model",
        "JiT-XS/4",
        *SMALL,
        "--precision",
        "fp32",
        "--no-compile",
        "--workers",
        "0",
        "--proxy-every",
        "0",
        "--out",
        tmp_path / "run",
    ]
    assert hdfm(*words).returncode == 0
    extra = pictures / "n01440764" / "zzz.png"
    Image.new("RGB", (32, 32)).save(extra)
    try:
        done = hdfm(*words, "--resume", "auto")
    finally:
        extra.unlink()
    assert (
        done.returncode == 2
        and "other images" in done.stderr
        and "with 18 there" in done.stderr
        and "with 19 here" in done.stderr
    )
    assert hdfm(*words, "--resume", "auto").returncode == 0
