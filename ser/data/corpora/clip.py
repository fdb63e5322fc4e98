"""What a reader of a corpus knows about one recording."""

import re
import stat
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from ser.errors import UserError

SUFFIXES = (
    ".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".wave", ".bwf", ".rf64", ".w64", ".oga",
    ".mp2", ".au", ".snd", ".caf", ".sph", ".nist", ".voc", ".avr", ".paf", ".fap", ".pvf", ".sf", ".ircam", ".svx",
    ".8svx", ".iff", ".htk", ".sds", ".sd2", ".wve", ".xi",
)  # fmt: skip
"""File name endings of sound that libsndfile reads, in lower case; a reader takes any case."""

FILMS = (
    ".mp4", ".m4v", ".wmv", ".asf", ".3gp", ".3gpp", ".3g2", ".mkv", ".mov", ".qt", ".avi", ".flv", ".f4v", ".mpg",
    ".mpeg", ".ogv", ".mts", ".m2ts", ".rm",
)  # fmt: skip
"""Endings of films, or of only sound in the same containers, which libsndfile does not read."""

FOREIGN = (
    *FILMS, ".m4a", ".m4b", ".m4p", ".aac", ".webm", ".weba", ".wma", ".amr", ".awb", ".mka", ".ac3", ".eac3", ".dts",
    ".ape", ".wv", ".tta", ".spx", ".ra", ".dsf", ".dff", ".gsm", ".g722", ".g729", ".qcp", ".dss", ".ds2", ".mpc",
    ".shn", ".raw", ".pcm",
)  # fmt: skip
"""All endings of sound that libsndfile does not read."""

CONVERT = "; ffmpeg -i FILE FILE.wav converts one"
"""The remedy for a file with one of the endings in ``FOREIGN``."""

NOT_OURS = frozenset({"__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information"})
"""Folders that systems leave behind; they are passed over like hidden ones."""

INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200e\u200f\u2060\ufeff"))
"""Characters that nobody sees, for ``str.translate``."""

LISTED = 5
"""Most names that a message lists."""

EMOTIONS = (
    "amused",
    "anger",
    "anxious",
    "apologetic",
    "assertive",
    "boredom",
    "breath",
    "calm",
    "concerned",
    "disappointed",
    "disgust",
    "encouraging",
    "excited",
    "fear",
    "frustrated",
    "happy",
    "neutral",
    "other",
    "pain",
    "pleasure",
    "sad",
    "sleepy",
    "surprise",
    "undecided",
)
"""The one vocabulary of all corpora with labels of their own; a folder's or a manifest's names are its author's.

``undecided`` is what raters could not agree on. ``surprise`` takes in TESS's pleasant surprise. ``breath`` is a class
of ASVP-ESD.
"""

WORDS = {
    **{emotion: emotion for emotion in EMOTIONS},
    **dict.fromkeys(("ang", "angry"), "anger"),
    **dict.fromkeys(("bored", "bor"), "boredom"),
    **dict.fromkeys(("dis", "disgusted"), "disgust"),
    **dict.fromkeys(("exc", "excitement"), "excited"),
    **dict.fromkeys(("fea", "fearful", "afraid", "scared"), "fear"),
    **dict.fromkeys(("fru", "frustration"), "frustrated"),
    **dict.fromkeys(("hap", "happiness", "joy", "joyful"), "happy"),
    **dict.fromkeys(("neu",), "neutral"),
    **dict.fromkeys(("sadness",), "sad"),
    **dict.fromkeys(("sleepiness",), "sleepy"),
    **dict.fromkeys(("sur", "surprised"), "surprise"),
    **dict.fromkeys(("amusement",), "amused"),
    **dict.fromkeys(("anxiety",), "anxious"),
    **dict.fromkeys(("disappointment",), "disappointed"),
}
"""Other forms of the words in ``EMOTIONS``, as ``spelling_key`` has them; words with another meaning stay apart."""

SEXES = {**dict.fromkeys(("f", "female", "w", "woman"), "female"), **dict.fromkeys(("m", "male", "man"), "male")}
"""What stands for ``female`` and ``male``, as ``spelling_key`` has it."""

SIDES = ("train", "val", "test")
"""Sides of a split."""

SIDE_NAMES = {
    **dict.fromkeys(("train", "training", "trainset", "train set"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev", "devel", "development"), "val"),
    **dict.fromkeys(("test", "testing", "tests", "testset", "test set", "eval", "evaluation"), "test"),
}
"""Other names of the sides, as ``spelling_key`` has them."""


class CorpusError(UserError):
    """A corpus that is not there, or is not what its name says; the message gives the remedy."""


class CorpusWarning(UserWarning):
    """What was merged, guessed or left out as a corpus was read, with the count; ``telling`` shows it."""


@contextmanager
def telling(tell: Callable[[str], None]) -> Iterator[None]:
    """Pass each ``CorpusWarning`` of the block to ``tell`` as the block ends, however it does.

    Other warnings stay as they are.
    """
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", CorpusWarning)
            yield
    finally:
        for warning in caught:
            if issubclass(warning.category, CorpusWarning):
                tell(str(warning.message))
            else:
                warnings.showwarning(warning.message, warning.category, warning.filename, warning.lineno)


def warn(message: str, stacklevel: int = 3) -> None:
    """Issue a ``CorpusWarning`` at the caller of the function that calls this, or further up."""
    warnings.warn(message, CorpusWarning, stacklevel)


@dataclass(frozen=True, slots=True)
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
        votes: How many raters of the clip chose each emotion, or None.
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
    """Return the speaker with the corpus, as in ``crema_d/1001``, however many corpora were read; None if not known."""
    if clip.speaker is None or clip.speaker.startswith(f"{clip.corpus}/"):
        return clip.speaker
    return f"{clip.corpus}/{clip.speaker}"


@dataclass(frozen=True)
class Listing:
    """What lies below a folder, each list sorted by path; hidden files and folders are passed over.

    Attributes:
        sounds: Files with one of ``SUFFIXES``.
        foreign: Files with one of ``FOREIGN``.
        others: All other files.
        folders: All folders, those that can't be read among them.
    """

    sounds: list[Path] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    def add(self, path: Path) -> None:
        """Put a file where its ending belongs."""
        suffix = path.suffix.lower()
        (self.sounds if suffix in SUFFIXES else self.foreign if suffix in FOREIGN else self.others).append(path)

    def unconverted(self) -> list[Path]:
        """Return foreign files without a sound of the same name beside them, which would be their converted copy."""
        converted = {path.with_suffix("") for path in self.sounds} | set(self.sounds)
        return [path for path in self.foreign if not {path, path.with_suffix("")} & converted]


def list_files(root: Path) -> Listing:
    """List the files anywhere below ``root``; links to folders are followed, and no folder is read twice.

    Warnings name folders that can't be read, links that lead to what is read anyway, and entries that are neither
    files nor folders.
    """
    found = Listing()
    seen: set[tuple[int, int]] = set()
    waiting, links = [root], list[Path]()
    unread, again, special = list[str](), list[Path](), list[Path]()
    while waiting or links:
        # Links come last, so that what lies below ``root`` itself is found at its own place.
        folder = waiting.pop() if waiting else links.pop(0)
        if folder != root:
            found.folders.append(folder)
        try:
            about = folder.stat()
            if (about.st_dev, about.st_ino) in seen:
                again.append(folder)
                continue
            seen.add((about.st_dev, about.st_ino))
            entries = sorted(folder.iterdir())
        except OSError as error:  # no permission, or a link that leads nowhere
            unread.append(f"{folder} ({error.strerror or error})")
            continue
        for path in entries:
            mode = _mode(path)
            if path.name.startswith(".") or path.name in NOT_OURS:
                continue
            if stat.S_ISDIR(mode) or not (mode or path.suffix):
                (links if path.is_symlink() else waiting).append(path)
            elif mode and not stat.S_ISREG(mode):
                special.append(path)
            else:
                found.add(path)
    for several in (found.sounds, found.foreign, found.others, found.folders):
        several.sort()
    for what, names in (
        ("folders can't be read", unread),
        ("links lead to folders that are read anyway, and were passed over", again),
        ("are neither files nor folders, and were passed over", special),
    ):
        if names:
            warn(f"{len(names):,} {what}: {listing(names)}")
    return found


def _mode(path: Path) -> int:
    """Return the mode of ``path`` or of the end of its link; 0 where the link leads nowhere or there is no answer."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def listing(names: Sequence[object]) -> str:
    """Return the first of ``names``, and how many more there are."""
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(str(name) for name in names[:LISTED]) + more


def warn_left_out(root: Path, paths: Sequence[Path], why: str, remedy: str = "") -> None:
    """Warn that files below ``root`` are left out, with how many of them have each ending."""
    if paths:
        kinds = Counter(path.suffix.lower() or "without an ending" for path in paths)
        counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
        such = f"such as {paths[0].relative_to(root)} in {root}"
        warn(f"left out {len(paths):,} files that {why} ({counts}), {such}{remedy}", 4)


def tidy(name: str) -> str:
    """Return ``name`` as emotions are written: lower case, composed, and without characters that nobody sees."""
    return unicodedata.normalize("NFC", name).translate({**INVISIBLE, 0xA0: " "}).strip().lower()


@lru_cache(maxsize=1 << 14)
def spelling_key(name: str) -> str:
    """Return what spellings of one name share, whatever their case, spaces, composition, and zeros before or behind.

    ``Ann`` is ``ann``, a no-break space is a space, and ``1001.0`` and ``01001`` are ``1001``. Both sides of a slash
    count by themselves, as in ``manifest/1001``.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).translate(INVISIBLE)
    return "/".join(_whole(" ".join(part.split())) for part in plain.split("/"))


def _whole(part: str) -> str:
    match = re.fullmatch(r"0*([0-9]+?)(\.0+)?", part)
    return part if match is None else match[1]


def sound_files(root: Path) -> Iterator[Path]:
    """Yield the sound files anywhere below ``root``, sorted by path, as ``list_files`` finds them.

    A warning counts the sound that libsndfile does not read.
    """
    found = list_files(root)
    warn_left_out(root, found.foreign, "libsndfile does not read", CONVERT)
    yield from found.sounds
