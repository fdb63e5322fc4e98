from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest

from ser.data.corpora.clip import Clip, CorpusError
from ser.data.corpora.savee import FACTS, read
from tests.data.corpora.tester import CorpusTester, touch

pytestmark = pytest.mark.usefixtures("strict")

NUMBERS = {"a": 15, "d": 15, "f": 15, "h": 15, "n": 30, "sa": 15, "su": 15}
NAMES = [
    (speaker, f"{emotion}{number:02}")
    for speaker in ("DC", "JE", "JK", "KL")
    for emotion, last in NUMBERS.items()
    for number in range(1, last + 1)
]


class TestSavee(CorpusTester):
    read = staticmethod(read)
    home = str(FACTS.home)
    examples = ("DC/a01.wav", "DC_a01.wav")
    kept = "DC_a01"
    passed_over = ("DC_a01.avi", "._DC_a03.wav")
    emotions: ClassVar = {
        "JK/a07.wav": "anger",
        "JK/d07.wav": "disgust",
        "JK/f07.wav": "fear",
        "JK/h07.wav": "happy",
        "JK/n07.wav": "neutral",
        "JK/sa07.wav": "sad",
        "JK/su07.wav": "surprise",
    }
    strays: ClassVar = (
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
    )
    empty: ClassVar = ([], ["happy/1.wav"], ["a01.wav"], ["DC_a01.txt"])


@pytest.mark.parametrize("file", ["DC_a01.wav", "AudioData/DC/a01.wav", "DC/DC_a01.wav"])
def test_the_name_is_one_in_every_layout(tmp_path: Path, file: str) -> None:
    touch(tmp_path, file)
    assert read(tmp_path) == [
        Clip(name="DC_a01", path=tmp_path / file, emotion="anger", speaker="DC", sentence=None, sex="male")
    ]


def test_root_may_be_the_folder_of_one_speaker(tmp_path: Path) -> None:
    touch(tmp_path, "KL/su15.wav")
    assert [clip.name for clip in read(tmp_path / "KL")] == ["KL_su15"]


@pytest.mark.parametrize("layout", ["AudioData/{}/{}.wav", "ALL/{}_{}.wav"])
def test_the_whole_release(tmp_path: Path, layout: str) -> None:
    touch(tmp_path, *(layout.format(*name) for name in NAMES), "AudioData/Info.txt")
    clips = read(tmp_path)
    assert [clip.name for clip in clips] == sorted("_".join(name) for name in NAMES)
    assert len(clips) == 480
    assert Counter(clip.speaker for clip in clips) == {"DC": 120, "JE": 120, "JK": 120, "KL": 120}
    others = dict.fromkeys(("anger", "disgust", "fear", "happy", "sad", "surprise"), 60)
    assert Counter(clip.emotion for clip in clips) == {"neutral": 120, **others}


def test_both_layouts_at_once_are_an_error_that_says_where_to_point(tmp_path: Path) -> None:
    touch(tmp_path, *(f"AudioData/{speaker}/{clip}.wav" for speaker, clip in NAMES))
    touch(tmp_path, *(f"ALL/{speaker}_{clip}.wav" for speaker, clip in NAMES))
    with pytest.raises(CorpusError, match="two files for one clip of SAVEE") as caught:
        read(tmp_path)
    assert "479 more" in str(caught.value)
    assert f"dataset.root= at {tmp_path / 'ALL'}, which" in str(caught.value)
