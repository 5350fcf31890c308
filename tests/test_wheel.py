"""The wheel holds everything that it needs to run elsewhere."""
import os
import subprocess
import sys

from agree import copy_checkout


def run(*command, **kwargs):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_trains_and_samples_elsewhere(tmp_path):
    """Built, unpacked beside the installed dependencies, and run from a folder that is not the checkout."""
    copy_checkout(tmp_path / "source")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, cwd=tmp_path / "source")
    wheel, = tmp_path.glob("*.whl")
    site, away = tmp_path / "site", tmp_path / "away"
    away.mkdir()
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-compile", "-q", "--target", site, wheel)
    env = {**os.environ, "PYTHONPATH": str(site)}
    where = run(sys.executable, "-c", "import hdfm; print(hdfm.__file__)", cwd=away, env=env)
    assert where.startswith(str(site))
    command = [sys.executable, site / "bin" / "hdfm"]
    assert run(*command, "--version", cwd=away, env=env).startswith("hdfm ")
    run(*command, "train", "digits", "--steps", "5", cwd=away, env=env)
    run(*command, "sample", "runs/digits", "--out", "grid.png", cwd=away, env=env)
    assert (away / "grid.png").read_bytes().startswith(b"\x89PNG")
    draw = "from hdfm.hub import FlowModel; print(*FlowModel.from_pretrained('digits').sample(count=2).shape)"
    assert run(sys.executable, "-c", draw, cwd=away, env=env).split()[-4:] == ["2", "1", "8", "8"]
    assert (site / "hdfm" / "book.mplstyle").exists() and not (site / "nbs").exists()
