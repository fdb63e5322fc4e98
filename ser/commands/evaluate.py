"""Score a checkpoint on a corpus: ``python scripts/evaluate.py outputs/RUN dataset=ravdess``.

Takes the words of ``train.py`` for the corpus (dataset=, labels=). All its clips are answered, or with ``--side test``
those on a side of its split (split=). Only emotions that checkpoint and corpus share count: other clips are left out,
and the network chooses among the shared ones. Leaves metrics.json, predictions.csv and figures as a run does.

A network that was trained with features.normalize=speaker can know other clips of each voice (--enrol), and any network
can first be adapted to the corpus (--adapt). Both read sound and no label; results say what was known.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ser.commands.cli import command_parser, errors_in_words
from ser.data.corpora import SIDES
from ser.errors import UserError

if TYPE_CHECKING:
    from ser.inference.enrolment import Knowledge


def knowledge_of(options: argparse.Namespace) -> "Knowledge":
    """Return what the options allow the network to know.

    Raises:
        UserError: They don't go together.
    """
    from ser.inference.enrolment import Enrolment, Knowledge

    words = {"none": 0, "all": None}
    if options.enrol not in words and not (options.enrol.isdecimal() and int(options.enrol) > 0):
        raise UserError(f"--enrol is {options.enrol!r}; it must be none, all, or a number of clips")
    count = words[options.enrol] if options.enrol in words else int(options.enrol)
    if options.enrol_neutral and not count:
        raise UserError("--enrol-neutral needs a number of clips: --enrol 5")
    for name in ("transductive", "balanced", "anyway"):
        if getattr(options, name) and not options.adapt:
            raise UserError(f"--{name} says how to adapt: give --adapt")
    return Knowledge(
        Enrolment(count, options.enrol_neutral), options.adapt, options.transductive, options.balanced, options.anyway
    )


def main() -> None:
    """Read the options, score and print."""
    parser = command_parser(__doc__, "outputs/RUN dataset=ravdess")
    parser.add_argument("checkpoint", type=Path, help="a run's folder, for the checkpoint it tested, or a checkpoint")
    parser.add_argument("words", nargs="+", help="as train.py takes them: dataset=NAME, dataset.root=…, labels=…")
    parser.add_argument("--side", choices=("all", *SIDES), default="all", help="all clips, or a side of split=")
    parser.add_argument("--out", type=Path, default=Path("outputs/evaluate"), help="folder for the results")
    parser.add_argument("--device", default="cpu", help="where the network answers, as torch names it")
    known = parser.add_argument_group("what may be known of the recordings, without their labels")
    known.add_argument(
        "--enrol", default="none", metavar="none|all|K",
        help="other clips of each voice: none, all, or K of them, and the others are scored",
    )  # fmt: skip
    known.add_argument("--enrol-neutral", action="store_true", help="draw the K clips from neutral ones, and say so")
    known.add_argument("--adapt", action="store_true", help="adapt the network, on other speakers than the scored ones")
    known.add_argument("--transductive", action="store_true", help="adapt on the scored clips themselves")
    known.add_argument("--balanced", action="store_true", help="take the emotions to be equally frequent")
    known.add_argument(
        "--anyway", action="store_true", help="adapt also to clips that sound like those of the training"
    )
    options = parser.parse_args()
    from ser.config import compose_words
    from ser.inference.evaluate import evaluate
    from ser.results import show, started_as

    command = [*started_as("scripts/evaluate.py"), *sys.argv[1:]]
    with errors_in_words():
        knowledge = knowledge_of(options)
        cfg = compose_words(options.words)
        record = evaluate(options.checkpoint, cfg, options.side, options.out, command, options.device, knowledge)
    show(record, options.out)
