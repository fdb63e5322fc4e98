"""Examples in docstrings are run, in a folder with a run, a list of clips and two recordings."""

import doctest
import importlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import ser.results
from ser.train import run
from tests.helpers import LABELS, QUICK, SPLIT, composed, manifest

MODULES = (
    "ser.evaluation.calibration",
    "ser.data.corpora",
    "ser.features.transforms",
    "ser.features.voices",
    "ser.evaluation.metrics",
    "ser.recognizer",
    "ser.data.splits",
    "ser.inference.timeline",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``clips.csv``, ``clip.wav``, ``another.wav``, and ``outputs/RUN``, which was trained with voices."""
    root = tmp_path_factory.mktemp("examples")
    rng = np.random.default_rng(0)
    rows = []
    for emotion, pitch in zip(LABELS, (900, 500, 200), strict=True):
        for take in range(12):
            tone = 0.2 * np.sin(2 * np.pi * pitch * rng.uniform(0.8, 1.2) * np.arange(6400) / 16_000)
            name = f"{emotion}_{take:02}.wav"
            soundfile.write(root / name, tone + 0.05 * rng.standard_normal(len(tone)), 16_000)
            rows.append((name, emotion, f"p{take:02}"))
    path = manifest(root / "clips.csv", rows)
    shutil.copy(root / "anger_00.wav", root / "clip.wav")
    shutil.copy(root / "sad_00.wav", root / "another.wav")
    words = ("dataset=manifest", f"dataset.root={path}", *SPLIT, *QUICK, "features.normalize=speaker")
    with ser.results.console.capture():
        run(composed(*words, "trainer.max_epochs=1"), root / "outputs/RUN")
    return root


@pytest.mark.parametrize("module", MODULES)
def test_examples_are_true(module: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted
    assert found.failed == 0
