"""What ``azdab.play`` does in the terminal: you against azdab, a game to watch, a match."""

from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from azdab.common import progress
from azdab.common.errors import UserError
from azdab.engine import loading
from azdab.engine.engine import DEFAULT_LEVEL, LEVELS
from azdab.engine.loading import EngineOptions
from azdab.game import gamefile
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.game.record import Record
from azdab.measure import tournament
from azdab.players import matches, registry
from azdab.players.matches import Match
from azdab.runs import networks
from azdab.terminal import prompt


class GameOptions(NamedTuple):
    """What a command line says about games, beside the engines.

    Attributes:
      ai_first: whether azdab moves first, against a person.
      checkpoint2: the second player of a match between two.
      simulations2: its simulations for each move; None: its level's.
      num_games: None: as many as the mode usually plays.
      opening_plies: random moves at the start; None: as many as usual.
      save_games: a file of records to which the games are added.
    """

    ai_first: bool
    checkpoint2: str | None
    simulations2: int | None
    num_games: int | None
    opening_plies: int | None
    save_games: Path | None


def play_human(options: EngineOptions, games: GameOptions, console: Console) -> None:
    """A person against the engine."""
    board, load = loading.chosen_board(options), loading.engine_loader(options)
    with console.status("loading the engine"):
        engine = load(board, None)
    seat = 0 if games.ai_first else 1
    console.print(
        Text.from_markup(
            f"You are {prompt.player_tag(1 - seat)}, {escape(engine.name)} is "
            f"{prompt.player_tag(seat)}. "
            "Draw an edge with its number, 'h ROW COL' or 'v ROW COL'; 'help' shows the rest."
        )
    )
    if engine.trained is None:
        console.print(
            f"No network comes for {board}: azdab plays by alpha-beta search. "
            f"There is one for {', '.join(networks.bundled_networks())}."
        )
    game = prompt.GamePrompt(console, engine, seat, load, Position(board))
    try:
        game.cmdloop()
    finally:
        if game.position.moves:
            _save(games, [game.record()], console)


def watch(options: EngineOptions, games: GameOptions, console: Console) -> None:
    """One game of the engine against itself, board by board."""
    board = loading.chosen_board(options)
    with console.status("loading the engine"):
        engine = loading.engine_loader(options)(board, None)
    opening = matches.random_openings(board, 1, games.opening_plies or 0, options.seed)[0]
    here = Position(board, tuple(opening.tolist()))
    try:
        while not here.is_over:
            here = here.play(engine.choose(here))
            console.print(here.text(numbers=False), highlight=False)
    finally:
        if len(here.moves) > len(opening):
            _save(games, [Record(here, first=engine.name, second=engine.name)], console)
    console.print(Text.from_markup(prompt.result_line(here)))


def watch_match(
    options: EngineOptions, games: GameOptions, console: Console, *, usual_games: int
) -> None:
    """Many games between two players, sides swapped, with a table of results.

    The second player is the engine too, unless ``games`` names another.
    """
    count = games.num_games or usual_games
    if count % 2:
        raise UserError(f"--num-games must be even, so that sides can be swapped; got {count}")
    if options.time_per_move is not None:
        raise UserError("--time-per-move is not kept in matches: use --simulations")
    first = options.checkpoint or str(loading.chosen_board(options))
    second, simulations = first, options.simulations
    if games.checkpoint2:
        second, simulations = games.checkpoint2, games.simulations2
    specs = [
        _contestant(options, first, options.simulations),
        _contestant(options, second, simulations),
    ]
    board = tournament.board_of_match(options.board, specs, None)
    plies = 2 if games.opening_plies is None else games.opening_plies
    if plies >= board.num_plies:
        raise UserError(f"--opening-plies must be less than the {board.num_plies} edges")
    with console.status("loading the players"):
        acts = [registry.make_player(spec, board) for spec in specs]
    named = [first, second] if first != second else [f"{first} (1)", f"{second} (2)"]
    pair = tuple(p._replace(name=name) for p, name in zip(acts, named, strict=True))
    with progress.bar(console, "games", transient=True) as shown:
        bar = shown.add_task("", total=count)
        played = matches.play_match(
            board, (pair[0], pair[1]), games=count, opening_plies=plies, seed=options.seed,
            advance=lambda done: shown.advance(bar, done),
        )  # fmt: skip
    _save(games, _records(board, played), console)
    if played.interrupted:
        console.print("Interrupted: these are the results of the finished games.")
    console.print(tournament.match_table(played))


def _contestant(options: EngineOptions, name: str, simulations: int | None) -> str:
    """The specification of a player of a match: a player's own, or an engine's with a network."""
    if name.partition(":")[0] in registry.PLAYERS or name.startswith("chains-"):
        if simulations is not None:
            raise UserError(f"--simulations are of networks; write '{name}:simulations=N'")
        return name
    path = networks.resolve(name, options.runs)
    level = LEVELS[options.level or DEFAULT_LEVEL]
    count = max(level.simulations, 0) if simulations is None else simulations
    if count == 0:
        return f"network:checkpoint={path}"
    kind = "search" if options.no_solver or not level.edges else "engine"
    return f"{kind}:checkpoint={path},simulations={count}"


def _records(board: Board, played: Match) -> list[Record]:
    """The games of a match; A moves first in games 0, 2, 4, ..."""
    games = []
    for number, moves in enumerate(played.actions.tolist()):
        names = played.names if number % 2 == 0 else played.names[::-1]
        about = f"game {number + 1}, first {played.opening_plies} moves random"
        games.append(Record(Position(board, tuple(moves)), *names, event=about))
    return games


def _save(games: GameOptions, played: list[Record], console: Console) -> None:
    """Add games to the file of the options, if there is one."""
    if games.save_games and (note := gamefile.append_games(games.save_games, played)):
        console.print(note, soft_wrap=True)
