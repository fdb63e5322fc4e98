"""Hidden states of a network that was pretrained on speech as features; ``docs/pretrained.md`` says which ones."""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ser.data.cache import contents, digest_of
from ser.errors import UserError
from ser.features import bundles, huggingface, whisper
from ser.features.bundles import BUNDLES, TorchaudioStates
from ser.features.config import FeatureConfig
from ser.features.hidden_states import RATE, HiddenStates, WeightsError
from ser.features.huggingface import HuggingFaceStates
from ser.features.whisper import WhisperStates

PRETRAINED = {**dict.fromkeys(BUNDLES, bundles), "whisper": whisper, "huggingface": huggingface}
"""Every pretrained network by its name on the command line, and the module that knows its options and weights."""

KINDS: dict[str, type[HiddenStates]] = {
    **dict.fromkeys(bundles.BUILDERS, TorchaudioStates),
    "Whisper": WhisperStates,
    "HuggingFace": HuggingFaceStates,
}
"""Classes of networks by the ``kind`` that a checkpoint or a weights file names."""


def pretrained_network(kind: str, params: Mapping[str, Any], normalize_waveform: bool) -> HiddenStates:
    """Return a network with random weights.

    Args:
        kind: One of ``KINDS``.
        params: Its sizes.
        normalize_waveform: Whether it was trained on clips of mean 0 and deviation 1.

    Raises:
        WeightsError: The kind is none of these, or the sizes are not a network's of this kind.
    """
    if kind not in KINDS:
        raise WeightsError(f"a pretrained network of kind {kind!r}: it must be one of {', '.join(KINDS)}")
    return KINDS[kind](kind=kind, params=params, normalize_waveform=normalize_waveform)


class Pretrained(nn.Module):
    """Hidden states as features, or with ``fine_tune`` the waveforms for a network that computes them itself.

    It has the interface of ``FeatureSet``. Making one reads no weights; ``load`` does.

    Args:
        config: Options; only ``names``, ``normalize``, ``sample_rate``, ``bundle``, ``weights``, ``digest`` and
            ``fine_tune`` count.

    Attributes:
        states: The network, frozen; None before ``load``, and with ``fine_tune``.

    Raises:
        UserError: An option has a value that is not allowed.
    """

    dimensions = 3

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        names = list(config.names)
        if len(names) != 1:
            raise UserError(f"features.names={names}: {', '.join(PRETRAINED)} can't be joined with others")
        self.name = names[0]
        self.source.check(config)
        if config.sample_rate != RATE:
            raise UserError(f"features.sample_rate={config.sample_rate}: {self.name} was trained on {RATE} Hz")
        allowed = ("none",) if config.fine_tune else ("standard", "speaker", "none")
        if config.normalize not in allowed:
            raise UserError(
                f"features.normalize={config.normalize} must be {' or '.join(allowed)} with features={self.name} and "
                f"features.fine_tune={str(config.fine_tune).lower()}"
            )
        self.config = config
        self.states: HiddenStates | None = None

    @property
    def source(self) -> Any:
        """The module that knows this kind of network; no attribute, because a module can't be copied."""
        return PRETRAINED[self.name]

    @cached_property
    def architecture(self) -> dict[str, Any]:
        """Arguments of ``pretrained_network`` as plain data, from the weights file or from the bundle.

        Raises:
            WeightsError: The weights file is missing or broken.
        """
        about: dict[str, Any] = self.source.architecture(self.config)
        return about

    @cached_property
    def shape(self) -> tuple[int, int, int, int]:
        """Hidden states of one clip: ``(1, 2, channel, layer)``."""
        with torch.device("meta"):
            return (1, *pretrained_network(**self.architecture).shape)

    @property
    def rows(self) -> int:
        """Numbers per frame: the hidden states' statistics, or one sample."""
        return 1 if self.config.fine_tune else math.prod(self.shape)

    def frames(self, samples: int) -> int:
        """Return 1, because statistics are of the complete clip; with ``fine_tune`` the number of samples."""
        return samples if self.config.fine_tune else 1

    def real_frames(self, lengths: Tensor) -> Tensor:
        """Return the frames of clips of ``lengths`` samples that are not padding."""
        return lengths if self.config.fine_tune else torch.ones_like(lengths)

    def input_shape(self, frames: int) -> tuple[int, ...]:  # noqa: ARG002
        """Return ``shape``, whatever the frames, also where the network makes it of waveforms itself."""
        return self.shape

    def arrange(self, features: Tensor) -> Tensor:
        """``(batch, row, frame)`` → ``(batch, *shape)``; with ``fine_tune`` waveforms ``(batch, time)``."""
        return features.squeeze(1) if self.config.fine_tune else features.reshape(-1, *self.shape)

    def load(self) -> FeatureConfig:
        """Read the weights, which stay frozen; with ``fine_tune`` the network has them, and nothing is read.

        Returns:
            The configuration, with the digest of the weights.

        Raises:
            WeightsError: The weights are missing or broken, or others than ``config.digest`` says.
        """
        if self.config.fine_tune:
            return self.config
        with torch.device("meta"):
            states = pretrained_network(**self.architecture)
        digest = self.load_into(states.to_empty(device="cpu"))
        self.states = states.eval().requires_grad_(False)
        return replace(self.config, digest=digest)

    def load_into(self, states: HiddenStates) -> str:
        """Give ``states`` the pretrained weights, and return the digest of their file.

        Raises:
            WeightsError: The weights are missing or broken, or others than ``config.digest`` says.
        """
        files, held = self.source.weights(self.config)
        file, *others = files
        digests = contents(files)
        digest = digest_of(digests) if others else str(digests[0])
        if self.config.digest not in (None, digest):
            raise WeightsError(
                f"{file} has the digest {digest}, and {self.config.digest} is wanted: these are other weights than the "
                f"network was trained on; put the right file there"
            )
        try:
            states.model.load_state_dict(held)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise WeightsError(
                f"{file} does not hold the weights of {self.config.bundle or BUNDLES.get(self.name, self.name)}: "
                f"{str(error)[:300]}; features.bundle= names the network that a file is of"
            ) from error
        if not all(bool(weight.isfinite().all()) for weight in states.model.state_dict().values()):
            raise WeightsError(f"{file} holds weights that are NaN or infinity, so it is damaged: get it anew")
        return digest

    def train(self, mode: bool = True) -> "Pretrained":  # noqa: ARG002
        """Stay as in use: without dropout."""
        return super().train(False)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Waveforms ``(batch, time)`` of ``lengths`` real samples → ``(batch, row, frame)``, unscaled.

        Rows are the statistics of ``HiddenStates``, layers of a channel side by side. With ``fine_tune`` there is one,
        the samples.
        """
        if self.states is None:
            return waveforms.unsqueeze(1)
        with torch.no_grad():
            statistics: Tensor = self.states(waveforms, lengths)
        return statistics.flatten(1).unsqueeze(2)
