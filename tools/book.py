"""What every chapter owes its reader: `python tools/book.py` names what is missing; `--table`
measures the chapters.

A picture has a text for those who cannot see it (`#| fig-alt`); imports and the code of pictures
are folded or hidden, so that no chapter opens with code; a chapter that is named in prose is
linked, and the link leads somewhere; results are tables and not printed dicts; nothing is wider
than the page; nobody reads a chapter for more than half an hour; and what the documentation build
runs by itself, every cell with an import, does nothing but import.
"""

import ast
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WIDEST = 110  # characters of an output
WORDS_A_MINUTE = 200
LINES_A_MINUTE = 20
LONGEST = 30  # minutes
DIRECTIVE = re.compile(r"^#\|[ \t]*([\w-]+):?[ \t]*(.*)$", re.M)
CHAPTER = re.compile(r"(\[`?)?\b(\d\d_[a-z_]+)\b")
LINK = re.compile(r"\]\((?!https?:|#|images/)([^)#\s]+)(?:#[^)]*)?\)")


def text(cell):
    return "".join(cell["source"])


def directives(cell):
    """{name: value} of the `#|` lines of a code cell."""
    return dict(DIRECTIVE.findall(text(cell)))


def code(cell):
    return DIRECTIVE.sub("", text(cell)).strip()


def body(cell):
    """The statements of a cell; magics are passed over."""
    return ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", code(cell), flags=re.M)).body


def imports(cell):
    """Whether each statement of a cell is an import, as a list of bools."""
    return [isinstance(node, (ast.Import, ast.ImportFrom)) for node in body(cell)]


def is_seen(cell):
    """Whether the page shows the code of a cell without a click."""
    found = directives(cell)
    hidden = {"hide", "export", "default_exp", "code-fold"} & set(found)
    return not hidden and found.get("echo") != "false" and found.get("include") != "false"


def plain(markdown):
    """Prose without code, formulas and folded parts."""
    for cut in (r"<details>.*?</details>", r"~~~.*?~~~|```.*?```", r"`[^`]*`", r"\$\$.*?\$\$"):
        markdown = re.sub(cut, " ", markdown, flags=re.S)
    return markdown


def of_outputs(cell):
    """What is wrong with the outputs of a code cell."""
    found = directives(cell)
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data and not found.get("fig-alt"):
            yield "a picture without `#| fig-alt`"
        shown = "".join(output.get("text", data.get("text/plain", "")))
        if "text/markdown" in data or "text/html" in data:
            continue
        if shown.startswith("{"):
            yield "a printed dict; show a table"
        if max(map(len, shown.splitlines()), default=0) > WIDEST:
            yield f"an output wider than {WIDEST} characters"


def of_code(cell, is_script=False):
    """What is wrong with a code cell; a script, as those of the README, imports where it likes."""
    kinds = [] if is_script else imports(cell)
    found = directives(cell)
    if any(kinds) and not all(kinds):
        yield "imports and other code in one cell"
    if found.get("code-fold") == "true" and "jupyter" not in cell["metadata"]:
        yield "folded, but open in JupyterLab; run make notebooks"
    if {"export", "exports"} & set(found) and "code-fold" in found:
        yield "an exported cell that is folded; the library would have its `#|` lines"
    if kinds and all(kinds) and is_seen(cell) and "exports" not in found:
        yield "imports that are not folded; `#| code-fold: true`"
    yield from of_outputs(cell)


def of_prose(cell, names):
    """What is wrong with the links of a Markdown cell; `names` are the files there are."""
    source = re.sub(r"~~~.*?~~~|```.*?```", "", text(cell), flags=re.S)
    for before, name in CHAPTER.findall(source):
        if not before and f"{name}.ipynb" in names and f"({name}.ipynb" not in source:
            yield f"{name} is named and not linked"
    for target in LINK.findall(source):
        if target not in names and not (ROOT / "nbs" / target).exists():
            yield f"a link to {target}, which is not there"


def minutes(cells):
    """(words, lines of code that are seen, minutes) of a chapter."""
    prose = " ".join(plain(text(c)) for c in cells if c["cell_type"] == "markdown")
    words = len(prose.split())
    seen = [c for c in cells if c["cell_type"] == "code" and is_seen(c)]
    lines = sum(len(code(c).splitlines()) for c in seen)
    return words, lines, words / WORDS_A_MINUTE + lines / LINES_A_MINUTE


def chapters():
    """(path, cells) of every notebook."""
    for path in sorted((ROOT / "nbs").glob("*.ipynb")):
        yield path, json.loads(path.read_text(encoding="utf-8"))["cells"]


def of_chapter(path, cells, names):
    """(cell, what is wrong) of a notebook."""
    for cell in cells:
        is_code = cell["cell_type"] == "code"
        found = of_code(cell, path.stem == "index") if is_code else of_prose(cell, names)
        yield from ((cell["id"], problem) for problem in found)
    opening = next((c for c in cells[1:] if c["cell_type"] == "markdown" or is_seen(c)), None)
    if path.stem[:2].isdigit() and opening and opening["cell_type"] == "code":
        yield opening["id"], "the chapter opens with code"
    taken = minutes(cells)[2]
    if taken > LONGEST:
        yield cells[0]["id"], f"{taken:.0f} minutes to read; {LONGEST} at most"


def problems():
    """One line of text for each thing that is missing."""
    names = {path.name for path, _ in chapters()} | {"playground.qmd"}
    return [
        f"nbs/{path.name}#{cell}: {problem}"
        for path, cells in chapters()
        for cell, problem in of_chapter(path, cells, names)
    ]


def main():
    if "--table" in sys.argv:
        print("| chapter | words | lines of code that are seen | minutes |\n|---|---|---|---|")
        for path, cells in chapters():
            words, lines, taken = minutes(cells)
            print(f"| {path.stem} | {words:,} | {lines} | {taken:.0f} |")
        return 0
    found = problems()
    print("\n".join(found) or "Every chapter is complete.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
