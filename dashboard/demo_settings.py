"""What the demo page knows of the simulated city; set by `tvilling demo` alone."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class DemoSettings:
    """Where the simulators take orders, and whose page stands beside them.

    Attributes:
        control_url: The simulators' control endpoint (loopback), no trailing slash.
        control_token: The bearer token it asks for.
        handle: The citizen whose partners the buttons move.
        speed: How many times faster than real time the city's time runs.
    """

    control_url: str
    control_token: str = field(repr=False)
    handle: str
    speed: float
