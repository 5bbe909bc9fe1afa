"""Pictures of positions: text for the terminal, SVG for pages and notebooks."""

from decimal import Decimal

import numpy as np
from jaxtyping import Bool, Float, Int
from rich.text import Text

from azdab.game.board import Board

PLAYER_STYLES = ("bold cyan", "bold magenta")
PLAYER_FILLS = ("#2f6fde", "#d8572a")
"""Colours of the first and the second player, which colour-blind people can tell apart."""

DRAWN, LAST, GOOD = "#6b7280", "#e0a100", "#1a9850"
"""Colours of drawn edges, the last one, and good moves."""

PLAYER_LETTERS = "AB"


def to_text(
    board: Board,
    edges: Bool[np.ndarray, "E"],
    owners: Int[np.ndarray, "boxes"],
    last: int | None = None,
    *,
    numbers: bool = True,
) -> Text:
    """A board as lines of text, with numbers on open edges, rows and columns.

    Args:
      board: the board.
      edges: ``bool[E]``, the drawn edges.
      owners: ``int[boxes]``, 0 or 1 where a box is closed.
      last: the edge drawn last, which is highlighted.
      numbers: whether to write the number of every open edge.
    """
    text = Text()

    def draw(edge: int, line: str, width: int) -> None:
        if edges[edge]:
            text.append(line, "bold yellow" if edge == last else "bold")
        else:
            text.append(str(edge).center(width) if numbers else " " * width, "dim")

    columns = "".join(f"{col:<8}" for col in range(board.cols + 1))
    text.append(f"{'':5}{columns.rstrip()}", "dim")
    for row in range(board.rows + 1):
        text.append(f"\nh{row:<3}", "dim")
        for col in range(board.cols):
            text.append("●" if col else " ●")
            draw(board.horizontal(row, col), "━" * 7, 7)
        text.append("●")
        if row == board.rows:
            break
        text.append(f"\nv{row:<3}", "dim")
        for col in range(board.cols + 1):
            draw(board.vertical(row, col), " ┃ ", 3)
            if col < board.cols:
                owner = int(owners[row * board.cols + col])
                letter = PLAYER_LETTERS[owner] if owner >= 0 else ""
                text.append(letter.center(5), PLAYER_STYLES[owner] if letter else "")
    text.append("\n")
    return text


def to_svg(
    board: Board,
    edges: Bool[np.ndarray, "E"],
    owners: Int[np.ndarray, "boxes"],
    last: int | None = None,
    heat: Float[np.ndarray, "E"] | None = None,
) -> str:
    """A board as a self-contained SVG element that fits light and dark pages.

    Args:
      board: the board.
      edges: ``bool[E]``, the drawn edges.
      owners: ``int[boxes]``, 0 or 1 where a box is closed.
      last: the edge drawn last, which is highlighted.
      heat: ``float[E]`` in 0..1, shown on open edges: how good they are.
    """
    import svg  # takes long to load

    side, edge_of_picture = 40, 14
    width, height = (n * side + 2 * edge_of_picture for n in (board.cols, board.rows))

    def at(steps: int) -> int:
        return edge_of_picture + steps * side

    shapes: list[svg.Element] = []
    for box, owner in enumerate(np.asarray(owners).tolist()):
        if owner >= 0:
            row, col = divmod(box, board.cols)
            shapes.append(
                svg.Rect(
                    x=at(col), y=at(row), width=side, height=side,
                    fill=PLAYER_FILLS[owner], fill_opacity=0.45,
                )
            )  # fmt: skip
    dashes: list[float | Decimal | int] | None
    for edge in range(board.num_edges):
        kind, row, col = board.place(edge)
        flat = kind == "h"
        if edges[edge]:
            colour, width_of_line, opacity, dashes = DRAWN, 5.0, 1.0, None
            if edge == last:
                colour = LAST
        elif heat is not None and heat[edge] > 0:
            strength = float(np.clip(heat[edge], 0, 1))
            colour, width_of_line, opacity, dashes = GOOD, 7.0, round(strength, 3), None
        else:
            colour, width_of_line, opacity, dashes = DRAWN, 1.5, 0.5, [2, 5]
        shapes.append(
            svg.Line(
                x1=at(col), y1=at(row),
                x2=at(col + 1 if flat else col), y2=at(row if flat else row + 1),
                stroke=colour, stroke_width=width_of_line, stroke_opacity=opacity,
                stroke_dasharray=dashes, stroke_linecap="round",
            )
        )  # fmt: skip
    for row in range(board.rows + 1):
        for col in range(board.cols + 1):
            shapes.append(svg.Circle(cx=at(col), cy=at(row), r=4, fill=DRAWN))
    picture = svg.SVG(
        width=width, height=height, viewBox=svg.ViewBoxSpec(0, 0, width, height), elements=shapes
    )
    return str(picture)
