"""A pod goes to the Community Solid Server and comes back, each way by the Solid protocol alone."""

from __future__ import annotations

import io
import json
import subprocess
import time
from dataclasses import dataclass, replace

import httpx
import pyoxigraph
import pytest
import rdflib
from click.testing import CliRunner
from deliveries import deliver, granted, owner_permit, readings
from ending import family_of, kill, kill_and_wait
from hosts import make_host
from ports import free_port
from pyoxigraph import RdfFormat
from rdflib.compare import isomorphic
from running_host import no_clients

from pod_server import binaries, documents
from pod_server.clock import SystemClock
from pod_server.opening import OpenPod
from pod_server.outbound import Outbound
from pod_server.pods import create_pod
from pod_server.representation import stored, turtle
from pod_server.transfer.other_server import ScriptCredentials, client_for
from tvilling.cli import main

pytestmark = pytest.mark.timeout(240)  # the other server takes its time to start on a busy machine

HERE = "http://localhost:8080"
PICTURE = bytes(range(256)) * 300
FILM = bytes(range(256)) * 12_000
NOTES = """@prefix ex: <https://example.org/> .
<#mine> ex:weight 70.5, "a\\"b"@nb ; ex:knows [ ex:name "Ola" ] ; ex:card </kari/profile/card#me> ; ex:about <../public/> .
"""


@dataclass(frozen=True)
class OtherServer:
    """A Community Solid Server with one pod, and a script's credentials of the person there."""

    base: str
    pod: str
    webid: str
    client_id: str
    client_secret: str


@pytest.fixture(scope="module")
def css(node, tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("css")
    port = free_port()
    base = f"http://localhost:{port}/"
    account = {"email": "kari@example.org", "password": "en lang setning", "pods": [{"name": "kari"}]}
    (folder / "seed.json").write_text(json.dumps([account]))
    place = request.path.parents[1] / "community_server"
    program = place / "node_modules/@solid/community-server/bin/server.js"
    if not program.is_file():
        no_clients("the Community Solid Server is not installed")
    process = subprocess.Popen(
        [node, "--no-warnings", str(program),
         "-c", "@css:config/default.json", "-p", str(port), "-b", base, "-l", "error", "--seedConfig", str(folder / "seed.json")],
        cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                if httpx.get(f"{base}kari/profile/card").status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                kill(family_of(process.pid))
                pytest.fail(process.stdout.read().decode()[-2000:])
            time.sleep(0.1)
        controls = httpx.get(f"{base}.account/").json()["controls"]
        signed_in = httpx.post(
            controls["password"]["login"], json={name: account[name] for name in ("email", "password")}
        )
        token = {"Authorization": f"CSS-Account-Token {signed_in.json()['authorization']}"}
        mine = httpx.get(f"{base}.account/", headers=token).json()["controls"]
        webid = f"{base}kari/profile/card#me"
        made = httpx.post(
            mine["account"]["clientCredentials"], json={"name": "t", "webId": webid}, headers=token
        ).json()
        yield OtherServer(base, f"{base}kari/", webid, made["id"], made["secret"])
    finally:
        kill_and_wait(process)


@pytest.fixture
def pod(css, tmp_path):
    """Kari's pod here: documents, a picture, rules, a description, activities."""
    host = make_host(tmp_path / "data", SystemClock())
    host = replace(host, outbound=Outbound(frozenset({css.base.rstrip("/")})))
    made = create_pod(host, "kari", name="Kari Nordmann")
    partner = granted(host, made.pod_id, name="Strømmen AS")
    deliver(host, partner.permit, readings(-48, 30))
    opened = OpenPod(made.pod, owner_permit(made.vault), made.vault)
    root = opened.pod.root(HERE)
    with host.storage.write() as tx:
        at = host.clock.now()
        for path in ("private/notes", "private/notes.meta"):
            content = stored.write(turtle.read(NOTES.encode(), root + path), root)
            documents.put(tx, opened, path, "text/turtle", content, public=False, at=at)
        documents.put(tx, opened, "public/bl%C3%A5%20b%C3%A6r.png", "image/png", PICTURE, public=True, at=at)
    upload, binary = binaries.seal_file(host, opened.pod_id, io.BytesIO(FILM), len(FILM))
    with host.storage.write() as tx:
        documents.put(tx, opened, "private/film.mp4", "video/mp4", b"", public=False, at=at, binary=binary)
        upload.finish(tx)
    upload.keep()
    yield host, opened
    host.storage.close()
    host.key_store.close()


def run(*arguments, code=0):
    done = CliRunner().invoke(main, [*arguments, "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if code == 0 else done.stderr


@pytest.fixture
def signing_in(css, tmp_path):
    """The options by which a command signs in there."""
    secret = tmp_path / "secret.txt"
    secret.write_text(css.client_secret)
    return (
        "--issuer", css.base, "--client-id", css.client_id, "--client-secret-file", str(secret), "--webid", css.webid,
        "--allow-outbound", css.base.rstrip("/"),
    )  # fmt: skip


def triples_at(host, opened, path):
    with host.storage.read() as tx:
        found = documents.get(tx, opened, path)
    assert found is not None, path
    root = opened.pod.root(HERE)
    quads = pyoxigraph.serialize(stored.read(found.content, root).triples, format=RdfFormat.N_TRIPLES)
    return rdflib.Graph().parse(data=quads, format="nt")


def renamed(graph, *pairs):
    """The graph with IRIs that begin otherwise; the first pair that fits counts."""
    text = graph.serialize(format="nt")
    for old, new in pairs:
        text = text.replace(f"<{old}", f"<{new}")
    return rdflib.Graph().parse(data=text, format="nt")


def test_a_pod_goes_to_the_other_server_and_comes_back_the_same(css, pod, signing_in, tmp_path):
    host, kari = pod
    root, there = kari.pod.root(HERE), f"{css.pod}fra-tvilling/"
    data = ("--data", str(tmp_path / "data"))
    sent = run("pod", "upload", "kari", "--to", there, *signing_in, *data)
    assert [path for path, _ in sent["left"] if not path.endswith(".acl")] == []
    assert sent["documents"] >= 6
    assert sent["rules"] >= 2

    # As the other server's own person sees it, and as strangers do.
    person = client_for(host, there, credentials=ScriptCredentials(css.base, css.client_id, css.client_secret))
    with person:
        notes = person.get(f"{there}private/notes", headers={"Accept": "text/turtle"})
        was = renamed(triples_at(host, kari, "private/notes"), (root, there))
        assert isomorphic(rdflib.Graph().parse(data=notes.text, format="turtle", publicID=f"{there}private/notes"), was)
        described = person.get(f"{there}private/notes.meta", headers={"Accept": "text/turtle"})
        assert "https://example.org/weight" in described.text
        film = person.get(f"{there}private/film.mp4")
        assert (film.content, film.headers["Content-Type"]) == (FILM, "video/mp4")
        months = person.get(f"{there}activities/", headers={"Accept": "text/turtle"})
        assert "g-" in months.text
    stranger = httpx.get(f"{there}public/bl%C3%A5%20b%C3%A6r.png")
    assert (stranger.content, stranger.headers["Content-Type"]) == (PICTURE, "image/png")
    assert httpx.get(f"{there}private/notes").status_code == 401
    again = run("pod", "upload", "kari", "--to", there, *signing_in, *data)
    # All but the target itself, and the description, which is no document of its own there.
    assert again["there_already"] == sent["documents"] + sent["containers"] - 2
    assert (again["documents"], again["containers"]) == (0, 0)

    # And back, into another citizen's pod.
    ola = create_pod(host, "ola")
    got = run("pod", "import", "ola", "--from", there, "--into", "fra-andre/", *signing_in, *data)
    assert got["complete"]
    assert got["left"] == []
    assert got["files"] >= 1
    assert got["rules"] >= 2
    opened = OpenPod(ola.pod, owner_permit(ola.vault), ola.vault)
    mine = f"{opened.pod.root(HERE)}fra-andre/"
    assert isomorphic(
        triples_at(host, opened, "fra-andre/private/notes"),
        renamed(triples_at(host, kari, "private/notes"), (root, mine)),
    )
    described = triples_at(host, opened, "fra-andre/private/notes.meta")
    assert len(described) == 6
    with host.storage.read() as tx:
        picture = documents.get(tx, opened, "fra-andre/public/bl%C3%A5%20b%C3%A6r.png")
        private = documents.find_entry(tx, opened, "fra-andre/private/notes")
    assert (picture.content, picture.media_type, picture.public) == (PICTURE, "image/png", True)
    assert private.public is False
    rules = triples_at(host, opened, "fra-andre/.acl")
    acl = rdflib.Namespace("http://www.w3.org/ns/auth/acl#")
    agents = set(rules.objects(None, acl.agent))
    assert agents == {rdflib.URIRef(opened.pod.webid(HERE))}  # the person there is the citizen here
    once_more = run("pod", "import", "ola", "--from", there, "--into", "fra-andre/", *signing_in, *data)
    assert (once_more["documents"], once_more["files"], once_more["containers"], once_more["rules"]) == (0, 0, 0, 0)
    assert once_more["there_already"] > 8
    run("log", "verify", "ola", *data)


def test_credentials_that_are_wrong_are_told_without_them(css, pod, signing_in, tmp_path):
    data = ("--data", str(tmp_path / "data"))
    (tmp_path / "secret.txt").write_text("feil-hemmelighet")
    said = run("pod", "import", "kari", "--from", css.pod, *signing_in, *data, code=1)
    assert "does not take these credentials" in said
    assert "feil-hemmelighet" not in said
    # Without --allow-outbound this machine's own addresses are spoken to by nobody.
    said = run("pod", "import", "kari", "--from", css.pod, *data, code=1)
    assert "needs https" in said
    said = run("pod", "upload", "kari", "--to", css.pod + "x", *data, code=1)
    assert "end in a slash" in said
    said = run("pod", "import", "kari", "--from", css.pod, "--issuer", css.base, *data, code=1)
    assert "belong together" in said
