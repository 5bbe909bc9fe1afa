"""Proofs that take minutes or days: in slices, kept on the disk, and taken up again.

A folder holds what is known of the boards of one size:

    values.json     for each position that was asked for: bounds of its value, what they took
    table.npy       what the search remembers

Both are written whole, one after the other. Neither needs the other: all that is in them is true
of the board whatever else is known. So a process may be killed at any moment, and loses what
it found since it last wrote.
"""

import dataclasses
import functools
import heapq
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from jaxtyping import Bool

from azdab.common import durable
from azdab.common.errors import UserError
from azdab.common.json_text import json_text
from azdab.common.limits import TABLE_ENTRY_BYTES
from azdab.exact.book import Canonical, Opening, canonical_of, lying_board
from azdab.exact.position_table import copy_entries
from azdab.exact.solver import Solver
from azdab.game import geometry
from azdab.game.board import Board

_SLICE_SECONDS = 1.0
_FIRST_SLICE = 1 << 14  # nodes
_FIRST_TRY = 1 << 8  # nodes
_MOST_BITS = 24  # of a table's index where nobody asks for more: 512 MB
_SPARE_EDGES = 8  # a search from 2^n positions meets far fewer: so much smaller is its table
_WORTH_KEEPING = 1 << 18  # nodes; what takes fewer is as soon found again


@dataclasses.dataclass
class Known:
    """What is known of a position, from the view of the player to move.

    Attributes:
      low, high: bounds of the optimal future margin in boxes; equal when it is proven.
      edge: an optimal move, in the position's form; -1: not looked for yet.
      nodes: positions looked at for it.
      seconds: how long that took.
      beyond, within: a search for an optimal move that knows nothing at first looks at more
        positions than the one, and at no more than the other; 0 and None: not tried.
    """

    low: int
    high: int
    edge: int = -1
    nodes: int = 0
    seconds: float = 0.0
    beyond: int = 0
    within: int | None = None


class Slice(NamedTuple):
    """How far a proof is, told about once a second.

    Attributes:
      form: the position.
      known: what is known of it by now.
      rate: positions a second, lately.
      full: the share of the table that is used.
    """

    form: Canonical
    known: Known
    rate: float
    full: float


def after_move(board: Board, edges: Bool[np.ndarray, "E"], edge: int) -> tuple[np.ndarray, int]:
    """The drawn edges after a move, and how many boxes it closes."""
    after = edges.copy()
    after[edge] = True
    return after, int(geometry.closed_boxes(board, after) - geometry.closed_boxes(board, edges))


def table_bits(board: Board, memory: int | None = None) -> int:
    """How large a table to use: ``2^bits`` entries.

    Args:
      board: whose positions are to be proven.
      memory: bytes that it may take; None: half of what is free, 512 MB at most.
    """
    bits = board.num_plies - _SPARE_EDGES
    if memory is None:
        memory = psutil.virtual_memory().available // 2
        bits = min(bits, _MOST_BITS)
    return max(min(bits, (memory // TABLE_ENTRY_BYTES).bit_length() - 1), 10)


class Prover:
    """Proves values of positions of one size of board, and remembers them in a folder.

    Args:
      board: of the size.
      folder: exists; what is in it is taken up.
      bits: the table has ``2^bits`` entries of 32 bytes.
      threads: how many search together.
      tell: is told how far a proof is. What it raises ends the proof; then call :meth:`save`.
      save_seconds: what is known is written so often.

    Raises:
      UserError: the board is too large, or the folder holds something else.
    """

    def __init__(
        self, board: Board, folder: Path, bits: int, threads: int = 1,
        tell: Callable[[Slice], None] = lambda _: None, save_seconds: float = 600.0,
    ) -> None:  # fmt: skip
        self.board = lying_board(board)
        self._folder, self._tell, self._save_seconds = folder, tell, save_seconds
        self._solver = Solver(self.board, bits, threads)
        self.known = _read_values(folder / "values.json", self.board)
        self._read_table()
        self._solver.reaches(np.ones(self.board.num_edges, bool), 0)  # loads the compiled code
        self._saved, self._unsaved = time.monotonic(), 0
        self._rate = 0.0

    def _read_table(self) -> None:
        path = self._folder / "table.npy"
        if not path.exists():
            return
        try:
            old = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError):  # damaged: all of it can be found again
            return
        if old.dtype == np.uint64 and old.ndim == 2 and old.shape[1:] == (4,):
            copy_entries(old, self._solver.table)

    def save(self) -> None:
        """Write what is known."""
        text = {"board": str(self.board), "positions": {
            key: dataclasses.asdict(known) for key, known in self.known.items()
        }}  # fmt: skip
        with durable.new_file(self._folder / "values.json") as file:
            file.write((json_text(text, indent=1) + "\n").encode())
        if self._unsaved >= _WORTH_KEEPING:
            with durable.new_file(self._folder / "table.npy") as file:
                np.save(file, self._solver.table)
            self._unsaved = 0
        self._saved = time.monotonic()

    def _slices(self, form: Canonical, known: Known, search: Callable[[int], Any]) -> Any:
        """Search in slices until one gives an answer."""
        size = max(int(self._rate * _SLICE_SECONDS), _FIRST_SLICE)
        while True:
            start = time.perf_counter()
            answer = search(size)
            spent = max(time.perf_counter() - start, 1e-6)
            nodes = self._solver.nodes
            known.nodes, known.seconds = known.nodes + nodes, known.seconds + spent
            self._unsaved += nodes
            if answer is None:
                self._rate = nodes / spent
                size = max(min(int(self._rate * _SLICE_SECONDS), 4 * size), _FIRST_SLICE)
                self._report(form, known)
            if time.monotonic() - self._saved >= self._save_seconds:
                self.save()
            if answer is not None:
                return answer

    def _report(self, form: Canonical, known: Known) -> None:
        sample = self._solver.table[:: max(len(self._solver.table) >> 12, 1), 2]
        full = np.count_nonzero(sample) / len(sample)
        self._tell(Slice(form, known, self._rate, full))

    def known_of(self, form: Canonical) -> Known:
        """What is known of a position, to be added to."""
        boxes = self.board.num_boxes - int(geometry.closed_boxes(self.board, form.edges))
        return self.known.setdefault(form.key, Known(-boxes, boxes))

    def value(self, board: Board, edges: Bool[np.ndarray, "E"], guess: int = 0) -> int:
        """The optimal future margin of the player to move, in boxes.

        Args:
          board: of the prover's size, of any kind.
          edges: ``bool[E]``, the drawn edges.
          guess: a value to try first.
        """
        return self._value(canonical_of(board, edges), guess)

    def _value(self, form: Canonical, guess: int) -> int:
        known = self.known_of(form)
        bound = guess + ((guess ^ known.low) & 1)
        while known.low < known.high:
            bound = min(max(bound, known.low + 2), known.high)
            search = functools.partial(self._solver.reaches, form.edges, bound)
            if self._slices(form, known, search):
                known.low = bound
            else:
                known.high = bound = bound - 2
            self._report(form, known)
        return known.low

    def opening(self, board: Board, edges: Bool[np.ndarray, "E"], guess: int = 0) -> Opening:
        """The same with an optimal move; the position must not be finished."""
        form = canonical_of(board, edges)
        value = self._value(form, guess)
        known = self.known_of(form)
        if known.edge < 0:
            known.edge = self._slices(form, known, self._move_of_value(form, value))
        return Opening(value, int(form.own[known.edge]))

    def _move_of_value(self, form: Canonical, value: int) -> Callable[[int], int | None]:
        """A search in slices for a move that keeps a position's value.

        The proof of the value knows one, and to prove that again takes next to nothing. That
        another fails may take long: so each is tried with few positions at first, then with more.
        """
        tries = [(_FIRST_TRY, edge) for edge in np.flatnonzero(~form.edges).tolist()]

        def search(size: int) -> int | None:
            limit, edge = tries[0]
            after, closed = after_move(self.board, form.edges, edge)
            bound = value - closed if closed else 2 - value
            reached = self._solver.reaches(after, bound, min(limit, size))
            if reached is None:
                heapq.heapreplace(tries, (4 * limit, edge))
            elif reached == bool(closed):
                return edge
            else:
                heapq.heappop(tries)
            return None

        return search


def _read_values(path: Path, board: Board) -> dict[str, Known]:
    """What ``values.json`` holds; nothing if it is not there.

    Raises:
      UserError: it cannot be understood, or is of another board.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_bytes())
        found = {key: Known(**known) for key, known in content["positions"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError("cannot be read; delete it to begin anew", str(path)) from None
    if content["board"] != str(board):
        raise UserError(f"is of the board {content['board']}, not {board}", str(path))
    return found
