"""Networks, one per file: features → logits."""

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
"""Every network by the name of its class, which a checkpoint has."""


def name_of(kind: str) -> str:
    """Return the command-line name of a network of class ``kind``; the class's own in lower case if it has none."""
    return next((name for name, network in NETWORKS.items() if network.__name__ == kind), kind.lower())
