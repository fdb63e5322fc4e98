"""The report's wide 1D feature CNN."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from ser.models.base import KERAS_EPSILON, KERAS_MOMENTUM
from ser.models.cnn1d import Cnn1d


class Wide1d(Cnn1d):
    """``Cnn1d`` with conv 256@12, 128@8, 64@5 and a batch norm after its dropout.

    446,470 parameters on 314 frames and six emotions, and 128 running means and variances.
    """

    channels = (256, 128, 64)

    def __init__(self, input_shape: Sequence[int], num_classes: int, dropout: float = 0.5, **training: Any) -> None:
        super().__init__(input_shape, num_classes, dropout, **training)

    def head(self, dropout: float, num_classes: int) -> list[nn.Module]:
        """Return the layers after the hidden layer of 64."""
        return [
            nn.Dropout(dropout),
            nn.BatchNorm1d(64, eps=KERAS_EPSILON, momentum=KERAS_MOMENTUM),
            nn.Linear(64, num_classes),
        ]
