"""Finds the recordings that words on the command line stand for."""

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ser.data.corpora.clip import list_files, telling, warn_left_out
from ser.errors import Screen, UserError, escape
from ser.files import as_path


def find(words: Sequence[str], listed: Iterable[str] = ()) -> list[Path]:
    """Find files, sound files of folders, what globs match, and for ``-`` the paths in ``listed``, one per line.

    Paths are understood as ``ser.files.as_path`` has it.

    Raises:
        UserError: A folder has no sound file, or a glob matches nothing.
    """
    paths: list[Path] = []
    for word in (word if word == "-" else str(as_path(word)) for word in words):
        if word == "-":
            paths += [as_path(line.rstrip("\r\n").removeprefix("\ufeff")) for line in listed if line.strip()]
        elif Path(word).is_dir():
            inside = inside_of(Path(word))
            if not inside:
                raise UserError(f"{word} holds no sound file")
            paths += inside
        elif glob.has_magic(word) and not Path(word).exists():
            matching = matches(word)
            if not matching:
                raise UserError(f"{word} matches no file")
            for match in map(Path, matching):
                paths += inside_of(match) if match.is_dir() else [match]
        else:
            paths.append(Path(word))
    return paths


def inside_of(folder: Path) -> list[Path]:
    """List a folder's files that end as sound does, also those that can't be read; others are counted."""
    with telling(lambda message: Screen().print(escape(message), soft_wrap=True, highlight=False)):
        found = list_files(folder)
        warn_left_out(folder, found.others, "are no sound files by their endings")
    return sorted(found.sounds + found.foreign)


def matches(pattern: str) -> list[str]:
    """List what a glob matches, sorted; the names that it begins with stand for themselves where they exist."""
    known, rest = Path(), list(Path(pattern).parts)
    while rest and os.path.lexists(known / rest[0]):
        known /= rest.pop(0)
    pattern = str(Path(glob.escape(str(known)), *rest))
    found = glob.glob(pattern, recursive=True) or glob.glob(pattern.replace("\\", "/"), recursive=True)  # noqa: PTH207
    return sorted(found)
