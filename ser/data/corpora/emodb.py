"""EMO-DB: 535 acted German clips by 10 actors, 10 sentences (Burkhardt et al., 2005, Interspeech).

127 clips of anger, 81 boredom, 79 neutral, 71 happy, 69 fear, 62 sad, 46 disgust.
"""

from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.pattern import Pattern

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
    home="http://emodb.bilderbar.info",
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
read = Pattern(
    FACTS,
    r"(?P<speaker>03|08|09|1[0-6])(?P<sentence>[ab]\d\d)(?P<emotion>[WLEAFTN])[a-z]",
    example="wav/03a01Fa.wav",
    codes={"emotion": EMOTIONS},
    people={speaker: {"sex": sex, "age": age} for speaker, (sex, age) in SPEAKERS.items()},
).read
