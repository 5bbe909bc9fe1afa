"""Networks to play with: what a word on the command line means, loaded and exported.

A network that is only to play is a run reduced to ``config.yaml``, ``README.md`` and
``best/<n>/``, see :mod:`azdab.runs.checkpoint`; those that come with azdab are such directories
in ``azdab/models/``.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint.experimental.v1 as ocp

from azdab.common import files, presets
from azdab.common.config import Config, config_from_dict
from azdab.common.errors import UserError, one_line, suggest
from azdab.devices import device
from azdab.game.board import Board, board_of
from azdab.network import model
from azdab.network.model import Params
from azdab.runs import atomic, checkpoint
from azdab.runs.plain_path import plain_path

_LOOKS = 5
"""How often to look for a checkpoint where each one is replaced while it is read."""


class TrainedNetwork(NamedTuple):
    """A trained network with what is needed to use it.

    Attributes:
      board: what it plays on: the board of its training, or another of that size.
      config: of its training.
      params: its parameters.
      iteration: of the training, after which it was saved.
    """

    board: Board
    config: Config
    params: Params
    iteration: int

    def playing_on(self, board: Board, name: str) -> "TrainedNetwork":
        """The same network on a board of its size, whatever is drawn there at the start.

        Args:
          board: the board.
          name: of the network, for the message.

        Raises:
          UserError: the size is another.
        """
        if self.board.size != board.size:
            raise UserError(f"{name} plays on {self.board}, not on {board}")
        return self._replace(board=board)


def find(path: Path, which: str = "best") -> Path:
    """The checkpoint meant by a run directory or a checkpoint directory.

    Args:
      path: a run, its ``checkpoints`` or ``best`` folder, or one checkpoint.
      which: ``best`` or ``latest``, for a run.

    Raises:
      UserError: there is none.
    """
    if (path / atomic.METADATA).is_file():
        return path
    if path.name.isdigit() and path.parent.name == "best" and not path.exists():
        path = path.parent  # of a run that trains, and has a better network by now
    folder = {"best": "best", "latest": "checkpoints"}[which]
    inside = path / folder if (path / folder).is_dir() else path
    steps = atomic.steps(inside)
    if not steps:
        raise UserError(f"no checkpoint in {path}: give a run directory or a checkpoint")
    return inside / str(steps[0])


def bundled_networks() -> dict[str, Path]:
    """The networks that come with azdab, by name."""
    models = Path(__file__).parents[1] / "models"
    return {path.parent.name: path.parent for path in sorted(models.glob("*/config.yaml"))}


def newest_run(runs: Path, which: str) -> Path:
    """The run whose ``best`` or ``latest`` checkpoint was written last.

    Raises:
      UserError: there is no run with one.
    """
    folder = {"best": "best", "latest": "checkpoints"}[which]
    written = [
        path
        for path in runs.glob(f"*/{folder}/[0-9]*/{atomic.METADATA}")
        if path.parent.name.isdigit()
    ]
    if not written:
        raise UserError(f"no run with a checkpoint in {runs}: train one, or give a path")
    return max(written, key=lambda path: path.stat().st_mtime).parents[2]


def resolve(name: str, runs: Path = Path("runs")) -> Path:
    """The checkpoint that a word on the command line means.

    Args:
      name: ``best`` or ``latest`` of the newest run, a path (see :func:`find`), or the
        name of a run in ``runs`` or of a bundled network.
      runs: where runs live.

    Raises:
      UserError: it means none.
    """
    if name in ("best", "latest"):
        return find(newest_run(runs, name), name)
    models = bundled_networks()
    written = files.named(name)
    there = [path for path in (written, runs / name) if _exists(path)]
    if name in models:
        there.append(models[name])
    # A directory that happens to have the name, and no checkpoint, hides nothing.
    for path in there:
        if path is there[-1] or _holds_checkpoint(path):
            return find(path)
    known = ["best", "latest", *models]
    raise UserError(
        f"no checkpoint '{name}'{suggest(name, known)}; "
        f"give a run, a checkpoint or one of: {', '.join(known)}"
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long
        return False


def _holds_checkpoint(path: Path) -> bool:
    """Whether :func:`find` finds something in a directory."""
    try:
        find(path)
    except (UserError, OSError):
        return False
    return True


def load_network(path: Path, which: str = "best") -> TrainedNetwork:
    """Load a network for play or analysis.

    The last few are remembered as long as their files stay as they are. What is returned may be
    donated: it is the caller's own.

    Args:
      path: see :func:`find`.
      which: ``best`` or ``latest``.

    Raises:
      UserError: there is no checkpoint, it is damaged or of another format, or its parameters
        are not finite.
    """
    device.require_devices()
    for _ in range(_LOOKS):
        found = find(path, which).absolute()
        try:
            loaded = _read(found, _stamps(found))
            return loaded._replace(params=jax.tree.map(jnp.copy, loaded.params))
        except UserError as error:
            if found.is_dir():
                raise
            replaced = error  # by a newer one, while it was read
    raise replaced


def _stamps(checkpoint: Path) -> tuple[tuple[int, ...], ...] | None:
    """What changes when a file of a checkpoint does; None where that cannot be seen."""
    try:
        found = [path.stat() for path in sorted(checkpoint.rglob("*"))]
    except OSError:  # a file vanished: whoever reads the rest says what is wrong
        return None
    return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found)


@functools.lru_cache(maxsize=4)
def _read(found: Path, stamps: tuple[tuple[int, ...], ...] | None) -> TrainedNetwork:
    """Read and check a network; ``stamps`` tell files of the same names apart."""
    del stamps
    if problem := atomic.damage(found, "params"):
        raise UserError(f"{found} is damaged: {problem}")
    try:
        metadata = checkpoint.read_metadata(found)
        iteration = int(metadata["iteration"])
        try:
            config = config_from_dict(presets.current_settings(metadata["config"]))
        except UserError as error:
            raise error.inside(f"{found} cannot be used") from None
        board = board_of(config)
        like = jax.eval_shape(lambda: model.init_params(jax.random.key(0), board, config.network))
        place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        parts = {"params": checkpoint.abstract(like, place)}
        params = checkpoint.load_parts(found, parts)["params"]
    except checkpoint.PASSED_ON:
        raise
    except Exception as error:
        reason = one_line(str(error) or type(error).__name__, 200)
        raise UserError(f"{found} is damaged: {reason}") from None
    for path, x in jax.tree.leaves_with_path(params):
        if not np.isfinite(np.asarray(x, np.float64)).all():
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise UserError(f"{found} cannot be used: {name} holds numbers that are not finite")
    return TrainedNetwork(board, config, params, iteration)


def export_network(trained: TrainedNetwork, directory: Path, card: str) -> None:
    """Write a network for play only, where :func:`load_network` finds it.

    Args:
      trained: the network.
      directory: must not exist; becomes ``config.yaml``, ``README.md`` and ``best/<n>/``.
      card: what to know about the network, in Markdown; becomes the ``README.md``.

    Raises:
      UserError: the directory exists.
    """
    if directory.exists():
        raise UserError(f"{directory} exists: remove it first")
    directory.mkdir(parents=True)
    presets.write_settings(trained.config, directory / "config.yaml")
    (directory / "README.md").write_text(card, encoding="utf-8")
    written = directory.absolute() / "best" / str(trained.iteration)
    written.parent.mkdir()
    metadata = checkpoint.metadata_of(trained.config, trained.iteration)
    with plain_path(written) as path:
        ocp.save_checkpointables(path, {"params": trained.params}, custom_metadata=metadata)
    (written / "commit_success.txt").unlink(missing_ok=True)  # only says where it was written
    atomic.write_sums(written)
