"""The one place where noise is drawn: OpenDP's vector Gaussian over whole numbers, from the system's randomness.

Only this measurement of OpenDP is used; its data frame path has an open soundness bug (opendp issue 2945).
Privacy loss is counted in zero-concentrated differential privacy: a Gaussian of scale s on sensitivity d costs
rho = (d/s)²/2.

Source: Bun & Steinke 2016 (zCDP), proposition 1.6; Canonne, Kamath & Steinke 2020 (the discrete Gaussian), section 2.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

from research_views.errors import NoiseMechanismWrong

if TYPE_CHECKING:
    from collections.abc import Sequence

DELTA = 1e-6
"""The delta that every epsilon here belongs to."""


def scale_for(sensitivity: float, rho: float) -> float:
    """The Gaussian's standard deviation, in the unit of `sensitivity`, that costs `rho`."""
    return sensitivity / math.sqrt(2 * rho)


def draw(exact: Sequence[int], *, sensitivity: float, rho: float) -> list[int]:
    """Add noise to a vector, once.

    Args:
        exact: Whole numbers; one citizen moves the vector by at most `sensitivity` (L2).
        sensitivity: In the same steps.
        rho: What it may cost. It must stand in the account already.

    Raises:
        NoiseMechanismWrong: OpenDP computes a higher cost for this scale.
    """
    # A hair wider, so that rounding inside the library never makes the cost exceed what the account was charged.
    measurement = _gaussian(scale_for(sensitivity, rho) * (1 + 1e-9))
    cost = measurement.map(sensitivity)
    if not cost <= rho:
        raise NoiseMechanismWrong(f"the Gaussian costs rho = {cost}, the account was charged {rho}")
    return [int(value) for value in measurement(list(exact))]


def epsilon_of(rho: float, delta: float = DELTA) -> float:
    """The epsilon of (epsilon, delta) differential privacy that `rho`-zCDP implies.

    Source: Canonne, Kamath & Steinke 2020, proposition 12; minimised over a grid, so never too small.
    """
    if rho <= 0:
        return 0.0
    orders = (1 + 10 ** (exponent / 400) for exponent in range(-1600, 1601))
    return min(order * rho + math.log(1 / (order * delta)) / (order - 1) + math.log(1 - 1 / order) for order in orders)


@cache
def _gaussian(scale: float) -> Any:
    import opendp.prelude as dp  # noqa: PLC0415 - a third of a second; only releases need it

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T=float)
    return dp.m.make_gaussian(*space, scale=scale)
