"""CaFE: 936 acted clips in Canadian French by 12 actors, 6 sentences, seven emotions (Gournay et al., 2018, MMSys)."""

from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.pattern import Pattern

FACTS = Facts(
    title="CaFE",
    licence="CC BY-NC-SA 4.0",
    what="6 sentences, 2 intensities",
    label=ASKED,
    speech="acted",
    language="French",
    speakers=12,
    people="actors from Canada, 6 women and 6 men",
    clips=936,
    home="https://doi.org/10.5281/zenodo.1478765",
    citation="Gournay, Lahaie and Lefebvre (2018). A Canadian French Emotional Speech Dataset. 9th ACM Multimedia "
    "Systems Conference, 399-402. https://doi.org/10.1145/3204949.3208121",
)

# Of the French words: colère, dégoût, joie, neutre, peur, surprise, tristesse. Nothing neutral has an intensity.
EMOTIONS = {"C": "anger", "D": "disgust", "J": "happy", "N": "neutral", "P": "fear", "S": "surprise", "T": "sad"}

# SPEAKER-EMOTION-INTENSITY-SENTENCE
read = Pattern(
    FACTS,
    r"(?i)(?P<speaker>\d\d)-(?P<emotion>[CDJNPST])-(?:(?<=N-)1|(?P<intensity>[12]))-(?P<sentence>[1-6])",
    example="Peur/Fort/08-P-2-1.wav",
    codes={"emotion": EMOTIONS, "intensity": {"1": "mild", "2": "strong"}},
).read
