"""How much device memory a run takes, from its config and the compiler's plan.

What is in memory all the time (replay, learner, best network) and the search trees follow
from the config alone. Only the compiler knows the activations: :func:`largest_batch` asks
it about two small batches, because memory grows linearly with the batch.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh
from rich.table import Table

from azdab.common.config import Config
from azdab.common.errors import UserError
from azdab.common.limits import TABLE_ROOM
from azdab.devices import card, device
from azdab.devices.device import device_share
from azdab.exact import endings
from azdab.game import rules
from azdab.game.board import Board
from azdab.learning import learner, programs, replay
from azdab.learning.programs import ProgramMemory

SMALL_CARD_GB = 8
"""Memory of the smallest cards that the presets for cards are made for."""

_PROBE = 16
"""Games of the smallest batch that is compiled, and a second one of twice as many, to learn what a
game takes."""


def tree_num_bytes(tree: Any) -> int:
    """Bytes of all arrays, or shapes, in a tree."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def tree_bytes(board: Board, games: int, simulations: int) -> int:
    """The search trees of ``games`` searches at once.

    ``mctx.Tree`` has five numbers for every node, six for every action of every node, and
    the position; there is a root, and a node per simulation.
    """
    position = tree_num_bytes(jax.eval_shape(lambda: rules.init_states(board, 1)))
    node = 20 + 24 * board.num_edges + position
    root = 5 * board.num_edges  # which actions are legal, and their Gumbel noise
    return games * ((simulations + 1) * node + root)


def endings_bytes(games: int, horizon: int) -> int:
    """The tables of the exact endings of ``games`` games: those of one chunk."""
    if not horizon:
        return 0
    return endings.table_num_bytes(horizon, endings.chunk_size(games, horizon, TABLE_ROOM))


def resident(board: Board, config: Config, devices: int = 1) -> dict[str, int]:
    """Bytes that are in use during the whole run, on each device, by part."""
    share = device_share(config, devices)
    state = jax.eval_shape(lambda: learner.init_learner(jax.random.key(0), board, config))
    return {
        "replay": replay.replay_num_bytes(board, share.replay.capacity),
        "learner": tree_num_bytes(state),
        "best network": tree_num_bytes(state.ema_params),
    }


def peak(plan: dict[str, ProgramMemory], parts: dict[str, int]) -> dict[str, int]:
    """Bytes at the height of each phase: what is resident, its results and its scratch space."""
    lasting = sum(parts.values())
    # Arguments are resident already, apart from the examples passed to the replay.
    return {
        name: max(lasting, needed.arguments) + needed.outputs + needed.temporary
        for name, needed in plan.items()
    }


def memory_table(board: Board, config: Config, mesh: Mesh, plan: dict[str, ProgramMemory]) -> Table:
    """What every part and phase takes on each device, in MB."""
    parts = resident(board, config, mesh.size)
    games = device_share(config, mesh.size).selfplay.parallel_games
    within = {
        "trees": tree_bytes(board, games, config.search.num_simulations),
        "endings": endings_bytes(games, config.solver_horizon),
    }
    made = Table(title="Memory of each device (MB)", title_justify="left")
    for column in ("", "arguments", "results", "scratch", "with all that is resident"):
        made.add_column(column, justify="right" if column else "left")
    for name, size in parts.items():
        made.add_row(f"{name}, throughout", "", "", "", f"{size / 1e6:,.1f}")
    for (name, needed), size in zip(plan.items(), peak(plan, parts).values(), strict=True):
        row = (*needed, size)
        made.add_row(name, *(f"{x / 1e6:,.1f}" for x in row))
        if name == "self-play":
            for part, taken in within.items():
                made.add_row(f"  of that, {part}", "", "", f"{taken / 1e6:,.1f}", "")
    return made


def memory_summary(board: Board, config: Config, mesh: Mesh, plan: dict[str, ProgramMemory]) -> str:
    """The memory table in one line."""
    parts = resident(board, config, mesh.size)
    highest = peak(plan, parts)
    phase = max(highest, key=lambda name: highest[name])
    shares = ", ".join(f"{name} {size / 1e6:,.1f}" for name, size in parts.items())
    each = f" on each of {mesh.size} devices" if mesh.size > 1 else ""
    return (
        f"Memory planned{each}: {highest[phase] / 1e6:,.0f} MB at most, in {phase}; {shares} MB "
        "throughout."
    )


def memory_verdict(
    board: Board, config: Config, mesh: Mesh, plan: dict[str, ProgramMemory], limit: int | None
) -> str:
    """The planned peak, of how much, and whether a small card has room for it: one line.

    Args:
      board: the board.
      config: the run's config.
      mesh: the devices.
      plan: what each program needs on each device.
      limit: most bytes of each device, instead of the config's limit.
    """
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    sharing = mesh.local_mesh.size if on_cpu else 1  # the devices of one CPU share its memory
    planned = sharing * max(peak(plan, resident(board, config, mesh.size)).values()) / 1e9
    cap = limit / 1e9 if limit else config.device.memory_gb
    allowed, reason = sharing * device.memory_bytes() / 1e9, "there is"
    if limit and on_cpu:
        allowed, reason = limit / 1e9, "are allowed"
    elif cap is not None:
        allowed, reason = cap - card.CONTEXT_GB, f"{cap:g} GB are allowed, less the driver's part"
    room = SMALL_CARD_GB - card.CONTEXT_GB - card.DESKTOP_GB
    fits = "fits" if planned <= room else "does not fit"
    verdict = "" if planned <= allowed else ", which is too much"
    return (
        f"Planned: at most {planned:.2f} of {allowed:.2f} GB ({reason}){verdict}; it {fits} on a "
        f"card of {SMALL_CARD_GB} GB with a desktop on it, which leaves {room:.1f}."
    )


def largest_batch(
    board: Board, config: Config, mesh: Mesh, limit: int, report: Callable[[str], None]
) -> Config:
    """The config with as many parallel games as fit, at most ``games_per_iteration``.

    Args:
      board: the board.
      config: the run's config.
      mesh: the devices.
      limit: bytes that each device may use.
      report: told what is compiled.

    Raises:
      UserError: not even the smallest batch fits.
    """
    total = config.selfplay.games_per_iteration
    room_for = config.replay.capacity // config.examples_per_game
    most = min(total, room_for)
    sizes = [n for n in range(mesh.size, most + 1, mesh.size) if total % n == 0]
    parts = resident(board, config, mesh.size)
    params = jax.eval_shape(lambda: learner.init_learner(jax.random.key(0), board, config)).params

    def playing(games: int) -> int:
        compile = programs.Compiler(mesh, report)
        everywhere = games * mesh.size
        # A replay must hold its batch of games: the config's, and the one tried here.
        capacity = max(config.replay.capacity, everywhere * config.examples_per_game)
        enough = dataclasses.replace(config.replay, capacity=capacity)
        at = with_batch(dataclasses.replace(config, replay=enough), everywhere, everywhere)
        programs.self_play_program(board, at, mesh, params, compile)
        return max(peak(compile.memory, parts).values())

    # Beyond a chunk of exact endings, only the rest grows with the games.
    horizon = config.solver_horizon
    chunk = endings.chunk_size(total, horizon, TABLE_ROOM) if horizon else _PROBE
    for games in sorted({max(chunk, _PROBE), _PROBE}, reverse=True):
        few, more = playing(games), playing(2 * games)
        fits = games + (limit - few) / ((more - few) / games)
        if fits >= games:
            break
    fitting = [n for n in sizes if n / mesh.size <= fits]
    if not fitting:
        raise UserError(
            f"--max-memory: {few / 1e9:,.2f} GB are needed for {_PROBE} games at once, of "
            f"which {parts['replay'] / 1e9:,.2f} GB for replay.capacity {config.replay.capacity:,}"
        )
    return with_batch(config, fitting[-1], total)


def with_batch(config: Config, parallel_games: int, games_per_iteration: int) -> Config:
    """The config with another number of games."""
    changed = dataclasses.replace(
        config.selfplay, parallel_games=parallel_games, games_per_iteration=games_per_iteration
    )
    return dataclasses.replace(config, selfplay=changed)


def refilling(config: Config, missing: int) -> Config:
    """The config of an iteration that plays ``missing`` examples, at least, beside its own."""
    games = config.selfplay.parallel_games
    more = -(-missing // (games * config.examples_per_game)) * games
    return with_batch(config, games, config.selfplay.games_per_iteration + more)


def parse_memory(text: str) -> int:
    """Bytes from ``4GB``, ``500 MB`` or a bare number of GB.

    Raises:
      UserError: it is none of these.
    """
    number, unit = text.strip().upper(), 1e9
    for name, size in (("GB", 1e9), ("MB", 1e6)):
        if number.endswith(name):
            number, unit = number.removesuffix(name), size
    try:
        found = float(number) * unit
    except ValueError:
        found = 0.0
    if not 0 < found < 1e15:
        raise UserError(f"give an amount such as 4GB or 500MB, got {text!r}")
    return int(found)
