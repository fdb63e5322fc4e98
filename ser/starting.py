"""A training that starts from the weights of another run in place of random ones: ``init_from=``."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ser.config import ConfigError, network_settings
from ser.datamodule import EmotionDataModule
from ser.features import FeatureConfig
from ser.models import NETWORKS, EmotionNetwork
from ser.recognizer import read_current


@dataclass(frozen=True)
class Start:
    """What a checkpoint gives to a run that starts from it.

    Attributes:
        path: The checkpoint.
        weights: Its network's state, by name.
        labels: The emotions that it tells apart, in the order of the last layer's rows.
        seconds: What its network hears of a clip.
        heard: People whom it has heard in training or validation, as ``ser.corpora.clip.person`` names them; ``""``
            among them stands for speakers who are not known.
        digest: Of the pretrained weights that its features are made with, or None.
    """

    path: Path
    weights: dict[str, Tensor]
    labels: list[str]
    seconds: float
    heard: set[str]
    digest: str | None


def read_start(cfg: dict[str, Any]) -> Start:
    """Read the checkpoint that ``init_from`` names, before any data is read.

    Raises:
        ConfigError: It has another network, or reads other features; the message gives the words that agree with it.
        UserError: It is no checkpoint of a run, is broken, or of another version.
    """
    path = Path(cfg["init_from"])
    checkpoint = read_current(path)
    state = checkpoint["EmotionDataModule"]
    kind = NETWORKS[cfg["model"]["name"]]
    if checkpoint["network"] != kind.__name__:
        name = next(name for name, network in NETWORKS.items() if network.__name__ == checkpoint["network"])
        raise ConfigError(f"init_from={path} is of model={name}, and this run has model={cfg['model']['name']}")
    own = vars(FeatureConfig(**cfg["features"]))
    # Where weights lie, and what their digest is, the run finds out by itself.
    differing = {
        name: value for name, value in state["features"].items()
        if name not in ("weights", "digest") and value != own[name]
    }  # fmt: skip
    if differing:
        raise ConfigError(f"init_from={path} reads other features than this run: take {_words('features', differing)}")
    sizes = checkpoint["hyper_parameters"]
    settings = network_settings(cfg)
    with torch.device("meta"):
        network = kind(sizes["input_shape"], sizes["num_classes"], **settings)
    if _shapes(network.state_dict()) != _shapes(checkpoint["state_dict"]):
        training = inspect.signature(EmotionNetwork.__init__).parameters
        others = {name: value for name, value in sizes.items() if name not in training and value != settings.get(name)}
        raise ConfigError(f"init_from={path} has layers of other sizes than this run: take {_words('model', others)}")
    return Start(
        path,
        checkpoint["state_dict"],
        list(state["labels"]),
        state["length"] / state["features"]["sample_rate"],
        set(state.get("heard", [""])),
        state["features"]["digest"],
    )


def start_from(start: Start, network: EmotionNetwork, data: EmotionDataModule) -> None:
    """Give ``network`` the weights of ``start``, and ``data`` the people whom it has heard.

    All layers are taken over but the last, of which each emotion that the checkpoint knows has its row; those of other
    emotions stay as they are.

    Raises:
        ConfigError: The network reads clips of another length than the checkpoint's; or the split keeps speakers apart,
            and test speakers were heard by the checkpoint; or other pretrained weights are in use.
    """
    if not data.config.fine_tune and start.digest != data.config.digest:
        raise ConfigError(
            f"init_from={start.path} reads what weights with the digest {start.digest} give, and those of this run "
            f"have {data.config.digest}: give features.weights= or features.bundle= of that run"
        )
    weights = network.state_dict()
    last = f"layers.{len(network.layers) - 1}"
    rows = [(row, start.labels.index(label)) for row, label in enumerate(data.labels) if label in start.labels]
    for name, value in start.weights.items():
        if name in (f"{last}.weight", f"{last}.bias"):
            for row, theirs in rows:
                weights[name][row] = value[theirs]
        elif weights[name].shape == value.shape:
            weights[name] = value
        else:
            raise ConfigError(
                f"init_from={start.path} reads clips of {start.seconds:g} s, and this run others: take "
                f"datamodule.max_seconds={start.seconds:g}"
            )
    heard = data.add_heard(start.heard)
    if heard and not data.split.leakage().heard:
        raise ConfigError(
            f"init_from={start.path} has heard {len(heard)} of the test speakers, such as {heard[0]}, whom this split "
            "keeps out of training: start from a run with the same split, or from one on other people. Other people of "
            "the same name need another one in the manifest's column speaker"
        )
    network.load_state_dict(weights)
    network.started = True


def _shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


def _words(group: str, values: dict[str, Any]) -> str:
    """Options as they are typed."""
    told = {
        name: "null" if value is None else str(value).replace(" ", "").replace("'", "")
        for name, value in values.items()
    }
    return " ".join(f"{group}.{name}={value}" for name, value in told.items())
