"""What tests of several modules begin from."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from ser.config import compose_words
from ser.data.splits import Split
from ser.files import LOCK
from ser.models import Batch, EmotionNetwork

LABELS = ["anger", "happy", "sad"]
"""What the clips of small corpora show."""

SPLIT = ("split=speaker", "split.test=0.4", "split.val=0.2")
"""So that few speakers fill three sides."""

QUICK = (
    "datamodule.batch_size=8",
    "features=energy_zcr",
    "features.hop_length=200",
    "features.frame_length=512",
    "model=cnn1d",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "figure_every_n_epochs=0",
    "logger=csv",
)
"""A network that learns short tones in seconds."""

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")),
]

TINY_WAV2VEC2: dict[str, Any] = {
    "extractor_mode": "group_norm",
    "extractor_conv_layer_config": [(8, 10, 5), (8, 3, 2), (8, 3, 2), (8, 3, 2), (8, 3, 2), (8, 2, 2), (8, 2, 2)],
    "extractor_conv_bias": False,
    "encoder_embed_dim": 16,
    "encoder_projection_dropout": 0.1,
    "encoder_pos_conv_kernel": 8,
    "encoder_pos_conv_groups": 2,
    "encoder_num_layers": 3,
    "encoder_num_heads": 2,
    "encoder_attention_dropout": 0.1,
    "encoder_ff_interm_features": 32,
    "encoder_ff_interm_dropout": 0.1,
    "encoder_dropout": 0.1,
    "encoder_layer_norm_first": False,
    "encoder_layer_drop": 0.05,
}
"""What torchaudio's wav2vec 2.0 is made from, in small."""


def composed(*words: str) -> dict[str, Any]:
    """What ``train.py`` would make of ``words``; a copy that the test may change."""
    choices: dict[str, Any] = json.loads(_composed(words))
    return choices


@cache
def _composed(words: Sequence[str]) -> str:
    return json.dumps(compose_words(words))


@contextmanager
def struck_down(epoch: int) -> Iterator[None]:
    """A training that ends in a crash as it comes to ``epoch``, the first being 0."""
    step = EmotionNetwork.training_step

    def struck(self: EmotionNetwork, batch: Batch) -> Tensor:
        if self.current_epoch == epoch:
            raise RuntimeError("no memory")
        return step(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmotionNetwork, "training_step", struck)
        with pytest.raises(RuntimeError, match="no memory"):
            yield


@contextmanager
def locked_elsewhere(folder: Path) -> Iterator[None]:
    """A run folder that another process is at work in."""
    folder.mkdir(parents=True, exist_ok=True)
    code = "import sys; from filelock import FileLock; held = FileLock(sys.argv[1]); held.acquire(); print(); input()"
    words = [sys.executable, "-u", "-c", code, str(folder / LOCK)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "\n"
        yield
        other.communicate("\n")


def manifest(path: Path, rows: Sequence[tuple[str, str, str]]) -> Path:
    """A list of clips at ``path``: file, emotion and speaker of each."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "emotion", "speaker"), *rows])
    return path


class Trained(NamedTuple):
    """A run that is over."""

    folder: Path
    results: dict[str, Any]
    split: Split

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoints" / "best.ckpt"
