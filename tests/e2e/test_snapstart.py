# SPDX-License-Identifier: Apache-2.0
"""SnapStart of the latest version: INIT is done once, clones go on from there, but never with each
other's random numbers, time or identity."""

import re
import time

import pytest

import node as e2e

PYTHON_CODE = """
import os, random, time, uuid
born, drawn, calls = time.time(), random.random(), 0
print("initialised", flush=True)
def handler(event, context):
    global calls
    calls += 1
    if "sleep" in event:
        time.sleep(event["sleep"])
    return dict(born=born, drawn=drawn, calls=calls, now=time.time(), random=random.random(),
                urandom=os.urandom(16).hex(), uuid=str(uuid.uuid4()), stream=context.log_stream_name,
                kind=os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
                streams=os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME"))
"""

NODEJS_CODE = """
const crypto = require('crypto');
const born = Date.now(), drawn = Math.random();
let calls = 0;
exports.handler = async (event, context) => {
  calls += 1;
  if (event.sleep) await new Promise((done) => setTimeout(done, event.sleep * 1000));
  return { born: born / 1000, drawn, calls, now: Date.now() / 1000, random: Math.random(),
    urandom: crypto.randomBytes(16).toString('hex'), uuid: crypto.randomUUID(), stream: context.logStreamName,
    kind: process.env.AWS_LAMBDA_INITIALIZATION_TYPE, streams: process.env.AWS_LAMBDA_LOG_STREAM_NAME ?? null };
};
"""

LANGUAGES = {"python": (e2e.PYTHON, {"index.py": PYTHON_CODE}), "nodejs": (e2e.NODEJS, {"index.js": NODEJS_CODE})}


def snap_start(node, apply_on="LATEST"):
    f = node.protocol.function
    return f.SnapStart(apply_on=f.SnapStartApplyOn.Value("SNAP_START_APPLY_ON_" + apply_on))


@pytest.fixture(scope="module", params=sorted(LANGUAGES))
def snapped(request, node):
    runtime, files = LANGUAGES[request.param]
    name = node.create(runtime, files, name=e2e.unique("snap"), snap_start=snap_start(node), timeout_seconds=30)
    yield name
    node.delete(name)


def test_clones_share_init_and_nothing_else(node, snapped):
    assert node.get(snapped).snap_start.optimized
    asked = time.time()
    results = e2e.in_parallel([lambda: node.invoke(snapped, {"sleep": 1}) for _ in range(3)])
    fresh = [r for r in results if r.start == "SNAP_START"]
    assert len(fresh) >= 2, results
    seen = [r.json for r in fresh]
    assert len({s["born"] for s in seen}) == 1 and len({s["drawn"] for s in seen}) == 1, "INIT ran more than once"
    assert seen[0]["born"] < asked
    assert [s["calls"] for s in seen] == [1] * len(seen)
    for key in ("random", "urandom", "uuid"):
        assert len({s[key] for s in seen}) == len(seen), f"clones share {key}"
    streams = {e.log_stream_name for e in node.log_events(snapped)}
    for result in results:
        assert any(result.sandbox in stream for stream in streams), "a clone has no log stream of its own"
        assert asked - 1 < result.json["now"] < time.time() + 1, "the clock was not set"
        assert result.json["kind"] == "snap-start"
        assert result.json["streams"] is None


def test_lines_of_the_log(node, snapped):
    node.end_idle(snapped)
    cold, warm = node.invoke(snapped), node.invoke(snapped)
    assert (cold.start, warm.start) == ("SNAP_START", "WARM")
    stream = next(e.log_stream_name for e in node.log_events(snapped) if cold.sandbox in e.log_stream_name)
    text = node.log_text(snapped, log_stream_name=stream)
    lines = text.split("\n")
    assert re.fullmatch(r"RESTORE_START Runtime Version: \S+\tRuntime Version ARN: \S+", lines[0]), text
    assert "INIT_START" not in text and text.count("RESTORE_START") == 1
    report = next(line for line in lines if line.startswith("REPORT"))
    assert re.search(r"\tRestore Duration: \d+\.\d\d ms\tBilled Restore Duration: \d+ ms\t$", report), report
    assert "Init Duration" not in report
    assert "Restore Duration" not in warm.log


def init_logs(node, name):
    """The lines of each stream that begins with INIT_START, by stream."""
    streams = {}
    for event in node.log_events(name):
        streams.setdefault(event.log_stream_name, []).append(event.message)
    return {stream: lines for stream, lines in streams.items() if lines[0].startswith("INIT_START")}


def test_init_is_logged_in_a_stream_of_its_own(node, deploy):
    name = deploy(e2e.PYTHON, {"index.py": """
from snapshot_restore_py import register_before_snapshot
print("in init", flush=True)
register_before_snapshot(lambda: print("in the hook", flush=True))
def handler(event, context):
    print("in the handler", flush=True)
"""}, snap_start=snap_start(node))
    # It is there before anybody invokes: deploying is what ran INIT.
    (stream, lines), = init_logs(node, name).items()
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)
    assert re.fullmatch(r"INIT_START Runtime Version: \S+\tRuntime Version ARN: \S+", lines[0]), lines
    assert lines[1:-1] == ["in init", "in the hook"]
    assert re.fullmatch(r"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: init\t", lines[-1]), lines
    result = node.invoke(name)
    assert result.start == "SNAP_START" and result.sandbox not in stream
    assert init_logs(node, name) == {stream: lines}
    assert node.log_text(name).count("in init") == 1, "INIT was logged more than once"


def test_failing_init_is_logged(node, deploy):
    f = node.protocol.function
    name = deploy(e2e.PYTHON, {"index.py": "print('before', flush=True)\nraise ValueError('at init')\n"},
                  snap_start=snap_start(node), wait=False)
    e2e.wait_until(lambda: node.get(name).state == f.FUNCTION_STATE_FAILED, 120, "Failed")
    (_, lines), = init_logs(node, name).items()
    assert lines[1] == "before"
    assert any("ValueError: at init" in line for line in lines[2:-1]), lines
    assert re.fullmatch(r"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: init\tStatus: error\tError Type: \S+",
                        lines[-1]), lines


def test_update_makes_a_new_snapshot(node, deploy):
    f = node.protocol.function
    code = "value = '@'\ndef handler(event, context):\n    return value\n"
    name = deploy(e2e.PYTHON, {"index.py": code.replace("@", "one")}, snap_start=snap_start(node))
    assert node.invoke(name).json == "one"
    node.functions.UpdateCode(f.UpdateFunctionCodeRequest(
        function_name=name, zip_file=e2e.make_zip({"index.py": code.replace("@", "two")})), timeout=60)
    node.wait_active(name)
    result = node.invoke(name)
    assert (result.json, result.start) == ("two", "SNAP_START")


def test_hooks(node, deploy):
    name = deploy(e2e.PYTHON, {"index.py": """
from snapshot_restore_py import register_before_snapshot, register_after_restore
order = []
register_before_snapshot(lambda: order.append("before 1"))
register_before_snapshot(lambda: order.append("before 2"))
register_after_restore(lambda: order.append("after 1"))
register_after_restore(lambda: order.append("after 2"))
def handler(event, context):
    return order
"""}, snap_start=snap_start(node))
    result = node.invoke(name)
    assert result.start == "SNAP_START"
    assert result.json == ["before 2", "before 1", "after 1", "after 2"]


def test_failing_init_fails_the_function(node, deploy):
    f = node.protocol.function
    name = deploy(e2e.PYTHON, {"index.py": "raise ValueError('its own' + ' words')\n"}, snap_start=snap_start(node),
                  wait=False)
    function = e2e.wait_until(lambda: (lambda g: g.state != f.FUNCTION_STATE_PENDING and g)(node.get(name)), 120,
                              "the end of Pending")
    assert function.state == f.FUNCTION_STATE_FAILED
    assert "its own words" in function.state_reason and function.state_reason_code
    said = node.log_path.read_text(errors="replace")
    assert f"creation of {name}:$LATEST failed" in said and "its own words" not in said, "they are for its tenant"
    refusal = node.refusal(node.invocations.Invoke, node.protocol.invoke.InvokeRequest(function_name=name))
    assert refusal.status == e2e.grpc.StatusCode.ABORTED, refusal


def test_published_versions_leave_latest_alone(node, deploy):
    name = deploy(e2e.PYTHON, {"index.py": PYTHON_CODE}, snap_start=snap_start(node, "PUBLISHED_VERSIONS"))
    assert not node.get(name).snap_start.optimized
    result = node.invoke(name)
    assert (result.start, result.json["kind"]) == ("RESTORE", "on-demand")


def test_function_template_goes_with_its_function(node):
    n = node.protocol.node
    name = node.create(e2e.PYTHON, {"index.py": PYTHON_CODE}, name=e2e.unique("snap"), snap_start=snap_start(node))
    template = next(t for t in node.template_list() if t.function_name == name)
    assert template.kind == n.TEMPLATE_KIND_FUNCTION and template.state == n.TEMPLATE_STATE_READY
    # What it takes on disk, without the holes in its memory.
    assert 0 < template.size_bytes < 160 << 20
    node.delete(name)
    e2e.wait_until(lambda: not [t for t in node.template_list() if t.function_name == name], 60, "its template gone")
    e2e.wait_until(lambda: not list((node.state / "templates").glob(f"*{name}*")), 60, "its files gone")


def test_snapshot_survives_a_restart(private_node):
    node = private_node()
    name = node.create(e2e.PYTHON, {"index.py": PYTHON_CODE}, snap_start=snap_start(node))
    before = node.invoke(name).json
    node.restart()
    after = node.invoke(name)
    assert after.start == "SNAP_START"
    assert after.json["born"] == before["born"], "the snapshot was made again though nothing changed"
