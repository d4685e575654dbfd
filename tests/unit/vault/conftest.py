"""A vault on a folder of its own, cheap in Argon2id."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hosts import host_key_in, key_store_in

from pod_server.vault.host_key import HostKey
from pod_server.vault.key_derivation import Argon2Cost, KeyDerivation, Passphrase
from pod_server.vault.key_store import KeyStore
from pod_server.vault.vault import NewVault, create_vault

CHEAP = Argon2Cost(64, 1, 1)


@dataclass
class VaultHouse:
    """A host key and a key store, and vaults made in them."""

    folder: Path
    host_key: HostKey
    key_store: KeyStore
    derivation: KeyDerivation
    made: list[NewVault] = field(default_factory=list)

    def stored(self) -> list[bytes]:
        """What the key store's file holds of pod 7, as it stands there."""
        with closing(sqlite3.connect(self.folder / "keys" / "keys.sqlite")) as file:
            return [
                bytes(sealed)
                for (sealed,) in file.execute(
                    "SELECT wrapped FROM keyring WHERE pod_id = 7 AND wrapped IS NOT NULL "
                    "UNION ALL SELECT sealed FROM slot WHERE pod_id = 7 UNION ALL SELECT wrapped FROM cover WHERE pod_id = 7"
                )
            ]

    def vault(self, pod_id: int = 7, *, passphrase: str | None = None, custodian: bool = True) -> NewVault:
        new = create_vault(
            self.host_key,
            self.key_store,
            pod_id,
            passphrase=None if passphrase is None else Passphrase(passphrase),
            custodian=custodian,
            cost=CHEAP,
            derivation=self.derivation,
        )
        self.made.append(new)
        return new


@pytest.fixture(scope="session")
def derivation():
    derivation = KeyDerivation()
    yield derivation
    derivation.close()


@pytest.fixture
def house(tmp_path, derivation):
    key_store = key_store_in(tmp_path / "keys")
    yield VaultHouse(tmp_path, host_key_in(tmp_path / "keys", key_store), key_store, derivation)
    key_store.close()
