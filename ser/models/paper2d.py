"""The 2D mel CNN of Singh & Fang, 2020, "Emotion Recognition in Audio and Video Using Deep Neural Networks".

arXiv 2006.08129. The report rebuilt it with another first kernel and without the third pooling; both forms are here.
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from ser.models.base import EmotionNetwork, convolved, require_size


class Paper2d(EmotionNetwork):
    """The report's form: conv 16@12×6 and 24@8×12, each with max-pooling by 2 and ReLU, conv 24@5×7 ReLU.

    Then flatten · dense 64 ReLU · dropout · dense. Axes are (mel, frame). 897,350 parameters on 128 × 157 and six
    emotions.

    Args:
        input_shape: ``(1, row, frame)``, at least 45 × 55.
        num_classes: Emotions, at least two.
        dropout: Probability, 0 to 1.
        **training: What every network takes, see ``EmotionNetwork``.
    """

    dimensions = 2
    channels = (16, 24, 24)
    kernels: tuple[tuple[int, int], ...] = ((12, 6), (8, 12), (5, 7))
    pools = (True, True, False)

    def __init__(self, input_shape: Sequence[int], num_classes: int, dropout: float = 0.2, **training: Any) -> None:
        super().__init__(input_shape, num_classes, **training)
        inputs, rows, frames = input_shape
        require_size(self, "rows", rows, [kernel[0] for kernel in self.kernels], self.pools)
        require_size(self, "frames", frames, [kernel[1] for kernel in self.kernels], self.pools)
        layers: list[nn.Module] = []
        for outputs, kernel, pool in zip(self.channels, self.kernels, self.pools, strict=True):
            # ReLU after pooling is the same function as before it, on a quarter of the numbers.
            layers += [nn.Conv2d(inputs, outputs, kernel), *([nn.MaxPool2d(2)] if pool else []), nn.ReLU()]
            inputs, rows, frames = outputs, convolved(rows, kernel[0], pool), convolved(frames, kernel[1], pool)
        layers += [nn.Flatten(), nn.Linear(inputs * rows * frames, 64), nn.ReLU()]
        layers += [nn.Dropout(dropout), nn.Linear(64, num_classes)]
        self.layers = self.build(layers)


class Paper2dOriginal(Paper2d):
    """The paper's own form: conv 16@12×16, and a max-pooling after the third convolution as well.

    906,820 parameters on its 200 × 300 inputs and four emotions. ``input_shape`` is at least 49 × 69.
    """

    kernels = ((12, 16), (8, 12), (5, 7))
    pools = (True, True, True)
