"""What the documentation build does to a notebook, in place of some of nbdev's processors.

nbdev puts an entry of the reference below every exported cell, which needs the notebook's imports
run, lists the functions of a cell in reverse, and links every word in code font that is also the
name of a function. Here the entries stand together at the end of the chapter, in the order of the
chapter, and are made from the library; a cell whose source is hidden leaves a line for each of its
names; a word is linked when it can only mean that name.
"""

import ast
import importlib
import re
from functools import lru_cache
from pathlib import Path

import nbdev.processors as nb
from execnb.nbio import mk_cell
from hdfm._modidx import d as INDEX
from nbdev.process import Processor
from reference import anchor, brief, entry

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
REPOSITORY = "https://github.com/hdfm/hdfm"
COLAB = "https://colab.research.google.com/github/hdfm/hdfm/blob/main/nbs"


class Front(nb.FrontmatterProc):
    "Front matter; a notebook that exports or teaches can be opened in Colab and downloaded."

    def _update(self, parse, cell):
        "Take the title and its line, and leave what else the first cell says."
        text = cell.source
        super()._update(parse, cell)
        if cell.source is None and cell.cell_type == "markdown":
            rest = re.sub(r"^(# |> ).*\n?", "", text, count=2, flags=re.M).strip()
            cell.source = rest or None

    def end(self):
        name = Path(self.nb.path_).name
        if name != "index.ipynb" and self.fm:
            self.fm["other-links"] = [
                dict(text="Open in Colab", icon="play-circle", href=f"{COLAB}/{name}"),
                dict(text="Download notebook", icon="download", href=f"notebooks/{name}"),
            ]
        super().end()


# The reference


def exported_names(source):
    """The public names that a cell defines, in its order."""
    tree = ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.M))
    return [n.name for n in tree.body if isinstance(n, DEFINITIONS) and not n.name.startswith("_")]


def asked_for(source):
    """The names in `show_doc(name)` of a cell."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [
        ast.unparse(call.args[0])
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "show_doc" and call.args
    ]


def module_of(cells):
    """The module that a notebook exports, such as hdfm.path, or None."""
    for cell in cells:
        found = getattr(cell, "directives_", {}).get("default_exp")
        if found:
            return f"hdfm.{found[0]}"
    return None


def symbol_of(name, module):
    """(symbol, the module that defines it) of a name such as HeatProbPath.sample."""
    for place in [module, *sorted(INDEX["syms"])]:
        if place and (place == module or f"{place}.{name}" in INDEX["syms"][place]):
            parts = name.split(".")
            found = importlib.import_module(place)
            if not hasattr(found, parts[0]):
                continue
            found = getattr(found, parts[0])
            for part in parts[1:]:
                found = vars(found).get(part) or getattr(found, part)
            return found, place
    raise ValueError(f"show_doc({name}): hdfm has no such name")


def in_order(names, asked):
    """Names and the methods that were asked for, each method after its class."""
    found = []
    for name in names:
        found.append(name)
        found += [method for method in asked if method.split(".")[0] == name and "." in method]
    return [*found, *(name for name in asked if name not in found)]


class Reference(Processor):
    "Entries at the end of the chapter, and a line where a definition is hidden."

    def begin(self):
        cells = self.nb.cells
        module = module_of(cells)
        names = []
        asked = []
        for cell in cells:
            if cell.cell_type != "code" or not cell.source:
                continue
            directives = cell.directives_
            if "show_doc(" in cell.source and not {"export", "exports"} & set(directives):
                asked += asked_for(cell.source)
                cell.source = None
            elif {"export", "exports"} & set(directives):
                names += self.exported(cell, module)
        self.add(in_order(names, asked), module)

    def exported(self, cell, module):
        found = exported_names(cell.source)
        if "exports" in cell.directives_:
            cell.source = f"#| classes: exported\n{cell.source}"
        elif found:
            lines = [brief(*symbol_of(name, module)[:1], name, module) for name in found]
            text = "\n\n".join(lines)
            cell.brief = f"::: {{.brief}}\n\n{text}\n\n:::"
        return found

    def add(self, names, module):
        if not names:
            return
        parts = []
        for name in names:
            symbol, place = symbol_of(name, module)
            level = 4 if "." in name and name.split(".")[0] in names else 3
            parts.append(entry(symbol, name, place, level, names))
        text = "\n\n".join(["## Reference {#reference}", *parts])
        self.nb.cells.append(mk_cell(text, cell_type="markdown"))
        self.nb.cells[-1].directives_ = {}


def hide_exports(cell):
    "A cell that is exported or hidden goes; where it defined something, its lines stay."
    if not getattr(cell, "directives_", None) or not cell.directives_.keys() & nb._hide_dirs:
        return
    if getattr(cell, "brief", None):
        cell.cell_type = "markdown"
        cell.source = cell.brief
        cell.pop("outputs", None)
    else:
        cell.source = None


# Links


@lru_cache(None)
def targets():
    """{name as it may be written: address} of the public names; None for what is not clear."""
    found = {}
    for module, names in INDEX["syms"].items():
        page = None
        for full, (address, _) in names.items():
            name = full.removeprefix(f"{module}.")
            page = address.split("#")[0]
            if any(part.startswith("_") for part in name.split(".")):
                continue
            target = f"{page}#{anchor(module, name)}"
            short = f"{module.removeprefix('hdfm.')}.{name}"
            found[full] = found[short] = target
            found[name] = None if name in found else target
        if page:
            found[module] = page
    return found


def address(text, is_export=False):
    """Where a piece of code in prose leads, or None.

    A call, a dotted name, a class and a name of several words are meant; `check` may be a word,
    but for the line that says what a chapter exports.
    """
    name = re.sub(r"\(.*\)$", "", text)
    is_name = re.fullmatch(r"[A-Za-z_][\w.]*", name)
    is_clear = text != name or "." in name or "_" in name or re.match(r"[A-Z]\w*[a-z]", name)
    return targets().get(name) if is_name and (is_clear or is_export) else None


SPANS = re.compile(r"\[[^\[\]]*\]\([^)]*\)|\[[^\[\]]*\]\{[^}]*\}|\$[^$\n]+\$|<[^>\n]+>|`([^`\n]+)`")


def linked(source):
    """Markdown in which the first mention of a name of the library is a link."""
    seen = set()

    def link(match):
        text = match.group(1)
        target = address(text, line.startswith("**Exports**")) if text else None
        if not target or target in seen:
            return match.group(0)
        seen.add(target)
        return f"[`{text}`]({target})"

    lines = []
    fence = None
    for line in source.split("\n"):
        opening = re.match(r"\s*(```+|~~~+)", line)
        if opening and (fence is None or line.strip().startswith(fence)):
            fence = None if fence else opening.group(1)[:3]
            lines.append(line)
        elif fence or opening or line.startswith(("#", "    ", ":::", "$$")):
            lines.append(line)
        else:
            lines.append(SPANS.sub(link, line))
    return "\n".join(lines)


def add_links(cell):
    "Links in Markdown cells; the entries of the reference are left as they are."
    if cell.cell_type == "markdown" and not cell.source.startswith("## Reference {#reference}"):
        cell.source = linked(cell.source)


class BookProcessors(nb.FilterDefaults):
    "nbdev's processors, those above in place of its own; an error names the notebook."

    def __call__(self, notebook):
        try:
            return super().__call__(notebook)
        except Exception as error:
            name = Path(notebook.path_).name
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise RuntimeError(f"nbs/{name}: {reason}") from error

    def base_procs(self):
        return [
            Front,
            nb.populate_language,
            nb.insert_warning,
            nb.strip_ansi,
            nb.hide_line,
            nb.filter_stream_,
            nb.rm_header_dash,
            Reference,
            hide_exports,
            nb.clean_magics,
            nb.hide_,
            add_links,
            nb.strip_hidden_metadata,
        ]
