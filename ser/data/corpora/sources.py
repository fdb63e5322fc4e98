"""Addresses where corpora are available, and the digests of their files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class File:
    """One file to get.

    Attributes:
        name: Path in the corpus's folder, with ``/`` between its parts.
        url: Its address.
        digest: SHA-256 as hex digits, another digest as ``md5:…``, or None where none is known.
    """

    name: str
    url: str
    digest: str | None


@dataclass(frozen=True)
class Files:
    """A corpus that is served file by file."""

    files: tuple[File, ...]


@dataclass(frozen=True)
class Archive:
    """A corpus that is served as one zip; ``clips`` are the names that are kept of it, with their SHA-256."""

    archive: File
    clips: dict[str, str]


@dataclass(frozen=True)
class Dataverse:
    """A data set of a Dataverse, which lists its files and their digests; its ``.wav`` files are kept."""

    server: str
    doi: str


Source = Files | Archive | Dataverse


def digests(name: str) -> dict[str, str]:
    """Return the SHA-256 of every clip of the corpus ``name`` as released, by its path in the corpus's folder."""
    lines = (Path(__file__).parent / "sha256" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return {clip: digest for digest, clip in (line.split(maxsplit=1) for line in lines)}


def crema_d(
    media: str = "https://media.githubusercontent.com/media", raw: str = "https://raw.githubusercontent.com"
) -> Files:
    """Return the clips of the official repository, which are in Git LFS (``media``), and its two tables (``raw``)."""
    repository = "CheyneyComputerScience/CREMA-D/master"
    clips = [File(name, f"{media}/{repository}/AudioWAV/{name}", digest) for name, digest in digests("crema_d").items()]
    tables = [
        File(
            "VideoDemographics.csv",
            f"{raw}/{repository}/VideoDemographics.csv",
            "e33ddc8b60bedf98541735801127cbb67098b5957271adbdd5dea8a44294eec3",
        ),
        File(
            "tabulatedVotes.csv",
            f"{raw}/{repository}/processedResults/tabulatedVotes.csv",
            "774d9d759cb5caf2542758a39eca8c0f1d2777f9987ff5d5adf8066d192f377b",
        ),
    ]
    return Files((*tables, *clips))


def ravdess(base: str = "https://zenodo.org") -> Archive:
    """Return the speech clips, ``Actor_01/….wav`` to ``Actor_24/….wav``."""
    name = "Audio_Speech_Actors_01-24.zip"
    archive = File(name, f"{base}/records/1188976/files/{name}", "md5:bc696df654c87fed845eb13823edef8a")
    return Archive(archive, digests("ravdess"))


def emodb(base: str = "http://emodb.bilderbar.info") -> Archive:
    """Return the clips, without the folder that the zip has them in."""
    archive = File("download.zip", f"{base}/download/download.zip", None)
    return Archive(archive, digests("emodb"))


def tess(base: str = "https://borealisdata.ca") -> Dataverse:
    """Return the data set in the University of Toronto's part of Borealis."""
    return Dataverse(base, "doi:10.5683/SP2/E8H2MF")


SOURCES: dict[str, Callable[[], Source]] = {"crema_d": crema_d, "emodb": emodb, "ravdess": ravdess, "tess": tess}
"""Corpora that everybody may download, by their name on the command line."""
