"""The host: everything a request or a worker needs, joined once in tvilling/app.py and passed as an argument."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from consent.delegation import AgeRules
from pod_server.lookups import Lookups
from pod_server.quota import DEFAULT_LARGEST_BINARY_BYTES, DEFAULT_QUOTA_BYTES
from pod_server.signing_keys import SigningKeys
from pod_server.storage.binary_files import BinaryFiles

if TYPE_CHECKING:
    from pod_server.authorization_server.replay import Replay
    from pod_server.clock import Clock
    from pod_server.left_out import ToldTwice
    from pod_server.log.checkpoint import VerifierKey
    from pod_server.notifications.signal import Signal
    from pod_server.outbound import Outbound
    from pod_server.storage.ports import Storage
    from pod_server.vault.host_key import HostKey
    from pod_server.vault.key_store import KeyStore


@dataclass(frozen=True)
class Host:
    """One host of pods.

    Attributes:
        base_url: Where the pages, pods and doors are reached; no trailing slash.
        live_url: Where the long-lived streams are reached; no trailing slash.
        storage: The database of sealed rows.
        key_store: Slots and keyrings, kept apart from the database and its backups.
        host_key: The host's own key, which opens custodian slots and from which its signing keys follow.
        clock: The city's and the protocol's time.
        signal: Wakes other processes when a pod has changed.
        replay: Remembers one-use identifiers of proofs and assertions across processes, and machines.
        outbound: Makes requests to other hosts under the outbound rules.
        told_twice: Which records another one of the same event stands for; the twin's answer.
        data_folder: Where the embedded database, the keys and the runtime files lie.
        allow_insecure: True on loopback without TLS (the demo and tests): cookies lack `Secure`.
        lookups: What other hosts answered this process lately.
        signing_keys: The keys that this process signs and verifies with.
        quota_bytes: What the documents of a pod may take, where the pod has no quota of its own.
        largest_binary_bytes: The largest single document that is not RDF.
        witnesses: Who watches over the logs: address and key of each.
        age_rules: From which age on citizens answer for themselves.
        connector_packages: Packages whose connectors this host loads beside the house's own.
    """

    base_url: str
    live_url: str
    storage: Storage
    key_store: KeyStore
    host_key: HostKey
    clock: Clock
    signal: Signal
    replay: Replay
    outbound: Outbound
    data_folder: Path
    told_twice: ToldTwice
    allow_insecure: bool = False
    lookups: Lookups = field(default_factory=Lookups, compare=False, repr=False)
    signing_keys: SigningKeys = field(default_factory=SigningKeys, compare=False, repr=False)
    witnesses: tuple[tuple[str, VerifierKey], ...] = ()
    quota_bytes: int = DEFAULT_QUOTA_BYTES
    largest_binary_bytes: int = DEFAULT_LARGEST_BINARY_BYTES
    age_rules: AgeRules = field(default_factory=AgeRules)
    connector_packages: tuple[str, ...] = ()

    @cached_property
    def binaries(self) -> BinaryFiles:
        """The folder of large binaries."""
        return BinaryFiles(self.data_folder / "binaries")
