"""The commands themselves. Those in processes of their own are few, for each costs a dozen seconds."""

import io
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import ser
from ser.commands.cli import commands, main
from ser.data.corpora import Clip
from ser.data.corpora.crema_d import REPOSITORY

ROOT = Path(__file__).parents[2]

TRAIN = ROOT / "train.py"

COMMANDS = [f"ser.commands.{name}" for name in sorted({*commands()} - {"train"})]
BENCHMARKS = [f"benchmarks.{path.stem}" for path in sorted((ROOT / "benchmarks").glob("[!_]*.py"))]


def train(folder: Path, *overrides: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """``python train.py``, from a folder that is not the repository."""
    environment = {name: value for name, value in os.environ.items() if name not in ("SER_DATA", "HYDRA_FULL_ERROR")}
    return subprocess.run(
        [sys.executable, str(TRAIN), *overrides],
        cwd=folder,
        env=environment | {"COLUMNS": "200"} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("features", "model"), [("energy", "cnn1d"), ("mel", "paper2d")])
def test_a_short_run_on_real_clips_leaves_its_run_folder(
    real_clips: list[Clip], tmp_path: Path, features: str, model: str
) -> None:
    overrides = [
        "dataset=crema_d",
        f"dataset.root={real_clips[0].path.parent}",
        f"features={features}",
        f"model={model}",
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=2",
        "trainer.enable_progress_bar=false",
        f"hydra.run.dir={tmp_path}/run",
    ]
    done = train(tmp_path, *overrides)
    assert done.returncode == 0, done.stderr
    told = results(tmp_path / "run")
    assert told["dataset"]["clips"] == len(real_clips)
    assert told["dataset"]["speakers"] == 91
    assert (told["features"], told["model"]) == (features, model)
    assert told["confusion_matrix"]["labels"] == ["anger", "disgust", "fear", "happy", "neutral", "sad"]
    assert told["command"] == ["python", "train.py", *[o for o in overrides if not o.startswith("hydra.")]]
    assert f"{told['test']['accuracy']:.4f}" in done.stdout
    left = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*")}
    assert left >= {
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "predictions.csv",
        "confusion_matrix.png",
        "config.yaml",
        ".hydra/overrides.yaml",
    }
    assert {path.name for path in tmp_path.iterdir()} == {"run"}, "nothing is left elsewhere"


def test_a_sweep_over_seeds_leaves_a_folder_for_each(write_wav: Callable[..., Path], tmp_path: Path) -> None:
    for i in range(24):
        write_wav(f"clips/{('happy', 'грусть')[i % 2]}/{i}.wav", 0.4, seed=i)
    overrides = [
        "dataset=folder",
        f"dataset.root={tmp_path}/clips",
        "split.val=0.2",
        "features=zcr",
        "features.hop_length=100",
        "model=cnn1d",
        "seed=1,2",
        "trainer.max_epochs=1",
        "trainer.enable_progress_bar=false",
        f"hydra.sweep.dir={tmp_path}/sweep",
    ]
    done = train(tmp_path, "-m", *overrides, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert ascii("грусть")[1:-1] in done.stdout, "what a terminal has no letters for is escaped"
    folders = sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir())
    assert folders == ["0", "1"]
    told = [results(tmp_path / "sweep" / name) for name in folders]
    assert [one["seed"] for one in told] == [1, 2]
    assert all(f"seed={one['seed']}" in one["command"] for one in told)
    assert told[0]["test"]["loss"] != told[1]["test"]["loss"]


def test_a_sweep_that_matches_nothing_is_an_error_that_says_so(tmp_path: Path) -> None:
    done = train(tmp_path, "-m", "report=glob(nothing*)", f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode != 0
    assert "report=glob(nothing*)" in done.stderr
    assert "has no jobs" in done.stderr


def test_without_the_corpus_the_command_says_where_it_looked_and_what_trains_without_it(tmp_path: Path) -> None:
    done = train(tmp_path, "dataset=crema_d", f"hydra.run.dir={tmp_path}/run")
    assert done.returncode != 0
    for words in (str(Path("data") / "crema_d"), "$SER_DATA/crema_d", "dataset.root=", REPOSITORY):
        assert words in done.stderr
    assert "python train.py dataset=demo" in done.stderr
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_a_list_of_splits_ends_the_command_with_the_sweep_to_type_instead(tmp_path: Path) -> None:
    done = train(tmp_path, "split=[speaker,stratified]", f"hydra.run.dir={tmp_path}/run")
    assert done.returncode != 0
    assert "error: split=[speaker,stratified]: split= takes one choice" in done.stderr
    assert "-m split=speaker,stratified" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_ser_names_every_script(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    assert set(commands()) == {"train", *scripts}
    modules = {path.stem for path in (ROOT / "ser" / "commands").glob("[!_]*.py")}
    assert modules == {"cli", *scripts}
    assert all(commands().values())
    for words in ([], ["--help"]):
        monkeypatch.setattr(sys, "argv", ["ser", *words])
        main()
        printed = capsys.readouterr().out
        assert all(f"  {name} " in printed for name in commands())
    monkeypatch.setattr(sys, "argv", ["ser", "--version"])
    main()
    assert capsys.readouterr().out == f"{ser.__version__}\n"


def test_ser_refuses_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ser", "dance"])
    with pytest.raises(SystemExit, match=r"^error: ser dance is not known; commands are train, "):
        main()


@pytest.mark.parametrize("name", sorted({*commands()} - {"train"}))
def test_help_of_a_command_shows_an_example_of_it(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["ser", name, "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: ser {name} ")
    assert f"example: ser {name} " in printed


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("name", ["ser", *COMMANDS, *BENCHMARKS])
def test_help_is_printed_on_a_terminal_of_any_encoding(
    name: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    monkeypatch.setattr(sys, "stdout", terminal := io.TextIOWrapper(io.BytesIO(), encoding))
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    with suppress(SystemExit):
        (main if name == "ser" else import_module(name).main)()
    print("→ 愤怒 \udce9")
    terminal.seek(0)
    printed = terminal.read()
    assert printed.startswith("usage: ")
    assert printed.endswith(ascii("→ 愤怒 \udce9")[1:-1] + "\n")
    assert os.environ["PYTHONIOENCODING"] == f"{encoding}:backslashreplace", "for processes that it starts"


def test_commands_do_not_import_one_another() -> None:
    """What two of them need is library."""
    for name in {*commands()} - {"train"}:
        source = (ROOT / "ser" / "commands" / f"{name}.py").read_text(encoding="utf-8")
        assert {*re.findall(r"ser\.commands\.\w+", source)} <= {f"ser.commands._{name}", "ser.commands.cli"}
        assert callable(import_module(f"ser.commands.{name}").main)


def test_help_does_not_wait_for_torch() -> None:
    names = ", ".join(sorted({*commands()} - {"train"}))
    code = f"import sys; from ser.commands import {names}; print({{'torch', 'torchmetrics'}} & {{*sys.modules}})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_script_is_the_command_of_its_name() -> None:
    for name in {*commands()} - {"train"}:
        door = runpy.run_path(str(ROOT / "scripts" / f"{name}.py"))
        assert door["main"] is import_module(f"ser.commands.{name}").main


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("ser", "conf"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(folder / "source")], check=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_wheel_trains_and_answers_in_a_folder_without_the_project(
    installed: Path, write_wav: Callable[..., Path], tmp_path: Path
) -> None:
    for i in range(24):
        write_wav(f"clips/{('happy', 'sad')[i % 2]}/{i}.wav", 0.4, seed=i)

    def command(*words: str) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"PYTHONPATH": str(installed), "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, "-m", "ser.commands.cli", *words],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    words = ["dataset=folder", "dataset.root=clips", "features=zcr", "features.hop_length=100", "model=cnn1d"]
    short = ["split.val=0.2", "trainer.max_epochs=1", "trainer.enable_progress_bar=false"]
    trained = command("train", *words, *short, "hydra.run.dir=run")
    assert trained.returncode == 0, trained.stderr
    told = results(tmp_path / "run")
    assert told["command"] == ["ser", "train", *words, *short]
    assert told["git"] is None
    assert (tmp_path / "run" / "page.html").is_file()
    answered = command("predict", "run/checkpoints/best.ckpt", "clips", "--csv", "answers.csv")
    assert answered.returncode == 0, answered.stderr
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == 25
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"clips", "run", "answers.csv"}
