"""Process the notebooks for the site: `python tools/docs.py` writes `_proc`, which Quarto renders;
`--check` does it in a copy of the checkout and says what is wrong with the result.
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
BROKEN = re.compile(r"Traceback \(most recent call last\)|Call self as a function|<hdfm\.|at 0x")


def process(folder):
    """`_proc` of the checkout in `folder`; what nbdev says when it stops is an error in a line."""
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    import nbdev.serve
    from processors import BookProcessors

    nbdev.serve.FilterDefaults = BookProcessors
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    return nbdev.serve.proc_nbs(n_workers=min(2, os.cpu_count() or 1), force=True)


def source(cell):
    return "".join(cell["source"])


def of_page(path):
    """What is wrong with a processed notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = [source(cell) for cell in cells]
    if not texts[0].startswith("---"):
        yield "no title"
    for text in texts:
        if "show_doc(" in text:
            yield "a show_doc that was not replaced by an entry"
    for cell in cells:
        if any(output["output_type"] == "error" for output in cell.get("outputs", [])):
            yield "an output is an error"
    reference = "\n".join(t for t in texts if t.startswith("## Reference {#reference}"))
    if found := BROKEN.search(reference):
        yield f"the reference says {found.group(0)!r}"
    for block in re.findall(r"```python\n(.*?)\n```", reference, flags=re.S):
        if "`" in block:
            yield f"a signature with a backtick: {block.splitlines()[0]}"


def problems(proc, checkout):
    """One line for each thing that is wrong with `_proc`."""
    config = yaml.safe_load((checkout / "_quarto.yml").read_text(encoding="utf-8"))
    names = [path.name for path in sorted((checkout / "nbs").glob("[!_.]*.ipynb"))]
    found = [f"nbs/{name} was not processed" for name in names if not (proc / name).exists()]
    if config["format"]["html"].get("keep-md") is not True:
        found.append("_quarto.yml: format.html.keep-md is not true")
    listed = pages(config["website"]["sidebar"]["contents"])
    unlisted = [name for name in names if name not in listed]
    found += [f"nbs/{name} is not in the sidebar of _quarto.yml" for name in unlisted]
    found += [f"_quarto.yml: {name} is not there" for name in listed if not (proc / name).exists()]
    for path in sorted(proc.glob("*.ipynb")):
        found += [f"nbs/{path.name}: {problem}" for problem in of_page(path)]
    return found


def pages(contents):
    """The files of a sidebar, in its order."""
    found = []
    for item in contents:
        if isinstance(item, str) or "href" in item:
            found.append(item if isinstance(item, str) else item["href"])
        else:
            found += pages(item["contents"])
    return found


def check():
    from agree import copy_checkout

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder).resolve() / "copy"
        copy_checkout(copy)
        try:
            found = problems(process(copy), copy)
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            found = [f"the notebooks cannot be processed for the site: {reason}"]
        finally:
            os.chdir(ROOT)
    print("\n".join(found) or "The notebooks can be processed for the site.")
    return bool(found)


def main():
    if "--check" in sys.argv:
        return check()
    process(ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
