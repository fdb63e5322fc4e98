import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ser.data.audio import AudioError, Recording, read_audio
from ser.data.bank import BankError, Packer, WaveformBank, decode, decode_clips, fingerprints
from ser.data.corpora import Clip

Write = Callable[..., Path]


def noise(length: int, dtype: type = np.int16, seed: int = 0) -> NDArray:
    rng = np.random.default_rng([seed, length])
    if dtype == np.int16:
        return rng.integers(-32768, 32768, length, dtype=np.int16)
    return rng.uniform(-1, 1, length).astype(np.float32)


def padded(waveform: NDArray, length: int) -> NDArray[np.float32]:
    """One row of a gather, the slow way."""
    row = np.zeros(length, np.float32)
    start = max(len(waveform) - length, 0) // 2
    for place, sample in enumerate(waveform[start : start + length]):
        row[place] = np.float32(sample) / np.float32(32768) if waveform.dtype == np.int16 else sample
    return row


def test_16_bit_clips_stay_16_bit() -> None:
    waveforms = [noise(5), noise(3), noise(9)]
    bank = WaveformBank.of(waveforms)
    assert bank.samples.dtype == torch.int16
    np.testing.assert_array_equal(bank.samples.numpy(), np.concatenate(waveforms))
    assert bank.starts.tolist() == [0, 5, 8]
    assert bank.lengths.tolist() == [5, 3, 9]
    assert len(bank) == 3


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_float_clip_makes_the_bank_float32_exactly(place: int) -> None:
    waveforms = [noise(50, np.float32 if i == place else np.int16, i) for i in range(3)]
    bank = WaveformBank.of(waveforms)
    assert bank.samples.dtype == torch.float32
    for i, waveform in enumerate(waveforms):
        kept = bank.samples[50 * i : 50 * i + 50].numpy()
        expected = waveform if i == place else waveform.astype(np.float64) / 32768
        np.testing.assert_array_equal(kept, expected)


def test_a_clip_sounds_the_same_in_a_mixed_bank() -> None:
    clip = np.array([-32768, -1, 0, 1, 32767], np.int16)
    alone, _ = WaveformBank.of([clip]).gather(torch.tensor([0]), 7)
    mixed, _ = WaveformBank.of([noise(4, np.float32), clip]).gather(torch.tensor([1]), 7)
    assert torch.equal(alone, mixed)
    assert alone[0].tolist() == [-1, -1 / 32768, 0, 1 / 32768, 32767 / 32768, 0, 0]


def test_short_clips_are_padded_with_zeros_at_their_end() -> None:
    waveforms, lengths = WaveformBank.of([noise(3), noise(5), noise(4)]).gather(torch.tensor([2, 0, 1, 0]), 6)
    assert lengths.tolist() == [4, 3, 5, 3]
    assert waveforms.dtype == torch.float32
    for row, real in zip(waveforms, lengths.tolist(), strict=True):
        assert torch.count_nonzero(row[real:]) == 0
    assert torch.equal(waveforms[1], waveforms[3])


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_the_padding_of_the_last_clip_reads_nothing_beyond_the_end(dtype: type) -> None:
    last = noise(2, dtype, 1)
    last[:] = 1
    waveforms, lengths = WaveformBank.of([noise(3, dtype), last]).gather(torch.tensor([1]), 1000)
    assert lengths.tolist() == [2]
    assert waveforms.shape == (1, 1000)
    np.testing.assert_array_equal(waveforms[0].numpy(), padded(last, 1000))


@pytest.mark.parametrize(("samples", "length", "first"), [(10, 4, 3), (11, 4, 3), (9, 8, 0), (8, 8, 0), (100, 1, 49)])
def test_a_longer_clip_is_cropped_about_its_middle(samples: int, length: int, first: int) -> None:
    ramp = np.arange(samples, dtype=np.float32) / 128
    waveforms, lengths = WaveformBank.of([noise(6, np.float32), ramp]).gather(torch.tensor([1]), length)
    assert lengths.tolist() == [length]
    assert (waveforms[0] * 128).tolist() == list(range(first, first + length))


def test_a_random_crop_starts_everywhere_and_never_leaves_the_clip() -> None:
    ramp = np.arange(10, dtype=np.float32) / 16
    bank = WaveformBank.of([-np.ones(20, np.float32), ramp, -np.ones(20, np.float32)])
    torch.manual_seed(0)
    waveforms, lengths = bank.gather(torch.ones(500, dtype=torch.int64), 7, random_crop=True)
    starts = (waveforms[:, 0] * 16).long()
    assert set(starts.tolist()) == {0, 1, 2, 3}
    assert torch.bincount(starts).min() > 80
    assert torch.equal(waveforms * 16, (starts[:, None] + torch.arange(7)).float())
    assert set(lengths.tolist()) == {7}


def test_a_random_crop_follows_torchs_seed() -> None:
    bank = WaveformBank.of([noise(1000)])
    clips = torch.zeros(8, dtype=torch.int64)
    torch.manual_seed(3)
    first, _ = bank.gather(clips, 10, random_crop=True)
    torch.manual_seed(3)
    again, _ = bank.gather(clips, 10, random_crop=True)
    other, _ = bank.gather(clips, 10, random_crop=True)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_random_crop_leaves_clips_that_fit_alone() -> None:
    bank = WaveformBank.of([noise(3), noise(10), noise(7)])
    clips = torch.tensor([0, 1, 2])
    cropped, lengths = bank.gather(clips, 10, random_crop=True)
    still, same = bank.gather(clips, 10)
    assert torch.equal(cropped, still)
    assert torch.equal(lengths, same)


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    floats=st.lists(st.booleans(), min_size=8, max_size=8),
    length=st.integers(1, 80),
    picks=st.lists(st.integers(0, 7), min_size=1, max_size=12),
)
def test_gather_equals_a_plain_loop(lengths: list[int], floats: list[bool], length: int, picks: list[int]) -> None:
    kinds = [np.float32 if one else np.int16 for one in floats]
    originals = [noise(n, kinds[i], i) for i, n in enumerate(lengths)]
    clips = [pick % len(lengths) for pick in picks]
    waveforms, real = WaveformBank.of(originals).gather(torch.tensor(clips), length)
    np.testing.assert_array_equal(waveforms.numpy(), np.stack([padded(originals[i], length) for i in clips]))
    assert real.tolist() == [min(lengths[i], length) for i in clips]


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=8), length=st.integers(1, 80), seed=st.integers(0, 99))
def test_every_random_crop_is_a_piece_of_its_clip(lengths: list[int], length: int, seed: int) -> None:
    originals = [noise(n, np.float32, i) for i, n in enumerate(lengths)]
    torch.manual_seed(seed)
    waveforms, _ = WaveformBank.of(originals).gather(torch.arange(len(lengths)), length, random_crop=True)
    for row, original in zip(waveforms.numpy(), originals, strict=True):
        spare = max(len(original) - length, 0)
        pieces = [padded(original[start : start + length], length) for start in range(spare + 1)]
        assert any(np.array_equal(row, piece) for piece in pieces)


def test_to_moves_in_place_and_says_where_it_is() -> None:
    bank = WaveformBank.of([noise(3)])
    assert bank.to(torch.device("cpu")) is bank
    assert bank.device == torch.device("cpu")
    assert bank.to(torch.device("meta")).device.type == "meta"
    assert bank.starts.device.type == bank.lengths.device.type == "meta"


def test_decode_keeps_order_and_puts_errors_in_their_place(write_wav: Write, tmp_path: Path) -> None:
    seconds = [0.5, 0.2, 2.0, 0.3, 1.0, 0.15, 0.7, 0.4]
    paths = [write_wav(f"{i}.wav", seconds[i], seed=i) for i in range(len(seconds))]
    paths[3].write_bytes(b"no sound")
    paths.insert(5, tmp_path / "missing.wav")
    outcomes = decode(paths, 16_000)
    assert [isinstance(outcome, AudioError) for outcome in outcomes] == [i in (3, 5) for i in range(9)]
    for path, outcome in zip(paths, outcomes, strict=True):
        if isinstance(outcome, AudioError):
            assert str(path) in str(outcome)
    kept = [outcome for outcome in outcomes if isinstance(outcome, Recording)]
    assert [len(recording.samples) for recording in kept] == [8000, 3200, 32000, 16000, 2400, 11200, 6400]


def test_decode_reads_another_rate_alike_on_every_thread(write_wav: Write) -> None:
    paths = [write_wav(f"{i}.wav", 0.4, rate=22_050, seed=7) for i in range(12)]
    outcomes = decode(paths, 16_000)
    assert all(isinstance(outcome, Recording) for outcome in outcomes)
    samples = [outcome.samples for outcome in outcomes if isinstance(outcome, Recording)]
    assert all(np.array_equal(one, samples[0]) for one in samples)


def test_decode_of_nothing_is_nothing_and_leaves_no_thread() -> None:
    before = threading.active_count()
    assert decode([], 16_000) == []
    assert threading.active_count() == before


def test_clips_that_memory_does_not_hold_are_refused_with_what_to_do(
    write_wav: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(packer: Packer, waveform: NDArray) -> int:
        raise MemoryError

    monkeypatch.setattr(Packer, "add", full)
    with pytest.raises(BankError, match=r"^1 clips at 16,000 Hz take more memory .*bank=mmap datamodule\.cache=FOLDER"):
        decode_clips([Clip("a", write_wav("a.wav", 0.3), "sad")], 16_000)


def test_fingerprints_tell_twins_and_are_none_for_silence_and_errors(write_wav: Write, tmp_path: Path) -> None:
    first = write_wav("first.wav", seed=1)
    samples, _ = soundfile.read(first, dtype="int16")
    soundfile.write(tmp_path / "twin.flac", samples, 16_000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    write_wav("other.wav", seed=2)
    names = ["twin.flac", "broken.wav", "first.wav", "missing.wav", "silent.wav", "other.wav"]
    outcomes = decode([tmp_path / name for name in names], 8_000)
    found = fingerprints(dict(zip(names, outcomes, strict=True)))
    assert list(found) == names
    assert found["broken.wav"] is found["missing.wav"] is found["silent.wav"] is None
    assert found["first.wav"] == found["twin.flac"] == read_audio(first, 16_000).fingerprint
    assert found["other.wav"] not in (None, found["first.wav"])
    assert fingerprints({}) == {}


def test_real_clips_have_fingerprints_of_their_own(real_clips: list[Clip]) -> None:
    some = real_clips[::20]
    outcomes = decode([clip.path for clip in some], 16_000)
    found = fingerprints({clip.name: outcome for clip, outcome in zip(some, outcomes, strict=True)})
    assert None not in found.values()
    assert len(set(found.values())) == len(some) > 50


def test_real_clips_gather_to_what_their_files_hold(real_clips: list[Clip]) -> None:
    outcomes = decode([clip.path for clip in real_clips[::40]], 16_000)
    originals = [outcome.samples for outcome in outcomes if isinstance(outcome, Recording)]
    assert len(originals) == len(outcomes)
    bank = WaveformBank.of(originals)
    assert bank.samples.dtype == torch.int16
    waveforms, lengths = bank.gather(torch.arange(len(bank)), 80_080)
    for row, real, original in zip(waveforms.numpy(), lengths.tolist(), originals, strict=True):
        assert real == len(original)
        np.testing.assert_array_equal(row[:real], original.astype(np.float32) / 32768)
        assert not row[real:].any()
