"""The speaker of each recording, as a user gives it, and the voices that follow."""

import csv
from collections.abc import Sequence
from pathlib import Path

from ser.errors import UserError
from ser.features import Voice, VoiceError
from ser.features.voices import grouped
from ser.recognizer import Recognizer

PATH, SPEAKER = "path", "speaker"


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
