"""How fast is it on this device? ``python benchmarks/benchmark_device.py --device cuda --json device.json``.

Clips per second of noise as long as CREMA-D's clips: features from waveforms, with the share of the memory's speed that
they reach, and training with features computed on the fly or kept, augmented, through the whole Lightning stack and in
a bare torch loop, eager and compiled, in single precision and bfloat16. ``--profile`` adds how long the device waits.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import gettempdir
from typing import Any

import torch
from _common import LABELS, LONGEST, Stopwatch, clips_of, recordings, seconds_of, training_step
from lightning import Trainer
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

from ser.augment import Augment
from ser.commands.cli import command_parser
from ser.config import compose_words, network_settings
from ser.data.splits import Split
from ser.datamodule import EmotionDataModule
from ser.errors import Screen
from ser.features import FeatureConfig, Frontend
from ser.models import NETWORKS, EmotionNetwork
from ser.train import resolve_precision
from ser.training.callbacks import EpochSeed

RECIPES = {"paper2d": ["features=mel", "augment=light"], "cnn1d": ["features=energy_zcr", "augment=none"]}
"""Network → the words of train.py that train it. Augmentation is for features with rows."""

EPOCHS = 3

console = Screen()


@dataclass(frozen=True)
class Speed:
    """The speed of one way.

    Attributes:
        part: What was done.
        way: How it was done.
        clips_per_second: Median of the rounds.
        note: Any remark.
    """

    part: str
    way: str
    clips_per_second: float
    note: str = ""


def features(clips: int, device: torch.device, rounds: int) -> Iterator[Speed]:
    """Measure features of a batch that is already on the device."""
    rng = torch.Generator().manual_seed(0)
    waveforms = (0.1 * torch.randn(min(clips, 1024), LONGEST, generator=rng)).to(device)
    lengths = torch.full((len(waveforms),), LONGEST, device=device)
    copied = torch.empty_like(waveforms)
    copy = median(seconds_of(lambda: copied.copy_(waveforms), device) for _ in range(rounds + 2))
    speed = 2 * waveforms.nbytes / copy
    for names in (["mel"], ["energy", "zcr"], ["mfcc", "rolloff", "energy", "zcr"]):
        frontend = Frontend(FeatureConfig(names=names, n_mfcc=20), LONGEST).to(device)
        with torch.inference_mode():
            out = frontend.extract(waveforms, lengths)
            taken = median(seconds_of(lambda: frontend.extract(waveforms, lengths), device) for _ in range(rounds))  # noqa: B023
        share = (waveforms.nbytes + out.nbytes) / taken / speed
        note = f"{share:.1%} of the {speed / 1e9:,.0f} GB/s that a copy reaches, counting what must be read and written"
        yield Speed("features", "_".join(names), len(waveforms) / taken, note)


def training(clips: int, device: torch.device, rounds: int) -> Iterator[Speed]:
    """Measure epochs of each recipe, and of a bare loop over the same batches."""
    sounds = recordings(clips)
    listed = clips_of(sounds.found)
    held = max(len(LABELS), clips // 20)
    split = Split(listed[2 * held :], listed[:held], listed[held : 2 * held])
    for model, words in RECIPES.items():
        cfg = compose_words([f"model={model}", *words, "model.schedule=constant"])
        for keep in (False, True):
            data = EmotionDataModule(
                split, FeatureConfig(**cfg["features"]),
                Augment(cfg["features"]["sample_rate"], **cfg["augment"]), device=device,
                keep_features=keep, recordings=sounds, batch_size=128,
            )  # fmt: skip
            data.setup()
            source = "kept features" if keep else "on the fly"

            def network(data: EmotionDataModule = data, cfg: dict[str, Any] = cfg) -> EmotionNetwork:
                return NETWORKS[cfg["model"]["name"]](data.input_shape, len(LABELS), **network_settings(cfg))

            for compiled in (False, True):
                for precision in ("32-true", "bf16-mixed"):
                    if precision == "bf16-mixed" and resolve_precision("auto", device.type) != precision:
                        continue
                    way = f"{source}, {'compiled' if compiled else 'eager'}, {precision}"
                    own = through_lightning(network(), data, precision, compiled, rounds)
                    bare = bare_loop(network(), data, precision, compiled, rounds)
                    yield Speed(f"train {model}", way, own, f"{own / bare:.2f} of a bare loop's {bare:,.0f}")


def through_lightning(
    network: EmotionNetwork, data: EmotionDataModule, precision: Any, compiled: bool, rounds: int
) -> float:
    """Return training clips per second, by the median epoch after the first."""
    if compiled:
        network.compile()
    watch = Stopwatch()
    trainer = Trainer(
        accelerator="cpu" if data.device.type == "cpu" else "auto", devices=1, max_epochs=rounds + 1,
        precision=precision, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, limit_val_batches=0, callbacks=[watch, EpochSeed(0)],
        default_root_dir=gettempdir(),
    )  # fmt: skip
    trainer.fit(network, datamodule=data)
    return len(data.side("train")) / median(watch.taken[1:])


def bare_loop(network: EmotionNetwork, data: EmotionDataModule, precision: str, compiled: bool, rounds: int) -> float:
    """Return clips per second of a loop over the data module's batches, without Lightning and metrics."""
    network = network.to(data.device).train()
    if compiled:
        network.compile()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)
    count = len(data.side("train"))

    def epoch() -> None:
        for clips in torch.randperm(count).split(data.batch_size):
            batch = data.make_batch(clips.to(data.device), training=True)
            training_step(network, batch, optimizer, half=precision == "bf16-mixed")

    epoch()
    return count / median(seconds_of(epoch, data.device) for _ in range(rounds))


def idle(clips: int, device: torch.device) -> str:
    """Profile training ``paper2d`` on the fly, and return the share of the time in which the device was idle.

    Time in which several kernels ran counts once.
    """
    sounds = recordings(clips)
    listed = clips_of(sounds.found)
    split = Split(listed[12:], listed[:6], listed[6:12])
    data = EmotionDataModule(split, FeatureConfig(), device=device, keep_features=False, recordings=sounds)
    data.setup()
    network = NETWORKS["paper2d"](data.input_shape, len(LABELS))
    precision = resolve_precision("auto", device.type)
    bare_loop(network, data, precision, compiled=False, rounds=1)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        bare_loop(network, data, precision, compiled=False, rounds=EPOCHS)
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
    )
    return f"the device waited {waiting(spans):.1%} of the time"


def waiting(spans: list[tuple[float, float]]) -> float:
    """Return the share of the time from first start to last end that no span covers; spans sorted by start."""
    end, covered = spans[0][0], 0.0
    for start, stop in spans:
        covered += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return 1 - covered / (end - spans[0][0])


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = command_parser(__doc__, "--device cuda --profile --json h200.json")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument("--clips", type=int, default=7442, help="as many as CREMA-D has by default")
    parser.add_argument("--rounds", type=int, default=5, help="of each")
    parser.add_argument("--profile", action="store_true", help="also measure how long the device waits; only for CUDA")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the speeds")
    options = parser.parse_args()
    if options.clips < 60 or options.rounds < 1:
        parser.error(f"--clips={options.clips} must be 60 or more, and --rounds={options.rounds} 1 or more")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(options.device, False):
        have = ", ".join(name for name, found in there.items() if found)
        sys.exit(f"error: --device={options.device} is not there; this machine has {have}")
    if options.profile and options.device != "cuda":
        sys.exit("error: --profile is only for --device cuda")
    device = torch.device(options.device)
    name = torch.cuda.get_device_name() if options.device == "cuda" else f"{torch.get_num_threads()} CPU threads"
    console.print(f"{name}, torch {torch.__version__}", highlight=False)
    speeds = []
    for measure in (features, training):
        for speed in measure(options.clips, device, options.rounds):
            speeds.append(speed)
            console.print(f"{speed.part}, {speed.way}: {speed.clips_per_second:,.0f} clips/s", highlight=False)
    table = Table("part", "way", "clips/s", "")
    for speed in speeds:
        table.add_row(speed.part, speed.way, f"{speed.clips_per_second:,.0f}", speed.note)
    console.print(table)
    if options.profile:
        console.print(idle(options.clips, device))
    if options.json:
        kept = {"device": name, "torch": torch.__version__, "speeds": [asdict(speed) for speed in speeds]}
        options.json.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
