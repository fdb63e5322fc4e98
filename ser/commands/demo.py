"""Try a model in the browser: files, the microphone, long recordings.

Serves a page on this machine only, and opens it, until Ctrl-C. Recordings stay in the browser. A folder that ``ser
export`` has written is served as it is; of a run or checkpoint the page is written first, to a folder that is removed
at the end.
"""

import argparse
import tempfile
import webbrowser
from contextlib import ExitStack
from pathlib import Path

from ser.commands.cli import command_parser, errors_in_words


def main() -> None:
    """Read the options, write the page if need be, and serve it."""
    parser = command_parser(__doc__, "outputs/RUN")
    parser.add_argument(
        "checkpoint", type=Path, nargs="?", metavar="RUN",
        help="a run's folder, a checkpoint, or a page that was exported; without it the package's own model answers",
    )  # fmt: skip
    parser.add_argument("--port", type=_port, default=8000, help="of the address; 0 for any that is free")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument(
        "--runtime", type=Path, metavar="FOLDER",
        help="that holds the files of onnxruntime-web, which are downloaded otherwise",
    )  # fmt: skip
    options = parser.parse_args()
    with errors_in_words(), ExitStack() as stack:
        from ser.errors import Screen, escape
        from ser.inference.page import is_page, server, write_page

        screen = Screen(highlight=False)
        folder = options.checkpoint
        web = stack.enter_context(server(options.port))  # before the page, because a port may be taken
        try:
            if folder is None or not is_page(folder):
                from ser.recognizer import Recognizer

                recognizer = Recognizer.load(folder)
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ser-page-")))
                screen.print("writing the page …")
                write_page(recognizer, folder, options.runtime)
            web.folder = folder
            address = f"http://127.0.0.1:{web.server_port}/"
            screen.print(
                f"{escape(options.checkpoint or 'The model that comes with ser')} answers at {address} until Ctrl-C",
                soft_wrap=True,
            )
            if not options.no_browser:
                webbrowser.open(address)
            web.serve_forever()
        except KeyboardInterrupt:
            screen.print("ended")


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number from 0 to 65535")
    return int(text)
