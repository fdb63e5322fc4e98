"""What readers of corpora have in common: clips by their files' names, and no clip twice."""

import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from ser.corpora.clip import Clip, CorpusError, sound_files


def read_by_name(
    root: Path, parse: Callable[[Path], Clip | None], *, corpus: str, example: str, home: str
) -> list[Clip]:
    """Clips of every sound file below ``root`` that ``parse`` knows, sorted by name; a warning tells of the others.

    Args:
        root: The corpus's folder.
        parse: From a sound file to its clip, or to None where it is not named as the corpus names its clips.
        corpus: What messages call the corpus.
        example: A name that the corpus gives a clip.
        home: Where the corpus is to be had.

    Raises:
        CorpusError: ``parse`` knows no file, or makes one clip of two.
    """
    clips: list[Clip] = []
    strays: list[str] = []
    for path in sound_files(root):
        clip = parse(path)
        if clip is None:
            strays.append(path.name)
        else:
            clips.append(clip)
    if not clips:
        raise CorpusError(f"{root} holds no clip named as {corpus} names them ({example}); see {home}")
    forbid_copies(root, {clip.path: clip.name for clip in clips}, corpus)
    if strays:
        warnings.warn(
            f"left out {len(strays)} sound files that are not named as {corpus} names them, "
            f"such as {strays[0]!r} in {root}",
            stacklevel=3,
        )
    return sorted(clips, key=lambda clip: clip.name)


def forbid_copies(root: Path, names: Mapping[Path, str], corpus: str) -> None:
    """Check that no two files are one clip.

    Args:
        root: The corpus's folder, above all the files.
        names: From a file to the name of its clip.
        corpus: What messages call the corpus.

    Raises:
        CorpusError: Two files are one clip. Where a folder below ``root`` holds every clip once, as it does when a
            release was unpacked twice, the message says to point dataset.root= at it.
    """
    files: dict[str, list[Path]] = defaultdict(list)
    held: dict[Path, list[str]] = defaultdict(list)
    for path, name in names.items():
        files[name].append(path)
        for folder in path.relative_to(root).parents:
            held[root / folder].append(name)
    copied = [paths for paths in files.values() if len(paths) > 1]
    if not copied:
        return
    whole = [folder for folder, inside in held.items() if len(inside) == len(set(inside)) == len(files)]
    advice = "remove one of them"
    if whole:
        outermost = min(whole, key=lambda folder: (len(folder.parts), folder))
        advice += f", or point dataset.root= at {outermost}, which holds every clip once"
    more = f" (and so for {len(copied) - 1} more)" if len(copied) > 1 else ""
    raise CorpusError(f"two files for one clip of {corpus}: {copied[0][0]} and {copied[0][1]}{more}; {advice}")
