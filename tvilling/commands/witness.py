"""`tvilling witness …`: watching over a host's logs from outside it."""

from __future__ import annotations

from pathlib import Path

import click

from tvilling.commands.frame import Frame, command
from tvilling.settings import Listen


@click.group()
def witness() -> None:
    """A witness of logs, for whoever wants to watch over a host from another machine; needs no data folder."""


@witness.command("key")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", required=True, help="The witness's name: a URL without scheme, such as witness.example/1.")
@command
def key(frame: Frame, *, folder: Path, name: str) -> None:
    """Make the witness's key where there is none, and print its public side, for the host and its citizens."""
    from tvilling.witness import make_key, public_key  # noqa: PLC0415

    make_key(folder)
    made = public_key(folder, name)
    frame.answer({"name": name, "key": made.encoded()}, made.encoded())


@witness.command("serve")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--name", required=True, help="As it was given to `witness key`.")
@click.option("--log", "logs", multiple=True, required=True, help="A host's key, as its `tvilling log key` prints it.")
@click.option("--listen", default="127.0.0.1:8090", help="HOST:PORT; a proxy with TLS stands before it.")
@command
def serve(frame: Frame, *, folder: Path, name: str, logs: tuple[str, ...], listen: str) -> None:
    """Cosign checkpoints that continue what was cosigned before; refuse forks and rollbacks."""
    from pod_server.clock import SystemClock  # noqa: PLC0415
    from tvilling.witness import open_witness, run  # noqa: PLC0415

    opened = open_witness(folder, name, logs, SystemClock())
    address = Listen.parse(listen)
    frame.answer({"listen": listen, "name": name}, f"{name} listens on {listen}")
    run(opened, address)
