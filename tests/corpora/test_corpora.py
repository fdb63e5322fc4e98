from pathlib import Path

import pytest

from ser.corpora import READERS, Clip, CorpusError, find_root, read_corpora
from ser.corpora.crema_d import REPOSITORY


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
    assert "crema_d, demo, emodb, folder, iemocap, manifest, ravdess, savee, tess" in message
    with pytest.raises(CorpusError, match="'librispeech'"):
        read_corpora({"name": "librispeech", "root": None})


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
