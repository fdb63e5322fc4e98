"""URDU: 400 clips of Urdu talk shows, four emotions (Latif et al., 2018, FIT).

Its authors count 38 speakers; the names tell 29, which is what a split by speaker can go by.
"""

from ser.data.corpora.facts import RATED, Facts
from ser.data.corpora.pattern import Pattern

FACTS = Facts(
    title="URDU",
    licence="for research only",
    what="talk shows",
    label=RATED,
    speech="spontaneous",
    language="Urdu",
    speakers=38,
    people="people in talk shows, 27 men and 11 women",
    clips=400,
    home="https://github.com/siddiquelatif/URDU-Dataset",
    citation="Latif, Qayyum, Usman and Qadir (2018). Cross Lingual Speech Emotion Recognition: Urdu vs. Western "
    "Languages. FIT 2018, 88-93. https://arxiv.org/abs/1812.10411",
)

# SPEAKER_FILE_EMOTION, each numbered.
read = Pattern(
    FACTS,
    r"(?i)(?P<speaker>S(?P<sex>[MF])\d+)_F\d+_(?P<emotion>[AHNS])\d+",
    example="Neutral/SM5_F63_N091.wav",
    codes={"emotion": {"A": "anger", "H": "happy", "N": "neutral", "S": "sad"}},
).read
