"""Training killed with SIGKILL at random moments ends as if it never had been.

``pytest -m slow -s tests/test_crash.py --kills 50`` is the long form. Only what is killed has a
process of its own.
"""

import collections
import os
import random
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from azdab import train
from tests import common, killable, runs

PHASES = ("self-play", "learning", "arena", "saving")
PATIENCE = 300  # seconds without a new phase after which a run is taken for stuck


class Killable:
    """Training in a process of its own that tells its phases."""

    def __init__(self, folder: Path, *argv: str) -> None:
        self._pipe, end = os.pipe()
        module = ["tests.killable", str(end)]
        self.process = runs.start(module, folder, *argv, pass_fds=(end,))
        os.close(end)
        self._rest = b""
        self._saving = False

    def phases(self) -> Iterator[str]:
        """The phases as they begin, until the process ends; and ``saved``."""
        while True:
            while b"\n" in self._rest:
                line, self._rest = self._rest.split(b"\n", 1)
                if line in (b"saving", b"saved"):
                    self._saving = line == b"saving"
                yield line.decode()
            assert select.select([self._pipe], [], [], PATIENCE)[0], "the run is stuck"
            if not (more := os.read(self._pipe, 4096)):
                return
            self._rest += more

    def end(self) -> str:
        """Wait for the process; what it printed."""
        printed, _ = self.process.communicate(timeout=PATIENCE)
        os.close(self._pipe)
        return printed

    def kill(self, phase: str) -> str:
        """Kill it; the phase in which it died, ``phase`` unless it told another meanwhile."""
        self.process.send_signal(signal.SIGKILL)
        *_, last = [phase, *(told for told in self.phases() if told in PHASES)]
        printed = self.end()
        assert self.process.returncode == -signal.SIGKILL, printed
        return "saving" if self._saving else last


def timed(folder: Path, *argv: str) -> dict[str, float]:
    """Let a run go to its end, in this process; the median seconds of its phases."""
    told: list[tuple[str, float]] = []
    with killable.told(lambda phase: told.append((phase, time.perf_counter()))):
        assert train.main(["--runs", str(folder), *argv]) == 0
    seconds = collections.defaultdict(list)
    name, began, saving = "", 0.0, 0.0
    for phase, now in told:
        if phase == "saving":
            saving = now
        elif phase == "saved":
            seconds["saving"].append(now - saving)
        else:
            seconds[name].append(now - began)
            name, began = phase, now
    return {phase: sorted(seconds[phase])[len(seconds[phase]) // 2] for phase in PHASES}


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_killed_again_and_again_a_run_is_bit_for_bit_the_one_that_never_was(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kills = request.config.getoption("--kills")
    new = ["--config", "smoke", "--iterations", str(2 * kills + 2)]
    whole, hurt = tmp_path / "whole", tmp_path / "hurt"
    seconds = timed(tmp_path, "--run", "whole", *new)

    chance = random.Random(0)
    died: collections.Counter[str] = collections.Counter()
    half_written = 0
    for number in range(kills):
        start = ["--resume"] if hurt.exists() else new
        run = Killable(tmp_path, "--run", "hurt", *start)
        aim, skip = PHASES[number % len(PHASES)], chance.randint(0, 1)
        for phase in run.phases():
            if phase == aim and not (skip := skip - 1) >= 0:
                break
        time.sleep(chance.uniform(0, seconds[aim]))
        phase = run.kill(aim)
        died[phase] += 1
        half_written += bool([x for x in runs.leftovers(hurt) if ".new" in x or "orbax" in x])
        print(f"kill {number + 1}: in {phase}, at {len(runs.iterations(hurt))} lines of metrics")
    print(f"{dict(died)}; {half_written} left a checkpoint half written")
    assert sum(died.values()) == kills
    assert kills < 20 or set(died) >= set(PHASES)
    assert kills < 20 or half_written

    timed(tmp_path, "--run", "hurt", "--resume")
    total = 2 * kills + 2
    assert runs.iterations(hurt) == runs.iterations(whole) == list(range(1, total + 1))
    assert runs.lasting(hurt) == runs.lasting(whole)
    assert common.same_trees(runs.saved(hurt), runs.saved(whole))
    assert runs.leftovers(hurt) == runs.leftovers(whole) == []
    assert not (hurt / "aside").exists()  # a kill damages nothing
    for folder in ("checkpoints", "best"):
        names = [sorted(path.name for path in (x / folder).iterdir()) for x in (hurt, whole)]
        assert names[0] == names[1]
