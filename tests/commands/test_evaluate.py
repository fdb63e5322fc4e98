import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
import torch

import ser.inference.evaluate
from ser.commands.evaluate import main
from ser.data.audio import Recording
from ser.data.corpora import Clip
from ser.errors import UserError
from ser.evaluation import SCORES, Answers, read_answers
from ser.inference.evaluate import evaluate
from ser.inference.scoring import answer
from ser.recognizer import Recognizer
from tests.helpers import LABELS, SPLIT, Trained, composed, manifest


@pytest.fixture(scope="module")
def people(people: Path) -> Path:
    """One more file in their list, that is no sound."""
    people.with_name("broken.wav").write_text("no sound")
    with people.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(("broken.wav", "happy", "p00"))
    return people


class Scored(NamedTuple):
    results: dict[str, Any]
    answers: Answers


Score = Callable[..., Scored]


@pytest.fixture(scope="module")
def score(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Score:
    """``score(root, *words, side="all")`` → what the checkpoint scores on the clips of ``root``; draws nothing."""

    @cache
    def do(root: Path, *words: str, side: str = "all", checkpoint: Path = trained.checkpoint) -> Scored:
        cfg = composed("dataset=manifest", *words)
        cfg["dataset"]["root"] = str(root)
        written: list[Answers] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                ser.inference.evaluate, "write", lambda folder, cfg, record, answers, **_: written.append(answers)
            )
            record = evaluate(checkpoint, cfg, side, tmp_path_factory.mktemp("scored"), [])
        return Scored(record.as_dict(), *written)

    return do


def speakers(clips: list[Clip]) -> set[str | None]:
    return {clip.speaker for clip in clips}


def test_the_runs_own_test_side_gets_the_runs_scores(score: Score, trained: Trained, people: Path) -> None:
    done = score(people, *SPLIT, side="test")
    run, found = trained.results, done.results
    for name in SCORES:
        assert found["test"][name] == pytest.approx(run["test"][name], abs=1e-6)
    for part in ("confusion_matrix", "classes", "most_confusing", "intervals", "groups", "features"):
        assert found[part] == run[part]
    assert found["split"]["hash"] == run["split"]["hash"]
    assert found["split"]["clips"] == {"test": run["split"]["clips"]["test"]}
    assert found["split"]["name"] == "speaker, test"
    assert found["checkpoint"]["epoch"] == run["checkpoint"]["epoch"]
    one, other = read_answers(trained.folder / "predictions.csv"), done.answers
    assert (one.labels, one.clips, one.about) == (other.labels, other.clips, other.about)
    np.testing.assert_array_equal(one.true, other.true)
    np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
    assert len(set(other.predicted.tolist())) > 1
    loss = -np.log(other.probabilities[np.arange(len(other.true)), other.true]).mean()
    assert found["test"]["loss"] == pytest.approx(loss, rel=1e-5)


def test_the_test_speakers_that_were_heard_before_are_counted(score: Score, trained: Trained, people: Path) -> None:
    heard, tested = speakers(trained.split.train) | speakers(trained.split.val), speakers(trained.split.test)
    assert len(heard) == 12 - len(tested)
    for side, before, among in (("test", 0, len(tested)), ("all", len(heard), 12)):
        told = score(people, *SPLIT, side=side).results["split"]
        assert (told["test_speakers_heard_before"], told["test_speakers"]) == (before, among)
        assert told["leakage"] == f"{before} of {among} test speakers were seen in training or validation."


def test_it_is_not_known_who_was_heard_where_clips_or_checkpoint_do_not_say(
    score: Score, trained: Trained, people: Path, tmp_path: Path
) -> None:
    nobody = manifest(people.with_name("nobody.csv"), [(f"{e}_{i:02}.wav", e, "") for e in LABELS for i in range(3)])
    told = score(nobody).results["split"]
    assert (told["test_speakers"], told["leakage"]) == (0, "Whether test speakers were seen in training is not known.")
    kept = torch.load(trained.checkpoint, weights_only=True)
    del kept["ser"]["seen"]
    torch.save(kept, tmp_path / "older.ckpt")
    told = score(people, checkpoint=tmp_path / "older.ckpt").results["split"]
    assert (told["test_speakers"], told["test_speakers_heard_before"]) == (12, None)
    assert told["leakage"] == "Whether test speakers were seen in training is not known."


def test_all_clips_are_answered_with_what_the_recognizer_says(score: Score, trained: Trained, people: Path) -> None:
    done = score(people)
    assert done.results["dataset"]["clips"] == 36
    assert done.results["dataset"]["corpora"] == {"manifest": 36}
    assert done.results["split"]["name"] == "all"
    answers = done.answers
    recognizer = Recognizer.load(trained.checkpoint)
    for clip, told in zip(answers.clips, answers.probabilities, strict=True):
        assert list(recognizer(people.parent / clip).values()) == pytest.approx(told.tolist(), abs=1e-5)
    assert done.results["test"]["accuracy"] == pytest.approx((answers.predicted == answers.true).mean(), abs=1e-6)


def test_a_file_that_cannot_be_read_is_listed_and_not_scored(score: Score, trained: Trained, people: Path) -> None:
    (skipped,) = score(people).results["dataset"]["skipped"]
    assert skipped["clip"] == "broken.wav"
    assert "can't be read" in skipped["reason"]
    tested = any(clip.name == "broken.wav" for clip in trained.split.test)
    assert len(score(people, *SPLIT, side="test").results["dataset"]["skipped"]) == tested


def test_a_file_that_cannot_be_read_ends_a_strict_evaluation(score: Score, people: Path) -> None:
    with pytest.raises(UserError, match=r"1 clips can't be used, and dataset\.strict=true:\n.*broken\.wav"):
        score(people, "dataset.strict=true")


def test_a_clip_far_beyond_full_scale_is_listed_and_not_scored(score: Score, people: Path) -> None:
    soundfile.write(people.with_name("huge.wav"), np.full(8_000, 1e30), 16_000, subtype="FLOAT")
    rows = [(f"{emotion}_00.wav", emotion, "p00") for emotion in LABELS]
    done = score(manifest(people.with_name("loud.csv"), [*rows, ("huge.wav", "anger", "p00")]))
    (skipped,) = done.results["dataset"]["skipped"]
    assert skipped["clip"] == "huge.wav"
    assert "far beyond full scale" in skipped["reason"]
    assert done.results["dataset"]["clips"] == len(done.answers.clips) == 3
    assert np.isfinite(done.answers.probabilities).all()


def test_what_a_sure_network_says_of_other_emotions_is_no_nought_by_nought() -> None:
    class Sure:
        labels = ("anger", "happy", "sad")

        def logits(self, recordings: list[Recording]) -> torch.Tensor:
            return torch.tensor([[900.0, 2.0, 1.0]] * len(recordings))

    told = answer(Sure(), [Recording(np.zeros(8_000, np.int16))], ["sad", "happy"])  # type: ignore[arg-type]
    assert told[0].tolist() == pytest.approx([1 / (1 + np.e), np.e / (1 + np.e)])


def test_labels_that_only_one_side_has_are_left_out_and_counted(score: Score, trained: Trained, people: Path) -> None:
    with people.open(newline="", encoding="utf-8") as file:
        rows = [(row["path"], row["emotion"].replace("sad", "boredom"), row["speaker"]) for row in csv.DictReader(file)]
    other = manifest(people.with_name("other.csv"), rows[:-1])
    done = score(other)
    assert done.results["labels"] == {"classes": ["anger", "happy"], "left_out": {"boredom": 12}}
    assert done.results["dataset"]["clips"] == 24
    answers = done.answers
    assert answers.labels == ["anger", "happy"]
    assert Counter(answers.true.tolist()) == {0: 12, 1: 12}
    recognizer = Recognizer.load(trained.checkpoint)
    for clip, told in zip(answers.clips, answers.probabilities, strict=True):
        whole = recognizer(people.parent / clip)
        shared = whole["anger"] + whole["happy"]
        assert told.tolist() == pytest.approx([whole["anger"] / shared, whole["happy"] / shared], abs=1e-5)


def test_what_labels_leave_out_is_counted_along(score: Score, people: Path) -> None:
    done = score(people, "labels.drop=[sad]")
    assert done.results["labels"] == {"classes": ["anger", "happy"], "left_out": {"sad": 12}}


def test_fewer_than_two_shared_emotions_are_an_error(score: Score, people: Path) -> None:
    with pytest.raises(UserError, match="anger, happy, sad apart, and the clips show anger, boredom, calm: they must"):
        score(people, "labels.merge={happy: calm, sad: boredom}")


def test_a_corpus_without_a_clip_that_can_be_used_is_an_error(score: Score, people: Path) -> None:
    gone = manifest(people.with_name("gone.csv"), [("gone1.wav", "anger", ""), ("gone2.wav", "sad", "")])
    with pytest.raises(UserError, match="no clip of these can be used"):
        score(gone)


Ask = Callable[..., tuple[int | str | None, str]]


@pytest.fixture
def ask(trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """``ask(*words)`` → what the script ends with and what it prints, lines joined."""

    def do(*words: str | Path, checkpoint: Path | None = None) -> tuple[int | str | None, str]:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", str(checkpoint or trained.checkpoint), *map(str, words)])
        code: int | str | None = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        return code, " ".join(capsys.readouterr().out.split())

    return do


def test_the_script_prints_the_scores_and_leaves_what_a_run_leaves(
    ask: Ask, trained: Trained, people: Path, tmp_path: Path
) -> None:
    out = tmp_path / "some" / "folder"
    words = ("dataset=manifest", f"dataset.root={people}", *SPLIT)
    code, screen = ask(*words, "--side", "test", "--out", out)
    assert code == 0
    tested = len(speakers(trained.split.test))
    assert f"0 of {tested} test speakers were seen in training or validation." in screen
    assert re.findall(r"\d\.\d{4}", screen)[: len(SCORES)] == [
        f"{trained.results['test'][name]:.4f}" for name in SCORES
    ]
    assert {path.name for path in out.iterdir()} == {
        "metrics.json", "predictions.csv", "page.html", "config.yaml", "confusion_matrix.csv", "confusion_matrix.png",
        "groups.png",
    }  # fmt: skip
    results = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert results["split"]["hash"] == trained.results["split"]["hash"]
    assert results["command"][:2] == ["python", "scripts/evaluate.py"]
    assert results["command"][3:] == [*words, "--side", "test", "--out", str(out)]
    assert read_answers(out / "predictions.csv").clips == [
        clip.name for clip in trained.split.test if clip.name != "broken.wav"
    ]
    page = (out / "page.html").read_text(encoding="utf-8")
    assert "energy_zcr → cnn1d on manifest" in page.lower()
    assert f"{results['test']['uar']:.4f}" in page
    wrong = (1 - results["test"]["accuracy"]) * results["dataset"]["clips"]
    assert page.count("<audio") == min(8, round(wrong)) + min(6, results["dataset"]["clips"] - round(wrong))


def test_an_evaluation_without_groups_takes_away_the_figure_of_an_earlier_one(
    ask: Ask, people: Path, tmp_path: Path
) -> None:
    rows = [(f"{emotion}_{take:02}.wav", emotion, "") for emotion in LABELS for take in range(3)]
    for path, figure in ((people, True), (manifest(people.with_name("few.csv"), rows), False)):
        assert ask("dataset=manifest", f"dataset.root={path}", "--out", tmp_path / "out")[0] == 0
        assert (tmp_path / "out/groups.png").exists() == figure


def test_errors_end_in_words_and_leave_nothing(ask: Ask, people: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    good = ("dataset=manifest", f"dataset.root={people}")
    for words, checkpoint, message in (
        (good, tmp_path / "gone.ckpt", "gone.ckpt is not a checkpoint"),
        (("dataset=manifest", f"dataset.root={tmp_path / 'gone.csv'}"), None, "manifest is not at"),
        ((*good, "labels.merge={happy: calm, sad: boredom}"), None, "they must share two or more"),
        ((*good, "labels.drop=[nothing]"), None, "no clip shows that"),
        (("dataset=nothing",), None, "nothing"),
        ((*good, "split=speaker", "split.test=0.99", "--side", "test"), None, "split"),
    ):
        code, screen = ask(*words, "--out", out, checkpoint=checkpoint)
        assert isinstance(code, str)
        assert code.startswith("error: ")
        assert message in code
        assert screen == ""
        assert not out.exists()


def test_what_counts_and_what_does_not_is_on_screen_before_the_score(ask: Ask, people: Path, tmp_path: Path) -> None:
    with people.open(newline="", encoding="utf-8") as file:
        rows = [(row["path"], row["emotion"].replace("sad", "boredom"), row["speaker"]) for row in csv.DictReader(file)]
    words = ("dataset=manifest", f"dataset.root={manifest(people.with_name('half.csv'), rows)}")
    code, screen = ask(*words, "--out", tmp_path / "out")
    assert code == 0
    before, _ = screen.split("Test, best")
    assert "24 of 37 clips are scored, those of 2 emotions: anger, happy" in before
    assert "Left out by labels, or because no checkpoint knows them: 12 boredom" in before
    assert "No clip shows sad, which the checkpoint knows, so it is not asked for them" in before
    assert "1 clips can't be used (1 happy), such as" in before


def test_people_are_known_however_their_names_are_spelt(
    ask: Ask, people: Path, trained: Trained, tmp_path: Path
) -> None:
    with people.open(newline="", encoding="utf-8") as file:
        listed = list(csv.DictReader(file))
    rows = [(row["path"], row["emotion"].title(), row["speaker"].upper()) for row in listed]
    rows[:12] = [(path, emotion, f"{speaker.title()}\u200b") for path, emotion, speaker in rows[:12]]
    words = ("dataset=manifest", f"dataset.root={manifest(people.with_name('spelt.csv'), rows)}")
    _, screen = ask(*words, "--out", tmp_path / "out")
    heard = len(speakers(trained.split.train) | speakers(trained.split.val))
    assert f"{heard} of 12 test speakers were seen in training or validation." in screen
    assert "corpus: speaker: 12 in several spellings, each taken for one: 'P00' = 'P00\\u200b'" in screen


def test_a_class_without_a_usable_clip_is_refused_unless_it_is_dropped(ask: Ask, people: Path, tmp_path: Path) -> None:
    rows = [(f"{emotion}_{take:02}.wav", emotion, "") for emotion in LABELS for take in range(3)]
    lost = manifest(people.with_name("lost.csv"), [(path.replace("sad", "gone"), *rest) for path, *rest in rows])
    words = ("--out", tmp_path / "out", "dataset=manifest", f"dataset.root={lost}")
    code, _ = ask(*words)
    assert isinstance(code, str)
    assert code.startswith("error: no usable clip of sad: 3 clips can't be used, such as ")
    assert "labels.drop=[sad]" in code
    assert ask(*words, "labels.drop=[sad]")[0] == 0
