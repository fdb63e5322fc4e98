"""Networks, one a file: features → logits."""

from ser.models.base import Batch, EmotionNetwork, ShapeError
from ser.models.cnn1d import Cnn1d
from ser.models.cnn2d import Cnn2d
from ser.models.paper2d import Paper2d, Paper2dOriginal
from ser.models.probe import Probe
from ser.models.seresnet import SeResNet
from ser.models.wide1d import Wide1d

__all__ = ["KINDS", "NETWORKS", "Batch", "EmotionNetwork", "ShapeError", "name_of"]

NETWORKS: dict[str, type[EmotionNetwork]] = {
    "cnn1d": Cnn1d,
    "wide1d": Wide1d,
    "cnn2d": Cnn2d,
    "paper2d": Paper2d,
    "paper2d_original": Paper2dOriginal,
    "seresnet": SeResNet,
    "probe": Probe,
}
"""Every network by its name on the command line, ``model=NAME``."""

KINDS = {network.__name__: network for network in NETWORKS.values()}
"""The same by the name of their class, as checkpoints tell it."""


def name_of(kind: str) -> str:
    """What a network is called whose class is ``kind``, as checkpoints tell it: on the command line, if it is there."""
    return next((name for name, network in NETWORKS.items() if network.__name__ == kind), kind.lower())
