"""People who can be told apart, and a network that has heard some of them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

import ser.results
from ser.data.corpora import read_corpora
from ser.data.splits import split_clips
from ser.train import run
from tests.helpers import LABELS, QUICK, SPLIT, Trained, composed, manifest


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The list of 36 short noisy tones of 12 people in three emotions, some longer than half a second."""
    root = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    rows = []
    for emotion, pitch in zip(LABELS, (900, 500, 200), strict=True):
        for take in range(12):
            time = np.arange(int(rng.uniform(0.3, 0.6) * 16_000)) / 16_000
            tone = 0.2 * np.sin(2 * np.pi * pitch * rng.uniform(0.6, 1.6) * time)
            name = f"{emotion}_{take:02}.wav"
            soundfile.write(root / name, tone + 0.05 * rng.standard_normal(len(time)), 16_000)
            rows.append((name, emotion, f"p{take:02}"))
    return manifest(root / "clips.csv", rows)


@pytest.fixture(scope="module")
def trained(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run of a few epochs."""
    folder = tmp_path_factory.mktemp("runs") / "plain"
    cfg = composed(
        "dataset=manifest",
        f"dataset.root={people}",
        *SPLIT,
        *QUICK,
        "trainer.max_epochs=3",
    )
    with ser.results.console.capture():
        results = run(cfg, folder)
    return Trained(folder, results, split_clips(read_corpora(cfg["dataset"]), **cfg["split"]))
