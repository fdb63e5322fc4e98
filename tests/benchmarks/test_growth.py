"""That what is drawn and told is what was measured; not how fast anything is."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import growth
from benchmarks.growth import Cost, figure_of, main, measure
from ser.errors import UserError


def test_cost_of_a_corpus_is_measured(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(4):
        soundfile.write(tmp_path / f"{number}.wav", 0.1 * rng.standard_normal(40_000), 16_000)
    cost = measure(tmp_path, 80, 2.5)
    assert (cost.clips, cost.seconds) == (80, 2.5)
    assert cost.prepare > 0
    assert cost.step > 0
    assert cost.memory >= 0


def test_cost_is_told_by_the_second_of_sound() -> None:
    first = Cost(100, 2.0, 3.0, 0.5, 1000)
    assert first.relative(first) == (1, 1, 1)
    assert Cost(800, 2.0, 24.0, 0.5, 8000).relative(first) == (1, 1, 1)
    assert Cost(100, 8.0, 12.0, 2.0, 2000).relative(first) == (1, 1, 0.5)
    assert Cost(200, 2.0, 12.0, 1.0, 6000).relative(first) == (2, 2, 3)


def test_a_process_of_its_own_measures_the_same() -> None:
    cost = growth._in_a_process(60, 2.2)
    assert (cost.clips, cost.seconds) == (60, 2.2)
    assert cost.prepare > 0
    with pytest.raises(UserError, match="ended with status"):
        growth._in_a_process(60, 0.01)


def test_table_json_and_figure_hold_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--clips", "400", "--json", str(tmp_path / "growth.json"), "--figure", str(tmp_path / "growth.png")]
    monkeypatch.setattr(growth, "_in_a_process", lambda clips, seconds: Cost(clips, seconds, 0.01 * clips, 0.5, 7e6))
    monkeypatch.setattr(sys, "argv", ["growth.py", *words])
    main()
    kept = json.loads((tmp_path / "growth.json").read_text())
    assert [cost["clips"] for cost in kept["more_clips"]] == [400, 800, 1600, 3200]
    assert [(cost["clips"], cost["seconds"]) for cost in kept["longer_clips"]] == [(400, 2.5), (400, 5), (400, 10)]
    assert (tmp_path / "growth.png").stat().st_size > 5000
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "3,200" in line]
    assert [cell.strip() for cell in line.split("│")[1:-1]] == [
        *("3,200", "2.5", "32.0", "500", "7"),
        *("1.00", "1.00", "0.12"),
    ]


def test_figure_has_the_costs_of_both() -> None:
    costs = [Cost(100 * times, 2.0, 3.0 * times, 0.5, 1000 * times) for times in growth.MORE_CLIPS]
    longer = [Cost(100, 2.0 * times, 6.0 * times, 0.5 * times, 1000 * times) for times in growth.LONGER_CLIPS]
    figure = figure_of(costs, longer)
    left, right = figure.axes
    assert [list(line.get_ydata()) for line in left.lines[:3]] == [[1, 1, 1, 1]] * 3
    assert list(right.lines[0].get_ydata()) == [1, 1, 1]


def test_too_few_clips_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["growth.py", "--clips", "10"])
    with pytest.raises(SystemExit):
        main()
    assert "--clips=10: 400 or more" in capsys.readouterr().err
