"""Your own recordings, listed in a CSV: ``path,emotion`` and whatever else is known of a clip."""

import csv
import os
import re
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ser.data.corpora.clip import SIDES, Clip, CorpusError, listing, tidy, warn
from ser.data.corpora.facts import OWN, Facts
from ser.data.corpora.reading import is_unknown, merge_spellings, whole_years

FACTS = Facts(title="Your own recordings", licence=OWN, what="listed in a CSV", label="what the CSV says")

KNOWN = ("speaker", "session", "sentence", "intensity", "sex", "race", "ethnicity", "original", "split")
"""Columns that may be there and hold text; so may ``age``, which holds whole years."""

COLUMNS = ("path", "emotion", *KNOWN, "age")

HEADINGS = {
    "path": "file filename filepath audio audiofile audiopath wav wavfile wavpath clip clippath recording soundfile",
    "emotion": "label emotionlabel emotionname emo class target category",
    "speaker": "speakerid speakername spk spkid actor actorid subject subjectid participant participantid person "
    "personid talker talkerid",
    "session": "sessionid",
    "sentence": "sentenceid",
    "sex": "gender speakergender speakersex",
    "age": "speakerage",
}
"""Other names of the columns, in lower case without spaces, dashes and underscores."""

MUST_BE_CLEAR = ("path", "emotion", "speaker", "original", "split")
"""Columns that no two headings may stand for; any other one is not used then."""

PARTS = frozenset(
    f"{word}{unit}"
    for word in ("start", "end", "begin", "onset", "offset", "starttime", "endtime", "begintime")
    for unit in ("", "s", "sec", "secs", "second", "seconds", "ms")
)
"""Columns, written like those of others, that say which part of a file has the label."""

LOWER = ("sex", "race", "ethnicity")
"""Columns that are read in lower case."""


def read(root: Path) -> list[Clip]:
    """Read clips in the order of the rows of the CSV at ``root``.

    The first row names the columns, in any order: ``path`` (relative to the CSV's own folder, or absolute),
    ``emotion``, and optionally those of ``KNOWN`` and ``age``, each an attribute of ``Clip``: ``split`` is train, val
    or test, and ``original`` names, as in ``path``, the recording that a clip was made from, such as an augmented copy
    of it. A value may be empty or say in a word that it isn't known. The file is UTF-8, with or without a byte order
    mark. Warnings name columns that are taken under another heading or not used, values that say that they
    aren't known, and names in several spellings, which are taken for one.

    Raises:
        CorpusError: A column or a value is missing, a row has more cells than there are columns, a file stands twice,
            a split has another name, an age is not a number, a path can't be one or labels belong to parts of files;
            with the line.
    """
    clips: dict[str, Clip] = {}
    folders: dict[str, str] = {}
    unknown: Counter[tuple[str, str]] = Counter()
    try:
        with root.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, strict=True)  # a quote that is not closed would swallow rows
            headings = next(rows, [])
            places = _columns(root, headings)
            for cells in rows:
                if not cells:
                    continue
                row = _row(root, rows.line_num, cells, len(headings), places, unknown)
                clip = _clip(root, rows.line_num, row)
                place = _real(clip.path, folders)
                if place in clips:
                    raise CorpusError(f"{root}, line {rows.line_num}: {clip.name} stands in the manifest twice")
                clips[place] = clip
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{root} can't be read as a UTF-8 CSV: {error}") from error
    if not clips:
        raise CorpusError(f"{root} lists no clips")
    if unknown:
        shown = listing([f"{count:,} {column} {value!r}" for (column, value), count in sorted(unknown.items())])
        warn(f"{root}: taken for not known: {shown}")
    for place, original in _originals(root, clips).items():
        clips[place] = replace(clips[place], original=original)
    return merge_spellings(list(clips.values()), ("emotion", "speaker", "session"))


def _columns(manifest: Path, headings: Sequence[str]) -> dict[str, int]:
    """Return the cell of each column; a warning names headings that are read as another, and columns not used.

    Raises:
        CorpusError: ``path`` or ``emotion`` is not there, two headings mean the same, or there are parts of files.
    """
    means = {other: column for column, others in HEADINGS.items() for other in others.split()}
    means |= {column: column for column in COLUMNS}
    written = [heading.strip() for heading in headings]
    plain = [re.sub(r"[\W_]+", "", tidy(heading)) for heading in written]
    if parts := [heading for heading, name in zip(written, plain, strict=True) if name in PARTS]:
        raise CorpusError(
            f"{manifest}: its columns {', '.join(parts)} tell which part of a file a label belongs to, and labels are "
            "about whole files so far: cut the parts out into files of their own (ffmpeg -i FILE -ss START -to END "
            "PART.wav), or remove these columns if whole files are meant"
        )
    places: dict[str, int] = {}
    for column in COLUMNS:
        found = [i for i, heading in enumerate(written) if heading == column]
        found = found or [i for i, name in enumerate(plain) if means.get(name) == column]
        if len(found) > 1 and column not in MUST_BE_CLEAR:
            continue
        if len(found) > 1:
            same = " and ".join(repr(written[i]) for i in found)
            raise CorpusError(f"{manifest}: its columns {same} both mean {column}: rename or remove all but one")
        if found:
            places[column] = found[0]
    missing = {"path", "emotion"} - places.keys()
    if missing:
        raise CorpusError(
            f"{manifest}: no column {' and '.join(sorted(missing))} in its first row ({written}); "
            "a manifest is a CSV whose first row names the columns path,emotion[,speaker][,split][,…], with commas "
            "between them"
        )
    renamed = [f"{written[i]!r} as {column}" for column, i in places.items() if written[i] != column]
    unused = [repr(heading) for i, heading in enumerate(written) if heading and i not in places.values()]
    if renamed:
        warn(f"{manifest}: columns are read under other headings: {listing(renamed)}")
    if unused:
        warn(f"{manifest}: columns that are not used: {listing(unused)}")
    return places


def _row(
    manifest: Path,
    line: int,
    cells: Sequence[str],
    columns: int,
    places: Mapping[str, int],
    unknown: Counter[tuple[str, str]],
) -> dict[str, str]:
    """Return a row's values by column, empty where one is not known; those that say so in a word are counted.

    Raises:
        CorpusError: There are more cells than columns.
    """
    if "".join(cells[columns:]).strip():
        raise CorpusError(
            f"{manifest}, line {line} has {len(cells)} cells, and the first row names {columns} columns: put what has "
            'a comma in it into quotes ("a, b.wav",sad), or remove the cells too many'
        )
    values = {column: cells[i].strip() if i < len(cells) else "" for column, i in places.items()}
    for column, value in values.items():
        if column not in ("path", "emotion") and value and is_unknown(value):
            unknown[column, value] += 1
            values[column] = ""
    return values


def _originals(manifest: Path, clips: dict[str, Clip]) -> dict[str, str]:
    """Return by file the recording that a copy goes back to, over copies of copies.

    It has the name of its clip, or of its first mention where it is not listed. Copies that go round in a circle
    belong together all the same.
    """
    before: dict[str, str] = {}
    names: dict[str, str] = {}
    for file, clip in clips.items():
        if clip.original is not None:
            before[file] = source = _real(_place(manifest, 0, clip.original), {})
            names[file] = clip.name
            names[source] = clips[source].name if source in clips else names.get(source, clip.original)
    first: dict[str, str] = {}
    for copy in before:
        chain: dict[str, None] = {}
        place = copy
        while place in before and place not in first and place not in chain:
            chain[place] = None
            place = before[place]
        if place in chain:
            circle = list(chain)
            place = min(circle[circle.index(place) :], key=names.__getitem__)
        first |= dict.fromkeys(chain, first.get(place, place))
    return {file: names[source] for file, source in first.items()}


def _real(path: Path, folders: dict[str, str]) -> str:
    """Return ``path`` without links in it, as ``Path.resolve`` does; ``folders`` keeps those that were resolved."""
    if path.is_symlink() or path.name in ("", ".."):
        return str(path.resolve())
    folder, name = os.path.split(path)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    return f"{folders[folder]}/{name}"


def _place(manifest: Path, line: int, name: str) -> Path:
    """Return the path of ``name``, after checking that the system takes it for one.

    An address such as ``file:///clips/a%20b.wav`` is taken for the path that it stands for, and backslashes for
    slashes where a file lies there.
    """
    if address := re.match(r"file:(//(localhost)?)?(?=/)", name, re.IGNORECASE):
        name = unquote(name[address.end() :])
    try:
        place = manifest.parent / Path(name).expanduser()
        if "\\" in name and not place.exists():
            slashed = manifest.parent / name.replace("\\", "/")
            place = slashed if slashed.exists() else place
        with suppress(FileNotFoundError, NotADirectoryError):
            if stat.S_ISLNK(os.lstat(place).st_mode):
                place.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # too long, ~nobody, a zero byte
        raise CorpusError(f"{manifest}, line {line}: {name[:80]!r} can't be a path: {error}") from error
    return place


def _clip(manifest: Path, line: int, row: dict[str, str]) -> Clip:
    for column in ("path", "emotion"):
        if not row[column]:
            raise CorpusError(f"{manifest}, line {line}: {column} is empty")
    split = row.get("split") or None
    if split is not None and split not in SIDES:
        raise CorpusError(f"{manifest}, line {line}: split is {split!r}; it can be {', '.join(SIDES)} or empty")
    known: dict[str, Any] = {column: row.get(column) or None for column in KNOWN}
    for column in LOWER:
        known[column] = known[column] and known[column].lower()
    age = row.get("age") or None
    if age is not None and whole_years(age) is None:
        raise CorpusError(f"{manifest}, line {line}: age is {age!r}; it can be whole years or empty")
    path = _place(manifest, line, row["path"])
    if known["original"] is not None:
        _place(manifest, line, known["original"])
    return Clip(
        name=row["path"],
        path=path,
        emotion=row["emotion"],
        age=None if age is None else whole_years(age),
        **known,
    )
