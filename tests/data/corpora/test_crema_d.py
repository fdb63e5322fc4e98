import os
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest

from ser.data.corpora.clip import SUFFIXES, Clip, CorpusError
from ser.data.corpora.crema_d import ACTORS, EMOTIONS, REPOSITORY, VOTES, read
from tests.data.corpora.tester import CorpusTester, touch

pytestmark = pytest.mark.usefixtures("strict")


class TestCremaD(CorpusTester):
    read = staticmethod(read)
    home = REPOSITORY
    examples = ("1001_DFA_ANG_XX.wav",)
    kept = "1001_DFA_ANG_XX"
    emotions: ClassVar = {
        "1001_DFA_ANG_XX.wav": "anger",
        "1001_DFA_DIS_XX.wav": "disgust",
        "1001_DFA_FEA_XX.wav": "fear",
        "1001_DFA_HAP_XX.wav": "happy",
        "1001_DFA_NEU_XX.wav": "neutral",
        "1001_DFA_SAD_XX.wav": "sad",
    }
    strays: ClassVar = (
        "1001_DFA_ANG_XX (1).wav",
        "1001_DFA_ANG_XX copy.wav",
        "Copy of 1001_DFA_ANG_XX.wav",
        "1001_DFA_JOY_XX.wav",
        "1001_DFA_ANG.wav",
        "1001_DFA_ANG_XXX.wav",
        "1001_DFA_ANG_ZZ.wav",
        "101_DFA_ANG_XX.wav",
        "noise.mp3",
    )
    empty: ClassVar = ([], ["happy/1.wav", "sad/2.wav"], ["1001_DFA_ANG_XX.txt"])
    suffixes: ClassVar = (*SUFFIXES, ".WAV", ".Flac")


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


@pytest.mark.parametrize("level", ["LO", "MD", "HI", "XX"])
def test_every_intensity(tmp_path: Path, level: str) -> None:
    touch(tmp_path, f"1001_IEO_SAD_{level}.wav")
    assert [clip.intensity for clip in read(tmp_path)] == [level]


def test_the_clip_with_a_level_of_one_letter_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, "1040_ITH_SAD_X.wav")
    (clip,) = read(tmp_path)
    assert (clip.name, clip.speaker, clip.emotion, clip.intensity) == ("1040_ITH_SAD_X", "1040", "sad", "XX")


def test_clips_are_found_in_sub_folders_and_sorted_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "z/1001_DFA_ANG_XX.wav", "a/1003_DFA_ANG_XX.wav", "1002_DFA_ANG_XX.wav", "a/b/1002_DFA_SAD_XX.wav")
    assert [clip.name for clip in read(tmp_path)] == [
        "1001_DFA_ANG_XX",
        "1002_DFA_ANG_XX",
        "1002_DFA_SAD_XX",
        "1003_DFA_ANG_XX",
    ]


def test_one_warning_tells_how_many_strays_there_are(tmp_path: Path) -> None:
    touch(tmp_path, "1001_DFA_ANG_XX.wav", "b.wav", "a.wav", "c.flac")
    with pytest.warns(UserWarning, match="left out 3 sound files .*'a.wav'") as caught:
        read(tmp_path)
    assert len(caught) == 1


def test_what_is_no_sound_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "1001_DFA_ANG_XX.wav", "1001_DFA_ANG_XX.flv", "SentenceFilenames.csv", "LICENSE")
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


ACTOR_ROWS = (
    '"ActorID","Age","Sex","Race","Ethnicity"',
    '1001,51,"Male","Caucasian","Not Hispanic"',
    '1002,21,"Female","African American","Hispanic"',
)

VOTE_ROWS = (
    '"","A","D","F","H","N","S","fileName","numResponses"',
    '"100001",1,2,3,4,5,6,"1001_DFA_ANG_XX",21',
    '"100002",0,0,0,0,9,0,"1002_DFA_SAD_XX",9',
    '"200001",9,9,9,9,9,9,"1001_DFA_ANG_XX",54',
    '"300001",8,8,8,8,8,8,"1001_DFA_ANG_XX",48',
    '"200003",7,7,7,7,7,7,"1003_DFA_SAD_XX",42',
)

FIRST_VOTES = {"anger": 1, "disgust": 2, "fear": 3, "happy": 4, "neutral": 5, "sad": 6}


def table(path: Path, *rows: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join([*rows, ""]).encode(encoding))
    return path


def tables(folder: Path) -> None:
    table(folder / ACTORS, *ACTOR_ROWS)
    table(folder / VOTES, *VOTE_ROWS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three clips, by three actors, below a folder that may hold tables."""
    touch(tmp_path, *(f"AudioWAV/{name}.wav" for name in ("1001_DFA_ANG_XX", "1002_DFA_SAD_XX", "1003_DFA_SAD_XX")))
    return tmp_path / "AudioWAV"


def refusal(root: Path, metadata: Path | None = None) -> str:
    with pytest.raises(CorpusError) as caught:
        read(root, metadata)
    return str(caught.value)


@pytest.mark.parametrize("place", ["AudioWAV", ".", "AudioWAV/processedResults", "processedResults"])
def test_tables_beside_the_clips_are_found(root: Path, place: str) -> None:
    tables(root.parent / place)
    first, second, third = read(root)
    assert (first.age, first.sex, first.race, first.ethnicity) == (51, "male", "caucasian", "not hispanic")
    assert (second.age, second.sex, second.race, second.ethnicity) == (21, "female", "african american", "hispanic")
    assert first.votes == FIRST_VOTES
    assert second.votes == {"anger": 0, "disgust": 0, "fear": 0, "happy": 0, "neutral": 9, "sad": 0}
    assert (third.age, third.sex, third.race, third.ethnicity, third.votes) == (None,) * 5, "not in the tables"


def test_the_two_tables_are_found_where_the_repository_has_them(root: Path) -> None:
    table(root.parent / ACTORS, *ACTOR_ROWS)
    table(root.parent / "processedResults" / VOTES, *VOTE_ROWS)
    first = read(root)[0]
    assert (first.age, first.votes) == (51, FIRST_VOTES)


def test_the_clips_own_folder_comes_before_its_parent(root: Path) -> None:
    tables(root.parent)
    table(root / ACTORS, ACTOR_ROWS[0], "1001,18,Male,Asian,Hispanic")
    first, second, _ = read(root)
    assert (first.age, second.age) == (18, None)


def test_tables_further_off_are_not_looked_for(root: Path) -> None:
    tables(root.parent / "other")
    tables(root / "deep" / "deeper")
    assert all(clip.age is None and clip.votes is None for clip in read(root))


def test_without_tables_nothing_is_known_of_actors_and_votes(root: Path) -> None:
    for clip in read(root):
        assert (clip.age, clip.sex, clip.race, clip.ethnicity, clip.votes) == (None,) * 5


def test_one_table_of_the_two_is_used_alone(root: Path) -> None:
    table(root / ACTORS, *ACTOR_ROWS)
    assert [(clip.age, clip.votes) for clip in read(root)] == [(51, None), (21, None), (None, None)]
    (root / ACTORS).unlink()
    table(root / VOTES, *VOTE_ROWS)
    assert [(clip.age, clip.votes is None) for clip in read(root)] == [(None, False), (None, False), (None, True)]


@pytest.mark.parametrize("inside", ["", "processedResults"])
def test_metadata_is_the_only_place_where_it_is_given(root: Path, inside: str) -> None:
    tables(root)
    table(root.parent / "mine" / ACTORS, ACTOR_ROWS[0], "1001,18,Male,Asian,Hispanic")
    table(root.parent / "mine" / inside / VOTES, *VOTE_ROWS)
    first = read(root, root.parent / "mine")[0]
    assert (first.age, first.votes) == (18, FIRST_VOTES)
    assert read(root)[0].age == 51


@pytest.mark.parametrize("lacking", [ACTORS, VOTES])
def test_metadata_without_a_table_is_an_error(root: Path, lacking: str) -> None:
    tables(root)
    tables(root.parent / "mine")
    (root.parent / "mine" / lacking).unlink()
    message = refusal(root, root.parent / "mine")
    assert f"dataset.metadata={root.parent / 'mine'} does not hold {lacking}" in message
    assert REPOSITORY in message
    assert "does not hold" in refusal(root, root.parent / "nowhere")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_columns_in_another_order_and_others_between_them(root: Path, encoding: str) -> None:
    table(root / ACTORS, "Sex,Note,Ethnicity,Age,Race,ActorID", "Male,x,Hispanic,33,Asian,1001", encoding=encoding)
    table(root / VOTES, "fileName,S,N,H,F,D,A,", "1001_DFA_ANG_XX,6,5,4,3,2,1,100001")
    first = read(root)[0]
    assert (first.age, first.sex, first.race, first.ethnicity) == (33, "male", "asian", "hispanic")
    assert first.votes == FIRST_VOTES


@pytest.mark.parametrize("column", ["ActorID", "Age", "Sex", "Race", "Ethnicity"])
def test_a_table_of_actors_without_a_column_is_an_error_that_names_both(root: Path, column: str) -> None:
    path = table(root / ACTORS, ACTOR_ROWS[0].replace(column, "other"), ACTOR_ROWS[1])
    message = refusal(root)
    assert f"{path} has no column {column};" in message
    assert REPOSITORY in message


@pytest.mark.parametrize("column", ["", "A", "D", "F", "H", "N", "S", "fileName"])
def test_a_table_of_votes_without_a_column_is_an_error_that_names_both(root: Path, column: str) -> None:
    path = table(root / VOTES, VOTE_ROWS[0].replace(f'"{column}"', '"other"'), VOTE_ROWS[1])
    assert f"{path} has no column {column};" in refusal(root)


def test_an_empty_table_has_no_columns(root: Path) -> None:
    (root / VOTES).touch()
    assert f"{root / VOTES} has no column , A, D, F, H, N, S, fileName;" in refusal(root)


@pytest.mark.parametrize("age", ["", "fifty", "51.5", "NA"])
def test_an_age_that_is_no_number_is_an_error_with_the_file_and_the_actor(root: Path, age: str) -> None:
    path = table(root / ACTORS, *ACTOR_ROWS, f"1003,{age},Male,Asian,Hispanic")
    assert f"{path}: actor 1003 has the age {age!r}" in refusal(root)


@pytest.mark.parametrize("votes", ["", "many", "1.5", "NA"])
def test_votes_that_are_no_numbers_are_an_error_with_the_file_and_the_clip(root: Path, votes: str) -> None:
    path = table(root / VOTES, *VOTE_ROWS, f"100003,0,0,0,{votes},0,0,1003_DFA_SAD_XX,9")
    assert f"{path}: votes of 1003_DFA_SAD_XX are not whole numbers" in refusal(root)
    table(root / VOTES, *VOTE_ROWS, f"200003,0,0,0,{votes},0,0,1003_DFA_SAD_XX,9")
    assert read(root)[0].votes == FIRST_VOTES, "what raters saw is not read"


@pytest.mark.parametrize("name", [ACTORS, VOTES])
def test_a_table_that_is_no_utf_8_is_an_error_with_the_file(root: Path, name: str) -> None:
    (root / name).write_bytes(b"ActorID,Age\n1001,\xe9\n")
    path = table(root / name, *(ACTOR_ROWS if name == ACTORS else VOTE_ROWS), encoding="utf-16")
    assert f"{path} can't be read as a UTF-8 CSV" in refusal(root)


def test_the_clip_with_a_level_of_one_letter_has_the_votes_of_that_name(root: Path) -> None:
    touch(root, "1040_ITH_SAD_X.wav")
    table(root / VOTES, *VOTE_ROWS, "103234,0,0,2,0,5,3,1040_ITH_SAD_X,10")
    (clip,) = (clip for clip in read(root) if clip.speaker == "1040")
    assert clip.votes == {"anger": 0, "disgust": 0, "fear": 2, "happy": 0, "neutral": 5, "sad": 3}
    (root / "1040_ITH_SAD_X.wav").rename(root / "1040_ITH_SAD_XX.wav")
    (clip,) = (clip for clip in read(root) if clip.speaker == "1040")
    assert clip.votes == {"anger": 0, "disgust": 0, "fear": 2, "happy": 0, "neutral": 5, "sad": 3}


def test_the_real_tables_know_every_real_clip(real_clips: list[Clip]) -> None:
    folder = Path(os.environ["SER_TEST_DATA"]) / "crema_d_meta"
    if not folder.is_dir():
        pytest.skip("no tables: set SER_TEST_DATA to a folder that holds crema_d_meta")
    clips = read(real_clips[0].path.parent, folder)
    assert [clip.name for clip in clips] == [clip.name for clip in real_clips]
    by_actor = {clip.speaker: clip for clip in clips}
    assert Counter(clip.sex for clip in by_actor.values()) == {"male": 48, "female": 43}
    assert all(clip.age is not None and 18 <= clip.age <= 80 for clip in clips)
    assert {clip.ethnicity for clip in clips} == {"hispanic", "not hispanic"}
    assert all(clip.race == str(clip.race).lower() != "" for clip in clips)
    for clip in clips:
        assert clip.votes is not None
        assert set(clip.votes) == set(EMOTIONS.values())
        assert 4 <= sum(clip.votes.values()) <= 20
    assert (by_actor["1001"].age, by_actor["1001"].sex, by_actor["1001"].race) == (51, "male", "caucasian")
    (first,) = (clip for clip in clips if clip.name == "1001_DFA_FEA_XX")
    assert first.votes == {"anger": 2, "disgust": 0, "fear": 5, "happy": 0, "neutral": 2, "sad": 0}
    agreed = sum(clip.votes is not None and clip.votes[clip.emotion] == max(clip.votes.values()) for clip in clips)
    assert 0.4 < agreed / len(clips) < 0.65, "raters heard only the voice"


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("VideoDemographics.csv", "ActorID,Age,Sex,Race,Ethnicity\n1001,30\n"),
        ("VideoDemographics.csv", "ActorID,Age,Sex,Race,Ethnicity\n1001,-5,Male,Asian,Hispanic\n"),
        ("tabulatedVotes.csv", '"",A,D,F,H,N,S,fileName\n100001,0,0\n'),
    ],
)
def test_a_damaged_row_of_a_table_names_the_table(tmp_path: Path, table: str, text: str) -> None:
    touch(tmp_path, "1001_DFA_ANG_XX.wav")
    (tmp_path / table).write_text(text)
    with pytest.raises(CorpusError, match=table):
        read(tmp_path)


def test_tables_in_the_parent_are_found_from_within_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "AudioWAV/1001_DFA_ANG_XX.wav")
    (tmp_path / "VideoDemographics.csv").write_text("ActorID,Age,Sex,Race,Ethnicity\n1001,30,Male,,Hispanic\n")
    monkeypatch.chdir(tmp_path / "AudioWAV")
    (clip,) = read(Path())
    assert (clip.age, clip.sex, clip.race) == (30, "male", None)


def test_an_age_of_more_than_three_digits_is_refused(root: Path) -> None:
    tables(root)
    table(root / ACTORS, ACTOR_ROWS[0], f"1001,{'9' * 5000},Male,Asian,Hispanic")
    assert "whole years are wanted" in refusal(root)
