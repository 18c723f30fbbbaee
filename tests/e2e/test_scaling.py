# SPDX-License-Identifier: Apache-2.0
"""What is kept ready of a function: spares follow the arrivals."""

import pytest

import node as e2e

HOLD = {"index.py": "import time\n\ndef handler(event, context):\n    time.sleep(event.get('hold', 0))\n    return 1\n"}


@pytest.fixture
def small(private_node):
    return private_node({"pool.spares": 0, "pool.keep_alive_min_s": 1,
                         "pool.keep_alive_s": 20})


def test_spares_follow_a_burst_and_go(small):
    name = small.create(e2e.PYTHON, HOLD, timeout_seconds=60)

    def count():
        return len(small.sandboxes(name))

    def ready():
        return sum(small.sandbox_state(s) in ("READY", "FROZEN") for s in small.sandboxes(name))

    small.invoke(name, {})
    assert small.gauges().sandboxes_spare == 0, "nothing is known of bursts"
    futures = [small.start_invocation(name, {"hold": 3}) for _ in range(3)]
    e2e.wait_until(lambda: count() == 3, 60, "a sandbox for each")
    for future in futures:
        small.result(future)
    # Used ones do as well as spares; where they are gone, spares take their places.
    small.end_idle(name, "UNSPECIFIED")
    e2e.wait_until(lambda: ready() == 3, 60, "as many spares as were in use at once")
    assert small.gauges().sandboxes_spare == 3
    e2e.wait_until(lambda: count() == 0, 90, "the end of the last one")
