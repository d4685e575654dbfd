"""`tvilling source add --channel calculation`: a service that citizens may have reckon, described wholly or not at all."""

from __future__ import annotations

import json

from click.testing import CliRunner

from partner_bridge import calculating
from tvilling.cli import main


def test_a_service_is_added_listed_and_needs_its_secret(host, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("a word of the house's")

    def run(*arguments):
        options = ["--data", str(host.data_folder), "--base-url", host.base_url, "--json"]
        return CliRunner().invoke(main, ["source", *arguments, *options])

    described = ["add", "ducky", "--name", "Ducky", "--channel", "calculation", "--connector", "ducky",
                 "--purpose", "second-opinion", "--api", "https://api.ducky.example/v3", "--client-id", "tvilling"]  # fmt: skip
    assert run(*described, "--secret-file", str(secret)).exit_code != 0, "where tokens are given is missing"
    described += ["--token-endpoint", "https://api.ducky.example/token"]
    assert run(*described).exit_code != 0, "the secret is missing"
    assert calculating.services(host) == []
    assert run(*described, "--secret-file", str(secret)).exit_code != 0, "blanks are in no secret"
    secret.write_text("a-word-of-the-houses")
    done = run(*described, "--secret-file", str(secret))
    assert done.exit_code == 0, done.output
    (service,) = calculating.services(host)
    assert json.loads(done.stdout)["client_id"] == service.client_id
    assert (service.channel, service.connector, service.secret) == ("calculation", "ducky", "a-word-of-the-houses")
    assert "a-word-of-the-houses" not in run("list").stdout
