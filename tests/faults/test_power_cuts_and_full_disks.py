"""Kills, power cuts, full and failing disks at any place of every kind of write; afterwards everything promised holds.

A run is one fault at one place. A life (harness/workload.py) is recorded once for several runs, because from the record
the disk can be made anew as a power cut or a kill would have left it at any place. `make test` takes a dozen and some
runs, `make faults` hundreds (TVILLING_FAULT_RUNS); TVILLING_FAULT_SEED begins at another seed. What fails names seed and
place: the same seed gives the same life and the same place again, though keys are random.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
from contextlib import closing
from datetime import timedelta
from functools import lru_cache

import pytest
from faults.harness.checker import check
from faults.harness.disk import disk_after, read_trace, write_out
from faults.harness.promises import fold, next_rows
from faults.harness.recording import NoCompiler, compile_recorder, run_recorded
from faults.harness.writes import in_source
from hosts import NOON

RUNS = int(os.environ.get("TVILLING_FAULT_RUNS", "8"))
FIRST_SEED = int(os.environ.get("TVILLING_FAULT_SEED", "1"))
IS_BRIEF = RUNS < 20
RUNS_A_LIFE = 8 if IS_BRIEF else 10
SHORT = ("--short",) if IS_BRIEF else ()
"""Lives that end in the middle go without the second citizen's visitors in `make test`."""
LIVES = range(FIRST_SEED, FIRST_SEED + max(1, RUNS // RUNS_A_LIFE))
DEATHS = range(FIRST_SEED, FIRST_SEED + max(2, RUNS // 10))

ACTS = (
    "deliver", "put", "put-graph", "add-to-graph", "delete", "give", "narrow", "pause", "withdraw", "erase", "lock", "open", "merge",
    "renew-keys", "reseal", "tend", "exchange-host-key", "renew-recovery-code", "send", "think", "make-pod", "remove-pod",
    "move-out", "move-in", "backup", "restore", "restart", "checkpoint",
)  # fmt: skip
"""What happens to the citizen whose promises are kept one by one."""

VISITS = (
    "give-another", "earn", "approve", "sign-in", "passkey", "provider", "app", "script", "partner-comes", "console", "trust", "bulk",
    "add-source", "connect-source", "pull", "disconnect-source", "remove-source", "represent", "read-grant", "remind",
    "household", "turn-off", "turn-on", "subscribe", "deliver-small", "compact", "rotate-log-key", "rotate-receipt-key", "rotate-signing-keys",
    "settle", "invite", "release", "witness", "renew-keys-again", "erase-again", "dispute", "take-back", "let-act",
    "end-acting", "fetch-keys", "fetch-keys-again", "remove-partner", "open-service", "reckon", "take-part", "be-told-to-wait", "offer", "withdraw-offer",
    "forget-opinions",
)  # fmt: skip
"""What everybody else does at the doors, with a second citizen; kept row by row."""

ELSEWHERE = {
    "keyring DELETE, retired_handle DELETE": "a pod that moved away comes home: tests/unit/pods and tests/e2e/test_pod_transfer.py",
    "admitted_elsewhere INSERT": "a partner comes with another host's word, which needs that host: tests/e2e",
    "consent_reminder DELETE": "in one transaction with the reminder that takes its place",
    "pending_delivery UPDATE": "a sealed delivery that does not open is set aside: tests/unit/partner_bridge/test_merging.py",
    "app_refresh_token DELETE": "months after the last use: tests/protocol/solid_oidc",
    "proposal DELETE": "of an older version's rows, at an erasure: tests/unit/twin_agent",
    "seen DELETE, start DELETE": "the replay store forgets what nobody would take any more; it keeps nothing for ever",
    "signing_key DELETE": "a restore of a copy whose keys were retired since: tests/e2e/test_operation_commands.py",
    "key_store_format INSERT, key_store_format UPDATE, seen_once DELETE, seen_once INSERT, seen_since INSERT, xx INSERT": (
        "PostgreSQL's alone: test_postgresql_crashes.py"
    ),
    "hand_over INSERT": "a witness's own database, on another machine: tests/attacks/test_t31_log_against_its_witnesses.py",
    "minute DELETE, minute INSERT": "the local agent's own file, at a citizen's home: tests/unit/partner_bridge/test_han_agent.py",
    "x DELETE, x INSERT": "tables by a list that the schema gives: removals, restores, moves",
}
"""Kinds of writes that no life does, and who does them."""

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

    def rows_after(self, promises):
        """The rows as the act that was under way left them."""
        return next_rows([call.data for call in self.calls if call.kind == "A"], promises)

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
        life = Recorded(recorder, tmp_path_factory.mktemp("life"), seed, "--rows", "--back", 7 if seed % 3 == 0 else 0)
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
        found = check(target, promises, at=draw.choice(AFTERWARDS), later=life.rows_after(promises))
        if found:
            wrong[f"seed {seed}, run {run}, after call {place}"] = found
    assert not wrong, wrong


@pytest.mark.timeout(600)
def test_every_kind_of_write_that_the_house_has_is_done_by_a_life(whole_life):
    """Read off the source: whoever adds a table, or a new way to change one, adds it to the workload or says who does it."""
    notes = [json.loads(call.data) for call in whole_life(1).calls if call.kind == "A"]
    done = {tuple(kind) for kind in notes[-1]["writes"]}
    elsewhere = {tuple(kind.split()) for kinds in ELSEWHERE for kind in kinds.split(", ")}
    assert elsewhere <= in_source().keys(), "said to be done elsewhere, and is nowhere"
    missing = {" ".join(kind): sorted(files) for kind, files in in_source().items() if kind not in done | elsewhere}
    assert not missing, missing
    acts = {note["act"] for note in notes if "act" in note}
    assert acts - {"begin", "resume"} <= {*ACTS, *VISITS}, "each act is one in which the disk fills"


def test_what_a_refused_commit_wrote_is_not_there_tomorrow(recorder, tmp_path):
    """Its frames stand whole in the write-ahead log; without a commit over them the next start would take them for good."""
    (tmp_path / "disk").mkdir()
    ended = run_recorded(recorder, tmp_path / "disk", tmp_path / "trace", [str(tmp_path / "disk")], module="refused")
    assert ended.returncode == 0, ended.stderr
    with closing(sqlite3.connect(tmp_path / "disk" / "data.sqlite")) as rows:
        assert rows.execute("SELECT handle FROM retired_handle ORDER BY 1").fetchall() == [("before",)]
    with closing(sqlite3.connect(tmp_path / "disk" / "keys" / "keys.sqlite")) as rows:
        assert rows.execute("SELECT DISTINCT pod_id FROM slot ORDER BY 1").fetchall() == [(1,)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", DEATHS)
def test_a_process_that_dies_in_the_middle_of_a_call_leaves_every_promise(recorder, tmp_path, seed):
    """By SIGKILL, for real: half a write is on the disk, locks and shared memory are as the dead process left them."""
    draw = random.Random(seed)
    life = Recorded(
        recorder, tmp_path, seed, "--fault", draw.choice(("tear", "kill")), "--after", draw.randrange(2500), *SHORT
    )
    assert life.ended.returncode == -9, life.ended.stderr
    for again in range(1 if IS_BRIEF else 3):
        # And it dies once more while it mends what the first death left.
        mending = [str(life.folder), str(life.trace), "kill", str(draw.randrange(250))]
        ended = run_recorded(recorder, life.folder, tmp_path / f"trace-{again}", mending, module="recovery")
        assert ended.returncode in {0, -9}, ended.stderr
    assert check(life.folder, life.promises(), at=draw.choice(AFTERWARDS)) == [], f"seed {seed}"


def full_disks():
    """In each kind of write once; in `make test` in a few that differ most."""
    acts = ("reseal", "remove-pod", "exchange-host-key") if IS_BRIEF else ACTS + VISITS
    rounds = max(1, RUNS // 300)
    return [(act, FIRST_SEED + number) for number in range(rounds) for act in acts]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("act", "seed"), full_disks())
def test_a_disk_that_fills_in_any_act_loses_nothing_and_the_house_goes_on(recorder, tmp_path, act, seed):
    """The life goes on after it: what was refused is refused by name, and with room again everything is taken."""
    draw = random.Random(f"{act} {seed}")
    after = draw.choice((0, 1, 2, 3, 5, 9, 17))
    life = Recorded(recorder, tmp_path, seed, "--fault", "full", "--in", act, "--after", after, *SHORT)
    assert life.ended.returncode == 0, life.ended.stderr
    promises = life.promises()
    assert promises.ended
    assert check(life.folder, promises) == [], f"{act}, seed {seed}, after {after}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + max(1, RUNS // 15)))
def test_a_disk_that_says_no_to_a_sync_is_believed(recorder, tmp_path, seed):
    """What was not synced was not acknowledged, also when power is cut after it."""
    draw = random.Random(seed)
    life = Recorded(recorder, tmp_path, seed, "--fault", "sync", "--after", draw.randrange(200), *SHORT)
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
