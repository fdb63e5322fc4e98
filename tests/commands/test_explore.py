import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ser.config import check_choices
from ser.train import load_data
from tests.helpers import composed

ROOT = Path(__file__).parents[2]


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts/explore.py", *words], capture_output=True, text=True, check=False
    )


@pytest.fixture
def mine(tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    for emotion in ("happy", "sad"):
        for i in range(8):
            write_wav(f"mine/{emotion}/{i}.wav", 0.5 + 0.1 * i, seed=i + (10 if emotion == "sad" else 0))
    (tmp_path / "mine/sad/9.wav").write_bytes((tmp_path / "mine/happy/0.wav").read_bytes())
    return tmp_path / "mine"


def test_a_folder_is_told_and_drawn(mine: Path, tmp_path: Path) -> None:
    ran = run(
        "dataset=folder",
        f"dataset.root={mine}",
        "split.val=0.2",
        "--out",
        tmp_path / "out",
        "--clip",
        "sad",
        "--at",
        "10",
    )
    assert ran.returncode == 0, ran.stderr
    told = " ".join(ran.stdout.split())
    assert "17 clips, 0.00 hours, 0 speakers; the speaker of 17 clips is not known" in told
    assert "recordings with several labels: 1 happy/0.wav = sad/9.wav" in told
    assert "Speakers are not known" in told
    assert "place 10: sad/2.wav, sad" in told
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("clips.csv", "clip.wav", "labels.png", "lengths.png", "waveforms.png", "log_mel.png")
    }


def test_the_split_is_that_of_a_training_whatever_can_be_used(mine: Path, tmp_path: Path) -> None:
    (mine / "sad/8.wav").write_text("no sound")
    ran = run("dataset=folder", f"dataset.root={mine}", "split.val=0.2", "--out", tmp_path / "out")
    assert ran.returncode == 0, ran.stderr
    config = check_choices(composed("dataset=folder", f"dataset.root={mine}", "split.val=0.2"))
    data, _ = load_data(config, torch.device("cpu"))
    sizes = ", ".join(f"{len(data.side(side))} {side}" for side in ("train", "val", "test"))
    assert f"split=stratified ({data.split.hash}): {sizes}" in " ".join(ran.stdout.split())


def test_a_split_that_is_not_possible_ends_nothing(mine: Path, tmp_path: Path) -> None:
    ran = run("dataset=folder", f"dataset.root={mine}", "split=speaker", "--out", tmp_path / "out")
    assert ran.returncode == 0, ran.stderr
    assert "split=speaker is not possible" in ran.stdout


def test_a_corpus_that_is_not_there_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    ran = run("dataset=folder", f"dataset.root={tmp_path / 'nowhere'}")
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: folder is not at")


def test_a_corpus_without_a_usable_clip_is_an_error_and_all_else_is_told(mine: Path, tmp_path: Path) -> None:
    for path in mine.rglob("*.wav"):
        path.write_text("no sound")
    ran = run("dataset=folder", f"dataset.root={mine}", "--out", tmp_path / "out")
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: no usable clip of happy, sad: 17 clips can't be used, such as ")
    assert "17 clips can't be used (8 happy, 9 sad), such as" in ran.stdout
    assert "test speakers were seen" not in ran.stdout
    assert (tmp_path / "out/clips.csv").is_file()


def test_a_class_without_a_usable_clip_is_an_error_unless_it_is_dropped(mine: Path, tmp_path: Path) -> None:
    for name in ("anger", "calm"):
        (mine / name).mkdir()
    (mine / "anger/1.m4a").write_text("no sound")
    words = ("--out", tmp_path / "out", "dataset=folder", f"dataset.root={mine}", "split.val=0.2")
    ran = run(*words)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: no usable clip of anger, calm: 2 clips can't be used")
    assert run(*words, "labels.drop=[anger,calm]").returncode == 0
