"""Each effect against a closed form, scipy or what torchaudio does with one clip alone."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from scipy import signal
from torch import Tensor

from ser.augment import effects

RATE = 16_000
LENGTHS = [8_000, 16_000, 12_345]


def noise_clips(lengths: list[int] = LENGTHS, samples: int = 20_000) -> tuple[Tensor, Tensor]:
    """Speech-like levels, no two clips alike, silence after each one's end."""
    waveforms = 0.1 * torch.randn(len(lengths), samples, generator=torch.Generator().manual_seed(0))
    ends = torch.tensor(lengths)
    return waveforms * (torch.arange(samples) < ends[:, None]), ends


def tone(hz: float, length: int, samples: int) -> tuple[Tensor, Tensor]:
    time = torch.arange(samples) / RATE
    return (0.3 * torch.sin(2 * math.pi * hz * time) * (torch.arange(samples) < length))[None], torch.tensor([length])


def peak_hz(waveform: Tensor) -> float:
    """Where most of the spectrum is."""
    spectrum = torch.fft.rfft(waveform * torch.hann_window(len(waveform))).abs()
    return float(spectrum.argmax()) * RATE / len(waveform)


def decibels(ratio: Tensor) -> Tensor:
    return 10 * torch.log10(ratio)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


EACH: dict[str, Callable[[Tensor, Tensor], Tensor | tuple[Tensor, Tensor]]] = {
    "noise": lambda w, n: effects.add_noise(
        w, n, torch.randn(3, 20_000, generator=torch.Generator().manual_seed(1))[:, : w.shape[1]], numbers(0, 5, 20)
    ),
    "reverberation": lambda w, n: effects.reverberate(
        w, n, effects.impulse_responses(numbers(0.2, 0.5, 1.0), RATE, generator=torch.Generator().manual_seed(1))
    ),
    "band": lambda w, n: effects.band_pass(w, n, RATE, numbers(300, 50, 200), numbers(3_400, 7_000, 3_000)),
    "gain": lambda w, n: effects.change_gain(w, numbers(-6, 0, 12)),
    "clipping": lambda w, n: effects.clip_peaks(w, numbers(0.1, 0.5, 1)),
    "shift": lambda w, n: effects.shift_time(w, n, torch.tensor([100, -4_000, 0])),
    "speed": lambda w, n: effects.change_speed(w, n, numbers(0.9, 1.13, 0.9)),
    "stretch": lambda w, n: effects.stretch_time(w, n, RATE, numbers(0.9, 1.13, 0.9)),
    "pitch": lambda w, n: effects.shift_pitch(w, n, RATE, numbers(2, -1.5, 2)),
}


@pytest.mark.parametrize("name", EACH)
def test_padding_stays_zero_and_more_of_it_changes_nothing(name: str) -> None:
    waveforms, lengths = noise_clips()
    results = []
    for samples in (20_000, 16_000):  # the longest clip fills the second
        result = EACH[name](waveforms[:, :samples], lengths)
        changed, after = result if isinstance(result, tuple) else (result, lengths)
        assert changed.dtype == torch.float32
        assert all(not row[int(end) :].any() for row, end in zip(changed, after, strict=True))
        assert not torch.equal(changed[0], waveforms[0, : changed.shape[1]])
        results.append(changed)
    wide, narrow = results
    torch.testing.assert_close(wide[:, : narrow.shape[1]], narrow, atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", EACH)
def test_a_clip_does_not_depend_on_its_neighbours(name: str) -> None:
    waveforms, lengths = noise_clips()
    others = waveforms.clone()
    others[1:, :9_000] = 0.5
    first, again = (EACH[name](sound, ends) for sound, ends in (
        (waveforms, lengths), (others * (torch.arange(20_000) < torch.tensor([[8_000], [9_000], [20_000]])),
        torch.tensor([8_000, 9_000, 20_000])),
    ))  # fmt: skip
    rows = [(result[0] if isinstance(result, tuple) else result)[0, :8_000] for result in (first, again)]
    torch.testing.assert_close(rows[0], rows[1], atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", EACH)
def test_silence_stays_silence(name: str) -> None:
    result = EACH[name](torch.zeros(3, 20_000), torch.tensor(LENGTHS))
    assert not (result[0] if isinstance(result, tuple) else result).any()


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_the_power_of_noise_falls_by_its_colour(exponent: float) -> None:
    noise = effects.coloured_noise(torch.full((32,), exponent), 2 * RATE, torch.Generator().manual_seed(0))
    frequency, power = signal.welch(noise.double().numpy(), RATE, nperseg=8192)
    heard = (frequency > 40) & (frequency < 7_500)
    slope = np.polyfit(np.log10(frequency[heard]), np.log10(power.mean(0)[heard]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.05)
    assert noise.square().mean() == pytest.approx(1, rel=0.1)
    assert power.mean(0)[frequency < 12].max() < power.mean(0)[heard].max()


def test_noise_has_a_seed_and_a_row_of_its_own_for_each_clip() -> None:
    draw = partial(effects.coloured_noise, torch.zeros(2), 500)
    first, again, other = (draw(torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    assert draw().shape == (2, 500)


@pytest.mark.parametrize("exponent", [0.0, 2.0])
def test_the_ratio_of_signal_to_noise_is_met_before_the_end_of_a_clip(exponent: float) -> None:
    waveforms, lengths = noise_clips()
    wanted = numbers(0, 10, 30)
    noise = effects.coloured_noise(torch.full((3,), exponent), waveforms.shape[1])
    noise[0] *= 1000
    noise[1, : LENGTHS[1]] *= 0.01  # loud after the clip's end
    added = effects.add_noise(waveforms, lengths, noise, wanted) - waveforms
    snr = decibels(waveforms.square().sum(1) / added.square().sum(1))
    torch.testing.assert_close(snr, wanted, atol=0.1, rtol=0)


@pytest.mark.parametrize("level", [1e-42, 1e-30, 1e-10, 1e30])
def test_the_ratio_is_met_by_noise_of_any_level(level: float) -> None:
    waveforms, lengths = noise_clips()
    noise = level * torch.randn(waveforms.shape, generator=torch.Generator().manual_seed(1))
    added = effects.add_noise(waveforms, lengths, noise, numbers(0, 10, 30)) - waveforms
    snr = decibels(waveforms.square().sum(1) / added.square().sum(1))
    torch.testing.assert_close(snr, numbers(0, 10, 30), atol=0.1, rtol=0)


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_noise_of_a_few_samples_is_finite(samples: int) -> None:
    assert effects.coloured_noise(numbers(0, 1, 2), samples).isfinite().all()


def test_silent_noise_changes_nothing() -> None:
    waveforms, lengths = noise_clips()
    noise = torch.zeros_like(waveforms)
    noise[0, LENGTHS[0] :] = 1
    assert torch.equal(effects.add_noise(waveforms, lengths, noise, numbers(0, 0, 0)), waveforms)


def test_a_room_decays_by_60_db_in_its_reverberation_time() -> None:
    wanted = numbers(0.3, 0.6).repeat_interleave(64)
    responses = effects.impulse_responses(wanted, RATE, generator=torch.Generator().manual_seed(0))
    assert responses.shape == (128, 9_600)
    assert bool((responses[:, 0] == 1).all())
    for rt60, group in zip((0.3, 0.6), responses[:, 1:].square().chunk(2), strict=True):
        at_first, at_the_end = group[:, :160].mean(), group[:, int(rt60 * RATE) - 161 : int(rt60 * RATE) - 1].mean()
        assert decibels(at_the_end / at_first) == pytest.approx(-60 * (1 - 0.01 / rt60), abs=0.5)
        late = group.flip(1).cumsum(1).flip(1).mean(0)  # Schroeder (1965)
        level = decibels(late / late[0])
        fitted = (level < -5) & (level > -35)
        slope = np.polyfit(np.arange(len(level))[fitted] / RATE, level[fitted].numpy(), 1)[0]
        assert -60 / slope == pytest.approx(rt60, rel=0.03)


def test_the_direct_path_has_its_share_of_the_energy() -> None:
    wanted = numbers(-5, 0, 10)
    responses = effects.impulse_responses(torch.full((3,), 0.4), RATE, wanted)
    torch.testing.assert_close(decibels(1 / responses[:, 1:].square().sum(1)), wanted, atol=0.01, rtol=0)
    alone = effects.impulse_responses(torch.full((3,), 0.4), RATE)
    torch.testing.assert_close(alone[:, 1:].square().sum(1), torch.ones(3))


def test_reverberation_leaves_the_direct_path_in_place_and_the_power_as_it_was() -> None:
    waveforms, lengths = noise_clips()
    responses = torch.zeros(3, 4_000)
    responses[0, 700] = 0.4  # recorded with a delay
    responses[1, 0], responses[1, 50] = 1, 0.5
    responses[2, 3_999] = -1
    wet = effects.reverberate(waveforms, lengths, responses)
    torch.testing.assert_close(wet[0], waveforms[0])
    torch.testing.assert_close(wet[2], -waveforms[2])
    expected = np.convolve(waveforms[1].numpy(), responses[1].numpy())[: LENGTHS[1]]
    expected *= np.sqrt(np.square(waveforms[1].numpy()).sum() / np.square(expected).sum())
    np.testing.assert_allclose(wet[1, : LENGTHS[1]].numpy(), expected, atol=1e-5)
    torch.testing.assert_close(wet.square().sum(1), waveforms.square().sum(1))


@pytest.mark.parametrize(
    ("hz", "least", "most"),
    [(75, -200, -60), (300, -3.1, -2.9), (1_000, -0.1, 0.1), (3_400, -3.1, -2.9), (6_800, -60, -45)],
)
def test_a_band_is_kept_and_the_rest_is_not(hz: float, least: float, most: float) -> None:
    waveforms, lengths = tone(hz, 16_000, 20_000)
    filtered = effects.band_pass(waveforms, lengths, RATE, numbers(300), numbers(3_400))
    middle = slice(4_000, 12_000)
    assert least < decibels(filtered[0, middle].square().mean() / waveforms[0, middle].square().mean()) < most


def test_gain_is_in_decibels_and_has_no_limit() -> None:
    louder = effects.change_gain(torch.tensor([[0.5, -0.5], [0.5, 0.1]]), numbers(20, -20))
    torch.testing.assert_close(louder, torch.tensor([[5.0, -5.0], [0.05, 0.01]]))


def test_peaks_are_clipped_by_each_clips_own() -> None:
    waveforms = torch.tensor([[1.0, -0.7, 0.2, 0.0], [0.1, -0.02, 0.04, 0.0]])
    expected = torch.tensor([[0.5, -0.5, 0.2, 0.0], [0.05, -0.02, 0.04, 0.0]])
    torch.testing.assert_close(effects.clip_peaks(waveforms, numbers(0.5, 0.5)), expected)


def test_a_shift_lets_silence_in() -> None:
    waveforms = torch.tensor([[1.0, 2, 3, 0, 0], [1, 2, 3, 0, 0], [1, 2, 3, 4, 5]])
    shifted = effects.shift_time(waveforms, torch.tensor([3, 3, 5]), torch.tensor([1, -1, 9]))
    assert shifted.tolist() == [[0, 1, 2, 0, 0], [2, 3, 0, 0, 0], [0, 0, 0, 0, 0]]


@pytest.mark.parametrize("factor", [0.8, 0.93, 1.0, 1.25])
def test_speed_changes_length_and_pitch(factor: float) -> None:
    waveforms, lengths = tone(440, 16_000, 20_000)
    changed, after = effects.change_speed(waveforms, lengths, numbers(factor))
    assert after.tolist() == [math.ceil(16_000 / factor)]
    assert changed.shape == (1, int(after))
    assert peak_hz(changed[0]) == pytest.approx(440 * factor, abs=2)
    assert changed[0, 2_000:10_000].square().mean() == pytest.approx(0.045, rel=0.01)


@pytest.mark.parametrize("rate", [0.8, 0.93, 1.0, 1.25])
def test_a_stretch_changes_length_and_keeps_pitch_and_level(rate: float) -> None:
    waveforms, lengths = tone(440, 16_000, 20_000)
    changed, after = effects.stretch_time(waveforms, lengths, RATE, numbers(rate))
    assert after.tolist() == [math.ceil(16_000 / rate)]
    assert peak_hz(changed[0]) == pytest.approx(440, abs=2)
    assert changed[0, 2_000:10_000].square().mean() == pytest.approx(0.045, rel=0.02)


@pytest.mark.parametrize("semitones", [-4.0, -0.5, 0.0, 3.0])
def test_a_shift_of_pitch_keeps_length_and_level(semitones: float) -> None:
    waveforms, lengths = tone(440, 16_000, 20_000)
    changed = effects.shift_pitch(waveforms, lengths, RATE, numbers(semitones))
    assert changed.shape == waveforms.shape
    assert peak_hz(changed[0, :16_000]) == pytest.approx(440 * round(2 ** (semitones / 12), 2), abs=2)
    assert changed[0, 2_000:14_000].square().mean() == pytest.approx(0.045, rel=0.02)


def test_a_shifted_clip_does_not_depend_on_longer_ones_beside_it() -> None:
    waveforms, lengths = noise_clips()
    changed = effects.shift_pitch(waveforms, lengths, RATE, numbers(2, 2, 2))
    for row, end in enumerate(lengths.tolist()):
        alone = effects.shift_pitch(waveforms[row : row + 1, :end], lengths[row : row + 1], RATE, numbers(2))
        torch.testing.assert_close(changed[row, :end], alone[0], atol=2e-6, rtol=0)


def test_clips_of_one_batch_have_speeds_of_their_own() -> None:
    waveforms, lengths = noise_clips()
    factors = numbers(0.9, 1.1, 0.9)
    changed, after = effects.change_speed(waveforms, lengths, factors)
    for row in range(3):
        alone, end = effects.change_speed(waveforms[row : row + 1], lengths[row : row + 1], factors[row : row + 1])
        assert after[row] == end
        torch.testing.assert_close(changed[row, : int(end)], alone[0], atol=1e-6, rtol=0)
