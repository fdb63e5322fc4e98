"""A folder of what can be had again from clips and choices: decoded waveforms and unscaled features.

An entry is a folder of its own, named by a digest of all that it depends on, so that an entry can be absent but never
out of date. It is made under another name and renamed when it is whole. Jobs that want the same entry at the same time
wait for the first of them.
"""

import hashlib
import json
import math
import os
import shutil
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
"""What an entry depends on; the last file to be written, and touched whenever the entry is used."""

MAKING = ".making"
LOCKS = ".locks"

HERE = Path(__file__).resolve().parent


class CacheError(UserError):
    """A cache folder that can't be used; the message names it, and why."""


@dataclass(frozen=True)
class Entry:
    """What lies in a cache folder.

    Attributes:
        path: Its folder.
        kind: ``waveforms`` or ``features``.
        about: What it depends on.
        size: Bytes.
        used: When it was last used, in seconds since 1970.
    """

    path: Path
    kind: str
    about: dict[str, Any]
    size: int
    used: float


def cached(folder: Path, kind: str, about: dict[str, Any], make: Callable[[Path], None]) -> Path:
    """The folder of an entry, which is made if it is not there.

    Args:
        folder: The cache; made if it is not there.
        kind: ``waveforms`` or ``features``.
        about: All that the entry depends on, as plain data.
        make: Writes the entry's files into the folder that it is given.

    Raises:
        CacheError: The folder can't be written to.
    """
    key = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=10).hexdigest()
    entry = folder / f"{kind}-{key}"
    try:
        if not (entry / ABOUT).is_file():
            (folder / LOCKS).mkdir(parents=True, exist_ok=True)
            with FileLock(folder / LOCKS / f"{entry.name}.lock"):
                if not (entry / ABOUT).is_file():
                    _make(entry, about, make)
    except OSError as error:
        raise CacheError(
            f"datamodule.cache={folder} can't be written: {error}: make room or give another folder, "
            "or go without it (datamodule.cache=null)"
        ) from error
    with suppress(OSError):  # a cache that may only be read does not tell when it was last used
        (entry / ABOUT).touch()
    return entry


def _make(entry: Path, about: dict[str, Any], make: Callable[[Path], None]) -> None:
    making = entry.with_name(f"{MAKING}-{entry.name}")
    shutil.rmtree(making, ignore_errors=True)  # of a job that was killed
    making.mkdir()
    try:
        make(making)
        (making / ABOUT).write_text(json.dumps(about, indent=1))
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


def entries(folder: Path) -> list[Entry]:
    """What lies in a cache folder, the largest first.

    Raises:
        CacheError: There is no such folder.
    """
    if not folder.is_dir():
        raise CacheError(f"{folder} is no folder: give the one that runs had as datamodule.cache=")
    found = []
    for about in folder.glob(f"*/{ABOUT}"):
        files = [file.stat() for file in about.parent.iterdir()]
        kind = about.parent.name.partition("-")[0]
        size, used = sum(file.st_size for file in files), about.stat().st_mtime
        found.append(Entry(about.parent, kind, json.loads(about.read_text()), size, used))
    return sorted(found, key=lambda entry: -entry.size)


def clear(folder: Path) -> list[Entry]:
    """Delete all entries of a cache folder, and what jobs that were killed left half made; returns the entries.

    A run that has an entry open keeps it until it ends. What a job is making right now is left to it.

    Raises:
        CacheError: There is no such folder.
    """
    gone = entries(folder)
    for entry in gone:
        # Renamed first, so that nobody finds it half deleted.
        shutil.rmtree(entry.path.rename(entry.path.with_name(f"{MAKING}-{entry.path.name}")))
    for making in folder.glob(f"{MAKING}-*"):
        try:
            with FileLock(folder / LOCKS / f"{making.name.removeprefix(f'{MAKING}-')}.lock", timeout=0):
                shutil.rmtree(making, ignore_errors=True)
        except Timeout:
            continue
    return gone


def code(*names: str) -> str:
    """Digest of files and folders of this package, and of the versions of what they call.

    An entry depends on it, so that a changed line makes entries anew.
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
    """An array of a cache's entry, in memory, or ``mapped`` from the file and then only to be read.

    Raises:
        CacheError: The file has another size: somebody else has changed it.
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
    """One digest for several files in order."""
    return hashlib.blake2b(json.dumps(contents).encode(), digest_size=16).hexdigest()


def contents(paths: Sequence[Path]) -> list[str | None]:
    """Digests of files' bytes; None for one that can't be read."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_content, paths))


def _content(path: Path) -> str | None:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return None
