"""A look through a corpus before training on it: what its clips are, and what is odd about them."""

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ser.data.audio import BREAKS_OFF, CANCELS, AudioError, Recording, kind_of
from ser.data.corpora import SIDES, Clip
from ser.data.splits import Split
from ser.errors import UserError

CLIPPED_SHARE = 0.001
"""A clip with more of its samples at full scale than this is called clipped."""

Recordings = Mapping[str, Recording | AudioError]


@dataclass(frozen=True)
class Survey:
    """A corpus, looked through.

    Attributes:
        clips: All clips, in the corpus's order.
        usable: Those that can be decoded, with their recordings.
        problems: Those that can't, with the reason.
        silent: Names of clips without sound.
        odd: What else is odd about clips, such as that a file breaks off: names of clips, by the remark's kind.
        clipped: Names of clips with more than ``CLIPPED_SHARE`` of their samples at full scale.
        copies: Names of clips that decode to the same samples under one label, a tuple per recording.
        contradictions: Names of clips that decode to the same samples under several labels, a tuple per recording.
    """

    clips: list[Clip]
    usable: list[tuple[Clip, Recording]]
    problems: list[tuple[Clip, str]]
    silent: list[str]
    odd: dict[str, list[str]]
    clipped: list[str]
    copies: list[tuple[str, ...]]
    contradictions: list[tuple[str, ...]]

    @property
    def hours(self) -> float:
        """Hours of sound in all usable clips."""
        return sum(recording.seconds for _, recording in self.usable) / 3600

    @property
    def seconds(self) -> np.ndarray:
        """Length of each usable clip in seconds, ``(clip,)``."""
        return np.array([recording.seconds for _, recording in self.usable])

    def formats(self) -> dict[str, int]:
        """Count usable clips by rate and number of channels, the most common first."""
        kinds = Counter(
            f"{recording.rate:,} Hz, {recording.channels} channel{'s' if recording.channels > 1 else ''}"
            for _, recording in self.usable
        )
        return dict(kinds.most_common())

    def classes(self) -> dict[str, tuple[int, int]]:
        """Count clips and known speakers of each emotion."""
        clips: dict[str, list[Clip]] = defaultdict(list)
        for clip in self.clips:
            clips[clip.emotion].append(clip)
        return {
            emotion: (len(own), len({clip.speaker for clip in own} - {None})) for emotion, own in sorted(clips.items())
        }


def survey(clips: Sequence[Clip], recordings: Recordings) -> Survey:
    """Look through a corpus.

    Args:
        clips: All clips of the corpus.
        recordings: Result of ``ser.data.bank.decode`` for each, by clip's name.
    """
    usable, problems, twins = [], [], defaultdict(list)
    for clip in clips:
        recording = recordings[clip.name]
        if isinstance(recording, AudioError):
            problems.append((clip, str(recording)))
            continue
        usable.append((clip, recording))
        if recording.fingerprint is not None:
            twins[recording.fingerprint].append(clip)
    several = [own for own in twins.values() if len(own) > 1]
    return Survey(
        clips=list(clips),
        usable=usable,
        problems=problems,
        silent=[clip.name for clip, recording in usable if recording.silent],
        odd={
            kind: [
                f"{clip.name}{remark.removeprefix(kind)}"
                for clip, recording in usable
                for remark in recording.remarks
                if kind_of(remark) == kind
            ]
            for kind in (BREAKS_OFF, CANCELS)
        },
        clipped=[clip.name for clip, recording in usable if recording.clipped > CLIPPED_SHARE],
        copies=[_names(own) for own in several if len({clip.emotion for clip in own}) == 1],
        contradictions=[_names(own) for own in several if len({clip.emotion for clip in own}) > 1],
    )


def _names(clips: Sequence[Clip]) -> tuple[str, ...]:
    return tuple(clip.name for clip in clips)


def missing_classes(sides: Mapping[str, Sequence[Clip]]) -> dict[str, list[str]]:
    """Return by side of a split the emotions that only other sides show."""
    shown = {side: {clip.emotion for clip in own} for side, own in sides.items()}
    everything = set().union(*shown.values())
    return {side: sorted(everything - own) for side, own in shown.items() if everything - own}


def usable_part(split: Split, found: Survey) -> Split:
    """Return a split of a survey's clips without those that can't be used."""
    usable = {clip.name for clip, _ in found.usable}
    sides = {side: [clip for clip in getattr(split, side) if clip.name in usable] for side in SIDES}
    return replace(split, train=sides["train"], val=sides["val"], test=sides["test"])


def first_clip(found: Survey, emotion: str, place: int = 0) -> tuple[int, Clip, Recording]:
    """Return the first usable clip of an emotion at or after a place in the list of all clips, and its own place.

    Raises:
        UserError: There is none.
    """
    positions = {clip.name: position for position, clip in enumerate(found.clips)}
    for clip, recording in found.usable:
        if clip.emotion == emotion and positions[clip.name] >= place:
            return positions[clip.name], clip, recording
    raise UserError(
        f"no usable clip of {emotion!r} at place {place} or after it; there are {len(found.clips)} clips, of "
        f"{', '.join(found.classes())}"
    )


def write_clips(path: Path, found: Survey) -> None:
    """Write a CSV with one line per clip: its metadata and what is odd about it."""
    recordings = {clip.name: recording for clip, recording in found.usable}
    problems = {clip.name: reason for clip, reason in found.problems}
    twins = {name: names for names in [*found.copies, *found.contradictions] for name in names}
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        heads = ("seconds", "sample_rate", "channels", "silent", "clipped", "same_recording_as", "remarks", "problem")
        table.writerow(["clip", "path", "emotion", "speaker", *heads])
        for clip in found.clips:
            line: list[object] = [clip.name, clip.path, clip.emotion, clip.speaker or ""]
            if recording := recordings.get(clip.name):
                line += [f"{recording.seconds:.3f}", recording.rate, recording.channels, int(recording.silent)]
                line += [f"{recording.clipped:.5f}"]
            else:
                line += [""] * 5
            others = " ".join(name for name in twins.get(clip.name, ()) if name != clip.name)
            remarks = "; ".join(recording.remarks) if recording else ""
            table.writerow([*line, others, remarks, problems.get(clip.name, "")])
