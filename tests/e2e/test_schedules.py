# SPDX-License-Identifier: Apache-2.0
"""Schedules: functions that are invoked at set times, once for each occurrence, whatever happens to
the agent."""

import datetime
import json
import subprocess
import time
import urllib.request

import grpc

import node as e2e

CODE = {"index.py": """
import json
def handler(event, context):
    print("SEEN", event.get("name"), context.aws_request_id, json.dumps(event), flush=True)
"""}
CONFIG = {"events.retry_first_ms": 50, "events.delay_first_ms": 50, "events.delay_max_ms": 100,
          "node.tenants_on_tcg": "yes", "metrics.listen": "127.0.0.1:0"}
OTHER = "222222222222"


def at(seconds):
    """An expression for so many seconds from now, and that time as events tell it."""
    when = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds + 1)).replace(
        microsecond=0)
    return f"at({when:%Y-%m-%dT%H:%M:%S})", f"{when:%Y-%m-%dT%H:%M:%SZ}"


def create(node, name, function, expression, timeout=30, **options):
    s = node.protocol.schedule
    target = s.ScheduleTarget(arn=function, input=options.pop("input", ""))
    return node.schedules.CreateSchedule(s.CreateScheduleRequest(
        name=name, schedule_expression=expression, target=target, **options), timeout=timeout)


def named(name):
    return json.dumps({"name": name, "time": "<aws.scheduler.scheduled-time>"})


def seen(node, function):
    """(name, request id, event) of every try."""
    lines = [line.split("SEEN ")[1].split(" ", 2) for line in node.log_text(function).splitlines() if "SEEN " in line]
    return [(name, request_id, json.loads(event)) for name, request_id, event in lines]


def wait_seen(node, function, names):
    def all_seen():
        tries = seen(node, function)
        return {t[0] for t in tries} >= set(names) and tries

    return e2e.wait_until(all_seen, 120, f"{names}, not {seen(node, function)}", 0.2)


def metric(node, name):
    port = next(line.split("(port ")[1].split(")")[0] for line in reversed(node.log_path.read_text().splitlines())
                if "metrics on http" in line)
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode()
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith(name + " ")))


def test_schedules(private_node, build):
    node = private_node(CONFIG)
    s = node.protocol.schedule

    def mayfly(*arguments):
        done = subprocess.run([build / "cli/mayfly", "schedule", *arguments, "--address", f"unix:{node.socket}"],
                              capture_output=True, timeout=60, text=True)
        assert done.returncode == 0, done
        return done.stdout

    function = node.create(e2e.PYTHON, CODE)
    expression, when = at(2)
    once = create(node, "once", function, expression)
    assert once.arn.endswith(":schedule/default/once") and once.target.arn.endswith(f":function:{function}")
    assert once.next_occurrence_us > 0 and once.schedule_expression_timezone == "UTC"
    create(node, "never", function, expression, input=named("never"), state=s.SCHEDULE_STATE_DISABLED)
    made = json.loads(mayfly("create", "goes", "--schedule-expression", expression, "--function", function, "--input",
                             named("goes"), "--action-after-completion", "DELETE", "--output", "json"))
    assert (made["Name"], made["State"], made["ActionAfterCompletion"]) == ("goes", "ENABLED", "DELETE")
    mayfly("create", "tick", "--schedule-expression", "rate(1 hour)", "--function", function, "--input", named("tick"))

    # Each fires once; without an input the event is EventBridge Scheduler's own.
    tries = wait_seen(node, function, {"None", "goes", "tick"})
    event = next(event for name, _, event in tries if name == "None")
    assert event == {"version": "0", "id": event["id"], "detail-type": "Scheduled Event", "source": "aws.scheduler",
                     "account": once.tenant, "time": when, "region": once.arn.split(":")[3],
                     "resources": [once.arn], "detail": "{}"}
    assert event["id"] == next(request_id for name, request_id, _ in tries if name == "None")
    assert next(event for name, _, event in tries if name == "goes")["time"] == when
    assert sorted(name for name, _, _ in tries) == ["None", "goes", "tick"]
    e2e.wait_until(lambda: metric(node, "mayfly_schedules_fired_total") == 3, 30, "three that fired")
    assert metric(node, "mayfly_schedules") == 3  # one is gone
    for name in ("failed", "missed"):
        assert metric(node, f"mayfly_schedules_{name}_total") == 0
    refused = node.refusal(node.schedules.GetSchedule, s.GetScheduleRequest(name="goes"))
    assert (refused.status, refused.message) == (grpc.StatusCode.NOT_FOUND, "Schedule goes does not exist.")
    got = node.schedules.GetSchedule(s.GetScheduleRequest(name="once"), timeout=30)
    assert got.next_occurrence_us == 0 and got.last_fired_us > 0

    # Refused in EventBridge Scheduler's words.
    refused = node.refusal(create, node, "once", function, "rate(1 day)")
    assert (refused.status, refused.message) == (grpc.StatusCode.ABORTED, "Schedule once already exists.")
    refused = node.refusal(create, node, "x", function, "cron(0 0 * * * *)")
    assert refused.status == grpc.StatusCode.INVALID_ARGUMENT and refused.field == "schedule_expression"
    assert refused.message.startswith("Invalid Schedule Expression cron(0 0 * * * *). ")
    refused = node.refusal(create, node, "x", "nobody", "rate(1 day)")
    assert (refused.status, refused.field) == (grpc.StatusCode.NOT_FOUND, "target.arn")

    # What the command line changes and lists.
    changed = json.loads(mayfly("update", "tick", "--state", "DISABLED", "--description", "now and then",
                                "--output", "json"))
    assert changed["State"] == "DISABLED" and changed["Target"]["Input"] == named("tick")
    listed = json.loads(mayfly("list", "--state", "DISABLED", "--output", "json"))["Schedules"]
    assert [entry["Name"] for entry in listed] == ["never", "tick"] and "Input" not in listed[0]["Target"]
    pages = [node.schedules.ListSchedules(s.ListSchedulesRequest(max_results=2, next_token=token), timeout=30)
             for token in ("", "once")]
    assert [[entry.name for entry in page.schedules] for page in pages] == [["never", "once"], ["tick"]]
    assert "now and then" in mayfly("get", "tick") and "tick" in mayfly("list")
    mayfly("delete", "tick")
    check_tenants(node, function)


def check_tenants(node, function):
    """Another tenant sees nothing of it, and does not go before its schedules."""
    s, t = node.protocol.schedule, node.protocol.tenant
    tenants = node.protocol.tenant_grpc.TenantServiceStub(node.channel)
    tenants.Create(t.CreateTenantRequest(tenant=OTHER, name="other"), timeout=30)
    refused = node.refusal(node.schedules.GetSchedule, s.GetScheduleRequest(tenant=OTHER, name="once"))
    assert refused.message == "Schedule once does not exist."
    assert len(node.schedules.ListSchedules(s.ListSchedulesRequest(tenant=OTHER), timeout=30).schedules) == 0
    refused = node.refusal(node.schedules.DeleteSchedule, s.DeleteScheduleRequest(tenant=OTHER, name="once"))
    assert refused.status == grpc.StatusCode.NOT_FOUND
    own = node.get(function).function_arn
    assert node.refusal(create, node, "x", own, "rate(1 day)", tenant=OTHER).status == \
        grpc.StatusCode.PERMISSION_DENIED
    assert node.refusal(create, node, "x", function, "rate(1 day)", tenant=OTHER).status == grpc.StatusCode.NOT_FOUND
    node.functions.Create(node.create_request("theirs", e2e.PYTHON, CODE, tenant=OTHER), timeout=60)
    create(node, "once", "theirs", "rate(1 day)", tenant=OTHER, state=s.SCHEDULE_STATE_DISABLED)
    node.functions.Delete(node.protocol.function.DeleteFunctionRequest(tenant=OTHER, function_name="theirs"),
                          timeout=60)
    refused = node.refusal(tenants.Delete, t.DeleteTenantRequest(tenant=OTHER))
    assert refused.message == f"Tenant {OTHER} has 1 schedule, which must be deleted before it."
    node.schedules.DeleteSchedule(s.DeleteScheduleRequest(tenant=OTHER, name="once"), timeout=30)
    tenants.Delete(t.DeleteTenantRequest(tenant=OTHER), timeout=30)


def test_once_whatever_happens(private_node):
    """Stopped and killed before and while they fire: each occurrence is one event."""
    node = private_node(CONFIG)
    function = node.create(e2e.PYTHON, CODE)
    expression, _ = at(1)
    create(node, "down", function, expression, input=named("down"))
    node.restart()  # it may pass meanwhile
    names = [f"s{i}" for i in range(20)]
    expression, when = at(3)
    for name in names:
        create(node, name, function, expression, input=named(name))
    due = datetime.datetime.strptime(when, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
    e2e.wait_until(lambda: time.time() >= due, 30, "the time", 0.001)
    node.restart(kill=True)
    tries = wait_seen(node, function, {"down", *names})
    e2e.wait_until(lambda: node.gauges().events_waiting + node.gauges().events_running == 0, 60, "the end of all")
    node.restart(kill=True)
    e2e.wait_until(lambda: node.gauges().events_waiting + node.gauges().events_running == 0, 60, "the end of all")
    tries = seen(node, function)
    # A try that was killed comes again, with the id that it had: no occurrence has two.
    assert {name: len({t[1] for t in tries if t[0] == name}) for name in {"down", *names}} == \
        {name: 1 for name in {"down", *names}}
    assert all(event["time"] == when for name, _, event in tries if name != "down")
    listed = node.schedules.ListSchedules(node.protocol.schedule.ListSchedulesRequest(), timeout=30).schedules
    assert len(listed) == 21 and all(entry.last_fired_us > 0 for entry in listed)
