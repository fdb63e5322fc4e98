"""Tables of answers as files, a row at a time."""

import csv
import json
from collections.abc import Mapping, Sequence
from typing import Any

DIGITS = {"start": 3, "end": 3}
"""Decimals of numbers in CSV; others have 6."""


class RowWriter:
    """Writes a CSV or a JSON Lines file: some values, a probability a label, and why there are none.

    Args:
        file: Open for writing text, with ``newline=""``.
        kind: ``csv`` or ``jsonl``.
        values: Names of the first columns.
        labels: Of the columns of probabilities, without their ``p_``.
    """

    def __init__(self, file: Any, kind: str, values: Sequence[str], labels: Sequence[str]) -> None:
        self.file, self.kind, self.values, self.labels = file, kind, values, labels
        if kind == "csv":
            self.table = csv.writer(file)
            self.table.writerow([*values, *(f"p_{label}" for label in labels), "error"])

    def write_row(
        self, values: Mapping[str, str | float | None], probabilities: Mapping[str, float], error: str | None
    ) -> None:
        """Write and flush one row.

        Args:
            values: By name; None is an empty cell.
            probabilities: By label; none of them or all.
            error: Why there are none, or None.
        """
        if self.kind == "csv":
            numbers = [f"{probabilities[label]:.6f}" if probabilities else "" for label in self.labels]
            self.table.writerow([*(_cell(name, values.get(name)) for name in self.values), *numbers, error or ""])
        else:
            line: dict[str, Any] = (
                {**values, "probabilities": dict(probabilities)} if error is None else {**values, "error": error}
            )
            self.file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.file.flush()


def _cell(name: str, value: str | float | None) -> str:
    if isinstance(value, float):
        return f"{value:.{DIGITS.get(name, 6)}f}"
    return "" if value is None else value
