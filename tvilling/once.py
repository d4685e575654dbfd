"""The whole job once, unattended: what each client saw over HTTP, as one JSON object.

Nothing here asks the server's insides: citizens act on their pages, partners tell what they offered and were answered,
researchers query the endpoint, and the operator uses the command line.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tvilling.city.simulators.register import ASKED
from tvilling.city.solid_script import count_activities
from tvilling.city.visitor import EventStream, Visitor
from tvilling.demo import City, running_city
from tvilling.errors import JourneyError
from tvilling.serve import stop_on_signals

if TYPE_CHECKING:
    from tvilling.settings import Listen

AGREEMENT = 1e-6
"""How far the running sums and the full recompute may differ, relative to the sum."""

_OBSERVATIONS = """
PREFIX qb: <http://purl.org/linked-data/cube#>
SELECT (COUNT(?observation) AS ?count) WHERE { ?observation a qb:Observation }
"""


@dataclass
class Report:
    """What was seen, and what of it does not hold."""

    values: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def require(self, holds: bool, sentence: str) -> None:
        """Write down a sentence that should hold and does not."""
        if not holds:
            self.failures.append(sentence)


def command(city: City, *arguments: str) -> Any:
    """Run a `tvilling` command on the city's data, as its operator would, and read its JSON answer.

    Raises:
        JourneyError: it exited with an error.
    """
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "tvilling", *arguments, "--data", str(city.data), "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode != 0:
        raise JourneyError(f"`tvilling {' '.join(arguments[:2])}` failed: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


def wait_until(condition: Callable[[], bool], timeout_seconds: float, sentence: str) -> None:
    """Wait for something to become true.

    Raises:
        JourneyError: it did not in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise JourneyError(sentence)
        time.sleep(0.1)


def totals(months: dict[str, dict[str, list[float]]]) -> dict[str, list[float]]:
    """Sum months of figures to category → [low, mean, high] in kg."""
    sums: dict[str, list[float]] = {}
    for categories in months.values():
        for category, interval in categories.items():
            kept = sums.setdefault(category, [0.0, 0.0, 0.0])
            for index in range(3):
                kept[index] += interval[index]
    return sums


def agree(one: dict[str, list[float]], other: dict[str, list[float]]) -> bool:
    """Whether two sums are the same, but for floating point's last digits."""
    return one.keys() == other.keys() and all(
        abs(left - right) <= AGREEMENT * max(1.0, abs(left), abs(right))
        for category in one
        for left, right in zip(one[category], other[category], strict=True)
    )


@dataclass
class Journey:
    """One unattended run on a running city."""

    city: City
    report: Report
    say: Callable[[str], None]
    visitors: dict[str, Visitor] = field(default_factory=dict)
    streams: list[EventStream] = field(default_factory=list)

    def run(self) -> None:
        """The steps in the order in which a newcomer would take them."""
        self.sign_everybody_in()
        self.watch_it_move()
        self.withdraw_and_be_refused()
        self.end_and_renew_the_integrators_leave()
        self.approve_the_tram_pass()
        self.ask_for_a_second_opinion()
        self.walk_in_a_challenge()
        self.check_the_figures()
        self.verify_the_logs()
        self.release_and_query()
        self.count()

    def close(self) -> None:
        """Close streams and sessions."""
        for stream in self.streams:
            stream.close()
        for visitor in self.visitors.values():
            visitor.close()

    def sign_everybody_in(self) -> None:
        """The citizens sign in and open their live streams."""
        for handle, passphrase in self.city.state.passphrases.items():
            visitor = Visitor(self.city.settings.base_url, handle)
            visitor.sign_in(passphrase)
            self.visitors[handle] = visitor
            self.streams.append(visitor.listen())

    def watch_it_move(self) -> None:
        """Kettle, minced beef and bus: each must reach Kari's page as an event."""
        self.say("Kari boils the kettle, buys minced beef and takes the bus …")
        stream = self.streams[0]
        for act in ("kettle", "beef", "bus"):
            before = stream.count("twin")
            self.city.post(f"/control/{act}", {"handle": "kari"})
            arrived = stream.wait_for("twin", before, 15)
            self.report.require(arrived, f"no live event came within 15 seconds of: {act}")

    def withdraw_and_be_refused(self) -> None:
        """Kari withdraws Rema 1000's consent; its next delivery, token still fresh, must be refused."""
        self.say("Kari withdraws the consent to Rema 1000; Rema tries once more …")
        before = self.city.post("/control/attempt", {"partner": "rema1000", "handle": "kari"})
        self.report.require(before["status"] == "accepted", "a delivery before the withdrawal was not accepted")
        grants = self.city.get("/control/grants")
        self.visitors["kari"].withdraw(grants["kari"]["rema1000"])
        refused = 0
        for _ in range(3):
            answer = self.city.post("/control/attempt", {"partner": "rema1000", "handle": "kari"})
            problem = answer.get("problem") or {}
            if answer["status"] == "refused" and str(problem.get("type", "")).endswith("/consent-withdrawn"):
                refused += 1
        self.report.values["refused_after_withdrawal"] = refused
        self.report.require(refused == 3, "a delivery after the withdrawal was not refused as consent-withdrawn")
        other = self.city.post("/control/attempt", {"partner": "atb", "handle": "kari"})
        self.report.require(other["status"] == "accepted", "a withdrawal from one partner stopped another")

    def end_and_renew_the_integrators_leave(self) -> None:
        """Evry delivers for the card company; its leave is ended and given again, and the consent stands all the while."""
        self.say("Evry delivers for SpareBank 1 Kort; the leave to do so is ended, and given again …")
        ids = self.city.state.client_ids
        told: list[str] = []

        def attempt() -> None:
            told.append(str(self.city.post("/control/attempt", {"partner": "kort", "handle": "kari"})["status"]))

        attempt()
        command(self.city, "partner", "end-acting", ids["evry"], "--for", ids["kort"])
        attempt()
        command(self.city, "partner", "let-act", ids["evry"], "--for", ids["kort"])
        attempt()
        taken = [status in {"accepted", "duplicate"} for status in told]
        self.report.values["integrator"] = {"delivers": "evry", "for": "kort", "taken": taken}
        self.report.require(taken == [True, False, True], f"around the integrator's leave the answers were {told}")

    def approve_the_tram_pass(self) -> None:
        """The twin's one proposal: nothing leaves before the yes, one verified claim after it, and its answer on the page."""
        self.say("The twin proposes the tram pass; Kari approves …")
        kari = self.visitors["kari"]
        wait_until(lambda: bool(kari.proposals()), 60, "the twin proposed nothing to Kari")
        self.report.require(not self.city.get("/control/claims"), "a claim left before anybody approved it")
        kari.approve(kari.proposals()[0])
        wait_until(lambda: bool(self.city.get("/control/claims")), 30, "the municipality received no claim")
        wait_until(lambda: "TK-" in kari.page("/-/offers"), 30, "Kari was not told that the tram pass was granted")
        claims = self.city.get("/control/claims")
        self.report.values["claims"] = len(claims)
        self.report.require(len(claims) == 1, f"one claim was approved, {len(claims)} arrived")
        offered = kari.json("/vocab/offers.jsonld")["@graph"]
        self.report.values["offers"] = sorted(each["slug"] for each in offered)
        self.report.require(len(offered) > 1, "the municipality's offers are not published")

    def ask_for_a_second_opinion(self) -> None:
        """Kari sends last month's coarse sums to Ducky, once; after she withdraws, nothing more goes there."""
        self.say("Kari asks Ducky for a second opinion on last month's spending, and withdraws …")
        kari = self.visitors["kari"]
        wait_until(
            lambda: kari.calculation_to_send("ducky") is not None, 60, "there is no sum for Ducky to reckon with"
        )
        form = kari.calculation_to_send("ducky")
        assert form is not None
        sent = kari.send_for_calculation(form)
        kept, before = kari.answers_kept(), self._reckoned()
        kari.withdraw_calculation("ducky")
        after = kari.send_for_calculation(form)
        self.report.values["second_opinion"] = {"service": "ducky", "sums": before, "kept": kept}
        self.report.require(sent == 303 and kept == 1, f"Ducky's answer was not kept (status {sent}, {kept} kept)")
        self.report.require(before > 0, "Ducky reckoned with nothing")
        self.report.require(after == 403, f"a sending after the withdrawal was answered {after}")
        self.report.require(self._reckoned() == before, "something went to Ducky after the withdrawal")

    def walk_in_a_challenge(self) -> None:
        """Kari joins Ducky's challenge under a name of its own, tells how far she is, and leaves."""
        self.say("Kari joins a team challenge, tells how far she is, and leaves …")
        kari = self.visitors["kari"]
        pressed = {act: kari.press_challenge(act) for act in ("join", "tell", "leave")}
        self.report.values["challenge"] = pressed
        self.report.require(set(pressed.values()) == {303}, f"the challenge's buttons were answered {pressed}")

    def _reckoned(self) -> int:
        told = self.city.get("/control/sources")
        return sum(each["served"] for each in told if each["slug"] == "ducky")

    def check_the_figures(self) -> None:
        """Running sums and full recompute, for each citizen with a page."""
        self.say("Every figure is computed once more from the raw activities, by SPARQL …")
        self.city.post("/control/live", {"on": False})
        self.report.values["meter_programs"] = self.city.programs.finish()
        figures: dict[str, dict[str, list[float]]] = {}
        recomputed: dict[str, dict[str, list[float]]] = {}

        def settled(handle: str) -> bool:
            visitor = self.visitors[handle]
            figures[handle] = totals(visitor.json("/-/figures.json")["months"])
            recomputed[handle] = totals(visitor.json("/-/recompute.json")["months"])
            return agree(figures[handle], recomputed[handle])

        def compare(handle: str) -> None:
            # The twin may still be a segment behind when the deliveries stop.
            with contextlib.suppress(JourneyError):
                wait_until(lambda: settled(handle), 20, "the sums do not settle")

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(compare, self.visitors))
        for handle in self.visitors:
            self.report.require(
                agree(figures[handle], recomputed[handle]), f"the recompute of {handle}'s footprint differs"
            )
            self.report.require(bool(figures[handle]), f"{handle} has no footprint")
        self.report.values["footprint_kg"] = _rounded(figures)
        self.report.values["recomputed_kg"] = _rounded(recomputed)

    def verify_the_logs(self) -> None:
        """Each citizen downloads the log, which is then verified without the server."""
        verified = True
        with tempfile.TemporaryDirectory() as folder:
            for handle, visitor in self.visitors.items():
                path = Path(folder) / f"{handle}.json"
                path.write_text(json.dumps(visitor.json("/-/log.json")))
                try:
                    verified = verified and command(self.city, "log", "verify", str(path))["size"] > 0
                except JourneyError as error:
                    verified = False
                    self.report.failures.append(f"{handle}'s log does not verify: {error}")
        self.report.values["log_verified"] = verified

    def release_and_query(self) -> None:
        """A release of the last whole month, and one researcher's query over it alone."""
        self.say("A month's figures are released with noise, and a researcher queries them …")
        now = self.city.settings.clock().now()
        period = f"{now.replace(day=1) - timedelta(days=1):%Y-%m}"
        made = command(self.city, "research", "release", "--period", period)
        expires = f"{now + timedelta(days=30):%Y-%m-%d}"
        token = command(
            self.city, "research", "invite", "Demo", "--purpose", "footprint by district", "--expires", expires
        )
        endpoint = f"{self.city.settings.base_url}/research/sparql"
        stranger = httpx.get(endpoint, params={"query": _OBSERVATIONS})
        self.report.require(stranger.status_code == 401, "the research endpoint answered a stranger")
        answer = httpx.get(
            endpoint,
            params={"query": _OBSERVATIONS},
            headers={"Authorization": f"Bearer {token['token']}", "Accept": "application/sparql-results+json"},
            timeout=30,
        )
        seen = -1
        if answer.status_code == 200:
            seen = int(answer.json()["results"]["bindings"][0]["count"]["value"])
        self.report.values["release"] = {
            "period": made["period"],
            "rho": made["rho"],
            "observations": seen,
            "suppressed": made["suppressed"],
        }
        self.report.require(seen > 0, "the researcher saw no observation")
        self.report.require(
            seen == made["observations"], f"{made['observations']} observations were released, a query saw {seen}"
        )

    def count(self) -> None:
        """Citizens by their WebIDs, activities by what the doors answered and what a script of each citizen counts."""
        base_url = self.city.settings.base_url
        handles = [*self.city.state.passphrases, *self.city.state.neighbour_grants]

        with httpx.Client(timeout=20) as client, ThreadPoolExecutor(4) as pool:

            def present(handle: str) -> bool:
                return client.get(f"{base_url}/{handle}/profile/card", headers={"Accept": "text/turtle"}).is_success

            citizens = sum(pool.map(present, handles))
        self.report.values["citizens"] = citizens
        self.report.require(citizens == len(handles), "a citizen's WebID does not answer")
        partners = self.city.get("/control/statistics")["partners"]
        self.report.values["partners"] = partners
        for partner in partners:
            told = partner["accepted"] + partner["duplicates"] + partner["refused"]
            self.report.require(told == partner["offered"], f"{partner['name']} did not get one answer for each record")
        by_handle = self.city.get("/control/accepted")
        at_home = self.told_at_home()
        stored = 0
        for handle in self.visitors:
            credentials = command(self.city, "citizen", "credentials", handle)
            counted = (0, -1)

            def agrees(handle: str = handle, credentials: dict[str, Any] = credentials) -> bool:
                # Sources go on being asked: what they told last may be on its way.
                nonlocal counted
                pulled = sum(each["by_handle"].get(handle, 0) for each in self.city.get("/control/sources"))
                told = by_handle.get(handle, 0) + pulled + at_home.get(handle, 0)
                counted = count_activities(base_url, handle, credentials), told
                return counted[0] == counted[1]

            with contextlib.suppress(JourneyError):
                wait_until(agrees, 20, "the pod and what was told differ")
            seen, told = counted
            self.report.require(
                seen == told, f"{handle}'s pod shows {seen} activities, partners and sources told {told}"
            )
            stored += seen
        self.check_the_sources()
        stored += sum(number for handle, number in by_handle.items() if handle not in self.visitors)
        self.report.values["activities_stored"] = stored
        self.report.require(stored > 0, "nothing is stored")
        self.report.values["live_events_seen"] = sum(stream.count("twin") for stream in self.streams)
        self.report.require(self.report.values["live_events_seen"] > 0, "no live event was seen")

    def told_at_home(self) -> dict[str, int]:
        """How many records of each citizen came from the house itself: the program at the meter, and files."""
        told = dict(self.city.state.brought or {})
        self.report.values["files"] = dict(told)
        self.report.require(bool(told), "no file was brought")
        for handle, said in self.report.values["meter_programs"].items():
            told[handle] = told.get(handle, 0) + said["delivered"]
            self.report.require(said["delivered"] > 0, f"the program at {handle}'s meter delivered nothing")
            self.report.require(
                not said["refused"], f"the program at {handle}'s meter was refused {said['refused']} minutes"
            )
        self.report.require(bool(self.report.values["meter_programs"]), "no program ran at a meter")
        return told

    def check_the_sources(self) -> None:
        """Everybody who is asked is connected by all of their customers, and was asked by the house."""
        told = self.city.get("/control/sources")
        hidden = ("by_handle",)
        self.report.values["sources"] = [
            {name: value for name, value in each.items() if name not in hidden} for each in told
        ]
        for each in told:
            customers = ASKED[each["slug"]].whose(list(self.visitors))
            told_of_nobody = ASKED[each["slug"]].channel == "calculation"
            connected = 0 if told_of_nobody else len(customers)
            self.report.require(each["connected"] == connected, f"{each['name']} is connected by {each['connected']}")
            self.report.require(each["served"] > 0, f"{each['name']} told nothing")
            calls = bool(ASKED[each["slug"]].webhook)
            self.report.require(bool(each["calls"]) == calls, f"{each['name']} called {each['calls']} times")
            if ASKED[each["slug"]].webhook == "ping":
                self.report.require(each["fetched"] > 0, f"no address in the pings of {each['name']} was fetched")


def _rounded(figures: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, list[float]]]:
    return {
        handle: {category: [round(number, 6) for number in interval] for category, interval in categories.items()}
        for handle, categories in figures.items()
    }


FIELDS = (
    "citizens",
    "base_url",
    "data",
    "partners",
    "sources",
    "meter_programs",
    "files",
    "activities_stored",
    "footprint_kg",
    "recomputed_kg",
    "refused_after_withdrawal",
    "integrator",
    "live_events_seen",
    "claims",
    "second_opinion",
    "challenge",
    "offers",
    "release",
    "log_verified",
    "seconds",
)


def run_once(
    data: Path,
    *,
    listen: Listen,
    live_listen: Listen,
    citizens: int,
    neighbours: int,
    speed: float,
    say: Callable[[str], None],
    tell: Callable[[dict[str, Any]], None],
    keep: bool,
    database_url: str | None = None,
    keys_url: str | None = None,
    faults: Sequence[str] = (),
) -> Report:
    """Run the city and the journey; tell the report; with `keep`, wait for Ctrl-C before ending."""
    began = time.monotonic()
    report = Report()
    stop = stop_on_signals()
    with running_city(
        data,
        listen=listen,
        live_listen=live_listen,
        citizens=citizens,
        neighbours=neighbours,
        speed=speed,
        say=say,
        database_url=database_url,
        keys_url=keys_url,
        faults=faults,
    ) as city:
        journey = Journey(city, report, say)
        try:
            journey.run()
        except (JourneyError, httpx.HTTPError) as error:
            report.failures.append(str(error) or type(error).__name__)
        finally:
            journey.close()
        report.values["base_url"] = city.settings.base_url
        report.values["data"] = str(city.data)
        report.values["seconds"] = round(time.monotonic() - began, 1)
        for name in FIELDS:
            report.require(name in report.values, f"the journey did not get as far as: {name}")
        answer = {name: report.values.get(name) for name in FIELDS}
        if report.failures:
            answer["failures"] = report.failures
        tell(answer)
        if keep:
            say(f"The city goes on at {city.settings.base_url}; Ctrl-C ends it.")
            while not stop.wait(0.5):
                city.processes.watch_once()
    return report
