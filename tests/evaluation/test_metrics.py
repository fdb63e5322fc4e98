import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
)
from torch import Tensor

from ser.evaluation.metrics import MeanLoss, by_class, measures


def logits_for(predicted: list[int], classes: int, seed: int = 0) -> Tensor:
    """Random logits of which ``predicted`` is the largest in each row."""
    noise = torch.rand(len(predicted), classes, generator=torch.Generator().manual_seed(seed))
    return noise + 2 * torch.eye(classes)[predicted]


def compare(targets: list[int], predicted: list[int], classes: int, batch: int) -> None:
    """Check every number against scikit-learn's, taken over batches of ``batch``."""
    found = measures(classes)
    logits = logits_for(predicted, classes)
    for logit, target in zip(logits.split(batch), torch.tensor(targets).split(batch), strict=True):
        found.update(logit, target)
    values = found.compute()
    counts = values.pop("confusion")
    expected = {
        "accuracy": accuracy_score(targets, predicted),
        "macro_f1": f1_score(targets, predicted, average="macro", zero_division=0),
        "weighted_f1": f1_score(targets, predicted, average="weighted", zero_division=0),
        "uar": balanced_accuracy_score(targets, predicted),
        "mcc": matthews_corrcoef(targets, predicted),
    }
    assert {name: value.item() for name, value in values.items()} == pytest.approx(expected, abs=1e-6)
    np.testing.assert_array_equal(counts, confusion_matrix(targets, predicted, labels=range(classes)))

    told = by_class(counts, [str(label) for label in range(classes)])
    precision, recall, f1, clips = precision_recall_fscore_support(
        targets, predicted, labels=range(classes), average=None, zero_division=0
    )
    for name, column in (("precision", precision), ("recall", recall), ("f1", f1), ("clips", clips)):
        assert [one[name] for one in told.values()] == pytest.approx(column.tolist())
    assert sum(one["predicted"] for one in told.values()) == len(predicted)


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[int], list[int], int, int]:
    classes = draw(st.integers(2, 7))
    pairs = draw(st.lists(st.tuples(*[st.integers(0, classes - 1)] * 2), min_size=1, max_size=60))
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs], classes, draw(st.integers(1, 25))


@given(answers())
@settings(max_examples=40, deadline=None)
def test_all_numbers_are_scikit_learns_whatever_the_answers(case: tuple[list[int], list[int], int, int]) -> None:
    compare(*case)


def test_all_numbers_are_scikit_learns_on_many_clips_of_six_emotions() -> None:
    rng = np.random.default_rng(3)
    targets = rng.choice(6, 2000, p=[0.3, 0.25, 0.2, 0.15, 0.07, 0.03])
    predicted = np.where(rng.random(2000) < 0.6, targets, rng.integers(0, 6, 2000))
    compare(targets.tolist(), predicted.tolist(), classes=6, batch=128)


def test_a_class_that_is_never_predicted_has_precision_0_and_counts_as_0_in_the_means() -> None:
    targets, predicted = [0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 0, 1]
    compare(targets, predicted, classes=3, batch=4)
    found = measures(3)
    found.update(torch.tensor(predicted), torch.tensor(targets))
    told = by_class(found.compute()["confusion"], "abc").values()
    assert [one["precision"] for one in told] == pytest.approx([2 / 3, 2 / 3, 0])
    assert [one["f1"] for one in told] == pytest.approx([0.8, 0.8, 0])
    assert found.compute()["macro_f1"].item() == pytest.approx(1.6 / 3)
    assert found.compute()["uar"].item() == pytest.approx(2 / 3)


def test_a_class_absent_from_the_targets_counts_for_macro_f1_where_it_was_predicted_and_not_for_uar() -> None:
    targets, predicted = [0, 0, 1, 1], [0, 0, 1, 2]
    compare(targets, predicted, classes=3, batch=3)
    found = measures(3)
    found.update(torch.tensor(predicted), torch.tensor(targets))
    assert found.compute()["uar"].item() == pytest.approx((1 + 0.5) / 2)
    assert found.compute()["macro_f1"].item() == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_a_class_neither_predicted_nor_among_the_targets_is_left_out_of_the_means() -> None:
    targets, predicted = [0, 0, 1, 1], [0, 1, 1, 1]
    compare(targets, predicted, classes=5, batch=2)
    found = measures(5)
    found.update(torch.tensor(predicted), torch.tensor(targets))
    assert found.compute()["uar"].item() == pytest.approx(0.75)
    assert found.compute()["macro_f1"].item() == pytest.approx((2 / 3 + 0.8) / 2)


def test_reset_forgets_what_was_seen() -> None:
    found = measures(3)
    found.update(torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0]))
    assert found.compute()["accuracy"] == 0
    found.reset()
    found.update(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]))
    assert found.compute()["accuracy"] == found.compute()["uar"] == 1
    assert found.compute()["confusion"].sum() == 3


def test_the_confusion_matrix_has_true_classes_in_rows() -> None:
    found = measures(3)
    found.update(torch.tensor([2, 2, 1]), torch.tensor([0, 0, 1]))
    assert found.compute()["confusion"].tolist() == [[0, 0, 2], [0, 1, 0], [0, 0, 0]]


def test_the_mean_loss_is_over_clips_and_tells_of_one_that_is_not_a_number() -> None:
    losses = torch.rand(3, generator=torch.Generator().manual_seed(0))
    mean = MeanLoss()
    for loss, clips in zip(losses, (5, 5, 2), strict=True):
        mean.update(loss, clips)
    assert mean.compute().item() == pytest.approx(np.average(losses, weights=(5, 5, 2)), rel=1e-6)
    mean.update(torch.tensor(float("nan")), 1)
    assert mean.compute().isnan()
    mean.reset()
    mean.update(losses[0], 3)
    assert mean.compute() == losses[0]
