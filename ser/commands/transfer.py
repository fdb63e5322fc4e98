"""Score models from corpus to corpus, adapted and not.

Scores trained models on corpora that they have not seen, among the emotions that both know: as they are, knowing other
clips of each voice, and adapted without labels on other speakers than the scored ones. Each model and corpus is kept as
a file below --out, and what is there is not computed again. Leaves transfer.json and transfer.md.
"""

import sys
from pathlib import Path

from ser.commands.cli import add_device, add_out, command_parser, errors_in_words


def main() -> None:
    """Read the options, score what is not there yet, and print all."""
    parser = command_parser(__doc__, "outputs/RUN --to emodb ravdess --out outputs/transfer")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders, or checkpoints")
    parser.add_argument("--to", nargs="+", required=True, metavar="CORPUS", help="as dataset= names them")
    parser.add_argument("--words", nargs="*", default=[], metavar="WORD", help="more words of train.py: labels.drop=…")
    add_out(parser, "outputs/transfer")
    add_device(parser)
    options = parser.parse_args()
    with errors_in_words():
        from ser.errors import escape, table_of
        from ser.inference.transfer import COLUMNS, LEFT, rows, transfer
        from ser.results import console, started_as

        command = [*started_as("scripts/transfer.py"), *sys.argv[1:]]
        results = transfer(options.runs, options.to, options.words, options.out, command, options.device)
    console.print(table_of("From corpus to corpus", COLUMNS, rows(results), LEFT))
    console.print(
        "Intervals and p as scripts/compare.py has them; adapted on the other half of the speakers. Written to "
        f"{escape(str(options.out))}",
        soft_wrap=True,
    )
