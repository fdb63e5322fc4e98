"""What happens during a run beside training."""

from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from ser.figures import confusion_figure
from ser.models import EmotionNetwork


class EpochSeed(Callback):
    """Seed torch anew for each epoch, so that a resumed run draws what the unbroken one would have drawn."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._loader_is_begun = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Lightning has begun the first epoch's loader by now; it begins the others after ``on_train_epoch_start``."""
        self._loader_is_begun = True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Dropout and augmentation of epoch ``n`` depend on the seed and ``n`` alone."""
        torch.manual_seed(self.seed * 1_000_003 + trainer.current_epoch)
        if self._loader_is_begun and trainer.current_epoch > 0:
            # The draw that a loader takes when it is begun, which in the unbroken run comes after the seeding.
            torch.empty((), dtype=torch.int64).random_()
        self._loader_is_begun = False


class ConfusionPictures(Callback):
    """Confusion matrices in TensorBoard: validation every few epochs and at the last one, and test.

    Args:
        labels: Emotions in the order of the class indices.
        every_n_epochs: How often validation is drawn; 0 for never.
    """

    def __init__(self, labels: list[str], every_n_epochs: int) -> None:
        if every_n_epochs < 0:
            raise ValueError(f"figure_every_n_epochs={every_n_epochs} must be 0 or more")
        self.labels = labels
        self.every_n_epochs = every_n_epochs

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the epoch's matrix when its turn has come."""
        done = trainer.current_epoch + 1
        if trainer.sanity_checking or not self.every_n_epochs:
            return
        if done % self.every_n_epochs == 0 or done == trainer.max_epochs:
            self._draw(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the test matrix."""
        if self.every_n_epochs:
            self._draw(trainer, pl_module, "test")

    def _draw(self, trainer: Trainer, network: LightningModule, stage: str) -> None:
        assert isinstance(network, EmotionNetwork)
        counts = getattr(network, f"{stage}_details")["confusion"].compute().cpu().numpy()
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                figure = confusion_figure(counts, self.labels, f"{stage}, epoch {trainer.current_epoch + 1}")
                logger.experiment.add_figure(f"{stage}/confusion_matrix", figure, trainer.current_epoch)


class TestAnswers(Callback):
    """Keeps what the network says of each test clip.

    Attributes:
        probabilities: ``(clip, class)``, after the test.
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
    def probabilities(self) -> Tensor:
        """``(clip, class)``."""
        return torch.cat([answers["probabilities"] for answers in self._answers])

    @property
    def clips(self) -> Tensor:
        """``(clip,)``."""
        return torch.cat([answers["clips"] for answers in self._answers])
