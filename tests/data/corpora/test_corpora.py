import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ser.data.corpora import HOMES, ON_REQUEST, READERS, SEVERAL, Clip, CorpusError, find_root, read_corpora
from ser.data.corpora.crema_d import ACTORS, REPOSITORY, VOTES
from ser.data.corpora.sources import SOURCES


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and no SER_DATA."""
    monkeypatch.delenv("SER_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ser_data(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = elsewhere / "corpora"
    folder.mkdir()
    monkeypatch.setenv("SER_DATA", str(folder))
    return folder


def refusal(name: str, root: str | None = None) -> str:
    with pytest.raises(CorpusError) as caught:
        find_root(name, root)
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(READERS))
def test_data_below_the_working_folder_is_looked_in(elsewhere: Path, name: str) -> None:
    (elsewhere / "data" / name).mkdir(parents=True)
    assert find_root(name) == Path("data") / name


@pytest.mark.parametrize("name", sorted(READERS))
def test_ser_data_is_looked_in(ser_data: Path, name: str) -> None:
    (ser_data / name).mkdir()
    assert find_root(name) == ser_data / name


def test_data_comes_before_ser_data(elsewhere: Path, ser_data: Path) -> None:
    (elsewhere / "data" / "crema_d").mkdir(parents=True)
    (ser_data / "crema_d").mkdir()
    assert find_root("crema_d") == Path("data/crema_d")


def test_a_root_that_is_given_is_the_only_place(elsewhere: Path, ser_data: Path) -> None:
    for place in (elsewhere / "data" / "crema_d", ser_data / "crema_d", elsewhere / "mine"):
        place.mkdir(parents=True)
    assert find_root("crema_d", "mine") == Path("mine")
    message = refusal("crema_d", "nowhere")
    assert "crema_d is not at nowhere:" in message
    assert str(ser_data) not in message


def test_a_corpus_in_no_place_names_every_place_and_what_to_do(ser_data: Path) -> None:
    message = refusal("crema_d")
    assert f"crema_d is not at {Path('data/crema_d')} or {ser_data / 'crema_d'}" in message
    assert "dataset.root=" in message
    assert "python scripts/download.py crema_d" in message
    assert "$SER_DATA/crema_d" in message
    assert REPOSITORY in message

    assert "python train.py dataset=demo" in message


@pytest.mark.parametrize("value", [None, ""])
def test_without_ser_data_one_place_is_named(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is not None:
        monkeypatch.setenv("SER_DATA", value)
    assert f"not at {Path('data/crema_d')}:" in refusal("crema_d")


@pytest.mark.parametrize(
    ("name", "advice"),
    [("folder", "one sub-folder an emotion"), ("manifest", "a CSV with the columns path and emotion")],
)
def test_your_own_corpora_are_explained(name: str, advice: str) -> None:
    assert advice in refusal(name)
    assert advice in refusal(name, "nowhere")


def test_the_demo_needs_no_place_to_be_there(ser_data: Path) -> None:
    assert find_root("demo") == Path("data/demo")
    assert find_root("demo", "mine") == Path("mine")
    (ser_data / "demo").mkdir()
    assert find_root("demo") == ser_data / "demo"


def test_no_corpus_of_that_name() -> None:
    message = refusal("librispeech")
    assert "'librispeech'" in message
    assert ", ".join(sorted(READERS)) in message
    with pytest.raises(CorpusError, match="'librispeech'"):
        read_corpora({"name": "librispeech", "root": None})


def test_a_reader_gets_its_options_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(root: Path, take: str = "first") -> list[Clip]:
        return [Clip(take, root / "clip.wav", "sad")]

    monkeypatch.setitem(READERS, "demo", read)
    shared = {"name": "demo", "root": str(tmp_path), "voice": "speaker", "strict": False}
    assert [clip.name for clip in read_corpora(shared)] == ["first"]
    assert [clip.name for clip in read_corpora({**shared, "take": "second"})] == ["second"]
    with pytest.raises(CorpusError, match="only crema_d has tables beside its clips, not demo"):
        read_corpora({**shared, "metadata": "tables"})


def test_a_corpus_is_found_and_read_by_its_reader(elsewhere: Path, ser_data: Path) -> None:
    (ser_data / "crema_d" / "AudioWAV").mkdir(parents=True)
    (ser_data / "crema_d" / "AudioWAV" / "1001_DFA_ANG_XX.wav").touch()
    (clip,) = read_corpora({"name": "crema_d", "root": None})
    assert (clip.name, clip.emotion, clip.speaker) == ("1001_DFA_ANG_XX", "anger", "1001")

    for emotion in ("happy", "sad"):
        (elsewhere / "mine" / emotion).mkdir(parents=True)
        (elsewhere / "mine" / emotion / "1.wav").touch()
    assert [clip.name for clip in read_corpora({"name": "folder", "root": "mine"})] == ["happy/1.wav", "sad/1.wav"]

    (elsewhere / "mine.csv").write_text("path,emotion,speaker\nmine/sad/1.wav,sad,Ann\n")
    clip = Clip("mine/sad/1.wav", Path("mine/sad/1.wav"), "sad", "Ann", "manifest")
    assert read_corpora({"name": "manifest", "root": "mine.csv"}) == [clip]


def test_a_corpus_that_is_something_else_is_an_error(elsewhere: Path) -> None:
    (elsewhere / "data" / "crema_d").mkdir(parents=True)
    with pytest.raises(CorpusError, match="holds no clip named as CREMA-D names them"):
        read_corpora({"name": "crema_d", "root": None})


@pytest.mark.parametrize("name", ["iemocap", "savee"])
def test_corpora_that_are_given_to_those_who_ask_are_to_be_asked_for(name: str) -> None:
    message = refusal(name)
    assert f"ask for it at {HOMES[name]}" in message
    assert "scripts/download.py" not in message
    assert f"$SER_DATA/{name}" in message
    assert "python train.py dataset=demo" in message


def test_all_others_that_have_a_home_can_be_had_there() -> None:
    assert sorted(ON_REQUEST) == ["casia", "esd", "iemocap", "savee"]
    assert sorted(SOURCES) == ["crema_d", "emodb", "ravdess", "tess"]
    for name in set(HOMES) - ON_REQUEST - set(SOURCES):
        assert f"get it at {HOMES[name]}" in refusal(name)
        assert "scripts/download.py" not in refusal(name)
    for name in SOURCES:
        assert f"python scripts/download.py {name} gets it from {HOMES[name]}" in refusal(name)


def lay(root: Path, *names: str) -> Path:
    """Empty files below ``root``."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def lay_tables(folder: Path, age: int = 30) -> Path:
    """The two tables of CREMA-D, for actor 1001 and one clip."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ACTORS).write_text(f"ActorID,Age,Sex,Race,Ethnicity\n1001,{age},Male,Asian,Hispanic\n", encoding="utf-8")
    (folder / VOTES).write_text(",A,D,F,H,N,S,fileName\n1,5,0,0,0,1,0,1001_DFA_ANG_XX\n", encoding="utf-8")
    return folder


def several(names: Any = ("crema_d", "manifest"), **given: Any) -> dict[str, Any]:
    return {"name": SEVERAL, "names": list(names), "roots": None, "metadata": None} | given


@pytest.fixture
def two(elsewhere: Path) -> Path:
    """CREMA-D and a manifest where they are looked for."""
    lay(elsewhere / "data" / "crema_d", "1001_DFA_ANG_XX.wav", "1002_DFA_SAD_XX.wav")
    (elsewhere / "data" / "manifest").write_text(
        "path,emotion,speaker,session,sentence,original,split\n"
        "a.wav,anger,1001,1,DFA,,train\n"
        "b.wav,sad,1001,2,DFA,a.wav,test\n"
        "c.wav,sad,,,,,\n",
        encoding="utf-8",
    )
    return elsewhere


@pytest.mark.usefixtures("two")
def test_clips_of_several_corpora_carry_their_corpus() -> None:
    place = Path("data/crema_d")
    assert read_corpora(several()) == [
        Clip(
            name="crema_d/1001_DFA_ANG_XX",
            path=place / "1001_DFA_ANG_XX.wav",
            emotion="anger",
            speaker="crema_d/1001",
            corpus="crema_d",
            sentence="DFA",
            intensity="XX",
        ),
        Clip(
            name="crema_d/1002_DFA_SAD_XX",
            path=place / "1002_DFA_SAD_XX.wav",
            emotion="sad",
            speaker="crema_d/1002",
            corpus="crema_d",
            sentence="DFA",
            intensity="XX",
        ),
        Clip(
            name="manifest/a.wav",
            path=Path("data/a.wav"),
            emotion="anger",
            speaker="manifest/1001",
            corpus="manifest",
            session="manifest/1",
            sentence="DFA",
            split="train",
        ),
        Clip(
            name="manifest/b.wav",
            path=Path("data/b.wav"),
            emotion="sad",
            speaker="manifest/1001",
            corpus="manifest",
            session="manifest/2",
            sentence="DFA",
            original="manifest/a.wav",
            split="test",
        ),
        Clip(name="manifest/c.wav", path=Path("data/c.wav"), emotion="sad", corpus="manifest"),
    ]


@pytest.mark.usefixtures("two")
def test_corpora_come_in_the_order_they_are_listed() -> None:
    assert [clip.corpus for clip in read_corpora(several(["manifest", "crema_d"]))] == ["manifest"] * 3 + [
        "crema_d"
    ] * 2


@pytest.mark.usefixtures("two")
def test_clips_of_one_corpus_carry_no_more_than_its_name_in_corpus() -> None:
    clips = read_corpora({"name": "manifest", "root": None})
    assert [clip.corpus for clip in clips] == ["manifest"] * 3
    assert [clip.name for clip in clips] == ["a.wav", "b.wav", "c.wav"]
    assert [clip.speaker for clip in clips] == ["1001", "1001", None]
    assert [clip.original for clip in clips] == [None, "a.wav", None]
    assert [clip.session for clip in clips] == ["1", "2", None]


def test_each_corpus_has_its_root(two: Path) -> None:
    lay(two / "mine", "1003_DFA_ANG_XX.wav")
    clips = read_corpora(several(roots={"crema_d": "mine"}))
    assert [clip.name for clip in clips if clip.corpus == "crema_d"] == ["crema_d/1003_DFA_ANG_XX"]
    assert sum(clip.corpus == "manifest" for clip in clips) == 3
    with pytest.raises(CorpusError, match="crema_d is not at nowhere:"):
        read_corpora(several(roots={"crema_d": "nowhere"}))


def test_each_corpus_has_its_metadata(two: Path) -> None:
    lay_tables(two / "tables", 30)
    assert [clip.age for clip in read_corpora(several(metadata={"crema_d": "tables"}))] == [30, None, None, None, None]
    assert [clip.age for clip in read_corpora(several(metadata={"crema_d": None}))] == [None] * 5
    lay_tables(two / "data" / "crema_d", 50)
    assert [clip.age for clip in read_corpora(several())] == [50, None, None, None, None]
    clips = read_corpora(several(metadata={"crema_d": "tables"}))
    assert [clip.age for clip in clips] == [30, None, None, None, None]
    assert clips[0].votes == {"anger": 5, "disgust": 0, "fear": 0, "happy": 0, "neutral": 1, "sad": 0}


def test_metadata_is_for_corpora_that_have_tables(two: Path) -> None:
    lay_tables(two / "tables")
    (clip, _) = read_corpora({"name": "crema_d", "root": None, "metadata": "tables"})
    assert (clip.age, clip.sex) == (30, "male")
    for dataset in ({"name": "manifest", "root": None, "metadata": "tables"}, several(metadata={"manifest": "tables"})):
        with pytest.raises(CorpusError, match=r"dataset\.metadata=tables: only crema_d has tables .* not manifest"):
            read_corpora(dataset)


def test_metadata_in_the_home_folder(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(two / "home"))
    lay_tables(two / "home" / "tables", 44)
    assert read_corpora({"name": "crema_d", "root": None, "metadata": "~/tables"})[0].age == 44
    lay(two / "home" / "clips", "1003_DFA_ANG_XX.wav")
    assert read_corpora({"name": "crema_d", "root": "~/clips"})[0].name == "1003_DFA_ANG_XX"


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    "names",
    [[], ["crema_d"], ["crema_d", "crema_d"], ["crema_d", "manifest", "crema_d"], "crema_d", "crema_d,manifest"],
)
def test_corpora_that_are_not_several_are_refused(names: Sequence[str]) -> None:
    with pytest.raises(CorpusError) as caught:
        read_corpora(several() | {"names": names})
    assert f"dataset.names={names} must list two or more corpora, each once: [crema_d,ravdess]" in str(caught.value)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("option", ["roots", "metadata"])
def test_a_root_or_metadata_of_a_corpus_that_is_not_listed_is_refused(option: str) -> None:
    with pytest.raises(CorpusError) as caught:
        read_corpora(several() | {option: {"savee": "a", "ravdess": "b", "crema_d": None}})
    message = str(caught.value)
    assert f"dataset.{option} names ravdess, savee, which dataset.names=['crema_d', 'manifest'] does not" in message
    with pytest.raises(CorpusError, match=rf"dataset\.{option} names "):
        read_corpora(several() | {option: "somewhere"})


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("unknown", ["multi", "librispeech", "emodb"])
def test_one_of_several_that_is_not_known_or_not_there_is_named(unknown: str) -> None:
    with pytest.raises(CorpusError, match=unknown):
        read_corpora(several(["crema_d", unknown]))


def test_a_clip_whose_name_is_not_utf_8_is_named_with_what_to_do(tmp_path: Path) -> None:
    root = lay(tmp_path / "mine", "sad/a.wav", "happy/b.wav", os.fsdecode(b"happy/\xff.wav"))
    with pytest.raises(CorpusError, match=r"happy/\\udcff\.wav: its name is not UTF-8, .*: rename it"):
        read_corpora({"name": "folder", "root": str(root)})
