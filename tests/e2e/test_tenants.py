# SPDX-License-Identifier: Apache-2.0
"""Several tenants on one node: what they share, which is nothing, and what stops them."""

import subprocess

import grpc
import pytest

import node as e2e

Status = grpc.StatusCode
BLUE, GREEN, ABSENT = "111111111111", "222222222222", "999999999999"
ECHO = "import os\ndef handler(event, context):\n    print('log of', os.environ['WHO'])\n    return os.environ['WHO']\n"


@pytest.fixture(scope="module")
def shared(protocol, build, images, base_templates):
    """A node with two tenants, who have a function of the same name."""
    node = e2e.Node(protocol, build, images, {"node.tenants_on_tcg": "yes"})
    try:
        node.state.mkdir(parents=True)
        subprocess.run(["cp", "-a", "-l", "--sparse=always", base_templates, node.state / "templates"],
                       check=True, timeout=120)
        node.start()
        node.tenants = protocol.tenant_grpc.TenantServiceStub(node.channel)
        for tenant in (BLUE, GREEN):
            node.tenants.Create(protocol.tenant.CreateTenantRequest(tenant=tenant, name=f"team {tenant[0]}"),
                                timeout=30)
            node.functions.Create(node.create_request("same", e2e.PYTHON, {"index.py": ECHO}, tenant=tenant,
                                                      environment={"WHO": tenant}, timeout_seconds=30), timeout=60)
        yield node
        node.stop()
    finally:
        node.destroy()


def get(node, tenant, name="same"):
    return node.functions.Get(node.protocol.function.GetFunctionRequest(tenant=tenant, function_name=name), timeout=30)


def wait_active(node, tenant, name="same"):
    e2e.wait_until(lambda: get(node, tenant, name).state == node.protocol.function.FUNCTION_STATE_ACTIVE, 120,
                   f"{name} of {tenant} Active")


@pytest.fixture(scope="module")
def active(shared):
    for tenant in (BLUE, GREEN):
        wait_active(shared, tenant)
    return shared


def test_a_second_tenant_needs_kvm_or_a_switch(node):
    """The session's node runs on TCG without the switch."""
    if node.node.GetNode(node.protocol.node.GetNodeRequest(), timeout=30).accelerator != \
            node.protocol.node.ACCELERATOR_TCG:
        pytest.skip("this host has KVM")
    tenants = node.protocol.tenant_grpc.TenantServiceStub(node.channel)
    refusal = node.refusal(tenants.Create, node.protocol.tenant.CreateTenantRequest(name="second"))
    assert refusal.status == Status.ABORTED and "node.tenants_on_tcg = yes" in refusal.message, refusal


def test_same_name_two_functions(active):
    for tenant in (BLUE, GREEN):
        assert active.invoke("same", tenant=tenant).json == tenant
        assert f":{tenant}:function:same" in get(active, tenant).function_arn
        listed = active.functions.List(active.protocol.function.ListFunctionsRequest(tenant=tenant), timeout=30)
        assert [f.tenant for f in listed.functions] == [tenant]
        e2e.wait_until(lambda: f"log of {tenant}" in active.log_text("same", tenant=tenant), 60, "the log")
    assert f"log of {GREEN}" not in active.log_text("same", tenant=BLUE)
    assert list(active.functions.List(active.protocol.function.ListFunctionsRequest(), timeout=30).functions) == []


def test_a_tenant_that_is_not_there(active):
    f, i, l, t = (getattr(active.protocol, m) for m in ("function", "invoke", "log", "tenant"))
    calls = [
        (active.functions.Create, active.create_request("f", e2e.PYTHON, {"index.py": ECHO}, tenant=ABSENT)),
        (active.functions.Get, f.GetFunctionRequest(tenant=ABSENT, function_name="same")),
        (active.functions.List, f.ListFunctionsRequest(tenant=ABSENT)),
        (active.invocations.Invoke, i.InvokeRequest(tenant=ABSENT, function_name="same")),
        (active.logs.Get, l.GetLogEventsRequest(tenant=ABSENT, function_name="same")),
        (active.tenants.Get, t.GetTenantRequest(tenant=ABSENT)),
        (active.tenants.Suspend, t.SuspendTenantRequest(tenant=ABSENT)),
        (active.tenants.Delete, t.DeleteTenantRequest(tenant=ABSENT)),
    ]
    for call, request in calls:
        refusal = active.refusal(call, request)
        assert (refusal.status, refusal.reason) == (Status.NOT_FOUND, "ResourceNotFoundException"), refusal
        assert refusal.message == f"Tenant not found: {ABSENT}"


def test_suspended(active):
    t = active.protocol.tenant
    slow = "import time\ndef handler(event, context):\n    print('begun', flush=True)\n    time.sleep(3)\n    return 'done'\n"
    active.functions.Create(active.create_request("slow", e2e.PYTHON, {"index.py": slow}, tenant=BLUE,
                                                  timeout_seconds=60), timeout=60)
    wait_active(active, BLUE, "slow")
    i = active.protocol.invoke
    running = active.invocations.Invoke.future(i.InvokeRequest(tenant=BLUE, function_name="slow"), timeout=180)
    e2e.wait_until(lambda: active.gauges().invocations_running > 0, 60, "an invocation under way")
    assert active.tenants.Suspend(t.SuspendTenantRequest(tenant=BLUE), timeout=30).state == t.TENANT_STATE_SUSPENDED
    try:
        f = active.protocol.function
        for call, request in [
                (active.invocations.Invoke, i.InvokeRequest(tenant=BLUE, function_name="same")),
                (active.functions.Delete, f.DeleteFunctionRequest(tenant=BLUE, function_name="same")),
                (active.functions.UpdateConfiguration, f.UpdateFunctionConfigurationRequest(
                    tenant=BLUE, function_name="same", description="new"))]:
            refusal = active.refusal(call, request)
            assert refusal.status == Status.PERMISSION_DENIED, refusal
            assert f"Tenant {BLUE} is suspended" in refusal.message
        assert get(active, BLUE).function_name == "same"
        assert active.invoke("same", tenant=GREEN).json == GREEN
        assert running.result().payload == b'"done"'
    finally:
        active.tenants.Resume(t.ResumeTenantRequest(tenant=BLUE), timeout=30)
    assert active.invoke("same", tenant=BLUE).json == BLUE


def test_delete(active):
    t = active.protocol.tenant
    refusal = active.refusal(active.tenants.Delete, t.DeleteTenantRequest(tenant=GREEN))
    assert refusal.status == Status.ABORTED and "has 1 function," in refusal.message, refusal
    drawn = active.tenants.Create(t.CreateTenantRequest(name="short"), timeout=30).tenant
    assert len(drawn) == 12 and drawn.isdigit()
    assert drawn in [x.tenant for x in active.tenants.List(t.ListTenantsRequest(), timeout=30).tenants]
    active.tenants.Delete(t.DeleteTenantRequest(tenant=drawn), timeout=30)
    assert active.refusal(active.tenants.Get, t.GetTenantRequest(tenant=drawn)).status == Status.NOT_FOUND
    assert active.refusal(active.tenants.Create, t.CreateTenantRequest(tenant=drawn)).status == Status.ABORTED


def test_command(active, mayfly):
    shown = mayfly("tenant", "list", socket=active.socket).stdout.decode()
    assert BLUE in shown and "team 1" in shown and "(default)" in shown
    listed = mayfly("function", "list", "--tenant", GREEN, "--output", "json", socket=active.socket)
    assert f":{GREEN}:function:same".encode() in listed.stdout
    done = mayfly("function", "get", "same", socket=active.socket, environment={"MAYFLY_TENANT": ABSENT}, check=False)
    assert done.returncode == 3 and b"Tenant not found" in done.stderr
