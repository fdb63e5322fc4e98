import os
import subprocess
import sys
from pathlib import Path

from ser.data.cache import cached

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/cache.py"


def called(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True, check=False)


def make(folder: Path, kind: str, about: dict[str, object]) -> Path:
    return cached(folder, kind, about, lambda entry: (entry / "x").write_bytes(bytes(2_000_000)) and None)


def test_entries_are_listed_and_cleared(tmp_path: Path) -> None:
    for kind, about in (
        ("waveforms", {"clips": 7442, "sample_rate": 16_000}),
        ("features", {"clips": 12, "sample_rate": 8_000, "names": ["energy", "zcr"]}),
    ):
        make(tmp_path, kind, about)
    shown = called(tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "7,442" in shown.stdout
    assert "energy_zcr" in shown.stdout.replace("\n", "")
    assert "2 entries, 4.0 MB" in shown.stdout
    assert "2 deleted, 4.0 MB" in called(tmp_path, "--clear").stdout
    assert "0 entries" in called(tmp_path).stdout


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    failed = called(tmp_path / "none")
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: ")
    assert "datamodule.cache=" in failed.stderr


def test_broken_entries_are_listed_and_cleared_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/about.json").write_text("{}")
    hostile = b'{"about": {"clips": 1, "sample_rate": 2, "names": ["[/b]\\u001b[31m"]}, "files": {}}'
    broken = [b"", b"{", b"[1]", b"null", b"\xff", b"[" * 100_000, b'{"about": {}, "files": {"../x": ""}}', hostile]
    for number, held in enumerate(broken):
        (make(tmp_path, "features", {"of": number}) / "about.json").write_bytes(held)
    (make(tmp_path, "features", {"of": "nothing"}) / "about.json").unlink()
    pipe = make(tmp_path, "features", {"of": "a pipe"}) / "about.json"
    pipe.unlink()
    os.mkfifo(pipe)
    (tmp_path / f"waveforms-{'0' * 20}").touch()
    (tmp_path / f"waveforms-{'1' * 20}").symlink_to(tmp_path / "nowhere")
    shown = called(tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("broken") == 11
    assert "\x1b" not in shown.stdout
    assert "12 entries, 20.1 MB" in shown.stdout
    cleared = called(tmp_path, "--clear")
    assert "12 deleted, 20.1 MB" in cleared.stdout, cleared.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [".locks", "mine"]
