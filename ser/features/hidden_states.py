"""Waveforms → mean and deviation over time of the hidden states of a network that was pretrained on speech."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ser.errors import UserError

RATE = 16_000
"""Sample rate of all pretrained networks here, hertz."""

AT_ONCE = 8
"""Clips that go through the network together at most. The first layer of a base network makes 33 MB of 5 s (16,000
frames of 512 channels in single precision), and more than one such tensor lives at a time."""


class WeightsError(UserError):
    """Pretrained weights that are missing, broken or not the right ones; the message says where they belong."""


class HiddenStates(nn.Module, ABC):
    """A pretrained network: waveforms → mean and deviation over time of the hidden states of each layer.

    What a clip gets depends neither on its padding nor on the clips beside it, beyond rounding. Its padding is cut off
    before the network, and only clips of the same length go through together. To hand the network padded clips with
    their lengths would not do: the group norm in the first layer of the base networks of wav2vec 2.0 would take its
    mean and deviation also over the padding, and torchaudio's WavLM takes no lengths.

    Attributes:
        model: The network itself, a module.
        shape: Shape of a clip's states, ``(2, channel, layer)``, mean before deviation.
        least: Fewest samples that the network makes a frame of.
    """

    model: Any
    shape: tuple[int, int, int]
    least: int

    @abstractmethod
    def layers(self, waveforms: Tensor) -> Sequence[Tensor]:
        """Waveforms ``(batch, time)`` at 16 kHz, without padding → each layer's states ``(batch, frame, channel)``."""

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
        states = torch.stack(tuple(self.layers(waveforms)), 3).float()
        variance, mean = torch.var_mean(states, dim=1, correction=0)
        return torch.stack([mean, variance.clamp_min(1e-10).sqrt()], 1)


def read_pickle(file: Path) -> Any:
    """Read a file of ``torch.save``, tensors and plain data only.

    Raises:
        WeightsError: It is broken, or holds something else.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=is_zipfile(file))
    except OSError as error:
        raise WeightsError(f"{file} can't be read, or is not complete: {error}") from error
    except (RuntimeError, EOFError, UnpicklingError, LookupError, ValueError, AttributeError, TypeError) as error:
        message = f"{file} is not a file of weights, or broken ({type(error).__name__}): get it anew"
        raise WeightsError(message) from error


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """Read all tensors of a file.

    Raises:
        WeightsError: It is broken, or safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError  # noqa: PLC0415
        from safetensors.torch import load_file  # noqa: PLC0415
    except ImportError as error:
        raise WeightsError(f"{file} needs safetensors: pip install 'ser[pretrained]'") from error
    try:
        tensors: dict[str, Tensor] = load_file(file)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{file} is broken, or no file of safetensors ({error}): get it anew") from error
    return tensors


def check_shapes(file: Path, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Compare tensors with a network on the meta device, before memory is taken for one of these sizes.

    Raises:
        WeightsError: A tensor is missing, or has another shape, or there is one more.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted({*wanted, *shapes}):
        if wanted.get(name) != shapes.get(name):
            raise WeightsError(
                f"{file} does not hold the weights of this network: {name[:80]} has the shape {shapes.get(name)}, and "
                f"should have {wanted.get(name)}"
            )


def is_state_dict(held: object) -> bool:
    """Return whether ``held`` is a dictionary of tensors by name."""
    return isinstance(held, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in held.items()
    )
