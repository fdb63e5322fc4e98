import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from ser.errors import UserError
from ser.evaluation.calibration import TEMPERATURES, Calibration, calibrate, calibration_error


def simulated(temperature: float, clips: int = 6000, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits, and labels that follow their softmax at ``temperature``."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(clips, 5, generator=generator)
    return logits, torch.multinomial((logits / temperature).softmax(1), 1, generator=generator).flatten()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_simulated_logits_is_found(temperature: float) -> None:
    assert calibrate(*simulated(temperature)).temperature == pytest.approx(temperature, rel=0.08)


def test_no_other_temperature_is_likelier() -> None:
    logits, targets = simulated(2.0, clips=300)
    best = calibrate(logits, targets).temperature
    losses = [cross_entropy(logits.double() / (best * factor), targets) for factor in (0.9, 0.99, 1, 1.01, 1.1)]
    assert min(losses) == losses[2]


def test_calibrated_probabilities_of_simulated_logits_are_as_right_as_they_say() -> None:
    (logits, targets), (others, wanted) = simulated(3.0), simulated(3.0, seed=1)
    temperature = calibrate(logits, targets).temperature
    assert calibration_error(others.softmax(1), wanted) > 0.2
    assert calibration_error((others / temperature).softmax(1), wanted) < 0.05


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(2, 6), st.sampled_from([0.0, 0.01, 1.0, 10.0, 300.0]))
def test_the_loss_is_never_worse_and_answers_keep_their_order(seed: int, clips: int, classes: int, size: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = (size * torch.randn(clips, classes, generator=generator)).double()
    targets = torch.randint(classes, (clips,), generator=generator)
    temperature = calibrate(logits, targets).temperature
    assert TEMPERATURES[0] <= temperature <= TEMPERATURES[1]
    before, after = cross_entropy(logits, targets), cross_entropy(logits / temperature, targets)
    assert after <= before + 1e-6 * (1 + before)
    assert torch.equal((logits / temperature).argsort(dim=1, stable=True), logits.argsort(dim=1, stable=True))


@pytest.mark.parametrize("right", [True, False])
def test_all_right_and_all_wrong_go_to_the_ends_of_the_range(right: bool) -> None:
    targets = torch.arange(6) % 3
    logits = torch.nn.functional.one_hot(targets if right else (targets + 1) % 3, 3).float()
    temperature = calibrate(logits, targets).temperature
    assert temperature == pytest.approx(TEMPERATURES[0] if right else TEMPERATURES[1], rel=0.01)


def test_what_is_kept_of_each_validation_clip_is_its_confidence_and_whether_it_was_right() -> None:
    logits, targets = simulated(2.0, clips=50)
    found = calibrate(logits, targets)
    assert found.confidence is not None
    assert found.right is not None
    confidence, answers = (logits / found.temperature).softmax(1).max(1)
    expected = sorted(zip(confidence.tolist(), (answers == targets).tolist(), strict=True), reverse=True)
    assert found.confidence.tolist() == pytest.approx([sure for sure, _ in expected], abs=1e-6)
    assert found.right.tolist() == [right for _, right in expected]
    assert 0 < found.right.sum() < 50


def test_state_builds_the_same_calibration_again() -> None:
    found = calibrate(*simulated(2.0, clips=50))
    again = Calibration(**found.state_dict())
    assert again.temperature == found.temperature
    assert again.threshold(0.3) == found.threshold(0.3)


def answered(confidences: list[float], right: list[bool]) -> tuple[Tensor, Tensor]:
    """Probabilities of three classes with these confidences, all for class 0, and targets."""
    sure = torch.tensor(confidences)
    rest = 1 - sure
    return torch.stack([sure, 0.6 * rest, 0.4 * rest], 1), torch.tensor([0 if good else 2 for good in right])


def test_bins_that_are_as_right_as_they_say_have_no_error() -> None:
    sure = [0.75] * 4 + [0.6] * 10 + [0.5] * 2 + [1.0]
    right = [True] * 3 + [False] + [True] * 6 + [False] * 4 + [True, False] + [True]
    assert calibration_error(*answered(sure, right)) == pytest.approx(0, abs=1e-6)


def test_the_error_is_the_mean_distance_of_the_bins_weighted_by_their_clips() -> None:
    # 0.81 and 0.85 share a bin: 2/5 * |0.83 - 1/2|; the others: 3/5 * |0.5 - 1|.
    sure, right = [0.81, 0.85, 0.5, 0.5, 0.5], [True, False, True, True, True]
    assert calibration_error(*answered(sure, right)) == pytest.approx(0.4 * 0.33 + 0.6 * 0.5, abs=1e-6)


def test_the_error_does_not_know_which_way_it_is_wrong() -> None:
    assert calibration_error(*answered([0.9] * 4, [True] * 2 + [False] * 2)) == pytest.approx(0.4, abs=1e-6)
    assert calibration_error(*answered([0.5] * 4, [True] * 4)) == pytest.approx(0.5, abs=1e-6)


def known(confidences: list[float], right: list[bool]) -> Calibration:
    order = sorted(range(len(right)), key=lambda i: -confidences[i])
    return Calibration(
        1.0, torch.tensor([confidences[i] for i in order]), torch.tensor([right[i] for i in order], dtype=torch.bool)
    )


def wrong_at(calibration: Calibration, threshold: float) -> float:
    """Share of wrong answers among those at least so sure."""
    assert calibration.confidence is not None
    assert calibration.right is not None
    return (~calibration.right[calibration.confidence >= threshold]).double().mean().item()


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0.25, 0.375, 0.5, 0.625, 0.75, 0.875]), st.booleans()), min_size=1),
    st.floats(0, 0.99).filter(lambda risk: (risk * 2520) % 1 > 1e-4),  # not a share of up to ten clips itself
)
def test_a_threshold_is_the_lowest_that_keeps_the_risk(clips: list[tuple[float, bool]], risk: float) -> None:
    calibration = known([sure for sure, _ in clips], [right for _, right in clips])
    allowed = [sure for sure in {sure for sure, _ in clips} if wrong_at(calibration, sure) <= risk]
    if allowed:
        assert calibration.threshold(risk) == min(allowed)
    else:
        with pytest.raises(UserError, match="no threshold keeps the risk"):
            calibration.threshold(risk)


def test_the_next_lower_confidence_would_break_the_risk() -> None:
    calibration = known([0.9, 0.8, 0.7, 0.6, 0.5], [True, True, False, True, False])
    for risk, threshold in ((0.0, 0.8), (0.2, 0.8), (0.26, 0.6), (0.34, 0.6), (0.41, 0.5)):
        assert calibration.threshold(risk) == pytest.approx(threshold)


@pytest.mark.parametrize("clips", [3, 7, 10, 49, 1000])
def test_a_risk_that_is_met_exactly_is_kept(clips: int) -> None:
    for wrong in range(0, clips, max(1, clips // 10)):
        calibration = known([0.5] * clips, [False] * wrong + [True] * (clips - wrong))
        assert calibration.threshold(wrong / clips) == 0.5


def test_clips_of_one_confidence_are_taken_together() -> None:
    calibration = known([0.9, 0.8, 0.8, 0.8], [True, True, True, False])
    assert calibration.threshold(0.2) == pytest.approx(0.9), "right ones of 0.8 bring the wrong one along"
    assert calibration.threshold(0.25) == pytest.approx(0.8)


def test_a_risk_that_even_the_surest_answers_break_is_refused_with_the_best_one() -> None:
    calibration = known([0.9, 0.8, 0.7], [False, True, True])
    with pytest.raises(UserError, match=r"0\.1 on the 3 validation clips; the best that one does is 0\.333"):
        calibration.threshold(0.1)


@pytest.mark.parametrize("risk", [-0.1, 1.0, 5.0, float("nan")])
def test_a_risk_out_of_its_range_is_refused(risk: float) -> None:
    with pytest.raises(UserError, match="must lie between 0 and 1"):
        known([0.9], [True]).threshold(risk)


def test_without_calibration_there_is_no_threshold() -> None:
    assert Calibration().temperature == 1
    with pytest.raises(UserError, match="not calibrated"):
        Calibration().threshold(0.1)
