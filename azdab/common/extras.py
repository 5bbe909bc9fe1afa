"""Packages that come with an extra and may be absent."""

import importlib.util

from azdab.common.config import Config
from azdab.common.errors import UserError


def has_numba() -> bool:
    """Whether numba is installed."""
    return importlib.util.find_spec("numba") is not None


def missing_numba() -> UserError:
    """What to say where numba cannot be imported."""
    return UserError("needs numba, which is not installed: pip install 'azdab[exact]'")


def require_numba(what: str) -> None:
    """Refuse ``what`` where numba is not installed.

    Raises:
      UserError: says what to install.
    """
    if not has_numba():
        raise UserError(f"{what} needs numba: pip install 'azdab[exact]'")


def require_engine(config: Config) -> None:
    """Refuse a config that needs the exact engine where numba is not installed.

    Raises:
      UserError: says what to install.
    """
    if config.selfplay.engine_positions:
        require_numba("selfplay.engine_positions above 0")
