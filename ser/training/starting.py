"""A training that starts from the weights of another run in place of random ones: ``init_from=``."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ser.checkpoint import Checkpoint, find_checkpoint
from ser.config import ConfigError, RunConfig
from ser.datamodule import EmotionDataModule
from ser.models import EmotionNetwork, name_of
from ser.recognizer import Recognizer


@dataclass(frozen=True)
class Start:
    """Holds what a checkpoint gives to a run that starts from it.

    Attributes:
        path: The checkpoint.
        recognizer: What it holds.
    """

    path: Path
    recognizer: Recognizer


def read_start(config: RunConfig) -> Start:
    """Read the checkpoint that ``init_from`` names, before any data is read.

    Raises:
        ConfigError: It has another network, or reads other features; the message gives the words that agree with it.
        UserError: It is no checkpoint of a run, is broken, or of another version.
    """
    path = find_checkpoint(str(config.init_from))
    recognizer = Recognizer.load(path)
    theirs = recognizer.network
    if type(theirs) is not config.network:
        name, own_name = (name_of(kind.__name__) for kind in (type(theirs), config.network))
        raise ConfigError(f"init_from={path} is of model={name}, and this run has model={own_name}")
    own = vars(config.features)
    # Where weights lie does not matter, and their digest is known once they are read.
    differing = {
        name: value
        for name, value in vars(recognizer.frontend.config).items()
        if name not in ("weights", "digest") and value != own[name]
    }
    if differing:
        raise ConfigError(f"init_from={path} reads other features than this run: take {_words('features', differing)}")
    _check_sizes(path, theirs, config.network_options)
    return Start(path, recognizer)


def start_from(start: Start, network: EmotionNetwork, data: EmotionDataModule) -> None:
    """Give ``network`` the weights of ``start``, and ``data`` the people whom it has seen.

    All layers are taken over except the last. In the last one, each emotion that the checkpoint knows gets its row of
    weights; the rows of other emotions stay as they are.

    Raises:
        ConfigError: The network reads clips of another length than the checkpoint's; or the split is
            speaker-independent, and the checkpoint has seen test speakers; or other pretrained weights are in use.
    """
    theirs, labels = start.recognizer.frontend.config, start.recognizer.labels
    if not theirs.fine_tune and theirs.digest != data.config.digest:
        raise ConfigError(
            f"init_from={start.path} reads what weights with the digest {theirs.digest} give, and those of this run "
            f"have {data.config.digest}: give features.weights= or features.bundle= of that run"
        )
    weights = network.state_dict()
    last = f"layers.{len(network.layers) - 1}"
    rows = [(row, labels.index(label)) for row, label in enumerate(data.labels) if label in labels]
    for name, value in start.recognizer.network.state_dict().items():
        if name in (f"{last}.weight", f"{last}.bias"):
            for row, their_row in rows:
                weights[name][row] = value[their_row]
        elif weights[name].shape == value.shape:
            weights[name] = value
        else:
            seconds = start.recognizer.seconds
            raise ConfigError(
                f"init_from={start.path} reads clips of {seconds} s, and this run others: take "
                f"datamodule.max_seconds={seconds}"
            )
    independent = not data.split.leakage().seen
    seen = data.add_seen(Checkpoint.read(start.path).seen)
    if seen and independent:
        raise ConfigError(
            f"init_from={start.path} has seen {len(seen)} of the test speakers, such as {seen[0]}, whom this split "
            "keeps out of training: start from a run with the same split, or from one on other people. Other people of "
            "the same name need another one in the manifest's column speaker"
        )
    network.load_state_dict(weights)
    network.initialized = True


def _check_sizes(path: Path, theirs: EmotionNetwork, settings: dict[str, Any]) -> None:
    """Refuse options of the network with which its layers have other sizes, whatever the clips.

    Raises:
        ConfigError: There are some; the message gives those of the checkpoint.
    """
    known: dict[str, Any] = dict(theirs.hparams)
    training = inspect.signature(EmotionNetwork.__init__).parameters
    settings = {name: value for name, value in settings.items() if name not in training and value != known.get(name)}

    def sizes(**others: Any) -> list[tuple[str, torch.Size]]:
        with torch.device("meta"):
            network = type(theirs)(**{**known, **others})
        return [(name, value.shape) for name, value in network.state_dict().items()]

    resized = [name for name, value in settings.items() if sizes(**{name: value}) != sizes()]
    if "pretrained" in resized:
        raise ConfigError(
            f"init_from={path} has tuned another pretrained network than features.weights= or features.bundle= of this "
            "run: give those of that run"
        )
    if resized:
        words = _words("model", {name: known[name] for name in resized})
        raise ConfigError(f"init_from={path} has layers of other sizes than this run: take {words}")


def _words(group: str, values: dict[str, Any]) -> str:
    words = {
        name: "null" if value is None else str(value).replace(" ", "").replace("'", "")
        for name, value in values.items()
    }
    return " ".join(f"{group}.{name}={value}" for name, value in words.items())
