"""Ours beside the Community Solid Server: both driven by the same client, in one run, on one machine.

    .venv/bin/python benchmarks/solid.py [--seconds 3] [--rounds 3] [--pods 100000] [--ours-only] [--json FILE]

Takes about five minutes.

Prints a table in Markdown; each figure is the median of the rounds, in which the servers take turns. Needs `wrk` and
`npm` (Debian: `apt-get install wrk npm`); the other server and the folder of many pods are kept in a cache folder
outside the project. The other server is given what it is fastest with: for public documents files without access
control, for the rest its memory (it encrypts nothing, logs nothing and does not sync). Ours runs as `tvilling serve`
starts it: every role, encrypted, logged, each write synced before it is answered.

One thread of wrk makes the load, with 32 connections that ask again as soon as they are answered. DPoP proofs are made
before the clock starts, one for each request. The load shares the two cores with the server.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from machine import describe
from solid_load import servers
from solid_load.client import TURTLE, Client, Load, Script, n3_patch, turtle
from solid_load.pods import ENROLLED, folder_with_pods

CLIENTS = 32
PATCHED_DOCUMENTS = 200
N3 = {"Content-Type": "text/n3"}
ACCEPT = {"Accept": "text/turtle"}


@dataclass
class Side:
    """One of the two, with the clients that ask it.

    Attributes:
        name: Of the column.
        stranger: A client without a token, and the container of public documents.
        owner: The owner's script, and a container of the owner's.
        proofs_a_second: How many proofs to make for each second of load; more than it can answer.
    """

    name: str
    server_for_strangers: servers.Server
    server_for_owner: servers.Server
    stranger: Client
    public: str
    owner: Client
    private: str
    proofs_a_second: int
    loads: dict[str, list[Load]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, row: str, server: servers.Server, run: Callable[[int], Load]) -> None:
        """One round of one row; the next round makes as many proofs as the last showed to be enough."""
        before = server.cpu_seconds()
        seen = self.loads.get(row)
        load = run(int(max(one.a_second for one in seen) * 1.5) + 100 if seen else self.proofs_a_second)
        if load.errors:
            raise SystemExit(f"{self.name}, {row}: {load.errors} of {load.answers} answers were errors")
        self.loads.setdefault(row, []).append(load)
        self.cpu.setdefault(row, []).append((server.cpu_seconds() - before) / max(1, load.answers) * 1e6)


def load_rounds(sides: list[Side], rounds: int, seconds: int, rows: list[str]) -> None:
    document = turtle(20)
    for side in sides:
        where = side.owner if side.name == "ours" else side.stranger
        where.expect("PUT", f"{side.public}document.ttl", document.encode(), TURTLE)
        side.owner.expect("PUT", f"{side.private}document.ttl", document.encode(), TURTLE)
        side.owner.expect("PUT", f"{side.private}posted/first.ttl", b"<a> <b> <c> .", TURTLE)
        for number in range(PATCHED_DOCUMENTS):
            side.owner.expect("PUT", f"{side.private}patched/{number}.ttl", document.encode(), TURTLE)
    for turn in range(rounds):
        for row in rows:
            for side in sides:
                _load_one(side, row, turn, seconds, document)


def _load_one(side: Side, row: str, turn: int, seconds: int, document: str) -> None:
    def run(client: Client, method: str, path: str, **more) -> Callable[[int], Load]:
        return lambda proofs: client.load(
            method, path, seconds=seconds, clients=CLIENTS, proofs=proofs * seconds, **more
        )

    if row == "GET public":
        work = run(side.stranger, "GET", f"{side.public}document.ttl", headers=ACCEPT)
    elif row == "GET":
        work = run(side.owner, "GET", f"{side.private}document.ttl", headers=ACCEPT)
    elif row == "PUT":
        work = run(side.owner, "PUT", f"{side.private}put-{turn}/%d.ttl", headers=TURTLE, body=document)
    elif row == "PATCH":
        patch, path = n3_patch(f"{turn}-%d"), f"{side.private}patched/%d.ttl"
        work = run(side.owner, "PATCH", path, headers=N3, body=patch, numbers=PATCHED_DOCUMENTS)
    else:
        work = run(side.owner, "POST", f"{side.private}posted/", headers=TURTLE, body=document)
    server = side.server_for_strangers if row == "GET public" else side.server_for_owner
    side.measure(row, server, work)
    load = side.loads[row][-1]
    note(
        f"{side.name:9} {row:10} {load.a_second:8.0f}/s  p50 {load.p50_ms:6.1f}  p99 {load.p99_ms:7.1f} ms  "
        f"{side.cpu[row][-1]:6.0f} µs of CPU"
    )


def growth(client: Client, container: str, fill: Callable[[str, int], None], members: int) -> dict[str, float]:
    """One client: what a document's and a container's size does to a change, and the listing. Milliseconds."""
    for triples in (10, 10_000):
        client.expect("PUT", f"{container}of-{triples}.ttl", turtle(triples).encode(), TURTLE)
    patches: dict[int, list[float]] = {10: [], 10_000: []}
    for number in range(31):
        for triples, times in patches.items():
            body = n3_patch(f"grown-{number}").encode()
            times.append(client.expect("PATCH", f"{container}of-{triples}.ttl", body, N3)[2])
    fill(f"{container}full/", members)
    lists, puts = [], {"full": [], "empty": []}
    for number in range(41):
        for name, times in puts.items():
            if name == "empty":
                client.expect("PUT", f"{container}empty-{number}/", b"", CONTAINER)
            place = f"{container}{'full' if name == 'full' else f'empty-{number}'}/new-{number}.ttl"
            times.append(client.expect("PUT", place, b"<a> <b> <c> .", TURTLE)[2])
    first = 0.0
    for _ in range(7):
        _, content, milliseconds = client.expect("GET", f"{container}full/", None, ACCEPT)
        if content.count(b"member-") < members:
            raise SystemExit(f"the listing names {content.count(b'member-')} of {members} members")
        lists.append(milliseconds)
        first = first or milliseconds
    middle = statistics.median
    return {
        "patch_10": middle(patches[10]),
        "patch_10000": middle(patches[10_000]),
        "patch_ratio": middle(patches[10_000]) / middle(patches[10]),
        "list": middle(lists),
        "list_first": first,
        "put_empty": middle(puts["empty"]),
        "put_full": middle(puts["full"]),
        "put_ratio": middle(puts["full"]) / middle(puts["empty"]),
    }


CONTAINER = {"Content-Type": "text/turtle", "Link": '<http://www.w3.org/ns/ldp#BasicContainer>; rel="type"'}


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def start_times(begin: Callable[[], servers.Server], rounds: int) -> tuple[float, float]:
    """The median seconds from the start to the first answer, and the idle memory some seconds later."""
    seconds, memory = [], []
    for _ in range(rounds):
        server = begin()
        seconds.append(server.start_seconds)
        time.sleep(3)
        memory.append(server.memory_megabytes())
        server.stop()
    return statistics.median(seconds), statistics.median(memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3, help="of load, for each row, round and server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pods", type=int, default=100_000, help="on disk, for the memory; 0 leaves it out")
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--ours-only", action="store_true", help="without the other server, while working on ours")
    parser.add_argument("--rows", default="GET public,GET,PUT,PATCH,POST")
    parser.add_argument("--parts", default="load,growth,start")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; on Debian: apt-get install wrk")
    parts = options.parts.split(",")
    report: dict = {"machine": describe(), "ours": {}, "community": {}}
    folder = Path(tempfile.mkdtemp(prefix="tvilling-solid-"))
    running: list[servers.Server] = []
    try:
        _run(options, parts, report, folder, running)
    finally:
        for server in running:
            server.stop()
        servers.remove(folder)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    print(table(report))


def _run(options, parts: list[str], report: dict, folder: Path, running: list[servers.Server]) -> None:
    data, base, credentials = servers.prepare_ours(folder)
    package = None if options.ours_only else servers.install_community_server()
    if package:
        report["community"]["version"] = servers.community_version(package)
    if "start" in parts:
        note("starting and idling")
        report["ours"]["start"], report["ours"]["memory"] = start_times(
            lambda: servers.start_ours(data, base, folder), options.rounds
        )
        if options.pods:
            for count in (ENROLLED, options.pods):
                many = folder_with_pods(count, note)
                server = servers.start_ours(many, base, folder, "p0")
                running.append(server)
                time.sleep(3)
                memory = server.memory_megabytes()
                path, rounds = "/p%d/profile/card", [2] * options.rounds
                loads = [
                    Client(base).load(
                        "GET", path, seconds=one, clients=CLIENTS, proofs=0, headers=ACCEPT, numbers=ENROLLED
                    )
                    for one in rounds
                ]
                server.stop()
                if any(one.errors for one in loads):
                    raise SystemExit("profile cards were not read")
                report["ours"].setdefault("many", {})[str(count)] = {
                    "memory": memory,
                    "a_second": statistics.median(one.a_second for one in loads),
                }
    ours = servers.start_ours(data, base, folder)
    running.append(ours)
    sides = [
        Side("ours", ours, ours, Client(base), "/bench/public/", Client(base, Script(*credentials)), "/bench/b/", 6000)
    ]
    root = None
    if package:
        unguarded, root = servers.start_community_open(package, folder)
        running.append(unguarded)
        guarded, pod, credentials = servers.start_community_guarded(package, folder)
        running.append(guarded)
        report["community"]["start"] = statistics.median((unguarded.start_seconds, guarded.start_seconds))
        report["community"]["memory"] = guarded.memory_megabytes()
        owner = Client(guarded.base, Script(*credentials))
        sides.append(Side("community", unguarded, guarded, Client(unguarded.base), "/public/", owner, f"{pod}b/", 600))
    if "load" in parts:
        load_rounds(sides, options.rounds, options.seconds, options.rows.split(","))
        for side in sides:
            report[side.name]["load"] = {
                row: {
                    "a_second": statistics.median(one.a_second for one in loads),
                    "p99_ms": statistics.median(one.p99_ms for one in loads),
                    "cpu_us": statistics.median(side.cpu[row]),
                }
                for row, loads in side.loads.items()
            }
    if "growth" in parts:
        note("growing")

        def fill_ours(container: str, members: int) -> None:
            owner, made = sides[0].owner, 0
            owner.expect("PUT", container, b"", CONTAINER)
            while made < members:
                more = {"headers": TURTLE, "body": "<a> <b> <c> .", "first": made, "proofs": 6000, "seconds": 2}
                load = owner.load("PUT", f"{container}member-%d.ttl", clients=CLIENTS, **more)
                # Some were carried out and not answered any more when the clock stopped.
                made += load.answers + CLIENTS

        def fill_files(container: str, members: int) -> None:
            place = root / container.strip("/")
            place.mkdir(parents=True)
            for number in range(members):
                (place / f"member-{number}.ttl").write_text("<a> <b> <c> .")

        report["ours"]["growth"] = growth(sides[0].owner, "/bench/g/", fill_ours, options.members)
        if package:
            report["community"]["growth"] = growth(sides[1].stranger, "/g/", fill_files, options.members)
    report["machine_after"] = describe()


def table(report: dict) -> str:
    """The report as Markdown."""
    ours, other = report["ours"], report["community"]
    lines = [report["machine"], f"The other server: Community Solid Server {other.get('version', '(not run)')}.", ""]
    lines += ["| | Community | ours | | target |", "|---|---|---|---|---|"]
    targets = {"GET public": 10, "GET": 20, "PUT": 10, "PATCH": 10, "POST": 10}
    names = {"GET public": "GET public, 20 triples", "GET": "GET, WAC + DPoP", "PUT": "PUT, WAC + DPoP"}
    for row, got in ours.get("load", {}).items():
        them = other.get("load", {}).get(row)
        ratio = f"**{got['a_second'] / them['a_second']:.1f}×**" if them else ""
        theirs = f"{them['a_second']:.0f}/s, p99 {them['p99_ms']:.0f} ms" if them else ""
        lines.append(
            f"| {names.get(row, row + ', WAC + DPoP')}, {CLIENTS} clients | {theirs} | {got['a_second']:.0f}/s, "
            f"p99 {got['p99_ms']:.0f} ms, {got['cpu_us']:.0f} µs of CPU each | {ratio} | ≥ {targets[row]}×, ≤ 50 ms |"
        )

    def both(name: str, say: Callable[[dict], str], target: str, part: str) -> None:
        if part in ours:
            theirs = say(other) if part in other else ""
            lines.append(f"| {name} | {theirs} | {say(ours)} | | {target} |")

    def patched(side: dict) -> str:
        found = side["growth"]
        return f"{found['patch_10000']:.1f} / {found['patch_10']:.1f} ms = {found['patch_ratio']:.2f}×"

    def put(side: dict) -> str:
        found = side["growth"]
        return f"{found['put_full']:.1f} / {found['put_empty']:.1f} ms = {found['put_ratio']:.2f}×"

    def listed(side: dict) -> str:
        return f"{side['growth']['list']:.0f} ms (the first time {side['growth']['list_first']:.0f})"

    both("PATCH that appends to 10,000 triples ÷ to 10", patched, "≤ 1.5×", "growth")
    both("list 10,000 members", listed, "≤ 60 ms", "growth")
    both("PUT of a new member there ÷ in an empty container", put, "≤ 1.2×", "growth")
    both("idle memory, PSS of all processes", lambda side: f"{side['memory']:.0f} MB", "≤ 250 MB", "memory")

    def by_pods(side: dict) -> str:
        return "; ".join(
            f"{int(count):,} pods: {found['memory']:.0f} MB, {found['a_second']:.0f} cards/s"
            for count, found in side["many"].items()
        )

    both("the same by pods on disk; profile cards read, round 1,000 pods", by_pods, "the same", "many")
    both("cold start to the first answer", lambda side: f"{side['start']:.2f} s", "≤ 1.5 s", "start")
    return "\n".join([*lines, "", f"afterwards: {report.get('machine_after', '')}"])


if __name__ == "__main__":
    main()
