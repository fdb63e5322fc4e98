"""What happens during a run beside training."""

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import Logger
from torch import Tensor

from ser.errors import UserError


class EpochSeed(Callback):
    """Seed torch anew for each epoch, so that a resumed run draws what the unbroken one would have drawn."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Dropout and augmentation of epoch ``n`` depend on the seed and ``n`` alone."""
        torch.manual_seed(self.seed * 1_000_003 + trainer.current_epoch)


class Checkpoint(ModelCheckpoint):
    """One checkpoint in the run folder, which a resumed run takes along into its own.

    Args:
        folder: Where it lies.
        name: ``best``, by macro F1 on validation, or ``last``, after every epoch.
        resumed_from: The folder of the checkpoint that this run goes on from.
    """

    def __init__(self, folder: Path, name: str, resumed_from: Path | None) -> None:
        monitor = "val/macro_f1" if name == "best" else None
        super().__init__(folder, name, monitor, mode="max", enable_version_counter=False)
        self.resumed_from = resumed_from

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Copy the checkpoint named in the state into this run's folder, and go on from the state.

        Where it is gone, a warning says so, and only the epochs to come are compared.
        """
        if self.resumed_from is None or state_dict["dirpath"] == self.dirpath:
            super().load_state_dict(state_dict)
            return
        name = Path(state_dict["best_model_path"]).name
        if not name:
            return
        kept = self.resumed_from / name
        if not kept.is_file():
            warnings.warn(f"{kept} is gone: the best of the epochs to come is kept", stacklevel=2)
            return
        assert self.dirpath is not None
        here = Path(self.dirpath) / name
        here.parent.mkdir(parents=True, exist_ok=True)
        if kept.resolve() != here:
            shutil.copyfile(kept, here)
        path = str(here)
        score = state_dict["best_model_score"]
        moved = {"dirpath": self.dirpath, "best_model_path": path, "kth_best_model_path": path}
        super().load_state_dict({**state_dict, **moved, "best_k_models": {path: score}})


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A run's checkpoint, as plain data and tensors on the host.

    Raises:
        UserError: It is not a checkpoint of a run, or broken.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{path} is not a checkpoint of a run, or broken: {error}") from error
    except (RuntimeError, EOFError, UnpicklingError, LookupError, ValueError, AttributeError, TypeError) as error:
        # What torch says of these is long, and advises to load with pickle, which can run what is in the file.
        raise UserError(f"{path} is not a checkpoint of a run, or broken ({type(error).__name__})") from error
    if not isinstance(checkpoint, dict) or not {"epoch", "max_epochs"} <= set(checkpoint):
        raise UserError(f"{path} is not a checkpoint of a run: it does not say how many epochs it has seen")
    return checkpoint


class History(Logger):
    """Keeps what is logged by epoch, in memory.

    Attributes:
        epochs: Epoch, from 1 → values by tag.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epochs: dict[int, dict[str, float]] = {}

    @property
    def name(self) -> str:
        """Lightning asks for one."""
        return "history"

    @property
    def version(self) -> str:
        """Lightning asks for one."""
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """They are kept elsewhere."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep the values of training and validation."""
        values = {tag: float(value) for tag, value in metrics.items() if tag.startswith(("train/", "val/"))}
        if values and step is not None:
            self.epochs.setdefault(int(step) + 1, {}).update(values)


class TestAnswers(Callback):
    """Keeps what the network says of each test clip.

    Attributes:
        logits: ``(clip, class)``, after the test.
        clips: Indices into the data module's clips, ``(clip,)``.
    """

    __test__ = False

    def __init__(self) -> None:
        self._answers: list[dict[str, Tensor]] = []

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start from nothing."""
        self._answers.clear()

    def on_test_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Keep the batch's answers on the host."""
        self._answers.append({name: value.cpu() for name, value in outputs.items()})

    @property
    def logits(self) -> Tensor:
        """``(clip, class)``."""
        return torch.cat([answers["logits"] for answers in self._answers])

    @property
    def clips(self) -> Tensor:
        """``(clip,)``."""
        return torch.cat([answers["clips"] for answers in self._answers])
