"""What the notebooks compute, against the solved board; what they draw, as far as it can be."""

import functools
import importlib.util
import itertools
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from azdab.common import presets
from azdab.common.config import Config, config_fields, config_from_dict
from azdab.common.errors import UserError
from azdab.engine import outlook
from azdab.exact import oracle
from azdab.exact.oracle import ILLEGAL
from azdab.game import geometry, structure
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.lab import curves, explorer, figures, heatmaps, theory, theory_figures, walkthrough
from azdab.lab.curves import Curves
from azdab.measure import judging
from azdab.runs import networks
from azdab.runs.networks import TrainedNetwork
from azdab.search import evaluator, tree_search
from tests import common

THREE, FOUR = Board(3, 3), Board(4, 4)


def untrained() -> TrainedNetwork:
    return common.untrained(THREE)


@functools.cache
def trained() -> TrainedNetwork:
    return networks.load_network(networks.resolve("3x3"))


def middle(seed: int, plies: int) -> Position:
    moves = np.random.default_rng(seed).permutation(THREE.num_edges)[:plies]
    return Position(THREE, tuple(moves.tolist()))


# What network and search say.


@pytest.mark.parametrize("simulations", [0, 8])
def test_answers_are_consistent(simulations: int) -> None:
    states = common.random_states(THREE, seed=1, count=5, open_edges=[3, 9, 20])
    states = jax.tree.map(np.asarray, states)
    said = outlook.ask(untrained(), states, simulations, chunk=3)
    legal = ~np.asarray(states.edges)
    np.testing.assert_allclose(said.prior.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(said.margins.sum(axis=-1), 1, atol=1e-5)
    assert (said.prior[~legal] == 0).all()
    assert legal[np.arange(5), said.action].all()
    assert (said.visits.sum(axis=-1) == simulations).all()
    np.testing.assert_array_equal(np.isfinite(said.q), said.visits > 0)
    assert (np.abs(said.margin) <= THREE.num_boxes + 1e-3).all()
    assert ((said.ownership >= 0) & (said.ownership <= 1)).all()


def test_answers_do_not_depend_on_the_chunk() -> None:
    states = theory.states_of_edges(theory.safe_play(THREE, 20, 5, seed=1))
    once, twice = (outlook.ask(untrained(), states, 8, chunk=chunk) for chunk in (3, 1))
    for one, other in zip(once, twice, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("plies", [6, 13, 19])
def test_a_view_is_of_final_margins(plies: int) -> None:
    position = middle(plies, plies)
    view = explorer.study_position(untrained(), position, 8, common.searched(THREE))
    values = common.searched(THREE).action_values(position.edges[None])[0].astype(int)
    lead = position.lead if position.to_play == 0 else -position.lead
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(view.exact)), position.legal)
    np.testing.assert_array_equal(view.exact[position.legal], values[position.legal] + lead)
    np.testing.assert_array_equal(np.flatnonzero(view.best), np.flatnonzero(values == values.max()))
    assert view.visits.sum() == pytest.approx(1)
    possible = view.margins[view.weights > 1e-6]
    assert (np.abs(possible) <= THREE.num_boxes).all()
    closed = position.owners >= 0
    np.testing.assert_array_equal(view.ownership[closed], position.owners[closed] == 0)


def test_a_view_without_the_truth() -> None:
    view = explorer.study_position(untrained(), middle(1, 5), 8)
    assert np.isnan(view.exact).all()
    assert not view.best.any()


def test_ownership_is_the_first_players() -> None:
    # All edges but one drawn, both boxes beside it go to whoever is to move.
    edge = THREE.horizontal(1, 1)
    others = [e for e in range(THREE.num_edges) if e != edge]
    for moves in (others, others[::-1], [*others[3:], *others[:3]]):
        position = Position(THREE, tuple(moves))
        view = explorer.study_position(trained(), position, 1)
        share = view.ownership[[1, 4]]
        assert (share > 0.9).all() if position.to_play == 0 else (share < 0.1).all()


def test_lines_can_be_played() -> None:
    position = middle(3, 14)
    lines = explorer.principal_lines(untrained(), position, 8, width=3, length=30)
    assert len(lines) == 3
    assert [line.visits for line in lines] == sorted((line.visits for line in lines), reverse=True)
    assert len({line.moves[0] for line in lines}) == 3
    for line in lines:
        end = position
        for edge in line.moves:
            end = end.play(edge)
        assert end.is_over
        assert len(line.margins) == len(line.moves)
        assert line.margins[-1] == end.lead * (1 if position.to_play == 0 else -1)
    short = explorer.principal_lines(untrained(), position, 8, width=1, length=2)
    assert short[0].moves == lines[0].moves[:2]


# A search tree as it grows.


def test_a_tree_done_again_is_the_search_s(tmp_path: Path) -> None:
    network = untrained()
    evaluate = evaluator.network_evaluator(THREE, network.config.network, "margin")
    states = jax.tree.map(np.asarray, middle(4, 11).state())
    search = functools.partial(
        tree_search.search_policy, THREE, network.config.search, evaluate, num_simulations=12
    )
    tree = jax.jit(search)(network.params, jax.random.key(0), states).search_tree
    nodes = walkthrough.tree_after(tree, 12)
    assert [node.visits for node in nodes] == np.asarray(tree.node_visits[0]).tolist()
    assert [node.to_play for node in nodes] == np.asarray(tree.embeddings.to_play[0]).tolist()
    assert nodes[0].q == pytest.approx(float(tree.node_values[0, 0]), abs=1e-5)
    for node in range(13):
        q_values = np.asarray(jax.tree.map(lambda x: x[0], tree).qvalues(node))
        for child in (one for one in nodes[1:] if one.parent == node):
            assert child.q == pytest.approx(float(q_values[child.action]), abs=1e-5)
    first, second = (walkthrough.tree_after(tree, count) for count in (1, 2))
    assert [node.visits for node in first] == [2, 1]
    assert (second[0].visits, sum(node.parent == 0 for node in second)) == (3, 2)
    if importlib.util.find_spec("matplotlib"):
        figure = walkthrough.plot_trees(THREE, {"one": first, "all": nodes})
        written = [text.get_text() for text in figure.axes[1].texts]
        assert written.count(str(nodes[0].visits)) == 1
        figure.savefig(tmp_path / "tree.png")


def test_shapes_are_told() -> None:
    table = walkthrough.shapes_table("a position", middle(1, 3).state())
    columns = [list(column.cells) for column in table.columns]
    assert columns[:2] == [["edges", "scores", "to_play"], ["(1, 24)", "(1, 2)", "(1,)"]]


# Theory.


@pytest.mark.parametrize("board", [THREE, FOUR, Board(5, 5)], ids=str)
def test_double_dealing_is_right_when_control_is_worth_it(board: Board) -> None:
    asked = theory.dealings(board)
    exact = common.searched(board)
    asked = [one for one in asked if exact.known(one.edges)]
    assert len(asked) >= 4
    worth = theory.control(exact, asked)
    values = exact.action_values(np.stack([one.edges for one in asked])).astype(int)
    take = values[np.arange(len(asked)), [one.take for one in asked]]
    deal = values[np.arange(len(asked)), [one.deal for one in asked]]
    np.testing.assert_array_equal(take, 2 - worth)
    np.testing.assert_array_equal(deal, worth - 2)
    np.testing.assert_array_equal(values.max(axis=-1), np.maximum(take, deal))


@pytest.mark.parametrize("board", [THREE, Board(5, 5)], ids=str)
def test_questions_are_made_of_the_chains_they_say(board: Board) -> None:
    for asked in theory.dealings(board):
        open_boxes = ~asked.edges[board.box_edges()].all(axis=-1)
        assert open_boxes.sum() == sum(asked.rest) + 2
        found = _chains(board, asked.edges)
        assert sorted(len(chain) for chain in found) == sorted((*asked.rest, 2))
        assert not asked.edges[[asked.take, asked.deal]].any()
        closes = ~asked.edges[board.box_edges()]
        assert (closes.sum(axis=-1) == 1).sum() == 1


def _chains(board: Board, edges: np.ndarray) -> list[set[int]]:
    """Open boxes joined by open edges."""
    boxes = {i: set(np.flatnonzero(~edges[b]).tolist()) for i, b in enumerate(board.box_edges())}
    around = {i: {int(b[j]) for j in boxes[i]} for i, b in enumerate(board.box_edges())}
    left = {i for i in around if around[i]}
    found = []
    while left:
        chain = border = {left.pop()}
        while border:
            border = {j for j in left if any(around[i] & around[j] for i in border)}
            left -= border
            chain = chain | border
        found.append(chain)
    return found


def test_images_ask_the_same() -> None:
    asked = theory.dealings(THREE)[1]
    all_images = theory.images(THREE, asked)
    assert len(all_images) == 8
    np.testing.assert_array_equal(all_images[0].edges, asked.edges)
    assert len({one.edges.tobytes() for one in all_images}) > 1
    values = common.searched(THREE).action_values(np.stack([one.edges for one in all_images]))
    for moves in ([one.take for one in all_images], [one.deal for one in all_images]):
        assert len(set(values[np.arange(8), moves].tolist())) == 1
    assert len(set(theory.control(common.searched(THREE), all_images).tolist())) == 1


@pytest.mark.parametrize("board", [THREE, FOUR, Board(2, 5)], ids=str)
def test_safe_play_is_safe(board: Board) -> None:
    most = board.num_edges // 2 + 2
    edges = theory.safe_play(board, most, 200, seed=2)
    assert 0 < len(edges) <= 200
    assert ((~edges).sum(axis=-1) <= most).all()
    assert (edges[:, board.box_edges()].sum(axis=-1) <= 2).all()
    safe = geometry.safe_edges(board, edges)
    assert (~safe.any(axis=-1)).any()
    np.testing.assert_array_equal(judging.phases_of(board, edges) == 2, ~safe.any(axis=-1))
    for row, moves in zip(edges[:20], safe[:20], strict=True):
        for edge in np.flatnonzero(~row):
            after = row.copy()
            after[edge] = True
            ready = (after[board.box_edges()].sum(axis=-1) == 3).any()
            assert moves[edge] == (not ready)
    np.testing.assert_array_equal(edges, theory.safe_play(board, most, 200, seed=2))


def test_the_long_chain_rule_holds_for_chains() -> None:
    edges = theory.safe_play(THREE, 14, 500, seed=3, ends=True)
    assert not geometry.safe_edges(THREE, edges).any()
    winner = np.sign(theory.exact_margins(common.searched(THREE), edges))
    right = theory.rule_winner(THREE, edges) == winner
    kind = theory.kinds(THREE, edges)
    assert set(kind.tolist()) == {0, 1, 2}
    assert right[kind == 0].all()
    assert right[kind == 2].mean() < 0.7  # where chains will join, it is no more than a guess


def test_kinds_are_seen() -> None:
    edges = theory.safe_play(FOUR, 24, 200, seed=4)
    for row, kind in zip(edges, theory.kinds(FOUR, edges), strict=True):
        position = Position(FOUR, tuple(np.flatnonzero(row).tolist()))
        chains = structure.chains_of(position)
        junctions = sum(len(chain.boxes) for chain in chains) < FOUR.num_boxes
        assert kind == (2 if junctions else int(any(chain.is_loop for chain in chains)))


@pytest.mark.parametrize("board", [Board(2, 2), THREE, Board(2, 3)], ids=str)
def test_classes_cover_all_openings(board: Board) -> None:
    for plies in range(theory.BOOK_PLIES + 1):
        book = theory.opening_classes(board, plies)
        assert (book.edges.sum(axis=-1) == plies).all()
        assert book.sizes.sum() == math.comb(board.num_edges, plies)
        assert (board.num_symmetries % book.sizes == 0).all()
    with pytest.raises(ValueError, match="0 to 3 plies"):
        theory.opening_classes(board, 4)


def test_the_book_of_3x3_is_the_published_one() -> None:
    # The second player wins by three boxes, whatever the first draws first (README of the solver).
    book = theory.opening_classes(THREE, 1)
    margin = theory.exact_margins(common.searched(THREE), book.edges)
    np.testing.assert_array_equal(theory.first_player_margins(book.edges, margin), -3)


@pytest.mark.parametrize("board", [Board(2, 2), Board(2, 3)], ids=str)
def test_classes_are_of_one_value(board: Board) -> None:
    book = theory.opening_classes(board, 2)
    pairs = itertools.combinations(range(board.num_edges), 2)
    everything = np.array([np.isin(np.arange(board.num_edges), pair) for pair in pairs])
    values = theory.exact_margins(common.searched(board), book.edges)
    whole = theory.exact_margins(common.searched(board), everything)
    assert np.repeat(values, book.sizes).sum() == whole.sum()
    assert sorted(np.repeat(values, book.sizes)) == sorted(whole)


def test_what_is_not_known_is_nan() -> None:
    little = oracle.endgame_oracle(FOUR, 8)
    edges = np.zeros((2, FOUR.num_edges), bool)
    edges[1, 8:] = True
    margins = theory.exact_margins(little, edges)
    assert np.isnan(margins[0])
    assert margins[1] == max(v for v in little.action_values(edges[1:])[0] if v != ILLEGAL)


# Runs.


def write_run(run: Path, iterations: int, **series: Any) -> Path:
    run.mkdir()
    lines = []
    for i in range(iterations):
        values = {name.replace("__", "/"): of(i) for name, of in series.items()}
        lines.append({"iteration": i + 1, **{k: v for k, v in values.items() if v != "absent"}})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run / "metrics.jsonl").write_text(text, encoding="utf-8")
    presets.write_settings(Config(), run / "config.yaml")
    return run


def healthy(run: Path) -> Curves:
    written = write_run(
        run, 20,
        loss__total=lambda i: 2 / (1 + i / 5),
        loss__entropy=lambda i: 2 - i / 40,
        selfplay__policy_entropy=lambda i: 3 - i / 40,
        selfplay__value_error=lambda i: 5 - i / 10,
        selfplay__decided_ply=lambda i: 55 - i / 4,
        arena__win_rate_best=lambda i: 0.6 if i % 5 == 4 else "absent",
        arena__win_rate_greedy_min=lambda i: 0.5 + i / 50 if i % 5 == 4 else "absent",
        arena__elo=lambda i: None if i == 4 else 100.0 * i,
    )  # fmt: skip
    return curves.load_curves(written)


def test_curves_are_what_was_written(tmp_path: Path) -> None:
    run = healthy(tmp_path / "good")
    assert run.name == "good"
    x, y = run.of("arena/win_rate_best")
    np.testing.assert_array_equal(x, [5, 10, 15, 20])
    np.testing.assert_array_equal(y, 0.6)
    assert 5 not in run.of("arena/elo")[0]
    assert len(run.of("exact/regret")[0]) == 0
    assert curves.load_curves(tmp_path / "good", "named").name == "named"
    assert curves.load_config(tmp_path / "good") == Config()
    with pytest.raises(UserError, match="no metrics in"):
        curves.load_curves(tmp_path / "missing")


def test_the_newest_run_is_the_one_that_wrote_last(tmp_path: Path) -> None:
    assert curves.newest(tmp_path / "nowhere", tmp_path) is None
    for place, name, time in (("a", "old", 1), ("b", "new", 3), ("b", "older", 2)):
        path = tmp_path / place / name / "metrics.jsonl"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (time, time))
    assert curves.newest(tmp_path / "a", tmp_path / "b") == tmp_path / "b" / "new"


def test_units_follow_the_utility(tmp_path: Path) -> None:
    run = write_run(tmp_path / "win", 9, selfplay__value_error=lambda i: 0.5)
    config = config_from_dict({"search": {"utility": "win"}})
    presets.write_settings(config, run / "config.yaml")
    win, margin = curves.load_curves(run), healthy(tmp_path / "margin")
    assert (win.utility, margin.utility) == ("win", "margin")
    measured = {one.check: one.measured for one in curves.diagnose(win, config)}
    assert measured["value error falls"] == "0.50 to 0.50 results"
    (panel,) = (one for one in figures.COMPARING if one.title.startswith("value error"))
    for runs, unit in (
        ([margin], "boxes"),
        ([win], "results"),
        ([win, margin], "results or boxes"),
    ):
        assert figures._units(runs, panel) == unit
    (run / "config.yaml").unlink()
    assert curves.load_curves(run).utility == "margin"


def test_a_healthy_run_passes(tmp_path: Path) -> None:
    found = curves.diagnose(healthy(tmp_path / "good"), Config())
    verdicts = {one.check: one.healthy for one in found}
    assert set(verdicts.values()) == {True, None}
    assert sum(verdict is None for verdict in verdicts.values()) == 2  # two are not measured
    assert not any(one.advice for one in found)


def test_a_sick_run_is_seen_and_told_what_to_set(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "bad", 20,
        loss__total=lambda i: 2.0,
        loss__entropy=lambda i: 2 / (1 + i),
        selfplay__policy_entropy=lambda i: 0.1,
        selfplay__value_error=lambda i: 5.0,
        selfplay__decided_ply=lambda i: 55.0,
        arena__win_rate_best=lambda i: 0.3,
        arena__win_rate_greedy_min=lambda i: 0.1,
        exact__regret=lambda i: 1.0,
        device__memory_peak_gb=lambda i: 1.0 + i,
    )  # fmt: skip
    found = curves.diagnose(curves.load_curves(run), Config())
    assert [one.healthy for one in found] == [False] * len(found)
    known_settings = {name for name, _ in config_fields()}
    for one in found:
        named = re.findall(r"\b[a-z]+\.[a-z_]+\b", one.advice)
        assert set(named) <= known_settings
        assert named or one.check == "beats greedy-min"
    table = figures.findings_table("bad", found)
    assert table.row_count == len(found)


def test_a_young_run_is_not_judged(tmp_path: Path) -> None:
    run = write_run(tmp_path / "young", 2, loss__total=lambda i: 2.0)
    assert {one.healthy for one in curves.diagnose(curves.load_curves(run), Config())} == {None}


def test_with_exact_endings_the_decided_ply_says_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", 9, selfplay__decided_ply=lambda i: 44.0)
    exact = config_from_dict({"selfplay": {"solver_horizon": 16}})
    (found,) = (
        one
        for one in curves.diagnose(curves.load_curves(run), exact)
        if one.measured != "not measured"
    )
    assert found.healthy is None
    assert "only plies to 44" in found.measured


def test_training_keeps_what_is_there(tmp_path: Path) -> None:
    run = write_run(tmp_path / "there", 2, loss__total=lambda i: 2.0)
    assert curves.train_run(tmp_path, "there", "smoke") == run
    with pytest.raises(UserError, match=r"training other failed.*learner\.learning_rate"):
        curves.train_run(tmp_path, "other", "smoke", "--learner.learning_rate", "-1")


# Figures.


@pytest.fixture(scope="module")
def figure_class() -> Any:
    return pytest.importorskip("matplotlib", reason="figures need matplotlib")


@pytest.mark.usefixtures("figure_class")
def test_every_panel_says_what_it_is(tmp_path: Path) -> None:
    run = healthy(tmp_path / "good")
    for runs in ([run], [run, run._replace(name="other")]):
        for panels in (figures.LEARNING, figures.COMPARING, figures.MACHINE):
            figure = figures.plot_curves(runs, panels)
            axes = figure.axes
            assert [axis.get_title() for axis in axes] == [panel.title for panel in panels]
            for axis, panel in zip(axes, panels, strict=True):
                lines = [line for line in axis.lines if len(line.get_xdata())]
                measured = sum(len(run.of(metric)[0]) > 0 for metric in panel.metrics)
                assert len(lines) == measured * len(runs)
                assert ("not measured" in [t.get_text() for t in axis.texts]) == (not measured)
            names = [t.get_text() for legend in figure.legends for t in legend.get_texts()]
            assert names == (["good", "other"] if len(runs) > 1 else [])


def test_errors_are_wilsons() -> None:
    errors = figures.wilson_errors([0.5, 1.0, 0.5], [100, 100, 0])
    assert errors.shape == (2, 3)
    np.testing.assert_allclose(errors[:, 0], 0.096, atol=2e-3)
    assert errors[1, 1] == pytest.approx(0)
    assert np.isnan(errors[:, 2]).all()


@pytest.mark.usefixtures("figure_class")
def test_a_board_shows_its_numbers(tmp_path: Path) -> None:
    position = middle(2, 12)
    figure, ((axis,),) = figures.axes_grid(1, 1)
    heat = np.arange(24.0)
    heat[position.legal[0]] = np.nan
    heatmaps.draw_board(axis, position, heat, least=5)
    written = {int(text.get_text()) for text in axis.texts}
    assert written == {edge for edge in position.legal[1:] if edge >= 5}
    figure.savefig(tmp_path / "board.png")
    view = explorer.study_position(untrained(), position, 8, common.searched(THREE))
    figure = heatmaps.plot_view(view)
    assert len(figure.axes) == 6
    figure.savefig(tmp_path / "view.png")


def test_pictures_are_html() -> None:
    position = middle(2, 12)
    (line,) = explorer.principal_lines(untrained(), position, 8, width=1, length=3)
    html = heatmaps.film(position, line)._repr_html_()
    assert html.count("<svg") == html.count("<figure ") == 3
    shown = heatmaps.gallery([("a < b", heatmaps.board_svg(THREE, position.edges))])
    assert "a &lt; b" in shown.text
    assert len(repr(shown)) < 20


@pytest.mark.usefixtures("figure_class")
def test_shares_are_drawn_where_something_was_counted(tmp_path: Path) -> None:
    hits = {"one": [np.array([1.0, 0.0]), np.array([])], "two": [np.array([1.0]), np.array([])]}
    for lines in (True, False):
        figure = theory_figures.plot_shares(["a", "b"], hits, lines=lines, label="group")
        labels = [text.get_text() for text in figure.axes[0].get_xticklabels()]
        assert labels == ["a\n2", "b\n0"]
        figure.savefig(tmp_path / "shares.png")
    worth = np.array([1, 3, 3])
    figure = theory_figures.plot_dealings(worth, {"network": np.array([0.0, 1.0, 0.5])})
    figure.savefig(tmp_path / "dealings.png")
    pair = np.array([1.0, 2.0]), np.array([1.0, 4.0])
    figure = theory_figures.plot_estimates({"book": pair})
    assert figure.axes[0].get_title() == "book: off by 1.41 boxes"
