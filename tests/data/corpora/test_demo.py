import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ser.data.corpora import crema_d, demo
from ser.data.corpora.clip import Clip, CorpusError

Array = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    return demo.read(tmp_path_factory.mktemp("corpora") / "below" / "demo")


@pytest.fixture(scope="module")
def sounds(clips: list[Clip]) -> list[Array]:
    return [soundfile.read(clip.path)[0] for clip in clips]


@pytest.fixture
def three_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "NAMES", demo.NAMES[:3])


def test_every_speaker_says_every_sentence_in_every_emotion_once(clips: list[Clip]) -> None:
    said = Counter((clip.speaker, clip.sentence, clip.emotion) for clip in clips)
    assert len(said) == len(clips) == 360
    assert set(Counter(clip.emotion for clip in clips).values()) == {60}
    assert set(Counter(clip.speaker for clip in clips).values()) == {30}
    assert set(Counter(clip.sentence for clip in clips).values()) == {72}
    assert {clip.emotion for clip in clips} == set(crema_d.EMOTIONS.values()) == set(demo.TRAITS)
    assert {clip.speaker for clip in clips} == {str(number) for number in range(9001, 9013)}


def test_clips_say_what_their_names_say_and_are_sorted(clips: list[Clip]) -> None:
    for clip in clips:
        match = re.fullmatch(crema_d.NAMES.expression, clip.name)
        assert match is not None
        assert clip.path.name == f"{clip.name}.wav"
        assert (clip.speaker, clip.sentence, clip.intensity) == (match["speaker"], match["sentence"], "XX")
        assert clip.emotion == crema_d.EMOTIONS[match["emotion"]]
    names = [clip.name for clip in clips]
    assert names == sorted(names)


def test_format_and_length(clips: list[Clip]) -> None:
    for clip in clips:
        info = soundfile.info(clip.path)
        assert (info.format, info.subtype, info.channels, info.samplerate) == ("WAV", "PCM_16", 1, 16_000)
        assert 1.2 <= info.duration <= 2.6


def test_sound_is_loud_enough_not_clipped_and_without_dc(sounds: list[Array]) -> None:
    for sound in sounds:
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() < 0.96
        assert np.sqrt(np.mean(sound**2)) > 0.005
        assert abs(sound.mean()) < 1e-4


def test_there_is_silence_before_and_after(sounds: list[Array]) -> None:
    edge = round(0.02 * 16_000)
    for sound in sounds:
        loudest = np.abs(sound).max()
        assert np.abs(sound[:edge]).max() < 0.1 * loudest
        assert np.abs(sound[-edge:]).max() < 0.1 * loudest


def test_formants_are_where_the_table_has_them() -> None:
    noise = np.random.default_rng(0).standard_normal(200_000)
    for vowel in ("IY", "AA", "EH"):
        wanted = demo.FORMANTS[vowel][0]
        tracks = np.tile([*wanted, *demo.UPPER_FORMANTS[0]], (len(noise) // demo.HOP + 2, 1)).astype(float)
        sound = demo._filter(noise, tracks, 0.0)
        power = np.mean(np.abs(np.fft.rfft(sound[:199_680].reshape(-1, 1024) * np.hanning(1024))) ** 2, axis=0)
        peaks = 1 + np.flatnonzero((power[1:-1] > power[:-2]) & (power[1:-1] > power[2:]))
        for formant in wanted:
            assert np.abs(peaks * 16_000 / 1024 - formant).min() < 50


@pytest.mark.usefixtures("three_clips")
def test_the_same_seed_gives_the_same_bytes_and_clips_do_not_depend_on_each_other(
    clips: list[Clip], tmp_path: Path
) -> None:
    demo.write(tmp_path / "again", seed=0)
    demo.write(tmp_path / "other", seed=1)
    for clip in clips[: len(demo.NAMES)]:
        assert (tmp_path / "again" / clip.path.name).read_bytes() == clip.path.read_bytes()
        assert (tmp_path / "other" / clip.path.name).read_bytes() != clip.path.read_bytes()


def test_no_two_clips_are_the_same(clips: list[Clip]) -> None:
    assert len({clip.path.read_bytes() for clip in clips}) == len(clips)


def test_reading_again_writes_nothing(clips: list[Clip]) -> None:
    root = clips[0].path.parent
    before = {path: path.stat().st_mtime_ns for path in [root, *root.iterdir()]}
    assert demo.read(root) == clips
    assert {path: path.stat().st_mtime_ns for path in [root, *root.iterdir()]} == before


@pytest.mark.usefixtures("three_clips")
def test_an_empty_folder_is_filled_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    root.mkdir()
    assert len(demo.read(root)) == 3
    assert list(tmp_path.iterdir()) == [root]


@pytest.mark.usefixtures("three_clips")
def test_a_link_to_an_empty_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    root = tmp_path / "demo"
    root.symlink_to(tmp_path / "large disk")
    assert [clip.path.parent for clip in demo.read(root)] == [root] * 3
    assert root.is_symlink()


@pytest.mark.usefixtures("three_clips")
def test_a_folder_with_a_part_of_the_corpus_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    demo.write(root)
    (root / demo.NAMES[0]).unlink()
    with pytest.raises(CorpusError, match="remove it"):
        demo.read(root)
    assert sorted(path.name for path in root.iterdir()) == list(demo.NAMES[1:])


@pytest.mark.usefixtures("three_clips")
def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    demo.write(root)
    (root / "mine.wav").write_bytes(b"mine")
    for act in (demo.read, demo.write):
        with pytest.raises(CorpusError, match="remove it"):
            act(root)
    assert (root / "mine.wav").read_bytes() == b"mine"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    root.write_text("not a folder")
    with pytest.raises(CorpusError, match="remove it"):
        demo.read(root)


@pytest.mark.usefixtures("three_clips")
def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    demo.write(tmp_path / "demo")
    (tmp_path / "demo" / ".DS_Store").touch()
    assert len(demo.read(tmp_path / "demo")) == 3


@pytest.mark.usefixtures("three_clips")
def test_an_interrupted_run_leaves_no_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = demo._sound

    def stop_at_the_last(name: str, seed: int) -> Array:
        if name == demo.NAMES[-1]:
            raise KeyboardInterrupt
        return sound(name, seed)

    monkeypatch.setattr(demo, "_sound", stop_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        demo.write(tmp_path / "demo")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("three_clips")
def test_a_corpus_that_appears_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "demo"
    sound = demo._sound
    demo.write(tmp_path / "first", seed=1)

    def be_overtaken(name: str, seed: int) -> Array:
        if not root.exists():
            (tmp_path / "first").rename(root)
        return sound(name, seed)

    monkeypatch.setattr(demo, "_sound", be_overtaken)
    samples, _ = soundfile.read(tmp_path / "first" / demo.NAMES[0])
    demo.write(root, seed=0)
    np.testing.assert_array_equal(soundfile.read(root / demo.NAMES[0])[0], samples)
    assert list(tmp_path.iterdir()) == [root]


@pytest.mark.usefixtures("three_clips")
def test_other_files_that_appear_meanwhile_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "demo"
    sound = demo._sound

    def be_disturbed(name: str, seed: int) -> Array:
        root.mkdir(exist_ok=True)
        (root / "mine.wav").write_bytes(b"mine")
        return sound(name, seed)

    monkeypatch.setattr(demo, "_sound", be_disturbed)
    with pytest.raises(CorpusError, match="remove it"):
        demo.write(root)
    assert [path.name for path in root.iterdir()] == ["mine.wav"]


@pytest.mark.usefixtures("three_clips")
def test_several_may_start_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(demo.read, [tmp_path / "demo"] * 8))
    assert all(found == read[0] for found in read)
    assert list(tmp_path.iterdir()) == [tmp_path / "demo"]


def test_emotions_can_be_told_apart_across_speakers_but_not_fully(clips: list[Clip], sounds: list[Array]) -> None:
    features = np.array([_features(sound) for sound in sounds])
    scores = cross_val_score(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        features,
        [clip.emotion for clip in clips],
        groups=[clip.speaker for clip in clips],
        cv=GroupKFold(6),
    )
    assert 0.35 < scores.mean() < 0.9


def _features(sound: Array) -> list[float]:
    """Level, zero-crossing rate, spectral centroid and pitch: means over the frames that are not silent."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, 1024)[::512]
    frames = frames[np.mean(frames**2, axis=1) > 0.1 * np.mean(sound**2)]
    magnitude = np.abs(np.fft.rfft(frames * np.hanning(1024), 2048))
    frequency = np.fft.rfftfreq(2048, 1 / 16_000)
    lag = 30 + np.fft.irfft(magnitude**2)[:, 30:250].argmax(axis=1)
    return [
        float(np.log(np.sqrt(np.mean(sound**2)))),
        float(np.mean(np.diff(np.signbit(frames), axis=1))),
        float(np.mean(magnitude @ frequency / magnitude.sum(axis=1))),
        float(np.mean(np.log2(16_000 / lag))),
    ]
