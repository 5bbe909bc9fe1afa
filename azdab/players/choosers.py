"""Players who look at one position at a time: the engine's levels, and agents of your own.

An agent of your own may do anything: raise errors, return what is no move, think for ever. Then
it forfeits the game, and the match goes on.
"""

import importlib
import importlib.util
import inspect
import operator
import queue
import reprlib
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Array

from azdab.common.errors import UserError, one_line
from azdab.engine.engine import Engine
from azdab.game.board import Board
from azdab.game.position import Position, move_name
from azdab.game.rules import State
from azdab.players.host_players import Act


class Chooser(Protocol):
    """Anyone who can play: an :class:`azdab.engine.engine.Engine`, or an agent of your own."""

    def choose(self, position: Position) -> int:
        """A legal move in an unfinished position."""
        ...


class ForfeitError(UserError):
    """Some positions to which a player has no move that can be played.

    Attributes:
      actions: ``int32[B]``, the moves in all positions, -1 in those.
      reasons: by position, in a few words.
    """

    def __init__(self, player: str, ply: int, actions: np.ndarray, reasons: dict[int, str]) -> None:
        first = next(iter(reasons.values()))
        super().__init__(f"{player} has no move at ply {ply}: it {first}")
        self.actions, self.reasons = actions, reasons


class _NoMoveError(Exception):
    """What a chooser did instead of moving, in a few words after 'it'."""


def engine_act(engine: Engine) -> Act:
    """An engine as a player of matches: each move is what :meth:`Engine.choose` says."""

    def act(key: Array, states: State, history: np.ndarray) -> np.ndarray:
        del key, states
        positions = [Position(engine.board, tuple(past)) for past in history.tolist()]
        return np.array([engine.choose(here) for here in positions], np.int32)

    return act


def from_chooser(board: Board, chooser: Chooser, name: str = "", limit: float | None = None) -> Act:
    """Make a player for matches of an object that chooses moves in positions.

    Where it raises an error, returns what is no legal move, or takes longer than ``limit``
    seconds, it forfeits the game: :class:`ForfeitError`. A call that takes longer goes on in the
    background, and the next move has to wait for it, within its own time.

    Args:
      board: the board.
      chooser: the object.
      name: in messages; its class's unless given.
      limit: most seconds for a move; None: any time.
    """
    shown = name or type(chooser).__name__
    ask = chooser.choose if limit is None else _Limited(chooser.choose, limit)

    def act(key: Array, states: State, history: np.ndarray) -> np.ndarray:
        del key
        actions = np.full(len(history), -1, np.int32)
        reasons: dict[int, str] = {}
        for row, (past, edges) in enumerate(zip(history.tolist(), states.edges, strict=True)):
            try:
                actions[row] = _move(board, ask, Position(board, tuple(past)), np.asarray(edges))
            except _NoMoveError as error:
                reasons[row] = str(error)
        if reasons:
            raise ForfeitError(shown, history.shape[1] + 1, actions, reasons)
        return actions

    return act


def _move(board: Board, ask: Callable[[Position], int], here: Position, edges: np.ndarray) -> int:
    """Ask for a move, and see that it is one.

    Raises:
      _NoMoveError: it is none.
    """
    try:
        answer: Any = ask(here)
    except _NoMoveError:
        raise
    except (Exception, SystemExit) as error:
        raise _NoMoveError(f"raised {error_text(error)}") from None
    if why := why_not(board, answer, edges):
        raise _NoMoveError(why)
    return operator.index(answer)


def why_not(board: Board, answer: Any, edges: np.ndarray) -> str:
    """Why an answer is no move, in a few words after 'it'; empty if it is one.

    Args:
      board: the board.
      answer: a whole number of any type, or anything else.
      edges: ``bool[E]``, the drawn edges.
    """
    try:
        edge = None if isinstance(answer, bool | np.bool_) else operator.index(answer)
    except Exception:  # an object may do anything
        edge = None
    if edge is None:
        return f"chose {_shown(answer)}, which is no whole number"
    if not 0 <= edge < board.num_edges:
        return f"chose {_shown(edge)}, and the edges are 0 to {board.num_edges - 1}"
    return f"chose {move_name(board, edge)}, which is drawn already" if edges[edge] else ""


def _shown(value: Any) -> str:
    try:
        return one_line(reprlib.repr(value), 60)
    except Exception:
        return f"a {type(value).__name__}"


def error_text(error: BaseException) -> str:
    """An error of somebody else's code in one line: what it is, and where it was raised."""
    try:
        text = one_line(str(error), 200)
    except Exception:  # that too is somebody else's
        text = ""
    trace = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in trace if not frame.filename.startswith("<frozen")]
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return ": ".join(filter(None, (type(error).__name__, text))) + where


class _Limited:
    """A function of one argument that is waited for only so long.

    It runs in a thread of its own, since nothing else can leave it behind.
    """

    def __init__(self, ask: Callable[[Position], int], seconds: float) -> None:
        self._ask, self._seconds = ask, seconds
        self._busy: threading.Thread | None = None

    def __call__(self, position: Position) -> int:
        if self._busy is not None:
            self._busy.join(self._seconds)
            if self._busy.is_alive():
                raise _NoMoveError("is still thinking about an earlier move")
        answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

        def work() -> None:
            try:
                answers.put((self._ask(position), None))
            except BaseException as error:
                answers.put((None, error))

        self._busy = threading.Thread(target=work, daemon=True)
        self._busy.start()
        try:
            answer, error = answers.get(timeout=self._seconds)
        except queue.Empty:
            raise _NoMoveError(f"took more than {self._seconds:g} seconds") from None
        if error is not None:
            raise error
        return answer


def _imported(name: str) -> Any:
    """What ``package.module.Name`` names.

    Raises:
      UserError: there is no such thing, or importing it fails.
    """
    first, *rest = name.replace(":", ".").split(".")
    if not all(part.isidentifier() for part in (first, *rest)):
        raise UserError(f"cannot import {name}: write it as package.module.Name")
    path = first
    try:
        found: Any = importlib.import_module(path)
        for part in rest:
            path += f".{part}"
            if hasattr(found, "__path__") and importlib.util.find_spec(path):
                found = importlib.import_module(path)
            elif hasattr(found, part):
                found = getattr(found, part)
            else:
                raise UserError(f"cannot import {name}: there is no {path}")
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == path:
            raise UserError(f"cannot import {name}: there is no module {path}") from None
        raise UserError(f"{name}: importing {path} raised {error_text(error)}") from None
    return found


def named_agent(board: Board, name: str) -> Chooser:
    """An agent of your own, from the name of its class or of a function that makes it.

    Args:
      board: the board, which is all that it is made from.
      name: ``package.module.Name``.

    Raises:
      UserError: there is no such thing, it cannot be made, or it has no method ``choose``.
    """
    make = _imported(name)
    if not callable(make):
        raise UserError(f"{name} must be a class or a function of the board, not {_shown(make)}")
    try:
        made: Any = make(board)
    except (Exception, SystemExit) as error:
        raise UserError(f"{name} cannot be made: it raised {error_text(error)}") from None
    if inspect.isclass(made) or not callable(getattr(made, "choose", None)):
        raise UserError(f"{name} makes {_shown(made)}, which has no method choose(position)")
    chooser: Chooser = made
    return chooser
