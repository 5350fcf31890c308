"""The network at full size, JiT-B/16 at 256 pixels, on a CPU: all ways to run it agree with eager
float32."""
import copy
import shutil

import pytest
import torch

from hdfm.vit import build_model


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    model = build_model("JiT-B/16", 256)
    for weight in model.parameters():  # at first modulations and head are 0: all agree on nothing
        if not weight.detach().any():
            torch.nn.init.normal_(weight, std=0.02)
    inputs = torch.randn(1, 3, 256, 256), torch.tensor([0.4]), torch.tensor([207])
    return model, inputs, forward_and_backward(model, inputs)


def forward_and_backward(model, inputs):
    model.zero_grad()
    out = model(*inputs)
    out.float().square().mean().backward()
    weights = model.patches[0].weight, model.blocks[6].mlp.out.weight
    return out.detach().float(), *(weight.grad.clone() for weight in weights)


def gaps(found, expected):
    return [((a - b).norm() / b.norm()).item() for a, b in zip(found, expected)]


def test_forward_and_backward_are_finite(case):
    assert all(x.isfinite().all() and x.abs().max() > 0 for x in case[2])
    assert case[2][0].shape == (1, 3, 256, 256)


def test_bfloat16_autocast(case):
    model, inputs, expected = case
    with torch.autocast("cpu", dtype=torch.bfloat16): out = model(*inputs)
    assert gaps([out.float()], expected[:1])[0] < 2e-2


def test_checkpointing(case):
    model, inputs, expected = case
    model.checkpointing = True
    try: assert max(gaps(forward_and_backward(model, inputs), expected)) < 1e-5
    finally: model.checkpointing = False


def test_export(case):
    model, inputs, expected = case
    with torch.no_grad():
        exported = torch.export.export(copy.deepcopy(model).eval(), inputs).module()
    assert gaps([exported(*inputs)], expected[:1])[0] < 1e-5


@pytest.mark.long
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")),
                    reason="compiling for a CPU needs a C++ compiler")
def test_compiled_blocks(case):
    model, inputs, expected = case
    compiled = copy.deepcopy(model).compile_blocks()
    assert max(gaps(forward_and_backward(compiled, inputs), expected)) < 2e-2
