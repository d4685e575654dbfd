"""The running city: provision a data folder once, start the host and the partners' simulators, and keep them running.

The story, in order: 1. settings and ports; 2. partners, citizens and neighbours are enrolled; 3. the host's processes
start; 4. the simulators start; 5. the citizens answer the partners' consent questions on the pages; 6. the partners
deliver a year of history through the bridge; 7. live deliveries begin. A second start finds what is done and goes on.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from pod_server.clock import SystemClock
from pod_server.identifiers import Actor
from tvilling.app import create_host
from tvilling.city.visitor import Visitor
from tvilling.data_folder import migrate_data_folder
from tvilling.errors import JourneyError, ProcessError, SettingsError
from tvilling.partners_of_the_city import PARTNERS, own_key
from tvilling.ports import free_port
from tvilling.serve import Processes, stop_on_signals
from tvilling.settings import DemoRun, Listen, ScaledTime, Settings

if TYPE_CHECKING:
    from consent.grant import GrantTerms
    from pod_server.host import Host
    from pod_server.pods import NewPod
    from tvilling.city.households import Household

STATE_FILE = "demo.json"
HISTORY = timedelta(days=3 * 366)
"""How far back the partners may deliver: waste is compared with the year before, month by whole month."""

_SIMULATORS_START_WITHIN_SECONDS = 60
"""A second or two, but on a small machine the host's three processes start beside them."""

BANK = "sparebank1-smn"
BANK_IS_ASKED_EVERY = timedelta(minutes=1)
"""Real time: an hour of the city's."""

RESEARCH_PURPOSE = "research-statistics"
ENROLMENT = Actor("operator-assisted")


@dataclass
class DemoState:
    """What a second start must know of the first; lies in the data folder, readable by its owner alone."""

    control_port: int
    control_token: str
    seed: int
    live_citizens: int
    neighbours: int
    passphrases: dict[str, str] = field(default_factory=dict)
    client_ids: dict[str, str] = field(default_factory=dict)
    neighbour_grants: dict[str, dict[str, str]] = field(default_factory=dict)
    consented: list[str] = field(default_factory=list)
    history_delivered: bool = False
    city_time: str | None = None
    bank_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @classmethod
    def load(cls, folder: Path) -> DemoState | None:
        """The state of an earlier start, or None."""
        path = folder / STATE_FILE
        if not path.exists():
            return None
        try:
            return cls(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise SettingsError(f"{path} is not this version's demo state; start with a new data folder") from error

    def save(self, folder: Path) -> None:
        """Write the state, whole or not at all."""
        fresh = folder / f"{STATE_FILE}.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file)
        fresh.replace(folder / STATE_FILE)


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
        if self.simulators is not None and self.simulators.poll() is None:
            self.simulators.terminate()
            try:
                self.simulators.wait(5)
            except subprocess.TimeoutExpired:
                self.simulators.kill()
                self.simulators.wait()
        self.processes.stop()


def enrol(host: Host, state: DemoState, data: Path, say: Callable[[str], None]) -> None:
    """Admit the partners, make the citizens' and neighbours' pods, and write down the neighbours' consents."""
    from pod_server.pods import create_pod, list_pods  # noqa: PLC0415
    from pod_server.vault.key_derivation import Passphrase  # noqa: PLC0415
    from tvilling.city import households  # noqa: PLC0415

    _admit_partners(host, state, data)
    _add_bank(host, state)
    present = {pod.handle for pod in list_pods(host)}
    for household in households.citizens()[: state.live_citizens]:
        phrase = state.passphrases.setdefault(household.handle, f"{household.handle}-{secrets.token_hex(6)}")
        state.save(data)
        if household.handle not in present:
            made = _make_pod(host, create_pod, household, passphrase=Passphrase(phrase))
            _consent_to_research(host, made)
    missing = [each for each in households.neighbours(state.neighbours, state.seed) if each.handle not in present]
    if missing:
        say(f"Making {len(missing)} simulated neighbours …")
    for household in missing:
        made = _make_pod(host, create_pod, household, simulated=True)
        state.neighbour_grants[household.handle] = _consent_of_neighbour(host, made, state)
    state.save(data)


def _admit_partners(host: Host, state: DemoState, data: Path) -> None:
    from pod_server.partners import add_partner  # noqa: PLC0415

    for each in PARTNERS:
        _, jwks = own_key(data / "simulators", each.slug)
        if each.slug in state.client_ids:
            continue
        door = f"http://127.0.0.1:{state.control_port}/partners/{each.slug}"
        made = add_partner(
            host,
            name=each.name,
            jwks=jwks,
            redirect_uris=(f"{door}/callback",),
            webhook=f"{door}/webhook",
            about={"contact": each.contact} | ({} if each.kinds else {"role": "municipality"}),
        )
        state.client_ids[each.slug] = made.client_id
        state.save(data)


def bank_address(state: DemoState) -> str:
    """Where the city's bank answers: its issuer's name, too."""
    return f"http://127.0.0.1:{state.control_port}/bank"


def _add_bank(host: Host, state: DemoState) -> None:
    """Name the bank that citizens may connect."""
    from partner_bridge.sources import Source, add_source  # noqa: PLC0415
    from pod_server.identifiers import ClientId  # noqa: PLC0415

    add_source(
        host,
        Source(
            slug=BANK,
            name="SpareBank 1 SMN",
            channel="oauth",
            connector="sparebank1",
            purpose="personal-footprint",
            client_id=ClientId(""),
            api=f"{bank_address(state)}/personal/banking",
            every=BANK_IS_ASKED_EVERY,
            issuer=bank_address(state),
            oauth_client="tvilling",
            scopes=("accounts", "transactions"),
            parameters={"finInst": "fid-smn"},
            secret=state.bank_secret,
        ),
        about={"contact": "personvern@banken.example"},
    )


def _make_pod(host: Host, create_pod: Callable[..., NewPod], household: Household, **options: Any) -> NewPod:
    return create_pod(
        host,
        household.handle,
        name=household.name,
        household_size=household.household_size,
        area=household.area,
        dwelling=household.dwelling,
        actor=ENROLMENT,
        **options,
    )


def _terms(
    host: Host, client_id: str, *, purpose: str, kinds: tuple[str, ...], operation: str, granularity: str
) -> GrantTerms:
    from consent.grant import GrantTerms  # noqa: PLC0415

    now = host.clock.now()
    return GrantTerms(
        client_id=client_id,
        purpose=purpose,
        kinds=frozenset(kinds),
        operations=frozenset({operation}),
        granularity=granularity,
        history_from=now - HISTORY,
        expires_at=now + timedelta(days=365),
        notice_version="1",
    )


def _research_terms(host: Host) -> GrantTerms:
    from pod_server.partners import RESEARCH  # noqa: PLC0415

    kinds = tuple(sorted({kind for each in PARTNERS for kind in each.kinds}))
    return _terms(host, RESEARCH.client_id, purpose=RESEARCH_PURPOSE, kinds=kinds, operation="read", granularity="P1M")


def _consent_to_research(host: Host, made: NewPod) -> None:
    from pod_server import grants  # noqa: PLC0415

    grants.give(host, made.pod_id, _research_terms(host), actor=ENROLMENT, vault=made.vault)


def _consent_of_neighbour(host: Host, made: NewPod, state: DemoState) -> dict[str, str]:
    """A quiet neighbour's consents, written down at enrolment: every partner but the one that reads by the minute."""
    from pod_server import grants  # noqa: PLC0415

    delivering = [each for each in PARTNERS if each.kinds and not each.citizens_only]
    terms = [
        _terms(
            host,
            state.client_ids[each.slug],
            purpose=each.purpose,
            kinds=each.kinds,
            operation="append",
            granularity=each.granularity,
        )
        for each in delivering
    ]
    with host.key_store.batch():
        given = grants.give_all(host, made.pod_id, [*terms, _research_terms(host)], actor=ENROLMENT, vault=made.vault)
    return {each.slug: grant.id for each, grant in zip(delivering, given, strict=False)}


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
        "bank": {
            "issuer": bank_address(state),
            "client_id": "tvilling",
            "secret": state.bank_secret,
            "redirect_uri": f"{settings.base_url}/-/sources/{BANK}/back",
        },
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
        if not each.kinds or mark in city.state.consented:
            continue
        asked = city.post("/control/ask", {"partner": each.slug, "handle": handle})
        back = visitor.give_consent(asked["authorize_url"])
        answer = httpx.get(back, timeout=20)
        if answer.status_code >= 400:
            raise JourneyError(f"{each.name} could not take {handle}'s answer: {answer.status_code}")
        city.state.consented.append(mark)
        city.state.save(city.data)


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
            control_token=secrets.token_urlsafe(24),
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
    city = City(settings, state, Processes(settings))
    try:
        say("Starting web, live and agent …")
        city.processes.start()
        city.processes.wait_until_ready()
        start_simulators(city)
        for handle, passphrase in state.passphrases.items():
            wanted = {f"{handle}/{each.slug}" for each in PARTNERS if each.kinds} | {f"{handle}/{BANK}"}
            if wanted <= set(state.consented):
                continue
            say(f"{handle.capitalize()} reads what the partners ask for, and says yes …")
            with Visitor(settings.base_url, handle) as visitor:
                visitor.sign_in(passphrase)
                ask_and_consent(city, handle, visitor)
                if f"{handle}/{BANK}" not in state.consented:
                    visitor.connect_source(BANK)
                    state.consented.append(f"{handle}/{BANK}")
                    state.save(data)
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
    ) as city:
        say(
            f"\nThe city is running, {speed:g} times faster than yours.\n\n"
            f"  Open    {sign_in_link(city, 'kari')}\n\n"
            "  The link signs Kari in, once, on this machine. Try: boil the kettle, buy minced beef, take the bus,\n"
            "  withdraw the consent and watch the next delivery refused; then the tram pass under “Tvilling”.\n"
            f"  Others sign in at {city.settings.base_url}/-/sign-in:\n"
            + "".join(f"    {handle}  {phrase}\n" for handle, phrase in city.state.passphrases.items())
            + "\nCtrl-C ends everything; a second start goes on from the same data."
        )
        while not stop.wait(0.5):
            city.processes.watch_once()
            city.remember_time()
        say("Ending …")
