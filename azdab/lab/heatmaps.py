"""Positions as pictures with what network, search and solver say of them."""

import dataclasses
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from azdab.game import drawing
from azdab.game.board import Board
from azdab.game.drawing import DRAWN, LAST, PLAYER_LETTERS
from azdab.game.position import Position, move_name
from azdab.lab.explorer import LineOfPlay, View
from azdab.lab.figures import COLOURS, axes_grid, styled


@dataclasses.dataclass(frozen=True)
class Html:
    """A piece of HTML, which Jupyter shows as such."""

    text: str

    def __repr__(self) -> str:
        return "<HTML>"

    def _repr_html_(self) -> str:
        return self.text


def _segment(board: Board, edge: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Columns and rows of an edge's two dots."""
    kind, row, col = board.place(edge)
    return ((col, col + 1), (row, row)) if kind == "h" else ((col, col), (row, row + 1))


def draw_board(
    axis: Any,
    position: Position,
    edges: np.ndarray | None = None,
    boxes: np.ndarray | None = None,
    form: str = "{:.0f}",
    least: float = -np.inf,
) -> None:
    """Draw a position; numbers of edges and boxes become colours.

    Args:
      axis: where to draw.
      position: the position; the last edge drawn is yellow.
      edges: ``float[E]``, a number for each open edge, darker is more; NaN: a dotted line.
      boxes: ``float[num_boxes]`` in 0..1, the first player's share of each box.
      form: how to write the numbers of edges.
      least: numbers of edges below it are not written.
    """
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    board = position.board
    owners = LinearSegmentedColormap.from_list("owners", (COLOURS[1], "#ffffff", COLOURS[0]))
    for box, owner in enumerate(position.owners.tolist()):
        share = (1.0 - owner if owner >= 0 else None) if boxes is None else float(boxes[box])
        if share is None:
            continue
        row, col = divmod(box, board.cols)
        axis.fill_between([col, col + 1], row, row + 1, color=owners(share), alpha=0.7, lw=0)
        if boxes is not None and owner < 0:
            axis.text(col + 0.5, row + 0.5, f"{share:.0%}", ha="center", va="center", size=8)
    known = np.full(board.num_edges, np.nan) if edges is None else edges
    values = known[np.isfinite(known) & ~position.edges]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 0.0)
    last = position.moves[-1] if position.moves else None
    for edge in range(board.num_edges):
        x, y = _segment(board, edge)
        if position.edges[edge]:
            axis.plot(x, y, color=LAST if edge == last else DRAWN, lw=3)
        elif np.isfinite(known[edge]):
            shade = (known[edge] - low) / (high - low) if high > low else 1.0
            axis.plot(x, y, color=colormaps["viridis_r"](0.05 + 0.9 * shade), lw=5)
            if known[edge] >= least:
                axis.text(
                    sum(x) / 2, sum(y) / 2, form.format(known[edge]),
                    ha="center", va="center", size=7,
                    bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.8},
                )  # fmt: skip
        else:
            axis.plot(x, y, ":", color=DRAWN, lw=1)
    dots = np.indices((board.rows + 1, board.cols + 1)).reshape(2, -1)
    axis.plot(dots[1], dots[0], "o", color=DRAWN, ms=4)
    axis.set(xlim=(-0.3, board.cols + 0.3), ylim=(board.rows + 0.3, -0.3), aspect="equal")
    axis.set_axis_off()


@styled
def plot_view(view: View) -> Any:
    """A position as the network, the search and the solver see it."""
    figure, grid = axes_grid(2, 3, 4, 3.8)
    mover = "first" if view.position.to_play == 0 else "second"
    exact = view.exact if np.isfinite(view.exact).any() else None
    visits = np.where(view.visits > 0, 100 * view.visits, np.nan)
    panels: list[tuple[str, np.ndarray | None, str, float]] = [
        ("network: policy in %", 100 * view.prior, "{:.0f}", 1.0),
        ("search: visits in %", visits, "{:.0f}", 1.0),
        (f"search: final margin of the {mover} player", view.search, "{:+z.1f}", -np.inf),
        (f"perfect play: final margin of the {mover} player", exact, "{:+z.0f}", -np.inf),
    ]
    for axis, (title, edges, form, least) in zip(grid.flat, panels, strict=False):
        draw_board(axis, view.position, edges, form=form, least=least)
        axis.set_title(title if edges is not None else "perfect play: not known so early")
    draw_board(grid[1, 1], view.position, boxes=view.ownership)
    grid[1, 1].set_title("network: boxes of the first player")
    axis = grid[1, 2]
    axis.bar(view.margins, view.weights, 0.8, color=COLOURS[3])
    axis.axvline(view.margin, color=COLOURS[2], label=f"search expects {view.margin:+z.1f}")
    if exact is not None:
        best = float(np.nanmax(exact))
        axis.axvline(best, color=COLOURS[5], ls=":", label=f"perfect play {best:+z.0f}")
    shown = view.margins[view.weights > 0.002]
    axis.set(title=f"network: final margin of the {mover} player", xlabel="boxes")
    axis.set(ylabel="probability", xlim=(shown.min() - 1, shown.max() + 1))
    axis.legend()
    return figure


def gallery(pictures: Sequence[tuple[str, str]]) -> Html:
    """SVG pictures side by side, each with a caption."""
    figures = "".join(
        f'<figure style="margin:.5rem;text-align:center">{picture}'
        f'<figcaption style="font-size:.85rem;white-space:pre-line">{escape(caption)}</figcaption>'
        "</figure>"
        for caption, picture in pictures
    )
    return Html(f'<div style="display:flex;flex-wrap:wrap;align-items:flex-end">{figures}</div>')


def board_svg(board: Board, edges: np.ndarray, heat: np.ndarray | None = None) -> str:
    """A picture of drawn edges, ``bool[E]``, of boxes that nobody owns.

    Args:
      board: the board.
      edges: the drawn edges.
      heat: ``[E]`` in 0..1, shown on open edges.
    """
    nobody = np.full(board.num_boxes, -1)
    return drawing.to_svg(
        board, edges, nobody, heat=None if heat is None else np.asarray(heat, float)
    )


def film(start: Position, line: LineOfPlay) -> Html:
    """A line of play, one picture per move."""
    pictures = []
    here = start
    for edge, margin in zip(line.moves, line.margins, strict=True):
        player = PLAYER_LETTERS[here.to_play]
        here = here.play(edge)
        value = "" if np.isnan(margin) else f"\n{margin:+z.1f}"
        pictures.append((f"{player} {move_name(start.board, edge)}{value}", here.svg()))
    return gallery(pictures)
