# SPDX-License-Identifier: Apache-2.0
"""Published versions and aliases: what runs when a qualifier says so, what an update of $LATEST leaves
alone, and what is there after a crash."""

import json
import re
import time

import pytest

import node as e2e

CODE = """
import os, time
born = time.time()
def handler(event, context):
    return dict(marker="MARKER", version=context.function_version, arn=context.invoked_function_arn,
                variable=os.environ["AWS_LAMBDA_FUNCTION_VERSION"], born=born, stream=context.log_stream_name)
"""


def code(marker):
    return {"index.py": CODE.replace("MARKER", marker)}


def publish(node, name, **fields):
    """The version's number, once it is Active."""
    version = node.functions.PublishVersion(
        node.protocol.function.PublishVersionRequest(function_name=name, **fields), timeout=60).version
    node.wait_active(f"{name}:{version}")
    return version


def update_code(node, name, files):
    request = node.protocol.function.UpdateFunctionCodeRequest
    node.functions.UpdateCode(request(function_name=name, zip_file=e2e.make_zip(files)), timeout=60)
    node.wait_active(name)


def list_versions(node, name):
    request = node.protocol.function.ListVersionsByFunctionRequest
    return [v.version for v in node.functions.ListVersionsByFunction(request(function_name=name), timeout=30).versions]


@pytest.fixture(scope="module")
def versioned(node):
    """Version 1 has the marker one, version 2 and $LATEST have two."""
    name = node.create(e2e.PYTHON, code("one"), name=e2e.unique("versioned"), timeout_seconds=30)
    assert publish(node, name) == "1"
    update_code(node, name, code("two"))
    assert publish(node, name) == publish(node, name) == "2"
    yield name
    node.delete(name)


def test_a_version_runs_what_was_published(node, versioned):
    arn = node.get(versioned).function_arn
    for reference, qualifier, marker, version in (
            (f"{versioned}:1", "", "one", "1"), (versioned, "2", "two", "2"), (f"{arn}:1", "1", "one", "1"),
            (versioned, "$LATEST", "two", "$LATEST"), (versioned, "", "two", "$LATEST")):
        result = node.invoke(reference, {}, qualifier=qualifier)
        seen = result.json
        assert (seen["marker"], seen["version"], seen["variable"]) == (marker, version, version)
        given = qualifier or (reference.rpartition(":")[2] if ":" in reference else "")
        assert seen["arn"] == (f"{arn}:{given}" if given else arn)
        assert result.response.executed_version == result.trailers["mayfly-executed-version"] == version
        assert f"START RequestId: {result.request_id} Version: {version}\n" in result.log
        assert re.fullmatch(rf"\d{{4}}/\d\d/\d\d/\[{re.escape(version)}\][0-9a-f]{{32}}", seen["stream"])
    assert list_versions(node, versioned) == ["$LATEST", "1", "2"]
    watched = set()
    for event in node.node.Watch(node.protocol.node.WatchRequest(), timeout=60):
        if event.function.function_name == versioned:
            watched.add(event.function.version)
        if watched == {"$LATEST", "1", "2"}:
            break
    assert watched == {"$LATEST", "1", "2"}
    refusal = node.refusal(node.invoke, f"{versioned}:7")
    assert refusal.message == f"Function not found: {arn}:7"


def test_an_update_leaves_versions_alone(node, deploy):
    name = deploy(e2e.PYTHON, code("one"))
    publish(node, name)
    warm = node.invoke(f"{name}:1")
    update_code(node, name, code("two"))
    again = node.invoke(f"{name}:1")
    assert (again.start, again.sandbox, again.json["marker"]) == ("WARM", warm.sandbox, "one")
    latest = node.invoke(name)
    node.end_idle(f"{name}:1")
    assert [s.sandbox_id for s in node.sandboxes(name)] == [latest.sandbox]
    assert node.invoke(f"{name}:1").start == "RESTORE"
    node.functions.Delete(node.protocol.function.DeleteFunctionRequest(function_name=name, qualifier="1"), timeout=30)
    e2e.wait_until(lambda: not any(s.version == "1" for s in node.sandboxes(name)), 60, "the version's sandbox gone")
    assert node.invoke(name).json["marker"] == "two"


def test_snap_start_of_published_versions(node, deploy):
    f = node.protocol.function
    name = deploy(e2e.PYTHON, code("one"), timeout_seconds=30,
                  snap_start=f.SnapStart(apply_on=f.SNAP_START_APPLY_ON_PUBLISHED_VERSIONS))
    pending = node.functions.PublishVersion(f.PublishVersionRequest(function_name=name), timeout=60)
    assert pending.state == f.FUNCTION_STATE_PENDING
    refusal = node.refusal(node.invoke, f"{name}:1")
    assert refusal.message == ("The operation cannot be performed at this time. The function is currently in the "
                               "following state: Pending")
    node.wait_active(f"{name}:1")
    assert node.get(f"{name}:1").snap_start.optimized and not node.get(name).snap_start.optimized
    asked = time.time()
    result = node.invoke(f"{name}:1")
    assert result.start == "SNAP_START" and result.json["born"] < asked
    assert node.invoke(name).start == "RESTORE"
    templates = [t for t in node.template_list() if t.function_name == name]
    assert [t.version for t in templates] == ["1"]
    node.functions.Delete(f.DeleteFunctionRequest(function_name=name, qualifier="1"), timeout=30)
    e2e.wait_until(lambda: not any(t.function_name == name for t in node.template_list()), 60, "its template gone")


def test_an_alias_leads_to_versions(node, versioned):
    a, i = node.protocol.alias, node.protocol.invoke
    arn = f"{node.get(versioned).function_arn}:live"

    def update(**fields):
        return node.aliases.Update(a.UpdateAliasRequest(function_name=versioned, name="live", **fields), timeout=30)

    alias = node.aliases.Create(a.CreateAliasRequest(function_name=versioned, name="live", function_version="1"),
                                timeout=30)
    assert (alias.alias_arn, alias.function_version, alias.HasField("routing_config")) == (arn, "1", False)
    number = node.invoke(f"{versioned}:1")
    named = node.invoke(versioned, qualifier="live")
    assert (named.json["version"], named.json["marker"], named.json["arn"]) == ("1", "one", arn)
    assert named.response.executed_version == "1" and named.sandbox == number.sandbox  # one version, one pool
    got = node.get(f"{versioned}:live")
    assert (got.version, got.function_arn) == ("1", arn)

    # Weights of 1 and 0 leave nothing to chance; what one of a half does is a unit test's.
    update(routing_config=a.AliasRoutingConfiguration(additional_version_weights={"2": 1.0}))
    assert dict(node.aliases.Get(a.GetAliasRequest(function_name=versioned, name="live"),
                                 timeout=30).routing_config.additional_version_weights) == {"2": 1.0}
    for _ in range(3):
        assert node.invoke(f"{arn}").response.executed_version == "2"
    *_, start, chunk, complete = node.invocations.InvokeStream(
        i.InvokeRequest(function_name=f"{versioned}:live"), timeout=60)
    assert start.start.executed_version == "2" and not complete.complete.error_code
    update(routing_config=a.AliasRoutingConfiguration(additional_version_weights={"2": 0.0}))
    assert node.invoke(f"{versioned}:live").response.executed_version == "1"
    update(function_version="$LATEST", routing_config=a.AliasRoutingConfiguration())
    assert node.invoke(f"{versioned}:live").json["version"] == "$LATEST"
    dry = node.invoke(f"{versioned}:live", log=False, invocation_type=i.INVOCATION_TYPE_DRY_RUN)
    assert dry.response.status_code == 204

    update(function_version="2")
    refusal = node.refusal(node.functions.Delete, node.protocol.function.DeleteFunctionRequest(
        function_name=versioned, qualifier="2"))
    assert refusal.message == "Unable to delete version because the following aliases reference it: [live]"
    node.aliases.Delete(a.DeleteAliasRequest(function_name=versioned, name="live"), timeout=30)
    assert node.refusal(node.invoke, f"{versioned}:live").message == f"Function not found: {arn}"


def test_the_command(node, deploy, mayfly):
    name = deploy(e2e.PYTHON, code("one"))
    version = json.loads(mayfly("function", "publish-version", name, "-o", "json").stdout)
    assert (version["Version"], version["State"]) == ("1", "Active")
    listed = json.loads(mayfly("function", "list-versions", name, "-o", "json").stdout)["Versions"]
    assert [v["Version"] for v in listed] == ["$LATEST", "1"]
    update_code(node, name, code("two"))
    publish(node, name)
    alias = json.loads(mayfly("alias", "create", name, "live", "--function-version", "1", "--routing-config",
                              "AdditionalVersionWeights={2=1.0}", "-o", "json").stdout)
    assert alias["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 1.0}}
    assert json.loads(mayfly("alias", "list", name, "-o", "json").stdout) == {"Aliases": [alias]}
    assert json.loads(mayfly("invoke", name, "--qualifier", "live").stdout)["version"] == "2"
    mayfly("alias", "update", name, "live", "--routing-config", "{}")
    assert json.loads(mayfly("invoke", f"{name}:live").stdout)["version"] == "1"
    refused = mayfly("function", "delete", name, "--qualifier", "1", check=False)
    assert refused.returncode == 4 and b"[live]" in refused.stderr
    mayfly("alias", "delete", name, "live")
    mayfly("function", "delete", name, "--qualifier", "1")
    assert list_versions(node, name) == ["$LATEST", "2"]


def test_versions_survive_a_kill(private_node):
    node = private_node()
    name = node.create(e2e.PYTHON, code("one"))
    publish(node, name)
    alias = node.aliases.Create(node.protocol.alias.CreateAliasRequest(function_name=name, name="live",
                                                                       function_version="1"), timeout=30)
    update_code(node, name, code("two"))
    node.restart(kill=True)
    assert list_versions(node, name) == ["$LATEST", "1"]
    assert node.aliases.Get(node.protocol.alias.GetAliasRequest(function_name=name, name="live"), timeout=30) == alias
    assert node.invoke(f"{name}:live").json["marker"] == "one"
    assert node.invoke(name).json["marker"] == "two"
    assert publish(node, name) == "2"
