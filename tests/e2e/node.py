# SPDX-License-Identifier: Apache-2.0
"""The node under test: starts a mayflyd of its own, speaks to it with Debian's grpcio, and ends
it. Nothing here knows anything of Mayfly but the public protocol, the configuration file and
what an operator sees in /proc."""

import importlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from pathlib import Path

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc  # noqa: E402
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PYTHON, NODEJS, PROVIDED = "python3.13", "nodejs20.x", "provided.al2023"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
PAYLOAD_MAX = 6291456
RESPONSE_MAX = 6291556
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


# -- waiting ----------------------------------------------------------------------------------


def wait_until(condition, timeout=60, what="a condition", interval=0.05):
    """The condition's first true value. Every wait of the suite has a deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(interval)


def in_parallel(work, timeout=300):
    """Runs the functions at once and returns their results; the first exception is raised."""
    results, errors = [None] * len(work), []

    def run(index):
        try:
            results[index] = work[index]()
        except BaseException as error:  # noqa: BLE001 - handed to the caller below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(work))]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
        assert not thread.is_alive(), f"work in parallel did not end within {timeout} s"
    if errors:
        raise errors[0]
    return results


# -- protocol ---------------------------------------------------------------------------------


class Protocol:
    """Stubs of the services, made by protoc from proto/ as any user would make them."""

    def __init__(self, folder):
        proto = ROOT / "proto"
        names = sorted(p.relative_to(proto).as_posix() for p in (proto / "mayfly/v1").glob("*.proto"))
        subprocess.run(
            ["protoc", f"-I{proto}", "-I/usr/include", f"--python_out={folder}",
             "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin",
             f"--grpc_python_out={folder}", *names],
            check=True, timeout=60)
        sys.path.insert(0, str(folder))
        for name in names:
            module = Path(name).stem
            setattr(self, module, importlib.import_module(f"mayfly.v1.{module}_pb2"))
            setattr(self, module + "_grpc", importlib.import_module(f"mayfly.v1.{module}_pb2_grpc"))
        # grpc.health and google.rpc would hide the packages of the same name: by descriptor.
        others = ["grpc/health/v1/health.proto", "grpc/reflection/v1/reflection.proto",
                  "grpc/reflection/v1alpha/reflection.proto", "google/rpc/status.proto",
                  "google/rpc/error_details.proto"]
        path = Path(folder) / "others.descriptors"
        subprocess.run(["protoc", f"-I{proto}", "-I/usr/include", "--include_imports",
                        f"--descriptor_set_out={path}", *others], check=True, timeout=60)
        self.pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file:
            self.pool.Add(file)

    def message(self, name):
        return message_class(self.pool, name)


def message_class(pool, name):
    descriptor = pool.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


class Refusal:
    """A gRPC error with its details: what a client can know of it."""

    def __init__(self, protocol, error):
        self.status = error.code()
        self.message = error.details()
        self.reason = self.field = self.domain = None
        self.type = self.limit = None
        for key, value in error.trailing_metadata() or ():
            if key != "grpc-status-details-bin":
                continue
            status = protocol.message("google.rpc.Status").FromString(value)
            for detail in status.details:
                if detail.type_url.endswith("google.rpc.ErrorInfo"):
                    info = protocol.message("google.rpc.ErrorInfo").FromString(detail.value)
                    self.reason, self.domain = info.reason, info.domain
                    self.type, self.limit = info.metadata["type"], info.metadata.get("reason")
                if detail.type_url.endswith("google.rpc.BadRequest"):
                    request = protocol.message("google.rpc.BadRequest").FromString(detail.value)
                    self.field = request.field_violations[0].field

    def __repr__(self):
        return f"{self.status} {self.reason} field={self.field}: {self.message}"


class Result:
    """The answer of an invocation."""

    def __init__(self, protocol, response, call):
        self.trailers = dict(call.trailing_metadata())
        self.response = response
        self.payload = response.payload
        self.error = response.function_error
        self.log = response.log_result.decode(errors="replace")
        self.request_id = response.request_id
        self.phases = protocol.invoke.Phases.FromString(self.trailers["mayfly-phases-bin"])
        self.start = protocol.invoke.StartKind.Name(self.phases.start_kind)[len("START_KIND_"):]
        self.sandbox = self.phases.sandbox_id

    @property
    def json(self):
        return json.loads(self.payload)

    def __repr__(self):
        return f"<{self.start} {self.error or 'ok'} {self.payload[:400]!r} log={self.log!r}>"


# -- packages ---------------------------------------------------------------------------------


def make_zip(files):
    """ZIP bytes of {path: text or bytes}; names that end in 'bootstrap' are executable."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            mode = 0o755 if name.endswith(("bootstrap", ".sh")) else 0o644
            info.external_attr = (0o100000 | mode) << 16
            archive.writestr(info, content)
    return out.getvalue()


def unique(prefix="f"):
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


# -- processes --------------------------------------------------------------------------------


def process_ids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def program_of(pid):
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""


def stat_of(pid):
    """The fields of /proc/PID/stat from the state on (index 0), or None when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def is_alive(pid):
    stat = stat_of(pid)
    return stat is not None and stat[0] not in "ZX"


def cpu_ticks(pid):
    """utime + stime; a process that is gone fails the test."""
    stat = stat_of(pid)
    assert stat, f"process {pid} is gone"
    return int(stat[11]) + int(stat[12])


# -- the node ---------------------------------------------------------------------------------

# Deterministic unless a test wants otherwise: no sandbox that nobody asked for, nobody who asks too often.
DEFAULTS = {
    "node.log_level": "debug",
    "vm.user": "nobody",
    "pool.spares": 0,
    "pool.spares_on_deploy": "no",
    "limits.control_rate": 0,
    "limits.read_rate": 0,
}


class Node:
    def __init__(self, protocol, build, images, config=None, state_dir=None, wrapper=(),
                 environment=None):
        self.protocol = protocol
        self.build = Path(build)
        self.folder = Path(tempfile.mkdtemp(prefix="mayfly-e2e-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.state = Path(state_dir) if state_dir else self.folder / "state"
        self.socket = self.folder / "mayfly.sock"
        self.log_path = self.folder / "mayflyd.log"
        self.config = {**DEFAULTS, "node.state_dir": self.state, "node.images_dir": images,
                       "api.socket": self.socket, **(config or {})}
        self.wrapper = list(wrapper)
        self.environment = environment or {}
        self.process = None
        self.channel = None

    # life

    def write_config(self):
        sections = {}
        for name, value in self.config.items():
            section, key = name.split(".", 1)
            sections.setdefault(section, []).append(f"{key} = {value}")
        text = "".join(f"[{s}]\n" + "\n".join(lines) + "\n\n" for s, lines in sections.items())
        path = self.folder / "mayflyd.conf"
        path.write_text(text)
        return path

    def spawn(self):
        command = [*self.wrapper, self.build / "agent/mayflyd", "--config", self.write_config()]
        environment = {k: v for k, v in os.environ.items() if k not in ("NOTIFY_SOCKET", "WATCHDOG_USEC")}
        environment.update(self.environment)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([str(c) for c in command], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, env=environment)

    def start(self, timeout=120):
        self.spawn()
        wait_until(self.is_serving, timeout, f"health of {self.log_tail}")
        return self

    def connect(self):
        self.disconnect()
        self.channel = grpc.insecure_channel(f"unix:{self.socket}", options=UNLIMITED)
        p = self.protocol
        self.aliases = p.alias_grpc.AliasServiceStub(self.channel)
        self.functions = p.function_grpc.FunctionServiceStub(self.channel)
        self.invocations = p.invoke_grpc.InvokeServiceStub(self.channel)
        self.concurrency = p.concurrency_grpc.ConcurrencyServiceStub(self.channel)
        self.events = p.event_grpc.EventServiceStub(self.channel)
        self.schedules = p.schedule_grpc.SchedulerServiceStub(self.channel)
        self.queues = p.queue_grpc.QueueServiceStub(self.channel)
        self.logs = p.log_grpc.LogServiceStub(self.channel)
        self.node = p.node_grpc.NodeServiceStub(self.channel)
        self.templates = p.node_grpc.TemplateServiceStub(self.channel)
        self.usage = p.usage_grpc.UsageServiceStub(self.channel)
        self.budgets = p.budget_grpc.BudgetServiceStub(self.channel)

    def disconnect(self):
        if self.channel:
            self.channel.close()
        self.channel = None

    def is_serving(self):
        assert self.process.poll() is None, f"mayflyd ended by itself:\n{self.log_tail()}"
        if not self.socket.exists():
            return False
        self.connect()
        try:
            return self.health() == "SERVING"
        except grpc.RpcError:
            return False

    def health(self, service=""):
        request = self.protocol.message("grpc.health.v1.HealthCheckRequest")
        response = self.protocol.message("grpc.health.v1.HealthCheckResponse")
        check = self.channel.unary_unary("/grpc.health.v1.Health/Check",
                                         request_serializer=request.SerializeToString,
                                         response_deserializer=response.FromString)
        answer = check(request(service=service), timeout=5)
        return response.ServingStatus.Name(answer.status)

    def kill(self):
        """kill -9, as a crash."""
        self.disconnect()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def stop(self, timeout=90):
        """A clean stop, which must leave nothing."""
        self.disconnect()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        assert code == 0, f"exit code {code} after SIGTERM:\n{self.log_tail()}"
        self.assert_nothing_left()

    def restart(self, kill=False):
        if kill:
            self.kill()
        else:
            self.stop()
        self.start()

    def destroy(self):
        """Ends whatever is left, by what belongs to this node alone."""
        self.disconnect()
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)
        for pid in self.qemu_processes():
            os.kill(pid, signal.SIGKILL)
        if not os.environ.get("MAYFLY_E2E_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    # what an operator sees

    def log_tail(self):
        try:
            return self.log_path.read_text(errors="replace")[-6000:]
        except OSError:
            return "(no log)"

    def qemu_processes(self):
        """Of microVMs; those that only ask QEMU what it can do have no guest."""
        return [pid for pid in process_ids()
                if program_of(pid).startswith("qemu-system") and str(self.state) in command_of(pid)
                and "guest=mayfly-" in command_of(pid) and is_alive(pid)]

    def leftovers(self):
        """Files named after a sandbox, outside of what is durable."""
        found = []
        for path, folders, files in os.walk(self.state):
            if Path(path) == self.state:
                folders[:] = [f for f in folders if f not in ("layers", "logs", "packages", "templates")]
            found += [os.path.join(path, n) for n in folders + files
                      if re.search(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", n)]
        return found

    def assert_nothing_left(self):
        wait_until(lambda: not self.qemu_processes(), 10, "the end of every QEMU")
        assert self.leftovers() == []

    def sandboxes(self, function_name=""):
        request = self.protocol.node.ListSandboxesRequest(function_name=function_name)
        return list(self.node.ListSandboxes(request, timeout=30).sandboxes)

    def gauges(self):
        return self.node.GetNode(self.protocol.node.GetNodeRequest(), timeout=30).gauges

    def template_list(self):
        return list(self.templates.List(self.protocol.node.ListTemplatesRequest(), timeout=30).templates)

    def sandbox_state(self, sandbox):
        return self.protocol.node.SandboxState.Name(sandbox.state)[len("SANDBOX_STATE_"):]

    # functions

    def create_request(self, name, runtime, files, handler="index.handler", **options):
        f = self.protocol.function
        environment = [f.EnvironmentVariable(key=k, value=v)
                       for k, v in options.pop("environment", {}).items()]
        return f.CreateFunctionRequest(
            function_name=name, runtime=runtime, handler=handler, environment=environment,
            zip_file=files if isinstance(files, bytes) else make_zip(files), **options)

    def create(self, runtime, files, handler="index.handler", name=None, wait=True, **options):
        """Creates a function and waits until it is Active; returns its name."""
        name = name or unique()
        self.functions.Create(self.create_request(name, runtime, files, handler, **options), timeout=60)
        if wait:
            self.wait_active(name)
        return name

    def get(self, name):
        return self.functions.Get(self.protocol.function.GetFunctionRequest(function_name=name), timeout=30)

    def wait_active(self, name, timeout=120):
        f = self.protocol.function

        def ready():
            function = self.get(name)
            assert function.state != f.FUNCTION_STATE_FAILED, function.state_reason
            assert function.last_update_status != f.LAST_UPDATE_STATUS_FAILED, \
                function.last_update_status_reason
            return (function.state == f.FUNCTION_STATE_ACTIVE and
                    function.last_update_status == f.LAST_UPDATE_STATUS_SUCCESSFUL and function)

        return wait_until(ready, timeout, f"{name} Active")

    def delete(self, name):
        self.functions.Delete(self.protocol.function.DeleteFunctionRequest(function_name=name), timeout=60)

    def end_idle(self, name, policy="RESTORE", spares=0):
        """Ends the function's idle sandboxes and says how the next start."""
        p = self.protocol.node
        return self.node.SetStartPolicy(
            p.SetStartPolicyRequest(function_name=name, policy=p.StartPolicy.Value("START_POLICY_" + policy),
                                    end_idle_sandboxes=True, spares=spares), timeout=120)

    # invocations

    def invoke(self, name, event=None, payload=None, log=True, timeout=180, **options):
        i = self.protocol.invoke
        if payload is None:
            payload = b"" if event is None else json.dumps(event).encode()
        request = i.InvokeRequest(function_name=name, payload=payload,
                                  log_type=i.LOG_TYPE_TAIL if log else i.LOG_TYPE_NONE, **options)
        response, call = self.invocations.Invoke.with_call(request, timeout=timeout)
        return Result(self.protocol, response, call)

    def start_invocation(self, name, event=None, timeout=180, **options):
        """The same, not waited for: a grpc future."""
        i = self.protocol.invoke
        payload = b"" if event is None else json.dumps(event).encode()
        return self.invocations.Invoke.future(
            i.InvokeRequest(function_name=name, payload=payload, log_type=i.LOG_TYPE_TAIL, **options),
            timeout=timeout)

    def result(self, future):
        response = future.result()
        return Result(self.protocol, response, future)

    def refusal(self, call, *args, **kwargs):
        """The gRPC error of a call that must be refused."""
        kwargs.setdefault("timeout", 60)
        try:
            answer = call(*args, **kwargs)
        except grpc.RpcError as error:
            return Refusal(self.protocol, error)
        raise AssertionError(f"not refused: {answer}")

    # logs

    def log_events(self, name="", **options):
        """All events of the function's group, over all pages."""
        token, events = "", []
        for _ in range(1000):
            answer = self.logs.Get(self.protocol.log.GetLogEventsRequest(
                function_name=name, next_token=token, **options), timeout=60)
            events += answer.events
            token = answer.next_token
            if not token:
                return events
        raise AssertionError("paging through the log does not end")

    def log_text(self, name, **options):
        return "\n".join(event.message for event in self.log_events(name, **options))
