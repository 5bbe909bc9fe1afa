"""Several devices and processes do together what one does alone."""

import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import Mesh

from azdab import train
from azdab.common import presets
from azdab.common.config import Config, config_from_dict
from azdab.common.errors import UserError
from azdab.devices import device, mesh
from azdab.devices.mesh import SPLIT, WHOLE
from azdab.game.board import Board
from azdab.learning import learner, programs, replay, selfplay
from azdab.learning.replay import Replay
from azdab.learning.selfplay import Example
from azdab.runs import checkpoint
from tests import common, runs

PATIENCE = 400  # seconds before processes are taken for stuck
NAME = ["--resume", "--run", "many", "--iterations"]


def devices(count: int) -> Mesh:
    return Mesh(np.array(jax.devices()[:count]), (mesh.AXIS,))


def smoke(**learner_settings: Any) -> Config:
    values = presets.merge(presets.read_settings("smoke"), {"learner": learner_settings})
    return config_from_dict(values)


@pytest.mark.slow
@given(
    st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), st.lists(st.integers(1, 6), max_size=8)
)
def test_a_replay_divided_anew_holds_the_newest_examples_in_order(
    before: int, after: int, capacity: int, sizes: list[int]
) -> None:
    board = Board(1, 1)
    buffers = [replay.init_replay(board, capacity) for _ in range(before)]
    given_so_far: list[int] = []
    for size in sizes:
        size = min(size, capacity)
        for i, buffer in enumerate(buffers):
            # Example n of device i is number n * before + i: devices take turns.
            numbers = (len(given_so_far) // before + np.arange(size)) * before + i
            blank = selfplay.zero_examples(board, size)
            buffers[i] = replay.add(buffer, blank._replace(margin=jnp.asarray(numbers, jnp.int8)))
        given_so_far += range(len(given_so_far), len(given_so_far) + size * before)
    shards: Replay = jax.tree.map(lambda *x: np.stack(x), *buffers)
    new_capacity = before * capacity // after

    def moved_to(after: int, new_capacity: int) -> Replay:
        blank = selfplay.zero_examples(board, max(new_capacity, 1))
        like = Replay(
            jax.tree.map(lambda x: jnp.stack([x[:new_capacity]] * after), blank),
            jnp.zeros(after, jnp.int32),
        )
        held = replay.oldest_first(shards)
        total = len(given_so_far) // after
        most = min(held.margin.size // after, new_capacity)
        return replay.rebuilt(like, total, most, [held])

    moved = moved_to(after, new_capacity)
    assert moved.examples.margin.shape == (after, new_capacity)
    newest = []
    for i in range(after):
        total = int(moved.total[i])
        held = min(total, new_capacity)
        newest.append(moved.examples.margin[i][(total - held + np.arange(held)) % new_capacity])
    taken = np.stack(newest, axis=1).reshape(-1).tolist() if new_capacity else []
    # Everything the old devices held, but for what the new ones cannot share equally.
    kept = min(before * min(len(given_so_far) // before, capacity) // after, new_capacity) * after
    assert taken == given_so_far[len(given_so_far) - kept :]
    assert common.same_trees(moved_to(before, capacity), shards)


@pytest.mark.parametrize("beside", [False, True], ids=["one by one", "several at once"])
def test_programs_are_compiled_and_their_memory_is_known(beside: bool) -> None:
    two, named = devices(2), list[str]()
    with programs.Compiler(two, named.append, beside) as compile:
        twice = compile("twice", lambda x: 2 * x, SPLIT, SPLIT, jnp.zeros(8))
        total = compile("sum", jnp.sum, SPLIT, WHOLE, jnp.zeros((8, 50)))
    assert np.asarray(twice(np.arange(8.0))).tolist() == list(range(0, 16, 2))
    assert float(total(np.ones((8, 50)))) == 400
    assert list(compile.memory) == ["twice", "sum"]
    assert [needed.arguments for needed in compile.memory.values()] == [16, 800]
    assert set(named) == {"twice", "sum"}
    with pytest.raises(TypeError, match="no shape"), programs.Compiler(two, print, beside) as wrong:
        wrong("refused", lambda x: _refused(), SPLIT, SPLIT, jnp.zeros(8))


def _refused() -> Any:
    raise TypeError("no shape")


def test_devices_play_different_games_and_store_their_own() -> None:
    board, run, two = Board(2, 2), smoke(), devices(2)
    compile = programs.Compiler(two, lambda name: None)
    state = checkpoint.initial_state(board, run, two)
    play, _ = programs.self_play_program(board, run, two, state.learner.params, compile)
    examples, _ = play(state.learner.ema_params, jax.random.key(0))
    first, second = mesh.parts(examples.edges)
    assert first.shape == second.shape
    assert (first != second).any()
    assert len(first) == run.selfplay.parallel_games // 2 * run.examples_per_game

    added = jax.jit(mesh.divided(two, replay.add_own, (SPLIT, SPLIT), SPLIT))(
        state.replay, examples
    )
    for stored, played in zip(mesh.parts(added.examples.edges), (first, second), strict=True):
        np.testing.assert_array_equal(stored[0, : len(played)], played)


@pytest.mark.slow
def test_two_devices_learn_from_the_whole_batch() -> None:
    # The same examples on every device: then samples differ, but what is learnt does not.
    # SGD, unlike the other optimisers, also shows gradients of another size.
    board = Board(2, 2)
    run = smoke(batch_size=8, steps_per_iteration=3, ema_decay=0.5, optimizer="sgd")
    edges = common.random_states(board, 0, 1, range(6, 7)).edges
    one = selfplay.zero_examples(board, 1)._replace(
        edges=edges,
        policy=((~edges) / 6).astype(jnp.float16),
        outcome=jnp.array([2], jnp.int8),
        outcome_valid=jnp.array([True]),
        search_margin=jnp.array([1.0], jnp.float16),
    )

    def no_symmetry(board: Board, examples: Example, key: jax.Array) -> Example:
        return examples

    results = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner, "augment", no_symmetry)
        for count in (1, 2):
            where = devices(count)
            state = checkpoint.initial_state(board, run, where)
            buffer = jax.jit(mesh.divided(where, replay.add_own, (SPLIT, WHOLE), SPLIT))(
                state.replay, mesh.placed(where, one)
            )
            learned, losses = jax.jit(
                lambda s, b, k, where=where: learner.learn(s, b, board, run, where, k)
            )(state.learner, buffer, mesh.placed(where, jax.random.key(1)))
            results.append(jax.tree.map(np.asarray, (learned, losses)))
    assert results[0][1].grad_norm > 0
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), *results)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"selfplay": {"parallel_games": 9, "games_per_iteration": 9}}, "selfplay.parallel_games"),
        ({"learner": {"batch_size": 17}}, "learner.batch_size"),
        ({"arena": {"num_games": 10}}, "arena.num_games"),
        ({"arena": {"baseline_games": 6}}, "arena.baseline_games"),
    ],
)
def test_what_cannot_be_divided_is_named(settings: dict[str, Any], key: str) -> None:
    run = config_from_dict(presets.merge(presets.read_settings("smoke"), settings))
    with pytest.raises(UserError, match=f"{key} must be a multiple of"):
        device.device_share(run, 2)


def test_the_shares_add_up() -> None:
    whole = smoke()
    assert device.most_devices(whole, 1) == 1
    assert device.most_devices(whole, 3) == 2
    half = device.device_share(whole, 2)
    assert half.selfplay.parallel_games * 2 == whole.selfplay.parallel_games
    assert half.replay.capacity * 2 == whole.replay.capacity
    assert half.learner.batch_size * 2 == whole.learner.batch_size
    assert device.device_share(whole, 1) == whole


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--num-processes", "2"], "need --coordinator"),
        (["--coordinator", "localhost:1"], "needs --num-processes"),
        (
            ["--coordinator", "localhost:1", "--num-processes", "2", "--process-id", "2"],
            "must be from 0 to 1, got 2",
        ),
    ],
)
def test_half_an_address_is_refused(argv: list[str], message: str, capsys: Any) -> None:
    refused = common.refused(train.main, capsys, "--config", "smoke", *argv)
    assert message in refused


def start(folder: Path, virtual: int, *argv: str) -> "subprocess.Popen[str]":
    # Of a flag given twice the last counts.
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={virtual}"
    variables = {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    return runs.start(["azdab.train"], folder, *argv, variables=variables)


def pair(folder: Path, *argv: str) -> list["subprocess.Popen[str]"]:
    """Two processes of two devices each."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    together = ["--coordinator", f"localhost:{port}", "--num-processes", "2", "--process-id"]
    return [start(folder, 2, *argv, *together, str(i)) for i in range(2)]


def finish(process: "subprocess.Popen[str]") -> str:
    printed = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0, printed
    return printed


def logged(folder: Path) -> list[int]:
    return runs.iterations(folder / "many")


@pytest.mark.slow
def test_a_run_moves_between_numbers_of_devices_and_processes(tmp_path: Path) -> None:
    """From the two of the tests to four in two processes, of which one is lost, and to one."""
    new = ["--config", "smoke", "--run", "many", "--runs", str(tmp_path)]
    assert train.main([*new, "--iterations", "1"]) == 0
    assert logged(tmp_path) == [1]
    both = pair(tmp_path, *NAME, "2", "--save-games")
    printed = [finish(process) for process in both]
    assert "as 4 devices" in printed[0]
    assert "in 2 processes" in printed[0]
    assert "loss" not in printed[1]  # one process speaks
    assert logged(tmp_path) == [1, 2]
    for i in range(2):  # and each keeps the games it played
        kept = tmp_path / "many" / "games" / f"00002-selfplay-0-process-{i}.txt"
        assert kept.read_text(encoding="utf-8").count("azdab") >= 4

    # A lost process ends the run, and nothing saved is lost.
    both = pair(tmp_path, *NAME, "100000")
    deadline = time.monotonic() + PATIENCE
    while len(logged(tmp_path)) < 5:
        assert both[0].poll() is None, both[0].communicate()[0]
        assert time.monotonic() < deadline, "the run is stuck"
        time.sleep(0.05)
    both[1].kill()
    told = both[0].communicate(timeout=PATIENCE)[0]
    both[1].communicate()
    assert both[0].returncode not in (0, 130)
    assert "--resume" in told or "another task died" in told
    done = max(logged(tmp_path))
    finish(start(tmp_path, 1, *NAME, str(done + 1)))
    assert logged(tmp_path) == list(range(1, done + 2))
    last = json.loads((tmp_path / "many" / "metrics.jsonl").read_text().splitlines()[-1])
    assert np.isfinite(last["loss/total"])


def test_every_device_has_a_key_of_its_own() -> None:
    two = devices(2)
    keys = mesh.divided(two, lambda key: jax.random.bits(mesh.own_key(key), (1,)), WHOLE, SPLIT)
    bits = mesh.gather(jax.jit(keys)(mesh.placed(two, jax.random.key(3))))
    assert bits.shape == (2,)
    assert bits[0] != bits[1]
