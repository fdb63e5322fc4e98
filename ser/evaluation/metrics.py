"""Scores of a classification, by torchmetrics.

To add one: its name to ``SCORES``, its metric to ``measures``, its formula to ``ser.evaluation.scores_of``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassMatthewsCorrCoef,
    MulticlassRecall,
)

SCORES = ("accuracy", "macro_f1", "weighted_f1", "uar", "mcc")
"""What answers are scored by, in the order of tables; ``measures`` says what each is."""


class MeanLoss(Metric):
    """Mean over clips, of all processes together.

    Lightning's own mean rounds the clips of each process to a whole number, and torchmetrics' ``MeanMetric`` leaves out
    clips whose loss is not a number, or with ``nan_strategy="disable"`` the weights.
    """

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.total: Tensor
        self.clips: Tensor
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("clips", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, loss: Tensor, clips: int) -> None:
        """Add a batch: its mean ``loss``, a scalar, and how many ``clips`` it has."""
        self.total += loss * clips
        self.clips += clips

    def compute(self) -> Tensor:
        """The mean, a scalar."""
        return self.total / self.clips


class UnweightedAverageRecall(MulticlassRecall):
    """Mean recall of the classes that are among the targets, 0 to 1: scikit-learn's ``balanced_accuracy_score``.

    torchmetrics' own macro average counts a class that was predicted, but has no target, as a recall of 0.
    """

    def compute(self) -> Tensor:
        """The mean recall, a scalar."""
        right, _, _, missed = self._final_state()
        targets = right + missed
        return (right / targets.clamp(min=1)).sum() / (targets > 0).sum().clamp(min=1)


class MatthewsCorrelation(MulticlassMatthewsCorrCoef):
    """Correlation of targets and answers, -1 to 1 (Gorodkin, 2004): scikit-learn's ``matthews_corrcoef``.

    It is 0 where all targets or all answers are of one class; torchmetrics' own has other values there for two classes.
    """

    def compute(self) -> Tensor:
        """The correlation, a scalar."""
        shares = self.confmat / self.confmat.sum().clamp(min=1)
        true, predicted = shares.sum(1), shares.sum(0)
        spread = ((1 - true @ true) * (1 - predicted @ predicted)).sqrt()
        return torch.where(spread > 0, (shares.trace() - true @ predicted) / spread, torch.zeros_like(spread))


def measures(num_classes: int) -> MetricCollection:
    """The scores of ``SCORES``, and what they are made of.

    - ``accuracy``: share of clips answered right, in speech also called weighted average recall (WAR).
    - ``macro_f1``: mean of the classes' F1.
    - ``weighted_f1``: the same, weighted by each class's clips.
    - ``uar``: unweighted average recall, the mean recall of the classes among the targets; chance is 1 by their number.
    - ``mcc``: Matthews correlation coefficient, -1 to 1; chance is 0.
    - ``confusion``: counts ``(true, predicted)``.

    A class that is neither predicted nor among the targets is left out of the mean F1, as in scikit-learn.

    Example:
        >>> scores = measures(3)(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 2]))  # predicted, true
        >>> round(float(scores["accuracy"]), 3), round(float(scores["uar"]), 3)
        (0.75, 0.833)
    """
    return MetricCollection(
        {
            "accuracy": MulticlassAccuracy(num_classes, average="micro"),
            "macro_f1": MulticlassF1Score(num_classes, average="macro"),
            "weighted_f1": MulticlassF1Score(num_classes, average="weighted"),
            "uar": UnweightedAverageRecall(num_classes),
            "mcc": MatthewsCorrelation(num_classes),
            "confusion": MulticlassConfusionMatrix(num_classes),
        }
    )


def by_class(counts: Tensor, labels: Sequence[str]) -> dict[str, dict[str, float | int]]:
    """Figures of each class by name: ``f1``, ``precision``, ``recall``, ``clips`` and ``predicted``.

    What has nothing to be divided by, such as the precision of a class that was never predicted, is 0.

    Args:
        counts: ``confusion``, ``(true, predicted)``.
        labels: Names in the order of the classes.
    """
    figures = {}
    for i, label in enumerate(labels):
        right, clips, predicted = (int(count) for count in (counts[i, i], counts[i].sum(), counts[:, i].sum()))
        figures[label] = {
            "f1": 2 * right / max(clips + predicted, 1),
            "precision": right / max(predicted, 1),
            "recall": right / max(clips, 1),
            "clips": clips,
            "predicted": predicted,
        }
    return figures
