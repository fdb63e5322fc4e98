"""Make tables of many runs: ``python scripts/leaderboard.py outputs/multirun/2026-01-31/12-00-00``.

There is one table for each corpus, split and side. The split's hash and the number of its speakers that training has
seen distinguish tables: their figures are about other test clips or another task, and so can't be compared. Runs that
differ only in seed make one row, mean ± standard deviation over seeds. Folds come in as ``scripts/pool.py`` leaves
them. Jobs of a sweep that failed or are missing stand in a table of their own.
"""

from collections import Counter
from pathlib import Path

from ser.commands.cli import command_parser, errors_in_words
from ser.errors import Screen, escape, table_of


def main() -> None:
    """Print the tables, and write them as ``leaderboard.md``, ``leaderboard.csv`` and ``index.html``."""
    parser = command_parser(__doc__, "outputs/multirun")
    parser.add_argument("paths", nargs="+", type=Path, help="run folders, or folders that hold them")
    parser.add_argument("--out", type=Path, help="folder for the tables; by default the first path")
    options = parser.parse_args()
    from ser.results import find_runs
    from ser.results.leaderboard import LEFT, find_jobs, gather, shown, write_tables

    first = options.paths[0]
    out = options.out or (first.parent if first.is_file() else first)
    with errors_in_words():
        sweeps = find_jobs(options.paths)
        ended = any(path.is_file() or any(path.rglob("metrics.json")) for path in options.paths)
        boards = gather(find_runs(options.paths) if ended or not sweeps else [])
        tables = shown(boards, sweeps)
        write_tables(out, boards, tables)
    console = Screen()
    for title, columns, lines in tables:
        console.print(table_of(title, columns, lines, LEFT))
    for corpus, count in Counter(board.corpus for board in boards).items():
        if count > 1:
            console.print(
                f"{escape(corpus)}: rows of different tables aren't comparable, for their splits differ", soft_wrap=True
            )
    console.print(f"written to {escape(out / 'leaderboard.md')}, .csv and index.html", soft_wrap=True)
