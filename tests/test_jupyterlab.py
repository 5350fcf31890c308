"""The notebooks in a real JupyterLab: Run All, no red box, and every slider moves its picture.

Plain pytest opens two of them, `make test-browser` all, with screenshots in `_screenshots/`; where
JupyterLab, playwright or a Chromium is missing, the tests are skipped.
"""

import time

import lab as jupyter
import nbformat
import pytest
from conftest import ROOT
from lab import Notebook, lab_server, open_browser, what_is_missing

FAULTY = (
    "import sys\nprint('careful', file=sys.stderr)",
    "from IPython.display import HTML\nHTML('<img src=\"nowhere.png\" alt=\"\">')",
    "HTML('<figure class=\"flipbook\"><img src=\"data:,\" alt=\"\"><button>▶</button>'\n"
    "     '<input type=\"range\" min=\"0\" max=\"3\"></figure>')",
    "HTML('<script>nobody()</script>')",
    "1 / 0",
    "'never reached'",
)
FEW = ("start", "show")  # of every run: the first chapter, and the one that explains sliders
LONGEST = 1800  # seconds that a notebook may run, on a busy machine
NOTEBOOKS = sorted(path.stem for path in (ROOT / "nbs").glob("*.ipynb"))


def chosen(option):
    """The names of the notebooks to open."""
    if option == "all":
        return NOTEBOOKS
    names = option.split() if option else [name for name in FEW if name in NOTEBOOKS]
    assert set(names) <= set(NOTEBOOKS), f"no such notebook: {set(names) - set(NOTEBOOKS)}"
    return names


def pytest_generate_tests(metafunc):
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", chosen(metafunc.config.getoption("notebooks")))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    if missing := what_is_missing():
        pytest.skip(f"not here: {missing}")
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def lab(place):
    with lab_server(place) as server:
        yield server


@pytest.fixture(scope="module")
def browser(lab):
    with open_browser() as opened:
        yield opened


@pytest.fixture
def notebook(lab, browser, name):
    opened = Notebook(lab, browser, f"nbs/{name}.ipynb")
    yield opened
    opened.close()


def stored_errors(cells):
    """The errors and tracebacks among the outputs of a saved notebook, a line each."""
    outputs = [(cell["id"], output) for cell in cells for output in cell.get("outputs", ())]
    for cell, output in outputs:
        if output["output_type"] == "error":
            yield f"{cell}: {output['ename']}: {output['evalue'][:300]}"
        if "Traceback (most recent call last)" in "".join(output.get("text", "")):
            yield f"{cell}: a traceback is printed"


def test_finds_what_is_wrong(lab, browser, monkeypatch):
    """A notebook with one fault of each kind; every fault is named."""
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, FAULTY)))
    notebook.metadata.kernelspec = dict(name="python3", display_name="python3", language="python")
    nbformat.write(notebook, lab.checkout / "faulty.ipynb")
    monkeypatch.setattr(jupyter, "PLAYS_IN", 1)
    opened = Notebook(lab, browser, "faulty.ipynb")
    opened.run_all(LONGEST)
    problems = "\n".join(opened.problems())
    dead, tried = opened.dead_controls()
    errors = list(stored_errors(opened.save()))
    opened.close()
    for fault in ("1 cells did not run", "careful", "nowhere.png", "nobody", "ZeroDivisionError"):
        assert fault in problems, f"{fault} is not in:\n{problems}"
    assert len(dead) == tried == 2
    assert len(errors) == 1 and "ZeroDivisionError" in errors[0]


def test_runs_in_jupyterlab(notebook, name, place, request):
    """Run All Cells, as a reader would; then look at what is there, and move what moves."""
    folder = request.config.getoption("screenshots") or place / "screenshots"
    start = time.monotonic()
    try:
        notebook.run_all(LONGEST)
    finally:
        notebook.screenshots(folder)
    problems = notebook.problems()
    dead, tried = notebook.dead_controls()
    cells = notebook.save()
    assert any(cell.get("outputs") for cell in cells)
    took = time.monotonic() - start
    found = [*stored_errors(cells), *problems, *dead]
    told = f"{name}: {len(cells)} cells, {tried} controls, {took:.0f} s, pictures in {folder}"
    print("\n   ".join([told, *found]), flush=True)
    assert not found, "\n".join([f"{name}.ipynb in JupyterLab:", *found])
