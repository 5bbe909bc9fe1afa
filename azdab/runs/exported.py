"""A trained network to take elsewhere, as ``azdab.export`` writes it.

A directory with

* ``README.md`` and ``card.json``: what it is and how strong, for people and programs;
* ``config.yaml``: the config of its run;
* ``best/<n>/``: the parameters; ``play``, ``evaluate`` and ``Engine.load`` take the directory;
* ``network.stablehlo``: the network as a program of its own, for any batch, without azdab;
* ``example.py``: how to run that, in a few lines;
* ``SHA256SUMS``: digests of all these, for ``sha256sum -c``.
"""

import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export

from azdab.common import durable
from azdab.common.errors import UserError
from azdab.common.json_text import json_text
from azdab.network import model
from azdab.runs import atomic, networks
from azdab.runs.networks import TrainedNetwork
from azdab.search.evaluator import shown_margin

PLATFORMS = ("cpu", "cuda")
"""What the exported program runs on."""

ARTIFACT = "network.stablehlo"
"""The file with the program."""

_EXAMPLE = '''"""Runs the exported network. It needs JAX and flatbuffers, not azdab."""

from pathlib import Path

import numpy as np
from jax import export

network = export.deserialize(Path(__file__).with_name("{artifact}").read_bytes())
edges = np.zeros((1, {edges}), bool)  # nothing is drawn yet
log_policy, margin_weights, expected_margin, ownership = network.call(edges, np.zeros(1, np.int32))
print("best first edge:", int(log_policy[0].argmax()))
print(f"expected margin: {{float(expected_margin[0]):+z.2f}} boxes")
'''


def portable_program(trained: TrainedNetwork) -> bytes:
    """The network as serialized StableHLO with its parameters inside, for any batch size.

    It maps ``bool[B, E]`` drawn edges and ``int32[B]`` score margins of the movers to
    log-policy ``float32[B, E]``, margin distribution ``float32[B, 2 * num_boxes + 1]``, its
    mean ``float32[B]`` in boxes, and ownership probabilities ``float32[B, num_boxes]``.
    """
    board, config = trained.board, trained.config

    def evaluate(edges: jax.Array, margin: jax.Array) -> tuple[jax.Array, ...]:
        shown = shown_margin(margin, config.search.utility)
        output = model.apply(board, config.network, trained.params, edges, shown)
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


def write_export(
    trained: TrainedNetwork, directory: Path, values: dict[str, Any], text: str
) -> None:
    """Write everything; the directory appears when it is complete.

    Args:
      trained: the network.
      directory: must not exist.
      values: what is known about the network, for programs.
      text: the same for people, in Markdown.

    Raises:
      UserError: it exists, or cannot be written.
    """
    if directory.exists():
        raise UserError(f"{directory} exists: choose another, or remove it first")
    unfinished = directory.with_name(f"{directory.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        networks.export_network(trained, unfinished, text)
        card = json_text(values, indent=2) + "\n"
        (unfinished / "card.json").write_text(card, encoding="utf-8")
        (unfinished / ARTIFACT).write_bytes(portable_program(trained))
        example = _EXAMPLE.format(artifact=ARTIFACT, edges=trained.board.num_edges)
        (unfinished / "example.py").write_text(example, encoding="utf-8")
        atomic.write_sums(unfinished)
        durable.sync_all(unfinished)
        durable.rename(unfinished, directory)
    except OSError as error:
        raise UserError(f"cannot write {directory}: {error.strerror or error}") from None
