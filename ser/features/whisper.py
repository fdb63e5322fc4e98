"""The encoder of OpenAI's Whisper (Radford et al., 2022, arXiv 2212.04356), with weights of the user's."""

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from ser.errors import UserError
from ser.features.config import FeatureConfig
from ser.features.hidden_states import RATE, HiddenStates, WeightsError, check_shapes
from ser.features.whisper_files import read_encoder

N_FFT = 400
HOP_LENGTH = 160
MOST_SILENCE = 30
SIZES = ("num_mels", "num_frames", "width", "num_heads", "num_layers")


class Attention(nn.Module):
    """Self-attention of all frames to all frames, with scaled dot products."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, states: Tensor) -> Tensor:
        """``(batch, frame, channel)`` → ``(batch, frame, channel)``."""
        query, key, value = (
            part(states).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (batch, head, frame, channel of the head)
            for part in (self.query, self.key, self.value)
        )
        return self.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and a dense part of one hidden layer, each with a norm before and a shortcut around it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn_ln = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.mlp_ln = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, states: Tensor) -> Tensor:
        """``(batch, frame, channel)`` → ``(batch, frame, channel)``."""
        states = states + self.attn(self.attn_ln(states))
        return states + self.mlp(self.mlp_ln(states))


class WhisperEncoder(nn.Module):
    """Whisper's encoder; its weights have the names that they have in OpenAI's files.

    Args:
        num_mels: Mel filters, 80, or 128 in large-v3.
        num_frames: Most frames of 20 ms that it reads at once, 1,500 for 30 s.
        width: Channels.
        num_heads: Heads of each attention.
        num_layers: Transformer layers.
    """

    def __init__(self, num_mels: int, num_frames: int, width: int, num_heads: int, num_layers: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(num_mels, width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(width, width, kernel_size=3, stride=2, padding=1)
        self.positional_embedding: Tensor
        self.register_buffer("positional_embedding", torch.zeros(num_frames, width))
        self.blocks = nn.ModuleList(Block(width, num_heads) for _ in range(num_layers))
        self.ln_post = nn.LayerNorm(width)

    def forward(self, mel: Tensor) -> list[Tensor]:
        """Log-mel ``(batch, mel, frame)`` of 10 ms → states of each layer ``(batch, frame, channel)`` of 20 ms.

        The first ones are the input of the first layer; the last layer's are normalised, as Whisper's decoder reads
        them.
        """
        states = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        layers = [states + self.positional_embedding[: states.shape[1]]]
        for block in self.blocks:
            layers.append(block(layers[-1]))
        return [*layers[:-1], self.ln_post(layers[-1])]


class WhisperStates(HiddenStates):
    """Hidden states of Whisper's encoder: the input of its first transformer layer, and what each layer gives.

    Args:
        kind: ``Whisper``.
        params: Arguments of ``WhisperEncoder``, and ``silence``, samples of 0 behind each clip.
        normalize_waveform: Whether it was trained on clips of mean 0 and deviation 1, which no Whisper was.

    Raises:
        WeightsError: The sizes are not those of such an encoder.
    """

    least = N_FFT

    def __init__(self, kind: str, params: Mapping[str, Any], normalize_waveform: bool) -> None:
        super().__init__()
        sizes = {name: size for name, size in params.items() if name != "silence"}
        self.silence = params.get("silence", 0)
        whole = set(sizes) == set(SIZES) and all(type(size) is int for size in params.values())
        if (
            not whole
            or min(sizes.values()) < 1
            or self.silence < 0
            or sizes["width"] % sizes["num_heads"]
            or normalize_waveform
        ):
            raise WeightsError(f"no network of kind {kind} can be built with these sizes: {dict(params)}")
        self.model = WhisperEncoder(**sizes)
        self.shape = (2, params["width"], params["num_layers"] + 1)
        # As with wav2vec 2.0, fine-tuning leaves the convolutions as they are.
        self.model.conv1.requires_grad_(False)
        self.model.conv2.requires_grad_(False)

    def layers(self, waveforms: Tensor) -> list[Tensor]:
        """Waveforms ``(batch, time)`` at 16 kHz, without padding → each layer's states ``(batch, frame, channel)``.

        Longer clips than the encoder reads at once go through in parts, one after the other.
        """
        samples, at_once = waveforms.shape[1], 2 * len(self.model.positional_embedding)
        silence = min(self.silence, -samples % (at_once * HOP_LENGTH))
        mel = log_mel(F.pad(waveforms, (0, silence)), self.model.conv1.in_channels)
        parts = [self.model(part) for part in mel.split(at_once, 2)]
        real = math.ceil(samples // HOP_LENGTH / 2)
        return [torch.cat(states, 1)[:, :real] for states in zip(*parts, strict=True)]


def log_mel(waveforms: Tensor, num_mels: int) -> Tensor:
    """Waveforms ``(batch, time)`` at 16 kHz → Whisper's log-mel ``(batch, mel, frame)``, a frame every 10 ms.

    Power of Hann windows of 25 ms, Slaney's mel filters, log10, 8 (80 dB) below each clip's maximum at least, plus 4,
    divided by 4. The frame that is centred on the end is left out. All is in single precision, because a power can be
    too large for half.
    """
    window, filters = (fixed.to(waveforms.device) for fixed in _window_and_filters(num_mels))
    with torch.autocast(waveforms.device.type, enabled=False):
        spectrum = torch.stft(waveforms, N_FFT, HOP_LENGTH, window=window, return_complex=True)[..., :-1]
        levels = (filters @ spectrum.abs().square()).clamp_min(1e-10).log10()
    return (levels.maximum(levels.amax((1, 2), keepdim=True) - 8) + 4) / 4


@cache
def _window_and_filters(num_mels: int) -> tuple[Tensor, Tensor]:
    filters = melscale_fbanks(N_FFT // 2 + 1, 0.0, RATE / 2, num_mels, RATE, norm="slaney", mel_scale="slaney")
    return torch.hann_window(N_FFT), filters.T


def check(config: FeatureConfig) -> None:
    """Refuse options that don't go with Whisper.

    Raises:
        UserError: No weights are named, or a bundle of torchaudio is, or ``silence`` is out of its range.
    """
    if not 0 <= config.silence <= MOST_SILENCE:
        raise UserError(f"features.silence={config.silence} must lie between 0 and {MOST_SILENCE} seconds")
    if config.bundle is not None:
        raise UserError(f"features.bundle={config.bundle}: torchaudio has no Whisper; features.weights=PATH names it")
    if config.weights is None:
        raise UserError(
            "features=whisper needs features.weights=PATH, a file or a folder of weights of OpenAI's Whisper, such as "
            "tiny.pt, model.safetensors or CTranslate2's model.bin: docs/pretrained.md"
        )


def architecture(config: FeatureConfig) -> dict[str, Any]:
    """Return arguments of ``WhisperStates`` as plain data.

    Raises:
        WeightsError: The weights are missing or broken.
    """
    return _read(config)[0]


def weights(config: FeatureConfig) -> tuple[list[Path], dict[str, Tensor]]:
    """Return the files that the weights are in, and the encoder's tensors as ``WhisperEncoder`` names them.

    Raises:
        WeightsError: The weights are missing or broken.
    """
    return _read(config)[1:]


def _read(config: FeatureConfig) -> tuple[dict[str, Any], list[Path], dict[str, Tensor]]:
    files, tensors, heads = read_encoder(Path(str(config.weights)))
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    params = {
        "num_mels": (*shapes["conv1.weight"], 0)[1],
        "num_frames": shapes["positional_embedding"][0],
        "width": shapes["positional_embedding"][-1],
        "num_heads": heads,
        "num_layers": len({name.split(".")[1] for name in tensors if name.startswith("blocks.")}),
        "silence": round(config.silence * RATE),
    }
    about: dict[str, Any] = {"kind": "Whisper", "params": params, "normalize_waveform": False}
    with torch.device("meta"):
        model = WhisperStates(**about).model
    check_shapes(files[0], model, tensors)
    return about, files, tensors
