"""SAVEE: 480 acted British English clips by 4 men (Haq and Jackson, 2009, AVSP).

120 clips per man: 30 neutral, 15 each of anger, disgust, fear, happy, sad and surprise. Which sentence is said is not
known: a number stands for another sentence in each emotion, save for a few that emotions share.
"""

from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.pattern import Pattern

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
    home="http://kahlan.eps.surrey.ac.uk/savee/",
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

# The speaker is in the name, as in DC_a01.wav, or is the folder's name. Numbers go to 15, of neutral clips to 30.
read = Pattern(
    FACTS,
    r"(?P<speaker>DC|JE|JK|KL)[/_]"
    r"(?P<clip>(?P<emotion>sa|su|[adfhn])(?:0[1-9]|1[0-5]|(?<=n)(?:1[6-9]|2\d|30)))",
    example="AudioData/DC/a01.wav or DC_a01.wav",
    codes={"emotion": EMOTIONS},
    people={speaker: {"sex": "male"} for speaker in ("DC", "JE", "JK", "KL")},
    name="{speaker}_{clip}",
).read
