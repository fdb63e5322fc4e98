"""wav2vec 2.0, HuBERT and WavLM by torchaudio: sizes and weights of its bundles, or of a file of the user's."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from filelock import FileLock
from torch import Tensor
from torchaudio import pipelines
from torchaudio.models import wav2vec2_model, wavlm_model

from ser.errors import UserError
from ser.features.config import FeatureConfig
from ser.features.hidden_states import HiddenStates, WeightsError, is_state_dict, read_pickle

BUNDLES = {"wav2vec2": "WAV2VEC2_BASE", "hubert": "HUBERT_BASE", "wavlm": "WAVLM_BASE_PLUS"}
"""Names on the command line, and torchaudio's bundle that each one takes where ``features.bundle`` names none."""

BUILDERS = {"Wav2Vec2": wav2vec2_model, "WavLM": wavlm_model}
"""What builds a network of a kind, as torchaudio names them; HuBERT has the architecture of wav2vec 2.0."""

ABOUT = {"kind": str, "params": dict, "normalize_waveform": bool}
"""What a weights file says of its network beside ``state_dict``, if anything: the arguments of ``TorchaudioStates``."""


class TorchaudioStates(HiddenStates):
    """Hidden states of each transformer layer of a network of torchaudio.

    Args:
        kind: One of ``BUILDERS``.
        params: Arguments of its builder, mostly sizes; ``aux_num_out`` is left out.
        normalize_waveform: Whether the network was trained on clips of mean 0 and deviation 1.

    Raises:
        WeightsError: The sizes are not its builder's.
    """

    def __init__(self, kind: str, params: Mapping[str, Any], normalize_waveform: bool) -> None:
        super().__init__()
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

    def layers(self, waveforms: Tensor) -> list[Tensor]:
        """Waveforms ``(batch, time)`` at 16 kHz, without padding → each layer's states ``(batch, frame, channel)``."""
        if self.normalize_waveform:
            waveforms = F.layer_norm(waveforms, waveforms.shape[1:])
        layers: list[Tensor] = self.model.extract_features(waveforms)[0]
        return layers


def check(config: FeatureConfig) -> None:
    """Refuse options that don't go with a bundle.

    Raises:
        UserError: Such an option.
    """
    name = config.names[0]
    starts = ("WAV2VEC2_", "VOXPOPULI_") if name == "wav2vec2" else (f"{name.upper()}_",)
    bundles = [bundle for bundle in pipelines.__all__ if bundle.startswith(starts)]
    if _bundle(config) not in bundles:
        raise UserError(f"features.bundle={config.bundle}: with features={name} go {', '.join(bundles)}")


def architecture(config: FeatureConfig) -> dict[str, Any]:
    """Return arguments of ``TorchaudioStates`` as plain data, from the weights file or from the bundle.

    Raises:
        WeightsError: The weights file is missing or broken.
    """
    if config.weights is not None:
        about = {name: value for name, value in _read(_found(config.weights)).items() if name != "state_dict"}
        if about:
            if about["kind"] not in BUILDERS or (about["kind"] == "WavLM") != (config.names == ["wavlm"]):
                raise WeightsError(f"features.weights={config.weights} holds no {config.names[0]}: {about['kind']}")
            return about
    bundle = getattr(pipelines, _bundle(config))
    return {
        "kind": bundle._model_type,
        "params": dict(bundle._params),
        "normalize_waveform": bundle._normalize_waveform,
    }


def weights(config: FeatureConfig) -> tuple[list[Path], dict[str, Tensor]]:
    """Return the file of weights and its tensors, as ``TorchaudioStates.model`` names them.

    Raises:
        WeightsError: The file is missing or broken, or can't be downloaded.
    """
    file = fetched(_bundle(config)) if config.weights is None else _found(config.weights)
    held = _read(file)["state_dict"]
    # What begins with aux. is the layer of speech recognition.
    return [file], {name: value for name, value in held.items() if not name.startswith("aux.")}


def _bundle(config: FeatureConfig) -> str:
    return config.bundle or BUNDLES[config.names[0]]


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


def fetched(name: str) -> Path:
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
    """Read a weights file: ``state_dict``, and unless it is torchaudio's the arguments of ``TorchaudioStates``.

    Raises:
        WeightsError: It is broken, or not a file of weights.
    """
    held = read_pickle(file)
    if is_state_dict(held):
        return {"state_dict": held}
    complete = isinstance(held, dict) and set(held) == {*ABOUT, "state_dict"} and is_state_dict(held["state_dict"])
    if not complete or not all(isinstance(held[name], kind) for name, kind in ABOUT.items()):
        raise WeightsError(
            f"{file} must hold a state dict, or a dictionary of kind, params, normalize_waveform and state_dict"
        )
    return dict(held)
