"""A checkpoint → answers about sound, with nothing else at hand.

A process that was forked off this one answers in one thread: torch's own would wait there for threads that were left
behind.
"""

import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ser.checkpoint import SHIPPED, Checkpoint, checked, find_checkpoint, shipped_checkpoint
from ser.data.audio import RATES, AudioError, Readable, Recording, from_samples, read_audio, read_stream
from ser.data.bank import WaveformBank, decode
from ser.errors import UserError
from ser.evaluation.calibration import Calibration
from ser.features import (
    PRETRAINED,
    Frontend,
    Moments,
    Scale,
    Voice,
    VoiceError,
    VoicePrior,
    check_length,
    features_of,
)
from ser.features.voices import NEUTRAL, described
from ser.files import as_path
from ser.models import KINDS, EmotionNetwork
from ser.models.ensemble import Ensemble

TOO_LOUD = "gives no finite answer: its samples are far beyond full scale"

AT_ONCE = 32
"""Pieces of recordings that a voice is measured on at once."""

ENROL_SECONDS = 600
"""Seconds about its middle that count of a longer recording that a voice is enrolled with."""

NO_VOICES = (
    "this checkpoint was not trained with features.normalize=speaker, so it knows nothing of voices: train one with "
    "it, or answer without voices"
)

MOST_LABELS = 1_000
"""Emotions that a checkpoint may have; counts of answers grow with their square."""

Samples = np.ndarray | Tensor | Sequence[float]
Sound = str | Path | bytes | Readable | Samples | tuple[Samples, int]

Voices = Voice | Sequence[Voice | None] | None
"""Voices of recordings: one for all, one per recording with None for unknown ones, or None for nobody known."""


@dataclass(frozen=True)
class Answer:
    """Holds what a network says of one file.

    Attributes:
        path: The file.
        probabilities: Probabilities by label, in the checkpoint's order; empty where the file can't be read.
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
        """The most probable label's probability; 0 where there is no answer."""
        return max(self.probabilities.values(), default=0.0)


class Recognizer:
    """A trained network with everything between a waveform and its answer.

    Sound goes the way that it went in training: mono, the features' rate, padded or cropped about its middle to the
    training's length, features, normaliser, network, softmax at the calibrated temperature. A network that was trained
    with ``features.normalize=speaker`` answers better about a voice that was enrolled with other recordings of it.

    Attributes:
        labels: Emotions, in the order of the probabilities.
        sample_rate: Rate of the features in hertz.
        seconds: How much of a longer recording is read, about its middle.
        calibration: What validation said about the probabilities.
        prior: What training knows of how voices differ; None without ``features.normalize=speaker``.
    """

    def __init__(
        self, network: EmotionNetwork, frontend: Frontend, labels: Sequence[str], sample_rate: int,
        calibration: Calibration | None = None, prior: VoicePrior | None = None,
    ) -> None:  # fmt: skip
        _spare_forks()
        self.network = network.eval()
        self.frontend = frontend.eval()
        self.labels = list(labels)
        self.sample_rate = sample_rate
        self.seconds = frontend.length / sample_rate
        self.calibration = calibration or Calibration()
        self.prior = prior

    @classmethod
    def load(cls, path: str | Path | None = None, device: torch.device | str = "cpu") -> "Recognizer":
        """Build a recognizer from a checkpoint and nothing else: the package's own model, or one of yours.

        Args:
            path: A run's ``checkpoints/best.ckpt`` or ``last.ckpt``; or the run's folder, for the one that the run
                tested and calibrated. ``pretrained``, or None, is the model that comes with the package, trained on
                the acted English of CREMA-D.
            device: Where it answers.

        Raises:
            UserError: It is not such a checkpoint, is broken, or was written by a version that is too new or too old.
            WeightsError: The pretrained weights that it was trained with are missing, or are others now.

        Example:
            >>> recognizer = Recognizer.load("outputs/RUN")
            >>> recognizer.labels
            ['anger', 'happy', 'sad']
        """
        path = shipped_checkpoint() if path is None else find_checkpoint(path)
        checkpoint = Checkpoint.read(path)
        with checked(path):
            size = path.stat().st_size
            if checkpoint.parts:
                members = [Recognizer.of(part, size) for part in checkpoint.parts]
                bias = None if checkpoint.calibration is None else checkpoint.calibration.bias
                if checkpoint.labels != members[0].labels or (bias is not None and len(bias) != len(checkpoint.labels)):
                    raise UserError("its labels are not those of the networks that it joins")
                built: Recognizer = JointRecognizer(members, checkpoint.parameters["weights"], checkpoint.calibration)
            else:
                built = Recognizer.of(checkpoint, size)
            # An answer about silence shows whether all this goes together.
            built(np.zeros(built.sample_rate, np.float32), built.sample_rate)
        try:
            for member in built.members:
                member.network, member.frontend = member.network.to(device), member.frontend.to(device)
        except (RuntimeError, AssertionError) as error:
            raise UserError(f"device={device} can't be used: {error}; take cpu") from error
        return built

    @staticmethod
    def of(checkpoint: Checkpoint, size: int) -> "Recognizer":
        """Build a recognizer on the host from a checkpoint of one network; ``size`` is the file's in bytes.

        Raises:
            UserError: Its parts don't go together.
        """
        kind = {**KINDS, Ensemble.__name__: Ensemble}[checkpoint.network]
        _check_labels(checkpoint)
        _check_tensors(checkpoint, size)
        _check_shapes(kind, checkpoint)
        frontend = Frontend(checkpoint.features, checkpoint.length)
        frontend.normalizer.load_state_dict(checkpoint.normalizer)
        network = kind(**checkpoint.parameters)
        network.load_state_dict(checkpoint.weights)
        rate = checkpoint.features.sample_rate
        return Recognizer(network, frontend, checkpoint.labels, rate, checkpoint.calibration, prior_of(checkpoint))

    @property
    def members(self) -> Sequence["Recognizer"]:
        """The recognizers of one network each that this one consists of: itself."""
        return (self,)

    @property
    def length(self) -> int:
        """How many samples of a longer recording are read, about its middle."""
        return self.frontend.length

    def combine(self, logits: Sequence[Tensor]) -> Tensor:
        """Return calibrated logits from those of each of ``members``, ``(recording, class)``."""
        return logits[0]

    def __call__(self, sound: Sound, sample_rate: int | None = None, voice: Voice | None = None) -> dict[str, float]:
        """Return the probability of each emotion, by label.

        Args:
            sound: A file, or what one holds as bytes or an open binary file; or samples ``(time,)``,
                ``(channel, time)`` or, as soundfile has them, ``(time, channel)``: floats with full scale at ±1, or
                integers of 8, 16 or 32 bits with that of their type. Also samples and their rate in a tuple.
            sample_rate: Rate of samples in hertz.
            voice: The speaker's voice, from ``enrol``; None for an unknown voice.

        Raises:
            AudioError: The sound is too short, holds NaN, is far beyond full scale, or the file can't be read.
            UserError: Samples come without their rate or are none, or the voice is not for this network.

        Example:
            >>> recognizer = Recognizer.load("outputs/RUN")
            >>> probabilities = recognizer("clip.wav")  # or recognizer(samples, sample_rate=44_100)
            >>> list(probabilities), round(sum(probabilities.values()), 4)
            (['anger', 'happy', 'sad'], 1.0)
        """
        recording = self._recording(sound, sample_rate, self.length)
        probabilities = self.probabilities([recording], voice)[0]
        if not probabilities.isfinite().all():
            raise AudioError(f"{sound if isinstance(sound, str | os.PathLike) else 'the samples'}: {TOO_LOUD}")
        return self._by_label(probabilities)

    def enrol(
        self, sounds: Sequence[Sound], sample_rate: int | None = None, neutral: bool = False, guess: bool = False,
        left_out: list[str] | None = None,
    ) -> Voice:  # fmt: skip
        """Learn one person's voice from some recordings of it, whatever is said and felt in them.

        All of a recording counts, or ``ENROL_SECONDS`` about the middle. Only statistics of the features are kept, and
        no answer is learnt. Ten seconds of speech are worth having, a minute is better.

        Args:
            sounds: Files, or samples as ``__call__`` takes them.
            sample_rate: Rate of samples in hertz.
            neutral: Whether all of it is neutral speech, which is corrected for by what is known of the training
                voices.
            guess: Correct for the emotions that the network itself finds in the recordings.
            left_out: Where given, it gets the reason of each recording that can't be used, and the others are used.

        Raises:
            UserError: The network knows nothing of voices, or nothing of neutral speech; or there is no recording.
            VoiceError: A recording is silent, or with ``left_out`` none can be used; the message says which.
            AudioError: A recording is too short or can't be read.

        Example:
            >>> recognizer = Recognizer.load("outputs/RUN")  # trained with features.normalize=speaker
            >>> voice = recognizer.enrol(["clip.wav", "another.wav"])
            >>> voice.clips
            2
            >>> list(recognizer("clip.wav", voice=voice))
            ['anger', 'happy', 'sad']
        """
        if self.prior is None:
            raise UserError(NO_VOICES)
        if isinstance(sounds, str | Path | bytes):
            raise UserError(f"sounds={sounds!r} is one recording: give a list of them")
        if not sounds:
            raise UserError("there is no recording to enrol a voice with: give at least one")
        if neutral and guess:
            raise UserError("neutral= and guess= both say which emotions the recordings show: give one")
        if neutral and NEUTRAL not in self.prior.labels:
            raise UserError(
                f"neutral speech can't be corrected for: the network was trained on {', '.join(self.labels)}, and "
                f"knows {NEUTRAL} of no voice; enrol without neutral="
            )
        parts, found = [], []
        for i, sound in enumerate(sounds):
            try:
                recording = self._recording(sound, sample_rate, ENROL_SECONDS * self.sample_rate)
                if recording.silent:
                    name = sound if isinstance(sound, str | os.PathLike) else f"recording {i + 1}"
                    raise VoiceError(f"{name}: is silent, so it says nothing of a voice: leave it out")
            except (AudioError, VoiceError) as error:
                if left_out is None:
                    raise
                left_out.append(str(error))
                continue
            moments, probabilities = self.measure(recording, guess)
            parts.append(moments)
            found.append(probabilities)
        if not parts:
            raise VoiceError(f"none of {len(sounds)} recordings says anything of a voice, such as {left_out}")
        moments = Moments.join(parts)
        emotions = {NEUTRAL: 1.0} if neutral else {}
        if guess:
            share = (moments.frames.double() / moments.frames.sum()).unsqueeze(1)
            emotions = self._by_label((torch.cat(found).double() * share).sum(0))
        voice = Voice.of(moments, emotions, features=described(self.frontend.config))
        return replace(voice, clips=len(parts))

    def measure(self, recording: Recording, answer: bool = False) -> tuple[Moments, Tensor]:
        """Measure all of a recording, however long, piece by piece.

        Args:
            recording: At the recognizer's rate.
            answer: Whether the pieces are also answered.

        Returns:
            Sums of the features of each piece, and its probabilities ``(piece, class)``; none without ``answer``.
        """
        length = self.frontend.length
        starts = range(0, max(len(recording.samples) - length // 10, 1), length)
        pieces = [Recording(recording.samples[start : start + length]) for start in starts]
        parts, found = [], [torch.empty(0, len(self.labels))]
        for start in range(0, len(pieces), AT_ONCE):
            features, real = self.extract(pieces[start : start + AT_ONCE])
            parts.append(Moments.of(features, real))
            if answer:
                found.append(self.decide(features, real).softmax(1))
        return Moments.join(parts), torch.cat(found)

    def probabilities(self, recordings: Sequence[Recording], voices: Voices = None) -> Tensor:
        """Return the probabilities of recordings at the recognizer's rate, ``(recording, class)``, on the host."""
        return self.logits(recordings, voices).softmax(1)

    def logits(
        self, recordings: Sequence[Recording], voices: Voices = None, sums: list[Moments] | None = None
    ) -> Tensor:
        """Return calibrated logits, whose softmax the probabilities are, ``(recording, class)``, on the host.

        Args:
            recordings: At the recognizer's rate.
            voices: Whose voices they are.
            sums: Where given, it gets the sums over the recordings' features.
        """
        if not recordings:
            return torch.empty(0, len(self.labels))
        features, real = self.extract(recordings)
        if sums is not None:
            sums.append(Moments.of(features, real))
        return self.decide(features, real, voices)

    def extract(self, recordings: Sequence[Recording]) -> tuple[Tensor, Tensor]:
        """Return unscaled features of recordings ``(recording, row, frame)``, and their real frames ``(recording,)``.

        Both are on the network's device. Of longer recordings the middle is taken.
        """
        bank = WaveformBank.of([recording.samples for recording in recordings])
        waveforms, lengths = bank.gather(torch.arange(len(bank)), self.frontend.length)
        with torch.inference_mode():
            lengths = lengths.to(self.network.device)
            features = self.frontend.extract(waveforms.to(self.network.device), lengths)
            return features, self.frontend.real_frames(lengths)

    def decide(self, features: Tensor, real: Tensor, voices: Voices = None) -> Tensor:
        """Return calibrated logits of features from ``extract``, ``(recording, class)``, on the host.

        Raises:
            UserError: The network knows nothing of voices.
            VoiceError: A voice was enrolled with other features.
        """
        with torch.inference_mode():
            inputs = self.frontend.arrange(self.frontend.normalizer(features, real, self.scale(voices)))
            logits = self.network(inputs, real)
            return self.calibration.apply(logits).cpu()

    def answer(
        self, paths: Sequence[Path], batch_size: int = 32, voices: Voices = None, sums: list[Moments] | None = None
    ) -> Iterator[Answer]:
        """Answer file after file, in order, ``batch_size`` at a time; one that can't be read gets its error.

        Args:
            paths: Files.
            batch_size: How many are answered at once.
            voices: The voice in each file, or in all.
            sums: Where given, it gets the sums over the recordings' features, as ``Recognizer.logits`` gives them.
        """
        known = list(voices) if isinstance(voices, Sequence) else [voices] * len(paths)
        if len(known) != len(paths):
            raise UserError(f"there are {len(known)} voices for {len(paths)} files: give one for each, or one for all")
        for start in range(0, len(paths), batch_size):
            part = [as_path(path) for path in paths[start : start + batch_size]]
            outcomes = decode(part, self.sample_rate, self.length, pipes=True)
            places = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, Recording)]
            decoded = [outcome for outcome in outcomes if isinstance(outcome, Recording)]
            theirs = None if voices is None else [known[start + i] for i in places]
            probabilities = iter(self.logits(decoded, theirs, sums).softmax(1))
            for path, outcome in zip(part, outcomes, strict=True):
                if isinstance(outcome, AudioError):
                    yield Answer(path, {}, str(outcome))
                elif (answered := next(probabilities)).isfinite().all():
                    yield Answer(path, self._by_label(answered), remarks=outcome.remarks)
                else:
                    yield Answer(path, {}, f"{path}: {TOO_LOUD}")

    def _recording(self, sound: Sound, sample_rate: int | None, samples: int) -> Recording:
        """Read a sound at the recognizer's rate; of a longer file ``samples`` samples about the middle."""
        if isinstance(sound, str | os.PathLike):
            return read_audio(as_path(sound), self.sample_rate, samples, pipes=True)
        if isinstance(sound, bytes | bytearray | memoryview):
            return read_stream(io.BytesIO(sound), "the bytes", self.sample_rate, samples)
        if isinstance(sound, Readable):
            return read_stream(sound, str(getattr(sound, "name", "the open file")), self.sample_rate, samples)
        if isinstance(sound, tuple) and len(sound) == 2:
            sound, sample_rate = _pair(sound, sample_rate)
        if sample_rate is None:
            raise UserError("samples come without their rate: give sample_rate= in hertz")
        try:
            rate = float(sample_rate)
        except (TypeError, ValueError) as error:
            raise UserError(f"sample_rate={sample_rate!r} must be a number, in hertz") from error
        return from_samples(_as_floats(sound), rate, self.sample_rate)

    def scale(self, voices: Voices) -> Scale | None:
        """Return what features of ``voices`` are normalised by; None for the training's own statistics.

        Raises:
            UserError: The network knows nothing of voices.
            VoiceError: A voice was enrolled with other features.
        """
        if voices is None:
            return None
        if self.prior is None:
            raise UserError(NO_VOICES)
        several = [voices] if isinstance(voices, Voice) else list(voices)
        here = described(self.frontend.config)
        for voice in several:
            if voice is not None and voice.features and dict(voice.features) != here:
                changed = [name for name, value in here.items() if voice.features.get(name) != value]
                raise VoiceError(
                    f"the voice was enrolled with other features ({', '.join(changed) or 'more options'}): enrol it "
                    "with this checkpoint"
                )
        scale = self.prior.scale(several)
        return Scale(*(values.to(self.network.device) for values in scale))

    def _by_label(self, probabilities: Tensor) -> dict[str, float]:
        return dict(zip(self.labels, probabilities.tolist(), strict=True))


@dataclass(frozen=True)
class JointVoice:
    """Holds a voice as each network of a ``JointRecognizer`` has measured it; None for one that knows no voices."""

    parts: tuple[Voice | None, ...]

    @property
    def clips(self) -> int:
        """Recordings that it was measured on."""
        return max(part.clips for part in self.parts if part is not None)


class JointRecognizer(Recognizer):
    """Several recognizers with features of their own as one: the product of powers of their probabilities.

    Such a product is the logarithmic opinion pool (Heskes, 1998, "Selecting weighting factors in logarithmic opinion
    pools"). What needs the features of one network refuses it: a timeline's own voice, export, and a start for another
    training.

    Args:
        members: Recognizers of one network each, of the same labels in the same order and of one sample rate.
        weights: The power of each one's probabilities, 0 or more.
        calibration: What validation said about the product.

    Raises:
        UserError: The members differ in their labels or rates, or the weights are not one number for each.
    """

    def __init__(
        self, members: Sequence[Recognizer], weights: Sequence[float], calibration: Calibration | None = None
    ) -> None:
        first, *others = members
        for other in others:
            if other.labels != first.labels or other.sample_rate != first.sample_rate:
                raise UserError(
                    f"networks of {', '.join(first.labels)} at {first.sample_rate} Hz and of "
                    f"{', '.join(other.labels)} at {other.sample_rate} Hz can't answer together: train them on the "
                    "same labels, at the same features.sample_rate="
                )
        numbers = [weight for weight in weights if type(weight) in (int, float) and 0 <= weight < np.inf]
        if len(numbers) != len(members) or not any(numbers):
            raise UserError(f"the weights {str(weights)[:80]} must be a number for each of {len(members)} networks")
        self._members, self.weights = list(members), numbers
        self.labels, self.sample_rate = first.labels, first.sample_rate
        self.seconds = max(member.seconds for member in members)
        self.calibration = calibration or Calibration()
        self.prior = next((member.prior for member in members if member.prior is not None), None)

    @property
    def members(self) -> Sequence[Recognizer]:
        """The recognizers of one network each."""
        return self._members

    @property
    def length(self) -> int:
        """How many samples of a longer recording are read, about its middle."""
        return max(member.length for member in self.members)

    def __getattr__(self, name: str) -> Any:
        """Refuse what there is one of per network."""
        if name in ("network", "frontend"):
            raise UserError(
                f"this model joins {len(self.members)} networks with features of their own, and this needs one: give "
                "the run of one of them"
            )
        raise AttributeError(name)

    def combine(self, logits: Sequence[Tensor]) -> Tensor:
        """Return calibrated logits from those of each of ``members``, ``(recording, class)``."""
        joined = sum(weight * one.log_softmax(1) for weight, one in zip(self.weights, logits, strict=True))
        assert isinstance(joined, Tensor)
        return self.calibration.apply(joined)

    def logits(self, recordings: Sequence[Recording], voices: Any = None, sums: list[Moments] | None = None) -> Tensor:
        """Return calibrated logits, whose softmax the probabilities are, ``(recording, class)``, on the host.

        Args:
            recordings: At the recognizer's rate.
            voices: One ``JointVoice`` for all, one per recording with None for unknown ones, or None.
            sums: Where given, it gets the sums over the features of the first network.
        """
        found = []
        for i, member in enumerate(self.members):
            known = voices
            if isinstance(voices, JointVoice):
                known = voices.parts[i]
            elif voices is not None:
                known = [None if voice is None else voice.parts[i] for voice in voices]
            found.append(member.logits(recordings, None if member.prior is None else known, sums if i == 0 else None))
        return self.combine(found)

    def enrol(
        self, sounds: Sequence[Sound], sample_rate: int | None = None, neutral: bool = False, guess: bool = False,
        left_out: list[str] | None = None,
    ) -> Any:  # fmt: skip
        """Learn one person's voice as ``Recognizer.enrol`` does, for each network that knows voices.

        Returns:
            A ``JointVoice``.
        """
        if self.prior is None:
            raise UserError(NO_VOICES)
        parts: list[Voice | None] = []
        reasons = left_out  # the first network that knows voices gives them, and the others would give the same
        for member in self.members:
            if member.prior is None:
                parts.append(None)
                continue
            parts.append(member.enrol(sounds, sample_rate, neutral, guess, reasons))
            reasons = None if left_out is None else []
        return JointVoice(tuple(parts))


@cache
def _spare_forks() -> None:
    """Let processes that are forked off this one answer in one thread."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))


def prior_of(checkpoint: Checkpoint) -> VoicePrior | None:
    """Return what a checkpoint knows of voices; None without ``features.normalize=speaker``.

    Raises:
        KeyError: It was trained with it, and does not say what it knows.
        ValueError: Its numbers are out of their range.
    """
    if checkpoint.features.normalize != "speaker":
        return None
    if checkpoint.voices is None:
        raise KeyError("voices")
    return VoicePrior.from_state(checkpoint.normalizer["mean"], checkpoint.normalizer["std"], checkpoint.voices)


def _pair(sound: tuple[Any, Any], sample_rate: int | None) -> tuple[Any, int]:
    """Return samples and their rate, as ``soundfile.read`` gives them, or the other way round, as SciPy does."""
    samples, rate = sound if np.ndim(sound[1]) == 0 else reversed(sound)
    if np.ndim(samples) == 0 or np.ndim(rate) != 0:
        raise UserError("a tuple must be samples and their rate: give an array and sample_rate= in hertz")
    if sample_rate is not None and sample_rate != rate:
        raise UserError(f"the samples come with their rate, {rate}, and sample_rate={sample_rate}: give one of them")
    return samples, rate


def _as_floats(samples: Any) -> np.ndarray:
    """Return samples with full scale at ±1.

    Raises:
        AudioError: They are of a type without a full scale, or no numbers.
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
    """Return whether 32-bit samples are within 16 bits, and not only because they are 24-bit near silence."""
    within = array.size > 0 and int(array.min()) >= -(2**15) and int(array.max()) < 2**16
    return within and bool((array % 256).any())


def _check_labels(checkpoint: Checkpoint) -> None:
    """Check the emotions of a checkpoint.

    Raises:
        UserError: They are too many or there twice, or their number is not the networks'.
    """
    labels, parameters = checkpoint.labels, checkpoint.parameters
    if twice := [label for label, count in Counter(labels).items() if count > 1]:
        raise UserError(f"its labels name {twice[0]} more than once")
    if len(labels) > MOST_LABELS:
        raise UserError(f"it has {len(labels):,} labels, and at most {MOST_LABELS:,} are allowed")
    for own in [parameters, *(member["hyper_parameters"] for member in parameters.get("members", ()))]:
        if own["num_classes"] != len(labels):
            raise UserError(f"it has {len(labels)} labels and num_classes={own['num_classes']}")
    bias = None if checkpoint.calibration is None else checkpoint.calibration.bias
    if bias is not None and len(bias) != len(labels):
        raise UserError(f"the shift of its answers has {len(bias)} numbers for {len(labels)} labels")


def _tensors_of(table: object) -> dict[str, Tensor]:
    """Return the tensors of a table; none if it is no table."""
    held = table.items() if isinstance(table, dict) else ()
    return {name: value for name, value in held if isinstance(value, Tensor)}


def _check_tensors(checkpoint: Checkpoint, file_bytes: int) -> None:
    """Check that tensors are no larger than the file that they come from, and finite.

    Raises:
        UserError: They are not.
    """
    total = 0
    voices = _tensors_of(checkpoint.voices)
    parts = {"normaliser": checkpoint.normalizer, "weights": checkpoint.weights, "voices": voices}
    for part, tensors in parts.items():
        for name, value in tensors.items():
            if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
                raise UserError(f"{name} of its {part} is no tensor that a run writes")
            total += value.numel() * value.element_size()
            if total > file_bytes:  # a view can claim any size
                raise UserError(f"its tensors claim to be larger than the file of {file_bytes:,} bytes")
        for name, value in tensors.items():
            if value.is_floating_point() and not value.isfinite().all():
                raise UserError(
                    f"{name} of its {part} holds NaN or infinity: its training diverged or the file is damaged; "
                    "train it again, with a lower model.learning_rate if it diverged"
                )
    if not (parts["normaliser"]["std"] > 0).all():
        raise UserError("the deviations of its normaliser must be above 0")


def _check_shapes(kind: type[EmotionNetwork], checkpoint: Checkpoint) -> None:
    """Check the numbers that a network and features are made from, before anything is made that takes memory.

    Raises:
        UserError: They don't go with the tensors or with each other.
    """
    config, parameters, weights = checkpoint.features, checkpoint.parameters, checkpoint.weights
    low, high = RATES
    if type(config.sample_rate) is not int or not low <= config.sample_rate <= high:
        raise UserError(f"its sample_rate={config.sample_rate!r} must lie between {low} and {high} Hz")
    members = parameters.get("members", [parameters])
    tuned = [own.get("pretrained") or {} for own in [parameters, *(one.get("hyper_parameters", {}) for one in members)]]
    counts = [
        value
        for own in tuned
        for name, value in own.get("params", {}).items()
        if name.endswith("layers") and type(value) is int
    ]
    if max(len(members), *counts, 0) > len(weights):
        raise UserError("it has fewer weights than layers")
    if not set(config.names) & set(PRETRAINED):  # whose weights are not read here
        features = features_of(config)
        check_length(features, checkpoint.length)
        shape = features.input_shape(features.frames(checkpoint.length))
        if tuple(parameters["input_shape"]) != shape:
            raise UserError(f"its network reads {tuple(parameters['input_shape'])}, and its features are {shape}")
    with torch.device("meta"):
        expected = kind(**parameters).state_dict()
    for name, value in expected.items():
        if name in weights and weights[name].shape != value.shape:
            raise UserError(f"{name} of its weights is {tuple(weights[name].shape)}, and must be {tuple(value.shape)}")


def checkpoints_beside(path: str | Path | None) -> list[Path]:
    """Return the checkpoint that ``Recognizer.load`` takes for ``path``, and all that lie beside it."""
    if path is None:
        path = shipped_checkpoint()
    path = find_checkpoint(path) if str(path) == SHIPPED else Path(path)
    return list((path / "checkpoints").glob("*.ckpt")) if path.is_dir() else [path, *path.parent.glob("*.ckpt")]
