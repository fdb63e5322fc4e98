"""What a run tells: on screen, and in its folder."""

import csv
import json
import platform
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from itertools import count
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import torch
import yaml
from lightning import Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.table import Table
from yaml import AliasEvent, YAMLError

from ser.audio import kind_of
from ser.augment import waveform
from ser.callbacks import History
from ser.cards import data_card, model_card
from ser.checkpoint import Checkpoint
from ser.corpora import FACTS, SIDES, SYNTHETIC, Clip
from ser.datamodule import EmotionDataModule, voice_of
from ser.errors import UserError
from ser.evaluation import SCORES, Answers, cross_entropy, enrolment_line, evaluate, write_answers
from ser.explore import missing_classes
from ser.features.config import converted
from ser.figures import confusion_figure, groups_figure
from ser.files import refuse_overwriting, replacing
from ser.metrics import by_class, measures
from ser.models import EmotionNetwork
from ser.report import report_page
from ser.screen import Screen, escape
from ser.splits import Leakage

PACKAGES = ("ser", "torch", "torchaudio", "lightning", "torchmetrics", "hydra-core", "numpy", "soundfile")

SYNTHETIC_CAUTION = "The corpus is synthetic: no person speaks in it, and the score says nothing about people."

_HELD: dict[str, type | tuple[type, ...]] = {
    "row": (str, NoneType),
    "dataset.name": str,
    "split.name": str,
    "split.hash": str,
    "split.clips.test": int,
    "split.test_speakers": int,
    "split.test_speakers_heard_before": (int, NoneType),
    "features": str,
    "model": str,
    "seed": (int, NoneType),
    "command": (list, NoneType),
    "classes": dict,
    **{f"test.{score}": (float, int) for score in SCORES},
}
"""What every ``metrics.json`` tells, and as what."""


class Share:
    """Of a schema: a number from 0 to 1."""


class Optional:
    """Of a schema: what it holds, or nothing of that name, or null."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind


class Each:
    """Of a schema: a table of any names, all of one kind."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind


_COUNT = range(2**53)
_NUMBER = (int, float)
_INTERVALS = {"accuracy": [Share], "uar": [Share], "over": Optional(str)}
_ALL_INTERVALS = {"over": Optional(str), **{score: [Share] for score in SCORES}}
_RATER = {**dict.fromkeys(SCORES, Share), "intervals": _ALL_INTERVALS}
_SCHEMA: dict[str, Any] = {
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
    "members": Optional([{"seed": Optional(int), "command": Optional([str]), "git": Optional(str)}]),
    "parameters": Optional(Each(_COUNT)),
    "checkpoint": Optional({"tested": Optional(str), "epoch": Optional((_COUNT, str))}),
    "labels": Optional({"classes": Optional([str]), "left_out": Optional(Each(_COUNT))}),
    "classes": Each({"predicted": _COUNT, **dict.fromkeys(("f1", "precision", "recall"), Optional(Share))}),
    "test": dict.fromkeys(SCORES, Share), "intervals": Optional(_ALL_INTERVALS),
    "groups": Optional(Each(Each({
        "clips": _COUNT, "speakers": _COUNT, "accuracy": Share, "uar": Share, "intervals": Optional(_INTERVALS),
    }))),
    "enrolment": Optional({
        "scored": str, "voice": Optional(str), "kind": Optional(str),
        "beside": Optional(Each({"test": dict.fromkeys(SCORES, Share), "intervals": _ALL_INTERVALS})),
    }),
    "adaptation": Optional({"on": str, "balanced": bool, "parts": [{"clips": _COUNT}]}),
    "raters": Optional({"clips": _COUNT, "one_rater": _RATER, "majority": _RATER}),
    "seconds": Optional(_NUMBER), "answer_seconds": Optional(_NUMBER), "versions": Optional(Each(str)),
    "git": Optional(str),
}  # fmt: skip
"""What is read of a ``metrics.json``, wherever it comes from."""

WRITTEN = (
    "metrics.json", "predictions.csv", "confusion_matrix.csv", "confusion_matrix.png", "groups.png", "config.yaml",
    "report.html", "model_card.md", "data_card.md",
)  # fmt: skip
"""What ``write`` leaves in a folder."""

LARGEST_RESULTS = 1 << 28
"""Bytes of a ``metrics.json``."""

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

_MISSING = object()

console = Screen()


def tell_corpus(message: str) -> None:
    """Say on screen what a reader of a corpus warned of; for ``ser.corpora.clip.telling``."""
    console.print(f"[yellow]corpus:[/yellow] {escape(message)}", soft_wrap=True, highlight=False)


def tell_unusable(problems: Sequence[tuple[Clip, str]]) -> None:
    """Say on screen how many clips can't be used, of which emotions, and why the first one can't."""
    if problems:
        emotions = _counted(Counter(clip.emotion for clip, _ in problems))
        told = escape(f"({emotions}), such as {problems[0][1]}")
        console.print(f"[red]{len(problems):,} clips can't be used[/red] {told}", soft_wrap=True, highlight=False)


def announce(
    cfg: dict[str, Any], data: EmotionDataModule, network: EmotionNetwork, trainer: Trainer, left_out: dict[str, int]
) -> None:
    """Say on screen what a run is about to learn, and from what; ``left_out`` counts the clips of dropped classes."""
    name = cfg["dataset"]["name"]
    sizes = ", ".join(f"{len(data.side(side)):,} {side}" for side in SIDES)
    console.print(f"[bold]{escape(name)}[/bold], split={cfg['split']['name']} ({data.split.hash}): {sizes}")
    console.print(f"Emotions, in this order: {escape(', '.join(data.labels))}")
    if left_out:
        console.print(f"Left out by labels: {escape(_counted(left_out))}")
    if data.split.left_out:
        unshared = Counter(f"{clip.corpus} {clip.emotion}" for clip in data.split.left_out)
        console.print(f"Left out, for not all corpora have them: {escape(_counted(unshared))}")
    tell_unusable(data.skipped)
    for side, emotions in missing_classes({side: data.side(side) for side in SIDES}).items():
        console.print(f"[red]{side} has no clip of {escape(', '.join(emotions))}[/red]")
    console.print(escape(leakage_line(data.leakage())), soft_wrap=True)
    if data.prior is not None:
        console.print(escape(voices_line(data)), soft_wrap=True)
    if data.without_votes:
        console.print(f"{len(data.without_votes)} training clips got no vote for these emotions and keep their own")
    shape = " × ".join(map(str, data.input_shape))
    console.print(f"{escape(_features(cfg))} ({shape}) → {cfg['model']['name']}, {_parameters(network):,} parameters")
    console.print(f"{trainer.max_epochs} epochs on {data.device}, precision {trainer.precision}, seed {cfg['seed']}")
    if name in SYNTHETIC:
        console.print(f"[yellow]{SYNTHETIC_CAUTION}[/yellow]")
    if cfg["split"]["name"] != "official" and any(clip.split for clip in data.clips):
        console.print("[yellow]The corpus brings a split of its own, which split=official would follow.[/yellow]")


def leakage_line(leakage: Leakage) -> str:
    """What a reader must know of a split: whether speakers or recordings are on two sides of it."""
    if leakage.test_speakers:
        line = f"{len(leakage.heard)} of {leakage.test_speakers} test speakers were heard in training or validation."
        if leakage.unknown:
            line += " Not all speakers are known, so more may have been."
    else:
        line = "Speakers are not known: nobody can say whether test speakers were heard in training."
    if leakage.recordings:
        twins = ", ".join(" = ".join(names) for names in leakage.recordings)
        line += f" {len(leakage.recordings)} recordings are on two sides: {twins}."
    return line


def voices_line(data: EmotionDataModule) -> str:
    """What a reader must know of a run that normalises by voice: what a voice is, and what is known of those scored."""
    voices = ", ".join(f"{len(data.voices[side]):,} {side}" for side in SIDES)
    line = f"Features are normalised by voice ({data.voice}): {voices}."
    if unknown := sum(voice_of(clip, data.voice) == clip.corpus for clip in data.clips if data.voice != "corpus"):
        line += f" {unknown:,} clips of no known {data.voice} count as one voice per corpus."
    if data.enrolment == "all":
        return f"{line} Enrolment: all, so each score uses the sound of the voice's other clips, and no label."
    return f"{line} Enrolment: none, so validation and test use the training's own statistics."


def describe_enrolment(data: EmotionDataModule) -> dict[str, Any]:
    """What results say of a run that normalises by voice: ``scored``, the enrolment of its test, and the voices."""
    assert data.prior is not None
    return {
        "scored": data.enrolment,
        "voice": data.voice,
        "voices": {side: len(data.voices[side]) for side in SIDES},
        "voice_dropout": data.voice_dropout,
        "prior_frames": data.prior.frames,
    }


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))


def collect(
    cfg: dict[str, Any],
    data: EmotionDataModule,
    network: EmotionNetwork,
    history: History,
    tested: Path,
    best_val_macro_f1: float,
    precision: str,
) -> dict[str, Any]:
    """What ``metrics.json`` holds beside ``scored``, as plain data.

    Args:
        cfg: The composed choices.
        data: After the run.
        network: After training.
        history: Of all epochs.
        tested: The checkpoint that was tested.
        best_val_macro_f1: Of the best checkpoint, 0 to 1.
        precision: What training computed in, in Lightning's words; the test is in single precision.
    """
    leakage = data.leakage()
    running = sum(buffer.numel() for key, buffer in network.named_buffers() if "running_" in key)
    trainable = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    return {
        "row": cfg["row"],
        "dataset": {
            **describe_dataset(cfg["dataset"]["name"], data.clips, {clip.name: why for clip, why in data.skipped}),
            "remarks": {clip: list(remarks) for clip, remarks in data.remarks.items()},
        },
        "data": _data(data),
        "split": {
            **cfg["split"],
            "hash": data.split.hash,
            "clips": {side: len(data.side(side)) for side in SIDES},
            "test_speakers": leakage.test_speakers,
            "test_speakers_heard_before": leakage.heard_before,
            "recordings_on_two_sides": [list(names) for names in leakage.recordings],
            "left_out": [clip.name for clip in data.split.left_out],
            "leakage": leakage_line(leakage),
            "normalizer_fitted_on": len(data.fitted_on),
        },
        "features": _features(cfg),
        "input": {
            "sample_rate": data.config.sample_rate,
            "seconds": data.frontend.length / data.config.sample_rate,
            "shape": list(data.input_shape),
        },
        "model": cfg["model"]["name"],
        "parameters": {"trainable": trainable, "total": _parameters(network) + running},
        "seed": cfg["seed"],
        "precision": precision,
        "checkpoint": {
            "tested": cfg["test_checkpoint"],
            "epoch": Checkpoint.read(tested).epoch + 1,
            "best_val_macro_f1": best_val_macro_f1,
        },
        "last_epoch": {side: _last_epoch(history, side, data.labels) for side in ("train", "val")},
        "seconds": round(history.seconds, 1),
        "versions": versions(),
        "git": GIT_REVISION,
        "command": history.command or None,
        "history": [{"epoch": epoch, **values} for epoch, values in sorted(history.epochs.items())],
    }


def describe_dataset(name: str, clips: Sequence[Clip], skipped: Mapping[str, str]) -> dict[str, Any]:
    """What results say of the clips of ``dataset=NAME`` in use, and why others are not, by name; for JSON."""
    return {
        "name": name,
        "synthetic": name in SYNTHETIC,
        **({"caution": SYNTHETIC_CAUTION} if name in SYNTHETIC else {}),
        "clips": len(clips),
        "corpora": dict(sorted(Counter(clip.corpus for clip in clips).items())),
        "speakers": _speakers(clips),
        "skipped": [{"clip": clip, "reason": reason} for clip, reason in skipped.items()],
        "remarks": {},
    }


def _last_epoch(history: History, side: str, labels: Sequence[str]) -> dict[str, Any]:
    counts = history.confusion[side]
    scores = {tag: value for tag, value in history.latest.items() if tag.startswith(f"{side}/")}
    told = {tag.removeprefix(f"{side}/"): value for tag, value in scores.items()}
    return {**told, "classes": by_class(counts, labels), "confusion_matrix": counts.tolist()}


def _data(data: EmotionDataModule) -> dict[str, Any]:
    """Of each corpus: its usable clips by side and emotion, hours by side, speakers by side, sex, ages and remarks.

    A speaker of two sides counts on both, and once among ``all``.
    """
    seconds = (data.bank.lengths / data.config.sample_rate).tolist()
    lasting = {clip.name: length for clip, length in zip(data.clips, seconds, strict=True)}
    told = {}
    for corpus in sorted({clip.corpus for clip in data.clips}):
        sides = {side: [clip for clip in data.side(side) if clip.corpus == corpus] for side in SIDES}
        clips = [clip for own in sides.values() for clip in own]
        ages = [clip.age for clip in clips if clip.age is not None]
        told[corpus] = {
            "clips": {side: dict(sorted(Counter(clip.emotion for clip in own).items())) for side, own in sides.items()},
            "hours": {side: sum(lasting[clip.name] for clip in own) / 3600 for side, own in sides.items()},
            "speakers": {side: _speakers(own) for side, own in {"all": clips, **sides}.items()},
            "sex": {
                sex: {"clips": len(own), "speakers": _speakers(own)}
                for sex in sorted({clip.sex for clip in clips if clip.sex is not None})
                if (own := [clip for clip in clips if clip.sex == sex])
            },
            "ages": [min(ages), max(ages)] if ages else None,
            "remarks": dict(
                sorted(Counter(kind_of(remark) for c in clips for remark in data.remarks.get(c.name, ())).items())
            ),
        }
    return told


def _speakers(clips: Sequence[Clip]) -> int:
    return len({clip.speaker for clip in clips if clip.speaker is not None})


def scored(answers: Answers) -> dict[str, Any]:
    """The part of ``metrics.json`` that follows from answers alone: scores, classes, intervals, groups, raters."""
    found = measures(len(answers.labels))
    found.update(torch.from_numpy(answers.predicted), torch.from_numpy(answers.true))
    values = found.compute()
    counts = values.pop("confusion")
    classes = by_class(counts, answers.labels)
    return {
        "test": {**{name: float(value) for name, value in values.items()}, "loss": cross_entropy(answers)},
        "classes": classes,
        "most_confusing": sorted(classes, key=lambda label: classes[label]["f1"]),
        "confusion_matrix": {"labels": answers.labels, "counts": counts.tolist()},
        **evaluate(answers),
    }


def _features(cfg: dict[str, Any]) -> str:
    return "_".join(cfg["features"]["names"])


def _parameters(network: EmotionNetwork) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def versions() -> dict[str, str]:
    """Of Python and what a run depends on."""
    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}


def started_as(script: str) -> list[str]:
    """The words before the options, to be told in results: ``ser NAME``, or ``python`` and ``script``."""
    return ["ser", Path(script).stem] if sys.argv[0].startswith("ser ") else ["python", script]


def _git_revision() -> str | None:
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        # A package that is installed below someone else's repository is not part of it.
        subprocess.run([*git, "ls-files", "--error-unmatch", Path(__file__).name], capture_output=True, check=True)
        revision = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision.stdout.strip() + ("+" if changes.stdout.strip() else "")


GIT_REVISION = _git_revision()
"""Of the code that runs, with ``+`` where it has changes; None where it is not a git checkout of this project.

Looked up as the code is read: by the end of a run the checkout may be another.
"""


def write(
    folder: Path,
    cfg: dict[str, Any],
    results: dict[str, Any],
    answers: Answers,
    loggers: Sequence[Logger] = (),
    sounds: Mapping[str, Path] | None = None,
) -> None:
    """Write ``metrics.json``, ``predictions.csv``, ``confusion_matrix.csv``, figures, ``config.yaml``; log scores.

    Results of a training get ``model_card.md`` and ``data_card.md``, too; an evaluation and pooled folds made no model.

    Args:
        folder: The run folder.
        cfg: The composed choices.
        results: From ``collect``.
        answers: What the network said of each test clip.
        loggers: Get the hyper-parameters with the final scores.
        sounds: Where the test clips lie, by name, for the report page.

    Raises:
        WriteError: The folder can't be written to, or the disk is full. There is no ``metrics.json`` then, and no file
            is half written.
    """
    page = report_page(cfg, results, answers, sounds or {})
    write_choices(folder, cfg)
    with replacing(folder / "predictions.csv") as file:
        write_answers(file, answers)
    labels, counts = results["confusion_matrix"]["labels"], results["confusion_matrix"]["counts"]
    with replacing(folder / "confusion_matrix.csv") as file, file.open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow(["true \\ predicted", *labels])
        table.writerows([label, *row] for label, row in zip(labels, counts, strict=True))
    title = f"{results['features']} → {results['model']}, test accuracy {results['test']['accuracy']:.3f}"
    with replacing(folder / "confusion_matrix.png") as file:
        confusion_figure(np.array(counts), labels, title).savefig(file, dpi=150)
    if results["groups"]:
        with replacing(folder / "groups.png") as file:
            groups_figure(results["groups"], results["test"]["uar"]).savefig(file, dpi=150)
    else:  # of an earlier evaluation into the same folder
        (folder / "groups.png").unlink(missing_ok=True)
    texts = {"report.html": page}
    if "data" in results:
        texts |= {"model_card.md": model_card(cfg, results), "data_card.md": data_card(cfg, results)}
    for name, text in texts.items():
        with replacing(folder / name) as file:
            file.write_text(text, encoding="utf-8")
    final = {f"final/{name}": value for name, value in results["test"].items()}
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(flat(cfg), final)
        else:
            logger.log_hyperparams(flat(cfg))
        logger.finalize("success")
    with replacing(folder / "metrics.json") as file:  # the last of all, since a folder with it counts as done
        file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def refuse_run_folders(out: Path, folders: Iterable[Path], inputs: Iterable[Path] = ()) -> None:
    """Refuse to ``write`` to ``out`` where that would overwrite the results of the run folders that are read.

    Args:
        out: The folder for results, ``--out``.
        folders: Of runs that are read.
        inputs: Further files that are read.

    Raises:
        UserError: It would; nothing was written.
    """
    read = [folder / name for folder in folders for name in WRITTEN]
    refuse_overwriting([("--out", out / name) for name in WRITTEN], [*read, *inputs])


def write_choices(folder: Path, cfg: dict[str, Any]) -> None:
    """Write ``config.yaml``, the composed choices of a run, for ``read_choices``.

    Raises:
        WriteError: The folder can't be written to, or the disk is full.
    """
    with replacing(folder / "config.yaml") as file:
        OmegaConf.save(OmegaConf.create(cfg), file)


def flat(cfg: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested choices → ``group.name: value``."""
    named: dict[str, Any] = {}
    for key, value in cfg.items():
        named |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return named


def find_runs(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The ``metrics.json`` of every run below ``paths``, each with its own path under ``file``.

    Raises:
        UserError: There is none, or one of them can't be read.
    """
    files = sorted({file for path in paths for file in ([path] if path.is_file() else path.rglob("metrics.json"))})
    if not files:
        raise UserError(f"no metrics.json below {', '.join(map(str, paths))}: give run folders, or a sweep's folder")
    return [{**_read_results(file), "file": str(file)} for file in files]


def place_for(out: Path, name: str, taken: set[Path]) -> Path:
    """A folder in ``out`` called ``name``, or that with a number behind it where it is ``taken``, which it is then.

    What is no letter or digit becomes an underscore.
    """
    plain = re.sub(r"\W+", "_", name)
    names = (plain if number == 1 else f"{plain}_{number}" for number in count(1))
    folder = next(place for one in names if (place := out / one) not in taken)
    taken.add(folder)
    return folder


def _read_results(file: Path) -> dict[str, Any]:
    """What a ``metrics.json`` holds, after checking that it is a run's: other programs write files of that name."""
    try:
        if not file.is_file() or file.stat().st_size > LARGEST_RESULTS:
            raise ValueError(f"it is no file of at most {LARGEST_RESULTS >> 20} MiB")
        results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is not a run's metrics.json, or broken: {error}; move it away") from error
    check_results(results, str(file), _HELD)
    wrong = _mismatch(results, _SCHEMA)
    if unknown := sorted({*(results.get("data") or {})} - {*FACTS}) if wrong is None else []:
        wrong = f"data tells of {unknown[0]!r}, which is no corpus"
    if wrong is not None:
        raise UserError(f"{file} is not a metrics.json of this version, for {wrong}: move it away, or run it again")
    if results["dataset"].get("synthetic"):
        results["dataset"].setdefault("caution", SYNTHETIC_CAUTION)
    return results


def _mismatch(value: Any, kind: Any, name: str = "it") -> str | None:
    """What of ``value`` is not as the schema ``kind`` has it, in words; None if all is."""
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
        case list() if isinstance(value, list) and (kind != [Share] or len(value) == 2):  # an interval has two ends
            parts = [(part, kind[0], f".{place}") for place, part in enumerate(value)]
        case range():
            right = type(value) is int and value in kind
        case type() if kind is Share:
            right = type(value) in (int, float) and 0 <= value <= 1
        case type():
            exact = type(value) is kind
            right = exact and (kind is not int or -(2**53) < value < 2**53)
    if parts is None:
        return None if right else f"{name} is {str(value)[:40]!r}"
    wrong = (_mismatch(part, one, f"{name}{key}".removeprefix("it.")) for part, one, key in parts)
    return next((found for found in wrong if found is not None), None)


def check_results(results: Any, file: str, held: Mapping[str, type | tuple[type, ...]]) -> None:
    """Check that ``results`` tell all of ``held``, dotted names → types.

    Raises:
        UserError: They don't; the message names ``file``.
    """
    for name, kind in held.items():
        value = results
        for key in name.split("."):
            value = value.get(key, _MISSING) if isinstance(value, dict) else _MISSING
        if not isinstance(value, kind) or value is _MISSING:
            raise UserError(
                f"{file} is not a metrics.json of this version, for it does not tell {name}: move it away, "
                "or run it again"
            )


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
        told = " ".join(str(error).split()) or "it holds no options"  # OmegaConf asserts that it does
        raise UserError(f"{file} can't be read as a run's choices: {told}") from error
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
    return found


def results_of(folder: Path, cfg: dict[str, Any]) -> dict[str, Any] | None:
    """What ``metrics.json`` of ``folder`` holds, or None where no run has ended there.

    Raises:
        UserError: A run with other choices has ended there, or one of its files is broken.
    """
    metrics = folder / "metrics.json"
    if not metrics.is_file():
        return None
    if not (folder / "config.yaml").is_file() or read_choices(folder) != cfg:
        raise UserError(f"{folder} holds a run with other choices: set hydra.run.dir= or hydra.sweep.dir= to a new one")
    return _read_results(metrics)


def _raters_line(raters: dict[str, Any]) -> str:
    figures = {name: raters[name]["accuracy"] for name in ("one_rater", "majority", "network_with_majority")}
    return (
        f"Human raters, voice alone, on {raters['clips']:,} of the test clips: one rater is right in "
        f"{figures['one_rater']:.3f} of the votes, the majority in {figures['majority']:.3f}; "
        f"the network agrees with the majority in {figures['network_with_majority']:.3f}."
    )


def show(results: dict[str, Any], folder: Path) -> None:
    """Print scores, confusion matrix, the classes from most to least confusing, and what was left out."""
    checkpoint = results["checkpoint"]
    epoch = "" if checkpoint["epoch"] is None else f" checkpoint (epoch {checkpoint['epoch']})"
    test = Table(title=escape(f"Test, {checkpoint['tested']}{epoch}"))
    for name in (*SCORES, "loss"):
        test.add_column(name, justify="right")
    test.add_row(*(f"{results['test'][name]:.4f}" for name in (*SCORES, "loss")))
    bounds = results["intervals"]
    test.add_row(*("{:.3f}-{:.3f}".format(*bounds[name]) for name in SCORES), "")
    console.print(test)
    console.print(f"Below: 95 % interval by a bootstrap over {escape(bounds['over'])}.", soft_wrap=True)
    if enrolment := results.get("enrolment"):
        console.print(f"Enrolment: {escape(enrolment_line(enrolment))}", soft_wrap=True)
    if adaptation := results.get("adaptation"):
        clips = ", ".join(f"{part['clips']:,}" for part in adaptation["parts"])
        assumed = "; emotions taken to be equally frequent" if adaptation["balanced"] else ""
        console.print(f"Adapted without labels on {adaptation['on']} ({clips} clips){assumed}.", soft_wrap=True)
    if calibration := results.get("calibration"):
        console.print(
            f"Calibration: temperature {calibration['temperature']:.2f} from {calibration['validation_clips']} "
            f"validation clips; expected calibration error {calibration['test_error_before']:.3f} before, "
            f"{calibration['test_error']:.3f} after.",
            soft_wrap=True,
        )
    if raters := results.get("raters"):
        console.print(_raters_line(raters), soft_wrap=True)

    labels = results["confusion_matrix"]["labels"]
    matrix = Table(title="Confusion matrix, true × predicted")
    for header in ("", *map(escape, labels)):
        matrix.add_column(header, justify="right")
    for label, row in zip(labels, results["confusion_matrix"]["counts"], strict=True):
        matrix.add_row(escape(label), *map(str, row))
    console.print(matrix)

    ranking = Table(title="Most confusing classes")
    for header in ("emotion", "f1", "precision", "recall", ""):
        ranking.add_column(header, justify="left" if header in ("emotion", "") else "right")
    for label in results["most_confusing"]:
        line = results["classes"][label]
        remark = "" if line["predicted"] else "never predicted: precision is not defined, shown as 0"
        ranking.add_row(escape(label), *(f"{line[key]:.4f}" for key in ("f1", "precision", "recall")), remark)
    console.print(ranking)

    for skipped in results["dataset"]["skipped"]:
        console.print(f"[red]left out[/red] {escape(skipped['reason'])}", highlight=False)
    if results["dataset"]["remarks"]:
        console.print(f"{len(results['dataset']['remarks'])} clips were odd and used; metrics.json tells how")
    console.print(escape(results["split"]["leakage"]), soft_wrap=True)
    if results["dataset"]["synthetic"]:
        console.print(f"[yellow]{SYNTHETIC_CAUTION}[/yellow]")
    console.print(f"Run folder: {escape(str(folder))}", soft_wrap=True)
