"""JL-Corpus: 2,400 acted clips in New Zealand English by 4 speakers, ten emotions (James et al., 2018).

The release has clips more than once; point ``dataset.root`` at one of its folders.
"""

from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.pattern import Pattern

FACTS = Facts(
    title="JL-Corpus",
    licence="CC0 1.0",
    what="15 sentences in each emotion",
    label=ASKED,
    speech="acted",
    language="English",
    speakers=4,
    people="professional speakers, 2 women and 2 men",
    clips=2400,
    home="https://www.kaggle.com/datasets/tli725/jl-corpus",
    citation="James, Tian and Watson (2018). An Open Source Emotional Speech Corpus for Human Robot Interaction "
    "Applications. Interspeech 2018, 2768-2772. https://doi.org/10.21437/Interspeech.2018-1349",
)

EMOTIONS = "angry|anxious|apologetic|assertive|concerned|encouraging|excited|happy|neutral|sad"

# SPEAKER_EMOTION_SENTENCE_TAKE
read = Pattern(
    FACTS,
    rf"(?i)(?P<speaker>(?P<sex>female|male)[12])_(?P<emotion>{EMOTIONS})_(?P<sentence>\d+[ab])_[12]",
    example="JL(wav+txt)/male2_concerned_6b_1.wav",
).read
