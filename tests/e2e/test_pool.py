# SPDX-License-Identifier: Apache-2.0
"""The pool: bursts, freezing, keep-alive, eviction, spares."""

import time

import node as e2e

SLOW = {"index.py": "import time\ndef handler(event, context):\n    time.sleep(event.get('sleep', 0))\n    return 1\n"}


def burst(node, name, count, event=None):
    futures = [node.start_invocation(name, event) for _ in range(count)]
    return [node.result(future) for future in futures]


def test_burst_starts_at_most_as_many_and_answers_all(node, deploy):
    name = deploy(e2e.PYTHON, SLOW, timeout_seconds=30)
    results = burst(node, name, 12, {"sleep": 0.1})
    assert [r.json for r in results] == [1] * 12
    assert len({r.request_id for r in results}) == 12
    sandboxes = node.sandboxes(name)
    assert 1 <= len(sandboxes) <= 12
    assert {r.sandbox for r in results} <= {s.sandbox_id for s in sandboxes}
    # Each cold start is told once, and by the one that had it.
    cold = [r for r in results if r.start == "RESTORE"]
    assert len(cold) == len({r.sandbox for r in cold})
    assert all(r.start in ("RESTORE", "WARM") for r in results)
    assert sum("Init Duration: " in r.log for r in results) == len(cold)


def test_waiting_takes_whichever_comes_first(node, deploy):
    """A freed sandbox serves a waiting invocation though a restore was begun for it."""
    name = deploy(e2e.PYTHON, SLOW, timeout_seconds=30)
    node.invoke(name)
    results = burst(node, name, 30)
    assert [r.json for r in results] == [1] * 30
    assert len(node.sandboxes(name)) <= 31
    assert any(r.start == "WARM" for r in results)


def test_one_invocation_at_a_time(node, deploy):
    name = deploy(e2e.PYTHON, {"index.py": """
import os, time
active = 0
def handler(event, context):
    global active
    active += 1
    time.sleep(0.2)
    seen, active = active, active - 1
    return seen
"""}, timeout_seconds=30)
    assert [r.json for r in burst(node, name, 8)] == [1] * 8


def test_frozen_sandboxes_use_no_cpu(node, deploy):
    name = deploy(e2e.PYTHON, {"index.py": """
import threading, time
def spin():
    while True:
        pass
threading.Thread(target=spin, daemon=True).start()
def handler(event, context):
    return 1
"""})
    node.invoke(name)
    frozen = e2e.wait_until(
        lambda: [s for s in node.sandboxes(name) if node.sandbox_state(s) == "FROZEN"], 30, "frozen")
    pid = frozen[0].pid

    def still():
        """A second without a tick. A vCPU that ran would use a whole second of it."""
        before, begun = e2e.cpu_ticks(pid), time.monotonic()
        e2e.wait_until(lambda: time.monotonic() - begun >= 1, 5, "a second")
        return e2e.cpu_ticks(pid) - before <= 1

    e2e.wait_until(still, 30, "a second without CPU time")
    assert node.invoke(name).start == "WARM"


def test_keep_alive_ends_idle_sandboxes(private_node):
    node = private_node({"pool.keep_alive_s": 1})
    name = node.create(e2e.PYTHON, SLOW)
    node.invoke(name)
    pids = [s.pid for s in node.sandboxes(name)]
    e2e.wait_until(lambda: not node.sandboxes(name), 30, "idle sandboxes ended")
    e2e.wait_until(lambda: not any(e2e.is_alive(p) for p in pids), 10, "their processes ended")
    assert node.leftovers() == []
    assert node.invoke(name).start == "RESTORE"


def test_eviction_within_the_memory_budget(private_node):
    """Room for two sandboxes of 128 MB at 100 %: the longest idle one makes room."""
    node = private_node({"pool.memory_budget_mb": 2 * (128 + 32), "pool.memory_commit_percent": 100,
                         "pool.sandbox_overhead_mb": 32})
    names = [node.create(e2e.PYTHON, SLOW) for _ in range(3)]
    for name in names:
        assert node.invoke(name).start == "RESTORE"
        gauges = node.gauges()
        assert gauges.memory_committed_bytes <= gauges.memory_budget_bytes
    e2e.wait_until(lambda: not node.sandboxes(names[0]), 30, "the longest idle sandbox evicted")
    assert node.gauges().evictions_total >= 1
    assert node.invoke(names[2]).start == "WARM"
    assert node.invoke(names[0]).json == 1


def test_more_than_the_budget_waits_and_is_answered(private_node):
    node = private_node({"pool.memory_budget_mb": 160, "pool.memory_commit_percent": 100,
                         "pool.sandbox_overhead_mb": 32})
    name = node.create(e2e.PYTHON, SLOW)
    results = burst(node, name, 6, {"sleep": 0.1})
    assert [r.json for r in results] == [1] * 6
    assert len({r.sandbox for r in results}) == 1


def test_bound_of_waiting_invocations(private_node):
    node = private_node({"pool.max_sandboxes": 1, "pool.max_waiting": 2})
    name = node.create(e2e.PYTHON, SLOW, timeout_seconds=30)
    node.invoke(name)
    futures = [node.start_invocation(name, {"sleep": 2}) for _ in range(8)]
    outcomes = []
    for future in futures:
        try:
            outcomes.append(node.result(future).json)
        except e2e.grpc.RpcError as error:
            refusal = e2e.Refusal(node.protocol, error)
            assert refusal.status == e2e.grpc.StatusCode.RESOURCE_EXHAUSTED, refusal
            assert (refusal.reason, refusal.limit) == ("TooManyRequestsException", "NodeWaitingLimitExceeded")
            outcomes.append("refused")
    assert outcomes.count(1) == 3 and outcomes.count("refused") == 5, outcomes
    gauges = node.gauges()
    assert (gauges.waiting_refused_total, gauges.waiting_displaced_total, gauges.waiting_bytes) == (5, 0, 0)


def test_one_tenant_s_flood_leaves_room_for_others(private_node):
    """Its youngest leave, an event among them, which is tried again. Who was refused has not run."""
    flooder, other, large = "123456789012", "222222222222", {"pad": "x" * (3 << 20)}
    node = private_node({"node.tenants_on_tcg": "yes", "pool.max_sandboxes": 2, "pool.max_waiting": 4,
                         "pool.max_waiting_mb": 8, "pool.spares": 0, "events.max_retries": 0,
                         "events.delay_first_ms": 500})
    i, t = node.protocol.invoke, node.protocol.tenant
    node.protocol.tenant_grpc.TenantServiceStub(node.channel).Create(
        t.CreateTenantRequest(tenant=other, name="other"), timeout=30)
    name = node.create(e2e.PYTHON, SLOW, timeout_seconds=60)
    node.functions.Create(node.create_request(name, e2e.PYTHON, SLOW, tenant=other, timeout_seconds=60), timeout=60)
    e2e.wait_until(lambda: node.functions.Get(node.protocol.function.GetFunctionRequest(
        tenant=other, function_name=name), timeout=30).state == node.protocol.function.FUNCTION_STATE_ACTIVE,
        120, "the other's function Active")
    futures = {}

    def start(key, event, tenant=flooder):
        futures[key] = node.start_invocation(name, event, tenant=tenant)

    def wait_queued(count):
        e2e.wait_until(lambda: node.gauges().invocations_queued == count, 30, f"{count} that wait", 0.05)

    start("busy 1", {"sleep": 5})
    start("busy 2", {"sleep": 5})
    e2e.wait_until(lambda: node.gauges().sandboxes_busy == 2, 60, "both sandboxes in use", 0.05)
    for count, key in enumerate(("large", "larger"), 1):
        start(key, large)
        wait_queued(count)
    start("small", {})
    wait_queued(3)
    event = node.invocations.Invoke(i.InvokeRequest(
        function_name=name, payload=b"{}", invocation_type=i.INVOCATION_TYPE_EVENT), timeout=30)
    wait_queued(4)
    # Its own do not displace each other.
    for payload in ({}, large):
        refusal = node.refusal(node.invocations.Invoke, i.InvokeRequest(
            function_name=name, payload=e2e.json.dumps(payload).encode()))
        assert (refusal.message, refusal.limit) == ("Rate Exceeded.", "NodeWaitingLimitExceeded")
    start("other's large", large, other)
    refusal = node.refusal(lambda **_: futures["larger"].result())
    assert (refusal.status, refusal.message) == (e2e.grpc.StatusCode.RESOURCE_EXHAUSTED, "Rate Exceeded.")
    assert (refusal.reason, refusal.limit) == ("TooManyRequestsException", "NodeWaitingLimitExceeded")
    wait_queued(4)
    start("other's small", {}, other)
    e2e.wait_until(lambda: node.gauges().waiting_displaced_total == 2, 30, "the event displaced", 0.05)
    assert node.gauges().sandboxes_busy == 2
    del futures["larger"]
    results = {key: node.result(future) for key, future in futures.items()}
    assert {result.json for result in results.values()} == {1}
    e2e.wait_until(lambda: node.gauges().events_waiting + node.gauges().events_running == 0, 60, "the event's end")
    assert node.gauges().events_dropped_total == 0
    # All who ran are billed, once; none else.
    u = node.protocol.usage
    node.usage.Reconcile(u.ReconcileUsageRequest(), timeout=60)
    records = [r.request_id for tenant in (flooder, other) for page in node.usage.Export(
        u.ExportUsageRequest(tenant=tenant), timeout=60) for r in page.records]
    assert sorted(records) == sorted([event.request_id] + [r.request_id for r in results.values()])


def test_spares_appear_and_are_used(private_node):
    node = private_node({"pool.spares": 1, "pool.spares_on_deploy": "yes"})
    name = node.create(e2e.PYTHON, {"index.py": "n = 0\ndef handler(e, c):\n    global n\n    n += 1\n    return n\n"})

    def spare():
        return node.gauges().sandboxes_spare >= 1 and [
            s for s in node.sandboxes(name) if node.sandbox_state(s) == "FROZEN" and s.invocations == 0]

    ready = e2e.wait_until(spare, 60, "a spare")
    first = node.invoke(name)
    assert (first.start, first.json) == ("SPARE", 1)
    assert first.sandbox == ready[0].sandbox_id
    assert "Init Duration: " in first.log, "the INIT of a spare is told with its first invocation"
    assert node.invoke(name).start == "WARM"
    e2e.wait_until(spare, 60, "the spare replaced")


def test_start_policy(node, deploy):
    name = deploy(e2e.PYTHON, SLOW)
    assert node.end_idle(name, "SPARE", 2).spares_ready == 2
    assert node.invoke(name).start == "SPARE"
    answer = node.end_idle(name, "RESTORE")
    assert answer.ended >= 1
    assert node.sandboxes(name) == []
    assert node.invoke(name).start == "RESTORE"
    node.end_idle(name, "BOOT")
    booted = node.invoke(name)
    assert booted.start == "BOOT"
    assert booted.json == 1


def test_deleted_function_takes_its_sandboxes(node):
    name = node.create(e2e.PYTHON, SLOW)
    node.invoke(name)
    pids = [s.pid for s in node.sandboxes(name)]
    node.delete(name)
    e2e.wait_until(lambda: not node.sandboxes(name), 30, "sandboxes of the deleted function gone")
    e2e.wait_until(lambda: not any(e2e.is_alive(p) for p in pids), 30, "processes gone")
    again = node.create(e2e.PYTHON, SLOW, name=name)
    assert node.invoke(again).start == "RESTORE"
    node.delete(again)


def test_vm_processes_are_confined(node, python_probe):
    python_probe.run("result = 1")
    pid = node.sandboxes(python_probe.name)[0].pid
    status = dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status").read().splitlines() if ":\t" in line)
    uids = {int(uid) for uid in status["Uid"].split()}
    assert len(uids) == 1 and uids < set(range(1900000000, 1900065536)), "QEMU runs as a user of its own"
    assert status["Seccomp"].strip() == "2"
    assert int(status["CapEff"], 16) == 0
    assert "-netdev" not in e2e.command_of(pid)


def test_ten_thousand_warm_invocations_do_not_grow_the_agent(node, deploy):
    """One leaked block of half a kilobyte per invocation would be over the bound."""
    name = deploy(e2e.PYTHON, SLOW)
    for _ in range(500):  # until every buffer and pool has its size
        node.invoke(name, log=False)
    before = node.gauges().agent_resident_bytes
    for _ in range(10000):
        node.invoke(name, log=False)
    grown = node.gauges().agent_resident_bytes - before
    assert grown < 4 << 20, f"the agent grew by {grown} bytes"
