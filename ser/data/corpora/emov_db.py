"""EmoV-DB: 6,887 acted English clips by 4 speakers, sentences of CMU Arctic, five styles (Adigwe et al., 2018).

Folders say who speaks and how; a name ends in the sentence's number. It is the sorted version that is read.
The authors count 7,000 clips; EmoBox lists 6,887.
"""

from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.pattern import Pattern

FACTS = Facts(
    title="EmoV-DB",
    licence="not for commercial use; see the source's terms",
    what="sentences of CMU Arctic",
    label=ASKED,
    speech="acted",
    language="English",
    speakers=4,
    people="actors, 2 women and 2 men",
    clips=6887,
    home="https://github.com/numediart/EmoV-DB",
    citation="Adigwe, Tits, El Haddad, Ostadabbas and Dutoit (2018). The Emotional Voices Database: Towards "
    "Controlling the Emotion Dimension in Voice Generation Systems. https://arxiv.org/abs/1806.09514",
)

PEOPLE = {"bea": "female", "jenie": "female", "josh": "male", "sam": "male"}

# SPEAKER_STYLE/STYLE_RANGE_SENTENCE
read = Pattern(
    FACTS,
    r"(?i)(?P<speaker>bea|jenie|josh|sam)_(?P<emotion>amused|angry|disgusted|disgust|neutral|sleepy)/"
    r"[a-z]+_\d+[-_]\d+_(?P<sentence>\d+)",
    example="sam_Amused/amused_367-392_0384.wav",
    codes={"speaker": {name: name for name in PEOPLE}},
    people={name: {"sex": sex} for name, sex in PEOPLE.items()},
).read
