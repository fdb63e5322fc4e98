import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ser.commands import leaderboard
from ser.errors import UserError
from ser.results import RunRecord, find_runs
from ser.results import leaderboard as tables
from ser.results.jobs import ERROR, PLAN, Job
from ser.results.leaderboard import PUBLISHED, REPORT, SPEAKER_INDEPENDENT, Board, find_jobs, markdown, shown, table

ROOT = Path(__file__).parents[2]


def metrics(seed: int, accuracy: float, row: str | None = "energy", split: str = "stratified", **more: Any) -> dict:
    predicted = more.pop("predicted", (60, 40))
    run = {
        "row": row,
        "dataset": {"name": "crema_d"},
        "split": {
            "name": split,
            "hash": f"hash of {split}",
            "clips": {"test": 100},
            "test_speakers": 9,
            "test_speakers_heard_before": 9 if split == "stratified" else 0,
        },
        "features": "energy",
        "model": "cnn1d",
        "seed": seed,
        "test": {"accuracy": accuracy, "macro_f1": 0.3, "weighted_f1": 0.31, "uar": 0.32},
        "classes": {name: {"predicted": count} for name, count in zip(("anger", "sad"), predicted, strict=True)},
        "file": f"{row}/{split}/{seed}",
        "command": ["python", "train.py", f"report={row}", f"seed={seed}", f"split={split}"],
    }
    return {**run, **more}


def gather(runs: list[dict]) -> list[Board]:
    return tables.gather([RunRecord.parse(run, Path(run["file"])) for run in runs])


def cells(runs: list[dict]) -> list[dict[str, str]]:
    """The lines of the first table."""
    boards = gather(runs)
    return table(boards[0], boards)


def bounds(low: float, high: float) -> dict[str, Any]:
    return {name: [low, high] for name in ("accuracy", "macro_f1", "weighted_f1", "uar")}


def test_seeds_make_one_row_with_mean_and_sample_deviation() -> None:
    (row,) = cells([metrics(1, 0.40), metrics(2, 0.44), metrics(3, 0.48)])
    assert row["accuracy"] == "0.440 ± 0.040"
    assert row["macro F1"] == "0.300 ± 0.000"
    assert row["remarks"] == "3 seeds"


def test_the_interval_of_a_row_is_the_mean_of_its_seeds_and_missing_where_a_seed_has_none() -> None:
    runs = [metrics(1, 0.40, intervals=bounds(0.3, 0.5)), metrics(2, 0.44, intervals=bounds(0.4, 0.52))]
    assert cells(runs)[0]["95 %"] == "0.350 to 0.510"
    assert cells([*runs, metrics(3, 0.4)])[0]["95 %"] == "–"


def test_what_a_recipe_scores_with_speakers_apart_stands_beside() -> None:
    runs = [metrics(1, 0.40), metrics(1, 0.35, split="speaker")]
    (first,) = cells(runs)
    assert [first[column] for column in ("accuracy", *SPEAKER_INDEPENDENT)] == ["0.400", "0.350", "0.320"]


def test_another_split_is_another_table_that_says_who_was_heard_before() -> None:
    first, second = gather([metrics(1, 0.35, split="speaker"), metrics(1, 0.40)])
    assert first.title == (
        "crema_d, split=stratified (hash of stratified): 100 test clips of 9 speakers, "
        "9 of them seen in training or validation"
    )
    assert "split=speaker (hash of speaker)" in second.title
    assert "0 of them seen" in second.title
    other = metrics(1, 0.41)
    other["split"]["hash"] = "another hash"
    assert len(gather([metrics(1, 0.40), other])) == 2


def test_other_sides_of_a_split_and_other_speakers_heard_are_other_tables() -> None:
    def evaluated(side: str, heard: int | None) -> dict:
        run = metrics(1, 0.9, split="speaker")
        split = {**run["split"], "name": f"speaker, {side}", "test_speakers_heard_before": heard}
        return {**run, "split": split, "seed": None, "file": f"{side}/{heard}"}

    runs = [metrics(1, 0.4, split="speaker"), evaluated("train", 9), evaluated("test", None), evaluated("test", 0)]
    told = {board.title.partition("): ")[2]: board for board in gather(runs)}
    of = "100 test clips of 9 speakers"
    assert set(told) == {
        f"{of}, 0 of them seen in training or validation",
        f"{of}, 9 of them seen in training or validation",
        f"{of}, not known how many of them seen in training or validation",
    }
    same = told[f"{of}, 0 of them seen in training or validation"].rows.values()
    assert [str(run.file) for row in same for run in row.runs] == ["energy/speaker/1", "test/0"]


def test_an_evaluation_that_comes_first_makes_no_other_table_of_the_reports_split() -> None:
    run = metrics(1, 0.40)
    first = {**run, "split": {**run["split"], "name": "stratified, test"}, "row": None, "seed": None}
    rows = cells([first, run, metrics(1, 0.35, split="speaker")])
    assert next(row[REPORT] for row in rows if row["run"] == "energy → cnn1d").startswith("0.449")
    assert rows[0][SPEAKER_INDEPENDENT[0]] == "0.350"


def test_of_several_splits_by_speaker_none_stands_beside_the_mixed_one() -> None:
    other = metrics(1, 0.5, split="speaker")
    other["split"]["hash"] = "another"
    assert cells([metrics(1, 0.40), metrics(1, 0.35, split="speaker"), other])[0][SPEAKER_INDEPENDENT[0]] == "–"


def test_human_raters_are_those_of_the_same_test_clips() -> None:
    rater = {"accuracy": 0.4, "macro_f1": 0.38, "weighted_f1": 0.39, "uar": 0.41, "intervals": bounds(0.37, 0.43)}
    raters = {"clips": 100, "one_rater": rater, "majority": {**rater, "accuracy": 0.446}}
    rows = cells([metrics(1, 0.40, raters=raters)])
    assert [row["accuracy"] for row in rows] == ["0.400", "0.400", "0.446"]
    assert rows[1]["95 %"] == "0.370 to 0.430"
    assert "human" in rows[1]["run"]


def test_each_of_several_test_corpora_has_a_line_of_its_own() -> None:
    def group(accuracy: float) -> dict[str, Any]:
        both = {"accuracy": [accuracy - 0.1, accuracy + 0.1], "uar": [0.2, 0.4]}
        return {"clips": 50, "speakers": 5, "accuracy": accuracy, "uar": 0.3, "intervals": both}

    runs = [
        metrics(seed, 0.4, groups={"corpus": {"emodb": group(0.3 * seed), "ravdess": group(0.2)}}) for seed in (1, 2)
    ]
    _, first, second = cells(runs)
    assert (first["run"], first["accuracy"], first["95 %"]) == (
        "energy → cnn1d, on emodb alone",
        "0.450",
        "0.350 to 0.550",
    )
    assert (second["accuracy"], second["UAR"], second["remarks"]) == ("0.200", "0.300", "50 clips of 5 speakers")


def test_single_folds_are_left_out_where_there_are_pooled_ones() -> None:
    folds = [metrics(1, 0.1 * fold, row=None, split="kfold") for fold in range(3)]
    for fold, run in enumerate(folds):
        run["split"] |= {"fold": fold, "hash": f"fold {fold}"}
    assert len(gather(folds)) == 3
    pooled = metrics(1, 0.5, row=None, split="kfold")
    pooled["split"] |= {"fold": "pooled", "folds": 3}
    (board,) = gather([*folds, pooled])
    assert "3 folds pooled" in board.title


def test_reports_figures_stand_beside_and_rows_follow_its_order() -> None:
    rows = cells([metrics(1, 0.4, row="zcr", features="zcr"), metrics(1, 0.4), metrics(1, 0.5, row=None)])
    assert [row["run"] for row in rows] == [
        "energy → cnn1d",
        "zcr → cnn1d",
        "energy → cnn1d, this project's defaults",
    ]
    assert rows[0][REPORT] == "0.449 / 0.436 / 0.437"
    assert rows[2][REPORT] == "–"


def test_reports_figures_stand_beside_nothing_but_its_corpus_and_its_split() -> None:
    assert "0.449" in cells([metrics(1, 0.4)])[0][REPORT]
    assert cells([metrics(1, 0.4, dataset={"name": "ravdess"})])[0][REPORT] == "–"
    another = metrics(1, 0.4)
    another["command"].append("split.seed=9")
    assert cells([another])[0][REPORT] == "–"
    single = metrics(1, 0.4)
    several = {**single, "model": "cnn1d × 2", "seed": None, "command": ["python", "x"], "members": [single]}
    rows = cells([single, several])
    assert [(row["run"], row[REPORT] != "–") for row in rows] == [
        ("energy → cnn1d", True), ("energy → cnn1d × 2", False)
    ]  # fmt: skip


def test_another_recipe_is_another_row_and_not_the_reports() -> None:
    command = ["python", "train.py", "report=energy", "seed=1", "trainer.max_epochs=5"]
    rows = cells([metrics(1, 0.4), metrics(1, 0.5, command=command)])
    assert [row["accuracy"] for row in rows] == ["0.400", "0.500"]
    assert "trainer.max_epochs=5" in rows[1]["run"]
    assert rows[1][REPORT] == "–"


def test_rows_that_are_not_the_reports_are_the_projects_defaults_or_an_experiment() -> None:
    runs = [metrics(1, 0.4, None), metrics(1, 0.4, None)]
    for run, words in zip(runs, (["augment=none"], ["experiment=seresnet"]), strict=True):
        run["command"] = ["python", "train.py", *words]
    assert [row["run"] for row in cells(runs)] == [
        "energy → cnn1d, this project's defaults (augment=none)",
        "energy → cnn1d (experiment=seresnet)",
    ]


def test_what_changes_no_score_makes_no_other_row() -> None:
    words = ["datamodule.cache=outputs/cache", "datamodule.bank=mmap", "figure_every_n_epochs=0", "logger=csv"]
    command = ["python", "train.py", "report=energy", "seed=2", *words]
    assert len(cells([metrics(1, 0.4), metrics(2, 0.5, command=command)])) == 1


def test_constant_answers_are_told() -> None:
    (first,) = cells([metrics(1, 0.17, predicted=(100, 0)), metrics(2, 0.4)])
    assert "one answer for every clip on seed 1" in first["remarks"]


def test_the_same_run_twice_is_refused() -> None:
    with pytest.raises(UserError, match="two runs"):
        gather([metrics(1, 0.4), metrics(1, 0.41)])


def test_no_runs_and_broken_runs_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no metrics\.json"):
        find_runs([tmp_path])
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(UserError, match="not a run"):
        find_runs([tmp_path])


def test_options_stand_with_their_values_and_the_folder_is_no_part_of_a_row() -> None:
    def svm(split: str, folder: str) -> dict:
        typed = ["--functionals", "eGeMAPSv02", f"split={split}", "labels.drop=[fear]", "--out", folder]
        return {**metrics(1, 0.4, None, split), "seed": None, "command": ["python", "opensmile_svm.py", *typed]}

    (row,) = cells([svm("stratified", "outputs/a"), svm("speaker", "outputs/b")])
    assert row["run"] == "energy → cnn1d (--functionals eGeMAPSv02 labels.drop=[fear])"
    assert row[SPEAKER_INDEPENDENT[0]] == "0.400"
    assert row["remarks"] == ""


def test_the_screen_shows_what_stands_in_brackets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = metrics(1, 0.4, None)
    run["command"].append("labels.drop=[fear]")
    (tmp_path / "metrics.json").write_text(json.dumps(run))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["leaderboard.py", str(tmp_path)])
        leaderboard.main()
    assert "labels.drop=[fear]" in "".join(capsys.readouterr().out.split())


def test_script_prints_and_writes_both_tables(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0/metrics.json").write_text(json.dumps(metrics(1, 0.4)))
    (tmp_path / "0/page.html").touch()
    ran = subprocess.run(
        [sys.executable, ROOT / "scripts/leaderboard.py", tmp_path], capture_output=True, text=True, check=True
    )
    assert "0.400" in ran.stdout
    index = (tmp_path / "index.html").read_text()
    assert '<a href="0/page.html">energy → cnn1d, stratified, seed 1</a>' in index
    assert "<td>0.400</td>" in index
    assert "| energy → cnn1d | 0.449 / 0.436 / 0.437 | 0.400 |" in (tmp_path / "leaderboard.md").read_text()
    assert (
        (tmp_path / "leaderboard.csv")
        .read_text()
        .splitlines()[1]
        .startswith("crema_d,stratified,hash of stratified,energy → cnn1d,")
    )


def sweep_of(folder: Path, *states: str) -> list[Job]:
    """A sweep's folder with jobs of these states; the results of finished ones are of energy."""
    jobs = [Job(str(number), ["model=cnn1d", f"seed={number}"]) for number in range(len(states))]
    (folder / PLAN).write_text(json.dumps([asdict(job) for job in jobs]))
    for number, state in enumerate(states):
        if state != "missing":
            (folder / str(number)).mkdir()
        if state == "finished":
            (folder / str(number) / "metrics.json").write_text(json.dumps(metrics(number, 0.4)))
        if state == "failed":
            (folder / str(number) / ERROR).write_text("no [memory] | left\n\nTraceback")
    return jobs


def test_failed_and_missing_jobs_stand_below_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep_of(tmp_path, "finished", "failed", "missing")
    (found,) = find_jobs([tmp_path])
    assert found.title == f"{tmp_path}: 3 jobs, 1 finished, 1 failed, 1 missing"
    lines = [["1", "seed=1", "failed", "no [memory] | left"], ["2", "seed=2", "missing", "not started"]]
    assert found.lines() == lines
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        patch.setattr(sys, "argv", ["leaderboard.py", str(tmp_path)])
        leaderboard.main()
    shown = " ".join(capsys.readouterr().out.split())
    assert "0.400" in shown
    for told in ("3 jobs, 1 finished, 1 failed, 1 missing", "no [memory] | left", "not started"):
        assert told in shown
        assert told in (tmp_path / "index.html").read_text()
    assert "| 1 | seed=1 | failed | no [memory] \\| left |" in (tmp_path / "leaderboard.md").read_text()


def test_a_sweep_without_any_results_is_shown_and_a_finished_one_has_no_such_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, states in (("none", ("failed", "missing")), ("all", ("finished", "finished"))):
        (tmp_path / name).mkdir()
        sweep_of(tmp_path / name, *states)
    assert find_jobs([tmp_path / "all"]) == []
    monkeypatch.setattr(sys, "argv", ["leaderboard.py", str(tmp_path / "none")])
    leaderboard.main()
    assert "2 jobs, 0 finished, 1 failed, 1 missing" in " ".join(capsys.readouterr().out.split())


def test_the_docs_show_the_tables_of_the_committed_results() -> None:
    page = (ROOT / "docs/results/README.md").read_text(encoding="utf-8")
    pasted = page.split("<!-- table -->")[1].split("<!-- end of table -->")[0].strip()
    assert pasted == markdown(shown(tables.gather(find_runs([ROOT / "docs/results"])))).strip()


def test_every_row_of_the_report_is_a_choice() -> None:
    assert {path.stem for path in (ROOT / "conf/report").glob("*.yaml")} == set(PUBLISHED)


def test_what_strangers_wrote_is_shown_in_tables_and_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = "<script>alert(1)</script> [x](javascript:y) https://evil.example\n| a | \x1b[2J [/b]"
    folder = tmp_path / "javascript:alert(1)#?%[b]"
    folder.mkdir()
    told = metrics(1, 0.4, row=None, features=odd, model=odd)
    told["dataset"]["name"] = odd
    told["split"]["name"] = odd
    (folder / "metrics.json").write_text(json.dumps(told), encoding="utf-8")
    (folder / "report.html").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["leaderboard.py", str(folder), "--out", str(tmp_path)])
    leaderboard.main()
    screen = capsys.readouterr().out
    assert "\x1b" not in screen
    assert r"\x1b[2J" in screen.replace("\n", "")
    markdown = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    assert "<script" not in markdown.replace("\\<", "")
    assert "[x](" not in markdown
    assert "https://" not in markdown
    assert "\x1b" not in markdown
    assert len(markdown.splitlines()) == 5, "a title, a table of one row"
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 'href="javascript%3Aalert%281%29%23%3F%25%5Bb%5D/report.html"' in page
    assert "<script" not in page


def test_tables_do_not_take_the_place_of_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps(metrics(1, 0.4)), encoding="utf-8")
    (tmp_path / "leaderboard.csv").hardlink_to(tmp_path / "metrics.json")
    monkeypatch.setattr(sys, "argv", ["leaderboard.py", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"^error: --out .*leaderboard\.csv is one of the files to read"):
        leaderboard.main()
