"""The network against a second one, written in numpy from its description, which shares no line
with it; and the orders of the position embedding that files may have."""
import json

import numpy as np
import pytest
import torch

from hdfm.checkpoint import save_tensors
from hdfm.config import PRESETS
from hdfm.hub import FlowModel
from hdfm.vit import JiT

SIZES = dict(image_size=6, patch_size=2, channels=2, num_classes=3, depth=3, width=16, heads=2,
             bottleneck=5, context_start=1, context_tokens=2)


def rms(x, weight):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * weight


def silu(x):
    return x / (1 + np.exp(-x))


def turned(x, places, heads):
    """Each pair of numbers of a head as a complex number, turned by row, then by column."""
    N, width = x.shape
    head = width // heads
    turns = 10_000.0 ** (-np.arange(head // 4) / (head // 4))
    for n, place in enumerate(places):
        if place is None:
            continue
        angles = np.concatenate([place[0] * turns, place[1] * turns])
        for h in range(heads):
            pairs = x[n, h * head:(h + 1) * head].reshape(-1, 2)
            z = (pairs[:, 0] + 1j * pairs[:, 1]) * np.exp(1j * angles)
            x[n, h * head:(h + 1) * head] = np.stack([z.real, z.imag], 1).reshape(-1)
    return x


def attention(x, w, places, heads):
    q, k, v = np.split(x @ w["qkv.weight"].T + w["qkv.bias"], 3, -1)
    head = q.shape[1] // heads
    q = np.concatenate([rms(part, w["q_norm.weight"]) for part in np.split(q, heads, 1)], 1)
    k = np.concatenate([rms(part, w["k_norm.weight"]) for part in np.split(k, heads, 1)], 1)
    q = turned(q, places, heads)
    k = turned(k, places, heads)
    outs = []
    for h in range(heads):
        own = slice(h * head, (h + 1) * head)
        scores = np.exp(q[:, own] @ k[:, own].T / head**0.5)
        outs.append(scores / scores.sum(-1, keepdims=True) @ v[:, own])
    return np.concatenate(outs, 1) @ w["out.weight"].T + w["out.bias"]


def mlp(x, w):
    gate, value = np.split(x @ w["gate_and_value.weight"].T + w["gate_and_value.bias"], 2, -1)
    return (silu(gate) * value) @ w["out.weight"].T + w["out.bias"]


def within(w, name):
    return {key.removeprefix(name): value for key, value in w.items() if key.startswith(name)}


def second_network(w, s, image, t, label, first):
    """The output for one image `[C, H, W]`, by way of the weights `w` and the sizes `s`."""
    p = s["patch_size"]
    width = s["width"]
    grid = s["image_size"] // p
    turns = 10_000.0 ** (-np.arange(width // 4) / (width // 4))
    angle = t * 10_000.0 ** (-np.arange(128) / 128)
    h = np.concatenate([np.cos(angle), np.sin(angle)])
    h = silu(h @ w["time.0.weight"].T + w["time.0.bias"])
    name = w["label.weight"][label]
    c = h @ w["time.2.weight"].T + w["time.2.bias"] + name
    tokens = []
    places = []
    for row in range(grid):
        for column in range(grid):
            patch = image[:, row * p:(row + 1) * p, column * p:(column + 1) * p].reshape(-1)
            waist = w["patches.0.weight"].reshape(s["bottleneck"], -1) @ patch
            token = w["patches.1.weight"].reshape(width, -1) @ waist + w["patches.1.bias"]
            a, b = (column, row) if first == "column" else (row, column)
            where = [np.sin(a * turns), np.cos(a * turns), np.sin(b * turns), np.cos(b * turns)]
            tokens.append(token + np.concatenate(where))
            places.append((row, column))
    x = np.stack(tokens)
    for i in range(s["depth"]):
        if i == s["context_start"]:
            x = np.concatenate([name + w["context"], x])
            places = [None] * s["context_tokens"] + places
        block = within(w, f"blocks.{i}.")
        six = silu(c) @ block["modulation.1.weight"].T + block["modulation.1.bias"]
        shift1, scale1, gate1, shift2, scale2, gate2 = np.split(six, 6)
        h = rms(x, block["norm1.weight"]) * (1 + scale1) + shift1
        x = x + gate1 * attention(h, within(block, "attention."), places, s["heads"])
        h = rms(x, block["norm2.weight"]) * (1 + scale2) + shift2
        x = x + gate2 * mlp(h, within(block, "mlp."))
    shift, scale = np.split(silu(c) @ w["modulation.1.weight"].T + w["modulation.1.bias"], 2)
    x = rms(x[-grid * grid:], w["norm.weight"]) * (1 + scale) + shift
    pixels = x @ w["head.weight"].T + w["head.bias"]
    out = np.zeros_like(image)
    for n, (row, column) in enumerate(places[-grid * grid:]):
        patch = pixels[n].reshape(p, p, -1).transpose(2, 0, 1)
        out[:, row * p:(row + 1) * p, column * p:(column + 1) * p] = patch
    return out


@pytest.mark.parametrize("first", ["column", "row"])
def test_a_second_network_agrees(first):
    torch.manual_seed(0)
    model = JiT(**SIZES, position_order=first)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    w = {name: value.double().numpy() for name, value in model.state_dict().items()}
    images = torch.randn(2, 2, 6, 6)
    times = torch.tensor([0.2, 0.9])
    labels = torch.tensor([1, 3])
    found = model(images, times, labels).detach().double().numpy()
    other = "row" if first == "column" else "column"
    for i in range(2):
        given = images[i].double().numpy(), times[i].item(), labels[i].item()
        right, wrong = (second_network(w, SIZES, *given, order) for order in (first, other))
        assert np.linalg.norm(found[i] - right) < 1e-5 * np.linalg.norm(right)
        assert np.linalg.norm(found[i] - wrong) > 1e-2 * np.linalg.norm(right)


@pytest.mark.parametrize("order", ["column", "row"])
def test_a_folder_keeps_its_order(tmp_path, order):
    path = dict(kind="heat", shape=[6, 6])
    torch.manual_seed(0)
    model = FlowModel(dict(SIZES, position_order=order), path)
    if order == "column":
        model = FlowModel(dict(SIZES), path)                            # the default, unsaid
    model.save_pretrained(tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())["network"]
    assert said["position_order"] == order
    again = FlowModel.from_pretrained(str(tmp_path))
    assert again.network.position_order == order
    assert torch.equal(again.network.position, model.network.position)


def test_a_folder_of_the_first_version_has_the_row_first(tmp_path):
    model = JiT(**SIZES, position_order="row")
    save_tensors(tmp_path / "model.safetensors", model.state_dict(), "model")
    config = dict(network=SIZES, path=dict(kind="heat", shape=[6, 6]))
    (tmp_path / "config.json").write_text(json.dumps(config))
    again = FlowModel.from_pretrained(str(tmp_path))
    assert again.network.position_order == "row"


def test_a_run_of_the_first_version_has_the_row_first():
    config = PRESETS["digits"]
    flat = {k: v for k, v in config.flat().items() if k != "position_order"}
    assert type(config).from_flat(flat, format=2) == config.replace(position_order="row")
    assert type(config).from_flat(flat, format=3) == config
