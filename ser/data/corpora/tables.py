"""Tables that list clips: CSV with any common separator, TSV and JSON lines, in UTF-8 or UTF-16."""

import codecs
import csv
import json
from collections.abc import Iterator
from pathlib import Path

from ser.data.corpora.clip import CorpusError, warn

SEPARATORS = (",", ";", "\t", "|")
"""What may stand between two cells; the one that cuts the first row into most of them does."""

JSON_LINES = (".jsonl", ".ndjson")
"""Endings of files with one JSON object per line."""


def read_rows(table: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield rows with the numbers of their lines; the first has the headings.

    A warning names a separator that is no comma, and no tab in a ``.tsv``.

    Raises:
        CorpusError: The file can't be read, is no text, or is no table.
    """
    kind = "JSON lines" if table.suffix.lower() in JSON_LINES else "CSV"
    wide = False
    try:
        with table.open("rb") as file:
            wide = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        with table.open(newline="", encoding="utf-16" if wide else "utf-8-sig") as text:
            if kind == "CSV":
                separator = _separator(table, text.readline())
                text.seek(0)
                rows = csv.reader(text, delimiter=separator, strict=True)  # an open quote would swallow rows
                yield from ((rows.line_num, cells) for cells in rows)
            else:
                yield from _objects(table, text.read().split("\n"))
    except (OSError, UnicodeError, csv.Error) as error:
        raise CorpusError(f"{table} can't be read as a {'UTF-16' if wide else 'UTF-8'} {kind}: {error}") from error


def _separator(table: Path, line: str) -> str:
    separator = max(SEPARATORS, key=lambda sign: len(next(csv.reader([line], delimiter=sign), [])))
    if separator != ("\t" if table.suffix.lower() == ".tsv" else ",") and line.count(separator):
        warn(f"{table}: its columns are separated by {separator!r}")
    return separator


def _objects(table: Path, lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    rows: list[tuple[int, dict[str, object]]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{table}, line {number} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise CorpusError(f'{table}, line {number} is no JSON object, such as {{"path": "a.wav"}}: {line[:80]}')
        rows.append((number, row))
    headings = list(dict.fromkeys(name for _, row in rows for name in row))
    yield 1, headings
    for number, row in rows:
        yield number, [_cell(row.get(name)) for name in headings]


def _cell(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
