"""How long the exact engine takes on endgames."""

import functools
import statistics
import time

import jax
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from azdab.game.board import Board
from azdab.learning import agents, arena


def endgame_times(board: Board, positions: np.ndarray) -> list[float]:
    """Seconds to solve each of the positions ``bool[N, E]``, with no memory, on one core."""
    from azdab.exact.solver import Solver  # only here is numba needed

    seconds = []
    for edges in positions:
        solver = Solver(board)
        solver.value(np.ones(board.num_edges, bool))  # loads the compiled code
        start = time.perf_counter()
        solver.value(edges)
        seconds.append(time.perf_counter() - start)
    return seconds


def measure_endgames(board: Board, console: Console) -> None:
    """Print how long the exact engine takes on positions of greedy play, by edges left."""
    table = Table(title=f"exact values on {board}, one core", title_justify="left")
    for column in ("edges left", "positions", "median s", "max s"):
        table.add_column(column, justify="right")
    counts = {20: 40, 24: 40, 28: 40, 32: 40, 36: 40, 38: 20, 40: 10}
    # A search from nearer the empty board takes minutes.
    usable = {left: count for left, count in counts.items() if left <= 2 * board.num_plies // 3}
    greedy = agents.greedy_agent(board)
    play = functools.partial(arena.play_games, board, (greedy, greedy), (None, None))
    games = jax.jit(play, static_argnums=(1, 2))(jax.random.key(0), max(counts.values()), 0)
    edges = np.asarray(games.states.edges)
    for left, count in track(list(usable.items()), "solving", console=console, transient=True):
        seconds = endgame_times(board, edges[board.num_plies - left, :count])
        row = (left, count, f"{statistics.median(seconds):.5f}", f"{max(seconds):.5f}")
        table.add_row(*map(str, row))
    console.print(table)
