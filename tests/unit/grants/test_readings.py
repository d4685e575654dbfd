"""Readings are counted by grant and day beside deliveries, on either engine."""

from __future__ import annotations

from datetime import timedelta

from deliveries import deliver, granted, readings

from consent.reasons import Reason
from pod_server.authorization import grant_rows
from pod_server.authorization.enforcement import recheck_reading, record_read


def test_readings_are_counted_apart_from_deliveries_and_end_with_the_days_number(city):
    host, kari = city.host, city.citizen("kari")
    permit = granted(host, kari.pod_id).permit
    deliver(host, permit, readings(0, 2))
    for day in range(2):
        at = host.clock.now()
        for _ in range(24):
            with host.storage.write() as tx:
                assert recheck_reading(tx, permit, at) is None
                record_read(tx, permit, at)
        with host.storage.write() as tx:
            refused = recheck_reading(tx, permit, at)
            assert refused is not None
            assert refused.reason is Reason.READ_TOO_OFTEN
        with host.storage.read() as tx:
            assert grant_rows.reads_of_pod(tx, kari.pod_id, at) == {permit.grant: (24, 24 * (day + 1), at)}
            assert grant_rows.totals(tx, kari.pod_id)[permit.grant][:3] == (2, 0, 0)
        city.clock.advance(timedelta(days=1))
