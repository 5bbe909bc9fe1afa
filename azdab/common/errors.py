"""What a person did wrong, in one line that says what to do."""

import difflib


class UserError(ValueError):
    """Something a person asked for that cannot be done; ``str`` gives one line for them.

    Attributes:
      reason: what is wrong, and what to do.
      where: in what it is wrong, from the outside in: a file, a line. May be empty.
    """

    def __init__(self, reason: str, *where: str) -> None:
        super().__init__(reason, *where)
        self.reason, self.where = reason, where

    def __str__(self) -> str:
        return one_line(": ".join((*self.where, self.reason)))

    def inside(self, place: str) -> "UserError":
        """The same error, found in something larger."""
        return type(self)(self.reason, place, *self.where)


def one_line(text: str, width: int = 600) -> str:
    """Text for a message: one line, printable, and not longer than ``width``."""
    shown = "".join(c if c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in text)
    shown = " ".join(shown.split())
    return shown if len(shown) <= width else shown[: width - 3] + "..."


def suggest(word: str, known: list[str]) -> str:
    """'; did you mean ...?' if a known word is close, else nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
