"""The built site, seen with a browser; skipped where there is no browser or no site."""

import pytest
from conftest import ROOT

pytest.importorskip("playwright", reason="pip install -e .[browser]")

import check_site  # noqa: E402
import site_assets  # noqa: E402

if check_site.browser_path() is None:
    pytest.skip("no Chromium; CHROMIUM names one", allow_module_level=True)
try:
    site_assets.content("axe-core", "axe.min.js")
except OSError as error:
    pytest.skip(f"axe cannot be fetched: {error}", allow_module_level=True)

GOOD = """<!doctype html><html lang="en"><head><title>A page</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><main><h1 id="top">A page</h1>{}</main></body></html>"""
FAULTS = {
    "a link to missing.html, which is not there": '<a href="missing.html">there</a>',
    "a link to index.html#nothing": '<a href="index.html#nothing">there</a>',
    "asks another host: https://a.example/b.js": '<script src="https://a.example/b.js"></script>',
    "404 for gone.png": '<img src="gone.png" alt="A picture">',
    "an image without a text": '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">',
    "axe, light: image-alt": '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">',
    "axe, dark: color-contrast": '<style>@media (prefers-color-scheme: dark) '
    "{ p { color: #333; background: #222 } }</style><p>Hardly to be read</p>",
    "wider than 390": '<div style="width: 500px">wide</div>',
    "console: oh": "<script>console.error('oh')</script>",
    "script: ": "<script>nothing()</script>",
    "code that does not fit": '<div class="sourceCode"><pre tabindex="0" style="overflow: auto">'
    f"<code>{'x' * 400}</code></pre></div>",
}


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    """What is found on a page without a fault and on one page for each fault, at once."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "index.html").write_text(GOOD.format("<p>Nothing is wrong.</p>"), encoding="utf-8")
    for number, fault in enumerate(FAULTS.values()):
        (folder / f"fault{number}.html").write_text(GOOD.format(fault), encoding="utf-8")
    return check_site.problems(folder)


@pytest.mark.parametrize("number, said", list(enumerate(FAULTS)))
def test_every_fault_is_found(findings, number, said):
    assert any(line.startswith(f"fault{number}.html: {said}") for line in findings), findings


def test_a_good_page_has_no_fault(findings):
    assert not [line for line in findings if line.startswith("index.html")]


@pytest.mark.skipif(not (ROOT / "_docs").exists(), reason="the site is not built: make docs")
def test_the_site_has_no_fault():
    assert check_site.problems(ROOT / "_docs") == []


@pytest.mark.skipif(not (ROOT / "_docs").exists(), reason="the site is not built: make docs")
@pytest.mark.parametrize("name, page", [("exponential_2m", "sampling"), ("HeatProbPath", "path")])
def test_the_search_finds_the_page_that_defines_a_name_first(name, page):
    from playwright.sync_api import sync_playwright

    server, base = check_site.serve(ROOT / "_docs")
    with sync_playwright() as tool:
        path = check_site.browser_path()
        browser = tool.chromium.launch(executable_path=path, args=check_site.FLAGS)
        tab = browser.new_page()
        tab.goto(f"{base}core.html")
        tab.click("#quarto-search button")
        tab.keyboard.type(name)
        link = tab.wait_for_selector(".aa-Panel a.search-result-link", timeout=20000)
        assert f"{page}.html" in link.get_attribute("href")
        browser.close()
    server.shutdown()
