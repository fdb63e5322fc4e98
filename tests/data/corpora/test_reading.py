import ast
import os
from contextlib import suppress
from pathlib import Path

import pytest

from ser.data.corpora import clip as clip_module
from ser.data.corpora import reading
from ser.data.corpora.clip import SUFFIXES, Clip, list_files, sound_files, telling
from ser.data.corpora.reading import read_by_name
from tests.data.corpora.tester import touch


def found_in(root: Path) -> tuple[list[str], list[str]]:
    """The sound files below a folder, and what is said of the others."""
    notes: list[str] = []
    with telling(notes.append):
        names = [path.relative_to(root).as_posix() for path in sound_files(root)]
    return names, notes


def test_sound_in_every_format_is_found_and_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{suffix[1:]}{suffix}" for suffix in SUFFIXES), "a.m4a", "B.M4A", "c.webm", "d.mp4", "e.txt")
    names, (note,) = found_in(tmp_path)
    assert names == sorted(f"{suffix[1:]}{suffix}" for suffix in SUFFIXES)
    assert {".w64", ".caf", ".au", ".snd", ".sph", ".oga", ".aifc", ".rf64", ".mp2"} <= set(SUFFIXES)
    assert note.startswith("left out 4 files that libsndfile does not read (2 .m4a, 1 .mp4, 1 .webm), such as B.M4A in")
    assert note.endswith("ffmpeg -i FILE FILE.wav converts one")


def test_links_to_folders_are_followed_and_loops_passed_over(tmp_path: Path) -> None:
    root = touch(tmp_path / "root", "b/1.wav")
    touch(tmp_path / "elsewhere", "2.wav", "deep/3.wav")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "a").symlink_to(root / "b")
    (root / "b" / "up").symlink_to(root)
    (tmp_path / "elsewhere" / "deep" / "round").symlink_to(tmp_path / "elsewhere")
    (root / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    names, (note,) = found_in(root)
    assert names == ["b/1.wav", "gone.wav", "linked/2.wav", "linked/deep/3.wav"]
    assert note.startswith("3 links lead to folders that are read anyway, and were passed over: ")


def test_what_is_no_file_is_passed_over_and_said(tmp_path: Path) -> None:
    touch(tmp_path, "1.wav")
    os.mkfifo(tmp_path / "2.wav")
    names, (note,) = found_in(tmp_path)
    assert names == ["1.wav"]
    assert note == f"1 are neither files nor folders, and were passed over: {tmp_path / '2.wav'}"


def test_a_folder_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "good/1.wav", "locked/2.wav")
    list_folder = Path.iterdir

    def iterdir(path: Path) -> object:
        if path.name == "locked":  # whoever runs the tests may be allowed everything
            raise PermissionError(13, "Permission denied")
        return list_folder(path)

    monkeypatch.setattr(clip_module.Path, "iterdir", iterdir)
    names, (note,) = found_in(tmp_path)
    assert names == ["good/1.wav"]
    assert note == f"1 folders can't be read: {tmp_path / 'locked'} (Permission denied)"
    with telling(lambda _: None):
        assert [path.name for path in list_files(tmp_path).folders] == ["good", "locked"]


def parse(path: Path) -> Clip | None:
    return Clip(path.stem, path, "sad") if path.stem.isdecimal() else None


def test_clips_of_a_corpus_that_cannot_be_read_are_not_lost(tmp_path: Path) -> None:
    touch(tmp_path, "1.wav", "1.m4a", "1.flv", "2.m4a", "3.flv", "notes.m4a", "trailer.flv")
    notes: list[str] = []
    with telling(notes.append):
        clips = read_by_name(tmp_path, parse, corpus="X", example="1.wav", home="nowhere")
    assert [clip.path.name for clip in clips] == ["1.wav", "2.m4a"]
    assert notes[0].startswith("left out 1 files that libsndfile does not read (1 .flv), such as 3.flv")
    assert notes[1].startswith("left out 1 sound files that are not named as X names them, such as 'notes.m4a'")
    assert len(notes) == 2


def test_what_is_told_is_told_every_time_and_whatever_happens(tmp_path: Path) -> None:
    touch(tmp_path, "1.m4a")
    notes: list[str] = []
    for _ in range(2):
        with suppress(RuntimeError), telling(notes.append):
            list(sound_files(tmp_path))
            raise RuntimeError
    assert len(notes) == 2


MODULES = sorted(Path(reading.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_no_reader_is_longer_than_40_lines(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            described = len((ast.get_docstring(node, clean=False) or "").splitlines())
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno + 1 - described <= 40, f"{node.name} in {module.name}"
