"""Pictures of TensorBoard's tabs: ``python benchmarks/screenshots.py outputs/RUN --out docs/tensorboard``.

Starts TensorBoard on a free port of this machine and a Chromium or Chrome without a window, opens each tab, writes a
PNG of it, and ends what it started. What a picture shows of paths is what was typed: a relative path stays one. Needs
Playwright, which comes with ``pip install -e ".[docs]"``.
"""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import requests
from playwright.sync_api import Error, Page, TimeoutError, sync_playwright

from ser.commands.cli import command_parser, errors_in_words
from ser.errors import Screen, UserError, escape

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

DEEP = """
const inner = node => node.shadowRoot ?? (node.localName === "iframe" ? node.contentDocument : null);
const all = (selector, root = document) => [...root.querySelectorAll("*")].flatMap(
    node => [...(node.matches(selector) ? [node] : []), ...(inner(node) ? all(selector, inner(node)) : [])]);
const seen = selector => all(selector).filter(node => node.getClientRects().length);
"""
"""``seen(selector)`` finds elements that are drawn, also in the many shadow roots and frames of TensorBoard."""

SIZE = (1400, 900)

SETTLES = 3
"""Seconds until the last lines, pictures and points are drawn."""


class Tab(NamedTuple):
    """A tab of TensorBoard.

    Attributes:
        filled: True in the page once the tab is filled, in JavaScript.
        shown: Regular expression of the tags to show, where there are tags.
        then: JavaScript that shows more of the tab, once it is filled.
    """

    filled: str
    shown: str | None = None
    then: str = ""


TABS = {
    "timeseries": Tab("seen('scalar-card line-chart, image-card img').length > 1", "^(train|val)/"),
    "scalars": Tab("seen('tf-scalar-card').length > 1", "^(train|val)/"),
    "custom_scalars": Tab("seen('tf-custom-scalar-multi-line-chart-card').length > 2"),
    "images": Tab(
        "seen('tf-image-loader').length > 0 && all('img').every(img => img.complete && img.naturalWidth)",
        ".",
        "all('tf-image-dashboard').forEach(page => {page._actualSize = true})",
    ),
    "audio": Tab("seen('audio').length > 0", "."),
    "text": Tab("seen('tf-markdown-view').length > 0", "."),
    "graphs": Tab(
        "seen('g.node').length > 2",
        then="seen('g.node rect').forEach(node => node.dispatchEvent(new MouseEvent('dblclick', {bubbles: true})))",
    ),
    "projector": Tab(
        "seen('canvas').length > 0",
        then="all('vz-projector-data-panel').forEach(panel => {panel.selectedColorOptionName = 'emotion'})",
    ),
    "hparams": Tab("seen('vaadin-grid-cell-content').length > 2"),
}
"""Every tab by its name in TensorBoard's address."""


@contextmanager
def browser(program: str, width: int, height: int) -> Iterator[Page]:
    """Start a browser without a window, yield its page, and end it.

    Raises:
        UserError: The browser did not start.
    """
    with sync_playwright() as playwright:
        try:
            # The flag lets the projector's points be drawn without a graphics card.
            started = playwright.chromium.launch(
                executable_path=program, args=["--enable-unsafe-swiftshader"], chromium_sandbox=False
            )
        except Error as error:
            reason = error.message.partition("\n")[0]
            raise UserError(f"the browser did not start ({reason}): give another with --browser=") from error
        with started:
            yield started.new_page(viewport={"width": width, "height": height})


@contextmanager
def tensorboard(logdir: Path, patience: float) -> Iterator[str]:
    """Serve ``logdir`` on a free port of 127.0.0.1 and yield the address.

    Raises:
        UserError: TensorBoard does not answer, or finds no run.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--logdir", str(logdir), "--host", "127.0.0.1", "--port", str(port)]
    address = f"http://127.0.0.1:{port}/"
    command, nothing = [sys.executable, "-m", "tensorboard.main", *words], subprocess.DEVNULL
    with subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing) as process:
        try:
            until = time.monotonic() + patience
            while not _shows_runs(address):
                if time.monotonic() > until:
                    raise UserError(f"TensorBoard shows no run of {logdir}: give a run folder, or a folder of them")
                time.sleep(0.5)
            yield address
        finally:
            process.terminate()


def _shows_runs(address: str) -> bool:
    try:
        return bool(requests.get(f"{address}data/runs", timeout=5).json())
    except (requests.ConnectionError, requests.Timeout):
        return False


def find_browser(given: str | None) -> str:
    """Return the browser to start.

    Raises:
        UserError: There is no browser.
    """
    for name in (given,) if given else BROWSERS:
        if found := shutil.which(name):
            return found
    if given:
        raise UserError(f"--browser={given} is no program that can be started")
    raise UserError(
        f"no browser on PATH ({', '.join(BROWSERS)}): install Chromium, or give a Chromium or Chrome with --browser="
    )


def photograph(
    logdir: Path, out: Path, tabs: Sequence[str], program: str, size: Sequence[int] = SIZE,
    shown: str | None = None, patience: float = 120,
) -> list[Path]:  # fmt: skip
    """Write ``out/TAB.png`` of each tab, and return the files.

    Args:
        logdir: A run folder, or a folder of several.
        out: Folder of the pictures, which is made if it is missing.
        tabs: Names in ``TABS``.
        program: Chromium or Chrome.
        size: Width and height of the pictures in pixels.
        shown: Regular expression of the tags to show; None for those of ``TABS``.
        patience: Seconds to wait for a tab.

    Raises:
        UserError: There is no run, the browser can't be used, or a tab stays empty.
    """
    if not any(logdir.rglob("events.out.tfevents.*")):
        raise UserError(f"{logdir} holds no run of TensorBoard: give a run folder, or a folder of them")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    with tensorboard(logdir, patience) as address, browser(program, size[0], size[1]) as page:
        for tab in tabs:
            page.goto("about:blank")
            page.goto(address + _place(tab, shown))
            try:
                page.wait_for_function(f"() => {{{DEEP} return {TABS[tab].filled};}}", timeout=1000 * patience)
            except TimeoutError as error:
                raise UserError(f"TensorBoard's tab {tab} stayed empty for {patience:g} seconds") from error
            time.sleep(SETTLES)
            if then := TABS[tab].then:
                page.evaluate(f"() => {{{DEEP} {then};}}")
                time.sleep(SETTLES)
            page.screenshot(path=out / f"{tab}.png")
            written.append(out / f"{tab}.png")
    return written


def _place(tab: str, shown: str | None) -> str:
    if TABS[tab].shown is None:
        return f"#{tab}"
    tags = quote(shown or TABS[tab].shown or "", safe="")
    return f"?tagFilter={tags}#{tab}" if tab == "timeseries" else f"#{tab}&tagFilter={tags}"


def main() -> None:
    """Read the options and write the pictures."""
    parser = command_parser(__doc__, "outputs/RUN --tabs images --tags confusion")
    parser.add_argument("logdir", type=Path, help="a run folder, or a folder of several")
    parser.add_argument("--out", type=Path, default=Path("outputs/screenshots"), help="folder for the pictures")
    parser.add_argument("--tabs", nargs="+", choices=TABS, default=list(TABS), metavar="TAB", help=", ".join(TABS))
    parser.add_argument("--tags", metavar="REGEX", help="show these tags")
    parser.add_argument("--size", nargs=2, type=int, default=SIZE, metavar=("WIDTH", "HEIGHT"), help="in pixels")
    parser.add_argument("--browser", metavar="PATH", help="Chromium or Chrome; looked for on PATH by default")
    options = parser.parse_args()
    with errors_in_words():
        program = find_browser(options.browser)
        for path in photograph(options.logdir, options.out, options.tabs, program, options.size, options.tags):
            Screen().print(f"{escape(path)}: {path.stat().st_size / 1000:.0f} kB", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
