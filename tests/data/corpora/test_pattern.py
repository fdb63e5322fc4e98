import re
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ser.config import check_choices
from ser.data.corpora import pattern as pattern_module
from ser.data.corpora import read_corpora
from ser.data.corpora.clip import Clip, CorpusError, telling
from ser.data.corpora.pattern import read
from tests.data.corpora.tester import touch
from tests.helpers import composed

pytestmark = pytest.mark.usefixtures("strict")

ROOT = Path(__file__).parents[3]
TWO_LEVELS = r"(?P<speaker>[^/]+)/(?P<emotion>[^/]+)/[^/]+"


def told(root: Path, pattern: str | None, **options: Any) -> tuple[list[Clip], list[str]]:
    notes: list[str] = []
    with telling(notes.append):
        clips = read(root, pattern, **options)
    return clips, notes


def refusal(root: Path, pattern: str | None, **options: Any) -> str:
    with pytest.raises(CorpusError) as caught, telling(lambda _: None):
        read(root, pattern, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_groups_are_attributes_of_a_clip(tmp_path: Path) -> None:
    touch(tmp_path, "p1/dev/F_34_wut_s1_hi_x.wav")
    name = (
        r"(?P<speaker>\w+)/(?P<split>\w+)/(?P<sex>[FM])_(?P<age>\d+)_(?P<emotion>[a-z]+)_(?P<sentence>s\d)"
        r"_(?P<intensity>hi|lo)_(?P<session>x|y)"
    )
    clips, notes = told(tmp_path, name, codes={"emotion": {"wut": "Anger"}}, constants={"race": "asian"})
    assert notes == [f"{tmp_path}: words are read as others: 'F' as female, 'dev' as val"]
    assert clips == [
        Clip(
            name="p1/dev/F_34_wut_s1_hi_x.wav",
            path=tmp_path / "p1/dev/F_34_wut_s1_hi_x.wav",
            emotion="anger",
            speaker="p1",
            sex="female",
            age=34,
            sentence="s1",
            intensity="hi",
            session="x",
            race="asian",
            split="val",
        )
    ]


@pytest.mark.parametrize("above", ["", "unpacked/", "unpacked/again/"])
def test_folders_above_do_not_matter(tmp_path: Path, above: str) -> None:
    touch(tmp_path, *(f"{above}{speaker}/{emotion}/1.wav" for speaker in "ab" for emotion in ("sad", "calm")))
    clips = read(tmp_path, r"(?P<speaker>a|b)/(?P<emotion>[^/]+)/\d+")
    assert [(clip.speaker, clip.emotion) for clip in clips] == [
        ("a", "calm"),
        ("a", "sad"),
        ("b", "calm"),
        ("b", "sad"),
    ]


def test_a_pattern_of_the_whole_path_comes_first(tmp_path: Path) -> None:
    touch(tmp_path, "x/sad/1.wav")
    assert [clip.speaker for clip in read(tmp_path, r"(?P<speaker>.*)/(?P<emotion>[^/]+)/\d")] == ["x"]


def test_words_that_are_well_known_are_read_as_the_corpora_have_them(tmp_path: Path) -> None:
    touch(tmp_path, "a/Angry/1.wav", "a/Happiness/1.wav", "a/sad/1.wav", "a/Jealous/1.wav")
    clips, (note,) = told(tmp_path, TWO_LEVELS)
    assert [clip.emotion for clip in clips] == ["anger", "happy", "jealous", "sad"]
    assert note == f"{tmp_path}: words are read as others: 'Angry' as anger, 'Happiness' as happy"


def test_codes_count_whatever_their_case_and_zeros(tmp_path: Path) -> None:
    touch(tmp_path, "001_w.wav", "002_W.wav", "1_f.wav")
    clips = read(
        tmp_path,
        r"(?P<speaker>\d+)_(?P<emotion>\w)",
        codes={"emotion": {"W": "anger", "F": "happy"}, "speaker": {1: "ann", 2: "bob"}},
    )
    assert [(clip.speaker, clip.emotion) for clip in clips] == [("ann", "anger"), ("bob", "anger"), ("ann", "happy")]


def test_what_is_not_listed_is_left_out_and_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a_F_x.wav", "a_M_x.wav", "a_Q_x.wav", "b_F_y.wav", "c_F_x.wav", "notes 1.wav", "notes 2.wav")
    clips, notes = told(
        tmp_path,
        r"(?P<emotion>\w)_(?P<sex>\w)_(?P<session>\w)",
        codes={"emotion": {"a": "sad", "b": "calm"}, "sex": {"F": "female", "M": "male"}},
    )
    assert [clip.sex for clip in clips] == ["female", "male", None, "female"]
    assert notes == [
        "left out 2 sound files that dataset.pattern does not match, such as 'notes 1.wav'",
        f"{tmp_path}: left out 1 sound files whose emotion dataset.codes does not list: 1 'c'",
        f"{tmp_path}: sex taken for not known: 1 'Q'",
    ]


def test_nothing_is_told_of_a_code_that_is_known_to_say_nothing(tmp_path: Path) -> None:
    touch(tmp_path, "sad_C.wav", "calm_F.wav")
    clips = read(tmp_path, r"(?P<emotion>[a-z]+)_(?P<sex>\w)", codes={"sex": {"C": None, "F": "female"}})
    assert [clip.sex for clip in clips] == ["female", None]


def test_names_that_are_alike_are_one(tmp_path: Path) -> None:
    touch(tmp_path, "Ann/sad/1.wav", "ann/sad/2.wav", "unknown/calm/3.wav", "Ann/calm/3.wav")
    clips, notes = told(tmp_path, TWO_LEVELS)
    assert {clip.speaker for clip in clips} == {"Ann", None}
    assert notes[0] == f"{tmp_path}: speaker taken for not known: 1 'unknown'"
    assert "speaker: 1 in several spellings" in notes[1]


def test_sound_that_can_not_be_read_is_a_clip_so_that_it_is_not_lost(tmp_path: Path) -> None:
    touch(tmp_path, "a/sad/1.m4a", "a/sad/2.wav", "a/sad/2.m4a", "a/sad/notes.txt")
    assert [clip.path.name for clip in read(tmp_path, TWO_LEVELS)] == ["1.m4a", "2.wav"]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (None, "dataset=pattern needs dataset.pattern="),
        ("", "dataset=pattern needs dataset.pattern="),
        ("(?P<emotion>[a", "is no regular expression: unterminated character set at position 12"),
        (r"(?P<speaker>\w+)/(\w+)", "has no group (?P<emotion>…)"),
        (r"(?P<emotion>\w+)/(?P<actor>\w+)/(?P<take>\w+)", "has a group actor, take; groups can be emotion, speaker,"),
    ],
)
def test_a_pattern_that_can_not_be_one_is_refused(tmp_path: Path, pattern: str | None, words: str) -> None:
    touch(tmp_path, "a/sad/1.wav")
    assert words in refusal(tmp_path, pattern)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"codes": {"sex": {"F": "female"}}}, "a table for each of speaker, emotion, such as"),
        ({"codes": {"emotion": "anger"}}, "dataset.codes has emotion: anger; it can have a table for"),
        ({"codes": "anger"}, "dataset.codes=anger must be a table: 'dataset.codes={emotion: {W: anger}}'"),
        ({"codes": {"emotion": {True: "anger"}}}, "yes, no, on and off need quotes in YAML"),
        ({"codes": {"emotion": {"W": ""}}}, "a code and its meaning are text"),
        ({"codes": {"emotion": {"W": "anger", "w": "sad"}}}, "has 'W' and 'w' for emotion, which are read as one"),
        (
            {"constants": {"speaker": "ann"}},
            "dataset.constants has speaker; it can have what the pattern lacks: session,",
        ),
        ({"constants": {"take": 1}}, "dataset.constants has take; it can have"),
        ({"constants": {"age": "old"}}, "dataset.constants has age: 'old'; an age is whole years"),
        ({"constants": {"session": [1]}}, "dataset.constants has session: [1]; an age is whole years"),
        ({"constants": {"split": "dev"}}, "dataset.constants has split: 'dev'; it can be train, val, test"),
        ({"constants": ["sex"]}, "dataset.constants=['sex'] must be a table"),
        ({"codes": {"emotion": {"W": "anger"}}}, "dataset.codes lists none of its emotions (1 'sad')"),
    ],
)
def test_options_that_can_not_be_are_refused(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    touch(tmp_path, "a/sad/1.wav")
    assert words in refusal(tmp_path, TWO_LEVELS, **options)


def test_a_split_by_a_table_is_a_side(tmp_path: Path) -> None:
    touch(tmp_path, "1/sad.wav", "2/sad.wav")
    name = r"(?P<split>\d)/(?P<emotion>\w+)"
    assert [clip.split for clip in read(tmp_path, name, codes={"split": {1: "train", 2: "test"}})] == ["train", "test"]
    assert "split '1' is 'first'" in refusal(tmp_path, name, codes={"split": {"1": "first"}})


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "holds no sound: point dataset.root= at the folder"),
        (
            ["sad/1.wav"],
            "such as 'sad/1' (without its ending); it lies 1 folders deep, and the pattern has 2: point dataset.root=",
        ),
        (["a/sad/1 b.wav", "a/sad/2 b.wav"], "matches none of 2 sound files, such as 'a/sad/1 b' (without its ending)"),
    ],
)
def test_a_wrong_folder_is_told(tmp_path: Path, files: list[str], words: str) -> None:
    touch(tmp_path, *files)
    message = refusal(tmp_path, r"(?P<speaker>\w+)/(?P<emotion>\w+)/\w+")
    assert words in message
    assert str(tmp_path) in message


def test_a_pattern_that_never_ends_is_ended_and_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern_module, "SECONDS", 0.2)
    touch(tmp_path, f"{'a' * 60}!.wav")
    begun = time.monotonic()
    message = refusal(tmp_path, "(a+)+(?P<emotion>b)")
    assert time.monotonic() - begun < 5
    assert f"takes more than 0.2 s over '{'a' * 60}!'" in message


def test_a_pattern_works_in_other_threads(tmp_path: Path) -> None:
    touch(tmp_path, "a/sad/1.wav")
    clips: list[Clip] = []
    thread = Thread(target=lambda: clips.extend(read(tmp_path, TWO_LEVELS)))
    thread.start()
    thread.join()
    assert len(clips) == 1


def test_the_recipe_of_the_docs_reads_a_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/corpora.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(block.splitlines()) == 5
    (tmp_path / "conf/dataset").mkdir(parents=True)
    (tmp_path / "conf/dataset/calls.yaml").write_text(block)
    touch(tmp_path, *re.findall(r"^(data/calls/\S+\.wav)$", page, re.MULTILINE))
    monkeypatch.chdir(tmp_path)
    choices = composed(f"hydra.searchpath=[file://{tmp_path}/conf]", "dataset=calls", "split=speaker")
    check_choices(choices)
    notes: list[str] = []
    with telling(notes.append):
        clips = read_corpora(choices["dataset"])
    assert notes == ["data/calls: words are read as others: 'f' as female, 'm' as male"]
    assert [(clip.speaker, clip.sex, clip.emotion, clip.session) for clip in clips] == [
        ("ann", "female", "anger", "telephone"),
        ("ann", "female", "neutral", "telephone"),
        ("bob", "male", "happy", "telephone"),
    ]
    assert {clip.corpus for clip in clips} == {"pattern"}
