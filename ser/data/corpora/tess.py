"""TESS: 2,800 acted clips by 2 women, "Say the word ..." with 200 words (Pichora-Fuller and Dupuis, 2020, Borealis).

200 clips per woman and emotion, of 7 emotions; its pleasant surprise is called surprise here.
"""

import re
from pathlib import Path

from ser.data.corpora.clip import Clip
from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.reading import read_by_name

HOME = "https://doi.org/10.5683/SP2/E8H2MF"

FACTS = Facts(
    title="TESS",
    licence="Creative Commons, not for commercial use; see the source for its terms",
    what='"Say the word ..." with 200 words',
    label=ASKED,
    speech="acted",
    language="English",
    speakers=2,
    people="actresses from Toronto, 26 and 64 years old",
    clips=2800,
    home=HOME,
    citation="Pichora-Fuller and Dupuis (2020). Toronto emotional speech set (TESS). Borealis. "
    "https://doi.org/10.5683/SP2/E8H2MF",
)

EMOTIONS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprise",
    "sad": "sad",
}

AGES = {"OAF": 64, "YAF": 26}

# SPEAKER_WORD_EMOTION. One file of the release, OA_bite_neutral, is misspelt.
STEM = re.compile(r"(?P<speaker>oaf?|yaf)_(?P<word>[a-z]+)_(?P<emotion>[a-z]+)", re.IGNORECASE)


def read(root: Path) -> list[Clip]:
    """Return clips of every file below ``root`` that has a name of TESS, sorted by name.

    Folders, which copies of the corpus call by many names, don't matter. A clip's name is spelt as ``OAF_back_angry``
    whatever the file's case. Other sound files are left out with a warning.

    Raises:
        CorpusError: No clip has a name of TESS, or two files are one clip.
    """
    return read_by_name(root, _parse, corpus="TESS", example="OAF_angry/OAF_back_angry.wav", home=HOME)


def _parse(path: Path) -> Clip | None:
    match = STEM.fullmatch(path.stem)
    if match is None or match["emotion"].lower() not in EMOTIONS:
        return None
    speaker = {"OA": "OAF"}.get(match["speaker"].upper(), match["speaker"].upper())
    word, emotion = match["word"].lower(), match["emotion"].lower()
    return Clip(
        name=f"{speaker}_{word}_{emotion}",
        path=path,
        emotion=EMOTIONS[emotion],
        speaker=speaker,
        sentence=word,
        sex="female",
        age=AGES[speaker],
    )
