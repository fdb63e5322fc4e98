"""Any sound file → one mono waveform at the wanted rate, with a defined answer for everything odd."""

import hashlib
import math
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Protocol, runtime_checkable

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torchaudio.transforms import Resample

from ser.data.formats import why_no_samples, why_not_sound, why_unreadable
from ser.errors import UserError

MIN_SECONDS = 0.1
"""Shortest clip in seconds. A shorter one holds no syllable, and is an error."""

SILENCE_PEAK = 1e-4
"""Largest sample of a silent clip, -80 dB re full scale."""

RATES = (1_000, 1_000_000)
"""Lowest and highest rate in hertz. A header with another rate is damaged, or the file is not sound."""

LARGEST_KERNEL = 100_000_000
"""Most numbers in a resampling kernel, 400 MB. From 24,414 Hz, the rate of a corpus, to 16,000 Hz it has 98 million."""

UNKNOWN_FRAMES = 2**62
"""Number of frames that libsndfile exceeds for a FLAC file whose header does not give its length."""

LOUDEST = 16.0
"""Largest float that is accepted, 24 dB over full scale. Larger ones are integer samples that were stored as floats."""

BLOCK = 16_384
"""Number of samples of each channel that are decoded at once."""

WHOLE_SAMPLES = 2**24
"""Most samples, 17 minutes at 16,000 Hz, of a recording that is decoded and resampled in one piece.

Of a longer one only the wanted part is decoded, and it is resampled in pieces.
"""

MOST_SAMPLES = 2**28
"""Most samples of a clip, 4.7 hours at 16,000 Hz. A longer one is refused."""

MOST_PIPED = 2**32
"""Most bytes that are read from a pipe. A pipe that brings more is refused."""

PIPES = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")
"""Beginnings of the names of pipes that were deliberately handed to this process."""

SILENT = "silent"
BREAKS_OFF = "breaks off before the end that its header tells"
CANCELS = "channels cancel each other out"
IN_PART = "heard in part"

LEAST_LEFT = 0.1
"""Share of the power that the mean of unlike channels has; channels whose mean has less cancel each other out."""

_DECLARED_BYTES = re.compile(
    r"^\s*(?:data|SSND|BODY|Data Size|riff)\s*: (?P<said>\d+) \(should be (?P<found>\d+)\)", re.MULTILINE
)
_DECLARED_FRAMES = re.compile(r"^Data length (\d+) should be|'ds64' chunk of (\d+)\.", re.MULTILINE)
_DECLARED_BY_SPHERE = re.compile(rb"^sample_count -i (\d+)", re.MULTILINE)

_ONE_AT_A_TIME = Lock()


@runtime_checkable
class Readable(Protocol):
    """A file that is open for reading bytes, or another object with its ``read``."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most ``size``, and none at the end."""


class AudioError(UserError):
    """A sound file that can't be used; the message names the file and why."""


@dataclass(frozen=True)
class Recording:
    """A decoded clip.

    Attributes:
        samples: ``(time,)``; int16 where that holds the file exactly (16-bit mono at the wanted rate), otherwise
            float32 with full scale at ±1.
        remarks: Short phrases that say what was odd and what was done about it.
        silent: Whether no sample is larger than ``SILENCE_PEAK``.
        clipped: Share of the samples at full scale, 0 to 1.
        fingerprint: Equal for two files whose samples, averaged over channels, are equal, whatever their format; a
            resampled, cut or louder copy has another one. None for silence.
        seconds: Duration of the file.
        rate: Sample rate of the file in hertz.
        channels: Number of channels of the file.
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


def kind_of(remark: str) -> str:
    """Return a remark without the numbers in brackets at its end. Remarks of one kind are counted together."""
    return remark.partition(" (")[0]


def read_audio(path: Path, sample_rate: int, middle: int | None = None, pipes: bool = False) -> Recording:
    """Decode ``path`` (WAV, FLAC, OGG, MP3, AIFF and all else that libsndfile reads) to mono at ``sample_rate`` hertz.

    Several channels are averaged, and another rate is resampled as ``torchaudio.functional.resample`` does. A clip is
    kept if it is silent, if it ends before the length in its header, or if its channels cancel each other out; the
    remarks say so.

    Args:
        path: A regular file.
        sample_rate: Wanted rate in hertz.
        middle: Number of samples around the middle that are wanted; by default all. Others are not kept, and those of
            a long file are not even decoded. ``silent`` and ``clipped`` then describe the wanted samples, and
            ``fingerprint`` is None.
        pipes: Whether a pipe is also accepted, if its name begins with one of ``PIPES``.

    Raises:
        AudioError: The file is missing or broken, has no samples, is shorter than ``MIN_SECONDS``, holds NaN or
            infinite samples or some beyond ``LOUDEST``. Or it has more samples than memory holds or, where all are
            wanted, than ``MOST_SAMPLES``. Or ``check_rate`` refuses its rate.
    """
    if pipes and is_pipe(path):
        with path.open("rb") as pipe:
            return read_stream(pipe, str(path), sample_rate, middle)
    with open_sound(path, sample_rate) as file:
        return _read(file, str(path), sample_rate, middle)


def read_stream(stream: Readable, name: str, sample_rate: int, middle: int | None = None) -> Recording:
    """Decode the rest of a binary stream as ``read_audio`` decodes a file.

    Raises:
        AudioError: The sound can't be used, as in ``read_audio``, or has more than ``MOST_PIPED`` bytes.
    """
    with tempfile.TemporaryFile() as copy:  # libsndfile can seek in it, which most formats need
        try:
            while block := stream.read(1 << 20):
                if isinstance(block, str):
                    raise AudioError(f"{name}: is open as text: open it with 'rb'")
                copy.write(block)
                if copy.tell() > MOST_PIPED:
                    raise AudioError(f"{name}: more than {MOST_PIPED:,} bytes come: write them to a file first")
            copy.seek(0)
        except OSError as error:
            raise AudioError(f"{name}: can't be read: {error}") from error
        try:
            file = SequentialFile(copy)
        except soundfile.SoundFileError as error:
            copy.seek(0)
            why = why_not_sound(Path("FILE"), copy.read(4096)) or plain(error)
            raise AudioError(f"{name}: can't be read: {why}") from error
        with file:
            check_rate(name, file.samplerate, sample_rate)
            return _read(file, name, sample_rate, middle)


def from_samples(samples: NDArray[np.float32], rate: float, sample_rate: int) -> Recording:
    """Make a recording of samples in memory, ``(time,)`` or ``(channel, time)`` with full scale at ±1.

    The order ``(time, channel)`` of soundfile is recognised if the samples would otherwise last less than
    ``MIN_SECONDS``.

    Raises:
        AudioError: The samples have another shape, are too few, or hold NaN or infinite values or some beyond
            ``LOUDEST``; or ``check_rate`` refuses ``rate``.
    """
    if samples.ndim not in (1, 2) or 0 in samples.shape or not 0 < rate < math.inf:
        raise AudioError(
            f"samples of shape {samples.shape} at {rate:g} Hz: (time,) or (channel, time) is wanted, over 0 Hz"
        )
    check_rate("the samples", round(rate), sample_rate)
    if samples.ndim == 2 and samples.shape[1] < MIN_SECONDS * rate <= samples.shape[0]:
        samples = samples.T
    mixer = Mixer("the samples", 1 if samples.ndim == 1 else len(samples))
    mono = mixer(samples.reshape(-1, samples.shape[-1]).T)
    _check_length("the samples", len(mono), round(rate))
    return _recording(mixer, mono, round(rate), sample_rate, _Part(len(mono), 0, None), ())


class Mixer:
    """Averages the channels of a recording, which may come in blocks, and checks them.

    Args:
        name: Name of the recording for messages.
        channels: Number of its channels.
    """

    def __init__(self, name: str, channels: int) -> None:
        self.name, self.channels = name, channels
        self._each, self._mean = 0.0, 0.0  # power so far

    def __call__(self, block: NDArray[np.int16] | NDArray[np.float32]) -> NDArray[np.int16] | NDArray[np.float32]:
        """Return the mean ``(time,)`` over the channels of ``(time, channel)``; int16 must have one channel.

        Raises:
            AudioError: The block holds NaN or infinite samples, or some beyond ``LOUDEST``.
        """
        if block.dtype != np.int16 and block.size:
            largest = float(np.maximum(-block.min(), block.max()))
            if not math.isfinite(largest):
                raise AudioError(f"{self.name}: holds NaN or infinite samples")
            if largest > LOUDEST:
                raise AudioError(
                    f"{self.name}: holds floats as large as {largest:,.0f}, far beyond full scale, which is 1: "
                    "divide them by 32768 if they are 16-bit samples"
                )
        if self.channels == 1:
            return block[:, 0]
        mean = block.mean(axis=1, dtype=np.float32)
        self._each += float(np.vdot(block, block))
        self._mean += float(np.vdot(mean, mean))
        return mean

    def remarks(self) -> list[str]:
        """Return remarks about the channels of all blocks so far."""
        if self.channels == 1:
            return []
        cancel = self._mean * self.channels**2 < LEAST_LEFT * self._each
        return [f"{self.channels} channels averaged", *([CANCELS] if cancel else [])]


@dataclass(frozen=True)
class _Part:
    """Which part of a recording was decoded, and which of it is wanted.

    Attributes:
        frames: Number of frames of the complete recording.
        first: First frame that was decoded.
        middle: Number of samples around the middle of the result that are wanted, or None for all.
    """

    frames: int
    first: int
    middle: int | None

    def wanted(self, rate: int, sample_rate: int) -> slice:
        """Return the position of the wanted samples in the complete result."""
        length = math.ceil(self.frames * sample_rate / rate)
        start = 0 if self.middle is None else max(length - self.middle, 0) // 2
        return slice(start, length if self.middle is None else min(start + self.middle, length))


def _read(file: "SequentialFile", name: str, sample_rate: int, middle: int | None) -> Recording:
    rate, frames, mixer = file.samplerate, file.frames, Mixer(name, file.channels)
    said = declared_seconds(file)
    exact = file.subtype == "PCM_16" and file.channels == 1 and rate == sample_rate
    try:
        if frames > UNKNOWN_FRAMES:
            frames = _count(file, frames)
        if long := middle is not None and frames > WHOLE_SAMPLES:
            frames = _true_frames(file, frames)
        elif frames > MOST_SAMPLES:
            most = f"{MOST_SAMPLES / rate / 3600:.1f} h at {rate:,} Hz"
            raise AudioError(f"{name}: lasts {frames / rate / 3600:.1f} h; a clip may last {most}: cut it into clips")
        part = _Part(frames, 0, middle)
        last = frames
        if long:
            first, last = _needed(part.wanted(rate, sample_rate), frames, rate, sample_rate)
            part = _Part(frames, first, middle)
        mono = np.empty(last - part.first, np.int16 if exact else np.float32)
        filled = 0
        for block in _blocks(file, part.first, len(mono), exact):
            mono[filled : filled + len(block)] = mixer(block)
            filled += len(block)
        if not long or not filled:
            _check_length(name, filled, rate)
        if not long:
            mono, part = mono[:filled], _Part(filled, 0, middle)
        elif filled < len(mono):
            raise AudioError(f"{name}: ends before the {frames / rate:.1f} s that its header tells, in its middle")
        broken = breaks_off(part.frames / rate, said)
        return _recording(mixer, mono, rate, sample_rate, part, broken)
    except soundfile.SoundFileError as error:
        raise _unreadable(name, error) from error
    except (MemoryError, ValueError, RuntimeError) as error:  # torch's is a RuntimeError
        if isinstance(error, AudioError) or (isinstance(error, RuntimeError) and "allocate" not in str(error)):
            raise
        raise AudioError(f"{name}: its header tells more samples than memory holds: {error}") from error


def _unreadable(name: str, error: soundfile.SoundFileError) -> AudioError:
    return AudioError(f"{name}: can't be read: {plain(error)}")


def _check_length(name: str, frames: int, rate: int) -> None:
    """Refuse a file that has no samples, or is shorter than ``MIN_SECONDS``."""
    if frames == 0:
        raise AudioError(f"{name}: {why_no_samples(Path(name))}")
    if frames < MIN_SECONDS * rate:
        raise AudioError(f"{name}: lasts {frames / rate:.3f} s; at least {MIN_SECONDS} s is needed")


def _blocks(file: "SequentialFile", first: int, count: int, exact: bool) -> Iterator[np.ndarray]:
    """Decode ``count`` frames from ``first`` in blocks ``(time, channel)``; fewer where the file ends before."""
    first -= file.skip(first)
    dtype = "int16" if exact else "float32"
    while count > 0 and len(block := file.read(min(BLOCK, first or count), dtype=dtype, always_2d=True)):
        if first:  # what can't be skipped is decoded
            first -= len(block)
            continue
        count -= len(block)
        yield block


def _true_frames(file: "SequentialFile", declared: int) -> int:
    """Return the number of frames; a file that ends before the ``declared`` ones is decoded to count them."""
    last = max(declared - BLOCK, 0)
    try:
        if not file.skip(last) or sum(map(len, _blocks(file, last, BLOCK, exact=False))) == declared - last:
            return declared
    except soundfile.SoundFileError:
        pass  # it ends before, or is broken, which is reported when it is decoded
    return _count(file, declared)


def _count(file: "SequentialFile", most: int) -> int:
    return sum(map(len, _blocks(file, 0, most, exact=False)))


def _needed(wanted: slice, frames: int, rate: int, sample_rate: int) -> tuple[int, int]:
    """Return the first frame from which the wanted samples of the result are made, and the one after the last.

    As in ``BlockResampler``, the resampler makes groups of samples out of groups of frames, and uses ``context`` groups
    to either side. The first frame is the start of a group.
    """
    blocks = BlockResampler(rate, sample_rate)
    first = max(wanted.start // blocks.made - blocks.context, 0) * blocks.taken
    last = (math.ceil(wanted.stop / blocks.made) + blocks.context) * blocks.taken
    return first, min(last, frames)


def _recording(
    mixer: Mixer, mono: NDArray[np.int16] | NDArray[np.float32], rate: int, sample_rate: int, part: _Part,
    broken: tuple[str, ...],
) -> Recording:  # fmt: skip
    """Make a recording at ``sample_rate`` of mono samples, which are int16 only where the result stays exact."""
    seconds = part.frames / rate
    remarks = mixer.remarks()
    wanted = part.wanted(rate, sample_rate)
    all_of_it = wanted == _Part(part.frames, 0, None).wanted(rate, sample_rate)
    looked_at = mono
    if not all_of_it:
        first, last = wanted.start * rate // sample_rate, math.ceil(wanted.stop * rate / sample_rate)
        looked_at = mono[first - part.first : last - part.first]
    loudest, at_full_scale = _loudness(looked_at)
    silent = bool(loudest < SILENCE_PEAK * _full_scale(mono))
    fingerprint = None if silent or part.middle is not None else _fingerprint(mono)
    samples = mono
    if rate != sample_rate:
        samples = _resampled(mono, rate, sample_rate)
        remarks.append(f"resampled from {rate} Hz")
    if not all_of_it:
        moved = part.first * sample_rate // rate
        samples = samples[wanted.start - moved : wanted.stop - moved].copy()  # so that the rest need not be kept
        remarks.append(f"{IN_PART} ({len(samples) / sample_rate:.1f} s of {seconds:.1f} s)")
    remarks += [*broken, *([SILENT] if silent else [])]
    clipped = at_full_scale / len(looked_at)
    return Recording(samples, tuple(remarks), silent, clipped, fingerprint, seconds, rate, mixer.channels)


def _full_scale(samples: np.ndarray) -> float:
    return 32767 if samples.dtype == np.int16 else 32767 / 32768


def _loudness(samples: NDArray[np.int16] | NDArray[np.float32]) -> tuple[np.float32, int]:
    """Return the largest absolute sample, and the number of samples at full scale."""
    loudest, count = np.float32(0), 0
    for piece in _pieces(samples):
        sizes = np.abs(piece.astype(np.float32))
        loudest = max(loudest, sizes.max())
        count += int((sizes >= _full_scale(samples)).sum())
    return loudest, count


def _pieces(samples: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the samples in pieces that are small compared with a long recording."""
    return (samples[start : start + 2**20] for start in range(0, len(samples), 2**20))


def _resampled(mono: NDArray[np.int16] | NDArray[np.float32], rate: int, sample_rate: int) -> NDArray[np.float32]:
    if len(mono) <= WHOLE_SAMPLES:
        in_one = torch.from_numpy(np.ascontiguousarray(mono))
        return np.asarray(resampler(rate, sample_rate)(in_one).numpy())
    resample = BlockResampler(rate, sample_rate)
    return np.concatenate([*map(resample, _pieces(mono)), resample(np.empty(0, np.float32), last=True)])


def _fingerprint(samples: NDArray[np.int16] | NDArray[np.float32]) -> str:
    """Return a digest of the samples in the file. Samples that 16 bits hold exactly count as 16-bit in any format."""
    digest = hashlib.blake2b(digest_size=16)
    whole = all(_fits_16_bits(piece) for piece in _pieces(samples))
    for piece in _pieces(samples):
        as_16_bits = whole and piece.dtype != np.int16
        digest.update((np.rint(piece * np.float32(32768)).astype(np.int16) if as_16_bits else piece).tobytes())
    return digest.hexdigest()


def _fits_16_bits(samples: NDArray[np.int16] | NDArray[np.float32]) -> bool:
    if samples.dtype == np.int16:
        return True
    scaled = samples * np.float32(32768)
    whole = np.rint(scaled)
    return np.array_equal(scaled, whole) and bool(whole.min() >= -32768 and whole.max() <= 32767)


class SequentialFile(soundfile.SoundFile):
    """A sound file that is read without seeking; soundfile's own seeks after each read, which alters MP3."""

    def seekable(self) -> bool:
        """Return False, so that ``read`` does not seek."""
        return False

    def skip(self, frames: int) -> int:
        """Seek to a frame and return ``frames``; where the format can't, stay at the start and return 0."""
        if not super().seekable():
            return 0
        self.seek(frames)
        return frames


def open_sound(path: Path, sample_rate: int, pipes: bool = False) -> SequentialFile:
    """Open a sound file that will be resampled to ``sample_rate`` hertz.

    Args:
        path: A regular file.
        sample_rate: Wanted rate in hertz.
        pipes: Whether a pipe is also accepted, if its name begins with one of ``PIPES``.

    Raises:
        AudioError: The file is missing or not a regular file, its header is broken, or ``check_rate`` refuses its rate;
            the message says what the file is instead, and what to do.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not (pipes and is_pipe(path)):
            raise OSError("not a file")  # opening a pipe could wait for ever, and reading a device might never end
        try:
            file = SequentialFile(path)
        except UnicodeEncodeError:  # a name that is not UTF-8
            file = SequentialFile(os.fsencode(path))
    except (OSError, TypeError, ValueError, soundfile.SoundFileError) as error:  # TypeError: a name that ends in .raw
        raise AudioError(f"{path}: can't be read: {why_unreadable(path, error)}") from error
    try:
        check_rate(str(path), file.samplerate, sample_rate)
    except AudioError:
        file.close()
        raise
    return file


def is_pipe(path: Path) -> bool:
    """Return whether this is a pipe that was handed to this process, as in ``… | predict.py RUN /dev/stdin``."""
    try:
        return str(path).startswith(PIPES) and stat.S_ISFIFO(path.stat().st_mode)
    except OSError:
        return False


def plain(error: soundfile.SoundFileError) -> str:
    """Return the text of libsndfile without the path, because every message already begins with it."""
    return str(getattr(error, "error_string", error)).rstrip(". ")


def declared_seconds(file: soundfile.SoundFile) -> float:
    """Return the duration in the file's header, which libsndfile's log contains where the file is shorter.

    It is 0 where the header does not say.
    """
    frames: int = 0 if file.frames > UNKNOWN_FRAMES else file.frames
    said: float = 0
    if declared := _DECLARED_BYTES.search(file.extra_info):
        size, found = int(declared["said"]), int(declared["found"])
        # Recorders that don't know the length yet write a size close to 2 or 4 GiB.
        if found > 0 and not (size > 2**30 and (size + 2**16) % 2**31 <= 2**16):
            said = frames * size / found
    elif declared := _DECLARED_FRAMES.search(file.extra_info):
        said = int(next(filter(None, declared.groups())))
    elif file.format == "NIST" and isinstance(file.name, str | bytes):
        with Path(os.fsdecode(file.name)).open("rb") as header:
            counted = _DECLARED_BY_SPHERE.search(header.read(1024))
        said = int(counted[1]) if counted else 0
    return (said if frames < said < UNKNOWN_FRAMES else frames) / file.samplerate


def breaks_off(seconds: float, said: float) -> tuple[str, ...]:
    """Return the remark that a recording ends after ``seconds``, if its header ``said`` more; otherwise nothing."""
    return (f"{BREAKS_OFF} (after {seconds:.1f} s of {said:.1f} s)",) if said - seconds > MIN_SECONDS else ()


def check_rate(name: str, rate: int, sample_rate: int) -> None:
    """Refuse a rate that can't be brought to ``sample_rate`` hertz in reasonable memory.

    Raises:
        AudioError: The rate is not within ``RATES``, or its greatest common divisor with ``sample_rate`` is so small
            that the kernel would have more numbers than ``LARGEST_KERNEL``.
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
    """Return torchaudio's resampler from ``rate`` to ``sample_rate`` hertz, which is made once for all threads."""
    with _ONE_AT_A_TIME:
        return _make_resampler(rate, sample_rate)


@lru_cache(maxsize=4)
def _make_resampler(rate: int, sample_rate: int) -> Resample:
    """Make a resampler. Rates with a small common divisor (24,414 and 16,000 Hz) take seconds and 400 MB."""
    return Resample(rate, sample_rate, dtype=torch.float32)


class BlockResampler:
    """Resamples a recording that comes in blocks. The joined results equal those of the recording in one piece.

    With ``d`` the greatest common divisor of the rates, the resampler makes ``sample_rate / d`` samples out of every
    ``rate / d``, and uses ``width`` samples to either side of these. These are kept between blocks.

    Args:
        rate: Rate of the blocks in hertz.
        sample_rate: Rate of the result in hertz.
    """

    def __init__(self, rate: int, sample_rate: int) -> None:
        divisor = math.gcd(rate, sample_rate)
        self.taken, self.made = rate // divisor, sample_rate // divisor
        self.resample = resampler(rate, sample_rate)
        self.context = 0 if rate == sample_rate else math.ceil(self.resample.width / self.taken)
        self.kept = np.empty(0, np.float32)
        self.done = 0  # groups of ``taken`` samples at the start of ``kept`` whose results were returned

    def __call__(self, samples: NDArray[np.float32], last: bool = False) -> NDArray[np.float32]:
        """Return the next samples at the wanted rate, ``(time,)``.

        Args:
            samples: ``(time,)``; may be empty.
            last: Whether this is the last block.
        """
        if self.taken == self.made:
            return samples
        self.kept = np.concatenate([self.kept, samples])
        ready = len(self.kept) // self.taken - self.context
        if not len(self.kept) or (not last and ready <= self.done):
            return np.empty(0, np.float32)
        results = self.resample(torch.from_numpy(self.kept)).numpy()
        results = results[self.done * self.made : None if last else ready * self.made]
        start = max(ready - self.context, 0)
        self.kept, self.done = self.kept[start * self.taken :], ready - start
        return results


class SoundStream:
    """A sound file of any length, or a pipe, a block at a time, in bounded memory.

    Iterating gives the samples of ``read_audio`` as float32 blocks ``(time,)`` with full scale at ±1.

    Attributes:
        seconds: Length by the file's header once it is open, 0 where that does not tell; None before.
        broken: Where and why the file breaks off; None if it does not, as far as it was read.
        remarks: What is odd about its channels, as far as it was read.
    """

    def __init__(self, path: Path, sample_rate: int) -> None:
        self.path, self.sample_rate = path, sample_rate
        self.seconds: float | None = None
        self.broken: str | None = None
        self.remarks: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Open and decode.

        Raises:
            AudioError: The file is missing, can't be decoded from its start on, has no samples, is shorter than
                ``MIN_SECONDS``, or holds NaN or infinite samples or some beyond ``LOUDEST``; or its rate
                can't be used, as ``check_rate`` says.
        """
        self.broken, self.remarks = None, ()
        with open_sound(self.path, self.sample_rate, pipes=True) as file:
            rate = file.samplerate
            self.seconds = declared_seconds(file)
            resample = BlockResampler(rate, self.sample_rate)
            mixer = Mixer(str(self.path), file.channels)
            frames = 0
            while True:
                try:
                    block = file.read(BLOCK, dtype="float32", always_2d=True)
                except soundfile.SoundFileError as error:
                    if frames == 0:
                        raise _unreadable(str(self.path), error) from error
                    self.broken = f"{self.path}: breaks off after {frames / rate:.1f} s: {plain(error)}"
                    break
                frames += len(block)
                yield resample(np.asarray(mixer(block), np.float32))
                if len(block) < BLOCK:
                    break
        _check_length(str(self.path), frames, rate)
        if self.broken is None and breaks_off(frames / rate, self.seconds):
            self.broken = f"{self.path}: breaks off after {frames / rate:.1f} s of {self.seconds:.1f} s"
        self.remarks = tuple(mixer.remarks())
        yield resample(np.empty(0, np.float32), last=True)
