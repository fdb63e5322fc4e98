"""What a run says on screen: what it begins with, and what it found."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import Trainer

from ser.data.corpora import SIDES, SYNTHETIC, Clip, read_corpora
from ser.data.corpora.clip import telling
from ser.data.explore import missing_classes
from ser.data.labels import Labels
from ser.datamodule import EmotionDataModule
from ser.errors import Screen, escape, table_of
from ser.evaluation import SCORES, enrolment_line
from ser.models import EmotionNetwork
from ser.results.describe import features_of, leakage_line, parameters_of, voices_line
from ser.results.record import SYNTHETIC_CAUTION, RunRecord

console = Screen()
"""Screen that a run writes to."""


def tell_corpus(message: str) -> None:
    """Say on screen what a reader of a corpus warned of; for ``ser.data.corpora.clip.telling``."""
    console.print(f"[yellow]corpus:[/yellow] {escape(message)}", soft_wrap=True, highlight=False)


def read_clips(cfg: Mapping[str, Any]) -> tuple[list[Clip], dict[str, int]]:
    """Read the clips that choices of ``dataset`` and ``labels`` name, and say on screen what a reader warned of.

    Returns:
        The clips with their classes, and how many clips of each class ``labels`` left out.

    Raises:
        UserError: The corpus can't be read, or does not allow these labels.
    """
    with telling(tell_corpus):
        read = read_corpora(cfg["dataset"])
    return Labels(**cfg["labels"]).apply(read)


def tell_unusable(problems: Sequence[tuple[Clip, str]]) -> None:
    """Say on screen how many clips can't be used, their emotions, and why the first one can't."""
    if problems:
        emotions = _counted(Counter(clip.emotion for clip, _ in problems))
        details = escape(f"({emotions}), such as {problems[0][1]}")
        console.print(f"[red]{len(problems):,} clips can't be used[/red] {details}", soft_wrap=True, highlight=False)


def announce(
    cfg: dict[str, Any], data: EmotionDataModule, network: EmotionNetwork, trainer: Trainer, left_out: dict[str, int]
) -> None:
    """Say on screen what a run is about to learn, and from what; ``left_out`` counts the clips of dropped classes."""
    name = cfg["dataset"]["name"]
    sizes = ", ".join(f"{len(data.side(side)):,} {side}" for side in SIDES)
    console.print(f"[bold]{escape(name)}[/bold], split={cfg['split']['name']} ({data.split.hash}): {sizes}")
    console.print(f"Emotions, in this order: {escape(', '.join(data.labels))}")
    if left_out:
        console.print(f"Left out by labels: {escape(_counted(left_out))}")
    if data.split.left_out:
        unshared = Counter(f"{clip.corpus} {clip.emotion}" for clip in data.split.left_out)
        console.print(f"Left out, for not all corpora have them: {escape(_counted(unshared))}")
    tell_unusable(data.skipped)
    for side, emotions in missing_classes({side: data.side(side) for side in SIDES}).items():
        console.print(f"[red]{side} has no clip of {escape(', '.join(emotions))}[/red]")
    console.print(escape(leakage_line(data.leakage())), soft_wrap=True)
    if data.prior is not None:
        console.print(escape(voices_line(data)), soft_wrap=True)
    if data.without_votes:
        console.print(f"{len(data.without_votes)} training clips got no vote for these emotions and keep their own")
    shape = " × ".join(map(str, data.input_shape))
    console.print(
        f"{escape(features_of(cfg))} ({shape}) → {cfg['model']['name']}, {parameters_of(network):,} parameters"
    )
    console.print(f"{trainer.max_epochs} epochs on {data.device}, precision {trainer.precision}, seed {cfg['seed']}")
    if name in SYNTHETIC:
        console.print(f"[yellow]{SYNTHETIC_CAUTION}[/yellow]")
    if cfg["split"]["name"] != "official" and any(clip.split for clip in data.clips):
        console.print("[yellow]The corpus brings a split of its own, which split=official would follow.[/yellow]")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))


def _raters_line(raters: dict[str, Any]) -> str:
    figures = {name: raters[name]["accuracy"] for name in ("one_rater", "majority", "network_with_majority")}
    return (
        f"Human raters, voice only, on {raters['clips']:,} of the test clips: one rater is right in "
        f"{figures['one_rater']:.3f} of the votes, the majority in {figures['majority']:.3f}; "
        f"the network agrees with the majority in {figures['network_with_majority']:.3f}."
    )


def show(record: RunRecord, folder: Path) -> None:
    """Print scores, confusion matrix, the classes from most to least confusing, and what was left out."""
    checkpoint = record.checkpoint
    epoch = "" if checkpoint["epoch"] is None else f" checkpoint (epoch {checkpoint['epoch']})"
    names = [name for name in (*SCORES, "loss") if name in record.test]
    bounds = record.intervals
    rows = [
        [f"{record.test[name]:.4f}" for name in names],
        ["{:.3f}-{:.3f}".format(*bounds[name]) if name in bounds else "" for name in names],
    ]
    console.print(table_of(f"Test, {checkpoint['tested']}{epoch}", names, rows))
    console.print(f"Below: 95 % interval by a bootstrap over {escape(bounds['over'])}.", soft_wrap=True)
    if record.enrolment:
        console.print(f"Enrolment: {escape(enrolment_line(record.enrolment))}", soft_wrap=True)
    if adaptation := record.adaptation:
        clips = ", ".join(f"{part['clips']:,}" for part in adaptation["parts"])
        assumed = "; emotions taken to be equally frequent" if adaptation["balanced"] else ""
        console.print(f"Adapted without labels on {adaptation['on']} ({clips} clips){assumed}.", soft_wrap=True)
    if calibration := record.calibration:
        console.print(
            f"Calibration: temperature {calibration['temperature']:.2f} from {calibration['validation_clips']} "
            f"validation clips; expected calibration error {calibration['test_error_before']:.3f} before, "
            f"{calibration['test_error']:.3f} after.",
            soft_wrap=True,
        )
    if record.raters:
        console.print(_raters_line(record.raters), soft_wrap=True)

    labels = record.confusion_matrix["labels"]
    counts = [[label, *map(str, row)] for label, row in zip(labels, record.confusion_matrix["counts"], strict=True)]
    console.print(table_of("Confusion matrix, true × predicted", ["", *labels], counts))

    ranking = []
    for label in record.most_confusing:
        line = record.classes[label]
        remark = "" if line["predicted"] else "never predicted: precision is not defined, shown as 0"
        ranking.append([label, *(f"{line[key]:.4f}" for key in ("f1", "precision", "recall")), remark])
    heads = ("emotion", "f1", "precision", "recall", "")
    console.print(table_of("Most confusing classes", heads, ranking, ("emotion", "")))

    for skipped in record.dataset["skipped"]:
        console.print(f"[red]left out[/red] {escape(skipped['reason'])}", highlight=False)
    if record.dataset["remarks"]:
        console.print(f"{len(record.dataset['remarks'])} clips were odd and used; metrics.json tells how")
    console.print(escape(record.split["leakage"]), soft_wrap=True)
    if record.dataset["synthetic"]:
        console.print(f"[yellow]{SYNTHETIC_CAUTION}[/yellow]")
    console.print(f"Run folder: {escape(str(folder))}", soft_wrap=True)
