"""Several trained networks as one, in one checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ser import __version__
from ser.calibration import Calibration
from ser.callbacks import read_checkpoint
from ser.errors import UserError
from ser.models import CHECKPOINT_FORMAT, KINDS, EmotionNetwork

NORMALIZER_TOLERANCE = 1e-3
"""How far apart, relatively, the statistics of the same training clips may be that two machines have taken."""


class Ensemble(EmotionNetwork):
    """The mean of what several networks answer to the same features (Lakshminarayanan et al., 2017, arXiv 1612.01474).

    It is joined from trained networks and not trained itself.

    Args:
        input_shape: Of one clip.
        num_classes: Emotions to tell apart.
        members: Of each network: ``network``, its class; ``hyper_parameters``; and ``temperature``, at which its
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


def join_checkpoints(paths: Sequence[Path]) -> dict[str, Any]:
    """Checkpoints of runs on the same clips with the same features → one of an ``Ensemble``, not calibrated yet.

    Raises:
        UserError: One is no checkpoint of a run, or differs from the first in more than its network.
    """
    checkpoints = [read_checkpoint(path) for path in paths]
    states = [checkpoint["EmotionDataModule"] for checkpoint in checkpoints]
    for path, checkpoint, state in zip(paths, checkpoints, states, strict=True):
        if checkpoint.get("format") != CHECKPOINT_FORMAT:
            raise UserError(f"{path} is in format {checkpoint.get('format')}, and not {CHECKPOINT_FORMAT}")
        if checkpoint.get("adapted"):
            raise UserError(f"{path} was adapted to other recordings: join the runs first, and adapt what comes of it")
        if other := [name for name in ("labels", "features", "length") if state[name] != states[0][name]]:
            raise UserError(f"{path} has other {' and '.join(other)} than {paths[0]}: only the seed may differ")
        for name, value in states[0]["normalizer"].items():
            if not torch.allclose(state["normalizer"][name].float(), value.float(), rtol=NORMALIZER_TOLERANCE):
                raise UserError(f"{path} has learnt from other clips than {paths[0]}: only the seed may differ")
    parameters = checkpoints[0]["hyper_parameters"]
    members = [
        {
            "network": checkpoint["network"],
            "hyper_parameters": checkpoint["hyper_parameters"],
            "temperature": checkpoint.get("calibration", {}).get("temperature", 1.0),
        }
        for checkpoint in checkpoints
    ]
    return {
        "network": Ensemble.__name__,
        "format": CHECKPOINT_FORMAT,
        "ser_version": __version__,
        "epoch": max(checkpoint["epoch"] for checkpoint in checkpoints),
        "max_epochs": max(checkpoint["max_epochs"] for checkpoint in checkpoints),
        "hyper_parameters": {**{name: parameters[name] for name in ("input_shape", "num_classes")}, "members": members},
        "state_dict": {
            f"members.{i}.{name}": value
            for i, checkpoint in enumerate(checkpoints)
            for name, value in checkpoint["state_dict"].items()
        },
        "EmotionDataModule": {
            **states[0],
            **{
                name: sorted(set().union(*(state.get(name, default) for state in states)))
                for name, default in (("heard", [""]), ("heard_elsewhere", []))
            },
        },
    }
