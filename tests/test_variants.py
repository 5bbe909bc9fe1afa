"""Boards with lines drawn at the start, against the rules told again and minimax."""

import functools
import itertools
import json
from typing import Any, get_args

import jax
import numpy as np
import pytest
from hypothesis import given

from azdab.common.config import BoardConfig, config_from_dict, config_to_dict
from azdab.common.errors import UserError
from azdab.common.lattice import VARIANTS, Variant
from azdab.engine.engine import Engine
from azdab.engine.levels import Level
from azdab.exact import dense_table, oracle, solver
from azdab.game import exchange, record, rules, structure, symmetry
from azdab.game.board import Board, board_of, parse_board
from azdab.game.position import IllegalMoveError, Position
from azdab.game.record import Record
from azdab.lab import theory
from azdab.learning import agents, arena
from azdab.measure import judging, position_sets
from azdab.players import host_players, matches, registry
from azdab.terminal.protocol import Protocol
from azdab.web.sessions import HUMAN, HostedGame
from tests import common
from tests.test_position import lined, positions

SWEDISH, ICELANDIC = Board(3, 3, "swedish"), Board(3, 3, "icelandic")
SMALL = [
    Board(1, 2, "swedish"),
    Board(2, 3, "swedish"),
    SWEDISH,
    Board(1, 1, "icelandic"),
    Board(2, 2, "icelandic"),
    Board(3, 2, "icelandic"),
]
small = pytest.mark.parametrize("board", SMALL, ids=str)


def all_boards(side: int) -> list[Board]:
    """Every board of up to ``side`` rows and columns."""
    sizes = range(1, side + 1)
    found = [(r, c, v) for r in sizes for c in sizes for v in VARIANTS]
    return [Board(*parts) for parts in found if parts != (1, 1, "swedish")]


@functools.cache
def minimax(board: Board) -> common.Minimax:
    return common.Minimax(board)


def subsets(board: Board, count: int) -> np.ndarray:
    """Random sets of drawn edges with the start's among them, ``bool[count, E]``."""
    rng = np.random.default_rng(board.num_edges)
    edges = rng.random((count, board.num_edges)) < rng.random((count, 1))
    edges[:, sorted(common.start_lines(board))] = True
    edges[0] = board.start_mask()
    return edges[~edges.all(axis=1)]


def expected_values(board: Board, edges: np.ndarray) -> np.ndarray:
    """Action values by recursion, -128 where an edge is drawn."""
    values = np.full(edges.shape, -128)
    for row, drawn in zip(values, edges, strict=True):
        here = frozenset(common.indices(drawn))
        for edge in common.indices(~drawn):
            row[edge] = minimax(board).move_value(here, edge)
    return values


def test_boards_begin_with_their_lines() -> None:
    assert set(VARIANTS) == set(get_args(Variant))
    for board in all_boards(5):
        start = common.start_lines(board)
        assert board.start_edges == tuple(sorted(start))
        assert common.indices(board.start_mask()) == sorted(start)
        assert board.num_plies == board.num_edges - len(start)
        config = BoardConfig(board.rows, board.cols, board.variant)
        assert config.num_plies == board.num_plies
        assert parse_board(str(board)) == board
        assert common.indices(rules.init_state(board).edges) == sorted(start)
    assert len(set(all_boards(5))) == 25 * len(VARIANTS) - 1


@pytest.mark.parametrize(
    ("text", "board"),
    [
        ("5x5:swedish", Board(5, 5, "swedish")),
        (" 3X4:Icelandic ", Board(3, 4, "icelandic")),
        ("2x2:plain", Board(2, 2)),
    ],
)
def test_boards_are_read(text: str, board: Board) -> None:
    assert parse_board(text) == board


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5x5:finnish", "no board of kind 'finnish'.*plain, swedish, icelandic"),
        ("5x5:swedisch", "did you mean 'swedish'"),
        ("5x5:", "write rows and columns"),
        ("5x5 swedish", "write rows and columns"),
        ("1x1:swedish", "1x1 is too small for a board of kind swedish"),
        ("11x5:swedish", "at most 10x10"),
    ],
)
def test_other_boards_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        parse_board(text)
    assert "\n" not in str(refusal.value)


def test_a_run_names_its_board() -> None:
    config = config_from_dict({"board": {"rows": 3, "cols": 4, "start": "swedish"}})
    assert board_of(config) == Board(3, 4, "swedish")
    assert config.examples_per_game == 17
    old = config_to_dict(config)
    del old["board"]["start"]
    assert board_of(config_from_dict(old)) == Board(3, 4)
    with pytest.raises(UserError, match="board: 1x1 is too small"):
        config_from_dict({"board": {"rows": 1, "cols": 1, "start": "swedish"}})
    with pytest.raises(UserError, match=r"board\.start"):
        config_from_dict({"board": {"start": "finnish"}})


@pytest.mark.parametrize(
    "board", [Board(1, 2, "swedish"), SWEDISH, Board(3, 2, "icelandic")], ids=str
)
def test_games_follow_the_rules_told_again(board: Board) -> None:
    moves = common.random_games(board, 4, 20)
    states = common.positions_of(board, moves)
    assert moves.shape == (20, board.num_plies)
    for index in range(20):
        game, here = common.Game(board), Position(board)
        for ply in range(board.num_plies + 1):
            state = jax.tree.map(lambda x, i=index, p=ply: x[i, p], states)
            assert common.indices(state.edges) == common.indices(here.edges) == sorted(game.drawn)
            assert state.scores.tolist() == list(here.scores) == game.scores
            assert state.to_play == here.to_play == game.to_play
            assert here.is_over == rules.is_terminal(state) == (ply == board.num_plies)
            assert here.legal == sorted(set(range(board.num_edges)) - game.drawn)
            if not here.is_over:
                here = here.play(int(moves[index, ply]))
                game.draw(int(moves[index, ply]))
        assert sum(here.scores) == board.num_boxes


def test_lines_of_the_start_cannot_be_drawn() -> None:
    with pytest.raises(IllegalMoveError, match="h 0 0 is drawn already"):
        Position(SWEDISH).play("h 0 0")
    assert Position(ICELANDIC).play("h 0 0").undo() == Position(ICELANDIC)


@given(lined, common.seeds)
def test_a_line_less_is_a_turn_less(board: Board, seed: int) -> None:
    here = Position(board, tuple(common.random_games(board, seed, 1)[0].tolist()))
    turns = 1 + sum(a != b for a, b in itertools.pairwise(here.movers[:-1]))
    expected = (board.rows + 1) * (board.cols + 1) - len(common.start_lines(board))
    assert turns == expected + structure.double_crosses(here)


@pytest.mark.parametrize("board", [ICELANDIC, Board(3, 4, "icelandic"), Board(4, 4, "swedish")])
def test_the_long_chain_rule_knows_the_lines(board: Board) -> None:
    pytest.importorskip("numba")
    edges = theory.safe_play(board, board.num_plies, 200, seed=3, ends=True)
    known = oracle.search_oracle(board, board.num_plies)
    winner = np.sign(known.action_values(edges).max(axis=-1).astype(int))
    right = theory.rule_winner(board, edges) == winner
    # On the Swedish board no chain ends at the border: without junctions there are loops only.
    alone = theory.kinds(board, edges) == (1 if board.variant == "swedish" else 0)
    alone &= winner != 0  # where nobody wins, the rule has nobody to name
    assert alone.sum() > 10
    assert right[alone].all()


@small
def test_all_sources_of_exact_values_agree_with_minimax(board: Board) -> None:
    pytest.importorskip("numba")
    edges = subsets(board, 60)
    values = expected_values(board, edges)
    assert len(dense_table.solve_board(board).table) == 2**board.num_plies
    search = solver.Solver(board, table_bits=16)
    for drawn, expected in zip(edges, values, strict=True):
        assert search.value(drawn) == expected.max()
    for source in (
        oracle.table_oracle(board),
        oracle.search_oracle(board, board.num_plies),
        oracle.best_oracle(board, 4),
    ):
        assert source.known(edges).all()
        np.testing.assert_array_equal(source.action_values(edges), values)
    late = edges[(~edges).sum(axis=1) == min(4, board.num_plies)][:2]
    known = oracle.endgame_oracle(board, 4).action_values(late)
    np.testing.assert_array_equal(known, expected_values(board, late))


def test_a_board_is_solved_whole_if_few_edges_are_left_to_draw() -> None:
    assert oracle.can_solve(Board(4, 4, "swedish"))
    assert not oracle.can_solve(Board(4, 4, "icelandic"))
    assert oracle.best_oracle(SWEDISH, 4).max_edges == 12


@pytest.mark.parametrize(
    ("board", "count"),
    [
        (SWEDISH, 8),
        (Board(2, 3, "swedish"), 4),
        (ICELANDIC, 2),
        (Board(2, 3, "icelandic"), 1),
        (Board(1, 1, "icelandic"), 2),
    ],
    ids=str,
)
def test_symmetries_keep_the_lines(board: Board, count: int) -> None:
    assert board.num_symmetries == count
    edges = symmetry.edge_permutations(board)
    assert edges.shape == (count, board.num_edges)
    assert symmetry.box_permutations(board).shape == (count, board.num_boxes)
    start = board.start_mask()
    everything = symmetry.edge_permutations(Board(board.rows, board.cols))
    keeping = [perm.tolist() for perm in everything if (start[perm] == start).all()]
    assert edges.tolist() == keeping


@pytest.mark.parametrize("board", [SWEDISH, Board(2, 3, "icelandic")], ids=str)
def test_matches_last_as_long_as_the_board_says(board: Board) -> None:
    greedy, anything = agents.greedy_agent(board), agents.random_agent(board)
    play = functools.partial(arena.play_games, board, (greedy, anything), (None, None))
    games = jax.tree.map(np.asarray, jax.jit(play, static_argnums=(1, 2))(jax.random.key(1), 8, 3))
    act = (host_players.greedy_player(board), registry.make_player("chains-0", board).act)
    openings = matches.random_openings(board, 4, 3, seed=2)
    hosted = matches.play_pairs(board, act, openings, jax.random.key(3))
    for match in (games, hosted):
        assert match.actions.shape == (board.num_plies, 8)
        for index in range(8):
            plain = common.Game(board)
            for ply in range(board.num_plies):
                assert common.indices(match.states.edges[ply, index]) == sorted(plain.drawn)
                assert match.states.scores[ply, index].tolist() == plain.scores
                plain.draw(int(match.actions[ply, index]))
            seat = int(match.a_seat[index])
            assert match.margin[index] == plain.scores[seat] - plain.scores[1 - seat]
            moves = tuple(match.actions[:, index].tolist())
            assert Position(board, moves).is_over


@given(lined, common.seeds)
def test_openings_draw_what_is_open(board: Board, seed: int) -> None:
    openings = matches.random_openings(board, 5, board.num_edges, seed)
    expected = sorted(set(range(board.num_edges)) - common.start_lines(board))
    assert np.sort(openings, axis=1).tolist() == [expected] * 5


def test_phases_and_sets_know_the_lines() -> None:
    first = SWEDISH.start_mask()[None]
    assert judging.phases_of(SWEDISH, first).tolist() == [0]
    board = Board(3, 2, "icelandic")
    chosen = position_sets.random_subsets(oracle.table_oracle(board), 50, seed=1)
    assert len(chosen.edges) == 50
    assert chosen.edges[:, board.start_edges].all()


@given(positions(lined))
def test_records_keep_the_board(position: Position) -> None:
    text = record.record_text(Record(position))
    assert f"board: {position.board.rows}x{position.board.cols}:{position.board.variant}\n" in text
    assert exchange.parse_games(text) == [Record(position)]
    for form in ("ccgc", "openspiel"):
        with pytest.raises(UserError) as refusal:
            exchange.dump_game(Record(position), form)
        assert "\n" not in str(refusal.value)


def test_formats_of_others_refuse_the_lines() -> None:
    with pytest.raises(UserError, match="OpenSpiel has no lines drawn at the start"):
        exchange.parse_games("[0, 1]", SWEDISH)
    with pytest.raises(UserError, match="plays on 5x5, not on 5x5:swedish"):
        exchange.dump_game(Record(Position(Board(5, 5, "swedish"))), "ccgc")
    pytest.importorskip("pyspiel")
    with pytest.raises(UserError, match="player 'mcts': OpenSpiel has no lines"):
        registry.make_player("mcts", SWEDISH)


@pytest.mark.parametrize("where", [SWEDISH, "3x3"], ids=str)
def test_a_network_of_plain_boards_plays(where: Any) -> None:
    engine = Engine.load(where, Level(16, 6), board=SWEDISH)
    assert engine.board == SWEDISH
    assert engine.trained is not None
    here = Position(SWEDISH)
    value = minimax(SWEDISH).value(frozenset(SWEDISH.start_edges))
    assert engine.analyze(here).exact == value
    while not here.is_over:
        here = here.play(engine.choose(here))
    assert here.lead == value
    unaided = Engine.load(where, Level(16, 0), board=SWEDISH)
    assert unaided.choose(Position(SWEDISH)) in Position(SWEDISH).legal


def test_a_network_of_another_size_does_not() -> None:
    with pytest.raises(UserError, match="4x4 plays on 4x4, not on 3x3:swedish"):
        Engine.load("4x4", board=SWEDISH)
    with pytest.raises(UserError, match="plays on 3x3, not on 2x3:swedish"):
        registry.make_player("network:checkpoint=3x3", Board(2, 3, "swedish"))


def test_programs_play_over_the_protocol() -> None:
    talk = Protocol(lambda board, level: Engine.load(board, Level(0, 6)), Board(3, 3), None)
    assert talk.answer("board 3x3:icelandic") == "=\n\n"
    legal = str(talk.answer("legal")).split("\n")
    assert len(legal) == 18 + 2
    assert json.loads(str(talk.answer("state"))[2:])["board"] == "3x3:icelandic"
    assert str(talk.answer("genmove"))[2:].strip() in str(legal)
    assert str(talk.answer("board 1x1:swedish")).startswith("? 1x1 is too small")


def test_pages_are_told_the_lines() -> None:
    game = HostedGame("x", Record(Position(SWEDISH)), (HUMAN, HUMAN))
    board = json.loads(json.dumps(game.state()))["board"]
    start = sorted(common.start_lines(SWEDISH))
    assert board == {"rows": 3, "cols": 3, "variant": "swedish", "start": start}
