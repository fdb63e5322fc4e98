"""What all networks share: loss, optimiser, metrics."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from ser.errors import UserError
from ser.evaluation.metrics import MeanLoss, measures

SCHEDULES = ("constant", "onecycle")

KERAS_MOMENTUM = 0.01
"""Momentum of a batch norm: Keras's default in torch's terms, which Keras calls 0.99."""

KERAS_EPSILON = 1e-3
"""Epsilon of a batch norm: Keras's default."""


class ShapeError(UserError):
    """An input that a network's layers don't fit; the message says what would."""


class Batch(NamedTuple):
    """What a network gets from the data module.

    Attributes:
        inputs: ``(batch, *input_shape)``; with ``features.fine_tune`` waveforms ``(batch, time)``.
        targets: Class indices ``(batch,)``.
        clips: Indices of the clips in the data module's list, ``(batch,)``.
        soft: Probabilities to train towards in place of ``targets``, ``(batch, class)``, or None.
        lengths: Frames of each clip that are real and not padding, ``(batch,)``; with ``features.fine_tune`` samples.
            None where all are real.
    """

    inputs: Tensor
    targets: Tensor
    clips: Tensor
    soft: Tensor | None = None
    lengths: Tensor | None = None


class EmotionNetwork(LightningModule):
    """A classifier of fixed-size feature inputs, trained by cross-entropy with Adam.

    A subclass gives its layers. The report's networks are Keras's, so what the two libraries do differently follows
    Keras: Glorot-uniform weights, zero biases, Adam's epsilon 1e-7. The defaults are the report's.

    Args:
        input_shape: Shape of one clip: ``(1, row, frame)``, ``(1, time)`` or ``(1, 2, channel, layer)``.
        num_classes: Emotions, at least two.
        learning_rate: Adam's; with ``onecycle`` the highest one.
        schedule: ``constant``, or ``onecycle`` over the whole training (Smith & Topin, 2017, arXiv 1708.07120).
        weight_decay: Decoupled, as in AdamW.
        label_smoothing: Share of each target spread evenly over the classes, 0 to 1; in training only.

    Raises:
        ShapeError: The layers don't fit ``input_shape``.
        UserError: A number is out of its range.
    """

    dimensions: int
    """Dimensions of the features that the network reads: 1, 2, or 3 for what pretrained networks give."""

    any_length: bool = False
    """Whether clips of other lengths than ``input_shape``'s can be read."""

    layers: nn.Sequential
    """Layers from ``(batch, 1, row, frame)`` to logits, the last one dense; a 1D network's input is one row."""

    renamed: ClassVar[dict[str, str]] = {}
    """Parts of parameters' names in earlier versions, and what they are called now; read from any checkpoint."""

    initialized: bool = False
    """Whether the weights are those of another run, ``init_from=``."""

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        learning_rate: float = 1e-3,
        schedule: str = "constant",
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise UserError(f"num_classes={num_classes}: there must be at least two emotions to tell apart")
        if schedule not in SCHEDULES:
            raise UserError(f"model.schedule={schedule!r} must be one of {', '.join(SCHEDULES)}")
        if not 0 <= learning_rate < math.inf:
            raise UserError(f"model.learning_rate={learning_rate} must be 0 or more")
        if not 0 <= weight_decay < math.inf:
            raise UserError(f"model.weight_decay={weight_decay} must be 0 or more")
        if not 0 <= label_smoothing < 1:
            raise UserError(f"model.label_smoothing={label_smoothing} must lie between 0 and 1")
        if len(input_shape) != self.dimensions + 1:
            raise ShapeError(f"{type(self).__name__} reads {self.dimensions}D features, not inputs of {input_shape}")
        self.save_hyperparameters(logger=False)
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.train_loss = MeanLoss()
        self.val_loss = MeanLoss()
        self.train_measures = measures(num_classes)
        self.val_measures = measures(num_classes)

    def build(self, layers: Sequence[nn.Module]) -> nn.Sequential:
        """Chain ``layers``, start their weights as Keras does, and lay them out channels-last.

        So laid out, training takes about half the time, also with convolutions over one row; torch's 1D convolutions
        and poolings have no such layout.
        """
        for layer in layers:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        return nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Inputs ``(batch, *input_shape)`` → logits ``(batch, class)``.

        Args:
            inputs: Features, padded.
            lengths: Frames of each clip that are real, ``(batch,)``; None where all are. A network of one length reads
                padding like any other frame, and ignores them.
        """
        return self.layers(self.as_images(inputs))

    def as_images(self, inputs: Tensor) -> Tensor:
        """Return inputs ``(batch, *input_shape)`` as ``layers`` read them, ``(batch, 1, row, frame)`` channels-last."""
        return (inputs if self.dimensions == 2 else inputs.unsqueeze(2)).to(memory_format=torch.channels_last)

    def loss(self, batch: Batch, logits: Tensor | None = None) -> Tensor:
        """Return the cross-entropy of training, against soft targets where the batch has any, with label smoothing.

        Args:
            batch: The clips.
            logits: The network's answers to them ``(batch, class)``; None to compute them.
        """
        logits = self(batch.inputs, batch.lengths) if logits is None else logits
        targets = batch.targets if batch.soft is None else batch.soft
        return F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)

    def training_step(self, batch: Batch) -> Tensor:
        """Return the loss; scores are taken from the same pass, with dropout on."""
        logits = self(batch.inputs, batch.lengths)
        loss = self.loss(batch, logits)
        self.train_measures.update(logits, batch.targets)
        self.train_loss.update(loss, len(batch.targets))
        return loss

    def on_train_epoch_start(self) -> None:
        """Forget the last epoch's measures."""
        self.train_measures.reset()

    def on_train_epoch_end(self) -> None:
        """Log the training scores of the epoch."""
        self._log_epoch("train")

    def validation_step(self, batch: Batch) -> None:
        """Update the loss and the scores."""
        logits = self(batch.inputs, batch.lengths)
        self.val_measures.update(logits, batch.targets)
        self.val_loss.update(F.cross_entropy(logits, batch.targets), len(batch.targets))

    def on_validation_epoch_end(self) -> None:
        """Log the validation scores of the epoch."""
        self._log_epoch("val")

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's measures, which callbacks read until now."""
        self.val_measures.reset()

    def test_step(self, batch: Batch) -> dict[str, Tensor]:
        """Return ``logits`` ``(batch, class)`` and ``clips`` ``(batch,)``, from which the run computes its scores.

        In single precision, whatever the training's, so that a score says what prediction will answer.
        """
        with torch.autocast(self.device.type, enabled=False):
            logits = self(batch.inputs, batch.lengths)
        return {"logits": logits, "clips": batch.clips}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        for name in [name for name in state_dict if name.startswith(prefix)]:
            now = ".".join(self.renamed.get(part, part) for part in name.split("."))
            state_dict[now] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *others)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the parameters to train, in groups where a learning rate is not ``learning_rate``."""
        return [{"params": list(self.parameters())}]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return Adam, and the learning rate's schedule by step."""
        # Lightning can't clip gradients for a fused optimiser in mixed precision.
        clips = self._trainer is not None and bool(self._trainer.gradient_clip_val)
        optimizer = torch.optim.AdamW(
            self.parameter_groups(),
            lr=self.learning_rate,
            eps=1e-7,
            weight_decay=self.weight_decay,
            fused=not clips,
        )
        if self.schedule == "constant":
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        highest = [group["lr"] for group in optimizer.param_groups]
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, highest, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _log_epoch(self, side: str) -> None:
        """Log the loss and the scores of a side, over the clips of all processes, with the epoch as TensorBoard's step.

        All measures are computed, and so kept: computing gathers from all processes, and what reads them later may run
        on only one.
        """
        loss = getattr(self, f"{side}_loss")
        values = getattr(self, f"{side}_measures").compute()
        scores = {f"{side}/{name}": value for name, value in values.items() if value.ndim == 0}
        self.log_dict({f"{side}/loss": loss.compute(), **scores, "step": float(self.current_epoch)})
        loss.reset()


def convolved(size: int, kernel: int, pool: bool) -> int:
    """Return the size that a valid convolution of stride 1, and then a pooling by 2, leave; 0 or less for nothing."""
    return (size - kernel + 1) // (2 if pool else 1)


def least_size(kernels: Sequence[int], pools: Sequence[bool]) -> int:
    """Return the smallest size from which a chain of ``convolved`` leaves 1."""
    size = 1
    for kernel, pool in zip(reversed(kernels), reversed(pools), strict=True):
        size = size * (2 if pool else 1) + kernel - 1
    return size


def require_size(network: EmotionNetwork, axis: str, size: int, kernels: Sequence[int], pools: Sequence[bool]) -> None:
    """Refuse an input that the convolutions use up.

    Raises:
        ShapeError: It has less than ``least_size`` of ``axis``.
    """
    least = least_size(kernels, pools)
    if size < least:
        raise ShapeError(
            f"{type(network).__name__} needs at least {least} {axis}, and the features have {size}; "
            "take longer clips (or a larger datamodule.max_seconds), a smaller features.hop_length or more rows"
        )
