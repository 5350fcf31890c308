"""What the documentation build makes of the notebooks; no Quarto and no browser is needed."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import version

import docs
import finish_site
import green
import processors
import pytest
import reference
import site_assets
from agree import copy_checkout
from conftest import ROOT


def process(folder):
    """`_proc` of a copy of the checkout, made in a process of its own."""
    code = f"import docs, pathlib; docs.process(pathlib.Path({str(folder)!r}))"
    paths = [str(folder), str(folder / "tools"), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True
    )
    return done, folder / "_proc"


@pytest.fixture(scope="module")
def proc(tmp_path_factory):
    copy = tmp_path_factory.mktemp("docs") / "copy"
    copy_checkout(copy)
    done, folder = process(copy)
    assert done.returncode == 0, done.stderr
    return folder


def texts(proc, name):
    """The sources of the cells of a processed notebook."""
    cells = json.loads((proc / name).read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells]


def test_every_chapter_is_processed_and_nothing_is_wrong_with_it(proc):
    assert docs.problems(proc, ROOT) == []


def test_the_first_cell_keeps_what_stands_below_the_title(proc):
    cells = texts(proc, "01_path.ipynb")
    assert "title: 01 The path and its velocity" in cells[0] and "Download notebook" in cells[0]
    opening = next(text for text in cells if "**Question.**" in text)
    assert not opening.startswith("#") and "**Exports**" in opening


def test_entries_stand_at_the_end_in_the_order_of_the_chapter(proc):
    last = texts(proc, "03_sampling.ipynb")[-1]
    assert last.startswith("## Reference")
    names = ("euler", "heun", "adaptive_euler", "adaptive_heun", "exponential", "exponential_2m")
    places = [last.index(f"### `{name}` {{#hdfm.sampling.{name} .entry}}") for name in names]
    assert places == sorted(places)
    assert "def heun(predict, path, z, ts)" in last and "_trust" not in last
    paths = texts(proc, "01_path.ipynb")[-1]
    assert "class HeatProbPath(" in paths and "| `blur_strength` | float | `1.0` | r ≥ 0" in paths


def test_a_broken_notebook_is_named_in_one_line(tmp_path):
    copy = tmp_path / "copy"
    copy_checkout(copy)
    for path in copy.glob("nbs/*.ipynb"):
        if path.name != "00_core.ipynb":
            path.unlink()
    path = copy / "nbs" / "00_core.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cell = dict(cell_type="code", id="broken", metadata={}, outputs=[], execution_count=None)
    notebook["cells"].append({**cell, "source": ["show_doc(HeatOperator.nothing)"]})
    path.write_text(json.dumps(notebook), encoding="utf-8")
    done, _ = process(copy)
    assert done.returncode
    assert "nbs/00_core.ipynb: AttributeError" in done.stderr.splitlines()[-1]


# The reference


def example(
    x,  # images `[B, C, H, W]` | in *stars*
    scale: float = 1.0,  # an unpaired ` backtick
    *rest,
    name="a|b",
    **options,  # passed on,
    # and explained on two lines
):  # a `Thing` of [1, 2]
    "Does <it> with `x_1` and_more_ of $this."


class Callable:
    "Something that is called."

    def __init__(self, size: int = 3):  # how large
        self.size = size

    def __call__(self, x):
        return x

    @property
    def area(self):
        "Its area."
        return self.size**2

    @classmethod
    def small(cls, *, quick=False):
        "A small one."
        return cls(1)


@dataclass
class Row:
    a: int = 1  # the first
    b: list = field(default_factory=list, metadata={"help": "the second"})


def test_nothing_in_a_comment_breaks_an_entry():
    text = reference.entry(example, "example", "hdfm.example")
    signature = text.split("```python\n")[1].split("\n```")[0]
    assert signature == "def example(x, scale=1.0, *rest, name='a|b', **options)"
    assert r"| `x` |  |  | images `[B, C, H, W]` \| in \*stars\* |" in text
    assert r"| `scale` | float | `1.0` | an unpaired \` backtick |" in text
    assert "| `**options` |  |  | passed on, and explained on two lines |" in text
    assert r"**Returns** a `Thing` of \[1, 2\]" in text
    assert r"Does \<it\> with `x_1` and\_more\_ of \$this." in text


def test_a_class_is_a_class_with_its_methods():
    text = reference.entry(Callable, "Callable", "hdfm.example", full=("Callable.small",))
    assert "class Callable(size=3)" in text and "| `size` | int | `3` | how large |" in text
    assert "Call self as a function" not in text and "Something that is called." in text
    assert "[`small(*, quick=False)`](#hdfm.example.Callable.small) | A small one." in text
    assert "[`area`]{#hdfm.example.Callable.area} | Its area." in text


def test_the_fields_of_a_dataclass_are_told():
    text = reference.entry(Row, "Row", "hdfm.example")
    assert "| `a` | int | `1` | the first |" in text
    assert "| `b` | list | a new one | the second |" in text
    assert "Row(a: int" not in text and "class Row(a=1, b=…)" in text


# Links


@pytest.mark.parametrize("word", ["check", "fit", "part", "digits", "table", "x_hat", "torch.rand"])
def test_a_word_is_not_a_link(word):
    assert processors.address(word) is None


@pytest.mark.parametrize(
    "word, target",
    [
        ("make_path", "process.html#hdfm.process.make_path"),
        ("HeatProbPath.sample", "path.html#hdfm.path.HeatProbPath.sample"),
        ("HeatProbPath(64)", "path.html#hdfm.path.HeatProbPath"),
        ("hdfm.path", "path.html"),
        ("check()", "exercise.html#hdfm.exercise.check"),
    ],
)
def test_a_name_that_can_only_be_meant_is_a_link(word, target):
    assert processors.address(word) == target


def test_links_leave_code_formulas_headings_and_links_alone():
    kept = "\n".join(
        [
            "# `make_path`",
            "~~~python",
            "`make_path`",
            "~~~",
            "[`make_path`](elsewhere.html) and $`make_path`$",
        ]
    )
    assert processors.linked(kept) == kept
    exported = processors.linked("**Exports** `check`")
    assert exported == "**Exports** [`check`](exercise.html#hdfm.exercise.check)"
    twice = processors.linked("`make_path` and `make_path`")
    assert twice == "[`make_path`](process.html#hdfm.process.make_path) and `make_path`"


# What follows Quarto


def test_imports_leave_the_search_index_and_definitions_enter_it(tmp_path):
    page = dict(objectID="sampling.html", href="sampling.html", title="03 Samplers", section="")
    text = "from hdfm.sampling import (exponential_2m,\n    heun)\nimport torch\nz = heun(z)"
    path = tmp_path / "search.json"
    path.write_text(json.dumps([{**page, "text": text, "crumbs": ["Theory"]}]), encoding="utf-8")
    source = reference.entry(example, "exponential_2m", "hdfm.sampling")
    cell = dict(cell_type="markdown", source=[source])
    front = {"output-file": "sampling.html", "title": "03 Samplers"}
    finish_site.mend_search(path, finish_site.entries(front, [cell]))
    first, second = json.loads(path.read_text(encoding="utf-8"))
    assert first["text"] == "z = heun(z)"
    assert second["section"] == "exponential_2m" and second["crumbs"] == ["Theory"]
    assert second["href"] == "sampling.html#hdfm.sampling.exponential_2m"
    assert second["text"].startswith("Does <it> with")


def test_a_page_loads_nothing_from_elsewhere_and_corners_are_no_headings():
    polyfill = '<script src="https://cdnjs.cloudflare.com/polyfill/v3/p.js?features=es6"></script>'
    local = '<script src="vendor/mathjax/tex-chtml-full.js"></script>'
    assert finish_site.mend_page(f"{polyfill}{local}<th></th>") == f"{local}<td></td>"


def test_the_foot_of_a_page_says_when_all_tests_passed(tmp_path):
    foot = '<p>hdfm<span class="last-green"></span></p>'
    file = tmp_path / "green.json"
    assert finish_site.mend_page(foot, finish_site.last_green(file)) == foot
    file.write_text(json.dumps(green.note()))
    said = finish_site.mend_page(foot, finish_site.last_green(file))
    assert "; all tests passed on 20" in said
    assert f"torch {version('torch')}" in said


def test_a_page_as_text_has_formulas_and_no_pictures_in_base64(proc):
    image = dict(output_type="display_data", data={"image/png": "iVBORw0KGgo=" * 50})
    flip = {"text/html": "<figure><img src='data:image/webp;base64,AAAA'>", "text/plain": "A wave"}
    cells = [
        dict(cell_type="markdown", source=["$$\\dot u=\\Delta u \\tag{0.1}$$\n\n::: {.x}\n:::"]),
        dict(cell_type="code", source=['#| fig-alt: "A curve."\nplot()'], outputs=[image]),
        dict(cell_type="code", source=["#| echo: false\nflip()"], outputs=[dict(data=flip)]),
    ]
    text = finish_site.page_text(dict(title="T"), cells)
    assert "$$\\dot u=\\Delta u \\tag{0.1}$$" in text and ":::" not in text
    assert "```python\nplot()\n```\n\n*Picture: A curve.*" in text
    assert "*Picture: A wave*" in text and "flip()" not in text and "base64" not in text
    for front, cells in finish_site.chapters(proc):
        assert "base64," not in finish_site.page_text(front, cells), front["title"]


def test_the_list_of_pages_has_all_of_them(proc):
    import yaml

    site = yaml.safe_load((proc / "_quarto.yml").read_text(encoding="utf-8"))["website"]
    text = finish_site.llms(site, proc)
    assert text.startswith("# hdfm\n\n> ") and "## Theory\n- [" in text
    assert "(https://hdfm.github.io/hdfm/path.html.md): Blur and noise at once" in text


def test_assets_are_pinned_and_may_come_from_a_mirror(monkeypatch):
    monkeypatch.delenv("NPM_REGISTRY", raising=False)
    for asset in site_assets.ASSETS:
        assert asset.url.startswith("https://registry.npmjs.org/") and len(asset.sha256) == 64
    monkeypatch.setenv("NPM_REGISTRY", "http://mirror.example/npm/")
    asset = site_assets.ASSETS[0]
    assert asset.url == "http://mirror.example/npm/mathjax/-/mathjax-3.2.2.tgz"
