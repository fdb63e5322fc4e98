import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from ser.evaluation import Answers, compare, write_answers

ROOT = Path(__file__).parents[2]


def answers(right: float, clips: int = 60) -> Answers:
    rng = np.random.default_rng(int(100 * right))
    true = np.arange(clips) % 2
    predicted = np.where(rng.random(clips) < right, true, 1 - true)
    speakers = [str(i % 10) for i in range(clips)]
    return Answers(
        ["calm", "sad"], [f"clip {i}" for i in range(clips)], true, np.eye(2)[predicted], {"speaker": speakers}
    )


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts/compare.py", *words], capture_output=True, text=True, check=False
    )


def test_the_table_and_the_json_hold_what_compare_finds(tmp_path: Path) -> None:
    for name, right in (("a", 0.5), ("b", 0.95)):
        (tmp_path / name).mkdir()
        write_answers(tmp_path / name / "predictions.csv", answers(right))
    ran = run(tmp_path / "a", tmp_path / "b", "--json", tmp_path / "found.json")
    expected = compare(answers(0.5), answers(0.95))
    assert json.loads((tmp_path / "found.json").read_text()) == expected
    assert f"{expected['accuracy']['difference']:+.4f}" in ran.stdout
    assert "over 10 speakers" in ran.stdout


def test_runs_on_other_clips_are_refused(tmp_path: Path) -> None:
    for name, clips in (("a", 60), ("b", 50)):
        (tmp_path / name).mkdir()
        write_answers(tmp_path / name / "predictions.csv", answers(0.5, clips))
    ran = run(tmp_path / "a", tmp_path / "b")
    assert ran.returncode == 1
    assert "different clips, 10 only by the first" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_folder_without_predictions_is_named(tmp_path: Path) -> None:
    ran = run(tmp_path, tmp_path)
    assert ran.returncode == 1
    assert str(tmp_path / "predictions.csv") in ran.stderr
