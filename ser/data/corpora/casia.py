"""CASIA: 1,200 acted Mandarin clips by 4 speakers, 50 sentences, six emotions, as the free part is handed out.

A file's name is the sentence's number; folders say who speaks and how, so a speaker is what the upper folder is called.
"""

from ser.data.corpora.facts import ASKED, Facts
from ser.data.corpora.pattern import Pattern

FACTS = Facts(
    title="CASIA",
    licence="on request; see the source's terms",
    what="50 sentences",
    label=ASKED,
    speech="acted",
    language="Mandarin",
    speakers=4,
    people="professional speakers",
    clips=1200,
    home="http://www.chineseldc.org/resource_info.php?rid=76",
    citation="Institute of Automation, Chinese Academy of Sciences (2005). CASIA Chinese Emotional Corpus. Chinese "
    "Linguistic Data Consortium",
    on_request=True,
)

read = Pattern(
    FACTS,
    r"(?i)(?P<speaker>[^/]+)/(?P<emotion>angry|anger|fear|happy|happiness|neutral|sad|sadness|surprise|surprised)/(?P<sentence>\d+)",
    example="SPEAKER/angry/239.wav",
).read
