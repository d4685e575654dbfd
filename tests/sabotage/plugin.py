"""Break the house on purpose: a pytest plugin that the sabotage proofs load into a second test run.

`-p tests.sabotage.plugin --sabotage NAME` changes one thing before any test is collected.
"""

from __future__ import annotations

import importlib
import sys

import pytest


def force_permitted() -> None:
    """Every decision about a consent is yes."""
    from consent import decision
    from pod_server.authorization import enforcement

    def permit(grant, *_args, **_kwargs):
        return decision.Permitted(grant.id if grant else "", grant.state_version if grant else 0)

    decision.decide_grant = permit
    decision.decide = lambda _request, grant, *_args, **_kwargs: permit(grant)
    decision.decide_record = lambda *_args, **_kwargs: None
    enforcement.decide_grant = permit
    enforcement.recheck_grant = lambda *_args, **_kwargs: None
    _replace_everywhere("recheck_grant", enforcement.recheck_grant)
    _replace_everywhere("decide_grant", permit)


def drop_log_leaf() -> None:
    """Nothing is written into any log."""
    from pod_server.log import ledger

    def forget(*_args, **_kwargs):
        return 0

    ledger.append = forget
    ledger.append_many = lambda *_args, **_kwargs: []
    _replace_everywhere("append_to_log", forget)


def zero_noise() -> None:
    """The releases are published without noise."""
    from research_views import noise

    noise.draw = lambda exact, **_: list(exact)
    _replace_everywhere("draw", noise.draw)


SABOTAGES = {"force-permitted": force_permitted, "drop-log-leaf": drop_log_leaf, "zero-noise": zero_noise}

HOUSE = ("consent", "pod_server", "partner_bridge", "twin_agent", "research_views", "dashboard", "tvilling")


def _replace_everywhere(name: str, replacement: object) -> None:
    """Names that other modules have already imported are replaced there too."""
    for module in list(sys.modules.values()):
        if module.__name__.split(".")[0] in HOUSE and hasattr(module, name):
            setattr(module, name, replacement)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sabotage", choices=sorted(SABOTAGES), default=None)


def pytest_configure(config: pytest.Config) -> None:
    name = config.getoption("--sabotage")
    if name:
        for door in ("pod_server.activities", "pod_server.grants", "partner_bridge.delivery", "research_views.release"):
            importlib.import_module(door)
        SABOTAGES[name]()
