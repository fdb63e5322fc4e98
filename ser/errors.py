"""The base class of errors that a user can correct, and the safe display of text from others."""

import unicodedata

JOINERS = "\u200c\u200d"
"""Invisible characters that are kept, because Persian, Indian languages and emoji are written with them."""


def visible(text: object, lines: bool = False) -> str:
    r"""Return ``text`` with escapes for characters that would act on a terminal: ``\x1b[2J`` clears no screen.

    Control characters, overrides of the direction of writing, other invisible characters, and bytes of a file's name
    that are not text become Python's escapes.

    Args:
        text: Any object, mostly names of files, labels and fields of files.
        lines: Whether line breaks and tabs are kept.
    """
    kept = JOINERS + ("\n\t" if lines else "")
    return "".join(
        character if character in kept or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else character.encode("unicode_escape", "backslashreplace").decode()
        for character in str(text)
    )  # fmt: skip


class UserError(ValueError):
    """A choice that can't work or data that can't be used.

    The message gives the value, what is allowed, and what to do; ``train.py`` shows it without a traceback. Further
    arguments are lines below it.
    """

    def __str__(self) -> str:
        """Return the message, with escapes in names and fields that others wrote."""
        return "\n  ".join(map(visible, self.args))
