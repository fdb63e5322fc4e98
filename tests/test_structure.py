"""How the package is laid out: few names at its top, and imports that only run one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ser"

ORDER = (
    "errors", "files", "data", "augment", "features", "evaluation", "checkpoint", "models", "recognizer", "datamodule",
    "config", "results", "inference", "training", "train", "commands",
)  # fmt: skip
"""Folders and modules at the top of the package; none imports one that comes after it."""

MOST_NAMES = 17


def imported(path: Path) -> set[str]:
    """The names at the top of the package that a module imports from, wherever the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules = []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [f"{node.module}.{name.name}" for name in node.names]
        elif isinstance(node, ast.Import):
            modules = [name.name for name in node.names]
        found |= {module.split(".")[1] for module in modules if module.startswith("ser.")}
    return found & {*ORDER}


def test_the_top_has_few_names_and_each_has_a_place_in_the_order() -> None:
    names = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith(("__pycache__", "."))}
    names -= {"pretrained"}  # the model that comes with the package: a folder of data
    assert names == {*ORDER, "__init__"}
    assert len(names) <= MOST_NAMES


@pytest.mark.parametrize("name", ORDER)
def test_nothing_imports_what_comes_after_it(name: str) -> None:
    place = PACKAGE / name
    later = {*ORDER[ORDER.index(name) + 1 :]}
    for path in sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]:
        assert not imported(path) & later, path.relative_to(PACKAGE)


def test_importing_the_package_costs_nothing() -> None:
    code = (
        "import ser, sys; before = 'torch' in sys.modules; from ser import Recognizer, Voice; print(before, Recognizer)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.startswith("False <class 'ser.recognizer.Recognizer'>")
    with pytest.raises(ImportError, match="cannot import name 'Nobody'"):
        from ser import Nobody  # type: ignore[attr-defined]  # noqa: F401, PLC0415
