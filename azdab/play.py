"""``python -m azdab.play``: play azdab, watch it, let programs talk to it, replay games."""

import sys
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from azdab.common import cli, screen
from azdab.common.errors import UserError
from azdab.common.limits import MAX_BATCH_GAMES, MAX_SIMULATIONS
from azdab.common.screen import Output
from azdab.devices import device
from azdab.engine import loading
from azdab.engine.levels import DEFAULT_LEVEL, LEVELS
from azdab.engine.loading import EngineOptions
from azdab.game import exchange, gamefile
from azdab.game.board import parse_board
from azdab.terminal import modes, prompt, protocol
from azdab.terminal.modes import GameOptions

USUAL_GAMES = 40
"""Games between two players, if the options do not say how many."""


class PlayOptions(NamedTuple):
    """What is done, and where the page is."""

    mode: str
    web: bool
    protocol: bool
    replay: Path | None
    host: str
    port: int
    no_browser: bool
    allow_host: list[str]
    path_prefix: str
    max_connections: int
    request_seconds: float


def _parser() -> cli.Parser:
    """The command line."""
    made = cli.Parser(
        overrides=False,
        prog="python -m azdab.play",
        usage="%(prog)s [--web | --mode human|ai|dual-ai | --replay FILE | --protocol] "
        "[--OPTION VALUE ...]",
        description="Play Dots and Boxes against azdab; without options, in the terminal.",
    )
    add, simulations = made.add_argument, cli.whole(0, MAX_SIMULATIONS)
    add("--mode", choices=("human", "ai", "dual-ai"), default="human",
        help="you against azdab; azdab against itself; two players against each other")  # fmt: skip
    add("--web", action="store_true", help="play in the browser (extra: web)")
    add(
        "--protocol",
        action="store_true",
        help="talk to another program, see azdab/terminal/protocol.py",
    )
    add("--replay", metavar="FILE", type=cli.named_path, help="step through recorded games")
    add("--board", metavar="RxC", type=cli.argument(parse_board),
        help="the board in boxes, such as 5x5, or with lines drawn at the start, such as "
        "5x5:swedish; default: the network's, or 5x5")  # fmt: skip
    add("--level", metavar="LEVEL", type=cli.choice(list(LEVELS)),
        help=f"{', '.join(LEVELS)}; default: {DEFAULT_LEVEL}")  # fmt: skip
    add("--ai-first", action="store_true", help="azdab moves first")
    add("--checkpoint", metavar="NAME",
        help="a run, a checkpoint, 'best' or 'latest' of the newest run, a bundled network, or in "
        "dual-ai any player that azdab.evaluate knows; default: the bundled network")  # fmt: skip
    add("--checkpoint2", metavar="NAME", help="the second player of dual-ai")
    add(
        "--simulations",
        metavar="N",
        type=simulations,
        help="simulations of the search for each move",
    )
    add("--simulations2", metavar="N", type=simulations, help="of the second player of dual-ai")
    add("--time-per-move", metavar="SECONDS", type=cli.seconds,
        help="how long azdab thinks, where its move is not proven earlier")  # fmt: skip
    add("--time-per-game", metavar="SECONDS", type=cli.seconds,
        help="how long azdab thinks in a whole game, longest about the hardest moves")  # fmt: skip
    add("--ponder", action="store_true", help="azdab thinks on your time too")
    add("--no-solver", action="store_true", help="play by network and search only, not exactly")
    add("--num-games", metavar="N", type=cli.whole(1, MAX_BATCH_GAMES),
        help=f"games of ai (default 1), dual-ai (default {USUAL_GAMES})")  # fmt: skip
    add("--opening-plies", metavar="N", type=cli.whole(0, 219),
        help="random moves at the start of each pair of games; 2, or 0 for one game")  # fmt: skip
    add("--seed", metavar="N", type=cli.whole(0, 2**31 - 1), default=0,
        help="of everything random")  # fmt: skip
    add("--save-games", metavar="FILE", type=cli.output_file,
        help="add the games to this file of records")  # fmt: skip
    add("--host", metavar="ADDRESS", default="127.0.0.1", help="where the page listens")
    add("--port", metavar="N", type=cli.whole(1, 65535), default=8000,
        help="where the page listens")  # fmt: skip
    add("--no-browser", action="store_true", help="do not open the page")
    add("--allow-host", metavar="NAME", action="append", default=[],
        help="a name under which a proxy serves the page; may be given again")  # fmt: skip
    add("--path-prefix", metavar="PATH", default="",
        help="what a proxy leaves before the page's paths, such as /dots")  # fmt: skip
    add("--max-connections", metavar="N", type=cli.whole(1, 10_000), default=256,
        help="connections that the page holds; default: 256")  # fmt: skip
    add("--request-seconds", metavar="SECONDS", type=cli.seconds, default=15.0,
        help="in which a request to the page must arrive; default: 15")  # fmt: skip
    add("--runs", metavar="DIR", type=cli.named_path, default="runs", help="where runs live")
    return made


_HUMAN, _AI, _DUAL = "--mode human", "--mode ai", "--mode dual-ai"
_WEB, _PROTOCOL, _REPLAY = "--web", "--protocol", "--replay"

_USES = {
    **dict.fromkeys(("checkpoint2", "simulations2"), (_DUAL,)),
    **dict.fromkeys(("num_games", "opening_plies"), (_AI, _DUAL)),
    **dict.fromkeys(
        ("level", "checkpoint", "simulations", "time_per_move", "time_per_game", "ponder",
         "no_solver", "seed"),
        (_HUMAN, _AI, _DUAL, _WEB, _PROTOCOL),
    ),
    **dict.fromkeys(
        ("host", "port", "no_browser", "allow_host", "path_prefix", "max_connections",
         "request_seconds"),
        (_WEB,),
    ),
    "ai_first": (_HUMAN,),
    "save_games": (_HUMAN, _AI, _DUAL),
}  # fmt: skip
"""In what an option does something; all others always do."""


def _doing(options: PlayOptions) -> str:
    """What is asked for, in the words of ``_USES``."""
    asked = {_WEB: options.web, _PROTOCOL: options.protocol, _REPLAY: options.replay}
    return next((what for what, is_asked in asked.items() if is_asked), f"--mode {options.mode}")


def _check(options: PlayOptions, engine: EngineOptions, games: GameOptions) -> None:
    """Refuse options that make no sense together.

    Raises:
      UserError: says which, and why.
    """
    if sum((options.web, options.protocol, bool(options.replay), options.mode != "human")) > 1:
        raise UserError("choose one of --web, --protocol, --replay and --mode")
    if engine.ponder and engine.time_per_move is None and engine.time_per_game is None:
        raise UserError("--ponder needs --time-per-move or --time-per-game")
    if options.mode == "dual-ai" and not (engine.checkpoint and games.checkpoint2):
        raise UserError("--mode dual-ai needs --checkpoint and --checkpoint2: who plays whom?")


def _open_page(options: PlayOptions, engine: EngineOptions, console: Console) -> None:
    """Serve the page until Ctrl-C."""
    try:
        from azdab.web import server
        from azdab.web.connections import ConnectionLimits
    except ImportError:
        raise UserError("the page needs: pip install 'azdab[web]'") from None
    server.serve(
        options.host, options.port, console,
        loading.engine_loader(engine), loading.chosen_board(engine), engine.level or DEFAULT_LEVEL,
        open_browser=not options.no_browser, allowed=options.allow_host,
        prefix=options.path_prefix,
        limits=ConnectionLimits(options.max_connections, options.request_seconds),
    )  # fmt: skip


def _play(
    options: PlayOptions, engine: EngineOptions, games: GameOptions, console: Console
) -> None:
    """Do what the options ask for."""
    if games.save_games:
        gamefile.check_appendable(games.save_games)
    device.enable_cache()
    device.start()
    if options.replay:
        found = exchange.load_games(options.replay, engine.board, console.print)
        prompt.ReplayPrompt(console, found).cmdloop()
    elif options.web:
        _open_page(options, engine, console)
    elif options.protocol:
        load, board = loading.engine_loader(engine), loading.chosen_board(engine)
        talk = protocol.Protocol(load, board, engine.level)
        protocol.converse(talk, protocol.lines(sys.stdin.buffer), Output())
    elif options.mode == "human":
        modes.play_human(engine, games, console)
    elif options.mode == "ai" and (games.num_games or 1) == 1:
        modes.watch(engine, games, console)
    else:
        modes.watch_match(engine, games, console, usual_games=USUAL_GAMES)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    console = screen.open_screen()
    command = _parser()
    given, _ = command.parse(argv)
    options, engine = cli.typed(PlayOptions, given), cli.typed(EngineOptions, given)
    games = cli.typed(GameOptions, given)
    console.is_all = not (options.web or games.save_games)

    def work() -> None:
        _check(options, engine, games)
        command.refuse_idle(given, _doing(options), _USES)
        _play(options, engine, games, console)

    return command.run(work, console, "\nStopped.")


if __name__ == "__main__":
    sys.exit(main())
