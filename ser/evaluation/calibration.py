"""How sure a network may say it is: a temperature and a threshold, both from validation clips."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from ser.errors import UserError

BINS = 15
"""Bins of the expected calibration error, as in Guo et al. (2017)."""

UNCALIBRATED = "This checkpoint was not tested by its run, so its probabilities are not calibrated."

TEMPERATURES = (0.05, 20.0)
"""Lowest and highest temperature that is tried."""


@dataclass(frozen=True)
class Calibration:
    """What validation said about a network's probabilities; plain data and tensors, kept in its checkpoint.

    Attributes:
        temperature: Logits are divided by it before the softmax (Guo et al., 2017, arXiv 1706.04599).
        confidence: The largest probability of each validation clip after that, from high to low, ``(clip,)``.
        right: Whether that answer was right, ``(clip,)`` bool.
        bias: Added to the divided logits, ``(class,)``: what an adaptation says of how often emotions occur. None for
            nothing.
    """

    temperature: float = 1.0
    confidence: Tensor | None = None
    right: Tensor | None = None
    bias: Tensor | None = None

    def apply(self, logits: Tensor) -> Tensor:
        """Turn a network's logits ``(clip, class)`` into those whose softmax gives the probabilities."""
        divided = logits / self.temperature
        return divided if self.bias is None else divided + self.bias.to(divided)

    @property
    def known(self) -> bool:
        """Whether validation has said anything."""
        return self.confidence is not None

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint holds of it."""
        held = {"temperature": self.temperature, "confidence": self.confidence, "right": self.right}
        return held if self.bias is None else {**held, "bias": self.bias}

    def check(self) -> None:
        """Check values that come from a file.

        Raises:
            UserError: The temperature is no number above 0, or the confidences are not of a validation.
        """
        if type(self.temperature) not in (int, float) or not 0 < self.temperature < np.inf:
            raise UserError(f"its temperature is {self.temperature!r}, and must be a number above 0")
        bias = self.bias
        if bias is not None and not (isinstance(bias, Tensor) and bias.ndim == 1 and bool(bias.isfinite().all())):
            raise UserError("the shift of its answers must be a row of finite numbers")
        if self.confidence is None and self.right is None:
            return
        both = (self.confidence, self.right)
        if not all(isinstance(one, Tensor) and one.ndim == 1 and one.layout == torch.strided for one in both):
            raise UserError("its confidences and right answers must be two rows of numbers, or none")
        assert self.confidence is not None
        assert self.right is not None
        within = self.confidence.is_floating_point() and bool(((self.confidence >= 0) & (self.confidence <= 1)).all())
        if self.right.dtype != torch.bool or len(self.right) != len(self.confidence) or not within:
            raise UserError("its confidences must lie between 0 and 1, with a right or wrong answer each")

    def threshold(self, risk: float) -> float:
        """The least confidence at which answers to validation clips were wrong at most ``risk`` of the time.

        Clips below it are left unanswered. The more validation clips, the more this says about others.

        Args:
            risk: Share of wrong answers among those given, 0 to 1.

        Raises:
            UserError: ``risk`` is out of its range, no validation clips are known, or not even the surest answers
                reach it.

        Example:
            >>> confidence, right = torch.tensor([0.9, 0.8, 0.6, 0.5]), torch.tensor([True, True, False, True])
            >>> round(Calibration(1.0, confidence, right).threshold(0.25), 2)
            0.5
        """
        if not 0 <= risk < 1:
            raise UserError(f"risk={risk} must lie between 0 and 1: the share of wrong answers among those given")
        if self.confidence is None or self.right is None:
            raise UserError(
                "this checkpoint was not calibrated, so no threshold can be chosen: give its run's folder instead"
            )
        wrong = (~self.right).cumsum(0) / torch.arange(1, len(self.right) + 1)
        # A threshold takes all clips of one confidence or none.
        last = torch.cat([self.confidence[1:] != self.confidence[:-1], torch.ones(1, dtype=torch.bool)])
        good = torch.nonzero(last & (wrong <= risk)).flatten()
        if not len(good):
            raise UserError(
                f"no threshold keeps the risk at {risk} on the {len(self.right)} validation clips; "
                f"the best that one does is {wrong[last].min():.3f}"
            )
        return float(self.confidence[good[-1]])


def calibrate(logits: Tensor, targets: Tensor) -> Calibration:
    """Fit a temperature by the likelihood of validation clips.

    Args:
        logits: ``(clip, class)``.
        targets: Class indices ``(clip,)``.
    """
    logits, targets = logits.double().cpu(), targets.cpu()

    def loss(log_temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits / np.exp(log_temperature), targets))

    low, high = np.log(TEMPERATURES)
    best = minimize_scalar(loss, bounds=(low, high), method="bounded")
    temperature = float(np.exp(best.x))
    confidence, answers = (logits / temperature).softmax(1).max(1)
    order = confidence.argsort(descending=True, stable=True)
    return Calibration(temperature, confidence[order].float(), (answers == targets)[order])


def calibration_report(
    calibration: Calibration, validation_clips: int, logits: Tensor, targets: Tensor
) -> dict[str, float | int]:
    """Report a calibration on test clips, as results have it.

    Args:
        calibration: Chosen on ``validation_clips`` clips.
        validation_clips: Number of those clips.
        logits: Logits before it, ``(clip, class)``.
        targets: Class indices ``(clip,)``.
    """
    return {
        "temperature": calibration.temperature,
        "validation_clips": validation_clips,
        "test_error_before": calibration_error(logits.softmax(1), targets),
        "test_error": calibration_error(calibration.apply(logits).softmax(1), targets),
        "test_loss_before": torch.nn.functional.cross_entropy(logits, targets).item(),
    }


def calibration_error(probabilities: Tensor, targets: Tensor) -> float:
    """Expected calibration error, 0 to 1: how far confidence and accuracy differ, in ``BINS`` bins of confidence.

    Args:
        probabilities: ``(clip, class)``.
        targets: Class indices ``(clip,)``.
    """
    classes = probabilities.shape[1]
    error = multiclass_calibration_error(probabilities.float(), targets, classes, n_bins=BINS, norm="l1")
    return float(error)
