"""Runs that are killed, and what becomes of them. Processes are real ones, and end by SIGKILL."""

import csv
import json
import os
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ser.checkpoint import Checkpoint
from ser.config import ConfigError, compose_words
from ser.errors import UserError
from ser.features import FeatureConfig
from ser.files import UNFINISHED, InUseError
from ser.models import EmotionNetwork
from ser.results import console
from ser.train import main, run
from ser.training.resuming import ResumeInFolder, check_resumption, resumed, run_folder
from tests.helpers import composed, locked_elsewhere, struck_down

SMALL = 1 << 23
BLOCK = 1 << 12
"""Bytes of a disk that is small enough to fill, and of what is written to it at once."""

EPOCHS = 4
WORDS = (
    "dataset=folder",
    "split.val=0.2",
    "datamodule.batch_size=8",
    f"trainer.max_epochs={EPOCHS}",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "figure_every_n_epochs=0",
    "features=energy_zcr",
    "features.hop_length=200",
    "features.frame_length=512",
    "model=cnn1d",
)


def kill() -> None:
    """End this very process as the system would."""
    os.kill(os.getpid(), signal.SIGKILL)


def after_step_of_epoch(number: int, act: Callable[[], None]) -> None:
    """Act after a step of that epoch, from 0."""
    step = EmotionNetwork.training_step

    def struck(self: EmotionNetwork, batch: Any) -> Any:
        if self.current_epoch == number and self.trainer.fit_loop.epoch_loop.batch_idx == 1:
            act()
        return step(self, batch)

    EmotionNetwork.training_step = struck  # type: ignore[method-assign]


def in_test(act: Callable[[], None]) -> None:
    """Act as the test begins."""
    EmotionNetwork.on_test_epoch_start = lambda _: act()  # type: ignore[method-assign]


def half_of(name: str, number: int, method: str) -> None:
    """Be killed when half of the file is written for the ``number``th time, from 1."""
    write = getattr(Path, method)
    written = 0

    def struck(path: Path, data: Any, **options: Any) -> Any:
        nonlocal written
        written += path.name == UNFINISHED + name
        if path.name == UNFINISHED + name and written == number:
            write(path, data[: len(data) // 2], **options)
            kill()
        return write(path, data, **options)

    setattr(Path, method, struck)


def between_best_and_last() -> None:
    """Be killed when an epoch's ``best`` was written and its ``last`` was not, later than in the first epoch."""
    replace = Path.replace
    names: list[str] = []

    def struck(path: Path, target: Path) -> Any:
        if Path(target).name == "last.ckpt" in names and names[-1] == "best.ckpt":
            kill()
        names.append(Path(target).name)
        return replace(path, target)

    Path.replace = struck  # type: ignore[method-assign, assignment]


def fill(folder: Path) -> None:
    """Leave no room on the small disk that is mounted at ``folder``, and on no other."""
    assert folder.is_mount(), "not the disk of a test"
    assert shutil.disk_usage(folder).total == SMALL, "not the disk of a test"
    with (folder / "filler").open("wb", buffering=0) as file, suppress(OSError):
        for _ in range(SMALL // BLOCK):
            file.write(bytes(BLOCK))


BLOWS: dict[str, Callable[..., None]] = {
    "in_the_first_epoch": lambda: after_step_of_epoch(0, kill),
    "in_the_third_epoch": lambda: after_step_of_epoch(2, kill),
    "in_the_first_best": lambda: half_of("best.ckpt", 1, "write_bytes"),
    "in_the_third_last": lambda: half_of("last.ckpt", 3, "write_bytes"),
    "between_best_and_last": between_best_and_last,
    "told_to_end": lambda: after_step_of_epoch(2, lambda: os.kill(os.getpid(), signal.SIGTERM)),
    "in_the_test": lambda: in_test(kill),
    "in_metrics_json": lambda: half_of("metrics.json", 1, "write_text"),
    "no_large_files": lambda: after_step_of_epoch(
        2, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    ),
    "full_in_training": lambda folder: after_step_of_epoch(2, lambda: fill(Path(folder))),
    "full_in_the_test": lambda folder: in_test(lambda: fill(Path(folder))),
    "no_more_clips": lambda folder: after_step_of_epoch(2, lambda: shutil.rmtree(folder)),
}


def serve() -> None:
    """Start ``train.py`` as often as asked, each time in a process of its own, without importing torch each time."""
    for line in sys.stdin:
        words, blow, moment, log = json.loads(line)
        if (child := os.fork()) == 0:
            into = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(into, 1)
            os.dup2(into, 2)
            if blow:
                BLOWS[blow[0]](*blow[1:])
            sys.argv = ["train.py", *words]
            try:
                main()
                status: object = 0
            except SystemExit as ended:
                status = ended.code
            if isinstance(status, str):
                print(status, file=sys.stderr)
            sys.stdout.flush()
            os._exit(int(status != 0))  # the threads that torch would end are the parent's
        if moment is not None:
            time.sleep(moment)
            os.kill(child, signal.SIGKILL)  # its own number still, for nobody has waited for it
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


class Server:
    """Runs ``train.py`` in processes of their own, one after another."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self.log = folder / "output.txt"

    def train(self, *words: str, blow: tuple[str, ...] = (), moment: float | None = None) -> tuple[int, str]:
        """Its exit status, negative for a signal, and what it said; killed after ``moment`` seconds, if given."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([words, blow, moment, str(self.log)]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline()), self.log.read_text(errors="replace")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-W", "ignore", __file__]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )  # fmt: skip
    yield Server(process, tmp_path_factory.mktemp("server"))
    process.communicate()


@pytest.fixture(scope="module")
def words(corpus: Path) -> tuple[str, ...]:
    return (*WORDS, f"dataset.root={corpus}")


@pytest.fixture(scope="module")
def unbroken(server: Server, words: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    status, said = server.train(*words, f"hydra.run.dir={folder}")
    assert status == 0, said
    return folder


def told(folder: Path) -> dict[str, Any]:
    """What ``metrics.json`` says of the run, without when and how long it ran, and where its corpus lay."""
    results: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    del results["recipe"]["choices"]["dataset.root"]
    results["recipe"]["words"] = [word for word in results["recipe"]["words"] if not word.startswith("dataset.root=")]
    return {key: value for key, value in results.items() if key not in ("seconds", "git", "command")}


def ended_alike(one: Path, other: Path) -> None:
    """Check that two runs have the same results to the last digit, and no half file."""
    assert told(one) == told(other)
    assert (one / "predictions.csv").read_bytes() == (other / "predictions.csv").read_bytes()
    for name in ("best", "last"):
        weights, others = (
            torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"] for run in (one, other)
        )
        assert all(torch.equal(weight, others[key]) for key, weight in weights.items())
    assert list(one.rglob(f"{UNFINISHED}*")) == list(other.rglob(f"{UNFINISHED}*")) == []


@pytest.mark.parametrize(
    ("blow", "epochs"),
    [
        ("in_the_third_epoch", 2),
        ("in_the_third_last", 2),
        ("between_best_and_last", None),
        ("in_the_test", EPOCHS),
        ("in_metrics_json", EPOCHS),
    ],
)
def test_a_killed_run_goes_on_in_its_folder_and_ends_as_the_unbroken_one(
    server: Server, words: tuple[str, ...], unbroken: Path, tmp_path: Path, blow: str, epochs: int | None
) -> None:
    folder = tmp_path / "first"
    status, _ = server.train(*words, f"hydra.run.dir={folder}", blow=(blow,))
    assert status == -signal.SIGKILL
    assert not (folder / "metrics.json").exists()
    folder = folder.rename(tmp_path / "moved")
    last = folder / "checkpoints" / "last.ckpt"
    seen = torch.load(last, weights_only=True)["epoch"] + 1
    assert epochs in (None, seen)
    if blow == "between_best_and_last":
        assert torch.load(last.with_name("best.ckpt"), weights_only=True)["epoch"] + 1 == seen + 1
    if blow in ("in_the_third_last", "in_metrics_json"):
        assert list(folder.rglob(f"{UNFINISHED}*"))
    begun = (folder / ".hydra" / "overrides.yaml").read_bytes()

    status, said = server.train(f"ckpt_path={last}")
    assert status == 0, said
    assert f"Resumes from {last}" in said
    ended_alike(unbroken, folder)
    assert [entry["epoch"] for entry in told(folder)["history"]] == [1, 2, 3, 4]
    command = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["command"]
    assert command == ["python", "train.py", *words], "what began the run, and makes it again"
    assert (folder / ".hydra" / "overrides.yaml").read_bytes() == begun
    assert (folder / "config.yaml").read_bytes() == (unbroken / "config.yaml").read_bytes()
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    assert [point.step for point in events.Scalars("val/loss")] == [0, 1, 2, 3]
    assert len(events.Scalars("test/loss")) == 1


def test_a_run_that_is_told_to_end_does_not_look_done_and_goes_on(
    server: Server, words: tuple[str, ...], unbroken: Path, tmp_path: Path
) -> None:
    status, said = server.train(*words, f"hydra.run.dir={tmp_path}", blow=("told_to_end",))
    assert status == 1
    assert f"Stopped. python train.py ckpt_path={tmp_path}/checkpoints/last.ckpt resumes." in said.replace("\n", " ")
    status, said = server.train(f"ckpt_path={tmp_path}/checkpoints/last.ckpt")
    assert status == 0, said
    ended_alike(unbroken, tmp_path)


def test_a_run_that_is_killed_at_any_time_ends_as_the_unbroken_one(
    server: Server, words: tuple[str, ...], unbroken: Path, tmp_path: Path
) -> None:
    moment = random.Random()
    for attempt in range(5):
        status, said = server.train(*words, f"hydra.run.dir={tmp_path}", moment=(after := moment.uniform(0.1, 2.5)))
        assert status in (0, -signal.SIGKILL), f"attempt {attempt}, after {after} s: {said}"
    status, said = server.train(*words, f"hydra.run.dir={tmp_path}")
    assert status == 0, said
    ended_alike(unbroken, tmp_path)


def test_a_run_in_a_folder_that_another_is_at_work_in_is_refused_and_changes_nothing(
    server: Server, words: tuple[str, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with locked_elsewhere(folder):
        (folder / f"{UNFINISHED}config.yaml").write_text("half")
        before = sorted(folder.rglob("*"))
        status, said = server.train(*words, f"hydra.run.dir={folder}")
        assert (status, said) == (1, f"error: hydra.run.dir={folder}: another run is at work in {folder}: wait for its "
            "end, or give another folder\n")  # fmt: skip
        with pytest.raises(InUseError, match=f"another run is at work in {folder}"):
            run(composed(*words), folder)
        assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("name", ["with space (1)", "a,b=c", "[x]"])
def test_the_line_that_goes_on_can_be_pasted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: Path
) -> None:
    cfg = composed(*WORDS, f"dataset.root={corpus}", "logger=none")
    folder = tmp_path / name
    for program, command in (("ser train", ["ser", "train"]), ("train.py", ["python", "train.py"])):
        monkeypatch.setattr(sys, "argv", [program])
        with console.capture() as capture, struck_down(1):
            run({**cfg, "seed": len(program)}, folder / program)
        line = capture.get().replace("\n", "").partition("Stopped. ")[2].removesuffix(" resumes.")
        *words, word = shlex.split(line)
        assert words == command
        last = compose_words([word])["ckpt_path"]
        assert last == f"{folder / program}/checkpoints/last.ckpt"
        assert (run_folder(last)) == folder / program


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        ("logger", {"_target_": "pathlib.Path.write_text"}, "logger="),
        ("logger", {"name": "csv", "more": {"_target_": "pathlib.Path.write_text"}}, "logger="),
        ("model", {"name": "torch.load"}, "config.yaml does not hold a run's choices"),
        ("model", {"_target_": "torch.load"}, "config.yaml does not hold a run's choices"),
        ("trainer", [], "see trainer"),
        ("features", {"_target_": "torch.load"}, "config.yaml does not hold a run's choices"),
    ],
)
def test_nothing_that_a_run_folder_names_is_called(
    tmp_path: Path, where: str, value: dict[str, Any], told: str
) -> None:
    cfg = composed(*WORDS, f"dataset.root={tmp_path}")
    theirs = tmp_path / "theirs"
    (theirs / "checkpoints").mkdir(parents=True)
    torch.save({}, last := theirs / "checkpoints" / "last.ckpt")
    hostile = {"self": str(tmp_path / "called"), "data": "x"}
    own = {**cfg, where: {**value, **hostile} if isinstance(value, dict) else value}
    OmegaConf.save(OmegaConf.create(own), theirs / "config.yaml")
    with pytest.raises(UserError, match=told):
        run(resumed({**cfg, "ckpt_path": str(last)}, []), theirs)
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize("blow", ["in_the_first_epoch", "in_the_first_best"])
def test_a_run_that_is_killed_before_an_epoch_ends_has_to_be_started_again(
    server: Server, words: tuple[str, ...], tmp_path: Path, blow: str
) -> None:
    run = tmp_path / "run"
    status, _ = server.train(*words, f"hydra.run.dir={run}", blow=(blow,))
    assert status == -signal.SIGKILL
    before = sorted(tmp_path.rglob("*"))
    status, said = server.train(f"ckpt_path={run}/checkpoints/last.ckpt")
    assert status == 1
    assert said.startswith(f"error: ckpt_path={run}/checkpoints/last.ckpt is not a file")
    assert "has to be started again" in said
    assert "Traceback" not in said
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_that_had_stopped_early_trains_no_further(server: Server, words: tuple[str, ...], tmp_path: Path) -> None:
    never = (*words, "early_stopping_patience=1", "model.learning_rate=0", "model.schedule=constant", "logger=csv")
    status, said = server.train(*never, f"hydra.run.dir={tmp_path}/unbroken")
    assert status == 0, said
    status, _ = server.train(*never, f"hydra.run.dir={tmp_path}/killed", blow=("in_the_test",))
    assert status == -signal.SIGKILL
    status, said = server.train(f"ckpt_path={tmp_path}/killed/checkpoints/last.ckpt")
    assert status == 0, said
    ended_alike(tmp_path / "unbroken", tmp_path / "killed")
    assert len(told(tmp_path / "killed")["history"]) == 2
    with (tmp_path / "killed" / "csv" / "metrics.csv").open(newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["val/loss"]]
    assert [line["step"] for line in lines] == ["0", "1"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of ``SMALL`` bytes, in memory."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here: that takes root")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("blow", ["full_in_training", "full_in_the_test"])
@pytest.mark.parametrize("logger", ["tensorboard", "csv"])
def test_a_full_disk_ends_in_words_and_loses_nothing(
    server: Server, words: tuple[str, ...], unbroken: Path, small_disk: Path, blow: str, logger: str
) -> None:
    run = small_disk / "run"
    begun = (*words, f"logger={logger}", f"hydra.run.dir={run}")
    status, said = server.train(*begun, blow=(blow, str(small_disk)))
    assert status == 1
    error = said.splitlines()[-1]
    assert error.startswith("error: ")
    assert str(run) in error
    assert "No space left on device" in error
    assert error.endswith(f"ckpt_path={run}/checkpoints/last.ckpt resumes from the last complete epoch")
    assert "Traceback" not in said
    assert not (run / "metrics.json").exists()
    (small_disk / "filler").unlink()
    status, said = server.train(f"ckpt_path={run}/checkpoints/last.ckpt")
    assert status == 0, said
    ended_alike(unbroken, run)


def test_a_checkpoint_that_can_not_be_written_ends_in_words_and_loses_nothing(
    server: Server, words: tuple[str, ...], unbroken: Path, tmp_path: Path
) -> None:
    status, said = server.train(*words, f"hydra.run.dir={tmp_path}", "logger=csv", blow=("no_large_files",))
    assert status == 1
    assert ".ckpt can't be written: File too large; once that is mended, ckpt_path=" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 1
    status, said = server.train(*words, f"hydra.run.dir={tmp_path}", "logger=csv")
    assert status == 0, said
    ended_alike(unbroken, tmp_path)


def test_a_folder_that_can_not_be_written_to_is_an_error_before_anything_is_done(
    server: Server, words: tuple[str, ...], small_disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    status, said = server.train(*words, f"hydra.run.dir={small_disk}")
    assert status == 1
    assert said == f"error: hydra.run.dir={small_disk} can't be made or written to: Read-only file system\n"


def test_a_data_drive_that_is_gone_during_training_costs_the_sounds_of_the_report_alone(
    server: Server, words: tuple[str, ...], corpus: Path, unbroken: Path, tmp_path: Path
) -> None:
    drive = tmp_path / "drive"
    shutil.copytree(corpus, drive)
    run = tmp_path / "run"
    given = [word for word in words if not word.startswith("dataset.root=")]
    blow = ("no_more_clips", str(drive))
    status, said = server.train(*given, f"dataset.root={drive}", f"hydra.run.dir={run}", blow=blow)
    assert status == 0, said
    ended_alike(unbroken, run)
    assert "<audio" in (unbroken / "page.html").read_text(encoding="utf-8")
    page = (run / "page.html").read_text(encoding="utf-8")
    assert "<audio" not in page
    assert "its file can't be read any more" in page


STOPPED = Checkpoint("Cnn1d", {}, {}, ["anger", "sad"], FeatureConfig(), 16_000, {}, epoch=4)


@pytest.fixture
def stopped(tmp_path: Path) -> Callable[..., Path]:
    """``stopped(*words)`` → the last checkpoint of a run that has seen 5 epochs of 20."""

    def stop(*words: str) -> Path:
        checkpoints = tmp_path / "run" / "checkpoints"
        checkpoints.mkdir(parents=True)
        OmegaConf.save(OmegaConf.create(composed(*words)), tmp_path / "run" / "config.yaml")
        history = {"command": [], "epochs": {1: {}}, "confusion": {"val": torch.eye(2)}, "seconds": 1.0}
        for name in ("best", "last"):
            replace(STOPPED, history=history).write(checkpoints / f"{name}.ckpt")
        return checkpoints / "last.ckpt"

    return stop


def check(last: Path, *words: str) -> list[str]:
    """What differs when the run of ``last`` goes on with ``words``."""
    return check_resumption(composed(*words), str(last), last.parents[1])


def test_a_checkpoint_that_is_not_there_is_refused(tmp_path: Path, stopped: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match=r"last\.ckpt is not a file: give a run's checkpoints/last\.ckpt"):
        run_folder(f"{tmp_path}/last.ckpt")
    with pytest.raises(ConfigError, match="is not a file"):
        run_folder(str(tmp_path))
    last = stopped()
    assert run_folder(str(last)) == tmp_path / "run"
    shutil.copy(last, tmp_path / "last.ckpt")
    with pytest.raises(ConfigError, match="does not lie in the folder of a run"):
        run_folder(f"{tmp_path}/last.ckpt")
    last.with_name("best.ckpt").unlink()
    with pytest.raises(ConfigError, match=r"best\.ckpt is gone"):
        check(last)


def test_a_broken_checkpoint_is_refused(stopped: Callable[..., Path]) -> None:
    last = stopped()
    last.write_bytes(b"half")
    with pytest.raises(UserError, match="not a checkpoint of a run, or broken"):
        check(last)
    torch.save({"state_dict": {}}, last)
    with pytest.raises(UserError, match="does not say how many epochs"):
        check(last)
    STOPPED.write(last)
    with pytest.raises(UserError, match="written by an older version"):
        check(last)
    for history in ([], {"confusion": {}}, {"command": "x", "epochs": {}, "confusion": {}, "seconds": 1.0}):
        replace(STOPPED, history=history).write(last)
        with pytest.raises(UserError, match="its history is none"):
            check(last)


def test_going_on_is_refused_where_the_epochs_do_not_go_with_the_checkpoint(stopped: Callable[..., Path]) -> None:
    last = stopped()
    assert check(last) == []
    for word, before in (
        ("trainer.max_epochs=30", "20"),
        ("trainer.max_steps=100", "-1"),
        ("trainer.limit_train_batches=0.5", "None"),
        ("trainer.accumulate_grad_batches=2", "1"),
    ):
        told = rf"one-cycle learning rate is laid out .* changes with {re.escape(word)} \(it began with {before}\)"
        with pytest.raises(ConfigError, match=told):
            check(last, word)


def test_a_one_cycle_run_of_so_many_steps_goes_on(stopped: Callable[..., Path]) -> None:
    words = ("trainer.max_epochs=null", "trainer.max_steps=100")
    assert check(stopped(*words), *words) == []


def test_a_constant_learning_rate_goes_on_for_longer(stopped: Callable[..., Path]) -> None:
    constant = "model.schedule=constant"
    last = stopped(constant)
    assert check(last, constant, "trainer.max_epochs=30") == ["trainer.max_epochs=30 (it began with 20)"]
    assert check(last, constant, "trainer.max_epochs=5"), "what is left is the test"
    with pytest.raises(ConfigError, match=r"has seen 5 epochs, and trainer\.max_epochs=4"):
        check(last, constant, "trainer.max_epochs=4")
    (last.parents[1] / "metrics.json").touch()
    with pytest.raises(ConfigError, match=r"has ended, and its results are not of trainer\.max_epochs=30"):
        check(last, constant, "trainer.max_epochs=30")


@pytest.mark.parametrize(
    ("word", "option"),
    [
        ("model=cnn2d", "model.name=cnn2d (it began with paper2d)"),
        ("model.learning_rate=0.5", "model.learning_rate=0.5 (it began with 0.002)"),
        ("features=mfcc2d", "features.names=['mfcc2d'] (it began with ['mel'])"),
        ("dataset=crema_d", "dataset.name=crema_d (it began with demo)"),
        ("split.seed=7", "split.seed=7 (it began with 42)"),
        ("augment=none", "augment.spec.frequency_masks=0"),
        ("labels.drop=[sad]", "labels.drop=['sad'] (it began with None)"),
        ("datamodule.batch_size=4", "datamodule.batch_size=4 (it began with 128)"),
        ("seed=2", "seed=2 (it began with 1)"),
    ],
)
def test_other_choices_than_the_runs_own_are_refused_by_name(
    stopped: Callable[..., Path], word: str, option: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check(stopped(), word)
    assert option in str(caught.value)
    assert "leave out all words but ckpt_path=" in str(caught.value)


def test_another_folder_is_refused(stopped: Callable[..., Path], tmp_path: Path) -> None:
    last = stopped()
    with pytest.raises(ConfigError, match=r"resumes in its own run's folder, .*/run, and not in .*/other"):
        check_resumption(composed(), str(last), tmp_path / "other")


def test_a_run_goes_on_with_its_own_choices_and_what_was_typed(stopped: Callable[..., Path]) -> None:
    own = ("model=cnn1d", "features=energy_zcr", "model.dropout=0.4", "seed=7")
    last = stopped(*own)

    def choices(*words: str) -> dict[str, Any]:
        return resumed(composed(f"ckpt_path={last}", *words), [f"ckpt_path={last}", *words])

    expected = {**composed(*own), "ckpt_path": str(last)}
    assert choices() == expected
    assert choices(*own) == expected
    longer = choices("trainer.devices=2", "trainer.max_time=null")
    assert longer == {**expected, "trainer": {**expected["trainer"], "devices": 2}}
    assert choices("model=paper2d")["model"] == composed()["model"], "what was typed is not passed over"
    assert choices("report=energy")["row"] == "energy"
    assert resumed(composed("seed=3"), ["seed=3"]) == composed("seed=3")


def hydra_config(ckpt_path: Path | None, *typed: str) -> DictConfig:
    return OmegaConf.create(
        {
            "ckpt_path": None if ckpt_path is None else str(ckpt_path),
            "hydra": {"run": {"dir": "outputs/new"}, "output_subdir": ".hydra", "overrides": {"hydra": list(typed)}},
        }
    )


def test_hydra_is_told_the_runs_folder(stopped: Callable[..., Path]) -> None:
    last = stopped()
    for config, folder, record in (
        (hydra_config(None), "outputs/new", ".hydra"),
        (hydra_config(last), str(last.parents[1]), None),
        (hydra_config(last, "hydra.run.dir=outputs/new"), "outputs/new", None),
    ):
        ResumeInFolder().on_run_start(config)
        assert (config.hydra.run.dir, config.hydra.output_subdir) == (folder, record)
    with pytest.raises(SystemExit, match=r"error: ckpt_path=.* is not a file"):
        ResumeInFolder().on_run_start(hydra_config(last.with_name("lost.ckpt")))


if __name__ == "__main__":
    serve()
