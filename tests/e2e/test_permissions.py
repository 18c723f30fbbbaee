# SPDX-License-Identifier: Apache-2.0
"""What a function's resource policy lets others do, over TLS with access keys."""

import json
import subprocess

import grpc
import pytest

import node as e2e
from callers import Authority, Caller, free_port, make_key, methods

Status = grpc.StatusCode
BLUE, GREEN, ABSENT = "111111111111", "222222222222", "999999999999"
ECHO = ("import os\ndef handler(event, context):\n    print('ran for', event['who'])\n"
        "    return [os.environ['WHO'], context.invoked_function_arn]\n")


@pytest.fixture(scope="module")
def guarded(protocol, build, images, base_templates, tmp_path_factory):
    """A node with two tenants; the blue one has a function with version 1 and an alias to it."""
    folder = tmp_path_factory.mktemp("tls")
    ca = Authority(folder, "ca")
    certificate, key = ca.sign("node", "node")
    node = e2e.Node(protocol, build, images, {
        "node.tenants_on_tcg": "yes", "api.listen_tls": f"127.0.0.1:{free_port()}", "api.tls_certificate": certificate,
        "api.tls_key": key, "limits.control_rate": 15})
    node.ca, node.tls = ca, node.config["api.listen_tls"]
    try:
        node.state.mkdir(parents=True)
        subprocess.run(["cp", "-a", "-l", "--sparse=always", base_templates, node.state / "templates"],
                       check=True, timeout=120)
        node.start()
        connect(node)
        for tenant in (BLUE, GREEN):
            node.tenants.Create(protocol.tenant.CreateTenantRequest(tenant=tenant), timeout=30)
        node.functions.Create(node.create_request("shared", e2e.PYTHON, {"index.py": ECHO}, tenant=BLUE, publish=True,
                                                  environment={"WHO": BLUE}, timeout_seconds=30), timeout=60)
        f = protocol.function
        for qualifier in ("", "1"):
            e2e.wait_until(lambda: node.functions.Get(f.GetFunctionRequest(
                tenant=BLUE, function_name="shared", qualifier=qualifier), timeout=30).state ==
                f.FUNCTION_STATE_ACTIVE, 120, "shared Active")
        protocol.alias_grpc.AliasServiceStub(node.channel).Create(protocol.alias.CreateAliasRequest(
            tenant=BLUE, function_name="shared", name="live", function_version="1"), timeout=30)
        yield node
        node.stop()
    finally:
        node.destroy()


def connect(node):
    node.tenants = node.protocol.tenant_grpc.TenantServiceStub(node.channel)
    node.keys = node.protocol.access_key_grpc.AccessKeyServiceStub(node.channel)
    node.policies = node.protocol.policy_grpc.PolicyServiceStub(node.channel)


def arn(tenant, name="shared"):
    return f"arn:aws:lambda:us-east-1:{tenant}:function:{name}"


def add(node, sid, principal, action="lambda:InvokeFunction", **fields):
    p = node.protocol.policy
    return json.loads(node.policies.AddPermission(p.AddPermissionRequest(
        tenant=BLUE, function_name="shared", statement_id=sid, action=action, principal=principal, **fields),
        timeout=30).statement)


def remove(node, sid, **fields):
    p = node.protocol.policy
    node.policies.RemovePermission(p.RemovePermissionRequest(
        tenant=BLUE, function_name="shared", statement_id=sid, **fields), timeout=30)


def invoke(caller, name, **fields):
    return caller.method("InvokeService", "Invoke", function_name=name, payload=b'{"who": "%s"}' % name.encode(), **fields)


def assert_stranger(caller):
    """Of the function that is there they are told what they are told of others that are not."""
    for service, method in (("InvokeService", "Invoke"), ("InvokeService", "InvokeStream"), ("FunctionService", "Get")):
        for by_arn in (True, False):
            told = set()
            for tenant, name in ((BLUE, "shared"), (BLUE, "absent"), (ABSENT, "shared")):
                fields = {"function_name": arn(tenant, name)} if by_arn else {"function_name": name, "tenant": tenant}
                answer = caller.method(service, method, **fields)
                assert isinstance(answer, e2e.Refusal) and answer.status == Status.PERMISSION_DENIED, (fields, answer)
                told.add((answer.reason, answer.field, answer.message.replace(tenant, "X")))
            assert len(told) == 1, told


def assert_nothing_of_the_owner(node, caller):
    """Whom the function lets in gets its answer, not the owner's log, sandbox or budget."""
    i, b = node.protocol.invoke, node.protocol.budget
    fields = {"function_name": arn(BLUE), "payload": b'{"who": "tail"}', "log_type": i.LOG_TYPE_TAIL}
    response, call = node.protocol.invoke_grpc.InvokeServiceStub(caller.channel).Invoke.with_call(
        i.InvokeRequest(**fields), metadata=caller.metadata, timeout=60)
    answer, own = e2e.Result(node.protocol, response, call), node.invoke("shared", {"who": "me"}, tenant=BLUE)
    assert (answer.log, answer.sandbox, answer.error) == ("", "", "") and answer.phases.handler_us > 0
    assert "ran for me" in own.log and own.sandbox
    stream = node.protocol.invoke_grpc.InvokeServiceStub(caller.channel).InvokeStream(
        i.InvokeRequest(**fields), metadata=caller.metadata, timeout=60)
    assert [m.complete.log_result for m in stream if m.HasField("complete")] == [b""]
    assert not i.Phases.FromString(dict(stream.trailing_metadata())["mayfly-phases-bin"]).sandbox_id
    budget = {"tenant": BLUE, "measure": b.BUDGET_MEASURE_REQUESTS, "period": b.BUDGET_PERIOD_MONTH}
    node.budgets.Put(b.PutBudgetRequest(**budget, hard_limit=1), timeout=30)
    try:
        for refused in (caller.method("InvokeService", "Invoke", **fields),
                        caller.method("InvokeService", "InvokeStream", **fields)):
            assert (refused.reason, refused.message, refused.limit) == (
                "TooManyRequestsException", "Rate Exceeded.", "FunctionInvocationRateLimitExceeded"), refused
        refused = node.refusal(node.invocations.Invoke, i.InvokeRequest(tenant=BLUE, **fields))
        assert "The budget of 1 requests a month" in refused.message, refused
    finally:
        node.budgets.Delete(b.DeleteBudgetRequest(**budget), timeout=30)


def test_another_tenant_is_let_in_by_the_function_alone(guarded):
    ann = Caller(guarded, make_key(guarded, GREEN, "INVOKER", user="ann"))
    assert_stranger(ann)
    statement = add(guarded, "green", GREEN)
    assert statement == {"Sid": "green", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{GREEN}:root"},
                         "Action": "lambda:InvokeFunction", "Resource": arn(BLUE)}
    try:
        answer = invoke(ann, arn(BLUE))
        assert json.loads(answer.payload) == [BLUE, arn(BLUE)]
        streamed = ann.method("InvokeService", "InvokeStream", function_name=arn(BLUE), payload=b'{"who": "stream"}')
        assert streamed.start.executed_version == "$LATEST"
        event = ann.method("InvokeService", "Invoke", function_name=arn(BLUE), payload=b'{"who": "event"}',
                           invocation_type=guarded.protocol.invoke.INVOCATION_TYPE_EVENT)
        assert event.status_code == 202
        # The owner's log and bill, whoever called; the caller's name is in the owner's audit log.
        e2e.wait_until(lambda: "ran for event" in guarded.log_text("shared", tenant=BLUE), 60, "the log")
        assert Caller(guarded, make_key(guarded, GREEN, "ADMIN")).method(
            "LogService", "Get", function_name=arn(BLUE)).status == Status.PERMISSION_DENIED
        u = guarded.protocol.usage
        rows = guarded.usage.Query(u.QueryUsageRequest(all_tenants=True, group_by=[u.USAGE_GROUP_TENANT]), timeout=30).rows
        assert {row.tenant for row in rows} == {BLUE}
        records = Caller(guarded, channel=guarded.channel).method("AuditService", "Query", tenant=BLUE).records
        noted = [(r.principal, r.method.split("/")[1], r.resource, r.result) for r in records if "InvokeService" in r.method]
        assert noted.count((f"arn:aws:iam::{GREEN}:user/ann", "Invoke", arn(BLUE), "OK")) in (1, 2), "once a minute"
        assert_nothing_of_the_owner(guarded, ann)
        # No more than that: neither another action, nor another qualifier, nor who may not at home.
        assert ann.method("FunctionService", "Get", function_name=arn(BLUE)).status == Status.PERMISSION_DENIED
        for qualified in (arn(BLUE) + ":1", arn(BLUE) + ":live"):
            assert invoke(ann, qualified).status == Status.PERMISSION_DENIED
        amy = Caller(guarded, make_key(guarded, GREEN, "AUDITOR", user="amy"))
        assert invoke(amy, arn(BLUE)).status == Status.PERMISSION_DENIED
        add(guarded, "alias", f"arn:aws:iam::{GREEN}:user/ann", qualifier="live")
        assert json.loads(invoke(ann, arn(BLUE) + ":live").payload) == [BLUE, arn(BLUE) + ":live"]
        assert invoke(ann, arn(BLUE) + ":1").status == Status.PERMISSION_DENIED
        # A tenant that is suspended cannot by way of another.
        t = guarded.protocol.tenant
        for tenant in (GREEN, BLUE):
            guarded.tenants.Suspend(t.SuspendTenantRequest(tenant=tenant), timeout=30)
            assert f"Tenant {tenant} is suspended" in invoke(ann, arn(BLUE)).message
            guarded.tenants.Resume(t.ResumeTenantRequest(tenant=tenant), timeout=30)
    finally:
        remove(guarded, "green")
    assert_stranger(ann)
    remove(guarded, "alias", qualifier="live")


def test_what_lets_nobody_in(guarded):
    ann = Caller(guarded, make_key(guarded, GREEN, "DEVELOPER", user="ann"))
    conditions = [{"source_arn": arn(GREEN, "f")}, {"source_account": GREEN}, {"principal_org_id": "o-a1b2c3d4e5"},
                  {"event_source_token": "t"}, {"invoked_via_function_url": True}]
    for i, condition in enumerate(conditions):
        add(guarded, f"c{i}", "*", **condition)
    add(guarded, "service", "events.amazonaws.com")
    add(guarded, "other", ABSENT)
    add(guarded, "bob", f"arn:aws:iam::{GREEN}:user/bob")
    assert invoke(ann, arn(BLUE)).status == Status.PERMISSION_DENIED
    add(guarded, "all", "*", action="lambda:*")
    assert json.loads(invoke(ann, arn(BLUE)).payload)[0] == BLUE
    assert ann.method("FunctionService", "Get", function_name=arn(BLUE)).function_arn == arn(BLUE)
    assert ann.method("FunctionService", "Delete", function_name=arn(BLUE)).status == Status.PERMISSION_DENIED
    for sid in [f"c{i}" for i in range(len(conditions))] + ["service", "other", "bob", "all"]:
        remove(guarded, sid)


def test_a_role_that_is_not_enough_at_home(guarded):
    eve = Caller(guarded, make_key(guarded, BLUE, "AUDITOR", user="eve"))
    ivy = Caller(guarded, make_key(guarded, BLUE, "INVOKER", user="ivy"))
    assert invoke(eve, "shared").status == Status.PERMISSION_DENIED
    assert ivy.method("FunctionService", "Get", function_name="shared").status == Status.PERMISSION_DENIED
    add(guarded, "eve", f"arn:aws:iam::{BLUE}:user/eve")
    add(guarded, "ivy", f"arn:aws:iam::{BLUE}:user/ivy", action="lambda:GetFunction")
    assert json.loads(invoke(eve, "shared").payload)[0] == BLUE
    assert ivy.method("FunctionService", "Get", function_name="shared").function_name == "shared"
    for sid in ("eve", "ivy"):
        remove(guarded, sid)
    assert invoke(eve, "shared").status == Status.PERMISSION_DENIED


def test_one_tenant_does_not_take_what_all_share(guarded):
    """Streams have room for others, calls that are no invocations a rate; operators have both."""
    blue, green = (Caller(guarded, make_key(guarded, tenant, "DEVELOPER", user="busy")) for tenant in (BLUE, GREEN))
    operator = Caller(guarded, channel=guarded.channel)
    m = guarded.protocol.metrics
    path = next(x for x in methods(guarded.protocol) if (x.service, x.name) == ("MetricsService", "Watch")).path

    def watch(caller):
        stream = caller.channel.unary_stream(path, request_serializer=lambda r: r.SerializeToString(),
                                             response_deserializer=m.MetricsSnapshot.FromString)(
            m.WatchMetricsRequest(), metadata=caller.metadata, timeout=120)
        try:
            next(stream)
        except grpc.RpcError as error:
            return e2e.Refusal(guarded.protocol, error)
        return stream

    streams = [watch(green) for _ in range(16)]
    refused = watch(green)
    assert (refused.reason, refused.message) == (
        "TooManyRequestsException", f"Tenant {GREEN} has 16 of these streams open, as many as one tenant may have.")
    streams += [watch(blue), watch(operator)]
    assert not [s for s in streams if isinstance(s, e2e.Refusal)]
    streams[0].cancel()
    e2e.wait_until(lambda: not isinstance(streams.append(watch(green)) or streams[-1], e2e.Refusal), 30, "a place")
    for stream in streams:
        stream.cancel() if not isinstance(stream, e2e.Refusal) else None

    # Who may not call takes nothing of the tenant's rate.
    invoker = Caller(guarded, make_key(guarded, GREEN, "INVOKER", user="busy"))
    assert {invoker.method("FunctionService", "List").status for _ in range(150)} == {Status.PERMISSION_DENIED}
    answers = [green.method("FunctionService", "List") for _ in range(150)]
    refused = [a for a in answers if isinstance(a, e2e.Refusal)]
    assert 60 <= len(answers) - len(refused) < 150 and len({a.message for a in refused}) == 1
    assert (refused[0].reason, refused[0].message, refused[0].limit) == (
        "TooManyRequestsException", "Rate exceeded", "CallerRateLimitExceeded")
    assert blue.method("FunctionService", "List").functions
    assert green.method("FunctionService", "Get", function_name="absent").status == Status.NOT_FOUND, "counted apart"
    assert not [a for a in (operator.method("FunctionService", "List") for _ in range(150)) if isinstance(a, e2e.Refusal)]


def test_survives_kill_and_the_command(guarded, mayfly):
    def run(*args, **options):
        return mayfly("function", *args, "--tenant", BLUE, socket=guarded.socket, **options)

    given = json.loads(run("add-permission", "--function-name", "shared", "--statement-id", "cli", "--action",
                           "lambda:InvokeFunction", "--principal", "s3.amazonaws.com", "--source-arn", "arn:aws:s3:::b",
                           "--source-account", GREEN, "--output", "json").stdout)
    assert json.loads(given["Statement"])["Condition"] == {
        "StringEquals": {"AWS:SourceAccount": GREEN}, "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::b"}}
    guarded.kill()
    guarded.start()
    connect(guarded)
    policy = json.loads(run("get-policy", "shared", "--output", "json").stdout)
    assert json.loads(policy["Policy"]) == {"Version": "2012-10-17", "Id": "default",
                                            "Statement": [json.loads(given["Statement"])]}
    assert b"s3.amazonaws.com" in run("get-policy", "shared").stdout
    stale = run("remove-permission", "shared", "--statement-id", "cli", "--revision-id", "stale", check=False)
    assert stale.returncode == 4 and b"Call the GetPolicy API" in stale.stderr
    run("remove-permission", "shared", "--statement-id", "cli", "--revision-id", policy["RevisionId"])
    gone = run("get-policy", "shared", check=False)
    assert gone.returncode == 3 and b"The resource you requested does not exist." in gone.stderr
