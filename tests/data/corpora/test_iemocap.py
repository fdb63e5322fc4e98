from collections import Counter
from pathlib import Path

import pytest

from ser.data.corpora.clip import EMOTIONS as VOCABULARY
from ser.data.corpora.clip import Clip, CorpusError
from ser.data.corpora.iemocap import HOME, read

pytestmark = pytest.mark.usefixtures("strict")

HEAD = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"

DETAIL = """\
C-E2:\tNeutral;\t()
C-E3:\tNeutral;\t()
C-E4:\tNeutral;\t(a bit curious\u2026)
C-F1:\tNeutral; Sadness;\t()
A-E3:\tval 3; act 2; dom  2;\t()
A-E4:\tval 2; act 3; dom  3;\t(mildly aggravated but staying polite, attitude)
A-F1:\tval 3; act 2; dom  1;\t()

"""

DIALOGS = {
    "Ses01F_impro01": {"F000": "neu", "F012": "ang", "M003": "fru", "M011": "xxx"},
    "Ses02M_script02_2": {"F000": "sad", "M010": "sad", "M035": "hap"},
    "Ses03M_impro05a": {"F017": "exc", "M001": "oth"},
    "Ses04F_script01_3": {"F004": "dis", "M032": "sur"},
    "Ses05M_script01_1b": {"F003": "fea", "M028": "neu"},
}
"""Names as in the release."""


def labels_of(dialog: str, root: Path) -> Path:
    return root / f"Session{dialog[4]}" / "dialog" / "EmoEvaluation" / f"{dialog}.txt"


def sound_of(utterance: str, root: Path) -> Path:
    return root / f"Session{utterance[4]}" / "sentences" / "wav" / utterance.rpartition("_")[0] / f"{utterance}.wav"


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def line(utterance: str, label: str, start: float = 6.2901) -> str:
    return f"[{start:.4f} - {start + 1.9456:.4f}]\t{utterance}\t{label}\t[2.5000, 2.5000, 2.5000]\n"


def make(root: Path, dialogs: dict[str, dict[str, str]] = DIALOGS) -> Path:
    for dialog, utterances in dialogs.items():
        text = HEAD
        for number, (utterance, label) in enumerate(utterances.items()):
            text += line(f"{dialog}_{utterance}", label, 5 * number) + DETAIL
            write(sound_of(f"{dialog}_{utterance}", root))
        write(labels_of(dialog, root), text)
    return root


def test_labels_and_names_say_all_that_is_known_of_a_clip(tmp_path: Path) -> None:
    make(tmp_path, {"Ses01F_impro01": {"M003": "fru"}})
    folder = tmp_path / "Session1" / "sentences" / "wav" / "Ses01F_impro01"
    assert read(tmp_path) == [
        Clip(
            name="Ses01F_impro01_M003",
            path=folder / "Ses01F_impro01_M003.wav",
            emotion="frustrated",
            speaker="Ses01M",
            session="1",
            sex="male",
        )
    ]


@pytest.mark.parametrize("top", ["", "IEMOCAP_full_release"])
def test_a_release_in_small(tmp_path: Path, top: str) -> None:
    make(tmp_path / top)
    clips = read(tmp_path)
    assert [clip.name for clip in clips] == [
        f"{dialog}_{utterance}" for dialog, utterances in DIALOGS.items() for utterance in utterances
    ]
    assert Counter(clip.speaker for clip in clips) == {
        "Ses01F": 2,
        "Ses01M": 2,
        "Ses02F": 1,
        "Ses02M": 2,
        "Ses03F": 1,
        "Ses03M": 1,
        "Ses04F": 1,
        "Ses04M": 1,
        "Ses05F": 1,
        "Ses05M": 1,
    }
    for clip in clips:
        assert clip.speaker is not None
        assert clip.session == clip.speaker[4]
        assert clip.sex == {"F": "female", "M": "male"}[clip.speaker[-1]]
        assert clip.path.is_file()


@pytest.mark.parametrize(
    ("label", "emotion"),
    [
        ("ang", "anger"),
        ("hap", "happy"),
        ("exc", "excited"),
        ("sad", "sad"),
        ("neu", "neutral"),
        ("fru", "frustrated"),
        ("fea", "fear"),
        ("sur", "surprise"),
        ("dis", "disgust"),
        ("oth", "other"),
        ("xxx", "undecided"),
    ],
)
def test_every_label(tmp_path: Path, label: str, emotion: str) -> None:
    make(tmp_path, {"Ses04M_script03_1": {"F007": label}})
    assert [clip.emotion for clip in read(tmp_path)] == [emotion]
    assert emotion in VOCABULARY


def test_files_of_a_mac_and_of_single_raters_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path)
    labels = labels_of("Ses01F_impro01", tmp_path)
    other = line("Ses01F_impro01_F000", "hap")
    (labels.parent / "._Ses01F_impro01.txt").write_bytes(b"\x00\x05\x16\x07\x00\x02Mac OS X" + other.encode())
    write(labels.parent / ".backup" / "dialog" / "EmoEvaluation" / "Ses01F_impro01.txt", other)
    write(labels.parent / "Categorical" / "Ses01F_impro01_e2_cat.txt", "Ses01F_impro01_F000 :Happiness; ()\n")
    write(labels.parent / "Self-evaluation" / "Ses01F_impro01_f_atr.txt", other)
    sound = sound_of("Ses01F_impro01_F000", tmp_path)
    write(sound.with_name(f"._{sound.name}"))
    assert len(read(tmp_path)) == 13
    assert read(tmp_path)[0].emotion == "neutral"


def test_sound_of_whole_dialogs_is_no_clip(tmp_path: Path) -> None:
    make(tmp_path)
    write(tmp_path / "Session1" / "dialog" / "wav" / "Ses01F_impro01.wav")
    assert len(read(tmp_path)) == 13


def test_remarks_in_another_encoding_and_line_ends_of_windows(tmp_path: Path) -> None:
    make(tmp_path, {"Ses01F_impro01": {"F000": "neu", "F001": "ang"}})
    labels = labels_of("Ses01F_impro01", tmp_path)
    text = labels.read_text(encoding="utf-8").replace("\n", "\r\n")
    labels.write_bytes(text.encode("cp1252"))
    assert b"\x85" in labels.read_bytes()
    assert [clip.emotion for clip in read(tmp_path)] == ["neutral", "anger"]


def test_labels_without_sound_are_counted_in_a_warning(tmp_path: Path) -> None:
    make(tmp_path)
    sound_of("Ses01F_impro01_M003", tmp_path).unlink()
    sound_of("Ses04F_script01_3_F004", tmp_path).unlink()
    with pytest.warns(UserWarning, match="left out 2 utterances .* a label but no sound") as caught:
        clips = read(tmp_path)
    assert len(clips) == 11
    assert len(caught) == 1
    assert "'Ses01F_impro01_M003'" in str(caught[0].message)
    assert caught[0].filename == __file__


def test_sound_without_labels_is_counted_in_a_warning(tmp_path: Path) -> None:
    make(tmp_path)
    for name in ("Ses03M_impro05a_FXX0", "Ses03M_impro05a_F018", "Ses03M_impro05a_F019"):
        write(sound_of(name, tmp_path))
    with pytest.warns(UserWarning, match="left out 3 sound files .* no label") as caught:
        clips = read(tmp_path)
    assert len(clips) == 13
    assert len(caught) == 1
    assert "'Ses03M_impro05a_F018'" in str(caught[0].message)


def test_labels_without_any_sound_are_an_error(tmp_path: Path) -> None:
    make(tmp_path)
    for path in tmp_path.rglob("*.wav"):
        path.unlink()
    write(tmp_path / "Ses01F_impro01_F000.wav")
    with pytest.raises(CorpusError, match="labels of 13 utterances") as caught:
        read(tmp_path)
    assert "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav" in str(caught.value)
    assert HOME in str(caught.value)


@pytest.mark.parametrize("names", [[], ["happy/1.wav"], ["Session1/sentences/wav/Ses01F_impro01/a.wav"]])
def test_no_labels_are_an_error_with_the_address(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        write(tmp_path / name)
    with pytest.raises(CorpusError, match="no labels") as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt" in str(caught.value)
    assert HOME in str(caught.value)


@pytest.mark.parametrize("same_file", [True, False])
def test_two_labels_that_differ_are_an_error(tmp_path: Path, same_file: bool) -> None:
    make(tmp_path)
    labels = labels_of("Ses01F_impro01", tmp_path)
    second = labels if same_file else labels.with_name("Ses01F_impro01_old.txt")
    with second.open("a") as file:
        file.write(line("Ses01F_impro01_F000", "hap"))
    with pytest.raises(CorpusError, match=r"'hap', .*'neu'") as caught:
        read(tmp_path)
    assert "Ses01F_impro01_F000" in str(caught.value)
    assert str(second) in str(caught.value)


def test_the_same_label_twice_is_no_error(tmp_path: Path) -> None:
    make(tmp_path)
    labels = labels_of("Ses01F_impro01", tmp_path)
    write(labels.with_name("copy.txt"), labels.read_text(encoding="utf-8"))
    assert len(read(tmp_path)) == 13


@pytest.mark.parametrize(
    "bad",
    [
        line("Ses01F_impro01_F001", "joy"),
        line("Ses01F_impro01_F001", "NEU"),
        line("Ses06F_impro01_F001", "neu"),
        line("Ses01F_impro01_X001", "neu"),
        "[6.2901 - 8.2357]\tSes01F_impro01_F001\n",
    ],
)
def test_a_label_that_is_not_known_is_an_error_that_shows_the_line(tmp_path: Path, bad: str) -> None:
    make(tmp_path)
    labels = labels_of("Ses01F_impro01", tmp_path)
    with labels.open("a") as file:
        file.write(bad)
    with pytest.raises(CorpusError, match="one of ang, dis, ") as caught:
        read(tmp_path)
    assert repr(bad.rstrip("\n")) in str(caught.value)
    assert str(labels) in str(caught.value)


def test_a_second_copy_is_an_error_that_says_where_to_point(tmp_path: Path) -> None:
    make(tmp_path)
    make(tmp_path / "IEMOCAP_full_release")
    with pytest.raises(CorpusError, match="two files for one clip of IEMOCAP") as caught:
        read(tmp_path)
    assert f"dataset.root= at {tmp_path / 'IEMOCAP_full_release'}, which" in str(caught.value)
    assert len(read(tmp_path / "IEMOCAP_full_release")) == 13


def test_sessions_may_be_links(tmp_path: Path) -> None:
    make(tmp_path / "there")
    (tmp_path / "here").mkdir()
    for session in (tmp_path / "there").iterdir():
        (tmp_path / "here" / session.name).symlink_to(session)
    assert len(read(tmp_path / "here")) == len(read(tmp_path / "there"))
