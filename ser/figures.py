"""Figures: pure functions of arrays, drawn by matplotlib."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


def confusion_figure(counts: NDArray[np.int64], labels: Sequence[str], title: str) -> Figure:
    """Heat map of a confusion matrix: counts written, shade by the share of each true class.

    Args:
        counts: ``(true, predicted)``.
        labels: Names of the classes, in the matrix's order.
        title: Above the map.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.75 * len(labels)
    figure = Figure(figsize=(side + 1.4, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.85)
    axes.set(title=title, xlabel="predicted", ylabel="true")
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    for true, predicted in np.ndindex(counts.shape):
        shade = "white" if shares[true, predicted] > 0.55 else "black"
        axes.text(predicted, true, str(counts[true, predicted]), ha="center", va="center", color=shade)
    return figure
