"""How far answers can be believed: intervals, groups, human raters, and the difference between two models.

Everything here is made from a table of answers, ``predictions.csv``; a run, pooled folds and a comparison share it.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser.corpora import Clip
from ser.errors import UserError

RESAMPLES = 2000

CONFIDENCE = 0.95

MIN_SPEAKERS = 5
"""Resampling fewer speakers than this says little about people; clips are resampled then."""

GROUPS = ("corpus", "sex", "age", "race", "ethnicity", "intensity", "sentence", "session", "speaker")
"""What clips are told apart by, where the corpus knows it; age in bands of ten years."""

SCORES = ("accuracy", "macro_f1", "weighted_f1", "uar")

Counts = NDArray[np.float64]
"""Confusion matrices ``(…, true, predicted)``; a human answer can count in parts."""


class AnswersError(UserError):
    """A table of answers that can't be used; the message names it and what to do."""


@dataclass(frozen=True)
class Answers:
    """What a network said of each test clip.

    Attributes:
        labels: Emotions in the order of the class indices.
        clips: Names, ``(clip,)``.
        true: Class indices ``(clip,)``.
        probabilities: ``(clip, class)``.
        about: What is known of each clip, by name of ``GROUPS``; an empty string where it is not known.
        votes: Raters that gave a clip each class, ``(clip, class)``, or None.
    """

    labels: list[str]
    clips: list[str]
    true: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    about: dict[str, list[str]]
    votes: Counts | None = None

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Class indices ``(clip,)``."""
        return self.probabilities.argmax(axis=1)

    @property
    def speakers(self) -> list[str]:
        """Of each clip; an empty string where it is not known."""
        return self.about.get("speaker", [""] * len(self.clips))

    def of(self, rows: NDArray[np.int64]) -> "Answers":
        """Some of the clips."""
        return Answers(
            self.labels,
            [self.clips[i] for i in rows],
            self.true[rows],
            self.probabilities[rows],
            {name: [values[i] for i in rows] for name, values in self.about.items()},
            None if self.votes is None else self.votes[rows],
        )


def answers_about(clips: Sequence[Clip], labels: list[str], probabilities: NDArray[np.float64]) -> Answers:
    """Put ``probabilities`` ``(clip, class)`` beside what is known of the clips."""
    about = {name: [_known(clip, name) for clip in clips] for name in GROUPS}
    votes = np.array([[(clip.votes or {}).get(label, 0) for label in labels] for clip in clips], dtype=np.float64)
    return Answers(
        labels,
        [clip.name for clip in clips],
        np.array([labels.index(clip.emotion) for clip in clips], dtype=np.int64),
        probabilities,
        {name: values for name, values in about.items() if any(values)},
        votes if any(clip.votes for clip in clips) else None,
    )


def _known(clip: Clip, name: str) -> str:
    value = getattr(clip, name)
    if name == "age" and value is not None:
        return f"{value // 10 * 10}-{value // 10 * 10 + 9}"
    return "" if value is None else str(value)


def write_answers(path: Path, answers: Answers) -> None:
    """Write ``predictions.csv``: clip, what is known of it, emotion, predicted, ``p_LABEL`` and ``votes_LABEL``."""
    labels, votes = answers.labels, answers.votes
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        heads = [f"{kind}_{label}" for kind in ("p", "votes")[: 1 if votes is None else 2] for label in labels]
        table.writerow(["clip", *answers.about, "emotion", "predicted", *heads])
        for i, (clip, true, predicted) in enumerate(zip(answers.clips, answers.true, answers.predicted, strict=True)):
            about = [values[i] for values in answers.about.values()]
            numbers = [f"{p:.9g}" for p in answers.probabilities[i]]
            counts = [] if votes is None else [f"{count:g}" for count in votes[i]]
            table.writerow([clip, *about, labels[true], labels[predicted], *numbers, *counts])


def read_answers(path: Path) -> Answers:
    """Read what ``write_answers`` wrote.

    Raises:
        AnswersError: It is not there or not such a table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file, restkey="", strict=True)
            rows = list(table)
        heads = list(table.fieldnames or ())
        labels = [head[2:] for head in heads if head.startswith("p_")]
        voted = [f"votes_{label}" for label in labels] if any(head.startswith("votes_") for head in heads) else []
        if not rows or any("" in row for row in rows):
            raise ValueError("it has no rows, or a row has more cells than the first line")
        answers = Answers(
            labels,
            [row["clip"] for row in rows],
            np.array([labels.index(row["emotion"]) for row in rows], dtype=np.int64),
            np.array([[float(row[f"p_{label}"]) for label in labels] for row in rows]),
            {name: [row[name] for row in rows] for name in GROUPS if name in rows[0]},
            np.array([[float(row[head]) for head in voted] for row in rows]) if voted else None,
        )
        if not np.isfinite(answers.probabilities).all() or len(set(answers.clips)) < len(rows):
            raise ValueError("a probability is no number, or a clip is there twice")
        return answers
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, IndexError, ValueError, TypeError) as error:
        raise AnswersError(f"{path} can't be read as a run's predictions.csv ({error}): give a run's folder") from error


def cross_entropy(answers: Answers) -> float:
    """Mean of -log of the probability given to the truth, in nats; a probability counts as 1e-12 at least."""
    given = answers.probabilities[np.arange(len(answers.true)), answers.true]
    return float(-np.log(np.maximum(given, 1e-12)).mean())


def scores_of(counts: Counts) -> dict[str, NDArray[np.float64]]:
    """The four scores of confusion matrices ``(…, true, predicted)``, each ``(…)``, as ``ser.metrics`` has them.

    UAR is the mean recall of the classes that are true, as groups need that lack an emotion; macro F1 that of the
    classes that are true or predicted. A matrix of zeros has scores of 0.
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
    }


def evaluate(answers: Answers) -> dict[str, Any]:
    """Intervals of the scores, scores by group, and the human raters', as plain data for ``metrics.json``."""
    counts = _confusion(answers.true, answers.predicted, len(answers.labels))
    voted = answers.votes is not None and bool(answers.votes.any())
    raters = {"raters": _raters(answers)} if voted else {}
    return {"intervals": intervals(counts, answers.speakers), "groups": _groups(answers, counts), **raters}


def summary(answers: Answers) -> dict[str, Any]:
    """The four scores, and ``intervals`` of them, as plain data."""
    return _described(_confusion(answers.true, answers.predicted, len(answers.labels)), answers.speakers)


def beside(answers: Answers) -> dict[str, Any]:
    """What results keep of the same clips under another enrolment: ``test``, scores and loss, and ``intervals``."""
    found = summary(answers)
    return {"intervals": found.pop("intervals"), "test": {**found, "loss": cross_entropy(answers)}}


def enrolment_of(results: Mapping[str, Any]) -> str:
    """What was known of the test voices when results were scored: ``none``, ``all``, or a number of clips."""
    return str((results.get("enrolment") or {}).get("scored", "none"))


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
    """Percentile intervals of the four scores by a bootstrap over speakers (Efron & Tibshirani, 1993, chapter 13).

    Whole speakers are drawn with replacement, for clips of one person are not independent. Where a speaker is not
    known, or there are fewer than ``MIN_SPEAKERS``, clips are drawn.

    Args:
        counts: Of each clip, ``(clip, true, predicted)``.
        speakers: Of each clip; an empty string where it is not known.
        seed: Of the draws.

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


def _confusion(true: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> Counts:
    """Of each clip, ``(clip, true, predicted)``: a single one."""
    counts = np.zeros((len(true), classes, classes))
    counts[np.arange(len(true)), true, predicted] = 1
    return counts


def _groups(answers: Answers, counts: Counts) -> dict[str, Any]:
    """For each group that divides the clips: clips, speakers, accuracy and UAR with intervals, by value."""
    groups: dict[str, Any] = {}
    for name, values in answers.about.items():
        known = sorted(set(values) - {""})
        if len(known) < 2:
            continue
        groups[name] = {}
        for value in known:
            rows = np.flatnonzero(np.array(values) == value)
            speakers = [answers.speakers[i] for i in rows]
            scores, bounds = scores_of(counts[rows].sum(0)), intervals(counts[rows], speakers)
            groups[name][value] = {
                "clips": len(rows),
                "speakers": len(set(speakers) - {""}),
                **{score: float(scores[score]) for score in ("accuracy", "uar")},
                "intervals": {key: bounds[key] for key in ("over", "accuracy", "uar")},
            }
    return groups


def _raters(answers: Answers) -> dict[str, Any]:
    """What people who heard the same clips answered; the figures of the clips that a class of the run was voted for.

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
    described = {
        name: _described(one[:, :, None] * other[:, None, :], voted.speakers)
        for name, one, other in (
            ("one_rater", true, voted.votes),
            ("majority", true, majority),
            ("network_with_majority", majority, network),
        )
    }
    return {"clips": len(rows), "clips_without_votes": len(answers.clips) - len(rows), **described}


def _described(counts: Counts, speakers: Sequence[str]) -> dict[str, Any]:
    return {
        **{name: float(value) for name, value in scores_of(counts.sum(0)).items()},
        "intervals": intervals(counts, speakers),
    }


def compare(one: Answers, other: Answers, seed: int = 0) -> dict[str, Any]:
    """The paired difference, ``other`` - ``one``, of each score on the same clips.

    Intervals are percentiles of a bootstrap over speakers that draws the same speakers for both. The p-value is of a
    randomisation test: were the two equally good, swapping their answers for a speaker would change nothing (Noreen,
    1989). All swaps are tried where they are at most ``RESAMPLES``, as with ten speakers, and else so many drawn ones.
    Both are over clips where ``intervals`` is.

    Returns:
        ``over``, and by score ``one``, ``other``, ``difference``, ``interval`` and ``p``.

    Raises:
        AnswersError: They are not about the same clips with the same labels.
    """
    other = _aligned(one, other)
    classes = len(one.labels)
    units, over = _units(one.speakers)
    numbers = np.arange(len(one.clips)) if units is None else units
    first, second = (_by_unit(_confusion(a.true, a.predicted, classes), numbers) for a in (one, other))
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
        # Of drawn swaps, the one that was found counts, too (Davison & Hinkley, 1997, 4.2).
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


def _aligned(one: Answers, other: Answers) -> Answers:
    """``other`` in the order of ``one``."""
    if one.labels != other.labels:
        raise AnswersError(
            f"the runs tell different emotions apart, {', '.join(one.labels)} and {', '.join(other.labels)}: "
            "only runs with the same test clips and labels can be compared"
        )
    if set(one.clips) != set(other.clips):
        only = [len(set(a.clips) - set(b.clips)) for a, b in ((one, other), (other, one))]
        raise AnswersError(
            f"the runs were tested on different clips, {only[0]} only by the first and {only[1]} only by the second: "
            "compare runs of one dataset= and split="
        )
    places = {clip: i for i, clip in enumerate(other.clips)}
    aligned = other.of(np.array([places[clip] for clip in one.clips], dtype=np.int64))
    if not np.array_equal(aligned.true, one.true):
        raise AnswersError("the runs give the same clips different emotions: compare runs with the same labels")
    return aligned


def join(parts: Sequence[Answers]) -> Answers:
    """Answers of several folds as one table.

    Raises:
        AnswersError: They have different labels, or a clip is in two of them.
    """
    if any(part.labels != parts[0].labels for part in parts):
        raise AnswersError("the folds tell different emotions apart: pool folds of one recipe")
    clips = [clip for part in parts for clip in part.clips]
    if len(set(clips)) < len(clips):
        raise AnswersError(f"{len(clips) - len(set(clips))} clips are tested in two folds: pool each fold once")
    known = [name for name in GROUPS if any(name in part.about for part in parts)]
    votes = [part.votes for part in parts if part.votes is not None]
    return Answers(
        parts[0].labels,
        clips,
        np.concatenate([part.true for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        {name: [v for part in parts for v in part.about.get(name, [""] * len(part.clips))] for name in known},
        np.concatenate(votes) if len(votes) == len(parts) else None,
    )
