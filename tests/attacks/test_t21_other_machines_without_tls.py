"""T21: a host that other machines reach without TLS, with cookies and passphrases in plain."""

from __future__ import annotations

import pytest

from tvilling.errors import SettingsError
from tvilling.settings import Listen, Settings


def settings(listen: str, live_listen: str, base_url: str | None = None) -> Settings:
    here, live = Listen.parse(listen), Listen.parse(live_listen)
    return Settings("data", base_url or here.origin, live.origin, here, live)


@pytest.mark.parametrize(
    ("listen", "live_listen"), [("0.0.0.0:8080", "127.0.0.1:8081"), ("127.0.0.1:8080", "0.0.0.0:8081")]
)
def test_nobody_listens_for_other_machines_under_the_relaxed_rules_of_this_one(listen, live_listen):
    with pytest.raises(SettingsError, match="--base-url"):
        settings(listen, live_listen)


@pytest.mark.parametrize("base_url", ["http://tvilling.example", "tvilling.example", "ftp://tvilling.example"])
def test_an_address_without_tls_is_not_the_one_by_which_others_come(base_url):
    with pytest.raises(SettingsError, match="https"):
        settings("0.0.0.0:8080", "0.0.0.0:8081", base_url)


def test_behind_an_https_address_every_rule_holds():
    assert not settings("0.0.0.0:8080", "0.0.0.0:8081", "https://tvilling.example").is_loopback


@pytest.mark.parametrize("listen", ["127.0.0.1:8080", "[::1]:8080", ":8080", "localhost:8080"])
def test_this_machine_needs_no_tls(listen):
    assert settings(listen, "127.0.0.1:8081").is_loopback
