"""How fast is it on this device? ``python benchmarks/benchmark_device.py --device cuda --json device.json``.

Clips per second of noise as long as CREMA-D's clips: features from waveforms, with the share of the memory's speed that
they reach, and training with features computed on the fly or kept, augmented, through the whole Lightning stack and in
a bare torch loop, eager and compiled, in single precision and bfloat16. ``--profile`` adds how long the device waits.
"""

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import Any

import _common as common
import torch
from torch.profiler import ProfilerActivity, profile

from ser.commands.cli import command_parser
from ser.config import compose_words
from ser.data.splits import Split
from ser.datamodule import EmotionDataModule
from ser.features import FeatureConfig, Frontend
from ser.models import EmotionNetwork
from ser.train import resolve_precision

RECIPES = {"paper2d": ["features=mel", "augment=light"], "cnn1d": ["features=energy_zcr", "augment=none"]}
"""Network → the words of train.py that train it. Augmentation is for features with rows."""

EPOCHS = 3


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
    waveforms = (0.1 * torch.randn(min(clips, 1024), common.LONGEST, generator=rng)).to(device)
    lengths = torch.full((len(waveforms),), common.LONGEST, device=device)
    copied = torch.empty_like(waveforms)
    copy = median(common.seconds_of(lambda: copied.copy_(waveforms), device) for _ in range(rounds + 2))
    speed = 2 * waveforms.nbytes / copy
    for names in (["mel"], ["energy", "zcr"], ["mfcc", "rolloff", "energy", "zcr"]):
        frontend = Frontend(FeatureConfig(names=names, n_mfcc=20), common.LONGEST).to(device)
        with torch.inference_mode():
            out = frontend.extract(waveforms, lengths)
            work = partial(frontend.extract, waveforms, lengths)
            taken = median(common.seconds_of(work, device) for _ in range(rounds))
        share = (waveforms.nbytes + out.nbytes) / taken / speed
        note = f"{share:.1%} of the {speed / 1e9:,.0f} GB/s that a copy reaches, counting what must be read and written"
        yield Speed("features", "_".join(names), len(waveforms) / taken, note)


def training(clips: int, device: torch.device, rounds: int) -> Iterator[Speed]:
    """Measure epochs of each recipe, and of a bare loop over the same batches."""
    sounds = common.recordings(clips)
    listed = common.clips_of(sounds.found)
    held = max(len(common.LABELS), clips // 20)
    split = Split(listed[2 * held :], listed[:held], listed[held : 2 * held])
    for model, words in RECIPES.items():
        cfg = compose_words([f"model={model}", *words, "model.schedule=constant"])
        for keep in (False, True):
            data = common.data_of(cfg, split, sounds, device, keep, 128)
            source = "kept features" if keep else "on the fly"

            def network(data: EmotionDataModule = data, cfg: dict[str, Any] = cfg) -> EmotionNetwork:
                return common.network_of(cfg, data.input_shape)

            for compiled in (False, True):
                for precision in ("32-true", "bf16-mixed"):
                    if precision == "bf16-mixed" and resolve_precision("auto", device.type) != precision:
                        continue
                    way = f"{source}, {'compiled' if compiled else 'eager'}, {precision}"
                    networks = network(), network()
                    if compiled:
                        for one in networks:
                            one.compile()
                    taken = common.lightning_epochs(networks[0], data, None, precision, rounds + 1)[1:]
                    own = len(data.side("train")) / median(taken)
                    bare = bare_loop(networks[1], data, precision, rounds)
                    yield Speed(f"train {model}", way, own, f"{own / bare:.2f} of a bare loop's {bare:,.0f}")


def bare_loop(network: EmotionNetwork, data: EmotionDataModule, precision: str, rounds: int) -> float:
    """Return clips per second of a loop over the data module's batches, without Lightning and metrics."""
    network = network.to(data.device).train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)
    count = len(data.side("train"))

    def epoch() -> None:
        for clips in torch.randperm(count).split(data.batch_size):
            batch = data.make_batch(clips.to(data.device), training=True)
            common.training_step(network, batch, optimizer, half=precision == "bf16-mixed")

    epoch()
    return count / median(common.seconds_of(epoch, data.device) for _ in range(rounds))


def idle(clips: int, device: torch.device) -> str:
    """Profile training ``paper2d`` on the fly, and return the share of the time in which the device was idle.

    Time in which several kernels ran counts once.
    """
    sounds = common.recordings(clips)
    listed = common.clips_of(sounds.found)
    split = Split(listed[12:], listed[:6], listed[6:12])
    cfg = compose_words(["model=paper2d", "features=mel", "augment=none"])
    data = common.data_of(cfg, split, sounds, device, False, 128)
    network = common.network_of(cfg, data.input_shape)
    precision = resolve_precision("auto", device.type)
    bare_loop(network, data, precision, rounds=1)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        bare_loop(network, data, precision, rounds=EPOCHS)
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
    common.add_device(parser)
    parser.add_argument("--clips", type=int, default=7442, help="as many as CREMA-D has by default")
    parser.add_argument("--profile", action="store_true", help="also measure how long the device waits; only for CUDA")
    options = common.parse(parser, 5, clips=60)
    device, name = common.device_of(options.device)
    if options.profile and options.device != "cuda":
        sys.exit("error: --profile is only for --device cuda")
    common.console.print(f"{name}, torch {torch.__version__}", highlight=False)
    speeds = []
    for measure in (features, training):
        for speed in measure(options.clips, device, options.rounds):
            speeds.append(speed)
            common.console.print(f"{speed.part}, {speed.way}: {speed.clips_per_second:,.0f} clips/s", highlight=False)
    heads = ("part", "way", "clips/s", "")
    rows = [(one.part, one.way, f"{one.clips_per_second:,.0f}", one.note) for one in speeds]
    held = {"device": name, "torch": torch.__version__, "speeds": [asdict(speed) for speed in speeds]}
    common.report(heads, rows, ("part", "way", ""), options.json, held)
    if options.profile:
        common.console.print(idle(options.clips, device))


if __name__ == "__main__":
    main()
