"""The command ``ser``: ``ser train …`` is ``python train.py …``, and ``ser NAME …`` is ``python scripts/NAME.py …``.

Each other command is the module of its name in ``ser.commands``. In an installed package, ``conf/`` is ``ser/conf``.
"""

import argparse
import ast
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules

from ser import __version__
from ser.errors import UserError, visible


def suit_terminal() -> None:
    """Print characters that a terminal or pipe has no code for as escapes, here and in child processes.

    Those on Windows, in a C locale or with ``PYTHONIOENCODING`` take fewer characters than labels and tables have.
    """
    for stream in (sys.stderr, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):  # else somebody put another object there, which has no encoding
            stream.reconfigure(errors="backslashreplace")
            os.environ["PYTHONIOENCODING"] = f"{stream.encoding}:backslashreplace"


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
    """Help that keeps the lines of a description, and shows the default of each option that has one."""

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
    """What ``ser`` can do, by name, with the first line of each one's help."""
    found = {"train": "Train, test and leave a run folder"}
    for module in iter_modules(import_module("ser.commands").__path__, "ser.commands."):
        spec = find_spec(module.name)
        assert spec is not None
        assert spec.origin is not None
        told = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
        found[module.name.rpartition(".")[2]] = re.split(r":? ``|\n", told)[0]
    return found


def main() -> None:
    """Hand the words after the first one to the command that it names."""
    suit_terminal()
    name, *words = sys.argv[1:] or ["--help"]
    known = commands()
    if name == "--version":
        print(__version__)
    elif name in ("-h", "--help"):
        lines = [f"  {command:<12} {told}" for command, told in known.items()]
        print("\n".join(["usage: ser COMMAND …", "", *lines, "", "ser COMMAND --help tells more."]))
    elif name not in known:
        sys.exit(f"error: ser {visible(name)} is not known; commands are {', '.join(known)}")
    else:
        sys.argv = [f"ser {name}", *words]
        if name == "train":  # what Lightning starts for further devices: python -m ser.train WORDS
            sys.modules["__main__"].__spec__ = find_spec("ser.train")
        # Imported only now: the help of all commands need not wait for torch.
        module = import_module("ser.train" if name == "train" else f"ser.commands.{name}")
        module.main()


if __name__ == "__main__":
    main()
