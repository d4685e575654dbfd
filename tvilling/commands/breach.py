"""`tvilling breach`: whom a partner's breach concerns, with a notice ready to send."""

from __future__ import annotations

import json

import click

from tvilling.commands.frame import Frame, command, moment


@click.command("breach")
@click.argument("partner")
@click.option("--from", "first", required=True, help="The first day, such as 2026-11-01.")
@click.option("--to", "last", required=True, help="The last day.")
@click.option("--record", is_flag=True, help="Write it into each affected citizen's log.")
@command
def breach(frame: Frame, *, partner: str, first: str, last: str, record: bool) -> None:
    """List the citizens about whom PARTNER sent anything in the period, print the notices, to them and to Datatilsynet."""
    from tvilling.breach import LANGUAGES, authority_notice, find_breach, notice, record_breach  # noqa: PLC0415

    with frame.host() as host:
        found = find_breach(host, partner, moment(first, "--from"), moment(last, "--to"))
        if record:
            record_breach(host, found)
        notices = {language: notice(found, host.base_url, language) for language in LANGUAGES} if found.affected else {}
        authority = authority_notice(found, host.base_url, known_at=host.clock.protocol_now())
    duty = (
        "The supervisory authority is told within 72 hours of when the breach was known (GDPR Art. 33), the citizens "
        "without undue delay where the risk to them is high (Art. 34)."
    )
    frame.answer(
        {
            "partner": found.partner.name,
            "client_id": found.partner.client_id,
            "from": found.first.date().isoformat(),
            "to": found.last.date().isoformat(),
            "citizens": [
                {
                    "handle": one.handle,
                    "grants": one.grants,
                    "kinds": sorted(one.kinds),
                    "figures": sorted(one.figures),
                    "records": one.records,
                    "locked": one.locked,
                }
                for one in found.affected
            ],
            "simulated_left_out": found.simulated,
            "kinds": found.kinds,
            "categories": found.categories,
            "recorded": record,
            "figures": found.figures,
            "locked": found.locked,
            "notices": notices,
            "authority": authority,
            "note": duty,
        },
        "\n".join(
            [
                f"{len(found.affected)} citizens are affected: {', '.join(one.handle for one in found.affected) or 'none'}",
                *(f"\n{text}" for text in notices.values()),
                "To Datatilsynet:\n" + json.dumps(authority, ensure_ascii=False, indent=1),
                duty,
            ]
        ),
    )
