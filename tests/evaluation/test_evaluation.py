import csv
import gzip
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import bootstrap
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    matthews_corrcoef,
)

from ser.data.corpora import Clip
from ser.data.corpora.crema_d import read as read_crema_d
from ser.evaluation import (
    SCORES,
    Answers,
    AnswersError,
    answers_about,
    compare,
    evaluate,
    intervals,
    join,
    metrics,
    read_answers,
    scores_of,
    write_answers,
)
from ser.evaluation import answers as answers_module

THREE = ["anger", "happy", "sad"]

Numbers = Sequence[int] | NDArray[np.int64]


def counts_of(true: Numbers, predicted: Numbers, classes: int) -> NDArray[np.float64]:
    """A confusion matrix for each clip, the slow way."""
    counts = np.zeros((len(true), classes, classes))
    for i, (row, column) in enumerate(zip(true, predicted, strict=True)):
        counts[i, row, column] = 1
    return counts


def answered(
    true: Numbers,
    predicted: Numbers,
    speakers: Sequence[str] | None = None,
    labels: Sequence[str] = THREE,
    votes: NDArray | None = None,
    **about: list[str],
) -> Answers:
    """Answers of a network that is 80 % sure of each."""
    sure = np.full((len(true), len(labels)), 0.2 / (len(labels) - 1))
    sure[np.arange(len(true)), predicted] = 0.8
    known = {} if speakers is None else {"speaker": list(speakers)}
    clips = [f"clip {i:04}" for i in range(len(true))]
    return Answers(list(labels), clips, np.array(true, dtype=np.int64), sure, {**about, **known}, votes)


def simulated(
    rng: np.random.Generator, people: int, each: int, low: float = 0.2, high: float = 1.0
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """True and predicted classes of three, and speakers, each of whom is understood well or badly."""
    speakers = np.repeat(np.arange(people), each)
    true = rng.integers(0, 3, people * each)
    right = rng.random(people * each) < rng.uniform(low, high, people)[speakers]
    return true, np.where(right, true, (true + rng.integers(1, 3, len(true))) % 3), [f"s{i:03}" for i in speakers]


def expected_scores(true: Numbers, predicted: Numbers) -> dict[str, float]:
    return {
        "accuracy": accuracy_score(true, predicted),
        "macro_f1": f1_score(true, predicted, average="macro", zero_division=0),
        "weighted_f1": f1_score(true, predicted, average="weighted", zero_division=0),
        "uar": balanced_accuracy_score(true, predicted),
        "mcc": matthews_corrcoef(true, predicted),
    }


def floats(scores: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    return {name: float(value) for name, value in scores.items()}


# Scores


@st.composite
def some_answers(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    classes = draw(st.integers(2, 7))
    pairs = draw(st.lists(st.tuples(*[st.integers(0, classes - 1)] * 2), min_size=1, max_size=60))
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs], classes


@given(some_answers())
@settings(max_examples=40, deadline=None)
def test_scores_of_a_confusion_matrix_are_scikit_learns_and_those_of_the_run(
    case: tuple[list[int], list[int], int],
) -> None:
    true, predicted, classes = case
    found = floats(scores_of(confusion_matrix(true, predicted, labels=range(classes)).astype(np.float64)))
    assert tuple(found) == SCORES
    assert found == pytest.approx(expected_scores(true, predicted), abs=1e-9)
    of_the_run = metrics.measures(classes)
    of_the_run.update(torch.tensor(predicted), torch.tensor(true))
    assert found == pytest.approx({name: of_the_run.compute()[name].item() for name in SCORES}, abs=1e-6)


def test_scores_of_many_matrices_at_once_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, (2, 5, 4, 4)).astype(np.float64)
    counts[0, 1, 2] = counts[0, 1, :, 2] = 0  # a class that nobody knows of
    counts[1, 3, 0] = 0  # one that is predicted only
    counts[1, 4] = 0
    found = scores_of(counts)
    assert {values.shape for values in found.values()} == {(2, 5)}
    for place in np.ndindex(2, 5):
        assert {name: values[place] for name, values in found.items()} == floats(scores_of(counts[place]))


def test_a_matrix_of_zeros_has_scores_of_0_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert floats(scores_of(np.zeros((3, 3)))) == dict.fromkeys(SCORES, 0)


def test_answers_that_count_in_parts_have_the_scores_of_their_shares() -> None:
    counts = np.array([[3.0, 1, 0], [2, 5, 1], [0, 0, 4]])
    assert floats(scores_of(counts / 7)) == pytest.approx(floats(scores_of(counts)), abs=1e-12)


# Intervals

NEAR = 0.25
"""How many standard deviations a bound may lie off: four times the error of 2,000 resamples."""


def near(bounds: list[float], middle: float, deviation: float) -> bool:
    low, high = middle - 1.96 * deviation, middle + 1.96 * deviation
    return abs(bounds[0] - low) < NEAR * deviation and abs(bounds[1] - high) < NEAR * deviation


def test_over_clips_the_interval_of_the_accuracy_is_the_binomial_one() -> None:
    clips, right = 5000, 3500
    predicted = [0] * right + [1] * (clips - right)
    found = intervals(counts_of([0] * clips, predicted, 2), [""] * clips)
    assert near(found["accuracy"], 0.7, np.sqrt(0.7 * 0.3 / clips))


def test_over_equally_many_clips_of_each_speaker_it_is_that_of_a_mean_of_speakers() -> None:
    true, predicted, speakers = simulated(np.random.default_rng(1), people=91, each=12)
    found = intervals(counts_of(true, predicted, 3), speakers)
    by_speaker = (true == predicted).reshape(91, 12).mean(1)
    assert near(found["accuracy"], by_speaker.mean(), by_speaker.std() / np.sqrt(91))


def test_accuracy_and_uar_have_the_intervals_of_scipys_bootstrap_over_speakers() -> None:
    rng = np.random.default_rng(2)
    true, predicted, speakers = simulated(rng, people=14, each=30)
    kept = np.flatnonzero(rng.random(len(true)) < np.linspace(0.3, 1, len(true)))  # some say more than others
    true, predicted, speakers = true[kept], predicted[kept], [speakers[i] for i in kept]
    names = sorted(set(speakers))
    by_speaker = np.array(
        [
            confusion_matrix(*(side[np.array(speakers) == name] for side in (true, predicted)), labels=range(3))
            for name in names
        ]
    )

    def accuracy(drawn: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:
        matrix = by_speaker[drawn].sum(-3)
        return np.trace(matrix, axis1=-2, axis2=-1) / matrix.sum((-2, -1))

    def uar(drawn: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:
        matrix = by_speaker[drawn].sum(-3)
        return (np.diagonal(matrix, axis1=-2, axis2=-1) / matrix.sum(-1)).mean(-1)

    found = intervals(counts_of(true, predicted, 3), speakers)
    assert found["over"] == "14 speakers"
    for name, statistic in (("accuracy", accuracy), ("uar", uar)):
        oracle = bootstrap(
            (np.arange(len(names)),),
            statistic,
            vectorized=True,
            axis=-1,
            n_resamples=9999,
            method="percentile",
            rng=np.random.default_rng(3),
        )
        low, high = oracle.confidence_interval
        assert found[name] == pytest.approx([low, high], abs=NEAR * oracle.standard_error)


def over(speakers: Sequence[str]) -> str:
    return intervals(counts_of([0] * len(speakers), [0] * len(speakers), 2), speakers)["over"]


def test_it_says_what_is_resampled_and_why() -> None:
    five = ["a", "b", "c", "d", "e"] * 4
    assert over(five) == "5 speakers"
    assert over(["a", "b", "c", "d"] * 5) == "20 clips, for there are only 4 speakers"
    assert over([*five, ""]) == "21 clips, for not all speakers are known"
    assert over([""] * 3) == "3 clips, for not all speakers are known"


@pytest.mark.parametrize("known", [True, False])
def test_it_does_what_it_says(known: bool) -> None:
    """Clips of a speaker are all alike: speakers are few and clips are many."""
    speakers = [f"{i // 40}" if known else "" for i in range(400)]
    right = [int(i // 40 < 6) for i in range(400)]
    found = intervals(counts_of([1] * 400, right, 2), speakers)
    units = 10 if known else 400
    # The mean of ten speakers moves in steps of a tenth.
    low, high = found["accuracy"]
    deviation = np.sqrt(0.6 * 0.4 / units)
    assert (low, high) == pytest.approx(
        (0.6 - 1.96 * deviation, 0.6 + 1.96 * deviation), abs=1 / units + NEAR * deviation
    )
    assert [units * bound for bound in (low, high)] == pytest.approx([round(units * bound) for bound in (low, high)])


def test_2000_resamples_or_more_and_95_percent() -> None:
    found = intervals(counts_of([0, 1], [0, 0], 2), ["", ""])
    assert found["resamples"] >= 2000
    assert found["confidence"] == 0.95
    assert set(found) == {"over", "confidence", "resamples", *SCORES}


@pytest.mark.parametrize("known", [True, False])
def test_the_same_interval_again_whatever_numpys_state(known: bool) -> None:
    true, predicted, speakers = simulated(np.random.default_rng(4), people=10, each=20)
    counts = counts_of(true, predicted, 3)
    speakers = speakers if known else [""] * len(speakers)
    first = intervals(counts, speakers)
    np.random.default_rng().random()
    np.random.seed(1)
    assert intervals(counts, speakers) == first
    other = intervals(counts, speakers, seed=1)
    assert other != first
    assert other["accuracy"] == pytest.approx(first["accuracy"], abs=0.03)


def test_neither_the_order_of_the_clips_nor_that_of_the_classes_matters() -> None:
    true, predicted, speakers = simulated(np.random.default_rng(5), people=10, each=20)
    first = intervals(counts_of(true, predicted, 3), speakers)
    shuffled = np.random.default_rng(6).permutation(len(true))
    other = intervals(counts_of(2 - true[shuffled], 2 - predicted[shuffled], 3), [speakers[i] for i in shuffled])
    for name in SCORES:
        assert other[name] == pytest.approx(first[name], abs=1e-12)


@pytest.mark.parametrize("speakers", [[""] * 60, [f"{i % 6}" for i in range(60)]], ids=["clips", "speakers"])
def test_where_every_answer_is_right_there_is_no_doubt(speakers: list[str]) -> None:
    true = [i % 3 for i in range(60)]
    found = intervals(counts_of(true, true, 3), speakers)
    assert all(found[name] == [1, 1] for name in SCORES)
    wrong = intervals(counts_of(true, [(i + 1) % 3 for i in range(60)], 3), speakers)
    assert all(wrong[name] == [0, 0] for name in SCORES if name != "mcc")
    assert wrong["mcc"] == pytest.approx([-0.5, -0.5], abs=0.02)


def test_a_network_with_one_answer_has_no_doubt_about_its_uar() -> None:
    true = [i % 3 for i in range(300)]
    found = intervals(counts_of(true, [1] * 300, 3), [""] * 300)
    assert found["uar"] == pytest.approx([1 / 3, 1 / 3])
    low, high = found["accuracy"]
    assert low < 1 / 3 < high


def test_95_of_100_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(7)
    held = dict.fromkeys(("accuracy", "uar"), 0)
    for _ in range(100):
        true, predicted, speakers = simulated(rng, people=30, each=30)  # on average 0.6 of the clips are right
        found = intervals(counts_of(true, predicted, 3), speakers)
        for name in held:
            low, high = found[name]
            held[name] += low <= 0.6 <= high
    assert all(88 <= times <= 99 for times in held.values()), held


# What is known of clips


def clip(name: str, emotion: str = "sad", **known: Any) -> Clip:
    return Clip(name, Path(name), emotion, **known)


def test_answers_carry_what_the_corpus_knows() -> None:
    clips = [
        clip("a", "sad", speaker="1", sex="female", age=20, corpus="crema_d", votes={"sad": 3, "happy": 1, "calm": 5}),
        clip("b", "anger", speaker="2", age=29, corpus="crema_d", votes=None),
        clip("c", "happy", sex="male", age=30, corpus="crema_d", votes={"happy": 2}),
        clip("d", "happy", age=7, corpus="crema_d", votes={}),
    ]
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 4)
    found = answers_about(clips, THREE, probabilities)
    assert found.labels == THREE
    assert found.clips == ["a", "b", "c", "d"]
    assert found.true.tolist() == [2, 0, 1, 1]
    assert found.predicted.tolist() == [row.index(max(row)) for row in probabilities.tolist()]
    assert found.about == {
        "corpus": ["crema_d"] * 4,
        "speaker": ["1", "2", "", ""],
        "sex": ["female", "", "male", ""],
        "age": ["20-29", "20-29", "30-39", "0-9"],
    }
    assert found.speakers == ["1", "2", "", ""]
    assert found.votes is not None
    assert found.votes.tolist() == [[0, 1, 3], [0, 0, 0], [0, 2, 0], [0, 0, 0]]


def test_where_nothing_is_known_answers_say_so() -> None:
    found = answers_about([clip("a"), clip("b", "anger")], THREE, np.full((2, 3), 1 / 3))
    assert found.about == {}
    assert found.speakers == ["", ""]
    assert found.votes is None


def test_every_group_with_two_values_or_more_is_told_and_no_other() -> None:
    rng = np.random.default_rng(8)
    true, predicted, speakers = simulated(rng, people=12, each=15)
    sex = ["" if i == 11 else ("female", "male")[i % 2] for i in np.repeat(np.arange(12), 15)]
    corpus = ["crema_d"] * 180
    sentence = ["IEO" if i % 4 else "" for i in range(180)]
    answers = answered(true, predicted, speakers, sex=sex, corpus=corpus, sentence=sentence)
    groups = evaluate(answers)["groups"]
    assert list(groups) == ["sex", "speaker"]
    assert list(groups["sex"]) == ["female", "male"]
    assert list(groups["speaker"]) == sorted(set(speakers))
    for name, values in (("sex", sex), ("speaker", speakers)):
        for value, told in groups[name].items():
            rows = [i for i, other in enumerate(values) if other == value]
            expected = expected_scores(true[rows], predicted[rows])
            assert told["clips"] == len(rows)
            assert told["speakers"] == len({speakers[i] for i in rows})
            assert (told["accuracy"], told["uar"]) == pytest.approx((expected["accuracy"], expected["uar"]))
            bounds = intervals(counts_of(true[rows], predicted[rows], 3), [speakers[i] for i in rows])
            assert told["intervals"] == {key: bounds[key] for key in ("over", "accuracy", "uar")}
    assert sum(told["clips"] for told in groups["sex"].values()) == 165, (
        "clips of a speaker of unknown sex are left out"
    )
    assert groups["sex"]["female"]["speakers"] == 6
    assert groups["sex"]["female"]["intervals"]["over"] == "6 speakers"
    assert groups["sex"]["male"]["intervals"]["over"] == "5 speakers"
    assert groups["speaker"]["s000"]["intervals"]["over"].startswith("15 clips")


def test_speakers_that_are_not_known_are_not_counted() -> None:
    answers = answered([0, 1, 2, 0], [0, 1, 2, 1], ["a", "", "", "b"], sex=["m", "m", "f", "f"])
    groups = evaluate(answers)["groups"]
    assert [told["speakers"] for told in groups["sex"].values()] == [1, 1]
    assert list(groups["speaker"]) == ["a", "b"]


def test_what_is_found_is_plain_data_about_all_clips() -> None:
    true, predicted, speakers = simulated(np.random.default_rng(9), people=6, each=20)
    answers = answered(true, predicted, speakers, sex=["f"] * 60 + ["m"] * 60, votes=np.ones((120, 3)))
    found = evaluate(answers)
    assert json.loads(json.dumps(found)) == found
    assert set(found) == {"intervals", "groups", "raters"}
    assert found["intervals"] == intervals(counts_of(true, predicted, 3), speakers)
    assert "raters" not in evaluate(answered(true, predicted, speakers))


# Raters

VOTES = [[3, 1, 0], [2, 2, 0], [1, 1, 1], [0, 0, 4], [0, 0, 0]]
HEARD = answered([0, 1, 2, 0, 1], [0, 1, 0, 2, 1], votes=np.array(VOTES, dtype=np.float64))
"""Of anger, happy and sad: a clear answer, ties of two and of three, all raters wrong, and no votes."""


def test_raters_of_a_few_clips_are_as_counted_by_hand() -> None:
    raters = evaluate(HEARD)["raters"]
    assert (raters["clips"], raters["clips_without_votes"]) == (4, 1)
    one, majority, network = (raters[name] for name in ("one_rater", "majority", "network_with_majority"))
    assert one["accuracy"] == pytest.approx((3 + 2 + 1 + 0) / (4 + 4 + 3 + 4))
    assert one["uar"] == pytest.approx((3 / 8 + 2 / 4 + 1 / 3) / 3)
    assert majority["accuracy"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 0) / 4)
    assert majority["uar"] == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)
    assert network["accuracy"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1) / 4)
    # Of 11/6 clips of anger 4/3 are found, of 5/6 of happy 1/2, of 4/3 of sad 1.
    assert network["uar"] == pytest.approx((8 / 11 + 3 / 5 + 3 / 4) / 3)
    for part in (one, majority, network):
        assert set(part) == {*SCORES, "intervals"}
        assert part["intervals"]["over"] == "4 clips, for not all speakers are known"


def test_one_rater_has_the_scores_of_all_votes_pooled() -> None:
    rng = np.random.default_rng(10)
    true = rng.integers(0, 3, 80)
    votes = rng.integers(0, 5, (80, 3))
    pooled = [(row, column) for row, given in zip(true, votes, strict=True) for column in np.repeat(range(3), given)]
    raters = evaluate(answered(true, true, votes=votes.astype(np.float64)))["raters"]
    found = {name: raters["one_rater"][name] for name in SCORES}
    assert found == pytest.approx(expected_scores([pair[0] for pair in pooled], [pair[1] for pair in pooled]))


def test_a_clear_majority_has_the_scores_of_its_emotions() -> None:
    rng = np.random.default_rng(11)
    true, predicted, majority = rng.integers(0, 3, (3, 80))
    raters = evaluate(answered(true, predicted, votes=2 * np.eye(3)[majority] + 1))["raters"]
    for name, expected in (
        ("majority", expected_scores(true, majority)),
        ("network_with_majority", expected_scores(majority, predicted)),
    ):
        assert {score: raters[name][score] for score in SCORES} == pytest.approx(expected)


def test_raters_have_intervals_over_the_speakers_they_heard() -> None:
    """Three votes a clip; two in three of them are right for the first half of 20 speakers, and none for the others."""
    true = np.tile([0, 1, 2], 40)
    people = np.repeat(np.arange(20), 6)
    votes = np.where(
        people[:, None] < 10, 2 * np.eye(3)[true] + np.eye(3)[(true + 1) % 3], 3 * np.eye(3)[(true + 2) % 3]
    )
    unheard = np.zeros((6, 3))
    speakers = [f"{person}" for person in people] + ["nobody heard"] * 6
    answers = answered([*true, *[0] * 6], [*true, *[0] * 6], speakers, votes=np.concatenate([votes, unheard]))
    raters = evaluate(answers)["raters"]
    for name, middle in (("one_rater", 1 / 3), ("majority", 1 / 2)):
        assert raters[name]["intervals"]["over"] == "20 speakers"
        low, high = raters[name]["intervals"]["accuracy"]
        deviation = 2 * middle * np.sqrt(0.25 / 20)
        # The mean of 20 speakers moves in steps of 1/20, so a bound can lie as far off.
        assert (low, high) == pytest.approx((middle - 1.96 * deviation, middle + 1.96 * deviation), abs=2 * middle / 20)
    assert raters["network_with_majority"]["accuracy"] == pytest.approx(0.5)


def test_raters_of_real_clips_are_as_counted_from_the_corpus_own_table() -> None:
    root = Path(os.environ.get("SER_TEST_DATA", ""))
    if "SER_TEST_DATA" not in os.environ or not all((root / f"crema_d_{part}").is_dir() for part in ("mini", "meta")):
        pytest.skip("no real votes: set SER_TEST_DATA to a folder that holds crema_d_mini and crema_d_meta")
    clips = read_crema_d(root / "crema_d_mini", root / "crema_d_meta")
    labels = sorted({clip.emotion for clip in clips})
    guesses = np.random.default_rng(12).integers(0, 6, len(clips))
    raters = evaluate(answers_about(clips, labels, np.eye(6)[guesses]))["raters"]

    guessed = {path.stem: "ADFHNS"[guess] for path, guess in zip([c.path for c in clips], guesses, strict=True)}
    right = given = 0
    most_right = most_guessed = 0.0
    heard = 0
    with (root / "crema_d_meta" / "tabulatedVotes.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["fileName"] not in guessed or row[""][0] != "1":
                continue
            votes = {letter: int(row[letter]) for letter in "ADFHNS"}
            best = [letter for letter in votes if votes[letter] == max(votes.values())]
            own = row["fileName"].split("_")[2][0]
            heard += 1
            right += votes[own]
            given += sum(votes.values())
            most_right += (own in best) / len(best)
            most_guessed += (guessed[row["fileName"]] in best) / len(best)
    assert heard > 1000
    assert (raters["clips"], raters["clips_without_votes"]) == (heard, len(clips) - heard)
    assert raters["one_rater"]["accuracy"] == pytest.approx(right / given)
    assert raters["majority"]["accuracy"] == pytest.approx(most_right / heard)
    assert raters["network_with_majority"]["accuracy"] == pytest.approx(most_guessed / heard)
    assert raters["majority"]["intervals"]["over"] == "91 speakers"


# predictions.csv


def alike(one: Answers, other: Answers) -> None:
    assert one.labels == other.labels
    assert one.clips == other.clips
    assert one.about == other.about
    np.testing.assert_array_equal(one.true, other.true)
    np.testing.assert_allclose(one.probabilities, other.probabilities, rtol=1e-8)
    np.testing.assert_array_equal(one.predicted, other.predicted)
    if one.votes is None or other.votes is None:
        assert one.votes is other.votes
    else:
        np.testing.assert_array_equal(one.votes, other.votes)


ODD = ["p_anger", 'so "so"', "sad, or not", "[bold]joy[/bold]", " überrascht\n"]


@pytest.mark.parametrize("voted", [True, False])
@pytest.mark.parametrize("about", [{}, {"sex": ["", "male", "female"], "speaker": ["1", "", "a,b"]}])
def test_a_table_reads_back_as_it_was_written(tmp_path: Path, voted: bool, about: dict[str, list[str]]) -> None:
    rng = np.random.default_rng(13)
    votes = rng.integers(0, 40, (3, 5)).astype(np.float64) if voted else None
    answers = Answers(
        ODD, ["a/b, c.wav", 'd "e".wav', "ü.wav"], np.array([4, 0, 2]), rng.dirichlet(np.ones(5), 3), about, votes
    )
    write_answers(tmp_path / "predictions.csv", answers)
    alike(read_answers(tmp_path / "predictions.csv"), answers)
    packed = tmp_path / "packed" / "predictions.csv.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress((tmp_path / "predictions.csv").read_bytes()))
    alike(read_answers(tmp_path / "packed" / "predictions.csv"), answers)


def test_a_packed_table_that_is_cut_off_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = gzip.compress(b"clip,emotion,p_sad\n" + b"a,sad,1\n" * 1000)
    for packed in (whole[:40], b"no gzip", whole[:20] + b"\xff" * 20):
        (tmp_path / "predictions.csv.gz").write_bytes(packed)
        with pytest.raises(AnswersError, match=r"predictions\.csv can't be read"):
            read_answers(tmp_path / "predictions.csv")
    (tmp_path / "predictions.csv.gz").write_bytes(whole)
    monkeypatch.setattr(answers_module, "LARGEST_TABLE", 4000)
    with pytest.raises(AnswersError, match="it holds more than"):
        read_answers(tmp_path / "predictions.csv")


def test_single_precision_survives_the_table_to_the_last_bit(tmp_path: Path) -> None:
    """So that two classes in a near tie are not mistaken for one another."""
    rng = np.random.default_rng(14)
    single = rng.dirichlet(np.ones(3), 500).astype(np.float32)
    single[:100, 2] = np.nextafter(single[:100, 0], np.float32(1))
    answers = Answers(THREE, [str(i) for i in range(500)], np.zeros(500, np.int64), single.astype(np.float64), {})
    write_answers(tmp_path / "predictions.csv", answers)
    back = read_answers(tmp_path / "predictions.csv")
    np.testing.assert_array_equal(back.probabilities.astype(np.float32), single)
    np.testing.assert_array_equal(back.predicted, answers.predicted)


def test_the_table_can_be_read_by_a_person(tmp_path: Path) -> None:
    answers = answered([0, 2], [0, 1], ["x", "y"], sex=["f", "m"], votes=np.array([[9.0, 0, 1], [0, 2, 10]]))
    write_answers(tmp_path / "predictions.csv", answers)
    with (tmp_path / "predictions.csv").open(newline="", encoding="utf-8") as file:
        heads, *rows = csv.reader(file)
    votes = ["votes_anger", "votes_happy", "votes_sad"]
    assert heads == ["clip", "sex", "speaker", "emotion", "predicted", "p_anger", "p_happy", "p_sad", *votes]
    assert rows[1] == ["clip 0001", "m", "y", "sad", "happy", "0.1", "0.8", "0.1", "0", "2", "10"]


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"clip,emotion,predicted,p_a,p_b\n",
        b"emotion,predicted,p_a,p_b\na,a,0.9,0.1\n",
        b"clip,predicted,p_a,p_b\n1,a,0.9,0.1\n",
        b"clip,emotion,predicted\n1,a,a\n",
        b"clip,emotion,predicted,p_a,p_b\n1,c,a,0.9,0.1\n",
        b"clip,emotion,predicted,p_a,p_b\n1,a,a,0.9,\n",
        b"clip,emotion,predicted,p_a,p_b\n1,a,a,0.9\n",
        b"clip,emotion,predicted,p_a,p_b\n1,a,a,0.9,much\n",
        b"clip,emotion,predicted,p_a,p_b,votes_a,votes_b\n1,a,a,0.9,0.1,2,two\n",
        b"\xff\xfe\x00clip",
        b'{"test": {"accuracy": 0.5}}',
        b"clip,emotion,predicted,p_a,p_b\n1,a,a,0.5,0.5,9\n",
        b"clip,emotion,predicted,p_a,p_b,votes_a\n1,a,a,0.5,0.5,9\n",
        b"clip,emotion,predicted,p_a,p_b\n1,a,a,nan,0.5\n",
        b"clip,emotion,predicted,p_a,p_b\n1,a,a,0.5,0.5\n1,a,a,0.5,0.5\n",
    ],
    ids=[
        "missing",
        "empty",
        "no rows",
        "no clip",
        "no emotion",
        "no probabilities",
        "another emotion",
        "an empty probability",
        "a short row",
        "no number",
        "no number of votes",
        "no text",
        "metrics.json",
        "a long row",
        "votes of some",
        "a probability that is no number",
        "a clip twice",
    ],
)
def test_a_broken_table_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "predictions.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AnswersError) as error:
        read_answers(path)
    assert str(path) in str(error.value)


def test_a_folder_in_place_of_a_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnswersError) as error:
        read_answers(tmp_path)
    assert str(tmp_path) in str(error.value)


# Two models


def pair_of(
    rng: np.random.Generator, first: float = 0.5, second: float = 0.5, people: int = 12
) -> tuple[Answers, Answers]:
    """Two networks' answers to 20 clips of each speaker; the speakers understood by one are not those by the other."""
    speakers = np.repeat(np.arange(people), 20)
    true = rng.integers(0, 3, len(speakers))
    wrong = (true + 1) % 3
    both = []
    for middle in (first, second):
        skill = np.clip(middle + rng.uniform(-0.3, 0.3, people), 0, 1)
        right = rng.random(len(true)) < skill[speakers]
        both.append(answered(true, np.where(right, true, wrong), [f"s{i:02}" for i in speakers]))
    return both[0], both[1]


def test_two_networks_that_answer_alike_do_not_differ() -> None:
    one, _ = pair_of(np.random.default_rng(15))
    found = compare(one, one)
    assert found["over"] == "12 speakers"
    assert set(found) == {"over", *SCORES}
    expected = expected_scores(one.true, one.predicted)
    for name in SCORES:
        assert found[name] == {
            "one": pytest.approx(expected[name]),
            "other": pytest.approx(expected[name]),
            "difference": 0,
            "interval": [0, 0],
            "p": 1,
        }


def test_a_network_that_is_much_better_is_told_to_be() -> None:
    one, other = pair_of(np.random.default_rng(16), 0.3, 0.8)
    found = compare(one, other)
    for name, expected in expected_scores(other.true, other.predicted).items():
        assert found[name]["other"] == pytest.approx(expected)
        low, high = found[name]["interval"]
        assert 0.2 < low < found[name]["difference"] < high
        assert found[name]["p"] < 0.005
        assert found[name]["difference"] == pytest.approx(found[name]["other"] - found[name]["one"])


def test_the_other_way_round_the_difference_changes_its_sign() -> None:
    one, other = pair_of(np.random.default_rng(17), 0.5, 0.6)
    found, turned = compare(one, other), compare(other, one)
    for name in SCORES:
        assert turned[name]["difference"] == pytest.approx(-found[name]["difference"])
        assert turned[name]["interval"] == pytest.approx([-bound for bound in found[name]["interval"][::-1]])
        assert turned[name]["p"] == found[name]["p"]
        assert (turned[name]["one"], turned[name]["other"]) == (found[name]["other"], found[name]["one"])


def test_the_interval_is_that_of_the_speakers_mean_difference() -> None:
    one, other = pair_of(np.random.default_rng(18), 0.4, 0.7, people=60)
    right = [(answers.true == answers.predicted).reshape(60, 20).mean(1) for answers in (one, other)]
    difference = right[1] - right[0]
    found = compare(one, other)["accuracy"]
    assert near(found["interval"], difference.mean(), difference.std() / np.sqrt(60))


def test_the_same_speakers_are_drawn_for_both() -> None:
    """The second is right where the first is, and once more for each speaker: there is no doubt about the gain."""
    true = np.zeros(200, np.int64)
    right = np.arange(200) % 20 < np.repeat([0, 2, 4, 8, 10, 12, 14, 16, 18, 19], 20)
    more = np.arange(200) % 20 <= np.repeat([0, 2, 4, 8, 10, 12, 14, 16, 18, 19], 20)
    speakers = [str(i // 20) for i in range(200)]
    one, other = (answered(true, np.where(side, 0, 1), speakers) for side in (right, more))
    assert compare(one, other)["accuracy"]["interval"] == pytest.approx([0.05, 0.05])
    low, high = intervals(counts_of(true, other.predicted, 3), speakers)["accuracy"]
    assert high - low > 0.2


@pytest.mark.parametrize("known", [True, False])
def test_p_is_the_share_of_swaps_that_differ_as_much(known: bool) -> None:
    """All six speakers, or all six clips, are understood by the second alone: two of 64 swaps differ as much."""
    clips = 60 if known else 6
    speakers = [str(i // 10) if known else "" for i in range(clips)]
    true, wrong = np.arange(clips) % 2, 1 - np.arange(clips) % 2
    found = compare(answered(true, wrong, speakers), answered(true, true, speakers))
    assert found["over"] == ("6 speakers" if known else "6 clips, for not all speakers are known")
    assert found["accuracy"]["p"] == 2 / 64
    assert found["accuracy"]["interval"] == [1, 1]


def test_p_is_never_0() -> None:
    true = np.arange(900) % 3
    found = compare(answered(true, (true + 1) % 3), answered(true, true))
    assert all(0 < found[name]["p"] < 0.001 for name in SCORES)


def test_all_swaps_of_ten_speakers_are_tried_and_of_eleven_some() -> None:
    for people, least in ((10, 2 / 2**10), (11, 1 / 2001)):
        true = np.arange(3 * people) % 3
        speakers = [f"s{i // 3:02}" for i in range(3 * people)]
        p = compare(answered(true, (true + 1) % 3, speakers), answered(true, true, speakers))["uar"]["p"]
        assert p == (least if people == 10 else pytest.approx(2 / 2**11, abs=0.003))
        assert p >= least


def test_networks_that_are_equally_good_differ_in_1_of_20_comparisons() -> None:
    rng = np.random.default_rng(19)
    told = dict.fromkeys(("accuracy", "uar"), 0)
    for _ in range(200):
        found = compare(*pair_of(rng))
        for name in told:
            told[name] += found[name]["p"] < 0.05
    assert all(3 <= times <= 18 for times in told.values()), told


def test_the_same_comparison_again_in_whatever_order_the_clips_come() -> None:
    rng = np.random.default_rng(20)
    one, other = pair_of(rng, 0.5, 0.6)
    found = compare(one, other)
    assert compare(one, other) == found
    assert compare(one, other, seed=1)["accuracy"]["interval"] != found["accuracy"]["interval"]
    shuffled = [answers.of(rng.permutation(len(answers.clips))) for answers in (one, other)]
    assert compare(one, shuffled[1]) == found
    assert compare(shuffled[0], shuffled[1]) == found


def refusal(one: Answers, other: Answers) -> str:
    with pytest.raises(AnswersError) as error:
        compare(one, other)
    return str(error.value)


def test_runs_that_cannot_be_compared_are_refused() -> None:
    one = answered([0, 1, 2, 0], [0, 1, 2, 0])
    assert "different clips, 2 only by the first and 0 only by the second" in refusal(one, one.of(np.array([0, 2])))
    assert "different clips, 0 only by the first and 1 only by the second" in refusal(one.of(np.arange(3)), one)
    other_labels = answered([0, 1, 2, 0], [0, 1, 2, 0], labels=["anger", "calm", "sad"])
    assert "anger, happy, sad and anger, calm, sad" in refusal(one, other_labels)
    assert "different emotions" in refusal(one, answered([0, 1, 2, 1], [0, 1, 2, 0]))


# Folds


def test_folds_are_put_one_after_the_other() -> None:
    true, predicted, speakers = simulated(np.random.default_rng(21), people=9, each=10)
    whole = answered(true, predicted, speakers, sex=["f", "m", ""] * 30, votes=np.arange(270.0).reshape(90, 3))
    parts = [whole.of(np.arange(start, start + 30)) for start in (0, 30, 60)]
    alike(join(parts), whole)
    assert evaluate(join(parts)) == evaluate(whole)
    turned = join(parts[::-1])
    assert turned.clips[:30] == parts[2].clips
    assert turned.speakers[:30] == speakers[60:]
    alike(join(parts[:1]), parts[0])


def test_what_only_one_fold_knows_is_unknown_in_the_others() -> None:
    one = answered([0, 1], [0, 1], ["a", "b"], sex=["f", "m"], votes=np.ones((2, 3)))
    other = Answers(THREE, ["x", "y", "z"], np.array([2, 1, 0]), np.eye(3), {"session": ["1", "", "2"]})
    joined = join([one, other])
    assert joined.about == {
        "sex": ["f", "m", "", "", ""],
        "session": ["", "", "1", "", "2"],
        "speaker": ["a", "b", "", "", ""],
    }
    assert joined.clips == [*one.clips, "x", "y", "z"]
    assert joined.true.tolist() == [0, 1, 2, 1, 0]
    np.testing.assert_array_equal(joined.probabilities[2:], np.eye(3))
    assert joined.votes is None


def test_folds_that_do_not_belong_together_are_refused() -> None:
    one = answered([0, 1, 2], [0, 1, 2])
    with pytest.raises(AnswersError, match="2 clips are tested in two folds"):
        join([one, one.of(np.array([1, 2]))])
    other = Answers(["anger", "calm", "sad"], ["x"], np.array([0]), np.eye(3)[:1], {})
    with pytest.raises(AnswersError, match="different emotions"):
        join([one, other])


def test_clips_can_be_picked() -> None:
    whole = answered([0, 1, 2], [0, 2, 2], ["a", "b", "c"], sex=["f", "", "m"], votes=np.eye(3))
    some = whole.of(np.array([2, 0]))
    assert some.clips == ["clip 0002", "clip 0000"]
    assert some.about == {"sex": ["m", "f"], "speaker": ["c", "a"]}
    assert (some.true.tolist(), some.predicted.tolist()) == ([2, 0], [2, 0])
    assert some.votes is not None
    assert some.votes.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_tied_majorities_are_drawn_clip_by_clip() -> None:
    half = Answers(["a", "b"], [str(i) for i in range(40)], np.zeros(40, int), np.tile([0.9, 0.1], (40, 1)), {},
                   np.tile([5.0, 5.0], (40, 1)))  # fmt: skip
    assert evaluate(half)["raters"]["majority"]["intervals"]["accuracy"] == [0.5, 0.5]


def test_votes_for_other_classes_alone_make_no_raters() -> None:
    nobody = Answers(["a", "b"], ["1", "2"], np.array([0, 1]), np.tile([0.9, 0.1], (2, 1)), {}, np.zeros((2, 2)))
    assert "raters" not in evaluate(nobody)
