"""Callbacks: what happens during a run beside training."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ser.checkpoint import own_parts
from ser.errors import UserError

RANK_STEP = 2_654_435_761
"""Distance between the seeds of two processes, modulo 2³², because torch reads no more of a seed on a CPU. At this
distance no epoch of one is an epoch of another. It is 2³² divided by the golden ratio (Knuth, The Art of Computer
Programming 3, 6.4)."""


class EpochSeed(Callback):
    """Seeds torch again in each epoch, so that a resumed run draws what the unbroken one would have drawn.

    Where several processes train one network, each draws its own, and rank 0 draws what a single process would
    draw.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Seed torch, so that dropout and augmentation of epoch ``n`` depend only on the seed, ``n`` and the rank."""
        torch.manual_seed(self.seed * 1_000_003 + trainer.current_epoch + trainer.global_rank * RANK_STEP)


class AverageWeights(WeightAveraging):
    """Validates, keeps and tests an exponential moving average of the weights and running statistics of a network.

    Args:
        decay: The average's decay at each step, 0 to 1; it spans about 1 / (1 - decay) steps. Step ``n`` decays by no
            more than (1 + n) / (10 + n), so that a short training does not end near where it began.

    Raises:
        UserError: ``decay`` is below 0, or 1 or more.
    """

    def __init__(self, decay: float) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"ema_decay={decay} must be at least 0 and below 1, or null for no average")

        def average(averaged: Any, current: Any, steps: Any) -> None:
            get_ema_multi_avg_fn(min(decay, (1 + float(steps)) / (10 + float(steps))))(averaged, current, steps)

        super().__init__(multi_avg_fn=average)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Resume with both; a test keeps the average, which Lightning would replace by the last step's weights."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)


class EpochCheckpoint(ModelCheckpoint):
    """Writes one checkpoint in the run folder at the end of epochs.

    ``best`` is written before ``last``. A run that is killed between the two resumes from the older ``last``,
    finds the same epoch to be the best once more, and writes the same ``best``.

    Args:
        folder: The folder that it lies in.
        name: ``best``, by macro F1 on validation, or ``last``, after every epoch.
    """

    def __init__(self, folder: Path, name: str) -> None:
        monitor = "val/macro_f1" if name == "best" else None
        super().__init__(
            folder, name, monitor, mode="max", save_on_train_epoch_end=True, enable_version_counter=False
        )  # fmt: skip

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Note which network the weights are of."""
        own_parts(checkpoint)["network"] = type(pl_module).__name__

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from the state, wherever the run folder lies by now."""
        if state_dict["best_model_path"]:
            here = f"{self.dirpath}/{self.filename}{self.FILE_EXTENSION}"
            moved = {"dirpath": self.dirpath, "best_model_path": here, "kth_best_model_path": here}
            super().load_state_dict({**state_dict, **moved, "best_k_models": {here: state_dict["best_model_score"]}})


class Patience(EarlyStopping):
    """Stops a training whose macro F1 on validation has not risen for ``patience`` epochs."""

    def __init__(self, patience: int) -> None:
        super().__init__("val/macro_f1", mode="max", patience=patience)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from the state, with the patience of this run."""
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop training where that was decided before the run was killed, because Lightning does not note it."""
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Count the last epoch as ended, as Lightning does where training continues or all epochs were seen."""
        progress: Any = trainer.fit_loop.epoch_progress.current
        progress.completed = progress.processed


class History(Callback):
    """Keeps what a run finds, epoch by epoch, in memory and in the checkpoints; a resumed run has all of it.

    Args:
        command: What was typed; of a resumed run, what would make it from its beginning.

    Attributes:
        command: What would make the run from its beginning.
        epochs: Epoch, from 1 → values of training and validation by tag.
        confusion: Side → counts ``(true, predicted)`` of its last epoch.
    """

    def __init__(self, command: Sequence[str] = ()) -> None:
        self.command = list(command)
        self.epochs: dict[int, dict[str, float]] = {}
        self.confusion: dict[str, Tensor] = {}
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds that the run has taken, without the epoch that was lost when it was killed."""
        return time.perf_counter() - self._began

    def record(self) -> dict[str, Any]:
        """Return all of it as plain data and tensors: ``command``, ``epochs``, ``confusion`` and ``seconds``."""
        epochs = {epoch: dict(values) for epoch, values in self.epochs.items()}
        confusion = dict(self.confusion)
        return {"command": self.command, "epochs": epochs, "confusion": confusion, "seconds": self.seconds}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what validation found."""
        if not trainer.sanity_checking:
            self._keep(trainer, pl_module, "val")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep what training found, whose scores are known when checkpoints are written, and put all into this one."""
        self._keep(trainer, pl_module, "train")
        own_parts(checkpoint)["history"] = self.record()

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Resume from a checkpoint. The table of Lightning's CSV logger begins empty and gets the earlier epochs."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        history = own_parts(checkpoint)["history"]
        since = [word for word in self.command[2:] if not word.startswith("ckpt_path=")]
        options = {word.partition("=")[0] for word in since}
        begun = [word for word in history["command"] if word.partition("=")[0] not in options]
        self.command, self.epochs, self.confusion = [*begun, *since], history["epochs"], history["confusion"]
        self._began = time.perf_counter() - history["seconds"]
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger):
                for epoch, values in sorted(self.epochs.items()):
                    logger.log_metrics({"epoch": epoch - 1, **values}, step=epoch - 1)

    def _keep(self, trainer: Trainer, pl_module: LightningModule, side: str) -> None:
        found = {tag: float(value) for tag, value in trainer.callback_metrics.items() if tag.startswith(f"{side}/")}
        self.epochs.setdefault(trainer.current_epoch + 1, {}).update(found)
        self.confusion[side] = getattr(pl_module, f"{side}_measures")["confusion"].compute().cpu()


def gather(rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gather the rows of all processes on each of them, in the order of their clips; every process must call it.

    Args:
        rows: ``clips``, indices ``(row,)``, and what is known of each, ``(row, …)``, on the host.
    """
    parts: list[Any] = [rows]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        parts = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, rows)
    joined = {name: torch.cat([part[name] for part in parts]) for name in rows}
    order = joined["clips"].argsort(stable=True)
    return {name: values[order] for name, values in joined.items()}


class TestAnswers(Callback):
    """Keeps the network's answer to each test clip; after the test, every process has the answers of all of them.

    Attributes:
        logits: ``(clip, class)``, after the test.
        clips: Indices into the data module's clips, ``(clip,)``, from low to high.
    """

    __test__ = False

    def __init__(self) -> None:
        self._answers: list[dict[str, Tensor]] = []
        self.logits = torch.empty(0, 0)
        self.clips = torch.empty(0, dtype=torch.long)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Forget the answers of an earlier test."""
        self._answers.clear()

    def on_test_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *rest: Any, **named: Any) -> None:  # noqa: ARG002
        """Keep the batch's answers on the host."""
        self._answers.append({name: value.cpu() for name, value in outputs.items()})

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Put all answers together."""
        rows = gather({name: torch.cat([answers[name] for answers in self._answers]) for name in ("logits", "clips")})
        self.logits, self.clips = rows["logits"], rows["clips"]
        self._answers.clear()
