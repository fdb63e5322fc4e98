"""Clips → train, validation and test, and the guard against speakers and recordings on two sides."""

import hashlib
import inspect
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import ShuffleSplit, StratifiedGroupKFold, train_test_split

from ser.data.corpora import SIDES, Clip
from ser.data.corpora.clip import spelling_key
from ser.errors import UserError

CANDIDATES = 1000
"""Number of random divisions of units. The most balanced one is taken."""

UNITS = ("speaker", "session", "clip")
"""Units that a split may keep on one side: all clips of a speaker, all of a session, or only twins."""

LISTED = 10
"""Most clips that a message lists."""

Fingerprints = Mapping[str, str | None]
"""Clip's name → a digest that is equal for two clips that decode to the same samples; None for silence."""


class SplitError(UserError):
    """A split that these clips don't allow; the message gives the remedy."""


@dataclass(frozen=True)
class Leakage:
    """Speakers and recordings on more than one side of a split.

    Attributes:
        seen: Test speakers that are also in training or validation, sorted.
        test_speakers: Number of known speakers of the test clips.
        speakers: All speakers on two sides, sorted.
        recordings: Names of clips on two sides that decode to the same samples, or are copies of one original: a tuple
            per recording, sorted.
        unknown: Whether some speakers are not known, of the clips or of an earlier training of the network, so that
            more of the test speakers may have been seen.
    """

    seen: list[str]
    test_speakers: int
    speakers: list[str]
    recordings: list[tuple[str, ...]]
    unknown: bool = False

    @property
    def seen_before(self) -> int | None:
        """Number of test speakers seen in training or validation; None where that is not known."""
        return None if self.unknown and not self.seen else len(self.seen)


@dataclass(frozen=True)
class Split:
    """Three lists of clips without an overlap; together they are all clips except those left out.

    Attributes:
        train: Clips to which the network and the normaliser are fitted.
        val: Clips for what is chosen or calibrated: the best epoch, the temperature.
        test: Clips that are used once, at the end.
        left_out: Clips of classes that the test corpora don't share with the others.
        fingerprints: Tell which clips are the same recording.
    """

    train: list[Clip]
    val: list[Clip]
    test: list[Clip]
    left_out: list[Clip] = field(default_factory=list)
    fingerprints: Fingerprints = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that are equal for splits with the same clips and labels on each side."""
        lines = sorted(f"{side}\t{clip.name}\t{clip.emotion}\n" for side in SIDES for clip in getattr(self, side))
        return hashlib.sha256("".join(lines).encode()).hexdigest()[:12]

    def leakage(self) -> Leakage:
        """Look for speakers, decoded recordings and copies of one original on two sides."""
        speakers = {
            side: {spelling_key(c.speaker): c.speaker for c in getattr(self, side) if c.speaker} for side in SIDES
        }
        pairs = [(speakers[one], speakers[other]) for one, other in combinations(SIDES, 2)]
        shared = {one[key] for one, other in pairs for key in one.keys() & other.keys()}
        before = speakers["train"].keys() | speakers["val"].keys()
        everything = [clip for side in SIDES for clip in getattr(self, side)]
        units = find_units(everything, "clip", self.fingerprints).tolist() if everything else []
        where = [side for side in SIDES for _ in getattr(self, side)]
        sides: dict[str, set[str]] = defaultdict(set)
        names: dict[str, set[str]] = defaultdict(set)
        for clip, side, unit in zip(everything, where, units, strict=True):
            sides[unit].add(side)
            names[unit].add(clip.name)
        return Leakage(
            seen=sorted(speakers["test"][key] for key in speakers["test"].keys() & before),
            test_speakers=len(speakers["test"]),
            speakers=sorted(shared),
            recordings=sorted(tuple(sorted(names[unit])) for unit, on in sides.items() if len(on) > 1),
            unknown=any(clip.speaker is None for clip in everything),
        )


def split_clips(clips: Sequence[Clip], name: str, fingerprints: Fingerprints | None = None, **options: Any) -> Split:
    """Divide ``clips``; their order makes no difference.

    Args:
        clips: All clips of one corpus or several, each with a name of its own.
        name: One of ``SPLITS``.
        fingerprints: Tell which clips are the same recording. All splits but ``stratified`` and ``official`` keep
            such twins on one side.
        options: Arguments of the split's function.

    Raises:
        SplitError: The clips don't allow this split, there is no split of that name or option, or a split that
            promises to keep speakers or recordings apart doesn't.

    Example:
        >>> from ser.data.corpora import read_corpora
        >>> clips = read_corpora({"name": "manifest", "root": "clips.csv"})
        >>> split = split_clips(clips, "speaker", test=0.4, val=0.2)
        >>> {clip.speaker for clip in split.test} & {clip.speaker for clip in split.train}
        set()
    """
    if not clips:
        raise SplitError("there are no clips to divide: record more clips, or see dataset.root= and labels.keep=")
    if name not in SPLITS:
        raise SplitError(f"no split is called {name!r}; split= can be {', '.join(SPLITS)}")
    twice = [clip for clip, times in Counter(clip.name for clip in clips).items() if times > 1]
    if twice:
        raise SplitError(
            f"{len(twice)} names stand for more than one clip, such as {twice[0]!r}: see dataset.root= or the manifest"
        )
    divide = SPLITS[name]
    _check_options(divide, name, options)
    ordered = sorted(clips, key=lambda clip: clip.name)
    known = {"fingerprints": fingerprints or {}} if "fingerprints" in inspect.signature(divide).parameters else {}
    split = replace(divide(ordered, **known, **options), fingerprints=fingerprints or {})
    for side in SIDES:
        if not getattr(split, side):
            raise SplitError(
                f"split={name} leaves no clip for {side}: mark some as {side} in the manifest's column split, "
                "or take another split="
            )
    _guard(split, name, options.get("by", "speaker"))
    return split


def _check_options(divide: Callable[..., Split], name: str, options: Mapping[str, Any]) -> None:
    known = [option for option in inspect.signature(divide).parameters if option not in ("clips", "fingerprints")]
    for option, value in options.items():
        if option not in known:
            raise SplitError(f"split={name} has no option split.{option}=; it has {', '.join(known) or 'none'}")
        whole = isinstance(value, int) and not isinstance(value, bool)
        if option in ("test", "val") and not (isinstance(value, int | float) and 0 < value < 1):
            raise SplitError(
                f"split.{option}={value} must lie between 0 and 1, and be neither: it is a share of the clips or "
                "speakers; take another (split.test=, split.val=)"
            )
        if option in ("seed", "folds", "fold") and not (whole and (option != "seed" or value >= 0)):
            raise SplitError(f"split.{option}={value} must be a whole number, 0 or more")


def _guard(split: Split, name: str, by: str) -> None:
    """Refuse a leak that the split promises not to have."""
    leakage = split.leakage()
    if leakage.recordings and name != "stratified":
        raise SplitError(
            f"split={name} has {len(leakage.recordings)} recordings on two sides: "
            f"{_listing([' = '.join(names) for names in leakage.recordings])}; "
            "give all copies of a recording one side, or remove all but one"
        )
    if leakage.speakers and by != "clip" and name not in ("stratified", "official"):
        shared = set(map(spelling_key, leakage.speakers))
        names = [
            clip.name
            for side in SIDES
            for clip in getattr(split, side)
            if clip.speaker and spelling_key(clip.speaker) in shared
        ]
        raise SplitError(
            f"split={name} has {len(shared)} speakers on two sides, {_listing(leakage.speakers)}, "
            f"with the clips {_listing(names)}; give different people different names, or take "
            f"{'split=official' if by == 'session' else 'split.by=clip'}"
        )


def _listing(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def stratified(clips: list[Clip], seed: int = 42, test: float = 0.3, val: float = 0.05) -> Split:
    """Divide clips by emotion, with speakers on both sides: the report's split.

    Clips sorted by name go through scikit-learn's ``train_test_split`` twice, stratified by emotion.

    Args:
        clips: Sorted by name.
        seed: Draws the split, and nothing else.
        test: Share of the clips for test.
        val: Share of the rest for validation.

    Raises:
        SplitError: An emotion has too few clips.
    """
    emotions = np.array([clip.emotion for clip in clips])
    try:
        rest, test_side = train_test_split(np.arange(len(clips)), test_size=test, random_state=seed, stratify=emotions)
        train, val_side = train_test_split(rest, test_size=val, random_state=seed, stratify=emotions[rest])
    except ValueError as error:
        names, counts = np.unique(emotions, return_counts=True)
        raise SplitError(
            f"split=stratified can't divide {dict(zip(names.tolist(), counts.tolist(), strict=True))}: {error}; "
            "record more clips of the rare emotions, or take larger shares (split.test=, split.val=)"
        ) from error
    train, val_side, test_side = ([clips[i] for i in np.sort(side)] for side in (train, val_side, test_side))
    return Split(train, val_side, test_side)


def by_speaker(
    clips: list[Clip], fingerprints: Fingerprints, seed: int = 42, test: float = 0.3, val: float = 0.15
) -> Split:
    """Divide so that no speaker is on two sides, as balanced by emotion as the speakers allow.

    Args:
        clips: Sorted by name.
        fingerprints: Equal for twins.
        seed: Draws the split, and nothing else.
        test: Share of the speakers for test.
        val: Share of the others for validation.

    Raises:
        SplitError: A clip's speaker is not known, or there are too few.
    """
    units = find_units(clips, "speaker", fingerprints)
    rest, test_side = _balanced(clips, units, np.unique(units), test, seed, "speaker")
    return _sides(clips, units, rest, test_side, val, seed, "speaker")


def kfold(
    clips: list[Clip],
    fingerprints: Fingerprints,
    seed: int = 42,
    folds: int = 5,
    fold: int = 0,
    by: str = "speaker",
    val: float = 0.15,
) -> Split:
    """Divide so that fold ``fold`` of ``folds`` is the test side; over all folds every clip is tested once.

    Folds are scikit-learn's ``StratifiedGroupKFold``: as balanced by emotion as the units allow.

    Args:
        clips: Sorted by name.
        fingerprints: Equal for twins.
        seed: Draws the folds and the validation side, and nothing else.
        folds: Number of folds, at least 2.
        fold: Number of the test fold, from 0.
        by: Unit that no two sides share: ``speaker``, ``session``, or ``clip``, which keeps only twins together.
        val: Share of the units that aren't tested for validation.

    Raises:
        SplitError: A number is out of its range, the units aren't known or are too few.
    """
    units = find_units(clips, by, fingerprints)
    count = len(np.unique(units))
    if not 2 <= folds <= count:
        raise SplitError(f"split.folds={folds} must lie between 2 and {count}, the {by}s there are")
    _check_fold(fold, folds)
    emotions = [clip.emotion for clip in clips]
    folder = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # An emotion with fewer clips than folds is missing from some test sides; results count clips by emotion.
        warnings.filterwarnings("ignore", "The least populated class")
        try:
            rest, test_side = list(folder.split(emotions, emotions, units))[fold]
        except ValueError as error:
            raise SplitError(f"split=kfold can't make {folds} folds: {error}; take fewer (split.folds=)") from error
    return _sides(clips, units, np.unique(units[rest]), np.unique(units[test_side]), val, seed, by)


def loso(
    clips: list[Clip], fingerprints: Fingerprints, seed: int = 42, fold: int = 0, by: str = "speaker", val: float = 0.15
) -> Split:
    """Divide so that one speaker, or one session, is the test side: number ``fold`` in alphabetical order.

    Args:
        clips: Sorted by name.
        fingerprints: Equal for twins.
        seed: Draws the validation side, and nothing else.
        fold: Number of the test speaker or session, from 0.
        by: ``speaker`` or ``session``.
        val: Share of the others for validation.

    Raises:
        SplitError: There is no such fold, or the units aren't known or are too few.
    """
    if by not in ("speaker", "session"):
        raise SplitError(f"split.by={by!r} must be speaker or session; split=kfold can divide by clip, too")
    units = find_units(clips, by, fingerprints)
    everyone = np.unique(units)
    _check_fold(fold, len(everyone))
    return _sides(clips, units, np.delete(everyone, fold), everyone[fold : fold + 1], val, seed, by)


def official(clips: list[Clip]) -> Split:
    """Divide as the clips' own ``split`` says.

    Raises:
        SplitError: A clip has none.
    """
    without = [clip.name for clip in clips if clip.split is None]
    if without:
        raise SplitError(
            f"split=official needs a split for every clip, and {len(without)} have none (such as {without[0]!r}): "
            "fill the manifest's column split with train, val or test, or take another split="
        )
    train, val, test = ([clip for clip in clips if clip.split == side] for side in SIDES)
    return Split(train, val, test)


def cross_corpus(
    clips: list[Clip],
    fingerprints: Fingerprints,
    test_corpora: Sequence[str] = (),
    seed: int = 42,
    by: str = "speaker",
    val: float = 0.15,
) -> Split:
    """Divide so that some corpora are the test side and the others train, with the emotions that both have.

    Args:
        clips: Clips of several corpora, sorted by name.
        fingerprints: Equal for twins.
        test_corpora: Names of the corpora to test on.
        seed: Draws the validation side, and nothing else.
        by: Unit that training and validation don't share: ``speaker``, ``session`` or ``clip``.
        val: Share of the units of the other corpora for validation.

    Raises:
        SplitError: The corpora aren't in the run, nothing is left to learn from, or they share fewer than two emotions.
    """
    corpora = sorted({clip.corpus for clip in clips})
    chosen = set(test_corpora)
    if isinstance(test_corpora, str) or not chosen or not chosen < set(corpora):
        raise SplitError(
            f"split.test_corpora={test_corpora} must list some of the run's corpora, {', '.join(corpora)}, and not all "
            "of them, as in dataset=multi dataset.names=[crema_d,ravdess] split=cross_corpus "
            "split.test_corpora=[ravdess]"
        )
    emotions = [{clip.emotion for clip in clips if (clip.corpus in chosen) == tested} for tested in (False, True)]
    shared = emotions[0] & emotions[1]
    if len(shared) < 2:
        raise SplitError(
            f"the corpora to learn from show {', '.join(sorted(emotions[0]))}, those to test on "
            f"{', '.join(sorted(emotions[1]))}; they must share two emotions or more: labels.merge= can rename some"
        )
    used = [clip for clip in clips if clip.emotion in shared]
    learnt = [clip for clip in used if clip.corpus not in chosen]
    units = find_units(learnt, by, fingerprints)
    train, val_side = _balanced(learnt, units, np.unique(units), val, seed, by)
    return Split(
        train=_of(learnt, units, train),
        val=_of(learnt, units, val_side),
        test=[clip for clip in used if clip.corpus in chosen],
        left_out=[clip for clip in clips if clip.emotion not in shared],
    )


SPLITS: dict[str, Callable[..., Split]] = {
    "stratified": stratified,
    "speaker": by_speaker,
    "kfold": kfold,
    "loso": loso,
    "official": official,
    "cross_corpus": cross_corpus,
}
"""Every split by its name on the command line, ``split=NAME``."""


def find_units(clips: Sequence[Clip], by: str, fingerprints: Fingerprints) -> NDArray[np.str_]:
    """Return for each clip the name of the unit that can't be divided, ``(clips,)``.

    Clips of one speaker (or session) in any spelling are in one unit, and so are twins and copies of one original. If
    such twins belong to several speakers, these become one unit, named after the first.

    Args:
        clips: Sorted by name.
        by: One of ``UNITS``.
        fingerprints: Equal for twins.

    Raises:
        SplitError: ``by`` is not a unit, or a clip's speaker or session is not known.
    """
    if by not in UNITS:
        raise SplitError(f"split.by={by!r} must be one of {', '.join(UNITS)}")
    own = [clip.name if by == "clip" else getattr(clip, by) for clip in clips]
    unknown = [clip.name for clip, unit in zip(clips, own, strict=True) if unit is None]
    if unknown:
        raise SplitError(
            f"this split needs every clip's {by}, and {len(unknown)} have none (such as {unknown[0]!r}): "
            f"name them in a manifest's column {by}, or take split=stratified, or split=kfold split.by=clip"
        )
    keys = [
        [f"{by} {unit if by == 'clip' else spelling_key(unit)}", *_recordings(clip, fingerprints)]
        for clip, unit in zip(clips, own, strict=True)
    ]
    numbers = {key: len(clips) + i for i, key in enumerate(dict.fromkeys(key for several in keys for key in several))}
    edges = [(i, numbers[key]) for i, several in enumerate(keys) for key in several]
    ends = np.array(edges).T
    size = len(clips) + len(numbers)
    _, component = connected_components(coo_array((np.ones(len(edges)), tuple(ends)), (size, size)), directed=False)
    first: dict[int, str] = {}
    for number, unit in zip(component[: len(clips)].tolist(), own, strict=True):
        first[number] = min(first.get(number, str(unit)), str(unit))
    return np.array([first[number] for number in component[: len(clips)].tolist()])


def _recordings(clip: Clip, fingerprints: Fingerprints) -> list[str]:
    """Return what a clip shares with its twins: its samples, and the original from which it or they were made."""
    fingerprint = fingerprints.get(clip.name)
    samples = [] if fingerprint is None else [f"samples {fingerprint}"]
    original = [] if clip.original is None else [f"name {clip.original}"]
    return [*samples, f"name {clip.name}", *original]


def _sides(
    clips: list[Clip],
    units: NDArray[np.str_],
    rest: NDArray[np.str_],
    test: NDArray[np.str_],
    val: float,
    seed: int,
    by: str,
) -> Split:
    train, val_side = _balanced(clips, units, rest, val, seed, by)
    return Split(_of(clips, units, train), _of(clips, units, val_side), _of(clips, units, test))


def _of(clips: list[Clip], units: NDArray[np.str_], side: NDArray[np.str_]) -> list[Clip]:
    chosen = set(side.tolist())
    return [clip for clip, unit in zip(clips, units.tolist(), strict=True) if unit in chosen]


def _balanced(
    clips: list[Clip], units: NDArray[np.str_], among: NDArray[np.str_], share: float, seed: int, by: str
) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Divide the units ``among`` in two by the most even of many draws.

    A draw is judged by its worst class: the largest distance between ``share`` and the part of the class's clips on the
    smaller side.
    """
    if len(among) < 2:
        raise SplitError(
            f"this split needs a {by} for each of train, validation and test, and the {by}s run out at "
            f"{', '.join(among.tolist())}; take split=stratified or record more people"
        )
    inside = np.isin(units, among)
    rows = np.searchsorted(among, units[inside])
    emotions, columns = np.unique(
        [clip.emotion for clip, here in zip(clips, inside, strict=True) if here], return_inverse=True
    )
    counts = np.zeros((len(among), len(emotions)))
    np.add.at(counts, (rows, columns), 1)
    parts = counts / counts.sum(axis=0)
    try:
        draws = ShuffleSplit(CANDIDATES, test_size=share, random_state=seed).split(among)
        larger, smaller = min(draws, key=lambda draw: np.abs(parts[draw[1]].sum(axis=0) - share).max())
    except ValueError as error:
        raise SplitError(
            f"this split can't take a share of {share} of {len(among)} {by}s: {error}; "
            "take another share (split.test=, split.val=) or record more people"
        ) from error
    return among[np.sort(larger)], among[np.sort(smaller)]


def _check_fold(fold: int, folds: int) -> None:
    if not 0 <= fold < folds:
        raise SplitError(f"split.fold={fold} must lie between 0 and {folds - 1}, for there are {folds} folds")
