"""Hooks of MkDocs: pages that are made of files outside docs/, and of the docstrings of the package."""

# ruff: noqa: ARG001  MkDocs names the arguments.

import ast
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

OUTSIDE = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
"""Pages that are files beside docs/."""


def modules() -> dict[str, Path]:
    """All modules of the package by their dotted name, with their files; commands are not for import."""
    files = sorted(file for file in (ROOT / "ser").rglob("*.py") if file.parent.name != "commands")
    return {".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the Python interface to the navigation: its overview, the top of the package, and a group per folder."""
    top: list[Any] = ["api/index.md"]
    groups: dict[str, list[Any]] = {}
    for name, file in modules().items():
        page = {name.removeprefix("ser."): f"api/{name}.md"}
        if file.parent == ROOT / "ser":
            top.append(page)
        else:
            groups.setdefault(file.parent.name, []).append(page)
    assert config.nav is not None
    config.nav.append({"Python": [*top, *({f"{group}/": pages} for group, pages in groups.items())]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here."""
    pages = {page: (ROOT / name).read_text(encoding="utf-8") for page, name in OUTSIDE.items()}
    lines = []
    for name, file in modules().items():
        about = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
        pages[f"api/{name}.md"] = f"---\nsearch:\n  boost: 0.5\n---\n\n# {name}\n\n::: {name}\n"
        lines.append(f"| [`{name}`]({name}.md) | {' '.join(about.split())} |")
    pages["api/index.md"] = "\n".join(["# Python interface", "", "| module | |", "| --- | --- |", *lines, ""])
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between the repository's files into links between pages; data of results are only named."""
    folder = ROOT / Path("docs" if page.file.src_uri not in OUTSIDE else ".", page.file.src_uri).parent
    if page.file.src_uri.startswith("api/"):
        return markdown

    def linked(match: re.Match[str]) -> str:
        """The link as the site has it."""
        text, target, anchor = match[1], match[2], match[3] or ""
        if ":" in target or not target:
            return match[0]
        file = (folder / target).resolve()
        beside = {ROOT / name: uri for uri, name in OUTSIDE.items()}
        name = beside.get(file) or file.relative_to(ROOT).as_posix().removeprefix("docs/")
        found = files.get_file_from_path(name)
        if file.exists() and (found is None or found.inclusion.is_excluded()):
            path = f"`{file.relative_to(ROOT).as_posix()}`"
            return path if text == target else f"{text} ({path})"
        return f"[{text}]({'../' * page.file.src_uri.count('/')}{name}{anchor})"

    return re.sub(r"\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)", linked, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Take the script for pages that are opened as files from the site itself rather than from a network."""
    return output.replace("https://unpkg.com/iframe-worker/shim", "../" * page.url.count("/") + "offline.js")


def on_post_template(output: str, template_name: str, config: MkDocsConfig) -> str:
    """Do the same for the page of unknown addresses, which is always served."""
    return output.replace('<script src="https://unpkg.com/iframe-worker/shim"></script>', "")
