"""The recorder as the program below it sees it: notes into the trace, and faults that are to strike."""

from __future__ import annotations

import ctypes
import json
from typing import Any

FAULTS = {"kill": 1, "tear": 2, "full": 3, "sync": 4}


class Recorder:
    """The library that was loaded before everything else."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._note = library.faults_note
        self._note.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
        self.arm = library.faults_arm
        self.arm.argtypes = [ctypes.c_int, ctypes.c_long]
        self.struck = library.faults_struck

    def note(self, **members: Any) -> None:
        """Put a note into the trace."""
        text = json.dumps(members).encode()
        self._note(text, len(text))
