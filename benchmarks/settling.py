"""A change of access rules above thousands of documents: how long it takes, and how long another writer waits meanwhile.

    .venv/bin/python benchmarks/settling.py [--documents 10000]

In process, on the embedded database: one thread changes the rules, another writes all the time.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time

from machine import describe, percentile

from pod_server import documents, settling
from pod_server.authorization.enforcement import require_owner
from pod_server.opening import OpenPod
from pod_server.pods import create_pod
from tvilling.app import create_host
from tvilling.data_folder import migrate_data_folder
from tvilling.settings import Listen, Settings

OPEN_TO_EVERYONE = """\
@prefix acl: <http://www.w3.org/ns/auth/acl#> . @prefix foaf: <http://xmlns.com/foaf/0.1/> .
[] a acl:Authorization ; acl:agentClass foaf:Agent ; acl:accessTo <box/> ; acl:default <box/> ; acl:mode acl:Read .
"""
BODY = b"<a> <b> <c> .\n" * 20


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=10_000)
    count = parser.parse_args().documents
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        listen, live = Listen("127.0.0.1", 8080), Listen("127.0.0.1", 8081)
        settings = Settings(
            data_folder=f"{folder}/data", base_url=listen.origin, live_url=live.origin, listen=listen, live_listen=live
        )
        migrate_data_folder(settings)
        host = create_host(settings)
        new = create_pod(host, "kari")
        opened, now = OpenPod(new.pod, require_owner(new.vault), new.vault), host.clock.now()
        for first in range(0, count, 200):
            with host.storage.write() as tx:
                if not first:
                    documents.put(tx, opened, "box/", "text/turtle", b"", public=False, at=now)
                for number in range(first, min(first + 200, count)):
                    documents.put(tx, opened, f"box/{number}", "text/turtle", BODY, public=False, at=now)
        waits: list[float] = []
        stop = threading.Event()

        def write_on() -> None:
            while not stop.wait(0.005):
                began = time.perf_counter()
                with host.storage.write() as tx:
                    tx.execute("UPDATE feed SET claimed_by = '' WHERE pod_id = -1")
                waits.append((time.perf_counter() - began) * 1000)

        writer = threading.Thread(target=write_on)
        writer.start()
        time.sleep(1)
        alone = list(waits)
        waits.clear()
        with host.storage.write() as tx:
            documents.put(tx, opened, "box/.acl", "text/turtle", OPEN_TO_EVERYONE.encode(), public=False, at=now)
            turn, _ = settling.begin(tx, new.pod.pod_id)
        began = time.perf_counter()
        settling.settle(host, opened, turn, "box/")
        took = time.perf_counter() - began
        stop.set()
        writer.join()
        print(
            f"{count:,} documents follow their rules in {took:.1f} s; another writer waits p50 {percentile(waits, 0.5):.1f} ms, "
            f"p99 {percentile(waits, 0.99):.0f} ms, at most {max(waits):.0f} ms ({len(waits)} writes; alone at most "
            f"{max(alone):.0f} ms)"
        )


if __name__ == "__main__":
    main()
