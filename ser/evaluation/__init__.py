"""Evaluation: tables of answers, scores with their intervals, groups, human raters, comparisons."""

from ser.evaluation.answers import GROUPS, Answers, AnswersError, answers_about, join, read_answers, write_answers
from ser.evaluation.metrics import SCORES
from ser.evaluation.scores import (
    MIN_SPEAKERS,
    beside,
    compare,
    enrolment_line,
    enrolment_of,
    evaluate,
    intervals,
    scored,
    scores_of,
    summary,
)

__all__ = [
    "GROUPS", "MIN_SPEAKERS", "SCORES", "Answers", "AnswersError", "answers_about", "beside",
    "compare", "enrolment_line", "enrolment_of", "evaluate", "intervals", "join", "read_answers",
    "scored", "scores_of", "summary", "write_answers",
]  # fmt: skip
