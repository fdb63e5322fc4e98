"""Waveforms → hidden states of a network that was pretrained on speech: wav2vec 2.0, HuBERT or WavLM, by torchaudio.

The weights are torchaudio's own files, downloaded on first use, or a file of the user's (``docs/pretrained.md``).
"""

import math
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torch.nn.functional as F
from filelock import FileLock
from torch import Tensor, nn
from torchaudio import pipelines
from torchaudio.models import wav2vec2_model, wavlm_model

from ser.data.cache import contents
from ser.errors import UserError
from ser.features.config import FeatureConfig

PRETRAINED = {"wav2vec2": "WAV2VEC2_BASE", "hubert": "HUBERT_BASE", "wavlm": "WAVLM_BASE_PLUS"}
"""Every kind of pretrained network by its name on the command line, with its torchaudio bundle."""

BUILDERS = {"Wav2Vec2": wav2vec2_model, "WavLM": wavlm_model}
"""What builds a network of a kind, as torchaudio names them; HuBERT has the architecture of wav2vec 2.0."""

ABOUT = {"kind": str, "params": dict, "normalize_waveform": bool}
"""What a weights file says of its network beside ``state_dict``, if anything: the arguments of ``HiddenStates``."""

RATE = 16_000
"""Sample rate of all pretrained networks here, hertz."""

AT_ONCE = 8
"""Clips that go through the network together at most. The first layer of a base network makes 33 MB of 5 s (16,000
frames of 512 channels in single precision), and more than one such tensor lives at a time."""


class WeightsError(UserError):
    """Pretrained weights that are missing, broken or not the right ones; the message says where they belong."""


class HiddenStates(nn.Module):
    """A pretrained network: waveforms → mean and deviation over time of the hidden states of each transformer layer.

    What a clip gets depends neither on its padding nor on the clips beside it, beyond rounding. Its padding is cut off
    before the network, and only clips of the same length go through together. To hand the network padded clips with
    their lengths would not do: the group norm in the first layer of the base networks would take its mean and deviation
    also over the padding, and torchaudio's WavLM takes no lengths.

    Args:
        kind: One of ``BUILDERS``.
        params: Arguments of its builder, mostly sizes; ``aux_num_out`` is left out.
        normalize_waveform: Whether the network was trained on clips of mean 0 and deviation 1.

    Attributes:
        shape: Shape of a clip's states, ``(2, channel, layer)``, mean before deviation.

    Raises:
        WeightsError: The kind is none of these, or the sizes are not its builder's.
    """

    def __init__(self, kind: str, params: Mapping[str, Any], normalize_waveform: bool) -> None:
        super().__init__()
        if kind not in BUILDERS:
            raise WeightsError(f"a pretrained network of kind {kind!r}: it must be one of {', '.join(BUILDERS)}")
        try:
            self.model = BUILDERS[kind](**{**params, "aux_num_out": None})
        except (TypeError, ValueError, AssertionError, RuntimeError, ArithmeticError, LookupError) as error:
            raise WeightsError(f"no network of kind {kind} can be built with these sizes: {error}") from error
        transformer = self.model.encoder.transformer
        self.normalize_waveform = normalize_waveform
        self.shape = (2, transformer.pos_conv_embed.embed_dim, len(transformer.layers))
        # The fewest samples that the convolutions make a frame of.
        self.least = 1
        for layer in reversed(self.model.feature_extractor.conv_layers):
            self.least = (self.least - 1) * layer.stride + layer.kernel_size
        # As in the fine-tuning of wav2vec 2.0 (Baevski et al., 2020, arXiv 2006.11477), the convolutions stay as they
        # are. A norm behind the last layer, which the hidden states do not pass through, has no gradient.
        self.model.feature_extractor.requires_grad_(False)
        if not transformer.layer_norm_first:
            transformer.layer_norm.requires_grad_(False)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Waveforms ``(batch, time)`` at 16 kHz of ``lengths`` real samples → ``(batch, 2, channel, layer)``."""
        waveforms = F.pad(waveforms, (0, max(0, self.least - waveforms.shape[1])))
        lengths = lengths.clamp_min(self.least)
        parts, order = [], []
        for length in lengths.unique().tolist():
            for rows in (lengths == length).nonzero().flatten().split(AT_ONCE):
                parts.append(self._statistics(waveforms[rows, :length]))
                order.append(rows)
        return torch.cat(parts)[torch.cat(order).argsort()]

    def _statistics(self, waveforms: Tensor) -> Tensor:
        if self.normalize_waveform:
            waveforms = F.layer_norm(waveforms, waveforms.shape[1:])
        layers, _ = self.model.extract_features(waveforms)
        variance, mean = torch.var_mean(torch.stack(layers, 3).float(), dim=1, correction=0)
        return torch.stack([mean, variance.clamp_min(1e-10).sqrt()], 1)


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
        self.bundle = config.bundle or PRETRAINED[self.name]
        if self.bundle not in (bundles := _bundles(self.name)):
            raise UserError(f"features.bundle={self.bundle}: with features={self.name} go {', '.join(bundles)}")
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

    @cached_property
    def architecture(self) -> dict[str, Any]:
        """Arguments of ``HiddenStates`` as plain data, from the weights file or from the bundle.

        Raises:
            WeightsError: The weights file is missing or broken.
        """
        if self.config.weights is not None:
            about = {name: value for name, value in _read(_found(self.config.weights)).items() if name != "state_dict"}
            if about:
                if (about.get("kind") == "WavLM") != (self.name == "wavlm"):
                    raise WeightsError(f"features.weights={self.config.weights} holds no {self.name}: {about['kind']}")
                return about
        bundle = getattr(pipelines, self.bundle)
        return {
            "kind": bundle._model_type,
            "params": dict(bundle._params),
            "normalize_waveform": bundle._normalize_waveform,
        }

    @cached_property
    def shape(self) -> tuple[int, int, int, int]:
        """Hidden states of one clip: ``(1, 2, channel, layer)``."""
        with torch.device("meta"):
            return (1, *HiddenStates(**self.architecture).shape)

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
            states = HiddenStates(**self.architecture)
        digest = self.load_into(states.to_empty(device="cpu"))
        self.states = states.eval().requires_grad_(False)
        return replace(self.config, digest=digest)

    def load_into(self, states: HiddenStates) -> str:
        """Give ``states`` the pretrained weights, and return the digest of their file.

        Raises:
            WeightsError: The weights are missing or broken, or others than ``config.digest`` says.
        """
        file = _fetched(self.bundle) if self.config.weights is None else _found(self.config.weights)
        held = _read(file)["state_dict"]
        (digest,) = contents([file])
        if self.config.digest not in (None, digest):
            raise WeightsError(
                f"{file} has the digest {digest}, and {self.config.digest} is wanted: these are other weights than the "
                f"network was trained on; put the right file there"
            )
        held = {name: value for name, value in held.items() if not name.startswith("aux.")}  # of speech recognition
        try:
            states.model.load_state_dict(held)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise WeightsError(
                f"{file} does not hold the weights of {self.bundle}: {str(error)[:300]}; "
                "features.bundle= names the network that a file is of"
            ) from error
        return str(digest)

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


def _bundles(name: str) -> list[str]:
    """Return names of torchaudio's bundles of a kind."""
    starts = ("WAV2VEC2_", "VOXPOPULI_") if name == "wav2vec2" else (f"{name.upper()}_",)
    return [bundle for bundle in pipelines.__all__ if bundle.startswith(starts)]


def _checkpoints() -> Path:
    """Return the folder where torch.hub, and so torchaudio, keeps weights."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def _found(weights: str) -> Path:
    """Find a weights file at its path, or under its name in torch.hub's folder.

    Raises:
        WeightsError: It is in neither.
    """
    file, beside = Path(weights).expanduser(), _checkpoints() / Path(weights).name
    for place in (file, beside):
        if place.is_file():
            return place
    raise WeightsError(f"features.weights={weights} is not there: put the file there, or at {beside}")


def _fetched(name: str) -> Path:
    """Return the weights file of a bundle, downloaded by torchaudio if it is not there.

    Raises:
        WeightsError: It can't be downloaded.
    """
    bundle = getattr(pipelines, name)
    file = _checkpoints() / Path(bundle._path).name
    if file.is_file():
        return file
    with torch.device("meta"):
        model = BUILDERS[bundle._model_type](**bundle._params)
    size = sum(weight.numel() for weight in model.parameters()) * 4 / 1e6
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"):  # several processes of a run
            if not file.is_file():
                print(f"Downloads the weights of {name}, about {size:,.0f} MB, once, to {file}", file=sys.stderr)
                bundle._get_state_dict({"map_location": "cpu", "weights_only": True})
    except OSError as error:
        raise WeightsError(
            f"the weights of features.bundle={name} can't be downloaded ({error}): get {file.name} elsewhere and put "
            f"it into {file.parent}, or set features.weights=FILE"
        ) from error
    return file


def _read(file: Path) -> dict[str, Any]:
    """Read a weights file: ``state_dict``, and unless it is torchaudio's the arguments of ``HiddenStates``.

    Raises:
        WeightsError: It is broken, or not a file of weights.
    """
    try:
        held = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except OSError as error:
        raise WeightsError(f"{file} can't be read: {error}") from error
    except (RuntimeError, EOFError, UnpicklingError, LookupError, ValueError, AttributeError, TypeError) as error:
        message = f"{file} is not a file of weights, or broken ({type(error).__name__}): get it anew"
        raise WeightsError(message) from error
    if _is_state_dict(held):
        return {"state_dict": held}
    whole = isinstance(held, dict) and set(held) == {*ABOUT, "state_dict"} and _is_state_dict(held["state_dict"])
    if not whole or not all(isinstance(held[name], kind) for name, kind in ABOUT.items()):
        raise WeightsError(
            f"{file} must hold a state dict, or a dictionary of kind, params, normalize_waveform and state_dict"
        )
    return dict(held)


def _is_state_dict(held: object) -> bool:
    return isinstance(held, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in held.items()
    )
