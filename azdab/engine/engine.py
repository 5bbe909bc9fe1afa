"""The engine for people and other programs: one position in, a move or an explanation out.

    >>> from azdab.engine.engine import Engine
    >>> from azdab.game.position import Position
    >>> from azdab.game.board import Board
    >>> engine = Engine.load(Board(2, 3))
    >>> start = Position(Board(2, 3))
    >>> engine.analyze(start).exact  # 2x3 is lost by two boxes
    -2
    >>> start = start.play(engine.choose(start))

A network with search plays and explains until few enough edges are left; from there
on, every move and every value is exact. On boards without a network an alpha-beta search
takes its place.

An engine at a level is one player: the terminal, the page, the protocol and matches all ask
:meth:`Engine.choose`.
"""

import collections
import functools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from azdab.common.errors import UserError
from azdab.common.limits import MAX_SIMULATIONS
from azdab.engine import game_clock, outlook
from azdab.engine.certainty import Certainty, certain_of_book, certain_of_values
from azdab.engine.game_clock import GameClock
from azdab.engine.levels import (
    DEFAULT_LEVEL,
    LEVELS,
    Level,
    Pace,
    level_named,
)
from azdab.engine.outlook import Outlook
from azdab.engine.thinker import Thinker
from azdab.exact import oracle
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.runs import networks
from azdab.runs.networks import TrainedNetwork

_REMEMBERED = 512  # analyses


class Candidate(NamedTuple):
    """One move, as the engine sees it.

    Attributes:
      edge: the move.
      prior: the network's share for it, in 0..1; None without a network.
      visits: simulations spent on it.
      margin: the mover's expected final margin in boxes after it; None if not looked at.
      exact: the mover's final margin under perfect play; None where unknown.
    """

    edge: int
    prior: float | None
    visits: int
    margin: float | None
    exact: int | None


class Analysis(NamedTuple):
    """What the engine thinks of a position. The mover is whoever is to play.

    Attributes:
      margin: the mover's expected final margin in boxes, exact if known; None without a search.
      win_probability: of the mover, a draw counting half; None where neither a network nor exact
        play knows it.
      exact: the final margin under perfect play, None where unknown.
      candidates: all legal moves, the best first; none in a finished game.
    """

    margin: float | None
    win_probability: float | None
    exact: int | None
    candidates: list[Candidate]

    @property
    def best(self) -> int | None:
        """The best move, None in a finished game."""
        return self.candidates[0].edge if self.candidates else None


def bundled_for(board: Board) -> Path | None:
    """The network for boards of this size that comes with azdab, if there is one."""
    return networks.bundled_networks().get(board.size)


class Engine:
    """Chooses and explains moves on one board.

    Calls wait for one another; several threads may share an engine. What it said of a position
    it says again. Without a time, its moves depend on the position and the seed alone.

    Args:
      board: the board.
      trained: a trained network of its size; None plays by alpha-beta search.
      level: how hard to try.
      seed: decides among moves that are equally good.
      name: shown to people.
      pace: how long to think. A level without search does not think longer.
      now: the clock, in seconds.
    """

    def __init__(
        self,
        board: Board,
        trained: TrainedNetwork | None,
        level: Level = LEVELS[DEFAULT_LEVEL],
        *,
        seed: int = 0,
        name: str = "azdab",
        pace: Pace = Pace(),  # noqa: B008, it never changes
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if trained is not None:
            trained = trained.playing_on(board, name)
        if (most := MAX_SIMULATIONS) < level.simulations:
            raise UserError(f"at most {most} simulations a move, got {level.simulations}")
        self.board, self.trained, self.level, self.name = board, trained, level, name
        self._seed = seed
        self._lock = threading.Lock()
        self._said: collections.OrderedDict[tuple[int, ...], Analysis] = collections.OrderedDict()
        self._known_at_once = oracle.quick_oracle(board, level.edges)
        self._in_book = certain_of_book if level.edges else lambda _: None
        self._start(pace, now)

    def _start(self, pace: Pace, now: Callable[[], float]) -> None:
        self.pace = pace
        self.clock = None if pace.game is None else GameClock(pace.game)
        self._thinker = Thinker(self.board, self.trained, self.level, pace.usual, now)

    def set_pace(self, pace: Pace, now: Callable[[], float] = time.monotonic) -> None:
        """Set how long to think from now on; the time of every game begins again.

        Args:
          pace: how long.
          now: the clock, in seconds.
        """
        with self._lock:
            self._thinker.rest()
            self._start(pace, now)
            self._said.clear()

    @classmethod
    def load(
        cls,
        where: Board | str,
        level: Level | str = DEFAULT_LEVEL,
        *,
        board: Board | None = None,
        runs: Path = Path("runs"),
        seconds: float | None = None,
        game_seconds: float | None = None,
        ponder: bool = False,
        solver: bool = True,
        seed: int = 0,
    ) -> "Engine":
        """An engine from a board or from a checkpoint.

        Args:
          where: a board, to be played with the network that comes with azdab if there is
            one; or a checkpoint as :func:`azdab.runs.networks.resolve` reads it.
          level: a name in :data:`LEVELS` or a level of your own.
          board: to play on with a checkpoint, of its size; None: the board of its training.
          runs: where runs live.
          seconds: how long to think about each move, where it is not proven earlier. Levels
            without search do not think longer.
          game_seconds: how long to think about all moves of a game.
          ponder: whether :meth:`ponder` thinks; only with a time, since else nothing is kept.
          solver: whether to play exactly once few edges are left.
          seed: decides among moves that are equally good.

        Raises:
          UserError: there is no such checkpoint or level.
        """
        if isinstance(level, str):
            level = level_named(level)
        if not solver:
            level = level._replace(edges=0)
        path = bundled_for(where) if isinstance(where, Board) else None
        if isinstance(where, str):
            path = networks.resolve(where, runs)
        trained = networks.load_network(path) if path else None
        if isinstance(where, Board):
            board = where
        elif board is None:
            assert trained is not None
            board = trained.board
        name = f"azdab {path.name}" if path and isinstance(where, Board) else f"azdab {where}"
        if trained is not None:
            trained = trained.playing_on(board, str(where))
        pace = Pace(seconds, game_seconds, ponder)
        return cls(board, trained, level, seed=seed, name=name, pace=pace)

    def _random(self, position: Position) -> tuple[Any, np.random.Generator]:
        """A key and a generator that depend only on the position and the seed."""
        key = jax.random.fold_in(jax.random.key(self._seed), len(position.moves))
        return key, np.random.default_rng([self._seed, *position.moves])

    def choose(self, position: Position) -> int:
        """The move to play.

        Raises:
          ValueError: the game is over, or the position is of another board.
        """
        self._check(position)
        if position.is_over:
            raise ValueError("the game is over")
        key, rng = self._random(position)
        with self._lock:
            if certain := self._certain(position, rng) or self._in_book(position):
                return certain.move
            thought = self._thinker.think(position, rng, key, self._seconds(position))
            if self.clock is not None:
                self.clock.spend(position, thought.move, thought.seconds)
            return thought.move

    def ponder(self, position: Position) -> None:
        """Think on while the opponent does, in the background, if the pace says so.

        Args:
          position: of which the opponent is to move. :meth:`rest` and the next move end it.
        """
        with self._lock:
            if self.pace.ponder and not position.is_over:
                self._thinker.ponder(position)

    def rest(self) -> None:
        """End :meth:`ponder`: a program does not end before."""
        with self._lock:
            self._thinker.rest()

    def _certain(self, position: Position, rng: np.random.Generator) -> Certainty | None:
        """What is known of an unfinished position without thinking; None if nothing is.

        After this comes :func:`certain_of_book`, which does not know all moves.
        """
        at_once = self._known_at_once
        if at_once is None or not at_once.known(position.edges):
            return None
        return certain_of_values(rng, at_once.action_values(position.edges[None])[0])

    def _seconds(self, position: Position) -> float | None:
        """How long to think; None: as long as the level takes."""
        if self.clock is None:
            return self.pace.move
        left = self.clock.left(position)
        share = game_clock.share_of_time(len(position.legal), left)
        return share if self.pace.move is None else min(share, self.pace.move)

    def analyze(self, position: Position) -> Analysis:
        """What to think of a position and of each of its moves.

        Raises:
          ValueError: the position is of another board.
        """
        self._check(position)
        with self._lock:
            if position.moves not in self._said:
                self._said[position.moves] = self._analysis(position)
            self._said.move_to_end(position.moves)
            while len(self._said) > _REMEMBERED:
                self._said.popitem(last=False)
            return self._said[position.moves]

    def _analysis(self, position: Position) -> Analysis:
        mover_lead = position.lead if position.to_play == 0 else -position.lead
        if position.is_over:
            return Analysis(float(mover_lead), _result(mover_lead), mover_lead, [])
        key, rng = self._random(position)
        value: int | None
        bounds: np.ndarray | None
        seen, estimate = None, None
        if certain := self._certain(position, rng):
            value, chosen, bounds = certain.value, -1, certain.bounds
        else:
            seconds = self._seconds(position)
            half = None if seconds is None else seconds / 2
            thought = self._thinker.think(position, rng, key, half, thorough=True)
            bounds = self._thinker.values(position, thought, half)
            value, chosen = thought.value, thought.move
            seen, estimate = thought.seen, thought.estimate
            if value is None and (certain := self._in_book(position)):
                value, chosen, bounds = certain.value, certain.move, certain.bounds
        if self.trained and (seen is None or self.level.simulations <= 0):
            seen = self._thinker.look(position, key)
            chosen = int(seen.action) if certain or value is None else chosen
        best = None if value is None else value + mover_lead
        candidates = [
            self._candidate(edge, seen, mover_lead, bounds, best) for edge in position.legal
        ]
        candidates.sort(key=functools.partial(_rank, best, chosen), reverse=True)
        if best is not None:
            return Analysis(float(best), _result(best), best, candidates)
        if seen is not None and self.trained is not None:
            margin, probability = outlook.expected_result(self.trained, seen, mover_lead)
            return Analysis(margin, probability, None, candidates)
        guess = None if estimate is None else float(estimate + mover_lead)
        return Analysis(guess, None, None, candidates)

    def _check(self, position: Position) -> None:
        if position.board != self.board:
            raise ValueError(f"this engine plays on {self.board}, not on {position.board}")

    def _candidate(
        self,
        edge: int,
        seen: Outlook | None,
        mover_lead: int,
        bounds: np.ndarray | None,
        best: int | None,
    ) -> Candidate:
        """A move, from what the search saw and what is proven."""
        margin = None
        if seen is not None and np.isfinite(seen.q[edge]):
            margin = float(seen.q[edge]) + mover_lead
        exact = None
        if bounds is not None:
            low, high = (int(bound) + mover_lead for bound in bounds[edge])
            exact = low if low == high else None
            if exact is not None:
                margin = float(exact)
            elif margin is not None:
                margin = min(max(margin, low), high if best is None else min(high, best))
        if seen is None:
            return Candidate(edge, None, 0, margin, exact)
        return Candidate(edge, float(seen.prior[edge]), int(seen.visits[edge]), margin, exact)


def _rank(best: int | None, chosen: int, move: Candidate) -> tuple[Any, ...]:
    """What moves are sorted by: those known to be best come first, those known not to, last."""
    known = best is not None and move.exact is not None
    worse = move.exact - best if best is not None and move.exact is not None else 0
    return worse, known, move.edge == chosen, move.visits, move.prior or 0.0


def _result(margin: int) -> float:
    """A final margin as a game's points: 1 for a win, 1/2 for a draw."""
    return 0.5 + 0.5 * float(np.sign(margin))
