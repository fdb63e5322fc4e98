"""Encoders of waveforms of the Hugging Face library (wav2vec 2.0, HuBERT, WavLM and their like), from its files.

Only sizes and tensors are read: ``config.json``, ``preprocessor_config.json`` and ``model.safetensors``. The code is
that of the installed ``transformers``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ser.errors import UserError
from ser.features.config import FeatureConfig
from ser.features.hidden_states import RATE, HiddenStates, WeightsError, check_shapes, read_safetensors

FILES = ("config.json", "preprocessor_config.json", "model.safetensors")

EPSILON = 1e-7
"""What transformers adds to the variance of a clip that it normalises."""

FIXED = {
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "layerdrop": 0.0,
    "add_adapter": False,
}
"""Values that replace the file's: nothing random but dropout in fine-tuning, and no layers behind the encoder."""

UNUSED = ("masked_spec_embed", "adapter.", "feature_projection.masked")
"""Tensors that hidden states don't depend on."""

NEEDS = "features=huggingface needs transformers: pip install 'ser[pretrained]'"


class HuggingFaceStates(HiddenStates):
    """Hidden states of an encoder of transformers: the input of its first layer, and what each layer gives.

    Args:
        kind: ``HuggingFace``.
        params: ``model_type``, and what its configuration class takes.
        normalize_waveform: Whether the network was trained on clips of mean 0 and deviation 1.

    Raises:
        WeightsError: There is no transformers; or no encoder of waveforms can be made of the configuration.
    """

    def __init__(self, kind: str, params: Mapping[str, Any], normalize_waveform: bool) -> None:
        super().__init__()
        try:
            from transformers import MODEL_MAPPING, AutoConfig  # noqa: PLC0415
            from transformers.configuration_utils import PreTrainedConfig  # noqa: PLC0415
        except ImportError as error:
            raise WeightsError(NEEDS) from error
        about = dict(params)
        name = about.pop("model_type", None)
        try:
            config = AutoConfig.for_model(name)
            network: Any = MODEL_MAPPING[type(config)]
        except (KeyError, ValueError, TypeError) as error:
            raise WeightsError(f"model_type={name!r} is no encoder of waveforms that transformers has") from error
        if getattr(network, "main_input_name", None) != "input_values" or not hasattr(config, "conv_kernel"):
            hint = ": features=whisper reads it" if name == "whisper" else ", such as wav2vec2, hubert or wavlm"
            raise WeightsError(f"model_type={name} is no encoder of waveforms{hint}")
        # What all configurations share names classes, kernels, files and types of numbers, and is left out.
        own = set(config.to_dict()) - set(PreTrainedConfig().to_dict())
        options = {key: value for key, value in about.items() if key in own} | FIXED
        try:
            self.model = network(type(config)(**{key: value for key, value in options.items() if key in own}))
            sizes = (2, int(self.model.config.hidden_size), int(self.model.config.num_hidden_layers) + 1)
            steps = list(zip(self.model.config.conv_kernel, self.model.config.conv_stride, strict=True))
            # The fewest samples that the convolutions make a frame of.
            least = 1
            for kernel, stride in reversed(steps):
                least = (least - 1) * stride + kernel
        except Exception as error:  # its checks of values raise classes of their own
            message = " ".join(str(error).split())[:300]
            raise WeightsError(
                f"no network of kind {kind}, {name}, can be built with these sizes: {message}"
            ) from error
        if lost := {key for key, _ in self.model.named_buffers()} - set(self.model.state_dict()):
            raise WeightsError(f"model_type={name} keeps {min(lost)} in no file of weights, so it can't be read")
        self.shape, self.least = sizes, least
        self.normalize_waveform = normalize_waveform
        # As in the fine-tuning of wav2vec 2.0, the convolutions stay as they are.
        self.model.feature_extractor.requires_grad_(False)

    def layers(self, waveforms: Tensor) -> tuple[Tensor, ...]:
        """Waveforms ``(batch, time)`` at 16 kHz, without padding → each layer's states ``(batch, frame, channel)``."""
        if self.normalize_waveform:
            waveforms = F.layer_norm(waveforms, waveforms.shape[1:], eps=EPSILON)
        states: tuple[Tensor, ...] = self.model(waveforms, output_hidden_states=True).hidden_states
        return states


def check(config: FeatureConfig) -> None:
    """Refuse options that don't go with a folder of the Hugging Face library.

    Raises:
        UserError: No weights are named, or a bundle of torchaudio is.
    """
    if config.bundle is not None:
        raise UserError(
            f"features.bundle={config.bundle} is torchaudio's: with features=huggingface take features.weights"
        )
    if config.weights is None:
        raise UserError(
            "features=huggingface needs features.weights=FOLDER of an encoder, or its name in your cache of the Hugging"
            " Face Hub, such as microsoft/wavlm-base-plus"
        )


def architecture(config: FeatureConfig) -> dict[str, Any]:
    """Return arguments of ``HuggingFaceStates`` as plain data.

    Raises:
        WeightsError: The weights are missing, broken, or of something else.
    """
    return _read(config)[0]


def weights(config: FeatureConfig) -> tuple[list[Path], dict[str, Tensor]]:
    """Return the files that count, the weights first, and the encoder's tensors.

    Raises:
        WeightsError: The weights are missing, broken, or of something else.
    """
    return _read(config)[1:]


def _read(config: FeatureConfig) -> tuple[dict[str, Any], list[Path], dict[str, Tensor]]:
    folder = _folder(str(config.weights))
    about, sound = _json(folder / FILES[0]), _json(folder / FILES[1])
    if "auto_map" in about:
        raise WeightsError(f"{folder} wants code of its own to be run, which is never done: take another encoder")
    if type(sound.get("do_normalize")) is not bool or sound.get("sampling_rate") != RATE:
        raise WeightsError(f"{folder / FILES[1]} must have do_normalize, true or false, and sampling_rate {RATE}")
    file = folder / FILES[2]
    if not file.is_file():
        others = ", ".join(sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".safetensors")))
        raise WeightsError(
            f"{folder} has no {file.name}{f' but {others}' if others else ''}: pickles and parts of files are not read;"
            " save_pretrained of transformers writes one"
        )
    tensors = read_safetensors(file)
    plain = {key: value for key, value in about.items() if isinstance(value, int | float | str | list)}
    counts = [value for key, value in plain.items() if key.endswith("layers") and type(value) is int]
    lists = [len(value) for value in plain.values() if isinstance(value, list)]
    if max([*counts, *lists], default=0) > len(tensors):
        raise WeightsError(f"{file} has fewer tensors than {FILES[0]} beside it has layers")
    network = {"kind": "HuggingFace", "params": plain, "normalize_waveform": sound["do_normalize"]}
    with torch.device("meta"):
        model = HuggingFaceStates(**network).model
    prefix = f"{model.base_model_prefix}."
    if any(name.startswith(prefix) for name in tensors):  # with a head
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    # Names of the weight norm before and since torch 2.0.
    tensors = {
        name.replace(".weight_g", ".parametrizations.weight.original0").replace(
            ".weight_v", ".parametrizations.weight.original1"
        ): tensor.float()
        for name, tensor in tensors.items()
        if not name.startswith(UNUSED)
    }
    check_shapes(file, model, tensors)
    return network, [file, folder / FILES[0], folder / FILES[1]], tensors


def _folder(name: str) -> Path:
    """Return the folder that ``name`` is, or the one of that name in the user's cache of the Hugging Face Hub.

    Raises:
        WeightsError: There is none.
    """
    try:
        if (folder := Path(name).expanduser()).is_dir():
            return folder
        from huggingface_hub import snapshot_download  # noqa: PLC0415

        return Path(snapshot_download(name, local_files_only=True, allow_patterns=list(FILES)))
    except ImportError as error:
        raise WeightsError(NEEDS) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"features.weights={name} is neither a folder nor in your cache of the Hugging Face Hub, and nothing is "
            f"downloaded: hf download {name} {' '.join(FILES)}"
        ) from error


def _json(file: Path) -> dict[str, Any]:
    try:
        held = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{file} is not there or broken ({type(error).__name__}): get it anew") from error
    if not isinstance(held, dict):
        raise WeightsError(f"{file} must hold an object")
    return held
