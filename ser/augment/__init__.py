"""Augmentation, on the device, in training only: of waveforms, and of normalised features."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from ser.augment.spectrogram import OFF, SpecAugment
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

    Attributes:
        options: What both were made from, ``wave`` and ``spec``.

    Raises:
        UserError: An option is out of its range.
    """

    def __init__(
        self, sample_rate: int, wave: Mapping[str, Any] | None = None, spec: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.options = {"wave": dict(wave or {}), "spec": dict(spec or {})}
        self.wave = WaveAugment(sample_rate, **self.options["wave"])
        self.spec = SpecAugment(**self.options["spec"])

    @property
    def active(self) -> bool:
        """Whether anything happens in training."""
        return self.wave.active or self.spec.active

    def each(self) -> dict[str, "Augment"]:
        """Every effect that is on, by its option, without the others and for every clip; to be shown.

        Raises:
            UserError: A file of recorded noise or rooms can't be used.
        """
        self.wave.read()
        elsewhere = {"noise_folder": None, "impulse_folder": None}  # what is in them has been read
        found: dict[str, Augment] = {}
        for name in self.wave.chances:
            alone: dict[str, Any] = {**self.options["wave"], **elsewhere, **dict.fromkeys(self.wave.chances, 0.0)}
            found[f"augment.wave.{name}"] = augment = Augment(self.wave.sample_rate, {**alone, name: 1.0})
            augment.wave.recorded = self.wave.recorded
        spec: dict[str, Any] = {**OFF, **self.options["spec"]}
        for name in OFF:
            if spec[name]:
                alone = {**spec, **OFF, name: 1.0 if name == "mixup" else spec[name]}
                found[f"augment.spec.{name}"] = Augment(self.wave.sample_rate, spec=alone)
        return found
