"""What codes and words in names and tables mean."""

from collections.abc import Collection, ItemsView, Mapping
from typing import Any

from ser.data.corpora.clip import SEXES, SIDE_NAMES, SIDES, WORDS, CorpusError, listing, spelling_key, tidy, warn
from ser.data.corpora.reading import is_unknown, whole_years

Codes = Mapping[str, Mapping[str, Any]]
"""Attribute of a clip → code → meaning, which is None where it isn't known."""

Meanings = dict[tuple[str, str], Any]
"""Attribute and word → what ``TABLES`` mean by it."""

TABLES: dict[str, Mapping[str, str]] = {"emotion": WORDS, "sex": SEXES, "split": SIDE_NAMES}
"""Codes of attributes for which no table is given; what they don't list stands for itself, except a split."""

LOWER = ("emotion", "sex", "race", "ethnicity")
"""Attributes that are read in lower case."""


def keyed(codes: Codes) -> Codes:
    """Return the tables with codes as ``spelling_key`` has them, so that case and leading zeros don't matter."""
    return {name: {spelling_key(str(code)): value for code, value in table.items()} for name, table in codes.items()}


def meaning(name: str, text: str, codes: Codes) -> tuple[Any, bool]:
    """Return what ``text`` says of the attribute ``name``, and whether its table lists it or there is none.

    Args:
        name: An attribute of a clip.
        text: What a name or a table says.
        codes: Tables, as ``keyed`` returns them; ``TABLES`` serve attributes without one.
    """
    table, key = codes.get(name, TABLES.get(name, {})), spelling_key(text)
    closed = name in codes or name == "split" or (name != "emotion" and is_unknown(text))
    value = table.get(key) if key in table or closed else tidy(text) if name in LOWER else text
    if name == "age" and value is not None:
        value = whole_years(str(value))
    return value, value is not None or (key in table and name != "emotion")


def tell_read_as(place: object, meant: Meanings) -> None:
    """Warn of words that ``TABLES`` read as others."""
    if renamed := [f"{word!r} as {value}" for (_, word), value in sorted(meant.items()) if tidy(word) != value]:
        warn(f"{place}: words are read as others: {listing(renamed)}")


def pairs(option: str, given: object, example: str) -> ItemsView[Any, Any]:
    """Return the pairs of an option's table.

    Raises:
        CorpusError: The option is no table; the message shows ``example``.
    """
    if not isinstance(given, Mapping):
        raise CorpusError(f"dataset.{option}={given} must be a table: 'dataset.{option}={example}'")
    return given.items()


def checked_codes(codes: Codes, names: Collection[str]) -> Codes:
    """Return ``dataset.codes`` with emotions and other words in lower case.

    Args:
        codes: The option.
        names: Attributes that can have a table.

    Raises:
        CorpusError: It has a table for another attribute, a code or meaning that is no text, two codes that are read as
            one, or a split that is none.
    """
    for name, table in pairs("codes", codes, "{emotion: {W: anger}}"):
        if name not in names or not isinstance(table, Mapping):
            raise CorpusError(
                f"dataset.codes has {name}: {table}; it can have a table for each of {', '.join(names)}, "
                "such as {emotion: {W: anger, F: happy}}"
            )
        seen: dict[str, Any] = {}
        for code, value in table.items():
            if isinstance(code, bool) or not (value is None or (isinstance(value, str | int) and str(value).strip())):
                raise CorpusError(
                    f"dataset.codes has {code}: {value} for {name}; a code and its meaning are text, "
                    "and yes, no, on and off need quotes in YAML"
                )
            other = seen.setdefault(spelling_key(str(code)), code)
            if other != code:
                raise CorpusError(
                    f"dataset.codes has {other!r} and {code!r} for {name}, which are read as one: drop one"
                )
            if name == "split" and value not in (None, *SIDES):
                raise CorpusError(f"dataset.codes says that split {code!r} is {value!r}; it can be {', '.join(SIDES)}")
    return {
        name: {code: tidy(str(value)) if name in LOWER and value is not None else value for code, value in own.items()}
        for name, own in codes.items()
    }
