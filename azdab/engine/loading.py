"""Which engine plays on which board, as the options of a command line say."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from azdab.engine.engine import Engine
from azdab.engine.levels import DEFAULT_LEVEL, LEVELS
from azdab.game.board import Board
from azdab.runs import networks

BOARD = Board(5, 5)
"""The default board."""


class EngineOptions(NamedTuple):
    """What a command line says about engines.

    Attributes:
      board: in boxes; None: the network's, or ``BOARD``.
      level: a name in :data:`azdab.engine.engine.LEVELS`; None: ``DEFAULT_LEVEL``.
      checkpoint: a network as :func:`azdab.runs.networks.resolve` reads it; None: the bundled one.
      runs: where runs live.
      simulations: of the search for each move; None: the level's.
      time_per_move: seconds to think for each move; None: no limit.
      time_per_game: seconds to think for all moves of a game; None: no limit.
      ponder: think on the opponent's time too; only with one of the times.
      no_solver: play with network and search to the end, nothing exact.
      seed: of everything random.
    """

    board: Board | None = None
    level: str | None = None
    checkpoint: str | None = None
    runs: Path = Path("runs")
    simulations: int | None = None
    time_per_move: float | None = None
    time_per_game: float | None = None
    ponder: bool = False
    no_solver: bool = False
    seed: int = 0


def engine_loader(options: EngineOptions) -> Callable[[Board, str | None], Engine]:
    """A function that makes engines as the options say, for any board and level."""

    def load(board: Board, level: str | None) -> Engine:
        chosen = LEVELS[level or options.level or DEFAULT_LEVEL]
        usual = level in (None, options.level or DEFAULT_LEVEL)
        if options.simulations is not None and usual:
            chosen = chosen._replace(simulations=options.simulations)
        where: Board | str = board
        if options.checkpoint:
            path = networks.resolve(options.checkpoint, options.runs)
            if networks.load_network(path).board.size == board.size:
                where = options.checkpoint
        return Engine.load(
            where,
            chosen,
            board=board,
            runs=options.runs,
            seconds=options.time_per_move,
            game_seconds=options.time_per_game,
            ponder=options.ponder,
            solver=not options.no_solver,
            seed=options.seed,
        )

    return load


def chosen_board(options: EngineOptions) -> Board:
    """The board of the options, else the network's, else 5x5.

    Raises:
      UserError: the network plays on one of another size.
    """
    if not options.checkpoint:
        return options.board or BOARD
    path = networks.resolve(options.checkpoint, options.runs)
    trained = networks.load_network(path)
    if options.board:
        trained = trained.playing_on(options.board, options.checkpoint)
    return trained.board
