"""Augmentation, on the device, in training only: of waveforms, and of normalised features."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from ser.augment.spectrogram import SpecAugment
from ser.augment.waveform import WaveAugment

__all__ = ["PARTS", "Augment", "SpecAugment", "WaveAugment"]

PARTS: dict[str, type[nn.Module]] = {"wave": WaveAugment, "spec": SpecAugment}
"""Their options are ``augment.wave.NAME`` and ``augment.spec.NAME``."""


class Augment(nn.Module):
    """Both parts.

    Args:
        sample_rate: Of the waveforms, hertz.
        wave: Options of ``WaveAugment``.
        spec: Options of ``SpecAugment``.

    Raises:
        UserError: An option is out of its range.
    """

    def __init__(
        self, sample_rate: int, wave: Mapping[str, Any] | None = None, spec: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.wave = WaveAugment(sample_rate, **(wave or {}))
        self.spec = SpecAugment(**(spec or {}))

    @property
    def active(self) -> bool:
        """Whether anything happens in training."""
        return self.wave.active or self.spec.active
