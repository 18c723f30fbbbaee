# SPDX-License-Identifier: Apache-2.0
"""Budgets: a soft limit is told once, a hard one refuses, and a killed agent has forgotten neither."""

import json
import re
import subprocess
import urllib.request

import grpc

import node as e2e

CODE = {"index.py": "def handler(event, context):\n    return event\n"}


def metric(node, name):
    port = re.findall(r"metrics on \S+ \(port (\d+)\)", node.log_path.read_text())[-1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return int(re.search(rf"^{name}(?:{{.*}})? (\d+)$", answer.read().decode(), re.M)[1])


def test_a_budget_is_told_and_kept(private_node, build):
    node = private_node({"metrics.listen": "127.0.0.1:0", "events.delay_first_ms": 100, "events.delay_max_ms": 200})
    b, u, i, a = node.protocol.budget, node.protocol.usage, node.protocol.invoke, node.protocol.audit
    name, other = node.create(e2e.PYTHON, CODE, name="area"), node.create(e2e.PYTHON, CODE, name="other")
    key = {"function_name": name, "measure": b.BUDGET_MEASURE_REQUESTS, "period": b.BUDGET_PERIOD_MONTH}
    node.invoke(name, {})
    for change, field in (({"measure": 0, "hard_limit": 1}, "measure"), ({"period": 7, "hard_limit": 1}, "period"),
                          ({}, "hard_limit"), ({"soft_limit": 2, "hard_limit": 1}, "soft_limit"),
                          ({"function_name": f"{name}:1", "hard_limit": 1}, "function_name")):
        refusal = node.refusal(node.budgets.Put, b.PutBudgetRequest(**{**key, **change}))
        assert (refusal.status, refusal.field) == (grpc.StatusCode.INVALID_ARGUMENT, field), change
    assert node.refusal(node.budgets.Get, b.GetBudgetRequest(**key)).status == grpc.StatusCode.NOT_FOUND
    put = node.budgets.Put(b.PutBudgetRequest(**key, soft_limit=2, hard_limit=3), timeout=30)
    assert (put.used, put.soft_reached, put.soft_limit, put.hard_limit) == (1, False, 2, 3)

    watch = node.usage.Watch(u.WatchUsageRequest(filter=u.UsageFilter(function_name=name)), timeout=120)
    told = [node.invoke(name, {}) and next(watch) for _ in range(2)]
    told += [next(watch), next(watch)]
    reached = [message.budget for message in told if message.HasField("budget")]
    assert [(event.hard, event.budget.used) for event in reached] == [(False, 2), (True, 3)]
    watch.cancel()

    def budget():
        return node.budgets.Get(b.GetBudgetRequest(**key), timeout=30)

    def refused(target=name, limit="3 requests a month of the function area"):
        refusal = node.refusal(node.invocations.Invoke, i.InvokeRequest(function_name=target, payload=b"{}"))
        assert (refusal.status, refusal.reason, refusal.limit) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED, "TooManyRequestsException", "BudgetExceeded")
        assert re.fullmatch(rf"The budget of {limit} is used up until \d{{4}}-\d\d-01T00:00:00Z\.", refusal.message)

    refused()
    assert node.invoke(other, {"x": 1}).json == {"x": 1}
    assert (metric(node, "mayfly_budget_soft_reached_total"), metric(node, "mayfly_budget_hard_reached_total"),
            metric(node, "mayfly_budget_refusals_total")) == (1, 1, 1)
    # An event waits, as for any throttle.
    event = i.InvokeRequest(function_name=name, payload=b'{"later": 1}', invocation_type=i.INVOCATION_TYPE_EVENT)
    assert node.invocations.Invoke(event, timeout=30).status_code == 202
    e2e.wait_until(lambda: metric(node, "mayfly_events_delayed_total") >= 2, 30, "tries that were refused")

    def records():
        audit = node.protocol.audit_grpc.AuditServiceStub(node.channel)
        return [r.message for r in audit.Query(a.QueryAuditRequest(), timeout=30).records
                if r.method.endswith("BudgetService/Reached")]
    e2e.wait_until(lambda: len(records()) == 2, 30, "the audit log's records")
    assert "the soft limit of 2 requests a month is reached" in records()

    node.restart(kill=True)
    refused()  # from the first moment
    e2e.wait_until(lambda: budget().used == 3, 30, "what was used")
    assert (budget().soft_reached, budget().hard_reached) == (True, True)
    refused()
    assert len(records()) <= 2 and metric(node, "mayfly_budget_soft_reached_total") == 0
    assert metric(node, "mayfly_events_waiting") + metric(node, "mayfly_events_running") == 1

    def mayfly(*words):
        done = subprocess.run([build / "cli/mayfly", "budget", *words, "--address", f"unix:{node.socket}"],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done
        return done.stdout

    shown = json.loads(mayfly("get", name, "--output", "json"))
    assert (shown["Used"], shown["HardLimit"], shown["Measure"], shown["Period"]) == (3.0, 3, "requests", "month")
    # A higher limit lets the event run; a tenant's counts beside the function's.
    assert "soft limit reached" in mayfly("put", name, "--soft", "2", "--hard", "9")
    e2e.wait_until(lambda: budget().used == 4, 60, "the event's run")
    table = mayfly("put", "--measure", "gb-seconds", "--hard", "0").splitlines()
    assert table[1].split()[1:4] == ["(all)", "gb-seconds", "month"] and "used up" in table[1]
    refused(other, "0 GB-seconds a month of the tenant")
    assert len(mayfly("list").splitlines()) == 3
    mayfly("delete", "--measure", "gb-seconds")
    assert node.invoke(other, {}).json == {}
    assert len(json.loads(mayfly("list", "-o", "json"))["Budgets"]) == 1
