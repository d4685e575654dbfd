"""What the house had promised at a place of the trace, folded from the notes; what was under way may be there or not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faults.harness.writes import Rows

Raw = str | None
Words = frozenset[str]


@dataclass
class Promises:
    """Of everything the values that it may have. One value alone: acknowledged, so it must be that.

    Attributes:
        begun: Whether the first pod was acknowledged.
        ended: Whether the program came to its end.
        pod: The citizen's.
        records: By grant and record id; None: it may be absent.
        documents: By path the SHA-256 of its body; None: it may be absent.
        graphs: By path sets of words that may be in it together.
        states: By grant what it may be.
        codes: The recovery codes of which one opens the pod; empty where nobody was told the present one.
        has_passphrase: Whether the citizen's passphrase is to open it.
        neighbours: By pod whether it was removed (True), or may have been (None).
        log: Sizes and roots that the log must go through.
        files: By name the SHA-256 of a file of a pod that moves.
        has_backup: Whether a backup was acknowledged.
        restored: Whether the backup was put back into a folder of its own; None where nobody tried.
        arrived: The same of the pod that moved to another host.
        carried: The file and the recovery code of that pod.
        delivered: Every record that anybody ever brought.
        rows: By database, table and row the hash of its content after the last act, where rows are noted.
        notes: How many acts were acknowledged.
    """

    begun: bool = False
    ended: bool = False
    pod: int = 0
    records: dict[str, dict[str, set[Raw]]] = field(default_factory=dict)
    documents: dict[str, set[Raw]] = field(default_factory=dict)
    graphs: dict[str, set[Words | None]] = field(default_factory=dict)
    states: dict[str, set[str]] = field(default_factory=dict)
    clients: dict[str, str] = field(default_factory=dict)
    codes: set[str] = field(default_factory=set)
    has_passphrase: bool = False
    neighbours: dict[int, bool | None] = field(default_factory=dict)
    handles: dict[int, str] = field(default_factory=dict)
    log: list[tuple[int, str]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    has_backup: bool = False
    restored: bool | None = None
    arrived: bool | None = None
    carried: tuple[str, str] = ("", "")
    delivered: set[str] = field(default_factory=set)
    rows: dict[str, Rows] = field(default_factory=dict)
    notes: int = 0

    def is_known(self, raw: str) -> bool:
        """Whether somebody ever delivered this record."""
        return raw in self.delivered


def fold(notes: list[bytes]) -> Promises:
    """Everything up to the last note."""
    promises = Promises()
    tried: dict[int, dict[str, Any]] = {}
    for note in map(json.loads, notes):
        if "try" in note:
            tried[note["try"]] = note
            _may(promises, note)
        elif "done" in note:
            _must(promises, tried[note["done"]], note)
        elif "end" in note:
            promises.ended = True
    return promises


def next_rows(notes: list[bytes], promises: Promises) -> dict[str, Rows] | None:
    """The rows after the act that was under way; None where the notes end before it, or it was refused.

    Args:
        notes: Of the whole life.
        promises: Up to some place of it.
    """
    after, seen = Promises(), 0
    for note in map(json.loads, notes):
        seen += "done" in note
        if "done" in note and seen <= promises.notes + 1:
            _rows_of(after, note)
        if seen == promises.notes + 1:
            return after.rows
    return None


_STATE = {"pause": "paused", "resume": "active", "withdraw": "withdrawn", "erase": "erased"}


def _may(promises: Promises, plan: dict[str, Any]) -> None:
    """An act began: what it may make of things is added to what they may be."""
    match plan["act"]:
        case "deliver":
            records = promises.records.setdefault(plan["grant"], {})
            for name, raw in (plan["records"] | plan["corrections"]).items():
                records.setdefault(name, {None}).add(raw)
                promises.delivered.add(raw)
        case "put":
            promises.documents.setdefault(plan["path"], {None}).add(plan["content"])
        case "delete":
            promises.documents.setdefault(plan["path"], {None}).add(None)
        case "put-graph":
            promises.graphs.setdefault(plan["path"], {None}).add(frozenset({plan["word"]}))
        case "add-to-graph":
            held = promises.graphs.setdefault(plan["path"], {None})
            held |= {(words or frozenset()) | {plan["word"]} for words in set(held)}
        case "pause" | "resume" | "withdraw" | "erase" as act:
            promises.states[plan["grant"]].add(_STATE[act])
        case "lock" | "renew-keys":
            promises.codes.clear()
            promises.has_passphrase = False
        case "renew-recovery-code":
            promises.codes.clear()
        case "remove-pod":
            promises.neighbours[plan["pod"]] = None
        case "move-out":
            promises.files.setdefault(plan["file"], "")
        case "backup":
            promises.has_backup = False
        case "restore":
            promises.restored = False
        case "move-in":
            promises.arrived, promises.carried = False, (plan["file"], plan["code"])


def _rows_of(promises: Promises, told: dict[str, Any]) -> None:
    for name, told_of in told.get("rows", {}).items():
        for table, changed in told_of.items():
            rows = promises.rows.setdefault(name, {}).setdefault(table, {})
            for row, content in changed.items():
                if content is None:
                    del rows[row]
                else:
                    rows[row] = content
    promises.log.append((told["log_size"], told["log_root"]))


def _must(promises: Promises, plan: dict[str, Any], told: dict[str, Any]) -> None:
    """An act was acknowledged: things are what it made of them."""
    promises.notes += 1
    _rows_of(promises, told)
    match plan["act"]:
        case "begin":
            promises.begun, promises.pod, promises.codes = True, told["pod"], {told["recovery_code"]}
        case "give":
            promises.states[told["grant"]], promises.clients[told["grant"]] = {"active"}, told["client"]
        case "deliver":
            records = promises.records[plan["grant"]]
            for name, raw in (plan["records"] | plan["corrections"]).items():
                status = told.get("statuses", {}).get(name, "pending")
                if status in {"accepted", "pending"}:
                    records[name] = {raw}
                else:
                    records[name].discard(raw)
        case "put":
            promises.documents[plan["path"]] = {plan["content"]}
        case "delete":
            promises.documents[plan["path"]] = {None}
        case "put-graph":
            promises.graphs[plan["path"]] = {frozenset({plan["word"]})}
        case "add-to-graph":
            promises.graphs[plan["path"]] = {
                one for one in promises.graphs[plan["path"]] if one and plan["word"] in one
            }
        case "pause" | "resume" | "withdraw" | "erase" as act:
            promises.states[plan["grant"]] = {_STATE[act]}
        case "lock":
            promises.has_passphrase = True
        case "renew-keys":
            # An open pod that gets new keys without words has no passphrase any more.
            promises.has_passphrase = False
        case "renew-recovery-code":
            promises.codes = {told["recovery_code"]}
        case "make-pod":
            promises.neighbours[told["pod"]], promises.handles[told["pod"]] = False, plan["handle"]
        case "remove-pod":
            promises.neighbours[plan["pod"]] = True
        case "move-out":
            promises.files[plan["file"]] = told["sha256"]
        case "backup":
            promises.has_backup = True
        case "restore":
            promises.restored = True
        case "move-in":
            promises.arrived = True
