"""Every metric that training writes: the one place that says what it is.

Training measures; this table says in which unit, which direction is better, where figures
show it, and how the line of an iteration does. ``metrics.jsonl``, TensorBoard, the line on
the terminal, the figures and the diagnosis of a run read it. ``tests/test_metric_table.py``
compares it with what a run writes.
"""

from typing import Literal, NamedTuple

Better = Literal["more", "less", ""]
"""Which direction is better; empty: neither, or it depends."""

When = Literal["always", "arena", "solved", "device"]
"""When a metric is measured: in every iteration, in those with an arena, in those with an arena
if the board can be solved, or where the device tells it."""


class Metric(NamedTuple):
    """One metric.

    Attributes:
      name: ``group/name``, as in ``metrics.jsonl``.
      unit: of its values.
      better: which direction is better.
      meaning: what it is.
      panel: title of the axes that show it; empty: none do.
      label: its curve there.
      compared: whether figures of several runs show it.
      line: how the line of an iteration shows it, with the space before it; empty: not at
        all. Text without a place for the value is shown if the value is not 0.
      when: when it is measured.
      win_unit: its unit under the utility ``win``, where that is another.
    """

    name: str
    unit: str
    better: Better
    meaning: str
    panel: str = ""
    label: str = ""
    compared: bool = False
    line: str = ""
    when: When = "always"
    win_unit: str = ""

    def unit_under(self, utility: str) -> str:
        """Its unit in a run of a utility."""
        return self.win_unit if self.win_unit and utility == "win" else self.unit

    def text(self, *values: float, utility: str = "margin") -> str:
        """Values with their unit, such as ``1.20 to 0.80 nats`` or ``35%``."""
        unit = self.unit_under(utility)
        shown = " to ".join(f"{value:{_FORMATS.get(unit, '.2f')}}" for value in values)
        return shown if unit in ("", "share") else f"{shown} {unit}"


_FORMATS = {"share": ".0%", "boxes per move": ".3f", "ply": ".1f", "points": ".0f"}

METRICS = (
    Metric(
        "loss/total", "nats", "less", "the weighted sum that is minimised",
        "losses", "total", compared=True, line="  loss {:.3f}",
    ),
    Metric(
        "loss/policy", "nats", "less", "divergence of the network's policy from the search's",
        "losses", "policy", line="  (policy {:.3f}",
    ),
    Metric(
        "loss/margin", "nats", "less", "cross-entropy of the future margin",
        "losses", "margin", line=" margin {:.3f})",
    ),
    Metric(
        "loss/ownership", "nats", "less", "cross-entropy of who closes a box, per open box",
        "losses", "ownership",
    ),
    Metric(
        "loss/entropy", "nats", "", "entropy of the network's policy",
        "entropy of the policy", "network",
    ),
    Metric(
        "selfplay/policy_entropy", "nats", "", "entropy of the search's policy in self-play",
        "entropy of the policy", "search", compared=True,
    ),
    Metric(
        "selfplay/value_error", "boxes", "less",
        "how far the search's value is from the outcome, root mean square; "
        "of results, from -1 to 1, under the win utility",
        "value error in self-play", "search", compared=True, win_unit="results",
    ),
    Metric(
        "loss/grad_norm", "", "", "norm of the gradient before it is clipped, mean",
        "gradient norm", "before clipping", compared=True,
    ),
    Metric("loss/grad_norm_max", "", "", "the same, the largest of the iteration"),
    Metric("range/params", "", "", "the largest magnitude in the network"),
    Metric("range/ema_params", "", "", "the same of the average that plays"),
    Metric("range/optimiser", "", "", "the same of the optimiser's state"),
    Metric(
        "speed/games_per_second", "games per second", "more", "self-play",
        line="  {:.1f} games/s",
    ),
    Metric(
        "speed/moves_per_second", "moves per second", "more", "searched moves in self-play",
        line="  {:.0f} moves/s",
    ),
    Metric(
        "arena/win_rate_best", "share", "more", "score rate of the latest against the best",
        "arena: score rate", "best so far", line="  vs best {:.0%}", when="arena",
    ),
    Metric(
        "arena/promoted", "", "", "1 if the latest became the best",
        line="*", when="arena",
    ),
    Metric(
        "arena/win_rate_greedy_min", "share", "more", "score rate against greedy-min",
        "arena: score rate", "greedy-min", compared=True, line="  greedy-min {:.0%}",
        when="arena",
    ),
    Metric(
        "arena/win_rate_perfect", "share", "more", "score rate against perfect play",
        "arena: score rate", "perfect", when="solved",
    ),
    Metric(
        "arena/win_rate_random", "share", "more", "score rate against random play",
        when="arena",
    ),
    Metric(
        "arena/mean_margin_greedy_min", "boxes", "more", "mean lead over greedy-min at the end",
        when="arena",
    ),
    Metric(
        "arena/mean_margin_perfect", "boxes", "more", "mean lead over perfect play at the end",
        when="solved",
    ),
    Metric(
        "arena/mean_margin_random", "boxes", "more", "mean lead over random play at the end",
        when="arena",
    ),
    Metric(
        "arena/elo", "points", "more", "Elo of the latest, from its matches with its past selves",
        "Elo against past selves", "latest", compared=True, when="arena",
    ),
    Metric(
        "exact/regret", "boxes per move", "less",
        "boxes that a move gives away, against perfect play",
        "lost to perfect play", "latest", compared=True, line="  regret {:.3f} boxes/move",
        when="solved",
    ),
    Metric(
        "exact/optimal_moves", "share", "more", "moves that give nothing away", when="solved"
    ),
    Metric(
        "selfplay/decided_ply", "ply", "", "from which the leader cannot be caught, mean",
        "self-play: game decided at", "mean", compared=True,
    ),
    Metric(
        "selfplay/first_player_win_rate", "share", "", "score rate of whoever begins"
    ),
    Metric("selfplay/mean_margin", "boxes", "", "lead of whoever begins at the end, mean"),
    Metric(
        "speed/simulations_per_second", "simulations per second", "more", "self-play",
        "self-play", "self-play",
    ),
    Metric(
        "speed/samples_per_second", "samples per second", "more", "the learner",
        "learner", "learner",
    ),
    Metric(
        "time/iteration", "seconds", "less", "from one iteration's games to the next one's",
        "time per iteration", "whole",
    ),
    Metric(
        "time/self_play", "seconds", "less", "of the devices in self-play",
        "time per iteration", "self-play",
    ),
    Metric(
        "time/learning", "seconds", "less", "of the devices in learning",
        "time per iteration", "learning",
    ),
    Metric(
        "time/arena", "seconds", "less", "the iteration's arena",
        "time per iteration", "arena", when="arena",
    ),
    Metric(
        "device/idle", "share", "less", "of the iteration in which the devices had nothing to do",
        line="  idle {:.0%}",
    ),
    Metric(
        "time/idle_teacher", "seconds", "less", "of it waiting for the host's exact engine",
        "the devices wait for", "exact engine",
    ),
    Metric(
        "time/idle_saving", "seconds", "less", "of it waiting for the disk",
        "the devices wait for", "disk",
    ),
    Metric(
        "time/idle_python", "seconds", "less", "of it waiting for the rest of the program",
        "the devices wait for", "program",
    ),
    Metric(
        "device/memory_gb", "GB", "", "of the device in use, on the CPU of this process",
        "memory", "after the iteration",
    ),
    Metric(
        "device/memory_peak_gb", "GB", "less", "the most so far",
        "memory", "peak", when="device",
    ),
    Metric(
        "device/host_memory_gb", "GB", "less", "of this process beside a GPU", when="device"
    ),
    Metric(
        "device/card_memory_gb", "GB", "",
        "of the card, used by all programs, by its driver's count", when="device",
    ),
    Metric(
        "device/gpu_utilisation", "percent", "more",
        "of the GPU, mean over the iteration by its driver's samples", when="device",
    ),
)  # fmt: skip
"""In the order in which figures and the line of an iteration show them."""

BY_NAME = {metric.name: metric for metric in METRICS}

MACHINE_GROUPS = ("speed", "time", "device")
"""Groups that depend on the machine and the hour."""

_EARLIER = {
    "arena/win_rate_greedy": "arena/win_rate_greedy_min",
    "arena/mean_margin_greedy": "arena/mean_margin_greedy_min",
}


def current_name(name: str) -> str:
    """What a metric is called now; runs on disk may have it by an earlier name."""
    return _EARLIER.get(name, name)


def depends_on_machine(name: str) -> bool:
    """Whether a metric is about the machine, and not about what is learnt."""
    return name.partition("/")[0] in MACHINE_GROUPS


def described(name: str) -> str:
    """What a metric is, its unit, and which direction is better; empty if it is not in the table.

    Example:
      >>> described("exact/regret")
      'boxes that a move gives away, against perfect play; boxes per move, less is better'
    """
    if name not in BY_NAME:
        return ""
    metric = BY_NAME[name]
    better = f"{metric.better} is better" if metric.better else ""
    return "; ".join(filter(None, (metric.meaning, ", ".join(filter(None, (metric.unit, better))))))
