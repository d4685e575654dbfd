"""T5: a partner names a grant that is not its own, or another citizen's, and must not learn whether it exists."""

from __future__ import annotations

from dataclasses import replace

import pytest
from deliveries import add_partner, deliver, granted, owner_permit, permit_again, reading

from pod_server.activities import Delivery, append, read_segments
from pod_server.authorization.errors import NoSuchGrant
from pod_server.opening import open_pod
from pod_server.problems import problem_details


def refusal(host, partner, grant_id) -> dict:
    with pytest.raises(NoSuchGrant) as caught:
        permit_again(host, partner, grant_id)
    return problem_details(caught.value, host.base_url)


def test_anothers_grant_and_no_grant_get_one_identical_answer(city, host):
    kari = city.citizen("kari")
    mine = granted(host, kari.pod_id)
    stranger = add_partner(host, "En annen")
    answers = [
        refusal(host, stranger, grant_id)
        for grant_id in (mine.grant, "g-" + "a" * 26, "", "g-" + "a" * 5000, "'; DROP TABLE consent; --")
    ]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["status"] == 404


def test_a_permit_bent_to_another_pod_finds_no_grant_there(city, host):
    """Even if a Permit were forged inside the process: the grant is looked up in the pod that is written to."""
    kari, ola = city.citizen("kari"), city.citizen("ola")
    mine = granted(host, kari.pod_id)
    bent = replace(mine.permit, pod_id=ola.pod_id)
    (outcome,) = append(host, [Delivery(bent, [reading(0)])])
    assert outcome.records[0].status == "refused"
    assert isinstance(outcome.refusal, NoSuchGrant)
    for pod in (kari, ola):
        assert read_segments(host, open_pod(host, owner_permit(pod.vault))) == []


def test_the_same_record_under_two_citizens_grants_stays_in_two_pods(city, host):
    kari, ola = city.citizen("kari"), city.citizen("ola")
    hers = granted(host, kari.pod_id)
    his = granted(host, ola.pod_id, partner=hers.partner)
    assert deliver(host, hers.permit, [reading(0, 1.0)]) == ["accepted"]
    assert deliver(host, his.permit, [reading(0, 2.0)]) == ["accepted"], "marks of two grants share nothing"
    with host.storage.read() as tx:
        marks = [row[0] for row in tx.all("SELECT marks FROM segment")]
    assert marks[0][:8] != marks[1][:8]
