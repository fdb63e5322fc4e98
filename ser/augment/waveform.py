"""Augmentation of waveforms, on the device, in training only; drawn anew for each clip and each epoch."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ser import effects
from ser.audio import AudioError, Recording
from ser.bank import WaveformBank, decode, gather
from ser.corpora.clip import SUFFIXES, sound_files
from ser.errors import UserError

ORDER = (
    "speed", "stretch", "pitch", "shift", "reverberation", "noise", "clipping", "telephone", "polarity", "gain",
)  # fmt: skip
"""The talker, the room and what else is heard in it, the microphone, the line, and the level at which it is kept."""

LONGEST_RT60 = 10
"""Seconds, of a cathedral."""


class WaveAugment(nn.Module):
    """Whatever can happen to a clip before features are computed, each with a probability of its own.

    Whether and how much is drawn for each clip, from torch's global generator on the waveforms' device, in the order of
    ``ORDER``. Nothing is limited to full scale. ``ser.effects`` has the formulas; speeds, stretches and pitches are
    rounded to 1 %.

    Args:
        sample_rate: Of the waveforms, hertz.
        noise: Probability that noise is added.
        snr_low_db: Lowest signal-to-noise ratio.
        snr_high_db: Highest.
        noise_folder: Sound files to take noise from, drawn by file and by place, a short one repeated; None for
            synthetic noise between white and brown, whose exponent is drawn from 0 to 2.
        reverberation: Probability that the clip is heard in a room.
        rt60_low_seconds: Shortest reverberation time of synthetic rooms.
        rt60_high_seconds: Longest.
        drr_low_db: Lowest ratio of direct to reverberant energy in synthetic rooms.
        drr_high_db: Highest.
        impulse_folder: Sound files to take impulse responses from; None for synthetic rooms.
        gain: Probability that the level changes.
        gain_db: By up to so much, either way.
        polarity: Probability that the sign changes.
        shift: Probability that sound moves within its clip.
        shift_share: By up to this share of the clip, either way.
        stretch: Probability that the tempo changes, pitch kept.
        stretch_share: By up to this share; 0.1 for 0.9 to 1.1 times the tempo.
        pitch: Probability that the pitch changes, tempo kept.
        pitch_semitones: By up to so much, either way.
        speed: Probability that tempo and pitch change together.
        speed_share: By up to this share; 0.1 for 0.9 to 1.1 times the speed.
        telephone: Probability that only a band of frequencies is left.
        band_low_hz: Where it begins.
        band_high_hz: Where it ends.
        clipping: Probability that peaks are clipped.
        peak_share: Lowest level that they are clipped at, as a share of the clip's peak; the highest is the peak.

    Attributes:
        active: Whether anything happens in training.

    Raises:
        UserError: An option is out of its range, or a folder has no sound files.
    """

    def __init__(
        self,
        sample_rate: int,
        noise: float = 0.0,
        snr_low_db: float = 5.0,
        snr_high_db: float = 30.0,
        noise_folder: str | None = None,
        reverberation: float = 0.0,
        rt60_low_seconds: float = 0.2,
        rt60_high_seconds: float = 0.7,
        drr_low_db: float = 0.0,
        drr_high_db: float = 10.0,
        impulse_folder: str | None = None,
        gain: float = 0.0,
        gain_db: float = 6.0,
        polarity: float = 0.0,
        shift: float = 0.0,
        shift_share: float = 0.1,
        stretch: float = 0.0,
        stretch_share: float = 0.1,
        pitch: float = 0.0,
        pitch_semitones: float = 2.0,
        speed: float = 0.0,
        speed_share: float = 0.1,
        telephone: float = 0.0,
        band_low_hz: float = 300.0,
        band_high_hz: float = 3400.0,
        clipping: float = 0.0,
        peak_share: float = 0.3,
    ) -> None:
        super().__init__()
        chances = {
            "speed": speed, "stretch": stretch, "pitch": pitch, "shift": shift, "reverberation": reverberation,
            "noise": noise, "clipping": clipping, "telephone": telephone, "polarity": polarity, "gain": gain,
        }  # fmt: skip
        for name, share in {**chances, "shift_share": shift_share, "peak_share": peak_share}.items():
            if not 0 <= share <= 1:
                raise UserError(f"augment.wave.{name}={share} must lie between 0 and 1")
        for name, share in {"stretch_share": stretch_share, "speed_share": speed_share}.items():
            if not 0 <= share <= 0.5:
                raise UserError(f"augment.wave.{name}={share} must lie between 0 and 0.5: 0.1 is 0.9 to 1.1 times")
        if not 0 <= pitch_semitones <= 12:
            raise UserError(f"augment.wave.pitch_semitones={pitch_semitones} must lie between 0 and 12, an octave")
        if not 0 <= gain_db < math.inf:
            raise UserError(f"augment.wave.gain_db={gain_db} must be 0 dB or more")
        if not 0 < rt60_low_seconds <= rt60_high_seconds <= LONGEST_RT60:
            raise UserError(
                f"augment.wave.rt60_low_seconds={rt60_low_seconds} and "
                f"augment.wave.rt60_high_seconds={rt60_high_seconds} must be in this order between 0 and "
                f"{LONGEST_RT60} s"
            )
        for low_name, low, high_name, high in (
            ("snr_low_db", snr_low_db, "snr_high_db", snr_high_db),
            ("drr_low_db", drr_low_db, "drr_high_db", drr_high_db),
        ):
            if not -math.inf < low <= high < math.inf:
                raise UserError(f"augment.wave.{low_name}={low} must not be above augment.wave.{high_name}={high}")
        if telephone and not 0 < band_low_hz < band_high_hz < sample_rate / 2:
            raise UserError(
                f"augment.wave.band_low_hz={band_low_hz} and augment.wave.band_high_hz={band_high_hz} must be in this "
                f"order between 0 and {sample_rate / 2:g} Hz, half of features.sample_rate: set "
                "augment.wave.telephone=0, or others"
            )
        self.noise_files = _files("noise_folder", noise_folder)
        self.impulse_files = _files("impulse_folder", impulse_folder)
        self.sample_rate = sample_rate
        self.chances = {name: chances[name] for name in ORDER if chances[name]}
        self.snr_db = (snr_low_db, snr_high_db)
        self.rt60_seconds = (rt60_low_seconds, rt60_high_seconds)
        self.drr_db = (drr_low_db, drr_high_db)
        self.band_hz = (band_low_hz, band_high_hz)
        self.gain_db = gain_db
        self.shift_share = shift_share
        self.stretch_share = stretch_share
        self.pitch_semitones = pitch_semitones
        self.speed_share = speed_share
        self.peak_share = peak_share
        self.active = bool(self.chances)
        self.recorded: dict[str, WaveformBank] = {}

    def read(self) -> None:
        """Read the recorded noise and the impulse responses that clips will draw from; once, into main memory.

        Raises:
            UserError: One of the files can't be used.
        """
        for name, option, files in (
            ("noise", "noise_folder", self.noise_files),
            ("reverberation", "impulse_folder", self.impulse_files),
        ):
            if files and name in self.chances and name not in self.recorded:
                self.recorded[name] = _read(option, files, self.sample_rate)

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
        for name, chance in self.chances.items():
            rows = torch.nonzero(torch.rand(len(waveforms), device=waveforms.device) < chance).squeeze(1)
            if len(rows):
                changed, ends = getattr(self, f"_{name}")(waveforms[rows], lengths[rows])
                waveforms[rows], lengths[rows] = changed, ends
        return waveforms, lengths

    def _speed(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        factors = 1 + _either_way(waveforms, self.speed_share)
        return _fitted(*effects.change_speed(waveforms, lengths, factors), waveforms.shape[1])

    def _stretch(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        rates = 1 + _either_way(waveforms, self.stretch_share)
        return _fitted(*effects.stretch_time(waveforms, lengths, self.sample_rate, rates), waveforms.shape[1])

    def _pitch(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        semitones = _either_way(waveforms, self.pitch_semitones)
        return effects.shift_pitch(waveforms, lengths, self.sample_rate, semitones), lengths

    def _shift(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        shifts = (_either_way(waveforms, self.shift_share) * lengths).round().long()
        return effects.shift_time(waveforms, lengths, shifts), lengths

    def _reverberation(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        if (bank := self.recorded.get("reverberation")) is not None:
            which = torch.randint(len(bank), lengths.shape, device=waveforms.device)
            responses = bank.gather(which.cpu(), int(bank.lengths.max()))[0].to(waveforms.device)
        else:
            rt60, drr = (_between(waveforms, *bounds) for bounds in (self.rt60_seconds, self.drr_db))
            responses = effects.impulse_responses(rt60, self.sample_rate, drr)
        return effects.reverberate(waveforms, lengths, responses), lengths

    def _noise(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        samples = waveforms.shape[1]
        if (bank := self.recorded.get("noise")) is not None:
            which = torch.randint(len(bank), lengths.shape, device=waveforms.device).cpu()
            size = bank.lengths[which, None]
            start = (_between(waveforms, 0, 1).cpu()[:, None] * size).long()
            place = (start + torch.arange(samples)) % size
            noise = bank.samples[bank.starts[which, None] + place].to(waveforms)
        else:
            noise = effects.coloured_noise(_between(waveforms, 0, 2), samples)
        return effects.add_noise(waveforms, lengths, noise, _between(waveforms, *self.snr_db)), lengths

    def _clipping(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return effects.clip_peaks(waveforms, _between(waveforms, self.peak_share, 1)), lengths

    def _telephone(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        low, high = (torch.full(lengths.shape, float(edge), device=waveforms.device) for edge in self.band_hz)
        return effects.band_pass(waveforms, lengths, self.sample_rate, low, high), lengths

    def _polarity(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return -waveforms, lengths

    def _gain(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return effects.change_gain(waveforms, _either_way(waveforms, self.gain_db)), lengths


def _files(option: str, folder: str | None) -> list[Path]:
    """The sound files anywhere below ``folder``."""
    if folder is None:
        return []
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise UserError(f"augment.wave.{option}={folder} is no folder: give one that holds sound files, or null")
    if not (files := list(sound_files(root))):
        raise UserError(
            f"augment.wave.{option}={folder} holds no sound file ({', '.join(SUFFIXES)}): give a folder that does, "
            "or null"
        )
    return files


def _read(option: str, files: Sequence[Path], sample_rate: int) -> WaveformBank:
    """Decode recorded noise or impulse responses."""
    recordings: list[Recording] = []
    for path, outcome in zip(files, decode(files, sample_rate), strict=True):
        if isinstance(outcome, AudioError):
            raise UserError(f"augment.wave.{option}: {outcome}; mend the file, or take it away") from outcome
        if outcome.silent:
            raise UserError(f"augment.wave.{option}: {path} is silent; take it away")
        recordings.append(outcome)
    return WaveformBank.of([recording.samples for recording in recordings])


def _fitted(waveforms: Tensor, lengths: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """``(batch, samples)``; what is longer is cropped at random."""
    start = (_between(waveforms, 0, 1) * ((lengths - samples).clamp_min(0) + 1)).long()
    rows = torch.arange(len(waveforms), device=waveforms.device) * waveforms.shape[1]
    return gather(waveforms.flatten(), rows + start, lengths.clamp_max(samples), samples)


def _between(waveforms: Tensor, low: float, high: float) -> Tensor:
    """A number for each clip, ``(batch,)``."""
    return low + (high - low) * torch.rand(len(waveforms), device=waveforms.device)


def _either_way(waveforms: Tensor, most: float) -> Tensor:
    """A number between ``-most`` and ``most`` for each clip, ``(batch,)``."""
    return _between(waveforms, -most, most)
