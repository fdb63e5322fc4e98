import json
import re
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from ser.commands import export
from ser.evaluation.calibration import UNCALIBRATED
from ser.features import FeatureConfig, Frontend
from ser.inference import page
from ser.models import NETWORKS
from ser.recognizer import Recognizer


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Recognizer:
    """What the script loads, whatever checkpoint is named."""
    config = FeatureConfig(names=["energy"])
    frontend = Frontend(config, 32_000)
    recognizer = Recognizer(NETWORKS["cnn1d"](frontend.input_shape, 2), frontend, ["happy", "[sad]"], 16_000)
    monkeypatch.setattr(Recognizer, "load", lambda path: recognizer)
    return recognizer


def test_script_writes_the_file_and_tells_what_it_takes(
    trained: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.pt2"
    monkeypatch.setattr(sys, "argv", ["export.py", "best.ckpt", str(path)])
    export.main()
    printed = capsys.readouterr().out
    assert "16000 Hz" in printed
    assert "probabilities of happy, [sad]" in printed
    assert "differ by 0 at most" in printed
    assert UNCALIBRATED in printed
    kept = {"ser.json": ""}
    torch.export.load(path, extra_files=kept)
    assert json.loads(kept["ser.json"])["labels"] == ["happy", "[sad]"]


def test_a_name_without_a_suffix_is_a_folder_with_a_page(
    trained: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript")
    runtime = tmp_path / "dist"
    runtime.mkdir()
    for name in page.RUNTIME_FILES:
        (runtime / name).write_bytes(b"runtime")
    monkeypatch.setattr(page, "RUNTIME_FILES", dict.fromkeys(page.RUNTIME_FILES, sha256(b"runtime").hexdigest()))
    monkeypatch.setattr(sys, "argv", ["export.py", "best.ckpt", f"{tmp_path}/page/", "--runtime", str(runtime)])
    export.main()
    assert "serve the folder with ser demo" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "page").iterdir()} == {*page.PAGE_FILES} - {"voice.onnx"}
    written = (tmp_path / "page/index.html").read_text("utf-8")
    (facts,) = re.findall(r'<script type="application/json" id="facts">(.*)</script>', written)
    assert json.loads(facts)["labels"] == ["happy", "[sad]"]


def test_a_runtime_is_for_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["export.py", "best.ckpt", "model.onnx", "--runtime", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        export.main()


@pytest.mark.parametrize(
    ("checkpoint", "file", "words"),
    [("nowhere.ckpt", "model.pt2", "nowhere.ckpt is not a checkpoint"), ("best.ckpt", "model.h5", "must end in .onnx")],
)
def test_bad_words_end_in_a_sentence(
    checkpoint: str,
    file: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if checkpoint == "best.ckpt":
        request.getfixturevalue("trained")
    monkeypatch.setattr(sys, "argv", ["export.py", str(tmp_path / checkpoint), str(tmp_path / file)])
    with pytest.raises(SystemExit, match=rf"^error: .*{words}"):
        export.main()
    assert not list(tmp_path.iterdir())


def test_the_checkpoint_is_not_written_over(
    trained: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "best.ckpt").write_bytes(b"weights")
    (tmp_path / "model.pt2").hardlink_to(tmp_path / "best.ckpt")
    monkeypatch.setattr(sys, "argv", ["export.py", str(tmp_path / "best.ckpt"), str(tmp_path / "model.pt2")])
    with pytest.raises(SystemExit, match=r"error: the file to write, .*model\.pt2 is one of the files to read"):
        export.main()
    assert (tmp_path / "best.ckpt").read_bytes() == b"weights"
