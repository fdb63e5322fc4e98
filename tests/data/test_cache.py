import errno
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from filelock import FileLock

import ser.data.bank
import ser.data.cache
from ser.data.audio import AudioError, Recording
from ser.data.bank import WaveformBank, decode_clips
from ser.data.cache import ABOUT, LOCKS, CacheError, cached, clear, code, contents, digest_of, entries, read_array
from ser.data.corpora import Clip
from ser.data.splits import Split
from ser.datamodule import DataError, EmotionDataModule
from ser.features import FeatureConfig

Write = Callable[..., Path]

RATE = 16_000


def put(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "what").write_text(text) and None


def never(folder: Path) -> None:
    raise AssertionError(f"{folder} was made again")


def test_an_entry_is_made_once_and_found_by_what_it_depends_on(tmp_path: Path) -> None:
    folder = tmp_path / "a/cache"
    first = cached(folder, "features", {"rate": 1, "names": ["a"]}, put("one"))
    assert cached(folder, "features", {"names": ["a"], "rate": 1}, never) == first
    other = cached(folder, "features", {"rate": 2, "names": ["a"]}, put("two"))
    assert (first / "what").read_text() == "one"
    assert (other / "what").read_text() == "two"
    assert {entry.about["rate"] for entry in entries(folder)} == {1, 2}


def test_a_job_that_fails_or_was_killed_leaves_no_entry(tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        (folder / "what").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, "features", {}, broken)
    assert entries(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == [LOCKS]
    entry = cached(tmp_path, "features", {}, put("whole"))
    killed = entry.with_name(f".making-{entry.name}")
    shutil.move(entry, killed)
    (killed / "stray").touch()
    assert sorted(path.name for path in cached(tmp_path, "features", {}, put("anew")).iterdir()) == [ABOUT, "what"]
    assert not killed.exists()


def make_slowly(folder: Path, log: Path, start: Any) -> None:
    def make(entry: Path) -> None:
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.3)
        (entry / "what").write_text("whole")

    start.wait(30)
    assert (cached(folder, "waveforms", {"clips": 3}, make) / "what").read_text() == "whole"


def test_eight_jobs_at_once_make_an_entry_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(8)
    jobs = [context.Process(target=make_slowly, args=(tmp_path / "cache", tmp_path / "log", start)) for _ in range(8)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert [job.exitcode for job in jobs] == [0] * 8
    assert len((tmp_path / "log").read_text().split()) == 1


def test_clearing_leaves_what_a_job_is_making_to_it(tmp_path: Path) -> None:
    cached(tmp_path, "features", {"clips": 1}, put("x" * 1000))
    abandoned, busy = tmp_path / ".making-features-0", tmp_path / ".making-features-1"
    abandoned.mkdir()
    busy.mkdir()
    with FileLock(tmp_path / LOCKS / "features-1.lock"):
        (gone,) = clear(tmp_path)
    assert gone.kind == "features"
    assert gone.size > 1000
    assert busy.is_dir()
    assert not abandoned.exists()
    assert entries(tmp_path) == []
    with pytest.raises(CacheError, match="is no folder"):
        entries(tmp_path / "elsewhere")


def test_a_folder_that_can_not_be_written_to_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match=r"datamodule\.cache=.*file can't be written: .*datamodule\.cache=null"):
        cached(tmp_path / "file", "features", {}, put("x"))

    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(CacheError, match=r"No space left on device: make room"):
        cached(tmp_path, "features", {}, full)


def test_an_array_of_another_size_than_it_should_have_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cache/features-1/features"
    file.parent.mkdir(parents=True)
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    file.write_bytes(array.tobytes())
    for mapped in (False, True):
        np.testing.assert_array_equal(read_array(file, (2, 3), "float32", mapped), array)
    file.write_bytes(array.tobytes()[:-1])
    with pytest.raises(CacheError, match=r"damaged: it has 23 bytes, and should have 24; .*cache\.py .*cache --clear"):
        read_array(file, (2, 3), "float32", mapped=True)


def test_contents_tell_files_apart_by_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"1")
    (tmp_path / "c").write_bytes(b"2")
    a, b, c, gone = contents([tmp_path / name for name in "abcd"])
    assert a == b != c
    assert gone is None
    assert digest_of([a, c]) != digest_of([c, a])
    assert digest_of([a]) != digest_of([None])


def test_a_changed_line_of_code_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part/a.py").write_text("1")
    (tmp_path / "b.py").write_text("1")
    monkeypatch.setattr("ser.data.cache.HERE", tmp_path)
    before = code("part", "b.py")
    assert code("part", "b.py") == before
    (tmp_path / "part/a.py").write_text("2")
    assert code("part", "b.py") != before


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def become_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize("harm", [flip, zero, cut, Path.unlink, become_a_pipe])
@pytest.mark.parametrize("name", ["what", ABOUT])
@pytest.mark.parametrize("mapped", [False, True])
def test_a_broken_entry_is_made_again_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], harm: Callable[[Path], None], name: str, mapped: bool
) -> None:
    for _ in range(2):  # the second one has been checked
        entry = cached(tmp_path, "features", {"rate": 1}, put("one"), mapped)
    assert capsys.readouterr().err == ""
    harm(entry / name)
    assert cached(tmp_path, "features", {"rate": 1}, put("anew"), mapped) == entry
    told = capsys.readouterr().err
    assert f"{str(entry)!a} is made again: " in told
    assert name in told or harm is flip, "another name in about.json is another fault"
    assert (entry / "what").read_text() == "anew"
    assert cached(tmp_path, "features", {"rate": 1}, never, mapped) == entry


def test_an_entry_of_something_else_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = (cached(tmp_path, "features", {"rate": rate}, put(str(rate))) for rate in (1, 2))
    one.rename(tmp_path / "aside")
    other.rename(one)
    assert (cached(tmp_path, "features", {"rate": 1}, put("anew")) / "what").read_text() == "anew"
    (one / "stray").touch()
    cached(tmp_path, "features", {"rate": 1}, put("anew"))
    shutil.rmtree(one)
    one.symlink_to(tmp_path / "nowhere")
    cached(tmp_path, "features", {"rate": 1}, put("anew"))
    shutil.rmtree(one)
    one.write_text("no folder")
    cached(tmp_path, "features", {"rate": 1}, put("anew"))
    told = capsys.readouterr().err.splitlines()
    reasons = ["about.json tells of another entry", "'stray' was not written", "is missing", "it is no folder"]
    assert len(told) == 4
    assert all(reason in line for reason, line in zip(reasons, told, strict=True)), told


def test_a_mapped_file_is_read_for_its_digest_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    digest = ser.data.cache._digest
    monkeypatch.setattr("ser.data.cache._digest", lambda path: read.append(path.name) or digest(path))
    cached(tmp_path, "features", {}, put("x"))
    for mapped, times in ((True, 1), (True, 0), (False, 1), (False, 1)):
        read.clear()
        cached(tmp_path, "features", {}, never, mapped)
        assert read.count("what") == times


def test_only_regular_files_have_contents(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    found = contents([Path("/dev/zero"), tmp_path / "pipe", tmp_path, tmp_path / "a\0", tmp_path / "link"])
    assert found[:4] == [None] * 4
    assert found[4] == contents([tmp_path / "a"])[0]


@pytest.fixture
def clips(write_wav: Write, tmp_path: Path) -> list[Clip]:
    """Ten clips of 0.2 to 0.65 s, one of them at another rate and one that is no sound."""
    paths = [write_wav(f"{i}.wav", 0.2 + 0.05 * i, seed=i) for i in range(8)]
    paths.append(write_wav("8.wav", 0.6, rate=22_050, seed=8))
    (tmp_path / "9.wav").write_text("no sound")
    paths.append(tmp_path / "9.wav")
    emotions = ("happy", "sad")
    return [Clip(str(i), path, emotions[i % 2]) for i, path in enumerate(paths)]


def alike(one: WaveformBank, other: WaveformBank) -> None:
    assert list(one.found) == list(other.found)
    for found, expected in zip(one.found.values(), other.found.values(), strict=True):
        assert type(found) is type(expected)
        if isinstance(found, Recording) and isinstance(expected, Recording):
            np.testing.assert_array_equal(found.samples, expected.samples)
            without = [{k: v for k, v in vars(r).items() if k not in ("samples", "content")} for r in (found, expected)]
            assert without[0] == without[1]
        else:
            assert str(found) == str(expected)
    for found in (one, other):
        recordings = [recording.samples for recording in found.found.values() if isinstance(recording, Recording)]
        assert found.lengths.tolist() == [len(samples) for samples in recordings]
        for samples, start in zip(recordings, found.starts.tolist(), strict=True):
            np.testing.assert_array_equal(found.samples[start : start + len(samples)].numpy(), samples)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("floats", [False, True], ids=["16 bits", "mixed"])
def test_clips_from_a_cache_are_those_that_are_decoded(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mapped: bool, floats: bool
) -> None:
    some = clips if floats else [*clips[:8], clips[9]]
    expected = decode_clips(some, RATE)
    first = decode_clips(some, RATE, tmp_path / "cache", mapped)
    kept = [clip.path for clip in some if clip.name != "9"]
    original = ser.data.bank.read_audio

    def read_audio(path: Path, sample_rate: int) -> Recording:
        assert path not in kept, "decoded again"
        return original(path, sample_rate)

    monkeypatch.setattr(ser.data.bank, "read_audio", read_audio)
    again = decode_clips(some, RATE, tmp_path / "cache", mapped)
    for found in (first, again):
        alike(found, expected)
        recordings = [recording for recording in found.found.values() if isinstance(recording, Recording)]
        assert found.samples.dtype == (torch.float32 if floats else torch.int16)
        assert found.samples.data_ptr() == recordings[0].samples.__array_interface__["data"][0], "not copied"
        assert found.take(["3", "0"]).samples is found.samples
    assert isinstance(again.found["9"], AudioError)


def test_a_clip_that_changes_is_decoded_anew(clips: list[Clip], tmp_path: Path, write_wav: Write) -> None:
    decode_clips(clips, RATE, tmp_path / "cache")
    stat = clips[3].path.stat()
    write_wav("3.wav", 0.2 + 0.05 * 3, seed=77)
    os.utime(clips[3].path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    alike(decode_clips(clips, RATE, tmp_path / "cache"), decode_clips(clips, RATE))
    alike(decode_clips(clips[::-1], RATE, tmp_path / "cache"), decode_clips(clips[::-1], RATE))
    alike(decode_clips(clips, 8_000, tmp_path / "cache"), decode_clips(clips, 8_000))


def test_a_clip_that_could_not_be_read_is_tried_again(clips: list[Clip], tmp_path: Path, write_wav: Write) -> None:
    broken = decode_clips(clips, RATE, tmp_path / "cache")
    assert "9.wav: can't be read" in str(broken.found["9"])
    write_wav("9.wav", 0.4, seed=9)
    alike(decode_clips(clips, RATE, tmp_path / "cache"), decode_clips(clips, RATE))


@pytest.mark.parametrize("cache", [None, "cache"])
def test_pipes_and_devices_are_left_out_with_the_reason(
    clips: list[Clip], tmp_path: Path, write_wav: Write, cache: str | None
) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    odd = [Clip("pipe", tmp_path / "pipe.wav", "sad"), Clip("zero", Path("/dev/zero"), "sad")]
    for _ in range(2):
        found = decode_clips([*clips[:2], *odd], RATE, cache and tmp_path / cache).found
        assert isinstance(found["0"], Recording)
        assert "pipe.wav: can't be read: is a pipe or a device" in str(found["pipe"])
        assert "/dev/zero: can't be read: is a pipe or a device" in str(found["zero"])


@pytest.mark.parametrize("mapped", [False, True])
def test_changed_samples_are_never_used(
    clips: list[Clip], tmp_path: Path, mapped: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = decode_clips(clips, RATE)
    for harm in (flip, zero, cut, Path.unlink):
        for name in ("samples.float32", "recordings.json"):
            decode_clips(clips, RATE, tmp_path / "cache", mapped)
            assert capsys.readouterr().err == ""
            (entry,) = entries(tmp_path / "cache")
            harm(entry.path / name)
            alike(decode_clips(clips, RATE, tmp_path / "cache", mapped), expected)
            assert "is made again" in capsys.readouterr().err


def prepared(clips: list[Clip], **options: Any) -> EmotionDataModule:
    split = Split(clips[:4], clips[4:6], clips[6:])
    features = FeatureConfig(names=["mel"], n_fft=512, hop_length=160, n_mels=20)
    data = EmotionDataModule(split, features, **options)
    data.setup()
    return data


def test_a_run_from_a_cache_has_the_same_batches_and_computes_no_features(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = clips[:9]
    cache = str(tmp_path / "cache")
    order = torch.tensor([8, 0, 3, 5])
    expected = prepared(clips).make_batch(order).inputs
    for bank in ("memory", "mmap"):
        assert torch.equal(prepared(clips, bank=bank, cache=cache).make_batch(order).inputs, expected)
    monkeypatch.setattr("ser.features.frontend.Frontend.extract", never)
    for bank in ("device", "mmap"):
        assert torch.equal(prepared(clips, bank=bank, cache=cache).make_batch(order).inputs, expected)
    assert sorted(entry.kind for entry in entries(tmp_path / "cache")) == ["features", "waveforms"]


def test_a_cache_in_the_home_folder_is_found(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    prepared(clips[:9], cache="~/cache")
    assert len(entries(tmp_path / "home/cache")) == 2


def test_recordings_that_no_cache_knows_are_refused(clips: list[Clip], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="decoded without the cache"):
        prepared(clips[:9], cache=str(tmp_path / "cache"), recordings=decode_clips(clips[:9], RATE))
    assert not (tmp_path / "cache").exists()


def test_folds_share_the_entries_of_their_corpus(clips: list[Clip], tmp_path: Path) -> None:
    clips = clips[:9]
    prepared(clips, cache=str(tmp_path / "cache"))
    split = Split(clips[4:8], clips[:3], [clips[3], clips[8]])
    decoded = decode_clips(clips, RATE, tmp_path / "cache")
    fold = EmotionDataModule(
        split,
        FeatureConfig(names=["mel"], n_fft=512, hop_length=160, n_mels=20, normalize="clip"),
        cache=str(tmp_path / "cache"),
        recordings=decoded,
    )
    fold.setup()
    assert len(entries(tmp_path / "cache")) == 2
    alone = EmotionDataModule(split, fold.config)
    alone.setup()
    everything = torch.arange(9)
    assert torch.equal(fold.make_batch(everything).inputs, alone.make_batch(everything).inputs)


def test_a_mapped_bank_and_its_features_stay_in_their_files(clips: list[Clip], tmp_path: Path) -> None:
    data = prepared(clips[:9], bank="mmap", cache=str(tmp_path / "cache"))
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    files = {Path(line[5]).name: (line[0], line[1]) for line in maps if len(line) > 5 and str(tmp_path) in line[5]}
    assert data._features is not None
    for name, tensor in (("samples.float32", data.bank.samples), ("features", data._features)):
        span, rights = files[name]
        low, high = (int(end, 16) for end in span.split("-"))
        assert low <= tensor.data_ptr() < high
        assert rights.startswith("r-"), "only to be read"


def test_real_clips_from_a_cache_are_those_that_are_decoded(real_clips: list[Clip], tmp_path: Path) -> None:
    some = real_clips[::25]
    decode_clips(some, RATE, tmp_path)
    alike(decode_clips(some, RATE, tmp_path, mapped=True), decode_clips(some, RATE))


def test_silence_and_remarks_come_back_from_a_cache(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((8000, 2)), 16_000)
    clip = Clip("a", tmp_path / "a.wav", "sad")
    decode_clips([clip], RATE, tmp_path / "cache")
    found = decode_clips([clip], RATE, tmp_path / "cache").found["a"]
    assert isinstance(found, Recording)
    assert found.silent
    assert found.remarks == ("2 channels averaged", "silent")
    assert found.content == contents([clip.path])[0]
