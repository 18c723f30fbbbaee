# SPDX-License-Identifier: Apache-2.0
"""Where the outcome of an asynchronous invocation goes: a function, a queue, a webhook; and what
becomes of it there."""

import base64
import hmac
import http.server
import ipaddress
import json
import re
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

import pytest

import node as e2e
from callers import Authority
from test_events import QUICK, send, wait_ended

CODE = {"index.py": """
def handler(event, context):
    print("SEEN", context.aws_request_id, flush=True)
    if isinstance(event, dict) and event.get("fail"):
        raise ValueError("no: " + "x" * event.get("long", 0))
    return {"echo": event}
"""}
# What it is told by a destination lies in the log, whole.
TOLD = {"index.py": """
import json
def handler(event, context):
    print("TOLD " + json.dumps(event), flush=True)
"""}
ACCOUNT = "123456789012"
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:"


class Hook:
    """An HTTPS server that answers as it is told, and keeps what it is sent."""

    def __init__(self, certificate=None, key=None):
        hook = self
        self.answers, self.requests = [], []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.requests.append((self.path, dict(self.headers), json.loads(body), body))
                status = hook.answers.pop(0) if hook.answers else 200
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/redirected")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def wait(self, count):
        e2e.wait_until(lambda: len(self.requests) >= count, 120, f"{count} posts, not {self.requests}", 0.1)
        return self.requests[count - 1]


def put(node, name, on_success=None, on_failure=None, update=False, **options):
    v = node.protocol.event
    config = v.DestinationConfig()
    if on_success is not None:
        config.on_success.destination = on_success
    if on_failure is not None:
        config.on_failure.destination = on_failure
    call = node.events.UpdateEventInvokeConfig if update else node.events.PutEventInvokeConfig
    return call(v.PutEventInvokeConfigRequest(function_name=name, destination_config=config, **options), timeout=60)


def messages(node, queue):
    q = node.protocol.queue
    return list(node.queues.ListMessages(q.ListMessagesRequest(queue=queue), timeout=60).messages)


def wait_messages(node, queue, count):
    return e2e.wait_until(lambda: len(messages(node, queue)) >= count and messages(node, queue), 120,
                          f"{count} messages in {queue}", 0.2)


def told(node, name):
    return [json.loads(line.split("TOLD ")[1]) for line in node.log_text(name).splitlines() if "TOLD " in line]


def metric(node, name, function):
    """A counter of a function; 0 when there is no line of it."""
    port = re.findall(r"metrics on http://\S+ \(port (\d+)\)", node.log_path.read_text())[-1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found = re.search(rf'^{name}{{tenant="{ACCOUNT}",function="{function}"}} (\d+)$', text, re.M)
    return int(found.group(1)) if found else 0


def test_functions_and_queues(private_node, build):
    node = private_node({**QUICK, "events.max_retries": 1})
    name = node.create(e2e.PYTHON, CODE)
    other = node.create(e2e.PYTHON, TOLD)
    check_what_is_refused(node, name)

    # A function is told of success, a queue of failure.
    config = put(node, name, on_success=FUNCTION + other, on_failure=QUEUE + "failed")
    assert config.destination_config.on_success.destination == FUNCTION + other
    good = send(node, name, {"n": 1}).request_id
    record = e2e.wait_until(lambda: told(node, other), 120, "the record", 0.2)[0]
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "version": "1.0",
        "requestContext": {"requestId": good, "functionArn": f"{FUNCTION}{name}:$LATEST",
                           "condition": "Success", "approximateInvokeCount": 1},
        "requestPayload": {"n": 1},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": {"echo": {"n": 1}}}
    bad = send(node, name, {"fail": True}).request_id
    message = wait_messages(node, "failed", 1)[0]
    record = json.loads(message.body)
    assert record["requestContext"] == {
        "requestId": bad, "functionArn": f"{FUNCTION}{name}:$LATEST", "condition": "RetriesExhausted",
        "approximateInvokeCount": 2}
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
    assert record["responsePayload"]["errorType"] == "ValueError"
    assert (message.request_id, message.condition, message.is_dead_letter) == (bad, "RetriesExhausted", False)
    assert metric(node, "mayfly_async_events_dropped_total", name) == 1

    check_dead_letters(node, name)
    check_command(node, build, name, other)

    # With nothing reserved it is told at once, and nothing ran.
    c = node.protocol.concurrency
    node.concurrency.Put(c.PutFunctionConcurrencyRequest(function_name=name, reserved_concurrent_executions=0),
                         timeout=60)
    send(node, name, {"n": 9})
    record = json.loads(wait_messages(node, "failed", 1)[0].body)
    assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert "responseContext" not in record and "responsePayload" not in record
    check_a_circle(node)


def check_what_is_refused(node, name):
    def refused(**options):
        return node.refusal(lambda timeout: put(node, name, **options)).message

    assert refused() == "You must specify at least one of error handling or destination setting."
    assert refused(on_success=FUNCTION + name) == "You can't specify the function as a destination for itself."
    for arn in (FUNCTION + "nobody", "arn:aws:sqs:us-east-1:210987654321:failed", "failed", QUEUE + "a.fifo",
                "arn:aws:s3:::bucket", "https://", "https://user@host/", "ftp://host/"):
        assert refused(on_failure=arn) == f"The destination ARN {arn} is invalid."
    assert "https://" in refused(on_failure="http://hooks.example.com/")
    # Put replaces; Update leaves the other settings, of which both destinations are one.
    put(node, name, on_success="https://hooks.example.com/a", maximum_retry_attempts=0)
    config = put(node, name, update=True, maximum_event_age_in_seconds=60)
    assert config.destination_config.on_success.destination == "https://hooks.example.com/a"
    assert config.maximum_retry_attempts == 0
    config = put(node, name, on_failure=QUEUE + "x", update=True)
    assert config.destination_config.on_success.destination == ""
    assert config.destination_config.on_failure.destination == QUEUE + "x"
    assert (config.maximum_retry_attempts, config.maximum_event_age_in_seconds) == (0, 60)
    config = put(node, name, on_success="", update=True)
    assert config.destination_config.on_failure.destination == ""
    config = put(node, name, on_failure=QUEUE + "y")
    assert config.destination_config.HasField("on_success") and not config.HasField("maximum_retry_attempts")


def check_dead_letters(node, name):
    """The event as it was, and why it failed, beside the destination."""
    f = node.protocol.function
    update = f.UpdateFunctionConfigurationRequest
    refused = node.refusal(node.functions.UpdateConfiguration, update(
        function_name=name, dead_letter_config=f.DeadLetterConfig(target_arn=FUNCTION + name)))
    assert refused.field == "dead_letter_config" and "dead letters go to a queue" in refused.message
    refused = node.refusal(node.functions.UpdateConfiguration, update(
        function_name=name, dead_letter_config=f.DeadLetterConfig(target_arn="dead")))
    assert "'deadLetterConfig.targetArn' failed to satisfy constraint" in refused.message
    node.functions.UpdateConfiguration(update(
        function_name=name, dead_letter_config=f.DeadLetterConfig(target_arn=QUEUE + "dead")), timeout=60)
    assert node.wait_active(name).dead_letter_config.target_arn == QUEUE + "dead"
    node.restart()  # it is kept
    assert node.get(name).dead_letter_config.target_arn == QUEUE + "dead"
    payload = b'{"fail": true,  "long": 2000}'
    sent = send(node, name, payload=payload).request_id
    letter = wait_messages(node, "dead", 1)[0]
    assert letter.body == payload and letter.is_dead_letter
    assert (letter.request_id, letter.error_code) == (sent, "200")
    assert letter.error_message == "no: " + "x" * 1020
    assert json.loads(wait_messages(node, "failed", 2)[1].body)["requestContext"]["requestId"] == sent
    node.functions.UpdateConfiguration(update(
        function_name=name, dead_letter_config=f.DeadLetterConfig()), timeout=60)
    assert not node.wait_active(name).HasField("dead_letter_config")


def command(node, build):
    def mayfly(*args, code=0):
        done = subprocess.run([build / "cli/mayfly", *args, "--address", f"unix:{node.socket}"],
                              capture_output=True, timeout=120)
        assert done.returncode == code, done
        return done.stdout.decode() if code == 0 else done.stderr.decode()

    return mayfly


def check_command(node, build, name, other):
    mayfly = command(node, build)
    queues = json.loads(mayfly("queue", "list", "--output", "json"))["Queues"]
    assert [(q["QueueName"], q["Messages"]) for q in queues] == [("dead", 1), ("failed", 2)]
    letter = json.loads(mayfly("queue", "messages", QUEUE + "dead", "--output", "json"))["Messages"][0]
    assert letter["MessageAttributes"]["ErrorCode"] == "200" and json.loads(letter["Body"])["fail"]

    # What failed is sent again once the function can: as it was, as a new event.
    node.functions.UpdateCode(node.protocol.function.UpdateFunctionCodeRequest(
        function_name=name, zip_file=e2e.make_zip({"index.py": CODE["index.py"].replace("raise ValueError", "return str")})),
        timeout=60)
    node.wait_active(name)
    before = len(told(node, other))
    assert "Refused" not in mayfly("queue", "redrive", "failed", "--message-id", messages(node, "failed")[0].message_id)
    assert "Sent again" in mayfly("queue", "redrive", "failed")
    records = e2e.wait_until(lambda: len(told(node, other)) >= before + 2 and told(node, other)[before:], 120,
                             "what was sent again", 0.2)
    assert sorted(r["requestPayload"].get("long", 0) for r in records) == [0, 2000]
    assert messages(node, "failed") == []
    mayfly("queue", "delete-message", "dead", letter["MessageId"])
    assert "has no message" in mayfly("queue", "delete-message", "dead", letter["MessageId"], code=3)
    assert json.loads(mayfly("queue", "purge", "dead", "--output", "json")) == {"Deleted": 0}
    assert json.loads(mayfly("queue", "list", "--output", "json")) == {"Queues": []}
    assert QUEUE + "failed" in mayfly("events", "get-config", name)
    failed = {"Destination": QUEUE + "failed"}
    # An option of one destination leaves the other; as the aws command has it, it does not.
    for options, success, failure in ((("--on-success", QUEUE + "good"), {"Destination": QUEUE + "good"}, failed),
                                      (("--on-failure", ""), {"Destination": QUEUE + "good"}, {}),
                                      (("--destination-config", f"OnFailure={{Destination={QUEUE}failed}}"), {}, failed)):
        shown = json.loads(mayfly("events", "update-config", name, *options, "--output", "json"))
        assert shown["DestinationConfig"] == {"OnSuccess": success, "OnFailure": failure}, options
    shown = json.loads(mayfly("function", "update-configuration", name, "--dead-letter-config",
                              f"TargetArn={QUEUE}dead", "--output", "json"))
    assert shown["DeadLetterConfig"] == {"TargetArn": QUEUE + "dead"}


def check_a_circle(node):
    """Functions that tell each other of their success come to an end. Their answers are small: a
    record has the event and the answer, so that of an echo is twice as large each time."""
    quiet = {"index.py": CODE["index.py"].replace('{"echo": event}', "None")}
    one, two = node.create(e2e.PYTHON, quiet), node.create(e2e.PYTHON, quiet)
    put(node, one, on_success=FUNCTION + two, on_failure=QUEUE + "circle")
    put(node, two, on_success=FUNCTION + one, on_failure=QUEUE + "not-here")
    send(node, one, 1)
    e2e.wait_until(lambda: metric(node, "mayfly_recursive_invocations_dropped_total", one) == 1, 180,
                   "the end of the circle", 0.3)
    wait_ended(node)
    runs = sum(text.count("SEEN ") for text in (node.log_text(one), node.log_text(two)))
    assert runs == 16, runs
    # What was not invoked any more is told of.
    message = wait_messages(node, "circle", 1)[0]
    record = json.loads(message.body)
    assert record["requestContext"] == {
        "requestId": message.request_id, "functionArn": f"{FUNCTION}{one}:$LATEST", "condition": "RecursiveInvocation",
        "approximateInvokeCount": 0}
    assert record["requestPayload"]["requestContext"]["functionArn"] == f"{FUNCTION}{two}:$LATEST"
    assert "responseContext" not in record and message.condition == "RecursiveInvocation"
    assert messages(node, "not-here") == []


@pytest.fixture
def hooks(tmp_path):
    made = []

    def make(*args):
        made.append(Hook(*args))
        return made[-1]

    yield make
    for hook in made:
        hook.close()


def right_signatures(secret, request):
    """Which of a post's signatures are by that secret, as a receiver finds out (Standard Webhooks)."""
    _, headers, _, body = request
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    right = "v1," + base64.b64encode(hmac.digest(key, text, "sha256")).decode()
    return [signature == right for signature in headers["webhook-signature"].split(" ")]


def noted(mayfly):
    """What the audit log has of secrets."""
    records = json.loads(mayfly("audit", "--since", "1h", "--output", "json"))["Records"]
    return sorted((r["Method"].split("/")[1], r["Resource"], r["Result"]) for r in records
                  if "WebhookService" in r["Method"])


def check_rotation(node, mayfly, hook, name, url, first):
    """Both secrets sign during the overlap, also after a kill; then the new one alone."""
    assert "whsec_" in mayfly("webhook", "get-secret", url)
    other = json.loads(mayfly("webhook", "get-secret", url + "d", "--output", "json"))["Secret"]
    rotated = json.loads(mayfly("webhook", "rotate-secret", url, "--overlap", "1h", "--output", "json"))
    second = rotated["Secret"]
    assert rotated["PreviousUntilUs"] - rotated["RotatedAtUs"] == 3600 * 10**6
    assert len({first, second, other}) == 3
    assert "An overlap of 0 ends that at once." in mayfly("webhook", "rotate-secret", url, code=4)
    shown = "/".join(url.split("/")[:3]) + "/..."  # the rest of an address may be a token
    expected = sorted([("GetSecret", shown, "OK")] * 3 + [("RotateSecret", shown, "OK"),
                                                          ("RotateSecret", shown, "ResourceConflictException")])
    e2e.wait_until(lambda: noted(mayfly) == expected, 30, f"{expected} in the audit log", 0.1)
    node.restart(kill=True)
    count = len(hook.requests)
    send(node, name, {"n": 10})
    request = hook.wait(count + 1)
    assert right_signatures(first, request) == [False, True]
    assert right_signatures(second, request) == [True, False]
    third = json.loads(mayfly("webhook", "rotate-secret", url, "--overlap", "0", "--output", "json"))["Secret"]
    send(node, name, {"n": 11})
    assert right_signatures(third, hook.wait(count + 2)) == [True]
    # None of them is written down.
    for secret in (first, second, third, other):
        assert secret not in node.log_path.read_text()
        for path in node.state.glob("*.db*"):
            assert secret.encode() not in path.read_bytes() and \
                base64.b64decode(secret.removeprefix("whsec_")) not in path.read_bytes()


def test_webhooks(private_node, hooks, tmp_path, build):
    ca = Authority(tmp_path, "hooks")
    certificate, key = ca.sign("hook", "localhost")
    hook = hooks(certificate, key)
    url = f"https://localhost:{hook.port}/a?b=c"
    node = private_node({**QUICK, "events.max_retries": 0, "events.webhook_ca_file": ca.path("pem"),
                         "events.webhook_allow_private": "yes", "events.delivery_max_age_s": 60},
                        environment={"https_proxy": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1"})
    name = node.create(e2e.PYTHON, CODE)
    put(node, name, on_success=url, on_failure=url)
    hook.answers = [503, 429]
    sent = send(node, name, {"n": 1}).request_id
    path, headers, record, _ = hook.wait(3)
    assert path == "/a?b=c" and headers["Content-Type"] == "application/json"
    assert record["requestContext"]["requestId"] == sent and record["responsePayload"] == {"echo": {"n": 1}}
    assert headers["Mayfly-Condition"] == "Success"
    assert len({r[1]["Mayfly-Delivery-Id"] for r in hook.requests}) == 1  # for who wants it once
    assert {r[1]["webhook-id"] for r in hook.requests} == {headers["Mayfly-Delivery-Id"]}
    mayfly = command(node, build)
    secret = json.loads(mayfly("webhook", "get-secret", url, "--output", "json"))["Secret"]
    for request in hook.requests:
        assert right_signatures(secret, request) == [True]
        assert abs(int(request[1]["webhook-timestamp"]) - time.time()) < 300
    first, second, third = [int(r[1]["webhook-timestamp"]) for r in hook.requests]
    assert first < second < third  # each try has its own
    failed = lambda: metric(node, "mayfly_destination_delivery_failures_total", name)  # noqa: E731
    assert failed() == 0

    # What is no matter of time is given up at once: another status, a redirect.
    for count, status in ((1, 404), (2, 302)):
        hook.answers = [status]
        send(node, name, {"fail": True})
        e2e.wait_until(lambda: failed() == count, 120, f"the end after {status}", 0.1)
        assert f"It answered with status {status}." in node.log_tail()
    assert [r[0] for r in hook.requests] == ["/a?b=c"] * 5

    # An agent that is killed before the answer posts again, under the same id.
    hook.answers = [503] * 50
    send(node, name, {"n": 2})
    first = hook.wait(6)[1]["Mayfly-Delivery-Id"]
    node.restart(kill=True)
    hook.answers = []
    e2e.wait_until(lambda: hook.requests[-1][1]["Mayfly-Delivery-Id"] == first and not hook.answers and
                   "mayfly" in hook.requests[-1][1]["User-Agent"] and len(hook.requests) > 6, 120, "the post", 0.1)
    check_rotation(node, mayfly, hook, name, url, secret)
    # Whoever has a certificate of another authority, or of another name, is told nothing.
    stranger = Authority(tmp_path, "stranger")
    for pair in (stranger.sign("imposter", "localhost"), ca.sign("other", "elsewhere", hosts=("DNS:elsewhere",))):
        imposter = hooks(*pair)
        put(node, name, on_success=f"https://localhost:{imposter.port}/")
        send(node, name, {"n": 3})
        e2e.wait_until(lambda: f"localhost:{imposter.port}/... is delivered later" in node.log_tail(), 60,
                       "what is refused", 0.1)
        assert imposter.requests == []


# Six times as long in JSON, which no record has room for; and nearly what a record may have.
LARGE = {"index.py": """
def handler(event, context):
    return "\\x01" * 1000000 if event["n"] < 6 else "x" * 900000
"""}


def size_of_events(node):
    return sum(path.stat().st_size for path in node.state.glob("events.db*"))


def test_outcomes_have_limits(private_node, hooks):
    """A tenant whose functions answer with megabytes, and whose webhook takes nothing: neither the disk nor the loop is
    its own, and in the end everything is delivered."""
    hook = hooks()
    hook.answers = [503] * 10**6
    node = private_node({**QUICK, "events.webhook_allow_plain": "yes", "events.webhook_allow_private": "yes",
                         "events.max_waiting_mb": 16, "events.waiting_percent_of_tenant": 100, "events.max_running": 4})
    name = node.create(e2e.PYTHON, LARGE, timeout_seconds=120)
    put(node, name, on_success=f"http://127.0.0.1:{hook.port}/")
    i = node.protocol.invoke
    sent = [node.invocations.Invoke.future(i.InvokeRequest(
        function_name=name, payload=json.dumps({"n": n}).encode(), invocation_type=i.INVOCATION_TYPE_EVENT), timeout=60)
        for n in range(40)]
    # Some may find the room full already; those were not taken.
    taken = {call.result().request_id: n for n, call in enumerate(sent) if call.exception() is None}
    assert len(taken) >= 30

    def held_up():
        gauges = node.gauges()  # it answers all the while
        return gauges.events_running == 0 and gauges.events_waiting > 0 and len(hook.requests) > 6

    e2e.wait_until(held_up, 180, "events that wait for room", 0.1)
    # At most 16 MiB of outcomes, in the file and in its log, that has at most as much.
    assert size_of_events(node) < 2 * 17 * 2**20
    node.restart(kill=True)
    e2e.wait_until(held_up, 180, "events that wait for room", 0.1)
    assert size_of_events(node) < 2 * 17 * 2**20
    hook.answers = []
    told_of = lambda: {record["requestContext"]["requestId"]: record for _, _, record, _ in hook.requests}  # noqa: E731
    e2e.wait_until(lambda: set(told_of()) >= set(taken), 300, "what was taken", 0.5)
    for request_id, record in told_of().items():
        assert record["responseContext"]["statusCode"] == 200
        n = record["requestPayload"]["n"]
        assert record.get("responsePayload", "") == ("" if n < 6 else "x" * 900000), request_id
    wait_ended(node)


def private_addresses():
    """Of this machine, where it has one: it need not know its own name, nor have a way out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return []
        own = probe.getsockname()[0]
    return [own] if ipaddress.ip_address(own).is_private else []


def test_webhooks_reach_no_private_address(private_node, hooks):
    """Whatever leads there; and http only where the operator allows it."""
    hook = hooks()
    node = private_node({**QUICK, "events.webhook_allow_plain": "yes"})
    name = node.create(e2e.PYTHON, CODE)
    hosts = ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0",
             *private_addresses())
    for count, host in enumerate(hosts, 1):
        put(node, name, on_success=f"http://{host}:{hook.port}/")
        send(node, name, {"n": count})
        e2e.wait_until(lambda: metric(node, "mayfly_destination_delivery_failures_total", name) == count, 60,
                       f"the end of {host}", 0.1)
        assert "Its address must not be reached from this node." in node.log_tail()
    assert hook.requests == []
