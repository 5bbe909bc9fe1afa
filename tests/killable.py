"""Training that tells its phases: ``python -m tests.killable FD [training's arguments]``.

Each phase is written to the file descriptor as a line when it begins, so that another
process can kill this one in the middle of it. A checkpoint is saved beside the phases that follow:
``saving`` is when that begins, ``saved`` when it ends. Nothing in azdab knows of it.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from azdab import train
from azdab.common import progress
from azdab.runs.retention import Checkpoints


@contextmanager
def told(tell: Callable[[str], None]) -> Iterator[None]:
    """Training inside of this tells its phases as they begin."""
    show, save = progress.Display.phase, Checkpoints.save

    def phase(display: progress.Display, name: str) -> None:
        if name != "saving":
            tell(name)
        show(display, name)

    def saving(*arguments: Any) -> None:
        tell("saving")
        save(*arguments)
        tell("saved")

    with (
        mock.patch.object(progress.Display, "phase", phase),
        mock.patch.object(Checkpoints, "save", saving),
    ):
        yield


def main(descriptor: int, argv: list[str]) -> int:
    def tell(name: str) -> None:
        os.write(descriptor, f"{name}\n".encode())

    with told(tell):
        return train.main(argv)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
