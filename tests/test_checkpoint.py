"""The checkpoint file: its layout, and the layout before."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ser.checkpoint import FORMAT, FORMAT_BEFORE, Checkpoint, find_checkpoint
from ser.config import check_choices
from ser.data.audio import Recording
from ser.errors import UserError
from ser.evaluation.calibration import Calibration
from ser.inference.adapt import adapt, adapted_checkpoint
from ser.models.ensemble import join_checkpoints
from ser.recognizer import Recognizer
from ser.train import run
from ser.training.starting import read_start
from tests.helpers import QUICK, composed, struck_down

SOUND = np.random.default_rng(0).standard_normal(8_000).astype(np.float32) / 10


def choices(corpus: Path, *words: str) -> dict[str, Any]:
    return composed(
        "dataset=folder",
        f"dataset.root={corpus}",
        *QUICK,
        "split.val=0.2",
        "ema_decay=0.9",
        "trainer.max_epochs=3",
        *words,
    )


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three epochs."""
    folder = tmp_path_factory.mktemp("trained")
    run(choices(corpus), folder)
    return folder


def in_format_2(path: Path) -> None:
    """Rewrite a checkpoint as versions up to 0.1 laid it out; the inverse of what reading does with such a file."""
    held = torch.load(path, weights_only=True)
    own = held.pop("ser")
    assert own.pop("format") == FORMAT
    data = {
        "labels": own["labels"], "features": own["features"], "length": own["length"],
        "normalizer": own["normalizer"], "heard": own["seen"], "heard_elsewhere": own["seen_elsewhere"],
    }  # fmt: skip
    if own.get("voices") is not None:
        data["voices"] = own["voices"]
    callbacks = {
        name.replace("EpochCheckpoint{", "Checkpoint{"): state for name, state in held.get("callbacks", {}).items()
    }
    further = {name: own[name] for name in ("history", "calibration", "adapted") if own.get(name)}
    before = {
        **held, **further, "callbacks": callbacks, "EmotionDataModule": data, "network": own["network"],
        "hyper_parameters": own["parameters"], "hparams_name": "kwargs", "format": 2, "ser_version": own["version"],
        "max_epochs": 3,
    }  # fmt: skip
    torch.save(before, path)


def test_everything_but_what_lightning_resumes_from_lies_under_one_key(trained: Path) -> None:
    held = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    assert set(held) == {
        "epoch", "global_step", "pytorch-lightning_version", "state_dict", "loops", "callbacks", "optimizer_states",
        "lr_schedulers", "current_model_state", "averaging_state", "ser",
    }  # fmt: skip
    assert set(held["ser"]) == {
        "format", "version", "network", "parameters", "labels", "features", "length", "normalizer", "seen",
        "seen_elsewhere", "history",
    }  # fmt: skip
    assert held["ser"]["format"] == FORMAT == 3


def test_a_checkpoint_is_written_as_it_was_read(trained: Path, tmp_path: Path) -> None:
    first = Checkpoint.read(find_checkpoint(trained))
    first.write(tmp_path / "deeper/again.ckpt")
    again = Checkpoint.read(tmp_path / "deeper/again.ckpt")
    torch.testing.assert_close(again.weights, first.weights, rtol=0, atol=0)
    assert (again.features, again.labels, again.epoch) == (first.features, first.labels, first.epoch)
    assert again.training.keys() == first.training.keys()
    assert again.history is not None
    assert again.calibration is not None
    assert again.with_calibration(None).calibration is None
    assert again.calibration is not None, "the one that was given stays as it is"


@pytest.mark.parametrize("kind", ["run", "ensemble", "adapted"])
def test_a_checkpoint_of_the_format_before_gives_the_same_answers(trained: Path, kind: str, tmp_path: Path) -> None:
    tested = find_checkpoint(trained)
    checkpoint = Checkpoint.read(tested)
    if kind == "ensemble":
        checkpoint = join_checkpoints([tested, tested]).with_calibration(Calibration(2.0))
    elif kind == "adapted":
        noise = np.random.default_rng(1).standard_normal((12, 8_000)).astype(np.float32) / 10
        recognizer = Recognizer.load(tested)
        adapted, about = adapt(recognizer, [Recording(one) for one in noise], balanced=True)
        checkpoint = adapted_checkpoint(checkpoint, adapted, about, "noise")
    path = tmp_path / "checkpoints/before.ckpt"
    checkpoint.write(path)
    expected = Recognizer.load(path)(SOUND, 16_000)
    in_format_2(path)
    assert torch.load(path, weights_only=True)["format"] == FORMAT_BEFORE
    assert Recognizer.load(tmp_path)(SOUND, 16_000) == expected
    before = Checkpoint.read(path)
    assert (before.seen, before.adapted) == (checkpoint.seen, checkpoint.adapted)


def test_a_run_resumes_from_a_checkpoint_of_the_format_before(corpus: Path, trained: Path, tmp_path: Path) -> None:
    with struck_down(2):
        run(choices(corpus), tmp_path)
    for name in ("best", "last"):
        in_format_2(tmp_path / f"checkpoints/{name}.ckpt")
    run(choices(corpus), tmp_path)
    whole, resumed = (Checkpoint.read(folder / "checkpoints/last.ckpt") for folder in (trained, tmp_path))
    torch.testing.assert_close(resumed.weights, whole.weights, rtol=0, atol=0)
    assert resumed.history is not None
    assert set(resumed.history["epochs"]) == {1, 2, 3}
    best = [Checkpoint.read(find_checkpoint(folder)) for folder in (trained, tmp_path)]
    torch.testing.assert_close(best[1].weights, best[0].weights, rtol=0, atol=0)
    start = read_start(check_choices(choices(corpus, f"init_from={tmp_path}")))
    assert start.recognizer.labels == whole.labels


Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda held: held.pop("EmotionDataModule"), "does not hold what a run's checkpoint holds: KeyError"),
        (lambda held: held.pop("network"), "KeyError('network')"),
        (lambda held: held.update(EmotionDataModule=3), "does not hold what a run's checkpoint holds"),
        (lambda held: held["EmotionDataModule"].pop("length"), "length"),
        (lambda held: held["EmotionDataModule"].update(heard=[1]), "no list of names"),
        (lambda held: held.update(callbacks=[]), "does not hold what a run's checkpoint holds"),
        (lambda held: held.update(format=1), f"in format 1; this version reads {FORMAT} and 2: train it again"),
        (lambda held: held.update(format=3), "in format 3; this version reads 3 and 2: train it again"),
        (lambda held: held.pop("format"), "in format 0"),
        (lambda held: held.pop("epoch"), "does not say how many epochs"),
        (lambda held: held.update(ser=[]), "in format 0"),
    ],
)
def test_a_broken_checkpoint_of_the_format_before_is_refused(
    trained: Path, change: Change, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "broken.ckpt"
    Checkpoint.read(trained / "checkpoints/last.ckpt").write(path)
    in_format_2(path)
    held = torch.load(path, weights_only=True)
    change(held)
    torch.save(held, path)
    with pytest.raises(UserError, match=re.escape(told)) as caught:
        Checkpoint.read(path)
    assert str(path) in str(caught.value)
