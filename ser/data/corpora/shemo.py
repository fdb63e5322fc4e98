"""ShEMO: 3,000 Persian clips of radio plays by 87 speakers, six emotions (Mohamad Nezami et al., 2019, LREV 53(1))."""

from ser.data.corpora.facts import RATED, Facts
from ser.data.corpora.pattern import Pattern

FACTS = Facts(
    title="ShEMO",
    licence="free of charge for academic purposes; see the source's terms",
    what="radio plays",
    label=RATED,
    speech="acted",
    language="Persian",
    speakers=87,
    people="native speakers in radio plays, 31 women and 56 men",
    clips=3000,
    home="https://github.com/mansourehk/ShEMO",
    citation="Mohamad Nezami, Jamshid Lou and Karami (2019). ShEMO: a large-scale validated database for Persian "
    "speech emotion detection. Language Resources and Evaluation 53(1), 1-16. "
    "https://doi.org/10.1007/s10579-018-9427-x",
)

EMOTIONS = {"A": "anger", "F": "fear", "H": "happy", "N": "neutral", "S": "sad", "W": "surprise"}

# Speaker, emotion, number.
read = Pattern(
    FACTS,
    r"(?i)(?P<speaker>(?P<sex>[FM])\d\d)(?P<emotion>[AFHNSW])\d\d",
    example="male/M32S01.wav",
    codes={"emotion": EMOTIONS},
).read
