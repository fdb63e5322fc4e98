"""Search for options of a training with Optuna.

Takes the words of ``train.py``. What conf/search/MODEL.yaml names, or has an interval(), choice() or range() among the
words, is searched for; the rest is fixed. Each trial is a run with a folder of its own beside the storage file. Macro
F1 on validation is maximised; test scores play no part. The same command resumes a search that was stopped.
"""

from pathlib import Path

from ser.commands.cli import command_parser, errors_in_words


def main() -> None:
    """Search, and print the best trial."""
    parser = command_parser(__doc__, "model=cnn1d features=energy_zcr 'model.dropout=interval(0.1,0.4)' --trials 20")
    parser.add_argument(
        "words", nargs="+", metavar="WORD", help="as train.py takes them; NAME=interval(…), choice(…), range(…) search"
    )
    parser.add_argument(
        "--trials", type=int, default=20, metavar="N", help="how many in all, those of earlier commands among them"
    )
    parser.add_argument(
        "--storage", type=Path, metavar="FILE", help="Optuna's journal (default: outputs/search/MODEL-FEATURES.log)"
    )
    parser.add_argument(
        "--space", type=Path, metavar="FILE.yaml", help="what to search for (default: conf/search/MODEL.yaml)"
    )
    options = parser.parse_intermixed_args()
    if options.trials < 1:
        parser.error(f"--trials {options.trials}: must be 1 or more")
    with errors_in_words():
        from ser.train import run
        from ser.training.search import search

        search(options.words, run, options.trials, options.storage, options.space)
