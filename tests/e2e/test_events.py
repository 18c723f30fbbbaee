# SPDX-License-Identifier: Apache-2.0
"""Asynchronous invocations: what was answered with 202 runs, whatever happens to the agent, and is
tried again when it fails."""

import json
import subprocess

import grpc

import node as e2e

CODE = {"index.py": """
def handler(event, context):
    print("SEEN", event.get("n"), context.aws_request_id, context.function_version, flush=True)
    if event.get("fail"):
        raise ValueError("no")
"""}
EVENT_MAX = 1048576
QUICK = {"events.retry_first_ms": 50, "events.delay_first_ms": 50, "events.delay_max_ms": 100,
         "metrics.listen": "127.0.0.1:0"}


def send(node, name, event=None, payload=None, timeout=60, **options):
    i = node.protocol.invoke
    payload = json.dumps(event).encode() if payload is None else payload
    return node.invocations.Invoke(i.InvokeRequest(
        function_name=name, payload=payload, invocation_type=i.INVOCATION_TYPE_EVENT, **options),
        timeout=timeout)


def seen(node, name):
    """(n, request id, version) of every try, as the function printed them."""
    return [tuple(line.split("SEEN ")[1].split()[:3])
            for line in node.log_text(name).splitlines() if "SEEN " in line]


def wait_seen(node, name, count):
    return e2e.wait_until(lambda: len(seen(node, name)) >= count and seen(node, name), 120,
                          f"{count} tries of {name}, not {seen(node, name)}", 0.2)


def wait_ended(node):
    def ended():
        g = node.gauges()
        return g.events_waiting + g.events_running == 0 and g

    return e2e.wait_until(ended, 120, "the end of all events", 0.2)


def test_taken_run_and_tried_again(private_node, build):
    node = private_node(QUICK)
    name = node.create(e2e.PYTHON, CODE)
    answer = send(node, name, {"n": 1})
    assert (answer.status_code, answer.payload, answer.executed_version) == (202, b"", "")
    assert wait_seen(node, name, 1) == [("1", answer.request_id, "$LATEST")]
    wait_ended(node)

    failing = send(node, name, {"n": 2, "fail": True})
    wait_ended(node)
    tries = wait_seen(node, name, 4)[1:]
    assert tries == [("2", failing.request_id, "$LATEST")] * 3
    g = node.gauges()
    assert (g.events_received_total, g.events_dropped_total) == (2, 1)
    assert "RetriesExhausted" in node.log_tail()
    # Each try is in the ledger, under the one id.
    u = node.protocol.usage
    pages = node.usage.Export(u.ExportUsageRequest(filter=u.UsageFilter(function_name=name)), timeout=60)
    records = [record.request_id for page in pages for record in page.records]
    assert records.count(failing.request_id) == 3 and records.count(answer.request_id) == 1

    # What it means is decided when it runs; what could not run is refused at once.
    refused = node.refusal(send, node, name, {}, qualifier="nobody")
    assert refused.status == grpc.StatusCode.NOT_FOUND
    refused = node.refusal(send, node, name, payload=b"{")
    assert refused.status == grpc.StatusCode.INVALID_ARGUMENT and refused.field == "payload"
    large = b'"' + b"x" * (EVENT_MAX - 2) + b'"'
    refused = node.refusal(send, node, name, payload=large + b" ")
    assert refused.message == (f"{EVENT_MAX + 1} byte payload is too large for the Event invocation type "
                               f"(limit {EVENT_MAX} bytes)")
    i = node.protocol.invoke
    refused = node.refusal(lambda request, timeout: list(node.invocations.InvokeStream(request, timeout=timeout)),
                           i.InvokeRequest(function_name=name, invocation_type=i.INVOCATION_TYPE_EVENT))
    assert refused.status == grpc.StatusCode.INVALID_ARGUMENT and refused.field == "invocation_type"

    done = subprocess.run(
        [build / "cli/mayfly", "invoke", name, "--invocation-type", "Event", "--payload", '{"n": 3}',
         "--address", f"unix:{node.socket}"], capture_output=True, timeout=60)
    assert done.returncode == 0, done
    assert wait_seen(node, name, 5)[4] == ("3", done.stdout.decode().strip(), "$LATEST")

    check_settings(node, name, build)

    # With nothing reserved it is dropped at once.
    c = node.protocol.concurrency
    node.concurrency.Put(c.PutFunctionConcurrencyRequest(
        function_name=name, reserved_concurrent_executions=0), timeout=60)
    dropped = node.gauges().events_dropped_total
    send(node, name, {"n": 4})
    e2e.wait_until(lambda: node.gauges().events_dropped_total == dropped + 1, 60, "the drop")
    assert "ZeroReservedConcurrency" in node.log_tail()
    assert len(seen(node, name)) == 6


def check_settings(node, name, build):
    """EventService, as a client sees it."""
    v, e = node.protocol.event, node.events
    put = v.PutEventInvokeConfigRequest
    refused = node.refusal(e.PutEventInvokeConfig, put(function_name=name))
    assert refused.message == "You must specify at least one of error handling or destination setting."
    refused = node.refusal(e.PutEventInvokeConfig, put(function_name=name, maximum_retry_attempts=3))
    assert refused.field == "maximum_retry_attempts" and "less than or equal to 2" in refused.message
    refused = node.refusal(e.PutEventInvokeConfig, put(function_name=name, maximum_event_age_in_seconds=59))
    assert refused.field == "maximum_event_age_in_seconds" and "greater than or equal to 60" in refused.message
    refused = node.refusal(e.PutEventInvokeConfig, put(function_name="nobody", maximum_retry_attempts=0))
    assert refused.message == "The function doesn't exist."
    refused = node.refusal(e.UpdateEventInvokeConfig, put(function_name=name, maximum_retry_attempts=0))
    assert refused.status == grpc.StatusCode.NOT_FOUND
    assert refused.message.endswith(f":function:{name}:$LATEST doesn't have an EventInvokeConfig")

    config = e.PutEventInvokeConfig(put(function_name=name, maximum_event_age_in_seconds=60), timeout=60)
    assert config.function_arn.endswith(f":{name}:$LATEST") and not config.HasField("maximum_retry_attempts")
    config = e.UpdateEventInvokeConfig(put(function_name=name, maximum_retry_attempts=0), timeout=60)
    assert (config.maximum_retry_attempts, config.maximum_event_age_in_seconds) == (0, 60)
    get = v.GetEventInvokeConfigRequest(function_name=name)
    assert e.GetEventInvokeConfig(get, timeout=60) == config
    listed = e.ListEventInvokeConfigs(v.ListEventInvokeConfigsRequest(function_name=name), timeout=60)
    assert list(listed.configs) == [config] and listed.next_marker == ""
    node.aliases.Create(node.protocol.alias.CreateAliasRequest(
        function_name=name, name="live", function_version="$LATEST"), timeout=60)
    live = e.PutEventInvokeConfig(put(function_name=name, qualifier="live", maximum_retry_attempts=1), timeout=60)
    pages = [e.ListEventInvokeConfigs(v.ListEventInvokeConfigsRequest(
        function_name=name, max_items=1, marker=marker), timeout=60) for marker in ("", "$LATEST")]
    assert [list(page.configs) for page in pages] == [[config], [live]]
    assert [page.next_marker for page in pages] == ["$LATEST", ""]
    before = len(seen(node, name))
    send(node, name, {"n": 9, "fail": True})
    wait_ended(node)
    assert len(wait_seen(node, name, before + 1)) == before + 1  # no further try
    done = subprocess.run([build / "cli/mayfly", "events", "list-configs", name, "--output", "json",
                           "--address", f"unix:{node.socket}"], capture_output=True, timeout=60)
    assert json.loads(done.stdout)["FunctionEventInvokeConfigs"][0]["MaximumRetryAttempts"] == 0
    e.DeleteEventInvokeConfig(get, timeout=60)
    assert node.refusal(e.GetEventInvokeConfig, get).status == grpc.StatusCode.NOT_FOUND


def test_kill_loses_nothing(private_node):
    """kill -9 with events that wait, again and again."""
    node = private_node({**QUICK, "events.max_running": 1})
    name = node.create(e2e.PYTHON, CODE)
    sent = []
    for _ in range(2):
        sent += [send(node, name, {"n": n}).request_id for n in range(len(sent), len(sent) + 15)]
        assert node.gauges().events_waiting > 0
        node.restart(kill=True)
    wait_ended(node)
    tries = e2e.wait_until(
        lambda: {t[1] for t in seen(node, name)} >= set(sent) and seen(node, name), 60, "all of them")
    assert {t[1] for t in tries} == set(sent)
    # A clean stop keeps them, too.
    more = [send(node, name, {"n": n}).request_id for n in range(5)]
    node.restart()
    wait_ended(node)
    e2e.wait_until(lambda: {t[1] for t in seen(node, name)} == set(sent + more), 60, "those of the stop")
