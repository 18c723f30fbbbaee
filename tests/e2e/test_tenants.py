# SPDX-License-Identifier: Apache-2.0
"""Several tenants on one node: what they share, which is nothing, and what stops them."""

import os
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

import grpc
import pytest

import node as e2e
from callers import Authority, Caller, free_port, make_key, methods, wait_refused

Status = grpc.StatusCode
BLUE, GREEN, ABSENT = "111111111111", "222222222222", "999999999999"
ECHO = "import os\ndef handler(event, context):\n    print('log of', os.environ['WHO'])\n    return os.environ['WHO']\n"

BURN = """
import time
def handler(event, context):
    begun = time.process_time()
    while time.process_time() - begun < event:
        pass
    return event
"""


@pytest.fixture(scope="module")
def shared(protocol, build, images, base_templates, tmp_path_factory):
    """A node with two tenants, who have a function of the same name."""
    folder = tmp_path_factory.mktemp("tls")
    ca, operators = Authority(folder, "ca"), Authority(folder, "operators")
    certificate, key = ca.sign("node", "the first")
    node = e2e.Node(protocol, build, images, {
        "node.tenants_on_tcg": "yes", "api.listen_tls": f"127.0.0.1:{free_port()}", "api.tls_certificate": certificate,
        "api.tls_key": key, "api.tls_client_ca": operators.path("pem"), "api.listen_tcp": f"127.0.0.1:{free_port()}"})
    node.ca, node.operators, node.tls = ca, operators, node.config["api.listen_tls"]
    try:
        node.state.mkdir(parents=True)
        subprocess.run(["cp", "-a", "-l", "--sparse=always", base_templates, node.state / "templates"],
                       check=True, timeout=120)
        node.start()
        node.tenants = protocol.tenant_grpc.TenantServiceStub(node.channel)
        node.keys = protocol.access_key_grpc.AccessKeyServiceStub(node.channel)
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


def test_layers_are_ones_own(shared):
    m = shared.protocol.layer
    layers = shared.protocol.layer_grpc.LayerServiceStub(shared.channel)
    mine = layers.PublishLayerVersion(m.PublishLayerVersionRequest(
        tenant=BLUE, layer_name="mine", zip_file=e2e.make_zip({"a": "a"})), timeout=60)
    arn = mine.layer_version_arn
    assert not layers.ListLayers(m.ListLayersRequest(tenant=GREEN), timeout=30).layers
    for call, request in ((layers.GetLayerVersionByArn, m.GetLayerVersionByArnRequest(tenant=GREEN, arn=arn)),
                          (layers.GetLayerVersion, m.GetLayerVersionRequest(tenant=GREEN, layer_name="mine",
                                                                            version_number=1))):
        assert shared.refusal(call, request).message == "The resource you requested does not exist."
    # In the same words whether it is there or not.
    for version in (1, 2):
        refusal = shared.refusal(shared.functions.Create, shared.create_request(
            "thief", e2e.PYTHON, {"index.py": ECHO}, tenant=GREEN, layers=[f"{arn[:-1]}{version}"]))
        assert refusal.status == Status.PERMISSION_DENIED and "lambda:GetLayerVersion" in refusal.message, refusal
    layers.AddLayerVersionPermission(m.AddLayerVersionPermissionRequest(
        tenant=BLUE, layer_name="mine", version_number=1, statement_id="green", action="lambda:GetLayerVersion",
        principal=GREEN), timeout=30)
    assert layers.GetLayerVersionByArn(m.GetLayerVersionByArnRequest(tenant=GREEN, arn=arn), timeout=30) == mine
    created = shared.functions.Create(shared.create_request(
        "friend", e2e.PYTHON, {"index.py": ECHO}, tenant=GREEN, layers=[arn]), timeout=60)
    assert created.layers[0].arn == arn
    shared.functions.Delete(shared.protocol.function.DeleteFunctionRequest(tenant=GREEN, function_name="friend"),
                            timeout=30)


def test_same_name_two_functions(active):
    for tenant in (BLUE, GREEN):
        assert active.invoke("same", tenant=tenant).json == tenant
        assert f":{tenant}:function:same" in get(active, tenant).function_arn
        listed = active.functions.List(active.protocol.function.ListFunctionsRequest(tenant=tenant), timeout=30)
        assert [f.tenant for f in listed.functions] == [tenant]
        e2e.wait_until(lambda: f"log of {tenant}" in active.log_text("same", tenant=tenant), 60, "the log")
    assert f"log of {GREEN}" not in active.log_text("same", tenant=BLUE)
    assert list(active.functions.List(active.protocol.function.ListFunctionsRequest(), timeout=30).functions) == []


def cpu_limits(node):
    """{tenant: the limit of its microVMs' CPU time as the kernel has it}, "" for none."""
    limits = {}
    for parent in (node.state / "cgroups").read_text().split():
        for tenant in (BLUE, GREEN):
            for name in ("cpu.max", "cpu.cfs_quota_us"):
                try:
                    limit = (Path(parent) / tenant / name).read_text().split()[0]
                except OSError:  # another controller, or a group that has just gone
                    continue
                limits[tenant] = "" if limit in ("max", "-1") else limit
    return limits


def test_cpu_time_is_limited_while_several_want_all_of_it(active):
    """mayfly bench shares measures what comes of it."""
    p = active.protocol
    facts = active.node.GetNode(p.node.GetNodeRequest(), timeout=30)
    if facts.cgroup_mode == "none" or (facts.cgroup_mode == "v1" and facts.accelerator == p.node.ACCELERATOR_KVM):
        pytest.skip("no tenant's CPU time can be limited on this host")
    for tenant in (BLUE, GREEN):
        active.functions.Create(active.create_request("burn", e2e.PYTHON, {"index.py": BURN}, tenant=tenant,
                                                      timeout_seconds=60), timeout=60)
        wait_active(active, tenant, "burn")
    running = [active.start_invocation("burn", 2, tenant=tenant)
               for tenant in (BLUE, GREEN) for _ in range(2 * os.cpu_count())]
    e2e.wait_until(lambda: all(cpu_limits(active).get(tenant) for tenant in (BLUE, GREEN)), 60, "limits of both", 0.1)
    for future in running:
        assert future.result().payload == b"2"
    e2e.wait_until(lambda: not any(cpu_limits(active).values()), 60, "the end of the limits")
    for tenant in (BLUE, GREEN):
        active.functions.Delete(p.function.DeleteFunctionRequest(tenant=tenant, function_name="burn"), timeout=30)


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


# -- who calls: over TLS, by access keys --------------------------------------------------------


def test_nobody(active):
    """No key, a key nobody has, half of one: all the same, for every method."""
    good = make_key(active, GREEN, "ADMIN")
    callers = [Caller(active) for _ in range(4)]
    callers[1].metadata = [("authorization", f"Mayfly {good.access_key.access_key_id}:wrong")]
    callers[2].metadata = [("authorization", f"Mayfly AKIA{'A' * 16}:{good.secret_access_key}")]
    callers[3].metadata = [("authorization", "Bearer x")]
    callers.append(Caller(active, channel=grpc.insecure_channel(active.config["api.listen_tcp"])))
    for method in methods(active.protocol):
        told = {(r.status, r.reason, r.message) for r in
                (c.call(method.path, method.about(GREEN), method.response, method.streams) for c in callers)}
        assert told == {(Status.UNAUTHENTICATED, "UnrecognizedClientException",
                         "The security token included in the request is invalid.")}, (method.path, told)
    health = active.protocol.message
    answer = callers[0].call("/grpc.health.v1.Health/Check", health("grpc.health.v1.HealthCheckRequest")(),
                             health("grpc.health.v1.HealthCheckResponse"))
    assert answer.status == 1


def test_a_crowd_of_strangers_locks_nobody_out(active):
    """More connections than there may be, on both ports and of many addresses, that say nothing after HTTP/2's first
    words: operators get in by all ways, and sandboxes start."""
    known, quoted = Caller(active, make_key(active, BLUE, "INVOKER")), f'"{BLUE}"'.encode()
    assert known.method("InvokeService", "Invoke", function_name="same").payload == quoted
    ports = [int(active.config[key].split(":")[1]) for key in ("api.listen_tcp", "api.listen_tls")]
    crowd = [socket.create_connection(("127.0.0.1", ports[i % 2]), 30, (f"127.0.1.{i % 40 + 1}", 0)) for i in range(1500)]
    for client in crowd:
        try:
            client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        except ConnectionError:
            pass  # it had to give way
    assert get(active, GREEN).function_name == "same"
    with grpc.insecure_channel(f"unix:{active.socket}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        answer = active.protocol.node_grpc.NodeServiceStub(channel).GetNode(active.protocol.node.GetNodeRequest(),
                                                                            timeout=30)
    assert answer.node_id
    active.functions.Create(active.create_request("late", e2e.PYTHON, {"index.py": ECHO}, tenant=BLUE,
                                                  environment={"WHO": "late"}, timeout_seconds=30), timeout=60)
    wait_active(active, BLUE, "late")
    assert known.method("InvokeService", "Invoke", function_name="late").payload == b'"late"'
    fresh = Caller(active, make_key(active, BLUE, "INVOKER"))
    assert fresh.method("InvokeService", "Invoke", function_name="same").payload == quoted
    for client in crowd:
        client.close()


def test_reflection_and_unknown_methods(active):
    request = active.protocol.message("grpc.reflection.v1.ServerReflectionRequest")
    response = active.protocol.message("grpc.reflection.v1.ServerReflectionResponse")

    def reflect(caller):
        method = caller.channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=lambda m: m.SerializeToString(), response_deserializer=response.FromString)
        try:
            return next(method(iter([request(list_services="")]), metadata=caller.metadata, timeout=60))
        except grpc.RpcError as error:
            return e2e.Refusal(active.protocol, error)

    known = Caller(active, make_key(active, GREEN, "INVOKER"))
    assert reflect(Caller(active)).status == Status.UNAUTHENTICATED
    assert "mayfly.v1.InvokeService" in str(reflect(known))
    burn = "/mayfly.v1.FunctionService/Burn"
    assert Caller(active).call(burn, request(), response).status == Status.UNAUTHENTICATED
    assert known.call(burn, request(), response).status == Status.UNIMPLEMENTED


def test_nobody_learns_of_methods_by_bad_requests(active):
    """Who calls is asked before what they say."""
    class Garbage:
        def SerializeToString(self):
            return b"\xff\xff\xff"
    for method in methods(active.protocol):
        refusal = Caller(active).call(method.path, Garbage(), method.response, method.streams)
        assert refusal.status == Status.UNAUTHENTICATED, (method.path, refusal)


def test_two_tenants_cannot_reach_each_other(active):
    """By no method, with no role; and nobody can tell a tenant that is there from one that is not."""
    for role in ("ADMIN", "DEVELOPER", "INVOKER", "AUDITOR"):
        green = Caller(active, make_key(active, GREEN, role))
        for method in methods(active.protocol):
            told = []
            for tenant in (BLUE, ABSENT):
                refusal = green.call(method.path, method.about(tenant), method.response, method.streams)
                assert isinstance(refusal, e2e.Refusal), (role, method.path)
                assert refusal.status == Status.PERMISSION_DENIED, (role, method.path, refusal)
                told.append((refusal.reason, refusal.field, refusal.message.replace(tenant, "X")))
            assert told[0] == told[1], (role, method.path)
    assert get(active, BLUE).function_name == "same"
    assert "mallory" not in str(active.keys.List(
        active.protocol.access_key.ListAccessKeysRequest(tenant=BLUE), timeout=30))


def test_usage_of_all_tenants_is_for_operators(active):
    active.invoke("same", tenant=BLUE)
    for role in ("ADMIN", "AUDITOR"):
        green = Caller(active, make_key(active, GREEN, role))
        for name in ("Query", "Export", "Watch"):
            refusal = green.method("UsageService", name, all_tenants=True)
            assert (refusal.status, refusal.field) == (Status.PERMISSION_DENIED, "all_tenants"), (role, name)
        u = active.protocol.usage
        answer = green.method("UsageService", "Query", group_by=[u.USAGE_GROUP_TENANT])
        assert {row.tenant for row in answer.rows} <= {GREEN}
    everything = active.usage.Query(u.QueryUsageRequest(all_tenants=True, group_by=[u.USAGE_GROUP_TENANT]), timeout=30)
    assert BLUE in {row.tenant for row in everything.rows}


def test_arns_do_not_reach_over(active):
    green = Caller(active, make_key(active, GREEN, "ADMIN"))
    told = set()
    for tenant in (BLUE, ABSENT):
        arn = f"arn:aws:lambda:us-east-1:{tenant}:function:same"
        for service, name in (("FunctionService", "Get"), ("FunctionService", "Delete"), ("InvokeService", "Invoke"),
                              ("LogService", "Get")):
            refusal = green.method(service, name, function_name=arn)
            assert refusal.status == Status.PERMISSION_DENIED, refusal
            told.add(refusal.message.replace(tenant, "X"))
    assert len(told) == 1, told


def test_other_tenants_ids_in_requests_at_home(active):
    """By names, ARNs, key ids and page markers of another tenant: nobody can tell what is there from what is not."""
    f, a, c, e = (getattr(active.protocol, m) for m in ("function", "alias", "concurrency", "event"))
    there, nowhere = e2e.unique("theirs"), e2e.unique("nobodys")
    active.functions.Create(active.create_request(there, e2e.PYTHON, {"index.py": ECHO}, tenant=BLUE, publish=True,
                                                  environment={"WHO": BLUE}), timeout=60)
    wait_active(active, BLUE, there)
    at = {"tenant": BLUE, "function_name": there}
    active.aliases.Create(a.CreateAliasRequest(name="live", function_version="1", **at), timeout=30)
    active.concurrency.Put(c.PutFunctionConcurrencyRequest(reserved_concurrent_executions=1, **at), timeout=30)
    active.events.PutEventInvokeConfig(e.PutEventInvokeConfigRequest(maximum_retry_attempts=1, **at), timeout=30)
    key = make_key(active, BLUE, "ADMIN", user="their-admin").access_key.access_key_id
    layers = active.protocol.layer_grpc.LayerServiceStub(active.channel)
    layers.PublishLayerVersion(active.protocol.layer.PublishLayerVersionRequest(
        tenant=BLUE, layer_name=there, zip_file=e2e.make_zip({"python/of_blue.py": "X = 1\n"})), timeout=60)
    green = Caller(active, make_key(active, GREEN, "ADMIN"))

    def told(method, **fields):
        given = {"version_number": 1, "tags": {"a": "b"}, "tag_keys": ["a"], "qualifier": "live", "name": "live",
                 "function_version": "1", "zip_file": b"PK", "user": "mallory"}
        request = method.request(**{k: v for k, v in {**given, **fields}.items() if k in method.fields})
        answer = green.call(method.path, request, method.response, method.streams)
        if isinstance(answer, e2e.Refusal):
            return answer.status, answer.reason, answer.field, answer.message
        return str(answer)

    for method in methods(active.protocol):
        if "function_name" in method.fields and method.name not in ("Create", "Watch", "Tail"):
            by_name = [str(told(method, function_name=name)).replace(name, "X") for name in (there, nowhere)]
            assert by_name[0] == by_name[1], method.path
        if "function_name" in method.fields:
            by_arn = [str(told(method, function_name=f"arn:aws:lambda:us-east-1:{who}:function:{there}")).replace(who, "X")
                      for who in (BLUE, ABSENT)]
            assert by_arn[0] == by_arn[1], method.path
            assert "StatusCode.OK" not in by_arn[0] and BLUE not in by_arn[0], (method.path, by_arn)
        if "layer_name" in method.fields and not method.name.startswith("Publish"):
            by_layer = [str(told(method, layer_name=name)).replace(name, "X") for name in (there, nowhere)]
            assert by_layer[0] == by_layer[1], method.path
        for field, kind in (("arn", f"layer:{there}:1"), ("resource", f"function:{there}")):
            if field not in method.fields:
                continue
            by_arn = [str(told(method, **{field: f"arn:aws:lambda:us-east-1:{who}:{kind}"})).replace(who, "X")
                      for who in (BLUE, ABSENT)]
            assert by_arn[0] == by_arn[1] and "StatusCode" in by_arn[0], (method.path, by_arn)
        if "access_key_id" in method.fields:
            other = "AKIA" + "Z" * 16
            by_key = [str(told(method, access_key_id=k)).replace(k, "X") for k in (key, other)]
            assert by_key[0] == by_key[1], method.path
        if "log_group_name" in method.fields and method.name == "Get":
            groups = [f"/aws/lambda/{name}" for name in (there, nowhere)]
            by_group = [str(told(method, log_group_name=g)).replace(g, "X") for g in groups]
            assert by_group[0] == by_group[1], method.path
    # Nor by a function that names another's layer.
    create = next(m for m in methods(active.protocol) if m.path.endswith("FunctionService/Create"))
    by_use = []
    for who in (BLUE, ABSENT):
        request = active.create_request(e2e.unique("thief"), e2e.PYTHON, {"index.py": ECHO},
                                        layers=[f"arn:aws:lambda:us-east-1:{who}:layer:{there}:1"])
        answer = green.call(create.path, request, create.response)
        by_use.append((answer.status, answer.reason, answer.field, answer.message.replace(who, "X")))
    assert by_use[0] == by_use[1], by_use
    # What leads on in theirs leads to nothing of theirs.
    page = active.functions.List(f.ListFunctionsRequest(tenant=BLUE, max_items=1), timeout=30)
    assert page.next_marker
    assert BLUE not in told(next(m for m in methods(active.protocol) if m.path.endswith("FunctionService/List")),
                            marker=page.next_marker)
    group = active.logs.Get(active.protocol.log.GetLogEventsRequest(tenant=BLUE, function_name=there), timeout=30)
    tail = green.method("LogService", "Get", function_name="same", next_token=group.next_token or "x")
    assert BLUE not in str(tail)
    # And nothing of it has changed anything.
    assert get(active, BLUE, there).state == f.FUNCTION_STATE_ACTIVE
    keys = active.keys.List(active.protocol.access_key.ListAccessKeysRequest(tenant=BLUE), timeout=30).access_keys
    assert [k.state for k in keys if k.access_key_id == key] == [active.protocol.access_key.ACCESS_KEY_STATE_ACTIVE]
    trail = green.method("AuditService", "Query")
    assert trail.records and "their-admin" not in str(trail)
    assert there not in str(green.method("UsageService", "Query"))
    active.functions.Delete(f.DeleteFunctionRequest(**at), timeout=30)


def test_roles_at_home(active):
    may = {"ADMIN": "list invoke keys", "DEVELOPER": "list invoke", "INVOKER": "invoke", "AUDITOR": "list keys"}
    for role, words in may.items():
        green = Caller(active, make_key(active, GREEN, role))
        answers = {"list": green.method("FunctionService", "List"),
                   "invoke": green.method("InvokeService", "Invoke", function_name="same"),
                   "keys": green.method("AccessKeyService", "List")}
        for word, answer in answers.items():
            assert isinstance(answer, e2e.Refusal) == (word not in words.split()), (role, word, answer)
    admin = Caller(active, make_key(active, GREEN, "ADMIN"))
    assert admin.method("InvokeService", "Invoke", function_name="same").payload.decode() == f'"{GREEN}"'
    assert [f.tenant for f in admin.method("FunctionService", "List").functions] == [GREEN]
    assert admin.method("TenantService", "Get").tenant == GREEN
    group = admin.method("LogService", "Get", log_group_name="/aws/lambda/same")
    assert BLUE not in str(group)


def test_key_out_of_use_and_expired(active):
    k = active.protocol.access_key
    key = make_key(active, GREEN, "DEVELOPER")
    caller = Caller(active, key)
    assert caller.method("FunctionService", "List").functions
    request = {"tenant": GREEN, "access_key_id": key.access_key.access_key_id}
    active.keys.SetState(k.SetAccessKeyStateRequest(state=k.ACCESS_KEY_STATE_INACTIVE, **request), timeout=30)
    assert caller.method("FunctionService", "List").status == Status.UNAUTHENTICATED
    active.keys.SetState(k.SetAccessKeyStateRequest(state=k.ACCESS_KEY_STATE_ACTIVE, **request), timeout=30)
    assert caller.method("FunctionService", "List").functions
    active.keys.Delete(k.DeleteAccessKeyRequest(**request), timeout=30)
    assert caller.method("FunctionService", "List").status == Status.UNAUTHENTICATED

    short = Caller(active, make_key(active, GREEN, "DEVELOPER", expires_at_us=int((time.time() + 2) * 1e6)))
    assert wait_refused(short).status == Status.UNAUTHENTICATED


def test_operators_certificate(active):
    operator = Caller(active, certificate=active.operators.sign("olga", "olga"))
    assert operator.method("NodeService", "GetNode").node_id
    assert operator.method("FunctionService", "List", tenant=BLUE).functions
    stranger = Authority(active.ca.folder, "strangers")
    assert Caller(active, certificate=stranger.sign("mallory", "olga")).method(
        "NodeService", "GetNode").status == Status.UNAVAILABLE


def handshake(node, **limits):
    """The common name of the certificate that a new connection sees."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(node.ca.path("pem"))
    for key, value in limits.items():
        setattr(context, key, value)
    host, port = node.tls.split(":")
    with socket.create_connection((host, int(port)), 30) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as tls:
            return tls.version(), dict(x[0] for x in tls.getpeercert()["subject"])["commonName"]


def test_tls_1_3_and_certificates_read_again(active):
    assert handshake(active) == ("TLSv1.3", "the first")
    with pytest.raises(ssl.SSLError):
        handshake(active, maximum_version=ssl.TLSVersion.TLSv1_2)
    caller = Caller(active, make_key(active, GREEN, "DEVELOPER"))
    assert caller.method("FunctionService", "List").functions

    certificate, key = active.config["api.tls_certificate"], active.config["api.tls_key"]
    good = certificate.read_bytes(), key.read_bytes()
    key.write_bytes(active.ca.path("key").read_bytes())
    os.kill(active.process.pid, signal.SIGHUP)
    e2e.wait_until(lambda: "is not the key of" in active.log_path.read_text(), 60, "the warning")
    assert handshake(active) == ("TLSv1.3", "the first")

    active.ca.sign("node", "the second")
    assert (certificate.read_bytes(), key.read_bytes()) != good
    os.kill(active.process.pid, signal.SIGHUP)
    e2e.wait_until(lambda: handshake(active)[1] == "the second", 60, "the new certificate")
    assert caller.method("FunctionService", "List").functions, "a connection of before goes on"


def test_command_over_tls(active, mayfly, tmp_path):
    address = {"MAYFLY_ADDRESS": f"tls:{active.tls}", "MAYFLY_CA_FILE": str(active.ca.path("pem"))}
    file = tmp_path / "ann.key"
    mayfly("access-key", "create", "ann", "--tenant", GREEN, "--role", "developer", "--to-file", file,
           socket=active.socket)
    assert file.stat().st_mode & 0o777 == 0o600
    listed = mayfly("function", "list", "--output", "json", "--access-key-file", file, environment=address)
    assert f":{GREEN}:function:same".encode() in listed.stdout
    key_id, secret = file.read_text().strip().split(":", 1)
    for prefix in ("MAYFLY", "AWS"):
        shown = mayfly("invoke", "same", environment={
            **address, f"{prefix}_ACCESS_KEY_ID": key_id, f"{prefix}_SECRET_ACCESS_KEY": secret})
        assert GREEN.encode() in shown.stdout
    refused = mayfly("node", "--access-key-file", file, environment=address, check=False)
    assert refused.returncode == 7 and b"AccessDeniedException" in refused.stderr
    assert mayfly("function", "list", environment=address, check=False).returncode == 7
    pem, key = active.operators.sign("otto", "otto")
    assert mayfly("node", "--certificate", pem, "--key", key, environment=address).returncode == 0


def test_audit(active, mayfly):
    """Changes and refusals, of all for operators, of the own tenant for its admins and auditors."""
    since = int(time.time() * 1e6) - 1
    blue, green = (Caller(active, make_key(active, tenant, "ADMIN", user=f"admin-{tenant[0]}")) for tenant in (BLUE, GREEN))
    reader = Caller(active, make_key(active, GREEN, "AUDITOR"))
    assert blue.method("FunctionService", "UpdateConfiguration", function_name="same", description="x").function_name
    assert green.method("FunctionService", "Delete", function_name="absent").status == Status.NOT_FOUND
    assert green.method("FunctionService", "Get", tenant=BLUE, function_name="same").status == Status.PERMISSION_DENIED
    assert green.method("FunctionService", "List").functions
    assert Caller(active).method("NodeService", "GetNode").status == Status.UNAUTHENTICATED
    operator = Caller(active, channel=active.channel)
    drawn = operator.method("TenantService", "Create", name="audited").tenant
    operator.method("TenantService", "Delete", tenant=drawn)

    def told(caller, **fields):
        records = caller.method("AuditService", "Query", start_time_us=since, **fields).records
        return [(r.principal, r.tenant, r.method.split(".")[-1], r.resource, r.result) for r in records]

    everything = told(operator)
    for record in [("admin-1", BLUE, "FunctionService/UpdateConfiguration", "same", "OK"),
                   ("admin-2", GREEN, "FunctionService/Delete", "absent", "ResourceNotFoundException"),
                   ("admin-2", GREEN, "FunctionService/Get", "same", "AccessDeniedException"),
                   (f"uid {os.getuid()}", drawn, "TenantService/Create", "audited", "OK"),
                   (f"uid {os.getuid()}", drawn, "TenantService/Delete", "", "OK"),
                   (f"uid {os.getuid()}", GREEN, "AccessKeyService/Create", "admin-2", "OK")]:
        assert record in everything, (record, everything)
    assert "FunctionService/List" not in {r[2] for r in everything}, "reading is no change"
    for caller in (green, reader):
        assert told(caller) == [r for r in everything if r[1] == GREEN]
    assert told(operator, tenant=drawn) == [r for r in everything if r[1] == drawn]
    shown = mayfly("audit", "--since", "1h", "--tenant", GREEN, socket=active.socket).stdout.decode()
    assert "FunctionService/Delete" in shown and "admin-1" not in shown


def test_nobody_can_fill_the_audit_log(active):
    """Of a caller's failed calls 60 a minute are noted, and then how many more there were."""
    since, admin = int(time.time() * 1e6) - 1, Caller(active, channel=active.channel)
    nobody, invoker = Caller(active), Caller(active, make_key(active, GREEN, "INVOKER", user="flood"))
    for _ in range(200):
        assert nobody.method("NodeService", "GetNode").status == Status.UNAUTHENTICATED
        assert invoker.method("FunctionService", "List").status == Status.PERMISSION_DENIED

    def records(principal):
        return [r for r in admin.method("AuditService", "Query", start_time_us=since).records
                if r.principal == principal]
    # In two minutes, each with a line of what was left out. Others may have been nobody before.
    assert 60 <= len(records("flood")) <= 122 and len(records("")) <= 122


def test_secrets_of_webhooks_are_for_admins(active):
    """Of the own tenant: another one has another secret at the same address."""
    url = "https://hooks.example.com/shared"
    admin, developer, auditor = (Caller(active, make_key(active, GREEN, role)) for role in
                                 ("ADMIN", "DEVELOPER", "AUDITOR"))
    first = admin.method("WebhookService", "GetSecret", url=url).secret
    assert first.startswith("whsec_")
    assert Caller(active, make_key(active, BLUE, "ADMIN")).method("WebhookService", "GetSecret", url=url).secret != first
    for caller in (developer, auditor):
        for name in ("GetSecret", "RotateSecret"):
            assert caller.method("WebhookService", name, url=url).status == Status.PERMISSION_DENIED
    assert admin.method("WebhookService", "GetSecret", url=url).secret == first
    rotated = admin.method("WebhookService", "RotateSecret", url=url)
    assert rotated.previous_until_us - rotated.rotated_at_us == 86400 * 10**6
    assert admin.method("WebhookService", "GetSecret", url=url) == rotated and rotated.secret != first
    for name, fields, field in (("GetSecret", {"url": "ftp://host/"}, "url"), ("RotateSecret", {"url": ""}, "url"),
                                ("RotateSecret", {"url": url, "overlap_s": 2**63}, "overlap_s")):
        refusal = admin.method("WebhookService", name, **fields)
        assert (refusal.status, refusal.field) == (Status.INVALID_ARGUMENT, field), refusal


def test_no_secret_is_written_down(active):
    """Neither of an access key, nor what a refusal quotes to its caller, nor of a URL."""
    # Somebody whose failed calls of this minute are not noted any more would prove nothing.
    key = make_key(active, GREEN, "ADMIN", user="careful")
    token, hook = "T0KEN-of-green", "https://hooks.invalid:8443/services/T0KEN"
    admin, since = Caller(active, key), int(time.time() * 1e6) - 1
    admin.method("FunctionService", "List")
    create = next(m for m in methods(active.protocol) if (m.service, m.name) == ("FunctionService", "Create"))
    refused = admin.call(create.path, active.create_request(
        "large", e2e.PYTHON, {"index.py": ECHO}, environment={"ONE": token, "TWO": "x" * 4096}), create.response)
    assert token in refused.message and "String measured" in refused.message, refused
    refused = admin.method("FunctionService", "UpdateConfiguration", function_name="same", handler=f"{token} x")
    assert token in refused.message, refused
    assert admin.method("WebhookService", "GetSecret", url=hook).secret
    records = Caller(active, channel=active.channel).method("AuditService", "Query", start_time_us=since).records
    assert {("", "https://hooks.invalid:8443/..."), ("handler breaks a rule", "same")} <= {
        (r.message, r.resource) for r in records}, records
    assert any(r.message.endswith("exceeded the 4KB limit.") for r in records), records
    for path in active.log_path, *active.state.glob("audit.db*"), *active.state.glob("registry.db*"):
        content = path.read_bytes()
        assert key.secret_access_key.encode() not in content and token.encode() not in content, path
        assert "registry" in path.name or b"services/T0KEN" not in content, path


def test_without_kvm_and_without_the_switch_only_the_default_tenant_runs(active):
    """Stands last: the node starts twice. What the others have waits until it may run."""
    p, f, c, i = active.protocol, active.protocol.function, active.protocol.concurrency, active.protocol.invoke
    if active.node.GetNode(p.node.GetNodeRequest(), timeout=30).accelerator != p.node.ACCELERATOR_TCG:
        pytest.skip("this host has KVM")
    place = {"tenant": BLUE, "function_name": "same", "qualifier": "1"}
    active.functions.Create(active.create_request("unwanted", e2e.PYTHON, {"index.py": ECHO}, tenant=GREEN), timeout=60)
    active.functions.PublishVersion(f.PublishVersionRequest(tenant=BLUE, function_name="same"), timeout=60)
    active.concurrency.PutProvisionedConcurrencyConfig(c.PutProvisionedConcurrencyConfigRequest(
        provisioned_concurrent_executions=1, **place), timeout=60)

    def provisioned():
        return active.concurrency.GetProvisionedConcurrencyConfig(
            c.GetProvisionedConcurrencyConfigRequest(**place), timeout=30)

    def warned():
        return [w for w in active.node.GetNode(p.node.GetNodeRequest(), timeout=30).warnings
                if "Only functions of the node's default tenant run now" in w]

    e2e.wait_until(lambda: provisioned().status == c.PROVISIONED_CONCURRENCY_STATUS_READY, 120, "the place")
    assert not warned()

    # An event that waits when the node stops, because the function has no more room.
    lazy = {"tenant": BLUE, "function_name": "lazy"}
    active.functions.Create(active.create_request(
        "lazy", e2e.PYTHON, {"index.py": "import time\ndef handler(e, c):\n    print('begun', e, flush=True)\n    time.sleep(4)\n"},
        tenant=BLUE, timeout_seconds=60), timeout=60)
    wait_active(active, BLUE, "lazy")
    active.concurrency.Put(c.PutFunctionConcurrencyRequest(reserved_concurrent_executions=1, **lazy), timeout=30)
    running = active.invocations.Invoke.future(i.InvokeRequest(payload=b'"first"', **lazy), timeout=180)
    e2e.wait_until(lambda: "begun first" in active.log_text("lazy", tenant=BLUE), 60, "an invocation under way")
    active.invocations.Invoke(i.InvokeRequest(
        payload=b'"later"', invocation_type=i.INVOCATION_TYPE_EVENT, **lazy), timeout=30)
    assert not running.done()
    active.config["node.tenants_on_tcg"] = "no"
    active.restart()
    assert len(warned()) == 1 and "node.tenants_on_tcg = yes" in warned()[0]
    for kind in (i.INVOCATION_TYPE_REQUEST_RESPONSE, i.INVOCATION_TYPE_EVENT):
        refusal = active.refusal(active.invocations.Invoke, i.InvokeRequest(
            tenant=BLUE, function_name="same", invocation_type=kind))
        assert (refusal.status, refusal.reason) == (Status.PERMISSION_DENIED, "AccessDeniedException"), refusal
        assert refusal.message == warned()[0]
    assert provisioned().status == c.PROVISIONED_CONCURRENCY_STATUS_FAILED
    assert provisioned().status_reason == warned()[0]
    assert active.create(e2e.PYTHON, {"index.py": ECHO}, name="ours", environment={"WHO": "us"}, timeout_seconds=30)
    assert active.invoke("ours").json == "us"
    assert active.gauges().sandboxes_total == 1
    assert active.gauges().events_waiting == 1 and active.gauges().events_dropped_total == 0
    active.functions.Delete(f.DeleteFunctionRequest(tenant=GREEN, function_name="unwanted"), timeout=30)
    active.functions.UpdateConfiguration(f.UpdateFunctionConfigurationRequest(
        tenant=BLUE, function_name="same", description="still ours"), timeout=30)

    active.config["node.tenants_on_tcg"] = "yes"
    active.restart()
    assert not warned()
    wait_active(active, BLUE)
    assert active.invoke("same", tenant=BLUE).json == BLUE
    e2e.wait_until(lambda: provisioned().status == c.PROVISIONED_CONCURRENCY_STATUS_READY, 120, "the place again")
    e2e.wait_until(lambda: "begun later" in active.log_text("lazy", tenant=BLUE), 120, "the event that waited")
