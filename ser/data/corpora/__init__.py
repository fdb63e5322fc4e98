"""What a corpus is: file names → clips. One module per corpus, which says what it is and reads it from its root."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

from ser.data.corpora import (
    aesdd,
    asvp_esd,
    cafe,
    casia,
    crema_d,
    demo,
    emodb,
    emov_db,
    emovo,
    esd,
    folder,
    iemocap,
    jl_corpus,
    manifest,
    mesd,
    nemo,
    oreau,
    pattern,
    polish,
    ravdess,
    savee,
    shemo,
    subesco,
    tess,
    turev_db,
    urdu,
)  # fmt: skip
from ser.data.corpora.clip import EMOTIONS, SIDES, Clip, CorpusError
from ser.data.corpora.facts import Facts
from ser.data.corpora.sources import SOURCES

__all__ = [
    "CORPORA", "EMOTIONS", "FACTS", "OPTIONS", "READERS", "SIDES", "SYNTHETIC", "Clip", "CorpusError", "Facts",
    "find_root", "read_corpora",
]  # fmt: skip

CORPORA: dict[str, ModuleType] = {
    corpus.__name__.rpartition(".")[2]: corpus
    for corpus in (
        aesdd, asvp_esd, cafe, casia, crema_d, demo, emodb, emov_db, emovo, esd, folder, iemocap, jl_corpus, manifest,
        mesd, nemo, oreau, pattern, polish, ravdess, savee, shemo, subesco, tess, turev_db, urdu,
    )
}  # fmt: skip
"""Every corpus by its name on the command line, ``dataset=NAME``: a module with ``FACTS`` and ``read``."""

READERS: dict[str, Callable[..., list[Clip]]] = {name: corpus.read for name, corpus in CORPORA.items()}
"""Function of each corpus that reads its clips from its root; other arguments are options, ``dataset.OPTION``."""

OPTIONS: dict[str, Any] = {"voice": "speaker", "strict": False}
"""Options that all corpora share, with their defaults.

``voice`` is what ``features.normalize=speaker`` takes for one voice: ``speaker``, ``session`` or ``corpus``. ``strict``
makes a clip that can't be used an error.
"""

SEVERAL = "multi"
"""The name in ``dataset=multi``, which reads the corpora that ``dataset.names`` lists."""

FACTS: dict[str, Facts] = {name: corpus.FACTS for name, corpus in CORPORA.items()}
"""What is known of each corpus before it is read."""

SYNTHETIC = frozenset(name for name, facts in FACTS.items() if facts.synthetic)
"""Corpora in which no person speaks."""

WITHOUT_CORPUS = "python train.py dataset=demo"

HOMES = {name: facts.home for name, facts in FACTS.items() if facts.home}
"""Addresses where corpora are available."""

ON_REQUEST = frozenset(name for name, facts in FACTS.items() if facts.on_request)
"""Corpora that their authors give to those who ask."""

ADVICE = {
    "folder": "set dataset.root= to a folder with one sub-folder an emotion",
    "manifest": "set dataset.root= to a CSV with the columns path and emotion",
    "pattern": "set dataset.root= to a folder of recordings, and dataset.pattern= to how their paths are made",
}


def find_root(name: str, root: str | None = None, option: str = "dataset.root=") -> Path:
    """Return where a corpus lies: ``root`` if given, else ``data/NAME`` or ``$SER_DATA/NAME``, whichever exists first.

    The message names ``option``, which sets ``root``.

    Raises:
        CorpusError: The corpus is in none of these places; the message names them and what to do.
    """
    if name not in READERS:
        raise CorpusError(f"no corpus is called {name!r}; there are {', '.join(sorted(READERS))}")
    places = [Path(root).expanduser()] if root else [Path("data") / name]
    if not root and os.environ.get("SER_DATA"):
        places.append(Path(os.environ["SER_DATA"]) / name)
    for place in places:
        if place.exists():
            return place
    if name in SYNTHETIC:
        return places[0]
    looked = " or ".join(str(place) for place in places)
    raise CorpusError(
        f"{name} is not at {looked}: {(ADVICE.get(name) or _how_to_get(name)).replace('dataset.root=', option)}"
    )


def _how_to_get(name: str) -> str:
    get = "ask for it at" if name in ON_REQUEST else "get it at"
    get = f"python scripts/download.py {name} gets it from" if name in SOURCES else get
    return (
        f"{get} {HOMES[name]}; it can lie there, in $SER_DATA/{name} or where dataset.root= points; "
        f"or train without it: {WITHOUT_CORPUS}"
    )


def read_corpora(dataset: Mapping[str, Any]) -> list[Clip]:
    """Read all clips of the corpus or corpora that ``dataset`` names.

    The clips of several corpora carry their corpus in name, speaker, session and original, as in ``ravdess/01``, so
    that no two of them are mistaken for one another.

    Args:
        dataset: ``name`` of a corpus and, as the corpus has them, ``root`` and ``metadata``; or ``name: multi`` with
            ``names``, and ``roots`` and ``metadata`` by corpus.

    Raises:
        CorpusError: A corpus is not there or is not what its name says, a clip's path is not UTF-8, or ``names`` lists
            too few or one twice.

    Example:
        >>> clips = read_corpora({"name": "manifest", "root": "clips.csv"})
        >>> clips[0].name, clips[0].emotion, clips[0].speaker
        ('anger_00.wav', 'anger', 'p00')
    """
    if dataset["name"] != SEVERAL:
        return _read(dataset["name"], dataset["root"], dataset)
    names: Sequence[str] = dataset["names"]
    roots, metadata = dataset["roots"] or {}, dataset["metadata"] or {}
    if isinstance(names, str) or not names or len(set(names)) < 2 or len(set(names)) < len(names):
        raise CorpusError(f"dataset.names={names} must list two or more corpora, each once: [crema_d,ravdess]")
    for option, given in (("roots", roots), ("metadata", metadata)):
        if unknown := sorted(set(given) - set(names)):
            raise CorpusError(f"dataset.{option} names {', '.join(unknown)}, which dataset.names={names} does not")
    return [
        _marked(clip)
        for name in names
        for clip in _read(name, roots.get(name), {"metadata": metadata.get(name)}, "dataset.roots=")
    ]


def _read(name: str, root: str | None, options: Mapping[str, Any], option: str = "dataset.root=") -> list[Clip]:
    """Clips of a corpus, read with those of ``options`` that its reader takes."""
    place = find_root(name, root, option)
    taken = {key: options.get(key) for key in signature(READERS[name]).parameters if options.get(key) is not None}
    taken.pop("root", None)
    if metadata := options.get("metadata"):
        if "metadata" not in taken:
            having = [other for other, read in READERS.items() if "metadata" in signature(read).parameters]
            raise CorpusError(
                f"dataset.metadata={metadata}: only {', '.join(having)} has tables beside its clips, not {name}"
            )
        taken["metadata"] = Path(metadata).expanduser()
    for clip in (clips := READERS[name](place, **taken)):
        try:
            f"{clip.path}{clip.emotion}".encode()
        except UnicodeEncodeError:
            shown = str(clip.path).encode("utf-8", "backslashreplace").decode()
            raise CorpusError(f"{shown}: its name is not UTF-8, and tables of results are: rename it") from None
    return [replace(clip, corpus=name) for clip in clips]


def _marked(clip: Clip) -> Clip:
    marked: dict[str, Any] = {
        field: f"{clip.corpus}/{value}"
        for field in ("name", "speaker", "session", "original")
        if (value := getattr(clip, field)) is not None
    }
    return replace(clip, **marked)
