"""Helpers for tests that need processes, faults or time; the maths is tested in the notebooks."""

import datetime
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import finished

ROOT = Path(__file__).resolve().parents[1]
TINY = (
    "--steps 12 --batch-size 16 --warmup 2 --save-every 2 --sample-every 6 --log-every 1 "
    "--sample-steps 2"
).split()

LONG = "HDFM_LONG" in os.environ  # with the tests that take a minute each: once a week on CI
EXAMPLES = int(os.environ.get("HDFM_EXAMPLES", 1000))  # of each kind of hostile input
SLOWEST = "storm exercises parallel crashes gpu hostile properties command spread evaluate files"
TALLIES = {}  # kind -> how many cases there were, and the longest

sys.path.insert(0, str(ROOT / "tools"))
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes the tests start: several on few cores
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    config.addinivalue_line("markers", "long: only where HDFM_LONG is set")


def pytest_collection_modifyitems(items):
    """The slowest files begin first, so that at the end no worker waits long for the other."""
    place = {f"test_{name}.py": n for n, name in enumerate(SLOWEST.split())}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))
    for item in items:
        if item.get_closest_marker("long") and not LONG:
            item.add_marker(pytest.mark.skip(reason="takes a minute or more; set HDFM_LONG"))


def pytest_addoption(parser):
    names = '"all", or names such as "00_core show"; two notebooks by default'
    parser.addoption("--notebooks", help=f"what tests/test_jupyterlab.py opens: {names}")
    parser.addoption("--screenshots", type=Path, help="the folder for its pictures")
    parser.addoption("--tally", type=Path, help="a JSON file for the counts of hostile cases")


def tally(kind):
    """The counts of a kind of hostile cases, printed when all tests are done."""
    return TALLIES.setdefault(kind, dict(cases=0, refused=0, unrefused=0, seconds=0.0, slowest=""))


def longest(counts, seconds, name):
    """Note how long a case took, if none took longer."""
    if seconds > counts["seconds"]:
        counts.update(seconds=round(seconds, 3), slowest=name)


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tallies"] = TALLIES


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    for kind, found in getattr(node, "workeroutput", {}).get("tallies", {}).items():
        counts = tally(kind)
        longest(counts, found.pop("seconds"), found.pop("slowest"))
        for name, count in found.items():
            counts[name] += count


def pytest_terminal_summary(terminalreporter, config):
    for kind, counts in TALLIES.items():
        terminalreporter.write_line(
            "{}: {cases:,} cases, {refused:,} refused in one line, {unrefused} not as they should "
            "be; the longest took {seconds:.2f} s ({slowest})".format(kind, **counts)
        )
    if config.getoption("--tally") and TALLIES:
        sys.path.insert(0, str(ROOT / "benchmarks"))
        from machine import machine

        today = datetime.date.today().isoformat()
        found = dict(command="make hostile", date=today, machine=machine(), **TALLIES)
        config.getoption("--tally").write_text(json.dumps(found, indent=1) + "\n")


def hdfm(*args, module="hdfm", fresh=False, **kwargs):
    """Run the command in a process of its own, forked or fresh, and return it when done."""
    words = ["-m", module, *map(str, args)]
    if not fresh and "forkserver" in multiprocessing.get_all_start_methods():
        return finished(*words, **kwargs)
    command = [sys.executable, *words]
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
    done = hdfm("train", "digits", "--out", run, *TINY, fresh=True)
    assert done.returncode == 0, done.stderr
    return run
