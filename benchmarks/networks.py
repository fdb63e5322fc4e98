"""What each network costs and gives: ``python benchmarks/networks.py docs/results/crema_d dataset=crema_d``.

Trains a few steps of each network in turn, in one process, on the clips of a corpus, and answers one of its clips, and
puts parameters, the time of a whole training and of an answer beside the UAR that the results below a folder tell. The
time of a training is that of its steps: features that are kept, validation and the test are not in it. What is said of
openSMILE with an SVM is from its results there (opensmile_svm.py), and its time is the mean of the folds, from
decoding to the test; with datamodule.cache= the first fold made the functionals of all. Networks of pretrained features
are left out, because their weights are not at hand.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import torch
from _common import network_of, parse, seconds_of, training_step
from rich.table import Column, Table

from ser.commands.cli import command_parser, errors_in_words
from ser.config import check_choices, compose_words
from ser.errors import Screen, UserError
from ser.files import refuse_overwriting, write_json
from ser.recognizer import Recognizer
from ser.results import RunRecord, find_runs
from ser.train import load_data, resolve_precision

ROWS = {
    "energy_zcr_cnn1d": "model=cnn1d features=energy_zcr trainer.max_epochs=50",
    "energy_zcr_wide": "report=energy_zcr_wide",
    "cnn2d": "report=cnn2d",
    "mel_paper2d": "model=paper2d features=mel",
    "seresnet": "experiment=seresnet",
}
"""Folder of the results → the words of train.py that made them."""

SVM = "ComParE_2016_svm"
"""Folder of openSMILE's results."""

TRAINING_CLIPS = 5077
"""Clips of CREMA-D's first fold by speakers, ``dataset=crema_d split=kfold split.fold=0``; others have 5,001 to 5,071.
The steps pick their clips from another split, which says nothing about how many a training sees."""

WARM_UP = 3
"""Steps and answers that are not timed."""

console = Screen()


@dataclass
class Measured:
    """What a row costs.

    Attributes:
        parameters: Parameters that are trained, or that an SVM keeps.
        training: Seconds of a complete training.
        answers: Seconds from a sound file to an answer.
    """

    parameters: int
    training: float
    answers: list[float]


class Training:
    """A network in the middle of its training.

    Args:
        words: Words of train.py.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.cfg = compose_words(words)
        torch.manual_seed(self.cfg["seed"])
        self.data, _ = load_data(check_choices(self.cfg), torch.device("cpu"))
        self.network = network_of(self.cfg, self.data.input_shape, len(self.data.labels))
        self.optimizer = torch.optim.AdamW(self.network.parameters(), 1e-4, fused=True)
        self.half = resolve_precision(self.cfg["trainer"]["precision"], "cpu") == "bf16-mixed"
        self.path = self.data.clips[0].path
        self.clips = torch.arange(len(self.data.side("train")))

    def step(self) -> None:
        """Train on one batch, without logs, the learning rate's schedule and the average of weights."""
        self.network.train()
        picked = self.clips[torch.randint(len(self.clips), (self.cfg["datamodule"]["batch_size"],))]
        training_step(self.network, self.data.make_batch(picked, training=True), self.optimizer, self.half)

    def answer(self) -> Callable[[], object]:
        """Return what answers one clip, from its file."""
        recognizer = Recognizer(
            self.network.eval(), self.data.frontend, self.data.labels, self.cfg["features"]["sample_rate"]
        )
        return lambda: recognizer(self.path)

    def steps(self, clips: int) -> int:
        """Return the number of steps of a complete training on ``clips`` clips."""
        return int(self.cfg["trainer"]["max_epochs"]) * math.ceil(clips / self.cfg["datamodule"]["batch_size"])


def measure(corpus: Sequence[str], clips: int, rounds: int) -> dict[str, Measured]:
    """Train and answer, each network in turn, ``rounds`` times.

    Args:
        corpus: Words of train.py that name it.
        clips: Training clips of a complete training.
        rounds: Steps and answers that are timed.

    Returns:
        The costs by row of ``ROWS``.

    Raises:
        UserError: The corpus can't be used.
    """
    trainings = {name: Training([*words.split(), "split=stratified", *corpus]) for name, words in ROWS.items()}
    steps = _in_turn({name: training.step for name, training in trainings.items()}, rounds)
    answers = _in_turn({name: training.answer() for name, training in trainings.items()}, rounds)
    return {
        name: Measured(
            sum(parameter.numel() for parameter in training.network.parameters()),
            median(steps[name]) * training.steps(clips),
            answers[name],
        )
        for name, training in trainings.items()
    }


def _in_turn(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each work in each round, after those that warm up."""
    taken = [{name: seconds_of(work) for name, work in works.items()} for _ in range(WARM_UP + rounds)]
    return {name: [times[name] for times in taken[WARM_UP:]] for name in works}


def results(folder: Path, name: str) -> list[RunRecord]:
    """Return a row's results, one per seed: of pooled folds if there are any, else of one split, else none.

    Raises:
        UserError: A file is broken, or of a single fold.
    """
    for split in ("kfold", "speaker"):
        place = folder / split / name
        if place.is_dir():
            runs = find_runs([place])
            if single := [run.file for run in runs if split == "kfold" and run.split.get("fold") != "pooled"]:
                raise UserError(f"{single[0]} is of a single fold: python scripts/pool.py makes one result of all")
            return runs
    return []


def uar(runs: Sequence[RunRecord]) -> str:
    """Return the mean UAR over the seeds of a row, with the split and how many seeds there are."""
    if not runs:
        return "–"
    seeds = f", {len(runs)} seed{'s' if len(runs) > 1 else ''}" if runs[0].seed is not None else ""
    return f"{mean(run.test['uar'] for run in runs):.3f} ({runs[0].split['name']}{seeds})"


def of_svm(runs: Sequence[RunRecord]) -> Measured:
    """Return the cost of openSMILE with an SVM by its results.

    Raises:
        UserError: There are several results, or they are not of this version.
    """
    if len(runs) > 1:
        raise UserError(f"{runs[1].file} is a second result of {SVM}, which has no seed: keep one")
    (run,) = runs
    if run.seconds is None or run.answer_seconds is None or "trainable" not in run.parameters:
        raise UserError(
            f"{run.file} does not tell answer_seconds, seconds and parameters: make it anew with this version"
        )
    return Measured(run.parameters["trainable"], run.seconds / run.split.get("folds", 1), [run.answer_seconds])


def lines(measured: dict[str, Measured], found: dict[str, list[RunRecord]]) -> Iterator[list[str]]:
    """Yield the lines of the table.

    Args:
        measured: Costs by row, ``SVM`` among them.
        found: Results of each row.
    """
    for name, row in measured.items():
        yield [
            ROWS.get(name, "openSMILE ComParE_2016 → SVM"),
            f"{row.parameters:,}",
            f"{row.training / 60:.1f}",
            uar(found[name]),
            f"{1000 * median(row.answers):.1f}",
        ]


def main() -> None:
    """Measure and print."""
    parser = command_parser(__doc__, "docs/results/crema_d dataset=crema_d")
    parser.add_argument("results", type=Path, help="folder of results: SPLIT/ROW/SEED/metrics.json")
    parser.add_argument("words", nargs="+", help="as train.py takes them, for the corpus: dataset=NAME, dataset.root=…")
    parser.add_argument(
        "--train", type=int, default=TRAINING_CLIPS,
        help="clips of a whole training, as in a fold of CREMA-D by speakers",
    )  # fmt: skip
    options = parse(parser, 20, train=1)
    with errors_in_words():
        found = {name: results(options.results, name) for name in (*ROWS, SVM)}
        if not any(found.values()):
            raise UserError(
                f"{options.results} has results of none of {', '.join(found)} below kfold/ or speaker/: give a folder "
                "that has, such as docs/results/crema_d"
            )
        svm = {SVM: of_svm(found[SVM])} if found[SVM] else {}
        measured = measure(options.words, options.train, options.rounds) | svm
        if options.json:
            refuse_overwriting([("--json", options.json)], [run.file for runs in found.values() for run in runs])
            write_json(options.json, {name: vars(row) for name, row in measured.items()}, indent=1)
    words = Column("words of train.py", overflow="fold")
    shown = Table(words, "parameters", "training, min", "UAR, speaker-independent", "answer, ms")
    for line in lines(measured, found):
        shown.add_row(*line)
    console.print(shown)


if __name__ == "__main__":
    main()
