"""The learner: targets by hand, and that learning learns."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azdab.common.config import (
    BoardConfig,
    Config,
    LearnerConfig,
    NetworkConfig,
    ReplayConfig,
    SelfPlayConfig,
)
from azdab.devices import mesh
from azdab.game import symmetry
from azdab.game.board import Board
from azdab.learning import learner, replay
from azdab.learning.learner import LearnerState, Losses
from azdab.learning.replay import Replay
from azdab.learning.selfplay import Example
from tests import common

BOARD = Board(2, 2)
BATCH = 16


def config_with(**settings: Any) -> Config:
    values: dict[str, Any] = {"learning_rate": 5e-3, "warmup_steps": 2, "schedule_steps": 100}
    return Config(
        board=BoardConfig(BOARD.rows, BOARD.cols),
        network=NetworkConfig(features="edges", filters=8, blocks=1),
        selfplay=SelfPlayConfig(games_per_iteration=4, parallel_games=4),
        replay=ReplayConfig(capacity=64, min_window=64),
        learner=LearnerConfig(batch_size=BATCH, steps_per_iteration=10, **(values | settings)),
    )


@functools.cache
def minimax(board: Board) -> common.Minimax:
    return common.Minimax(board)


@functools.cache
def examples_of(board: Board, seed: int, count: int = BATCH) -> Example:
    """Random positions with exact labels and random owners, in numpy."""
    rng = np.random.default_rng(seed)
    states = common.random_states(board, seed, count, range(1, 9))
    policy = rng.random((count, board.num_edges)) * ~np.asarray(states.edges)
    boxes = common.surroundings(board)
    closed = np.array(
        [[box <= drawn for box in boxes] for drawn, _, _ in common.each(states)], bool
    )
    outcome = np.array([minimax(board).value(drawn) for drawn, _, _ in common.each(states)])
    owners = rng.choice([-1, 1], (count, len(boxes))) * ~closed
    arrays: Any = Example  # NumPy's: none is computed by a program of its own
    examples: Example = arrays(
        edges=np.asarray(states.edges),
        margin=np.array([lead for _, _, lead in common.each(states)], np.int8),
        policy=(policy / policy.sum(axis=1, keepdims=True)).astype(np.float16),
        search_margin=outcome.astype(np.float16),
        outcome=outcome.astype(np.int8),
        outcome_valid=np.ones(count, bool),
        ownership=owners.astype(np.int8),
    )
    return examples


two_hot = jax.jit(functools.partial(learner.two_hot, BOARD))
margin_target = jax.jit(
    functools.partial(learner.margin_target, BOARD, LearnerConfig(search_value_weight=0.25))
)


@given(st.integers(1, 4), st.floats(-1, 1))
def test_two_hot_has_the_mean_on_at_most_two_margins_of_the_right_parity(
    reach: int, share: float
) -> None:
    mean = np.float32(share * reach)
    weights = np.asarray(two_hot(np.array([mean]), np.array([reach], np.int32)))[0]
    margins = np.arange(-4, 5)
    assert weights.sum() == pytest.approx(1, abs=1e-6)
    assert (weights * margins).sum() == pytest.approx(mean, abs=1e-5)
    support = margins[weights > 0]
    assert ((support - reach) % 2 == 0).all()
    assert np.abs(support).max() <= reach
    assert len(support) <= 2
    assert np.ptp(support) <= 2


def with_fields(examples: Example, **fields: Any) -> Example:
    """Examples with other numpy arrays."""
    return examples._replace(**fields)


def test_the_margin_target_mixes_outcome_and_search() -> None:
    # All four boxes open, so margins are even; outcome +2, the search says +1.
    examples = with_fields(
        examples_of(BOARD, 0, 4),
        edges=np.zeros((4, BOARD.num_edges), bool),
        outcome=np.full(4, 2, np.int8),
        outcome_valid=np.array([True, True, False, False]),
        search_margin=np.array([1, np.nan, 1, np.nan], np.float16),
    )
    target, weight = margin_target(examples)
    assert weight.tolist() == [1, 1, 1, 0]
    # Index 4 is margin 0 and index 6 is margin +2: the search's +1 is half of each.
    expected = np.zeros((3, 9))
    expected[0, [4, 6]] = [0.25 * 0.5, 0.75 + 0.25 * 0.5]
    expected[1, 6] = 1
    expected[2, [4, 6]] = 0.5
    np.testing.assert_allclose(np.asarray(target)[:3], expected, atol=1e-6)


def test_a_search_value_beyond_what_is_possible_is_clipped() -> None:
    # One open edge, one open box: only -1 and +1 are left.
    edges = np.ones((4, BOARD.num_edges), bool)
    edges[:, 0] = False
    examples = with_fields(
        examples_of(BOARD, 0, 4),
        edges=edges,
        outcome_valid=np.zeros(4, bool),
        search_margin=np.array([1.5, -3, 1, -1], np.float16),
    )
    target, _ = margin_target(examples)
    np.testing.assert_allclose(target, np.eye(9)[[5, 3, 5, 3]], atol=1e-6)


@pytest.mark.parametrize("board", [Board(2, 2), Board(1, 3)], ids=str)
def test_augmentation_applies_one_symmetry_to_all_of_an_example(board: Board) -> None:
    examples = examples_of(board, 1, 64)
    augmented = jax.jit(functools.partial(learner.augment, board))(examples, jax.random.key(0))
    perms, box_perms = symmetry.edge_permutations(board), symmetry.box_permutations(board)
    old, new = (jax.tree.map(np.asarray, x) for x in (examples, augmented))
    used = set()
    for i in range(64):
        fits = [
            s
            for s in range(len(perms))
            if (new.policy[i] == old.policy[i][perms[s]]).all()
            and (new.edges[i] == old.edges[i][perms[s]]).all()
            and (new.ownership[i] == old.ownership[i][box_perms[s]]).all()
        ]
        assert fits
        if len(fits) == 1:
            used.add(fits[0])
    assert used == set(range(len(perms)))
    for name in ("margin", "outcome", "outcome_valid", "search_margin"):
        np.testing.assert_array_equal(getattr(new, name), getattr(old, name))


@functools.cache
def gradient() -> Any:
    """The gradients of the loss, and its parts. No optimiser matters to them."""
    config = config_with()
    return jax.jit(jax.grad(lambda p, x: learner.loss(p, BOARD, config, x), has_aux=True))


@functools.cache
def step(config: Config) -> Any:
    return jax.jit(lambda state, grads: learner.stepped(state, config, grads))


def learned(
    config: Config, count: int, state: LearnerState, examples: Example
) -> tuple[LearnerState, list[Losses]]:
    """Several updates on one batch. The network is compiled once for all optimisers."""
    losses = []
    for _ in range(count):
        grads, found = gradient()(state.params, examples)
        state = step(config)(state, grads)
        losses.append(jax.tree.map(float, found))
    return state, losses


@functools.cache
def initial(optimizer: str) -> LearnerState:
    config = config_with(optimizer=optimizer)
    if optimizer == "sgd":
        return jax.jit(lambda: learner.init_learner(jax.random.key(0), BOARD, config))()
    begin = functools.partial(learner.init_learner, jax.random.key(0), BOARD, config)
    return jax.jit(begin)(initial("sgd").params)


def fresh(config: Config) -> LearnerState:
    """A new learner; only the kind of optimiser matters to it."""
    return initial(config.learner.optimizer)


def in_numpy(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree)


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_a_new_learner_averages_nothing_yet(optimizer: str) -> None:
    state = initial(optimizer)
    chex.assert_trees_all_equal(state.params, state.ema_params)
    chex.assert_trees_all_equal(state.params, initial("sgd").params)
    assert int(state.step) == 0
    assert {x.dtype for x in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    "config",
    [
        config_with(optimizer="muon", weight_decay=0.0, warmup_steps=0),
        config_with(optimizer="adamw"),
        config_with(optimizer="sgd", learning_rate=5e-2),
    ],
    ids=lambda config: config.learner.optimizer,
)
def test_updates_on_one_batch_lower_every_loss(config: Config) -> None:
    state, losses = learned(config, 40, fresh(config), examples_of(BOARD, 2))
    first, last = losses[0], losses[-1]
    assert last.total < 0.8 * first.total
    assert last.policy < first.policy
    assert last.margin < first.margin
    assert last.ownership < first.ownership
    assert int(state.step) == 40
    for parts in (first, last):
        assert parts.total == pytest.approx(
            parts.policy + parts.margin + 0.25 * parts.ownership, rel=1e-5
        )


def test_without_decay_the_average_is_the_parameters() -> None:
    config = config_with(ema_decay=0, optimizer="sgd")
    state, _ = learned(config, 1, fresh(config), examples_of(BOARD, 2))
    chex.assert_trees_all_equal(state.ema_params, state.params)
    # The first step of a warm-up has learning rate 0.
    chex.assert_trees_all_equal(state.params, fresh(config).params)
    state, _ = learned(config, 1, state, examples_of(BOARD, 2))
    chex.assert_trees_all_equal(state.ema_params, state.params)
    assert not np.array_equal(
        jax.tree.leaves(state.params)[0], jax.tree.leaves(fresh(config).params)[0]
    )


def test_the_average_follows_closely_at_first() -> None:
    config = config_with(optimizer="sgd", learning_rate=5e-2)
    state = fresh(config)
    average = in_numpy(state.params)
    for number in range(4):  # the first of them has learning rate 0
        state, _ = learned(config, 1, state, examples_of(BOARD, 2))
        decay = (1 + number) / (10 + number)
        params = in_numpy(state.params)
        average = jax.tree.map(lambda a, p, d=decay: d * a + (1 - d) * p, average, params)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(average))  # NaN would equal NaN
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        state.ema_params,
        average,
    )


def test_weight_decay_shrinks_kernels_only() -> None:
    # The first step of either rule is free of momentum, so the two differ by decay alone.
    configs = [config_with(weight_decay=decay, warmup_steps=0) for decay in (0.0, 0.5)]
    state = fresh(configs[0])
    after = [learned(config, 1, state, examples_of(BOARD, 2))[0] for config in configs]

    def check(old: Any, plain: Any, decayed: Any) -> None:
        expected = plain - 5e-3 * 0.5 * old if old.ndim > 1 else plain
        np.testing.assert_allclose(decayed, expected, atol=1e-6)

    jax.tree.map(check, *(in_numpy(x.params) for x in (state, *after)))


def test_an_example_without_a_margin_target_leaves_the_margin_head_alone() -> None:
    examples = with_fields(
        examples_of(BOARD, 3),
        outcome_valid=np.zeros(BATCH, bool),
        search_margin=np.full(BATCH, np.nan, np.float16),
        outcome=np.full(BATCH, 99, np.int8),
    )
    params = initial("sgd").params
    grads, _ = gradient()(params, examples)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(grads))
    blind, _ = gradient()(params, with_fields(examples, outcome=np.ones(BATCH, np.int8)))
    chex.assert_trees_all_equal(grads, blind)


def test_the_losses_of_a_perfect_prediction_are_those_of_the_target() -> None:
    # The policy loss is a divergence: never negative, and 0 only where targets are met.
    single = examples_of(BOARD, 4)
    only = np.argmin(single.edges, axis=1)
    edges = np.ones((BATCH, BOARD.num_edges), bool)
    edges[np.arange(BATCH), only] = False
    _, parts = gradient()(
        initial("sgd").params, with_fields(single, edges=edges, policy=(~edges).astype(np.float16))
    )
    assert float(parts.policy) == pytest.approx(0, abs=1e-6)
    assert float(parts.entropy) == pytest.approx(0, abs=1e-6)


@functools.cache
def learning(config: Config) -> Any:
    one = common.one_device()
    return jax.jit(lambda state, buffer, key: learner.learn(state, buffer, BOARD, config, one, key))


@functools.cache
def full_buffer() -> Replay:
    fill = jax.jit(lambda x: replay.stacked(replay.add(replay.init_replay(BOARD, 64), x)))
    return fill(examples_of(BOARD, 5, 64))


@settings(max_examples=3)
@given(common.seeds)
def test_a_learning_phase_is_a_function_of_its_key(seed: int) -> None:
    config = config_with(optimizer="sgd")
    learn = functools.partial(learning(config), fresh(config), full_buffer())
    first, losses = learn(jax.random.key(seed))
    again, _ = learn(jax.random.key(seed))
    other, _ = learn(jax.random.key(seed + 1))
    chex.assert_trees_all_equal(first, again)
    assert int(first.step) == 10
    leaves = [jax.tree.leaves(x.params) for x in (first, other)]
    assert any(not np.array_equal(a, b) for a, b in zip(*leaves, strict=True))
    assert all(x.shape == () and bool(np.isfinite(x)) for x in losses)
    assert 0 < losses.grad_norm < losses.grad_norm_max


def test_arrays_of_another_shape_or_type_are_refused() -> None:
    config, examples = config_with(), examples_of(BOARD, 6)
    whole_boxes = jnp.zeros(2, jnp.int32)
    with pytest.raises(AssertionError):
        learner.two_hot(BOARD, whole_boxes, whole_boxes)
    with pytest.raises(AssertionError):
        learner.two_hot(BOARD, jnp.zeros(3), whole_boxes)
    params = fresh(config).params
    for spoilt in (
        examples._replace(margin=examples.margin.astype(jnp.int32)),
        examples._replace(ownership=examples.ownership[:, 1:]),
    ):
        with pytest.raises(AssertionError):
            jax.eval_shape(lambda x: learner.loss(params, BOARD, config, x), spoilt)
        with pytest.raises(AssertionError):
            jax.eval_shape(lambda x: learner.augment(BOARD, x, jax.random.key(0)), spoilt)


def test_a_core_s_work_is_divided_into_equal_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [learner._pieces(n) for n in (1, 16, 64, 96, 128, 256, 512)] == [1, 1, 1, 2, 2, 4, 8]
    assert learner._pieces(131) == 1  # a prime number of positions
    monkeypatch.setattr(learner, "IN_CACHE", 4)
    assert learner._pieces(BATCH) == 4


@pytest.mark.parametrize("in_cache", [4, 64])
def test_gradients_of_shares_and_pieces_are_those_of_the_batch(
    monkeypatch: pytest.MonkeyPatch, in_cache: int
) -> None:
    monkeypatch.setattr(learner, "IN_CACHE", in_cache)
    config, examples = config_with(), examples_of(BOARD, 5)
    # Shares with different numbers of known boxes, which the ownership loss is a mean over.
    ownership = examples.ownership.copy()
    ownership[3:] = 0
    examples = with_fields(examples, ownership=ownership)
    both = mesh.all_devices()
    assert both.size == 2
    params = initial("sgd").params
    whole = gradient()(params, examples)
    divided = jax.jit(lambda p, x: learner.gradients(p, BOARD, config, x, both))(
        mesh.placed(both, params), mesh.placed(both, examples, mesh.SPLIT)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), whole, divided
    )
    assert whole[1].ownership > 0
