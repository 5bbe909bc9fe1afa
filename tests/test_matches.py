"""Matches on the host: fair openings, swapped sides, interruption, and the command line."""

import functools
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from rich.console import Console

from azdab.common import cli
from azdab.common.config import Config
from azdab.common.errors import UserError
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.measure import tournament
from azdab.players import matches, registry
from azdab.players.matches import Match
from azdab.players.ratings import Sprt
from azdab.players.registry import Player
from azdab.runs import networks
from tests import common

BOARD = Board(2, 2)


def lowest(key: jax.Array, states: State, history: np.ndarray) -> np.ndarray:
    """Draws the first open edge; nothing is random."""
    return np.argmin(states.edges, axis=1).astype(np.int32)


def highest(key: jax.Array, states: State, history: np.ndarray) -> np.ndarray:
    """Draws the last open edge."""
    reverse = np.asarray(states.edges)[:, ::-1]
    return (BOARD.num_edges - 1 - np.argmin(reverse, axis=1)).astype(np.int32)


def player(name: str) -> Player:
    own = {"lowest": lowest, "highest": highest}
    return Player(name, own[name]) if name in own else registry.make_player(name, BOARD)


def play(a: Player, b: Player, **arguments: Any) -> Match:
    settings: dict[str, Any] = {"games": 16, "opening_plies": 3, "seed": 0, **arguments}
    return matches.play_match(BOARD, (a, b), **settings)


@functools.cache
def greedy_match(seed: int = 0) -> Match:
    return play(player("greedy"), player("random"), seed=seed, games=24)


def test_games_follow_the_rules_and_margins_are_as_a() -> None:
    played = greedy_match()
    for index, (actions, margin) in enumerate(zip(played.actions, played.margin, strict=True)):
        plain = common.Game(BOARD)
        for action in actions.tolist():
            plain.draw(action)
        seat = index % 2
        assert margin == plain.scores[seat] - plain.scores[1 - seat]


@pytest.mark.parametrize("opening", [0, 3])
def test_pairs_share_random_openings_and_the_player_to_move_moves(opening: int) -> None:
    played = play(player("lowest"), player("highest"), opening_plies=opening)
    openings = played.actions[:, :opening]
    np.testing.assert_array_equal(openings[0::2], openings[1::2])
    if opening:
        assert len(np.unique(openings, axis=0)) > 4
    for index, actions in enumerate(played.actions):
        plain = common.Game(BOARD)
        for ply, action in enumerate(actions.tolist()):
            if ply >= opening:
                left = sorted(set(range(BOARD.num_edges)) - plain.drawn)
                assert action == (left[0] if plain.to_play == index % 2 else left[-1])
            plain.draw(action)


def test_players_are_asked_for_their_own_moves_with_the_history() -> None:
    asked = []

    def act(key: jax.Array, states: State, history: np.ndarray) -> np.ndarray:
        plies = history.shape[1]
        for (drawn, mover, lead), past in zip(common.each(states), history.tolist(), strict=True):
            plain = common.Game(BOARD)
            for action in past:
                plain.draw(action)
            assert (frozenset(plain.drawn), plain.to_play, plain.lead) == (drawn, mover, lead)
            assert len(past) == plies
        asked.append(plies)
        return lowest(key, states, history)

    played = play(Player("a", act), player("lowest"))
    assert set(asked) == set(range(3, BOARD.num_edges))
    # Nothing but the side depends on who plays: the pairs cancel.
    np.testing.assert_array_equal(played.margin[0::2], -played.margin[1::2])


def test_the_same_seed_gives_the_same_games_and_another_gives_others() -> None:
    again = play(player("greedy"), player("random"), seed=0, games=24)
    np.testing.assert_array_equal(greedy_match().actions, again.actions)
    np.testing.assert_array_equal(greedy_match().margin, again.margin)
    assert (greedy_match(1).actions != again.actions).any()


def test_games_without_luck_do_not_depend_on_the_batch() -> None:
    whole, parts = (play(player("lowest"), player("highest"), batch=batch) for batch in (16, 6))
    np.testing.assert_array_equal(whole.actions, parts.actions)
    np.testing.assert_array_equal(whole.margin, parts.margin)


def test_openings_leave_a_move_to_be_chosen() -> None:
    most = BOARD.num_edges - 1
    play(player("lowest"), player("highest"), opening_plies=most, games=2)
    for plies in (BOARD.num_edges, 99, -1):
        with pytest.raises(UserError, match=f"must be less than the 12 edges, got {plies}"):
            play(player("lowest"), player("highest"), opening_plies=plies)
    for wrong in ({"games": 0}, {"games": 3}, {"batch": 0}, {"batch": 5}):
        with pytest.raises(UserError, match="must be even and at least 2"):
            play(player("lowest"), player("highest"), **wrong)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda states: np.full(len(states.to_play), 3.9), r"returned float64\[\d\] instead of"),
        (lambda states: np.int32(1), r"returned int32\[\] instead of int32\[\d\]"),
        (lambda states: np.full(len(states.to_play), 12), "chose 12, and the edges are 0 to 11"),
        (lambda states: np.argmax(states.edges, axis=1), "which is drawn already"),
    ],
)
def test_what_a_player_returns_is_looked_at(answer: Any, reason: str) -> None:
    wrong = Player("wrong", lambda key, states, history: answer(states))
    played = play(player("lowest"), wrong, games=4, opening_plies=2)
    assert [lost.player for lost in played.forfeits] == [1] * 4
    assert all(re.search(reason, lost.reason) for lost in played.forfeits)
    assert played.margin.tolist() == [4] * 4
    assert "4 forfeited" in tournament.match_line(played)
    pair = (player("lowest").act, wrong.act)
    with pytest.raises(UserError, match=rf"player B at ply \d+: it .*{reason}"):
        matches.play_pairs(BOARD, pair, played.actions[:1, :2], jax.random.key(0))


def test_progress_adds_up_to_the_games() -> None:
    done: list[float] = []
    play(player("lowest"), player("highest"), batch=6, advance=done.append)
    assert sum(done) == pytest.approx(16)
    assert len(done) == 3 * BOARD.num_edges


def interrupting(after: int) -> Player:
    """A player during whose move Ctrl-C is pressed."""
    calls = iter(range(after))

    def act(key: jax.Array, states: State, history: np.ndarray) -> np.ndarray:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return lowest(key, states, history)

    return Player("interrupting", act)


def test_an_interrupted_match_keeps_the_finished_batches() -> None:
    whole = play(player("lowest"), player("lowest"), batch=4)
    played = play(interrupting(20), player("lowest"), batch=4)
    assert played.interrupted
    assert 4 <= len(played.margin) < 16
    assert len(played.margin) % 4 == 0
    np.testing.assert_array_equal(played.margin, whole.margin[: len(played.margin)])


def test_a_match_interrupted_in_its_first_batch_is_none() -> None:
    with pytest.raises(KeyboardInterrupt):
        play(interrupting(2), player("lowest"))


@pytest.mark.parametrize(("a", "decision"), [("chains-12", "elo1"), ("random", "elo0")])
def test_a_sequential_test_ends_the_match(a: str, decision: str) -> None:
    b = "random" if a != "random" else "chains-12"
    played = play(player(a), player(b), games=400, batch=20, sprt=Sprt(0, 100))
    assert played.decision == decision
    assert 20 <= len(played.margin) < 400


def test_a_round_robin_ranks_the_players() -> None:
    names = ["random", "chains-12", "greedy"]
    reported: list[Match] = []
    result = matches.round_robin(
        BOARD,
        [player(name) for name in names],
        games=40,
        opening_plies=2,
        seed=0,
        report=reported.append,
    )
    assert result.names == names
    assert sorted(result.matches) == [(0, 1), (0, 2), (1, 2)]
    assert [match.names for match in reported] == [
        ("random", "chains-12"),
        ("random", "greedy"),
        ("chains-12", "greedy"),
    ]
    order = [names[i] for i in np.argsort(result.ratings.elo)]
    assert order == ["random", "greedy", "chains-12"]
    assert not result.interrupted
    openings = [match.actions[:, :2] for match in reported]
    assert (openings[0] != openings[1]).any()


def test_an_interrupted_round_robin_keeps_the_finished_matches() -> None:
    contestants = [player("lowest"), player("highest"), interrupting(0)]
    result = matches.round_robin(BOARD, contestants, games=8, opening_plies=2, seed=0)
    assert result.interrupted
    assert list(result.matches) == [(0, 1)]
    assert np.isfinite(result.ratings.elo).all()
    with pytest.raises(KeyboardInterrupt):
        matches.round_robin(BOARD, contestants[1:], games=8, opening_plies=2, seed=0)


def parse(*words: str) -> tournament.MatchOptions:
    parser = cli.Parser(overrides=False, prog="test")
    parser.add_argument("--games", type=cli.even(2))
    parser.add_argument("--opening-plies", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--runs", type=Path, default="runs")
    tournament.add_match_options(parser)
    return cli.typed(tournament.MatchOptions, parser.parse(list(words))[0])


def run(*words: str) -> str:
    output = io.StringIO()
    tournament.run_from_options(parse(*words), None, Console(file=output, width=120))
    return output.getvalue()


def test_a_match_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "match.json"
    shown = run(
        *("--match", "greedy", "random", "--board", "2x2", "--games", "24", "--seed", "5"),
        *("--json", str(path)),
    )
    assert "greedy against random" in shown
    values = json.loads(path.read_text(encoding="utf-8"))
    (found,) = values["matches"]
    assert found["players"] == ["greedy", "random"]
    assert found["wins"] + found["draws"] + found["losses"] == found["games"] == 24
    assert f"{found['wins']}, {found['draws']}, {found['losses']}" in shown
    assert f"{found['rate']:.1%}" in shown
    assert values["board"] == [2, 2]
    assert values["seed"] == 5
    assert not values["interrupted"]


def test_forfeits_are_counted_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "match.json"
    bad = "custom:agent=tests.test_choosers.Answers"  # answers None as the second player
    shown = run("--match", bad, "random", "--board", "2x2", "--games", "14", "--json", str(path))
    lines = [line for line in shown.splitlines() if "forfeits game" in line]
    assert len(lines) == 5
    assert all("it chose None, which is no whole number." in line for line in lines)
    assert "2 more games were forfeited." in shown
    (found,) = json.loads(path.read_text(encoding="utf-8"))["matches"]
    assert len(found["forfeits"]) == 7
    assert found["forfeits"][0].keys() == {"game", "player", "ply", "reason"}
    assert found["losses"] >= 7


def test_two_games_are_too_few_to_tell() -> None:
    shown = run("--tournament", "greedy", "random", "--board", "2x2", "--games", "2")
    assert re.search(r"[<>] [+-]\d+|[+-]\d+ to [+-]\d+|too few games", shown)


def test_a_tournament_on_the_command_line_with_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    table, picture = tmp_path / "all.json", tmp_path / "all.png"
    shown = run(
        *("--tournament", "random", "greedy", "chains-12", "--board", "2x2", "--games", "20"),
        *("--json", str(table), "--plot", str(picture)),
    )
    values = json.loads(table.read_text(encoding="utf-8"))
    assert len(values["matches"]) == 3
    ranked = [values["players"][i] for i in np.argsort(values["ratings"]["elo"])[::-1]]
    rows = [shown.index(f"{place}. {name}") for place, name in enumerate(ranked, start=1)]
    assert rows == sorted(rows)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_sequential_test_on_the_command_line() -> None:
    shown = run(
        *("--match", "chains-12", "random", "--board", "2x2", "--games", "400"),
        *("--batch", "20", "--sprt", "0", "100"),
    )
    assert "sequential test accepts" in shown
    assert "elo1" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--match", "greedy", "random"], "say on which --board"),
        (["--match", "greedy", "randon", "--board", "2x2"], "did you mean 'random'?"),
        (["--tournament", "greedy", "--board", "2x2"], "at least two players"),
        (
            ["--match", "greedy", "random", "--board", "2x2", "--sprt", "5", "5"],
            "--sprt needs ELO0 below ELO1, got 5 5",
        ),
        (
            ["--match", "greedy", "random", "--board", "2x2", "--opening-plies", "12"],
            "--opening-plies must be less than the 12 edges",
        ),
    ],
)
def test_mistakes_are_named_in_one_line(words: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        run(*words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--board", "2"], "argument --board: write rows and columns"),
        (["--board", "0x2"], "argument --board: write rows and columns"),
        (["--games", "7"], "argument --games: must be even"),
        (["--batch", "0"], "argument --batch: must be a whole number from 2 to 1000000"),
        (["--batch", "5"], "argument --batch: must be even"),
        (["--sprt", "0", "nan"], "argument --sprt: must be a number from -2000 to 2000, got 'nan'"),
        (["--sprt", "inf", "0"], "argument --sprt: must be a number from -2000 to 2000"),
        (["--sprt", "0", "1e308"], "argument --sprt: must be a number from -2000 to 2000"),
    ],
)
def test_wrong_values_are_named_by_their_option(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        parse("--match", "greedy", "random", *words)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_the_board_is_that_of_the_first_network(monkeypatch: pytest.MonkeyPatch) -> None:
    boards = {"given": Board(2, 3), "first": Board(3, 3), "second": Board(4, 4)}

    def trained(path: Path) -> networks.TrainedNetwork:
        return networks.TrainedNetwork(boards[str(path)], Config(), None, 0)

    monkeypatch.setattr(networks, "load_network", trained)
    monkeypatch.setattr(networks, "resolve", lambda name, runs: Path(name))
    specs = ["random", 'search:simulations=4,checkpoint="first"', "network:checkpoint=second"]
    assert tournament.board_of_match(None, specs, None) == boards["first"]
    assert tournament.board_of_match(None, specs, "given") == boards["given"]
    assert tournament.board_of_match(Board(4, 2), specs, "given") == Board(4, 2)


def test_pictures_are_of_a_known_kind_and_hold_any_name(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(UserError, match=r"pictures end with one of .*png.*; got .*all\.jpq"):
        run("--match", "greedy", "random", "--board", "2x2", "--plot", str(tmp_path / "all.jpq"))
    players = [Player("$a^$", player("greedy").act), Player("b_$", lowest)]
    result = matches.round_robin(BOARD, players, games=2, opening_plies=0, seed=0)
    for name, start in (("all", b"\x89PNG"), ("all.svg", b"<?xml")):
        found = tournament.picture_of_tournament(result, tmp_path / name)
        assert found.startswith(start)


def test_a_missing_library_is_named_before_the_games(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "choix", None)
    monkeypatch.setattr(matches, "round_robin", None)
    with pytest.raises(UserError, match="ratings need choix: pip install"):
        run("--tournament", "greedy", "random", "greedy-min", "--board", "2x2")


def test_a_match_needs_no_library_for_ratings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "choix", None)
    assert "Elo difference" in run("--match", "greedy", "random", "--board", "2x2", "--games", "4")
