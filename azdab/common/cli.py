"""Command lines: what options may be, every config field as an option, and how commands end.

A mistake of the user's ends a command with one line and exit status 2.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from rich.console import Console

from azdab.common import presets
from azdab.common.config import config_fields
from azdab.common.errors import UserError, one_line, suggest

_T = TypeVar("_T")
_Options = TypeVar("_Options", bound=NamedTuple)


def argument(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """A function that raises :class:`UserError`, as a type for argparse."""

    def read(text: str) -> _T:
        try:
            return parse(text)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """A type for argparse: a whole number from ``low`` to ``high``."""
    wanted = f"of at least {low}" if high is None else f"from {low} to {high}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low or (high is not None and value > high):
            shown = one_line(repr(text), 40)
            raise argparse.ArgumentTypeError(f"must be a whole number {wanted}, got {shown}")
        return value

    return read


def even(low: int) -> Callable[[str], int]:
    """A type for argparse: an even number of at least ``low``."""
    number = whole(low)

    def read(text: str) -> int:
        value = number(text)
        if value % 2:
            raise argparse.ArgumentTypeError(
                f"must be even, so that sides can be swapped; got {value}"
            )
        return value

    return read


def seconds(text: str) -> float:
    """A type for argparse: more than no time, at most an hour."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 3600:
        shown = one_line(repr(text), 40)
        raise argparse.ArgumentTypeError(
            f"must be more than 0 and at most 3600 seconds, got {shown}"
        )
    return value


def choice(known: Sequence[str]) -> Callable[[str], str]:
    """A type for argparse: one of the words."""

    def read(text: str) -> str:
        if text not in known:
            shown = one_line(repr(text), 40)
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(known)}; got {shown}")
        return text

    return read


def output_file(text: str) -> Path:
    """A type for argparse: a file that can be written, as far as one sees before it is."""
    path = Path(text)
    try:
        if not path.absolute().parent.is_dir():
            raise argparse.ArgumentTypeError(f"there is no directory {path.parent}")
        if path.is_dir():
            raise argparse.ArgumentTypeError(f"{path} is a directory, give a file")
    except (OSError, ValueError) as error:  # a name too long, or with a zero byte
        shown = one_line(repr(text), 80)
        raise argparse.ArgumentTypeError(f"cannot write {shown}: {error}") from None
    return path


def typed(kind: type[_Options], options: argparse.Namespace) -> _Options:
    """Those of the parsed options that are the fields of a NamedTuple."""
    return kind._make(getattr(options, name) for name in kind._fields)


class Parser(argparse.ArgumentParser):
    """A command line.

    Args:
      overrides: whether every config field is an option.
      kwargs: as for argparse.
    """

    def __init__(self, *, overrides: bool = True, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, **kwargs)
        self._fields = list(config_fields()) if overrides else []
        if not overrides:
            return
        group = self.add_argument_group("settings, on top of the config")
        for name, field in self._fields:
            group.add_argument(
                f"--{name}",
                dest=name,
                metavar="VALUE",
                default=argparse.SUPPRESS,
                help=str(field.description).replace("%", "%%"),
            )

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {one_line(message)}\n")

    def parse(self, argv: list[str] | None = None) -> tuple[argparse.Namespace, dict[str, Any]]:
        """The command's own options, see :func:`typed`, and the config's fields given beside them.

        The latter are nested as in a config file, and not yet validated.
        """
        options, unknown = self.parse_known_args(argv)
        if unknown:
            known = [option for action in self._actions for option in action.option_strings]
            word = unknown[0].split("=")[0]
            self.error(f"unknown option '{word}'{suggest(word, known)}")
        overrides: dict[str, Any] = {}
        for name, _ in self._fields:
            if name in options:
                text = getattr(options, name)
                try:
                    value = presets.load_yaml(text)
                except ValueError:
                    shown = one_line(repr(text), 80)
                    self.error(f"argument --{name}: cannot read the value {shown}")
                for part in reversed(name.split(".")):
                    value = {part: value}
                overrides = presets.merge(overrides, value)
        return options, overrides

    def run(self, work: Callable[[], None], console: Console, stopped: str) -> int:
        """Do a command's work, and end the command: every command ends here.

        Args:
          work: the work. A ``KeyboardInterrupt`` with a message of its own stops it too.
          console: where to say that it was stopped.
          stopped: what to say then.

        Returns:
          The exit status: 0, or 130 after Ctrl-C. What a person did wrong, a file that cannot be
          read or written, and too little memory end the program with one line and status 2.
        """
        try:
            work()
        except UserError as error:
            self.error(str(error))
        except KeyboardInterrupt as stop:
            console.print(*stop.args or (stopped,))
            return 130
        except OSError as error:
            where = f"{error.filename}: " if error.filename is not None else ""
            self.error(f"{where}{error.strerror or error or type(error).__name__}")
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            self.error("out of memory; ask for less at once, or on a GPU end other programs on it")
        return 0


def out_of_memory(error: BaseException) -> bool:
    """Whether Python or JAX, which has its own way to say it, had too little memory."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
