"""What a reader of a corpus knows about one recording."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ser.errors import UserError

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff")
"""File name endings of sound, in lower case; a reader takes any case."""


SIDES = ("train", "val", "test")
"""Of a split."""


class CorpusError(UserError):
    """A corpus that is not there, or is not what its name says; the message gives the remedy."""


@dataclass(frozen=True)
class Clip:
    """One recording and its label.

    Attributes:
        name: Identity within the corpus; splits and results sort and list by it.
        path: The sound file.
        emotion: Label, lower case.
        speaker: Who speaks, or None where the corpus does not say.
        sentence: What is said, or None.
        intensity: How strongly the emotion is acted, or None.
        split: ``train``, ``val`` or ``test`` where the corpus brings a split of its own, or None.
    """

    name: str
    path: Path
    emotion: str
    speaker: str | None = None
    sentence: str | None = None
    intensity: str | None = None
    split: str | None = None


def sound_files(root: Path) -> Iterator[Path]:
    """Yield the sound files anywhere below ``root``, sorted by path; hidden files and folders are passed over."""
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield path
