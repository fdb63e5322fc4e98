"""Two processes on a CPU (gloo), started as people start them."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from ser.checkpoint import Checkpoint

ROOT = Path(__file__).parents[1]

WORDS = (
    "dataset=folder", "features=energy_zcr", "features.hop_length=200", "features.frame_length=512", "augment=none",
    "model=cnn1d", "model.dropout=0", "split.val=0.3", "datamodule.batch_size=8", "figure_every_n_epochs=1",
    "trainer.max_epochs=3", "trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.enable_progress_bar=false",
)  # fmt: skip

LAUNCHED = (sys.executable, str(ROOT / "train.py"))
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", LAUNCHED[1])


def start(folder: Path, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ran(folder: Path, *command: str) -> str:
    """What a command that ends well prints."""
    process = start(folder, *command)
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0, printed
    return printed


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return found


def clips(folder: Path) -> list[str]:
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return [row["clip"] for row in csv.DictReader(file)]


def files(folder: Path) -> Counter[str]:
    """Names of a folder's files; TensorBoard's without time and process."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return Counter(path.partition("tfevents")[0] for path in paths)


@pytest.fixture(scope="module")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of one process."""
    folder = tmp_path_factory.mktemp("alone")
    ran(folder, *LAUNCHED, *WORDS, f"dataset.root={corpus}", "hydra.run.dir=run")
    return folder / "run"


def close(one: Any, other: Any) -> None:
    """Compare numbers within rounding, and all else exactly."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            close(value, other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for value, another in zip(one, other, strict=True):
            close(value, another)
    elif isinstance(one, float):
        assert other == pytest.approx(one, abs=2e-5)
    else:
        assert one == other


@pytest.mark.parametrize(
    "command", [(*LAUNCHED, "trainer=ddp"), (sys.executable, "-m", "ser.commands.cli", "train")],
    ids=["train.py trainer=ddp", "ser train"],
)  # fmt: skip
def test_two_processes_find_what_one_does_with_the_same_steps(
    command: tuple[str, ...], alone: Path, corpus: Path, tmp_path: Path
) -> None:
    printed = ran(tmp_path, *command, *WORDS, f"dataset.root={corpus}", "trainer.devices=2")
    (folder,) = (tmp_path / "outputs").glob("*/*")
    one, two = results(alone), results(folder)
    sizes = two["split"]["clips"]
    assert sizes["val"] % 2 == sizes["test"] % 2 == 1, "no even deal"
    assert sizes["train"] % 8 % 2 == 0, "or the steps would not be those of one process"
    for part in ("history", "test", "last_epoch", "classes", "confusion_matrix", "calibration", "intervals"):
        close(one[part], two[part])
    assert clips(folder) == clips(alone)
    assert len(set(clips(folder))) == sizes["test"] == sum(map(sum, two["confusion_matrix"]["counts"]))
    assert sum(map(sum, two["last_epoch"]["val"]["confusion_matrix"])) == sizes["val"]
    assert files(folder) == files(alone), "no file of the other process, and none is missing"
    assert printed.count("Run folder:") == printed.count("parameters") == 1, "one process prints"
    assert "Traceback" not in printed
    assert "warn" not in printed.lower()


def test_torchruns_processes_make_one_demo_corpus_and_one_folder(tmp_path: Path) -> None:
    words = [word for word in WORDS if not word.startswith(("dataset=", "split.", "trainer.max_epochs"))]
    words += ["trainer.max_epochs=1", "datamodule.batch_size=64", "features.hop_length=512", "trainer.devices=2"]
    ran(tmp_path, *TORCHRUN, *words, "dataset=demo", "dataset.root=data/demo")
    (metrics,) = tmp_path.rglob("metrics.json")
    assert metrics.parent.parents[1] == tmp_path / "outputs"
    assert len(list((tmp_path / "outputs").glob("*/*"))) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"data", "outputs"}
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"demo"}, "nothing half made is left"
    assert len(list((tmp_path / "data/demo").glob("*.wav"))) == 360


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the other process in /proc")
@pytest.mark.parametrize("lost", ["the other", "the first"])
def test_a_killed_process_ends_the_run_with_a_sentence(lost: str, corpus: Path, tmp_path: Path) -> None:
    endless = ("trainer.max_epochs=100000", "trainer.devices=2", "hydra.run.dir=run", "figure_every_n_epochs=0")
    process = start(tmp_path, *LAUNCHED, *WORDS, f"dataset.root={corpus}", *endless)
    try:
        deadline = time.monotonic() + 300
        while not (tmp_path / "run/checkpoints/last.ckpt").exists() and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.1)
        (other,) = children(process.pid)
        os.kill(other if lost == "the other" else process.pid, signal.SIGKILL)
        printed, _ = process.communicate(timeout=30)  # until both have ended, for both hold its end
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert not (tmp_path / "run/metrics.json").exists()
    if lost == "the other" and process.returncode == -signal.SIGKILL:
        return  # Lightning, which looks every 5 s whether one has failed, was faster than the network
    left = 0 if lost == "the other" else 1
    assert process.returncode == (1 if lost == "the other" else -signal.SIGKILL)
    assert printed.count("error:") == 1
    assert f"error: rank {left} has lost another of the 2 processes of this run" in printed
    assert "Traceback" not in printed
    assert (tmp_path / "run/checkpoints/last.ckpt").is_file()


def test_statistics_of_voices_are_those_of_all_clips_whatever_the_processes(tmp_path: Path) -> None:
    words = [*WORDS[1:], "dataset=demo", "split=speaker", "features.normalize=speaker", "datamodule.voice_dropout=0.3"]
    for name, more in (("one", ()), ("two", ("trainer=ddp", "trainer.devices=2"))):
        ran(tmp_path, *LAUNCHED, *words, *more, "trainer.max_epochs=1", f"hydra.run.dir={name}")
    one, two = (Checkpoint.read(tmp_path / name / "checkpoints/last.ckpt") for name in ("one", "two"))
    torch.testing.assert_close(one.normalizer, two.normalizer, rtol=0, atol=0)
    assert one.voices is not None
    assert two.voices is not None
    assert one.voices.keys() == two.voices.keys()
    for key, value in one.voices.items():
        assert torch.equal(value, two.voices[key]) if isinstance(value, torch.Tensor) else value == two.voices[key], key
    assert results(tmp_path / "one")["enrolment"]["voices"] == results(tmp_path / "two")["enrolment"]["voices"]
    assert clips(tmp_path / "one") == clips(tmp_path / "two")
