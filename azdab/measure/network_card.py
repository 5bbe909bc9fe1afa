"""What to know about an exported network: its card, with measured strength."""

from typing import Any

import jax
from rich.console import Console

from azdab import __version__
from azdab.common.limits import ENDGAME_EDGES
from azdab.devices import device
from azdab.exact import oracle
from azdab.measure import evaluation, report, strength
from azdab.measure.evaluation import Form
from azdab.runs import checkpoint
from azdab.runs.networks import TrainedNetwork

_CARD = """# {name}

A network for Dots and Boxes on {board} boxes, trained from zero with azdab {version}:
{filters} filters x {blocks} blocks, {parameters:,} parameters; {games:,} games and {steps:,}
learning steps of {batch} positions. `config.yaml` is the whole recipe. Licence: {licence}.

## Strength

{strength}

## Use

    python -m azdab.play --checkpoint DIR
    python -m azdab.evaluate DIR

From Python, with azdab:

    from azdab.engine.engine import Engine
    engine = Engine.load("DIR")

`sha256sum -c SHA256SUMS` says whether the files are as they were written. Without azdab, only
with JAX and flatbuffers: `python example.py`. The arguments of
`network.stablehlo`, for any batch size B:

* drawn edges, `bool[B, {edges}]`, numbered as in OpenSpiel;
* the mover's score margin, `int32[B]`, {margin}.

Its results:

* log-probabilities of moves, `float32[B, {edges}]`, very negative where an edge is drawn;
* the distribution of the mover's future margin, {low} to {high} boxes, `float32[B, {support}]`;
* its mean, `float32[B]`;
* the probability that the mover closes each box, `float32[B, {boxes}]`.
"""


def measured_strength(trained: TrainedNetwork, games: int, console: Console) -> dict[str, Any]:
    """How strong a network is, in numbers, and on which machine this was measured.

    Args:
      trained: the network.
      games: of each setting; even.
      console: where progress is shown.
    """
    form = Form((0, 64), 5 * games, games, opening_plies=2, seed=0, chunk=64)
    known = oracle.best_oracle(trained.board, ENDGAME_EDGES - 4)
    with strength.watching(console, evaluation.evaluations(trained.board, form)) as watch:
        found = evaluation.measure_network(trained, known, form, watch)
    values: dict[str, Any] = report.plain(
        {
            "device": device.describe_device(),
            "opponent": strength.opponent_name(known),
            "exact_edges": known.max_edges,
            "opening_plies": form.opening_plies,
            "settings": {
                name: {
                    "games": row.games,
                    "nothing_lost": row.flawless,
                    "score_rate": row.score.rate,
                    "boxes_lost_per_move": row.moves.all.loss,
                    "optimal_moves": {
                        kind: rows[name].all.optimal for kind, rows in found.sets.items()
                    },
                }
                for name, row in found.games.items()
            },
        }
    )
    return values


def strength_text(figures: dict[str, Any] | None) -> str:
    """Measured figures as a table in Markdown."""
    if not figures:
        return "Not measured: `python -m azdab.evaluate DIR`."
    lines = [
        f"Against {figures['opponent']}, after {figures['opening_plies']} random plies, on "
        f"{figures['device']}. Optimal moves: on positions with at most {figures['exact_edges']} "
        "edges left.",
        "",
        "| setting | games | nothing lost | boxes lost per move | optimal: play | noisy | random |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in figures["settings"].items():
        optimal = [row["optimal_moves"].get(kind) for kind in ("play", "noisy", "random")]
        cells = [
            name,
            str(row["games"]),
            f"{row['nothing_lost']:.1%}",
            f"{row['boxes_lost_per_move']:.3f}",
            *("" if share is None else f"{share:.1%}" for share in optimal),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def network_card(
    trained: TrainedNetwork, name: str, licence: str, figures: dict[str, Any] | None
) -> dict[str, Any]:
    """What people want to know about a network, ready for JSON."""
    config = trained.config
    return {
        "name": name,
        "azdab": __version__,
        "format": checkpoint.FORMAT,
        "licence": licence,
        "board": [trained.board.rows, trained.board.cols],
        "utility": config.search.utility,
        "iteration": trained.iteration,
        "games": trained.iteration * config.selfplay.games_per_iteration,
        "steps": trained.iteration * config.learner.steps_per_iteration,
        "parameters": sum(x.size for x in jax.tree.leaves(trained.params)),
        "strength": figures,
    }


def card_markdown(trained: TrainedNetwork, values: dict[str, Any]) -> str:
    """The card for people, in Markdown."""
    board, config = trained.board, trained.config
    shown = "which it uses" if config.search.utility == "win" else "which it ignores"
    return _CARD.format(
        name=values["name"],
        board=board,
        version=__version__,
        filters=config.network.filters,
        blocks=config.network.blocks,
        parameters=values["parameters"],
        games=values["games"],
        steps=values["steps"],
        batch=config.learner.batch_size,
        licence=values["licence"],
        strength=strength_text(values["strength"]),
        edges=board.num_edges,
        margin=shown,
        low=-board.num_boxes,
        high=board.num_boxes,
        support=2 * board.num_boxes + 1,
        boxes=board.num_boxes,
    )
