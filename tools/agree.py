"""Check that notebooks, library and README agree: `python tools/agree.py`.

Works on a copy, so nothing in the checkout is overwritten: a hand-made change of hdfm/*.py is
found, not lost.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from readme import readme

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


def copy_checkout(target):
    """Copy what git tracks, or would track, to `target`; outside git, all but what is made here."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        shutil.copytree(
            ROOT,
            target,
            symlinks=True,
            ignore=shutil.ignore_patterns(".venv", "runs", "_proc", "_docs", "*.egg-info"),
        )
        return
    for name in filter(None, listed.stdout.split("\0")):
        source = ROOT / name
        copy = target / name
        if source.exists() or source.is_symlink():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)


def differing(pattern, target):
    """Names of files matching `pattern` that differ between the checkout and the copy."""
    names = {p.relative_to(base).as_posix() for base in (ROOT, target) for p in base.glob(pattern)}
    return sorted(
        n
        for n in names
        if not (
            (ROOT / n).is_file()
            and (target / n).is_file()
            and (ROOT / n).read_bytes() == (target / n).read_bytes()
        )
    )


def main():
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "copy"
        copy_checkout(target)
        for step in ("nbdev_clean", "nbdev_export"):
            subprocess.run([BIN / step], cwd=target, check=True, stdout=subprocess.DEVNULL)
        problems += [
            f"{n} has uncleaned metadata or outputs: run make export"
            for n in differing("nbs/*.ipynb", target)
        ]
        problems += [
            f"{n} is not what the notebooks export: change the notebook, then run make export"
            for n in differing("hdfm/*.py", target)
        ]
    if (ROOT / "README.md").read_text(encoding="utf-8") != readme(ROOT):
        problems.append(
            "README.md is not what nbs/index.ipynb says: change the notebook, then run make export"
        )
    for path in sorted((ROOT / "nbs").glob("*.ipynb")):
        cells = [
            c
            for c in json.loads(path.read_text(encoding="utf-8"))["cells"]
            if c["cell_type"] == "code"
        ]
        if any(o["output_type"] == "error" for c in cells for o in c["outputs"]):
            problems.append(
                f"nbs/{path.name} has a stored error: run make notebooks NB=nbs/{path.name}"
            )
        if not any(c["outputs"] for c in cells):
            problems.append(
                f"nbs/{path.name} has no stored outputs: run make notebooks NB=nbs/{path.name}"
            )
    print("\n".join(problems) or "Notebooks, library and README agree.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
