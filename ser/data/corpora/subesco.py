"""SUBESCO: 7,000 acted Bangla clips by 20 speakers, 10 sentences, seven emotions (Sultana et al., 2021, PLoS ONE)."""

from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.pattern import Pattern

FACTS = Facts(
    title="SUBESCO",
    licence="CC BY 4.0",
    what="10 sentences, 5 times each",
    label=ASKED,
    speech="acted",
    language="Bangla",
    speakers=20,
    people="professional actors, 10 women and 10 men",
    clips=7000,
    home="https://doi.org/10.5281/zenodo.4526477",
    citation="Sultana, Rahman, Selim and Iqbal (2021). SUST Bangla Emotional Speech Corpus (SUBESCO): An audio-only "
    "emotional speech corpus for Bangla. PLoS ONE 16(4), e0250173. https://doi.org/10.1371/journal.pone.0250173",
)

# SPEAKER_NAME_S_SENTENCE_EMOTION_TAKE. One clip of the release, F_02_MONIKA_S_2_SURPRISE_3], has a bracket.
read = Pattern(
    FACTS,
    r"(?i)(?P<speaker>(?P<sex>[FM])_\d\d)_[A-Z]+_S_(?P<sentence>\d+)_"
    r"(?P<emotion>angry|disgust|fear|happy|neutral|sad|surprise)_[1-5]\]?",
    example="M_09_SHUMANTA_S_2_FEAR_2.wav",
).read
