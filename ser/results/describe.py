"""What the record of a training says, and how it was started."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ser.checkpoint import Checkpoint
from ser.data.audio import kind_of
from ser.data.corpora import SIDES, SYNTHETIC, Clip
from ser.data.splits import Leakage
from ser.datamodule import EmotionDataModule, voice_of
from ser.evaluation import Answers, scored
from ser.evaluation.metrics import by_class
from ser.models import EmotionNetwork
from ser.results.choices import Recipe
from ser.results.record import SYNTHETIC_CAUTION, RunRecord, git_revision, versions


def leakage_line(leakage: Leakage) -> str:
    """Say what a reader must know of a split: whether speakers or recordings are on two sides of it."""
    if leakage.test_speakers:
        line = f"{len(leakage.seen)} of {leakage.test_speakers} test speakers were seen in training or validation."
        if leakage.unknown:
            line += " Not all speakers are known, so more may have been."
    else:
        line = "Speakers are not known: nobody can say whether test speakers were seen in training."
    if leakage.recordings:
        twins = ", ".join(" = ".join(names) for names in leakage.recordings)
        line += f" {len(leakage.recordings)} recordings are on two sides: {twins}."
    return line


def voices_line(data: EmotionDataModule) -> str:
    """Say what a reader must know of a run that normalises by voice: its voices, and what is known of those scored."""
    voices = ", ".join(f"{len(data.voices[side]):,} {side}" for side in SIDES)
    line = f"Features are normalised by voice ({data.voice}): {voices}."
    if unknown := sum(voice_of(clip, data.voice) == clip.corpus for clip in data.clips if data.voice != "corpus"):
        line += f" {unknown:,} clips of no known {data.voice} count as one voice per corpus."
    if data.enrolment == "all":
        return f"{line} Enrolment: all, so each score uses the sound of the voice's other clips, and no label."
    return f"{line} Enrolment: none, so validation and test use the training's own statistics."


def describe_enrolment(data: EmotionDataModule) -> dict[str, Any]:
    """Describe a run that normalises by voice: ``scored``, the enrolment of its test, and the voices."""
    assert data.prior is not None
    return {
        "scored": data.enrolment,
        "voice": data.voice,
        "voices": {side: len(data.voices[side]) for side in SIDES},
        "voice_dropout": data.voice_dropout,
        "prior_frames": data.prior.frames,
    }


def collect(
    cfg: dict[str, Any],
    data: EmotionDataModule,
    network: EmotionNetwork,
    history: Mapping[str, Any],
    tested: Path,
    best_val_macro_f1: float,
    precision: str,
    answers: Answers,
    labels_left_out: dict[str, int],
    calibration: dict[str, Any],
) -> RunRecord:
    """The record of a training.

    Args:
        cfg: The composed choices.
        data: Data module after the run.
        network: Network after training.
        history: What ``ser.training.callbacks.History.record`` gives.
        tested: The checkpoint that was tested.
        best_val_macro_f1: Score of the best checkpoint, 0 to 1.
        precision: What training computed in, in Lightning's words; the test is in single precision.
        answers: What the network said of each test clip.
        labels_left_out: How many clips of each class ``labels`` left out.
        calibration: From ``calibration_report``.
    """
    running = sum(buffer.numel() for key, buffer in network.named_buffers() if "running_" in key)
    trainable = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    return RunRecord(
        row=cfg["row"],
        dataset={
            **describe_dataset(cfg["dataset"]["name"], data.clips, {clip.name: why for clip, why in data.skipped}),
            "remarks": {clip: list(remarks) for clip, remarks in data.remarks.items()},
        },
        data=_data(data),
        split={**describe_split(cfg, data), "normalizer_fitted_on": len(data.fitted_on)},
        features=features_of(cfg),
        input={
            "sample_rate": data.config.sample_rate,
            "seconds": data.frontend.length / data.config.sample_rate,
            "shape": list(data.input_shape),
        },
        model=cfg["model"]["name"],
        parameters={"trainable": trainable, "total": parameters_of(network) + running},
        seed=cfg["seed"],
        precision=precision,
        checkpoint={
            "tested": cfg["test_checkpoint"],
            "epoch": Checkpoint.read(tested).epoch + 1,
            "best_val_macro_f1": best_val_macro_f1,
        },
        last_epoch={side: _last_epoch(history, side, data.labels) for side in ("train", "val")},
        seconds=round(history["seconds"], 1),
        versions=versions(),
        git=git_revision(),
        command=history["command"] or None,
        history=[{"epoch": epoch, **values} for epoch, values in sorted(history["epochs"].items())],
        labels={"classes": data.labels, "left_out": labels_left_out},
        calibration=calibration,
        recipe=Recipe.of(history["command"], cfg),
        **scored(answers),
    )


def describe_dataset(name: str, clips: Sequence[Clip], skipped: Mapping[str, str]) -> dict[str, Any]:
    """Describe the clips of ``dataset=NAME`` in use, and why others are not, by name; for JSON."""
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


def describe_split(cfg: Mapping[str, Any], data: EmotionDataModule) -> dict[str, Any]:
    """Describe the split of a run and who and what is on two sides of it, for JSON."""
    leakage = data.leakage()
    return {
        **cfg["split"],
        "hash": data.split.hash,
        "clips": {side: len(data.side(side)) for side in SIDES},
        "test_speakers": leakage.test_speakers,
        "test_speakers_heard_before": leakage.seen_before,
        "recordings_on_two_sides": [list(names) for names in leakage.recordings],
        "left_out": [clip.name for clip in data.split.left_out],
        "leakage": leakage_line(leakage),
    }


def _last_epoch(history: Mapping[str, Any], side: str, labels: Sequence[str]) -> dict[str, Any]:
    counts, epochs = history["confusion"][side], sorted(history["epochs"].items())
    latest = {tag: value for _, values in epochs for tag, value in values.items() if tag.startswith(f"{side}/")}
    values = {tag.removeprefix(f"{side}/"): value for tag, value in latest.items()}
    return {**values, "classes": by_class(counts, labels), "confusion_matrix": counts.tolist()}


def _data(data: EmotionDataModule) -> dict[str, Any]:
    """Describe each corpus: its usable clips by side and emotion, hours and speakers by side, sex, ages and remarks.

    A speaker of two sides counts on both, and once among ``all``.
    """
    seconds = (data.bank.lengths / data.config.sample_rate).tolist()
    lasting = {clip.name: length for clip, length in zip(data.clips, seconds, strict=True)}
    corpora = {}
    for corpus in sorted({clip.corpus for clip in data.clips}):
        sides = {side: [clip for clip in data.side(side) if clip.corpus == corpus] for side in SIDES}
        clips = [clip for own in sides.values() for clip in own]
        ages = [clip.age for clip in clips if clip.age is not None]
        corpora[corpus] = {
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
    return corpora


def _speakers(clips: Sequence[Clip]) -> int:
    return len({clip.speaker for clip in clips if clip.speaker is not None})


def features_of(cfg: Mapping[str, Any]) -> str:
    """The names of the features that a run computes, as one word."""
    return "_".join(cfg["features"]["names"])


def parameters_of(network: EmotionNetwork) -> int:
    """Number of parameters of a network, frozen ones included."""
    return sum(parameter.numel() for parameter in network.parameters())


def started_as(script: str) -> list[str]:
    """The words before the options, for the record: ``ser NAME``, or ``python`` and ``script``.

    Called as a command starts; it also looks up the revision of the code.
    """
    git_revision()
    return ["ser", Path(script).stem] if sys.argv[0].startswith("ser ") else ["python", script]
