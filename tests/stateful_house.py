"""What the state machines of tests/models share: a house on disk that can lose its power and be opened again.

`make test` runs a few short lives of each machine, `make faults` many long ones (TVILLING_FAULT_RUNS). Hypothesis
draws the steps, shrinks a failure to the fewest and prints them as a test.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hosts import NOON, make_host
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from power_cut import FUSE, PowerCut, fused_connections

from pod_server.clock import SetClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from pod_server.host import Host

PATIENCE_SECONDS = 900
"""A failure is shrunk before it is told, which is many lives more."""

RUNS = int(os.environ.get("TVILLING_FAULT_RUNS", "0"))


def live(machine: type[RuleBasedStateMachine], *, lives: int, steps: int) -> None:
    """Run a machine: so many lives of so many steps at most, more and longer ones where faults are looked for."""
    chosen = settings(
        max_examples=max(lives, RUNS // 3),
        stateful_step_count=steps if not RUNS else 2 * steps,
        deadline=None,
        # With the same code the same lives: what `make test` says does not hang on luck. `make faults` draws anew.
        derandomize=not RUNS,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )
    with fused_connections():
        run_state_machine_as_test(machine, settings=chosen)


class House(RuleBasedStateMachine):
    """A machine on a real host in a folder of its own.

    Attributes:
        clock: The host's, set by rules.
        host: The host; another one after each power cut, on the same files.
    """

    def __init__(self) -> None:
        """Make the folder and the host."""
        super().__init__()
        FUSE.mend()
        self._folder = Path(tempfile.mkdtemp(prefix="model-"))
        self.clock = SetClock(NOON)
        self.host: Host = make_host(self._folder / "data", self.clock)
        self.cut_at: int | None = None

    @property
    def data(self) -> Path:
        """The data folder."""
        return self._folder / "data"

    def reopen(self) -> None:
        """What a restart does: let go of everything in memory, and open the files again."""
        self.close()
        FUSE.mend()
        self.host = make_host(self._folder / "data", self.clock)

    def survives(self, work: Callable[[], object]) -> bool:
        """Do something, with a power cut in it if a rule has set one; False where the power went."""
        FUSE.set(self.cut_at)
        self.cut_at = None
        try:
            work()
        except PowerCut:
            self.reopen()
            return False
        except BaseException:
            # An error of the house's own on its way out of a machine that is dead: a `finally` that raised.
            if FUSE.blown:
                self.reopen()
                return False
            raise
        finally:
            FUSE.mend()
        return True

    def close(self) -> None:
        """Let go of the files."""
        self.host.storage.close()
        self.host.key_store.close()

    def teardown(self) -> None:
        """End the life."""
        FUSE.mend()
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)
