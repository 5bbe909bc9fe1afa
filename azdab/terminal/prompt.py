"""A game in the terminal: a person against the engine, or a record stepped through."""

import cmd
import dataclasses
import datetime
import re
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from azdab.common import files
from azdab.common.errors import UserError, one_line
from azdab.engine.engine import Analysis, Engine
from azdab.engine.levels import DEFAULT_LEVEL, LEVELS
from azdab.game import exchange, record
from azdab.game.board import Board, parse_board
from azdab.game.drawing import PLAYER_LETTERS
from azdab.game.position import IllegalMoveError, Position, move_name
from azdab.game.record import Record
from azdab.terminal.wording import candidates_table, forecast_line, player_tag, result_line

LoadEngine = Callable[[Board, str | None], Engine]
"""Makes the engine for a board and a level; None: what the command line said."""


class _Prompt(cmd.Cmd):
    """What both loops share: errors in one line, the end of input; an empty line does nothing."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def say(self, text: str) -> None:
        """Print a line, with players as :func:`player_tag` writes them."""
        self.console.print(Text.from_markup(text, emoji=False), soft_wrap=True)

    def complain(self, text: str) -> None:
        """Print a line about what cannot be done."""
        self.console.print(Text(text, "red"), soft_wrap=True)

    def draw(self, here: Position, *, numbers: bool = True) -> None:
        """Print the board and the scores."""
        first, second = here.scores
        self.console.print(here.text(numbers))
        self.say(f"{player_tag(0)} {first}   {player_tag(1)} {second}")

    def onecmd(self, line: str) -> bool:
        word, space, rest = line.strip().partition(" ")
        word = word if word == "EOF" else word.lower()
        try:
            return bool(super().onecmd(word + space + rest))
        except UserError as error:
            self.complain(str(error))
            return False

    def emptyline(self) -> bool:
        return False

    def default(self, line: str) -> None:
        self.complain(f"Unknown command '{one_line(line.split()[0], 40)}'; try 'help'.")

    def do_EOF(self, argument: str) -> bool:  # noqa: N802  the name that cmd gives the end of input
        self.console.print()
        return True

    def do_quit(self, argument: str) -> bool:
        """quit: leave."""
        return True

    do_exit = do_quit

    def do_help(self, argument: str) -> None:
        """help: this list."""
        commands = {name for name in self.get_names() if name.startswith("do_")}
        for name in sorted(commands - {"do_exit", "do_EOF"}):
            self.say(escape(getattr(self, name).__doc__ or ""))


class GamePrompt(_Prompt):
    """A person against the engine.

    Args:
      console: where to print.
      engine: plays ``seat``.
      seat: the engine's, 0 if it moves first.
      load: makes engines for other boards and levels.
      start: the position to begin with.
    """

    def __init__(
        self, console: Console, engine: Engine, seat: int, load: LoadEngine, start: Position
    ) -> None:
        super().__init__(console)
        self.position = start
        self._loaded = Record(start)
        self._engine, self._seat, self._load = engine, seat, load
        self._level: str | None = None
        self._adviser: Engine | None = None
        self._advance()

    def record(self) -> Record:
        """The game so far, with all that is known of the record it was loaded from."""
        names = ["human", "human"]
        names[self._seat] = self._engine.name
        known = self._loaded.going_on(self.position)
        first, second = known.first or names[0], known.second or names[1]
        date = known.date or datetime.date.today().isoformat()
        return dataclasses.replace(known, first=first, second=second, date=date)

    def _advance(self) -> None:
        """Let the engine move while it is its turn, then show the board."""
        while not self.position.is_over and self.position.to_play == self._seat:
            with self.console.status("thinking"):
                edge = self._engine.choose(self.position)
            self.position = self.position.play(edge)
            self.say(f"azdab plays {move_name(self.position.board, edge)} ({edge}).")
        self.draw(self.position)
        self.prompt = f"{PLAYER_LETTERS[self.position.to_play]}> "
        if self.position.is_over:
            self.say(result_line(self.position) + " 'new' plays again, 'undo' takes back.")
            self.prompt = "game over> "

    def do_play(self, argument: str) -> None:
        """h ROW COL, v ROW COL, or an edge's number: draw this edge."""
        if self.position.is_over:
            raise IllegalMoveError("the game is over: 'new' begins another, 'undo' takes back")
        self.position = self.position.play(argument)
        self._advance()

    def _analysis(self) -> Analysis:
        """The engine that advises; its advice is good at any level of the opponent."""
        with self.console.status("thinking"):
            if self._engine.level.simulations > 0:
                return self._engine.analyze(self.position)
            if self._adviser is None or self._adviser.board != self.position.board:
                self._adviser = self._load(self.position.board, DEFAULT_LEVEL)
            return self._adviser.analyze(self.position)

    def preloop(self) -> None:
        self._engine.ponder(self.position)

    def precmd(self, line: str) -> str:
        self.rest()
        return line

    def postcmd(self, stop: bool, line: str) -> bool:
        if not stop:
            self._engine.ponder(self.position)
        return stop

    def rest(self) -> None:
        """End the engine's thinking on the person's time."""
        self._engine.rest()

    def onecmd(self, line: str) -> bool:
        # Everything that begins like a move is one: no command has a name of one letter.
        if re.match(rf"(?:[{PLAYER_LETTERS}]\s+)?(?:[HV](?![A-Z])|\d)", line.strip().upper()):
            line = f"play {line}"
        return super().onecmd(line)

    def do_board(self, argument: str) -> None:
        """board: show the board again."""
        self._advance()

    def do_moves(self, argument: str) -> None:
        """moves: list the legal moves."""
        names = [f"{move_name(self.position.board, e)} ({e})" for e in self.position.legal]
        self.say(", ".join(names) or "none")

    def do_hint(self, argument: str) -> None:
        """hint: the move the engine would play."""
        best = self._analysis().best
        if best is None:
            raise IllegalMoveError("the game is over")
        self.say(f"{move_name(self.position.board, best)} ({best})")

    def do_top5(self, argument: str) -> None:
        """top5: the five best moves: visits, prior, expected and exact final margin."""
        self.console.print(candidates_table(self.position, self._analysis(), 5))

    def do_eval(self, argument: str) -> None:
        """eval: win probability, expected margin, exact value where it is known."""
        self.say(forecast_line(self.position, self._analysis()))

    def do_undo(self, argument: str) -> None:
        """undo: take back your last move and what followed."""
        mine = [ply for ply, m in enumerate(self.position.movers[:-1]) if m != self._seat]
        if not mine:
            raise IllegalMoveError("there is no move of yours to take back")
        self.position = self.position.at(mine[-1])
        self._advance()

    def do_new(self, argument: str) -> None:
        """new [RxC]: begin another game, perhaps on another board, such as 5x5:swedish."""
        if argument:
            self._use(parse_board(argument))
        self.position = Position(self._engine.board)
        self._loaded = Record(self.position)
        self._advance()

    def do_swap(self, argument: str) -> None:
        """swap: change sides with the engine."""
        self._seat = 1 - self._seat
        self._advance()

    def do_level(self, argument: str) -> None:
        """level easy|medium|hard|max: how hard the engine tries."""
        if argument not in LEVELS:
            raise UserError(f"the levels are {', '.join(LEVELS)}")
        self._level = argument
        self._engine = self._load(self.position.board, argument)
        self.say(f"azdab now plays at level {argument}.")

    def _use(self, board: Board) -> None:
        if board != self._engine.board:
            with self.console.status(f"loading the engine for {board}"):
                self._engine = self._load(board, self._level)

    def do_save(self, argument: str) -> None:
        """save FILE: write the game as a record."""
        path = files.named(argument)
        if path.exists():
            raise UserError(f"{path} exists: choose another name")
        files.write_text(path, record.record_text(self.record()))
        self.say(f"Saved in {escape(str(path))}.")

    def do_load(self, argument: str) -> None:
        """load FILE: go on with a recorded game, the first in the file."""
        games = exchange.load_games(files.named(argument), self.position.board, self.complain)
        self._use(games[0].board)
        self._loaded = games[0]
        self.position = games[0].position
        self._advance()


class ReplayPrompt(_Prompt):
    """Step through records, one after the other.

    Args:
      console: where to print.
      games: at least one.
    """

    prompt = "replay> "

    def __init__(self, console: Console, games: list[Record]) -> None:
        super().__init__(console)
        self._games, self._number, self._ply = games, 0, 0
        self._show()

    def _show(self) -> None:
        game = self._games[self._number]
        here = game.position.at(self._ply)
        names = f"{game.first or 'A'} against {game.second or 'B'}"
        about = [names, game.event, game.date, f"result {game.result}"]
        title = f"Game {self._number + 1} of {len(self._games)}: " if len(self._games) > 1 else ""
        self.say(escape(title + ", ".join(filter(None, about))))
        self.draw(here, numbers=False)
        line = f"Move {self._ply} of {len(game.position.moves)}"
        if self._ply:
            ply, edge = self._ply - 1, here.moves[-1]
            line += f": {PLAYER_LETTERS[here.movers[ply]]} {move_name(here.board, edge)}"
            if ply in game.evaluations:
                line += f", {game.evaluations[ply]:+z.2f} boxes for A"
            if ply in game.remarks:
                line += f" - {game.remarks[ply]}"
        elif game.remark:
            line += f" - {game.remark}"
        self.say(escape(line))

    def _go(self, ply: int) -> None:
        last = len(self._games[self._number].position.moves)
        if not 0 <= ply <= last:
            raise UserError(f"this game has moves 0 to {last}")
        self._ply = ply
        self._show()

    def emptyline(self) -> bool:
        self._go(self._ply + 1)
        return False

    def do_next(self, argument: str) -> None:
        """next, or Enter: one move on."""
        self._go(self._ply + 1)

    def do_back(self, argument: str) -> None:
        """back: one move back."""
        self._go(self._ply - 1)

    def do_goto(self, argument: str) -> None:
        """goto N: the position after N moves."""
        self._go(_number(argument))

    def do_end(self, argument: str) -> None:
        """end: the last position."""
        self._go(len(self._games[self._number].position.moves))

    def do_game(self, argument: str) -> None:
        """game N: another game of the file, counted from 1."""
        number = _number(argument)
        if not 1 <= number <= len(self._games):
            raise UserError(f"there are games 1 to {len(self._games)}")
        self._number, self._ply = number - 1, 0
        self._show()


def _number(argument: str) -> int:
    if not (argument.isascii() and argument.isdigit() and len(argument) < 6):
        raise UserError(f"write a number, not '{argument[:40]}'")
    return int(argument)
