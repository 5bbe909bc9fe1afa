"""``python -m azdab.train``: AlphaZero from zero; the work is in :mod:`azdab.training`."""

import sys
from pathlib import Path

import jax
from rich.console import Console

from azdab.common import cli
from azdab.common.config import require_engine
from azdab.common.errors import UserError
from azdab.devices import device, mesh
from azdab.devices.device import device_share
from azdab.learning import memory
from azdab.training import loop, opening


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
    made.add_argument("--runs", metavar="DIR", default="runs", help="where runs live")
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
        help="cap the memory of each device, such as 4GB, and play as many games at once as fit",
    )
    made.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="several processes: address of process 0, or 'auto' to ask the cluster",
    )
    made.add_argument("--num-processes", metavar="N", type=int, help="how many there are")
    made.add_argument("--process-id", metavar="I", type=int, help="which this one is, from 0")
    made.add_argument("--list-configs", action="store_true", help="print the presets")
    return made


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    console = Console()
    command = _parser()
    options, settings = command.parse(argv)
    run = Path(options.runs)
    try:
        if options.list_configs:
            opening.list_configs(console)
            return 0
        mesh.join(options.coordinator, options.num_processes, options.process_id)
        run, run_config = opening.open_run(options, settings)
        require_engine(run_config)
        limit = memory.parse_memory(options.max_memory) if options.max_memory else None
        device.apply_settings(run_config, limit)
        device.divide_cpu(run_config, alone=options.coordinator is None)
        device.enable_cache()
        device_share(run_config, jax.device_count())  # refused here if they cannot share the work
        console.quiet = not mesh.is_first()
        if limit is not None:
            run_config = opening.fitted(run_config, limit, console)
        if options.dry_run:
            loop.dry_run(run_config, console)
            return 0
        opening.check_memory(run_config)
        initial = opening.initial_params(run, run_config)
        with opening.opened(run, run_config, options, console):
            opening.say(console, f"Run {run}: {run_config.description}")
            finished = loop.train(run, run_config, console, options.save_games, initial)
    except UserError as error:
        command.error(str(error))
    except OSError as error:
        command.error(opening.explain_write_error(run, error))
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            command.error(device.out_of_memory_advice(run_config))
        if jax.process_count() == 1:
            raise
        mesh.abort(
            f"{command.prog}: error: a process failed or is lost; what is saved in {run} continues "
            f"with --resume, with as many processes as there are ({error})"
        )
    except KeyboardInterrupt:
        finished = False
    if not finished:
        console.print(f"Stopped. Continue with: {command.prog} --resume --run {run.name}")
        return 130
    console.print(f"Finished. Best and latest networks are in {run}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
