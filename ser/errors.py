"""The one base of errors that a person can mend, and how what strangers wrote is shown."""

import unicodedata

JOINERS = "\u200c\u200d"
"""Not seen either, but letters of Persian and of Indian languages, and emoji, are written with them."""


def visible(text: object, lines: bool = False) -> str:
    r"""What a terminal can show of ``text``, with escapes for what would act on it: ``\x1b[2J`` clears no screen.

    Control characters, overrides of the direction of writing, other characters that are not seen, and bytes of a file's
    name that are no text become Python's escapes.

    Args:
        text: Anything; names of files, labels and fields of files above all.
        lines: Whether line breaks and tabs stay.
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
        """The message, in which names and fields that strangers wrote are shown and do nothing."""
        return "\n  ".join(map(visible, self.args))
