"""A small network on top of a large one that was pretrained on speech."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ser.errors import UserError
from ser.features import HiddenStates, Pretrained, pretrained_network
from ser.models.base import EmotionNetwork

COMBINATIONS = ("sum", "concatenate")


class Probe(EmotionNetwork):
    """A weighted sum over the layers of a pretrained network, and a dense layer, or two.

    The weight of each layer is learned, and a softmax makes them sum to 1 (Yang et al., 2021, arXiv 2105.01051). They
    weigh mean and deviation over time of each channel. With ``features.fine_tune=true`` the pretrained network is part
    of this one and is also trained, except for its convolutions; what it gives is then brought to mean 0 and deviation
    1 over the channels, because ``features.normalize`` can't know what it will give.

    9,234 parameters on the 768 channels and 12 layers of a base network and six emotions, without that network.

    Args:
        input_shape: ``(1, 2, channel, layer)``.
        num_classes: Emotions, at least two.
        combine: ``sum``, layers weighted and summed, or ``concatenate``, where the dense layer reads all of them.
        hidden: Units of a dense layer with ReLU before the last one; 0 for none.
        dropout: Probability, 0 to 1, before the last dense layer.
        pretrained_learning_rate: With ``features.fine_tune``, of the pretrained network; with ``onecycle`` the highest.
        pretrained: With ``features.fine_tune``, what ``pretrained_network`` takes; the data module has its weights.
        **training: What every network takes, see ``EmotionNetwork``.

    Raises:
        UserError: A number is out of its range.
    """

    dimensions = 3

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        combine: str = "sum",
        hidden: int = 0,
        dropout: float = 0.0,
        pretrained_learning_rate: float = 1e-5,
        pretrained: Mapping[str, Any] | None = None,
        **training: Any,
    ) -> None:
        super().__init__(input_shape, num_classes, **training)
        if combine not in COMBINATIONS:
            raise UserError(f"model.combine={combine!r} must be {' or '.join(COMBINATIONS)}")
        if hidden < 0:
            raise UserError(f"model.hidden={hidden} must be 0 or more")
        if pretrained_learning_rate <= 0:
            raise UserError(f"model.pretrained_learning_rate={pretrained_learning_rate} must be above 0")
        self.pretrained_learning_rate = pretrained_learning_rate
        _, statistics, channels, layers = input_shape
        size = statistics * channels * (1 if combine == "sum" else layers)
        head: list[nn.Module] = [LayerSum(layers) if combine == "sum" else nn.Identity(), nn.Flatten()]
        if hidden:
            head += [nn.Linear(size, hidden), nn.ReLU()]
        head += [nn.Dropout(dropout), nn.Linear(hidden or size, num_classes)]
        self.layers = self.build(head if pretrained is None else [Tuned(pretrained_network(**pretrained)), *head])

    @property
    def states(self) -> HiddenStates | None:
        """The pretrained network, where it is part of this one."""
        first = self.layers[0]
        return first.states if isinstance(first, Tuned) else None

    def as_images(self, inputs: Tensor) -> Tensor:
        """Return inputs as they are: ``layers`` read hidden states, or waveforms to fine-tune on."""
        return inputs

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Hidden states ``(batch, 1, 2, channel, layer)``, or waveforms to fine-tune on → logits ``(batch, class)``.

        Args:
            inputs: Waveforms ``(batch, time)`` where the pretrained network is part of this one.
            lengths: Samples of each waveform that are real, ``(batch,)``; None where all are. What follows them is
                ignored, and hidden states have none.
        """
        if self.states is None:
            return super().forward(inputs, lengths)
        tuned, *head = self.layers
        hidden = tuned(inputs, lengths)
        for layer in head:
            hidden = layer(hidden)
        return hidden

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the head, and the pretrained network at its own learning rate."""
        if self.states is None:
            return super().parameter_groups()
        tuned = [weight for weight in self.states.parameters() if weight.requires_grad]
        known = {id(weight) for weight in self.states.parameters()}
        head = [weight for weight in self.parameters() if id(weight) not in known]
        return [{"params": head}, {"params": tuned, "lr": self.pretrained_learning_rate}]

    def on_fit_start(self) -> None:
        """Begin with the pretrained weights; a training that resumes, or starts from another run, has its own."""
        if self.states is None or self.initialized or self.trainer.ckpt_path is not None:
            return
        features = self.trainer.datamodule.frontend.features  # type: ignore[attr-defined]
        assert isinstance(features, Pretrained)
        features.load_into(self.states)


class LayerSum(nn.Module):
    """Sum over the last axis, weighted by a softmax of a learned number for each place; all alike at first."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(layers))

    def forward(self, states: Tensor) -> Tensor:
        """``(batch, …, layer)`` → ``(batch, …)``."""
        return states @ self.scores.softmax(0)


class Tuned(nn.Module):
    """Waveforms → hidden states, of mean 0 and deviation 1 over the channels."""

    def __init__(self, states: HiddenStates) -> None:
        super().__init__()
        self.states = states

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """``(batch, time)`` of ``lengths`` real samples, or all → ``(batch, 1, 2, channel, layer)``."""
        lengths = torch.full(waveforms.shape[:1], waveforms.shape[1]) if lengths is None else lengths
        states = self.states(waveforms, lengths.to(waveforms.device))  # (batch, 2, channel, layer)
        channels = states.shape[2:3]
        return F.layer_norm(states.transpose(2, 3), channels).transpose(2, 3).unsqueeze(1)
