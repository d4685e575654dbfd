"""The running city: provision a data folder once, start the host and the partners' simulators, and keep them running.

The story, in order: 1. settings and ports; 2. partners, citizens and neighbours are enrolled; 3. the host's processes
start; 4. the simulators start; 5. the citizens answer the partners' consent questions on the pages; 6. the partners
deliver a year of history through the bridge; 7. live deliveries begin. A second start finds what is done and goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import httpx

from pod_server.clock import SystemClock
from tvilling.app import create_host
from tvilling.at_home import AGENT, MeterPrograms, bring_files, pipes
from tvilling.city.simulators.register import ASKED
from tvilling.city.simulators.sources import SOURCES
from tvilling.city.simulators.sources import City as Streets
from tvilling.city.visitor import Visitor
from tvilling.data_folder import migrate_data_folder
from tvilling.enrolment import OWN_NAME, DemoState, address_of, enrol
from tvilling.errors import JourneyError, ProcessError
from tvilling.partners_of_the_city import PARTNERS, own_key
from tvilling.ports import free_port
from tvilling.serve import Processes, stop_on_signals
from tvilling.settings import DemoRun, Listen, ScaledTime, Settings

_SIMULATORS_START_WITHIN_SECONDS = 60
"""A second or two, but on a small machine the host's three processes start beside them."""


def demo_settings(data: Path, listen: Listen, live_listen: Listen, speed: float, state: DemoState) -> Settings:
    """The settings of a demo host: loopback only, the city's time scaled from where it stood."""
    now = SystemClock().now()
    control = f"http://127.0.0.1:{state.control_port}"
    return Settings(
        data_folder=str(data),
        base_url=listen.origin,
        live_url=live_listen.origin,
        listen=listen,
        live_listen=live_listen,
        allow_outbound=(control,),
        time=ScaledTime(city_anchor=state.city_time or now.isoformat(), real_anchor=now.isoformat(), speed=speed),
        demo=DemoRun(control_url=control, control_token=state.control_token, handle="kari"),
    )


@dataclass
class City:
    """A running demo city."""

    settings: Settings
    state: DemoState
    processes: Processes
    simulators: subprocess.Popen[bytes] | None = None
    faults: Sequence[str] = ()
    programs: MeterPrograms = field(default_factory=MeterPrograms)

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.settings.data

    @property
    def control(self) -> httpx.Client:
        """A client of the simulators' control door."""
        assert self.settings.demo is not None
        return httpx.Client(
            base_url=self.settings.demo.control_url,
            headers={"Authorization": f"Bearer {self.settings.demo.control_token}"},
            timeout=120.0,
        )

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Ask the simulators to do something.

        Raises:
            JourneyError: they did not.
        """
        with self.control as client:
            answer = client.post(path, json=body)
        if answer.status_code != 200:
            raise JourneyError(f"the simulators answered {answer.status_code} to {path}: {answer.text[:300]}")
        return answer.json()

    def get(self, path: str) -> Any:
        """Ask the simulators what they saw.

        Raises:
            JourneyError: they did not tell.
        """
        with self.control as client:
            answer = client.get(path)
        if answer.status_code != 200:
            raise JourneyError(f"the simulators answered {answer.status_code} to {path}")
        return answer.json()

    def remember_time(self) -> None:
        """Keep the city's time for the next start."""
        self.state.city_time = self.settings.clock().now().isoformat()
        self.state.save(self.data)

    def stop(self) -> None:
        """End everything, the simulators first so that no delivery meets a closed door."""
        self.remember_time()
        self.programs.stop()
        if self.simulators is not None and self.simulators.poll() is None:
            self.simulators.terminate()
            try:
                self.simulators.wait(5)
            except subprocess.TimeoutExpired:
                self.simulators.kill()
                self.simulators.wait()
        self.processes.stop()


def write_simulator_config(city: City) -> Path:
    """What the simulators are told: addresses, keys, the clock, and who consented to what."""
    settings, state = city.settings, city.state
    assert settings.time is not None
    partners = {}
    for each in PARTNERS:
        path, _ = own_key(city.data / "simulators", each.slug)
        door = f"http://127.0.0.1:{state.control_port}/partners/{each.slug}"
        partners[each.slug] = {
            "client_id": state.client_ids[each.slug],
            "name": each.name,
            "key_file": str(path),
            "redirect_uri": f"{door}/callback",
            "webhook": f"{door}/webhook",
        }
    config = {
        "base_url": settings.base_url,
        "control": {"host": "127.0.0.1", "port": state.control_port, "token": state.control_token},
        "seed": state.seed,
        "clock": asdict(settings.time),
        "state_file": str(city.data / "simulators" / "state.json"),
        "partners": partners,
        "citizens": [{"handle": handle, "grants": {}} for handle in state.passphrases],
        "asked": {
            slug: {
                "issuer": address_of(state, slug),
                "client_id": OWN_NAME,
                "secret": state.secret(slug),
                "redirect_uri": f"{settings.base_url}/-/sources/{slug}/back",
                "calls": f"{settings.base_url}/bridge/webhooks/{slug}" if each.webhook else "",
                "webhook_secret": state.secret(f"{slug}/calls") if each.webhook == "signed" else "",
            }
            for slug, each in ASKED.items()
        },
        "han": pipes(city.data / "simulators", list(state.passphrases)),
        "neighbours": [{"handle": handle, "grants": held} for handle, held in state.neighbour_grants.items()],
    }
    path = city.data / "simulators" / "config.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
    return path


def start_simulators(city: City) -> None:
    """Start the partners' simulators and wait until their control door answers.

    Raises:
        ProcessError: it did not.
    """
    config = write_simulator_config(city)
    city.simulators = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "tvilling.city.simulator", "--config", str(config)],
        env=city.processes.lifeline.environment(),
        pass_fds=(city.processes.lifeline.reading,),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    assert city.settings.demo is not None
    deadline = time.monotonic() + _SIMULATORS_START_WITHIN_SECONDS
    while time.monotonic() < deadline:
        if city.simulators.poll() is not None:
            raise ProcessError(f"the simulators ended at once (code {city.simulators.returncode})")
        try:
            if httpx.get(f"{city.settings.demo.control_url}/healthz", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise ProcessError(f"the simulators did not answer within {_SIMULATORS_START_WITHIN_SECONDS} seconds")


def ask_and_consent(city: City, handle: str, visitor: Visitor) -> None:
    """Let every partner that delivers ask one citizen, who says yes on the consent page."""
    for each in PARTNERS:
        mark = f"{handle}/{each.slug}"
        if mark in city.state.consented or not SOURCES[each.slug].asks(handle, list(city.state.passphrases)):
            continue
        asked = city.post("/control/ask", {"partner": each.slug, "handle": handle})
        back = visitor.give_consent(asked["authorize_url"])
        answer = httpx.get(back, timeout=20)
        if answer.status_code >= 400:
            raise JourneyError(f"{each.name} could not take {handle}'s answer: {answer.status_code}")
        city.state.consented.append(mark)
        city.state.save(city.data)


def connect_sources(city: City, handle: str, visitor: Visitor) -> None:
    """Let one citizen connect the sources that have them as a customer."""
    for each in ASKED.values():
        mark = f"{handle}/{each.slug}"
        if mark in city.state.consented or handle not in each.whose(list(city.state.passphrases)):
            continue
        if each.channel == "calculation":
            visitor.agree_to_calculation(each.slug)
        elif each.channel == "token":
            visitor.paste_token(each.slug, f"{address_of(city.state, each.slug)}/token")
        else:
            visitor.connect_source(each.slug)
        city.state.consented.append(mark)
        city.state.save(city.data)


def wanted_of(handle: str, handles: Sequence[str]) -> set[str]:
    """Which partners and sources one of the citizens says yes to."""
    return {f"{handle}/{slug}" for slug, each in SOURCES.items() if each.asks(handle, handles)} | {
        f"{handle}/{slug}" for slug, each in ASKED.items() if handle in each.whose(handles)
    }


@contextmanager
def running_city(
    data: Path,
    *,
    listen: Listen,
    live_listen: Listen,
    citizens: int = 4,
    neighbours: int = 600,
    speed: float = 60.0,
    say: Callable[[str], None],
    database_url: str | None = None,
    keys_url: str | None = None,
    faults: Sequence[str] = (),
) -> Iterator[City]:
    """Bring the city up, hand it over, and end it cleanly.

    Raises:
        ProcessError: a process did not start.
        JourneyError: a step of the story failed.
    """
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    state = DemoState.load(data)
    if state is None:
        state = DemoState(
            control_port=free_port(),
            control_token=token_urlsafe(24),
            seed=20261123,
            live_citizens=citizens,
            neighbours=neighbours,
        )
        state.save(data)
    settings = replace(
        demo_settings(data, listen, live_listen, speed, state), database_url=database_url, keys_url=keys_url
    )
    migrate_data_folder(settings)
    host = create_host(settings)
    with closing(host.storage):
        enrol(host, state, data, say)
    city = City(settings, state, Processes(settings), faults=faults)
    try:
        say("Starting web, live and agent …")
        city.processes.start()
        city.processes.wait_until_ready()
        start_simulators(city)
        for handle, passphrase in state.passphrases.items():
            if wanted_of(handle, list(state.passphrases)) <= set(state.consented):
                continue
            say(f"{handle.capitalize()} reads what the partners ask for, and says yes …")
            with Visitor(settings.base_url, handle) as visitor:
                visitor.sign_in(passphrase)
                ask_and_consent(city, handle, visitor)
                connect_sources(city, handle, visitor)
        handles = list(state.passphrases)
        held = {handle: grants[AGENT] for handle, grants in city.get("/control/grants").items() if AGENT in grants}
        city.programs.start(settings, state.client_ids[AGENT], held, handles, city.processes.lifeline)
        if state.brought is None:
            say("Files from the pages of Elhub and the bank are brought …")
            began = datetime.fromisoformat(city.get("/control/began"))
            state.brought = bring_files(settings, Streets(state.seed, began, {}), handles)
            state.save(data)
        for order in city.faults:
            city.post("/control/faults", {"order": order})
        if not state.history_delivered:
            say("The partners deliver the history, by OAuth, through the bridge …")
            city.post("/control/history", {"handles": None})
            state.history_delivered = True
            state.save(data)
        city.post("/control/live", {"on": True})
        yield city
    finally:
        city.stop()


def sign_in_link(city: City, handle: str) -> str:
    """A one-use link that signs a citizen in, on this machine only."""
    from pod_server.authentication.accounts import create_sign_in_link  # noqa: PLC0415
    from pod_server.opening import find_pod  # noqa: PLC0415

    host = create_host(city.settings)
    with closing(host.storage):
        with host.storage.read() as tx:
            pod = find_pod(tx, handle)
        return city.settings.base_url + create_sign_in_link(host, pod.pod_id)


def faults_link(city: City) -> str:
    """The simulators' own page of switches, on this machine only."""
    return f"http://127.0.0.1:{city.state.control_port}/faults?key={city.state.control_token}"


def run_demo(
    data: Path,
    *,
    listen: Listen,
    live_listen: Listen,
    citizens: int,
    neighbours: int,
    speed: float,
    say: Callable[[str], None],
    database_url: str | None = None,
    keys_url: str | None = None,
    faults: Sequence[str] = (),
) -> None:
    """Run the city until Ctrl-C."""
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
        say(
            f"\nThe city is running, {speed:g} times faster than yours.\n\n"
            f"  Open    {sign_in_link(city, 'kari')}\n\n"
            "  The link signs Kari in, once, on this machine. Try: boil the kettle, buy minced beef, take the bus,\n"
            "  withdraw the consent and watch the next delivery refused; then the tram pass under “Tvilling”.\n"
            f"  Others sign in at {city.settings.base_url}/-/sign-in:\n"
            + "".join(f"    {handle}  {phrase}\n" for handle, phrase in city.state.passphrases.items())
            + f"\n  What goes wrong at partners and sources, to look at and to turn:\n    {faults_link(city)}\n"
            + "\nCtrl-C ends everything; a second start goes on from the same data."
        )
        while not stop.wait(0.5):
            city.processes.watch_once()
            city.remember_time()
        say("Ending …")
