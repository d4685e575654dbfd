"""`tvilling doctor`: what is wrong with this host, and how to mend it."""

from __future__ import annotations

import dataclasses
import sys

import click

from tvilling.commands.frame import Frame, command


@click.command("doctor")
@command
def doctor(frame: Frame) -> None:
    """Look for what makes docs/threat-model.md untrue here; changes nothing. Exit 1 when anything is wrong."""
    from tvilling.doctor import examine  # noqa: PLC0415

    findings = examine(frame.settings())
    wrong = [finding for finding in findings if finding.level == "wrong"]
    words = [f"{finding.level.upper()}  {finding.what}\n         {finding.mend}" for finding in findings]
    words.append(f"{len(wrong)} wrong, {len(findings) - len(wrong)} to know." if findings else "Nothing is wrong.")
    frame.answer({"ok": not wrong, "findings": [dataclasses.asdict(finding) for finding in findings]}, "\n".join(words))
    if wrong:
        sys.exit(1)
