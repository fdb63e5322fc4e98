"""A folder that keeps what can be computed again from clips and choices: decoded waveforms and unscaled features.

Each entry is a folder, named by a digest of all that it depends on, so that an entry can be absent but never out of
date. It is made under another name and renamed when it is complete, with a digest of each of its files. An entry whose
files have changed is made again. Jobs that want the same entry at the same time wait for the first of them.
"""

import hashlib
import json
import math
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from ser.errors import UserError

ABOUT = "about.json"
"""File with what an entry depends on and digests of its files; written last, and touched whenever the entry is used."""

NAME = re.compile(r"(waveforms|features)-[0-9a-f]{20}")
"""Name of an entry's folder; nothing else in a cache folder is listed or deleted."""

BLOCK = 1 << 20
"""Number of bytes of a file that are read at once for its digest."""

MAKING = ".making"
LOCKS = ".locks"

HERE = Path(__file__).resolve().parents[1]


class CacheError(UserError):
    """A cache folder that can't be used; the message names it and the reason."""


@dataclass(frozen=True)
class Entry:
    """An entry of a cache folder.

    Attributes:
        path: Folder of the entry.
        kind: ``waveforms`` or ``features``.
        about: What the entry depends on; empty where ``ABOUT`` is missing or broken.
        size: Size in bytes.
        used: Time of the last use in seconds since 1970.
    """

    path: Path
    kind: str
    about: dict[str, Any]
    size: int
    used: float


def cached(folder: Path, kind: str, about: dict[str, Any], make: Callable[[Path], None], mapped: bool = False) -> Path:
    """Return the folder of an entry, which is made if it is missing or broken; the latter is printed.

    Args:
        folder: The cache folder, which is made if it is missing.
        kind: ``waveforms`` or ``features``.
        about: All that the entry depends on, as plain data.
        make: Function that writes the entry's files into a folder.
        mapped: Whether the files will be read in parts, so that this process checks their content only once, and again
            if they change.

    Raises:
        CacheError: The folder can't be written to.
    """
    key = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=10).hexdigest()
    entry = folder / f"{kind}-{key}"
    try:
        if _fault(entry, about, mapped) is not None:
            (folder / LOCKS).mkdir(parents=True, exist_ok=True)
            with FileLock(folder / LOCKS / f"{entry.name}.lock"):
                # Another job may have made it while this one waited for the lock.
                if (fault := _fault(entry, about, mapped)) is not None:
                    if fault:
                        print(f"The cache's entry {str(entry)!a} is made again: {fault}", file=sys.stderr)
                        _remove(entry)
                    _make(entry, about, make)
    except OSError as error:
        raise CacheError(
            f"datamodule.cache={folder} can't be written: {error}: make room or give another folder, "
            "or go without it (datamodule.cache=null)"
        ) from error
    with suppress(OSError):  # a read-only cache does not keep the time of its last use
        (entry / ABOUT).touch()
    return entry


def _make(entry: Path, about: dict[str, Any], make: Callable[[Path], None]) -> None:
    making = entry.with_name(f"{MAKING}-{entry.name}")
    shutil.rmtree(making, ignore_errors=True)  # left by a job that was killed
    making.mkdir()
    try:
        make(making)
        files = {file.name: _digest(file) for file in making.iterdir()}
        (making / ABOUT).write_text(json.dumps({"about": about, "files": files}, indent=1))
        for file in making.iterdir():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        making.rename(entry)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


_checked: set[tuple[Path, str, int, int, int, int]] = set()
"""Files whose content this process has compared with their digests, with their state at that time."""


def _fault(entry: Path, about: dict[str, Any], mapped: bool) -> str | None:
    """Return what is wrong with an entry, "" if it is missing, or None if it can be used."""
    if not os.path.lexists(entry):
        return ""
    try:
        _check(entry, about, mapped)
    except FileNotFoundError as error:
        return f"{Path(error.filename).name!a} is missing"
    except NotADirectoryError:
        return "it is no folder"
    except ValueError as error:
        return str(error)
    return None


def _check(entry: Path, about: dict[str, Any], mapped: bool) -> None:
    record = _read_about(entry)
    if record["about"] != json.loads(json.dumps(about)):
        raise ValueError(f"{ABOUT} tells of another entry")
    if odd := {file.name for file in entry.glob("[!.]*")} - {ABOUT, *record["files"]}:
        raise ValueError(f"{min(odd)!a} was not written with it")
    for name, digest in record["files"].items():
        state = (file := entry / name).stat()
        key = (file, digest, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        if mapped and key in _checked:
            continue
        if _digest(file) != digest:
            raise ValueError(f"{name!a} has other bytes than were written")
        _checked.add(key)


def _read_about(entry: Path) -> dict[str, Any]:
    """Read ``ABOUT``: what the entry depends on, and digests of its files.

    Raises:
        OSError: The file can't be read.
        ValueError: The file holds something else.
    """
    file = entry / ABOUT
    if _digest(file) is None:
        raise ValueError(f"{ABOUT} is no regular file")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        about, files = record["about"], record["files"]
        if not all(isinstance(kept, dict) for kept in (about, files)):
            raise TypeError("no digests")
        if not all(isinstance(digest, str) and Path(name).name == name for name, digest in files.items()):
            raise TypeError("no digests of files")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{ABOUT} is broken ({error!a})") from error
    return {"about": about, "files": files}


def _remove(entry: Path) -> None:
    if entry.is_symlink() or not entry.is_dir():
        entry.unlink()
        return
    # Renamed first, so that nobody finds it half deleted.
    gone = entry.with_name(f"{MAKING}-{entry.name}")
    shutil.rmtree(gone, ignore_errors=True)
    shutil.rmtree(entry.rename(gone))


def entries(folder: Path) -> list[Entry]:
    """Return all entries of a cache folder, also broken ones, the largest first.

    Raises:
        CacheError: There is no such folder.
    """
    if not folder.is_dir():
        raise CacheError(f"{folder} is no folder: give the one that runs had as datamodule.cache=")
    found = []
    for path in sorted(folder.iterdir()):
        if (match := NAME.fullmatch(path.name)) is None:
            continue
        try:
            about = _read_about(path)["about"]
        except (OSError, ValueError):
            about = {}
        states = [path.lstat(), *(file.lstat() for file in path.rglob("*"))]
        size = sum(state.st_size for state in states if stat.S_ISREG(state.st_mode))
        found.append(Entry(path, match[1], about, size, max(state.st_mtime for state in states)))
    return sorted(found, key=lambda entry: -entry.size)


def clear(folder: Path) -> list[Entry]:
    """Delete all entries of a cache folder and unfinished ones of killed jobs, and return the entries.

    A run that has an entry open keeps it until it ends. An entry that a job is making now is not deleted.

    Raises:
        CacheError: There is no such folder.
    """
    gone = entries(folder)
    for entry in gone:
        _remove(entry.path)
    for making in folder.glob(f"{MAKING}-*"):
        try:
            with FileLock(folder / LOCKS / f"{making.name.removeprefix(f'{MAKING}-')}.lock", timeout=0):
                shutil.rmtree(making, ignore_errors=True)
        except Timeout:
            continue
    return gone


def code(*names: str) -> str:
    """Return a digest of files and folders of this package, and of the versions of the libraries that they call.

    An entry depends on it, so that after a change of a line entries are made again.
    """
    digest = hashlib.blake2b(digest_size=10)
    for name in names:
        files = sorted((HERE / name).glob("*.py")) if (HERE / name).is_dir() else [HERE / name]
        for file in files:
            digest.update(file.read_bytes())
    for package in ("numpy", "soundfile", "torch", "torchaudio"):
        digest.update(version(package).encode())
    return digest.hexdigest()


def read_array(file: Path, shape: tuple[int, ...], dtype: str, mapped: bool) -> np.ndarray:
    """Read an array of a cache's entry into memory, or return it ``mapped`` from the file and read-only.

    Raises:
        CacheError: The file has another size because somebody else has changed it.
    """
    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    if (size := file.stat().st_size) != wanted:
        raise CacheError(
            f"{file} is damaged: it has {size:,} bytes, and should have {wanted:,}; "
            f"python scripts/cache.py {file.parent.parent} --clear deletes what the cache holds"
        )
    if mapped and wanted:
        return np.asarray(np.memmap(file, dtype, "r", shape=shape))
    return np.fromfile(file, dtype).reshape(shape)


def digest_of(contents: Sequence[str | None]) -> str:
    """Return one digest for several files in order."""
    return hashlib.blake2b(json.dumps(contents).encode(), digest_size=16).hexdigest()


def contents(paths: Sequence[Path]) -> list[str | None]:
    """Return digests of files' bytes; None for one that can't be read or is not a regular file, such as a pipe."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_content, paths))


def _content(path: Path) -> str | None:
    try:
        return _digest(path)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None


def _digest(path: Path) -> str | None:
    """Return the digest of a regular file's bytes; None for any other file, which may block or never end.

    Raises:
        OSError: The file can't be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        return None
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
