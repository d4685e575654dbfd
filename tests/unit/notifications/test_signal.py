"""Signals between processes: heard by all, never blocking, lost without harm."""

from __future__ import annotations

import os

from ending import forked, outcome_of

from pod_server.notifications.signal import NullSignal, Signal


def test_every_listener_hears_every_pod(tmp_path):
    signal = Signal(tmp_path)
    with signal.listen() as one, signal.listen() as two:
        signal.notify({1, 2**63 - 1})
        assert one.wait(30) == two.wait(30) == {1, 2**63 - 1}
        assert one.wait(0.01) == set()


def test_several_signals_are_taken_together(tmp_path):
    signal = Signal(tmp_path)
    with signal.listen() as ear:
        for pod in range(3000):
            signal.notify([pod])
        assert ear.wait(30) == set(range(3000))


def test_a_great_batch_arrives_whole(tmp_path):
    signal = Signal(tmp_path)
    with signal.listen() as ear:
        signal.notify(range(10_000))
        assert ear.wait(30) == set(range(10_000))


def test_another_process_is_heard(tmp_path):
    signal = Signal(tmp_path)
    with signal.listen() as ear:
        signal.notify([1])
        assert ear.wait(30) == {1}
        with forked(lambda: signal.notify([7])) as child:
            assert outcome_of(child) == 0
        assert ear.wait(30) == {7}


def test_a_dead_listeners_pipe_is_cleared_away(tmp_path):
    os.mkfifo(tmp_path / "signal-99999-dead")
    signal = Signal(tmp_path)
    with signal.listen() as ear:
        signal.notify([1])
        assert ear.wait(30) == {1}
    assert list(tmp_path.iterdir()) == []


def test_a_listener_that_does_not_listen_stops_nobody(tmp_path):
    signal = Signal(tmp_path)
    with signal.listen() as deaf:
        for _ in range(400):
            signal.notify([3] * 512)
        assert deaf.wait(30) == {3}


def test_a_folder_whose_path_is_very_long_works(tmp_path):
    folder = tmp_path / ("x" * 120)
    signal = Signal(folder)
    with signal.listen() as ear:
        signal.notify([5])
        assert ear.wait(30) == {5}


def test_nobody_listening_and_nothing_to_tell_are_no_errors(tmp_path):
    signal = Signal(tmp_path)
    signal.notify([1])
    signal.notify([])
    NullSignal().notify([1])
    assert list(tmp_path.iterdir()) == []
