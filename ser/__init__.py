"""Speech emotion recognition: ``from ser import Recognizer``.

Importing the package costs nothing; ``Recognizer`` and ``Voice`` are imported when they are first asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ser.features import Voice
    from ser.recognizer import Recognizer

__all__ = ["Recognizer", "Voice", "__version__"]

__version__ = "0.2.0"
"""The version of the package."""


def __getattr__(name: str) -> Any:
    """Import ``Recognizer`` or ``Voice``."""
    if name == "Recognizer":
        from ser.recognizer import Recognizer  # noqa: PLC0415

        return Recognizer
    if name == "Voice":
        from ser.features import Voice  # noqa: PLC0415

        return Voice
    raise AttributeError(f"module 'ser' has no attribute {name!r}")
