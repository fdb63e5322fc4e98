"""The record of a run, ``metrics.json``: what it holds, and the only code that reads, checks and writes it."""

import json
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ser.data.corpora import FACTS, SIDES, SYNTHETIC
from ser.errors import UserError
from ser.evaluation import SCORES
from ser.files import write_json
from ser.results.choices import LATER, Recipe, flat, read_choices

SCHEMA = 1
"""Version of a record's content; raised when earlier code could not read it. The first records have none."""

REQUIRED_SCORES = ("accuracy", "macro_f1", "weighted_f1", "uar")
"""Scores that every record has; others are shown where a record has them."""

SYNTHETIC_CAUTION = "The corpus is synthetic: no person speaks in it, and the score says nothing about people."
"""What is said beside a score on synthetic sound."""

PACKAGES = ("ser", "torch", "torchaudio", "lightning", "torchmetrics", "hydra-core", "numpy", "soundfile")

LARGEST_RESULTS = 1 << 28
"""Bytes that a ``metrics.json`` may have."""


@dataclass(frozen=True)
class Optional:
    """Part of a schema: a value of ``kind``, or null, or nothing of that name."""

    kind: Any


@dataclass(frozen=True)
class Each:
    """Part of a schema: a table of any names, with values of one ``kind``."""

    kind: Any


Share, Within = slice(0, 1), slice(-1, 1)  # part of a schema: a number between the two
_COUNT = range(2**53)
_NUMBER = (int, float)
_SCORES = {name: Share if name in REQUIRED_SCORES else Optional(Within) for name in SCORES}
_ALL_INTERVALS = {
    "over": Optional(str),
    **{name: [Share] if name in REQUIRED_SCORES else Optional([Within]) for name in SCORES},
}
_INTERVALS = {"accuracy": [Share], "uar": [Share], "over": Optional(str)}
_RATER = {**_SCORES, "intervals": _ALL_INTERVALS}
_SCHEMA: dict[str, Any] = {
    "schema": Optional(_COUNT), "recipe": Optional({"words": [str], "choices": dict}),
    "row": Optional(str),
    "dataset": {
        "name": str, "clips": Optional(_COUNT), "speakers": Optional(_COUNT), "synthetic": Optional(bool),
        "caution": Optional(str), "corpora": Optional(Each(_COUNT)), "remarks": Optional(Each([str])),
        "skipped": Optional([{"clip": str, "reason": str}]),
    },
    "data": Optional(Each({
        "clips": dict.fromkeys(SIDES, Each(_COUNT)), "hours": dict.fromkeys(SIDES, _NUMBER),
        "speakers": dict.fromkeys((*SIDES, "all"), _COUNT), "ages": Optional([_NUMBER]),
        "sex": Each({"clips": _COUNT, "speakers": _COUNT}), "remarks": Each(_COUNT),
    })),
    "split": {
        "name": str, "hash": str, "fold": Optional((_COUNT, str)), "folds": Optional(_COUNT), "clips": Each(_COUNT),
        "test_speakers": _COUNT, "test_speakers_heard_before": Optional(_COUNT), "leakage": Optional(str),
        "left_out": Optional([str]), "recordings_on_two_sides": Optional([[str]]),
    },
    "features": str, "model": str, "seed": Optional(int), "command": Optional([str]), "precision": Optional(str),
    "input": Optional({"sample_rate": _COUNT, "seconds": _NUMBER, "shape": [_COUNT]}),
    "members": Optional([{
        "seed": Optional(int), "command": Optional([str]), "git": Optional(str), "features": Optional(str),
        "model": Optional(str), "weight": Optional(_NUMBER),
    }]),
    "parameters": Optional(Each(_COUNT)),
    "checkpoint": Optional({"tested": Optional(str), "epoch": Optional((_COUNT, str))}),
    "labels": Optional({"classes": Optional([str]), "left_out": Optional(Each(_COUNT))}),
    "classes": Each({"predicted": _COUNT, **dict.fromkeys(("f1", "precision", "recall"), Optional(Share))}),
    "test": _SCORES, "intervals": Optional(_ALL_INTERVALS),
    "groups": Optional(Each(Each({
        "clips": _COUNT, "speakers": _COUNT, "accuracy": Share, "uar": Share, "intervals": Optional(_INTERVALS),
    }))),
    "enrolment": Optional({
        "scored": str, "voice": Optional(str), "kind": Optional(str),
        "beside": Optional(Each({"test": _SCORES, "intervals": _ALL_INTERVALS})),
    }),
    "adaptation": Optional({"on": str, "balanced": bool, "parts": [{"clips": _COUNT}]}),
    "raters": Optional({"clips": _COUNT, "one_rater": _RATER, "majority": _RATER}),
    "seconds": Optional(_NUMBER), "answer_seconds": Optional(_NUMBER), "versions": Optional(Each(str)),
    "git": Optional(str), "last_epoch": Optional(dict), "history": Optional([dict]), "calibration": Optional(dict),
    "most_confusing": Optional([str]), "confusion_matrix": Optional(dict), "folds": Optional([dict]),
}  # fmt: skip
"""What a ``metrics.json`` may hold, wherever it comes from."""

_NAMED = (
    *("row", "dataset.name", "split.name", "split.hash", "split.clips.test", "split.test_speakers"),
    *("split.test_speakers_heard_before", "features", "model", "seed", "command", "classes"),
    *(f"test.{score}" for score in REQUIRED_SCORES),
)
"""What every ``metrics.json`` has, be it null."""


@dataclass(frozen=True)
class RunRecord:
    """What is known of a run, of an evaluation, of pooled folds or of joined networks; all of it is plain data.

    The attributes are the keys of ``metrics.json``, which docs/evaluation.md describes. What does not apply is empty.

    Attributes:
        test: Scores by name, at least ``REQUIRED_SCORES``, and ``loss``.
        recipe: What two runs share that differ in nothing but their seed and fold.
        file: Where the record was read from.
    """

    dataset: dict[str, Any]
    split: dict[str, Any]
    features: str
    model: str
    recipe: Recipe
    test: dict[str, float]
    classes: dict[str, dict[str, Any]]
    row: str | None = None
    seed: int | None = None
    git: str | None = None
    command: list[str] | None = None
    data: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, Any] = field(default_factory=dict)
    input: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    precision: str | None = None
    checkpoint: dict[str, Any] = field(default_factory=dict)
    members: list[dict[str, Any]] = field(default_factory=list)
    folds: list[dict[str, Any]] = field(default_factory=list)
    seconds: float | None = None
    answer_seconds: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    enrolment: dict[str, Any] = field(default_factory=dict)
    adaptation: dict[str, Any] = field(default_factory=dict)
    most_confusing: list[str] = field(default_factory=list)
    confusion_matrix: dict[str, Any] = field(default_factory=dict)
    intervals: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, Any] = field(default_factory=dict)
    raters: dict[str, Any] = field(default_factory=dict)
    last_epoch: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    file: Path = Path("metrics.json")

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.file.parent

    @property
    def seeds(self) -> tuple[int | None, ...]:
        """Seed of each network."""
        return tuple(member["seed"] for member in self.members) or (self.seed,)

    @property
    def title(self) -> str:
        """Features and network, as in ``mfcc → cnn1d``."""
        return f"{self.features} → {self.model}"

    @classmethod
    def read(cls, file: Path) -> "RunRecord":
        """Read a ``metrics.json`` of this version or of an earlier one.

        Raises:
            UserError: It is broken, of a later version, or another program's file of that name.
        """
        try:
            if not file.is_file() or file.stat().st_size > LARGEST_RESULTS:
                raise ValueError(f"it is no file of at most {LARGEST_RESULTS >> 20} MiB")
            held = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{file} is not a run's metrics.json, or broken: {error}; move it away") from error
        return cls.parse(held, file)

    @classmethod
    def parse(cls, held: Any, file: Path) -> "RunRecord":
        """Check what a ``metrics.json`` at ``file`` holds, and fill in what earlier versions did not write.

        Raises:
            UserError: It is not a run's, or of a later version.
        """
        for name in _NAMED:
            value = held
            for key in name.split("."):
                if not isinstance(value, dict) or key not in value:
                    raise UserError(_unlike(file, f"it does not tell {name}"))
                value = value[key]
        wrong = _mismatch(held, _SCHEMA)
        if unknown := sorted({*(held.get("data") or {})} - {*FACTS}) if wrong is None else []:
            wrong = f"data tells of {unknown[0]!r}, which is no corpus"
        if wrong is not None:
            raise UserError(_unlike(file, wrong))
        if (schema := held.get("schema") or 0) > SCHEMA:
            raise UserError(f"{file} was written by a later version (schema {schema}, not {SCHEMA}): read it with that")
        known = {one.name for one in fields(cls)} - {"file", "recipe"}
        filled = {name: value for name, value in held.items() if name in known and value is not None}
        clips = sum(held["split"]["clips"].values())
        synthetic = held["dataset"]["name"] in SYNTHETIC
        caution = {"caution": SYNTHETIC_CAUTION} if held["dataset"].get("synthetic", synthetic) else {}
        unsaid = {"clips": clips, "speakers": 0, "synthetic": synthetic, "skipped": [], "remarks": {}, **caution}
        return cls(**{
            **filled,
            "dataset": unsaid | _said(held["dataset"]),
            "split": {"leakage": "", **held["split"]},
            "labels": {"left_out": {}} | _said(held.get("labels") or {}),
            "checkpoint": {"tested": "", "epoch": None, **(held.get("checkpoint") or {})},
            "recipe": _recipe(held, file.parent),
            "file": file,
        })  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """What ``metrics.json`` holds, without what is empty."""
        always = ("row", "seed", "git", "command", "classes", "groups")
        held = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("file", "recipe")}
        kept = {name: value for name, value in held.items() if name in always or value not in (None, {}, [])}
        return {"schema": SCHEMA, "recipe": {**vars(self.recipe), "words": list(self.recipe.words)}, **kept}

    def write(self, file: Path) -> None:
        """Write it in one step.

        Raises:
            WriteError: The folder can't be written to, or the disk is full.
        """
        write_json(file, self.as_dict())


def _said(held: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in held.items() if value is not None}


def _unlike(file: Path, why: str) -> str:
    return f"{file} is not a metrics.json of this version, for {why}: move it away, or run it again"


def _recipe(held: dict[str, Any], folder: Path) -> Recipe:
    """The recipe of a record; where it has none, that of the run's choices beside it, or of the typed words."""
    if recipe := held.get("recipe"):
        later = {} if "words" in recipe["choices"] else flat(LATER)
        return Recipe(tuple(recipe["words"]), {**later, **recipe["choices"]})
    members = held.get("members") or [held]  # an ensemble's runs have it in common
    choices = read_choices(folder) if (folder / "config.yaml").is_file() else None
    return Recipe.of(members[0].get("command"), choices)


def find_runs(paths: Sequence[Path]) -> list[RunRecord]:
    """The record of every run below ``paths``.

    Raises:
        UserError: A path has none, or one of them can't be read.
    """
    found = {path: [path] if path.is_file() else list(path.rglob("metrics.json")) for path in paths}
    if without := [str(path) for path, files in found.items() if not files]:
        raise UserError(f"no metrics.json below {', '.join(without)}: give run folders, or a sweep's folder")
    return [RunRecord.read(file) for file in sorted({file for files in found.values() for file in files})]


def _mismatch(value: Any, kind: Any, name: str = "it") -> str | None:
    """Say which part of ``value`` is not as the schema ``kind`` has it; None if all is."""
    parts: list[tuple[Any, Any, str]] | None = None
    right = False
    match kind:
        case Optional():
            right = value is None or _mismatch(value, kind.kind) is None
            parts = None if value is None else [(value, kind.kind, "")]
        case tuple():
            right = any(_mismatch(value, one) is None for one in kind)
        case dict() if isinstance(value, dict):
            parts = [(value.get(key), one, f".{key}") for key, one in kind.items()]
        case Each() if isinstance(value, dict):
            parts = [(part, kind.kind, f".{key}") for key, part in value.items()]
        case list() if isinstance(value, list) and (len(value) == 2 or not isinstance(kind[0], slice)):  # two ends
            parts = [(part, kind[0], f".{place}") for place, part in enumerate(value)]
        case range():
            right = type(value) is int and value in kind
        case slice():
            right = type(value) in (int, float) and kind.start <= value <= kind.stop
        case type():
            exact = type(value) is kind
            right = exact and (kind is not int or -(2**53) < value < 2**53)
    if parts is None:
        return None if right else f"{name} is {str(value)[:40]!r}"
    wrong = (_mismatch(part, one, f"{name}{key}".removeprefix("it.")) for part, one, key in parts)
    return next((found for found in wrong if found is not None), None)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a run depends on."""
    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}


@cache
def git_revision() -> str | None:
    """The revision of the code that runs, with ``+`` where it has changes; None outside a checkout of this project.

    Looked up once, and by every command as it starts: by the end of a run the checkout may be another.
    """
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        # A package that is installed below someone else's repository is not part of it.
        subprocess.run([*git, "ls-files", "--error-unmatch", Path(__file__).name], capture_output=True, check=True)
        revision = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision.stdout.strip() + ("+" if changes.stdout.strip() else "")


def made_by(command: Sequence[str]) -> dict[str, Any]:
    """What every record says of how it was made: ``versions``, ``git``, and ``command``, what was typed."""
    return {"versions": versions(), "git": git_revision(), "command": command}
