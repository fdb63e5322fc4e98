"""Figures: pure functions of arrays, drawn by matplotlib."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


def _plain(text: str) -> str:
    """Text that matplotlib draws as it is, dollars too."""
    return text.replace("$", r"\$")


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
    axes.set(title=_plain(title), xlabel="predicted", ylabel="true")
    axes.set_xticks(range(len(labels)), [_plain(label) for label in labels], rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), [_plain(label) for label in labels])
    for true, predicted in np.ndindex(counts.shape):
        shade = "white" if shares[true, predicted] > 0.55 else "black"
        axes.text(predicted, true, str(counts[true, predicted]), ha="center", va="center", color=shade)
    return figure


def groups_figure(groups: dict[str, Any], uar: float) -> Figure:
    """UAR of each group with its interval, a row a group; a dashed line at the whole test set's.

    Args:
        groups: As ``ser.evaluation.evaluate`` gives them, at least one; speakers are drawn without their names.
        uar: Of the whole test set, 0 to 1.
    """
    heights = {name: max(1.5, (0.1 if name == "speaker" else 0.24) * len(values)) for name, values in groups.items()}
    figure = Figure(figsize=(7.5, 0.7 + sum(heights.values()) + 0.35 * len(groups)), layout="constrained")
    panels = figure.subplots(len(groups), 1, sharex=True, squeeze=False, height_ratios=list(heights.values()))
    for axes, (name, values) in zip(panels[:, 0], groups.items(), strict=True):
        shown = sorted(values, key=lambda value: values[value]["uar"]) if name == "speaker" else list(values)[::-1]
        rows = range(len(shown))
        scores = [values[value]["uar"] for value in shown]
        low, high = zip(*(values[value]["intervals"]["uar"] for value in shown), strict=True)
        axes.hlines(rows, low, high, color="#7a8ba6")
        axes.plot(scores, rows, "o", color="#1f4e8c", markersize=3 if name == "speaker" else 5)
        axes.axvline(uar, color="black", linewidth=0.8, linestyle="--")
        labels = [] if name == "speaker" else [_plain(f"{value} ({values[value]['clips']:,} clips)") for value in shown]
        axes.set_yticks(list(rows) if labels else [], labels)
        axes.set_title(f"{name}, {len(shown)}" if name == "speaker" else name, loc="left", fontsize="medium")
    panels[-1, 0].set(xlabel="UAR with its 95 % interval; dashed: all test clips", xlim=(0, 1))
    return figure


def counts_figure(counts: Mapping[str, int]) -> Figure:
    """Bars of how many clips each emotion has."""
    figure = Figure(figsize=(2 + 0.7 * len(counts), 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.bar_label(axes.bar(range(len(counts)), list(counts.values()), color="#1f4e8c"))
    axes.set_xticks(range(len(counts)), [_plain(label) for label in counts], rotation=45, ha="right")
    axes.set(ylabel="clips")
    return figure


def lengths_figure(seconds: NDArray[np.float64]) -> Figure:
    """Histogram of the clips' lengths in seconds ``(clip,)``."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.hist(seconds, bins=min(50, max(5, len(seconds) // 10)), color="#1f4e8c")
    axes.set(xlabel="seconds", ylabel="clips")
    return figure


def waveforms_figure(sounds: Mapping[str, NDArray[np.float32]], sample_rate: int) -> Figure:
    """A waveform ``(time,)`` with full scale at ±1 for each emotion, on one scale of time."""
    figure = Figure(figsize=(8, 0.6 + 1.2 * len(sounds)), layout="constrained")
    panels = figure.subplots(len(sounds), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (emotion, sound) in zip(panels, sounds.items(), strict=True):
        axes.plot(np.arange(len(sound)) / sample_rate, sound, linewidth=0.4, color="#1f4e8c")
        axes.set(ylim=(-1, 1))
        axes.set_title(_plain(emotion), loc="left", fontsize="medium")
    panels[-1].set(xlabel="seconds")
    return figure


def log_mel_figure(pictures: Mapping[str, NDArray[np.float32]], seconds_per_frame: float) -> Figure:
    """A log-mel spectrogram ``(mel, frame)`` in dB for each emotion, on one scale of time and of level."""
    figure = Figure(figsize=(8, 0.6 + 1.6 * len(pictures)), layout="constrained")
    panels = figure.subplots(len(pictures), 1, sharex=True, squeeze=False)[:, 0]
    low = min(picture.min() for picture in pictures.values())
    high = max(picture.max() for picture in pictures.values())
    for axes, (emotion, picture) in zip(panels, pictures.items(), strict=True):
        extent = (0, picture.shape[1] * seconds_per_frame, 0, picture.shape[0])
        image = axes.imshow(picture, origin="lower", aspect="auto", extent=extent, vmin=low, vmax=high, cmap="magma")
        axes.set(ylabel="mel")
        axes.set_title(_plain(emotion), loc="left", fontsize="medium")
    longest = max(picture.shape[1] for picture in pictures.values())
    panels[-1].set(xlabel="seconds", xlim=(0, longest * seconds_per_frame))
    figure.colorbar(image, ax=panels.tolist(), label="dB")
    return figure


def curves_figure(history: Sequence[Mapping[str, float]]) -> Figure:
    """Loss, accuracy, macro F1 and UAR of training and validation by epoch.

    Args:
        history: One dictionary an epoch: ``epoch``, and values by tag, such as ``train/loss``.
    """
    names = ("loss", "accuracy", "macro_f1", "uar")
    figure = Figure(figsize=(8, 5), layout="constrained")
    for axes, name in zip(figure.subplots(2, 2, sharex=True).flat, names, strict=True):
        for side, color, style in (("train", "#7a8ba6", "--"), ("val", "#2f72c4", "-")):
            points = [(epoch["epoch"], epoch[f"{side}/{name}"]) for epoch in history if f"{side}/{name}" in epoch]
            if points:
                axes.plot(
                    *zip(*points, strict=True), style, color=color, label=side, marker="." if len(points) < 3 else ""
                )
        axes.set_title(name, loc="left", fontsize="medium")
        axes.set(xlabel="epoch" if name in names[2:] else "")
    figure.axes[0].legend(frameon=False)
    return figure


def reliability_figure(probabilities: NDArray[np.float64], true: NDArray[np.int64], bins: int = 10) -> Figure:
    """Share of right answers by how sure they were; on the diagonal a network is as right as it says.

    Args:
        probabilities: ``(clip, class)``.
        true: Class indices ``(clip,)``.
        bins: Of equal width.
    """
    sure, right = probabilities.max(1), probabilities.argmax(1) == true
    places = np.minimum((sure * bins).astype(int), bins - 1)
    filled = [place for place in range(bins) if (places == place).any()]
    figure = Figure(figsize=(4.5, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], "--", color="#7a8ba6", linewidth=1)
    axes.plot(
        [sure[places == place].mean() for place in filled],
        [right[places == place].mean() for place in filled],
        "o-",
        color="#2f72c4",
    )
    for place in filled:
        inside = places == place
        axes.annotate(
            str(inside.sum()), (sure[inside].mean(), right[inside].mean()), (4, -12), textcoords="offset points"
        )
    axes.set(xlabel="probability of the answer", ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1))
    return figure
