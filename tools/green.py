"""Note in `_green.json` that everything was green: when, of which commit, with which versions. The
last thing that `make test` does; the site says it at the foot of every page."""

import datetime
import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "_green.json"
SHOWN = ("torch", "numpy", "nbdev")


def git(*words):
    found = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    return found.stdout.strip()


def note():
    versions = dict(Python=platform.python_version(), **{name: version(name) for name in SHOWN})
    commit = git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
    return dict(date=datetime.date.today().isoformat(), commit=commit, versions=versions)


def said(green):
    """The note as a line for people."""
    versions = ", ".join(f"{name} {number}" for name, number in green["versions"].items())
    return f"all tests passed on {green['date']} ({green['commit']}) with {versions}"


def main():
    green = note()
    FILE.write_text(json.dumps(green) + "\n", encoding="utf-8")
    print(said(green))


if __name__ == "__main__":
    main()
