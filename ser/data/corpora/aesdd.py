"""AESDD: 604 acted Greek clips by 6 actors, 20 utterances, five emotions (Vryzas et al., 2018, JAES 66(6)).

Its authors counted about 500 clips by 5 actors in 2017; names as they are handed out now number 6.
"""

from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.pattern import Pattern

FACTS = Facts(
    title="AESDD",
    licence="for research; see the source's terms",
    what="19 utterances and an improvised one",
    label=ASKED,
    speech="acted",
    language="Greek",
    speakers=6,
    people="actors, the first 5 of them professional, 3 women and 2 men",
    clips=604,
    home="http://m3c.web.auth.gr/research/aesdd-speech-emotion-recognition/",
    citation="Vryzas, Kotsakis, Liatsou, Dimoulas and Kalliris (2018). Speech Emotion Recognition for Performance "
    "Interaction. Journal of the Audio Engineering Society 66(6), 457-467. https://doi.org/10.17743/jaes.2018.0036",
)

# Emotion, utterance, speaker, and a letter on further takes.
read = Pattern(
    FACTS,
    r"(?i)(?P<emotion>[adfhs])(?P<sentence>\d\d) \(0?(?P<speaker>\d)\)[a-z]?",
    example="anger/a06 (5)b.wav",
    codes={"emotion": {"a": "anger", "d": "disgust", "f": "fear", "h": "happy", "s": "sad"}},
).read
