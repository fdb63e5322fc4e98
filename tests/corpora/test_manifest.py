from pathlib import Path

import pytest

from ser.corpora.clip import Clip, CorpusError
from ser.corpora.manifest import KNOWN, read


def manifest(folder: Path, *lines: str, encoding: str = "utf-8", newline: str = "\n") -> Path:
    path = folder / "clips.csv"
    path.write_bytes(newline.join([*lines, ""]).encode(encoding))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(CorpusError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_two_columns_are_enough_and_rows_keep_their_order(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path,emotion", "b.wav,sad", "sub/a.wav,Happy")
    assert read(path) == [
        Clip("b.wav", tmp_path / "b.wav", "sad"),
        Clip("sub/a.wav", tmp_path / "sub" / "a.wav", "happy"),
    ]


def test_all_columns_in_any_order_and_others_ignored(tmp_path: Path) -> None:
    path = manifest(tmp_path, "split,take,speaker,emotion,path", "val,7,Ann,sad,a.wav", ",8,,happy,b.wav")
    first, second = read(path)
    assert first == Clip("a.wav", tmp_path / "a.wav", "sad", speaker="Ann", split="val")
    assert second == Clip("b.wav", tmp_path / "b.wav", "happy", speaker=None, split=None)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_split(tmp_path: Path, split: str) -> None:
    assert read(manifest(tmp_path, "path,emotion,split", f"a.wav,sad,{split}"))[0].split == split


def test_relative_paths_start_at_the_manifest_and_absolute_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere" / "c.wav"
    (tmp_path / "lists").mkdir()
    manifest(tmp_path / "lists", "path,emotion", "../clips/a.wav,sad", f"{elsewhere},happy")
    monkeypatch.chdir(tmp_path)
    clips = read(Path("lists/clips.csv"))
    assert clips[0].path.resolve() == tmp_path / "clips" / "a.wav"
    assert clips[1].path == elsewhere
    assert [clip.name for clip in clips] == ["../clips/a.wav", str(elsewhere)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_byte_order_mark_and_line_ends(tmp_path: Path, encoding: str, newline: str) -> None:
    path = manifest(tmp_path, "path,emotion", "é.wav,glücklich", encoding=encoding, newline=newline)
    assert read(path) == [Clip("é.wav", tmp_path / "é.wav", "glücklich")]


def test_quotes_spaces_and_blank_lines(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path,emotion,speaker", '"a, b.wav", Sad ,  Ann', "", "c.wav,happy, ")
    assert [(clip.name, clip.emotion, clip.speaker) for clip in read(path)] == [
        ("a, b.wav", "sad", "Ann"),
        ("c.wav", "happy", None),
    ]


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        ("path,label", "no column emotion"),
        ("file,emotion", "no column path"),
        ("file,label", "no column emotion and path"),
        ("Path;emotion", "no column emotion and path"),
    ],
)
def test_missing_columns_are_named(tmp_path: Path, header: str, missing: str) -> None:
    message = refusal(manifest(tmp_path, header, "a.wav,sad"))
    assert missing in message
    assert "path,emotion[,speaker][,split]" in message


def test_an_empty_file_has_no_columns(tmp_path: Path) -> None:
    path = tmp_path / "clips.csv"
    path.touch()
    assert "no column emotion and path" in refusal(path)


def test_a_manifest_without_rows(tmp_path: Path) -> None:
    assert "lists no clips" in refusal(manifest(tmp_path, "path,emotion"))


@pytest.mark.parametrize(
    ("row", "column"), [(",sad", "path"), ("b.wav,", "emotion"), ("  ,sad", "path"), ("b.wav", "emotion")]
)
def test_empty_cells_are_named_with_their_line(tmp_path: Path, row: str, column: str) -> None:
    message = refusal(manifest(tmp_path, "path,emotion", "a.wav,sad", "", row))
    assert f"line 4: {column} is empty" in message


@pytest.mark.parametrize("split", ["dev", "Train", "validation"])
def test_an_unknown_split_is_named_with_its_line(tmp_path: Path, split: str) -> None:
    message = refusal(manifest(tmp_path, "path,emotion,split", "a.wav,sad,train", f"b.wav,sad,{split}"))
    assert f"line 3: split is {split!r}" in message
    assert "train, val, test or empty" in message


@pytest.mark.parametrize("again", ["a.wav", "./a.wav", "sub/../a.wav", " a.wav ", "ABSOLUTE/a.wav"])
def test_one_file_may_not_stand_twice(tmp_path: Path, again: str) -> None:
    row = f"{again.replace('ABSOLUTE', str(tmp_path))},happy"
    message = refusal(manifest(tmp_path, "path,emotion", "a.wav,sad", "b.wav,sad", row))
    assert "line 4" in message
    assert "twice" in message


def test_files_of_one_name_in_two_folders_are_two_files(tmp_path: Path) -> None:
    assert len(read(manifest(tmp_path, "path,emotion", "x/a.wav,sad", "y/a.wav,sad"))) == 2


@pytest.mark.parametrize("content", ["path,emotion\na.wav,sad\n".encode("utf-16"), b"path,emotion\n\xe9.wav,sad\n"])
def test_what_is_not_utf_8_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clips.csv"
    path.write_bytes(content)
    assert "UTF-8" in refusal(path)


def test_a_folder_or_nothing_in_the_manifests_place_is_an_error(tmp_path: Path) -> None:
    assert "can't be read" in refusal(tmp_path)
    assert "can't be read" in refusal(tmp_path / "missing.csv")


def test_whatever_else_is_known_of_a_clip_has_its_column(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        "ethnicity,race,age,sex,intensity,sentence,session,original,emotion,path",
        "not hispanic,asian,51,female,strong,Kids are talking,2,sub/b.wav,sad,a.wav",
        ",,,,,,,,sad,sub/b.wav",
    )
    assert read(path) == [
        Clip(
            name="a.wav",
            path=tmp_path / "a.wav",
            emotion="sad",
            session="2",
            sentence="Kids are talking",
            intensity="strong",
            sex="female",
            age=51,
            race="asian",
            ethnicity="not hispanic",
            original="sub/b.wav",
        ),
        Clip("sub/b.wav", tmp_path / "sub" / "b.wav", "sad"),
    ]


@pytest.mark.parametrize("column", KNOWN)
def test_every_column_is_an_attribute_and_may_be_empty(tmp_path: Path, column: str) -> None:
    first, second, third = read(
        manifest(tmp_path, f"path,emotion,{column}", "a.wav,sad, val ", "b.wav,sad,  ", "c.wav,sad")
    )
    assert [getattr(clip, column) for clip in (first, second, third)] == ["val", None, None]
    assert second == Clip("b.wav", tmp_path / "b.wav", "sad")


@pytest.mark.parametrize(("age", "years"), [("51", 51), (" 7 ", 7), ("", None), ("  ", None)])
def test_an_age_is_whole_years_or_empty(tmp_path: Path, age: str, years: int | None) -> None:
    assert read(manifest(tmp_path, "path,emotion,age", f"a.wav,sad,{age}"))[0].age == years


@pytest.mark.parametrize("age", ["51.5", "-3", "fifty", "1e1", "20s", "²"])
def test_an_age_that_is_no_number_is_named_with_its_line(tmp_path: Path, age: str) -> None:
    message = refusal(manifest(tmp_path, "path,emotion,age", "a.wav,sad,51", "", f"b.wav,sad,{age}"))
    assert f"line 4: age is {age!r}" in message
    assert "whole years or empty" in message


def test_a_clip_brings_no_votes_and_no_corpus(tmp_path: Path) -> None:
    (clip,) = read(manifest(tmp_path, "path,emotion,votes,corpus,name", "a.wav,sad,3,crema_d,other"))
    assert clip == Clip("a.wav", tmp_path / "a.wav", "sad")


def test_originals_are_followed_to_the_first_recording_however_they_are_written(tmp_path: Path) -> None:
    rows = ["z1.wav,sad,./mid.wav", "mid.wav,calm,z3.wav", "z3.wav,sad,", "far.wav,sad,lost/one.wav"]
    (tmp_path / "m.csv").write_text("\n".join(["path,emotion,original", *rows]))
    assert [clip.original for clip in read(tmp_path / "m.csv")] == ["z3.wav", "z3.wav", None, "lost/one.wav"]


def test_copies_of_one_another_have_one_original(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,emotion,original\na.wav,sad,b.wav\nb.wav,sad,a.wav\n")
    first, second = (clip.original for clip in read(tmp_path / "m.csv"))
    assert first == second is not None


def test_who_speaks_is_read_in_lower_case(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,emotion,sex\na.wav,sad,Female\nb.wav,sad,female\n")
    assert {clip.sex for clip in read(tmp_path / "m.csv")} == {"female"}


@pytest.mark.parametrize("name", ["~no_such_user/a.wav", "a\0b.wav"])
@pytest.mark.parametrize("column", ["path", "original"])
def test_what_can_not_be_a_path_is_an_error_with_its_line(tmp_path: Path, name: str, column: str) -> None:
    row = f"{name},sad,b.wav" if column == "path" else f"a.wav,sad,{name}"
    message = refusal(manifest(tmp_path, "path,emotion,original", "c.wav,sad,d.wav", row))
    assert "line 3" in message
    assert "can't be a path" in message or "can't be read" in message


@pytest.mark.parametrize("age", ["1000", "9" * 5000])
def test_an_age_of_more_than_three_digits_is_refused(tmp_path: Path, age: str) -> None:
    assert "whole years" in refusal(manifest(tmp_path, "path,emotion,age", f"a.wav,sad,{age}"))
