"""How fast is it beside what people use now? ``python benchmarks/benchmark.py --json benchmark.json``.

Each part runs this project and a contender in turn, several rounds in one process, and prints the median of the rounds'
ratios: 2 means that this project takes half the time. A contender that is not installed is left out and named;
``pip install -e ".[bench]"`` has all of them. On a busy machine ratios stay, times do not.
"""

import argparse
import importlib.util
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import _common as common
import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchaudio.transforms import MelSpectrogram

from ser.commands.cli import command_parser
from ser.config import compose_words
from ser.data.corpora import find_root
from ser.errors import UserError, escape
from ser.features import FeatureConfig, Frontend
from ser.models import Batch, EmotionNetwork
from ser.recognizer import Recognizer

REPORT_1D = FeatureConfig(names=["mfcc", "rolloff", "energy", "zcr"], n_mfcc=20, filter_rate=22_050)


@dataclass(frozen=True)
class Row:
    """The result of a part.

    Attributes:
        part: Name of the part.
        against: The contender.
        ratio: Median over the rounds of the contender's time by this project's.
        low: Least ratio of the rounds.
        high: Largest ratio.
        must: Ratio that is required.
        stretch: Ratio that is aimed at.
    """

    part: str
    against: str
    ratio: float
    low: float
    high: float
    must: float
    stretch: float


def compare(
    part: str, against: str, ours: Callable[[], object], theirs: Callable[[], object], goals: tuple[float, float],
    rounds: int,
) -> Row:  # fmt: skip
    """Run both once to warm up, then in turn, and take the ratio of each round."""
    ours(), theirs()
    ratios = []
    for _ in range(rounds):
        mine, other = common.seconds_of(ours), common.seconds_of(theirs)
        ratios.append(other / mine)
    return Row(part, against, median(ratios), min(ratios), max(ratios), *goals)


def features_report(rounds: int) -> Iterator[Row]:
    """Time the report's five features."""
    waveforms, lengths = common.noise(64)
    frontends = [Frontend(FeatureConfig(names=["mel"]), common.LONGEST), Frontend(REPORT_1D, common.LONGEST)]

    def ours() -> None:
        with torch.inference_mode():
            for frontend in frontends:
                frontend.extract(waveforms, lengths)

    sounds = list(waveforms.numpy())
    yield compare(
        "features_report", "librosa, one process", ours, lambda: [librosa_features(sound) for sound in sounds], (6, 10),
        rounds,
    )  # fmt: skip
    cores = os.cpu_count() or 1
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # of the children
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        yield compare(
            "features_report", f"librosa, {cores} processes", ours, lambda: pool.map(librosa_features, sounds, 4),
            (3, 5), rounds,
        )  # fmt: skip


def librosa_features(sound: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Compute the five features as the report calls librosa: without a rate for ``mfcc`` and ``spectral_rolloff``."""
    import librosa  # noqa: PLC0415

    return [
        librosa.power_to_db(librosa.feature.melspectrogram(y=sound, sr=16_000), ref=np.max),
        librosa.feature.mfcc(y=sound).mean(axis=0),
        librosa.feature.spectral_rolloff(y=sound)[0],
        librosa.feature.rms(y=sound)[0],
        librosa.feature.zero_crossing_rate(sound)[0],
    ]


def features_mel(rounds: int) -> Iterator[Row]:
    """Time the log-mel of a batch, against torchaudio's mel without the logarithm."""
    waveforms, lengths = common.noise(128)
    frontend = Frontend(FeatureConfig(names=["mel"]), common.LONGEST)
    transform = MelSpectrogram(16_000, n_fft=2048, hop_length=512, n_mels=128)

    def ours() -> Tensor:
        with torch.inference_mode():
            return frontend.extract(waveforms, lengths)

    def theirs() -> Tensor:
        with torch.inference_mode():
            return transform(waveforms)

    yield compare("features_mel", "torchaudio MelSpectrogram", ours, theirs, (3, 5), rounds)


class Kept:
    """Kept features and targets, as the data module keeps them."""

    def __init__(self, shape: tuple[int, ...], count: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(count, *shape, generator=generator)
        self.targets = torch.randint(len(common.LABELS), (count,), generator=generator)

    def batch(self, clips: list[int]) -> Batch:
        """Gather clips by index."""
        picked = torch.as_tensor(clips)
        return Batch(self.inputs[picked], self.targets[picked], picked)

    def loader(self, shuffle: bool) -> DataLoader[Batch]:
        """Load all clips, in batches of 128."""
        return DataLoader(range(len(self.targets)), 128, shuffle=shuffle, collate_fn=self.batch)  # type: ignore[arg-type]


def lightning_epoch(network: EmotionNetwork, kept: Kept, held: Kept | None, precision: Any) -> Callable[[], float]:
    """Return what gives the seconds of an epoch, after one to warm up, through all of Lightning."""
    loaders = kept.loader(True), None if held is None else held.loader(False)
    return lambda: common.lightning_epochs(network, *loaders, precision, epochs=2)[-1]


def build(model: str, shape: tuple[int, ...]) -> EmotionNetwork:
    """Make a network of the report's recipe."""
    words = [f"model={model}", "model.schedule=constant", "model.label_smoothing=0"]
    return common.network_of(compose_words(words), shape)


def train_paper2d(rounds: int) -> Iterator[Row]:
    """Time training from kept features."""
    shape = (1, 128, 157)
    kept = Kept(shape, 512)
    single = lightning_epoch(build("paper2d", shape), kept, None, "32-true")
    half = lightning_epoch(build("paper2d", shape), kept, None, "bf16-mixed")
    keras = keras_epoch(kept) if installed("keras", "tensorflow") else None
    if keras:
        yield compare("train_paper2d_fp32", "Keras 3 on TensorFlow", single, keras, (1.2, 1.5), rounds)
    yield compare(
        "train_paper2d_fp32", "torch, eager", single, plain_epoch(eager_network(), kept, None), (2, 2.5), rounds
    )
    if keras and torch.cpu._is_avx512_bf16_supported():
        yield compare("train_paper2d_bf16", "Keras 3 on TensorFlow, fp32", half, keras, (1.8, 2.5), rounds)


def keras_epoch(kept: Kept) -> Callable[[], object]:
    """Return what trains an epoch of the layers of ``paper2d`` in Keras."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from keras import layers  # noqa: PLC0415

    blocks = [
        layers.Conv2D(16, (12, 6), activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(24, (8, 12), activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(24, (5, 7), activation="relu"),
    ]  # fmt: skip
    model = keras_network((128, 157, 1), blocks, len(common.LABELS), "sparse_categorical_crossentropy")
    inputs, targets = kept.inputs.permute(0, 2, 3, 1).numpy(), kept.targets.numpy()
    return lambda: model.fit(inputs, targets, batch_size=128, epochs=1, verbose=0)


def keras_network(shape: tuple[int, ...], blocks: Sequence[Any], classes: int, loss: str) -> Any:
    """Make a network of the report's in Keras: ``blocks`` of convolutions, and the same dense layers behind them."""
    import keras  # noqa: PLC0415
    from keras import layers  # noqa: PLC0415

    dense = [layers.Dense(64, activation="relu"), layers.Dropout(0.2), layers.Dense(classes, activation="softmax")]
    model = keras.Sequential([layers.Input(shape), *blocks, layers.Flatten(), *dense])
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    return model


def eager_network() -> nn.Sequential:
    """Make the layers of ``paper2d`` as one writes them in torch without a thought of speed."""
    return nn.Sequential(
        nn.Conv2d(1, 16, (12, 6)), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 24, (8, 12)), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 24, (5, 7)), nn.ReLU(),
        nn.Flatten(), nn.Linear(13_104, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, len(common.LABELS)),
    )  # fmt: skip


def plain_epoch(network: nn.Module, kept: Kept, held: Kept | None) -> Callable[[], None]:
    """Return an epoch of a hand-written loop: shuffled batches by index, Adam, cross-entropy; accuracy on ``held``."""
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)

    def epoch() -> None:
        network.train()
        for picked in torch.randperm(len(kept.targets)).split(128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(kept.inputs[picked]), kept.targets[picked]).backward()
            optimizer.step()
        if held is not None:
            network.eval()
            with torch.no_grad():
                answers = [network(part).argmax(1) for part in held.inputs.split(128)]
            float((torch.cat(answers) == held.targets).float().mean())

    return epoch


def epoch_cnn1d(rounds: int) -> Iterator[Row]:
    """Time an epoch of ``energy_zcr → cnn1d`` on as many clips as CREMA-D has, with validation and all metrics."""
    shape = (1, 314)
    kept, held = Kept(shape, 4948), Kept(shape, 261)
    ours = lightning_epoch(build("cnn1d", shape), kept, held, "32-true")
    theirs = plain_epoch(build("cnn1d", shape), kept, held)
    yield compare("epoch_cnn1d", "torch, a loop by hand", ours, theirs, (0.85, 0.95), rounds)


def latency_clip(rounds: int) -> Iterator[Row]:
    """Time one clip from WAV to answer, with the model loaded: the allowed 10 ms by the median."""
    frontend = Frontend(FeatureConfig(names=["mel"]), common.LONGEST)
    recognizer = Recognizer(build("paper2d", frontend.input_shape), frontend, common.LABELS, 16_000)
    waveforms, lengths = common.noise(2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.wav"
        soundfile.write(path, waveforms[1, : int(lengths[1])].numpy(), common.RATE)
        for _ in range(10):
            recognizer(path)
        taken = sorted(common.seconds_of(lambda: recognizer(path)) for _ in range(20 * rounds))
    ratios = [0.010 / seconds for seconds in taken]
    yield Row("latency_clip", "10 ms", median(ratios), ratios[-len(ratios) // 20], ratios[len(ratios) // 20], 1, 2)


def run_energy_zcr(rounds: int) -> Iterator[Row]:
    """Measure a run of the report's best row, from starting Python to the scores, and its peak memory."""
    root = find_root("crema_d").resolve()
    with tempfile.TemporaryDirectory() as folder:
        start = "import ser.train; ser.train.main()"
        ours = ["-c", start, "report=energy_zcr", f"dataset.root={root}", "trainer.enable_progress_bar=false"]
        theirs = [__file__, "--as-the-report", str(root)]
        kept = [*ours, f"datamodule.cache={folder}/cache"]
        _process([*kept, f"hydra.run.dir={folder}/first", "trainer.max_epochs=1"])
        rounds_of_three = [
            (
                _process([*ours, f"hydra.run.dir={folder}/{number}"]),
                _process([*kept, f"hydra.run.dir={folder}/kept{number}"]),
                _process(theirs),
            )
            for number in range((rounds + 1) // 2)
        ]
    against = "librosa and Keras, the report's steps"
    for part, with_kept, place, goals in (
        ("run_energy_zcr", 0, 0, (2, 3)),
        ("run_energy_zcr, features kept from an earlier run", 1, 0, (4, 8)),
        ("memory_energy_zcr", 0, 1, (2, 4)),
    ):
        ratios = [measured[2][place] / measured[with_kept][place] for measured in rounds_of_three]
        yield Row(part, against, median(ratios), min(ratios), max(ratios), *goals)


def _process(words: Sequence[str]) -> tuple[float, float]:
    """Return seconds and peak memory of ``python WORDS``."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise UserError(f"python {' '.join(words)} ended with status {status}")
    return time.perf_counter() - start, float(usage.ru_maxrss)


def as_the_report(root: Path) -> None:
    """Do what the report does for its best row: librosa clip by clip, scikit-learn's split, Keras, scores."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras  # noqa: PLC0415
    import librosa  # noqa: PLC0415
    from keras import layers  # noqa: PLC0415
    from sklearn.metrics import classification_report, confusion_matrix  # noqa: PLC0415
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    paths = sorted(root.glob("*.wav"))
    codes = sorted({path.stem.split("_")[2] for path in paths})
    targets = np.array([codes.index(path.stem.split("_")[2]) for path in paths])
    sounds = [librosa.load(path, sr=None)[0] for path in paths]
    padded = np.array([np.pad(sound, (0, common.LONGEST - len(sound))) for sound in sounds])
    energy = [librosa.feature.rms(y=sound)[0] for sound in padded]
    crossings = [librosa.feature.zero_crossing_rate(sound)[0] for sound in padded]
    features = np.concatenate([np.array(energy), np.array(crossings)], axis=1)[:, :, None]
    inputs, test, answers, true = train_test_split(features, targets, test_size=0.3, random_state=42, stratify=targets)
    inputs, held, answers, held_answers = train_test_split(
        inputs, answers, test_size=0.05, random_state=42, stratify=answers
    )
    blocks = [
        layer
        for filters, kernel in ((16, 12), (24, 8), (24, 5))
        for layer in (layers.Conv1D(filters, kernel, activation="relu"), layers.MaxPooling1D())
    ]
    model = keras_network(features.shape[1:], blocks, len(codes), "categorical_crossentropy")
    one_hot = keras.utils.to_categorical
    model.fit(
        inputs, one_hot(answers), batch_size=128, epochs=50, verbose=0, validation_data=(held, one_hot(held_answers))
    )
    predicted = model.predict(test, verbose=0).argmax(1)
    print(classification_report(true, predicted), confusion_matrix(true, predicted))


PARTS: dict[str, tuple[Callable[[int], Iterator[Row]], tuple[str, ...]]] = {
    "features_report": (features_report, ("librosa",)),
    "features_mel": (features_mel, ()),
    "train_paper2d": (train_paper2d, ()),
    "epoch_cnn1d": (epoch_cnn1d, ()),
    "latency_clip": (latency_clip, ()),
    "run_energy_zcr": (run_energy_zcr, ("librosa", "keras", "tensorflow")),
}
"""Part → the function that measures it, and the libraries without which it is left out."""


def installed(*names: str) -> bool:
    """Return whether all of these can be imported."""
    return all(importlib.util.find_spec(name) for name in names)


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = command_parser(__doc__, "features_mel latency_clip --rounds 9")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"out of {', '.join(PARTS)}; by default all")
    parser.add_argument("--as-the-report", type=Path, help=argparse.SUPPRESS)
    options = common.parse(parser, 5)
    if options.as_the_report:
        as_the_report(options.as_the_report)
        return
    if unknown := sorted(set(options.parts) - set(PARTS)):
        parser.error(f"{', '.join(unknown)}: parts are {', '.join(PARTS)}")
    rows: list[Row] = []
    for name in options.parts or PARTS:
        measure, needed = PARTS[name]
        if not installed(*needed):
            common.console.print(f'{name} is left out: {", ".join(needed)} not installed; pip install -e ".\\[bench]"')
            continue
        try:
            for row in measure(options.rounds):
                rows.append(row)
                common.console.print(f"{row.part} against {row.against}: {row.ratio:.2f} ×", highlight=False)
        except UserError as error:
            common.console.print(f"{name} is left out: {escape(str(error))}", soft_wrap=True)
    heads = ("part", "against", "ratio", "least to most", "must", "stretch")
    lines = [
        (
            row.part,
            row.against,
            f"{row.ratio:.2f}",
            f"{row.low:.2f} to {row.high:.2f}",
            f"{row.must:g}",
            f"{row.stretch:g}",
        )
        for row in rows
    ]
    common.report(heads, lines, heads[:2], options.json, [asdict(row) for row in rows])
    sys.exit(0 if rows else "error: nothing was measured")


if __name__ == "__main__":
    main()
