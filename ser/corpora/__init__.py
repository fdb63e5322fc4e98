"""What a corpus is: file names → clips. One reader a corpus, each a function of its root folder or file."""

import os
from collections.abc import Callable
from pathlib import Path

from ser.corpora import crema_d, demo, folder, manifest
from ser.corpora.clip import SIDES, Clip, CorpusError

__all__ = ["READERS", "SIDES", "SYNTHETIC", "Clip", "CorpusError", "find_root", "read_corpus"]

READERS: dict[str, Callable[[Path], list[Clip]]] = {
    "crema_d": crema_d.read,
    "demo": demo.read,
    "folder": folder.read,
    "manifest": manifest.read,
}
"""Every corpus by its name on the command line, ``dataset=NAME``."""

SYNTHETIC = frozenset({"demo"})
"""Corpora in which no person speaks."""

WITHOUT_CORPUS = "python train.py dataset=demo"

ADVICE = {
    "crema_d": f"get CREMA-D (folder AudioWAV) from {crema_d.REPOSITORY}, put it there or into $SER_DATA/crema_d, or "
    f"point dataset.root= at it; or train without it: {WITHOUT_CORPUS}",
    "folder": "set dataset.root= to a folder with one sub-folder an emotion",
    "manifest": "set dataset.root= to a CSV with the columns path and emotion",
}


def find_root(name: str, root: str | None = None) -> Path:
    """Where a corpus lies: ``root`` if given, else ``data/NAME`` or ``$SER_DATA/NAME``, whichever exists first.

    Raises:
        CorpusError: It is in none of these places; the message names them and what to do.
    """
    if name not in READERS:
        raise CorpusError(f"no corpus is called {name!r}; dataset= can be {', '.join(sorted(READERS))}")
    places = [Path(root).expanduser()] if root else [Path("data") / name]
    if not root and os.environ.get("SER_DATA"):
        places.append(Path(os.environ["SER_DATA"]) / name)
    for place in places:
        if place.exists():
            return place
    if name in SYNTHETIC:
        return places[0]
    looked = " or ".join(str(place) for place in places)
    raise CorpusError(f"{name} is not at {looked}: {ADVICE[name]}")


def read_corpus(name: str, root: str | None = None) -> list[Clip]:
    """All clips of the corpus ``name``; ``demo`` is made first where it is not there yet.

    Raises:
        CorpusError: The corpus is not there or is not what its name says.
    """
    place = find_root(name, root)
    return READERS[name](place)
