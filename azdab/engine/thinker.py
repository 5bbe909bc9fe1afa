"""What happens while the engine thinks about one move.

The exact solver tries to prove a move, in threads of its own, while the network's search (on
boards without a network, the alpha-beta search) looks for one to fall back on. A proof ends the
thinking. Else it ends when the counts of the level are reached, or when the time is up. Then the
move is chosen from both: what the search expects, within the bounds that are proven.

What is counted depends on the position alone. What is timed also depends on the machine, and on
what the solver remembers of earlier positions.
"""

import functools
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from azdab.common.extras import missing_numba
from azdab.common.limits import TIMED_EDGES
from azdab.engine import handwritten
from azdab.engine.deliberation import Deliberation
from azdab.engine.levels import Level
from azdab.engine.outlook import Outlook
from azdab.engine.proving import MoveProof, MoveProver, solver_bits
from azdab.exact import oracle
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.learning import agents
from azdab.runs.networks import TrainedNetwork

_ROOM = 1 << 14  # simulations of a search with a time, at most: the tree is in memory
_FALLBACK = 1024  # simulations with a time, while a proof is under way: more would hardly help
_PIECE = 0.02  # seconds of a search until it is asked whether to stop
_HEAD_START = 0.02  # seconds of a proof before a search begins beside it: most endings take less
_GLANCE = 16  # least simulations of an analysis
_OVERRATED = 1.0  # boxes that the move of a search is worth less than it expects, about
_TRIAL = 32  # simulations by which the rate is first measured
_THREADS = 2  # of a proof with a time
_VISITS = 1 << 40  # of an alpha-beta search with a time: more than it can make


class Thought(NamedTuple):
    """What came of thinking about a position. Values are the mover's future margins, in boxes.

    Attributes:
      move: the move to play.
      value: the position's, if it was proven.
      estimate: the position's as the alpha-beta search sees it, if it was asked.
      bounds: ``int64[E, 2]``, what is proven of the value after each move, at least and at most;
        None if no proof was tried.
      seen: what the network and its search say; None without a network.
      seconds: how long it took.
    """

    move: int
    value: int | None
    estimate: int | None
    bounds: np.ndarray | None
    seen: Outlook | None
    seconds: float


class Thinker:
    """Thinks about positions of one board, one at a time.

    Args:
      board: the board.
      trained: a network of its size, or None.
      level: how hard to try.
      seconds: for a usual move; None: counts limit the thinking.
      now: the clock, in seconds.
    """

    def __init__(
        self,
        board: Board,
        trained: TrainedNetwork | None,
        level: Level,
        seconds: float | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board, self._trained, self._level, self._now = board, trained, level, now
        self._timed = seconds is not None
        self._edges = level.edges
        if self._timed and level.edges:
            self._edges = max(level.edges, TIMED_EDGES)
        self._prover: MoveProver | None = None
        if self._edges and oracle.can_search(board) and not oracle.can_solve(board):
            bits = solver_bits(level.nodes, seconds)
            self._prover = MoveProver(board, _THREADS if self._timed else 1, bits, self._timed)
        self._searcher = None if trained else _searcher(board, level, self._timed)
        self._frugal: Any = None
        self._room = _ROOM if self._timed else max(level.simulations, 1)
        self._pondering: tuple[threading.Event, MoveProof] | None = None
        self._pace = 0.0  # seconds that a simulation takes; 0: not measured
        self._ready = False

    def think(
        self,
        position: Position,
        rng: np.random.Generator,
        key: Any,
        seconds: float | None = None,
        thorough: bool = False,
    ) -> Thought:
        """Think about an unfinished position.

        Args:
          position: the position.
          rng: decides among moves that are equally good.
          key: random key, for the search.
          seconds: until the answer; only if the thinker is timed, and then always.
          thorough: whether the search goes on when a move is proven.
        """
        self.rest()
        self._make_ready(position, key)
        start, given_up = self._now(), threading.Event()

        def enough() -> bool:
            late = seconds is not None and self._now() - start >= seconds
            return late or given_up.is_set()

        try:
            return self._thought(position, rng, key, seconds, enough, start, thorough)
        finally:
            given_up.set()  # by Ctrl-C, say: the proof must not go on

    def _thought(
        self,
        position: Position,
        rng: np.random.Generator,
        key: Any,
        seconds: float | None,
        enough: Callable[[], bool],
        start: float,
        thorough: bool,
    ) -> Thought:
        """What :meth:`think` gives."""
        look, proof = None, None
        proving = self._prover is not None and len(position.legal) <= self._edges
        if self._trained and self._level.simulations >= 0:
            planned = self._simulations(seconds, proving)
            look = Deliberation(self._trained, position, self._room, planned, key)
        if self._prover and proving:
            proof = self._begin_proof(self._prover, position, look, rng, enough)
            if not thorough:
                proof.wait(_HEAD_START)

        def stop() -> bool:
            return enough() or (not thorough and proof is not None and proof.proven)

        move, estimate, seen = -1, None, None
        if look is not None:
            self._search(look, proving, stop)
            seen = look.outlook()
            move = int(seen.action)
        elif self._level.simulations < 0:
            move = int(handwritten.greedy_actions(self._board, rng, position.edges[None])[0])
        elif self._searcher:
            move, estimate = self._searcher.look(rng, position.edges, stop)
        else:
            move = self._frugal_move(position, key)
        value, bounds = None, None
        if proof is not None:
            found, bounds = proof.result(), proof.bounds
            move, value = found or (within(bounds, move, seen), None)
        return Thought(move, value, estimate, bounds, seen, self._now() - start)

    def look(self, position: Position, key: Any) -> Outlook:
        """What network and search say of an unfinished position, without any proof."""
        assert self._trained is not None
        simulations = max(self._level.simulations, _GLANCE)
        look = Deliberation(self._trained, position, simulations, simulations, key)
        look.grow(simulations)
        return look.outlook()

    def values(
        self, position: Position, thought: Thought, seconds: float | None = None
    ) -> np.ndarray | None:
        """The bounds of a thought, for as many moves as can be made exact.

        Args:
          position: that was thought about last.
          thought: what came of it.
          seconds: as in :meth:`think`.
        """
        bounds = thought.bounds
        if bounds is None or thought.value is None or self._prover is None:
            return bounds
        start, nodes = self._now(), None
        if seconds is None:
            nodes = self._level.nodes - self._prover.nodes
        enough = None if seconds is None else lambda: self._now() - start >= seconds
        self._prover.narrow(position, bounds, nodes, enough)
        return bounds

    def ponder(self, position: Position) -> None:
        """Prove on in the background until the next call, for its own sake: it is remembered."""
        self.rest()
        if self._prover and self._timed and len(position.legal) <= self._edges:
            over = threading.Event()
            order = np.array(position.legal)
            self._pondering = over, self._prover.start(position, order, 0.0, None, over.is_set)

    def rest(self) -> None:
        """Stop pondering."""
        if self._pondering:
            over, proof = self._pondering
            self._pondering = None
            over.set()
            proof.result()

    def _begin_proof(
        self,
        prover: MoveProver,
        position: Position,
        look: Deliberation | None,
        rng: np.random.Generator,
        enough: Callable[[], bool],
    ) -> MoveProof:
        order = rng.permutation(np.array(position.legal))
        guess = 0.0
        if look is not None:
            order = order[np.argsort(-look.alone.prior[order], kind="stable")]
            guess = float(look.alone.margin)
        nodes = None if self._timed else self._level.nodes
        return prover.start(position, order, guess, nodes, enough)

    def _most(self, proving: bool) -> int:
        """How many simulations the search of a move may have, beside a proof or alone."""
        most = self._level.simulations
        if not self._timed or most == 0:
            return most
        return _FALLBACK if proving else _ROOM

    def _simulations(self, seconds: float | None, proving: bool) -> int:
        """How many simulations are planned."""
        most = self._most(proving)
        if seconds is None or not self._pace:
            return most
        return int(min(max(seconds / self._pace, 1), most))

    def _search(self, look: Deliberation, proving: bool, stop: Callable[[], bool]) -> None:
        """Let the search grow until it is told to stop, or has what it may have."""
        most = self._most(proving)
        while look.simulations < most and not stop():
            piece = max(int(_PIECE / self._pace), 1) if self._pace else _TRIAL
            self._grow(look, min(piece, most - look.simulations))

    def _grow(self, look: Deliberation, simulations: int) -> None:
        """Make some simulations, and note how long they take."""
        start = self._now()
        look.grow(simulations)
        took = (self._now() - start) / simulations
        self._pace = (self._pace + took) / 2 if self._pace else took

    def _make_ready(self, position: Position, key: Any) -> None:
        """Before the first move with a time: load and compile what it needs, and measure it."""
        if self._ready or not self._timed:
            return
        self._ready = True
        if self._trained and self._level.simulations >= 0:
            look = Deliberation(self._trained, position, self._room, _TRIAL, key)
            if self._level.simulations:
                look.grow(1)
                look.outlook()
                self._grow(look, _TRIAL)
        if self._prover:
            self._prover.start(position, np.array(position.legal), 0.0, 1, lambda: False).result()
        if self._searcher:
            self._searcher.look(np.random.default_rng(0), position.edges, lambda: True)

    def _frugal_move(self, position: Position, key: Any) -> int:
        """Give away as little as can be."""
        if self._frugal is None:
            self._frugal = jax.jit(functools.partial(agents.greedy_agent(self._board), None))
        return int(self._frugal(key, position.state())[0])


def within(bounds: np.ndarray, move: int, seen: Outlook | None) -> int:
    """The move to play where no move could be proven to be the best.

    Args:
      bounds: as in :class:`Thought`.
      move: what the search would play.
      seen: what the search expects; None where it only has a move.
    """
    low, high = bounds.T
    sure = int(low.argmax())
    expected = float(high[move])
    if seen is not None:
        # The search takes the move that it overrates most.
        expected = min(expected, float(np.nan_to_num(seen.q[move], nan=seen.margin)) - _OVERRATED)
    return move if low[move] == low[sure] or expected > low[sure] else sure


def _searcher(board: Board, level: Level, timed: bool) -> Any:
    """The alpha-beta search, where a level searches and it is at hand; else None."""
    if level.simulations <= 0 or not oracle.can_search(board):
        return None
    try:
        from azdab.exact import alphabeta
    except ImportError:
        raise missing_numba() from None
    counted = 300 * level.simulations if level.visits is None else level.visits
    return alphabeta.Searcher(board, _VISITS if timed else counted)
