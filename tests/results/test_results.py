import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ser import results
from ser.data.corpora import SYNTHETIC, Clip
from ser.errors import UserError
from ser.results import (
    Recipe,
    RunRecord,
    describe_dataset,
    find_runs,
    read_choices,
    refuse_run_folders,
    show,
    write_choices,
)
from ser.results.choices import DATA

ROOT = Path(__file__).parents[2]

RESULTS: dict[str, Any] = {
    "dataset": {"name": "folder", "synthetic": False, "skipped": [], "remarks": {}},
    "split": {"leakage": "3 of 7 test speakers were seen in training or validation."},
    "features": "mel",
    "model": "paper2d",
    "checkpoint": {"tested": "best", "epoch": 4},
    "test": {"accuracy": 0.61234, "macro_f1": 0.5, "weighted_f1": 0.55, "uar": 0.525, "loss": 1.25},
    "intervals": {
        "over": "7 speakers",
        "accuracy": [0.51, 0.72],
        "macro_f1": [0.41, 0.61],
        "weighted_f1": [0.45, 0.65],
        "uar": [0.42, 0.63],
    },
    "classes": {
        "anger": {"f1": 0.8, "precision": 0.75, "recall": 0.857, "clips": 7, "predicted": 8},
        "happy": {"f1": 0.0, "precision": 0.0, "recall": 0.0, "clips": 3, "predicted": 0},
        "sad": {"f1": 0.6, "precision": 0.5, "recall": 0.75, "clips": 4, "predicted": 6},
    },
    "most_confusing": ["happy", "sad", "anger"],
    "confusion_matrix": {"labels": ["anger", "happy", "sad"], "counts": [[6, 0, 1], [1, 0, 2], [1, 0, 3]]},
}


def shown(monkeypatch: pytest.MonkeyPatch, **changes: dict[str, Any]) -> str:
    told = copy.deepcopy(RESULTS)
    for part, values in changes.items():
        told[part] = told.get(part, {}) | values
    monkeypatch.setattr(results.console, "width", 160)
    with results.console.capture() as capture:
        show(RunRecord(**{"recipe": Recipe((), {}), **told}), Path("some/run"))
    return capture.get()


def lines(text: str, *words: str) -> list[str]:
    return [line for line in text.splitlines() if all(word in line for word in words)]


def test_scores_checkpoint_and_run_folder_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch)
    assert lines(text, "best checkpoint (epoch 4)")
    assert lines(text, "accuracy", "macro_f1", "weighted_f1", "uar", "loss")
    assert lines(text, "0.6123", "0.5000", "0.5500", "0.5250", "1.2500")
    assert lines(text, "some/run")


def test_the_confusion_matrix_has_a_line_for_each_true_class(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [line.replace("│", " ").split() for line in shown(monkeypatch).splitlines()]
    assert ["anger", "6", "0", "1"] in rows
    assert ["happy", "1", "0", "2"] in rows
    assert ["sad", "1", "0", "3"] in rows


def test_classes_are_ranked_and_one_that_is_never_predicted_is_remarked(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch)
    ranking = text[text.index("Most confusing classes") :]
    assert ranking.index("happy") < ranking.index("sad") < ranking.index("anger")
    assert lines(ranking, "happy", "never predicted: precision is not defined, shown as 0")
    assert len(lines(text, "never predicted")) == 1


def test_brackets_in_a_files_name_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "/some/[odd] folder/a.wav: has no samples"
    text = shown(monkeypatch, dataset={"skipped": [{"clip": "a", "reason": reason}]})
    assert lines(text, "left out", reason)


def test_markup_and_control_characters_in_any_field_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = "[b]\x1b[2J[/c]"
    told = shown(monkeypatch, checkpoint={"tested": odd}, intervals={"over": odd}, split={"leakage": odd})
    assert told.count(r"[b]\x1b[2J[/c]") == 3
    assert "\x1b[2J" not in told


def test_brackets_in_a_files_name_do_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    shown(monkeypatch, dataset={"skipped": [{"clip": "a", "reason": "/some/clip [/b].wav: has no samples"}]})


def test_clips_that_were_left_out_are_shown_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "/some/folder/a.wav: has no samples"
    text = shown(monkeypatch, dataset={"skipped": [{"clip": "a", "reason": reason}], "remarks": {"b": ["silent"]}})
    assert lines(text, "left out", reason)
    assert lines(text, "1 clips were odd and used")
    assert not lines(shown(monkeypatch), "left out")


def test_speakers_heard_before_are_counted_where_speakers_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines(shown(monkeypatch), "3 of 7 test speakers were seen in training or validation")


def test_intervals_stand_under_the_scores_and_say_what_they_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch)
    assert lines(text, "0.510-0.720", "0.410-0.610", "0.450-0.650", "0.420-0.630")
    assert lines(text, "95 % interval by a bootstrap over 7 speakers")


def test_raters_are_shown_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {
        "one_rater": {"accuracy": 0.4},
        "majority": {"accuracy": 0.45},
        "network_with_majority": {"accuracy": 0.5},
    }
    text = shown(monkeypatch, raters={"clips": 1234, **figures})
    assert lines(text, "Human raters", "1,234", "0.400", "0.450", "0.500")
    assert not lines(shown(monkeypatch), "Human raters")


def test_a_score_of_synthetic_sound_is_shown_with_a_caution_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"demo"} == SYNTHETIC
    assert lines(shown(monkeypatch, dataset={"synthetic": True}), "synthetic", "says nothing about people")
    assert not lines(shown(monkeypatch), "synthetic")


def test_metrics_of_another_program_or_cut_off_are_refused(tmp_path: Path) -> None:
    for name, text, why in (
        ("cut", '{"row": null, "data', "or broken"),
        ("empty", "", "or broken"),
        ("list", "[]", "does not tell row"),
        ("other", '{"accuracy": 0.9}', "does not tell row"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(text)
        with pytest.raises(UserError, match=f"{name}/metrics.json is not a .*{why}"):
            find_runs([tmp_path / name])


WHOLE: dict[str, Any] = {
    **RESULTS,
    "row": None, "seed": 1, "command": ["python", "train.py"], "file": "x",
    "split": {
        "name": "speaker", "hash": "h", "clips": {"test": 14}, "test_speakers": 7, "test_speakers_heard_before": 0,
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("test.accuracy", float("nan")), ("test.accuracy", 10**400), ("test.uar", True), ("test.uar", -0.1),
        ("intervals", 1), ("intervals.accuracy", [0.1]), ("intervals.accuracy", "ab"), ("intervals.uar", [None, 1]),
        ("classes.anger", []), ("classes.anger.predicted", "many"), ("classes.anger.predicted", 10**30),
        ("split.clips", []), ("split.clips.test", -1), ("split.fold", {}), ("split.test_speakers", True),
        ("dataset.corpora", ["crema_d"]), ("dataset.corpora", {"crema_d": "all"}), ("dataset.skipped", [{}]),
        ("dataset.remarks", {"a": 1}), ("command", [1]), ("command", [["x"]]), ("members", [None]), ("members", {}),
        ("groups", []), ("groups", {"corpus": {"a": {"uar": 0.5}}}), ("raters", {"clips": 1}), ("seed", 10**40),
        ("data", {"nowhere": {}}), ("versions", {"torch": {}}), ("checkpoint", []), ("labels.left_out", {"x": "y"}),
    ],
)  # fmt: skip
def test_what_is_deep_inside_a_metrics_json_is_checked_and_told_in_one_line(
    tmp_path: Path, where: str, value: object
) -> None:
    told = copy.deepcopy(WHOLE)
    (tmp_path / "metrics.json").write_text(json.dumps(told))
    find_runs([tmp_path])
    *groups, last = where.split(".")
    place = told
    for group in groups:
        place = place.setdefault(group, {})
    place[last] = value
    (tmp_path / "metrics.json").write_text(json.dumps(told))
    with pytest.raises(UserError, match=r"metrics\.json is not a .*: move it away|move it away") as caught:
        find_runs([tmp_path])
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"\xff", b'{"a":' * 50_000, b"1" * 5000, b'{"row": null, "row": 1e999}']
)
def test_a_metrics_json_that_is_made_to_break_its_reader_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metrics.json").write_bytes(content)
    with pytest.raises(UserError, match=r"metrics\.json is not a"):
        find_runs([tmp_path])
    (tmp_path / "metrics.json").unlink()
    os.mkfifo(tmp_path / "metrics.json")
    with pytest.raises(UserError, match="it is no file of at most 256 MiB"):
        find_runs([tmp_path])


def test_every_metrics_json_of_the_docs_is_read() -> None:
    assert find_runs([ROOT / "docs" / "results"])


def test_results_are_not_written_over_those_that_they_are_made_from(tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    for folder in (run, other):
        folder.mkdir()
        (folder / "predictions.csv").touch()
    refuse_run_folders(other, [run])
    (tmp_path / "link").symlink_to(run)
    for out in (run, tmp_path / "link"):
        with pytest.raises(UserError, match=r"^--out .*/predictions\.csv is one of the files to read"):
            refuse_run_folders(out, [other, run])


def test_what_results_hold_is_checked_by_name_and_type() -> None:
    RunRecord.parse(WHOLE, Path("a file"))
    for changes, why in (
        ({"split": {"name": "speaker"}}, "does not tell split.hash"), ({"split": None}, "does not tell split.name"),
        ({"seed": "1"}, "for seed is '1'"), ({"test": {"accuracy": 1}}, "does not tell test.macro_f1"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=f"^a file .* {why}:"):
            RunRecord.parse(WHOLE | changes, Path("a file"))
    with pytest.raises(UserError, match="does not tell seed"):
        RunRecord.parse({name: value for name, value in WHOLE.items() if name != "seed"}, Path("a file"))


def test_a_record_is_read_as_it_was_written_and_one_of_a_later_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    written = RunRecord.parse({**WHOLE, "precision": None}, file)
    written.write(file)
    assert RunRecord.read(file) == written
    held = json.loads(file.read_text())
    assert held["schema"] == 1
    assert "precision" not in held
    file.write_text(json.dumps(held | {"schema": 2}))
    with pytest.raises(UserError, match=r"was written by a later version \(schema 2, not 1\)"):
        find_runs([tmp_path])


def test_a_score_that_earlier_records_lack_is_left_out_and_a_wrong_one_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not lines(shown(monkeypatch), "mcc")
    assert lines(shown(monkeypatch, test={"mcc": -0.25}), "-0.2500")
    for wrong in ("high", 1.5, True):
        with pytest.raises(UserError, match=r"for test\.mcc is"):
            RunRecord.parse(WHOLE | {"test": RESULTS["test"] | {"mcc": wrong}}, Path("a file"))


CHOICES: dict[str, Any] = {
    "seed": 1, "row": None, "init_from": None, "dataset": {"name": "a", "root": "b"}, "model": {"name": "x"},
    "split": {"name": "kfold", "fold": 1, "folds": 5, "seed": 42}, "datamodule": {"bank": "mmap", "size": 2},
}  # fmt: skip


def test_a_recipe_is_what_makes_two_runs_the_same_except_for_their_seed_and_fold() -> None:
    command = ["ser", "train", "split.fold=1", "seed=1", "datamodule.size=2", "datamodule.bank=mmap"]
    recipe = Recipe.of(command, CHOICES)
    assert recipe.words == ("datamodule.size=2",)
    other = copy.deepcopy(CHOICES) | {"seed": 2}
    other["split"]["fold"], other["datamodule"]["bank"] = 2, "device"
    assert Recipe.of([], other).without() == recipe.without()
    for part, name in (("split", "folds"), ("dataset", "root"), ("model", "name"), ("datamodule", "size")):
        changed = copy.deepcopy(CHOICES)
        changed[part][name] = 7
        assert (Recipe.of(command, changed).without() == recipe.without()) is False
        assert (Recipe.of(command, changed).without(*DATA) == recipe.without(*DATA)) == (part in ("split", "dataset"))


def test_an_earlier_record_gets_its_recipe_from_its_choices_or_else_from_what_was_typed(tmp_path: Path) -> None:
    held = WHOLE | {"command": ["python", "train.py", "augment=none", "seed=3"]}
    file = tmp_path / "metrics.json"
    assert RunRecord.parse(held, file).recipe == Recipe(("augment=none",), {"words": ["augment=none"]})
    write_choices(tmp_path, CHOICES)
    assert RunRecord.parse(held, file).recipe == Recipe.of(held["command"], read_choices(tmp_path))


@pytest.mark.parametrize(
    "content",
    [b"split: [", b"\xff\xfe", b"- a list", b"a: ${", b"split: 1", b"", None, b"split: {a: ${oc.env:HOME}}",
    b"split: &a {b: 1}\nc: *a", b"split: !!python/object/apply:os.getcwd []", b"[" * 3000],
)  # fmt: skip
def test_choices_that_can_not_be_read_are_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(UserError, match=r"config\.yaml can't be read as a run's choices"):
        read_choices(tmp_path)


def test_loggers_of_earlier_runs_are_known_by_name_and_no_other_class_is(tmp_path: Path) -> None:
    for name, wanted in (
        ("lightning.pytorch.loggers.CSVLogger", {"name": "csv"}),
        ("lightning.pytorch.loggers.TensorBoardLogger", {"name": "tensorboard"}),
        ("torch.load", {"_target_": "torch.load", "version": ""}),
    ):
        (tmp_path / "config.yaml").write_text(f"split: {{}}\nlogger: {{_target_: {name}, version: ''}}")
        assert read_choices(tmp_path)["logger"] == wanted


def test_options_of_earlier_runs_are_read_by_their_names_now(tmp_path: Path) -> None:
    old = "split: {}\naugment: {wave: {noise: 0.5, snr_low_db: 3.0}, spec: {mixup: 0.5}}\n"
    (tmp_path / "config.yaml").write_text(f"{old}features: {{names: [mel], mel_reference: one, n_mels: 64}}")
    choices = read_choices(tmp_path)
    assert choices["augment"] == {"wave": {"noise": {"chance": 0.5, "snr_low_db": 3.0}}, "spec": {"mixup": 0.5}}
    assert choices["features"] == {"names": ["logmel"], "n_mels": 64, "silence": 1.0}
    (tmp_path / "config.yaml").write_text(f"{old}features: {{names: [mel], mel_reference: max}}")
    assert read_choices(tmp_path)["features"] == {"names": ["mel"], "silence": 1.0}


@pytest.mark.parametrize("name", ["demo", "folder"])
def test_results_of_a_synthetic_corpus_say_so(name: str) -> None:
    clips = [Clip("1", Path("1"), "sad", corpus=name), Clip("2", Path("2"), "sad", speaker="a", corpus=name)]
    told = describe_dataset(name, clips, {"3": "it is empty"})
    assert told["synthetic"] == ("caution" in told) == (name == "demo")
    assert (told["clips"], told["speakers"], told["corpora"]) == (2, 1, {name: 2})
    assert told["skipped"] == [{"clip": "3", "reason": "it is empty"}]


CHANGED = """
from ser import results
results.started_as("train.py")
open(results.__file__, "a").write("# changed since")
print(results.git_revision(), results.git_revision.__wrapped__())
"""


def test_the_revision_is_that_of_the_code_as_the_command_started(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "ser", tmp_path / "ser", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / ".gitignore").write_text("__pycache__\n")
    git = [
        "git",
        "-C",
        str(tmp_path),
        "-c",
        "user.name=n",
        "-c",
        "user.email=n@example.org",
        "-c",
        "commit.gpgsign=false",
    ]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=first"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    words = [sys.executable, "-c", CHANGED]
    told = subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert told.stdout.split() == [head, f"{head}+"]
