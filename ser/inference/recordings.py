"""The recordings that words on the command line stand for, the speaker of each, and the voices that follow."""

import csv
import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ser.data.corpora.clip import list_files, telling, warn_left_out
from ser.errors import Screen, UserError, escape
from ser.features import Voice, VoiceError
from ser.features.voices import grouped
from ser.files import as_path
from ser.recognizer import Recognizer

PATH, SPEAKER = "path", "speaker"


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


def speakers_of(paths: Sequence[Path], said: str) -> list[str | None]:
    """Find who speaks in each recording.

    Args:
        paths: Recordings.
        said: ``folder``, where each folder with recordings is one person; ``all``, where all are of one person or one
            microphone; or a CSV file with the columns ``path`` and ``speaker``.

    Returns:
        A name per recording, or None where the CSV has none.

    Raises:
        UserError: The CSV can't be read, or names none of the recordings.
    """
    if said == "all":
        return ["all"] * len(paths)
    if said == "folder":
        return [str(path.parent) for path in paths]
    known = _table(Path(said))
    found = [known.get(path.resolve()) for path in paths]
    if not any(found):
        raise UserError(f"--voices {said} names none of the {len(paths):,} recordings: its paths are relative to it")
    return found


def _table(file: Path) -> dict[Path, str]:
    """Read recording → speaker from a CSV; paths are relative to it."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(
            f"--voices {file} can't be read: {error}; it must be folder, all, or a CSV with the columns path,speaker"
        ) from error
    if not rows or not {PATH, SPEAKER} <= set(rows[0]):
        raise UserError(f"--voices {file} must have the columns {PATH} and {SPEAKER}, and a row per recording")
    named = [(row[PATH], (row[SPEAKER] or "").strip()) for row in rows if row[PATH]]
    try:
        return {(file.parent / path).resolve(): speaker for path, speaker in named if speaker}
    except ValueError as error:  # a name that no file can have
        raise UserError(f"--voices {file} names a path that no file can have: {error}") from error


def enrol_each(
    recognizer: Recognizer, paths: Sequence[Path], speakers: Sequence[str | None]
) -> tuple[list[Voice | None], list[str]]:
    """Enrol each speaker with all recordings of theirs; what can't be used for that is left out and listed.

    Args:
        recognizer: A recognizer whose network knows voices.
        paths: Recordings.
        speakers: Who speaks in each; None for unknown.

    Returns:
        The voice of each recording, None where nobody is known; and why recordings say nothing of their voice.

    Raises:
        UserError: The network knows nothing of voices.
    """
    voices: dict[str, Voice] = {}
    left_out: list[str] = []
    for name, places in grouped(speakers).items():
        unusable: list[str] = []
        try:
            voices[name] = recognizer.enrol([paths[i] for i in places], left_out=unusable)
        except VoiceError:
            if not unusable:
                raise
        left_out += unusable
    return [None if speaker is None else voices.get(speaker) for speaker in speakers], left_out
