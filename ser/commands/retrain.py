"""Train the recipe of a tested run on all of its clips: ``python scripts/retrain.py outputs/RUN --out outputs/FINAL``.

Folds say how good a recipe is on speakers it has not seen; what is then used may learn from everybody. No clip is left
to score it, so the run's scores speak for it, and it is calibrated as the run is.
"""

from pathlib import Path

from ser.commands.cli import command_parser, errors_in_words


def main() -> None:
    """Train, and say where the checkpoint is."""
    parser = command_parser(__doc__, "outputs/RUN --out outputs/FINAL")
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run that ended, with test_checkpoint=last")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the checkpoint")
    parser.add_argument("--half", action="store_true", help="keep the weights in half precision: half the size")
    options = parser.parse_args()
    with errors_in_words():
        from ser.commands._retrain import retrain
        from ser.errors import escape
        from ser.results import console

        made = retrain(options.run, options.out, options.half)
        console.print(f"The model is {escape(str(made))}; the scores of {escape(str(options.run))} speak for it.")
