"""RAVDESS, its speech: 1,440 acted clips by 24 actors, two sentences (Livingstone and Russo, 2018, PLoS ONE 13(5)).

60 clips per actor. 96 clips are neutral; calm, happy, sad, anger, fear, disgust and surprise have 192 each.
"""

import re
from pathlib import Path

from ser.data.corpora.clip import Clip
from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.reading import read_by_name

HOME = "https://zenodo.org/records/1188976"

FACTS = Facts(
    title="RAVDESS, its speech",
    licence="CC BY-NC-SA 4.0",
    what="2 sentences, 2 intensities",
    label=ASKED,
    speech="acted",
    language="English",
    speakers=24,
    people="professional actors, 12 women and 12 men, with a North American accent",
    clips=1440,
    home=HOME,
    citation="Livingstone and Russo (2018). The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS): "
    "A dynamic, multimodal set of facial and vocal expressions in North American English. PLoS ONE 13(5), e0196391. "
    "https://doi.org/10.1371/journal.pone.0196391",
)

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}

INTENSITIES = {"01": "normal", "02": "strong"}

# MODALITY-CHANNEL-EMOTION-INTENSITY-STATEMENT-REPETITION-ACTOR. 03-01 is sound only, speech. Nothing neutral is strong.
STEM = re.compile(
    r"03-01-(?!01-02)(?P<emotion>0[1-8])-(?P<intensity>0[12])-(?P<statement>0[12])-0[12]-(?P<actor>0[1-9]|1\d|2[0-4])"
)


def read(root: Path) -> list[Clip]:
    """Return clips of every file below ``root`` that has a name of RAVDESS speech, sorted by name.

    Other sound files, the songs (03-02) among them, are left out with a warning.

    Raises:
        CorpusError: No clip has a name of RAVDESS speech, or two files carry the same name.
    """
    return read_by_name(root, _parse, corpus="RAVDESS speech", example="Actor_01/03-01-05-02-01-02-01.wav", home=HOME)


def _parse(path: Path) -> Clip | None:
    match = STEM.fullmatch(path.stem)
    if match is None:
        return None
    return Clip(
        name=path.stem,
        path=path,
        emotion=EMOTIONS[match["emotion"]],
        speaker=match["actor"],
        sentence=match["statement"],
        intensity=INTENSITIES[match["intensity"]],
        sex="male" if int(match["actor"]) % 2 else "female",
    )
