# SPDX-License-Identifier: Apache-2.0
"""Logs: what a function writes comes out whole, in order, by page, by time and live."""

import json
import re
import threading
import time

import pytest

import node as e2e

WRITER = {"index.py": """
import os, sys
def handler(event, context):
    for i in range(event.get("from", 0), event.get("to", 0)):
        print(f"line {i:05d}")
    if "raw" in event:
        os.write(event.get("fd", 1), event["raw"].encode("latin-1"))
"""}


@pytest.fixture(scope="module")
def writer(node):
    name = node.create(e2e.PYTHON, WRITER, name=e2e.unique("writer"), timeout_seconds=30)
    yield name
    node.delete(name)


def numbered(events):
    return [int(e.message[5:]) for e in events if e.message.startswith("line ")]


def test_every_line_in_order_over_many_pages(node, deploy):
    name = deploy(e2e.PYTHON, WRITER, timeout_seconds=30)
    node.invoke(name, {"to": 3000})
    whole = node.log_events(name)
    assert numbered(whole) == list(range(3000))
    paged = node.log_events(name, limit=97)
    assert [e.message for e in paged] == [e.message for e in whole]
    times = [e.timestamp_us for e in whole]
    assert times == sorted(times)
    assert abs(times[-1] / 1e6 - time.time()) < 60


def test_log_result_is_the_last_4096_bytes(node, writer):
    result = node.invoke(writer, {"to": 1000})
    raw = result.response.log_result
    assert 3000 < len(raw) <= 4096
    assert raw.endswith(b"\n")
    assert "line 00999\nEND RequestId: " in result.log
    assert node.invoke(writer, {}, log=False).log == ""


def test_time_range(node, deploy):
    name = deploy(e2e.PYTHON, WRITER)
    node.invoke(name, {"to": 1})
    middle = node.log_events(name)[-1].timestamp_us + 1
    e2e.wait_until(lambda: time.time() * 1e6 > middle + 2000, 10, "the clock")
    node.invoke(name, {"from": 1, "to": 2})
    assert numbered(node.log_events(name, start_time_us=middle)) == [1]
    assert numbered(node.log_events(name, end_time_us=middle)) == [0]
    assert numbered(node.log_events(name, start_time_us=middle, end_time_us=middle)) == []


def test_by_group_and_by_stream(node, deploy):
    name = deploy(e2e.PYTHON, WRITER)
    node.invoke(name, {"to": 1})
    node.end_idle(name)
    node.invoke(name, {"from": 1, "to": 2})
    events = node.log_events(log_group_name=f"/aws/lambda/{name}")
    streams = sorted({e.log_stream_name for e in events})
    assert len(streams) == 2, "a stream per sandbox"
    found = [numbered(node.log_events(name, log_stream_name=stream)) for stream in streams]
    assert sorted(found) == [[0], [1]]
    assert node.log_events(name, log_stream_name="2020/01/01/[$LATEST]" + "0" * 32) == []


def test_tail_hears_what_comes(node, writer):
    heard, ready = [], threading.Event()
    call = node.logs.Tail(node.protocol.log.TailLogsRequest(function_name=writer,
                                                            start_time_us=int(time.time() * 1e6)), timeout=60)

    def listen():
        ready.set()
        try:
            for event in call:
                heard.append(event)
        except e2e.grpc.RpcError:
            pass

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    ready.wait(10)
    results = [node.invoke(writer, {"from": i, "to": i + 1}) for i in (7, 8)]
    e2e.wait_until(lambda: sum(e.message.startswith("REPORT") for e in heard) >= 2, 30, "both REPORT lines heard")
    call.cancel()
    thread.join(10)
    text = "".join(e.message + "\n" for e in heard)
    assert text.endswith("".join(r.log for r in results)), text
    assert numbered(heard) == [7, 8], "each event once"


def test_tail_from_the_past_has_no_gap_and_no_double(node, writer):
    """Events of before and of while it starts: each exactly once."""
    begin = int(time.time() * 1e6)
    node.invoke(writer, {"from": 100, "to": 200})
    heard = []
    call = node.logs.Tail(node.protocol.log.TailLogsRequest(function_name=writer, start_time_us=begin), timeout=60)

    def listen():
        try:
            for event in call:
                heard.append(event)
        except e2e.grpc.RpcError:
            pass

    threading.Thread(target=listen, daemon=True).start()
    node.invoke(writer, {"from": 200, "to": 300})
    e2e.wait_until(lambda: len(numbered(heard)) >= 200, 30, "all lines")
    node.invoke(writer, {"from": 300, "to": 301})
    e2e.wait_until(lambda: 300 in numbered(heard), 30, "the last line")
    call.cancel()
    assert numbered(heard) == list(range(100, 301))


def test_unusual_bytes(node, writer):
    result = node.invoke(writer, {"raw": "tab\there\n\nempty above\r\nno newline at the end"})
    for line in ("tab\there", "empty above", "no newline at the end"):
        assert line in result.log
    bad = node.invoke(writer, {"raw": "bytes \xff\xfe end\n", "fd": 2})
    assert "bytes " in bad.log and " end\n" in bad.log
    long = node.invoke(writer, {"raw": "y" * 300000 + "\n"})
    assert long.error == ""
    assert any(len(e.message) >= 200000 for e in node.log_events(writer))


def test_stderr_and_native_output(node, python_probe):
    result = python_probe.result("""
print("to stderr", file=sys.stderr)
subprocess.run(["/bin/sh", "-c", "echo from a child"])
logging.getLogger().warning("warned")
logging.getLogger().info("not shown by default")
""")
    assert "to stderr\n" in result.log
    assert "from a child\n" in result.log
    assert re.search(rf"\[WARNING\]\t\S+Z\t{result.request_id}\twarned\n", result.log)
    assert "not shown" not in result.log


def test_multi_line_log_entry_is_one_event(node, python_probe):
    python_probe.run("logging.getLogger().warning('first\\nsecond')")
    messages = [e.message for e in node.log_events(python_probe.name)]
    assert any(m.startswith("[WARNING]") and m.endswith("first\nsecond") for m in messages), messages[-10:]


def test_json_format(node, deploy):
    f = node.protocol.function
    name = deploy(e2e.PYTHON, {"index.py": """
import logging
logger = logging.getLogger()
def handler(event, context):
    logger.info("an application record", extra={"k": "v"})
    logger.debug("below the level")
    print("plain")
    if event.get("fail"):
        raise ValueError("broken")
"""}, logging_config=f.LoggingConfig(log_format=f.LOG_FORMAT_JSON))
    function = node.get(name)
    assert function.logging_config.application_log_level == "INFO"
    assert function.logging_config.system_log_level == "INFO"
    good, bad = node.invoke(name), node.invoke(name, {"fail": True})
    assert bad.error == "Unhandled"
    messages = [e.message for e in node.log_events(name)]
    records = [json.loads(m) for m in messages if m.startswith("{")]
    own = next(r for r in records if r.get("message") == "an application record")
    assert (own["level"], own["requestId"], own["k"], own["logger"]) == ("INFO", good.request_id, "v", "root")
    assert not any("below the level" in m for m in messages)
    assert any("plain" in m for m in messages)
    kinds = [r["type"] for r in records if r.get("type", "").startswith("platform.")]
    assert kinds.count("platform.start") == 2 and kinds.count("platform.report") == 2
    report = next(r for r in records if r.get("type") == "platform.report")
    assert report["record"]["requestId"] == good.request_id
    metrics = report["record"]["metrics"]
    assert metrics["memorySizeMB"] == 128 and metrics["billedDurationMs"] >= 1 and metrics["initDurationMs"] > 0
    error = next(r for r in records if r.get("errorType") == "ValueError")
    assert error["errorMessage"] == "broken"


def test_group_of_the_users_choice(node, deploy):
    f = node.protocol.function
    group = "/my/" + e2e.unique("group")
    name = deploy(e2e.PYTHON, WRITER, logging_config=f.LoggingConfig(log_group=group))
    node.invoke(name, {"to": 1})
    events = node.log_events(log_group_name=group)
    assert numbered(events) == [0]
    assert re.fullmatch(rf"\d{{4}}/\d\d/\d\d/{name}\[\$LATEST\]\[[0-9a-f]{{32}}\]", events[0].log_stream_name)
    assert numbered(node.log_events(name)) == [0]


def test_logs_survive_a_restart(private_node):
    node = private_node()
    name = node.create(e2e.PYTHON, WRITER)
    node.invoke(name, {"to": 50})
    node.restart()
    assert numbered(node.log_events(name)) == list(range(50))
