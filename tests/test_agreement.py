"""The checks of the project must be able to fail: break each thing they guard, in a copy, and see
them object."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agree import copy_checkout
from conftest import ROOT

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    target = tmp_path_factory.mktemp("copy") / "hdfm"
    copy_checkout(target)
    subprocess.run(["git", "init", "-q"], cwd=target, check=True)
    return target


def agree(copy):
    done = subprocess.run(
        [sys.executable, "tools/agree.py"], cwd=copy, capture_output=True, text=True
    )
    return done.returncode, done.stdout


def broken(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text


def test_the_checkout_agrees(copy):
    assert agree(copy) == (0, "Notebooks, library and README agree.\n")


def test_each_disagreement_is_found_and_kept(copy):
    """A hand-made change of the library, a README that differs, a notebook that is not clean."""
    library = copy / "hdfm/core.py"
    readme = copy / "README.md"
    notebook = copy / "nbs/show.ipynb"
    whole = notebook.read_text(encoding="utf-8")
    changed = json.loads(whole)
    changed["cells"][1]["metadata"] = {"scrolled": True}
    was = {
        library: broken(library, "return torch.from_numpy(C)", "return torch.from_numpy(2 * C)"),
        readme: broken(readme, "Heat-dissipation", "Heat-dissipating"),
        notebook: whole,
    }
    notebook.write_text(json.dumps(changed), encoding="utf-8")
    code, said = agree(copy)
    found = [line.partition(":")[0] for line in said.splitlines()]
    assert code == 1 and found == [
        "nbs/show.ipynb has uncleaned metadata or outputs",
        "hdfm/core.py is not what the notebooks export",
        "README.md is not what nbs/index.ipynb says",
    ]
    assert "2 * C" in library.read_text(encoding="utf-8")
    for path, text in was.items():
        path.write_text(text, encoding="utf-8")


def test_a_broken_assertion_in_a_notebook_fails(copy):
    path = copy / "nbs/show.ipynb"
    whole = broken(path, "assert grid.shape ==", "assert grid.shape !=")
    done = subprocess.run(
        [BIN / "nbdev_test", "--path", "nbs/show.ipynb", "--n_workers", "0"],
        cwd=copy,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(copy)},
    )
    assert done.returncode != 0 and "AssertionError" in done.stdout + done.stderr
    path.write_text(whole, encoding="utf-8")


def test_pages_name_only_commands_that_exist():
    import re

    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    scripts = {
        "benchmark-" + p.stem.replace("_", "-") for p in (ROOT / "benchmarks").glob("*.py")
    }  # make benchmark-%
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "nbs").glob("*.ipynb")]:
        for target in set(re.findall(r"`make ([a-z-]+)\b", page.read_text(encoding="utf-8"))):
            assert target in scripts or re.search(rf"^{target}:", makefile, re.M), (
                f"{page.name}: make {target}"
            )
