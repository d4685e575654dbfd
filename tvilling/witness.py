"""The witness role: a small server for `POST /add-checkpoint` and `POST /hand-over`, a key and a memory in a folder of its own.

It needs no data folder of a host and shares nothing with one: whoever wants to watch over a host's logs runs it on
another machine.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import TYPE_CHECKING, Any

from pod_server.log.checkpoint import VerifierKey
from pod_server.log.cosignature import witness_key
from pod_server.log.errors import LogBroken
from pod_server.log.witness import BODY_LIMIT_BYTES, Answer, Witness
from pod_server.signatures import SigningKey
from pod_server.vault.host_key import sync_folder_of, write_durably
from tvilling.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIApplication

    from pod_server.clock import Clock
    from tvilling.settings import Listen

KEY_FILE = "witness.key"
MEMORY_FILE = "witness.sqlite"
_SEED_BYTES = 32
_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    411: "Length Required",
    413: "Content Too Large",
    422: "Unprocessable Content",
}


def make_key(folder: Path) -> None:
    """Make a witness's key; one that is there stays."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / KEY_FILE
    if not path.exists():
        write_durably(path, base64.b64encode(os.urandom(_SEED_BYTES)).decode() + "\n")
        sync_folder_of(path)


def load_key(folder: Path) -> SigningKey:
    """A witness's key.

    Raises:
        SettingsError: there is none, or it is damaged.
    """
    try:
        return SigningKey.ed25519(base64.b64decode((folder / KEY_FILE).read_text("ascii").strip(), validate=True))
    except (OSError, UnicodeDecodeError, ValueError, binascii.Error) as error:
        raise SettingsError(f"{folder} holds no witness's key: make one with tvilling witness key") from error


def public_key(folder: Path, name: str) -> VerifierKey:
    """What a host's operator and its citizens are given.

    Raises:
        SettingsError: no key, or not a name.
    """
    if not name or "+" in name or any(character.isspace() for character in name):
        raise SettingsError(f"{name!r} is no witness's name: a URL without scheme, such as witness.example/1")
    return witness_key(name, load_key(folder))


def open_witness(folder: Path, name: str, logs: Sequence[str], clock: Clock) -> Witness:
    """A witness on its folder.

    Args:
        folder: With its key and its memory.
        name: Its own.
        logs: The keys of the hosts whose logs it takes, as `tvilling log key` prints them.
        clock: Dates cosignatures.

    Raises:
        SettingsError: no key, no name, or a log's key that is none.
    """
    public_key(folder, name)
    try:
        keys = [VerifierKey.decode(text) for text in logs]
    except LogBroken as error:
        raise SettingsError(f"a log's key is none: {error}") from error
    if not keys:
        raise SettingsError("a witness needs at least one log's key: --log, as tvilling log key prints it")
    return Witness(folder / MEMORY_FILE, name, load_key(folder), keys, clock)


def create_app(witness: Witness) -> WSGIApplication:
    """The witness's two doors."""

    def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        answer = _answer(witness, environ)
        body = answer.body.encode()
        start_response(
            f"{answer.status} {_REASONS[answer.status]}",
            [("Content-Type", answer.media_type), ("Content-Length", str(len(body)))],
        )
        return [body]

    return application


def _answer(witness: Witness, environ: dict[str, Any]) -> Answer:
    def words(status: int, text: str) -> Answer:
        return Answer(status, "text/plain; charset=utf-8", f"{text}\n")

    doors = {"/add-checkpoint": witness.add_checkpoint, "/hand-over": witness.add_hand_over}
    door = doors.get(environ.get("PATH_INFO", ""))
    if door is None:
        return words(404, "This is a witness of logs; it takes POST /add-checkpoint and POST /hand-over.")
    if environ["REQUEST_METHOD"] != "POST":
        return words(405, "Send it with POST.")
    length = environ.get("CONTENT_LENGTH") or ""
    if not (length.isascii() and length.isdigit()):
        return words(411, "Say how long the body is.")
    if len(length) > 9 or int(length) > BODY_LIMIT_BYTES:
        return words(413, f"A request has at most {BODY_LIMIT_BYTES} bytes.")
    body = environ["wsgi.input"].read(int(length))
    if len(body) != int(length):
        return words(400, "The body was cut off.")
    return door(body)


def run(witness: Witness, listen: Listen) -> None:
    """Answer until a signal comes."""
    import signal  # noqa: PLC0415

    import gevent  # noqa: PLC0415
    from gevent.pywsgi import WSGIServer  # noqa: PLC0415

    server = WSGIServer((listen.host, listen.port), create_app(witness), log=None)
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, server.stop, 1)
    server.serve_forever(stop_timeout=1)
