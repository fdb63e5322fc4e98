"""How cost grows with a corpus: ``python benchmarks/growth.py --figure growth.png``.

Each line is a process of its own, which decodes clips of noise, computes log-mel spectrograms, keeps them and trains
``paper2d`` for a few steps: more and more clips of 2.5 s, then longer and longer ones. Time (the processor's, which
other work changes little) and memory per second of sound stay the same if cost grows only with the sound.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from _common import RATE, console, report, training_step
from matplotlib.figure import Figure

from ser.commands.cli import command_parser, errors_in_words
from ser.data.bank import decode_clips
from ser.data.corpora import Clip
from ser.data.splits import Split
from ser.datamodule import EmotionDataModule
from ser.errors import UserError
from ser.features import FeatureConfig
from ser.models import NETWORKS

SECONDS = 2.5
"""Length of a clip, about that of CREMA-D's."""

MORE_CLIPS = (1, 2, 4, 8)
LONGER_CLIPS = (1, 2, 4)

BATCH = 32
STEPS = 4

FILES = 100
"""Files that are written; more clips read them again, since what the clips hold does not change the cost."""


@dataclass(frozen=True)
class Cost:
    """The cost of a corpus.

    Attributes:
        clips: Number of clips.
        seconds: Length of each clip.
        prepare: Processor seconds to decode the clips and to compute and keep their features.
        step: Processor seconds of a training step of ``BATCH`` clips.
        memory: Most bytes above those that the process had before.
    """

    clips: int
    seconds: float
    prepare: float
    step: float
    memory: float

    def relative(self, first: "Cost") -> tuple[float, float, float]:
        """Return ``prepare``, ``step`` and ``memory`` per second of sound, by those of ``first``."""
        sound, sound_before = self.clips * self.seconds, first.clips * first.seconds
        longer = self.seconds / first.seconds
        return (
            self.prepare / first.prepare / (sound / sound_before),
            self.step / first.step / longer,
            self.memory / first.memory / (sound / sound_before),
        )


def measure(folder: Path, clips: int, seconds: float) -> Cost:
    """Measure in this process, with the files of ``folder``."""
    paths = sorted(folder.glob("*.wav"))
    emotions = ("happy", "sad")
    listed = [Clip(f"{i:06}", paths[i % len(paths)], emotions[i // len(paths) % 2]) for i in range(clips)]
    held = clips // 10
    split = Split(listed[2 * held :], listed[:held], listed[held : 2 * held])
    torch.nn.functional.conv2d(torch.rand(1, 1, 9, 9), torch.rand(1, 1, 3, 3))  # what torch makes once comes first
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    data = EmotionDataModule(
        split, FeatureConfig(names=["mel"]), batch_size=BATCH, recordings=decode_clips(listed, RATE)
    )
    data.setup()
    prepared = time.process_time() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    network = NETWORKS["paper2d"](data.input_shape, len(emotions))
    optimizer = torch.optim.AdamW(network.parameters())
    taken = []
    for _ in range(STEPS):
        start = time.process_time()
        training_step(network, data.make_batch(torch.randint(len(split.train), (BATCH,)), training=True), optimizer)
        taken.append(time.process_time() - start)
    return Cost(clips, seconds, prepared, min(taken), memory * 1024)


def grow(base: int) -> tuple[list[Cost], list[Cost]]:
    """Return costs of ``base`` clips times ``MORE_CLIPS``, and of ``base`` clips times ``LONGER_CLIPS`` in length.

    Raises:
        UserError: A process ended before its time, such as for want of memory.
    """
    more = [_in_a_process(base * times, SECONDS) for times in MORE_CLIPS]
    return more, [more[0], *(_in_a_process(base, SECONDS * times) for times in LONGER_CLIPS[1:])]


def _in_a_process(clips: int, seconds: float) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        for number in range(FILES):
            soundfile.write(f"{folder}/{number:03}.wav", 0.1 * rng.standard_normal(int(seconds * RATE)), RATE)
        words = [sys.executable, __file__, "--measure", folder, str(clips), str(seconds)]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UserError(f"{clips} clips of {seconds} s ended with status {done.returncode}")
    cost = Cost(**json.loads(done.stdout))
    console.print(f"{clips:,} clips of {seconds:g} s: {cost.prepare:.1f} processor seconds to prepare", highlight=False)
    return cost


def figure_of(more: Sequence[Cost], longer: Sequence[Cost]) -> Figure:
    """Draw the cost per second of sound by how much more of it there is; 1 is flat."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, costs, times, name in (
        (panels[0], more, MORE_CLIPS, "times as many clips"),
        (panels[1], longer, LONGER_CLIPS, "times as long clips"),
    ):
        relative = np.array([cost.relative(costs[0]) for cost in costs])
        for column, label in enumerate(("preparing", "a training step", "memory")):
            panel.plot(times, relative[:, column], marker="o", label=label)
        panel.axhline(1, color="grey", linewidth=0.8, linestyle=":")
        panel.set(xlabel=name, xticks=times)
    panels[0].set_ylim(0)
    panels[0].set_ylabel("cost per second of sound,\nby that of the first")
    panels[0].legend()
    return figure


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = command_parser(__doc__, "--clips 500 --json growth.json")
    parser.add_argument("--clips", type=int, default=1000, help="of the smallest corpus")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw them")
    parser.add_argument("--measure", nargs=3, metavar=("FOLDER", "CLIPS", "SECONDS"), help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the costs")
    options = parser.parse_args()
    if options.measure:
        folder, clips, seconds = options.measure
        print(json.dumps(asdict(measure(Path(folder), int(clips), float(seconds)))))
        return
    if options.clips < 400:
        parser.error(f"--clips={options.clips}: 400 or more, so that both emotions are in training")
    with errors_in_words():
        more, longer = grow(options.clips)
    heads = ("clips", "of s", "prepare, s", "step, ms", "MB", "prepare, per second", "step", "memory")
    rows = [
        (
            f"{cost.clips:,}", f"{cost.seconds:g}", f"{cost.prepare:.1f}", f"{1000 * cost.step:.0f}",
            f"{cost.memory / 1e6:,.0f}", *(f"{value:.2f}" for value in cost.relative(costs[0])),
        )
        for costs in (more, longer) for cost in costs
    ]  # fmt: skip
    held = {"more_clips": [*map(asdict, more)], "longer_clips": [*map(asdict, longer)]}
    report(heads, rows, (), options.json, held)
    if options.figure:
        figure_of(more, longer).savefig(options.figure, dpi=120)


if __name__ == "__main__":
    main()
