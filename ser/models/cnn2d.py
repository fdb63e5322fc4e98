"""The report's own 2D mel CNN."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from ser.models.base import KERAS_EPSILON, KERAS_MOMENTUM, EmotionNetwork, convolved, require_size


class Cnn2d(EmotionNetwork):
    """Three convolutions of 7×7, the first two with max-pooling by 2, ReLU and batch norm.

    Conv 16, 24, 24 · flatten · dense 64 ReLU, batch norm · dropout · dense. 951,718 parameters on 128 × 157 and six
    emotions, and 208 running means and variances.

    Args:
        input_shape: ``(1, row, frame)``, at least 46 × 46.
        num_classes: Emotions, at least two.
        dropout: Probability, 0 to 1.
        **training: What every network takes, see ``EmotionNetwork``.
    """

    dimensions = 2
    channels = (16, 24, 24)
    kernels = (7, 7, 7)
    pools = (True, True, False)

    def __init__(self, input_shape: Sequence[int], num_classes: int, dropout: float = 0.2, **training: Any) -> None:
        super().__init__(input_shape, num_classes, **training)
        inputs, rows, frames = input_shape
        require_size(self, "rows", rows, self.kernels, self.pools)
        require_size(self, "frames", frames, self.kernels, self.pools)
        layers: list[nn.Module] = []
        for outputs, kernel, pool in zip(self.channels, self.kernels, self.pools, strict=True):
            # ReLU after pooling is the same function as before it, on a quarter of the numbers.
            pooled = [nn.MaxPool2d(2), nn.ReLU(), nn.BatchNorm2d(outputs, eps=KERAS_EPSILON, momentum=KERAS_MOMENTUM)]
            layers += [nn.Conv2d(inputs, outputs, kernel), *(pooled if pool else [nn.ReLU()])]
            inputs, rows, frames = outputs, convolved(rows, kernel, pool), convolved(frames, kernel, pool)
        layers += [nn.Flatten(), nn.Linear(inputs * rows * frames, 64), nn.ReLU()]
        layers += [
            nn.BatchNorm1d(64, eps=KERAS_EPSILON, momentum=KERAS_MOMENTUM),
            nn.Dropout(dropout),
            nn.Linear(64, num_classes),
        ]
        self.layers = self.build(layers)
