"""What knowing a voice is worth: ``python scripts/enrolment.py outputs/RUN``.

Takes runs that were trained with features.normalize=speaker, one run or the folds of a recipe, and scores their test
clips again: with nothing known of a test speaker, with 1 to 20 other clips of theirs, of any emotions or neutral ones
alone, and with all of them. Labels of enrolment clips are not used, except to draw neutral ones. Leaves enrolment.json,
enrolment.md and enrolment.png.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from rich.table import Table

from ser.callbacks import find_checkpoint
from ser.cli import suit_terminal
from ser.enrolment import Heard, curve
from ser.errors import UserError
from ser.files import check_writable, replacing
from ser.recognizer import Recognizer
from ser.results import console, find_runs, git_revision, read_choices, started_as, versions
from ser.results.figures import enrolment_figure
from ser.results.page import markdown_table
from ser.scoring import describe_checkpoint, trial_of

COLUMNS = ("enrolment clips", "of which emotions", "UAR", "95 %", "accuracy", "macro F1", "clips scored")

LEFT = COLUMNS[:2]


def measure(
    runs: Sequence[Path], folder: Path, command: list[str], side: str = "test", draws: int = 3, device: str = "cpu"
) -> dict[str, Any]:
    """Score the runs' clips under all enrolments and write the folder.

    Args:
        runs: Run folders, or folders that hold them.
        folder: What is left goes there.
        command: What was typed.
        side: Of each run's split; ``val`` for choices.
        draws: Of enrolment clips.
        device: Where the networks answer.

    Raises:
        UserError: A run can't be used, knows nothing of voices, or two of them score the same clips.
    """
    if draws < 1:
        raise UserError(f"--draws is {draws}; it must be 1 or more")
    found = [run for run in find_runs(runs) if run.history]  # pooled folds and evaluations have no network
    if not found:
        raise UserError(f"no training below {', '.join(map(str, runs))}: give run folders, or folders that hold them")
    try:
        check_writable(folder)
    except OSError as error:
        raise UserError(f"{folder} can't be written to: {error.strerror or error}; give another --out") from error
    heard, told = [], []
    for run in found:
        place = run.folder
        checkpoint, cfg = find_checkpoint(place), read_choices(place)
        recognizer = Recognizer.load(checkpoint, device)
        trial = trial_of(cfg, side, [recognizer])
        recordings = trial.at(recognizer.sample_rate)
        voice = cfg["dataset"].get("voice", "speaker")
        heard.append(Heard.of(recognizer, trial.clips, recordings, trial.labels, voice))
        told.append({**describe_checkpoint(checkpoint, trial.clips), "split_hash": trial.split.hash})
    results = {
        "dataset": {"name": found[0].dataset["name"]},
        "side": side,
        "runs": told,
        "draws": draws,
        "curve": curve(heard, draws),
        "versions": versions(),
        "git": git_revision(),
        "command": command,
    }
    write(folder, results)
    return results


def rows(results: dict[str, Any]) -> list[list[str]]:
    """The curve, a line per number and kind of enrolment clips."""
    return [
        [
            point["enrolment"],
            "" if point["enrolment"] == "none" else point["kind"],
            f"{point['uar']:.3f}",
            "{:.3f} to {:.3f}".format(*point["intervals"]["uar"]),
            f"{point['accuracy']:.3f}",
            f"{point['macro_f1']:.3f}",
            f"{point['clips']:,}",
        ]
        for point in results["curve"]
    ]


def write(folder: Path, results: dict[str, Any]) -> None:
    """Write ``enrolment.png``, ``enrolment.md`` and ``enrolment.json``."""
    with replacing(folder / "enrolment.png") as file:
        enrolment_figure(results["curve"]).savefig(file, dpi=150)
    with replacing(folder / "enrolment.md") as file:
        file.write_text(markdown_table(COLUMNS, rows(results), LEFT) + "\n", encoding="utf-8")
    with replacing(folder / "enrolment.json") as file:
        file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Read the options, score and print."""
    suit_terminal()
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: %(prog)s outputs/multirun/2026-01-31/12-00-00 --out outputs/enrolment",
    )
    parser.add_argument("runs", nargs="+", type=Path, help="run folders, or folders that hold them")
    parser.add_argument("--side", choices=("val", "test"), default="test", help="of each run's split; val for choices")
    parser.add_argument("--draws", type=int, default=3, help="of enrolment clips; scores are means over them")
    parser.add_argument("--out", type=Path, default=Path("outputs/enrolment"), help="folder for the results")
    parser.add_argument("--device", default="cpu", help="where the networks answer, as torch names it")
    options = parser.parse_args()
    command = [*started_as("scripts/enrolment.py"), *sys.argv[1:]]
    try:
        results = measure(options.runs, options.out, command, options.side, options.draws, options.device)
    except (UserError, HydraException, OSError) as error:
        sys.exit(f"error: {error}")
    table = Table(title=f"{results['dataset']['name']}, {options.side}: what other clips of a voice are worth")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in LEFT else "right")
    for row in rows(results):
        table.add_row(*row)
    console.print(table)
    console.print(
        f"Means over {options.draws} draws; with a number of clips, the others are scored. 95 % intervals by a "
        f"bootstrap over speakers. Written to {options.out}",
        soft_wrap=True,
        markup=False,
    )


if __name__ == "__main__":
    main()
