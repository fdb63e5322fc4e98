"""Any sound file → one mono waveform at the wanted rate, with a defined answer for everything odd."""

import hashlib
import math
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torchaudio.transforms import Resample

from ser.errors import UserError

MIN_SECONDS = 0.1
"""A shorter clip holds no syllable; it is an error."""

SILENCE_PEAK = 1e-4
"""A clip whose largest sample is below this (-80 dB re full scale) is called silent."""

RATES = (1_000, 1_000_000)
"""Lowest and highest rate in hertz; a header with another one is damaged, or the file is no sound."""

LARGEST_KERNEL = 100_000_000
"""Numbers in a resampling kernel, 400 MB. From 24,414 Hz, a rate of some corpora, to 16,000 Hz it has 98 million."""

UNKNOWN_FRAMES = 2**62
"""A FLAC file whose header does not tell its length has more frames than this, as libsndfile counts."""

_ONE_AT_A_TIME = Lock()


class AudioError(UserError):
    """A sound file that can't be used; the message names the file and why."""


@dataclass(frozen=True)
class Recording:
    """A decoded clip.

    Attributes:
        samples: ``(time,)``; int16 where that holds the file exactly (16-bit mono at the wanted rate), else float32
            with full scale at ±1.
        remarks: What was odd and what was done about it, each a short phrase.
        silent: Whether nothing in it is louder than ``SILENCE_PEAK``.
        clipped: Share of the samples at full scale, 0 to 1.
        fingerprint: Equal for two files whose samples, averaged over channels, are equal, whatever their format; a
            resampled, cut or louder copy has another one. None for silence.
        seconds: How long the file is.
        rate: Of the file, in samples a second.
        channels: Of the file.
        content: Digest of the file's bytes, where a cache is in use.
    """

    samples: NDArray[np.int16] | NDArray[np.float32]
    remarks: tuple[str, ...] = ()
    silent: bool = False
    clipped: float = 0.0
    fingerprint: str | None = None
    seconds: float = 0.0
    rate: int = 0
    channels: int = 1
    content: str | None = None


def read_audio(path: Path, sample_rate: int) -> Recording:
    """Decode ``path`` (WAV, FLAC, OGG, MP3, AIFF: whatever libsndfile reads) to mono at ``sample_rate`` hertz.

    Several channels are averaged, another rate is resampled as ``torchaudio.functional.resample`` does, and a silent
    clip is kept; each is told in the remarks.

    Raises:
        AudioError: The file is missing or broken, has no samples, is shorter than ``MIN_SECONDS``, holds NaN or
            infinite samples, or its header does not tell its length or tells more than memory holds; or its rate can't
            be used, as ``check_rate`` says.
    """
    with open_sound(path, sample_rate) as file:
        exact = file.subtype == "PCM_16" and file.channels == 1 and file.samplerate == sample_rate
        rate = file.samplerate
        try:
            sound = file.read(dtype="int16" if exact else "float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise AudioError(f"{path}: can't be read: {error}") from error
        except (MemoryError, ValueError) as error:
            raise AudioError(f"{path}: its header tells more samples than memory holds: {error}") from error
    return _recording(str(path), sound, rate, sample_rate)


def from_samples(samples: NDArray[np.float32], rate: float, sample_rate: int) -> Recording:
    """The same for samples in memory, ``(time,)`` or ``(channel, time)`` with full scale at ±1.

    Raises:
        AudioError: They have another shape, are too few, or hold NaN or infinite values; or ``rate`` can't be used, as
            ``check_rate`` says.
    """
    if samples.ndim not in (1, 2) or 0 in samples.shape or not 0 < rate < math.inf:
        raise AudioError(
            f"samples of shape {samples.shape} at {rate} Hz: (time,) or (channel, time) is wanted, over 0 Hz"
        )
    check_rate("the samples", round(rate), sample_rate)
    return _recording("the samples", samples.reshape(-1, samples.shape[-1]).T, round(rate), sample_rate)


def _recording(name: str, sound: NDArray[np.int16] | NDArray[np.float32], rate: int, sample_rate: int) -> Recording:
    """Samples ``(time, channel)``, int16 only where that is exact in the end → a recording at ``sample_rate``."""
    exact = sound.dtype == np.int16
    frames, channels = sound.shape
    if frames == 0:
        raise AudioError(f"{name}: has no samples")
    if frames < MIN_SECONDS * rate:
        raise AudioError(f"{name}: lasts {frames / rate:.3f} s; at least {MIN_SECONDS} s is needed")
    if not np.isfinite(sound).all():
        raise AudioError(f"{name}: holds NaN or infinite samples")
    remarks = []
    samples = sound[:, 0]
    if channels > 1:
        samples = sound.mean(axis=1, dtype=np.float32)
        remarks.append(f"{channels} channels averaged")
    full_scale = 32767 if exact else 32767 / 32768
    loudest = np.abs(samples.astype(np.float32))
    silent = bool(loudest.max() < SILENCE_PEAK * full_scale)
    clipped = float((loudest >= full_scale).mean())
    fingerprint = None if silent else _fingerprint(samples)
    if rate != sample_rate:
        samples = resampler(rate, sample_rate)(torch.from_numpy(np.ascontiguousarray(samples))).numpy()
        remarks.append(f"resampled from {rate} Hz")
    if silent:
        remarks.append("silent")
    return Recording(samples, tuple(remarks), silent, clipped, fingerprint, frames / rate, rate, channels)


def _fingerprint(samples: NDArray[np.int16] | NDArray[np.float32]) -> str:
    """Of samples as they are in the file; those that 16 bits hold exactly count as 16-bit ones in any format."""
    if samples.dtype != np.int16:
        scaled = samples * np.float32(32768)
        whole = np.rint(scaled)
        if np.array_equal(scaled, whole) and whole.min() >= -32768 and whole.max() <= 32767:
            samples = whole.astype(np.int16)
    return hashlib.blake2b(samples.tobytes(), digest_size=16).hexdigest()


def open_sound(path: Path, sample_rate: int) -> soundfile.SoundFile:
    """Open a sound file that is to be brought to ``sample_rate`` hertz.

    Raises:
        AudioError: It is missing, or its header is broken, does not tell its length, or tells a rate that can't be
            used, as ``check_rate`` says.
    """
    try:
        try:
            file = soundfile.SoundFile(path)
        except UnicodeEncodeError:  # a name that is not UTF-8
            file = soundfile.SoundFile(os.fsencode(path))
    except (OSError, TypeError, ValueError, soundfile.SoundFileError) as error:  # TypeError: a name that ends in .raw
        raise AudioError(f"{path}: can't be read: {error}") from error
    try:
        check_rate(str(path), file.samplerate, sample_rate)
        if file.frames > UNKNOWN_FRAMES:  # libsndfile can't read it block by block, nor tell how much to make room for
            raise AudioError(f"{path}: its header does not tell its length: write it to a file once more")
    except AudioError:
        file.close()
        raise
    return file


def check_rate(name: str, rate: int, sample_rate: int) -> None:
    """Refuse a rate that can't be brought to ``sample_rate`` hertz in reasonable memory.

    Raises:
        AudioError: It is not within ``RATES``, or its greatest common divisor with ``sample_rate`` is so small that the
            kernel would have more numbers than ``LARGEST_KERNEL``.
    """
    low, high = RATES
    if not low <= rate <= high:
        raise AudioError(f"{name}: its rate is {rate:,} Hz; from {low:,} to {high:,} Hz can be used")
    divisor = math.gcd(rate, sample_rate)
    if rate // divisor * (sample_rate // divisor) > LARGEST_KERNEL:
        raise AudioError(
            f"{name}: from its {rate:,} Hz to {sample_rate:,} Hz would take too much memory, for the two have no "
            f"common divisor but {divisor}: resample it to {sample_rate:,} Hz with another program"
        )


def resampler(rate: int, sample_rate: int) -> Resample:
    """torchaudio's, from ``rate`` to ``sample_rate`` hertz, made once for all threads."""
    with _ONE_AT_A_TIME:
        return _make_resampler(rate, sample_rate)


@lru_cache(maxsize=4)
def _make_resampler(rate: int, sample_rate: int) -> Resample:
    """Kernels of rates with a small common divisor (24,414 and 16,000 Hz) take seconds to make, and 400 MB."""
    return Resample(rate, sample_rate, dtype=torch.float32)
