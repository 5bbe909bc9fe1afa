"""Command lines: every config field is an option, and mistakes end with one line."""

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from azdab.common import presets
from azdab.common.config import config_fields
from azdab.common.errors import UserError, one_line, suggest


class Parser(argparse.ArgumentParser):
    """A command line on which, with ``settings``, every config field is an option.

    Wrong usage ends the program with one line and exit status 2.
    """

    def __init__(self, *, settings: bool = True, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, **kwargs)
        self._settings = settings
        if not settings:
            return
        group = self.add_argument_group("settings, on top of the config")
        for name, field in config_fields():
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
        """The command's own options, and the settings given with them, nested."""
        options, unknown = self.parse_known_args(argv)
        if unknown:
            known = [option for action in self._actions for option in action.option_strings]
            word = unknown[0].split("=")[0]
            self.error(f"unknown option '{word}'{suggest(word, known)}")
        settings: dict[str, Any] = {}
        for name, _ in config_fields() if self._settings else ():
            if name in options:
                text = getattr(options, name)
                try:
                    value = presets.load_yaml(text)
                except ValueError:
                    shown = one_line(repr(text), 80)
                    self.error(f"argument --{name}: cannot read the value {shown}")
                for part in reversed(name.split(".")):
                    value = {part: value}
                settings = presets.merge(settings, value)
        return options, settings

    def run(self, work: Callable[[], None], stopped: Callable[[], None]) -> int:
        """Do a command's work; a mistake of the user ends it like wrong usage.

        Args:
          work: the work.
          stopped: called after Ctrl-C.

        Returns:
          The exit status.
        """
        try:
            work()
        except UserError as error:
            self.error(str(error))
        except KeyboardInterrupt:
            stopped()
            return 130
        return 0
