"""Where the database is: a `postgresql://` address, with what the house adds to it."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pod_server.storage.errors import DatabaseAddressInvalid

_CONNECTION: dict[str, str | int] = {
    "application_name": "tvilling",
    "connect_timeout": 5,
    # A machine that vanished is noticed within half a minute, not after two hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def read_address(database_url: str) -> str:
    """The connection string of a `postgresql://` address, with what the house adds to it.

    Raises:
        DatabaseAddressInvalid: it is no such address.
    """
    if not database_url.startswith(("postgresql://", "postgres://")):
        raise DatabaseAddressInvalid
    try:
        given = conninfo_to_dict(database_url)
    except psycopg.ProgrammingError as error:
        # The library's words may repeat the address, and with it a password.
        raise DatabaseAddressInvalid from error
    if not all(port.isdigit() for port in str(given.get("port", "5432")).split(",")):
        raise DatabaseAddressInvalid
    added = {name: value for name, value in _CONNECTION.items() if name not in given}
    return make_conninfo(database_url, **added)
