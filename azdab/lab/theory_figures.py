"""What the notebook ``theory`` shows: questions and answers in figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from azdab.lab.figures import COLOURS, axes_grid, bar_offset, styled, wilson_errors


@styled
def plot_dealings(worth: np.ndarray, deals: Mapping[str, np.ndarray]) -> Any:
    """How often two boxes are handed back, by what control of the rest is worth.

    Args:
      worth: ``int[N]``, boxes.
      deals: for each player, ``float[N]``, the probability of handing them back.
    """
    figure, axes = axes_grid(1, len(deals), 4.4, 3.2)
    levels = np.unique(worth)
    for i, (axis, (name, shares)) in enumerate(zip(axes[0], deals.items(), strict=True)):
        jitter = np.random.default_rng(0).uniform(-0.25, 0.25, len(worth))
        axis.plot(worth + jitter, shares, "o", ms=3, alpha=0.25, color=COLOURS[i], mew=0)
        means = [shares[worth == level].mean() for level in levels]
        axis.plot(levels, means, "o-", color=COLOURS[i], label="mean")
        axis.step(
            [levels[0], 2, 2, levels[-1]], [0, 0, 1, 1], color="#888888", ls=":", label="right"
        )
        axis.set(title=name, xlabel="control of the rest is worth, boxes")
        axis.set(ylabel="share that hands back two boxes")
        axis.legend()
    return figure


@styled
def plot_shares(
    groups: Sequence[str], hits: Mapping[str, Sequence[np.ndarray]], *, lines: bool, label: str
) -> Any:
    """Shares with 95% intervals, by group and player.

    Args:
      groups: names of the groups.
      hits: for each player and group, ``float[n]`` in 0..1, which answers were right.
      lines: join the shares, for groups in an order; else bars.
      label: of the axis of groups.
    """
    figure, ((axis,),) = axes_grid(1, 1, 7, 3.4)
    for i, (name, per_group) in enumerate(hits.items()):
        rates = [float(np.mean(hit)) if len(hit) else np.nan for hit in per_group]
        errors = wilson_errors(rates, [len(hit) for hit in per_group])
        places = np.arange(len(groups)) + (0.05 * i if lines else bar_offset(i, len(hits)))
        if lines:
            axis.errorbar(
                places, rates, errors, fmt="o-", ms=4, capsize=2, color=COLOURS[i], label=name
            )
        else:
            axis.bar(
                places,
                rates,
                0.75 / len(hits),
                yerr=errors,
                capsize=2,
                color=COLOURS[i],
                label=name,
            )
    counts = [len(hit) for hit in next(iter(hits.values()))]
    names = [f"{group}\n{count:,}" for group, count in zip(groups, counts, strict=True)]
    axis.set(xticks=range(len(groups)), xticklabels=names, xlabel=label, ylabel="share, 95%")
    axis.legend(ncols=len(hits), loc="lower left", bbox_to_anchor=(0, 1))
    return figure


@styled
def plot_estimates(estimates: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Any:
    """Estimates of openings against what is compared with, one panel per name."""
    figure, (axes,) = axes_grid(1, len(estimates), 3.6, 3.4)
    for i, (axis, (name, (exact, estimate))) in enumerate(
        zip(axes, estimates.items(), strict=True)
    ):
        low, high = min(exact.min(), estimate.min()), max(exact.max(), estimate.max())
        axis.plot([low - 1, high + 1], [low - 1, high + 1], ":", color="#888888")
        jitter = np.random.default_rng(0).uniform(-0.3, 0.3, len(exact))
        axis.plot(exact + jitter, estimate, "o", ms=4, alpha=0.5, mew=0, color=COLOURS[i])
        error = np.sqrt(np.mean((estimate - exact) ** 2))
        axis.set(title=f"{name}: off by {error:.2f} boxes", xlabel="perfect play, boxes")
        axis.set(ylabel="network, boxes", xlim=(low - 1, high + 1), ylim=(low - 1, high + 1))
    return figure
