"""Several trained networks as one, in one checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ser.checkpoint import Checkpoint
from ser.errors import UserError
from ser.evaluation.calibration import Calibration
from ser.models import KINDS, EmotionNetwork

NORMALIZER_TOLERANCE = 1e-3
"""Largest relative difference between statistics of the same training clips that two machines have taken."""


class Ensemble(EmotionNetwork):
    """A network that averages the answers of several trained ones (Lakshminarayanan et al., 2017, arXiv 1612.01474).

    All read the same features, and the ensemble itself is not trained.

    Args:
        input_shape: Shape of one clip.
        num_classes: Emotions, at least two.
        members: For each network ``network``, its class; ``hyper_parameters``; and ``temperature``, at which its
            probabilities count.
    """

    def __init__(self, input_shape: Sequence[int], num_classes: int, members: Sequence[Mapping[str, Any]]) -> None:
        for member in members:
            Calibration(member["temperature"]).check()
        networks = [KINDS[member["network"]](**member["hyper_parameters"]) for member in members]
        self.dimensions = networks[0].dimensions  # which the base class asks for
        super().__init__(input_shape, num_classes)
        self.members = nn.ModuleList(networks)
        self.temperatures = [float(member["temperature"]) for member in members]

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Inputs ``(batch, *input_shape)`` → logits ``(batch, class)``, whose softmax is the mean of probabilities."""
        answers = [
            (member(inputs, lengths) / temperature).log_softmax(1)
            for member, temperature in zip(self.members, self.temperatures, strict=True)
        ]
        return torch.stack(answers).logsumexp(0)


def join_checkpoints(paths: Sequence[Path]) -> Checkpoint:
    """Join checkpoints of runs on the same clips with the same features into an ``Ensemble``, not calibrated yet.

    Raises:
        UserError: A file is no checkpoint of a run, or differs from the first in more than its network.
    """
    checkpoints = [Checkpoint.read(path) for path in paths]
    first = checkpoints[0]
    for path, checkpoint in zip(paths, checkpoints, strict=True):
        if checkpoint.adapted:
            raise UserError(f"{path} was adapted to other recordings: join the runs first, and adapt what comes of it")
        other = [name for name in ("labels", "features", "length") if getattr(checkpoint, name) != getattr(first, name)]
        if other:
            raise UserError(f"{path} has other {' and '.join(other)} than {paths[0]}: only the seed may differ")
        for name, value in first.normalizer.items():
            if not torch.allclose(checkpoint.normalizer[name].float(), value.float(), rtol=NORMALIZER_TOLERANCE):
                raise UserError(f"{path} has learnt from other clips than {paths[0]}: only the seed may differ")
    members = [
        {
            "network": checkpoint.network,
            "hyper_parameters": checkpoint.parameters,
            "temperature": (checkpoint.calibration or Calibration()).temperature,
        }
        for checkpoint in checkpoints
    ]
    return Checkpoint(
        network=Ensemble.__name__,
        parameters={**{name: first.parameters[name] for name in ("input_shape", "num_classes")}, "members": members},
        weights={
            f"members.{i}.{name}": value
            for i, checkpoint in enumerate(checkpoints)
            for name, value in checkpoint.weights.items()
        },
        labels=first.labels,
        features=first.features,
        length=first.length,
        normalizer=first.normalizer,
        epoch=max(checkpoint.epoch for checkpoint in checkpoints),
        voices=first.voices,
        seen=sorted(set().union(*(checkpoint.seen for checkpoint in checkpoints))),
        seen_elsewhere=sorted(set().union(*(checkpoint.seen_elsewhere for checkpoint in checkpoints))),
    )
