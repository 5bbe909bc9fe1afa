"""Positions that ask for the theory of the game, made so that the exact solver can judge.

Three kinds: chains whose last two boxes can be taken or handed back (:func:`dealings`),
safe play up to the endgame (:func:`safe_play`), and the first moves of a game, one of each
symmetry class (:func:`opening_classes`).
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from azdab.exact.oracle import Oracle
from azdab.game import geometry, structure, symmetry
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.game.rules import State

BOOK_PLIES = 3
"""Longest openings of :func:`opening_classes`: in them no box can be closed."""

KINDS = ("chains only", "loops", "junctions")
"""What the open boxes of a position form, see :func:`kinds`."""


class Dealing(NamedTuple):
    """A chain of which two boxes are left for the mover to take, beside chains not yet opened.

    Attributes:
      edges: ``bool[E]``, the drawn edges.
      take: the edge that closes the first of the two boxes.
      deal: the edge that hands both to the opponent, who must then open the next chain.
      rest: lengths of the other chains, ascending.
      after: ``bool[E]``, the position when both boxes are closed: whoever is to move opens.
    """

    edges: np.ndarray
    take: int
    deal: int
    rest: tuple[int, ...]
    after: np.ndarray


def _snake(board: Board, first: int, rows: int) -> list[int]:
    """The open edges, end to end, of a chain that winds through whole rows."""
    path = []
    for row in range(first, first + rows):
        across = [board.vertical(row, col) for col in range(board.cols + 1)]
        across = across if (row - first) % 2 == 0 else across[::-1]
        # Where the chain turns, the edge below takes the place of the one at the border.
        path += across[row > first : len(across) - (row < first + rows - 1)]
        if row < first + rows - 1:
            turn = board.cols - 1 if (row - first) % 2 == 0 else 0
            path.append(board.horizontal(row + 1, turn))
    return path


def _layouts(board: Board) -> Iterator[list[list[int]]]:
    """Ways to fill a board with chains that end at the border, as lists of open edges."""
    corner = range(min(board.rows, board.cols))
    yield [
        [board.vertical(i, col) for col in range(i + 1)]
        + [board.horizontal(row, i) for row in range(i, -1, -1)]
        for i in corner
    ]
    for cuts in itertools.product((False, True), repeat=board.rows - 1):
        starts = [0, *(row + 1 for row, cut in enumerate(cuts) if cut), board.rows]
        yield [_snake(board, a, b - a) for a, b in itertools.pairwise(starts)]


def dealings(board: Board) -> list[Dealing]:
    """All double-dealing questions of two families, each combination of lengths once.

    The chains are angles around a corner, of 1, 3, 5, ... boxes, or wind through whole
    rows. One of them has two boxes left, of which the mover can take one; each of
    the others may be there or not; the rest of the board is closed.
    """
    found: dict[tuple, Dealing] = {}
    for kind, layout in enumerate(_layouts(board)):
        for opened, chain in enumerate(layout):
            others = layout[:opened] + layout[opened + 1 :]
            for present in itertools.product((False, True), repeat=len(others)):
                kept = list(itertools.compress(others, present))
                rest = tuple(sorted(len(other) - 1 for other in kept))
                key = kind == 0, len(chain), rest
                if len(chain) < 3 or key in found:
                    continue
                after = geometry.drawn_mask(board, itertools.chain(*kept))
                edges = after & geometry.drawn_mask(board, chain[-2:])
                if not edges[list(board.start_edges)].all():
                    continue  # the board has lines where these chains end
                found[key] = Dealing(edges, chain[-2], chain[-1], rest, after)
    return list(found.values())


def images(board: Board, asked: Dealing) -> list[Dealing]:
    """A question in all symmetric forms: a network may answer them differently."""
    made = []
    for permutation in symmetry.edge_permutations(board):
        to = np.argsort(permutation)
        edges, after = asked.edges[permutation], asked.after[permutation]
        made.append(asked._replace(
            edges=edges, after=after, take=int(to[asked.take]), deal=int(to[asked.deal])
        ))  # fmt: skip
    return made


def control(known: Oracle, asked: Sequence[Dealing]) -> np.ndarray:
    """What the other chains are worth to whoever does not open them, ``int[N]``, in boxes.

    Taking both boxes and opening gives ``2 - control``, handing them back ``control - 2``:
    above 2 only double-dealing is right, below 2 only taking.
    """
    after = np.stack([one.after for one in asked])
    worth = np.zeros(len(asked), int)
    unfinished = ~after.all(axis=-1)
    if unfinished.any():
        worth[unfinished] = -known.action_values(after[unfinished]).max(axis=-1).astype(int)
    return worth


def safe_play(
    board: Board, most_open: int, count: int, seed: int, *, ends: bool = False
) -> np.ndarray:
    """Positions of random safe play, ``bool[N, E]``: no box is closed or can be.

    Each is a random moment of a game of its own, with at most ``most_open`` edges left,
    up to the one at which no safe move remains.

    Args:
      board: the board.
      most_open: most edges left.
      count: how many games; those whose safe moves run out too early are left out.
      seed: of the games.
      ends: take the moment at which no safe move remains.
    """
    rng = np.random.default_rng(seed)
    edges = np.tile(board.start_mask(), (count, 1))
    ranks = rng.random((count, board.num_edges))
    history = [edges]
    while (safe := geometry.safe_edges(board, edges)).any():
        move = np.where(safe, ranks, 2.0).argmin(axis=-1)
        edges = edges | (safe & (np.arange(board.num_edges) == move[:, None]))
        history.append(edges)
    games = np.stack(history, axis=1)
    plies = games[:, -1].sum(axis=-1) - len(board.start_edges)
    first = max(board.num_plies - most_open, 0)
    games, plies = games[plies >= first], plies[plies >= first]
    chosen = plies if ends else rng.integers(first, plies + 1)
    return games[np.arange(len(games)), chosen]


def rule_winner(board: Board, edges: np.ndarray) -> np.ndarray:
    """Who gets control by the long chain rule, ``int[N]``: 1 the mover, -1 the opponent.

    Args:
      board: the board.
      edges: ``bool[N, E]``, positions of :func:`safe_play`.
    """
    positions = [_drawn(board, row) for row in edges]
    return np.array([1 if structure.controller(p) == p.to_play else -1 for p in positions])


def kinds(board: Board, edges: np.ndarray) -> np.ndarray:
    """What the open boxes form, ``int[N]``, an index into ``KINDS``.

    With junctions, boxes of at most one drawn edge, chains will join before the end, so
    that there are fewer than one counts now. Keeping control past a loop costs four boxes,
    not two, which can be more than it is worth.
    """
    junctions = (geometry.box_degrees(board, edges) < 2).any(axis=(-1, -2))
    loops = [
        any(chain.is_loop for chain in structure.chains_of(_drawn(board, row))) for row in edges
    ]
    return np.where(junctions, 2, np.array(loops, int))


def _drawn(board: Board, edges: np.ndarray) -> Position:
    """A position with these edges drawn, in any order: no box may be closed."""
    return Position(board, tuple(np.flatnonzero(edges & ~board.start_mask()).tolist()))


class OpeningClasses(NamedTuple):
    """Symmetry classes of openings.

    Attributes:
      edges: ``bool[N, E]``, one position of each class.
      sizes: ``int[N]``, how many positions are in it.
    """

    edges: np.ndarray
    sizes: np.ndarray


def opening_classes(board: Board, plies: int) -> OpeningClasses:
    """All positions after ``plies`` moves, at most ``BOOK_PLIES``, one of each class.

    Only on boards without lines at the start is it certain that no box can be closed in them.
    """
    if not 0 <= plies <= BOOK_PLIES:
        raise ValueError(f"openings have 0 to {BOOK_PLIES} plies, got {plies}")
    permutations = symmetry.edge_permutations(board)
    one_more = np.eye(board.num_edges, dtype=bool)
    edges, sizes = board.start_mask()[None], np.ones(1, int)
    for _ in range(plies):
        longer = (edges[:, None] | one_more)[~edges]
        packed = np.packbits(longer[:, permutations], axis=-1)
        found: dict[bytes, int] = {}
        for position in packed:
            same = {image.tobytes() for image in position}
            found[min(same)] = len(same)
        rows = np.frombuffer(b"".join(found), np.uint8).reshape(len(found), -1)
        edges = np.unpackbits(rows, axis=-1, count=board.num_edges).astype(bool)
        sizes = np.array(list(found.values()))
    return OpeningClasses(edges, sizes)


def first_player_margins(edges: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Movers' margins as the first player's, in openings of a board without lines at the start.

    No box is closed in them.
    """
    return np.where(edges.sum(axis=-1) % 2 == 0, margin, -margin)


def states_of_edges(edges: np.ndarray) -> State:
    """Positions ``bool[N, E]`` of which only the drawn edges matter, as states."""
    count = len(edges)
    fields: Any = (edges, np.zeros((count, 2), np.int16), np.zeros(count, np.int8))
    return State(*fields)


def exact_margins(known: Oracle, edges: np.ndarray) -> np.ndarray:
    """The movers' future margins under perfect play, ``float[N]``; NaN where unknown."""
    margins = np.full(len(edges), np.nan)
    within = known.known(edges)
    if within.any():
        margins[within] = known.action_values(edges[within]).max(axis=-1)
    return margins
