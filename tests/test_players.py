"""Named players: legal, honest about what they promise, and ordered by strength."""

import dataclasses
import functools
import itertools
import re
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyspiel
import pytest
from hypothesis import given, settings

from azdab.common.errors import UserError
from azdab.devices import mesh
from azdab.engine.handwritten import ChainPlayer
from azdab.exact import dense_table
from azdab.game import rules
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.players import host_players, matches, ratings, registry
from azdab.players.registry import Player
from azdab.runs import networks
from tests import common

BOARD = Board(2, 3)
HANDMADE = [
    "random",
    "greedy",
    "greedy-min",
    "chains-0",
    "chains-6",
    "alphabeta:nodes=300",
    "mcts:simulations=20",
]
TRAINED = ["network", "search:simulations=2"]


def untrained(name: str = "") -> networks.TrainedNetwork:
    return common.untrained(BOARD)


@functools.cache
def player(spec: str, board: Board = BOARD) -> Player:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_players, "shared_network", untrained)
        patch.setattr(networks, "resolve", lambda name, runs: Path(name))
        return registry.make_player(spec, board, "untrained")


def positions(seed: int, count: int, num_open: int, board: Board = BOARD) -> Any:
    """Random positions with so many edges left, and the moves that led to them."""
    games = common.random_games(board, seed, count).astype(np.int32)
    ply = board.num_edges - num_open
    states: State = jax.tree.map(lambda x: x[:, ply], common.positions_of(board, games))
    return states, games[:, :ply]


def moves(spec: str, states: State, history: np.ndarray, seed: int = 0) -> list[int]:
    actions = player(spec).act(jax.random.key(seed), states, history)
    assert actions.dtype == np.int32
    found: list[int] = actions.tolist()
    return found


def closes(drawn: frozenset[int], edge: int, board: Board = BOARD) -> int:
    return common.Minimax(board).closed_by(drawn, edge)


@pytest.mark.parametrize("spec", HANDMADE + TRAINED)
def test_moves_are_legal_and_the_same_for_the_same_key(spec: str) -> None:
    for num_open, count in ((17, 3), (11, 20), (6, 5), (1, 2)):
        states, history = positions(num_open, count, num_open)
        played = moves(spec, states, history)
        assert len(played) == count
        for (drawn, _, _), move in zip(common.each(states), played, strict=True):
            assert move in set(range(BOARD.num_edges)) - drawn
        assert moves(spec, states, history) == played


@pytest.mark.parametrize("spec", ["random", "greedy", "greedy-min", "chains-0", "alphabeta"])
def test_ties_are_broken_at_random(spec: str) -> None:
    states, history = positions(0, 40, BOARD.num_edges)
    first = moves(spec, states, history)
    assert len(set(first)) > 1
    assert moves(spec, states, history, seed=1) != first


@given(common.seeds)
def test_the_textbook_greedy_plays_any_box_else_any_safe_edge_else_anything(seed: int) -> None:
    states, history = positions(seed, 1, seed % 14 + 1)
    many = jax.tree.map(lambda x: np.repeat(x, 300, axis=0), states)
    ((drawn, _, _),) = common.each(states)
    legal = set(range(BOARD.num_edges)) - drawn
    closing = {edge for edge in legal if closes(drawn, edge)}
    safe = {edge for edge in legal if not common.run_of_captures(BOARD, drawn | {edge})}
    played = moves("greedy", many, np.repeat(history, 300, axis=0))
    assert set(played) == (closing or safe or legal)


@settings(max_examples=10)
@given(common.seeds)
def test_the_frugal_greedy_gives_away_as_little_as_possible(seed: int) -> None:
    states, history = positions(seed, 8, seed % 10 + 2)
    for spec in ("greedy-min", "chains-0"):
        for (drawn, _, _), move in zip(
            common.each(states), moves(spec, states, history), strict=True
        ):
            legal = set(range(BOARD.num_edges)) - drawn
            if any(closes(drawn, edge) for edge in legal):
                assert spec == "chains-0" or closes(drawn, move)
            else:
                given_away = {e: common.run_of_captures(BOARD, drawn | {e}) for e in legal}
                assert given_away[move] == min(given_away.values())


def losses(spec: str, states: State, history: np.ndarray) -> np.ndarray:
    """Boxes lost by each move against perfect play."""
    values = np.asarray(dense_table.exact_values(common.solved(BOARD), states.edges))
    chosen = values[np.arange(len(values)), moves(spec, states, history)]
    lost: np.ndarray = values.max(axis=1) - chosen
    return lost


@pytest.mark.parametrize("num_open", [1, 5, 9, 12])
def test_chains_is_exact_with_few_edges_left(num_open: int) -> None:
    states, history = positions(num_open, 60, num_open)
    assert losses("chains-12", states, history).max() == 0


def test_chains_is_not_exact_with_more_edges_left() -> None:
    states, history = positions(3, 60, 13)
    assert losses("chains-12", states, history).max() > 0


@pytest.mark.parametrize("num_open", [1, 6, 10, 14, 17])
def test_alphabeta_with_enough_nodes_is_exact(num_open: int) -> None:
    states, history = positions(num_open, 20, num_open)
    assert losses("alphabeta:nodes=1000000", states, history).max() == 0


def test_alphabeta_plays_better_with_more_nodes() -> None:
    states, history = positions(7, 100, 14)
    lost = [losses(f"alphabeta:nodes={n}", states, history).mean() for n in (20, 300)]
    assert lost[1] < lost[0]


def rule_game(board: Board, drawn: list[int], first: int) -> list[int]:
    """The rule player's moves, as long as it is its turn, after ``first`` is drawn."""
    plain = common.Game(board)
    for edge in drawn:
        plain.draw(edge)
    plain.draw(first)
    mover = plain.to_play
    played = []
    while plain.to_play == mover and len(plain.drawn) < board.num_edges:
        (move, *_) = ChainPlayer(board).choices(set(range(board.num_edges)) - plain.drawn)
        plain.draw(move)
        played.append(move)
    return played


def chain(board: Board, row: int, length: int) -> set[int]:
    """The open edges of a chain from the left border along a row, back out below or right."""
    end = board.vertical(row, length)
    if length < board.cols:
        assert row == board.rows - 1
        end = board.horizontal(row + 1, length - 1)
    return {board.vertical(row, col) for col in range(length)} | {end}


def all_but(board: Board, *groups: set[int]) -> list[int]:
    return sorted(set(range(board.num_edges)).difference(*groups))


def test_the_rule_player_leaves_two_boxes_of_a_chain_to_keep_control() -> None:
    board = Board(2, 5)
    played = rule_game(
        board, all_but(board, chain(board, 0, 5), chain(board, 1, 5)), board.vertical(0, 0)
    )
    # Three boxes, then the edge behind the last of the two that stay.
    assert played == [board.vertical(0, col) for col in (1, 2, 3, 5)]


def test_the_rule_player_takes_all_of_the_last_chain() -> None:
    board = Board(1, 5)
    played = rule_game(board, all_but(board, chain(board, 0, 5)), board.vertical(0, 0))
    assert played == [board.vertical(0, col) for col in (1, 2, 3, 4, 5)]


def test_the_rule_player_does_not_pay_two_boxes_for_control_of_two() -> None:
    board = Board(2, 5)
    played = rule_game(
        board, all_but(board, chain(board, 0, 5), chain(board, 1, 2)), board.vertical(0, 0)
    )
    assert played[:5] == [board.vertical(0, col) for col in (1, 2, 3, 4, 5)]
    # Then it must open the chain of two, and does so in its middle.
    assert played[5] == board.vertical(1, 1)


@pytest.mark.parametrize("rest", [4, 8])
def test_the_rule_player_leaves_four_boxes_of_a_loop_to_keep_control(rest: int) -> None:
    board = Board(3, 8)
    # A loop of 2 x 2 boxes in the upper left, a chain in the last row, all else drawn.
    inner = {
        board.horizontal(1, 0),
        board.horizontal(1, 1),
        board.vertical(0, 1),
        board.vertical(1, 1),
    }
    drawn = all_but(board, inner, chain(board, 2, rest))
    first = board.horizontal(1, 0)
    played = rule_game(board, drawn, first)
    if rest == 4:  # worth four boxes at most: not more than the four of the loop
        assert set(played[:3]) == inner - {first}
    else:
        # The opposite edge leaves two pairs of boxes.
        assert played == [board.horizontal(1, 1)]


def test_the_rule_players_choices_are_legal_wherever_it_may_be() -> None:
    for board, seed in itertools.product((Board(1, 1), Board(1, 4), Board(3, 3)), range(40)):
        rng = np.random.default_rng(seed)
        edges = rng.permutation(board.num_edges)[: rng.integers(1, board.num_edges + 1)]
        open_edges = set(edges.tolist())
        choices = ChainPlayer(board).choices(open_edges)
        assert choices
        assert set(choices) <= open_edges


@given(common.seeds)
def test_openspiel_positions_are_rebuilt_from_the_history(seed: int) -> None:
    game = pyspiel.load_game("dots_and_boxes(num_rows=2,num_cols=3,utility_margin=True)")
    states, history = positions(seed, 4, seed % 17)
    for (drawn, mover, lead), past in zip(common.each(states), history, strict=True):
        state = host_players.openspiel_state(game, past)
        if len(drawn) == BOARD.num_edges:
            assert state.is_terminal()
            assert state.returns()[mover] == lead
        else:
            assert state.current_player() == mover
            assert set(state.legal_actions()) == set(range(BOARD.num_edges)) - drawn


def test_mcts_finds_the_win_in_short_endgames() -> None:
    minimax = common.Minimax(BOARD)
    states, history = positions(5, 40, 5)
    decisive = 0
    played = moves("mcts:simulations=500", states, history)
    for (drawn, _, lead), move in zip(common.each(states), played, strict=True):
        legal = set(range(BOARD.num_edges)) - drawn
        results = {e: np.sign(lead + minimax.move_value(drawn, e)) for e in legal}
        assert results[move] == max(results.values())
        decisive += len(set(results.values())) > 1
    assert decisive > 3


def engine(patch: pytest.MonkeyPatch, asked: list[int], **options: int) -> host_players.Act:
    """An engine whose search draws the last open edge and tells how often it is asked."""

    def searched(board: Board, *, checkpoint: str, simulations: int) -> host_players.Act:
        def act(key: jax.Array, states: State, history: np.ndarray) -> np.ndarray:
            asked.append(len(states.to_play))
            assert [set(past) for past in history.tolist()] == [
                set(drawn) for drawn, _, _ in common.each(states)
            ]
            last: np.ndarray = board.num_edges - 1 - np.argmin(states.edges[:, ::-1], axis=1)
            return last.astype(np.int32)

        return act

    patch.setattr(host_players, "search_player", searched)
    return host_players.engine_player(BOARD, checkpoint="", **options)


def test_the_engine_is_exact_within_its_horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    act = engine(monkeypatch, asked, edges=8)
    states, history = positions(1, 40, 8)
    actions = act(jax.random.key(0), states, history)
    values = np.asarray(dense_table.exact_values(common.solved(BOARD), states.edges))
    np.testing.assert_array_equal(values[np.arange(40), actions], values.max(axis=1))
    assert not asked


@pytest.mark.parametrize(("edges", "nodes"), [(8, 10**6), (9, 1)])
def test_the_engine_searches_beyond_its_horizon_and_where_the_solver_gives_up(
    edges: int, nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    act = engine(monkeypatch, asked, edges=edges, nodes=nodes)
    states, history = positions(1, 40, 9)
    actions = act(jax.random.key(0), states, history)
    assert len(asked) == 1  # all positions in one call
    if nodes > 1:
        assert asked == [40]
    last = BOARD.num_edges - 1 - np.argmin(states.edges[:, ::-1], axis=1)
    assert np.sum(actions == last) >= asked[0] > 10


@pytest.mark.parametrize(
    ("better", "worse"),
    [("greedy", "random"), ("greedy-min", "greedy"), ("chains-0", "greedy-min")],
)
def test_each_baseline_beats_the_one_before(better: str, worse: str) -> None:
    board = Board(4, 4)
    pair = (registry.make_player(better, board), registry.make_player(worse, board))
    score = matches.play_match(board, pair, games=60, opening_plies=4, seed=0).score()
    low, _ = ratings.wilson(score.rate, score.games)
    assert low > 0.5


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("greedi", "unknown player 'greedi'; did you mean 'greedy'?; the players are: random, "),
        ("chains:depth=3", "player 'chains:depth=3' has no option 'depth'; its options are: exact"),
        ("random:x=1", "player 'random:x=1' has no option 'x'; its options are: none"),
        ("mcts:simulation=5", "did you mean 'simulations'?"),
        ("mcts:simulations=many", "simulations must be an integer, got 'many'"),
        ("mcts:uct_c=many", "uct_c must be a number, got 'many'"),
        ("mcts:simulations=0", "simulations must be at least 1, got 0"),
        ("mcts:simulations", "write options as 'option=value', not 'simulations'"),
        ("mcts:simulations=1,simulations=2", "'simulations' stands there twice"),
        ("network:checkpoint=a,b", "a value with a comma stands between double quotes"),
        ('network:checkpoint="a', "write options as"),
        ("alphabeta:nodes=0", "nodes must be at least 1"),
        ("chains:exact=-1", "exact must be at least 0"),
        ("network", "needs a network: add checkpoint=PATH"),
        ("search:checkpoint=/nowhere", "no checkpoint '/nowhere'"),
    ],
)
def test_mistakes_in_a_specification_are_named_in_one_line(spec: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        registry.make_player(spec, BOARD)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("search:checkpoint=a=b,simulations=4", {"checkpoint": "a=b", "simulations": "4"}),
        ('search:checkpoint="a,b",simulations=4', {"checkpoint": "a,b", "simulations": "4"}),
        (r'network:checkpoint="a\"b\\"', {"checkpoint": 'a"b\\'}),
        ('network:checkpoint="[/x] y"', {"checkpoint": "[/x] y"}),
        ("network:checkpoint=runs/[x]", {"checkpoint": "runs/[x]"}),
        ("chains-24", {"exact": "24"}),
        ("chains:exact=24", {"exact": "24"}),
        ("greedy", {}),
    ],
)
def test_words_for_players_are_read(spec: str, options: dict[str, str]) -> None:
    name, found = registry.parse_player(spec)
    assert name == re.split("[:-]", spec)[0]
    assert found == options


def test_a_network_is_looked_for_where_runs_live(tmp_path: Path) -> None:
    name = "a, b=[c]*"
    networks.export_network(untrained(), tmp_path / name, "")
    found = registry.make_player(f'network:checkpoint="{name}"', BOARD, runs=tmp_path)
    assert found.name == f'network:checkpoint="{name}"'
    with pytest.raises(UserError, match="no checkpoint 'a, b="):
        registry.make_player(f'network:checkpoint="{name}"', BOARD)


def test_the_best_network_is_that_of_now(tmp_path: Path) -> None:
    found = []
    for filters in (8, 16):
        trained = untrained()
        config = dataclasses.replace(
            trained.config, network=dataclasses.replace(trained.config.network, filters=filters)
        )
        params = common.init_params(jax.random.key(0), BOARD, config.network)
        networks.export_network(
            networks.TrainedNetwork(BOARD, config, params, filters), tmp_path / f"run-{filters}", ""
        )
        path = networks.resolve("best", tmp_path)
        found.append(host_players.shared_network(str(path)).config.network.filters)
    assert found == [8, 16]


@pytest.mark.parametrize("spec", ["alphabeta", "chains"])
def test_boards_that_are_too_large_are_refused(spec: str) -> None:
    with pytest.raises(UserError, match="64 dots"):
        registry.make_player(spec, Board(8, 8))
    assert registry.make_player("chains-0", Board(8, 8)).name == "chains-0"


def test_a_network_for_another_board_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_players, "shared_network", untrained)
    monkeypatch.setattr(networks, "resolve", lambda name, runs: Path(name))
    with pytest.raises(UserError, match="plays on 2x3, not on 3x3"):
        registry.make_player("network:checkpoint=x", Board(3, 3))


@pytest.mark.parametrize(
    ("spec", "module", "package"),
    [
        ("alphabeta", "azdab.exact.alphabeta", "numba"),
        ("chains", "azdab.exact.solver", "numba"),
        ("mcts", "pyspiel", "OpenSpiel"),
    ],
)
def test_a_missing_library_is_named(
    spec: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    if "." in module:  # imported by an earlier test, it is an attribute of its room
        monkeypatch.delattr(module, raising=False)
    with pytest.raises(UserError, match=f"player '{spec}': needs {package}.*pip install"):
        registry.make_player(spec, BOARD)


def test_every_player_is_described() -> None:
    described = dict(line.split(": ", 1) for line in registry.describe_players().splitlines())
    assert list(described) == list(registry.PLAYERS)
    assert "simulations=1000" in described["mcts"]


def test_random_choices_are_among_the_choices() -> None:
    choices = np.eye(5, dtype=bool)
    picked = rules.random_choices(np.random.default_rng(0), choices)
    assert picked.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("spec", ["random", "search:simulations=2"])
def test_moves_do_not_depend_on_the_number_of_devices(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    states, history = positions(3, 70, 9)
    several = moves(spec, states, history)
    assert len(jax.devices()) > 1
    monkeypatch.setattr(mesh, "all_devices", common.one_device)
    player.cache_clear()
    assert moves(spec, states, history) == several
    player.cache_clear()
