# SPDX-License-Identifier: Apache-2.0
"""Certificates of operators and of tenants' users, what takes them back, and what becomes of streams
that were opened by what is not valid any more. The node's master key is a systemd credential."""

import os
import signal
import subprocess
import threading
import time

import grpc
import pytest

import node as e2e
from callers import Authority, Caller, free_port, make_key, methods

Status = grpc.StatusCode
BLUE, GREEN, ABSENT = "111111111111", "222222222222", "999999999999"
DOMAIN = "mayfly.example"
SLOW = ("import time\ndef handler(event, context):\n    print('begun', flush=True)\n"
        "    time.sleep(event.get('seconds', 0))\n    return 'done'\n")


def uri(tenant, role, user, domain=DOMAIN):
    return f"spiffe://{domain}/tenant/{tenant}/role/{role}/user/{user}"


@pytest.fixture(scope="module")
def certified(protocol, build, images, base_templates, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    ca, operators, users = (Authority(folder, name) for name in ("ca", "operators", "users"))
    certificate, key = ca.sign("node", "node")
    credentials, lists = folder / "credentials", folder / "lists"
    for made in (credentials, lists):
        made.mkdir(mode=0o700)
    (credentials / "mayfly.key").write_bytes(os.urandom(32))
    (credentials / "mayfly.key").chmod(0o400)
    node = e2e.Node(protocol, build, images, {
        "node.tenants_on_tcg": "yes", "node.drain_s": 1, "api.listen_tls": f"127.0.0.1:{free_port()}",
        "api.tls_certificate": certificate, "api.tls_key": key, "api.tls_client_ca": operators.path("pem"),
        "api.tls_tenant_ca": users.path("pem"), "auth.trust_domain": DOMAIN, "api.tls_crl": lists,
        "auth.master_key_credential": "mayfly.key"}, environment={"CREDENTIALS_DIRECTORY": str(credentials)})
    node.ca, node.operators, node.users, node.lists, node.tls = ca, operators, users, lists, node.config["api.listen_tls"]
    try:
        node.state.mkdir(parents=True)
        subprocess.run(["cp", "-a", "-l", "--sparse=always", base_templates, node.state / "templates"],
                       check=True, timeout=120)
        node.start()
        node.tenants = protocol.tenant_grpc.TenantServiceStub(node.channel)
        node.keys = protocol.access_key_grpc.AccessKeyServiceStub(node.channel)
        for tenant in (BLUE, GREEN):
            node.tenants.Create(protocol.tenant.CreateTenantRequest(tenant=tenant), timeout=30)
        node.functions.Create(node.create_request("slow", e2e.PYTHON, {"index.py": SLOW}, tenant=BLUE,
                                                  timeout_seconds=60), timeout=60)
        f = protocol.function
        e2e.wait_until(lambda: node.functions.Get(f.GetFunctionRequest(tenant=BLUE, function_name="slow"), timeout=30)
                       .state == f.FUNCTION_STATE_ACTIVE, 120, "slow Active")
        assert not (node.state / "master.key").exists()
        yield node
        node.stop()
    finally:
        node.destroy()


def user(node, name, *uris, authority=None, key=None):
    return Caller(node, key, certificate=(authority or node.users).sign(name, name, uris))


def reload(node, expected):
    """SIGHUP, and the log's answer to it."""
    before = node.log_path.read_text().count(expected)
    os.kill(node.process.pid, signal.SIGHUP)
    e2e.wait_until(lambda: node.log_path.read_text().count(expected) > before, 60, expected)


class Stream:
    """One that is read in the background, to its end."""

    def __init__(self, caller, service, name, /, **fields):
        found = next(m for m in methods(caller.protocol) if m.service == service and m.name == name)
        self.messages, self.end = [], None
        self.stream = caller.channel.unary_stream(
            found.path, request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=found.response.FromString)(found.request(**fields), metadata=caller.metadata)
        self.protocol = caller.protocol
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            for message in self.stream:
                self.messages.append(message)
            self.end = "OK"
        except grpc.RpcError as error:
            self.end = e2e.Refusal(self.protocol, error)

    def begun(self):
        e2e.wait_until(lambda: self.messages or self.end, 60, "a first message")
        assert not self.end, self.end
        return self

    def ended(self):
        return e2e.wait_until(lambda: self.end, 60, "the stream's end")


def test_users_of_tenants(certified):
    alice = user(certified, "alice", uri(BLUE, "developer", "alice"))
    assert [f.function_name for f in alice.method("FunctionService", "List").functions] == ["slow"]
    assert alice.method("FunctionService", "List", tenant=GREEN).status == Status.PERMISSION_DENIED
    assert alice.method("AccessKeyService", "List").status == Status.PERMISSION_DENIED, "no admin"
    ivy = user(certified, "ivy", uri(BLUE, "invoker", "ivy"))
    assert ivy.method("InvokeService", "Invoke", function_name="slow", payload=b"{}").payload == b'"done"'
    assert ivy.method("FunctionService", "List").status == Status.PERMISSION_DENIED
    # An access key says who they are, whatever the certificate says.
    both = user(certified, "both", uri(BLUE, "developer", "both"), key=make_key(certified, GREEN, "DEVELOPER"))
    assert list(both.method("FunctionService", "List").functions) == []
    # What they do is theirs in the audit log.
    assert alice.method("FunctionService", "UpdateConfiguration", function_name="slow", description="x").function_name
    records = Caller(certified, channel=certified.channel).method("AuditService", "Query", tenant=BLUE).records
    assert ("alice", BLUE) in {(r.principal, r.tenant) for r in records if "UpdateConfiguration" in r.method}


def test_authorities_are_not_confused(certified):
    olga = user(certified, "olga", authority=certified.operators)
    assert olga.method("NodeService", "GetNode").node_id
    # With an operator's name, of the users' authority: a user of a tenant, or nobody.
    good = uri(BLUE, "admin", "olga")
    fake = Caller(certified, certificate=certified.users.sign("fake", "olga", [good]))
    assert fake.method("NodeService", "GetNode").status == Status.PERMISSION_DENIED
    assert fake.method("AccessKeyService", "List", tenant=BLUE).access_keys is not None
    nobodies = [(certified.users, []), (certified.users, [good, "https://example.com/"]),
                (certified.users, [uri(ABSENT, "admin", "a")]), (certified.users, [uri(BLUE, "root", "a")]),
                (certified.users, [uri(BLUE, "admin", "a", domain="other.example")]),
                (certified.users, [good + "/"]), (certified.users, [good.replace("spiffe", "SPIFFE")]),
                (certified.operators, [good])]  # signed by the wrong one
    for i, (authority, uris) in enumerate(nobodies):
        caller = Caller(certified, certificate=authority.sign(f"nobody{i}", "olga", uris))
        for service, name in (("NodeService", "GetNode"), ("FunctionService", "List")):
            refusal = caller.method(service, name)
            assert isinstance(refusal, e2e.Refusal) and refusal.status == Status.UNAUTHENTICATED, (uris, refusal)


def test_taken_back(certified):
    """On connections and streams that are open, too, and nobody else's."""
    alice = user(certified, "anna", uri(BLUE, "developer", "anna"))
    otto = user(certified, "otto", authority=certified.operators)
    amy = user(certified, "amy", uri(BLUE, "auditor", "amy"))
    keyed = user(certified, "keyed", uri(BLUE, "developer", "keyed"), key=make_key(certified, BLUE, "DEVELOPER"))
    for caller in (alice, amy, keyed):
        assert caller.method("FunctionService", "List").functions
    assert ivy_invokes(certified)
    streams = [Stream(caller, "LogService", "Tail", function_name="slow", start_time_us=1).begun()
               for caller in (alice, amy, keyed)]
    streams.append(Stream(otto, "NodeService", "Watch").begun())
    for authority, names in ((certified.users, ("anna", "keyed")), (certified.operators, ("otto",))):
        authority.revoke(*names, crl=certified.lists / f"{authority.name}.pem")
    reload(certified, "SIGHUP: new connections see the certificate")
    told = "The client certificate is refused: it is revoked."
    for stream in (streams[0], streams[2], streams[3]):
        end = stream.ended()
        assert (end.status, end.message) == (Status.UNAUTHENTICATED, told), end
    for caller in (alice, keyed):
        refusal = caller.method("FunctionService", "List")
        assert (refusal.status, refusal.message) == (Status.UNAUTHENTICATED, told), "the connection of before"
    assert otto.method("NodeService", "GetNode").message == told
    again = Caller(certified, certificate=(certified.users.path("pem", "anna"), certified.users.path("key", "anna")))
    assert again.method("FunctionService", "List").message == told
    assert amy.method("FunctionService", "List").functions and not streams[1].end
    # What cannot be read changes nothing.
    (certified.lists / "users.pem").write_text("-----BEGIN X509 CRL-----\nno\n")
    reload(certified, "certificates, authorities and revocation lists stay as they were")
    assert alice.method("FunctionService", "List").message == told
    certified.users.revoke("amy", crl=certified.lists / "users.pem")
    reload(certified, "SIGHUP: new connections see the certificate")
    assert streams[1].ended().message == told


def ivy_invokes(node):
    return node.invoke("slow", tenant=BLUE).json == "done"


def test_streams_end_with_what_opened_them(certified):
    k, t = certified.protocol.access_key, certified.protocol.tenant
    assert ivy_invokes(certified)

    def tail(key):
        return Stream(Caller(certified, key), "LogService", "Tail", function_name="slow", start_time_us=1).begun()

    off, gone, stays = (make_key(certified, BLUE, "DEVELOPER") for _ in range(3))
    streams = [tail(key) for key in (off, gone, stays)]
    certified.keys.SetState(k.SetAccessKeyStateRequest(
        tenant=BLUE, access_key_id=off.access_key.access_key_id, state=k.ACCESS_KEY_STATE_INACTIVE), timeout=30)
    certified.keys.Delete(k.DeleteAccessKeyRequest(tenant=BLUE, access_key_id=gone.access_key.access_key_id), timeout=30)
    short = tail(make_key(certified, BLUE, "DEVELOPER", expires_at_us=int((time.time() + 3) * 1e6)))
    for stream in (streams[0], streams[1], short):
        end = stream.ended()
        assert end.status == Status.UNAUTHENTICATED and "access key that opened this stream" in end.message, end
    assert not streams[2].end
    # Suspended: every stream of its users, the running invocation's reader too; the function runs on.
    reader = Caller(certified, stays)
    usage = Stream(reader, "UsageService", "Watch")
    e2e.wait_until(lambda: ivy_invokes(certified) and usage.messages, 60, "a record")
    running = Stream(reader, "InvokeService", "InvokeStream", function_name="slow", payload=b'{"seconds": 5}')
    e2e.wait_until(lambda: certified.gauges().invocations_running > 0, 60, "an invocation under way")
    operator = Stream(Caller(certified, channel=certified.channel), "LogService", "Tail", tenant=BLUE,
                      function_name="slow", start_time_us=1).begun()
    certified.tenants.Suspend(t.SuspendTenantRequest(tenant=BLUE), timeout=30)
    try:
        for stream in (streams[2], usage, running):
            end = stream.ended()
            assert end.status == Status.PERMISSION_DENIED and f"Tenant {BLUE} is suspended" in end.message, end
        assert not operator.end
        again = tail(stays)  # to read is still allowed
        e2e.wait_until(lambda: not certified.gauges().invocations_running, 60, "the invocation's end")
        make_key(certified, GREEN, "DEVELOPER")  # another change, which is no reason
        assert not again.end and not operator.end
    finally:
        certified.tenants.Resume(t.ResumeTenantRequest(tenant=BLUE), timeout=30)
    assert ivy_invokes(certified)
