"""`tvilling import`, `log`, `receipt`, `migrate`: what a host is given, and checking what it wrote."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from tvilling.commands.acting import vault_of
from tvilling.commands.frame import Frame, command, fail
from tvilling.commands.partner import read_jwks
from tvilling.errors import SettingsError


@click.command("migrate")
@command
def migrate(frame: Frame) -> None:
    """Bring the data folder's schema up to date; other commands do so too."""
    from pod_server.storage.schema_version import SCHEMA_VERSION  # noqa: PLC0415
    from tvilling.data_folder import migrate_data_folder  # noqa: PLC0415

    migrate_data_folder(frame.settings())
    frame.answer({"schema_version": SCHEMA_VERSION}, f"The schema is at version {SCHEMA_VERSION}.")


@click.command("import")
@click.argument("handle")
@click.option("--connector", required=True, help="The form of the files, such as elhub-csv or hourly-csv.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--passphrase-file", default=None, help="A file with the citizen's passphrase, or - for standard input.")
@command
def import_command(
    frame: Frame, *, handle: str, connector: str, files: tuple[Path, ...], passphrase_file: str | None
) -> None:
    """Bring a citizen's own files in, by the same path as any delivery, under a visible, erasable grant."""
    from partner_bridge.import_files import import_files  # noqa: PLC0415
    from pod_server.opening import find_pod  # noqa: PLC0415

    with frame.host() as host:
        with host.storage.read() as tx:
            pod = find_pod(tx, handle)
        report = import_files(host, pod.handle, connector, list(files), vault=vault_of(host, pod, passphrase_file))
    frame.answer(dataclasses.asdict(report))
    if report.problems and not report.accepted and not report.duplicates:
        fail(f"nothing could be taken in: {report.problems[0].get('detail') or report.problems[0].get('title')}")


@click.group()
def log() -> None:
    """The citizens' logs."""


@log.command("verify")
@click.argument("handle_or_file")
@click.option("--passphrase-file", default=None, help="A file with the citizen's passphrase, or - for standard input.")
@click.option("--key", default=None, help="The key that must have signed it; without it the file's own is used.")
@click.option(
    "--earlier",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    help="An export, or a checkpoint, kept from before: the log must begin with it.",
)
@click.option("--witness", "witnesses", multiple=True, help="The key of a witness that must have cosigned it.")
@command
def verify_log(
    frame: Frame,
    *,
    handle_or_file: str,
    passphrase_file: str | None,
    key: str | None,
    earlier: Path | None,
    witnesses: tuple[str, ...],
) -> None:
    """Check every leaf, the signed checkpoint and the cosignatures of a citizen's log, or of an exported log offline."""
    from pod_server.log.checkpoint import VerifierKey  # noqa: PLC0415
    from pod_server.log.verification import verify_log as verify  # noqa: PLC0415

    document: dict[str, Any]
    if Path(handle_or_file).is_file():
        try:
            document = json.loads(Path(handle_or_file).read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"{handle_or_file} is no exported log") from error
    else:
        from pod_server.log.ledger import export  # noqa: PLC0415
        from pod_server.opening import find_pod  # noqa: PLC0415

        with frame.host() as host, host.storage.read() as tx:
            pod = find_pod(tx, handle_or_file)
            vault = vault_of(host, pod, passphrase_file)
            document = export(tx, host, vault, pod.pod_id)
    result = verify(
        document,
        trusted_key=key,
        earlier_checkpoint=None if earlier is None else _earlier_checkpoint(earlier),
        witnesses=[VerifierKey.decode(each) for each in witnesses],
    )
    seen = [
        {"witness": each.witness, "size": each.checkpoint.size, "at": datetime.fromtimestamp(each.at, UTC).isoformat()}
        for each in result.witnessed
    ]
    value = {"origin": result.origin, "size": result.size, "root": result.root.hex(), "key": result.key}
    words = [f"Verified: {result.size} entries, none altered or removed."]
    words += [f"{each['witness']} cosigned {each['size']} of them at {each['at']}." for each in seen]
    frame.answer(value | {"witnessed": seen}, "\n".join(words))


def _earlier_checkpoint(path: Path) -> str:
    """The checkpoint of an earlier export, or the file itself.

    Raises:
        SettingsError: the file is no text.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if text.lstrip().startswith("{") else None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is neither an exported log nor a checkpoint") from error
    return str(found["checkpoint"]) if isinstance(found, dict) and "checkpoint" in found else text


@log.command("key")
@command
def log_key(frame: Frame) -> None:
    """The public key of all logs of this host: what a witness is given."""
    from pod_server.witnessing import logs_key  # noqa: PLC0415

    with frame.host() as host:
        made = logs_key(host).encoded()
    frame.answer({"key": made}, made)


@log.command("witness")
@command
def witness_logs(frame: Frame) -> None:
    """Have every log that has grown cosigned by the host's witnesses now; the agent does so once a day."""
    from pod_server.witnessing import Sent, have_witnessed  # noqa: PLC0415

    total = Sent(0, 0, 0)
    with frame.host() as host:
        if not host.witnesses:
            raise SettingsError("this host has no witnesses: name them with tvilling serve --witness 'https://… KEY'")
        while (done := have_witnessed(host, at_once=True)).cosigned:
            total = Sent(total.cosigned + done.cosigned, 0, 0)
    # What is refused or not answered is so in each round: the last one counts it.
    total = Sent(total.cosigned, done.refused, done.failed)
    frame.answer(
        total._asdict(),
        f"{total.cosigned} cosignatures came; {total.refused} logs were refused; {total.failed} requests failed.",
    )


@click.group()
def receipt() -> None:
    """Receipts that the host signed."""


@receipt.command("verify")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--issuer-keys", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=None)
@command
def verify_receipt(frame: Frame, *, file: Path, issuer_keys: Path | None) -> None:
    """Check a receipt offline: of a delivery, a removed citizen or a power of attorney (signed texts, JWS) or of a consent.

    The issuer's keys are what its /-/oauth/historical-keys or, for consents, its /vocab/consent/issuer.jsonld answered; without
    --issuer-keys they are those of this data folder's own host.
    """
    from partner_bridge.receipts import verify_receipt as verify  # noqa: PLC0415
    from pod_server import consent_receipts, power_receipts, removal  # noqa: PLC0415
    from pod_server.signatures import SignatureInvalid  # noqa: PLC0415
    from pod_server.signing_keys import historical_jwks  # noqa: PLC0415

    try:
        signed = file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file} is no receipt: a signed receipt is text") from error
    of_consent = consent_receipts.is_consent_receipt(signed)
    if issuer_keys is None:
        with frame.host() as host:
            keys = consent_receipts.issuer_document(host) if of_consent else historical_jwks(host)
    else:
        keys = _read_issuer_document(issuer_keys) if of_consent else read_jwks(issuer_keys)
    if removal.is_removal_receipt(signed) or power_receipts.is_power_receipt(signed):
        of_power = power_receipts.is_power_receipt(signed)
        try:
            frame.answer(power_receipts.verify(signed, keys) if of_power else removal.verify_receipt(signed, keys))
        except SignatureInvalid as error:
            raise SettingsError(f"{file} was not signed by this issuer, or was changed: {error}") from error
    else:
        frame.answer(consent_receipts.verify(signed, keys) if of_consent else verify(signed, keys))


def _read_issuer_document(path: Path) -> dict[str, Any]:
    """What an issuer's /vocab/consent/issuer.jsonld answered, from a file.

    Raises:
        SettingsError: the file is none.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is no JSON file with an issuer's keys") from error
    if not isinstance(value, dict) or not isinstance(value.get("verificationMethod"), list):
        raise SettingsError(f"{path} is not what an issuer's /vocab/consent/issuer.jsonld answers")
    return value
