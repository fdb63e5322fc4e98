import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from ser.errors import UserError
from ser.evaluation import Answers, read_answers, write_answers
from ser.results import find_runs
from ser.results.pooling import pool, recipes

ROOT = Path(__file__).parents[2]
LABELS = ["anger", "happy", "sad"]
FOLDS = 3
CLIPS = 20


def answers(fold: int) -> Answers:
    """Of 20 clips of four speakers, right about half of the time."""
    rng = np.random.default_rng(fold)
    return Answers(
        LABELS,
        [f"{fold}/{i}" for i in range(CLIPS)],
        rng.integers(0, 3, CLIPS),
        rng.dirichlet(np.ones(3), CLIPS),
        {"speaker": [f"{fold}/{i % 4}" for i in range(CLIPS)]},
    )


def fold_run(folder: Path, fold: int, **choices: Any) -> None:
    """A run's folder, as far as pooling reads it."""
    folder.mkdir(parents=True)
    cfg = {"split": {"name": "kfold", "fold": fold, "folds": FOLDS}, "model": {"name": "cnn1d"}, **choices}
    OmegaConf.save(OmegaConf.create(cfg), folder / "config.yaml")
    results = {
        "row": None,
        "dataset": {"name": "mine", "clips": FOLDS * CLIPS, "speakers": 12, "skipped": [], "remarks": {},
                    "synthetic": False, "corpora": {"mine": FOLDS * CLIPS}},
        "labels": {"classes": LABELS, "left_out": {}},
        "split": {**cfg["split"], "hash": f"{fold:012}", "clips": {"test": CLIPS}, "test_speakers": 4,
                  "test_speakers_heard_before": 0, "leakage": ""},
        "features": "energy",
        "model": "cnn1d",
        "parameters": {},
        "seed": 1,
        "precision": "32-true",
        "checkpoint": {"tested": "best", "epoch": fold + 1},
        "test": {"accuracy": 0.1 * fold, "macro_f1": 0.1, "weighted_f1": 0.1, "uar": 0.1, "loss": 1.0},
        "classes": {},
        "seconds": 1.0,
        "versions": {},
        "git": None,
        "command": ["python", "train.py", "split=kfold", f"split.fold={fold}"],
    }  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(results))
    write_answers(folder / "predictions.csv", answers(fold))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for fold in range(FOLDS):
        fold_run(tmp_path / "sweep" / str(fold), fold)
    return tmp_path / "sweep"


def test_pooled_scores_are_those_of_all_clips_together(sweep: Path) -> None:
    (runs,) = recipes(find_runs([sweep]))
    results, table = pool(runs)
    true = np.concatenate([answers(fold).true for fold in range(FOLDS)])
    predicted = np.concatenate([answers(fold).predicted for fold in range(FOLDS)])
    assert len(table.clips) == FOLDS * CLIPS
    assert results.test["accuracy"] == pytest.approx(accuracy_score(true, predicted))
    assert results.test["uar"] == pytest.approx(balanced_accuracy_score(true, predicted))
    assert results.test["macro_f1"] == pytest.approx(f1_score(true, predicted, average="macro"))
    probabilities = np.concatenate([answers(fold).probabilities for fold in range(FOLDS)])
    assert results.test["loss"] == pytest.approx(-np.log(probabilities[np.arange(len(true)), true]).mean(), rel=1e-5)
    assert np.array(results.confusion_matrix["counts"]).sum() == FOLDS * CLIPS
    assert results.intervals["over"] == "12 speakers"
    assert [fold["accuracy"] for fold in results.folds] == pytest.approx([0.0, 0.1, 0.2])
    assert results.split["fold"] == "pooled"
    assert "split.fold=0" not in results.command


def test_what_was_not_trained_by_epochs_has_none_and_tells_the_time_of_an_answer_where_its_folds_do(
    sweep: Path,
) -> None:
    runs = find_runs([sweep])
    for fold, run in enumerate(runs):
        runs[fold] = replace(run, checkpoint={"tested": f"SVM with C = {fold // 2}", "epoch": None})
    pooled, _ = pool(runs)
    assert pooled.checkpoint == {"tested": "SVM with C = 0, SVM with C = 1", "epoch": None}
    assert pooled.answer_seconds is None
    timed = [replace(run, answer_seconds=seconds) for run, seconds in zip(runs, (0.3, 0.1, 0.2), strict=True)]
    assert pool(timed)[0].answer_seconds == 0.2


def test_no_more_speakers_were_heard_than_there_are(sweep: Path) -> None:
    runs = find_runs([sweep])
    for run in runs:
        run.split["test_speakers_heard_before"] = run.dataset["speakers"]
    split = pool(runs)[0].split
    assert split["test_speakers_heard_before"] == split["test_speakers"] > 0


def test_a_missing_and_a_repeated_fold_are_refused(sweep: Path, tmp_path: Path) -> None:
    (runs,) = recipes(find_runs([sweep]))
    with pytest.raises(UserError, match="folds 0, 1 of energy → cnn1d test 40 of 60 clips"):
        pool(runs[:2])
    with pytest.raises(UserError, match="20 clips are tested in two folds"):
        pool([*runs, runs[0]])


def test_recipes_are_pooled_apart_and_other_runs_are_passed_over(sweep: Path) -> None:
    for fold in range(FOLDS):
        fold_run(sweep / f"wide{fold}", fold, model={"name": "wide1d"})
    assert [len(runs) for runs in recipes(find_runs([sweep]))] == [FOLDS, FOLDS]
    single = sweep / "0" / "metrics.json"
    single.write_text(single.read_text().replace('"kfold"', '"speaker"'))
    assert sorted(len(runs) for runs in recipes(find_runs([sweep]))) == [FOLDS - 1, FOLDS]


def test_no_folds_are_an_error(sweep: Path) -> None:
    for file in sweep.rglob("metrics.json"):
        file.write_text(file.read_text().replace('"kfold"', '"speaker"'))
    with pytest.raises(UserError, match="no run with split=kfold or split=loso"):
        recipes(find_runs([sweep]))


def test_the_script_leaves_a_folder_that_other_scripts_read(sweep: Path) -> None:
    ran = subprocess.run([sys.executable, ROOT / "scripts/pool.py", sweep], capture_output=True, text=True, check=True)
    assert "accuracy over 3 folds: mean 0.100 ± 0.100" in ran.stdout
    folder = sweep / "pooled" / "mine_energy_cnn1d_seed1"
    assert len(read_answers(folder / "predictions.csv").clips) == FOLDS * CLIPS
    # A second time the pooled result itself is passed over.
    subprocess.run([sys.executable, ROOT / "scripts/pool.py", sweep], capture_output=True, check=True)
    assert len(list(sweep.glob("pooled/*"))) == 1
    for script, *paths in (("leaderboard", sweep), ("compare", folder, folder)):
        subprocess.run([sys.executable, ROOT / f"scripts/{script}.py", *paths], capture_output=True, check=True)
    assert "3 folds pooled" in (sweep / "leaderboard.md").read_text()
