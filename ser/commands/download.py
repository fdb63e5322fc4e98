"""Download a corpus.

Every file is checked. A second run gets only what is missing or broken, and resumes what was interrupted.
"""

import os
import sys
from pathlib import Path

from ser.commands.cli import command_parser
from ser.data.corpora import FACTS, HOMES, ON_REQUEST
from ser.data.corpora.sources import SOURCES
from ser.errors import UserError

AGAIN = "The same command again gets only what is missing."


def main() -> None:
    """Download, or say where to ask.

    Raises:
        SystemExit: With status 1, something could not be downloaded.
    """
    parser = command_parser(__doc__, "ravdess --to data/ravdess")
    parser.add_argument("name", choices=sorted(HOMES), metavar="NAME", help="one of %(choices)s")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="(default: $SER_DATA/NAME, else data/NAME)")
    parser.add_argument("--jobs", type=int, default=8, metavar="N", help="files at once")
    options = parser.parse_args()
    if options.jobs < 1:
        parser.error(f"--jobs is {options.jobs}; it must be 1 or more")
    name = options.name
    to = (options.to or Path(os.environ.get("SER_DATA") or "data") / name).expanduser()
    if name not in SOURCES:
        why = "may not be passed on. Ask for" if name in ON_REQUEST else "is not downloaded by this program. Get"
        sys.exit(
            f"{name} {why} it at {HOMES[name]}, put what you get into {to}, unpacked, or point dataset.root= at it: "
            f"python train.py dataset={name} dataset.root=FOLDER"
        )
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from ser.data.download import download

    source = SOURCES[name]()
    print(f"{name}: {FACTS[name].licence}; {HOMES[name]}")
    try:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns) as progress:
            new = download(source, to, jobs=options.jobs, progress=progress)
    except KeyboardInterrupt:
        sys.exit(f"{name} is not complete in {to}. {AGAIN}")
    except (UserError, OSError) as error:
        sys.exit(f"{name} is not complete in {to}: {error}\n{AGAIN}")
    root = f" dataset.root={to}" if options.to else ""
    print(f"{name} is complete in {to}, {new} files are new; train on it: python train.py dataset={name}{root}")
