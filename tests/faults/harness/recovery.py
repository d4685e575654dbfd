"""The house started again after a fault, below the recorder too: so that it can die in the middle of mending.

python -m faults.harness.recovery FOLDER TRACE KIND AFTER
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from faults.harness.checker import finish
from faults.harness.disk import read_trace
from faults.harness.places import Partner, settings_of
from faults.harness.promises import fold
from faults.harness.recorder import FAULTS, Recorder
from hosts import NOON, make_host

from pod_server.clock import SetClock
from tvilling.data_folder import migrate_data_folder


def main(folder: Path, trace: Path, kind: str, after: int) -> None:
    """Start, mend, stop; where the trace holds no first acknowledgment there is nothing to mend."""
    promises = fold([call.data for call in read_trace(trace) if call.kind == "A"])
    if promises.begun:
        Recorder().arm(FAULTS[kind], after)
        migrate_data_folder(settings_of(folder / "data"))
        host = replace(make_host(folder / "data", SetClock(NOON + timedelta(days=1))), outbound=Partner())
        finish(host, promises)
        host.storage.close()
        host.key_store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
