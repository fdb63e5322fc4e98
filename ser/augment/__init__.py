"""Augmentation, on the device, in training only: of waveforms, and of normalised features."""

from collections.abc import Mapping
from copy import copy
from typing import Any

from torch import nn

from ser.augment.spectrogram import OFF, SpecAugment
from ser.augment.waveform import EFFECTS, WaveAugment

__all__ = ["EFFECTS", "Augment", "SpecAugment", "WaveAugment"]


class Augment(nn.Module):
    """What happens to training clips: effects on their waveforms, and on their normalised features.

    Args:
        sample_rate: Of the waveforms, hertz.
        wave: Options of ``WaveAugment``, by effect.
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
        self.sample_rate = sample_rate
        self.options = {"wave": dict(wave or {}), "spec": dict(spec or {})}
        self.wave = WaveAugment(sample_rate, **self.options["wave"])
        self.spec = SpecAugment(**self.options["spec"])

    @property
    def active(self) -> bool:
        """Whether anything happens in training."""
        return self.wave.active or self.spec.active

    def each(self) -> dict[str, "Augment"]:
        """Return every effect that is on, by its option, by itself and for every clip; for pictures.

        Raises:
            UserError: A file of recorded noise or rooms can't be used.
        """
        self.wave.read()
        found: dict[str, Augment] = {}
        for name, effect in self.wave.effects.items():
            alone = copy(effect)  # with what was read
            alone.chance = 1.0
            found[f"augment.wave.{name}"] = augment = Augment(self.sample_rate)
            augment.wave.effects = {name: alone}
        spec: dict[str, Any] = {**OFF, **self.options["spec"]}
        for name in OFF:
            if spec[name]:
                options = {**spec, **OFF, name: 1.0 if name == "mixup" else spec[name]}
                found[f"augment.spec.{name}"] = Augment(self.sample_rate, spec=options)
        return found
