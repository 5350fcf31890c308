"""Checkpoints of networks that are spread over ranks: whoever dies, whatever fails, and however
many there are."""

import os
import random
import subprocess
import sys
import time

import pytest
import torch
from conftest import files
from processes import codes, finish, start
from test_crashes import FAULTY, last_step, options, wait_for

from hdfm.checkpoint import list_checkpoints, newest_checkpoint
from hdfm.parallel import can_shard
from hdfm.parts import rows
from hdfm.plan import part_numbers
from hdfm.run import RunFolder
from hdfm.vit import build_model

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals"),
    pytest.mark.skipif(not can_shard(torch.device("cpu")), reason="cannot shard on a CPU"),
]


def losses(run):
    return [(row["step"], row["loss"]) for row in RunFolder(run).metrics()]


@pytest.mark.long
def test_kills_while_parts_are_written(tmp_path):
    """Of two ranks that train on while they write, one or both are killed, four times: there is
    always a whole checkpoint, and what comes out is what one gets without kills."""
    words = ["digits", *options(30), "--shard", "--resume", "auto"]
    run = tmp_path / "run"
    straight = tmp_path / "straight"
    assert codes(start(FAULTY, "none", *words, "--out", straight, size=2)) == [0, 0]
    dice = random.Random(0)
    for _ in range(4):
        before = last_step(run)
        ranks = start(FAULTY, "slow", *words, "--out", run, size=2)
        wait_for(lambda: last_step(run) not in (0, before), ranks)
        time.sleep(dice.uniform(0.0, 0.8))
        assert any(p.poll() is None for p in ranks), "finished before the fourth kill"
        for p in dice.choice([ranks, ranks[:1], ranks[1:]]):
            p.kill()
        time.sleep(0.05)
        for p in ranks:
            p.kill()
        finish(ranks)
        if list_checkpoints(run / "checkpoints"):
            assert newest_checkpoint(run / "checkpoints")[2] == []
    assert codes(start(FAULTY, "none", *words, "--out", run, size=2)) == [0, 0]
    found = files(run)
    expected = files(straight)
    names = [name for name in expected if name.startswith("checkpoints/step-0000030/state")]
    assert len(names) == 2
    for name in ("model.safetensors", "model-0.5.safetensors", *names):
        assert found[name] == expected[name], name
    assert losses(run) == losses(straight)


def test_a_full_disk_of_one_rank_is_known_to_all(tmp_path):
    words = ["digits", *options(12, save_every=3), "--shard", "--out", tmp_path]
    (code, first), (other, second) = finish(start(FAULTY, "disk:1:6", *words, size=2))
    assert (code, other) == (2, 2)
    assert "step-0000006 could not be written (rank 1: " in first and "make room" in first
    assert "error" not in second, second
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-0000003"]
    assert newest_checkpoint(tmp_path / "checkpoints")[1]["step"] == 3
    assert codes(start(FAULTY, "none", *words, "--resume", "auto", size=2)) == [0, 0]
    assert newest_checkpoint(tmp_path / "checkpoints")[1]["step"] == 12


@pytest.mark.long
def test_a_run_goes_on_however_it_is_spread(tmp_path):
    """One rank, then two that share, then two groups of two: the training of one rank alone."""
    common = {"micro_batch": 4, "schedule": "constant", "keep": 9}
    turns = [(1, 4, []), (2, 8, ["--shard"]), (4, 12, ["--shard", "--shard-group", "2"])]
    run = tmp_path / "run"
    straight = tmp_path / "straight"
    for size, steps, more in turns:
        words = ["digits", *options(steps, **common), *more, "--out", run, "--resume", "auto"]
        assert codes(start("-m", "hdfm.train", *words, size=size)) == [0] * size
    words = ["digits", *options(12, **common), "--out", straight]
    assert codes(start("-m", "hdfm.train", *words)) == [0]
    parts = [len(list((run / f"checkpoints/step-{n:07d}").glob("state-*"))) for n in (4, 8, 12)]
    assert parts == [0, 2, 2]  # a copy writes nothing
    found, info, _ = newest_checkpoint(run / "checkpoints")
    expected = newest_checkpoint(straight / "checkpoints")[0]
    assert info["step"] == 12 and info["ranks"] == 4 and found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-5)


def test_a_damaged_part_falls_back_to_the_checkpoint_before(tmp_path):
    words = ["digits", *options(8), "--shard", "--out", tmp_path, "--resume", "auto"]
    assert codes(start("-m", "hdfm.train", *words, size=2)) == [0, 0]
    expected = files(tmp_path)
    newest = list_checkpoints(tmp_path / "checkpoints")[0]
    state = newest / "state-00002-of-00002.safetensors"
    data = state.read_bytes()
    state.write_bytes(data[:-9] + bytes([data[-9] ^ 16]) + data[-8:])
    (code, first), (other, _) = finish(start("-m", "hdfm.train", *words, size=2))
    assert (code, other) == (0, 0)
    assert "state-00002-of-00002.safetensors is damaged" in first
    assert "continuing from step 6" in first
    assert state.read_bytes() == data
    assert files(tmp_path)["model.safetensors"] == expected["model.safetensors"]


SIMULATION = """
import sys
import resource
from pathlib import Path
import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from hdfm.parallel import Ranks, shard, shard_mesh
from hdfm.parts import write_tensors
from hdfm.spread import my_part, share_of
from hdfm.vit import build_model

rank, size, group, file = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])

class Sends(TorchDispatchMode):
    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        assert operation.namespace != "c10d", operation
        return operation(*args, **(kwargs or {}))

dist.init_process_group("fake", rank=rank, world_size=size, store=FakeStore())
ranks = Ranks(rank, size)
with torch.device("meta"): model = build_model("JiT-H/16", 256)
shard(model, ranks, mesh=shard_mesh(ranks, group))
held = sum(weight.to_local().numel() for weight in model.parameters())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
written = 0
if group == size:                                   # a part of a thousand is small enough to have
    model.to_empty(device="cpu")
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    for weight in model.parameters(): weight.grad = torch.zeros_like(weight)
    optimizer.step()
    with Sends():                                   # nothing is gathered in order to save
        write_tensors(file, my_part(model, [], optimizer, share_of(model)))
    written = file.stat().st_size
more = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
print(held, written, more, *share_of(model))
"""


def simulated(tmp_path, rank, size, group):
    """(numbers held, bytes written, memory taken, part, parts, copy) of one rank of JiT-H/16."""
    words = [sys.executable, "-c", SIMULATION, rank, size, group, tmp_path / "part.safetensors"]
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return map(int, done.stdout.split())


def test_the_largest_preset_on_a_thousand_ranks(tmp_path):
    """No rank ever holds the whole, nor gathers it to save: with the `fake` process group, and
    weights that are never made whole."""
    with torch.device("meta"):
        shapes = [tuple(weight.shape) for weight in build_model("JiT-H/16", 256).parameters()]
    whole = part_numbers(shapes, 1)
    assert whole == 952_514_368
    for rank in (0, 1023):
        held, written, memory, *share = simulated(tmp_path, rank, 1024, 1024)
        assert share == [rank, 1024, 0]
        assert held == (part_numbers(shapes, 1024) if rank == 0 else 0)
        steps = 4 * len(shapes) if rank == 0 else 0
        assert 0 <= written - 4 * 3 * held - steps < 1e6  # weights, two moments; and a header
        assert memory < 2e8 < 4 * whole / 10
    held, _, _, *share = simulated(tmp_path, 803, 1024, 8)
    assert share == [3, 8, 100] and abs(held - whole / 8) < 0.001 * whole / 8


def test_parts_of_all_ranks_make_the_whole():
    """By the rule that files and FSDP2 share, for each number of ranks and each shape of H."""
    with torch.device("meta"):
        lengths = {len(weight) for weight in build_model("JiT-H/16", 256).parameters()}
    for ways in (1, 2, 7, 8, 64, 1000, 1024):
        for length in lengths:
            ends = [rows(length, ways, part) for part in range(ways)]
            assert ends[0][0] == 0 and ends[-1][1] == length
            assert all(a[1] == b[0] for a, b in zip(ends, ends[1:]))
