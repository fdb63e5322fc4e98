"""ASVP-ESD: 13,964 clips of speech and other voice from films, television and the web (Touko Landry et al., 2020).

Names show 131 speakers; one of them, 150, has 1,073 clips. Where a folder has another number, as for 16 clips, the
name counts. One clip has an emotion, 17, that the corpus does not explain; it is left out.
"""

from ser.data.corpora.facts import RATED, Facts
from ser.data.corpora.pattern import Pattern

FACTS = Facts(
    title="ASVP-ESD",
    licence="CC BY 4.0",
    what="speech and cries of films, television and the web",
    label=RATED,
    speech="natural and acted",
    language="multilingual",
    speakers=131,
    people="people in films, television and videos, children among them",
    clips=13964,
    home="https://doi.org/10.5281/zenodo.7132783",
    citation="Touko Landry, He and Xie (2020). Audio, Speech and Vision Processing Lab Emotional Sound database "
    "(ASVP-ESD). Zenodo. https://doi.org/10.5281/zenodo.7132783",
)

EMOTIONS = (
    "boredom", "neutral", "happy", "sad", "anger", "fear", "disgust", "surprise", "excited", "pleasure", "pain",
    "disappointed", "breath",
)  # fmt: skip
"""In the order of their codes, which begin at 1."""

# MODALITY-CHANNEL-EMOTION-INTENSITY-NUMBER-ACTOR-…; 03 is sound only, channel 01 speech and 02 other voice.
read = Pattern(
    FACTS,
    r"03-0[12]-(?P<emotion>\d\d)-(?:(?P<intensity>0[12])|\d+)-\d+-(?P<speaker>\d+)(?:[- ]+\d+)*",
    example="Audio/actor_123/03-02-09-01-07-123-02-02-02-09.wav",
    codes={
        "emotion": {str(code): emotion for code, emotion in enumerate(EMOTIONS, 1)},
        "intensity": {"01": "normal", "02": "high"},
    },
).read
