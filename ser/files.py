"""Files that are complete or absent, whatever ends the process that writes them, and folders locked for one process."""

import errno
import json
import os
import re
import stat
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from itertools import count
from pathlib import Path
from typing import Any
from urllib.request import url2pathname

from filelock import FileLock, Timeout

from ser.errors import UserError

UNFINISHED = ".unfinished-"
"""Beginning of the name of a file while it is written; it lies beside the file that it will replace."""

LOCK = ".lock"
"""Name of a file in a run's folder that is locked while a process works there, and remains afterwards."""

HELD_FOR_US: set[Path] = set()
"""Folders whose lock is held by the process that started this one."""

PROBE_BYTES = 1 << 16
"""Size of the file that tests whether a folder is writable: more than Hydra writes before a run begins."""


class WriteError(UserError):
    """Reports a file that can't be written and the reason; the file's previous content is unchanged."""


def as_path(text: str | os.PathLike[str]) -> Path:
    """Return the path that a person means by a ``file://`` address, ``~``, or backslashes as on Windows.

    A file with exactly that name has priority.
    """
    path = Path(text)
    if os.path.lexists(path):
        return path
    if address := re.fullmatch(r"file:(?:/{0,2}localhost)?/{0,2}(/.*)", str(text), re.IGNORECASE | re.DOTALL):
        literal = Path(address[1])
        return literal if os.path.lexists(literal) else Path(url2pathname(address[1]))
    if str(text).startswith("~"):
        return Path(os.path.expanduser(text))  # noqa: PTH111  (Path's own raises where there is no such person)
    if "\\" in str(text) and os.path.lexists(other := str(text).replace("\\", "/")):
        return Path(other)
    return path


def refuse_overwriting(outputs: Iterable[tuple[str, Path | None]], inputs: Iterable[Path]) -> None:
    """Refuse outputs that are also inputs, by any name or link, and two outputs that are one file.

    Args:
        outputs: Name of each in messages, such as ``--csv``, and its path; None if it is not wanted.
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
    """Return the identity of a file on its disk, independent of its name; None if there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to. At the end of the block that file replaces ``path`` in one step.

    It is synced to the disk before that, so a killed process, a power cut or a full disk leaves no partial file.

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
        with suppress(OSError):  # it has replaced path, or the disk is gone, which the error above says
            unfinished.unlink()


def write_text(path: Path, text: str, errors: str = "strict") -> None:
    """Write a UTF-8 file in one step.

    Args:
        path: The file.
        text: What it will hold.
        errors: What becomes of characters that have no code, as in ``str.encode``.

    Raises:
        WriteError: It can't be written; what was there is still there.
    """
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors=errors)


def write_json(path: Path, held: Any, indent: int | None = 2) -> None:
    """Write plain data as JSON, in one step.

    Raises:
        WriteError: It can't be written; what was there is still there.
    """
    write_text(path, json.dumps(held, indent=indent) + "\n")


class InUseError(UserError):
    """Reports a folder in which another process is working."""


def new_folder(path: Path) -> Path:
    """Make a new folder: ``path``, or ``path`` with a number behind it if it exists.

    Raises:
        OSError: The folder can't be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    places = (path if number == 1 else path.with_name(f"{path.name}-{number}") for number in count(1))
    for place in places:
        with suppress(FileExistsError):
            place.mkdir()
            break
    return place


def lock_of(folder: Path) -> FileLock:
    """Return the lock of the process that works in ``folder``; a process that holds it may take it again."""
    return FileLock(folder.resolve() / LOCK, is_singleton=True, thread_local=False)


def claim(folder: Path) -> AbstractContextManager[object]:
    """Lock ``folder``, which is made if it is missing, until the context or the process ends.

    Raises:
        InUseError: Another process is working there.
        OSError: The folder can't be made or written to.
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
    """Remove files that a killed process left half written in the run folder ``folder``, which must be claimed.

    Folders of other runs below it are not touched.

    Raises:
        OSError: The folder can't be written to.
    """
    for place in (folder, folder / "checkpoints"):
        for path in list(place.glob(f"{UNFINISHED}*")):
            path.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Make ``folder`` if it is missing, and test whether it is writable.

    Raises:
        OSError: The folder can't be made or written to, or its disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f"{UNFINISHED}probe-{os.getpid()}"
    try:
        probe.write_bytes(bytes(PROBE_BYTES))
    finally:
        with suppress(OSError):  # where it could not be written, the error above says so
            probe.unlink()


def check_out(folder: Path) -> None:
    """Make the folder of ``--out`` if it is missing, and test whether it is writable.

    Raises:
        UserError: It can't be made or written to, or its disk is full.
    """
    try:
        check_writable(folder)
    except OSError as error:
        raise UserError(f"{folder} can't be written to: {error.strerror or error}; give another --out") from error


def file_error(error: BaseException, folder: Path) -> str | None:
    """Return the file and the system's message, if a file error caused ``error``; otherwise None.

    Libraries that write to ``folder``, such as TensorBoard, wrap such errors, or don't name the file.
    """
    if not isinstance(error, Exception) or (isinstance(error, UserError) and not isinstance(error, WriteError)):
        return None
    found: OSError | None = None
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, WriteError):
            return str(link)
        if isinstance(link, OSError) and not isinstance(link, BrokenPipeError):  # that one concerns the screen
            found = found or link
        link = link.__cause__ or link.__context__
    if found is None:
        return None
    return f"{found.filename or f'a file in {folder}'}: {found.strerror or found}"
