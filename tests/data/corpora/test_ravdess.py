import os
from collections import Counter
from itertools import product
from pathlib import Path
from typing import ClassVar

import pytest

from ser.data.corpora.clip import Clip, CorpusError
from ser.data.corpora.ravdess import EMOTIONS, FACTS, read
from tests.data.corpora.tester import CorpusTester, touch

pytestmark = pytest.mark.usefixtures("strict")


def all_names() -> list[str]:
    """The stems of the release: 60 an actor."""
    actors = [f"{number:02}" for number in range(1, 25)]
    return [
        f"03-01-{emotion}-{intensity}-{statement}-{repetition}-{actor}"
        for emotion, intensity, statement, repetition, actor in product(
            EMOTIONS, ("01", "02"), ("01", "02"), ("01", "02"), actors
        )
        if (emotion, intensity) != ("01", "02")
    ]


class TestRavdess(CorpusTester):
    read = staticmethod(read)
    home = str(FACTS.home)
    examples = ("Actor_01/03-01-05-02-01-02-01.wav",)
    kept = "03-01-05-02-01-01-02"
    passed_over = ("03-01-05-02-01-01-02.mp4", "._03-01-05-02-01-01-04.wav")
    emotions: ClassVar = {
        "03-01-01-01-02-01-04.wav": "neutral",
        "03-01-02-01-02-01-04.wav": "calm",
        "03-01-03-01-02-01-04.wav": "happy",
        "03-01-04-01-02-01-04.wav": "sad",
        "03-01-05-01-02-01-04.wav": "anger",
        "03-01-06-01-02-01-04.wav": "fear",
        "03-01-07-01-02-01-04.wav": "disgust",
        "03-01-08-01-02-01-04.wav": "surprise",
    }
    strays: ClassVar = (
        "03-02-05-02-01-02-01.wav",
        "01-01-05-02-01-02-01.wav",
        "03-01-01-02-01-02-01.wav",
        "03-01-09-01-01-02-01.wav",
        "03-01-00-01-01-02-01.wav",
        "03-01-05-03-01-02-01.wav",
        "03-01-05-01-03-02-01.wav",
        "03-01-05-01-01-03-01.wav",
        "03-01-05-01-01-01-25.wav",
        "03-01-05-01-01-01-00.wav",
        "03-01-05-01-01-01.wav",
        "03-01-05-01-01-01-01 (1).wav",
        "03-01-05-01-01-01-01_noise.wav",
    )
    empty: ClassVar = ([], ["happy/1.wav"], ["Actor_01/03-02-05-02-01-02-01.wav"], ["03-01-05.wav"])


def test_a_name_says_all_that_is_known_of_a_clip(tmp_path: Path) -> None:
    touch(tmp_path, "Actor_01/03-01-05-02-01-02-01.wav")
    assert read(tmp_path) == [
        Clip(
            name="03-01-05-02-01-02-01",
            path=tmp_path / "Actor_01" / "03-01-05-02-01-02-01.wav",
            emotion="anger",
            speaker="01",
            sentence="01",
            intensity="strong",
            sex="male",
        )
    ]


def test_names_say_intensity_and_sex_whatever_the_emotion(tmp_path: Path) -> None:
    clips = read(touch(tmp_path, *TestRavdess.emotions))
    assert [(clip.intensity, clip.sex) for clip in clips] == [("normal", "female")] * 8


@pytest.mark.parametrize("flat", [True, False])
def test_the_whole_release(tmp_path: Path, flat: bool) -> None:
    names = all_names()
    touch(tmp_path, *(f"{name}.wav" if flat else f"Actor_{name[-2:]}/{name}.wav" for name in names))
    clips = read(tmp_path)
    assert [clip.name for clip in clips] == sorted(names)
    assert len(clips) == 1440
    assert set(Counter(clip.speaker for clip in clips).values()) == {60}
    others = dict.fromkeys(("calm", "happy", "sad", "anger", "fear", "disgust", "surprise"), 192)
    assert Counter(clip.emotion for clip in clips) == {"neutral": 96, **others}
    assert Counter(clip.sex for clip in clips) == {"female": 720, "male": 720}
    assert {clip.intensity for clip in clips if clip.emotion == "neutral"} == {"normal"}


def test_one_warning_tells_how_many_strays_there_are_and_whose(tmp_path: Path) -> None:
    touch(tmp_path, "03-01-05-02-01-01-02.wav", "b.wav", "a.wav", "c.flac")
    with pytest.warns(UserWarning, match="left out 3 sound files .*'a.wav'") as caught:
        read(tmp_path)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_an_archive_unpacked_twice_is_an_error_that_says_where_to_point(tmp_path: Path) -> None:
    tops = ("", "audio_speech_actors_01-24/")
    names = [f"Actor_{name[-2:]}/{name}.wav" for name in all_names() if name[-2:] in ("01", "02")]
    touch(tmp_path, *(top + name for top in tops for name in names))
    inner = tmp_path / "audio_speech_actors_01-24"
    with pytest.raises(CorpusError, match=r"remove one of them, or point dataset\.root= at ") as caught:
        read(tmp_path)
    first = "Actor_01/03-01-01-01-01-01-01.wav"
    assert str(tmp_path / first) in str(caught.value)
    assert str(inner / first) in str(caught.value)
    assert "119 more" in str(caught.value)
    assert f"dataset.root= at {inner}," in str(caught.value)
    assert len(read(inner)) == 120


@pytest.mark.parametrize("second", ["Actor_01/03-01-05-02-01-02-01.flac", "Actor_02/03-01-05-02-01-02-01.wav"])
def test_one_clip_twice_in_a_corpus_is_to_be_removed(tmp_path: Path, second: str) -> None:
    first = "Actor_01/03-01-05-02-01-02-01.wav"
    touch(tmp_path, first, second, "Actor_03/03-01-05-02-01-02-03.wav")
    with pytest.raises(CorpusError, match=r"remove one of them$") as caught:
        read(tmp_path)
    assert str(tmp_path / first) in str(caught.value)
    assert str(tmp_path / second) in str(caught.value)


@pytest.fixture
def real() -> Path:
    if "SER_TEST_DATA" not in os.environ:
        pytest.skip("no real names or clips: set SER_TEST_DATA to a folder that holds sha256/ravdess.txt and oddities")
    return Path(os.environ["SER_TEST_DATA"])


def test_the_names_of_the_real_release(real: Path, tmp_path: Path) -> None:
    listing = real / "sha256" / "ravdess.txt"
    if not listing.is_file():
        pytest.skip(f"no {listing}")
    touch(tmp_path, *(line.split()[1] for line in listing.read_text().splitlines()))
    clips = read(tmp_path)
    assert [clip.name for clip in clips] == sorted(all_names())
    assert all(clip.path.parent.name == f"Actor_{clip.speaker}" for clip in clips)


def test_real_clips(real: Path) -> None:
    if not (real / "oddities").is_dir():
        pytest.skip(f"no {real / 'oddities'}")
    with pytest.warns(UserWarning, match="left out"):
        clips = read(real / "oddities")
    assert [(clip.name, clip.emotion, clip.intensity) for clip in clips] == [
        ("03-01-02-01-01-02-01", "calm", "normal"),
        ("03-01-02-01-02-02-05", "calm", "normal"),
        ("03-01-03-01-02-01-07", "happy", "normal"),
        ("03-01-03-01-02-02-07", "happy", "normal"),
    ]
