"""Oréau: acted French clips by 32 speakers, seven emotions (Kerkeni et al., 2020, Zenodo).

434 clips, which are the second version: those of 502 that listeners recognised. Sex is known where a clip lies in the
release's folders ``f`` and ``m``.
"""

from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.pattern import Pattern

FACTS = Facts(
    title="Oréau",
    licence="CC BY 4.0",
    what="79 sentences",
    label=ASKED,
    speech="acted",
    language="French",
    speakers=32,
    people="non-professional speakers, 7 women and 25 men by the folders",
    clips=434,
    home="https://doi.org/10.5281/zenodo.4405783",
    citation="Kerkeni, Cleder, Serrestou and Raoof (2020). French Emotional Speech Database - Oréau. Zenodo. "
    "https://doi.org/10.5281/zenodo.4405783",
)

# Of the French words: colère, dégoût, joie, neutre, peur, surprise, tristesse.
EMOTIONS = {"C": "anger", "D": "disgust", "J": "happy", "N": "neutral", "P": "fear", "S": "surprise", "T": "sad"}

# Speaker, sentence of that emotion, emotion, take.
read = Pattern(
    FACTS,
    r"(?i)(?:(?P<sex>[fm])/sess[a-z]/)?(?P<clip>(?P<speaker>\d\d)[az]\d\d(?P<emotion>[CDJNPST])[a-z])",
    example="f/sessj/29a13Ja.wav",
    codes={"emotion": EMOTIONS},
    name="{clip}",
).read
