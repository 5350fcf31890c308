"""Every exercise of the book: the blank stub fails, a planted wrong answer fails, the folded
solution passes."""

import ast
import importlib
import re

import nbformat
import pytest
from conftest import ROOT
from wrong_answers import WRONG

SOLUTION = re.compile(r"<details><summary>Solution</summary>\s*~~~python\n(.*?)~~~", re.S)


def only_imports(source):
    """Whether a cell does nothing but import, so that it can be run by itself."""
    body = ast.parse(source).body
    return bool(body) and all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in body)


def exercises(path):
    """(imports, module, [(number, stub, check, solution)]) of a notebook."""
    imports = []
    found = []
    module = None
    stub = None
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            solution = SOLUTION.search(cell.source)
            if solution and found and found[-1][3] is None:
                found[-1] = (*found[-1][:3], solution[1])
            continue
        if named := re.search(r"#\| default_exp (\w+)", cell.source):
            module = named[1]
        elif only_imports(cell.source) and "nbdev" not in cell.source:
            imports.append(cell.source)
        elif numbered := re.match(r"# Exercise (\w+\.\d+)", cell.source):
            stub = numbered[1], cell.source
        elif stub and f'check("{stub[0]}"' in cell.source:
            found.append((*stub, cell.source, None))
            stub = None
    return imports, module, found


def verdict(imports, module, answer, check_cell):
    """What the check says of an answer, with nothing at hand but the imports and the notebook's
    own module."""
    space = {}
    verdicts = []
    for source in imports:
        exec(source, space)
    if module:
        space.update(vars(importlib.import_module(f"hdfm.{module}")))
    check = importlib.import_module("hdfm.exercise").check
    space["check"] = lambda *args: verdicts.append(check(*args))
    exec(answer, space)
    exec(check_cell, space)
    assert len(verdicts) == 1
    return verdicts[0]


NOTEBOOKS = {path.stem: exercises(path) for path in sorted((ROOT / "nbs").glob("*.ipynb"))}


def test_all_exercises(capsys):
    counts = dict(stubs=0, wrong=0, solutions=0)
    seen = []
    for name, (imports, module, found) in NOTEBOOKS.items():
        for number, stub, check_cell, solution in found:
            seen.append(number)
            assert solution, f"{name}: exercise {number} has no folded solution"
            blank = verdict(imports, module, stub, check_cell)
            assert not blank.passed and blank.message == "open", (
                f"{name}: the blank stub of {number}: {blank}"
            )
            counts["stubs"] += 1
            wrong = verdict(imports, module, WRONG[number], check_cell)
            assert not wrong.passed and wrong.message.startswith("not yet. "), (
                f"{name}: the wrong answer to {number}: {wrong}"
            )
            counts["wrong"] += 1
            right = verdict(imports, module, solution, check_cell)
            assert right.passed, f"{name}: the solution of {number}: {right}"
            counts["solutions"] += 1
    assert sorted(seen) == sorted(WRONG) and len(set(seen)) == len(seen)
    with capsys.disabled():
        print(
            f"\n{counts['stubs']} stubs fail, {counts['wrong']} planted wrong answers fail, "
            f"{counts['solutions']} solutions pass"
        )


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if re.match(r"\d\d_", name)])
def test_each_notebook_of_the_book_has_exercises(name):
    assert NOTEBOOKS[name][2], f"{name} has no exercise"
