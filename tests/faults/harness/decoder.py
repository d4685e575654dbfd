"""docs/vault-format.md carried out a third time, for the checker: with block ciphers and hashes, and no code of the house.

Everything raises where a byte is wrong. `hpke_open` is RFC 9180's base mode from its text (tests/vectors runs the
published vectors against it); XAES-256-GCM is https://c2sp.org/XAES-256-GCM, steps 1 to 5.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sqlite3
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import zstandard
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id


class Scope(NamedTuple):
    kind: str
    grant: str = ""
    epoch: int = 1


def mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.digest(key, b"".join(parts), "sha256")


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def number(value: int, length: int) -> bytes:
    return value.to_bytes(length, "big")


def field(value: bytes) -> bytes:
    return number(len(value), 2) + value


def expand(secret: bytes, label: str) -> bytes:
    return mac(secret, b"tvilling v1 " + label.encode() + b"\x01")


def of_host(secret: bytes, label: str) -> bytes:
    return mac(secret, b"tvilling host v1 " + label.encode() + b"\x01")


# Section 2


def open_envelope(secret: bytes, pod: int, scope: Scope, kind: str, place: bytes, version: int, sealed: bytes) -> bytes:
    assert sealed[:3] == b"TV\x01", "not an envelope"
    compression, end = sealed[3], 5 + sealed[4]
    dictionary, nonce, commitment, body = (
        sealed[5:end],
        sealed[end : end + 24],
        sealed[end + 24 : end + 56],
        sealed[end + 56 :],
    )
    header = b"".join(
        field(part)
        for part in (
            b"\x01", bytes([compression]), dictionary, number(pod, 8), scope.kind.encode(), scope.grant.encode(),
            number(scope.epoch, 4), kind.encode(), place, number(version, 8),
        )
    )  # fmt: skip
    assert mac(expand(secret, "commit"), nonce, header) == commitment, f"the {kind} is not of this place"
    opened = AESGCM(_subkey(expand(secret, "seal"), nonce[:12])).decrypt(nonce[12:], body, header)
    return _decompressed(opened, dictionary.decode()) if compression else opened


def _subkey(key: bytes, start: bytes) -> bytes:
    def block(data: bytes) -> bytes:
        return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(data)

    whole = int.from_bytes(block(bytes(16)), "big")
    doubled = number(((whole << 1) & (2**128 - 1)) ^ (0x87 if whole >> 127 else 0), 16)
    halves = (b"\x00" + bytes([counter]) + b"\x58\x00" + start for counter in (1, 2))
    return b"".join(block(bytes(a ^ b for a, b in zip(half, doubled, strict=True))) for half in halves)


def _decompressed(frame: bytes, dictionary: str = "") -> bytes:
    data = None
    if dictionary:
        raw = resources.files("vocab").joinpath("dictionaries", f"{dictionary}.dict").read_bytes()
        data = zstandard.ZstdCompressionDict(raw, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdDecompressor(dict_data=data).decompress(frame)


# RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256


def hpke_open(
    sealed: bytes, private_key: bytes, info: bytes, *, aad: bytes = b"", aead: int = 2, sequence: int = 0
) -> bytes:
    """`sealed` is the encapsulated key (32 bytes) and then the ciphertext; `aead` 1 is AES-128-GCM, 2 AES-256-GCM."""
    encapsulated, ciphertext = sealed[:32], sealed[32:]
    private = X25519PrivateKey.from_private_bytes(private_key)
    shared = private.exchange(X25519PublicKey.from_public_bytes(encapsulated))
    kem = b"KEM" + number(0x20, 2)
    suite = b"HPKE" + number(0x20, 2) + number(1, 2) + number(aead, 2)
    prk = mac(b"", b"HPKE-v1", kem, b"eae_prk", shared)
    context = encapsulated + private.public_key().public_bytes_raw()
    secret = _labelled_expand(prk, kem, b"shared_secret", context, 32)
    schedule = b"\x00" + mac(b"", b"HPKE-v1", suite, b"psk_id_hash") + mac(b"", b"HPKE-v1", suite, b"info_hash", info)
    prk = mac(secret, b"HPKE-v1", suite, b"secret")
    key = _labelled_expand(prk, suite, b"key", schedule, {1: 16, 2: 32}[aead])
    nonce = int.from_bytes(_labelled_expand(prk, suite, b"base_nonce", schedule, 12), "big") ^ sequence
    return AESGCM(key).decrypt(number(nonce, 12), ciphertext, aad)


def _labelled_expand(prk: bytes, suite: bytes, label: bytes, info: bytes, length: int) -> bytes:
    return mac(prk, number(length, 2), b"HPKE-v1", suite, label, info, b"\x01")[:length]


# Sections 3 to 5


class HostKeys:
    """A data folder's host key and epoch keys, from their files and the key store."""

    def __init__(self, folder: Path) -> None:
        self.keys = _connect(folder / "keys.sqlite")
        form, text = (folder / "host.key").read_text("ascii").split()
        assert form == "tvilling-host-key-v2"
        file = base64.b64decode(text)
        fingerprint = of_host(file, "fingerprint")[:8].hex()
        ((sealed,),) = self.keys.execute("SELECT sealed FROM host_key WHERE file = ?", (fingerprint,))
        self.host_key = open_envelope(of_host(file, "file host key"), 0, Scope("host"), "host-key", b"", 0, sealed)
        self.epochs: dict[int, bytes] = {}
        for path in (folder / "epochs").glob("epoch-*.key"):
            (form, epoch, made), *lines = (line.split(" ") for line in path.read_text("ascii").splitlines())
            scope = Scope("epoch", "", int(epoch))
            (envelope,) = (base64.b64decode(text) for name, text in lines if name == fingerprint)
            secret = of_host(file, "file epoch key")
            self.epochs[int(epoch)] = open_envelope(secret, 0, scope, "epoch-key", made.encode(), 0, envelope)

    def close(self) -> None:
        self.keys.close()


class Keyring:
    """A pod's slots and secrets, opened by the host's custodian slot."""

    def __init__(self, host: HostKeys, pod: int) -> None:
        self.pod = pod
        ((epoch, wrapped),) = host.keys.execute("SELECT epoch, wrapped FROM cover WHERE pod_id = ?", (pod,))
        cover = open_envelope(host.epochs[epoch], pod, Scope("cover", "", epoch), "cover-key", b"", 0, wrapped)
        under = Scope("cover")
        self.slots = {
            kind: (parameters, salt, open_envelope(cover, pod, under, "covered-slot", kind.encode(), 0, sealed))
            for kind, parameters, salt, sealed in host.keys.execute(
                "SELECT kind, parameters, salt, sealed FROM slot WHERE pod_id = ?", (pod,)
            )
        }
        custodian = of_host(host.host_key, "pod slot")
        self.root = open_envelope(custodian, pod, Scope("slot"), "slot", b"custodian", 0, self.slots["custodian"][2])
        self.secrets: dict[Scope, bytes | None] = {}
        for kind, grant, epoch, wrapped in host.keys.execute(
            "SELECT kind, grant_id, epoch, wrapped FROM keyring WHERE pod_id = ?", (pod,)
        ):
            scope = Scope(kind, grant, epoch)
            self.secrets[scope] = None if wrapped is None else self._secret(cover, host.host_key, scope, wrapped)

    def _secret(self, cover: bytes, host_key: bytes, scope: Scope, wrapped: bytes) -> bytes:
        place = field(scope.kind.encode()) + field(scope.grant.encode()) + number(scope.epoch, 4)
        entry = open_envelope(cover, self.pod, Scope("cover"), "covered-secret", place, 0, wrapped)
        with_key = {"public": of_host(host_key, "pod public"), "marks": of_host(host_key, "pod marks")}
        secret = with_key.get(scope.kind) or expand(self.root, "keyring")
        return open_envelope(secret, self.pod, scope, "scope-secret", b"", 0, entry)

    def opens_slot(self, kind: str, secret: bytes) -> bool:
        parameters, _, sealed = self.slots[kind]
        place = f"{kind} {parameters}".encode()
        return open_envelope(secret, self.pod, Scope("slot"), "slot", place, 0, sealed) == self.root

    def opens_with_passphrase(self, passphrase: str) -> bool:
        parameters, salt, _ = self.slots["passphrase"]
        costs = dict(part.split("=") for part in parameters.split(" ")[1].split(","))
        derived = Argon2id(
            salt=salt, length=32, iterations=int(costs["t"]), lanes=int(costs["p"]), memory_cost=int(costs["m"])
        ).derive(passphrase.encode())
        return self.opens_slot("passphrase", derived)

    def opens_with_code(self, code: str) -> bool:
        value = 0
        for character in code.replace("-", ""):
            value = value * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(character)
        return self.opens_slot("recovery", mac(self.slots["recovery"][1], number(value >> 12, 16)))

    def open(self, scope: Scope, kind: str, place: bytes, version: int, sealed: bytes) -> bytes:
        secret = self.secrets[scope]
        assert secret is not None, f"the key of {scope} was destroyed, and a {kind} is there"
        return open_envelope(secret, self.pod, scope, kind, place, version, sealed)


# What a pod holds


class PodContents:
    """Everything sealed of one pod, opened."""

    def __init__(self, database: sqlite3.Connection, keyring: Keyring, binaries: Path) -> None:
        self._rows, self._ring, self._binaries = database, keyring, binaries

    def _all(self, sql: str) -> list[tuple[Any, ...]]:
        return self._rows.execute(sql, (self._ring.pod,)).fetchall()

    def segments(self) -> dict[str, list[tuple[int, list[tuple[str, bytes]]]]]:
        """By grant, in order: the leaf that tells of it, and its records as (kind, canonical JSON)."""
        found: dict[str, list[tuple[int, list[tuple[str, bytes]]]]] = {}
        for grant, ordinal, epoch, leaf, sealed in self._all(
            "SELECT grant_id, ordinal, epoch, log_index, sealed FROM segment WHERE pod_id = ? ORDER BY grant_id, ordinal"
        ):
            body = self._ring.open(Scope("grant", grant, epoch), "segment", b"", ordinal, sealed)
            kinds, kind_of, raws = msgspec.msgpack.decode(body)
            records = [(kinds[index], bytes(raw)) for index, raw in zip(kind_of, raws, strict=True)]
            assert ordinal == len(found.setdefault(grant, [])) + 1, "a delivery is missing between two others"
            found[grant].append((leaf, records))
        return found

    def documents(self) -> dict[str, bytes]:
        """Every document's body by its path."""
        found: dict[str, bytes] = {}
        for name, kind, epoch, version, head, body in self._all(
            "SELECT name_key, scope, epoch, version, sealed_head, sealed_body FROM document WHERE pod_id = ?"
        ):
            scope = Scope("public") if kind == "public" else Scope("own", "", epoch)
            path, _, _, in_file, parts, chain, _, row_version = (
                *(told := msgspec.msgpack.decode(self._ring.open(scope, "document-head", name, version, head))),
                *(None, None, None, False, 0, b"", 0, 0)[len(told) :],
            )
            content = self._ring.open(scope, "document", name, row_version or version, body)
            if in_file:
                content = self._large(content)
            followed = b""
            for at, sealed in self._all(
                f"SELECT version, sealed FROM document_part WHERE pod_id = ? AND name_key = x'{name.hex()}' ORDER BY version"
            ):
                followed = sha256(followed, sealed)
                content += self._ring.open(scope, "document-part", name, at, sealed)
                parts -= 1
            assert (parts, followed) == (0, chain), f"parts of {path} are missing"
            assert path not in found, f"{path} is there twice"
            found[path] = content
        return found

    def _large(self, reference: bytes) -> bytes:
        name, secret, size = reference[:16], reference[16:48], int.from_bytes(reference[48:], "big")
        content = (self._binaries / f"{self._ring.pod:016x}" / name.hex()).read_bytes()
        assert content[:4] == b"TVC\x01"
        count = max(1, -(-size // 262144))
        assert len(content) == 4 + size + 16 * count, "a large binary's file is cut short"
        opened = b""
        for index in range(count):
            last = number(index == count - 1, 1)
            chunk = content[4 + index * 262160 : 4 + (index + 1) * 262160]
            fields = b"".join(
                field(part) for part in (b"TVC\x01", number(self._ring.pod, 8), name, number(index, 8), last)
            )
            opened += AESGCM(expand(secret, "chunks")).decrypt(number(index, 11) + last, chunk, fields)
        return opened

    def log(self) -> tuple[list[bytes], list[dict[str, Any]]]:
        """The leaves' hashes, computed anew from the events, and the events."""
        hashes, events = [], []
        for index, leaf, commitment, epoch, sealed, first_hash in self._all(
            "SELECT leaf_index, leaf_hash, event_commitment, epoch, sealed, sealed_hash FROM log_leaf WHERE pod_id = ? "
            "ORDER BY leaf_index"
        ):
            assert index == len(hashes), "a leaf of the log is missing"
            scope = Scope("log", "", epoch)
            if first_hash is None:
                secret = self._ring.secrets[scope]
                assert secret is not None
                info = b"tvilling log v1\x00" + number(self._ring.pod, 8) + number(index, 8)
                opened = hpke_open(sealed, expand(secret, "inbox"), info)
            else:
                opened = self._ring.open(scope, "log-event", b"", index, sealed)
            if opened[32] == 1:
                opened = opened[:32] + canonical_event(opened[32:])
            assert sha256(b"tvilling log event v1\x00", opened) == commitment, f"leaf {index} is not its event"
            data = sha256(b"tvilling log leaf v1\x00", number(index, 8), commitment, first_hash or sha256(sealed))
            assert sha256(b"\x00", data) == leaf, f"leaf {index} is not what the tree says"
            hashes.append(leaf)
            events.append(msgspec.json.decode(opened[32:].rstrip(b" ")))
        return hashes, events


def words_of_events() -> list[str]:
    """Section 6's words, from the document itself."""
    document = (Path(__file__).parents[3] / "docs" / "vault-format.md").read_text("utf-8")
    block = document.partition("words are only ever added at the end:\n\n")[2].partition("\n\n")[0]
    return ["" if word == '""' else word for word in block.split()]


def canonical_event(compact: bytes) -> bytes:
    """Section 6: canonical JSON out of a compact event."""
    words = words_of_events()

    def text(value: Any) -> str:
        return words[value] if isinstance(value, int) else value

    size = int.from_bytes(compact[1:3], "big")
    assert not compact[3 + size :].strip(b"\0"), "a compact event is followed by something"
    assert len(compact) % 64 == 0, "a compact event is not filled up"
    action, kind, who, name, at, count, detail, grant, outcome, purpose = msgspec.msgpack.decode(compact[3 : 3 + size])
    members = {
        "action": text(action),
        "actor": {"id": text(who), "kind": text(kind), "name": text(name)},
        "at": at,
        "count": count,
        "detail": {text(key): value.hex() if isinstance(value, bytes) else value for key, value in detail.items()},
        "grant": "g-" + base64.b32encode(grant).decode().lower()[:26] if isinstance(grant, bytes) else text(grant),
        "outcome": text(outcome),
        "purpose": text(purpose),
    }
    encoded = json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return encoded + b" " * (-len(encoded) % 128)


def root_of(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"")
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01", root_of(leaves[:split]), root_of(leaves[split:]))


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def read_database(folder: Path) -> closing[sqlite3.Connection]:
    return closing(_connect(folder / "tvilling.sqlite"))
