import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
import torch

import ser.inference.evaluate
from ser.commands.robustness import main
from ser.data.audio import read_audio
from ser.errors import UserError
from ser.evaluation.conditions import CONDITIONS, apply
from ser.inference import robustness
from ser.inference.robustness import CAUTION, measure, short_names
from ser.recognizer import Recognizer
from tests.helpers import LABELS, SPLIT, Trained, composed, manifest


def choices(root: Path, *words: str) -> dict[str, Any]:
    cfg = composed("dataset=manifest", *words)
    cfg["dataset"]["root"] = str(root)
    return cfg


FEW = [one for one in CONDITIONS if one.value in (None, 0, 1, 32, 8, 20, 0.5)]
"""Of each family one or two, for what need not be seen of all; codecs take most of the time."""


@pytest.fixture(scope="module")
def turned(trained: Trained) -> Path:
    """A copy of its checkpoint in a folder without a run, whose network says the opposite."""
    return changed(trained.checkpoint, trained.folder.parent / "turned/checkpoints/best.ckpt", turn)


def changed(checkpoint: Path, path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    kept = torch.load(checkpoint, weights_only=True)
    change(kept)
    path.parent.mkdir(parents=True)
    torch.save(kept, path)
    return path


def turn(kept: dict[str, Any]) -> None:
    """Turn the sign of the last layer."""
    last = list(kept["state_dict"])[-1].rpartition(".")[0]
    for part in ("weight", "bias"):
        kept["state_dict"][f"{last}.{part}"].neg_()


class Measured(NamedTuple):
    folder: Path
    results: dict[str, Any]

    def conditions(self, number: int = 0) -> dict[str, dict[str, Any]]:
        return {told["name"]: told for told in self.results["checkpoints"][number]["conditions"]}


@pytest.fixture(scope="module")
def both(trained: Trained, turned: Path, people: Path, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("out")
    paths = [trained.checkpoint, turned]
    return Measured(folder, measure(paths, choices(people, *SPLIT), "test", folder, ["a", "command"]))


def test_clean_clips_get_the_scores_of_an_evaluation(
    both: Measured, trained: Trained, turned: Path, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ser.inference.evaluate, "write", lambda *_, **__: None)
    for number, checkpoint in enumerate((trained.checkpoint, turned)):
        expected = ser.inference.evaluate.evaluate(checkpoint, choices(people, *SPLIT), "test", tmp_path, []).as_dict()
        told = both.conditions(number)["clean"]
        for name in ("accuracy", "uar"):
            assert told[name] == pytest.approx(expected["test"][name], abs=1e-6)
            assert told["intervals"][name] == pytest.approx(expected["intervals"][name])
        assert told["intervals"]["over"] == expected["intervals"]["over"]
        for part in ("dataset", "labels"):
            assert both.results[part] == expected[part]
        about = both.results["checkpoints"][number]
        for part in ("features", "model", "checkpoint"):
            assert about[part] == expected[part]
        assert {**both.results["split"], **about["split"]} == expected["split"]
    assert both.conditions(0)["clean"]["uar"] == pytest.approx(trained.results["test"]["uar"], abs=1e-6)


def test_each_condition_is_scored_on_clips_under_it(both: Measured, trained: Trained, turned: Path) -> None:
    recognizers = [Recognizer.load(checkpoint) for checkpoint in (trained.checkpoint, turned)]
    clips = [(clip, read_audio(clip.path, 16_000)) for clip in trained.split.test]
    for number in (0, 1):
        assert list(both.conditions(number)) == [condition.name for condition in CONDITIONS]
    for condition in FEW:
        after = [apply(condition, before, 16_000, clip.name) for clip, before in clips]
        cut = [len(one.samples) < len(before.samples) for one, (_, before) in zip(after, clips, strict=True)]
        for number, recognizer in enumerate(recognizers):
            said = [recognizer.labels[int(recognizer.probabilities([one])[0].argmax())] for one in after]
            right = np.array([answer == clip.emotion for answer, (clip, _) in zip(said, clips, strict=True)])
            recalls = [right[[clip.emotion == label for clip, _ in clips]].mean() for label in LABELS]
            told = both.conditions(number)[condition.name]
            assert told["accuracy"] == pytest.approx(right.mean())
            assert told["uar"] == pytest.approx(np.mean(recalls))
            assert told["change"]["uar"] == pytest.approx(told["uar"] - both.conditions(number)["clean"]["uar"])
            assert told["cut"] == pytest.approx(np.mean(cut))
    assert 0 < both.conditions()["cut, 0.5 s"]["cut"] < 1
    assert both.conditions()["cut, 1 s"]["cut"] == 0
    scores = {told["uar"] for number in (0, 1) for told in both.conditions(number).values()}
    assert len(scores) > 3, "all is one score: this test tests nothing"


def test_the_folder_has_json_table_and_figure_that_tell_the_same(both: Measured) -> None:
    assert {path.name for path in both.folder.iterdir()} == {"robustness.json", "robustness.md", "robustness.png"}
    assert json.loads((both.folder / "robustness.json").read_text(encoding="utf-8")) == both.results
    assert both.results["command"] == ["a", "command"]
    assert both.results["versions"]["libsndfile"] == soundfile.__libsndfile_version__
    page = (both.folder / "robustness.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    assert rows[0] == ["condition", "checkpoint", "accuracy", "UAR", "95 % of UAR", "change"]
    assert len(rows) == 2 + 2 * len(CONDITIONS)
    for number, name in enumerate(("plain", "turned")):
        own = [row for row in rows[2:] if row[1] == name]
        for row, told in zip(own, both.results["checkpoints"][number]["conditions"], strict=True):
            assert row[0].startswith(told["name"])
            assert row[2:4] == [f"{told['accuracy']:.3f}", f"{told['uar']:.3f}"]
            assert row[4] == "{:.3f} to {:.3f}".format(*told["intervals"]["uar"])
            assert row[5].strip("()") == ("" if told["family"] == "clean" else f"{told['change']['uar']:+.3f}")
    for words in ("pink", "full scale", "the middle of a clip", "synthetic room", "plain: energy_zcr → cnn1d, "):
        assert words in page
    assert (both.folder / "robustness.png").read_bytes().startswith(b"\x89PNG")


def test_batches_and_their_order_change_nothing(
    both: Measured, trained: Trained, turned: Path, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robustness, "BATCH", 2)
    monkeypatch.setattr(robustness, "CONDITIONS", FEW)
    cfg = choices(people, *SPLIT)
    again = measure([turned, trained.checkpoint], cfg, "test", tmp_path, ["a", "command"])
    assert [told["name"] for told in again["checkpoints"]] == ["turned", "plain"]
    for number, told in enumerate(again["checkpoints"][::-1]):
        assert told["conditions"] == [both.conditions(number)[condition.name] for condition in FEW]


def test_a_line_says_where_clips_of_the_training_may_be_among_those_scored(
    both: Measured, trained: Trained, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robustness, "CONDITIONS", CONDITIONS[:2])
    tested = len({clip.speaker for clip in trained.split.test})
    for told in both.results["checkpoints"]:
        assert told["split"]["leakage"] == f"0 of {tested} test speakers were seen in training or validation."
        assert "caution" not in told
    for words, side in ((("split.val=0.2",), "test"), (SPLIT, "all"), (SPLIT, "train")):
        told = measure([trained.checkpoint], choices(people, *words), side, tmp_path, [])["checkpoints"][0]
        assert told["split"]["test_speakers_heard_before"] > 0
        assert told["caution"] == CAUTION
        assert CAUTION in (tmp_path / "robustness.md").read_text(encoding="utf-8")


def test_speakers_on_two_sides_are_no_caution_on_the_test_side_of_the_own_run(
    trained: Trained, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robustness, "CONDITIONS", CONDITIONS[:2])

    def hear_all(kept: dict[str, Any]) -> None:
        kept["ser"]["seen"] = [f"manifest/p{i:02}" for i in range(12)]

    checkpoint = changed(trained.checkpoint, tmp_path / "run/checkpoints/best.ckpt", hear_all)
    cfg = choices(people, *SPLIT)
    for metrics, cautious in ((None, True), ({"split": {"hash": "other"}}, True), ({}, False)):
        if metrics is not None:
            told = trained.results | metrics
            told["split"] = trained.results["split"] | metrics.get("split", {})
            (tmp_path / "run/metrics.json").write_text(json.dumps(told))
        one = measure([checkpoint], cfg, "test", tmp_path / "out", [])["checkpoints"][0]
        assert one["split"]["test_speakers_heard_before"] > 0
        assert ("caution" in one) == cautious

    # Of a run that started from another one, nobody knows what that was trained on.
    def start_elsewhere(kept: dict[str, Any]) -> None:
        hear_all(kept)
        kept["ser"]["seen_elsewhere"] = ["manifest/p00"]

    shutil.rmtree(tmp_path / "run/checkpoints")
    checkpoint = changed(trained.checkpoint, tmp_path / "run/checkpoints/best.ckpt", start_elsewhere)
    assert "caution" in measure([checkpoint], cfg, "test", tmp_path / "out", [])["checkpoints"][0]


def test_checkpoints_of_two_sample_rates_stand_side_by_side(
    both: Measured, trained: Trained, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resample(kept: dict[str, Any]) -> None:
        kept["ser"]["features"]["sample_rate"] = 11_025

    some = [condition for condition in CONDITIONS if condition.value in (None, 0, 32)]
    monkeypatch.setattr(robustness, "CONDITIONS", some)
    other = changed(trained.checkpoint, tmp_path / "other/checkpoints/best.ckpt", resample)
    cfg = choices(people, *SPLIT)
    first, second = measure([trained.checkpoint, other], cfg, "test", tmp_path / "out", [])["checkpoints"]
    assert [first["input"]["sample_rate"], second["input"]["sample_rate"]] == [16_000, 11_025]
    assert first["conditions"] == [both.conditions()[condition.name] for condition in some]
    (alone,) = measure([other], cfg, "test", tmp_path / "out", [])["checkpoints"]
    assert second["conditions"] == alone["conditions"]
    assert second["conditions"] != first["conditions"]


def test_a_clip_far_beyond_full_scale_is_left_out_of_all_and_named(
    trained: Trained, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robustness, "CONDITIONS", CONDITIONS[:4])
    soundfile.write(people.with_name("huge.wav"), np.full(8_000, 1e30), 16_000, subtype="FLOAT")
    (people.with_name("broken.wav")).write_text("no sound")
    rows = [(f"{emotion}_{i:02}.wav", emotion, f"p{i:02}") for emotion in LABELS for i in range(6)]
    some = manifest(people.with_name("some.csv"), [*rows, ("huge.wav", "sad", "p09"), ("broken.wav", "sad", "p09")])
    results = measure([trained.checkpoint], choices(some), "all", tmp_path, [])
    assert results["dataset"]["clips"] == 18
    skipped = {one["clip"]: one["reason"] for one in results["dataset"]["skipped"]}
    assert set(skipped) == {"huge.wav", "broken.wav"}
    assert "far beyond full scale" in skipped["huge.wav"]
    assert all(np.isfinite(told["uar"]) for told in results["checkpoints"][0]["conditions"])
    assert "can't be used: 2;" in (tmp_path / "robustness.md").read_text(encoding="utf-8")


def test_checkpoints_must_know_the_same_of_what_the_clips_show(
    trained: Trained, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(kept: dict[str, Any]) -> None:
        kept["ser"]["labels"] = ["boredom", "sad", "anger"]

    monkeypatch.setattr(robustness, "CONDITIONS", CONDITIONS[:2])
    paths = [trained.checkpoint, changed(trained.checkpoint, tmp_path / "other/best.ckpt", rename)]
    with pytest.raises(UserError, match="one checkpoint knows anger, happy, sad, and another sad, anger: only"):
        measure(paths, choices(people, *SPLIT), "test", tmp_path / "out", [])
    assert not (tmp_path / "out").exists()
    results = measure(paths, choices(people, *SPLIT, "labels.drop=[happy]"), "test", tmp_path / "out", [])
    assert results["labels"]["classes"] == ["anger", "sad"]
    assert results["labels"]["left_out"] == {"happy": 12}


def test_names_are_what_tells_paths_apart() -> None:
    def named(*paths: str) -> list[str]:
        return short_names([Path(path) for path in paths])

    best = "checkpoints/best.ckpt"
    assert named(f"outputs/RUN/{best}") == ["RUN"]
    assert named("kept/my.ckpt") == ["my"]
    assert named(f"outputs/a/{best}", f"outputs/b/{best}", f"outputs/c/{best}") == ["a", "b", "c"]
    assert named(f"outputs/a/{best}", "outputs/a/checkpoints/last.ckpt") == ["best.ckpt", "last.ckpt"]
    assert named(f"outputs/day/1/{best}", f"outputs/other/2/{best}") == ["day/1", "other/2"]
    assert named(f"x/a/{best}", f"x/b/a/{best}") == ["a", "b/a"]
    assert named(f"x/a/{best}", "x/a.ckpt") == [f"a/{best}", "a.ckpt"]
    with pytest.raises(UserError, match=r"outputs/a.ckpt is given twice"):
        named("outputs/a.ckpt", "outputs/b.ckpt", "outputs/a.ckpt")


Ask = Callable[..., tuple[int | str | None, str]]


@pytest.fixture
def ask(trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """``ask(*words)`` → what the script ends with and what it prints, lines joined."""

    def do(*words: str | Path, checkpoint: Path | None = None) -> tuple[int | str | None, str]:
        monkeypatch.setattr(sys, "argv", ["robustness.py", str(checkpoint or trained.checkpoint), *map(str, words)])
        code: int | str | None = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        return code, " ".join(capsys.readouterr().out.split())

    return do


def test_the_script_scores_the_test_side_and_names_what_it_left_out(
    ask: Ask, both: Measured, trained: Trained, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robustness, "CONDITIONS", FEW)
    write = soundfile.write

    def without_opus(*args: object, **options: object) -> None:
        if options["format"] == "OGG":
            raise soundfile.LibsndfileError(1, "no such codec: ")
        write(*args, **options)

    monkeypatch.setattr(soundfile, "write", without_opus)
    words = ("dataset=manifest", f"dataset.root={people}", *SPLIT)
    code, screen = ask(*words, "--out", tmp_path / "some/folder")
    assert code == 0
    assert "Condition left out: Opus, 8 kbit/s: libsndfile" in screen
    assert f"{len(trained.split.test)} clips of" in screen
    assert "test speakers were seen in training or validation." in screen
    results = json.loads((tmp_path / "some/folder/robustness.json").read_text(encoding="utf-8"))
    assert results["command"] == ["python", "scripts/robustness.py", str(trained.checkpoint), *words, "--out",
                                  str(tmp_path / "some/folder")]  # fmt: skip
    (told,) = results["checkpoints"]
    assert set(told["left_out"]) == {"Opus, 8 kbit/s"}
    expected = {one.name: both.conditions()[one.name] for one in FEW if one.family != "Opus"}
    assert {one["name"]: one for one in told["conditions"]} == expected
    shown = re.findall(r"│ ([a-zA-Z0-9].*?) │ +(\d\.\d{3}) │ +(\d\.\d{3}) │", screen)
    assert [(accuracy, uar) for _, accuracy, uar in shown] == [
        (f"{one['accuracy']:.3f}", f"{one['uar']:.3f}") for one in expected.values()
    ]


def test_errors_end_in_words_before_anything_is_computed(
    ask: Ask, trained: Trained, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robustness, "answers_under", lambda *_: pytest.fail("it computes"))
    out, file = tmp_path / "out", tmp_path / "file"
    file.write_text("")
    good = ("dataset=manifest", f"dataset.root={people}", *SPLIT)
    for words, checkpoint, message in (
        ((*good, "--out", file), None, "file can't be written to: File exists; give another --out"),
        ((*good, "--out", file / "below"), None, "can't be written to: Not a directory; give another --out"),
        ((*good, "--against", trained.checkpoint), None, "is given twice"),
        ((*good, "--against", tmp_path / "gone.ckpt"), None, "gone.ckpt is not a checkpoint"),
        (good, tmp_path / "gone.ckpt", "gone.ckpt is not a checkpoint"),
        (("dataset=manifest", f"dataset.root={tmp_path / 'gone.csv'}"), None, "manifest is not at"),
        ((*good, "labels.merge={happy: calm, sad: boredom}"), None, "they must share two or more"),
        (("dataset=nothing",), None, "nothing"),
        ((*good, "--device", "nonsense"), None, "device=nonsense can't be used"),
    ):
        place = () if "--out" in words else ("--out", out)
        code, screen = ask(*words, *place, checkpoint=checkpoint)
        assert isinstance(code, str)
        assert code.startswith("error: ")
        assert message in code
        assert "│" not in screen, "no table"
        assert not out.exists()
