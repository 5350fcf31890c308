"""Run notebooks in a fresh kernel each and store their outputs, cleaned: `python tools/execute.py
[NOTEBOOK ...]`."""

import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
# A widget is dead without its kernel; the notebook shows a picture beside it.
WIDGET = "application/vnd.jupyter.widget-view+json"
FOLDED = re.compile(r"^#\|\s*code-fold:\s*true", re.M)
SKIPPED = re.compile(r"^#\|\s*(slow|cuda)\b", re.M)  # kept with the outputs they have


def for_the_page(output):
    """Progress bars are for the person who watches, and widgets need a kernel."""
    return output.get("name") != "stderr" and WIDGET not in output.get("data", {})


def hide_folded(cell):
    """What a page folds, JupyterLab hides behind three dots."""
    if FOLDED.search(cell.source):
        cell.metadata["jupyter"] = {"source_hidden": True}
    else:
        cell.metadata.pop("jupyter", None)


def execute(path):
    nb = nbformat.read(path, as_version=4)
    kept = [cell for cell in nb.cells if cell.cell_type == "code" and SKIPPED.search(cell.source)]
    sources = [cell.source for cell in kept]
    outputs = [cell.outputs for cell in kept]
    for cell in kept:
        cell.source = ""
    NotebookClient(nb, timeout=1800, resources={"metadata": {"path": str(path.parent)}}).execute()
    for cell, source, output in zip(kept, sources, outputs):
        cell.source = source
        cell.outputs = output
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if for_the_page(output)]
            hide_folded(cell)
    nb.metadata.pop("widgets", None)
    nbformat.write(nb, path)


if __name__ == "__main__":
    names = [Path(name).resolve() for name in sys.argv[1:]] or sorted(
        (ROOT / "nbs").glob("*.ipynb")
    )
    for path in names:
        start = time.time()
        execute(path)
        print(f"{path.name}: {time.time() - start:.0f} s", flush=True)
    subprocess.run([Path(sys.executable).parent / "nbdev_clean"], cwd=ROOT, check=True)
