"""The Merkle tree of RFC 6962, section 2.1: hashes, appending by the frontier, inclusion and consistency proofs.

The frontier of a tree of n leaves is the list of the roots of its perfect subtrees, the greatest first: one for each
one-bit of n. It is all that appending needs.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pod_server.log.errors import LogBroken

if TYPE_CHECKING:
    from collections.abc import Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf: SHA-256 of 0x00 and its data."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256 of 0x01 and its two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class Frontier:
    """A tree as far as appending needs it: its size and the roots of its perfect subtrees, the greatest first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> Frontier:
        """The frontier with one more leaf hash at the end."""
        hashes, size = list(self.hashes), self.size
        while size & 1:
            leaf = node_hash(hashes.pop(), leaf)
            size >>= 1
        return Frontier(self.size + 1, (*hashes, leaf))

    @staticmethod
    def of(leaves: Sequence[bytes]) -> Frontier:
        """The frontier of leaf hashes: quicker than to append one after another."""
        hashes, start, size = [], 0, len(leaves)
        for bit in range(size.bit_length() - 1, -1, -1):
            if size >> bit & 1:
                hashes.append(root_of(leaves[start : start + (1 << bit)]))
                start += 1 << bit
        return Frontier(size, tuple(hashes))

    def root(self) -> bytes:
        """The Merkle tree hash."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root

    def encoded(self) -> bytes:
        """The hashes one after another; the size is kept beside them."""
        return b"".join(self.hashes)

    @staticmethod
    def decode(size: int, encoded: bytes) -> Frontier:
        """Read `encoded()` back.

        Raises:
            LogBroken: the number of hashes does not fit the size.
        """
        if size < 0 or len(encoded) != HASH_BYTES * size.bit_count():
            raise LogBroken("The log's frontier does not fit its size.")
        return Frontier(size, tuple(encoded[at : at + HASH_BYTES] for at in range(0, len(encoded), HASH_BYTES)))


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash of leaf hashes, level by level: whoever is left over at the end of a level goes up as it is."""
    if not leaves:
        return EMPTY_ROOT
    level = leaves
    while len(level) > 1:
        above = [
            hashlib.sha256(b"\x01" + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        if len(level) & 1:
            above.append(level[-1])
        level = above
    return level[0]


def _split(size: int) -> int:
    """The greatest power of two below `size` (RFC 6962, section 2.1: k)."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of one leaf (RFC 6962, section 2.1.1).

    Args:
        leaves: All leaf hashes of the tree.
        index: Which leaf, from 0.

    Raises:
        IndexError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError("there is no such leaf")
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(leaves[:split], index), root_of(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), root_of(leaves[:split])]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check an audit path (RFC 9162, section 2.1.3.2).

    Raises:
        LogBroken: the proof does not show the leaf at that index in that tree.
    """
    failure = LogBroken("The proof does not show the event in the log.")
    if not 0 <= index < size:
        raise failure
    position, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise failure
        if position & 1 or position == last:
            computed = node_hash(sibling, computed)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        position, last = position >> 1, last >> 1
    if last != 0 or not hmac.compare_digest(computed, root):
        raise failure


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """The proof that the tree of `leaves` only added to its first `old_size` ones (RFC 6962, section 2.1.2).

    Raises:
        IndexError: `old_size` is not between 0 and the number of leaves.
    """
    if not 0 <= old_size <= len(leaves):
        raise IndexError("the older tree is not within the newer")
    if old_size in (0, len(leaves)):
        return []
    return _subproof(leaves, old_size, whole=True)


def _subproof(leaves: Sequence[bytes], old_size: int, *, whole: bool) -> list[bytes]:
    if old_size == len(leaves):
        return [] if whole else [root_of(leaves)]
    split = _split(len(leaves))
    if old_size <= split:
        return [*_subproof(leaves[:split], old_size, whole=whole), root_of(leaves[split:])]
    return [*_subproof(leaves[split:], old_size - split, whole=False), root_of(leaves[:split])]


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check a consistency proof (RFC 9162, section 2.1.4.2).

    Raises:
        LogBroken: the newer tree is not shown to begin with the older.
    """
    failure = LogBroken("The newer log is not shown to begin with the older.")
    if not 0 <= old_size <= new_size:
        raise failure
    if old_size in (0, new_size):
        expected = EMPTY_ROOT if old_size == 0 else new_root
        if proof or not hmac.compare_digest(old_root, expected):
            raise failure
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise failure
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_computed = new_computed = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise failure
        if position & 1 or position == last:
            old_computed = node_hash(sibling, old_computed)
            new_computed = node_hash(sibling, new_computed)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new_computed = node_hash(new_computed, sibling)
        position, last = position >> 1, last >> 1
    fits = hmac.compare_digest(old_computed, old_root) and hmac.compare_digest(new_computed, new_root)
    if last != 0 or not fits:
        raise failure
