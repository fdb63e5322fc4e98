"""Augmentation of waveforms (being written)."""

from torch import Tensor, nn


class WaveAugment(nn.Module):
    """Nothing yet.

    Args:
        sample_rate: Hertz.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.active = False

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """As they are."""
        return waveforms, lengths
