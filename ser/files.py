"""Files that are whole or not there, whatever ends the process that writes them; and folders of one process alone."""

import errno
import os
import stat
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from ser.errors import UserError

UNFINISHED = ".unfinished-"
"""What the name of a file begins with while it is written; it lies beside the one whose place it takes."""

LOCK = ".lock"
"""In a run's folder: locked as long as a process is at work there, and left behind afterwards."""

HELD_FOR_US: set[Path] = set()
"""Folders whose lock the process has that this one works for."""

PROBE_BYTES = 1 << 16
"""Of a try whether a folder takes files: as much as Hydra writes before a run begins, and more."""


class WriteError(UserError):
    """A file that can't be written; the message names it, and why. What was there before is still there."""


def refuse_overwriting(outputs: Iterable[tuple[str, Path | None]], inputs: Iterable[Path]) -> None:
    """Refuse files to write that are to be read, by whatever name or link, or that are the same one twice.

    Args:
        outputs: What each is called in messages, such as ``--csv``, and its path; None if it is not wanted.
        inputs: Files that are read.

    Raises:
        UserError: There is such a file; nothing was written.
    """
    read = {identity: path for path in inputs if (identity := _identity(path)) is not None}
    written: dict[tuple[int, int] | str, str] = {}
    for name, path in outputs:
        if path is None:
            continue
        identity = _identity(path)
        if identity in read:
            same = "" if read[identity] == path else f", by another name {read[identity]}"
            raise UserError(f"{name} {path} is one of the files to read{same}, and would be lost: give another name")
        key = identity or os.path.normcase(os.path.realpath(path))
        if key in written:
            raise UserError(f"{name} and {written[key]} are one file, {path}: give each a name of its own")
        written[key] = name


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file on a disk this is, whatever its name; None if there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to. As the block ends, what lies there takes the place of ``path`` in one step.

    It is on the disk before that, so that neither a killed process nor a power cut nor a full disk leaves a part of it.

    Raises:
        WriteError: The disk is full or gone, or the folder can't be written to; ``path`` is as it was.
    """
    unfinished = path.with_name(UNFINISHED + path.name)
    try:
        yield unfinished
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise WriteError(f"{path} can't be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # it has taken its place, or the disk is gone, of which the error above tells
            unfinished.unlink()


class InUseError(UserError):
    """A folder that another process is at work in."""


def new_folder(path: Path) -> Path:
    """Make a folder that was not there before: ``path``, or that with a number behind it where another run has it.

    Raises:
        OSError: It can't be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    places = (path if number == 1 else path.with_name(f"{path.name}-{number}") for number in count(1))
    for place in places:
        with suppress(FileExistsError):
            place.mkdir()
            break
    return place


def lock_of(folder: Path) -> FileLock:
    """The lock of whoever is at work in ``folder``; a process that has it may take it again."""
    return FileLock(folder.resolve() / LOCK, is_singleton=True, thread_local=False)


def claim(folder: Path) -> AbstractContextManager[object]:
    """Lock ``folder``, which is made where it is not there, until the context ends, or the process in whatever way.

    Raises:
        InUseError: Another process is at work there.
        OSError: It can't be made or written to.
    """
    if folder.resolve() in HELD_FOR_US:
        return nullcontext()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return lock_of(folder).acquire(timeout=0)
    except Timeout:
        raise InUseError(f"another run is at work in {folder}: wait for its end, or give another folder") from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
            raise
        warnings.warn(f"{folder} can't be locked ({error.strerror}): start no other run there", stacklevel=2)
        return nullcontext()


def remove_unfinished(folder: Path) -> None:
    """Remove what a process that was killed left half written in the run folder ``folder``, which must be claimed.

    Folders of other runs below it are left alone.

    Raises:
        OSError: The folder can't be written to.
    """
    for place in (folder, folder / "checkpoints"):
        for path in list(place.glob(f"{UNFINISHED}*")):
            path.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Make ``folder`` where it is not there, and try whether it takes files.

    Raises:
        OSError: It can't be made or written to, or its disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f"{UNFINISHED}probe-{os.getpid()}"
    try:
        probe.write_bytes(bytes(PROBE_BYTES))
    finally:
        with suppress(OSError):  # where it could not be written, the error above tells of it
            probe.unlink()


def file_error(error: BaseException, folder: Path) -> str | None:
    """The file and what the system says of it, if that is what ``error`` comes from; else None.

    Libraries that write to ``folder``, such as TensorBoard, wrap such errors, or don't say of which file they are.
    """
    if not isinstance(error, Exception) or (isinstance(error, UserError) and not isinstance(error, WriteError)):
        return None
    found: OSError | None = None
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, WriteError):
            return str(link)
        if isinstance(link, OSError) and not isinstance(link, BrokenPipeError):  # that one is of the screen
            found = found or link
        link = link.__cause__ or link.__context__
    if found is None:
        return None
    return f"{found.filename or f'a file in {folder}'}: {found.strerror or found}"
