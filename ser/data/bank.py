"""All waveforms of a run in one contiguous tensor, gathered a batch at a time on whatever device holds it."""

import io
import json
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from ser.data.audio import AudioError, Recording, read_audio
from ser.data.cache import cached, code, contents, digest_of, read_array
from ser.data.corpora import Clip
from ser.errors import UserError

INT16_SCALE = 1 / 32768

DECODED_AT_ONCE = 32
"""Files that are decoded, or wait to be taken, at the same time."""

WIDENED_AT_ONCE = 1 << 24
"""Bytes that are converted from int16 to float32 at the same time."""


class BankError(UserError):
    """Waveforms that memory does not hold; the message gives the remedy."""


@dataclass
class WaveformBank:
    """Clips of any lengths end to end, with no padding kept.

    Attributes:
        samples: ``(total time,)``, int16 where every clip is exact in it, else float32 with full scale at ±1.
        starts: Where each clip begins, ``(clips,)`` int64.
        lengths: Samples of each clip, ``(clips,)`` int64.
        found: What decoding found, by clip's name: a recording, whose samples are a slice of ``samples``, or why the
            clip can't be used. The bank's clips are the recordings, in this order. Empty for waveforms without names.
    """

    samples: Tensor
    starts: Tensor
    lengths: Tensor
    found: Mapping[str, Recording | AudioError] = field(default_factory=dict)

    @classmethod
    def of(
        cls, waveforms: Sequence[np.ndarray], found: Mapping[str, Recording | AudioError] | None = None
    ) -> "WaveformBank":
        """Copy ``waveforms`` into a bank; ``found`` has the names of those that have any."""
        packer = Packer()
        starts = torch.tensor([packer.add(waveform) for waveform in waveforms], dtype=torch.int64)
        lengths = torch.tensor([len(waveform) for waveform in waveforms], dtype=torch.int64)
        return cls(as_tensor(packer.samples()), starts, lengths, found or {})

    def take(self, names: Sequence[str]) -> "WaveformBank":
        """Return a bank of the named clips, in this order, over the same samples; its ``found`` is empty."""
        usable = [name for name, found in self.found.items() if isinstance(found, Recording)]
        row = {name: i for i, name in enumerate(usable)}
        rows = torch.tensor([row[name] for name in names], dtype=torch.int64)
        return WaveformBank(self.samples, self.starts[rows], self.lengths[rows])

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def device(self) -> torch.device:
        """The device that holds the samples."""
        return self.samples.device

    def to(self, device: torch.device) -> "WaveformBank":
        """Move the bank to ``device`` in place, and return it."""
        self.samples = self.samples.to(device)
        self.starts = self.starts.to(device)
        self.lengths = self.lengths.to(device)
        return self

    def gather(self, clips: Tensor, length: int, random_crop: bool = False) -> tuple[Tensor, Tensor]:
        """Return zero-padded float32 waveforms of some clips.

        A clip longer than ``length`` is cropped, around its middle or at a random place.

        Args:
            clips: Indices into the bank, ``(batch,)``, on the bank's device.
            length: Samples of each row of the result.
            random_crop: Draw where a longer clip is cropped, from torch's global generator.

        Returns:
            Waveforms ``(batch, length)`` with full scale at ±1, and the samples of each that are real ``(batch,)``.
        """
        return gather(self.samples, self.starts[clips], self.lengths[clips], length, random_crop)


def as_tensor(array: np.ndarray) -> Tensor:
    """Return ``array``'s memory as a tensor; that of a mapped file must only be read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


class Packer:
    """Writes waveforms end to end as they come: int16 as long as that is exact, from then on float32.

    Args:
        begin: dtype's name → a new binary file for it, in memory by default. The first one is read once more when int16
            no longer holds every waveform.
    """

    def __init__(self, begin: Callable[[str], BinaryIO] = lambda _: io.BytesIO()) -> None:
        self.begin = begin
        self.file = begin("int16")
        self.dtype: type = np.int16
        self.length = 0

    def add(self, waveform: np.ndarray) -> int:
        """Write ``waveform`` ``(time,)``, and return the sample that it starts at."""
        if waveform.dtype != np.int16 and self.dtype == np.int16:
            self._widen()
        start = self.length
        self.file.write(np.ascontiguousarray(self._scaled(waveform)).data)
        self.length += len(waveform)
        return start

    def samples(self) -> np.ndarray:
        """The samples that were written to memory, ``(total time,)``."""
        assert isinstance(self.file, io.BytesIO)
        return np.frombuffer(self.file.getbuffer(), self.dtype)

    def _scaled(self, waveform: np.ndarray) -> np.ndarray:
        if waveform.dtype == self.dtype:
            return waveform
        return np.multiply(waveform, np.float32(INT16_SCALE), dtype=np.float32)

    def _widen(self) -> None:
        narrow, self.file, self.dtype = self.file, self.begin("float32"), np.float32
        narrow.seek(0)
        while block := narrow.read(WIDENED_AT_ONCE):
            self.file.write(self._scaled(np.frombuffer(block, np.int16)).data)
        narrow.close()


def gather(
    samples: Tensor, starts: Tensor, lengths: Tensor, length: int, random_crop: bool = False
) -> tuple[Tensor, Tensor]:
    """Gather clips from ``samples`` ``(total time,)``, where they begin at ``starts`` ``(batch,)``.

    A CPU copies clip by clip, because the indices would be more work than the samples. Other devices index once,
    because each copy would wait for the last.
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


def decode(
    paths: Sequence[Path], sample_rate: int, middle: int | None = None, pipes: bool = False
) -> list[Recording | AudioError]:
    """Read many files at once, in order; a file that can't be used gives its error in place of a recording.

    Args:
        paths: Paths of the files.
        sample_rate: Wanted rate in hertz.
        middle: Number of samples around the middle of each that are wanted; by default all.
        pipes: Whether a pipe is also accepted, as in ``read_audio``.
    """
    return list(_decoded(paths, sample_rate, **({} if middle is None else {"middle": middle, "pipes": pipes})))


def _decoded(paths: Sequence[Path], sample_rate: int, **choices: Any) -> Iterator[Recording | AudioError]:
    """Read files one by one, at most ``DECODED_AT_ONCE`` ahead."""
    waiting: deque[Future[Recording | AudioError]] = deque()
    pool = ThreadPoolExecutor()
    try:
        for path in paths:
            waiting.append(pool.submit(_read_or_error, path, sample_rate, **choices))
            if len(waiting) == DECODED_AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def decode_clips(
    clips: Sequence[Clip], sample_rate: int, cache: Path | None = None, mapped: bool = False
) -> WaveformBank:
    """Read the files of clips into a bank on the host, at most ``DECODED_AT_ONCE`` of them beside it.

    Args:
        clips: Clips, each with a name of its own.
        sample_rate: Wanted rate in hertz.
        cache: Keep the samples in this folder, and take them from there if the same files were decoded before.
        mapped: Leave the samples there, where the system reads them as they are needed, and not in memory.

    Returns:
        A bank of the clips that can be used; its ``found`` has all of them.

    Raises:
        CacheError: The cache can't be written to, or an entry is damaged.
        BankError: The samples need more memory than there is.
    """
    try:
        return _decode_clips(clips, sample_rate, cache, mapped)
    except MemoryError as error:
        raise BankError(
            f"{len(clips):,} clips at {sample_rate:,} Hz take more memory than there is: leave them in files "
            "(datamodule.bank=mmap datamodule.cache=FOLDER), or take a lower features.sample_rate"
        ) from error


def refuse_skipped(reasons: Sequence[str], strict: bool) -> None:
    """Refuse clips that can't be used if ``strict`` is on.

    Raises:
        UserError: There are such clips; the message gives the reasons.
    """
    if reasons and strict:
        raise UserError(f"{len(reasons)} clips can't be used, and dataset.strict=true:", *reasons)


def _decode_clips(clips: Sequence[Clip], sample_rate: int, cache: Path | None, mapped: bool) -> WaveformBank:
    paths = [clip.path for clip in clips]
    if cache is None:
        digests: Sequence[str | None] = [None] * len(clips)
        packer = Packer()
        packed: Sequence[Packed | AudioError | None] = _pack(paths, sample_rate, packer)
        samples = packer.samples()
    else:
        digests = contents(paths)
        depends_on = {
            "sample_rate": sample_rate,
            "clips": len(clips),
            "contents": digest_of(digests),
            "code": code("data/audio.py", "data/bank.py"),
        }
        entry = cached(cache, "waveforms", depends_on, partial(_write, paths=paths, sample_rate=sample_rate), mapped)
        packed, samples = _read(entry, mapped)
    outcomes: dict[str, Recording | AudioError] = {}
    rows: list[tuple[int, int]] = []
    for i, (clip, found) in enumerate(zip(clips, packed, strict=True)):
        if isinstance(found, AudioError):
            outcomes[clip.name] = found
        elif found is None:  # could not be read when the cache was made; the reason is looked up again
            again = _read_or_error(clip.path, sample_rate)
            outcomes[clip.name] = again if isinstance(again, AudioError) else replace(again, content=digests[i])
        else:
            start, length, about = found
            about = {**about, "remarks": tuple(about["remarks"]), "content": digests[i]}
            outcomes[clip.name] = Recording(samples[start : start + length], **about)
            rows.append((start, length))
    usable = [found.samples for found in outcomes.values() if isinstance(found, Recording)]
    if len(rows) < len(usable):  # one that can be read by now is beside the others
        return WaveformBank.of(usable, outcomes)
    starts, lengths = torch.tensor(rows, dtype=torch.int64).view(-1, 2).unbind(1)
    return WaveformBank(as_tensor(samples), starts, lengths, outcomes)


Packed = tuple[int, int, dict[str, Any]]
"""First sample of a clip, how many there are, and the other attributes of its ``Recording``."""


def _pack(paths: Sequence[Path], sample_rate: int, packer: Packer) -> list[Packed | AudioError]:
    packed: list[Packed | AudioError] = []
    for outcome in _decoded(paths, sample_rate):
        if isinstance(outcome, AudioError):
            packed.append(outcome)
            continue
        about = {name: value for name, value in vars(outcome).items() if name not in ("samples", "content")}
        packed.append((packer.add(outcome.samples), len(outcome.samples), about))
    return packed


def _write(folder: Path, paths: Sequence[Path], sample_rate: int) -> None:
    """Make a cache's entry: ``samples.DTYPE`` and ``recordings.json``."""
    packer = Packer(lambda dtype: (folder / f"samples.{dtype}").open("w+b"))
    packed = _pack(paths, sample_rate, packer)
    packer.file.close()
    if packer.dtype != np.int16:
        (folder / "samples.int16").unlink()
    kept = [None if isinstance(found, AudioError) else found for found in packed]
    (folder / "recordings.json").write_text(json.dumps(kept))


def _read(entry: Path, mapped: bool) -> tuple[list[Packed | None], np.ndarray]:
    (file,) = entry.glob("samples.*")
    packed = json.loads((entry / "recordings.json").read_text())
    length = sum(found[1] for found in packed if found is not None)
    return packed, read_array(file, (length,), file.suffix[1:], mapped)


def _read_or_error(path: Path, sample_rate: int, **choices: Any) -> Recording | AudioError:
    try:
        return read_audio(path, sample_rate, **choices)
    except AudioError as error:
        return error


def reasons(recordings: Mapping[str, Recording | AudioError]) -> dict[str, str]:
    """Return why clips can't be used, by name; empty if all can."""
    return {name: str(found) for name, found in recordings.items() if isinstance(found, AudioError)}


def fingerprints(recordings: Mapping[str, Recording | AudioError]) -> dict[str, str | None]:
    """Return by clip's name a digest that is equal for clips that decode to the same samples; None if there is none."""
    return {
        name: recording.fingerprint if isinstance(recording, Recording) else None
        for name, recording in recordings.items()
    }
