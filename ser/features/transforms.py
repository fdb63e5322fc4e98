"""Waveforms → features, as modules over torchaudio's transforms.

Each takes waveforms ``(batch, time)`` with full scale at ±1 and gives ``(batch, row, frame)``; frame ``t`` is centred
on sample ``t * hop_length``, and there are ``1 + time // hop_length`` of them. Definitions are those of librosa, which
the tests compare with. A clip's features never depend on the clips beside it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchaudio.functional import create_dct
from torchaudio.transforms import AmplitudeToDB, MelScale, Spectrogram

from ser.errors import UserError
from ser.features.config import FeatureConfig

FILTER_GROUPS = 2
"""Parts of a mel filter bank. More are less work, but two threads of one process then wait longer for one another."""

LARGEST_FRAME = 1 << 20
"""Most samples of a frame."""

LARGEST_FILTERS = 1 << 24
"""Most numbers of a bank of mel filters, over all bins of all filters."""

ZERO_CROSSING_THRESHOLD = 1e-10
"""Samples no larger than this count as zero, as in ``librosa.zero_crossings``."""


PAD_MODES = ("constant", "reflect", "replicate")
"""What lies beyond a clip: zeros, the clip mirrored, or its outermost sample; never its other end."""


class FeatureError(UserError):
    """A feature that does not exist or can't be made with these numbers; the message gives what is allowed."""


class Feature(nn.Module):
    """One feature of each frame of a waveform.

    A feature is local: a frame depends on samples at most ``reach`` to either side of its centre, and beyond them on
    nothing but the clip's loudest frame; and frames that see only zeros are all equal. ``Frontend`` relies on it and
    leaves out padding. A feature that looks further, such as one that is smoothed over time, sets ``reach`` to None in
    its constructor, and is computed over the padding as well.

    Attributes:
        dimensions: 2 if its rows are an axis (mel bins, coefficients), 1 if each frame has one number.
        rows: Numbers per frame.
        reach: Samples; None for no limit.
    """

    dimensions: int
    rows: int = 1

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.frame_length = config.frame_length
        self.hop_length = config.hop_length
        self.reach: int | None = max(config.n_fft, config.frame_length) // 2


class PowerSpectrum(nn.Module):
    """Waveforms → power of Hann-windowed frames, ``|STFT|²``: what log-mel, MFCC and roll-off start from."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        win_length = config.n_fft if config.win_length is None else config.win_length
        if not 0 < win_length <= config.n_fft:
            raise FeatureError(f"features.win_length={win_length} must lie between 1 and features.n_fft={config.n_fft}")
        self.stft = Spectrogram(config.n_fft, win_length, config.hop_length, power=None, pad_mode=config.pad_mode)

    def forward(self, waveforms: Tensor) -> Tensor:
        """``(batch, time)`` → ``(batch, frame, bin)``."""
        # So laid out by the STFT, and read in this order by what follows. Squares are cheaper than a magnitude, and
        # taken of real and imaginary parts in the order in which they lie.
        squares = torch.view_as_real(self.stft(waveforms).transpose(1, 2)).square()
        return squares[..., 0] + squares[..., 1]


class SpectralFeature(Feature):
    """A feature of the power spectrum, which a ``FeatureSet`` takes once for all of them."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__(config)
        self.spectrum = PowerSpectrum(config)

    def forward(self, waveforms: Tensor) -> Tensor:
        """``(batch, time)`` → ``(batch, row, frame)``."""
        return self.of(self.spectrum(waveforms))

    def of(self, power: Tensor) -> Tensor:
        """``(batch, frame, bin)`` → ``(batch, row, frame)``."""
        raise NotImplementedError


class _FilterGroup(nn.Module):
    """Some columns of a filter bank ``(bin, filter)``."""

    def __init__(self, filters: Tensor) -> None:
        super().__init__()
        bins = filters.any(1).nonzero().flatten().tolist() or [0]
        self.first, self.end = bins[0], bins[-1] + 1
        self.filters: Tensor
        self.register_buffer("filters", filters[self.first : self.end].contiguous(), persistent=False)

    def forward(self, power: Tensor) -> Tensor:
        """``(batch, frame, bin)`` → ``(batch, frame, filter)``."""
        return power[:, :, self.first : self.end] @ self.filters


class _MelDecibels(nn.Module):
    """Power → power in mel bands in dB re 1, at least ``top_db`` below the clip's own maximum.

    The floor of the power is 1e-10 (-100 dB).
    """

    def __init__(self, config: FeatureConfig, filter_rate: int) -> None:
        super().__init__()
        f_max = config.f_max if config.f_max is not None else filter_rate / 2
        if not 0 <= config.f_min < f_max <= filter_rate / 2:
            raise FeatureError(
                f"features.f_min={config.f_min} and f_max={f_max} must rise and lie within 0 and {filter_rate / 2} Hz"
            )
        if config.n_mels < 1:
            raise FeatureError(f"features.n_mels={config.n_mels} must be at least 1")
        if not config.top_db > 0:
            raise FeatureError(f"features.top_db={config.top_db} must be above 0 dB")
        scale = MelScale(
            config.n_mels,
            filter_rate,
            config.f_min,
            f_max,
            n_stft=config.n_fft // 2 + 1,
            norm="slaney",
            mel_scale="slaney",
        )
        # A filter has few bins, so a group of neighbours is applied only to the bins from its first to its last.
        self.groups = nn.ModuleList(_FilterGroup(filters) for filters in scale.fb.chunk(FILTER_GROUPS, dim=1))
        self.decibels = AmplitudeToDB("power", top_db=config.top_db)

    def forward(self, power: Tensor) -> Tensor:
        """``(batch, frame, bin)`` → ``(batch, mel, frame)`` in dB."""
        mel = torch.cat([group(power) for group in self.groups], dim=2).transpose(1, 2)
        # AmplitudeToDB takes one cutoff for all of a rank-3 tensor, and one for each clip of a rank-4 tensor.
        return self.decibels(mel.unsqueeze(1)).squeeze(1)


class LogMel(SpectralFeature):
    """Log-mel spectrogram that keeps the clip's level: ``librosa.power_to_db(librosa.feature.melspectrogram(y))``.

    Values are dB re a power of 1, at most ``top_db`` below the clip's own maximum.
    """

    dimensions = 2

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__(config)
        self.rows = config.n_mels
        self.mel = _MelDecibels(config, config.sample_rate)

    def of(self, power: Tensor) -> Tensor:
        """``(batch, frame, bin)`` → ``(batch, mel, frame)`` in dB."""
        levels: Tensor = self.mel(power)
        return levels


class Mel(LogMel):
    """Log-mel spectrogram below the clip's own maximum: ``librosa.power_to_db(…, ref=np.max)``.

    Values lie in [-top_db, 0] dB.
    """

    def of(self, power: Tensor) -> Tensor:
        """``(batch, frame, bin)`` → ``(batch, mel, frame)`` in dB."""
        levels = super().of(power)
        return levels - levels.amax((1, 2), keepdim=True)


class Mfcc2d(SpectralFeature):
    """Mel-frequency cepstral coefficients over time: ``librosa.feature.mfcc``, orthonormal DCT-II of dB re 1.

    By default 64 of them rather than the usual 13 to 40: the 2D networks of the report need 45 and more rows.
    """

    dimensions = 2

    def __init__(self, config: FeatureConfig, default_coefficients: int = 64) -> None:
        super().__init__(config)
        self.rows = config.n_mfcc if config.n_mfcc is not None else default_coefficients
        if not 0 < self.rows <= config.n_mels:
            raise FeatureError(f"features.n_mfcc={self.rows} must lie between 1 and features.n_mels={config.n_mels}")
        self.mel = _MelDecibels(config, config.filter_rate or config.sample_rate)
        self.dct: Tensor
        self.register_buffer("dct", create_dct(self.rows, config.n_mels, norm="ortho"), persistent=False)

    def of(self, power: Tensor) -> Tensor:
        """``(batch, frame, bin)`` → ``(batch, coefficient, frame)``."""
        return self.dct.T @ self.mel(power)


class Mfcc(Mfcc2d):
    """Mean over the cepstral coefficients of each frame, the report's ``mfcc``: one number per frame.

    The mean of coefficients is not what people mean by MFCCs; ``mfcc2d`` keeps each one.
    """

    dimensions = 1

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__(config, default_coefficients=20)
        self.rows = 1

    def of(self, power: Tensor) -> Tensor:
        """``(batch, frame, bin)`` → ``(batch, 1, frame)``."""
        return super().of(power).mean(1, keepdim=True)


class Rolloff(SpectralFeature):
    """Spectral roll-off: the lowest bin's frequency below which ``roll_percent`` of the magnitude lies, in hertz.

    ``librosa.feature.spectral_rolloff``; 0 for a frame of silence.
    """

    dimensions = 1

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__(config)
        if not 0 < config.roll_percent < 1:
            raise FeatureError(f"features.roll_percent={config.roll_percent} must lie between 0 and 1")
        self.roll_percent = config.roll_percent
        self.bin_hertz = (config.filter_rate or config.sample_rate) / config.n_fft

    def of(self, power: Tensor) -> Tensor:
        """``(batch, frame, bin)`` → ``(batch, 1, frame)`` in hertz."""
        below = power.sqrt().cumsum(2)
        wanted = self.roll_percent * below[:, :, -1:]
        if torch.compiler.is_exporting():  # ONNX knows no search
            bins = (below < wanted).sum(2)
        else:
            bins = torch.searchsorted(below, wanted).squeeze(2)
        return (bins * self.bin_hertz).unsqueeze(1)


class Energy(Feature):
    """Root mean square of each frame, with zeros beyond the clip: ``librosa.feature.rms``; 0 to 1."""

    dimensions = 1

    def forward(self, waveforms: Tensor) -> Tensor:
        """``(batch, time)`` → ``(batch, 1, frame)``."""
        half = self.frame_length // 2
        power = F.pad(waveforms.square(), (half, half)).unfold(1, self.frame_length, self.hop_length)
        return power.mean(2).sqrt().unsqueeze(1)


class ZeroCrossingRate(Feature):
    """Changes of sign in each frame, as a share of its samples: ``librosa.feature.zero_crossing_rate``; 0 to 1.

    Beyond the clip its first and last sample repeat. Zero counts as positive.
    """

    dimensions = 1

    def forward(self, waveforms: Tensor) -> Tensor:
        """``(batch, time)`` → ``(batch, 1, frame)``."""
        half = self.frame_length // 2
        negative = waveforms < -ZERO_CROSSING_THRESHOLD
        crossed = F.pad(negative[:, 1:] != negative[:, :-1], (half, half)).float()
        # A frame's first sample has no neighbour before it, so a frame of n samples has n - 1 places to cross.
        crossings = crossed.unfold(1, self.frame_length - 1, self.hop_length).sum(2)
        return (crossings / self.frame_length).unsqueeze(1)


FEATURES: dict[str, type[Feature]] = {
    "mel": Mel,
    "logmel": LogMel,
    "mfcc": Mfcc,
    "mfcc2d": Mfcc2d,
    "rolloff": Rolloff,
    "energy": Energy,
    "zcr": ZeroCrossingRate,
}
"""Every feature by its name on the command line."""


class FeatureSet(nn.Module):
    """One 2D feature, or several 1D features, of the same frames.

    Attributes:
        dimensions: 1 or 2.
        reach: Samples to either side of its centre that a frame depends on at most; None for no limit.
        rows: Features (1D), mel bins or coefficients (2D).

    Example:
        >>> from ser.features import FeatureConfig
        >>> features = FeatureSet(FeatureConfig(names=["energy", "zcr"], hop_length=512))
        >>> features(torch.zeros(2, 16_000)).shape  # two clips of a second → (clip, feature, frame)
        torch.Size([2, 2, 32])
    """

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        one = [name for name, feature in FEATURES.items() if feature.dimensions == 1]
        two = [name for name, feature in FEATURES.items() if feature.dimensions == 2]
        names = list(config.names)
        unknown = [name for name in names if name not in FEATURES]
        if unknown or not names:
            raise FeatureError(f"features.names={names} must name features out of {', '.join(FEATURES)}")
        if len(set(names)) < len(names):
            raise FeatureError(f"features.names={names} names a feature twice")
        if len(names) > 1 and set(names) & set(two):
            raise FeatureError(f"features.names={names}: only 1D features ({', '.join(one)}) can be joined")
        sizes = (config.n_fft, config.frame_length)
        if min(sizes) < 2 or any(size % 2 for size in sizes) or config.hop_length < 1:
            raise FeatureError(
                f"features.n_fft={config.n_fft} and frame_length={config.frame_length} must be even and at least 2, "
                f"and hop_length={config.hop_length} at least 1"
            )
        if max(sizes) > LARGEST_FRAME or config.n_mels * (config.n_fft // 2 + 1) > LARGEST_FILTERS:
            raise FeatureError(
                f"features.n_fft={config.n_fft}, frame_length={config.frame_length} and n_mels={config.n_mels} ask for "
                f"too much: a frame has at most {LARGEST_FRAME:,} samples, and n_mels * (n_fft / 2 + 1) is at most "
                f"{LARGEST_FILTERS:,}"
            )
        if config.pad_mode not in PAD_MODES:
            raise FeatureError(f"features.pad_mode={config.pad_mode!r} must be one of {', '.join(PAD_MODES)}")
        if config.filter_rate is not None and config.filter_rate < 1:
            raise FeatureError(
                f"features.filter_rate={config.filter_rate} must be a rate in hertz, or null for the true one"
            )
        self.hop_length = config.hop_length
        transforms = [FEATURES[name](config) for name in names]
        reaches = [transform.reach for transform in transforms]
        self.reach = None if None in reaches else max(filter(None, reaches))
        self.transforms = nn.ModuleList(transforms)
        self.dimensions = transforms[0].dimensions
        self.rows = sum(transform.rows for transform in transforms)

    def frames(self, samples: int) -> int:
        """Return how many frames ``samples`` samples give."""
        return 1 + samples // self.hop_length

    def real_frames(self, lengths: Tensor) -> Tensor:
        """Return the frames of clips of ``lengths`` samples that are centred no later than their end."""
        return 1 + lengths // self.hop_length

    def input_shape(self, frames: int) -> tuple[int, ...]:
        """Return the shape of a network's input: ``(1, row, frame)`` of a 2D feature, ``(1, row * frame)`` of 1D."""
        return (1, self.rows, frames) if self.dimensions == 2 else (1, self.rows * frames)

    def arrange(self, features: Tensor) -> Tensor:
        """``(batch, row, frame)`` → ``(batch, *input_shape)``; 1D features one after the other along time."""
        return features.unsqueeze(1) if self.dimensions == 2 else features.flatten(1).unsqueeze(1)

    def forward(self, waveforms: Tensor) -> Tensor:
        """``(batch, time)`` → ``(batch, row, frame)``, unscaled."""
        features = []
        power: Tensor | None = None
        for transform in self.transforms:
            if isinstance(transform, SpectralFeature):
                power = transform.spectrum(waveforms) if power is None else power
                features.append(transform.of(power))
            else:
                features.append(transform(waveforms))
        return torch.cat(features, dim=1) if len(features) > 1 else features[0]
