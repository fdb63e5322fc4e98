"""Measure what knowing a voice is worth.

Takes runs that were trained with features.normalize=speaker, one run or the folds of a recipe, and scores their test
clips again: with nothing known of a test speaker, with 1 to 20 other clips of theirs, of any emotions or only neutral
ones, and with all of them. Labels of enrolment clips are not used, except to draw neutral ones. Leaves enrolment.json,
enrolment.md and enrolment.png.
"""

import sys
from pathlib import Path

from ser.commands.cli import add_device, add_out, command_parser, errors_in_words


def main() -> None:
    """Read the options, score and print."""
    parser = command_parser(__doc__, "outputs/multirun/2026-01-31/12-00-00 --out outputs/enrolment")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders, or folders that hold them")
    parser.add_argument("--side", choices=("val", "test"), default="test", help="of each run's split; val for choices")
    parser.add_argument(
        "--draws", type=int, default=3, metavar="N", help="of enrolment clips; scores are means over them"
    )
    add_out(parser, "outputs/enrolment")
    add_device(parser)
    options = parser.parse_args()
    with errors_in_words():
        from ser.errors import table_of
        from ser.inference.enrolment import COLUMNS, LEFT, curve_rows, measure_enrolment
        from ser.results import console, started_as

        command = [*started_as("scripts/enrolment.py"), *sys.argv[1:]]
        results = measure_enrolment(options.runs, options.out, command, options.side, options.draws, options.device)
    title = f"{results['dataset']['name']}, {options.side}: what other clips of a voice are worth"
    console.print(table_of(title, COLUMNS, curve_rows(results), LEFT))
    console.print(
        f"Means over {options.draws} draws; with a number of clips, the others are scored. 95 % intervals by a "
        f"bootstrap over speakers. Written to {options.out}",
        soft_wrap=True,
        markup=False,
    )
