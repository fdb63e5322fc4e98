"""A small residual and recurrent network for log-mel spectrograms of any length."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ser.errors import UserError
from ser.models.base import EmotionNetwork

STRIDE = 8
"""Frames of the input per column of the last block."""


class SeResNet(EmotionNetwork):
    """Residual blocks with squeeze-and-excitation, a recurrent layer, and attentive statistics over time.

    A 5×5 convolution of stride 2 and four residual blocks (He et al., 2016, arXiv 1512.03385) of 3×3 convolutions, each
    with squeeze-and-excitation (Hu et al., 2018, arXiv 1709.01507). They make a vector of each 8 frames, a column, and
    a recurrent layer reads the columns forwards and backwards. The mean and the deviation of its outputs over time are
    weighted by attention (Okabe et al., 2018, arXiv 1803.10963); then follow dropout and a dense layer. 572,419
    parameters on 64 rows and six emotions.

    A clip's answer does not depend on its padding: everything after its real frames is held at 0, and left out of every
    mean over time (except, in training, of those that batch norms take).

    Args:
        input_shape: ``(1, row, frame)``. The weights depend only on the rows, so any number of frames can follow.
        num_classes: Emotions, at least two.
        channels: Of the first convolution and of each block.
        width: Numbers in a column's vector.
        recurrent: Hidden units of the recurrent layer in each direction; 0 for none.
        dropout: Probability, 0 to 1.
        speeds: In use a clip is read at each of these speeds, pitch kept, and the mean of the log-probabilities is the
            answer; training reads it once, as it is.
        **training: What every network takes, see ``EmotionNetwork``.

    Raises:
        UserError: A speed is not between 0.5 and 2, or there is none.
    """

    dimensions = 2
    any_length = True
    renamed: ClassVar[dict[str, str]] = {"past": "shortcut", "vector": "projection"}

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        channels: Sequence[int] = (24, 32, 48, 64, 128),
        width: int = 192,
        recurrent: int = 64,
        dropout: float = 0.4,
        speeds: Sequence[float] = (1.0,),
        **training: Any,
    ) -> None:
        super().__init__(input_shape, num_classes, **training)
        if not speeds or not all(0.5 <= speed <= 2 for speed in speeds):
            raise UserError(f"model.speeds={list(speeds)} must be one or more numbers between 0.5 and 2, such as 1.0")
        self.speeds = tuple(speeds)
        rows = input_shape[1]
        strides = [(1, 1), (2, 2), (2, 2), (2, 1)]
        blocks = [
            Block(inputs, outputs, stride)
            for inputs, outputs, stride in zip(channels[:-1], channels[1:], strides, strict=True)
        ]
        for down in (2, *(stride[0] for stride in strides)):
            rows = -(-rows // down)
        layers: list[nn.Module] = [Encoder(channels[0], blocks, nn.Linear(channels[-1] * rows, width))]
        if recurrent:
            layers.append(BiGRU(width, recurrent))
            width = 2 * recurrent
        layers += [AttentiveStatistics(width), nn.BatchNorm1d(2 * width)]
        layers += [nn.Dropout(dropout), nn.Linear(2 * width, num_classes)]
        self.layers = self.build(layers)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Spectrograms ``(batch, 1, row, frame)`` → logits ``(batch, class)``.

        Args:
            inputs: Of any number of frames.
            lengths: Frames of each clip that are real, ``(batch,)``; None where all are. What follows them is ignored.
        """
        images = self.as_images(inputs)
        if self.training or self.speeds == (1.0,):
            return self._logits(images, lengths)
        if lengths is None:
            lengths = torch.full(images.shape[:1], images.shape[3], device=images.device)
        answers = [self._logits(*at_speed(images, lengths, speed)).log_softmax(1) for speed in self.speeds]
        return torch.stack(answers).mean(0)

    def _logits(self, images: Tensor, lengths: Tensor | None) -> Tensor:
        encoder, *others = self.layers
        hidden = encoder(images, lengths)  # two of (batch, column, …): vectors, and 1 for real ones
        for layer in others:
            hidden = layer(hidden)
        return hidden


def at_speed(images: Tensor, lengths: Tensor, speed: float) -> tuple[Tensor, Tensor]:
    """Play spectrograms faster or slower, pitch kept, with linear interpolation between frames.

    Args:
        images: ``(batch, 1, row, frame)``.
        lengths: Frames of each clip that are real, ``(batch,)``.
        speed: 1 for no change, 2 for half as many frames; rounded to a hundredth.

    Returns:
        Spectrograms of ``frame / speed`` frames, 0 after each clip's end, and their real frames ``(batch,)``.
    """
    percent = round(100 * speed)
    if percent == 100:
        return images, lengths
    frames = (100 * images.shape[3] + percent - 1) // percent
    # In hundredths of a frame, whole numbers, so that a clip's end falls on the same frame in any batch.
    places = percent * torch.arange(frames, device=images.device)
    last = (lengths - 1).clamp_min(0).view(-1, 1)
    before = torch.minimum(places // 100, last)  # (batch, frame)
    after = torch.minimum(before + 1, last)
    share = (places % 100).to(images.dtype) / 100
    index = [one[:, None, None].expand(-1, 1, images.shape[2], -1) for one in (before, after)]
    played = torch.lerp(images.gather(3, index[0]), images.gather(3, index[1]), share)
    lengths = torch.where(lengths > 0, 100 * (lengths - 1) // percent + 1, 0)
    inside = torch.arange(frames, device=images.device) < lengths.view(-1, 1, 1, 1)
    return torch.where(inside, played, 0), lengths


class Encoder(nn.Module):
    """Spectrograms → a vector for each column of ``STRIDE`` frames.

    Args:
        channels: Of the first convolution.
        blocks: What follows it.
        projection: From a column's channels and rows to its vector.
    """

    def __init__(self, channels: int, blocks: Sequence[nn.Module], projection: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, channels, 5, stride=2, padding=2, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.blocks = nn.ModuleList(blocks)
        self.projection = projection

    def forward(self, images: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``(batch, 1, row, frame)`` → ``(batch, column, width)``, and 1 for real ones ``(batch, column, 1)``."""
        if lengths is None:
            lengths = torch.full(images.shape[:1], images.shape[3], device=images.device)
        # To whole columns, so that a clip meets the same zeros whatever follows it.
        images = F.pad(images, (0, -images.shape[3] % STRIDE))
        inside = torch.arange(images.shape[3], device=images.device) < lengths.view(-1, 1, 1, 1)
        images = torch.where(inside, images, 0)
        real = inside[:, :, :, ::2].to(images.dtype)  # (batch, 1, 1, frame / 2)
        hidden = F.relu(self.norm(self.stem(images))) * real  # (batch, channel, row / 2, frame / 2)
        for block in self.blocks:
            hidden, real = block(hidden, real)
        columns = F.relu(self.projection(hidden.permute(0, 3, 1, 2).flatten(2)))  # (batch, column, width)
        return columns, real.flatten(1).unsqueeze(2)


class Block(nn.Module):
    """Two 3×3 convolutions with batch norm, squeeze-and-excitation, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.frame_stride = stride[1]
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.squeeze = nn.Linear(outputs, outputs // 4)
        self.excite = nn.Linear(outputs // 4, outputs)
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, hidden: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """``(batch, channel, row, frame)`` and 1 for its real frames ``(batch, 1, 1, frame)`` → the same, strided."""
        after = real[:, :, :, :: self.frame_stride]  # (batch, 1, 1, frame')
        residual = F.relu(self.first_norm(self.first(hidden))) * after  # (batch, channel', row', frame')
        residual = self.second_norm(self.second(residual))
        mean = (residual.mean(2) * after[:, :, 0]).sum(2) / after.sum((2, 3)).clamp_min(1)  # (batch, channel')
        weight = self.excite(F.relu(self.squeeze(mean))).sigmoid()  # (batch, channel')
        return F.relu(weight[:, :, None, None] * residual + self.shortcut(hidden)) * after, after


class BiGRU(nn.Module):
    """A gated recurrent unit (GRU) forwards over the real columns, and another backwards.

    Args:
        width: Numbers of a column.
        hidden: Units each way.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.forwards = nn.GRU(width, hidden, batch_first=True)
        self.backwards = nn.GRU(width, hidden, batch_first=True)

    def forward(self, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Columns ``(batch, column, width)`` and 1 for real ones → ``(batch, column, 2 * hidden)`` and the same."""
        columns, real = inputs
        # From each clip's own last column, so that the padding is read last and changes nothing.
        place = torch.arange(columns.shape[1], device=columns.device)
        turned = (real.sum(1).long() - 1 - place) % columns.shape[1]
        # Under autocast cuDNN runs recurrent layers in float16, even with bf16-mixed, which scales no gradients.
        with torch.autocast(columns.device.type, enabled=False):
            columns = columns.float()
            after = self.forwards(columns)[0]
            before = self.backwards(_at(columns, turned))[0]
        return torch.cat([after, _at(before, turned)], 2), real  # (batch, column, 2 * hidden)


def _at(columns: Tensor, places: Tensor) -> Tensor:
    """Return ``columns`` ``(batch, column, width)`` in the order of ``places`` ``(batch, column)``."""
    return columns.gather(1, places.unsqueeze(2).expand(-1, -1, columns.shape[2]))


class AttentiveStatistics(nn.Module):
    """Mean and deviation over the real columns, each column weighted by what it holds.

    Args:
        width: Numbers of a column.
        hidden: Units of the layer that weighs them.
    """

    def __init__(self, width: int, hidden: int = 64) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """``(batch, column, width)`` and 1 for real columns ``(batch, column, 1)`` → ``(batch, 2 * width)``.

        If masks leave a clip no real column, all its columns are weighed.
        """
        columns, real = inputs[0].float(), inputs[1].float()
        weight = (self.score(columns).float() - 1e4 * (1 - real)).softmax(1)  # (batch, column, 1)
        mean = (weight * columns).sum(1)  # (batch, width)
        variance = (weight * (columns - mean.unsqueeze(1)).square()).sum(1)
        return torch.cat([mean, variance.clamp_min(1e-5).sqrt()], 1)
