"""Statistics of one voice's features, and what little speech of a voice is worth.

A network that was trained with ``features.normalize=speaker`` reads features that are brought to mean 0 and standard
deviation 1 over all clips of whoever speaks. In use a voice may have given many clips, few clips, only neutral ones, or
none. ``VoicePrior`` turns each of these into the mean and the deviation to normalise by.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ser.errors import UserError
from ser.features.config import FeatureConfig, converted
from ser.files import write_json

NEUTRAL = "neutral"
"""The emotion of speech that is nothing in particular."""

PRIOR_FRAMES = 600.0
"""Weight of the training's own statistics, in frames, where training has too few speakers to fit it."""

CANDIDATES = (0.0, 37.5, 75.0, 150.0, 300.0, 600.0, 1200.0, 2400.0, 4800.0)
"""Numbers of frames among which the weight of the training's own statistics is chosen."""

ENROLLED = (1, 3, 5, 10, 20)
"""Numbers of clips that the weight is chosen for."""

DRAWS = 4
"""Draws of clips per training speaker and number of clips."""

LEAST_SPEAKERS = 3
"""Fewest training speakers to fit how voices differ."""

LEAST_DEVIATION = 1e-6

VOICE_FORMAT = 1
"""Number of the format of a saved voice."""


class VoiceError(UserError):
    """A voice that can't be used; the message says what is wrong and what to do."""


class Scale(NamedTuple):
    """What features are normalised by: ``mean`` and ``std``, each ``(row, 1)`` or ``(batch, row, 1)``."""

    mean: Tensor
    std: Tensor


@dataclass(frozen=True)
class Moments:
    """Sums over the real frames of clips, in double precision, on the host.

    Attributes:
        frames: Real frames ``(clip,)``, int64.
        total: Sum of each row ``(clip, row)``.
        squares: Sum of each row's squares ``(clip, row)``.
    """

    frames: Tensor
    total: Tensor
    squares: Tensor

    @classmethod
    def of(cls, features: Tensor, real: Tensor) -> "Moments":
        """Sum unscaled features ``(clip, row, frame)`` whose clips have ``real`` frames ``(clip,)``."""
        values = features.detach().cpu().double()
        real = real.cpu()
        values = torch.where(torch.arange(values.shape[2]) < real.view(-1, 1, 1), values, 0)
        return cls(real.long(), values.sum(2), values.square().sum(2))

    @classmethod
    def join(cls, parts: Sequence["Moments"]) -> "Moments":
        """Join the clips of ``parts``, in their order."""
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in ("frames", "total", "squares")))

    def __getitem__(self, clips: Tensor | Sequence[int]) -> "Moments":
        index = torch.as_tensor(clips, dtype=torch.long)
        return Moments(self.frames[index], self.total[index], self.squares[index])

    def __len__(self) -> int:
        return len(self.frames)

    def added(self) -> "Moments":
        """Return the sums over all clips, as those of one."""
        return Moments(*(values.sum(0, keepdim=True) for values in (self.frames, self.total, self.squares)))

    def pooled(self) -> tuple[float, Tensor, Tensor]:
        """Return frames, mean ``(row,)`` and standard deviation ``(row,)`` over the frames of all clips together."""
        count = float(self.frames.sum())
        mean = self.total.sum(0) / count
        variance = (self.squares.sum(0) / count - mean**2).clamp_min(0)
        return count, mean, variance.sqrt()


@dataclass(frozen=True)
class Voice:
    """How one voice's features are spread: plain data, which says nothing about words or emotions.

    Attributes:
        frames: Frames of speech that it was measured on.
        mean: Mean of each row, ``(row,)`` in double precision.
        deviation: Standard deviation of each row, ``(row,)``; 0 where it does not vary, as in a single frame.
        emotions: Shares of the frames by emotion, given by somebody or guessed; empty for not known.
        clips: Recordings that it was measured on.
        features: The options that the features were computed with; empty for not known.
    """

    frames: float
    mean: Tensor
    deviation: Tensor
    emotions: Mapping[str, float] = field(default_factory=dict)
    clips: int = 1
    features: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, moments: Moments, emotions: Mapping[str, float] | None = None, **about: Any) -> "Voice":
        """Measure the voice of some clips.

        Args:
            moments: Sums over its clips, at least one of them with a frame.
            emotions: Shares of the frames by emotion, if known.
            about: Other attributes.

        Raises:
            VoiceError: There is no frame.
        """
        if not len(moments) or not int(moments.frames.sum()):
            raise VoiceError("a voice needs at least one clip with a frame of speech")
        frames, mean, deviation = moments.pooled()
        return cls(frames, mean, deviation, dict(emotions or {}), len(moments), **about)

    def save(self, path: str | Path) -> None:
        """Write the voice to ``path`` as JSON, in one step.

        Raises:
            WriteError: The file can't be written.
        """
        held = {
            "ser_voice": VOICE_FORMAT,
            "features": dict(self.features),
            "clips": self.clips,
            "frames": self.frames,
            "emotions": dict(self.emotions),
            "mean": self.mean.tolist(),
            "deviation": self.deviation.tolist(),
        }
        write_json(Path(path), held, indent=None)

    @classmethod
    def load(cls, path: str | Path) -> "Voice":
        """Read what ``save`` has written.

        Raises:
            VoiceError: The file is no voice, or holds impossible numbers.

        Example:
            >>> Voice(120.0, torch.tensor([0.5]), torch.tensor([2.0])).save("voice.json")
            >>> Voice.load("voice.json").frames
            120.0
        """
        try:
            held = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise VoiceError(f"{path} can't be read as a voice: {error}; save one with Voice.save") from error
        if not isinstance(held, dict) or held.get("ser_voice") != VOICE_FORMAT:
            raise VoiceError(f"{path} is not a voice in format {VOICE_FORMAT}: save one with Voice.save")
        try:
            return _checked(held)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise VoiceError(f"{path} does not hold what a voice holds ({error}): enrol the voice again") from error


def _checked(held: Mapping[str, Any]) -> Voice:
    """Make a voice from plain data.

    Raises:
        KeyError: Something is missing.
        TypeError: Something has another type.
        ValueError: A number is out of its range.
    """
    numbers = {}
    for name in ("mean", "deviation"):
        if not isinstance(held[name], list) or not all(type(value) in (int, float) for value in held[name]):
            raise ValueError(f"{name} must be a list of numbers")
        numbers[name] = torch.tensor(held[name], dtype=torch.float64)
    mean, deviation = numbers["mean"], numbers["deviation"]
    if not len(mean) or mean.shape != deviation.shape:
        raise ValueError("mean and deviation must be of one length")
    if not mean.isfinite().all() or not deviation.isfinite().all() or not (deviation >= 0).all():
        raise ValueError("mean must be finite, and deviation 0 or more")
    frames, clips, emotions, features = (held[name] for name in ("frames", "clips", "emotions", "features"))
    if type(frames) not in (int, float) or not 0 < frames < math.inf:
        raise ValueError(f"frames is {frames!r}, and must be above 0")
    if type(clips) is not int or clips < 1:
        raise ValueError(f"clips is {clips!r}, and must be 1 or more")
    if not isinstance(emotions, dict) or not isinstance(features, dict):
        raise ValueError("emotions and features must be objects")
    if not all(type(share) in (int, float) and 0 <= share <= 1 for share in emotions.values()):
        raise ValueError("emotions must be shares between 0 and 1")
    if sum(emotions.values()) > 1 + 1e-3:
        raise ValueError("emotions must be shares of one whole")
    return Voice(float(frames), mean, deviation, emotions, clips, converted(features))


@dataclass(frozen=True)
class VoicePrior:
    """What training knows of how voices differ, to make the most of little speech.

    A voice's mean and deviation are first corrected for the emotions of its clips, where these are given or guessed:
    neutral speech is softer and varies less than all that a person says, and by how much is known from the training
    speakers. Then they are drawn towards the training's own, which weigh as much as ``frames`` frames of the voice.

    Attributes:
        mean: Mean of each row over the training clips, ``(row,)``.
        std: Standard deviation of each row over the training clips, ``(row,)``.
        frames: Weight of ``mean`` and ``std``, in frames.
        labels: Emotions of ``shift`` and ``log_ratio``.
        shift: Mean over all emotions less that over one of them, average over the training speakers, ``(label, row)``.
        log_ratio: Natural logarithm of the deviation over all emotions by that over one, likewise ``(label, row)``.
        speakers: Training voices that this was fitted on.
    """

    mean: Tensor
    std: Tensor
    frames: float = PRIOR_FRAMES
    labels: tuple[str, ...] = ()
    shift: Tensor = field(default_factory=lambda: torch.empty(0, 0, dtype=torch.float64))
    log_ratio: Tensor = field(default_factory=lambda: torch.empty(0, 0, dtype=torch.float64))
    speakers: int = 0

    @classmethod
    def fit(
        cls, mean: Tensor, std: Tensor, moments: Moments, voices: Sequence[str], emotions: Sequence[str]
    ) -> "VoicePrior":
        """Learn from the training clips how voices and emotions differ.

        The weight of the training's statistics is the one of ``CANDIDATES`` at which 1 to 20 clips of a training voice
        come closest to all of them: by the squared difference of means in units of the voice's deviation, and of the
        logarithms of deviations, over rows, voices and draws.

        Args:
            mean: Mean of each row over the training clips, ``(row,)``.
            std: Standard deviation of each row, ``(row,)``.
            moments: Sums over the training clips.
            voices: Voice of each clip.
            emotions: Emotion of each clip.
        """
        mean, std = mean.double(), std.double()
        places = grouped(voices)
        shift, log_ratio, labels = _emotion_offsets(moments, places, emotions)
        prior = cls(mean, std, PRIOR_FRAMES, labels, shift, log_ratio, len(places))
        if len(places) < LEAST_SPEAKERS:
            return prior
        generator = torch.Generator().manual_seed(0)
        errors = torch.zeros(len(CANDIDATES), dtype=torch.float64)
        for own in places.values():
            _, whole_mean, whole = moments[own].pooled()
            whole = nonzero(whole, whole_mean)
            for count in ENROLLED:
                if count >= len(own):
                    continue
                for _ in range(DRAWS):
                    drawn = torch.tensor(own)[torch.randperm(len(own), generator=generator)[:count]]
                    few = Voice.of(moments[drawn])
                    for i, frames in enumerate(CANDIDATES):
                        found_mean, found = cls(mean, std, frames).statistics(few)
                        errors[i] += ((found_mean - whole_mean) / whole).square().mean()
                        errors[i] += (found / whole).log().square().mean()
        if not errors.any():
            return prior
        return replace(prior, frames=CANDIDATES[int(errors.argmin())])

    def statistics(self, voice: Voice | None) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation to normalise a voice's features by, each ``(row,)`` in double precision.

        Args:
            voice: None for nobody in particular, which gives the training's own.

        Raises:
            VoiceError: The voice has another number of rows.
        """
        if voice is None:
            return self.mean, self.std
        if len(voice.mean) != len(self.mean):
            raise VoiceError(
                f"the voice has {len(voice.mean)} rows, and the features have {len(self.mean)}: enrol it with this "
                "checkpoint"
            )
        # A deviation of few frames that do not vary says nothing: the training's stands for it.
        mean, deviation = voice.mean, torch.where(varies(voice.deviation, voice.mean), voice.deviation, self.std)
        for label, share in voice.emotions.items():
            if label in self.labels:
                place = self.labels.index(label)
                mean = mean + share * self.shift[place]
                deviation = deviation * (share * self.log_ratio[place]).exp()
        weight = voice.frames / (voice.frames + self.frames)
        variance = weight * deviation.square() + (1 - weight) * self.std.square()
        return weight * mean + (1 - weight) * self.mean, variance.sqrt()

    def scale(self, voices: Sequence[Voice | None]) -> Scale:
        """Return what normalises clips of ``voices``, one voice per clip: ``(clip, row, 1)`` in single precision.

        Raises:
            VoiceError: A voice has another number of rows, or numbers that no features have.
        """
        means, deviations = zip(*map(self.statistics, voices), strict=True)
        mean, std = torch.stack(means).float().unsqueeze(2), torch.stack(deviations).float().unsqueeze(2)
        if not mean.isfinite().all() or not std.isfinite().all() or not (std > 0).all():
            raise VoiceError("the voice's numbers are out of all range: enrol it again")
        return Scale(mean, std)

    def state_dict(self) -> dict[str, Any]:
        """Return plain data and tensors for the checkpoint; mean and deviation are in the normaliser's."""
        return {
            "frames": self.frames, "labels": list(self.labels), "shift": self.shift, "log_ratio": self.log_ratio,
            "speakers": self.speakers,
        }  # fmt: skip

    @classmethod
    def from_state(cls, mean: Tensor, std: Tensor, state: Mapping[str, Any]) -> "VoicePrior":
        """Restore what ``state_dict`` gave, with the normaliser's mean and deviation ``(row, 1)``.

        Raises:
            ValueError: Numbers don't go together or are out of their range.
        """
        labels, frames = state["labels"], float(state["frames"])
        named = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        if not named or len(set(labels)) < len(labels) or not 0 <= frames < math.inf:
            raise ValueError("voices: labels must be different words, and frames 0 or more")
        for name in ("shift", "log_ratio"):
            if not isinstance(state[name], Tensor) or state[name].shape != (len(labels), len(mean)):
                raise ValueError(f"voices: {name} must have a row per label and a column per row of the features")
        shift, log_ratio = state["shift"].double(), state["log_ratio"].double()
        prior = cls(
            mean.flatten().double(), std.flatten().double(), frames, tuple(labels), shift, log_ratio,
            int(state["speakers"]),
        )  # fmt: skip
        prior.scale(
            [None, *(Voice(1e9, prior.mean, prior.std, {label: 1.0}) for label in labels)]
        )  # refuses odd numbers
        return prior


def grouped(names: Iterable[str | None]) -> dict[str, list[int]]:
    """Return the places of each name among ``names``, in the order of first places; None has no entry."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        if name is not None:
            places.setdefault(name, []).append(place)
    return places


def _emotion_offsets(
    moments: Moments, places: Mapping[str, Sequence[int]], emotions: Sequence[str]
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Measure how a voice's statistics over all emotions differ from those over one, as ``VoicePrior`` has them.

    An emotion that no voice shows beside another one has no offset and is not among the labels.
    """
    shifts: dict[str, list[Tensor]] = {}
    ratios: dict[str, list[Tensor]] = {}
    for own in places.values():
        if len({emotions[place] for place in own}) < 2:
            continue
        _, mean, deviation = moments[own].pooled()
        for emotion in sorted({emotions[place] for place in own}):
            part = moments[[place for place in own if emotions[place] == emotion]]
            _, its_mean, its_deviation = part.pooled()
            shifts.setdefault(emotion, []).append(mean - its_mean)
            both = varies(deviation, mean) & varies(its_deviation, its_mean)
            ratios.setdefault(emotion, []).append(torch.where(both, deviation / its_deviation, 1).log())
    labels = tuple(sorted(shifts))
    if not labels:
        nothing = torch.empty(0, moments.total.shape[1], dtype=torch.float64)
        return nothing, nothing.clone(), labels
    shift, log_ratio = (
        torch.stack([torch.stack(found[label]).mean(0) for label in labels]) for found in (shifts, ratios)
    )
    return shift, log_ratio, labels


def nonzero(std: Tensor, mean: Tensor) -> Tensor:
    """Return deviations, with 1 in place of those of rows that never change.

    Such a row is only centred; a mean far from 0 leaves it a deviation that is only rounding.
    """
    return torch.where(varies(std, mean), std, 1)


def varies(std: Tensor, mean: Tensor) -> Tensor:
    """Return whether deviations are larger than the rounding of a mean that is far from 0."""
    return std > LEAST_DEVIATION * mean.abs().clamp_min(1)


def described(config: FeatureConfig) -> dict[str, Any]:
    """Return the options that voices of the same features share, without the normaliser and the weights' path."""
    return {name: value for name, value in vars(config).items() if name not in ("normalize", "weights")}
