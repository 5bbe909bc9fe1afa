"""What a network and its search say of positions: of many at once, or all about one."""

from typing import Any, NamedTuple

import jax
import numpy as np

from azdab.engine import outlook
from azdab.exact.oracle import ILLEGAL, Oracle
from azdab.game.position import Position
from azdab.game.rules import State
from azdab.network import model
from azdab.runs.networks import TrainedNetwork


class Answers(NamedTuple):
    """What a network with search says of N positions; margins are the mover's, in boxes.

    Attributes:
      prior: ``float[N, E]``, the network's policy over legal moves.
      margins: ``float[N, 2 * num_boxes + 1]``, its distribution of the future margin.
      ownership: ``float[N, num_boxes]``, its probability that the mover closes the box;
        meaningless where the box is closed.
      action: ``int[N]``, the move to play.
      margin: ``float[N]``, the expected future margin: the search's where it counts boxes,
        else the network's.
      q: ``float[N, E]``, the same after each move that the search visited; NaN elsewhere.
      visits: ``float[N, E]``, simulations per move.
    """

    prior: np.ndarray
    margins: np.ndarray
    ownership: np.ndarray
    action: np.ndarray
    margin: np.ndarray
    q: np.ndarray
    visits: np.ndarray


def ask(player: TrainedNetwork, states: State, simulations: int, chunk: int = 32) -> Answers:
    """Show positions to a network.

    Args:
      player: the network, with the search settings of its run.
      states: N > 0 unfinished positions, in numpy.
      simulations: per position; 0 asks the network alone.
      chunk: positions at once.
    """
    seen = outlook.inspect_states(player, states, jax.random.key(0), simulations, chunk)
    q = np.full(seen.prior.shape, np.nan)
    if outlook.in_boxes(player):
        margin = seen.value.astype(float) * player.board.num_boxes
        q = np.where(seen.visit_counts > 0, seen.q_values * player.board.num_boxes, q)
    else:
        margin = seen.margin_weights @ np.asarray(model.margins(player.board), float)
    return Answers(
        seen.prior, seen.margin_weights, seen.ownership, seen.action, margin, q, seen.visit_counts
    )


def states_of_edges(edges: np.ndarray) -> State:
    """Positions ``bool[N, E]`` of which only the drawn edges matter, as states."""
    count = len(edges)
    fields: Any = (edges, np.zeros((count, 2), np.int16), np.zeros(count, np.int8))
    return State(*fields)


class View(NamedTuple):
    """One unfinished position, as network, search and solver see it.

    Attributes:
      position: the position.
      prior: ``float[E]``, the network's policy.
      visits: ``float[E]``, shares of the search's simulations.
      search: ``float[E]``, the mover's expected final margin after each visited move, in
        boxes; NaN elsewhere.
      exact: ``float[E]``, the same under perfect play; NaN where unknown.
      ownership: ``float[num_boxes]``, the probability that the *first* player gets the box.
      margins, weights: ``float[M]``, the mover's possible final margins and how likely the
        network finds them.
      margin: the mover's expected final margin, by search.
    """

    position: Position
    prior: np.ndarray
    visits: np.ndarray
    search: np.ndarray
    exact: np.ndarray
    ownership: np.ndarray
    margins: np.ndarray
    weights: np.ndarray
    margin: float

    @property
    def best(self) -> np.ndarray:
        """The optimal moves, ``float[E]`` of 0 and 1; all 0 where they are not known."""
        known = np.where(np.isnan(self.exact), -np.inf, self.exact)
        return (np.isfinite(known) & (known == known.max())).astype(float)


def study_position(
    player: TrainedNetwork, position: Position, simulations: int, known: Oracle | None = None
) -> View:
    """Everything about one unfinished position.

    Args:
      player: the network.
      position: on its board.
      simulations: of the search, at least 1.
      known: the truth, used where it reaches.
    """
    found = ask(player, position.state(), simulations, chunk=1)
    first = position.to_play == 0
    lead = position.lead if first else -position.lead
    exact = np.full(player.board.num_edges, np.nan)
    if known is not None and known.known(position.edges):
        values = known.action_values(position.edges[None])[0].astype(float)
        exact = np.where(values == ILLEGAL, np.nan, values + lead)
    ownership = found.ownership[0] if first else 1 - found.ownership[0]
    ownership = np.where(position.owners < 0, ownership, position.owners == 0)
    return View(
        position, found.prior[0], found.visits[0] / simulations, found.q[0] + lead, exact,
        ownership, model.margins(player.board).astype(float) + lead, found.margins[0],
        float(found.margin[0]) + lead,
    )  # fmt: skip


class LineOfPlay(NamedTuple):
    """A line of play.

    Attributes:
      moves: from the position on, best play by search after the first.
      visits: share of the simulations that its first move got.
      margins: after each move, the final margin that the search then expects for whoever
        began the line, in boxes; NaN where the search does not count boxes.
    """

    moves: tuple[int, ...]
    visits: float
    margins: tuple[float, ...]


def principal_lines(
    player: TrainedNetwork, position: Position, simulations: int, width: int, length: int
) -> list[LineOfPlay]:
    """The most visited moves and the best play after each, searched anew at every step.

    Args:
      player: the network.
      position: unfinished.
      simulations: per step.
      width: how many first moves.
      length: most moves of a line.
    """
    visits = ask(player, position.state(), simulations, chunk=1).visits[0] / simulations
    order = np.argsort(-visits, kind="stable")[: min(width, len(position.legal))]
    return [
        _line(player, position, int(edge), float(visits[edge]), simulations, length)
        for edge in order
    ]


def _line(
    player: TrainedNetwork, start: Position, edge: int, visits: float, simulations: int, length: int
) -> LineOfPlay:
    moves, margins = [edge], []
    here = start.play(edge)
    while True:
        future = 0.0
        if not here.is_over:
            found = ask(player, here.state(), simulations, chunk=1)
            future, edge = float(found.margin[0]), int(found.action[0])
        lead = future if here.to_play == 0 else -future
        margins.append((here.lead + lead) * (1 if start.to_play == 0 else -1))
        if here.is_over or len(moves) == length:
            return LineOfPlay(tuple(moves), visits, tuple(margins))
        moves.append(edge)
        here = here.play(edge)


def exact_margins(known: Oracle, edges: np.ndarray) -> np.ndarray:
    """The movers' future margins under perfect play, ``float[N]``; NaN where unknown."""
    margins = np.full(len(edges), np.nan)
    within = known.known(edges)
    if within.any():
        margins[within] = known.action_values(edges[within]).max(axis=-1)
    return margins
