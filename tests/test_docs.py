"""The package as it is described: its docstrings, the site made from them and from docs/, and the citation."""

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import ser
from ser.data.corpora import FACTS

ROOT = Path(__file__).parents[1]

SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "ser").rglob("*.py"))
}


def undocumented(source: str, exported: set[str]) -> Iterator[str]:
    """A module's public names without a docstring: itself, classes, functions, methods, and what is exported."""
    module = ast.parse(source)
    if not ast.get_docstring(module):
        yield "the module"
    for node, after in zip(module.body, [*module.body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield node.name
            methods = node.body if isinstance(node, ast.ClassDef) else []
            for method in methods:
                named = isinstance(method, ast.FunctionDef) and not method.name.startswith("_")
                if named and not ast.get_docstring(method):
                    yield f"{node.name}.{method.name}"
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)} & exported
            told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if names and not (told and isinstance(after.value.value, str)):
                yield names.pop()


def exported(sources: dict[str, str]) -> set[tuple[str, str]]:
    """What modules list in their ``__all__``: the module that has it from itself, and the name."""
    names: set[tuple[str, str]] = set()
    for module, source in sources.items():
        body = ast.parse(source).body
        homes = {name.name: node.module for node in body if isinstance(node, ast.ImportFrom) for name in node.names}
        for node in body:
            if isinstance(node, ast.Assign) and any(getattr(t, "id", None) == "__all__" for t in node.targets):
                names |= {(homes.get(name) or module, name) for name in ast.literal_eval(node.value)}
    return names


def test_every_public_name_has_a_docstring() -> None:
    names = exported(SOURCES)
    constants = {
        ("ser.data.corpora", "FACTS"),
        ("ser.data.corpora.clip", "EMOTIONS"),
        ("ser.features.frontend", "DIMENSIONS"),
    }
    assert constants <= names
    missing = {
        module: bare
        for module, source in SOURCES.items()
        if (bare := list(undocumented(source, {name for home, name in names if home == module})))
    }
    assert missing == {}


def test_a_missing_docstring_is_found() -> None:
    source = (
        "def told():\n    'told'\ndef bare(): ...\ndef _own(): ...\n"
        "class Kind:\n    'told'\n    def bare(self): ...\n    def _own(self): ...\n"
        "    @property\n    def value(self): ...\n"
        "A = 1\n'told'\nB = 2\nC: int = 3\nD = 4\n__all__ = ['A', 'B', 'C']"
    )
    assert list(undocumented(source, {name for _, name in exported({"here": source})})) == [
        "the module", "bare", "Kind.bare", "Kind.value", "B", "C",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site that ``make docs`` builds; a link to nothing and a docstring that is not as it should be fail."""
    made = subprocess.run(["make", "-n", "docs"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (words,) = re.findall(r"bin/mkdocs (.+)", made)
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", *shlex.split(words), "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return folder


def test_pages_are_made_of_the_whole_package(site: Path) -> None:
    pages = {".".join(page.relative_to(site / "api").with_suffix("").parts) for page in (site / "api").rglob("*.html")}
    assert pages == {name for name in SOURCES if not name.startswith("ser.commands")} | {"index"}
    page = (site / "api/ser.recognizer.html").read_text(encoding="utf-8")
    assert 'id="ser.recognizer.Recognizer.load"' in page
    assert "A trained network with everything between a waveform and its answer." in page
    assert "/site/" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert 'class="doc-section-title">Parameters:' in page, "the Google style is not taken apart: no list of arguments"


def test_the_site_has_all_pages_and_needs_no_network(site: Path) -> None:
    written = {page.stem for page in (ROOT / "docs").glob("*.md")} | {"index", "contributing", "changelog"}
    assert written <= {page.stem for page in site.glob("*.html")}
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert re.findall(r"<(?:script|img|iframe)[^>]+src=.?(?:https?:)?//", text) == [], page
        assert re.findall(r"<link[^>]+href=.?(?:https?:)?//", text) == [], page
    for sheet in site.rglob("*.css"):
        assert re.findall(r"url\(.?(?:https?:)?//", sheet.read_text(encoding="utf-8")) == [], sheet


@pytest.mark.parametrize("name", [name for name, facts in FACTS.items() if facts.home])
def test_the_docs_tell_of_a_corpus_what_the_cards_tell(name: str) -> None:
    facts, lines = FACTS[name], (ROOT / "docs/corpora.md").read_text(encoding="utf-8").splitlines()
    assert f"| `{name}` | {facts.licence} | {facts.citation} |" in lines
    (row,) = (line for line in lines if line.startswith(f"| `{name}` | {facts.about} |"))
    assert f"| {facts.clips:,} | {facts.speakers} |" in row
    assert ("| on request |" in row) == facts.on_request


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert cited["cff-version"] == "1.2.0"
    assert all(cited[key] for key in ("message", "title", "authors")), "CFF 1.2.0 asks for these"
    assert cited["type"] == "software"
    assert cited["version"] == ser.__version__ == re.findall(r'^version = "(.+)"$', project, re.MULTILINE)[0]
    assert cited["license"] == re.findall(r'^license = "(.+)"$', project, re.MULTILINE)[0] == "MIT"
    (released,) = re.findall(rf"^## {re.escape(ser.__version__)}, (.+)$", changes, re.MULTILINE)
    assert str(cited.get("date-released", "unreleased")) == released
    for reference in cited["references"]:
        assert all(reference[key] for key in ("type", "title", "authors")), "CFF 1.2.0 asks for these"
        assert all(set(author) == {"family-names", "given-names"} for author in reference["authors"])
