"""Write README.md from nbs/index.ipynb: `python tools/readme.py`. No Quarto needed."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def fence(text, language=""):
    return f"```{language}\n{text.rstrip()}\n```"


def render(cell):
    """The markdown of one cell, without directives and hidden cells."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return re.sub(
            r"\]\((?=(images/|\w+\.ipynb))", "](nbs/", source
        )  # links work from the root too
    if cell["cell_type"] != "code" or re.search(r"^#\|\s*(hide|default_exp)", source, re.M):
        return ""
    parts = (
        []
        if re.search(r"^#\|\s*echo:\s*false", source, re.M)
        else [fence(re.sub(r"^#\|.*\n?", "", source, flags=re.M), "python")]
    )
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "text/markdown" in data:
            parts.append("".join(data["text/markdown"]))
        elif "text/plain" in data or "text" in output:
            parts.append(fence("".join(data.get("text/plain", output.get("text", "")))))
    return "\n\n".join(parts)


def readme(root):
    cells = json.loads((root / "nbs/index.ipynb").read_text(encoding="utf-8"))["cells"]
    note = "<!-- Made from nbs/index.ipynb by `make export`; edit the notebook. -->"
    return "\n\n".join([note, *filter(None, map(render, cells))]) + "\n"


if __name__ == "__main__":
    (ROOT / "README.md").write_text(readme(ROOT), encoding="utf-8")
