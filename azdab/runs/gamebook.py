"""The games of a run as records, one file per iteration and kind, when asked for."""

from pathlib import Path

import jax
import numpy as np

from azdab.common import files
from azdab.devices import mesh
from azdab.game import record
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.game.record import Record
from azdab.learning import selfplay
from azdab.learning.arena import MatchGames
from azdab.learning.selfplay import Example


class Gamebook:
    """Writes games to a directory; without a directory it does nothing.

    Args:
      board: the run's board.
      directory: made when the first game is written. A file that is there already comes
        from the same iteration before an interruption, and is replaced.
    """

    def __init__(self, board: Board, directory: Path | None) -> None:
        self._board, self._directory = board, directory

    def self_play(self, iteration: int, wave: int, parts: list[Example], games: int) -> None:
        """Write the games of this process in a wave of self-play, ``games`` on each device."""
        if self._directory is not None:
            edges = [np.asarray(part.edges) for part in parts]
            moves = np.concatenate([selfplay.moves(self._board, part, games) for part in edges])
            name = f"iteration {iteration}"
            of = f"-process-{jax.process_index()}" if jax.process_count() > 1 else ""
            self._write(iteration, f"selfplay-{wave}{of}", moves, [(name, name)] * len(moves))

    def match(self, iteration: int, kind: str, match: MatchGames, names: tuple[str, str]) -> None:
        """Write the games of a match of the arena between A and B."""
        if self._directory is not None and mesh.is_first():
            seats = [names if seat == 0 else names[::-1] for seat in np.asarray(match.a_seat)]
            self._write(iteration, kind, np.asarray(match.actions).T, seats)

    def _write(
        self, iteration: int, kind: str, moves: np.ndarray, names: list[tuple[str, str]]
    ) -> None:
        assert self._directory is not None
        self._directory.mkdir(parents=True, exist_ok=True)
        records = [
            Record(Position(self._board, tuple(game)), first=first, second=second)
            for game, (first, second) in zip(moves.tolist(), names, strict=True)
        ]
        path = self._directory / f"{iteration:05}-{kind}.txt"
        files.write_text(path, record.records_text(records))
