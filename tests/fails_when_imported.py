"""A module of somebody's that fails when it is imported."""

import os

AGENT = os.no_such_thing  # type: ignore[attr-defined]
