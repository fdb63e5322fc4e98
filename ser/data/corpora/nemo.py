"""nEMO: 4,481 acted Polish clips by 9 actors, 90 sentences, six emotions (Christop, 2024, LREC-COLING)."""

from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.pattern import Pattern

FACTS = Facts(
    title="nEMO",
    licence="CC BY-NC-SA 4.0",
    what="90 sentences",
    label=ASKED,
    speech="acted",
    language="Polish",
    speakers=9,
    people="actors, 4 women and 5 men, 23 to 28 years old",
    clips=4481,
    home="https://github.com/amu-cai/nEMO",
    citation="Christop (2024). nEMO: Dataset of Emotional Speech in Polish. LREC-COLING 2024, 12111-12116. "
    "https://aclanthology.org/2024.lrec-main.1059",
)

PEOPLE = {
    "EB0": ("female", 27), "IC0": ("female", 28), "KD0": ("female", 28), "KS0": ("male", 23), "MK0": ("female", 23),
    "MP0": ("male", 24), "SM0": ("male", 24), "TP0": ("male", 26), "WR0": ("male", 23),
}  # fmt: skip
"""Sex and age, as the corpus's table gives them."""

# SPEAKER_EMOTION_SENTENCE
read = Pattern(
    FACTS,
    r"(?P<speaker>[A-Z]{2}0)_(?P<emotion>anger|fear|happiness|neutral|sadness|surprised)_(?P<sentence>\d+)",
    example="samples/WR0_surprised_64.wav",
    people={speaker: {"sex": sex, "age": age} for speaker, (sex, age) in PEOPLE.items()},
).read
