"""A sweep's jobs: which are planned, how far they are, and what became of those that failed.

Hydra starts the jobs, one after another or through a launcher of ``conf/hydra/launcher``, and calls ``Sweep`` as the
sweep and each of its jobs start and end. What is to be known of a job lies in files, so that it is the same under every
launcher and after a kill: ``jobs.json`` in the sweep's folder, and ``metrics.json`` or ``error.txt`` in a job's.
"""

import atexit
import logging
import multiprocessing
import os
import re
import shlex
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any, ParamSpec, TypeVar

from filelock import Timeout
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from joblib import cpu_count, effective_n_jobs
from joblib.externals.loky import ProcessPoolExecutor
from omegaconf import DictConfig, open_dict

from ser.config import hydra_word
from ser.errors import Screen, UserError, visible
from ser.files import HELD_FOR_US, lock_of, write_json
from ser.results.jobs import ERROR, PLAN, Job, differing_words, job_states

OUTPUT = "output.txt"
"""File with the screen output of a job that ran in a process of its own, in the job's folder."""

LAUNCHERS = {
    "hydra_plugins.hydra_joblib_launcher": {"joblib": "joblib_launcher.JoblibLauncher"},
    "hydra_plugins.hydra_submitit_launcher": {
        "submitit_local": "submitit_launcher.LocalLauncher",
        "submitit_slurm": "submitit_launcher.SlurmLauncher",
    },
}
"""Hydra's plugins of the extra ``sweep``, and the choices that each brings."""

EXTRA = "pip install -e '.[sweep]'"

LOOK_EVERY_SECONDS = 2

Args = ParamSpec("Args")
Returned = TypeVar("Returned")

log = logging.getLogger(__name__)

console = Screen()


def note_error(folder: Path, error: BaseException) -> None:
    """Write ``error.txt`` and the job's log: what a user can mend in words, the rest with its traceback."""
    if isinstance(error, UserError | OSError):
        words = text = " ".join(str(error).split())
    else:
        words = visible(" ".join(f"{type(error).__name__}: {error}".split()))
        text = words + "\n\n" + visible("".join(traceback.format_exception(error)), lines=True)
    log.error("%s failed: %s", folder, text)
    (folder / ERROR).write_text(text.strip() + "\n", encoding="utf-8")


def plan_jobs(config: DictConfig) -> list[Job]:
    """List the jobs that Hydra's own sweeper will make of a command.

    Args:
        config: The composed choices of the sweep, with Hydra's part.

    Raises:
        HydraException: A word can't be composed.
    """
    loader = GlobalHydra.instance().config_loader()
    words = [f"{name}={values}" for name, values in (config.hydra.sweeper.get("params") or {}).items()]
    parsed = OverridesParser.create(config_loader=loader).parse_overrides([*words, *config.hydra.overrides.task])
    jobs = []
    for number, overrides in enumerate(BasicSweeper.split_arguments(parsed, None)[0]):
        composed = loader.load_sweep_config(config, overrides)
        with open_dict(composed):
            composed.hydra.job.num = composed.hydra.job.id = number
        jobs.append(Job(str(composed.hydra.sweep.subdir), overrides))
    return jobs


class Sweep(Callback):
    """Plans a sweep's jobs, reports how far they are, and keeps one that fails from ending the others.

    An exception that leaves a job is written into its folder, and the job counts as ended with the score NaN, because
    Hydra would start no further batch of jobs, and say nothing of the others. At the end those that failed are listed,
    and the exit status is 1.

    Hydra hands the callback itself to the jobs of other processes; there only its ``on_job_…`` are called.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Write ``jobs.json`` and share out the cores; end here where there is no job, or no launcher."""
        require_launcher(config)
        self.over = True
        self.process, self.program = os.getpid(), sys.argv[0]
        if config.hydra.sweeper._target_.rpartition(".")[2] != BasicSweeper.__name__:
            return  # other sweepers make up their jobs as they go
        try:
            self.jobs = plan_jobs(config)
        except HydraException:
            return  # the sweeper is about to say the same
        if not self.jobs:
            sys.exit(
                f"the sweep over {' '.join(config.hydra.overrides.task)} has no jobs: "
                "a glob() that matches no choice leaves none; see the files of conf/"
            )
        self.folder = Path(config.hydra.sweep.dir).absolute()
        for job in self.jobs:
            (self.folder / job.folder / ERROR).unlink(missing_ok=True)
        write_json(self.folder / PLAN, [asdict(job) for job in self.jobs])

        self.started = time.perf_counter()
        self.done_before = self.done = self._ended()[0]
        if self.done_before:
            console.print(f"{self.done_before} of {len(self.jobs)} jobs done before", soft_wrap=True)
        self.over = False
        atexit.register(self._stopped)
        at_once = _jobs_at_once(config, len(self.jobs))
        self.shared_out = at_once is not None and _share_cores(at_once)
        if at_once is not None:
            Thread(target=self._watch, daemon=True).start()

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Forget an earlier failure; in a sweep, wait for whoever is at work in the same folder."""
        folder = Path(config.hydra.runtime.output_dir)
        if config.hydra.mode == RunMode.MULTIRUN:
            sys.argv[0] = self.program  # results name the command
            self.lock = lock_of(folder)
            try:
                self.lock.acquire(timeout=0)
            except Timeout:
                log.warning("another process is at work in %s: waiting for its end", folder)
                self.lock.acquire()
        (folder / ERROR).unlink(missing_ok=True)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:  # noqa: ARG002
        """Note a failure and let the sweep continue."""
        if config.hydra.mode != RunMode.MULTIRUN:
            return
        if job_return.status == JobStatus.FAILED:
            note_error(Path(config.hydra.runtime.output_dir), job_return._return_value)
            job_return.status, job_return.return_value = JobStatus.COMPLETED, float("nan")
        self.lock.release()
        if not self.over and os.getpid() == self.process:
            self._tell()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """List what failed; exit status 1 where something did."""
        if self.over:
            return
        self._tell()
        self._close()
        if failures := self._failures():
            sys.exit(f"{failures}\nerror: {self._how_to_resume()}")

    def _stopped(self) -> None:
        """List failed jobs as the process ends before the sweep, by Ctrl-C or an error of the launcher's."""
        self._close()
        print(f"{self._failures()}\nThe sweep was stopped. {self._how_to_resume()}".strip(), file=sys.stderr)

    def _close(self) -> None:
        self.over = True
        atexit.unregister(self._stopped)
        if self.shared_out:
            del os.environ["OMP_NUM_THREADS"]

    def _ended(self) -> tuple[int, int]:
        states = [job.state for job in job_states(self.folder, self.jobs)]
        return len(states) - states.count("missing"), states.count("failed")

    def _failures(self) -> str:
        lines = [
            f"  {self.folder / one.job.folder} ({words}): {visible(one.remark)}"
            for one, words in zip(job_states(self.folder, self.jobs), differing_words(self.jobs), strict=True)
            if one.state == "failed"
        ]
        return "\n".join(["Failed:", *lines]) if lines else ""

    def _how_to_resume(self) -> str:
        ended, failed = self._ended()
        counted = f"{ended} of {len(self.jobs)} jobs ended" + (f", {failed} of them failed" if failed else "")
        word = shlex.quote(hydra_word("hydra.sweep.dir", self.folder))
        return f"{counted}; the same command with {word} runs the others, and failed ones again"

    def _watch(self) -> None:
        while not self.over:
            self._tell()
            time.sleep(LOOK_EVERY_SECONDS)

    def _tell(self) -> None:
        ended, failed = self._ended()
        if ended != self.done:
            self.done = ended
            line = progress(ended, len(self.jobs), failed, ended - self.done_before, time.perf_counter() - self.started)
            console.print(line, style="bold", highlight=False, soft_wrap=True)


def progress(ended: int, planned: int, failed: int, lately: int, seconds: float) -> str:
    """Write a line about a sweep or a search: ``7 of 18 jobs done, 1 failed, about 12 min left``.

    Args:
        ended: Jobs that have ended, failed ones among them.
        planned: All jobs.
        failed: Jobs that failed.
        lately: How many of ``ended`` this command has run.
        seconds: Since this command began.
    """
    line = f"{ended} of {planned} jobs done" + (f", {failed} failed" if failed else "")
    if ended == planned or lately <= 0:
        return line
    left = seconds / lately * (planned - ended)
    for unit, length in (("h", 3600), ("min", 60)):
        if left >= 2 * length:
            return f"{line}, about {left / length:.0f} {unit} left"
    return f"{line}, about {left:.0f} s left"


def register_launchers() -> None:
    """Let the launchers whose plugin is not installed compose, so that ``require_launcher`` can say what is missing."""
    for plugin, targets in LAUNCHERS.items():
        if not _is_installed(plugin):
            for name, target in targets.items():
                node = {"_target_": f"{plugin}.{target}"}
                ConfigStore.instance().store(group="hydra/launcher", name=name, node=node)


def require_launcher(config: DictConfig) -> None:
    """End in words where the launcher's plugin is not installed."""
    plugin = ".".join(str(config.hydra.launcher._target_).split(".")[:2])
    if plugin in LAUNCHERS and not _is_installed(plugin):
        choice = config.hydra.runtime.choices["hydra/launcher"]
        sys.exit(f"error: hydra/launcher={choice} needs {plugin.partition('.')[2].replace('_', '-')}: {EXTRA}")


def _is_installed(plugin: str) -> bool:
    return find_spec(plugin.partition(".")[0]) is not None and find_spec(plugin) is not None


def _jobs_at_once(config: DictConfig, planned: int) -> int | None:
    """Count the jobs that share this machine's cores; 0 if they run on others, None if in this process."""
    planned = min(planned, config.hydra.sweeper.max_batch_size or planned)
    match _launcher(config):
        case "JoblibLauncher":
            return min(planned, effective_n_jobs(config.hydra.launcher.n_jobs))
        case "LocalLauncher":
            return planned
        case "BasicLauncher":
            return None
        case _:
            return 0


def _launcher(config: DictConfig) -> str:
    return str(config.hydra.launcher._target_).rpartition(".")[2]


def _share_cores(at_once: int) -> bool:
    """Give each of several processes here its part of the cores; they inherit ``OMP_NUM_THREADS``, which torch reads.

    Returns:
        Whether it was set here; a value that is there already is the user's.
    """
    if at_once == 0 or "OMP_NUM_THREADS" in os.environ:
        return False
    os.environ["OMP_NUM_THREADS"] = str(max(1, cpu_count() // at_once))
    return True


def run_in_process(folder: Path, task: Callable[Args, Returned], *args: Args.args, **kwargs: Args.kwargs) -> Returned:
    """Call ``task`` in a process of its own, whose death is an error like any other; its output goes to ``output.txt``.

    For jobs of joblib's: it gives up all of them when one of its own processes dies, as it does where memory is short.

    Raises:
        UserError: The process was killed.
    """
    if multiprocessing.parent_process() is not None:  # with one job at once, joblib stays in the command's own
        end_with(os.getppid())
    with ProcessPoolExecutor(1, initializer=_begin_process, initargs=(os.getpid(), folder)) as alone:
        try:
            return alone.submit(task, *args, **kwargs).result()
        except BrokenProcessPool as error:
            signals = ", ".join(re.findall(r"SIG[A-Z]+", str(error))) or "no signal known"
            raise UserError(
                f"the job's process was killed ({signals}); where memory is short, hydra.launcher.n_jobs= sets fewer "
                "jobs at once"
            ) from error


def _begin_process(parent: int, folder: Path) -> None:
    end_with(parent)
    HELD_FOR_US.add(folder.resolve())
    with (folder / OUTPUT).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def end_with(parent: int) -> None:
    """End this process soon after its ``parent`` has ended in whatever way, so that no orphan keeps training."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()
