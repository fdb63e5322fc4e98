"""What can happen to sound, as pure functions of a batch of waveforms on any device.

Waveforms are ``(batch, sample)`` with full scale at ±1, 0 from each clip's end on; ``lengths`` ``(batch,)`` says where
that is. Padding stays exactly 0, and a clip's result does not depend on the other clips. How much is done is a tensor
``(batch,)``, one number per clip, drawn by the caller.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
import torchaudio.functional as A
from scipy.fft import next_fast_len
from torch import Tensor

from ser.data.bank import gather

STEPS = 100
"""Steps in a factor of 1 that speeds, rates and pitches are rounded to. torchaudio's resampling kernel has about
``STEPS`` squared numbers for two such rates, and hundreds of millions for two that have no common divisor."""

AUDIBLE = 1 / 800
"""Coloured noise has no power below this share of the sample rate: 20 Hz at 16 kHz, where hearing begins. Most of brown
noise would lie below it, and its SNR would say little about audible noise."""

ORDER = 8
"""Order of the Butterworth filters of ``band_pass``: 48 dB per octave."""

FRAME_SECONDS = 0.032
"""Frame of the phase vocoder, rounded to a power of two samples; 512 samples at 16 kHz, as ``torchaudio.functional.
pitch_shift`` has it."""


def coloured_noise(exponent: Tensor, samples: int, generator: torch.Generator | None = None) -> Tensor:
    """Gaussian noise whose power falls with frequency as 1 / f^exponent, shaped in the frequency domain.

    After Timmer & Koenig (1995, Astronomy and Astrophysics 300, 707). There is no power below ``AUDIBLE``, and a
    power of 1 on average.

    Args:
        exponent: ``(batch,)``; 0 is white, 1 pink, 2 brown.
        samples: Samples of each row.
        generator: Generator on the device of ``exponent``; None for torch's global one.

    Returns:
        ``(batch, samples)`` on the device of ``exponent``, a row drawn for each clip.
    """
    size = next_fast_len(max(samples, 2), real=True)
    frequency = torch.fft.rfftfreq(size, device=exponent.device)
    lowest = max(AUDIBLE, 1 / size)
    amplitude = (frequency >= lowest) * frequency.clamp_min(lowest) ** (-exponent[:, None] / 2)
    amplitude = amplitude / (2 * amplitude.square().sum(1, keepdim=True) / size).sqrt()
    spectrum = torch.randn(amplitude.shape, dtype=torch.complex64, device=exponent.device, generator=generator)
    return torch.fft.irfft(spectrum * amplitude, size, norm="ortho")[:, :samples]


def add_noise(waveforms: Tensor, lengths: Tensor, noise: Tensor, snr_db: Tensor) -> Tensor:
    """Add noise at a signal-to-noise ratio, as ``torchaudio.functional.add_noise``.

    Args:
        waveforms: ``(batch, sample)``.
        lengths: ``(batch,)``; power is taken before a clip's end.
        noise: ``(batch, sample)``. Where it is silent a clip stays as it is.
        snr_db: ``(batch,)``. A silent clip stays silent at any.
    """
    inside = _inside(waveforms, lengths)
    noise = noise * inside
    # Noise with a peak of 1, since the energy of the quietest rounds to 0.
    peak = noise.abs().amax(1, keepdim=True)
    noisy = A.add_noise(waveforms, noise / peak.clamp_min(torch.finfo(noise.dtype).tiny), snr_db)
    return torch.where(peak > 0, noisy, waveforms)


def impulse_responses(
    rt60: Tensor, sample_rate: int, drr_db: Tensor | None = None, generator: torch.Generator | None = None
) -> Tensor:
    """Rooms as Polack (1988) models them: the direct path, then Gaussian noise that decays exponentially.

    ``h(t) = noise(t) 10^(-3 t / RT60)``, whose level falls by 60 dB in RT60 (also Lebart et al., 2001, Acta Acustica
    united with Acustica 87, 359).

    Args:
        rt60: Seconds in which the level falls by 60 dB, ``(batch,)``, above 0.
        sample_rate: Hertz.
        drr_db: Energy of the direct path by that of all that follows, ``(batch,)``; 0 dB, as at the critical distance,
            where it is None.
        generator: Generator on the device of ``rt60``; None for torch's global one.

    Returns:
        ``(batch, time)``, as long as the longest RT60, on the device of ``rt60``; 1 at the first sample.
    """
    samples = max(round(float(rt60.max()) * sample_rate), 2)
    time = torch.arange(samples, device=rt60.device) / sample_rate
    response = torch.randn(len(rt60), samples, device=rt60.device, generator=generator)
    response *= 10 ** (-3 * time / rt60[:, None])
    response[:, 0] = 0
    ratio = 1.0 if drr_db is None else 10 ** (drr_db[:, None] / 20)
    response /= torch.linalg.vector_norm(response, dim=1, keepdim=True) * ratio
    response[:, 0] = 1
    return response


def reverberate(waveforms: Tensor, lengths: Tensor, responses: Tensor) -> Tensor:
    """Put clips into rooms, with ``torchaudio.functional.fftconvolve``.

    The direct path, a response's largest sample, stays in place: what comes before it is left out. Reverberation
    beyond a clip's end is cut, and the clip's power is what it was.

    Args:
        waveforms: ``(batch, sample)``.
        lengths: ``(batch,)``.
        responses: ``(batch, time)``.
    """
    sound, size = waveforms[:, : int(lengths.max())], responses.shape[1]
    place = torch.arange(size, device=responses.device) + responses.abs().argmax(1, keepdim=True)
    responses = responses.gather(1, place.clamp_max(size - 1)) * (place < size)
    whole = sound.shape[1] + size - 1
    responses = F.pad(responses, (0, next_fast_len(whole, real=True) - whole))
    wet = A.fftconvolve(sound, responses)[:, : sound.shape[1]]
    return _padded(_as_loud(wet, lengths, sound, lengths), waveforms)


def band_pass(waveforms: Tensor, lengths: Tensor, sample_rate: int, low_hz: Tensor, high_hz: Tensor) -> Tensor:
    """Keep a band of frequencies, such as the 300 to 3,400 Hz of the telephone (ITU-T G.712).

    Magnitudes of Butterworth filters, -3 dB at either edge, without their phases, so that nothing is moved;
    torchaudio's filters take one edge for a whole batch.

    Args:
        waveforms: ``(batch, sample)``.
        lengths: ``(batch,)``.
        sample_rate: Hertz.
        low_hz: ``(batch,)``, above 0.
        high_hz: ``(batch,)``.
    """
    sound = waveforms[:, : int(lengths.max())]
    size = next_fast_len(sound.shape[1] + sample_rate // 10, real=True)  # or a clip's end would ring into its start
    frequency = torch.fft.rfftfreq(size, 1 / sample_rate, device=waveforms.device).clamp_min(1 / sample_rate)
    low = 1 + (low_hz[:, None] / frequency) ** (2 * ORDER)
    high = 1 + (frequency / high_hz[:, None]) ** (2 * ORDER)
    filtered = torch.fft.irfft(torch.fft.rfft(sound, size) * (low * high).rsqrt(), size)[:, : sound.shape[1]]
    return _padded(filtered * _inside(sound, lengths), waveforms)


def change_gain(waveforms: Tensor, gain_db: Tensor) -> Tensor:
    """Make clips louder or softer, without a limit at full scale.

    Args:
        waveforms: ``(batch, sample)``.
        gain_db: ``(batch,)``.
    """
    return waveforms * 10 ** (gain_db[:, None] / 20)


def clip_peaks(waveforms: Tensor, share: Tensor) -> Tensor:
    """Clip what is beyond a share of the clip's own peak.

    Args:
        waveforms: ``(batch, sample)``.
        share: ``(batch,)``, 0 to 1.
    """
    limit = share[:, None] * waveforms.abs().amax(1, keepdim=True)
    return waveforms.clamp(-limit, limit)


def shift_time(waveforms: Tensor, lengths: Tensor, shifts: Tensor) -> Tensor:
    """Move sound within its clip; silence comes in, and what leaves is lost.

    Args:
        waveforms: ``(batch, sample)``.
        lengths: ``(batch,)``.
        shifts: Samples later, or earlier where negative, ``(batch,)``, whole numbers.
    """
    first = int(shifts.clamp_min(0).max())
    padded = F.pad(waveforms, (first, 0))
    starts = torch.arange(len(padded), device=padded.device) * padded.shape[1] + first - shifts
    moved = torch.minimum(lengths, waveforms.shape[1] + shifts.clamp_max(0)).clamp_min(0)
    return gather(padded.flatten(), starts, moved, waveforms.shape[1])[0]


def change_speed(waveforms: Tensor, lengths: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Change tempo and pitch together, by ``torchaudio.functional.resample`` once for all clips of one speed.

    Args:
        waveforms: ``(batch, sample)``.
        lengths: ``(batch,)``.
        factors: ``(batch,)``, rounded to ``STEPS``; 1.1 is shorter and higher.

    Returns:
        Waveforms ``(batch, longest)``, and their lengths ``(batch,)``.
    """
    percents = _rounded(factors)
    after = _divided(lengths, percents)
    changed = waveforms.new_zeros(len(waveforms), int(after.max()))
    for percent, rows in _alike(percents):
        resampled = A.resample(waveforms[rows, : int(lengths[rows].max())], percent, STEPS)
        changed[rows, : resampled.shape[1]] = resampled
    return changed * _inside(changed, after), after


def stretch_time(waveforms: Tensor, lengths: Tensor, sample_rate: int, rates: Tensor) -> tuple[Tensor, Tensor]:
    """Change the tempo and keep the pitch, by ``torchaudio.functional.phase_vocoder`` once for all clips of one rate.

    The vocoder lowers the level by up to a decibel; the clip's mean power is brought back to what it was.

    Args:
        waveforms: ``(batch, sample)``.
        lengths: ``(batch,)``.
        sample_rate: Hertz.
        rates: ``(batch,)``, rounded to ``STEPS``; 1.1 is shorter.

    Returns:
        Waveforms ``(batch, longest)``, and their lengths ``(batch,)``.
    """
    percents = _rounded(rates)
    after = _divided(lengths, percents)
    changed = waveforms.new_zeros(len(waveforms), int(after.max()))
    for percent, rows in _alike(percents):
        size = int(after[rows].max())
        sound = waveforms[rows, : int(lengths[rows].max())]
        changed[rows, :size] = _stretched(sound, percent / STEPS, size, sample_rate)
    return _as_loud(changed, after, waveforms, lengths), after


def shift_pitch(waveforms: Tensor, lengths: Tensor, sample_rate: int, semitones: Tensor) -> Tensor:
    """Change the pitch and keep the length: a stretch that a resampling undoes, once for all clips of one shift.

    ``torchaudio.functional.pitch_shift`` does the same with a rate that is not rounded, for which it makes a kernel of
    up to gigabytes. Formants move with the pitch. The clip's power is what it was.

    Args:
        waveforms: ``(batch, sample)``.
        lengths: ``(batch,)``.
        sample_rate: Hertz.
        semitones: ``(batch,)``; the factor of frequency that they make is rounded to ``STEPS``.
    """
    changed = torch.zeros_like(waveforms)
    for percent, rows in _alike(_rounded(2 ** (semitones / 12))):
        size = int(lengths[rows].max())
        longer = math.ceil(size * percent / STEPS)
        stretched = _stretched(waveforms[rows, :size], STEPS / percent, longer, sample_rate)
        # To each clip's own end, so that no resampling kernel reaches over it into what the longest clip leaves there.
        ends = (lengths[rows] * percent + STEPS - 1).div(STEPS, rounding_mode="floor")
        stretched = stretched * _inside(stretched, ends)
        changed[rows, :size] = A.resample(stretched, percent, STEPS)[:, :size]
    return _as_loud(changed, lengths, waveforms, lengths)


def _inside(waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Return whether samples come before their clip's end, ``(batch, sample)``."""
    return torch.arange(waveforms.shape[1], device=waveforms.device) < lengths[:, None]


def _padded(sound: Tensor, waveforms: Tensor) -> Tensor:
    """Pad or crop ``sound`` to as many samples as ``waveforms``."""
    return F.pad(sound, (0, waveforms.shape[1] - sound.shape[1]))


def _as_loud(changed: Tensor, ends: Tensor, waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Scale ``changed`` ``(batch, sample)``, silent after ``ends``, to the mean power of ``waveforms``."""
    changed = changed * _inside(changed, ends)
    power = waveforms.square().sum(1) / lengths
    power_now = (changed.square().sum(1) / ends).clamp_min(torch.finfo(changed.dtype).tiny)
    return changed * (power / power_now).sqrt()[:, None]


def _rounded(factors: Tensor) -> Tensor:
    """Return factors in steps of 1 / ``STEPS``, ``(batch,)``, at least 1."""
    return (factors * STEPS).round().long().clamp_min(1)


def _divided(lengths: Tensor, percents: Tensor) -> Tensor:
    """Return the samples that are left at a speed, rounded up, as ``torchaudio.functional.resample`` does."""
    return (lengths * STEPS + percents - 1).div(percents, rounding_mode="floor")


def _alike(values: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield each value of ``(batch,)``, and its rows."""
    for value in values.unique().tolist():
        yield value, torch.nonzero(values == value).squeeze(1)


def _stretched(waveforms: Tensor, rate: float, samples: int, sample_rate: int) -> Tensor:
    """Return ``(batch, samples)``, ``rate`` times as fast at the same pitch."""
    size = 2 ** round(math.log2(FRAME_SECONDS * sample_rate))
    hop = size // 4
    window = torch.hann_window(size, device=waveforms.device)
    padded = F.pad(waveforms, (0, size))
    spectrum = torch.stft(padded, size, hop, window=window, pad_mode="constant", return_complex=True)
    advance = torch.linspace(0, math.pi * hop, size // 2 + 1, device=waveforms.device)[:, None]
    return torch.istft(A.phase_vocoder(spectrum, rate, advance), size, hop, window=window, length=samples)
