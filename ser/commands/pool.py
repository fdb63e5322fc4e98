"""Pool folds into one result: ``python scripts/pool.py outputs/multirun/2026-01-31/12-00-00``.

Takes the runs of ``split=kfold`` or ``split=loso`` below the folders, puts the answers of all folds of a recipe
together and scores them as one test set, with intervals over all its speakers. Each recipe gets a folder below
``pooled`` in the first path, with the files that a run leaves.
"""

from pathlib import Path
from statistics import mean, stdev

from ser.commands.cli import command_parser, errors_in_words


def main() -> None:
    """Pool, print and write each recipe."""
    parser = command_parser(__doc__, "outputs/folds")
    parser.add_argument("paths", nargs="+", type=Path, help="run folders, or folders that hold them, as a sweep's")
    parser.add_argument("--out", type=Path, help="folder for the results; by default pooled/ in the first path")
    options = parser.parse_args()
    from ser.evaluation import SCORES
    from ser.results import console, find_runs, show
    from ser.results.pooling import pool_into, recipes

    with errors_in_words():
        taken: set[Path] = set()
        for runs in recipes(find_runs(options.paths)):
            record, folder = pool_into(options.out or options.paths[0] / "pooled", runs, taken)
            show(record, folder)
            for score in SCORES:
                values = [fold[score] for fold in record.folds if score in fold]
                if not values:
                    continue
                spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
                console.print(f"{score} over {len(values)} folds: mean {mean(values):.3f}{spread}")
