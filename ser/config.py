"""What YAML can't say: where options come from, and which choices go together."""

import inspect
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from itertools import pairwise
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from lightning import Trainer
from omegaconf import DictConfig, OmegaConf

from ser.augment import EFFECTS, Augment, SpecAugment, waveform
from ser.data.audio import RATES
from ser.data.corpora import OPTIONS, READERS, SEVERAL
from ser.data.labels import Labels
from ser.data.splits import SPLITS
from ser.datamodule import EmotionDataModule, check_augment, check_voices
from ser.errors import UserError
from ser.features import DIMENSIONS, FeatureConfig, Pretrained, features_of
from ser.models import NETWORKS, EmotionNetwork

HERE = Path(__file__).resolve().parent

CONF = HERE / "conf" if (HERE / "conf").is_dir() else HERE.parent / "conf"
"""The folder of YAML files: inside an installed package, or beside ``ser/`` in a checkout."""

GIVEN_TO_TRAINER = ("logger", "callbacks", "default_root_dir", "plugins", "use_distributed_sampler")
GIVEN_TO_NETWORK = ("pretrained",)
GIVEN_TO_DATAMODULE = ("augment", "strict", "seed", "device", "voice", "target", "recordings")
"""Arguments that a run fills in itself; they are no options."""

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed", None)
"""Values of ``trainer.precision``; features and a network's weights are always in single precision."""

RENAMED = {
    **{f"augment.wave.{old}": f"augment.wave.{new}=" for old, new in waveform.RENAMED.items()},
    "features.mel_reference": "features=logmel, where it was one, or 'features.names=[mel]', where it was max,",
}
"""Options of earlier versions, and what to type in their place."""

WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}
"""Names of the types of options in messages."""

TO_QUOTE = "spaces, commas, brackets, quotes, = or letters beyond a to z"
"""What Hydra's grammar may take for its own in a value."""

LOGGERS = ("tensorboard", "csv", "none")
"""Where a run's scores by epoch go beside its own files, ``logger=NAME``."""

AMPLE_FRAMES = 1000
"""Frames that are enough to try any network's layers on, before the clips' lengths are known."""


class ConfigError(UserError):
    """Reports choices that don't go together; the message gives those that do."""


@dataclass(frozen=True)
class RunConfig:
    """Holds the choices of a run, each in the type that it is used in; ``check_choices`` makes one.

    Attributes:
        choices: All of them as plain data, as ``config.yaml`` keeps them; without ``ckpt_path``.
        seed: Seeds weights, dropout, augmentation and the order of clips.
        test_checkpoint: Which checkpoint is tested, ``best`` or ``last``.
        ckpt_path: A checkpoint to resume from.
        init_from: Another run's checkpoint to start from.
        early_stopping_patience: Epochs without a higher macro F1 on validation after which training ends.
        ema_decay: Decay of the moving average of the weights; None for none.
        figure_every_n_epochs: How often TensorBoard gets pictures; 0 for never.
        dataset: The corpus and its options.
        labels: The classes.
        split: The split's name and options.
        features: The features.
        augment: What happens to training clips.
        datamodule: Options of ``EmotionDataModule``.
        network: The network's class.
        network_options: The network's arguments beside the sizes of its input and output.
        trainer: Options of Lightning's ``Trainer``.
        logger: The logger's name.
    """

    choices: dict[str, Any]
    seed: int
    test_checkpoint: Literal["best", "last"]
    ckpt_path: str | None
    init_from: str | None
    early_stopping_patience: int | None
    ema_decay: float | None
    figure_every_n_epochs: int
    dataset: dict[str, Any]
    labels: Labels
    split: dict[str, Any]
    features: FeatureConfig
    augment: Augment
    datamodule: dict[str, Any]
    network: type[EmotionNetwork]
    network_options: dict[str, Any]
    trainer: dict[str, Any]
    logger: dict[str, str]


def register_schemas() -> None:
    """Register every option of the constructors with Hydra, so that each can be set by its own name and none is copied.

    ``schema/labels``, ``schema/features``, ``schema/augment``, ``schema/datamodule``, ``schema/trainer``,
    ``schema/dataset/NAME``, ``schema/split/NAME`` and ``schema/model/NAME`` hold the defaults of the constructors and
    functions; the YAML files of ``conf/`` start from them.
    """
    store = ConfigStore.instance()
    store.store(group="schema", name="features", node=FeatureConfig)
    wave = {name: _defaults(effect) for name, effect in EFFECTS.items()}
    store.store(group="schema", name="augment", node={"wave": wave, "spec": _defaults(SpecAugment)})
    store.store(group="schema", name="trainer", node=_defaults(Trainer, without=GIVEN_TO_TRAINER))
    store.store(group="schema", name="datamodule", node=_defaults(EmotionDataModule, without=GIVEN_TO_DATAMODULE))
    store.store(group="schema", name="labels", node=_defaults(Labels))
    for name, read in READERS.items():
        store.store(group="schema/dataset", name=name, node={"name": name, "root": None, **_defaults(read), **OPTIONS})
    store.store(group="schema/dataset", name=SEVERAL, node={"name": SEVERAL, **OPTIONS})
    for name, divide in SPLITS.items():
        store.store(group="schema/split", name=name, node={"name": name, **_defaults(divide)})
    for name, network in NETWORKS.items():
        own = _defaults(network, without=GIVEN_TO_NETWORK)
        store.store(group="schema/model", name=name, node={"name": name, **_defaults(EmotionNetwork), **own})


def _defaults(constructor: Callable[..., Any], without: Sequence[str] = ()) -> dict[str, Any]:
    parameters = inspect.signature(constructor).parameters
    return {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.default is not parameter.empty and name not in without
    }


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return the composed choices as plain data, with every interpolation resolved."""
    container = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def compose_words(words: Sequence[str]) -> dict[str, Any]:
    """Compose ``words`` as ``train.py`` does, for the scripts that take the same, and return plain data.

    Raises:
        HydraException: A word is none of ``conf/``'s.
        ConfigError: A word can't be read, a group was given a list, or an option a value of another type.
    """
    refuse_unreadable(words)
    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", list(words))
    refuse_lists(words, cfg)
    choices = plain(cfg)
    check_types(choices)
    return choices


def hydra_word(option: str, value: object) -> str:
    """Write ``OPTION=VALUE`` for Hydra, in quotes where it would take a part of the value for its own grammar."""
    text = str(value)
    try:
        if OverridesParser.create().parse_override(f"{option}={text}").value() == text:
            return f"{option}={text}"
    except HydraException:
        pass  # so it needs quotes, in which a backslash counts only before one
    quoted = re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + ('\\"' if found[2] else ""), text)
    return f'{option}="{quoted}"'


def typed_words(arguments: Sequence[str]) -> list[str]:
    """Return the choices among the arguments of ``train.py``, without Hydra's own options and their values."""
    without_value = ("-m", "--multirun", "--resolve")
    return [
        word
        for before, word in pairwise(["", *arguments])
        if not word.startswith("-") and (not before.startswith("-") or before in without_value)
    ]


def refuse_unreadable(words: Sequence[str], sweep: bool = False) -> None:
    """Refuse words that Hydra's grammar doesn't take, such as paths with brackets, and options of earlier versions.

    Args:
        words: What was typed.
        sweep: Whether a word may stand for several values.

    Raises:
        ConfigError: There is one.
    """
    for word in words:
        option, equals, value = word.partition("=")
        try:
            parsed = OverridesParser.create().parse_override(word)
            why = "" if sweep or not parsed.is_sweep_override() else "several values are a sweep, which takes -m"
        except HydraException as error:
            why = str(error).splitlines()[0] if equals else "it is no OPTION=VALUE"
        if option in RENAMED and not value.startswith("{"):
            raise ConfigError(f"{word}: {option}= is called {RENAMED[option]} now")
        if why:
            if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            quoted = hydra_word(option, value) if equals else hydra_word("dataset.root", "my clips")
            raise ConfigError(
                f"{word} can't be read ({why}). A value with {TO_QUOTE} is quoted twice, for Hydra and for the shell: "
                f"{shlex.quote(quoted)}"
            )


def refuse_lists(overrides: Sequence[str], cfg: DictConfig) -> None:
    """Refuse lists such as ``dataset=[a,b]``, because Hydra would silently keep one choice of them.

    Args:
        overrides: What was typed.
        cfg: What it was composed to.

    Raises:
        ConfigError: A group was given a list.
    """
    for override in overrides:
        group, _, value = override.partition("=")
        if value.lstrip().startswith("[") and ("." not in group and not OmegaConf.is_list(cfg.get(group.lstrip("+")))):
            several = " (several corpora in one run: dataset=multi dataset.names=[…])" if group == "dataset" else ""
            raise ConfigError(
                f"{override}: {group}= takes one choice{several}; "
                f"a run for each is a sweep: -m {group}={value.strip(' []').replace(' ', '')}"
            )


def check_types(cfg: dict[str, Any]) -> None:
    """Refuse values of other types than the constructors' own, such as a word for a number.

    Raises:
        ConfigError: A value has another type, or a seed or a rate is out of its range.
    """
    network = NETWORKS[cfg["model"]["name"]]
    known: dict[str, dict[str, Any]] = {
        "": get_type_hints(RunConfig),
        "dataset": {
            "root": str | None,
            "metadata": str | None,
            "pattern": str | None,
            "folder": str | None,
            "voice": str,
            "strict": bool,
        },
        "datamodule": get_type_hints(EmotionDataModule.__init__),
        "augment.spec": get_type_hints(SpecAugment.__init__),
        **{f"augment.wave.{name}": get_type_hints(effect.__init__) for name, effect in EFFECTS.items()},
        "model": {**get_type_hints(EmotionNetwork.__init__), **get_type_hints(network.__init__)},
        "trainer": get_type_hints(Trainer.__init__),
    }
    for group, hints in known.items():
        several = group == "dataset" and cfg["dataset"]["name"] == SEVERAL  # its metadata is by corpus
        chosen: dict[str, Any] = reduce(dict.__getitem__, filter(None, group.split(".")), cfg)
        for name, value in chosen.items():
            if name in hints and not several and not _fits(value, hints[name]):
                allowed = [WORDS[kind] for kind in get_args(hints[name]) or (hints[name],) if kind in WORDS]
                option = f"{group}.{name}" if group else name
                quoted = isinstance(value, list | dict) and WORDS[str] in allowed
                then = f"; text with {TO_QUOTE} is quoted twice: '{option}=\"…\"'" if quoted else ""
                raise ConfigError(f"{option}={value!r} must be {' or '.join(allowed)}{then}")
    if not 0 <= cfg["seed"] < 2**32:
        raise ConfigError(f"seed={cfg['seed']} must lie between 0 and {2**32 - 1}")
    low, high = RATES
    if not low <= cfg["features"]["sample_rate"] <= high:
        raise ConfigError(f"features.sample_rate={cfg['features']['sample_rate']} must lie between {low} and {high} Hz")


def _fits(value: object, hint: Any) -> bool:
    """Return whether ``value`` has the type ``hint``; only numbers, text and truths are checked here."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if not set(kinds) <= set(WORDS):
        return True
    return type(value) in kinds or (type(value) is int and float in kinds)


def check_choices(cfg: dict[str, Any]) -> RunConfig:
    """Refuse choices that can't work, before any data is read, and return the others as a run uses them.

    Raises:
        ConfigError: A value has another type than it must, the logger is none of ``LOGGERS``, or the network reads
            features of another dimension or can't be built with its numbers.
        FeatureError: The features can't be computed with these numbers.
        DataError: The augmentation is not for these features.
        WeightsError: ``features.weights`` is missing or broken.
        ShapeError: The network's layers don't fit the features' rows, however many frames there are.
        UserError: A number of the network or of the augmentation is out of its range.
    """
    check_types(cfg)
    if cfg.get("logger") not in [{"name": name} for name in LOGGERS]:
        raise ConfigError(f"logger={cfg.get('logger')} must be one of {', '.join(LOGGERS)}, and takes no options")
    features = FeatureConfig(**cfg["features"])
    _check_network(cfg, features)
    augment = Augment(features.sample_rate, **cfg["augment"])
    check_augment(augment.spec, features)
    enrolment, dropout = cfg["datamodule"]["enrolment"], cfg["datamodule"]["voice_dropout"]
    check_voices(features, cfg["dataset"].get("voice", "speaker"), enrolment, dropout)
    _check_training(cfg)
    made: dict[str, Any] = {
        "choices": {**cfg, "ckpt_path": None}, "labels": Labels(**cfg["labels"]), "features": features,
        "augment": augment, "network": NETWORKS[cfg["model"]["name"]], "network_options": network_settings(cfg),
    }  # fmt: skip
    return RunConfig(**made, **{one.name: cfg[one.name] for one in fields(RunConfig) if one.name not in made})


def _check_network(cfg: dict[str, Any], config: FeatureConfig) -> None:
    """Refuse a network that does not read these features, or can't be built."""
    features = features_of(config)
    name, network = cfg["model"]["name"], NETWORKS[cfg["model"]["name"]]
    if network.dimensions != features.dimensions:
        models = [other for other, kind in NETWORKS.items() if kind.dimensions == features.dimensions]
        names = [other for other, dimensions in DIMENSIONS.items() if dimensions == network.dimensions]
        raise ConfigError(
            f"model={name} reads {network.dimensions}D features, and features={'_'.join(config.names)} "
            f"is {features.dimensions}D: with it go model={', '.join(models)}; "
            f"with the network go features={', '.join(names)}{' or several of them' if network.dimensions == 1 else ''}"
        )
    try:
        with torch.device("meta"):
            network(features.input_shape(AMPLE_FRAMES), num_classes=2, **network_settings(cfg))
    except UserError:
        raise
    except (ValueError, RuntimeError, TypeError) as error:  # torch's own, such as of dropout=7
        raise ConfigError(f"model={name} can't be built with these numbers: {error}") from error


def _check_training(cfg: dict[str, Any]) -> None:
    """Refuse crops that the network can't read, a schedule without an end, and words that are none of those known."""
    if cfg["augment"]["spec"]["crop_frames"] is not None and not NETWORKS[cfg["model"]["name"]].any_length:
        models = [name for name, other in NETWORKS.items() if other.any_length]
        raise ConfigError(
            f"augment.spec.crop_frames={cfg['augment']['spec']['crop_frames']}: model={cfg['model']['name']} reads "
            f"clips of one length; leave it null, or take model={', '.join(models)}"
        )
    trainer = cfg["trainer"]
    by_time = trainer["max_epochs"] is None and trainer["max_time"] is not None
    if (
        cfg["model"]["schedule"] == "onecycle"
        and trainer["max_steps"] == -1
        and (trainer["max_epochs"] == -1 or by_time)
    ):
        raise ConfigError(
            "model.schedule=onecycle goes up and down once over a whole training, and must know how long that is: give "
            "trainer.max_epochs= or trainer.max_steps=, or take model.schedule=constant"
        )
    if cfg["trainer"]["precision"] not in PRECISIONS:
        raise ConfigError(
            f"trainer.precision={cfg['trainer']['precision']} must be one of {', '.join(map(str, PRECISIONS))}"
        )
    if cfg["test_checkpoint"] not in ("best", "last"):
        raise ConfigError(f"test_checkpoint={cfg['test_checkpoint']!r} must be 'best' or 'last'")


def network_settings(cfg: dict[str, Any]) -> dict[str, Any]:
    """Return what the network's constructor takes from ``model.``, and the pretrained network to tune, if any."""
    settings = {name: value for name, value in cfg["model"].items() if name != "name"}
    if cfg["features"]["fine_tune"]:
        settings["pretrained"] = Pretrained(FeatureConfig(**cfg["features"])).architecture
    return settings
