"""The wheel holds everything that it needs to run elsewhere."""

import os
import subprocess
import sys

from agree import copy_checkout


def run(*command, **kwargs):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(target):
    """The wheel of the checkout, made in the folder `target`."""
    source = target / "source"
    copy_checkout(source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", target]
    run(*command, cwd=source)
    (wheel,) = target.glob("*.whl")
    return wheel


def test_the_wheel_trains_and_samples_elsewhere(tmp_path):
    """Built, unpacked beside the installed dependencies, run from a folder that is no checkout."""
    wheel = build(tmp_path)
    site = tmp_path / "site"
    away = tmp_path / "away"
    away.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-compile", "-q"]
    run(*pip, "--target", site, wheel)
    there = dict(cwd=away, env={**os.environ, "PYTHONPATH": str(site)})
    where = run(sys.executable, "-c", "import hdfm; print(hdfm.__file__)", **there)
    assert where.startswith(str(site))
    for command in ([sys.executable, "-m", "hdfm"], [sys.executable, site / "bin" / "hdfm"]):
        assert run(*command, "--version", **there).startswith("hdfm ")
    run(*command, "train", "digits", "--steps", "5", **there)
    run(*command, "sample", "runs/digits", "--out", "grid.png", **there)
    assert (away / "grid.png").read_bytes().startswith(b"\x89PNG")
    draw = (
        "from hdfm.hub import FlowModel\n"
        "print(*FlowModel.from_pretrained('digits').sample(count=2).shape)"
    )
    assert run(sys.executable, "-c", draw, **there).split()[-4:] == ["2", "1", "8", "8"]
    assert (site / "hdfm" / "book.mplstyle").exists() and not (site / "nbs").exists()
