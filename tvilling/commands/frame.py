"""What every command shares: where the data is, how the answer is printed, how an error is told."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from collections.abc import Callable
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import click

from consent.errors import ConsentError
from pod_server import problems
from pod_server.quota import parse_size
from tvilling.errors import SettingsError, TvillingError
from tvilling.in_use import database_used, used
from tvilling.settings import Listen, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pod_server.host import Host
    from pod_server.vault.key_derivation import Passphrase

DEFAULT_LISTEN = "127.0.0.1:8080"
DEFAULT_LIVE_LISTEN = "127.0.0.1:8081"


class Size(click.ParamType[int]):
    """A size in bytes: `7`, `500MB`, `10GiB`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes, or click's own complaint."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


SIZE = Size()


class _Databases(TypedDict):
    database_url: str | None
    keys_url: str | None


@dataclass(frozen=True)
class Frame:
    """A command's surroundings.

    Attributes:
        data: The data folder.
        base_url: Where the host is reached.
        as_json: Whether the answer is one JSON value.
        database_url: The PostgreSQL database, where one is named.
        keys_url: The PostgreSQL database of the key store, where one is named.
    """

    data: Path
    base_url: str | None
    as_json: bool
    database_url: str | None = None
    keys_url: str | None = None

    def settings(self) -> Settings:
        """The settings of the folder's host: as it last ran, unless the options say otherwise."""
        left_behind = self._left_behind()
        if left_behind is not None and self.base_url in {None, left_behind.base_url}:
            return dataclasses.replace(left_behind, **self.databases())
        listen, live_listen = Listen.parse(DEFAULT_LISTEN), Listen.parse(DEFAULT_LIVE_LISTEN)
        return Settings(
            data_folder=str(self.data),
            base_url=(self.base_url or listen.origin).rstrip("/"),
            live_url=live_listen.origin,
            listen=listen,
            live_listen=live_listen,
            **self.databases(),
        )

    def databases(self) -> _Databases:
        """Where data and keys lie: as the options say, else as the folder's host last ran; None for files in the folder."""
        left_behind = self._left_behind()
        if left_behind is None:
            return {"database_url": self.database_url, "keys_url": self.keys_url}
        return {
            "database_url": self.database_url or left_behind.database_url,
            "keys_url": self.keys_url or left_behind.keys_url,
        }

    def _left_behind(self) -> Settings | None:
        file = self.data / "run" / "settings.json"
        return Settings.from_file(file) if file.exists() else None

    @contextmanager
    def host(self) -> Iterator[Host]:
        """The folder's host, its schema brought up to date first."""
        from tvilling.app import create_host  # noqa: PLC0415 - `--help` stays quick
        from tvilling.data_folder import migrate_data_folder  # noqa: PLC0415

        settings = self.settings()
        with used(settings.run_folder), database_used(settings.database_url):
            migrate_data_folder(settings)
            host = create_host(settings)
            with closing(host.storage):
                yield host

    def answer(self, value: dict[str, Any] | list[Any], words: str | None = None) -> None:
        """Print a command's answer: the JSON value with --json, otherwise the words (or the value, indented)."""
        if self.as_json:
            click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
        else:
            click.echo(words if words is not None else json.dumps(value, ensure_ascii=False, indent=2))


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared options, and turn the house's errors into words on stderr and exit code 1."""

    @click.option(
        "--data", type=click.Path(path_type=Path, file_okay=False), default=Path("data"), help="The data folder."
    )
    @click.option("--database-url", default=None, help="A PostgreSQL database instead of the embedded one.")
    @click.option("--keys-url", default=None, help="A PostgreSQL database for the keys, where several machines serve.")
    @click.option("--base-url", default=None, help="Where the host is reached.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
    @functools.wraps(function)
    def run(
        *,
        data: Path,
        database_url: str | None,
        keys_url: str | None,
        base_url: str | None,
        as_json: bool,
        **arguments: Any,
    ) -> None:
        frame = Frame(data.absolute(), base_url, as_json, database_url, keys_url)
        try:
            function(frame, **arguments)
        except (TvillingError, ConsentError) as error:
            fail(str(error))
        except OSError as error:
            fail(f"{error.strerror or 'the system refused'}: {error.filename or 'a file or socket'}")
        except Exception as error:
            if problems.problem_type_of(error) is None and not isinstance(error, ValueError):
                raise
            fail(str(error))

    return run


def fail(message: str) -> None:
    """Say on stderr what is wrong and end with exit code 1."""
    click.echo(f"tvilling: {message}", err=True)
    sys.exit(1)


def read_passphrase(file: str | None) -> Passphrase | None:
    """A passphrase from a file or standard input, as a type that prints as stars.

    Raises:
        SettingsError: the file cannot be read, or is not text.
    """
    from pod_server.vault.key_derivation import Passphrase  # noqa: PLC0415

    text = read_secret(file)
    return None if text is None else Passphrase(text)


def moment(text: str, name: str) -> datetime:
    """A date or time given on the command line; a bare date is midnight in UTC.

    Raises:
        SettingsError: the text is neither.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {text!r} is no date such as 2027-01-31, nor a time in ISO 8601") from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def read_secret(file: str | None) -> str | None:
    """A secret from a file, or from standard input for `-`; one trailing newline is dropped.

    Raises:
        SettingsError: the file cannot be read, or is not text.
    """
    if file is None:
        return None
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the secret cannot be read from {file}: it must be a UTF-8 text file") from error
    return text.removesuffix("\n").removesuffix("\r")
