"""The authorization journey, tokens, decisions, and how soon a withdrawal is felt by a writer in another process.

    python benchmarks/authorization.py [--seconds 3] [--rounds 60] [--json]

The whole web application answers in this process; assertions and proofs are signed before the clock starts, so that what is
measured is the server's time. A withdrawal is timed from its call to the moment at which a process that writes without
pause under the same grant is refused; bulk writers of other grants stand beside it. On SQLite, and on PostgreSQL with a
server of its own over a Unix socket.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

import hosts
from deliveries import CITIZEN, add_partner, granted, permit_again, readings
from hosts import NOON, City, make_host
from machine import describe, percentile
from oauth_client import REDIRECT, PartnerClient
from postgresql_server import Databases, PostgresqlServer
from whole_house import whole_app

from consent.decision import Request, decide
from pod_server import grants
from pod_server.activities import Delivery, append
from pod_server.authentication.session import cookie_settings, create_session
from pod_server.clock import SetClock

CHILDREN = multiprocessing.get_context("fork")


def journeys(city: City, seconds: float) -> dict[str, float]:
    """Milliseconds of server time for each step of the journey, and for all of it."""
    host = city.host
    app = whole_app(host)
    kari = city.citizen("kari", name="Kari")
    browser = app.test_client()
    browser.set_cookie(cookie_settings(host).key, create_session(host, kari.vault.pod_id, kari.vault))
    partner = PartnerClient(host, name="Reisende AS")
    partner.client = app.test_client()
    steps: dict[str, list[float]] = {name: [] for name in ("par", "arrive", "page", "answer", "token")}
    whole: list[float] = []
    cpu: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(whole) < 20:
        spent: dict[str, float] = {}
        cpu.append(0.0)

        def timed(name: str, call: Any, spent: dict[str, float] = spent) -> Any:
            began, worked = time.perf_counter(), time.process_time()
            answer = call()
            spent[name] = (time.perf_counter() - began) * 1000
            cpu[-1] += (time.process_time() - worked) * 1000
            return answer

        form = {
            **partner.signed_in(), "client_id": partner.partner.client_id, "response_type": "code", "redirect_uri": REDIRECT,
            "code_challenge": partner.challenge(), "code_challenge_method": "S256", "state": "s", "dpop_jkt": partner.thumbprint,
            "authorization_details": partner.details(),
        }  # fmt: skip
        pushed = timed("par", lambda form=form: partner.client.post("/-/oauth/par", data=form))
        query = {"request_uri": pushed.json["request_uri"], "client_id": partner.partner.client_id}
        arrived = timed("arrive", lambda query=query: browser.get("/-/oauth/authorize", query_string=query))
        address = urlsplit(arrived.headers["Location"]).path
        page = timed("page", lambda address=address: browser.get(address, headers={"Accept": "text/html"})).text
        chosen = {
            name: re.search(rf'name="{name}" value="([^"]+)"', page)[1] for name in ("csrf", "granularity", "duration")
        }
        answers = {**chosen, "answer": "give", "kind": "electricity-reading"}
        back = timed("answer", lambda address=address, answers=answers: browser.post(address, data=answers))
        code = parse_qs(urlsplit(back.headers["Location"]).query)["code"][0]
        redeem = {
            **partner.signed_in(), "grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT,
            "code_verifier": partner.verifier,
        }  # fmt: skip
        proof = {"DPoP": partner.proof("POST", f"{host.base_url}/-/oauth/token")}
        token = timed(
            "token",
            lambda redeem=redeem, proof=proof: partner.client.post("/-/oauth/token", data=redeem, headers=proof),
        )
        assert token.status_code == 200, token.text
        for name, value in spent.items():
            steps[name].append(value)
        whole.append(sum(spent.values()))
    figures = {f"journey, {name}: ms, median": percentile(values, 0.5) for name, values in steps.items()}
    return figures | {
        "journey, PAR to token: ms, median": percentile(whole, 0.5),
        "journey, PAR to token: ms, p99": percentile(whole, 0.99),
        "journey, PAR to token: ms of processor time, median": percentile(cpu, 0.5),
    }


def _token_requests(place: Path, partner: PartnerClient, seconds: float, answers: Any, begin: Any) -> None:
    """One worker process: as many signed token requests as it answers in so many seconds; their signing is not counted."""
    host = replace(make_host(place, SetClock(partner.host.clock.now())), allow_insecure=True)
    partner.client = whole_app(host).test_client()
    address = f"{host.base_url}/-/oauth/token"
    form = {"grant_type": "client_credentials"}
    ready = [
        ({**form, **partner.signed_in()}, {"DPoP": partner.proof("POST", address)}) for _ in range(int(1000 * seconds))
    ]
    answers.put("ready")
    begin.wait()
    began, worked, done = time.perf_counter(), time.process_time(), 0
    for data, headers in ready:
        answer = partner.client.post("/-/oauth/token", data=data, headers=headers)
        assert answer.status_code == 200, answer.text
        done += 1
        if time.perf_counter() - began >= seconds:
            break
    answers.put((done / (time.perf_counter() - began), (time.process_time() - worked) / done * 1000))


def tokens(city: City, place: Path, seconds: float) -> dict[str, float]:
    """Token requests a second, with one worker process and with as many as the machine has cores."""
    figures = {}
    for workers in (1, os.cpu_count() or 1):
        partner = PartnerClient(city.host, name=f"Token {workers} AS")
        answers, begin = CHILDREN.Queue(), CHILDREN.Event()
        children = [
            CHILDREN.Process(target=_token_requests, args=(place, partner, seconds, answers, begin), daemon=True)
            for _ in range(workers)
        ]
        for child in children:
            child.start()
        for _ in children:
            assert answers.get(timeout=120) == "ready"
        begin.set()
        told = [answers.get(timeout=120) for _ in children]
        name = f"{workers} worker{'s' * (workers > 1)}"
        figures[f"token requests/s, {name}"] = sum(rate for rate, _ in told)
        figures[f"a token request: ms of processor time, {name}"] = sum(cpu for _, cpu in told) / len(told)
        for child in children:
            child.join()
    return figures


def decisions(city: City, seconds: float) -> dict[str, float]:
    """Microseconds a decision, with a grant as storage gives it."""
    given = granted(city.host, city.citizen("ola").vault.pod_id, name="Beslutt AS")
    grant = grants.find_grant(city.host, given.permit.pod_id, given.grant)
    now = city.host.clock.now()
    request = Request(
        given.partner.client_id, "append", "electricity-reading", now - timedelta(hours=2), now - timedelta(hours=1)
    )
    rounds, best = 20_000, float("inf")
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.process_time()
        for _ in range(rounds):
            decide(request, grant, now)
        best = min(best, (time.process_time() - began) / rounds * 1e6)
    return {"a decision: µs": best}


def _write_until_refused(place: Path, asked: Any, told: Any) -> None:
    """A process of the host's: writes under the grant it is given until it is refused, and tells when that was."""
    host = make_host(place, SetClock(NOON))
    number = 0
    while (given := asked.get()) is not None:
        partner, grant_id = given
        permit = permit_again(host, partner, grant_id)
        told.put("writing")
        while True:
            number += 1
            (outcome,) = append(host, [Delivery(permit, readings(number, 1))])
            if outcome.refusal is not None:
                told.put(time.monotonic())
                break


def _write_for_ever(place: Path, partner: Any, grant_id: str, base: int) -> None:
    """A neighbour: bulk writes without pause."""
    host = make_host(place, SetClock(NOON))
    permit = permit_again(host, partner, grant_id)
    while True:
        append(host, [Delivery(permit, readings(base, 200))])
        base += 200


def withdrawals(place: Path, rounds: int) -> list[float]:
    """Milliseconds from the call of a withdrawal to the refusal of another process that was writing under it."""
    host = make_host(place, SetClock(NOON))
    city = City(host, host.clock)
    partner = add_partner(host)
    pods = [city.citizen(f"citizen-{number}").vault.pod_id for number in range(4)]
    neighbours = [granted(host, pod_id, partner=partner) for pod_id in pods[2:]]
    asked, told = CHILDREN.Queue(), CHILDREN.Queue()
    children = [CHILDREN.Process(target=_write_until_refused, args=(place, asked, told), daemon=True)]
    children += [
        CHILDREN.Process(target=_write_for_ever, args=(place, partner, each.grant, 10_000_000 * (n + 1)), daemon=True)
        for n, each in enumerate(neighbours)
    ]
    for child in children:
        child.start()
    took = []
    for number in range(rounds):
        given = granted(host, pods[number % 2], partner=partner)
        asked.put((partner, given.grant))
        assert told.get(timeout=60) == "writing"
        time.sleep(0.02)
        began = time.monotonic()
        grants.withdraw(host, pods[number % 2], given.grant, actor=CITIZEN)
        took.append((told.get(timeout=60) - began) * 1000)
    asked.put(None)
    children[0].join(timeout=10)
    for child in children[1:]:
        child.kill()
        child.join()
    host.storage.close()
    host.key_store.close()
    return took


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    print(describe(), f"; load {os.getloadavg()[0]:.1f} before the run", sep="", file=sys.stderr)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "journey"
        host = replace(make_host(place, SetClock(NOON)), allow_insecure=True)
        city = City(host, host.clock)
        figures |= journeys(city, options.seconds)
        figures |= decisions(city, 1.0)
        figures |= tokens(city, place, options.seconds)
        host.storage.close()
        host.key_store.close()
        server = PostgresqlServer()
        databases = Databases(server)
        try:
            for engine in ("sqlite", "postgresql"):
                hosts.database_url_for = databases.url_for if engine == "postgresql" else lambda _folder: None
                took = withdrawals(Path(folder) / engine, options.rounds)
                figures[f"withdrawal to refusal in another process, {engine}: ms, median"] = percentile(took, 0.5)
                figures[f"withdrawal to refusal in another process, {engine}: ms, p99"] = percentile(took, 0.99)
        finally:
            server.stop()
    if options.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:70} {value:10.2f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
