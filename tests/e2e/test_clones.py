# SPDX-License-Identifier: Apache-2.0
"""Clones of one base template never share a random number, an identity or a stale clock."""

import time

import pytest

import node as e2e

PYTHON_CODE = """
import os, random, ssl, secrets, tempfile, time, uuid
def handler(event, context):
    time.sleep(event.get("sleep", 0))
    return dict(urandom=os.urandom(16).hex(), random=random.random(), uuid=str(uuid.uuid4()),
                secret=secrets.token_hex(16), ssl=ssl.RAND_bytes(16).hex(), kernel=open("/proc/sys/kernel/random/uuid").read(),
                temporary=tempfile.mktemp(), stream=context.log_stream_name, now=time.time(), hash=hash("text") % 97)
"""

NODEJS_CODE = """
const crypto = require('crypto');
exports.handler = async (event, context) => {
  await new Promise((done) => setTimeout(done, (event.sleep || 0) * 1000));
  return { math: Math.random(), bytes: crypto.randomBytes(16).toString('hex'), uuid: crypto.randomUUID(),
    web: Buffer.from(globalThis.crypto.getRandomValues(new Uint8Array(16))).toString('hex'),
    stream: context.logStreamName, now: Date.now() / 1000 };
};
"""

LANGUAGES = {"python": (e2e.PYTHON, {"index.py": PYTHON_CODE}), "nodejs": (e2e.NODEJS, {"index.js": NODEJS_CODE})}


@pytest.fixture(scope="module", params=sorted(LANGUAGES))
def function(request, node):
    runtime, files = LANGUAGES[request.param]
    name = node.create(runtime, files, name=e2e.unique("clone"), timeout_seconds=60)
    yield name
    node.delete(name)


def assert_all_differ(results):
    seen = [r.json for r in results]
    for key in seen[0]:
        if key not in ("now", "hash"):
            values = [s[key] for s in seen]
            assert len(set(values)) == len(values), f"clones share {key}: {values}"
    assert len({r.sandbox for r in results}) == len(results)


def test_clones_at_once_differ(node, function):
    asked = time.time()
    results = e2e.in_parallel([lambda: node.invoke(function, {"sleep": 3}) for _ in range(5)])
    clones = list({r.sandbox: r for r in results}.values())
    assert len(clones) >= 4, "too few clones to compare"
    assert_all_differ(clones)
    for result in results:
        assert asked - 1 < result.json["now"] < time.time() + 1


def test_clones_one_after_the_other_differ(node, function):
    results = []
    for _ in range(2):
        node.end_idle(function)
        results.append(node.invoke(function))
        assert results[-1].start == "RESTORE"
    assert_all_differ(results)


def test_spares_differ(node, function):
    node.end_idle(function, "SPARE", 2)
    results = e2e.in_parallel([lambda: node.invoke(function, {"sleep": 1}) for _ in range(2)])
    spares = [r for r in results if r.start == "SPARE"]
    assert len(spares) == 2, results
    assert_all_differ(spares)
    node.end_idle(function)


def test_clock_after_a_freeze(node, function):
    node.invoke(function)
    e2e.wait_until(lambda: any(node.sandbox_state(s) == "FROZEN" for s in node.sandboxes(function)), 30, "frozen")
    begun = time.time()
    e2e.wait_until(lambda: time.time() - begun > 3, 10, "three seconds")
    before = time.time()
    result = node.invoke(function)
    assert result.start == "WARM"
    assert before - 1 < result.json["now"] < time.time() + 1


def test_clones_cannot_see_each_other(node, python_probe):
    """Nothing that one wrote is there in another."""
    python_probe.run("open('/tmp/mark', 'w').write('mine')")
    results = e2e.in_parallel([
        lambda: python_probe.result("time.sleep(2); result = os.path.exists('/tmp/mark'), os.getpid()")
        for _ in range(2)])
    by_sandbox = {r.sandbox: r.json[0] for r in results}
    assert len(by_sandbox) == 2
    assert sorted(by_sandbox.values()) == [False, True]
