"""Matches and tournaments on the command line: options, progress, tables, JSON, a picture.

``azdab.evaluate`` offers them as ``--match A B`` and ``--tournament A B C ...``.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import TextColumn
from rich.table import Table

from azdab import __version__
from azdab.common import cli, files, progress
from azdab.common.errors import UserError
from azdab.common.json_text import json_text
from azdab.game.board import Board, parse_board
from azdab.measure import report
from azdab.players import matches, ratings, registry
from azdab.players.matches import Advance, Match, Tournament
from azdab.players.ratings import Interval, Sprt
from azdab.runs import networks

_FORFEITS_SHOWN = 5  # of a match, each with its reason

MOST_ELO = 2000.0
"""The largest difference that a sequential test is about; beyond it all games are won."""

GAMES_PER_MATCH = 200
"""Games per match unless the options say otherwise."""


class MatchOptions(NamedTuple):
    """What a command line says about matches.

    Attributes:
      match: two players; None: no match is asked for.
      tournament: several players; None likewise.
      sprt: Elo points of two hypotheses, between which a sequential test decides; None: no test.
      board: the board; None: that of the first network.
      batch: games of a match played at once; even.
      games: per match; even. None: ``GAMES_PER_MATCH``.
      opening_plies: random plies before each game.
      seed: of everything random.
      json: where the results are written.
      plot: where a picture is drawn.
      runs: where runs live, for players that are networks.
    """

    match: list[str] | None
    tournament: list[str] | None
    sprt: list[float] | None
    board: Board | None
    batch: int
    games: int | None
    opening_plies: int
    seed: int
    json: Path | None
    plot: Path | None
    runs: Path


def add_match_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that only matches have.

    ``games``, ``opening_plies``, ``seed``, ``json``, ``plot`` and ``runs`` are shared with the
    other form of the command.
    """
    group = parser.add_argument_group(
        "matches",
        "Players are written 'name' or 'name:option=value,option=value'. "
        + registry.describe_players().replace("\n", " ").replace("``", "").replace("%", "%%"),
    )
    which = group.add_mutually_exclusive_group()
    which.add_argument("--match", metavar=("A", "B"), nargs=2, help="play a match of two players")
    which.add_argument(
        "--tournament", metavar="PLAYER", nargs="+", help="everyone against everyone, with ratings"
    )
    group.add_argument(
        "--sprt",
        metavar=("ELO0", "ELO1"),
        nargs=2,
        type=cli.number(-MOST_ELO, MOST_ELO),
        help="stop a match when it has decided between A leading by ELO0 and by ELO1 points",
    )
    group.add_argument(
        "--board",
        metavar="RxC",
        type=cli.argument(parse_board),
        help="the board, such as 5x5, 5x5:swedish; otherwise the network's",
    )
    group.add_argument(
        "--batch",
        metavar="N",
        type=cli.even(2),
        default=64,
        help="games of a match played at once; even",
    )


def run_from_options(
    options: MatchOptions, checkpoint: Path | str | None, console: Console
) -> None:
    """Play what the options ask for, print the results and write the files asked for.

    Args:
      options: with a match or a tournament.
      checkpoint: the network of players that need one and name none.
      console: where to print.

    Raises:
      UserError: an option cannot be used, or a file not be written.
    """
    specs = options.match or options.tournament or []
    games = options.games or GAMES_PER_MATCH
    if len(specs) < 2:
        raise UserError("--tournament needs at least two players")
    if options.sprt and options.sprt[0] >= options.sprt[1]:
        raise UserError("--sprt needs ELO0 below ELO1, got {:g} {:g}".format(*options.sprt))
    board = board_of_match(options.board, specs, checkpoint, options.runs)
    matches.check_opening(board, options.opening_plies, "--opening-plies")
    if options.plot:
        report.load_pyplot(options.plot)  # fail before the games, not after
    if len(specs) > 2:
        ratings.load_choix()
    contestants = [registry.make_player(spec, board, checkpoint, options.runs) for spec in specs]
    pairings = len(specs) * (len(specs) - 1) // 2
    with _watching(console, games, pairings) as (advance, finished):
        result = matches.round_robin(
            board,
            contestants,
            games=games,
            opening_plies=options.opening_plies,
            seed=options.seed,
            batch=options.batch,
            sprt=Sprt(*options.sprt) if options.sprt else None,
            advance=advance,
            report=finished,
        )
    table = match_table(result.matches[0, 1]) if options.match else standings(result)
    values = tournament_values(result, board, options.seed)
    asked = (
        (options.json, lambda: json_text(values, indent=2) + "\n"),
        (options.plot, lambda: picture_of_tournament(result, options.plot)),
    )

    def show() -> None:
        if result.interrupted:
            console.print("Interrupted: these are the results of the finished games.")
        console.print(table)
        for match in result.matches.values():
            for line in forfeit_lines(match):
                console.print(line, highlight=False, soft_wrap=True)

    files.deliver(asked, show)


def board_of_match(
    asked: Board | None,
    specs: list[str],
    checkpoint: Path | str | None,
    runs: Path = Path("runs"),
) -> Board:
    """The board asked for, else that of the first network.

    Args:
      asked: the board asked for, if one is.
      specs: of the players.
      checkpoint: the network of players that need one and name none.
      runs: where runs live.

    Raises:
      UserError: there is neither.
    """
    if asked is not None:
        return asked
    options = [registry.parse_player(spec)[1] for spec in specs]
    named = [str(checkpoint)] if checkpoint is not None else []
    named += [found["checkpoint"] for found in options if "checkpoint" in found]
    if not named:
        raise UserError("no player has a network: say on which --board to play")
    return networks.load_network(networks.resolve(named[0], runs)).board


@contextmanager
def _watching(
    console: Console, games: int, pairings: int
) -> Iterator[tuple[Advance, Callable[[Match], None]]]:
    """A progress bar over all games, with a line above it for each finished match."""
    done_of = TextColumn("{task.completed:.0f}/{task.total:.0f}")
    shown = progress.bar(console, "games", done_of, transient=True)
    bar = shown.add_task("", total=games * pairings)
    done = 0

    def finished(match: Match) -> None:
        # A sequential test may have ended the match early.
        nonlocal done
        done += games
        shown.update(bar, completed=done)
        console.print(match_line(match), highlight=False, soft_wrap=True)

    with shown:
        yield lambda more: shown.advance(bar, more), finished


def _interval(interval: Interval, form: str) -> str:
    return " to ".join(format(bound, form) for bound in interval)


def match_line(match: Match) -> str:
    """A match in one line."""
    score = match.score()
    parts = [
        f"{match.names[0]} - {match.names[1]}:",
        f"+{score.wins} ={score.draws} -{score.losses}",
        f"({score.rate:.1%}),",
        f"Elo {ratings.elo_text(score.rate, score.games)} "
        f"[{ratings.elo_interval_text(score.elo_interval)}]",
    ]
    if match.forfeits:
        parts.append(f"{len(match.forfeits)} forfeited")
    return " ".join(parts)


def match_table(match: Match) -> Table:
    """Everything about one match."""
    score = match.score()
    a, b = match.names
    table = Table(title=f"{a} against {b}", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    rows = {
        "games": f"{score.games}",
        "won, drawn, lost": f"{score.wins}, {score.draws}, {score.losses}",
        "score rate": f"{score.rate:.1%}",
        "  95%, over pairs of games": _interval(score.rate_pairs, ".1%"),
        "  95%, Wilson, over games": _interval(score.rate_games, ".1%"),
        "Elo difference": ratings.elo_text(score.rate, score.games),
        "  95%": ratings.elo_interval_text(score.elo_interval),
        "mean margin in boxes": f"{score.mean_margin:+z.2f}",
        "score rate moving first": f"{score.rate_first:.1%}",
        "score rate moving second": f"{score.rate_second:.1%}",
        "pairs that scored 0, ½, 1, 1½, 2": ", ".join(map(str, score.pairs)),
    }
    if match.forfeits:
        by = [sum(one.player == player for one in match.forfeits) for player in (0, 1)]
        rows["forfeited by the first, by the second"] = f"{by[0]}, {by[1]}"
    if match.decision:
        rows["sequential test accepts"] = match.decision
    for row in rows.items():
        table.add_row(*row)
    return table


def forfeit_lines(match: Match) -> list[str]:
    """Who forfeited which game, where and why; the first few."""
    lines = [
        f"{match.names[one.player]} forfeits game {one.game + 1} at ply {one.ply}: it {one.reason}."
        for one in match.forfeits[:_FORFEITS_SHOWN]
    ]
    more = len(match.forfeits) - len(lines)
    return [*lines, f"{more} more games were forfeited."] if more else lines


def rates(result: Tournament) -> np.ndarray:
    """The score rate of the row's player against the column's, NaN where they did not meet."""
    found = np.full((len(result.names), len(result.names)), np.nan)
    for (i, j), match in result.matches.items():
        found[i, j] = ratings.points(match.margin).mean()
        found[j, i] = 1 - found[i, j]
    return found


def standings(result: Tournament) -> Table:
    """The players by Elo, with the score rates of everyone against everyone."""
    table = Table(title="Standings (score rates in %)", title_justify="left")
    table.add_column("player", overflow="fold")
    for column in ("Elo", "95%"):
        table.add_column(column, justify="right", no_wrap=True)
    order = np.argsort(-result.ratings.elo, kind="stable")
    for place in range(len(order)):
        table.add_column(str(place + 1), justify="right", no_wrap=True)
    crosstable = rates(result)[order][:, order]
    for place, (index, row) in enumerate(zip(order, crosstable, strict=True), start=1):
        cells = ["" if np.isnan(rate) else f"{100 * rate:.1f}" for rate in row]
        name = f"{place}. {result.names[index]}"
        table.add_row(name, *result.ratings.text(index), *cells)
    return table


def tournament_values(result: Tournament, board: Board, seed: int) -> dict[str, Any]:
    """The results as plain values for JSON."""
    values: dict[str, Any] = report.plain(
        {
            "azdab": __version__,
            "board": [board.rows, board.cols],
            "start": board.variant,
            "seed": seed,
            "players": result.names,
            "ratings": result.ratings,
            "matches": [
                {
                    "players": match.names,
                    "opening_plies": match.opening_plies,
                    "decision": match.decision,
                    "forfeits": match.forfeits,
                    **match.score()._asdict(),
                }
                for match in result.matches.values()
            ],
            "interrupted": result.interrupted,
        }
    )
    return values


def picture_of_tournament(result: Tournament, path: Path | None) -> bytes:
    """Elo ratings with their intervals, and the crosstable, in the format that a name asks for."""
    pyplot = report.load_pyplot(path)
    order = np.argsort(result.ratings.elo, kind="stable")
    names = [report.in_picture(result.names[index]) for index in order]
    size = 1.5 + 0.5 * len(names)
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(6 + 2 * size, 1 + size), layout="constrained"
    )
    places = np.arange(len(names))
    bars = result.ratings.error_bars(order)
    left.errorbar(result.ratings.elo[order], places, fmt="o", capsize=3, **bars)
    left.set(yticks=places, yticklabels=names, xlabel="Elo, 95% interval")
    crosstable = rates(result)[order][:, order]
    right.imshow(crosstable, vmin=0, vmax=1, cmap="RdYlGn", origin="lower")
    for (row, column), rate in np.ndenumerate(crosstable):
        if not np.isnan(rate):
            right.text(column, row, f"{100 * rate:.0f}", ha="center", va="center")
    right.set(xticks=places, yticks=places, yticklabels=names, title="score rate in %")
    right.set_xticklabels(names, rotation=60, ha="right")
    return report.drawn(figure, path)
