"""Look at every page of the built site with a browser: `python tools/check_site.py [FOLDER]`.

Serves the folder (`_docs` by default) on this machine, opens each page in Chromium, and prints a
line for each finding: links and anchors that lead nowhere, pages wider than the window at 390, 768
and 1400 pixels, code that does not fit at 1400, what axe says in light and in dark, images without
a text, errors on the console, files that are missing, requests to other hosts.
`CHROMIUM` names the browser where it is not found; `--shots FOLDER` keeps a picture of each page.
"""

import argparse
import asyncio
import functools
import http.server
import os
import shutil
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import site_assets

ROOT = Path(__file__).resolve().parents[1]
WIDTHS = (1400, 768, 390)
TABS = 3
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")

READY = """async () => {
  if (window.MathJax?.startup?.promise) await window.MathJax.startup.promise;
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 60)));
}"""

FACTS = """() => ({
  links: [...document.querySelectorAll("a[href]")].map((a) => a.href),
  ids: [...document.querySelectorAll("[id]")].map((e) => e.id),
  silent: [...document.querySelectorAll("img")].filter((i) => !i.alt.trim())
    .map((i) => i.src.slice(0, 60)),
})"""

# elements that reach past the window, but for those inside a box that scrolls or hides
WIDE = """() => {
  const width = document.documentElement.clientWidth;
  const found = [];
  const walk = (element) => {
    const style = getComputedStyle(element);
    if (style.display === "none" || style.visibility === "hidden") return;
    if (style.position === "fixed" || element.tagName === "MJX-ASSISTIVE-MML") return;
    const box = element.getBoundingClientRect();
    if (box.width && box.right > width + 1.5) {
      found.push(`${element.tagName.toLowerCase()}.${element.className}`.slice(0, 60)
        + ` reaches ${Math.round(box.right)}: ` + element.textContent.trim().slice(0, 40));
      return;
    }
    if (style.overflowX === "visible") for (const child of element.children) walk(child);
  };
  walk(document.body);
  if (!found.length && document.scrollingElement.scrollWidth > width + 1) found.push("the page");
  return found.slice(0, 3);
}"""

LONG_CODE = """() => [...document.querySelectorAll("main div.sourceCode pre")]
  .filter((pre) => pre.clientWidth && pre.scrollWidth > pre.clientWidth + 1)
  .map((pre) => pre.textContent.split("\\n").sort((a, b) => b.length - a.length)[0])"""

# Contrast is slow: blocks of code and formulas that add no new kind of text are left out
MARK = """() => {
  const seen = new Set();
  for (const block of document.querySelectorAll("pre, mjx-container")) {
    const kinds = [...block.querySelectorAll("span[class]")].map((e) => e.className);
    const fresh = [block.tagName + block.className, ...kinds].filter((kind) => !seen.has(kind));
    if (fresh.length === 0) block.dataset.alike = "";
    for (const kind of fresh) seen.add(kind);
  }
}"""

AXE = """async (contrast) => {
  const where = contrast ? { exclude: [["[data-alike]"]] } : document;
  const options = contrast ? { runOnly: { type: "rule", values: ["color-contrast"] } }
    : { rules: { "color-contrast": { enabled: false } } };
  const { violations } = await axe.run(where, { ...options, resultTypes: ["violations"] });
  return violations.map((v) => `${v.id}: ${v.nodes.length} times, first ` +
    v.nodes[0].target.join(" ").slice(0, 90) + " " +
    (v.nodes[0].any[0]?.message ?? v.nodes[0].all[0]?.message ?? v.help).slice(0, 160));
}"""

IS_DARK = """() => {
  const places = [document.body, ...document.querySelectorAll("div.sourceCode")].slice(0, 2);
  const levels = places.map(place => getComputedStyle(place).backgroundColor.match(/[0-9.]+/g));
  return levels.every(([red, green, blue]) => Number(red) + Number(green) + Number(blue) < 300);
}"""

DARKEN = """() => {
  if (window.quartoToggleColorScheme && document.body.classList.contains("quarto-light")) {
    window.quartoToggleColorScheme();
    return document.body.classList.contains("quarto-dark");
  }
  return true;
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve(folder):
    """(a server of the folder, its address)."""
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}/"


def browser_path():
    """Chromium of this machine, or None: then playwright's own is used."""
    found = [os.environ.get("CHROMIUM"), *map(shutil.which, BROWSERS)]
    return next(filter(None, found), None)


class Visit:
    "One page: what was found on it, where its links lead, which anchors it has."

    def __init__(self, name):
        self.name = name
        self.found = []
        self.links = []
        self.ids = set()

    def say(self, text):
        line = f"{self.name}: {' '.join(text.split())}"
        if line not in self.found:
            self.found.append(line)

    def listen(self, page, base):
        """Write down what goes wrong while the page is open."""

        def on_request(request):
            if not request.url.startswith((base, "data:", "blob:")):
                self.say(f"asks another host: {request.url[:100]}")

        def on_response(response):
            if response.status >= 400:
                self.say(f"{response.status} for {response.url.removeprefix(base)}")

        def on_console(message):
            if message.type == "error":
                self.say(f"console: {message.text[:160]}")

        page.on("request", on_request)
        page.on("response", on_response)
        page.on("console", on_console)
        page.on("pageerror", lambda error: self.say(f"script: {str(error)[:160]}"))


async def visit(browser, base, name, axe, shots):
    """Open a page, look at it in light at every width, then in dark; the `Visit`."""
    seen = Visit(name)
    widest = dict(width=WIDTHS[0], height=900)
    context = await browser.new_context(color_scheme="light", viewport=widest)
    page = await context.new_page()
    page.set_default_timeout(120_000)
    seen.listen(page, base)
    await page.goto(base + name, wait_until="load")
    await page.evaluate(READY)
    facts = await page.evaluate(FACTS)
    seen.links = facts["links"]
    seen.ids = set(facts["ids"])
    for image in facts["silent"]:
        seen.say(f"an image without a text: {image}")
    await page.evaluate(axe)
    await page.evaluate(MARK)
    for contrast in (False, True):
        for problem in await page.evaluate(AXE, contrast):
            seen.say(f"axe, light: {problem}")
    await at_every_width(page, seen, "light", shots)
    await page.emulate_media(color_scheme="dark")
    if not await page.evaluate(DARKEN):
        seen.say("cannot be made dark")
    await page.wait_for_function(IS_DARK)  # the other style sheet may still be on its way
    await page.wait_for_timeout(400)  # colours change gradually
    for problem in await page.evaluate(AXE, True):
        seen.say(f"axe, dark: {problem}")
    if shots:
        await at_every_width(page, seen, "dark", shots)
    await context.close()
    return seen


async def at_every_width(page, seen, scheme, shots):
    """Measure the page at every width of the window, and take a picture where asked to."""
    for width in WIDTHS:
        await page.set_viewport_size(dict(width=width, height=900))
        await page.evaluate(READY)
        await measure(page, seen, width)
        if shots:
            path = Path(shots) / f"{Path(seen.name).stem}-{width}-{scheme}.png"
            await page.screenshot(path=path)
    await page.set_viewport_size(dict(width=WIDTHS[0], height=900))


async def measure(page, seen, width):
    """What is too wide at this width of the window."""
    for wide in await page.evaluate(WIDE):
        seen.say(f"wider than {width}: {wide}")
    if width == max(WIDTHS):
        for line in await page.evaluate(LONG_CODE):
            seen.say(f"code that does not fit at {width}: {line}")


def dead_links(visits, folder, base):
    """One line for each link to a file or an anchor that is not there."""
    ids = {v.name: v.ids for v in visits}
    for v in visits:
        for link in sorted(set(v.links)):
            address, anchor = urldefrag(urljoin(base + v.name, link))
            if not address.startswith(base):
                continue
            name = unquote(urlsplit(address).path).lstrip("/") or "index.html"
            if not (folder / name).is_file():
                yield f"{v.name}: a link to {name}, which is not there"
            elif anchor and name in ids and unquote(anchor) not in ids[name]:
                yield f"{v.name}: a link to {name}#{anchor}, where there is no such anchor"


async def look(folder, names, shots, report):
    """All findings, a line each."""
    from playwright.async_api import async_playwright

    server, base = serve(folder)
    axe = site_assets.content("axe-core", "axe.min.js")
    limit = asyncio.Semaphore(TABS)
    async with async_playwright() as tool:
        browser = await tool.chromium.launch(executable_path=browser_path(), args=FLAGS)

        async def one(name):
            async with limit:
                seen = await visit(browser, base, name, axe, shots)
            for line in seen.found if report else ():
                print(line, flush=True)
            return seen

        visits = await asyncio.gather(*map(one, names))
        await browser.close()
    server.shutdown()
    found = [line for v in visits for line in v.found]
    if set(names) == set(pages(folder)):
        dead = list(dead_links(visits, folder, base))
        found += dead
        for line in dead if report else ():
            print(line, flush=True)
    return found


def pages(folder):
    """The pages of the site, without those that only lead elsewhere."""
    found = sorted(folder.glob("*.html"))
    return [p.name for p in found if "<main" in p.read_text(encoding="utf-8")]


def problems(folder, names=None, shots=None, report=False):
    """All findings about the built site in `folder`, a line each; `report` prints them at once."""
    folder = Path(folder).resolve()
    return asyncio.run(look(folder, names or pages(folder), shots, report))


def main():
    parser = argparse.ArgumentParser(description="Look at every page of the built site.")
    parser.add_argument("folder", nargs="?", default=ROOT / "_docs", type=Path)
    parser.add_argument("--pages", nargs="+", help="only these, such as path.html")
    parser.add_argument("--shots", type=Path, help="folder for a picture of each page and width")
    args = parser.parse_args()
    if args.shots:
        args.shots.mkdir(parents=True, exist_ok=True)
    found = problems(args.folder, args.pages, args.shots, report=True)
    print(f"{len(found)} findings." if found else "Every page is in order.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
