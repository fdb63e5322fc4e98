"""Adapt a model to other recordings, without labels.

Measures the sound of the recordings and puts their statistics in place of those of the training, as far as there are
enough recordings; docs/voices.md explains how. Nothing is trained and no label is read. Leaves a run's folder with one
checkpoint, which the other commands take, and a card that says to what it was adapted.
"""

import sys
from pathlib import Path

from ser.commands.cli import add_checkpoint, command_parser, errors_in_words


def main() -> None:
    """Read the options, adapt and print."""
    parser = command_parser(__doc__, "outputs/RUN my_clips/ --voices folder --out outputs/ADAPTED")
    add_checkpoint(parser)
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="sound files, folders, globs, or - for a list on standard input"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the adapted model")
    parser.add_argument(
        "--balanced", action="store_true",
        help="take the recordings to hold the emotions about equally often, and shift the answers accordingly",
    )  # fmt: skip
    parser.add_argument(
        "--voices", metavar="folder|all|FILE.csv",
        help="whose recordings they are, as in predict, for a model that will be used with voices",
    )  # fmt: skip
    parser.add_argument(
        "--anyway", action="store_true",
        help="adapt also to recordings that sound like those of the training, which does more harm than good",
    )  # fmt: skip
    options = parser.parse_args()
    with errors_in_words():
        from functools import partial

        from ser.errors import Screen
        from ser.inference.adapt import adapt_run
        from ser.inference.recordings import find

        note = partial(Screen().print, soft_wrap=True, highlight=False, markup=False)
        paths = find(options.paths, sys.stdin)
        adapted = adapt_run(
            options.checkpoint, paths, options.out, options.balanced, options.voices, note, options.anyway
        )
    distance = adapted["distance"]
    far = "" if distance is None else f", {distance:.2f} standard deviations from the training's"
    assumed = "; the emotions are taken to be about equally frequent" if adapted["balanced"] else ""
    note(
        f"Adapted to {adapted['clips']:,} recordings, {adapted['seconds']:.0f} s{far}, without labels{assumed}. Their "
        f"statistics weigh {adapted['normalizer']:.2f} in the features and {adapted['batch_norm']:.2f} in the batch "
        "norms. It has no score of its own: python scripts/evaluate.py with labelled recordings gives one.\n"
        f"Model folder: {options.out}"
    )
