"""Your own recordings, listed in a table: ``path,emotion`` and whatever else is known of a clip."""

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
from ser.data.corpora.codes import Codes, Meanings, checked_codes, keyed, meaning, pairs, tell_read_as
from ser.data.corpora.facts import OWN, Facts
from ser.data.corpora.reading import is_unknown, merge_spellings, whole_years
from ser.data.corpora.tables import read_rows

FACTS = Facts(title="Your own recordings", licence=OWN, what="listed in a CSV", label="what the CSV says")

KNOWN = ("speaker", "session", "sentence", "intensity", "sex", "race", "ethnicity", "original", "split")
"""Columns that may be there and hold text; so may ``age``, which holds whole years."""

COLUMNS = ("path", "emotion", *KNOWN, "age")

HEADINGS = {
    "path": "file filename filepath audio audiofile audiopath audiofilepath wav wavfile wavpath clip clippath "
    "recording soundfile",
    "emotion": "label emotionlabel emotionname emo emoclass class target category",
    "speaker": "speakerid speakername spk spkid spkrid actor actorid subject subjectid participant participantid "
    "person personid talker talkerid",
    "session": "sessionid",
    "sentence": "sentenceid",
    "sex": "gender speakergender speakersex",
    "age": "speakerage",
    "split": "splitset",
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


def read(
    root: Path, columns: Mapping[str, str] | None = None, folder: str | None = None, codes: Codes | None = None
) -> list[Clip]:
    """Read clips in the order of the rows of the table at ``root``.

    The first row names the columns, in any order: ``path`` (relative to the table's own folder, or absolute),
    ``emotion``, and optionally those of ``KNOWN`` and ``age``, each an attribute of ``Clip``: ``split`` is train, val
    or test or one of their common names, and ``original`` names, as in ``path``, the recording that a clip was made
    from, such as an augmented copy of it. A value may be empty or say in a word that it isn't known.
    ``ser.data.corpora.tables`` says which files are read. Warnings name columns that are taken under another heading or
    not used, values that say that they aren't known, and names in several spellings, which are taken for one.

    Args:
        root: The table.
        columns: Column → its heading in the table, where that is none of ``HEADINGS``.
        folder: Folder of the paths, in the table's own folder or absolute.
        codes: Column → what stands there → what it means. Rows with another emotion are left out with a warning.

    Raises:
        CorpusError: A column or a value is missing, a row has more cells than there are columns, a file stands twice,
            a split has another name, an age is not a number, a path can't be one or labels belong to parts of files;
            with the line. Or an option names what isn't there.
    """
    tables = keyed(checked_codes(codes or {}, ("emotion", *KNOWN)))
    place = root if folder is None else root.parent / Path(folder).expanduser() / root.name
    clips: dict[str, Clip] = {}
    folders: dict[str, str] = {}
    unknown: Counter[tuple[str, str]] = Counter()
    meant: Meanings = {}
    rows = read_rows(root)
    _, headings = next(rows, (1, []))
    places = _columns(root, headings, columns or {})
    for line, cells in rows:
        if not cells:
            continue
        row = _row(root, line, cells, len(headings), places, tables, unknown, meant)
        if row["emotion"] is None:
            continue
        clip = _clip(root, place, line, row)
        file_itself = _real(clip.path, folders)
        if file_itself in clips:
            raise CorpusError(f"{root}, line {line}: {clip.name} stands in the manifest twice")
        clips[file_itself] = clip
    if not clips:
        lost = sorted(value for column, value in unknown if column == "emotion")
        why = f": dataset.codes lists none of its emotions ({listing(lost)})" if lost else ""
        raise CorpusError(f"{root} lists no clips{why}")
    _tell(root, unknown)
    tell_read_as(root, meant)
    for file, original in _originals(place, clips).items():
        clips[file] = replace(clips[file], original=original)
    return merge_spellings(list(clips.values()), ("emotion", "speaker", "session"))


def _tell(root: Path, unknown: Counter[tuple[str, str]]) -> None:
    """Warn of values that aren't known, and of rows that are left out for their emotion."""
    others = [
        f"{count:,} {column} {value!r}" for (column, value), count in sorted(unknown.items()) if column != "emotion"
    ]
    if others:
        warn(f"{root}: taken for not known: {listing(others)}")
    left_out = Counter({value: count for (column, value), count in unknown.items() if column == "emotion"})
    if left_out:
        shown = listing([f"{count:,} {value!r}" for value, count in left_out.most_common()])
        warn(f"{root}: left out {left_out.total():,} rows whose emotion dataset.codes does not list: {shown}")


def _columns(manifest: Path, headings: Sequence[str], given: Mapping[str, str]) -> dict[str, int]:
    """Return the cell of each column; a warning names headings that are read as another, and columns not used.

    ``given`` says of some which heading they have.

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
    places = _given(manifest, written, given)
    taken = set(places.values())
    for column in COLUMNS:
        if column in given:
            continue
        found = [i for i, heading in enumerate(written) if heading == column and i not in taken]
        found = found or [i for i, name in enumerate(plain) if means.get(name) == column and i not in taken]
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
            "a manifest is a table whose first row names the columns path,emotion[,speaker][,split][,…]; for other "
            "names see dataset.columns='{emotion: HEADING}'"
        )
    renamed = [f"{written[i]!r} as {column}" for column, i in places.items() if written[i] != column]
    unused = [repr(heading) for i, heading in enumerate(written) if heading and i not in places.values()]
    if renamed:
        warn(f"{manifest}: columns are read under other headings: {listing(renamed)}")
    if unused:
        warn(f"{manifest}: columns that are not used: {listing(unused)}")
    return places


def _given(manifest: Path, written: Sequence[str], given: Mapping[str, str]) -> dict[str, int]:
    """Return the cells of ``dataset.columns``.

    Raises:
        CorpusError: It has another column, or a heading that isn't there or stands there twice.
    """
    for column, heading in pairs("columns", given, "{emotion: EmoClass}"):
        if column not in COLUMNS:
            raise CorpusError(f"dataset.columns has {column}; columns are {', '.join(COLUMNS)}")
        if written.count(str(heading)) != 1:
            raise CorpusError(
                f"dataset.columns says that {column} is {heading}, which stands {written.count(str(heading))} times in "
                f"the first row of {manifest}: {', '.join(written)}"
            )
    return {column: written.index(str(heading)) for column, heading in given.items()}


def _row(
    manifest: Path,
    line: int,
    cells: Sequence[str],
    columns: int,
    places: Mapping[str, int],
    codes: Codes,
    unknown: Counter[tuple[str, str]],
    meant: Meanings,
) -> dict[str, Any]:
    """Return a row's values by column, empty or None where one is not known; those that say so in a word are counted.

    Its emotion is None where ``codes`` don't list it. What ``TABLES`` mean by words is added to ``meant``.

    Raises:
        CorpusError: There are more cells than columns, or the split is none.
    """
    if "".join(cells[columns:]).strip():
        raise CorpusError(
            f"{manifest}, line {line} has {len(cells)} cells, and the first row names {columns} columns: put what has "
            'a comma in it into quotes ("a, b.wav",sad), or remove the cells too many'
        )
    values: dict[str, Any] = {column: cells[i].strip() if i < len(cells) else "" for column, i in places.items()}
    for column, value in values.items():
        if column not in ("path", "emotion") and value and is_unknown(value) and column not in codes:
            unknown[column, value] += 1
            values[column] = ""
        elif value and (column in codes or column in ("sex", "split")):
            values[column], listed = meaning(column, value, codes)
            if column == "split" and not listed:
                raise CorpusError(f"{manifest}, line {line}: split is {value!r}; it can be {', '.join(SIDES)} or empty")
            if column not in codes:
                meant[column, value] = values[column]
            elif not listed:
                unknown[column, value] += 1
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
        place = manifest.parent / (Path(name).expanduser() if name.startswith("~") else name)
        if "\\" in name and not place.exists():
            slashed = manifest.parent / name.replace("\\", "/")
            place = slashed if slashed.exists() else place
        with suppress(FileNotFoundError, NotADirectoryError):
            if stat.S_ISLNK(os.lstat(place).st_mode):
                place.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # too long, ~nobody, a zero byte
        raise CorpusError(f"{manifest}, line {line}: {name[:80]!r} can't be a path: {error}") from error
    return place


def _clip(manifest: Path, place: Path, line: int, row: dict[str, Any]) -> Clip:
    """Make a clip of a row, with paths as seen from ``place``."""
    for column in ("path", "emotion"):
        if not row[column]:
            raise CorpusError(f"{manifest}, line {line}: {column} is empty")
    known: dict[str, Any] = {column: row.get(column) or None for column in KNOWN}
    for column in LOWER:
        known[column] = known[column] and known[column].lower()
    age = row.get("age") or None
    if age is not None and whole_years(age) is None:
        raise CorpusError(f"{manifest}, line {line}: age is {age!r}; it can be whole years or empty")
    path = _place(place, line, row["path"])
    if known["original"] is not None:
        _place(place, line, known["original"])
    return Clip(
        name=row["path"],
        path=path,
        emotion=row["emotion"],
        age=None if age is None else whole_years(age),
        **known,
    )
