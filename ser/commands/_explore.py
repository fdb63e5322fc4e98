"""What ``ser explore`` calls and prints, without its options, so that its help appears at once."""

from pathlib import Path
from typing import Any

import soundfile
import torch
from rich.table import Table

from ser.data.audio import MOST_SAMPLES, open_sound
from ser.data.bank import WaveformBank, decode_clips, fingerprints, reasons
from ser.data.corpora import SIDES
from ser.data.explore import Survey, first_clip, missing_classes, survey, usable_part, write_clips
from ser.data.labels import refuse_lost
from ser.data.splits import SplitError, split_clips
from ser.errors import Screen, escape
from ser.features import FeatureConfig, FeatureSet
from ser.results import leakage_line, read_clips, tell_unusable
from ser.results.figures import counts_figure, lengths_figure, log_mel_figure, waveforms_figure

LISTED = 10

console = Screen()


def explore(cfg: dict[str, Any], out: Path, emotion: str | None = None, place: int = 0) -> None:
    """Print and write all there is to know of the corpus of ``cfg``; with ``emotion`` also one clip of it.

    Raises:
        UserError: The corpus can't be read, an emotion has no clip that can be used, or there is no such clip. What is
            known of the corpus was printed and written before.
    """
    clips, left_out = read_clips(cfg)
    recordings = decode_clips(clips, cfg["features"]["sample_rate"]).found
    found = survey(clips, recordings)
    out.mkdir(parents=True, exist_ok=True)
    show(found, left_out)
    if found.usable:
        show_split(cfg, found, fingerprints(recordings))
    write_clips(out / "clips.csv", found)
    refuse_lost(clips, reasons(recordings))
    draw(found, cfg, out)
    if emotion is not None:
        position, clip, _ = first_clip(found, emotion, place)
        with open_sound(clip.path, cfg["features"]["sample_rate"]) as file:  # at its own rate, with all its channels
            soundfile.write(
                out / "clip.wav", file.read(min(file.frames, MOST_SAMPLES), dtype="float32"), file.samplerate
            )
        console.print(
            f"place {position}: {escape(clip.name)}, {escape(clip.emotion)} → {escape(out / 'clip.wav')}",
            soft_wrap=True,
        )
    console.print(f"clips.csv and pictures: {escape(str(out))}", soft_wrap=True)


def show(found: Survey, left_out: dict[str, int]) -> None:
    """Print what the clips are."""
    speakers = {clip.speaker for clip in found.clips} - {None}
    unknown = sum(clip.speaker is None for clip in found.clips)
    console.print(
        f"{len(found.clips):,} clips, {found.hours:.2f} hours, {len(speakers)} speakers"
        + (f"; the speaker of {unknown:,} clips is not known" if unknown else "")
    )
    tell_unusable(found.problems)
    if left_out:
        console.print(
            f"left out by labels: {escape(', '.join(f'{count:,} {name}' for name, count in left_out.items()))}"
        )
    table = Table("emotion", "clips", "speakers")
    for emotion, (count, people) in found.classes().items():
        table.add_row(escape(emotion), f"{count:,}", str(people))
    console.print(table)
    if found.usable:
        seconds = sorted(found.seconds.tolist())
        console.print(f"lengths: {seconds[0]:.2f} to {seconds[-1]:.2f} s, median {seconds[len(seconds) // 2]:.2f} s")
    for kind, count in found.formats().items():
        console.print(f"{escape(kind)}: {count:,} clips")
    for name, listed in (
        ("can't be used", [reason for _, reason in found.problems]),
        ("silent", found.silent),
        *found.odd.items(),
        ("clipped (over 0.1 % of the samples at full scale)", found.clipped),
        ("recordings that are there more than once", [" = ".join(names) for names in found.copies]),
        ("recordings with several labels", [" = ".join(names) for names in found.contradictions]),
    ):
        console.print(f"{name}: {len(listed)}" if listed else f"{name}: none")
        for line in listed[:LISTED]:
            console.print(f"  {escape(line)}", soft_wrap=True, highlight=False)
        if len(listed) > LISTED:
            console.print(f"  and {len(listed) - LISTED} more, in clips.csv")


def show_split(cfg: dict[str, Any], found: Survey, twins: dict[str, str | None]) -> None:
    """Print how the split divides the clips that can be used, or why it can't."""
    name = cfg["split"]["name"]
    try:
        split = split_clips(found.clips, fingerprints=twins, **cfg["split"])
    except SplitError as error:
        console.print(f"[red]split={name} is not possible:[/red] {escape(str(error))}", soft_wrap=True)
        return
    usable = usable_part(split, found)
    sides = {side: getattr(usable, side) for side in SIDES}
    sizes = ", ".join(f"{len(own):,} {side}" for side, own in sides.items())
    console.print(f"split={name} ({split.hash}): {sizes}")
    console.print(escape(leakage_line(usable.leakage())), soft_wrap=True)
    for side, emotions in missing_classes(sides).items():
        console.print(f"[red]{side} has no clip of {escape(', '.join(emotions))}[/red]")


def draw(found: Survey, cfg: dict[str, Any], out: Path) -> None:
    """Write the pictures: label counts, lengths, and a clip of each class as waveform and log-mel."""
    rate = cfg["features"]["sample_rate"]
    counts_figure({emotion: count for emotion, (count, _) in found.classes().items()}).savefig(out / "labels.png")
    lengths_figure(found.seconds).savefig(out / "lengths.png")
    first = {clip.emotion: recording for clip, recording in reversed(found.usable) if not recording.silent}
    bank = WaveformBank.of([first[emotion].samples for emotion in sorted(first)])
    sounds = {
        emotion: bank.gather(torch.tensor([i]), int(bank.lengths[i]))[0] for i, emotion in enumerate(sorted(first))
    }
    if sounds:
        waveforms = {emotion: sound[0].numpy() for emotion, sound in sounds.items()}
        waveforms_figure(waveforms, rate).savefig(out / "waveforms.png")
        mel = FeatureSet(FeatureConfig(names=["mel"], sample_rate=rate))
        pictures = {emotion: mel(sound)[0].numpy() for emotion, sound in sounds.items()}
        log_mel_figure(pictures, mel.hop_length / rate).savefig(out / "log_mel.png")
