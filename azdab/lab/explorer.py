"""One position from all sides, and the lines of play that the search expects from it."""

from typing import NamedTuple

import numpy as np

from azdab.engine import outlook
from azdab.exact.oracle import ILLEGAL, Oracle
from azdab.game.position import Position
from azdab.runs.networks import TrainedNetwork


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
    trained: TrainedNetwork, position: Position, simulations: int, known: Oracle | None = None
) -> View:
    """Everything about one unfinished position.

    Args:
      trained: the network.
      position: on its board.
      simulations: of the search, at least 1.
      known: the truth, used where it reaches.
    """
    found = outlook.ask_position(trained, position, simulations)
    first = position.to_play == 0
    lead = position.lead if first else -position.lead
    exact = np.full(trained.board.num_edges, np.nan)
    if known is not None and known.known(position.edges):
        values = known.action_values(position.edges[None])[0].astype(float)
        exact = np.where(values == ILLEGAL, np.nan, values + lead)
    ownership = found.ownership if first else 1 - found.ownership
    ownership = np.where(position.owners < 0, ownership, position.owners == 0)
    return View(
        position, found.prior, found.visits / simulations, found.q + lead, exact, ownership,
        outlook.final_margins(trained.board) + lead, found.margins,
        float(found.margin) + lead,
    )  # fmt: skip


class LineOfPlay(NamedTuple):
    """A line of play.

    Attributes:
      moves: from the position on; after the first, the best play by search.
      visits: share of the simulations that its first move got.
      margins: after each move, the final margin that the search then expects for whoever
        began the line, in boxes.
    """

    moves: tuple[int, ...]
    visits: float
    margins: tuple[float, ...]


def principal_lines(
    trained: TrainedNetwork, position: Position, simulations: int, width: int, length: int
) -> list[LineOfPlay]:
    """The most visited moves and the best play after each, searched anew at every step.

    Args:
      trained: the network.
      position: unfinished.
      simulations: per step.
      width: how many first moves.
      length: most moves of a line.
    """
    visits = outlook.ask_position(trained, position, simulations).visits / simulations
    order = np.argsort(-visits, kind="stable")[: min(width, len(position.legal))]
    return [
        _line(trained, position, int(edge), float(visits[edge]), simulations, length)
        for edge in order
    ]


def _line(
    trained: TrainedNetwork,
    start: Position,
    edge: int,
    visits: float,
    simulations: int,
    length: int,
) -> LineOfPlay:
    moves, margins = [edge], []
    here = start.play(edge)
    while True:
        future = 0.0
        if not here.is_over:
            found = outlook.ask_position(trained, here, simulations)
            future, edge = float(found.margin), int(found.action)
        lead = future if here.to_play == 0 else -future
        margins.append((here.lead + lead) * (1 if start.to_play == 0 else -1))
        if here.is_over or len(moves) == length:
            return LineOfPlay(tuple(moves), visits, tuple(margins))
        moves.append(edge)
        here = here.play(edge)
