# SPDX-License-Identifier: Apache-2.0
"""Limits of concurrency and rate: who is over one is told so at once, and which it is."""

import json

import pytest

import node as e2e

HOLD = {"index.py": "import time\n\ndef handler(event, context):\n"
                    "    print('runs')\n    time.sleep(event.get('hold', 0))\n    return event\n"}


@pytest.fixture(scope="module")
def limited(request, protocol, build, images):
    """A node whose tenant may run three at once, one of which reservations must leave."""
    made = e2e.Node(protocol, build, images, {"limits.concurrency": 3, "limits.unreserved_minimum": 1,
                                              "pool.spares": 0})
    try:
        yield made.start()
        made.stop()
    finally:
        made.destroy()


@pytest.fixture(scope="module")
def function(limited):
    name = limited.create(e2e.PYTHON, HOLD, timeout_seconds=120)
    limited.invoke(name, {})
    return name


def put(node, name, reserved):
    return node.concurrency.Put(node.protocol.concurrency.PutFunctionConcurrencyRequest(
        function_name=name, reserved_concurrent_executions=reserved), timeout=30)


def get(node, name):
    return node.concurrency.Get(
        node.protocol.concurrency.GetFunctionConcurrencyRequest(function_name=name), timeout=30)


def take_back(node, name):
    node.concurrency.Delete(
        node.protocol.concurrency.DeleteFunctionConcurrencyRequest(function_name=name), timeout=30)


def account(node):
    return node.concurrency.GetAccountSettings(
        node.protocol.concurrency.GetAccountSettingsRequest(), timeout=30)


def held(node, name, count, seconds=20):
    """So many that run and go on running."""
    futures = [node.start_invocation(name, {"hold": seconds}) for _ in range(count)]
    e2e.wait_until(lambda: get(node, name).concurrent_executions == count, 120, "all of them running")
    return futures


def throttle(node, name):
    request = node.protocol.invoke.InvokeRequest(function_name=name, payload=b"{}")
    refusal = node.refusal(node.invocations.Invoke, request)
    assert (refusal.status, refusal.reason) == (e2e.grpc.StatusCode.RESOURCE_EXHAUSTED, "TooManyRequestsException")
    assert refusal.message == "Rate Exceeded."
    return refusal.limit


def test_the_tenant_s_limit(limited, function):
    before = account(limited)
    assert before.limit.total_code_size == 80530636800
    limited.functions.PublishVersion(limited.protocol.function.PublishVersionRequest(function_name=function), timeout=60)
    assert account(limited).usage.function_count == before.usage.function_count, "a version is no function"
    futures = held(limited, function, 3, 6)
    assert throttle(limited, function) == "ConcurrentInvocationLimitExceeded"
    # A chain that calls itself would wait for ever if it waited; a stream is refused like all.
    stream = limited.refusal(lambda **options: list(limited.invocations.InvokeStream(
        limited.protocol.invoke.InvokeRequest(function_name=function, payload=b"{}"), **options)))
    assert stream.limit == "ConcurrentInvocationLimitExceeded"
    # Who only asks whether it could has no place to take.
    dry = limited.protocol.invoke.InvokeRequest(
        function_name=function, invocation_type=limited.protocol.invoke.INVOCATION_TYPE_DRY_RUN)
    assert limited.invocations.Invoke(dry, timeout=30).status_code == 204
    now = account(limited)
    assert (now.usage.concurrent_executions, now.limit.concurrent_executions) == (3, 3)
    assert now.usage.throttles == before.usage.throttles + 2 == limited.gauges().throttles_total
    assert [limited.result(future).json for future in futures] == [{"hold": 6}] * 3
    assert limited.invoke(function, {"x": 1}).json == {"x": 1}
    # What was throttled has left no trace in the function's log.
    assert limited.log_text(function).count("runs") == limited.log_text(function).count("REPORT")


def test_a_tenant_s_own_limit(limited, function):
    t = limited.protocol.tenant
    tenants = limited.protocol.tenant_grpc.TenantServiceStub(limited.channel)
    tenants.Update(t.UpdateTenantRequest(tenant="123456789012", limits=t.TenantLimits(concurrent_executions=1)),
                   timeout=30)
    try:
        assert account(limited).limit.concurrent_executions == 1
        [future] = held(limited, function, 1, 4)
        assert throttle(limited, function) == "ConcurrentInvocationLimitExceeded"
        assert limited.result(future).json == {"hold": 4}
    finally:
        tenants.Update(t.UpdateTenantRequest(tenant="123456789012", limits=t.TenantLimits()), timeout=30)
    assert account(limited).limit.concurrent_executions == 3


def test_a_reservation(limited, function):
    assert not get(limited, function).HasField("reserved_concurrent_executions")
    other = limited.create(e2e.PYTHON, {"index.py": HOLD["index.py"] + "# another\n"}, timeout_seconds=120)
    assert put(limited, function, 1).reserved_concurrent_executions == 1
    try:
        refusal = limited.refusal(lambda **_: put(limited, other, 2))
        assert refusal.field == "reserved_concurrent_executions"
        assert refusal.message == ("Specified ReservedConcurrentExecutions for function decreases account's "
                                   "UnreservedConcurrentExecution below its minimum value of [1].")
        assert account(limited).limit.unreserved_concurrent_executions == 2
        [future] = held(limited, function, 1)
        assert throttle(limited, function) == "ReservedFunctionConcurrentInvocationLimitExceeded"
        # It has left the others' part alone, and they leave its own.
        assert limited.invoke(other, {"y": 2}).json == {"y": 2}
        limited.restart(kill=True)
        assert get(limited, function).reserved_concurrent_executions == 1
        put(limited, function, 0)
        assert throttle(limited, function) == "ReservedFunctionConcurrentInvocationLimitExceeded"
        with pytest.raises(e2e.grpc.RpcError):
            future.result()
    finally:
        take_back(limited, function)
    assert limited.invoke(function, {}).json == {}


def test_ten_a_second_for_each(limited, function):
    """One place that is always free serves so many, then says why it does not."""
    put(limited, function, 1)
    try:
        request = limited.protocol.invoke.InvokeRequest(function_name=function, payload=b"{}")
        limited.invoke(function, {})
        reasons = set()
        for _ in range(2000):
            try:
                limited.invocations.Invoke(request, timeout=60)
            except e2e.grpc.RpcError as error:
                reasons.add(e2e.Refusal(limited.protocol, error).limit)
                break
        assert reasons == {"ReservedFunctionInvocationRateLimitExceeded"}
    finally:
        take_back(limited, function)


@pytest.mark.parametrize("name, field", [
    ("f:1", "function_name"), ("f:$LATEST", "function_name"), ("no name!", "function_name")])
def test_names(limited, name, field):
    refusal = limited.refusal(lambda **_: put(limited, name, 1))
    assert (refusal.status, refusal.field) == (e2e.grpc.StatusCode.INVALID_ARGUMENT, field)


def test_missing(limited, function):
    c = limited.protocol.concurrency
    assert limited.refusal(lambda **_: put(limited, "none", 1)).status == e2e.grpc.StatusCode.NOT_FOUND
    assert limited.refusal(lambda **_: get(limited, "none")).status == e2e.grpc.StatusCode.NOT_FOUND
    refusal = limited.refusal(limited.concurrency.Put, c.PutFunctionConcurrencyRequest(function_name=function))
    assert refusal.field == "reserved_concurrent_executions"


def test_command(limited, function, mayfly):
    def run(*words):
        return mayfly(*words, "--output", "json", socket=limited.socket, check=False)

    assert json.loads(run("concurrency", "put", function, "-n", "2").stdout)["ReservedConcurrentExecutions"] == 2
    assert json.loads(run("concurrency", "get", function).stdout) == {
        "ConcurrentExecutions": 0, "ReservedConcurrentExecutions": 2}
    put(limited, function, 0)
    refused = run("invoke", function, "--payload", "{}")
    assert refused.returncode == 5
    assert b"Rate Exceeded. (ReservedFunctionConcurrentInvocationLimitExceeded)" in refused.stderr
    assert run("concurrency", "delete", function).returncode == 0
    assert json.loads(run("account").stdout)["AccountLimit"]["UnreservedConcurrentExecutions"] == 3
