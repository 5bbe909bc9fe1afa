"""A recorded game, judged move by move."""

from collections.abc import Callable
from typing import Any, NamedTuple

from azdab.engine.engine import Analysis, Engine
from azdab.game import structure
from azdab.game.drawing import PLAYER_LETTERS
from azdab.game.position import Position, move_name
from azdab.game.record import Record

MISTAKE, BLUNDER = 1.0, 3.0
"""A move that loses this many boxes is marked ``?`` and ``??``. Smaller losses are within the
error of an estimate."""


def good_moves(found: Analysis) -> list[int]:
    """The best move, and those known to lose less than a mistake, as the page's hint shows them."""
    best = found.candidates[0].margin if found.candidates else None
    return [
        move.edge
        for move in found.candidates
        if move.edge == found.best
        or (best is not None and move.margin is not None and best - move.margin < MISTAKE)
    ]


class Verdict(NamedTuple):
    """What to think of one move.

    Attributes:
      before: the position it was played in.
      edge: the move.
      best: the engine's move.
      loss: boxes it costs its player, by the engine's estimate or exactly; None where
        nothing is known. Never negative.
      exact: whether the loss is exact.
      changes_result: whether a won game becomes a draw or lost, or a drawn one lost, for
        certain; only where the loss is exact.
    """

    before: Position
    edge: int
    best: int
    loss: float | None
    exact: bool
    changes_result: bool

    @property
    def mark(self) -> str:
        """``??`` for a blunder, ``?`` for a mistake, else empty."""
        loss = self.loss or 0.0
        if self.changes_result or loss >= BLUNDER:
            return "??"
        return "?" if loss >= MISTAKE else ""


class Review(NamedTuple):
    """A judged game.

    Attributes:
      game: the record.
      engine: the judge's name.
      analyses: of every position, ``plies + 1`` of them.
      verdicts: of every move.
    """

    game: Record
    engine: str
    analyses: list[Analysis]
    verdicts: list[Verdict]

    def margins(self) -> list[float | None]:
        """The first player's expected final margin in every position, in boxes."""
        movers = self.game.position.movers
        return [
            None if found.margin is None else found.margin * (1 if mover == 0 else -1)
            for found, mover in zip(self.analyses, movers, strict=True)
        ]

    def boxes_lost(self, player: int) -> float:
        """How many boxes a player's moves lost together."""
        return sum(v.loss or 0.0 for v in self.verdicts if v.before.to_play == player)


def review_game(game: Record, engine: Engine, advance: Callable[[], None] = lambda: None) -> Review:
    """Judge every move of a game.

    Args:
      game: finished or not.
      engine: for the game's board.
      advance: called after every position.
    """
    played = game.position
    positions = [played.at(ply) for ply in range(len(played.moves) + 1)]
    analyses = []
    for here in positions:
        analyses.append(engine.analyze(here))
        advance()
    verdicts = [
        _verdict(before, edge, analyses[ply], analyses[ply + 1], positions[ply + 1])
        for ply, (before, edge) in enumerate(zip(positions, played.moves, strict=False))
    ]
    return Review(game, engine.name, analyses, verdicts)


def _verdict(
    before: Position, edge: int, here: Analysis, there: Analysis, after: Position
) -> Verdict:
    best = here.best
    assert best is not None  # a move was played, so the game was not over
    same = 1 if after.to_play == before.to_play else -1
    exact = here.exact is not None and there.exact is not None
    if here.exact is not None and there.exact is not None:
        was, became = here.exact, same * there.exact
        changes = (was > 0) - (was < 0) > (became > 0) - (became < 0)
        return Verdict(before, edge, best, float(was - became), exact, changes)
    if here.margin is None or there.margin is None:
        return Verdict(before, edge, best, None, False, False)
    loss = 0.0 if edge == best else max(here.margin - same * there.margin, 0.0)
    return Verdict(before, edge, best, loss, False, False)


def annotated(judged: Review) -> Record:
    """The record with the engine's evaluations and remarks."""
    margins = judged.margins()
    evaluations = {ply: margin for ply, margin in enumerate(margins[1:]) if margin is not None}
    remarks = {ply: remark(verdict) for ply, verdict in enumerate(judged.verdicts)}
    remarks = {ply: text for ply, text in remarks.items() if text}
    game = judged.game
    return Record(
        game.position, game.first, game.second, game.date, game.event,
        game.remark, evaluations, remarks,
    )  # fmt: skip


def remark(verdict: Verdict) -> str:
    """A verdict in words; empty for a good move."""
    if not verdict.mark or verdict.loss is None:
        return ""
    board = verdict.before.board
    about = f"loses {verdict.loss:.0f}" if verdict.exact else f"loses about {verdict.loss:.1f}"
    text = f"{verdict.mark} {about}; better {move_name(board, verdict.best)}"
    return text + (", which keeps the result" if verdict.changes_result else "")


def review_values(judged: Review) -> dict[str, Any]:
    """Everything as plain values for JSON; margins are the first player's."""
    game = judged.game
    margins = judged.margins()
    moves = []
    for ply, verdict in enumerate(judged.verdicts):
        after = game.position.at(ply + 1)
        found = judged.analyses[ply + 1]
        sign = 1 if after.to_play == 0 else -1
        chance = found.win_probability
        moves.append(
            {
                "ply": ply + 1,
                "player": PLAYER_LETTERS[verdict.before.to_play],
                "move": move_name(game.board, verdict.edge),
                "best": move_name(game.board, verdict.best),
                "loss": _rounded(verdict.loss),
                "exact": verdict.exact,
                "changes_result": verdict.changes_result,
                "mark": verdict.mark,
                "margin": _rounded(margins[ply + 1]),
                "exact_margin": None if found.exact is None else sign * found.exact,
                "first_wins": _rounded(
                    None if chance is None else chance if sign > 0 else 1 - chance
                ),
                "scores": list(after.scores),
                "long_chains": structure.long_chains(after),
            }
        )
    return {
        "board": str(game.board),
        "first": game.first,
        "second": game.second,
        "date": game.date,
        "event": game.event,
        "result": game.result,
        "engine": judged.engine,
        "margin_at_start": _rounded(margins[0]),
        "boxes_lost": {
            PLAYER_LETTERS[player]: _rounded(judged.boxes_lost(player)) for player in (0, 1)
        },
        "moves": moves,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3) + 0.0  # no negative zero
