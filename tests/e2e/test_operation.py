# SPDX-License-Identifier: Apache-2.0
"""What an operator and a service manager see: self-test, notifications, hosts without cgroups,
the benchmark's shape."""

import json
import re
import socket
import subprocess

import pytest

import node as e2e

CODE = {"index.py": "def handler(event, context):\n    return 1\n"}


def test_self_test_proves_the_host(build, private_node):
    node = private_node(start=False)
    done = subprocess.run([build / "agent/mayflyd", "--config", node.write_config(), "--self-test"],
                          capture_output=True, timeout=300)
    text = done.stdout.decode()
    assert done.returncode == 0, (text, done.stderr.decode()[-3000:])
    for word in ("accelerator", "template", "restore", "random", "clock", "identity", "reply"):
        assert re.search(rf"(?m)^.*\b{word}.*$", text), (word, text)
    node.assert_nothing_left()


def test_self_test_fails_without_an_emulator(build, private_node, tmp_path):
    broken = tmp_path / "qemu"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    node = private_node({"vm.emulator": broken}, templates=False, start=False)
    done = subprocess.run([build / "agent/mayflyd", "--config", node.write_config(), "--self-test"],
                          capture_output=True, timeout=300)
    assert done.returncode != 0
    assert str(broken) in (done.stdout + done.stderr).decode()


def test_notifies_its_service_manager(private_node, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(60)
        node = private_node(templates=False, environment={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "2000000"})
        heard = []

        def hear(text):
            while not any(text in message for message in heard):
                heard.append(manager.recv(4096).decode())

        hear("READY=1")
        hear("STATUS=")
        heard.clear()
        hear("WATCHDOG=1")
        node.stop()
        hear("STOPPING=1")


# In a chroot / is no mount, which unshare would make private: /sys is one everywhere.
HIDE_CGROUPS = 'mount --make-rprivate /sys && mount -t tmpfs none /sys/fs/cgroup && exec "$@"'


def test_host_without_cgroups(private_node):
    node = private_node(wrapper=["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", HIDE_CGROUPS, "sh"])
    facts = node.node.GetNode(node.protocol.node.GetNodeRequest(), timeout=30)
    assert facts.cgroup_mode == "none"
    assert any("cgroup" in warning for warning in facts.warnings), facts.warnings
    assert node.invoke(node.create(e2e.PYTHON, CODE)).json == 1


def test_agents_own_user_for_vms_is_warned_of(private_node):
    node = private_node({"vm.user": ""})
    facts = node.node.GetNode(node.protocol.node.GetNodeRequest(), timeout=30)
    assert any("user" in warning for warning in facts.warnings), facts.warnings
    said = node.log_path.read_text(errors="replace")
    assert [said.count(warning) for warning in facts.warnings] == [1] * len(facts.warnings), said
    assert node.invoke(node.create(e2e.PYTHON, CODE)).json == 1


def test_emulation_is_said_loudly(node):
    facts = node.node.GetNode(node.protocol.node.GetNodeRequest(), timeout=30)
    if facts.accelerator == node.protocol.node.ACCELERATOR_KVM:
        pytest.skip("this host has KVM")
    assert any("TCG" in warning for warning in facts.warnings), facts.warnings
    assert facts.accelerator_reason in node.log_path.read_text(errors="replace")


@pytest.mark.parametrize("user", ["", "nobody"], ids=["root", "nobody"])
def test_kvm_that_is_wanted_is_there_or_refused(node, private_node, user):
    facts = node.node.GetNode(node.protocol.node.GetNodeRequest(), timeout=30)
    if facts.accelerator == node.protocol.node.ACCELERATOR_KVM:
        pytest.skip("this host has KVM")
    wanting = private_node({"vm.accelerator": "kvm", "vm.user": user}, templates=False, start=False)
    wanting.spawn()
    assert wanting.process.wait(60) != 0, "it fell back to emulation"
    said = wanting.log_path.read_text(errors="replace")
    assert re.search(r"vm\.accelerator is kvm, and KVM cannot be used here \(KVM.+\)", said), said
    assert not wanting.socket.exists()


def test_base_template_that_no_function_needs_is_dropped(private_node):
    node = private_node({"pool.base_template_keep_s": 3}, templates=False)
    name = node.create(e2e.PROVIDED, {"bootstrap": "#!/bin/sh\nexit 0\n"}, memory_size_mb=192)
    for memory_mb in (192, 256):
        request = node.protocol.node.BuildTemplateRequest(runtime=e2e.PROVIDED, memory_size_mb=memory_mb)
        list(node.templates.Build(request, timeout=240))

    def sizes():
        return sorted(t.memory_size_mb for t in node.template_list())

    def folders():
        return sorted(p.name.split(".")[-2].split("-")[-1] for p in (node.state / "templates").glob("base-*"))

    e2e.wait_until(lambda: sizes() == [192], 30, "the one that nobody needs is dropped")
    e2e.wait_until(lambda: folders() == ["192"], 30, "its files are gone")
    node.delete(name)
    e2e.wait_until(lambda: sizes() == [] and folders() == [], 30, "nobody needs the other one either")


def test_state_folder_is_not_for_everyone(node):
    """Environments of functions are in the registry: for the agent alone."""
    found = list(node.state.glob("registry.db*"))
    assert found
    for path in found:
        assert path.stat().st_mode & 0o077 == 0, path


def test_bench_answers_in_its_documented_shape(mayfly):
    done = mayfly("bench", "cold-start", "--mode", "boot,restore,spare,snapstart,warm", "-n", "2",
                  "--output", "json", timeout=400)
    report = json.loads(done.stdout)
    assert {"CpuModel", "KernelRelease", "Accelerator", "QemuVersion", "CgroupMode"} <= set(report["host"])
    assert set(report["modes"]) >= {"boot", "restore", "spare", "snapstart", "warm"}
    for mode, figures in report["modes"].items():
        assert figures["n"] + figures["discarded"] >= 2, (mode, figures)
        assert "p99_ms" not in figures or figures["p99_ms"] is None, "no p99 under 100 samples"
        assert 0 < figures["p50_ms"] <= figures["max_ms"]
        assert figures["phases_ms"]
