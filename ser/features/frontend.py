"""Waveforms → what a network reads: the one path that training, testing and prediction share."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from ser.features.config import FeatureConfig
from ser.features.pretrained import PRETRAINED, Pretrained
from ser.features.transforms import FEATURES, FeatureError, FeatureSet, SpectralFeature
from ser.features.voices import Moments, Scale, nonzero

NORMALIZATIONS = ("none", "standard", "clip", "speaker")

LARGEST_CLIP = 1 << 30
"""Most bytes that the frames of one clip may take."""

DIMENSIONS = {
    **{name: feature.dimensions for name, feature in FEATURES.items()},
    **dict.fromkeys(PRETRAINED, Pretrained.dimensions),
}
"""Dimensions of every feature, by its name on the command line: 1, 2, or 3 for what pretrained networks give."""


def features_of(config: FeatureConfig) -> FeatureSet | Pretrained:
    """Return the features that ``config`` names; pretrained weights are not read yet.

    Raises:
        UserError: These features are not available with these numbers.
    """
    if set(config.names) & set(PRETRAINED):
        return Pretrained(config)
    if any((config.bundle, config.weights, config.digest, config.fine_tune)):
        raise FeatureError(
            "features.bundle, weights, digest and fine_tune are for pretrained features, and features.names="
            f"{list(config.names)} has none: take one of {', '.join(PRETRAINED)}, or leave them out"
        )
    return FeatureSet(config)


def check_length(features: FeatureSet | Pretrained, length: int) -> None:
    """Refuse clips whose features would take more memory per clip than ``LARGEST_CLIP``.

    Args:
        features: Features of the clips.
        length: Samples of a clip.

    Raises:
        FeatureError: They need more, or ``length`` is no number of samples.
    """
    if not isinstance(length, int) or length < 1:
        raise FeatureError(f"clips of {length!r} samples have no features: they must have 1 or more")
    size = 4 * length
    if isinstance(features, FeatureSet):
        spectra = [one.spectrum.stft.n_fft for one in features.transforms if isinstance(one, SpectralFeature)]
        size += 8 * max(spectra, default=1) * features.frames(length)
    if size > LARGEST_CLIP:
        raise FeatureError(
            f"clips of {length:,} samples take {size / 2**30:.1f} GiB each in these features, and may take "
            f"{LARGEST_CLIP / 2**30:.0f}: take a smaller datamodule.max_seconds, or a larger features.hop_length"
        )


class Normalizer(nn.Module):
    """Feature rows → mean 0 and standard deviation 1, over real frames and not padding.

    After it, every frame of padding is 0, the mean: it says nothing, whatever the padded length. With ``none`` features
    pass as they are, and padding stays what the feature makes of silence. With ``speaker`` each clip comes with the
    mean and the deviation of its voice; without them it is normalised as with ``standard``.
    """

    def __init__(self, mode: str, rows: int) -> None:
        super().__init__()
        if mode not in NORMALIZATIONS:
            raise FeatureError(f"features.normalize={mode!r} must be one of {', '.join(NORMALIZATIONS)}")
        self.mode = mode
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(rows, 1))
        self.register_buffer("std", torch.ones(rows, 1))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        if self.mode == "none":  # has nothing to load, and had a row more for waveforms in earlier versions
            state_dict.update({prefix + name: value for name, value in self.state_dict().items()})
        super()._load_from_state_dict(state_dict, prefix, *others)

    def fit(self, parts: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take mean and deviation of each row from training clips, in double precision.

        Args:
            parts: Features ``(clip, row, frame)`` of some clips, and the real frames of each ``(clip,)``.
        """
        _, mean, std = Moments.join([Moments.of(*part).added() for part in parts]).pooled()
        self.mean.copy_(mean.unsqueeze(1))
        self.std.copy_(nonzero(std, mean).unsqueeze(1))

    def forward(self, features: Tensor, real: Tensor, voices: Scale | None = None) -> Tensor:
        """Scale ``(batch, row, frame)`` whose clips have ``real`` frames ``(batch,)`` before the padding.

        Args:
            features: Unscaled.
            real: Frames.
            voices: With ``speaker``, mean and deviation of whoever speaks, per clip or for all; None for those of the
                training clips.
        """
        if self.mode == "none":
            return features
        mask = _real_frames(features, real)
        mean, std = (self.mean, self.std) if voices is None else voices
        if self.mode == "clip":
            count = real.view(-1, 1, 1)
            mean = torch.where(mask, features, 0).sum(2, keepdim=True) / count
            variance = torch.where(mask, features - mean, 0).square().sum(2, keepdim=True) / count
            std = nonzero(variance.sqrt(), mean)
        return torch.where(mask, (features - mean) / std, 0)


def _real_frames(features: Tensor, real: Tensor) -> Tensor:
    return torch.arange(features.shape[2], device=features.device) < real.view(-1, 1, 1)


class Frontend(nn.Module):
    """Features and their normaliser; its state is all that prediction needs beside the network.

    Args:
        config: The feature set.
        length: Samples that every waveform is padded or cropped to.

    Attributes:
        config: The feature set, with the digest of its weights if it has any.

    Raises:
        WeightsError: Pretrained weights are missing, broken, or not the right ones.
    """

    def __init__(self, config: FeatureConfig, length: int) -> None:
        super().__init__()
        self.features = features_of(config)
        check_length(self.features, length)
        self.config = self.features.load() if isinstance(self.features, Pretrained) else config
        self.normalizer = Normalizer(config.normalize, self.features.rows)
        self.length = length

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of a network's input per clip, after ``features.arrange``."""
        return self.features.input_shape(self.features.frames(self.length))

    def real_frames(self, lengths: Tensor) -> Tensor:
        """Return the frames that clips of ``lengths`` samples have before their padding."""
        return self.features.real_frames(lengths)

    def extract(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Waveforms ``(batch, length)`` of ``lengths`` real samples → features ``(batch, row, frame)``, unscaled."""
        if isinstance(self.features, Pretrained):
            features: Tensor = self.features(waveforms, lengths)
            return features
        if waveforms.device.type != "cpu" or torch.compiler.is_exporting():
            return self.features(waveforms)
        # One at a time: what a clip needs stays in the cache, and its padding can be left out. A thread takes whole
        # clips: one is too little work to be shared out, and the last digits would depend on how it is.
        threads = torch.get_num_threads()
        if threads == 1:
            return torch.cat(list(map(self._without_padding, waveforms, lengths.tolist())))
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                return torch.cat(list(pool.map(self._without_padding, waveforms, lengths.tolist())))
        finally:
            torch.set_num_threads(threads)

    def _without_padding(self, waveform: Tensor, real: int) -> Tensor:
        """Return features of ``waveform`` ``(time,)``, which is 0 from sample ``real`` on, as a batch of one.

        Frames that see only padding are all equal, as ``Feature`` says, so one of them stands for the others.
        """
        assert isinstance(self.features, FeatureSet)
        if self.features.reach is None:
            return self.features(waveform[None])
        frames = self.features.frames(len(waveform))
        # One sample more, because a reflection at the end leaves out the last one.
        needed = -(-(real + self.features.reach + 1) // self.features.hop_length) + 1
        if needed >= frames:
            return self.features(waveform[None])
        features = self.features(waveform[None, : (needed - 1) * self.features.hop_length])
        return torch.cat([features, features[:, :, -1:].expand(-1, -1, frames - needed)], dim=2)

    def normalized(self, waveforms: Tensor, lengths: Tensor, voices: Scale | None = None) -> Tensor:
        """Waveforms ``(batch, length)`` of ``lengths`` real samples → normalised features ``(batch, row, frame)``."""
        return self.normalizer(self.extract(waveforms, lengths), self.real_frames(lengths), voices)

    def arrange(self, features: Tensor) -> Tensor:
        """Arrange features: ``(batch, row, frame)`` → ``(batch, *input_shape)``."""
        return self.features.arrange(features)

    def forward(self, waveforms: Tensor, lengths: Tensor, voices: Scale | None = None) -> Tensor:
        """Waveforms → network input ``(batch, *input_shape)``.

        Args:
            waveforms: ``(batch, length)``.
            lengths: Real samples of each, ``(batch,)``.
            voices: Statistics to normalise by in place of the training's, see ``Normalizer``.
        """
        return self.arrange(self.normalized(waveforms, lengths, voices))
