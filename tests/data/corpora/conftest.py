import warnings

import pytest

from tests.data.corpora.tester import CorpusTester

CASES = {"emotion_of": "emotions", "suffix": "suffixes", "stray": "strays", "files": "empty"}
"""Argument of a test → attribute of a ``CorpusTester`` that has its cases."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.cls is not None and issubclass(metafunc.cls, CorpusTester):
        for argument in CASES.keys() & metafunc.fixturenames:
            cases = getattr(metafunc.cls, CASES[argument])
            metafunc.parametrize(argument, cases.items() if isinstance(cases, dict) else cases)


@pytest.fixture
def strict() -> None:
    """A warning that no test expects fails it."""
    warnings.simplefilter("error")
