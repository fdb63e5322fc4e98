"""Sweeps as they are typed. In this process where they can be, for a command costs a dozen seconds to start."""

import json
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

import ser.training.sweeps
from ser.config import CONF, register_schemas
from ser.errors import UserError
from ser.results.jobs import ERROR, PLAN, Job, differing_words, job_states, read_plan
from ser.training.sweeps import OUTPUT, Sweep, note_error, progress, register_launchers, run_in_process

ROOT = Path(__file__).parents[2]

TRAIN = str(ROOT / "train.py")

SCORE = "best_val_macro_f1"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 short noises in two emotions."""
    root = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for emotion in ("happy", "sad"):
        (root / emotion).mkdir()
        for take in range(12):
            soundfile.write(root / emotion / f"{take:02}.wav", 0.1 * rng.standard_normal(6400), 16_000)
    return root


def words(clips: Path, sweep: Path, *more: str) -> list[str]:
    return [
        "-m", "dataset=folder", f"dataset.root={clips}", "split.val=0.2", "features=zcr", "features.hop_length=100",
        "model=cnn1d", "trainer.max_epochs=1", "trainer.enable_progress_bar=false", "trainer.accelerator=cpu",
        "logger=csv", f"hydra.sweep.dir={sweep}", *more,
    ]  # fmt: skip


@pytest.fixture
def sweep_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[Any, str]]:
    """``python train.py`` in this process: what it ended with, and what it showed."""

    def typed(*words: str) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", [TRAIN, *words])
        status: Any = 0
        try:
            runpy.run_path(TRAIN, run_name="__main__")
        except SystemExit as ended:
            status = ended.code
        shown = capfd.readouterr()
        return status, shown.out + shown.err

    return typed


def start(*typed: str, folder: Path | None = None, **environment: str) -> "subprocess.Popen[str]":
    """``python train.py`` in a process of its own."""
    known = {name: value for name, value in os.environ.items() if name not in ("SER_DATA", "HYDRA_FULL_ERROR")}
    return subprocess.Popen(
        [sys.executable, TRAIN, *typed], cwd=folder,
        env=known | {"COLUMNS": "200", "PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def states(sweep: Path) -> list[str]:
    return [one.state for one in job_states(sweep, read_plan(sweep))]


def written(sweep: Path, *jobs: int) -> list[int]:
    """When the results of ``jobs`` were written."""
    return [(sweep / str(job) / "metrics.json").stat().st_mtime_ns for job in jobs]


def test_a_failing_job_leaves_the_others_alone_and_is_listed_and_runs_again(
    clips: Path, tmp_path: Path, sweep_here: Callable[..., tuple[Any, str]]
) -> None:
    sweep = tmp_path / "sweep"
    status, shown = sweep_here(*words(clips, sweep, "model.dropout=0.1,7,0.2"))
    assert states(sweep) == ["finished", "failed", "finished"], shown
    assert "1 of 3 jobs done, about" in shown
    assert "3 of 3 jobs done, 1 failed" in shown
    assert f"Failed:\n  {sweep}/1 (model.dropout=7): model=cnn1d can't be built with these numbers" in status
    assert status.endswith(
        f"error: 3 of 3 jobs ended, 1 of them failed; the same command with hydra.sweep.dir={sweep} runs the others, "
        "and failed ones again"
    )
    assert "Traceback" not in shown
    assert "can't be built with these numbers" in (sweep / "1/train.log").read_text()

    before = written(sweep, 0, 2)
    status, shown = sweep_here(*words(clips, sweep, "model.dropout=0.1,0.15,0.2"))
    assert status == 0, shown
    assert "2 of 3 jobs done before" in shown
    assert states(sweep) == ["finished"] * 3
    assert not (sweep / "1" / ERROR).exists()
    assert written(sweep, 0, 2) == before


def test_a_bug_in_a_job_is_listed_with_its_traceback_in_the_jobs_log(
    clips: Path, tmp_path: Path, sweep_here: Callable[..., tuple[Any, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def collect(cfg: dict[str, Any], *rest: Any, **more: Any) -> dict[str, Any]:
        raise RuntimeError(f"no memory\nfor seed {cfg['seed']}")

    monkeypatch.setattr("ser.train.collect", collect)
    status, _ = sweep_here(*words(clips, tmp_path, "seed=1,2"))
    assert states(tmp_path) == ["failed", "failed"]
    for job, seed in enumerate((1, 2)):
        assert f"{tmp_path}/{job} (seed={seed}): RuntimeError: no memory for seed {seed}\n" in status
        for file in (ERROR, "train.log"):
            told = (tmp_path / str(job) / file).read_text()
            assert "Traceback" in told
            assert "in collect" in told


def test_a_killed_sweep_goes_on_without_repeating(
    clips: Path, tmp_path: Path, sweep_here: Callable[..., tuple[Any, str]]
) -> None:
    typed = words(clips, tmp_path, "seed=1,2,3", "trainer.max_epochs=4")
    killed = start(*typed)
    deadline = time.monotonic() + 300
    while not (tmp_path / "0/metrics.json").is_file() and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.kill()
    shown, _ = killed.communicate()
    assert states(tmp_path) == ["finished", "missing", "missing"], shown
    before = written(tmp_path, 0)
    status, shown = sweep_here(*typed)
    assert status == 0, shown
    assert "1 of 3 jobs done before" in shown
    assert states(tmp_path) == ["finished"] * 3
    assert written(tmp_path, 0) == before
    seeds = [json.loads((tmp_path / str(job) / "metrics.json").read_text())["seed"] for job in range(3)]
    assert seeds == [1, 2, 3]


@pytest.mark.parametrize("launcher", ["joblib", "local"])
def test_other_launchers_share_the_cores_and_survive_a_failing_job(launcher: str, clips: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit" if launcher == "local" else "hydra_plugins.hydra_joblib_launcher")
    typed = words(clips, tmp_path, "model.dropout=7,0.2", f"hydra/launcher={launcher}")
    if launcher == "joblib":
        typed.append("hydra.launcher.n_jobs=2")
    ran = start(*typed)
    shown, _ = ran.communicate(timeout=300)
    assert ran.returncode == 1
    assert states(tmp_path) == ["failed", "finished"], shown
    assert "2 of 2 jobs done, 1 failed" in shown
    assert f"{tmp_path}/0 (model.dropout=7): model=cnn1d can't be built" in shown
    assert "Traceback" not in shown
    told = json.loads((tmp_path / "1/metrics.json").read_text())
    assert told["command"][:2] == ["python", "train.py"]
    assert "model.dropout=0.2" in told["command"]
    assert (tmp_path / "1" / OUTPUT).is_file() == (launcher == "joblib")


def test_a_task_apart_returns_raises_and_may_be_killed(tmp_path: Path) -> None:
    assert run_in_process(tmp_path, os.path.join, "a", "b") == str(Path("a/b"))
    with pytest.raises(FileNotFoundError):
        run_in_process(tmp_path, os.listdir, tmp_path / "none")
    with pytest.raises(UserError, match=r"was killed \(SIGABRT\); where memory is short, hydra\.launcher\.n_jobs="):
        run_in_process(tmp_path, os.abort)
    assert run_in_process(tmp_path, os.getpid) != os.getpid()
    run_in_process(tmp_path, os.system, "echo heard")
    assert (tmp_path / OUTPUT).read_text().endswith("heard\n")


def test_an_orphan_ends_itself(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "child = 'import os, time; from ser.training.sweeps import end_with; end_with(os.getppid()); '"
        "'print(os.getpid(), flush=True); time.sleep(60)'\n"
        "subprocess.Popen([sys.executable, '-c', child])\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert parent.stdout is not None
    orphan = int(parent.stdout.readline())
    os.kill(orphan, 0)
    parent.kill()
    assert parent.stdout.read() == "", "this pipe ends as the orphan does"


def composed(*overrides: str) -> DictConfig:
    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides), return_hydra_config=True)


@pytest.mark.parametrize(
    ("overrides", "planned", "threads"),
    [
        (["hydra/launcher=joblib"], 18, "1"),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], 18, "4"),
        (["hydra/launcher=joblib"], 2, "4"),
        (["hydra/launcher=joblib", "hydra.sweeper.max_batch_size=4"], 18, "2"),
        (["hydra/launcher=local"], 4, "2"),
        (["hydra/launcher=local"], 18, "1"),
        (["hydra/launcher=local", "hydra.sweeper.max_batch_size=3"], 18, "2"),
        (["hydra/launcher=slurm"], 18, None),
        ([], 18, None),
    ],
)
def test_jobs_at_once_share_eight_cores(
    overrides: list[str], planned: int, threads: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ser.training.sweeps, "cpu_count", lambda: 8)
    monkeypatch.setattr(ser.training.sweeps, "effective_n_jobs", lambda n_jobs: 8 if n_jobs == -1 else n_jobs)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    at_once = ser.training.sweeps._jobs_at_once(composed(*overrides), planned)
    assert (at_once is None) == (not overrides)
    assert at_once is None or ser.training.sweeps._share_cores(at_once) == (threads is not None)
    assert os.environ.get("OMP_NUM_THREADS") == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert not ser.training.sweeps._share_cores(2), "what the user set stays"
    assert os.environ["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize("launcher", ["joblib", "slurm"])
def test_a_launcher_that_is_not_installed_ends_in_words(launcher: str, tmp_path: Path) -> None:
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins/__init__.py").touch()  # takes the place of the installed ones
    ran = start("-m", f"hydra/launcher={launcher}", f"hydra.sweep.dir={tmp_path}/sweep", PYTHONPATH=str(tmp_path))
    shown, _ = ran.communicate(timeout=300)
    assert ran.returncode == 1
    plugin = "hydra-joblib-launcher" if launcher == "joblib" else "hydra-submitit-launcher"
    assert shown.startswith(f"error: hydra/launcher={launcher} needs {plugin}: pip install -e '.[sweep]'"), shown


def test_every_launcher_composes() -> None:
    register_launchers()
    shipped = {path.stem for path in (CONF / "hydra/launcher").glob("*.yaml")}
    assert shipped == {"local", "slurm"}
    for name in (*shipped, "joblib"):
        target = composed(f"hydra/launcher={name}").hydra.launcher._target_
        assert find_spec(target.rpartition(".")[0]) is not None
    slurm = composed("hydra/launcher=slurm", "hydra.launcher.partition=gpu", "hydra.launcher.qos=low").hydra.launcher
    assert (slurm.partition, slurm.qos, slurm.gpus_per_node) == ("gpu", "low", 1)


def test_a_job_waits_for_another_process_in_its_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = composed(f"+hydra.runtime.output_dir={tmp_path}", "hydra.mode=MULTIRUN")
    code = (
        "import sys, time; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); "
        "print('held', flush=True); time.sleep(0.5); print(time.monotonic(), flush=True)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, tmp_path / ".lock"], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    job = Sweep()
    job.program = "train.py"
    (tmp_path / ERROR).touch()
    job.on_job_start(config)
    assert time.monotonic() >= float(other.stdout.readline())
    assert f"another process is at work in {tmp_path}" in caplog.text
    assert not (tmp_path / ERROR).exists()
    job.lock.release()


def test_the_state_of_a_job_is_told_by_its_folder(tmp_path: Path) -> None:
    jobs = [Job(str(number), [f"seed={number}", "model=cnn1d"]) for number in range(4)]
    for number in range(3):
        (tmp_path / str(number)).mkdir()
    (tmp_path / "0/metrics.json").touch()
    try:
        raise KeyError("a\nb")
    except KeyError as error:
        note_error(tmp_path / "1", error)
    told = job_states(tmp_path, jobs)
    assert [(one.state, one.remark) for one in told] == [
        ("finished", ""),
        ("failed", r"KeyError: 'a\nb'"),
        ("missing", "started, not ended"),
        ("missing", "not started"),
    ]
    assert "Traceback" in (tmp_path / "1" / ERROR).read_text()
    note_error(tmp_path / "2", UserError("seed=x\nmust be a number"))
    assert (tmp_path / "2" / ERROR).read_text() == "seed=x\\nmust be a number\n"
    assert differing_words(jobs[:2]) == ["seed=0", "seed=1"]
    assert differing_words(jobs[:1]) == ["seed=0 model=cnn1d"]


def test_a_broken_plan_is_told(tmp_path: Path) -> None:
    for text in ("{", "[1]", '[{"folder": "0"}]', "3"):
        (tmp_path / PLAN).write_text(text)
        with pytest.raises(UserError, match=r"jobs\.json can't be read as the jobs of a sweep"):
            read_plan(tmp_path)


@pytest.mark.parametrize(
    ("numbers", "line"),
    [
        ((0, 18, 0, 0, 5.0), "0 of 18 jobs done"),
        ((7, 18, 1, 7, 7 * 65.0), "7 of 18 jobs done, 1 failed, about 12 min left"),
        ((7, 18, 0, 1, 3.0), "7 of 18 jobs done, about 33 s left"),
        ((2, 18, 0, 2, 3600.0), "2 of 18 jobs done, about 8 h left"),
        ((7, 18, 0, 0, 30.0), "7 of 18 jobs done"),
        ((18, 18, 2, 18, 30.0), "18 of 18 jobs done, 2 failed"),
    ],
)
def test_one_line_tells_how_far_a_sweep_is(numbers: tuple[int, int, int, int, float], line: str) -> None:
    assert progress(*numbers) == line
