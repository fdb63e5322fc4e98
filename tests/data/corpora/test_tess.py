import os
import string
from collections import Counter
from itertools import islice, product
from pathlib import Path
from typing import ClassVar

import pytest

from ser.data.audio import read_audio
from ser.data.corpora.clip import SUFFIXES, Clip, CorpusError
from ser.data.corpora.tess import HOME, read
from tests.data.corpora.tester import CorpusTester, touch

pytestmark = pytest.mark.usefixtures("strict")

# Folders as a copy of the release calls them; its files all end as the keys do.
FOLDERS = {
    "OAF": {
        "angry": "OAF_angry",
        "disgust": "OAF_disgust",
        "fear": "OAF_Fear",
        "happy": "OAF_happy",
        "neutral": "OAF_neutral",
        "ps": "OAF_Pleasant_surprise",
        "sad": "OAF_Sad",
    },
    "YAF": {
        "angry": "YAF_angry",
        "disgust": "YAF_disgust",
        "fear": "YAF_fear",
        "happy": "YAF_happy",
        "neutral": "YAF_neutral",
        "ps": "YAF_pleasant_surprised",
        "sad": "YAF_sad",
    },
}


def release(words: list[str]) -> list[str]:
    return [
        f"{folder}/{'OA' if (speaker, word, emotion) == ('OAF', 'bite', 'neutral') else speaker}_{word}_{emotion}.wav"
        for speaker, folders in FOLDERS.items()
        for emotion, folder in folders.items()
        for word in words
    ]


class TestTess(CorpusTester):
    read = staticmethod(read)
    home = HOME
    examples = ("OAF_angry/OAF_back_angry.wav",)
    kept = "OAF_back_sad"
    passed_over = ("._OAF_food_sad.wav", "OAF_food_fear.txt")
    # Of the file and not the folder.
    emotions: ClassVar = {
        "YAF_boredom/YAF_wash_angry.wav": "anger",
        "YAF_boredom/YAF_wash_disgust.wav": "disgust",
        "YAF_boredom/YAF_wash_fear.wav": "fear",
        "YAF_boredom/YAF_wash_happy.wav": "happy",
        "YAF_boredom/YAF_wash_neutral.wav": "neutral",
        "YAF_boredom/YAF_wash_ps.wav": "surprise",
        "YAF_boredom/YAF_wash_sad.wav": "sad",
    }
    strays: ClassVar = (
        "OAF_back_calm.wav",
        "OAF_back.wav",
        "OAF_back_sad_2.wav",
        "OAF_back_sad (1).wav",
        "AF_back_sad.wav",
        "YA_back_sad.wav",
        "XOAF_back_sad.wav",
        "OAF__sad.wav",
    )
    empty: ClassVar = ([], ["happy/1.wav"], ["OAF_back_angry.txt"], ["OAF_angry/back.wav"])
    suffixes: ClassVar = SUFFIXES


def test_a_name_says_all_that_is_known_of_a_clip(tmp_path: Path) -> None:
    touch(tmp_path, "OAF_angry/OAF_back_angry.wav", "YAF_sad/YAF_back_sad.wav")
    old, young = read(tmp_path)
    assert old == Clip(
        name="OAF_back_angry",
        path=tmp_path / "OAF_angry" / "OAF_back_angry.wav",
        emotion="anger",
        speaker="OAF",
        sentence="back",
        sex="female",
        age=64,
    )
    assert (young.name, young.speaker, young.age, young.sex) == ("YAF_back_sad", "YAF", 26, "female")


def test_the_whole_release(tmp_path: Path) -> None:
    words = ["bite", *("".join(letters) for letters in islice(product(string.ascii_lowercase, repeat=3), 199))]
    touch(tmp_path, *release(words))
    clips = read(tmp_path)
    assert len(clips) == 2800
    assert Counter(clip.speaker for clip in clips) == {"OAF": 1400, "YAF": 1400}
    assert set(Counter(clip.emotion for clip in clips).values()) == {400}
    assert {clip.sentence for clip in clips} == set(words)
    names = [clip.name for clip in clips]
    assert names == sorted(set(names))


@pytest.mark.parametrize(
    ("file", "name", "emotion"),
    [
        ("OA_bite_neutral.wav", "OAF_bite_neutral", "neutral"),
        ("oaf_Bite_Neutral.WAV", "OAF_bite_neutral", "neutral"),
        ("YAF_germ_PS.wav", "YAF_germ_ps", "surprise"),
    ],
)
def test_names_are_put_right(tmp_path: Path, file: str, name: str, emotion: str) -> None:
    touch(tmp_path, file)
    (clip,) = read(tmp_path)
    assert (clip.name, clip.emotion, clip.path) == (name, emotion, tmp_path / file)
    assert clip.speaker == name[:3]
    assert clip.sentence == name.split("_")[1]


def test_an_archive_with_a_second_copy_is_an_error_that_says_where_to_point(tmp_path: Path) -> None:
    """As one unpacks: the copy is in a folder of the same name."""
    outer = tmp_path / "TESS Toronto emotional speech set data"
    inner = outer / outer.name
    names = release(["back", "bite", "food"])
    touch(outer, *names)
    touch(inner, *names)
    with pytest.raises(CorpusError, match="two files for one clip of TESS") as caught:
        read(tmp_path)
    assert "41 more" in str(caught.value)
    assert f"dataset.root= at {inner}, which holds every clip once" in str(caught.value)
    assert len(read(inner)) == 42


def test_two_spellings_of_one_clip_are_two_files_for_it(tmp_path: Path) -> None:
    touch(tmp_path, "OA_bite_neutral.wav", "OAF_bite_neutral.wav")
    with pytest.raises(CorpusError, match=r"remove one of them$") as caught:
        read(tmp_path)
    assert str(tmp_path / "OA_bite_neutral.wav") in str(caught.value)
    assert str(tmp_path / "OAF_bite_neutral.wav") in str(caught.value)


def test_real_clips_of_odd_names_rates_and_formats() -> None:
    root = Path(os.environ.get("SER_TEST_DATA", "")) / "oddities" / "tess"
    if "SER_TEST_DATA" not in os.environ or not root.is_dir():
        pytest.skip("no real clips: set SER_TEST_DATA to a folder that holds oddities/tess")
    clips = {clip.name: clip for clip in read(root)}
    # YAF_germ_angry is AIFF-C in a file that ends in .wav. The kernel from 24,414 Hz to 16,000 takes seconds to make.
    expected = {
        "OAF_bite_neutral": ("OA_bite_neutral.wav", 24_414, (), 2.113),
        "OAF_food_fear": ("OAF_food_fear.wav", 16_000, ("resampled from 96000 Hz",), 1.512),
        "YAF_germ_angry": ("YAF_germ_angry.wav", 24_414, (), 2.206),
    }
    assert list(clips) == list(expected)
    for name, (file, rate, remarks, seconds) in expected.items():
        recording = read_audio(clips[name].path, rate)
        assert clips[name].path.name == file
        assert recording.remarks == remarks
        assert not recording.silent
        assert len(recording.samples) / rate == pytest.approx(seconds, abs=1e-3)
