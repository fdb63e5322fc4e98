"""Any sound file → one mono waveform at the wanted rate, with a defined answer for everything odd."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torchaudio.functional import resample

MIN_SECONDS = 0.1
"""A shorter clip holds no syllable; it is an error."""

SILENCE_PEAK = 1e-4
"""A clip whose largest sample is below this (-80 dB re full scale) is called silent."""


class AudioError(ValueError):
    """A sound file that can't be used; the message names the file and why."""


@dataclass(frozen=True)
class Recording:
    """A decoded clip.

    Attributes:
        samples: ``(time,)``; int16 where that holds the file exactly (16-bit mono at the wanted rate), else float32
            with full scale at ±1.
        remarks: What was odd and what was done about it, each a short phrase.
        silent: Whether nothing in it is louder than ``SILENCE_PEAK``.
    """

    samples: NDArray[np.int16] | NDArray[np.float32]
    remarks: tuple[str, ...] = ()
    silent: bool = False


def read_audio(path: Path, sample_rate: int) -> Recording:
    """Decode ``path`` (WAV, FLAC, OGG, MP3, AIFF: whatever libsndfile reads) to mono at ``sample_rate`` hertz.

    Several channels are averaged, another rate is resampled with ``torchaudio.functional.resample``, and a silent clip
    is kept; each is told in the remarks.

    Raises:
        AudioError: The file is missing or broken, has no samples, is shorter than ``MIN_SECONDS``, or holds NaN or
            infinite samples.
    """
    try:
        with soundfile.SoundFile(path) as file:
            exact = file.subtype == "PCM_16" and file.channels == 1 and file.samplerate == sample_rate
            rate = file.samplerate
            sound = file.read(dtype="int16" if exact else "float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise AudioError(f"{path}: can't be read: {error}") from error
    frames, channels = sound.shape
    if frames == 0:
        raise AudioError(f"{path}: has no samples")
    if frames < MIN_SECONDS * rate:
        raise AudioError(f"{path}: lasts {frames / rate:.3f} s; at least {MIN_SECONDS} s is needed")
    if not np.isfinite(sound).all():
        raise AudioError(f"{path}: holds NaN or infinite samples")
    remarks = []
    samples = sound[:, 0]
    if channels > 1:
        samples = sound.mean(axis=1, dtype=np.float32)
        remarks.append(f"{channels} channels averaged")
    if rate != sample_rate:
        samples = resample(torch.from_numpy(np.ascontiguousarray(samples)), rate, sample_rate).numpy()
        remarks.append(f"resampled from {rate} Hz")
    full_scale = 32768 if exact else 1
    silent = bool(np.abs(samples.astype(np.float32)).max() < SILENCE_PEAK * full_scale)
    if silent:
        remarks.append("silent")
    return Recording(samples, tuple(remarks), silent)
