"""Pods that the agent takes in by one commit: the same figures as one by one, and nobody's trouble is the others'."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs
from twin_activities import trip
from twin_citizen import Citizen

from pod_server import feed, pods, turning_the_twin
from pod_server.identifiers import Actor
from pod_server.storage.errors import StorageBusy, StorageFull
from pod_server.vault.errors import KeyStoreFull
from pod_server.vault.key_derivation import Argon2Cost, Passphrase
from twin_agent import pipeline, worker


@pytest.fixture
def neighbours(city):
    """Four citizens with something new each."""
    found = [Citizen(city, city.citizen(handle)) for handle in ("kari", "ola-1", "per", "siri")]
    found[0].think()
    for each in found:
        each.deliver("AtB", trip("t", city.clock.now().replace(hour=8), 5.0))
    return found


def travelled(citizen: Citizen) -> float:
    (month,) = citizen.figures()["months"].values()
    return month["travel"][1]


def test_all_of_them_are_taken_in_by_one_commit(neighbours, monkeypatch) -> None:
    host, commits = neighbours[0].host, []
    write = host.storage.write
    monkeypatch.setattr(host.storage, "write", lambda **options: commits.append(1) or write(**options))
    assert worker.work_once(host) == 4
    assert len(commits) == 2  # the claim, and the figures of all
    amounts = [travelled(each) for each in neighbours]
    assert amounts[0] > 0
    assert len(set(amounts)) == 1
    assert worker.work_once(host) == 0


def test_who_is_locked_or_turned_off_or_was_taken_in_meanwhile_is_left_out(neighbours, monkeypatch) -> None:
    kari, off, locked, taken = neighbours
    host = kari.host
    turning_the_twin.turn(host, off.pod_id, on=False, actor=Actor("citizen"))
    pods.lock_pod(host, locked.made.vault, Passphrase("a long passphrase"), cost=Argon2Cost(64, 1, 1))
    work_out = pipeline._work_out

    def and_another_worker_was_first(host, own, news, *more):
        work = work_out(host, own, news, *more)
        if own.pod_id == taken.pod_id:
            with host.storage.write() as tx:
                feed.advance(tx, own.pod_id, news.upto, after=news.cursor)
        return work

    monkeypatch.setattr(pipeline, "_work_out", and_another_worker_was_first)
    done = pipeline.process_pods(host, [each.pod_id for each in neighbours])
    assert done == {kari.pod_id}
    assert travelled(kari) > 0


def test_where_anything_goes_wrong_nothing_is_written_and_each_is_taken_in_alone(neighbours, monkeypatch) -> None:
    host, write = neighbours[0].host, pipeline._write

    def fails_for_per(tx, work):
        if work.own.pod_id == neighbours[2].pod_id:
            raise ArithmeticError
        return write(tx, work)

    monkeypatch.setattr(pipeline, "_write", fails_for_per)
    with pytest.raises(pipeline.TogetherFailed):
        pipeline.process_pods(host, [each.pod_id for each in neighbours])
    with host.storage.read() as tx:
        assert all(feed.position(tx, each.pod_id)[0] < feed.position(tx, each.pod_id)[1] for each in neighbours)
    worker.work_once(host)
    with host.storage.read() as tx:
        behind = [each for each in neighbours if feed.position(tx, each.pod_id)[0] < feed.position(tx, each.pod_id)[1]]
    assert behind == [neighbours[2]]
    assert all(travelled(each) > 0 for each in neighbours if each is not neighbours[2])


def behind(neighbours: list[Citizen]) -> list[Citizen]:
    with neighbours[0].host.storage.read() as tx:
        ends = [(each, feed.position(tx, each.pod_id)) for each in neighbours]
    return [each for each, (cursor, head) in ends if cursor < head]


def test_a_pod_that_cannot_be_worked_out_holds_up_nobody_and_is_told_of_without_its_contents(
    neighbours, monkeypatch
) -> None:
    host, per, commits = neighbours[0].host, neighbours[2], []
    work_out, write = pipeline._work_out, host.storage.write

    def breaks_for_per(host, own, news, *more):
        if own.pod_id == per.pod_id:
            raise ValueError("Per bought insulin")
        return work_out(host, own, news, *more)

    monkeypatch.setattr(pipeline, "_work_out", breaks_for_per)
    monkeypatch.setattr(host.storage, "write", lambda **options: commits.append(1) or write(**options))
    with capture_logs() as told:
        assert worker.work_once(host) == 4
    assert len(commits) == 2  # the claim, and the three others together still
    assert behind(neighbours) == [per]
    (line,) = (each for each in told if each["log_level"] != "info")
    assert (line["event"], line["log_level"], line["pod"]) == ("agent.pod_failed", "error", per.pod_id)
    assert line["kind"] == "ValueError"
    assert line["at"].startswith("test_taken_in_together.py:")
    assert "insulin" not in str(line)
    assert "exc_info" not in line


@pytest.mark.parametrize("trouble", [StorageFull, StorageBusy, KeyStoreFull])
def test_the_storages_trouble_is_no_pods_and_all_claims_are_given_back(neighbours, monkeypatch, trouble) -> None:
    host = neighbours[0].host

    def refuses(tx, work, **_options):
        raise trouble

    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "_write", refuses)
        with capture_logs() as told, pytest.raises(trouble):
            worker.work_once(host)
    assert told == []  # the loop tells of it, once
    assert behind(neighbours) == neighbours
    assert worker.work_once(host) == 4  # at once: no claim holds them off
    assert behind(neighbours) == []
