"""A network's search of one position that goes on for as long as somebody wants."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from azdab.common.config import Config
from azdab.engine import outlook
from azdab.engine.outlook import Outlook
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.game.rules import State
from azdab.runs.networks import TrainedNetwork
from azdab.search import growing
from azdab.search.evaluator import network_evaluator
from azdab.search.simulation import Growth


class _Programs(NamedTuple):
    """What is compiled for a network's search, whatever the number of simulations."""

    begin: Callable[..., tuple[Outlook, Growth]]
    grow: Callable[..., Growth]
    finish: Callable[..., Outlook]


@functools.lru_cache(maxsize=8)
def _programs(board: Board, run: Config, room: int) -> _Programs:
    """The programs for trees with room for so many simulations."""
    evaluate = network_evaluator(board, run.network, run.search.utility)

    def begin(params: Any, key: Any, states: State) -> tuple[Outlook, Growth]:
        alone, evaluation = outlook.network_outlook(board, run, params, states)
        return alone, growing.seedling(board, run.search, evaluation, key, states, room)

    def grow(params: Any, key: Any, growth: Growth, schedule: Any, done: Any, until: Any) -> Growth:
        search = run.search
        return growing.grown(board, search, evaluate, params, key, growth, schedule, done, until)

    def finish(key: Any, alone: Outlook, growth: Growth) -> Outlook:
        return outlook.searched(alone, growing.harvest(run.search, key, growth))

    # The trees are changed where they are, not copied.
    return _Programs(jax.jit(begin), jax.jit(grow, donate_argnums=2), jax.jit(finish))


class Deliberation:
    """One search of one position.

    Args:
      trained: the network.
      position: unfinished.
      room: most simulations.
      planned: simulations over which sequential halving is spread; more may be made.
      key: random key.

    Attributes:
      alone: what the network says without search.
      simulations: how many were made.
    """

    def __init__(
        self, trained: TrainedNetwork, position: Position, room: int, planned: int, key: Any
    ) -> None:
        self._trained, self._key, self._room = trained, key, room
        run = trained.config
        self._programs = _programs(trained.board, run, room)
        raw, self._growth = self._programs.begin(trained.params, key, position.state())
        self._raw = jax.device_get(raw)
        self.alone = self._first(self._raw)
        self.simulations = 0
        considered = min(run.search.max_num_considered_actions, len(position.legal))
        self._schedule = jnp.asarray(growing.halving_schedule(considered, planned, room))

    def _first(self, raw: Outlook) -> Outlook:
        """The only position's outlook, in numpy; its attributes lack the first axis."""
        return Outlook(*(np.asarray(x)[0] for x in outlook.in_boxes(self._trained, raw)))

    def grow(self, simulations: int) -> None:
        """Make more simulations, as far as there is room."""
        until = min(self.simulations + simulations, self._room)
        growth = self._programs.grow(
            self._trained.params, self._key, self._growth, self._schedule, self.simulations, until
        )
        self._growth = jax.block_until_ready(growth)
        self.simulations = until

    def outlook(self) -> Outlook:
        """What network and search say now."""
        if not self.simulations:
            return self.alone
        return self._first(
            jax.device_get(self._programs.finish(self._key, self._raw, self._growth))
        )
