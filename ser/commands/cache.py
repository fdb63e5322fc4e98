"""List what a cache folder holds, or delete it.

The folder is the one that runs had as datamodule.cache=FOLDER. All in it can be made again from the clips.
"""

import time
from pathlib import Path
from typing import Any

from rich.table import Table

from ser.commands.cli import command_parser, errors_in_words
from ser.data.cache import Entry, clear, entries
from ser.errors import Screen, escape

console = Screen()


def main() -> None:
    """List the entries, or delete them.

    Raises:
        SystemExit: With status 1, there is no such folder, or it can't be read or changed.
    """
    parser = command_parser(__doc__, "~/.cache/ser --clear")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="what runs had as datamodule.cache=")
    parser.add_argument("--clear", action="store_true", help="delete all entries")
    options = parser.parse_args()
    with errors_in_words():
        if options.clear:
            gone = clear(options.folder.expanduser())
            console.print(f"{len(gone)} deleted, {_megabytes(sum(entry.size for entry in gone))}")
        else:
            show(entries(options.folder.expanduser()))


def show(found: list[Entry]) -> None:
    """Print a table, the largest first."""
    table = Table("entry", "clips", "made of", "size", "last used")
    for entry in found:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        table.add_row(entry.path.name, *map(escape, _made_of(entry.about)), _megabytes(entry.size), used)
    console.print(table)
    console.print(f"{len(found)} entries, {_megabytes(sum(entry.size for entry in found))}")


def _made_of(about: dict[str, Any]) -> tuple[str, str]:
    """Say how many clips an entry holds, and which features of them."""
    match about:
        case {"clips": int(clips), "sample_rate": int(rate)}:
            features = about["names"] if isinstance(about.get("names"), list) else []
            names = "_".join(map(str, features)).encode("unicode_escape").decode()
            return f"{clips:,}", f"{names}, {rate:,} Hz" if names else f"{rate:,} Hz"
        case _:
            return "?", "broken: the next run that wants it makes it again"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
