"""Get the files of a corpus: several at once, each checked, continuing where an earlier try stopped.

Files that are not complete and verified yet lie in a hidden folder of the corpus, which readers ignore.
"""

import errno
import hashlib
import json
import queue
import re
import shutil
import struct
import threading
import time
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import pooch
import requests
from filelock import FileLock, Timeout
from pooch.hashes import hash_matches
from requests.adapters import HTTPAdapter
from rich.progress import Progress
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from ser.data.corpora.sources import Archive, Dataverse, File, Source
from ser.errors import UserError

PARTS = ".partial"
"""Name of the hidden folder for unfinished files."""

LOCK = ".downloading"
"""Name of a hidden file that a running download holds locked."""

TRIES = 5
"""Number of tries per file, where a problem may be temporary."""

TIMEOUT = (10, 60)
"""Seconds to connect, and between two pieces of a file."""

ANSWER = 120
"""Most seconds until an answer begins, also for a server that sends its headers byte by byte."""

GRACE = 2
"""Seconds that running transfers have to end after the download was given up."""

SLOWEST = 1_000
"""Bytes per second that a server must send on average within ``TIMEOUT[1]`` seconds."""

CHUNK = 1 << 14
"""Most bytes that are read at once."""

LARGEST_FILE = 1 << 24
"""Most bytes of a clip, a table or a list; the largest clip of the corpora has 0.8 million."""

LARGEST_ARCHIVE = 1 << 30
"""Most bytes of a zip."""

CHECKSUMS = ("md5", "sha1", "sha256", "sha512")
"""Digests that a Dataverse gives."""

PATIENCE = 600
"""Most seconds that a server may ask to wait; one that asks for more is not tried again."""

GIVE_UP = 20
"""Number of failures in a row after which the other files are not tried."""

SHOWN = 20
"""Most lines of a list of failures."""


class DownloadError(UserError):
    """A download that failed; the message names the file, its address and the reason."""


class _PassingError(Exception):
    """A temporary problem; the next try may begin ``after`` this many seconds."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


@dataclass(frozen=True)
class Client:
    """Gets single files into the folder ``parts``.

    Attributes:
        session: Connections.
        parts: Folder of files that are not complete and verified yet.
        wait: Seconds before the second try; twice as many before each further one.
        stop: Event that ends every transfer and every wait when another thread sets it.
    """

    session: requests.Session
    parts: Path
    wait: float = 1.0
    stop: threading.Event = field(default_factory=threading.Event)

    def fetch(
        self, file: File, received: Callable[[int, int | None], object] | None = None, largest: int = LARGEST_FILE
    ) -> Path:
        """Get ``file`` into ``parts``, complete and verified.

        Args:
            file: File to get. A part from an earlier try is continued.
            received: Function that gets the number of bytes so far, and of the file if the server gives it.
            largest: Most bytes of the file.

        Raises:
            DownloadError: The server doesn't have it, sends too much, sends wrong bytes twice, or is in trouble or too
                slow ``TRIES`` times.
            CancelledError: ``stop`` was set.
        """
        part = self.parts / f"{_flat(file.name)}.part"

        def resume(_url: str, target: str, _pooch: object) -> None:
            self._receive(file, part, received, largest)
            part.replace(target)

        for _ in range(2):
            try:
                path = pooch.retrieve(file.url, file.digest, fname=_flat(file.name), path=self.parts, downloader=resume)
            except DownloadError:
                raise
            except ValueError:  # pooch's word for a wrong digest; it has removed the file
                continue
            return Path(path)
        raise DownloadError(f"{file.name}: {file.url} sends other bytes than the corpus has (expected {file.digest})")

    def _receive(
        self, file: File, part: Path, received: Callable[[int, int | None], object] | None, largest: int
    ) -> None:
        for tried in range(1, TRIES + 1):
            try:
                self._transfer(file, part, received, largest)
                return
            except _PassingError as trouble:
                pause = max(self.wait * 2 ** (tried - 1), trouble.after)
                if tried == TRIES:
                    raise DownloadError(f"{file.name}: {file.url}: {trouble}, {TRIES} times") from trouble
                if pause > PATIENCE:
                    raise DownloadError(
                        f"{file.name}: {file.url}: {trouble}; the server asks to come again in {pause:.0f} s"
                    ) from trouble
            if self.stop.wait(pause):
                raise CancelledError

    def _transfer(
        self, file: File, part: Path, received: Callable[[int, int | None], object] | None, largest: int
    ) -> None:
        """Add what is missing to ``part``, in one request."""
        here = part.stat().st_size if part.exists() else 0
        # Bytes that are compressed on the way could not be counted.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={here}-"} if here else {})
        try:
            with self._answer(file.url, headers) as answer:
                if answer.status_code not in (200, 206, 416):
                    _refuse(answer, file)
                resumes = answer.status_code == 206
                goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {here}-")
                if answer.status_code == 416 or (resumes and not goes_on):
                    part.unlink(missing_ok=True)
                    raise _PassingError(f"the server can't go on from byte {here}")
                here = here if resumes else 0
                length = answer.headers.get("Content-Length", "")
                size = here + int(length) if re.fullmatch(r"\d{1,18}", length) else None
                with part.open("ab" if resumes else "wb") as out:
                    for piece in self._pieces(answer):
                        here += out.write(piece)
                        if here > largest:
                            part.unlink()
                            raise DownloadError(f"{file.name}: {file.url} sends over {largest:,} bytes")
                        if received:
                            received(here, size)
        except (requests.RequestException, HTTPError) as error:
            raise _PassingError(f"the connection failed ({error})") from error

    def _answer(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        """Return the answer to a request before its body; a thread that can be left behind waits for it."""
        box: queue.SimpleQueue[requests.Response | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                box.put(self.session.get(url, headers=headers, stream=True, timeout=TIMEOUT))
            except Exception as error:
                box.put(error)

        threading.Thread(target=ask, daemon=True).start()
        try:
            answer = box.get(timeout=ANSWER)
        except queue.Empty:
            raise _PassingError(f"the server does not answer within {ANSWER} s") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _pieces(self, answer: requests.Response) -> Iterator[bytes]:
        since, came = time.monotonic(), 0
        while piece := answer.raw.read1(CHUNK, decode_content=True):
            if self.stop.is_set():
                raise CancelledError
            came += len(piece)
            yield piece
            if (taken := time.monotonic() - since) > TIMEOUT[1]:
                if came < SLOWEST * taken:
                    raise _PassingError(f"the server sends {came / taken:,.0f} bytes per second")
                since, came = time.monotonic(), 0


def _refuse(answer: requests.Response, file: File) -> None:
    """Raise the error that an answer without a file stands for."""
    reason = f"the server answers {answer.status_code} {answer.reason}"
    if answer.status_code != 429 and answer.status_code < 500:
        raise DownloadError(f"{file.name}: {file.url}: {reason}")
    after = 0.0
    with suppress(HTTPError, ValueError, OverflowError):  # no number and no date, or none that a clock has
        after = float(Retry().get_retry_after(answer.raw) or after)
    raise _PassingError(reason, after)


def _flat(name: str) -> str:
    return quote(name, safe="")


def _right(path: Path, digest: str | None) -> bool:
    return path.is_file() and bool(hash_matches(path, digest))


def _check_name(name: str, origin: str) -> None:
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or re.search(r"[\\:\x00-\x1f\ud800-\udfff]", name):
        raise DownloadError(
            f"{origin} names a file {name!r}; only names below the corpus's folder are taken, so nothing of it was"
        )


def listing(source: Dataverse, client: Client) -> list[File]:
    """Return the ``.wav`` files that a Dataverse lists for a data set.

    Raises:
        DownloadError: The list can't be downloaded, is not a list, names a file outside the corpus's folder, or has no
            ``.wav``.
    """
    query = f"api/datasets/:persistentId/versions/:latest/files?persistentId={source.doi}"
    address = f"{source.server}/{query}"
    page = client.fetch(File("list of files", address, None))
    try:
        files = [_listed(entry, source.server) for entry in json.loads(page.read_text(encoding="utf-8"))["data"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DownloadError(f"{address} sends no list of files with their digests: {error!a:.200}") from error
    finally:
        page.unlink()
    files = [file for file in files if file.name.lower().endswith(".wav")]
    names = set()
    for file in files:
        _check_name(file.name, address)
        if any(part.startswith(".") for part in PurePosixPath(file.name).parts) or file.name in names:
            raise DownloadError(f"{address} lists {file.name!a} twice, or hidden, so nothing of it was taken")
        names.add(file.name)
    if not files:
        raise DownloadError(f"{address} lists no .wav files")
    return files


def _listed(entry: Mapping[str, Any], server: str) -> File:
    data = entry["dataFile"]
    checksum = data.get("checksum") or {"type": "MD5", "value": data["md5"]}
    folder, name, number = entry.get("directoryLabel"), data["filename"], data["id"]
    algorithm, digest = checksum["type"].lower().replace("-", ""), checksum["value"]
    if algorithm not in CHECKSUMS or not re.fullmatch(
        f"[0-9a-fA-F]{{{2 * hashlib.new(algorithm).digest_size}}}", digest
    ):
        raise ValueError(f"{algorithm} {digest} is no checksum")
    if not isinstance(number, int) or not isinstance(name, str) or not isinstance(folder, str | None):
        raise TypeError(f"id {number}, filename {name}, directoryLabel {folder}")
    return File(
        f"{folder}/{name}" if folder else name, f"{server}/api/access/datafile/{number}", f"{algorithm}:{digest}"
    )


def unpack(archive: Path, clips: Mapping[str, str], to: Path, parts: Path) -> list[str]:
    """Extract ``clips`` from a zip, in any of its folders.

    Args:
        archive: The zip; nothing is extracted if a name in it leads out of its folder.
        clips: SHA-256 by name; nothing else is extracted.
        to: Folder of the corpus.
        parts: Folder of a clip until it is complete and verified.

    Returns:
        Failures with their reasons.
    """
    wrong: list[str] = []
    try:
        with ZipFile(archive) as zipped:
            members = _members(zipped, clips)
            for name, digest in clips.items():
                if (reason := _unpack(zipped, members.get(name), digest, to / name, parts)) is not None:
                    wrong.append(f"{name}: {reason}")
    except (*BROKEN, DownloadError) as error:
        return [str(error)]
    except OSError as error:
        if error.errno != errno.EINVAL:  # an error of the disk, not of a position before the zip's first byte
            raise
        return [f"{archive.name} is broken ({error})"]
    return wrong


BROKEN = (BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError)
"""Exceptions of ``zipfile`` for broken zips; a ``RuntimeError`` where a password is needed."""


def _unpack(zipped: ZipFile, member: ZipInfo | None, digest: str, target: Path, parts: Path) -> str | None:
    if member is None:
        return "is not in the zip"
    if member.file_size > LARGEST_FILE:
        return f"would take {member.file_size:,} bytes, and a clip has {LARGEST_FILE:,} at most"
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return f"is packed by method {member.compress_type}, and those of zips of corpora are 0 and 8"
    part = parts / f"{_flat(target.name)}.part"
    try:
        if member.header_offset < 0:
            raise BadZipFile("it begins before the zip does")
        with zipped.open(member) as packed, part.open("wb") as out:
            shutil.copyfileobj(packed, out)
        if not _right(part, digest):
            return f"the zip has other bytes than the corpus (expected {digest})"
        _place(part, target)
    except BROKEN as error:
        return f"is broken in the zip ({error})"
    finally:
        part.unlink(missing_ok=True)
    return None


def _members(zipped: ZipFile, clips: Mapping[str, str]) -> dict[str, ZipInfo]:
    found = {}
    for member in zipped.infolist():
        _check_name(member.filename, str(zipped.filename))
        parts = PurePosixPath(member.filename).parts
        for first in range(len(parts)):
            tail = "/".join(parts[first:])
            if tail in clips:
                found[tail] = member
    return found


def _place(part: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)


def download(source: Source, to: Path, *, jobs: int = 8, wait: float = 1.0, progress: Progress | None = None) -> int:
    """Get the missing and broken files of a corpus.

    Args:
        source: Source of the files.
        to: Folder of the corpus.
        jobs: Number of files at once.
        wait: Seconds before the second try of a file; twice as many before each further one.
        progress: Display of the progress.

    Returns:
        Number of new files.

    Raises:
        DownloadError: Some files can't be downloaded; the message lists them, and the others are there. Or another
            download fills the folder.
        OSError: The folder can't be written to.
    """
    pooch.get_logger().setLevel("WARNING")
    to.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(to / LOCK, timeout=0):
            try:
                return _download(source, to, jobs, wait, progress or Progress(disable=True))
            finally:
                with suppress(OSError):  # they are not empty, or gone
                    (to / LOCK).unlink()
                    (to / PARTS).rmdir()
                    to.rmdir()
    except Timeout as error:
        raise DownloadError(
            f"another download into {to} is running: wait until it has ended, or give another folder"
        ) from error


def _download(source: Source, to: Path, jobs: int, wait: float, progress: Progress) -> int:
    parts = to / PARTS
    parts.mkdir(exist_ok=True)
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(pool_maxsize=jobs))
        client = Client(session, parts, wait)
        if isinstance(source, Archive):
            new = _download_archive(source, to, client, jobs, progress)
        else:
            files = listing(source, client) if isinstance(source, Dataverse) else source.files
            new = _download_files(files, to, client, jobs, progress)
    shutil.rmtree(parts)
    return new


def _missing(files: Iterable[tuple[str, str | None]], to: Path, jobs: int, progress: Progress) -> set[str]:
    digests = dict(files)
    task = progress.add_task("checking what is there", total=len(digests))
    missing = set()
    pool = ThreadPoolExecutor(jobs)
    try:
        rights = pool.map(lambda name: _right(to / name, digests[name]), digests)
        for name, right in zip(digests, rights, strict=True):
            if not right:
                missing.add(name)
            progress.advance(task)
    finally:
        pool.shutdown(cancel_futures=True)
    return missing


def _download_files(files: Sequence[File], to: Path, client: Client, jobs: int, progress: Progress) -> int:
    names = _missing(((file.name, file.digest) for file in files), to, jobs, progress)
    missing = [file for file in files if file.name in names]
    task = progress.add_task(f"downloading {len(missing)} files", total=len(missing))
    failures: list[str] = []
    tried = in_a_row = 0
    with closing(_fetched(missing, to, client, jobs)) as ended:
        for error in ended:
            tried += 1
            in_a_row = 0 if error is None else in_a_row + 1
            if error is not None:
                failures.append(str(error))
            progress.advance(task)
            if in_a_row == GIVE_UP:
                break
    if failures:
        raise DownloadError(*_lines(failures, len(missing) - tried))
    return len(missing)


def _fetched(files: Sequence[File], to: Path, client: Client, jobs: int) -> Generator[DownloadError | None, None, None]:
    """Get files and put them in their places; yield for each, as it ends, the reason of its failure, or None.

    When it is closed, threads that wait for a server are left behind after ``GRACE`` seconds.

    Raises:
        BaseException: Anything else went wrong, such as a full disk.
    """
    todo: queue.SimpleQueue[File] = queue.SimpleQueue()
    done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    for file in files:
        todo.put(file)

    def work() -> None:
        with suppress(queue.Empty):
            while not client.stop.is_set():
                file = todo.get_nowait()
                try:
                    _place(client.fetch(file), to / file.name)
                    done.put(None)
                except BaseException as error:
                    done.put(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(jobs, len(files)))]
    try:
        for thread in threads:
            thread.start()
        for _ in files:
            ended = done.get()
            if ended is not None and not isinstance(ended, DownloadError):
                raise ended
            yield ended
    finally:
        client.stop.set()
        deadline = time.monotonic() + GRACE
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))


def _download_archive(source: Archive, to: Path, client: Client, jobs: int, progress: Progress) -> int:
    missing = _missing(source.clips.items(), to, jobs, progress)
    if not missing:
        return 0
    wanted = {name: digest for name, digest in source.clips.items() if name in missing}
    task = progress.add_task(f"downloading {source.archive.name}", total=None)
    failures: list[str] = []
    # Where the zip's own digest is not known, wrong clips may mean that the download is damaged.
    for _ in range(2 if source.archive.digest is None else 1):
        archive = client.fetch(
            source.archive, lambda here, size: progress.update(task, completed=here, total=size), LARGEST_ARCHIVE
        )
        failures = unpack(archive, wanted, to, client.parts)
        archive.unlink()
        if not failures:
            return len(wanted)
    raise DownloadError(*_lines([f"{failure}, {source.archive.url}" for failure in failures], 0))


def _lines(failures: Sequence[str], untried: int) -> list[str]:
    lines = [f"could not be had ({len(failures)}):", *failures[:SHOWN]]
    if len(failures) > SHOWN:
        lines.append(f"and {len(failures) - SHOWN} more")
    if untried:
        lines.append(f"{untried} more were not tried, after {GIVE_UP} failures in a row")
    return lines
