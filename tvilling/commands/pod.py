"""`tvilling pod`: lock and unlock a pod, take it out as a file, bring it in from another host."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvilling.commands.acting import OPERATOR_ASSISTED, vault_of
from tvilling.commands.frame import Frame, command, read_passphrase, read_secret
from tvilling.errors import SettingsError

if TYPE_CHECKING:
    import httpx

    from pod_server.host import Host
    from pod_server.opening import OpenPod

STILL_READABLE = (
    "the handle, the profile and every document the citizen made public",
    "each grant's partner, purpose, kinds, limits and state, and how much was delivered on which day",
    "the log's size and hashes, and the sizes and times of everything sealed",
    "the district, where the citizen consented to research",
)
"""What docs/threat-model.md says the host always holds, in the words of the command's answer."""


@click.group()
def pod() -> None:
    """A citizen's pod as a whole."""


@pod.command("lock")
@click.argument("handle")
@click.option(
    "--passphrase-file",
    default=None,
    help="The pod's passphrase, or the one it shall have; makes a new root key. Or - for standard input.",
)
@command
def lock(frame: Frame, *, handle: str, passphrase_file: str | None) -> None:
    """Lock a pod: from now on only its citizen's passphrase or recovery code opens it.

    With --passphrase-file everything in the pod gets new keys, history is sealed anew under them, and everybody's
    sessions end. Without, only the host's own slot is taken away, at once and without the citizen.
    """
    from dashboard.unlocking import do_what_waits  # noqa: PLC0415
    from pod_server.authentication.accounts import open_vault  # noqa: PLC0415
    from pod_server.opening import find_pod  # noqa: PLC0415
    from pod_server.pods import close_to_host, lock_pod  # noqa: PLC0415
    from pod_server.vault.key_derivation import Passphrase  # noqa: PLC0415
    from pod_server.vault.vault import unlock_with_custodian  # noqa: PLC0415

    recovery_code = None
    with frame.host() as host:
        with host.storage.read() as tx:
            found = find_pod(tx, handle)
        slots = host.key_store.slot_kinds(found.pod_id)
        passphrase = read_secret(passphrase_file)
        if "custodian" not in slots:
            raise SettingsError(f"{handle} is locked already; `tvilling pod unlock {handle}` opens it")
        if passphrase is not None:
            if "passphrase" in slots:
                vault = open_vault(host, found.handle, passphrase)
            else:
                vault = unlock_with_custodian(host.host_key, host.key_store, found.pod_id)
            locked = lock_pod(host, vault, Passphrase(passphrase), actor=OPERATOR_ASSISTED)
            recovery_code = locked.recovery_code
            do_what_waits(host, locked.vault)
        elif "passphrase" in slots:
            close_to_host(host, found.pod_id, actor=OPERATOR_ASSISTED)
        else:
            raise SettingsError(
                f"{handle} has no passphrase, so that locking would leave the recovery code alone: "
                "give it one with --passphrase-file"
            )
    until_old = "an older copy of the key store and of the data together, with the host key, still open what lay there"
    older_copies = (
        f"{until_old}, until the copy of the key store is 30 days old; they open nothing of the present data"
        if recovery_code
        else f"{until_old}, and the root key is the old one: lock with --passphrase-file to give everything new keys"
    )
    answer = {
        "handle": handle,
        "state": "locked",
        "new_root_key": recovery_code is not None,
        "recovery_code": recovery_code,
        "host_still_reads": list(STILL_READABLE),
        "older_copies": older_copies,
    }
    told = f"\nNew recovery code (write it down, it is shown once): {recovery_code}" if recovery_code else ""
    frame.answer(
        answer,
        f"{handle} is locked: deliveries and the twin wait until its citizen opens it.{told}\nThe host can still read:\n"
        + "\n".join(f"- {each}" for each in STILL_READABLE)
        + f"\nOlder copies: {older_copies}.",
    )


@pod.command("unlock")
@click.argument("handle")
@click.option("--passphrase-file", required=True, help="A file with the citizen's passphrase, or - for standard input.")
@command
def unlock(frame: Frame, *, handle: str, passphrase_file: str) -> None:
    """Leave a pod open again: what waited is merged, and the twin works while the citizen is away."""
    from dashboard.unlocking import do_what_waits  # noqa: PLC0415
    from pod_server.authentication.accounts import open_vault  # noqa: PLC0415
    from pod_server.opening import find_pod  # noqa: PLC0415
    from pod_server.pods import leave_pod_open  # noqa: PLC0415

    with frame.host() as host:
        with host.storage.read() as tx:
            found = find_pod(tx, handle)
        vault = open_vault(host, found.handle, read_secret(passphrase_file) or "")
        leave_pod_open(host, vault, actor=OPERATOR_ASSISTED)
        do_what_waits(host, vault)
    reads = "everything in the pod, through the slot that is sealed to its host key"
    frame.answer(
        {"handle": handle, "state": "open", "host_still_reads": [reads]},
        f"{handle} is open: the host can read {reads}.",
    )


_NEW = "A file with the new passphrase, or - for standard input."


@pod.command("passphrase")
@click.argument("handle")
@click.option("--passphrase-file", default=None, help="The present passphrase, where the pod is locked; a file, or -.")
@click.option("--new-passphrase-file", required=True, help=_NEW)
@command
def passphrase(frame: Frame, *, handle: str, passphrase_file: str | None, new_passphrase_file: str) -> None:
    """Change a pod's passphrase, or give it its first one. Sessions and the recovery code stand."""
    from pod_server.opening import find_pod  # noqa: PLC0415
    from pod_server.pods import change_passphrase  # noqa: PLC0415
    from pod_server.vault.key_derivation import Passphrase  # noqa: PLC0415

    with frame.host() as host:
        with host.storage.read() as tx:
            found = find_pod(tx, handle)
        vault = vault_of(host, found, passphrase_file)
        change_passphrase(host, vault, Passphrase(read_secret(new_passphrase_file) or ""), actor=OPERATOR_ASSISTED)
    frame.answer(
        {"handle": handle, "changed": "passphrase"}, f"{handle} has a new passphrase; the old one opens nothing."
    )


@pod.command("recovery-code")
@click.argument("handle")
@click.option("--passphrase-file", default=None, help="The passphrase, where the pod is locked; a file, or -.")
@command
def recovery_code(frame: Frame, *, handle: str, passphrase_file: str | None) -> None:
    """Give a pod a new recovery code; the old one opens nothing from now on."""
    from pod_server.opening import find_pod  # noqa: PLC0415
    from pod_server.pods import renew_recovery_code  # noqa: PLC0415

    with frame.host() as host:
        with host.storage.read() as tx:
            found = find_pod(tx, handle)
        code = renew_recovery_code(host, vault_of(host, found, passphrase_file), actor=OPERATOR_ASSISTED)
    frame.answer(
        {"handle": handle, "recovery_code": code}, f"New recovery code (write it down, it is shown once): {code}"
    )


@pod.command("renew-keys")
@click.argument("handle")
@click.option("--passphrase-file", default=None, help="The present passphrase, where the pod is locked; a file, or -.")
@click.option("--new-passphrase-file", default=None, help=_NEW + " Without it an open pod is left without one.")
@command
def renew(frame: Frame, *, handle: str, passphrase_file: str | None, new_passphrase_file: str | None) -> None:
    """Give everything in a pod new keys and seal its history anew; the pod stays open or locked as it is."""
    from dashboard.unlocking import do_what_waits  # noqa: PLC0415
    from pod_server.opening import find_pod  # noqa: PLC0415
    from pod_server.pods import renew_keys  # noqa: PLC0415

    with frame.host() as host:
        with host.storage.read() as tx:
            found = find_pod(tx, handle)
        vault = vault_of(host, found, passphrase_file)
        renewed = renew_keys(host, vault, read_passphrase(new_passphrase_file), actor=OPERATOR_ASSISTED)
        do_what_waits(host, renewed.vault)
    frame.answer(
        {"handle": handle, "state": found.state, "recovery_code": renewed.recovery_code},
        f"{handle} has new keys, and its sessions have ended.\n"
        f"New recovery code (write it down, it is shown once): {renewed.recovery_code}",
    )


@pod.command("recover")
@click.argument("handle")
@click.option("--code-file", required=True, help="A file with the recovery code, or - for standard input.")
@click.option("--new-passphrase-file", required=True, help=_NEW)
@command
def recover(frame: Frame, *, handle: str, code_file: str, new_passphrase_file: str) -> None:
    """Open a pod with its recovery code: it gets a new passphrase, new keys and a new code."""
    from dashboard.unlocking import do_what_waits  # noqa: PLC0415
    from pod_server.pods import recover_pod  # noqa: PLC0415
    from pod_server.vault.key_derivation import Passphrase  # noqa: PLC0415

    with frame.host() as host:
        new_passphrase = Passphrase(read_secret(new_passphrase_file) or "")
        code = (read_secret(code_file) or "").strip()
        recovered = recover_pod(host, handle, code, new_passphrase, actor=OPERATOR_ASSISTED)
        do_what_waits(host, recovered.vault)
    frame.answer(
        {"handle": handle, "recovery_code": recovered.recovery_code},
        f"{handle} has a new passphrase and new keys.\n"
        f"New recovery code (write it down, it is shown once): {recovered.recovery_code}",
    )


@pod.command("export")
@click.argument("handle")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file to write; new.")
@click.option("--rdf", "as_rdf", is_flag=True, help="For any other system: each graph as Turtle, JSON-LD and N-Quads.")
@click.option("--passphrase-file", default=None, help="A file with the citizen's passphrase, or - for standard input.")
@command
def export(frame: Frame, *, handle: str, out: Path, as_rdf: bool, passphrase_file: str | None) -> None:
    """Write a whole pod to one file: documents and activities as RDF, consents, household and log, in plain.

    With --rdf it is a zip for any other system: every graph in three forms, and the documents that are no RDF.
    """
    from pod_server.authorization.enforcement import require_owner  # noqa: PLC0415
    from pod_server.opening import OpenPod, find_pod  # noqa: PLC0415

    note = "The file is not encrypted: it holds everything in the pod. Keep it like a diary."
    with frame.host() as host:
        with host.storage.read() as tx:
            found = find_pod(tx, handle)
        vault = vault_of(host, found, passphrase_file)
        opened = OpenPod(found, require_owner(vault, assisted=True), vault)
        if as_rdf:
            from pod_server.transfer.rdf_archive import archive_pod  # noqa: PLC0415 - rdflib is slow to load

            archived = archive_pod(host, opened, out.absolute())
            frame.answer(
                {"file": str(out), **dataclasses.asdict(archived), "note": note},
                f"{out}: {archived.graphs} graphs, {archived.triples} triples, {archived.other_documents} other "
                f"documents.\n{note}",
            )
            return
        from pod_server.transfer.export import export_pod  # noqa: PLC0415

        exported = export_pod(host, opened, out.absolute())
    frame.answer(
        {"file": str(out), **dataclasses.asdict(exported), "note": note},
        f"{out}: {exported.documents} documents, {exported.activities} activities, {exported.grants} consents, "
        f"{exported.log_entries} log entries.\n{note}",
    )


@pod.command("load")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--handle", default=None, help="The new pod's handle; the old one's where it is left out.")
@click.option("--passphrase-file", default=None, help="The new pod's passphrase in a file, or - for standard input.")
@command
def load(frame: Frame, *, file: Path, handle: str | None, passphrase_file: str | None) -> None:
    """Make a new pod of an exported one. The old log and consents are kept as documents in archive/."""
    from pod_server.transfer.load import load_pod  # noqa: PLC0415

    with frame.host() as host:
        loaded = load_pod(
            host, file, handle=handle, passphrase=read_passphrase(passphrase_file), actor=OPERATOR_ASSISTED
        )
    frame.answer(
        dataclasses.asdict(loaded),
        f"{loaded.webid}: {loaded.documents} documents and {loaded.accepted} activities "
        f"({loaded.refused} refused), under {len(loaded.grants)} grants to the citizen.\n"
        f"The old log ({loaded.log_entries} entries, verified) lies at {loaded.archive}.\n"
        f"Recovery code (write it down, it is shown once): {loaded.recovery_code}",
    )


@pod.command("move-out")
@click.argument("handle")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file to write; new.")
@click.option("--passphrase-file", default=None, help="A file with the citizen's passphrase, or - for standard input.")
@command
def move_out(frame: Frame, *, handle: str, out: Path, passphrase_file: str | None) -> None:
    """Write a pod to one sealed file, with its keys and its log, for another host. Nothing changes here yet."""
    from pod_server.authorization.enforcement import require_owner  # noqa: PLC0415
    from pod_server.opening import OpenPod, find_pod  # noqa: PLC0415
    from pod_server.transfer import move  # noqa: PLC0415

    with frame.host() as host:
        with host.storage.read() as tx:
            found = find_pod(tx, handle)
        vault = vault_of(host, found, passphrase_file)
        moved = move.move_out(host, OpenPod(found, require_owner(vault, assisted=True), vault), out.absolute())
    note = (
        "The citizen's passphrase or recovery code opens it on the other host (tvilling pod move-in), and nothing else "
        "does. Here the pod goes on until `tvilling pod move-away`; what is written here from now on is not in the file."
    )
    frame.answer(
        {"file": str(out), **dataclasses.asdict(moved), "note": note},
        f"{out}: {moved.documents} documents, {moved.binaries} large files, {moved.grants} consents, "
        f"{moved.log_entries} log entries.\n{note}",
    )


@pod.command("move-in")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--handle", default=None, help="The pod's handle here; the one it had where it is left out.")
@click.option("--passphrase-file", default=None, help="The citizen's passphrase in a file, or - for standard input.")
@click.option("--recovery-code-file", default=None, help="The recovery code instead, in a file, or -.")
@click.option("--arrival", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The statement; new.")
@command
def move_in(
    frame: Frame,
    *,
    file: Path,
    handle: str | None,
    passphrase_file: str | None,
    recovery_code_file: str | None,
    arrival: Path,
) -> None:
    """Take a pod in from another host. Writes the statement of its arrival, for `pod move-away` there."""
    from pod_server.transfer.arrival import move_in as bring_in  # noqa: PLC0415
    from pod_server.vault.key_derivation import Passphrase  # noqa: PLC0415

    passphrase, code = read_secret(passphrase_file), read_secret(recovery_code_file)
    if (passphrase is None) == (code is None):
        raise SettingsError("the pod is opened by --passphrase-file or by --recovery-code-file: give one of them")
    if arrival.exists():
        raise SettingsError(f"{arrival} is there already; name another file for the statement")
    with frame.host() as host:
        moved = bring_in(
            host,
            file,
            handle=handle,
            passphrase=None if passphrase is None else Passphrase(passphrase),
            recovery_code=code,
            actor=OPERATOR_ASSISTED,
        )
    arrival.write_text(json.dumps(moved.arrival, indent=1), encoding="utf-8")
    frame.answer(
        {**dataclasses.asdict(moved), "arrival": str(arrival)},
        f"{moved.webid} ({moved.state}): {moved.documents} documents; the log goes on with {moved.log_entries} entries.\n"
        f"{len(moved.paused)} consents wait for the citizen to let them go on; {len(moved.withdrawn)} ended, because "
        f"their partners are not known here.\nThe statement of arrival is {arrival}.",
    )


@pod.command("move-away")
@click.argument("handle")
@click.option("--arrival", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@command
def move_away(frame: Frame, *, handle: str, arrival: Path) -> None:
    """Let a pod's addresses lead to where it has arrived, and delete it here. For good."""
    from pod_server.opening import find_pod  # noqa: PLC0415
    from pod_server.transfer import move  # noqa: PLC0415

    try:
        statement = json.loads(arrival.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{arrival} is no statement of arrival") from error
    with frame.host() as host:
        with host.storage.read() as tx:
            found = find_pod(tx, handle)
        away = move.move_away(host, found, statement, actor=OPERATOR_ASSISTED)
    frame.answer(
        dataclasses.asdict(away),
        f"{handle} lives at {away.root} now; its addresses here lead there. {away.told} partners are told that their "
        "consents ended here.",
    )


_SIGNING_IN = (
    click.option("--issuer", default=None, help="Where the citizen signs in there; the address of the issuer."),
    click.option("--client-id", default=None, help="Of the credentials that the citizen made there for a script."),
    click.option("--client-secret-file", default=None, help="Their secret in a file, or - for standard input."),
    click.option("--token-file", default=None, help="A bearer token in a file instead, or - for standard input."),
    click.option("--allow-outbound", multiple=True, help="A loopback origin that may be called; may be repeated."),
    click.option("--webid", default="", help="The citizen's WebID there; access rules are translated by it."),
    click.option(
        "--passphrase-file", default=None, help="The citizen's passphrase in a file, or - for standard input."
    ),
)


def _signing_in(called: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_SIGNING_IN):
        called = option(called)
    return called


@contextmanager
def _at_other_server(
    frame: Frame, handle: str, address: str, options: Mapping[str, Any]
) -> Iterator[tuple[Host, OpenPod, httpx.Client]]:
    """The host, the citizen's pod, and a client that is signed in at the other server."""
    from pod_server.authorization.enforcement import require_owner  # noqa: PLC0415
    from pod_server.opening import OpenPod, find_pod  # noqa: PLC0415
    from pod_server.outbound import Outbound  # noqa: PLC0415
    from pod_server.transfer.other_server import ScriptCredentials, client_for  # noqa: PLC0415

    named = [options["issuer"], options["client_id"], options["client_secret_file"]]
    if any(named) and not all(named):
        raise SettingsError("--issuer, --client-id and --client-secret-file belong together")
    credentials = None
    if all(named):
        secret = read_secret(options["client_secret_file"]) or ""
        credentials = ScriptCredentials(options["issuer"], options["client_id"], secret)
    token = read_secret(options["token_file"]) or ""
    with frame.host() as host:
        if options["allow_outbound"]:
            allowed = host.outbound.allowed_loopback_origins | frozenset(options["allow_outbound"])
            host = dataclasses.replace(host, outbound=Outbound(allowed))  # noqa: PLW2901
        with host.storage.read() as tx:
            found = find_pod(tx, handle)
        vault = vault_of(host, found, options["passphrase_file"])
        with client_for(host, address, credentials=credentials, token=token) as client:
            yield host, OpenPod(found, require_owner(vault, assisted=True), vault), client


def _tell_left(left: list[tuple[str, str]]) -> None:
    for each, why in left:
        click.echo(f"left: {each}: {why}", err=True)


@pod.command("import")
@click.argument("handle")
@click.option("--from", "root", required=True, help="The container on the other server; ends in a slash.")
@click.option("--into", default="imported/", help="The container here that it becomes; ends in a slash.")
@_signing_in
@command
def import_foreign(frame: Frame, *, handle: str, root: str, into: str, **options: Any) -> None:
    """Bring a pod of another Solid server in: documents, files, containers, and access rules where they can be.

    What is here already is kept; run it again to go on where it broke off.
    """
    from pod_server.transfer.foreign_pod import import_pod  # noqa: PLC0415

    with _at_other_server(frame, handle, root, options) as (host, opened, client):
        report = import_pod(host, opened, root, client, into=into, old_webid=options["webid"])
    if not frame.as_json:
        _tell_left(report.left)
    frame.answer(
        dataclasses.asdict(report),
        f"{report.containers} containers, {report.documents} documents, {report.files} files and {report.rules} access "
        f"rules came in; {report.there_already} were here already, {len(report.left)} were left.",
    )


@pod.command("upload")
@click.argument("handle")
@click.option("--to", "target", required=True, help="A container on the other server; ends in a slash.")
@_signing_in
@command
def upload(frame: Frame, *, handle: str, target: str, **options: Any) -> None:
    """Put a whole pod below a container of any other Solid server.

    What is there already is kept; run it again to go on where it broke off.
    """
    from pod_server.transfer.upload import upload_pod  # noqa: PLC0415

    with _at_other_server(frame, handle, target, options) as (host, opened, client):
        report = upload_pod(host, opened, target, client, webid_there=options["webid"])
    if not frame.as_json:
        _tell_left(report.left)
    frame.answer(
        dataclasses.asdict(report),
        f"{report.containers} containers, {report.documents} documents and {report.rules} access rules lie there now; "
        f"{report.there_already} lay there already, {len(report.left)} were left.",
    )
