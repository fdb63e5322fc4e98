"""Augmentation of waveforms, on the device, in training only; drawn again for each clip and each epoch.

An effect is one class here, and a place in ``EFFECTS``. Its fields are its options, ``augment.wave.NAME.FIELD``.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ser.augment import effects
from ser.data.audio import AudioError
from ser.data.bank import WaveformBank, decode, gather
from ser.data.corpora.clip import SUFFIXES, sound_files
from ser.errors import UserError

CATHEDRAL = (sys.float_info.min, 10, "must lie between 0 and 10 s")
"""Range of reverberation times in seconds, and its rule for the message."""

TIMES = "must lie between 0 and 0.5: 0.1 is 0.9 to 1.1 times"


def within(default: Any, low: float, high: float, rule: str = "must lie between 0 and 1") -> Any:
    """Make an option whose value lies between ``low`` and ``high``, as ``rule`` says."""
    return field(default=default, metadata={"bounds": (low, high, rule)})


def check_bounds(options: Any, group: str) -> None:
    """Check the fields of a data class that ``within`` made; ``group`` is the beginning of their names in messages.

    Raises:
        UserError: A value is out of its range.
    """
    for option in fields(options):
        if "bounds" in option.metadata:
            low, high, rule = option.metadata["bounds"]
            if not low <= (value := getattr(options, option.name)) <= high:
                raise UserError(f"{group}.{option.name}={value} {rule}")


@dataclass
class Effect:
    """Something that can happen to a clip before features are computed.

    Args:
        sample_rate: Of the waveforms, hertz.
        chance: Probability that it happens to a clip, 0 to 1.

    Raises:
        UserError: An option is out of its range.
    """

    sample_rate: int
    chance: float = within(0.0, 0, 1)

    def __post_init__(self) -> None:
        check_bounds(self, f"augment.wave.{self.name()}")
        for option in fields(self):
            value, other = getattr(self, option.name), option.name.replace("low", "high")
            if other != option.name:
                self.require(
                    -math.inf < value <= getattr(self, other) < math.inf, "must be in this order", option.name, other
                )

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Change clips ``(batch, sample)`` that are 0 from ``lengths`` ``(batch,)`` on; draws what is random."""
        raise NotImplementedError

    @classmethod
    def name(cls) -> str:
        """Return the effect's name on the command line."""
        return cls.__name__.lower()

    def require(self, holds: bool, rule: str, *options: str) -> None:
        """Refuse the values of ``options`` unless ``rule`` holds.

        Raises:
            UserError: It does not.
        """
        if not holds:
            values = " and ".join(f"augment.wave.{self.name()}.{option}={getattr(self, option)}" for option in options)
            raise UserError(f"{values} {rule}")


@dataclass
class Recorded(Effect):
    """An effect that can take its sound from files.

    Args:
        folder: Folder with sound files anywhere below it; None for synthetic sound.

    Attributes:
        bank: What is in the files once they are read, in main memory.

    Raises:
        UserError: The folder has no sound files.
    """

    folder: str | None = None
    bank: WaveformBank | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.folder is not None:
            root = Path(self.folder).expanduser()
            self.require(root.is_dir(), "is no folder: give one that holds sound files, or null", "folder")
            none = f"holds no sound file ({', '.join(SUFFIXES)}): give a folder that does, or null"
            self.require(any(sound_files(root)), none, "folder")

    def read(self) -> None:
        """Decode the files, once.

        Raises:
            UserError: One of them can't be used.
        """
        if self.folder is None or self.bank is not None:
            return
        files = list(sound_files(Path(self.folder).expanduser()))
        sounds = []
        for path, outcome in zip(files, decode(files, self.sample_rate), strict=True):
            if isinstance(outcome, AudioError):
                raise UserError(f"augment.wave.{self.name()}.folder: {outcome}; mend the file, or take it away")
            if outcome.silent:
                raise UserError(f"augment.wave.{self.name()}.folder: {path} is silent; take it away")
            sounds.append(outcome.samples)
        self.bank = WaveformBank.of(sounds)


@dataclass
class Speed(Effect):
    """Tempo and pitch change together, by up to ``share``; 0.1 for 0.9 to 1.1 times the speed."""

    share: float = within(0.1, 0, 0.5, TIMES)

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Play clips faster or slower; what no longer fits is cropped at random."""
        factors = 1 + _either_way(waveforms, self.share)
        return _fitted(*effects.change_speed(waveforms, lengths, factors), waveforms.shape[1])


@dataclass
class Stretch(Effect):
    """The tempo changes, pitch kept, by up to ``share``; 0.1 for 0.9 to 1.1 times the tempo."""

    share: float = within(0.1, 0, 0.5, TIMES)

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Stretch or squeeze clips in time; what no longer fits is cropped at random."""
        rates = 1 + _either_way(waveforms, self.share)
        return _fitted(*effects.stretch_time(waveforms, lengths, self.sample_rate, rates), waveforms.shape[1])


@dataclass
class Pitch(Effect):
    """The pitch changes, tempo kept, by up to ``semitones`` either way."""

    semitones: float = within(2.0, 0, 12, "must lie between 0 and 12, an octave")

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Raise or lower the pitch."""
        semitones = _either_way(waveforms, self.semitones)
        return effects.shift_pitch(waveforms, lengths, self.sample_rate, semitones), lengths


@dataclass
class Shift(Effect):
    """Sound moves within its clip, by up to ``share`` of the clip either way."""

    share: float = within(0.1, 0, 1)

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Move clips within their length."""
        shifts = (_either_way(waveforms, self.share) * lengths).round().long()
        return effects.shift_time(waveforms, lengths, shifts), lengths


@dataclass
class Reverberation(Recorded):
    """The clip sounds in a room: a synthetic one, or one whose impulse response lies in ``folder``.

    Args:
        rt60_low_seconds: Shortest reverberation time of synthetic rooms.
        rt60_high_seconds: Longest.
        drr_low_db: Lowest ratio of direct to reverberant energy in synthetic rooms.
        drr_high_db: Highest.
    """

    rt60_low_seconds: float = within(0.2, *CATHEDRAL)
    rt60_high_seconds: float = within(0.7, *CATHEDRAL)
    drr_low_db: float = 0.0
    drr_high_db: float = 10.0

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Put clips into rooms."""
        if self.bank is not None:
            which = torch.randint(len(self.bank), lengths.shape, device=waveforms.device)
            responses = self.bank.gather(which.cpu(), int(self.bank.lengths.max()))[0].to(waveforms.device)
        else:
            rt60 = _between(waveforms, self.rt60_low_seconds, self.rt60_high_seconds)
            drr = _between(waveforms, self.drr_low_db, self.drr_high_db)
            responses = effects.impulse_responses(rt60, self.sample_rate, drr)
        return effects.reverberate(waveforms, lengths, responses), lengths


@dataclass
class Noise(Recorded):
    """Noise is added: from ``folder``, or synthetic, between white and brown.

    Recorded noise is drawn by file and by place, a short file repeated; the exponent of synthetic noise from 0 to 2.

    Args:
        snr_low_db: Lowest signal-to-noise ratio.
        snr_high_db: Highest.
    """

    snr_low_db: float = 5.0
    snr_high_db: float = 30.0

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Add noise to clips."""
        samples = waveforms.shape[1]
        if (bank := self.bank) is not None:
            which = torch.randint(len(bank), lengths.shape, device=waveforms.device).cpu()
            size = bank.lengths[which, None]
            start = (_between(waveforms, 0, 1).cpu()[:, None] * size).long()
            place = (start + torch.arange(samples)) % size  # (batch, sample)
            noise = bank.samples[bank.starts[which, None] + place].to(waveforms)
        else:
            noise = effects.coloured_noise(_between(waveforms, 0, 2), samples)
        snr = _between(waveforms, self.snr_low_db, self.snr_high_db)
        return effects.add_noise(waveforms, lengths, noise, snr), lengths


@dataclass
class Clipping(Effect):
    """Peaks are clipped, at a level between ``peak_share`` of the clip's peak and the peak itself."""

    peak_share: float = within(0.3, 0, 1)

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Clip the peaks."""
        return effects.clip_peaks(waveforms, _between(waveforms, self.peak_share, 1)), lengths


@dataclass
class Telephone(Effect):
    """Only frequencies from ``low_hz`` to ``high_hz`` are left."""

    low_hz: float = 300.0
    high_hz: float = 3400.0

    def __post_init__(self) -> None:
        super().__post_init__()
        rule = (
            f"must be in this order between 0 and {self.sample_rate / 2:g} Hz, half of features.sample_rate: set "
            "augment.wave.telephone.chance=0, or others"
        )
        holds = not self.chance or 0 < self.low_hz < self.high_hz < self.sample_rate / 2
        self.require(holds, rule, "low_hz", "high_hz")

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Take away what lies outside the band."""
        low, high = (
            torch.full(lengths.shape, float(hz), device=waveforms.device) for hz in (self.low_hz, self.high_hz)
        )
        return effects.band_pass(waveforms, lengths, self.sample_rate, low, high), lengths


@dataclass
class Polarity(Effect):
    """The sign changes."""

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn the sign round."""
        return -waveforms, lengths


@dataclass
class Gain(Effect):
    """The level changes, by up to ``db`` decibels either way."""

    db: float = within(6.0, 0, sys.float_info.max, "must be 0 dB or more")

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Make clips louder or softer."""
        return effects.change_gain(waveforms, _either_way(waveforms, self.db)), lengths


EFFECTS: dict[str, type[Effect]] = {
    effect.name(): effect
    for effect in (Speed, Stretch, Pitch, Shift, Reverberation, Noise, Clipping, Telephone, Polarity, Gain)
}
"""Every effect by its name on the command line, in the order in which they happen.

The talker, the room and what else sounds in it, the microphone, the line, and the level at which it is kept.
"""

RENAMED = {
    **{name: f"{name}.chance" for name in EFFECTS},
    **{name: f"noise.{name}" for name in ("snr_low_db", "snr_high_db")},
    **{f"rt60_{end}_seconds": f"reverberation.rt60_{end}_seconds" for end in ("low", "high")},
    **{f"drr_{end}_db": f"reverberation.drr_{end}_db" for end in ("low", "high")},
    "noise_folder": "noise.folder", "impulse_folder": "reverberation.folder", "gain_db": "gain.db",
    "shift_share": "shift.share", "stretch_share": "stretch.share", "pitch_semitones": "pitch.semitones",
    "speed_share": "speed.share", "band_low_hz": "telephone.low_hz", "band_high_hz": "telephone.high_hz",
    "peak_share": "clipping.peak_share",
}  # fmt: skip
"""Options of ``augment.wave`` as earlier versions had them, and what they are called now."""


def converted(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of ``augment.wave`` of any version as they are now: effect → option → value."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            found[name] = {**value}
        elif name in RENAMED:
            effect, _, option = RENAMED[name].partition(".")
            found.setdefault(effect, {})[option] = value
    return found


class WaveAugment(nn.Module):
    """Whatever can happen to a clip before features are computed, each effect with a probability of its own.

    Whether and how much is drawn for each clip, from torch's global generator on the waveforms' device, in the order of
    ``EFFECTS``. Nothing is limited to full scale. ``ser.augment.effects`` has the formulas; speeds, stretches and
    pitches are rounded to 1 %.

    Args:
        sample_rate: Of the waveforms, hertz.
        **options: Options of each effect, by its name.

    Attributes:
        effects: Effects that can happen, by name.

    Raises:
        UserError: There is no such effect, an option is out of its range, or a folder has no sound files.
    """

    def __init__(self, sample_rate: int, **options: Mapping[str, Any]) -> None:
        super().__init__()
        if unknown := options.keys() - EFFECTS:
            raise UserError(f"augment.wave.{min(unknown)} is no effect: take {', '.join(EFFECTS)}")
        made = {name: effect(sample_rate, **options.get(name, {})) for name, effect in EFFECTS.items()}
        self.effects = {name: effect for name, effect in made.items() if effect.chance}

    @property
    def active(self) -> bool:
        """Whether anything happens in training."""
        return bool(self.effects)

    def read(self) -> None:
        """Read the recorded noise and the impulse responses that clips will draw from; once, into main memory.

        Raises:
            UserError: One of the files can't be used.
        """
        for effect in self.effects.values():
            if isinstance(effect, Recorded):
                effect.read()

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Change clips; unchanged outside training.

        Args:
            waveforms: ``(batch, sample)`` with full scale at ±1, 0 after each clip's end.
            lengths: Samples of each clip before its end, ``(batch,)``.

        Returns:
            The same shapes; a clip that has become longer than ``sample`` is cropped at random.

        Raises:
            UserError: A file of recorded noise or impulse responses can't be used.
        """
        if not self.training or not self.active:
            return waveforms, lengths
        self.read()
        waveforms, lengths = waveforms.clone(), lengths.clone()
        for effect in self.effects.values():
            rows = torch.nonzero(torch.rand(len(waveforms), device=waveforms.device) < effect.chance).squeeze(1)
            if len(rows):
                waveforms[rows], lengths[rows] = effect(waveforms[rows], lengths[rows])
        return waveforms, lengths


def _fitted(waveforms: Tensor, lengths: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Return ``(batch, samples)``; longer clips are cropped at random."""
    start = (_between(waveforms, 0, 1) * ((lengths - samples).clamp_min(0) + 1)).long()
    rows = torch.arange(len(waveforms), device=waveforms.device) * waveforms.shape[1]
    return gather(waveforms.flatten(), rows + start, lengths.clamp_max(samples), samples)


def _between(waveforms: Tensor, low: float, high: float) -> Tensor:
    """Draw a number between ``low`` and ``high`` for each clip, ``(batch,)``."""
    return low + (high - low) * torch.rand(len(waveforms), device=waveforms.device)


def _either_way(waveforms: Tensor, most: float) -> Tensor:
    """Draw a number between ``-most`` and ``most`` for each clip, ``(batch,)``."""
    return _between(waveforms, -most, most)
