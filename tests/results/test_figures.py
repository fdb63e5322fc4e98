import io
import warnings
from typing import Any

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

import ser.results.figures
from ser.results.figures import (
    confusion_figure,
    effect_figure,
    effects_figure,
    feature_lines_figure,
    filters_figure,
    groups_figure,
    log_mel_figure,
    robustness_figure,
    saliency_figure,
)

COUNTS = np.array([[8, 1, 1], [0, 3, 7], [5, 0, 5]])
LABELS = ["anger", "happy", "sad"]


@pytest.fixture
def figure() -> Figure:
    return confusion_figure(COUNTS, LABELS, "some title")


def test_every_cell_has_its_own_number_written_in_it(figure: Figure) -> None:
    written = {(round(text.get_position()[1]), round(text.get_position()[0])): text for text in figure.axes[0].texts}
    assert {place: int(text.get_text()) for place, text in written.items()} == dict(np.ndenumerate(COUNTS))


def test_rows_are_true_classes_and_columns_predicted_ones(figure: Figure) -> None:
    axes = figure.axes[0]
    assert axes.get_title() == "some title"
    assert axes.get_xlabel() == "predicted"
    assert axes.get_ylabel() == "true"
    assert [label.get_text() for label in axes.get_xticklabels()] == LABELS
    assert [label.get_text() for label in axes.get_yticklabels()] == LABELS
    assert axes.yaxis_inverted(), "the first class stands on top"


def test_a_cells_shade_is_its_share_of_the_true_class(figure: Figure) -> None:
    image = figure.axes[0].images[0]
    np.testing.assert_allclose(np.asarray(image.get_array()), [[0.8, 0.1, 0.1], [0, 0.3, 0.7], [0.5, 0, 0.5]])
    assert image.get_clim() == (0, 1)


def test_numbers_are_white_on_dark_cells_and_black_on_light_ones(figure: Figure) -> None:
    assert [text.get_color() for text in figure.axes[0].texts] == [
        *("white", "black", "black"),
        *("black", "black", "white"),
        *("black", "black", "black"),
    ]


def test_a_class_with_no_clips_is_drawn_empty_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = confusion_figure(np.array([[2, 1], [0, 0]]), ["a", "b"], "")
    np.testing.assert_allclose(np.asarray(drawn.axes[0].images[0].get_array()), [[2 / 3, 1 / 3], [0, 0]])


def test_numbers_of_thousands_are_written_in_full() -> None:
    drawn = confusion_figure(np.array([[12345, 0], [0, 1]]), ["a", "b"], "")
    assert [text.get_text() for text in drawn.axes[0].texts] == ["12345", "0", "0", "1"]


def test_it_can_be_saved_and_grows_with_the_classes(figure: Figure) -> None:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    assert file.getvalue().startswith(b"\x89PNG")
    larger = confusion_figure(np.eye(8, dtype=np.int64), [f"emotion {i}" for i in range(8)], "")
    assert (larger.get_size_inches() > figure.get_size_inches()).all()


def told(uar: float, low: float, high: float, clips: int) -> dict[str, Any]:
    return {
        "clips": clips,
        "speakers": 3,
        "accuracy": 0.99,
        "uar": uar,
        "intervals": {"over": "3 speakers", "accuracy": [0.98, 1.0], "uar": [low, high]},
    }


GROUPS = {
    "sex": {"female": told(0.7, 0.6, 0.75, 1234), "male": told(0.5, 0.35, 0.65, 90)},
    "age": {"20-29": told(0.4, 0.2, 0.6, 5), "30-39": told(0.8, 0.5, 0.9, 6), "40-49": told(0.6, 0.6, 0.6, 7)},
    "speaker": {"Ann": told(0.9, 0.8, 1.0, 4), "Bob": told(0.1, 0.0, 0.3, 4), "Cy": told(0.5, 0.4, 0.6, 4)},
}


@pytest.fixture
def panels() -> list[Axes]:
    return groups_figure(GROUPS, 0.55).axes


def drawn_rows(axes: Axes) -> dict[float, tuple[float, float, float]]:
    """Height of a row → score, and the interval's ends."""
    points, _ = axes.lines
    (intervals,) = (artist for artist in axes.collections if isinstance(artist, LineCollection))
    scores = dict(zip(np.asarray(points.get_ydata()).tolist(), np.asarray(points.get_xdata()).tolist(), strict=True))
    ends = {segment[0, 1]: segment[:, 0] for segment in map(np.asarray, intervals.get_segments())}
    assert scores.keys() == ends.keys()
    return {row: (score, min(ends[row]), max(ends[row])) for row, score in scores.items()}


def test_groups_have_a_panel_each(panels: list[Axes]) -> None:
    assert [axes.get_title(loc="left").partition(",")[0] for axes in panels] == ["sex", "age", "speaker"]
    assert all(axes.get_shared_x_axes().joined(axes, panels[0]) for axes in panels)
    assert panels[-1].get_xlim() == (0, 1)
    assert "UAR" in panels[-1].get_xlabel()
    (only,) = groups_figure({"sex": GROUPS["sex"]}, 0.5).axes
    assert drawn_rows(only) == drawn_rows(panels[0])


@pytest.mark.parametrize("place", [0, 1])
def test_every_value_has_a_row_with_its_score_and_interval(panels: list[Axes], place: int) -> None:
    values = list(GROUPS.values())[place]
    axes = panels[place]
    rows = drawn_rows(axes)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert len(rows) == len(names) == len(values)
    for height, name in zip(axes.get_yticks(), names, strict=True):
        value = values[name.partition(" (")[0]]
        assert rows[height] == pytest.approx((value["uar"], *value["intervals"]["uar"]))
        assert f"({value['clips']:,} clips)" in name
    assert not axes.yaxis_inverted()
    assert [name.partition(" (")[0] for name in names][::-1] == list(values), "the first value stands on top"


def test_a_dashed_line_stands_at_the_score_of_all_clips(panels: list[Axes]) -> None:
    for axes in panels:
        _, line = axes.lines
        assert set(np.asarray(line.get_xdata()).tolist()) == {0.55}
        assert line.get_linestyle() == "--"


def test_speakers_are_sorted_by_their_score_and_not_named(panels: list[Axes]) -> None:
    rows = drawn_rows(panels[2])
    assert [rows[height] for height in sorted(rows)] == [(0.1, 0, 0.3), (0.5, 0.4, 0.6), (0.9, 0.8, 1)]
    assert list(panels[2].get_yticks()) == []
    assert panels[2].get_title(loc="left") == "speaker, 3"
    assert not any(name in text.get_text() for text in panels[2].findobj(Text) for name in ("Ann", "Bob", "Cy"))


def test_groups_of_any_size_can_be_saved() -> None:
    everyone = {"speaker": {f"{i}": told(i / 100, i / 200, 0.9, 80) for i in range(91)}}
    drawn = groups_figure(everyone, 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        file = io.BytesIO()
        drawn.savefig(file, format="png")
    assert file.getvalue().startswith(b"\x89PNG")
    assert len(drawn_rows(drawn.axes[0])) == 91
    assert drawn.get_size_inches()[1] > groups_figure({"sex": GROUPS["sex"]}, 0.5).get_size_inches()[1]


def test_shares_can_be_written_below_the_counts() -> None:
    drawn = confusion_figure(COUNTS, LABELS, "", write_shares=True)
    written = [text.get_text() for text in drawn.axes[0].texts]
    assert written[:3] == ["8\n80 %", "1\n10 %", "1\n10 %"]
    assert len(written) == 9


def test_a_2d_feature_has_a_picture_an_emotion_on_one_scale() -> None:
    rng = np.random.default_rng(0)
    pictures = {label: rng.standard_normal((4, 10 + i)).astype(np.float32) for i, label in enumerate(LABELS)}
    drawn = log_mel_figure(pictures, 0.5, "coefficient", "standard deviations")
    *panels, bar = drawn.axes
    assert [axes.get_title(loc="left") for axes in panels] == LABELS
    limits = {axes.images[0].get_clim() for axes in panels}
    everything = np.concatenate([picture.ravel() for picture in pictures.values()])
    assert limits == {(everything.min(), everything.max())}
    for axes, picture in zip(panels, pictures.values(), strict=True):
        np.testing.assert_array_equal(np.asarray(axes.images[0].get_array()), picture)
        assert tuple(axes.images[0].get_extent()) == (0, picture.shape[1] * 0.5, 0, 4)
        assert axes.get_ylabel() == "coefficient"
        assert not axes.yaxis_inverted(), "the lowest row is at the bottom"
    assert panels[-1].get_xlim() == (0, 6)
    assert bar.get_ylabel() == "standard deviations"


def test_an_effect_is_drawn_beside_the_clip_before_it_on_the_clips_own_colours() -> None:
    sounds = {"before": np.zeros(800, np.float32), "after": np.ones(1600, np.float32)}
    pictures = {when: np.full((4, len(sound) // 80), 10.0 * len(when), np.float32) for when, sound in sounds.items()}
    figure = effect_figure(sounds, pictures, 800, 0.1)
    top, bottom = np.array(figure.axes).reshape(2, 2)
    for waveform, below, (when, sound) in zip(top, bottom, sounds.items(), strict=True):
        assert waveform.get_title() == when
        assert waveform.lines[0].get_xdata()[-1] == pytest.approx((len(sound) - 1) / 800)
        np.testing.assert_array_equal(waveform.lines[0].get_ydata(), sound)
        np.testing.assert_array_equal(below.images[0].get_array(), pictures[when])
        assert below.images[0].get_clim() == (-20, 60)
        assert below.get_xlim() == (0, 2)


def test_effects_have_a_panel_each_on_the_colours_of_the_first() -> None:
    pictures = {f"effect {n}": np.full((4, 10 * n), n, np.float32) for n in range(1, 7)}
    figure = effects_figure(pictures, 0.1)
    drawn = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title("left") for axes in drawn] == list(pictures)
    for axes, picture in zip(drawn, pictures.values(), strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), picture)
        assert axes.images[0].get_clim() == (-79, 1)
        assert axes.get_xlim() == (0, 6)


def test_1d_features_have_a_line_each_on_one_scale() -> None:
    rng = np.random.default_rng(0)
    lines = {label: rng.standard_normal((2, 7)).astype(np.float32) for label in LABELS}
    drawn = feature_lines_figure(lines, ["energy", "zcr"], 0.25, "standard deviations")
    assert [axes.get_title(loc="left") for axes in drawn.axes] == LABELS
    assert len({axes.get_ylim() for axes in drawn.axes}) == 1
    for axes, features in zip(drawn.axes, lines.values(), strict=True):
        assert [line.get_label() for line in axes.lines] == ["energy", "zcr"]
        for line, values in zip(axes.lines, features, strict=True):
            np.testing.assert_array_equal(np.asarray(line.get_ydata()), values)
            np.testing.assert_allclose(np.asarray(line.get_xdata()), np.arange(7) * 0.25)


def test_filters_of_a_2d_network_are_tiled_with_low_rows_at_the_bottom() -> None:
    weights = np.arange(5 * 3 * 2, dtype=np.float32).reshape(5, 3, 2) - 7
    image = filters_figure(weights, "some title").axes[0].images[0]
    picture = np.ma.filled(np.asarray(image.get_array(), dtype=np.float32), np.nan)
    found = picture[np.isfinite(picture)]
    assert sorted(found) == sorted(weights.ravel()), "every weight is there once"
    np.testing.assert_array_equal(picture[1:4, :2], weights[0, ::-1])
    assert image.get_clim() == (-22, 22)


def test_filters_of_a_1d_network_are_rows() -> None:
    weights = np.array([[0.5, -2.0, 1.0], [0.0, 1.0, 0.25]], dtype=np.float32)
    axes = filters_figure(weights, "").axes[0]
    np.testing.assert_array_equal(np.asarray(axes.images[0].get_array()), weights)
    assert axes.images[0].get_clim() == (-2, 2)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("tap", "filter")


@pytest.mark.parametrize("lines", [False, True])
def test_saliency_is_the_size_of_the_gradient_as_a_share_of_its_largest(lines: bool) -> None:
    features = np.arange(12, dtype=np.float32).reshape(2, 6)
    gradient = np.zeros((2, 6), dtype=np.float32)
    gradient[0, 1], gradient[1, 4] = -4, 1
    drawn = saliency_figure({"one": (features, gradient), "flat": (features, 0 * gradient)}, 0.5, lines)
    one, right, flat, empty = drawn.axes[:4]
    assert (one.get_title(loc="left"), flat.get_title(loc="left")) == ("one", "flat")

    def shown(axes: Axes) -> NDArray[np.float32]:
        return np.array([line.get_ydata() for line in axes.lines]) if lines else np.asarray(axes.images[0].get_array())

    np.testing.assert_array_equal(shown(one), features)
    np.testing.assert_array_equal(shown(right), np.abs(gradient) / 4)
    np.testing.assert_array_equal(shown(empty), 0 * gradient)


def under(family: str, value: float | None, unit: str, uar: float) -> dict[str, Any]:
    name = f"{family}, {value} {unit}"
    bounds = {"uar": [uar - 0.1, uar + 0.05]}
    return {"family": family, "value": value, "unit": unit, "name": name, "uar": uar, "intervals": bounds}


CLEAN = {"family": "clean", "value": None, "unit": "", "name": "clean", "intervals": {"uar": [0.0, 1.0]}}

ONE = [
    {**CLEAN, "uar": 0.7},
    under("noise", 20, "dB SNR", 0.6),
    under("noise", 0, "dB SNR", 0.3),
    under("telephone", None, "300 to 3,400 Hz", 0.5),
    under("gain", -20, "dB", 0.65),
    under("gain", 20, "dB", 0.62),
]
OTHER = [{**CLEAN, "uar": 0.68}, *(under(*(told[key] for key in ("family", "value", "unit")), 0.6) for told in ONE[2:])]


def test_robustness_has_a_panel_a_family_with_a_line_a_checkpoint() -> None:
    panels = robustness_figure({"plain": ONE, "augmented": OTHER}, 0.25).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["noise", "telephone", "gain"]
    assert [axes.get_xlabel() for axes in panels] == ["dB SNR", "300 to 3,400 Hz", "dB"]
    ticks = [[label.get_text() for label in axes.get_xticklabels()] for axes in panels]
    assert ticks == [["20", "0"], [""], ["-20", "20"]]
    assert all(axes.get_shared_y_axes().joined(axes, panels[0]) for axes in panels)
    for axes in panels:
        family = axes.get_title(loc="left")
        first, clean, second, other_clean, chance = axes.lines
        for line, dotted, conditions in ((first, clean, ONE), (second, other_clean, OTHER)):
            told = [condition for condition in conditions if condition["family"] == family]
            assert list(np.asarray(line.get_ydata())) == [condition["uar"] for condition in told]
            assert set(np.asarray(dotted.get_ydata())) == {conditions[0]["uar"]}
            assert dotted.get_linestyle() == ":"
            assert line.get_color() == dotted.get_color()
            assert (line.get_linewidth() == 0) == (family == "gain"), "a line would pass by 0 dB, which is clean"
        assert first.get_color() != second.get_color()
        assert set(np.asarray(chance.get_ydata())) == {0.25}
        own, others = (artist for artist in axes.collections if isinstance(artist, LineCollection))
        for line, intervals in ((first, own), (second, others)):
            ends = [np.asarray(segment) for segment in intervals.get_segments()]
            np.testing.assert_allclose([segment[0, 0] for segment in ends], np.asarray(line.get_xdata()))
            np.testing.assert_allclose([segment[0, 1] for segment in ends], np.asarray(line.get_ydata()) - 0.1)
            np.testing.assert_allclose([segment[1, 1] for segment in ends], np.asarray(line.get_ydata()) + 0.05)


def test_a_condition_that_a_checkpoint_lacks_leaves_a_gap_at_its_tick() -> None:
    noise = robustness_figure({"plain": ONE, "augmented": OTHER}, 0.25).axes[0]
    both, lacking = (noise.lines[place] for place in (0, 2))
    np.testing.assert_allclose(np.asarray(both.get_xdata()).round(), [0, 1])
    np.testing.assert_allclose(np.asarray(lacking.get_xdata()).round(), [1])
    last = robustness_figure({"augmented": OTHER, "plain": ONE}, 0.25).axes[0]
    assert [label.get_text() for label in last.get_xticklabels()] == ["20", "0"]


def test_robustness_names_the_checkpoints_and_can_be_saved() -> None:
    many = [{**CLEAN, "uar": 0.5}, *(under(f"family {i}", value, "dB", 0.4) for i in range(7) for value in (1, 2, 3))]
    drawn = robustness_figure({"costs $5": many, "b": many}, 0.2)
    (legend,) = drawn.legends
    assert [text.get_text() for text in legend.get_texts()] == [r"costs \$5", "b", "clean", "chance"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        file = io.BytesIO()
        drawn.savefig(file, format="png")
    assert file.getvalue().startswith(b"\x89PNG")
    rows = {round(axes.get_position().y0, 2) for axes in drawn.axes}
    assert (len(drawn.axes), len(rows)) == (7, 2)


FOREIGN = ["злость", "غضب", "愤怒"]


def test_labels_of_any_script_are_drawn_from_fonts_that_have_them_or_escaped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ser.results.figures, "_fonts", {})
    with rc_context({"font.family": "cmr10"}), warnings.catch_warnings():  # a font without these scripts
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", "Glyph")
        figure = confusion_figure(COUNTS, FOREIGN, FOREIGN[2])
        figure.savefig(io.BytesIO(), format="png")
        confusion_figure(COUNTS, FOREIGN, FOREIGN[2])
    written = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert written[:2] == FOREIGN[:2], "DejaVu Sans, which comes with matplotlib, has them"
    told = capsys.readouterr().err
    if ser.results.figures._fonts["CJK"] is None:
        assert written[2] == figure.axes[0].get_title() == "\\u6124\\u6012"
        assert told.startswith(
            "No installed font has the letters of '愤怒', so pictures have \\u6124\\u6012 in its place"
        )
        assert len(told.splitlines()) == 1
    else:
        assert written[2] == FOREIGN[2]


def test_letters_of_text_in_an_svg_are_left_to_its_reader() -> None:
    groups = {"sex": {"女": {"uar": 0.5, "clips": 3, "intervals": {"uar": (0.4, 0.6)}}}}
    with rc_context({"svg.fonttype": "none"}):
        (label,) = groups_figure(groups, 0.5).axes[0].get_yticklabels()
    assert label.get_text() == "女 (3 clips)"
