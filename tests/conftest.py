"""Synthetic sound, tiny corpora and, where ``SER_TEST_DATA`` offers them, real clips."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ser.data.corpora import Clip
from ser.data.corpora.crema_d import read as read_crema_d

RATE = 16_000

# Test files run side by side, on tensors so small that more threads would only wait for one another.
if "OMP_NUM_THREADS" not in os.environ:
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start


# A shell lets what it starts in the background ignore Ctrl-C, which some tests send to themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def real_clips() -> list[Clip]:
    """Real clips of CREMA-D, all 91 actors; skips where there are none."""
    root = os.environ.get("SER_TEST_DATA")
    if not root or not (Path(root) / "crema_d_mini").is_dir():
        pytest.skip("no real clips: set SER_TEST_DATA to a folder that holds crema_d_mini")
    return read_crema_d(Path(root) / "crema_d_mini")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 42 short noisy tones in three emotions, which differ in pitch."""
    root = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    for emotion, pitch in {"anger": 900, "happy": 500, "sad": 200}.items():
        (root / emotion).mkdir()
        for take in range(14):
            time = np.arange(int(rng.uniform(0.3, 0.5) * RATE)) / RATE
            tone = 0.3 * np.sin(2 * np.pi * pitch * rng.uniform(0.6, 1.6) * time)
            soundfile.write(root / emotion / f"{take:02}.wav", tone + 0.1 * rng.standard_normal(len(time)), RATE)
    return root


@pytest.fixture
def write_wav(tmp_path: Path) -> Callable[..., Path]:
    """``write_wav(name, seconds=1.0, rate=16000, seed=0, **soundfile_options)`` → the path of a noisy tone."""

    def write(name: str, seconds: float = 1.0, rate: int = RATE, seed: int = 0, **options: str) -> Path:
        rng = np.random.default_rng(seed)
        time = np.arange(round(seconds * rate)) / rate
        sound = 0.3 * np.sin(2 * np.pi * (150 + 50 * seed) * time) + 0.05 * rng.standard_normal(len(time))
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound, rate, **options)
        return path

    return write
