"""What users read: errors that say what to do, and a screen that shows what strangers wrote letter by letter."""

import io
import os
import sys
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any

import rich.console
import rich.markup
from rich.table import Table
from rich.text import Text

JOINERS = "\u200c\u200d"
"""Invisible characters that are kept, because Persian, Indian languages and emoji are written with them."""


def visible(text: object, lines: bool = False) -> str:
    r"""Return ``text`` with escapes for characters that would act on a terminal: ``\x1b[2J`` clears no screen.

    Control characters, overrides of the direction of writing, other invisible characters, and bytes of a file's name
    that are not text become Python's escapes.

    Args:
        text: Any object, mostly names of files, labels and fields of files.
        lines: Whether line breaks and tabs are kept.
    """
    kept = JOINERS + ("\n\t" if lines else "")
    return "".join(
        character if character in kept or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else character.encode("unicode_escape", "backslashreplace").decode()
        for character in str(text)
    )  # fmt: skip


class UserError(ValueError):
    """Reports a choice that can't work or data that can't be used.

    The message gives the value, what is allowed, and what to do; ``train.py`` shows it without a traceback. Further
    arguments are lines below it.
    """

    def __str__(self) -> str:
        """Return the message, with escapes in names and fields that others wrote."""
        return "\n  ".join(map(visible, self.args))


def suit_terminal() -> None:
    """Print characters that a terminal or pipe has no code for as escapes, here and in child processes.

    Those on Windows, in a C locale or with ``PYTHONIOENCODING`` take fewer characters than labels and tables have.
    """
    for stream in (sys.stderr, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):  # else somebody put another object there, which has no encoding
            stream.reconfigure(errors="backslashreplace")
            os.environ["PYTHONIOENCODING"] = f"{stream.encoding}:backslashreplace"


class Screen(rich.console.Console):
    """Shows control characters as escapes, and leaves ``:smile:`` in a name as it is, unlike Rich's console."""

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make ``text`` visible; every text that is printed comes through here, cells of tables as well."""
        return super().render_str(visible(text, lines=True), **options)


def table_of(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[str] = ()) -> Table:
    """Make a table of texts from anywhere; its columns are right-justified, except those in ``left``."""
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
    """Return whether this process has outlasted what read its output."""
    return isinstance(sys.stdout, Lasting) and sys.stdout.unread


def escape(text: object) -> str:
    """Write ``text`` as markup that shows it letter by letter, on one line."""
    return rich.markup.escape(visible(text))
