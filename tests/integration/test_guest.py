# SPDX-License-Identifier: Apache-2.0
"""mayfly-init and the runtimes in real guests: what architecture and Lambda's rules promise of
a sandbox, without an agent.

    MAYFLY_IMAGES=/var/tmp/mayfly-images pytest tests/integration/test_guest.py
"""

import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

import guest_driver
from guest_driver import Guest, pb

pytestmark = pytest.mark.skipif(not (guest_driver.IMAGES / "vmlinux").exists(),
                                reason="no images; see guest/image/README.md")
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
KINDS = ("python", "nodejs")


@pytest.fixture(scope="session")
def templates():
    """Base templates by kind and memory size, made when first asked for."""
    folder = Path(tempfile.mkdtemp(prefix="mayfly-guest-"))
    made = {}

    def get(kind, memory_mb=256):
        if (kind, memory_mb) not in made:
            guest = Guest(folder / f"{kind}-{memory_mb}", kind, memory_mb)
            prepared = guest.prepare()
            assert prepared.outcome.status == pb.STATUS_OK, prepared
            assert guest.snapshot().outcome.status == pb.STATUS_OK
            made[kind, memory_mb] = guest.save()
        return made[kind, memory_mb]

    yield get
    shutil.rmtree(folder)


@pytest.fixture
def clone(templates, tmp_path):
    """Clones of base templates; all end with the test."""
    guests = []

    def make(kind, files, memory_mb=256, **options):
        guest = Guest(tmp_path / str(len(guests)), kind, memory_mb, files=files,
                      incoming=templates(kind, memory_mb), **options)
        guests.append(guest)
        assert guest.restore().outcome.status == pb.STATUS_OK
        return guest

    yield make
    for guest in guests:
        guest.close()


def example(kind):
    folder = guest_driver.ROOT / "examples" / kind
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def python(body, head=""):
    lines = "\n".join("    " + line for line in body.splitlines())
    return {"index.py": f"import json, os, sys, time\n{head}\ndef handler(event, context):\n{lines}\n"}


def nodejs(body, head=""):
    return {"index.mjs": f"{head}\nexport const handler = async (event, context) => {{\n{body}\n}};\n"}


def ready(clone, kind, files, **settings):
    guest = clone(kind, files)
    initialized = guest.initialize(**settings)
    assert initialized.outcome.status == pb.STATUS_OK, initialized
    return guest


def body_of(done):
    return json.loads(done.outcome.error_body)


# ---- the tutorial ----

def test_tutorial_python(clone):
    guest = ready(clone, "python", example("python"), handler="lambda_function.lambda_handler")
    done, body, start = guest.invoke({"length": 6, "width": 7})
    assert done.outcome.status == pb.STATUS_OK
    assert body == rb'"{\"area\": 42}"'
    assert start.content_type == "application/json" and not start.streaming
    lines = guest.log_lines()
    assert lines[0] == "The area is 42"
    assert re.fullmatch(rf"\[INFO\]\t{TIME}\t{guest.request_id}\tCloudWatch logs group: "
                        "/aws/lambda/myLambdaFunction", lines[1])


def test_tutorial_nodejs(clone):
    guest = ready(clone, "nodejs", example("nodejs"))
    done, body, _ = guest.invoke({"length": 6, "width": 7})
    assert done.outcome.status == pb.STATUS_OK
    assert body == rb'"{\"area\":42}"'
    lines = guest.log_lines()
    assert re.fullmatch(rf"{TIME}\t{guest.request_id}\tINFO\tThe area is 42", lines[0])
    assert re.fullmatch(rf"{TIME}\t{guest.request_id}\tINFO\tCloudWatch log group:  "
                        "/aws/lambda/myLambdaFunction", lines[1])


# ---- handlers, errors ----

def test_python_error(clone):
    guest = ready(clone, "python", python("raise Exception('Handler fails')"))
    done, body, start = guest.invoke({})
    assert done.outcome.status == pb.STATUS_FUNCTION_ERROR and body == b"" and not start
    assert done.outcome.error_body.decode() == json.dumps({
        "errorMessage": "Handler fails", "errorType": "Exception", "requestId": guest.request_id,
        "stackTrace": ['  File "/var/task/index.py", line 4, in handler\n'
                       "    raise Exception('Handler fails')\n"]})
    nbsp = "\N{NO-BREAK SPACE}"
    assert guest.log_lines() == [
        "[ERROR] Exception: Handler fails\nTraceback (most recent call last):\n"
        f"{nbsp * 2}File \"/var/task/index.py\", line 4, in handler\n"
        f"{nbsp * 4}raise Exception('Handler fails')"]
    # The same process goes on.
    assert guest.invoke({})[0].init_duration_us == 0


def test_nodejs_error(clone):
    guest = ready(clone, "nodejs", nodejs("if (event.text) throw 'text'; throw new Error('no');"))
    done, _, _ = guest.invoke({})
    error = body_of(done)
    assert list(error) == ["errorType", "errorMessage", "trace"]
    assert error["errorType"] == "Error" and error["errorMessage"] == "no"
    assert error["trace"][0] == "Error: no" and "/var/task/index.mjs" in error["trace"][1]
    assert re.match(rf'{TIME}\t{guest.request_id}\tERROR\tInvoke Error \t{{"errorType":"Error"',
                    guest.log_lines()[0])
    done, _, _ = guest.invoke({"text": 1})
    assert body_of(done) == {"errorType": "string", "errorMessage": "text", "trace": []}


@pytest.mark.parametrize("kind, files, handler, kind_of_error, message", [
    ("python", {"index.py": "import missing_thing"}, "index.handler",
     "Runtime.ImportModuleError", "Unable to import module 'index': No module named 'missing_thing'"),
    ("python", {"index.py": "x = 1"}, "index.handler",
     "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'index'"),
    ("python", {"index.py": "x = 1"}, "index",
     "Runtime.MalformedHandlerName", "Bad handler 'index': not enough values to unpack"),
    ("python", {"index.py": "def"}, "index.handler",
     "Runtime.UserCodeSyntaxError", "Syntax error in module 'index': "),
    ("nodejs", {"other.js": ""}, "index.handler",
     "Runtime.ImportModuleError", "Error: Cannot find module 'index'"),
    ("nodejs", {"index.js": "exports.x = 1"}, "index.handler",
     "Runtime.HandlerNotFound", "index.handler is undefined or not exported"),
    ("nodejs", {"index.js": "exports.handler = {"}, "index.handler",
     "Runtime.UserCodeSyntaxError", "SyntaxError: "),
])
def test_init_errors(clone, kind, files, handler, kind_of_error, message):
    guest = clone(kind, files)
    initialized = guest.initialize(handler)
    assert initialized.outcome.status == pb.STATUS_FUNCTION_ERROR
    assert initialized.outcome.error_type == kind_of_error
    error = json.loads(initialized.outcome.error_body)
    assert error["errorType"] == kind_of_error and error["errorMessage"].startswith(message)
    # INIT is repeated once within the invocation, and its failure is the answer.
    done, _, _ = guest.invoke({})
    assert done.outcome.status == pb.STATUS_FUNCTION_ERROR
    assert body_of(done)["errorType"] == kind_of_error
    assert done.init_duration_us > 0


def test_python_context(clone):
    guest = ready(clone, "python", python("""
c = context
left = c.get_remaining_time_in_millis()
return [c.aws_request_id, c.function_name, c.function_version, c.invoked_function_arn,
        c.memory_limit_in_mb, c.log_group_name, c.log_stream_name, c.client_context.custom,
        c.identity.cognito_identity_id, c.tenant_id, 0 < left <= 10000,
        os.environ['_X_AMZN_TRACE_ID']]"""))
    _, body, _ = guest.invoke({}, client_context=b'{"custom": {"a": 1}}', tenant_id="blue",
                              cognito_identity=b'{"cognitoIdentityId": "me"}', trace_id="Root=1-2-3")
    assert json.loads(body) == [
        guest.request_id, "myLambdaFunction", "$LATEST",
        "arn:aws:lambda:eu-central-1:000000000000:function:f", "128",
        "/aws/lambda/myLambdaFunction", "2026/01/01/[$LATEST]0123456789abcdef0123456789abcdef",
        {"a": 1}, "me", "blue", True, "Root=1-2-3"]


def test_python_results(clone):
    guest = ready(clone, "python", python("""
if event == 'bytes': return b'raw\\xff'
if event == 'bad': return {1, 2}
return 'gr\\u00fcn'"""))
    _, body, start = guest.invoke("bytes")
    assert body == b"raw\xff" and start.content_type == "application/unknown"
    done, _, _ = guest.invoke("bad")
    assert body_of(done)["errorType"] == "Runtime.MarshalError"
    assert body_of(done)["errorMessage"].startswith("Unable to marshal response: Object of type set")
    assert guest.invoke("x")[1] == '"grün"'.encode()


@pytest.mark.parametrize("files, expected", [
    ({"index.js": "exports.handler = (e, c, done) => setTimeout(() => done(null, 'late'), 20);"},
     "late"),
    ({"index.js": "exports.handler = (e, c, done) => { c.callbackWaitsForEmptyEventLoop = false;"
                  " setInterval(() => {}, 1000); done(null, 'now'); };"}, "now"),
    ({"index.cjs": "exports.handler = async () => 'cjs';"}, "cjs"),
    ({"index.js": "export const handler = async () => 'esm';",
      "package.json": '{"type": "module"}'}, "esm"),
    ({"index.js": "exports.handler = () => {};"}, None),
    ({"index.mjs": "await new Promise((r) => setTimeout(r, 5));"
                   "export const handler = async () => 'top';"}, "top"),
    ({"index.js": "exports.handler = (e, c) => c.succeed('old');"}, "old"),
])
def test_nodejs_handlers(clone, files, expected):
    guest = ready(clone, "nodejs", files)
    for _ in range(2):
        done, body, _ = guest.invoke({})
        assert done.outcome.status == pb.STATUS_OK
        assert json.loads(body) == expected


def test_nodejs_streaming(clone):
    guest = ready(clone, "nodejs", {"index.mjs": """
export const handler = awslambda.streamifyResponse(async (event, stream) => {
  if (event.http) stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201 });
  else stream.setContentType('text/plain');
  stream.write('first');
  if (event.fail) throw new Error('mid');
  stream.write(Buffer.alloc(event.bytes ?? 0, 'x'));
  stream.end('last');
});"""})
    done, body, start = guest.invoke({"bytes": 3 << 20})
    assert done.outcome.status == pb.STATUS_OK and not done.stream_failed
    assert start.streaming and start.content_type == "text/plain"
    assert body == b"first" + b"x" * (3 << 20) + b"last"
    _, body, start = guest.invoke({"http": True})
    assert start.content_type == "application/vnd.awslambda.http-integration-response"
    assert body == b'{"statusCode":201}' + bytes(8) + b"firstlast"
    done, body, _ = guest.invoke({"fail": True})
    assert done.stream_failed and body_of(done)["errorMessage"] == "mid"
    # More than a buffered response may have.
    done, body, _ = guest.invoke({"bytes": 20 << 20})
    assert done.outcome.status == pb.STATUS_OK and len(body) == (20 << 20) + 9


# ---- limits and faults ----

@pytest.mark.parametrize("kind", KINDS)
def test_timeout_keeps_tmp(clone, kind):
    files = python("if event.get('sleep'):\n    open('/tmp/kept', 'w').write('x')\n    time.sleep(60)\n"
                   "return os.path.exists('/tmp/kept')") if kind == "python" else nodejs(
        "const fs = await import('fs'); if (event.sleep) { fs.writeFileSync('/tmp/kept', 'x');"
        " for (;;); } return fs.existsSync('/tmp/kept');")
    guest = ready(clone, kind, files)
    done, _, _ = guest.invoke({"sleep": True}, timeout_ms=1000)
    assert done.outcome.status == pb.STATUS_TIMEOUT
    assert done.outcome.error_body.decode() == (
        '{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: ' + guest.request_id +
        ' Error: Task timed out after 1.00 seconds"}')
    done, body, _ = guest.invoke({}, timeout_ms=50000)  # a runtime starts within
    assert done.outcome.status == pb.STATUS_OK, done
    assert json.loads(body) is True
    assert done.init_duration_us > 0
    assert guest.invoke({})[0].init_duration_us == 0


@pytest.mark.parametrize("body, message", [
    ("os._exit(0)", "Runtime exited without providing a reason"),
    ("sys.exit(3)", "Runtime exited with error: exit status 3"),
    ("os.kill(os.getpid(), 9)", "Runtime exited with error: signal: killed"),
    ("os.abort()", "Runtime exited with error: signal: aborted"),
])
def test_exit(clone, body, message):
    guest = ready(clone, "python", python(f"print('before')\nsys.stdout.flush()\n{body}"))
    done, _, _ = guest.invoke({})
    assert done.outcome.status == pb.STATUS_EXIT
    assert body_of(done) == {"errorType": "Runtime.ExitError",
                             "errorMessage": f"RequestId: {guest.request_id} Error: {message}"}
    assert "before" in guest.log_lines()


# As the agent sizes a VM of 128 MB: by this much more than the function's memory.
VM_OVERHEAD_MB = 96
EAT_BLOCKS = "x = []\nwhile event.get('eat'): x.append(bytearray(1 << 20))\nreturn 'alive'"
EAT_OBJECTS = """
x = []
while event.get('eat'): x.append({'n': len(x), 't': str(len(x))})
return 'alive'"""
# Code runs between the allocations, which reclaim must not take away again and again.
EAT_AND_WORK = """
import decimal, email.message, hashlib, logging.handlers, sqlite3, ssl, unittest.mock, xml.dom.minidom
x = []
while event.get('eat'):
    x.append(os.urandom(1 << 17))
    hashlib.sha256(x[-1]); json.loads(json.dumps({'a': [1, 2]}))
    decimal.Decimal(len(x)).sqrt(); xml.dom.minidom.parseString('<a/>')
    sqlite3.connect(':memory:').execute('select 1').fetchall()
return 'alive'"""
EAT_BUFFERS = """
const x = [];
while (event.eat) x.push(Buffer.alloc(1 << 20, 1));
return 'alive';"""
# A child process that eats, and a runtime that waits for it.
EATING_BOOTSTRAP = """#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while :; do
	event=$(curl -sS -D /tmp/headers "$api/invocation/next")
	id=$(sed -n 's/^Lambda-Runtime-Aws-Request-Id: *\\([^[:space:]]*\\).*/\\1/p' /tmp/headers)
	case $event in *eat*) tail /dev/zero & wait ;; esac
	curl -sS -o /dev/null -d '"alive"' "$api/invocation/$id/response"
done
"""


@pytest.mark.parametrize("kind, files", [
    ("python", python(EAT_BLOCKS)), ("python", python(EAT_OBJECTS)), ("python", python(EAT_AND_WORK)),
    ("nodejs", nodejs(EAT_BUFFERS)), ("provided", {"bootstrap": EATING_BOOTSTRAP}),
], ids=["blocks", "objects", "work", "buffers", "child"])
def test_out_of_memory(clone, kind, files):
    guest = clone(kind, files, 128 + VM_OVERHEAD_MB)
    assert guest.initialize().outcome.status == pb.STATUS_OK
    # The runtime is started anew each time.
    for _ in range(3):
        done, _, _ = guest.invoke({"eat": True}, timeout_ms=50000)
        assert done.outcome.status == pb.STATUS_OUT_OF_MEMORY, done
        assert "signal: killed" in body_of(done)["errorMessage"]
        assert done.duration_us < 25e6
        assert 110 << 20 < done.max_memory_bytes <= 128 << 20
        done, body, _ = guest.invoke({}, timeout_ms=50000)
        assert done.outcome.status == pb.STATUS_OK, done
        assert json.loads(body) == "alive"


def test_code_without_memory_is_out_of_memory(clone):
    """What the package maps does not fit beside what was allocated: the kernel would read it again
    and again, and kill nobody."""
    guest = clone("python", python("""
x = []
def anonymous():
    return next(int(l.split()[1]) >> 10 for l in open('/proc/self/status') if 'RssAnon' in l)
while event.get('eat') and anonymous() < 116: x.append(bytearray(1 << 19))
while event.get('eat'): sum(pages[i] for i in range(0, len(pages), 4096))
return 'alive'""", "import mmap\npages = mmap.mmap(os.open('big', 0), 0, prot=mmap.PROT_READ)")
        | {"big": os.urandom(24 << 20)}, 128 + VM_OVERHEAD_MB)
    assert guest.initialize().outcome.status == pb.STATUS_OK
    for _ in range(3):
        done, _, _ = guest.invoke({"eat": True}, timeout_ms=50000)
        assert done.outcome.status == pb.STATUS_OUT_OF_MEMORY, done
        assert "signal: killed" in body_of(done)["errorMessage"]
        assert done.duration_us < 25e6
        assert json.loads(guest.invoke({}, timeout_ms=50000)[1]) == "alive"


def test_writing_files_is_not_out_of_memory(clone):
    """The cache of /tmp is the function's, too, and goes when memory is needed."""
    guest = clone("python", python("""
with open('/tmp/big', 'wb', 0) as f:
    for _ in range(400): f.write(bytes(1 << 20))
total = 0
with open('/tmp/big', 'rb', 0) as f:
    while data := f.read(1 << 20): total += len(data)
os.unlink('/tmp/big')
return total"""), 128 + VM_OVERHEAD_MB)
    assert guest.initialize().outcome.status == pb.STATUS_OK
    for _ in range(2):
        done, body, _ = guest.invoke({}, timeout_ms=50000)
        assert done.outcome.status == pb.STATUS_OK and json.loads(body) == 400 << 20


def test_init_timeout_is_repeated_in_the_invocation(clone):
    guest = clone("python", {"index.py": "import os, time\n"
                             "if not os.path.exists('/tmp/second'):\n"
                             "    open('/tmp/second', 'w').close()\n    time.sleep(60)\n"
                             "def handler(event, context):\n    return 'ok'\n"})
    initialized = guest.initialize(init_timeout_ms=1000)
    assert initialized.outcome.status == pb.STATUS_TIMEOUT
    done, body, _ = guest.invoke({})
    assert json.loads(body) == "ok" and done.init_duration_us > 0


@pytest.mark.parametrize("kind", KINDS)
def test_response_limit(clone, kind):
    files = python("return 'x' * event") if kind == "python" else nodejs(
        "return 'x'.repeat(event);")
    guest = ready(clone, kind, files)
    limit = 6291556
    done, body, _ = guest.invoke(limit - 2)
    assert done.outcome.status == pb.STATUS_OK and len(body) == limit
    for size in (limit - 1, 9 << 20):
        done, body, start = guest.invoke(size)
        assert done.outcome.status == pb.STATUS_RESPONSE_TOO_LARGE and not start
        assert done.outcome.error_body == (
            b'{"errorMessage":"Response payload size exceeded maximum allowed payload size '
            b'(6291556 bytes).","errorType":"Function.ResponseSizeTooLarge"}')
    assert guest.invoke(1)[1] == b'"x"'


@pytest.mark.parametrize("kind", KINDS)
def test_big_event_in_chunks(clone, kind):
    files = python("return len(event)") if kind == "python" else nodejs("return event.length;")
    guest = ready(clone, kind, files)
    done, body, _ = guest.invoke("x" * (6291456 - 2), chunks=200000)
    assert done.outcome.status == pb.STATUS_OK and json.loads(body) == 6291454


def test_tmp_full(clone):
    guest = clone("python", python(
        "with open('/tmp/big', 'wb') as f:\n    while True: f.write(bytes(1 << 20))"), scratch_mb=16)
    guest.initialize()
    done, _, _ = guest.invoke({}, timeout_ms=30000)
    assert body_of(done)["errorMessage"] == "[Errno 28] No space left on device"


def test_log_flood(clone):
    guest = ready(clone, "python", python("print('x' * 300000)\nfor i in range(20000): print(i)"))
    done, _, _ = guest.invoke({}, timeout_ms=60000)
    assert done.outcome.status == pb.STATUS_OK
    lines = guest.log_lines()
    assert [len(line) for line in lines[:2]] == [262144, 300000 - 262144]
    assert len(lines) + guest.dropped == 20002 and "19999" in lines


def test_isolation(clone):
    guest = ready(clone, "python", python("""
def denied(path, mode):
    try: open(path, mode).close()
    except OSError as e: return e.errno
st = os.stat('/tmp')
import resource
return {'uid': os.getuid(), 'cwd': os.getcwd(), 'task': denied('/var/task/x', 'w'),
        'etc': denied('/etc/x', 'w'), 'dev': sorted(os.listdir('/dev')), 'tmp': oct(st.st_mode),
        'owner': st.st_uid, 'list': os.listdir('/tmp'), 'pids': sorted(p for p in os.listdir('/proc') if p == '1'),
        'nofile': resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        'env': dict(os.environ)}"""), environment={"MINE": "1"})
    result = json.loads(guest.invoke({})[1])
    assert result["uid"] == 993 and result["cwd"] == "/var/task" and result["nofile"] == 1024
    assert result["task"] == 30 and result["etc"] in (13, 30)
    assert result["tmp"] == "0o41777" and result["owner"] == 0 and result["list"] == []
    assert result["pids"] == []
    assert not [d for d in result["dev"] if d.startswith("vd") or d.startswith("vport")]
    environment = result["env"]
    assert environment["MINE"] == "1" and environment["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert environment["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
    assert environment["TZ"] == ":UTC" and environment["_HANDLER"] == "index.handler"
    assert environment["AWS_LAMBDA_RUNTIME_API"] == "169.254.100.1:9001"
    assert "_LAMBDA_TELEMETRY_LOG_FD" not in environment


def test_environment_at_start_and_wrapper(clone):
    wrapper = '#!/bin/sh\nexport WRAPPED=yes\nexec "$@"\n'
    guest = ready(clone, "python", {**python("return [os.environ.get('WRAPPED'), sys.flags.optimize]"),
                                    "bootstrap": wrapper},
                  environment={"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/bootstrap",
                               "PYTHONOPTIMIZE": "1"})
    assert json.loads(guest.invoke({})[1]) == ["yes", 1]


def test_own_module_shadows_a_preloaded_one(clone):
    guest = ready(clone, "python", {**python("import uuid\nreturn uuid.mine"), "uuid.py": "mine = 7"})
    assert json.loads(guest.invoke({})[1]) == 7


@pytest.mark.parametrize("kind", KINDS)
def test_json_log_format(clone, kind):
    files = python("l = logging.getLogger()\nl.info('hello', extra={'k': 1})\nl.debug('no')",
                   "import logging") if kind == "python" else nodejs(
        "console.info('hello'); console.debug('no');")
    guest = ready(clone, kind, files, log_format=pb.LOG_FORMAT_JSON, application_log_level="INFO")
    guest.invoke({})
    entries = [json.loads(line) for line in guest.log_lines()]
    assert len(entries) == 1
    assert entries[0]["message"] == "hello" and entries[0]["level"] == "INFO"
    assert entries[0]["requestId"] == guest.request_id


# ---- snapshots ----

@pytest.mark.parametrize("kind", KINDS)
def test_clones_of_a_function_template_differ(templates, tmp_path, kind):
    """Every generator that code may have used before the snapshot."""
    if kind == "python":
        files = python("return [sample(), marks]", """
import random, uuid, tempfile, ssl, secrets
from snapshot_restore_py import register_before_snapshot, register_after_restore
marks = []
def sample():
    return [random.random(), str(uuid.uuid4()), os.urandom(8).hex(), secrets.token_hex(8),
            next(tempfile._get_candidate_names()), ssl.RAND_bytes(8).hex()]
sample()
@register_before_snapshot
def before(): marks.append('before')
@register_after_restore
def after(): marks.append('after')
""")
    else:
        files = nodejs("return [sample(), marks];", """
import crypto, { randomUUID } from 'crypto';
const marks = ['before', 'after'];
const sample = () => [Math.random(), randomUUID(), crypto.randomBytes(8).toString('hex'),
  crypto.randomInt(2 ** 40), globalThis.crypto.randomUUID(),
  globalThis.crypto.getRandomValues(new Uint32Array(2)).join()];
sample();
""")
    with Guest(tmp_path / "f", kind, files=files, incoming=templates(kind)) as guest:
        guest.restore()
        initialized = guest.initialize(initialization_type=pb.INITIALIZATION_TYPE_SNAP_START)
        assert initialized.outcome.status == pb.STATUS_OK, initialized
        assert guest.snapshot().outcome.status == pb.STATUS_OK
        guest.qmp("stop")
        guest.qmp("migrate-set-capabilities",
                  capabilities=[{"capability": "x-ignore-shared", "state": False}])
        guest.qmp("migrate", uri=f"exec:cat > {tmp_path}/f/whole")
        guest._wait_migration()
    results = []
    for i in range(2):
        (tmp_path / f"c{i}").mkdir()
        for disk in ("code.img", "tmp.img"):
            subprocess.run(["cp", "--sparse=always", tmp_path / "f" / disk,
                            tmp_path / f"c{i}" / disk], check=True)
        with WholeClone(tmp_path / f"c{i}", kind, tmp_path / "f") as twin:
            restored = twin.restore()
            assert restored.outcome.status == pb.STATUS_OK
            assert abs(restored.realtime_us - time.time_ns() // 1000) < 2_000_000
            results.append(json.loads(twin.invoke({})[1]) + [restored.random_sample.hex()])
    assert results[0][1] == results[1][1] == ["before", "after"]
    same = [(a, b) for a, b in zip(results[0][0], results[1][0]) if a == b]
    assert not same and results[0][2] != results[1][2]


class WholeClone(Guest):
    """A clone from a state that contains the memory too."""

    def __init__(self, folder, kind, source):
        self.source = source
        (folder / "ram").touch()
        super().__init__(folder, kind, files=None, incoming=folder)

    def _ignore_shared(self):
        pass

    def qmp(self, command, **arguments):
        if command == "migrate-incoming":
            arguments = {"uri": f"exec:cat {self.source}/whole"}
        return super().qmp(command, **arguments)


def test_clones_of_a_base_template_differ(clone):
    files = python("import random, ssl, tempfile\n"
                   "return [random.random(), os.urandom(8).hex(), ssl.RAND_bytes(8).hex(),\n"
                   "        next(tempfile._get_candidate_names())]")
    values = [json.loads(ready(clone, "python", files).invoke({})[1]) for _ in range(2)]
    assert all(one != other for one, other in zip(*values)), values


@pytest.mark.parametrize("scratch_mb", (512, 10240))
def test_scratch_disk_mounted_in_the_template(tmp_path, scratch_mb):
    """A clone goes on with its copy of the template's disk, and makes it as big as it should be."""
    base, twin = tmp_path / "base", tmp_path / "twin"
    for folder in (base, twin):
        folder.mkdir()
    guest_driver.make_package(base / "code.img", {"empty": ""})
    guest_driver.make_scratch(base / "tmp.img")
    template = Guest(base, "python")
    assert template.prepare(scratch_mb=512).outcome.status == pb.STATUS_OK
    assert template.snapshot().outcome.status == pb.STATUS_OK
    saved = template.save()
    guest_driver.make_package(twin / "code.img", python(
        "data = os.urandom(20 << 20)\nwith open('/tmp/x', 'wb') as f: f.write(data)\n"
        "size = os.statvfs('/tmp')\nos.sync()\n"
        "return [open('/tmp/x', 'rb').read() == data, os.listdir('/tmp'),\n"
        "        size.f_blocks * size.f_frsize >> 20]"))
    subprocess.run(["cp", "--sparse=always", base / "tmp.img", twin / "tmp.img"], check=True)
    guest = Guest(twin, "python", incoming=saved)
    try:
        assert guest.restore().outcome.status == pb.STATUS_OK
        assert guest.initialize(ephemeral_storage_mb=scratch_mb).outcome.status == pb.STATUS_OK
        same, names, size_mb = json.loads(guest.invoke({})[1])
        assert same and names == ["x"] and scratch_mb * 0.8 < size_mb <= scratch_mb
    finally:
        guest.close()


# ---- hostile peers ----

def test_malformed_frame_from_the_agent_ends_the_guest(clone):
    guest = clone("python", python("return 1"))
    guest.send_raw(struct.pack("<I", 3) + b"\xff\xff\xff")
    assert guest.expect("fatal").message == "malformed message from the agent"


def test_second_task_is_refused(clone):
    guest = ready(clone, "python", python("time.sleep(5)"))
    guest.start_invoke({})
    guest.send(warm=pb.Warm(rounds=1))
    assert "came while" in guest.expect("fatal").message


def test_a_hostile_function_on_the_link(clone):
    guest = ready(clone, "python", python("os.write(3, b'\\xff' * 64)\ntime.sleep(30)"))
    done, _, _ = guest.invoke({})
    assert done.outcome.status == pb.STATUS_EXIT
    assert "malformed frame" in body_of(done)["errorMessage"]


# ---- custom runtimes ----

def test_provided_example(clone):
    guest = ready(clone, "provided", example("provided"), handler="any.thing")
    for event in ({"a": 1}, "x" * 1000):
        done, body, start = guest.invoke(event)
        assert done.outcome.status == pb.STATUS_OK
        assert json.loads(body) == {"handler": "any.thing", "bytes": len(json.dumps(event))}
        assert start.content_type == "application/json"
        assert guest.log_lines()[0].startswith(f"event {guest.request_id}: ")
        assert guest.logs[0].source == pb.LOG_SOURCE_STDERR


def test_provided_restore(templates, tmp_path):
    """A runtime that knows restore/next waits there over the snapshot."""
    loop = ('while :; do curl -sS -D /tmp/h -o /dev/null "$api/invocation/next"\n'
            "id=$(sed -n 's/^Lambda-Runtime-Aws-Request-Id: *\\([^[:space:]]*\\).*/\\1/p' /tmp/h)\n"
            'curl -sS -o /dev/null -d "\\"$restored\\"" "$api/invocation/$id/response"\ndone\n')
    files = {"bootstrap": '#!/bin/sh\napi="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"\n'
             "restored=$(curl -sS -o /dev/null -w '%{http_code}' \"$api/restore/next\")\n" + loop}
    with Guest(tmp_path / "f", "provided", files=files, incoming=templates("provided")) as guest:
        guest.restore()
        initialized = guest.initialize(initialization_type=pb.INITIALIZATION_TYPE_SNAP_START)
        assert initialized.outcome.status == pb.STATUS_OK, initialized
        assert guest.snapshot().outcome.status == pb.STATUS_OK
        assert guest.restore().outcome.status == pb.STATUS_OK
        assert guest.invoke({})[1] == b'"200"'


@pytest.mark.parametrize("files, kind_of_error, message", [
    ({"other": ""}, "Runtime.InvalidEntrypoint",
     "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"),
    ({"bootstrap": "#!/no/such/interpreter\n"}, "Runtime.InvalidEntrypoint",
     "fork/exec /var/task/bootstrap: no such file or directory"),
    ({"bootstrap": "not a program"}, "Runtime.InvalidEntrypoint",
     "fork/exec /var/task/bootstrap: exec format error"),
    ({"bootstrap": "#!/bin/sh\nexit 5\n"}, "Runtime.ExitError",
     "Runtime exited with error: exit status 5"),
])
def test_provided_that_does_not_start(clone, files, kind_of_error, message):
    guest = clone("provided", files)
    outcome = guest.initialize().outcome
    assert json.loads(outcome.error_body) == {"errorType": kind_of_error,
                                              "errorMessage": f"Error: {message}"}
    done, _, _ = guest.invoke({})
    assert body_of(done) == {"errorType": kind_of_error,
                             "errorMessage": f"RequestId: {guest.request_id} Error: {message}"}


def test_init_error_of_a_custom_runtime(clone):
    files = {"bootstrap": '#!/bin/sh\ncurl -sS -H "Lambda-Runtime-Function-Error-Type: Runtime.Mine" '
             '-d \'{"errorType":"Mine","errorMessage":"no"}\' '
             '"http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/init/error"\n'}
    outcome = clone("provided", files).initialize().outcome
    assert outcome.status == pb.STATUS_FUNCTION_ERROR and outcome.error_type == "Runtime.Mine"
    assert outcome.error_body == b'{"errorType":"Mine","errorMessage":"no"}'


def test_whatever_a_function_leaves_running_dies_with_it(clone):
    guest = ready(clone, "python", python("""
import subprocess
if event.get('spawn'):
    subprocess.Popen(['/bin/sh', '-c', 'trap "" TERM; exec sleep 600'], start_new_session=True)
    os._exit(1)
names = []
for p in os.listdir('/proc'):
    if p.isdigit():
        try: names.append(open(f'/proc/{p}/comm').read().strip())
        except OSError: pass
return names"""))
    guest.invoke({"spawn": True})
    names = json.loads(guest.invoke({})[1])
    assert "sleep" not in names and names


def test_unhandled_node_errors(clone):
    guest = ready(clone, "nodejs", nodejs(
        "if (event.reject) Promise.reject(new Error('lost')); else setTimeout(() => "
        "{ throw new Error('late'); }, 5); await new Promise((r) => setTimeout(r, 500));"))
    done, _, _ = guest.invoke({"reject": 1})
    assert body_of(done)["errorType"] == "Runtime.UnhandledPromiseRejection"
    assert body_of(done)["errorMessage"] == "Error: lost"
    done, _, _ = guest.invoke({})
    assert body_of(done)["errorMessage"] == "late"


def test_a_response_that_streams_over_a_timeout(clone):
    guest = ready(clone, "nodejs", {"index.mjs": """
export const handler = awslambda.streamifyResponse(async (event, stream) => {
  stream.write('begun');
  await new Promise((r) => setTimeout(r, 60000));
});"""})
    done, body, _ = guest.invoke({}, timeout_ms=1000)
    assert body == b"begun" and done.stream_failed
    assert done.outcome.status == pb.STATUS_TIMEOUT
