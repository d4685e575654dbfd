"""T16: the twin, or a bug in it, tries to send something without the citizen's yes to exactly that."""

from __future__ import annotations

import ast
from datetime import timedelta
from pathlib import Path

import pytest
from twin_citizen import Citizen
from twin_proposals import add_municipality, messages, sent_bodies, stored, two_years_of_waste

import twin_agent
from pod_server.authorization import mandates
from pod_server.authorization.errors import MandateMissing
from twin_agent import act, mandate


@pytest.fixture
def offered(city):
    add_municipality(city.host)
    citizen = Citizen(city, city.citizen("kari", household_size=2))
    citizen.deliver("TRV", *two_years_of_waste(9.0, 10.0))
    citizen.think()
    return citizen


def test_thinking_alone_sends_nothing(offered) -> None:
    for _ in range(3):
        offered.think()
    assert len(stored(offered)) == 1
    assert messages(offered) == []


def test_the_step_that_sends_refuses_without_a_yes(offered, monkeypatch) -> None:
    """Were the yes never written down (a bug in approve), the sending step itself would refuse."""
    (proposal,) = stored(offered)
    monkeypatch.setattr(mandates, "give_single_mandate", lambda *_, **__: None)
    with pytest.raises(MandateMissing):
        act.approve(offered.host, offered.own(), proposal["id"], proposal["plan_hash"])
    assert messages(offered) == []
    assert stored(offered)[0]["_state"] == "waiting"


@pytest.mark.parametrize("changed", ["act", "about", "pod", "time"])
def test_a_yes_covers_one_act_about_one_plan_in_one_pod_for_a_while(city, changed) -> None:
    kari, ola = city.citizen("kari"), city.citizen("ola")
    host, at = city.host, city.clock.now()
    with host.storage.write() as tx:
        mandates.give_single_mandate(
            tx,
            kari.pod_id,
            mandate_id="m1",
            act="send-claim" if changed != "act" else "send-letter",
            about="plan-a" if changed != "about" else "plan-b",
            at=at,
            expires_at=at + timedelta(minutes=1),
        )
    when = at + timedelta(minutes=2) if changed == "time" else at
    pod_id = ola.pod_id if changed == "pod" else kari.pod_id
    with pytest.raises(MandateMissing), host.storage.write() as tx:
        mandate.use_approval(tx, pod_id, "plan-a", when)


def test_a_yes_is_used_once(city) -> None:
    kari = city.citizen("kari")
    at = city.clock.now()
    with city.host.storage.write() as tx:
        mandates.give_single_mandate(
            tx,
            kari.pod_id,
            mandate_id="m1",
            act="send-claim",
            about="plan",
            at=at,
            expires_at=at + timedelta(minutes=1),
        )
        mandate.use_approval(tx, kari.pod_id, "plan", at)
    with pytest.raises(MandateMissing), city.host.storage.write() as tx:
        mandate.use_approval(tx, kari.pod_id, "plan", at)


def test_the_standing_mandate_covers_nothing_that_leaves(city) -> None:
    kari = city.citizen("kari")
    from pod_server.authorization.enforcement import require_mandate

    with pytest.raises(MandateMissing):
        require_mandate(city.host, kari.pod_id, mandate.SEND_CLAIM)


def test_only_the_acting_module_knows_the_outbox_and_nothing_in_the_twin_knows_the_network() -> None:
    folder = Path(twin_agent.__file__).parent
    files = sorted(folder.glob("*.py"))
    assert len(files) > 10
    network = {"socket", "http", "httpx", "requests", "urllib", "pod_server.outbound"}
    for file in files:
        imported: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        assert not imported & network, file.name
        if "pod_server.outbox" in imported:
            assert file.name == "act.py"


def test_a_claim_tells_no_weight_no_name_and_no_address(offered) -> None:
    from pod_server.signatures import base64url

    (proposal,) = stored(offered)
    act.approve(offered.host, offered.own(), proposal["id"], proposal["plan_hash"])
    (body,) = sent_bodies(offered)
    jws, *disclosures = body["credential"].split("~")
    told = base64url.read(jws.split(".")[1]) + b"".join(base64url.read(each) for each in disclosures if each)
    facts = proposal["facts"]
    for secret in ("kari", str(offered.pod_id), str(facts["before"]), str(facts["after"]), str(facts["change"])):
        assert secret.encode() not in told
