"""Kills, power cuts, full and failing disks at any place of every kind of write; afterwards everything promised holds.

A run is one fault at one place. A life (harness/workload.py) is recorded once for several runs, because from the record
the disk can be made anew as a power cut or a kill would have left it at any place. `make test` takes a dozen and some
runs, `make faults` hundreds (TVILLING_FAULT_RUNS); TVILLING_FAULT_SEED begins at another seed. What fails names seed and
place: the same seed gives the same life and the same place again, though keys are random.
"""

from __future__ import annotations

import os
import random
from datetime import timedelta
from functools import lru_cache

import pytest
from faults.harness.checker import check
from faults.harness.disk import disk_after, read_trace, write_out
from faults.harness.promises import fold
from faults.harness.recording import NoCompiler, compile_recorder, run_recorded
from hosts import NOON

RUNS = int(os.environ.get("TVILLING_FAULT_RUNS", "8"))
FIRST_SEED = int(os.environ.get("TVILLING_FAULT_SEED", "1"))
RUNS_A_LIFE = 4 if RUNS < 20 else 10
LIVES = range(FIRST_SEED, FIRST_SEED + max(1, RUNS // RUNS_A_LIFE))
DEATHS = range(FIRST_SEED, FIRST_SEED + max(2, RUNS // 10))

ACTS = (
    "deliver", "put", "put-graph", "add-to-graph", "delete", "give", "narrow", "pause", "withdraw", "erase", "lock", "open", "merge",
    "renew-keys", "reseal", "tend", "exchange-host-key", "renew-recovery-code", "send", "think", "make-pod", "remove-pod",
    "move-out", "move-in", "backup", "restore", "restart", "checkpoint",
)  # fmt: skip
"""Every kind of write; the disk fills in each of them."""

AFTERWARDS = (NOON + timedelta(days=40), NOON - timedelta(days=20))
"""The clock when the house is started again: later, or set back."""


@pytest.fixture(scope="module")
def recorder(tmp_path_factory):
    """The recorder, compiled; a machine without a C compiler is told so, and CI has one."""
    try:
        return compile_recorder(tmp_path_factory.mktemp("recorder"))
    except NoCompiler as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


class Recorded:
    """One life below the recorder."""

    def __init__(self, recorder, folder, seed, *options):
        self.folder, self.trace = folder / "disk", folder / "trace"
        self.folder.mkdir()
        self.ended = run_recorded(recorder, self.folder, self.trace, [str(self.folder), str(seed), *map(str, options)])
        self.calls = read_trace(self.trace)

    def after_power_cut(self, place, draw, target, **sabotage):
        """The folder as a power cut after so many calls may have left it, and what had been promised."""
        disk = disk_after(self.calls, place, **sabotage)
        write_out(disk.after_power_cut(draw), target)
        return fold(disk.notes)

    def after_kill(self, place, target):
        disk = disk_after(self.calls, place)
        write_out(disk.after_kill(), target)
        return fold(disk.notes)

    def promises(self):
        return fold([call.data for call in self.calls if call.kind == "A"])


@pytest.fixture(scope="module")
def whole_life(recorder, tmp_path_factory):
    """A life to its end, by its seed; the last one is remembered, for whoever asks for the same."""

    @lru_cache(maxsize=1)
    def live(seed):
        life = Recorded(recorder, tmp_path_factory.mktemp("life"), seed, "--back", 7 if seed % 3 == 0 else 0)
        assert life.ended.returncode == 0, life.ended.stderr
        return life

    return live


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", LIVES)
def test_after_a_power_cut_or_a_kill_at_any_place_every_promise_holds(whole_life, tmp_path, seed):
    life = whole_life(seed)
    draw, wrong = random.Random(seed), {}
    for run in range(RUNS_A_LIFE):
        place, target = draw.randrange(1, len(life.calls) + 1), tmp_path / f"after-{run}"
        if run % 4 == 3:
            promises = life.after_kill(place, target)
        else:
            promises = life.after_power_cut(place, random.Random(f"{seed} {place}"), target)
        found = check(target, promises, at=draw.choice(AFTERWARDS))
        if found:
            wrong[f"seed {seed}, run {run}, after call {place}"] = found
    assert not wrong, wrong


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", DEATHS)
def test_a_process_that_dies_in_the_middle_of_a_call_leaves_every_promise(recorder, tmp_path, seed):
    """By SIGKILL, for real: half a write is on the disk, locks and shared memory are as the dead process left them."""
    draw = random.Random(seed)
    life = Recorded(recorder, tmp_path, seed, "--fault", draw.choice(("tear", "kill")), "--after", draw.randrange(3000))
    assert life.ended.returncode == -9, life.ended.stderr
    for again in range(1 if RUNS < 20 else 3):
        # And it dies once more while it mends what the first death left.
        mending = [str(life.folder), str(life.trace), "kill", str(draw.randrange(250))]
        ended = run_recorded(recorder, life.folder, tmp_path / f"trace-{again}", mending, module="recovery")
        assert ended.returncode in {0, -9}, ended.stderr
    assert check(life.folder, life.promises(), at=draw.choice(AFTERWARDS)) == [], f"seed {seed}"


def full_disks():
    """In each kind of write once; in `make test` in a few that differ most."""
    acts = ACTS if RUNS >= 20 else ("reseal", "remove-pod", "exchange-host-key")
    rounds = max(1, RUNS // 100)
    return [(act, FIRST_SEED + number) for number in range(rounds) for act in acts]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("act", "seed"), full_disks())
def test_a_disk_that_fills_in_any_act_loses_nothing_and_the_house_goes_on(recorder, tmp_path, act, seed):
    """The life goes on after it: what was refused is refused by name, and with room again everything is taken."""
    draw = random.Random(f"{act} {seed}")
    after = draw.choice((0, 1, 2, 3, 5, 9, 17))
    life = Recorded(recorder, tmp_path, seed, "--fault", "full", "--in", act, "--after", after)
    assert life.ended.returncode == 0, life.ended.stderr
    promises = life.promises()
    assert promises.ended
    assert check(life.folder, promises) == [], f"{act}, seed {seed}, after {after}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + max(1, RUNS // 15)))
def test_a_disk_that_says_no_to_a_sync_is_believed(recorder, tmp_path, seed):
    """What was not synced was not acknowledged, also when power is cut after it."""
    draw = random.Random(seed)
    life = Recorded(recorder, tmp_path, seed, "--fault", "sync", "--after", draw.randrange(200))
    assert life.ended.returncode == 0, life.ended.stderr
    place = draw.randrange(len(life.calls) // 2, len(life.calls))
    promises = life.after_power_cut(place, random.Random(seed), tmp_path / "cut")
    assert check(tmp_path / "cut", promises) == [], f"seed {seed}, after call {place}"
    assert check(life.folder, life.promises()) == [], f"seed {seed}"


@pytest.mark.timeout(600)
def test_a_house_that_leaves_out_its_syncs_is_found_out(whole_life, tmp_path):
    """Sabotage: without the syncs of files (as `synchronous = OFF`), or of folders alone, promises break."""
    life = whole_life(FIRST_SEED)
    for unsynced in ("files", "folders"):
        wrong = []
        for run in range(6):
            target = tmp_path / f"{unsynced}-{run}"
            promises = life.after_power_cut(len(life.calls), random.Random(run), target, unsynced=unsynced)
            try:
                wrong = check(target, promises)
            except Exception as error:  # noqa: BLE001 - a folder in which nothing can be opened is broken enough
                wrong = [repr(error)]
            if wrong:
                break
        assert wrong, f"nobody noticed that the syncs of {unsynced} were left out"
