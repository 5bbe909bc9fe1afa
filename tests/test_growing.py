"""A search that grows piece by piece says what one says that runs to its end."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from azdab.common.config import SearchConfig
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.search import growing, tree_search
from azdab.search.evaluator import Evaluation
from azdab.search.simulation import Growth
from tests import common

pytestmark = pytest.mark.usefixtures("even_noise")
BOARD, ROOM = Board(2, 2), 24


def opinion(params: Any, states: State) -> Evaluation:
    """Some evaluation, which differs from position to position."""
    del params
    weights = jnp.sin(jnp.arange(BOARD.num_edges) * 1.7)
    seen = jnp.sin(states.edges @ weights * 9.0 + states.scores[:, 0])
    logits = jnp.cos(seen[:, None] * 5.0 + jnp.arange(BOARD.num_edges)[None])
    return Evaluation(logits, 0.5 * seen)


@functools.cache
def config(policy: Any) -> SearchConfig:
    return SearchConfig(policy=policy, max_num_considered_actions=4)


@functools.cache
def whole(policy: str, simulations: int) -> Any:
    return jax.jit(
        lambda key, states: tree_search.search(
            BOARD, config(policy), opinion, None, key, states,
            num_simulations=simulations, explore=False,
        )
    )  # fmt: skip


@functools.cache
def in_pieces(policy: str) -> tuple[Any, Any, Any]:
    """The programs that begin, go on and end; they are the same for all numbers of simulations."""

    def begin(key: Any, states: State) -> Growth:
        seen = opinion(None, states)
        return growing.seedling(BOARD, config(policy), seen, key, states, room=ROOM)

    grow = functools.partial(growing.grown, BOARD, config(policy), opinion, None)
    end = functools.partial(growing.harvest, config(policy))
    return jax.jit(begin), jax.jit(grow), jax.jit(end)


@pytest.mark.parametrize("policy", ["gumbel", "puct"])
@pytest.mark.parametrize("simulations", [1, 7, ROOM])
def test_pieces_make_a_whole(policy: str, simulations: int) -> None:
    key = jax.random.key(0)
    states = common.random_states(BOARD, 3, 5, (12, 9, 8, 7, 6))
    begin, grow, end = in_pieces(policy)
    tree = begin(key, states)
    schedule = growing.halving_schedule(4, simulations, ROOM)
    done = 0
    for until in sorted({1, simulations // 2, simulations} - {0}):
        tree = grow(key, tree, schedule, done, until)
        done = until
    found = end(key, tree)
    chex.assert_trees_all_close(found, whole(policy, simulations)(key, states), rtol=1e-6)
    assert (np.asarray(found.visit_counts).sum(axis=-1) == simulations).all()
    legal = ~np.asarray(states.edges)
    assert np.take_along_axis(legal, np.asarray(found.action)[:, None], axis=1).all()
    for program in (begin, grow, end):
        assert program._cache_size() == 1


@pytest.mark.parametrize("considered", [1, 2, 3, 8, 16])
@pytest.mark.parametrize("simulations", [1, 16, 100])
def test_a_schedule_visits_nothing_twice(considered: int, simulations: int) -> None:
    """Of the moves visited so often before, there is one for each simulation."""
    planned = growing.halving_schedule(considered, simulations, 200)
    visits = np.zeros(considered, int)
    for count in planned:
        (open_to,) = np.nonzero(visits == count)
        assert len(open_to)
        visits[open_to[0]] += 1
    assert visits.sum() == 200
    # Beyond the plan, the last two are compared.
    assert np.sort(visits)[-2:].sum() >= 200 - simulations - 2 * considered
