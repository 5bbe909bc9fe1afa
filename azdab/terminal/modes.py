"""What ``azdab.play`` does in the terminal: you against azdab, a game to watch, a match."""

from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from azdab.common import progress
from azdab.common.errors import UserError
from azdab.engine import loading
from azdab.engine.loading import EngineOptions
from azdab.game import gamefile
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.game.record import Record
from azdab.measure import tournament
from azdab.players import choosers, matches, registry
from azdab.players.matches import Match
from azdab.players.registry import Player
from azdab.runs import networks
from azdab.terminal import prompt, wording


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
            f"You are {wording.player_tag(1 - seat)}, {escape(engine.name)} is "
            f"{wording.player_tag(seat)}. "
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
        game.rest()
        if game.position.moves:
            _save(games, [game.record()], console)


def watch(options: EngineOptions, games: GameOptions, console: Console) -> None:
    """One game of the engine against itself, board by board."""
    board = loading.chosen_board(options)
    plies = games.opening_plies or 0
    matches.check_opening(board, plies, "--opening-plies")
    with console.status("loading the engine"):
        engine = loading.engine_loader(options)(board, None)
    opening = matches.random_openings(board, 1, plies, options.seed)[0]
    here = Position(board, tuple(opening.tolist()))
    try:
        while not here.is_over:
            here = here.play(engine.choose(here))
            console.print(here.text(numbers=False), highlight=False)
    finally:
        if len(here.moves) > len(opening):
            _save(games, [Record(here, first=engine.name, second=engine.name)], console)
    console.print(Text.from_markup(wording.result_line(here)))


def watch_match(
    options: EngineOptions, games: GameOptions, console: Console, *, usual_games: int
) -> None:
    """Many games between two players, sides swapped, with a table of results.

    The second player is the engine too, unless ``games`` names another.
    """
    count = games.num_games or usual_games
    if count % 2:
        raise UserError(f"--num-games must be even, so that sides can be swapped; got {count}")
    other = options
    if games.checkpoint2:
        other = options._replace(checkpoint=games.checkpoint2, simulations=games.simulations2)
    both = (options, other)
    named = [one.checkpoint for one in both if one.checkpoint and _is_player(one.checkpoint)]
    engines = [one for one in both if one.checkpoint not in named]
    if engines:
        board = loading.chosen_board(engines[0])
    else:
        for name in ("level", "time_per_move", "time_per_game", "ponder", "no_solver"):
            if getattr(options, name):
                raise UserError(f"--{name.replace('_', '-')} is of networks, and nobody plays one")
        board = tournament.board_of_match(options.board, named, None, options.runs)
    plies = 2 if games.opening_plies is None else games.opening_plies
    matches.check_opening(board, plies, "--opening-plies")
    with console.status("loading the players"):
        first = _contestant(options, board)
        second = first if other is options else _contestant(other, board)
    if first.name == second.name:
        first, second = (
            one._replace(name=f"{one.name} ({i})") for i, one in ((1, first), (2, second))
        )
    with progress.bar(console, "games", transient=True) as shown:
        bar = shown.add_task("", total=count)
        played = matches.play_match(
            board, (first, second), games=count, opening_plies=plies, seed=options.seed,
            advance=lambda done: shown.advance(bar, done),
        )  # fmt: skip
    _save(games, _records(board, played), console)
    if played.interrupted:
        console.print("Interrupted: these are the results of the finished games.")
    console.print(tournament.match_table(played))
    for line in tournament.forfeit_lines(played):
        console.print(line, highlight=False, soft_wrap=True)


def _is_player(word: str) -> bool:
    """Whether a word names a player of matches, and not a network."""
    return word.partition(":")[0] in registry.PLAYERS or word.startswith("chains-")


def _contestant(options: EngineOptions, board: Board) -> Player:
    """A player of a match: one that the options name, or the engine as they say."""
    name = options.checkpoint
    if name and _is_player(name):
        if options.simulations is not None:
            raise UserError(f"--simulations are of networks; write '{name}:simulations=N'")
        return registry.make_player(name, board, runs=options.runs)
    if name:
        board = loading.chosen_board(options._replace(board=board))  # refuses another size
    engine = loading.engine_loader(options)(board, None)
    return Player(name or str(board), choosers.engine_act(engine))


def _records(board: Board, played: Match) -> list[Record]:
    """The games of a match; A moves first in games 0, 2, 4, ..."""
    forfeits = {lost.game: lost for lost in played.forfeits}
    games = []
    for number, moves in enumerate(played.actions.tolist()):
        names = played.names if number % 2 == 0 else played.names[::-1]
        about = f"game {number + 1}, first {played.opening_plies} moves random"
        remark = ""
        if lost := forfeits.get(number):
            moves = moves[: lost.ply - 1]
            remark = f"{played.names[lost.player]} forfeits: it {lost.reason}"
        games.append(Record(Position(board, tuple(moves)), *names, event=about, remark=remark))
    return games


def _save(games: GameOptions, played: list[Record], console: Console) -> None:
    """Add games to the file of the options, if there is one."""
    if games.save_games and (note := gamefile.append_games(games.save_games, played)):
        console.print(note, soft_wrap=True)
