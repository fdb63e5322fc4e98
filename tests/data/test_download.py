"""Downloads, from a server in this process that behaves as servers do."""

import hashlib
import io
import json
import os
import signal
import sys
import tempfile
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from ser.commands import download as script
from ser.data.corpora import FACTS, HOMES, sources
from ser.data.corpora.sources import SOURCES, Archive, Dataverse, File, Files
from ser.data.download import (
    GIVE_UP,
    GRACE,
    LARGEST_FILE,
    LOCK,
    PARTS,
    PATIENCE,
    Client,
    DownloadError,
    download,
    unpack,
)
from ser.errors import UserError

WAIT = 0.001


class Site(ThreadingHTTPServer):
    """Serves ``files``; ``script`` has what it does instead, answer by answer, the last one ever after.

    An answer is ``whole``, ``break`` (half of what was asked for), ``no range`` (the whole, whatever was asked for),
    ``break, no range``, ``shifted`` (another range than asked for), ``wrong`` (other bytes), ``drip`` (a byte now and
    then), ``drip the head``, ``for ever`` (no end), a status, or a status and its Retry-After.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.script: dict[str, list[str | int | tuple[int, str]]] = {}
        self.asked: dict[str, list[str | None]] = defaultdict(list)
        self.meeting: threading.Barrier | None = None
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.over = threading.Event()

    def corpus(self, count: int = 5) -> Files:
        for number in range(count):
            self.files[f"/clips/{number}.wav"] = f"a clip{number:02}".encode() * 16_384
        files = [
            File(f"{int(Path(path).stem) % 2}/{Path(path).name}", self.url + path, hashlib.sha256(body).hexdigest())
            for path, body in self.files.items()
        ]
        return Files(tuple(files))

    def archive(self, members: dict[str, bytes], clips: dict[str, bytes], digest: bool = False) -> Archive:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as zipped:
            for name, body in members.items():
                zipped.writestr(name, body)
        self.files["/all.zip"] = packed.getvalue()
        known = f"md5:{hashlib.md5(packed.getvalue()).hexdigest()}" if digest else None
        kept = {name: hashlib.sha256(body).hexdigest() for name, body in clips.items()}
        return Archive(File("all.zip", f"{self.url}/all.zip", known), kept)


class Handler(BaseHTTPRequestHandler):
    server: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site = self.server
        with site.lock:
            site.asked[self.path].append(self.headers.get("Range"))
            todo = site.script.get(self.path, ["whole"])
            act = todo.pop(0) if len(todo) > 1 else todo[0]
            site.now += 1
            site.most = max(site.most, site.now)
        try:
            if site.meeting:
                site.meeting.wait(timeout=30)
            self.answer(act)
        finally:
            with site.lock:
                site.now -= 1

    def answer(self, act: str | int | tuple[int, str]) -> None:
        body = self.server.files.get(self.path)
        status, after = act if isinstance(act, tuple) else (act, None)
        if isinstance(status, int) or body is None:
            self.send_response(status if isinstance(status, int) else 404)
            if after is not None:
                self.send_header("Retry-After", after)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if "drip" in status or status == "for ever":
            self.stream(status)
            return
        if status == "wrong":
            body = b"?" * len(body)
        asked = None if "no range" in status else self.headers.get("Range")
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if asked and first >= len(body):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if status == "shifted" and asked:
            first -= 1
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body) - first))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        self.wfile.write(body[first : (first + len(body)) // 2] if "break" in status else body[first:])
        self.close_connection = "break" in status

    def stream(self, status: str) -> None:
        self.close_connection = True
        head = b"HTTP/1.1 200 OK\r\n" + (b"" if status == "drip the head" else b"\r\n")
        piece, pause = (b"a" * 65_536, 0.0) if status == "for ever" else (b"a", 0.02)
        with suppress(OSError):  # who asked has gone
            self.wfile.write(head)
            while not self.server.over.wait(pause):
                self.wfile.write(piece)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def wanted(site: Site) -> dict[str, bytes]:
    return {f"{int(Path(path).stem) % 2}/{Path(path).name}": body for path, body in site.files.items()}


def test_files_come_whole_and_a_second_run_asks_for_nothing(site: Site, tmp_path: Path) -> None:
    source = site.corpus()
    assert download(source, tmp_path / "corpus", wait=WAIT) == 5
    assert tree(tmp_path / "corpus") == wanted(site)
    assert not (tmp_path / "corpus" / PARTS).exists()
    site.asked.clear()
    assert download(source, tmp_path / "corpus", wait=WAIT) == 0
    assert site.asked == {}


def test_a_second_run_gets_what_is_missing_or_was_altered(site: Site, tmp_path: Path) -> None:
    source = site.corpus()
    download(source, tmp_path, wait=WAIT)
    site.asked.clear()
    (tmp_path / "0/2.wav").unlink()
    (tmp_path / "1/3.wav").write_bytes(b"!" + site.files["/clips/3.wav"][1:])
    assert download(source, tmp_path, wait=WAIT) == 2
    assert set(site.asked) == {"/clips/2.wav", "/clips/3.wav"}
    assert tree(tmp_path) == wanted(site)


@pytest.mark.parametrize(
    ("answers", "ranges"),
    [
        (["break", "whole"], [0, 1 / 2]),
        (["break", "break", "whole"], [0, 1 / 2, 3 / 4]),
        (["break", "no range"], [0, 1 / 2]),
        (["break, no range", "break, no range", "whole"], [0, 1 / 2, 1 / 2]),
        (["break", "shifted", "whole"], [0, 1 / 2, 0]),
        (["wrong", "whole"], [0, 0]),
        ([500, 503, "whole"], [0, 0, 0]),
        (["break", 502, "whole"], [0, 1 / 2, 1 / 2]),
        ([(429, "0"), "whole"], [0, 0]),
        ([(503, "soon"), "whole"], [0, 0]),
        ([(503, "9" * 5000), "whole"], [0, 0]),
    ],
)
def test_passing_trouble_is_overcome(site: Site, tmp_path: Path, answers: list, ranges: list[float]) -> None:
    source = site.corpus(1)
    site.script["/clips/0.wav"] = answers
    assert download(source, tmp_path, wait=WAIT) == 1
    assert tree(tmp_path) == wanted(site)
    size = len(site.files["/clips/0.wav"])
    assert site.asked["/clips/0.wav"] == [f"bytes={round(size * part)}-" if part else None for part in ranges]


@pytest.mark.parametrize(
    ("answer", "reason", "asked"),
    [
        (404, "404 Not Found", 1),
        (403, "403 Forbidden", 1),
        ("wrong", "sends other bytes", 2),
        (500, "500 Internal Server Error, 5 times", 5),
        ((429, str(PATIENCE + 1)), f"come again in {PATIENCE + 1} s", 1),
        ((429, "9" * 300), "the server asks to come again in ", 1),
    ],
)
def test_what_can_not_be_had_is_named_and_the_rest_is_there(
    site: Site, tmp_path: Path, answer: str | int, reason: str, asked: int
) -> None:
    source = site.corpus()
    site.script["/clips/1.wav"] = [answer]
    with pytest.raises(UserError) as caught:
        download(source, tmp_path, wait=WAIT)
    (line,) = str(caught.value).splitlines()[1:]
    assert line.strip().startswith("1/1.wav")
    assert f"{site.url}/clips/1.wav" in line
    assert reason in line
    assert len(site.asked["/clips/1.wav"]) == asked
    left = wanted(site)
    del left["1/1.wav"]
    assert tree(tmp_path) == left
    assert not (tmp_path / PARTS).exists()


def test_what_was_broken_off_for_good_is_gone_on_with_by_the_next_run(site: Site, tmp_path: Path) -> None:
    source = site.corpus(1)
    size = len(site.files["/clips/0.wav"])
    site.script["/clips/0.wav"] = ["break", 500, 500, 500, 500, "whole"]
    with pytest.raises(DownloadError):
        download(source, tmp_path, wait=WAIT)
    (part,) = tree(tmp_path).values()
    assert part == site.files["/clips/0.wav"][: size // 2]
    assert all(path.startswith(f"{PARTS}/") for path in tree(tmp_path))
    site.asked.clear()
    download(source, tmp_path, wait=WAIT)
    assert site.asked["/clips/0.wav"] == [f"bytes={size // 2}-"]
    assert tree(tmp_path) == wanted(site)


@pytest.mark.parametrize("extra", [b"", b"more"], ids=["as long", "longer"])
def test_a_left_part_that_is_too_long_or_wrong_is_not_used(site: Site, tmp_path: Path, extra: bytes) -> None:
    source = site.corpus(1)
    (tmp_path / PARTS).mkdir()
    (tmp_path / PARTS / "0%2F0.wav.part").write_bytes(site.files["/clips/0.wav"] + extra)
    assert download(source, tmp_path, wait=WAIT) == 1
    assert tree(tmp_path) == wanted(site)
    (tmp_path / "0/0.wav").unlink()
    (tmp_path / PARTS).mkdir()
    (tmp_path / PARTS / "0%2F0.wav.part").write_bytes(b"wrong")
    (tmp_path / PARTS / "of another release.part").write_bytes(b"left")
    assert download(source, tmp_path, wait=WAIT) == 1
    assert tree(tmp_path) == wanted(site)


@pytest.mark.parametrize(
    ("answers", "left"),
    [
        (["break", "whole"], b""),
        (["break", "no range"], b""),
        (["break", "shifted", "whole"], b""),
        (["whole"], b"a clip00" * 16_384),
    ],
)
def test_without_a_digest_too_what_comes_is_whole(site: Site, tmp_path: Path, answers: list, left: bytes) -> None:
    body = site.corpus(1) and site.files["/clips/0.wav"]
    site.script["/clips/0.wav"] = answers
    (tmp_path / "0.wav.part").write_bytes(left)
    told: list[tuple[int, int | None]] = []
    with requests.Session() as session:
        client = Client(session, tmp_path, wait=WAIT)
        path = client.fetch(File("0.wav", f"{site.url}/clips/0.wav", None), lambda *now: told.append(now))
    assert path.read_bytes() == body
    assert told[-1] == (len(body), len(body))
    assert {size for _, size in told} == {len(body)}


def test_waits_grow_and_the_server_may_ask_for_longer_ones(site: Site, tmp_path: Path) -> None:
    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return False

    waits: list[float | None] = []
    (file,) = site.corpus(1).files
    site.script["/clips/0.wav"] = [500, (429, "7"), 500, (503, "1"), "whole"]
    with requests.Session() as session:
        Client(session, tmp_path, wait=1.0, stop=Stop()).fetch(file)
    assert waits == [1, 7, 4, 8]


def test_an_unreachable_server_is_not_tried_for_every_file(site: Site, tmp_path: Path) -> None:
    source = site.corpus(100)
    for path in site.files:
        site.script[path] = [404]
    with pytest.raises(DownloadError) as caught:
        download(source, tmp_path / "corpus", jobs=2, wait=WAIT)
    assert f"{100 - GIVE_UP} more were not tried" in str(caught.value)
    assert len(site.asked) < GIVE_UP + 10
    assert not (tmp_path / "corpus").exists(), "an empty folder would be taken for the corpus"


def test_many_failures_between_others_end_nothing(site: Site, tmp_path: Path) -> None:
    source = site.corpus(3 * GIVE_UP)
    site.script = {path: [404] for path in site.files if int(Path(path).stem) % 2}
    with pytest.raises(DownloadError) as caught:
        download(source, tmp_path, jobs=1, wait=WAIT)
    assert f"could not be had ({3 * GIVE_UP // 2})" in str(caught.value)
    assert "not tried" not in str(caught.value)
    assert len(site.asked) == 3 * GIVE_UP


def test_no_server_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with Site() as closed:
        source = closed.corpus(1)
    with pytest.raises(DownloadError, match=r"0/0\.wav: http://127\.0\.0\.1.*the connection failed"):
        download(source, tmp_path, wait=WAIT)


def test_so_many_files_at_once_as_jobs(site: Site, tmp_path: Path) -> None:
    source = site.corpus(12)
    site.meeting = threading.Barrier(4)
    assert download(source, tmp_path, jobs=4, wait=WAIT) == 12
    assert site.most == 4
    assert all(len(ranges) == 1 for ranges in site.asked.values())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("drip", r"the server sends \d+ bytes per second, 2 times"),
        ("drip the head", r"the server does not answer within 0\.1 s, 2 times"),
        ("for ever", r"sends over 16,777,216 bytes"),
    ],
)
def test_a_server_that_would_never_end_is_given_up(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, reason: str
) -> None:
    for name, value in {"TIMEOUT": (10, 0.2), "ANSWER": 0.1, "TRIES": 2}.items():
        monkeypatch.setattr(f"ser.data.download.{name}", value)
    source = site.corpus(2)
    site.script["/clips/0.wav"] = [answer]
    with pytest.raises(DownloadError, match=rf"0/0\.wav: .*{reason}"):
        download(source, tmp_path, wait=WAIT)
    assert (tmp_path / "1/1.wav").is_file()


@pytest.mark.parametrize("answer", ["drip", "drip the head"])
def test_ctrl_c_waits_for_no_server(site: Site, tmp_path: Path, answer: str) -> None:
    source = site.corpus(3)
    site.script["/clips/1.wav"] = [answer]
    pressed = []

    def press() -> None:
        others = [tmp_path / "0/0.wav", tmp_path / "0/2.wav"]
        end = time.monotonic() + 60
        while not (site.asked["/clips/1.wav"] and all(path.is_file() for path in others)) and time.monotonic() < end:
            time.sleep(0.01)
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        download(source, tmp_path, wait=WAIT)
    assert time.monotonic() - pressed[0] < GRACE + 2
    assert not (tmp_path / LOCK).exists()
    site.over.set()
    site.script.clear()
    site.over.clear()
    assert download(source, tmp_path, wait=WAIT) == 1


def test_two_downloads_into_one_folder_do_not_meet(site: Site, tmp_path: Path) -> None:
    source = site.corpus(2)
    site.script["/clips/1.wav"] = ["drip"]
    first = threading.Thread(target=download, args=(source, tmp_path), kwargs={"wait": WAIT})
    first.start()
    while not site.asked["/clips/1.wav"]:
        time.sleep(0.01)
    with pytest.raises(DownloadError, match=r"another download into .* is running"):
        download(source, tmp_path, wait=WAIT)
    assert list((tmp_path / PARTS).glob("*")), "what the first one has is left to it"
    site.over.set()
    site.script["/clips/1.wav"] = ["whole"]
    first.join(30)
    assert download(source, tmp_path, wait=WAIT) == 0
    assert tree(tmp_path) == wanted(site)


CLIPS = {"Actor_01/a.wav": b"first", "Actor_02/b.wav": b"second"}


@pytest.mark.parametrize("above", ["", "corpus/"])
@pytest.mark.parametrize("digest", [True, False])
def test_a_zip_gives_its_clips_and_is_removed(site: Site, tmp_path: Path, above: str, digest: bool) -> None:
    members = {above + name: body for name, body in CLIPS.items()} | {"readme.txt": b"no clip", "Actor_03/c.wav": b"?"}
    source = site.archive(members, CLIPS, digest)
    site.script["/all.zip"] = ["break", "whole"]
    assert download(source, tmp_path, wait=WAIT) == 2
    assert tree(tmp_path) == CLIPS
    assert download(source, tmp_path, wait=WAIT) == 0
    assert len(site.asked["/all.zip"]) == 2
    (tmp_path / "Actor_01/a.wav").write_bytes(b"fir")
    assert download(source, tmp_path, wait=WAIT) == 1
    assert tree(tmp_path) == CLIPS


@pytest.mark.parametrize("digest", [True, False])
def test_bad_members_of_a_zip_are_named_and_the_rest_is_there(site: Site, tmp_path: Path, digest: bool) -> None:
    clips = CLIPS | {"missing.wav": b"third", "broken.wav": b"fourth"}
    source = site.archive(CLIPS | {"Actor_01/a.wav": b"other", "broken.wav": b"fourth"}, clips)
    body = site.files["/all.zip"].replace(b"fourth", b"Fourth", 1)  # its CRC is not right any more
    known = f"md5:{hashlib.md5(body).hexdigest()}" if digest else None
    site.files["/all.zip"] = body
    source = Archive(File("all.zip", source.archive.url, known), source.clips)
    with pytest.raises(DownloadError) as caught:
        download(source, tmp_path, wait=WAIT)
    message = str(caught.value)
    assert "Actor_01/a.wav: the zip has other bytes" in message
    assert "broken.wav: is broken in the zip" in message
    assert "missing.wav: is not in the zip" in message
    assert source.archive.url in message
    assert tree(tmp_path) == {"Actor_02/b.wav": b"second"}
    assert len(site.asked["/all.zip"]) == (1 if digest else 2)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_zip_bomb_is_refused_before_it_is_unpacked(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: int
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as zipped:
        zipped.writestr("Actor_01/a.wav", bytes(LARGEST_FILE + 1) if method == zipfile.ZIP_DEFLATED else b"first")
        zipped.writestr("Actor_02/b.wav", b"second", zipfile.ZIP_STORED)
    source = site.archive({}, CLIPS)
    site.files["/all.zip"] = packed.getvalue()
    opened: list[str] = []
    original = zipfile.ZipFile.open
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *args: opened.append(args[1].filename) or original(*args))
    told = "would take 16,777,217 bytes" if method == zipfile.ZIP_DEFLATED else f"is packed by method {method}"
    with pytest.raises(DownloadError, match=rf"Actor_01/a\.wav: {told}"):
        download(source, tmp_path, wait=WAIT)
    assert set(opened) == {"Actor_02/b.wav"}
    assert tree(tmp_path) == {"Actor_02/b.wav": b"second"}


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_damaged_zip_ends_in_reasons(data: st.DataObject) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, body in CLIPS.items():
            zipped.writestr(name, body)
    damaged = bytearray(packed.getvalue())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(damaged)))] if data.draw(st.booleans()) else damaged
    with tempfile.TemporaryDirectory() as temporary:
        (folder := Path(temporary) / PARTS).mkdir()
        (folder / "all.zip").write_bytes(damaged)
        clips = {name: hashlib.sha256(body).hexdigest() for name, body in CLIPS.items()}
        wrong = unpack(folder / "all.zip", clips, folder.parent, folder)
        assert all(isinstance(reason, str) for reason in wrong)
        assert all(body == CLIPS[name] for name, body in tree(folder.parent).items() if name in CLIPS)


@pytest.mark.parametrize("name", ["../Actor_01/a.wav", "/Actor_01/a.wav", "x/../../Actor_01/a.wav", "..\\evil.wav"])
def test_a_zip_that_leads_out_of_its_folder_is_refused(site: Site, tmp_path: Path, name: str) -> None:
    source = site.archive(CLIPS | {name: b"first"}, CLIPS)
    with pytest.raises(DownloadError, match="only names below the corpus's folder"):
        download(source, tmp_path / "corpus", wait=WAIT)
    assert tree(tmp_path) == {}


def test_a_zip_that_came_wrong_is_got_once_more(site: Site, tmp_path: Path) -> None:
    source = site.archive(CLIPS, CLIPS)
    site.script["/all.zip"] = ["wrong", "whole"]
    assert download(source, tmp_path, wait=WAIT) == 2
    assert tree(tmp_path) == CLIPS
    (tmp_path / "Actor_01/a.wav").unlink()
    site.script["/all.zip"] = ["wrong"]
    with pytest.raises(DownloadError, match=r"not a zip file, http://127.*all\.zip"):
        download(source, tmp_path, wait=WAIT)
    assert tree(tmp_path) == {"Actor_02/b.wav": b"second"}


LISTING = "/api/datasets/:persistentId/versions/:latest/files?persistentId=doi:10.1/A"


def listed(number: object, name: object, body: bytes, **more: object) -> dict[str, object]:
    return {**more, "dataFile": {"id": number, "filename": name, "md5": hashlib.md5(body).hexdigest()}}


def checked(kind: object, value: object) -> dict[str, object]:
    return {"dataFile": {"id": 1, "filename": "a.wav", "checksum": {"type": kind, "value": value}}}


def test_a_dataverse_gives_the_wav_files_that_it_lists(site: Site, tmp_path: Path) -> None:
    checksum = {"type": "SHA-1", "value": hashlib.sha1(b"second").hexdigest()}
    entries = [
        listed(1, "a.wav", b"first"),
        {"directoryLabel": "Old", "dataFile": {"id": 2, "filename": "b.WAV", "checksum": checksum}},
        listed(3, "readme.txt", b"no clip"),
    ]
    site.files = {LISTING: json.dumps({"status": "OK", "data": entries}).encode()}
    site.files |= {"/api/access/datafile/1": b"first", "/api/access/datafile/2": b"second"}
    source = Dataverse(site.url, "doi:10.1/A")
    site.script["/api/access/datafile/1"] = ["wrong", "whole"]
    assert download(source, tmp_path, wait=WAIT) == 2
    assert tree(tmp_path) == {"a.wav": b"first", "Old/b.WAV": b"second"}
    (tmp_path / "a.wav").unlink()
    site.asked.clear()
    assert download(source, tmp_path, wait=WAIT) == 1
    assert set(site.asked) == {LISTING, "/api/access/datafile/1"}


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (b"<html>", "sends no list of files"),
        (b'{"data": [{"dataFile": {"id": 1, "filename": "a.wav"}}]}', "sends no list of files"),
        (json.dumps({"data": [listed(1, "a.txt", b"")]}).encode(), r"lists no \.wav"),
        (json.dumps({"data": [listed(1, "../a.wav", b"")]}).encode(), "only names below the corpus's folder"),
        (json.dumps({"data": [listed(1, "a.wav", b"", directoryLabel="..")]}).encode(), "only names below"),
        (b"[" * 100_000, "sends no list of files"),
        (b"\xff", "sends no list of files"),
        (b'{"data": 5}', "sends no list of files"),
        (b'{"data": [[]]}', "sends no list of files"),
        (json.dumps({"data": [listed(1, 5, b"")]}).encode(), "sends no list of files"),
        (json.dumps({"data": [listed(1, None, b"")]}).encode(), "sends no list of files"),
        (json.dumps({"data": [listed([], "a.wav", b"")]}).encode(), "sends no list of files"),
        (json.dumps({"data": [listed(1, "a.wav", b"", directoryLabel=3)]}).encode(), "sends no list of files"),
        (json.dumps({"data": [checked("CRC32", "0" * 8)]}).encode(), "sends no list of files"),
        (json.dumps({"data": [checked("MD5", "0" * 31)]}).encode(), "sends no list of files"),
        (json.dumps({"data": [checked("MD5", 7)]}).encode(), "sends no list of files"),
        (json.dumps({"data": [checked(["MD5"], "0" * 32)]}).encode(), "sends no list of files"),
        (json.dumps({"data": [listed(i, "a.wav", b"") for i in (1, 2)]}).encode(), "lists 'a.wav' twice, or hidden"),
        (json.dumps({"data": [listed(1, ".partial/a.wav", b"")]}).encode(), "twice, or hidden"),
        (json.dumps({"data": [listed(1, "a\0.wav", b"")]}).encode(), "only names below"),
        (json.dumps({"data": [listed(1, "\ud800.wav", b"")]}).encode(), "only names below"),
        (None, "404 Not Found"),
    ],
)
def test_a_dataverse_without_a_useful_list_is_an_error(
    site: Site, tmp_path: Path, page: bytes | None, reason: str
) -> None:
    site.files = {} if page is None else {LISTING: page}
    with pytest.raises(DownloadError, match=reason) as caught:
        download(Dataverse(site.url, "doi:10.1/A"), tmp_path / "corpus", wait=WAIT)
    assert site.url + LISTING in str(caught.value)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [
        ("crema_d", 7442, "1001_DFA_ANG_XX.wav"),
        ("ravdess", 1440, "Actor_01/03-01-01-01-01-01-01.wav"),
        ("emodb", 535, "03a01Fa.wav"),
    ],
)
def test_digests_are_whole(name: str, count: int, first: str) -> None:
    digests = sources.digests(name)
    assert len(digests) == count
    assert min(digests) == first
    assert all(len(digest) == 64 and set(digest) <= set("0123456789abcdef") for digest in digests.values())


def test_addresses_are_those_of_the_publishers() -> None:
    crema_d = sources.crema_d()
    repository = "githubusercontent.com/{}CheyneyComputerScience/CREMA-D/master"
    addresses = {file.name: file.url for file in crema_d.files}
    assert len(addresses) == 7442 + 2
    clip = "1001_DFA_ANG_XX.wav"
    assert addresses[clip] == f"https://media.{repository.format('media/')}/AudioWAV/{clip}"
    votes = "tabulatedVotes.csv"
    assert addresses[votes] == f"https://raw.{repository.format('')}/processedResults/{votes}"
    assert addresses["VideoDemographics.csv"] == f"https://raw.{repository.format('')}/VideoDemographics.csv"
    assert sources.ravdess().archive.url == "https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip"
    assert sources.emodb().archive.url == "http://emodb.bilderbar.info/download/download.zip"
    assert sources.tess() == Dataverse("https://borealisdata.ca", "doi:10.5683/SP2/E8H2MF")


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["download.py", *words])
    script.main()


@pytest.mark.parametrize(
    ("words", "place", "hint"),
    [
        ([], "data/emodb", "dataset=emodb"),
        (["--to", "mine", "--jobs", "2"], "mine", "dataset=emodb dataset.root=mine"),
    ],
)
def test_the_command_puts_a_corpus_where_training_finds_it(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    place: str,
    hint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SER_DATA", raising=False)
    source = site.corpus()
    monkeypatch.setitem(SOURCES, "emodb", lambda: source)
    run(monkeypatch, "emodb", *words)
    assert tree(tmp_path / place) == wanted(site)
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == f"emodb: {FACTS['emodb'].licence}; {HOMES['emodb']}"
    assert last == f"emodb is complete in {place}, 5 files are new; train on it: python train.py {hint}"


def test_the_command_goes_by_ser_data(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SER_DATA", str(tmp_path / "corpora"))
    source = site.corpus(1)
    monkeypatch.setitem(SOURCES, "emodb", lambda: source)
    run(monkeypatch, "emodb")
    assert tree(tmp_path / "corpora/emodb") == wanted(site)


def test_the_command_ends_with_status_1_and_a_list(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = site.corpus()
    monkeypatch.setitem(SOURCES, "emodb", lambda: source)
    site.script = {"/clips/1.wav": [404], "/clips/2.wav": ["wrong"]}
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, "emodb", "--to", str(tmp_path / "mine"))
    first, *lines, last = str(caught.value.code).splitlines()
    assert first == f"emodb is not complete in {tmp_path / 'mine'}: could not be had (2):"
    assert sorted(line.split(":")[0].strip() for line in lines) == ["0/2.wav", "1/1.wav"]
    assert last == "The same command again gets only what is missing."


def test_the_command_tells_of_a_folder_that_can_not_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match=r"is not complete in .*Not a directory"):
        run(monkeypatch, "emodb", "--to", str(tmp_path / "file/emodb"))


@pytest.mark.parametrize("name", ["savee", "iemocap"])
def test_what_is_not_free_is_to_be_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SER_DATA", raising=False)
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, name)
    for words in (HOMES[name], str(Path("data") / name), f"python train.py dataset={name} dataset.root="):
        assert words in str(caught.value.code)


@pytest.mark.parametrize("words", [["nothing"], ["emodb", "--jobs", "0"]])
def test_wrong_choices_are_told(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, *words)
    assert caught.value.code == 2
    assert words[-1] in capsys.readouterr().err
