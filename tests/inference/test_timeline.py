import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ser.data.audio import CANCELS, AudioError, BlockResampler, Recording, SoundStream, from_samples, read_audio
from ser.data.corpora import Clip
from ser.errors import UserError
from ser.features import FeatureConfig, Frontend
from ser.inference.timeline import (
    SILENCE,
    SILENCE_DB,
    Listener,
    Meter,
    Segment,
    Timeline,
    bands,
    in_frames,
    silence_level,
    smooth,
)
from ser.models.cnn1d import Cnn1d
from ser.recognizer import Recognizer
from ser.results.figures import timeline_figure

RATE = 8_000


class ByPitch:
    """Answers as a recognizer does: how much of the sound's power is above 1 kHz."""

    labels = ("low", "high")
    sample_rate = RATE
    prior = None

    def __init__(self, seconds: float = 4.0) -> None:
        self.seconds = seconds
        self.heard: list[int] = []
        self.batches: list[int] = []

    def probabilities(self, recordings: Sequence[Recording], voices: None) -> torch.Tensor:
        self.batches.append(len(recordings))
        rows = []
        for recording in recordings:
            self.heard.append(len(recording.samples))
            power = np.abs(np.fft.rfft(recording.samples)) ** 2
            high = power[round(len(recording.samples) * 1000 / RATE) :].sum() / max(power.sum(), 1e-30)
            rows.append([1 - high, high])
        return torch.tensor(rows).reshape(-1, 2)


def tone(hertz: float, seconds: float, rate: int = RATE, loud: float = 0.3) -> NDArray[np.float32]:
    return (loud * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(seconds: float, loud: float, rate: int = RATE) -> NDArray[np.float32]:
    return (loud * np.random.default_rng(0).standard_normal(round(seconds * rate))).astype(np.float32)


def told(samples: NDArray[np.float32], block: int = 1000, **choices: float) -> tuple[ByPitch, Timeline]:
    recognizer = ByPitch()
    listener = Listener(recognizer, "a.wav", **choices)
    for start in range(0, len(samples), block):
        listener.push(samples[start : start + block])
    return recognizer, listener.finish()


def streamed(path: Path, sample_rate: int = 16_000) -> NDArray[np.float32]:
    return np.concatenate(list(SoundStream(path, sample_rate)))


def floats(recording: Recording) -> NDArray[np.float32]:
    scale = 32768 if recording.samples.dtype == np.int16 else 1
    return (recording.samples / scale).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000, 22_050, 8_000, 11_025, 12_345])
def test_what_is_streamed_is_what_read_audio_reads(tmp_path: Path, rate: int, channels: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, (round(4.321 * rate), channels)), rate)
    expected = floats(read_audio(path, 16_000))
    samples = streamed(path)
    assert samples.dtype == np.float32
    assert samples.shape == expected.shape
    np.testing.assert_allclose(samples, expected, atol=2e-6)


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3", "aiff"])
def test_every_format_is_streamed_to_its_end(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(5, 0.1, 44_100), 44_100)
    stream = SoundStream(path, 16_000)
    samples = np.concatenate(list(stream))
    np.testing.assert_allclose(samples, floats(read_audio(path, 16_000)), atol=2e-6)
    assert stream.broken is None
    assert stream.seconds == pytest.approx(5, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(
    rates=st.sampled_from([(44_100, 16_000), (48_000, 16_000), (8_000, 16_000), (16_000, 22_050), (96_000, 8_000)]),
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=12),
)
def test_blocks_of_any_size_are_resampled_as_one_piece(rates: tuple[int, int], sizes: list[int]) -> None:
    rate, sample_rate = rates
    sound = noise(max(sum(sizes), 1) / rate, 0.2, rate)
    resample, done = BlockResampler(rate, sample_rate), 0
    parts = []
    for size in sizes:
        parts.append(resample(sound[done : done + size]))
        done += size
    parts.append(resample(sound[done:], last=True))
    padded = np.append(sound, np.zeros(rate, np.float32))  # from_samples refuses what is short
    whole = floats(from_samples(padded, rate, sample_rate))
    joined = np.concatenate(parts)
    assert len(joined) == math.ceil(len(sound) * sample_rate / rate)
    np.testing.assert_allclose(joined, whole[: len(joined)], atol=2e-6)


def test_a_stream_keeps_little_of_what_it_read(tmp_path: Path) -> None:
    resample = BlockResampler(44_100, 16_000)
    for _ in range(50):
        resample(noise(1, 0.1, 44_100))
        assert len(resample.kept) < 3 * 441


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_bad_files_are_the_same_errors_as_in_read_audio(tmp_path: Path, rate: int) -> None:
    sound = np.full(rate * 3, 0.1)
    sound[2 * rate] = np.nan
    soundfile.write(tmp_path / "nan.wav", sound, rate, subtype="FLOAT")
    soundfile.write(tmp_path / "empty.wav", sound[:0], rate)
    soundfile.write(tmp_path / "short.wav", sound[: rate // 20], rate)
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "a.raw").write_bytes(b"123")
    for name in ("nan.wav", "empty.wav", "short.wav", "text.wav", "a.raw", "gone.wav"):
        with pytest.raises(AudioError) as expected:
            read_audio(tmp_path / name, 16_000)
        with pytest.raises(AudioError) as found:
            streamed(tmp_path / name)
        assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff"])
def test_a_file_that_breaks_off_is_heard_up_to_there(tmp_path: Path, suffix: str) -> None:
    whole, path = tmp_path / f"whole.{suffix}", tmp_path / f"broken.{suffix}"
    soundfile.write(whole, noise(20, 0.2, 16_000), 16_000)
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    stream = SoundStream(path, 16_000)
    samples = np.concatenate(list(stream))
    assert 10 < len(samples) / 16_000 <= 12.1
    np.testing.assert_array_equal(samples, floats(read_audio(whole, 16_000))[: len(samples)])
    assert stream.seconds == pytest.approx(20, abs=0.01)
    assert stream.broken is not None
    assert stream.broken.startswith(f"{path}: breaks off after {len(samples) / 16_000:.1f} s")
    assert "Error" in stream.broken if suffix == "flac" else stream.broken.endswith("of 20.0 s")


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_header_written_before_the_length_was_known_is_no_break(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(2, 0.2, 16_000), 16_000)
    header = bytearray(path.read_bytes())
    assert header[36:40] == b"data"
    header[40:44] = size.to_bytes(4, "little")
    path.write_bytes(header)
    stream = SoundStream(path, 16_000)
    assert len(np.concatenate(list(stream))) == 32_000
    assert stream.broken is None


def test_a_flac_without_a_length_is_heard_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(2, 0.2, 16_000), 16_000)
    header = bytearray(path.read_bytes())
    header[21] &= 0xF0  # the total of samples, 36 bits, in the first metadata block
    header[22:26] = bytes(4)
    path.write_bytes(header)
    stream = SoundStream(path, 16_000)
    assert len(np.concatenate(list(stream))) == 32_000
    assert (stream.seconds, stream.broken, stream.remarks) == (0, None, ())


def test_a_stream_tells_of_channels_that_cancel(tmp_path: Path) -> None:
    sound = noise(2, 0.2, 16_000)
    soundfile.write(tmp_path / "a.wav", np.stack([sound, -sound], 1), 16_000)
    stream = SoundStream(tmp_path / "a.wav", 16_000)
    list(stream)
    assert stream.remarks == ("2 channels averaged", CANCELS)


@pytest.mark.parametrize("rate", [8_000, 16_000, 11_025, 22_050])
def test_levels_and_outline_are_those_of_the_samples(rate: int) -> None:
    sound = noise(2.345, 0.1, rate) * np.linspace(0.01, 1, round(2.345 * rate), dtype=np.float32)
    meter = Meter(rate)
    for block in np.array_split(sound, [10, 11, 3000, 3000, 9999]):
        meter.push(block)
    assert meter.samples == len(sound)
    low, high = meter.pieces()[1:]
    assert len(low) == 235
    for piece in (0, 1, 117, 234):
        part = sound[piece * rate // 100 : (piece + 1) * rate // 100]
        assert (low[piece], high[piece]) == (part.min(), part.max())
    levels = meter.levels()
    assert len(levels) == 24
    for frame in (0, 7, 22):
        part = sound[frame * rate // 10 : (frame + 1) * rate // 10].astype(np.float64)
        assert levels[frame] == pytest.approx(10 * np.log10(np.mean(part**2)), abs=0.02)


def test_long_recordings_outgrow_the_first_minute() -> None:
    meter = Meter(100)
    sound = noise(500, 0.1, 100)
    for block in np.array_split(sound, 50):
        meter.push(block)
    np.testing.assert_array_equal(meter.pieces()[1], sound.astype(np.float64))


def test_the_level_of_silence() -> None:
    assert silence_level(np.full(50, -100.0)) == -80, "nothing at all was heard"
    assert silence_level(np.append(np.full(50, -100.0), np.full(50, -20.0))) == -30, "digital silence is no noise"
    speech_and_noise = np.append(np.full(50, -50.0), np.full(50, -20.0))
    assert silence_level(speech_and_noise) == -45, "5 dB over the noise"
    assert silence_level(speech_and_noise, 20) == -40, "or so far below the loud level"
    assert silence_level(np.full(50, -75.0)) == -80, "or what is silent anywhere"
    assert silence_level(np.full(50, -20.0)) == -30, "one level throughout is no noise"


def test_smoothing_by_hand() -> None:
    windows = np.array([[1.0, 0.0], [0.4, 0.6], [0.0, 1.0]])
    found = smooth(windows, np.array([1.0, 0.5, 0.0]), 5, 2)
    np.testing.assert_allclose(found[:3], [[1, 0], [(1 + 0.2) / 1.5, 0.3 / 1.5], [0.4, 0.6]])
    assert np.isnan(found[3:]).all(), "only a window without anything loud, or none"


@given(shares=st.lists(st.floats(0.01, 1), min_size=1, max_size=9), width=st.integers(1, 5))
def test_smoothing_keeps_probabilities(shares: list[float], width: int) -> None:
    windows = np.random.default_rng(0).dirichlet([1, 1, 1], len(shares))
    steps = len(shares) + width - 1
    found = smooth(windows, np.array(shares), steps, width)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    for step in range(steps):
        covering = [window for window in range(len(shares)) if window <= step < window + width]
        expected = np.average(windows[covering], axis=0, weights=[shares[window] for window in covering])
        np.testing.assert_allclose(found[step], expected)


def test_a_recording_is_told_by_start_and_end() -> None:
    silence = np.zeros(3 * RATE, np.float32)
    sound = np.concatenate([tone(300, 6), silence, tone(2000, 6.25)])
    _, timeline = told(sound, window=2, hop=1)
    assert timeline.seconds == 15.25
    found = timeline.segments()
    assert [(segment.start, segment.end, segment.emotion) for segment in found] == [
        (0, 6, "low"), (6, 9, SILENCE), (9, 15.25, "high")
    ]  # fmt: skip
    assert found[0].probabilities["low"] == found[0].probability == pytest.approx(1, abs=0.01)
    assert (found[1].probability, found[1].probabilities) == (None, {})
    assert bands(found) == {"low": [(0, 6)], SILENCE: [(6, 3)], "high": [(9, 6.25)]}
    assert timeline.outline.shape == (2, 1525)


def test_a_change_is_told_where_most_of_the_windows_hear_it() -> None:
    _, timeline = told(np.concatenate([tone(300, 10), tone(2000, 10)]), window=3, hop=1)
    probabilities = timeline.probabilities[:, 1]
    # Windows that start 2 s and 1 s before the change hear 1/3 and 2/3 of the high tone.
    np.testing.assert_allclose(probabilities[7:13], [0, 1 / 9, 1 / 3, 2 / 3, 8 / 9, 1], atol=0.01)
    assert [(segment.start, segment.end) for segment in timeline.segments()] == [(0, 10), (10, 20)]


def test_noise_between_words_is_silence() -> None:
    def one(rate: int) -> NDArray[np.float32]:
        words = [np.concatenate([tone(300, 2) * noise(2, 1), np.zeros(3 * RATE, np.float32)]) for _ in range(4)]
        return np.concatenate(words) + noise(20, 0.004)

    _, timeline = told(one(RATE))
    assert [(segment.start, segment.end) for segment in timeline.segments() if segment.emotion == SILENCE] == [
        (2, 5), (7, 10), (12, 15), (17, 20)
    ]  # fmt: skip


def test_a_silent_recording_is_one_silent_segment() -> None:
    for sound in (np.zeros(10 * RATE, np.float32), noise(10, 1e-5)):
        assert told(sound)[1].segments() == [Segment(0, 10, SILENCE, {})]


def test_a_click_is_no_speech() -> None:
    sound = np.concatenate([tone(300, 5), np.zeros(5 * RATE, np.float32)])
    sound[7 * RATE + 100 : 7 * RATE + 200] = 0.9
    assert [segment.emotion for segment in told(sound)[1].segments()] == ["low", SILENCE]


@pytest.mark.parametrize(
    ("seconds", "heard"),
    [
        (0.5, [0.5]),
        (3, [3]),
        (3.5, [3, 2.5]),
        (4, [3, 3]),
        (5.001, [3, 3, 3, 2.001]),
        (6, [3, 3, 3, 3]),
    ],
)
def test_windows_end_with_the_first_that_reaches_the_end(seconds: float, heard: list[float]) -> None:
    for block in (17, 1000, 10**6):
        recognizer, timeline = told(tone(300, seconds), block)
        assert recognizer.heard == [round(length * RATE) for length in heard]
        assert len(timeline.probabilities) == math.ceil(seconds)
        assert not np.isnan(timeline.probabilities).any()


def test_blocks_and_batches_change_nothing() -> None:
    sound = np.concatenate([tone(300, 4), noise(3, 0.001), tone(2000, 5), noise(2, 0.3)])
    _, expected = told(sound, len(sound))
    for block, batch_size in ((1, 32), (799, 1), (8000, 3)):
        recognizer, timeline = told(sound[: 3 * RATE] if block == 1 else sound, block, batch_size=batch_size)
        if block > 1:
            np.testing.assert_allclose(timeline.probabilities, expected.probabilities, atol=1e-6)
            np.testing.assert_array_equal(timeline.outline, expected.outline)
        assert max(recognizer.batches) <= batch_size


def test_windows_do_not_drift_where_a_tenth_of_a_second_is_no_whole_number_of_samples() -> None:
    recognizer = ByPitch()
    recognizer.sample_rate = 11_025
    listener = Listener(recognizer, "a.wav", window=0.3, hop=0.1)
    listener.push(tone(300, 100, 11_025))
    timeline = listener.finish()
    assert len(timeline.probabilities) == 1000
    assert len(recognizer.heard) == 998
    assert set(recognizer.heard) <= {3307, 3308}


def test_a_listener_holds_no_more_than_a_window_and_a_block() -> None:
    listener = Listener(ByPitch(), "a.wav", batch_size=2)
    for _ in range(100):
        listener.push(tone(300, 1))
        assert len(listener._buffer) <= 4 * RATE
        assert len(listener._waiting) <= 2


def test_a_recognizers_answers_are_those_of_its_windows() -> None:
    torch.manual_seed(0)
    frontend = Frontend(FeatureConfig(["zcr"], sample_rate=RATE, hop_length=100, frame_length=400), round(1.25 * RATE))
    recognizer = Recognizer(Cnn1d(frontend.input_shape, 3), frontend, ["a", "b", "c"], RATE)
    sound = noise(3.3, 0.1) * tone(2, 3.3, loud=1)
    listener = Listener(recognizer, "a.wav")
    assert (listener.window, listener.hop) == (12, 10), "no longer than it hears"
    listener.push(sound)
    timeline = listener.finish()
    answers = [
        list(recognizer(sound[round(start * RATE) : round((start + 1.2) * RATE)], RATE).values()) for start in (0, 1, 2)
    ]
    answers.append(list(recognizer(sound[3 * RATE :], RATE).values()))
    np.testing.assert_allclose(timeline.probabilities[0], answers[0], atol=1e-6)
    low, high = np.sort([answers[2], answers[3]], axis=0)
    assert ((timeline.probabilities[3] >= low - 1e-6) & (timeline.probabilities[3] <= high + 1e-6)).all()


def test_real_clips_with_pauses(real_clips: list[Clip]) -> None:
    clips = [floats(read_audio(clip.path, RATE)) for clip in real_clips[:20]]
    pause = noise(4, 1e-3)
    sound = np.concatenate([part for clip in clips for part in (clip, pause)])
    _, timeline = told(sound, hop=0.5)
    silent = np.isnan(timeline.probabilities[:, 0])
    start = 0
    right = 0
    for clip in clips:
        middle = round((start + len(clip) / 2) / RATE / 0.5 - 0.5)
        rest = round((start + len(clip) + len(pause) / 2) / RATE / 0.5 - 0.5)
        right += int(not silent[middle]) + int(silent[rest])
        start += len(clip) + len(pause)
    assert right >= 38


def test_what_is_less_sure_than_asked_is_told_no_emotion() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [np.nan, np.nan], [0.2, 0.8]])
    timeline = Timeline(["low", "high"], 5, 1.0, probabilities, np.zeros((2, 1)))
    assert [segment.emotion for segment in timeline.segments()] == ["low", "high", SILENCE, "high"]
    found = timeline.segments(0.75)
    assert [segment.emotion for segment in found] == ["low", None, SILENCE, "high"]
    assert found[1].probabilities == pytest.approx({"low": 0.45, "high": 0.55})
    assert set(bands(found)) == {"low", SILENCE, "high"}


def test_the_latest_answer_is_silence_when_its_last_hop_is() -> None:
    listener = Listener(ByPitch(), "a.wav", batch_size=1)
    listener.push(tone(300, 2.9))
    assert listener.answered == 0
    listener.push(tone(300, 0.1))
    latest = listener.latest()
    assert (listener.answered, latest.start, latest.end, latest.emotion) == (1, 0, 3, "low")
    assert listener.latest(least=1.1).emotion is None
    listener.push(np.zeros(RATE, np.float32))
    latest = listener.latest()
    assert (latest.start, latest.end, latest.emotion, latest.probabilities) == (1, 4, SILENCE, {})


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"window": 4.1}, "window=4.1 must lie between 0.1 and 4.0: this network hears 4.00 s"),
        ({"window": 0.25}, "window=0.25 must be a multiple of 0.1 s"),
        ({"window": 0.0}, "window=0.0 must be a multiple of 0.1 s, and above 0"),
        ({"window": math.nan}, "must be a multiple"),
        ({"hop": -1.0}, "hop=-1.0 must be a multiple of 0.1 s, and above 0"),
        ({"hop": 3.5}, "hop=3.5 must be at most the window, 3.0 s"),
        ({"silence_db": 0.0}, "silence_db=0.0 must be above 0"),
    ],
)
def test_numbers_out_of_range(choices: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        Listener(ByPitch(), "a.wav", **choices)


def test_multiples_that_binary_numbers_only_come_near_to() -> None:
    assert [in_frames("hop", tenths / 10) for tenths in range(1, 100)] == list(range(1, 100))


def test_samples_far_beyond_full_scale_have_no_answer() -> None:
    class Overflows(ByPitch):
        def probabilities(self, recordings: Sequence[Recording], voices: None) -> torch.Tensor:
            return torch.full((len(recordings), 2), torch.nan)

    listener = Listener(Overflows(), "loud.wav", batch_size=1)
    with pytest.raises(AudioError, match=r"loud\.wav: gives no finite answer"):
        listener.push(tone(300, 3))


def test_the_default_is_what_the_page_says() -> None:
    listener = Listener(ByPitch(), "a.wav")
    assert (listener.window, listener.hop, listener.silence_db) == (30, 10, SILENCE_DB)


def test_the_picture_has_what_was_heard() -> None:
    outline = np.stack([-np.linspace(0, 0.5, 5000), np.linspace(0, 1, 5000)])
    probabilities = np.array([[0.9, 0.1], [np.nan, np.nan], [0.2, 0.8]])
    drawn = {"a$": [(0.0, 20.0)], SILENCE: [(20.0, 20.0)], "b": [(40.0, 10.0)]}
    figure = timeline_figure(outline, drawn, probabilities, ["a$", "b"], 50.0, 20.0)
    above, below = figure.axes
    boxes = {
        round(path.get_extents().x0): round(path.get_extents().x1)
        for collection in above.collections
        for path in collection.get_paths()
    }
    assert boxes == {0: 20, 20: 40, 40: 50}
    wave = above.patches[0].get_data()
    assert len(wave.values) == 1500
    assert (wave.edges[0], wave.edges[-1], wave.values.max(), wave.baseline.min()) == (0, 50, 1, -0.5)
    curves = [patch.get_data() for patch in below.patches]
    np.testing.assert_array_equal([curve.values for curve in curves], probabilities.T)
    np.testing.assert_array_equal(curves[0].edges, [0, 20, 40, 50])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [r"a\$", "b", SILENCE]
    assert below.xaxis.get_major_formatter()(3661.5, 0) == "61:01.5"
    figure.savefig(io.BytesIO())


def test_a_wav_whose_sound_was_cut_off_whole_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(2, 0.2, 16_000), 16_000, subtype="ULAW")
    path.write_bytes(path.read_bytes()[:58])  # the header, which tells of more, and no sample
    with pytest.raises(AudioError, match="has no samples"):
        list(SoundStream(path, 16_000))


@pytest.mark.parametrize("rate", [1, 999_983])
def test_a_rate_that_can_not_be_used_is_refused(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(2, 0.2, 16_000), 16_000)
    header = bytearray(path.read_bytes())
    header[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(header)
    with pytest.raises(AudioError, match="its rate is 1 Hz" if rate == 1 else "no common divisor but 1"):
        list(SoundStream(path, 16_000))
