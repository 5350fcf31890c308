"""What Quarto leaves undone, run by it after every rendering (`post-render` of `_quarto.yml`).

MathJax beside the pages, and no script from elsewhere; a search that finds where a name is defined
before where it is imported; every page as readable text (`page.html.md`) and a list of them
(`llms.txt`); the notebooks, to be downloaded.
"""

import json
import os
import re
import shutil
from pathlib import Path

import green
import site_assets
import yaml

ROOT = Path(__file__).resolve().parents[1]
IMPORT = re.compile(r"^(?:from [\w.]+ import (?:\([^)]*\)|.*)|import .*)$\n?", re.M)
ELSEWHERE = re.compile(  # MathJax's polyfill; what Quarto adds to every page with HTML in an output
    r'\s*<script src="https://[^>]*></script>'
    r'|\s*<script type="application/javascript">define\(.jquery.*?</script>'
)
FOOT = re.compile(r'(?<=<span class="last-green">)(?=</span>)')
CORNER = re.compile(r"<th(\s[^>]*)?></th>")
ENTRY = re.compile(r"^#{3,4} `([\w.]+)` \{#(\S+) \.entry\}\n(.*?)(?=^#{3,4} `|\Z)", re.M | re.S)


def source(cell):
    return "".join(cell["source"])


def front_matter(cells):
    return yaml.safe_load(source(cells[0]).strip().strip("-")) or {}


def chapters(project):
    """(front matter, cells) of every processed notebook."""
    for path in sorted(project.glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        yield front_matter(cells), cells[1:]


# Pages


def mend_page(html, foot=""):
    """A page without scripts from other hosts; the empty corner of a table is no heading; at its
    foot stands when everything was last green."""
    return FOOT.sub(foot, CORNER.sub(r"<td\1></td>", ELSEWHERE.sub("", html)))


def last_green(file):
    """What the foot of a page says of the last `make test` that was green, if it is known."""
    return f"; {green.said(json.loads(file.read_text('utf-8')))}" if file.exists() else ""


# Search


def without_imports(text):
    """The text of a page or section without import statements; it is escaped HTML."""
    return IMPORT.sub("", text)


def entries(front, cells):
    """An entry of the search index for every entry of the reference."""
    for cell in cells:
        for name, anchor, text in ENTRY.findall(source(cell)):
            first = re.sub(r"^:::.*?^:::$|^```.*?^```$", "", text, flags=re.M | re.S).strip()
            href = f"{front['output-file']}#{anchor}"
            said = first.split("\n\n")[0].replace("\\", "")
            yield dict(objectID=href, href=href, title=front["title"], section=name, text=said)


def mend_search(path, added):
    """Take the imports out of the index and put the names that are defined into it."""
    known = {item["objectID"]: item for item in json.loads(path.read_text(encoding="utf-8"))}
    for item in known.values():
        item["text"] = without_imports(item["text"])
    for item in added:
        page = known.get(item["href"].split("#")[0], {})
        known[item["objectID"]] = item | ({"crumbs": page["crumbs"]} if "crumbs" in page else {})
    path.write_text(json.dumps(list(known.values()), ensure_ascii=False, indent=1), "utf-8")


# Text


def options(cell):
    return dict(re.findall(r"^#\|\s*([\w-]+):\s*(.*)$", source(cell), re.M))


def fenced(text, language=""):
    return f"```{language}\n{text.rstrip()}\n```" if text.strip() else ""


def output_text(output, alt):
    """An output of a cell as Markdown: pictures by their text, nothing in base64."""
    data = output.get("data", {})
    if "text/markdown" in data:
        return "".join(data["text/markdown"])
    if "image/png" in data or "image/svg+xml" in data or "text/html" in data:
        said = alt or "".join(data.get("text/plain", ""))
        return f"*Picture: {said}*" if not said.startswith("<") else ""
    return fenced("".join(output.get("text", data.get("text/plain", ""))))


def cell_text(cell):
    """A cell as Markdown."""
    if cell["cell_type"] == "markdown":
        text = re.sub(r"\{[#.][^}\n]*\}", "", source(cell))
        text = re.sub(r"^::: *\n\[source\].*\n:::$|^:::.*\n?|<!--.*?-->", "", text, flags=re.M)
        return text.strip()
    found = options(cell)
    if cell["cell_type"] != "code" or found.get("include") == "false":
        return ""
    alt = found.get("fig-alt", "").strip("\"'")
    code = re.sub(r"^#\|.*\n?", "", source(cell), flags=re.M)
    parts = [] if found.get("echo") == "false" else [fenced(code, "python")]
    if found.get("output") != "false":
        parts += [output_text(output, alt) for output in cell.get("outputs", [])]
    return "\n\n".join(filter(None, parts))


def page_text(front, cells):
    """A chapter as Markdown that people and language models can read."""
    links = re.compile(r"\]\((\d\d_)?(\w+)\.ipynb")
    head = [f"# {front['title']}", f"> {front['description']}" if "description" in front else ""]
    text = "\n\n".join(filter(None, [*head, *map(cell_text, cells)]))
    return links.sub(r"](\2.html.md", text) + "\n"


def listed(contents):
    """(section, file) of the sidebar."""
    for item in contents:
        if isinstance(item, str) or "href" in item:
            yield "Start", item if isinstance(item, str) else item["href"]
        else:
            yield from ((item["section"], name) for _, name in listed(item["contents"]))


def llms(site, project):
    """The list of all pages, in the order of the sidebar."""
    lines = [f"# {site['title']}", f"> {site['description']}"]
    fronts = {path.name: path for path in project.glob("*.ipynb")}
    section = None
    for name, file in listed(site["sidebar"]["contents"]):
        if not (project / file).exists():
            continue
        if name != section:
            lines.append(f"## {name}")
        section = name
        if file in fronts:
            front = front_matter(json.loads(fronts[file].read_text("utf-8"))["cells"])
            address = f"{site['site-url']}/{front['output-file']}.md"
        else:
            front = yaml.safe_load((project / file).read_text("utf-8").split("---")[1])
            address = f"{site['site-url']}/{Path(file).stem}.html"
        lines.append(f"- [{front['title']}]({address}): {front.get('description', '')}")
    return re.sub(r"\n\n(?=- .*\n\n- )", "\n", "\n\n".join(lines)).replace("\n\n- ", "\n- ") + "\n"


def main():
    project = Path.cwd()
    site = Path(os.environ.get("QUARTO_PROJECT_OUTPUT_DIR", project / "_docs"))
    config = yaml.safe_load((project / "_quarto.yml").read_text(encoding="utf-8"))["website"]
    for asset in site_assets.ASSETS:
        if asset.target and not (site / asset.target).exists():
            site_assets.unpack(asset, site / asset.target)
    foot = last_green(green.FILE)
    for page in site.glob("*.html"):
        html = page.read_text(encoding="utf-8")
        mended = mend_page(html, foot)
        if mended != html:
            page.write_text(mended, encoding="utf-8")
    added = []
    for front, cells in chapters(project):
        added += entries(front, cells)
        text = page_text(front, cells)
        (site / f"{front['output-file']}.md").write_text(text, encoding="utf-8")
    if (site / "search.json").exists():
        mend_search(site / "search.json", added)
    (site / "llms.txt").write_text(llms(config, project), encoding="utf-8")
    (site / "notebooks").mkdir(exist_ok=True)
    for notebook in (ROOT / "nbs").glob("[!_.]*.ipynb"):
        shutil.copy2(notebook, site / "notebooks")


if __name__ == "__main__":
    main()
