"""What may follow what."""

from __future__ import annotations

from datetime import timedelta

import pytest
from test_decision import NOW

from consent.errors import EventOutOfOrder
from consent.grant import GrantState
from consent.ledger import EventKind, GrantEvent, fold


def events(*kinds):
    return [GrantEvent(EventKind(kind), NOW + timedelta(minutes=index)) for index, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        (["given"], "active"),
        (["requested", "given"], "active"),
        (["requested", "refused"], "refused"),
        (["given", "paused"], "paused"),
        (["given", "paused", "resumed"], "active"),
        (["given", "expired", "renewed"], "active"),
        (["given", "paused", "renewed"], "active"),
        (["given", "withdrawn"], "withdrawn"),
        (["given", "expired", "withdrawn"], "withdrawn"),
        (["given", "withdrawn", "erased"], "erased"),
    ],
)
def test_a_state_follows_from_events(kinds, state):
    standing = fold(events(*kinds))
    assert standing.state == GrantState(state)
    assert standing.version == len(kinds)


@pytest.mark.parametrize(
    "kinds",
    [
        ["paused"],
        ["withdrawn"],
        ["given", "given"],
        ["refused", "given"],
        ["given", "resumed"],
        ["given", "withdrawn", "renewed"],
        ["given", "withdrawn", "resumed"],
        ["given", "erased", "renewed"],
        ["given", "erased", "erased"],
        ["refused", "withdrawn"],
    ],
)
def test_nothing_leads_back_from_withdrawal_refusal_or_erasure(kinds):
    with pytest.raises(EventOutOfOrder):
        fold(events(*kinds))
