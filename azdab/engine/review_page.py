"""A judged game as one self-contained HTML page."""

from html import escape
from string import Template

import numpy as np

from azdab.engine import review
from azdab.engine.engine import Analysis
from azdab.engine.review import Review, Verdict, remark
from azdab.game import drawing, structure
from azdab.game.drawing import DRAWN, LAST, PLAYER_FILLS, PLAYER_LETTERS
from azdab.game.position import move_name

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --line: #8884; --first: $first; --second: $second; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; }
.curve svg { width: 100%; height: auto; }
.a { color: var(--first); font-weight: 600; } .b { color: var(--second); font-weight: 600; }
ol { list-style: none; padding: 0; display: grid; gap: 1rem;
     grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
li { border: 1px solid var(--line); border-radius: .6rem; padding: .8rem; }
li svg { display: block; max-width: 100%; height: auto; margin: .4rem auto; }
li.mistake { border-color: $last; border-width: 2px; }
.small { font-size: .85rem; opacity: .8; }
</style>
</head>
<body>
<h1>$title</h1>
<p>$about</p>
<p class="small">Judged by $engine. Boards show the move in yellow, and in green the engine's other
good moves; the curve is the expected final margin of A in boxes.</p>
<div class="curve">$curve</div>
<ol>
$moves
</ol>
</body>
</html>
""")


def curve(margins: list[float | None], limit: int) -> str:
    """The first player's expected margin through the game, as SVG.

    Args:
      margins: by position; None where unknown.
      limit: the largest margin there can be.
    """
    import svg  # takes long to load

    width, height, left = 720, 200, 34
    peak = max([1.0, *(abs(m) for m in margins if m is not None)])
    peak = min(float(np.ceil(peak)), float(limit))

    def x(ply: int) -> float:
        return left + (width - left - 8) * ply / max(len(margins) - 1, 1)

    def y(margin: float) -> float:
        return height / 2 - margin / peak * (height / 2 - 14)

    shapes: list[svg.Element] = []
    for level in (-peak, 0.0, peak):
        shapes.append(
            svg.Line(
                x1=left, x2=width - 8, y1=y(level), y2=y(level),
                stroke=DRAWN, stroke_opacity=0.6 if level == 0 else 0.25,
            )
        )  # fmt: skip
        shapes.append(
            svg.Text(
                x=left - 6, y=y(level) + 4, text=f"{level:+z.0f}" if level else "0",
                text_anchor="end", font_size=12, fill=DRAWN,
            )
        )  # fmt: skip
    known = [(ply, margin) for ply, margin in enumerate(margins) if margin is not None]
    if known:
        points = [svg.Point(x(ply), y(margin)) for ply, margin in known]
        shapes.append(
            svg.Polyline(points=[*points], fill="none", stroke=PLAYER_FILLS[0], stroke_width=2.5)
        )
    box = svg.ViewBoxSpec(0, 0, width, height)
    return str(svg.SVG(viewBox=box, elements=shapes))


def board_before(verdict: Verdict, found: Analysis) -> str:
    """The position in which a move was played, with that move and the good ones, as SVG."""
    before = verdict.before
    edges, good = before.edges.copy(), np.zeros(before.board.num_edges)
    edges[verdict.edge] = True
    good[review.good_moves(found)] = 1
    return drawing.to_svg(before.board, edges, before.owners, verdict.edge, good)


def _move(judged: Review, ply: int, margin: float | None) -> str:
    verdict = judged.verdicts[ply]
    before, board = verdict.before, judged.game.board
    after = judged.game.position.at(ply + 1)
    player = before.to_play
    found = judged.analyses[ply + 1]
    kind = "exact" if found.exact is not None else "expected"
    value = "" if margin is None else f"{kind} margin of A {margin:+z.1f}"
    parts = [
        f'<li class="{"mistake" if verdict.mark else "good"}">',
        f'<div><span class="{"ab"[player]}">{ply + 1}. {PLAYER_LETTERS[player]}</span> '
        f"{escape(move_name(board, verdict.edge))} {escape(verdict.mark)}</div>",
        board_before(verdict, judged.analyses[ply]),
        f'<div class="small">{value}</div>',
        f'<div class="small">{structure.long_chains(after)} long chains; {{}}-{{}}</div>'.format(
            *after.scores
        ),
    ]
    if words := remark(verdict):
        parts.append(f"<div>{escape(words)}</div>")
    if ply in judged.game.remarks:
        parts.append(f"<div>{escape(judged.game.remarks[ply])}</div>")
    return "\n".join([*parts, "</li>"])


def page(judged: Review) -> str:
    """The whole page; it loads nothing from anywhere."""
    game, margins = judged.game, judged.margins()
    names = f"{game.first or 'A'} against {game.second or 'B'}"
    lost = ", ".join(f"{PLAYER_LETTERS[p]} lost {judged.boxes_lost(p):.1f} boxes" for p in (0, 1))
    about = ", ".join(filter(None, [str(game.board), game.event, game.date, game.result, lost]))
    return _PAGE.substitute(
        title=escape(names),
        about=escape(about),
        engine=escape(judged.engine),
        curve=curve(margins, game.board.num_boxes),
        moves="\n".join(
            _move(judged, ply, margins[ply + 1]) for ply in range(len(judged.verdicts))
        ),
        first=PLAYER_FILLS[0],
        second=PLAYER_FILLS[1],
        last=LAST,
    )
