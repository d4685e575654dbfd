"""Another server's pod comes in only as far as it lies there: loops, strays, names that climb, floods and faults."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from deliveries import owner_permit
from hosts import NOON

from pod_server import binaries, documents
from pod_server.errors import PermitExceeded
from pod_server.log.ledger import all_events
from pod_server.opening import OpenPod
from pod_server.outbound import Outbound
from pod_server.resources.errors import PathNotAllowed
from pod_server.transfer.errors import OtherServerError
from pod_server.transfer.foreign_pod import TRIES, Limits, import_pod
from pod_server.transfer.other_server import OutboundTransport, ScriptCredentials, client_for

THERE = "https://other.example/kari/"
TURTLE = {"Content-Type": "text/turtle"}
PREFIXES = "@prefix ldp: <http://www.w3.org/ns/ldp#> . @prefix acl: <http://www.w3.org/ns/auth/acl#> .\n"


def listing(*members, more=""):
    contains = "".join(f"<> ldp:contains <{member}> . " for member in members)
    return (
        f"{PREFIXES}<> a ldp:Container, ldp:BasicContainer ; <http://purl.org/dc/terms/title> 'Mine' . {contains}{more}"
    )


class Server:
    """Another server, by path: what it answers, and what was asked of it."""

    def __init__(self, **pages):
        self.pages = {"": listing()}
        self.asked = []

    def put(self, path, body, status=200, **headers):
        self.pages[path] = httpx.Response(status, content=body, headers=TURTLE | headers)

    def __call__(self, request):
        self.asked.append(str(request.url))
        path = str(request.url).removeprefix(THERE)
        page = self.pages.get(path)
        if page is None:
            return httpx.Response(404)
        if isinstance(page, str):
            return httpx.Response(200, content=page.encode(), headers=TURTLE)
        if callable(page):
            return page()
        return httpx.Response(page.status_code, content=page.content, headers=page.headers)

    def client(self):
        return httpx.Client(transport=httpx.MockTransport(self))


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def opened(city):
    made = city.citizen("kari")
    return OpenPod(made.pod, owner_permit(made.vault), made.vault)


@pytest.fixture
def bring(city, opened, server):
    def bring(root=THERE, into="imported/", **options):
        with server.client() as client:
            return import_pod(city.host, opened, root, client, into=into, **options)

    return bring


def paths(city, opened):
    with city.host.storage.read() as tx:
        return {path for path in documents.document_paths(tx, opened) if path.startswith("imported/")}


def test_a_pod_whose_containers_go_round_in_circles_ends(city, opened, server, bring):
    server.put("", listing("a/", THERE))
    server.put("a/", listing("b/", "../", "."))
    server.put("a/b/", listing("../../", THERE + "a/", "x.ttl"))
    server.put("a/b/x.ttl", "<> <urn:p> <../../../kari/a/> .")
    report = bring()
    assert paths(city, opened) == {"imported/a/b/x.ttl"}
    assert len(server.asked) == 4
    assert {why.partition(" lists it")[2] for _, why in report.left} == {", but it does not lie there"}


@pytest.mark.parametrize(
    "member",
    [
        "https://elsewhere.example/kari/x", "https://other.example/ola/secret", "//elsewhere.example/x", "../ola/x",
        "a/b/deep", "%2e%2e/", "..%2fola", "x?y=1", "x#y", "http://169.254.169.254/latest", "file:///etc/passwd",
        "https://other.example/kari/../ola/x", "https://other.example/karianne/x",
    ],
)  # fmt: skip
def test_what_does_not_lie_in_the_container_is_not_asked_for(city, opened, server, bring, member):
    server.put("", listing(member, "ok.ttl"))
    server.put("ok.ttl", "<> <urn:p> 1 .")
    report = bring()
    assert paths(city, opened) == {"imported/ok.ttl"}
    assert set(server.asked) == {THERE, THERE + "ok.ttl"}
    assert len(report.left) == 1


def test_what_a_server_breaks_is_left_by_name_and_the_rest_comes_in(city, opened, server, bring):
    server.put(
        "", listing("broken.ttl", "gone", "mine.html", "forbidden", "away", "busy", "ld.json", "rules.acl", "a%00b")
    )
    server.put("broken.ttl", "<a> <b")
    server.put("mine.html", b"<script>alert(1)</script>", **{"Content-Type": "text/html"})
    server.put("forbidden", "", status=403)
    server.put("away", "", status=302, Location="https://elsewhere.example/")
    server.put("busy", "", status=503)
    server.put(
        "ld.json", '{"@context": "https://elsewhere.example/c", "a": 1}', **{"Content-Type": "application/ld+json"}
    )
    server.put("rules.acl", "<> <urn:p> 1 .")
    server.put("a%00b", "<> <urn:p> 1 .")
    report = bring()
    assert paths(city, opened) == {"imported/mine.html"}
    left = dict(report.left)
    assert set(left) == {THERE + name for name in (
        "broken.ttl", "gone", "forbidden", "away", "busy", "ld.json", "rules.acl", "a%00b",
    )}  # fmt: skip
    assert server.asked.count(THERE + "busy") == TRIES
    assert "elsewhere.example" not in " ".join(server.asked)
    assert report.complete


def test_a_run_ends_at_its_limits_and_says_so(city, opened, server, bring):
    server.put("", listing(*(f"{number}.ttl" for number in range(10)), "deep/"))
    for number in range(10):
        server.put(f"{number}.ttl", f"<> <urn:p> {number} .")
    server.put("deep/", listing("er/"))
    server.put("deep/er/", listing("x.ttl"))
    server.put("deep/er/x.ttl", "<> <urn:p> 1 .")
    report = bring(limits=Limits(depth=2))
    assert not report.complete
    assert len(paths(city, opened)) == 10
    report = bring(limits=Limits(resources=5), into="imported/few/")
    assert not report.complete
    assert report.documents == 4
    report = bring(limits=Limits(bytes=len(server.pages[""].content) + 60), into="imported/small/")
    assert not report.complete
    assert 0 < report.documents < 10, report
    server.put("1.ttl", b"#" * 2000)
    report = bring(limits=Limits(document_bytes=1000), into="imported/large/")
    assert [iri for iri, why in report.left if "larger" in why] == [THERE + "1.ttl"]
    assert report.complete


def test_an_endless_answer_is_cut_off(city, opened, bring, server):
    def endless():
        def flood():
            while True:
                yield b"x" * 65536

        return httpx.Response(200, content=flood(), headers={"Content-Type": "image/png"})

    server.put("", listing("flood"))
    server.pages["flood"] = endless
    report = bring(limits=Limits(bytes=1 << 20))
    assert [iri for iri, _ in report.left] == [THERE + "flood"]
    assert not report.complete
    # Nor may one file be larger than the host takes, or than the pod has room for; nothing of it stays.
    for narrower in ({"largest_binary_bytes": 1 << 20}, {"quota_bytes": 1 << 20}):
        with server.client() as client:
            report = import_pod(replace(city.host, **narrower), opened, THERE, client, into="imported/")
        assert [iri for iri, _ in report.left] == [THERE + "flood"]
    assert city.host.binaries.names(opened.pod_id) == {}


def test_a_large_file_comes_in_piece_by_piece_and_goes_on_after_a_broken_connection(city, opened, bring, server):
    film = bytes(range(256)) * 8000
    tries = []

    def sent():
        def pieces():
            for start in range(0, len(film), 100_000):
                if not tries and start > 1_000_000:
                    tries.append(start)
                    raise httpx.ReadError("the line broke")
                yield film[start : start + 100_000]

        return httpx.Response(200, content=pieces(), headers={"Content-Type": "video/mp4"})

    server.put("", listing("film.mp4"))
    server.pages["film.mp4"] = sent
    report = bring()
    assert (report.files, report.left, len(tries)) == (1, [], 1)
    with city.host.storage.read() as tx:
        found = documents.get(tx, opened, "imported/film.mp4")
    assert found.binary is not None
    assert b"".join(binaries.BinaryReader(city.host, opened.pod_id, found.binary).pieces()) == film
    assert len(city.host.binaries.names(opened.pod_id)) == 1
    asked = len(server.asked)
    assert bring().there_already == 2
    assert server.asked[asked:].count(THERE + "film.mp4") == 1  # asked after, not sent again


def test_a_second_run_goes_on_and_writes_over_nothing(city, opened, server, bring):
    server.put("", listing("a.ttl", "b.ttl"))
    server.put("a.ttl", "<> <urn:p> 1 .")
    assert [iri for iri, _ in bring().left] == [THERE + "b.ttl"]
    server.put("a.ttl", "<> <urn:p> 'changed there since' .")
    server.put("b.ttl", "<> <urn:p> 2 .")
    report = bring()
    assert (report.documents, report.there_already, report.left) == (1, 2, [])
    with city.host.storage.read() as tx:
        assert b"changed" not in documents.get(tx, opened, "imported/a.ttl").content


def test_rules_come_last_with_the_citizen_in_control_and_nothing_open_that_was_not(city, opened, server, bring):
    me, friend = THERE + "profile/card#me", "https://friend.example/#me"
    rules = {"Link": '<.acl>; rel="acl"'}
    server.put("", listing("a.ttl", "b.ttl", "c.ttl", "d.ttl", more=f"<> <urn:made-by> <{me}> ."), **rules)
    server.put(
        ".acl",
        f"{PREFIXES}<#r> a acl:Authorization ; acl:agent <{me}> ; acl:accessTo <./> ; acl:default <./> ; acl:mode acl:Read .",
    )
    server.put("a.ttl", "<> <urn:p> 1 .", Link='<a.ttl.acl>; rel="acl"')
    server.put("a.ttl.acl", f"""{PREFIXES}<#f> a acl:Authorization ; acl:agent <{friend}> ; acl:accessTo <a.ttl> ; acl:mode acl:Write .
        <#p> a acl:Authorization ; acl:agentClass <http://xmlns.com/foaf/0.1/Agent> ; acl:accessTo <a.ttl> ; acl:mode acl:Read .""")  # fmt: skip
    server.put("b.ttl", "<> <urn:p> 1 .", Link='<https://elsewhere.example/b.acl>; rel="acl"')
    server.put("c.ttl", "<> <urn:p> 1 .", Link='<c.ttl.acr>; rel="acl"')
    server.put("c.ttl.acr", "<> <http://www.w3.org/ns/solid/acp#resource> <c.ttl> .")
    server.put("d.ttl", "<> <urn:p> 1 .", Link='<d.ttl.acl>; rel="acl"')
    server.put("d.ttl.acl", "", status=403)
    report = bring(old_webid=me)
    assert report.rules == 2
    assert {iri.rpartition("/")[2] for iri, _ in report.left} == {"b.acl", "c.ttl.acr", "d.ttl.acl"}
    assert server.asked.index(THERE + ".acl") > server.asked.index(THERE + "d.ttl")
    with city.host.storage.read() as tx:
        assert documents.find_entry(tx, opened, "imported/a.ttl").public
        assert not documents.find_entry(tx, opened, "imported/b.ttl").public
        own = documents.get(tx, opened, "imported/a.ttl.acl").content.decode()
        container = documents.get(tx, opened, "imported/.acl").content.decode()
        stated = documents.get(tx, opened, "imported/").content.decode()
    assert friend in own
    assert own.count("#Control") == container.count("#Control") == 1
    assert "other.example" not in container
    assert "other.example" not in stated
    assert "Mine" in stated
    assert "ldp#contains" not in stated


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("https://other.example/kari", "slash"),
        ("file:///etc/", "http"),
        ("https:///kari/", "http"),
        ("https://other.example/kari/?x=/", "slash"),
        (THERE + "none/", "404"),
    ],
)
def test_a_root_that_is_none_is_told(bring, root, words):
    with pytest.raises(OtherServerError, match=words):
        bring(root)


def test_a_root_that_is_a_document_is_told(bring, server):
    server.put("", b"hei", **{"Content-Type": "text/plain"})
    with pytest.raises(OtherServerError, match="no container"):
        bring()
    server.put("", "<urn:a> <urn:b> <urn:c> .")
    with pytest.raises(OtherServerError, match="says nothing"):
        bring()


@pytest.mark.parametrize("into", ["imported", "../ola/", "a//b/", "%2e%2e/"])
def test_the_place_here_is_a_container_of_the_pod(bring, into):
    with pytest.raises(PathNotAllowed):
        bring(into=into)


def test_nothing_goes_where_the_server_answers_itself(city, opened, server, bring):
    server.put("", listing("activities/", "sparql", "profile/"))
    server.put("activities/", listing("x.ttl"))
    server.put("activities/x.ttl", "<> <urn:p> 1 .")
    server.put("sparql", "<> <urn:p> 1 .")
    server.put("profile/", listing("card"))
    server.put("profile/card", "<#me> <urn:p> 'somebody else' .")
    report = bring(into="")
    with city.host.storage.read() as tx:
        card = documents.get(tx, opened, "profile/card").content.decode()
        assert not documents.exists(tx, opened, "activities/x.ttl")
        assert not documents.exists(tx, opened, "sparql")
    assert "somebody else" not in card
    assert report.there_already >= 3


def test_it_is_the_owners_and_the_log_tells_of_it(city, opened, server, bring):
    app = replace(opened, permit=replace(opened.permit, authority="app"))
    with server.client() as client, pytest.raises(PermitExceeded):
        import_pod(city.host, app, THERE, client, into="imported/")
    bring()
    with city.host.storage.read() as tx:
        event = next(iter(all_events(tx, opened.vault, opened.pod_id))).event
    assert (event.action, event.detail["from"], event.at) == ("import-pod", THERE, NOON)


def test_the_way_out_is_the_outbound_rules_alone(city):
    with client_for(city.host, THERE, token="t") as client:
        assert isinstance(client._transport, OutboundTransport)
        for address in (
            "http://localhost:9/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "http://169.254.169.254/latest/",
        ):
            with pytest.raises(httpx.TransportError):
                client.get(address)
    host = replace(city.host, outbound=Outbound(frozenset({"http://localhost:9"})))
    credentials = ScriptCredentials("https://127.0.0.1", "id", "very-secret")
    assert "very-secret" not in repr(credentials)
    with client_for(host, "http://localhost:9/kari/", credentials=credentials) as client:
        with pytest.raises(OtherServerError, match="cannot be signed in at"):
            client.get("http://localhost:9/kari/")
        # and nothing is said of who asks to anybody else
        with pytest.raises(httpx.TransportError):
            client.get("https://127.0.0.1/")
