from pathlib import Path

import pytest

from ser.corpora.clip import Clip, CorpusError
from ser.corpora.folder import read


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_sub_folder_is_an_emotion(tmp_path: Path) -> None:
    touch(tmp_path, "sad/b.wav", "happy/2.flac", "happy/10.wav")
    assert read(tmp_path) == [
        Clip("happy/10.wav", tmp_path / "happy" / "10.wav", "happy"),
        Clip("happy/2.flac", tmp_path / "happy" / "2.flac", "happy"),
        Clip("sad/b.wav", tmp_path / "sad" / "b.wav", "sad"),
    ]


def test_nothing_but_name_path_and_emotion_is_known(tmp_path: Path) -> None:
    touch(tmp_path, "sad/1.wav", "happy/1.wav")
    for clip in read(tmp_path):
        assert (clip.speaker, clip.sentence, clip.intensity, clip.split) == (None, None, None, None)


def test_clips_further_down_belong_to_the_first_folder(tmp_path: Path) -> None:
    touch(tmp_path, "sad/ann/happy/1.wav", "happy/1.wav")
    assert {clip.name: clip.emotion for clip in read(tmp_path)} == {
        "sad/ann/happy/1.wav": "sad",
        "happy/1.wav": "happy",
    }


def test_emotions_are_lower_case(tmp_path: Path) -> None:
    touch(tmp_path, "SAD/1.wav", "Happy /1.wav", "happy/1.wav")
    assert sorted(clip.emotion for clip in read(tmp_path)) == ["happy", "happy", "sad"]
    assert len({clip.name for clip in read(tmp_path)}) == 3


def test_suffixes_in_any_case_and_nothing_but_sound(tmp_path: Path) -> None:
    touch(tmp_path, "sad/1.WAV", "happy/1.Mp3", "happy/notes.txt", "readme.md", "happy/1.wav.part")
    assert [clip.name for clip in read(tmp_path)] == ["happy/1.Mp3", "sad/1.WAV"]


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "sad/1.wav", "happy/1.wav", "happy/._1.wav", ".trash/1.wav", "sad/.old/1.wav", "._loose.wav")
    assert [clip.name for clip in read(tmp_path)] == ["happy/1.wav", "sad/1.wav"]


def test_loose_files_are_an_error_that_names_one(tmp_path: Path) -> None:
    touch(tmp_path, "sad/1.wav", "happy/1.wav", "loose.wav")
    with pytest.raises(CorpusError, match="move it into one") as caught:
        read(tmp_path)
    assert str(tmp_path / "loose.wav") in str(caught.value)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], "none"),
        (["readme.txt"], "none"),
        (["happy/1.wav", "happy/2.wav"], "['happy']"),
        (["happy/1.wav", "Happy /2.wav", "sad/notes.txt"], "['happy']"),
    ],
)
def test_fewer_than_two_emotions_are_an_error(tmp_path: Path, names: list[str], found: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(CorpusError, match="at least two sub-folders") as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert str(caught.value).endswith(f"found {found}")
