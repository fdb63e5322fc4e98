import csv
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from ser.checkpoint import CheckpointFiles
from ser.errors import UserError
from ser.files import WriteError
from ser.models import NETWORKS, Batch, EmotionNetwork
from ser.results.describe import _last_epoch
from ser.training.callbacks import (
    AverageWeights,
    EpochCheckpoint,
    EpochSeed,
    History,
    Patience,
    TestAnswers,
)


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
    return DataLoader(parts, batch_size=1, collate_fn=join, generator=torch.Generator())  # type: ignore[arg-type]


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
            self.global_rank = 0

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


class Weights(Callback):
    """Keeps what the weights were after each step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        self.steps.append({name: value.clone() for name, value in pl_module.state_dict().items()})


def test_the_average_of_the_weights_is_validated_kept_and_tested(tmp_path: Path) -> None:
    seen = Weights()
    trainer = fitted(tmp_path, 3, AverageWeights(0.6), seen)
    expected = seen.steps[0]
    for count, step in enumerate(seen.steps[1:], start=1):
        decay = min(0.6, (1 + count) / (10 + count))
        expected = {name: decay * value + (1 - decay) * step[name] for name, value in expected.items()}
    kept = CheckpointFiles().load_checkpoint(tmp_path / "last.ckpt")["state_dict"]
    torch.testing.assert_close(kept, expected)
    network = NETWORKS["cnn1d"]((1, 49), 3)
    with torch.no_grad():
        network.load_state_dict(expected)
        loss = torch.stack([F.cross_entropy(network.eval()(batch.inputs), batch.targets) for batch in VAL]).mean()
    assert float(trainer.callback_metrics["val/loss"]) == pytest.approx(loss.item(), rel=1e-5)
    trainer.test(network, loader(TEST), ckpt_path=tmp_path / "last.ckpt", weights_only=True, verbose=False)
    torch.testing.assert_close(dict(network.state_dict()), expected)


def test_an_average_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    fitted(tmp_path / "whole", 4, AverageWeights(0.9))
    fitted(tmp_path / "parts", 2, AverageWeights(0.9))
    fitted(tmp_path / "parts", 4, AverageWeights(0.9), ckpt_path=tmp_path / "parts" / "last.ckpt")
    kept = [CheckpointFiles().load_checkpoint(tmp_path / folder / "last.ckpt") for folder in ("whole", "parts")]
    torch.testing.assert_close(kept[0]["state_dict"], kept[1]["state_dict"], rtol=0, atol=0)
    torch.testing.assert_close(kept[0]["current_model_state"], kept[1]["current_model_state"], rtol=0, atol=0)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_is_at_least_0_and_below_1(decay: float) -> None:
    with pytest.raises(UserError, match=rf"ema_decay={decay} must be"):
        AverageWeights(decay)


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


def fitted(folder: Path, epochs: int, *more: Callback, ckpt_path: Path | None = None, **options: Any) -> Trainer:
    """Trained with checkpoints in ``folder``."""
    torch.manual_seed(0)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[*more, EpochSeed(1), EpochCheckpoint(folder, "best"), EpochCheckpoint(folder, "last")],
        plugins=[CheckpointFiles()],
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"logger": False, **options},
    )
    trainer.fit(NETWORKS["cnn1d"]((1, 49), 3), loader(TRAIN), loader(VAL), ckpt_path=ckpt_path, weights_only=True)
    return trainer


def test_history_has_what_is_logged_of_every_epoch(tmp_path: Path) -> None:
    history = History(["train"])
    logged: dict[int, dict[str, float]] = {}

    class Watch(CSVLogger):
        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            values = {tag: float(value) for tag, value in metrics.items() if "/" in tag}
            assert step is not None
            logged.setdefault(step + 1, {}).update(values)

    trainer = fitted(tmp_path / "a", 3, history, logger=Watch(tmp_path))
    assert history.epochs == logged
    assert set(history.epochs) == {1, 2, 3}
    last = {side: _last_epoch(history.record(), side, ["a", "b", "c"]) for side in ("train", "val")}
    for tag, value in history.epochs[3].items():
        side, _, name = tag.partition("/")
        assert last[side][name] == value
    network: Any = trainer.lightning_module
    for side, clips in (("train", 12), ("val", 18)):
        counts = getattr(network, f"{side}_measures")["confusion"].compute()
        assert torch.equal(history.confusion[side], counts)
        assert counts.sum() == clips


def test_epochs_without_validation_tell_of_training_alone_and_are_kept_in_last(tmp_path: Path) -> None:
    history = History()
    fitted(tmp_path, 3, history, check_val_every_n_epoch=2)
    sides = {epoch: {tag.partition("/")[0] for tag in values} for epoch, values in history.epochs.items()}
    assert sides == {1: {"train"}, 2: {"train", "val"}, 3: {"train"}}
    assert CheckpointFiles().load_checkpoint(tmp_path / "last.ckpt")["epoch"] == 2
    assert CheckpointFiles().load_checkpoint(tmp_path / "best.ckpt")["epoch"] == 1
    last = _last_epoch(history.record(), "val", ["a", "b", "c"])
    assert last["loss"] == history.epochs[2]["val/loss"]


def test_a_history_goes_on_from_a_checkpoint_and_is_left_alone_by_a_test(tmp_path: Path) -> None:
    command = ["python", "train.py", "model=cnn1d", "trainer.max_epochs=2"]
    unbroken, first = History(command), History(command)
    second = History([*command[:2], "ckpt_path=last.ckpt", "trainer.max_epochs=3"])
    fitted(tmp_path / "unbroken", 3, unbroken)
    fitted(tmp_path / "broken", 2, first)
    first_seconds = first.seconds
    table = CSVLogger(tmp_path, name="csv", version="")
    trainer = fitted(tmp_path / "broken", 3, second, ckpt_path=tmp_path / "broken" / "last.ckpt", logger=table)
    assert second.epochs == unbroken.epochs
    assert second.command == [*command[:3], "trainer.max_epochs=3"], "what makes the same run from its beginning"
    assert second.seconds > first_seconds / 2
    assert all(torch.equal(second.confusion[side], unbroken.confusion[side]) for side in ("train", "val"))
    with (tmp_path / "csv" / "metrics.csv").open(newline="") as file:
        assert {row["step"] for row in csv.DictReader(file)} == {"0", "1", "2"}
    trainer.test(dataloaders=loader(TEST), ckpt_path=tmp_path / "broken" / "best.ckpt", weights_only=True)
    assert second.epochs == unbroken.epochs


def test_checkpoints_of_a_folder_that_was_moved_go_on_there(tmp_path: Path) -> None:
    fitted(tmp_path / "old", 2)
    best = CheckpointFiles().load_checkpoint(tmp_path / "old" / "best.ckpt")
    (tmp_path / "old").rename(tmp_path / "new")
    trainer = fitted(tmp_path / "new", 2, ckpt_path=tmp_path / "new" / "last.ckpt")
    kept: list[Any] = trainer.checkpoint_callbacks
    assert [Path(callback.best_model_path) for callback in kept] == [
        tmp_path / "new" / "best.ckpt",
        tmp_path / "new" / "last.ckpt",
    ]
    (state,) = (state for state in best["callbacks"].values() if state.get("monitor") == "val/macro_f1")
    assert kept[0].best_model_score == state["best_model_score"]
    assert not (tmp_path / "old").exists()


def test_patience_that_had_run_out_stays_so_and_a_longer_one_goes_on(tmp_path: Path) -> None:
    class Never(Patience):
        def _evaluate_stopping_criteria(self, current: Any) -> tuple[bool, str | None]:
            self.wait_count += 1
            return self.wait_count >= self.patience, None

    assert fitted(tmp_path, 5, Never(2)).current_epoch == 2
    last = tmp_path / "last.ckpt"
    assert fitted(tmp_path, 5, Never(2), ckpt_path=last).current_epoch == 2
    assert fitted(tmp_path, 5, Never(4), ckpt_path=last).current_epoch == 4


def test_a_checkpoint_that_can_not_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoints" / "last.ckpt"
    state = {"epoch": 0, "weights": torch.arange(3)}
    CheckpointFiles().save_checkpoint(state, path)
    write = Path.write_bytes

    def run_full(self: Path, data: Any) -> int:
        write(self, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", run_full)
    with pytest.raises(WriteError, match=r"last\.ckpt can't be written: No space left on device"):
        CheckpointFiles().save_checkpoint({**state, "epoch": 1}, path)
    kept = CheckpointFiles().load_checkpoint(path)
    assert kept["epoch"] == 0
    assert torch.equal(kept["weights"], state["weights"])
    assert list(path.parent.iterdir()) == [path]
