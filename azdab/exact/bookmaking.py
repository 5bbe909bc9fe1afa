"""Making an opening book: what whoever follows it can meet and a quick search cannot solve."""

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from azdab.exact import oracle
from azdab.exact.book import Canonical, Opening, canonical_of, shipped_book
from azdab.exact.proof import Known, Prover, after_move
from azdab.exact.solver import Solver
from azdab.game.board import Board


def different_moves(board: Board, edges: np.ndarray) -> list[int]:
    """One open edge for each kind: two are alike where the positions after them are equal."""
    kinds: dict[str, int] = {}
    for edge in np.flatnonzero(~edges).tolist():
        kinds.setdefault(canonical_of(board, after_move(board, edges, edge)[0]).key, edge)
    return list(kinds.values())


def _replies(board: Board, edges: np.ndarray) -> Iterator[np.ndarray]:
    """The positions in which it is the other player's turn at last, whatever is moved until then.

    A finished board is none.
    """
    todo, seen = [edges], set()
    while todo:
        before = todo.pop()
        for edge in different_moves(board, before):
            after, closed = after_move(board, before, edge)
            key = canonical_of(board, after).key
            if key not in seen and not after.all():
                seen.add(key)
                if closed:
                    todo.append(after)
                else:
                    yield after


def next_turns(board: Board, edges: np.ndarray, edge: int) -> Iterator[np.ndarray]:
    """Where a player who made a move can be to move next."""
    after, closed = after_move(board, edges, edge)
    if not closed:
        yield from _replies(board, after)
    elif not after.all():
        yield after


def _is_slow(known: Known, scout: Solver, form: Canonical, quick: int) -> bool:
    """Whether a search from nothing looks at more positions than that; noted in what is known."""
    if known.beyond >= quick:
        return True
    if known.within is not None and known.within <= quick:
        return False
    scout.forget()
    if scout.proven_action(form.edges, quick) is None:
        known.beyond = quick
        return True
    known.within = scout.nodes
    return False


def make_book(
    prover: Prover,
    quick: int,
    tell: Callable[[int, int], None] = lambda done, left: None,
    lines: int | None = None,
) -> dict[str, Opening]:
    """The openings of a board, from the first move and from the second on.

    Args:
      prover: of the board. What it knows is used, and what the board's shipped book knows; what
        it finds it remembers.
      quick: a position that is solved by looking at so many positions is left out, and with it
        what comes after it. The empty board and the first moves are always in the book.
      tell: is told how many positions are done and how many are left to look at by now.
      lines: a position with more lines drawn is left out too; None: none is.

    Returns:
      As :func:`azdab.exact.book.parse_book` does.
    """
    board = prover.board
    for key, (value, edge) in shipped_book(board).items():
        known = prover.known.setdefault(key, Known(value, value))
        known.low, known.high, known.edge = value, value, edge
    scout = Solver(board, oracle.counted_bits(quick))
    empty = np.zeros(board.num_edges, bool)
    todo = deque([(empty, 0)])
    todo.extend((after_move(board, empty, edge)[0], 0) for edge in different_moves(board, empty))
    openings: dict[str, Opening] = {}
    seen = {canonical_of(board, edges).key for edges, _ in todo}
    done = 0
    while todo:
        edges, guess = todo.popleft()
        tell(done, len(todo) + 1)
        done += 1
        form = canonical_of(board, edges)
        slow = _is_slow(prover.known_of(form), scout, form, quick)
        if not slow and edges.sum() > 1:
            continue
        opening = prover.opening(board, form.edges, guess)
        openings[form.key] = Opening(opening.value, opening.edge)
        if not slow:
            continue
        for later in next_turns(board, form.edges, opening.edge):
            key = canonical_of(board, later).key
            if key not in seen and (lines is None or later.sum() <= lines):
                seen.add(key)
                todo.append((later, opening.value))
    return openings
