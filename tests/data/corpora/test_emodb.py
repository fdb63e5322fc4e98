import os
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest

from ser.data.audio import read_audio
from ser.data.corpora.clip import Clip, CorpusError
from ser.data.corpora.emodb import FACTS, read
from tests.data.corpora.tester import CorpusTester, touch

pytestmark = pytest.mark.usefixtures("strict")


class TestEmodb(CorpusTester):
    read = staticmethod(read)
    home = str(FACTS.home)
    examples = ("wav/03a01Fa.wav",)
    kept = "08a01Fa"
    emotions: ClassVar = {
        "03a01Wa.wav": "anger",
        "03a01La.wav": "boredom",
        "03a01Ea.wav": "disgust",
        "03a01Aa.wav": "fear",
        "03a01Fa.wav": "happy",
        "03a01Ta.wav": "sad",
        "03a01Na.wav": "neutral",
    }
    strays: ClassVar = (
        "03a01Fa (1).wav",
        "03a01F.wav",
        "03a01Xa.wav",
        "03a01fa.wav",
        "04a01Fa.wav",
        "03c01Fa.wav",
        "3a01Fa.wav",
        "03a01Fab.wav",
        "03a01Fa_16k.wav",
    )
    empty: ClassVar = ([], ["happy/1.wav"], ["03a01Fa.txt"], ["04a01Fa.wav"])


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
