"""Plain listeners to the notification channels of a running host: WebSocket from Node and from Python, a stream."""

from __future__ import annotations

import json
import time

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

NOTIFY = "http://www.w3.org/ns/solid/notifications#"


@pytest.fixture(scope="module")
def citizen(running):
    return running.citizen("lytter")


def subscribe(client, citizen, type_, topic):
    answer = client.post(
        f"{citizen.pod}.notifications/{type_}",
        headers={"Content-Type": "application/ld+json"},
        content=json.dumps(
            {"@context": ["https://www.w3.org/ns/solid/notification/v1"], "type": NOTIFY + type_, "topic": topic}
        ),
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["receiveFrom"]


def test_a_listener_in_node_finds_the_channel_and_hears_each_change(running, citizen, program):
    listener = program(
        "websocket.mjs",
        issuer=running.base_url,
        pod=citizen.pod,
        client_id=citizen.client_id,
        client_secret=citizen.client_secret,
    )
    topic = f"{citizen.pod}private/liste/"
    assert listener.next()["found"] == {
        "status": 200, "type": "WebSocketChannel2023", "topic": topic, "protocol": "ws:", "closed": [1000, True],
        "heard": [["Add", f"{topic}a.ttl", topic], ["Remove", f"{topic}a.ttl", topic]],
    }  # fmt: skip


def test_a_listener_in_python_hears_a_document_change_and_end(citizen):
    with citizen.client() as client:
        topic = f"{citizen.pod}private/notat.ttl"
        turtle = {"Content-Type": "text/turtle"}
        assert client.put(topic, content="<> <urn:p> 1 .", headers=turtle).status_code == 201
        with connect(subscribe(client, citizen, "WebSocketChannel2023", topic)) as socket:
            client.put(topic, content="<> <urn:p> 2 .", headers=turtle)
            first = json.loads(socket.recv(timeout=30))
            assert (first["type"], first["object"]) == ("Update", topic)
            tag = client.head(topic).headers["ETag"]
            assert first["state"].strip('"') in tag
            client.delete(topic)
            assert json.loads(socket.recv(timeout=30))["type"] == "Delete"
            before = time.monotonic()
        # The server closes the connection after the closing handshake; a client would wait ten seconds for it.
        assert time.monotonic() - before < 9
        assert socket.close_code == 1000


def test_a_stream_of_a_container_tells_of_its_members(citizen):
    with citizen.client() as client:
        topic = f"{citizen.pod}private/"
        address = subscribe(client, citizen, "StreamingHTTPChannel2023", topic)
        with client.stream("GET", address) as stream:
            assert stream.status_code == 200
            client.put(f"{topic}nytt.txt", content="hei", headers={"Content-Type": "text/plain"})
            for line in stream.iter_lines():
                if line.strip():
                    told = json.loads(line)
                    break
        assert (told["type"], told["object"], told["target"]) == ("Add", f"{topic}nytt.txt", topic)


def test_an_address_that_was_altered_opens_nothing(citizen):
    with citizen.client() as client:
        address = subscribe(client, citizen, "WebSocketChannel2023", citizen.pod)
    with pytest.raises(InvalidStatus) as refused, connect(address[:-6] + "AAAAAA"):
        pass
    assert refused.value.response.status_code in {401, 403, 404, 410}
