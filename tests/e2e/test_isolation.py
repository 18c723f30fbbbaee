# SPDX-License-Identifier: Apache-2.0
"""TenantIsolationMode PER_TENANT: a function's own tenants never meet in one sandbox."""

import json
import os
import random
import subprocess

import grpc
import pytest

import node as e2e

PYTHON = {"index.py": """
import logging
logging.getLogger().setLevel("INFO")
served = []

def handler(event, context):
    served.append(context.tenant_id)
    with open("/tmp/who", "a") as file:
        file.write(context.tenant_id + "\\n")
    logging.getLogger().info("for %s", context.tenant_id)
    if event.get("fail"):
        raise ValueError("no")
    return dict(tenant=context.tenant_id, served=served, kept=open("/tmp/who").read().split())
"""}

NODEJS = {"index.js": """
const served = [];
exports.handler = async (event, context) => {
  served.push(context.tenantId);
  console.log('for ' + context.tenantId);
  return { tenant: context.tenantId, served, kept: served };
};
"""}


@pytest.fixture(scope="module")
def isolating(protocol, build, images):
    made = e2e.Node(protocol, build, images, {"pool.spares": 1, "events.retry_first_ms": 50})
    try:
        yield made.start()
        made.stop()
    finally:
        made.destroy()


def per_tenant(node):
    f = node.protocol.function
    return f.TenancyConfig(tenant_isolation_mode=f.TENANT_ISOLATION_MODE_PER_TENANT)


def send(node, name, event, **options):
    i = node.protocol.invoke
    return node.invocations.Invoke(i.InvokeRequest(
        function_name=name, payload=json.dumps(event).encode(), invocation_type=i.INVOCATION_TYPE_EVENT, **options),
        timeout=60)


def entries_of(node, name):
    return [json.loads(line) for line in node.log_text(name).splitlines() if line.startswith("{")]


@pytest.mark.parametrize("runtime, files", [(e2e.PYTHON, PYTHON), (e2e.NODEJS, NODEJS)], ids=["python", "nodejs"])
def test_end_tenants_never_meet(isolating, runtime, files):
    """Six of them at random, four at a time: each answer shows a sandbox that has served one alone."""
    node = isolating
    name = node.create(runtime, files, timeout_seconds=20, tenancy_config=per_tenant(node))
    dice = random.Random(1)
    plan = [[f"tenant-{dice.randrange(6)}" for _ in range(12)] for _ in range(4)]
    homes = {}

    def client(tenants):
        for tenant in tenants:
            result = node.invoke(name, {}, tenant_id=tenant)
            assert not result.error, result
            answer = result.json
            assert answer["tenant"] == tenant
            assert set(answer["served"]) == set(answer["kept"]) == {tenant}, answer
            homes.setdefault(result.sandbox, set()).add(tenant)

    e2e.in_parallel([lambda tenants=tenants: client(tenants) for tenants in plan])
    assert all(len(tenants) == 1 for tenants in homes.values()), homes
    # It is warm for the one, and the spare, which was nobody's, is from now on another's.
    again = [node.invoke(name, {}, tenant_id="tenant-0") for _ in range(2)]
    assert (again[1].start, again[1].sandbox) == ("WARM", again[0].sandbox)
    e2e.wait_until(lambda: node.gauges().sandboxes_spare, 60, "a spare")
    new = [node.invoke(name, {}, tenant_id="somebody else") for _ in range(2)]
    assert [r.start for r in new] == ["SPARE", "WARM"]
    assert new[0].sandbox == new[1].sandbox and new[0].sandbox not in homes
    node.delete(name)


def test_rules_of_the_mode(isolating):
    node = isolating
    f, c = node.protocol.function, node.protocol.concurrency
    name = node.create(e2e.PYTHON, PYTHON, tenancy_config=per_tenant(node), publish=True)
    plain = node.create(e2e.PYTHON, PYTHON)
    assert node.get(name).tenancy_config == per_tenant(node)
    assert not node.get(plain).HasField("tenancy_config")

    missing = node.refusal(lambda timeout: node.invoke(name, {}))
    assert (missing.status, missing.reason, missing.field) == (
        grpc.StatusCode.INVALID_ARGUMENT, "InvalidParameterValueException", "tenant_id")
    assert missing.message == ("The invoked function is enabled with tenancy configuration. "
                               "Add a valid tenant ID in your request and try again.")
    assert "not enabled with tenancy" in node.refusal(lambda timeout: node.invoke(plain, {}, tenant_id="blue")).message
    for wrong in ("a,b", "x" * 257):
        assert node.refusal(lambda timeout: node.invoke(name, {}, tenant_id=wrong)).field == "tenant_id"
    assert "Add a valid tenant ID" in node.refusal(lambda timeout: send(node, name, {})).message

    # It stays through every update, and through the node's end.
    node.functions.UpdateConfiguration(
        f.UpdateFunctionConfigurationRequest(function_name=name, description="new"), timeout=30)
    node.wait_active(name)
    snap = f.SnapStart(apply_on=f.SNAP_START_APPLY_ON_LATEST)
    assert node.refusal(lambda timeout: node.functions.UpdateConfiguration(
        f.UpdateFunctionConfigurationRequest(function_name=name, snap_start=snap), timeout=30)).field == "snap_start"
    assert node.refusal(lambda timeout: node.functions.Create(node.create_request(
        e2e.unique(), e2e.PYTHON, PYTHON, tenancy_config=per_tenant(node), snap_start=snap),
        timeout=30)).field == "snap_start"
    assert node.refusal(lambda timeout: node.functions.Create(node.create_request(
        e2e.unique(), e2e.PYTHON, PYTHON, tenancy_config=f.TenancyConfig()), timeout=30)).field == "tenancy_config"
    assert "Provisioned Concurrency is not supported" in node.refusal(
        lambda timeout: node.concurrency.PutProvisionedConcurrencyConfig(c.PutProvisionedConcurrencyConfigRequest(
            function_name=name, qualifier="1", provisioned_concurrent_executions=1), timeout=30)).message
    node.restart(kill=True)
    assert node.get(name).tenancy_config == per_tenant(node)
    assert node.get(f"{name}:1").tenancy_config == per_tenant(node)
    assert node.invoke(f"{name}:1", {}, tenant_id="blue").json["served"] == ["blue"]
    node.delete(name)
    node.delete(plain)


def test_logs_and_events_carry_it(isolating):
    node = isolating
    f = node.protocol.function
    logging = f.LoggingConfig(log_format=f.LOG_FORMAT_JSON)
    name = node.create(e2e.PYTHON, PYTHON, tenancy_config=per_tenant(node), logging_config=logging)
    assert node.invoke(name, {}, tenant_id="green").json["tenant"] == "green"
    # It fails once; meanwhile the node is killed: the second try is for the same one.
    taken = send(node, name, {"fail": True}, tenant_id="blue")

    def reports():
        return [e["record"] for e in entries_of(node, name) if e.get("type") == "platform.report"
                and e["record"]["requestId"] == taken.request_id]

    e2e.wait_until(reports, 120, "a first try")
    node.restart(kill=True)
    e2e.wait_until(lambda: len(reports()) > 1, 120, "a second try")
    assert {r["tenantId"] for r in reports()} == {"blue"}
    entries = entries_of(node, name)
    starts = [e["record"]["tenantId"] for e in entries if e.get("type") == "platform.start"]
    assert set(starts) == {"green", "blue"}
    messages = [e for e in entries if str(e.get("message", "")).startswith("for ")]
    assert len(messages) >= 3 and all(m["message"] == f"for {m['tenantId']}" for m in messages)
    node.delete(name)


def test_command(isolating, build):
    """The options of `mayfly`, in the words of the aws command."""
    node = isolating

    def mayfly(*args):
        done = subprocess.run([build / "cli/mayfly", *args], capture_output=True, timeout=180, check=False,
                              env={**os.environ, "MAYFLY_ADDRESS": f"unix:{node.socket}"})
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    package = node.folder / "package"
    package.mkdir()
    (package / "index.py").write_text(PYTHON["index.py"])
    name = e2e.unique()
    code, out, error = mayfly("function", "create", name, "--dir", str(package), "--runtime", e2e.PYTHON, "--handler",
                              "index.handler", "--tenancy-config", "TenantIsolationMode=PER_TENANT", "--output", "json")
    assert code == 0, error
    assert json.loads(out)["TenancyConfig"] == {"TenantIsolationMode": "PER_TENANT"}
    code, out, error = mayfly("invoke", name, "--tenant-id", "blue")
    assert (code, json.loads(out)["served"]) == (0, ["blue"]), error
    code, out, error = mayfly("invoke", name)
    assert code != 0 and "Add a valid tenant ID" in error
    node.delete(name)
