"""SAVEE: 480 acted British English clips by 4 men (Haq and Jackson, 2009, AVSP).

120 clips per man: 30 neutral, 15 each of anger, disgust, fear, happy, sad and surprise. Which sentence is said is not
known: a number stands for another sentence in each emotion, save for a few that emotions share.
"""

import re
from pathlib import Path

from ser.data.corpora.clip import Clip
from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.reading import read_by_name

HOME = "http://kahlan.eps.surrey.ac.uk/savee/"

FACTS = Facts(
    title="SAVEE",
    licence="free for research, on request",
    what="sentences of TIMIT",
    label=ASKED,
    speech="acted",
    language="English",
    speakers=4,
    people="British men",
    clips=480,
    home=HOME,
    citation="Haq and Jackson (2009). Speaker-Dependent Audio-Visual Emotion Recognition. Auditory-Visual Speech "
    "Processing 2009, 53-58",
    on_request=True,
)

EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprise",
}

SPEAKERS = ("DC", "JE", "JK", "KL")

# 01 to 15, neutral to 30.
STEM = re.compile(r"((?P<speaker>[A-Z]{2})_)?(?P<clip>(?P<emotion>sa|su|[adfhn])(0[1-9]|1[0-5]|(?<=n)(1[6-9]|2\d|30)))")


def read(root: Path) -> list[Clip]:
    """Return clips of every file below ``root`` that has a name of SAVEE, sorted by name.

    The speaker is in the file's name (``DC_a01.wav``) or is the folder it lies in (``DC/a01.wav``, as in the release);
    the clip's name is ``DC_a01`` either way. Other sound files are left out with a warning.

    Raises:
        CorpusError: No clip has a name of SAVEE, or two files are one clip.
    """
    return read_by_name(root, _parse, corpus="SAVEE", example="AudioData/DC/a01.wav or DC_a01.wav", home=HOME)


def _parse(path: Path) -> Clip | None:
    match = STEM.fullmatch(path.stem)
    if match is None:
        return None
    speaker = match["speaker"] or path.parent.name
    if speaker not in SPEAKERS:
        return None
    return Clip(
        name=f"{speaker}_{match['clip']}",
        path=path,
        emotion=EMOTIONS[match["emotion"]],
        speaker=speaker,
        sex="male",
    )
