"""The engine for people and other programs: one position in, a move or an explanation out.

    >>> from azdab.engine.engine import Engine
    >>> from azdab.game.position import Position
    >>> from azdab.game.board import Board
    >>> engine = Engine.load(Board(3, 3))
    >>> start = Position(Board(3, 3))
    >>> engine.analyze(start).exact  # 3x3 is lost by three boxes
    -3
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
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from azdab.common.errors import UserError
from azdab.common.limits import PATIENT_EDGES, SEARCH_EDGES, TIMED_EDGES
from azdab.engine import handwritten, outlook, pacing
from azdab.engine.outlook import Outlook
from azdab.exact import oracle
from azdab.exact.oracle import ILLEGAL
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.learning import agents
from azdab.runs import networks
from azdab.runs.networks import TrainedNetwork


class Level(NamedTuple):
    """How hard the engine tries.

    Attributes:
      simulations: of the search per move; 0: the network alone, -1: simple rules.
      edges: play exactly with at most this many edges left; 0: never.
      nodes: most positions the exact solver may look at for one move.
      visits: positions that the alpha-beta search visits for a move, on boards without a
        network; None: 300 for each simulation.
    """

    simulations: int
    edges: int
    nodes: int = 300_000
    visits: int | None = None


LEVELS = {
    "easy": Level(-1, 0),
    "medium": Level(0, 0),
    "hard": Level(256, SEARCH_EDGES),
    "max": Level(2048, PATIENT_EDGES, 3_000_000),
}
"""``easy`` takes boxes and avoids giving them away; ``medium`` is the network alone; ``hard``
thinks for a fraction of a second, ``max`` for some seconds. On boards without a network
``medium`` gives away as little as possible, and the others search by alpha-beta."""

DEFAULT_LEVEL = "hard"

MAX_SIMULATIONS = 4096
"""Most simulations per move that are accepted: the tree keeps that many positions in memory."""

_NODES_PER_SECOND = 500_000

_REMEMBERED = 512  # analyses


class Candidate(NamedTuple):
    """One move, as the engine sees it.

    Attributes:
      edge: the move.
      prior: the network's share for it, in 0..1; None without a network.
      visits: simulations spent on it.
      margin: the mover's expected final margin in boxes after it; None if not looked at.
      exact: the mover's final margin under perfect play of both; None where unknown.
    """

    edge: int
    prior: float | None
    visits: int
    margin: float | None
    exact: int | None


class Analysis(NamedTuple):
    """What the engine thinks of a position. The mover is whoever is to play.

    Attributes:
      margin: the mover's expected final margin in boxes; the exact one where it is known.
        None where neither a network nor exact play knows it.
      win_probability: of the mover, a draw counting half; None as above.
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
    it says again.

    Args:
      board: the board.
      trained: a trained network of its size; None plays by alpha-beta search.
      level: how hard to try.
      seed: decides among moves that are equally good.
      name: shown to people.
    """

    def __init__(
        self,
        board: Board,
        trained: TrainedNetwork | None,
        level: Level = LEVELS[DEFAULT_LEVEL],
        *,
        seed: int = 0,
        name: str = "azdab",
    ) -> None:
        if trained is not None:
            trained = trained.playing_on(board, name)
        if level.simulations > MAX_SIMULATIONS:
            raise UserError(
                f"at most {MAX_SIMULATIONS} simulations a move, got {level.simulations}"
            )
        self.board, self.trained, self.level, self.name = board, trained, level, name
        self._seed = seed
        self._lock = threading.Lock()
        self._said: collections.OrderedDict[tuple[int, ...], Analysis] = collections.OrderedDict()
        self._truth = oracle.quick_oracle(board, level.edges, level.nodes)
        self._rules = None if trained else _rules(board, level)

    @classmethod
    def load(
        cls,
        where: Board | str,
        level: Level | str = DEFAULT_LEVEL,
        *,
        board: Board | None = None,
        runs: Path = Path("runs"),
        seconds: float | None = None,
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
          seconds: how long to think about each move; how much the level searches is then
            set from the speed of this machine. Levels without search do not think longer.
          solver: whether to play exactly once few edges are left.
          seed: decides among moves that are equally good.

        Raises:
          UserError: there is no such checkpoint or level.
        """
        if isinstance(level, str):
            if level not in LEVELS:
                raise UserError(f"the levels are {', '.join(LEVELS)}; got '{level}'")
            level = LEVELS[level]
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
        if seconds is not None:
            level = paced(board, trained, level, seconds)
        return cls(board, trained, level, seed=seed, name=name)

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
            if self._truth and self._truth.known(position.edges):
                exact = int(self._truth.optimal_actions(rng, position.edges[None])[0])
                if exact >= 0:
                    return exact
            if self.level.simulations < 0:
                return int(handwritten.greedy_actions(self.board, rng, position.edges[None])[0])
            if self._rules:
                return self._rules(key, rng, position)
            assert self.trained is not None
            return int(
                outlook.ask_position(self.trained, position, self.level.simulations, key).action
            )

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
        exact = self._exact_values(position, mover_lead)
        seen, chosen = None, -1
        if self.trained:
            simulations = max(self.level.simulations, 16)
            seen = outlook.ask_position(self.trained, position, simulations, key)
            chosen = int(seen.action)
        elif not exact:
            assert self._rules is not None
            chosen = self._rules(key, rng, position)
        candidates = [
            self._candidate(edge, seen, mover_lead, exact.get(edge)) for edge in position.legal
        ]
        candidates.sort(
            key=lambda c: (
                c.exact if c.exact is not None else 0,
                c.edge == chosen,
                c.visits,
                c.prior or 0,
            ),
            reverse=True,
        )
        if exact:
            best = max(exact.values())
            return Analysis(float(best), _result(best), best, candidates)
        if seen is None or self.trained is None:
            return Analysis(None, None, None, candidates)
        margin, probability = outlook.expected_result(self.trained, seen, mover_lead)
        return Analysis(margin, probability, None, candidates)

    def _check(self, position: Position) -> None:
        if position.board != self.board:
            raise ValueError(f"this engine plays on {self.board}, not on {position.board}")

    def _exact_values(self, position: Position, mover_lead: int) -> dict[int, int]:
        """Final margins of the mover after each move; empty where unknown."""
        if not self._truth or not self._truth.known(position.edges):
            return {}
        values = self._truth.action_values(position.edges[None])[0].astype(int)
        legal = position.legal
        if (values[legal] == ILLEGAL).any():
            return {}
        return {edge: int(values[edge]) + mover_lead for edge in legal}

    def _candidate(
        self, edge: int, seen: Outlook | None, mover_lead: int, exact: int | None
    ) -> Candidate:
        margin = None if exact is None else float(exact)
        if seen is None or self.trained is None:
            return Candidate(edge, None, 0, margin, exact)
        visits = int(seen.visits[edge])
        if margin is None and np.isfinite(seen.q[edge]):
            margin = float(seen.q[edge]) + mover_lead
        return Candidate(edge, float(seen.prior[edge]), visits, margin, exact)


def _result(margin: int) -> float:
    """A final margin as a game's points: 1 for a win, 1/2 for a draw."""
    return 0.5 + 0.5 * float(np.sign(margin))


def _rules(board: Board, level: Level) -> Callable[[Any, np.random.Generator, Position], int]:
    """How to move on boards without a network: alpha-beta, else giving away as little as can be."""
    if level.simulations > 0 and oracle.can_search(board):
        try:
            from azdab.exact import alphabeta
        except ImportError:
            raise oracle.missing_numba() from None
        visits = 300 * level.simulations if level.visits is None else level.visits
        searcher = alphabeta.Searcher(board, visits)
        return lambda key, rng, position: searcher.choose(rng, position.edges)
    frugal = jax.jit(functools.partial(agents.greedy_agent(board), None))
    return lambda key, rng, position: int(frugal(key, position.state())[0])


def paced(board: Board, trained: TrainedNetwork | None, level: Level, seconds: float) -> Level:
    """A level that takes about ``seconds`` for a move on this machine.

    Half the time goes to the exact solver, half to the search. A level without search stays so.
    """
    nodes = max(int(seconds / 2 * _NODES_PER_SECOND), 1000)
    edges = min(TIMED_EDGES, board.num_plies) if level.edges else 0
    timed = level._replace(edges=edges, nodes=nodes)
    if level.simulations <= 0:
        return timed
    if trained is None:
        return timed._replace(visits=pacing.visits_within(board, seconds / 2))
    wanted = pacing.simulations_within(trained, seconds / 2, MAX_SIMULATIONS)
    return timed._replace(simulations=wanted)
