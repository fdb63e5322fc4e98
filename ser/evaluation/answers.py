"""A table of answers, ``predictions.csv``: what a network said of each clip, beside what is known of the clip.

Scores, intervals, groups and comparisons can all be made from it; a run, pooled folds and a comparison share it.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser.data.corpora import Clip
from ser.errors import UserError

GROUPS = ("corpus", "sex", "age", "race", "ethnicity", "intensity", "sentence", "session", "speaker")
"""What results are broken down by, where the corpus knows it; age in bands of ten years."""

LARGEST_TABLE = 1 << 30
"""Bytes that a table of answers may have, unpacked."""


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
    votes: NDArray[np.float64] | None = None

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Class indices of the answers, ``(clip,)``."""
        return self.probabilities.argmax(axis=1)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Counts ``(true, predicted)``."""
        counts = np.zeros((len(self.labels), len(self.labels)), dtype=np.int64)
        np.add.at(counts, (self.true, self.predicted), 1)
        return counts

    @property
    def speakers(self) -> list[str]:
        """Speaker of each clip; an empty string where it is not known."""
        return self.about.get("speaker", [""] * len(self.clips))

    def of(self, rows: NDArray[np.int64]) -> "Answers":
        """The answers about some of the clips, ``rows``."""
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
    """Read what ``write_answers`` wrote; where that is not there, ``predictions.csv.gz``, the same under gzip.

    Raises:
        AnswersError: It is not there or not such a table.
    """
    try:
        packed = path.with_name(f"{path.name}.gz")
        with gzip.open(packed) if packed.is_file() and not path.exists() else path.open("rb") as file:
            text = file.read(LARGEST_TABLE + 1)
        if len(text) > LARGEST_TABLE:
            raise ValueError(f"it holds more than {LARGEST_TABLE >> 20} MiB")
        table = csv.DictReader(io.StringIO(text.decode("utf-8"), newline=""), restkey="", strict=True)
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
    except (OSError, EOFError, zlib.error, csv.Error, KeyError, IndexError, ValueError, TypeError) as error:
        raise AnswersError(f"{path} can't be read as a run's predictions.csv ({error}): give a run's folder") from error


def aligned(one: Answers, other: Answers) -> Answers:
    """Put ``other`` in the order of the clips of ``one``."""
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
