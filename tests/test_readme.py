"""Every command of the README is run, on a few synthetic clips in place of the corpora."""

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import leaderboard
from ser.corpora import demo

ROOT = Path(__file__).parents[1]

BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
COMMANDS = [line.split("   #")[0].strip() for block in BLOCKS for line in block.splitlines()]
TRAINING = [command for command in COMMANDS if command.startswith("python train.py")]
SCRIPTS = [command for command in COMMANDS if command.startswith("python scripts/")]

SHORT = [
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=1",
    "trainer.enable_progress_bar=false",
    "datamodule.batch_size=16",
    "figure_every_n_epochs=0",
]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo corpus, and half of it in every form that the README names."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "data").mkdir()
    corpus = folder / "data/crema_d"
    corpus.mkdir()
    rows = ["path,emotion,speaker"]
    for clip in demo.read(folder / "data/demo"):
        if clip.speaker in ("9001", "9002", "9003", "9004", "9005", "9006"):
            shutil.copy(clip.path, corpus)
            own = folder / "my_clips" / clip.emotion / clip.path.name
            own.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(clip.path, own)
            rows.append(f"my_clips/{clip.emotion}/{clip.path.name},{clip.emotion},{clip.speaker}")
    (folder / "my_clips.csv").write_text("\n".join(rows))
    shutil.copytree(corpus, folder / "corpora/CREMA-D/AudioWAV")
    return folder


def test_readme_names_what_there_is() -> None:
    assert TRAINING
    assert SCRIPTS
    known = ("make train", "make test", "pip install -e", "pytest", "tensorboard --logdir", *TRAINING, *SCRIPTS)
    assert [command for command in COMMANDS if not command.startswith(known)] == []


@pytest.mark.parametrize(
    ("target", "recipes"),
    [
        ("train", ["train.py model=paper2d features=mel"]),
        ("test", ["ruff check", "ruff format --check", "mypy", "pytest"]),
    ],
)
def test_make_runs_commands_of_the_readme(target: str, recipes: list[str]) -> None:
    shown = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(recipe in shown for recipe in recipes)


@pytest.mark.parametrize("command", TRAINING)
def test_training_command_runs(command: str, clips: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    typed = [_smaller(word) for word in shlex.split(command)[2:]]
    monkeypatch.chdir(clips)
    monkeypatch.delenv("SER_DATA", raising=False)
    folders = [f"hydra.run.dir={tmp_path}", f"hydra.sweep.dir={tmp_path}"]
    monkeypatch.setattr(sys, "argv", [str(ROOT / "train.py"), *typed, *SHORT, *folders])
    runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
    assert len(list(tmp_path.rglob("metrics.json"))) == _jobs(typed)
    monkeypatch.setattr(sys, "argv", ["leaderboard.py", str(tmp_path)])
    leaderboard.main()


def _smaller(word: str) -> str:
    """One seed for several, and the corpus of the fixture."""
    return re.sub(r"^seed=.*", "seed=1", word.replace("/corpora/", "corpora/"))


def _jobs(typed: list[str]) -> int:
    """How many jobs a command asks for."""
    if "-m" not in typed:
        return 1
    count = 1
    for word in typed[1:]:
        key, value = word.split("=", 1)
        glob = re.fullmatch(r"glob\((.*)\)", value)
        count *= len(list((ROOT / "conf" / key).glob(f"{glob[1]}.yaml"))) if glob else len(value.split(","))
    return count
