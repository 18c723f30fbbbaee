# SPDX-License-Identifier: Apache-2.0
"""The agent may be killed at any moment: what was acknowledged is there after the next start, and
nothing of the former life is left: no process, no scratch file, no half upload."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

import node as e2e

CODE = {"index.py": "import time\ndef handler(event, context):\n    time.sleep(event.get('sleep', 0))\n    return 1\n"}


def assert_clean(node):
    """No QEMU beside those that the node itself lists, and no file of others."""
    def clean():
        known = {s.pid for s in node.sandboxes()} | {0}
        ids = {s.sandbox_id for s in node.sandboxes()}
        strangers = [p for p in node.qemu_processes() if p not in known]
        files = [p for p in node.leftovers() if not any(i in p for i in ids)]
        return not strangers and not files

    e2e.wait_until(clean, 60, lambda: f"clean state: {node.leftovers()} {node.qemu_processes()}")
    assert not list(node.state.glob("uploads/*"))


def test_killed_during_an_invocation(private_node):
    node = private_node()
    name = node.create(e2e.PYTHON, CODE, timeout_seconds=120)
    assert node.invoke(name).json == 1
    future = node.start_invocation(name, {"sleep": 100})
    e2e.wait_until(lambda: any(node.sandbox_state(s) == "BUSY" for s in node.sandboxes(name)), 30, "it runs")
    pids = node.qemu_processes()
    assert pids
    node.kill()
    with pytest.raises((e2e.grpc.RpcError, e2e.grpc.FutureCancelledError)):
        future.result()
    node.start()
    e2e.wait_until(lambda: not any(e2e.is_alive(p) for p in pids), 60, "the former life's processes gone")
    assert_clean(node)
    assert node.get(name).state == node.protocol.function.FUNCTION_STATE_ACTIVE
    assert node.invoke(name).json == 1
    assert node.log_text(name).count("START RequestId: ") >= 1


def test_killed_while_sandboxes_are_frozen(private_node):
    node = private_node({"pool.spares": 1, "pool.spares_on_deploy": "yes"})
    name = node.create(e2e.PYTHON, CODE)
    assert node.invoke(name).json == 1
    node.restart(kill=True)
    assert_clean(node)
    assert node.invoke(name).json == 1


def test_killed_during_create(private_node):
    """Every creation that was acknowledged is there and becomes Active; the others are there
    whole or not at all."""
    node = private_node()
    f = node.protocol.function
    package = {"index.py": CODE["index.py"], "data": os.urandom(4 << 20)}
    requests = [node.create_request(f"function-{i}", e2e.PYTHON, package) for i in range(8)]
    futures = [node.functions.Create.future(request, timeout=60) for request in requests]
    futures[2].result()
    node.process.send_signal(signal.SIGKILL)
    acknowledged = []
    for request, future in zip(requests, futures):
        try:
            future.result()
            acknowledged.append(request.function_name)
        except (e2e.grpc.RpcError, e2e.grpc.FutureCancelledError):
            pass
    node.kill()
    assert "function-2" in acknowledged
    node.start()
    listed = [g.function_name for g in node.functions.List(f.ListFunctionsRequest(), timeout=30).functions]
    assert set(acknowledged) <= set(listed)
    for name in listed:
        node.wait_active(name)
    assert node.invoke("function-2").json == 1
    missing = [r.function_name for r in requests if r.function_name not in listed]
    for name in missing:
        node.create(e2e.PYTHON, CODE, name=name)
    assert_clean(node)


def test_killed_during_an_update(private_node):
    node = private_node()
    f = node.protocol.function
    name = node.create(e2e.PYTHON, {"index.py": "def handler(event, context):\n    return 'old'\n"})
    answer = node.functions.UpdateCode(f.UpdateFunctionCodeRequest(
        function_name=name, zip_file=e2e.make_zip({"index.py": "def handler(event, context):\n    return 'new'\n"})),
        timeout=60)
    node.restart(kill=True)
    assert node.wait_active(name).code_sha256 == answer.code_sha256
    assert node.invoke(name).json == "new"


def test_killed_during_a_snapshot(private_node):
    """A function that is Pending for its snapshot is taken up again."""
    node = private_node()
    f = node.protocol.function
    slow = {"index.py": "import time\ntime.sleep(3)\n" + CODE["index.py"]}
    name = node.create(e2e.PYTHON, slow, wait=False, snap_start=f.SnapStart(apply_on=f.SNAP_START_APPLY_ON_LATEST))
    e2e.wait_until(node.qemu_processes, 60, "a QEMU that makes the snapshot")
    node.restart(kill=True)
    node.wait_active(name)
    assert node.invoke(name).start == "SNAP_START"
    assert_clean(node)


def test_killed_during_a_template_build(private_node):
    node = private_node(templates=False)
    request = node.protocol.node.BuildTemplateRequest(runtime=e2e.PROVIDED, memory_size_mb=128)
    building = node.templates.Build(request, timeout=240)  # kept: a call that nobody holds is cancelled
    pids = e2e.wait_until(node.qemu_processes, 60, "a QEMU that builds")
    node.restart(kill=True)
    building.cancel()
    e2e.wait_until(lambda: not any(e2e.is_alive(p) for p in pids), 60, "the builder's process gone")
    assert_clean(node)
    ready = list(node.templates.Build(request, timeout=240))[-1].template
    assert ready.state == node.protocol.node.TEMPLATE_STATE_READY
    folders = [p for p in (node.state / "templates").iterdir() if p.is_dir()]
    assert len(folders) == 1, folders


def test_killed_again_and_again(private_node):
    node = private_node()
    name = node.create(e2e.PYTHON, CODE)
    for _ in range(3):
        future = node.start_invocation(name)
        e2e.wait_until(lambda: node.sandboxes(name), 30, "a sandbox")
        node.restart(kill=True)
        future.cancel()
    assert node.invoke(name).json == 1
    assert_clean(node)


def test_deleted_stays_deleted(private_node):
    node = private_node()
    name = node.create(e2e.PYTHON, CODE)
    node.delete(name)
    node.restart(kill=True)
    refusal = node.refusal(node.functions.Get, node.protocol.function.GetFunctionRequest(function_name=name))
    assert refusal.status == e2e.grpc.StatusCode.NOT_FOUND
    assert not list(node.state.glob("packages/*.erofs"))


def test_clean_stop_drains(private_node):
    """SIGTERM: what runs may end, what comes is refused."""
    node = private_node()
    name = node.create(e2e.PYTHON, CODE, timeout_seconds=30)
    node.invoke(name)
    future = node.start_invocation(name, {"sleep": 3})
    e2e.wait_until(lambda: any(node.sandbox_state(s) == "BUSY" for s in node.sandboxes(name)), 30, "it runs")
    node.process.send_signal(signal.SIGTERM)
    assert node.result(future).json == 1
    assert node.process.wait(60) == 0, node.log_tail()
    node.assert_nothing_left()
    node.start()
    assert node.invoke(name).json == 1


def test_clean_stop_during_a_template_build(private_node):
    node = private_node(templates=False)
    request = node.protocol.node.BuildTemplateRequest(runtime=e2e.PROVIDED, memory_size_mb=128)
    building = node.templates.Build(request, timeout=240)
    e2e.wait_until(node.qemu_processes, 60, "a QEMU that builds")
    building.cancel()  # nobody waits for it, so the stop does not either
    node.stop()
    assert list((node.state / "templates").glob("*.building")) == []


def test_clean_stop_during_a_snapshot(private_node):
    """As after kill -9: what was acknowledged is taken up again."""
    node = private_node()
    f = node.protocol.function
    slow = {"index.py": "import time\ntime.sleep(3)\n" + CODE["index.py"]}
    name = node.create(e2e.PYTHON, slow, wait=False, snap_start=f.SnapStart(apply_on=f.SNAP_START_APPLY_ON_LATEST))
    e2e.wait_until(node.qemu_processes, 60, "a QEMU that makes the snapshot")
    node.process.send_signal(signal.SIGTERM)
    assert node.process.wait(60) == 0, node.log_tail()
    assert node.qemu_processes() == []
    assert [p for p in node.leftovers() if Path(p).parent.name != "uploads"] == [], "all but its ZIP is gone"
    assert list((node.state / "templates").glob("*.building")) == []
    node.start()
    node.wait_active(name)
    assert node.invoke(name).start == "SNAP_START"
    assert_clean(node)


def test_clean_stop_builds_what_an_invocation_waits_for(private_node):
    node = private_node({"node.drain_s": 240}, templates=False)
    name = node.create(e2e.PYTHON, CODE)
    future = node.start_invocation(name)
    e2e.wait_until(node.qemu_processes, 60, "a QEMU that builds")
    node.process.send_signal(signal.SIGTERM)
    assert node.result(future).json == 1
    assert node.process.wait(60) == 0, node.log_tail()
    node.assert_nothing_left()


def test_second_agent_on_the_same_state_is_refused(private_node):
    node = private_node()
    name = node.create(e2e.PYTHON, CODE)
    other = private_node({"node.state_dir": node.state}, templates=False, start=False)
    other.spawn()
    assert other.process.wait(60) not in (0, None)
    assert other.log_tail().strip(), "it must say why"
    assert node.invoke(name).json == 1


def test_check_config(build, private_node):
    node = private_node(templates=False, start=False)
    path = node.write_config()
    program = build / "agent/mayflyd"
    good = subprocess.run([program, "--config", path, "--check-config"], capture_output=True, timeout=60)
    assert good.returncode == 0, good
    path.write_text("[pool]\nspares = many\nnonsense = 1\n[api]\nlisten_tcp = 0.0.0.0:80\n")
    bad = subprocess.run([program, "--config", path, "--check-config"], capture_output=True, timeout=60)
    assert bad.returncode != 0
    text = (bad.stdout + bad.stderr).decode()
    for part in ("pool.spares", "nonsense", "api.listen_tcp", "loopback"):
        assert part in text, text
    shown = subprocess.run([program, "--help"], capture_output=True, timeout=60)
    assert shown.returncode == 0 and b"--self-test" in shown.stdout
