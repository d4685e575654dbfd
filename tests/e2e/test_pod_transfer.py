"""A pod goes to another host as one file and comes out of it as the same RDF; a file that is not whole makes no pod."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pyld
import pyoxigraph
import pytest
import rdflib
from click.testing import CliRunner
from deliveries import deliver, granted, owner_permit, reading, readings
from hosts import make_host
from rdflib.compare import isomorphic

from pod_server import documents
from pod_server.clock import SetClock
from pod_server.errors import HandleTaken
from pod_server.identifiers import Actor
from pod_server.log.verification import verify_log
from pod_server.pods import OpenPod, create_pod, find_pod, list_pods
from pod_server.representation import stored, turtle
from pod_server.transfer.errors import PodFileInvalid
from pod_server.transfer.export import export_pod
from pod_server.transfer.load import load_pod
from pod_server.transfer.pod_file import MANIFEST, PodFileReader
from pod_server.vault.vault import unlock_with_custodian
from tvilling.cli import main
from twin_agent.worker import run_until_idle

HERE, THERE = "http://localhost:8080", "https://elsewhere.example"
NOTES = b"""@prefix ex: <https://example.org/> .
<#mine> ex:weight 70.123456789012345E0, 007, "http://localhost:8080/kari/not-an-iri" ; ex:knows [ ex:name "Ola"@nb ] ;
  ex:card <../profile/card#me> ; ex:about </kari/public/> .
"""
MOVER = Actor("operator-assisted")


@pytest.fixture
def file(tmp_path, city):
    """Kari's pod with documents, a picture, two partners and a correction, exported."""
    host = city.host
    made = create_pod(host, "kari", name="Kari Nordmann", household_size=3, area="500102", language="nn")
    for name in ("Strømmen AS", "Butikken AS"):  # both know a record of the same id
        partner = granted(host, made.pod_id, name=name)
        deliver(host, partner.permit, readings(0, 30, quantity=0.1 + 0.2))
        deliver(host, partner.permit, [reading(-400, 1e-7), reading(3, 9.5, correction=True)])
    opened = OpenPod(made.pod, owner_permit(made.vault), made.vault)
    root = made.pod.root(HERE)
    with host.storage.write() as tx:
        at = host.clock.now()
        notes = stored.write(turtle.read(NOTES, f"{root}private/notes"), root)
        documents.put(tx, opened, "private/notes", "text/turtle", notes, public=False, at=at)
        documents.put(tx, opened, "private/notes.ttl", "application/octet-stream", b"\0\xff", public=False, at=at)
        documents.put(tx, opened, "public/%C3%A5.png", "image/png", bytes(range(256)), public=True, at=at)
    target = tmp_path / "kari.zip"
    exported = export_pod(host, opened, target)
    assert (exported.activities, exported.grants) == (62, 2)
    return target


@pytest.fixture
def there(tmp_path, clock):
    """Another host."""
    host = make_host(tmp_path / "there", clock, base_url=THERE)
    yield host
    host.storage.close()
    host.key_store.close()


def opened_pod(host, handle):
    with host.storage.read() as tx:
        pod = find_pod(tx, handle)
    vault = unlock_with_custodian(host.host_key, host.key_store, pod.pod_id)
    return OpenPod(pod, owner_permit(vault), vault)


def contents(path):
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def rewritten(path, target, change, *, fix_manifest=True):
    """A copy of a pod's file with other contents, and hashes to match."""
    import hashlib

    files = contents(path)
    change(files)
    if fix_manifest:
        manifest = json.loads(files[MANIFEST])
        manifest["files"] = {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
            if name != MANIFEST
        }
        files[MANIFEST] = json.dumps(manifest).encode()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return target


def test_a_pod_on_another_host_is_the_same_rdf(file, there, tmp_path, clock):
    loaded = load_pod(there, file, actor=MOVER)
    assert loaded.webid == f"{THERE}/kari/profile/card#me"
    assert (loaded.accepted, loaded.refused, len(loaded.grants)) == (62, 0, 2)
    run_until_idle(there)
    opened = opened_pod(there, "kari")
    again = tmp_path / "again.zip"
    export_pod(there, opened, again)

    old, new = contents(file), contents(again)
    by_path = {one["path"]: one for one in json.loads(new["documents.json"])}
    compared = 0
    for one in json.loads(old["documents.json"]):
        other = by_path.pop(one["path"])
        assert (other["media_type"], other["public"], other["modified"]) == (
            one["media_type"], one["public"], one["modified"],
        ) or one["path"] == ""  # fmt: skip
        if one["media_type"] != "text/turtle":
            assert new[other["file"]] == old[one["file"]]
            continue
        moved = old[one["file"]].decode().replace(f"<{HERE}/kari/", f"<{THERE}/kari/")
        moved = moved.replace(f"<{HERE}>", f"<{THERE}>")  # the issuer that may sign in
        was, is_now = (
            rdflib.Graph().parse(data=text, format="turtle") for text in (moved, new[other["file"]].decode())
        )
        assert isomorphic(was, is_now), one["path"]
        compared += len(was)
    assert compared > 25
    # What is new: the old log and consents, and the documents of the grants to the citizen.
    assert "archive/" in by_path
    assert all(path.startswith(("archive/", "consents/")) for path in by_path)

    def quads(files, root, grants):
        """The activities' canonical quads, with the pod's root and the grants' ids written alike."""
        text = b"".join(content for name, content in files.items() if name.endswith(".nq")).decode()
        for number, grant in enumerate(grants):
            text = text.replace(f"<{root}activities/{grant}/", f"<urn:grant:{number}/")
        found = pyoxigraph.Dataset(pyoxigraph.parse(text, format=pyoxigraph.RdfFormat.N_QUADS))
        found.canonicalize(pyoxigraph.CanonicalizationAlgorithm.RDFC_1_0)
        return {str(quad) for quad in found}

    there_grants = sorted(
        {name.split("/")[1] for name in new if name.startswith("activities/")}, key=loaded.grants.index
    )
    here_grants = sorted({name.split("/")[1] for name in old if name.startswith("activities/")})
    assert quads(old, f"{HERE}/kari/", here_grants) == quads(new, f"{THERE}/kari/", there_grants)
    assert json.loads(new["household.json"]) == json.loads(old["household.json"])

    with there.storage.read() as tx:
        path = loaded.archive.removeprefix(f"{THERE}/kari/")
        log = json.loads(documents.get(tx, opened, path).content)
    assert verify_log(log).size == loaded.log_entries == len(json.loads(old["log.json"])["events"])
    assert [one["event"]["action"] for one in json.loads(new["log.json"])["events"]].count("load-pod") == 1
    assert {one["partner"] for one in json.loads(new["grants.json"])} == {"You"}


def test_the_json_ld_and_the_n_quads_of_a_file_say_the_same_to_any_reader(file):
    files = contents(file)
    months = [name for name in files if name.startswith("activities/") and name.endswith(".jsonld")]
    assert len(months) == 4
    for name in months:
        text = pyld.jsonld.to_rdf(json.loads(files[name]), {"format": "application/n-quads"})
        from_json, from_quads = (
            set(pyoxigraph.parse(content, format=pyoxigraph.RdfFormat.N_QUADS))
            for content in (text, files[name.replace(".jsonld", ".nq")])
        )
        assert len(from_quads) > 5
        assert from_json == from_quads


def names_up(files):
    files["../../etc/cron.d/x"] = b"x"


def bomb(files):
    files["documents/zeros"] = bytes(64 << 20)


def climbing_document(files):
    listed = json.loads(files["documents.json"])
    listed[-1]["path"] = "private/../../ola/profile/card"
    files["documents.json"] = json.dumps(listed).encode()


def into_the_server(files):
    listed = json.loads(files["documents.json"])
    listed[-1]["path"] = "activities/g-x/2026-11"
    files["documents.json"] = json.dumps(listed).encode()


def no_activity(files):
    name = next(name for name in files if name.startswith("activities/") and name.endswith(".jsonld"))
    document = json.loads(files[name])
    document["@graph"][0]["quantity"] = -1
    files[name] = json.dumps(document).encode()


def broken_turtle(files):
    files["documents/profile/card.ttl"] += b"<a"


def another_log(files):
    log = json.loads(files["log.json"])
    log["events"][1]["event"]["count"] += 1
    files["log.json"] = json.dumps(log).encode()


def no_zone(files):
    files[MANIFEST] = files[MANIFEST].replace(b"+00:00", b"")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (names_up, "climbs"),
        (bomb, "grow beyond"),
        (climbing_document, "cannot be in a pod"),
        (into_the_server, "cannot be in a pod"),
        (no_activity, "no activity"),
        (broken_turtle, "cannot be read"),
        (another_log, "checkpoint"),
        (no_zone, "no zone"),
        (lambda files: files.pop("household.json"), "lacks household.json"),
        (lambda files: files.update({"log.json": b"[" * 100_000}), "not JSON"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_hostile_file_is_refused_and_makes_no_pod(file, there, tmp_path, change, words):
    hostile = rewritten(file, tmp_path / "hostile.zip", change)
    with pytest.raises(Exception, match=words) as caught:
        load_pod(there, hostile, actor=MOVER)
    assert isinstance(caught.value, PodFileInvalid) or words == "checkpoint"
    assert list_pods(there) == []


def test_a_changed_or_cut_file_is_refused(file, there, tmp_path):
    changed = rewritten(file, tmp_path / "changed.zip", broken_turtle, fix_manifest=False)
    with pytest.raises(PodFileInvalid, match="was changed"):
        load_pod(there, changed, actor=MOVER)
    more = rewritten(file, tmp_path / "more.zip", lambda files: files.update({"x": b""}), fix_manifest=False)
    with pytest.raises(PodFileInvalid, match="other files"):
        load_pod(there, more, actor=MOVER)
    whole = file.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.zip").write_bytes(whole[:length])
        with pytest.raises(PodFileInvalid):
            PodFileReader(tmp_path / "cut.zip")
    damaged = bytearray(whole)
    damaged[200] ^= 0xFF
    (tmp_path / "damaged.zip").write_bytes(damaged)
    with pytest.raises(PodFileInvalid):
        PodFileReader(tmp_path / "damaged.zip")


def test_a_load_that_fails_half_way_leaves_no_pod_and_the_handle_free(file, there, monkeypatch):
    from pod_server.storage.errors import StorageFull
    from pod_server.transfer import load

    def full(*_arguments, **_options):
        raise StorageFull

    with monkeypatch.context() as patch:
        patch.setattr(load.activities, "append", full)
        with pytest.raises(StorageFull):
            load_pod(there, file, actor=MOVER)
    assert list_pods(there) == []
    assert load_pod(there, file, actor=MOVER).accepted == 62
    with pytest.raises(HandleTaken):
        load_pod(there, file, actor=MOVER)


def test_what_lies_in_the_future_here_is_refused_and_counted(file, tmp_path):
    early = make_host(tmp_path / "early", SetClock(readings(10, 1)[0].start), base_url=THERE)
    loaded = load_pod(early, file, actor=MOVER)
    assert loaded.accepted + loaded.refused == 62
    assert loaded.refused > 20
    early.storage.close()
    early.key_store.close()


def test_a_file_tells_who_sent_for_what_purpose_and_the_old_consents_and_log_lie_in_the_new_pod(file, there):
    """Points 23 and 24 of the checklist: recipients and purposes in one file, and nothing of them lost on the way."""
    old = contents(file)
    held, log = json.loads(old["grants.json"]), json.loads(old["log.json"])
    assert {each["partner"] for each in held} == {"Strømmen AS", "Butikken AS"}
    for each in held:
        assert each["terms"]["purpose"]
        assert sorted(each["terms"]["kinds"]) == ["electricity-reading", "grocery-line"]
        assert (each["state"], each["accepted"], [event["kind"] for event in each["events"]]) == (
            "active",
            32,
            ["given"],
        )
    assert verify_log(log).size == len(log["events"]) > 4
    loaded = load_pod(there, file, actor=MOVER)
    opened = opened_pod(there, "kari")
    path = loaded.archive.removeprefix(f"{THERE}/kari/")
    with there.storage.read() as tx:
        kept = [documents.get(tx, opened, each).content for each in (path, path.replace("log-", "consents-"))]
    assert [json.loads(each) for each in kept] == [log, held]


def test_export_and_load_from_the_command_line(file, tmp_path):
    def run(*arguments, code=0):
        done = CliRunner().invoke(main, [*arguments, "--json"])
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if code == 0 else done.stderr

    target = tmp_path / "by-hand.zip"
    here, other = ("--data", str(tmp_path / "data")), ("--data", str(tmp_path / "other"), "--base-url", THERE)
    answer = run("pod", "export", "kari", "--out", str(target), *here)
    assert "not encrypted" in answer["note"]
    assert Path(target).stat().st_mode & 0o077 == 0
    assert "is there already" in run("pod", "export", "kari", "--out", str(target), *here, code=1)
    loaded = run("pod", "load", str(target), "--handle", "kari-two", *other)
    assert loaded["webid"] == f"{THERE}/kari-two/profile/card#me"
    assert loaded["accepted"] == 62
    assert "taken" in run("pod", "load", str(target), "--handle", "kari-two", *other, code=1)
    assert [row["state"] for row in run("consent", "list", "kari-two", *other)] == ["active", "active"]


def test_only_the_owner_exports(city, tmp_path):
    from pod_server.errors import PermitExceeded

    made = create_pod(city.host, "kari")
    opened = OpenPod(made.pod, replace(owner_permit(made.vault), authority="app"), made.vault)
    with pytest.raises(PermitExceeded):
        export_pod(city.host, opened, tmp_path / "stolen.zip")
    assert list(tmp_path.glob("*.zip")) == []
