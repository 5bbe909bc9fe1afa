"""Making a ruler: games, and the exact values of their positions, those near the end first.

The file is written after every position, so a kill loses at most one. It can be read as a ruler
from the first position on. What is made depends on the :class:`RulerPlan` alone, and not on how
often the work was stopped.

A third of the games is the engine against itself, a third against alpha-beta. In the last third
a greedy player makes the first moves of both. All begin with some random moves.
"""

import functools
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from azdab.common.errors import UserError
from azdab.common.limits import SEARCH_EDGES
from azdab.exact import oracle
from azdab.exact.oracle import has_choice
from azdab.game import rules, symmetry
from azdab.game.board import Board, parse_board
from azdab.game.position import Position
from azdab.measure import ruler as rulers
from azdab.measure.ruler import NO_EDGE, Ruler
from azdab.players import host_players, matches
from azdab.players.host_players import Act
from azdab.runs.networks import TrainedNetwork

Solve = Callable[[np.ndarray], np.ndarray]
"""``bool[E] -> int8[E]``, as :meth:`azdab.exact.solver.Solver.action_values`."""

_RANDOM_PLIES = 2, 8  # fewest and most random moves at the start of a game
_GREEDY_PLIES = 14  # from the start of a game that the greedy player begins
_SIMULATIONS = 32
_VISITS = 10_000  # of alpha-beta for a move
_EXACT_EDGES, _EXACT_NODES = 36, 20_000  # the games' engine plays exactly from there on
_CHUNK = 16  # positions that the games' network is shown at once
_FROM_A_GAME = 4  # positions, at most
_DEAR = 0.5  # of so many positions where each costs about three times as much

_FRUITLESS = 30  # batches in a row, after which it is given up

_T = TypeVar("_T")


class RulerPlan(NamedTuple):
    """What is to be made.

    Attributes:
      board: the board.
      fewest, most: edges left.
      positions: in all, see :meth:`quotas`.
      games: played at once.
      seed: of everything random.
    """

    board: Board
    fewest: int
    most: int
    positions: int
    seed: int = 0
    games: int = 36

    def quotas(self) -> dict[int, int]:
        """How many positions with each number of edges left.

        Equally many, but for those with more edges than ``SEARCH_EDGES``: each further edge
        costs about three times as much work, and there are half as many.
        """
        counts = range(self.fewest, self.most + 1)
        weights = np.array([_DEAR ** max(left - SEARCH_EDGES, 0) for left in counts])
        ends = np.rint(self.positions * weights.cumsum() / weights.sum()).astype(int)
        return dict(zip(counts, np.diff(ends, prepend=0).tolist(), strict=True))


class Cast(NamedTuple):
    """Who plays the games."""

    engine: Act
    rival: Act
    greedy: Act


class Making(NamedTuple):
    """How far the work is.

    Attributes:
      batches: of games played.
      kept: the games of positions with a choice.
      values: of the moves there.
      pending: the games of positions that are still to be solved.
    """

    batches: int
    kept: list[tuple[int, ...]]
    values: list[np.ndarray]
    pending: list[tuple[int, ...]]


def strong_cast(trained: TrainedNetwork) -> Cast:
    """A network with search that is exact near the end, alpha-beta, and the greedy player.

    Raises:
      UserError: the exact search is not at hand.
    """
    board = trained.board
    known = oracle.searching_oracle(board, _EXACT_EDGES, _EXACT_NODES)
    look = host_players.of_network(trained, _SIMULATIONS, _CHUNK)
    return Cast(
        host_players.exact_within(known, look),
        host_players.alphabeta_player(board, nodes=_VISITS),
        host_players.greedy_player(board),
    )


def exact_moves(board: Board) -> Solve:
    """The values of all moves by the exact search, with a table that grows with the edges left.

    Raises:
      UserError: the search is not at hand.
    """
    oracle.require_search(board)
    from azdab.exact import solver

    made = functools.cache(lambda bits: solver.Solver(board, bits))

    def solve(edges: np.ndarray) -> np.ndarray:
        engine = made(int(np.clip(np.sum(~edges) - 17, 16, 24)))
        engine.forget()
        found = engine.action_values(edges)
        assert found is not None
        return np.asarray(found)

    return solve


@functools.cache
def _stepper(board: Board) -> Callable[[Any, np.ndarray], Any]:
    return jax.jit(functools.partial(rules.step_batch, board))


def play_batch(plan: RulerPlan, cast: Cast, number: int) -> np.ndarray:
    """The beginnings of some games, up to the fewest edges left: ``int32[games, plies]``."""
    board, count = plan.board, plan.games
    plies = board.num_plies - plan.fewest
    rng = np.random.default_rng([plan.seed, number])
    low, high = _RANDOM_PLIES
    random = rng.integers(low, high + 1, count)
    openings = matches.random_openings(board, count, high, int(rng.integers(2**31)))
    key = jax.random.key(int(rng.integers(2**31)))
    game = np.arange(count)
    kind, seat = game % len(cast), game // len(cast) % 2
    here: Any = jax.tree.map(np.asarray, rules.init_states(board, count))
    actions = np.zeros((plies, count), np.int32)
    for ply in range(plies):
        turn = np.zeros(count, np.int64)
        turn[(kind == 1) & (here.to_play == seat)] = 1
        turn[(kind == 2) & (ply < _GREEDY_PLIES)] = 2
        turn[ply < random] = -1
        for player, act in enumerate(cast):
            (rows,) = np.nonzero(turn == player)
            if len(rows):
                keyed = jax.random.fold_in(jax.random.fold_in(key, ply), player)
                states = host_players.take(here, rows)
                actions[ply, rows] = act(keyed, states, actions[:ply, rows].T)
        (rows,) = np.nonzero(turn < 0)
        actions[ply, rows] = openings[rows, min(ply, high - 1)]
        here = jax.tree.map(np.asarray, _stepper(board)(here, actions[ply]))
    return actions.T


def one_of_images(board: Board, edges: np.ndarray) -> bytes:
    """The same for all symmetric forms of a position, ``bool[E]``."""
    return min(np.packbits(edges[image]).tobytes() for image in symmetry.edge_permutations(board))


def candidates(plan: RulerPlan, games: np.ndarray, number: int) -> list[tuple[int, ...]]:
    """Positions of a batch of games, few of each; every kind of game gives all numbers of edges.

    Args:
      plan: what is made.
      games: ``int32[games, plies]``.
      number: of the batch.
    """
    step = -(-(plan.most - plan.fewest + 1) // _FROM_A_GAME)
    return [
        tuple(moves[: plan.board.num_plies - left])
        for game, moves in enumerate(games.tolist())
        for left in range(
            plan.fewest + (game // len(Cast._fields) + number) % step, plan.most + 1, step
        )
    ]


def _plan_array(plan: RulerPlan) -> np.ndarray:
    return np.array(plan[1:], np.int64)


def save_making(path: Path, plan: RulerPlan, made: Making) -> None:
    """Write what there is.

    Raises:
      UserError: it cannot be written.
    """
    plies = plan.board.num_plies - plan.fewest
    values = np.array(made.values, np.int8).reshape(-1, plan.board.num_edges)
    rulers.write_ruler(
        path,
        Ruler(plan.board, rulers.packed_moves(made.kept, plies), values),
        pending=rulers.packed_moves(made.pending, plies),
        batches=made.batches,
        plan=_plan_array(plan),
    )


def resume_making(path: Path, plan: RulerPlan) -> Making:
    """What was made so far; nothing if there is no such file.

    Raises:
      UserError: the file cannot be read, or is of another plan.
    """
    if not path.exists():
        return Making(0, [], [], [])
    arrays = rulers.read_arrays(path)
    try:
        same = parse_board(str(arrays["board"])) == plan.board
        if not same or arrays["plan"].tolist() != _plan_array(plan).tolist():
            raise UserError(f"{path} was begun with other options")
        kept, pending = (
            [tuple(row[row != NO_EDGE].tolist()) for row in arrays[name]]
            for name in ("moves", "pending")
        )
        return Making(int(arrays["batches"]), kept, list(arrays["values"]), pending)
    except KeyError:
        raise UserError(f"{path} is no ruler") from None


def _apart(work: Callable[[], _T]) -> _T:
    """Do some work in a thread of its own: Ctrl-C does not have to wait for it."""
    done: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put((work(), None))
        except BaseException as error:
            done.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    result, error = done.get()
    if error is not None:
        raise error
    return result


def make_ruler(
    path: Path,
    plan: RulerPlan,
    cast: Cast,
    solve: Solve,
    watch: Callable[[int, int], None] = lambda kept, left: None,
) -> None:
    """Make a ruler, or go on with one.

    Args:
      path: the file.
      plan: what is to be made.
      cast: who plays the games.
      solve: gives the values of all moves.
      watch: told how many positions are kept, and how many edges the last one had left. It is
        told 0 edges when games are played.

    Raises:
      UserError: the file cannot be read or written, or is of another plan; or there are not so
        many positions.
    """
    board, room = plan.board, plan.quotas()
    batches, kept, values, pending = resume_making(path, plan)
    seen = {one_of_images(board, Position(board, moves).edges) for moves in kept}
    fruitful = batches
    for moves in kept:
        room[board.num_plies - len(moves)] -= 1

    def save() -> None:
        save_making(path, plan, Making(batches, kept, values, pending))

    while open_numbers := [left for left, number in room.items() if number]:
        plies = board.num_plies - min(open_numbers)
        place = next((i for i, moves in enumerate(pending) if len(moves) == plies), None)
        if place is None:
            watch(len(kept), 0)
            if batches - fruitful >= _FRUITLESS:
                raise UserError(
                    f"{_FRUITLESS} batches of games gave no new position with a choice and "
                    f"{min(open_numbers)} edges left: ask for fewer, or with more edges"
                )
            more = candidates(plan, play_batch(plan, cast, batches), batches)
            pending += [moves for moves in more if room[board.num_plies - len(moves)]]
            batches += 1
            save()
            continue
        moves = pending.pop(place)
        edges = Position(board, moves).edges
        image = one_of_images(board, edges)
        if image in seen:
            continue
        found = _apart(functools.partial(solve, edges))
        if has_choice(found):
            kept.append(moves)
            values.append(found)
            seen.add(image)
            room[board.num_plies - plies] -= 1
            fruitful = batches
        save()
        watch(len(kept), board.num_plies - plies)
    pending.clear()
    save()
