"""Tables of many runs; ``ser.commands.leaderboard`` says which tables there are, and what a row is."""

import csv
import os
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ser.errors import UserError
from ser.evaluation import SCORES, enrolment_of
from ser.files import refuse_overwriting, replacing, write_text
from ser.results.cards import plain
from ser.results.choices import DATA
from ser.results.jobs import PLAN, JobState, differing_words, job_states, read_plan
from ser.results.page import markdown_table, pages
from ser.results.record import RunRecord

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
SPEAKER_INDEPENDENT = ("speaker-independent: accuracy", "speaker-independent: UAR")

NAMES = {"accuracy": "accuracy", "macro_f1": "macro F1", "weighted_f1": "weighted F1", "uar": "UAR"}
HEADS = {score: NAMES.get(score, score) for score in SCORES}
"""Column of each score."""

BOUNDS = {"accuracy": "95 %", "uar": "95 % of UAR"}
"""Column of the intervals of a score."""

COLUMNS = (
    *("run", REPORT, "accuracy", "95 %", "macro F1", "weighted F1", "UAR", "95 % of UAR"),
    *(head for score, head in HEADS.items() if score not in NAMES),
    *(*SPEAKER_INDEPENDENT, "remarks"),
)
"""Columns of a table; those that are empty in all its rows are left out."""

RATERS = {"one_rater": "one human rater, voice only", "majority": "majority of a clip's raters, voice only"}

JOB_COLUMNS = ("job", "words", "state", "why")
"""Columns of the table of jobs without results."""

LEFT = ("run", "remarks", *JOB_COLUMNS)
"""Columns of text; the others are numbers, and on the right."""

NONE = "–"


@dataclass
class Row:
    """Runs of one recipe on one split."""

    label: str
    rank: tuple[int, str]
    published: tuple[float, float, float] | None
    runs: list[RunRecord] = field(default_factory=list)

    def spread(self, score: str) -> str:
        """Mean ± sample standard deviation over seeds, where every run has the score."""
        values = [run.test[score] for run in self.runs if score in run.test]
        if len(values) < len(self.runs):
            return NONE
        mean = f"{statistics.mean(values):.3f}"
        return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean

    def interval(self, score: str) -> str:
        """Mean over seeds of the intervals' ends, where every run has one."""
        bounds = [run.intervals[score] for run in self.runs if score in run.intervals]
        return NONE if len(bounds) < len(self.runs) else _mean_interval(bounds)

    def remarks(self) -> str:
        """Say how many seeds there are, and on which of them the network gave one answer to everything."""
        seeds = sorted(run.seed for run in self.runs if run.seed is not None)
        answered = [sum(line["predicted"] > 0 for line in run.classes.values()) for run in self.runs]
        constant = [run for run, count in zip(self.runs, answered, strict=True) if count == 1]
        remarks = [f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"] if seeds else []
        enrolment = enrolment_of(self.runs[0].enrolment)
        if enrolment != "none":
            remarks.append(f"knows {enrolment} clips of each test voice, so not to be ranked with others")
        if adaptation := self.runs[0].adaptation:
            remarks.append(f"adapted on {adaptation['on']}")
        if constant:
            on = sorted(run.seed for run in constant if run.seed is not None)
            which = f" on seed {', '.join(map(str, on))}" if on else ""
            remarks.append(f"one answer for every clip{which}")
        return "; ".join(remarks)


def _mean_interval(bounds: Sequence[Sequence[float]]) -> str:
    low, high = (statistics.mean(ends) for ends in zip(*bounds, strict=True))
    return f"{low:.3f} to {high:.3f}"


@dataclass
class Board:
    """All rows that are about the same test clips."""

    corpus: str
    split: dict[str, Any]
    rows: dict[tuple[str, ...], Row] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the split, with the side that a checkpoint was evaluated on unless that is the test side."""
        return str(self.split["name"]).removesuffix(", test")

    @property
    def title(self) -> str:
        """Corpus, split, and who is on its test side."""
        speakers, seen = self.split["test_speakers"], self.split["test_speakers_heard_before"]
        known = "not known how many" if seen is None else f"{seen}"
        seen_before = f" of {speakers} speakers, {known} of them seen in training or validation" if speakers else ""
        fold = f", fold {self.split['fold']}" if isinstance(self.split.get("fold"), int) else ""
        pooled = f", {self.split['folds']} folds pooled" if self.split.get("fold") == "pooled" else ""
        return (
            f"{self.corpus}, split={self.name}{fold}{pooled} ({self.split['hash']}): "
            f"{self.split['clips']['test']:,} test clips{seen_before}"
        )


def gather(runs: Sequence[RunRecord]) -> list[Board]:
    """Runs → tables, the report's split first; rows in the report's order, then the others by name.

    Single folds are left out where their corpus has pooled ones.

    Raises:
        UserError: Two runs have the same recipe, split and seed: their mean would count one of them twice.
    """
    pooled = {(_corpus(run), run.split["name"]) for run in runs if run.split.get("fold") == "pooled"}
    boards: dict[tuple[Any, ...], Board] = {}
    for run in runs:
        corpus, split = _corpus(run), run.split
        if split.get("fold") not in (None, "pooled") and (corpus, split["name"]) in pooled:
            continue
        board = Board(corpus, split)
        board = boards.setdefault((corpus, split["hash"], board.name, split["test_speakers_heard_before"]), board)
        # Runs of one row share the recipe on whatever clips, and what was known of the test voices.
        key = (str(run.row), run.features, run.model, run.recipe.without(*DATA), *_known(run))
        row = board.rows.setdefault(key, _row(run))
        for other in row.runs:
            if other.seed == run.seed:
                raise UserError(
                    f"two runs of one recipe, split and seed: {other.file} and {run.file}; give one of them"
                )
        row.runs.append(run)
    for board in boards.values():
        board.rows = dict(sorted(board.rows.items(), key=lambda item: item[1].rank))
    return sorted(boards.values(), key=lambda board: (board.corpus, board.name != "stratified", board.title))


def _corpus(run: RunRecord) -> str:
    return " + ".join(run.dataset.get("corpora") or [run.dataset["name"]])


def _known(run: RunRecord) -> list[str]:
    enrolment = enrolment_of(run.enrolment)
    known = [f"enrolment {enrolment}"] if enrolment != "none" else []
    return known + (["adapted"] if run.adaptation else [])


def _row(run: RunRecord) -> Row:
    extra = [*run.recipe.words, *_known(run)]
    suffix = f" ({' '.join(extra)})" if extra else ""
    if run.row in PUBLISHED:
        changed = extra or run.members or any(word.startswith("split.") for word in run.command or [])
        rank = (list(PUBLISHED).index(run.row), suffix)
        return Row(run.title + suffix, rank, None if changed else PUBLISHED[run.row])
    of_its_own = (run.seed is None and not run.members) or any(word.startswith("experiment=") for word in extra)
    defaults = "" if of_its_own else ", this project's defaults"
    return Row(run.title + defaults + suffix, (len(PUBLISHED), run.title + suffix), None)


def table(board: Board, boards: Sequence[Board]) -> list[dict[str, str]]:
    """The rows of ``board`` by column; those of a mixed split also have the recipe's speaker-independent scores."""
    found = [other for other in boards if other.corpus == board.corpus and other.name == "speaker"]
    # Where there are several such splits, none is chosen.
    independent = found[0].rows if len(found) == 1 and board.name == "stratified" else {}
    lines = []
    for key, row in board.rows.items():
        line = dict.fromkeys(COLUMNS, NONE) | {"run": row.label, "remarks": row.remarks()}
        if row.published and (board.corpus, board.name) == ("crema_d", "stratified"):
            line[REPORT] = " / ".join(f"{value:.3f}" for value in row.published)
        line |= {column: row.spread(score) for score, column in HEADS.items()}
        line |= {column: row.interval(score) for score, column in BOUNDS.items()}
        if beside := independent.get(key):
            line |= dict(zip(SPEAKER_INDEPENDENT, (beside.spread("accuracy"), beside.spread("uar")), strict=True))
        lines += [line, *_by_corpus(row)]
    return [*lines, *_raters(board)]


def _by_corpus(row: Row) -> list[dict[str, str]]:
    """Lines of a row's scores on each of several test corpora, mean over seeds."""
    several = [run.groups["corpus"] for run in row.runs if "corpus" in run.groups]
    if not several:
        return []
    lines = []
    for corpus in (one for one in several[0] if all("intervals" in groups.get(one, {}) for groups in several)):
        line = dict.fromkeys(COLUMNS, NONE) | {"run": f"{row.label}, on {corpus} alone"}
        for score, column in BOUNDS.items():
            line[HEADS[score]] = f"{statistics.mean(groups[corpus][score] for groups in several):.3f}"
            line[column] = _mean_interval([groups[corpus]["intervals"][score] for groups in several])
        group = several[0][corpus]
        line["remarks"] = f"{group['clips']:,} clips of {group['speakers']} speakers"
        lines.append(line)
    return lines


def _raters(board: Board) -> list[dict[str, str]]:
    """Lines of people's scores on the same test clips, where a run knows them."""
    for run in (run for row in board.rows.values() for run in row.runs):
        if raters := run.raters:
            return [
                dict.fromkeys(COLUMNS, NONE)
                | {"run": label, "remarks": "the same test clips"}
                | {HEADS[score]: f"{raters[name][score]:.3f}" for score in HEADS if score in raters[name]}
                | {BOUNDS[score]: "{:.3f} to {:.3f}".format(*raters[name]["intervals"][score]) for score in BOUNDS}
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
        """The sweep's folder, and how many of its jobs finished, failed and are missing."""
        counts = Counter(job.state for job in self.states)
        count = ", ".join(f"{counts[state]} {state}" for state in ("finished", "failed", "missing"))
        return f"{self.sweep}: {len(self.states)} jobs, {count}"

    def lines(self) -> list[list[str]]:
        """A line for each job without results: its folder, the words that distinguish it, its state and why."""
        words = differing_words([job.job for job in self.states])
        return [
            [job.job.folder, own, job.state, job.remark]
            for job, own in zip(self.states, words, strict=True)
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
"""A table: title, columns and lines."""


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
    """Show text of a run as it is, in Markdown: without links, HTML or a table of its own."""
    # Brackets by themselves do nothing, and the table's writer escapes |.
    escaped = re.sub(r"\\([\[\]|])", r"\1", plain(text))
    return escaped.replace("](", "]\\(").replace("://", "\\://")


def page(tables: Sequence[Shown], boards: Sequence[Board], out: Path) -> str:
    """All tables as a page of their own, with links to the runs' pages as seen from the folder ``out``."""
    links = []
    for run in (run for board in boards for row in board.rows.values() for run in row.runs):
        own = [
            file for name in ("page.html", "report.html") if (file := run.folder / name).is_file()
        ]  # earlier: report
        if own:
            seed = "" if run.seed is None else f", seed {run.seed}"
            address = quote(Path(os.path.relpath(own[0], out)).as_posix(), errors="surrogateescape")
            links.append((f"{run.title}, {run.split['name']}{seed}", address))
    return pages.get_template("index.html").render(title="Runs", tables=tables, runs=links)


def write_tables(out: Path, boards: Sequence[Board], tables: Sequence[Shown]) -> None:
    """Write ``leaderboard.md``, ``leaderboard.csv`` and ``index.html``.

    Raises:
        UserError: That would overwrite one of the records.
        WriteError: The folder can't be written to, or the disk is full.
    """
    read = [run.file for board in boards for row in board.rows.values() for run in row.runs]
    refuse_overwriting([("--out", out / name) for name in ("index.html", "leaderboard.md", "leaderboard.csv")], read)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (("index.html", page(tables, boards, out)), ("leaderboard.md", markdown(tables))):
        write_text(out / name, text, errors="backslashreplace")
    with (
        replacing(out / "leaderboard.csv") as file,
        file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as rows,
    ):
        writer = csv.writer(rows)
        writer.writerow(["corpus", "split", "hash", *COLUMNS])
        for board in boards:
            head = [board.corpus, board.name, board.split["hash"]]
            writer.writerows([*head, *line.values()] for line in table(board, boards))
