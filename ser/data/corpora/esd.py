"""ESD: 35,000 acted clips, 350 sentences by 10 English and 10 Mandarin speakers, five emotions (Zhou et al., 2022).

Speakers 0001 to 0010 speak Mandarin, 0011 to 0020 English. Folders say the emotion, and in some copies also the side
of a split. The number in a name counts over all emotions, so a clip's sentence is not known.
"""

from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.pattern import Pattern

FACTS = Facts(
    title="ESD",
    licence="for research only, against a signed licence",
    what="350 sentences in each language",
    label=ASKED,
    speech="acted",
    language="English and Mandarin",
    speakers=20,
    people="native speakers, 10 of each language",
    clips=35000,
    home="https://github.com/HLTSingapore/Emotional-Speech-Data",
    citation="Zhou, Sisman, Liu and Li (2022). Emotional voice conversion: Theory, databases and ESD. Speech "
    "Communication 137, 1-18. https://doi.org/10.1016/j.specom.2021.11.006",
    on_request=True,
)

read = Pattern(
    FACTS,
    r"(?i)(?P<speaker>00[012]\d)/(?P<emotion>neutral|angry|anger|happy|happiness|sad|sadness|surprise|surprised)/"
    r"(?:(?P<split>train|evaluation|test)/)?(?P=speaker)_\d{6}",
    example="0005/Neutral/0005_000001.wav",
    codes={"split": {"train": "train", "evaluation": "val", "test": "test"}},
).read
