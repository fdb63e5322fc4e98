"""RAVDESS, its speech: 1,440 acted clips by 24 actors, two sentences (Livingstone and Russo, 2018, PLoS ONE 13(5)).

60 clips per actor. 96 clips are neutral; calm, happy, sad, anger, fear, disgust and surprise have 192 each.
"""

from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.pattern import Pattern

FACTS = Facts(
    title="RAVDESS speech",
    licence="CC BY-NC-SA 4.0",
    what="2 sentences, 2 intensities",
    label=ASKED,
    speech="acted",
    language="English",
    speakers=24,
    people="professional actors, 12 women and 12 men, with a North American accent",
    clips=1440,
    home="https://zenodo.org/records/1188976",
    citation="Livingstone and Russo (2018). The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS): "
    "A dynamic, multimodal set of facial and vocal expressions in North American English. PLoS ONE 13(5), e0196391. "
    "https://doi.org/10.1371/journal.pone.0196391",
)

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}

# MODALITY-CHANNEL-EMOTION-INTENSITY-STATEMENT-REPETITION-ACTOR. 03-01 is sound only, speech. Nothing neutral is strong.
# Odd numbers are men.
read = Pattern(
    FACTS,
    r"03-01-(?!01-02)(?P<emotion>0[1-8])-(?P<intensity>0[12])-(?P<sentence>0[12])-0[12]-"
    r"(?P<speaker>(?:0(?!0)|1|2(?=[0-4]))(?P<sex>\d))",
    example="Actor_01/03-01-05-02-01-02-01.wav",
    codes={
        "emotion": EMOTIONS,
        "intensity": {"01": "normal", "02": "strong"},
        "sex": {**dict.fromkeys("13579", "male"), **dict.fromkeys("02468", "female")},
    },
).read
