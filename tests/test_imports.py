"""What importing the library does, and does not do."""
import subprocess
import sys

import pytest

HEAVY = {"matplotlib", "torchvision", "nbdev", "fastcore", "sklearn", "scipy", "PIL", "safetensors", "tqdm", "IPython"}


def modules_after(code):
    code += "\nimport sys; print('\\n'.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("module", ["core", "path", "exact", "sampling", "vit", "objective", "baselines"])
def test_the_mathematics_needs_only_torch_and_numpy(module):
    added = modules_after(f"import hdfm.{module}") - modules_after("import torch, numpy")
    assert not added & HEAVY, added & HEAVY


def test_no_module_needs_the_development_tools():
    added = modules_after("import hdfm.cli, hdfm.train, hdfm.evaluate, hdfm.folders, hdfm.parallel, hdfm.metrics, hdfm.hub, hdfm.restore")
    assert not added & {"nbdev", "fastcore", "torchvision", "torch_fidelity", "datasets", "tensorboard", "IPython", "matplotlib"}


def test_version_comes_at_once():
    code = "from hdfm.cli import main; main(['--version'])"
    assert "torch" not in modules_after(code)
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.startswith("hdfm ")


def test_importing_does_not_touch_the_random_state():
    code = ("import torch; torch.manual_seed(3); a = torch.rand(1); torch.manual_seed(3)\n"
            "import hdfm.train, hdfm.evaluate, hdfm.cli; assert torch.equal(a, torch.rand(1))")
    subprocess.run([sys.executable, "-c", code], check=True)
