"""The emotions that a run distinguishes: classes merged, kept and dropped, over one corpus or several."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ser.data.corpora import Clip
from ser.data.corpora.clip import spelling_key
from ser.data.corpora.reading import is_unknown
from ser.errors import UserError


class LabelError(UserError):
    """A choice of classes that the clips don't allow; the message names the classes they have."""


@dataclass(frozen=True)
class Labels:
    """A choice of classes: first ``merge``, then ``keep``, then ``drop``.

    Attributes:
        merge: Emotion → the class it becomes. ``corpus/emotion`` stands for the emotion of one corpus only.
        keep: The classes that stay, or None for all.
        drop: Classes that go.
    """

    merge: Mapping[str, str] | None = None
    keep: Sequence[str] | None = None
    drop: Sequence[str] | None = None

    def apply(self, clips: Sequence[Clip]) -> tuple[list[Clip], dict[str, int]]:
        """Return the clips with their classes, and the number of clips of each class that were left out.

        Votes are merged along with the classes.

        Raises:
            LabelError: A name is not an emotion of the clips, two classes are one name in two spellings, fewer than two
                are left, or the name of one that is left says that the emotion isn't known.
        """
        for option in ("merge", "keep", "drop"):
            if isinstance(given := getattr(self, option), str):
                form = "{calm: neutral}" if option == "merge" else f"[{given}]"
                raise LabelError(f"labels.{option}={given} is one word; write labels.{option}='{form}'")
        merge = self.merge or {}
        shown = {clip.emotion for clip in clips}
        known = shown | {f"{clip.corpus}/{clip.emotion}" for clip in clips}
        _check("merge", merge, known, shown)
        merged = [_merged(clip, merge) for clip in clips]
        classes = {clip.emotion for clip in merged}
        _refuse_spellings(classes)
        _check("keep", self.keep or (), classes, classes)
        _check("drop", self.drop or (), classes, classes)
        staying = (classes if self.keep is None else set(self.keep)) - set(self.drop or ())
        if len(staying) < 2:
            raise LabelError(
                f"labels leave {', '.join(sorted(staying)) or 'nothing'} of {', '.join(sorted(classes))}; "
                "a run needs at least two emotions: see labels.keep= and labels.drop="
            )
        if nothing := sorted(filter(is_unknown, staying)):
            count = sum(clip.emotion in nothing for clip in merged)
            raise LabelError(
                f"{count:,} clips have the label {', '.join(map(repr, nothing))}, which says that their emotion isn't "
                f"known: labels.drop={_typed(nothing)} leaves them out, and labels.merge= "
                "gives the class another name"
            )
        left_out = Counter(clip.emotion for clip in merged if clip.emotion not in staying)
        return [clip for clip in merged if clip.emotion in staying], dict(sorted(left_out.items()))


def refuse_lost(clips: Sequence[Clip], unusable: Mapping[str, str]) -> None:
    """Refuse classes without a usable clip.

    Args:
        clips: Clips of all classes that a run distinguishes.
        unusable: Clip's name → why it can't be used.

    Raises:
        LabelError: There are such classes; the message names them and gives the reason.
    """
    shown = {clip.emotion for clip in clips if clip.name not in unusable}
    lost = [clip for clip in clips if clip.emotion not in shown]
    if lost:
        names = sorted({clip.emotion for clip in lost})
        advice = f", or leave them out (labels.drop={_typed(names)})" if len(shown) > 1 else ""
        raise LabelError(
            f"no usable clip of {', '.join(names)}: {len(lost):,} clips can't be used, such as "
            f"{unusable[lost[0].name]}; mend them{advice}"
        )


def _refuse_spellings(classes: set[str]) -> None:
    """Refuse classes whose names differ only in spelling, as those of several corpora or merged ones may."""
    first: dict[str, str] = {}
    for name in sorted(classes):
        other = first.setdefault(spelling_key(name), name)
        if other != name:
            raise LabelError(
                f"the classes {other!a} and {name!a} are one name in two spellings: write it alike in "
                "labels.merge=, or merge one into the other"
            )


def _typed(names: Sequence[str]) -> str:
    plain = all(re.fullmatch(r"\w+", name) for name in names)
    return f"[{','.join(names)}]" if plain else f"'{json.dumps(names, ensure_ascii=False)}'"


def _check(option: str, given: Sequence[str] | Mapping[str, str], known: set[str], shown: set[str]) -> None:
    if unknown := sorted(set(given) - known):
        raise LabelError(
            f"labels.{option} names {', '.join(unknown)}, and no clip shows that; they show {', '.join(sorted(shown))}"
        )


def _merged(clip: Clip, merge: Mapping[str, str]) -> Clip:
    def name(emotion: str) -> str:
        return merge.get(f"{clip.corpus}/{emotion}", merge.get(emotion, emotion))

    if clip.votes is None:
        return replace(clip, emotion=name(clip.emotion)) if merge else clip
    votes: Counter[str] = Counter()
    for emotion, count in clip.votes.items():
        votes[name(emotion)] += count
    return replace(clip, emotion=name(clip.emotion), votes=dict(votes))
