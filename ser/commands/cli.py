"""The command ``ser``: ``ser train …`` is ``python train.py …``, and ``ser NAME …`` is ``python scripts/NAME.py …``.

Each other command is the module of its name in ``ser.commands``. In an installed package, ``conf/`` is ``ser/conf``.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ser import __version__
from ser.errors import UserError, suit_terminal, visible

GROUPS = {
    "Train": ("train", "search", "retrain", "cache"),
    "Look at a corpus": ("download", "explore"),
    "Use a model": ("predict", "demo", "export", "ensemble", "adapt"),
    "Score a model": ("evaluate", "robustness", "enrolment", "transfer"),
    "Compare runs": ("pool", "compare", "leaderboard"),
}
"""Commands in the order of their use; each except ``train`` is a module of ``ser.commands``."""

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""


def command_parser(about: str | None, example: str) -> argparse.ArgumentParser:
    """Prepare the terminal, and a parser of options.

    Args:
        about: What the command does, the docstring of its module.
        example: Words that the command takes, for the end of its help.
    """
    suit_terminal()
    return argparse.ArgumentParser(description=about, formatter_class=Help, epilog=f"example: %(prog)s {example}")


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add the argument ``checkpoint``, a path."""
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="a run's folder, for the checkpoint it tested, or a file"
    )


def add_out(parser: argparse.ArgumentParser, folder: str) -> None:
    """Add the option ``--out``, a path, which is ``folder`` by default."""
    parser.add_argument("--out", type=Path, default=Path(folder), metavar="FOLDER", help="for the results")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--device``."""
    parser.add_argument("--device", default="cpu", metavar="NAME", help="where networks answer, as torch names it")


class Help(argparse.RawDescriptionHelpFormatter):
    """Help that keeps the lines of a description, and shows the default of each option that has one.

    The usage line has only what a command needs; options are listed below it, in groups.
    """

    def add_usage(
        self, usage: str | None, actions: Iterable[argparse.Action], groups: Any, prefix: str | None = None
    ) -> None:
        """Add the usage line."""
        needed = [action for action in actions if action.required or not action.option_strings]
        super().add_usage(usage, needed, [] if needed else groups, prefix)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        shown = (
            action.option_strings and not isinstance(default, (bool, list)) and default not in (None, argparse.SUPPRESS)
        )
        return f"{action.help} (default: %(default)s)" if shown else action.help


@contextmanager
def errors_in_words() -> Iterator[None]:
    """End the process with ``error: …`` for what a user can mend; any other error keeps its traceback."""
    try:
        yield
    except Exception as error:
        from hydra.errors import HydraException  # only now, because commands start faster without Hydra

        if isinstance(error, (UserError, OSError, HydraException)):
            sys.exit(f"error: {error}")
        raise


def commands() -> dict[str, str]:
    """Return the first line of each command's help, by name, in the order of ``GROUPS``."""
    return {name: _summary(name) for names in GROUPS.values() for name in names}


def _summary(name: str) -> str:
    if name == "train":
        return "Train, test and leave a run folder"
    source = Path(__file__).with_name(f"{name}.py")  # read, because importing it may take seconds
    description = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return re.split(r":? ``|\.?\n|\.$", description)[0]


def _overview() -> str:
    known = commands()
    lines = ["usage: ser COMMAND …"]
    for title, names in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name:<12} {known[name]}" for name in names)]
    return "\n".join([*lines, "", "ser COMMAND --help shows its options and an example."])


def main() -> None:
    """Hand the words after the first one to the command that it names."""
    suit_terminal()
    name, *words = sys.argv[1:] or ["--help"]
    known = commands()
    if name == "--version":
        print(__version__)
    elif name in ("-h", "--help"):
        print(_overview())
    elif name not in known:
        sys.exit(f"error: ser {visible(name)} is not known; commands are {', '.join(known)}")
    else:
        sys.argv = [f"ser {name}", *words]
        if name == "train":  # what Lightning starts for further devices: python -m ser.train WORDS
            sys.modules["__main__"].__spec__ = find_spec("ser.train")
        # Imported only now, because the overview need not wait for torch.
        module = import_module("ser.train" if name == "train" else f"ser.commands.{name}")
        module.main()


if __name__ == "__main__":
    main()
