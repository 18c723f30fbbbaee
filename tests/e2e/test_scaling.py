# SPDX-License-Identifier: Apache-2.0
"""What is kept ready of a function, and whose a full node is: weights of tenants, spares that follow
the arrivals."""

import glob
import json
from pathlib import Path

import pytest

import node as e2e

TENANT = "444444444444"
HOLD = {"index.py": "import time\n\ndef handler(event, context):\n    time.sleep(event.get('hold', 0))\n    return 1\n"}


@pytest.fixture
def small(private_node):
    return private_node({"node.tenants_on_tcg": "yes", "pool.spares": 0, "pool.keep_alive_min_s": 1,
                         "pool.keep_alive_s": 20})


def cpu_weights(node, tenant):
    """Of the tenant's cgroup, however the host has cgroups."""
    mode = node.node.GetNode(node.protocol.node.GetNodeRequest(), timeout=30).cgroup_mode
    pid = str(node.sandboxes_of(tenant)[0].pid)
    found = []
    for path in glob.glob(f"/sys/fs/cgroup/**/{tenant}/*/cgroup.procs", recursive=True):
        with open(path, encoding="ascii") as procs:
            if pid not in procs.read().split():
                continue
        weight = Path(path).parents[1] / ("cpu.weight" if mode == "v2" else "cpu.shares")
        if weight.exists():  # not where CPU time is only counted
            found.append(int(weight.read_text(encoding="ascii")))
    return mode, found


def test_a_tenant_s_weight(small, mayfly):
    def tenant(*args, **options):
        return mayfly("tenant", *args, socket=small.socket, **options)

    def shown():
        return json.loads(tenant("get", TENANT, "--output", "json").stdout)

    refused = tenant("create", TENANT, "--weight", 1001, check=False)
    assert b"weight of a tenant must be from 1 to 1000" in refused.stderr
    tenant("create", TENANT, "--concurrent-executions", 7)
    assert shown()["Weight"] == 100 and "Weight" not in shown()["Limits"]
    tenant("update", TENANT, "--weight", 300)
    assert shown()["Weight"] == 300 and shown()["Limits"]["ConcurrentExecutions"] == 7, "it stays"
    listed = json.loads(tenant("list", "--output", "json").stdout)["Tenants"]
    assert {t["Tenant"]: t["Weight"] for t in listed}[TENANT] == 300

    # A microVM that is there already is told, too.
    p = small.protocol
    small.functions.Create(small.create_request("f", e2e.PYTHON, HOLD, tenant=TENANT, timeout_seconds=30), timeout=60)
    small.sandboxes_of = lambda tenant: small.node.ListSandboxes(
        p.node.ListSandboxesRequest(tenant=tenant), timeout=30).sandboxes
    get = p.function.GetFunctionRequest(tenant=TENANT, function_name="f")
    e2e.wait_until(lambda: small.functions.Get(get, timeout=30).state == p.function.FUNCTION_STATE_ACTIVE, 120, "Active")
    mayfly("invoke", "f", "--tenant", TENANT, "--payload", "{}", socket=small.socket)
    mode, weights = cpu_weights(small, TENANT)
    unit = {"v1": 1024, "v2": 100}.get(mode)
    assert weights in ([], [3 * unit] if unit else [])
    tenant("update", TENANT, "--weight", 50)
    if weights:
        e2e.wait_until(lambda: cpu_weights(small, TENANT)[1] in ([unit // 2], []), 10, "the new weight")
    small.restart(kill=True)
    assert shown()["Weight"] == 50, "it was answered, so it is kept"


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
