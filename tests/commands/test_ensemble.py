import csv
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ser.results
from ser.checkpoint import Checkpoint, find_checkpoint
from ser.commands import ensemble
from ser.errors import UserError
from ser.evaluation import read_answers
from ser.inference import joining
from ser.models.ensemble import Ensemble, join_checkpoints
from ser.recognizer import Recognizer
from ser.results import find_runs, pooling
from ser.results.leaderboard import gather, table
from ser.train import run
from tests.helpers import QUICK, composed

FOLDS = ("split=kfold", "split.folds=2", "split.val=0.3")
SEEDS = (1, 2)


@pytest.fixture(scope="module")
def sweep(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folds of two seeds each, a run folder ``FOLD/SEED`` each."""
    root = tmp_path_factory.mktemp("sweep")
    for fold in (0, 1):
        for seed in SEEDS:
            words = ["dataset=manifest", f"dataset.root={people}", *FOLDS, f"split.fold={fold}", f"seed={seed}"]
            with ser.results.console.capture():
                run(composed(*words, *QUICK, "trainer.max_epochs=2"), root / f"{fold}/{seed}", ["python", "t", *words])
    return root


@pytest.fixture(scope="module")
def joined(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the script makes of them: a folder for each fold."""
    out = tmp_path_factory.mktemp("joined")
    with pytest.MonkeyPatch.context() as patch, ser.results.console.capture():
        patch.setattr(sys, "argv", ["ensemble.py", str(sweep), "--out", str(out)])
        ensemble.main()
    return out


def of_fold(folder: Path, fold: int) -> Path:
    """The ensemble that was tested on a fold."""
    (found,) = (run for run in find_runs([folder]) if run.split["fold"] == fold)
    return found.folder


def softened(probabilities: np.ndarray, temperature: float) -> Tensor:
    return (torch.from_numpy(probabilities).log() / temperature).softmax(1)


@pytest.mark.parametrize("fold", [0, 1])
def test_its_answers_are_the_calibrated_mean_of_its_members(joined: Path, sweep: Path, fold: int) -> None:
    own = of_fold(joined, fold)
    answers = read_answers(own / "predictions.csv")
    members = [read_answers(sweep / f"{fold}/{seed}/predictions.csv") for seed in SEEDS]
    assert [one.clips for one in members] == [answers.clips] * 2
    results = json.loads((own / "metrics.json").read_text(encoding="utf-8"))
    mean = np.mean([one.probabilities for one in members], axis=0)
    assert not np.allclose(members[0].probabilities, members[1].probabilities, atol=1e-3), "else this tests nothing"
    expected = softened(mean, results["calibration"]["temperature"])
    np.testing.assert_allclose(answers.probabilities, expected, atol=1e-5)
    assert results["test"]["accuracy"] == pytest.approx((answers.predicted == answers.true).mean())


def test_its_folder_is_that_of_a_run(joined: Path, sweep: Path, people: Path) -> None:
    own, fold = of_fold(joined, 0), sweep / "0"
    recognizer = Recognizer.load(own)
    assert recognizer.calibration.known
    answers = read_answers(own / "predictions.csv")
    for clip, told in zip(answers.clips[:3], answers.probabilities, strict=False):
        assert list(recognizer(people.parent / clip).values()) == pytest.approx(told.tolist(), abs=1e-5)
    results = json.loads((own / "metrics.json").read_text(encoding="utf-8"))
    single = [json.loads((fold / f"{seed}/metrics.json").read_text(encoding="utf-8")) for seed in SEEDS]
    assert results["split"] == single[0]["split"]
    assert results["parameters"]["trainable"] == 2 * single[0]["parameters"]["trainable"]
    assert [member["seed"] for member in results["members"]] == list(SEEDS)
    assert [member["command"] for member in results["members"]] == [one["command"] for one in single]
    assert results["command"][:2] == ["python", "scripts/ensemble.py"]
    card = (own / "model_card.md").read_text(encoding="utf-8")
    epochs = ", ".join(str(one["checkpoint"]["epoch"]) for one in single)
    assert (
        f"- 2 networks of the seeds 1, 2, whose probabilities are averaged; of the epochs {epochs}; precision" in card
    )
    assert "Tested: `ensemble.ckpt`." in card
    assert Checkpoint.read(find_checkpoint(own)).seen == Checkpoint.read(find_checkpoint(fold / "1")).seen


def test_folds_of_ensembles_are_pooled_and_get_a_row_of_their_own(joined: Path, sweep: Path) -> None:
    (folds,) = pooling.recipes(find_runs([joined]))
    results, answers = pooling.pool(folds)
    parts = [read_answers(of_fold(joined, fold) / "predictions.csv") for fold in (0, 1)]
    assert answers.clips == [clip for part in parts for clip in part.clips]
    single = [pooling.pool(recipe)[0] for recipe in pooling.recipes(find_runs([sweep]))]
    boards = gather([replace(one, file=Path(str(number))) for number, one in enumerate([results, *single])])
    (alone, both) = table(boards[0], boards)
    assert (alone["run"], alone["remarks"]) == (both["run"].replace(" × 2", ""), "2 seeds")
    assert both["run"].startswith("energy_zcr → cnn1d × 2")
    assert both["accuracy"] == f"{(answers.predicted == answers.true).mean():.3f}"


def test_runs_that_differ_in_more_than_their_seed_are_not_joined(sweep: Path, joined: Path) -> None:
    with pytest.raises(UserError, match="no two runs here differ in nothing but their seed"):
        joining.seed_sets(find_runs([sweep / "0/1", sweep / "1/2", joined]))
    with pytest.raises(UserError, match="a seed is there twice"):
        joining.seed_sets([*find_runs([sweep / "0"]), *find_runs([sweep / "0/2"])])
    (found,), (alone,) = joining.seed_sets(find_runs([sweep / "0", sweep / "1/1"]))
    assert [one.seed for one in found] == [1, 2]
    assert str(alone.file) == str(sweep / "1/1/metrics.json")


def test_a_run_without_another_seed_is_told_of_and_folds_name_the_folders(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[Path] = []
    monkeypatch.setattr(joining, "ensemble", lambda runs, folder, command, device: made.append(folder))
    monkeypatch.setattr(ser.results, "show", lambda results, folder: None)
    monkeypatch.setattr(sys, "argv", ["ensemble.py", *map(str, (sweep / "0", sweep / "1/2")), "--out", str(tmp_path)])
    ensemble.main()
    said = "".join(capsys.readouterr().out.split())
    assert f"leftout,fornootherrunhasanotherseedalone:{sweep / '1/2/metrics.json'}" in said
    monkeypatch.setattr(sys, "argv", ["ensemble.py", str(sweep), "--out", str(tmp_path)])
    ensemble.main()
    assert made == [tmp_path, *(tmp_path / f"manifest_energy_zcr_cnn1d_fold{fold}" for fold in (0, 1))]


Change = Callable[[dict[str, Any]], None]


def other_labels(kept: dict[str, Any]) -> None:
    kept["ser"]["labels"] = ["anger", "calm", "sad"]


def other_clips(kept: dict[str, Any]) -> None:
    kept["ser"]["normalizer"]["mean"] += 1


def other_format(kept: dict[str, Any]) -> None:
    kept["ser"]["format"] = 1


@pytest.mark.parametrize(
    ("change", "words"),
    [(other_labels, "has other labels than"), (other_clips, "has learnt from other clips"), (other_format, "format 1")],
)
def test_checkpoints_that_do_not_go_together_are_refused(
    sweep: Path, tmp_path: Path, change: Change, words: str
) -> None:
    first, second = (find_checkpoint(sweep / f"0/{seed}") for seed in SEEDS)
    kept = torch.load(second, weights_only=True)
    change(kept)
    torch.save(kept, tmp_path / "changed.ckpt")
    with pytest.raises(UserError, match=rf"changed\.ckpt .*{words}"):
        join_checkpoints([first, tmp_path / "changed.ckpt"])


def test_an_ensemble_of_one_and_the_same_is_that_network(sweep: Path, tmp_path: Path) -> None:
    checkpoint = find_checkpoint(sweep / "0/1")
    join_checkpoints([checkpoint, checkpoint]).write(tmp_path / "twice.ckpt")
    twice, once = Recognizer.load(tmp_path / "twice.ckpt"), Recognizer.load(checkpoint)
    assert isinstance(twice.network, Ensemble)
    sound = np.random.default_rng(0).standard_normal(8_000).astype(np.float32) / 10
    assert twice(sound, 16_000) == pytest.approx(once(sound, 16_000), abs=1e-6)


def test_a_corpus_that_has_changed_is_refused(sweep: Path, people: Path, tmp_path: Path) -> None:
    for seed in SEEDS:
        shutil.copytree(sweep / f"0/{seed}", tmp_path / f"runs/{seed}")
    rows = list(csv.reader(people.read_text(encoding="utf-8").splitlines()))
    fewer = people.with_name("fewer.csv")
    fewer.write_text("\n".join(",".join(row) for row in rows[:-3]), encoding="utf-8")
    for seed in SEEDS:
        config = tmp_path / f"runs/{seed}/config.yaml"
        config.write_text(config.read_text(encoding="utf-8").replace(str(people), str(fewer)), encoding="utf-8")
    with pytest.raises(UserError, match=r"is not what it was when .* was trained: its split has the hash"):
        joining.ensemble(find_runs([tmp_path / "runs"]), tmp_path / "out", [])
    assert not (tmp_path / "out").exists()


def test_errors_end_in_a_sentence(sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words, told in (
        ([str(sweep / "0/1")], "no two runs here"),
        ([str(sweep / "0"), "--device", "nonsense"], "device=nonsense can't be used"),
    ):
        monkeypatch.setattr(sys, "argv", ["ensemble.py", *words, "--out", str(tmp_path / "out")])
        with pytest.raises(SystemExit, match=rf"^error: {told}"):
            ensemble.main()
    assert not list(tmp_path.iterdir())
