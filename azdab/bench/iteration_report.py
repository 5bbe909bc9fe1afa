"""What the devices do in an iteration, and for whom they wait: ``azdab.benchmark --iteration``.

A run as a user starts it, in a process of its own, for a few iterations. Training itself keeps the
account (:mod:`azdab.devices.timeline`).
"""

import dataclasses
from collections.abc import Mapping

from rich.console import Console

from azdab.bench import card_report
from azdab.common.config import Config
from azdab.common.errors import UserError
from azdab.devices import device

_PATIENCE = 24 * 3600.0


def measure_iteration(
    config: Config, iterations: int, variables: Mapping[str, str], console: Console
) -> None:
    """Train, and print the parts of an iteration as means; the first, which compiles, left out.

    Args:
      config: what is trained; its arena is held only if it is due.
      iterations: how many are measured.
      variables: those of the environment, as they were before JAX was started here.
      console: where it is printed.

    Raises:
      UserError: training failed.
    """
    few = dataclasses.replace(config, iterations=iterations + 2)  # the last one has an arena
    with console.status(f"training {few.iterations} iterations"):
        run = card_report.watch_run(few, variables, _PATIENCE)
    if run.failed or not run.lines[:-1]:
        raise UserError(f"the run failed: {run.failed or 'it ended early'}")
    run = run._replace(lines=run.lines[:-1])
    spent = sum(line["time/iteration"] for line in run.lines)
    title = (
        f"{device.describe_device()}, {config.selfplay.games_per_iteration:,} games an iteration"
    )
    figures = card_report.run_figures(config, run._replace(seconds=spent))
    card_report.show_figures(list(figures), title, console)
