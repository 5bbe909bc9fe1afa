"""What a network and its search say of many positions, and positions that ask for theory.

The notebooks (``notebooks/``) rest on this module and on :mod:`azdab.analysis`, which
draws. Three kinds of positions are made here, all of which the exact solver can judge:
chains whose last two boxes can be taken or handed back (:func:`dealings`), safe play up to
the endgame (:func:`safe_play`), and the first moves of a game, one of each symmetry class
(:func:`opening_classes`).
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from azdab import batching, network, search, structure, symmetry
from azdab.checkpoint import Player
from azdab.config import Config
from azdab.game import Board, State
from azdab.position import Position
from azdab.truth import ILLEGAL, Truth

BOOK_PLIES = 3
"""Longest openings of :func:`opening_classes`: in them no box can be closed."""


class Answers(NamedTuple):
    """What a network with search says of N positions; margins are the mover's, in boxes.

    Attributes:
      prior: ``float[N, E]``, the network's policy over legal moves.
      margins: ``float[N, 2 * num_boxes + 1]``, its distribution of the future margin.
      ownership: ``float[N, num_boxes]``, its probability that the mover closes the box;
        meaningless where the box is closed.
      action: ``int[N]``, the move to play.
      margin: ``float[N]``, the expected future margin: the search's where it counts boxes,
        else the network's.
      q: ``float[N, E]``, the same after each move that the search visited; NaN elsewhere.
      visits: ``float[N, E]``, simulations per move.
    """

    prior: np.ndarray
    margins: np.ndarray
    ownership: np.ndarray
    action: np.ndarray
    margin: np.ndarray
    q: np.ndarray
    visits: np.ndarray


@functools.lru_cache(maxsize=16)
def _asker(board: Board, run: Config, simulations: int) -> Callable[[Any, State], Any]:
    """The compiled network and search; all answers side by side in one array."""
    evaluate = search.network_evaluator(board, run.network, run.search.utility)

    def ask(params: Any, states: State) -> Any:
        inputs = search.network_inputs(states, run.search.utility)
        output = network.apply(board, run.network, params, *inputs)
        prior = jax.nn.softmax(jnp.where(states.edges, -jnp.inf, output.prior_logits))
        expected = network.expected_margin(board, output.margin_logits)
        action = jnp.argmax(prior, axis=-1)
        q, visits = jnp.full_like(prior, jnp.nan), jnp.zeros_like(prior)
        if simulations:
            found = search.search(
                board, run.search, evaluate, params, jax.random.key(0), states,
                num_simulations=simulations, explore=False,
            )  # fmt: skip
            action, visits = found.action, found.visit_counts
            if run.search.utility == "margin":
                expected = found.value * board.num_boxes
                q = jnp.where(visits > 0, found.q_values * board.num_boxes, jnp.nan)
        parts = [
            prior,
            jax.nn.softmax(output.margin_logits),
            jax.nn.sigmoid(output.ownership_logits),
            action[:, None],
            expected[:, None],
            q,
            visits,
        ]
        return jnp.concatenate([part.astype(jnp.float32) for part in parts], axis=-1)

    return jax.jit(ask)


def ask(player: Player, states: State, simulations: int, chunk: int = 32) -> Answers:
    """Show positions to a network.

    Args:
      player: the network, with the search settings of its run.
      states: N > 0 unfinished positions, in numpy.
      simulations: per position; 0 asks the network alone.
      chunk: positions at once.
    """
    board = player.board
    compiled = _asker(board, player.config, simulations)
    found = batching.in_chunks(lambda rows: compiled(player.params, rows), chunk)(states)
    edges, boxes = board.num_edges, board.num_boxes
    widths = [edges, 2 * boxes + 1, boxes, 1, 1, edges, edges]
    prior, margins, ownership, action, margin, q, visits = np.split(
        found.astype(np.float64), np.cumsum(widths)[:-1], axis=-1
    )
    return Answers(prior, margins, ownership, action[:, 0].astype(int), margin[:, 0], q, visits)


def to_states(edges: np.ndarray) -> State:
    """Positions ``bool[N, E]`` of which only the drawn edges matter, as states."""
    count = len(edges)
    fields: Any = (edges, np.zeros((count, 2), np.int16), np.zeros(count, np.int8))
    return State(*fields)


class View(NamedTuple):
    """One unfinished position, as network, search and solver see it.

    Attributes:
      position: the position.
      prior: ``float[E]``, the network's policy.
      visits: ``float[E]``, shares of the search's simulations.
      search: ``float[E]``, the mover's expected final margin after each visited move, in
        boxes; NaN elsewhere.
      exact: ``float[E]``, the same under perfect play; NaN where unknown.
      ownership: ``float[num_boxes]``, the probability that the *first* player gets the box.
      margins, weights: ``float[M]``, the mover's possible final margins and how likely the
        network finds them.
      margin: the mover's expected final margin, by search.
    """

    position: Position
    prior: np.ndarray
    visits: np.ndarray
    search: np.ndarray
    exact: np.ndarray
    ownership: np.ndarray
    margins: np.ndarray
    weights: np.ndarray
    margin: float


def look(player: Player, position: Position, simulations: int, known: Truth | None = None) -> View:
    """Everything about one unfinished position.

    Args:
      player: the network.
      position: on its board.
      simulations: of the search, at least 1.
      known: the truth, used where it reaches.
    """
    found = ask(player, position.state(), simulations, chunk=1)
    first = position.to_play == 0
    lead = position.lead if first else -position.lead
    exact = np.full(player.board.num_edges, np.nan)
    if known is not None and known.known(position.edges):
        values = known.action_values(position.edges[None])[0].astype(float)
        exact = np.where(values == ILLEGAL, np.nan, values + lead)
    ownership = found.ownership[0] if first else 1 - found.ownership[0]
    ownership = np.where(position.owners < 0, ownership, position.owners == 0)
    return View(
        position, found.prior[0], found.visits[0] / simulations, found.q[0] + lead, exact,
        ownership, network.margins(player.board).astype(float) + lead, found.margins[0],
        float(found.margin[0]) + lead,
    )  # fmt: skip


class Line(NamedTuple):
    """A line of play.

    Attributes:
      moves: from the position on, best play by search after the first.
      visits: share of the simulations that its first move got.
      margins: after each move, the final margin that the search then expects for whoever
        began the line, in boxes; NaN where the search does not count boxes.
    """

    moves: tuple[int, ...]
    visits: float
    margins: tuple[float, ...]


def principal_lines(
    player: Player, position: Position, simulations: int, width: int, length: int
) -> list[Line]:
    """The most visited moves and the best play after each, searched anew at every step.

    Args:
      player: the network.
      position: unfinished.
      simulations: per step.
      width: how many first moves.
      length: most moves of a line.
    """
    visits = ask(player, position.state(), simulations, chunk=1).visits[0] / simulations
    order = np.argsort(-visits, kind="stable")[: min(width, len(position.legal))]
    return [
        _line(player, position, int(edge), float(visits[edge]), simulations, length)
        for edge in order
    ]


def _line(
    player: Player, start: Position, edge: int, visits: float, simulations: int, length: int
) -> Line:
    moves, margins = [edge], []
    here = start.play(edge)
    while True:
        future = 0.0
        if not here.is_over:
            found = ask(player, here.state(), simulations, chunk=1)
            future, edge = float(found.margin[0]), int(found.action[0])
        lead = future if here.to_play == 0 else -future
        margins.append((here.lead + lead) * (1 if start.to_play == 0 else -1))
        if here.is_over or len(moves) == length:
            return Line(tuple(moves), visits, tuple(margins))
        moves.append(edge)
        here = here.play(edge)


class Dealing(NamedTuple):
    """A chain of which two boxes are left for the mover to take, beside chains not yet opened.

    Attributes:
      edges: ``bool[E]``, the drawn edges.
      take: the edge that closes the first of the two boxes.
      deal: the edge that hands both to the opponent, who must then open the next chain.
      rest: lengths of the other chains, ascending.
      after: ``bool[E]``, the position when both boxes are closed: whoever is to move opens.
    """

    edges: np.ndarray
    take: int
    deal: int
    rest: tuple[int, ...]
    after: np.ndarray


def _snake(board: Board, first: int, rows: int) -> list[int]:
    """The open edges, end to end, of a chain that winds through whole rows."""
    path = []
    for row in range(first, first + rows):
        across = [board.vertical(row, col) for col in range(board.cols + 1)]
        across = across if (row - first) % 2 == 0 else across[::-1]
        # Where the chain turns, the edge below takes the place of the one at the border.
        path += across[row > first : len(across) - (row < first + rows - 1)]
        if row < first + rows - 1:
            turn = board.cols - 1 if (row - first) % 2 == 0 else 0
            path.append(board.horizontal(row + 1, turn))
    return path


def _layouts(board: Board) -> Iterator[list[list[int]]]:
    """Ways to fill a board with chains that end at the border, as lists of open edges."""
    corner = range(min(board.rows, board.cols))
    yield [
        [board.vertical(i, col) for col in range(i + 1)]
        + [board.horizontal(row, i) for row in range(i, -1, -1)]
        for i in corner
    ]
    for cuts in itertools.product((False, True), repeat=board.rows - 1):
        starts = [0, *(row + 1 for row, cut in enumerate(cuts) if cut), board.rows]
        yield [_snake(board, a, b - a) for a, b in itertools.pairwise(starts)]


def dealings(board: Board) -> list[Dealing]:
    """All double-dealing questions of two families, each combination of lengths once.

    The chains are angles around a corner, of 1, 3, 5, ... boxes, or wind through whole
    rows. One of them has two boxes left, of which the mover can take one; of the others
    any may be there, the rest of the board is closed.
    """
    found: dict[tuple, Dealing] = {}
    for kind, layout in enumerate(_layouts(board)):
        for opened, chain in enumerate(layout):
            others = layout[:opened] + layout[opened + 1 :]
            for present in itertools.product((False, True), repeat=len(others)):
                kept = list(itertools.compress(others, present))
                rest = tuple(sorted(len(other) - 1 for other in kept))
                key = kind == 0, len(chain), rest
                if len(chain) < 3 or key in found:
                    continue
                after = np.ones(board.num_edges, bool)
                after[list(itertools.chain(*kept))] = False
                edges = after.copy()
                edges[chain[-2:]] = False
                found[key] = Dealing(edges, chain[-2], chain[-1], rest, after)
    return list(found.values())


def images(board: Board, asked: Dealing) -> list[Dealing]:
    """A question in all symmetric forms: a network may answer them differently."""
    made = []
    for permutation in symmetry.edge_permutations(board):
        to = np.argsort(permutation)
        edges, after = asked.edges[permutation], asked.after[permutation]
        made.append(asked._replace(
            edges=edges, after=after, take=int(to[asked.take]), deal=int(to[asked.deal])
        ))  # fmt: skip
    return made


def control(known: Truth, asked: Sequence[Dealing]) -> np.ndarray:
    """What the other chains are worth to whoever does not open them, ``int[N]``, in boxes.

    Taking both boxes and opening gives ``2 - control``, handing them back ``control - 2``:
    above 2 only double-dealing is right, below 2 only taking.
    """
    after = np.stack([one.after for one in asked])
    worth = np.zeros(len(asked), int)
    unfinished = ~after.all(axis=-1)
    if unfinished.any():
        worth[unfinished] = -known.action_values(after[unfinished]).max(axis=-1).astype(int)
    return worth


def safe_edges(board: Board, edges: np.ndarray) -> np.ndarray:
    """The moves after which nothing can be closed, ``bool[N, E]``, where no box is ready."""
    full = edges[:, board.box_edges()].sum(axis=-1) >= 2
    unsafe = edges.copy()
    for box, around in enumerate(board.box_edges()):
        unsafe[:, around] |= full[:, box, None]
    return ~unsafe


def safe_play(board: Board, most_open: int, count: int, seed: int) -> np.ndarray:
    """Positions of random safe play, ``bool[count, E]``: no box is closed or can be.

    Each is a random moment of a game of its own, with at most ``most_open`` edges left,
    up to the one at which no safe move remains.

    Args:
      board: the board.
      most_open: so many that games get there before the safe moves run out.
      count: how many positions.
      seed: of the games.
    """
    rng = np.random.default_rng(seed)
    edges = np.zeros((count, board.num_edges), bool)
    ranks = rng.random((count, board.num_edges))
    history = [edges]
    while (safe := safe_edges(board, edges)).any():
        move = np.where(safe, ranks, 2.0).argmin(axis=-1)
        edges = edges | (safe & (np.arange(board.num_edges) == move[:, None]))
        history.append(edges)
    games = np.stack(history, axis=1)
    plies = games[:, -1].sum(axis=-1)
    first = np.minimum(board.num_edges - most_open, plies).clip(0)
    return games[np.arange(count), rng.integers(first, plies + 1)]


def rule_winner(board: Board, edges: np.ndarray) -> np.ndarray:
    """Whom the long chain rule gives control, ``int[N]``: 1 the mover, -1 the opponent.

    Args:
      board: the board.
      edges: ``bool[N, E]``, positions of :func:`safe_play`.
    """
    positions = [Position(board, tuple(np.flatnonzero(row).tolist())) for row in edges]
    return np.array([1 if structure.controller(p) == p.to_play else -1 for p in positions])


class Openings(NamedTuple):
    """Symmetry classes of openings.

    Attributes:
      edges: ``bool[N, E]``, one position of each class.
      sizes: ``int[N]``, how many positions are in it.
    """

    edges: np.ndarray
    sizes: np.ndarray


def opening_classes(board: Board, plies: int) -> Openings:
    """All positions after ``plies`` moves, at most ``BOOK_PLIES``, one of each class."""
    if not 0 <= plies <= BOOK_PLIES:
        raise ValueError(f"openings have 0 to {BOOK_PLIES} plies, got {plies}")
    permutations = symmetry.edge_permutations(board)
    one_more = np.eye(board.num_edges, dtype=bool)
    edges, sizes = np.zeros((1, board.num_edges), bool), np.ones(1, int)
    for _ in range(plies):
        longer = (edges[:, None] | one_more)[~edges]
        packed = np.packbits(longer[:, permutations], axis=-1)
        found: dict[bytes, int] = {}
        for position in packed:
            same = {image.tobytes() for image in position}
            found[min(same)] = len(same)
        rows = np.frombuffer(b"".join(found), np.uint8).reshape(len(found), -1)
        edges = np.unpackbits(rows, axis=-1, count=board.num_edges).astype(bool)
        sizes = np.array(list(found.values()))
    return Openings(edges, sizes)


def first_players(edges: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Movers' margins as the first player's, in openings where no box is closed."""
    return np.where(edges.sum(axis=-1) % 2 == 0, margin, -margin)


def exact_margins(known: Truth, edges: np.ndarray) -> np.ndarray:
    """The movers' future margins under perfect play, ``float[N]``; NaN where unknown."""
    margins = np.full(len(edges), np.nan)
    within = known.known(edges)
    if within.any():
        margins[within] = known.action_values(edges[within]).max(axis=-1)
    return margins
