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
import soundfile
import torch
from torch import Tensor

import ser.results
from ser.checkpoint import Checkpoint, find_checkpoint
from ser.commands import ensemble
from ser.data.audio import read_audio
from ser.errors import UserError
from ser.evaluation import read_answers
from ser.inference import joining
from ser.inference.adapt import adapt
from ser.inference.enrolment import measure_enrolment
from ser.inference.export import export
from ser.inference.scoring import describe_checkpoint
from ser.inference.timeline import OWN, Listener
from ser.models.ensemble import Ensemble, join_checkpoints
from ser.recognizer import JointRecognizer, Recognizer
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


@pytest.fixture(scope="module")
def mixed(sweep: Path, people: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run with other features and voices on fold 0, and what the script makes of it and of a run of the sweep."""
    own, out = tmp_path_factory.mktemp("other"), tmp_path_factory.mktemp("mixed")
    words = ["dataset=manifest", f"dataset.root={people}", *FOLDS, "split.fold=0", "seed=1"]
    other = (*QUICK, "features=mfcc_energy_zcr", "features.normalize=speaker", "trainer.max_epochs=2")
    with pytest.MonkeyPatch.context() as patch, ser.results.console.capture():
        run(composed(*words, *other), own, ["python", "t", *words, *other])
        patch.setattr(sys, "argv", ["ensemble.py", str(sweep / "0/1"), str(own), "--joint", "--out", str(out)])
        ensemble.main()
    return own, out


def test_runs_of_other_features_are_multiplied(mixed: tuple[Path, Path], sweep: Path, people: Path) -> None:
    own, out = mixed
    recognizer = Recognizer.load(out)
    assert isinstance(recognizer, JointRecognizer)
    chosen, recognizer.weights = recognizer.weights, [0.5, 0.7]
    clip = people.parent / read_answers(own / "predictions.csv").clips[0]
    members = [Recognizer.load(run.folder) for run in find_runs([sweep / "0/1", own])]
    place = next(i for i, member in enumerate(members) if member.prior is not None)
    sound = read_audio(clip, recognizer.sample_rate)
    logs = [member.probabilities([sound]).log() for member in members]
    product = sum(weight * one for weight, one in zip(recognizer.weights, logs, strict=True))
    expected = recognizer.calibration.apply(product).softmax(1)[0].tolist()  # type: ignore[arg-type]
    assert list(recognizer(clip).values()) == pytest.approx(expected, abs=1e-6)

    voice = recognizer.enrol([clip])
    assert voice.parts[1 - place] is None
    assert voice.parts[place].frames == members[place].enrol([clip]).frames
    assert voice.clips == 1
    (answer,) = recognizer.answer([clip], voices=voice)
    assert answer.probabilities == recognizer(clip, voice=voice) != recognizer(clip)

    results = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert sorted(results["features"].split(" + ")) == ["energy_zcr", "mfcc_energy_zcr"]
    assert [member["weight"] for member in results["members"]] == chosen
    card = (out / "model_card.md").read_text(encoding="utf-8")
    assert f"mfcc_energy_zcr → cnn1d (seed 1, power {chosen[place]:.3f})" in card
    assert results["enrolment"]["scored"] == "all"
    assert set(results["enrolment"]["beside"]) == {"none"}
    assert len(results["members"]) == 2
    with pytest.raises(UserError, match="this model joins 2 networks"):
        export(recognizer, out / "model.onnx")


def test_what_is_joint_is_evaluated_adapted_and_enrolled(mixed: tuple[Path, Path], people: Path) -> None:
    recognizer = Recognizer.load(mixed[1])
    clips = [people.parent / name for name in read_answers(mixed[0] / "predictions.csv").clips]
    recordings = [read_audio(clip, recognizer.sample_rate) for clip in clips]
    adapted, about = adapt(recognizer, recordings, balanced=True, anyway=True)
    assert isinstance(adapted, JointRecognizer)
    assert about.balanced
    shares = adapted.probabilities(recordings).mean(0)
    before = recognizer.probabilities(recordings).mean(0)
    assert (shares - 1 / 3).abs().max() < (before - 1 / 3).abs().max()
    results = measure_enrolment([mixed[1]], mixed[1] / "curve", ["x"], draws=1)
    assert results["curve"][0]["enrolment"] == "none"
    assert len(results["runs"]) == 1


def test_the_weights_are_those_of_the_greatest_likelihood() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 3, (400,), generator=generator)
    good = torch.nn.functional.one_hot(targets, 3) + torch.randn(400, 3, generator=generator)
    noise = torch.randn(400, 3, generator=generator)
    weights = joining.weights_of([one.log_softmax(1) for one in (good, noise)], targets)
    assert weights[0] > 0.5
    assert weights[1] < 0.1

    def loss(one: float, other: float) -> float:
        joined = one * good.log_softmax(1) + other * noise.log_softmax(1)
        return torch.nn.functional.cross_entropy(joined.double(), targets).item()

    least = loss(*weights)
    assert all(loss(weights[0] + step, weights[1]) >= least - 1e-7 for step in (-0.05, 0.05))
    assert weights[1] == 0 or all(loss(weights[0], weights[1] + step) >= least - 1e-7 for step in (-0.02, 0.02))


def test_one_run_of_a_split_and_what_was_joined_are_not_joined(mixed: tuple[Path, Path], sweep: Path) -> None:
    own, out = mixed
    with pytest.raises(UserError, match="is the only run of its split"):
        joining.joint_sets(find_runs([own]))
    with pytest.raises(UserError, match="was joined already"):
        joining.joint(find_runs([out, own]), out / "again", ["x"])
    (again,) = joining.joint_sets(find_runs([out, own, sweep / "0/1"]))
    assert {run.folder for run in again} == {own, sweep / "0/1"}, "what was joined before is no member"


def test_a_joint_model_takes_voices_as_its_members_do(mixed: tuple[Path, Path], people: Path, tmp_path: Path) -> None:
    recognizer = Recognizer.load(mixed[1])
    clips = [people.parent / name for name in read_answers(mixed[0] / "predictions.csv").clips[:2]]
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    left_out: list[str] = []
    assert recognizer.enrol([*clips, tmp_path / "silent.wav"], left_out=left_out).clips == 2
    assert len(left_out) == 1
    with pytest.raises(UserError, match="--no-own-voice answers without"):
        Listener(recognizer, "clip", window=0.2, hop=0.1, voice=OWN)
    described = describe_checkpoint(find_checkpoint(mixed[1]), [])
    assert sorted(described["features"].split(" + ")) == ["energy_zcr", "mfcc_energy_zcr"]
    assert described["model"] == "cnn1d + cnn1d"


def test_models_that_say_nothing_are_not_joined() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 3, (300,), generator=generator)
    wrong = -4.0 * torch.nn.functional.one_hot(targets, 3)
    assert joining.weights_of([wrong.log_softmax(1)], targets) == [0.0]


def test_damaged_weights_of_a_joint_model_end_in_one_line(mixed: tuple[Path, Path], tmp_path: Path) -> None:
    whole = Checkpoint.read(find_checkpoint(mixed[1]))
    for number, weights in enumerate(([1.0], [-1.0, 1.0], ["a", 1.0], [0.0, 0.0], [float("nan"), 1.0])):
        replace(whole, parameters={"weights": weights}).write(tmp_path / f"{number}.ckpt")
        with pytest.raises(UserError, match="must be a number for each of 2 networks"):
            Recognizer.load(tmp_path / f"{number}.ckpt")
    replace(whole, parts=[whole.parts[0], whole]).write(tmp_path / "nested.ckpt")
    with pytest.raises(UserError, match="does not hold what a run's checkpoint holds"):
        Recognizer.load(tmp_path / "nested.ckpt")
