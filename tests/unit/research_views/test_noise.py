"""The noise is what the account was charged for; and a noise of zero is found out."""

from __future__ import annotations

import math
import statistics

import pytest

from research_views import bounding, budget, noise
from research_views.errors import NoiseMechanismWrong

DRAWS = 8000
RHO = 0.185 / 12


def check_that_the_noise_is_as_wide_as_declared() -> None:
    """Draw many times and compare mean, spread and tail with the Gaussian that the account was charged for.

    Each bound lies six standard errors away: a sound mechanism fails it once in some hundred million runs.
    """
    sensitivity = bounding.sensitivity_steps()
    declared = sensitivity / math.sqrt(2 * RHO)
    drawn = noise.draw([0] * DRAWS, sensitivity=sensitivity, rho=RHO)
    assert len(drawn) == DRAWS
    assert abs(statistics.fmean(drawn)) < 6 * declared / math.sqrt(DRAWS), "the noise is not centred"
    spread = statistics.pstdev(drawn)
    assert abs(spread / declared - 1) < 6 / math.sqrt(2 * DRAWS), (
        f"the spread is {spread / declared:.3f} of the declared"
    )
    beyond = sum(abs(value) > declared for value in drawn) / DRAWS
    expected = math.erfc(1 / math.sqrt(2))
    assert abs(beyond - expected) < 6 * math.sqrt(expected * (1 - expected) / DRAWS), "the tails are not a Gaussian's"


def test_the_noise_has_the_declared_scale() -> None:
    check_that_the_noise_is_as_wide_as_declared()


def test_sabotage_with_the_noise_set_to_zero_the_check_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "draw", lambda exact, **_: list(exact))
    with pytest.raises(AssertionError):
        check_that_the_noise_is_as_wide_as_declared()


def test_sabotage_with_half_the_noise_the_check_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "scale_for", lambda sensitivity, rho: sensitivity / (2 * rho) ** 0.5 / 2)
    with pytest.raises((AssertionError, NoiseMechanismWrong)):
        check_that_the_noise_is_as_wide_as_declared()


def test_a_mechanism_that_costs_more_than_was_charged_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "scale_for", lambda sensitivity, rho: sensitivity / (2 * rho) ** 0.5 * 0.99)
    with pytest.raises(NoiseMechanismWrong):
        noise.draw([0], sensitivity=bounding.sensitivity_steps(), rho=RHO)


def test_two_draws_differ() -> None:
    sensitivity = bounding.sensitivity_steps()
    assert noise.draw([0] * 8, sensitivity=sensitivity, rho=RHO) != noise.draw(
        [0] * 8, sensitivity=sensitivity, rho=RHO
    )


def test_epsilon_agrees_with_opendp_and_with_what_citizens_are_told() -> None:
    import opendp.prelude as dp

    dp.enable_features("contrib")
    gaussian = dp.m.make_gaussian(dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T=float), scale=1.0)
    curve = dp.c.make_zCDP_to_approxDP(gaussian)
    for rho in (budget.RHO_A_MONTH, budget.RHO_A_YEAR, budget.RHO_A_LIFETIME):
        theirs = curve.map((2 * rho) ** 0.5).epsilon(noise.DELTA)
        assert noise.epsilon_of(rho) == pytest.approx(theirs, rel=1e-3)
    assert noise.epsilon_of(budget.RHO_A_YEAR) <= 3.0
    assert noise.epsilon_of(budget.RHO_A_LIFETIME) <= 8.0
    assert noise.epsilon_of(0) == 0
