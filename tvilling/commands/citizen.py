"""`tvilling citizen`: enrol citizens, give their scripts credentials, remove them."""

from __future__ import annotations

from pathlib import Path

import click

from tvilling.commands.acting import vault_of
from tvilling.commands.frame import SIZE, Frame, command, fail, read_passphrase
from tvilling.commands.represent import end_representation, represent, representations, synchronise


@click.group()
def citizen() -> None:
    """Citizens and their pods."""


citizen.add_command(represent)
citizen.add_command(representations)
citizen.add_command(end_representation)
citizen.add_command(synchronise)


@citizen.command("add")
@click.argument("handle")
@click.option("--passphrase-file", default=None, help="A file with the passphrase, or - for standard input.")
@click.option("--name", default=None, help="The name on the profile; the handle where it is left out.")
@click.option("--household-size", type=click.IntRange(1, 30), default=1, help="How many share the home.")
@click.option("--area", default="", help="The district's code, 500101 to 500104.")
@click.option("--dwelling", default="", help="flat, terraced or detached.")
@click.option("--language", type=click.Choice(["nb", "nn", "en"]), default="nb", help="The language of the pages.")
@command
def add(
    frame: Frame,
    *,
    handle: str,
    passphrase_file: str | None,
    name: str | None,
    household_size: int,
    area: str,
    dwelling: str,
    language: str,
) -> None:
    """Enrol a citizen and make the pod. Prints the recovery code once; it is kept nowhere."""
    from pod_server.identifiers import parse_handle  # noqa: PLC0415
    from pod_server.pods import create_pod  # noqa: PLC0415

    with frame.host() as host:
        made = create_pod(
            host,
            parse_handle(handle),
            passphrase=read_passphrase(passphrase_file),
            name=name or handle,
            household_size=household_size,
            area=area,
            dwelling=dwelling,
            language=language,
        )
        frame.answer(
            {"webid": made.webid, "pod": f"{host.base_url}/{handle}/", "recovery_code": made.recovery_code},
            f"{made.webid}\nRecovery code (write it down, it is shown once): {made.recovery_code}",
        )


@citizen.command("list")
@command
def list_citizens(frame: Frame) -> None:
    """All citizens of this host."""
    from pod_server.pods import list_pods  # noqa: PLC0415

    with frame.host() as host:
        rows = [
            {
                "handle": pod.handle,
                "webid": pod.webid(host.base_url),
                "state": pod.state,
                "simulated": pod.simulated,
                "created": pod.created.isoformat(),
            }
            for pod in list_pods(host)
        ]
    frame.answer(rows, "\n".join(f"{row['handle']}\t{row['state']}\t{row['webid']}" for row in rows) or "nobody yet")


@citizen.command("credentials")
@click.argument("handle")
@click.option("--passphrase-file", default=None, help="A file with the passphrase, or - for standard input.")
@command
def credentials(frame: Frame, *, handle: str, passphrase_file: str | None) -> None:
    """Credentials with which the citizen's own scripts sign in (client_credentials with DPoP)."""
    from pod_server.authorization.enforcement import require_owner  # noqa: PLC0415
    from pod_server.authorization_server.scripts import create_credentials  # noqa: PLC0415
    from pod_server.opening import find_pod  # noqa: PLC0415

    with frame.host() as host:
        with host.storage.read() as tx:
            pod = find_pod(tx, handle)
        vault = vault_of(host, pod, passphrase_file)
        made = create_credentials(host, require_owner(vault, assisted=True), pod.webid(host.base_url))
        frame.answer(
            {
                "client_id": made.client_id,
                "client_secret": made.client_secret,
                "token_endpoint": made.token_endpoint,
            }
        )


@citizen.command("quota")
@click.argument("handle")
@click.option("--set", "allowed_bytes", type=SIZE, default=None, help="A quota of this pod's own.")
@click.option("--default", "to_default", is_flag=True, help="The host's quota again.")
@click.option("--recount", is_flag=True, help="Count the documents anew, where `tvilling doctor` says so.")
@command
def quota_command(frame: Frame, *, handle: str, allowed_bytes: int | None, to_default: bool, recount: bool) -> None:
    """What a citizen's documents take and may take; with an option, changed first."""
    from pod_server import quota  # noqa: PLC0415
    from pod_server.opening import find_pod  # noqa: PLC0415

    if allowed_bytes is not None and to_default:
        fail("give either --set or --default")
    with frame.host() as host, host.storage.write() as tx:
        pod_id = find_pod(tx, handle).pod_id
        if allowed_bytes is not None or to_default:
            quota.set_quota(tx, pod_id, allowed_bytes)
        if recount:
            quota.mend(tx, pod_id)
        use = quota.use_of(tx, pod_id, host.quota_bytes)
    frame.answer(
        {"used_bytes": use.used_bytes, "reserved_bytes": use.reserved_bytes, "allowed_bytes": use.allowed_bytes},
        f"{handle}: {use.used_bytes} of {use.allowed_bytes} bytes are used",
    )


@citizen.command("remove")
@click.argument("handle")
@click.option("--yes", is_flag=True, help="Do not ask; everything of the citizen is destroyed.")
@click.option(
    "--receipt", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Write the receipt there."
)
@command
def remove(frame: Frame, *, handle: str, yes: bool, receipt: Path | None) -> None:
    """Remove a citizen: the keys are destroyed first, then everything they sealed. The handle is never given out again.

    Prints a signed receipt, which anybody checks offline with `tvilling receipt verify`; for a citizen who was removed
    before, the one of then.
    """
    from pod_server import removal  # noqa: PLC0415
    from pod_server.identifiers import Actor  # noqa: PLC0415
    from pod_server.opening import find_pod  # noqa: PLC0415

    with frame.host() as host:
        signed = removal.find_receipt(host, handle)
        if signed is None:
            with host.storage.read() as tx:
                pod = find_pod(tx, handle)
            if not yes:
                click.confirm(f"Destroy the pod of {handle}, with no way back?", abort=True)
            signed = removal.remove_citizen(host, pod.pod_id, actor=Actor("operator")).receipt
    if receipt is not None:
        receipt.write_text(signed + "\n", encoding="ascii")
    frame.answer({"removed": handle, "receipt": signed}, f"{handle} is removed. The receipt:\n{signed}")
