"""A recording of any length, a block at a time → which emotion sounds when.

``SoundStream`` or a microphone gives blocks of samples, a ``Listener`` answers them in windows that overlap, and its
answers become a ``Timeline`` and its ``Segment``s. ``docs/timeline.md`` has the formulas.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray

from ser.data.audio import SILENCE_PEAK, AudioError, Recording, SoundStream
from ser.errors import UserError
from ser.features import Moments, Voice
from ser.recognizer import TOO_LOUD, JointRecognizer, JointVoice, Recognizer

OWN = "own"
"""The choice of the recording's own voice."""

SILENCE = "silence"
"""Name of a segment in which nobody speaks."""

FRAMES = 10
"""Frames per second, each with a level; windows and hops are whole numbers of them."""

PIECES = 100
"""Pieces per second, each with power, minimum and maximum."""

WINDOW_SECONDS = 3.0
"""Seconds of a window, about an utterance: CREMA-D's clips last 1.3 to 5 s, half of them 2.5 s or more."""

HOP_SECONDS = 1.0

SILENCE_DB = 35.0
"""A frame this far below the recording's loud level is silent."""

QUIETEST_DB = 20 * math.log10(SILENCE_PEAK)
"""A frame below this level re full scale is silent in any recording."""

NOISE_DB = 5.0
"""A frame that is no louder than the noise between the words and this is silent."""

LEAST_RANGE_DB = 10.0
"""A frame that is within this of the loud level is never silent, however loud the noise is."""

SPEECH_SHARE = 0.2
"""A step is silence if fewer of its frames are loud."""


class Meter:
    """Gathers power and outline of a recording, a block at a time.

    Args:
        sample_rate: Rate of the samples in hertz.

    Attributes:
        samples: How many were pushed.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.samples = 0
        self._rest = np.empty(0, np.float32)
        self._pieces = np.empty((3, 60 * PIECES))  # one array that grows: many small ones would scatter in memory
        self._count = 0

    def push(self, samples: NDArray[np.float32]) -> None:
        """Take the next samples ``(time,)``."""
        self.samples += len(samples)
        self._rest = np.concatenate([self._rest, samples])
        start = self._count * self.sample_rate // PIECES
        count = ((self.samples + 1) * PIECES - 1) // self.sample_rate  # pieces that end by now
        edges = np.arange(self._count, count + 1) * self.sample_rate // PIECES - start
        if count > self._count:
            if count > self._pieces.shape[1]:
                self._pieces = np.concatenate([self._pieces, np.empty((3, count))], axis=1)
            self._pieces[:, self._count : count] = _measured(self._rest[: edges[-1]], edges[:-1])
            self._rest, self._count = self._rest[edges[-1] :], count

    def pieces(self) -> NDArray[np.float64]:
        """Return mean square, minimum and maximum of each piece so far, ``(3, piece)``; the last may be shorter."""
        pieces = self._pieces[:, : self._count]
        if not len(self._rest):
            return pieces
        return np.concatenate([pieces, _measured(self._rest, np.zeros(1, np.int64))], axis=1)

    def levels(self) -> NDArray[np.float64]:
        """Return the level of each frame so far in dB re full scale, ``(frame,)``; the last may be shorter."""
        power = self.pieces()[0]
        starts = np.arange(0, len(power), PIECES // FRAMES)
        if not len(starts):
            return np.empty(0)
        sizes = np.diff(np.append(starts, len(power)))
        return 10 * np.log10(np.maximum(np.add.reduceat(power, starts) / sizes, 1e-12))


def _measured(samples: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    sizes = np.diff(np.append(starts, len(samples)))
    wide = samples.astype(np.float64)
    return np.stack(
        [
            np.add.reduceat(wide**2, starts) / sizes,
            np.minimum.reduceat(wide, starts),
            np.maximum.reduceat(wide, starts),
        ]
    )


def silence_level(levels: NDArray[np.float64], silence_db: float = SILENCE_DB) -> float:
    """Return the level in dB up to which frames of a recording are silent.

    Args:
        levels: Levels of its frames so far, in dB re full scale, ``(frame,)``.
        silence_db: How far below the loud level a frame is silent, whatever the noise.
    """
    audible = levels[levels > QUIETEST_DB]
    if not len(audible):
        return QUIETEST_DB
    noise, loud = np.percentile(audible, [10, 95])
    return float(max(loud - silence_db, min(noise + NOISE_DB, loud - LEAST_RANGE_DB), QUIETEST_DB))


def smooth(
    windows: NDArray[np.float64], shares: NDArray[np.float64], steps: int, steps_per_window: int
) -> NDArray[np.float64]:
    """Average the windows that cover a step, each weighted by how much of it is loud.

    Args:
        windows: Probabilities ``(window, class)``; window ``i`` covers the steps from ``i`` on.
        shares: The share of each window's frames that is loud, 0 to 1, ``(window,)``.
        steps: How many steps there are.
        steps_per_window: How many steps a window covers.

    Returns:
        ``(step, class)``; NaN where no window that covers a step has anything loud.
    """
    total = np.zeros((steps, windows.shape[1]))
    weight = np.zeros((steps, 1))
    for offset in range(steps_per_window):
        covered = slice(offset, offset + len(windows))
        inside = len(weight[covered])
        total[covered] += shares[:inside, None] * windows[:inside]
        weight[covered] += shares[:inside, None]
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)


@dataclass(frozen=True)
class Segment:
    """Describes a stretch of one emotion, or of silence.

    Attributes:
        start: Beginning in seconds.
        end: End in seconds.
        emotion: Label, ``silence``, or None where the answer is less sure than was asked for.
        probabilities: Mean over the segment's steps, by label; empty in silence.
    """

    start: float
    end: float
    emotion: str | None
    probabilities: dict[str, float]

    @property
    def probability(self) -> float | None:
        """The most probable label's mean probability; None in silence."""
        return max(self.probabilities.values(), default=None)


@dataclass(frozen=True)
class Timeline:
    """Holds the answers along a recording.

    Attributes:
        labels: Emotions, in the order of the probabilities.
        seconds: Length of the recording.
        hop: Length of a step in seconds; the last may be shorter.
        probabilities: ``(step, class)``, NaN in silence.
        outline: Minimum and maximum of every hundredth of a second, ``(2, piece)``, full scale at ±1.
    """

    labels: list[str]
    seconds: float
    hop: float
    probabilities: NDArray[np.float64]
    outline: NDArray[np.float64]

    def segments(self, least: float = 0.0) -> list[Segment]:
        """Join neighbouring steps with the same answer.

        Args:
            least: Steps whose largest probability is below it get no emotion.
        """
        found = []
        answers = [self._answer(step, least) for step in self.probabilities]
        for emotion, group in groupby(range(len(answers)), key=lambda step: answers[step]):
            inside = list(group)
            mean = self.probabilities[inside].mean(axis=0)
            found.append(
                Segment(
                    inside[0] * self.hop,
                    min((inside[-1] + 1) * self.hop, self.seconds),
                    emotion,
                    {} if np.isnan(mean[0]) else dict(zip(self.labels, mean.tolist(), strict=True)),
                )
            )
        return found

    def _answer(self, step: NDArray[np.float64], least: float) -> str | None:
        if np.isnan(step[0]):
            return SILENCE
        return self.labels[step.argmax()] if step.max() >= least else None


class Listener:
    """Answers a recording a block at a time and keeps what it found, 9 MB for each hour, not the sound.

    A network that was trained with ``features.normalize=speaker`` takes the recording for its own voice: statistics of
    the steps with speech so far are what each window is normalised by. They begin with the training's own. To give a
    file the statistics of all of it from its start on, push it twice: once with ``answering=False``, then with
    ``voice=first.voice()``.

    Args:
        recognizer: What answers.
        name: Name of the recording in messages.
        window: Seconds of a window, a multiple of 0.1; at most what the recognizer reads. By default
            ``WINDOW_SECONDS``, or what it reads if that is less.
        hop: Seconds from one window to the next, a multiple of 0.1, at most ``window``. By default ``HOP_SECONDS``, or
            the window if that is less.
        silence_db: How far below the recording's loud level a frame is silent, whatever the noise.
        batch_size: Windows that are answered at once.
        voice: ``OWN`` for the recording's own so far; a voice that was enrolled; or None for an unknown one, as every
            network without ``features.normalize=speaker`` has it.
        answering: Whether windows are answered, or only measured for ``voice()``.

    Raises:
        UserError: A number is out of its range.

    Example:
        >>> from pathlib import Path
        >>> recognizer = Recognizer.load("outputs/RUN")
        >>> listener = Listener(recognizer, "clip.wav", window=0.2, hop=0.1)
        >>> for block in SoundStream(Path("clip.wav"), recognizer.sample_rate):
        ...     listener.push(block)
        >>> timeline = listener.finish()
        >>> timeline.seconds, min(segment.start for segment in timeline.segments())
        (0.4, 0.0)
    """

    def __init__(
        self, recognizer: Recognizer, name: str, window: float | None = None, hop: float | None = None,
        silence_db: float = SILENCE_DB, batch_size: int = 4, voice: Voice | str | None = OWN, answering: bool = True,
    ) -> None:  # fmt: skip
        most = math.floor(recognizer.seconds * FRAMES)
        self.window = min(round(WINDOW_SECONDS * FRAMES), most) if window is None else in_frames("window", window)
        if not 1 <= self.window <= most:
            raise UserError(
                f"window={self.window / FRAMES} must lie between {1 / FRAMES} and {most / FRAMES}: this network hears "
                f"{recognizer.seconds:.2f} s"
            )
        self.hop = min(round(HOP_SECONDS * FRAMES), self.window) if hop is None else in_frames("hop", hop)
        if self.hop > self.window:
            raise UserError(f"hop={hop} must be at most the window, {self.window / FRAMES} s")
        if not 0 < silence_db < math.inf:
            raise UserError(f"silence_db={silence_db} must be above 0")
        self.recognizer, self.name, self.silence_db, self.batch_size = recognizer, name, silence_db, batch_size
        self.meter = Meter(recognizer.sample_rate)
        self._buffer = np.empty(0, np.float32)
        self._cut = 0  # windows that were cut so far; the buffer starts where the next one does
        self._waiting: list[NDArray[np.float32]] = []
        self._answers: list[list[float]] = []
        self.given = voice if isinstance(voice, Voice | JointVoice) else None
        self.own = recognizer.prior is not None and (voice == OWN or not answering)
        if self.own and isinstance(recognizer, JointRecognizer):
            raise UserError(
                "a model that joins several networks can't take a recording for a voice of its own: --no-own-voice "
                "answers without"
            )
        self.answering = answering
        self._steps: list[Moments] = []
        self._measured = 0  # windows whose steps are among these

    @property
    def seconds(self) -> float:
        """Seconds that were pushed so far."""
        return self.meter.samples / self.recognizer.sample_rate

    @property
    def answered(self) -> int:
        """Number of windows answered so far."""
        return len(self._answers)

    def push(self, samples: NDArray[np.float32]) -> None:
        """Take the next samples ``(time,)``, at the recognizer's rate, full scale at ±1.

        Raises:
            AudioError: The samples are so far beyond full scale that there is no answer.
        """
        self.meter.push(samples)
        self._buffer = np.concatenate([self._buffer, samples])
        while (size := self._sample(self.window)) <= len(self._buffer):
            self._waiting.append(self._buffer[:size])
            self._buffer = self._buffer[self._sample(self.hop) :]
            self._cut += 1
        if len(self._waiting) >= self.batch_size:
            self._answer()

    def voice(self) -> Voice | None:
        """Return the recording's own voice so far, over the steps that have speech; None where there is none yet."""
        levels = self.meter.levels()
        if not self._steps or not len(levels):
            return None
        loud = levels > silence_level(levels, self.silence_db)
        speech = [
            i
            for i in range(len(self._steps))
            if len(step := loud[i * self.hop : (i + 1) * self.hop]) and step.mean() >= SPEECH_SHARE
        ]
        if not any(int(self._steps[i].frames) for i in speech):
            return None
        return Voice.of(Moments.join([self._steps[i] for i in speech]))

    def latest(self, least: float = 0.0) -> Segment:
        """Return the last window's answer; silence if its last hop is, by the levels so far. There must be one.

        Args:
            least: No emotion is given if the largest probability is below it.
        """
        end = (self.answered - 1) * self.hop + self.window
        levels = self.meter.levels()
        loud = levels[end - self.hop : end] > silence_level(levels, self.silence_db)
        start = (self.answered - 1) * self.hop / FRAMES
        if loud.mean() < SPEECH_SHARE:
            return Segment(start, end / FRAMES, SILENCE, {})
        probabilities = dict(zip(self.recognizer.labels, self._answers[-1], strict=True))
        best = max(probabilities, key=probabilities.__getitem__)
        return Segment(start, end / FRAMES, best if probabilities[best] >= least else None, probabilities)

    def finish(self) -> Timeline:
        """Answer what is left, also a shorter window, and return all answers. Nothing may be pushed after it.

        Raises:
            AudioError: As in ``push``.
        """
        covered = self._cut and len(self._buffer) <= self._sample(self.window) - self._sample(self.hop)
        if len(self._buffer) and not covered:
            self._waiting.append(self._buffer)
        self._answer()
        if not self.answering:
            return Timeline([], self.seconds, self.hop / FRAMES, np.empty((0, 0)), self.meter.pieces()[1:])
        levels = self.meter.levels()
        loud = levels > silence_level(levels, self.silence_db)
        starts = np.arange(0, len(loud), self.hop)
        shares = np.array([loud[start : start + self.window].mean() for start in starts[: self.answered]])
        probabilities = smooth(
            np.array(self._answers).reshape(-1, len(self.recognizer.labels)),
            shares,
            len(starts),
            math.ceil(self.window / self.hop),
        )
        probabilities[[loud[start : start + self.hop].mean() < SPEECH_SHARE for start in starts]] = np.nan
        return Timeline(self.recognizer.labels, self.seconds, self.hop / FRAMES, probabilities, self.meter.pieces()[1:])

    def _sample(self, frames: int) -> int:
        """Count samples from the start of the next window to ``frames`` after it; a frame's may be no whole number."""
        rate, start = self.recognizer.sample_rate, self._cut * self.hop
        return (start + frames) * rate // FRAMES - start * rate // FRAMES

    def _answer(self) -> None:
        for first in range(0, len(self._waiting), self.batch_size):
            part = self._waiting[first : first + self.batch_size]
            recordings = [Recording(samples) for samples in part]
            if self.own:
                probabilities = self._answer_own(recordings)
            else:
                probabilities = self.recognizer.probabilities(recordings, self.given)
            if not self.answering:
                continue
            if not probabilities.isfinite().all():
                raise AudioError(f"{self.name}: {TOO_LOUD}")
            self._answers.extend(probabilities.tolist())
        self._waiting = []

    def _answer_own(self, recordings: Sequence[Recording]) -> torch.Tensor:
        """Answer windows by the recording's own voice so far, these windows included, ``(window, class)``."""
        features, real = self.recognizer.extract(recordings)
        hop = self.hop * self.recognizer.sample_rate // FRAMES
        for row, recording in enumerate(recordings):
            # Windows overlap: each step is measured in the first window that holds it.
            for step in range(len(self._steps), self._measured + math.ceil(len(recording.samples) / hop)):
                start = (step - self._measured) * hop
                low, high = self._frames(start), self._frames(min(start + hop, len(recording.samples)))
                part = features[[row], :, low : max(min(high, int(real[row])), low)]
                self._steps.append(Moments.of(part, torch.tensor([part.shape[2]])))
            self._measured += 1
        if not self.answering:
            return torch.empty(0, len(self.recognizer.labels))
        return self.recognizer.decide(features, real, self.voice()).softmax(1)

    def _frames(self, samples: int) -> int:
        """Count the frames of features that so many samples have; 0 for none."""
        return int(self.recognizer.frontend.real_frames(torch.tensor(samples))) if samples else 0


def in_frames(name: str, seconds: float) -> int:
    """Return seconds as a whole number of frames.

    Raises:
        UserError: They are none, or not a multiple of 0.1.
    """
    frames = seconds * FRAMES
    if not (math.isfinite(frames) and frames > 0.5 and abs(frames - round(frames)) < 1e-6):
        raise UserError(f"{name}={seconds} must be a multiple of {1 / FRAMES} s, and above 0")
    return round(frames)


def bands(segments: Sequence[Segment]) -> dict[str, list[tuple[float, float]]]:
    """Return start and length in seconds of each emotion's segments, and of silence, without unanswered ones."""
    found: dict[str, list[tuple[float, float]]] = {}
    for segment in segments:
        if segment.emotion is not None:
            found.setdefault(segment.emotion, []).append((segment.start, segment.end - segment.start))
    return found


def own_voice(listener: Listener, stream: SoundStream) -> Voice | None:
    """Return the voice of a file's speech; its ``listener`` only measures, and answers nothing.

    Raises:
        AudioError: The file can't be read.
    """
    listener.answering = False
    for block in stream:
        listener.push(block)
    listener.finish()
    return listener.voice()
