"""A run's choices, ``config.yaml``, and its recipe: what of them makes two runs the same except for seed and fold."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import AliasEvent, YAMLError

from ser.augment import waveform
from ser.errors import UserError
from ser.features.config import converted
from ser.files import replacing

LATER: dict[str, Any] = {
    "init_from": None,
    "dataset.voice": "speaker",
    "datamodule.enrolment": "all",
    "datamodule.voice_dropout": 0.0,
}
"""Options that runs of earlier versions did not have, with what these did."""

EARLIER_LOGGERS = {
    "lightning.pytorch.loggers.TensorBoardLogger": "tensorboard",
    "lightning.pytorch.loggers.CSVLogger": "csv",
}
"""How runs of earlier versions named their logger; nothing else that a run folder names is looked up."""

NO_PART_OF_A_RECIPE = (
    *("seed", "split.fold", "ckpt_path", "datamodule.cache", "datamodule.bank", "datamodule.keep_features"),
    *("figure_every_n_epochs", "logger.name", "trainer.enable_progress_bar"),
)
"""Choices that two runs of one recipe may make differently."""

DATA = ("split.", "dataset.name", "dataset.root", "dataset.metadata")
"""Beginnings of the names of choices that say which clips a recipe is applied to."""

UNSPOKEN = (
    *("seed=", "split=", "split.", "dataset.root=", "dataset.roots=", "dataset.names=", "dataset.metadata="),
    *("trainer.enable_progress_bar=", "ckpt_path=", "dataset=", "report=", "model=", "features="),
    *("datamodule.cache=", "datamodule.bank=", "datamodule.keep_features=", "figure_every_n_epochs=", "logger="),
    *("--out ", "--out="),
)
"""Beginnings of words of a command that make no other recipe, or that a record has elsewhere."""


@dataclass(frozen=True)
class Recipe:
    """What makes two runs the same except for their seed and fold.

    Attributes:
        words: Typed words that tell the recipe from the defaults, for labels.
        choices: Value of each choice by its full name, ``model.name``; only ``words`` where there are no choices.
    """

    words: tuple[str, ...]
    choices: dict[str, Any]

    @classmethod
    def of(cls, command: Sequence[str] | None, cfg: Mapping[str, Any] | None = None) -> "Recipe":
        """The recipe of a run.

        Args:
            command: What was typed, from the program's two words on.
            cfg: The composed choices; None where they don't say what was done, so that the typed words do.
        """
        words = tuple(sorted(word for word in _typed((command or [])[2:]) if not word.startswith(UNSPOKEN)))
        if cfg is None:
            return cls(words, {"words": list(words)})
        return cls(words, {name: value for name, value in flat(cfg).items() if name not in NO_PART_OF_A_RECIPE})

    def without(self, *prefixes: str) -> str:
        """The choices whose names do not begin with one of ``prefixes``, as a text that equal recipes share."""
        kept = {name: value for name, value in self.choices.items() if not name.startswith(prefixes)}
        return json.dumps(kept, sort_keys=True)


def _typed(words: Sequence[str]) -> Iterator[str]:
    """Words, and options with their values."""
    rest = iter(words)
    for word in rest:
        yield f"{word} {next(rest, '')}" if word.startswith("--") and "=" not in word else word


def read_choices(folder: Path) -> dict[str, Any]:
    """The composed choices of a run, its ``config.yaml``, as plain data: nothing in it is resolved or built.

    Raises:
        UserError: It is not there, or broken, or holds more than plain values.
    """
    file = folder / "config.yaml"
    try:
        text = file.read_text(encoding="utf-8")
        # A few lines of aliases can stand for more values than memory holds, and an interpolation for the environment.
        if any(isinstance(event, AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)) or "${" in text:
            raise ValueError("it refers to other values by * or ${, which no run's does")
        choices = OmegaConf.to_container(OmegaConf.create(text))
    except (OSError, ValueError, RecursionError, AssertionError, YAMLError, OmegaConfBaseException) as error:
        reason = " ".join(str(error).split()) or "it holds no options"  # OmegaConf asserts that it does
        raise UserError(f"{file} can't be read as a run's choices: {reason}") from error
    if not isinstance(choices, dict) or not isinstance(choices.get("split"), dict):
        raise UserError(f"{file} can't be read as a run's choices: it has no split")
    found = {str(key): value for key, value in choices.items()}
    logger = found.get("logger")
    if isinstance(logger, dict) and (name := EARLIER_LOGGERS.get(str(logger.get("_target_")))):
        found["logger"] = {"name": name}
    if isinstance(features := found.get("features"), dict):
        found["features"] = converted(features)
    if isinstance(augment := found.get("augment"), dict) and isinstance(augment.get("wave"), dict):
        augment["wave"] = waveform.converted(augment["wave"])
    for option, value in LATER.items():
        *groups, name = option.split(".")
        place: Any = found
        for group in groups:
            place = place.get(group)
        if isinstance(place, dict):
            place.setdefault(name, value)
    if isinstance(model := found.get("model"), dict) and model.get("name") == "seresnet":
        model.setdefault("speeds", [1.0])
    if isinstance(model, dict) and model.get("name") == "probe":
        model.setdefault("combine", "sum")
    return found


def write_choices(folder: Path, cfg: dict[str, Any]) -> None:
    """Write ``config.yaml``, the composed choices of a run, for ``read_choices``.

    Raises:
        WriteError: The folder can't be written to, or the disk is full.
    """
    with replacing(folder / "config.yaml") as file:
        OmegaConf.save(OmegaConf.create(cfg), file)


def flat(cfg: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested choices → ``group.name: value``."""
    named: dict[str, Any] = {}
    for key, value in cfg.items():
        named |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return named
