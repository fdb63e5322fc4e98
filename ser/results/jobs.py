"""The jobs of a sweep as its folder has them: which are planned, how far they are, and why some failed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ser.errors import UserError

PLAN = "jobs.json"
"""File in the sweep's folder with the jobs that its last command asked for."""

ERROR = "error.txt"
"""File in a job's folder: why it failed, on the first line; a traceback follows where no choice is to blame."""


@dataclass(frozen=True)
class Job:
    """A planned job: its folder, as seen from the sweep's, and the words that make it."""

    folder: str
    overrides: list[str]


@dataclass(frozen=True)
class JobState:
    """What became of a job.

    Attributes:
        job: As planned.
        state: ``finished``, ``failed`` or ``missing``.
        remark: Error of a failed job; whether a missing one was started; else empty.
    """

    job: Job
    state: str
    remark: str = ""


def read_plan(sweep: Path) -> list[Job]:
    """The jobs that the last command for the folder ``sweep`` asked for.

    Raises:
        UserError: There is no plan, or it is broken.
    """
    file = sweep / PLAN
    try:
        plan = json.loads(file.read_text(encoding="utf-8"))
        return [Job(str(job["folder"]), [str(word) for word in job["overrides"]]) for job in plan]
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise UserError(f"{file} can't be read as the jobs of a sweep: {error}; move it away") from error


def job_states(sweep: Path, jobs: Sequence[Job]) -> list[JobState]:
    """Find out what became of ``jobs`` of the folder ``sweep``, by the files in their folders."""
    return [_state(sweep / job.folder, job) for job in jobs]


def _state(folder: Path, job: Job) -> JobState:
    try:
        return JobState(job, "failed", (folder / ERROR).read_text(encoding="utf-8").partition("\n")[0])
    except FileNotFoundError:
        pass
    if (folder / "metrics.json").is_file():
        return JobState(job, "finished")
    return JobState(job, "missing", "started, not ended" if folder.is_dir() else "not started")


def differing_words(jobs: Sequence[Job]) -> list[str]:
    """Find the words of each job that not all of ``jobs`` have; a single job has all of its words."""
    common = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    return [" ".join(word for word in job.overrides if word not in common) for job in jobs]
