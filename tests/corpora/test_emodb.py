import os
import warnings
from collections import Counter
from pathlib import Path

import pytest

from ser.audio import read_audio
from ser.corpora.clip import EMOTIONS as VOCABULARY
from ser.corpora.clip import SUFFIXES, Clip, CorpusError
from ser.corpora.emodb import HOME, read


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture(autouse=True)
def warnings_are_errors() -> None:
    """A warning that no test expects fails it."""
    warnings.simplefilter("error")


def test_a_name_says_all_that_is_known_of_a_clip(tmp_path: Path) -> None:
    touch(tmp_path, "wav/14b02Wc.wav")
    assert read(tmp_path) == [
        Clip(
            name="14b02Wc",
            path=tmp_path / "wav" / "14b02Wc.wav",
            emotion="anger",
            speaker="14",
            sentence="b02",
            sex="female",
            age=35,
        )
    ]


@pytest.mark.parametrize(
    ("letter", "emotion"),
    [
        ("W", "anger"),
        ("L", "boredom"),
        ("E", "disgust"),
        ("A", "fear"),
        ("F", "happy"),
        ("T", "sad"),
        ("N", "neutral"),
    ],
)
def test_every_emotion(tmp_path: Path, letter: str, emotion: str) -> None:
    touch(tmp_path, f"03a01{letter}a.wav")
    assert [clip.emotion for clip in read(tmp_path)] == [emotion]
    assert emotion in VOCABULARY


@pytest.mark.parametrize(
    ("speaker", "sex", "age"),
    [
        ("03", "male", 31),
        ("08", "female", 34),
        ("09", "female", 21),
        ("10", "male", 32),
        ("11", "male", 26),
        ("12", "male", 30),
        ("13", "female", 32),
        ("14", "female", 35),
        ("15", "male", 25),
        ("16", "female", 31),
    ],
)
def test_every_speaker(tmp_path: Path, speaker: str, sex: str, age: int) -> None:
    touch(tmp_path, f"{speaker}a01Na.wav")
    assert [(clip.speaker, clip.sex, clip.age) for clip in read(tmp_path)] == [(speaker, sex, age)]


def test_the_release_has_other_folders(tmp_path: Path) -> None:
    touch(tmp_path, "wav/16b10Wb.wav", "wav/03a01Fa.wav", "lablaut/03a01Fa.lablaut", "silb/03a01Fa.silb", "readme.txt")
    touch(tmp_path, "wav/._03a01Fa.wav", "__MACOSX/wav/._03a01Fa.wav")
    assert [clip.name for clip in read(tmp_path)] == ["03a01Fa", "16b10Wb"]


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".WAV"])
def test_every_suffix_in_any_case(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, f"03a01Fa{suffix}")
    assert [clip.path.name for clip in read(tmp_path)] == [f"03a01Fa{suffix}"]


@pytest.mark.parametrize(
    "stray",
    [
        "03a01Fa (1).wav",
        "03a01F.wav",
        "03a01Xa.wav",
        "03a01fa.wav",
        "04a01Fa.wav",
        "03c01Fa.wav",
        "3a01Fa.wav",
        "03a01Fab.wav",
        "03a01Fa_16k.wav",
    ],
)
def test_strays_are_left_out_with_a_warning(tmp_path: Path, stray: str) -> None:
    touch(tmp_path, "08a01Fa.wav", stray)
    with pytest.warns(UserWarning, match="left out 1 sound files") as caught:
        clips = read(tmp_path)
    assert [clip.name for clip in clips] == ["08a01Fa"]
    assert repr(stray) in str(caught[0].message)
    assert str(tmp_path) in str(caught[0].message)


def test_two_files_of_one_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    touch(tmp_path, "wav/03a01Fa.wav", "wav/03a01Fa.flac", "wav/03a01Wa.wav")
    with pytest.raises(CorpusError, match=r"remove one of them$") as caught:
        read(tmp_path)
    assert str(tmp_path / "wav" / "03a01Fa.wav") in str(caught.value)
    assert str(tmp_path / "wav" / "03a01Fa.flac") in str(caught.value)


def test_two_copies_side_by_side_are_an_error_that_says_where_to_point(tmp_path: Path) -> None:
    names = ("03a01Fa", "03a01Wa", "08a01Na")
    touch(tmp_path, *(f"{folder}/{name}.wav" for folder in ("16k", "48k") for name in names), "48k/16b10Wb.wav")
    with pytest.raises(CorpusError) as caught:
        read(tmp_path)
    assert f"dataset.root= at {tmp_path / '48k'}, which holds every clip once" in str(caught.value)


@pytest.mark.parametrize("names", [[], ["happy/1.wav"], ["03a01Fa.txt"], ["04a01Fa.wav"]])
def test_no_clip_of_emodb_is_an_error_with_the_address(tmp_path: Path, names: list[str]) -> None:
    touch(tmp_path, *names)
    with pytest.raises(CorpusError) as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "wav/03a01Fa.wav" in str(caught.value)
    assert HOME in str(caught.value)


def test_real_clips() -> None:
    root = Path(os.environ.get("SER_TEST_DATA", "")) / "emodb"
    if "SER_TEST_DATA" not in os.environ or not root.is_dir():
        pytest.skip("no real clips: set SER_TEST_DATA to a folder that holds emodb")
    clips = read(root)
    assert len(clips) == 535
    assert Counter(clip.emotion for clip in clips) == {
        "anger": 127,
        "boredom": 81,
        "neutral": 79,
        "happy": 71,
        "fear": 69,
        "sad": 62,
        "disgust": 46,
    }
    assert len({clip.speaker for clip in clips}) == len({clip.sentence for clip in clips}) == 10
    assert Counter(clip.sex for clip in clips) == {"female": 302, "male": 233}
    names = [clip.name for clip in clips]
    assert names == sorted(set(names))
    recording = read_audio(clips[0].path, 16_000)
    assert recording.remarks == ()
