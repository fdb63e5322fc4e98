"""Table of many runs: ``python scripts/leaderboard.py outputs/multirun/2026-01-31/12-00-00``.

Runs that differ only in seed and split make one row: mean ± standard deviation over seeds, on the split that mixes
speakers and on the one that keeps them apart. Beside it stand the report's figure and what human raters score.
"""

import argparse
import csv
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

PUBLISHED = {
    "energy": (0.4487, 0.4364, 0.4369),
    "zcr": (0.3963, 0.3829, 0.3833),
    "energy_zcr": (0.4814, 0.4747, 0.4745),
    "energy_zcr_wide": (0.4602, 0.4343, 0.4348),
    "mfcc": (0.3721, 0.3651, 0.3664),
    "rolloff": (0.1711, 0.0487, 0.0500),
    "mfcc_energy_zcr": (0.4469, 0.4392, 0.4391),
    "cnn2d": (0.4026, 0.3768, 0.3772),
    "paper2d": (0.4662, 0.4615, 0.4609),
}
"""Accuracy, macro F1 and weighted F1 that the report gives, by row, in the report's order."""

HUMANS = {"crema_d": (("one human rater, voice alone", 0.400), ("majority of a clip's raters, voice alone", 0.446))}
"""Agreement with the intended emotion, from CREMA-D's ``tabulatedVotes.csv``, all 7,442 clips; ties count in parts."""

COLUMNS = (
    "run",
    "report: accuracy / macro F1 / weighted F1",
    "accuracy",
    "macro F1",
    "weighted F1",
    "UAR",
    "speakers apart: accuracy",
    "speakers apart: UAR",
    "remarks",
)

NOT_PART_OF_A_ROW = (
    *("seed=", "split=", "dataset.root=", "trainer.enable_progress_bar=", "ckpt_path="),
    *("dataset=", "report=", "model=", "features="),
)
"""Overrides that don't make a run another row, or that its results name anyway."""


@dataclass
class Row:
    """Runs of one recipe, by split."""

    label: str
    rank: tuple[int, str]
    published: tuple[float, float, float] | None
    runs: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def cells(self) -> list[str]:
        """What stands in the table's columns."""
        mixed, apart = self.runs.get("stratified", []), self.runs.get("speaker", [])
        published = " / ".join(f"{value:.3f}" for value in self.published) if self.published else "–"
        scores = [_spread(mixed, name) for name in ("accuracy", "macro_f1", "weighted_f1", "uar")]
        return [self.label, published, *scores, _spread(apart, "accuracy"), _spread(apart, "uar"), self._remarks()]

    def _remarks(self) -> str:
        remarks = []
        for split, runs in sorted(self.runs.items(), reverse=True):
            seeds = sorted(run["seed"] for run in runs)
            constant = [
                run["seed"] for run in runs if sum(line["predicted"] > 0 for line in run["classes"].values()) == 1
            ]
            where = {"stratified": "", "speaker": "speakers apart: "}.get(split, f"{split}: ")
            remarks.append(f"{where}{len(seeds)} seed{'s' if len(seeds) > 1 else ''}")
            if constant:
                remarks.append(f"one answer for every clip on seed {', '.join(map(str, sorted(constant)))}")
        return "; ".join(remarks)


def _spread(runs: Sequence[dict[str, Any]], score: str) -> str:
    if not runs:
        return "–"
    values = [run["test"][score] for run in runs]
    mean = f"{statistics.mean(values):.3f}"
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean


def find_runs(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The ``metrics.json`` of every run below ``paths``.

    Raises:
        SystemExit: There is none, or one of them can't be read.
    """
    files = sorted({file for path in paths for file in ([path] if path.is_file() else path.rglob("metrics.json"))})
    if not files:
        sys.exit(f"no metrics.json below {', '.join(map(str, paths))}: give run folders, or the folder of a sweep")
    runs = []
    for file in files:
        try:
            runs.append({**json.loads(file.read_text(encoding="utf-8")), "file": str(file)})
        except json.JSONDecodeError as error:
            sys.exit(f"{file} is not a run's metrics.json: {error}")
    return runs


def gather(runs: Sequence[dict[str, Any]]) -> dict[str, list[Row]]:
    """Rows by corpus, in the report's order, then the others by name.

    Raises:
        SystemExit: Two runs have the same recipe, split and seed: their mean would count one of them twice.
    """
    corpora: dict[str, dict[tuple[str, ...], Row]] = defaultdict(dict)
    for run in runs:
        recipe = _recipe(run)
        row = corpora[run["dataset"]["name"]].setdefault(recipe, _row(run, recipe))
        for other in row.runs[run["split"]["name"]]:
            if other["seed"] == run["seed"]:
                sys.exit(f"two runs of one recipe, split and seed: {other['file']} and {run['file']}; give one of them")
        row.runs[run["split"]["name"]].append(run)
    return {corpus: sorted(rows.values(), key=lambda row: row.rank) for corpus, rows in sorted(corpora.items())}


def _recipe(run: dict[str, Any]) -> tuple[str, ...]:
    typed = [word for word in (run["command"] or [])[2:] if not word.startswith(NOT_PART_OF_A_ROW)]
    return (str(run["row"]), run["features"], run["model"], *sorted(typed))


def _row(run: dict[str, Any], recipe: tuple[str, ...]) -> Row:
    label = f"{run['features']} → {run['model']}"
    extra = recipe[3:]
    suffix = f" ({' '.join(extra)})" if extra else ""
    if run["row"] in PUBLISHED:
        return Row(
            label + suffix, (list(PUBLISHED).index(run["row"]), suffix), PUBLISHED[run["row"]] if not extra else None
        )
    return Row(f"{label}, this project's defaults{suffix}", (len(PUBLISHED), label + suffix), None)


def table(corpus: str, rows: Sequence[Row]) -> list[list[str]]:
    """The table's lines, each as long as ``COLUMNS``."""
    lines = [row.cells() for row in rows]
    for label, accuracy in HUMANS.get(corpus, ()):
        lines.append([label, "–", f"{accuracy:.3f}", *["–"] * (len(COLUMNS) - 4), "all clips"])
    return lines


def markdown(corpora: dict[str, list[Row]]) -> str:
    """All tables as Markdown."""
    parts = []
    for corpus, rows in corpora.items():
        lines = [COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 2), "---"], *table(corpus, rows)]
        parts.append(f"**{corpus}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")
    return "\n".join(parts)


def main() -> None:
    """Print the tables, and write them as ``leaderboard.md`` and ``leaderboard.csv``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, help="run folders, or folders that hold them")
    parser.add_argument("--out", type=Path, help="folder for leaderboard.md and .csv; by default the first path")
    options = parser.parse_args()
    corpora = gather(find_runs(options.paths))
    first = options.paths[0]
    out = options.out or (first.parent if first.is_file() else first)
    out.mkdir(parents=True, exist_ok=True)
    (out / "leaderboard.md").write_text(markdown(corpora), encoding="utf-8")
    with (out / "leaderboard.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["corpus", *COLUMNS])
        writer.writerows([corpus, *line] for corpus, rows in corpora.items() for line in table(corpus, rows))
    console = Console()
    for corpus, rows in corpora.items():
        screen = Table(title=corpus)
        for column in COLUMNS:
            screen.add_column(column, justify="left" if column in ("run", "remarks") else "right")
        for line in table(corpus, rows):
            screen.add_row(*line)
        console.print(screen)
    console.print(f"written to {out / 'leaderboard.md'} and .csv", soft_wrap=True)


if __name__ == "__main__":
    main()
