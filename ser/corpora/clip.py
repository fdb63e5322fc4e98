"""What a reader of a corpus knows about one recording."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ser.errors import UserError

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif")
"""File name endings of sound, in lower case; a reader takes any case."""

EMOTIONS = (
    "anger",
    "boredom",
    "calm",
    "disgust",
    "excited",
    "fear",
    "frustrated",
    "happy",
    "neutral",
    "other",
    "sad",
    "surprise",
    "undecided",
)
"""The one vocabulary of all corpora with labels of their own; a folder's or a manifest's names are its author's.

``undecided`` is what raters could not agree on. ``surprise`` takes in TESS's pleasant surprise.
"""

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
        corpus: Which corpus it belongs to, by its name on the command line; ``read_corpora`` fills it in.
        session: The recording session, or None.
        sentence: What is said, or None.
        intensity: How strongly the emotion is acted, or None.
        sex: ``female`` or ``male``, or None.
        age: In years, or None.
        race: As the corpus puts it, lower case, or None.
        ethnicity: As the corpus puts it, lower case, or None.
        votes: How many raters who heard the clip chose each emotion, or None.
        original: Where the clip was made from another recording, such as an augmented copy: that one's name.
        split: ``train``, ``val`` or ``test`` where the corpus brings a split of its own, or None.
    """

    name: str
    path: Path
    emotion: str
    speaker: str | None = None
    corpus: str = ""
    session: str | None = None
    sentence: str | None = None
    intensity: str | None = None
    sex: str | None = None
    age: int | None = None
    race: str | None = None
    ethnicity: str | None = None
    votes: Mapping[str, int] | None = field(default=None, hash=False)
    original: str | None = None
    split: str | None = None


def person(clip: Clip) -> str | None:
    """The speaker with the corpus, as in ``crema_d/1001``, however many corpora were read; None where not known."""
    if clip.speaker is None or clip.speaker.startswith(f"{clip.corpus}/"):
        return clip.speaker
    return f"{clip.corpus}/{clip.speaker}"


def sound_files(root: Path) -> Iterator[Path]:
    """Yield the sound files anywhere below ``root``, sorted by path; hidden files and folders are passed over."""
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield path
