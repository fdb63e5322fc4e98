"""What every command says to bad input: a sentence, never a traceback, and what was written before stays whole."""

import csv
import importlib
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
from hydra.core.global_hydra import GlobalHydra

import ser.commands._explore
import ser.commands._predict
import ser.results
import ser.train
from ser.config import compose_words
from ser.evaluation import read_answers
from ser.files import WriteError
from ser.recognizer import Answer, Recognizer
from ser.train import run

RATE = 16_000

EMOTIONS = {"anger": 900, "happy": 500, "sad": 200}

TINY = (
    "features=energy_zcr", "features.hop_length=200", "features.frame_length=512", "model=cnn1d", "logger=csv",
    "datamodule.batch_size=8", "trainer.max_epochs=1", "trainer.accelerator=cpu", "figure_every_n_epochs=0",
    "trainer.enable_progress_bar=false", "split.val=0.2",
)  # fmt: skip


class Ended(NamedTuple):
    status: int
    out: str
    err: str


Ask = Callable[..., Ended]


def write_clips(folder: Path, takes: int, emotions: tuple[str, ...] = tuple(EMOTIONS)) -> Path:
    """Noisy tones of a third of a second, a folder an emotion."""
    rng = np.random.default_rng(0)
    for emotion in emotions:
        (folder / emotion).mkdir(parents=True)
        for take in range(takes):
            tone = 0.3 * np.sin(2 * np.pi * EMOTIONS[emotion] * np.arange(RATE // 3) / RATE)
            noisy = tone + 0.1 * rng.standard_normal(len(tone))
            soundfile.write(folder / emotion / f"{take}.wav", noisy, RATE)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, its corpus, and bad things of all kinds."""
    root = tmp_path_factory.mktemp("place")
    write_clips(root / "clips", 12)
    for fold in (0, 1):
        words = f"dataset=folder dataset.root={root / 'clips'}"
        words += f" split=kfold split.by=clip split.folds=2 split.fold={fold}"
        with ser.results.console.capture():
            run(compose_words([*TINY, *words.split()]), root / f"runs/{fold}", ["python", "train.py", *words.split()])
    (root / "best.ckpt").write_bytes((root / "runs/0/checkpoints/best.ckpt").read_bytes())
    (root / "good.wav").write_bytes((root / "clips/sad/0.wav").read_bytes())
    (root / "file.txt").write_text("This is no checkpoint.\n")
    (root / "empty").write_bytes(b"")
    (root / "folder").mkdir()
    (root / "cut.ckpt").write_bytes((root / "best.ckpt").read_bytes()[:5000])
    write_clips(root / "one_clip", 1, ("sad",))
    write_clips(root / "one_class", 6, ("sad",))
    write_clips(root / "a_clip_each", 1)
    for clip in write_clips(root / "broken_clips", 12).rglob("*.wav"):
        clip.write_bytes(b"RIFF")
    for name, text in tables().items():
        (root / name).write_bytes(text)
    for name, part in (("half", 0.5), ("none", 0.0)):
        whole = (root / "runs/0/metrics.json").read_bytes()
        (root / f"sweep_{name}/0").mkdir(parents=True)
        (root / f"sweep_{name}/0/metrics.json").write_bytes(whole[: int(part * len(whole))])
    (root / "others").mkdir()
    (root / "others/metrics.json").write_text('{"accuracy": 0.9}')
    for name, broken in (("bad_config", "config.yaml"), ("bad_answers", "predictions.csv")):
        (root / name).mkdir()
        for kept in ("config.yaml", "predictions.csv", "metrics.json"):
            (root / name / kept).write_bytes((root / "runs/0" / kept).read_bytes())
        (root / name / broken).write_bytes(b"split: [\n\0\xff")
    (root / "crema").mkdir()
    (root / "crema/1001_DFA_ANG_XX.wav").write_bytes((root / "good.wav").read_bytes())
    (root / "crema/VideoDemographics.csv").write_bytes(b"ActorID,Age,Sex,Race,Ethnicity\n1001,\xb2,Male,x,y\n")
    return root


def tables() -> dict[str, bytes]:
    """Manifests that can't be used."""
    rows = "clips/sad/0.wav,sad\nclips/happy/0.wav,happy\n"
    return {
        "separators.csv": f"path;emotion\n{rows}".encode(),
        "latin.csv": "path,emotion\nclips/sad/0.wav,tristé\n".encode("latin-1"),
        "utf16.csv": f"path,emotion\n{rows}".encode("utf-16-le"),
        "no_rows.csv": b"path,emotion\n",
        "no_head.csv": rows.encode(),
        "twice.csv": f"path,emotion\n{rows}{rows}".encode(),
        "two_columns.csv": b"path,emotion,emotion\nclips/sad/0.wav,sad,\n",
        "long_cell.csv": b"path,emotion\nclips/sad/0.wav," + b"x" * 1_000_000 + b"\n",
        "zero.csv": b"path,emotion\nclips/\0.wav,sad\n",
        "nobody.csv": b"path,emotion\n~nobody_of_that_name/x.wav,sad\n",
        "age.csv": b"path,emotion,age\nclips/sad/0.wav,sad," + b"9" * 5000 + b"\n",
        "quote.csv": b'path,emotion\n"clips/sad/0.wav,sad\n',
        "gone.csv": b"path,emotion\ngone/0.wav,sad\ngone/1.wav,happy\n",
    }


@pytest.fixture
def ask(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Ask:
    """``ask("predict", *words, listed="")`` → how the command ends; ``@`` in a word is the folder of bad things."""

    def do(command: str, *words: str, listed: str = "") -> Ended:
        monkeypatch.chdir(tmp_path)
        main = ser.train.main if command == "train" else importlib.import_module(f"ser.commands.{command}").main
        monkeypatch.setattr(sys, "argv", [f"{command}.py", *(word.replace("@", str(place)) for word in words)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(listed))
        GlobalHydra.instance().clear()
        for console in (ser.commands._predict.console, ser.commands._explore.console, ser.results.console):
            monkeypatch.setattr(console, "quiet", False)  # rich is quiet for good once nobody listens
        capfd.readouterr()
        try:
            main()
            code: int | str | None = 0
        except SystemExit as end:
            code = end.code
        printed = capfd.readouterr()
        if isinstance(code, str):  # Python prints it and ends with 1
            return Ended(1, printed.out, f"{printed.err}{code}\n")
        return Ended(code or 0, printed.out, printed.err)

    return do


BAD = {
    "predict": [
        ("@/missing.ckpt @/good.wav", "missing.ckpt"),
        ("@/folder @/good.wav", "no tested checkpoint"),
        ("@/empty @/good.wav", "empty"),
        ("@/file.txt @/good.wav", "not a checkpoint"),
        ("@/cut.ckpt @/good.wav", "not a checkpoint"),
        ("@/runs/0/metrics.json @/good.wav", "not a checkpoint"),
        ("@/best.ckpt @/missing.wav", "missing.wav"),
        ("@/best.ckpt @/best.ckpt", "can't be read"),
        ("@/best.ckpt @/empty", "can't be read"),
        ("@/best.ckpt @/folder", "no sound file"),
        ("@/best.ckpt @/folder/*.wav", "matches no file"),
        ("@/best.ckpt -", "no file"),
        ("@/best.ckpt @/good.wav --csv @/file.txt/answers.csv", "answers.csv"),
        ("@/best.ckpt @/good.wav --jsonl @/folder", "folder"),
        ("@/best.ckpt @/good.wav --batch-size 0", "batch-size"),
        ("@/best.ckpt @/good.wav --batch-size many", "invalid int"),
        ("@/best.ckpt @/good.wav --abstain 2", "between 0 and 1"),
        ("@/best.ckpt @/good.wav --abstain nan", "between 0 and 1"),
        ("@/best.ckpt @/good.wav --device nonsense", "device=nonsense can't be used"),
        ("@/best.ckpt @/good.wav --device cuda:99", "device"),
        ("@/best.ckpt @/good.wav --timeline --window nan", "window"),
        ("@/best.ckpt @/good.wav --timeline --window 1e300", "window"),
        ("@/best.ckpt @/good.wav --timeline --hop -1", "hop"),
        ("@/best.ckpt @/good.wav --timeline --picture @/file.txt/a.png", "a.png"),
        ("@/best.ckpt @/missing.wav --timeline", "missing.wav"),
        ("@/best.ckpt @/file.txt --timeline", "can't be read"),
    ],
    "evaluate": [
        ("@/missing.ckpt dataset=demo", "missing.ckpt"),
        ("@/file.txt dataset=demo", "not a checkpoint"),
        ("@/best.ckpt dataset=nonsense", "nonsense"),
        ("@/best.ckpt nonsense", "nonsense"),
        ("@/best.ckpt dataset=demo --device nonsense", "device=nonsense can't be used"),
        ("@/best.ckpt dataset=[demo,tess]", "one choice"),
        ("@/best.ckpt dataset=folder dataset.root=@/missing", "missing"),
        ("@/best.ckpt dataset=folder dataset.root=@/broken_clips", "no clip of these can be used"),
        ("@/best.ckpt dataset=folder dataset.root=@/clips --out @/file.txt/out", "file.txt"),
        ("@/best.ckpt dataset=folder dataset.root=@/clips split=kfold split.fold=9 --side test", "fold"),
        ("@/best.ckpt dataset=folder dataset.root=@/clips labels.keep=[sad]", "at least two"),
    ],
    "explore": [
        ("dataset=folder dataset.root=@/missing", "missing"),
        ("dataset=folder dataset.root=@/file.txt", "file.txt"),
        ("dataset=folder dataset.root=@/folder", "sub-folders"),
        ("dataset=folder dataset.root=@/one_class", "sub-folders"),
        ("dataset=folder dataset.root=@/clips --clip boredom", "boredom"),
        ("dataset=folder dataset.root=@/clips --at x", "invalid int"),
        ("dataset=folder dataset.root=@/clips --out @/file.txt/out", "file.txt"),
        ("dataset=folder dataset.root=@/clips features.sample_rate=0", "sample_rate"),
        ("dataset=folder dataset.root=@/clips features.sample_rate=x", "sample_rate"),
        ("dataset=crema_d dataset.root=@/crema", "VideoDemographics.csv"),
        ("dataset=crema_d dataset.root=@/clips", "CREMA-D"),
        ("dataset=iemocap dataset.root=@/clips", "IEMOCAP"),
        ("dataset=pattern dataset.root=@/clips", "dataset.pattern="),
        ("dataset=pattern dataset.root=@/clips dataset.pattern=sad", "no group (?P<emotion>"),
        ("dataset=manifest dataset.root=@/folder", "can't be read"),
        ("dataset=manifest dataset.root=@/good.wav", "good.wav"),
        *((f"dataset=manifest dataset.root=@/{name}", name) for name in tables() if name != "gone.csv"),
    ],
    "train": [
        ("dataset=folder dataset.root=@/missing", "missing"),
        ("dataset=folder dataset.root=@/one_clip", "sub-folders"),
        ("dataset=folder dataset.root=@/one_class", "sub-folders"),
        ("dataset=folder dataset.root=@/a_clip_each", "clips"),
        ("dataset=folder dataset.root=@/broken_clips", "no usable clip"),
        ("dataset=manifest dataset.root=@/gone.csv", "clips"),
        ("dataset=folder dataset.root=@/clips ckpt_path=@/file.txt", "file.txt"),
        ("dataset=folder dataset.root=@/clips ckpt_path=@/missing", "missing"),
        ("dataset=folder dataset.root=@/clips hydra.run.dir=@/file.txt/run", "file.txt"),
        ("dataset=folder dataset.root=@/clips hydra.run.dir=@/sweep_half/0", "other choices"),
        ("dataset=folder dataset.root=@/clips nonsense=1", "nonsense"),
        ("dataset=folder dataset.root=@/clips trainer.max_epochs=many", "max_epochs"),
        ("dataset=folder dataset.root=@/clips trainer.max_epochs=0", "max_epochs"),
        ("dataset=folder dataset.root=@/clips trainer.max_epochs=-7", "max_epochs"),
        ("dataset=folder dataset.root=@/clips trainer.accelerator=nonsense", "accelerator"),
        ("dataset=folder dataset.root=@/clips trainer.devices=0", "devices"),
        ("dataset=folder dataset.root=@/clips trainer.precision=7", "precision"),
        ("dataset=folder dataset.root=@/clips datamodule.batch_size=0", "batch_size"),
        ("dataset=folder dataset.root=@/clips datamodule.batch_size=x", "batch_size"),
        ("dataset=folder dataset.root=@/clips datamodule.max_seconds=-1", "max_seconds"),
        ("dataset=folder dataset.root=@/clips datamodule.max_seconds=x", "max_seconds"),
        ("dataset=folder dataset.root=@/clips features.n_fft=0 features=mel model=cnn2d", "n_fft"),
        ("dataset=folder dataset.root=@/clips features.hop_length=0", "hop_length"),
        ("dataset=folder dataset.root=@/clips features.hop_length=x", "hop_length"),
        ("dataset=folder dataset.root=@/clips features.sample_rate=-1", "sample_rate"),
        ("dataset=folder dataset.root=@/clips model.learning_rate=x", "learning_rate"),
        ("dataset=folder dataset.root=@/clips model.dropout=7", "dropout"),
        ("dataset=folder dataset.root=@/clips split.test=7", "split.test"),
        ("dataset=folder dataset.root=@/clips split.test=x", "split.test"),
        ("dataset=folder dataset.root=@/clips split=speaker", "speaker"),
        ("dataset=folder dataset.root=@/clips seed=x", "seed"),
        ("dataset=folder dataset.root=@/clips seed=-1", "seed"),
        ("dataset=folder dataset.root=@/clips early_stopping_patience=x", "early_stopping_patience"),
        ("dataset=folder dataset.root=@/clips -m hydra.sweep.dir=@/file.txt/sweep", "file.txt"),
        ("dataset=folder dataset.root=@/clips -m datamodule.batch_size=0,-1", "batch_size"),
    ],
    "leaderboard": [
        ("@/missing", "no metrics.json"),
        ("@/folder", "no metrics.json"),
        ("@/empty", "empty"),
        ("@/good.wav", "good.wav"),
        ("@/sweep_half", "metrics.json"),
        ("@/sweep_none", "metrics.json"),
        ("@/others", "metrics.json"),
        ("@/runs --out @/file.txt/out", "file.txt"),
        ("@/runs/0 @/bad_config", "two runs"),
    ],
    "pool": [
        ("@/missing", "no metrics.json"),
        ("@/sweep_half", "metrics.json"),
        ("@/others", "metrics.json"),
        ("@/runs/0", "missing"),
        ("@/runs --out @/file.txt/out", "file.txt"),
        ("@/bad_config @/runs/1", "config.yaml"),
        ("@/bad_answers @/runs/1", "predictions.csv"),
    ],
    "compare": [
        ("@/missing @/runs/0", "missing"),
        ("@/runs/0 @/bad_answers", "predictions.csv"),
        ("@/runs/0 @/runs/1", "different clips"),
        ("@/good.wav @/runs/0", "good.wav"),
        ("@/runs/0 @/runs/0 --json @/file.txt/a.json", "file.txt"),
    ],
    "export": [
        ("@/missing @/model.onnx", "missing"),
        ("@/file.txt @/model.onnx", "not a checkpoint"),
        ("@/best.ckpt @/model.xyz", "must end in"),
        ("@/best.ckpt @/file.txt/model.pt2", "file.txt"),
    ],
    "download": [
        ("nonsense", "invalid choice"),
        ("emodb --to @/file.txt/emodb", "file.txt"),
        ("emodb --jobs 0", "--jobs"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "words", "told"),
    [
        pytest.param(command, words, told, id=f"{command} {words}")
        for command, cases in BAD.items()
        for words, told in cases
    ],
)
def test_bad_input_ends_with_a_sentence(ask: Ask, command: str, words: str, told: str) -> None:
    ended = ask(command, *(TINY if command == "train" and "model=" not in words else ()), *words.split())
    assert ended.status != 0
    assert told in ended.out + ended.err
    assert "Traceback" not in ended.out + ended.err


ODD_NAMES = [
    b"two\nlines.wav",
    b"'single' \"double\".wav",
    b"not utf-8 \xff\xe9.wav",
    "emoji 😀.wav".encode(),
    b"[red]markup[bold].wav",
    b"a, comma; and so on.wav",
    b"-starts with a dash.wav",
]


@pytest.fixture(scope="module")
def odd(place: Path) -> Path:
    """A corpus whose files and one emotion have odd names, one of them not UTF-8."""
    root = place / "odd"
    for emotion, source in (('[x] "quoted"\nemotion', "sad"), ("happy 😀", "happy")):
        (root / emotion).mkdir(parents=True)
        for take, name in enumerate(ODD_NAMES):
            target = os.path.join(os.fsencode(root / emotion), name)  # noqa: PTH118  (bytes)
            os.symlink(place / f"clips/{source}/{take}.wav", target)  # noqa: PTH211  (bytes)
    return root


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def test_odd_names_are_answered_and_written(ask: Ask, odd: Path, tmp_path: Path) -> None:
    assert ask("predict", "@/best.ckpt", str(odd)).status == 0
    assert ask("predict", "@/best.ckpt", str(odd), "--csv", str(tmp_path / "a.csv")).status == 0
    names = {Path(row["path"]).name for row in rows(tmp_path / "a.csv")}
    assert names == {os.fsdecode(name) for name in ODD_NAMES}
    ended = ask("predict", "@/best.ckpt", str(odd), "--timeline", "--jsonl", str(tmp_path / "a.jsonl"))
    assert ended.status == 0
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    assert {Path(json.loads(line)["path"]).name for line in lines} == names


def test_a_corpus_with_a_name_that_is_not_utf_8_is_refused(ask: Ask, odd: Path) -> None:
    ended = ask("explore", "dataset=folder", f"dataset.root={odd}")
    assert ended.status == 1
    assert "\\udcff\\udce9.wav: its name is not UTF-8" in ended.err


def test_a_corpus_of_odd_names_is_trained_on_and_scored(ask: Ask, odd: Path, tmp_path: Path) -> None:
    for path in odd.rglob("*.wav"):
        if "\udcff" not in str(path):
            (tmp_path / "clips" / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, tmp_path / "clips" / path.parent.name / path.name)
    words = ["dataset=folder", f"dataset.root={tmp_path}/clips", "split=kfold", "split.by=clip", "split.folds=2"]
    cfg = compose_words([*(word for word in TINY if not word.startswith("split.val")), *words, "split.val=0.4"])
    with ser.results.console.capture():
        told = run(cfg, tmp_path / "run", ["python", "train.py", *words])
    assert told["labels"]["classes"] == sorted(folder.name for folder in odd.iterdir())
    page = (tmp_path / "run/page.html").read_text(encoding="utf-8")
    assert "[red]markup[bold].wav" in page
    assert "&#34;quoted&#34;" in page
    assert '[x] "quoted"' not in page
    ended = ask("evaluate", str(tmp_path / "run/checkpoints/best.ckpt"), *words[:2], "--out", str(tmp_path / "again"))
    assert ended.status == 0, ended.err
    assert len(rows(tmp_path / "again/predictions.csv")) == 12


@pytest.mark.parametrize("name", ["a\0b.wav", "x" * 5000, "~nobody_of_that_name/a.wav", "/dev/null", "\udcff.wav", "."])
def test_a_listed_name_that_is_no_sound_is_a_row_with_its_error(ask: Ask, place: Path, name: str) -> None:
    good = str(place / "good.wav")
    ended = ask("predict", "@/best.ckpt", "-", "--csv", "answers.csv", listed=f"{good}\n{name}\n{good}\n")
    assert ended.status == 1
    assert "2 of 3 files read" in ended.out
    assert [bool(row["error"]) for row in rows(Path("answers.csv"))] == [False, True, False]
    ended = ask("predict", "@/best.ckpt", "-", "--timeline", "--csv", "line.csv", listed=f"{name}\n{good}\n")
    assert ended.status == 1
    assert [bool(row["error"]) for row in rows(Path("line.csv"))][:2] == [True, False]


def test_what_was_answered_before_the_end_is_whole(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Recognizer.answer

    def killed_at_the_third(
        self: Recognizer, paths: list[Path], batch_size: int, voices: None, sums: object
    ) -> Iterator[Answer]:
        for place, answered in enumerate(answer(self, paths, 1)):
            if place == 3:
                raise KeyboardInterrupt
            yield answered

    monkeypatch.setattr(Recognizer, "answer", killed_at_the_third)
    files = ["@/clips/sad/0.wav", "@/file.txt", "@/clips/sad/1.wav", "@/clips/sad/2.wav"]
    assert ask("predict", "@/best.ckpt", *files, "--csv", "a.csv", "--jsonl", "a.jsonl").status == 130
    assert [bool(row["error"]) for row in rows(Path("a.csv"))] == [False, True, False]
    assert len([json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]) == 3


def test_a_manifest_with_a_byte_order_mark_is_read(ask: Ask, place: Path) -> None:
    lines = ["path,emotion", *(f"{place}/clips/{e}/{i}.wav,{e}" for e in ("sad", "happy") for i in range(12))]
    (place / "bom.csv").write_text("\r\n".join(lines), encoding="utf-8-sig")
    assert ask("explore", "dataset=manifest", "dataset.root=@/bom.csv", "--out", "explored").status == 0


def test_a_sweep_that_was_cut_off_while_it_wrote_is_told(ask: Ask, place: Path, tmp_path: Path) -> None:
    words = [*TINY, "dataset=folder", "dataset.root=@/clips", f"hydra.run.dir={tmp_path / 'run'}"]
    assert ask("train", *words).status == 0
    metrics = tmp_path / "run/metrics.json"
    assert "skipped" in ask("train", *words).out
    metrics.write_bytes(metrics.read_bytes()[:300])
    ended = ask("train", *words)
    assert ended.status == 1
    assert "metrics.json" in ended.err
    assert "Traceback" not in ended.err


def test_metrics_are_there_whole_or_not_at_all(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    write_text = Path.write_text

    def full_disk(self: Path, text: str, **options: str) -> int:
        if self.name.endswith("metrics.json"):
            write_text(self, text[:100], **options)
            raise OSError(28, "No space left on device")
        return write_text(self, text, **options)

    monkeypatch.setattr(Path, "write_text", full_disk)
    results = ser.results.RunRecord.read(place / "runs/0/metrics.json")
    answers = read_answers(place / "runs/0/predictions.csv")
    with pytest.raises(WriteError, match=r"metrics\.json can't be written: No space left on device"):
        ser.results.write(tmp_path / "run", ser.results.read_choices(place / "runs/0"), results, answers)
    assert not list((tmp_path / "run").glob("*metrics.json"))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("predict", "@/best.ckpt @/clips --csv answers.csv"),
        ("predict", "@/best.ckpt @/clips --timeline --csv answers.csv"),
        ("explore", "dataset=folder dataset.root=@/clips"),
        ("leaderboard", "@/runs --out boards"),
        ("compare", "@/runs/0 @/runs/0"),
    ],
)
def test_nobody_listens(ask: Ask, monkeypatch: pytest.MonkeyPatch, command: str, words: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        monkeypatch.setattr(sys, "__stdout__", closed)
        ended = ask(command, *words.split())
    assert ended.status == 1
    assert ended.err == ""
    if "--csv" in words:
        assert not any(row["error"] for row in rows(Path("answers.csv")))
