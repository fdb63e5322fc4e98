"""Which clips of a corpus a checkpoint is scored on, and what it answers among the emotions that both know."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.progress import track

from ser.checkpoint import Checkpoint
from ser.data.audio import Recording
from ser.data.bank import decode_clips, fingerprints, reasons, refuse_skipped
from ser.data.corpora import Clip
from ser.data.corpora.clip import person, spelling_key
from ser.data.labels import refuse_lost
from ser.data.splits import Split, split_clips
from ser.errors import UserError
from ser.models import name_of
from ser.recognizer import TOO_LOUD, Recognizer
from ser.results import console, describe_dataset, read_clips, tell_unusable

BATCH = 64


@dataclass(frozen=True)
class Trial:
    """Holds the clips that checkpoints are scored on.

    Attributes:
        clips: Those that can be used and show an emotion that counts.
        labels: Emotions that count, in the first checkpoint's order.
        split: The split of all clips; all of them are on its test side where no split was asked for.
        recordings: Recordings of ``clips``, by sample rate in hertz and by name.
        skipped: Why a clip can't be used, by name.
        left_out: Clips of emotions that do not count, by emotion.
        voice: What counts as one voice, ``speaker``, ``session`` or ``corpus``.
    """

    clips: list[Clip]
    labels: list[str]
    split: Split
    recordings: dict[int, dict[str, Recording]]
    skipped: dict[str, str]
    left_out: dict[str, int]
    voice: str = "speaker"

    def at(self, sample_rate: int) -> list[Recording]:
        """Return the recordings of ``clips`` at a rate in hertz, in their order."""
        return [self.recordings[sample_rate][clip.name] for clip in self.clips]

    def of(self, rows: Iterable[int]) -> "Trial":
        """Return the trial of some of the clips."""
        return replace(self, clips=[self.clips[row] for row in rows])


def trial_of(cfg: dict[str, Any], side: str, recognizers: Sequence[Recognizer]) -> Trial:
    """Read the clips that ``recognizers`` are to be scored on, at their rates.

    Args:
        cfg: The composed choices; only dataset, labels and split count.
        side: ``all``, or a side of the split.
        recognizers: One or more.

    Raises:
        UserError: The corpus can't be used, it shares fewer than two emotions with a checkpoint, or not the same ones
            with each.
    """
    clips, dropped = read_clips(cfg)
    labels = _shared(clips, recognizers)
    first, *others = dict.fromkeys(recognizer.sample_rate for recognizer in recognizers)
    decoded = {first: decode_clips(clips, first).found}
    if any(isinstance(found, Recording) for found in decoded[first].values()):
        refuse_lost([clip for clip in clips if clip.emotion in labels], reasons(decoded[first]))
    split = Split([], [], clips)
    if side != "all":
        split = split_clips(clips, fingerprints=fingerprints(decoded[first]), **cfg["split"])
        clips = getattr(split, side)
    decoded |= {rate: decode_clips(clips, rate).found for rate in others}
    skipped = {
        name: str(found)
        for recordings in decoded.values()
        for name in (clip.name for clip in clips)
        if not isinstance(found := recordings[name], Recording)
    }
    refuse_skipped(list(skipped.values()), cfg["dataset"]["strict"])
    usable = [clip for clip in clips if clip.emotion in labels and clip.name not in skipped]
    if not usable:
        raise UserError("no clip of these can be used: python scripts/explore.py with the same words says why")
    unshared = Counter(clip.emotion for clip in clips if clip.emotion not in labels)
    usable_at = {
        rate: {clip.name: found for clip in usable if isinstance(found := recordings[clip.name], Recording)}
        for rate, recordings in decoded.items()
    }
    left_out, voice = dict(sorted({**dropped, **unshared}.items())), cfg["dataset"].get("voice", "speaker")
    trial = Trial(usable, labels, split, usable_at, skipped, left_out, voice)
    _tell(trial, side, clips, sum(dropped.values()), recognizers[0])
    return trial


def _tell(trial: Trial, side: str, clips: Sequence[Clip], dropped: int, recognizer: Recognizer) -> None:
    """Say on screen which clips count, and which do not, and why."""
    among = f"{len(clips) + dropped:,} clips" if side == "all" else f"{len(clips):,} clips of {side}"
    console.print(
        f"{len(trial.clips):,} of {among} are scored, those of "
        f"{len(trial.labels)} emotions: {escape(', '.join(trial.labels))}",
        soft_wrap=True,
    )
    if trial.left_out:
        names = ", ".join(f"{count:,} {name}" for name, count in trial.left_out.items())
        console.print(f"Left out by labels, or because no checkpoint knows them: {escape(names)}", soft_wrap=True)
    if unseen := [label for label in recognizer.labels if label not in trial.labels]:
        console.print(
            f"No clip shows {escape(', '.join(unseen))}, which the checkpoint knows, so it is not asked for them",
            soft_wrap=True,
        )
    tell_unusable([(clip, trial.skipped[clip.name]) for clip in clips if clip.name in trial.skipped])


def _shared(clips: Sequence[Clip], recognizers: Sequence[Recognizer]) -> list[str]:
    """Find the emotions that the clips show and every checkpoint knows."""
    shown = {clip.emotion for clip in clips}
    shared = [[label for label in recognizer.labels if label in shown] for recognizer in recognizers]
    for recognizer, labels in zip(recognizers, shared, strict=True):
        if len(labels) < 2:
            raise UserError(
                f"the checkpoint tells {', '.join(recognizer.labels)} apart, and the clips show "
                f"{', '.join(sorted(shown))}: they must share two or more; see labels.merge="
            )
        if set(labels) != set(shared[0]):
            raise UserError(
                f"of what the clips show, one checkpoint knows {', '.join(shared[0])}, and another "
                f"{', '.join(labels)}: only checkpoints that know the same can stand side by side; labels.drop= and "
                "labels.merge= change what the clips show"
            )
    return shared[0]


def answer(recognizer: Recognizer, recordings: Sequence[Recording], labels: Sequence[str]) -> NDArray[np.float64]:
    """Return probabilities ``(recording, label)`` where the network chooses among ``labels`` that it knows.

    They sum to 1; NaN where a network gives no finite answer.
    """
    chosen = [recognizer.labels.index(label) for label in labels]
    # Among logits, because what a sure network leaves for the others may be too small for a probability.
    probabilities: NDArray[np.float64] = recognizer.logits(recordings)[:, chosen].double().softmax(1).numpy()
    return probabilities


def answer_all(recognizer: Recognizer, trial: Trial) -> NDArray[np.float64]:
    """Return probabilities of the trial's clips, ``(clip, label)``, as ``answer`` gives them."""
    recordings = trial.at(recognizer.sample_rate)
    starts = track(range(0, len(recordings), BATCH), console=console, disable=not console.is_terminal)
    return np.concatenate([answer(recognizer, recordings[start : start + BATCH], trial.labels) for start in starts])


def answered(trial: Trial, answers: Sequence[NDArray[np.float64]]) -> tuple[Trial, NDArray[np.bool_]]:
    """Leave out the clips with an answer that is not finite; also return which clips are left, ``(clip,)``.

    Args:
        trial: What was answered.
        answers: Probabilities ``(clip, label)``, of one checkpoint or several.

    Raises:
        UserError: None is left.
    """
    finite: NDArray[np.bool_] = np.all([np.isfinite(found).all(1) for found in answers], axis=0)
    if not finite.any():
        raise UserError(f"no clip of these can be used: each {TOO_LOUD}")
    too_loud = {
        clip.name: f"{clip.path}: {TOO_LOUD}" for clip, good in zip(trial.clips, finite, strict=True) if not good
    }
    return replace(trial.of(np.flatnonzero(finite)), skipped={**trial.skipped, **too_loud}), finite


def describe_clips(cfg: dict[str, Any], side: str, trial: Trial) -> dict[str, Any]:
    """Describe a trial for the results: ``dataset``, ``split`` and ``labels``, for JSON."""
    return {
        "dataset": describe_dataset(cfg["dataset"]["name"], trial.clips, trial.skipped),
        "split": {
            "name": "all" if side == "all" else f"{cfg['split']['name']}, {side}",
            "hash": trial.split.hash,
            "clips": {"test": len(trial.clips)},
        },
        "labels": {"classes": trial.labels, "left_out": trial.left_out},
    }


def describe_checkpoint(path: Path, clips: Sequence[Clip]) -> dict[str, Any]:
    """Describe a checkpoint for the results: features, model, earlier adaptations, the file, and ``split``.

    ``split`` says how many speakers of ``clips`` it has seen in training or validation: ``test_speakers``,
    ``test_speakers_heard_before``, None where it is not known, and ``leakage``, in words.

    Raises:
        UserError: It is no checkpoint.
    """
    kept = Checkpoint.read(path)
    speakers = {name for clip in clips if (name := person(clip)) is not None}
    keys = set(map(spelling_key, kept.seen))
    seen = None if "" in keys else sum(spelling_key(name) in keys for name in speakers)
    parts = [{"clips": one["clips"]} for one in kept.adapted]
    to, balanced = ", then ".join(one["to"] for one in kept.adapted), any(one["balanced"] for one in kept.adapted)
    return {
        "features": " + ".join(dict.fromkeys("_".join(part.features.names) for part in kept.parts or [kept])),
        "model": " + ".join(name_of(part.network) for part in kept.parts or [kept]),
        **({"adaptation": {"on": to, "balanced": balanced, "parts": parts}} if parts else {}),
        "checkpoint": {"tested": path.name, "epoch": kept.epoch + 1, "path": str(path)},
        "split": {
            "test_speakers": len(speakers),
            "test_speakers_heard_before": seen,
            "leakage": "Whether test speakers were seen in training is not known."
            if seen is None or not speakers
            else f"{seen} of {len(speakers)} test speakers were seen in training or validation.",
        },
    }
