"""MESD: 864 acted words in Mexican Spanish by 11 voices, six emotions (Duville et al., 2021, EMBC).

Names say whether a woman, a man or a child speaks, and not which of them, so speakers are not known.
"""

from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.pattern import Pattern

FACTS = Facts(
    title="MESD",
    licence="CC BY 4.0",
    what="single words",
    label=ASKED,
    speech="acted",
    language="Spanish",
    speakers=11,
    people="non-professional actors from Mexico, 3 women, 2 men and 6 children",
    clips=864,
    home="https://doi.org/10.17632/cy34mh68j9",
    citation="Duville, Alonso-Valerdi and Ibarra-Zarate (2021). The Mexican Emotional Speech Database (MESD): "
    "elaboration and assessment based on machine learning. EMBC 2021, 1644-1647. "
    "https://pubmed.ncbi.nlm.nih.gov/34891601",
)

# EMOTION_VOICE_LIST_WORD. A child, C, may be a girl or a boy.
read = Pattern(
    FACTS,
    r"(?i)(?P<emotion>anger|disgust|fear|happiness|neutral|sadness)_(?P<sex>[FMC])_[AB]_(?P<sentence>[^/]+)",
    example="Anger_F_B_ofensa.wav",
    codes={"sex": {"F": "female", "M": "male", "C": None}},
).read
