"""The playground of the site: its JavaScript is compared with the library, in Node and in a
headless Chromium, and its page is used there as by a visitor. What is not installed is skipped."""

import functools
import json
import re
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

import site_assets
from conftest import ROOT
from hdfm.exact import EmpiricalPosterior
from hdfm.hub import FlowModel
from hdfm.onnx import example_inputs, onnx_model
from hdfm.path import HeatProbPath
from hdfm.sampling import exponential_step, time_grid

FOLDER = ROOT / "nbs/playground"
RUNTIME = "onnxruntime-web"
SOLVERS = ("exponential_2m", "exponential", "heun", "euler")
LARGEST = 15e6  # bytes, all that the page asks for

# What the maths of the page says, as a function of (folder of the modules, numbers to use).
MATHS = """async (base, given) => {
  const { HeatPath, blurInPixels } = await import(base + "/heat.js");
  const { timeGrid } = await import(base + "/sample.js");
  const { posterior, centres, follow } = await import(base + "/cloud.js");
  const { normal } = await import(base + "/noise.js");
  const { height, width, r, t, next, x, z, data, points } = given;
  const path = new HeatPath(height, width, r);
  const plane = new HeatPath(1, 2, r);
  const numbers = Array.from(normal(20001, 5));
  const mean = numbers.reduce((a, b) => a + b, 0) / numbers.length;
  const means = centres(plane, data, t);
  const ways = follow(data, { r, particles: 20, steps: 40, seed: 1 });
  return {
    modes: [...path.modes(x)],
    back: [...path.pixels(path.modes(x))],
    eigenvalues: [...path.eigenvalues],
    blurred: [...path.blurred(x, t)],
    point: [...path.point(z, x, t)],
    velocity: [...path.velocity(x, z, t)],
    late: [...path.velocity(x, z, 0.97)],
    step: [...path.exponentialStep(x, z, t, next)],
    first: [...path.exponentialStep(x, z, 0, next)],
    grid: timeGrid(7, 0.85),
    even: timeGrid(5),
    single: timeGrid(1, 0.85),
    guesses: points.map((point) => posterior(data, means, point, t)),
    ends: ways[40],
    blur: blurInPixels(t, r),
    mean,
    variance: numbers.reduce((sum, n) => sum + (n - mean) ** 2, 0) / numbers.length,
    same: numbers[7] === normal(20001, 5)[7],
    other: numbers[7] !== normal(20001, 6)[7],
  };
}"""


def given_numbers(r):
    """Numbers for `MATHS`: a picture that is not square, noise, times, and points in the plane."""
    generator = torch.Generator().manual_seed(0)

    def some(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return {
        "height": 6,
        "width": 9,
        "r": r,
        "t": 0.37,
        "next": 0.61,
        "x": some(54).tolist(),
        "z": some(54).tolist(),
        "data": some(5, 2).tolist(),
        "points": some(8, 2).tolist(),
    }


def expected_numbers(given):
    """What the library makes of them."""
    path = HeatProbPath((given["height"], given["width"]), blur_strength=given["r"])
    plane = HeatProbPath((1, 2), blur_strength=given["r"])

    def image(name):
        return torch.tensor(given[name], dtype=torch.float64).reshape(1, *path.operator.shape)

    x = image("x")
    z = image("z")
    t = given["t"]
    following = given["next"]
    data, points = (
        torch.tensor(given[name], dtype=torch.float64)[:, None, None] for name in ("data", "points")
    )
    return {
        "modes": path.operator.modes(x),
        "back": x,
        "eigenvalues": path.operator.eigenvalues(x),
        "blurred": path.operator(x, t),
        "point": path.interpolate(z, x, t),
        "velocity": path.target_to_velocity(x, z, t),
        "late": path.target_to_velocity(x, z, 0.97),
        "step": exponential_step(path, x, z, t, following),
        "first": exponential_step(path, x, z, 0.0, following),
        "grid": time_grid(7, last_time=0.85),
        "even": time_grid(5),
        "single": time_grid(1, last_time=0.85),
        "guesses": EmpiricalPosterior(data, plane)(points, t),
    }


def check_maths(said, given):
    for name, numbers in expected_numbers(given).items():
        wanted = np.asarray(numbers).ravel()
        assert np.allclose(np.ravel(said[name]), wanted, rtol=1e-9, atol=1e-9), name
    distances = np.linalg.norm(
        np.array(said["ends"])[:, None] - np.array(given["data"])[None], axis=2
    )
    assert distances.min(axis=1).max() < 0.05  # the exact flow ends on the data
    assert len(set(distances.argmin(axis=1))) > 1
    assert said["blur"] == pytest.approx((-2 * given["r"] * np.log(given["t"])) ** 0.5)
    assert abs(said["mean"]) < 0.03
    assert abs(said["variance"] - 1) < 0.05
    assert said["same"] and said["other"]


@pytest.mark.parametrize("r", [0.0, 0.5, 1.0])
def test_the_maths_in_node_is_that_of_the_library(r, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    shutil.copytree(FOLDER, tmp_path / "playground")
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    given = given_numbers(r)
    call = f"({MATHS})('./playground', {json.dumps(given)})"
    (tmp_path / "maths.js").write_text(
        f"console.log(JSON.stringify(await {call}))", encoding="utf-8"
    )
    done = subprocess.run(
        [node, "maths.js"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    check_maths(json.loads(done.stdout), given)


def test_the_networks_on_the_page_are_those_that_python_opens():
    text = (FOLDER / "networks.js").read_text(encoding="utf-8")
    rows = re.findall(r"^  (\w+): \{ file: \"(.+)\", size: (\d+), r: ([\d.]+)", text, re.M)
    assert rows
    for name, file, size, r in rows:
        model = FlowModel.from_pretrained(name)
        how = model.sampling
        assert (FOLDER / file).is_file()
        assert model.path.operator.shape == (int(size), int(size))
        assert model.path.blur_strength == float(r)
        assert f'solver: "{how.solver}", steps: {how.steps}, lastTime: {how.last_time}' in text
        start, end = how.guidance_interval
        assert f"guidance: {how.guidance_scale}, interval: [{start}, {end}]" in text
        assert f"noClass: {model.num_classes}" in text


def test_the_onnx_files_are_what_is_exported_now():
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    runtime = pytest.importorskip("onnxruntime")
    import playground

    for name in playground.NETWORKS:
        model = FlowModel.from_pretrained(name).eval()
        stored = (FOLDER / f"{name}.onnx").read_bytes()
        fresh = onnx_model(model).SerializeToString()
        for count in (1, 2, 11):
            z, t, label = example_inputs(model, count, seed=count)
            with torch.no_grad():
                wanted = model(z, t, label).numpy()
            for contents in (stored, fresh):
                session = runtime.InferenceSession(contents)
                fed = dict(z=z.numpy(), t=t.numpy(), label=label.numpy())
                assert np.abs(session.run(["x_hat"], fed)[0] - wanted).max() < 1e-4
        for trace in (b"/home/", b"site-packages", str(ROOT).encode()):
            assert trace not in stored


# The page in a browser.

WRAPPED = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Playground</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<link rel="stylesheet" href="playground/playground.css">
<style>
body {{ background: {background}; color: {colour}; font: 17px/1.5 sans-serif; margin: 1rem; }}
a {{ color: inherit; }}
</style></head>
<body class="{theme}"><main><h1>Playground</h1>{body}</main></body></html>"""


class Handler(SimpleHTTPRequestHandler):
    """Files with the types that browsers insist on."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(address, folder) of the page without its runtime, as plain HTML around `body.html`."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(FOLDER, folder / "playground")
    body = (FOLDER / "body.html").read_text(encoding="utf-8")
    themes = {
        "light": dict(theme="quarto-light", background="#ffffff", colour="#343a40"),
        "dark": dict(theme="quarto-dark", background="#1e1e1e", colour="#dddddd"),
    }
    for name, look in themes.items():
        page = WRAPPED.format(body=body, **look)
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    handler = functools.partial(Handler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()


@pytest.fixture(scope="module")
def runtime(served):
    """The folder of onnxruntime-web, where it can be had."""
    asset = next(asset for asset in site_assets.ASSETS if asset.package == RUNTIME)
    try:
        site_assets.unpack(asset, served[1] / asset.target)
    except OSError as error:
        pytest.skip(f"needs {RUNTIME}: {error}")
    return served[1] / asset.target


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
        except sync_api.Error as error:
            pytest.skip(f"needs Chromium: {error.message.splitlines()[0]}")
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, served):
    """`visit(...)` opens the page; at the end of the test the console must have been silent."""
    opened = []
    complaints = []

    def open_page(width=1400, theme="light", script=None, **options):
        context = browser.new_context(viewport=dict(width=width, height=900), **options)
        opened.append(context)
        page = context.new_page()
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        if script:
            page.add_init_script(script)
        page.goto(f"{served[0]}/{theme}.html")
        if options.get("java_script_enabled", True):
            page.wait_for_selector("#playground[data-ready]")
        return page

    yield open_page
    for context in opened:
        context.close()
    assert not complaints


def part(page, name):
    return page.locator(f"[data-part={name}]")


def draw_by_hand(page, steps=3):
    """Press the button and wait for the drawing."""
    drawing = part(page, "draw")
    drawing.locator("[data-name=steps]").fill(str(steps))
    drawing.locator("[data-name=draw]").click()
    drawing.locator("[data-says]", has_text="Drawn").wait_for(timeout=60_000)


def overflow(page):
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def picture_of(canvas):
    return canvas.evaluate("c => c.toDataURL()")


@pytest.mark.parametrize("r", [0.0, 1.0])
def test_the_maths_in_the_browser_is_that_of_the_library(r, visit):
    given = given_numbers(r)
    said = visit().evaluate(f"(given) => ({MATHS})('/playground', given)", given)
    check_maths(said, given)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_same_noise_gives_the_same_image(solver, visit, runtime):
    model = FlowModel.from_pretrained("fashion").eval()
    page = visit()
    z = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    labels = (7, 3, 10)  # the last is no class
    cases = zip(z, labels, (1.5, 1.0, 3.0), (20, 1, 7))
    for noise, label, guidance, steps in cases:
        how = dict(solver=solver, steps=steps)
        wanted = model.sample(
            [label], z=noise[None], t_start=0.0, guidance_scale=guidance, **how
        )
        asked = how | dict(label=label, guidance=guidance, z=noise.flatten().tolist())
        image = page.evaluate("async (how) => [...(await playground.draw(how)).image]", asked)
        assert np.abs(np.array(image) - wanted.numpy().ravel()).max() < 1e-3


def test_drawing_by_hand_shows_the_way_and_weighs_little(visit, runtime):
    sizes = {}
    page = visit()
    page.on("response", lambda answer: sizes.update({answer.url: len(answer.body())}))
    page.reload()
    page.wait_for_selector("#playground[data-ready]")
    drawing = part(page, "draw")
    assert drawing.locator("[data-name=film]").is_hidden()
    noise = picture_of(drawing.locator("[data-name=point]"))
    draw_by_hand(page, steps=6)
    pictures = drawing.locator(".play-pictures canvas")
    at_end = [picture_of(canvas) for canvas in pictures.all()]
    drawing.locator("[data-name=step]").fill("2")
    on_the_way = [picture_of(canvas) for canvas in pictures.all()]
    assert noise not in at_end
    assert all(a != b for a, b in zip(at_end, on_the_way))
    assert "t = 0.36" in drawing.locator("[data-name=told]").first.inner_text()
    drawing.locator("[data-name=step]").fill("0")
    assert picture_of(drawing.locator("[data-name=point]")) == noise
    assert drawing.locator("[data-name=kept] li").count() == 1
    assert "sneaker" in drawing.locator("[data-name=kept]").inner_text()
    assert RUNTIME in "".join(sizes)
    assert sum(sizes.values()) < LARGEST


def test_it_fits_a_phone(visit, runtime):
    page = visit(width=390, has_touch=True, is_mobile=True)
    assert overflow(page) <= 0
    draw_by_hand(page)
    assert overflow(page) <= 0
    cloud = part(page, "cloud")
    cloud.locator("[data-shape=none]").tap()
    cloud.locator("[data-name=plane]").tap(position=dict(x=80, y=90))
    assert page.evaluate("playground.cloud.state().data.length") == 1
    height = page.evaluate("Math.min(...[...document.querySelectorAll('#playground button')]"
                           ".filter(b => b.offsetParent).map(b => b.offsetHeight))")
    assert height >= 36  # for a thumb


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(theme, visit, runtime):
    try:
        axe = site_assets.content("axe-core", "axe.min.js")
    except OSError as error:
        pytest.skip(f"needs axe-core: {error}")
    page = visit(theme=theme)
    draw_by_hand(page)
    page.evaluate(axe)
    found = page.evaluate("async () => (await axe.run()).violations")
    assert not found, [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found]


def test_without_webassembly_the_page_says_so_and_the_rest_works(visit):
    page = visit(script="delete window.WebAssembly")
    drawing = part(page, "draw")
    message = "This browser has no WebAssembly"
    assert message in drawing.locator("[data-says]").inner_text()
    drawing.locator("[data-name=draw]").click()
    drawing.locator("[data-says]", has_text=message).wait_for()
    assert drawing.locator("[data-name=draw]").is_enabled()
    heat = part(page, "heat")
    before = picture_of(heat.locator("[data-name=blurred]"))
    heat.locator("[data-name=time]").fill("0.2")
    assert picture_of(heat.locator("[data-name=blurred]")) != before


def test_a_network_that_does_not_come_is_reported(browser, served):
    page = browser.new_page()
    page.route("**/*.onnx", lambda route: route.abort())
    page.route("**/vendor/**", lambda route: route.abort())
    page.goto(f"{served[0]}/light.html")
    page.wait_for_selector("#playground[data-ready]")
    part(page, "draw").locator("[data-name=draw]").click()
    part(page, "draw").locator("[data-says]", has_text="could not be loaded").wait_for()
    page.close()


def test_without_javascript_the_page_says_so(visit):
    page = visit(java_script_enabled=False)
    assert "JavaScript is switched off" in page.locator("#playground").inner_text()


def test_the_heat_path_of_a_picture_of_ones_own(visit):
    sent = []
    page = visit()
    page.on("request", lambda request: sent.append(request.url))
    heat = part(page, "heat")
    told = heat.locator("[data-name=told]")
    assert "of 784 modes" in told.inner_text()
    heat.locator("[data-name=file]").set_input_files(ROOT / "nbs/images/clothes.png")
    heat.locator("[data-says]", has_text="has not left this device").wait_for()
    assert "of 4096 modes" in told.inner_text()
    heat.locator("[data-name=time]").fill("0")
    assert "0 of 4096" in told.inner_text() and "only the mean" in told.inner_text()
    heat.locator("[data-name=time]").fill("1")
    assert "4096 of 4096" in told.inner_text()
    heat.locator("[data-name=blur]").fill("0")
    assert "no blur" in told.inner_text()
    heat.locator("[data-picture=bag]").press("Enter")
    assert "784 of 784" in told.inner_text()
    heat.locator("[data-name=file]").set_input_files(ROOT / "settings.ini")
    heat.locator("[data-says]", has_text="not a picture").wait_for()
    assert not [url for url in sent if not url.startswith(("data:", "blob:"))]


def test_points_by_mouse_and_by_keyboard(visit):
    page = visit()
    cloud = part(page, "cloud")
    plane = cloud.locator("[data-name=plane]")

    def points():
        return page.evaluate("playground.cloud.state().data")

    cloud.locator("[data-shape=corners]").click()
    assert len(points()) == 4
    cloud.locator("[data-shape=none]").click()
    assert points() == []
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 100, steps=20)
    page.mouse.up()
    drawn = points()
    assert 5 < len(drawn) < 25
    assert all(abs(y - drawn[0][1]) < 1e-6 for _, y in drawn)
    plane.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    assert points()[-1] == pytest.approx([0.3, 0.15])
    page.keyboard.press("Backspace")
    assert len(points()) == len(drawn)
    before = picture_of(plane)
    cloud.locator("[data-name=blur]").fill("0")
    assert picture_of(plane) != before
    cloud.locator("[data-name=time]").fill("0")
    cloud.locator("[data-name=play]").click()
    page.wait_for_function(
        "document.querySelector('[data-part=cloud] [data-name=time]').value > 0.1"
    )
