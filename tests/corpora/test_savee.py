import warnings
from collections import Counter
from pathlib import Path

import pytest

from ser.corpora.clip import EMOTIONS as VOCABULARY
from ser.corpora.clip import SUFFIXES, Clip, CorpusError
from ser.corpora.savee import HOME, read

NUMBERS = {"a": 15, "d": 15, "f": 15, "h": 15, "n": 30, "sa": 15, "su": 15}
NAMES = [
    (speaker, f"{emotion}{number:02}")
    for speaker in ("DC", "JE", "JK", "KL")
    for emotion, last in NUMBERS.items()
    for number in range(1, last + 1)
]


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture(autouse=True)
def warnings_are_errors() -> None:
    """A warning that no test expects fails it."""
    warnings.simplefilter("error")


@pytest.mark.parametrize("file", ["DC_a01.wav", "AudioData/DC/a01.wav", "DC/DC_a01.wav"])
def test_the_name_is_one_in_every_layout(tmp_path: Path, file: str) -> None:
    touch(tmp_path, file)
    assert read(tmp_path) == [
        Clip(name="DC_a01", path=tmp_path / file, emotion="anger", speaker="DC", sentence=None, sex="male")
    ]


def test_root_may_be_the_folder_of_one_speaker(tmp_path: Path) -> None:
    touch(tmp_path, "KL/su15.wav")
    assert [clip.name for clip in read(tmp_path / "KL")] == ["KL_su15"]


@pytest.mark.parametrize(
    ("code", "emotion"),
    [
        ("a", "anger"),
        ("d", "disgust"),
        ("f", "fear"),
        ("h", "happy"),
        ("n", "neutral"),
        ("sa", "sad"),
        ("su", "surprise"),
    ],
)
def test_every_emotion(tmp_path: Path, code: str, emotion: str) -> None:
    touch(tmp_path, f"JK/{code}07.wav")
    assert [clip.emotion for clip in read(tmp_path)] == [emotion]
    assert emotion in VOCABULARY


@pytest.mark.parametrize("layout", ["AudioData/{}/{}.wav", "ALL/{}_{}.wav"])
def test_the_whole_release(tmp_path: Path, layout: str) -> None:
    touch(tmp_path, *(layout.format(*name) for name in NAMES), "AudioData/Info.txt")
    clips = read(tmp_path)
    assert [clip.name for clip in clips] == sorted("_".join(name) for name in NAMES)
    assert len(clips) == 480
    assert Counter(clip.speaker for clip in clips) == {"DC": 120, "JE": 120, "JK": 120, "KL": 120}
    others = dict.fromkeys(("anger", "disgust", "fear", "happy", "sad", "surprise"), 60)
    assert Counter(clip.emotion for clip in clips) == {"neutral": 120, **others}


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".WAV"])
def test_every_suffix_in_any_case(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, f"DC_a01{suffix}", "DC_a01.avi", "._DC_a03.wav")
    assert [clip.path.name for clip in read(tmp_path)] == [f"DC_a01{suffix}"]


@pytest.mark.parametrize(
    "stray",
    [
        "DC_a16.wav",
        "DC_sa16.wav",
        "DC_n31.wav",
        "DC_n00.wav",
        "DC_a1.wav",
        "DC_s01.wav",
        "DC_x01.wav",
        "AB_a01.wav",
        "AB/a01.wav",
        "a01.wav",
        "DC_a01 copy.wav",
    ],
)
def test_strays_are_left_out_with_a_warning(tmp_path: Path, stray: str) -> None:
    touch(tmp_path, "JE_h02.wav", stray)
    with pytest.warns(UserWarning, match="left out 1 sound files") as caught:
        clips = read(tmp_path)
    assert [clip.name for clip in clips] == ["JE_h02"]
    assert repr(Path(stray).name) in str(caught[0].message)
    assert str(tmp_path) in str(caught[0].message)


def test_both_layouts_at_once_are_an_error_that_says_where_to_point(tmp_path: Path) -> None:
    touch(tmp_path, *(f"AudioData/{speaker}/{clip}.wav" for speaker, clip in NAMES))
    touch(tmp_path, *(f"ALL/{speaker}_{clip}.wav" for speaker, clip in NAMES))
    with pytest.raises(CorpusError, match="two files for one clip of SAVEE") as caught:
        read(tmp_path)
    assert "479 more" in str(caught.value)
    assert f"dataset.root= at {tmp_path / 'ALL'}, which" in str(caught.value)


@pytest.mark.parametrize("names", [[], ["happy/1.wav"], ["a01.wav"], ["DC_a01.txt"]])
def test_no_clip_of_savee_is_an_error_with_the_address(tmp_path: Path, names: list[str]) -> None:
    touch(tmp_path, *names)
    with pytest.raises(CorpusError) as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "DC/a01.wav" in str(caught.value)
    assert "DC_a01.wav" in str(caught.value)
    assert HOME in str(caught.value)
