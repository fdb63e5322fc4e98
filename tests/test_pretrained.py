"""The model that comes with the package: its file, its card, and its answers about real clips."""

import hashlib
import shutil
import sys
from pathlib import Path

import pytest
import yaml

import ser.checkpoint
from ser.checkpoint import SHIPPED_FOLDER, SHIPPED_SHA256, Checkpoint, find_checkpoint
from ser.commands import predict
from ser.data.corpora import Clip
from ser.errors import UserError
from ser.recognizer import Recognizer
from ser.results import read_choices

MOST_BYTES = 3_000_000

ANSWERS = {
    "1001_ITS_NEU_XX": ("neutral", 0.9784),
    "1010_TAI_ANG_XX": ("anger", 0.9804),
    "1019_MTI_HAP_XX": ("happy", 0.9693),
    "1028_TAI_NEU_XX": ("neutral", 0.9749),
    "1037_TSI_SAD_XX": ("sad", 0.6473),
    "1046_TAI_HAP_XX": ("happy", 0.9411),
    "1056_DFA_SAD_XX": ("sad", 0.6917),
    "1065_IEO_ANG_MD": ("anger", 0.8145),
    "1074_IEO_DIS_LO": ("disgust", 0.6286),
    "1083_IOM_SAD_XX": ("sad", 0.5331),
}
"""Clip → the emotion that the shipped file answers, and its probability."""


def test_the_file_is_small_plain_data_and_the_one_that_was_measured() -> None:
    path = find_checkpoint("pretrained")
    assert path.is_relative_to(SHIPPED_FOLDER)
    assert path.stat().st_size <= MOST_BYTES
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHIPPED_SHA256
    checkpoint = Checkpoint.read(path)  # with weights_only=True
    assert not checkpoint.training
    assert len(checkpoint.seen) == 91
    assert checkpoint.labels == ["anger", "disgust", "fear", "happy", "neutral", "sad"]
    assert checkpoint.calibration is not None
    assert read_choices(SHIPPED_FOLDER)["dataset"]["name"] == "crema_d"


def test_its_card_and_licence_are_beside_it() -> None:
    card = (SHIPPED_FOLDER / "model_card.md").read_text(encoding="utf-8")
    _, front, body = card.split("---\n", 2)
    about = yaml.safe_load(front)
    assert about["pipeline_tag"] == "audio-classification"
    assert about["datasets"] == ["crema_d"]
    for word in ("Not for decisions about people", "ODbL", "91 speakers"):
        assert word in " ".join(body.split())
    page = (Path(__file__).parents[1] / "docs/model.md").read_text(encoding="utf-8")
    assert body.strip() == page.replace("[voice](voices.md)", "voice").strip()
    licence = (SHIPPED_FOLDER / "LICENSE").read_text(encoding="utf-8")
    assert "Open Database License" in licence
    assert "Cao" in licence


def test_real_clips_get_the_answers_that_they_got(real_clips: list[Clip]) -> None:
    recognizer = Recognizer.load()
    clips = {clip.name: clip for clip in real_clips}
    assert len(ANSWERS) == 10
    for name, (emotion, probability) in ANSWERS.items():
        answer = recognizer(clips[name].path)
        assert max(answer, key=lambda label: answer[label]) == emotion
        assert answer[emotion] == pytest.approx(probability, abs=2e-3)


def test_predict_without_a_model_says_whose_answer_it_is(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = corpus / "sad/00.wav"
    for words in ([str(clip)], ["pretrained", str(clip)], [str(corpus / "sad")]):
        monkeypatch.setattr(sys, "argv", ["predict.py", *words])
        with pytest.raises(SystemExit, match="0"):
            predict.main()
        screen = " ".join(capsys.readouterr().out.split())
        assert ("No model was named, so the package's own answers" in screen) == (words[0] != "pretrained")
        assert "00.wav" in screen


def test_predict_says_where_recordings_are_unlike_those_of_the_training(
    corpus: Path, real_clips: list[Clip], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    remark = "These recordings sound unlike those of the training"
    tones = sorted(map(str, corpus.glob("*/*.wav")))
    theirs = [str(clip.path) for clip in real_clips[::90]]
    for paths, said in ((tones, True), (tones[:9], False), (theirs, False)):
        monkeypatch.setattr(sys, "argv", ["predict.py", *paths])
        with pytest.raises(SystemExit, match="0"):
            predict.main()
        assert (remark in " ".join(capsys.readouterr().out.split())) is said


@pytest.mark.parametrize(
    ("word", "model"),
    [
        ("pretrained", True), ("outputs/RUN", True), ("gone.ckpt", True), ("clip.wav", False), ("clip.FLAC", False),
        ("film.mp4", False), ("-", False), ("clips/*.wav", False), ("clips/*", False), ("/dev/stdin", False),
    ],
)  # fmt: skip
def test_the_first_word_is_a_model_or_a_recording(
    word: str, model: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/a.wav").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    assert predict.is_model(word) is model
    assert predict.is_model("run")
    assert predict.is_model("empty")
    assert not predict.is_model("clips")


def test_a_damaged_or_missing_file_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(SHIPPED_FOLDER, tmp_path / "pretrained")
    monkeypatch.setattr(ser.checkpoint, "SHIPPED_FOLDER", tmp_path / "pretrained")
    path = find_checkpoint("pretrained")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"the model of this package is damaged: .* install the package again"):
        Recognizer.load()
    path.unlink()
    with pytest.raises(UserError, match=r"can't be read: .* install the package again"):
        Recognizer.load()


def test_a_folder_of_that_name_comes_first_where_the_word_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pretrained").mkdir()
    with pytest.raises(UserError, match="pretrained has no tested checkpoint"):
        Recognizer.load("pretrained")
    assert Recognizer.load().labels[0] == "anger"
