"""Weights of JiT: compared with a second network, written from the names alone; and what is
refused."""

import argparse
import json
import math
import os
import pickle
import shutil
import zipfile

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from conftest import TINY, status_of
from torch import nn

from hdfm.checkpoint import CheckpointError
from hdfm.config import PRESETS, build
from hdfm.hub import FlowModel
from hdfm.jit_weights import jit_shapes, model_name, open_jit, read_jit
from hdfm.path import HeatProbPath
from hdfm.restore import restore
from hdfm.reverse import invert
from hdfm.run import RunFolder
from hdfm.sampling import SOLVERS, time_grid
from hdfm.train import Objective, fit

# JiT from its names: nothing of hdfm is used from here to `checkpoint`.

B = dict(depth=12, width=768, heads=12, waist=128, start=4, tokens=32, classes=1000, colours=3)
B16 = dict(B, patch=16, grid=16)
B32 = dict(B, patch=32, grid=16)
SMALL = dict(depth=3, width=32, heads=2, waist=8, start=1, tokens=2, classes=5, colours=3)
SMALL |= dict(patch=4, grid=3)
DIGITS = dict(depth=4, width=64, heads=4, waist=32, start=1, tokens=4, classes=10, colours=1)
DIGITS |= dict(patch=2, grid=4)  # the sizes of JiT-XS/2


def positions(width, grid):
    """Sines and cosines of the column, then those of the row: `[1, grid², width]`."""
    rows = []
    for row in range(grid):
        for column in range(grid):
            numbers = []
            for place in (column, row):
                angles = [place / 10000 ** (4 * i / width) for i in range(width // 4)]
                numbers += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
            rows.append(numbers)
    return torch.tensor([rows])


def rotary(s, context):
    """Cosines and sines `[context + grid², head]`; each angle stands twice, the row's first."""
    head = s["width"] // s["heads"]
    speeds = 10000.0 ** (-torch.arange(0, head // 2, 2, dtype=torch.float64) / (head // 2))
    place = torch.arange(s["grid"] ** 2, dtype=torch.float64)[:, None]
    angles = torch.cat([(place // s["grid"]) * speeds, (place % s["grid"]) * speeds], 1)
    angles = torch.cat([torch.zeros(context, head // 2, dtype=torch.float64), angles])
    angles = angles.repeat_interleave(2, 1)
    return angles.cos().float(), angles.sin().float()


def names_and_shapes(s):
    """{name: shape} of all tensors of a JiT."""
    d = s["width"]
    hidden = int(8 * d / 3)
    out = s["patch"] ** 2 * s["colours"]

    def linear(name, rows, columns):
        return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}

    found = {
        "pos_embed": (1, s["grid"] ** 2, d),
        "in_context_posemb": (1, s["tokens"], d),
        "x_embedder.proj1.weight": (s["waist"], s["colours"], s["patch"], s["patch"]),
        "x_embedder.proj2.weight": (d, s["waist"], 1, 1),
        "x_embedder.proj2.bias": (d,),
        "y_embedder.embedding_table.weight": (s["classes"] + 1, d),
        "final_layer.norm_final.weight": (d,),
        **linear("t_embedder.mlp.0", d, 256),
        **linear("t_embedder.mlp.2", d, d),
        **linear("final_layer.linear", out, d),
        **linear("final_layer.adaLN_modulation.1", 2 * d, d),
    }
    for n in range(s["depth"]):
        block = f"blocks.{n}"
        found |= {f"{block}.norm{i}.weight": (d,) for i in (1, 2)}
        found |= {f"{block}.attn.{x}_norm.weight": (d // s["heads"],) for x in "qk"}
        found |= linear(f"{block}.attn.qkv", 3 * d, d) | linear(f"{block}.attn.proj", d, d)
        found |= linear(f"{block}.mlp.w12", 2 * hidden, d) | linear(f"{block}.mlp.w3", d, hidden)
        found |= linear(f"{block}.adaLN_modulation.1", 6 * d, d)
    return {f"net.{name}": shape for name, shape in found.items()}


def random_state(s, seed=0):
    """Random weights by their names; no part of the network is without effect."""
    dice = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in names_and_shapes(s).items():
        state[name] = torch.empty(shape).normal_(generator=dice)
        fan = math.prod(shape[1:]) if len(shape) > 1 and "embed" not in name[4:] else 16
        state[name] /= math.sqrt(fan)
        if "norm" in name:
            state[name] += 1
    state["net.pos_embed"] = positions(s["width"], s["grid"])
    return state


def theirs(state, s, z, t, labels):
    """The clean image that a JiT with those weights sees in `z` at the times `t` `[B]`."""
    w = {name.removeprefix("net."): value for name, value in state.items()}
    d, heads, grid, patch = (s[name] for name in ("width", "heads", "grid", "patch"))

    def linear(name, x):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(name, x):
        return x * (x.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt() * w[f"{name}.weight"]

    def turn(x, tables):
        cos, sin = tables
        odd = torch.stack([-x[..., 1::2], x[..., 0::2]], -1).flatten(-2)
        return x * cos + odd * sin

    def attend(name, x, tables):
        q, k, v = linear(f"{name}.qkv", x).unflatten(-1, (3, heads, d // heads)).unbind(2)
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        q, k = (turn(norm(f"{name}.{n}_norm", part), tables) for n, part in (("q", q), ("k", k)))
        weights = (q @ k.transpose(-1, -2) / math.sqrt(d // heads)).softmax(-1)
        return linear(f"{name}.proj", (weights @ v).transpose(1, 2).flatten(2))

    speeds = torch.exp(-math.log(10000) * torch.arange(128) / 128)
    angles = t[:, None] * speeds
    h = F.silu(linear("t_embedder.mlp.0", torch.cat([angles.cos(), angles.sin()], 1)))
    label = w["y_embedder.embedding_table.weight"][labels]
    condition = F.silu(linear("t_embedder.mlp.2", h) + label)
    x = F.conv2d(z, w["x_embedder.proj1.weight"], stride=patch)
    x = F.conv2d(x, w["x_embedder.proj2.weight"], w["x_embedder.proj2.bias"])
    x = x.flatten(2).transpose(1, 2) + w["pos_embed"]
    tables = rotary(s, 0)
    for n in range(s["depth"]):
        block = f"blocks.{n}"
        if n == s["start"]:
            x = torch.cat([label[:, None] + w["in_context_posemb"], x], 1)
            tables = rotary(s, s["tokens"])
        modulation = linear(f"{block}.adaLN_modulation.1", condition)[:, None]
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation.chunk(6, -1)
        h = norm(f"{block}.norm1", x) * (1 + scale1) + shift1
        x = x + gate1 * attend(f"{block}.attn", h, tables)
        h = norm(f"{block}.norm2", x) * (1 + scale2) + shift2
        gate, value = linear(f"{block}.mlp.w12", h).chunk(2, -1)
        x = x + gate2 * linear(f"{block}.mlp.w3", F.silu(gate) * value)
    shift, scale = linear("final_layer.adaLN_modulation.1", condition)[:, None].chunk(2, -1)
    x = norm("final_layer.norm_final", x[:, s["tokens"] :]) * (1 + scale) + shift
    x = linear("final_layer.linear", x)
    x = x.unflatten(1, (grid, grid)).unflatten(-1, (patch, patch, s["colours"]))
    return torch.einsum("byxhwc->bcyhxw", x).flatten(4, 5).flatten(2, 3)


def their_sampler(state, s, z, labels, steps, cfg, low, high, t_eps=0.05):
    """JiT's sampler: Heun, the last step Euler; guided after `low` (with it, if it is 0)."""

    def velocity(z, t):
        times = torch.full((len(z),), t)
        known, none = (
            (theirs(state, s, z, times, y) - z) / max(1 - t, t_eps)
            for y in (labels, torch.full_like(labels, s["classes"]))
        )
        scale = cfg if t < high and (low == 0 or t > low) else 1.0
        return none + scale * (known - none)

    for i in range(steps):
        t = i / steps
        after = (i + 1) / steps
        v = velocity(z, t)
        if i + 1 < steps:
            v = (v + velocity(z + v / steps, after)) / 2
        z = z + (after - t) * v
    return z


def checkpoint(file, state, s, **args):
    """A file like those that JiT's trainer leaves; `state` is its ema1."""
    said = dict(model="a model", img_size=s["grid"] * s["patch"], noise_scale=2.0, t_eps=0.05)
    said |= dict(cfg=2.9, interval_min=0.1, interval_max=1.0, num_sampling_steps=50)
    said |= dict(sampling_method="heun", proj_dropout=0.0, output_dir="x", data_path=None) | args
    sets = dict(model_ema1={k: nn.Parameter(v, False) for k, v in state.items()})
    sets |= dict(model=random_state(s, 7), model_ema2=random_state(s, 8))
    optimizer = dict(state={0: dict(step=torch.tensor(3.0))}, param_groups=[dict(lr=1e-3)])
    rest = dict(optimizer=optimizer, epoch=3, args=argparse.Namespace(**said))
    torch.save(sets | rest, file)
    return file


@pytest.fixture
def small(tmp_path):
    """(file, state) of a tiny checkpoint."""
    state = random_state(SMALL)
    return checkpoint(tmp_path / "checkpoint-last.pth", state, SMALL, in_context_start=1), state


@pytest.fixture
def on_digits(tmp_path):
    """(folder, state) of an imported network of the size of the preset `digits`."""
    state = random_state(DIGITS)
    file = checkpoint(tmp_path / "digits.pth", state, DIGITS, noise_scale=1.0)
    assert status_of("import", "jit", file, "--out", tmp_path / "jit") == 0
    return tmp_path / "jit", state


def apart(ours, others):
    """How far two tensors are apart, relative to the second."""
    return ((ours - others).norm() / others.norm()).item()


# parity


def compared(model, state, s, n):
    """How far our outputs are from theirs, for `n` images at times from 0 to 1."""
    dice = torch.Generator().manual_seed(1)
    side = s["grid"] * s["patch"]
    z = torch.randn(n, s["colours"], side, side, generator=dice)
    labels = torch.arange(n) * 3 % (s["classes"] + 1)
    times = torch.linspace(0, 1, n) if n > 1 else torch.tensor([0.4])
    with torch.no_grad():
        return apart(model.network(z, times, labels), theirs(state, s, z, times, labels))


def test_outputs_agree_with_another_network(small):
    file, state = small
    model = FlowModel.from_jit(file)
    assert compared(model, state, SMALL, 6) < 2e-6
    assert model.path.blur_strength == 0 and model.path.noise_scale == 2
    assert model.sampling.guidance_scale == 2.9 and model.about["model"] is None
    other = dict(state, **{"net.blocks.1.attn.k_norm.weight": torch.ones(16)})
    assert compared(model, other, SMALL, 6) > 1e-3, "the comparison must be able to fail"
    model.network.position = model.network.position.roll(16, -1)  # the row's half first
    assert compared(model, state, SMALL, 6) > 1e-3


@pytest.mark.parametrize("s", [B16, B32], ids=["B/16", "B/32"])
@pytest.mark.long
def test_outputs_agree_for_the_published_sizes(s, tmp_path):
    state = random_state(s)
    file = tmp_path / "model.safetensors"
    safetensors.torch.save_file(state, file)
    model = FlowModel.from_jit(file, noise_scale=1.0)
    file.unlink()
    assert model.about["model"] == f"JiT-B/{s['patch']}"
    assert compared(model, state, s, 1) < 2e-6


LARGE = dict(B, depth=24, width=1024, heads=16, start=8)
HUGE = dict(B, depth=32, width=1280, heads=16, waist=256, start=10)


@pytest.mark.parametrize("letter, s", [("B", B), ("L", LARGE), ("H", HUGE)])
def test_names_and_shapes_of_all_published_sizes(letter, s):
    """On the device meta: nothing is allocated, and one size is not taken for another."""
    from hdfm.jit_weights import _network_of

    for patch in (16, 32):
        shapes = names_and_shapes(dict(s, patch=patch, grid=16))
        state = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
        state["net.pos_embed"] = positions(s["width"], 16)
        sizes = _network_of(state, {})
        assert model_name(sizes) == f"JiT-{letter}/{patch}"
        assert sizes["context_start"] == s["start"] and sizes["position_order"] == "column"
        assert jit_shapes(sizes) == shapes


@pytest.mark.parametrize("low", [0.0, 0.25])
def test_their_sampler_is_heun_with_equal_steps(small, low):
    file, state = small
    model = FlowModel.from_jit(file, interval_min=low, interval_max=0.8)
    z = 2 * torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([4, 0])
    drawn = model.sample(labels, generator=torch.Generator().manual_seed(0), steps=10)
    with torch.no_grad():
        right = their_sampler(state, SMALL, z, labels, 10, 2.9, low, 0.8).clamp(-1, 1)
        other = their_sampler(state, SMALL, z, labels, 10, 2.9, 0.5, 0.8).clamp(-1, 1)
    assert apart(drawn, right) < 1e-5 and apart(other, right) > 1e-3
    assert model.sampling.solver == "heun" and model.sampling.last_time == 1


# sets, formats, there and back


def test_which_weights(small):
    file, state = small
    assert torch.equal(open_jit(file)[0]["net.final_layer.linear.weight"],
                       state["net.final_layer.linear.weight"])  # fmt: skip
    for weights, seed in (("model", 7), ("ema2", 8)):
        other = random_state(SMALL, seed)
        assert compared(FlowModel.from_jit(file, weights), other, SMALL, 2) < 2e-6
    with pytest.raises(ValueError, match="choose one of ema1, ema2, model"):
        FlowModel.from_jit(file, "ema3")


def test_import_and_export_are_bit_equal(small, tmp_path, capsys):
    file, state = small
    asked = "import", "jit", file, "--out", tmp_path / "jit"
    assert status_of(*asked) == 0
    out = "--format", "jit", "--out", tmp_path / "x.pth"
    assert status_of("export", tmp_path / "jit", *out) == 0
    back = torch.load(tmp_path / "x.pth", weights_only=True)
    assert set(back) == {"model", "model_ema1", "model_ema2", "args"}
    for tensors in (back[name] for name in ("model", "model_ema1", "model_ema2")):
        assert set(tensors) == set(state)
        for name, value in state.items():
            same = torch.allclose if name == "net.pos_embed" else torch.equal
            assert same(tensors[name], value), name
    assert (tmp_path / "x.pth").stat().st_size < 0.5 * file.stat().st_size  # one copy, not three
    for name, value in (("noise_scale", 2.0), ("cfg", 2.9), ("interval_min", 0.1)):
        assert back["args"][name] == value
    again = FlowModel.from_jit(tmp_path / "x.pth")
    first = FlowModel.from_pretrained(tmp_path / "jit")
    assert again.sampling == first.sampling and repr(again.path) == repr(first.path)
    card = (tmp_path / "jit" / "README.md").read_text()
    assert "license: other" in card and "model_ema1 of checkpoint-last.pth" in card
    capsys.readouterr()


def test_a_sampler_guided_from_the_very_start_comes_back(small, tmp_path):
    file, _ = small
    for low in (0.0, 0.25):
        model = FlowModel.from_jit(file, interval_min=low)
        assert model.sampling.guidance_interval[0] == (low or -1)
        model.save_pretrained(tmp_path / f"m{low}")
        out = tmp_path / f"{low}.pth"
        assert status_of("export", tmp_path / f"m{low}", "--format", "jit", "--out", out) == 0
        assert torch.load(out, weights_only=True)["args"]["interval_min"] == low


def test_safetensors_and_rotary_tables(tmp_path):
    """Forks keep the tables; they must be right. A file of weights alone says no noise scale."""
    state = random_state(SMALL)
    for name, context in (("feat_rope", 0), ("feat_rope_incontext", SMALL["tokens"])):
        tables = zip(("freqs_cos", "freqs_sin"), rotary(SMALL, context))
        state |= {f"net.{name}.{word}": table.contiguous() for word, table in tables}
    file = tmp_path / "model.safetensors"
    safetensors.torch.save_file(state, file)
    options = dict(noise_scale=1.0, in_context_start=1)
    model = FlowModel.from_jit(file, **options)
    assert compared(model, state, SMALL, 2) < 2e-6 and model.sampling.guidance_scale == 1
    with pytest.raises(CheckpointError, match="does not say its noise scale"):
        FlowModel.from_jit(file, in_context_start=1)
    with pytest.raises(CheckpointError, match="give it with --context-start"):
        FlowModel.from_jit(file, noise_scale=1.0)
    state["net.feat_rope.freqs_sin"] = state["net.feat_rope.freqs_sin"] * 2
    safetensors.torch.save_file(state, file)
    with pytest.raises(CheckpointError, match="freqs_sin' is not the rotary table"):
        FlowModel.from_jit(file, **options)


def test_what_is_not_theirs_is_not_exported(refused, tmp_path):
    out = "--format", "jit", "--out", tmp_path / "x.pth"
    refused("export", "digits", *out, says=["only the path with r = 0", "blur_strength=1"])
    refused("export", "patches", *out, says=["predicts x, and this network is another"])
    assert not list(tmp_path.iterdir())


def test_an_export_is_whole_or_absent(on_digits, tmp_path, refused, monkeypatch):
    def full(thing, file):
        file.write_bytes(b"half")
        raise RuntimeError("[enforce fail at inline_container.cc:595] . file write failed")

    out = tmp_path / "x.pth"
    out.write_bytes(b"old")
    monkeypatch.setattr(torch, "save", full)
    refused("export", on_digits[0], "--format", "jit", "--out", out, says=["could not be written"])
    assert out.read_bytes() == b"old" and not list(tmp_path.glob(".*"))


# the commands, and what is done with such a network


def test_import_and_sample(on_digits, tmp_path, refused):
    folder, _ = on_digits
    told = json.loads((folder / "config.json").read_text())
    assert told["path"]["blur_strength"] == 0 and told["about"]["model"] == "JiT-XS/2"
    assert status_of("sample", folder, "--out", tmp_path / "a.png", "--count", 4, "--steps", 3) == 0
    file = tmp_path / "digits.pth"
    refused("import", "jit", file, "--out", folder, says=["not an empty folder"])
    refused("import", "jit", file, "--out", tmp_path / "n", "--weights", "best", says=["ema2"])
    refused("import", "jit", tmp_path / "no", "--out", tmp_path / "n", says=["cannot be opened"])
    refused("import", says=["unknown command", "import jit"])
    words = "--guidance", 4, "--guidance-interval", 0.2, 0.7, "--noise-scale", 3
    assert status_of("import", "jit", file, "--out", tmp_path / "n", *words) == 0
    model = FlowModel.from_pretrained(tmp_path / "n")
    assert model.sampling.guidance_scale == 4 and model.path.noise_scale == 3
    assert model.sampling.guidance_interval == (0.2, 0.7)


@pytest.mark.parametrize("solver", ["euler", "heun", "exponential", "exponential_2m", "ancestral"])
def test_our_solvers_draw_with_it(small, solver):
    model = FlowModel.from_jit(small[0])
    images = model.sample(count=2, solver=solver, steps=3)
    assert images.shape == (2, 3, 12, 12) and images.isfinite().all()


def test_inversion_and_restoration(small):
    """An image becomes its noise, and a noisy image is a point of the path."""
    model = FlowModel.from_jit(small[0])
    predict = model.predictor(torch.tensor([1, 2]))
    dice = torch.Generator().manual_seed(0)
    noise = 2 * torch.randn(2, 3, 12, 12, generator=dice)
    with torch.no_grad():
        steps = [0.5 * t for t in time_grid(80)]
        point = SOLVERS["heun"](predict, model.path, noise, steps)
    back = invert(predict, model.path, point, t_end=0.5, steps=80)
    assert apart(back, noise) < 1e-2
    cleaned = model.sample(torch.tensor([1, 2]), z=point, t_start=0.5, steps=5)
    assert cleaned.isfinite().all() and cleaned.abs().max() <= 1
    with pytest.raises(ValueError, match="never blurs"):
        restore(predict, model.path, point, 1.0)
    blurs = HeatProbPath((12, 12), noise_scale=2.0)  # where fine-tuning leads
    assert restore(predict, blurs, point.clamp(-1, 1), 1.0, steps=2).isfinite().all()


# --init


class Theirs(nn.Module):
    """The second network, in the place of ours."""

    num_classes = DIGITS["classes"]
    channels = 1
    prediction = "x"

    def __init__(self, state):
        super().__init__()
        self.state = state

    def forward(self, z, t, labels=None):
        return theirs(self.state, DIGITS, z, torch.as_tensor(t).expand(len(z)), labels)


def first_loss(run):
    return RunFolder(run).metrics()[0]["loss"]


def test_a_training_begins_where_theirs_ends(on_digits, tmp_path, monkeypatch):
    """The first loss at r = 0 is that of the second network, on the same batch and noise."""
    folder, state = on_digits
    one = dict(steps=1, batch_size=16, sample_steps=2, log_every=1, ema=0.9)
    config = PRESETS["digits"].replace(init=str(folder), blur_strength=0.0, **one)
    seen = []
    forward = Objective.forward

    def watched(self, images, labels, seed):
        seen.append((images, labels, seed))
        return forward(self, images, labels, seed)

    monkeypatch.setattr(Objective, "forward", watched)
    loss = first_loss(fit(config, tmp_path / "r0"))
    onto = config.replace(init=str(tmp_path / "r0"), blur_strength=0.5)  # a run, onto a heat path
    moved = first_loss(fit(onto, tmp_path / "onto"))
    monkeypatch.undo()
    path = HeatProbPath((8, 8), blur_strength=0.0)
    with torch.no_grad():
        right = Objective(config, Theirs(state), path)(*seen[0]).item()
    assert loss == pytest.approx(right, rel=2e-4)
    new = Objective(config, build(config, 1, 8, 8, 10)[0], path)(*seen[0]).item()
    assert abs(new - loss) > 0.01 * loss
    network = FlowModel.from_run(tmp_path / "r0").network.train()
    begun = Objective(onto, network, HeatProbPath((8, 8), 0.5))(*seen[1]).item()
    assert moved == pytest.approx(begun, rel=2e-4) and moved != loss


def test_a_resumed_run_needs_its_beginning_no_more(on_digits, tmp_path):
    folder, _ = on_digits
    asked = "train", "digits", "--init", folder, *TINY, "--schedule", "constant", "--steps"
    longer = (6,)
    assert status_of(*asked, 4, "--out", tmp_path / "run") == 0
    assert status_of(*asked, *longer, "--out", tmp_path / "whole") == 0
    shutil.rmtree(folder)
    assert status_of(*asked, *longer, "--out", tmp_path / "run", "--resume", "auto") == 0
    a, b = (FlowModel.from_run(tmp_path / name).network.state_dict() for name in ("run", "whole"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert RunFolder(tmp_path / "run").config.init == str(folder)


def test_a_beginning_that_does_not_fit(on_digits, tmp_path, refused):
    folder, _ = on_digits
    asked = "train", "digits", "--out", tmp_path / "run", *TINY, "--init"
    wrong = [
        ((folder, "--model", "JiT-XS/4"), "patch_size 2 there, 4 here"),
        ((folder, "--position-order", "row"), "position_order column there, row here"),
        ((folder, "--prediction", "v", "--solver", "heun"), "prediction x there, v here"),
        ((folder, "--data", "fashion-small"), "it must be for as many classes and colours"),
        ((tmp_path / "nowhere",), "cannot be opened"),
        ((tmp_path,), "cannot be opened"),
        ((tmp_path / "digits.pth",), "cannot be opened"),
    ]
    for words, says in wrong[:3] + wrong[4:]:
        refused(*asked, *words, says=[says])
    state = random_state(dict(DIGITS, classes=3))
    file = checkpoint(tmp_path / "three.pth", state, DIGITS, noise_scale=1.0)
    assert status_of("import", "jit", file, "--out", tmp_path / "three") == 0
    refused(*asked, tmp_path / "three", says=["label.weight", wrong[3][1]])
    (folder / "model.safetensors").write_bytes(b"no weights")
    refused(*asked, folder, says=["not a safetensors file"])
    (folder / "config.json").write_text("[1]")
    refused(*asked, folder, says=["not a configuration"])
    assert not (tmp_path / "run").exists()


# what is refused


class Bomb:
    """A pickle that makes a file when it is opened the plain way."""

    def __init__(self, canary, call=os.system):
        self.canary = canary
        self.call = call

    def __reduce__(self):
        return self.call, (f"touch {self.canary}",)


def packed_again(file, out):
    """The archive with its members packed."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))


def hostile(home):
    """{kind: (file, what is said)}."""
    canary = home / "canary"
    state = random_state(SMALL)
    good = checkpoint(home / "good.pth", state, SMALL, in_context_start=1)
    body = good.read_bytes()

    def saved(name, thing):
        torch.save(thing, home / f"{name}.pth")
        return home / f"{name}.pth"

    def written(name, data):
        (home / name).write_bytes(data)
        return home / name

    def changed(name, **tensors):
        new = {k: v for k, v in (state | tensors).items() if v is not None}
        return checkpoint(home / f"{name}.pth", new, SMALL, in_context_start=1)

    def said(name, **args):
        return checkpoint(home / f"{name}.pth", state, SMALL, **(dict(in_context_start=1) | args))

    packed_again(good, home / "packed.pth")
    bad = argparse.Namespace(noise_scale=Bomb(canary))
    claim = torch.ones(1).expand(10**12)
    nested = []
    for _ in range(100):
        nested = [nested, nested]
    odd = {"net.final_layer.linear.bias": torch.ones(48, dtype=torch.int32)}
    linear = "net.final_layer.linear.bias"
    norm = "net.blocks.2.norm1.weight"
    return {
        "runs": (saved("runs", dict(model_ema1=Bomb(canary))), "asks for posix.system"),
        "runs in args": (saved("args", dict(model_ema1=state, args=bad)), "asks for posix.system"),
        "evaluates": (saved("eval", Bomb(canary, eval)), "asks for eval"),
        "a plain pickle": (written("p.pth", pickle.dumps(Bomb(canary))), "not a zip file"),
        "old format": (written("old.pth", b"\x80\x02" + bytes(100)), "not a zip file"),
        "empty": (written("empty.pth", b""), "not a zip file"),
        "truncated": (written("cut.pth", body[: len(body) // 2]), "not a zip file"),
        "its middle is gone": (
            written("hole.pth", body[:2000] + body[50000:]),
            "no whole checkpoint of JiT",
        ),
        "packed": (home / "packed.pth", "its archive is packed"),
        "a list": (saved("list", [1]), "it holds no dict"),
        "nested": (saved("nested", {"a": nested}), "it has no 'model_ema1'"),
        "other sets": (saved("sets", dict(ema=state)), "it has no 'model_ema1'"),
        "no tensors in it": (saved("text", dict(model_ema1="x")), "it has no 'model_ema1'"),
        "a number": (saved("one", dict(model_ema1={"net.pos_embed": 1})), "no tensor of weights"),
        "whole numbers": (saved("odd", dict(model_ema1=odd)), "no tensor of weights"),
        "meta": (
            changed("meta", **{linear: torch.ones(48, device="meta")}),
            "no tensor of weights",
        ),
        "a terabyte": (changed("huge", **{linear: claim}), "larger than the file"),
        "missing": (changed("less", **{norm: None}), f"{norm!r} is missing"),
        "no positions": (changed("place", **{"net.pos_embed": None}), "'net.pos_embed' is missing"),
        "one too many": (changed("more", **{"net.extra": torch.ones(1)}), "asks for the tensor"),
        "a block too many": (
            changed("block", **{"net.blocks.9.norm1.weight": torch.ones(32)}),
            "'net.blocks.3.norm1.weight' is missing",
        ),
        "shape": (changed("shape", **{norm: torch.ones(33)}), "(33,), not (32,)"),
        "heads": (
            changed("heads", **{"net.blocks.0.attn.q_norm.weight": torch.ones(64)}),
            "cannot be used as a checkpoint of JiT",
        ),
        "scalar": (changed("scalar", **{"net.pos_embed": torch.ones(())}), "has the shape ()"),
        "nothing": (
            changed("zero", **{"net.blocks.0.attn.q_norm.weight": torch.ones(0)}),
            "has the shape (0,)",
        ),
        "learned positions": (
            changed("learned", **{"net.pos_embed": state["net.pos_embed"] + 0.1}),
            "not the fixed embedding",
        ),
        "noise": (said("noise", noise_scale="loud"), "'loud', which is no number"),
        "negative": (said("negative", noise_scale=-1.0), "noise_scale"),
        "not a number": (said("nan", cfg=math.nan), "guidance_scale"),
        "steps": (said("steps", num_sampling_steps=0), "steps=0"),
        "method": (said("method", sampling_method="rk99"), "unknown solver"),
        "start": (said("start", in_context_start="first"), "--context-start"),
        "interval": (said("interval", interval_min=0.9, interval_max=0.2), "guidance_interval"),
        "safetensors": (written("x.safetensors", body), "SafetensorError"),
        "a folder": (home, "is a folder"),
    }


KINDS = (
    "runs|runs in args|evaluates|a plain pickle|old format|empty|truncated|its middle is gone|"
    "packed|a list|nested|other sets|no tensors in it|a number|whole numbers|meta|a terabyte|"
    "missing|no positions|one too many|a block too many|shape|heads|scalar|nothing|"
    "learned positions|noise|negative|not a number|steps|method|start|interval|safetensors|a folder"
).split("|")


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    home = tmp_path_factory.mktemp("hostile")
    return home, hostile(home)


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_files_are_refused_in_a_line(bad_files, kind, refused, tmp_path):
    home, files = bad_files
    assert set(files) == set(KINDS)
    file, says = files[kind]
    refused("import", "jit", file, "--out", tmp_path / "out", says=[says])
    assert not (tmp_path / "out").exists() and not (home / "canary").exists()


def test_a_good_file_is_not_refused_and_the_bomb_would_go_off(bad_files):
    home, _ = bad_files
    assert read_jit(home / "good.pth").network["context_start"] == 1
    torch.load(home / "runs.pth", weights_only=False)
    assert (home / "canary").exists(), "these tests would not see anything run"


def test_changed_bytes_are_refused_or_harmless(tmp_path):
    """A bit or a length that is changed: one line, or weights of the right shapes."""
    import random

    dice = random.Random(0)
    good = checkpoint(tmp_path / "good.pth", random_state(SMALL), SMALL, in_context_start=1)
    body = good.read_bytes()
    file = tmp_path / "bad.pth"
    for _ in range(60):
        bad = bytearray(body)
        where = dice.choice([dice.randrange(len(bad)), dice.randrange(6000), -dice.randrange(6000)])
        bad[where] ^= 1 << dice.randrange(8)
        cut = dice.randrange(len(bad)) if dice.random() < 0.2 else len(bad)
        file.write_bytes(bad[:cut])
        try:
            assert read_jit(file).network["width"] == 32
        except CheckpointError as error:
            assert "\n" not in str(error) and len(str(error)) < 600
