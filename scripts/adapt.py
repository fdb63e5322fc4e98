"""A model for other recordings, without labels: ``python scripts/adapt.py outputs/RUN clips/ --out outputs/ADAPTED``.

Measures the sound of the recordings and puts their statistics in place of those of the training, as far as there are
recordings enough; docs/voices.md tells how. Nothing is trained and no label is read. Leaves a run's folder with one
checkpoint, which the other commands take, and a card that says to what it was adapted.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ser.adapt import adapt, adapted_checkpoint
from ser.audio import AudioError, Recording
from ser.bank import decode
from ser.callbacks import find_checkpoint, read_checkpoint, write_checkpoint
from ser.cli import suit_terminal
from ser.errors import UserError
from ser.files import check_writable, replacing
from ser.recognizer import Recognizer
from ser.recordings import find
from ser.results import read_choices, write_choices
from ser.results.cards import adapted_card
from ser.screen import Screen
from ser.speakers import speakers_of

console = Screen()


def adapt_run(
    run: Path, paths: Sequence[Path], out: Path, balanced: bool = False, voices: str | None = None
) -> dict[str, Any]:
    """Adapt a run's model and leave a folder.

    Args:
        run: A run's folder, for the checkpoint that it tested, or a checkpoint.
        paths: Recordings; those that can't be read are left out and told.
        out: The new folder.
        balanced: Take the recordings to hold the emotions about equally often.
        voices: Whose recordings they are, as ``ser.speakers.speakers_of`` takes it, where the adapted model is to be
            used with voices; None otherwise.

    Returns:
        What the checkpoint says of the adaptation.

    Raises:
        UserError: The run can't be adapted, there are too few recordings, or ``out`` is the run's own folder.
    """
    checkpoint = find_checkpoint(run).resolve()
    if out.resolve() in (run.resolve(), checkpoint.parent.parent):
        raise UserError(f"--out {out} is the run's own folder: give another one")
    if (out / "metrics.json").exists() or any(
        other.name != "adapted.ckpt" for other in (out / "checkpoints").glob("*.ckpt")
    ):
        raise UserError(f"--out {out} holds another run: give a new folder")
    check_writable(out)
    recognizer = Recognizer.load(checkpoint)
    if voices is not None and recognizer.prior is None:
        raise UserError("--voices is for a model that was trained with features.normalize=speaker: leave it out")
    outcomes = decode(list(paths), recognizer.sample_rate, recognizer.frontend.length)
    usable = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, Recording)]
    for outcome in outcomes:
        if isinstance(outcome, AudioError):
            console.print(f"left out {outcome}", soft_wrap=True, highlight=False, markup=False)
    speakers = None if voices is None else speakers_of([paths[i] for i in usable], voices)
    recordings = [outcome for outcome in outcomes if isinstance(outcome, Recording)]
    adapted, about = adapt(recognizer, recordings, balanced, speakers)
    held = adapted_checkpoint(
        read_checkpoint(checkpoint), adapted, about, f"{len(usable):,} recordings of the user's own"
    )
    write_checkpoint(out / "checkpoints" / "adapted.ckpt", held)
    source = checkpoint.parent.parent
    if (source / "config.yaml").is_file():
        write_choices(out, read_choices(source))
    card = source / "model_card.md"
    text = adapted_card(held["adapted"], card.read_text(encoding="utf-8") if card.is_file() else None)
    with replacing(out / "model_card.md") as file:
        file.write_text(text, encoding="utf-8")
    told: dict[str, Any] = held["adapted"][-1]
    return told


def main() -> None:
    """Read the options, adapt and print."""
    suit_terminal()
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: %(prog)s outputs/RUN my_clips/ --voices folder --out outputs/ADAPTED",
    )
    parser.add_argument("checkpoint", type=Path, help="a run's folder, for the checkpoint it tested, or a checkpoint")
    parser.add_argument("paths", nargs="+", help="recordings: files, folders, globs, or - for a list on standard input")
    parser.add_argument("--out", type=Path, required=True, help="folder for the adapted model")
    parser.add_argument(
        "--balanced", action="store_true",
        help="take the recordings to hold the emotions about equally often, and shift the answers accordingly",
    )  # fmt: skip
    parser.add_argument(
        "--voices", metavar="folder|all|FILE.csv",
        help="whose recordings they are, as in predict, for a model that will be used with voices",
    )  # fmt: skip
    options = parser.parse_args()
    try:
        paths = find(options.paths, sys.stdin)
        told = adapt_run(options.checkpoint, paths, options.out, options.balanced, options.voices)
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    assumed = "; the emotions are taken to be about equally frequent" if told["balanced"] else ""
    console.print(
        f"Adapted to {told['clips']:,} recordings, {told['seconds']:.0f} s, without labels{assumed}. Their statistics "
        f"weigh {told['normalizer']:.2f} in the features and {told['batch_norm']:.2f} in the batch norms. It has no "
        "score of its own: python scripts/evaluate.py with labelled recordings gives one.\n"
        f"Model folder: {options.out}",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )


if __name__ == "__main__":
    main()
