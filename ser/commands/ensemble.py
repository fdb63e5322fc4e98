"""Runs of several seeds → one model: ``python scripts/ensemble.py outputs/multirun/2026-01-31/12-00-00``.

Takes the runs below the folders. Those that differ in nothing but their seed are joined: the model's probabilities are
the mean of theirs. It is calibrated on their validation clips, tested on their test clips, and left as a folder like a
run's, which all other commands take. Several sets of such runs, as the folds of a sweep, get a folder each.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from ser.calibration import calibrate, calibration_report
from ser.checkpoint import find_checkpoint
from ser.cli import command_parser, errors_in_words
from ser.enrolment import Enrolment, Heard
from ser.ensemble import join_checkpoints
from ser.errors import UserError
from ser.evaluation import answers_about, beside, enrolment_of
from ser.recognizer import Recognizer
from ser.results import (
    GIT_REVISION,
    check_results,
    console,
    find_runs,
    place_for,
    read_choices,
    refuse_run_folders,
    scored,
    show,
    started_as,
    versions,
    write,
)
from ser.scoring import answer_all, answered, trial_of
from ser.screen import escape

ALONE = ("history", "last_epoch", "members")
"""What results tell of one training."""

_HELD: dict[str, type | tuple[type, ...]] = {
    "seed": int,
    "dataset.skipped": list,
    "dataset.remarks": dict,
    "dataset.synthetic": bool,
    "labels.left_out": dict,
    "parameters.trainable": int,
    "parameters.total": int,
    "seconds": (int, float),
    "checkpoint.epoch": int,
    "git": object,
}
"""What a member's ``metrics.json`` tells beside what all tell."""


def seed_sets(runs: Sequence[dict[str, Any]]) -> tuple[list[list[dict[str, Any]]], list[dict[str, Any]]]:
    """Trainings, those together that differ in nothing but their seed; and those of which there is one alone.

    Raises:
        UserError: There are none such, or a seed is there twice.
    """
    same: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        if "history" in run:  # pooled folds and evaluations have no network
            check_results(run, run["file"], _HELD)
            choices = {**read_choices(Path(run["file"]).parent), "seed": None}
            same[json.dumps([choices, run["split"]["hash"]], sort_keys=True)].append(run)
    sets = [sorted(found, key=lambda run: run["seed"]) for found in same.values() if len(found) > 1]
    if not sets:
        raise UserError("no two runs here differ in nothing but their seed: make them by a sweep, -m … seed=1,2,3")
    for found in sets:
        if len({run["seed"] for run in found}) < len(found):
            raise UserError(f"a seed is there twice: {', '.join(run['file'] for run in found)}; give one of them")
    return sets, [found[0] for found in same.values() if len(found) == 1]


def ensemble(runs: Sequence[dict[str, Any]], folder: Path, command: list[str], device: str = "cpu") -> dict[str, Any]:
    """Join the networks of runs that differ in their seed, score the result on ``device``, leave it in ``folder``.

    Raises:
        UserError: A checkpoint can't be used, or the corpus is not what it was.
    """
    homes = [Path(run["file"]).parent for run in runs]
    refuse_run_folders(folder, homes)
    joined = join_checkpoints([find_checkpoint(home) for home in homes])
    with TemporaryDirectory() as place:
        joined.write(unfinished := Path(place) / "ensemble.ckpt")
        recognizer = Recognizer.load(unfinished, device)
    first, cfg = runs[0], read_choices(homes[0])
    cfg["seed"] = [run["seed"] for run in runs]

    enrolled, voice = enrolment_of(first) == "all", cfg["dataset"].get("voice", "speaker")
    sides = {}
    for side in ("val", "test"):
        trial = trial_of(cfg, side, [recognizer])
        if trial.split.hash != first["split"]["hash"]:
            raise UserError(
                f"dataset={cfg['dataset']['name']} is not what it was when {homes[0]} was trained: its split has the "
                f"hash {trial.split.hash}, and not {first['split']['hash']}"
            )
        if enrolled:
            heard = Heard.of(recognizer, trial.clips, trial.at(recognizer.sample_rate), trial.labels, voice)
            found = heard.answers(Enrolment(None)).probabilities
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

    results = {
        **{name: value for name, value in first.items() if name not in (*ALONE, "file")},
        "model": f"{first['model']} × {len(runs)}",
        "members": [{name: run[name] for name in ("seed", "command", "git")} for run in runs],
        "parameters": {name: sum(run["parameters"][name] for run in runs) for name in ("trainable", "total")},
        "seed": None,
        "checkpoint": {"tested": checkpoint.stem, "epoch": ", ".join(str(run["checkpoint"]["epoch"]) for run in runs)},
        "calibration": calibration_report(calibration, len(sides["val"][2]), logits, targets),
        "seconds": round(sum(run["seconds"] for run in runs), 1),
        "versions": versions(),
        "git": GIT_REVISION,
        "command": command,
        **scored(answers),
    }
    if enrolled:
        none = heard.answers(Enrolment(0)).of(np.flatnonzero(finite))  # heard last: the test side
        results["enrolment"] = {**first["enrolment"], "beside": {"none": beside(none)}}
    write(folder, cfg, results, answers, sounds={clip.name: clip.path for clip in trial.clips})
    return results


def main() -> None:
    """Join, print and write each set of runs."""
    parser = command_parser(__doc__, "outputs/RUN_A outputs/RUN_B --out outputs/BOTH")
    parser.add_argument("paths", nargs="+", type=Path, help="run folders, or folders that hold them, as a sweep's")
    parser.add_argument("--out", type=Path, help="folder for the results; by default ensemble/ in the first path")
    parser.add_argument("--device", default="cpu", help="where the network answers, as torch names it")
    options = parser.parse_args()
    command = [*started_as("scripts/ensemble.py"), *sys.argv[1:]]
    with errors_in_words():
        sets, alone = seed_sets(find_runs(options.paths))
        for run in alone:
            console.print(f"left out, for no other run has another seed alone: {escape(run['file'])}", soft_wrap=True)
        out = options.out or options.paths[0] / "ensemble"
        taken: set[Path] = set()
        for runs in sets:
            fold = runs[0]["split"].get("fold")
            name = f"{runs[0]['dataset']['name']}_{runs[0]['features']}_{runs[0]['model']}"
            folder = place_for(out, name if fold is None else f"{name}_fold{fold}", taken) if len(sets) > 1 else out
            show(ensemble(runs, folder, command, options.device), folder)
