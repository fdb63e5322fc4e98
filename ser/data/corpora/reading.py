"""What readers of corpora have in common: clips by their files' names, no clip twice, and one spelling per name."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ser.data.corpora.clip import (
    CONVERT,
    FILMS,
    Clip,
    CorpusError,
    list_files,
    listing,
    spelling_key,
    tidy,
    warn,
    warn_left_out,
)

UNKNOWN = {
    "", "nan", "nat", "none", "null", "nil", "unknown", "unk", "unidentified", "na", "n/a", "n.a", "nd", "n/d",
    "undefined", "missing", "unspecified", "anonymous", "anon", "not available", "not known", "not specified",
    "not applicable", "no data", "unknown speaker", "speaker unknown", "unknown person", "unknown actor", "value!",
    "ref!", "tbd", "tba", "todo", "empty", "blank", "unbekannt", "inconnu", "desconocido", "sconosciuto",
}  # fmt: skip
"""What people and programs write where they don't know a value, as ``spelling_key`` has it, without ``SIGNS``."""

SIGNS = "?-–—‐‑−_.*#<>()[]{}'\"\\| "
"""Characters that may stand around a word of ``UNKNOWN``, or in its place."""


def read_by_name(
    root: Path, parse: Callable[[Path], Clip | None], *, corpus: str, example: str, home: str
) -> list[Clip]:
    """Return clips of every sound file below ``root`` that ``parse`` knows, sorted by name; a warning counts others.

    A clip only in a format that libsndfile does not read is also returned; decoding it says so.

    Args:
        root: The corpus's folder.
        parse: From a sound file to its clip, or to None where it is not named as the corpus names its clips.
        corpus: What messages call the corpus.
        example: A name that the corpus gives a clip.
        home: Where the corpus is available.

    Raises:
        CorpusError: ``parse`` knows no file, or makes one clip of two.
    """
    clips: list[Clip] = []
    strays: list[str] = []
    found = list_files(root)
    for path in found.sounds:
        clip = parse(path)
        if clip is None:
            strays.append(path.name)
        else:
            clips.append(clip)
    clips += _unreadable(root, found.foreign, parse, {clip.name for clip in clips}, strays)
    if not clips:
        several = [path.relative_to(root) for path in found.sounds]
        there = f"; it holds {len(several):,} other sound files, such as {several[0]}" if several else ""
        raise CorpusError(f"{root} holds no clip named as {corpus} names them ({example}){there}; see {home}")
    forbid_copies(root, {clip.path: clip.name for clip in clips}, corpus)
    if strays:
        warn(
            f"left out {len(strays)} sound files that are not named as {corpus} names them, "
            f"such as {strays[0]!r} in {root}",
            stacklevel=4,
        )
    return sorted(clips, key=lambda clip: clip.name)


def _unreadable(
    root: Path, foreign: Sequence[Path], parse: Callable[[Path], Clip | None], there: set[str], strays: list[str]
) -> list[Clip]:
    """Return clips without a format that can be read; decoding them says so. Others are added to ``strays``.

    Films are no clips: a warning names those that have the name of a clip which is not ``there``.
    """
    clips: list[Clip] = []
    films: list[Clip] = []
    for path in foreign:
        clip, film = parse(path), path.suffix.lower() in FILMS
        if clip is None and not film:
            strays.append(path.name)
        elif clip is not None and clip.name not in there:
            (films if film else clips).append(clip)
    warn_left_out(root, [clip.path for clip in films], "libsndfile does not read", CONVERT)
    return clips


def forbid_copies(root: Path, names: Mapping[Path, str], corpus: str) -> None:
    """Check that no two files are one clip.

    Args:
        root: The corpus's folder, above all the files.
        names: From a file to the name of its clip.
        corpus: What messages call the corpus.

    Raises:
        CorpusError: Two files are one clip. Where a folder below ``root`` holds every clip once, as it does when a
            release was unpacked twice, the message says to point dataset.root= at it.
    """
    files: dict[str, list[Path]] = defaultdict(list)
    held: dict[Path, list[str]] = defaultdict(list)
    for path, name in names.items():
        files[name].append(path)
        for folder in path.relative_to(root).parents:
            held[root / folder].append(name)
    copied = [paths for paths in files.values() if len(paths) > 1]
    if not copied:
        return
    whole = [folder for folder, inside in held.items() if len(inside) == len(set(inside)) == len(files)]
    advice = "remove one of them"
    if whole:
        outermost = min(whole, key=lambda folder: (len(folder.parts), folder))
        advice += f", or point dataset.root= at {outermost}, which holds every clip once"
    more = f" (and so for {len(copied) - 1} more)" if len(copied) > 1 else ""
    raise CorpusError(f"two files for one clip of {corpus}: {copied[0][0]} and {copied[0][1]}{more}; {advice}")


def is_unknown(value: str) -> bool:
    """Return whether a value says that it isn't known: it is empty, a question mark, a dash, or one of ``UNKNOWN``."""
    return spelling_key(value).replace("_", " ").replace("-", " ").strip(SIGNS) in UNKNOWN


def whole_years(text: str) -> int | None:
    """Return an age such as ``51`` or ``51.0``; None where ``text`` is none."""
    match = re.fullmatch(r"([0-9]{1,3})(\.0+)?", text)
    return None if match is None else int(match[1])


def merge_spellings(clips: Sequence[Clip], fields: Sequence[str]) -> list[Clip]:
    """Return the clips with one spelling per name, as ``spelling_key`` compares them; emotions are made tidy.

    The most common spelling stays. A warning per field lists those that were taken for one.

    Args:
        clips: Clips with names as they were written.
        fields: Attributes of a clip that hold names, such as ``speaker``.
    """
    chosen: dict[str, dict[str, str]] = {}
    for name in fields:
        spellings: dict[str, Counter[str]] = defaultdict(Counter)
        for clip in clips:
            if (value := getattr(clip, name)) is not None:
                spellings[spelling_key(value)][value] += 1
        best = {key: min(counts, key=lambda value: (-counts[value], value)) for key, counts in spellings.items()}
        chosen[name] = {
            value: tidy(best[key]) if name == "emotion" else best[key]
            for key, counts in spellings.items()
            for value in counts
        }
        several = [_equal(sorted(counts)) for counts in spellings.values() if len(counts) > 1]
        if several:
            warn(f"{name}: {len(several):,} in several spellings, each taken for one: {listing(several)}")
    merged = []
    for clip in clips:
        names: dict[str, Any] = {
            name: chosen[name][value]
            for name in fields
            if (value := getattr(clip, name)) is not None and chosen[name][value] != value
        }
        merged.append(replace(clip, **names) if names else clip)
    return merged


def _equal(spellings: Sequence[str]) -> str:
    """Return ``'Ann' = 'ann'``; spellings that look the same as their code points."""
    alike = len({unicodedata.normalize("NFKC", one) for one in spellings}) < len(spellings)
    return " = ".join(map(ascii if alike else repr, spellings))
