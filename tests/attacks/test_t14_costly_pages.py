"""T14: one citizen asks for many costly answers at once; the pages stay open to everybody else."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dashboard.errors import RecomputeBusy
from dashboard.views import footprint


def test_a_worker_counts_anew_for_a_few_at_a_time_and_turns_the_others_away_at_once(monkeypatch):
    go_on, began = threading.Event(), threading.Semaphore(0)

    def costly(_host, _own):
        began.release()
        assert go_on.wait(30)
        return {}

    monkeypatch.setattr(footprint.twin_recompute, "recompute", costly)
    with ThreadPoolExecutor(footprint._RECOMPUTES_AT_ONCE) as others:
        running = [others.submit(footprint.recomputed, None, None) for _ in range(footprint._RECOMPUTES_AT_ONCE)]
        for _ in running:
            assert began.acquire(timeout=30)
        with pytest.raises(RecomputeBusy) as refused:
            footprint.recomputed(None, None)
        assert refused.value.retry_after > 0
        go_on.set()
        assert [each.result() for each in running] == [{"months": {}}] * len(running)
    assert footprint.recomputed(None, None) == {"months": {}}
