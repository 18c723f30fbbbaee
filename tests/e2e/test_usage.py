# SPDX-License-Identifier: Apache-2.0
"""The ledger: a bill is what the REPORT lines say, and whoever was answered is recorded, once,
whatever happens to the agent."""

import json
import os
import re
import sqlite3
import subprocess
import threading

import grpc
import pytest

import node as e2e

PRICE_REQUEST, PRICE_GB_SECOND = 200_000, 16_666_700
CODE = {"index.py": """
import time
def handler(event, context):
    time.sleep(event.get("sleep", 0))
    if event.get("fail"):
        raise ValueError("no")
    return event
"""}
REPORT = re.compile(
    rf"REPORT RequestId: (?P<id>{e2e.UUID})\tDuration: (?P<duration>[0-9.]+) ms\t"
    r"Billed Duration: (?P<billed>\d+) ms\tMemory Size: (?P<memory>\d+) MB\t"
    r"Max Memory Used: (?P<used>\d+) MB\t(Init Duration: (?P<init>[0-9.]+) ms\t)?"
    r"(Restore Duration: [0-9.]+ ms\tBilled Restore Duration: (?P<restore>\d+) ms\t)?")


def export(node, **filters):
    u = node.protocol.usage
    pages = node.usage.Export(u.ExportUsageRequest(filter=u.UsageFilter(**filters)), timeout=60)
    return [record for page in pages for record in page.records]


def query(node, *groups, **options):
    u = node.protocol.usage
    filters = u.UsageFilter(**options.pop("filter", {}))
    return node.usage.Query(u.QueryUsageRequest(
        filter=filters, group_by=[u.UsageGroup.Value("USAGE_GROUP_" + g) for g in groups], **options), timeout=60)


def reconcile(node):
    return node.usage.Reconcile(node.protocol.usage.ReconcileUsageRequest(), timeout=60)


def report_lines(node, name, count):
    """The log is written a moment after the answer."""
    def lines():
        found = [m.groupdict() for m in REPORT.finditer(node.log_text(name))]
        return len(found) >= count and found

    return e2e.wait_until(lines, 30, f"{count} REPORT lines of {name}")


def cost(requests, mb_ms):
    return requests * PRICE_REQUEST + (mb_ms * PRICE_GB_SECOND + 512_000) // 1_024_000


def picos(money):
    return money.units * 10**12 + money.picos


@pytest.fixture
def priced(private_node):
    return private_node({"ledger.price_request_pico": PRICE_REQUEST,
                         "ledger.price_gb_second_pico": PRICE_GB_SECOND})


def test_a_bill_is_what_the_report_lines_say(priced, build):
    node, u = priced, priced.protocol.usage
    area = node.create(e2e.PYTHON, CODE, name="area", timeout_seconds=1)
    other = node.create(e2e.PYTHON, CODE, name="other")
    watch = node.usage.Watch(u.WatchUsageRequest(filter=u.UsageFilter(function_name=area)), timeout=120)
    results = [node.invoke(area, {"n": n}) for n in range(3)]
    results.append(node.invoke(area, {"fail": True}))
    results.append(node.invoke(area, {"sleep": 30}))
    i = node.protocol.invoke
    stream = list(node.invocations.InvokeStream(
        i.InvokeRequest(function_name=other, payload=b'{"a": 1}'), timeout=60))
    streamed = sum(len(m.payload_chunk) for m in stream)

    # What ran no function leaves no record.
    assert node.refusal(node.invocations.Invoke, i.InvokeRequest(function_name="nobody")).status \
        == grpc.StatusCode.NOT_FOUND
    node.refusal(node.invocations.Invoke, i.InvokeRequest(function_name=area, payload=b"{"))
    node.invocations.Invoke(
        i.InvokeRequest(function_name=area, invocation_type=i.INVOCATION_TYPE_DRY_RUN), timeout=30)

    records = {r.request_id: r for r in export(node)}
    reports = {name: report_lines(node, name, count) for name, count in ((area, 5), (other, 1))}
    assert set(records) == {line["id"] for lines in reports.values() for line in lines}
    for name, lines in reports.items():
        for line in lines:
            record = records[line["id"]]
            assert (record.function_name, record.version) == (name, "$LATEST")
            hundredths = (record.duration_us + 5) // 10
            assert f"{hundredths // 100}.{hundredths % 100:02d}" == line["duration"]
            assert (record.billed_ms, record.memory_size_mb, record.max_memory_used_mb) == \
                tuple(int(line[k]) for k in ("billed", "memory", "used"))
            assert record.HasField("init_us") == (line["init"] is not None)
            assert record.HasField("billed_restore_ms") == (line["restore"] is not None)
    mine = [records[r.request_id] for r in results]
    assert [u.UsageResult.Name(r.result)[13:] for r in mine] == \
        ["OK", "OK", "OK", "FUNCTION_ERROR", "TIMEOUT"]
    assert [i.StartKind.Name(r.start_kind)[11:] for r in mine] == [r.start for r in results]
    assert (mine[1].event_bytes, mine[1].answer_bytes, mine[1].streamed_bytes) == (8, 8, 0)
    last = records[reports[other][0]["id"]]
    assert (last.event_bytes, last.answer_bytes, last.streamed_bytes) == (8, streamed, streamed)

    # Sums and cost, from the lines alone.
    answer = query(node, "FUNCTION", "HOUR")
    totals = {}
    for row in answer.rows:
        requests, billed, errors = totals.get(row.function_name, (0, 0, 0))
        totals[row.function_name] = (requests + row.figures.invocations,
                                     billed + row.figures.billed_mb_ms, errors + row.figures.errors)
    bills = {name: (len(lines), sum(int(x["billed"]) * int(x["memory"]) for x in lines),
                    2 if name == area else 0) for name, lines in reports.items()}
    assert totals == bills
    requests, mb_ms = sum(b[0] for b in bills.values()), sum(b[1] for b in bills.values())
    assert picos(answer.total.cost) == cost(requests, mb_ms)
    only = query(node, filter={"function_name": area})
    assert picos(only.total.cost) == cost(*bills[area][:2])
    first = query(node, "FUNCTION", order=u.USAGE_ORDER_INVOCATIONS, max_items=1)
    assert [r.function_name for r in first.rows] == [area] and first.next_marker
    second = query(node, "FUNCTION", order=u.USAGE_ORDER_INVOCATIONS, max_items=1, marker=first.next_marker)
    assert [r.function_name for r in second.rows] == [other] and not second.next_marker
    refusal = node.refusal(node.usage.Query, u.QueryUsageRequest(marker="x"))
    assert refusal.status == grpc.StatusCode.INVALID_ARGUMENT and refusal.field == "marker"

    assert [next(watch).record.request_id for _ in results] == [r.request_id for r in results]
    watch.cancel()
    sums = reconcile(node)
    assert not sums.difference_count and sums.counters_compared
    assert (sums.records, sums.invocations_since_start, sums.waiting) == (6, 6, 0)
    check_command(node, build, records)


def check_command(node, build, records):
    def mayfly(*args):
        done = subprocess.run([build / "cli/mayfly", "usage", *args, "--address", f"unix:{node.socket}"],
                              capture_output=True, timeout=60)
        assert done.returncode == 0, done
        return done.stdout.decode()

    table = mayfly("query", "--by", "function").splitlines()
    assert table[0].split()[:2] == ["FUNCTION", "INVOCATIONS"]
    assert [line.split()[:2] for line in table[1:]] == [["area", "5"], ["other", "1"], ["total", "6"]]
    shown = json.loads(mayfly("query", "--by", "function,day", "--output", "json"))
    assert [row["Invocations"] for row in shown["Rows"]] == [5, 1] and shown["Total"]["Errors"] == 2
    lines = mayfly("export", "--format", "csv").splitlines()
    assert lines[0].startswith("request_id,tenant,function_name,version,started_at,")
    assert {line.split(",")[0] for line in lines[1:]} == set(records)
    objects = [json.loads(line) for line in mayfly("export", "--output", "json", "other").splitlines()]
    assert [o["FunctionName"] for o in objects] == ["other"]
    assert "6 records" in mayfly("reconcile")


BURNER = {"index.py": """
import time
def handler(event, context):
    begun = time.process_time()
    while time.process_time() - begun < event["burn"]:
        pass
    time.sleep(event["sleep"])
    return event
"""}


def test_cpu_time_of_the_host_is_held_against_the_bill(private_node, build):
    """What the cgroups count lies within what was billed, whatever a function does; work that no
    record is left of does not."""
    node = private_node()
    name = node.create(e2e.PYTHON, BURNER, name="burner", timeout_seconds=60)
    node.invoke(name, {"burn": 0, "sleep": 0})
    sums = reconcile(node)
    if node.node.GetNode(node.protocol.node.GetNodeRequest(), timeout=30).cgroup_mode == "none":
        assert sums.sandboxes_counted == 0 and sums.sandboxes_uncounted > 0
        pytest.skip("this host has no cgroups for the agent: nothing is counted")
    # A guest on a busy host takes time that it did not get for its own: so once more until it has it.
    for _ in range(30):
        if sums.cpu[0].serve_us > (sums.cpu[0].sandboxes + 3) * 1_000_000:
            break
        node.invoke(name, {"burn": 2, "sleep": 0})
        sums = reconcile(node)
    assert not sums.differences and sums.difference_count == sums.cpu_differences == 0
    [row] = sums.cpu
    assert (row.tenant, row.function_name, row.version) == ("123456789012", name, "$LATEST")
    assert row.invocations == sums.records > 1 and row.sandboxes >= 1 and row.uncounted == 0
    assert row.start_us > 0 and row.serve_us < row.allowed_us and row.difference == ""
    assert sums.sandboxes_counted == row.sandboxes and sums.cpu_versions == 1

    # Who sleeps is billed and uses none.
    node.invoke(name, {"burn": 0, "sleep": 3})
    slept = reconcile(node).cpu[0]
    assert slept.billed_ms - row.billed_ms >= 3000
    assert slept.serve_us - row.serve_us < 2_000_000

    # It stays counted when its sandbox is gone, and its function.
    node.functions.Delete(node.protocol.function.DeleteFunctionRequest(function_name=name), timeout=60)
    e2e.wait_until(lambda: not node.sandboxes(), 60, "the end of the sandboxes")
    gone = reconcile(node)
    assert gone.cpu[0].serve_us >= slept.serve_us and not gone.difference_count

    with sqlite3.connect(node.state / "ledger.db", timeout=30) as ledger:
        ledger.execute("UPDATE record SET billed_ms = 1")
    tampered = reconcile(node)
    assert tampered.cpu_differences == 1 and tampered.cpu[0].difference == "more CPU time than was billed"
    done = subprocess.run([build / "cli/mayfly", "usage", "reconcile", "--address", f"unix:{node.socket}"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "more CPU time than was billed" in done.stdout


STREAMER = {"index.js": """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  stream.write('x'.repeat(event.bytes || 1));
  stream.end();
});
"""}
PRICES = {"request": PRICE_REQUEST, "gb_second": PRICE_GB_SECOND, "provisioned_run_gb_second": 9_722_200,
          "provisioned_gb_second": 4_166_700, "storage_gb_second": 30_900, "stream_gb": 8_000_000_000,
          "cache_gb_second": 1_504_600, "restore_gb": 139_799_800}


def test_provisioned_places_storage_and_streams_are_billed(private_node, build):
    node = private_node({f"ledger.price_{key}_pico": price for key, price in PRICES.items()})
    c, i = node.protocol.concurrency, node.protocol.invoke
    name = node.create(e2e.NODEJS, STREAMER, name="streamer", ephemeral_storage_mb=1024)
    node.functions.PublishVersion(node.protocol.function.PublishVersionRequest(function_name=name), timeout=60)
    node.wait_active(f"{name}:1")
    put = c.PutProvisionedConcurrencyConfigRequest(
        function_name=name, qualifier="1", provisioned_concurrent_executions=1)
    node.concurrency.PutProvisionedConcurrencyConfig(put, timeout=30)
    get = c.GetProvisionedConcurrencyConfigRequest(function_name=name, qualifier="1")
    e2e.wait_until(lambda: node.concurrency.GetProvisionedConcurrencyConfig(get, timeout=30)
                   .available_provisioned_concurrent_executions == 1, 120, "a provisioned sandbox")
    sizes = {}
    for target, size in ((f"{name}:1", 7_000_000), (f"{name}:1", 100), (name, 1)):
        stream = list(node.invocations.InvokeStream(i.InvokeRequest(
            function_name=target, payload=json.dumps({"bytes": size}).encode()), timeout=120))
        sizes[target, size] = sum(len(m.payload_chunk) for m in stream)
        assert sizes[target, size] == size
    delete = c.DeleteProvisionedConcurrencyConfigRequest(function_name=name, qualifier="1")
    node.concurrency.DeleteProvisionedConcurrencyConfig(delete, timeout=30)

    # By hand: the REPORT lines, what was configured and what was streamed.
    lines = {line["id"]: line for line in report_lines(node, name, 3)}
    records = export(node)
    assert [(r.version, r.provisioned, r.storage_mb, r.billed_stream_bytes) for r in records] == [
        ("1", True, 1024, 7_000_000 - 6_291_456), ("1", True, 1024, 0), ("$LATEST", False, 1024, 0)]
    billed = [int(lines[r.request_id]["billed"]) for r in records]
    memory = int(lines[records[0].request_id]["memory"])
    allocated = e2e.wait_until(lambda: query(node).total.figures.allocated_mb_ms, 30, "what is due for the place")
    assert 299_990 <= allocated / memory <= 300_000  # given back sooner than after five minutes

    def part(count, per, price):
        return (count * PRICES[price] + per // 2) // per
    expected = (part(3, 1, "request") + part(billed[2] * memory, 1_024_000, "gb_second") +
                part((billed[0] + billed[1]) * memory, 1_024_000, "provisioned_run_gb_second") +
                part(allocated, 1_024_000, "provisioned_gb_second") +
                part(sum(billed) * 512, 1_024_000, "storage_gb_second") +
                part(7_000_000 - 6_291_456, 2**30, "stream_gb"))
    assert picos(query(node).total.cost) == expected
    node.restart(kill=True)
    assert picos(query(node).total.cost) == expected
    assert not reconcile(node).differences
    shown = subprocess.run([build / "cli/mayfly", "usage", "query", "--parts", "--address", f"unix:{node.socket}"],
                           capture_output=True, text=True, timeout=60).stdout.splitlines()
    assert shown[0].split()[-1] == "COST" and shown[1].split()[0] == name and "708544" in shown[1]


def outcomes(node):
    """{request id of an event: how it ended}, as the queues have it."""
    q = node.protocol.queue
    found, marker = {}, None
    for queue in ("good", "bad"):
        marker = ""
        while marker is not None:
            page = node.queues.ListMessages(q.ListMessagesRequest(queue=queue, marker=marker), timeout=60)
            for message in page.messages:
                assert found.setdefault(message.request_id, message.condition) == message.condition
                assert json.loads(message.body)["requestContext"]["requestId"] == message.request_id
            marker = page.next_marker or None
    return found


def test_what_was_answered_is_recorded_whatever_happens(private_node):
    """kill -9 under load, again and again, of invocations and events: each that was answered is in
    the ledger, each event that was taken ends in success or failure and its destination is told."""
    node = private_node({"pool.spares": 0, "pool.spares_on_deploy": "no", "events.max_retries": 1,
                         "events.retry_first_ms": 50, "events.delay_first_ms": 50, "events.delay_max_ms": 100})
    name, taker = node.create(e2e.PYTHON, CODE), node.create(e2e.PYTHON, CODE)
    v = node.protocol.event
    queue = "arn:aws:sqs:us-east-1:123456789012:"
    node.events.PutEventInvokeConfig(v.PutEventInvokeConfigRequest(
        function_name=taker, destination_config=v.DestinationConfig(
            on_success=v.OnSuccess(destination=queue + "good"), on_failure=v.OnFailure(destination=queue + "bad"))),
        timeout=60)
    answered, taken = [], {}

    def load(until):
        while not until.is_set():
            try:
                answered.append(node.invoke(name, {}, log=False, timeout=60).request_id)
            except (grpc.RpcError, grpc.FutureCancelledError, ValueError):
                return  # killed

    def load_events(until):
        i = node.protocol.invoke
        while not until.is_set():
            fail = len(taken) % 3 == 0
            try:
                response = node.invocations.Invoke(i.InvokeRequest(
                    function_name=taker, payload=json.dumps({"fail": fail}).encode(),
                    invocation_type=i.INVOCATION_TYPE_EVENT), timeout=60)
            except (grpc.RpcError, grpc.FutureCancelledError, ValueError):
                return  # killed
            taken[response.request_id] = "RetriesExhausted" if fail else "Success"
            until.wait(0.1)  # so that they end as fast as they come

    rounds = int(os.environ.get("MAYFLY_SOAK_ROUNDS", 3))
    for killed in range(1, rounds + 1):
        done, before = threading.Event(), len(answered)
        threads = [threading.Thread(target=work, args=(done,), daemon=True) for work in (load, load, load_events)]
        for thread in threads:
            thread.start()
        e2e.wait_until(lambda: len(answered) >= before + 20, 120, "answers")
        node.process.kill()
        node.process.wait(30)
        done.set()
        for thread in threads:
            thread.join(60)
        node.kill()
        node.start()
        e2e.wait_until(lambda: not node.qemu_processes(), 60, "the end of every sandbox of the killed agent")
        recorded = [record.request_id for record in export(node, function_name=name)]
        assert len(recorded) == len(set(recorded))
        assert set(answered) <= set(recorded)
        # Beyond them at most what was under way.
        assert len(recorded) - len(answered) <= 3 * killed
        e2e.wait_until(lambda: taken.items() <= outcomes(node).items(), 120,
                       "the end of every event that was taken", 0.5)
    # Beyond them at most those whose 202 was cut off.
    assert len(outcomes(node)) - len(taken) <= rounds
    assert query(node, filter={"function_name": name}).total.figures.invocations == len(recorded)
    e2e.wait_until(lambda: node.gauges().events_waiting + node.gauges().events_running == 0, 120, "the last events")
    sums = reconcile(node)
    assert not sums.difference_count and sums.records == len(export(node))
