"""The report's 1D feature CNN."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from ser.models.base import EmotionNetwork, convolved, require_size


class Cnn1d(EmotionNetwork):
    """Three valid convolutions, each with max-pooling by 2 and ReLU, then a hidden layer of 64.

    Conv 16@12, 24@8, 24@5 · flatten · dense 64 ReLU · dropout · dense. 28,166 parameters on 157 frames and six
    emotions, 58,886 on 314, 88,070 on 471.

    Args:
        input_shape: ``(1, time)``, at least 49 long.
        num_classes: Emotions, at least two.
        dropout: Probability, 0 to 1.
        **training: What every network takes, see ``EmotionNetwork``.
    """

    dimensions = 1
    channels = (16, 24, 24)
    kernels = (12, 8, 5)

    def __init__(self, input_shape: Sequence[int], num_classes: int, dropout: float = 0.2, **training: Any) -> None:
        super().__init__(input_shape, num_classes, **training)
        inputs, size = input_shape
        require_size(self, "numbers a clip", size, self.kernels, (True, True, True))
        layers: list[nn.Module] = []
        for outputs, kernel in zip(self.channels, self.kernels, strict=True):
            # ReLU after pooling is the same function as before it, on half the numbers.
            layers += [nn.Conv2d(inputs, outputs, (1, kernel)), nn.MaxPool2d((1, 2)), nn.ReLU()]
            inputs, size = outputs, convolved(size, kernel, pool=True)
        layers += [nn.Flatten(), nn.Linear(inputs * size, 64), nn.ReLU(), *self.head(dropout, num_classes)]
        self.layers = self.build(layers)

    def head(self, dropout: float, num_classes: int) -> list[nn.Module]:
        """Return the layers after the hidden layer of 64."""
        return [nn.Dropout(dropout), nn.Linear(64, num_classes)]
