"""Command lines: what options may be, every config field as an option, and how commands end.

A mistake of the user's ends a command with one line and exit status 2.
"""

import argparse
import itertools
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from rich.console import Console

from azdab.common import files, presets
from azdab.common.config import config_fields
from azdab.common.errors import UserError, one_line, suggest
from azdab.common.limits import MAX_BATCH_GAMES
from azdab.common.screen import Output, OutputLostError, Screen

_T = TypeVar("_T")
_Options = TypeVar("_Options", bound=NamedTuple)

UNREAD = 141
"""The exit status of a command whose output nobody wanted any longer: as if SIGPIPE ended it."""


def argument(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """A function that raises :class:`UserError`, as a type for argparse."""

    def read(text: str) -> _T:
        try:
            return parse(text)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


_LARGEST = 2**31 - 1  # what arrays count with


def whole(low: int, high: int = _LARGEST) -> Callable[[str], int]:
    """A type for argparse: a whole number from ``low`` to ``high``."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            shown = one_line(repr(text), 40)
            open_ended = high == _LARGEST and value < low
            wanted = f"of at least {low}" if open_ended else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"must be a whole number {wanted}, got {shown}")
        return value

    return read


def even(low: int) -> Callable[[str], int]:
    """A type for argparse: an even number of games, at least ``low``."""
    number = whole(low, MAX_BATCH_GAMES)

    def read(text: str) -> int:
        value = number(text)
        if value % 2:
            raise argparse.ArgumentTypeError(
                f"must be even, so that sides can be swapped; got {value}"
            )
        return value

    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """A type for argparse: a number from ``low`` to ``high``."""

    def read(text: str) -> float:
        value = _float(text)
        if not low <= value <= high:
            shown = one_line(repr(text), 40)
            raise argparse.ArgumentTypeError(
                f"must be a number from {low:g} to {high:g}, got {shown}"
            )
        return value

    return read


def _float(text: str) -> float:
    """A number, NaN where the text is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def seconds(text: str) -> float:
    """A type for argparse: more than no time, at most an hour."""
    value = _float(text)
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


def named_path(text: str) -> Path:
    """A type for argparse: a file or directory, as :func:`azdab.common.files.named` reads it."""
    return argument(files.named)(text)


def output_file(text: str) -> Path:
    """A type for argparse: a file that can be written, as far as one sees before it is."""
    found = named_path(text)
    try:
        real = Path(os.path.realpath(found))  # links are followed when it is written
        if real.is_symlink():
            raise argparse.ArgumentTypeError(f"{found} is a link that leads back to itself")
        if not real.parent.is_dir():
            folder = real.parent if found.is_symlink() else found.parent
            raise argparse.ArgumentTypeError(f"there is no directory {folder}")
        if real.is_dir():
            raise argparse.ArgumentTypeError(f"{found} is a directory, give a file")
        if not os.access(real if real.exists() else real.parent, os.W_OK):
            raise argparse.ArgumentTypeError(f"{found} cannot be written: see its permissions")
    except OSError as error:  # a name too long
        shown = one_line(repr(text), 80)
        raise argparse.ArgumentTypeError(f"cannot write {shown}: {error.strerror}") from None
    return found


def output_folder(text: str) -> Path:
    """A type for argparse: a directory to write in, which may not exist yet."""
    found = named_path(text)
    if os.path.lexists(found) and not found.is_dir():
        kind = "a file" if found.exists() else "a link to nothing"
        raise argparse.ArgumentTypeError(f"{found} is {kind}, give a directory")
    return found


def _same_file(one: Path, other: Path) -> bool:
    """Whether two outputs would be one file, which holds only the later of them."""
    if os.path.exists(one) and os.path.exists(other):  # Path's fails for a name too long
        return one.is_file() and one.samefile(other)  # both may be a device, such as /dev/null
    return os.path.realpath(one) == os.path.realpath(other)


def _called(action: argparse.Action) -> str:
    """What people call an option or an argument."""
    return action.option_strings[0] if action.option_strings else f"{action.metavar}"


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

    def _print_message(self, message: str, file: Any = None) -> None:
        """Help goes where everything goes that a command prints; errors to standard error."""
        if file is not None and file is sys.stdout:
            Output().write(message)
        else:
            super()._print_message(message, file)

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
        self._check_words(options)
        self._check_outputs(options)
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

    def _check_words(self, options: argparse.Namespace) -> None:
        """Refuse an empty word: it would be taken for an option that was not given."""
        fields = dict(self._fields)
        for action in self._actions:
            if action.type is None and action.dest not in fields:
                given = getattr(options, action.dest, None)
                words = given if isinstance(given, list) else [given]
                if "" in words and given != action.default:
                    self.error(f"argument {_called(action)}: is empty")

    def _check_outputs(self, options: argparse.Namespace) -> None:
        """Refuse to write one file twice, or over what the command is about."""
        outputs = (output_file, output_folder)
        named = [
            (_called(action), path)
            for action in self._actions
            if action.type in outputs or (action.type is named_path and action.required)
            if (path := getattr(options, action.dest)) is not None
        ]
        for (one, path), (other, again) in itertools.combinations(named, 2):
            if _same_file(path, again):
                self.error(f"{one} and {other} name the same file, {again}: give two")

    def refuse_idle(
        self, options: argparse.Namespace, doing: str, uses: Mapping[str, Sequence[str]]
    ) -> None:
        """Refuse options that would do nothing in what a command is asked to do.

        Args:
          options: parsed.
          doing: what that is, in words.
          uses: in what each option does something, by its name in ``options``.

        Raises:
          UserError: names the option, and what it is for.
        """
        for name, places in uses.items():
            if doing not in places and getattr(options, name) != self.get_default(name):
                option = f"--{name.replace('_', '-')}"
                if option in places:
                    raise UserError(f"choose one of {option} and {doing}")
                raise UserError(
                    f"{option} needs {' or '.join(places)}; it does nothing with {doing}"
                )

    def run(self, work: Callable[[], None], console: Console, stopped: str) -> int:
        """Do a command's work, and end the command: every command ends here.

        Args:
          work: the work. A ``KeyboardInterrupt`` with a message of its own stops it too.
          console: on which it prints.
          stopped: what to say on standard error when it was stopped.

        Returns:
          The exit status: 0, 130 after Ctrl-C, or ``UNREAD``. What a person did wrong, a file
          that cannot be read or written, and too little memory end the program with one line
          and status 2.
        """
        try:
            work()
        except OutputLostError as error:
            if error.unread:
                return UNREAD
            self.error(f"standard output: {error.reason}")
        except KeyboardInterrupt as stop:
            if not console.quiet:  # standard output is for what was asked for, a protocol say
                self._print_message("{}\n".format(*stop.args or (stopped,)))
            return 130
        except Exception as error:
            reason = explanation(error)
            if reason is None:
                raise
            self.error(reason)
        lost = console.output.lost if isinstance(console, Screen) else None
        if lost is not None and not isinstance(lost, BrokenPipeError):
            self._print_message(f"{self.prog}: standard output: {OutputLostError(lost).reason}\n")
        return 0


def explanation(error: Exception) -> str | None:
    """What is to be said of an error that is not a fault of azdab's; None where it is one."""
    if isinstance(error, UserError):
        return str(error)
    if out_of_memory(error):
        return "out of memory; ask for less at once, or on a GPU end other programs on it"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror or error or type(error).__name__}"
    return None


def out_of_memory(error: BaseException) -> bool:
    """Whether Python or JAX, which has its own way to say it, had too little memory."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
