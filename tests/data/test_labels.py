from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from ser.data.corpora import EMOTIONS, Clip
from ser.data.labels import LabelError, Labels, refuse_lost
from tests.helpers import composed


def clips(*emotions: str, corpus: str = "mine", votes: dict[str, int] | None = None) -> list[Clip]:
    """One clip of each emotion, in this order."""
    return [
        Clip(f"{corpus}/{number}", Path(f"{number}.wav"), emotion, corpus=corpus, votes=votes)
        for number, emotion in enumerate(emotions)
    ]


def classes(labels: Labels, given: list[Clip]) -> list[str]:
    return [clip.emotion for clip in labels.apply(given)[0]]


def refusal(labels: Labels, given: list[Clip]) -> str:
    with pytest.raises(LabelError) as caught:
        labels.apply(given)
    return str(caught.value)


THREE = clips("sad", "happy", "calm", "sad", "happy", "sad")


def test_without_a_choice_clips_stay_as_they_are() -> None:
    assert Labels().apply(THREE) == (THREE, {})


def test_kept_classes_stay_in_order_and_the_others_are_counted() -> None:
    kept, left_out = Labels(keep=["happy", "calm"]).apply(THREE)
    assert kept == [THREE[1], THREE[2], THREE[4]]
    assert left_out == {"sad": 3}


def test_dropped_classes_go_and_are_counted() -> None:
    kept, left_out = Labels(drop=["calm"]).apply(THREE)
    assert kept == [clip for clip in THREE if clip.emotion != "calm"]
    assert left_out == {"calm": 1}


def test_what_is_kept_and_dropped_goes() -> None:
    four = [*THREE, *clips("fear", corpus="more")]
    kept, left_out = Labels(keep=["fear", "happy", "sad"], drop=["sad"]).apply(four)
    assert Counter(clip.emotion for clip in kept) == {"happy": 2, "fear": 1}
    assert left_out == {"calm": 1, "sad": 3}
    assert list(left_out) == ["calm", "sad"], "in alphabetical order"


def test_merged_classes_are_one_and_nothing_else_of_a_clip_changes() -> None:
    merged, left_out = Labels(merge={"calm": "happy"}).apply(THREE)
    assert merged == [replace(clip, emotion="sad" if clip.emotion == "sad" else "happy") for clip in THREE]
    assert left_out == {}
    assert [clip.emotion for clip in THREE] == ["sad", "happy", "calm", "sad", "happy", "sad"], "as they came"


def test_a_class_can_be_merged_into_a_new_one() -> None:
    good = Labels(merge={"happy": "good", "calm": "good"})
    assert classes(good, THREE) == ["sad", "good", "good", "sad", "good", "sad"]


def test_classes_can_change_places() -> None:
    swapped = Labels(merge={"happy": "sad", "sad": "happy"})
    assert classes(swapped, THREE) == ["happy", "sad", "calm", "happy", "sad", "happy"]


def test_merging_comes_before_keeping_and_dropping() -> None:
    kept, left_out = Labels(merge={"calm": "low", "sad": "low"}, keep=["low", "happy"]).apply(THREE)
    assert (len(kept), left_out) == (6, {})
    four = [*THREE, *clips("fear")]
    kept, left_out = Labels(merge={"calm": "low", "sad": "low"}, drop=["low"]).apply(four)
    assert Counter(clip.emotion for clip in kept) == {"happy": 2, "fear": 1}
    assert left_out == {"low": 4}
    assert "labels.keep names sad" in refusal(Labels(merge={"sad": "low"}, keep=["sad", "happy"]), THREE)
    assert "labels.drop names sad" in refusal(Labels(merge={"sad": "low"}, drop=["sad"]), THREE)


def test_a_class_of_one_corpus_can_be_merged_and_that_of_another_left() -> None:
    both = clips("calm", "happy", corpus="ravdess") + clips("calm", "sad", corpus="mine")
    assert classes(Labels(merge={"ravdess/calm": "neutral"}), both) == ["neutral", "happy", "calm", "sad"]
    everywhere = Labels(merge={"calm": "sad", "ravdess/calm": "neutral"})
    assert classes(everywhere, both) == ["neutral", "happy", "sad", "sad"], "what is said of the corpus wins"
    kept, left_out = Labels(merge={"ravdess/calm": "neutral"}, drop=["calm"]).apply(both)
    assert [clip.emotion for clip in kept] == ["neutral", "happy", "sad"]
    assert left_out == {"calm": 1}


def test_votes_are_merged_along_and_no_class_of_theirs_is_lost() -> None:
    votes = {"calm": 2, "happy": 3, "sad": 1, "fear": 4}
    first, second = clips("calm", "sad", votes=votes)
    (one, other), _ = Labels(merge={"calm": "happy"}).apply([first, second])
    assert (one.emotion, other.emotion) == ("happy", "sad")
    assert one.votes == other.votes == {"happy": 5, "sad": 1, "fear": 4}
    assert votes == {"calm": 2, "happy": 3, "sad": 1, "fear": 4}, "as they came"


def test_votes_for_a_class_of_one_corpus_are_merged_in_that_corpus_only() -> None:
    votes = {"calm": 2, "sad": 1}
    both = clips("calm", "sad", corpus="here", votes=votes) + clips("calm", corpus="there", votes=votes)
    merged, _ = Labels(merge={"here/calm": "sad"}, drop=None).apply([*both, *clips("happy", corpus="there")])
    assert [clip.votes for clip in merged] == [{"sad": 3}, {"sad": 3}, votes, None]


def test_votes_stay_where_classes_go() -> None:
    given = clips("calm", "happy", "sad", votes={"calm": 2, "happy": 3})
    kept, _ = Labels(keep=["happy", "sad"]).apply(given)
    assert [clip.votes for clip in kept] == [{"calm": 2, "happy": 3}] * 2


@pytest.mark.parametrize(
    ("labels", "unknown"),
    [
        (Labels(merge={"bored": "calm"}), "labels.merge names bored,"),
        (Labels(merge={"theirs/calm": "sad"}), "labels.merge names theirs/calm,"),
        (Labels(merge={"calm": "sad", "b": "x", "a": "x"}), "labels.merge names a, b,"),
        (Labels(keep=["sad", "bored"]), "labels.keep names bored,"),
        (Labels(keep=["mine/sad", "happy"]), "labels.keep names mine/sad,"),
        (Labels(keep=["Sad", "happy"]), "labels.keep names Sad,"),
        (Labels(drop=["bored"]), "labels.drop names bored,"),
    ],
)
def test_what_no_clip_shows_is_named_with_what_they_show(labels: Labels, unknown: str) -> None:
    message = refusal(labels, THREE)
    assert unknown in message
    assert message.endswith("they show calm, happy, sad")


@pytest.mark.parametrize(
    ("labels", "left"),
    [
        (Labels(keep=["sad"]), "leave sad of calm, happy, sad"),
        (Labels(keep=[]), "leave nothing of calm, happy, sad"),
        (Labels(drop=["sad", "calm"]), "leave happy of calm, happy, sad"),
        (Labels(drop=["sad", "calm", "happy"]), "leave nothing of calm, happy, sad"),
        (Labels(keep=["sad", "calm"], drop=["calm"]), "leave sad of calm, happy, sad"),
        (Labels(merge={"sad": "low", "calm": "low"}, drop=["happy"]), "leave low of happy, low"),
        (Labels(merge={"sad": "one", "calm": "one", "happy": "one"}), "leave one of one"),
    ],
)
def test_fewer_than_two_classes_are_refused_with_the_flags_to_look_at(labels: Labels, left: str) -> None:
    message = refusal(labels, THREE)
    assert f"labels {left};" in message
    assert "labels.keep=" in message
    assert "labels.drop=" in message


def test_clips_of_one_emotion_are_refused() -> None:
    assert "leave sad of sad" in refusal(Labels(), clips("sad", "sad"))
    assert "leave nothing of ;" in refusal(Labels(), [])


def test_all_takes_every_class() -> None:
    every = clips(*EMOTIONS)
    assert Labels(**composed()["labels"]).apply(every) == (every, {})
    assert composed()["labels"] == composed("labels=all")["labels"]


def test_hsan_is_happy_sad_anger_neutral() -> None:
    kept, left_out = Labels(**composed("labels=hsan")["labels"]).apply(clips(*EMOTIONS))
    assert [clip.emotion for clip in kept] == ["anger", "happy", "neutral", "sad"]
    assert left_out == dict.fromkeys(sorted(set(EMOTIONS) - {"happy", "sad", "anger", "neutral"}), 1)


def test_iemocap4_takes_excited_for_happy() -> None:
    kept, left_out = Labels(**composed("labels=iemocap4")["labels"]).apply(clips(*EMOTIONS))
    assert [clip.emotion for clip in kept] == ["anger", "happy", "happy", "neutral", "sad"]
    assert set(left_out) == set(EMOTIONS) - {"anger", "excited", "happy", "neutral", "sad"}


def test_iemocap_is_read_with_its_four_classes_unless_told_otherwise() -> None:
    assert composed("dataset=iemocap")["labels"] == composed("labels=iemocap4")["labels"]
    assert composed("dataset=iemocap", "labels=all")["labels"] == composed("labels=all")["labels"]


def test_choices_of_the_command_line_reach_the_clips() -> None:
    cfg = composed("labels.merge={mine/calm:low,sad:low}", "labels.keep=[low,happy]", "labels.drop=null")
    kept, left_out = Labels(**cfg["labels"]).apply([*THREE, *clips("calm", corpus="other")])
    assert Counter(clip.emotion for clip in kept) == {"low": 4, "happy": 2}
    assert left_out == {"calm": 1}


def test_one_word_in_place_of_a_list_is_refused() -> None:
    clips = [Clip(str(i), Path(str(i)), emotion) for i, emotion in enumerate("ab")]
    with pytest.raises(LabelError, match=r"labels\.keep=ab is one word; write labels\.keep='\[ab\]'"):
        Labels(keep="ab").apply(clips)


@pytest.mark.parametrize("word", ["nan", "?", "none", "n/a", "unknown"])
def test_a_label_that_says_nothing_is_known_is_refused_unless_it_is_dropped_or_renamed(word: str) -> None:
    given = clips("happy", "sad", word, word)
    message = refusal(Labels(), given)
    assert f"2 clips have the label {word!r}, which says that their emotion isn't known: labels.drop=" in message
    assert classes(Labels(drop=[word]), given) == ["happy", "sad"]
    assert classes(Labels(keep=["happy", "sad"]), given) == ["happy", "sad"]
    assert classes(Labels(merge={word: "undecided"}), given) == ["happy", "sad", "undecided", "undecided"]


def test_a_class_without_a_usable_clip_is_refused() -> None:
    given = clips("happy", "sad", "very sad", "sad")
    refuse_lost(given, {"mine/1": "it is empty"})
    with pytest.raises(LabelError) as caught:
        refuse_lost(given, {"mine/1": "1.wav: it is empty", "mine/3": "3.wav: too"})
    assert str(caught.value) == (
        "no usable clip of sad: 2 clips can't be used, such as 1.wav: it is empty; mend them, or leave them out "
        "(labels.drop=[sad])"
    )
    with pytest.raises(LabelError, match=r"such as empty; mend them$"):
        refuse_lost(given[:2], {"mine/1": "empty"})
    with pytest.raises(LabelError, match=r"labels\.drop='\[\"very sad\"\]'"):
        refuse_lost(given, {"mine/2": "it is empty"})


@pytest.mark.parametrize("name", ["Sad", "sad ", "s\u200bad"])
def test_a_class_in_two_spellings_is_refused(name: str) -> None:
    message = refusal(Labels(merge={"calm": name}), THREE)
    assert f"{name!a}" in message
    assert "'sad'" in message
    assert "are one name in two spellings" in message
