"""Going back to an earlier checkpoint of a run."""

from pathlib import Path

from azdab.common.errors import UserError
from azdab.common.files import write_whole
from azdab.runs import atomic, checkpoint, run_directory, segments


def first_damage(run: Path, step: int) -> str | None:
    """What is wrong with a checkpoint or with its replay; None if nothing is.

    Raises:
      UserError: it is of another format, or the system does not let it be read.
    """
    path = run / "checkpoints" / str(step)
    if problem := atomic.damage(path):
        return problem
    try:
        entries = segments.entries_of(checkpoint.read_metadata(path))
    except UserError:
        raise
    except ValueError as error:
        return str(error)
    lost = segments.lost(run / "replay", entries)
    return next((f"replay/{entry.file} {problem}" for entry, problem in lost.items()), None)


def roll_back(run: Path, step: int) -> Path | None:
    """Make a checkpoint the newest: what came after it goes aside, with a copy of the metrics.

    Returns:
      Where it went; None if nothing came after it.

    Raises:
      UserError: there is no such checkpoint, or it is damaged.
    """
    latest, best = run / "checkpoints", run / "best"
    found = atomic.steps(latest)
    if step not in found:
        have = ", ".join(map(str, sorted(found))) or "none"
        raise UserError(
            f"{run} has no checkpoint {step} to go back to, it has {have}; "
            "--keep_checkpoints says how many are kept"
        )
    if problem := first_damage(run, step):
        raise UserError(f"{latest / str(step)} is damaged: {problem}")
    later = [latest / str(n) for n in found if n > step]
    if not later:
        return None
    place = run_directory.place_aside(run, f"after-{step}")
    place.mkdir()
    if (run / "metrics.jsonl").is_file():
        write_whole(place / "metrics.jsonl", (run / "metrics.jsonl").read_bytes())
    for number in segments.numbers(run / "replay"):
        if number > step:
            segments.path_of(run / "replay", number).rename(place / f"replay-{number}.npz")
    for path in [*(best / str(n) for n in atomic.steps(best) if n > step), *later]:
        path.rename(place / f"{path.parent.name}-{path.name}")
    return place
