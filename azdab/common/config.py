"""What a run is: typed, validated, immutable configuration.

A config is a tree of frozen dataclasses. It is read from a preset in ``configs/`` or from a path,
any field can be overridden on the command line, and what is unknown or out of range is refused.

Nothing in :mod:`azdab.common` imports JAX: the memory settings held here must reach the
environment before JAX is loaded.
"""

import dataclasses
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import pydantic
from pydantic import Field, NonNegativeFloat, PositiveFloat
from pydantic.dataclasses import dataclass

from azdab.common import lattice
from azdab.common.errors import UserError, one_line, suggest
from azdab.common.lattice import PLAIN, Variant
from azdab.common.limits import ENGINE_DOTS, MAX_BATCH_GAMES, MAX_SIDE, TABLE_HORIZON

_STRICT = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

FeatureSet = Literal["edges", "chains"]
"""What the network is shown, see :mod:`azdab.network.features`."""


@dataclass(frozen=True, config=_STRICT)
class BoardConfig:
    """The board, in boxes."""

    rows: int = Field(default=5, ge=1, le=MAX_SIDE)
    """Rows of boxes."""
    cols: int = Field(default=5, ge=1, le=MAX_SIDE)
    """Columns of boxes."""
    start: Variant = PLAIN
    """Lines drawn before the first move, see :mod:`azdab.common.lattice`."""

    def __post_init__(self) -> None:
        lattice.start_edges(self.rows, self.cols, self.start)  # refuses silly boards

    @property
    def num_plies(self) -> int:
        """Edges to draw: the moves of a game."""
        drawn = lattice.start_edges(self.rows, self.cols, self.start)
        return lattice.count_edges(self.rows, self.cols) - len(drawn)


@dataclass(frozen=True, config=_STRICT)
class NetworkConfig:
    """The network's shape."""

    family: Literal["resnet", "resnet_attention"] = "resnet"
    """Residual blocks with global pooling, or the same followed by self-attention."""
    features: FeatureSet = "chains"
    """Inputs: `edges` shows what is drawn, `chains` shows chains and parities too."""
    filters: int = Field(default=64, ge=1, le=4096)
    """Channels of the trunk."""
    blocks: int = Field(default=4, ge=1, le=256)
    """Residual blocks."""
    num_heads: int = Field(default=4, ge=1, le=4096)
    """Attention heads (`resnet_attention` only); must divide `filters`."""
    mixed_precision: bool = False
    """Compute in bfloat16; parameters and outputs stay float32."""

    def __post_init__(self) -> None:
        if self.family == "resnet_attention" and self.filters % self.num_heads:
            raise ValueError(
                f"num_heads must divide filters, got {self.num_heads} and {self.filters}"
            )


@dataclass(frozen=True, config=_STRICT)
class SearchConfig:
    """The tree search that chooses moves."""

    policy: Literal["gumbel", "puct"] = "gumbel"
    """Gumbel MuZero, or MuZero's PUCT for comparison."""
    utility: Literal["margin", "win"] = "margin"
    """What a game is worth: the margin in boxes (per box), or won, drawn or lost."""
    num_simulations: int = Field(default=32, ge=1, le=100_000)
    """Network evaluations per move in self-play."""
    max_num_considered_actions: int = Field(default=8, ge=1, le=1000)
    """How many root actions the Gumbel search looks at."""
    gumbel_scale: NonNegativeFloat = 0.25
    """Noise on the root's logits in self-play; 0 plays the best move found."""
    value_scale: PositiveFloat = 0.03
    """How strongly Q-values move the policy away from the prior."""
    maxvisit_init: PositiveFloat = 50.0
    """Visits added to the maximum visit count in the formula of `value_scale`."""
    rescale_values: bool = True
    """Rescale each node's Q-values to [0, 1] first."""


@dataclass(frozen=True, config=_STRICT)
class SelfPlayConfig:
    """How games are generated."""

    games_per_iteration: int = Field(default=512, ge=1, le=MAX_BATCH_GAMES)
    """Games played before the learner runs."""
    parallel_games: int = Field(default=512, ge=1, le=MAX_BATCH_GAMES)
    """Games played at once: the batch of the search. Must divide `games_per_iteration`."""
    max_opening_plies: int = Field(default=8, ge=0, le=1000)
    """Each game starts with a random number of opening plies, at most this many."""
    greedy_openings: float = Field(default=0.0, ge=0, le=1)
    """Share of games whose opening plies are greedy with errors; the rest are random."""
    solver_horizon: int = Field(default=0, ge=0, le=TABLE_HORIZON)
    """Positions with at most this many edges left are played and labelled exactly, by a table on
    the device; 0: never. Two edges more cost four times the time."""
    solver_rollouts: int = Field(default=2, ge=0, le=1000)
    """Extra endgames per game, played imperfectly from the solved position, labelled exactly."""
    network_rollouts: int = Field(default=0, ge=0, le=1000)
    """How many of these the network plays, for both sides; the rest is perfect play with errors."""
    engine_positions: int = Field(default=0, ge=0, le=1_000_000_000)
    """Positions that the host's exact engine may look at for each game, beside the device; 0: it
    is not used. Needs numba."""

    def __post_init__(self) -> None:
        if self.network_rollouts > self.solver_rollouts:
            raise ValueError(
                f"network_rollouts are among the {self.solver_rollouts} solver_rollouts, "
                f"got {self.network_rollouts}"
            )
        if self.games_per_iteration % self.parallel_games:
            raise ValueError(
                "parallel_games must divide games_per_iteration, got "
                f"{self.parallel_games} and {self.games_per_iteration}"
            )


@dataclass(frozen=True, config=_STRICT)
class ReplayConfig:
    """The window of past positions that the learner samples."""

    capacity: int = Field(default=500_000, ge=1, le=1_000_000_000)
    """Positions kept on the device; fixes the buffer's memory."""
    min_window: int = Field(default=50_000, ge=1, le=1_000_000_000)
    """The window never shrinks below this many of the newest positions."""
    window_fraction: float = Field(default=0.5, gt=0, le=1)
    """The window is this share of all positions generated so far."""
    opening_weight: NonNegativeFloat = 1.0
    """A position's chance to be drawn grows as this power of its open edges; 0: all are equal."""
    saved: bool = True
    """Keep the replay on disk; off: checkpoints are small, and a resumed run refills it first."""


@dataclass(frozen=True, config=_STRICT)
class LearnerConfig:
    """How the network is fitted."""

    batch_size: int = Field(default=256, ge=1, le=1_000_000)
    """Positions per step."""
    steps_per_iteration: int = Field(default=400, ge=1, le=1_000_000)
    """Optimiser steps after each round of self-play."""
    optimizer: Literal["adamw", "muon", "sgd"] = "muon"
    """AdamW, Muon (kernels; AdamW for the rest), or SGD with Nesterov momentum 0.9."""
    learning_rate: PositiveFloat = 4e-3
    """Peak learning rate; a cosine takes it to a tenth over `schedule_steps`."""
    warmup_steps: int = Field(default=100, ge=0, le=1_000_000_000)
    """Steps of linear warm-up."""
    schedule_steps: int = Field(default=20_000, ge=1, le=1_000_000_000)
    """Step at which the learning rate reaches its end value and stays."""
    weight_decay: NonNegativeFloat = 1e-4
    """Decoupled weight decay."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients are clipped to this global norm."""
    ema_decay: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the averaged parameters, which play; 0: the raw parameters play."""
    margin_weight: NonNegativeFloat = 1.0
    """Weight of the margin loss."""
    ownership_weight: NonNegativeFloat = 0.25
    """Weight of the ownership loss."""
    search_value_weight: float = Field(default=0.5, ge=0, le=1)
    """Share of the search's value in the margin target; the rest is the outcome."""


@dataclass(frozen=True, config=_STRICT)
class ArenaConfig:
    """Matches that measure progress."""

    every: int = Field(default=1, ge=1, le=1_000_000)
    """Iterations between arenas."""
    num_games: int = Field(default=64, ge=2, le=MAX_BATCH_GAMES, multiple_of=2)
    """Games of the latest network against the best; sides are swapped halfway."""
    num_simulations: int = Field(default=32, ge=1, le=100_000)
    """Simulations per move of either side."""
    opening_plies: int = Field(default=4, ge=0, le=1000)
    """Random plies before a match game, the same for both sides; fewer than the board has edges."""
    gating: bool = True
    """Only a network that beats `best` replaces it and plays; off: the latest is the best."""
    threshold: float = Field(default=0.55, ge=0.5, le=1)
    """Score rate from which the latest network replaces `best`."""
    baseline_games: int = Field(default=64, ge=2, le=MAX_BATCH_GAMES, multiple_of=2)
    """Games against each of `random` and `greedy`."""


@dataclass(frozen=True, config=_STRICT)
class DeviceConfig:
    """Memory, set before JAX starts. What you set in the environment yourself has priority."""

    memory_gb: PositiveFloat | None = None
    """Most GPU memory the run may take, in GB, by the driver's count; `null`: three quarters."""
    preallocate: bool | None = None
    """Reserve that memory at the start, or take it when needed, which fragments it more; `null`:
    reserve it where `memory_gb` caps it."""
    cpu_devices: int | None = Field(default=None, ge=1, le=1024)
    """Devices to make of the CPU; `null`: one per core, as far as the work can be divided."""


@dataclass(frozen=True, config=_STRICT)
class Config:
    """A whole run."""

    description: str = ""
    """What the preset is for, shown by --list-configs."""
    iterations: int = Field(default=50, ge=1, le=1_000_000)
    """Rounds of self-play, learning and arena. Raise it to continue a finished run."""
    seed: int = Field(default=0, ge=0, le=2**63 - 1)
    """Seed of everything random."""
    keep_checkpoints: int = Field(default=2, ge=1, le=1_000_000)
    """How many of the newest checkpoints stay on disk."""
    initial: str | None = None
    """A network to begin with, named as for `azdab.play`; `null`: a random one."""
    board: BoardConfig = BoardConfig()
    network: NetworkConfig = NetworkConfig()
    search: SearchConfig = SearchConfig()
    selfplay: SelfPlayConfig = SelfPlayConfig()
    replay: ReplayConfig = ReplayConfig()
    learner: LearnerConfig = LearnerConfig()
    arena: ArenaConfig = ArenaConfig()
    device: DeviceConfig = DeviceConfig()

    def __post_init__(self) -> None:
        dots = (self.board.rows + 1) * (self.board.cols + 1)
        if self.selfplay.engine_positions and dots > ENGINE_DOTS:
            raise ValueError(
                f"selfplay.engine_positions must be 0 on boards of more than {ENGINE_DOTS} dots, "
                f"got {self.selfplay.engine_positions} and {dots} dots"
            )
        plies, names = self.board.num_plies, ("arena.opening_plies", "selfplay.max_opening_plies")
        openings = self.arena.opening_plies, self.selfplay.max_opening_plies
        for name, given in zip(names, openings, strict=True):
            if given >= max(plies, 9):  # the defaults are cut on the smallest boards
                raise ValueError(f"{name} must be less than the {plies} edges, got {given}")
        batch = self.selfplay.parallel_games * self.examples_per_game
        if self.replay.capacity < batch:
            raise ValueError(
                f"replay.capacity must hold the {batch} positions of one batch of games, "
                f"got {self.replay.capacity}"
            )

    @property
    def solver_horizon(self) -> int:
        """The horizon on this board: no more edges than there are to draw."""
        return min(self.selfplay.solver_horizon, self.board.num_plies)

    @property
    def examples_per_game(self) -> int:
        """How many training positions self-play makes of one game."""
        rollouts = self.selfplay.solver_rollouts * max(self.solver_horizon - 1, 0)
        return self.board.num_plies + rollouts


def config_to_dict(config: Config) -> dict[str, Any]:
    """The config as plain nested dictionaries, ready for YAML or JSON."""
    return dataclasses.asdict(config)


def config_from_dict(values: Mapping[str, Any]) -> Config:
    """Build and validate a config.

    Raises:
      UserError: names the key, what is wrong and, for a typo, the likely key.
    """
    try:
        _refuse_true_for_one(values)
        return pydantic.TypeAdapter(Config).validate_python(values)
    except pydantic.ValidationError as error:
        raise UserError(_explain(error)) from None
    except RecursionError:
        raise UserError("the config is nested too deeply: sections hold plain values") from None


def _refuse_true_for_one(values: Any, kind: Any = Config, prefix: str = "") -> None:
    """Refuse ``true`` and ``false`` where a number is wanted; pydantic takes them for 1 and 0."""
    for name, field in kind.__pydantic_fields__.items():
        value = values.get(name) if isinstance(values, Mapping) else None
        if dataclasses.is_dataclass(field.annotation):
            _refuse_true_for_one(value, field.annotation, f"{prefix}{name}.")
            continue
        kinds = field.annotation, *get_args(field.annotation)
        if isinstance(value, bool) and bool not in kinds:
            raise UserError(f"{prefix}{name}: input should not be true or false, got {value}")


def _explain(error: pydantic.ValidationError) -> str:
    """The first thing wrong, in one line."""
    first = error.errors(include_url=False)[0]
    path = [one_line(str(part), 60) for part in first["loc"]]
    key = ".".join(path)
    if first["type"] in ("unexpected_keyword_argument", "invalid_key"):
        section = key.rpartition(".")[0]
        names = [name for name, _ in config_fields()]
        here = [name for name in names if name.rpartition(".")[0] == section]
        # Not a typo: say which keys there are.
        known = suggest(key, names) or f"; there is {', '.join(here)}"
        return f"unknown key '{key}'{known}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{key}: {message}" if key else message
    return f"{key or 'the config'}: {message[0].lower()}{message[1:]}, got {_shown(first['input'])}"


def _shown(value: Any) -> str:
    """A value for a message, however large it is."""
    try:
        return one_line(reprlib.repr(value), 80)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        return "something giant"


def config_fields(kind: Any = Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All settable fields as dotted names with their pydantic descriptions."""
    for name, field in kind.__pydantic_fields__.items():
        if dataclasses.is_dataclass(field.annotation):
            yield from config_fields(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def config_differences(old: Any, new: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """The fields in which two configs, or two parts of configs, differ."""
    found: dict[str, tuple[Any, Any]] = {}
    for field in dataclasses.fields(old):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if dataclasses.is_dataclass(before):
            found |= config_differences(before, after, f"{prefix}{field.name}.")
        elif before != after:
            found[prefix + field.name] = (before, after)
    return found
