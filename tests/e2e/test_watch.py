# SPDX-License-Identifier: Apache-2.0
"""NodeService: what the node says of itself, and the stream of what changes."""

import threading

import pytest

import node as e2e

CODE = {"index.py": "def handler(event, context):\n    return 1\n"}


class Watcher:
    def __init__(self, node, period=200):
        self.events = []
        self.call = node.node.Watch(node.protocol.node.WatchRequest(gauge_period_ms=period), timeout=300)
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        try:
            for event in self.call:
                self.events.append(event)
        except e2e.grpc.RpcError:
            pass

    def of(self, kind):
        return [getattr(e, kind) for e in list(self.events) if e.WhichOneof("event") == kind]

    def close(self):
        self.call.cancel()
        self.thread.join(10)


@pytest.fixture
def watcher(node):
    watcher = Watcher(node)
    yield watcher
    watcher.close()


def test_life_of_a_function_is_seen(node, watcher):
    n = node.protocol.node
    e2e.wait_until(lambda: watcher.of("gauges"), 30, "gauges")
    name = node.create(e2e.PYTHON, CODE)
    # Its package may have been compiled in a sandbox that served nobody.
    served = node.invoke(name).sandbox

    def states():
        return [n.SandboxState.Name(s.state)[14:] for s in watcher.of("sandbox") if s.sandbox_id == served]

    e2e.wait_until(lambda: "FROZEN" in states(), 30, "the sandbox frozen")
    node.delete(name)
    e2e.wait_until(lambda: "GONE" in states(), 30, "the sandbox gone")

    def changes():
        return [c.state for c in watcher.of("function") if c.function_name == name]

    e2e.wait_until(lambda: "Deleted" in changes(), 30, "the end of the function")
    assert changes()[0] == "Pending" and "Active" in changes() and changes()[-1] == "Deleted", changes()
    seen = states()
    order = ["RESTORING", "INITIALIZING", "BUSY", "FROZEN", "GONE"]
    positions = [seen.index(state) for state in order]
    assert positions == sorted(positions), seen


def test_state_of_everything_comes_first(node, python_probe):
    python_probe.run("result = 1")
    watcher = Watcher(node, 60000)
    try:
        e2e.wait_until(lambda: watcher.of("gauges"), 30, "the first gauges")
        e2e.wait_until(lambda: python_probe.name in [c.function_name for c in watcher.of("function")], 30, "functions")
        e2e.wait_until(lambda: python_probe.name in [s.function_name for s in watcher.of("sandbox")], 30, "sandboxes")
        e2e.wait_until(lambda: e2e.PYTHON in [t.runtime for t in watcher.of("template")], 30, "templates")
    finally:
        watcher.close()


def test_gauges_go_on_by_themselves(node, watcher):
    e2e.wait_until(lambda: len(watcher.of("gauges")) >= 4, 30, "four gauges")
    times = [g.time_us for g in watcher.of("gauges")]
    assert times == sorted(times) and len(set(times)) == len(times)


def test_gauges_count(node, deploy):
    before = node.gauges()
    name = deploy(e2e.PYTHON, {"index.py": "def handler(e, c):\n    raise ValueError('x')\n"})
    for _ in range(3):
        node.invoke(name)
    after = node.gauges()
    assert after.invocations_total - before.invocations_total == 3
    assert after.function_errors_total - before.function_errors_total == 3
    assert after.cold_starts_total - before.cold_starts_total == 1
    assert after.restores_total > before.restores_total
    assert after.functions_total == before.functions_total + 1
    assert after.agent_resident_bytes > 1 << 20


def test_what_the_node_says_of_itself(node, python_probe):
    python_probe.run("result = 1")
    facts = node.node.GetNode(node.protocol.node.GetNodeRequest(), timeout=30)
    assert facts.accelerator in (node.protocol.node.ACCELERATOR_TCG, node.protocol.node.ACCELERATOR_KVM)
    for field in ("version", "node_id", "accelerator_reason", "cpu_model", "kernel_release", "qemu_version",
                  "libvirt_version", "libvirt_uri", "guest_kernel"):
        assert getattr(facts, field), field
    assert facts.cgroup_mode in ("v1", "v2", "none")
    assert (facts.account_id, facts.region) == ("123456789012", "us-east-1")
    assert facts.cpu_count == e2e.os.cpu_count()
    assert 0 < facts.initramfs_bytes < 16 << 20
    assert 0 < facts.init_resident_bytes < 16 << 20
    assert {r.runtime for r in facts.runtimes} == {e2e.PYTHON, e2e.NODEJS, e2e.PROVIDED}
    assert all(len(r.digest) == 64 and r.size_bytes for r in facts.runtimes)


def test_anonymous_memory_of_a_sandbox(node, deploy):
    name = deploy(e2e.PYTHON, CODE)
    node.invoke(name)
    sandboxes = node.sandboxes(name)
    assert sandboxes
    assert all(0 < s.anonymous_bytes < 64 << 20 for s in sandboxes), sandboxes


def test_template_build_tells_its_steps(private_node):
    node = private_node(templates=False)
    watcher = Watcher(node)
    request = node.protocol.node.BuildTemplateRequest(runtime=e2e.PROVIDED, memory_size_mb=128)
    builds = e2e.in_parallel([lambda: list(node.templates.Build(request, timeout=240)) for _ in range(2)])
    for steps in builds:
        assert len(steps) >= 2 and all(s.step for s in steps[:-1])
        assert steps[-1].template.state == node.protocol.node.TEMPLATE_STATE_READY
    assert builds[0][-1].template.template_id == builds[1][-1].template.template_id
    assert len(node.template_list()) == 1, "two builds for one wish"
    names = [node.protocol.node.TemplateState.Name(t.state)[15:] for t in watcher.of("template")]
    watcher.close()
    assert "BUILDING" in names and names[-1] == "READY"
    again = list(node.templates.Build(request, timeout=60))
    assert again[-1].template.build_us == builds[0][-1].template.build_us, "built again though it was there"


def test_slow_watcher_is_told_what_it_missed_or_gets_all(node, deploy):
    """A watcher that does not read must not hold up the node."""
    call = node.node.Watch(node.protocol.node.WatchRequest(gauge_period_ms=100), timeout=120)
    name = deploy(e2e.PYTHON, CODE)
    for _ in range(100):
        assert node.invoke(name, log=False).error == ""
    seen = 0
    for event in call:
        seen += 1
        if event.WhichOneof("event") == "gauges" and seen > 5:
            break
    call.cancel()
