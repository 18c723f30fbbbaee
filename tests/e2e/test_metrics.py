# SPDX-License-Identifier: Apache-2.0
"""Prometheus' text over HTTP, as a scraper sees it."""

import re
import socket
import subprocess
import urllib.error
import urllib.request

import pytest

import node as e2e

CODE = {"index.py": "def handler(event, context):\n    if event.get('fail'):\n        raise ValueError('x')\n"
                    "    return event\n"}


@pytest.fixture(scope="module")
def measured(protocol, build, images):
    made = e2e.Node(protocol, build, images, {"metrics.listen": "127.0.0.1:0", "metrics.max_functions": 1,
                                              "pool.spares": 0})
    try:
        made.start()
        made.port = int(re.search(r"metrics on \S+ \(port (\d+)\)", made.log_path.read_text())[1])
        yield made
        made.stop()
    finally:
        made.destroy()


def scrape(node):
    """{(name, labels): value}, checked line by line as the format has it."""
    url = f"http://127.0.0.1:{node.port}/metrics"
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        lines = answer.read().decode().splitlines()
    values, types = {}, {}
    for line in lines:
        if line.startswith("#"):
            _, kind, name, rest = line.split(" ", 3)
            if kind == "TYPE":
                assert name not in types
                types[name] = rest
            continue
        name, labels, value = re.fullmatch(r'([a-z_]+)(?:\{((?:[a-z]+="[^"]*",?)*)\})? (\S+)', line).groups()
        assert re.sub(r"_(bucket|sum|count)$", "", name) in types or name in types, line
        assert (name, labels) not in values
        values[name, labels or ""] = float(value)
    return values


def of(values, name, function):
    return {labels: value for (n, labels), value in values.items() if n == name and f'function="{function}"' in labels}


def test_what_is_counted(measured):
    first = measured.create(e2e.PYTHON, CODE)
    measured.invoke(first, {"x": 1})
    measured.invoke(first, {"fail": 1})
    second = measured.create(e2e.PYTHON, CODE)
    measured.invoke(second, {})
    measured.concurrency.Put(measured.protocol.concurrency.PutFunctionConcurrencyRequest(
        function_name=first, reserved_concurrent_executions=0), timeout=30)
    measured.refusal(measured.invocations.Invoke, measured.protocol.invoke.InvokeRequest(function_name=first))
    values = scrape(measured)
    labels = f'tenant="123456789012",function="{first}"'
    assert values["mayfly_invocations_total", labels] == 2
    assert values["mayfly_errors_total", labels] == 1
    assert values["mayfly_throttles_total", labels] == 1
    assert values["mayfly_concurrent_executions", labels] == 0
    assert of(values, "mayfly_starts_total", first) == {labels + ',start="restore"': 1, labels + ',start="warm"': 1}
    assert values["mayfly_duration_seconds_count", labels] == 2
    buckets = [values["mayfly_duration_seconds_bucket", labels + f',le="{le}"'] for le in ("0.001", "10", "900", "+Inf")]
    assert buckets == sorted(buckets) and buckets[-1] == 2
    assert 0 < values["mayfly_duration_seconds_sum", labels] < 600
    # One row was to be had.
    assert not of(values, "mayfly_invocations_total", second)
    assert list(of(values, "mayfly_invocations_total", "(other)").values()) == [1]
    for phase in ("spawn", "load", "resume", "init"):
        assert values["mayfly_phase_seconds_count", f'phase="{phase}"'] >= 2
    assert values["mayfly_functions", ""] == 2
    assert values["mayfly_sandboxes", 'state="frozen"'] + values["mayfly_sandboxes", 'state="busy"'] >= 1
    assert values["mayfly_sandbox_memory_budget_bytes", ""] > 1 << 20
    measured.delete(first)
    assert not of(scrape(measured), "mayfly_invocations_total", first)


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/", 404), ("GET", "/metrics/x", 404), ("POST", "/metrics", 405), ("DELETE", "/metrics", 405)])
def test_nothing_else_is_served(measured, method, path, status):
    request = urllib.request.Request(f"http://127.0.0.1:{measured.port}{path}", method=method,
                                     data=b"x" if method == "POST" else None)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert refused.value.code == status


def test_who_holds_connections_stops_nobody(measured):
    """More connections than are served, all idle, and bytes that are no HTTP."""
    held = [socket.create_connection(("127.0.0.1", measured.port), timeout=30) for _ in range(40)]
    try:
        held[0].sendall(b"\0\xff" * 100 + b"\r\n\r\n")
        assert measured.health() == "SERVING"
    finally:
        for connection in held:
            connection.close()
    e2e.wait_until(lambda: scrape(measured), 60, "an answer")


def test_only_this_machine(private_node):
    node = private_node({"metrics.listen": "0.0.0.0:0"}, templates=False, start=False)
    node.spawn()
    assert node.process.wait(60) == 2
    assert "metrics.listen must be a loopback address" in node.log_tail()


def test_the_same_as_a_stream(measured):
    m = measured.protocol.metrics
    stub = measured.protocol.metrics_grpc.MetricsServiceStub(measured.channel)
    name = measured.create(e2e.PYTHON, CODE)
    measured.invoke(name, {})
    measured.invoke(name, {"fail": 1})
    watch = stub.Watch(m.WatchMetricsRequest(interval_s=1, all_tenants=True), timeout=120)
    first = next(watch)
    rows = {row.function_name: row for row in first.functions}
    values = scrape(measured)
    assert first.whole and len(first.duration_bounds_us) == len(rows[name].duration.counts) == 18
    labels = f'tenant="123456789012",function="{name}"'
    assert (rows[name].invocations, rows[name].errors, rows[name].throttles) == tuple(
        values[f"mayfly_{what}_total", labels] for what in ("invocations", "errors", "throttles"))
    assert sum(rows[name].duration.counts) == rows[name].duration.count == rows[name].invocations
    assert first.node.sandbox_starts == values["mayfly_sandbox_starts_total", ""]
    assert values["mayfly_claimed_account_concurrency", 'tenant="123456789012"'] == \
        first.tenants[0].claimed_account_concurrency
    # Changes only.
    measured.invoke(name, {})
    changed = e2e.wait_until(lambda: [row for row in next(watch).functions
                                      if row.function_name == name and row.invocations > rows[name].invocations],
                             30, "a change")
    assert changed[0].invocations == rows[name].invocations + 1
    watch.cancel()
    refusal = measured.refusal(lambda request, timeout: list(stub.Watch(request, timeout=timeout)),
                               m.WatchMetricsRequest(interval_s=61))
    assert refusal.field == "interval_s"
    shown = subprocess.run([measured.build / "cli/mayfly", "metrics", "--all-tenants", "--address",
                            f"unix:{measured.socket}"], capture_output=True, text=True, timeout=60).stdout
    assert "Sandboxes" in shown and name in shown
    measured.delete(name)
