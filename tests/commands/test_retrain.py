import shutil
from pathlib import Path

import pytest
import torch

import ser.results
from ser.checkpoint import Checkpoint, find_checkpoint
from ser.commands._retrain import retrain
from ser.errors import UserError
from ser.recognizer import Recognizer
from ser.results import write_choices
from ser.train import run
from tests.helpers import LABELS, QUICK, composed, manifest

WORDS = (*QUICK, "trainer.max_epochs=2", "test_checkpoint=last", "features.normalize=speaker", "augment=none")


@pytest.fixture(scope="module")
def tested(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on the tones, spoken by 14 people."""
    rows = [(f"{emotion}/{take:02}.wav", emotion, f"p{take:02}") for emotion in LABELS for take in range(14)]
    cfg = composed("dataset=manifest", "split=speaker", *WORDS)
    cfg["dataset"]["root"] = str(manifest(corpus / "retrained.csv", rows))
    folder = tmp_path_factory.mktemp("tested")
    run(cfg, folder, ["python", "train.py"])
    return folder


def test_all_clips_are_trained_on_and_the_calibration_is_that_of_the_run(tested: Path, tmp_path: Path) -> None:
    with ser.results.console.capture() as capture:
        made = retrain(tested, tmp_path / "a")
    screen = " ".join(capture.get().split())
    assert "42 clips of anger, happy, sad, all of them for training" in screen
    before, after = Checkpoint.read(find_checkpoint(tested)), Checkpoint.read(made)
    assert len(before.seen) < 14
    assert after.seen == [f"manifest/p{take:02}" for take in range(14)] or len(after.seen) == 14
    assert after.calibration is not None
    assert before.calibration is not None
    assert after.calibration.temperature == before.calibration.temperature
    assert find_checkpoint(tmp_path / "a") == made
    assert not after.training
    assert not torch.equal(before.normalizer["mean"], after.normalizer["mean"])
    assert sum(Recognizer.load(tmp_path / "a")(torch.randn(16000), 16000).values()) == pytest.approx(1)

    assert retrain(tested, tmp_path / "a") == made  # nothing is trained again
    again = retrain(tested, tmp_path / "b")
    assert again.read_bytes() == made.read_bytes()


def test_half_precision_halves_the_file_and_answers_almost_alike(tested: Path, tmp_path: Path) -> None:
    whole, half = retrain(tested, tmp_path / "whole"), retrain(tested, tmp_path / "half", half=True)
    assert half.stat().st_size < whole.stat().st_size
    sound = torch.randn(16000, generator=torch.Generator().manual_seed(0))
    one, other = (Recognizer.load(path)(sound, 16000) for path in (whole, half))
    assert one == pytest.approx(other, abs=5e-3)


def test_what_chose_its_epoch_on_validation_is_refused(tested: Path, tmp_path: Path) -> None:
    cfg = ser.results.read_choices(tested)
    folder = tmp_path / "best"
    run({**cfg, "test_checkpoint": "best", "ckpt_path": None}, folder)
    with pytest.raises(UserError, match="train it with test_checkpoint=last"):
        retrain(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_tested_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no tested checkpoint"):
        retrain(tmp_path, tmp_path / "out")


def test_the_folder_of_a_run_is_not_written_to(tested: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tested.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="holds a run of its own: give a new folder"):
        retrain(tested, tested)
    assert {path: path.stat().st_mtime_ns for path in tested.rglob("*") if path.is_file()} == before
    other = tmp_path / "other"
    other.mkdir()
    write_choices(other, {**ser.results.read_choices(tested), "seed": 7})
    with pytest.raises(UserError, match="holds a model with other choices"):
        retrain(tested, other)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("init_from", "pretrained", "started from another run, init_from=pretrained"),
        ("early_stopping_patience", 3, "may have ended early by validation clips"),
        ("trainer", None, "does not hold a run's choices"),
    ],
)
def test_what_all_clips_can_not_repeat_is_refused(
    tested: Path, tmp_path: Path, option: str, value: object, message: str
) -> None:
    folder = shutil.copytree(tested, tmp_path / "run")
    choices = {**ser.results.read_choices(folder), option: value}
    write_choices(folder, {name: kept for name, kept in choices.items() if name != "trainer" or kept is not None})
    with pytest.raises(UserError, match=message):
        retrain(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
