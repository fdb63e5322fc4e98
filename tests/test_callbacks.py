from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from ser.callbacks import EpochSeed, TestAnswers
from ser.models import NETWORKS, Batch, EmotionNetwork


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


def trained(callbacks: list[Callback], epochs: int, test: bool = True) -> EmotionNetwork:
    torch.manual_seed(0)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
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
