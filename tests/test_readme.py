"""Commands of the README and of docs/results run on a few synthetic clips; trainings of docs/ are composed."""

import contextlib
import io
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ser.commands import leaderboard
from ser.config import check_choices
from ser.data.corpora import Clip, demo, emodb
from ser.recognizer import Recognizer
from tests.helpers import composed

ROOT = Path(__file__).parents[1]


def commands(*pages: Path) -> list[str]:
    """Lines of the pages' bash blocks, without remarks."""
    blocks = [block for page in pages for block in re.findall(r"```bash\n(.*?)```", page.read_text("utf-8"), re.DOTALL)]
    return [line.split("   #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


COMMANDS = commands(ROOT / "README.md", ROOT / "docs/results/README.md")
TRAINING = [command for command in COMMANDS if command.startswith("python train.py")]

PRETRAINED = [command for command in commands(ROOT / "docs/pretrained.md") if command.startswith("python train.py")]

DOCS = sorted({*commands(*(ROOT / "docs").glob("*.md"))})
DOCS_TRAINING = [command for command in DOCS if command.startswith("python train.py")]

ELSEWHERE = {
    "make ": "test_make_runs_commands_of_the_readme",
    "pip install ": "the setup of these tests",
    "pytest": "these tests",
    "tensorboard --logdir": "tests/benchmarks/test_screenshots.py",
    "python benchmarks/screenshots.py": "tests/benchmarks/test_screenshots.py",
    "python scripts/download.py": "tests/data/test_download.py, with a server of its own",
    "python benchmarks/benchmark.py": "tests/benchmarks/test_benchmark.py",
    "python benchmarks/benchmark_device.py": "tests/benchmarks/test_benchmark_device.py",
    "python benchmarks/augmentation_page.py": "tests/benchmarks/test_augmentation_page.py",
    "python benchmarks/benchmark_augment.py": "tests/benchmarks/test_benchmark_augment.py",
    "python benchmarks/growth.py": "tests/benchmarks/test_growth.py, with fewer clips",
    "python scripts/ensemble.py": "tests/commands/test_ensemble.py",
    "python scripts/evaluate.py outputs/JOINT": "tests/commands/test_ensemble.py",
    "python benchmarks/networks.py": "tests/benchmarks/test_networks.py",
    "python benchmarks/opensmile_svm.py": "tests/benchmarks/test_opensmile_svm.py, without openSMILE if need be",
    "prlimit ": "tests/data/test_cache.py, without a limit",
    "torchrun ": "tests/test_distributed.py",
    "python scripts/search.py": "tests/training/test_search.py, with shorter runs",
    "python scripts/predict.py outputs/RUN --microphone": "tests/inference/test_microphone.py",
    "python scripts/demo.py": "tests/commands/test_demo.py",
    ".venv/bin/ser predict clip.wav": "tests/test_pretrained.py",
    "python scripts/retrain.py": "tests/commands/test_retrain.py",
    "python scripts/export.py outputs/VOICES page/": "tests/commands/test_export.py, with another runtime",
}
"""What is not run here, and where it is."""

SCRIPTS = [command for command in sorted({*COMMANDS, *DOCS}) if not command.startswith(("python train.py", *ELSEWHERE))]

RAVDESS = {"neutral": "01", "happy": "03", "sad": "04", "anger": "05", "fear": "06", "disgust": "07"}

SHORT = [
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=1",
    "trainer.enable_progress_bar=false",
    "datamodule.batch_size=16",
    "figure_every_n_epochs=0",
]

VOICES = [
    "dataset=crema_d",
    "split=speaker",
    "split.val=0.3",
    "model=cnn1d",
    "features=energy_zcr",
    "features.normalize=speaker",
    "hydra.run.dir=outputs/VOICES",
]
"""A run that knows voices."""

LEARNING = ["trainer.max_epochs=10", "trainer.limit_train_batches=1.0"]
"""Enough to be right now and then."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo corpus, and half of it in every form that the README names."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "data").mkdir()
    corpus = folder / "data/crema_d"
    corpus.mkdir()
    rows = ["path,emotion,speaker"]
    votes = [",A,D,F,H,N,S,fileName"]
    for clip in demo.read(folder / "data/demo"):
        if clip.speaker in ("9001", "9002", "9003", "9004", "9005", "9006"):
            shutil.copy(clip.path, corpus)
            letter = clip.name.split("_")[2][0]
            counts = ",".join("7" if letter == column else "0" for column in "ADFHNS")
            votes.append(f"1{len(votes):05},{counts},{clip.name}")
            own = folder / "my_clips" / clip.emotion / clip.path.name
            own.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(clip.path, own)
            rows.append(f"my_clips/{clip.emotion}/{clip.path.name},{clip.emotion},{clip.speaker}")
        else:
            _as_ravdess(clip, folder / "data/ravdess")
            _as_emodb(clip, folder / "data/emodb")
    (corpus / "tabulatedVotes.csv").write_text("\n".join(votes))
    (folder / "my_clips.csv").write_text("\n".join(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (block,) = python_of("docs/pretrained.md")
        exec(compile(block, "docs/pretrained.md", "exec"), {})
    assert (folder / "weights.pt").is_file()
    return folder


def python_of(page: str) -> list[str]:
    """A page's blocks of Python."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def _as_ravdess(clip: Clip, root: Path) -> None:
    """Copy a clip under a name of RAVDESS; the fifth sentence makes calm and surprised clips."""
    number = list(demo.SENTENCES).index(str(clip.sentence))
    emotion = RAVDESS[clip.emotion]
    if number == 4:
        emotion, number = {"neutral": "02", "happy": "08"}.get(clip.emotion, ""), 0
    if emotion:
        root.mkdir(exist_ok=True)
        statement, repetition, actor = 1 + number // 2, 1 + number % 2, int(str(clip.speaker)) - 9006
        shutil.copy(clip.path, root / f"03-01-{emotion}-01-{statement:02}-{repetition:02}-{actor:02}.wav")


def _as_emodb(clip: Clip, root: Path) -> None:
    """Copy a clip under a name of EMO-DB."""
    root.mkdir(exist_ok=True)
    speaker = ("03", "08", "09", "10", "11", "12")[int(str(clip.speaker)) - 9007]
    text = ("a01", "a02", "a04", "a05", "a07")[list(demo.SENTENCES).index(str(clip.sentence))]
    letter = next(letter for letter, emotion in emodb.EMOTIONS.items() if emotion == clip.emotion)
    shutil.copy(clip.path, root / f"{speaker}{text}{letter}a.wav")


@pytest.fixture(scope="module")
def start(clips: Path) -> Path:
    """The folder of a run that others start from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(clips)
        patch.delenv("SER_DATA", raising=False)
        words = ["experiment=seresnet", "dataset=crema_d", "split.val=0.3", "hydra.run.dir=outputs/start", *SHORT]
        patch.setattr(sys, "argv", [str(ROOT / "train.py"), *words])
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
    return clips / "outputs/start"


@pytest.fixture(scope="module")
def folder(clips: Path) -> Path:
    """The same, with run folders and files of the names that the pages use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(clips)
        patch.delenv("SER_DATA", raising=False)
        for words, learning in (
            (
                ["dataset=crema_d", "split.val=0.3", "datamodule.cache=outputs/cache", "hydra.run.dir=outputs/RUN"],
                LEARNING,
            ),
            *(
                (
                    ["-m", corpus, "split=kfold", "split.folds=2", "split.fold=0,1", f"hydra.sweep.dir=outputs/{name}"],
                    [],
                )
                for name, corpus in {"folds": "dataset=crema_d", "emodb": "dataset=emodb"}.items()
            ),
        ):
            small = ["model=cnn1d", "features=energy_zcr", *SHORT, *learning]
            patch.setattr(sys, "argv", [str(ROOT / "train.py"), *words, *small])
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        patch.setattr(sys, "argv", [str(ROOT / "train.py"), *VOICES, *SHORT])
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
    for name in ("RUN_A", "RUN_B", "multirun/0"):
        shutil.copytree(clips / "outputs/RUN", clips / "outputs" / name)
    for name in ("multirun/folds", "ENSEMBLE"):
        shutil.copytree(clips / "outputs/folds", clips / "outputs" / name)
    one = next((clips / "data/crema_d").glob("*.wav"))
    for name in ("clip.wav", "another.wav", "long.wav"):
        shutil.copy(one, clips / name)
    return clips


def test_pages_have_commands() -> None:
    assert TRAINING
    assert DOCS_TRAINING
    assert SCRIPTS
    known = (
        *("python train.py", "python scripts/", "python benchmarks/"),
        *("find my_clips -name '*.wav' | python scripts/", *ELSEWHERE),
    )
    assert [command for command in [*COMMANDS, *DOCS] if not command.startswith(known)] == []


@pytest.mark.parametrize("command", SCRIPTS)
def test_script_command_runs(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SER_DATA", raising=False)
    monkeypatch.setattr("ser.inference.adapt.LEAST_DISTANCE", 0.0)  # all of these corpora are of one synthetic voice
    *listing, words = [shlex.split(part) for part in command.split(" | ")]
    if listing:
        listed = subprocess.run(listing[0], capture_output=True, text=True, check=True).stdout
        monkeypatch.setattr(sys, "stdin", io.StringIO(listed))
    monkeypatch.setattr(sys, "argv", words[1:])
    assert _status(ROOT / words[1]) in (0, None)
    assert capsys.readouterr().out


def _status(script: Path) -> object:
    """What the script ends with."""
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as ended:
        return ended.code
    return 0


@pytest.mark.parametrize("page", ["README.md", "docs/deployment.md", "docs/voices.md"])
def test_python_of_a_page_runs(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    recognizer = Recognizer.load("outputs/RUN")
    run, model = ("VOICES", "voices.onnx") if page == "docs/voices.md" else ("RUN", "model.onnx")
    monkeypatch.setattr(sys, "argv", ["export.py", f"outputs/{run}", model])
    runpy.run_path(str(ROOT / "scripts/export.py"), run_name="__main__")
    assert python_of(page)
    for block in python_of(page):
        printed = io.StringIO()
        names: dict[str, object] = {"samples": [0.0, 0.1] * 8000}
        with contextlib.redirect_stdout(printed):
            exec(compile(block, page, "exec"), names)
        if "onnxruntime" in block and run == "RUN":
            assert eval(printed.getvalue()) == pytest.approx(recognizer("clip.wav"), abs=1e-4)


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


@pytest.mark.parametrize("command", [*TRAINING, *PRETRAINED])
def test_training_command_runs(
    command: str, clips: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if command in PRETRAINED and "features.weights=" not in command:
        command += " features.weights=weights.pt"  # of another size, since the bundle's can't be downloaded
    typed = [_smaller(word) for word in shlex.split(command)[2:]]
    monkeypatch.chdir(clips)
    for word in typed:
        if word.startswith("init_from="):
            place = Path(word.removeprefix("init_from="))
            place.parent.mkdir(parents=True, exist_ok=True)
            start = request.getfixturevalue("start")
            if place.suffix:
                shutil.copy(start / "checkpoints/last.ckpt", place)
            else:
                shutil.copytree(start, place, dirs_exist_ok=True)
    monkeypatch.delenv("SER_DATA", raising=False)
    folders = [f"hydra.run.dir={tmp_path}", f"hydra.sweep.dir={tmp_path}"]
    monkeypatch.setattr(sys, "argv", [str(ROOT / "train.py"), *typed, *SHORT, *folders])
    runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
    assert len(list(tmp_path.rglob("metrics.json"))) == _jobs(typed)
    monkeypatch.setattr(sys, "argv", ["leaderboard.py", str(tmp_path)])
    leaderboard.main()


@pytest.mark.parametrize("command", DOCS_TRAINING)
def test_training_command_of_the_docs_composes(command: str, clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clips)
    words = [word for word in shlex.split(command)[2:] if word != "-m" and not word.startswith("hydra.")]
    check_choices(composed(*(_first(word) for word in words)))


def _first(word: str) -> str:
    """The first choice of a sweep's word."""
    return re.sub(r"^([^=]+=[^\[{(,]*),.*", r"\1", _smaller(word))


def _smaller(word: str) -> str:
    """One seed and one split for several, and two folds for five."""
    word = re.sub(r"^(seed|split)=([^,]*),.*", r"\1=\2", word)
    return re.sub(r"^split.fold=.*,.*", "split.fold=0,1", word)


def _jobs(typed: list[str]) -> int:
    """How many jobs a command asks for."""
    if "-m" not in typed:
        return 1
    count = 1
    for word in typed[1:]:
        key, value = word.split("=", 1)
        glob = re.fullmatch(r"glob\((.*)\)", value)
        if not value.startswith("["):  # a list is one value
            count *= len(list((ROOT / "conf" / key).glob(f"{glob[1]}.yaml"))) if glob else len(value.split(","))
    return count
