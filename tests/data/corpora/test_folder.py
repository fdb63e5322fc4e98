from pathlib import Path

import pytest

from ser.data.corpora.clip import Clip, CorpusError, telling
from ser.data.corpora.folder import read
from tests.data.corpora.tester import touch


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


def told(root: Path) -> tuple[list[Clip], list[str]]:
    notes: list[str] = []
    with telling(notes.append):
        clips = read(root)
    return clips, notes


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "validation", "TEST"), ("train", "dev", "eval")]
)
def test_folders_of_sides_are_sides_and_not_emotions(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, *(f"{side}/{emotion}/1.wav" for side in names for emotion in ("Happy", "sad")))
    clips, notes = told(tmp_path)
    assert {clip.emotion for clip in clips} == {"happy", "sad"}
    for name, side in zip(names, ("train", "val", "test"), strict=True):
        assert {clip.name for clip in clips if clip.split == side} == {f"{name}/Happy/1.wav", f"{name}/sad/1.wav"}
    assert len(notes) == 1
    assert notes[0].endswith("are taken for sides of a split, which split=official follows")


@pytest.mark.parametrize(
    "names",
    [
        ("train/1.wav", "test/2.wav"),
        ("train/happy/1.wav", "test/sad/1.wav", "anger/1.wav"),
        ("happy/1.wav", "sad/1.wav", "test/1.wav"),
        ("train/happy/1.wav", "test/sad/1.wav", "train/1.wav"),
    ],
)
def test_sides_without_emotions_below_all_of_them_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, *names)
    with pytest.raises(CorpusError, match=r"sides of a split|lies in no emotion's folder") as caught:
        read(tmp_path)
    assert "dataset=manifest" in str(caught.value)


@pytest.mark.parametrize(
    ("names", "people"),
    [
        (("0011/Angry/1.wav", "0011/Happy/1.wav", "0012/Angry/1.wav"), {"0011", "0012"}),
        (("p1/freude/1.wav", "p1/wut/1.wav", "p2/freude/1.wav"), {"p1", "p2"}),
        (("ann/01_happy/1.wav", "bob/02_sad/1.wav"), {"ann", "bob"}),
        (("0011/Angry/train/1.wav", "0011/Happy/test/1.wav", "0012/Angry/evaluation/1.wav"), {"0011", "0012"}),
        (("train/0011/Angry/1.wav", "test/0012/Happy/1.wav"), {"0011", "0012"}),
        (("Joy/angry/1.wav", "ann/angry/1.wav", "ann/happy/1.wav"), {"Joy", "ann"}),
        (("ann/sad/1.wav", "Ann/happy/1.wav", "unknown/sad/1.wav"), {"Ann", None}),
        (("fold1/sad/1.wav", "fold2/happy/1.wav"), {None}),
        (("clips/sad/1.wav", "clips/happy/1.wav"), {None}),
    ],
)
def test_folders_of_speakers_above_those_of_emotions(
    tmp_path: Path, names: tuple[str, ...], people: set[str | None]
) -> None:
    touch(tmp_path, *names)
    clips, notes = told(tmp_path)
    assert {clip.speaker for clip in clips} == people
    assert not {clip.emotion for clip in clips} & {str(name).lower() for name in people}
    assert len({clip.emotion for clip in clips}) == 2
    assert any("are taken for emotions, and the folders that they lie in" in note for note in notes)


def test_folders_inside_those_of_emotions_are_not_used_and_said_to_be(tmp_path: Path) -> None:
    touch(tmp_path, "wut/ann/1.wav", "freude/ann/1.wav", "freude/2.wav")
    clips, (note,) = told(tmp_path)
    assert {clip.emotion for clip in clips} == {"wut", "freude"}
    assert "such as ann, are not used" in note


def test_no_emotion_is_lost_in_silence(tmp_path: Path) -> None:
    touch(tmp_path, "happy/1.wav", "sad/1.wav", "anger/1.m4a", "fear/notes.txt")
    (tmp_path / "calm").mkdir()
    (tmp_path / "other").symlink_to("nowhere")
    clips, notes = told(tmp_path)
    assert {clip.emotion: clip.name for clip in clips} == {
        "happy": "happy/1.wav", "sad": "sad/1.wav", "anger": "anger/1.m4a", "fear": "fear", "calm": "calm",
        "other": "other",
    }  # fmt: skip
    assert len(notes) == 2
    assert f"1 folders can't be read: {tmp_path / 'other'} (No such file or directory)" in notes
    assert any("left out 1 files that are no sound files by their endings (1 .txt)" in note for note in notes)


def test_a_file_that_was_converted_beside_itself_is_counted_once(tmp_path: Path) -> None:
    touch(tmp_path, "happy/1.m4a", "happy/1.wav", "happy/2.m4a", "happy/2.m4a.flac", "sad/1.wav")
    clips, (note,) = told(tmp_path)
    assert [clip.name for clip in clips] == ["happy/1.wav", "happy/2.m4a.flac", "sad/1.wav"]
    assert "left out 2 files that libsndfile does not read, each beside its copy that it does (2 .m4a)" in note


def test_what_systems_leave_behind_is_no_emotion(tmp_path: Path) -> None:
    touch(tmp_path, "happy/1.wav", "sad/1.wav", "__MACOSX/happy/._1.wav", "sad/@eaDir/1.wav/x.mp3", ".git/a.wav")
    clips, notes = told(tmp_path)
    assert len(clips) == 2
    assert notes == []


@pytest.mark.parametrize("names", [("Actor_01/03-01-01.wav", "Actor_02/03-01-01.wav"), ("0011/a.wav", "0012/a.wav")])
def test_folders_of_speakers_without_emotions_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, *names)
    with pytest.raises(CorpusError, match="are named as speakers and hold no folders of emotions") as caught:
        read(tmp_path)
    assert "dataset=manifest" in str(caught.value)


def test_classes_may_be_numbers(tmp_path: Path) -> None:
    touch(tmp_path, "0/a.wav", "1/a.wav", "12/a.wav")
    assert {clip.emotion for clip in read(tmp_path)} == {"0", "1", "12"}
