"""What each network costs and gives: ``python scripts/networks.py docs/results --train 5077 dataset=crema_d``.

Trains a few steps of each network in turn, in one process, on the clips of a corpus, and answers one of its clips, and
puts parameters, the time of a whole training and of an answer beside the UAR that the results below a folder tell. What
is said of openSMILE with an SVM is from its results there (scripts/opensmile_svm.py).
"""

import argparse
import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from hydra.errors import HydraException
from rich.console import Console
from rich.table import Table

from ser.config import compose_words, network_settings
from ser.errors import UserError
from ser.models import NETWORKS
from ser.recognizer import Recognizer
from ser.results import find_runs
from ser.train import load_data, resolve_precision

ROWS = {
    "energy_zcr_cnn1d": "report=energy_zcr",
    "energy_zcr_wide": "report=energy_zcr_wide",
    "cnn2d": "report=cnn2d",
    "mel_paper2d": "model=paper2d features=mel",
    "seresnet": "experiment=seresnet",
}
"""Folder of the results → the words of train.py."""

SVM = "ComParE_2016_svm"
"""Folder of openSMILE's results."""

WARM_UP = 3
"""Steps and answers that are not timed."""

console = Console()


@dataclass
class Measured:
    """Of a row; seconds of each step and of each answer.

    Attributes:
        parameters: That are trained, or that an SVM keeps.
        training: Seconds of a whole training.
        answers: Seconds from a sound file to an answer.
    """

    parameters: int
    training: float
    answers: list[float]


class Training:
    """A network in the middle of its training.

    Args:
        words: Of train.py.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.cfg = compose_words(words)
        torch.manual_seed(self.cfg["seed"])
        self.data, _ = load_data(self.cfg, torch.device("cpu"))
        self.network = NETWORKS[self.cfg["model"]["name"]](
            self.data.input_shape, len(self.data.labels), **network_settings(self.cfg)
        )
        self.optimizer = torch.optim.AdamW(self.network.parameters(), 1e-4, fused=True)
        self.half = resolve_precision(self.cfg["trainer"]["precision"], "cpu") == "bf16-mixed"
        self.path = self.data.clips[0].path
        self.clips = torch.arange(len(self.data.side("train")))

    def step(self) -> None:
        """One batch, as training does it but for its logs."""
        self.network.train()
        picked = self.clips[torch.randint(len(self.clips), (self.cfg["datamodule"]["batch_size"],))]
        batch = self.data.make_batch(picked, training=True)
        with torch.autocast("cpu", torch.bfloat16) if self.half else contextlib.nullcontext():
            soft = batch.targets if batch.soft is None else batch.soft
            loss = torch.nn.functional.cross_entropy(self.network(batch.inputs), soft)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def answer(self) -> Callable[[], object]:
        """Of one clip, from its file."""
        recognizer = Recognizer(
            self.network.eval(), self.data.frontend, self.data.labels, self.cfg["features"]["sample_rate"]
        )
        return lambda: recognizer(self.path)

    def steps(self, clips: int) -> int:
        """Of a whole training on so many clips."""
        return int(self.cfg["trainer"]["max_epochs"]) * math.ceil(clips / self.cfg["datamodule"]["batch_size"])


def measure(corpus: Sequence[str], clips: int, rounds: int) -> dict[str, Measured]:
    """Train and answer, each network in turn, ``rounds`` times.

    Args:
        corpus: Words of train.py that name it.
        clips: That a whole training would hear.
        rounds: Steps and answers that are timed.
    """
    trainings = {name: Training([*words.split(), "split=stratified", *corpus]) for name, words in ROWS.items()}
    steps: dict[str, list[float]] = {name: [] for name in ROWS}
    for number in range(WARM_UP + rounds):
        for name, training in trainings.items():
            taken = _seconds(training.step)
            if number >= WARM_UP:
                steps[name].append(taken)
    answers: dict[str, Callable[[], object]] = {name: training.answer() for name, training in trainings.items()}
    taken_by: dict[str, list[float]] = {name: [] for name in answers}
    for number in range(WARM_UP + rounds):
        for name, answer in answers.items():
            taken = _seconds(answer)
            if number >= WARM_UP:
                taken_by[name].append(taken)
    return {
        name: Measured(
            sum(parameter.numel() for parameter in training.network.parameters()),
            median(steps[name]) * training.steps(clips),
            taken_by[name],
        )
        for name, training in trainings.items()
    }


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def uar(folder: Path, name: str) -> tuple[float, int, str] | None:
    """Mean over the seeds of a row, how many, and the split; five folds where they are there, one split otherwise."""
    for split in ("kfold", "speaker"):
        place = folder / split / name
        if place.is_dir():
            runs = find_runs([place])
            return mean(run["test"]["uar"] for run in runs), len(runs), split
    return None


def lines(measured: dict[str, Measured], svm: Measured | None, folder: Path) -> Iterator[list[str]]:
    """Of the table."""
    for name, row in [*measured.items(), *([(SVM, svm)] if svm else [])]:
        found = uar(folder, name)
        times = sorted(row.answers)
        yield [
            ROWS.get(name, "openSMILE ComParE_2016 → SVM"),
            f"{row.parameters:,}",
            f"{row.training / 60:.1f}",
            "–" if found is None else f"{found[0]:.3f} ({found[2]}, {found[1]} seed{'s' if found[1] > 1 else ''})",
            f"{1000 * median(times):.1f}" if times else "–",
        ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: %(prog)s docs/results/crema_d --train 5077 dataset=crema_d",
    )
    parser.add_argument("results", type=Path, help="folder of results: SPLIT/ROW/SEED/metrics.json")
    parser.add_argument("words", nargs="+", help="as train.py takes them, for the corpus: dataset=NAME, dataset.root=…")
    parser.add_argument("--train", type=int, default=5077, help="clips of a whole training, by default %(default)s")
    parser.add_argument("--rounds", type=int, default=20, help="steps and answers to time, by default %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured there, too")
    options = parser.parse_args()
    if options.rounds < 1 or options.train < 1:
        parser.error("--rounds and --train must be 1 or more")
    try:
        measured = measure(options.words, options.train, options.rounds)
        svm = None
        if (kept := options.results / "kfold" / SVM).is_dir():
            (run,) = find_runs([kept])
            took = [run["answer_seconds"]] if "answer_seconds" in run else []
            svm = Measured(run["parameters"]["trainable"], run["seconds"] / run["split"]["folds"], took)
        table = list(lines(measured, svm, options.results))
    except (UserError, HydraException, OSError) as error:
        sys.exit(f"error: {error}")
    shown = Table("words of train.py", "parameters", "training, min", "UAR, speakers apart", "answer, ms")
    for line in table:
        shown.add_row(*line)
    console.print(shown)
    if options.json:
        told: dict[str, Any] = {name: vars(row) for name, row in measured.items()}
        options.json.write_text(json.dumps(told | ({SVM: vars(svm)} if svm else {}), indent=1) + "\n")


if __name__ == "__main__":
    main()
