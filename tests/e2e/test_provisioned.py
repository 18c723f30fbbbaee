# SPDX-License-Identifier: Apache-2.0
"""Provisioned concurrency: sandboxes that are initialised before anybody asks, and stay."""

import json
import re
import subprocess
import urllib.request

import pytest

import node as e2e

CODE = {"index.py": "import os, time\n\nif os.environ.get('BREAKS'):\n    raise ValueError('no')\n\n"
                    "def handler(event, context):\n    time.sleep(event.get('hold', 0))\n"
                    "    return dict(kind=os.environ['AWS_LAMBDA_INITIALIZATION_TYPE'],"
                    " version=context.function_version)\n"}


@pytest.fixture(scope="module")
def provisioning(protocol, build, images):
    made = e2e.Node(protocol, build, images, {"metrics.listen": "127.0.0.1:0", "pool.keep_alive_s": 5})
    try:
        yield made.start()
        made.stop()
    finally:
        made.destroy()


def publish(node, name):
    version = node.functions.PublishVersion(
        node.protocol.function.PublishVersionRequest(function_name=name), timeout=60).version
    node.wait_active(f"{name}:{version}")
    return version


def provision(node, name, qualifier, count):
    return node.concurrency.PutProvisionedConcurrencyConfig(
        node.protocol.concurrency.PutProvisionedConcurrencyConfigRequest(
            function_name=name, qualifier=qualifier, provisioned_concurrent_executions=count), timeout=30)


def get(node, name, qualifier):
    return node.concurrency.GetProvisionedConcurrencyConfig(
        node.protocol.concurrency.GetProvisionedConcurrencyConfigRequest(
            function_name=name, qualifier=qualifier), timeout=30)


def status(node, config):
    return node.protocol.concurrency.ProvisionedConcurrencyStatus.Name(config.status)[
        len("PROVISIONED_CONCURRENCY_STATUS_"):]


def wait_status(node, name, qualifier, wanted):
    e2e.wait_until(lambda: status(node, get(node, name, qualifier)) == wanted, 120, f"{name}:{qualifier} {wanted}")
    return get(node, name, qualifier)


def metric(node, name, function):
    port = re.findall(r"metrics on \S+ \(port (\d+)\)", node.log_path.read_text())[-1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found = re.search(rf'^{name}\{{tenant="\d+",function="{function}"\}} (\d+)$', text, re.M)
    return int(found[1])


def test_an_alias_s_places(provisioning):
    node = provisioning
    name = node.create(e2e.PYTHON, CODE, timeout_seconds=60)
    assert node.invoke(name, {}).json["kind"] == "on-demand"  # the runtime's template is there from now on
    assert publish(node, name) == "1"
    alias = node.protocol.alias
    node.aliases.Create(alias.CreateAliasRequest(function_name=name, name="live", function_version="1"), timeout=30)
    first = provision(node, name, "live", 1)
    assert (status(node, first), first.requested_provisioned_concurrent_executions,
            first.available_provisioned_concurrent_executions) == ("IN_PROGRESS", 1, 0)
    ready = wait_status(node, name, "live", "READY")
    assert (ready.allocated_provisioned_concurrent_executions,
            ready.available_provisioned_concurrent_executions) == (1, 1)
    assert ready.function_arn.endswith(f":function:{name}:live")

    # The first invocation finds its sandbox initialised; while that is held, the next one is on demand.
    held = node.start_invocation(f"{name}:live", {"hold": 6})
    e2e.wait_until(lambda: metric_in_use(node, name) == 1, 60, "the place in use")
    spilled = node.invoke(f"{name}:live", {})
    held = node.result(held)
    assert (held.start, held.json["kind"]) == ("SPARE", "provisioned-concurrency")
    assert (spilled.json["kind"], spilled.sandbox == held.sandbox) == ("on-demand", False)
    prefix = "mayfly_provisioned_concurrency_"
    assert metric(node, prefix + "invocations_total", name) == 1
    assert metric(node, prefix + "spillover_invocations_total", name) == 1
    again = node.invoke(f"{name}:live", {})
    assert (again.start, again.sandbox) == ("WARM", held.sandbox)

    # It moves with the alias.
    code = node.protocol.function.UpdateFunctionCodeRequest
    node.functions.UpdateCode(code(function_name=name, zip_file=e2e.make_zip({**CODE, "x.py": ""})), timeout=60)
    node.wait_active(name)
    assert publish(node, name) == "2"
    node.aliases.Update(alias.UpdateAliasRequest(function_name=name, name="live", function_version="2"), timeout=30)
    wait_status(node, name, "live", "READY")
    moved = node.invoke(f"{name}:live", {})
    assert (moved.start, moved.json) == ("SPARE", {"kind": "provisioned-concurrency", "version": "2"})

    # And outlives a crash.
    node.restart(kill=True)
    wait_status(node, name, "live", "READY")
    after = node.invoke(f"{name}:live", {})
    assert (after.start, after.json["kind"]) == ("SPARE", "provisioned-concurrency")

    def mayfly(*words):
        return subprocess.run([node.build / "cli/mayfly", *words, "--address", f"unix:{node.socket}"],
                              capture_output=True, text=True, timeout=60)
    shown = json.loads(mayfly("concurrency", "get-provisioned", name, "--qualifier", "live", "-o", "json").stdout)
    assert shown.pop("LastModified")
    assert shown == {"Status": "READY", "RequestedProvisionedConcurrentExecutions": 1,
                     "AllocatedProvisionedConcurrentExecutions": 1, "AvailableProvisionedConcurrentExecutions": 1}
    assert "live" in mayfly("concurrency", "list-provisioned", name).stdout
    assert mayfly("concurrency", "delete-provisioned", name, "--qualifier", "live").returncode == 0
    gone = mayfly("concurrency", "get-provisioned", name, "--qualifier", "live")
    assert (gone.returncode, "No Provisioned Concurrency Config found for this function" in gone.stderr) == (3, True)
    node.delete(name)
    e2e.wait_until(lambda: node.sandboxes(name) == [], 60, "no sandbox left")


def metric_in_use(node, name):
    try:
        return metric(node, "mayfly_provisioned_concurrent_executions", name)
    except TypeError:  # no row before the first invocation ended
        return sum(s.invocations for s in node.sandboxes(name))


def test_refusals_and_a_failing_init(provisioning):
    node = provisioning
    name = node.create(e2e.PYTHON, CODE, environment={"BREAKS": "1"})
    publish(node, name)
    messages = {"$LATEST": "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
                "": "1 validation error detected: Value null at 'qualifier' failed to satisfy constraint: "
                    "Member must not be null"}
    for qualifier, message in messages.items():
        refusal = node.refusal(lambda **options: provision(node, name, qualifier, 1))
        assert (refusal.reason, refusal.message) == ("InvalidParameterValueException", message)
    assert "greater than or equal to 1" in node.refusal(lambda **options: provision(node, name, "1", 0)).message
    refusal = node.refusal(lambda **options: get(node, name, "$LATEST"))
    assert refusal.message == "The function resource provided must be an alias or a published version."
    refusal = node.refusal(lambda **options: get(node, name, "1"))
    assert refusal.reason == "ProvisionedConcurrencyConfigNotFoundException"
    provision(node, name, "1", 1)
    failed = wait_status(node, name, "1", "FAILED")
    assert failed.status_reason == "FUNCTION_ERROR_INIT_FAILURE"
    node.delete(name)
