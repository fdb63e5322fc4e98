import io
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure

from ser.figures import confusion_figure

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
