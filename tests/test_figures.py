import io
import warnings
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from ser.figures import confusion_figure, groups_figure

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
