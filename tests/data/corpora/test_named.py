"""Corpora that ``Pattern`` reads, on trees of empty files that are named as their authors name them."""

from collections import Counter
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import pytest

from ser.data.corpora import FACTS, READERS
from ser.data.corpora.clip import EMOTIONS, Clip, CorpusError
from ser.data.corpora.pattern import Pattern
from tests.data.corpora.tester import touch

pytestmark = pytest.mark.usefixtures("strict")

PATTERNS: dict[str, Pattern] = {
    name: read.__self__ for name, read in READERS.items() if isinstance(getattr(read, "__self__", None), Pattern)
}

FRENCH = {"C": "Colère", "D": "Dégoût", "J": "Joie", "N": "Neutre", "P": "Peur", "S": "Surprise", "T": "Tristesse"}

SECONDARY = ("anxious", "apologetic", "assertive", "concerned", "encouraging", "excited", "happy", "neutral", "sad")


def named(codes: str | Iterable[str], *others: Iterable[object]) -> Iterable[tuple[object, ...]]:
    return product(codes, *others)


TREES: dict[str, tuple[list[str], int, dict[str, int]]] = {
    "aesdd": (
        [f"x/{e}{n:02} ({s}).wav" for e, n, s in named("adfhs", range(1, 21), range(1, 7))]
        + ["anger/a06 (5)b.wav", "fear/f10 (01).wav"],
        6,
        {"anger": 121, "disgust": 120, "fear": 121, "happy": 120, "sad": 120},
    ),
    "asvp_esd": (
        [f"Audio/actor_{s}/03-02-{e:02}-01-07-{s:02}-02-02-02-09.wav" for e, s in named(range(1, 14), range(131))]
        + ["Bonus/actor_/03-02-13-01-29-40-02-01-00-26-02.wav", "Audio/actor_86/03-01-03-01-04-86-02-02.wav"]
        + ["Audio/actor_7/03-02-04-11-20-07-04-02-00-04 -2.wav"],
        131,
        {
            **dict.fromkeys(("boredom", "neutral", "anger", "fear", "disgust", "surprise", "excited"), 131),
            **{"happy": 132, "sad": 132, "pleasure": 131, "pain": 131, "disappointed": 131, "breath": 132},
        },
    ),
    "cafe": (
        [
            f"CaFE_48k/{FRENCH[e]}/{s:02}-{e}-{i}-{n}.wav"
            for e, s, i, n in named("CDJNPST", range(1, 13), (1, 2), range(1, 7))
            if (e, i) != ("N", 2)
        ],
        12,
        {**dict.fromkeys(("anger", "disgust", "happy", "fear", "surprise", "sad"), 144), "neutral": 72},
    ),
    "casia": (
        [
            f"{s}/{e}/{n}.wav"
            for e, s, n in named(
                ("angry", "fear", "happy", "neutral", "sad", "surprise"),
                ("liuchanhg", "wangzhe", "zhaoquanyin", "zhaozuoxiang"),
                range(201, 251),
            )
        ],
        4,
        dict.fromkeys(("anger", "fear", "happy", "neutral", "sad", "surprise"), 200),
    ),
    "emov_db": (
        [
            f"{s}_{e}/{e.lower()}_1-28_{n:04}.wav"
            for e, s, n in named(
                ("Amused", "Angry", "Disgusted", "Neutral", "Sleepy"), ("bea", "jenie", "josh", "sam"), range(1, 29)
            )
        ]
        + ["josh_Sleepy/sleepiness_113_140_0113.wav"],
        4,
        {**dict.fromkeys(("amused", "anger", "disgust", "neutral"), 112), "sleepy": 113},
    ),
    "emovo": (
        [
            f"{s}/{e}-{s}-{n}.wav"
            for e, s, n in named(
                ("dis", "gio", "neu", "pau", "rab", "sor", "tri"),
                ("f1", "f2", "f3", "m1", "m2", "m3"),
                ("b1", "b2", "b3", "d1", "d2", "l1", "l2", "l3", "l4", "n1", "n2", "n3", "n4", "n5"),
            )
        ],
        6,
        dict.fromkeys(("disgust", "happy", "neutral", "fear", "anger", "surprise", "sad"), 84),
    ),
    "esd": (
        [
            f"{s:04}/{e}/{s:04}_{350 * i + n:06}.wav"
            for (i, e), s, n in product(
                enumerate(("Neutral", "Angry", "Happy", "Sad", "Surprise")), range(1, 21), range(1, 4)
            )
        ],
        20,
        dict.fromkeys(("neutral", "anger", "happy", "sad", "surprise"), 60),
    ),
    "jl_corpus": (
        [
            f"Raw JL corpus (unchecked and unannotated)/JL(wav+txt)/{s}_{e}_{n}{half}_{take}.wav"
            for e, s, n, half, take in named(
                ["angry", *SECONDARY],
                ("female1", "female2", "male1", "male2"),
                range(1, 16),
                "ab",
                (1, 2),
            )
        ],
        4,
        dict.fromkeys(["anger", *SECONDARY], 240),
    ),
    "mesd": (
        [
            f"{e}_{s}_{words}_palabra {n}.wav"
            for e, s, words, n in named(
                ("Anger", "Disgust", "Fear", "Happiness", "Neutral", "Sadness"), "FMC", "AB", range(24)
            )
        ],
        0,
        dict.fromkeys(("anger", "disgust", "fear", "happy", "neutral", "sad"), 144),
    ),
    "nemo": (
        [
            f"samples/{s}_{e}_{n}.wav"
            for e, s, n in named(
                ("anger", "fear", "happiness", "neutral", "sadness", "surprised"),
                ("EB0", "IC0", "KD0", "KS0", "MK0", "MP0", "SM0", "TP0", "WR0"),
                range(1, 91),
            )
        ],
        9,
        dict.fromkeys(("anger", "fear", "happy", "neutral", "sad", "surprise"), 810),
    ),
    "oreau": (
        [
            f"OréauFR_02/{'f' if s in (10, 11, 13, 21, 24, 37, 42) else 'm'}/sess{str(e).lower()}/{s:02}a{n:02}{e}a.wav"
            for e, s, n in named(FRENCH, [*range(7, 15), 16, *range(18, 34), *range(36, 43)], (1, 2))
        ],
        32,
        dict.fromkeys(("anger", "disgust", "fear", "happy", "neutral", "sad", "surprise"), 64),
    ),
    "polish": (
        [
            f"m{s}.{e}_{word}_{n}.wav"
            for e, s, word, n in named("ans", range(1, 6), ["nie", "oddaj", "stop", "tak", "a", "b"], range(1, 6))
        ],
        5,
        {"anger": 150, "neutral": 150, "fear": 150},
    ),
    "shemo": (
        [
            f"{folder}/{sex}{s:02}{e}{n:02}.wav"
            for (folder, sex, last), e, n in product((("female", "F", 31), ("male", "M", 56)), "AFHNSW", (1, 2))
            for s in range(1, last + 1)
        ],
        87,
        dict.fromkeys(("anger", "fear", "happy", "neutral", "sad", "surprise"), 174),
    ),
    "subesco": (
        [
            f"{sex}_{s:02}_NAME_S_{n}_{e}_{take}.wav"
            for e, sex, s, n, take in named(
                ("ANGRY", "DISGUST", "FEAR", "HAPPY", "NEUTRAL", "SAD", "SURPRISE"),
                "FM", range(1, 11), range(1, 11), range(1, 6),
            )
            if (e, sex, s, n, take) != ("SURPRISE", "M", 10, 10, 5)
        ]
        + ["M_10_NAME_S_10_SURPRISE_5].wav"],
        20,
        dict.fromkeys(("anger", "disgust", "fear", "happy", "neutral", "sad", "surprise"), 1000),
    ),
    "turev_db": (
        [
            f"Sound Source/{folder}/{s}_{e}_kelime{n}.wav"
            for (folder, e), s, n in product(
                {"Angry": "kz", "Calm": "sk", "Happy": "mt", "Sad": "hl"}.items(),
                (1157, 1234, 1358, 1984, 6783, 7895),
                range(82),
            )
        ],
        6,
        dict.fromkeys(("anger", "calm", "happy", "sad"), 492),
    ),
    "urdu": (
        [
            f"{folder}/S{sex}{1 + n % 10}_F{n}_{folder[0]}{n:03}.wav"
            for folder, sex, n in named(("Angry", "Happy", "Neutral", "Sad"), "FM", range(1, 51))
        ],
        20,
        dict.fromkeys(("anger", "happy", "neutral", "sad"), 100),
    ),
}  # fmt: skip
"""Corpus → names of its files, how many speakers they tell, and clips of each emotion."""


def read(name: str, root: Path) -> list[Clip]:
    return READERS[name](root)


def test_every_corpus_with_a_pattern_is_tested() -> None:
    assert set(PATTERNS) == {*TREES, "emodb", "ravdess", "savee"}


@pytest.mark.parametrize("name", TREES)
def test_clips_speakers_and_emotions_are_counted(tmp_path: Path, name: str) -> None:
    files, speakers, emotions = TREES[name]
    clips = read(name, touch(tmp_path, *files))
    assert Counter(clip.emotion for clip in clips) == emotions
    assert len({clip.speaker for clip in clips} - {None}) == speakers
    assert set(emotions) <= set(EMOTIONS)
    assert len({clip.name for clip in clips}) == len(clips) == len(files)
    assert [clip.name for clip in clips] == sorted(clip.name for clip in clips)


@pytest.mark.parametrize("name", ["cafe", "casia", "emovo", "jl_corpus", "mesd", "polish", "subesco"])
def test_corpora_without_gaps_have_as_many_clips_as_their_facts_say(name: str) -> None:
    assert len(TREES[name][0]) == FACTS[name].clips


@pytest.mark.parametrize("name", sorted(set(TREES) - {"mesd", "urdu"}))
def test_names_tell_as_many_speakers_as_the_facts(name: str) -> None:
    assert TREES[name][1] == FACTS[name].speakers


@pytest.mark.parametrize("name", PATTERNS)
def test_the_example_of_a_message_is_a_clip(tmp_path: Path, name: str) -> None:
    examples = PATTERNS[name].example.split(" or ")
    assert len({clip.name for one in examples for clip in read(name, touch(tmp_path / str(len(one)), one))}) == 1


@pytest.mark.parametrize("above", ["archive/", "archive/archive/"])
@pytest.mark.parametrize("name", TREES)
def test_folders_above_do_not_matter(tmp_path: Path, name: str, above: str) -> None:
    files = TREES[name][0][::97]
    plain = read(name, touch(tmp_path / "plain", *files))
    deep = read(name, touch(tmp_path / "deep", *(above + file for file in files)))
    assert [clip.name for clip in deep] == [clip.name for clip in plain]


@pytest.mark.parametrize("name", sorted(set(TREES) - {"asvp_esd", "nemo"}))
def test_names_in_capitals_say_the_same(tmp_path: Path, name: str) -> None:
    files = TREES[name][0][::97]
    plain = read(name, touch(tmp_path / "plain", *files))
    loud = read(name, touch(tmp_path / "loud", *(file.upper() for file in files)))
    assert sorted((clip.emotion, clip.sex or "") for clip in loud) == sorted(
        (clip.emotion, clip.sex or "") for clip in plain
    )


@pytest.mark.parametrize("name", TREES)
def test_what_was_unpacked_twice_is_an_error_that_says_where_to_point(tmp_path: Path, name: str) -> None:
    files = TREES[name][0][:3]
    touch(tmp_path, *(f"{copy}/{file}" for copy in ("first", "second") for file in files))
    with pytest.raises(CorpusError, match=f"two files for one clip of {FACTS[name].title}") as caught:
        read(name, tmp_path)
    assert f"dataset.root= at {tmp_path / 'first'}, which holds every clip once" in str(caught.value)


@pytest.mark.parametrize("name", ["casia", "emov_db", "esd"])
def test_names_without_their_folders_are_an_error_that_shows_the_folders(tmp_path: Path, name: str) -> None:
    bare = TREES[name][0][0].split("/")[-1]
    touch(tmp_path, bare)
    with pytest.raises(CorpusError) as caught:
        read(name, tmp_path)
    assert f"({PATTERNS[name].example}); it holds 1 other sound files, such as {bare}" in str(caught.value)


@pytest.mark.parametrize("name", ["casia", "esd"])
def test_root_may_be_the_folder_of_one_speaker(tmp_path: Path, name: str) -> None:
    files = TREES[name][0][:1]
    touch(tmp_path, *files)
    (whole,), (part,) = read(name, tmp_path), read(name, tmp_path / files[0].split("/")[0])
    assert part == whole


def test_a_split_of_folders_is_that_of_the_corpus(tmp_path: Path) -> None:
    touch(tmp_path, "0011/Angry/evaluation/0011_000351.wav", "0011/Angry/0011_000352.wav")
    assert [clip.split for clip in read("esd", tmp_path)] == [None, "val"]


def test_who_speaks_is_known_where_the_corpus_says(tmp_path: Path) -> None:
    touch(tmp_path, "samples/WR0_surprised_64.wav")
    (clip,) = read("nemo", tmp_path / "samples")
    assert (clip.speaker, clip.sex, clip.age, clip.sentence) == ("WR0", "male", 23, "64")
    (child,) = read("mesd", touch(tmp_path / "mesd", "Anger_C_A_tarde.wav"))
    assert (child.speaker, child.sex) == (None, None)


def test_a_code_that_is_not_explained_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "03-01-17-01-02-200-05-02-01-12.wav", "03-01-01-01-02-200-05-02-01-12.wav")
    with pytest.warns(UserWarning, match="left out 1 sound files"):
        assert [clip.emotion for clip in read("asvp_esd", tmp_path)] == ["boredom"]


def test_nothing_neutral_has_an_intensity_in_cafe(tmp_path: Path) -> None:
    touch(tmp_path, "08-P-2-1.wav", "08-P-1-1.wav", "08-N-1-1.wav")
    assert [clip.intensity for clip in read("cafe", tmp_path)] == [None, "mild", "strong"]
