"""What is printed: names and fields that strangers wrote are shown as they are, and do nothing to a terminal."""

import io
import os
import sys
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any

import rich.console
import rich.markup
from rich.table import Table
from rich.text import Text

from ser.errors import visible


class Screen(rich.console.Console):
    """Rich's console, on which control characters are shown as escapes, and ``:smile:`` in a name stays as it is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """What is shown of ``text``; every text that is printed comes through here, cells of tables as well."""
        return super().render_str(visible(text, lines=True), **options)


def table_of(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[str] = ()) -> Table:
    """A table of texts that strangers may have written; columns are right-justified, except those in ``left``."""
    table = Table(title=escape(title))
    for head in heads:
        table.add_column(escape(head), justify="left" if head in left else "right")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


class Lasting(io.TextIOWrapper):
    """Standard output that a command does without once nobody reads it any more, as after ``… | head -1``.

    Args:
        stream: Standard output so far.
        note: Printed on standard error when the reader is gone.

    Attributes:
        unread: Whether the reader is gone.
    """

    def __init__(self, stream: io.TextIOWrapper, note: str) -> None:
        stream.flush()
        super().__init__(stream.buffer, stream.encoding, stream.errors, line_buffering=stream.line_buffering)
        self.first = stream  # which would close the file as it goes
        self.note, self.unread = note, False

    def write(self, text: str) -> int:
        """Write ``text``, or lose it."""
        try:
            return super().write(text)
        except BrokenPipeError:
            self._let_go()
            return len(text)

    def flush(self) -> None:
        """Hand on what was written, or lose it."""
        try:
            super().flush()
        except BrokenPipeError:
            self._let_go()

    def _let_go(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
        super().flush()
        self.unread = True
        if self.note:
            with suppress(OSError):  # as after 2>&1
                print(self.note, file=sys.stderr)


NOBODY_READS = "Nobody reads what this run prints: it goes on, and its folder has the results"


def outlast_readers(note: str = NOBODY_READS) -> None:
    """Let this process continue when the program that reads its output ends, and print ``note`` then."""
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = Lasting(sys.stdout, note)


def is_unread() -> bool:
    """Whether this process has outlasted what read its output."""
    return isinstance(sys.stdout, Lasting) and sys.stdout.unread


def escape(text: object) -> str:
    """``text`` as markup that shows it letter by letter, on one line."""
    return rich.markup.escape(visible(text))
