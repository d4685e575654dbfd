"""What whoever runs a host may choose, as one value that every process of the host is given."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from consent.delegation import AgeRules
from consent.errors import TermsInvalid
from pod_server.clock import Clock, ScaledClock, SystemClock
from pod_server.quota import DEFAULT_LARGEST_BINARY_BYTES, DEFAULT_QUOTA_BYTES
from pod_server.storage.copying import sync_folder
from tvilling.errors import SettingsError

SETTINGS_FILE_VARIABLE = "TVILLING_SETTINGS"
"""The one environment variable the programme reads: where its parent process wrote the settings."""


@dataclass(frozen=True)
class Listen:
    """A TCP address to listen on."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `HOST:PORT`, `[IPv6]:PORT` or `:PORT` (loopback).

        Raises:
            SettingsError: the text is none of these.
        """
        host, separator, port = text.rpartition(":")
        if not separator or not port.isdigit() or not 0 < int(port) < 65536:
            raise SettingsError(f"{text!r} is not HOST:PORT, for example 127.0.0.1:8080")
        return cls(host.strip("[]") or "127.0.0.1", int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether this machine alone can connect."""
        return self.host in {"localhost", "::1"} or self.host.startswith("127.")

    @property
    def origin(self) -> str:
        """The http origin by which this address is reached from this machine."""
        name = "localhost" if self.host in {"127.0.0.1", "::1", "0.0.0.0"} else self.host  # noqa: S104
        return f"http://{name}:{self.port}"


@dataclass(frozen=True)
class ScaledTime:
    """The demo's time: ISO times of both anchors and how much faster the city's time runs."""

    city_anchor: str
    real_anchor: str
    speed: float


@dataclass(frozen=True)
class DemoRun:
    """What the pages know of a running demo: the simulators' control door and the citizen it shows."""

    control_url: str
    control_token: str
    handle: str


@dataclass(frozen=True)
class Settings:
    """Everything one host is told.

    Attributes:
        witnesses: Who watches over the logs: the address, a space, the key of each.
        quota_bytes: What the documents of a pod may take, where the pod has no quota of its own.
        largest_binary_bytes: The largest single document that is not RDF.
        ages: From which age on citizens answer for themselves: `13`, and `PURPOSE=15` for single purposes.
        workers: Processes of the web role.
        agents: Processes that take in what was delivered; the first of them also sends, asks sources and keeps house.
        connector_packages: Packages whose connectors are loaded beside the house's own.
        database_url: The PostgreSQL database that several machines may share; None for the folder's own SQLite file.
        keys_url: The PostgreSQL database of the key store, where several machines share it; None for the folder's file.
    """

    data_folder: str
    base_url: str
    live_url: str
    listen: Listen
    live_listen: Listen
    host_key_file: str | None = None
    epoch_keys_folder: str | None = None
    allow_outbound: tuple[str, ...] = ()
    witnesses: tuple[str, ...] = ()
    workers: int = 2
    agents: int = 1
    signing_key_days: int = 90
    quota_bytes: int = DEFAULT_QUOTA_BYTES
    largest_binary_bytes: int = DEFAULT_LARGEST_BINARY_BYTES
    ages: tuple[str, ...] = ()
    connector_packages: tuple[str, ...] = ()
    time: ScaledTime | None = None
    demo: DemoRun | None = None
    database_url: str | None = field(default=None, repr=False)
    keys_url: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Hold the addresses against each other.

        Raises:
            SettingsError: others than this machine would be served without TLS; or the keys would lie beside their data, or a period is less than nothing.
        """
        if self.signing_key_days < 0:
            raise SettingsError("signing keys are changed after a number of days, or never (0)")
        self.age_rules()
        if self.keys_url is not None and self.keys_url == self.database_url:
            raise SettingsError(
                "--keys-url and --database-url name one database: a backup of the data would hold the keys. Give the keys "
                "a database of their own"
            )
        without_tls = self.is_loopback or urlsplit(self.base_url).scheme != "https"
        if without_tls and not (self.listen.is_loopback and self.live_listen.is_loopback):
            raise SettingsError(
                "listening for other machines needs the https address by which they come: give it with --base-url"
            )

    def age_rules(self) -> AgeRules:
        """From which age on citizens of this host answer for themselves.

        Raises:
            SettingsError: an age that the law does not allow, or a purpose that nobody can have.
        """
        rules = AgeRules()
        if not self.ages:
            return rules
        from vocab.purposes import load_purposes  # noqa: PLC0415 - the first process of a host loads no vocabulary

        consent, of_purposes = rules.consent, dict(rules.of_purposes)
        for each in self.ages:
            purpose, _, age = each.rpartition("=")
            if not age.isascii() or not age.isdigit() or (purpose and purpose not in load_purposes()):
                raise SettingsError(f"{each!r} is neither an age nor PURPOSE=AGE with a purpose of /vocab/purposes")
            if purpose:
                of_purposes[purpose] = int(age)
            else:
                consent = int(age)
        try:
            return AgeRules(consent, {purpose: max(age, consent) for purpose, age in of_purposes.items()})
        except TermsInvalid as error:
            raise SettingsError(f"--age-of-consent: {error.reason}") from error

    @property
    def data(self) -> Path:
        """The data folder."""
        return Path(self.data_folder)

    @property
    def run_folder(self) -> Path:
        """Where files that only a running host needs lie: sockets, locks, the replay store."""
        return self.data / "run"

    @property
    def is_loopback(self) -> bool:
        """Whether the pages are reached on this machine alone, where http is allowed."""
        return urlsplit(self.base_url).hostname in {"localhost", "127.0.0.1", "::1"}

    def clock(self) -> Clock:
        """The clock these settings ask for."""
        if self.time is None:
            return SystemClock()
        return ScaledClock(
            city_anchor=datetime.fromisoformat(self.time.city_anchor),
            real_anchor=datetime.fromisoformat(self.time.real_anchor),
            speed=self.time.speed,
        )

    def write(self) -> Path:
        """Write the settings for the host's other processes; returns the file, readable by the owner alone."""
        self.run_folder.mkdir(parents=True, exist_ok=True)
        target = self.run_folder / "settings.json"
        descriptor, name = tempfile.mkstemp(dir=self.run_folder)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
        sync_folder(self.run_folder)
        return target

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            SettingsError: the file is missing, broken or has an unknown key.
        """
        try:
            values: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise SettingsError("the settings file cannot be read") from error
        unknown = set(values) - {each.name for each in fields(cls)}
        if unknown:
            raise SettingsError(f"unknown settings: {', '.join(sorted(unknown))}")
        values["listen"] = Listen(**values["listen"])
        values["live_listen"] = Listen(**values["live_listen"])
        values["allow_outbound"] = tuple(values["allow_outbound"])
        values["witnesses"] = tuple(values.get("witnesses", ()))
        values["ages"] = tuple(values.get("ages", ()))
        values["connector_packages"] = tuple(values.get("connector_packages", ()))
        if values.get("time"):
            values["time"] = ScaledTime(**values["time"])
        if values.get("demo"):
            values["demo"] = DemoRun(**values["demo"])
        return cls(**values)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings that the parent process left for its children.

        Raises:
            SettingsError: the variable is not set, or its file cannot be read.
        """
        if SETTINGS_FILE_VARIABLE not in environ:
            raise SettingsError(f"{SETTINGS_FILE_VARIABLE} does not name a settings file; start with `tvilling serve`")
        return cls.from_file(Path(environ[SETTINGS_FILE_VARIABLE]))
