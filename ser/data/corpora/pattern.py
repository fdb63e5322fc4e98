"""Recordings whose paths say what they are: a regular expression with named groups, and tables of codes."""

import re
import signal
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ser.data.corpora.clip import SIDES, Clip, CorpusError, list_files, listing, warn
from ser.data.corpora.codes import TABLES, Codes, Meanings, checked_codes, keyed, meaning, pairs, tell_read_as
from ser.data.corpora.facts import OWN, Facts
from ser.data.corpora.reading import merge_spellings, read_by_name

FACTS = Facts(title="Your own recordings", licence=OWN, what="paths of one pattern", label="what the path says")

GROUPS = (
    "emotion", "speaker", "session", "sentence", "intensity", "sex", "age", "race", "ethnicity", "split",
)  # fmt: skip
"""Names of groups in ``dataset.pattern``, each an attribute of ``Clip``."""

ABOVE = 2
"""Folders above ``dataset.root`` that a shipped corpus may need, where that points at a part of it."""

SECONDS = 5.0
"""Most time that a pattern may take over one path."""


@dataclass(frozen=True)
class Pattern:
    """Describes how a corpus names its files.

    Attributes:
        facts: What is known of the corpus.
        expression: A regular expression, whose groups are attributes of ``Clip`` or are used in ``name``. It matches
            the end of a path without its ending, from the beginning of a folder's or file's name.
        example: A path that it matches.
        codes: Group → what may stand there → its meaning; None means that it isn't known. others go by
            ``TABLES``.
        people: Speaker → other attributes, such as sex and age.
        name: Format of a clip's name, out of the groups' meanings; by default the name is what matched.
    """

    facts: Facts
    expression: str
    example: str
    codes: Codes = field(default_factory=dict)
    people: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    name: str | None = None

    def read(self, root: Path) -> list[Clip]:
        """Return clips of every file below ``root`` that has a name of this corpus, sorted by name.

        Other sound files are left out with a warning. ``root`` may also be a folder inside the corpus.

        Raises:
            CorpusError: No file has a name of this corpus, or two files are one clip.
        """
        parse = partial(self._parse, re.compile(self.expression), keyed(self.codes), root.absolute())
        return read_by_name(
            root, parse, corpus=self.facts.title, example=self.example, home=self.facts.home or "its authors"
        )

    def _parse(self, expression: re.Pattern[str], codes: Codes, root: Path, path: Path) -> Clip | None:
        text = _without_ending(path.absolute())
        match = _find(expression, text, len(root.as_posix().rstrip("/")) + 1, ABOVE)
        if match is None:
            return None
        values, unlisted = _values(match, codes)
        if unlisted:
            return None
        known = {**values, **self.people.get(values.get("speaker", ""), {})}
        name = match[0] if self.name is None else self.name.format_map(values)
        return Clip(name, path, **{key: value for key, value in known.items() if key in Clip.__dataclass_fields__})


def read(
    root: Path, pattern: str | None = None, codes: Codes | None = None, constants: Mapping[str, Any] | None = None
) -> list[Clip]:
    """Return clips of the sound files below ``root`` whose paths match a pattern, sorted by path.

    Args:
        root: A folder.
        pattern: A regular expression with groups of ``GROUPS``, ``emotion`` among them. It has to match a path below
            ``root`` without its ending, or the end of that path from the beginning of a folder's or file's name.
        codes: Group → what stands in the path → what it means. Files with another emotion are left out; another value
            is taken for not known. Groups without a table go by ``TABLES`` of ``codes.py``.
        constants: Attributes that all clips share, such as ``{sex: female}``.

    Warnings count what is left out, and show words that are read as others.

    Raises:
        CorpusError: The pattern is no regular expression, has other groups, matches nothing or takes more than
            ``SECONDS`` over a path, an option names a group that isn't there, or a value can't be one.
    """
    expression = _compiled(pattern)
    given, shared = (
        checked_codes(codes or {}, tuple(expression.groupindex)),
        _checked_constants(constants or {}, expression),
    )
    found, tables = list_files(root), keyed(given)
    files = sorted(found.sounds + found.unconverted())
    names = [path.relative_to(root).as_posix() for path in files]
    clips: list[Clip] = []
    unmatched: list[str] = []
    unlisted: dict[str, Counter[str]] = defaultdict(Counter)
    meant: Meanings = {}
    guessed = TABLES.keys() - given.keys()
    for path, name, match in zip(files, names, _matches(expression, names), strict=True):
        if match is None:
            unmatched.append(name)
            continue
        values, others = _values(match, tables)
        for group, text in others.items():
            unlisted[group][text] += 1
        if "emotion" in values:
            meant |= {(group, match[group]): values[group] for group in guessed & values.keys()}
            clips.append(Clip(name, path, **{**shared, **values}))
    if not clips:
        raise CorpusError(_nothing(root, expression, unmatched, unlisted["emotion"]))
    _tell(root, unmatched, unlisted)
    tell_read_as(root, meant)
    return merge_spellings(clips, ("emotion", "speaker", "session"))


def _without_ending(path: Path) -> str:
    return path.as_posix().removesuffix(path.suffix)


def _find(expression: re.Pattern[str], text: str, start: int, above: int = 0) -> re.Match[str] | None:
    """Match the end of ``text`` from ``start``, or from the beginning of a name after it, or before it at last."""
    for place in _places(text, start, above):
        if (match := expression.fullmatch(text, place)) is not None:
            return match
    return None


def _places(text: str, start: int, above: int) -> Iterator[int]:
    place = start
    while True:
        yield place
        place = text.find("/", place) + 1
        if not place:
            break
    for _ in range(above):
        start = text.rfind("/", 0, max(start - 1, 0)) + 1
        if not start:
            break
        yield start


def _values(match: re.Match[str], codes: Codes) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what the groups mean, and the texts of those that mean nothing."""
    values: dict[str, Any] = {}
    unlisted: dict[str, str] = {}
    for group, text in match.groupdict().items():
        if text is None:
            continue
        value, listed = meaning(group, text, codes)
        if value is not None:
            values[group] = value
        elif not listed:
            unlisted[group] = text
    return values, unlisted


def _compiled(pattern: str | None) -> re.Pattern[str]:
    if not pattern:
        raise CorpusError(
            "dataset=pattern needs dataset.pattern=, a regular expression for paths below dataset.root= with a group "
            "named emotion, such as (?P<speaker>[^/]+)/(?P<emotion>[^/]+)/[^/]+"
        )
    try:
        expression = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise CorpusError(f"dataset.pattern={pattern} is no regular expression: {error}") from error
    if "emotion" not in expression.groupindex:
        raise CorpusError(f"dataset.pattern={pattern} has no group (?P<emotion>…), which says a clip's emotion")
    if others := sorted(set(expression.groupindex) - set(GROUPS)):
        raise CorpusError(
            f"dataset.pattern={pattern} has a group {', '.join(others)}; groups can be {', '.join(GROUPS)}, "
            "and (?:…) is one without a name"
        )
    return expression


def _checked_constants(constants: Mapping[str, Any], expression: re.Pattern[str]) -> dict[str, Any]:
    for name, value in pairs("constants", constants, "{sex: female}"):
        allowed = [group for group in GROUPS if group not in expression.groupindex]
        if name not in allowed:
            raise CorpusError(f"dataset.constants has {name}; it can have what the pattern lacks: {', '.join(allowed)}")
        if (name == "age") != (isinstance(value, int) and not isinstance(value, bool)) or isinstance(
            value, list | dict
        ):
            raise CorpusError(f"dataset.constants has {name}: {value!r}; an age is whole years, all others are text")
        if name == "split" and value not in SIDES:
            raise CorpusError(f"dataset.constants has split: {value!r}; it can be {', '.join(SIDES)}")
    return dict(constants)


def _matches(expression: re.Pattern[str], names: Sequence[str]) -> list[re.Match[str] | None]:
    """Match all paths, each within ``SECONDS``; a signal ends a match that takes longer, in the main thread only."""
    texts = [_without_ending(Path(name)) for name in names]
    if threading.current_thread() is not threading.main_thread():
        return [_find(expression, text, 0) for text in texts]
    now = ""

    def stop(*_: object) -> None:
        raise CorpusError(
            f"dataset.pattern={expression.pattern} takes more than {SECONDS:g} s over {now!r}: it repeats what "
            "repeats, as (a+)+ does; write [^/]+ for a name and end each part with what follows it"
        )

    before = signal.signal(signal.SIGALRM, stop)
    matches = []
    try:
        for now in texts:
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            matches.append(_find(expression, now, 0))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return matches


def _tell(root: Path, unmatched: Sequence[str], unlisted: Mapping[str, Counter[str]]) -> None:
    """Warn of files that are left out, and of values that aren't known."""
    if unmatched:
        warn(f"left out {len(unmatched):,} sound files that dataset.pattern does not match, such as {unmatched[0]!r}")
    for group, texts in sorted(unlisted.items()):
        lost = f"left out {texts.total():,} sound files whose emotion dataset.codes does not list"
        warn(f"{root}: {lost if group == 'emotion' else f'{group} taken for not known'}: {_counted(texts)}")


def _counted(texts: Counter[str]) -> str:
    return listing([f"{number:,} {text!r}" for text, number in texts.most_common()])


def _nothing(root: Path, expression: re.Pattern[str], unmatched: Sequence[str], emotions: Counter[str]) -> str:
    """Say why there is no clip."""
    if emotions:
        return f"{root}: dataset.codes lists none of its emotions ({_counted(emotions)}): add them to the table"
    if not unmatched:
        return f"{root} holds no sound: point dataset.root= at the folder that the recordings lie in"
    text = _without_ending(Path(unmatched[0]))
    levels, wanted = text.count("/"), expression.pattern.count("/")
    deeper = f"; it lies {levels} folders deep, and the pattern has {wanted}: point dataset.root= further up"
    return (
        f"{root}: dataset.pattern={expression.pattern} matches none of {len(unmatched):,} sound files, such as "
        f"{text!r} (without its ending){deeper if levels < wanted else ''}"
    )
