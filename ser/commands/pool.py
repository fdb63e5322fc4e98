"""Folds → one result: ``python scripts/pool.py outputs/multirun/2026-01-31/12-00-00``.

Takes the runs of ``split=kfold`` or ``split=loso`` below the folders, puts the answers of all folds of a recipe
together and scores them as one test set, with intervals over all its speakers. Each recipe gets a folder below
``pooled`` in the first path, with the files that a run leaves.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median, stdev
from types import NoneType
from typing import Any

from ser.cli import command_parser, errors_in_words
from ser.errors import UserError
from ser.evaluation import SCORES, Answers, join, read_answers
from ser.results import (
    check_results,
    console,
    find_runs,
    place_for,
    read_choices,
    refuse_run_folders,
    scored,
    show,
    write,
)

FOLDED = ("kfold", "loso")

_HELD: dict[str, type | tuple[type, ...]] = {
    "dataset.clips": int,
    "dataset.speakers": int,
    "parameters": dict,
    "precision": str,
    "dataset.skipped": list,
    "dataset.remarks": dict,
    "dataset.synthetic": bool,
    "labels.left_out": dict,
    "split.fold": (int, str),
    "split.leakage": str,
    "checkpoint.tested": str,
    "checkpoint.epoch": (int, str, NoneType),
    "seconds": (int, float),
    "versions": dict,
    "git": object,
}
"""What a fold's ``metrics.json`` tells beside what all tell."""


def recipes(runs: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Fold runs, those together that differ in nothing but ``split.fold`` and the checkpoint that each started from.

    Sets of folds from different starts can't be told apart, and take a call each.

    Raises:
        UserError: There is no fold run.
    """
    same: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        if run["split"]["name"] in FOLDED and run["split"].get("fold") != "pooled":
            check_results(run, run["file"], _HELD)
            choices = read_choices(Path(run["file"]).parent)
            choices["split"].pop("fold", None)
            # Folds of one corpus may each have a start of their own.
            choices["init_from"] = choices["init_from"] is not None
            same[json.dumps(choices, sort_keys=True)].append(run)
    if not same:
        raise UserError(
            "no run with split=kfold or split=loso among these: make them by a sweep, "
            "-m split=kfold split.fold=0,1,2,3,4"
        )
    return list(same.values())


def pool(runs: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], Answers]:
    """All folds of a recipe → what ``metrics.json`` holds, and the answers.

    Raises:
        UserError: A fold is there twice, or some are missing.
    """
    runs = sorted(runs, key=lambda run: (isinstance(run["split"]["fold"], str), run["split"]["fold"]))
    answers = join([read_answers(Path(run["file"]).with_name("predictions.csv")) for run in runs])
    first = runs[0]
    whole = first["dataset"]["clips"]
    if len(answers.clips) != whole:
        folds = ", ".join(str(run["split"]["fold"]) for run in runs)
        raise UserError(
            f"the folds {folds} of {first['features']} → {first['model']} test {len(answers.clips):,} of {whole:,} "
            f"clips: run the missing ones, too ({Path(first['file']).parent} is one of them)"
        )
    hashes = "".join(run["split"]["hash"] for run in runs)
    # Of folds by speaker each has its own, of others all may have the same.
    known = [run["split"]["test_speakers_heard_before"] for run in runs]
    heard = None if None in known else min(sum(known), first["dataset"]["speakers"])
    trained = first["checkpoint"]["epoch"] is not None
    answered = all("answer_seconds" in run for run in runs)
    apart = heard == 0 and all(run["split"]["test_speakers"] for run in runs)
    return {
        **{key: first[key] for key in ("row", "dataset", "features", "model", "parameters", "seed", "precision")},
        "labels": first["labels"],
        "split": {
            **first["split"],
            "fold": "pooled",
            "folds": len(runs),
            "hash": hashlib.sha256(hashes.encode()).hexdigest()[:12],
            "clips": {"test": len(answers.clips)},
            "test_speakers": first["dataset"]["speakers"],
            "test_speakers_heard_before": heard,
            "leakage": "Each fold tests speakers that it has not heard."
            if apart
            else f"By fold: {' '.join(run['split']['leakage'] for run in runs)}",
        },
        "checkpoint": {
            "tested": ", ".join(dict.fromkeys(run["checkpoint"]["tested"] for run in runs)),
            "epoch": ", ".join(str(run["checkpoint"]["epoch"]) for run in runs) if trained else None,
        },
        "folds": [{"fold": run["split"]["fold"], "hash": run["split"]["hash"], **run["test"]} for run in runs],
        **({"members": first["members"]} if first.get("members") else {}),
        **(
            {"enrolment": {name: first["enrolment"][name] for name in ("scored", "voice")}}
            if "enrolment" in first
            else {}
        ),
        "seconds": sum(run["seconds"] for run in runs),
        **({"answer_seconds": median(run["answer_seconds"] for run in runs)} if answered else {}),
        "versions": first["versions"],
        "git": first["git"],
        "command": [word for word in first["command"] or [] if not word.startswith("split.fold=")] or None,
        **scored(answers),
    }, answers


def main() -> None:
    """Pool, print and write each recipe."""
    parser = command_parser(__doc__, "outputs/folds")
    parser.add_argument("paths", nargs="+", type=Path, help="run folders, or folders that hold them, as a sweep's")
    parser.add_argument("--out", type=Path, help="folder for the results; by default pooled/ in the first path")
    options = parser.parse_args()
    with errors_in_words():
        taken: set[Path] = set()
        for runs in recipes(find_runs(options.paths)):
            results, answers = pool(runs)
            seed = "" if results["seed"] is None else f"_seed{results['seed']}"
            name = f"{results['dataset']['name']}_{results['features']}_{results['model']}{seed}"
            out = options.out or options.paths[0] / "pooled"
            folder = place_for(out, name, taken)
            refuse_run_folders(folder, [Path(run["file"]).parent for run in runs])
            folder.mkdir(parents=True, exist_ok=True)
            choices = read_choices(Path(runs[0]["file"]).parent)
            choices["split"]["fold"] = "pooled"
            write(folder, choices, results, answers)
            show(results, folder)
            for score in SCORES:
                values = [fold[score] for fold in results["folds"]]
                spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
                console.print(f"{score} over {len(values)} folds: mean {mean(values):.3f}{spread}")
