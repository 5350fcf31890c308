"""An entry of the reference in Markdown: `entry(symbol, name, module)`.

Signature, docstring, a table of the arguments with types, defaults and the comments beside them,
what is returned, a link to the source; of a class its public methods as well. Everything comes
from the source, and nothing in it can break the page: what is not between backticks is escaped.
"""

import ast
import dataclasses
import inspect
import io
import re
import textwrap
import tokenize

WIDEST = 88  # characters of a signature on one line
MOST = 12  # arguments that a signature lists
GITHUB = "https://github.com/hdfm/hdfm/blob/main"
WORDS = ("a function", "a new one")  # instead of a default that has no short form
EMPTY = inspect.Parameter.empty
STARS = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


# Text


def escaped(text):
    """Text in which nothing is Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#$|~^@])", r"\\\1", text)


def prose(text):
    """Text in which only whole pairs of backticks are Markdown."""
    parts = re.split(r"(`[^`\n]+`)", text)
    return "".join(
        part.replace("|", "\\|") if place % 2 else escaped(part) for place, part in enumerate(parts)
    )


def code(text):
    """Text as code within a line, whatever is in it."""
    fence = "``" if "`" in text else "`"
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}" if text else ""


def cell(text):
    return " ".join(text.split())


# What the source says


def plain(symbol):
    """The function behind a property, a class method, a wrapper."""
    if isinstance(symbol, property):
        symbol = symbol.fget
    return inspect.unwrap(getattr(symbol, "__func__", symbol))


def comments(function):
    """{name: comment} of the arguments of a function, and under `return` what it returns."""
    try:
        source = textwrap.dedent(inspect.getsource(plain(function)))
        tree = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError):
        return {}
    if not isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return {}
    notes = notes_of(source)
    listed = [*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs]
    listed += [arg for arg in (tree.args.vararg, tree.args.kwarg) if arg]
    listed = [arg for arg in listed if arg.arg not in ("self", "cls")]
    found = {}
    for arg in sorted(listed, key=lambda arg: (arg.lineno, arg.col_offset)):
        last = max(other.col_offset for other in listed if other.lineno == arg.lineno)
        if arg.col_offset == last and (note := notes.get(end_of(tree, arg))):
            found[arg.arg] = note
    end = end_of_head(source, tree)
    if end in notes and end not in {end_of(tree, arg) for arg in listed}:
        found["return"] = notes[end]
    elif end in notes and tree.returns and end == tree.returns.lineno:
        found["return"] = notes[end]
    return found


def notes_of(source):
    """{line: comment} of a piece of source; a line that is only a comment continues the last."""
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        said = token.string.lstrip("#").strip()
        is_alone = not token.line[: token.start[1]].strip()
        if is_alone and line - 1 in found:
            found[line] = f"{found[line - 1]} {said}"
            above = found[line - 1]
            while line > 1 and found.get(line - 1) == above:
                found[line - 1] = found[line]
                line -= 1
        elif not is_alone:
            found[line] = said
    return found


def end_of(tree, arg):
    """The line on which an argument with its default ends."""
    positional = [*tree.args.posonlyargs, *tree.args.args]
    first = len(positional) - len(tree.args.defaults)
    defaults = dict(zip(positional[first:], tree.args.defaults))
    defaults.update(zip(tree.args.kwonlyargs, tree.args.kw_defaults))
    default = defaults.get(arg)
    return default.end_lineno if default is not None else arg.end_lineno


def end_of_head(source, tree):
    """The line of the colon that ends the head of a function."""
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.start < (tree.lineno, tree.col_offset):
            continue
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
            if token.string == ":" and depth == 0:
                return token.start[0]
    return tree.lineno


def field_comments(cls):
    """{name: comment} of the fields of a dataclass, bases first."""
    found = {}
    for base in reversed(cls.__mro__):
        try:
            source = textwrap.dedent(inspect.getsource(base))
        except (OSError, TypeError):
            continue
        notes = notes_of(source)
        fields = (f for f in ast.parse(source).body[0].body if isinstance(f, ast.AnnAssign))
        found.update({f.target.id: notes[f.end_lineno] for f in fields if f.end_lineno in notes})
    return found


def docstring(symbol):
    """Its own docstring, or none: never that of a base class or of `object`."""
    if inspect.isclass(symbol) and dataclasses.is_dataclass(symbol):
        text = symbol.__doc__ or ""
        return "" if text.startswith(f"{symbol.__name__}(") else inspect.cleandoc(text)
    if inspect.isclass(symbol):
        return inspect.cleandoc(vars(symbol).get("__doc__") or "")
    return inspect.cleandoc(getattr(plain(symbol), "__doc__", None) or "")


def first_line(symbol):
    return docstring(symbol).split("\n\n")[0].replace("\n", " ")


# The signature


def constructor(cls):
    """What is called to make one: `__init__` of the class or of a base in the same package."""
    package = cls.__module__.split(".")[0]
    for base in cls.__mro__:
        if "__init__" in vars(base):
            return base.__init__ if base.__module__.split(".")[0] == package else None
    return None


def parameters(symbol):
    """The parameters that a caller gives, as a list of `inspect.Parameter`."""
    if inspect.isclass(symbol) and not dataclasses.is_dataclass(symbol):
        symbol = constructor(symbol)
        if symbol is None:
            return []
    if isinstance(symbol, property):
        return []
    try:
        found = list(inspect.signature(plain(symbol)).parameters.values())
    except (TypeError, ValueError):
        return []
    return [p for place, p in enumerate(found) if place or p.name not in ("self", "cls")]


def returned(symbol):
    """The annotation of what a function returns."""
    if inspect.isclass(symbol):
        return EMPTY
    return getattr(plain(symbol), "__annotations__", {}).get("return", EMPTY)


def written(value):
    """A type or a default, short."""
    if value is EMPTY:
        return ""
    if isinstance(value, str):
        return value
    if inspect.isclass(value):
        return value.__name__ if value.__module__ == "builtins" else value.__qualname__
    return str(value).replace("typing.", "")


def default(parameter):
    """The default as it is written, or as near as can be said in a line."""
    value = parameter.default
    if value is EMPTY:
        return ""
    if callable(value) and hasattr(value, "__name__"):
        return "a function" if value.__name__ == "<lambda>" else value.__name__
    if "factory" in repr(value):
        return "a new one"
    return cell(re.sub(r"<([\w.]+) object at 0x\w+>", r"\1", repr(value)))


def said(parameter):
    text = STARS.get(parameter.kind, "") + parameter.name
    if parameter.default is EMPTY:
        return text
    value = default(parameter)
    is_long = value in WORDS or len(value) > WIDEST // 2
    return f"{text}={'…' if is_long else value}"


def call(symbol, name, kind=""):
    """`kind name(a, b=1)`, one argument a line where one line is too short."""
    found = parameters(symbol)
    parts = [said(p) for p in found]
    kinds = [p.kind for p in found]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        parts.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    if isinstance(symbol, property):
        return name
    head = f"{kind} {name}".strip()
    if len(parts) > MOST:
        return f"{head}(...)  # {len(parts)} arguments, listed below"
    line = f"{head}({', '.join(parts)})"
    if len(line) <= WIDEST:
        return line
    return "\n".join([f"{head}(", *(f"    {part}," for part in parts), ")"])


def source_link(symbol, module):
    """The address of the first line of the source."""
    try:
        line = inspect.getsourcelines(symbol if inspect.isclass(symbol) else plain(symbol))[1]
    except (OSError, TypeError):
        return None
    return f"{GITHUB}/{module.replace('.', '/')}.py#L{line}"


# The entry


def arguments_table(symbol):
    """The arguments as lines of a Markdown table; nothing where there is nothing to say."""
    found = parameters(symbol)
    is_class = inspect.isclass(symbol)
    if is_class and dataclasses.is_dataclass(symbol):
        told = {f.name: f.metadata.get("help") for f in dataclasses.fields(symbol)}
        notes = field_comments(symbol) | {name: text for name, text in told.items() if text}
    else:
        notes = comments(constructor(symbol) or symbol if is_class else symbol)
    types = {p.name: written(p.annotation) for p in found}
    has_types = any(types.values())
    if not found or not (has_types or notes):
        return [], notes
    options = getattr(symbol, "help", {}) if is_class else {}
    options = options if isinstance(options, dict) else {}
    head = ["argument", *(["type"] if has_types else []), "default", "meaning"]
    rows = []
    for p in found:
        meaning = notes.get(p.name) or options.get(p.name, "")
        name = code(STARS.get(p.kind, "") + p.name)
        row = [name, *([escaped(types[p.name])] if has_types else [])]
        value = default(p)
        value = value if value in WORDS else code(value)
        rows.append([*row, value, prose(cell(str(meaning)))])
    kept = [0, *(i for i in range(1, len(head)) if any(row[i] for row in rows))]
    head = [head[i] for i in kept]
    rows = [[row[i] for i in kept] for row in rows]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)], notes


def methods(cls):
    """{name: symbol} of the public methods that a class itself defines, in its order."""
    kinds = (classmethod, staticmethod, property)
    return {
        name: getattr(value, "__wrapped__", value) if not isinstance(value, kinds) else value
        for name, value in vars(cls).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, kinds))
    }


def inherited(cls, name):
    """The first line that a base class of this package says of a method."""
    package = cls.__module__.split(".")[0]
    bases = (base for base in cls.__mro__[1:] if base.__module__.split(".")[0] == package)
    lines = (first_line(vars(base)[name]) for base in bases if name in vars(base))
    return next(filter(None, lines), "")


def anchor(module, name):
    """The id of an entry, unique on its page."""
    return f"{module}.{name}"


def methods_table(cls, name, module, full):
    """The public methods of a class as Markdown; those in `full` have entries and are linked."""
    lines = []
    for method, symbol in methods(cls).items():
        full_name = f"{name}.{method}"
        told = prose(first_line(symbol) or inherited(cls, method))
        if method == "forward" and not told:
            continue
        head = cell(call(symbol, method).split("  #")[0])
        head = code(head.replace("( ", "(").replace(", )", ")"))
        place = anchor(module, full_name)
        head = f"[{head}](#{place})" if full_name in full else f"[{head}]{{#{place}}}"
        lines.append(f"| {head} | {told} |")
    return ["| method | what it does |", "|---|---|", *lines] if lines else []


def kind_of(symbol):
    if inspect.isclass(symbol):
        return "class"
    return "" if isinstance(symbol, property) or "." in symbol.__qualname__ else "def"


def entry(symbol, name, module, level=3, full=()):
    """The whole entry; `full` are the names of those that have one on the same page."""
    lines = [f"{'#' * level} `{name}` {{#{anchor(module, name)} .entry}}", ""]
    if link := source_link(symbol, module):
        label = f"aria-label=\"Source of {name}\""
        lines += ["::: {.entry-source}", f"[source]({link}){{{label}}}", ":::", ""]
    lines += ["```python", call(symbol, name, kind_of(symbol)), "```", ""]
    if text := docstring(symbol):
        lines += ["\n\n".join(prose(cell(part)) for part in text.split("\n\n")), ""]
    table, notes = arguments_table(symbol)
    lines += [*table, ""]
    annotation = escaped(written(returned(symbol)))
    if annotation not in ("", "None") or "return" in notes:
        what = ": ".join(filter(None, [annotation, prose(notes.get("return", ""))]))
        lines += [f"**Returns** {what}", ""]
    if inspect.isclass(symbol):
        lines += [*methods_table(symbol, name, module, full), ""]
    return "\n".join(lines).rstrip() + "\n"


def brief(symbol, name, module):
    """One line where a definition stands that the page does not show."""
    head = call(symbol, name, "class" if inspect.isclass(symbol) else "").split("  #")[0]
    head = code(cell(head).replace("( ", "(").replace(", )", ")"))
    return f"[{head}](#{anchor(module, name)}) {prose(first_line(symbol))}"
