"""What a command prints on: shown in ASCII where it must be, and no harm done where it is lost.

Standard output may have an encoding that lacks a character, may be closed, at the end of a pipe
that nobody reads, or on a full disk. None of that ends a command that does more than print.
"""

import contextlib
import os
import sys
import threading
import unicodedata
from typing import Any

from rich.console import Console

_PLAIN = {
    "1½": "1 1/2", "½": "1/2", "●": "+", "━": "-", "┃": "|", "─": "-", "│": "|",
    "…": "...", "–": "-", "—": "-", "−": "-", "×": "x", "·": ".", "•": "*",  # noqa: RUF001
    "≥": ">=", "≤": "<=", "→": "->", "±": "+-", "’": "'", "‘": "'", "“": '"', "”": '"',  # noqa: RUF001
}  # fmt: skip
"""What stands for the characters that azdab and rich draw with, and for usual punctuation."""


class OutputLostError(Exception):
    """Nobody can read what a command prints, and it does nothing else.

    Attributes:
      unread: whether a reader went away, as ``head`` does when it has enough.
      reason: what is wrong, in a few words.
    """

    def __init__(self, error: Exception) -> None:
        self.unread = isinstance(error, BrokenPipeError)
        self.reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        super().__init__(self.reason)


def plain_text(text: str, encoding: str) -> str:
    """Text with ASCII in the place of what an encoding lacks; names lose nothing."""
    for known, ascii_only in _PLAIN.items():
        if known in text and not _can_show(known, encoding):
            text = text.replace(known, ascii_only)
    return "".join(c if _can_show(c, encoding) else _plain_character(c) for c in text)


def _can_show(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _plain_character(character: str) -> str:
    if "\u2800" <= character <= "\u28ff":  # rich's turning dots
        return "."
    base = unicodedata.normalize("NFKD", character)[:1]  # a letter without its accent
    return base if base.isascii() else character.encode("ascii", "backslashreplace").decode()


class Output:
    """Standard output as a stream whose ``write`` never fails.

    Attributes:
      lost: why it can no longer be written, once that is so.
    """

    def __init__(self) -> None:
        self.lost: Exception | None = None

    @staticmethod
    def _stream() -> Any:
        # While rich draws a progress bar, a stream of its own stands in the place.
        return getattr(sys.stdout, "rich_proxied_file", sys.stdout)

    @property
    def encoding(self) -> str:
        return getattr(self._stream(), "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        try:
            return bool(self._stream().isatty())
        except ValueError:  # it is closed
            return False

    def fileno(self) -> int:
        return int(self._stream().fileno())

    def write(self, text: str) -> int:
        """Write text, and see at once whether it got out."""
        if self.lost is None and self._stream() is not None:
            shown = text if _can_show(text, self.encoding) else plain_text(text, self.encoding)
            try:
                self._stream().write(shown)
                self._stream().flush()
            except (OSError, ValueError) as error:
                self.lost = error
                self._drain()
        return len(text)

    def flush(self) -> None:
        """Nothing waits in it: see :meth:`write`."""

    def _drain(self) -> None:
        """Send what Python still holds to nowhere, or it would fail once more at the end."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)


class Screen(Console):
    """A rich console on standard output that shows names as they are: no markup, no emoji.

    Attributes:
      output: the stream below.
      is_all: whether a command does nothing but print, so that it may as well end where nobody
        can read it.
    """

    def __init__(self) -> None:
        self.output = Output()
        self.is_all = False
        stream: Any = self.output
        super().__init__(file=stream, markup=False, emoji=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich's.

        Raises:
          OutputLostError: it cannot be read, and the command does nothing else.
        """
        super().print(*objects, **options)
        # Rich moves its bars in a thread of its own, where nobody would catch an error.
        alone = threading.current_thread() is threading.main_thread()
        if alone and self.is_all and self.output.lost is not None:
            raise OutputLostError(self.output.lost)


def open_screen() -> Screen:
    """The screen of a command.

    The three standard streams are there afterwards: a file opened in the place of a closed
    one would be written by everything that prints.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    reconfigure = getattr(sys.stdin, "reconfigure", None)
    if reconfigure is not None:  # what is typed may be in another encoding
        reconfigure(errors="replace")
    return Screen()
