# SPDX-License-Identifier: Apache-2.0
"""Faults by real means: memory runs out, /tmp runs full, QEMU is killed, templates rot, disks end.
The waiting invocation gets the documented error, and nothing is left behind."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

import node as e2e

Status = e2e.grpc.StatusCode
SLEEPER = {"index.py": """
import time
print("init done", flush=True)
def handler(event, context):
    time.sleep(event.get("sleep", 0))
    return "awake"
"""}


# -- inside the guest -------------------------------------------------------------------------


def test_out_of_memory(node, deploy):
    name = deploy(e2e.PYTHON, {"index.py": """
def handler(event, context):
    block = []
    for _ in range(event["mb"]):
        block.append(bytearray(b"x" * (1 << 20)))
    return len(block)
"""}, timeout_seconds=30)
    result = node.invoke(name, {"mb": 512})
    assert result.error == "Unhandled"
    assert result.json["errorType"] == "Runtime.ExitError"
    assert result.json["errorMessage"] == \
        f"RequestId: {result.request_id} Error: Runtime exited with error: signal: killed"
    used = int(re.search(r"Max Memory Used: (\d+) MB", result.log).group(1))
    assert 100 <= used <= 128
    # Within the limit it goes on, in the same environment.
    after = node.invoke(name, {"mb": 8})
    assert (after.json, after.sandbox) == (8, result.sandbox)


def test_tmp_full(node, deploy):
    name = deploy(e2e.PYTHON, {"index.py": """
import errno, os
def handler(event, context):
    block, written = b"x" * (8 << 20), 0
    try:
        with open("/tmp/large", "wb", buffering=0) as file:
            while written < 1 << 30:
                written += file.write(block)
    except OSError as error:
        os.unlink("/tmp/large")
        open("/tmp/small", "w").write("there is room again")
        return [errno.errorcode[error.errno], written >> 20]
    return ["no end", written >> 20]
"""}, timeout_seconds=120)
    kind, megabytes = node.invoke(name).json
    assert kind == "ENOSPC"
    assert 400 <= megabytes <= 512


def test_init_over_its_limit(private_node):
    """INIT is cut at its limit and repeated within the invocation, under the function's timeout."""
    node = private_node({"pool.init_timeout_ms": 1500})
    slow = {"index.py": "import time\nprint('begun', flush=True)\ntime.sleep(60)\ndef handler(e, c):\n    return 1\n"}
    name = node.create(e2e.PYTHON, slow, timeout_seconds=2)
    result = node.invoke(name)
    assert result.error == "Unhandled"
    assert result.json == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {result.request_id} Error: Task timed out after 2.00 seconds"}
    text = node.log_text(name)
    assert re.search(r"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: init\tStatus: timeout\t?(\n|$)", text), text


def test_init_slow_once_succeeds_when_repeated(private_node):
    """The first INIT is over its limit; the repeated one finds its work done in /tmp."""
    node = private_node({"pool.init_timeout_ms": 2000})
    name = node.create(e2e.PYTHON, {"index.py": """
import os, time
if not os.path.exists("/tmp/began"):
    open("/tmp/began", "w").close()
    time.sleep(60)
def handler(event, context):
    return "at last"
"""}, timeout_seconds=15)
    assert node.invoke(name).json == "at last"


def test_short_timeout_recovers_after_a_reset(node, deploy):
    """However long the runtime takes to start again, the function serves again soon."""
    name = deploy(e2e.NODEJS, {"index.js": """
exports.handler = async (event) => {
  if (event.hang) await new Promise((done) => setTimeout(done, 60000));
  return 'serves';
};
"""}, timeout_seconds=1)
    assert node.invoke(name).json == "serves"
    assert node.invoke(name, {"hang": True}).json["errorType"] == "Sandbox.Timedout"
    results = [node.invoke(name) for _ in range(3)]
    assert results[-1].error == "" and results[-1].json == "serves", results


def test_log_flood_is_bounded(private_node):
    """More lines than may wait: what is dropped is counted to the line and said in the stream, and
    the answer comes all the same."""
    # Written so seldom that what may wait is full long before.
    node = private_node({"logs.max_waiting_mb": 1, "logs.flush_after_ms": 60000})
    name = node.create(e2e.PYTHON, {"index.py": """
import os
def handler(event, context):
    line = b"flood " * 150 + b"\\n"
    block = line * 64
    for _ in range(event["blocks"]):
        os.write(1, block)
    print("after the flood", flush=True)
    return "answered"
"""}, timeout_seconds=120)
    result = node.invoke(name, {"blocks": 200})
    assert result.json == "answered"
    assert len(result.log.encode()) <= 4096
    assert result.log.split("\n")[-2].startswith("REPORT RequestId: "), "the caller's tail has what the log lost"
    assert node.log_events(name), "reading writes what waits, so that there is room again"
    assert node.invoke(name, {"blocks": 0}).json == "answered"

    messages = [event.message for event in node.log_events(name)]
    said = [re.fullmatch(r"LOGS_DROPPED Records: (\d+)\tBytes: (\d+)\tReason: .+", m) for m in messages]
    said = [(int(match[1]), int(match[2])) for match in said if match]
    assert said, "lines are missing and nothing says so"
    records, text_bytes = (sum(numbers) for numbers in zip(*said))
    # INIT_START, and of each invocation START, the function's last line, END and REPORT.
    others = 1 + 2 * 4
    assert len(messages) - len(said) + records == 200 * 64 + others
    flood = sum(message.startswith("flood") for message in messages)
    assert 0 < flood < 200 * 64
    assert 0 <= text_bytes - (200 * 64 - flood) * 900 <= 4096, "the bytes of other lines"


# -- QEMU -------------------------------------------------------------------------------------


def kill_qemu(node, name, states):
    """Kills the QEMU of a sandbox of the function that is in one of the states; its facts."""
    def found():
        for sandbox in node.sandboxes(name):
            if sandbox.pid and node.sandbox_state(sandbox) in states:
                return sandbox
        return None

    sandbox = e2e.wait_until(found, 60, f"a sandbox of {name} in {states}", interval=0.002)
    os.kill(sandbox.pid, signal.SIGKILL)
    return sandbox


def assert_gone(node, sandbox):
    e2e.wait_until(lambda: sandbox.sandbox_id not in [s.sandbox_id for s in node.sandboxes()], 30, "the sandbox gone")
    e2e.wait_until(lambda: not e2e.is_alive(sandbox.pid), 30, "the process gone")
    e2e.wait_until(lambda: not [p for p in node.leftovers() if sandbox.sandbox_id in p], 30,
                   f"no file of {sandbox.sandbox_id}")
    found = subprocess.run(["find", "/sys/fs/cgroup", "-name", f"*{sandbox.sandbox_id}*"],
                           capture_output=True, timeout=60).stdout
    assert not found, f"a cgroup is left: {found}"


def sandbox_failure(request_id):
    """What docs/errors.md says of an invocation whose sandbox ended with the event in it."""
    return {"errorType": "Sandbox.Failure", "errorMessage":
            f"RequestId: {request_id} Error: The sandbox ended before the function's response was complete"}


def lines_of(node, name, request_id):
    return [event.message for event in node.log_events(name) if request_id in event.message]


def test_qemu_killed_during_an_invocation(node, deploy):
    name = deploy(e2e.PYTHON, SLEEPER, timeout_seconds=60)
    node.invoke(name)
    errors = node.gauges().function_errors_total
    future = node.start_invocation(name, {"sleep": 50})
    sandbox = kill_qemu(node, name, ("BUSY",))
    # The function may have run, so it is the function's error, and never one that may be repeated.
    result = node.result(future)
    assert (result.error, result.response.status_code) == ("Unhandled", 200)
    assert result.json == sandbox_failure(result.request_id)
    assert result.sandbox == sandbox.sandbox_id
    assert node.gauges().function_errors_total == errors + 1
    start, crash, end, report = lines_of(node, name, result.request_id)
    assert start == f"START RequestId: {result.request_id} Version: $LATEST"
    assert crash == result.json["errorMessage"] + "\nSandbox.Failure"
    assert end == f"END RequestId: {result.request_id}"
    assert report.endswith("\tStatus: error\tError Type: Sandbox.Failure"), report
    assert report in result.log
    assert_gone(node, sandbox)
    after = node.invoke(name)
    assert (after.json, after.start) == ("awake", "RESTORE")


def test_qemu_killed_during_a_streamed_response(node, deploy):
    name = deploy(e2e.NODEJS, {"index.js": """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  stream.setContentType('text/plain');
  stream.write('the first part');
  await new Promise((done) => setTimeout(done, 50000));
  stream.end();
});
"""}, timeout_seconds=60)
    request = node.protocol.invoke.InvokeRequest(function_name=name, log_type=node.protocol.invoke.LOG_TYPE_TAIL)
    answer = node.invocations.InvokeStream(request, timeout=180)
    start = next(answer).start
    assert next(answer).payload_chunk == b"the first part"
    sandbox = kill_qemu(node, name, ("BUSY",))
    [last] = list(answer)  # ends with status OK
    assert last.complete.error_code == "Sandbox.Failure"
    assert json.loads(last.complete.error_details) == sandbox_failure(start.request_id)
    assert b"Error Type: Sandbox.Failure" in last.complete.log_result
    assert dict(answer.trailing_metadata())["mayfly-function-error"] == "Unhandled"
    assert_gone(node, sandbox)


def test_qemu_killed_while_frozen(node, deploy):
    name = deploy(e2e.PYTHON, SLEEPER)
    node.invoke(name)
    sandbox = kill_qemu(node, name, ("FROZEN",))
    assert_gone(node, sandbox)
    after = node.invoke(name)
    assert (after.json, after.start) == ("awake", "RESTORE")


def test_qemu_killed_while_it_is_a_spare(node, deploy):
    name = deploy(e2e.PYTHON, SLEEPER)
    assert node.end_idle(name, "SPARE", 1).spares_ready == 1
    sandbox = kill_qemu(node, name, ("READY", "FROZEN"))
    assert_gone(node, sandbox)
    # Another takes its place.
    spare = e2e.wait_until(lambda: next((s for s in node.sandboxes(name) if node.sandbox_state(s) == "FROZEN"), None),
                           60, "another spare")
    result = node.invoke(name)
    assert (result.json, result.start, result.sandbox) == ("awake", "SPARE", spare.sandbox_id)


def test_qemu_killed_while_it_stops(node, deploy):
    """It ends by two hands: the node's, which ends idle sandboxes, and at once by ours."""
    name = deploy(e2e.PYTHON, SLEEPER)
    policy = node.protocol.node.SetStartPolicyRequest(function_name=name, end_idle_sandboxes=True)
    for _ in range(5):
        assert node.invoke(name).start == "RESTORE"
        [sandbox] = node.sandboxes(name)
        process = os.pidfd_open(sandbox.pid)
        future = node.node.SetStartPolicy.future(policy, timeout=60)
        e2e.wait_until(lambda: all(node.sandbox_state(s) == "STOPPING" for s in node.sandboxes(name)), 30,
                       "it stops", interval=0)
        try:
            signal.pidfd_send_signal(process, signal.SIGKILL)
        except ProcessLookupError:
            pass  # the node was first
        os.close(process)
        assert future.result().ended == 1
        assert_gone(node, sandbox)


def test_event_that_was_not_delivered_goes_to_another_sandbox(node, deploy):
    """The frozen sandbox is not thawed, because its QEMU stands still, and is killed."""
    name = deploy(e2e.PYTHON, SLEEPER)
    node.invoke(name)
    frozen = e2e.wait_until(
        lambda: next((s for s in node.sandboxes(name) if node.sandbox_state(s) == "FROZEN"), None), 30, "frozen")
    os.kill(frozen.pid, signal.SIGSTOP)
    future = node.start_invocation(name)
    kill_qemu(node, name, ("BUSY",))
    result = node.result(future)
    assert (result.json, result.error, result.start) == ("awake", "", "RESTORE")
    assert result.sandbox != frozen.sandbox_id
    # The log has it once, where it ran.
    events = [e for e in node.log_events(name) if result.request_id in e.message]
    assert [e.message.split()[0] for e in events] == ["START", "END", "REPORT"]
    assert {result.sandbox in e.log_stream_name for e in events} == {True}
    assert result.log.startswith(f"START RequestId: {result.request_id} ")
    assert_gone(node, frozen)


@pytest.mark.parametrize("states", [("RESTORING",), ("INITIALIZING",)], ids=lambda s: s[0].lower())
def test_qemu_killed_while_it_starts(node, deploy, states):
    """No function ran yet: another start serves the invocation."""
    slow_init = {"index.py": "import time\ntime.sleep(2)\n" + SLEEPER["index.py"]}
    name = deploy(e2e.PYTHON, slow_init, timeout_seconds=30)
    future = node.start_invocation(name)
    sandbox = kill_qemu(node, name, states)
    assert node.result(future).json == "awake"
    assert_gone(node, sandbox)
    assert node.invoke(name).json == "awake"


def snap_start(node):
    f = node.protocol.function
    return f.SnapStart(apply_on=f.SNAP_START_APPLY_ON_LATEST)


def test_qemu_killed_during_a_restore_from_a_function_template(node, deploy):
    """No function ran yet: another clone of the same snapshot serves the invocation."""
    name = deploy(e2e.PYTHON, SLEEPER, snap_start=snap_start(node))
    future = node.start_invocation(name)
    sandbox = kill_qemu(node, name, ("RESTORING",))
    result = node.result(future)
    assert (result.json, result.start) == ("awake", "SNAP_START")
    assert result.sandbox != sandbox.sandbox_id
    assert_gone(node, sandbox)
    [template] = [t for t in node.template_list() if t.function_name == name]
    assert template.state == node.protocol.node.TEMPLATE_STATE_READY


def test_qemu_killed_during_the_build_of_a_function_template(private_node):
    """The build is tried again, and the function comes to be all the same."""
    node = private_node()
    slow_init = {"index.py": "import time\ntime.sleep(2)\n" + SLEEPER["index.py"]}
    name = node.create(e2e.PYTHON, slow_init, snap_start=snap_start(node), timeout_seconds=30, wait=False)
    pid = e2e.wait_until(lambda: next(iter(node.qemu_processes()), None), 60, "a QEMU that builds")
    os.kill(pid, signal.SIGKILL)
    node.wait_active(name)
    assert not e2e.is_alive(pid)
    result = node.invoke(name)
    assert (result.json, result.start) == ("awake", "SNAP_START")
    [template] = [t for t in node.template_list() if t.function_name == name]
    node.delete(name)
    e2e.wait_until(lambda: not list((node.state / "templates").glob(f"{template.template_id}*")), 60, "its files gone")


def test_qemu_killed_during_a_template_build(private_node):
    node = private_node(templates=False)
    request = node.protocol.node.BuildTemplateRequest(runtime=e2e.PROVIDED, memory_size_mb=128)
    progress = node.templates.Build(request, timeout=240)
    pid = e2e.wait_until(lambda: next(iter(node.qemu_processes()), None), 60, "a QEMU that builds")
    os.kill(pid, signal.SIGKILL)
    try:
        list(progress)
    except e2e.grpc.RpcError as error:
        assert error.details()
    e2e.wait_until(lambda: not node.leftovers(), 30, "nothing left")
    ready = list(node.templates.Build(request, timeout=240))[-1].template
    assert ready.state == node.protocol.node.TEMPLATE_STATE_READY


# -- templates --------------------------------------------------------------------------------


def base_template(node, runtime):
    return next(t for t in node.template_list() if t.kind == node.protocol.node.TEMPLATE_KIND_BASE
                and t.runtime == runtime and t.memory_size_mb == 128)


def template_file(node, runtime):
    """The largest file of the base template: its memory."""
    template = base_template(node, runtime)
    [folder] = (node.state / "templates").glob(f"{template.template_id}*")
    files = [p for p in folder.rglob("*") if p.is_file()]
    return template, max(files, key=lambda p: p.stat().st_size)


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def alter(path):
    """One page of it changes, its size does not; its time is put back."""
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(before.st_size // 3)
        page = file.read(4096)
        file.seek(before.st_size // 3)
        file.write(bytes(b ^ 0xFF for b in page))


@pytest.mark.parametrize("damage", [truncate, alter, Path.unlink], ids=["truncated", "altered", "missing"])
def test_damaged_template_is_rebuilt_never_restored(private_node, damage):
    node = private_node(copy=True)
    name = node.create(e2e.PYTHON, SLEEPER)
    assert node.invoke(name).json == "awake"
    old, path = template_file(node, e2e.PYTHON)
    node.stop()
    damage(path)
    node.start()
    result = node.invoke(name, timeout=240)
    assert result.json == "awake"
    new, _ = template_file(node, e2e.PYTHON)
    assert new.created_at_us > old.created_at_us, "the damaged template was used"


def test_damaged_manifest(private_node):
    node = private_node(copy=True)
    name = node.create(e2e.PYTHON, SLEEPER)
    node.stop()
    manifests = [p for p in (node.state / "templates").rglob("*") if p.is_file() and p.stat().st_size < 65536
                 and "manifest" in p.name]
    assert manifests
    for path in manifests:
        path.write_bytes(b"{nonsense")
    node.start()
    assert node.invoke(name, timeout=240).json == "awake"


def test_dropped_template_is_not_cloned_again(private_node):
    node = private_node(copy=True)
    name = node.create(e2e.PYTHON, SLEEPER, timeout_seconds=600)
    assert node.invoke(name).json == "awake"
    old = base_template(node, e2e.PYTHON)
    living = [s.sandbox_id for s in node.sandboxes(name)]
    node.templates.Drop(node.protocol.node.DropTemplateRequest(template_id=old.template_id), timeout=30)
    assert old.template_id not in [t.template_id for t in node.template_list()]
    busy = node.start_invocation(name, {"sleep": 500}, timeout=600)  # in the sandbox that there is

    def busy_ones():
        return [s.sandbox_id for s in node.sandboxes(name) if node.sandbox_state(s) == "BUSY"]

    e2e.wait_until(busy_ones, 30, "it runs")
    first = busy_ones()
    assert set(first) <= set(living), "not the sandbox that there was"
    other = node.invoke(name, timeout=240)
    assert (other.json, other.start) == ("awake", "RESTORE")
    assert base_template(node, e2e.PYTHON).created_at_us > old.created_at_us, "the dropped one was cloned"
    assert busy_ones() == first, "a sandbox of the dropped one lives on"
    busy.cancel()


@pytest.fixture
def own_images(images):
    """A copy of the images that a test may change; of a path that QEMU's user may walk."""
    folder = Path(tempfile.mkdtemp(prefix="mayfly-images-", dir="/var/tmp"))
    folder.chmod(0o755)
    subprocess.run(["cp", "-a", "--sparse=always", f"{images}/.", folder], check=True, timeout=120)
    yield folder
    shutil.rmtree(folder)


def rebuild_image(images, runtime):
    """As build-images does: another image moved over the old one. The list follows with the call
    of what is returned."""
    catalogue = json.loads((images / "images.json").read_text())
    entry = next(r for r in catalogue["runtimes"] if r["name"] == runtime)
    path = images / entry["file"]
    new = path.with_suffix(".new")
    shutil.copyfile(path, new)
    with open(new, "ab") as file:
        file.write(b"\0" * 4096)
    entry["size"] = new.stat().st_size
    entry["sha256"] = hashlib.sha256(new.read_bytes()).hexdigest()
    new.rename(path)

    def write_catalogue():
        text = images / "images.json.new"
        text.write_text(json.dumps(catalogue))
        text.rename(images / "images.json")
        return entry["sha256"]

    return write_catalogue


def runtime_digest(node, runtime):
    facts = node.node.GetNode(node.protocol.node.GetNodeRequest(), timeout=30)
    return next(r.digest for r in facts.runtimes if r.runtime == runtime)


@pytest.mark.parametrize("start", ["RESTORE", "SNAP_START"])
def test_runtime_image_replaced_under_a_running_node(own_images, private_node, start):  # the node ends first
    """The way of an upgrade. A snapshot of the old image must not run on the new one; the node
    takes the new one in by itself."""
    node = private_node({"node.images_dir": own_images})
    options = {"snap_start": node.protocol.function.SnapStart(
        apply_on=node.protocol.function.SNAP_START_APPLY_ON_LATEST)} if start == "SNAP_START" else {}
    one, two = (node.create(e2e.PYTHON, SLEEPER, **options) for _ in range(2))
    assert node.invoke(one).json == "awake"
    old = base_template(node, e2e.PYTHON)
    write_catalogue = rebuild_image(own_images, e2e.PYTHON)

    # Nobody says yet what the new file is: no start, and the reason is told.
    refusal = node.refusal(node.invocations.Invoke, node.protocol.invoke.InvokeRequest(function_name=two))
    assert refusal.status in (Status.INTERNAL, Status.UNAVAILABLE), refusal
    assert "images.json" in refusal.message, refusal
    assert node.invoke(one).start == "WARM"

    digest = write_catalogue()

    def answer():
        try:
            return node.invoke(two, timeout=240)
        except e2e.grpc.RpcError:  # the refusal's back-off
            return None

    result = e2e.wait_until(answer, 60, "the new image in use")
    assert (result.json, result.start) == ("awake", start)
    assert base_template(node, e2e.PYTHON).created_at_us > old.created_at_us, "the old one may still be cloned"
    assert runtime_digest(node, e2e.PYTHON) == digest


def test_runtime_image_rebuilt_alike_goes_on_serving(own_images, private_node):
    node = private_node({"node.images_dir": own_images})
    name = node.create(e2e.PYTHON, SLEEPER)
    node.invoke(name)
    old = base_template(node, e2e.PYTHON)
    path = own_images / "runtimes" / f"{e2e.PYTHON}.erofs"
    shutil.copyfile(path, path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)
    other = node.create(e2e.PYTHON, SLEEPER)
    assert node.invoke(other).json == "awake"
    assert base_template(node, e2e.PYTHON).created_at_us == old.created_at_us


def test_damaged_package_is_never_used(private_node):
    node = private_node(copy=True)
    name = node.create(e2e.PYTHON, SLEEPER)
    assert node.invoke(name).json == "awake"
    old = base_template(node, e2e.PYTHON)
    [package] = (node.state / "packages").glob("*.erofs")
    with open(package, "r+b") as file:
        file.seek(1500)
        byte = file.read(1)
        file.seek(1500)
        file.write(bytes([byte[0] ^ 1]))
    node.restart()
    refusal = node.refusal(node.invocations.Invoke, node.protocol.invoke.InvokeRequest(function_name=name))
    assert "damaged" in refusal.message and "deploy" in refusal.message, refusal
    other = node.create(e2e.PYTHON, {"index.py": SLEEPER["index.py"] + "# other\n"})
    assert node.invoke(other).json == "awake"
    assert base_template(node, e2e.PYTHON).created_at_us == old.created_at_us, "the template was blamed"


# -- the disk ---------------------------------------------------------------------------------


@pytest.fixture
def small_disk():
    """A file system of its own, so small that it can be filled; of a short path, for sockets. On a
    full tmpfs even reading the holes of a mapped file fails, so it is a disk's in a file."""
    mounted = []

    def mount(megabytes):
        folder = Path(tempfile.mkdtemp(prefix="mayfly-disk-", dir="/var/tmp"))
        image = folder.with_suffix(".ext4")
        mounted.append((folder, image))
        with open(image, "wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True, timeout=60)
        subprocess.run(["mount", "-o", "loop", image, folder], check=True, timeout=60)
        folder.chmod(0o755)
        return folder

    yield mount
    for folder, image in mounted:
        subprocess.run(["umount", "-l", folder], check=False, timeout=60)
        folder.rmdir()
        image.unlink(missing_ok=True)


@pytest.fixture
def full_disk(small_disk, private_node):  # the node ends first
    """A node whose state lies on a small disk, and a function of it that has run; with fill(), which
    leaves as many MB as it is told, and empty()."""
    disk = small_disk(1000)
    node = private_node(copy=True, state_dir=disk / "state")
    name = node.create(e2e.PYTHON, SLEEPER)
    assert node.invoke(name).json == "awake"

    def fill(leave_mb=0):
        free = os.statvfs(disk)
        with open(disk / "ballast", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(free.f_bavail * free.f_frsize - (max(leave_mb, 8) << 20), 1))
        with open(disk / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while not leave_mb:
                file.write(b"\0" * 512)

    def empty():
        for file_name in ("ballast", "filler"):
            (disk / file_name).unlink(missing_ok=True)

    return node, name, fill, empty


def assert_says_disk_is_full(refusal):
    assert refusal.status in (Status.INTERNAL, Status.UNAVAILABLE, Status.RESOURCE_EXHAUSTED), refusal
    assert re.search(r"[Nn]o space|disk .* is full", refusal.message), refusal


def assert_nothing_runs(node, name):
    """What runs must be recorded, so a full disk refuses it before."""
    refusal = node.refusal(node.invocations.Invoke, node.protocol.invoke.InvokeRequest(function_name=name))
    assert refusal.status == Status.UNAVAILABLE and "cannot record usage" in refusal.message, refusal
    assert_says_disk_is_full(refusal)


def made_templates(node):
    return {t.template_id: t.created_at_us for t in node.template_list()}


def serves(node, name):
    """Its answer; None while starts that failed are not tried again yet."""
    try:
        return node.invoke(name)
    except e2e.grpc.RpcError as error:
        assert error.code() in (Status.INTERNAL, Status.UNAVAILABLE), error
        return None


def test_creation_on_a_full_disk(full_disk):
    node, name, fill, empty = full_disk
    fill()

    # It is refused, and not half done.
    package = {"index.py": SLEEPER["index.py"], "data": os.urandom(1 << 20)}
    assert_says_disk_is_full(node.refusal(node.functions.Create, node.create_request("refused", e2e.PYTHON, package)))
    assert_nothing_runs(node, name)
    assert node.refusal(node.functions.Get, node.protocol.function.GetFunctionRequest(
        function_name="refused")).status == Status.NOT_FOUND

    empty()
    assert node.invoke(name).json == "awake", "at once, and of the sandbox that lived through it"
    made = node.create(e2e.PYTHON, package)
    assert node.invoke(made).json == "awake"


def test_cold_start_on_a_full_disk(full_disk):
    """It is refused before, and does not cost the template, which has no part in it."""
    node, name, fill, empty = full_disk
    templates = made_templates(node)
    node.end_idle(name)
    fill()
    assert_nothing_runs(node, name)
    assert node.sandboxes(name) == []
    node.assert_nothing_left()

    empty()
    result = e2e.wait_until(lambda: serves(node, name), 60, "a start after there is room again")
    assert (result.json, result.start) == ("awake", "RESTORE")
    assert made_templates(node) == templates, "the template was made again"


def test_snapshot_on_a_full_disk(full_disk):
    """There is room for the function's record and package, not for its snapshot."""
    node, name, fill, empty = full_disk
    f = node.protocol.function
    templates = made_templates(node)
    fill(leave_mb=16)
    snap_start = f.SnapStart(apply_on=f.SNAP_START_APPLY_ON_LATEST)
    snapped = node.create(e2e.PYTHON, SLEEPER, snap_start=snap_start, wait=False)
    failed = e2e.wait_until(lambda: (lambda g: g.state != f.FUNCTION_STATE_PENDING and g)(node.get(snapped)), 120,
                            "the end of Pending")
    assert failed.state == f.FUNCTION_STATE_FAILED
    assert "No space left on device" in failed.state_reason
    assert made_templates(node) == templates
    assert node.invoke(name).json == "awake", "the others go on serving"

    empty()
    node.delete(snapped)
    again = node.create(e2e.PYTHON, SLEEPER, name=snapped, snap_start=snap_start)
    result = node.invoke(again)
    assert (result.json, result.start) == ("awake", "SNAP_START")


def test_deletion_on_a_full_disk(full_disk):
    """A deletion that cannot be recorded is refused, and the function stays whole; with room it goes
    for good."""
    node, name, fill, empty = full_disk
    request = node.protocol.function.DeleteFunctionRequest(function_name=name)
    fill()
    assert_says_disk_is_full(node.refusal(node.functions.Delete, request))
    assert node.get(name).state == node.protocol.function.FUNCTION_STATE_ACTIVE

    empty()
    assert node.invoke(name).json == "awake"
    node.delete(name)
    node.restart()
    assert node.refusal(node.functions.Get, node.protocol.function.GetFunctionRequest(
        function_name=name)).status == Status.NOT_FOUND


# -- the caller -------------------------------------------------------------------------------


def test_caller_leaves_and_the_function_runs_on(node, deploy):
    name = deploy(e2e.PYTHON, {"index.py": """
import time
def handler(event, context):
    time.sleep(2)
    print("ran to its end", flush=True)
"""}, timeout_seconds=20)
    node.invoke(name)
    future = node.start_invocation(name)
    e2e.wait_until(lambda: any(node.sandbox_state(s) == "BUSY" for s in node.sandboxes(name)), 30, "it runs",
                   interval=0.01)
    future.cancel()
    e2e.wait_until(lambda: node.log_text(name).count("ran to its end") == 2, 30, "the second run's end")
    assert node.log_text(name).count("REPORT RequestId: ") == 2


def test_deadline_of_the_caller(node, deploy):
    name = deploy(e2e.PYTHON, SLEEPER, timeout_seconds=30)
    node.invoke(name)
    refusal = node.refusal(node.invocations.Invoke, node.protocol.invoke.InvokeRequest(
        function_name=name, payload=json.dumps({"sleep": 5}).encode()), timeout=1)
    assert refusal.status == Status.DEADLINE_EXCEEDED
    e2e.wait_until(lambda: node.log_text(name).count("REPORT RequestId: ") == 2, 30, "it ran on")
