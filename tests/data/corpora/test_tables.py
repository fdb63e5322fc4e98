import json
from pathlib import Path

import pytest

from ser.data.corpora.clip import CorpusError, telling
from ser.data.corpora.manifest import read
from ser.data.corpora.tables import read_rows

ROWS = [["path", "emotion"], ["a b.wav", "traurig"], ["ł.wav", "Wut, groß"]]


def rows(path: Path) -> tuple[list[list[str]], list[str]]:
    notes: list[str] = []
    with telling(notes.append):
        return [cells for _, cells in read_rows(path)], notes


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_every_separator_in_every_encoding(tmp_path: Path, separator: str, encoding: str) -> None:
    path = tmp_path / "clips.csv"
    lines = [separator.join(f'"{cell}"' for cell in row) for row in ROWS]
    path.write_bytes("".join(f"{line}\r\n" for line in lines).encode(encoding))
    read, notes = rows(path)
    assert read == ROWS
    assert notes == ([] if separator == "," else [f"{path}: its columns are separated by {separator!r}"])


def test_a_tab_in_a_tsv_goes_without_saying(tmp_path: Path) -> None:
    (tmp_path / "clips.tsv").write_text("path\temotion\na, b.wav\tsad\n")
    assert rows(tmp_path / "clips.tsv") == ([["path", "emotion"], ["a, b.wav", "sad"]], [])


def test_one_column_is_separated_by_nothing(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text("path\na.wav\n")
    assert rows(tmp_path / "clips.csv") == ([["path"], ["a.wav"]], [])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_json_lines(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "clips.jsonl"
    objects = [{"path": "a.wav", "emotion": "sad"}, {"emotion": "calm", "path": "ł.wav", "age": 34, "speaker": None}]
    path.write_bytes("\n\n".join(json.dumps(one, ensure_ascii=False) for one in objects).encode(encoding))
    assert list(read_rows(path)) == [
        (1, ["path", "emotion", "age", "speaker"]),
        (1, ["a.wav", "sad", "", ""]),
        (3, ["ł.wav", "calm", "34", ""]),
    ]
    assert [(clip.emotion, clip.age) for clip in read(path)] == [("sad", None), ("calm", 34)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2 is no JSON:"),
        ("[1]", 'line 2 is no JSON object, such as {"path": "a.wav"}: [1]'),
        ("[" * 100_000, "line 2 is no JSON:"),
    ],
)
def test_what_is_no_json_is_named_with_its_line(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "clips.jsonl"
    path.write_text(f'{{"path": "a.wav", "emotion": "sad"}}\n{line}\n')
    with pytest.raises(CorpusError) as caught:
        list(read_rows(path))
    assert f"{path}, {words}" in str(caught.value)
