"""T17: a researcher, an operator or a thief of backups tries to single out a citizen behind the releases."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime

import pytest

from consent.grant import GrantTerms
from pod_server import figures, grants, partners
from pod_server.authorization.enforcement import require_mandate
from pod_server.identifiers import Actor
from pod_server.log.ledger import read_events
from pod_server.opening import open_pod
from research_views import bounding, noise
from research_views import budget as account
from research_views import release as releasing
from research_views.bounding import Participant
from research_views.errors import (
    AccountBroken,
    BudgetExhausted,
    PeriodAlreadyReleased,
    PeriodMalformed,
    PeriodNotOver,
)
from vocab.areas import load_areas

OCTOBER = "2026-10"
KINDS = frozenset({"electricity-reading", "grocery-line", "transit-trip", "waste-collection"})


def consent(city, pod_id, *, kinds=KINDS, history_from=datetime(2026, 1, 1, tzinfo=UTC)):
    terms = GrantTerms(
        client_id=partners.RESEARCH.client_id, purpose="research-statistics", kinds=kinds,
        operations=frozenset({"read"}), granularity="P1M", history_from=history_from,
        expires_at=datetime(2028, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    return grants.give(city.host, pod_id, terms, actor=Actor("citizen"))


def citizen(city, handle, area="500101", *, food=100.0, **terms):
    pod = city.citizen(handle, area=area)
    months = {OCTOBER: {"food": [food / 2, food, food * 2, 5.0], "electricity": [5.0, 9.0, 12.0, 600.0]}}
    twin = open_pod(city.host, require_mandate(city.host, pod.pod_id, "compute"))
    with city.host.storage.write() as tx:
        figures.save_figures(tx, twin, json.dumps({"months": months}).encode())
    return pod, (consent(city, pod.pod_id, **terms) if terms.pop("consents", True) else None)


def participants(host):
    return list(releasing._participants(host, OCTOBER, host.clock.now()))


@pytest.fixture
def a_full_city(monkeypatch):
    """600 citizens in four districts, put in where the pods would be read; the exact mean of each cell is known."""
    values = {"electricity": 9.0, "food": 120.0, "travel": 9.0, "waste": 5.5}
    crowd = [Participant(area, values) for area in load_areas() for _ in range(150)]
    monkeypatch.setattr(releasing, "_participants", lambda *_: iter(crowd))
    return values


def test_only_citizens_who_consent_are_read_and_only_what_they_consented_to(city):
    pod, _ = citizen(city, "kari")
    citizen(city, "ola", kinds=frozenset({"grocery-line"}))
    city.citizen("per", area="500102")
    assert {tuple(sorted(each.kilograms)) for each in participants(city.host)} == {("electricity", "food"), ("food",)}
    with city.host.storage.read() as tx:
        events = [logged.event for logged in read_events(tx, pod.vault, pod.pod_id)]
    assert any(event.action == "research-release" and event.purpose == "research-statistics" for event in events)


def test_a_withdrawn_consent_is_out_of_the_next_release(city):
    pod, grant = citizen(city, "kari")
    assert len(participants(city.host)) == 1
    grants.withdraw(city.host, pod.pod_id, grant.id, actor=Actor("citizen"))
    assert participants(city.host) == []


def test_a_month_before_the_consented_history_is_not_read(city):
    citizen(city, "kari", history_from=datetime(2026, 10, 2, tzinfo=UTC))
    assert [each.kilograms for each in participants(city.host)] == [{}]


def test_a_single_citizen_is_never_visible(city):
    citizen(city, "kari", food=290.0)
    made = releasing.release(city.host, OCTOBER)
    assert made.observations == 0
    assert made.suppressed == len(bounding.cells())


def test_a_full_city_is_published_close_to_the_truth(host, a_full_city):
    made = releasing.release(host, OCTOBER)
    assert made.observations >= 10
    for cell in made.cells:
        assert abs(cell.mean - a_full_city[cell.category]) < 6 * cell.mean_sd
        assert abs(cell.participants - 150) < 6 * cell.participants_sd
    assert any(cell.mean != a_full_city[cell.category] for cell in made.cells)
    assert releasing.find_release(host, OCTOBER) == made == releasing.releases(host)[0]


def test_joining_or_leaving_moves_a_release_by_far_less_than_its_noise():
    extreme = Participant("500101", {"electricity": 1e9, "food": 1e9, "travel": 0.0, "waste": 1e9})
    moved = sum(count**2 + value**2 for count, value in bounding.contribution(extreme).values()) ** 0.5
    assert moved <= 0.18 * noise.scale_for(bounding.sensitivity_steps(), account.RHO_A_MONTH)


def test_a_month_is_never_drawn_again(host, a_full_city):
    first = releasing.release(host, OCTOBER)
    with pytest.raises(PeriodAlreadyReleased):
        releasing.release(host, OCTOBER)
    assert releasing.find_release(host, OCTOBER) == first
    assert len(account.budget(host).entries) == 1


def test_two_operators_at_once_draw_once(host, a_full_city):
    outcomes: list[object] = []
    gate = threading.Barrier(2)

    def race() -> None:
        gate.wait()
        try:
            outcomes.append(releasing.release(host, OCTOBER))
        except PeriodAlreadyReleased as refused:
            outcomes.append(refused)

    threads = [threading.Thread(target=race) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["PeriodAlreadyReleased", "Release"]
    assert len(account.budget(host).entries) == 1


def test_the_account_is_charged_in_both_places_before_the_noise_is_drawn(host, a_full_city, monkeypatch):
    seen = []
    honest = noise.draw

    def look_first(*args, **options):
        seen.append([entry.period for entry in account.budget(host).entries])
        assert OCTOBER.encode() in (host.data_folder / "keys" / account.ACCOUNT_FILE).read_bytes()
        return honest(*args, **options)

    monkeypatch.setattr(noise, "draw", look_first)
    releasing.release(host, OCTOBER)
    assert seen == [[OCTOBER]]


def test_a_release_cut_short_is_spent_and_not_drawn_again(host, a_full_city, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(noise, "draw", lambda *_, **__: (_ for _ in ()).throw(OSError("the power went")))
        with pytest.raises(OSError, match="the power went"):
            releasing.release(host, OCTOBER)
    with pytest.raises(PeriodAlreadyReleased):
        releasing.release(host, OCTOBER)
    assert releasing.releases(host) == []


def forget(host):
    """What restoring an older database does to the account."""
    with host.storage.write() as tx:
        tx.execute("DELETE FROM privacy_budget_entry")
        tx.execute("DELETE FROM research_release")


def test_restoring_an_older_database_does_not_give_the_budget_back(host, a_full_city):
    releasing.release(host, OCTOBER)
    forget(host)
    with pytest.raises(PeriodAlreadyReleased):
        releasing.release(host, OCTOBER)
    releasing.release(host, "2026-09")
    assert [entry.period for entry in account.budget(host).entries] == [OCTOBER, "2026-09"]


def test_putting_back_an_older_keys_folder_stops_every_release(host, a_full_city):
    releasing.release(host, "2026-09")
    file = host.data_folder / "keys" / account.ACCOUNT_FILE
    older = file.read_bytes()
    releasing.release(host, OCTOBER)
    file.write_bytes(older)
    with pytest.raises(AccountBroken):
        releasing.release(host, "2026-08")
    file.unlink()
    with pytest.raises(AccountBroken):
        account.budget(host)


@pytest.mark.parametrize("place", ["file", "database"])
def test_an_entry_edited_afterwards_is_noticed(host, a_full_city, place):
    releasing.release(host, OCTOBER)
    file = host.data_folder / "keys" / account.ACCOUNT_FILE
    if place == "file":
        file.write_bytes(file.read_bytes().replace(b"2026-10", b"2026-09"))
    else:
        with host.storage.write() as tx:
            (content,) = tx.one("SELECT content FROM privacy_budget_entry")
            changed = bytes(content).replace(b"2026-10", b"2026-09")
            tx.execute("UPDATE privacy_budget_entry SET content = ?", (changed,))
    with pytest.raises(AccountBroken):
        account.budget(host)


def test_the_year_holds_twelve_months_and_no_more(host):
    for month in range(1, 13):
        account.charge(host, f"2025-{month:02}", account.RHO_A_MONTH, at=host.clock.now(), details={})
    assert account.budget(host).by_year["2025"] == pytest.approx(account.RHO_A_YEAR)
    with pytest.raises(BudgetExhausted):
        account.charge(host, "2025-quarter", account.RHO_A_MONTH, at=host.clock.now(), details={})


def test_the_lifetime_has_a_limit_of_its_own(host):
    for year in range(2015, 2020):
        account.charge(host, f"{year}-01", account.RHO_A_YEAR, at=host.clock.now(), details={})
    with pytest.raises(BudgetExhausted, match="lifetime"):
        account.charge(host, "2020-01", account.RHO_A_YEAR, at=host.clock.now(), details={})


@pytest.mark.parametrize("period", ["2026-11", "2026-12", "2027-01"])
def test_a_month_that_is_not_over_is_not_released(host, period):
    with pytest.raises(PeriodNotOver):
        releasing.release(host, period)
    assert account.budget(host).entries == ()


def test_a_month_begins_and_ends_as_the_city_counts():
    start, end = releasing.month("2026-10")
    assert (start.isoformat(), end.isoformat()) == ("2026-09-30T22:00:00+00:00", "2026-10-31T23:00:00+00:00")
    assert releasing.month("2026-12")[1].isoformat() == "2026-12-31T23:00:00+00:00"


@pytest.mark.parametrize("period", ["2026", "2026-13", "2026-1", "october", "2026-10-01", "2026-10\n", ""])
def test_what_is_no_month_is_refused(host, period):
    with pytest.raises(PeriodMalformed):
        releasing.release(host, period)


def test_the_database_keeps_no_exact_sum(host, a_full_city):
    releasing.release(host, OCTOBER)
    exact = bounding.tabulate(releasing._participants(host, OCTOBER, host.clock.now()))
    with host.storage.read() as tx:
        (summary,) = tx.one("SELECT summary FROM research_release")
        (entry,) = tx.one("SELECT content FROM privacy_budget_entry")
    for number in {*exact.counts, *exact.sums} - {0}:
        assert str(number).encode() not in bytes(summary) + bytes(entry)
