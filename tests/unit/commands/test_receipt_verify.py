"""`tvilling receipt verify` checks a consent's receipt offline, with the issuer's keys or the folder's own."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from joserfc.jwk import ECKey

from tvilling.cli import main


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with one consent, its receipt, and the host's published keys."""
    from pod_server import consent_receipts
    from pod_server.authorization.grant_rows import find_grant
    from tvilling.app import create_host
    from tvilling.settings import Listen, Settings

    folder = tmp_path_factory.mktemp("receipts")

    def run(*arguments):
        result = CliRunner().invoke(main, [*map(str, arguments), "--data", str(folder / "data")])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    key = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"})
    (folder / "keys.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    assert run("citizen", "add", "kari")[0] == 0
    told = run(
        "partner", "add", "--name", "Oss.no", "--jwks", folder / "keys.json", "--address", "Storgata 1", "--json"
    )[1]
    client = json.loads(told)["client_id"]
    given = json.loads(run("consent", "give", "kari", "--partner", client, "--kind", "grocery-line", "--json")[1])
    settings = Settings(
        data_folder=str(folder / "data"),
        base_url="http://localhost:8080",
        live_url="http://localhost:8081",
        listen=Listen("127.0.0.1", 8080),
        live_listen=Listen("127.0.0.1", 8081),
    )
    host = create_host(settings)
    with host.storage.read() as tx:
        grant = find_grant(tx, host.host_key, given["grant"])
        receipt = consent_receipts.latest(host, tx, grant.pod_id, grant.id)
    (folder / "receipt.jsonld").write_text(json.dumps(receipt, indent=2))
    (folder / "issuer.jsonld").write_text(json.dumps(consent_receipts.issuer_document(host)))
    host.storage.close()
    host.key_store.close()
    return folder, run, client


def test_a_receipt_verifies_with_the_published_keys_and_with_the_folder_s_own(made):
    folder, run, client = made
    for options in ((), ("--issuer-keys", folder / "issuer.jsonld")):
        code, words = run("receipt", "verify", folder / "receipt.jsonld", *options, "--json")
        assert code == 0
        controller = json.loads(words)["record"]["dataController"]
        assert controller["hasIdentifier"] == client
        assert {"type": "PostalAddress", "streetAddress": "Storgata 1"} in controller["contactPoint"]


def test_it_needs_no_data_folder_where_the_keys_are_given(made, tmp_path):
    folder, _, _ = made
    arguments = ["receipt", "verify", str(folder / "receipt.jsonld"), "--issuer-keys", str(folder / "issuer.jsonld")]
    result = CliRunner().invoke(main, [*arguments, "--data", str(tmp_path / "none")])
    assert result.exit_code == 0
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("was", "becomes"), [("dpv:ConsentGiven", "dpv:ConsentRefused"), ("grocery-line", "x"), ("{", "{ "), ("{", "[")]
)
def test_a_changed_receipt_is_refused_in_words_and_white_space_is_no_change(made, tmp_path, was, becomes):
    folder, run, _ = made
    text = (folder / "receipt.jsonld").read_text()
    assert was in text
    (tmp_path / "changed.jsonld").write_text(text.replace(was, becomes, 1))
    code, words = run("receipt", "verify", tmp_path / "changed.jsonld")
    assert (code == 0) is (becomes == "{ ")
    assert "Traceback" not in words


def test_keys_that_are_none_are_told(made):
    folder, run, _ = made
    code, words = run("receipt", "verify", folder / "receipt.jsonld", "--issuer-keys", folder / "keys.json")
    assert code != 0
    assert "issuer" in words
