"""EMO-DB: 535 acted German clips by 10 actors, 10 sentences (Burkhardt et al., 2005, Interspeech).

127 clips of anger, 81 boredom, 79 neutral, 71 happy, 69 fear, 62 sad, 46 disgust.
"""

import re
from pathlib import Path

from ser.data.corpora.clip import Clip
from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.reading import read_by_name

HOME = "http://emodb.bilderbar.info"

FACTS = Facts(
    title="EMO-DB",
    licence="freely available; see the source's terms",
    what="10 sentences",
    label=ASKED,
    speech="acted",
    language="German",
    speakers=10,
    people="actors, 5 women and 5 men, 21 to 35 years old",
    clips=535,
    home=HOME,
    citation="Burkhardt, Paeschke, Rolfes, Sendlmeier and Weiss (2005). A Database of German Emotional Speech. "
    "Interspeech 2005, 1517-1520. https://doi.org/10.21437/Interspeech.2005-446",
)

# Of the German words: Wut, Langeweile, Ekel, Angst, Freude, Trauer.
EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happy",
    "T": "sad",
    "N": "neutral",
}

SPEAKERS = {
    "03": ("male", 31),
    "08": ("female", 34),
    "09": ("female", 21),
    "10": ("male", 32),
    "11": ("male", 26),
    "12": ("male", 30),
    "13": ("female", 32),
    "14": ("female", 35),
    "15": ("male", 25),
    "16": ("female", 31),
}
"""Sex and age, as the corpus's page gives them."""

# Speaker, text, emotion, version.
STEM = re.compile(r"(?P<speaker>\d\d)(?P<text>[ab]\d\d)(?P<emotion>[WLEAFTN])[a-z]")


def read(root: Path) -> list[Clip]:
    """Return clips of every file below ``root`` that has a name of EMO-DB, sorted by name.

    Other sound files are left out with a warning.

    Raises:
        CorpusError: No clip has a name of EMO-DB, or two files carry the same name.
    """
    return read_by_name(root, _parse, corpus="EMO-DB", example="wav/03a01Fa.wav", home=HOME)


def _parse(path: Path) -> Clip | None:
    match = STEM.fullmatch(path.stem)
    if match is None or match["speaker"] not in SPEAKERS:
        return None
    sex, age = SPEAKERS[match["speaker"]]
    return Clip(
        name=path.stem,
        path=path,
        emotion=EMOTIONS[match["emotion"]],
        speaker=match["speaker"],
        sentence=match["text"],
        sex=sex,
        age=age,
    )
