import csv
import resource
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ser.files import WriteError
from ser.inference.rows import RowWriter


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file can grow beyond ``size`` bytes, as on a disk that is full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def fill(table: RowWriter) -> None:
    for number in range(1000):
        table.write_row({"path": f"clips/{number}, \u00e9.wav"}, {"a": 0.25, "b": 0.75}, None)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_rows_are_whole_where_the_disk_is_full(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    with room_for(1000), closing(RowWriter(path, kind, ["path"], ["a", "b"])) as table:
        with pytest.raises(WriteError) as caught:
            fill(table)
        rows = table.rows
    assert rows > 5
    assert str(caught.value) == f"{path} can't be written: File too large; the {rows} rows before are kept"
    content = path.read_text(encoding="utf-8")
    assert content.endswith("\n")
    assert len(content.splitlines()) == rows + (kind == "csv")
    if kind == "csv":
        assert all(len(row) == 4 for row in csv.reader(content.splitlines()))


def test_a_row_is_on_its_way_to_the_disk_before_the_next(tmp_path: Path) -> None:
    with closing(RowWriter(tmp_path / "a.csv", "csv", ["path"], [])) as table:
        table.write_row({"path": "\udcff.wav"}, {}, "why")
        assert (tmp_path / "a.csv").read_bytes() == b"path,error\r\n\xff.wav,why\r\n"
