"""Score a checkpoint on a corpus: ``python scripts/evaluate.py outputs/RUN dataset=ravdess``.

Takes the words of ``train.py`` for the corpus (dataset=, labels=). All its clips are answered, or with ``--side test``
those on a side of its split (split=). Only emotions that checkpoint and corpus share count: other clips are left out,
and the network chooses among the shared ones. Leaves metrics.json, predictions.csv and figures as a run does.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from hydra.errors import HydraException

from ser.callbacks import find_checkpoint
from ser.config import compose_words
from ser.corpora import SIDES
from ser.errors import UserError
from ser.evaluation import answers_about
from ser.recognizer import Recognizer
from ser.results import GIT_REVISION, refuse_run_folders, scored, show, started_as, versions, write
from ser.scoring import answer_all, answered, describe_checkpoint, describe_clips, trial_of


def evaluate(
    checkpoint: Path, cfg: dict[str, Any], side: str, folder: Path, command: list[str], device: str = "cpu"
) -> dict[str, Any]:
    """Answer the clips, score the answers and write the folder.

    Args:
        checkpoint: Of a run, or the run's folder, for the one that it tested.
        cfg: The composed choices, of which dataset, labels and split count.
        side: ``all``, or a side of the split.
        folder: What is left goes there.
        command: What was typed.
        device: Where the network answers.

    Raises:
        UserError: The checkpoint or the corpus can't be used, or they share fewer than two emotions.
    """
    checkpoint = find_checkpoint(checkpoint)
    places = (cfg["dataset"].get("root"), cfg["dataset"].get("metadata"))
    inputs = [Path(place) for place in places if isinstance(place, str)]
    refuse_run_folders(folder, [checkpoint.parent, checkpoint.parent.parent], inputs)
    recognizer = Recognizer.load(checkpoint, device)
    trial = trial_of(cfg, side, [recognizer])
    probabilities = answer_all(recognizer, trial)
    trial, finite = answered(trial, [probabilities])
    usable = trial.clips
    answers = answers_about(usable, trial.labels, probabilities[finite])
    told, network = describe_clips(cfg, side, trial), describe_checkpoint(checkpoint, usable)
    results = {
        "row": None,
        **told,
        **network,
        "split": {**told["split"], **network["split"]},
        "seed": None,
        "versions": versions(),
        "git": GIT_REVISION,
        "command": command,
        **scored(answers),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, cfg, results, answers, sounds={clip.name: clip.path for clip in usable})
    return results


def main() -> None:
    """Read the options, score and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: %(prog)s outputs/RUN dataset=ravdess",
    )
    parser.add_argument("checkpoint", type=Path, help="a run's folder, for the checkpoint it tested, or a checkpoint")
    parser.add_argument("words", nargs="+", help="as train.py takes them: dataset=NAME, dataset.root=…, labels=…")
    parser.add_argument("--side", choices=("all", *SIDES), default="all", help="all clips, or a side of split=")
    parser.add_argument("--out", type=Path, default=Path("outputs/evaluate"), help="folder for the results")
    parser.add_argument("--device", default="cpu", help="where the network answers, as torch names it")
    options = parser.parse_args()
    command = [*started_as("scripts/evaluate.py"), *sys.argv[1:]]
    try:
        cfg = compose_words(options.words)
        results = evaluate(options.checkpoint, cfg, options.side, options.out, command, options.device)
    except (UserError, HydraException, OSError) as error:
        sys.exit(f"error: {error}")
    show(results, options.out)


if __name__ == "__main__":
    main()
