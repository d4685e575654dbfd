"""Somebody with copies of every file of a host, who tries every key they reach on every sealed value of every copy."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pod_server.vault.envelope import EnvelopeKey, Place, Scope, expand
from pod_server.vault.epoch_keys import EpochKeys
from pod_server.vault.errors import VaultError
from pod_server.vault.host_key import HostKeyFile
from pod_server.vault.key_derivation import Passphrase
from pod_server.vault.key_store import secret_place, slot_place
from pod_server.vault.scope_keys import unwrap_secret
from pod_server.vault.slots import Slot, open_custodian_slot, open_passphrase_slot, open_recovery_slot


@dataclass
class Thief:
    """What somebody holds who has everything but the destroyed epoch keys."""

    copies: list[Path]
    host_key_file: HostKeyFile
    epoch_keys: EpochKeys
    passphrase: str
    recovery_code: str
    plain: dict[tuple[str, str, int], bytes] = field(default_factory=dict)

    def rows(self, name, sql):
        """The rows of one statement over every copy of a file."""
        for copy in self.copies:
            for path in copy.rglob(name):
                with closing(sqlite3.connect(path)) as file, suppress(sqlite3.Error):
                    yield from file.execute(sql).fetchall()

    def cover_keys(self):
        """Every cover key of every copy that some epoch key opens."""
        for pod, epoch, wrapped in set(self.rows("keys.sqlite", "SELECT pod_id, epoch, wrapped FROM cover")):
            for held in self.epoch_keys.epochs():
                with suppress(VaultError):
                    key = EnvelopeKey(self.epoch_keys.key(held.number), pod, Scope("cover", "", epoch))
                    yield pod, EnvelopeKey(key.open(Place("cover-key", b""), wrapped), pod, Scope("cover"))

    def root_keys(self, covers):
        """Every root key that some slot of some copy gives up."""
        host_keys = [
            self.host_key_file.open_host_key(sealed)
            for file, sealed in set(self.rows("keys.sqlite", "SELECT file, sealed FROM host_key"))
            if file == self.host_key_file.fingerprint
        ]
        assert host_keys
        found = set()
        statement = "SELECT pod_id, kind, parameters, salt, sealed FROM slot"
        for pod, kind, parameters, salt, sealed in set(self.rows("keys.sqlite", statement)):
            for of_pod, cover in covers:
                with suppress(VaultError):
                    slot = Slot(kind, parameters, salt, cover.open(slot_place(kind), sealed))
                    if kind == "passphrase":
                        found.add((of_pod, open_passphrase_slot(pod, slot, Passphrase(self.passphrase))))
                    elif kind == "recovery":
                        found.add((of_pod, open_recovery_slot(pod, slot, self.recovery_code)))
                    else:
                        found |= {(of_pod, open_custodian_slot(pod, slot, key)) for key in host_keys}
        return found

    def secrets(self):
        """Every scope's secret that opens, by scope."""
        covers = list(self.cover_keys())
        roots = self.root_keys(covers)
        found = {}
        statement = "SELECT pod_id, kind, grant_id, epoch, wrapped FROM keyring WHERE wrapped IS NOT NULL"
        for pod, kind, grant, epoch, wrapped in set(self.rows("keys.sqlite", statement)):
            scope = Scope(kind, grant, epoch)
            for _, cover in covers:
                for _, root in roots:
                    with suppress(VaultError):
                        inner = cover.open(secret_place(scope), wrapped)
                        secret = unwrap_secret(EnvelopeKey(expand(root, "keyring"), pod, scope), inner)
                        found.setdefault(scope, set()).add(secret)
        return found

    def _open_answers(self, secrets, opened):
        """Answers of calculation services: one envelope in another, each under a key of its own."""
        statement = "SELECT pod_id, grant_id, epoch, figures_epoch, calculation_id, sealed FROM calculation"
        outers, inners = (
            [secret for scope, found in secrets.items() if scope.kind == kind for secret in found]
            for kind in ("grant", "figures")
        )
        for pod, grant, epoch, figures_epoch, name, sealed in set(self.rows("tvilling.sqlite", statement)):
            for outer, inner in itertools.product(outers, inners):
                with suppress(VaultError):
                    place = Place("calculation", name.encode(), 1)
                    within = EnvelopeKey(outer, pod, Scope("grant", grant, epoch)).open(place, sealed)
                    place = Place("calculation-figures", name.encode(), 1)
                    key = EnvelopeKey(inner, pod, Scope("figures", "", figures_epoch))
                    self.plain["calculation", name, 1] = key.open(place, within)
                    opened.add(("calculation", grant, epoch))

    def read(self):
        """Everything that opens with any of those secrets: (table, grant) of each value."""
        secrets = self.secrets()
        statements = {
            "segment": "SELECT pod_id, grant_id, epoch, '', ordinal, sealed FROM segment",
            "partial": "SELECT pod_id, grant_id, epoch, month, version, sealed FROM partial",
            "twin-event": "SELECT pod_id, grant_id, epoch, '', seq, sealed FROM twin_event",
            "figures": "SELECT pod_id, '', epoch, '', version, sealed FROM figures",
            "proposal-figures": "SELECT pod_id, '', figures_epoch, proposal_id, version, figures FROM proposal "
            "WHERE figures IS NOT NULL",
            "proposal": "SELECT pod_id, '', epoch, proposal_id, version, sealed FROM proposal",
        }
        opened, seen = set(), 0
        for table, statement in statements.items():
            for pod, grant, epoch, name, version, sealed in set(self.rows("tvilling.sqlite", statement)):
                seen += 1
                for scope, found in secrets.items():
                    for secret in found:
                        for tried in {scope, Scope("grant", grant, epoch), Scope("figures", "", epoch)}:
                            with suppress(VaultError):
                                place = Place(table, name.encode(), version)
                                self.plain[table, name, version] = EnvelopeKey(secret, pod, tried).open(place, sealed)
                                opened.add((table, grant, epoch))
        self._open_answers(secrets, opened)
        assert seen > 4, "the copies hold sealed values"
        return opened, secrets
