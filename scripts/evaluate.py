"""Score a checkpoint on a corpus: ``python scripts/evaluate.py outputs/RUN/checkpoints/best.ckpt dataset=ravdess``.

Takes the words of ``train.py`` for the corpus (dataset=, labels=). All its clips are answered, or with ``--side test``
those on a side of its split (split=). Only emotions that checkpoint and corpus share count: other clips are left out,
and the network chooses among the shared ones. Leaves metrics.json, predictions.csv and figures as a run does.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from hydra.errors import HydraException
from rich.progress import track

from ser.audio import Recording
from ser.bank import decode_clips, fingerprints
from ser.callbacks import read_checkpoint
from ser.config import compose_words
from ser.corpora import SIDES, SYNTHETIC, Clip, read_corpora
from ser.corpora.clip import person
from ser.errors import UserError
from ser.evaluation import answers_about
from ser.labels import Labels
from ser.models import NETWORKS
from ser.recognizer import Recognizer
from ser.results import SYNTHETIC_CAUTION, console, git_revision, scored, show, started_as, versions, write
from ser.splits import Split, split_clips

BATCH = 64


def evaluate(checkpoint: Path, cfg: dict[str, Any], side: str, folder: Path, command: list[str]) -> dict[str, Any]:
    """Answer the clips, score the answers and write the folder.

    Args:
        checkpoint: Of a run.
        cfg: The composed choices, of which dataset, labels and split count.
        side: ``all``, or a side of the split.
        folder: What is left goes there.
        command: What was typed.

    Raises:
        UserError: The checkpoint or the corpus can't be used, or they share fewer than two emotions.
    """
    recognizer = Recognizer.load(checkpoint)
    clips, left_out = Labels(**cfg["labels"]).apply(read_corpora(cfg["dataset"]))
    shared = [label for label in recognizer.labels if label in {clip.emotion for clip in clips}]
    if len(shared) < 2:
        raise UserError(
            f"the checkpoint tells {', '.join(recognizer.labels)} apart, and the clips show "
            f"{', '.join(sorted({clip.emotion for clip in clips}))}: they must share two or more; see labels.merge="
        )
    recordings = decode_clips(clips, recognizer.sample_rate)
    split = Split([], [], clips)
    if side != "all":
        split = split_clips(clips, fingerprints=fingerprints(recordings), **cfg["split"])
        clips = getattr(split, side)
    unshared = Counter(clip.emotion for clip in clips if clip.emotion not in shared)
    usable = [clip for clip in clips if clip.emotion in shared and isinstance(recordings[clip.name], Recording)]
    if not usable:
        raise UserError("no clip of these can be used: python scripts/explore.py with the same words says why")
    chosen = [recognizer.labels.index(label) for label in shared]
    parts = [
        recognizer.probabilities([recording_of(recordings[clip.name]) for clip in usable[start : start + BATCH]])
        for start in track(range(0, len(usable), BATCH), console=console, disable=not console.is_terminal)
    ]
    probabilities = np.concatenate([part.double().numpy()[:, chosen] for part in parts])
    answers = answers_about(usable, shared, probabilities / probabilities.sum(1, keepdims=True))
    results = describe(checkpoint, cfg, side, split, usable, recordings, command) | scored(answers)
    results["labels"] = {"classes": shared, "left_out": dict(sorted({**left_out, **unshared}.items()))}
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, cfg, results, answers, sounds={clip.name: clip.path for clip in usable})
    return results


def recording_of(outcome: Any) -> Recording:
    """What was decoded, of a clip that could be."""
    assert isinstance(outcome, Recording)
    return outcome


def describe(
    checkpoint: Path,
    cfg: dict[str, Any],
    side: str,
    split: Split,
    usable: list[Clip],
    recordings: dict[str, Any],
    command: list[str],
) -> dict[str, Any]:
    """What ``metrics.json`` says of the checkpoint, the corpus and the split."""
    kept = read_checkpoint(checkpoint)
    name = cfg["dataset"]["name"]
    bad = [clip for clip in getattr(split, "test" if side == "all" else side) if clip.name in recordings]
    skipped = [clip for clip in bad if not isinstance(recordings[clip.name], Recording)]
    speakers = {person(clip) for clip in usable} - {None}
    known = kept["EmotionDataModule"].get("heard")
    heard = None if known is None or "" in known else len(speakers & set(known))
    return {
        "row": None,
        "dataset": {
            "name": name,
            "synthetic": name in SYNTHETIC,
            **({"caution": SYNTHETIC_CAUTION} if name in SYNTHETIC else {}),
            "clips": len(usable),
            "corpora": dict(sorted(Counter(clip.corpus for clip in usable).items())),
            "speakers": len(speakers),
            "skipped": [{"clip": clip.name, "reason": str(recordings[clip.name])} for clip in skipped],
            "remarks": {},
        },
        "split": {
            "name": "all" if side == "all" else f"{cfg['split']['name']}, {side}",
            "hash": split.hash,
            "clips": {"test": len(usable)},
            "test_speakers": len(speakers),
            "test_speakers_heard_before": heard,
            "leakage": "Whether test speakers were heard in training is not known."
            if heard is None or not speakers
            else f"{heard} of {len(speakers)} test speakers were heard in training or validation.",
        },
        "features": "_".join(kept["EmotionDataModule"]["features"]["names"]),
        "model": next(name for name, network in NETWORKS.items() if network.__name__ == kept["network"]),
        "seed": None,
        "checkpoint": {"tested": checkpoint.name, "epoch": kept["epoch"] + 1, "path": str(checkpoint)},
        "versions": versions(),
        "git": git_revision(),
        "command": command,
    }


def main() -> None:
    """Read the options, score and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: %(prog)s outputs/RUN/checkpoints/best.ckpt dataset=ravdess",
    )
    parser.add_argument("checkpoint", type=Path, help="checkpoints/best.ckpt or last.ckpt of a run")
    parser.add_argument("words", nargs="+", help="as train.py takes them: dataset=NAME, dataset.root=…, labels=…")
    parser.add_argument("--side", choices=("all", *SIDES), default="all", help="all clips, or a side of split=")
    parser.add_argument("--out", type=Path, default=Path("outputs/evaluate"), help="folder for the results")
    options = parser.parse_args()
    try:
        cfg = compose_words(options.words)
        results = evaluate(
            options.checkpoint, cfg, options.side, options.out, [*started_as("scripts/evaluate.py"), *sys.argv[1:]]
        )
    except (UserError, HydraException, OSError) as error:
        sys.exit(f"error: {error}")
    show(results, options.out)


if __name__ == "__main__":
    main()
