"""V11: the vault against a plain dictionary of what should be readable by whom.

Slots come and go, keys are renewed, pods locked and opened, deliveries wait and are merged, consents erased, history sealed
anew a step at a time, days pass and old keys are destroyed; several sessions are open at once, and the power goes at any
statement of the database or of the key store. After a power cut the pod is as it was before or as it was to be, whole.
"""

from __future__ import annotations

import contextlib
import copy
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from deliveries import CITIZEN, add_partner, reading
from hypothesis import strategies as some
from hypothesis.stateful import initialize, invariant, precondition, rule
from stateful_house import PATIENCE_SECONDS, House, live

from consent.grant import GrantTerms
from partner_bridge.merging import merge_waiting
from pod_server import documents, grants, pods, resealing, upkeep
from pod_server.activities import Delivery, append, read_activities
from pod_server.authorization.enforcement import require_grant, require_owner, require_public
from pod_server.authorization.errors import GrantRefused
from pod_server.log.verification import verify_segments, verify_stored
from pod_server.opening import custodian_vault, find_pod, open_pod
from pod_server.vault.errors import (
    KeyErased,
    LastWayIn,
    PassphraseTooShort,
    PodLocked,
    RecoveryCodeMistyped,
    WrongPassphrase,
    WrongRecoveryCode,
)
from pod_server.vault.key_derivation import Argon2Cost, Passphrase
from pod_server.vault.vault import Vault, unlock_with_passphrase, unlock_with_recovery_code, unlock_with_root

CHEAP = Argon2Cost(64, 1, 1)
PATHS = ("notes/a", "notes/b", "public/c")
DAY = timedelta(days=1)


@dataclass
class Model:
    """What should be so.

    Attributes:
        locked: Whether the host has a way in.
        passphrase: What opens the pod, or None.
        code: The recovery code that the citizen was shown; None where the machine stopped before it was shown.
        keys: Counts the root keys; a session is of one.
        documents: By path: contents, and whether everyone reads them.
        grants: By id: what is in the pod under it, and what waits.
        ended: Grants that were withdrawn; nothing more comes.
        erased: Grants that were erased, and what is never to be read again.
    """

    locked: bool = False
    passphrase: str | None = None
    code: str | None = None
    keys: int = 1
    documents: dict[str, bytes] = field(default_factory=dict)
    grants: dict[str, set[bytes]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    erased: dict[str, set[bytes]] = field(default_factory=dict)


@dataclass(frozen=True)
class Session:
    """What a signed-in citizen's browser and the session row hold together: a root key of one time."""

    root_key: bytes
    keys: int


class Enough(Exception):
    """So many steps of the background work; the rest another time."""


class VaultAgainstADictionary(House):
    """One pod."""

    def __init__(self) -> None:
        super().__init__()
        made = pods.create_pod(self.host, "kari")
        self.pod_id = made.pod_id
        self.model = Model(code=made.recovery_code)
        self.sessions = [Session(made.vault.root_key, 1)]
        self.old_codes: list[str] = []
        self.old_words: list[str] = []
        self.partner = add_partner(self.host)
        self.number = 0
        self.words = 0
        self.others = set(self._paths(made.vault))

    # What all rules do

    def _do(self, work, after: Model) -> bool:
        """Do it; then the model is `after`, and after a power cut the one or the other, which is found out."""
        before, self.model = self.model, after
        if self.survives(work):
            return True
        grants.resume_erasures(self.host)
        self._find_out(before, after)
        return False

    def _find_out(self, before: Model, after: Model) -> None:
        """Which of the two it is: by the way in that differs, then by what is there."""
        if after.keys != before.keys or after.passphrase != before.passphrase or after.code != before.code:
            chosen = after if self._has_slots_of(after, before) else before
            unknown = chosen is after and after.code != before.code
            # A code that nobody was shown opens nothing for anybody: a citizen asks for another one.
            self.model = copy.deepcopy(chosen)
            if unknown:
                self.model.code = None
            self._caught_up()
            return
        if after.locked != before.locked:
            locked = "custodian" not in self.host.key_store.slot_kinds(self.pod_id)
            self.model = after if locked == after.locked else before
            self._caught_up()
            return
        vault = self._any_vault()
        if vault is None:
            self.model = after if self._rows(after) == self._waiting_rows() else before
            return
        self._caught_up(vault)
        found = self._everything(vault)
        assert found in (self._expected(before), self._expected(after)), "neither as before nor as it was to be"
        self.model = after if found == self._expected(after) else before

    def _has_slots_of(self, after: Model, before: Model) -> bool:
        """Whether the change of the ways in was committed."""
        if before.code is not None and after.code != before.code:
            try:
                unlock_with_recovery_code(self.host.host_key, self.host.key_store, self.pod_id, before.code)
            except WrongRecoveryCode:
                return True
            return False
        if after.keys != before.keys:
            root = next((each for each in self.sessions if each.keys == before.keys), None)
            assert root is not None
            return not self._is_current(root)
        kinds = self.host.key_store.slot_kinds(self.pod_id)
        if after.passphrase is None or before.passphrase is None:
            return ("passphrase" in kinds) == (after.passphrase is not None)
        return self._opens(after.passphrase)

    def _opens(self, words: str) -> bool:
        try:
            unlock_with_passphrase(self.host.host_key, self.host.key_store, self.pod_id, Passphrase(words))
        except WrongPassphrase:
            return False
        return True

    def _is_current(self, session: Session) -> bool:
        try:
            self._vault_of(session)
        except PodLocked:
            return False
        return True

    def _vault_of(self, session: Session) -> Vault:
        return unlock_with_root(self.host.host_key, self.host.key_store, self.pod_id, session.root_key)

    def _caught_up(self, vault: Vault | None = None) -> None:
        """What whoever opens the pod next does, after a crash between key store and database."""
        vault = vault or self._any_vault()
        if vault is not None:
            pods.catch_up_with_keys(self.host, vault)

    def _any_vault(self) -> Vault | None:
        """By any way that the model says is open."""
        if not self.model.locked:
            return custodian_vault(self.host, self.pod_id)
        for session in self.sessions:
            if session.keys == self.model.keys:
                return self._vault_of(session)
        if self.model.passphrase is not None:
            words = Passphrase(self.model.passphrase)
            return unlock_with_passphrase(self.host.host_key, self.host.key_store, self.pod_id, words)
        return None

    def _live_session(self, number: int) -> Session | None:
        alive = [each for each in self.sessions if each.keys == self.model.keys]
        return alive[number % len(alive)] if alive else None

    def _changed(self, **changes: object) -> Model:
        after = copy.deepcopy(self.model)
        for name, value in changes.items():
            setattr(after, name, value)
        return after

    def _new_words(self) -> str:
        self.words += 1
        return f"tolv små katter {self.words}"

    # Ways in

    @rule(number=some.integers(0, 9), cut=some.none() | some.integers(1, 120), wait=some.booleans())
    def lock_or_renew(self, number, cut, wait):
        session = self._live_session(number)
        if session is None:
            return
        words = self._new_words()
        old = (self.model.code, self.model.passphrase)
        lock = wait or self.model.locked
        made: list[pods.RenewedVault] = []

        def work() -> None:
            act = pods.lock_pod if lock else pods.renew_keys
            made.append(act(self.host, self._vault_of(session), Passphrase(words), cost=CHEAP))

        after = self._changed(locked=lock, passphrase=words, code="(not shown yet)", keys=self.model.keys + 1)
        self.cut_at = cut
        if self._do(work, after):
            self.model.code = made[0].recovery_code
            self.sessions.append(Session(made[0].vault.root_key, self.model.keys))
        if self.model.keys == after.keys:
            self._retire(*old)

    def _retire(self, code: str | None, words: str | None) -> None:
        self.old_codes += [code] if code else []
        self.old_words += [words] if words else []

    @precondition(lambda self: self.model.code)
    @rule(cut=some.none() | some.none() | some.integers(1, 120))
    def recover(self, cut):
        words, code, old = self._new_words(), self.model.code, (self.model.code, self.model.passphrase)
        made: list[pods.RenewedVault] = []
        after = self._changed(passphrase=words, code="(not shown yet)", keys=self.model.keys + 1)
        self.cut_at = cut

        def work() -> None:
            made.append(pods.recover_pod(self.host, "kari", code.lower(), Passphrase(words), cost=CHEAP))

        if self._do(work, after):
            self.model.code = made[0].recovery_code
            self.sessions.append(Session(made[0].vault.root_key, self.model.keys))
        if self.model.keys == after.keys:
            self._retire(*old)

    @rule(number=some.integers(0, 9), drop=some.booleans(), cut=some.none() | some.none() | some.integers(1, 30))
    def change_or_drop_the_passphrase(self, number, drop, cut):
        session = self._live_session(number)
        if session is None:
            return
        old, words = self.model.passphrase, self._new_words()
        if drop and (self.model.locked):
            with pytest.raises(LastWayIn):
                pods.drop_passphrase(self.host, self._vault_of(session))
            return
        self.cut_at = cut

        def work() -> None:
            if drop:
                pods.drop_passphrase(self.host, self._vault_of(session))
            else:
                pods.change_passphrase(self.host, self._vault_of(session), Passphrase(words), cost=CHEAP)

        self._do(work, self._changed(passphrase=None if drop else words))
        if self.model.passphrase != old:
            self._retire(None, old)

    @rule(number=some.integers(0, 9), cut=some.none() | some.none() | some.integers(1, 30))
    def renew_the_code(self, number, cut):
        session, made, old = self._live_session(number), [], self.model.code
        if session is None:
            return
        self.cut_at = cut

        def work() -> None:
            made.append(pods.renew_recovery_code(self.host, self._vault_of(session)))

        after = self._changed(code="(not shown yet)")
        if old is None and cut is not None:
            self.cut_at = None  # nothing would tell the one from the other
        if self._do(work, after):
            self.model.code = made[0]
        if self.model.code != old:
            self._retire(old, None)

    @rule(number=some.integers(0, 9), close=some.booleans(), cut=some.none() | some.none() | some.integers(1, 30))
    def take_or_give_the_hosts_slot(self, number, close, cut):
        if close and self.model.passphrase is None:
            with pytest.raises(PodLocked):
                pods.close_to_host(self.host, self.pod_id)
            return
        session = self._live_session(number)
        if session is None and not close:
            return
        self.cut_at = cut

        def work() -> None:
            if close:
                pods.close_to_host(self.host, self.pod_id)
            else:
                pods.leave_pod_open(self.host, self._vault_of(session))

        self._do(work, self._changed(locked=close))

    @precondition(lambda self: self.model.passphrase)
    @rule()
    def sign_in(self):
        words = Passphrase(self.model.passphrase)
        vault = unlock_with_passphrase(self.host.host_key, self.host.key_store, self.pod_id, words)
        pods.catch_up_with_keys(self.host, vault)
        self.sessions.append(Session(vault.root_key, self.model.keys))

    def what_is_not_a_way_in(self, typo):
        """Old codes and words, a typo in a code, too little, too much; of each the error says what it is."""
        store, key = self.host.key_store, self.host.host_key
        for code in self.old_codes[-2:]:
            with pytest.raises(WrongRecoveryCode):
                unlock_with_recovery_code(key, store, self.pod_id, code)
        if self.model.passphrase is not None:
            for words in self.old_words[-2:]:
                assert not self._opens(words)
            # The same words in another of Unicode's forms are the same words.
            assert self._opens(self.model.passphrase.replace("å", "a\u030a"))
        if self.model.code:
            plain = self.model.code.replace("-", "").replace(" ", "")
            other = "7" if plain[typo % len(plain)] != "7" else "8"
            mistyped = plain[: typo % len(plain)] + other + plain[typo % len(plain) + 1 :]
            # One typo in 4096 has the right checksum, and is the code of nobody.
            with pytest.raises((RecoveryCodeMistyped, WrongRecoveryCode)):
                unlock_with_recovery_code(key, store, self.pod_id, mistyped)
        for words in ("", "kort"):
            session = self._live_session(0)
            if session is not None:
                with pytest.raises(PassphraseTooShort):
                    pods.change_passphrase(self.host, self._vault_of(session), Passphrase(words), cost=CHEAP)

    def sessions_of_old_keys_have_ended_and_those_of_the_present_go_on(self):
        for session in self.sessions:
            assert self._is_current(session) == (session.keys == self.model.keys)
        self.sessions = self.sessions[-6:]

    # What is written

    @rule(
        path=some.sampled_from(PATHS),
        body=some.binary(max_size=40),
        cut=some.none() | some.none() | some.integers(1, 20),
        number=some.integers(0, 9),
    )
    def put(self, path, body, cut, number):
        self._put(path, body, cut, number)

    def _put(self, path: str, body: bytes, cut: int | None, number: int) -> None:
        session = self._live_session(number)
        vault = self._any_vault() if session is None else self._vault_of(session)
        if vault is None:
            return
        pods.catch_up_with_keys(self.host, vault)
        self.cut_at = cut

        def work() -> None:
            opened = open_pod(self.host, require_owner(vault), vault=vault)
            with self.host.storage.write() as tx:
                public = path.startswith("public/")
                documents.put(tx, opened, path, "text/plain", body, public=public, at=self.clock.now())

        self._do(work, self._changed(documents={**self.model.documents, path: body}))

    @initialize()
    def a_pod_with_history(self):
        """Every life begins with two consents, something under each, and a document."""
        for count in (1, 2):
            self.give()
            self._deliver(count - 1, count, None)
        self._put("notes/a", b"hei", None, 0)

    def give(self):
        vault = self._any_vault()
        if vault is None:
            return
        now = self.clock.now()
        terms = GrantTerms(
            client_id=self.partner.client_id,
            purpose="personal-footprint",
            kinds=frozenset({"electricity-reading"}),
            operations=frozenset({"append"}),
            granularity="event",
            history_from=now - 800 * DAY,
            expires_at=now + 900 * DAY,
        )
        pods.catch_up_with_keys(self.host, vault)
        grant = grants.give(self.host, self.pod_id, terms, actor=CITIZEN, vault=vault)
        self.model.grants[grant.id] = set()

    @rule(which=some.integers(0, 3), count=some.integers(1, 3), cut=some.none() | some.none() | some.integers(1, 15))
    def deliver(self, which, count, cut):
        """Under any consent there was; a new one is given first where the number is of none."""
        if which >= len(self.model.grants) + len(self.model.erased):
            self.give()
        self._deliver(which, count, cut)

    def _deliver(self, which: int, count: int, cut: int | None) -> None:
        known = [*self.model.grants, *self.model.erased]
        grant = known[which % len(known)]
        now = self.clock.now()
        if grant in self.model.ended or grant in self.model.erased:
            with pytest.raises(GrantRefused):
                require_grant(self.host, self.partner, grant, (), "append", now)
            return
        permit = require_grant(self.host, self.partner, grant, (), "append", now)
        records = [reading(self.number + each) for each in range(count)]
        self.number += count
        outcomes: list[object] = []
        self.cut_at = cut
        after = self._changed()
        after.grants[grant] |= {each.raw for each in records}
        if self._do(lambda: outcomes.extend(append(self.host, [Delivery(permit, records)])), after):
            (outcome,) = outcomes
            assert outcome.refusal is None
            states = {each.status for each in outcome.records}
            assert states in ({"pending"}, {"accepted"})
            assert states == {"pending"} or not self.model.locked

    @precondition(lambda self: self.model.grants)
    @rule(which=some.integers(0, 9), erase=some.booleans(), cut=some.none() | some.integers(1, 40))
    def withdraw_or_erase(self, which, erase, cut):
        """Works on a locked pod, with nobody's key."""
        grant = list(self.model.grants)[which % len(self.model.grants)]
        after = self._changed()
        after.ended.add(grant)
        if erase:
            after.erased[grant] = after.grants.pop(grant)
        act = grants.erase if erase else grants.withdraw
        self.cut_at = cut
        before = self.model
        if self._do(lambda: act(self.host, self.pod_id, grant, actor=CITIZEN), after):
            return
        state = str(grants.find_grant(self.host, self.pod_id, grant).state)
        self.model = after if state == ("erased" if erase else "withdrawn") else before
        assert state in {"active", "withdrawn", "erased"}

    # What goes on in the background

    @rule(steps=some.integers(0, 3), number=some.integers(0, 9), cut=some.none() | some.none() | some.integers(1, 60))
    def seal_anew_for_a_while(self, steps, number, cut):
        session = self._live_session(number)
        vault = self._any_vault() if session is None else self._vault_of(session)
        if vault is None:
            return
        pods.catch_up_with_keys(self.host, vault)
        left = [steps]

        def rest(_: float) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Enough

        def work() -> None:
            with contextlib.suppress(Enough):
                resealing.reseal(self.host, vault, rest=rest)

        self.cut_at = cut
        self._do(work, self._changed())

    @rule(cut=some.none() | some.none() | some.integers(1, 40))
    def merge(self, cut):
        vault = self._any_vault()
        if vault is None:
            return
        pods.catch_up_with_keys(self.host, vault)
        self.cut_at = cut
        self._do(lambda: merge_waiting(self.host, vault), self._changed())

    @rule(days=some.sampled_from([0, 1, 3, 31, -2]), cut=some.none() | some.none() | some.integers(1, 20))
    def days_pass_and_the_host_tends_its_keys(self, days, cut):
        """Also a clock that is set back."""
        self.clock.advance(days * DAY)
        self.cut_at = cut
        self._do(lambda: upkeep.tend(self.host), self._changed())

    @rule(restart=some.booleans(), typo=some.integers(0, 27))
    def look_at_everything(self, restart, typo):
        """Also after all that a process remembers is gone."""
        if restart:
            self.reopen()
        self.what_is_not_a_way_in(typo)
        self.look()

    def look(self) -> None:
        """All that must hold."""
        self.everything_is_there_once_and_every_seal_is_whole()
        self.the_host_opens_what_it_may_and_nothing_else()
        self.what_was_erased_has_neither_key_nor_row()
        self.every_grant_has_its_keys()
        self.sessions_of_old_keys_have_ended_and_those_of_the_present_go_on()

    # What must hold

    def _paths(self, vault: Vault) -> list[str]:
        opened = open_pod(self.host, require_owner(vault), vault=vault)
        with self.host.storage.read() as tx:
            return documents.document_paths(tx, opened)

    def _everything(self, vault: Vault) -> tuple[dict[str, bytes], set[bytes], int]:
        """What the citizen reads: documents, and what partners delivered, merged or waiting."""
        opened = open_pod(self.host, require_owner(vault), vault=vault)
        found = {}
        with self.host.storage.read() as tx:
            for path in PATHS:
                document = documents.get(tx, opened, path)
                if document is not None:
                    found[path] = document.content
        raws = [one.raw for one in read_activities(self.host, opened)]
        assert len(raws) == len(set(raws)), "nothing is there twice"
        return found, set(raws), self._waiting_rows()

    def _waiting_rows(self) -> int:
        with self.host.storage.read() as tx:
            row = tx.one("SELECT COALESCE(SUM(records), 0) FROM pending_delivery WHERE pod_id = ?", (self.pod_id,))
        return int(row[0])

    def _rows(self, model: Model) -> int:
        """How many records should wait, where nothing can be opened: all that came, less what is merged."""
        with self.host.storage.read() as tx:
            row = tx.one("SELECT COALESCE(SUM(records), 0) FROM segment WHERE pod_id = ?", (self.pod_id,))
        return sum(len(records) for records in model.grants.values()) - int(row[0])

    def _expected(self, model: Model) -> tuple[dict[str, bytes], set[bytes], int]:
        waiting = self._rows(model)
        raws = set().union(*model.grants.values()) if model.grants else set()
        if waiting:
            with self.host.storage.read() as tx:
                held = {
                    grant: int(count)
                    for grant, count in tx.all(
                        "SELECT grant_id, SUM(records) FROM pending_delivery WHERE pod_id = ? GROUP BY grant_id",
                        (self.pod_id,),
                    )
                }
            # In the order in which they came: what waits is the latest of its grant.
            raws = set()
            for grant, records in model.grants.items():
                ordered = sorted(records, key=_hour)
                raws |= set(ordered[: len(ordered) - held.get(grant, 0)])
        return model.documents, raws, waiting

    def everything_is_there_once_and_every_seal_is_whole(self):
        store = self.host.key_store
        assert store.damaged_rows([self.pod_id]) == []
        with self.host.storage.read() as tx:
            verify_stored(tx, self.pod_id)
        vault = self._any_vault()
        if vault is None:
            return
        pods.catch_up_with_keys(self.host, vault)
        assert self._everything(vault) == self._expected(self.model)
        with self.host.storage.read() as tx:
            verify_segments(tx, vault, self.pod_id)
        assert self.others <= set(self._paths(vault))

    def the_host_opens_what_it_may_and_nothing_else(self):
        kinds = self.host.key_store.slot_kinds(self.pod_id)
        assert ("custodian" not in kinds) == self.model.locked
        assert ("passphrase" in kinds) == (self.model.passphrase is not None)
        with self.host.storage.read() as tx:
            pod = find_pod(tx, self.pod_id)
        if self.model.locked:
            with pytest.raises(PodLocked):
                custodian_vault(self.host, self.pod_id)
        stranger = open_pod(self.host, require_public(pod))
        with self.host.storage.read() as tx:
            shown = documents.get(tx, stranger, "public/c")
            hidden = documents.get(tx, stranger, "notes/a")
        assert hidden is None
        assert (None if shown is None else shown.content) == self.model.documents.get("public/c")

    def what_was_erased_has_neither_key_nor_row(self):
        keyring = self.host.key_store.keyring(self.pod_id)
        for grant in self.model.erased:
            assert not any(secret for scope, secret in keyring.items() if scope.grant == grant)
            with self.host.storage.read() as tx:
                for table in grants.SEALED_UNDER_A_GRANT:
                    count = tx.one(
                        f"SELECT COUNT(*) FROM {table} WHERE pod_id = ? AND grant_id = ?", (self.pod_id, grant)
                    )
                    assert count == (0,)
            vault = self._any_vault()
            if vault is not None:
                with pytest.raises(KeyErased):
                    vault.create_grant(grant)

    def every_grant_has_its_keys(self):
        present = {
            (each.kind, each.grant) for each in resealing.newest_scopes(self.host.key_store.keyring(self.pod_id))
        }
        assert {("grant", grant) for grant in self.model.grants} <= present

    @invariant()
    def a_rows_epoch_has_its_key(self):
        """Nothing lies under a key that was destroyed too early."""
        keyring = self.host.key_store.keyring(self.pod_id)
        with self.host.storage.read() as tx:
            for table, kind in (("document", "own"), ("household", "own"), ("log_leaf", "log")):
                condition = " AND scope = 'own'" if table == "document" else ""
                for (epoch,) in tx.all(
                    f"SELECT DISTINCT epoch FROM {table} WHERE pod_id = ?{condition}", (self.pod_id,)
                ):
                    assert keyring[resealing.Scope(kind, "", epoch)] is not None, (table, epoch)
            for table in ("segment", "pending_delivery"):
                for grant, epoch in tx.all(
                    f"SELECT DISTINCT grant_id, epoch FROM {table} WHERE pod_id = ?", (self.pod_id,)
                ):
                    assert keyring[resealing.Scope("grant", grant, epoch)] is not None, (table, grant, epoch)

    def teardown(self) -> None:
        """A last look, whatever the life was."""
        self.look()
        super().teardown()


def _hour(raw: bytes) -> int:
    """The number of the reading, by which they came in order."""
    return int(raw.split(b"reading/m1/")[1].split(b'"')[0])


@pytest.mark.timeout(PATIENCE_SECONDS)
def test_a_pod_is_what_the_dictionary_says_through_locks_new_keys_erasures_and_power_cuts():
    live(VaultAgainstADictionary, lives=20, steps=30)
