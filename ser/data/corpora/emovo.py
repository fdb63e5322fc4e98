"""EMOVO: 588 acted Italian clips by 6 actors, 14 sentences, seven emotions (Costantini et al., 2014, LREC)."""

from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.pattern import Pattern

FACTS = Facts(
    title="EMOVO",
    licence="freely available; see the source's terms",
    what="14 sentences",
    label=ASKED,
    speech="acted",
    language="Italian",
    speakers=6,
    people="actors, 3 women and 3 men",
    clips=588,
    home="http://voice.fub.it/activities/corpora/emovo/index.html",
    citation="Costantini, Iaderola, Paoloni and Todisco (2014). EMOVO Corpus: an Italian Emotional Speech Database. "
    "LREC 2014, 3501-3504. https://aclanthology.org/L14-1478",
)

# Of the Italian words: disgusto, gioia, neutro, paura, rabbia, sorpresa, tristezza.
EMOTIONS = {
    "dis": "disgust", "gio": "happy", "neu": "neutral", "pau": "fear", "rab": "anger", "sor": "surprise", "tri": "sad",
}  # fmt: skip

# EMOTION-SPEAKER-SENTENCE
read = Pattern(
    FACTS,
    r"(?i)(?P<emotion>[a-z]{3})-(?P<speaker>(?P<sex>[fm])[1-3])-(?P<sentence>[bdln]\d)",
    example="f2/gio-f2-b2.wav",
    codes={"emotion": EMOTIONS},
).read
