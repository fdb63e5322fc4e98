"""Pictures of TensorBoard's tabs: ``python benchmarks/screenshots.py outputs/RUN --out docs/tensorboard``.

Starts TensorBoard on a free port of this machine and a Chromium or Chrome without a window, opens each tab, writes a
PNG of it, and ends what it started. What a picture shows of paths is what was typed: a relative path stays one.
"""

import base64
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import requests

from ser.commands.cli import command_parser, errors_in_words
from ser.errors import Screen, UserError, escape

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-unsafe-swiftshader",  # draws the projector's points without a graphics card
    "--remote-debugging-pipe",  # takes commands from a pipe, so that no driver is needed
]

LAUNCHER = """
import fcntl, os, sys
for number, end in zip((3, 4), [fcntl.fcntl(int(end), fcntl.F_DUPFD, 5) for end in sys.argv[1:3]]):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The browser reads from descriptor 3 and writes to 4, whatever numbers the pipes have here."""

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


class Browser:
    """Chromium's DevTools protocol, through the pipe of ``--remote-debugging-pipe``.

    Args:
        to_browser: File descriptor that commands are written to.
        from_browser: File descriptor that answers are read from.
    """

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session: str | None = None
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its result.

        Raises:
            UserError: The browser went away or refused.
        """
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        try:
            os.write(self._to, json.dumps(message).encode() + b"\0")
        except BrokenPipeError as error:
            raise UserError("the browser did not start, or ended: give another with --browser=") from error
        while (answer := self._next()).get("id") != number:
            pass
        if "error" in answer:
            raise UserError(f"the browser refused {method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._from, 1 << 20)
            if not part:
                raise UserError("the browser did not start, or ended: give another with --browser=")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        code = f"(() => {{{DEEP} return {expression};}})()"
        return self("Runtime.evaluate", expression=code, returnByValue=True)["result"].get("value")

    def picture(self) -> bytes:
        """Return a picture of the page, as PNG."""
        return base64.b64decode(self("Page.captureScreenshot", format="png")["data"])


@contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program, and end it."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def browser(program: str, width: int, height: int, further: Sequence[str] = ()) -> Iterator[Browser]:
    """Start a browser with a profile of its own and ``further`` flags, and end it."""
    with ExitStack() as stack:
        profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        for_browser, to_browser = os.pipe()
        from_browser, by_browser = os.pipe()
        flags = [*FLAGS, *further, f"--window-size={width},{height}", f"--user-data-dir={profile}"]
        ends = (for_browser, by_browser)
        command = [sys.executable, "-c", LAUNCHER, *map(str, ends), program, *flags]
        process = started(command, pass_fds=ends, stderr=subprocess.DEVNULL)
        stack.enter_context(process)
        os.close(for_browser)
        os.close(by_browser)
        stack.callback(os.close, to_browser)
        stack.callback(os.close, from_browser)
        yield Browser(to_browser, from_browser)


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
    with started([sys.executable, "-m", "tensorboard.main", *words], stderr=subprocess.DEVNULL):
        until = time.monotonic() + patience
        while time.monotonic() < until:
            try:
                if requests.get(f"{address}data/runs", timeout=5).json():
                    break
            except (requests.ConnectionError, requests.Timeout):
                pass
            time.sleep(0.5)
        else:
            raise UserError(f"TensorBoard shows no run of {logdir}: give a run folder, or a folder of them")
        yield address


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
        page("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False)
        for tab in tabs:
            page("Page.navigate", url="about:blank")
            page("Page.navigate", url=address + _place(tab, shown))
            until = time.monotonic() + patience
            while not page.evaluate(TABS[tab].filled):
                if time.monotonic() > until:
                    raise UserError(f"TensorBoard's tab {tab} stayed empty for {patience:g} seconds")
                time.sleep(0.5)
            time.sleep(SETTLES)
            if then := TABS[tab].then:
                page.evaluate(then)
                time.sleep(SETTLES)
            path = out / f"{tab}.png"
            path.write_bytes(page.picture())
            written.append(path)
    return written


def _place(tab: str, shown: str | None) -> str:
    """Return what follows TensorBoard's address."""
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
