import csv
import io
import json
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
import torch
from rich.console import Console

import ser.commands._predict
import ser.results
from ser.checkpoint import Checkpoint
from ser.commands._predict import show
from ser.commands.predict import main
from ser.data.audio import SoundStream
from ser.evaluation.calibration import UNCALIBRATED, Calibration
from ser.inference.recordings import find
from ser.inference.rows import ANSWER_VALUES, RowWriter, confident_emotion, write_each
from ser.inference.timeline import Listener
from ser.recognizer import Answer, Recognizer
from ser.train import run
from tests.helpers import LABELS, QUICK, composed

ROOT = Path(__file__).parents[2]

CHOICES = ("dataset=folder", "split.val=0.2", "trainer.max_epochs=2", *QUICK)


@pytest.fixture(scope="module")
def checkpoints(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with best.ckpt, which was tested, and last.ckpt."""
    cfg = composed(*CHOICES)
    cfg["dataset"]["root"] = str(corpus)
    folder = tmp_path_factory.mktemp("run")
    with ser.results.console.capture():
        run(cfg, folder)
    return folder / "checkpoints"


@pytest.fixture(scope="module")
def recognizer(checkpoints: Path) -> Recognizer:
    return Recognizer.load(checkpoints / "best.ckpt")


class Ended(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """What is on screen, whatever its lines."""
        return " ".join(self.out.split())


Ask = Callable[..., Ended]


@pytest.fixture
def ask(checkpoints: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """``ask(*words, checkpoint="best.ckpt", listed="")`` → what the script does with ``listed`` on standard input."""

    def do(*words: str | Path, checkpoint: str | Path = "best.ckpt", listed: str = "") -> Ended:
        monkeypatch.setattr(ser.commands._predict, "console", Console(width=300))
        monkeypatch.setattr(sys, "argv", ["predict.py", str(checkpoints / checkpoint), *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(listed))
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        printed = capsys.readouterr()
        code = caught.value.code
        if isinstance(code, str):  # Python prints it and ends with 1
            return Ended(1, printed.out, printed.err + code + "\n")
        return Ended(int(code or 0), printed.out, printed.err)

    return do


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def probabilities(row: dict[str, str]) -> list[float]:
    return [float(row[f"p_{label}"]) for label in LABELS]


def cells(out: str, path: Path) -> list[str]:
    """Of the table's line about ``path``."""
    (line,) = (line for line in out.splitlines() if str(path) in line)
    return [cell.strip() for cell in line.split("│")[1:-1]]


def test_every_file_is_a_line_of_the_table(ask: Ask, corpus: Path, recognizer: Recognizer) -> None:
    one, other = corpus / "sad/03.wav", corpus / "anger/00.wav"
    ended = ask(one, other)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.index(str(one)) < ended.out.index(str(other))
    for path in (one, other):
        expected = recognizer(path)
        best = max(expected, key=lambda label: expected[label])
        assert cells(ended.out, path) == [
            str(path), best, f"{expected[best]:.3f}", *(f"{expected[label]:.3f}" for label in LABELS)
        ]  # fmt: skip
    assert "2 of 2 files read" in ended.told
    assert UNCALIBRATED not in ended.out


def test_a_csv_and_json_lines_hold_all_answers(ask: Ask, corpus: Path, recognizer: Recognizer, tmp_path: Path) -> None:
    (tmp_path / "bad, file.wav").write_text("no sound")
    files = [*sorted((corpus / "happy").iterdir()), tmp_path / "bad, file.wav", corpus / "sad/00.wav"]
    ended = ask(*files, "--csv", tmp_path / "answers.csv", "--jsonl", tmp_path / "answers.jsonl", "--batch-size", "5")
    assert ended.status == 1
    assert "│" not in ended.out
    assert "15 of 16 files read" in ended.told
    table = rows(tmp_path / "answers.csv")
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert list(table[0]) == [
        "path", "emotion", "confidence", "remarks", "p_anger", "p_happy", "p_sad", "error"
    ]  # fmt: skip
    assert [row["path"] for row in table] == [line["path"] for line in lines] == [str(file) for file in files]
    for file, row, line in zip(files, table, lines, strict=True):
        if "bad" in file.name:
            assert [row[name] for name in ("emotion", "confidence", "p_anger", "p_happy", "p_sad")] == [""] * 5
            assert set(line) == {"path", "error"}
            assert row["error"] == line["error"]
            assert str(file) in row["error"]
            continue
        expected = recognizer(file)
        assert row["error"] == ""
        assert row["emotion"] == line["emotion"] == max(expected, key=lambda label: expected[label])
        assert probabilities(row) == pytest.approx(list(expected.values()), abs=2e-6)
        assert line["probabilities"] == pytest.approx(expected, abs=1e-5)
        assert float(row["confidence"]) == pytest.approx(max(expected.values()), abs=2e-6)
        assert line["confidence"] == max(line["probabilities"].values())


def test_one_kind_of_file_is_enough(ask: Ask, corpus: Path, tmp_path: Path) -> None:
    assert ask(corpus / "sad/00.wav", "--jsonl", tmp_path / "a.jsonl").status == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_bad_files_are_listed_and_the_others_answered(ask: Ask, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "text[1].wav").write_text("no sound")
    soundfile.write(tmp_path / "short.wav", np.zeros(10), 16_000)
    bad = [tmp_path / "text[1].wav", tmp_path / "gone.wav", tmp_path / "short.wav"]
    ended = ask(bad[0], corpus / "sad/00.wav", bad[1], bad[2])
    assert ended.status == 1
    assert "Traceback" not in ended.err
    assert len(cells(ended.out, corpus / "sad/00.wav")) == 6
    for path in bad:
        (line,) = (line for line in ended.out.splitlines() if str(path) in line)
        assert line.startswith("no answer")
    assert "0.1 s is needed" in ended.out
    assert "1 of 4 files read" in ended.told


def test_nothing_but_bad_files_draws_no_table(ask: Ask, tmp_path: Path) -> None:
    ended = ask(tmp_path / "gone.wav")
    assert ended.status == 1
    assert "│" not in ended.out
    assert "0 of 1 files read" in ended.told


def test_folders_and_globs_and_the_list_come_together_in_order(ask: Ask, corpus: Path, tmp_path: Path) -> None:
    listed = f"{corpus / 'sad/02.wav'}\n\n{corpus / 'sad/01.wav'}\r\n"
    ended = ask(corpus / "happy", "-", str(corpus / "anger/0[1-3].wav"), "--csv", tmp_path / "a.csv", listed=listed)
    assert ended.status == 0
    assert [Path(row["path"]).relative_to(corpus).as_posix() for row in rows(tmp_path / "a.csv")] == [
        *(f"happy/{take:02}.wav" for take in range(14)),
        *("sad/02.wav", "sad/01.wav"),
        *("anger/01.wav", "anger/02.wav", "anger/03.wav"),
    ]


def test_what_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("b.WAV", "a.flac", "deep/er/c.ogg", "deep/d.mp3", ".hidden.wav", "notes.txt", "x[1].wav", " y z.wav")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    inside = [" y z.wav", "a.flac", "b.WAV", "deep/d.mp3", "deep/er/c.ogg", "x[1].wav"]
    assert find(["."]) == [Path(name) for name in inside]
    assert find(["notes.txt"]) == [Path("notes.txt")], "a file that is named is taken, whatever it ends in"
    assert find(["x[1].wav"]) == [Path("x[1].wav")], "a file of that name goes before a glob"
    assert find(["**/*.ogg", "*.flac"]) == [Path("deep/er/c.ogg"), Path("a.flac")]
    assert find([str(tmp_path / "?.flac")]) == [tmp_path / "a.flac"]
    assert find(["-"], [" y z.wav\n", "\n", "a.flac"]) == [Path(" y z.wav"), Path("a.flac")]
    assert find(["a.flac", "a.flac"]) == [Path("a.flac")] * 2
    assert find([]) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-",), "no file to answer: give files"),
        (("{empty}",), "empty holds no sound file"),
        (("{empty}/*.wav",), "*.wav matches no file"),
        (("{sound}", "--csv", "{empty}/no/answers.csv"), "No such file or directory"),
        (("{sound}", "--abstain", "1.5"), "risk=1.5 must lie between 0 and 1"),
    ],
)
def test_what_cannot_be_asked_ends_in_one_line(
    ask: Ask, corpus: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    ended = ask(*(word.format(empty=tmp_path / "empty", sound=corpus / "sad/00.wav") for word in words))
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert message in ended.err


def test_a_checkpoint_that_is_not_there_ends_in_one_line(ask: Ask, corpus: Path, tmp_path: Path) -> None:
    ended = ask(corpus / "sad/00.wav", "--csv", tmp_path / "a.csv", checkpoint=tmp_path / "gone.ckpt")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith(f"error: {tmp_path / 'gone.ckpt'} is not a checkpoint")
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "a.csv").exists()


def test_the_file_itself_is_the_script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["predict.py", str(tmp_path / "gone.ckpt"), str(tmp_path)])
    with pytest.raises(SystemExit, match=r"error: .*gone\.ckpt is not a checkpoint"):
        runpy.run_path(str(ROOT / "scripts/predict.py"), run_name="__main__")


def test_a_checkpoint_that_was_not_calibrated_cannot_abstain(ask: Ask, corpus: Path) -> None:
    ended = ask(corpus / "sad/00.wav", checkpoint="last.ckpt")
    assert ended.status == 0
    assert ended.out.startswith(UNCALIBRATED)
    ended = ask(corpus / "sad/00.wav", "--abstain", "0.2", checkpoint="last.ckpt")
    assert ended.status == 1
    assert "not calibrated" in ended.err
    assert ended.err.count("\n") == 1


def test_unsure_files_are_left_unanswered(
    ask: Ask, corpus: Path, recognizer: Recognizer, checkpoints: Path, tmp_path: Path
) -> None:
    files = sorted(corpus.rglob("*.wav"))
    expected = {str(file): recognizer(file) for file in files}
    sure = sorted((max(answer.values()) for answer in expected.values()), reverse=True)
    least = (sure[9] + sure[10]) / 2
    assert sure[9] - sure[10] > 1e-6
    path = tmp_path / "known.ckpt"
    path.write_bytes((checkpoints / "best.ckpt").read_bytes())
    known = Calibration(
        recognizer.calibration.temperature, torch.tensor([1.0, least, least / 2]), torch.tensor([True, True, False])
    )
    Checkpoint.read(path).with_calibration(known).write(path)
    words = ("--abstain", "0.1", "--csv", tmp_path / "a.csv", "--jsonl", tmp_path / "a.jsonl")
    ended = ask(corpus, tmp_path / "gone.wav", *words, checkpoint=path)
    assert f"42 of 43 files read, of these 32 left unanswered, less sure than {least:.3f}" in ended.told
    table = rows(tmp_path / "a.csv")[:-1]
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()][:-1]
    assert sum(bool(row["emotion"]) for row in table) == 10
    for row, line in zip(table, lines, strict=True):
        answer = expected[row["path"]]
        answered = max(answer.values()) >= least
        assert row["emotion"] == (max(answer, key=lambda label: answer[label]) if answered else "")
        assert line["emotion"] == (row["emotion"] or None)
        assert probabilities(row) == pytest.approx(list(answer.values()), abs=2e-6), (
            "probabilities are told all the same"
        )
    shown = ask(corpus, "--abstain", "0.1", checkpoint=path)
    assert shown.status == 0, "an answer that is held back is no error"
    for row in table:
        assert cells(shown.out, Path(row["path"]))[1] == (row["emotion"] or "–")


def test_what_is_less_sure_than_asked_is_not_told() -> None:
    answer = Answer(Path("a.wav"), {"anger": 0.4, "sad": 0.6})
    assert confident_emotion(answer, 0.6) == "sad"
    assert confident_emotion(answer, 0.61) is None
    assert confident_emotion(Answer(Path("a.wav"), {}, "can't be read"), 0.0) is None


def test_what_was_answered_is_on_disk_before_the_next_answer(tmp_path: Path) -> None:
    def answers() -> Iterator[Answer]:
        yield Answer(Path("a.wav"), {"anger": 0.25, "sad": 0.75})
        raise KeyboardInterrupt

    with closing(RowWriter(tmp_path / "a.csv", "csv", ANSWER_VALUES, ["anger", "sad"])) as table:
        passing = write_each(answers(), [table], 0.0)
        assert next(passing).emotion == "sad"
        assert rows(tmp_path / "a.csv") == [
            {"path": "a.wav", "emotion": "sad", "confidence": "0.750000", "remarks": "", "p_anger": "0.250000",
             "p_sad": "0.750000", "error": ""}
        ]  # fmt: skip
        with pytest.raises(KeyboardInterrupt):
            next(passing)


def test_a_long_table_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Console(width=300, file=io.StringIO(), record=True)
    monkeypatch.setattr(ser.commands._predict, "console", screen)
    show([Answer(Path(f"[{i}].wav"), {"[a]": 0.5, "b": 0.5}) for i in range(60)], ["[a]", "b"], 0.0, files=False)
    text = screen.export_text()
    assert "[49].wav" in text
    assert "[50].wav" not in text
    assert "and 10 more: --csv FILE or --jsonl FILE has all" in text
    assert text.count("[a]") == 51, "names with brackets are no markup"


def test_a_glob_that_matches_a_folder_takes_its_sounds(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "a.wav").touch()
    (tmp_path / "inside" / "notes.txt").touch()
    assert find([f"{tmp_path}/*"]) == [tmp_path / "inside" / "a.wav"]


def test_what_a_folder_holds_beside_sound_is_counted(ask: Ask, corpus: Path, tmp_path: Path) -> None:
    for name in ("a.m4a", "b.webm", "notes.txt", "list.csv", "without"):
        (tmp_path / name).write_text("no sound")
    (tmp_path / "linked").symlink_to(corpus / "sad")
    ended = ask(tmp_path)
    assert ended.status == 1
    assert "14 of 16 files read" in ended.told
    assert ended.told.count("no answer") == 2
    assert (
        "left out 3 files that are no sound files by their endings (1 .csv, 1 .txt, 1 without an ending)" in ended.told
    )


@pytest.fixture
def interview(tmp_path: Path) -> Path:
    """7.2 s: a high tone, digital silence, a low tone; stereo at another rate."""
    time = np.arange(3 * 44_100) / 44_100
    high, low = (0.3 * np.sin(2 * np.pi * pitch * time) for pitch in (900, 200))
    rest = 1.2 * 44_100
    sound = np.concatenate([high, np.zeros(round(rest)), low])
    soundfile.write(tmp_path / "[interview].wav", np.stack([sound, sound], 1), 44_100)
    return tmp_path / "[interview].wav"


SHORT = ("--timeline", "--window", "0.4", "--hop", "0.2")


def test_a_timeline_is_a_table_on_screen(ask: Ask, interview: Path) -> None:
    ended = ask(interview, *SHORT)
    assert (ended.status, ended.err) == (0, "")
    assert "[interview].wav: 0:07.2" in ended.told
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in ended.out.splitlines() if "│" in line]
    assert lines[0][:2] == ["0:00.0", lines[1][0]]
    assert ["0:03.0", "0:04.2", "silence", ""] in lines
    assert lines[-1][1] == "0:07.2"
    assert {line[2] for line in lines} <= {*LABELS, "silence"}


def test_a_timeline_as_csv_json_lines_and_picture(
    ask: Ask, interview: Path, recognizer: Recognizer, tmp_path: Path
) -> None:
    files = ("--csv", tmp_path / "t.csv", "--jsonl", tmp_path / "t.jsonl", "--picture", tmp_path / "t.png")
    ended = ask(interview, *SHORT, *files)
    assert ended.status == 0
    assert "│" not in ended.out
    assert (tmp_path / "t.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    table = rows(tmp_path / "t.csv")
    assert list(table[0]) == [
        "path", "start", "end", "emotion", "probability", *(f"p_{label}" for label in LABELS), "error"
    ]  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["start"] for row in table] == ["0.000", *(row["end"] for row in table[:-1])]
    assert table[-1]["end"] == "7.200"
    for row, line in zip(table, lines, strict=True):
        assert (row["path"], row["emotion"]) == (line["path"], line["emotion"])
        assert (float(row["start"]), float(row["end"])) == pytest.approx((line["start"], line["end"]))
        if row["emotion"] == "silence":
            assert (row["start"], row["end"]) == ("3.000", "4.200")
            assert row["probability"] == row["p_sad"] == ""
            assert (line["probability"], line["probabilities"]) == (None, {})
        else:
            best = max(LABELS, key=lambda label: float(row[f"p_{label}"]))
            assert (row["emotion"], row["probability"]) == (best, row[f"p_{best}"])
            assert probabilities(row) == pytest.approx([line["probabilities"][label] for label in LABELS], abs=1e-6)
    listener = Listener(recognizer, "", 0.4, 0.2)
    for block in SoundStream(interview, recognizer.sample_rate):
        listener.push(block)
    assert [segment.emotion for segment in listener.finish().segments()] == [row["emotion"] for row in table]


def test_bad_and_broken_files_among_timelines(ask: Ask, interview: Path, corpus: Path, tmp_path: Path) -> None:
    bad, broken = tmp_path / "bad.wav", tmp_path / "broken.wav"
    bad.write_text("no sound")
    broken.write_bytes(interview.read_bytes()[: interview.stat().st_size // 2])
    ended = ask(corpus / "sad/00.wav", bad, broken, interview, *SHORT, "--csv", tmp_path / "t.csv")
    assert ended.status == 1
    assert f"no answer {bad}: can't be read" in ended.told
    assert f"no answer {broken}: breaks off after 3.6 s of 7.2 s" in ended.told
    table = rows(tmp_path / "t.csv")
    assert list(dict.fromkeys(row["path"] for row in table)) == [
        str(corpus / "sad/00.wav"), str(bad), str(broken), str(interview)
    ]  # fmt: skip
    (error,) = (row for row in table if row["path"] == str(bad))
    assert (error["start"], error["emotion"]) == ("0.000", "")
    assert "can't be read" in error["error"]
    of_broken = [row for row in table if row["path"] == str(broken)]
    assert len(of_broken) > 1
    assert [bool(row["error"]) for row in of_broken] == [False] * (len(of_broken) - 1) + [True]
    assert of_broken[-1]["start"] == of_broken[-2]["end"]


def test_a_timeline_can_abstain(ask: Ask, interview: Path, checkpoints: Path, tmp_path: Path) -> None:
    path = tmp_path / "known.ckpt"
    path.write_bytes((checkpoints / "best.ckpt").read_bytes())
    known = Calibration(1.0, torch.tensor([1.0, 0.5]), torch.tensor([True, False]))
    Checkpoint.read(path).with_calibration(known).write(path)
    ended = ask(interview, *SHORT, "--abstain", "0.1", "--csv", tmp_path / "t.csv", checkpoint=path)
    assert ended.status == 0
    table = rows(tmp_path / "t.csv")
    assert {row["emotion"] for row in table} == {"", "silence"}
    assert all(float(row["probability"]) > 1 / 3 for row in table if not row["emotion"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a.wav", "--window", "2"), "--window belongs to --timeline or --microphone"),
        (("a.wav", "--picture", "a.png"), "--picture belongs to --timeline or --microphone"),
        (("a.wav", "--timeline", "--window", "0.25"), "--window=0.25 must be a multiple of 0.1 s, and above 0"),
        (("a.wav", "--timeline", "--hop", "nan"), "--hop=nan must be a multiple of 0.1 s"),
        (("a.wav", "--timeline", "--hop", "0"), "--hop=0.0 must be a multiple of 0.1 s, and above 0"),
        (("a.wav", "--timeline", "--hop", "4"), "--hop is 4.0; it must be at most the window, 3.0 s"),
        (("a.wav", "--timeline", "--silence-db", "-3"), "--silence-db is -3.0; it must be above 0"),
        (("a.wav", "--timeline", "--picture", "a.jpg"), "--picture is a.jpg; its name must end in .png"),
        (("a.wav", "--timeline", "--microphone"), "not allowed with argument --timeline"),
        (("a.wav", "--microphone"), "--microphone takes no files, but a.wav was given"),
        ((), "give files, folders, globs, or - for a list on standard input; or --microphone"),
        (("--timeline", "--batch-size", "0", "a.wav"), "--batch-size is 0; it must be 1 or more"),
    ],
)
def test_options_that_are_not_allowed(ask: Ask, words: tuple[str, ...], message: str) -> None:
    ended = ask(*words)
    assert (ended.status, ended.out) == (2, "")
    assert message in ended.err


def test_a_window_that_the_network_does_not_hear(ask: Ask, interview: Path, tmp_path: Path) -> None:
    ended = ask(interview, "--timeline", "--window", "2", "--csv", tmp_path / "t.csv")
    assert ended.status == 1
    assert ended.err.startswith("error: window=2.0 must lie between 0.1 and 0.")
    assert not (tmp_path / "t.csv").exists()
    ended = ask(interview, interview, "--timeline", "--picture", tmp_path / "t.png")
    assert (ended.status, ended.err) == (1, "error: --picture draws one recording; 2 were given\n")


def test_the_microphone_ends_with_a_timeline(ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Fake:
        lost = 2

        def __init__(self, sample_rate: int) -> None:
            time = np.arange(sample_rate // 10) / sample_rate
            self.blocks = [(0.3 * np.sin(2 * np.pi * 900 * time)).astype(np.float32)] * 12

        def __enter__(self) -> "Fake":
            return self

        def __exit__(self, *_: object) -> None:
            self.blocks.clear()

        def read(self) -> np.ndarray:
            if len(self.blocks) == 1:
                signal.raise_signal(signal.SIGINT)
            return self.blocks.pop()

    monkeypatch.setattr(ser.commands._predict, "Microphone", Fake)
    ended = ask("--microphone", "--window", "0.3", "--hop", "0.3", "--csv", tmp_path / "t.csv")
    assert (ended.status, ended.err) == (0, "")
    assert "what was heard: 0:01.2" in ended.told
    assert "sound was lost 2 times" in ended.told
    table = rows(tmp_path / "t.csv")
    assert (table[0]["path"], table[0]["start"], table[-1]["end"]) == ("", "0.000", "1.200")


def test_a_microphone_without_its_library_ends_in_one_line(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    ended = ask("--microphone", "--csv", tmp_path / "t.csv")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err == 'error: the microphone needs sounddevice: pip install -e ".[microphone]"\n'
    assert not (tmp_path / "t.csv").exists()


def odd_sounds(folder: Path) -> dict[str, Path]:
    """Silence, channels that cancel, a minute, a WAV that breaks off, and one with nothing odd."""
    folder.mkdir()
    sound = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    soundfile.write(folder / "silent.wav", 0 * sound, 16_000)
    soundfile.write(folder / "antiphase.wav", np.stack([sound, -sound], 1), 16_000)
    soundfile.write(folder / "minute.wav", np.tile(sound, 60), 16_000)
    soundfile.write(folder / "cut.wav", sound[:8000], 16_000)
    whole = (folder / "cut.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    soundfile.write(folder / "fine.wav", sound[:3000], 16_000)
    return {path.stem: path for path in sorted(folder.iterdir())}


def test_what_is_odd_is_told_on_screen_and_in_files(ask: Ask, recognizer: Recognizer, tmp_path: Path) -> None:
    odd = odd_sounds(tmp_path / "odd")
    ended = ask(tmp_path / "odd", "--csv", tmp_path / "a.csv", "--jsonl", tmp_path / "a.jsonl")
    assert ended.status == 0
    heard = f"{recognizer.seconds:.1f} s"
    assert f"channels cancel each other out: {odd['antiphase']}\n" in ended.out
    assert f"breaks off before the end that its header tells: {odd['cut']} (after 0.2 s of 0.5 s)\n" in ended.out
    assert f"{odd['minute']} ({heard} of 60.0 s)" in ended.out
    assert f"silent: {odd['antiphase']}, {odd['silent']}\n" in ended.out
    assert str(odd["fine"]) not in ended.out
    remarks = {Path(row["path"]).stem: row["remarks"] for row in rows(tmp_path / "a.csv")}
    assert remarks["fine"] == ""
    assert remarks["minute"] == f"heard in part ({heard} of 60.0 s)"
    assert remarks["antiphase"].startswith("2 channels averaged; channels cancel each other out")
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {Path(line["path"]).stem: line["remarks"] for line in lines} == remarks
    many = [odd["silent"]] * 5
    assert "silent: all 5 files\n" in ask(*many).out
    assert f"silent: {', '.join([str(many[0])] * 3)} and 2 more\n" in ask(*many, odd["fine"]).out
    timeline = ask(odd["antiphase"], *SHORT)
    assert f"{odd['antiphase']}: 2 channels averaged; channels cancel each other out" in timeline.out


@pytest.mark.parametrize("option", ["--csv", "--jsonl", "--picture"])
@pytest.mark.parametrize("spelt", ["itself", "through a folder", "a link", "a second name"])
def test_no_input_is_written_over(ask: Ask, checkpoints: Path, tmp_path: Path, option: str, spelt: str) -> None:
    for name, kept in (("a.png", tmp_path / "clips/a.png"), ("b.ckpt", tmp_path / "run/b.ckpt")):
        kept.parent.mkdir()
        soundfile.write(kept, 0.1 * np.ones(8000), 16_000, format="WAV")
        if name == "b.ckpt":
            kept.write_bytes((checkpoints / "best.ckpt").read_bytes())
        before = kept.read_bytes()
        target = {
            "itself": kept,
            "through a folder": kept.parent / ".." / kept.parent.name / name,
            "a link": tmp_path / f"{name}.link.png",
            "a second name": tmp_path / f"{name}.second.png",
        }[spelt]
        if spelt == "a link":
            target.symlink_to(kept)
        elif spelt == "a second name":
            target.hardlink_to(kept)
        if option == "--picture" and target.suffix != ".png":
            continue
        ended = ask(
            tmp_path / "clips/a.png",
            *SHORT,
            option,
            target,
            checkpoint=tmp_path / "run/b.ckpt" if name == "b.ckpt" else "best.ckpt",
        )
        assert (ended.status, ended.out) == (1, "")
        assert ended.err.startswith(f"error: {option} {target} is one of the files to read")
        assert ended.err.count("\n") == 1
        assert kept.read_bytes() == before


def test_two_outputs_are_two_files(ask: Ask, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for other in (tmp_path / "a", tmp_path / "link"):
        ended = ask(corpus / "sad/00.wav", "--csv", tmp_path / "a", "--jsonl", other)
        assert ended.err == f"error: --jsonl and --csv are one file, {other}: give each a name of its own\n"
        assert not (tmp_path / "a").exists()


def test_paths_are_understood_as_they_are_meant(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("take[1]/a.wav", "take1/b.wav", "takes/c[2].wav", "-x.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert find(["take[1]/*.wav"]) == [Path("take[1]/a.wav")]
    assert find([f"{tmp_path}/take[1]/*.wav"]) == [tmp_path / "take[1]/a.wav"]
    assert find(["take[0-9]/*.wav"]) == [Path("take1/b.wav")]
    assert find(["takes\\*.wav", "takes\\c[2].wav"]) == [Path("takes/c[2].wav")] * 2
    assert find([(tmp_path / "takes").as_uri()]) == [tmp_path / "takes/c[2].wav"]
    assert find(["-"], ["\ufeff-x.wav\r\n", (tmp_path / "take1/b.wav").as_uri()]) == [
        Path("-x.wav"), tmp_path / "take1/b.wav"
    ]  # fmt: skip


def test_a_file_whose_name_begins_as_an_option_does_is_answered(
    ask: Ask, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "-x.wav").write_bytes((corpus / "sad/00.wav").read_bytes())
    monkeypatch.chdir(tmp_path)
    ended = ask(corpus / "sad/01.wav", "-x.wav", "--batch-size", "2")
    assert ended.status == 0
    assert "2 of 2 files read" in ended.told


def test_a_narrow_screen_has_every_class(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = ["anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"]
    answers = [Answer(Path(f"clips/some/folder/{i}.wav"), dict.fromkeys(labels, 1 / 7)) for i in range(2)]
    for width, columns in ((80, 4), (160, 10)):
        screen = Console(width=width, file=io.StringIO(), record=True)
        monkeypatch.setattr(ser.commands._predict, "console", screen)
        show(answers, labels, 0.0, files=False)
        text = screen.export_text()
        assert text.splitlines()[1].count("┃") == columns + 1
        assert all(label in text for label in labels)
        assert "…" not in text
        assert text.count("0.143") == 2 * (7 + 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk here")
def test_a_full_disk_is_told_in_one_line_with_the_file(ask: Ask, corpus: Path) -> None:
    for option in ("--csv", "--jsonl"):
        ended = ask(corpus / "sad/00.wav", option, "/dev/full")
        assert (ended.status, ended.out) == (1, "")
        assert ended.err == "error: /dev/full can't be written: No space left on device; the 0 rows before are kept\n"


def test_ctrl_c_ends_in_a_line_and_shows_what_was_answered(
    ask: Ask, corpus: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def two(self: Recognizer, paths: list[Path], *args: int) -> Iterator[Answer]:
        for path in paths[:2]:
            yield Answer(path, {"anger": 0.2, "happy": 0.3, "sad": 0.5})
        raise KeyboardInterrupt

    monkeypatch.setattr(Recognizer, "answer", two)
    ended = ask(corpus / "sad", "--csv", tmp_path / "a.csv")
    assert (ended.status, ended.err) == (130, "")
    assert "2 of 2 files read interrupted: 12 files are not answered" in ended.told
    assert len(rows(tmp_path / "a.csv")) == 2
    monkeypatch.setattr(Recognizer, "load", lambda *_: signal.raise_signal(signal.SIGINT))
    ended = ask(corpus / "sad")
    assert (ended.status, ended.out, ended.err) == (130, "", "interrupted\n")


def test_a_reader_that_left_costs_no_rows(checkpoints: Path, interview: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.wav"
    second.write_bytes(interview.read_bytes())
    script = [sys.executable, "-m", "scripts.predict", checkpoints / "best.ckpt", interview, second, *SHORT]
    with subprocess.Popen(
        [*script, "--csv", tmp_path / "t.csv"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        told = process.stderr.read()
    assert (process.returncode, told) == (1, b"")
    assert {row["path"] for row in rows(tmp_path / "t.csv")} == {str(interview), str(second)}


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="no /dev/stdin here")
def test_a_pipe_is_answered_and_a_list_that_would_be_lost_is_kept(
    checkpoints: Path, corpus: Path, recognizer: Recognizer, tmp_path: Path
) -> None:
    script = [sys.executable, "-m", "scripts.predict", checkpoints / "best.ckpt"]
    sound = corpus / "sad/00.wav"
    ended = subprocess.run(
        [*script, "/dev/stdin", "--jsonl", tmp_path / "a.jsonl"], cwd=ROOT, input=sound.read_bytes(), check=True,
        capture_output=True,
    )  # fmt: skip
    assert b"1 of 1 files read" in ended.stdout
    answer = json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8"))
    assert answer["probabilities"] == pytest.approx(recognizer(sound), abs=1e-5)
    (tmp_path / "list.txt").write_text(f"{sound}\n", encoding="utf-8")
    with (tmp_path / "list.txt").open() as listed:
        refused = subprocess.run(
            [*script, "-", "--csv", tmp_path / "list.txt"], cwd=ROOT, stdin=listed, check=False, capture_output=True
        )
    assert refused.returncode == 1
    assert b"list.txt is one of the files to read, by another name /dev/stdin, and would be lost" in refused.stderr
    assert (tmp_path / "list.txt").read_text(encoding="utf-8") == f"{sound}\n"
