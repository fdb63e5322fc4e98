"""How far answers can be believed: scores, their intervals, groups, human raters, and the difference of two models."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ser.evaluation.answers import Answers, aligned
from ser.evaluation.metrics import SCORES, by_class, measures

RESAMPLES = 2000

CONFIDENCE = 0.95

MIN_SPEAKERS = 5
"""Resampling fewer speakers than this says little about people; clips are resampled then."""

Counts = NDArray[np.float64]
"""Confusion matrices ``(…, true, predicted)``; a human answer can count in parts."""


def cross_entropy(answers: Answers) -> float:
    """Mean of -log of the probability given to the truth, in nats; a probability counts as 1e-12 at least."""
    given = answers.probabilities[np.arange(len(answers.true)), answers.true]
    return float(-np.log(np.maximum(given, 1e-12)).mean())


def scores_of(counts: Counts) -> dict[str, NDArray[np.float64]]:
    """The scores of confusion matrices ``(…, true, predicted)``, each ``(…)``, as ``ser.evaluation.metrics`` has them.

    For the thousands of matrices of a bootstrap, and for answers that count in parts; ``scored`` takes torchmetrics.

    UAR is the mean recall of the classes that are true, since a group may lack an emotion; macro F1 is the mean F1 of
    the classes that are true or predicted. A matrix of zeros has scores of 0.
    """
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    true, predicted = counts.sum(-1), counts.sum(-2)
    total = true.sum(-1)
    recall = right / np.where(true > 0, true, 1)
    f1 = 2 * right / np.where(true + predicted > 0, true + predicted, 1)
    classes = np.maximum((true + predicted > 0).sum(-1), 1)
    some = np.where(total > 0, total, 1)
    return {
        "accuracy": right.sum(-1) / some,
        "macro_f1": f1.sum(-1) / classes,
        "weighted_f1": (f1 * true).sum(-1) / some,
        "uar": recall.sum(-1) / np.maximum((true > 0).sum(-1), 1),
        "mcc": _correlation(right.sum(-1) / some, true / some[..., None], predicted / some[..., None]),
    }


def _correlation(accuracy: NDArray[np.float64], true: Counts, predicted: Counts) -> NDArray[np.float64]:
    """Matthews' correlation ``(…)`` from shares of clips; the classes' are ``(…, class)``."""
    spread = np.sqrt(np.maximum((1 - (true**2).sum(-1)) * (1 - (predicted**2).sum(-1)), 0))
    known = spread > 1e-9  # else all are of one class
    return np.where(known, (accuracy - (true * predicted).sum(-1)) / np.where(known, spread, 1), 0)


def scored(answers: Answers) -> dict[str, Any]:
    """Score answers as a record has them: scores, classes, confusion matrix, intervals, groups and raters."""
    test, counts = _measured(answers)
    classes = by_class(counts, answers.labels)
    return {
        "test": {**test, "loss": cross_entropy(answers)},
        "classes": classes,
        "most_confusing": sorted(classes, key=lambda label: classes[label]["f1"]),
        "confusion_matrix": {"labels": answers.labels, "counts": counts.tolist()},
        **evaluate(answers),
    }


def _measured(answers: Answers) -> tuple[dict[str, float], torch.Tensor]:
    found = measures(len(answers.labels))
    found.update(torch.from_numpy(answers.predicted), torch.from_numpy(answers.true))
    values = found.compute()
    counts = values.pop("confusion")
    return {name: float(value) for name, value in values.items()}, counts


def evaluate(answers: Answers) -> dict[str, Any]:
    """Intervals of the scores, scores by group, and the human raters', as plain data for ``metrics.json``."""
    counts = counts_of(answers)
    voted = answers.votes is not None and bool(answers.votes.any())
    raters = {"raters": _raters(answers)} if voted else {}
    return {"intervals": intervals(counts, answers.speakers), "groups": _groups(answers, counts), **raters}


def summary(answers: Answers) -> dict[str, Any]:
    """The scores and their ``intervals``, as plain data."""
    return {**_measured(answers)[0], "intervals": intervals(counts_of(answers), answers.speakers)}


def beside(answers: Answers) -> dict[str, Any]:
    """Score the same clips under another enrolment: ``test``, scores and loss, and ``intervals``."""
    found = summary(answers)
    return {"intervals": found.pop("intervals"), "test": {**found, "loss": cross_entropy(answers)}}


def enrolment_of(enrolment: Mapping[str, Any]) -> str:
    """Say what was known of the test voices when a record was scored: ``none``, ``all``, or a number of clips."""
    return str(enrolment.get("scored", "none"))


def enrolment_line(enrolment: Mapping[str, Any]) -> str:
    """The enrolment that a score is of, and what other ones give, in words."""
    known = {
        "all": "all, the sound of a test voice's other clips is known, without labels",
        "none": "none, nothing of a test voice but the clip itself",
    }
    kind = " neutral" if enrolment.get("kind") == "neutral" else ""
    some = f"{enrolment['scored']} other{kind} clips of each test voice, without labels"
    line = known.get(str(enrolment["scored"]), some)
    for other, found in (enrolment.get("beside") or {}).items():
        low, high = found["intervals"]["uar"]
        line += (
            f". With {other}: UAR {found['test']['uar']:.4f} ({low:.3f} to {high:.3f}), accuracy "
            f"{found['test']['accuracy']:.4f}"
        )
    return f"{line}."


def intervals(counts: Counts, speakers: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """Percentile intervals of the scores by a bootstrap over speakers (Efron & Tibshirani, 1993, chapter 13).

    Whole speakers are drawn with replacement, because clips of one person are not independent. Where a speaker is not
    known, or there are fewer than ``MIN_SPEAKERS``, clips are drawn.

    Args:
        counts: Counts of each clip, ``(clip, true, predicted)``.
        speakers: Speaker of each clip; an empty string where it is not known.
        seed: Seed of the draws.

    Returns:
        ``over``, in words; ``confidence``; ``resamples``; and ``[low, high]`` of each score.
    """
    units, over = _units(speakers)
    drawn = scores_of(_resample(counts, units, np.random.default_rng(seed)))
    return {
        "over": over,
        "confidence": CONFIDENCE,
        "resamples": RESAMPLES,
        **{name: _middle(values) for name, values in drawn.items()},
    }


def _units(speakers: Sequence[str]) -> tuple[NDArray[np.int64] | None, str]:
    """Number of each clip's speaker ``(clip,)``, or None for clips; and what is resampled, in words."""
    names, numbers = np.unique(list(speakers), return_inverse=True)
    clips = f"{len(speakers)} clips, for "
    if "" in names.tolist():
        return None, clips + "not all speakers are known"
    if len(names) < MIN_SPEAKERS:
        return None, clips + (
            f"there are only {len(names)} speakers" if len(names) > 1 else "there is only one speaker"
        )
    return numbers.astype(np.int64), f"{len(names)} speakers"


def _resample(counts: Counts, units: NDArray[np.int64] | None, rng: np.random.Generator) -> Counts:
    """Confusion matrices of resampled clips or units, ``(resample, true, predicted)``."""
    classes = counts.shape[-1]
    if units is None and np.array_equal(counts.max((1, 2)), counts.sum((1, 2))) and (counts.sum((1, 2)) == 1).all():
        # Where each clip is one count in one cell, drawing clips draws the cells that they fall into.
        total = counts.sum(0).ravel()
        drawn = rng.multinomial(len(counts), total / total.sum(), RESAMPLES).astype(np.float64)
    else:
        grouped = counts if units is None else _by_unit(counts, units)
        times = rng.multinomial(len(grouped), np.full(len(grouped), 1 / len(grouped)), RESAMPLES)
        drawn = times.astype(np.float64) @ grouped.reshape(len(grouped), -1)
    return drawn.reshape(RESAMPLES, classes, classes)


def _by_unit(counts: Counts, units: NDArray[np.int64]) -> Counts:
    grouped = np.zeros((units.max() + 1, *counts.shape[1:]))
    np.add.at(grouped, units, counts)
    return grouped


def _middle(values: NDArray[np.float64]) -> list[float]:
    edge = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(values, [edge, 100 - edge])
    return [float(low), float(high)]


def counts_of(answers: Answers) -> Counts:
    """A single count for each clip, ``(clip, true, predicted)``."""
    one_hot = np.eye(len(answers.labels))
    return one_hot[answers.true][:, :, None] * one_hot[answers.predicted][:, None, :]


def accuracy_and_uar(counts: Counts, speakers: Sequence[str]) -> dict[str, Any]:
    """Accuracy, UAR and their ``intervals`` by the counts of clips ``(clip, true, predicted)``, as plain data."""
    scores, bounds = scores_of(counts.sum(0)), intervals(counts, speakers)
    found = {score: float(scores[score]) for score in ("accuracy", "uar")}
    return {**found, "intervals": {key: bounds[key] for key in ("over", "accuracy", "uar")}}


def _groups(answers: Answers, counts: Counts) -> dict[str, Any]:
    """Score each group that divides the clips, by value: clips, speakers, accuracy and UAR with intervals."""
    groups: dict[str, Any] = {}
    for name, values in answers.about.items():
        known = sorted(set(values) - {""})
        if len(known) < 2:
            continue
        groups[name] = {}
        for value in known:
            rows = np.flatnonzero(np.array(values) == value)
            speakers = [answers.speakers[i] for i in rows]
            known_speakers = len(set(speakers) - {""})
            groups[name][value] = {
                "clips": len(rows), "speakers": known_speakers, **accuracy_and_uar(counts[rows], speakers)
            }  # fmt: skip
    return groups


def _raters(answers: Answers) -> dict[str, Any]:
    """What people who rated the same clips answered, on the clips with a vote for a class of the run.

    ``one_rater`` is a rater drawn at random. ``majority`` is the emotion that most raters of a clip chose; where
    several tie, each counts in part. ``network_with_majority`` takes the majority for the truth.
    """
    assert answers.votes is not None
    rows = np.flatnonzero(answers.votes.sum(1) > 0)
    voted = answers.of(rows)
    assert voted.votes is not None
    most = voted.votes == voted.votes.max(1, keepdims=True)
    majority = most / most.sum(1, keepdims=True)
    true = np.eye(len(answers.labels))[voted.true]
    network = np.eye(len(answers.labels))[voted.predicted]
    found: dict[str, Any] = {"clips": len(rows), "clips_without_votes": len(answers.clips) - len(rows)}
    for name, one, other in (
        ("one_rater", true, voted.votes), ("majority", true, majority), ("network_with_majority", majority, network)
    ):  # fmt: skip
        counts = one[:, :, None] * other[:, None, :]
        scores = {score: float(value) for score, value in scores_of(counts.sum(0)).items()}
        found[name] = {**scores, "intervals": intervals(counts, voted.speakers)}
    return found


def compare(one: Answers, other: Answers, seed: int = 0) -> dict[str, Any]:
    """The paired difference, ``other`` - ``one``, of each score on the same clips.

    Intervals are percentiles of a bootstrap over speakers that draws the same speakers for both. The p-value is of a
    randomisation test: were the two equally good, swapping their answers for a speaker would change nothing (Noreen,
    1989). All swaps are tried where they are at most ``RESAMPLES``, as with ten speakers, otherwise as many are
    drawn. Both are over clips where ``intervals`` is.

    Returns:
        ``over``, and by score ``one``, ``other``, ``difference``, ``interval`` and ``p``.

    Raises:
        AnswersError: They are not about the same clips with the same labels.
    """
    other = aligned(one, other)
    classes = len(one.labels)
    units, over = _units(one.speakers)
    numbers = np.arange(len(one.clips)) if units is None else units
    first, second = (_by_unit(counts_of(a), numbers) for a in (one, other))
    rng = np.random.default_rng(seed)
    size = len(first)
    times = rng.multinomial(size, np.full(size, 1 / size), RESAMPLES).astype(np.float64)
    every = 2**size <= RESAMPLES
    swaps = np.arange(2**size)[:, None] >> np.arange(size) & 1 if every else rng.integers(0, 2, (RESAMPLES, size))
    swapped = swaps.astype(np.float64)

    def weighted(weights: NDArray[np.float64], counts: Counts) -> Counts:
        return (weights @ counts.reshape(size, -1)).reshape(-1, classes, classes)

    drawn = _differences(weighted(times, first), weighted(times, second))
    change = weighted(swapped, second - first)
    by_chance = _differences(first.sum(0) + change, second.sum(0) - change)
    a, b = scores_of(first.sum(0)), scores_of(second.sum(0))

    def p_value(name: str) -> float:
        as_much = int((np.abs(by_chance[name]) >= abs(b[name] - a[name]) - 1e-12).sum())
        # The answers as they are count as one of the drawn swaps (Davison & Hinkley, 1997, 4.2).
        return as_much / len(swaps) if every else (1 + as_much) / (1 + len(swaps))

    return {
        "over": over,
        **{
            name: {
                "one": float(a[name]),
                "other": float(b[name]),
                "difference": float(b[name] - a[name]),
                "interval": _middle(drawn[name]),
                "p": p_value(name),
            }
            for name in SCORES
        },
    }


def _differences(one: Counts, other: Counts) -> dict[str, NDArray[np.float64]]:
    first, second = scores_of(one), scores_of(other)
    return {name: second[name] - first[name] for name in SCORES}
