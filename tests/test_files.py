import errno
import os
from pathlib import Path

import pytest

from ser.errors import UserError
from ser.files import (
    HELD_FOR_US,
    UNFINISHED,
    InUseError,
    WriteError,
    as_path,
    check_writable,
    claim,
    file_error,
    refuse_overwriting,
    remove_unfinished,
    replacing,
)
from tests.helpers import locked_elsewhere


def test_a_file_is_replaced_as_the_block_ends_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    path.write_text("old")
    with replacing(path) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old"
        assert unfinished.parent == path.parent, "a move to another disk would not be one step"
        assert unfinished.suffix == path.suffix, "figures are saved by it"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_it_is_on_the_disk_before_it_takes_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("fsync"), fsync(file)))
    monkeypatch.setattr(Path, "replace", lambda path, target: (done.append("replace"), replace(path, target))[1])
    with replacing(tmp_path / "kept.txt") as unfinished:
        unfinished.write_text("new")
    assert done == ["fsync", "replace"]


@pytest.mark.parametrize("blow", [RuntimeError("a bug"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_what_was_there_stays_when_writing_fails(tmp_path: Path, blow: BaseException) -> None:
    path = tmp_path / "kept.txt"
    path.write_text("old")
    expected = WriteError if isinstance(blow, OSError) else type(blow)

    def write() -> None:
        with replacing(path) as unfinished:
            unfinished.write_text("ha")
            raise blow

    with pytest.raises(expected) as caught:
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    if expected is WriteError:
        assert str(caught.value) == f"{path} can't be written: No space left"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    with pytest.raises(WriteError, match=r"kept\.txt can't be written: No space left on device"), replacing(path):
        Path("/dev/full").write_text("anything")
    assert not path.exists()


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = tmp_path / "checkpoints" / "last.ckpt"
    kept.parent.mkdir()
    kept.touch()
    for left in (kept.with_name(f"{UNFINISHED}last.ckpt"), tmp_path / f"{UNFINISHED}metrics.json"):
        left.write_text("half")
    other = tmp_path / "another run" / "checkpoints" / f"{UNFINISHED}last.ckpt"
    other.parent.mkdir(parents=True)
    other.touch()
    remove_unfinished(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted([kept, other])


def test_a_folder_is_of_one_process_alone_as_long_as_that_lives(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "run"
    with locked_elsewhere(folder), pytest.raises(InUseError, match=f"another run is at work in {folder}: wait"):
        claim(folder)
    with claim(folder), claim(folder):  # a process that has it may take it again
        pass
    with locked_elsewhere(folder):
        HELD_FOR_US.add(folder.resolve())
        with claim(folder):
            HELD_FOR_US.clear()


def test_a_disk_that_can_not_lock_is_told_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with (
        pytest.warns(UserWarning, match=r"can't be locked \(No locks available\): start no other run"),
        claim(tmp_path),
    ):
        pass


def test_a_folder_is_made_and_tried(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.rglob("*")) == [tmp_path / "a", tmp_path / "a" / "b"]
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        check_writable(tmp_path / "file")
    with pytest.raises(OSError, match="proc"):
        check_writable(Path("/proc"))


def raised_from(cause: BaseException, error: BaseException) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def test_the_file_that_an_error_comes_from_is_found_under_what_libraries_make_of_it(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    named = OSError(errno.EROFS, "Read-only file system", "/run/x.csv")
    told = f"a file in {tmp_path}: No space left on device"
    assert file_error(raised_from(full, ValueError("you tried to log 1.0")), tmp_path) == told
    assert file_error(full, tmp_path) == told
    assert file_error(named, tmp_path) == "/run/x.csv: Read-only file system"
    own = WriteError("last.ckpt can't be written: No space left on device")
    assert file_error(raised_from(own, full), tmp_path) == str(own), "the logger failed after the checkpoint did"
    for other in (
        ValueError("a bug"),
        KeyboardInterrupt(),
        raised_from(full, UserError("clip.wav can't be read")),
        raised_from(full, SystemExit(1)),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
    ):
        assert file_error(other, tmp_path) is None


def test_a_path_is_understood_as_it_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a b").mkdir()
    for name in ("a b/c.wav", "a b/%41#?.wav", "x\\y.wav", "~"):
        (tmp_path / name).touch()
    assert as_path("a b\\c.wav") == Path("a b/c.wav")
    assert as_path("x\\y.wav") == Path("x\\y.wav"), "there is one of that very name"
    assert as_path("~/a b/c.wav") == tmp_path / "a b/c.wav"
    assert as_path("~") == Path("~")
    for name in ("a b/c.wav", "a b/%41#?.wav"):
        for text in ((tmp_path / name).as_uri(), f"file://{tmp_path / name}", f"FILE://localhost{tmp_path / name}"):
            assert as_path(text) == as_path(Path(text)) == tmp_path / name
    for text in ("gone.wav", "C:\\clips\\a.wav", "http://x/a.wav", "a\0b", ""):
        assert as_path(text) == Path(text)


def test_what_is_read_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "link").symlink_to("a")
    refuse_overwriting([("--one", tmp_path / "b"), ("--two", None), ("--three", tmp_path / "c")], [tmp_path / "a"])
    for other in (tmp_path / "link", tmp_path / "." / "a"):
        with pytest.raises(UserError, match=f"--one {other} is one of the files to read.* and would be lost"):
            refuse_overwriting([("--one", other)], [tmp_path / "gone", tmp_path / "a"])
    with pytest.raises(UserError, match="--two and --one are one file"):
        refuse_overwriting([("--one", tmp_path / "b"), ("--two", tmp_path / "x" / ".." / "b")], [])
