"""``python -m azdab.export``: a trained network to take elsewhere.

A directory with

* ``README.md`` and ``card.json``: what it is and how strong, for people and programs;
* ``config.yaml``: the config of its run;
* ``best/<n>/``: the parameters; ``play``, ``evaluate`` and ``Engine.load`` take the directory;
* ``network.stablehlo``: the network as a program of its own, for any batch, without azdab;
* ``example.py``: how to run that, in a few lines.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export
from rich.console import Console

from azdab import __version__, evaluate
from azdab.common import cli
from azdab.common.errors import UserError
from azdab.common.limits import ENDGAME_EDGES
from azdab.devices import device
from azdab.exact import oracle
from azdab.measure import evaluation, report
from azdab.measure.evaluation import Form
from azdab.network import model
from azdab.runs import checkpoint
from azdab.runs.checkpoint import TrainedNetwork
from azdab.search import tree_search

PLATFORMS = ("cpu", "cuda")
"""What the exported program runs on."""

ARTIFACT = "network.stablehlo"

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

Without azdab, only with JAX and flatbuffers: `python example.py`. The arguments of
`network.stablehlo`, for any batch size B:

* drawn edges, `bool[B, {edges}]`, numbered as in OpenSpiel;
* the mover's score margin, `int32[B]`, {margin}.

Its results:

* log-probabilities of moves, `float32[B, {edges}]`, very negative where an edge is drawn;
* the distribution of the mover's future margin, {low} to {high} boxes, `float32[B, {support}]`;
* its mean, `float32[B]`;
* the probability that the mover closes each box, `float32[B, {boxes}]`.
"""

_EXAMPLE = '''"""Runs the exported network. It needs JAX and flatbuffers, not azdab."""

from pathlib import Path

import numpy as np
from jax import export

network = export.deserialize(Path(__file__).with_name("{artifact}").read_bytes())
edges = np.zeros((1, {edges}), bool)  # nothing is drawn yet
log_policy, margin_weights, expected_margin, ownership = network.call(edges, np.zeros(1, np.int32))
print("best first edge:", int(log_policy[0].argmax()))
print(f"expected margin: {{float(expected_margin[0]):+.2f}} boxes")
'''


def program(trained: TrainedNetwork) -> bytes:
    """The network as serialized StableHLO with its parameters inside, for any batch size.

    It maps ``bool[B, E]`` drawn edges and ``int32[B]`` score margins of the movers to
    log-policy ``float32[B, E]``, margin distribution ``float32[B, 2 * num_boxes + 1]``, its
    mean ``float32[B]`` in boxes, and ownership probabilities ``float32[B, num_boxes]``.
    """
    board, settings = trained.board, trained.config.network

    def evaluate(edges: jax.Array, margin: jax.Array) -> tuple[jax.Array, ...]:
        shown = tree_search.shown_margin(margin, trained.config.search.utility)
        output = model.apply(board, settings, trained.params, edges, shown)
        logits = jnp.where(edges, jnp.finfo(jnp.float32).min, output.prior_logits)
        return (
            jax.nn.log_softmax(logits),
            jax.nn.softmax(output.margin_logits),
            model.expected_margin(board, output.margin_logits),
            jax.nn.sigmoid(output.ownership_logits),
        )

    (batch,) = jax_export.symbolic_shape("batch")
    shapes = (
        jax.ShapeDtypeStruct((batch, board.num_edges), jnp.bool_),
        jax.ShapeDtypeStruct((batch,), jnp.int32),
    )
    return bytes(jax_export.export(jax.jit(evaluate), platforms=PLATFORMS)(*shapes).serialize())


def measured(trained: TrainedNetwork, form: Form, console: Console) -> dict[str, Any]:
    """How strong it is, in numbers, and on which machine this was measured."""
    known = oracle.best_oracle(trained.board, ENDGAME_EDGES - 4)
    with evaluate.watching(console, evaluation.evaluations(trained.board, form)) as watch:
        found = evaluation.measure_network(trained, known, form, watch)
    values: dict[str, Any] = report.plain(
        {
            "device": device.describe_device(),
            "opponent": evaluate.opponent(known),
            "exact_edges": known.max_edges,
            "opening_plies": form.opening_plies,
            "settings": {
                name: {
                    "games": row.games,
                    "nothing_lost": row.flawless,
                    "score_rate": row.score.rate,
                    "boxes_lost_per_move": row.moves.all.loss,
                    "optimal_moves": {
                        kind: settings[name].all.optimal for kind, settings in found.sets.items()
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


def card(
    trained: TrainedNetwork, name: str, licence: str, figures: dict[str, Any] | None
) -> dict[str, Any]:
    """What people want to know about a network, ready for JSON."""
    settings = trained.config
    return {
        "name": name,
        "azdab": __version__,
        "format": checkpoint.FORMAT,
        "licence": licence,
        "board": [trained.board.rows, trained.board.cols],
        "utility": settings.search.utility,
        "iteration": trained.iteration,
        "games": trained.iteration * settings.selfplay.games_per_iteration,
        "steps": trained.iteration * settings.learner.steps_per_iteration,
        "parameters": sum(x.size for x in jax.tree.leaves(trained.params)),
        "strength": figures,
    }


def card_text(trained: TrainedNetwork, values: dict[str, Any]) -> str:
    """The card for people, in Markdown."""
    board, settings = trained.board, trained.config
    shown = "which it uses" if settings.search.utility == "win" else "which it ignores"
    return _CARD.format(
        name=values["name"],
        board=board,
        version=__version__,
        filters=settings.network.filters,
        blocks=settings.network.blocks,
        parameters=values["parameters"],
        games=values["games"],
        steps=values["steps"],
        batch=settings.learner.batch_size,
        licence=values["licence"],
        strength=strength_text(values["strength"]),
        edges=board.num_edges,
        margin=shown,
        low=-board.num_boxes,
        high=board.num_boxes,
        support=2 * board.num_boxes + 1,
        boxes=board.num_boxes,
    )


def write_export(trained: TrainedNetwork, directory: Path, values: dict[str, Any]) -> None:
    """Write everything; the directory appears when it is complete.

    Raises:
      UserError: it exists, or cannot be written.
    """
    if directory.exists():
        raise UserError(f"{directory} exists: choose another, or remove it first")
    unfinished = directory.with_name(f"{directory.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        checkpoint.export_network(trained, unfinished, card_text(trained, values))
        text = json.dumps(values, indent=2) + "\n"
        (unfinished / "card.json").write_text(text, encoding="utf-8")
        (unfinished / ARTIFACT).write_bytes(program(trained))
        example = _EXAMPLE.format(artifact=ARTIFACT, edges=trained.board.num_edges)
        (unfinished / "example.py").write_text(example, encoding="utf-8")
        unfinished.rename(directory)
    except OSError as error:
        raise UserError(f"cannot write {directory}: {error.strerror or error}") from None


def _parser() -> cli.Parser:
    """The command line."""
    made = cli.Parser(
        settings=False,
        prog="python -m azdab.export",
        usage="%(prog)s CHECKPOINT --to DIR [--OPTION VALUE ...]",
        description="Take a trained network elsewhere: parameters, a portable program, a card.",
    )
    made.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="a run, a checkpoint, 'best' or 'latest' of the newest run, or a bundled network",
    )
    made.add_argument("--to", metavar="DIR", required=True, help="must not exist yet")
    made.add_argument("--name", metavar="NAME", help="for the card; default: the directory's")
    made.add_argument("--licence", metavar="TEXT", default="Apache-2.0", help="for the card")
    made.add_argument(
        "--games", metavar="N", type=int, default=40, help="games to measure the strength; 0: no"
    )
    made.add_argument("--runs", metavar="DIR", default="runs", help="where runs live")
    return made


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    console = Console()
    command = _parser()
    options, _ = command.parse(argv)

    def work() -> None:
        directory = Path(options.to)
        if options.games < 0 or options.games % 2:
            raise UserError(f"--games must be even, got {options.games}")
        if directory.exists():
            raise UserError(f"{directory} exists: choose another, or remove it first")
        path = checkpoint.resolve(options.checkpoint, Path(options.runs))
        trained = checkpoint.load_network(path)
        figures = None
        if options.games:
            form = Form((0, 64), 5 * options.games, options.games, 2, seed=0, chunk=64)
            figures = measured(trained, form, console)
        with console.status("writing"):
            values = card(trained, options.name or directory.name, options.licence, figures)
            write_export(trained, directory, values)
        console.print(f"Exported iteration {trained.iteration} of {path} to {directory}.")

    return command.run(work, lambda: console.print("Stopped; nothing is written."))


if __name__ == "__main__":
    sys.exit(main())
