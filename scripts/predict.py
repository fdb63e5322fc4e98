"""What emotion is it? ``python scripts/predict.py outputs/RUN/checkpoints/best.ckpt my_clips/ another.wav``.

Answers every sound file that is given, in folders too. Files that can't be read are listed with the reason, the others
are answered all the same, and the exit status is 1 then.
"""

import argparse
import csv
import glob
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from ser.corpora.clip import sound_files
from ser.errors import UserError
from ser.recognizer import Answer, Recognizer

SHOWN = 50
"""Answers that the table on screen has at most; files have all."""

console = Console()


def find(words: Sequence[str], listed: Iterable[str] = ()) -> list[Path]:
    """Files, the sound files of folders, what globs match, and for ``-`` what ``listed`` has, a path a line.

    Raises:
        UserError: A folder has no sound file, or a glob matches nothing.
    """
    paths: list[Path] = []
    for word in words:
        if word == "-":
            paths += [Path(line.rstrip("\r\n")) for line in listed if line.strip()]
        elif Path(word).is_dir():
            inside = list(sound_files(Path(word)))
            if not inside:
                raise UserError(f"{word} holds no sound file")
            paths += inside
        elif glob.has_magic(word) and not Path(word).exists():
            matching = sorted(glob.glob(word, recursive=True))  # noqa: PTH207  (absolute patterns, which Path.glob refuses)
            if not matching:
                raise UserError(f"{word} matches no file")
            for match in map(Path, matching):
                paths += sound_files(match) if match.is_dir() else [match]
        else:
            paths.append(Path(word))
    return paths


def write_each(answers: Iterable[Answer], tables: Sequence["Writer"]) -> Iterator[Answer]:
    """Pass answers on, writing each as it comes, so that what was answered is kept whatever comes after."""
    for answer in answers:
        for table in tables:
            table.write(answer)
        yield answer


class Writer:
    """Writes answers to a CSV or a JSON Lines file, one at a time."""

    def __init__(self, file: Any, labels: Sequence[str], kind: str, least: float) -> None:
        self.file, self.labels, self.kind, self.least = file, labels, kind, least
        if kind == "csv":
            self.table = csv.writer(file)
            self.table.writerow(["path", "emotion", "confidence", *(f"p_{label}" for label in labels), "error"])

    def write(self, answer: Answer) -> None:
        """Write and flush one answer."""
        emotion = told(answer, self.least)
        if self.kind == "csv":
            numbers = [f"{answer.probabilities[label]:.6f}" if answer.probabilities else "" for label in self.labels]
            confidence = f"{answer.confidence:.6f}" if answer.probabilities else ""
            self.table.writerow([answer.path, emotion or "", confidence, *numbers, answer.error or ""])
        else:
            line: dict[str, Any] = {"path": str(answer.path)}
            if answer.error is None:
                line |= {
                    "emotion": emotion, "confidence": answer.confidence, "probabilities": answer.probabilities
                }  # fmt: skip
            else:
                line |= {"error": answer.error}
            self.file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.file.flush()


def told(answer: Answer, least: float) -> str | None:
    """The emotion, or None where there is none or it is less sure than ``least``."""
    return answer.emotion if answer.probabilities and answer.confidence >= least else None


def predict(options: argparse.Namespace) -> int:
    """Answer all; the exit status.

    Raises:
        UserError: The checkpoint can't be used, there is nothing to answer, or no threshold reaches the risk.
    """
    recognizer = Recognizer.load(options.checkpoint, options.device)
    paths = find(options.paths, sys.stdin)
    if not paths:
        raise UserError("no file to answer: give files, folders, globs, or - and a list on standard input")
    least = 0.0 if options.abstain is None else recognizer.calibration.threshold(options.abstain)
    with ExitStack() as stack:
        writers = [
            Writer(
                stack.enter_context(path.open("w", newline="", encoding="utf-8", errors="surrogateescape")),
                recognizer.labels,
                kind,
                least,
            )
            for kind, path in (("csv", options.csv), ("jsonl", options.jsonl))
            if path is not None
        ]
        answers = write_each(recognizer.answer(paths, options.batch_size), writers)
        progress = Console(stderr=True)
        done = list(track(answers, total=len(paths), console=progress, disable=not progress.is_terminal))
    show(done, recognizer.labels, least, files=bool(writers))
    return 1 if any(answer.error for answer in done) else 0


def shown(text: object) -> str:
    """For the screen, even where a file's name is not UTF-8."""
    return escape(str(text).encode("utf-8", "replace").decode())


def show(answers: Sequence[Answer], labels: Sequence[str], least: float, files: bool) -> None:
    """Print a table of the first answers, and every error."""
    good = [answer for answer in answers if answer.error is None]
    if not files:
        table = Table()
        table.add_column("file", overflow="fold", min_width=24)
        for heading in ("emotion", "confidence", *map(escape, labels)):
            table.add_column(heading)
        for answer in good[:SHOWN]:
            emotion = told(answer, least)
            numbers = [f"{answer.probabilities[label]:.3f}" for label in labels]
            table.add_row(shown(answer.path), escape(emotion or "–"), f"{answer.confidence:.3f}", *numbers)
        if good:
            console.print(table)
        if len(good) > SHOWN:
            console.print(f"and {len(good) - SHOWN:,} more: --csv FILE or --jsonl FILE has all")
    bad = [answer for answer in answers if answer.error is not None]
    unsure = sum(told(answer, least) is None for answer in good)
    for answer in bad:
        console.print(f"[red]no answer[/red] {shown(answer.error)}", soft_wrap=True, highlight=False)
    abstained = f", of these {unsure:,} left unanswered, less sure than {least:.3f}" if least else ""
    console.print(f"{len(good):,} of {len(answers):,} files read{abstained}")


def main() -> None:
    """Read the options and answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="checkpoints/best.ckpt of a run, or the one that it tested")
    parser.add_argument("paths", nargs="+", help="files, folders, globs, or - for a list on standard input")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write path, emotion, confidence, probabilities, error"
    )
    parser.add_argument("--jsonl", type=Path, metavar="FILE", help="the same, a JSON object a line")
    parser.add_argument(
        "--abstain", type=float, metavar="RISK",
        help="leave a file unanswered that is less sure than answers that were wrong this often on validation",
    )  # fmt: skip
    parser.add_argument("--batch-size", type=int, default=32, help="files at a time")
    parser.add_argument("--device", default="cpu", help="as torch names it")
    options = parser.parse_args()
    if options.batch_size < 1:
        parser.error(f"--batch-size is {options.batch_size}; it must be 1 or more")
    try:
        sys.exit(predict(options))
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
