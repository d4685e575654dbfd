"""`tvilling consent`: what a citizen's consent centre does, from the command line; the log says operator-assisted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from tvilling.commands.acting import OPERATOR_ASSISTED, vault_of
from tvilling.commands.frame import Frame, command, moment
from tvilling.errors import SettingsError

PASSPHRASE_HELP = "A file with the citizen's passphrase, or - for standard input."  # noqa: S105 - a help text


WHOLE_PAST = timedelta(days=10 * 366)
"""What a consent without a window covers: as far back as anybody keeps such records."""


@click.group()
def consent() -> None:
    """Consents that citizens gave."""


@consent.command("give")
@click.argument("handle")
@click.option("--partner", "client_id", required=True, help="The partner's client identifier.")
@click.option("--kind", "kinds", multiple=True, help="A kind of activity that may be delivered; may be repeated.")
@click.option("--read", "reads", multiple=True, help="A figure or a kind that may be read; may be repeated.")
@click.option("--reads-per-day", type=click.IntRange(1, 1440), default=None, help="The most readings a day; 24.")
@click.option("--purpose", default="personal-footprint", help="A purpose of /vocab/purposes.")
@click.option("--expires", default=None, help="When the consent ends; a year from now where it is left out.")
@click.option(
    "--window",
    default=None,
    help="FROM/TO: the period that activities may lie in; ten years back and on, where left out.",
)
@click.option("--granularity", default="event", help="The finest interval, such as PT1H, or event.")
@click.option("--quota", type=click.IntRange(1), default=None, help="The most activities a day.")
@click.option("--passphrase-file", default=None, help=PASSPHRASE_HELP)
@command
def give(
    frame: Frame,
    *,
    handle: str,
    client_id: str,
    kinds: tuple[str, ...],
    reads: tuple[str, ...],
    reads_per_day: int | None,
    purpose: str,
    expires: str | None,
    window: str | None,
    granularity: str,
    quota: int | None,
    passphrase_file: str | None,
) -> None:
    """Give a partner a consent, on the citizen's behalf: to deliver kinds of activity, or to read figures or kinds."""
    from consent.grant import USUAL_READS_PER_DAY, GrantTerms  # noqa: PLC0415
    from pod_server import grants  # noqa: PLC0415
    from pod_server.opening import find_pod  # noqa: PLC0415
    from vocab.kinds import load_kinds  # noqa: PLC0415
    from vocab.purposes import load_purposes  # noqa: PLC0415
    from vocab.shared_figures import load_shared_figures  # noqa: PLC0415

    if purpose not in load_purposes():
        raise SettingsError(
            f"--purpose: {purpose[:60]!r} is no purpose; there are {', '.join(sorted(load_purposes()))}"
        )
    known, figures = load_kinds().by_slug, load_shared_figures()
    if bool(kinds) == bool(reads):
        raise SettingsError("either --kind (to deliver) or --read (to read): each is a consent of its own")
    if unknown := sorted(set(reads) - set(known) - set(figures)):
        raise SettingsError(
            f"--read: {unknown[0]!r} is no figure and no kind; there are {', '.join([*figures, *sorted(known)])}"
        )
    if unknown := sorted(set(kinds) - set(known)):
        raise SettingsError(f"--kind: {unknown[0]!r} is no kind of activity; there are {', '.join(sorted(known))}")
    with frame.host() as host:
        now = host.clock.now()
        start, _, end = (window or "").partition("/")
        if expires and moment(expires, "--expires") <= now:
            raise SettingsError(f"--expires: {expires} has passed; a consent ends in the future")
        terms = GrantTerms(
            client_id=client_id,
            purpose=purpose,
            kinds=frozenset(kinds) or frozenset(reads) & known.keys(),
            operations=frozenset({"read"} if reads else {"append"}),
            figures=frozenset(reads) & figures.keys(),
            reads_per_day=(reads_per_day or USUAL_READS_PER_DAY) if reads else None,
            granularity=granularity,
            history_from=moment(start, "--window") if start else now - WHOLE_PAST,
            valid_to=moment(end, "--window") if end else None,
            expires_at=moment(expires, "--expires") if expires else now + timedelta(days=365),
            quota_per_day=quota,
        )
        with host.storage.read() as tx:
            pod = find_pod(tx, handle)
        vault = vault_of(host, pod, passphrase_file)
        made = grants.give(host, pod.pod_id, terms, actor=OPERATOR_ASSISTED, vault=vault)
        frame.answer(
            {
                "grant": made.id,
                "subject": grants.subject_of(host, made),
                "location": f"{host.base_url}/bridge/grants/{made.id}" if reads else grants.location_of(host),
                "kinds": sorted(made.terms.kinds),
                "figures": sorted(made.terms.figures),
                "expires": made.terms.expires_at.isoformat(),
            }
        )


@consent.command("list")
@click.argument("handle")
@command
def list_all(frame: Frame, *, handle: str) -> None:
    """A citizen's grants."""
    from pod_server import grants  # noqa: PLC0415
    from pod_server.opening import find_pod  # noqa: PLC0415

    with frame.host() as host:
        with host.storage.read() as tx:
            pod = find_pod(tx, handle)
        now = host.clock.now()
        rows: list[dict[str, Any]] = [
            {
                "grant": view.grant.id,
                "partner": view.partner_name,
                "client_id": view.grant.terms.client_id,
                "state": str(view.grant.state_at(now)),
                "purpose": view.grant.terms.purpose,
                "kinds": sorted(view.grant.terms.kinds),
                "expires": view.grant.terms.expires_at.isoformat(),
                "figures": sorted(view.grant.terms.figures),
                "reads": view.reads,
                "accepted": view.accepted,
                "duplicates": view.duplicates,
                "refused": view.refused,
            }
            for view in grants.list_grants(host, pod.pod_id)
        ]
    frame.answer(rows, "\n".join(f"{row['grant']}\t{row['state']}\t{row['partner']}" for row in rows) or "none yet")


def _change(frame: Frame, grant: str, act: str, passphrase_file: str | None, **terms: Any) -> None:
    from pod_server import grants  # noqa: PLC0415
    from pod_server.authorization.grant_rows import find_grant  # noqa: PLC0415
    from pod_server.identifiers import PodId  # noqa: PLC0415
    from pod_server.opening import find_pod  # noqa: PLC0415

    with frame.host() as host:
        with host.storage.read() as tx:
            found = find_grant(tx, host.host_key, grant)
            if found is None:
                raise SettingsError(f"no grant is called {grant!r}; `tvilling consent list HANDLE` shows a citizen's")
            pod = find_pod(tx, PodId(found.pod_id))
        # The passphrase, or the custodian slot, shows that whoever asks may act as the citizen.
        vault_of(host, pod, passphrase_file)
        done = getattr(grants, act)(host, pod.pod_id, grant, actor=OPERATOR_ASSISTED, **terms)
        value: dict[str, Any] = {"grant": grant, "done": act}
        words = f"{grant}: {act} done."
        if isinstance(done, grants.Erased):
            value |= {
                "keys_destroyed": done.keys_destroyed,
                "rows_deleted": done.rows_deleted,
                "copies_die_by": done.copies_die_by.isoformat(),
            }
            words += f" No copy of the key store opens any of it after {done.copies_die_by:%Y-%m-%d}."
        frame.answer(value, words)


@consent.command("pause")
@click.argument("grant")
@click.option("--passphrase-file", default=None, help=PASSPHRASE_HELP)
@command
def pause(frame: Frame, *, grant: str, passphrase_file: str | None) -> None:
    """Pause a grant: deliveries are refused until it is renewed or resumed."""
    _change(frame, grant, "pause", passphrase_file)


@consent.command("resume")
@click.argument("grant")
@click.option("--passphrase-file", default=None, help=PASSPHRASE_HELP)
@command
def resume(frame: Frame, *, grant: str, passphrase_file: str | None) -> None:
    """Let a paused grant go on."""
    _change(frame, grant, "resume", passphrase_file)


@consent.command("renew")
@click.argument("grant")
@click.option("--expires", required=True, help="The new end.")
@click.option("--passphrase-file", default=None, help=PASSPHRASE_HELP)
@command
def renew(frame: Frame, *, grant: str, expires: str, passphrase_file: str | None) -> None:
    """Give a grant a new end."""
    _change(frame, grant, "renew", passphrase_file, expires_at=moment(expires, "--expires"))


@consent.command("withdraw")
@click.argument("grant")
@click.option("--passphrase-file", default=None, help=PASSPHRASE_HELP)
@command
def withdraw(frame: Frame, *, grant: str, passphrase_file: str | None) -> None:
    """Withdraw a grant: from now on no write under it succeeds."""
    _change(frame, grant, "withdraw", passphrase_file)


@consent.command("erase")
@click.argument("grant")
@click.option("--passphrase-file", default=None, help=PASSPHRASE_HELP)
@command
def erase(frame: Frame, *, grant: str, passphrase_file: str | None) -> None:
    """Destroy the keys of everything that came under a grant."""
    _change(frame, grant, "erase", passphrase_file)
