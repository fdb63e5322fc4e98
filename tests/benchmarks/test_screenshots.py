import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from lightning.pytorch.loggers import TensorBoardLogger

from benchmarks import screenshots
from ser.errors import UserError

FOUND = next(filter(None, map(shutil.which, screenshots.BROWSERS)), None)


@pytest.fixture
def logged(tmp_path: Path) -> Path:
    """A folder with a run of TensorBoard in it."""
    logger = TensorBoardLogger(tmp_path / "outputs", "logs", "")
    for step in range(3):
        logger.experiment.add_scalar("train/loss", 1 / (step + 1), step)
        logger.experiment.add_scalar("val/loss", 2 / (step + 1), step)
        logger.experiment.add_text("run/config", "seed: 1", step)
    logger.finalize("success")
    return tmp_path / "outputs"


@pytest.mark.skipif(FOUND is None, reason="no Chromium or Chrome on PATH")
def test_a_tab_is_pictured_and_everything_is_ended(logged: Path, tmp_path: Path) -> None:
    script = Path(screenshots.__file__)
    words = [logged, "--out", tmp_path / "out", "--tabs", "scalars", "text", "--size", "900", "700"]
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, check=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"scalars.png", "text.png"}
    for name in ("scalars", "text"):
        png = (tmp_path / "out" / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG")
        assert struct.unpack(">II", png[16:24]) == (900, 700)
        assert len(png) > 10_000, "an empty page is smaller"
        assert re.search(rf"{name}.png: \d+ kB", done.stdout)
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(logged) not in running


@pytest.mark.skipif(FOUND is None, reason="no Chromium or Chrome on PATH")
def test_a_tab_that_stays_empty_is_an_error(logged: Path, tmp_path: Path) -> None:
    assert FOUND is not None
    with pytest.raises(UserError, match="tab graphs stayed empty for 8 seconds"):
        screenshots.photograph(logged, tmp_path / "out", ["graphs"], FOUND, patience=8)


def test_no_browser_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no browser on PATH .*--browser="):
        screenshots.find_browser(None)
    with pytest.raises(UserError, match="--browser=/no/such is no program"):
        screenshots.find_browser("/no/such")


def test_a_program_that_is_no_browser_is_told(logged: Path, tmp_path: Path) -> None:
    program = shutil.which("true")
    assert program is not None
    with pytest.raises(UserError, match="did not start"), screenshots.browser(program, 100, 100):
        pass


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run of TensorBoard"):
        screenshots.photograph(tmp_path, tmp_path / "out", ["scalars"], "no browser is started")


def test_tensorboard_is_served_on_a_port_of_this_machine(logged: Path) -> None:
    with screenshots.tensorboard(logged, 60) as address:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
