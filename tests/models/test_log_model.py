"""V11: the log against a model that is a list of events and the heads that others hold.

Appends of every size, power cuts in the middle, proofs between any two sizes, witnesses that come late, exports, restores
that say so, and a host that goes back behind a head somebody holds: it is found out each time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import strategies as some
from hypothesis.stateful import initialize, invariant, precondition, rule
from stateful_house import PATIENCE_SECONDS, House, live

from pod_server import log_keys
from pod_server.identifiers import Actor
from pod_server.lasting_keys import list_lasting
from pod_server.log import ledger
from pod_server.log.checkpoint import Checkpoint, VerifierKey, verify_checkpoint
from pod_server.log.cosignature import verify_cosignatures, witness_key
from pod_server.log.errors import LogBroken
from pod_server.log.event import LogEvent
from pod_server.log.hand_over import ACTION as KEY_CHANGED
from pod_server.log.restoration import ACTION, append_restored, verify_restored
from pod_server.log.tree import consistency_proof, root_of, verify_consistency, verify_inclusion
from pod_server.log.verification import verify_log, verify_stored
from pod_server.log.witness import Request, Witness
from pod_server.pods import create_pod
from pod_server.signatures import SigningKey
from pod_server.witnessing import logs_key

ACTORS = (Actor("partner", "c-1", "Strømmen AS"), Actor("citizen"), Actor("operator"), Actor("host"))
ACTIONS = ("append", "read", "unlock", "consent-withdrawn", "put")


@dataclass(frozen=True)
class Held:
    """A head that somebody holds: its note, and what it states."""

    note: str
    size: int
    root: bytes
    key: str = ""


class LogAgainstAList(House):
    """One pod's log."""

    def __init__(self) -> None:
        super().__init__()
        self.made = create_pod(self.host, "kari")
        self.pod_id = self.made.pod_id
        with self.host.storage.read() as tx:
            first = [entry.event for entry in ledger.all_events(tx, self.made.vault, self.pod_id)]
        self.events = first[::-1]
        self.held: list[Held] = []
        self.restored: list[int] = []
        self.signer = SigningKey.ed25519(b"w" * 32)

    @initialize()
    def a_witness(self) -> None:
        self.witness = self._witness()
        self.witnessed: Held | None = None
        self.witness_refuses = False

    def _witness(self) -> Witness:
        memory, name = self._folder / "witness.sqlite", "auditor.example/1"
        return Witness(memory, name, self.signer, [logs_key(self.host)], self.clock)

    # What happens

    @rule(
        numbers=some.lists(some.integers(0, 999), min_size=1, max_size=5),
        actor=some.sampled_from(ACTORS),
        action=some.sampled_from(ACTIONS),
        cut=some.none() | some.integers(1, 9),
    )
    def append(self, numbers, actor, action, cut):
        events = [LogEvent(self.clock.now(), actor, action, count=number) for number in numbers]

        def write() -> None:
            with self.host.storage.write() as tx:
                ledger.append_many(tx, self.pod_id, events)

        self.cut_at = cut
        if self.survives(write):
            self.events += events
            return
        # All or nothing, whichever statement was the last.
        with self.host.storage.read() as tx:
            size = ledger.load_tree(tx, self.pod_id).frontier.size
        assert size in {len(self.events), len(self.events) + len(events)}
        if size > len(self.events):
            self.events += events

    @rule(numbers=some.lists(some.integers(0, 9), min_size=1, max_size=3))
    def a_write_that_fails_takes_its_leaf_along(self, numbers):
        with pytest.raises(ZeroDivisionError), self.host.storage.write() as tx:  # noqa: PT012 - the whole block fails
            for number in numbers:
                ledger.append(tx, self.pod_id, LogEvent(self.clock.now(), ACTORS[0], "append", count=number))
            raise ZeroDivisionError

    @rule()
    def hold_a_head(self):
        with self.host.storage.read() as tx:
            note = ledger.checkpoint(tx, self.host, self.pod_id)
            key = ledger.log_verifier_key(self.host, ledger.load_tree(tx, self.pod_id))
        state = verify_checkpoint(note, [key])
        assert state.size == len(self.events)
        self.held.append(Held(note, state.size, state.root, key.encoded()))

    @rule()
    def restart(self):
        self.reopen()

    @rule(cut=some.none() | some.integers(1, 12))
    def change_the_key(self, cut):
        """A new key signs; what was cut off is finished at the next turn, and no head that somebody holds is lost."""
        last = self._told_last()

        def change() -> None:
            log_keys.rotate(self.host)
            log_keys.take_over(self.host)

        self.cut_at = cut
        self.survives(change)
        log_keys.take_over(self.host)
        keys = list_lasting(self.host.host_key, self.host.key_store, "log")
        with self.host.storage.read() as tx:
            size = ledger.load_tree(tx, self.pod_id).frontier.size
            told = [ledger.event_at(tx, self.made.vault, self.pod_id, at) for at in range(len(self.events), size)]
        assert [(each.action, each.detail["number"]) for each in told] == (
            [(KEY_CHANGED, keys[-1].number)] if keys[-1].number > last else []
        )
        self.events += told

    def _told_last(self) -> int:
        return max((int(each.detail["number"]) for each in self.events if each.action == KEY_CHANGED), default=1)

    @precondition(lambda self: not self.witness_refuses)
    @rule(claimed=some.integers(0, 40))
    def have_it_witnessed(self, claimed):
        """Whatever size the host believes was seen last, the witness goes on from what it saw, or not at all."""
        answer = self._ask(claimed % (len(self.events) + 1))
        seen = 0 if self.witnessed is None else self.witnessed.size
        if answer.status == 409:
            assert int(answer.body) == seen
            answer = self._ask(seen)
        assert answer.status == 200, answer
        with self.host.storage.read() as tx:
            tree = ledger.load_tree(tx, self.pod_id)
        note = ledger.own_note(self.host, self._checkpoint(tree)) + answer.body
        (cosigned,) = verify_cosignatures(note, [witness_key("auditor.example/1", self.signer)])
        self.witnessed = Held(note, cosigned.checkpoint.size, cosigned.checkpoint.root)
        assert cosigned.checkpoint.size == len(self.events)

    def _checkpoint(self, tree: ledger.Tree) -> Checkpoint:
        return Checkpoint(ledger.origin_of(self.host, tree), tree.frontier.size, tree.frontier.root())

    def _ask(self, old: int):
        for note in ledger.hand_overs(self.host):
            assert self.witness.add_hand_over(note.encode()).status == 200
        with self.host.storage.read() as tx:
            tree, leaves = ledger.load_tree(tx, self.pod_id), ledger.leaf_hashes(tx, self.pod_id)
        proof = consistency_proof(leaves, old) if old else []
        return self.witness.add_checkpoint(
            Request(old, tuple(proof), ledger.own_note(self.host, self._checkpoint(tree))).encoded()
        )

    @precondition(lambda self: len(self.events) > 2 and self.held)
    @rule(back=some.integers(1, 12), forward=some.integers(0, 14), says_so=some.booleans())
    def the_host_goes_back(self, back, forward, says_so):
        """Shorter, or another future: whoever holds a head beyond that point sees it. What a restore says of itself is true."""
        size = max(1, len(self.events) - back)
        before = len(self.events)
        self._shorten(size)
        if says_so:
            with self.host.storage.write() as tx:
                index = append_restored(tx, self.host, self.pod_id, backup="ab" * 32, taken=self.clock.now())
            with self.host.storage.read() as tx:
                event = ledger.event_at(tx, self.made.vault, self.pod_id, index)
            assert event is not None
            assert (event.action, event.detail["size"]) == (ACTION, size)
            self.events.append(event)
            self.restored.append(index)
        if forward:
            events = [LogEvent(self.clock.now(), ACTORS[2], "append", count=5000 + n) for n in range(forward)]
            with self.host.storage.write() as tx:
                ledger.append_many(tx, self.pod_id, events)
            self.events += events
        lost = [held for held in self.held if held.size > size]
        for held in lost:
            with self.host.storage.read() as tx, pytest.raises(LogBroken):
                verify_stored(tx, self.pod_id, earlier=(held.size, held.root))
            with pytest.raises(LogBroken):
                verify_log(self._exported(), earlier_checkpoint=held.note)
        if self.witnessed is not None and self.witnessed.size > size:
            self._is_refused_by_the_witness(before)
        self.held = [held for held in self.held if held.size <= size]

    def _is_refused_by_the_witness(self, before: int) -> None:
        """It says which size it saw, and cosigns neither that nor anything from there."""
        assert self.witnessed is not None
        seen = self.witnessed.size
        first = self._ask(min(seen, len(self.events)))
        if len(self.events) < seen:
            assert (first.status, first.body) == (409, f"{seen}\n")
        else:
            assert first.status in {409, 422}
        assert self.witness.seen(verify_checkpoint(self.witnessed.note, self._keys()).origin) == seen
        self.witness_refuses = True

    def _keys(self):
        with self.host.storage.read() as tx:
            origin = ledger.origin_of(self.host, ledger.load_tree(tx, self.pod_id))
        keys = list_lasting(self.host.host_key, self.host.key_store, "log")
        return [VerifierKey(origin, key.public) for key in keys]

    def _shorten(self, size: int) -> None:
        with self.host.storage.write() as tx:
            tx.execute("DELETE FROM log_leaf WHERE pod_id = ? AND leaf_index >= ?", (self.pod_id, size))
            frontier = ledger.Frontier.of(ledger.leaf_hashes(tx, self.pod_id))
            tx.execute(
                "UPDATE log_tree SET size = ?, frontier = ? WHERE pod_id = ?", (size, frontier.encoded(), self.pod_id)
            )
            self.events = self.events[:size]
            tx.execute("UPDATE log_tree SET key_number = ? WHERE pod_id = ?", (self._told_last(), self.pod_id))
        self.restored = [index for index in self.restored if index < size]

    # What must hold

    @rule(one=some.integers(0, 10**6), another=some.integers(0, 10**6))
    def every_proof_between_two_sizes_holds_and_holds_for_nothing_else(self, one, another):
        size = len(self.events)
        old, new = sorted((1 + one % size, 1 + another % size))
        with self.host.storage.read() as tx:
            leaves = ledger.leaf_hashes(tx, self.pod_id)
            roots = (ledger.tree_root_at(tx, self.pod_id, old), ledger.tree_root_at(tx, self.pod_id, new))
            index = one % new
            path = ledger.prove_inclusion(tx, self.pod_id, index, new)
            whole = ledger.prove_consistency(tx, self.pod_id, old)
        verify_inclusion(leaves[index], index, new, path, roots[1])
        verify_consistency(old, roots[0], new, roots[1], consistency_proof(leaves[:new], old))
        verify_consistency(old, roots[0], size, root_of(leaves), whole)
        other = bytes(byte ^ 1 for byte in leaves[index])
        with pytest.raises(LogBroken):
            verify_inclusion(other, index, new, path, roots[1])
        if old < new:
            with pytest.raises(LogBroken):
                verify_consistency(old, roots[1], new, roots[1], consistency_proof(leaves[:new], old))

    @rule(position=some.integers(0, 10**6))
    def an_export_verifies_offline_and_one_changed_count_does_not(self, position):
        exported = self._exported()
        result = verify_log(exported)
        assert (result.size, len(exported["events"])) == (len(self.events), len(self.events))
        for held in self.held:
            verify_log(exported, trusted_key=exported["key"], earlier_checkpoint=held.note)
            verify_log(exported, trusted_key=held.key, earlier_checkpoint=held.note)
        entry = exported["events"][position % len(self.events)]
        entry["event"]["count"] ^= 1
        with pytest.raises(LogBroken):
            verify_log(exported)

    def _exported(self):
        with self.host.storage.read() as tx:
            return json.loads(json.dumps(ledger.export(tx, self.host, self.made.vault, self.pod_id)))

    @invariant()
    def the_tree_holds_together_and_continues_every_head(self):
        with self.host.storage.read() as tx:
            assert verify_stored(tx, self.pod_id).size == len(self.events)
            for held in self.held[-3:]:
                verify_stored(tx, self.pod_id, earlier=(held.size, held.root))

    @rule()
    def the_log_is_the_list(self):
        with self.host.storage.read() as tx:
            found = [entry.event for entry in ledger.all_events(tx, self.made.vault, self.pod_id)]
        assert found[::-1] == self.events
        keys = self._keys()
        for index in self.restored:
            verify_restored(self.events[index], *keys)

    def teardown(self) -> None:
        """A last look, whatever the life was."""
        self.the_log_is_the_list()
        super().teardown()


@pytest.mark.timeout(PATIENCE_SECONDS)
def test_the_log_is_a_list_that_only_grows_whatever_happens_to_its_host():
    live(LogAgainstAList, lives=12, steps=25)
