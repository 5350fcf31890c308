"""Helpers for tests that need processes, faults or time; the maths is tested in the notebooks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TINY = (
    "--steps 12 --batch-size 16 --warmup 2 --save-every 2 --sample-every 6 --log-every 1 "
    "--sample-steps 2"
).split()

sys.path.insert(0, str(ROOT / "tools"))
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes the tests start: several on few cores


def pytest_addoption(parser):
    names = '"all", or names such as "00_core show"; two notebooks by default'
    parser.addoption("--notebooks", help=f"what tests/test_jupyterlab.py opens: {names}")
    parser.addoption("--screenshots", type=Path, help="the folder for its pictures")


def hdfm(*args, module="hdfm", **kwargs):
    """Run the command in a process of its own and return it when done."""
    command = [sys.executable, "-m", module, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **kwargs)


def status_of(*args):
    """The exit status of the command, here, with those words."""
    from hdfm.cli import main

    try:
        return main([str(arg) for arg in args])
    except SystemExit as stop:
        return stop.code


@pytest.fixture
def refused(capsys):
    """The command must fail with status 2 and one line that contains each of `says`."""

    def check(*args, says, mendable=True):
        capsys.readouterr()
        status = status_of(*args)
        lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
        assert status == 2 and len(lines) == 1 and "error" in lines[0], (status, lines)
        assert ("unexpected" in lines[0]) != mendable, lines[0]
        for part in says:
            assert part in lines[0], lines[0]

    return check


def files(folder):
    """Name and contents of every file below a folder."""
    found = (path for path in sorted(Path(folder).rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished tiny run."""
    run = tmp_path_factory.mktemp("runs") / "trained"
    done = hdfm("train", "digits", "--out", run, *TINY)
    assert done.returncode == 0, done.stderr
    return run
