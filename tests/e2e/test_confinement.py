# SPDX-License-Identifier: Apache-2.0
"""What a QEMU could do that its guest has taken over: tried with its user's rights, on everything
that belongs to another sandbox, and on all that lies below the state folder."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import node as e2e

CODE = {"index.py": "def handler(event, context):\n    return 1\n"}
NOBODY = 65534


def ids_of(pid):
    """uid and gid of a process, which has no others, and no groups beside."""
    lines = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                 if ":\t" in line)
    uids, gids = lines["Uid"].split(), lines["Gid"].split()
    assert len(set(uids)) == 1 and len(set(gids)) == 1, lines
    assert set(lines["Groups"].split()) <= set(gids), lines
    return int(uids[0]), int(gids[0])


def allowed_to(ids, attempts):
    """Those of the attempts that this user is allowed (intruder.py)."""
    done = subprocess.run([sys.executable, Path(__file__).parent / "intruder.py", *map(str, ids)],
                          input=json.dumps(attempts), capture_output=True, text=True, timeout=60, check=True)
    return [attempt for attempt, allowed in zip(attempts, json.loads(done.stdout), strict=True) if allowed]


def all_below(top):
    """(path, mode) of everything but links; what goes meanwhile is left out."""
    paths, found = [str(top)], []
    for folder, folders, files in os.walk(top):
        paths += [os.path.join(folder, name) for name in folders + files]
    for path in paths:
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISLNK(mode):
            found.append((path, mode))
    return found


class Sandbox:
    def __init__(self, node, name):
        listed = node.sandboxes(name)
        assert len(listed) == 1, listed
        self.id, self.pid = listed[0].sandbox_id, listed[0].pid
        self.ids = ids_of(self.pid)
        self.folder = node.state / "run/vm" / self.id
        self.scratch = str(self.folder / "scratch.qcow2")
        self.ram = str(self.folder / "ram")
        command = Path(f"/proc/{self.pid}/cmdline").read_bytes()
        # libvirt's own folder for it, which has its monitor; those of the agent's are gone by now.
        folder = re.search(rb"(domain-[0-9]+-[^/]+)/", command)[1].decode()
        self.sockets = [path for path, mode in all_below(node.state)
                        if (folder in path or self.id in path) and stat.S_ISSOCK(mode)]


@pytest.fixture
def sandboxes(private_node):
    """Of three functions, two of which have templates of their own."""
    node = private_node()
    f = node.protocol.function
    snap = f.SnapStart(apply_on=f.SNAP_START_APPLY_ON_LATEST)
    names = [node.create(e2e.PYTHON, CODE), node.create(e2e.PYTHON, CODE, snap_start=snap),
             node.create(e2e.PYTHON, CODE, snap_start=snap)]
    for name in names:
        assert node.invoke(name).json == 1
    return node, [Sandbox(node, name) for name in names]


def test_each_sandbox_has_a_user_of_its_own(sandboxes):
    _, found = sandboxes
    users = [s.ids for s in found]
    assert len(set(users)) == 3 and len({uid for uid, _ in users}) == 3, users
    assert all(uid not in (0, NOBODY, os.geteuid()) for uid, _ in users)


def test_another_sandbox_is_out_of_reach(sandboxes):
    node, found = sandboxes
    templates = [str(p) for p in node.state.glob("templates/*/*")]
    assert len([p for p in templates if p.endswith("/ram")]) >= 3, templates
    for me in found:
        for other in (s for s in found if s is not me):
            assert os.path.exists(other.scratch) and os.path.exists(other.ram) and other.sockets
            attempts = [["read", other.scratch], ["write", other.scratch], ["read", other.ram],
                        ["list", str(other.folder)], ["list", f"/proc/{other.pid}/fd"],
                        *[["read", f"/proc/{other.pid}/{name}"] for name in ("mem", "maps", "environ")],
                        *[["connect", path] for path in other.sockets],
                        ["signal", other.pid], ["trace", other.pid], *[["read", path] for path in templates]]
            assert allowed_to(me.ids, attempts) == []
        own = [["read", me.scratch], ["write", me.scratch], ["read", me.ram]]
        closed = [["write", me.ram], ["list", str(me.folder)], ["make", str(me.folder)]]
        # Shows that refusals above are no accident.
        assert allowed_to(me.ids, own + closed) == own


def test_nothing_of_the_state_can_be_written_but_its_own_scratch(sandboxes):
    node, found = sandboxes
    attempts = [["make" if stat.S_ISDIR(mode) else "connect" if stat.S_ISSOCK(mode) else "write", path]
                for path, mode in all_below(node.state)]
    assert len(attempts) > 50, attempts
    for me in found:
        # A file that libvirt had for a moment is gone by then, which is no refusal.
        allowed = [attempt for attempt in allowed_to(me.ids, attempts) if os.path.lexists(attempt[1])]
        assert allowed == [["write", me.scratch]]


def test_clones_of_a_template_share_its_memory(private_node):
    """One file is mapped by all of them, however each came to open it."""
    node = private_node()
    name = node.create(e2e.PYTHON, {"index.py": "import time\ndef handler(event, context):\n    time.sleep(2)\n"})
    e2e.in_parallel([lambda: node.invoke(name) for _ in range(2)])
    pids = [s.pid for s in node.sandboxes(name)]
    assert len(pids) == 2
    mapped = [{line.split()[4] for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
               if line.endswith("/ram")} for pid in pids]
    templates = {str(p.stat().st_ino) for p in node.state.glob("templates/base-python*/ram")}
    assert mapped[0] == mapped[1] and mapped[0] <= templates, (mapped, templates)


def test_qemu_is_told_to_confine_itself(sandboxes):
    """tests/integration/test_wrapper.py shows what that does."""
    node, found = sandboxes
    facts = node.node.GetNode(node.protocol.node.GetNodeRequest(), timeout=30)
    if any("Landlock" in warning for warning in facts.warnings):
        pytest.skip("this kernel has no Landlock")
    for me in found:
        environment = Path(f"/proc/{me.pid}/environ").read_bytes().split(b"\0")
        assert f"MAYFLY_WRITABLE={me.scratch}".encode() in environment
        assert "NoNewPrivs:\t1" in Path(f"/proc/{me.pid}/status").read_text()


def test_users_with_a_process_are_left_out(private_node):
    """As those of a QEMU that a killed agent left behind, or of another node."""
    first = 1950000000 + os.getpid() * 4
    sleepers = [subprocess.Popen(["setpriv", f"--reuid={uid}", "--clear-groups", "sleep", "300"])
                for uid in (first, first + 2)]
    try:
        node = private_node({"vm.uid_first": first, "vm.uid_count": 3, "pool.max_sandboxes": 2})
        name = node.create(e2e.PYTHON, CODE)
        for _ in range(2):
            assert node.invoke(name).json == 1
            assert Sandbox(node, name).ids == (first + 1, first + 1)
            node.end_idle(name)
            e2e.wait_until(lambda: not node.sandboxes(name), 30, "its end")
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait(30)


def test_one_user_for_all_is_warned_of(private_node):
    node = private_node({"vm.uid_count": 0})
    facts = node.node.GetNode(node.protocol.node.GetNodeRequest(), timeout=30)
    assert any("one user" in warning for warning in facts.warnings), facts.warnings
    name = node.create(e2e.PYTHON, CODE)
    assert node.invoke(name).json == 1
    assert Sandbox(node, name).ids[0] == NOBODY
