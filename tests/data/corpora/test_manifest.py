from pathlib import Path
from typing import Any

import pytest

from ser.data.corpora.clip import Clip, CorpusError, CorpusWarning, telling
from ser.data.corpora.manifest import KNOWN, read


def manifest(folder: Path, *lines: str, encoding: str = "utf-8", newline: str = "\n") -> Path:
    path = folder / "clips.csv"
    path.write_bytes(newline.join([*lines, ""]).encode(encoding))
    return path


def told(path: Path) -> tuple[list[Clip], list[str]]:
    """The clips, and what is said of them without the manifest's own path."""
    notes: list[str] = []
    with telling(notes.append):
        clips = read(path)
    return clips, [note.removeprefix(f"{path}: ") for note in notes]


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
        ("path,feeling", "no column emotion"),
        ("url,emotion", "no column path"),
        ("url,feeling", "no column emotion and path"),
        ("Path+emotion", "no column emotion and path"),
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


@pytest.mark.parametrize("split", ["fold 1", "both", "2"])
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


@pytest.mark.parametrize("content", [b"path,emotion\n\xe9.wav,sad\n", b"\xff\xfep\x00a\x00t"])
def test_what_is_no_text_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clips.csv"
    path.write_bytes(content)
    assert "can't be read as a UTF-" in refusal(path)


@pytest.mark.parametrize(
    ("word", "side"), [("dev", "val"), ("Train", "train"), ("validation", "val"), ("eval", "test")]
)
def test_common_names_of_sides_are_read_and_told(tmp_path: Path, word: str, side: str) -> None:
    (clip,), notes = told(manifest(tmp_path, "path,emotion,split", f"a.wav,sad,{word}"))
    assert clip.split == side
    assert notes == ([f"words are read as others: {word!r} as {side}"] if word.lower() != side else [])


TABLE = (
    "FileName,EmoClass,SpkrID,Gender,Split_Set,EmoAct",
    "MSP_1.wav,A,1,Female,Train,4.2",
    "MSP_2.wav,H,2,Male,Development,3.1",
    "MSP_3.wav,X,2,Male,Test1,3.1",
    "MSP_4.wav,N,Unknown,Male,Test1,3.1",
)
"""A table in the form of MSP-Podcast's."""

COLUMNS = {"path": "FileName", "emotion": "EmoClass", "speaker": "SpkrID", "sex": "Gender", "split": "Split_Set"}
CODES = {
    "emotion": {"A": "anger", "H": "Happy", "N": "neutral"},
    "split": {"Train": "train", "Development": "val", "Test1": "test"},
}


def test_a_table_is_read_by_its_own_headings_and_codes(tmp_path: Path) -> None:
    notes: list[str] = []
    with telling(notes.append):
        clips = read(manifest(tmp_path, *TABLE), columns=COLUMNS, folder="Audios", codes=CODES)
    assert clips == [
        Clip("MSP_1.wav", tmp_path / "Audios/MSP_1.wav", "anger", speaker="1", sex="female", split="train"),
        Clip("MSP_2.wav", tmp_path / "Audios/MSP_2.wav", "happy", speaker="2", sex="male", split="val"),
        Clip("MSP_4.wav", tmp_path / "Audios/MSP_4.wav", "neutral", sex="male", split="test"),
    ]
    shown = [note.removeprefix(f"{tmp_path / 'clips.csv'}: ") for note in notes]
    assert shown == [
        "columns are read under other headings: 'FileName' as path, 'EmoClass' as emotion, 'SpkrID' as speaker, "
        "'Gender' as sex, 'Split_Set' as split",
        "columns that are not used: 'EmoAct'",
        "taken for not known: 1 speaker 'Unknown'",
        "left out 1 rows whose emotion dataset.codes does not list: 1 'X'",
    ]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("labels_consensus.csv", ("FileName,EmoClass,SpkrID,Gender,Split_Set", "a.wav,angry,7,Female,Development")),
        ("metadata.csv", ("file_name,label,speaker_id,gender,split", "a.wav,angry,7,F,validation")),
        ("metadata.jsonl", ('{"file_name": "a.wav", "label": "angry", "speaker": 7, "sex": "f", "split": "dev"}',)),
        ("train.csv", ("file,emotion,speaker,gender,split", "a.wav,angry,7.0,female,dev")),
        ("corpus.jsonl", ('{"wav": "a.wav", "emo": "angry", "spk": "7", "gender": "f", "split": "valid"}',)),
        (
            "nemo.json.jsonl",
            ('{"audio_filepath": "a.wav", "label": "angry", "speaker": "7", "sex": "F", "split": "val"}',),
        ),
    ],
    ids=["MSP-Podcast", "AudioFolder CSV", "AudioFolder JSON", "nkululeko", "EmoBox", "NeMo"],
)
def test_tables_of_others_are_read_as_they_are(tmp_path: Path, name: str, lines: tuple[str, ...]) -> None:
    (tmp_path / name).write_text("\n".join(lines))
    (clip,), _ = told(tmp_path / name)
    assert clip.path == tmp_path / "a.wav"
    assert (clip.emotion, clip.sex, clip.split) == ("angry", "female", "val")
    assert str(clip.speaker).removesuffix(".0") == "7"


def test_a_code_that_is_not_listed_is_not_known_and_counted(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path,emotion,sex,session", "a.wav,sad,1,x", "b.wav,sad,2,x", "c.wav,sad,9,none")
    notes: list[str] = []
    with telling(notes.append):
        clips = read(path, codes={"sex": {1: "female", 2: "male"}})
    assert [clip.sex for clip in clips] == ["female", "male", None]
    assert notes == [f"{path}: taken for not known: 1 session 'none', 1 sex '9'"]


def test_a_heading_that_is_given_is_no_other_column(tmp_path: Path) -> None:
    path = manifest(tmp_path, "file,label,emotion", "a.wav,joy,sad", "b.wav,x,calm")
    with telling(lambda _: None):
        assert [clip.emotion for clip in read(path, columns={"emotion": "label", "speaker": "emotion"})] == ["joy", "x"]


def test_a_folder_may_be_absolute(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path,emotion,original", "a.wav,sad,", "b.wav,sad,a.wav")
    clips = read(path, folder=str(tmp_path / "there"))
    assert [clip.path for clip in clips] == [tmp_path / "there/a.wav", tmp_path / "there/b.wav"]
    assert [clip.original for clip in clips] == [None, "a.wav"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": {"emotion": "Feeling"}}, "says that emotion is Feeling, which stands 0 times in the first row"),
        ({"columns": {"feeling": "emotion"}}, "dataset.columns has feeling; columns are path, emotion, speaker,"),
        ({"columns": "emotion"}, "dataset.columns=emotion must be a table: 'dataset.columns={emotion: EmoClass}'"),
        (
            {"codes": {"path": {"a": "b"}}},
            "dataset.codes has path: {'a': 'b'}; it can have a table for each of emotion,",
        ),
        ({"codes": {"emotion": {"W": "anger"}}}, "lists no clips: dataset.codes lists none of its emotions (sad)"),
    ],
)
def test_options_that_can_not_be_are_refused(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    path = manifest(tmp_path, "path,emotion", "a.wav,sad")
    with pytest.raises(CorpusError) as caught:
        read(path, **options)
    assert words in str(caught.value)


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


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("ann", "Ann", "'Ann' = 'ann'"),
        ("1001", "1001.0", "'1001' = '1001.0'"),
        ("7", "007", "'007' = '7'"),
        ("Zo\u00eb", "Zoe\u0308", "'Zoe\\u0308' = 'Zo\\xeb'"),
        ("Ann Lee", "Ann\u00a0Lee", "'Ann Lee' = 'Ann\\xa0Lee'"),
        ("Ann Lee", "Ann  Lee", "'Ann  Lee' = 'Ann Lee'"),
        ("ann", "\uff21nn\u200b", "'ann' = '\uff21nn\\u200b'"),
        ("STRA\u00dfE", "strasse", "'STRA\u00dfE' = 'strasse'"),
    ],
)
@pytest.mark.parametrize("column", ["speaker", "session"])
def test_two_spellings_of_one_name_are_one_and_said(
    tmp_path: Path, one: str, other: str, shown: str, column: str
) -> None:
    rows = [f"{i}.wav,sad,{name}" for i, name in enumerate((one, other, one, "bob"))]
    clips, notes = told(manifest(tmp_path, f"path,emotion,{column}", *rows))
    assert [getattr(clip, column) for clip in clips] == [one, one, one, "bob"]
    assert len(notes) == 1
    assert notes[0].startswith(f"{column}: 1 in several spellings, each taken for one: ")
    assert sorted(notes[0].split(": ")[-1].split(" = ")) == sorted(shown.split(" = "))


def test_names_that_only_look_alike_stay_apart(tmp_path: Path) -> None:
    names = ["ann", "anna", "10", "100", "1.5", "1.50", "a/1", "b/1", "0", "m\u00fcller", "muller"]
    rows = [f"{i}.wav,sad,{name}" for i, name in enumerate(names)]
    clips, notes = told(manifest(tmp_path, "path,emotion,speaker", *rows))
    assert [clip.speaker for clip in clips] == names
    assert notes == []


def test_emotions_are_merged_likewise(tmp_path: Path) -> None:
    rows = [
        f"{i}.wav,{name}"
        for i, name in enumerate(("Very Sad", "very\u00a0sad", "VERY  SAD", "Very Sad", "1", "1.0", "1"))
    ]
    clips, notes = told(manifest(tmp_path, "path,emotion", *rows))
    assert [clip.emotion for clip in clips] == ["very sad"] * 4 + ["1"] * 3
    assert "emotion: 2 in several spellings" in notes[0]


@pytest.mark.parametrize(
    "word", ["?", "nan", "NaN", "None", "unknown", "n/a", "N/A", "-", "\u2013", "<NA>", "#N/A", "null"]
)
@pytest.mark.parametrize("column", [*KNOWN, "age"])
def test_words_that_say_nothing_is_known_are_empty_and_counted(tmp_path: Path, word: str, column: str) -> None:
    clips, notes = told(manifest(tmp_path, f"path,emotion,{column}", f"a.wav,sad,{word}", f"b.wav,sad,{word}"))
    assert [getattr(clip, column) for clip in clips] == [None, None]
    assert notes == [f"taken for not known: 2 {column} {word!r}"]


@pytest.mark.parametrize("name", ["nancy", "nana", "Noone", "J.-P.", "-1", "x"])
def test_names_are_no_such_words(tmp_path: Path, name: str) -> None:
    clips, notes = told(manifest(tmp_path, "path,emotion,speaker", f"a.wav,sad,{name}"))
    assert (clips[0].speaker, notes) == (name, [])


@pytest.mark.parametrize(
    ("headings", "as_told"),
    [
        ("Path,Emotion,Speaker", "'Path' as path, 'Emotion' as emotion, 'Speaker' as speaker"),
        ("file,label,speaker_id", "'file' as path, 'label' as emotion, 'speaker_id' as speaker"),
        ("File Name,class,Actor-ID", "'File Name' as path, 'class' as emotion, 'Actor-ID' as speaker"),
    ],
)
def test_common_headings_are_taken_and_said(tmp_path: Path, headings: str, as_told: str) -> None:
    clips, notes = told(manifest(tmp_path, headings, "a.wav,sad,Ann"))
    assert clips == [Clip("a.wav", tmp_path / "a.wav", "sad", speaker="Ann")]
    assert notes == [f"columns are read under other headings: {as_told}"]


def test_columns_that_are_not_used_are_named(tmp_path: Path) -> None:
    clips, notes = told(manifest(tmp_path, "path,emotion,file,gender,take", "a.wav,sad,b.wav,Female,3"))
    assert clips == [Clip("a.wav", tmp_path / "a.wav", "sad", sex="female")]
    assert notes == [
        "columns are read under other headings: 'gender' as sex",
        "columns that are not used: 'file', 'take'",
    ]


@pytest.mark.parametrize("headings", ["path,emotion,emotion", "path,label,class", "path,emotion,spk,actor"])
def test_two_headings_of_one_meaning_are_refused(tmp_path: Path, headings: str) -> None:
    assert "both mean" in refusal(manifest(tmp_path, headings, "a.wav,sad,sad,sad"))


@pytest.mark.parametrize("headings", ["start,end", "Start_Time,End_Time", "onset,offset", "begin,end (s)"])
def test_labels_of_parts_of_files_are_refused_with_the_remedy(tmp_path: Path, headings: str) -> None:
    message = refusal(manifest(tmp_path, f"path,{headings},emotion", "a.wav,0.3,1.2,sad"))
    assert f"its columns {headings.replace(',', ', ')} tell which part of a file" in message
    assert "ffmpeg -i FILE -ss START -to END" in message


def test_a_row_with_a_cell_too_many_is_refused_with_its_line(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path,emotion,speaker", "a.wav,sad,1,,", "clips/a,b.wav,anger,1001")
    assert "line 3 has 4 cells, and the first row names 3 columns: put what has a comma in it" in refusal(path)


def test_whole_years_may_be_written_as_numbers_with_a_point(tmp_path: Path) -> None:
    assert [clip.age for clip in read(manifest(tmp_path, "path,emotion,age", "a.wav,sad,30.0"))] == [30]


def test_addresses_and_backslashes_are_paths(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a b.wav").touch()
    (tmp_path / "back\\slash.wav").touch()
    address = (tmp_path / "sub" / "a b.wav").as_uri()
    assert [clip.path for clip in read(manifest(tmp_path, "path,emotion", f"{address},sad"))] == [
        tmp_path / "sub" / "a b.wav"
    ]
    clips = read(manifest(tmp_path, "path,emotion", "sub\\a b.wav,sad", "back\\slash.wav,sad"))
    assert [clip.path for clip in clips] == [tmp_path / "sub" / "a b.wav", tmp_path / "back\\slash.wav"]


def test_a_long_chain_of_originals_takes_no_time(tmp_path: Path) -> None:
    rows = ["0.wav,sad,", *(f"{i}.wav,sad,{i - 1}.wav" for i in range(1, 5000))]
    with pytest.MonkeyPatch.context() as patch:
        calls, resolve = [], Path.resolve
        patch.setattr(Path, "resolve", lambda path: calls.append(path) or resolve(path))
        clips = read(manifest(tmp_path, "path,emotion,original", *reversed(rows)))
    assert {clip.original for clip in clips} == {"0.wav", None}
    assert len(calls) <= 5 * len(rows)


def test_copies_of_a_file_that_is_not_listed_belong_together_however_it_is_written(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path,emotion,original", "a.wav,sad,lost.wav", "b.wav,sad,./lost.wav", "c.wav,sad,a.wav")
    assert [clip.original for clip in read(path)] == ["lost.wav"] * 3


def test_what_is_said_is_a_warning(tmp_path: Path) -> None:
    with pytest.warns(CorpusWarning, match="columns that are not used: 'take'"):
        read(manifest(tmp_path, "path,emotion,take", "a.wav,sad,1"))


@pytest.mark.parametrize("row", ['"b.wav,sad', '"b.wav,sad\nc.wav,sad\n"d.wav,sad'])
def test_a_quote_that_is_not_closed_swallows_no_rows(tmp_path: Path, row: str) -> None:
    assert "can't be read as a UTF-8 CSV" in refusal(manifest(tmp_path, "path,emotion", "a.wav,sad", row, "e.wav,sad"))
