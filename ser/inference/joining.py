"""Runs of several seeds → one model, whose probabilities are the mean of theirs."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from ser.checkpoint import find_checkpoint
from ser.errors import UserError
from ser.evaluation import answers_about, beside, enrolment_of, scored
from ser.evaluation.calibration import calibrate, calibration_report
from ser.inference.enrolment import Enrolment, ExtractedClips
from ser.inference.scoring import answer_all, answered, trial_of
from ser.models.ensemble import join_checkpoints
from ser.recognizer import Recognizer
from ser.results import RunRecord, made_by, read_choices, refuse_run_folders, write


def seed_sets(runs: Sequence[RunRecord]) -> tuple[list[list[RunRecord]], list[RunRecord]]:
    """Group trainings that differ only in their seed; return the groups, and the trainings that have no other.

    Raises:
        UserError: There is no such group, or a seed is there twice.
    """
    same: dict[tuple[str, str], list[RunRecord]] = defaultdict(list)
    for run in runs:
        if run.history:  # pooled folds and evaluations have no network
            same[run.recipe.without(), run.split["hash"]].append(run)
    sets = [sorted(found, key=_seed) for found in same.values() if len(found) > 1]
    if not sets:
        raise UserError("no two runs here differ in nothing but their seed: make them by a sweep, -m … seed=1,2,3")
    for found in sets:
        if len({run.seed for run in found}) < len(found):
            raise UserError(f"a seed is there twice: {', '.join(str(run.file) for run in found)}; give one of them")
    return sets, [found[0] for found in same.values() if len(found) == 1]


def _seed(run: RunRecord) -> int:
    if run.seed is None:
        raise UserError(f"{run.file} does not tell its seed: join trainings of several seeds")
    return run.seed


def ensemble(runs: Sequence[RunRecord], folder: Path, command: list[str], device: str = "cpu") -> RunRecord:
    """Join the networks of runs that differ in their seed, score the result on ``device``, leave it in ``folder``.

    Raises:
        UserError: A checkpoint can't be used, or the corpus is not what it was.
    """
    homes = [run.folder for run in runs]
    refuse_run_folders(folder, homes)
    joined = join_checkpoints([find_checkpoint(home) for home in homes])
    with TemporaryDirectory() as place:
        joined.write(unfinished := Path(place) / "ensemble.ckpt")
        recognizer = Recognizer.load(unfinished, device)
    first, cfg = runs[0], read_choices(homes[0])
    cfg["seed"] = [run.seed for run in runs]

    enrolled = enrolment_of(first.enrolment) == "all"
    sides = {}
    for side in ("val", "test"):
        trial = trial_of(cfg, side, [recognizer])
        if trial.split.hash != first.split["hash"]:
            raise UserError(
                f"dataset={cfg['dataset']['name']} is not what it was when {homes[0]} was trained: its split has the "
                f"hash {trial.split.hash}, and not {first.split['hash']}"
            )
        if enrolled:
            extracted = ExtractedClips.of(recognizer, trial)
            found = extracted.answers(Enrolment(None)).probabilities
        else:
            found = answer_all(recognizer, trial)
        trial, finite = answered(trial, [found])
        table = answers_about(trial.clips, trial.labels, found[finite])
        sides[side] = trial, torch.from_numpy(table.probabilities).log(), torch.from_numpy(table.true)
    _, logits, targets = sides["val"]
    calibration = calibrate(logits, targets)
    checkpoint = folder / "checkpoints" / "ensemble.ckpt"
    joined.with_calibration(calibration).write(checkpoint)
    trial, logits, targets = sides["test"]
    probabilities = calibration.apply(logits).softmax(1)
    answers = answers_about(trial.clips, trial.labels, np.asarray(probabilities))

    record = replace(
        first,
        model=f"{first.model} × {len(runs)}",
        members=[{"seed": run.seed, "command": run.command, "git": run.git} for run in runs],
        parameters={name: sum(run.parameters[name] for run in runs) for name in ("trainable", "total")},
        seed=None,
        checkpoint={"tested": checkpoint.stem, "epoch": ", ".join(str(run.checkpoint["epoch"]) for run in runs)},
        calibration=calibration_report(calibration, len(sides["val"][2]), logits, targets),
        seconds=round(sum(run.seconds or 0 for run in runs), 1),
        **made_by(command),
        last_epoch={},  # as there are many trainings
        history=[],
        **scored(answers),
    )
    if enrolled:
        none = extracted.answers(Enrolment(0)).of(np.flatnonzero(finite))  # of the last side, test
        record = replace(record, enrolment={**first.enrolment, "beside": {"none": beside(none)}})
    write(folder, cfg, record, answers, sounds={clip.name: clip.path for clip in trial.clips})
    return record
