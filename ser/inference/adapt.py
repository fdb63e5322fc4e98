"""A trained network → the same network for other recordings, without labels and without training.

Three things differ between the corpus that a network was trained on and recordings of somebody else, and each can be
measured only on their sound: how loud and how coloured features are, which the normaliser takes out; what the hidden
layers see on average, which batch norms take out (AdaBN, Li et al., 2016, arXiv 1603.04779); and, if it may be assumed
that the recordings hold the emotions about equally often, what the network says too often (after Saerens et al., 2002,
Neural Computation 14).
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ser.checkpoint import Checkpoint, find_checkpoint
from ser.data.audio import AudioError, Recording
from ser.data.bank import decode
from ser.errors import UserError
from ser.features import Moments, Pretrained, Voice, VoicePrior
from ser.features.voices import PRIOR_FRAMES, grouped
from ser.files import check_out, write_text
from ser.inference.recordings import speakers_of
from ser.recognizer import JointRecognizer, Recognizer
from ser.results import read_choices, write_choices
from ser.results.cards import adapted_card

LEAST_CLIPS = 10
"""Number of recordings below which nothing is adapted."""

LEAST_DISTANCE = 0.5
"""How far recordings must be from the training's for an adaptation, in standard deviations of its features.

Measured with log-mels of CREMA-D: 10 to 100 clips of its validation speakers, one speaker and one emotion among them,
are at 0.03 to 0.47, EMO-DB's at 0.85 to 1.24 and RAVDESS's at 1.03 to 2.61. Adapting to the first does harm."""

PRIOR_CLIPS = 20.0
"""Weight of the training's statistics in the batch norms, in recordings."""

CROP_FRAMES = 160
"""Frames of a piece that batch norms are measured on: no padding is in it, as hardly any is in those of training."""

BATCH = 64

MOST_STEPS = 1000

CLOSE = 1e-6


@dataclass(frozen=True)
class Adaptation:
    """Describes an adaptation, for the checkpoint and for people.

    Attributes:
        clips: Recordings that it was measured on.
        seconds: How long they last together, as far as the network reads them.
        normalizer: Weight of their statistics in the normaliser, 0 to 1; 0 where it takes none.
        batch_norm: Weight of their statistics in the batch norms, 0 to 1; 0 where the network has none.
        balanced: Whether they were taken to hold the emotions equally often.
        distance: How far their features' mean was from the training's, in standard deviations of the training's, mean
            over rows; None where features are not normalised by the training's statistics.
    """

    clips: int
    seconds: float
    normalizer: float
    batch_norm: float
    balanced: bool
    distance: float | None


def adapt(
    recognizer: Recognizer,
    recordings: Sequence[Recording],
    balanced: bool = False,
    voices: Sequence[str | None] | None = None,
    emotions: Sequence[str] | None = None,
    anyway: bool = False,
) -> tuple[Recognizer, Adaptation]:
    """Adapt a recognizer to recordings without labels; the one that is given stays as it is.

    Args:
        recognizer: A recognizer of any network except a fine-tuned pretrained one. Of several joined networks each is
            adapted, and the largest of their weights are described.
        recordings: At the recognizer's rate, at least ``LEAST_CLIPS``, of different emotions.
        balanced: Take the recordings to hold the emotions about equally often, and shift the answers so that on
            average they do. Without it nothing is assumed.
        voices: The speaker of each recording, None for unknown ones, where the adapted network will know voices; None
            otherwise.
        emotions: With ``balanced``, which of the labels the recordings can hold; None for all.
        anyway: Adapt also to recordings that sound like those of the training, which does more harm than good.

    Raises:
        UserError: There are too few recordings, they are less than ``LEAST_DISTANCE`` from those of the training, or
            the network takes nothing from them.
    """
    if len(recordings) < LEAST_CLIPS:
        raise UserError(
            f"{len(recordings)} recordings are too few to adapt to: statistics of fewer than {LEAST_CLIPS} can do more "
            "harm than good; give more, or enrol the voice"
        )
    joint = isinstance(recognizer, JointRecognizer)
    found = [_adapt_one(member, recordings, voices, anyway, balanced and not joint) for member in recognizer.members]
    adapted, about, _ = found[0]
    if isinstance(recognizer, JointRecognizer):
        adapted = JointRecognizer([member for member, *_ in found], recognizer.weights, recognizer.calibration)
        abouts = [one for _, one, _ in found]
        largest = {name: max(getattr(one, name) for one in abouts) for name in ("normalizer", "batch_norm")}
        about = replace(about, **largest)
    if balanced:
        answers = [_answers(member, *features) for member, _, features in found]
        _balance(adapted, adapted.combine(answers), emotions)
    return adapted, replace(about, balanced=balanced)


def _adapt_one(
    recognizer: Recognizer, recordings: Sequence[Recording], voices: Sequence[str | None] | None, anyway: bool,
    untouched: bool,
) -> tuple[Recognizer, Adaptation, tuple[Tensor, Tensor, list[Voice | None] | None]]:  # fmt: skip
    """Adapt the statistics of a recognizer of one network, and return also features, real frames and voices.

    Raises:
        UserError: As ``adapt``; with ``untouched`` not where the network takes nothing from the recordings.
    """
    frontend = recognizer.frontend
    if isinstance(frontend.features, Pretrained) and frontend.config.fine_tune:
        raise UserError("a fine-tuned pretrained network takes no statistics of recordings, so it can't be adapted")
    adapted = Recognizer(
        copy.deepcopy(recognizer.network), copy.deepcopy(frontend), recognizer.labels, recognizer.sample_rate,
        recognizer.calibration, recognizer.prior,
    )  # fmt: skip
    parts = [adapted.extract(recordings[start : start + BATCH]) for start in range(0, len(recordings), BATCH)]
    moments = Moments.join([Moments.of(*part) for part in parts])
    features, real = (torch.cat([part[i] for part in parts]) for i in (0, 1))
    del parts
    if not features.isfinite().all():
        raise UserError("a recording is so far beyond full scale that it has no features: leave it out")
    distance = distance_of(adapted, moments)
    if distance is not None and distance < LEAST_DISTANCE and not anyway:
        raise UserError(
            f"these recordings sound like those of the training (their features are {distance:.2f} standard deviations "
            f"away, on average over rows, and below {LEAST_DISTANCE} adapting did more harm than good): use the model "
            "as it is and enrol voices, or adapt with --anyway"
        )
    normalizer = _adapt_normalizer(adapted, moments)
    known = _voices(adapted, moments, voices)
    batch_norm = _adapt_batch_norms(adapted, features, real, known)
    if not (normalizer or batch_norm or untouched):
        raise UserError(
            "this network takes no statistics of recordings: it has no batch norms, and its features are normalised "
            "by clip or not at all; train one with features.normalize=standard or speaker"
        )
    samples = sum(min(len(recording.samples), frontend.length) for recording in recordings)
    seconds = round(samples / recognizer.sample_rate, 3)
    about = Adaptation(len(recordings), seconds, normalizer, batch_norm, False, distance)
    return adapted, about, (features, real, known)


def distance_of(recognizer: Recognizer, moments: Moments) -> float | None:
    """Measure how far recordings are from those of the training, by their features' mean over real frames.

    Args:
        recognizer: A recognizer as it was trained.
        moments: Sums over the recordings, from ``Recognizer.measure`` or ``Moments.of``.

    Returns:
        The difference from the training's mean in the training's standard deviations, mean over rows; None where the
        normaliser does not use the training's statistics.
    """
    normalizer = recognizer.frontend.normalizer
    if normalizer.mode not in ("standard", "speaker"):
        return None
    old_mean, old = (values.flatten().double().cpu() for values in (normalizer.mean, normalizer.std))
    return round(float(((moments.pooled()[1] - old_mean).abs() / old).mean()), 4)


def adapted_checkpoint(checkpoint: Checkpoint, adapted: Recognizer, about: Adaptation, to: str) -> Checkpoint:
    """Return the checkpoint of an adapted recognizer.

    Args:
        checkpoint: What the recognizer was loaded from before it was adapted.
        adapted: The recognizer that ``adapt`` has returned.
        about: The description that ``adapt`` has returned.
        to: What the recordings are, in words.
    """
    return replace(
        checkpoint,
        weights={name: value.cpu() for name, value in adapted.network.state_dict().items()},
        normalizer={name: value.cpu() for name, value in adapted.frontend.normalizer.state_dict().items()},
        calibration=adapted.calibration,
        adapted=[*checkpoint.adapted, {"to": to, **vars(about)}],
    )


def _adapt_normalizer(recognizer: Recognizer, moments: Moments) -> float:
    """Draw the normaliser's statistics towards those of recordings, and return the weight of these."""
    normalizer = recognizer.frontend.normalizer
    if normalizer.mode not in ("standard", "speaker"):
        return 0.0
    frames = PRIOR_FRAMES if recognizer.prior is None else recognizer.prior.frames
    old = VoicePrior(normalizer.mean.flatten().double().cpu(), normalizer.std.flatten().double().cpu(), frames)
    voice = Voice.of(moments)
    mean, std = old.statistics(voice)
    normalizer.mean.copy_(mean.unsqueeze(1))
    normalizer.std.copy_(std.unsqueeze(1))
    if recognizer.prior is not None:
        # As a checkpoint gives it back, in single precision.
        mean, std = (values.flatten().double().cpu() for values in (normalizer.mean, normalizer.std))
        recognizer.prior = replace(recognizer.prior, mean=mean, std=std)
    return voice.frames / (voice.frames + frames)


def _adapt_batch_norms(
    recognizer: Recognizer, features: Tensor, real: Tensor, voices: Sequence[Voice | None] | None
) -> float:
    """Draw the batch norms' statistics towards those of recordings, and return the weight of these.

    A network that reads any length is shown pieces without padding, as long as those that it was trained on or nine
    of ten recordings, whichever is less; padding would count as sound. Other networks see recordings as in training.
    """
    network = recognizer.network
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    if not norms:
        return 0.0
    normalized = recognizer.frontend.normalizer(features, real, recognizer.scale(voices))
    if network.any_length:
        normalized = _pieces(normalized, real)
    old = [(norm.running_mean.clone(), norm.running_var.clone(), norm.momentum) for norm in norms]  # type: ignore[union-attr]
    order = torch.randperm(len(normalized), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches
            norm.train()
        for part in order.to(normalized.device).tensor_split(max(len(order) // BATCH, 1)):
            network(recognizer.frontend.arrange(normalized[part]), None if network.any_length else real[part])
    weight = len(features) / (len(features) + PRIOR_CLIPS)
    for norm, (mean, variance, momentum) in zip(norms, old, strict=True):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(weight * norm.running_mean + (1 - weight) * mean)
        norm.running_var.copy_(weight * norm.running_var + (1 - weight) * variance)
        norm.momentum = momentum
        norm.eval()
    return weight


def _pieces(normalized: Tensor, real: Tensor) -> Tensor:
    """Cut pieces of one length without padding, ``(piece, row, frame)``."""
    length = min(CROP_FRAMES, max(1, int(real.float().quantile(0.1))))
    pieces = [
        clip[:, start : start + length]
        for clip, frames in zip(normalized, real.tolist(), strict=True)
        for start in range(0, frames - length + 1, length)
    ]
    return torch.stack(pieces)


def _voices(recognizer: Recognizer, moments: Moments, names: Sequence[str | None] | None) -> list[Voice | None] | None:
    """Measure the voice of each recording, from all recordings of it; None where nothing is or can be known."""
    if names is None or recognizer.prior is None:
        return None
    people = {name: Voice.of(moments[places]) for name, places in grouped(names).items()}
    return [None if name is None else people[name] for name in names]


def _answers(recognizer: Recognizer, features: Tensor, real: Tensor, voices: Sequence[Voice | None] | None) -> Tensor:
    """Return calibrated logits of many recordings, ``(recording, class)``."""
    starts = range(0, len(features), BATCH)
    known = [None if voices is None else voices[start : start + BATCH] for start in starts]
    batches = zip(features.split(BATCH), real.split(BATCH), known, strict=True)
    return torch.cat([recognizer.decide(*batch) for batch in batches])


def _balance(recognizer: Recognizer, answers: Tensor, emotions: Sequence[str] | None) -> None:
    """Shift the answers so that on average over the recordings each emotion has the same probability.

    With few recordings the shift is smaller, because their emotions may be unequal by chance.

    Args:
        recognizer: What gets the shift.
        answers: Its calibrated logits ``(recording, class)``.
        emotions: Which of the labels the recordings can hold; None for all.
    """
    places = [i for i, label in enumerate(recognizer.labels) if emotions is None or label in emotions]
    logits = answers[:, places].double()
    shift = torch.zeros(len(places), dtype=torch.float64)
    for _ in range(MOST_STEPS):
        share = (logits + shift).softmax(1).mean(0)
        step = -(share * len(places)).log()
        shift += step - step.mean()
        if step.abs().max() < CLOSE:
            break
    weight = len(answers) / (len(answers) + PRIOR_CLIPS)
    before = recognizer.calibration.bias
    bias = torch.zeros(len(recognizer.labels)) if before is None else before.clone()
    bias[places] += (weight * shift).float()
    recognizer.calibration = replace(recognizer.calibration, bias=bias)


def adapt_run(
    run: Path, paths: Sequence[Path], out: Path, balanced: bool = False, voices: str | None = None,
    note: Callable[[str], None] = print, anyway: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Adapt a run's model and leave a folder.

    Args:
        run: A run's folder, for the checkpoint that it tested, or a checkpoint.
        paths: Recordings; those that can't be read are left out.
        out: The new folder.
        balanced: Take the recordings to hold the emotions about equally often.
        voices: Whose recordings they are, as ``ser.inference.recordings.speakers_of`` takes it, where the adapted model
            is to be used with voices; None otherwise.
        note: Called with a line about each recording that is left out.
        anyway: Adapt also to recordings that sound like those of the training.

    Returns:
        What the checkpoint says of the adaptation.

    Raises:
        UserError: The run can't be adapted, there are too few recordings, or ``out`` is the run's own folder.
    """
    checkpoint = find_checkpoint(run).resolve()
    if out.resolve() in (run.resolve(), checkpoint.parent.parent):
        raise UserError(f"--out {out} is the run's own folder: give another one")
    if (out / "metrics.json").exists() or any(
        other.name != "adapted.ckpt" for other in (out / "checkpoints").glob("*.ckpt")
    ):
        raise UserError(f"--out {out} holds another run: give a new folder")
    check_out(out)
    recognizer = Recognizer.load(checkpoint)
    if voices is not None and recognizer.prior is None:
        raise UserError("--voices is for a model that was trained with features.normalize=speaker: leave it out")
    outcomes = decode(list(paths), recognizer.sample_rate, recognizer.frontend.length)
    usable = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, Recording)]
    for outcome in outcomes:
        if isinstance(outcome, AudioError):
            note(f"left out {outcome}")
    speakers = None if voices is None else speakers_of([paths[i] for i in usable], voices)
    recordings = [outcome for outcome in outcomes if isinstance(outcome, Recording)]
    adapted, about = adapt(recognizer, recordings, balanced, speakers, anyway=anyway)
    held = adapted_checkpoint(
        Checkpoint.read(checkpoint), adapted, about, f"{len(usable):,} recordings of the user's own"
    )
    held.write(out / "checkpoints" / "adapted.ckpt")
    source = checkpoint.parent.parent
    if (source / "config.yaml").is_file():
        write_choices(out, read_choices(source))
    card = source / "model_card.md"
    text = adapted_card(held.adapted, card.read_text(encoding="utf-8") if card.is_file() else None)
    write_text(out / "model_card.md", text)
    description: dict[str, Any] = held.adapted[-1]
    return description
