"""Your own recordings, one sub-folder per emotion: ``my_clips/happy/001.wav``.

Folders of speakers above the emotions' (``0011/Angry/1.wav``) and folders of a split's sides on any level
(``train/angry/1.wav``) are recognised by their names.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from ser.data.corpora.clip import (
    SIDE_NAMES,
    WORDS,
    Clip,
    CorpusError,
    Listing,
    list_files,
    listing,
    spelling_key,
    tidy,
    warn,
    warn_left_out,
)
from ser.data.corpora.facts import OWN, Facts
from ser.data.corpora.reading import is_unknown, merge_spellings

FACTS = Facts(title="Your own recordings", licence=OWN, what="one sub-folder an emotion", label="the sub-folder's name")

FEELINGS = set(WORDS) | {
    "furious", "rage", "annoyed", "contempt", "contemptuous", "disgusting", "natural", "sorrow", "tired", "love",
    "pleased", "relaxed", "content", "positive", "negative",
}  # fmt: skip
"""Words by which a folder's name is taken for an emotion."""


PERSON = re.compile(r"(actor|speaker|spk|spkr|subject|subj|participant|person|talker|user)[\W_]*\d+|\d{3,}")
"""Names of folders that are speakers rather than emotions, in lower case."""

NOT_PEOPLE = {
    "fold", "folds", "session", "sessions", "part", "parts", "batch", "set", "sets", "data", "dataset", "corpus",
    "audio", "wav", "wavs", "clips", "recordings", "samples", "male", "female", "males", "females", "men", "women",
    "man", "woman", "boys", "girls", "adults", "children", "speech", "song",
}  # fmt: skip
"""Words by which a folder above the emotions' is not taken for a speaker."""


def read(root: Path) -> list[Clip]:
    """Return clips of the sound files below each sub-folder of ``root``; the sub-folder's name is the emotion.

    Where the sub-folders are named as sides of a split or hold folders named as emotions, they give a clip's split or
    speaker, and a warning says so. Speakers are not known otherwise, so ``split=speaker`` needs a manifest then.

    A file that libsndfile does not read is also a clip, and an emotion's folder without any sound is one clip:
    decoding them says why they can't be used, so that no emotion is missing unnoticed. Other warnings say what is
    left out and which names were taken for one.

    Raises:
        CorpusError: There are fewer than two emotions with sound, or sound lies in no emotion's folder.
    """
    found = list_files(root)
    files = sorted(found.sounds + found.unconverted())
    levels = {path: path.relative_to(root).parts[:-1] for path in files}
    loose = [path for path, own in levels.items() if not own]
    if loose:
        raise CorpusError(f"{loose[0]} lies in no sub-folder, so its emotion is not known: move it into one")
    side, speaker, emotion = _roles(root, list(levels.values()))
    for path, own in levels.items():
        if len(own) <= emotion:
            example = next("/".join(other[: emotion + 1]) for other in levels.values() if len(other) > emotion)
            raise CorpusError(
                f"{path} lies in no emotion's folder, as others lie in {example}: move it into one, or list all clips "
                "in a CSV (dataset=manifest)"
            )
    clips = [
        Clip(
            name=path.relative_to(root).as_posix(),
            path=path,
            emotion=own[emotion],
            speaker=None if speaker is None or is_unknown(own[speaker]) else own[speaker],
            split=None if side is None else SIDE_NAMES[spelling_key(own[side])],
        )
        for path, own in levels.items()
    ]
    readable = set(found.sounds)
    shown = {spelling_key(clip.emotion) for clip in clips if clip.path in readable}
    if len(shown) < 2:
        raise CorpusError(
            f"{root} needs at least two sub-folders with sound files, one an emotion; found {sorted(shown) or 'none'}"
        )
    _tell(root, found, clips)
    return merge_spellings([*clips, *_without_sound(root, found, emotion, clips)], ("emotion", "speaker"))


def _roles(root: Path, levels: Sequence[tuple[str, ...]]) -> tuple[int | None, int | None, int]:
    """Return which level of the folders names the side, the speaker and the emotion.

    Raises:
        CorpusError: There are sides of a split, and emotions not below each of them.
    """
    names = [{own[i] for own in levels if len(own) > i} for i in range(max(map(len, levels), default=0))]
    common = range(min(map(len, levels), default=0))
    side = next((i for i in common if all(spelling_key(name) in SIDE_NAMES for name in names[i])), None)
    left = [i for i in range(len(names)) if i != side]
    uppermost = names[left[0]] if left else set().union(*names)
    sides = sorted(name for name in uppermost if spelling_key(name) in SIDE_NAMES)
    if sides:
        raise CorpusError(
            f"{root} holds sides of a split ({listing(sides)}), and not all sound lies in emotions' folders below them:"
            " have train/happy/1.wav or happy/1.wav, or list the clips in a CSV with the columns path,emotion,split "
            "(dataset=manifest)"
        )
    if side is not None:
        warn(f"{root}: {listing(sorted(names[side]))} are taken for sides of a split, which split=official follows")
    if len(left) < 2:
        if left and all(map(PERSON.fullmatch, map(tidy, uppermost))):
            raise CorpusError(
                f"{root}: {listing(sorted(uppermost))} are named as speakers and hold no folders of emotions, so "
                "emotions are not known: take the corpus's own dataset= where it has one, or list the clips in a CSV "
                "(dataset=manifest)"
            )
        return side, None, left[0] if left else 0
    top, below = left[:2]
    pairs = {(own[top], own[below]) for own in levels if len(own) > max(top, below)}
    if not _are_emotions(names[below], names[top], pairs):
        warn(
            f"{root}: folders inside those of {listing(sorted(names[top]))}, such as {min(names[below])}, are not used"
        )
        return side, None, top
    people = len(names[top]) > 1 and not any(_words(name) & NOT_PEOPLE for name in names[top])
    warn(
        f"{root}: {listing(sorted(names[below]))} are taken for emotions, and the folders that they lie in, "
        f"{listing(sorted(names[top]))}, "
        + (f"for {len(names[top]):,} speakers" if people else "are not used: who speaks is not known")
    )
    return side, top if people else None, below


def _are_emotions(below: set[str], above: set[str], pairs: set[tuple[str, str]]) -> bool:
    """Return whether the lower of two levels of folders has the emotions; ``pairs`` are the names on both."""
    feelings = [sum(bool(_words(name) & FEELINGS) for name in level) / len(level) for level in (below, above)]
    if max(feelings) > 0:
        return feelings[0] >= 0.5 and feelings[0] > feelings[1]
    numbered = all(re.search(r"\d", name) for name in above) and not any(re.search(r"\d", name) for name in below)
    return numbered and 1 < len(below) < len(pairs)


def _words(name: str) -> set[str]:
    return set(re.split(r"[\W_\d]+", spelling_key(name)))


def _tell(root: Path, found: Listing, clips: Sequence[Clip]) -> None:
    """Warn of files that are not used."""
    used = {clip.path for clip in clips}
    converted = [path for path in found.foreign if path not in used]
    warn_left_out(root, converted, "libsndfile does not read, each beside its copy that it does")
    others = [path for path in found.others if len(path.relative_to(root).parts) > 1]
    warn_left_out(root, others, "are no sound files by their endings")


def _without_sound(root: Path, found: Listing, emotion: int, clips: Sequence[Clip]) -> list[Clip]:
    """Make a clip of each emotion's folder without sound, so that the emotion is not lost unnoticed."""
    shown = {spelling_key(clip.emotion) for clip in clips}
    bare: dict[str, Clip] = {}
    for path in found.folders:
        own = path.relative_to(root).parts
        if len(own) == emotion + 1 and spelling_key(own[emotion]) not in shown:
            bare.setdefault(spelling_key(own[emotion]), Clip("/".join(own), path, own[emotion]))
    return list(bare.values())
