"""Players of fixed strength that the arena measures a network against, all in one match."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Int, PRNGKeyArray

from azdab.devices.mesh import placed
from azdab.exact import dense_table, oracle
from azdab.exact.dense_table import SolvedBoard
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.learning import agents
from azdab.learning.agents import Agent
from azdab.learning.arena import MatchGames


class Baselines(NamedTuple):
    """Players of fixed strength that the network is measured against.

    Attributes:
      agents: by name.
      solved: what the perfect one knows; None, and it is not there, where the board
        cannot be solved.
    """

    agents: dict[str, Agent]
    solved: SolvedBoard | None


def baselines_of(board: Board, mesh: Mesh, report: Callable[[str], None]) -> Baselines:
    """The baselines of a board; ``report`` is told of work that takes long."""
    found = {"random": agents.random_agent(board), "greedy-min": agents.greedy_agent(board)}
    if not oracle.can_solve(board):
        return Baselines(found, None)
    report("exact solution of the board")
    solved = placed(mesh, dense_table.solve_board(board))
    return Baselines(found | {"perfect": agents.perfect_agent(board)}, solved)


def panel_agent(panel: tuple[Agent, ...]) -> Agent:
    """Several opponents at once: game ``g`` is played by agent ``g % n``."""

    def act(params: tuple[Any, ...], key: PRNGKeyArray, states: State) -> Int[Array, "B"]:
        moves = []
        for i, agent in enumerate(panel):
            mine = jax.tree.map(lambda x, i=i: x[i :: len(panel)], states)
            moves.append(agent(params[i], jax.random.fold_in(key, i), mine).astype(jnp.int32))
        return jnp.stack(moves, axis=1).reshape(-1)

    return act


def games_against(match: MatchGames, opponent: int, num_opponents: int) -> MatchGames:
    """The games of a panel match against one opponent."""

    def take(x: Array, axis: int) -> Array:
        return jax.lax.slice_in_dim(x, opponent, None, num_opponents, axis)

    return MatchGames(
        states=jax.tree.map(lambda x: take(x, 1), match.states),
        actions=take(match.actions, 1),
        random=take(match.random, 1),
        a_seat=take(match.a_seat, 0),
        margin=take(match.margin, 0),
    )
