"""Every switch in every channel: nothing lost, nothing twice, a clear word for what stood in the way, and it recovers.

The matrix is whole by construction: each pair of a switch and a channel has a case here, or a reason why it cannot occur. A new
switch, or a new channel, fails the first test until both are written. docs/faults.md shows the same to a reader.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from channel_rigs import rig_of

from tvilling.city.simulators.faults import Switch

if TYPE_CHECKING:
    from collections.abc import Callable

CHANNELS = ("push", "oauth pull", "token pull", "signed call", "ping", "file", "meter", "message", "calculation")
FAULTS_PAGE = Path(__file__).parents[3] / "docs" / "faults.md"
CASES: dict[tuple[Switch, str], Callable[[Any], None]] = {}

_SECONDS = "its times are counted in seconds since 1970: there is no wall's clock in them"
_NO_ANSWER = "whoever delivers so is asked nothing; what the house itself answers is the house's"
_BEARER = "a bearer token carries no proof; an answer of the sign-in that comes twice: test_an_answer_counts_once"
_FILE = "a file is nobody's to answer, sign or end: it is the citizen's own, under the citizen's own consent"
_NO_FIGURES = "only a service that calculates answers with figures of its own"
_SLOW = (
    "no simulator of this channel thinks too long; whoever does is cut: test_t14_slow_callers.py, test_t11_outbound.py"
)
_PRESS = "it is asked at a press and answers of no time; nobody shows it a proof"
_HOUSE = "the house says when and what it sends, by its own clock"
CANNOT: dict[tuple[Switch, str], str] = {
    (Switch.BUSY, "push"): _NO_ANSWER,
    (Switch.ILL, "push"): _NO_ANSWER,
    (Switch.DST, "oauth pull"): _SECONDS,
    (Switch.REPLAY, "oauth pull"): _BEARER,
    (Switch.REPLAY, "token pull"): _BEARER,
    (Switch.DST, "signed call"): _SECONDS,
    (Switch.BUSY, "signed call"): _NO_ANSWER,
    (Switch.ILL, "signed call"): _NO_ANSWER,
    (Switch.DST, "ping"): _SECONDS,
    (Switch.SKEW, "ping"): "a ping carries no time",
    (Switch.REPLAY, "ping"): "a ping carries no proof, and nothing in it is believed",
    (Switch.EXPIRED, "file"): _FILE,
    (Switch.ROTATION, "file"): _FILE,
    (Switch.REPLAY, "file"): _FILE,
    (Switch.BUSY, "file"): _FILE,
    (Switch.ILL, "file"): _FILE,
    (Switch.LATE, "message"): _HOUSE,
    (Switch.DST, "message"): _HOUSE,
    (Switch.SKEW, "message"): _HOUSE,
    (Switch.EXPIRED, "message"): "a message is no delivery: that a consent has ended is what it tells",
    **{(switch, "calculation"): _PRESS for switch in (Switch.LATE, Switch.DST, Switch.SKEW, Switch.REPLAY)},
    **{(Switch.SLOW, channel): _SLOW for channel in CHANNELS[:-1]},
    **{(switch, channel): _NO_FIGURES for switch in (Switch.UNIT, Switch.BOUNDS) for channel in CHANNELS[:-1]},
}


def case(*pairs: tuple[Switch, str]) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """This function tries these pairs."""

    def keep(tried: Callable[[Any], None]) -> Callable[[Any], None]:
        for pair in pairs:
            assert pair not in CASES
            CASES[pair] = tried
        return tried

    return keep


def across(switch: Switch, *channels: str) -> list[tuple[Switch, str]]:
    return [(switch, channel) for channel in channels]


def turned(rig: Any, switch: Switch, how: str = "1", *, says: str | tuple[str, ...]) -> None:
    """Something new happens, the switch is on: one of these words is said; then it is well again."""
    rig.faults.turn(switch, how)
    rig.pass_time(hours=7)
    said = rig.move()
    assert said in ((says,) if isinstance(says, str) else says)
    rig.faults.turn(switch, "off")


def well_again(rig: Any) -> None:
    rig.recover()
    assert rig.move() in {"", "waits"}
    rig.assert_nothing_lost_and_nothing_twice()


# Those who push


@case(*across(Switch.DUPLICATES, "push"), *across(Switch.NONSENSE, "push"), *across(Switch.HALF, "push"))
def push_goes_on(rig: Any) -> None:
    for switch in (Switch.DUPLICATES, Switch.NONSENSE, Switch.HALF):
        rig.faults.turn(switch, "1")
        assert rig.move() == ""
        assert rig.faults.met[switch] == 1
        rig.pass_time(days=1)
    assert rig.partner.counts.duplicates > 20, "the second time is told to be one"
    rig.move()
    rig.assert_nothing_lost_and_nothing_twice()


@case((Switch.REPLAY, "push"))
def push_replays(rig: Any) -> None:
    rig.faults.turn(Switch.REPLAY, "1")
    assert rig.move() == ""
    assert rig.client.replay() == 401
    rig.assert_nothing_lost_and_nothing_twice()


@case((Switch.LATE, "push"), (Switch.DST, "push"))
def push_of_another_time(rig: Any) -> None:
    rig.faults.turn(Switch.LATE, "on")
    assert rig.move() == ""
    assert rig.pod() == {}
    rig.faults.turn(Switch.LATE, "off")
    rig.faults.turn(Switch.DST, "on")
    rig.pass_time(days=1)
    assert rig.move() == ""
    rig.assert_nothing_lost_and_nothing_twice()
    assert len(rig.pod()) == 5 * 24 + 1, "with the hour that comes twice"


@case((Switch.SKEW, "push"), (Switch.ROTATION, "push"))
def push_is_not_let_in(rig: Any) -> None:
    for switch in (Switch.SKEW, Switch.ROTATION):
        rig.faults.turn(switch, "on")
        said = rig.move()
        assert "invalid_client" in said or "assertion" in said, said
        rig.faults.turn(switch, "off")
    assert rig.pod() == {}
    assert rig.move() == ""
    rig.assert_nothing_lost_and_nothing_twice()


@case((Switch.EXPIRED, "push"))
def push_after_the_end(rig: Any) -> None:
    rig.move()
    held = rig.pod()
    rig.end_consent()
    rig.pass_time(days=1)
    assert rig.move() == "consent-withdrawn"
    rig.pass_time(days=1)
    assert rig.move() == "", "it heeds what it was told"
    rig.faults.turn(Switch.EXPIRED, "1")
    rig.partner.customers["kari"].cursor = rig.began
    assert rig.move() == "consent-withdrawn"
    assert rig.pod() == held


# Those who are asked


@case(*across(Switch.DUPLICATES, "oauth pull", "token pull"), *across(Switch.SKEW, "oauth pull"))
def pull_goes_on(rig: Any) -> None:
    for switch in (Switch.DUPLICATES, Switch.SKEW) if hasattr(rig, "watches") else (Switch.DUPLICATES,):
        rig.faults.turn(switch, "on")
        rig.pass_time(hours=7)
        assert rig.move() == ""
        rig.assert_nothing_lost_and_nothing_twice()


@case(*across(Switch.LATE, "oauth pull", "token pull"))
def pull_of_what_comes_late(rig: Any) -> None:
    rig.move()
    rig.faults.turn(Switch.LATE, "on")
    rig.pass_time(hours=7)
    assert rig.move() == ""
    before = len(rig.raws())
    rig.pass_time(hours=7)
    assert rig.move() == ""
    assert len(rig.raws()) == before
    rig.faults.turn(Switch.LATE, "off")
    well_again(rig)


@case((Switch.DST, "token pull"))
def pull_of_an_hour_that_comes_twice(rig: Any) -> None:
    rig.faults.turn(Switch.DST, "on")
    rig.pass_time(hours=18)
    assert rig.move() == ""
    rig.assert_nothing_lost_and_nothing_twice()
    assert len(rig.pod()) == 42 * 60


@case((Switch.SKEW, "token pull"))
def pull_of_what_lies_ahead(rig: Any) -> None:
    rig.move()
    turned(rig, Switch.SKEW, "on", says=("", "some-unreadable", "no-room", "some-refused"))
    for _ in range(3):
        rig.recover()
        rig.move()
    held, truth = rig.pod(), rig.truth()
    assert len(rig.raws()) == len(held), "nothing is twice"
    newest = max(truth)
    assert newest in held, "it goes on: a clock that was wrong for a while does not stop it for ever"
    unsaid = truth.keys() - held.keys()
    assert len(unsaid) <= 10, "what was told under a wrong time stands there; nothing else is missing"


@case(*across(Switch.EXPIRED, "oauth pull", "token pull"), *across(Switch.ROTATION, "token pull"))
def pull_wants_its_citizen(rig: Any) -> None:
    turned(rig, Switch.EXPIRED, says="sign-in-again")
    rig.sign_in_again()
    assert rig.move() == ""
    rig.assert_nothing_lost_and_nothing_twice()


@case((Switch.ROTATION, "oauth pull"))
def pull_after_new_keys(rig: Any) -> None:
    turned(rig, Switch.ROTATION, says="")
    rig.assert_nothing_lost_and_nothing_twice()


@case(*across(Switch.BUSY, "oauth pull", "token pull"))
def pull_of_a_busy_source(rig: Any) -> None:
    turned(rig, Switch.BUSY, says="busy")
    assert rig.move() == "waits", "as long as it asked for"
    well_again(rig)


@case(
    *across(Switch.ILL, "oauth pull", "token pull"),
    *across(Switch.HALF, "oauth pull", "token pull"),
    *across(Switch.NONSENSE, "oauth pull", "token pull"),
)
def pull_of_a_sick_source(rig: Any) -> None:
    for switch, word in (
        (Switch.ILL, "unreachable"),
        (Switch.HALF, "unreachable"),
        (Switch.NONSENSE, ("unreadable", "unreachable")),  # of data, or of tokens
    ):
        turned(rig, switch, says=word)
        well_again(rig)


# Those who call


@case(*across(Switch.DUPLICATES, "signed call", "ping"))
def call_twice(rig: Any) -> None:
    rig.faults.turn(Switch.DUPLICATES, "on")
    rig.walk()
    rig.move()
    assert rig.statuses == [204, 204]
    rig.assert_nothing_lost_and_nothing_twice()


@case(*across(Switch.LATE, "signed call", "ping"))
def call_late(rig: Any) -> None:
    rig.faults.turn(Switch.LATE, "on")
    rig.watches.newest()
    before = rig.pod()
    rig.walk()
    rig.watches.call()
    assert rig.statuses == []
    assert rig.pod() == before
    rig.faults.turn(Switch.LATE, "off")
    well_again(rig)


@case(*across(Switch.SKEW, "signed call"), *across(Switch.ROTATION, "signed call"), *across(Switch.HALF, "signed call"))
def call_that_does_not_hold(rig: Any) -> None:
    for switch in (Switch.SKEW, Switch.ROTATION, Switch.HALF):
        before = rig.pod()
        rig.faults.turn(switch, "on")
        rig.walk()
        assert rig.move() == "401"
        assert rig.pod() == before
        rig.faults.turn(switch, "off")
        well_again(rig)


@case(*across(Switch.NONSENSE, "signed call", "ping"), *across(Switch.HALF, "ping"))
def call_that_is_none(rig: Any) -> None:
    for switch in (Switch.NONSENSE,) if rig.signed else (Switch.NONSENSE, Switch.HALF):
        rig.faults.turn(switch, "1")
        rig.walk()
        rig.watches.call()
        assert rig.statuses[-1] == 422
        well_again(rig)


@case((Switch.REPLAY, "signed call"))
def call_replayed(rig: Any) -> None:
    rig.walk()
    rig.move()
    rig.faults.turn(Switch.REPLAY, "1")
    rig.walk()
    rig.move()
    assert rig.statuses[-2:] == [401, 204]
    rig.assert_nothing_lost_and_nothing_twice()


@case(*across(Switch.EXPIRED, "signed call", "ping"))
def call_after_the_end(rig: Any) -> None:
    rig.walk()
    rig.move()
    held = rig.pod()
    rig.end_consent()
    rig.walk()
    rig.watches.call()
    rig.move()
    assert rig.statuses[-1] == 204, "whom a call tells of is never answered"
    assert rig.pod() == held


@case(*across(Switch.BUSY, "ping"), *across(Switch.ILL, "ping"))
def ping_of_a_sick_source(rig: Any) -> None:
    for switch, word in ((Switch.BUSY, "busy"), (Switch.ILL, "unreachable")):
        rig.walk()
        rig.faults.turn(switch, "1")
        assert rig.move() == word
        well_again(rig)


@case((Switch.ROTATION, "ping"))
def ping_of_a_source_with_new_keys(rig: Any) -> None:
    rig.walk()
    rig.watches.end_access()
    assert rig.move() == ""
    rig.assert_nothing_lost_and_nothing_twice()


# Files


@case((Switch.DUPLICATES, "file"), (Switch.DST, "file"))
def file_twice(rig: Any) -> None:
    assert rig.drop(rig.content) == ""
    assert rig.drop(rig.content) == ""
    assert (rig.last.report.accepted, rig.last.report.duplicates) == (0, 12 * 24 + 1)
    rig.assert_nothing_lost_and_nothing_twice()
    assert {"2024-10-27T00:00:00Z", "2024-10-27T01:00:00Z"} <= rig.pod().keys(), "two o'clock, and two o'clock again"


@case((Switch.LATE, "file"), (Switch.HALF, "file"), (Switch.NONSENSE, "file"))
def file_in_the_wrong_order_cut_and_broken(rig: Any) -> None:
    lines = rig.content.decode().splitlines()
    newer = "\n".join([lines[0], *lines[200:]]).encode()
    assert rig.drop(newer, "newer.csv") == ""
    assert rig.drop(rig.content[:900], "half.csv.part") == "left alone"
    assert rig.drop(rig.content[: rig.content.index(b"\n", 2000) + 12], "cut.csv") == "unusable-payload"
    assert "line" in str(rig.last.report.problems)
    broken = "\n".join([*lines[:50], "31.02.2024 x,y,z,Målt", *lines[51:150]]).encode()
    assert rig.drop(broken, "broken.csv") == "unusable-payload"
    assert rig.last.report.refused == 1
    assert rig.drop(rig.content, "whole.csv") == ""
    rig.assert_nothing_lost_and_nothing_twice()


@case((Switch.SKEW, "file"))
def file_of_times_ahead(rig: Any) -> None:
    ahead = '01.01.2031 00:00,01.01.2031 01:00,"0,5",Målt\n'.encode()
    said = rig.drop(rig.content + ahead)
    assert said not in {"", "left alone"}
    assert rig.last.report.refused == 1
    rig.assert_nothing_lost_and_nothing_twice()


# The program at the meter


@case(*across(Switch.DUPLICATES, "meter"), *across(Switch.SKEW, "meter"))
def meter_twice_and_astray(rig: Any) -> None:
    for switch in (Switch.DUPLICATES, Switch.SKEW):
        rig.faults.turn(switch, "on")
        rig.listen()
        assert rig.move() == ""
    rig.assert_nothing_lost_and_nothing_twice()


@case((Switch.DST, "meter"))
def meter_in_the_hour_that_comes_twice(rig: Any) -> None:
    rig.first = rig.read_to = rig.first.replace(hour=0, minute=58)
    rig.listen(4)  # 02:58 by the wall, and then 02:00 once more
    assert rig.move() == ""
    rig.assert_nothing_lost_and_nothing_twice()


@case(*across(Switch.HALF, "meter"), *across(Switch.NONSENSE, "meter"))
def meter_on_a_bad_line(rig: Any) -> None:
    for switch in (Switch.HALF, Switch.NONSENSE):
        rig.faults.turn(switch, "30%")
        rig.listen(3)
        assert rig.reader.broken > 0
        assert rig.faults.met[switch] > 0
    rig.faults.turn(Switch.HALF, "off")
    rig.listen(1)
    assert rig.move() == ""
    rig.assert_nothing_lost_and_nothing_twice()


@case(*across(Switch.LATE, "meter"), *across(Switch.BUSY, "meter"), *across(Switch.ILL, "meter"))
def meter_without_a_host(rig: Any) -> None:
    rig.listen()
    for status in (429, 503, 500):
        rig.status = status
        assert rig.move() == str(status)
        rig.listen(1)
    assert len(rig.queue) == 8
    rig.status = 0
    rig.pass_time(hours=30)
    assert rig.drain.once() == 8
    rig.assert_nothing_lost_and_nothing_twice()


@case(*across(Switch.ROTATION, "meter"), *across(Switch.REPLAY, "meter"))
def meter_program_with_another_key(rig: Any) -> None:
    rig.listen()
    rig.client.use_another_key(True)
    assert rig.move()
    assert len(rig.queue) == 5
    rig.client.use_another_key(False)
    assert rig.drain.once() == 5
    assert rig.client.replay() == 401
    rig.assert_nothing_lost_and_nothing_twice()


@case((Switch.EXPIRED, "meter"))
def meter_after_the_end(rig: Any) -> None:
    rig.listen()
    assert rig.move() == ""
    held = rig.pod()
    rig.end_consent()
    rig.listen()
    assert rig.move() == "consent-withdrawn"
    assert len(rig.queue) == 0
    assert rig.pod() == held


# Messages to partners


@case(
    *across(Switch.BUSY, "message"), *across(Switch.ILL, "message"), *across(Switch.HALF, "message"),
    *across(Switch.NONSENSE, "message"),
)  # fmt: skip
def message_to_a_sick_partner(rig: Any) -> None:
    for switch in (Switch.BUSY, Switch.ILL, Switch.HALF, Switch.NONSENSE):
        rig.faults.turn(switch, "1")
        rig.say()
        rig.say()
        said = rig.move()
        assert said, switch
        if switch is Switch.BUSY:
            rig.pass_time(seconds=29)
            assert rig.move() == said, "it is left alone for as long as it asked"
        rig.recover()
        assert rig.move() == ""
        rig.assert_nothing_lost_and_nothing_twice()


@case((Switch.ROTATION, "message"), (Switch.REPLAY, "message"), (Switch.DUPLICATES, "message"))
def message_under_a_new_key_and_twice(rig: Any) -> None:
    from partner_bridge.outbox import token_of
    from pod_server import outbox

    rig.say()
    with rig.host.storage.read() as tx:
        (message,) = outbox.first_waiting(tx)
    token = token_of(rig.host, message)
    assert rig.move() == ""
    rig.rotate()
    rig.say()
    assert rig.move() == ""
    rig.partner.receive(token, rig.now())
    rig.assert_nothing_lost_and_nothing_twice()


@case(*((each, "calculation") for each in Switch if each not in {Switch.LATE, Switch.DST, Switch.SKEW, Switch.REPLAY}))
def calculation_by_a_sick_service(rig: Any) -> None:
    for switch in Switch:
        if (switch, "calculation") in CANNOT:
            continue
        rig.faults.turn(switch, "on")
        said = rig.move()
        assert said == {Switch.BUSY: "busy"}.get(switch, said), switch
        assert said, switch
        assert rig.opened.kept() == [], switch
        rig.faults.turn(switch, "off")
        rig.recover()
        assert rig.move() == "", switch
        rig.assert_nothing_lost_and_nothing_twice()
        rig.forget()


def test_each_switch_is_tried_in_each_channel_or_says_why_it_cannot_occur_there():
    pairs = set(itertools.product(Switch, CHANNELS))
    assert CASES.keys() | CANNOT.keys() == pairs
    assert not CASES.keys() & CANNOT.keys()


def test_the_page_of_faults_shows_this_matrix():
    rows = re.findall(r"^\| `([^`]+)` \|(.*)\|$", FAULTS_PAGE.read_text("utf-8"), re.MULTILINE)
    shown = {
        (Switch(name), channel): "tried" in cell
        for name, cells in rows
        for channel, cell in zip(CHANNELS, cells.split("|"), strict=True)
    }
    assert shown == {pair: pair in CASES for pair in itertools.product(Switch, CHANNELS)}


def tries() -> list[Any]:
    """Each function once a channel: it may try several switches of it."""
    found = {(tried, channel): switch for (switch, channel), tried in reversed(CASES.items())}
    return [
        pytest.param(channel, tried, id=f"{channel}: {tried.__name__}".replace(" ", "-")) for tried, channel in found
    ]


@pytest.mark.parametrize(("channel", "tried"), tries())
def test_nothing_is_lost_nothing_twice_and_it_recovers(city, tmp_path, channel, tried):
    with rig_of(channel, city, tmp_path) as rig:
        tried(rig)
