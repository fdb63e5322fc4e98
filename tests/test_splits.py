import random
from collections import Counter
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from ser.corpora import Clip
from ser.corpora.crema_d import EMOTIONS
from ser.splits import Split, SplitError, split_clips

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


def clip(name: str, emotion: str = "happy", speaker: str | None = None, split: str | None = None) -> Clip:
    return Clip(name, Path(name), emotion, speaker, split=split)


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


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_order_makes_no_difference_to_the_reports_split(seed: int) -> None:
    shuffled = CREMA.copy()
    random.Random(seed).shuffle(shuffled)
    assert split_clips(shuffled, "stratified") == split_clips(CREMA, "stratified")


@pytest.mark.parametrize("name", ["stratified", "speaker", "official"])
def test_order_makes_no_difference_to_any_split(name: str) -> None:
    marks = ("train", "val", "test")
    clips = [
        clip(f"{speaker}_{emotion}_{take}", emotion, str(speaker), marks[(speaker + take) % 3])
        for speaker in range(12)
        for emotion in ("happy", "sad")
        for take in range(4)
    ]
    expected = split_clips(clips, name)
    for seed in range(10):
        random.Random(seed).shuffle(clips)
        assert split_clips(clips, name) == expected
    assert all(side == sorted(side, key=lambda one: one.name) for side in sides(expected))


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


small_corpora = st.lists(
    st.tuples(st.sampled_from("abcdefg"), st.sampled_from(["anger", "happy", "sad", "fear"])), min_size=0, max_size=40
)


@settings(deadline=None)
@given(
    corpus=small_corpora,
    seed=st.integers(0, 2**32 - 1),
    test=st.sampled_from([0.1, 0.3, 0.5, 0.9]),
    val=st.sampled_from([0.05, 0.15, 0.5, 0.9]),
)
def test_the_speaker_split_of_a_small_corpus_is_valid_or_refused(
    corpus: list[tuple[str, str]], seed: int, test: float, val: float
) -> None:
    clips = [clip(f"{i}", emotion, speaker) for i, (speaker, emotion) in enumerate(corpus)]
    try:
        split = split_clips(clips, "speaker", seed=seed, test=test, val=val)
    except SplitError:
        split = None
    people = len({speaker for speaker, _ in corpus})
    left = people - ceil(test * people)
    assert (split is None) == (left < 2 or left == ceil(val * left))
    if split is None:
        return
    assert is_whole(split, clips)
    assert not leaks(split)
    assert all(sides(split))
    assert in_common(split) == (0, len({one.speaker for one in split.test}))


@settings(deadline=None, max_examples=50)
@given(
    corpus=small_corpora, seed=st.integers(0, 99), test=st.sampled_from([0.3, 0.5]), val=st.sampled_from([0.05, 0.4])
)
def test_the_stratified_split_of_a_small_corpus_is_valid_or_refused(
    corpus: list[tuple[str, str]], seed: int, test: float, val: float
) -> None:
    clips = [clip(f"{i}", emotion, speaker) for i, (speaker, emotion) in enumerate(corpus)]
    try:
        split = split_clips(clips, "stratified", seed=seed, test=test, val=val)
    except SplitError:
        return
    assert is_whole(split, clips)
    assert all(sides(split))
    assert {one.emotion for one in split.train} == {one.emotion for one in clips}


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


def in_common(split: Split) -> tuple[int, int]:
    """Test speakers heard in training or validation, and test speakers."""
    leakage = split.leakage()
    return len(leakage.heard), leakage.test_speakers


def refusal(clips: list[Clip], name: str, **shares: float) -> str:
    with pytest.raises(SplitError) as caught:
        split_clips(clips, name, **shares)
    return str(caught.value)


def test_no_split_of_that_name() -> None:
    assert "'random'" in refusal(CREMA, "random")
    assert "stratified, speaker, kfold, loso, official, cross_corpus" in refusal(CREMA, "random")


def test_too_few_clips_of_an_emotion() -> None:
    message = refusal([clip(str(i), "rare" if i == 0 else "happy") for i in range(20)], "stratified")
    assert "'rare': 1" in message
    assert "record more clips of the rare emotions" in message
    assert "split.test=" in message


@pytest.mark.parametrize("clips", [[], [clip("1")], [clip("1"), clip("2", "sad")]])
def test_hardly_any_clips(clips: list[Clip]) -> None:
    assert "record more clips" in refusal(clips, "stratified")


@pytest.mark.parametrize("shares", [{"test": 0.0}, {"test": 1.0}, {"test": 1.5}, {"val": 0.0}, {"val": -0.1}])
@pytest.mark.parametrize("name", ["stratified", "speaker"])
def test_shares_that_leave_a_side_empty(name: str, shares: dict[str, float]) -> None:
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
