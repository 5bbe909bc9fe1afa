"""What a person did wrong, in one line that says what to do."""

import difflib


class UserError(ValueError):
    """Something a person asked for that cannot be done; the message is one line for them."""


def one_line(text: str, width: int = 600) -> str:
    """Text for a message: one line, printable, and not longer than ``width``."""
    shown = "".join(c if c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in text)
    shown = " ".join(shown.split())
    return shown if len(shown) <= width else shown[: width - 3] + "..."


def suggest(word: str, known: list[str]) -> str:
    """'; did you mean ...?' if a known word is close, else nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
