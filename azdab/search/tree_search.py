"""Tree search with the real rules: mctx's Gumbel MuZero or PUCT over ``rules.step``.

A player who closes a box moves again, so the sign of the value does not flip at
every ply. For the edge from a node to its child, with ``c`` boxes closed:

    discount = 0 at the end of the game, +1 if c > 0, -1 otherwise
    reward   = c / num_boxes       and value = expected future margin / num_boxes   (margin)
    reward   = result at the end   and value = P(win) - P(loss)                     (win)

so that ``Q = reward + discount * value(child)`` is always the mover's.
"""

import functools
from typing import Any, NamedTuple

import chex
import jax.numpy as jnp
import mctx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from azdab.common.config import SearchConfig
from azdab.game import rules
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.network.model import Params
from azdab.search import simulation
from azdab.search.evaluator import Evaluator, check_evaluation, check_states
from azdab.search.simulation import Select


class SearchOutput(NamedTuple):
    """The result of searching a batch of positions.

    Attributes:
      action: ``int32[B]``, the move to play.
      action_weights: ``float32[B, E]``, the improved policy to learn from.
      value: ``float32[B]``, the utility that the improved policy expects: its mean
        over the visited actions' Q-values. The root's own mean counts every visit, and
        so the bad actions that were only tried.
      q_values: ``float32[B, E]``, of the visited root actions.
      visit_counts: ``int32[B, E]``.
    """

    action: Int[Array, "B"]
    action_weights: Float[Array, "B E"]
    value: Float[Array, "B"]
    q_values: Float[Array, "B E"]
    visit_counts: Int[Array, "B E"]


def transition(
    board: Board, utility: str, states: State, actions: Int[Array, "B"]
) -> tuple[State, Float[Array, "B"], Float[Array, "B"]]:
    """The next states with the movers' rewards and discounts, ``float32[B]`` each."""
    chex.assert_shape(actions, (len(states.edges),))
    chex.assert_type(actions, int)
    next_states = rules.step_batch(board, states, actions)
    again = next_states.to_play == states.to_play
    over = rules.is_terminal(next_states)
    if utility == "win":
        final = jnp.sign(rules.margin(next_states) * jnp.where(again, 1, -1))
        reward = jnp.where(over & ~rules.is_terminal(states), final, 0).astype(jnp.float32)
    else:
        closed = jnp.sum(next_states.scores - states.scores, axis=-1)
        reward = closed / board.num_boxes
    discount = jnp.where(over, 0.0, jnp.where(again, 1.0, -1.0))
    return next_states, reward, discount


def search_policy(
    board: Board,
    config: SearchConfig,
    evaluate: Evaluator,
    params: Params,
    key: PRNGKeyArray,
    states: State,
    *,
    num_simulations: int | None = None,
    explore: bool | Bool[Array, ""] = True,
) -> mctx.PolicyOutput:
    """Search a batch of positions; see :func:`search` for the arguments.

    Returns:
      What mctx's policy returns, with the search trees.

    Raises:
      AssertionError: the positions or their evaluations have another shape or type.
    """
    check_states(board, states)
    root, recurrent_fn = (
        root_of(board, evaluate, params, states),
        recurrent(board, config, evaluate),
    )
    select = selections(config, num_simulations or config.num_simulations)
    loop = simulation.simulation_loop(params, recurrent_fn, *select, board.num_plies)
    return policy(
        config,
        num_simulations or config.num_simulations,
        explore,
        params=params,
        rng_key=key,
        root=root,
        recurrent_fn=recurrent_fn,
        invalid_actions=~rules.legal_actions(states),
        max_depth=board.num_plies,
        loop_fn=loop,
    )


def search(
    board: Board,
    config: SearchConfig,
    evaluate: Evaluator,
    params: Params,
    key: PRNGKeyArray,
    states: State,
    *,
    num_simulations: int | None = None,
    explore: bool | Bool[Array, ""] = True,
) -> SearchOutput:
    """Search a batch of positions.

    Args:
      board: the board.
      config: the search settings.
      evaluate: leaf and prior evaluation.
      params: passed on to ``evaluate``.
      key: random key.
      states: batch of positions.
      num_simulations: overrides the config's.
      explore: sample with Gumbel or Dirichlet noise, as in self-play; otherwise
        play the best move found.

    Raises:
      AssertionError: the positions or their evaluations have another shape or type.

    On one box with a single edge missing, the mover closes it, which is worth 1:

    >>> import jax
    >>> from azdab.search.evaluator import Evaluation
    >>> def evaluate(params, states):  # knows nothing
    ...     return Evaluation(jnp.zeros(states.edges.shape), jnp.zeros(len(states.edges)))
    >>> board, edges = Board(1, 1), jnp.array([[True, True, False, True]])
    >>> states = rules.init_states(board, 1)._replace(edges=edges)
    >>> config = SearchConfig(num_simulations=4)
    >>> key = jax.random.key(0)
    >>> look = jax.jit(lambda x: search(board, config, evaluate, None, key, x, explore=False))
    >>> found = look(states)
    >>> found.action.tolist(), found.q_values.tolist()
    ([2], [[0.0, 0.0, 1.0, 0.0]])
    """
    output = search_policy(
        board, config, evaluate, params, key, states,
        num_simulations=num_simulations, explore=explore,
    )  # fmt: skip
    return output_of(output)


def output_of(output: mctx.PolicyOutput) -> SearchOutput:
    """What a search says, from what mctx's policy returned."""
    summary = output.search_tree.summary()
    weights = jnp.where(summary.visit_counts > 0, output.action_weights, 0)
    return SearchOutput(
        action=output.action,
        action_weights=output.action_weights,
        value=jnp.sum(weights * summary.qvalues, axis=-1) / jnp.sum(weights, axis=-1),
        q_values=summary.qvalues,
        visit_counts=summary.visit_counts,
    )


def _mask(prior_logits: Array, legal: Bool[Array, "B E"]) -> Array:
    return jnp.where(legal, prior_logits, jnp.finfo(prior_logits.dtype).min)


def root_of(board: Board, evaluate: Evaluator, params: Params, states: State) -> mctx.RootFnOutput:
    """The positions themselves, evaluated."""
    evaluation = evaluate(params, states)
    check_evaluation(board, states, evaluation)
    return mctx.RootFnOutput(
        prior_logits=_mask(evaluation.prior_logits, rules.legal_actions(states)),
        value=evaluation.value,
        embedding=states,
    )


def recurrent(board: Board, config: SearchConfig, evaluate: Evaluator) -> mctx.RecurrentFn:
    """What mctx asks at every node: take a move, and evaluate what it leads to."""

    def recurrent_fn(
        params: Params, key: PRNGKeyArray, actions: Int[Array, "B"], states: State
    ) -> tuple[mctx.RecurrentFnOutput, State]:
        del key
        next_states, reward, discount = transition(board, config.utility, states, actions)
        evaluation = evaluate(params, next_states)
        output = mctx.RecurrentFnOutput(
            reward=reward,
            discount=discount,
            prior_logits=_mask(evaluation.prior_logits, rules.legal_actions(next_states)),
            value=evaluation.value * jnp.abs(discount),
        )
        return output, next_states

    return recurrent_fn


def selections(config: SearchConfig, num_simulations: int) -> tuple[Select, Select]:
    """How a search chooses at the root and below.

    Gumbel MuZero: sequential halving at the root, completed Q-values everywhere. Else
    AlphaZero's: PUCT at every node.
    """
    if config.policy != "gumbel":
        select: Any = mctx.muzero_action_selection
        return functools.partial(select, depth=0), functools.partial(select, depth=1)
    qtransform = completed(config)
    root = functools.partial(
        mctx.gumbel_muzero_root_action_selection,
        num_simulations=num_simulations,
        max_num_considered_actions=config.max_num_considered_actions,
        qtransform=qtransform,
    )
    select = mctx.gumbel_muzero_interior_action_selection
    return root, functools.partial(select, qtransform=qtransform, depth=1)


def completed(config: SearchConfig) -> Any:
    """Q-values for all actions of a node, as the search with Gumbel compares them."""
    return functools.partial(
        mctx.qtransform_completed_by_mix_value,
        value_scale=config.value_scale,
        maxvisit_init=config.maxvisit_init,
        rescale_values=config.rescale_values,
    )


def policy(
    config: SearchConfig, num_simulations: int, explore: bool | Bool[Array, ""], **arguments: Any
) -> mctx.PolicyOutput:
    """The search of mctx with the settings of a config.

    Args:
      config: the search settings.
      num_simulations: nodes to visit.
      explore: whether to search with noise: Gumbel's, or Dirichlet's at the root.
      **arguments: those of every mctx policy.
    """
    if config.policy == "gumbel":
        return mctx.gumbel_muzero_policy(
            **arguments,
            num_simulations=num_simulations,
            qtransform=completed(config),
            max_num_considered_actions=config.max_num_considered_actions,
            gumbel_scale=config.gumbel_scale * explore,
        )
    return mctx.muzero_policy(
        **arguments,
        num_simulations=num_simulations,
        dirichlet_fraction=0.25 * explore,
        temperature=1.0 * explore,
    )
