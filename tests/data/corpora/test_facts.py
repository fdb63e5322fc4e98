from collections import Counter

import pytest

from ser.data.corpora import FACTS, HOMES, ON_REQUEST, READERS, SYNTHETIC, demo, emodb, tess
from ser.data.corpora.sources import SOURCES, digests


def test_every_corpus_has_its_facts() -> None:
    assert set(FACTS) == set(READERS)
    assert set(HOMES) == set(FACTS) - {"demo", "folder", "manifest", "pattern"}
    assert {"demo"} == SYNTHETIC
    assert set(SOURCES) <= set(HOMES) - ON_REQUEST
    for name in HOMES:
        facts = FACTS[name]
        assert all((facts.language, facts.speech, facts.people, facts.citation, facts.licence, facts.label)), name


@pytest.mark.parametrize("name", ["crema_d", "emodb", "ravdess"])
def test_clips_are_as_many_as_the_release_has(name: str) -> None:
    assert FACTS[name].clips == len(digests(name))


def test_speakers_are_as_many_as_the_readers_know() -> None:
    assert FACTS["crema_d"].speakers == len({name.split("/")[-1][:4] for name in digests("crema_d")})
    assert FACTS["ravdess"].speakers == len({name.split("-")[-1] for name in digests("ravdess")})
    assert FACTS["tess"].speakers == len(tess.AGES)
    assert (FACTS["demo"].speakers, FACTS["demo"].clips) == (len(demo.SPEAKERS), len(demo.NAMES))
    sexes, ages = Counter(sex for sex, _ in emodb.SPEAKERS.values()), [age for _, age in emodb.SPEAKERS.values()]
    told = f"actors, {sexes['female']} women and {sexes['male']} men, {min(ages)} to {max(ages)} years old"
    assert (FACTS["emodb"].speakers, FACTS["emodb"].people) == (len(emodb.SPEAKERS), told)


def test_a_corpus_is_told_in_a_few_words() -> None:
    assert FACTS["emodb"].about == "acted German, 10 sentences"
    assert FACTS["folder"].about == "one sub-folder an emotion"
