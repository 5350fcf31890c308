"""What importing the library does, and does not do; and that imports point one way only."""

import ast
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from graphlib import TopologicalSorter

import pytest
from conftest import ROOT

HEAVY = {
    "matplotlib",
    "torchvision",
    "nbdev",
    "fastcore",
    "sklearn",
    "scipy",
    "PIL",
    "safetensors",
    "tqdm",
    "IPython",
}
LONGEST_MODULE = 350
DOOR = "__main__"


def modules_after(code):
    code += "\nimport sys\n"
    code += "print('\\n'.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_mathematics_needs_only_torch_and_numpy():
    modules = "core prior process times path exact solver guidance sampling embedding vit objective"
    code = "import " + ", ".join(f"hdfm.{name}" for name in [*modules.split(), "baselines"])
    added = modules_after(code) - modules_after("import torch, numpy")
    assert not added & HEAVY, added & HEAVY


def test_no_module_needs_the_development_tools():
    added = modules_after(f"import {', '.join(f'hdfm.{name}' for name in library())}")
    tools = {"nbdev", "fastcore", "torchvision", "torch_fidelity", "datasets", "tensorboard"}
    tools |= {"flow_matching", "torchcfm", "diffusers", "onnx", "onnxscript"}
    assert not added & (tools | {"IPython"}), added


def test_no_command_needs_to_draw():
    modules = "cli, hdfm.train, hdfm.evaluate, hdfm.folders, hdfm.parallel, hdfm.metrics"
    added = modules_after(f"import hdfm.{modules}, hdfm.hub, hdfm.restore")
    assert "matplotlib" not in added


@pytest.mark.parametrize("word", ["--version", "--help", "-h", "-V"])
def test_version_and_help_come_at_once(word):
    code = f"from hdfm.__main__ import main; main(['{word}'])"
    assert "torch" not in modules_after(code)
    done = subprocess.run([sys.executable, "-m", "hdfm", word], capture_output=True, text=True)
    assert done.returncode == 0 and re.match("hdfm [0-9]|usage: hdfm ", done.stdout)


def test_importing_does_not_touch_the_random_state():
    everything = ", ".join(f"hdfm.{name}" for name in library())
    code = (
        "import torch; torch.manual_seed(3); a = torch.rand(1); torch.manual_seed(3)\n"
        f"import {everything}; assert torch.equal(a, torch.rand(1))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Imports point one way: to lower numbers of the notebooks, from function bodies, too.


def library():
    """{name: path} of the modules of the library."""
    return {
        path.stem: path
        for path in sorted((ROOT / "hdfm").glob("*.py"))
        if not path.stem.startswith("_")
    }


def chapters():
    """{module: number of its notebook}; the appendix `show` is below all, `exercise`, `files` and
    `checks` above it and below the core, `prior`, `process` and `times` below the paths of 01,
    `solver`, `multistep` and `guidance` below the samplers of 03, `embedding` below the network
    of 07, `options` above the configuration of 18, `run_files` below the run folder of 20,
    `listing` and `shards` below the folders of 12, `parts` and `plan` below the checkpoints of
    13, `latents` above them, `coloured`, `pyramid` and `mot` above the rivals of 16, `state`,
    `spread` and `jit_weights` above 19, `recorded` and `doctor` above the trainer of 23,
    `machine` above the evaluation of 27, `fitted` below the networks of 30 and `export` above
    them, `bridge`, `onnx` and `pipeline` above the words of 32, and `field` above 34."""
    numbers = {}
    for path in sorted((ROOT / "nbs").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        found = [re.match(r"#\| default_exp (\w+)", "".join(cell["source"])) for cell in cells]
        for module in filter(None, found):
            number = re.match(r"\d+", path.name)
            numbers[module[1]] = int(number[0]) if number else None
    rooms = {"show": -2, "exercise": -1, "files": -0.5, "checks": -0.4}
    rooms |= {"prior": 0.3, "process": 0.5, "times": 0.7, "embedding": 6.5, "fitted": 29.5}
    rooms |= {"solver": 2.5, "multistep": 2.6, "guidance": 2.7}
    rooms |= {"listing": 11.4, "shards": 11.5, "export": 30.5}
    rooms |= {"bridge": 32.4, "onnx": 32.5, "pipeline": 32.6}
    rooms |= {"parts": 12.5, "plan": 12.6, "coloured": 16.5, "state": 19.5, "spread": 19.6}
    rooms |= {"options": 18.5, "run_files": 19.8}
    rooms |= {"latents": 13.5, "pyramid": 16.6, "mot": 16.7}
    rooms |= {"jit_weights": 19.7, "recorded": 23.6, "doctor": 23.7, "machine": 27.5}
    return numbers | rooms | {"field": 34.5}


@dataclass(frozen=True)
class Import:
    """An import of a module of hdfm: which, where, and whether in a function or a door."""

    module: str
    line: int
    inside: bool
    door: bool


def is_door(node):
    """Whether a statement is an `if` that asks whether `__name__` is `"__main__"`."""
    if not isinstance(node, ast.If):
        return False
    test = node.test
    asked = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
    return any(ast.unparse(part) == "__name__ == '__main__'" for part in asked)


def imported(node, known):
    """The modules of hdfm that one node of a tree imports; `known` are those there are."""
    names = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        base = f"hdfm.{node.module or ''}".rstrip(".") if node.level else node.module
        taken = [f"hdfm.{alias.name}" for alias in node.names if alias.name in known]
        names = taken if base == "hdfm" else [base]
    elif isinstance(node, ast.Call) and node.args and is_import_call(node.func):
        text = start_of_text(node.args[0])
        names = [f"hdfm{text}" if text.startswith(".") else text]
    return [name.split(".")[1] for name in names if name.startswith("hdfm.")]


def is_import_call(function):
    return ast.unparse(function).rpartition(".")[2] in ("import_module", "__import__")


def start_of_text(node):
    """A text, or what a formatted one begins with; '' for what is no text."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def imports(source, known):
    """Every `Import` of a source, function bodies included."""
    found = []

    def visit(node, inside, door):
        for name in imported(node, known):
            found.append(Import(name, node.lineno, inside, door))
        inside = inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, inside, door or is_door(node))

    visit(ast.parse(source), False, False)
    return found


def wrong_ways(module, source, numbers):
    """What is wrong with the imports of one module: a list of lines of text."""
    own = numbers.get(module)
    problems = [] if own is not None else [f"{module}: no notebook with a number exports it"]
    for one in imports(source, numbers):
        if one.door:
            continue
        place = f"{module}, line {one.line}: imports {one.module or 'a module'}"
        if one.inside:
            problems.append(f"{place} inside a function")
        number = numbers.get(one.module)
        if number is None or own is None or number >= own:
            problems.append(f"{place}, which is not below it")
    return problems


@pytest.mark.parametrize("module", library())
def test_imports_point_to_lower_numbers(module):
    problems = wrong_ways(module, library()[module].read_text(encoding="utf-8"), chapters())
    assert not problems, "\n".join(problems)


def test_imports_make_no_circle():
    numbers = chapters()
    graph = {
        module: {one.module for one in imports(path.read_text("utf-8"), numbers) if not one.door}
        for module, path in library().items()
    }
    TopologicalSorter(graph).prepare()


def test_the_door_opens_one_room():
    """`hdfm/__main__.py` names a module in a string, and nobody imports it."""
    opened = imports((ROOT / "hdfm" / f"{DOOR}.py").read_text(encoding="utf-8"), chapters())
    assert [one.module for one in opened] == ["cli"]
    for module, path in library().items():
        source = path.read_text(encoding="utf-8")
        assert not [one for one in imports(source, {DOOR}) if one.module == DOOR], module


@pytest.mark.parametrize("module", library())
def test_no_module_is_too_long(module):
    lines = len(library()[module].read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_MODULE, f"{module} has {lines} lines"


NUMBERS = {"show": -2, "core": 0, "path": 1, "train": 18, "cli": 23}
LATER = "importlib.import_module('hdfm.cli')"


@pytest.mark.parametrize(
    "source",
    [
        "from .train import fit",
        "from . import train",
        "from hdfm.train import fit",
        "from hdfm import train",
        "import hdfm.train",
        "import hdfm.train as t",
        "from .nowhere import a",
        "from .path import ProbPath",
        "def f():\n    from .core import dct",
        "def f():\n    from hdfm.show import image_grid",
        "class A:\n    def f(self): from . import core",
        "async def f():\n    import hdfm.core",
        "f = lambda: importlib.import_module('hdfm.core')",
        LATER,
        "importlib.import_module(f'hdfm.{name}')",
        "importlib.import_module('.train', 'hdfm')",
        "__import__('hdfm.train')",
        f"if __name__ == '__main__' or True: {LATER}",
        f"if __name__ != '__main__': {LATER}",
    ],
)
def test_an_import_the_wrong_way_is_found(source):
    assert wrong_ways("path", source, NUMBERS)


@pytest.mark.parametrize(
    "source",
    [
        "from .core import dct",
        "from hdfm.core import dct",
        "from hdfm import core, __version__",
        "import torch, hdfm.show",
        "def f():\n    import matplotlib.pyplot as plt",
        "importlib.import_module(name)",
        f"if __name__ == '__main__': {LATER}",
        f"if __name__ == '__main__' and '__file__' in globals(): {LATER}",
    ],
)
def test_an_import_the_right_way_is_not(source):
    assert not wrong_ways("path", source, NUMBERS)


def test_a_module_without_a_number_is_found():
    assert wrong_ways("extra", "import torch", NUMBERS)
