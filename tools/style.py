"""One thought a line: `python tools/style.py` names every line of code that breaks the house
rules; `--table` measures the library.

The rules, for the code cells of the notebooks and for every .py file of the project but the
exported ones: at most 100 characters (but for the `#|` lines of a cell); no semicolon; no tuple of
calls as a statement (a cell may end on one, to show it); no `and` or `or` as a statement, nor `and
None`; no tuple assigned from a tuple, but for a swap. IPython's `%` and `!` lines are passed over.
"""

import ast
import json
import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 100


def pieces():
    """(place, source) of everything that people write."""
    for path in sorted((ROOT / "nbs").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                yield f"nbs/{path.name}#{cell['id']}", "".join(cell["source"])
    for folder in ("tests", "tools", "benchmarks"):
        for path in sorted((ROOT / folder).glob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def names(node):
    """The targets or values of a tuple, as text."""
    return [ast.unparse(item) for item in node.elts]


def is_tuple(node):
    return isinstance(node, ast.Tuple) and len(node.elts) > 1


def packed(node):
    """What is packed about a statement or an expression, or None."""
    if isinstance(node, ast.Expr) and is_tuple(node.value):
        return "several calls in one statement"
    if isinstance(node, ast.Expr) and isinstance(node.value, (ast.BoolOp, ast.IfExp)):
        return "an expression for control flow; write an if"
    if isinstance(node, ast.BoolOp):
        last = node.values[-1]
        if isinstance(last, ast.Constant) and last.value is None and isinstance(node.op, ast.And):
            return "`and None`"
    if isinstance(node, ast.Assign) and is_tuple(node.value) and len(node.targets) == 1:
        target = node.targets[0]
        if is_tuple(target) and sorted(names(target)) != sorted(names(node.value)):
            return "several assignments in one"
    return None


def broken_rules(source, is_cell=False):
    """(line number, what is wrong) of each broken rule; a cell may end on values to show."""
    found = [
        (number, f"{len(line)} characters")
        for number, line in enumerate(source.splitlines(), 1)
        if len(line) > LONGEST and not line.startswith("#| ")
    ]
    if re.search(r"^\s*[%!]", source, re.M):
        source = re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.M)
    tree = ast.parse(source)
    shown = tree.body[-1] if is_cell and tree.body else None
    for node in ast.walk(tree):
        if node is not shown and (why := packed(node)):
            found.append((node.lineno, why))
        for block in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            if not isinstance(block, list):
                continue
            for one, two in zip(block, block[1:]):
                if one.end_lineno == two.lineno:
                    found.append((two.lineno, "two statements on a line"))
    return sorted(set(found))


def problems():
    """One line of text for each broken rule of the project."""
    return [
        f"{place}:{number}: {why}"
        for place, source in pieces()
        for number, why in broken_rules(source, ".ipynb#" in place)
    ]


def measures(folder):
    """Lengths of functions and lines of the library in `folder`, as (what, number) pairs."""
    lines = []
    functions = []
    assignments = 0
    modules = []
    for path in sorted(Path(folder).glob("*.py")):
        if path.name.startswith("_"):
            continue
        source = path.read_text(encoding="utf-8")
        modules.append(len(source.splitlines()))
        code = [line for line in source.splitlines() if line.strip() and not line.startswith("#")]
        lines += [len(line) for line in code]
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                functions.append(node.end_lineno - node.lineno + 1)
            assignments += packed(node) is not None

    def share(limit):
        return f"{100 * sum(n > limit for n in lines) / len(lines):.1f} %"

    return [
        ("modules", len(modules)),
        ("lines of the longest module", max(modules)),
        ("functions", len(functions)),
        ("median lines of a function", statistics.median(functions)),
        ("ninth decile", statistics.quantiles(functions, n=10)[8]),
        ("median characters of a line", statistics.median(lines)),
        ("lines above 100 characters", share(100)),
        ("above 120", share(120)),
        ("packed statements", assignments),
    ]


def main():
    if "--table" in sys.argv:
        for folder in sys.argv[2:] or [ROOT / "hdfm"]:
            print(f"| {folder} | |\n|---|---|")
            print(
                "".join(
                    f"| {what} | {number:g} |\n"
                    if not isinstance(number, str)
                    else f"| {what} | {number} |\n"
                    for what, number in measures(folder)
                )
            )
        return 0
    found = problems()
    print("\n".join(found) or "Every line holds one thought.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
