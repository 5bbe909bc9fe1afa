"""All exact figures about one network: games, position sets, calibration."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from azdab.exact.oracle import Oracle
from azdab.game.board import Board
from azdab.learning import arena
from azdab.learning.arena import ArenaScore
from azdab.measure import calibration, judging, position_sets
from azdab.measure.calibration import Calibration
from azdab.measure.judging import Judgement, Quality
from azdab.measure.position_sets import PositionSet
from azdab.players import host_players, matches
from azdab.players.host_players import Act
from azdab.runs.networks import TrainedNetwork

RANDOM = "random mover"

SETS = ("random", "play", "noisy")
"""Position sets: random edge subsets, the engine against strong play, strong against noisy play."""

_USUAL_SIMULATIONS = 64  # the set `play` comes from games with these, or the next lower number


class Form(NamedTuple):
    """How much is measured.

    Attributes:
      simulations: the numbers of simulations to measure; 0 is the raw policy.
      positions: how many in each set.
      games: how many each setting plays against the strongest opponent; even.
      opening_plies: random plies before each game.
      seed: of everything random.
      chunk: how many positions the network is asked about at once.
    """

    simulations: tuple[int, ...]
    positions: int
    games: int
    opening_plies: int
    seed: int
    chunk: int


class Figures(NamedTuple):
    """Quality of moves: in all, by edges left and by phase."""

    all: Quality
    by_edges: dict[str, Quality]
    by_phase: dict[str, Quality]


class GameFigures(NamedTuple):
    """A setting's games against the strongest opponent.

    Attributes:
      games: number of games.
      flawless: share of the games in which no move lost boxes, as far as the truth is known.
      loss: boxes lost per game by those moves.
      score: the match's score, from the engine's side.
      moves: quality of the moves.
    """

    games: int
    flawless: float
    loss: float
    score: ArenaScore
    moves: Figures


class Report(NamedTuple):
    """Everything measured; settings are named by :func:`setting_name` or ``RANDOM``.

    Attributes:
      games: per setting.
      sets: per position set and setting.
      calibration: per position set, of the raw network; sets that are empty are left out.
    """

    games: dict[str, GameFigures]
    sets: dict[str, dict[str, Figures]]
    calibration: dict[str, Calibration]


class Watch(NamedTuple):
    """Functions that are told about progress.

    Attributes:
      stage: told the name of each stage and the network evaluations it will take.
      advance: told how many of them are done.
    """

    stage: Callable[[str, int], None]
    advance: Callable[[int], None]


def setting_name(simulations: int) -> str:
    """A setting in words."""
    return f"search {simulations}" if simulations else "raw policy"


def evaluations(board: Board, form: Form) -> int:
    """About how many network evaluations :func:`measure_network` takes."""
    asked = form.games * board.num_plies // 2 + len(SETS) * form.positions
    return asked * sum(count + 1 for count in form.simulations) + len(SETS) * form.positions


def figures(truth: Oracle, judgement: Judgement, edges: np.ndarray) -> Figures:
    """Sum up judgements of moves in the positions ``bool[N, E]``."""
    groups = judging.edge_groups(edges)
    labels = judging.edge_labels(truth.max_edges)
    phases = judging.phases_of(truth.board, edges)
    return Figures(
        judging.quality(judgement),
        judging.breakdown(judgement, groups, labels),
        judging.breakdown(judgement, phases, judging.PHASES),
    )


def figures_of_games(truth: Oracle, match: arena.MatchGames) -> GameFigures:
    """What A did in its games."""
    lost = judging.game_losses(truth, match)
    return GameFigures(
        games=len(lost.loss),
        flawless=float(np.mean(lost.loss == 0)),
        loss=float(lost.loss.mean()),
        score=arena.arena_score(match),
        moves=figures(truth, lost.judgement, lost.edges),
    )


def figures_of_set(truth: Oracle, chosen: PositionSet, act: Act, key: PRNGKeyArray) -> Figures:
    """What a player does in a set that is not empty."""
    no_history = np.zeros((len(chosen.edges), 0), np.int32)
    actions = act(key, position_sets.states_of_set(truth.board, chosen), no_history)
    judged = judging.judge(chosen.values, chosen.margin, actions)
    return figures(truth, judged, chosen.edges)


def _advance(watch: Watch, cost: int, moves: int) -> None:
    watch.advance(cost * moves)


def measure_network(trained: TrainedNetwork, truth: Oracle, form: Form, watch: Watch) -> Report:
    """Measure a network against the truth.

    Args:
      trained: the network.
      truth: what is known of its board.
      form: how much to measure.
      watch: told about progress.

    Raises:
      UserError: the openings leave no move to be measured.
    """
    board = trained.board
    matches.check_opening(board, form.opening_plies)
    seeds = [int(x >> 1) for x in np.random.SeedSequence(form.seed).generate_state(5)]
    key = jax.random.key(seeds[0])
    engines = {
        setting_name(count): host_players.of_network(
            trained, count, form.chunk, functools.partial(_advance, watch, count + 1)
        )
        for count in form.simulations
    }
    cost = {setting_name(count): count + 1 for count in form.simulations}
    below = [count for count in form.simulations if count <= _USUAL_SIMULATIONS]
    usual = setting_name(max(below, default=min(form.simulations)))

    games: dict[str, GameFigures] = {}
    candidates: dict[str, PositionSet] = {}
    opponent = host_players.strong(truth)
    openings = matches.random_openings(board, form.games // 2, form.opening_plies, seeds[1])
    for name, act in {RANDOM: host_players.random_player(board), **engines}.items():
        moves = form.games * board.num_plies // 2
        watch.stage(f"games, {name}", cost.get(name, 0) * moves)
        match = matches.play_pairs(board, (act, opponent), openings, key)
        games[name] = figures_of_games(truth, match)
        if name == usual:
            candidates["play"] = position_sets.from_match(
                truth, match, form.positions, seeds[2], only_a=True
            )

    watch.stage("positions", 0)
    candidates["random"] = position_sets.random_subsets(truth, form.positions, seeds[3])
    candidates["noisy"] = position_sets.noisy_play(truth, form.positions, seeds[4])
    sets: dict[str, dict[str, Figures]] = {}
    calibrations: dict[str, Calibration] = {}
    for set_name in SETS:
        chosen = candidates[set_name]
        if not len(chosen.edges):
            continue
        by_chance = judging.judge_random(chosen.values, chosen.margin)
        sets[set_name] = {RANDOM: figures(truth, by_chance, chosen.edges)}
        for name, act in engines.items():
            watch.stage(f"{set_name} positions, {name}", cost[name] * len(chosen.edges))
            sets[set_name][name] = figures_of_set(truth, chosen, act, key)
        watch.stage(f"{set_name} positions, calibration", len(chosen.edges))
        forecast = calibration.network_forecast(
            board,
            trained.config,
            trained.params,
            form.chunk,
            position_sets.states_of_set(board, chosen),
        )
        calibrations[set_name] = calibration.calibrate(
            forecast, chosen.margin, chosen.values.max(axis=-1)
        )
    return Report(games, sets, calibrations)
