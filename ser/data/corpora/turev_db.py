"""TurEV-DB: 1,735 acted Turkish words by 6 speakers, 82 words, four emotions (Canpolat et al., 2020, SLTU-CCURL)."""

from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.pattern import Pattern

FACTS = Facts(
    title="TurEV-DB",
    licence="CC BY-NC-ND 4.0 by its README, GPL 3.0 by its LICENSE file",
    what="82 words",
    label=ASKED,
    speech="acted",
    language="Turkish",
    speakers=6,
    people="people who are not described in the release",
    clips=1735,
    home="https://github.com/Xeonen/TurEV-DB",
    citation="Canpolat, Ormanoğlu and Zeyrek (2020). Turkish Emotion Voice Database (TurEV-DB). SLTU-CCURL 2020, "
    "368-375. https://aclanthology.org/2020.sltu-1.52",
)

# SPEAKER_EMOTION_WORD; codes stand for what the folders are called: Angry, Calm, Happy and Sad.
read = Pattern(
    FACTS,
    r"(?i)(?P<speaker>\d{4})_(?P<emotion>kz|sk|mt|hl)_(?P<sentence>[^/]+)",
    example="Calm/1984_sk_orgu.wav",
    codes={"emotion": {"kz": "anger", "sk": "calm", "mt": "happy", "hl": "sad"}},
).read
