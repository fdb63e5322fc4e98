"""A run folder: what is written to it, and whether a run has ended there."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from ser.errors import UserError
from ser.evaluation import Answers, write_answers
from ser.files import refuse_overwriting, replacing, write_text
from ser.results.cards import data_card, model_card
from ser.results.choices import flat, read_choices, write_choices
from ser.results.figures import confusion_figure, groups_figure
from ser.results.page import run_page
from ser.results.record import RunRecord

WRITTEN = (
    "metrics.json", "predictions.csv", "confusion_matrix.csv", "confusion_matrix.png", "groups.png", "config.yaml",
    "page.html", "model_card.md", "data_card.md",
)  # fmt: skip
"""What ``write`` leaves in a folder."""


def write(
    folder: Path,
    cfg: dict[str, Any],
    record: RunRecord,
    answers: Answers,
    loggers: Sequence[Logger] = (),
    sounds: Mapping[str, Path] | None = None,
) -> None:
    """Write ``metrics.json``, ``predictions.csv``, ``confusion_matrix.csv``, figures, ``config.yaml``; log scores.

    Results of a training also get ``model_card.md`` and ``data_card.md``; an evaluation and pooled folds made no model.

    Args:
        folder: The run folder.
        cfg: The composed choices.
        record: What ``metrics.json`` holds.
        answers: What the network said of each test clip.
        loggers: Loggers for the scores of the test, and the hyper-parameters with the final scores.
        sounds: Where the test clips lie, by name, for the page.

    Raises:
        WriteError: The folder can't be written to, or the disk is full. There is no ``metrics.json`` then, and no file
            is half written.
    """
    page = run_page(cfg, record, answers, sounds or {})
    write_choices(folder, cfg)
    with replacing(folder / "predictions.csv") as file:
        write_answers(file, answers)
    labels, counts = record.confusion_matrix["labels"], record.confusion_matrix["counts"]
    with replacing(folder / "confusion_matrix.csv") as file, file.open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow(["true \\ predicted", *labels])
        table.writerows([label, *row] for label, row in zip(labels, counts, strict=True))
    title = f"{record.title}, test accuracy {record.test['accuracy']:.3f}"
    with replacing(folder / "confusion_matrix.png") as file:
        confusion_figure(np.array(counts), labels, title).savefig(file, dpi=150)
    if record.groups:
        with replacing(folder / "groups.png") as file:
            groups_figure(record.groups, record.test["uar"]).savefig(file, dpi=150)
    else:  # of an earlier evaluation into the same folder
        (folder / "groups.png").unlink(missing_ok=True)
    texts = {"page.html": page}
    if record.data:
        texts |= {"model_card.md": model_card(cfg, record), "data_card.md": data_card(cfg, record)}
    (folder / "report.html").unlink(missing_ok=True)  # the page's name in earlier versions
    for name, text in texts.items():
        write_text(folder / name, text)
    final = {f"final/{name}": value for name, value in record.test.items()}
    before = {"loss": record.calibration["test_loss_before"]} if loggers else {}  # with the logits as they came
    tested = {f"test/{name}": value for name, value in {**record.test, **before}.items()}
    for logger in loggers:
        logger.log_metrics(tested, step=len(record.history))
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(flat(cfg), final)
        else:
            logger.log_hyperparams(flat(cfg))
        logger.finalize("success")
    record.write(folder / "metrics.json")  # the last of all, since a folder with it counts as done


def refuse_run_folders(out: Path, folders: Iterable[Path], inputs: Iterable[Path] = ()) -> None:
    """Refuse to ``write`` to ``out`` where that would overwrite the results of the run folders that are read.

    Args:
        out: The folder for results, ``--out``.
        folders: Folders of runs that are read.
        inputs: Further files that are read.

    Raises:
        UserError: It would; nothing was written.
    """
    read = [folder / name for folder in folders for name in WRITTEN]
    refuse_overwriting([("--out", out / name) for name in WRITTEN], [*read, *inputs])


def results_of(folder: Path, cfg: dict[str, Any]) -> RunRecord | None:
    """The record of the run in ``folder``, or None where no run has ended there.

    Raises:
        UserError: A run with other choices has ended there, or one of its files is broken.
    """
    metrics = folder / "metrics.json"
    if not metrics.is_file():
        return None
    if not (folder / "config.yaml").is_file() or read_choices(folder) != cfg:
        raise UserError(f"{folder} holds a run with other choices: set hydra.run.dir= or hydra.sweep.dir= to a new one")
    return RunRecord.read(metrics)


def place_for(out: Path, name: str, taken: set[Path]) -> Path:
    """Choose a folder ``name`` in ``out``, with a number behind it where that is ``taken``, and add it to ``taken``.

    What is no letter or digit becomes an underscore.
    """
    plain = re.sub(r"\W+", "_", name)
    names = (plain if number == 1 else f"{plain}_{number}" for number in count(1))
    folder = next(place for one in names if (place := out / one) not in taken)
    taken.add(folder)
    return folder
