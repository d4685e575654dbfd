"""The Merkle tree: appending is hashing whole; every true proof verifies; every changed one fails."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pod_server.log import tree
from pod_server.log.checkpoint import Checkpoint, sign_checkpoint, verifier_key, verify_checkpoint
from pod_server.log.errors import LogBroken
from pod_server.signatures import SigningKey

leaf_lists = st.lists(st.binary(max_size=4).map(tree.leaf_hash), max_size=40)
KEY = SigningKey.ed25519(bytes(32))


def recursive_root(leaves):
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return tree.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return tree.node_hash(recursive_root(leaves[:split]), recursive_root(leaves[split:]))


@given(leaf_lists)
def test_appending_one_by_one_gives_the_root_of_the_whole(leaves):
    frontier = tree.Frontier()
    for count, leaf in enumerate(leaves):
        assert frontier.root() == recursive_root(leaves[:count])
        frontier = frontier.append(leaf)
        assert tree.Frontier.decode(frontier.size, frontier.encoded()) == frontier
    assert frontier.root() == recursive_root(leaves)


@given(leaf_lists, st.data())
def test_every_leaf_is_proven_and_nothing_else_is(leaves, data):
    assume(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof, root = tree.inclusion_proof(leaves, index), tree.root_of(leaves)
    tree.verify_inclusion(leaves[index], index, len(leaves), proof, root)
    other = tree.leaf_hash(b"another leaf")
    for wrong in (
        (other, index, len(leaves), proof, root),
        (leaves[index], index, len(leaves), [*proof, other], root),
        (leaves[index], index, len(leaves), proof, other),
        (leaves[index], len(leaves), len(leaves), proof, root),
        (leaves[index], -1, len(leaves), proof, root),
    ):
        with pytest.raises(LogBroken):
            tree.verify_inclusion(*wrong)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        with pytest.raises(LogBroken):
            tree.verify_inclusion(leaves[index], index, len(leaves), [*proof[:at], other, *proof[at + 1 :]], root)
        with pytest.raises(LogBroken):
            tree.verify_inclusion(leaves[index], index, len(leaves), proof[:-1], root)


@given(leaf_lists, st.data())
def test_every_growth_is_proven_and_every_rewriting_fails(leaves, data):
    assume(leaves)
    old = data.draw(st.integers(0, len(leaves)))
    old_root, root, proof = tree.root_of(leaves[:old]), tree.root_of(leaves), tree.consistency_proof(leaves, old)
    tree.verify_consistency(old, old_root, len(leaves), root, proof)
    other = tree.leaf_hash(b"another leaf")
    with pytest.raises(LogBroken):
        tree.verify_consistency(old, old_root, len(leaves), root, [*proof, other])
    with pytest.raises(LogBroken):
        tree.verify_consistency(len(leaves) + 1, old_root, len(leaves), root, proof)
    if old:
        rewritten = [*leaves]
        rewritten[data.draw(st.integers(0, old - 1))] = other
        with pytest.raises(LogBroken):
            tree.verify_consistency(
                old, old_root, len(leaves), tree.root_of(rewritten), tree.consistency_proof(rewritten, old)
            )


@given(st.text(max_size=60))
def test_whatever_is_read_as_a_checkpoint_is_one_or_is_refused(text):
    key = verifier_key("pods.example/-/logs/1", KEY)
    note = sign_checkpoint(Checkpoint(key.name, 3, bytes(32)), KEY)
    for candidate in (text, note + text, text + note, note.replace("\n\n", "\n" + text + "\n\n")):
        try:
            assert verify_checkpoint(candidate, [key]) == Checkpoint(key.name, 3, bytes(32))
        except LogBroken:
            continue
        # Whatever verifies is the signed note, perhaps with further signature lines.
        assert candidate.startswith(note)


@given(st.data())
def test_every_changed_character_of_a_checkpoint_is_noticed(data):
    key = verifier_key("pods.example/-/logs/1", KEY)
    note = sign_checkpoint(Checkpoint(key.name, 1234, tree.leaf_hash(b"x")), KEY)
    at = data.draw(st.integers(0, len(note) - 1))
    changed = note[:at] + data.draw(st.characters(exclude_characters=note[at])) + note[at + 1 :]
    with pytest.raises(LogBroken):
        verify_checkpoint(changed, [key])
