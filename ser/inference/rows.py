"""Tables of answers as files, written row by row."""

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ser.files import WriteError
from ser.recognizer import Answer

DIGITS = {"start": 3, "end": 3}
"""Decimals of numbers in CSV; others have 6."""


class RowWriter:
    """Writes a CSV or a JSON Lines file: some values, one probability per label, and why there are none.

    Each row is on its way to the disk before the next, and complete: where the disk is full, no part of a row is left.

    Args:
        path: To write to; what is there is lost.
        kind: ``csv`` or ``jsonl``.
        values: Names of the first columns.
        labels: Names of the columns of probabilities, without their ``p_``.

    Raises:
        OSError: It can't be opened.
        WriteError: The disk is full.
    """

    def __init__(self, path: Path, kind: str, values: Sequence[str], labels: Sequence[str]) -> None:
        self.path, self.kind, self.values, self.labels = path, kind, values, labels
        self.rows = 0
        self.file = path.open("wb", buffering=0)
        if kind == "csv":
            try:
                self._write(_csv_line([*values, *(f"p_{label}" for label in labels), "error"]))
            except BaseException:
                self.file.close()
                raise

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def write_row(
        self, values: Mapping[str, str | float | None], probabilities: Mapping[str, float], error: str | None
    ) -> None:
        """Write one row.

        Args:
            values: Values by name; None is an empty cell.
            probabilities: Probabilities by label; none of them or all.
            error: Why there are none, or None.

        Raises:
            WriteError: The disk is full or gone; the rows before this one are complete.
        """
        if self.kind == "csv":
            numbers = [f"{probabilities[label]:.6f}" if probabilities else "" for label in self.labels]
            self._write(_csv_line([*(_cell(name, values.get(name)) for name in self.values), *numbers, error or ""]))
        else:
            line: dict[str, Any] = (
                {**values, "probabilities": dict(probabilities)} if error is None else {**values, "error": error}
            )
            self._write(json.dumps(line, ensure_ascii=False) + "\n")
        self.rows += 1

    def _write(self, row: str) -> None:
        left = memoryview(row.encode("utf-8", "surrogateescape"))
        written = 0
        try:
            while written < len(left):
                written += self.file.write(left[written:])
        except BrokenPipeError:
            raise
        except OSError as error:
            if written:
                with suppress(OSError):  # what is no file on a disk keeps what it got
                    os.ftruncate(self.file.fileno(), self.file.tell() - written)
            raise WriteError(
                f"{self.path} can't be written: {error.strerror or error}; the {self.rows:,} rows before are kept"
            ) from error


def confident_emotion(answer: Answer, least: float) -> str | None:
    """Return the emotion of an answer; None where there is none or its probability is below ``least``."""
    return answer.emotion if answer.probabilities and answer.confidence >= least else None


ANSWER_VALUES = ("path", "emotion", "confidence", "remarks")
"""What a row about a file has beside probabilities."""

SEGMENT_VALUES = ("path", "start", "end", "emotion", "probability")
"""What a row about a segment of a timeline has beside probabilities."""


def write_each(answers: Iterable[Answer], tables: Sequence[RowWriter], least: float) -> Iterator[Answer]:
    """Pass answers on, writing each as it comes, so that what was answered is kept whatever comes after.

    Args:
        answers: One per file.
        tables: Tables of ``ANSWER_VALUES``.
        least: Probability below which an answer's emotion is left empty.
    """
    for answer in answers:
        values: dict[str, str | float | None] = {"path": str(answer.path)}
        if answer.error is None:
            values |= {"emotion": confident_emotion(answer, least), "confidence": answer.confidence}
            values["remarks"] = "; ".join(answer.remarks)
        for table in tables:
            table.write_row(values, answer.probabilities, answer.error)
        yield answer


def _csv_line(cells: Sequence[str]) -> str:
    csv.writer(into := io.StringIO(newline="")).writerow(cells)
    return into.getvalue()


def _cell(name: str, value: str | float | None) -> str:
    if isinstance(value, float):
        return f"{value:.{DIGITS.get(name, 6)}f}"
    return "" if value is None else value
