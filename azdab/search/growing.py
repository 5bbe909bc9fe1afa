"""A tree search that grows piece by piece, to any number of simulations, by one program.

:func:`azdab.search.tree_search.search` compiles a program for each number of simulations, and
runs to its end. Here the tree has room for more nodes than it may get, and how far it grows is an
argument: a clock can stop it, and it can go on. After as many simulations both say the same
(``tests/test_growing.py``).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import mctx
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray
from mctx import Tree

from azdab.common.config import SearchConfig
from azdab.game import rules
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.network.model import Params
from azdab.search import simulation, tree_search
from azdab.search.evaluator import Evaluation, Evaluator
from azdab.search.simulation import Growth
from azdab.search.tree_search import SearchOutput


def halving_schedule(considered: int, simulations: int, room: int) -> Int[np.ndarray, "room"]:
    """How often the root's move of each simulation was visited before it, ``int32[room]``.

    This is Sequential Halving (Karnin, Koren and Somekh, 2013): in each phase the moves that are
    still considered get equally many visits, and then the worse half of them is dropped. The
    last two go on being compared beyond ``simulations``.

    Args:
      considered: moves to begin with.
      simulations: over which the phases are spread.
      room: simulations to plan.

    >>> halving_schedule(4, 8, 12).tolist()
    [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    """
    if considered <= 1:
        return np.arange(room, dtype=np.int32)
    phases = math.ceil(math.log2(considered))
    visits, left = [0] * considered, considered
    planned: list[int] = []
    while len(planned) < room:
        for _ in range(max(1, simulations // (phases * left))):
            planned += visits[:left]
            visits[:left] = [count + 1 for count in visits[:left]]
        left = max(2, left // 2)
    return np.array(planned[:room], np.int32)


def _as_it_is(tree: Tree | None) -> mctx.LoopFn:
    """A loop without simulations, which gives this tree, or else the one it is given."""

    def loop(lower: int, upper: int, body: Any, state: tuple[Any, Tree]) -> tuple[Any, Tree]:
        del lower, upper, body
        return state[0], state[1] if tree is None else tree

    return loop


def _no_steps(*args: Any) -> Any:
    """What mctx would ask at every node, where there are none."""
    raise AssertionError("no node is expanded")


def seedling(
    board: Board,
    config: SearchConfig,
    evaluation: Evaluation,
    key: PRNGKeyArray,
    states: State,
    room: int,
) -> Growth:
    """Trees of positions alone, with their evaluation; they have room for ``room`` simulations."""
    output = tree_search.policy(
        config,
        room,
        explore=False,
        params=None,
        rng_key=key,
        root=tree_search.root_of(board, lambda params, states: evaluation, None, states),
        recurrent_fn=_no_steps,
        invalid_actions=~rules.legal_actions(states),
        loop_fn=_as_it_is(None),
    )
    return simulation.unchosen(output.search_tree)


def grown(
    board: Board,
    config: SearchConfig,
    evaluate: Evaluator,
    params: Params,
    key: PRNGKeyArray,
    growth: Growth,
    schedule: Int[Array, "room"],
    done: int | Int[Array, ""],
    until: int | Int[Array, ""],
) -> Growth:
    """Trees with ``until`` simulations.

    Args:
      board: the board.
      config: the search settings.
      evaluate: leaf and prior evaluation.
      params: passed on to ``evaluate``.
      key: random key.
      growth: from :func:`seedling` or from here.
      schedule: from :func:`halving_schedule`; the same for all trees.
      done: simulations so far.
      until: simulations to end with, at most ``room``.
    """
    select_root, select = tree_search.selections(config, len(schedule))
    if config.policy == "gumbel":
        select_root = _scheduled(config, schedule)
    recurrent_fn = tree_search.recurrent(board, config, evaluate)
    run = simulation.simulations(params, recurrent_fn, select_root, select, board.num_plies)
    return run(done, until, key, growth)


def _scheduled(config: SearchConfig, schedule: Int[Array, "room"]) -> Any:
    """Gumbel's choice at the root, of the moves that have been visited as often as planned."""
    complete = tree_search.completed(config)

    def select_root(key: PRNGKeyArray, tree: Tree, node: Int[Array, ""]) -> Int[Array, ""]:
        del key
        visits, logits = tree.children_visits[node], tree.children_prior_logits[node]
        scores = jnp.maximum(-1e9, logits - jnp.max(logits) + complete(tree, node))
        open_to: Bool[Array, "E"] = (visits == schedule[jnp.sum(visits)]) & (
            tree.root_invalid_actions == 0
        )
        return jnp.argmax(jnp.where(open_to, scores, -jnp.inf)).astype(jnp.int32)

    return select_root


def harvest(config: SearchConfig, key: PRNGKeyArray, growth: Growth) -> SearchOutput:
    """What a search that comes to these trees says."""
    root, tree = Tree.ROOT_INDEX, growth.tree
    return tree_search.output_of(
        tree_search.policy(
            config,
            tree.children_index.shape[1] - 1,
            explore=False,
            params=None,
            rng_key=key,
            root=mctx.RootFnOutput(
                prior_logits=tree.children_prior_logits[:, root],
                value=tree.raw_values[:, root],
                embedding=jax.tree.map(lambda x: x[:, root], tree.embeddings),
            ),
            recurrent_fn=_no_steps,
            invalid_actions=tree.root_invalid_actions,
            loop_fn=_as_it_is(tree),
        )
    )
