"""Sound as it comes from elsewhere than a corpus: noise, rooms, telephones, codecs, levels and short clips.

Each condition changes one thing about a clip. What is drawn follows from the clip's name and a seed, so that a clip has
the same noise at each SNR and the same room at each RT60, whatever comes before or beside it.
"""

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ser.augment.effects import add_noise, band_pass, change_gain, coloured_noise, impulse_responses, reverberate
from ser.data.audio import MIN_SECONDS, AudioError, Recording, check_rate, resampler
from ser.data.bank import INT16_SCALE
from ser.evaluation import Answers, compare
from ser.evaluation.scores import accuracy_and_uar, counts_of

PINK = 1.0
"""Exponent of the noise, which has as much power in each octave."""

SNR_DB = (20.0, 15.0, 10.0, 5.0, 0.0)
"""20 dB is a quiet office; at 0 dB the voice is no louder than the noise."""

RT60_SECONDS = (0.3, 0.6, 1.0)
"""0.3 s is a furnished room, 1 s a hall. Direct and reverberant sound have equal energy: the critical distance."""

TELEPHONE_HZ = (300.0, 3400.0)
"""Lowest and highest frequency of a telephone (ITU-T G.712)."""

MP3_KBPS = (32, 16)
OPUS_KBPS = (16, 8)

GAIN_DB = (-20.0, 20.0)

CUT_SECONDS = (3.0, 2.0, 1.0, 0.5)
"""What is left of a clip, about its middle; a shorter one stays as it is."""

MP3_RANGES = {
    **dict.fromkeys((8_000, 11_025, 12_000), (8, 64)),
    **dict.fromkeys((16_000, 22_050, 24_000), (8, 160)),
    **dict.fromkeys((32_000, 44_100, 48_000), (32, 320)),
}
"""Lowest and highest kbit/s by sample rate, of MPEG-2.5, 2 and 1; libsndfile's ``compression_level`` goes from the
highest, 0, to the lowest, 1."""

OPUS_RANGES = dict.fromkeys((8_000, 12_000, 16_000, 24_000, 48_000), (6, 256))
"""Lowest and highest kbit/s of Opus by sample rate; it is a mean that Opus follows roughly."""

MP3_DELAY = 1105
"""Samples by which MP3 comes late where a frame is too small for the tag that tells the decoder: LAME's 576, and 529 of
any decoder's filters (LAME's technical FAQ)."""


@dataclass(frozen=True)
class Condition:
    """One way in which sound can differ from a corpus.

    Attributes:
        family: What is changed, ``clean`` for nothing.
        value: How much, or None where there is one way only.
        unit: Unit of the value; where there is none, more about the family.
    """

    family: str
    value: float | None
    unit: str

    @property
    def name(self) -> str:
        """Family, value and unit, as in ``noise, 20 dB SNR``."""
        amount = f"{'' if self.value is None else f'{self.value:g} '}{self.unit}"
        return f"{self.family}, {amount}" if amount else self.family

    def cut_share(self, recordings: Sequence[Recording], sample_rate: int) -> float:
        """Return the share of recordings at ``sample_rate`` hertz that it makes shorter, 0 to 1."""
        if self.family != "cut":
            return 0.0
        longest = round((self.value or 0) * sample_rate)
        return float(np.mean([len(recording.samples) > longest for recording in recordings]))


def apply(condition: Condition, recording: Recording, sample_rate: int, clip: str, seed: int = 0) -> Recording:
    """Apply a condition to a clip.

    Args:
        condition: One of ``CONDITIONS``.
        recording: At ``sample_rate``.
        sample_rate: Hertz.
        clip: Its name, which with ``seed`` and the condition's family decides what is drawn.
        seed: Seed of all draws.

    Returns:
        A recording with float32 samples ``(time,)``, as long as before unless the condition cuts it. They can go beyond
        full scale. Silence stays silence.

    Raises:
        AudioError: A codec's rate can't be reached from ``sample_rate``; ``missing`` finds it beforehand.
        soundfile.SoundFileError: libsndfile has no such codec; likewise.
    """
    scale = np.float32(INT16_SCALE if recording.samples.dtype == np.int16 else 1)
    samples = np.multiply(recording.samples, scale, dtype=np.float32)
    drawn_from = hashlib.blake2b(f"{seed}/{condition.family}/{clip}".encode("utf-8", "surrogatepass"), digest_size=7)
    generator = torch.Generator().manual_seed(int.from_bytes(drawn_from.digest(), "big"))
    changed = _changed(condition, torch.from_numpy(samples)[None], sample_rate, generator)
    output: NDArray[np.float32] = changed[0].numpy()
    return Recording(output, silent=recording.silent, seconds=len(output) / sample_rate, rate=sample_rate)


def missing(conditions: Iterable[Condition], sample_rate: int) -> dict[str, str]:
    """Conditions that can't be applied here at ``sample_rate`` hertz, by name with the reason; noise is tried."""
    generator = torch.Generator().manual_seed(0)
    noise = Recording(torch.randn(round(MIN_SECONDS * sample_rate), generator=generator).mul(0.1).numpy())
    reasons = {}
    for condition in conditions:
        try:
            apply(condition, noise, sample_rate, "")
        except AudioError as error:
            reasons[condition.name] = str(error)
        except (soundfile.SoundFileError, ValueError) as error:  # ValueError: a format that soundfile does not know
            reasons[condition.name] = f"libsndfile {soundfile.__libsndfile_version__} does not have it ({error})"
    return reasons


def _changed(  # noqa: PLR0911
    condition: Condition, sound: Tensor, sample_rate: int, generator: torch.Generator
) -> Tensor:
    """Apply a condition to ``(1, time)`` with full scale at ±1, drawing from ``generator``."""
    length, value = torch.tensor([sound.shape[1]]), torch.tensor([condition.value or 0.0])
    match condition.family:
        case "clean":
            return sound
        case "noise":
            noise = coloured_noise(torch.tensor([PINK]), sound.shape[1], generator)
            return add_noise(sound, length, noise, value)
        case "reverberation":
            return reverberate(sound, length, impulse_responses(value, sample_rate, generator=generator))
        case "telephone":
            return band_pass(sound, length, sample_rate, *(torch.tensor([hz]) for hz in TELEPHONE_HZ))
        case "gain":
            return change_gain(sound, value)
        case "cut":
            size = min(round(float(value) * sample_rate), sound.shape[1])
            start = (sound.shape[1] - size) // 2
            return sound[:, start : start + size]
        case codec:
            return _coded(sound, sample_rate, codec, round(float(value)))


def _coded(sound: Tensor, sample_rate: int, kind: str, kbps: int) -> Tensor:
    rate = codec_rate(kind, kbps, sample_rate)
    check_rate(kind, sample_rate, rate)
    there = resampler(sample_rate, rate)(sound) if rate != sample_rate else sound
    file = io.BytesIO(encode(there[0].clamp(-1, 1).numpy(), rate, kind, kbps))
    decoded, _ = soundfile.read(file, dtype="float32")
    if kind == "MP3" and len(decoded) > there.shape[1]:  # else the decoder has read delay and length
        decoded = decoded[MP3_DELAY:]
    back = torch.from_numpy(decoded)[None]
    back = resampler(rate, sample_rate)(back) if rate != sample_rate else back
    size = sound.shape[1]
    return F.pad(back, (0, max(size - back.shape[1], 0)))[:, :size]


def encode(samples: NDArray[np.float32], sample_rate: int, kind: str, kbps: int) -> bytes:
    """Encode samples as a file would hold them: ``MP3`` at a constant rate, or ``Opus`` in OGG at a mean one.

    Args:
        samples: ``(time,)`` with full scale at ±1.
        sample_rate: Hertz, one that ``codec_rate`` gives.
        kind: The codec, ``MP3`` or ``Opus``.
        kbps: Wanted kbit/s.

    Raises:
        soundfile.SoundFileError: libsndfile has no such codec.
    """
    low, high = _ranges(kind)[sample_rate]
    # libsndfile cuts MP3's kbit/s down to a whole number; half a one more makes sure of it.
    level = (high - kbps - (0.5 if kind == "MP3" else 0)) / (high - low)
    options: dict[str, Any] = {"format": "OGG", "subtype": "OPUS"}
    if kind == "MP3":
        options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, compression_level=level, **options)
    return file.getvalue()


def codec_rate(kind: str, kbps: int, sample_rate: int) -> int:
    """The sample rate in hertz that a codec takes in place of ``sample_rate``: the next higher, or else the highest."""
    rates = [rate for rate, (low, high) in _ranges(kind).items() if low <= kbps <= high]
    return min((rate for rate in rates if rate >= sample_rate), default=max(rates))


def _ranges(kind: str) -> dict[int, tuple[int, int]]:
    return MP3_RANGES if kind == "MP3" else OPUS_RANGES


CLEAN = Condition("clean", None, "")

FAMILIES: tuple[tuple[str, str, tuple[float | None, ...]], ...] = (
    ("noise", "dB SNR", SNR_DB),
    ("reverberation", "s RT60", RT60_SECONDS),
    ("telephone", "{:,.0f} to {:,.0f} Hz".format(*TELEPHONE_HZ), (None,)),
    ("MP3", "kbit/s", MP3_KBPS),
    ("Opus", "kbit/s", OPUS_KBPS),
    ("gain", "dB", GAIN_DB),
    ("cut", "s", CUT_SECONDS),
)
"""Every family, its unit and its values."""

CONDITIONS = (CLEAN, *(Condition(family, value, unit) for family, unit, values in FAMILIES for value in values))
"""All conditions, clean first."""


def score(condition: Condition, clean: Answers, answers: Answers, cut: float) -> dict[str, Any]:
    """Score a network under a condition, as ``robustness.json`` has it.

    Args:
        condition: Condition of ``answers``.
        clean: What was said of the same clips as they are.
        answers: What was said of them under the condition.
        cut: Share of the clips that it made shorter, 0 to 1.

    Returns:
        ``family``, ``value``, ``unit``, ``name``, ``cut``, ``accuracy``, ``uar``, their ``intervals``, and ``change``:
        of UAR against ``clean``, in pairs, with ``interval`` and ``p`` as ``ser.evaluation.compare`` has them.
    """
    against = compare(clean, answers)["uar"]
    return {
        **{key: getattr(condition, key) for key in ("family", "value", "unit", "name")},
        "cut": cut,
        **accuracy_and_uar(counts_of(answers), answers.speakers),
        "change": {"uar": against["difference"], "interval": against["interval"], "p": against["p"]},
    }


METHOD = (
    "noise: pink, nothing below 20 Hz at 16 kHz; the SNR is of the whole clip, pauses and all.",
    "reverberation: a synthetic room, noise that decays exponentially, with as much energy as the direct sound; the "
    "clip's power and length stay.",
    "telephone: a band-pass of 48 dB an octave.",
    "MP3 and Opus: limited to full scale, coded by libsndfile at a constant and at a mean rate, and decoded; the "
    "codec's delay is undone. A codec that does not take a network's sample rate gets the next higher, or its highest.",
    "gain: louder or softer, without a limit at full scale.",
    "cut: to the middle of a clip; a shorter one stays whole, and the share of those cut is told.",
)
"""What is done, one line per family."""

COLUMNS = ("condition", "accuracy", "UAR", "95 % of UAR", "change")

LEFT = ("condition", "checkpoint")
"""Columns of text, which stand on the left; numbers stand on the right."""


def row_of(scored: dict[str, Any]) -> list[str]:
    """Cells of ``COLUMNS`` for what ``score`` returns. A change whose interval includes 0 is in brackets."""
    low, high = scored["intervals"]["uar"]
    lowest, highest = scored["change"]["interval"]
    change = f"{scored['change']['uar']:+.3f}"
    if lowest <= 0 <= highest:
        change = f"({change})"
    return [
        scored["name"] + (f" ({100 * scored['cut']:.0f} % of clips)" if scored["family"] == "cut" else ""),
        f"{scored['accuracy']:.3f}",
        f"{scored['uar']:.3f}",
        f"{low:.3f} to {high:.3f}",
        "" if scored["family"] == CLEAN.family else change,
    ]
