"""What YAML can't say: where options come from, and which choices go together."""

import inspect
import sys
from pathlib import Path
from typing import Any

import torch
from hydra.core.config_store import ConfigStore
from hydra.experimental.callback import Callback
from lightning import Trainer
from omegaconf import DictConfig, OmegaConf

from ser.augment import Augment
from ser.callbacks import epochs_seen
from ser.errors import UserError
from ser.features import FEATURES, FeatureConfig, FeatureSet
from ser.models import NETWORKS, EmotionNetwork

AMPLE_FRAMES = 1000
"""Enough for every network, to try its layers on before the clips' lengths are known."""


class ConfigError(UserError):
    """Choices that don't go together; the message gives those that do."""


def register_schemas() -> None:
    """Tell Hydra every option of the constructors, so that each can be set by its own name and none is copied.

    ``schema/features``, ``schema/augment``, ``schema/trainer`` and ``schema/model/NAME`` hold the constructors'
    defaults; the YAML files of ``conf/`` start from them.
    """
    store = ConfigStore.instance()
    store.store(group="schema", name="features", node=FeatureConfig)
    store.store(group="schema", name="augment", node=_defaults(Augment))
    store.store(group="schema", name="trainer", node=_defaults(Trainer))
    for name, network in NETWORKS.items():
        store.store(
            group="schema/model", name=name, node={"name": name, **_defaults(EmotionNetwork), **_defaults(network)}
        )


def _defaults(constructor: type) -> dict[str, Any]:
    parameters = inspect.signature(constructor).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The composed choices as plain data, with every interpolation resolved."""
    container = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def check_choices(cfg: dict[str, Any]) -> None:
    """Refuse choices that can't work, before any data is read.

    Raises:
        ConfigError: The network reads features of another dimension, or the checkpoint to go on from or to test is
            not there.
        FeatureError: The features can't be had with these numbers.
        ShapeError: The network's layers don't fit the features' rows, however many frames there are.
        UserError: A number of the network or of the augmentation is out of its range.
    """
    features = FeatureSet(FeatureConfig(**cfg["features"]))
    network = NETWORKS[cfg["model"]["name"]]
    if network.dimensions != features.dimensions:
        models = [name for name, other in NETWORKS.items() if other.dimensions == features.dimensions]
        names = [name for name, feature in FEATURES.items() if feature.dimensions == network.dimensions]
        chosen = "_".join(cfg["features"]["names"])
        raise ConfigError(
            f"model={cfg['model']['name']} reads {network.dimensions}D features, and features={chosen} "
            f"is {features.dimensions}D: with it go model={', '.join(models)}; "
            f"with the network go features={', '.join(names)}{' or several of them' if network.dimensions == 1 else ''}"
        )
    ample = (1, features.rows, AMPLE_FRAMES) if features.dimensions == 2 else (1, features.rows * AMPLE_FRAMES)
    with torch.device("meta"):
        network(ample, num_classes=2, **network_settings(cfg))
    Augment(**cfg["augment"])
    if cfg["ckpt_path"] is not None and not Path(cfg["ckpt_path"]).is_file():
        raise ConfigError(
            f"ckpt_path={cfg['ckpt_path']} is not a file: give a run's checkpoints/last.ckpt to go on from it"
        )
    if cfg["ckpt_path"] is not None:
        seen, wanted = epochs_seen(Path(cfg["ckpt_path"])), cfg["trainer"]["max_epochs"]
        if wanted is not None and 0 <= wanted <= seen:
            raise ConfigError(
                f"ckpt_path={cfg['ckpt_path']} has seen {seen} epochs, and trainer.max_epochs={wanted}: "
                "set trainer.max_epochs= above it to go on"
            )
    if cfg["test_checkpoint"] not in ("best", "last"):
        raise ConfigError(f"test_checkpoint={cfg['test_checkpoint']!r} must be 'best' or 'last'")


def network_settings(cfg: dict[str, Any]) -> dict[str, Any]:
    """What the network's constructor takes from ``model.``."""
    return {name: value for name, value in cfg["model"].items() if name != "name"}


class RefuseEmptySweep(Callback):
    """A sweep that ran nothing is an error; Hydra would end it without a word."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Look for a job's folder."""
        if not any(path.is_dir() for path in Path(config.hydra.sweep.dir).glob("*")):
            sys.exit(
                f"the sweep over {' '.join(config.hydra.overrides.task)} has no jobs: "
                "a glob() that matches no choice leaves none; see the files of conf/"
            )
