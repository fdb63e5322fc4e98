"""CREMA-D: 7,442 acted clips by 91 actors, 12 sentences, six emotions (Cao et al., 2014, IEEE TAFFC 5(4))."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ser.data.corpora.clip import Clip, CorpusError
from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.pattern import Pattern

REPOSITORY = "https://github.com/CheyneyComputerScience/CREMA-D"

FACTS = Facts(
    title="CREMA-D",
    licence="Open Database License (ODbL) 1.0, contents under the Database Contents License (DbCL) 1.0",
    what="12 sentences",
    label=ASKED,
    speech="acted",
    language="English",
    speakers=91,
    people="actors, 43 women and 48 men, 20 to 74 years old",
    clips=7442,
    home=REPOSITORY,
    citation="Cao, Cooper, Keutmann, Gur, Nenkova and Verma (2014). CREMA-D: Crowd-sourced Emotional Multimodal Actors "
    "Dataset. IEEE Transactions on Affective Computing 5(4), 377-390. https://doi.org/10.1109/TAFFC.2014.2336244",
)

EMOTIONS = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}

ACTORS, VOTES = "VideoDemographics.csv", "tabulatedVotes.csv"
"""The corpus's own tables: who the actors are, and what raters answered."""

# ACTOR_SENTENCE_EMOTION_LEVEL. One clip of older copies, 1040_ITH_SAD_X, has a level of one letter.
NAMES = Pattern(
    FACTS,
    r"(?P<speaker>\d{4})_(?P<sentence>[A-Z]{3})_(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)_(?P<intensity>LO|MD|HI|XX?)",
    example="1001_DFA_ANG_XX.wav",
    codes={"emotion": EMOTIONS, "intensity": {level: level for level in ("LO", "MD", "HI", "XX")} | {"X": "XX"}},
)


def read(root: Path, metadata: Path | None = None) -> list[Clip]:
    """Return clips of every file below ``root`` that is named as in CREMA-D, sorted by name.

    Other sound files are left out with a warning: copies such as ``1001_DFA_ANG_XX (1).wav`` would put one recording
    on two sides of a split. Age, sex, race, ethnicity and votes (of raters who had only the voice) are filled in
    where the corpus's tables are found.

    Args:
        root: Folder of the clips, anywhere below it.
        metadata: Folder of ``VideoDemographics.csv`` and ``tabulatedVotes.csv``. By default ``root`` and its parent
            are looked at, and the folder ``processedResults`` in each; that is where the official repository has them.

    Raises:
        CorpusError: No clip has a name of CREMA-D, two files carry the same name, or a table is not in ``metadata``
            or can't be read.
    """
    clips = NAMES.read(root)
    if (actors := _table(ACTORS, root, metadata)) is not None:
        clips = _with_actors(clips, actors)
    if (votes := _table(VOTES, root, metadata)) is not None:
        clips = _with_votes(clips, votes)
    return clips


def _table(name: str, root: Path, metadata: Path | None) -> Path | None:
    beside = [folder / inside for folder in (root, root.absolute().parent) for inside in ("", "processedResults")]
    for folder in beside if metadata is None else [metadata, metadata / "processedResults"]:
        if (folder / name).is_file():
            return folder / name
    if metadata is not None:
        raise CorpusError(f"dataset.metadata={metadata} does not hold {name}; get it from {REPOSITORY}")
    return None


def _with_actors(clips: list[Clip], table: Path) -> list[Clip]:
    known: dict[str, dict[str, Any]] = {}
    for row in _rows(table, ("ActorID", "Age", "Sex", "Race", "Ethnicity")):
        if not (row["Age"].isdecimal() and len(row["Age"]) < 4):
            raise CorpusError(f"{table}: actor {row['ActorID']} has the age {row['Age']!r}; whole years are wanted")
        known[row["ActorID"]] = {
            "age": int(row["Age"]),
            **{name: row[name.capitalize()].lower() or None for name in ("sex", "race", "ethnicity")},
        }
    return [replace(clip, **known.get(str(clip.speaker), {})) for clip in clips]


def _with_votes(clips: list[Clip], table: Path) -> list[Clip]:
    """Add the votes of the first of the table's three parts, whose raters had only the sound."""
    letters = {code[0]: emotion for code, emotion in EMOTIONS.items()}
    votes = {}
    for row in _rows(table, ("", *letters, "fileName")):
        if row[""].startswith("1"):
            try:
                votes[row["fileName"]] = {emotion: int(row[letter]) for letter, emotion in letters.items()}
            except ValueError as error:
                raise CorpusError(f"{table}: votes of {row['fileName']} are not whole numbers: {error}") from error
    # 1040_ITH_SAD has a level of one letter in some copies of the clips and in some of the table.
    return [
        replace(
            clip, votes=votes.get(clip.name) or votes.get(clip.name.removesuffix("X")) or votes.get(f"{clip.name}X")
        )
        for clip in clips
    ]


def _rows(table: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if missing := set(columns) - set(rows.fieldnames or ()):
                raise CorpusError(f"{table} has no column {', '.join(sorted(missing))}; get it from {REPOSITORY}")
            for row in rows:
                if any(row[column] is None for column in columns):
                    raise CorpusError(f"{table}, line {rows.line_num}: the row is cut off; get it from {REPOSITORY}")
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{table} can't be read as a UTF-8 CSV: {error}") from error
