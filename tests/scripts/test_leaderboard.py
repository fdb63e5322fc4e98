import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.leaderboard import COLUMNS, PUBLISHED, find_runs, gather, markdown, table

ROOT = Path(__file__).parents[2]


def metrics(seed: int, accuracy: float, row: str | None = "energy", split: str = "stratified", **more: Any) -> dict:
    predicted = more.pop("predicted", (60, 40))
    run = {
        "row": row,
        "dataset": {"name": "crema_d"},
        "split": {"name": split},
        "features": "energy",
        "model": "cnn1d",
        "seed": seed,
        "test": {"accuracy": accuracy, "macro_f1": 0.3, "weighted_f1": 0.31, "uar": 0.32},
        "classes": {name: {"predicted": count} for name, count in zip(("anger", "sad"), predicted, strict=True)},
        "file": f"{row}/{split}/{seed}",
        "command": ["python", "train.py", f"report={row}", f"seed={seed}", f"split={split}"],
    }
    return {**run, **more}


def cells(runs: list[dict]) -> list[dict[str, str]]:
    (rows,) = gather(runs).values()
    return [dict(zip(COLUMNS, line, strict=True)) for line in table("crema_d", rows)]


def test_seeds_make_one_row_with_mean_and_sample_deviation() -> None:
    first, *humans = cells([metrics(1, 0.40), metrics(2, 0.44), metrics(3, 0.48)])
    assert first["accuracy"] == "0.440 ± 0.040"
    assert first["macro F1"] == "0.300 ± 0.000"
    assert first["remarks"] == "3 seeds"
    assert [row["accuracy"] for row in humans] == ["0.400", "0.446"]


def test_speaker_split_stands_beside() -> None:
    first, *_ = cells([metrics(1, 0.40), metrics(1, 0.35, split="speaker")])
    assert (first["accuracy"], first["speakers apart: accuracy"]) == ("0.400", "0.350")


def test_reports_figures_stand_beside_and_rows_follow_its_order() -> None:
    rows = cells([metrics(1, 0.4, row="zcr", features="zcr"), metrics(1, 0.4), metrics(1, 0.5, row=None)])
    assert [row["run"] for row in rows[:3]] == [
        "energy → cnn1d",
        "zcr → cnn1d",
        "energy → cnn1d, this project's defaults",
    ]
    assert rows[0]["report: accuracy / macro F1 / weighted F1"] == "0.449 / 0.436 / 0.437"
    assert rows[2]["report: accuracy / macro F1 / weighted F1"] == "–"


def test_another_recipe_is_another_row_and_not_the_reports() -> None:
    command = ["python", "train.py", "report=energy", "seed=1", "trainer.max_epochs=5"]
    rows = cells([metrics(1, 0.4), metrics(1, 0.5, command=command)])
    assert [row["accuracy"] for row in rows[:2]] == ["0.400", "0.500"]
    assert "trainer.max_epochs=5" in rows[1]["run"]
    assert rows[1]["report: accuracy / macro F1 / weighted F1"] == "–"


def test_constant_answers_are_told() -> None:
    first, *_ = cells([metrics(1, 0.17, predicted=(100, 0)), metrics(2, 0.4)])
    assert "one answer for every clip on seed 1" in first["remarks"]


def test_the_same_run_twice_is_refused() -> None:
    with pytest.raises(SystemExit, match="two runs"):
        gather([metrics(1, 0.4), metrics(1, 0.41)])


def test_no_runs_and_broken_runs_are_errors(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no metrics\.json"):
        find_runs([tmp_path])
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(SystemExit, match="not a run"):
        find_runs([tmp_path])


def test_script_prints_and_writes_both_tables(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0/metrics.json").write_text(json.dumps(metrics(1, 0.4)))
    ran = subprocess.run(
        [sys.executable, ROOT / "scripts/leaderboard.py", tmp_path], capture_output=True, text=True, check=True
    )
    assert "0.400" in ran.stdout
    assert "| energy → cnn1d | 0.449 / 0.436 / 0.437 | 0.400 |" in (tmp_path / "leaderboard.md").read_text()
    assert (tmp_path / "leaderboard.csv").read_text().splitlines()[1].startswith("crema_d,energy → cnn1d,")


def test_readme_shows_the_table_of_the_committed_results() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.split("<!-- table -->")[1].split("<!-- end of table -->")[0].strip()
    assert shown == markdown(gather(find_runs([ROOT / "docs/results"]))).strip()


def test_every_row_of_the_report_is_a_choice() -> None:
    assert {path.stem for path in (ROOT / "conf/report").glob("*.yaml")} == set(PUBLISHED)
