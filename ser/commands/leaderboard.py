"""Tables of many runs: ``python scripts/leaderboard.py outputs/multirun/2026-01-31/12-00-00``.

One table for each corpus, split and side of it, told apart by the split's hash, and by how many of its speakers were
heard before: figures of different tables are about other test clips or another task, and so can't be compared. Runs
that differ only in seed make one row, mean ± standard deviation over seeds. Folds come in as ``scripts/pool.py`` leaves
them. Jobs of a sweep that failed or are missing stand in a table of their own.
"""

import csv
import os
import re
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.table import Table

from ser.cards import plain
from ser.cli import command_parser, errors_in_words
from ser.errors import UserError
from ser.evaluation import SCORES, enrolment_of
from ser.files import refuse_overwriting, replacing
from ser.report import index_page, markdown_table
from ser.results import find_runs
from ser.screen import Screen, escape
from ser.sweeps import PLAN, JobState, differing_words, job_states, read_plan

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

REPORT = "report: accuracy / macro F1 / weighted F1"
APART = ("speakers apart: accuracy", "speakers apart: UAR")

COLUMNS = ("run", REPORT, "accuracy", "95 %", "macro F1", "weighted F1", "UAR", "95 % of UAR", *APART, "remarks")
"""Of a table; those that are empty in all its rows are left out."""

RATERS = {"one_rater": "one human rater, voice alone", "majority": "majority of a clip's raters, voice alone"}

NOT_PART_OF_A_ROW = (
    *("seed=", "split=", "split.", "dataset.root=", "dataset.roots=", "dataset.names=", "dataset.metadata="),
    *("trainer.enable_progress_bar=", "ckpt_path=", "dataset=", "report=", "model=", "features="),
    *("datamodule.cache=", "datamodule.bank=", "datamodule.keep_features=", "figure_every_n_epochs=", "logger="),
    *("--out ", "--out="),
)
"""Overrides that don't make a run another row, or that its results name anyway."""

JOB_COLUMNS = ("job", "words", "state", "why")
"""Of the table of jobs without results."""

LEFT = ("run", "remarks", *JOB_COLUMNS)
"""Columns of text; the others are numbers, and on the right."""

NONE = "–"


@dataclass
class Row:
    """Runs of one recipe on one split."""

    label: str
    rank: tuple[int, str]
    published: tuple[float, float, float] | None
    runs: list[dict[str, Any]] = field(default_factory=list)

    def spread(self, score: str) -> str:
        """Mean ± sample standard deviation over seeds."""
        values = [run["test"][score] for run in self.runs]
        mean = f"{statistics.mean(values):.3f}"
        return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean

    def interval(self, score: str) -> str:
        """Mean over seeds of the intervals' ends, where every run has one."""
        bounds = [run["intervals"][score] for run in self.runs if run.get("intervals")]
        if len(bounds) < len(self.runs):
            return NONE
        low, high = (statistics.mean(ends) for ends in zip(*bounds, strict=True))
        return f"{low:.3f} to {high:.3f}"

    def remarks(self) -> str:
        """How many seeds, and on which of them the network gave one answer to everything."""
        seeds = sorted(run["seed"] for run in self.runs if run["seed"] is not None)
        answered = [sum(line["predicted"] > 0 for line in run["classes"].values()) for run in self.runs]
        constant = [run["seed"] for run, count in zip(self.runs, answered, strict=True) if count == 1]
        remarks = [f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"] if seeds else []
        enrolment = enrolment_of(self.runs[0])
        if enrolment != "none":
            remarks.append(f"knows {enrolment} clips of each test voice, so not to be ranked with others")
        if "adaptation" in self.runs[0]:
            remarks.append(f"adapted on {self.runs[0]['adaptation']['on']}")
        if constant:
            which = f" on seed {', '.join(map(str, sorted(constant)))}" if seeds else ""
            remarks.append(f"one answer for every clip{which}")
        return "; ".join(remarks)


@dataclass
class Board:
    """All rows that are about the same test clips."""

    corpus: str
    split: dict[str, Any]
    rows: dict[tuple[str, ...], Row] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the split; with the side of it that a checkpoint was evaluated on, unless that is the test side."""
        return str(self.split["name"]).removesuffix(", test")

    @property
    def title(self) -> str:
        """Corpus, split, and who is on its test side."""
        speakers, heard = self.split["test_speakers"], self.split["test_speakers_heard_before"]
        known = "not known how many" if heard is None else f"{heard}"
        heard_before = f" of {speakers} speakers, {known} of them heard in training or validation" if speakers else ""
        fold = f", fold {self.split['fold']}" if isinstance(self.split.get("fold"), int) else ""
        pooled = f", {self.split['folds']} folds pooled" if self.split.get("fold") == "pooled" else ""
        return (
            f"{self.corpus}, split={self.name}{fold}{pooled} ({self.split['hash']}): "
            f"{self.split['clips']['test']:,} test clips{heard_before}"
        )


def gather(runs: Sequence[dict[str, Any]]) -> list[Board]:
    """Runs → tables, the report's split first; rows in the report's order, then the others by name.

    Single folds are left out where their corpus has pooled ones.

    Raises:
        UserError: Two runs have the same recipe, split and seed: their mean would count one of them twice.
    """
    pooled = {(_corpus(run), run["split"]["name"]) for run in runs if run["split"].get("fold") == "pooled"}
    boards: dict[tuple[Any, ...], Board] = {}
    for run in runs:
        corpus, split = _corpus(run), run["split"]
        if split.get("fold") not in (None, "pooled") and (corpus, split["name"]) in pooled:
            continue
        board = Board(corpus, split)
        board = boards.setdefault((corpus, split["hash"], board.name, split["test_speakers_heard_before"]), board)
        recipe = _recipe(run)
        row = board.rows.setdefault(recipe, _row(run, recipe))
        for other in row.runs:
            if other["seed"] == run["seed"]:
                raise UserError(
                    f"two runs of one recipe, split and seed: {other['file']} and {run['file']}; give one of them"
                )
        row.runs.append(run)
    for board in boards.values():
        board.rows = dict(sorted(board.rows.items(), key=lambda item: item[1].rank))
    return sorted(boards.values(), key=lambda board: (board.corpus, board.name != "stratified", board.title))


def _corpus(run: dict[str, Any]) -> str:
    return " + ".join(run["dataset"].get("corpora") or [run["dataset"]["name"]])


def _recipe(run: dict[str, Any]) -> tuple[str, ...]:
    command = (run.get("members") or [run])[0].get("command")  # of an ensemble, what its runs have in common
    typed = [word for word in _typed((command or [])[2:]) if not word.startswith(NOT_PART_OF_A_ROW)]
    known = [f"enrolment {enrolment_of(run)}"] if enrolment_of(run) != "none" else []
    known += ["adapted"] if "adaptation" in run else []
    return (str(run["row"]), run["features"], run["model"], *sorted(typed), *known)


def _typed(words: Sequence[str]) -> Iterator[str]:
    """Words, and options with their values."""
    rest = iter(words)
    for word in rest:
        yield f"{word} {next(rest, '')}" if word.startswith("--") and "=" not in word else word


def _row(run: dict[str, Any], recipe: tuple[str, ...]) -> Row:
    label = f"{run['features']} → {run['model']}"
    extra = recipe[3:]
    suffix = f" ({' '.join(extra)})" if extra else ""
    if run["row"] in PUBLISHED:
        changed = extra or "members" in run or any(word.startswith("split.") for word in run["command"] or [])
        rank = (list(PUBLISHED).index(run["row"]), suffix)
        return Row(label + suffix, rank, None if changed else PUBLISHED[run["row"]])
    of_its_own = (run["seed"] is None and "members" not in run) or any(word.startswith("experiment=") for word in extra)
    defaults = "" if of_its_own else ", this project's defaults"
    return Row(label + defaults + suffix, (len(PUBLISHED), label + suffix), None)


def table(board: Board, boards: Sequence[Board]) -> list[dict[str, str]]:
    """The rows of ``board`` by column; beside those of a mixed split what the recipe scores with speakers apart."""
    found = [other for other in boards if other.corpus == board.corpus and other.name == "speaker"]
    # Of several such splits none is the one.
    apart = found[0].rows if len(found) == 1 and board.name == "stratified" else {}
    lines = []
    for recipe, row in board.rows.items():
        line = dict.fromkeys(COLUMNS, NONE) | {"run": row.label, "remarks": row.remarks()}
        if row.published and (board.corpus, board.name) == ("crema_d", "stratified"):
            line[REPORT] = " / ".join(f"{value:.3f}" for value in row.published)
        for column, score in zip(("accuracy", "macro F1", "weighted F1", "UAR"), SCORES, strict=True):
            line[column] = row.spread(score)
        line["95 %"], line["95 % of UAR"] = row.interval("accuracy"), row.interval("uar")
        if beside := apart.get(recipe):
            line |= dict(zip(APART, (beside.spread("accuracy"), beside.spread("uar")), strict=True))
        lines += [line, *_by_corpus(row)]
    return [*lines, *_raters(board)]


def _by_corpus(row: Row) -> list[dict[str, str]]:
    """What a row scores on each of several test corpora, mean over seeds."""
    several = [run["groups"]["corpus"] for run in row.runs if "corpus" in (run.get("groups") or {})]
    if not several:
        return []
    lines = []
    for corpus in (one for one in several[0] if all("intervals" in groups.get(one, {}) for groups in several)):
        line = dict.fromkeys(COLUMNS, NONE) | {"run": f"{row.label}, on {corpus} alone"}
        for column, score in (("accuracy", "accuracy"), ("UAR", "uar")):
            line[column] = f"{statistics.mean(groups[corpus][score] for groups in several):.3f}"
            bounds = [groups[corpus]["intervals"][score] for groups in several]
            low, high = (statistics.mean(ends) for ends in zip(*bounds, strict=True))
            line["95 %" if score == "accuracy" else "95 % of UAR"] = f"{low:.3f} to {high:.3f}"
        group = several[0][corpus]
        line["remarks"] = f"{group['clips']:,} clips of {group['speakers']} speakers"
        lines.append(line)
    return lines


def _raters(board: Board) -> list[dict[str, str]]:
    """What people score on the same test clips, where a run knows."""
    for run in (run for row in board.rows.values() for run in row.runs):
        if raters := run.get("raters"):
            return [
                dict.fromkeys(COLUMNS, NONE)
                | {
                    "run": label,
                    "accuracy": f"{raters[name]['accuracy']:.3f}",
                    "95 %": "{:.3f} to {:.3f}".format(*raters[name]["intervals"]["accuracy"]),
                    "macro F1": f"{raters[name]['macro_f1']:.3f}",
                    "weighted F1": f"{raters[name]['weighted_f1']:.3f}",
                    "UAR": f"{raters[name]['uar']:.3f}",
                    "95 % of UAR": "{:.3f} to {:.3f}".format(*raters[name]["intervals"]["uar"]),
                    "remarks": "the same test clips",
                }
                for name, label in RATERS.items()
            ]
    return []


@dataclass
class Jobs:
    """The jobs of one sweep.

    Attributes:
        sweep: Its folder.
        states: What became of each.
    """

    sweep: Path
    states: list[JobState]

    @property
    def title(self) -> str:
        """How many finished, failed and are missing."""
        counts = Counter(job.state for job in self.states)
        told = ", ".join(f"{counts[state]} {state}" for state in ("finished", "failed", "missing"))
        return f"{self.sweep}: {len(self.states)} jobs, {told}"

    def lines(self) -> list[list[str]]:
        """Of each job without results: its folder, the words that tell it from the others, its state and why."""
        words = differing_words([job.job for job in self.states])
        return [
            [job.job.folder, told, job.state, job.remark]
            for job, told in zip(self.states, words, strict=True)
            if job.state != "finished"
        ]


def find_jobs(paths: Sequence[Path]) -> list[Jobs]:
    """The sweeps below ``paths`` with jobs that failed or are missing.

    Raises:
        UserError: A sweep's list of jobs is broken.
    """
    sweeps = sorted({file.parent for path in paths for file in path.rglob(PLAN)})
    found = [Jobs(sweep, job_states(sweep, read_plan(sweep))) for sweep in sweeps]
    return [jobs for jobs in found if jobs.lines()]


Shown = tuple[str, list[str], list[list[str]]]
"""Of a table: title, columns and lines."""


def shown(boards: Sequence[Board], sweeps: Sequence[Jobs] = ()) -> list[Shown]:
    """All tables, without the columns that are empty in all their lines."""
    tables = []
    for board in boards:
        lines = table(board, boards)
        columns = [column for column in COLUMNS if any(line[column] != NONE for line in lines)]
        tables.append((board.title, columns, [[line[column] for column in columns] for line in lines]))
    return tables + [(jobs.title, list(JOB_COLUMNS), jobs.lines()) for jobs in sweeps]


def markdown(tables: Sequence[Shown]) -> str:
    """All tables as Markdown."""
    return "\n".join(
        f"**{_cell(title)}**\n\n{markdown_table(columns, [list(map(_cell, line)) for line in lines], LEFT)}\n"
        for title, columns, lines in tables
    )


def _cell(text: str) -> str:
    """What a run tells of itself, as Markdown that shows it: without links, HTML or a table of its own."""
    told = re.sub(r"\\([\[\]|])", r"\1", plain(text))  # brackets alone do nothing, and the table's writer escapes |
    return told.replace("](", "]\\(").replace("://", "\\://")


def page(tables: Sequence[Shown], boards: Sequence[Board], out: Path) -> str:
    """All tables as a page of their own, with links to the runs' pages as seen from the folder ``out``."""
    runs = []
    for run in (run for board in boards for row in board.rows.values() for run in row.runs):
        report = Path(run["file"]).with_name("report.html")
        if report.is_file():
            seed = "" if run["seed"] is None else f", seed {run['seed']}"
            name = f"{run['features']} → {run['model']}, {run['split']['name']}{seed}"
            runs.append((name, quote(Path(os.path.relpath(report, out)).as_posix(), errors="surrogateescape")))
    return index_page("Runs", tables, runs)


def main() -> None:
    """Print the tables, and write them as ``leaderboard.md``, ``leaderboard.csv`` and ``index.html``."""
    parser = command_parser(__doc__, "outputs/multirun")
    parser.add_argument("paths", nargs="+", type=Path, help="run folders, or folders that hold them")
    parser.add_argument("--out", type=Path, help="folder for the tables; by default the first path")
    options = parser.parse_args()
    first = options.paths[0]
    out = options.out or (first.parent if first.is_file() else first)
    with errors_in_words():
        sweeps = find_jobs(options.paths)
        ended = any(path.is_file() or any(path.rglob("metrics.json")) for path in options.paths)
        boards = gather(find_runs(options.paths) if ended or not sweeps else [])
        tables = shown(boards, sweeps)
        read = [Path(run["file"]) for board in boards for row in board.rows.values() for run in row.runs]
        written = ("index.html", "leaderboard.md", "leaderboard.csv")
        refuse_overwriting([("--out", out / name) for name in written], read)
        out.mkdir(parents=True, exist_ok=True)
        for name, text in (("index.html", page(tables, boards, out)), ("leaderboard.md", markdown(tables))):
            with replacing(out / name) as file:
                file.write_text(text, encoding="utf-8", errors="backslashreplace")
        with (
            replacing(out / "leaderboard.csv") as file,
            file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as rows,
        ):
            writer = csv.writer(rows)
            writer.writerow(["corpus", "split", "hash", *COLUMNS])
            for board in boards:
                head = [board.corpus, board.name, board.split["hash"]]
                writer.writerows([*head, *line.values()] for line in table(board, boards))
    console = Screen()
    for title, columns, lines in tables:
        screen = Table(title=escape(title))
        for column in columns:
            screen.add_column(column, justify="left" if column in LEFT else "right")
        for line in lines:
            screen.add_row(*map(escape, line))
        console.print(screen)
    for corpus, count in Counter(board.corpus for board in boards).items():
        if count > 1:
            console.print(
                f"{escape(corpus)}: rows of different tables aren't comparable, for their splits differ", soft_wrap=True
            )
    console.print(f"written to {escape(out / 'leaderboard.md')}, .csv and index.html", soft_wrap=True)
