"""Emotions in Polish speech recordings: 450 acted words by 5 young men (Mięsikowska and Świsulski, 2020)."""

from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.pattern import Pattern

FACTS = Facts(
    title="Emotions in Polish speech recordings",
    licence="freely available; see the source's terms",
    what="6 words, 5 times each",
    label=ASKED,
    speech="acted",
    language="Polish",
    speakers=5,
    people="men, 21 to 23 years old",
    clips=450,
    home="https://doi.org/10.34808/h46c-hb44",
    citation="Mięsikowska and Świsulski (2020). Emotions in Polish speech recordings. Gdańsk University of Technology. "
    "https://doi.org/10.34808/h46c-hb44",
)

# SPEAKER.EMOTION_WORD_TAKE; s is of the Polish word strach.
read = Pattern(
    FACTS,
    r"(?i)(?P<speaker>(?P<sex>m)\d)\.(?P<emotion>[ans])_(?P<sentence>[a-z]+)_\d",
    example="m3.s_trzymaj_5.wav",
    codes={"emotion": {"a": "anger", "n": "neutral", "s": "fear"}},
).read
