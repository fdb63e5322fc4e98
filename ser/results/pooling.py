"""Folds of one recipe → one result: their answers together, scored as one test set with intervals over all speakers."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from ser.errors import UserError
from ser.evaluation import Answers, join, read_answers, scored
from ser.results.choices import read_choices
from ser.results.folder import place_for, refuse_run_folders, write
from ser.results.record import RunRecord

FOLDED = ("kfold", "loso")

KEPT = (
    *("row", "dataset", "features", "model", "recipe", "parameters", "seed", "precision", "labels", "members"),
    *("versions", "git"),
)
"""What a pooled record has from its first fold."""


def recipes(runs: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """Group the fold runs that differ in nothing but ``split.fold`` and the checkpoint that each started from.

    Sets of folds from different starts can't be distinguished, and need one call each.

    Raises:
        UserError: There is no fold run.
    """
    same: dict[tuple[Any, ...], list[RunRecord]] = defaultdict(list)
    for run in runs:
        if run.split["name"] in FOLDED and run.split.get("fold") != "pooled":
            # Each fold of a corpus may have a start of its own.
            start = run.recipe.choices.get("init_from") is not None
            same[run.recipe.without("init_from"), start, run.features, run.model, run.seeds].append(run)
    if not same:
        raise UserError(
            "no run with split=kfold or split=loso among these: make them by a sweep, "
            "-m split=kfold split.fold=0,1,2,3,4"
        )
    return list(same.values())


def pool(runs: Sequence[RunRecord]) -> tuple[RunRecord, Answers]:
    """All folds of a recipe → their record as one test set, and the answers.

    Raises:
        UserError: A fold is there twice, or some are missing.
    """
    runs = sorted(runs, key=lambda run: (isinstance(run.split["fold"], str), run.split["fold"]))
    answers = join([read_answers(run.folder / "predictions.csv") for run in runs])
    first = runs[0]
    whole = first.dataset["clips"]
    if len(answers.clips) != whole:
        folds = ", ".join(str(run.split["fold"]) for run in runs)
        raise UserError(
            f"the folds {folds} of {first.title} test {len(answers.clips):,} of {whole:,} "
            f"clips: run the missing ones, too ({first.folder} is one of them)"
        )
    hashes = "".join(run.split["hash"] for run in runs)
    # Folds by speaker test different speakers, others may all test the same ones.
    known = [run.split["test_speakers_heard_before"] for run in runs]
    seen = None if None in known else min(sum(known), first.dataset["speakers"])
    answered = all(run.answer_seconds is not None for run in runs)
    independent = seen == 0 and all(run.split["test_speakers"] for run in runs)
    leakages = f"By fold: {' '.join(run.split['leakage'] for run in runs)}"
    return RunRecord(
        **{name: getattr(first, name) for name in KEPT},
        split={
            **first.split,
            "fold": "pooled",
            "folds": len(runs),
            "hash": hashlib.sha256(hashes.encode()).hexdigest()[:12],
            "clips": {"test": len(answers.clips)},
            "test_speakers": first.dataset["speakers"],
            "test_speakers_heard_before": seen,
            "leakage": "Each fold tests speakers that it has not seen." if independent else leakages,
        },
        checkpoint={
            "tested": ", ".join(dict.fromkeys(run.checkpoint["tested"] for run in runs)),
            "epoch": None
            if first.checkpoint["epoch"] is None
            else ", ".join(str(run.checkpoint["epoch"]) for run in runs),
        },
        folds=[{"fold": run.split["fold"], "hash": run.split["hash"], **run.test} for run in runs],
        enrolment={name: value for name, value in first.enrolment.items() if name in ("scored", "voice")},
        seconds=sum(run.seconds or 0 for run in runs),
        answer_seconds=median(run.answer_seconds or 0 for run in runs) if answered else None,
        command=[word for word in first.command or [] if not word.startswith("split.fold=")] or None,
        **scored(answers),
    ), answers


def pool_into(out: Path, runs: Sequence[RunRecord], taken: set[Path]) -> tuple[RunRecord, Path]:
    """Pool the folds of a recipe and write the result to a folder of its own below ``out``.

    Args:
        out: Where the folder goes.
        runs: All folds.
        taken: Folders of recipes before this one; the new one is added.

    Returns:
        The record, and its folder.

    Raises:
        UserError: The folds do not go together, or the folder is one of theirs.
    """
    record, answers = pool(runs)
    seed = "" if record.seed is None else f"_seed{record.seed}"
    folder = place_for(out, f"{record.dataset['name']}_{record.features}_{record.model}{seed}", taken)
    refuse_run_folders(folder, [run.folder for run in runs])
    folder.mkdir(parents=True, exist_ok=True)
    choices = read_choices(runs[0].folder)
    choices["split"]["fold"] = "pooled"
    write(folder, choices, record, answers)
    return record, folder
