"""What must hold of a folder after a fault, said without the house's own reading of it (decoder.py does the opening).

0. every row that no act was changing is what it was, in the database and in the key store (where the life noted its rows)
1. nothing is plain: no file of the folder, drafts and write-ahead logs included, says the marker
2. the house starts, as its processes do, and finishes what was under way
3. what was acknowledged is there, what was withdrawn or erased is as it was told, nothing is there twice
4. the log's leaves are their events, its tree goes through every head that was told
5. the figures are what a full SPARQL recompute says
6. it goes on: everything delivered before is a duplicate, something new is accepted
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deliveries import deliver, permit_again, reading
from faults.harness.decoder import HostKeys, Keyring, PodContents, Scope, read_database, root_of
from faults.harness.places import Partner, arrive, put_back
from faults.harness.promises import Promises
from faults.harness.workload import MARKER, ROWS_IN, SAID, WORDS
from faults.harness.writes import Rows, rows_of
from hosts import NOON, make_host

from dashboard.unlocking import do_what_waits
from pod_server import binaries, figures, grants, pods, upkeep
from pod_server.activities import Record
from pod_server.authorization.enforcement import require_owner
from pod_server.clock import SetClock
from pod_server.integrity import examine
from pod_server.opening import custodian_vault, open_pod
from pod_server.partners import find_partner
from pod_server.vault.vault import unlock_with_passphrase
from research_views.budget import budget
from twin_agent.recompute import differences, recompute
from twin_agent.worker import _start_up, run_until_idle

if TYPE_CHECKING:
    from pod_server.host import Host


@dataclass
class Findings:
    """What does not hold; nothing, in a house that keeps its word."""

    wrong: list[str] = field(default_factory=list)

    def expect(self, holds: object, what: str) -> None:
        if not holds:
            self.wrong.append(what)


def check(
    folder: Path, promises: Promises, *, at: datetime = NOON + timedelta(days=40), later: dict[str, Rows] | None = None
) -> list[str]:
    """Everything that is wrong with a folder in which the house's data, its backup and its pod files lie.

    Args:
        folder: Where they lie.
        promises: What had been promised.
        at: When the house is started again.
        later: The rows after the act that was under way, where that is known.
    """
    found = Findings()
    if later is not None and promises.rows:
        _rows_are_there(folder, promises.rows, later, found)
    _nothing_is_plain(folder, found)
    host = replace(make_host(folder / "data", SetClock(at)), outbound=Partner())
    try:
        if not promises.begun:
            # Nobody was told of a pod: the house starts, and that is all.
            pods.create_pod(host, "somebody-else")
            return found.wrong
        finish(host, promises)
        _figures_are_right(host, promises, found)
    finally:
        host.storage.close()
        host.key_store.close()
    with read_database(folder / "data") as rows:
        keys = HostKeys(folder / "data" / "keys")
        _look_inside(folder, rows, keys, promises, found)
        keys.close()
    _files_are_whole(folder, promises, found)
    _copies_open(folder, promises, SetClock(at), found)
    host = replace(make_host(folder / "data", SetClock(at)), outbound=Partner())
    try:
        _it_goes_on(host, promises, found)
    finally:
        host.storage.close()
        host.key_store.close()
    return found.wrong


CLAIMS = frozenset({"feed", "webhook_channel", "resealing", "upload"})
"""Tables whose rows an act may change and change back: who has what in hand, and how far it is."""


def _rows_are_there(folder: Path, before: dict[str, Rows], after: dict[str, Rows], found: Findings) -> None:
    """What stood before an act and after it stands in the middle of it; nothing else does that neither knew."""
    for name, file in ROWS_IN.items():
        present = rows_of(folder / "data" / file)
        for table in before[name].keys() | after[name].keys():
            if table in CLAIMS:
                continue
            old, new, now = (each.get(table, {}) for each in (before[name], after[name], present))
            lost = sum(now.get(row) != content for row, content in old.items() if new.get(row) == content)
            found.expect(not lost, f"{lost} rows of {table} that nobody touched are others, or gone")


def _nothing_is_plain(folder: Path, found: Findings) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.expect(MARKER.encode() not in path.read_bytes(), f"{path.name} holds something plain")


def finish(host: Host, promises: Promises) -> None:
    """What the agent's process does when it starts, and what the citizen's next sign-in does."""
    _start_up(host)
    upkeep.tend(host)
    binaries.sweep(host)
    pod_id = promises.pod
    if "custodian" in host.key_store.slot_kinds(pod_id):
        vault = custodian_vault(host, pod_id)
    else:
        vault = unlock_with_passphrase(host.host_key, host.key_store, pod_id, WORDS)
        pods.catch_up_with_keys(host, vault)
        pods.leave_pod_open(host, vault)
    do_what_waits(host, vault)
    run_until_idle(host)


def _figures_are_right(host: Host, promises: Promises, found: Findings) -> None:
    own = open_pod(host, require_owner(custodian_vault(host, promises.pod)))
    with host.storage.read() as tx:
        stored = figures.load_figures(tx, own)
    months = json.loads(stored)["months"] if stored else {}
    for difference in differences(months, recompute(host, own)):
        found.expect(False, f"the figures differ from the recompute: {difference}")
    examined = examine(host, own.vault, promises.pod)
    found.expect(not examined.damages, f"the house itself finds damage: {[str(one) for one in examined.damages]}")
    budget(host)  # the privacy account is whole, in the database and beside the keys
    for pod in [pod for pod, removed in promises.neighbours.items() if removed is False]:
        if "custodian" not in host.key_store.slot_kinds(pod):
            continue  # whose keys are gone is told below
        theirs = examine(host, custodian_vault(host, pod), pod)
        found.expect(not theirs.damages, f"and with a neighbour: {[str(one) for one in theirs.damages]}")


def _look_inside(folder: Path, rows: sqlite3.Connection, keys: HostKeys, promises: Promises, found: Findings) -> None:
    ring = Keyring(keys, promises.pod)
    contents = PodContents(rows, ring, folder / "data" / "binaries")
    _ways_in(ring, promises, found)
    held = _records(rows, contents, promises, found)
    _grants(rows, ring, held, promises, found)
    _documents(contents, promises, found)
    _log(rows, contents, promises, found)
    _messages(rows, promises, found)
    _neighbours(folder, rows, keys, promises, found)
    _keys_at_rest(folder, keys, found)


def _ways_in(ring: Keyring, promises: Promises, found: Findings) -> None:
    if promises.has_passphrase:
        found.expect(
            ring.opens_with_passphrase(SAID),
            "the passphrase does not open the pod",
        )
    for code in promises.codes:
        found.expect(ring.opens_with_code(code), "the recovery code does not open the pod")


def _records(
    rows: sqlite3.Connection, contents: PodContents, promises: Promises, found: Findings
) -> dict[str, dict[str, str]]:
    """The records that stand, by grant and id, after corrections."""
    standing: dict[str, dict[str, str]] = {}
    for grant, segments in contents.segments().items():
        mine = standing.setdefault(grant, {})
        count = 0
        for _, records in segments:
            for _, raw in records:
                count += 1
                members = json.loads(raw)
                found.expect(promises.is_known(raw.decode()), f"nobody ever delivered {raw!r}")
                found.expect(
                    members["@id"] not in mine or members.get("correction"), f"{members['@id']} is there twice"
                )
                mine[members["@id"]] = raw.decode()
        ((accepted,),) = rows.execute(
            "SELECT COALESCE(SUM(accepted), 0) FROM consent_use WHERE pod_id = ? AND grant_id = ?",
            (promises.pod, grant),
        )
        found.expect(accepted == count, f"{count} records of {grant} are there, and {accepted} were counted")
    for grant, expected in promises.records.items():
        if "erased" in promises.states[grant] and grant not in standing:
            continue
        for name, allowed in expected.items():
            present = standing.get(grant, {}).get(name)
            found.expect(present in allowed, f"record {name} of {grant} is {present!r}, and was to be {allowed!r}")
    waiting = rows.execute("SELECT COUNT(*) FROM pending_delivery WHERE pod_id = ?", (promises.pod,)).fetchone()
    found.expect(waiting == (0,), "something waits that was to be merged")
    return standing


def _grants(
    rows: sqlite3.Connection, ring: Keyring, held: dict[str, dict[str, str]], promises: Promises, found: Findings
) -> None:
    stored = dict(rows.execute("SELECT grant_id, state FROM consent WHERE pod_id = ?", (promises.pod,)))
    for grant, allowed in promises.states.items():
        state = stored.get(grant)
        found.expect(state in allowed, f"consent {grant} is {state}, and was to be {allowed}")
        if state == "erased":
            left = [scope for scope, secret in ring.secrets.items() if scope.grant == grant and secret is not None]
            found.expect(not left, f"keys of the erased {grant} are left: {left}")
            found.expect(grant not in held, f"deliveries of the erased {grant} are left")
        else:
            found.expect(
                ring.secrets.get(Scope("grant", grant, 1), b"") is not None or _has_later(ring, grant),
                f"the key of {grant} is gone",
            )


def _has_later(ring: Keyring, grant: str) -> bool:
    return any(scope.kind == "grant" and scope.grant == grant and secret for scope, secret in ring.secrets.items())


def _documents(contents: PodContents, promises: Promises, found: Findings) -> None:
    bodies = contents.documents()
    for path, allowed in promises.documents.items():
        digest = hashlib.sha256(bodies[path]).hexdigest() if path in bodies else None
        found.expect(digest in allowed, f"document {path} is not what was put there (present: {path in bodies})")
    for path, graphs in promises.graphs.items():
        words: frozenset[str] | None = None
        if path in bodies:
            known = {word for one in graphs for word in one or ()}
            words = frozenset(word for word in known if f'"{word}"'.encode() in bodies[path])
        found.expect(words in graphs, f"graph {path} says {words}, and was to say one of {graphs}")
    used = {
        path for path in bodies if path.startswith(("notes/", "gone/", "films/", "graphs/")) and not path.endswith("/")
    }
    strange = used - promises.documents.keys() - promises.graphs.keys()
    found.expect(not strange, f"nobody ever put {strange}")


def _log(rows: sqlite3.Connection, contents: PodContents, promises: Promises, found: Findings) -> None:
    leaves, events = contents.log()
    for size, root in dict(promises.log).items():
        found.expect(len(leaves) >= size, f"the log has {len(leaves)} leaves, and had {size}")
        found.expect(root_of(leaves[:size]).hex() == root, f"the log of {size} leaves is another")
    ((size,),) = rows.execute("SELECT size FROM log_tree WHERE pod_id = ?", (promises.pod,))
    found.expect(size == len(leaves), f"the tree says {size}, and there are {len(leaves)} leaves")
    told = {
        (event["grant"], event["detail"]["ordinal"]): index
        for index, event in enumerate(events)
        if event.get("action") == "append" and "ordinal" in event.get("detail", {})
    }
    for grant, segments in contents.segments().items():
        for ordinal, (leaf, _) in enumerate(segments, 1):
            found.expect(
                (grant, ordinal) in told or events[leaf]["action"] in {"merge", "reseal", "append"},
                f"the log tells of no delivery {ordinal} of {grant}",
            )


def _messages(rows: sqlite3.Connection, promises: Promises, found: Findings) -> None:
    for grant, client in promises.clients.items():
        ((events,),) = rows.execute(
            "SELECT COUNT(*) FROM consent_event WHERE pod_id = ? AND grant_id = ?", (promises.pod, grant)
        )
        ((messages,),) = rows.execute(
            "SELECT COUNT(*) FROM outbox WHERE client_id = ? AND kind LIKE 'consent-%'", (client,)
        )
        found.expect(events == messages, f"{events} things happened to {grant}, and {messages} messages tell of it")
        sequences = [
            one for (one,) in rows.execute("SELECT sequence FROM outbox WHERE client_id = ? ORDER BY 1", (client,))
        ]
        found.expect(sequences == list(range(1, len(sequences) + 1)), "messages to a partner are missing or double")


def _neighbours(folder: Path, rows: sqlite3.Connection, keys: HostKeys, promises: Promises, found: Findings) -> None:
    tables = [
        name
        for (name,) in rows.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if "pod_id" in [column[1] for column in rows.execute(f"PRAGMA table_info({name})")]
    ]
    for pod, is_removed in promises.neighbours.items():
        stands = rows.execute("SELECT 1 FROM pod WHERE pod_id = ?", (pod,)).fetchone() is not None
        found.expect(
            is_removed is None or stands is not is_removed, f"pod {pod} stands: {stands}, removed: {is_removed}"
        )
        if stands:
            found.expect(Keyring(keys, pod).root, "a pod without keys")
            continue
        left = [
            name
            for name in tables
            if name != "grant_route" and rows.execute(f"SELECT 1 FROM {name} WHERE pod_id = ?", (pod,)).fetchone()
        ]
        found.expect(not left, f"of a removed pod rows are left in {left}")
        ((secrets,),) = keys.keys.execute(
            "SELECT COUNT(*) FROM keyring WHERE pod_id = ? AND wrapped IS NOT NULL", (pod,)
        )
        ((slots,),) = keys.keys.execute("SELECT COUNT(*) FROM slot WHERE pod_id = ?", (pod,))
        found.expect((secrets, slots) == (0, 0), "of a removed pod keys are left")
        receipt = rows.execute(
            "SELECT receipt FROM retired_handle WHERE handle = ?", (promises.handles[pod],)
        ).fetchone()
        found.expect(receipt is not None and receipt[0], "a removed pod has no receipt")


def _keys_at_rest(folder: Path, keys: HostKeys, found: Findings) -> None:
    """No file beside the keys that are in force: a draft that a crash left is a copy of a key that nobody destroys."""
    names = {path.name for path in (folder / "data" / "keys" / "epochs").iterdir()}
    strange = {name for name in names if not re.fullmatch(r"epoch-\d{8}\.key|\.lock", name)}
    found.expect(not strange, f"among the epoch keys lie {strange}")
    beside = {path.name for path in (folder / "data" / "keys").iterdir()}
    # A draft of the host key's file is another name of the file itself, or of one that was never used.
    beside = {name for name in beside if not name.startswith(".host.key.")}
    strange = beside - {
        "privacy-budget.jsonl",
        "host.key",
        "host.key.next",
        "epochs",
        "keys.sqlite",
        "keys.sqlite-wal",
        "keys.sqlite-shm",
    }
    found.expect(not strange, f"beside the host key lie {strange}")


def _files_are_whole(folder: Path, promises: Promises, found: Findings) -> None:
    for name, digest in promises.files.items():
        path = folder / name
        if digest:
            whole = path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == digest
            found.expect(whole, f"the moved pod's file {name} is {'changed' if path.exists() else 'gone'}")
    manifest = folder / "backup" / "backup.json"
    if promises.has_backup:
        found.expect(manifest.exists(), "the backup is gone")
    if manifest.exists():
        for name, about in json.loads(manifest.read_bytes())["files"].items():
            path = folder / "backup" / name
            whole = path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == about["sha256"]
            found.expect(whole, f"{name} of the backup is not what its manifest says")
        for line in (folder / "backup" / "data" / "binaries.txt").read_text().splitlines():
            name, _, digest = line.split()
            path = folder / "backup" / "data" / "binaries" / name
            whole = path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == digest
            found.expect(whole, f"the binary {name} of the backup is {'changed' if path.exists() else 'gone'}")


def _copies_open(folder: Path, promises: Promises, clock: SetClock, found: Findings) -> None:
    """The folder that was restored, and the host where the pod moved; what was cut off there is done again, then whole."""
    if promises.restored is False and promises.has_backup:
        put_back(folder)
    if promises.arrived is False and promises.files.get(promises.carried[0]):
        arrive(folder, folder / promises.carried[0], promises.carried[1], clock)
    for name, tried in (("restored", promises.restored), ("there", promises.arrived)):
        if tried is None:
            continue
        place = folder / name
        keys = HostKeys(place / "keys")
        with read_database(place) as rows:
            contents = PodContents(rows, Keyring(keys, promises.pod), place / "binaries")
            leaves, _ = contents.log()
            heads = [(size, root) for size, root in promises.log if size <= len(leaves)]
            # From some head on it is a log of its own, since what was done with the copy stands in it.
            held = [root_of(leaves[:size]).hex() == root for size, root in heads]
            found.expect(any(held) and held == sorted(held, reverse=True), f"the log in {name} is another")
            for grant, segments in contents.segments().items():
                raws = [raw.decode() for _, records in segments for _, raw in records]
                found.expect(all(map(promises.is_known, raws)), f"in {name} under {grant} lies what nobody delivered")
            found.expect(contents.documents(), f"in {name} there are no documents")
        keys.close()


def _it_goes_on(host: Host, promises: Promises, found: Findings) -> None:
    with host.storage.read() as tx:
        standing = {view.grant.id: view for view in grants.list_grants(host, promises.pod)}
    going: Any = None
    for grant, expected in promises.records.items():
        if grant not in standing or standing[grant].grant.state.value != "active":
            continue
        with host.storage.read() as tx:
            partner = find_partner(tx, promises.clients[grant])
        permit = permit_again(host, partner, grant)
        certain = [
            _record(name, next(iter(raws))) for name, raws in expected.items() if len(raws) == 1 and None not in raws
        ]
        if certain:
            statuses = set(deliver(host, permit, certain))
            found.expect(statuses == {"duplicate"}, f"what was accepted before is now {statuses}")
        going = permit
    if going is not None:
        found.expect(deliver(host, going, [reading(5000, meter="m")]) == ["accepted"], "nothing new is accepted")


def _record(name: str, raw: str | None) -> Record:
    assert raw is not None
    members = json.loads(raw)
    start, end = (datetime.fromisoformat(members[key]) for key in ("start", "end"))
    return Record(name, raw.encode(), "electricity-reading", start, end, bool(members.get("correction")))
