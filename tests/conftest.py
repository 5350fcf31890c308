"""Helpers for tests that need processes, faults or time; the maths is tested in the notebooks."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TINY = "--steps 12 --batch-size 16 --warmup 2 --save-every 2 --sample-every 6 --log-every 1 --sample-steps 2".split()

sys.path.insert(0, str(ROOT / "tools"))
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes the tests start: several at once on few cores


def hdfm(*args, module="hdfm.cli", **kwargs):
    """Run the command in a process of its own and return it when done."""
    start = "import sys; from hdfm.cli import main; sys.exit(main())" if module == "hdfm.cli" else None
    command = [sys.executable, "-c", start] if start else [sys.executable, "-m", module]
    return subprocess.run([*command, *map(str, args)], capture_output=True, text=True, timeout=300, **kwargs)


def files(folder):
    """Name and contents of every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished tiny run."""
    run = tmp_path_factory.mktemp("runs") / "trained"
    done = hdfm("train", "digits", "--out", run, *TINY)
    assert done.returncode == 0, done.stderr
    return run
