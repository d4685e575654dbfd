"""A citizen's own files come in by the same path as any delivery."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from partner_bridge.errors import BodyUnreadable, UnknownConnector
from partner_bridge.import_files import import_files
from pod_server import grants
from pod_server.activities import count_records
from pod_server.errors import NoSuchPod
from pod_server.vault.errors import PodLocked

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def kari(city):
    return city.citizen("kari")


def counts(report):
    return report.accepted, report.duplicates, report.refused


def test_the_same_file_twice_is_all_duplicates(host, kari):
    path = SAMPLES / "hourly-utc.csv"
    assert counts(import_files(host, "kari", "hourly-csv", [path])) == (47, 0, 0)
    assert counts(import_files(host, "kari", "hourly-csv", [path])) == (0, 47, 0)


def test_broken_lines_are_told_by_file_and_line_and_the_rest_comes_in(host, kari):
    report = import_files(host, "kari", "elhub-csv", [SAMPLES / "elhub-spring.csv", SAMPLES / "elhub-autumn.csv"])
    assert counts(report) == (13, 0, 2)
    assert [problem["file"] for problem in report.problems] == ["elhub-spring.csv"] * 2
    assert report.problems[0]["type"].endswith("/problems/unusable-payload")
    assert report.problems[0]["detail"].startswith("line 6")


def test_an_import_stands_under_a_grant_to_oneself_that_can_be_erased_and_is_used_again(host, kari):
    import_files(host, "kari", "hourly-csv", [SAMPLES / "hourly-utc.csv"])
    import_files(host, "kari", "elhub-csv", [SAMPLES / "elhub-autumn.csv"])
    (view,) = grants.list_grants(host, kari.pod_id)
    assert (view.grant.terms.client_id, view.accepted) == ("self", 56)
    from pod_server.identifiers import Actor

    grants.erase(host, kari.pod_id, view.grant.id, actor=Actor("citizen"))
    with host.storage.read() as tx:
        assert count_records(tx, kari.pod_id) == 0


def test_the_log_says_who_imported(host, kari, log_of):
    import_files(host, "kari", "hourly-csv", [SAMPLES / "hourly-utc.csv"])
    actors = {entry.event.actor.kind for entry in log_of(kari.pod_id) if entry.event.action == "append"}
    assert actors == {"operator-assisted"}


def test_a_packed_file_and_payloads_one_a_line_are_read(host, kari, tmp_path):
    packed = tmp_path / "hours.csv.gz"
    packed.write_bytes(gzip.compress((SAMPLES / "hourly-utc.csv").read_bytes()))
    assert import_files(host, "kari", "hourly-csv", [packed]).accepted == 47
    lines = tmp_path / "receipts.ndjson"
    receipt = (SAMPLES / "rema1000-receipt.json").read_text().replace("\n", "")
    lines.write_text(receipt + "\n{broken\n" + receipt.replace("1795276200000", "1795276300000") + "\n")
    assert counts(import_files(host, "kari", "rema1000", [lines])) == (12, 0, 3)


def test_an_array_of_payloads_is_read(host, kari):
    assert import_files(host, "kari", "atb", [SAMPLES / "atb-fare-contracts.json"]).accepted == 3


def test_what_cannot_be_imported_says_why(host, kari, tmp_path):
    with pytest.raises(UnknownConnector, match="hourly-csv"):
        import_files(host, "kari", "nobody", [])
    with pytest.raises(BodyUnreadable, match=r"absent\.csv cannot be read"):
        import_files(host, "kari", "hourly-csv", [tmp_path / "absent.csv"])
    with pytest.raises(NoSuchPod):
        import_files(host, "nobody", "hourly-csv", [SAMPLES / "hourly-utc.csv"])
    truncated = tmp_path / "short.csv.gz"
    truncated.write_bytes(gzip.compress(b"start,value\n" * 100)[:-20])
    with pytest.raises(BodyUnreadable):
        import_files(host, "kari", "hourly-csv", [truncated])


def test_a_locked_pod_refuses_without_its_vault(host, city):
    ola = city.citizen("ola", custodian=False)
    with pytest.raises(PodLocked):
        import_files(host, "ola", "hourly-csv", [SAMPLES / "hourly-utc.csv"])
    assert ola.pod_id


def test_real_hourly_readings_come_in_once(host, kari, shared_samples):
    path = shared_samples / "electricity-hourly" / "uk-electricity-hdd-only-hourly-sample-0.csv.gz"
    assert counts(import_files(host, "kari", "hourly-csv", [path])) == (23_508, 0, 0)
    assert counts(import_files(host, "kari", "hourly-csv", [path])) == (0, 23_508, 0)
    from pod_server.activities import read_activities
    from pod_server.authorization.enforcement import require_mandate
    from pod_server.opening import open_pod

    opened = open_pod(host, require_mandate(host, kari.pod_id, "observe"))
    from vocab.kinds import load_kinds

    total = sum(load_kinds().decode(each.raw).quantity for each in read_activities(host, opened))
    assert round(total, 2) == 3789.63
