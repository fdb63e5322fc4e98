"""Weights of Whisper's encoder from files of three kinds, which are read as data from strangers.

OpenAI's own ``NAME.pt``; ``model.safetensors`` of the Hugging Face Hub, with ``config.json`` beside it; and
``model.bin`` of CTranslate2, which faster-whisper reads.
"""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ser.features.hidden_states import WeightsError, is_state_dict, read_pickle, read_safetensors

CTRANSLATE2_VERSION = 6
"""Version of the format of CTranslate2's files."""

DTYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)
"""Types of numbers in CTranslate2's files, in the order of their codes."""

MOST_DIMENSIONS = 8

HUB = (
    (r"layers\.(\d+)\.self_attn_layer_norm\.", r"blocks.\1.attn_ln."),
    (r"layers\.(\d+)\.self_attn\.q_proj\.", r"blocks.\1.attn.query."),
    (r"layers\.(\d+)\.self_attn\.k_proj\.", r"blocks.\1.attn.key."),
    (r"layers\.(\d+)\.self_attn\.v_proj\.", r"blocks.\1.attn.value."),
    (r"layers\.(\d+)\.self_attn\.out_proj\.", r"blocks.\1.attn.out."),
    (r"layers\.(\d+)\.final_layer_norm\.", r"blocks.\1.mlp_ln."),
    (r"layers\.(\d+)\.fc1\.", r"blocks.\1.mlp.0."),
    (r"layers\.(\d+)\.fc2\.", r"blocks.\1.mlp.2."),
    (r"layer_norm\.", r"ln_post."),
    (r"embed_positions\.weight", r"positional_embedding"),
)
"""Names on the Hugging Face Hub, and OpenAI's; what is not here has the same name."""

CTRANSLATE2 = (
    (r"/", r"."),
    (r"\.gamma$", r".weight"),
    (r"\.beta$", r".bias"),
    (r"layer_(\d+)\.self_attention\.layer_norm\.", r"blocks.\1.attn_ln."),
    (r"layer_(\d+)\.self_attention\.linear_0\.", r"blocks.\1.attn.all."),
    (r"layer_(\d+)\.self_attention\.linear_1\.", r"blocks.\1.attn.out."),
    (r"layer_(\d+)\.ffn\.layer_norm\.", r"blocks.\1.mlp_ln."),
    (r"layer_(\d+)\.ffn\.linear_0\.", r"blocks.\1.mlp.0."),
    (r"layer_(\d+)\.ffn\.linear_1\.", r"blocks.\1.mlp.2."),
    (r"layer_norm\.", r"ln_post."),
    (r"position_encodings\.encodings", r"positional_embedding"),
)
"""Names in CTranslate2's files and OpenAI's, replaced one after the other; ``attn.all`` is query, key and value."""


def read_encoder(path: Path) -> tuple[list[Path], dict[str, Tensor], int]:
    """Read the encoder from a file, or from the one file of weights in a folder.

    Returns:
        Files that were read, the weights first; tensors in single precision under OpenAI's names; the number of heads.

    Raises:
        WeightsError: The file is missing, broken, or not of Whisper; the message says what it must be.
    """
    file = _file(path)
    if file.suffix == ".bin":
        tensors, heads = _ctranslate2(file)
        files = [file]
    elif file.suffix == ".safetensors":
        tensors, heads = _hub(file)
        files = [file, file.parent / "config.json"]
    else:
        tensors, heads = _openai(file)
        files = [file]
    if {"positional_embedding", "conv1.weight"} - set(tensors):
        raise WeightsError(f"{file} holds no encoder of Whisper")
    if quantized := [name for name, tensor in tensors.items() if not tensor.is_floating_point()]:
        raise WeightsError(
            f"{file} is quantised ({quantized[0]} is {tensors[quantized[0]].dtype}): take weights in single or half "
            "precision; ct2-transformers-converter --quantization float16 makes such"
        )
    # A pickle can claim that a number stands for a million of them.
    if sum(tensor.nbytes for tensor in tensors.values()) > file.stat().st_size:
        raise WeightsError(f"{file} is broken: its tensors are larger than the file")
    return files, {name: tensor.float() for name, tensor in tensors.items()}, heads


def _file(path: Path) -> Path:
    """Return the file of weights that ``path`` is or holds.

    Raises:
        WeightsError: There is none, or more than one.
    """
    try:
        (place := path.expanduser()).stat()
    except (OSError, ValueError, RuntimeError) as error:  # also a name that no file can have
        raise WeightsError(
            f"features.weights={path} is not there: name a file or a folder of Whisper's weights"
        ) from error
    if place.is_dir():
        known = [place / name for name in ("model.bin", "model.safetensors") if (place / name).is_file()]
        found = known or sorted(place.glob("*.pt"))
        if len(found) != 1:
            names = ", ".join(file.name for file in found) or "none of them"
            raise WeightsError(
                f"features.weights={path} must hold model.bin, model.safetensors or one .pt file, and has {names}: "
                "name the file itself"
            )
        return found[0]
    if not place.is_file():
        raise WeightsError(f"features.weights={path} is neither a file nor a folder")
    return place


def _openai(file: Path) -> tuple[dict[str, Tensor], int]:
    held = read_pickle(file)
    dims = held.get("dims") if isinstance(held, dict) else None
    if not isinstance(dims, dict) or not is_state_dict(held.get("model_state_dict")):
        raise WeightsError(
            f"{file} must be OpenAI's file of a Whisper, a dictionary of dims and model_state_dict; files of other "
            "makers end in .safetensors or .bin"
        )
    tensors = {
        name.removeprefix("encoder."): tensor
        for name, tensor in held["model_state_dict"].items()
        if name.startswith("encoder.")
    }
    return tensors, dims.get("n_audio_head", 0)


def _hub(file: Path) -> tuple[dict[str, Tensor], int]:
    beside = file.parent / "config.json"
    try:
        about = json.loads(beside.read_bytes())
        heads = about["encoder_attention_heads"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise WeightsError(
            f"{file} needs config.json of the same Whisper beside it, with encoder_attention_heads "
            f"({type(error).__name__}): get it from where the weights are from"
        ) from error
    short = {name.removeprefix("model."): tensor for name, tensor in read_safetensors(file).items()}
    tensors = {
        _renamed(name.removeprefix("encoder."), HUB): tensor
        for name, tensor in short.items()
        if name.startswith("encoder.")
    }
    return tensors, heads


def _ctranslate2(file: Path) -> tuple[dict[str, Tensor], int]:
    variables = _variables(file)
    heads = variables.pop("encoder/num_heads", torch.zeros(0))
    if heads.numel() != 1 or heads.is_floating_point():
        raise WeightsError(f"{file} does not say how many heads its encoder has: convert the model again")
    tensors: dict[str, Tensor] = {}
    for variable, tensor in variables.items():
        name = _renamed(variable.removeprefix("encoder/"), CTRANSLATE2)
        if ".attn.all." not in name:
            tensors[name] = tensor
            continue
        for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=False):
            if not (part == "key" and name.endswith("bias")):  # zeros: Whisper's keys have none
                tensors[name.replace(".all.", f".{part}.")] = piece.contiguous()
    return tensors, int(heads)


def _variables(file: Path) -> dict[str, Tensor]:
    """Read the encoder's variables of a file of CTranslate2.

    The format: version, name of the model and revision; the number of variables, and of each its name, rank,
    dimensions, type, bytes and values; the number of aliases, and of each its name and the variable's. Numbers are
    little-endian, and names begin with their length and end with a zero byte.

    Raises:
        WeightsError: It is something else, or ends early.
    """
    data = np.memmap(file, np.uint8, "r") if file.stat().st_size else np.zeros(0, np.uint8)
    at = 0

    def take(count: int) -> np.ndarray:
        nonlocal at
        if count > len(data) - at:
            raise WeightsError(f"{file} ends early, or is no file of CTranslate2's: get it anew")
        at += count
        return data[at - count : at]

    def number(size: int) -> int:
        return int.from_bytes(take(size).tobytes(), "little")

    def text() -> str:
        return take(number(2)).tobytes().rstrip(b"\0").decode(errors="replace")

    version, model = number(4), text()
    if version != CTRANSLATE2_VERSION or model != "WhisperSpec":
        raise WeightsError(
            f"{file} must be a Whisper in CTranslate2's format {CTRANSLATE2_VERSION}, and is {model[:40]!r} in format "
            f"{version}"
        )
    number(4)  # revision
    variables = {}
    for _ in range(number(4)):
        name = text()
        shape = [number(4) for _ in range(number(1))]
        code, size = number(1), number(4)
        if code >= len(DTYPES) or len(shape) > MOST_DIMENSIONS or math.prod(shape) * DTYPES[code].itemsize != size:
            raise WeightsError(f"{file} is broken: {name[:80]!r} has {size} bytes and the shape {shape[:8]}")
        variables[name] = DTYPES[code], shape, take(size)
    for _ in range(number(4)):
        alias, name = text(), text()
        if name not in variables:
            raise WeightsError(f"{file} is broken: {alias[:80]!r} stands for {name[:80]!r}, which it does not hold")
        variables[alias] = variables[name]
    return {
        name: torch.from_numpy(values.copy()).view(dtype).reshape(shape)
        for name, (dtype, shape, values) in variables.items()
        if name.startswith("encoder/")
    }


def _renamed(name: str, rules: Sequence[tuple[str, str]]) -> str:
    for pattern, into in rules:
        name = re.sub(pattern, into, name)
    return name
