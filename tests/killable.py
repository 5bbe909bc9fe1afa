"""Training that tells its phases: ``python -m tests.killable FD [training's arguments]``.

Each phase is written to the file descriptor as a line when it begins, so that another
process can kill this one in the middle of it. Nothing in azdab knows of it.
"""

import os
import sys

from azdab import train
from azdab.common import progress


def main(descriptor: int, argv: list[str]) -> int:
    show = progress.Display.phase

    def tell(display: progress.Display, name: str) -> None:
        os.write(descriptor, f"{name}\n".encode())
        show(display, name)

    progress.Display.phase = tell  # type: ignore[method-assign, assignment]
    return train.main(argv)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
