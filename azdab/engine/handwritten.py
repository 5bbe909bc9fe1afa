"""Players written by hand: the textbook greedy one and one that knows chains.

The open edges of a position form a graph (Berlekamp, "The Dots-and-Boxes Game", 2000):
they join two boxes, or on the border join a box to the ground outside. A box with one
open edge can be taken. An edge is *safe* if it gives no box away, that is, if its boxes
have three or more open edges. A *chain* is a row of boxes with two open edges each, a
*loop* is one that closes on itself. Drawing any edge of a chain or loop gives away all
of it.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from azdab.game import geometry
from azdab.game.board import Board, boxes_beside
from azdab.game.rules import random_choices


def greedy_actions(board: Board, rng: np.random.Generator, edges: np.ndarray) -> np.ndarray:
    """The textbook greedy player: close a box, else play a safe edge, else any edge.

    It does not count chains: when no safe edge is left it opens a long chain as
    readily as a short one.

    Args:
      board: the board.
      rng: breaks ties.
      edges: ``bool[B, E]``, the drawn edges.

    Returns:
      ``int32[B]``.
    """
    choices = ~edges
    for better in (geometry.safe_edges(board, edges), geometry.closing_edges(board, edges)):
        choices = np.where(better.any(axis=1, keepdims=True), better, choices)
    return random_choices(rng, choices)


class Run(NamedTuple):
    """Boxes that can be taken one after the other.

    Attributes:
      boxes: in order.
      edges: the edge ``i`` closes box ``i``; in a loop the last one closes two boxes.
      is_loop: whether both ends are open to capture, as in a loop just opened.
    """

    boxes: list[int]
    edges: list[int]
    is_loop: bool

    @property
    def left_behind(self) -> int:
        """How many boxes are given up to keep control by a double-dealing move; 0: impossible.

        Drawing the second edge instead of the first leaves the last two boxes of a
        chain, or the last four of a loop, to be closed two at a time. The opponent
        then has to move elsewhere.
        """
        least = 4 if self.is_loop else 2
        return least if len(self.boxes) >= least else 0


class ChainPlayer:
    """Plays safe edges at random, then the endgame of chains by rule.

    When no safe edge is left it opens what gives away least. When the
    opponent has opened chains, it takes all boxes. Or it takes all but two of the last
    chain (four of the last loop), if this is better because the opponent must then open
    the next one.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._edges_of = [tuple(map(int, edges)) for edges in board.box_edges()]
        self._boxes_of = boxes_beside(board)

    def choices(self, open_edges: set[int]) -> list[int]:
        """The edges that the rules consider best; never empty.

        Args:
          open_edges: the edges not yet drawn, at least one.
        """
        runs = self._runs(open_edges)
        if runs:
            return [self._capture(open_edges, runs)]
        safe = self._safe(open_edges)
        return safe if safe else self._cheapest(open_edges)

    def _open(self, box: int, open_edges: set[int]) -> list[int]:
        return [edge for edge in self._edges_of[box] if edge in open_edges]

    def _across(self, box: int, edge: int) -> int | None:
        """The box on the other side of an edge; None outside the board."""
        return next((other for other in self._boxes_of[edge] if other != box), None)

    def _safe(self, open_edges: set[int]) -> list[int]:
        drawn = geometry.drawn_mask(self._board, open_edges)
        safe = geometry.safe_edges(self._board, drawn)
        return [edge for edge in open_edges if safe[edge]]

    def _runs(self, open_edges: set[int]) -> list[Run]:
        """Every run of boxes that can be taken now."""
        runs: list[Run] = []
        seen: set[int] = set()
        for start in range(len(self._edges_of)):
            if start in seen or len(self._open(start, open_edges)) != 1:
                continue
            run = Run([start], [], False)
            box: int | None = start
            (edge,) = self._open(start, open_edges)
            while box is not None:
                run.edges.append(edge)
                box = self._across(box, edge)
                if box is not None:
                    onward = [other for other in self._open(box, open_edges) if other != edge]
                    if len(onward) <= 1:
                        run.boxes.append(box)
                    if not onward:
                        run = run._replace(is_loop=True)
                    if len(onward) != 1:
                        break
                    edge = onward[0]
            seen.update(run.boxes)
            runs.append(run)
        return runs

    def _capture(self, open_edges: set[int], runs: list[Run]) -> int:
        """Take a box, or deal double to keep control."""
        held = _last_taken(runs)
        for run in runs:
            if run is not held:
                return run.edges[0]
        assert held is not None
        rest = open_edges.difference(held.edges)
        if len(held.boxes) > held.left_behind or self._safe(rest):
            return held.edges[0]
        # With v the rest's margin for whoever must move in it, taking all is worth
        # left_behind + v from here, and keeping control -left_behind - v.
        keep = self._forced_margin(rest) < -held.left_behind
        return held.edges[1] if keep else held.edges[0]

    def _take_all(self, open_edges: set[int]) -> tuple[set[int], int, int]:
        """Take what can be taken.

        Returns:
          The edges still open, the boxes taken, and how many of them could have been
          left behind to keep control.
        """
        taken, left_behind = 0, 0
        while runs := self._runs(open_edges):
            held = _last_taken(runs)
            left_behind = held.left_behind if held else 0
            taken += sum(len(run.boxes) for run in runs)
            open_edges = open_edges.difference(*(run.edges for run in runs))
        return open_edges, taken, left_behind

    def _openings(self, open_edges: set[int]) -> list[int]:
        """One edge of each chain and loop.

        All edges of one are equally good, except in a chain of two boxes: its middle
        edge does not let the opponent deal double.
        """
        found = []
        seen: set[int] = set()
        for start in range(len(self._edges_of)):
            if start in seen or len(self._open(start, open_edges)) != 2:
                continue
            chain, border = {start}, [start]
            while border:
                box = border.pop()
                for edge in self._open(box, open_edges):
                    other = self._across(box, edge)
                    if other is None or other in chain:
                        continue
                    if len(self._open(other, open_edges)) == 2:
                        chain.add(other)
                        border.append(other)
            seen |= chain
            edges = [edge for box in chain for edge in self._open(box, open_edges)]
            found.append(max(edges, key=edges.count) if len(chain) == 2 else edges[0])
        return found

    def _cheapest(self, open_edges: set[int]) -> list[int]:
        """The openings that give away fewest boxes."""
        given = {e: self._take_all(open_edges - {e})[1] for e in self._openings(open_edges)}
        least = min(given.values())
        return [edge for edge, boxes in given.items() if boxes == least]

    def _forced_margin(self, open_edges: set[int]) -> int:
        """The future margin of whoever must move where no safe edge is left.

        It is assumed that both sides always open the cheapest chain, and keep control
        exactly when that pays.
        """
        gifts = []
        while open_edges:
            edge = self._cheapest(open_edges)[0]
            open_edges, taken, left_behind = self._take_all(open_edges - {edge})
            gifts.append((taken, left_behind))
        margin = 0
        for taken, left_behind in reversed(gifts):
            if left_behind:
                margin = -(taken - left_behind + abs(margin + left_behind))
            else:
                margin = -(taken + margin)
        return margin


def _last_taken(runs: Iterable[Run]) -> Run | None:
    """The run to take last: a chain if possible, because control costs least there."""
    able = [run for run in runs if run.left_behind]
    return min(able, key=lambda run: run.left_behind, default=None)
