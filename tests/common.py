"""A second implementation of the rules in plain Python, and what several tests share.

Nothing here uses azdab's arithmetic: geometry, captures and minimax are written
again, slowly, so that agreement means something.
"""

import collections
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax.sharding import Mesh

from azdab.common.config import NetworkConfig, config_from_dict
from azdab.devices import mesh
from azdab.engine.engine import Engine
from azdab.exact import dense_table, oracle
from azdab.exact.dense_table import SolvedBoard
from azdab.exact.oracle import Oracle
from azdab.game import rules
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.network import model
from azdab.runs.networks import TrainedNetwork
from azdab.search.evaluator import Evaluation

seeds = st.integers(0, 2**32 - 1)

# Tests have their devices from XLA_FLAGS, whatever a run asks for; a user has not. And what runs
# for long is faster where XLA optimizes.
AS_A_USER = {
    "XLA_FLAGS": "--xla_backend_optimization_level=1 --xla_llvm_disable_expensive_passes=true",
    "JAX_PLATFORMS": "cpu",
}
# As in the tests, and compiled for them already, but with the devices that a run asks for.
WITHOUT_DEVICES = {
    "XLA_FLAGS": " ".join(
        flag
        for flag in os.environ.get("XLA_FLAGS", "").split()
        if not flag.startswith("--xla_force_host_platform_device_count")
    )
}


def one_device() -> Mesh:
    """The first device alone."""
    return Mesh(np.array(jax.devices()[:1]), (mesh.AXIS,))


@functools.cache
def surroundings(board: Board) -> list[frozenset[int]]:
    """The four edges of each box, from the numbering in the rules alone."""
    rows, cols = board.rows, board.cols
    first_vertical = (rows + 1) * cols
    boxes = []
    for row in range(rows):
        for col in range(cols):
            top, left = row * cols + col, first_vertical + row * (cols + 1) + col
            boxes.append(frozenset({top, top + cols, left, left + 1}))
    return boxes


def start_lines(board: Board) -> set[int]:
    """What is drawn before the first move, by looking at every edge."""
    beside = collections.Counter(edge for box in surroundings(board) for edge in box)
    outer = {edge for edge, boxes in beside.items() if boxes == 1}
    first_vertical = (board.rows + 1) * board.cols
    if board.variant == "icelandic":
        across = {edge for edge in outer if board.cols <= edge < first_vertical}
        upright = outer - set(range(first_vertical))
        return across | {e for e in upright if (e - first_vertical) % (board.cols + 1) == 0}
    return {"plain": set(), "swedish": outer}[board.variant]


class Game:
    """A game in progress, played by the rules as one would explain them."""

    def __init__(self, board: Board) -> None:
        self.boxes = surroundings(board)
        self.size = board.num_edges
        self.drawn: set[int] = start_lines(board)
        self.scores = [0, 0]
        self.to_play = 0
        self.owner: dict[int, int] = {}

    def draw(self, edge: int) -> int:
        """Draw an edge; returns the number of boxes closed."""
        assert edge not in self.drawn
        assert 0 <= edge < self.size
        self.drawn.add(edge)
        closed = [i for i, box in enumerate(self.boxes) if edge in box and box <= self.drawn]
        for box in closed:
            self.owner[box] = self.to_play
        self.scores[self.to_play] += len(closed)
        if not closed:
            self.to_play = 1 - self.to_play
        return len(closed)

    @property
    def lead(self) -> int:
        """The mover's margin."""
        return self.scores[self.to_play] - self.scores[1 - self.to_play]


class Minimax:
    """Optimal future margins by recursion over sets of drawn edges."""

    def __init__(self, board: Board) -> None:
        self.boxes = surroundings(board)
        self.all = frozenset(range(board.num_edges))
        self.known: dict[frozenset[int], int] = {self.all: 0}

    def closed_by(self, drawn: frozenset[int], edge: int) -> int:
        """How many boxes an edge would close."""
        return sum(edge in box and box <= drawn | {edge} for box in self.boxes)

    def move_value(self, drawn: frozenset[int], edge: int) -> int:
        """The mover's future margin after drawing an edge."""
        closed = self.closed_by(drawn, edge)
        after = self.value(drawn | {edge})
        return closed + after if closed else -after

    def move_values(self, drawn: frozenset[int]) -> list[int]:
        """What each edge is worth; -128 where it is drawn."""
        edges = range(len(self.all))
        return [-128 if edge in drawn else self.move_value(drawn, edge) for edge in edges]

    def value(self, drawn: frozenset[int]) -> int:
        """The mover's optimal future margin."""
        if drawn not in self.known:
            self.known[drawn] = max(self.move_value(drawn, edge) for edge in self.all - drawn)
        return self.known[drawn]


def values_of_subsets(board: Board, edges: np.ndarray) -> tuple[list[int], np.ndarray]:
    """A position's open edges, and the mover's optimal future margin after each subset of them.

    Bit ``i`` of an index says that the ``i``-th open edge is drawn. It is minimax for many
    positions at once, in NumPy: nothing is compiled. At most about 18 edges may be open.
    """
    order = indices(~edges)
    boxes = [[order.index(edge) for edge in box if not edges[edge]] for box in surroundings(board)]
    needed = [
        [sum(1 << bit for bit in box) for box in boxes if place in box]
        for place in range(len(order))
    ]
    subsets = np.arange(1 << len(order))
    sizes = np.bitwise_count(subsets)
    values = np.zeros(len(subsets), np.int8)
    for size in reversed(range(len(order))):
        rows = subsets[sizes == size]
        best = np.full(len(rows), -128, np.int8)
        for place, masks in enumerate(needed):
            still_open = rows >> place & 1 == 0
            after = rows[still_open] | 1 << place
            closed = sum((after & mask == mask).astype(np.int8) for mask in masks)
            move = np.where(closed, closed + values[after], -values[after])
            best[still_open] = np.maximum(best[still_open], move)
        values[rows] = best
    return order, values


@functools.cache
def values_of_board(board: Board) -> np.ndarray:
    """The value of every set of drawn edges of a plain board, ``int8[2^E]``."""
    return values_of_subsets(board, np.zeros(board.num_edges, bool))[1]


def move_values(
    board: Board, edges: np.ndarray, known: tuple[list[int], np.ndarray] | None = None
) -> np.ndarray:
    """What each move is worth, ``int64[E]``; -128 where an edge is drawn.

    From what :func:`values_of_subsets` gives for a position before it; else the board is small.
    """
    order, table = known or (list(range(board.num_edges)), values_of_board(board))
    bits = {edge: 1 << i for i, edge in enumerate(order)}
    drawn = {*indices(edges)}
    here = sum(bits.get(edge, 0) for edge in drawn)
    found = np.full(board.num_edges, -128)
    for edge in indices(~edges):
        closed = sum(edge in box and box <= drawn | {edge} for box in surroundings(board))
        later = int(table[here | bits[edge]])
        found[edge] = closed + later if closed else -later
    return found


def run_of_captures(board: Board, drawn: Iterable[int]) -> int:
    """The most boxes one player can close in a row, by trying every order."""
    boxes = surroundings(board)

    @functools.cache
    def best(drawn: frozenset[int]) -> int:
        most = 0
        for edge in range(board.num_edges):
            after = drawn | {edge}
            closed = sum(edge in box and box <= after for box in boxes)
            if edge not in drawn and closed:
                most = max(most, closed + best(after))
        return most

    return best(frozenset(drawn))


def indices(mask: Any) -> list[int]:
    """Where a mask is True, as Python integers."""
    return [int(i) for i in np.flatnonzero(np.asarray(mask))]


@functools.cache
def _replay(board: Board) -> Any:
    def scan(actions: jax.Array) -> State:
        def body(state: State, action: jax.Array) -> tuple[State, State]:
            after = rules.step(board, state, action)
            return after, after

        start = rules.init_state(board)
        _, rest = jax.lax.scan(body, start, actions)
        return jax.tree.map(lambda x, xs: jnp.concatenate([x[None], xs]), start, rest)

    return jax.jit(jax.vmap(scan))


def positions_of(board: Board, games: np.ndarray) -> State:
    """All positions of a batch of games ``[G, plies]``, as ``[G, plies + 1, ...]``."""
    states: State = jax.tree.map(np.asarray, _replay(board)(np.asarray(games, np.int32)))
    return states


def random_games(board: Board, seed: int, count: int) -> np.ndarray:
    """Orders in which to draw all edges that are open at the start, ``[count, plies]``."""
    rng = np.random.default_rng(seed)
    open_edges = sorted(set(range(board.num_edges)) - start_lines(board))
    return np.stack([rng.permutation(open_edges) for _ in range(count)])


def random_states(board: Board, seed: int, count: int, open_edges: Sequence[int]) -> State:
    """Positions reached by random play with a number of open edges drawn from a list."""
    rng = np.random.default_rng([seed, 1])
    states = positions_of(board, random_games(board, seed, count))
    ply = len(states.to_play[0]) - 1 - rng.choice(np.asarray(open_edges), size=count)
    picked: State = jax.tree.map(lambda x: jnp.asarray(x[np.arange(count), ply]), states)
    return picked


def each(states: State) -> Iterator[tuple[frozenset[int], int, int]]:
    """Of every position in a batch: the drawn edges, the mover, the mover's margin."""
    for edges, scores, mover in zip(*map(np.asarray, states), strict=True):
        player = int(mover)
        yield (
            frozenset(indices(edges)),
            player,
            int(scores[player]) - int(scores[1 - player]),
        )


@functools.cache
def solved(board: Board) -> SolvedBoard:
    """The solved board, once per session."""
    return dense_table.solve_board(board)


exact_values = jax.jit(dense_table.exact_values)
# One program in place of hundreds of small ones.
init_params = jax.jit(model.init_params, static_argnums=(1, 2))


@functools.cache
def searched(board: Board) -> Oracle:
    """The truth by search, far from the table's: one of 3x3 takes the tests twenty seconds."""
    return oracle.searching_oracle(board, 24)


@functools.cache
def untrained(board: Board, utility: str = "margin") -> TrainedNetwork:
    """A network that knows nothing, and compiles fast."""
    settings: dict[str, Any] = {
        "board": {"rows": board.rows, "cols": board.cols},
        "network": {"filters": 8, "blocks": 1},
        "search": {"utility": utility},
    }
    run_config = config_from_dict(settings)
    params = init_params(jax.random.key(0), board, run_config.network)
    return TrainedNetwork(board, run_config, params, 7)


@functools.cache
def evaluated(board: Board, config: NetworkConfig) -> Any:
    """The network compiled whole: ``(params, edges, margin) -> output``."""
    return jax.jit(functools.partial(model.apply, board, config))


def uniform(params: Any, states: State) -> Evaluation:
    """An evaluator that knows nothing."""
    del params
    return Evaluation(
        jnp.zeros(states.edges.shape, jnp.float32), jnp.zeros(len(states.to_play), jnp.float32)
    )


def same_trees(a: Any, b: Any) -> bool:
    """Whether two trees hold the same bits."""
    jax.tree.map(np.testing.assert_array_equal, a, b)
    return bool(jax.tree.structure(a) == jax.tree.structure(b))  # type: ignore[operator]


def refused(main: Callable[[list[str]], int], capsys: Any, *argv: str) -> str:
    """The one line with which a command is refused."""
    with pytest.raises(SystemExit) as stop:
        main(list(argv))
    assert stop.value.code == 2
    error: str = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


def no_engine(board: Board, level: str | None) -> Engine:
    """For a protocol in which none is asked."""
    raise AssertionError(f"an engine was made for {board} and {level}")
