from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader

import ser.callbacks
from ser.callbacks import ConfusionPictures, EpochSeed, TestAnswers
from ser.models import NETWORKS, Batch, EmotionNetwork

LABELS = ["anger", "happy", "sad"]


def join(batches: list[Batch]) -> Batch:
    return batches[0]


def batches(count: int, seed: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    return [
        Batch(
            torch.randn(6, 1, 49, generator=generator),
            torch.randint(3, (6,), generator=generator),
            torch.arange(6 * i, 6 * i + 6),
        )
        for i in range(count)
    ]


def loader(parts: list[Batch]) -> DataLoader[Batch]:
    return DataLoader(parts, batch_size=1, collate_fn=join)  # type: ignore[arg-type]


TRAIN, VAL, TEST = batches(2, 1), batches(3, 2), batches(4, 3)


def trained(callbacks: list[Callback], epochs: int, logger: Logger | None = None, test: bool = True) -> EmotionNetwork:
    torch.manual_seed(0)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=logger or False,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    network = NETWORKS["cnn1d"]((1, 49), 3)
    trainer.fit(network, loader(TRAIN), loader(VAL))
    if test:
        trainer.test(network, loader(TEST), verbose=False)
    return network


def pictures(folder: Path) -> dict[str, list[int]]:
    """Tags of the images in TensorBoard's files, with their steps."""
    events = EventAccumulator(str(folder / "logs"), size_guidance={"images": 0})
    events.Reload()
    for tag in events.Tags()["images"]:
        for image in events.Images(tag):
            assert image.encoded_image_string.startswith(b"\x89PNG")
            assert image.width > 100
    return {tag: [image.step for image in events.Images(tag)] for tag in events.Tags()["images"]}


def test_validation_is_drawn_every_few_epochs_and_at_the_last_one_and_test_once(tmp_path: Path) -> None:
    trained([ConfusionPictures(LABELS, 2)], 3, TensorBoardLogger(tmp_path, "logs", ""))
    drawn = pictures(tmp_path)
    assert drawn["val/confusion_matrix"] == [1, 2]
    assert len(drawn["test/confusion_matrix"]) == 1
    assert set(drawn) == {"val/confusion_matrix", "test/confusion_matrix"}


def test_nothing_is_drawn_every_0_epochs(tmp_path: Path) -> None:
    trained([ConfusionPictures(LABELS, 0)], 1, TensorBoardLogger(tmp_path, "logs", ""))
    assert pictures(tmp_path) == {}


def test_a_logger_that_takes_no_pictures_is_left_alone(tmp_path: Path) -> None:
    trained([ConfusionPictures(LABELS, 1)], 1, CSVLogger(tmp_path, "logs", ""))
    assert (tmp_path / "logs" / "metrics.csv").is_file()


def test_a_negative_number_of_epochs_is_refused() -> None:
    with pytest.raises(ValueError, match="figure_every_n_epochs=-1 must be 0 or more"):
        ConfusionPictures(LABELS, -1)


def counts_of(network: EmotionNetwork, parts: list[Batch]) -> NDArray[np.int64]:
    network.eval()
    with torch.no_grad():
        predicted = torch.cat([network(part.inputs).argmax(1) for part in parts])
    return confusion_matrix(torch.cat([part.targets for part in parts]), predicted, labels=range(3))


def test_the_matrices_drawn_are_those_of_the_whole_side_at_that_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, NDArray[np.int64]]] = []

    def note(counts: NDArray[np.int64], labels: list[str], title: str) -> Figure:
        assert labels == LABELS
        drawn.append((title, counts))
        return Figure()

    monkeypatch.setattr(ser.callbacks, "confusion_figure", note)
    network = trained([ConfusionPictures(LABELS, 1)], 3, TensorBoardLogger(tmp_path, "logs", ""))
    titles = [title for title, _ in drawn]
    assert titles[:3] == ["val, epoch 1", "val, epoch 2", "val, epoch 3"]
    assert len(titles) == 4
    assert titles[3].startswith("test")
    assert [counts.sum() for _, counts in drawn] == [18, 18, 18, 24]
    np.testing.assert_array_equal(drawn[2][1], counts_of(network, VAL))
    np.testing.assert_array_equal(drawn[3][1], counts_of(network, TEST))


def test_each_epoch_is_seeded_by_the_seed_and_its_own_number() -> None:
    class AtEpoch:
        def __init__(self, epoch: int) -> None:
            self.current_epoch = epoch

    def draws(seed: int, epoch: int) -> list[float]:
        trainer: Any = AtEpoch(epoch)
        EpochSeed(seed).on_train_epoch_start(trainer, NETWORKS["cnn1d"]((1, 49), 3))
        return torch.rand(4).tolist()

    first = draws(1, 3)
    torch.manual_seed(12345)
    assert draws(1, 3) == first
    assert draws(1, 4) != first
    assert draws(2, 3) != first


class Draws(Callback):
    def __init__(self) -> None:
        self.at: list[float] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            self.at.append(torch.rand(1).item())


def test_what_an_epoch_draws_does_not_depend_on_what_was_drawn_before() -> None:
    class Waste(Callback):
        def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
            torch.rand(7)

    quiet, wasteful = Draws(), Draws()
    trained([EpochSeed(4), quiet], epochs=3, test=False)
    trained([EpochSeed(4), wasteful, Waste()], epochs=3, test=False)
    assert quiet.at == wasteful.at
    assert len(set(quiet.at)) == 3


def test_test_answers_are_those_of_every_test_clip_in_order() -> None:
    answers = TestAnswers()
    network = trained([answers], epochs=1).eval()
    assert answers.clips.tolist() == list(range(24))
    with torch.no_grad():
        expected = torch.cat([network(part.inputs) for part in TEST])
    torch.testing.assert_close(answers.logits, expected)


def test_a_second_test_replaces_the_answers_of_the_first() -> None:
    answers = TestAnswers()
    trainer = Trainer(
        accelerator="cpu",
        callbacks=[answers],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    network = NETWORKS["cnn1d"]((1, 49), 3)
    for _ in range(2):
        trainer.test(network, loader(TEST), verbose=False)
    assert answers.clips.tolist() == list(range(24))
