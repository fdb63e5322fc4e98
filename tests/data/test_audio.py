import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from torchaudio.functional import resample

import ser.data.audio
from ser.data.audio import (
    BREAKS_OFF,
    CANCELS,
    IN_PART,
    SILENCE_PEAK,
    SILENT,
    AudioError,
    from_samples,
    kind_of,
    read_audio,
    read_stream,
)

RATE = 16_000

Write = Callable[..., Path]


def tone(hertz: float, seconds: float = 1.0, rate: int = RATE) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def loudest_hertz(samples: NDArray[np.float32], rate: int = RATE) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


def saved(path: Path, samples: NDArray, rate: int = RATE, **options: str) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


@pytest.fixture(scope="session")
def oddities() -> Path:
    """Real files that are odd: silent, stereo, of other rates, AIFF under another name."""
    folder = Path(os.environ.get("SER_TEST_DATA", "")) / "oddities"
    if "SER_TEST_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("no odd clips: set SER_TEST_DATA to a folder that holds oddities")
    return folder


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff", ".WAV"])
def test_16_bit_mono_at_the_rate_is_kept_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, RATE, dtype=np.int16)
    samples[:2] = -32768, 32767
    recording = read_audio(saved(tmp_path / f"a{suffix}", samples, subtype="PCM_16"), RATE)
    assert recording.samples.dtype == np.int16
    np.testing.assert_array_equal(recording.samples, samples)
    assert recording.remarks == ()
    assert not recording.silent


@pytest.mark.parametrize(("suffix", "subtype"), [("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_24")])
def test_other_subtypes_are_float32_with_full_scale_at_1(tmp_path: Path, suffix: str, subtype: str) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, RATE)
    recording = read_audio(saved(tmp_path / f"a.{suffix}", samples, subtype=subtype), RATE)
    assert recording.samples.dtype == np.float32
    np.testing.assert_allclose(recording.samples, samples, atol=2**-22)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_every_suffix_is_read_alike(write_wav: Write, suffix: str) -> None:
    original, _ = soundfile.read(write_wav("original.wav"))
    recording = read_audio(write_wav(f"same.{suffix}"), RATE)
    samples = recording.samples / (32768 if recording.samples.dtype == np.int16 else 1)
    assert samples.shape == original.shape
    assert np.corrcoef(samples, original)[0, 1] > 0.97
    assert np.abs(samples).max() == pytest.approx(np.abs(original).max(), rel=0.15)
    assert recording.remarks == ()


def test_aiff_under_a_wav_name_is_read_by_its_content(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-9000, 9000, RATE, dtype=np.int16)
    path = saved(tmp_path / "really_aiff.wav", samples, format="AIFF")
    assert path.read_bytes()[:4] == b"FORM"
    np.testing.assert_array_equal(read_audio(path, RATE).samples, samples)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = np.random.default_rng(0).uniform(-1, 1, (2, RATE))
    recording = read_audio(saved(tmp_path / "a.wav", np.stack([left, right], axis=1), subtype="FLOAT"), RATE)
    assert recording.samples.shape == (RATE,)
    assert recording.samples.dtype == np.float32
    np.testing.assert_allclose(recording.samples, (left + right) / 2, atol=1e-6)
    assert recording.remarks == ("2 channels averaged",)


def test_opposite_channels_cancel_to_silence(tmp_path: Path) -> None:
    recording = read_audio(saved(tmp_path / "a.wav", np.stack([tone(200), -tone(200)], axis=1), subtype="FLOAT"), RATE)
    assert recording.silent
    assert recording.remarks == ("2 channels averaged", CANCELS, "silent")


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_another_rate_keeps_duration_and_pitch(tmp_path: Path, rate: int) -> None:
    recording = read_audio(saved(tmp_path / "a.wav", tone(1000, 1.5, rate), rate), RATE)
    assert recording.samples.dtype == np.float32
    assert abs(len(recording.samples) - 1.5 * RATE) <= 1
    assert loudest_hertz(recording.samples) == pytest.approx(1000, abs=1)
    middle = recording.samples[1000:-1000]
    assert np.abs(middle).max() == pytest.approx(0.5, rel=0.01)
    assert recording.remarks == (f"resampled from {rate} Hz",)


def test_resampling_is_torchaudios_and_takes_away_what_the_rate_cannot_hold(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.wav", tone(440, rate=44_100) / 2 + tone(12_000, rate=44_100) / 2, 44_100)
    samples = read_audio(path, RATE).samples
    stored, _ = soundfile.read(path, dtype="float32")
    torch.testing.assert_close(
        torch.from_numpy(samples), resample(torch.from_numpy(stored), 44_100, RATE), rtol=0, atol=0
    )
    assert loudest_hertz(samples) == pytest.approx(440, abs=1)
    assert np.abs(samples[1000:-1000]).max() == pytest.approx(0.25, rel=0.02)


def test_stereo_at_another_rate_gets_both_remarks(tmp_path: Path) -> None:
    recording = read_audio(saved(tmp_path / "a.wav", np.stack([tone(300, rate=48_000)] * 2, axis=1), 48_000), RATE)
    assert recording.remarks == ("2 channels averaged", "resampled from 48000 Hz")
    assert loudest_hertz(recording.samples) == pytest.approx(300, abs=1)


def test_a_silent_clip_is_kept_with_a_remark(tmp_path: Path) -> None:
    recording = read_audio(saved(tmp_path / "a.wav", np.zeros(RATE)), RATE)
    assert recording.silent
    assert recording.remarks == ("silent",)
    np.testing.assert_array_equal(recording.samples, np.zeros(RATE))


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_silence_ends_at_the_peak_that_is_named(tmp_path: Path, subtype: str) -> None:
    quiet, audible = np.zeros(RATE), np.zeros(RATE)
    quiet[500], audible[500] = -3 / 32768, -4 / 32768
    assert 3 / 32768 < SILENCE_PEAK < 4 / 32768
    assert read_audio(saved(tmp_path / "quiet.wav", quiet, subtype=subtype), RATE).silent
    assert not read_audio(saved(tmp_path / "audible.wav", audible, subtype=subtype), RATE).silent


def words(seed: int = 0, frames: int = RATE) -> NDArray[np.int16]:
    """16-bit samples, the loudest and the quietest among them."""
    samples = np.random.default_rng(seed).integers(-20000, 20000, frames, dtype=np.int16)
    samples[:4] = -32768, 32767, 1, -1
    return samples


def fingerprint(path: Path, sample_rate: int = RATE) -> str | None:
    return read_audio(path, sample_rate).fingerprint


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        ("wav", "PCM_16"),
        ("wav", "PCM_24"),
        ("wav", "PCM_32"),
        ("wav", "FLOAT"),
        ("wav", "DOUBLE"),
        ("flac", "PCM_16"),
        ("flac", "PCM_24"),
        ("aiff", "PCM_16"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_same_16_bit_samples_have_one_fingerprint_in_any_format(
    tmp_path: Path, suffix: str, subtype: str, channels: int
) -> None:
    first = fingerprint(saved(tmp_path / "first.wav", words(), subtype="PCM_16"))
    assert first is not None
    copy = np.repeat(words()[:, None] / 32768, channels, axis=1)
    assert fingerprint(saved(tmp_path / f"copy.{suffix}", copy, subtype=subtype)) == first


@pytest.mark.parametrize("subtype", ["PCM_24", "FLOAT"])
def test_finer_samples_have_a_fingerprint_of_their_own(tmp_path: Path, subtype: str) -> None:
    fine = np.random.default_rng(1).integers(-(2**22), 2**22, RATE) / 2**23
    first = fingerprint(saved(tmp_path / "fine.wav", fine, subtype=subtype))
    assert first is not None
    assert fingerprint(saved(tmp_path / "again.flac", fine, subtype="PCM_24")) == first
    assert fingerprint(saved(tmp_path / "rounded.wav", fine, subtype="PCM_16")) != first
    fine[100] += 2**-23
    assert fingerprint(saved(tmp_path / "changed.wav", fine, subtype=subtype)) != first


def test_samples_beyond_full_scale_do_not_pass_for_16_bit_ones(tmp_path: Path) -> None:
    loud = words() / 32768
    loud[50] = 32768 / 32768
    around = loud.copy()
    around[50] = -32768 / 32768
    first, second = (
        fingerprint(saved(tmp_path / f"{name}.wav", samples, subtype="FLOAT"))
        for name, samples in (("loud", loud), ("around", around))
    )
    assert None not in (first, second)
    assert first != second


def changed(**change: Any) -> NDArray[np.int16]:
    samples = words()
    if change.get("gain"):
        samples = np.trunc(samples * change["gain"]).astype(np.int16)
    if "sample" in change:
        samples[change["sample"]] += change["by"]
    return samples[change.get("first", 0) : change.get("end")]


@pytest.mark.parametrize(
    "change",
    [
        {"gain": 0.5},
        {"gain": 0.99},
        {"gain": -0.999},
        {"sample": 9000, "by": 1},
        {"sample": 15_999, "by": -1},
        {"first": 1},
        {"end": 15_999},
    ],
    ids=["half as loud", "a little less loud", "turned over", "a sample", "the last sample", "first cut", "last cut"],
)
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_another_recording_has_another_fingerprint(tmp_path: Path, change: dict[str, Any], subtype: str) -> None:
    first = fingerprint(saved(tmp_path / "first.wav", words() / 32768, subtype=subtype))
    other = fingerprint(saved(tmp_path / "other.wav", changed(**change) / 32768, subtype=subtype))
    assert None not in (first, other)
    assert first != other


def test_channels_that_differ_have_the_fingerprint_of_their_mean(tmp_path: Path) -> None:
    both = np.stack([words() / 32768, words(1) / 32768], axis=1)
    stereo = fingerprint(saved(tmp_path / "both.wav", both, subtype="PCM_16"))
    assert stereo == fingerprint(saved(tmp_path / "mean.wav", both.mean(1), subtype="FLOAT"))
    assert stereo not in [fingerprint(saved(tmp_path / f"{i}.wav", both[:, i])) for i in (0, 1)]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_the_fingerprint_does_not_depend_on_the_wanted_rate(tmp_path: Path, subtype: str) -> None:
    path = saved(tmp_path / "a.wav", words() / 32768, 22_050, subtype=subtype)
    first = fingerprint(path, 22_050)
    assert first is not None
    assert fingerprint(path, 16_000) == fingerprint(path, 44_100) == first
    resampled = saved(tmp_path / "b.wav", read_audio(path, 16_000).samples, 16_000, subtype="FLOAT")
    assert fingerprint(resampled) != first


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_silence_has_no_fingerprint_so_that_silent_clips_are_no_twins(tmp_path: Path, subtype: str) -> None:
    quiet, audible = np.zeros(RATE), np.zeros(RATE)
    quiet[500], audible[500] = -3 / 32768, -4 / 32768
    assert fingerprint(saved(tmp_path / "silent.wav", np.zeros(RATE), subtype=subtype)) is None
    assert fingerprint(saved(tmp_path / "quiet.wav", quiet, subtype=subtype)) is None
    assert fingerprint(saved(tmp_path / "audible.wav", audible, subtype=subtype)) is not None


@pytest.mark.parametrize(("subtype", "rate"), [("PCM_16", RATE), ("PCM_16", 8_000), ("PCM_24", RATE), ("FLOAT", RATE)])
def test_clipped_is_the_share_of_samples_at_full_scale(tmp_path: Path, subtype: str, rate: int) -> None:
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, 10_000)
    samples[:4] = 32766 / 32768, -32766 / 32768, 0.99, -0.99
    assert read_audio(saved(tmp_path / "none.wav", samples, rate, subtype=subtype), RATE).clipped == 0
    samples[100:130] = 32767 / 32768
    samples[500:520] = -1
    samples[600] = -32767 / 32768
    clipped = read_audio(saved(tmp_path / "some.wav", samples, rate, subtype=subtype), RATE).clipped
    assert clipped == pytest.approx(51 / 10_000)
    flat = read_audio(saved(tmp_path / "all.wav", np.full(10_000, -1.0), rate, subtype=subtype), RATE)
    assert flat.clipped == 1


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_it_says_what_the_file_was_like(tmp_path: Path, rate: int, channels: int) -> None:
    sound = np.repeat(tone(200, 0.75, rate)[:, None], channels, axis=1)
    recording = read_audio(saved(tmp_path / "a.wav", sound, rate), RATE)
    assert (recording.rate, recording.channels) == (rate, channels)
    assert recording.seconds == pytest.approx(0.75, abs=1e-9)
    assert recording.clipped == 0


def fails(path: Path, why: str) -> None:
    with pytest.raises(AudioError, match=why) as caught:
        read_audio(path, RATE)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    fails(tmp_path / "missing.wav", "can't be read")


def test_a_folder_is_an_error(tmp_path: Path) -> None:
    fails(tmp_path, "can't be read")


@pytest.mark.parametrize(
    "content", [b"", b"RIFF", b"RIFFnonsense" * 500, b"\x00" * 9000], ids=["0", "4", "junk", "zero"]
)
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff", "raw"])
def test_broken_bytes_are_an_error(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"broken.{suffix}"
    path.write_bytes(content)
    fails(path, "can't be read")


def test_a_damaged_flac_is_an_error(write_wav: Write) -> None:
    path = write_wav("a.flac")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    fails(path, "can't be read")


@pytest.mark.parametrize("suffix", ["wav", "aiff"])
def test_no_samples_are_an_error(tmp_path: Path, suffix: str) -> None:
    fails(saved(tmp_path / f"empty.{suffix}", np.zeros(0)), "has no samples")


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_under_a_tenth_of_a_second_is_an_error(tmp_path: Path, rate: int) -> None:
    fails(saved(tmp_path / "short.wav", tone(200, 0.0999, rate), rate), "at least 0.1 s")
    assert len(read_audio(saved(tmp_path / "enough.wav", tone(200, 0.1, rate), rate), RATE).samples) == 1600


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 2])
def test_one_sample_that_is_no_number_is_an_error(tmp_path: Path, value: float, channels: int) -> None:
    samples = np.zeros((RATE, channels))
    samples[77, -1] = value
    fails(saved(tmp_path / "a.wav", samples, subtype="FLOAT"), "NaN or infinite")


@pytest.mark.parametrize("rate", [RATE, 22_050])
@pytest.mark.parametrize("channels", [None, 1, 2])
def test_samples_in_memory_are_taken_as_a_file_of_them_is(tmp_path: Path, rate: int, channels: int | None) -> None:
    shape = (rate,) if channels is None else (channels, rate)
    sound = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    recording = from_samples(sound, rate, RATE)
    stored = read_audio(saved(tmp_path / "a.wav", sound.T, rate, subtype="FLOAT"), RATE)
    np.testing.assert_array_equal(recording.samples, stored.samples)
    assert recording.samples.dtype == np.float32
    for known in ("remarks", "silent", "clipped", "fingerprint", "seconds", "rate", "channels"):
        assert getattr(recording, known) == getattr(stored, known)


@pytest.mark.parametrize(
    ("sound", "rate", "why"),
    [
        (np.zeros((1, 2, 5000)), RATE, "is wanted"),
        (np.array(0.5), RATE, "is wanted"),
        (np.zeros(5000), 0, "is wanted"),
        (np.zeros(5000), -16_000, "is wanted"),
        (np.zeros(1599), RATE, "at least 0.1 s"),
        (np.zeros((1599, 2)), RATE, "at least 0.1 s"),
        (np.where(np.arange(5000) == 3, np.nan, 0), RATE, "NaN or infinite"),
    ],
    ids=["three axes", "a number", "no rate", "below 0 Hz", "short", "(time, channel)", "NaN"],
)
def test_samples_in_memory_that_are_no_sound_are_an_error(sound: NDArray, rate: int, why: str) -> None:
    with pytest.raises(AudioError, match=why):
        from_samples(sound.astype(np.float32), rate, RATE)


def test_a_real_recording_has_one_fingerprint_under_all_its_names_and_formats(oddities: Path, tmp_path: Path) -> None:
    contents = defaultdict(set)
    for path in sorted(oddities.rglob("*.wav")):
        rate = soundfile.info(path).samplerate
        own = read_audio(path, rate)
        samples, _ = soundfile.read(path, dtype="int16")
        copy = read_audio(saved(tmp_path / "copy.flac", samples, rate, subtype="PCM_16"), rate)
        assert copy.fingerprint == own.fingerprint
        assert (copy.seconds, copy.rate, copy.channels) == (own.seconds, own.rate, own.channels)
        contents[own.fingerprint].add(path.read_bytes())
    assert all(len(alike) == 1 for alike in contents.values())
    assert len(set().union(*contents.values())) == len(contents) > 5


def test_real_silence(oddities: Path) -> None:
    recording = read_audio(oddities / "1076_MTI_SAD_XX.wav", RATE)
    assert (recording.silent, recording.remarks) == (True, ("silent",))
    assert recording.samples.dtype == np.int16


def test_real_stereo(oddities: Path) -> None:
    path = oddities / "03-01-02-01-01-02-01.wav"
    recording = read_audio(path, RATE)
    assert recording.remarks == ("2 channels averaged", "resampled from 48000 Hz")
    assert abs(len(recording.samples) - soundfile.info(path).duration * RATE) <= 1


@pytest.mark.parametrize("name", ["03-01-03-01-02-01-07.wav", "tess/OAF_food_fear.wav"])
def test_real_clips_of_other_rates(oddities: Path, name: str) -> None:
    info = soundfile.info(oddities / name)
    recording = read_audio(oddities / name, RATE)
    assert recording.remarks == (f"resampled from {info.samplerate} Hz",)
    assert abs(len(recording.samples) - info.duration * RATE) <= 1
    assert 0.001 < np.abs(recording.samples).max() <= 1.1


def test_real_aiff_under_a_wav_name(oddities: Path) -> None:
    path = oddities / "tess" / "YAF_germ_angry.wav"
    assert path.read_bytes()[:4] == b"FORM"
    # At its own rate: the kernel from 24,414 Hz to 16,000 takes seconds to make.
    recording = read_audio(path, 24_414)
    assert recording.samples.dtype == np.int16
    assert len(recording.samples) == soundfile.info(path).frames
    assert recording.remarks == ()


def test_real_clips_are_int16_and_exact(oddities: Path) -> None:
    for path in sorted(oddities.glob("10*.wav")):
        recording = read_audio(path, RATE)
        stored, _ = soundfile.read(path, dtype="int16")
        assert recording.samples.dtype == np.int16
        np.testing.assert_array_equal(recording.samples, stored)


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 5000), (2, 2, 2)])
def test_samples_of_a_shape_without_sound_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(AudioError, match="shape"):
        from_samples(np.zeros(shape, np.float32), 16_000, 16_000)


def damaged(path: Path, edits: dict[int, bytes]) -> Path:
    """The file with some of its bytes changed, by place."""
    content = bytearray(path.read_bytes())
    for place, changed in edits.items():
        content[place : place + len(changed)] = changed
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("rate", [0, 1, 999, 1_000_001, 2**31 - 1, 2**32 - 1])
def test_a_header_with_an_absurd_rate_is_refused(rate: int, tmp_path: Path) -> None:
    path = damaged(saved(tmp_path / "a.wav", tone(440)), {24: rate.to_bytes(4, "little")})
    with pytest.raises(AudioError, match=r"a\.wav: (its rate is|can't be read)"):
        read_audio(path, RATE)


def test_a_rate_without_a_common_divisor_that_would_fill_memory_is_refused(tmp_path: Path) -> None:
    path = damaged(saved(tmp_path / "a.wav", tone(440)), {24: (999_983).to_bytes(4, "little")})
    with pytest.raises(AudioError, match=r"common divisor but 1: resample it to 16,000 Hz"):
        read_audio(path, RATE)
    with pytest.raises(AudioError, match="common divisor but 1"):
        from_samples(np.zeros(999_983, np.float32), 999_983, RATE)


def test_a_flac_stream_that_does_not_tell_its_length_is_counted(tmp_path: Path) -> None:
    whole = saved(tmp_path / "a.flac", tone(440))
    expected, content = read_audio(whole, RATE), whole.read_bytes()
    assert content[:4] == b"fLaC"
    path = damaged(whole, {21: bytes([content[21] & 0xF0]) + bytes(4)})  # 36 bits of STREAMINFO
    recording = read_audio(path, RATE)
    np.testing.assert_array_equal(recording.samples, expected.samples)
    assert (recording.seconds, recording.remarks) == (1, ())


def test_a_header_that_tells_more_than_memory_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise MemoryError("Unable to allocate 275. GiB")

    monkeypatch.setattr(soundfile.SoundFile, "read", full)
    with pytest.raises(AudioError, match="more samples than memory holds: Unable to allocate"):
        read_audio(saved(tmp_path / "a.wav", tone(440)), RATE)


def test_a_name_that_is_not_utf_8_is_read(write_wav: Write) -> None:
    path = write_wav("a.wav")
    odd = path.rename(path.with_name(os.fsdecode(b"\xff\xe9.wav")))
    assert len(read_audio(odd, RATE).samples) == RATE


@pytest.mark.parametrize("rate", [0.3, 999.4, 1e8])
def test_samples_in_memory_at_an_absurd_rate_are_refused(rate: float) -> None:
    with pytest.raises(AudioError, match="its rate is"):
        from_samples(np.zeros(RATE, np.float32), rate, RATE)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
@pytest.mark.parametrize(("rate", "channels"), [(RATE, 1), (44_100, 2), (RATE, 8)])
def test_blocks_joined_are_what_libsndfile_gives_at_once(tmp_path: Path, suffix: str, rate: int, channels: int) -> None:
    if suffix == "mp3" and channels > 2:
        pytest.skip("MP3 has two channels at most")
    rng = np.random.default_rng(0)
    path = saved(tmp_path / f"a.{suffix}", 0.1 * rng.standard_normal((round(3.21 * rate), channels)), rate)
    at_once = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1, dtype=np.float32)
    recording = read_audio(path, rate)
    scale = 32768 if recording.samples.dtype == np.int16 else 1
    np.testing.assert_array_equal(recording.samples / np.float32(scale), at_once)


@pytest.mark.parametrize("long", [False, True], ids=["decoded whole", "decoded where it is heard"])
@pytest.mark.parametrize("rate", [RATE, 44_100, 8_000])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT", "GSM610"])
def test_what_is_heard_is_the_middle_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long: bool, rate: int, subtype: str
) -> None:
    path = saved(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(5 * rate), rate, subtype=subtype)
    all_of_it = read_audio(path, RATE)
    for heard in (RATE, 20_001, len(all_of_it.samples), 10 * RATE):
        if long:
            monkeypatch.setattr(ser.data.audio, "WHOLE_SAMPLES", 1000)
        part = read_audio(path, RATE, heard)
        monkeypatch.undo()
        surplus = max(len(all_of_it.samples) - heard, 0)
        expected = all_of_it.samples[surplus // 2 : surplus // 2 + heard]
        np.testing.assert_allclose(part.samples, expected, rtol=0, atol=2e-6 if long else 0)
        assert (part.samples.dtype, part.seconds) == (expected.dtype, all_of_it.seconds)
        told = f"{IN_PART} ({heard / RATE:.1f} s of {part.seconds:.1f} s)"
        assert (told in part.remarks) == (surplus > 0)


def test_of_a_long_recording_little_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ser.data.audio, "WHOLE_SAMPLES", RATE)
    path = saved(tmp_path / "a.flac", 0.1 * np.random.default_rng(0).standard_normal((60 * RATE, 2)))
    decoded = []
    read = soundfile.SoundFile.read

    def counted(file: soundfile.SoundFile, *args: Any, **options: Any) -> NDArray[np.float32]:
        decoded.append(len(block := read(file, *args, **options)))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    read_audio(path, RATE, RATE)
    assert sum(decoded) <= RATE + 2 * ser.data.audio.BLOCK
    assert max(decoded) <= ser.data.audio.BLOCK


def test_silence_is_said_of_what_is_heard(tmp_path: Path) -> None:
    sound = np.concatenate([tone(200, 2), np.zeros(2 * RATE), tone(200, 2)])
    path = saved(tmp_path / "a.wav", sound)
    assert not read_audio(path, RATE).silent
    recording = read_audio(path, RATE, RATE)
    assert (recording.silent, recording.remarks) == (True, (f"{IN_PART} (1.0 s of 6.0 s)", SILENT))
    assert [kind_of(remark) for remark in recording.remarks] == [IN_PART, SILENT]


def test_a_clip_longer_than_memory_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.wav", tone(200, 2))
    monkeypatch.setattr(ser.data.audio, "MOST_SAMPLES", RATE)
    with pytest.raises(
        AudioError, match=r"a\.wav: lasts 0\.0 h; a clip may last 0\.0 h at 16,000 Hz: cut it into clips"
    ):
        read_audio(path, RATE)
    monkeypatch.setattr(ser.data.audio, "WHOLE_SAMPLES", RATE)
    assert read_audio(path, RATE, RATE // 2).seconds == 2


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        ("wav", "PCM_16"), ("wav", "ULAW"), ("wav", "GSM610"), ("wav", "IMA_ADPCM"), ("aiff", "PCM_16"),
        ("au", "PCM_16"), ("w64", "PCM_16"), ("rf64", "PCM_16"), ("nist", "PCM_16"), ("svx", "PCM_16"), ("wve", "ALAW"),
        ("mp3", "MPEG_LAYER_III"),
    ],
)  # fmt: skip
def test_a_file_that_breaks_off_is_used_with_a_remark(tmp_path: Path, suffix: str, subtype: str) -> None:
    rate = 8_000
    path = saved(
        tmp_path / f"a.{suffix}", 0.1 * np.random.default_rng(0).standard_normal(4 * rate), rate,
        subtype=subtype, format=suffix.upper(),
    )  # fmt: skip
    assert not any(remark.startswith(BREAKS_OFF) for remark in read_audio(path, rate).remarks)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    recording = read_audio(path, rate)
    assert 1.5 < recording.seconds < 2.2
    (remark,) = recording.remarks
    assert re.fullmatch(rf"{BREAKS_OFF} \(after {recording.seconds:.1f} s of (4\.\d|3\.9) s\)", remark)


def test_a_header_that_tells_10_hours_is_not_believed(tmp_path: Path) -> None:
    size = (10 * 3600 * RATE * 2).to_bytes(4, "little")
    path = damaged(saved(tmp_path / "a.wav", tone(200)), {40: size})
    for recording in (read_audio(path, RATE), read_audio(path, RATE, RATE // 2)):
        assert f"{BREAKS_OFF} (after 1.0 s of 36000.0 s)" in recording.remarks
    for unknown in (0x7FFFFFFF, 0x80000000, 0x7FFFF000, 0xFFFFFFFF, 0xFFFFFFDB):  # of what goes to a pipe
        damaged(path, {40: unknown.to_bytes(4, "little")})
        assert read_audio(path, RATE).remarks == ()


@pytest.mark.parametrize(
    ("left", "right", "cancel"),
    [(1, -1, True), (1, -0.9, True), (1, 1, False), (1, 0, False), (1, -0.2, False), (0, 0, False)],
)
def test_channels_that_cancel_are_told(tmp_path: Path, left: float, right: float, cancel: bool) -> None:
    sound = np.stack([left * tone(200), right * tone(200)], axis=1)
    assert (CANCELS in read_audio(saved(tmp_path / "a.wav", sound), RATE).remarks) == cancel
    assert (CANCELS in from_samples(sound.T.astype(np.float32), RATE, RATE).remarks) == cancel


@pytest.mark.parametrize("channels", [1, 2])
def test_floats_of_another_scale_are_refused_and_real_overs_stay(tmp_path: Path, channels: int) -> None:
    sound = np.repeat(tone(200)[:, None], channels, axis=1)
    path = saved(tmp_path / "a.wav", 8192 * sound, subtype="FLOAT")
    with pytest.raises(
        AudioError, match=r"a\.wav: holds floats as large as 4,096, far beyond full scale, which is 1: div"
    ):
        read_audio(path, RATE)
    with pytest.raises(AudioError, match="the samples: holds floats as large as 4,096"):
        from_samples((8192 * sound).T.astype(np.float32), RATE, RATE)
    over = read_audio(saved(tmp_path / "over.wav", 20 * sound, subtype="FLOAT"), RATE)
    assert over.samples.max() == pytest.approx(10, rel=0.01)


def test_time_before_channels_is_understood_where_nothing_else_is_meant(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, (RATE, 2)).astype(np.float32)
    np.testing.assert_array_equal(from_samples(sound, RATE, RATE).samples, from_samples(sound.T, RATE, RATE).samples)
    assert from_samples(sound, RATE, RATE).channels == 2


def test_a_stream_is_read_from_where_it_is(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.flac", tone(200))
    with path.open("rb") as file:
        np.testing.assert_array_equal(read_stream(file, "x", RATE).samples, read_audio(path, RATE).samples)
        with pytest.raises(AudioError, match="x: can't be read: is empty"):
            read_stream(file, "x", RATE)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "link.wav").symlink_to("/dev/zero")
    for name in ("pipe.wav", "link.wav", "/dev/zero", "/dev/null"):
        for pipes in (False, True):
            with pytest.raises(AudioError, match="can't be read: is a pipe or a device, not a file"):
                read_audio(tmp_path / name, RATE, pipes=pipes)


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="no /dev/fd here")
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_pipe_that_was_handed_over_is_read_where_that_is_wanted(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a.{suffix}", tone(200))
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pipe = Path(f"/dev/fd/{process.stdout.fileno()}")
        with pytest.raises(AudioError, match="is a pipe"):
            read_audio(pipe, RATE)
        recording = read_audio(pipe, RATE, pipes=True)
    np.testing.assert_array_equal(recording.samples, read_audio(path, RATE).samples)
