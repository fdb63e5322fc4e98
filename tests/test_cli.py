"""The command itself, in processes of its own: few, for each costs a dozen seconds."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ser.corpora import Clip
from ser.corpora.crema_d import REPOSITORY

TRAIN = Path(__file__).parents[1] / "train.py"


def train(folder: Path, *overrides: str) -> "subprocess.CompletedProcess[str]":
    """``python train.py``, from a folder that is not the repository."""
    environment = {name: value for name, value in os.environ.items() if name not in ("SER_DATA", "HYDRA_FULL_ERROR")}
    return subprocess.run(
        [sys.executable, str(TRAIN), *overrides],
        cwd=folder,
        env=environment | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("features", "model"), [("energy", "cnn1d"), ("mel", "paper2d")])
def test_a_short_run_on_real_clips_leaves_its_run_folder(
    real_clips: list[Clip], tmp_path: Path, features: str, model: str
) -> None:
    overrides = [
        "dataset=crema_d",
        f"dataset.root={real_clips[0].path.parent}",
        f"features={features}",
        f"model={model}",
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=2",
        "trainer.enable_progress_bar=false",
        f"hydra.run.dir={tmp_path}/run",
    ]
    done = train(tmp_path, *overrides)
    assert done.returncode == 0, done.stderr
    told = results(tmp_path / "run")
    assert told["dataset"]["clips"] == len(real_clips)
    assert told["dataset"]["speakers"] == 91
    assert (told["features"], told["model"]) == (features, model)
    assert told["confusion_matrix"]["labels"] == ["anger", "disgust", "fear", "happy", "neutral", "sad"]
    assert told["command"] == ["python", "train.py", *[o for o in overrides if not o.startswith("hydra.")]]
    assert f"{told['test']['accuracy']:.4f}" in done.stdout
    left = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*")}
    assert left >= {
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "predictions.csv",
        "confusion_matrix.png",
        "config.yaml",
        ".hydra/overrides.yaml",
    }
    assert {path.name for path in tmp_path.iterdir()} == {"run"}, "nothing is left elsewhere"


def test_a_sweep_over_seeds_leaves_a_folder_for_each(write_wav: Callable[..., Path], tmp_path: Path) -> None:
    for i in range(24):
        write_wav(f"clips/{('happy', 'sad')[i % 2]}/{i}.wav", 0.4, seed=i)
    overrides = [
        "dataset=folder",
        f"dataset.root={tmp_path}/clips",
        "split.val=0.2",
        "features=zcr",
        "features.hop_length=100",
        "model=cnn1d",
        "seed=1,2",
        "trainer.max_epochs=1",
        "trainer.enable_progress_bar=false",
        f"hydra.sweep.dir={tmp_path}/sweep",
    ]
    done = train(tmp_path, "-m", *overrides)
    assert done.returncode == 0, done.stderr
    folders = sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir())
    assert folders == ["0", "1"]
    told = [results(tmp_path / "sweep" / name) for name in folders]
    assert [one["seed"] for one in told] == [1, 2]
    assert all(f"seed={one['seed']}" in one["command"] for one in told)
    assert told[0]["test"]["loss"] != told[1]["test"]["loss"]


def test_a_sweep_that_matches_nothing_is_an_error_that_says_so(tmp_path: Path) -> None:
    done = train(tmp_path, "-m", "report=glob(nothing*)", f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode != 0
    assert "report=glob(nothing*)" in done.stderr
    assert "has no jobs" in done.stderr


def test_without_the_corpus_the_command_says_where_it_looked_and_what_trains_without_it(tmp_path: Path) -> None:
    done = train(tmp_path, "dataset=crema_d", f"hydra.run.dir={tmp_path}/run")
    assert done.returncode != 0
    for words in (str(Path("data") / "crema_d"), "$SER_DATA/crema_d", "dataset.root=", REPOSITORY):
        assert words in done.stderr
    assert "python train.py dataset=demo" in done.stderr
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_a_list_of_splits_ends_the_command_with_the_sweep_to_type_instead(tmp_path: Path) -> None:
    done = train(tmp_path, "split=[speaker,stratified]", f"hydra.run.dir={tmp_path}/run")
    assert done.returncode != 0
    assert "error: split=[speaker,stratified]: split= takes one choice" in done.stderr
    assert "-m split=speaker,stratified" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "metrics.json").exists()
