"""The replay on disk, in segments: what each iteration added, written once.

    replay/<n>.npz          iteration ``n``'s examples; arrays without pickle, bools as bits
    replay/<n>.npz.tmp      being written

A checkpoint names the segments that it consists of, with their digests. What was found out
later about the examples of the segment before, its corrections, is in the segment as well.
"""

import math
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from azdab.common import durable
from azdab.game.board import Board
from azdab.learning.selfplay import Example, zero_examples
from azdab.runs import atomic

_CORRECTIONS = "corrections/"


Correct = Callable[[Example, Mapping[str, np.ndarray]], Example]
"""Corrects the examples of a segment, ``[devices, number, ...]``, with what the next one holds."""


class Segment(NamedTuple):
    """What one iteration added to the replay, in numpy.

    Attributes:
      examples: ``[devices, number, ...]``: each device's in the order they were added.
      corrections: arrays by name that correct the examples of the segment before, in a way
        that only who made them knows; None: there are none.
    """

    examples: Example
    corrections: Mapping[str, np.ndarray] | None = None


class Entry(NamedTuple):
    """A segment as a checkpoint names it.

    Attributes:
      file: its name in ``replay/``.
      sha256: its digest.
      positions: its examples, of all devices together.
      devices: how many.
    """

    file: str
    sha256: str
    positions: int
    devices: int

    @property
    def iteration(self) -> int:
        """Whose segment it is."""
        return int(self.file.removesuffix(".npz"))


def segment_of(devices: int, waves: Sequence[Example]) -> Segment:
    """The segment of an iteration that added examples in waves, at least one.

    Args:
      devices: how many played.
      waves: in numpy, ``[devices * number, ...]`` each, divided among the devices.
    """

    def joined(*parts: np.ndarray) -> np.ndarray:
        return np.concatenate([x.reshape(devices, -1, *x.shape[1:]) for x in parts], axis=1)

    return Segment(jax.tree.map(joined, *waves))


def numbers(folder: Path) -> list[int]:
    """The segments in a folder, the oldest first."""
    names = [path.name for path in folder.glob("*.npz")]
    return sorted(int(name[:-4]) for name in names if re.fullmatch(r"\d{1,12}\.npz", name))


def path_of(folder: Path, number: int) -> Path:
    """The file of iteration ``number``'s segment."""
    return folder / f"{number}.npz"


def remove_partial(folder: Path) -> None:
    """Remove what a process that died was writing."""
    for path in folder.glob("*.npz.tmp"):
        path.unlink()


def write_segment(folder: Path, iteration: int, segment: Segment) -> Entry:
    """Write ``folder/<iteration>.npz``, whole or not at all.

    Raises:
      OSError: the disk is full, or whatever else stands in the way.
    """
    devices, number = segment.examples.margin.shape
    arrays = {
        name: np.packbits(x) if x.dtype == bool else x
        for name, x in segment.examples._asdict().items()
    }
    arrays |= {_CORRECTIONS + name: x for name, x in (segment.corrections or {}).items()}
    durable.make_folder(folder)
    path = path_of(folder, iteration)
    with durable.new_file(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
    return Entry(path.name, atomic.digest(path), devices * number, devices)


def read_segment(folder: Path, entry: Entry, board: Board) -> Segment:
    """Read a segment. What it claims is checked before anything is allocated.

    Raises:
      ValueError: it is not what the checkpoint says; the message says why in a few words.
      UserError: the system does not let it be read.
    """
    number, path = entry.positions // entry.devices, folder / entry.file
    like = jax.eval_shape(lambda: zero_examples(board, 1))
    found, corrections = {}, {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                if name.startswith(_CORRECTIONS):
                    corrections[name.removeprefix(_CORRECTIONS)] = _array(path, archive, info)
                else:
                    found[name] = _array(path, archive, info)
        examples = Example(
            *(
                _shaped(found[name], (entry.devices, number, *x.shape[1:]), x.dtype)
                for name, x in like._asdict().items()
            )
        )
    except OSError as error:
        atomic.refuse_if_unreadable(path, error)
        raise ValueError(f"replay/{entry.file} cannot be read") from None
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError):
        raise ValueError(f"replay/{entry.file} holds no examples") from None
    return Segment(examples, corrections or None)


def newest_first(
    folder: Path, entries: Sequence[Entry], board: Board, correct: Correct
) -> Iterator[Example]:
    """The examples of segments, corrected, from the newest to the oldest.

    Args:
      folder: where they are.
      entries: which, the oldest first.
      board: the run's.
      correct: applies corrections.
    """
    later: tuple[int, Segment] | None = None
    for entry in reversed(entries):
        segment = read_segment(folder, entry, board)
        examples = segment.examples
        if later and later[0] == entry.iteration + 1 and later[1].corrections:
            examples = correct(examples, later[1].corrections)
        yield examples
        later = entry.iteration, segment


def _array(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """An array of an archive, if it takes no more memory than it takes on disk."""
    with archive.open(info) as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    size = math.prod(shape) * dtype.itemsize
    stored = info.compress_type == zipfile.ZIP_STORED
    if not stored or dtype.hasobject or size > min(info.file_size, path.stat().st_size):
        raise ValueError(f"replay/{path.name} claims more than it holds")
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _shaped(x: np.ndarray, shape: tuple[int, ...], dtype: Any) -> Any:
    """A stored array as it was; bools were stored as bits."""
    size = math.prod(shape)
    if dtype.kind == "b" and x.dtype == np.uint8 and x.shape == (-(-size // 8),):
        x = np.unpackbits(x, count=size).reshape(shape).view(bool)
    if x.shape != shape or x.dtype != dtype:
        raise ValueError(f"examples have shape {x.shape} and type {x.dtype}")
    return x


def entries_of(metadata: Mapping[str, Any]) -> list[Entry]:
    """The segments that a checkpoint's metadata names, the oldest first.

    Raises:
      ValueError: they are not named as they should be.
    """
    found = []
    for values in metadata.get("segments", []):
        if not isinstance(values, dict) or values.keys() != set(Entry._fields):
            raise ValueError("its metadata does not name its segments")
        entry = Entry(**values)
        named = isinstance(entry.file, str) and re.fullmatch(r"\d{1,12}\.npz", entry.file)
        digested = isinstance(entry.sha256, str) and re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
        counted = type(entry.positions) is type(entry.devices) is int
        if not (named and digested and counted and 1 <= entry.devices <= entry.positions):
            raise ValueError("its metadata does not name its segments")
        if entry.positions % entry.devices:
            raise ValueError("its metadata does not name its segments")
        found.append(entry)
    return found


def lost(folder: Path, entries: Iterable[Entry]) -> dict[Entry, str]:
    """The segments that are missing or damaged, with a verb that says which.

    Raises:
      UserError: the system does not let one be read.
    """
    found = {}
    for entry in entries:
        path = folder / entry.file
        try:
            problem = atomic.file_damage(path, entry.sha256)
        except OSError as error:
            atomic.refuse_if_unreadable(path, error)
            problem = "cannot be read"
        if problem:
            found[entry] = problem
    return found


def needed(entries: Sequence[Entry], capacity: int) -> list[Entry]:
    """Those of the segments, the oldest first, that hold some of the newest ``capacity``."""
    kept: list[Entry] = []
    for entry in reversed(entries):
        if sum(x.positions for x in kept) >= capacity:
            break
        kept.insert(0, entry)
    return kept
