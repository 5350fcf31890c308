"""The cell with which a chapter runs on Colab, as the README gives it."""

import os
import re
import subprocess
import sysconfig
import venv
from configparser import ConfigParser

import nbformat
import pytest
from conftest import ROOT
from test_wheel import build, run

PIP_LINE = re.compile(r"^    (%pip install .*)$", re.M)
PINS = re.compile(r"(?:hdfm/hdfm@|--branch )v([\w.]+)")
SOURCE = re.compile(r"git\+https://[^\"\s]+")
WHERE = 'import sys, hdfm\nassert hdfm.__file__.startswith(sys.prefix + "/"), hdfm.__file__'


def the_line():
    """What the README says to put before a chapter's first cell."""
    (line,) = PIP_LINE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    return line


def test_the_version_is_that_of_the_settings():
    config = ConfigParser(delimiters=["="])
    config.read(ROOT / "settings.ini", encoding="utf-8")
    pinned = PINS.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(pinned) >= 2 and set(pinned) == {config["DEFAULT"]["version"]}
    assert SOURCE.search(the_line())


def lean_environment(folder):
    """The Python of a new environment without hdfm that sees the packages of this one."""
    venv.create(folder, with_pip=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "packages.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder / "bin" / "python"


def test_the_first_chapter_runs_behind_that_cell(tmp_path, request):
    """The line's own pip installs a wheel of this checkout into a new environment, and the first
    chapter runs there, in a folder that is no checkout.

    What this shows: the line is one that pip understands, the extra is there, and the wheel with
    its requirements is enough. What it does not show: that GitHub has this version, nor that
    Colab's own packages fit; the requirements are taken from the environment of the tests, and
    nothing is downloaded."""
    if request.config.getoption("notebooks") != "all":
        pytest.skip("a minute; part of make test-browser")
    wheel = build(tmp_path)
    python = lean_environment(tmp_path / "env")
    chapter = nbformat.read(ROOT / "nbs" / "start.ipynb", as_version=4)
    cells = (SOURCE.sub(wheel.as_uri(), the_line()), WHERE)
    chapter.cells[:0] = [nbformat.v4.new_code_cell(cell) for cell in cells]
    away = tmp_path / "away"
    away.mkdir()
    nbformat.write(chapter, away / "start.ipynb")
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    there = dict(cwd=away, env={**kept, "PIP_NO_INDEX": "1"})
    missing = subprocess.run([python, "-c", "import hdfm"], capture_output=True, **there)
    assert missing.returncode, "the new environment has hdfm already"
    run(python, "-m", "nbclient.cli", "start.ipynb", **there)
