"""What several benchmarks need: options, noise as long as the clips of CREMA-D, clocks, trainings, and a table."""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import LambdaCallback
from torch import Tensor

from ser.augment import Augment
from ser.config import network_settings
from ser.data.audio import Recording
from ser.data.bank import WaveformBank
from ser.data.corpora import Clip
from ser.data.splits import Split
from ser.datamodule import EmotionDataModule
from ser.errors import Screen, table_of
from ser.features import FeatureConfig
from ser.files import write_json
from ser.models import NETWORKS, Batch, EmotionNetwork
from ser.training.callbacks import EpochSeed

RATE = 16_000
"""Samples per second of CREMA-D's clips."""

LONGEST = 80_080
"""Samples of CREMA-D's longest clip, and so of a padded batch."""

LABELS = ["anger", "disgust", "fear", "happy", "neutral", "sad"]
"""CREMA-D's emotions."""

CPU = torch.device("cpu")

console = Screen()


def parse(parser: argparse.ArgumentParser, rounds: int, **least: int) -> argparse.Namespace:
    """Add ``--rounds`` and ``--json``, and read the options.

    Args:
        parser: Parser of the other options.
        rounds: How many there are by default.
        least: Option → the smallest number that it takes, where another one than ``rounds`` has any.
    """
    parser.add_argument("--rounds", type=int, default=rounds, help="how often each is measured")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    options = parser.parse_args()
    for name, number in {**least, "rounds": 1}.items():
        if getattr(options, name) < number:
            parser.error(f"--{name}={getattr(options, name)} must be {number} or more")
    return options


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--device``, for ``device_of``."""
    parser.add_argument("--device", default="cpu", help="where it is measured: cpu, cuda or mps")


def device_of(name: str) -> tuple[torch.device, str]:
    """Return the device of that name and what it is, or end with what this machine has."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(name, False):
        sys.exit(
            f"error: --device={name} is not there; this machine has {', '.join(one for one in there if there[one])}"
        )
    kind = torch.cuda.get_device_name() if name == "cuda" else f"{torch.get_num_threads()} CPU threads"
    return torch.device(name), kind


def report(
    heads: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[str], file: Path | None, held: Any
) -> None:
    """Print a table, and write ``held`` as JSON to ``file`` if there is one."""
    console.print(table_of("", heads, rows, left))
    if file:
        write_json(file, held)


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


def data_of(
    cfg: dict[str, Any], split: Split, sounds: WaveformBank, device: torch.device, keep: bool, batch_size: int
) -> EmotionDataModule:
    """Set up the data module that composed choices make of sounds in memory, with ``keep`` for kept features."""
    features = FeatureConfig(**cfg["features"])
    data = EmotionDataModule(
        split, features, Augment(features.sample_rate, **cfg["augment"]), batch_size, device=device, keep_features=keep,
        recordings=sounds,
    )  # fmt: skip
    data.setup()
    return data


def network_of(cfg: dict[str, Any], shape: tuple[int, ...], classes: int = len(LABELS)) -> EmotionNetwork:
    """Build the network of composed choices for inputs of a ``shape``."""
    return NETWORKS[cfg["model"]["name"]](shape, classes, **network_settings(cfg))


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


def training_step(network: EmotionNetwork, batch: Batch, optimizer: torch.optim.Optimizer, half: bool = False) -> None:
    """Take one step, as training does, except for its logs and schedules; ``half`` computes the network in bfloat16."""
    with torch.autocast(batch.inputs.device.type, torch.bfloat16, enabled=half):
        loss = network.loss(batch)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def lightning_epochs(network: EmotionNetwork, train: Any, held: Any, precision: Any, epochs: int) -> list[float]:
    """Train through all of Lightning, and return the seconds of each epoch, its validation included.

    Args:
        network: The network.
        train: A loader of batches, or a data module.
        held: A loader of batches to validate on, or None.
        precision: Lightning's.
        epochs: How many.
    """
    ticks: list[float] = []

    def tick(_: Trainer, module: LightningModule) -> None:
        wait_for(module.device)
        ticks.append(time.perf_counter())

    watch = LambdaCallback(on_train_epoch_start=tick, on_train_epoch_end=tick)
    accelerator = "auto" if isinstance(train, EmotionDataModule) and train.device.type != "cpu" else "cpu"
    trainer = Trainer(
        accelerator=accelerator, devices=1, max_epochs=epochs, precision=precision, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        limit_val_batches=0 if held is None else None, callbacks=[watch, EpochSeed(0)], default_root_dir=gettempdir(),
    )  # fmt: skip
    trainer.fit(network, train, held)
    return [end - begin for begin, end in zip(ticks[::2], ticks[1::2], strict=True)]
