import csv
import json
import logging
import signal
import subprocess
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

import ser.data.audio
import ser.data.bank
import ser.results
from ser.config import ConfigError
from ser.data.audio import Recording
from ser.data.corpora import read_corpora
from ser.data.splits import split_clips
from ser.errors import UserError
from ser.evaluation import evaluate, read_answers, scores_of
from ser.evaluation.metrics import SCORES
from ser.models import Batch, EmotionNetwork
from ser.recognizer import Recognizer
from ser.train import quiet, run
from tests.helpers import composed

EMOTIONS = ("anger", "happy", "sad")

LOGGED = ("loss", *SCORES)

SMALL = (
    "dataset=folder",
    "split.val=0.2",
    "datamodule.batch_size=8",
    "trainer.max_epochs=3",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "figure_every_n_epochs=0",
)
ONE_D = (*SMALL, "features=energy_zcr", "features.hop_length=200", "features.frame_length=512", "model=cnn1d")
TWO_D = (
    *SMALL,
    "features=mel",
    "features.hop_length=128",
    "features.n_fft=512",
    "features.n_mels=46",
    "model=cnn2d",
    "trainer.max_epochs=2",
)


@pytest.fixture(scope="module")
def corpus(corpus: Path) -> Path:
    """The tones, and one file that is no sound."""
    (corpus / "happy" / "broken.wav").write_text("no sound")
    return corpus


class Run(NamedTuple):
    folder: Path
    results: dict[str, Any]
    screen: str

    def checkpoint(self, name: str) -> dict[str, Any]:
        return torch.load(self.folder / "checkpoints" / f"{name}.ckpt", weights_only=True)

    def predictions(self) -> list[dict[str, str]]:
        with (self.folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def probabilities(self) -> Tensor:
        return torch.tensor([[float(row[f"p_{label}"]) for label in EMOTIONS] for row in self.predictions()])


def trained(corpus: Path, folder: Path, *overrides: str) -> Run:
    folder.mkdir(parents=True, exist_ok=True)
    cfg = composed(*overrides)
    cfg["dataset"]["root"] = str(corpus)
    with ser.results.console.capture() as capture:
        results = run(cfg, folder, ["python", "train.py", *overrides])
    return Run(folder, results, capture.get())


@pytest.fixture(scope="module")
def first(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A 1D network, with augmentation, three epochs."""
    return trained(corpus, tmp_path_factory.mktemp("first"), *ONE_D, "figure_every_n_epochs=2")


@pytest.fixture(scope="module")
def people(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[Path]]:
    """A run on the same clips, spoken by 14 people, with six of them held back; and the files read for it."""
    manifest = corpus / "clips.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "emotion", "speaker", "sex", "age", "sentence"])
        for emotion in EMOTIONS:
            for take in range(14):
                known = (f"p{take:02}", ("female", "male", "")[take // 2 % 3], 17 + 2 * take, "the only one")
                table.writerow([f"{emotion}/{take:02}.wav", emotion, *known])
    read: list[Path] = []

    def read_audio(path: Path, sample_rate: int) -> Recording:
        read.append(path)
        return ser.data.audio.read_audio(path, sample_rate)

    overrides = (*ONE_D, "dataset=manifest", "split=speaker", "split.test=0.4", "logger=csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ser.data.bank, "read_audio", read_audio)
        return trained(manifest, tmp_path_factory.mktemp("people"), *overrides), read


def told_alike(one: Run, other: Run) -> None:
    """Check that two runs scored and answered the same to the last digit."""
    for part in ("test", "last_epoch", "history", "classes", "confusion_matrix", "checkpoint", "parameters"):
        assert one.results[part] == other.results[part]
    assert (one.folder / "predictions.csv").read_bytes() == (other.folder / "predictions.csv").read_bytes()


def same_weights(one: Run, other: Run, name: str) -> None:
    weights, others = one.checkpoint(name)["state_dict"], other.checkpoint(name)["state_dict"]
    assert list(weights) == list(others)
    assert all(torch.equal(weight, others[key]) for key, weight in weights.items())


def test_a_run_folder_has_all_that_a_run_leaves(first: Run) -> None:
    found = {path.relative_to(first.folder).as_posix() for path in first.folder.rglob("*") if path.is_file()}
    assert found >= {
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "metrics.json",
        "predictions.csv",
        "confusion_matrix.csv",
        "confusion_matrix.png",
        "config.yaml",
    }
    assert any(name.startswith("tensorboard/events") for name in found)
    assert (first.folder / "confusion_matrix.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((first.folder / "metrics.json").read_text(encoding="utf-8")) == first.results


def test_the_checkpoints_hold_plain_data_and_what_prediction_needs(first: Run) -> None:
    for name in ("best", "last"):
        state = first.checkpoint(name)["ser"]
        assert state["labels"] == sorted(EMOTIONS)
        assert state["features"]["names"] == ["energy", "zcr"]
        assert state["normalizer"]["mean"].shape == (2, 1)


def test_config_yaml_repeats_the_run(first: Run, corpus: Path) -> None:
    saved = OmegaConf.to_container(OmegaConf.load(first.folder / "config.yaml"))
    expected = composed(*ONE_D, "figure_every_n_epochs=2")
    expected["dataset"]["root"] = str(corpus)
    assert saved == expected


def test_predictions_are_probabilities_of_the_test_clips(first: Run, corpus: Path) -> None:
    test = split_clips(
        read_corpora({"name": "folder", "root": str(corpus)}), "stratified", seed=42, test=0.3, val=0.2
    ).test
    rows = first.predictions()
    assert [row["clip"] for row in rows] == [clip.name for clip in test if "broken" not in clip.name]
    assert [row["emotion"] for row in rows] == [row["clip"].partition("/")[0] for row in rows]
    probabilities = first.probabilities()
    assert (probabilities >= 0).all()
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(rows)), rtol=0, atol=3e-6)
    labels = sorted(EMOTIONS)
    assert [row["predicted"] for row in rows] == [labels[i] for i in probabilities.argmax(1)]
    assert len({row["predicted"] for row in rows}) > 1


def test_metrics_json_agrees_with_the_predictions(first: Run) -> None:
    rows = first.predictions()
    true, predicted = [row["emotion"] for row in rows], [row["predicted"] for row in rows]
    labels = sorted(EMOTIONS)
    probabilities = first.probabilities()
    own = torch.tensor([labels.index(emotion) for emotion in true])
    assert first.results["test"] == pytest.approx(
        {
            "loss": -probabilities.double()[torch.arange(len(own)), own].log().mean().item(),
            "accuracy": accuracy_score(true, predicted),
            "macro_f1": f1_score(true, predicted, average="macro", zero_division=0),
            "weighted_f1": f1_score(true, predicted, average="weighted", zero_division=0),
            "uar": balanced_accuracy_score(true, predicted),
            "mcc": matthews_corrcoef(true, predicted),
        },
        abs=2e-5,
    )
    counts = confusion_matrix(true, predicted, labels=labels)
    assert first.results["confusion_matrix"] == {"labels": labels, "counts": counts.tolist()}
    precision, recall, f1, clips = precision_recall_fscore_support(true, predicted, labels=labels, zero_division=0)
    for i, label in enumerate(labels):
        assert first.results["classes"][label] == pytest.approx(
            {
                "f1": f1[i],
                "precision": precision[i],
                "recall": recall[i],
                "clips": clips[i],
                "predicted": predicted.count(label),
            },
            abs=1e-6,
        )
    ranked = [first.results["classes"][label]["f1"] for label in first.results["most_confusing"]]
    assert ranked == sorted(ranked)
    with (first.folder / "confusion_matrix.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.reader(file))
    assert table[0][1:] == labels
    assert table[1:] == [[label, *map(str, row)] for label, row in zip(labels, counts.tolist(), strict=True)]


def test_metrics_json_says_what_was_run(first: Run) -> None:
    results = first.results
    assert results["command"] == ["python", "train.py", *ONE_D, "figure_every_n_epochs=2"]
    assert (results["features"], results["model"], results["seed"]) == ("energy_zcr", "cnn1d", 1)
    assert results["dataset"]["clips"] == 42 == sum(results["split"]["clips"].values())
    assert (results["split"]["name"], results["split"]["seed"]) == ("stratified", 42)
    assert results["parameters"]["trainable"] == results["parameters"]["total"]
    assert results["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert set(results["last_epoch"]) == {"train", "val"}
    for side in results["last_epoch"].values():
        assert set(side) == {*LOGGED, "classes", "confusion_matrix"}
        assert sum(map(sum, side["confusion_matrix"])) == sum(line["clips"] for line in side["classes"].values())
    sizes = results["split"]["clips"]
    for name in ("train", "val"):
        assert sum(map(sum, results["last_epoch"][name]["confusion_matrix"])) == sizes[name]


def test_metrics_json_says_how_far_the_scores_can_be_believed(first: Run, people: tuple[Run, list[Path]]) -> None:
    for done, over in ((first, "12 clips, for not all speakers are known"), (people[0], "6 speakers")):
        found = done.results["intervals"]
        assert (found["over"], found["confidence"]) == (over, 0.95)
        assert found["resamples"] >= 2000
        for name in SCORES:
            low, high = found[name]
            assert (-1 if name == "mcc" else 0) <= low <= high <= 1
            assert low - 1e-6 < done.results["test"][name] < high + 1e-6, "the run's scores are of single precision"
        assert any(found[name][0] < found[name][1] for name in SCORES)
        assert f"bootstrap over {over}" in " ".join(done.screen.split())
        assert "raters" not in done.results


def test_the_table_of_predictions_holds_all_that_the_scores_are_made_of(
    first: Run, people: tuple[Run, list[Path]]
) -> None:
    for done in (first, people[0]):
        answers = read_answers(done.folder / "predictions.csv")
        counts = confusion_matrix(answers.true, answers.predicted, labels=range(3)).astype(np.float64)
        assert counts.tolist() == done.results["confusion_matrix"]["counts"]
        scores = {name: float(value) for name, value in scores_of(counts).items()}
        assert scores == pytest.approx({name: done.results["test"][name] for name in scores}, abs=1e-6)
        assert evaluate(answers) == {part: done.results[part] for part in ("intervals", "groups")}


def test_scores_by_group_are_told_and_drawn_where_groups_are_known(first: Run, people: tuple[Run, list[Path]]) -> None:
    assert first.results["groups"] == {}
    assert not (first.folder / "groups.png").exists()
    done = people[0]
    rows = done.predictions()
    groups = done.results["groups"]
    assert set(groups) == {"sex", "age", "speaker"}
    assert (done.folder / "groups.png").read_bytes().startswith(b"\x89PNG")
    assert len(groups["speaker"]) == 6
    for name, values in groups.items():
        assert {value: told["clips"] for value, told in values.items()} == Counter(r[name] for r in rows if r[name])
        for value, told in values.items():
            own = [row["emotion"] == row["predicted"] for row in rows if row[name] == value]
            assert told["accuracy"] == pytest.approx(sum(own) / len(own))
    assert {row["age"] for row in rows} <= {"10-19", "20-29", "30-39", "40-49"}


def test_metrics_json_says_what_was_divided_how(first: Run, people: tuple[Run, list[Path]], corpus: Path) -> None:
    clips = read_corpora({"name": "folder", "root": str(corpus)})
    spoken = read_corpora({"name": "manifest", "root": str(corpus / "clips.csv")})
    for done, expected, line in (
        (first, split_clips(clips, "stratified", seed=42, test=0.3, val=0.2), "Speakers are not known"),
        (people[0], split_clips(spoken, "speaker", seed=42, test=0.4, val=0.2), "0 of 6 test speakers were seen"),
    ):
        told = done.results["split"]
        assert told["hash"] == expected.hash
        assert told["leakage"].startswith(line)
        assert told["leakage"] in " ".join(done.screen.split())
        assert told["hash"] in done.screen
        assert told["normalizer_fitted_on"] == told["clips"]["train"]
        assert told["recordings_on_two_sides"] == []
        assert done.results["labels"] == {"classes": sorted(EMOTIONS), "left_out": {}}
    assert (first.results["split"]["test_speakers"], people[0].results["split"]["test_speakers"]) == (0, 6)
    assert people[0].results["split"]["test_speakers_heard_before"] == 0
    assert people[0].results["dataset"]["speakers"] == 14


def test_every_file_is_decoded_once(people: tuple[Run, list[Path]], corpus: Path) -> None:
    expected = [corpus / emotion / f"{take:02}.wav" for emotion in EMOTIONS for take in range(14)]
    assert sorted(people[1]) == sorted(expected)


def test_a_clip_that_cannot_be_read_is_listed_and_shown(first: Run) -> None:
    (skipped,) = first.results["dataset"]["skipped"]
    assert skipped["clip"] == "happy/broken.wav"
    assert "can't be read" in skipped["reason"]
    assert "left out" in first.screen
    _, after = first.screen.split("Emotions, in this order")
    assert "1 clips can't be used (1 happy), such as" in " ".join(after.split("epochs on")[0].split())
    assert "broken.wav" in first.screen


def events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    found.Reload()
    return found


def test_tensorboard_has_the_loss_and_every_score_by_epoch(first: Run) -> None:
    found = events(first.folder)
    for score in LOGGED:
        for side in ("train", "val"):
            points = found.Scalars(f"{side}/{score}")
            assert [point.step for point in points] == [0, 1, 2]
            assert points[-1].value == pytest.approx(first.results["last_epoch"][side][score])
        (tested,) = found.Scalars(f"test/{score}")
        before = first.results["calibration"]["test_loss_before"]
        assert tested.value == pytest.approx(before if score == "loss" else first.results["test"][score])
    assert [image.step for image in found.Images("val/confusion_matrix")] == [1, 2]
    assert len(found.Images("test/confusion_matrix")) == 1


def test_tensorboard_has_the_choices_with_the_final_scores(first: Run) -> None:
    found = events(first.folder)
    content = found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"model.learning_rate" in content
    assert b"features.hop_length" in content
    for score in LOGGED:
        (final,) = found.Scalars(f"final/{score}")
        assert final.value == pytest.approx(first.results["test"][score])


def test_a_1d_run_is_the_same_again_to_the_last_digit(first: Run, corpus: Path, tmp_path: Path) -> None:
    torch.manual_seed(987)
    again = trained(corpus, tmp_path, *ONE_D)
    told_alike(first, again)
    same_weights(first, again, "best")
    same_weights(first, again, "last")


def test_another_seed_gives_other_weights(first: Run, corpus: Path, tmp_path: Path) -> None:
    other = trained(corpus, tmp_path, *ONE_D, "seed=2", "trainer.max_epochs=1")
    assert not torch.equal(first.probabilities(), other.probabilities())
    assert [row["clip"] for row in first.predictions()] == [row["clip"] for row in other.predictions()]


def test_a_2d_run_is_the_same_again_to_the_last_digit(corpus: Path, tmp_path: Path) -> None:
    runs = [trained(corpus, tmp_path / name, *TWO_D) for name in ("one", "two")]
    told_alike(*runs)
    same_weights(*runs, "last")
    assert runs[0].results["parameters"]["total"] - runs[0].results["parameters"]["trainable"] == 208


def test_features_that_are_not_kept_give_the_same_scores(first: Run, corpus: Path, tmp_path: Path) -> None:
    told_alike(first, trained(corpus, tmp_path, *ONE_D, "datamodule.keep_features=false"))


def test_a_bank_in_memory_gives_the_same_scores(first: Run, corpus: Path, tmp_path: Path) -> None:
    told_alike(first, trained(corpus, tmp_path, *ONE_D, "datamodule.bank=memory"))


FOUR = (*ONE_D, "trainer.max_epochs=4", "trainer.precision=32-true")


@pytest.fixture
def interrupt_is_put_back() -> Iterator[None]:
    """Lightning ignores further Ctrl-C after the first, for the whole process."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def stopped_in_the_third_epoch(
    monkeypatch: pytest.MonkeyPatch, corpus: Path, folder: Path, blow: BaseException, *overrides: str
) -> Run:
    """A run of four epochs that ``blow`` ends after a step of the third."""
    step = EmotionNetwork.training_step
    steps = 0

    def struck(self: EmotionNetwork, batch: Batch) -> Tensor:
        nonlocal steps
        steps += self.current_epoch == 2
        if steps > 1:
            raise blow
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(EmotionNetwork, "training_step", struck)
        with pytest.raises((SystemExit, type(blow))):
            trained(corpus, folder, *overrides)
    return Run(folder, {}, "")


SCRIPTED = {"best": [0.2, 0.9, 0.5, 0.4], "falling": [0.9, 0.6, 0.5, 0.4], "rising": [0.1, 0.2, 0.3, 0.4]}
"""Macro F1 on validation, epoch by epoch, as tests want it."""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``script(name)``: validation finds these scores, so that a test knows which epoch is the best."""

    def set_script(name: str) -> None:
        def found(self: EmotionNetwork) -> None:
            self._log_epoch("val")
            self.log("val/macro_f1", torch.tensor(SCRIPTED[name][self.current_epoch]))

        monkeypatch.setattr(EmotionNetwork, "on_validation_epoch_end", found)

    return set_script


@pytest.mark.usefixtures("interrupt_is_put_back")
@pytest.mark.parametrize("blow", [KeyboardInterrupt(), RuntimeError("out of memory")], ids=["ctrl-c", "crash"])
@pytest.mark.parametrize("scores", ["rising", "falling"])
def test_a_run_that_is_stopped_leaves_its_last_whole_epoch(
    monkeypatch: pytest.MonkeyPatch,
    script: Callable[[str], None],
    corpus: Path,
    tmp_path: Path,
    blow: BaseException,
    scores: str,
) -> None:
    script(scores)
    stopped = stopped_in_the_third_epoch(monkeypatch, corpus, tmp_path, blow, *FOUR)
    last = stopped.checkpoint("last")
    assert last["epoch"] == 1
    assert all(weight.isfinite().all() for weight in last["state_dict"].values())


@pytest.mark.usefixtures("interrupt_is_put_back")
@pytest.mark.parametrize("network", [ONE_D, TWO_D], ids=["1d", "2d"])
def test_a_resumed_run_ends_exactly_as_the_unbroken_one(
    monkeypatch: pytest.MonkeyPatch,
    script: Callable[[str], None],
    corpus: Path,
    tmp_path: Path,
    network: tuple[str, ...],
) -> None:
    script("rising")
    overrides = (*network, "trainer.max_epochs=4", "test_checkpoint=last")
    unbroken = trained(corpus, tmp_path / "unbroken", *overrides)
    stopped = stopped_in_the_third_epoch(monkeypatch, corpus, tmp_path / "stopped", KeyboardInterrupt(), *overrides)
    last = stopped.folder / "checkpoints" / "last.ckpt"
    resumed = trained(corpus, stopped.folder, *overrides, f"ckpt_path='{last}'")
    told_alike(unbroken, resumed)
    same_weights(unbroken, resumed, "last")
    assert unbroken.checkpoint("last")["lr_schedulers"] == resumed.checkpoint("last")["lr_schedulers"]
    steps = [point.step for point in events(resumed.folder).Scalars("train/loss")]
    assert steps == [0, 1, 2, 3]


def test_a_resumed_run_tests_the_best_epoch_of_the_whole_training(
    monkeypatch: pytest.MonkeyPatch, script: Callable[[str], None], corpus: Path, tmp_path: Path
) -> None:
    script("best")
    unbroken = trained(corpus, tmp_path / "unbroken", *FOUR)
    stopped = stopped_in_the_third_epoch(monkeypatch, corpus, tmp_path / "stopped", RuntimeError(), *FOUR)
    last = stopped.folder / "checkpoints" / "last.ckpt"
    resumed = trained(corpus, stopped.folder, *FOUR, f"ckpt_path='{last}'")
    assert epoch_told(unbroken) == ("best", 2)
    told_alike(unbroken, resumed)


def epoch_told(run: Run) -> tuple[str, int]:
    return run.results["checkpoint"]["tested"], run.results["checkpoint"]["epoch"]


def heard_by(checkpoint: Path, corpus: Path, clips: list[str]) -> Tensor:
    """Probabilities of clips, one after the other, by a recognizer that knows nothing but the checkpoint."""
    recognizer = Recognizer.load(checkpoint)
    return torch.tensor([list(recognizer(corpus / clip).values()) for clip in clips])


@pytest.mark.parametrize(
    ("tested", "epoch"),
    [("best", 2), ("last", 4)],
)
def test_the_checkpoint_that_is_tested_is_the_one_asked_for(
    script: Callable[[str], None], corpus: Path, tmp_path: Path, tested: str, epoch: int
) -> None:
    script("best")
    done = trained(corpus, tmp_path, *FOUR, f"test_checkpoint={tested}")
    assert epoch_told(done) == (tested, epoch)
    clips = [row["clip"] for row in done.predictions()]
    own, other = (
        heard_by(done.folder / "checkpoints" / f"{name}.ckpt", corpus, clips)
        for name in ("best", "last")[:: 1 if tested == "best" else -1]
    )
    torch.testing.assert_close(done.probabilities(), own, rtol=0, atol=1e-5)
    if tested == "last":
        assert (own - other).abs().max() > 1e-3


@pytest.fixture(scope="module")
def untrained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A network that never learns, stopped early."""
    options = ("model.learning_rate=0", "model.schedule=constant", "early_stopping_patience=1", "trainer.max_epochs=6")
    return trained(corpus, tmp_path_factory.mktemp("untrained"), *ONE_D, *options)


def test_early_stopping_ends_a_training_that_does_not_get_better(untrained: Run) -> None:
    assert [point.step for point in events(untrained.folder).Scalars("val/macro_f1")] == [0, 1]
    assert epoch_told(untrained) == ("best", 1)


def test_a_class_that_is_never_predicted_is_remarked(untrained: Run) -> None:
    never = [label for label, told in untrained.results["classes"].items() if not told["predicted"]]
    assert never, "an untrained network answers the same to all"
    assert all(untrained.results["classes"][label]["precision"] == 0 for label in never)
    assert untrained.screen.count("never predicted") == len(never)


def test_only_synthetic_sound_brings_a_caution(
    first: Run, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert first.results["dataset"]["synthetic"] is False
    assert "caution" not in first.results["dataset"]
    assert "synthetic" not in first.screen
    for module in (ser.results.describe, ser.results.screen):
        monkeypatch.setattr(module, "SYNTHETIC", frozenset({"folder"}))
    other = trained(corpus, tmp_path, *ONE_D, "trainer.max_epochs=1", "logger=csv")
    assert other.results["dataset"]["synthetic"] is True
    assert "says nothing about people" in other.results["dataset"]["caution"]
    assert other.screen.count("The corpus is synthetic") == 2
    assert (tmp_path / "csv" / "metrics.csv").is_file()


def test_choices_are_checked_before_data_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reads 2D features"):
        trained(tmp_path / "no corpus", tmp_path / "run", *ONE_D, "model=paper2d")


def test_a_run_that_has_ended_in_the_folder_is_not_run_again(corpus: Path, tmp_path: Path) -> None:
    done = trained(corpus, tmp_path / "run", *ONE_D)
    written = (done.folder / "metrics.json").stat().st_mtime_ns
    again = trained(corpus, tmp_path / "run", *ONE_D)
    assert again.results == json.loads((done.folder / "metrics.json").read_text())
    assert (done.folder / "metrics.json").stat().st_mtime_ns == written
    assert "skipped" in again.screen
    with pytest.raises(UserError, match="other choices"):
        trained(corpus, tmp_path / "run", *ONE_D, "seed=2")


def test_a_run_puts_back_what_it_silenced() -> None:
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric.utilities.distributed")]

    def state() -> tuple[Any, ...]:
        return threading.excepthook, list(warnings.filters), [logger.level for logger in loggers]

    before = state()
    with quiet():
        assert [one != other for one, other in zip(state(), before, strict=True)] == [True, True, True]
        warnings.simplefilter("ignore")  # as all processes but the first do
    assert state() == before
    with pytest.raises(KeyboardInterrupt), quiet():
        raise KeyboardInterrupt
    assert state() == before


def test_to_import_a_run_is_no_work() -> None:
    code = (
        "import threading; hook = threading.excepthook; import ser.train, ser.recognizer; "
        "from hydra.core.config_store import ConfigStore; "
        "assert 'schema' not in ConfigStore.instance().repo and threading.excepthook is hook"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
