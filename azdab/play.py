"""``python -m azdab.play``: play azdab, watch it, let programs talk to it, replay games."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from azdab.common import cli, progress
from azdab.common.errors import UserError
from azdab.devices import device
from azdab.engine.engine import DEFAULT_LEVEL, LEVELS, MAX_SIMULATIONS, Engine
from azdab.game import exchange, record
from azdab.game.board import Board, parse_board
from azdab.game.position import Position
from azdab.game.record import Record
from azdab.measure import tournament
from azdab.players import matches, registry
from azdab.players.matches import Match
from azdab.runs import checkpoint
from azdab.terminal import prompt, protocol

BOARD = Board(5, 5)
"""The default board."""

GAMES_OF_MODE = {"ai": 1, "dual-ai": 40}
"""The default number of games of each mode."""


def _parser() -> cli.Parser:
    """The command line."""
    made = cli.Parser(
        settings=False,
        prog="python -m azdab.play",
        usage="%(prog)s [--web | --mode human|ai|dual-ai | --replay FILE | --protocol] "
        "[--OPTION VALUE ...]",
        description="Play Dots and Boxes against azdab; without options, in the terminal.",
    )
    add = made.add_argument
    add("--mode", choices=("human", "ai", "dual-ai"), default="human",
        help="you against azdab; azdab against itself; two players against each other")  # fmt: skip
    add("--web", action="store_true", help="play in the browser (extra: web)")
    add(
        "--protocol",
        action="store_true",
        help="talk to another program, see azdab/terminal/protocol.py",
    )
    add("--replay", metavar="FILE", help="step through recorded games")
    add("--board", metavar="RxC", help="the board in boxes; default: the network's, or 5x5")
    add("--level", metavar="LEVEL", help=f"{', '.join(LEVELS)}; default: {DEFAULT_LEVEL}")
    add("--ai-first", action="store_true", help="azdab moves first")
    add("--checkpoint", metavar="NAME",
        help="a run, a checkpoint, 'best' or 'latest' of the newest run, a bundled network, or in "
        "dual-ai any player that azdab.evaluate knows; default: the bundled network")  # fmt: skip
    add("--checkpoint2", metavar="NAME", help="the second player of dual-ai")
    add("--simulations", metavar="N", type=int, help="simulations of the search for each move")
    add("--simulations2", metavar="N", type=int, help="of the second player of dual-ai")
    add("--time-per-move", metavar="SECONDS", type=float, help="about how long to think")
    add("--no-solver", action="store_true", help="play by network and search only, not exactly")
    add("--num-games", metavar="N", type=int, help="games of ai (default 1), dual-ai (default 40)")
    add("--opening-plies", metavar="N", type=int,
        help="random moves at the start of each pair of games; 2, or 0 for one game")  # fmt: skip
    add("--seed", metavar="N", type=int, default=0, help="of everything random")
    add("--save-games", metavar="FILE", help="add the games to this file of records")
    add("--host", metavar="ADDRESS", default="127.0.0.1", help="where the page listens")
    add("--port", metavar="N", type=int, default=8000, help="where the page listens")
    add("--no-browser", action="store_true", help="do not open the page")
    add("--runs", metavar="DIR", default="runs", help="where runs live")
    return made


def _check(options: Any) -> None:
    """Check that the options make sense, alone and together.

    Raises:
      UserError: says which, and why.
    """
    if sum((options.web, options.protocol, bool(options.replay), options.mode != "human")) > 1:
        raise UserError("choose one of --web, --protocol, --replay and --mode")
    bounds = {
        "simulations": (0, MAX_SIMULATIONS),
        "simulations2": (0, MAX_SIMULATIONS),
        "num_games": (1, 1_000_000),
        "opening_plies": (0, 219),
        "seed": (0, 2**31 - 1),
        "port": (1, 65535),
    }
    for name, (low, high) in bounds.items():
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            option = name.replace("_", "-")
            raise UserError(f"--{option} must be {low} to {high}, got {value}")
    seconds = options.time_per_move
    if seconds is not None and not 0 < seconds <= 3600:
        raise UserError(f"--time-per-move must be 0 to 3600 seconds, got {seconds}")
    if options.level is not None and options.level not in LEVELS:
        raise UserError(f"--level must be {', '.join(LEVELS)}; got '{options.level}'")
    if options.mode != "dual-ai" and (options.checkpoint2 or options.simulations2 is not None):
        raise UserError("--checkpoint2 and --simulations2 need --mode dual-ai")
    if options.mode == "dual-ai" and not (options.checkpoint and options.checkpoint2):
        raise UserError("--mode dual-ai needs --checkpoint and --checkpoint2: who plays whom?")
    if options.save_games and not Path(options.save_games).absolute().parent.is_dir():
        raise UserError(f"--save-games: no directory {Path(options.save_games).parent}")


def engine_loader(options: Any) -> Callable[[Board, str | None], Engine]:
    """A function that makes engines as the options say, for any board and level."""

    def load(board: Board, level: str | None) -> Engine:
        chosen = LEVELS[level or options.level or DEFAULT_LEVEL]
        usual = level in (None, options.level or DEFAULT_LEVEL)
        if options.simulations is not None and usual:
            chosen = chosen._replace(simulations=options.simulations)
        where: Board | str = board
        if options.checkpoint:
            found = checkpoint.load_network(
                checkpoint.resolve(options.checkpoint, Path(options.runs))
            )
            if found.board == board:
                where = options.checkpoint
        return Engine.load(
            where,
            chosen,
            runs=Path(options.runs),
            seconds=options.time_per_move,
            solver=not options.no_solver,
            seed=options.seed,
        )

    return load


def _chosen_board(options: Any) -> Board:
    """The board of the options, else the network's, else 5x5.

    Raises:
      UserError: the network plays on another one.
    """
    asked = parse_board(options.board) if options.board else None
    if not options.checkpoint:
        return asked or BOARD
    path = checkpoint.resolve(options.checkpoint, Path(options.runs))
    trained = checkpoint.load_network(path).board
    if asked and asked != trained:
        raise UserError(f"{options.checkpoint} plays on {trained}, not on {asked}")
    return trained


def play_human(options: Any, console: Console) -> None:
    """A person against the engine, in the terminal."""
    board, load = _chosen_board(options), engine_loader(options)
    with console.status("loading the engine"):
        engine = load(board, None)
    console.print(
        f"You are {prompt.player_tag(1 if options.ai_first else 0)}, "
        f"{engine.name} is {prompt.player_tag(0 if options.ai_first else 1)}. "
        "Draw an edge with its number, 'h ROW COL' or 'v ROW COL'; 'help' shows the rest.",
        highlight=False,
    )
    if engine.trained is None:
        console.print(
            f"No network comes for {board}: azdab plays by alpha-beta search. "
            f"There is one for {', '.join(checkpoint.bundled_networks())}."
        )
    game = prompt.GamePrompt(console, engine, 0 if options.ai_first else 1, load, Position(board))
    try:
        game.cmdloop()
    finally:
        if options.save_games and game.position.moves:
            save(options, [game.record()])


def save(options: Any, games: list[Record]) -> None:
    """Add games to the file of the options."""
    record.write_text(Path(options.save_games), record.records_text(games), append=True)


def watch(options: Any, console: Console) -> None:
    """One game of the engine against itself, board by board."""
    board = _chosen_board(options)
    with console.status("loading the engine"):
        engine = engine_loader(options)(board, None)
    opening = matches.random_openings(board, 1, options.opening_plies or 0, options.seed)[0]
    here = Position(board, tuple(opening.tolist()))
    while not here.is_over:
        here = here.play(engine.choose(here))
        console.print(here.text(numbers=False), highlight=False)
    console.print(prompt.result_line(here), highlight=False)
    if options.save_games:
        save(options, [Record(here, first=engine.name, second=engine.name)])


def contestant(options: Any, name: str, simulations: int | None) -> str:
    """The specification of a player of dual-ai: a player's own, or an engine's with a network."""
    if name.partition(":")[0] in registry.PLAYERS or name.startswith("chains-"):
        if simulations is not None:
            raise UserError(f"--simulations are of networks; write '{name}:simulations=N'")
        return name
    path = checkpoint.resolve(name, Path(options.runs))
    level = LEVELS[options.level or DEFAULT_LEVEL]
    count = max(level.simulations, 0) if simulations is None else simulations
    if count == 0:
        return f"network:checkpoint={path}"
    kind = "search" if options.no_solver or not level.edges else "engine"
    return f"{kind}:checkpoint={path},simulations={count}"


def watch_match(options: Any, console: Console) -> None:
    """Many games between two players, sides swapped, with a table of results."""
    games = options.num_games or GAMES_OF_MODE[options.mode]
    if games % 2:
        raise UserError(f"--num-games must be even, so that sides can be swapped; got {games}")
    if options.time_per_move is not None:
        raise UserError("--time-per-move is not kept in matches: use --simulations")
    first = options.checkpoint or str(_chosen_board(options))
    second = options.checkpoint2 if options.mode == "dual-ai" else first
    simulations = options.simulations2 if options.mode == "dual-ai" else options.simulations
    specs = [
        contestant(options, first, options.simulations),
        contestant(options, second, simulations),
    ]
    board = tournament.board_of_match(options.board, specs, None)
    plies = 2 if options.opening_plies is None else options.opening_plies
    if plies >= board.num_edges:
        raise UserError(f"--opening-plies must be less than the {board.num_edges} edges")
    with console.status("loading the players"):
        acts = [registry.make_player(spec, board) for spec in specs]
    named = [first, second] if first != second else [f"{first} (1)", f"{second} (2)"]
    pair = tuple(p._replace(name=name) for p, name in zip(acts, named, strict=True))
    with progress.bar(console, "games", transient=True) as shown:
        bar = shown.add_task("", total=games)
        played = matches.play_match(
            board, (pair[0], pair[1]), games=games, opening_plies=plies, seed=options.seed,
            advance=lambda done: shown.advance(bar, done),
        )  # fmt: skip
    if played.interrupted:
        console.print("Interrupted: these are the results of the finished games.")
    console.print(tournament.match_table(played))
    if options.save_games:
        save(options, records(board, played))


def records(board: Board, played: Match) -> list[Record]:
    """The games of a match; A moves first in games 0, 2, 4, ..."""
    games = []
    for number, moves in enumerate(played.actions.tolist()):
        names = played.names if number % 2 == 0 else played.names[::-1]
        about = f"game {number + 1}, first {played.opening_plies} moves random"
        games.append(Record(Position(board, tuple(moves)), *names, event=about))
    return games


def open_page(options: Any, console: Console) -> None:
    """Serve the page until Ctrl-C."""
    try:
        from azdab.web import app
    except ImportError:
        raise UserError("the page needs: pip install 'azdab[web]'") from None
    app.serve(
        options.host, options.port, console,
        engine_loader(options), _chosen_board(options), options.level or DEFAULT_LEVEL,
        open_browser=not options.no_browser,
    )  # fmt: skip


def _run(options: Any, console: Console) -> None:
    """Do what the options ask for."""
    if options.replay:
        board = parse_board(options.board) if options.board else None
        prompt.ReplayPrompt(console, exchange.load_games(Path(options.replay), board)).cmdloop()
    elif options.web:
        open_page(options, console)
    elif options.protocol:
        talk = protocol.Protocol(engine_loader(options), _chosen_board(options), options.level)
        protocol.converse(talk, protocol.lines(sys.stdin.buffer), sys.stdout)
    elif options.mode == "human":
        play_human(options, console)
    elif options.mode == "ai" and (options.num_games or 1) == 1:
        watch(options, console)
    else:
        watch_match(options, console)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    console = Console()
    command = _parser()
    options, _ = command.parse(argv)

    def work() -> None:
        _check(options)
        device.enable_cache()
        _run(options, console)

    return command.run(work, lambda: console.print("\nStopped."))


if __name__ == "__main__":
    sys.exit(main())
