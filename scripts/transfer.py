"""From corpus to corpus: ``python scripts/transfer.py outputs/RUN --to emodb ravdess``.

Scores trained models on corpora that they have not seen, among the emotions that both know: as they are, knowing other
clips of each voice, and adapted without labels on other speakers than the scored ones. Each model and corpus is kept as
a file below --out, and what is there is not computed again. Leaves transfer.json and transfer.md.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra.errors import HydraException
from numpy.typing import NDArray
from rich.table import Table

from ser.cache import contents
from ser.callbacks import find_checkpoint
from ser.cli import suit_terminal
from ser.config import compose_words
from ser.enrolment import Enrolment, Heard, adapted_answers
from ser.errors import UserError
from ser.evaluation import SCORES, Answers, compare, summary
from ser.files import check_writable, replacing
from ser.recognizer import Recognizer
from ser.results import console, git_revision, started_as, versions
from ser.results.page import markdown_table
from ser.scoring import describe_checkpoint, describe_clips, trial_of
from ser.screen import escape

AS_IT_IS = "as it is"

CONDITIONS: dict[str, tuple[Enrolment, bool, bool]] = {
    AS_IT_IS: (Enrolment(0), False, False),
    "10 other clips of each voice": (Enrolment(10), False, False),
    "all clips of each voice": (Enrolment(None), False, False),
    "adapted": (Enrolment(0), True, False),
    "adapted, balanced": (Enrolment(0), True, True),
    "adapted, all clips of each voice": (Enrolment(None), True, False),
    "adapted, balanced, all clips of each voice": (Enrolment(None), True, True),
}
"""What is known → enrolment, whether the model is adapted, and whether emotions are taken to be equally frequent."""

COLUMNS = ("run", "corpus", "what is known, without labels", "UAR", "95 %", "against as it is", "p")

LEFT = COLUMNS[:3]


def measure(run: Path, corpus: str, words: Sequence[str], device: str = "cpu") -> dict[str, Any]:
    """Score one model on one corpus under all conditions that the model allows.

    Args:
        run: A run's folder, for the checkpoint that it tested, or a checkpoint.
        corpus: As ``dataset=`` names it.
        words: Further words of ``train.py`` for the corpus.
        device: Where the network answers.

    Raises:
        UserError: The model or the corpus can't be used.
    """
    checkpoint = find_checkpoint(run)
    recognizer = Recognizer.load(checkpoint, device)
    cfg = compose_words([f"dataset={corpus}", *words])
    voice = cfg["dataset"].get("voice", "speaker")
    trial = trial_of(cfg, "all", [recognizer])
    recordings = trial.at(recognizer.sample_rate)
    heard = Heard.of(recognizer, trial.clips, recordings, trial.labels, voice)
    found: dict[str, Answers] = {}
    left_out: dict[str, str] = {}
    for name, (enrolment, adapting, balanced) in CONDITIONS.items():
        try:
            if adapting:
                found[name], _ = adapted_answers(
                    recognizer, trial.clips, recordings, trial.labels, enrolment, voice, balanced
                )
            else:
                found[name] = heard.answers(enrolment)
        except UserError as error:
            left_out[name] = str(error)
            console.print(f"left out, {escape(name)}: {escape(error)}", soft_wrap=True)
    plain = found[AS_IT_IS]
    return {
        "run": str(run),
        **{key: value for key, value in describe_checkpoint(checkpoint, trial.clips).items() if key != "split"},
        **describe_clips(cfg, "all", trial),
        "conditions": {
            name: {
                **summary(answers),
                "clips": len(answers.clips),
                # Clips that were enrolled are not scored, so only the others can be compared in pairs.
                "against": compare(plain.of(_places(plain, answers)), answers)["uar"] if name != AS_IT_IS else None,
            }
            for name, answers in found.items()
        },
        "left_out": left_out,
        "versions": versions(),
        "git": git_revision(),
    }


def _places(plain: Answers, answers: Answers) -> NDArray[np.int64]:
    """Where the clips of ``answers`` stand in ``plain``."""
    where = {name: i for i, name in enumerate(plain.clips)}
    return np.array([where[name] for name in answers.clips], dtype=np.int64)


def rows(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A line per model, corpus and condition."""
    lines = []
    for result in results:
        for name, told in result["conditions"].items():
            against = told["against"]
            low, high = against["interval"] if against else (0.0, 0.0)
            lines.append(
                [
                    result["run"],
                    result["dataset"]["name"],
                    name,
                    f"{told['uar']:.3f}",
                    "{:.3f} to {:.3f}".format(*told["intervals"]["uar"]),
                    f"{against['difference']:+.3f} ({low:+.3f} to {high:+.3f})" if against else "",
                    f"{against['p']:.4f}" if against else "",
                ]
            )
    return lines


def main() -> None:
    """Read the options, score what is not there yet, and print all."""
    suit_terminal()
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: %(prog)s outputs/RUN --to emodb ravdess --out outputs/transfer",
    )
    parser.add_argument("runs", nargs="+", type=Path, help="run folders, or checkpoints")
    parser.add_argument("--to", nargs="+", required=True, metavar="CORPUS", help="as dataset= names them")
    parser.add_argument("--words", nargs="*", default=[], metavar="WORD", help="more words: labels.drop=…")
    parser.add_argument("--out", type=Path, default=Path("outputs/transfer"), help="folder for the results")
    parser.add_argument("--device", default="cpu", help="where the networks answer, as torch names it")
    options = parser.parse_args()
    command = [*started_as("scripts/transfer.py"), *sys.argv[1:]]
    try:
        check_writable(options.out)
        results = []
        for number, run in enumerate(options.runs):
            for corpus in options.to:
                kept = options.out / f"{number:02}_{corpus}.json"
                known = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else None
                asked = [str(run), *contents([find_checkpoint(run)]), corpus, *options.words]
                if not isinstance(known, dict) or known.get("asked") != asked:
                    console.print(f"{escape(str(run))} on {escape(corpus)}", soft_wrap=True)
                    known = measure(run, corpus, options.words, options.device)
                    known = {**known, "asked": asked}
                    with replacing(kept) as file:
                        file.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
                results.append(known)
        with replacing(options.out / "transfer.md") as file:
            file.write_text(markdown_table(COLUMNS, rows(results), LEFT) + "\n", encoding="utf-8")
        with replacing(options.out / "transfer.json") as file:
            held = {"command": command, "scores": list(SCORES), "results": results}
            file.write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")
    except (UserError, HydraException, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    table = Table(title="From corpus to corpus")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in LEFT else "right")
    for row in rows(results):
        table.add_row(*map(escape, row))
    console.print(table)
    console.print(
        "Intervals and p as scripts/compare.py has them; adapted on the other half of the speakers. Written to "
        f"{escape(str(options.out))}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
