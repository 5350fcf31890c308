"""A real JupyterLab in a real browser: `what_is_missing`, `lab_server`, `open_browser`, `Notebook`.

The server works on a copy of the checkout, with settings of its own, so nothing of the person who
runs the tests is read or changed. Its notebooks render every cell (JupyterLab leaves out those
that are not in sight, unless its setting `windowingMode` is "none").
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from agree import copy_checkout

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none", "scrollPastEnd": False},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
WIDTH = 1440  # pixels of the window, a laptop's
TALLEST = 8000  # pixels of one screenshot; a longer notebook gives several
STARTS_IN = 120  # seconds, on a slow machine
PLAYS_IN = 10  # seconds to the next picture of a flipbook that plays
MOST_SLIDES = 60  # positions of a slider that are tried
POLL = 0.25  # seconds between two looks

# What JavaScript tells about the open notebook. A picture is known by the end of its address, for
# it holds the whole image; where a cell has no picture, its text is what moves.
CELLS = """() => [...document.querySelectorAll(".jp-Notebook .jp-CodeCell")].map(cell => ({
  prompt: cell.querySelector(".jp-InputPrompt")?.textContent.trim() ?? "",
  text: cell.querySelector(".cm-content")?.textContent.trim().slice(0, 100) ?? "",
}))"""
REDNESS = """() => [...document.querySelectorAll(
  ".jp-Notebook [data-mime-type$='jupyter.stderr'], .jp-Notebook [data-mime-type$='jupyter.error']"
)].map(box => "a red box: " + box.innerText.trim().replace(/\\s+/g, " ").slice(-300))"""
BROKEN = """() => [
  ...[...document.querySelectorAll(".jp-Notebook img")]
    .filter(image => image.complete && !image.naturalWidth)
    .map(image => `a picture that is not there: ${image.src.slice(0, 200)}`),
  ...[...document.querySelectorAll(".jp-Notebook mjx-merror")]
    .map(formula => `a formula that is none: ${formula.getAttribute("data-mjx-error")}`),
  ...[...document.querySelectorAll(".jp-Notebook .jupyter-widgets")]
    .filter(widget => /loading widget|error displaying widget/i.test(widget.innerText))
    .map(widget => `a widget that is dead: ${widget.innerText.slice(0, 200)}`),
]"""
SEEN = """control => {
  const cell = control.closest(".jp-Cell-outputArea");
  const images = [...cell.querySelectorAll("img")];
  return images.length ? images.map(image => image.src).join(" ") : cell.innerText;
}"""
CONTROLS = ", ".join(
    f".jp-Notebook .jp-Cell-outputArea {kind}"
    for kind in ("input[type=range]", "[role=slider]", "select")
)


def find_browser():
    """The path of a Chromium or a Chrome, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def what_is_missing():
    """What this machine lacks for these tests, as text; empty if it has everything."""
    packages = [name for name in ("jupyterlab", "playwright") if not find_spec(name)]
    return ", ".join(packages + ([] if find_browser() else ["Chromium"]))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def write_settings(folder):
    """JupyterLab's settings as a user's files below `folder`."""
    for name, values in SETTINGS.items():
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")


class Lab:
    """A running server: its `url`, its `token`, and the `checkout` that it shows."""

    def __init__(self, checkout, port):
        self.checkout = checkout
        self.token = secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path, method="GET"):
        """The server's answer to a request of its REST interface."""
        headers = {"Authorization": f"token {self.token}"}
        request = Request(f"{self.url}/api/{path}", headers=headers, method=method)
        with urlopen(request, timeout=STARTS_IN) as answer:
            return json.loads(answer.read() or "null")

    def is_up(self):
        try:
            return bool(self.ask("status"))
        except (URLError, OSError):
            return False

    def kernel_state(self, name):
        """"idle", "busy", "starting", ... of a notebook's kernel; None before it has one."""
        for session in self.ask("sessions"):
            if session["path"].endswith(name):
                return session["kernel"]["execution_state"]
        return None

    def end_kernels(self):
        for session in self.ask("sessions"):
            self.ask(f"sessions/{session['id']}", "DELETE")


def wait_for(condition, seconds, what):
    """Return when `condition()` holds; TimeoutError with `what` after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not in {seconds:g} s")
        time.sleep(POLL)


def stop(process, patience=20):
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def lab_server(folder):
    """A `Lab` on a copy of the checkout in `folder`, which also takes its settings and its log."""
    checkout = folder / "checkout"
    copy_checkout(checkout)
    write_settings(folder / "settings")
    port = free_port()
    lab = Lab(checkout, port)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.root_dir={checkout}", f"--ServerApp.port={port}"]
    command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={lab.token}"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "OMP_NUM_THREADS": "1",
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen(command, cwd=checkout, env=environment, stdout=log, stderr=log)
        try:
            wait_for(
                lambda: lab.is_up() or server.poll() is not None, STARTS_IN, "JupyterLab starts"
            )
            if server.poll() is not None:
                raise RuntimeError((folder / "server.log").read_text(errors="replace")[-2000:])
            yield lab
            lab.end_kernels()
        finally:
            stop(server)


@contextmanager
def open_browser():
    """A headless browser of playwright's."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Notebook:
    """A notebook that is open in JupyterLab, in a page of its own."""

    def __init__(self, lab, browser, path):
        self.lab = lab
        self.name = Path(path).name
        self.path = path
        self.page = browser.new_page(viewport=dict(width=WIDTH, height=900))
        self.page.set_default_timeout(STARTS_IN * 1000)
        self.complaints = []
        self.page.on("pageerror", lambda error: self.complaints.append(f"JavaScript: {error}"))
        # `reset` forgets what an earlier page has left open
        self.page.goto(f"{lab.url}/lab/tree/{path}?token={lab.token}&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")

    def close(self):
        self.page.close()
        self.lab.end_kernels()

    def is_idle(self):
        return self.lab.kernel_state(self.name) == "idle"

    def menu(self, name, item):
        """Choose from the menu bar, as people do."""
        self.page.click(f".lm-MenuBar-item:has-text('{name}')")
        self.page.click(f".lm-Menu-item:has(.lm-Menu-itemLabel:text-is('{item}'))")

    def run_all(self, seconds):
        """Run > Run All Cells; return when nothing is left to run.

        JupyterLab forgets the wish while a kernel starts, so wait for the kernel first."""
        wait_for(self.is_idle, STARTS_IN, f"the kernel of {self.name} starts")
        self.page.wait_for_selector("[data-status='idle']")
        self.menu("Run", "Run All Cells")
        wait_for(self.has_begun, STARTS_IN, f"{self.name} begins to run")
        wait_for(self.is_done, seconds, f"{self.name} runs to its end")

    def cells(self):
        return self.page.evaluate(CELLS)

    def has_begun(self):
        return any(cell["prompt"] not in ("", "[ ]:") for cell in self.cells())

    def is_done(self):
        waiting = any(cell["prompt"] == "[*]:" for cell in self.cells())
        return not waiting and self.is_idle()

    def save(self):
        """Save the notebook and return the cells that are then in the file."""
        self.page.keyboard.press("Escape")
        self.menu("File", "Save Notebook")
        self.page.wait_for_selector(".jp-mod-current:not(.jp-mod-dirty) >> text=" + self.name)
        return json.loads((self.lab.checkout / self.path).read_text(encoding="utf-8"))["cells"]

    def problems(self):
        """What a reader would see go wrong after Run All, a line each."""
        code = [cell for cell in self.cells() if cell["text"]]  # an empty cell is never run
        skipped = [cell["text"] for cell in code if not cell["prompt"].strip("[]: ").isdigit()]
        found = [f"{len(skipped)} cells did not run, first {skipped[0]}"] if skipped else []
        return found + self.page.evaluate(REDNESS) + self.page.evaluate(BROKEN) + self.complaints

    def controls(self):
        """Every slider and drop-down list among the outputs."""
        return self.page.query_selector_all(CONTROLS)

    def plays(self, button):
        """Whether a flipbook's play button moves its picture."""
        before = button.evaluate(SEEN)
        button.click()
        try:
            wait_for(lambda: button.evaluate(SEEN) != before, PLAYS_IN, "a picture that plays")
        except TimeoutError:
            return False
        button.click()
        return True

    def dead_controls(self):
        """What moves no picture, a line each; and how many controls were tried."""
        found = []
        controls = self.controls()
        buttons = self.page.query_selector_all(".jp-Notebook .flipbook button")
        for number, control in enumerate(controls, 1):
            if len(self.pictures(control)) < 2:
                found.append(f"control {number} of {len(controls)} changes no picture")
        for number, button in enumerate(buttons, 1):
            if not self.plays(button):
                found.append(f"play button {number} of {len(buttons)} changes no picture")
        return found, len(controls) + len(buttons)

    def pictures(self, control):
        """The different pictures that a control leads to, from its first place to its last.

        It is left in its middle: at an end of one slider another may have nothing to say."""
        found = {control.evaluate(SEEN)}
        is_list = control.evaluate("control => control.tagName") == "SELECT"
        forth, back = ("ArrowDown", "ArrowUp") if is_list else ("ArrowRight", "ArrowLeft")
        control.focus()
        self.press(control, "Home", found)
        for moves in range(MOST_SLIDES):
            place = self.place(control)
            self.press(control, forth, found)
            if self.place(control) == place:
                break
        for _ in range(moves // 2):
            self.press(control, back, found)
        return found

    def place(self, control):
        return control.evaluate("c => c.value ?? c.getAttribute('aria-valuenow')")

    def press(self, control, key, found):
        """Press a key on a control; add what is then to be seen to the set `found`."""
        control.press(key)
        self.page.wait_for_timeout(50)
        wait_for(self.is_idle, STARTS_IN, "the kernel of a control")
        found.add(control.evaluate(SEEN))

    def screenshots(self, folder):
        """Pictures of the whole notebook, from top to bottom, as PNG files in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        page = self.page
        page.keyboard.press("Escape")
        scroller = page.query_selector(".jp-Notebook .jp-WindowedPanel-outer")
        height = scroller.evaluate("panel => panel.scrollHeight")
        above = 900 - scroller.evaluate("panel => panel.clientHeight")
        shown = min(height, TALLEST)
        page.set_viewport_size(dict(width=WIDTH, height=shown + above))
        for number, top in enumerate(range(0, height, shown), 1):
            scroller.evaluate("(panel, top) => panel.scrollTo(0, top)", top)
            page.wait_for_timeout(300)
            stem = Path(self.name).stem
            path = folder / (f"{stem}-{number}.png" if height > shown else f"{stem}.png")
            scroller.screenshot(path=path)
