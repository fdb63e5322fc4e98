import json
import sys
from pathlib import Path

import pytest
import torch

from ser.commands import export
from ser.evaluation.calibration import UNCALIBRATED
from ser.features import FeatureConfig, Frontend
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
