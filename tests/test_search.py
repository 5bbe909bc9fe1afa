"""The search, given the truth, finds the truth; and its rewards and signs by hand."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azdab.common.config import NetworkConfig, SearchConfig
from azdab.exact import dense_table
from azdab.exact.dense_table import SolvedBoard
from azdab.game import rules
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.network import model
from azdab.search import evaluator, tree_search
from azdab.search.evaluator import Evaluation
from azdab.search.tree_search import SearchOutput
from tests import common

BATCH, SIMULATIONS = 32, 8  # Gumbel search looks at as many moves
BOARD = Board(2, 2)
policies = st.sampled_from(["gumbel", "puct"])


def move_utilities(board: Board, utility: str, solved: SolvedBoard, states: State) -> jax.Array:
    """What each move is worth with perfect play, for the mover; -128 where illegal.

    Whoever can reach a margin m wins exactly if m > 0, so optimal margins decide
    optimal results as well.
    """
    values = dense_table.exact_values(solved, states.edges)
    if utility == "win":
        exact = jnp.sign(values + rules.margin(states)[:, None]).astype(jnp.float32)
    else:
        exact = values / board.num_boxes
    return jnp.where(states.edges, -128.0, exact)


def exact_evaluator(board: Board, utility: str) -> Any:
    """An evaluator that knows the truth, in value and, with a scale, in its prior."""

    def evaluate(params: tuple[SolvedBoard, jax.Array], states: State) -> Evaluation:
        solved, prior_scale = params
        utilities = move_utilities(board, utility, solved, states)
        best = utilities.max(axis=-1)
        value = jnp.where(rules.is_terminal(states), 0.0, best)
        return Evaluation(prior_scale * utilities, value)

    return evaluate


@functools.cache
def searcher(board: Board, policy: Any, utility: Any) -> Any:
    config = SearchConfig(policy=policy, utility=utility, num_simulations=SIMULATIONS)
    assert config.max_num_considered_actions == SIMULATIONS
    evaluate = exact_evaluator(board, utility)

    def run(params: Any, key: jax.Array, states: State, explore: jax.Array) -> Any:
        output = tree_search.search(board, config, evaluate, params, key, states, explore=explore)
        return output, move_utilities(board, utility, params[0], states)

    return jax.jit(run)


def run(
    board: Board,
    seed: int,
    *,
    policy: str = "gumbel",
    utility: str = "margin",
    prior_scale: float = 10.0,
    explore: bool = False,
    open_edges: range | None = None,
) -> tuple[State, SearchOutput, np.ndarray]:
    """Search a batch of random positions, of all stages of the game unless said otherwise."""
    stages = open_edges or range(1, board.num_edges + 1)
    states = common.random_states(board, seed, BATCH, stages)
    params = common.solved(board), np.float32(prior_scale)
    found = searcher(board, policy, utility)(params, jax.random.key(seed), states, explore)
    output, utilities = jax.tree.map(np.asarray, found)
    return states, output, utilities


def chosen(output: SearchOutput, utilities: np.ndarray) -> np.ndarray:
    picked: np.ndarray = np.take_along_axis(utilities, np.asarray(output.action)[:, None], axis=1)[
        :, 0
    ]
    return picked


@settings(max_examples=15)
@given(policies, common.seeds)
def test_with_exact_values_and_an_agreeing_prior_every_move_is_optimal(
    policy: str, seed: int
) -> None:
    _, output, utilities = run(BOARD, seed, policy=policy)
    np.testing.assert_array_equal(chosen(output, utilities), utilities.max(axis=1))


@settings(max_examples=15)
@given(policies, common.seeds)
def test_with_exact_win_values_every_move_preserves_the_result(policy: str, seed: int) -> None:
    states, output, utilities = run(BOARD, seed, policy=policy, utility="win")
    # Half of the moves or so would not do: the claim is not empty.
    legal = ~np.asarray(states.edges)
    assert (legal & (utilities < utilities.max(axis=1, keepdims=True))).any(axis=1).sum() > 3
    np.testing.assert_array_equal(chosen(output, utilities), utilities.max(axis=1))


@settings(max_examples=10)
@given(common.seeds)
def test_gumbel_needs_one_exact_look_at_each_move_and_no_prior(seed: int) -> None:
    exactly = range(SIMULATIONS, SIMULATIONS + 1)
    _, output, utilities = run(BOARD, seed, prior_scale=0.0, open_edges=exactly)
    assert (output.visit_counts[utilities > -128] == 1).all()
    np.testing.assert_array_equal(chosen(output, utilities), utilities.max(axis=1))


@settings(max_examples=20)
@given(policies, st.sampled_from(["margin", "win"]), common.seeds)
def test_a_move_visited_once_has_its_exact_value(policy: str, utility: str, seed: int) -> None:
    # A uniform prior, so that bad moves are looked at too.
    _, output, utilities = run(BOARD, seed, policy=policy, utility=utility, prior_scale=0.0)
    once = output.visit_counts == 1
    assert once.sum() >= BATCH
    np.testing.assert_allclose(output.q_values[once], utilities[once], atol=1e-6)


@settings(max_examples=10)
@given(st.sampled_from(["margin", "win"]), common.seeds)
def test_the_value_is_perfect_play_s_although_bad_moves_were_looked_at(
    utility: str, seed: int
) -> None:
    # Gumbel search looks at eight moves however sure the prior is.
    _, output, utilities = run(BOARD, seed, utility=utility, prior_scale=200.0)
    assert (output.visit_counts[utilities > -128] > 0).mean() > 0.5
    np.testing.assert_allclose(output.value, utilities.max(axis=1), atol=1e-5)


@settings(max_examples=10)
@given(policies, st.booleans(), common.seeds)
def test_illegal_moves_are_neither_played_nor_visited_nor_taught(
    policy: str, explore: bool, seed: int
) -> None:
    states, output, _ = run(BOARD, seed, policy=policy, prior_scale=0.0, explore=explore)
    drawn = np.asarray(states.edges)
    assert not np.take_along_axis(drawn, np.asarray(output.action)[:, None], axis=1).any()
    assert not output.visit_counts[drawn].any()
    assert not output.action_weights[drawn].any()
    np.testing.assert_allclose(output.action_weights.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("policy", ["gumbel", "puct"])
def test_only_exploration_depends_on_the_key(policy: str) -> None:
    states = common.random_states(BOARD, 0, BATCH, range(6, 13))
    params = common.solved(BOARD), np.float32(0)

    def moves(explore: bool, seed: int) -> list[int]:
        search = searcher(BOARD, policy, "margin")
        output, _ = search(params, jax.random.key(seed), states, explore)
        actions: list[int] = output.action.tolist()
        return actions

    assert moves(True, 0) != moves(True, 1)
    if policy == "gumbel":
        assert moves(False, 0) == moves(False, 1)


@functools.cache
def transition(board: Board) -> Any:
    """What :func:`tree_search.transition` says under either utility."""
    of = functools.partial(tree_search.transition, board)
    return jax.jit(lambda *x: {utility: of(utility, *x) for utility in ("margin", "win")})


@given(st.sampled_from([Board(1, 2), Board(2, 2), Board(3, 2)]), common.seeds)
def test_rewards_and_discounts_are_what_the_rules_say(board: Board, seed: int) -> None:
    states = common.random_states(board, seed, BATCH, range(1, board.num_edges + 1))
    rng = np.random.default_rng(seed)
    actions = rules.random_choices(rng, ~np.asarray(states.edges))
    found = jax.tree.map(np.asarray, transition(board)(states, actions))
    margins, results = found["margin"], found["win"]
    boxes = common.surroundings(board)
    for index, (drawn, player, lead) in enumerate(common.each(states)):
        action = int(actions[index])
        after = drawn | {action}
        closed = sum(action in box and box <= after for box in boxes)
        over = len(after) == board.num_edges
        discount = 0 if over else 1 if closed else -1
        assert margins[2][index] == discount
        assert results[2][index] == discount
        assert margins[1][index] == pytest.approx(closed / board.num_boxes)
        assert results[1][index] == (np.sign(lead + closed) if over else 0)
        for next_states, *_ in (margins, results):
            assert common.indices(next_states.edges[index]) == sorted(after)
            assert next_states.to_play[index] == (player if closed else 1 - player)


def test_a_finished_game_gives_no_reward_for_anything() -> None:
    board = Board(1, 2)
    state: Any = State  # of NumPy's arrays
    over = state(
        edges=np.ones((BATCH, board.num_edges), bool),
        scores=np.array([[2, 0], [0, 2]] * (BATCH // 2), np.int16),
        to_play=np.zeros(BATCH, np.int8),
    )
    found = transition(board)(over, np.array([0, 3] * (BATCH // 2), np.int32))
    for states, reward, discount in found.values():
        chex.assert_trees_all_equal(states, over)
        assert not reward.any()
        assert not discount.any()


@given(common.seeds)
def test_only_under_the_win_utility_does_the_network_see_the_score(seed: int) -> None:
    states = common.random_states(Board(2, 3), seed, BATCH, range(0, 9))
    leads = [lead for _, _, lead in common.each(states)]
    assert any(leads)
    edges, shown = evaluator.network_inputs(states, "win")
    assert shown.tolist() == leads
    assert edges is states.edges
    _, hidden = evaluator.network_inputs(states, "margin")
    assert hidden.tolist() == [0] * BATCH


@functools.cache
def evaluated() -> tuple[State, Any]:
    """Positions; of either utility, what an evaluator and what the network itself says of them."""
    board, config = Board(2, 2), NetworkConfig(features="edges", filters=8, blocks=1)

    @jax.jit
    def both(states: State) -> Any:
        params = model.init_params(jax.random.key(1), board, config)

        def of(utility: str) -> Any:
            evaluation = evaluator.network_evaluator(board, config, utility)(params, states)
            inputs = evaluator.network_inputs(states, utility)
            output = model.apply(board, config, params, *inputs)
            return evaluation, output, jax.nn.softmax(output.margin_logits)

        return {utility: of(utility) for utility in ("margin", "win")}

    states = common.random_states(board, 0, BATCH, range(1, 9))
    return states, jax.tree.map(np.asarray, both(states))


@pytest.mark.parametrize("utility", ["margin", "win"])
def test_the_network_evaluates_with_its_own_heads(utility: str) -> None:
    states, found = evaluated()
    evaluation, output, chances = found[utility]
    margins = np.arange(-4, 5)
    leads = np.array([lead for _, _, lead in common.each(states)])
    if utility == "win":
        expected = (chances * np.sign(margins + leads[:, None])).sum(axis=1)
    else:
        expected = (chances * margins).sum(axis=1) / 4
    np.testing.assert_allclose(evaluation.value, expected, atol=1e-5)
    np.testing.assert_array_equal(evaluation.prior_logits, output.prior_logits)


def test_what_is_no_batch_of_positions_of_the_board_is_refused() -> None:
    board, config = Board(2, 2), SearchConfig(num_simulations=2)
    states = rules.init_states(board, 3)

    def searched(evaluate: Any, states: State) -> Any:
        def run(states: State) -> SearchOutput:
            return tree_search.search(board, config, evaluate, None, jax.random.key(0), states)

        return jax.eval_shape(run, states)

    assert searched(common.uniform, states).action.shape == (3,)
    for spoilt in (
        rules.init_states(Board(2, 3), 3),
        rules.init_state(board),
        states._replace(to_play=states.to_play[:2]),
        states._replace(edges=states.edges.astype(jnp.int8)),
    ):
        with pytest.raises(AssertionError):
            searched(common.uniform, spoilt)

    def flat(params: Any, states: State) -> Evaluation:
        evaluation = common.uniform(params, states)
        return evaluation._replace(value=evaluation.value[:, None])

    with pytest.raises(AssertionError):
        searched(flat, states)
