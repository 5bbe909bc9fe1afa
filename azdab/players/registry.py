"""Players by name, for matches: ``greedy-min``, ``chains-24``, ``mcts:simulations=1000``.

The baseline that training reports as ``greedy`` is ``greedy-min`` here; ``greedy`` is
the textbook player, who does not count chains.
"""

import functools
import inspect
import math
import re
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from azdab.common.errors import UserError, suggest
from azdab.engine.engine import Engine
from azdab.engine.levels import LEVELS
from azdab.game.board import Board
from azdab.players import choosers, host_players
from azdab.players.host_players import Act
from azdab.runs import networks


class Player(NamedTuple):
    """Someone to play against.

    Attributes:
      name: the specification it was made from.
      act: how it moves.
    """

    name: str
    act: Act


def custom_player(board: Board, *, agent: str, limit: float | None = None) -> Act:
    """An agent of your own: a class or function of the board, ``agent=package.module.Name``.

    It is imported, called with the board, and must return an object with a method
    ``choose(position)``, as :class:`azdab.engine.engine.Engine` has. It forfeits the game if it
    takes more than ``limit`` seconds for a move.
    """
    if limit is not None and not 0 < limit <= 3600:
        raise UserError(f"limit must be more than 0 and at most 3600 seconds, got {limit:g}")
    return choosers.from_chooser(board, choosers.named_agent(board, agent), agent, limit)


def level_player(
    level: str, board: Board, *, checkpoint: str | None = None, seconds: float | None = None
) -> Act:
    """The engine at a level, as it plays people.

    Args:
      level: a name in :data:`azdab.engine.engine.LEVELS`.
      board: to play on.
      checkpoint: its network; None: the one that comes with azdab, or none.
      seconds: to think about each move; None: as long as the level usually does.
    """
    if seconds is not None and not 0 < seconds <= 3600:
        raise UserError(f"seconds must be more than 0 and at most 3600, got {seconds:g}")
    return choosers.engine_act(
        Engine.load(checkpoint or board, level, board=board, seconds=seconds)
    )


PLAYERS: dict[str, Callable[..., Act]] = {
    "random": host_players.random_player,
    "greedy": host_players.greedy_player,
    "greedy-min": host_players.greedy_min_player,
    "chains": host_players.chains_player,
    "alphabeta": host_players.alphabeta_player,
    "mcts": host_players.mcts_player,
    "network": host_players.network_player,
    "search": host_players.search_player,
    "engine": host_players.engine_player,
    "solver": host_players.solver_player,
    "custom": custom_player,
    **{level: functools.partial(level_player, level) for level in LEVELS},
}
"""The players by name; their keyword arguments are the options of a specification."""


def parse_player(spec: str) -> tuple[str, dict[str, str]]:
    """A player's name and options, as they are written.

    Every specification is read here. A value with a comma in it stands between double quotes,
    ``network:checkpoint="runs/a,b"``; there, quotes and backslashes have a backslash before them.

    Raises:
      UserError: it is written otherwise, or an option twice.
    """
    name, _, text = spec.partition(":")
    options: dict[str, str] = {}
    if short := re.fullmatch(r"chains-(\d+)", name, re.ASCII):
        name, options = "chains", {"exact": short[1]}
    given: set[str] = set()
    while text:
        found = re.match(r'([^,="]+)=(?:"((?:[^"\\]|\\.)*)"|([^,"][^,]*))(?:,|$)', text, re.DOTALL)
        if not found:
            part = text.partition(",")[0]
            raise UserError(
                f"write options as 'option=value', not '{part}'; a value with a comma stands "
                "between double quotes", f"player '{spec}'",
            )  # fmt: skip
        if found[1] in given:
            raise UserError(f"'{found[1]}' stands there twice", f"player '{spec}'")
        given.add(found[1])
        quoted = found[3] is None
        options[found[1]] = re.sub(r"\\(.)", r"\1", found[2]) if quoted else found[3]
        text = text[found.end() :]
    return name, options


def make_player(
    spec: str,
    board: Board,
    checkpoint: Path | str | None = None,
    runs: Path = Path("runs"),
) -> Player:
    """Make a player from its specification.

    Args:
      spec: ``name`` or ``name:option=value,option=value``, see :func:`parse_player`;
        ``chains-24`` is short for ``chains:exact=24``.
      board: the board to play on.
      checkpoint: the network of players that need one and name none, in any form that
        :func:`azdab.runs.networks.resolve` takes.
      runs: where runs live.

    Raises:
      UserError: the specification is wrong, or something it needs is missing.
    """
    name, given = parse_player(spec)
    if name not in PLAYERS:
        raise UserError(
            f"unknown player '{name}'{suggest(name, list(PLAYERS))}; "
            f"the players are: {', '.join(PLAYERS)}"
        )
    options = options_of(name)
    if "checkpoint" in options and checkpoint is not None:
        given.setdefault("checkpoint", str(checkpoint))
    values: dict[str, Any] = {}
    for option, value in given.items():
        if option not in options:
            accepted = ", ".join(options) or "none"
            raise UserError(
                f"player '{spec}' has no option '{option}'"
                f"{suggest(option, list(options))}; its options are: {accepted}"
            )
        kind = _type_of(options[option])
        try:
            values[option] = kind(value)
            if kind is float and not math.isfinite(values[option]):
                raise ValueError
        except ValueError:
            word = "an integer" if kind is int else "a number"
            raise UserError(f"{option} must be {word}, got '{value}'", f"player '{spec}'") from None
    missing = [option for option, p in options.items() if p.default is p.empty]
    if "checkpoint" in missing and "checkpoint" not in values:
        raise UserError(f"player '{spec}' needs a network: add checkpoint=PATH")
    for option in missing:
        if option not in values:
            raise UserError(f"player '{spec}' needs {option}=VALUE")
    try:
        if "checkpoint" in values:
            values["checkpoint"] = str(networks.resolve(values["checkpoint"], runs))
        return Player(spec, PLAYERS[name](board, **values))
    except UserError as error:
        raise error.inside(f"player '{spec}'") from None


def options_of(name: str) -> dict[str, inspect.Parameter]:
    """The options of a player with their types and defaults."""
    parameters = inspect.signature(PLAYERS[name]).parameters
    return {k: p for k, p in parameters.items() if p.kind is p.KEYWORD_ONLY}


def _type_of(option: inspect.Parameter) -> Any:
    """The type of an option's values, also where None stands for none."""
    kinds = [kind for kind in typing.get_args(option.annotation) if kind is not types.NoneType]
    return kinds[0] if kinds else option.annotation


def describe_players() -> str:
    """All players in words, one per line."""
    lines = []
    for name, build in PLAYERS.items():
        options = ", ".join(
            option if p.default in (p.empty, None) else f"{option}={p.default}"
            for option, p in options_of(name).items()
        )
        build = build.func if isinstance(build, functools.partial) else build
        summary = str(inspect.getdoc(build)).split("\n")[0]
        lines.append(f"{name}: {summary}" + (f" Options: {options}." if options else ""))
    return "\n".join(lines)
