"""The one base of errors that a person can mend."""


class UserError(ValueError):
    """A choice that can't work or data that can't be used.

    The message gives the value, what is allowed, and what to do; ``train.py`` shows it without a traceback.
    """
