"""`tvilling demo`: the city on this machine, to look at, or once through unattended."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import click

from tvilling.commands.frame import DEFAULT_LISTEN, DEFAULT_LIVE_LISTEN, Frame, command
from tvilling.errors import SettingsError
from tvilling.settings import Listen


@click.command("demo")
@click.option("--listen", default=None, help=f"HOST:PORT of the pages; {DEFAULT_LISTEN} where left out.")
@click.option("--live-listen", default=None, help=f"HOST:PORT of the live streams; {DEFAULT_LIVE_LISTEN}.")
@click.option("--citizens", type=click.IntRange(1, 4), default=4, help="How many citizens have live pages.")
@click.option("--neighbours", type=click.IntRange(0, 5000), default=600, help="How many quiet simulated neighbours.")
@click.option("--speed", type=click.FloatRange(1, 3600), default=60.0, help="How much faster the city's time runs.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="WHO:WHAT[=HOW]",
    help="Something goes wrong at a partner or source, as docs/faults.md lists it: atb:late, all:5xx=10%; may be repeated.",
)
@click.option("--once", is_flag=True, help="The whole job, unattended; prints what clients saw and ends.")
@click.option("--keep", is_flag=True, help="With --once: leave the city running for inspection, until Ctrl-C.")
@command
def demo_command(
    frame: Frame,
    *,
    listen: str | None,
    live_listen: str | None,
    citizens: int,
    neighbours: int,
    speed: float,
    faults: tuple[str, ...],
    once: bool,
    keep: bool,
) -> None:
    """Run the demo city: pods, partners, pages, on loopback alone."""
    from tvilling.demo import run_demo  # noqa: PLC0415
    from tvilling.ports import free_port  # noqa: PLC0415

    if not once:
        run_demo(
            frame.data,
            listen=Listen.parse(listen or DEFAULT_LISTEN),
            live_listen=Listen.parse(live_listen or DEFAULT_LIVE_LISTEN),
            citizens=citizens,
            neighbours=neighbours,
            speed=speed,
            say=click.echo,
            faults=faults,
            **frame.databases(),
        )
        return
    from tvilling.once import run_once  # noqa: PLC0415

    data, temporary = _folder_for_once(frame, keep=keep)
    try:
        report = run_once(
            data,
            listen=Listen.parse(listen) if listen else Listen("127.0.0.1", free_port()),
            live_listen=Listen.parse(live_listen) if live_listen else Listen("127.0.0.1", free_port()),
            citizens=citizens,
            neighbours=neighbours,
            speed=speed,
            say=lambda words: click.echo(words, err=True),
            tell=frame.answer,
            keep=keep,
            faults=faults,
            **frame.databases(),
        )
    finally:
        if temporary and not keep:
            shutil.rmtree(data, ignore_errors=True)
    if report.failures:
        for failure in report.failures:
            click.echo(f"tvilling: {failure}", err=True)
        sys.exit(1)


def _folder_for_once(frame: Frame, *, keep: bool) -> tuple[Path, bool]:
    """The folder of an unattended run: the one named, which must be empty, or one of its own.

    Raises:
        SettingsError: the named folder holds something.
    """
    named = click.get_current_context().get_parameter_source("data") is not click.core.ParameterSource.DEFAULT
    if not named:
        return Path(tempfile.mkdtemp(prefix="tvilling-once-")), not keep
    if frame.data.exists() and any(frame.data.iterdir()):
        raise SettingsError(f"{frame.data} is not empty; --once shows a new city, so name a new folder with --data")
    return frame.data, False
