"""Memory, planned and as it is."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import mctx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azdab import train
from azdab.common import limits, presets
from azdab.common.config import Config, config_from_dict
from azdab.common.errors import UserError
from azdab.devices import device, mesh
from azdab.game import rules
from azdab.game.board import Board, board_of
from azdab.learning import learner, memory, programs, replay, selfplay
from azdab.learning.programs import ProgramMemory
from azdab.runs import checkpoint
from azdab.training import opening
from tests import common


def smoke(**changes: Any) -> Config:
    return config_from_dict(presets.merge(presets.read_settings("smoke"), changes))


@settings(max_examples=10)
@given(st.sampled_from([(1, 1), (2, 3), (5, 5)]), st.integers(1, 40), st.integers(1, 60))
def test_the_bytes_of_the_trees_are_those_of_mctx(
    size: tuple[int, int], games: int, simulations: int
) -> None:
    board = Board(*size)

    def search() -> Any:
        logits = jnp.zeros((games, board.num_edges))
        states = rules.init_states(board, games)
        zeros = jnp.zeros(games)
        root: Any = mctx.RootFnOutput(prior_logits=logits, value=zeros, embedding=states)

        def step(params: Any, key: Any, action: Any, states: Any) -> Any:
            output: Any = mctx.RecurrentFnOutput(
                reward=zeros, discount=zeros, prior_logits=logits, value=zeros
            )
            return output, states

        key = jax.random.key(0)
        # A loop without its simulations: none of them changes how large the tree is.
        return mctx.gumbel_muzero_policy(
            None, key, root, step, simulations, invalid_actions=logits > 0,
            loop_fn=lambda lower, upper, body, state: state,
        ).search_tree  # fmt: skip

    exact = memory.tree_num_bytes(jax.eval_shape(search))
    assert memory.tree_bytes(board, games, simulations) == pytest.approx(exact, rel=0.01)


def test_what_is_resident_is_what_a_run_allocates() -> None:
    board, run = Board(2, 2), smoke()
    for devices in (common.one_device(), mesh.all_devices()):
        state = checkpoint.initial_state(board, run, devices)
        found = [x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(state)]
        planned = sum(memory.resident(board, run, devices.size).values())
        assert planned == pytest.approx(sum(found), rel=0.01)


def planned(board: Board, run: Config, games: int) -> int:
    """Bytes of self-play in the compiler's plan."""
    run = memory.with_batch(run, games, games)
    params = jax.eval_shape(lambda: learner.init_learner(jax.random.key(0), board, run)).params
    compile = programs.Compiler(common.one_device(), lambda name: None)
    programs.self_play_program(board, run, common.one_device(), params, compile)
    return max(memory.peak(compile.memory, memory.resident(board, run)).values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("board", "horizon", "capacity", "room", "limit"),
    [
        (Board(2, 2), 4, 400_000, limits.TABLE_ROOM, 20_000_000),
        # Tables small enough to compile fast, and chunks of about 200 of them.
        (Board(2, 3), 10, 100_000, 270_000, 12_000_000),
        (Board(2, 3), 10, 100_000, 270_000, 7_500_000),
    ],
    ids=["no chunks", "many chunks of endings", "less than a chunk"],
)
def test_the_largest_batch_fits_and_the_next_does_not(
    board: Board,
    horizon: int,
    capacity: int,
    room: int,
    limit: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "TABLE_ROOM", room)
    monkeypatch.setattr(selfplay, "TABLE_ROOM", room)
    run = smoke(
        board={"rows": board.rows, "cols": board.cols},
        selfplay={"solver_horizon": horizon},
        replay={"capacity": capacity},
    )
    run = memory.with_batch(run, 8, 4096)
    found = memory.largest_batch(board, run, common.one_device(), limit, lambda name: None)
    chosen = found.selfplay.parallel_games
    assert 32 < chosen < 4096
    assert found.selfplay.games_per_iteration == 4096
    assert planned(board, run, chosen) <= 1.02 * limit
    assert planned(board, run, 2 * chosen) > limit


@pytest.mark.slow
def test_what_cannot_fit_is_said() -> None:
    with pytest.raises(UserError, match=r"--max-memory: .* GB are needed .* replay.capacity 400"):
        memory.largest_batch(Board(2, 2), smoke(), common.one_device(), 1000, lambda name: None)


@pytest.mark.parametrize("preset", list(presets.known_presets()))
def test_every_preset_is_fitted_into_less_memory(
    preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_from_dict(presets.read_settings(preset))
    board, mine = board_of(config), common.one_device()

    def planned_for(
        board: Board, at: Config, mesh: object, params: object, compile: SimpleNamespace
    ) -> None:
        compile.memory["self-play"] = ProgramMemory(0, 0, 1000 * at.selfplay.parallel_games)

    monkeypatch.setattr(programs, "Compiler", lambda mesh, report: SimpleNamespace(memory={}))
    monkeypatch.setattr(programs, "self_play_program", planned_for)
    total = config.selfplay.games_per_iteration
    half = sum(memory.resident(board, config).values()) + 1000 * (total // 2)
    found = memory.largest_batch(board, config, mine, half, lambda name: None)
    assert found == memory.with_batch(config, total // 2, total)


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4e9), ("500 mb", 5e8), ("6", 6e9), ("0.5gb", 5e8)]
)
def test_sizes_are_read(text: str, size: float) -> None:
    assert memory.parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "nan", "inf", "4XB", "1e9GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="give an amount such as"):
        memory.parse_memory(text)


GB = 1_000_000_000


@pytest.mark.parametrize(
    ("scratch", "config", "limit", "said"),
    [
        (3, {"memory_gb": 6}, None, "at most 3.00 of 5.25 GB (6 GB are allowed, less the driver"),
        (6, {"memory_gb": 6}, None, "5.25 GB (6 GB are allowed, less the driver's part), which is"),
        (3, {}, 4 * GB, "at most 3.00 of 4.00 GB (are allowed); it fits on a card of 8 GB"),
        (3, {}, None, "at most 3.00 of 16.00 GB (there is); it fits"),
        (7, {}, None, "at most 7.00 of 16.00 GB (there is); it does not fit on a card of 8 GB"),
    ],
)
def test_the_verdict_on_a_plan(
    monkeypatch: pytest.MonkeyPatch, scratch: int, config: dict[str, Any], limit: int | None,
    said: str,
) -> None:  # fmt: skip
    # The two devices of the tests share the machine's memory, and so do their plans.
    monkeypatch.setattr(device, "memory_bytes", lambda: 8 * GB)
    plan = {"self-play": programs.ProgramMemory(0, 0, scratch * GB // 2)}
    verdict = memory.memory_verdict(
        Board(2, 2), smoke(device=config), mesh.all_devices(), plan, limit
    )
    assert said in verdict
    assert "\n" not in verdict


@pytest.mark.parametrize(("gigabytes", "fits"), [(30, True), (20, False)])
def test_each_device_holds_its_part_of_the_replay(
    monkeypatch: pytest.MonkeyPatch, gigabytes: int, fits: bool
) -> None:
    config = smoke(replay={"capacity": 1_000_000_000})
    whole = replay.replay_num_bytes(Board(2, 2), config.replay.capacity)
    assert 40 * GB < whole < 60 * GB
    monkeypatch.setattr(device, "memory_bytes", lambda: gigabytes * GB)
    if fits:
        opening.check_memory(config)
    else:
        with pytest.raises(
            UserError, match=r"take .* GB on each of 2 devices, and there are 20\.0"
        ):
            opening.check_memory(config)


def test_the_memory_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(*limits: int | None) -> int:
        local = [SimpleNamespace(memory_stats=lambda n=n: n and {"bytes_limit": n}) for n in limits]
        monkeypatch.setattr(jax, "local_devices", lambda: local)
        return device.memory_bytes()

    assert of(8 * GB, 6 * GB) == 6 * GB
    assert of(None, None) == pytest.approx(of(None) / 2, rel=0.01)


@pytest.mark.slow
def test_a_dry_run_takes_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--config", "smoke", "--dry-run", "--max-memory", "1GB"]) == 0
    printed = capsys.readouterr().out
    assert "8 games at once fit" in printed
    assert "of that, trees" in printed
    assert "of that, endings" in printed
    assert "of 1.00 GB (are allowed); it fits" in printed
    refused = common.refused(train.main, capsys, "--config", "smoke", "--max-memory", "lots")
    assert "4GB" in refused
