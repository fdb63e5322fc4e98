"""A trained network → the same network for other recordings, without labels and without training.

Three things differ between the corpus that a network was trained on and recordings of somebody else, and each can be
measured only on their sound: how loud and how coloured features are, which the normaliser takes out; what the hidden
layers see on average, which batch norms take out (AdaBN, Li et al., 2016, arXiv 1603.04779); and, if it may be assumed
that the recordings hold the emotions about equally often, what the network says too often (after Saerens et al., 2002,
Neural Computation 14).
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ser.audio import Recording
from ser.checkpoint import Checkpoint
from ser.errors import UserError
from ser.features import Moments, Pretrained, Voice
from ser.features.voices import PRIOR_FRAMES, grouped, varies
from ser.recognizer import Recognizer

LEAST_CLIPS = 10
"""Recordings below which nothing is adapted."""

PRIOR_CLIPS = 20.0
"""What the batch norms' statistics of training weigh, in recordings."""

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
    """

    clips: int
    seconds: float
    normalizer: float
    batch_norm: float
    balanced: bool


def adapt(
    recognizer: Recognizer,
    recordings: Sequence[Recording],
    balanced: bool = False,
    voices: Sequence[str | None] | None = None,
    emotions: Sequence[str] | None = None,
) -> tuple[Recognizer, Adaptation]:
    """Adapt a recognizer to recordings without labels; the one that is given stays as it is.

    Args:
        recognizer: A recognizer of any network except a fine-tuned pretrained one.
        recordings: At the recognizer's rate, at least ``LEAST_CLIPS``, of different emotions.
        balanced: Take the recordings to hold the emotions about equally often, and shift the answers so that on
            average they do. Without it nothing is assumed.
        voices: The speaker of each recording, None for unknown ones, where the adapted network will know voices; None
            otherwise.
        emotions: With ``balanced``, which of the labels the recordings can hold; None for all.

    Raises:
        UserError: There are too few recordings, or the network takes nothing from them.
    """
    if len(recordings) < LEAST_CLIPS:
        raise UserError(
            f"{len(recordings)} recordings are too few to adapt to: statistics of fewer than {LEAST_CLIPS} can do more "
            "harm than good; give more, or enrol the voice"
        )
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
    normalizer = _adapt_normalizer(adapted, moments)
    known = _voices(moments, voices) if voices is not None and adapted.prior is not None else None
    batch_norm = _adapt_batch_norms(adapted, features, real, known)
    if not (normalizer or batch_norm or balanced):
        raise UserError(
            "this network takes no statistics of recordings: it has no batch norms, and its features are normalised "
            "by clip or not at all; train one with features.normalize=standard or speaker"
        )
    if balanced:
        _balance(adapted, features, real, known, emotions)
    samples = sum(min(len(recording.samples), frontend.length) for recording in recordings)
    seconds = round(samples / recognizer.sample_rate, 3)
    return adapted, Adaptation(len(recordings), seconds, normalizer, batch_norm, balanced)


def adapted_checkpoint(checkpoint: Checkpoint, adapted: Recognizer, about: Adaptation, to: str) -> Checkpoint:
    """Return the checkpoint of an adapted recognizer.

    Args:
        checkpoint: What the recognizer was loaded from before it was adapted.
        adapted: From ``adapt``.
        about: Also from ``adapt``.
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
    frames, mean, deviation = moments.pooled()
    prior = PRIOR_FRAMES if recognizer.prior is None else recognizer.prior.frames
    weight = frames / (frames + prior)
    old_mean, old = normalizer.mean.flatten().double().cpu(), normalizer.std.flatten().double().cpu()
    deviation = torch.where(varies(deviation, mean), deviation, old)  # one frame per clip of alike clips has none
    variance = weight * deviation.square() + (1 - weight) * old.square()
    new_mean, new = weight * mean + (1 - weight) * old_mean, variance.sqrt()
    normalizer.mean.copy_(new_mean.unsqueeze(1))
    normalizer.std.copy_(new.unsqueeze(1))
    if recognizer.prior is not None:
        # As a checkpoint gives it back, in single precision.
        mean, std = (values.flatten().double().cpu() for values in (normalizer.mean, normalizer.std))
        recognizer.prior = replace(recognizer.prior, mean=mean, std=std)
    return weight


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
        for part in order.tensor_split(max(len(order) // BATCH, 1)):
            network(recognizer.frontend.arrange(normalized[part.to(normalized.device)]))
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


def _balance(
    recognizer: Recognizer, features: Tensor, real: Tensor, voices: Sequence[Voice | None] | None,
    emotions: Sequence[str] | None,
) -> None:  # fmt: skip
    """Shift the answers so that on average over the recordings each emotion has the same probability.

    With few recordings the shift is smaller, because their emotions may be unequal by chance.
    """
    places = [i for i, label in enumerate(recognizer.labels) if emotions is None or label in emotions]
    parts = range(0, len(features), BATCH)
    logits = torch.cat(
        [
            recognizer.decide(
                features[start : start + BATCH],
                real[start : start + BATCH],
                None if voices is None else voices[start : start + BATCH],
            )
            for start in parts
        ]
    )[:, places].double()
    shift = torch.zeros(len(places), dtype=torch.float64)
    for _ in range(MOST_STEPS):
        share = (logits + shift).softmax(1).mean(0)
        step = -(share * len(places)).log()
        shift += step - step.mean()
        if step.abs().max() < CLOSE:
            break
    weight = len(features) / (len(features) + PRIOR_CLIPS)
    before = recognizer.calibration.bias
    bias = torch.zeros(len(recognizer.labels)) if before is None else before.clone()
    bias[places] += (weight * shift).float()
    recognizer.calibration = replace(recognizer.calibration, bias=bias)


def _voices(moments: Moments, names: Sequence[str | None]) -> list[Voice | None]:
    """Measure the voice of each recording, from all recordings of it; None where nobody is known."""
    voices = {name: Voice.of(moments[places]) for name, places in grouped(names).items()}
    return [None if name is None else voices[name] for name in names]
