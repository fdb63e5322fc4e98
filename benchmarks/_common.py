"""What several benchmarks need: noise as long as the clips of CREMA-D, clocks, and a training step."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from ser.data.audio import Recording
from ser.data.bank import WaveformBank
from ser.data.corpora import Clip
from ser.models import Batch, EmotionNetwork

RATE = 16_000
"""Samples per second of CREMA-D's clips."""

LONGEST = 80_080
"""Samples of CREMA-D's longest clip, and so of a padded batch."""

LABELS = ["anger", "disgust", "fear", "happy", "neutral", "sad"]
"""CREMA-D's emotions."""

CPU = torch.device("cpu")


def lengths_of(count: int) -> Tensor:
    """Draw samples of clips as long as CREMA-D's, 2.5 s on average, ``(clip,)``; the first is its longest."""
    seconds = (2.54 + 0.5 * torch.randn(count, generator=torch.Generator().manual_seed(0))).clamp(1.3, LONGEST / RATE)
    lengths = (seconds * RATE).long()
    lengths[0] = LONGEST
    return lengths


def noise(count: int) -> tuple[Tensor, Tensor]:
    """Make noise of the lengths that CREMA-D's clips have, zero-padded: ``(clip, time)`` and lengths ``(clip,)``."""
    lengths = lengths_of(count)
    waveforms = 0.1 * torch.randn(count, LONGEST, generator=torch.Generator().manual_seed(1))
    return waveforms * (torch.arange(LONGEST) < lengths[:, None]), lengths


def recordings(count: int) -> WaveformBank:
    """Make a bank of recordings of noise, 16-bit, of the lengths that CREMA-D's clips have."""
    generator = torch.Generator().manual_seed(1)
    drawn = (torch.randint(-3000, 3000, (n,), generator=generator) for n in lengths_of(count).tolist())
    sounds = [sound.short().numpy() for sound in drawn]
    found = {f"{i:06}": Recording(sound, seconds=len(sound) / RATE) for i, sound in enumerate(sounds)}
    return WaveformBank.of(sounds, found)


def clips_of(names: Iterable[str]) -> list[Clip]:
    """Make clips of these names that show ``LABELS`` in turn."""
    return [Clip(name, Path(name), LABELS[i % len(LABELS)]) for i, name in enumerate(names)]


def wait_for(device: torch.device) -> None:
    """Wait until all work that was given to a device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def seconds_of(work: Callable[[], object], device: torch.device = CPU) -> float:
    """Return the seconds of ``work``, its end on the device included, or the seconds that it returns itself."""
    wait_for(device)
    start = time.perf_counter()
    own = work()
    wait_for(device)
    return own if isinstance(own, float) else time.perf_counter() - start


class Stopwatch(Callback):
    """Times every training epoch, its validation included.

    Attributes:
        taken: Seconds of each epoch.
    """

    def __init__(self) -> None:
        self.taken: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock of this epoch."""
        wait_for(pl_module.device)
        self.began = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop the clock and keep the seconds."""
        wait_for(pl_module.device)
        self.taken.append(time.perf_counter() - self.began)


def training_step(network: EmotionNetwork, batch: Batch, optimizer: torch.optim.Optimizer, half: bool = False) -> None:
    """Take one step, as training does, except for its logs and schedules; ``half`` computes the network in bfloat16."""
    with torch.autocast(batch.inputs.device.type, torch.bfloat16, enabled=half):
        loss = network.loss(batch)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
