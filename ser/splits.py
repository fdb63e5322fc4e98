"""Clips → train, validation and test."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import ShuffleSplit, train_test_split

from ser.corpora import SIDES, Clip
from ser.errors import UserError

CANDIDATES = 1000
"""Draws of speakers among which the most balanced one is taken."""


class SplitError(UserError):
    """A split that these clips don't allow; the message gives the remedy."""


@dataclass(frozen=True)
class Split:
    """Three lists of clips without an overlap; together they are all clips of the corpus."""

    train: list[Clip]
    val: list[Clip]
    test: list[Clip]

    def speakers_in_common(self) -> tuple[int, int]:
        """How many of the test speakers are heard in training or validation, and how many test speakers there are."""
        test = {clip.speaker for clip in self.test if clip.speaker is not None}
        seen = {clip.speaker for clip in [*self.train, *self.val]}
        return len(test & seen), len(test)


def split_clips(clips: Sequence[Clip], name: str, seed: int = 42, test: float = 0.3, val: float = 0.05) -> Split:
    """Divide ``clips``, the same for any order of them.

    Args:
        clips: The whole corpus.
        name: ``stratified``, by emotion, with speakers on both sides: the report's split. Clips sorted by name go
            through scikit-learn's ``train_test_split`` twice, stratified by the integer label.
            ``speaker``: no speaker on two sides, as balanced by emotion as the speakers allow.
            ``official``: the split that the clips bring themselves.
        seed: Draws the split, and nothing else.
        test: Share of the clips (of the speakers) for test.
        val: Share of what is left for validation.

    Raises:
        SplitError: The clips don't allow this split, or there is no split of that name.
    """
    ordered = sorted(clips, key=lambda clip: clip.name)
    if name == "stratified":
        split = _stratified(ordered, seed, test, val)
    elif name == "speaker":
        split = _by_speaker(ordered, seed, test, val)
    elif name == "official":
        split = _official(ordered)
    else:
        raise SplitError(f"no split is called {name!r}; split= can be stratified, speaker or official")
    for side in SIDES:
        if not getattr(split, side):
            raise SplitError(
                f"split={name} leaves no clip for {side}: mark some as {side} in the manifest's column split, "
                "or take another split="
            )
    return split


def _stratified(clips: list[Clip], seed: int, test: float, val: float) -> Split:
    emotions = np.array([clip.emotion for clip in clips])
    _, labels = np.unique(emotions, return_inverse=True)
    try:
        rest, test_side = train_test_split(np.arange(len(clips)), test_size=test, random_state=seed, stratify=labels)
        train, val_side = train_test_split(rest, test_size=val, random_state=seed, stratify=labels[rest])
    except ValueError as error:
        names, counts = np.unique(emotions, return_counts=True)
        raise SplitError(
            f"split=stratified can't divide {dict(zip(names.tolist(), counts.tolist(), strict=True))}: {error}; "
            "record more clips of the rare emotions, or take larger shares (split.test=, split.val=)"
        ) from error
    return Split(*([clips[i] for i in np.sort(side)] for side in (train, val_side, test_side)))


def _by_speaker(clips: list[Clip], seed: int, test: float, val: float) -> Split:
    unknown = [clip.name for clip in clips if clip.speaker is None]
    if unknown:
        raise SplitError(
            f"split=speaker needs every clip's speaker, and {len(unknown)} have none (such as {unknown[0]!r}): "
            "name them in a manifest's column speaker, or take split=stratified"
        )
    speakers = np.unique([str(clip.speaker) for clip in clips])
    rest, test_side = _balanced(clips, speakers, test, seed)
    train, val_side = _balanced(clips, rest, val, seed)
    sides = [set(side.tolist()) for side in (train, val_side, test_side)]
    return Split(*([clip for clip in clips if clip.speaker in side] for side in sides))


def _balanced(clips: list[Clip], speakers: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide ``speakers`` in two; among many draws, the one whose smaller side has the most even share of each class.

    A draw is as good as its worst class: the largest distance between ``share`` and the part of a class's clips that
    falls on the smaller side.
    """
    if len(speakers) < 2:
        raise SplitError(
            f"split=speaker needs a speaker for each of train, validation and test, and the speakers run out at "
            f"{', '.join(speakers.tolist())}; take split=stratified or record more people"
        )
    among = [clip for clip in clips if clip.speaker in set(speakers.tolist())]
    _, rows = np.unique([str(clip.speaker) for clip in among], return_inverse=True)
    emotions, columns = np.unique([clip.emotion for clip in among], return_inverse=True)
    counts = np.zeros((len(speakers), len(emotions)))
    np.add.at(counts, (rows, columns), 1)
    parts = counts / counts.sum(axis=0)
    try:
        draws = list(ShuffleSplit(CANDIDATES, test_size=share, random_state=seed).split(speakers))
    except ValueError as error:
        raise SplitError(
            f"split=speaker can't take a share of {share} of {len(speakers)} speakers: {error}; "
            "take another share (split.test=, split.val=) or record more people"
        ) from error
    worst = [np.abs(parts[smaller].sum(axis=0) - share).max() for _, smaller in draws]
    larger, smaller = draws[int(np.argmin(worst))]
    return speakers[np.sort(larger)], speakers[np.sort(smaller)]


def _official(clips: list[Clip]) -> Split:
    without = [clip.name for clip in clips if clip.split is None]
    if without:
        raise SplitError(
            f"split=official needs a split for every clip, and {len(without)} have none (such as {without[0]!r}): "
            "fill the manifest's column split with train, val or test, or take another split="
        )
    return Split(*([clip for clip in clips if clip.split == side] for side in SIDES))
