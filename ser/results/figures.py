"""Figures: pure functions of arrays, drawn by matplotlib."""

import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib import colormaps, rcParams
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.font_manager import FontProperties, findfont, findSystemFonts, fontManager, get_font
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

MARGINS = 0.8
"""Inches above and below stacked panels, together."""

GAP = 0.35
"""Inches between stacked panels, for a title."""

_fonts: dict[str, str | None] = {}
"""Script, such as ``CJK`` or ``THAI``, that matplotlib's own font lacks → the installed font that has it, or None."""


class Figure(matplotlib.figure.Figure):
    """A figure whose texts take letters that matplotlib's own font lacks from other fonts."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw it, with the fonts that were found for its labels."""
        if others := [name for name in _fonts.values() if name is not None]:
            for text in self.findobj(Text):
                text.set_fontfamily([*rcParams["font.family"], *others])
        super().draw(renderer)


def _plain(text: str) -> str:
    """Text that matplotlib draws as it is, dollars too; letters that no installed font has are escaped."""
    if not text.isascii() and rcParams["svg.fonttype"] != "none":  # in an SVG's text the letters are the reader's
        own = get_font(findfont(FontProperties()))
        text = "".join(
            letter
            if letter.isascii() or own.get_char_index(ord(letter)) or _found(letter, text)
            else ascii(letter)[1:-1]
            for letter in text
        )
    return text.replace("$", r"\$")


def _found(letter: str, text: str) -> bool:
    """Whether an installed font has ``letter``; where none has letters of its script, that is printed once."""
    script = unicodedata.name(letter, "").partition(" ")[0]
    if script not in _fonts:
        _fonts[script] = _installed(letter)
        if _fonts[script] is None:
            print(
                f"No installed font has the letters of {text!r}, so pictures have {ascii(text)[1:-1]} in its place: "
                f"install one with {script or 'these'} letters, such as Noto Sans",
                file=sys.stderr,
            )
    name = _fonts[script]
    return name is not None and bool(get_font(findfont(name)).get_char_index(ord(letter)))


def _installed(letter: str) -> str | None:
    """The name of an installed font that has ``letter``, an upright one if there is any."""
    known = {entry.fname for entry in fontManager.ttflist}
    slanted = None
    for path in sorted({*known, *findSystemFonts()}):
        try:
            font = get_font(path)
            usable = font.scalable and "LastResort" not in path and font.get_char_index(ord(letter)) > 0
        except (OSError, RuntimeError):  # it is broken, or of pictures
            continue
        if usable and (font.style_flags == 0 or slanted is None):
            if path not in known:
                fontManager.addfont(path)
            if font.style_flags == 0:
                return font.family_name
            slanted = font.family_name
    return slanted


def confusion_figure(
    counts: NDArray[np.int64], labels: Sequence[str], title: str, write_shares: bool = False
) -> Figure:
    """Heat map of a confusion matrix: counts written, shade by the share of each true class.

    Args:
        counts: ``(true, predicted)``.
        labels: Names of the classes, in the matrix's order.
        title: Above the map.
        write_shares: Write the share of the true class below each count, in percent, in place of a bar of the shades.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.75 * len(labels)
    figure = Figure(figsize=(side + 1.4, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if not write_shares:
        figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.85)
    axes.set_title(_plain(title), y=1.0)  # at a fixed place, which is cheaper to draw
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_xticks(range(len(labels)), [_plain(label) for label in labels], rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), [_plain(label) for label in labels])
    for true, predicted in np.ndindex(counts.shape):
        shade = "white" if shares[true, predicted] > 0.55 else "black"
        written = str(counts[true, predicted])
        if write_shares:
            written += f"\n{100 * shares[true, predicted]:.0f} %"
        cell = axes.text(predicted, true, written, ha="center", va="center", color=shade)
        cell.set_in_layout(False)  # it lies within the axes; measuring it costs as much as drawing it
    return figure


def groups_figure(groups: dict[str, Any], uar: float) -> Figure:
    """UAR of each group with its interval, one row per group; a dashed line at that of all test clips.

    Args:
        groups: As ``ser.evaluation.evaluate`` gives them, at least one; speakers are drawn without their names.
        uar: UAR of all test clips, 0 to 1.
    """
    heights = {name: max(0.5, (0.1 if name == "speaker" else 0.24) * len(values)) for name, values in groups.items()}
    figure = Figure(figsize=(7.5, 0.7 + sum(heights.values()) + 0.35 * len(groups)), layout="constrained")
    panels = figure.subplots(len(groups), 1, sharex=True, squeeze=False, height_ratios=list(heights.values()))
    for axes, (name, values) in zip(panels[:, 0], groups.items(), strict=True):
        shown = sorted(values, key=lambda value: values[value]["uar"]) if name == "speaker" else list(values)[::-1]
        rows = range(len(shown))
        scores = [values[value]["uar"] for value in shown]
        low, high = zip(*(values[value]["intervals"]["uar"] for value in shown), strict=True)
        axes.hlines(rows, low, high, color="#7a8ba6")
        axes.plot(scores, rows, "o", color="#2f72c4", markersize=3 if name == "speaker" else 5)
        axes.axvline(uar, color="black", linewidth=0.8, linestyle="--")
        labels = [] if name == "speaker" else [_plain(f"{value} ({values[value]['clips']:,} clips)") for value in shown]
        axes.set_ylim(-0.7, len(shown) - 0.3)
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
    """A waveform ``(time,)`` with full scale at ±1 for each title, on one scale of time."""
    figure, panels = _stacked(list(sounds), 1.2)
    for axes, sound in zip(panels, sounds.values(), strict=True):
        axes.plot(np.arange(len(sound)) / sample_rate, sound, linewidth=0.4, color="#1f4e8c")
        axes.set(ylim=(-1, 1))
    return figure


def log_mel_figure(
    pictures: Mapping[str, NDArray[np.float32]], seconds_per_frame: float, row: str = "mel", unit: str = "dB"
) -> Figure:
    """A 2D feature ``(row, frame)`` for each title, on one scale of time and of level; by default a log-mel in dB.

    Args:
        pictures: By title.
        seconds_per_frame: From one frame to the next.
        row: What the rows are.
        unit: What the levels are in.
    """
    figure, panels = _stacked(list(pictures), 1.6)
    low = min(picture.min() for picture in pictures.values())
    high = max(picture.max() for picture in pictures.values())
    for axes, picture in zip(panels, pictures.values(), strict=True):
        image = _picture(axes, picture, seconds_per_frame, cmap="magma", vmin=low, vmax=high)
        axes.set(ylabel=row)
    longest = max(picture.shape[1] for picture in pictures.values())
    panels[-1].set(xlim=(0, longest * seconds_per_frame))
    figure.colorbar(image, ax=panels, label=unit)
    return figure


def effect_figure(
    sounds: Mapping[str, NDArray[np.float32]],
    pictures: Mapping[str, NDArray[np.float32]],
    sample_rate: int,
    seconds_per_frame: float,
) -> Figure:
    """Waveforms over log-mels, side by side, on one scale of time.

    Args:
        sounds: Waveforms ``(time,)`` with full scale at ±1, by title; the first is the clip before the effect.
        pictures: Its log-mel ``(mel, frame)`` in dB, by the same titles.
        sample_rate: In Hz.
        seconds_per_frame: From one frame to the next.
    """
    figure = Figure(figsize=(11, 4), layout="constrained")
    panels = figure.subplots(2, len(sounds), sharex=True, sharey="row")
    highest = next(iter(pictures.values())).max()
    for (waveform, below), (title, sound) in zip(panels.T, sounds.items(), strict=True):
        waveform.plot(np.arange(len(sound)) / sample_rate, sound, linewidth=0.4, color="#1f4e8c")
        waveform.set(title=title, ylim=(-1, 1))
        _log_mel(below, pictures[title], seconds_per_frame, highest)
        below.set(xlabel="seconds")
    panels[1, 0].set(xlim=(0, max(map(len, sounds.values())) / sample_rate), ylabel="mel")
    return figure


def effects_figure(pictures: Mapping[str, NDArray[np.float32]], seconds_per_frame: float) -> Figure:
    """A log-mel ``(mel, frame)`` in dB for each title, four per row; the first, the clip as it is, sets the colours."""
    columns = 4
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(12, 2 * rows + 0.3), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    highest = next(iter(pictures.values())).max()
    for axes, (title, picture) in zip(panels, pictures.items(), strict=False):
        _log_mel(axes, picture, seconds_per_frame, highest)
        axes.set_title(title, loc="left", fontsize="medium")
    panels[0].set(xlim=(0, max(picture.shape[1] for picture in pictures.values()) * seconds_per_frame))
    figure.supxlabel("seconds", fontsize="medium")
    figure.supylabel("mel", fontsize="medium")
    return figure


def _log_mel(axes: Axes, picture: NDArray[np.float32], seconds_per_frame: float, highest: float) -> None:
    """Draw the 80 dB below ``highest``."""
    _picture(axes, picture, seconds_per_frame, cmap="magma", vmin=highest - 80, vmax=highest, interpolation="nearest")


def feature_lines_figure(
    lines: Mapping[str, NDArray[np.float32]], names: Sequence[str], seconds_per_frame: float, unit: str
) -> Figure:
    """1D features ``(feature, frame)`` for each title as lines, on one scale of time and of level.

    Args:
        lines: By title.
        names: Names of the features, in order.
        seconds_per_frame: From one frame to the next.
        unit: What the levels are in.
    """
    figure, panels = _stacked(list(lines), 1.2, sharey=True)
    for axes, features in zip(panels, lines.values(), strict=True):
        axes.plot(np.arange(features.shape[1]) * seconds_per_frame, features.T, linewidth=0.9, label=list(names))
    figure.supylabel(unit, fontsize="medium")
    panels[0].legend(frameon=False, loc="upper right", ncols=len(names), fontsize="small")
    return figure


def filters_figure(weights: NDArray[np.float32], title: str) -> Figure:
    """Filters of a first layer on one scale of colour about 0.

    Args:
        weights: ``(filter, row, frame)``, tiled, or ``(filter, tap)``, one row per filter.
        title: Above them.
    """
    if weights.ndim == 2:
        picture, labels = weights, {"xlabel": "tap", "ylabel": "filter"}
    else:
        count, rows, frames = weights.shape
        across = int(np.ceil(np.sqrt(count * rows / frames)))
        down = -(-count // across)
        tiles = np.full((down * across, rows + 1, frames + 1), np.nan, weights.dtype)
        tiles[:count, 1:, :-1] = weights[:, ::-1]  # low rows at the bottom, as in the features' pictures
        tiles = tiles.reshape(down, across, rows + 1, frames + 1)
        picture, labels = tiles.transpose(0, 2, 1, 3).reshape(down * (rows + 1), -1), {}
    high = float(np.abs(weights).max())
    figure = Figure(figsize=(6, 4.5))
    axes = figure.add_subplot()
    image = axes.imshow(picture, cmap="RdBu_r", vmin=-high, vmax=high, interpolation="nearest")
    axes.set_aspect("auto" if labels else "equal")
    axes.set_title(_plain(title), fontsize="medium")
    axes.set(**labels)
    if not labels:
        axes.set_axis_off()
    figure.colorbar(image, ax=axes, label="weight")
    return figure


def saliency_figure(
    clips: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]], seconds_per_frame: float, lines: bool
) -> Figure:
    """Features of clips, and how much each of their numbers moves the answer, side by side.

    Args:
        clips: Title → features and gradient of the answer's logit by them, ``(row, frame)`` each.
        seconds_per_frame: From one frame to the next.
        lines: Draw 1D features as lines, rather than 2D ones as images.
    """
    figure = Figure(figsize=(10, MARGINS + 1.8 * len(clips)))
    panels = figure.subplots(len(clips), 2, sharex=True, squeeze=False)
    _spread(figure, len(clips), wspace=0.14)
    for (left, right), (title, (features, gradient)) in zip(panels, clips.items(), strict=True):
        size = np.abs(gradient)
        share = size / max(float(size.max()), np.finfo(np.float32).tiny)
        if lines:
            time = np.arange(features.shape[1]) * seconds_per_frame
            left.plot(time, features.T, linewidth=0.9)
            right.plot(time, share.T, linewidth=0.9)
            right.set(ylim=(0, 1))
        else:
            _picture(left, features, seconds_per_frame, cmap="magma")
            image = _picture(right, share, seconds_per_frame, cmap="viridis", vmin=0, vmax=1)
        _head(left, title)
        _head(right, "|gradient|, share of its largest")
    for axes in panels[:-1].flat:
        axes.xaxis.set_visible(False)
    for axes in panels[-1]:
        axes.set(xlabel="seconds")
    if not lines:
        figure.colorbar(image, ax=panels[:, 1].tolist())
    return figure


def _stacked(titles: Sequence[str], height: float, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """A panel of ``height`` inches for each title, one below the other, on one scale of time in seconds."""
    figure = Figure(figsize=(8, MARGINS + height * len(titles)))
    panels = figure.subplots(len(titles), 1, sharex=True, sharey=sharey, squeeze=False)[:, 0].tolist()
    _spread(figure, len(titles))
    for axes, title in zip(panels, titles, strict=True):
        _head(axes, title)
        axes.xaxis.set_visible(axes is panels[-1])
    panels[-1].set(xlabel="seconds")
    return figure, panels


def _head(axes: Axes, title: str) -> None:
    """Set a title at a fixed place and few ticks: drawing those is most of the cost of a small panel."""
    axes.set_title(_plain(title), loc="left", fontsize="medium", y=1.0)
    axes.yaxis.set_major_locator(MaxNLocator(2))


def _spread(figure: Figure, rows: int, wspace: float = 0) -> None:
    """Put ``rows`` of panels at fixed distances; to measure the texts, as constrained layouts do, doubles the time."""
    width, height = figure.get_size_inches()
    high = (height - MARGINS - GAP * (rows - 1)) / rows
    figure.subplots_adjust(0.7 / width, 0.5 / height, 1 - 0.2 / width, 1 - 0.3 / height, wspace, GAP / high)


def _picture(axes: Axes, values: NDArray[np.float32], seconds_per_frame: float, **scale: Any) -> AxesImage:
    """Draw ``(row, frame)`` over seconds, with the first row at the bottom."""
    extent = (0, values.shape[1] * seconds_per_frame, 0, values.shape[0])
    return axes.imshow(values, origin="lower", aspect="auto", extent=extent, **scale)


def curves_figure(history: Sequence[Mapping[str, float]]) -> Figure:
    """Loss, accuracy, macro F1 and UAR of training and validation by epoch.

    Args:
        history: One dictionary per epoch: ``epoch``, and values by tag, such as ``train/loss``.
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


BINS = 10
"""Bins of a reliability diagram, of equal width."""


def reliability_figure(probabilities: NDArray[np.float64], true: NDArray[np.int64]) -> Figure:
    """Share of right answers by how sure they were; on the diagonal a network is as right as it says.

    Args:
        probabilities: ``(clip, class)``.
        true: Class indices ``(clip,)``.
    """
    sure, right = probabilities.max(1), probabilities.argmax(1) == true
    places = np.minimum((sure * BINS).astype(int), BINS - 1)
    bins = [places == place for place in np.unique(places)]
    points = [(sure[inside].mean(), right[inside].mean()) for inside in bins]
    figure = Figure(figsize=(4.5, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], "--", color="#7a8ba6", linewidth=1)
    axes.plot(*zip(*points, strict=True), "o-", color="#2f72c4")
    for inside, point in zip(bins, points, strict=True):
        axes.annotate(str(inside.sum()), point, (4, -12), textcoords="offset points")
    axes.set(xlabel="probability of the answer", ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1))
    return figure


PIXELS = 1500
"""Columns that an outline is drawn with at most."""


def timeline_figure(
    outline: NDArray[np.float64],
    bands: Mapping[str, Sequence[tuple[float, float]]],
    probabilities: NDArray[np.float64],
    labels: Sequence[str],
    seconds: float,
    hop: float,
) -> Figure:
    """A recording's waveform over bands of its emotions, and below it the probabilities.

    Args:
        outline: Minimum and maximum of equal pieces of the recording, ``(2, piece)``, full scale at ±1.
        bands: Start and length in seconds by label; what is no label, such as silence, is drawn in grey.
        probabilities: Probabilities of steps, ``(step, class)``; NaN leaves a gap.
        labels: Names in the order of the classes.
        seconds: Length of the recording.
        hop: Length of a step in seconds; the last may be shorter.
    """
    map_ = colormaps["tab10" if len(labels) <= 10 else "tab20"]
    colors = {label: map_(place % map_.N) for place, label in enumerate(labels)}
    figure = Figure(figsize=(12, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for name, stretches in bands.items():
        above.broken_barh(stretches, (-1, 2), facecolors=colors.get(name, "0.85"), alpha=0.45)
    starts = np.unique(np.linspace(0, outline.shape[1], PIXELS, endpoint=False).astype(int))
    edges = np.append(starts, outline.shape[1]) * seconds / outline.shape[1]
    low, high = np.minimum.reduceat(outline[0], starts), np.maximum.reduceat(outline[1], starts)
    above.stairs(high, edges, baseline=low, fill=True, color="#30343b")
    above.set(ylabel="waveform", ylim=(-1, 1))
    steps = np.minimum(np.arange(len(probabilities) + 1) * hop, seconds)
    for label, curve in zip(labels, probabilities.T, strict=True):
        below.stairs(curve, steps, baseline=None, color=colors[label], linewidth=1.5)
    below.set(ylabel="probability", ylim=(0, 1), xlim=(0, seconds), xlabel="time, minutes:seconds")
    below.xaxis.set_major_formatter(lambda second, _: f"{int(second) // 60}:{second % 60:04.1f}".removesuffix(".0"))
    names = [*labels, *(name for name in bands if name not in colors)]
    patches = [Patch(color=colors.get(name, "0.85"), label=_plain(name)) for name in names]
    figure.legend(handles=patches, loc="outside right upper", frameon=False)
    return figure


def robustness_figure(curves: Mapping[str, Sequence[Mapping[str, Any]]], chance: float) -> Figure:
    """UAR of checkpoints under conditions, one panel per family and one line per checkpoint; dotted: clean.

    Args:
        curves: Checkpoint → its conditions as ``ser.evaluation.conditions.score`` gives them, ``clean`` among them.
            One that is missing leaves a gap.
        chance: UAR of an answer by chance, 0 to 1.
    """
    families: dict[str, dict[str, float | None]] = {}
    for conditions in sorted(curves.values(), key=len, reverse=True):  # the one that has most gives the order
        for condition in conditions:
            if condition["family"] != "clean":
                families.setdefault(condition["family"], {})[condition["name"]] = condition["value"]
    rows = _in_rows({family: 1 + len(names) for family, names in families.items()})
    figure = Figure(figsize=(9, 0.8 + 2.5 * len(rows)), layout="constrained")
    grid = figure.add_gridspec(len(rows), 1)
    map_, first = colormaps["tab10"], None
    for place, row in enumerate(rows):
        across = grid[place].subgridspec(1, len(row), width_ratios=[1 + len(families[family]) for family in row])
        for column, family in enumerate(row):
            axes = figure.add_subplot(across[column], sharey=first)
            first = first or axes
            for number, conditions in enumerate(curves.values()):
                shift = 0.1 * (number - (len(curves) - 1) / 2)  # so that intervals stand side by side
                color, by_name = map_(number % map_.N), {condition["name"]: condition for condition in conditions}
                places = {name: place + shift for place, name in enumerate(families[family]) if name in by_name}
                own = [by_name[name] for name in places]
                values = [condition["value"] or 0 for condition in own]
                crosses = min(values, default=0) < 0 < max(values, default=0)  # a line would pass by 0, which is clean
                _curve(axes, list(places.values()), own, color, linewidth=0 if crosses else 1.4)
                axes.axhline(by_name["clean"]["uar"], color=color, linewidth=1.1, linestyle=":")
            axes.axhline(chance, color="0.6", linewidth=0.8, zorder=1)
            unit = next(t["unit"] for conditions in curves.values() for t in conditions if t["family"] == family)
            ticks = ["" if value is None else f"{value:g}" for value in families[family].values()]
            axes.set_xticks(range(len(ticks)), ticks)
            axes.set(xlabel=unit, xlim=(-0.6, len(ticks) - 0.4), ylabel="" if column else "UAR, 95 % interval")
            axes.set_title(family, loc="left", fontsize="medium")
            axes.tick_params(axis="y", labelleft=not column)
            axes.grid(axis="y", linewidth=0.4, alpha=0.5)
    keys = [Line2D([], [], color=map_(i % map_.N), marker="o", label=_plain(name)) for i, name in enumerate(curves)]
    keys.append(Line2D([], [], color="0.3", linestyle=":", label="clean"))
    keys.append(Line2D([], [], color="0.6", linewidth=0.8, label="chance"))
    figure.legend(handles=keys, loc="outside upper left", ncols=4, frameon=False)
    return figure


def enrolment_figure(curve: Sequence[Mapping[str, Any]]) -> Figure:
    """UAR by how many other clips of a voice are known, a line per kind of clips, with 95 % intervals.

    Args:
        curve: As ``ser.inference.enrolment.curve`` gives it.
    """
    names = list(dict.fromkeys(point["enrolment"] for point in curve))
    kinds = list(dict.fromkeys(point["kind"] for point in curve))
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    map_ = colormaps["tab10"]
    for number, kind in enumerate(kinds):
        points = [point for point in curve if point["kind"] == kind]
        places = [names.index(point["enrolment"]) + 0.08 * (number - (len(kinds) - 1) / 2) for point in points]
        color = map_(number % map_.N)
        label = "any emotions" if kind == "any" else kind
        _curve(axes, places, points, color=color, label=label)
    axes.set_xticks(range(len(names)), names)
    axes.set(xlabel="other clips of the voice that are known", ylabel="UAR, 95 % interval")
    axes.grid(axis="y", linewidth=0.4, alpha=0.5)
    axes.legend(frameon=False)
    return figure


def _curve(axes: Axes, places: Sequence[float], scores: Sequence[Mapping[str, Any]], color: Any, **style: Any) -> None:
    """Draw UAR at some places with its intervals."""
    axes.plot(places, [score["uar"] for score in scores], "o-", color=color, markersize=4, **style)
    lows, highs = ([score["intervals"]["uar"][end] for score in scores] for end in (0, 1))
    axes.vlines(places, lows, highs, color=color, linewidth=1, alpha=0.6)


def _in_rows(widths: Mapping[str, int]) -> list[list[str]]:
    """Divide panels into two rows of about the same width, in order; few stay in one row."""
    names, whole = list(widths), sum(widths.values())
    if whole < 10 or len(names) < 2:
        return [names]
    cut = min(range(1, len(names)), key=lambda n: abs(2 * sum(widths[name] for name in names[:n]) - whole))
    return [names[:cut], names[cut:]]
