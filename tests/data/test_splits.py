import os
import random
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from ser.data.bank import decode, fingerprints
from ser.data.corpora import Clip, emodb
from ser.data.corpora.crema_d import EMOTIONS
from ser.data.splits import SPLITS, UNITS, Leakage, Split, SplitError, split_clips
from ser.results import leakage_line

MARKS = ("train", "val", "test")

SENTENCES = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")


def crema_clip(name: str) -> Clip:
    actor, sentence, emotion, level = name.split("_")
    return Clip(name, Path(f"{name}.wav"), EMOTIONS[emotion], actor, sentence=sentence, intensity=level)


def make_crema() -> list[Clip]:
    """As many clips of each class and speaker as CREMA-D has, under made-up names."""
    names: dict[str, list[str]] = {emotion: [] for emotion in EMOTIONS}
    for actor in range(1001, 1092):
        for sentence in SENTENCES:
            for emotion, of_emotion in names.items():
                levels = ("LO", "MD", "HI") if sentence == "IEO" and emotion != "NEU" else ("XX",)
                of_emotion.extend(f"{actor}_{sentence}_{emotion}_{level}" for level in levels)
    rng = random.Random(0)
    kept = [rng.sample(of_emotion, 1087 if emotion == "NEU" else 1271) for emotion, of_emotion in names.items()]
    clips = [crema_clip(name) for of_emotion in kept for name in of_emotion]
    rng.shuffle(clips)
    return clips


CREMA = make_crema()


def sides(split: Split) -> list[list[Clip]]:
    return [split.train, split.val, split.test]


def names(split: Split) -> list[list[str]]:
    return [[clip.name for clip in side] for side in sides(split)]


def is_whole(split: Split, clips: list[Clip]) -> bool:
    """Whether each clip lies on exactly one side."""
    return Counter(name for side in names(split) for name in side) == Counter(clip.name for clip in clips)


def leaks(split: Split) -> bool:
    train, val, test = ({clip.speaker for clip in side} for side in sides(split))
    return bool(train & val or train & test or val & test)


def clip(name: str, emotion: str = "happy", speaker: str | None = None, split: str | None = None, **known: Any) -> Clip:
    return Clip(name, Path(name), emotion, speaker, split=split, **known)


def party(
    speakers: Sequence[str] = "abcdefgh", corpus: str = "", emotions: Sequence[str] = ("happy", "sad")
) -> list[Clip]:
    """Three clips of each emotion by each speaker; two speakers a session, and marks of all three sides for each."""
    return [
        clip(f"{corpus}{speaker}_{emotion}_{mark}", emotion, speaker, mark, corpus=corpus, session=f"{place // 2}")
        for place, speaker in enumerate(speakers)
        for emotion in emotions
        for mark in MARKS
    ]


def test_the_made_up_corpus_has_the_numbers_of_crema_d() -> None:
    assert len({clip.name for clip in CREMA}) == len(CREMA) == 7442
    assert len({clip.speaker for clip in CREMA}) == 91
    counts = Counter(clip.emotion for clip in CREMA)
    assert counts.pop("neutral") == 1087
    assert set(counts.values()) == {1271}


def test_the_reports_split_has_the_reports_sizes() -> None:
    split = split_clips(CREMA, "stratified")
    assert [len(side) for side in sides(split)] == [4948, 261, 2233]
    assert is_whole(split, CREMA)


@pytest.mark.parametrize("seed", [42, 0, 7])
def test_the_reports_split_is_scikit_learns(seed: int) -> None:
    ordered = sorted(clip.name for clip in CREMA)
    labels = [sorted(EMOTIONS).index(name.split("_")[2]) for name in ordered]
    rest, test, rest_labels, _ = train_test_split(ordered, labels, test_size=0.3, random_state=seed, stratify=labels)
    train, val = train_test_split(rest, test_size=0.05, random_state=seed, stratify=rest_labels)
    assert names(split_clips(CREMA, "stratified", seed=seed)) == [sorted(train), sorted(val), sorted(test)]


def test_the_reports_split_has_every_class_in_proportion_and_every_speaker_in_common() -> None:
    split = split_clips(CREMA, "stratified")
    for side in sides(split):
        for emotion, count in Counter(clip.emotion for clip in side).items():
            expected = len(side) * (1087 if emotion == "neutral" else 1271) / 7442
            assert abs(count - expected) <= 1
    assert in_common(split) == (91, 91)


def test_the_seed_draws_the_split_and_numpys_state_does_not() -> None:
    np.random.seed(1)
    first = split_clips(CREMA, "stratified", seed=1)
    np.random.seed(2)
    assert split_clips(CREMA, "stratified", seed=1) == first
    assert split_clips(CREMA, "stratified", seed=2) != first


def test_the_clips_that_come_in_stay_as_they_are() -> None:
    before = CREMA.copy()
    split_clips(CREMA, "stratified")
    assert before == CREMA


@pytest.mark.parametrize(("val", "sizes"), [(0.15, [53, 10, 28]), (0.05, [59, 4, 28])])
def test_the_speaker_split_holds_28_of_91_speakers_back(val: float, sizes: list[int]) -> None:
    split = split_clips(CREMA, "speaker", val=val)
    assert [len({clip.speaker for clip in side}) for side in sides(split)] == sizes
    assert is_whole(split, CREMA)
    assert not leaks(split)
    assert in_common(split) == (0, 28)


def test_the_speaker_split_is_balanced_by_emotion() -> None:
    split = split_clips(CREMA, "speaker", val=0.15)
    test, rest = (Counter(clip.emotion for clip in part) for part in (split.test, split.train + split.val))
    val = Counter(clip.emotion for clip in split.val)
    for emotion, count in Counter(clip.emotion for clip in CREMA).items():
        assert test[emotion] / count == pytest.approx(0.3, abs=0.012)
        assert val[emotion] / rest[emotion] == pytest.approx(0.15, abs=0.015)


def test_of_many_draws_of_speakers_a_balanced_one_is_taken() -> None:
    # Each speaker has one emotion only, so a draw at random would often take three of one emotion and none of another.
    clips = [clip(f"{s}_{t}", ("angry", "happy", "sad")[s % 3], str(s)) for s in range(30) for t in range(4)]
    for seed in range(5):
        split = split_clips(clips, "speaker", seed=seed)
        assert Counter(one.emotion for one in split.test) == {"angry": 12, "happy": 12, "sad": 12}


def test_real_clips_are_split_without_a_leak(real_clips: list[Clip]) -> None:
    split = split_clips(real_clips, "speaker", val=0.15)
    assert [len({clip.speaker for clip in side}) for side in sides(split)] == [53, 10, 28]
    assert is_whole(split, real_clips)
    assert not leaks(split)
    total, test = (Counter(clip.emotion for clip in part) for part in (real_clips, split.test))
    for emotion, count in total.items():
        assert test[emotion] / count == pytest.approx(0.3, abs=0.03)


def test_real_clips_are_split_as_scikit_learn_does(real_clips: list[Clip]) -> None:
    ordered = sorted(clip.name for clip in real_clips)
    labels = [name.split("_")[2] for name in ordered]
    rest, test, rest_labels, _ = train_test_split(ordered, labels, test_size=0.3, random_state=42, stratify=labels)
    train, val = train_test_split(rest, test_size=0.05, random_state=42, stratify=rest_labels)
    split = split_clips(real_clips[::-1], "stratified")
    assert names(split) == [sorted(train), sorted(val), sorted(test)]
    assert is_whole(split, real_clips)


def test_an_emotion_of_one_speaker_is_split_with_the_speaker() -> None:
    clips = [clip(f"{s}_{t}", "sad" if s == 0 else "happy", str(s)) for s in range(8) for t in range(3)]
    split = split_clips(clips, "speaker")
    assert is_whole(split, clips)
    assert not leaks(split)
    assert sum(any(one.emotion == "sad" for one in side) for side in sides(split)) == 1


def test_the_official_split_is_what_the_clips_say() -> None:
    clips = [clip(f"{i:02}", split=("test", "train", "val", "train")[i % 4]) for i in range(20)]
    split = split_clips(clips[::-1], "official")
    assert names(split) == [
        [f"{i:02}" for i in range(20) if i % 2],
        [f"{i:02}" for i in range(2, 20, 4)],
        [f"{i:02}" for i in range(0, 20, 4)],
    ]
    assert split_clips(clips, "official") == split


def test_speakers_in_common_counts_speakers_of_train_and_of_val() -> None:
    train, val = [clip("1", speaker="a"), clip("2", speaker="b")], [clip("3", speaker="c")]
    test = [clip("4", speaker="a"), clip("5", speaker="a"), clip("6", speaker="c"), clip("7", speaker="d")]
    assert in_common(Split(train, val, test)) == (2, 3)
    assert in_common(Split(test, val, train)) == (1, 2)


def test_unknown_speakers_are_not_in_common() -> None:
    assert in_common(Split([clip("1")], [clip("2")], [clip("3")])) == (0, 0)
    assert in_common(Split([clip("1")], [clip("2")], [clip("3", speaker="a")])) == (0, 1)


@pytest.mark.parametrize("side", range(3))
def test_how_many_were_heard_is_not_known_where_a_speaker_is_not(side: int) -> None:
    sides = [[clip("1", speaker="a")], [clip("2", speaker="b")], [clip("3", speaker="c")]]
    assert Split(*sides).leakage().seen_before == 0
    sides[side].append(clip("4"))
    partly = Split(*sides).leakage()
    assert partly.seen_before is None
    assert leakage_line(partly).endswith("validation. Not all speakers are known, so more may have been.")
    sides[0].append(clip("5", speaker="c"))
    assert Split(*sides).leakage().seen_before == 1


def in_common(split: Split) -> tuple[int, int]:
    """Test speakers seen in training or validation, and test speakers."""
    leakage = split.leakage()
    return len(leakage.seen), leakage.test_speakers


def refusal(clips: list[Clip], name: str, sounds: Mapping[str, str | None] | None = None, **options: Any) -> str:
    with pytest.raises(SplitError) as caught:
        split_clips(clips, name, sounds, **options)
    return str(caught.value)


def test_no_split_of_that_name() -> None:
    assert "'random'" in refusal(CREMA, "random")
    assert "stratified, speaker, kfold, loso, official, cross_corpus" in refusal(CREMA, "random")


def test_too_few_clips_of_an_emotion() -> None:
    message = refusal([clip(str(i), "rare" if i == 0 else "happy") for i in range(20)], "stratified")
    assert "'rare': 1" in message
    assert "Classes with too few members are: ['rare']" in message
    assert "record more clips of the rare emotions" in message
    assert "split.test=" in message


@pytest.mark.parametrize("clips", [[], [clip("1")], [clip("1"), clip("2", "sad")]])
def test_hardly_any_clips(clips: list[Clip]) -> None:
    assert "record more clips" in refusal(clips, "stratified")


@pytest.mark.parametrize("shares", [{"test": 0.0}, {"test": 1.0}, {"test": 1.5}, {"val": 0.0}, {"val": -0.1}])
@pytest.mark.parametrize("name", ["stratified", "speaker"])
def test_shares_that_leave_a_side_empty(name: str, shares: dict[str, Any]) -> None:
    message = refusal(CREMA[:600], name, **shares)
    assert "split.test=, split.val=" in message


def test_a_share_that_takes_every_speaker() -> None:
    clips = [clip(f"{s}_{t}", speaker=str(s)) for s in range(3) for t in range(3)]
    message = refusal(clips, "speaker", test=0.9)
    assert "0.9 of 3 speakers" in message
    assert "take another share" in message


def test_speakers_that_are_not_known() -> None:
    message = refusal([clip("a", speaker="1"), clip("b"), clip("c")], "speaker")
    assert "2 have none (such as 'b')" in message
    assert "column speaker" in message
    assert "split=stratified" in message


@pytest.mark.parametrize("people", [0, 1, 2])
def test_too_few_speakers(people: int) -> None:
    message = refusal([clip(f"{s}_{t}", speaker=f"ann{s}") for s in range(people) for t in range(9)], "speaker")
    assert "record more" in message


def test_clips_without_an_official_split() -> None:
    message = refusal([clip("a", split="train"), clip("b"), clip("c", split="test")], "official")
    assert "1 have none (such as 'b')" in message
    assert "column split" in message


@pytest.mark.parametrize("lacking", ["train", "val", "test"])
def test_an_official_split_without_one_side(lacking: str) -> None:
    marks = {"train", "val", "test"} - {lacking}
    message = refusal([clip(f"{mark}{i}", split=mark) for mark in marks for i in range(5)], "official")
    assert f"no clip for {lacking}" in message
    assert "column split" in message


@dataclass(frozen=True)
class Corpus:
    """Made-up clips, and what tells their twins."""

    clips: list[Clip]
    sounds: dict[str, str | None]


Row = tuple[str, str, str, str]
Twins = tuple[int, int, str]


def make_corpus(rows: list[Row], twins: list[Twins], roaming: bool, unknown: tuple[int, str] | None) -> Corpus:
    """Clips of two corpora, a to d and e to h.

    Args:
        rows: Speaker, emotion, session and official side of each clip.
        twins: Of two clips, by their numbers, whether they sound the same, or the first was made of the second; a clip
            made of itself is one made of a clip that is not there.
        roaming: A speaker is heard in several sessions.
        unknown: What is not known of which clip.
    """
    clips = [
        clip(
            f"{number:02}",
            emotion,
            speaker,
            side,
            session=session if roaming else f"of {'abcdefgh'.index(speaker) // 2}",
            corpus="first" if speaker in "abcd" else "second",
        )
        for number, (speaker, emotion, session, side) in enumerate(rows)
    ]
    sounds: dict[str, str | None] = {one.name: None for one in clips[::3]}
    for first, second, kind in twins if clips else []:
        one, other = first % len(clips), second % len(clips)
        if kind == "made of":
            clips[one] = replace(clips[one], original="elsewhere" if one == other else clips[other].name)
        else:
            sounds[clips[one].name] = sounds[clips[other].name] = sounds.get(clips[other].name) or f"sound {other}"
    if unknown is not None and clips:
        number, what = unknown
        nothing: dict[str, Any] = {what: None}
        clips[number % len(clips)] = replace(clips[number % len(clips)], **nothing)
    return Corpus(clips, sounds)


def corpora(unknown: Sequence[str] = (), roaming: bool = False, twins: int = 3) -> st.SearchStrategy[Corpus]:
    """Up to eight speakers, some with a single clip; classes of a single clip, and missing ones; up to ``twins``."""
    number = st.integers(0, 40)
    row = st.tuples(
        st.sampled_from("abcdefgh"),
        st.sampled_from(["happy", "sad", "fear"]),
        st.sampled_from("123"),
        st.sampled_from(MARKS),
    )
    return st.builds(
        make_corpus,
        st.lists(row, min_size=15, max_size=40) | st.lists(row, max_size=8),
        st.lists(st.tuples(number, number, st.sampled_from(["sounds like", "made of"])), max_size=twins),
        st.booleans() if roaming else st.just(False),
        st.none() | st.tuples(number, st.sampled_from(unknown)) if unknown else st.none(),
    )


seeds = st.integers(0, 2**32 - 1)
vals = st.sampled_from([0.05, 0.15, 0.5])

CHOICES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "stratified": {"seed": seeds, "test": st.sampled_from([0.3, 0.5]), "val": st.sampled_from([0.05, 0.4])},
    "speaker": {"seed": seeds, "test": st.sampled_from([0.1, 0.3, 0.6]), "val": vals},
    "kfold": {
        "seed": seeds,
        "folds": st.sampled_from([2, 3, 4, 2, 3, 1, 5]),
        "fold": st.sampled_from([0, 1, 0, 1, 0, 1, -1, 3]),
        "by": st.sampled_from(UNITS),
        "val": vals,
    },
    "loso": {
        "seed": seeds,
        "fold": st.sampled_from([0, 1, 2, 0, 1, -1, 6]),
        "by": st.sampled_from(["speaker", "session", "speaker", "session", "clip", "sex"]),
        "val": vals,
    },
    "official": {},
    "cross_corpus": {
        "seed": seeds,
        "by": st.sampled_from([*UNITS, *UNITS, "sentence"]),
        "val": vals,
        "test_corpora": st.sampled_from([["second"], ["first"]] * 4 + [["first", "second"], [], ["third"], "first"]),
    },
}
"""Each split's options, good ones and bad ones."""


def test_every_split_has_its_choices_here() -> None:
    assert set(CHOICES) == set(SPLITS)


def outcome(clips: list[Clip], name: str, sounds: Mapping[str, str | None], options: dict[str, Any]) -> Split | str:
    """The split, or why there is none; of few draws, for how even they are is looked at elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ser.data.splits.CANDIDATES", 10)
        try:
            return split_clips(clips, name, sounds, **options)
        except SplitError as error:
            return str(error)


def are_twins(one: Clip, other: Clip, sounds: Mapping[str, str | None]) -> bool:
    """Whether they sound the same, one is made of the other, or both of a third."""
    sound = sounds.get(one.name)
    made_of = one.original == other.name or other.original == one.name
    third = one.original is not None and one.original == other.original
    return made_of or third or (sound is not None and sound == sounds.get(other.name))


def parted_twins(split: Split, sounds: Mapping[str, str | None]) -> set[tuple[str, ...]]:
    """Pairs of twins on two sides."""
    return {
        tuple(sorted((one.name, other.name)))
        for side, another in combinations(sides(split), 2)
        for one in side
        for other in another
        if are_twins(one, other, sounds)
    }


def shared(some: Sequence[Sequence[Clip]], what: str) -> bool:
    """Whether any two of the sides share a speaker or a session."""
    values = [{getattr(one, what) for one in side} for side in some]
    return any(one & other for one, other in combinations(values, 2))


@pytest.mark.parametrize("name", SPLITS)
@settings(deadline=None, max_examples=60)
@given(data=st.data(), corpus=corpora(unknown=("speaker", "session", "split"), roaming=True), order=st.randoms())
def test_every_split_is_whole_and_keeps_its_promise_or_is_refused_with_a_flag_to_set(
    name: str, data: st.DataObject, corpus: Corpus, order: random.Random
) -> None:
    options = data.draw(st.fixed_dictionaries(CHOICES[name]))
    split = outcome(corpus.clips, name, corpus.sounds, options)
    shuffled = corpus.clips.copy()
    order.shuffle(shuffled)
    assert outcome(shuffled, name, corpus.sounds, options) == split
    if isinstance(split, str):
        assert FLAG.search(split), split
        return
    whole = replace(split, train=split.train + split.left_out)
    assert is_whole(whole, corpus.clips)
    assert all(sides(split))
    assert name == "cross_corpus" or not split.left_out
    assert all(side == sorted(side, key=lambda one: one.name) for side in sides(split))
    if name == "stratified":
        assert {one.emotion for one in split.train} == {one.emotion for one in corpus.clips}
    parted = parted_twins(split, corpus.sounds)
    assert name == "stratified" or not parted
    listed = split.leakage().recordings
    assert all(any(set(pair) <= set(names) for names in listed) for pair in parted)
    assert bool(listed) == bool(parted)
    by = options.get("by", "speaker")
    if name not in ("stratified", "official") and by != "clip":
        assert not shared(sides(split), "speaker")
        assert not shared([split.train, split.val] if name == "cross_corpus" else sides(split), by)


FLAG = re.compile(r"\b(split|labels|dataset)(\.\w+)?=")


def pieces(corpus: Corpus, by: str) -> list[set[str]]:
    """Names of the clips that must stay together."""
    ties: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in corpus.clips:
        ties[by, getattr(one, by)].add(one.name)
    for one, other in combinations(corpus.clips, 2):
        if are_twins(one, other, corpus.sounds):
            ties[one.name, other.name] = {one.name, other.name}
    apart: list[set[str]] = []
    for names in ties.values():
        touching = [piece for piece in apart if piece & names]
        apart = [piece for piece in apart if not piece & names] + [names.union(*touching)]
    return apart


@settings(deadline=None, max_examples=60)
@given(
    corpus=corpora(twins=5),
    seed=seeds,
    test=st.sampled_from([0.1, 0.3, 0.6]),
    val=st.sampled_from([0.05, 0.15, 0.5]),
)
def test_speakers_with_common_recordings_are_one_and_others_stay_apart(
    corpus: Corpus, seed: int, test: float, val: float
) -> None:
    split = outcome(corpus.clips, "speaker", corpus.sounds, {"seed": seed, "test": test, "val": val})
    people = pieces(corpus, "speaker")
    left = len(people) - ceil(test * len(people))
    assert isinstance(split, str) == (left < 2 or left == ceil(val * left))
    if not isinstance(split, str):
        counts = [sum(bool(piece & set(side)) for piece in people) for side in names(split)]
        assert counts == [left - ceil(val * left), ceil(val * left), len(people) - left]


@settings(deadline=None, max_examples=40)
@given(corpus=corpora(), seed=seeds, folds=st.integers(2, 4), by=st.sampled_from(UNITS))
def test_over_all_folds_no_clip_is_tested_twice_and_none_is_left_out(
    corpus: Corpus, seed: int, folds: int, by: str
) -> None:
    splits = [
        outcome(corpus.clips, "kfold", corpus.sounds, {"seed": seed, "folds": folds, "fold": fold, "by": by})
        for fold in range(folds)
    ]
    tested = Counter(one.name for split in splits if isinstance(split, Split) for one in split.test)
    assert set(tested.values()) <= {1}
    if not any(isinstance(split, str) for split in splits):
        assert set(tested) == {one.name for one in corpus.clips}


@settings(deadline=None, max_examples=40)
@given(corpus=corpora(), seed=seeds, by=st.sampled_from(["speaker", "session"]))
def test_one_by_one_everyone_is_tested_once(corpus: Corpus, seed: int, by: str) -> None:
    people = pieces(corpus, by)
    splits = [
        outcome(corpus.clips, "loso", corpus.sounds, {"seed": seed, "fold": fold, "by": by})
        for fold in range(len(people))
    ]
    if len(people) < 3:
        assert all(isinstance(split, str) for split in splits)
        return
    tested = [{one.name for one in split.test} for split in splits if isinstance(split, Split)]
    assert sorted(map(sorted, tested)) == sorted(map(sorted, people))
    assert f"between 0 and {len(people) - 1}" in refusal(corpus.clips, "loso", corpus.sounds, fold=len(people), by=by)


@settings(deadline=None, max_examples=60)
@given(corpus=corpora(), seed=seeds, by=st.sampled_from(UNITS), test=st.sampled_from(["first", "second"]))
def test_another_corpus_is_tested_whole_but_for_emotions_that_it_does_not_share(
    corpus: Corpus, seed: int, by: str, test: str
) -> None:
    split = outcome(corpus.clips, "cross_corpus", corpus.sounds, {"seed": seed, "by": by, "test_corpora": [test]})
    if isinstance(split, str):
        return
    inside = [one for one in corpus.clips if one.corpus == test]
    outside = [one for one in corpus.clips if one.corpus != test]
    common = {one.emotion for one in inside} & {one.emotion for one in outside}
    assert split.test == [one for one in inside if one.emotion in common]
    assert split.left_out == [one for one in corpus.clips if one.emotion not in common]
    learnt = sorted(split.train + split.val, key=lambda one: one.name)
    assert learnt == [one for one in outside if one.emotion in common]


def test_five_folds_of_crema_d_test_every_clip_once_and_no_actor_twice() -> None:
    folds = [split_clips(CREMA, "kfold", fold=fold) for fold in range(5)]
    assert Counter(one.name for split in folds for one in split.test) == Counter(one.name for one in CREMA)
    actors = [{one.speaker for one in split.test} for split in folds]
    assert sum(map(len, actors)) == 91
    assert {len(fold) for fold in actors} == {18, 19}
    for split in folds:
        assert is_whole(split, CREMA)
        assert not leaks(split)
        counts = Counter(one.emotion for one in split.test)
        for emotion, count in Counter(one.emotion for one in CREMA).items():
            assert counts[emotion] / count == pytest.approx(0.2, abs=0.015)


@pytest.mark.parametrize(("by", "folds"), [("speaker", 2), ("speaker", 8), ("session", 4), ("clip", 3)])
def test_folds_test_every_clip_once_whatever_they_keep_together(by: str, folds: int) -> None:
    clips = [replace(one, original="a_sad_val" if one.name.startswith("a_sad") else None) for one in party()]
    sounds = {"b_happy_val": "1", "b_happy_test": "1", "c_sad_train": "2", "c_sad_val": "2", "h_sad_val": None}
    splits = [split_clips(clips, "kfold", sounds, folds=folds, fold=fold, by=by) for fold in range(folds)]
    assert Counter(one.name for split in splits for one in split.test) == Counter(one.name for one in clips)
    assert all(split.test for split in splits)
    assert not any(parted_twins(split, sounds) for split in splits)
    assert [len(split.test) for split in splits] == [48 // folds] * folds


def test_the_seed_draws_the_folds() -> None:
    first, again, other = (split_clips(CREMA[:900], "kfold", seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert {one.speaker for one in first.test} != {one.speaker for one in other.test}


def test_an_emotion_that_not_every_fold_can_have_is_no_reason_to_refuse_or_to_warn() -> None:
    clips = [*party(), clip("rare", "fear", "a")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folds = [split_clips(clips, "kfold", folds=4, fold=fold) for fold in range(4)]
    assert [sum(one.emotion == "fear" for one in split.test) for split in folds].count(1) == 1


def test_one_speaker_after_the_other_in_alphabetical_order() -> None:
    clips = party("dacb")
    for fold, speaker in enumerate("abcd"):
        split = split_clips(clips, "loso", fold=fold)
        assert {one.speaker for one in split.test} == {speaker}
        assert is_whole(split, clips)
        assert not leaks(split)


def test_one_session_after_the_other() -> None:
    clips = party()
    for fold in range(4):
        split = split_clips(clips, "loso", fold=fold, by="session")
        assert {one.session for one in split.test} == {f"{fold}"}
        assert is_whole(split, clips)
        assert not shared(sides(split), "session")


def test_two_who_share_a_recording_are_tested_together_as_the_first_of_them() -> None:
    clips = party("abcde")
    sounds = {"b_happy_train": "1", "d_sad_val": "1"}
    tested = [{one.speaker for one in split_clips(clips, "loso", sounds, fold=fold).test} for fold in range(4)]
    assert tested == [{"a"}, {"b", "d"}, {"c"}, {"e"}]
    assert "between 0 and 3" in refusal(clips, "loso", sounds, fold=4)


def test_a_chain_of_copies_across_speakers_is_one_unit_in_any_order_of_the_links() -> None:
    for chain in (["a", "c", "e"], ["e", "c", "a"], ["c", "a", "e"]):
        made_of = dict(pairwise(chain))
        clips = [
            replace(one, original=f"{made_of[one.speaker]}_sad_val")
            if one.name.endswith("_sad_val") and one.speaker in made_of
            else one
            for one in party("abcdef")
        ]
        assert {one.speaker for one in split_clips(clips, "loso", fold=0).test} == {"a", "c", "e"}
        assert {one.speaker for one in split_clips(clips, "loso", fold=1).test} == {"b"}


def test_copies_of_a_recording_that_is_not_there_are_twins() -> None:
    clips = [
        replace(one, original="studio/7" if one.name in ("a_sad_val", "d_happy_test") else None) for one in party()
    ]
    assert {one.speaker for one in split_clips(clips, "loso", fold=0).test} == {"a", "d"}


def test_silent_clips_are_no_twins() -> None:
    clips = party("abc")
    assert {one.speaker for one in split_clips(clips, "loso", dict.fromkeys(one.name for one in clips)).test} == {"a"}


@pytest.mark.parametrize("fold", [-1, 5, 100])
def test_a_fold_that_is_not_there(fold: int) -> None:
    assert f"split.fold={fold} must lie between 0 and 4" in refusal(party(), "kfold", fold=fold)
    assert f"split.fold={fold} must lie between 0 and 4" in refusal(party("abcde"), "loso", fold=fold)


@pytest.mark.parametrize("folds", [-1, 0, 1, 9])
def test_a_number_of_folds_that_cannot_be(folds: int) -> None:
    assert f"split.folds={folds} must lie between 2 and 8, the speakers" in refusal(party(), "kfold", folds=folds)


def test_more_folds_than_sessions_and_more_than_clips_of_any_emotion() -> None:
    assert "between 2 and 4, the sessions" in refusal(party(), "kfold", folds=5, by="session")
    scarce = [
        clip(f"{speaker}{emotion}", emotion, speaker)
        for speaker in "abcdefgh"
        for emotion in (f"only {speaker}", "sad")
    ]
    assert "(split.folds=)" in refusal([one for one in scarce if one.emotion != "sad"], "kfold", folds=2)


@pytest.mark.parametrize("by", ["speakers", "", "emotion", None])
def test_units_that_are_not_known(by: str | None) -> None:
    assert f"split.by={by!r} must be one of speaker, session, clip" in refusal(party(), "kfold", by=by)
    both = party("abcd", "first") + party("efgh", "second")
    assert f"split.by={by!r} must be one of" in refusal(both, "cross_corpus", by=by, test_corpora=["second"])
    assert f"split.by={by!r} must be speaker or session" in refusal(party(), "loso", by=by)


def test_leaving_one_clip_out_is_refused_and_pointed_to_folds() -> None:
    message = refusal(party(), "loso", by="clip")
    assert "split.by='clip' must be speaker or session" in message
    assert "split=kfold" in message


@pytest.mark.parametrize(("name", "by"), [("kfold", "session"), ("loso", "session"), ("kfold", "speaker")])
def test_clips_whose_speaker_or_session_is_not_known(name: str, by: str) -> None:
    nothing: dict[str, Any] = {by: None}
    clips = [replace(one, **nothing) if one.name.startswith("c_sad") else one for one in party()]
    message = refusal(clips, name, by=by)
    assert f"needs every clip's {by}, and 3 have none (such as 'c_sad_test')" in message
    assert f"column {by}" in message
    assert split_clips(clips, "kfold", by="clip").test


@pytest.mark.parametrize("name", ["kfold", "loso"])
def test_a_speaker_of_two_sessions_is_named_and_refused_where_sessions_part_them(name: str) -> None:
    clips = [replace(one, session="3") if one.name == "a_sad_val" else one for one in party()]
    options: dict[str, Any] = {"by": "session"} | ({"folds": 4} if name == "kfold" else {})
    outcomes = [outcome(clips, name, {}, {**options, "fold": fold}) for fold in range(4)]
    refused = [why for why in outcomes if isinstance(why, str)]
    assert len(refused) >= 2, "where either session is tested"
    for message in refused:
        assert f"split={name} has 1 speakers on two sides, a, with the clips a_" in message
        assert "a_sad_val" in message
        assert "split=official" in message


def test_messages_list_ten_names_at_most() -> None:
    clips = [replace(one, session=one.split) for one in party("abcdefghijklmn")]
    message = refusal(clips, "loso", by="session")
    assert "14 speakers on two sides, a, b, c, d, e, f, g, h, i, j and 4 more, with the clips" in message


TWO = [*party("abcd", "first", ("happy", "sad", "calm")), *party("efgh", "second", ("happy", "sad", "fear"))]


@pytest.mark.parametrize(("tested", "other"), [("first", "second"), ("second", "first")])
def test_a_corpus_is_tested_with_what_another_taught(tested: str, other: str) -> None:
    split = split_clips(TWO, "cross_corpus", test_corpora=[tested])
    assert {one.name for one in split.test} == {
        one.name for one in TWO if one.corpus == tested and one.emotion in ("happy", "sad")
    }
    assert {one.emotion for one in split.left_out} == {"calm", "fear"}
    assert len(split.left_out) == 24
    assert {one.corpus for one in split.train + split.val} == {other}
    assert not leaks(split)
    assert is_whole(replace(split, train=split.train + split.left_out), TWO)


def test_several_corpora_can_be_tested_and_several_learnt_from() -> None:
    three = [*TWO, *party("ijkl", "third")]
    split = split_clips(three, "cross_corpus", test_corpora=["first", "third"])
    assert {one.corpus for one in split.test} == {"first", "third"}
    assert {one.corpus for one in split.train} == {"second"}
    split = split_clips(three, "cross_corpus", test_corpora=["third"])
    assert {one.corpus for one in split.train} == {"first", "second"}


@pytest.mark.parametrize("tested", [[], ["first", "second"], ["third"], ["first", "third"], "first", "", ()])
def test_corpora_to_test_that_cannot_be(tested: Sequence[str]) -> None:
    message = refusal(TWO, "cross_corpus", test_corpora=tested)
    assert f"split.test_corpora={tested} must list some of the run's corpora, first, second, and not all" in message
    assert "dataset=multi" in message


def test_a_string_is_no_list_of_corpora_even_if_each_letter_names_one() -> None:
    three = [*party("abcd", "x"), *party("efgh", "y"), *party("ijkl", "z")]
    assert "split.test_corpora=xy must list" in refusal(three, "cross_corpus", test_corpora="xy")
    assert split_clips(three, "cross_corpus", test_corpora=["x", "y"]).test


def test_a_single_corpus_cannot_be_tested_on_itself() -> None:
    assert "corpora, first, and not all" in refusal(party(corpus="first"), "cross_corpus", test_corpora=["first"])
    assert "split.test_corpora=() must list" in refusal(TWO, "cross_corpus")


@pytest.mark.parametrize("emotions", [("happy", "fear"), ("fear", "calm")])
def test_corpora_that_share_fewer_than_two_emotions(emotions: tuple[str, str]) -> None:
    clips = party("abcd", "first") + party("efgh", "second", emotions)
    message = refusal(clips, "cross_corpus", test_corpora=["second"])
    assert f"learn from show happy, sad, those to test on {', '.join(sorted(emotions))}" in message
    assert "labels.merge=" in message


def test_a_recording_of_two_corpora_is_named_and_refused() -> None:
    sounds = {"firsta_sad_val": "1", "secondf_happy_test": "1", "firstb_sad_val": "2", "firstc_sad_val": "2"}
    message = refusal(TWO, "cross_corpus", sounds, test_corpora=["second"])
    assert "has 1 recordings on two sides: firsta_sad_val = secondf_happy_test;" in message
    copied = [replace(one, original="secondf_sad_val") if one.name == "firsta_sad_val" else one for one in TWO]
    assert "firsta_sad_val = secondf_sad_val" in refusal(copied, "cross_corpus", test_corpora=["second"])


def test_a_speaker_of_two_corpora_is_refused_unless_clips_are_what_is_kept_together() -> None:
    clips = [*party("abcd", "first"), *party("defg", "second")]
    assert "1 speakers on two sides, d," in refusal(clips, "cross_corpus", test_corpora=["second"])
    split = split_clips(clips, "cross_corpus", test_corpora=["second"], by="clip")
    assert split.leakage().seen == ["d"]


def test_too_few_speakers_to_learn_from_another_corpus() -> None:
    clips = party("a", "first") + party("efgh", "second")
    assert "run out at a;" in refusal(clips, "cross_corpus", test_corpora=["second"])


def test_the_official_split_may_part_speakers() -> None:
    split = split_clips(party(), "official")
    assert [len(side) for side in sides(split)] == [16, 16, 16]
    assert split.leakage() == Leakage(seen=list("abcdefgh"), test_speakers=8, speakers=list("abcdefgh"), recordings=[])


@pytest.mark.parametrize(("one", "other"), [("train", "test"), ("train", "val"), ("val", "test")])
def test_the_official_split_may_not_part_twins(one: str, other: str) -> None:
    sounds = {f"a_sad_{one}": "1", f"b_happy_{other}": "1", "c_sad_test": "2", "d_sad_test": "2"}
    message = refusal(party(), "official", sounds)
    assert f"split=official has 1 recordings on two sides: a_sad_{one} = b_happy_{other}; give all copies" in message
    copied = [replace(each, original=f"b_happy_{other}") if each.name == f"a_sad_{one}" else each for each in party()]
    assert f"a_sad_{one} = b_happy_{other}" in refusal(copied, "official")
    copied = [
        replace(each, original="gone") if each.name in (f"a_sad_{one}", f"b_happy_{other}") else each
        for each in party()
    ]
    assert f"a_sad_{one} = b_happy_{other}" in refusal(copied, "official")


def test_the_reports_split_parts_twins_as_scikit_learn_does_and_lists_them() -> None:
    plain = split_clips(CREMA, "stratified")
    first, second, third = plain.train[0].name, plain.test[0].name, plain.test[1].name
    sounds = {
        first: "1",
        second: "1",
        plain.val[0].name: "2",
        third: "2",
        plain.train[1].name: "3",
        plain.train[2].name: "3",
    }
    split = split_clips(CREMA, "stratified", sounds)
    assert names(split) == names(plain)
    assert split.hash == plain.hash
    assert split.leakage().recordings == sorted(
        [tuple(sorted((first, second))), tuple(sorted((plain.val[0].name, third)))]
    )
    assert plain.leakage().recordings == []


def test_twins_of_one_actor_make_no_difference_to_the_speaker_split() -> None:
    by_actor = defaultdict(list)
    for one in sorted(CREMA, key=lambda one: one.name):
        by_actor[one.speaker].append(one.name)
    sounds = {name: f"{actor}" for actor, of_actor in by_actor.items() for name in of_actor[:2]}
    for name in ("speaker", "kfold"):
        assert names(split_clips(CREMA, name, sounds)) == names(split_clips(CREMA, name))
    across = {by_actor["1001"][0]: "1", by_actor["1002"][0]: "1", by_actor["1003"][0]: "1"}
    together = split_clips(CREMA, "speaker", across)
    assert sum({"1001", "1002", "1003"} <= {one.speaker for one in side} for side in sides(together)) == 1
    assert sum(len({one.speaker for one in side}) for side in sides(together)) == 91


def test_a_hash_is_that_of_the_sides_and_the_labels() -> None:
    clips = party()
    split = split_clips(clips, "speaker")
    assert re.fullmatch("[0-9a-f]{12}", split.hash)
    assert split_clips(clips[::-1], "speaker").hash == split.hash
    assert replace(split, train=split.train[::-1], fingerprints={"a_sad_val": "1"}).hash == split.hash
    first, *others = split.train
    changed = {
        split.hash,
        Split(others, [first, *split.val], split.test).hash,
        Split(others, split.val, [first, *split.test]).hash,
        Split(others, split.val, split.test).hash,
        Split([replace(first, emotion="calm"), *others], split.val, split.test).hash,
        Split([replace(first, name="other"), *others], split.val, split.test).hash,
        Split(split.train, split.test, split.val).hash,
    }
    assert len(changed) == 7
    assert replace(split, train=[replace(first, path=Path("elsewhere"), age=7), *others]).hash == split.hash


def test_a_leak_is_named_and_counted() -> None:
    train = [clip("1", speaker="b"), clip("2", speaker="a"), clip("3", original="8"), clip("4", speaker="e")]
    val = [clip("5", speaker="c"), clip("6", speaker="e", original="gone")]
    test = [clip("7", speaker="b"), clip("8", speaker="c"), clip("9", speaker="d", original="gone"), clip("10")]
    sounds = {"1": "x", "7": "x", "5": "x", "2": "y", "4": "y", "10": None, "6": None}
    assert Split(train, val, test, [clip("11", speaker="a")], sounds).leakage() == Leakage(
        seen=["b", "c"],
        test_speakers=3,
        speakers=["b", "c", "e"],
        recordings=[("1", "5", "7"), ("3", "8"), ("6", "9")],
        unknown=True,
    )
    assert Split(train[:2], [], []).leakage() == Leakage([], 0, [], [])


def test_names_that_stand_for_two_clips_and_no_clips_at_all() -> None:
    for name in SPLITS:
        assert "1 names stand for more than one clip, such as 'a_happy_val'" in refusal([*party(), party()[1]], name)
        assert "no clips to divide" in refusal([], name)
        assert "dataset.root=" in refusal([], name)


def real(folder: str) -> Path:
    """A folder of real clips; skips where there is none."""
    root = Path(os.environ.get("SER_TEST_DATA", "")) / folder
    if "SER_TEST_DATA" not in os.environ or not root.is_dir():
        pytest.skip(f"no real clips: set SER_TEST_DATA to a folder that holds {folder}")
    return root


def test_five_folds_of_emodb_test_two_speakers_each_and_every_clip_once() -> None:
    clips = emodb.read(real("emodb"))
    folds = [split_clips(clips, "kfold", fold=fold) for fold in range(5)]
    assert Counter(one.name for split in folds for one in split.test) == Counter(one.name for one in clips)
    assert sum(len(split.test) for split in folds) == 535
    for split in folds:
        assert [len({one.speaker for one in side}) for side in sides(split)] == [6, 2, 2]
        assert len({one.emotion for one in split.test}) == 7
        assert is_whole(split, clips)
        assert not leaks(split)


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_released_twins_are_found_at_any_rate_and_kept_together(rate: int) -> None:
    files = {path.stem: path for path in sorted(real("oddities").glob("*.wav"))}
    sounds = fingerprints(dict(zip(files, decode(list(files.values()), rate), strict=True)))
    twins = [
        ("03-01-03-01-02-01-07", "03-01-03-01-02-02-07"),
        ("1006_TIE_HAP_XX", "1006_TIE_NEU_XX"),
        ("1013_WSI_DIS_XX", "1013_WSI_SAD_XX"),
        ("1017_IWW_ANG_XX", "1017_IWW_FEA_XX"),
    ]
    assert [pair for pair in combinations(files, 2) if sounds[pair[0]] == sounds[pair[1]]] == twins
    assert {name for name, sound in sounds.items() if sound is None} == {"1076_MTI_SAD_XX"}
    clips = [crema_clip(name) for name in files if name.startswith("1")]
    splits = [split_clips(clips, "kfold", sounds, folds=2, fold=fold, by="clip") for fold in range(2)]
    assert Counter(one.name for split in splits for one in split.test) == Counter(one.name for one in clips)
    assert not any(parted_twins(split, sounds) for split in splits)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("kfold", "folds", 2.5),
        ("kfold", "fold", "x"),
        ("speaker", "seed", -1),
        ("speaker", "test", 1),
        ("speaker", "val", 3),
        ("stratified", "test", None),
    ],
)
def test_an_option_of_the_wrong_kind_is_refused_by_its_name(name: str, option: str, value: object) -> None:
    with pytest.raises(SplitError, match=rf"split\.{option}={value} must"):
        split_clips(CREMA, name, **{option: value})


def test_an_option_of_another_split_is_refused() -> None:
    with pytest.raises(SplitError, match=r"split=loso has no option split\.folds=; it has seed, fold, by, val"):
        split_clips(CREMA, "loso", folds=3)


def test_a_chain_of_copies_is_one_recording() -> None:
    chain = [replace(clip("a"), original="b"), replace(clip("b"), original="c"), clip("c")]
    assert Split([chain[0]], [chain[1]], [chain[2]]).leakage().recordings == [("a", "b", "c")]


@pytest.mark.parametrize(
    ("one", "other"), [("ann", "Ann"), ("1001", "1001.0"), ("a b", "a\u00a0b"), ("\u00eb", "e\u0308")]
)
def test_the_guard_knows_speakers_in_any_spelling(one: str, other: str) -> None:
    found = Split([clip("1", speaker=one)], [clip("2", speaker="x")], [clip("3", speaker=other)]).leakage()
    assert (found.seen, found.test_speakers, len(found.speakers)) == ([other], 1, 1)
    spelt = [clip(f"{i}", ("happy", "sad")[i % 2], speaker=(one, other, "x", "y", "z")[i % 5]) for i in range(40)]
    split = split_clips(spelt, "speaker", test=0.3, val=0.3)
    sides = [{c.speaker for c in getattr(split, side)} for side in ("train", "val", "test")]
    assert sum(bool({one, other} & side) for side in sides) == 1
