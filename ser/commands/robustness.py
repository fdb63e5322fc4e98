"""Score checkpoints under noise, in rooms, over a telephone.

Scores the test side of a split under noise, reverberation, a telephone's band, MP3 and Opus at low rates, other levels,
and clips cut short; docs/robustness.md explains how. Takes the words of ``train.py`` for the corpus (dataset=, labels=,
split=), which should be those of the run. --against puts other checkpoints beside it, such as the same network trained
with augmentation. Leaves robustness.json, robustness.md and robustness.png.
"""

import sys
from itertools import groupby
from pathlib import Path

from ser.commands.cli import add_checkpoint, add_device, add_out, command_parser, errors_in_words
from ser.data.corpora import SIDES


def main() -> None:
    """Read the options, score and print."""
    parser = command_parser(__doc__, "outputs/RUN dataset=crema_d split=speaker")
    add_checkpoint(parser)
    parser.add_argument(
        "words", nargs="+", metavar="WORD", help="as train.py takes them: dataset=NAME, split=NAME, labels=…"
    )
    parser.add_argument(
        "--against", type=Path, action="append", default=[], metavar="CHECKPOINT", help="another; can be repeated"
    )
    parser.add_argument("--side", choices=("all", *SIDES), default="test", help="all clips, or a side of split=")
    add_out(parser, "outputs/robustness")
    add_device(parser)
    options = parser.parse_args()
    with errors_in_words():
        from ser.config import compose_words
        from ser.errors import escape, table_of
        from ser.inference.robustness import BRACKETS, LEFT, cells, measure, remarks_of, title_of
        from ser.results import console, started_as

        command = [*started_as("scripts/robustness.py"), *sys.argv[1:]]
        results = measure(
            [options.checkpoint, *options.against], compose_words(options.words), options.side, options.out, command,
            options.device,
        )  # fmt: skip
    heads, rows = cells(results)
    table = table_of(title_of(results), heads, [], LEFT)
    for _, family in groupby(rows, lambda row: row[0].partition(",")[0]):
        for row in family:
            table.add_row(*map(escape, row))
        table.add_section()
    console.print(table)
    for line in (BRACKETS, *remarks_of(results)):
        console.print(escape(line), soft_wrap=True, highlight=False)
    console.print(f"Folder: {escape(str(options.out))}", soft_wrap=True)
