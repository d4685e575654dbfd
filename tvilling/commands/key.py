"""`tvilling key …`: the keys of this host."""

from __future__ import annotations

from datetime import timedelta
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import click

from tvilling.commands.frame import Frame, command

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.lasting_keys import LastingKey
    from pod_server.signing_keys import IssuerKey


@click.group()
def key() -> None:
    """The keys of this host."""


def _told(each: IssuerKey, now: datetime) -> dict[str, Any]:
    """A key in words; nothing of it is secret."""
    if each.revoked_at is not None:
        state = "revoked"
    elif each.signs_at(now):
        state = "signs"
    elif each.signs_from > now:
        state = "next"
    else:
        state = "published" if each.is_published_at(now) else "past"
    times = {
        "signs_from": each.signs_from,
        "signs_until": each.signs_until,
        "published_until": each.published_until,
        "revoked_at": each.revoked_at,
    }
    told = {name: at.isoformat() for name, at in times.items() if at is not None}
    return {"use": "tokens", "kid": each.kid, "algorithm": each.algorithm, "state": state, **told}


def _told_lasting(keys: list[LastingKey], now: datetime) -> list[dict[str, Any]]:
    """The keys of one lasting use in words: since when each signs, how old it is, and which one followed."""
    from pod_server.signatures import base64url  # noqa: PLC0415

    told = []
    for each, successor in zip_longest(keys, keys[1:]):
        found: dict[str, Any] = {
            "use": each.use,
            "kid": base64url.write(each.public),
            "algorithm": "Ed25519",
            "state": "revoked" if each.revoked_at else "past" if successor else "signs",
            "number": each.number,
        }
        if each.made_at is not None:  # the first was there from the beginning
            found |= {"signs_from": each.made_at.isoformat(), "age_days": (now - each.made_at).days}
        if successor is not None:
            found["successor"] = successor.number
            if successor.made_at is not None:
                found["signs_until"] = successor.made_at.isoformat()
        if each.revoked_at is not None:
            found["revoked_at"] = each.revoked_at.isoformat()
        told.append(found)
    return told


def _line(each: dict[str, Any]) -> str:
    words = [f"{each['use']:<9} {each['state']:<10} {each['algorithm']:<8} {each['kid']}"]
    if "number" in each:
        words.append(f"number {each['number']}")
        words.append(f"{each['age_days']} days old" if "age_days" in each else "from the beginning")
    if "successor" in each:
        words.append(f"followed by number {each['successor']}")
    return ", ".join(words)


@key.command("list")
@command
def list_keys(frame: Frame) -> None:
    """The keys that this host signs with, and those it signed with before: tokens and claims, logs, receipts of consents."""
    from pod_server import signing_keys  # noqa: PLC0415
    from pod_server.lasting_keys import list_lasting  # noqa: PLC0415

    with frame.host() as host:
        now = host.clock.protocol_now()
        told = [_told(each, now) for each in signing_keys.list_keys(host)]
        for use in ("log", "receipts"):
            told += _told_lasting(list_lasting(host.host_key, host.key_store, use), now)
    frame.answer(told, "\n".join(_line(each) for each in told))


@key.command("rotate")
@command
def rotate(frame: Frame) -> None:
    """Put a new host key's file in place of the old one, which opens nothing that comes later.

    Works while the server runs. Calling it again finishes what was cut off. Partners go on knowing citizens by the same
    names: the host key itself stays, and what opens it changes.
    """
    from pod_server.vault import host_key_rotation  # noqa: PLC0415

    with frame.host() as host:
        epoch_keys = host.key_store.epoch_keys
        file = host_key_rotation.rotate(epoch_keys.host_key_path, host.key_store, epoch_keys)
        # What is written from now on lies under a key that the old file never sealed.
        renewal = host.key_store.renew_epoch(lasts=timedelta(0))
    copies = (
        f"Replace your copy of {file.path}, and destroy the old one. Copies of the key store and of the epoch keys from "
        "before open with the old file alone: take a new backup now."
    )
    frame.answer(
        {"host_key": file.fingerprint, "file": str(file.path), "epoch": renewal.epoch, "notes": [copies]},
        f"The host key's file is exchanged ({file.fingerprint}); epoch {renewal.epoch} begins.\n{copies}",
    )


@key.command("epoch")
@click.option("--now", "at_once", is_flag=True, help="Begin a new epoch, however young the present one is.")
@command
def epoch(frame: Frame, *, at_once: bool) -> None:
    """Tend the epochs, as the agent does twice an hour: begin a new one each day, destroy keys 29 days after their end."""
    from pod_server.vault import host_key_rotation  # noqa: PLC0415
    from pod_server.vault.epoch_keys import COPIES_DIE_AFTER, EPOCH_LASTS  # noqa: PLC0415

    with frame.host() as host:
        store = host.key_store
        host_key_rotation.finish(store.epoch_keys.host_key_path, store, store.epoch_keys)
        renewal = store.renew_epoch(lasts=timedelta(0) if at_once else EPOCH_LASTS)
        kept = store.epoch_keys.epochs()
    frame.answer(
        {
            "epoch": renewal.epoch,
            "begun": renewal.begun,
            "pods": renewal.covered_anew,
            "destroyed": list(renewal.destroyed),
            "kept": [{"epoch": each.number, "made": each.made.isoformat()} for each in kept],
            "copies_die_after_days": COPIES_DIE_AFTER.days,
        },
        f"Epoch {renewal.epoch}{' begins' if renewal.begun else ''}. {len(kept)} keys are kept, {len(renewal.destroyed)} were "
        f"destroyed just now. No copy of the key store opens after {COPIES_DIE_AFTER.days} days.",
    )


@key.command("rotate-signing")
@click.option(
    "--at-once", is_flag=True, help="Sign with the new keys now, though others may not know them for minutes."
)
@click.option("--compromised", is_flag=True, help="The old keys are in other hands: refuse all they ever signed.")
@command
def rotate_signing(frame: Frame, *, at_once: bool, compromised: bool) -> None:
    """Let new keys sign tokens, receipts, messages and claims.

    They are published at once and sign from fifteen minutes later; the old ones stay published until the last claim
    they signed has run out, and are told in the issuer's historical keys for ever.
    """
    from pod_server import signing_keys  # noqa: PLC0415

    with frame.host() as host:
        made = signing_keys.rotate(host, at_once=at_once, compromised=compromised)
        now = host.clock.protocol_now()
        told = [_told(each, now) for each in made]
    if not made:
        frame.answer([], "New keys wait to sign already. Use --at-once to let others sign now.")
        return
    frame.answer(told, "\n".join(f"{each['algorithm']} {each['kid']} signs from {each['signs_from']}" for each in told))


@key.command("rotate-log")
@click.option("--compromised", is_flag=True, help="The old key is in other hands.")
@command
def rotate_log(frame: Frame, *, compromised: bool) -> None:
    """Let a new key sign the checkpoints of all logs, and write into each that it does.

    The old key hands over with its last signature, so that old checkpoints stay good and witnesses follow; its private part
    is destroyed. Works while the server runs; what is cut off the agent finishes.
    """
    from pod_server import log_keys  # noqa: PLC0415
    from pod_server.witnessing import logs_key  # noqa: PLC0415

    with frame.host() as host:
        made = log_keys.rotate(host, compromised=compromised)
        told, text = log_keys.take_over(host), logs_key(host).encoded()
    frame.answer(
        {"number": made.number, "key": text, "logs": told},
        f"Key {made.number} signs; {told} logs say so.\n{text}\n"
        "Witnesses follow by themselves; whoever begins to witness is given this key.",
    )


@key.command("rotate-receipts")
@click.option("--compromised", is_flag=True, help="The old key is in other hands: refuse all it ever signed.")
@command
def rotate_receipts(frame: Frame, *, compromised: bool) -> None:
    """Let a new key sign receipts of consents; what the old ones signed stays good.

    With --compromised the latest receipt of each consent is signed anew, since those of the old key are refused from now on.
    """
    from pod_server import consent_receipts, pods  # noqa: PLC0415

    with frame.host() as host:
        made = consent_receipts.rotate_key(host, compromised=compromised)
        renewed = 0
        if compromised:
            renewed = sum(consent_receipts.sign_anew(host, pod.pod_id) for pod in pods.list_pods(host))
        method = consent_receipts.verification_method(host)
    told = f"\n{renewed} receipts are signed anew." if compromised else ""
    frame.answer(
        {"number": made.number, "key": method, "renewed": renewed},
        f"Key {made.number} signs receipts: {method}{told}",
    )
