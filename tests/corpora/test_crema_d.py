import warnings
from collections import Counter
from pathlib import Path

import pytest

from ser.corpora.clip import SUFFIXES, Clip, CorpusError
from ser.corpora.crema_d import EMOTIONS, REPOSITORY, read


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
    touch(tmp_path, "1001_IEO_ANG_HI.wav")
    assert read(tmp_path) == [
        Clip(
            name="1001_IEO_ANG_HI",
            path=tmp_path / "1001_IEO_ANG_HI.wav",
            emotion="anger",
            speaker="1001",
            sentence="IEO",
            intensity="HI",
            split=None,
        )
    ]


@pytest.mark.parametrize(
    ("code", "emotion"),
    [
        ("ANG", "anger"),
        ("DIS", "disgust"),
        ("FEA", "fear"),
        ("HAP", "happy"),
        ("NEU", "neutral"),
        ("SAD", "sad"),
    ],
)
def test_every_emotion(tmp_path: Path, code: str, emotion: str) -> None:
    touch(tmp_path, f"1001_DFA_{code}_XX.wav")
    assert [clip.emotion for clip in read(tmp_path)] == [emotion]


@pytest.mark.parametrize("level", ["LO", "MD", "HI", "XX"])
def test_every_intensity(tmp_path: Path, level: str) -> None:
    touch(tmp_path, f"1001_IEO_SAD_{level}.wav")
    assert [clip.intensity for clip in read(tmp_path)] == [level]


def test_the_clip_with_a_level_of_one_letter_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, "1040_ITH_SAD_X.wav")
    (clip,) = read(tmp_path)
    assert (clip.name, clip.speaker, clip.emotion, clip.intensity) == ("1040_ITH_SAD_X", "1040", "sad", "XX")


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".WAV", ".Flac"])
def test_every_suffix_in_any_case(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, f"1001_DFA_ANG_XX{suffix}")
    assert [clip.path.name for clip in read(tmp_path)] == [f"1001_DFA_ANG_XX{suffix}"]


def test_clips_are_found_in_sub_folders_and_sorted_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "z/1001_DFA_ANG_XX.wav", "a/1003_DFA_ANG_XX.wav", "1002_DFA_ANG_XX.wav", "a/b/1002_DFA_SAD_XX.wav")
    assert [clip.name for clip in read(tmp_path)] == [
        "1001_DFA_ANG_XX",
        "1002_DFA_ANG_XX",
        "1002_DFA_SAD_XX",
        "1003_DFA_ANG_XX",
    ]


@pytest.mark.parametrize(
    "stray",
    [
        "1001_DFA_ANG_XX (1).wav",
        "1001_DFA_ANG_XX copy.wav",
        "Copy of 1001_DFA_ANG_XX.wav",
        "1001_DFA_JOY_XX.wav",
        "1001_DFA_ANG.wav",
        "1001_DFA_ANG_XXX.wav",
        "1001_DFA_ANG_ZZ.wav",
        "101_DFA_ANG_XX.wav",
        "noise.mp3",
    ],
)
def test_strays_are_left_out_with_a_warning(tmp_path: Path, stray: str) -> None:
    touch(tmp_path, "1001_DFA_ANG_XX.wav", stray)
    with pytest.warns(UserWarning, match="left out 1 sound files") as caught:
        clips = read(tmp_path)
    assert [clip.name for clip in clips] == ["1001_DFA_ANG_XX"]
    assert repr(stray) in str(caught[0].message)
    assert str(tmp_path) in str(caught[0].message)


def test_one_warning_tells_how_many_strays_there_are(tmp_path: Path) -> None:
    touch(tmp_path, "1001_DFA_ANG_XX.wav", "b.wav", "a.wav", "c.flac")
    with pytest.warns(UserWarning, match="left out 3 sound files .*'a.wav'") as caught:
        read(tmp_path)
    assert len(caught) == 1


def test_what_is_no_sound_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "1001_DFA_ANG_XX.wav", "1002_DFA_ANG_XX.flv", "SentenceFilenames.csv", "LICENSE")
    (tmp_path / "1003_DFA_ANG_XX.wav").mkdir()
    assert len(read(tmp_path)) == 1


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    root = tmp_path / ".cache" / "crema"
    touch(
        root,
        "1001_DFA_ANG_XX.wav",
        "._1001_DFA_ANG_XX.wav",
        "__MACOSX/._1002_DFA_ANG_XX.wav",
        ".AppleDouble/1001_DFA_ANG_XX.wav",
        ".hidden.wav",
    )
    assert [clip.path for clip in read(root)] == [root / "1001_DFA_ANG_XX.wav"]


@pytest.mark.parametrize("second", ["b/1001_DFA_ANG_XX.wav", "1001_DFA_ANG_XX.mp3"])
def test_two_files_of_one_name_are_an_error_that_names_both(tmp_path: Path, second: str) -> None:
    touch(tmp_path, "1001_DFA_ANG_XX.wav", second)
    with pytest.raises(CorpusError, match="remove one") as caught:
        read(tmp_path)
    assert str(tmp_path / "1001_DFA_ANG_XX.wav") in str(caught.value)
    assert str(tmp_path / second) in str(caught.value)


@pytest.mark.parametrize("names", [[], ["happy/1.wav", "sad/2.wav"], ["1001_DFA_ANG_XX.txt"]])
def test_no_clip_of_crema_d_is_an_error_with_the_address(tmp_path: Path, names: list[str]) -> None:
    touch(tmp_path, *names)
    with pytest.raises(CorpusError) as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "1001_DFA_ANG_XX.wav" in str(caught.value)
    assert REPOSITORY in str(caught.value)


def test_real_clips(real_clips: list[Clip]) -> None:
    assert len(real_clips) == 1091
    assert {clip.speaker for clip in real_clips} == {str(number) for number in range(1001, 1092)}
    assert {clip.emotion for clip in real_clips} == set(EMOTIONS.values())
    assert len({clip.sentence for clip in real_clips}) == 12
    assert {clip.intensity for clip in real_clips} == {"LO", "MD", "HI", "XX"}
    assert min(Counter(clip.speaker for clip in real_clips).values()) >= 6
    assert all(clip.path.is_file() and clip.split is None for clip in real_clips)
    names = [clip.name for clip in real_clips]
    assert names == sorted(set(names))
