import subprocess
import sys
from pathlib import Path

from ser.cache import cached

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/cache.py"


def called(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True, check=False)


def test_entries_are_listed_and_cleared(tmp_path: Path) -> None:
    for kind, about in (
        ("waveforms", {"clips": 7442, "sample_rate": 16_000}),
        ("features", {"clips": 12, "sample_rate": 8_000, "names": ["energy", "zcr"]}),
    ):
        cached(tmp_path, kind, about, lambda folder: (folder / "x").write_bytes(bytes(2_000_000)) and None)
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
