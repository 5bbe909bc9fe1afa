"""Threads beside the program: games are played, read and taught while it goes on.

A card's program holds up the thread that calls it nearly to its end. So games are played from a
thread of their own. They come back from the device as soon as they are played, wave by wave, once
for all who need them: the host's exact engine, the record of games, and the disk.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from azdab.common.at_once import AtOnce
from azdab.common.config import Config
from azdab.devices import device, mesh
from azdab.exact.endings import GameValues
from azdab.game.board import Board
from azdab.learning import corrections
from azdab.learning.selfplay import Example

Parts = list[Example]
"""A wave of self-play in numpy: the examples of each device of this process."""

Teach = Callable[[np.ndarray, np.ndarray, int], GameValues]
"""``(moves, value, plies) -> values``, as :class:`azdab.exact.valuation.GameTeacher`."""


class Beside(NamedTuple):
    """What goes on beside the program.

    Attributes:
      player: dispatches self-play.
      reader: brings games to the host.
      tutor: runs the exact engine, which has threads of its own.
      teach: the exact engine; None: it is not used.
    """

    player: Executor
    reader: Executor
    tutor: Executor
    teach: Teach | None

    def close(self) -> None:
        """Drop what has not begun."""
        for executor in (self.player, self.reader, self.tutor):
            executor.shutdown(wait=False, cancel_futures=True)


def beside(board: Board, config: Config) -> Beside:
    """Threads and engine for a run. The engine begins to be compiled, which takes some seconds."""
    teach, tutor = None, ThreadPoolExecutor(1)
    if positions := config.selfplay.engine_positions:
        from azdab.exact.valuation import GameTeacher  # only here is numba needed

        teach = GameTeacher(board, positions, device.cores())
        tutor.submit(teach, np.zeros((1, 0), int), np.zeros(1, int), 0)
    alone = jax.process_count() == 1
    # Several processes dispatch in one order.
    player = ThreadPoolExecutor(1) if alone else AtOnce()
    return Beside(player, ThreadPoolExecutor(1), tutor, teach)


def on_host(examples: Example) -> Parts:
    """Wait for a wave of self-play, and read it."""
    leaves: list[list[np.ndarray]] = [mesh.parts(x) for x in examples]
    return [Example(*part) for part in zip(*leaves, strict=True)]


def taught(
    board: Board, config: Config, teach: Teach, waves: list[Future[Parts]]
) -> list[GameValues]:
    """What the exact engine finds out about the games of each wave of this process."""
    found = []
    for wave in waves:
        games = [corrections.played_games(board, config, part) for part in wave.result()]
        moves = np.concatenate([game.moves for game in games])
        value = np.concatenate([game.value for game in games])
        found.append(teach(moves, value, games[0].plies))
    return found


def begin(
    there: Beside, board: Board, config: Config, waves: list[Future[Parts]]
) -> Future[list[GameValues]] | None:
    """Begin to teach games, each wave as soon as it is on the host; None without an engine."""
    teach = there.teach
    if teach is None:
        return None
    return there.tutor.submit(lambda: taught(board, config, teach, waves))


def put_right(
    devices: jax.sharding.Mesh,
    program: Callable[..., Any],
    buffer: Any,
    found: list[GameValues],
    each: int,
) -> Any:
    """Apply what was found to the newest examples of the replay.

    Args:
      devices: the run's.
      program: the compiled correction, see :class:`azdab.learning.programs.Programs`.
      buffer: the replay; donated.
      found: of each wave, in order.
      each: examples that a wave adds to a device's replay.

    Returns:
      The replay.
    """
    for wave, values in enumerate(found):
        back = np.int32((len(found) - 1 - wave) * each)
        buffer = program(buffer, mesh.from_local(devices, values), back)
    return buffer
