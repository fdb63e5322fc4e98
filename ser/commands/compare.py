"""Compare two runs on the same clips: ``python scripts/compare.py RUN_A RUN_B``.

Both must have been tested on the same clips. Prints the paired difference, B - A, of each score with its 95 % interval
and a p-value.
"""

from pathlib import Path

from ser.commands.cli import command_parser, errors_in_words
from ser.errors import Screen, table_of
from ser.files import refuse_overwriting, write_json


def known_in(folder: Path) -> str:
    """Say what a folder's answers knew of the test voices, by its ``metrics.json``; ``none`` where it has none."""
    from ser.evaluation import enrolment_of
    from ser.results import RunRecord

    if not (folder / "metrics.json").is_file():
        return "none"
    run = RunRecord.read(folder / "metrics.json")
    known = enrolment_of(run.enrolment)
    if (kind := run.enrolment.get("kind") or "any") != "any":
        known += f" ({kind})"
    if run.adaptation:
        known += f" after adapting on {run.adaptation['on']}" + (" (balanced)" if run.adaptation["balanced"] else "")
    return known


def main() -> None:
    """Print the comparison, and write it where asked to."""
    parser = command_parser(__doc__, "outputs/RUN_A outputs/RUN_B")
    parser.add_argument("run_a", type=Path, help="folder of a run, or of pooled folds")
    parser.add_argument("run_b", type=Path, help="folder of another")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    from ser.evaluation import SCORES, compare, read_answers
    from ser.results import WRITTEN

    with errors_in_words():
        found = compare(
            read_answers(options.run_a / "predictions.csv"), read_answers(options.run_b / "predictions.csv")
        )
        if options.json:
            read = [folder / name for folder in (options.run_a, options.run_b) for name in WRITTEN]
            refuse_overwriting([("--json", options.json)], read)
            write_json(options.json, found)
    console = Screen()
    first, second = (known_in(folder) for folder in (options.run_a, options.run_b))
    if first != second:
        console.print(
            f"[yellow]A was scored with enrolment {first}, and B with {second}:[/yellow] they did not know the same of "
            "the test voices, so the difference is not one of recipes alone",
            soft_wrap=True,
        )
    rows = []
    for score in SCORES:
        line = found[score]
        numbers = f"{line['one']:.4f}", f"{line['other']:.4f}", f"{line['difference']:+.4f}"
        rows.append([score, *numbers, "{:+.4f} to {:+.4f}".format(*line["interval"]), f"{line['p']:.4f}"])
    heads = ("score", "A", "B", "B - A", "95 % interval", "p")
    console.print(table_of("Paired difference on the same test clips, B - A", heads, rows, ("score",)))
    console.print(f"Interval by a bootstrap, p by a randomisation test, both over {found['over']}.", soft_wrap=True)
