"""Your own recordings, listed in a CSV: ``path,emotion`` and whatever else is known of a clip."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

from ser.corpora.clip import SIDES, Clip, CorpusError
from ser.corpora.facts import OWN, Facts

FACTS = Facts(title="Your own recordings", licence=OWN, what="listed in a CSV", label="what the CSV says")

KNOWN = ("speaker", "session", "sentence", "intensity", "sex", "race", "ethnicity", "original", "split")
"""Columns that may be there and hold text; ``age`` may, too, and holds whole years."""

LOWER = ("sex", "race", "ethnicity")
"""Those that are read in lower case."""


def read(root: Path) -> list[Clip]:
    """Clips in the order of the rows of the CSV at ``root``.

    The first row names the columns, in any order: ``path`` (relative to the CSV's own folder, or absolute),
    ``emotion``, and optionally those of ``KNOWN`` and ``age``, each an attribute of ``Clip``: ``split`` is train, val
    or test, and ``original`` names, as in ``path``, the recording that a clip was made from, such as an augmented copy
    of it. Other columns are ignored, and a value may be empty. The file is UTF-8, with or without a byte order mark.

    Raises:
        CorpusError: A column or a value is missing, a file stands twice, a split has another name, an age is not a
            number or a path can't be one; with the line.
    """
    clips: dict[Path, Clip] = {}
    try:
        with root.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            missing = {"path", "emotion"} - set(rows.fieldnames or ())
            if missing:
                raise CorpusError(
                    f"{root}: no column {' and '.join(sorted(missing))} in its first row ({rows.fieldnames}); "
                    "a manifest is a CSV whose first row names the columns path,emotion[,speaker][,split][,…]"
                )
            for row in rows:
                clip = _clip(root, rows.line_num, {key: (row[key] or "").strip() for key in row if key is not None})
                file_itself = clip.path.resolve()
                if file_itself in clips:
                    raise CorpusError(f"{root}, line {rows.line_num}: {clip.name} stands in the manifest twice")
                clips[file_itself] = clip
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{root} can't be read as a UTF-8 CSV: {error}") from error
    if not clips:
        raise CorpusError(f"{root} lists no clips")
    return [replace(clip, original=_first(clip, clips, root)) for clip in clips.values()]


def _first(clip: Clip, clips: dict[Path, Clip], manifest: Path) -> str | None:
    """The recording that a clip goes back to, over any number of copies of copies; by its name where it is listed."""
    seen = set()
    name = clip.original
    while name is not None and name not in seen:
        seen.add(name)
        listed = clips.get((manifest.parent / Path(name).expanduser()).resolve())
        if listed is None:
            return name
        if listed.original is None:
            return listed.name
        name = listed.original
    return None if name is None else min(seen)  # copies that go round in a circle belong together all the same


def _place(manifest: Path, line: int, name: str) -> Path:
    """Where ``name`` lies, after checking that the system takes it for a path."""
    try:
        place = manifest.parent / Path(name).expanduser()
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
    if age is not None and not (age.isdecimal() and len(age) < 4):
        raise CorpusError(f"{manifest}, line {line}: age is {age!r}; it can be whole years or empty")
    path = _place(manifest, line, row["path"])
    if known["original"] is not None:
        _place(manifest, line, known["original"])
    return Clip(
        name=row["path"],
        path=path,
        emotion=row["emotion"].lower(),
        age=None if age is None else int(age),
        **known,
    )
