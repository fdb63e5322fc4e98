"""The project's own words stay those of the field, in pages, docstrings, comments and identifiers."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
"""Files whose prose is checked, outside code."""

CODE = sorted(
    path
    for pattern in (
        "train.py", "docs/*.py", "benchmarks/*.py", "scripts/*.py", "ser/**/*.py",
    )
    for path in ROOT.glob(pattern)
)  # fmt: skip
"""Files whose docstrings, comments and identifiers are checked; ``ser/**/*.py`` is a pattern like these."""

COUNTED = (
    "batch|call|chart|class|clip|core|corpus|device|emotion|epoch|file|fold|frame|group|hour|job|label|layer|line|"
    "machine|network|octave|page|process|recording|row|run|score|second|seed|side|speaker|split|step|voice|window"
)
"""What distributive phrases are about: milliseconds per clip, one file per network."""

PROSE = {
    r"\bbut for\b": "except",
    r", too\b(?! (?:few|many|much|large|small|short|long|far|late))": "also, before the verb",
    r"\balone\b": "only, or by itself",
    r"\btold\b|\btells? of\b": "reported, says, describes or marked",
    r"\bheard\b": "seen in training",
    r"\b(?:speakers?|voices?|told|tells?|kept|keeps?|taken?|takes?|classes|people) apart\b": "speaker-independent, "
    "separate or distinguish",
    r"\bgo(?:es|ing)? on\b(?! top)|\bwent on\b": "resume or continue",
    r"\bof (?:which|whom|what)\b": "two sentences",
    r"\banew\b": "again",
    r"\bto be had\b": "available",
    r"\b(?:stays?|written|are|files) whole\b(?! numbers?)|\bwhole or (?:none|not)\b": "complete or atomic",
    r", for (?:there|they|it|he|she|nobody|nothing)\b": "because",
    r", for (?:an? |the |each |only |all |most |no )?\w+ (?:is|are|was|were|has|have|had|would|can|must)\b": "because",
    rf"\b(?:one|an?|\d+|[kMG]?B|ms|s|bytes|times|clips|numbers|parameters)"
    rf" (?:(?!of|in|for|from|with|to|on|by|as|is|are|be|at|than|over|and|or|per|that|was|has|if|where|when|like)\w+ )?"
    rf"an? (?:{COUNTED})\b": "per",
    r"\bof a (?:sort|kind) with\b": "like",
}
"""Expressions of prose that made readers stumble, and what to write in their place."""

OPENING = r"(?:Of|By|As|Its|Their|Between|The same|Likewise|From)\b"
"""How a docstring without a subject begins."""

NAMES = {
    "told": "reported, or the thing itself: line, names, record",
    "heard": "seen, real or audible",
    "bothways": "BiGRU",
    "hush": "quiet",
    "anew": "again",
    "apart": "independent or separate",
}
"""Words of identifiers, between underscores or capitals, and what to write in their place."""


def prose_of(page: str) -> Iterator[tuple[int, str]]:
    """Paragraphs of a Markdown page with their first line, without code, addresses and marks."""
    page = re.sub(r"```.*?```", lambda block: "\n" * block[0].count("\n"), page, flags=re.DOTALL)
    line = 1
    for paragraph in re.split(r"(\n[ \t]*\n|\n(?=[-|#>]|\d+\. ))", page):
        text = re.sub(r"``[^`]+``|`[^`]+`|\]\([^)]*\)|<!--.*?-->|https?://\S+", " ", paragraph)
        yield line, " ".join(re.sub(r"[*_\[\]]", "", text).split())
        line += paragraph.count("\n")


def comments_of(source: str) -> Iterator[tuple[int, str]]:
    """Comments and docstrings of a module with their line, without code."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
    yield from ((line, text) for line, text in docstrings_of(source))


def docstrings_of(source: str) -> Iterator[tuple[int, str]]:
    """Docstrings of a module, its classes, functions and constants, with their line."""
    for node in ast.walk(ast.parse(source)):
        for statement in getattr(node, "body", []) if not isinstance(node, ast.Lambda | ast.IfExp) else []:
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield statement.lineno, value.value


def identifiers_of(source: str) -> Iterator[tuple[int, str]]:
    """Names that a module gives: of functions, classes, arguments and variables, with their line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def stumbles(texts: Iterator[tuple[int, str]]) -> Iterator[str]:
    """What of ``PROSE`` is in the texts: line, words and what to write."""
    for line, text in texts:
        for pattern, better in PROSE.items():
            for found in re.finditer(pattern, text):
                yield f"{line}: {found[0]!r}, write {better}: …{text[max(found.start() - 40, 0) : found.end() + 40]}…"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_speak_the_words_of_the_field(page: Path) -> None:
    assert list(stumbles(prose_of(page.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize("module", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_comments_and_identifiers_speak_the_words_of_the_field(module: Path) -> None:
    source = module.read_text(encoding="utf-8")
    texts = ((line, re.sub(r"``[^`]+``|`[^`]+`", " ", " ".join(text.split()))) for line, text in comments_of(source))
    riddles = [
        f"{line}: a docstring that does not stand alone: {text.split(chr(10))[0]}"
        for line, text in docstrings_of(source)
        if re.match(OPENING, text) or len(text.split()) == 1
    ]
    names = [
        f"{line}: {name}, write {NAMES[word]}"
        for line, name in identifiers_of(source)
        for word in re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
        if word in NAMES
    ]
    assert [*stumbles(texts), *riddles, *names] == []


def test_what_makes_readers_stumble_is_found() -> None:
    page = (
        "It takes 3 ms a clip, one file a network, for there are few.\n\nThat is told, too. All but for `told` goes on."
    )
    found = {found.split(", write")[0] for found in stumbles(prose_of(page))}
    assert found == {
        "1: ', for there'", "1: ', for there are'", "1: '3 ms a clip'", "1: 'one file a network'",
        "3: 'but for'", "3: ', too'", "3: 'told'", "3: 'goes on'",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text", ["One part of a clip", "a row per class", "2 s, for a clip", "long, too many", "`told`"]
)
def test_what_is_good_english_is_not_found(text: str) -> None:
    assert list(stumbles(prose_of(text))) == []


def test_the_checked_files_are_there() -> None:
    assert {"README.md", "docs/glossary.md"} <= {path.relative_to(ROOT).as_posix() for path in PAGES}
    assert "train.py" in {path.relative_to(ROOT).as_posix() for path in CODE}
