import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from filelock import FileLock
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

import ser.train
from ser.commands.search import main
from ser.config import CONF, ConfigError, check_choices, compose_words
from ser.errors import UserError
from ser.models import NETWORKS
from ser.results.jobs import ERROR
from ser.training import search
from ser.training.search import distribution, next_trial, open_study, read_space

SPACE = {"model.dropout": FloatDistribution(0.0, 0.5), "datamodule.batch_size": CategoricalDistribution(["8", "16"])}

WORDS = ["dataset=folder", "model=cnn1d", "features=energy_zcr", "datamodule.batch_size=choice(8,16)"]


@pytest.fixture
def words(tmp_path: Path, write_wav: Callable[..., Path]) -> list[str]:
    """A corpus, and a space of two options."""
    for emotion in ("happy", "sad"):
        write_wav(f"clips/{emotion}/1.wav", 0.1)
    space = tmp_path / "space.yaml"
    space.write_text("model.dropout: interval(0.0, 0.5)\n")
    return [*WORDS, f"dataset.root={tmp_path}/clips", "--space", str(space), "--storage", f"{tmp_path}/found/it.log"]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Search with words, and return what was shown."""

    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["scripts/search.py", *words])
        main()
        return capsys.readouterr().out

    return run


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], Path]]:
    """Runs that score their dropout, fail above 0.4, and test badly where they validate well."""
    runs: list[tuple[dict[str, Any], Path]] = []

    def run(cfg: dict[str, Any], folder: Path, command: list[str]) -> dict[str, Any]:
        runs.append((cfg, folder))
        dropout = cfg["model"]["dropout"]
        if dropout > 0.4:
            raise RuntimeError("no memory")
        (folder / "metrics.json").write_text(json.dumps(command))
        return {"checkpoint": {"best_val_macro_f1": dropout}, "test": {"macro_f1": 1 - dropout}}

    monkeypatch.setattr(ser.train, "run", run)
    return runs


def test_the_best_on_validation_is_told_and_failed_trials_are_recorded(
    words: list[str], typed: Callable[..., str], tried: list[tuple[dict[str, Any], Path]], tmp_path: Path
) -> None:
    shown = " ".join(typed(*words, "--trials", "8").split())
    assert len(tried) == 8
    folders = [folder for _, folder in tried]
    assert folders == [tmp_path / "found/it" / str(number) for number in range(8)]
    dropouts = [cfg["model"]["dropout"] for cfg, _ in tried]
    good = {number: dropout for number, dropout in enumerate(dropouts) if dropout <= 0.4}
    assert 0 < len(good) < 8
    best = max(good, key=lambda number: good[number])
    assert f"best: trial {best}, macro F1 on validation {good[best]:.4f}" in shown
    assert shown.endswith(
        f"model.dropout={good[best]} datamodule.batch_size={tried[best][0]['datamodule']['batch_size']}"
    )
    for number, folder in enumerate(folders):
        assert (folder / ERROR).is_file() == (number not in good)
        assert (f"failed: {folder} (model.dropout=" in shown) == (number not in good)
    assert "8 of 8 trials done" in shown
    study = optuna.load_study(
        study_name="search", storage=search.JournalStorage(search.JournalFileBackend(str(tmp_path / "found/it.log")))
    )
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert [trial.state == TrialState.COMPLETE for trial in study.trials] == [n in good for n in range(8)]
    command = json.loads((folders[best] / "metrics.json").read_text())
    assert command[:2] == ["python", "train.py"]
    assert compose_words(["trainer.enable_progress_bar=false", *command[2:]]) == tried[best][0]


def test_a_stopped_search_goes_on_as_the_unbroken_one(
    words: list[str], typed: Callable[..., str], tried: list[tuple[dict[str, Any], Path]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    typed(*words, "--trials", "12")
    unbroken = [cfg for cfg, _ in tried]
    tried.clear()
    here = [word.replace("found/it.log", "again/it.log") for word in words]
    typed(*here, "--trials", "3")
    whole = ser.train.run

    def stopped(*args: Any) -> dict[str, Any]:
        tried.append((args[0], args[1]))
        raise KeyboardInterrupt

    monkeypatch.setattr(ser.train, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        typed(*here, "--trials", "12")
    monkeypatch.setattr(ser.train, "run", whole)
    shown = typed(*here, "--trials", "12")
    assert "trials done before: 3" in shown
    assert tried[3] == tried[4], "the trial that was cut off, in its own folder"
    assert [cfg for cfg, _ in tried[:3] + tried[4:]] == unbroken
    assert len({cfg["model"]["dropout"] for cfg in unbroken}) == 12
    tried.clear()
    assert "best: trial" in typed(*here, "--trials", "12")
    assert not tried


def test_a_trial_that_was_cut_off_before_its_options_were_known_failed(tmp_path: Path) -> None:
    study = open_study(tmp_path / "it.log", [], SPACE)
    study.ask()
    assert next_trial(study, SPACE).number == 1
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.RUNNING]


def test_all_trials_failing_is_an_error(
    words: list[str], typed: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*args: Any) -> None:
        raise ConfigError("does not work")

    monkeypatch.setattr(ser.train, "run", run)
    with pytest.raises(SystemExit, match=r"error: all 2 trials failed: see error\.txt"):
        typed(*words, "--trials", "2")


def test_another_search_and_a_second_one_are_refused(
    words: list[str], typed: Callable[..., str], tried: list[tuple[dict[str, Any], Path]], tmp_path: Path
) -> None:
    typed(*words, "--trials", "1")
    with pytest.raises(SystemExit, match="is of a search with other words"):
        typed(*words, "--trials", "2", "features.hop_length=100")
    with FileLock(tmp_path / "found/it/.lock"), pytest.raises(SystemExit, match="another process is searching here"):
        typed(*words, "--trials", "2")
    (tmp_path / "found/it.log").write_text("no journal\n")
    with pytest.raises(SystemExit, match="can't be read as a journal"):
        typed(*words, "--trials", "2")


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("seed=1,2", "seed is not searched for"),
        ("split.fold=range(0,5)", r"split\.fold is not searched for"),
        ("model=cnn1d,wide1d", "model is not searched for"),
        ("model.dropout=interval(0.5,0.1)", "Optuna refuses it"),
        ("model.dropout=range(1,1)", "Optuna refuses it"),
        ("--trials=0", None),
        ("features=nothing", "nothing"),
        ("dataset.root=nowhere", "nowhere"),
        ("--storage=it", "give the file a suffix"),
        ("--space=nowhere.yaml", r"nowhere\.yaml can't be read"),
    ],
)
def test_what_can_not_be_searched_for_ends_in_words(
    word: str, told: str | None, words: list[str], typed: Callable[..., str], tried: list[Any]
) -> None:
    with pytest.raises(SystemExit, match=told) as ended:
        typed(*words, word)
    assert told is None or str(ended.value.code).startswith("error: ")
    assert not tried


def test_a_space_file_that_fixes_or_names_nothing_is_refused(tmp_path: Path) -> None:
    for text, told in (("model.dropout: 0.3", "must be interval"), ("- a", "has no lines"), ("{}", "nothing is left")):
        file = tmp_path / "space.yaml"
        file.write_text(text)
        with pytest.raises(UserError, match=told):
            read_space(file, [])


def test_words_stand_above_the_space(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("model.dropout: interval(0, 0.5)\nmodel.learning_rate: interval(0.1, 0.2)\n")
    given = OverridesParser.create().parse_overrides(["model.dropout=0.3", "model.learning_rate=choice(1,2)"])
    assert read_space(file, given) == {"model.learning_rate": CategoricalDistribution(["1", "2"])}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("interval(0,0.5)", FloatDistribution(0.0, 0.5)),
        ("interval(1,5)", FloatDistribution(1.0, 5.0)),
        ("int(interval(1,5))", IntDistribution(1, 5)),
        ("tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("int(tag(log,interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("range(0,4)", IntDistribution(0, 3)),
        ("range(1,10,3)", IntDistribution(1, 7, step=3)),
        ("range(0,1,0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
        ("choice(none,light)", CategoricalDistribution(["none", "light"])),
        ("8,16", CategoricalDistribution(["8", "16"])),
    ],
)
def test_hydras_words_are_optunas_distributions(word: str, expected: Any) -> None:
    assert distribution(OverridesParser.create().parse_override(f"a={word}")) == expected


def test_there_is_a_space_for_every_network_and_its_ends_go_together() -> None:
    assert {path.stem for path in (CONF / "search").glob("*.yaml")} == set(NETWORKS)
    for name, network in NETWORKS.items():
        space = read_space(CONF / "search" / f"{name}.yaml", [])
        assert {"model.learning_rate", "model.dropout"} <= set(space)
        features = {1: "features=energy_zcr", 2: "features=mel", 3: "features=wavlm"}[network.dimensions]
        for end in ("low", "high"):
            at = {key: getattr(kind, end, None) for key, kind in space.items()}
            ends = [f"{key}={value}" for key, value in at.items() if value is not None]
            choices = [f"{k}={d.choices[0]}" for k, d in space.items() if isinstance(d, CategoricalDistribution)]
            check_choices(compose_words([f"model={name}", features, *ends, *choices]))


def test_a_real_search_leaves_runs(write_wav: Callable[..., Path], typed: Callable[..., str], tmp_path: Path) -> None:
    for i in range(24):
        write_wav(f"clips/{('happy', 'sad')[i % 2]}/{i}.wav", 0.4, seed=i)
    short = [
        "split.val=0.2",
        "trainer.max_epochs=1",
        "trainer.accelerator=cpu",
        "features.hop_length=100",
        "logger=csv",
    ]
    words = ["dataset=folder", f"dataset.root={tmp_path}/clips", "model=cnn1d", "features=zcr", *short]
    shown = typed(*words, "--trials", "2", "--storage", f"{tmp_path}/it.log")
    told = [json.loads((tmp_path / f"it/{number}/metrics.json").read_text()) for number in range(2)]
    best = max(told, key=lambda one: one["checkpoint"]["best_val_macro_f1"])
    assert f"{best['checkpoint']['best_val_macro_f1']:.4f}" in shown
    assert "accuracy" not in shown
    saved = [OmegaConf.load(tmp_path / f"it/{number}/config.yaml").model.dropout for number in range(2)]
    assert saved[0] != saved[1]
