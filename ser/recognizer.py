"""A checkpoint → answers about sound, with nothing else at hand.

A process that was forked off this one answers in one thread: torch's own would wait there for threads that were left
behind.
"""

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ser.audio import AudioError, Readable, Recording, from_samples, read_audio, read_stream
from ser.bank import WaveformBank, decode
from ser.calibration import Calibration
from ser.callbacks import find_checkpoint, read_checkpoint, write_checkpoint
from ser.ensemble import Ensemble
from ser.errors import UserError
from ser.features import FeatureConfig, Frontend, WeightsError
from ser.files import as_path
from ser.models import CHECKPOINT_FORMAT, KINDS, EmotionNetwork

TOO_LOUD = "gives no finite answer: its samples are far beyond full scale"

Samples = np.ndarray | Tensor | Sequence[float]
Sound = str | Path | bytes | Readable | Samples | tuple[Samples, int]

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))


@dataclass(frozen=True)
class Answer:
    """What a network says of one file.

    Attributes:
        path: The file.
        probabilities: By label, in the checkpoint's order; empty where the file can't be read.
        error: Why it can't be read, or None.
        remarks: What is odd about it, each a short phrase, as a recording has them.
    """

    path: Path
    probabilities: dict[str, float]
    error: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def emotion(self) -> str | None:
        """The most probable label."""
        return max(self.probabilities, key=self.probabilities.__getitem__) if self.probabilities else None

    @property
    def confidence(self) -> float:
        """Its probability; 0 where there is no answer."""
        return max(self.probabilities.values(), default=0.0)


class Recognizer:
    """A trained network with everything between a waveform and its answer.

    Sound goes the way that it went in training: mono, the features' rate, padded or cropped about its middle to the
    training's length, features, normaliser, network, softmax at the calibrated temperature.

    Attributes:
        labels: Emotions, in the order of the probabilities.
        sample_rate: Of the features, in hertz.
        seconds: What of a longer recording is heard, about its middle.
        calibration: What validation said about the probabilities.
    """

    def __init__(
        self, network: EmotionNetwork, frontend: Frontend, labels: Sequence[str], sample_rate: int,
        calibration: Calibration | None = None,
    ) -> None:  # fmt: skip
        self.network = network.eval()
        self.frontend = frontend.eval()
        self.labels = list(labels)
        self.sample_rate = sample_rate
        self.seconds = frontend.length / sample_rate
        self.calibration = calibration or Calibration()

    @classmethod
    def load(cls, path: str | Path, device: torch.device | str = "cpu") -> "Recognizer":
        """Build a recognizer from a run's ``checkpoints/best.ckpt`` or ``last.ckpt``, and nothing else.

        Args:
            path: One of them, or the run's folder, for the one that the run tested and calibrated.
            device: Where it answers.

        Raises:
            UserError: It is not such a checkpoint, is broken, or was written by a version that is too new or too old.
            WeightsError: The pretrained weights that it was trained with are missing, or are others now.
        """
        path = find_checkpoint(path)
        checkpoint = read_checkpoint(path)
        if (version := checkpoint.get("format", 0)) != CHECKPOINT_FORMAT:
            remedy = (
                "install a newer one" if isinstance(version, int) and version > CHECKPOINT_FORMAT else "train it again"
            )
            raise UserError(
                f"{path} was written by ser {checkpoint.get('ser_version')}, in format {version}; this version reads "
                f"{CHECKPOINT_FORMAT}: {remedy}"
            )
        try:
            state = checkpoint["EmotionDataModule"]
            config = FeatureConfig(**state["features"])
            frontend = Frontend(config, state["length"])
            frontend.normalizer.load_state_dict(state["normalizer"])
            kinds = {**KINDS, Ensemble.__name__: Ensemble}
            network = kinds[checkpoint["network"]](**checkpoint["hyper_parameters"])
            network.load_state_dict(checkpoint["state_dict"])
            calibration = Calibration(**checkpoint.get("calibration", {}))
            labels = list(state["labels"])
            if len(labels) != checkpoint["hyper_parameters"]["num_classes"]:
                raise ValueError(f"{len(labels)} labels")
            # An answer about silence shows whether all this goes together.
            silence = np.zeros(config.sample_rate, np.float32)
            cls(network, frontend, labels, config.sample_rate, calibration)(silence, config.sample_rate)
        except WeightsError as error:
            raise WeightsError(f"{path} answers with pretrained weights, and {error}") from error
        except (
            LookupError,
            TypeError,
            RuntimeError,
            ValueError,
            AttributeError,
            ArithmeticError,
            MemoryError,
        ) as error:
            raise UserError(f"{path} does not hold what a run's checkpoint holds: {error!r}") from error
        try:
            network, frontend = network.to(device), frontend.to(device)
        except (RuntimeError, AssertionError) as error:
            raise UserError(f"device={device} can't be used: {error}; take cpu") from error
        return cls(network, frontend, labels, config.sample_rate, calibration)

    def __call__(self, sound: Sound, sample_rate: int | None = None) -> dict[str, float]:
        """Probability of each emotion, by label.

        Args:
            sound: A file, or what one holds as bytes or an open binary file; or samples ``(time,)``,
                ``(channel, time)`` or, as soundfile has them, ``(time, channel)``: floats with full scale at ±1, or
                integers of 8, 16 or 32 bits with that of their type. Also samples and their rate in a tuple.
            sample_rate: Of the samples, in hertz.

        Raises:
            AudioError: The sound is too short, holds NaN, is far beyond full scale, or the file can't be read.
            UserError: Samples come without their rate, or are none.
        """
        recording = self._recording(sound, sample_rate)
        probabilities = self.probabilities([recording])[0]
        if not probabilities.isfinite().all():
            raise AudioError(f"{sound if isinstance(sound, str | os.PathLike) else 'the samples'}: {TOO_LOUD}")
        return self._by_label(probabilities)

    def _recording(self, sound: Sound, sample_rate: int | None) -> Recording:
        heard = self.frontend.length
        if isinstance(sound, str | os.PathLike):
            return read_audio(as_path(sound), self.sample_rate, heard, pipes=True)
        if isinstance(sound, bytes | bytearray | memoryview):
            return read_stream(io.BytesIO(sound), "the bytes", self.sample_rate, heard)
        if isinstance(sound, Readable):
            return read_stream(sound, str(getattr(sound, "name", "the open file")), self.sample_rate, heard)
        if isinstance(sound, tuple) and len(sound) == 2:
            sound, sample_rate = _pair(sound, sample_rate)
        if sample_rate is None:
            raise UserError("samples come without their rate: give sample_rate= in hertz")
        try:
            rate = float(sample_rate)
        except (TypeError, ValueError) as error:
            raise UserError(f"sample_rate={sample_rate!r} must be a number, in hertz") from error
        return from_samples(_as_floats(sound), rate, self.sample_rate)

    def probabilities(self, recordings: Sequence[Recording]) -> Tensor:
        """Of recordings at the recognizer's rate, ``(recording, class)``, on the host."""
        return self.logits(recordings).softmax(1)

    def logits(self, recordings: Sequence[Recording]) -> Tensor:
        """What ``probabilities`` are the softmax of, calibrated, ``(recording, class)``, on the host."""
        if not recordings:
            return torch.empty(0, len(self.labels))
        device = self.network.device
        bank = WaveformBank([recording.samples for recording in recordings])
        waveforms, lengths = bank.gather(torch.arange(len(bank)), self.frontend.length)
        with torch.inference_mode():
            logits = self.network(self.frontend(waveforms.to(device), lengths.to(device)))
        return (logits / self.calibration.temperature).cpu()

    def answer(self, paths: Sequence[Path], batch_size: int = 32) -> Iterator[Answer]:
        """Answer file after file, in order, ``batch_size`` at a time; one that can't be read gets its error."""
        for start in range(0, len(paths), batch_size):
            part = [as_path(path) for path in paths[start : start + batch_size]]
            outcomes = decode(part, self.sample_rate, self.frontend.length, pipes=True)
            heard = [outcome for outcome in outcomes if isinstance(outcome, Recording)]
            probabilities = iter(self.probabilities(heard))
            for path, outcome in zip(part, outcomes, strict=True):
                if isinstance(outcome, AudioError):
                    yield Answer(path, {}, str(outcome))
                elif (answered := next(probabilities)).isfinite().all():
                    yield Answer(path, self._by_label(answered), remarks=outcome.remarks)
                else:
                    yield Answer(path, {}, f"{path}: {TOO_LOUD}")

    def _by_label(self, probabilities: Tensor) -> dict[str, float]:
        return dict(zip(self.labels, probabilities.tolist(), strict=True))


def _pair(sound: tuple[Any, Any], sample_rate: int | None) -> tuple[Any, int]:
    """Samples and their rate, as ``soundfile.read`` gives them, or the other way round, as SciPy does."""
    samples, rate = sound if np.ndim(sound[1]) == 0 else reversed(sound)
    if np.ndim(samples) == 0 or np.ndim(rate) != 0:
        raise UserError("a tuple must be samples and their rate: give an array and sample_rate= in hertz")
    if sample_rate is not None and sample_rate != rate:
        raise UserError(f"the samples come with their rate, {rate}, and sample_rate={sample_rate}: give one of them")
    return samples, rate


def _as_floats(samples: Any) -> np.ndarray:
    """Samples with full scale at ±1.

    Raises:
        AudioError: They are of a type that tells no full scale, or no numbers.
    """
    if isinstance(samples, Tensor):
        samples = samples.detach().cpu()
        samples = (samples.float() if samples.is_floating_point() else samples).numpy()
    try:
        array = np.asarray(samples)
    except ValueError as error:  # lists of several lengths
        raise AudioError(f"the samples are no array: {error}") from error
    if np.issubdtype(array.dtype, np.floating):
        with np.errstate(over="ignore"):  # becomes infinite, and is refused as such
            return array.astype(np.float32)
    if not np.issubdtype(array.dtype, np.integer):
        raise AudioError(
            f"the samples are of type {type(samples).__name__} of {array.dtype}: give a file's name, its bytes, or an "
            "array of floats with full scale at ±1 or of int16; answer([…]) takes several files"
        )
    bits = 8 * array.dtype.itemsize
    full_scale = 2 ** (bits - 1)
    if bits == 64 or (bits == 32 and _seem_16_bit(array)):
        raise AudioError(
            f"the samples are {array.dtype}, and far below its full scale, ±{full_scale:,}: if they have 16 bits, give "
            "samples.astype(numpy.int16)"
        )
    middle = full_scale if np.issubdtype(array.dtype, np.unsignedinteger) else 0
    return ((array.astype(np.float64) - middle) / full_scale).astype(np.float32)


def _seem_16_bit(array: np.ndarray) -> bool:
    """Whether 32-bit samples are within 16 bits, and not because they are 24-bit ones of near silence."""
    within = array.size > 0 and int(array.min()) >= -(2**15) and int(array.max()) < 2**16
    return within and bool((array % 256).any())


def checkpoints_beside(path: Path) -> list[Path]:
    """The checkpoint that ``Recognizer.load`` takes for ``path``, and all that lie beside it."""
    return list((path / "checkpoints").glob("*.ckpt")) if path.is_dir() else [path, *path.parent.glob("*.ckpt")]


def add_calibration(path: Path, calibration: Calibration) -> None:
    """Write ``calibration`` into a checkpoint, in one step.

    Raises:
        UserError: The checkpoint is broken, or can't be written to; it is as it was.
    """
    write_checkpoint(path, {**read_checkpoint(path), "calibration": calibration.state_dict()})


def remove_calibration(path: Path) -> None:
    """Take the calibration out of a checkpoint of a run that has tested another one since, if it has any.

    Raises:
        UserError: The checkpoint is broken, or can't be written to.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint.pop("calibration", None) is not None:
        write_checkpoint(path, checkpoint)
