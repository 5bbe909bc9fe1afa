"""``python -m azdab.train``: AlphaZero from zero; the work is in :mod:`azdab.training`."""

import argparse
import sys
from typing import Any, NamedTuple

import jax
from rich.console import Console

from azdab.common import cli, extras, screen
from azdab.common.config import Config
from azdab.devices import device, mesh
from azdab.devices.device import device_share
from azdab.learning import memory
from azdab.training import failures, loop, opening
from azdab.training.opening import RunOptions


class TrainOptions(NamedTuple):
    """How a run is trained.

    Attributes:
      dry_run: compile, print the memory it needs, and stop.
      save_games: keep the records of all games.
      max_memory: most bytes to take of each device; None: as the config says.
      coordinator: the address of process 0 of several, or ``auto``; None: there is one process.
      num_processes: how many there are.
      process_id: which one this is, from 0.
    """

    dry_run: bool
    save_games: bool
    max_memory: int | None
    coordinator: str | None
    num_processes: int | None
    process_id: int | None


def _parser() -> cli.Parser:
    """The command line."""
    made = cli.Parser(
        prog="python -m azdab.train",
        usage="%(prog)s --config NAME [--run NAME] [--resume [--from-step N]] [--dry-run] "
        "[--SETTING VALUE ...]",
        description="Train a Dots-and-Boxes player from zero.",
    )
    made.add_argument("--config", metavar="NAME", help="a preset or a YAML file")
    made.add_argument("--run", metavar="NAME", help="name of the run; default: the config's")
    made.add_argument(
        "--runs", metavar="DIR", type=cli.named_path, default="runs", help="where runs live"
    )
    made.add_argument("--resume", action="store_true", help="continue the run")
    made.add_argument(
        "--from-step", type=int, metavar="N", help="with --resume: go back to checkpoint N"
    )
    made.add_argument("--dry-run", action="store_true", help="compile, print memory, stop")
    made.add_argument(
        "--save-games", action="store_true", help="keep the records of all games in games/"
    )
    made.add_argument(
        "--max-memory",
        metavar="SIZE",
        type=cli.argument(memory.parse_memory),
        help="cap the memory of each device, such as 4GB, and play as many games at once as fit",
    )
    made.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="several processes: address of process 0, or 'auto' to ask the cluster",
    )
    made.add_argument("--num-processes", metavar="N", type=cli.whole(1), help="how many there are")
    made.add_argument(
        "--process-id", metavar="I", type=cli.whole(0), help="which this one is, from 0"
    )
    made.add_argument("--list-configs", action="store_true", help="print the presets")
    return made


def _train(
    given: argparse.Namespace, overrides: dict[str, Any], command: str, console: Console
) -> None:
    """Train the run that the options name, or list the presets."""
    if given.list_configs:
        opening.list_configs(console)
        return
    options, which = cli.typed(TrainOptions, given), cli.typed(RunOptions, given)
    mesh.join(options.coordinator, options.num_processes, options.process_id)
    with failures.write_errors(which.runs):
        run, config = opening.open_run(which, overrides)
    with failures.explained(run, config, command):
        config = _ready(config, options, console)
        if options.dry_run:
            loop.dry_run(config, console, options.max_memory)
            return
        opening.check_memory(config)
        initial = opening.initial_params(run, config)
        with opening.opened(run, config, which, console):
            opening.say(console, f"Run {run}: {config.description}")
            if not loop.train(run, config, console, options.save_games, initial):
                raise KeyboardInterrupt
    console.print(f"Finished. Best and latest networks are in {run}.")


def _ready(config: Config, options: TrainOptions, console: Console) -> Config:
    """Set up the devices; the config with as many games at once as the memory allows."""
    extras.require_engine(config)
    device.divide_cpu(config, alone=options.coordinator is None)
    device.enable_cache()
    device.start(config, options.max_memory)
    device_share(config, jax.device_count())  # refused here if they cannot share the work
    console.quiet = not mesh.is_first()
    if note := device.without_card(config):
        opening.say(console, note)
    if options.max_memory is None:
        return config
    return opening.fitted(config, options.max_memory, console)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    console = screen.open_screen()
    command = _parser()
    given, overrides = command.parse(argv)
    return command.run(lambda: _train(given, overrides, command.prog, console), console, "Stopped.")


if __name__ == "__main__":
    sys.exit(main())
