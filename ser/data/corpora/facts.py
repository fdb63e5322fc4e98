"""What is known of a corpus before a clip is read: the one place for it, for cards, docs and messages."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """What a corpus is as its authors released it, in words for a reader.

    Attributes:
        title: What it is called.
        licence: Its terms, as far as they are known to this program.
        what: What is said in it.
        speech: How emotion came about, such as ``acted``; None where that is not known.
        language: What is spoken, or None.
        speakers: How many, or None.
        people: Who they are, as far as it is known.
        clips: How many, or None.
        label: What a label stands for.
        home: Where it is available, or None.
        citation: What its authors ask to cite, or None.
        on_request: Whether its authors give it to those who ask.
        synthetic: Whether no person speaks in it.
    """

    title: str
    licence: str
    what: str
    label: str
    speech: str | None = None
    language: str | None = None
    speakers: int | None = None
    people: str | None = None
    clips: int | None = None
    home: str | None = None
    citation: str | None = None
    on_request: bool = False
    synthetic: bool = False

    @property
    def about(self) -> str:
        """Return a few words about it, such as ``acted German, 10 sentences``."""
        kind = " ".join(word for word in (self.speech, self.language) if word)
        return f"{kind}, {self.what}" if kind else self.what


ASKED = "what the actor was asked to show"
"""What a label of most corpora stands for."""

OWN = "terms not known to this program"
"""Terms of clips that come from no known corpus."""

RATED = "what people who listened to it took it for"
"""What a label of a corpus of found speech stands for."""
