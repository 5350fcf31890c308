"""Every exercise of the book: the blank stub fails, a planted wrong answer fails, the folded
solution passes."""

import ast
import importlib
import re
import sys
from collections import Counter

import nbformat
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))  # the chapters of evidence read results with rows.py

WRONG_ANSWERS = 2  # planted for each exercise, at least
NUMBERED = re.compile(r"^# (\w+\.\d+)\b.*\n", re.M)
GIVEN = re.compile(r"^# Given$", re.M)  # cells that a notebook without a module gives its exercises
SOLUTION = re.compile(r"<details><summary>Solution</summary>\s*~~~python\n(.*?)~~~", re.S)


def only_imports(source):
    """Whether a cell does nothing but import, so that it can be run by itself."""
    body = ast.parse(source).body
    return bool(body) and all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in body)


def exercises(path):
    """(imports, module, [(number, stub, check, solution)]) of a notebook. Where there is no module,
    what is given goes with the imports."""
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
        elif not module and GIVEN.search(cell.source):
            imports.append(cell.source)
        elif numbered := re.match(r"# Exercise (\w+\.\d+)", cell.source):
            stub = numbered[1], cell.source
        elif stub and f'check("{stub[0]}"' in cell.source:
            found.append((*stub, cell.source, None))
            stub = None
    return imports, module, found


def wrong_answers(name):
    """{number: [answers that must not pass]} of a notebook; the first line of each is a comment
    with the number and what is wrong."""
    path = ROOT / "tests" / "wrong_answers" / f"{name}.py"
    found = {}
    if path.exists():
        _, *pieces = NUMBERED.split(path.read_text(encoding="utf-8"))
        for number, answer in zip(pieces[::2], pieces[1::2]):
            found.setdefault(number, []).append(answer)
    return found


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
    space["check"] = lambda *args, **more: verdicts.append(check(*args, **more))
    exec(answer, space)
    exec(check_cell, space)
    assert len(verdicts) == 1
    return verdicts[0]


NOTEBOOKS = {path.stem: exercises(path) for path in sorted((ROOT / "nbs").glob("*.ipynb"))}


def test_all_exercises(capsys):
    counts = dict(stubs=0, wrong=0, solutions=0)
    seen = []
    planted = Counter()
    for name, (imports, module, found) in NOTEBOOKS.items():
        wrong = wrong_answers(name)
        imports = list(imports)
        for number, stub, check_cell, solution in found:
            seen.append(number)
            assert solution, f"{name}: exercise {number} has no folded solution"
            blank = verdict(imports, module, stub, check_cell)
            assert not blank.passed and blank.message == "open", (
                f"{name}: the blank stub of {number}: {blank}"
            )
            counts["stubs"] += 1
            for answer in wrong.pop(number, []):
                found_out = verdict(imports, module, answer, check_cell)
                assert not found_out.passed and found_out.message.startswith("not yet. "), (
                    f"{name}: a wrong answer to {number}: {found_out}\n{answer}"
                )
                counts["wrong"] += 1
                planted[number] += 1
            right = verdict(imports, module, solution, check_cell)
            assert right.passed, f"{name}: the solution of {number}: {right}"
            counts["solutions"] += 1
            if not module:  # then each exercise builds on those before it
                imports.append(solution)
        assert not wrong, f"{name}: wrong answers to exercises that are not there: {sorted(wrong)}"
    assert len(set(seen)) == len(seen)
    few = [number for number in seen if planted[number] < WRONG_ANSWERS]
    assert not few, f"fewer than {WRONG_ANSWERS} planted wrong answers: {', '.join(few)}"
    with capsys.disabled():
        print(
            f"\n{counts['stubs']} stubs fail, {counts['wrong']} planted wrong answers fail, "
            f"{counts['solutions']} solutions pass"
        )


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if re.match(r"\d\d_", name)])
def test_each_notebook_of_the_book_has_exercises(name):
    assert NOTEBOOKS[name][2], f"{name} has no exercise"
