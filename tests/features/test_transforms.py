import math
from functools import cache
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ser.data.audio import read_audio
from ser.data.bank import WaveformBank
from ser.data.corpora import Clip
from ser.features import FEATURES, FeatureConfig, FeatureError, FeatureSet

RATE = 16_000
LENGTH = 80_080
DECIBELS = 1e-3
# A cepstral coefficient may lie near -1131 (silence), where single precision is coarser than 1e-3 after 128 sums.
RELATIVE = 2e-6
BIN = 22_050 / 2048

Waveforms = NDArray[np.float32]


@cache
def synthetic() -> Waveforms:
    """Noise, tones, clicks, sweeps and silence, loud and soft, of whole length and padded.

    Tones have some noise behind them, as recordings have: see ``test_a_tone_without_noise_is_librosas``.
    """
    rng = np.random.default_rng(0)
    time = np.arange(LENGTH) / RATE
    noise = rng.standard_normal(LENGTH).clip(-4, 4) / 4
    fade = np.exp(-time)
    padded = np.where(time < 1.7, noise, 0)
    clicks = np.zeros(LENGTH)
    clicks[::4001] = 0.9
    speech_like = fade * sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 30)) / 4 + 0.002 * noise
    waveforms = [
        noise,
        0.001 * noise,
        padded,
        np.cumsum(noise) / 200,
        0.5 * np.sin(2 * np.pi * 440 * time) + 0.1 * noise,
        0.4 * np.sin(2 * np.pi * 7900 * time) + 0.1 * noise,
        0.3 * np.sin(2 * np.pi * (50 + 700 * time) * time) + 0.1 * noise,
        speech_like,
        speech_like * (time < 2.3),
        clicks,
        0.2 * np.sign(np.sin(2 * np.pi * 100 * time)),
        np.full(LENGTH, 0.1),
        np.where(time < 2.5, 0, 0.4 * noise),
        np.zeros(LENGTH),
    ]
    return np.stack(waveforms).astype(np.float32)


@pytest.fixture(scope="module")
def real_waveforms(real_clips: list[Clip]) -> Waveforms:
    """Every tenth real clip, padded: 110 of 91 speakers, six emotions and four intensities."""
    some = real_clips[::10]
    assert len(some) >= 100
    assert len({clip.emotion for clip in some}) == 6
    bank = WaveformBank.of([read_audio(clip.path, RATE).samples for clip in some])
    return bank.gather(torch.arange(len(some)), LENGTH)[0].numpy()


@pytest.fixture(params=["synthetic", "real"])
def waveforms(request: pytest.FixtureRequest) -> Waveforms:
    return synthetic() if request.param == "synthetic" else request.getfixturevalue("real_waveforms")


def ours(name: str, waveforms: Waveforms, **numbers: Any) -> NDArray[np.float32]:
    features = FeatureSet(FeatureConfig(names=[name], **numbers))
    return torch.cat([features(part) for part in torch.from_numpy(waveforms).split(4)]).numpy()


def largest_error(features: NDArray, expected: list[NDArray], relative: float = 0.0) -> float:
    """Largest distance, less ``relative`` of what is expected."""
    wanted = np.stack(expected)
    assert features.shape == wanted.shape
    assert np.isfinite(features).all()
    return float((np.abs(features - wanted) - relative * np.abs(wanted)).max())


def test_mel_is_librosas(waveforms: Waveforms) -> None:
    expected = [librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=RATE), ref=np.max) for y in waveforms]
    features = ours("mel", waveforms)
    assert features.shape[1:] == (128, 157)
    assert largest_error(features, expected) < DECIBELS
    assert features.min() >= -80
    assert (features.max((1, 2)) == 0).all()


def test_mfcc_is_librosas_mean_at_the_rate_it_assumes(waveforms: Waveforms) -> None:
    expected = [librosa.feature.mfcc(y=y).mean(0, keepdims=True) for y in waveforms]
    features = ours("mfcc", waveforms, filter_rate=22_050)
    assert features.shape[1:] == (1, 157)
    assert largest_error(features, expected) < DECIBELS


def test_rolloff_is_librosas_at_the_rate_it_assumes(waveforms: Waveforms) -> None:
    expected = [librosa.feature.spectral_rolloff(y=y) for y in waveforms]
    features = ours("rolloff", waveforms, filter_rate=22_050)
    assert features.shape[1:] == (1, 157)
    assert largest_error(features, expected) <= BIN * 1.0001
    assert np.mean(np.abs(features - np.stack(expected)) > BIN / 2) < 0.01


def test_energy_is_librosas(waveforms: Waveforms) -> None:
    expected = [librosa.feature.rms(y=y) for y in waveforms]
    features = ours("energy", waveforms)
    assert features.shape[1:] == (1, 157)
    assert largest_error(features, expected) < 1e-6


def test_zcr_is_librosas_exactly(waveforms: Waveforms) -> None:
    expected = [librosa.feature.zero_crossing_rate(y) for y in waveforms]
    features = ours("zcr", waveforms)
    assert features.shape[1:] == (1, 157)
    assert largest_error(features, expected) == 0


def test_mfcc2d_is_librosas(waveforms: Waveforms) -> None:
    part = waveforms[::3]
    features = ours("mfcc2d", part)
    assert features.shape[1:] == (64, 157)
    expected = [librosa.feature.mfcc(y=y, sr=RATE, n_mfcc=64) for y in part]
    assert largest_error(features, expected, RELATIVE) < DECIBELS


@pytest.mark.parametrize("hertz", [440, 3000, 7900])
def test_a_tone_without_noise_is_librosas(hertz: int) -> None:
    """As far as single precision goes: 80 dB below a tone, a transform's rounding is heard."""
    tone = np.sin(2 * np.pi * hertz * np.arange(LENGTH) / RATE).astype(np.float32)
    expected = librosa.power_to_db(librosa.feature.melspectrogram(y=tone, sr=RATE), ref=np.max)
    error = np.abs(ours("mel", tone[None])[0] - expected)
    assert error[expected > -60].max() < DECIBELS
    assert error.max() < 0.02


def some(length: int = 20_000) -> Waveforms:
    return synthetic()[[0, 2, 6, 7, 9, 13], :length]


@pytest.mark.parametrize(
    ("ours_are", "librosas_are"),
    [
        ({"n_fft": 1024, "hop_length": 256, "n_mels": 64}, {}),
        ({"n_fft": 1024, "hop_length": 300, "n_mels": 40}, {}),
        ({"win_length": 800}, {}),
        ({"f_min": 80.0, "f_max": 7000.0}, {"fmin": 80.0, "fmax": 7000.0}),
        ({"sample_rate": 8000}, {"sr": 8000}),
        ({"pad_mode": "reflect"}, {}),
    ],
    ids=str,
)
def test_other_numbers_of_mel_are_librosas(ours_are: dict[str, Any], librosas_are: dict[str, Any]) -> None:
    shared = {name: value for name, value in ours_are.items() if name not in ("f_min", "f_max", "sample_rate")}
    numbers = {"sr": RATE, **shared, **librosas_are}
    expected = [librosa.power_to_db(librosa.feature.melspectrogram(y=y, **numbers), ref=np.max) for y in some()]
    assert largest_error(ours("mel", some(), **ours_are), expected) < DECIBELS


@pytest.mark.parametrize("top_db", [30.0, 80.0, 120.0])
@pytest.mark.parametrize(("name", "ref"), [("mel", np.max), ("logmel", 1.0)])
def test_reference_and_range_of_mel_are_librosas(name: str, ref: Any, top_db: float) -> None:
    expected = [
        librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=RATE), ref=ref, top_db=top_db) for y in some()
    ]
    features = ours(name, some(), top_db=top_db)
    assert largest_error(features, expected) < DECIBELS
    assert (np.ptp(features, axis=(1, 2)) <= top_db + 1e-4).all()


@pytest.mark.parametrize("numbers", [{"n_mfcc": 13}, {"n_mfcc": 40, "n_mels": 64, "n_fft": 1024, "hop_length": 256}])
def test_other_numbers_of_mfcc_are_librosas(numbers: dict[str, Any]) -> None:
    expected = [librosa.feature.mfcc(y=y, sr=RATE, **numbers) for y in some()]
    assert largest_error(ours("mfcc2d", some(), **numbers), expected, RELATIVE) < DECIBELS
    means = [coefficients.mean(0, keepdims=True) for coefficients in expected]
    assert largest_error(ours("mfcc", some(), **numbers), means) < DECIBELS


def test_mfcc_averages_20_coefficients() -> None:
    assert (
        largest_error(ours("mfcc", some()), [ours("mfcc2d", some(), n_mfcc=20)[i].mean(0)[None] for i in range(6)])
        < 1e-4
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_other_shares_of_rolloff_are_librosas(share: float) -> None:
    expected = [librosa.feature.spectral_rolloff(y=y, sr=RATE, roll_percent=share) for y in some()]
    assert largest_error(ours("rolloff", some(), roll_percent=share), expected) <= RATE / 2048 * 1.0001


@pytest.mark.parametrize("numbers", [{"frame_length": 400, "hop_length": 160}, {"frame_length": 1000}])
def test_other_frames_of_energy_and_zcr_are_librosas(numbers: dict[str, int]) -> None:
    shared = {"hop_length": 512, **numbers}
    assert largest_error(ours("energy", some(), **numbers), [librosa.feature.rms(y=y, **shared) for y in some()]) < 1e-6
    crossings = [librosa.feature.zero_crossing_rate(y, **shared) for y in some()]
    assert largest_error(ours("zcr", some(), **numbers), crossings) < 1e-7


def test_samples_next_to_zero_cross_as_librosa_says() -> None:
    rng = np.random.default_rng(0)
    y = rng.choice(np.array([0.0, -0.0, 1e-11, -1e-11, 1e-10, -1e-10, 1e-9, -1e-9, 0.5, -0.5], np.float32), (4, 9000))
    crossings = [librosa.feature.zero_crossing_rate(one) for one in y]
    assert largest_error(ours("zcr", y), crossings) == 0


def test_a_tone_is_where_it_should_be() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)[None]
    inside = slice(4, -4)
    np.testing.assert_allclose(ours("energy", tone)[0, 0, inside], 0.5 / math.sqrt(2), rtol=1e-3)
    np.testing.assert_allclose(ours("zcr", tone)[0, 0, inside], 2 * 1000 / RATE, atol=2 / 2048)
    np.testing.assert_allclose(ours("rolloff", tone)[0, 0, inside], 1000, atol=2 * RATE / 2048)
    centres = librosa.mel_frequencies(130, fmin=0, fmax=RATE / 2)[1:-1]
    assert abs(centres[ours("mel", tone)[0, :, 10].argmax()] - 1000) < 20


def test_silence_is_defined() -> None:
    silence = np.zeros((2, 6000), np.float32)
    for name in ("mel", "rolloff", "energy", "zcr"):
        assert not ours(name, silence).any()
    assert (ours("logmel", silence) == -100).all()
    np.testing.assert_allclose(ours("mfcc2d", silence)[:, 0], -100 * math.sqrt(128), rtol=RELATIVE)


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("samples", [1600, 5119, 5120, 5121])
@pytest.mark.parametrize("hop", [512, 320])
def test_frames_are_one_more_than_the_hops_that_fit(name: str, samples: int, hop: int) -> None:
    features = FeatureSet(FeatureConfig(names=[name], hop_length=hop))
    shape = features(torch.randn(2, samples)).shape
    assert shape == (2, features.rows, 1 + samples // hop)
    assert features.frames(samples) == 1 + samples // hop
    assert features.dimensions == (2 if name in ("mel", "logmel", "mfcc2d") else 1)


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("samples", [1600, 20_000])
def test_a_clip_has_the_same_features_in_any_company(name: str, samples: int) -> None:
    torch.manual_seed(0)
    clip = 0.01 * torch.randn(1, samples)
    loud, silent = torch.randn(1, samples), torch.zeros(1, samples)
    features = FeatureSet(FeatureConfig(names=[name]))
    alone = features(clip)[0]
    torch.testing.assert_close(features(torch.cat([loud, clip, silent]))[1], alone, rtol=0, atol=1e-4)
    torch.testing.assert_close(features(torch.cat([clip, silent]))[0], alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "names", [["energy", "zcr"], ["zcr", "energy"], ["mfcc", "energy", "zcr"], ["rolloff", "mfcc", "zcr", "energy"]]
)
def test_joined_features_stand_in_their_order(names: list[str]) -> None:
    waveforms = torch.from_numpy(some())
    features = FeatureSet(FeatureConfig(names=names))
    joined = features(waveforms)
    assert features.rows == len(names)
    assert features.dimensions == 1
    for row, name in enumerate(names):
        assert torch.equal(joined[:, row : row + 1], FeatureSet(FeatureConfig(names=[name]))(waveforms))


def refusal(**numbers: Any) -> str:
    with pytest.raises(FeatureError) as caught:
        FeatureSet(FeatureConfig(**numbers))
    return str(caught.value)


ONE_D = [name for name, feature in FEATURES.items() if feature.dimensions == 1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], f"must name features out of {', '.join(FEATURES)}"),
        (["loudness"], "must name features out of mel, logmel"),
        (["energy", "loudness"], "['energy', 'loudness'] must name features out of"),
        (["zcr", "energy", "zcr"], "names a feature twice"),
        (["mel", "mel"], "names a feature twice"),
        (["mel", "energy"], f"only 1D features ({', '.join(ONE_D)}) can be joined"),
        (["zcr", "mfcc2d"], "only 1D features"),
        (["mel", "mfcc2d"], "only 1D features"),
    ],
)
def test_names_that_make_no_set(names: list[str], message: str) -> None:
    assert message in refusal(names=names)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"n_fft": 1023}, "n_fft=1023"),
        ({"n_fft": 0}, "n_fft=0"),
        ({"frame_length": 401}, "frame_length=401"),
        ({"frame_length": 0}, "frame_length=0"),
        ({"frame_length": -2}, "frame_length=-2"),
        ({"hop_length": 0}, "hop_length=0 at least 1"),
        ({"pad_mode": "circular"}, "pad_mode='circular' must be one of constant, reflect, replicate"),
        ({"filter_rate": 0}, "filter_rate=0 must be a rate in hertz"),
    ],
)
@pytest.mark.parametrize("name", ["mel", "energy"])
def test_sizes_that_make_no_frames(name: str, numbers: dict[str, int], message: str) -> None:
    assert message in refusal(names=[name], **numbers)


@pytest.mark.parametrize("name", ["mel", "mfcc", "mfcc2d"])
@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"n_mels": 0}, "n_mels=0"),
        ({"top_db": -80.0}, "top_db=-80.0 must be above 0 dB"),
        ({"top_db": float("nan")}, "top_db=nan must be above 0 dB"),
    ],
)
def test_levels_that_make_no_mel(name: str, numbers: dict[str, Any], message: str) -> None:
    assert message in refusal(names=[name], **numbers)


@pytest.mark.parametrize("name", ["mel", "mfcc", "mfcc2d", "rolloff"])
@pytest.mark.parametrize("win_length", [0, -1, 2049])
def test_windows_that_do_not_fit(name: str, win_length: int) -> None:
    message = refusal(names=[name], win_length=win_length)
    assert f"win_length={win_length} must lie between 1 and features.n_fft=2048" in message


@pytest.mark.parametrize(
    "numbers",
    [{"f_min": -1.0}, {"f_min": 9000.0}, {"f_max": 8000.1}, {"f_min": 300.0, "f_max": 300.0}, {"f_max": 0.0}],
)
@pytest.mark.parametrize("name", ["mel", "mfcc", "mfcc2d"])
def test_mel_filters_beyond_the_rate(name: str, numbers: dict[str, float]) -> None:
    assert "must rise and lie within 0 and 8000.0 Hz" in refusal(names=[name], **numbers)


def test_filters_laid_out_for_another_rate_reach_further() -> None:
    numbers: dict[str, Any] = {"names": ["mfcc2d"], "f_max": 11_025.0}
    assert "8000.0 Hz" in refusal(**numbers)
    assert FeatureSet(FeatureConfig(**numbers, filter_rate=22_050)).rows == 64


@pytest.mark.parametrize("name", ["mfcc", "mfcc2d"])
@pytest.mark.parametrize("n_mfcc", [0, -1, 129])
def test_more_coefficients_than_filters(name: str, n_mfcc: int) -> None:
    assert f"n_mfcc={n_mfcc} must lie between 1 and features.n_mels=128" in refusal(names=[name], n_mfcc=n_mfcc)


def test_the_usual_64_coefficients_need_64_filters() -> None:
    assert "n_mfcc=64" in refusal(names=["mfcc2d"], n_mels=40)
    assert FeatureSet(FeatureConfig(names=["mfcc2d"], n_mels=40, n_mfcc=40, n_fft=1024)).rows == 40


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 85.0])
def test_a_share_of_rolloff_that_is_none(share: float) -> None:
    assert f"roll_percent={share}" in refusal(names=["rolloff"], roll_percent=share)
