"""Join runs into one model: ``python scripts/ensemble.py outputs/multirun/2026-01-31/12-00-00``.

Takes the runs below the folders. Those that differ in nothing but their seed are joined: the model's probabilities are
the mean of theirs. With ``--joint`` runs of one split are joined whatever their features and networks: probabilities
are multiplied, each to a power that the validation clips choose. The model is calibrated on the validation clips,
tested on the test clips, and left as a folder like a run's, which other scripts take. Several sets of such runs, as the
folds of a sweep, get a folder each.
"""

import sys
from pathlib import Path

from ser.commands.cli import command_parser, errors_in_words


def main() -> None:
    """Join, print and write each set of runs."""
    parser = command_parser(__doc__, "outputs/RUN_A outputs/RUN_B --out outputs/BOTH")
    parser.add_argument("paths", nargs="+", type=Path, help="run folders, or folders that hold them, as a sweep's")
    parser.add_argument("--out", type=Path, help="folder for the results; by default ensemble/ in the first path")
    parser.add_argument(
        "--joint", action="store_true", help="join runs of one split that differ in features and network"
    )
    parser.add_argument("--device", default="cpu", help="where the network answers, as torch names it")
    options = parser.parse_args()
    from ser.errors import escape
    from ser.inference.joining import ensemble, joint, joint_sets, seed_sets
    from ser.results import console, find_runs, place_for, show, started_as

    command = [*started_as("scripts/ensemble.py"), *sys.argv[1:]]
    with errors_in_words():
        found = find_runs(options.paths)
        sets, alone = (joint_sets(found), []) if options.joint else seed_sets(found)
        join = joint if options.joint else ensemble
        for run in alone:
            console.print(f"left out, for no other run has another seed alone: {escape(str(run.file))}", soft_wrap=True)
        out = options.out or options.paths[0] / "ensemble"
        taken: set[Path] = set()
        for runs in sets:
            first = runs[0]
            fold, name = first.split.get("fold"), f"{first.dataset['name']}_{first.features}_{first.model}"
            folder = place_for(out, name if fold is None else f"{name}_fold{fold}", taken) if len(sets) > 1 else out
            show(join(runs, folder, command, options.device), folder)
