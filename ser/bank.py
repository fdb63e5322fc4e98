"""All waveforms of a run in one contiguous tensor, gathered a batch at a time on whatever device holds it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ser.audio import AudioError, Recording, read_audio
from ser.corpora import Clip

INT16_SCALE = 1 / 32768


class WaveformBank:
    """Clips of any lengths end to end: samples and offsets, with no padding kept.

    Attributes:
        samples: ``(total time,)``, int16 where every clip is exact in it, else float32 with full scale at ±1.
        offsets: ``(clips + 1,)`` int64; clip ``i`` is ``samples[offsets[i]:offsets[i + 1]]``.
    """

    def __init__(self, waveforms: Sequence[np.ndarray]) -> None:
        dtype = np.int16 if all(waveform.dtype == np.int16 for waveform in waveforms) else np.float32
        lengths = [len(waveform) for waveform in waveforms]
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        samples = np.empty(offsets[-1], dtype)
        for waveform, start, end in zip(waveforms, offsets[:-1], offsets[1:], strict=True):
            if waveform.dtype == dtype:
                samples[start:end] = waveform
            else:
                np.multiply(waveform, np.float32(INT16_SCALE), out=samples[start:end])
        self.samples = torch.from_numpy(samples)
        self.offsets = torch.from_numpy(offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Tensor:
        """Samples of each clip, ``(clips,)`` int64."""
        return self.offsets.diff()

    @property
    def device(self) -> torch.device:
        """Where the samples are."""
        return self.samples.device

    def to(self, device: torch.device) -> "WaveformBank":
        """Move the bank to ``device`` in place, and return it."""
        self.samples = self.samples.to(device)
        self.offsets = self.offsets.to(device)
        return self

    def gather(self, clips: Tensor, length: int, random_crop: bool = False) -> tuple[Tensor, Tensor]:
        """Zero-padded float32 waveforms of some clips.

        A clip longer than ``length`` is cropped, about its middle or at a random place.

        Args:
            clips: Indices into the bank, ``(batch,)``, on the bank's device.
            length: Samples of each row of the result.
            random_crop: Draw where a longer clip is cropped, from torch's global generator.

        Returns:
            Waveforms ``(batch, length)`` with full scale at ±1, and the samples of each that are real ``(batch,)``.
        """
        starts = self.offsets[clips]
        return gather(self.samples, starts, self.offsets[clips + 1] - starts, length, random_crop)


def gather(
    samples: Tensor, starts: Tensor, lengths: Tensor, length: int, random_crop: bool = False
) -> tuple[Tensor, Tensor]:
    """The same for clips that begin at ``starts`` ``(batch,)`` of ``samples`` ``(total time,)``.

    On a CPU clip by clip, elsewhere in one indexing: there a copy of each would wait for the last, here the indices
    would be more work than the samples.
    """
    surplus = (lengths - length).clamp_min(0)
    if random_crop:
        draw = torch.rand(len(starts), device=samples.device)
        starts = starts + (draw * (surplus + 1)).long()
    else:
        starts = starts + surplus // 2
    lengths = lengths.clamp_max(length)
    if samples.device.type == "cpu" and not torch.compiler.is_exporting():
        waveforms = torch.zeros(len(starts), length)
        for row, start, size in zip(waveforms, starts.tolist(), lengths.tolist(), strict=True):
            row[:size] = samples[start : start + size]
    else:
        time = torch.arange(length, device=samples.device)
        waveforms = samples[(starts[:, None] + time).clamp_max(samples.shape[0] - 1)].to(torch.float32)
        waveforms = waveforms * (time < lengths[:, None])
    if samples.dtype == torch.int16:
        waveforms *= INT16_SCALE
    return waveforms, lengths


def decode(paths: Sequence[Path], sample_rate: int) -> list[Recording | AudioError]:
    """Read many files at once, in order; a file that can't be used gives its error in place of a recording."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(partial(_read_or_error, sample_rate=sample_rate), paths))


def decode_clips(clips: Sequence[Clip], sample_rate: int) -> dict[str, Recording | AudioError]:
    """The same for clips, by their names."""
    outcomes = decode([clip.path for clip in clips], sample_rate)
    return {clip.name: outcome for clip, outcome in zip(clips, outcomes, strict=True)}


def _read_or_error(path: Path, sample_rate: int) -> Recording | AudioError:
    try:
        return read_audio(path, sample_rate)
    except AudioError as error:
        return error


def fingerprints(recordings: Mapping[str, Recording | AudioError]) -> dict[str, str | None]:
    """Clip's name → what equals that of another clip if both decode to the same samples; None for what has none."""
    return {
        name: recording.fingerprint if isinstance(recording, Recording) else None
        for name, recording in recordings.items()
    }
