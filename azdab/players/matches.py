"""Matches and tournaments between players on the host."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from azdab.common.errors import UserError
from azdab.game import rules
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.learning import arena
from azdab.players import choosers, host_players, ratings
from azdab.players.choosers import ForfeitError
from azdab.players.host_players import Act
from azdab.players.ratings import Ratings, Score, Sprt
from azdab.players.registry import Player

Advance = Callable[[float], None]
"""Told how many more games are done; it may be a part of a game."""


class Forfeit(NamedTuple):
    """A game that ended early: a player had no move that could be played.

    Attributes:
      game: its number in the match, from 0.
      player: who had none: 0 for A, 1 for B.
      ply: the number of the missing move, from 1.
      reason: in a few words, after 'it'.
    """

    game: int
    player: int
    ply: int
    reason: str


class Match(NamedTuple):
    """Finished games of A against B.

    Games ``2 i`` and ``2 i + 1`` share an opening; A moves first in games 0, 2, 4, ...

    Attributes:
      names: A's and B's.
      actions: ``int32[G, board.num_plies]``; -1 from where a game was forfeited.
      opening_plies: how many of a game's first moves were random.
      margin: ``int32[G]``, A's final margin in boxes; a forfeited game is lost with all boxes.
      decision: the hypothesis that a sequential test accepted.
      interrupted: whether games are missing because of Ctrl-C.
      forfeits: the games that were forfeited.
    """

    names: tuple[str, str]
    actions: np.ndarray
    opening_plies: int
    margin: np.ndarray
    decision: str | None = None
    interrupted: bool = False
    forfeits: tuple[Forfeit, ...] = ()

    def score(self) -> Score:
        return ratings.score_match(self.margin)


class Tournament(NamedTuple):
    """A round robin.

    Attributes:
      names: of the players.
      matches: between players ``(i, j)``, ``i < j``.
      ratings: one per player.
    """

    names: list[str]
    matches: dict[tuple[int, int], Match]
    ratings: Ratings

    @property
    def interrupted(self) -> bool:
        return any(match.interrupted for match in self.matches.values())


def check_opening(board: Board, plies: int, name: str = "opening_plies") -> None:
    """Refuse openings that leave a game no move of a player's.

    Raises:
      UserError: names the option ``name``.
    """
    if not 0 <= plies < board.num_plies:
        raise UserError(f"{name} must be less than the {board.num_plies} edges, got {plies}")


def random_openings(board: Board, count: int, plies: int, seed: int) -> np.ndarray:
    """Random first moves, ``int32[count, plies]``; a longer list starts like a shorter one."""
    ranks = np.random.default_rng(seed).random((count, board.num_edges))
    ranks[:, list(board.start_edges)] = 1  # behind all that can be drawn
    return ranks.argsort(axis=1)[:, : min(plies, board.num_plies)].astype(np.int32)


@functools.cache
def _step(board: Board) -> Callable[[State, np.ndarray], State]:
    return jax.jit(functools.partial(rules.step_batch, board))


def _moves(
    board: Board, act: Act, key: jax.Array, states: State, past: np.ndarray
) -> tuple[np.ndarray, dict[int, str]]:
    """A player's moves, -1 where there is none that can be played, and why, by row."""
    try:
        found, reasons = np.asarray(act(key, states, past)), {}
    except ForfeitError as error:
        found, reasons = error.actions, error.reasons
    count = len(past)
    if found.shape != (count,) or not np.issubdtype(found.dtype, np.integer):
        what = f"returned {found.dtype}{list(found.shape)} instead of int32[{count}]"
        return np.full(count, -1, np.int32), dict.fromkeys(range(count), what)
    inside = (found >= 0) & (found < board.num_edges)
    edges = np.asarray(states.edges)
    drawn = edges[np.arange(count), np.where(inside, found, 0)]
    wrong = ~inside | drawn
    for row in np.flatnonzero(wrong).tolist():
        reasons = {row: choosers.why_not(board, found[row], edges[row])} | reasons
    return np.where(wrong, -1, found).astype(np.int32), reasons


def play_until_forfeits(
    board: Board,
    acts: tuple[Act, Act],
    openings: np.ndarray,
    key: jax.Array,
    advance: Advance = lambda games: None,
) -> tuple[arena.MatchGames, tuple[Forfeit, ...]]:
    """Play each opening twice, with the sides swapped; all games advance together.

    A player who has no move that can be played forfeits that game, and the others go on.

    Args:
      board: the board.
      acts: how A and B move; each is asked only for its own moves.
      openings: ``int32[P, plies]``.
      key: random key of the players.
      advance: told of progress.

    Returns:
      The ``2 P`` games in the order of :class:`Match`, in numpy, and those that were forfeited:
      they stand still from there on, and their actions are -1.
    """
    given = np.repeat(openings, 2, axis=0).T
    plies, count = given.shape
    a_seat: Any = np.arange(count, dtype=np.int8) % 2
    actions: Any = np.full((board.num_plies, count), -1, np.int32)
    actions[:plies] = given
    here: Any = jax.tree.map(np.asarray, rules.init_states(board, count))
    history = []
    forfeits: list[Forfeit] = []
    for ply in range(board.num_plies):
        if ply >= plies:
            keys = jax.random.split(jax.random.fold_in(key, ply))
            over = np.isin(np.arange(count), [lost.game for lost in forfeits])
            for player, seat in enumerate((a_seat, 1 - a_seat)):
                (rows,) = np.nonzero((here.to_play == seat) & ~over)
                if len(rows):
                    states, past = host_players.take(here, rows), actions[:ply, rows].T
                    moves, reasons = _moves(board, acts[player], keys[player], states, past)
                    actions[ply, rows] = moves
                    forfeits += [
                        Forfeit(int(rows[row]), player, ply + 1, why)
                        for row, why in sorted(reasons.items())
                    ]
        history.append(here)
        here = jax.tree.map(np.asarray, _step(board)(here, actions[ply]))
        advance(count / board.num_plies)
    lead = here.scores[:, 0].astype(np.int32) - here.scores[:, 1]
    margin = np.where(a_seat == 0, lead, -lead)
    for lost in forfeits:
        margin[lost.game] = board.num_boxes * (1 if lost.player else -1)
    states = jax.tree.map(lambda *x: np.stack(x), *history)
    random: Any = np.repeat(np.arange(board.num_plies)[:, None] < plies, count, axis=1)
    return arena.MatchGames(states, actions, random, a_seat, margin), tuple(forfeits)


def play_pairs(
    board: Board, acts: tuple[Act, Act], openings: np.ndarray, key: jax.Array
) -> arena.MatchGames:
    """The same of players who never forfeit.

    Raises:
      UserError: one did.
    """
    played, forfeits = play_until_forfeits(board, acts, openings, key)
    if forfeits:
        lost = forfeits[0]
        raise UserError(f"player {'AB'[lost.player]} at ply {lost.ply}: it {lost.reason}")
    return played


def play_match(
    board: Board,
    players: tuple[Player, Player],
    *,
    games: int,
    opening_plies: int,
    seed: int,
    batch: int = 64,
    sprt: Sprt | None = None,
    advance: Advance = lambda games: None,
) -> Match:
    """Play a match. The same arguments give the same games, on the same machine.

    A player who has no move that can be played loses that game, and the match goes on. After
    Ctrl-C the match ends with the batches that are finished; if there are none, the
    interrupt is raised.

    Args:
      board: the board.
      players: A and B.
      games: how many, even; with a test, at most this many.
      opening_plies: random moves at the start of each pair of games.
      seed: of the openings and the players.
      batch: games played at once; even. Results come after each batch.
      sprt: stop as soon as this test has decided.
      advance: told of progress.

    Raises:
      UserError: a number of games or plies is not possible.

    >>> from azdab.players.registry import make_player
    >>> board = Board(1, 2)
    >>> players = (make_player("greedy", board), make_player("random", board))
    >>> match = play_match(board, players, games=20, opening_plies=1, seed=0)
    >>> match.actions.shape, bool(match.margin.mean() > 0)
    ((20, 7), True)
    """
    for name, value in (("games", games), ("batch", batch)):
        if value < 2 or value % 2:
            raise UserError(f"{name} must be even and at least 2, got {value}")
    check_opening(board, opening_plies)
    openings = random_openings(board, games // 2, opening_plies, seed)
    actions = np.zeros((0, board.num_plies), np.int32)
    margin = np.zeros(0, np.int32)
    decision, interrupted = None, False
    forfeits: tuple[Forfeit, ...] = ()
    for number, start in enumerate(range(0, games // 2, batch // 2)):
        key = jax.random.fold_in(jax.random.key(seed), number)
        chosen = openings[start : start + batch // 2]
        try:
            acts = (players[0].act, players[1].act)
            played, lost = play_until_forfeits(board, acts, chosen, key, advance)
        except KeyboardInterrupt:
            if not len(margin):
                raise
            interrupted = True
            break
        forfeits += tuple(one._replace(game=one.game + len(margin)) for one in lost)
        actions = np.concatenate([actions, np.transpose(played.actions)])
        margin = np.concatenate([margin, played.margin])
        decision = sprt.decide(ratings.pair_counts(margin)) if sprt else None
        if decision:
            break
    names = (players[0].name, players[1].name)
    return Match(names, actions, opening_plies, margin, decision, interrupted, forfeits)


def round_robin(
    board: Board,
    players: Sequence[Player],
    *,
    games: int,
    opening_plies: int,
    seed: int,
    batch: int = 64,
    sprt: Sprt | None = None,
    advance: Advance = lambda games: None,
    report: Callable[[Match], None] = lambda match: None,
) -> Tournament:
    """Everyone against everyone; see :func:`play_match` for the arguments.

    After Ctrl-C the ratings are those of the games that are finished; if there are none,
    the interrupt is raised.

    Args:
      board: the board.
      players: at least two.
      games: per pairing.
      opening_plies: random moves at the start of each pair of games.
      seed: of everything random; each pairing has openings of its own.
      batch: games played at once.
      sprt: ends single matches early.
      advance: told of progress in the match that is played.
      report: told of each match when it is finished.
    """
    matches: dict[tuple[int, int], Match] = {}
    for i, j in itertools.combinations(range(len(players)), 2):
        try:
            match = play_match(
                board,
                (players[i], players[j]),
                games=games,
                opening_plies=opening_plies,
                seed=int(np.random.SeedSequence([seed, i, j]).generate_state(1)[0] >> 1),
                batch=batch,
                sprt=sprt,
                advance=advance,
            )
        except KeyboardInterrupt:
            if not matches:
                raise
            last = next(reversed(matches))
            matches[last] = matches[last]._replace(interrupted=True)
            break
        matches[i, j] = match
        report(match)
        if match.interrupted:
            break
    counts = {pair: ratings.pair_counts(match.margin) for pair, match in matches.items()}
    rated = ratings.rate_players(len(players), counts, seed=seed)
    return Tournament([player.name for player in players], matches, rated)
