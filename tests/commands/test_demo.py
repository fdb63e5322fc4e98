import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from ser.commands import demo

ROOT = Path(__file__).parents[2]


def test_a_page_is_served_until_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("a page")
    (tmp_path / "model.onnx").write_text("a model")
    words = [sys.executable, "-u", str(ROOT / "scripts/demo.py"), str(tmp_path), "--port", "0", "--no-browser"]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    line = running.stdout.readline()
    address = line.split(" at ")[1].split()[0]
    assert requests.get(address, timeout=5).text == "a page"
    os.kill(running.pid, signal.SIGINT)
    assert (running.wait(20), running.stdout.read()) == (0, "ended\n")


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["nowhere", "--port", "0"], "nowhere is not a checkpoint"),
        (["nowhere", "--port", "seventy"], "'seventy' must be a number from 0 to 65535"),
    ],
)
def test_bad_words_end_in_a_sentence(
    words: list[str], shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo.py", *words])
    with pytest.raises(SystemExit) as ended:
        demo.main()
    assert shown in f"{ended.value.code}{capsys.readouterr().err}"
