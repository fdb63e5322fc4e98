"""That the table holds what was measured and what results tell; not how fast anything is."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import networks
from benchmarks.networks import ROWS, SVM, TRAINING_CLIPS, Measured, Training, lines, measure, of_svm, results, uar
from ser.errors import UserError

RESULTS = Path(__file__).parents[2] / "docs/results/crema_d"

WHERE = ("dataset", "datamodule.cache=", "hydra.", "seed=", "split", "trainer.enable_progress_bar=")
"""Words that are no part of a recipe."""


@pytest.fixture
def words(corpus: Path) -> list[str]:
    """A tiny corpus, with frames so short that the 2D networks have enough of them."""
    return ["dataset=folder", f"dataset.root={corpus}", "split.val=0.2", "features.hop_length=100"]


@pytest.fixture
def told() -> dict[str, Any]:
    """What a ``metrics.json`` of pooled folds tells, as far as it is asked."""
    return {
        "row": None,
        "dataset": {"name": "crema_d"},
        "split": {
            "name": "kfold",
            "hash": "0",
            "fold": "pooled",
            "folds": 5,
            "clips": {"test": 9},
            "test_speakers": 3,
            "test_speakers_heard_before": 0,
        },
        "features": "mel",
        "model": "paper2d",
        "parameters": {"trainable": 1_234},
        "seed": 1,
        "seconds": 1_500.0,
        "command": ["python"],
        "classes": {},
        "test": dict.fromkeys(("accuracy", "macro_f1", "weighted_f1", "uar"), 0.5),
    }


def written(folder: Path, told: dict[str, Any], **changes: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({**told, **changes}))
    return folder


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Call the script, and return what it printed."""

    def call(*typed: str) -> str:
        monkeypatch.setattr(sys, "argv", ["networks.py", *typed])
        networks.main()
        return capsys.readouterr().out

    return call


def test_every_network_is_trained_and_answers_and_has_its_line(
    words: list[str], told: dict[str, Any], called: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "WARM_UP", 0)
    monkeypatch.setattr(networks, "console", networks.Screen(width=200))
    written(tmp_path / "kfold/mel_paper2d/1", told, test={**told["test"], "uar": 0.4})
    written(tmp_path / "kfold/mel_paper2d/2", told, test={**told["test"], "uar": 0.5})
    written(tmp_path / f"kfold/{SVM}", told, answer_seconds=0.25)
    json_file = tmp_path / "costs.json"
    printed = called(str(tmp_path), *words, "--rounds", "2", "--train", "100", "--json", str(json_file))
    costs = json.loads(json_file.read_text())
    assert list(costs) == [*ROWS, SVM]
    for name in ROWS:
        assert costs[name]["training"] > 0
        assert len(costs[name]["answers"]) == 2
        (line,) = (line for line in printed.splitlines() if f" {ROWS[name]} " in line)
        assert f" {costs[name]['parameters']:,} " in line
        assert (" 0.450 (kfold, 2 seeds) " in line) == (name == "mel_paper2d")
        assert (" – " in line) == (name != "mel_paper2d")
    assert costs[SVM] == {"parameters": 1_234, "training": 300.0, "answers": [0.25]}
    (line,) = (line for line in printed.splitlines() if "openSMILE" in line)
    assert re.findall(r"[\d.,]*\d", line.partition("SVM")[2]) == ["1,234", "5.0", "0.500", "1", "250.0"]


def test_a_training_takes_as_many_steps_as_train_py_would(words: list[str]) -> None:
    training = Training([*ROWS["seresnet"].split(), "split=stratified", *words])
    # 572,419 on six emotions, and the corpus has three: 256 weights and a bias less for each.
    assert sum(weight.numel() for weight in training.network.parameters()) == 572_419 - 3 * 257
    assert training.steps(TRAINING_CLIPS) == 36 * 80, "36 epochs of 79 batches of 64 clips, and one of 21"
    assert training.steps(64) == 36
    assert training.steps(65) == 72


def test_a_step_trains_and_an_answer_is_of_the_network(words: list[str]) -> None:
    training = Training([*ROWS["seresnet"].split(), "split=stratified", "datamodule.batch_size=4", *words])
    before = [weight.clone() for weight in training.network.parameters()]
    training.step()
    assert all((old != new).any() for old, new in zip(before, training.network.parameters(), strict=True))
    answer = training.answer()()
    assert isinstance(answer, dict)
    assert list(answer) == ["anger", "happy", "sad"]
    with torch.no_grad():
        logits = training.network(training.data.make_batch(torch.tensor([0])).inputs)
    torch.testing.assert_close(torch.tensor(list(answer.values())), logits.softmax(1)[0], rtol=1e-4, atol=1e-5)


def test_a_training_is_the_median_step_by_its_steps_and_what_warms_up_is_not_timed(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "ROWS", {"one": "model=cnn1d features=energy_zcr trainer.max_epochs=7"})
    times = iter([99.0, 99.0, 99.0, 1.0, 2.0, 6.0, 99.0, 99.0, 99.0, 0.5, 0.25, 0.125])
    monkeypatch.setattr(networks, "seconds_of", lambda call: (call(), next(times))[1])
    (cost,) = measure([*words, "datamodule.batch_size=8"], 20, 3).values()
    assert cost.training == 2.0 * 7 * 3
    assert cost.answers == [0.5, 0.25, 0.125]
    assert next(times, None) is None


@pytest.mark.parametrize("name", ROWS)
def test_a_row_has_the_words_that_its_results_were_made_with(name: str) -> None:
    runs = results(RESULTS, name)
    if not runs:
        pytest.skip(f"docs/results has none of {name}")
    for run in runs:
        recipe = [word for word in run.command or [] if not word.startswith(WHERE)]
        assert recipe[:2] == ["python", "train.py"]
        assert sorted(recipe[2:]) == sorted(ROWS[name].split())


def test_most_rows_have_results() -> None:
    assert len([name for name in ROWS if results(RESULTS, name)]) >= 4


def test_folds_stand_above_one_split_and_a_row_without_results_has_a_dash(told: dict[str, Any], tmp_path: Path) -> None:
    alone = {**told["split"], "name": "speaker", "fold": None}
    written(tmp_path / "speaker/cnn2d/1", told, split=alone)
    assert uar(results(tmp_path, "cnn2d")) == "0.500 (speaker, 1 seed)"
    written(tmp_path / "kfold/cnn2d/1", told, test={**told["test"], "uar": 0.25})
    assert uar(results(tmp_path, "cnn2d")) == "0.250 (kfold, 1 seed)"
    written(tmp_path / f"kfold/{SVM}", told, seed=None)
    assert uar(results(tmp_path, SVM)) == "0.500 (kfold)"
    assert results(tmp_path, "seresnet") == []
    (line,) = lines({"seresnet": Measured(5, 90.0, [0.003, 0.001, 0.002])}, {"seresnet": []})
    assert line == ["experiment=seresnet", "5", "1.5", "–", "2.0"]


def test_results_that_can_not_be_told_are_refused(told: dict[str, Any], tmp_path: Path) -> None:
    written(tmp_path / "kfold/cnn2d/0", told, split={**told["split"], "fold": 0})
    with pytest.raises(UserError, match=r"cnn2d/0/metrics\.json is of a single fold: python scripts/pool\.py"):
        results(tmp_path, "cnn2d")
    written(tmp_path / f"kfold/{SVM}/a", told)
    with pytest.raises(UserError, match="does not tell answer_seconds"):
        of_svm(results(tmp_path, SVM))
    written(tmp_path / f"kfold/{SVM}/b", told, answer_seconds=0.1)
    with pytest.raises(UserError, match=rf"{SVM}/b/metrics\.json is a second result"):
        of_svm(results(tmp_path, SVM))


def test_words_are_whole_on_a_narrow_screen(
    told: dict[str, Any], called: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "console", networks.Screen(width=80))
    monkeypatch.setattr(networks, "measure", lambda *_: {name: Measured(5, 90.0, [0.003]) for name in ROWS})
    written(tmp_path / "kfold/mel_paper2d/1", told)
    cells = [line.split("│")[1].strip() for line in called(str(tmp_path), "dataset=demo").splitlines() if "│" in line]
    assert "".join(cells) == "".join(ROWS.values()).replace(" ", "")


@pytest.mark.parametrize(
    ("typed", "told_of"),
    [
        (["{place}", "dataset=folder", "dataset.root=nowhere"], "nowhere"),
        (["{place}", "dataset=nothing"], "nothing"),
        (["nowhere", "dataset=demo"], r"nowhere has results of none of energy_zcr_cnn1d, .*such as docs/results/"),
        (["{place}/kfold", "dataset=demo"], "has results of none of"),
    ],
)
def test_what_can_not_be_measured_ends_in_words(
    typed: list[str], told_of: str, told: dict[str, Any], called: Callable[..., str], tmp_path: Path
) -> None:
    written(tmp_path / "kfold/cnn2d/1", told)
    with pytest.raises(SystemExit, match=f"error: .*{told_of}"):
        called(*(word.format(place=tmp_path) for word in typed))


def test_a_file_that_can_not_be_written_ends_in_words(
    told: dict[str, Any], called: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "measure", lambda *_: {"cnn2d": Measured(5, 90.0, [0.003])})
    written(tmp_path / "kfold/cnn2d/1", told)
    with pytest.raises(SystemExit, match=r"error: .*nowhere"):
        called(str(tmp_path), "dataset=demo", "--json", str(tmp_path / "nowhere/costs.json"))


@pytest.mark.parametrize("typed", [["--rounds", "0"], ["--train", "0"], ["--train", "many"]])
def test_too_few_rounds_or_clips_are_refused(
    typed: list[str], called: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        called(str(RESULTS), "dataset=demo", *typed)
    assert ended.value.code == 2
    assert typed[0] in capsys.readouterr().err
