"""What the terminal says of players, positions and results."""

from rich.table import Table

from azdab.engine.engine import Analysis
from azdab.game.drawing import PLAYER_LETTERS, PLAYER_STYLES
from azdab.game.position import Position, move_name


def player_tag(player: int) -> str:
    """A player's letter in the player's colour."""
    return f"[{PLAYER_STYLES[player]}]{PLAYER_LETTERS[player]}[/]"


def forecast_line(here: Position, found: Analysis) -> str:
    """What an analysis expects, in one line for both players."""
    if found.margin is None:
        return "No network for this board: nothing is known before the exact end."
    lead = found.margin if here.to_play == 0 else -found.margin
    ahead = 0 if lead >= 0 else 1
    if found.exact is not None:
        if not found.exact:
            return "Exact: a draw under perfect play."
        return f"Exact: {player_tag(ahead)} wins by {abs(found.exact)} under perfect play."
    expected = f"expected margin {abs(lead):.1f} boxes for {player_tag(ahead)}."
    if found.win_probability is None:
        return f"No network for this board: the search has an {expected}"
    chance = found.win_probability if here.to_play == 0 else 1 - found.win_probability
    return (
        f"{player_tag(0)} wins with {chance:.0%}, {player_tag(1)} with {1 - chance:.0%}; {expected}"
    )


def candidates_table(here: Position, found: Analysis, count: int) -> Table:
    """The best moves; margins from the mover's side."""
    table = Table(box=None, pad_edge=False)
    for name in ("move", "edge", "visits", "prior", "margin", "exact"):
        table.add_column(name, justify="left" if name == "move" else "right")
    for move in found.candidates[:count]:
        table.add_row(
            move_name(here.board, move.edge),
            str(move.edge),
            str(move.visits),
            "" if move.prior is None else f"{move.prior:.1%}",
            "" if move.margin is None else f"{move.margin:+z.2f}",
            "" if move.exact is None else f"{move.exact:+d}",
        )
    return table


def result_line(here: Position) -> str:
    """The result of a finished game."""
    first, second = here.scores
    if first == second:
        return f"The game is drawn, {first}-{second}."
    return f"{player_tag(0 if first > second else 1)} wins, {first}-{second}."
