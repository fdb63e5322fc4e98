"""Each condition against a closed form, or by measuring what comes out; scores against ones worked out by hand."""

import io

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from scipy import signal

from ser.data.audio import Recording
from ser.data.bank import WaveformBank
from ser.evaluation import Answers
from ser.evaluation.conditions import (
    CLEAN,
    CONDITIONS,
    Condition,
    _coded,
    apply,
    codec_rate,
    encode,
    missing,
    row_of,
    score,
)

RATE = 16_000

CODECS = [condition for condition in CONDITIONS if condition.family in ("MP3", "Opus")]


def speech_like(seconds: float, rate: int = RATE, seed: int = 0) -> NDArray[np.float32]:
    """Noise between 200 and 3,000 Hz that comes and goes four times a second, within full scale."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    band = signal.butter(2, (200, 3_000), "bandpass", fs=rate, output="sos")
    noise = signal.sosfilt(band, rng.standard_normal(len(time)))
    return (0.15 * noise / noise.std() * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time))).astype(np.float32)


def of(family: str) -> list[Condition]:
    return [condition for condition in CONDITIONS if condition.family == family]


def under(condition: Condition, samples: NDArray[np.float32], clip: str = "a.wav", rate: int = RATE) -> np.ndarray:
    return apply(condition, Recording(samples), rate, clip).samples


def decibels(ratio: float) -> float:
    return 10 * np.log10(ratio)


def tone(hz: float) -> NDArray[np.float32]:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)).astype(np.float32)


def test_conditions_are_all_there_clean_first_and_no_two_of_one_name() -> None:
    values: dict[str, list[float | None]] = {}
    for condition in CONDITIONS:
        values.setdefault(condition.family, []).append(condition.value)
    assert list(values.items()) == [
        ("clean", [None]),
        ("noise", [20, 15, 10, 5, 0]),
        ("reverberation", [0.3, 0.6, 1]),
        ("telephone", [None]),
        ("MP3", [32, 16]),
        ("Opus", [16, 8]),
        ("gain", [-20, 20]),
        ("cut", [3, 2, 1, 0.5]),
    ]
    names = [condition.name for condition in CONDITIONS]
    assert len(set(names)) == len(names)
    assert [names[0], names[1], names[9], names[-1]] == [
        "clean", "noise, 20 dB SNR", "telephone, 300 to 3,400 Hz", "cut, 0.5 s",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_a_clean_clip_is_what_the_recognizer_hears_anyway(kind: type) -> None:
    sound = speech_like(0.5)
    samples = (sound * 32767).astype(np.int16) if kind is np.int16 else sound
    expected, _ = WaveformBank.of([samples]).gather(torch.tensor([0]), len(samples))
    before = samples.copy()
    after = apply(CLEAN, Recording(samples), RATE, "a.wav")
    np.testing.assert_array_equal(after.samples, expected[0].numpy())
    assert after.samples.dtype == np.float32
    assert after.seconds == 0.5
    for condition in CONDITIONS:
        apply(condition, Recording(samples), RATE, "a.wav")
    np.testing.assert_array_equal(samples, before)


@pytest.mark.parametrize("condition", of("noise"), ids=lambda condition: condition.name)
def test_the_ratio_of_signal_to_noise_is_met(condition: Condition) -> None:
    sound = speech_like(2)
    added = under(condition, sound).astype(np.float64) - sound
    assert decibels(np.square(sound.astype(np.float64)).sum() / np.square(added).sum()) == pytest.approx(
        condition.value, abs=1e-3
    )


def test_a_clip_has_one_noise_at_each_ratio_and_another_clip_or_seed_another() -> None:
    sound = speech_like(1)
    shapes = []
    for condition in of("noise"):
        added = under(condition, sound) - sound
        shapes.append(added / np.linalg.norm(added))
    for shape in shapes[1:]:
        np.testing.assert_allclose(shape, shapes[0], atol=1e-5)
    first = of("noise")[-1]
    others = [under(first, sound, "b.wav"), apply(first, Recording(sound), RATE, "a.wav", seed=1).samples]
    for other in others:
        assert abs(np.corrcoef(other - sound, shapes[0])[0, 1]) < 0.2
    assert not np.array_equal(*others)


def test_noise_is_pink() -> None:
    sound, power = speech_like(2), []
    for number in range(16):
        added = under(of("noise")[-1], sound, f"{number}.wav") - sound
        frequency, density = signal.welch(added, RATE, nperseg=8192)
        power.append(density)
    heard = (frequency > 40) & (frequency < 7_500)
    assert np.polyfit(np.log10(frequency[heard]), np.log10(np.mean(power, 0)[heard]), 1)[0] == pytest.approx(
        -1, abs=0.1
    )


def rooms(condition: Condition, number: int) -> NDArray[np.float64]:
    """Responses ``(room, time)`` of the rooms that clips of different names get, the direct path at 1."""
    click = np.zeros(round(1.2 * RATE), np.float32)
    click[0] = 0.5
    heard = [under(condition, click, f"{i}.wav").astype(np.float64) for i in range(number)]
    return np.array([response / response[0] for response in heard])


@pytest.mark.parametrize("condition", of("reverberation"), ids=lambda condition: condition.name)
def test_a_room_decays_by_60_db_in_its_time_and_is_as_loud_as_the_direct_path(condition: Condition) -> None:
    assert condition.value is not None
    responses = rooms(condition, 24)
    np.testing.assert_allclose(np.square(responses[:, 1:]).sum(1), 1, rtol=1e-3)
    late = np.square(responses[:, 1:]).mean(0)[::-1].cumsum()[::-1]  # Schroeder (1965)
    level = decibels(late[: round(condition.value * RATE) - 1] / late[0])
    fitted = (level < -5) & (level > -35)
    slope = np.polyfit(np.arange(len(level))[fitted] / RATE, level[fitted], 1)[0]
    assert -60 / slope == pytest.approx(condition.value, rel=0.05)


def test_a_clip_is_in_one_room_at_each_reverberation_time() -> None:
    time = np.arange(1, round(0.25 * RATE)) / RATE
    noises = []
    for condition in of("reverberation"):
        assert condition.value is not None
        noises.append(rooms(condition, 2)[:, 1 : len(time) + 1] * 10 ** (3 * time / condition.value))
    for noise in noises[1:]:
        assert np.corrcoef(noise[0], noises[0][0])[0, 1] > 0.999
    assert abs(np.corrcoef(noises[0][0], noises[0][1])[0, 1]) < 0.1


def test_the_telephone_keeps_its_band_alone() -> None:
    (condition,) = of("telephone")
    levels = {hz: np.square(under(condition, tone(hz))[2_000:-2_000]).mean() for hz in (150, 300, 1_000, 3_400, 6_800)}
    before = 0.3**2 / 2
    assert decibels(levels[1_000] / before) == pytest.approx(0, abs=0.01)
    for edge in (300, 3_400):
        assert decibels(levels[edge] / before) == pytest.approx(-3, abs=0.1)
    for beyond in (150, 6_800):  # an octave
        assert decibels(levels[beyond] / before) == pytest.approx(-48, abs=1)


def test_gain_is_exact_and_has_no_limit_at_full_scale() -> None:
    sound = speech_like(0.5)
    softer, louder = (under(condition, sound) for condition in of("gain"))
    np.testing.assert_allclose(softer, sound / 10, rtol=1e-6)
    np.testing.assert_allclose(louder, sound * 10, rtol=1e-6)
    assert np.abs(louder).max() > 3


@pytest.mark.parametrize("condition", of("cut"), ids=lambda condition: condition.name)
@pytest.mark.parametrize("rate", [16_000, 11_025])
def test_a_cut_keeps_the_middle_and_a_shorter_clip_whole(condition: Condition, rate: int) -> None:
    assert condition.value is not None
    for seconds in (0.4, condition.value, 3.3):
        samples = np.arange(round(seconds * rate), dtype=np.float32)
        left = under(condition, samples, rate=rate)
        size = min(round(condition.value * rate), len(samples))
        first = int(left[0])
        np.testing.assert_array_equal(left, samples[first : first + size])
        assert abs(first - (len(samples) - first - size)) <= 1


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("condition", CODECS, ids=lambda condition: condition.name)
def test_a_codec_is_asked_for_the_rate_of_bits_that_it_is_called_by(condition: Condition, rate: int) -> None:
    assert condition.value is not None
    rate = codec_rate(condition.family, int(condition.value), rate)
    sound = speech_like(2.4, rate)
    short, long = (len(encode(s, rate, condition.family, int(condition.value))) for s in (sound[: rate // 2], sound))
    kbps = (long - short) * 8 / 1.9 / 1000  # without the header, which both have
    assert kbps == pytest.approx(condition.value, rel=0.05 if condition.family == "MP3" else 0.25)


def lag_of(heard: np.ndarray, sound: np.ndarray) -> tuple[int, float]:
    """Samples that ``heard`` comes late, and how alike the two are then, up to 1."""
    size = 2 * len(sound)
    both = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(sound, size)), size)
    lag = int(both.argmax())
    return lag if lag < size // 2 else lag - size, float(both.max() / np.linalg.norm(heard) / np.linalg.norm(sound))


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100])
@pytest.mark.parametrize("condition", CODECS, ids=lambda condition: condition.name)
def test_a_decoded_clip_is_where_it_was_and_as_long(condition: Condition, rate: int) -> None:
    sound = speech_like(0.83, rate)
    heard = under(condition, sound, rate=rate)
    assert len(heard) == len(sound)
    assert not np.array_equal(heard, sound)
    lag, alike = lag_of(heard, sound)
    assert abs(lag) <= rate / 4_000  # a quarter of a millisecond; MP3 would come 1105 samples late
    assert alike > 0.4  # noise is hard to code; that of another clip would be alike by 0.1


def test_a_file_that_tells_its_delay_has_it_undone_once() -> None:
    sound = speech_like(0.83)
    raw, _ = soundfile.read(io.BytesIO(encode(sound, RATE, "MP3", 128)), dtype="float32")
    assert len(raw) == len(sound), "it does not tell it: this test tests nothing"
    heard = _coded(torch.from_numpy(sound)[None], RATE, "MP3", 128)[0].numpy()
    assert lag_of(heard, sound)[0] == 0
    assert len(heard) == len(sound)


def test_a_codec_gets_the_next_higher_rate_or_its_highest() -> None:
    assert [codec_rate("Opus", 16, rate) for rate in (8_000, 11_025, 16_000, 22_050, 44_100, 96_000)] == [
        8_000, 12_000, 16_000, 24_000, 48_000, 48_000,
    ]  # fmt: skip
    assert [codec_rate("MP3", 16, rate) for rate in (10_000, 22_050, 32_000, 44_100)] == [
        11_025,
        22_050,
        24_000,
        24_000,
    ]
    assert [codec_rate("MP3", 32, rate) for rate in (16_000, 32_000, 44_100)] == [16_000, 32_000, 44_100]


@pytest.mark.parametrize("rate", [16_000, 11_025])
@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_silence_stays_silence_and_the_shortest_clip_is_heard(condition: Condition, rate: int) -> None:
    silence = np.zeros(round(0.7 * rate), np.int16)
    heard = apply(condition, Recording(silence, silent=True), rate, "a.wav")
    assert np.abs(heard.samples).max() < 1e-4
    assert heard.silent
    short = speech_like(0.1, rate)
    heard = apply(condition, Recording(short), rate, "a.wav")
    assert heard.samples.shape == short.shape
    assert np.isfinite(heard.samples).all()
    assert np.abs(heard.samples).max() > 1e-3


def test_what_a_clip_becomes_does_not_depend_on_what_comes_before() -> None:
    sounds = {f"{seed}.wav": speech_like(0.3 + 0.1 * seed, seed=seed) for seed in range(3)}
    jobs = [(condition, name) for condition in CONDITIONS for name in sounds]
    first = {(c.name, name): under(c, sounds[name], name) for c, name in jobs}
    torch.manual_seed(7)
    torch.rand(5)
    for condition, name in jobs[::-1]:
        np.testing.assert_array_equal(under(condition, sounds[name], name), first[condition.name, name])


def test_a_name_that_is_not_unicode_draws_as_well() -> None:
    sound = speech_like(0.3)
    heard = [under(of("noise")[0], sound, name) for name in ("\udce9.wav", "\udce8.wav")]
    assert not np.array_equal(*heard)


def test_nothing_is_missing_where_libsndfile_has_the_codecs() -> None:
    for rate in (8_000, 16_000, 22_050, 44_100):
        assert missing(CONDITIONS, rate) == {}


def test_codecs_are_missing_where_their_rate_cannot_be_reached() -> None:
    found = missing(CONDITIONS, 15_999)
    assert list(found) == [condition.name for condition in CODECS]
    assert all("15,999 Hz" in reason for reason in found.values())


@pytest.mark.parametrize("error", [ValueError("Unknown format: 'MP3'"), soundfile.LibsndfileError(1, "no MP3: ")])
def test_codecs_are_missing_where_libsndfile_lacks_them(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    write = soundfile.write

    def without_mp3(*args: object, **options: object) -> None:
        if options["format"] == "MP3":
            raise error
        write(*args, **options)

    monkeypatch.setattr(soundfile, "write", without_mp3)
    found = missing(CONDITIONS, RATE)
    assert list(found) == ["MP3, 32 kbit/s", "MP3, 16 kbit/s"]
    for reason in found.values():
        assert f"libsndfile {soundfile.__libsndfile_version__} does not have it" in reason
        assert "MP3" in reason


def answers(predicted: list[int]) -> Answers:
    """Of twelve clips of six speakers: the first eight show class 0, the others class 1."""
    true = np.array([0] * 8 + [1] * 4)
    speakers = [f"s{i % 6}" for i in range(12)]
    return Answers(["a", "b"], [f"{i}" for i in range(12)], true, np.eye(2)[predicted], {"speaker": speakers})


def test_scores_and_their_change_are_those_worked_out_by_hand() -> None:
    clean = answers([0] * 8 + [1] * 4)
    noisy = answers([0] * 6 + [1] * 2 + [1] * 3 + [0])
    told = score(CONDITIONS[1], clean, noisy, 0.25)
    assert (told["family"], told["value"], told["unit"], told["name"]) == ("noise", 20, "dB SNR", "noise, 20 dB SNR")
    assert told["accuracy"] == pytest.approx(9 / 12)
    assert told["uar"] == pytest.approx((6 / 8 + 3 / 4) / 2)
    assert told["change"]["uar"] == pytest.approx(0.75 - 1)
    assert told["cut"] == 0.25
    assert told["intervals"]["over"] == "6 speakers"
    low, high = told["intervals"]["uar"]
    assert low < 0.75 < high
    lowest, highest = told["change"]["interval"]
    assert (lowest, highest) == pytest.approx((low - 1, high - 1)), "clean has no error, so that both vary alike"
    same = score(CLEAN, clean, clean, 0.0)
    assert (same["uar"], same["change"]["uar"], same["change"]["interval"]) == (1, 0, [0, 0])


def test_a_row_tells_the_scores_and_brackets_a_change_that_may_be_none() -> None:
    told = {
        "family": "cut", "name": "cut, 2 s", "cut": 0.4567, "accuracy": 0.61234, "uar": 0.5,
        "intervals": {"uar": [0.45, 0.5549]}, "change": {"uar": -0.0204, "interval": [-0.04, -0.001]},
    }  # fmt: skip
    assert row_of(told) == ["cut, 2 s (46 % of clips)", "0.612", "0.500", "0.450 to 0.555", "-0.020"]
    unsure = {**told, "family": "gain", "name": "gain, 20 dB", "change": {"uar": 0.01, "interval": [-0.01, 0.03]}}
    assert row_of(unsure)[::4] == ["gain, 20 dB", "(+0.010)"]
    assert row_of({**told, "family": "clean", "name": "clean"})[-1] == ""
