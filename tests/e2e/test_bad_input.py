# SPDX-License-Identifier: Apache-2.0
"""Bad input: a precise error that names the field and the rule, and nothing changes."""

import io
import json
import re
import stat
import struct
import zipfile

import pytest

import node as e2e

Status = e2e.grpc.StatusCode
GOOD = {"index.py": "def handler(event, context):\n    return event\n"}


def create(node, name=None, runtime=e2e.PYTHON, files=None, handler="index.handler", **options):
    name = e2e.unique("bad") if name is None else name
    return node.refusal(node.functions.Create, node.create_request(name, runtime, files or GOOD, handler, **options))


def assert_invalid(refusal, field, text, reason="InvalidParameterValueException"):
    assert refusal.status == Status.INVALID_ARGUMENT, refusal
    assert refusal.reason == reason, refusal
    assert (refusal.domain, refusal.type) == ("mayfly", "User")
    assert field is None or refusal.field == field, refusal
    assert re.search(text, refusal.message), refusal


# -- fields -----------------------------------------------------------------------------------

FIELDS = {
    "unknown runtime": ({"runtime": "cobol85"}, "runtime",
                        r"Value cobol85 at 'runtime' failed to satisfy constraint: "
                        r"Member must satisfy enum value set: \[.*python3\.13.*\] or be a valid ARN"),
    "deprecated runtime": ({"runtime": "python2.7"}, "runtime",
                           r"The runtime parameter of python2\.7 is no longer supported for creating or updating"),
    "no runtime": ({"runtime": ""}, "runtime", r"^Runtime and Handler are mandatory parameters for functions created"),
    "no handler": ({"handler": ""}, "handler", r"^Runtime and Handler are mandatory parameters for functions created"),
    "handler with a blank": ({"handler": "a b"}, "handler", r"at 'handler' failed to satisfy constraint"),
    "handler too long": ({"handler": "h." + "x" * 127}, "handler", r"length less than or equal to 128"),
    "empty name": ({"name": ""}, "function_name", r"functionName"),
    "bad name": ({"name": "no spaces!"}, "function_name", r"at 'functionName' failed to satisfy constraint"),
    "name too long": ({"name": "n" * 65}, "function_name", r"64"),
    "memory too small": ({"memory_size_mb": 127}, "memory_size_mb",
                         r"Value '127' at 'memorySize' failed to satisfy constraint: "
                         r"Member must have value greater than or equal to 128"),
    "memory too large": ({"memory_size_mb": 10241}, "memory_size_mb", r"less than or equal to 10240"),
    "timeout zero": ({"timeout_seconds": 0}, "timeout_seconds", r"greater than or equal to 1"),
    "timeout too long": ({"timeout_seconds": 901}, "timeout_seconds", r"less than or equal to 900"),
    "storage too small": ({"ephemeral_storage_mb": 511}, "ephemeral_storage_mb", r"greater than or equal to 512"),
    "storage too large": ({"ephemeral_storage_mb": 10241}, "ephemeral_storage_mb", r"less than or equal to 10240"),
    "description too long": ({"description": "d" * 257}, "description", r"length less than or equal to 256"),
    "environment over 4 KB": ({"environment": {"KEY": "v" * 4096}}, "environment",
                              r"exceeded the 4KB limit\. String measured: "),
    "reserved key": ({"environment": {"AWS_REGION": "x", "OK_KEY": "y", "LAMBDA_TASK_ROOT": "/"}}, "environment",
                     r"reserved keys that are currently not supported for modification\. "
                     r"Reserved keys used in this request: AWS_REGION, LAMBDA_TASK_ROOT"),
    "bad key": ({"environment": {"1KEY": "x"}}, "environment", r"\[a-zA-Z\]\(\[a-zA-Z0-9_\]\)\+"),
}


@pytest.mark.parametrize("case", FIELDS)
def test_field(node, case):
    options, field, text = FIELDS[case]
    before = node.gauges().functions_total
    assert_invalid(create(node, **options), field, text)
    assert node.gauges().functions_total == before


def test_two_broken_rules_are_told_together(node):
    refusal = create(node, memory_size_mb=1, timeout_seconds=1000)
    assert refusal.message.startswith("2 validation errors detected: ")


def test_other_tenant(node):
    assert create(node, tenant="999999999999").status in (Status.PERMISSION_DENIED, Status.NOT_FOUND)
    assert create(node, tenant="x").status in (Status.INVALID_ARGUMENT, Status.PERMISSION_DENIED, Status.NOT_FOUND)


def test_duplicate_name(node, deploy):
    name = deploy(e2e.PYTHON, GOOD)
    revision = node.get(name).revision_id
    refusal = create(node, name=name)
    assert (refusal.status, refusal.reason) == (Status.ABORTED, "ResourceConflictException")
    assert refusal.message == f"Function already exist: {name}"
    assert node.get(name).revision_id == revision


def test_bad_update_changes_nothing(node, deploy):
    f = node.protocol.function
    name = deploy(e2e.PYTHON, GOOD)
    before = node.get(name)
    for request, field in ((f.UpdateFunctionConfigurationRequest(function_name=name, memory_size_mb=64),
                            "memory_size_mb"),
                           (f.UpdateFunctionConfigurationRequest(function_name=name, runtime="cobol"), "runtime")):
        assert_invalid(node.refusal(node.functions.UpdateConfiguration, request), field, "")
    stale = node.refusal(node.functions.UpdateConfiguration, f.UpdateFunctionConfigurationRequest(
        function_name=name, description="x", revision_id="11111111-2222-3333-4444-555555555555"))
    assert (stale.status, stale.reason) == (Status.FAILED_PRECONDITION, "PreconditionFailedException")
    assert stale.message.startswith("The Revision Id provided does not match the latest Revision Id. ")
    bad_zip = node.refusal(node.functions.UpdateCode, f.UpdateFunctionCodeRequest(
        function_name=name, zip_file=b"not a zip"))
    assert_invalid(bad_zip, None, "^Could not unzip uploaded file")
    dry = node.functions.UpdateCode(f.UpdateFunctionCodeRequest(
        function_name=name, zip_file=e2e.make_zip({"index.py": "changed"}), dry_run=True), timeout=60)
    assert dry.function_name == name
    assert node.get(name) == before


def test_unknown_function(node):
    f, i = node.protocol.function, node.protocol.invoke
    arn = "arn:aws:lambda:us-east-1:123456789012:function:missing"
    for call, request in ((node.functions.Get, f.GetFunctionRequest(function_name="missing")),
                          (node.functions.Delete, f.DeleteFunctionRequest(function_name="missing")),
                          (node.functions.UpdateCode, f.UpdateFunctionCodeRequest(
                              function_name="missing", zip_file=e2e.make_zip(GOOD))),
                          (node.functions.UpdateConfiguration, f.UpdateFunctionConfigurationRequest(
                              function_name="missing"))):
        refusal = node.refusal(call, request)
        assert (refusal.status, refusal.reason) == (Status.NOT_FOUND, "ResourceNotFoundException"), refusal
        assert refusal.message == f"Function not found: {arn}"
    refusal = node.refusal(node.invocations.Invoke, i.InvokeRequest(function_name="missing"))
    assert refusal.message == f"Function not found: {arn}:$LATEST"
    assert refusal.status == Status.NOT_FOUND


NAMES = {
    "bad characters": ("a*b", "", Status.INVALID_ARGUMENT),
    "two qualifiers": ("name:A", "B", Status.INVALID_ARGUMENT),
    "other region": ("arn:aws:lambda:eu-west-9:123456789012:function:f", "", Status.NOT_FOUND),
    "other account": ("arn:aws:lambda:us-east-1:210987654321:function:f", "", Status.PERMISSION_DENIED),
    "bad qualifier": ("f", "no blanks", Status.INVALID_ARGUMENT),
    "name of 65": ("n" * 65, "", Status.NOT_FOUND),
    "unknown version": ("@", "17", Status.NOT_FOUND),
}


@pytest.mark.parametrize("case", NAMES)
def test_name_forms(node, python_probe, case):
    name, qualifier, status = NAMES[case]
    name = name.replace("@", python_probe.name)
    refusal = node.refusal(node.functions.Get, node.protocol.function.GetFunctionRequest(
        function_name=name, qualifier=qualifier))
    assert refusal.status == status, refusal
    assert refusal.message or status == Status.PERMISSION_DENIED


def test_delete_latest_is_refused(node, python_probe):
    refusal = node.refusal(node.functions.Delete, node.protocol.function.DeleteFunctionRequest(
        function_name=python_probe.name, qualifier="$LATEST"))
    assert_invalid(refusal, None, r"\$LATEST version cannot be deleted without deleting the function\.")
    assert node.get(python_probe.name)


# -- invocations ------------------------------------------------------------------------------


def test_payload_over_its_limit(node, python_probe):
    request = node.protocol.invoke.InvokeRequest(function_name=python_probe.name,
                                                 payload=b'"' + b"x" * (e2e.PAYLOAD_MAX - 1) + b'"')
    refusal = node.refusal(node.invocations.Invoke, request)
    assert refusal.reason == "RequestTooLargeException", refusal
    assert refusal.message == (f"{e2e.PAYLOAD_MAX + 1} byte payload is too large for the RequestResponse "
                               f"invocation type (limit {e2e.PAYLOAD_MAX} bytes)")


@pytest.mark.parametrize("payload", [b"{", b"nonsense", b'{"a": 1} x', b"\xff\xfe", b"[" * 100000],
                         ids=["cut", "word", "tail", "bytes", "deep"])
def test_payload_is_not_json(node, python_probe, payload):
    started = node.gauges().invocations_total
    refusal = node.refusal(node.invocations.Invoke, node.protocol.invoke.InvokeRequest(
        function_name=python_probe.name, payload=payload))
    assert_invalid(refusal, None, r"Could not parse request body into json", "InvalidRequestContentException")
    assert node.gauges().invocations_total == started


def test_client_context_over_its_limit(node, python_probe):
    refusal = node.refusal(node.invocations.Invoke, node.protocol.invoke.InvokeRequest(
        function_name=python_probe.name, client_context=json.dumps({"custom": {"k": "v" * 3600}}).encode()))
    assert refusal.status == Status.INVALID_ARGUMENT, refusal


def test_dry_run(node, python_probe):
    i = node.protocol.invoke
    before = node.gauges().invocations_total
    answer = node.invocations.Invoke(i.InvokeRequest(
        function_name=python_probe.name, invocation_type=i.INVOCATION_TYPE_DRY_RUN), timeout=30)
    assert (answer.status_code, answer.payload, answer.function_error) == (204, b"", "")
    assert node.gauges().invocations_total == before
    refusal = node.refusal(node.invocations.Invoke, i.InvokeRequest(
        function_name="missing", invocation_type=i.INVOCATION_TYPE_DRY_RUN))
    assert refusal.status == Status.NOT_FOUND


def test_invoke_while_pending(node, deploy):
    """SnapStart of the latest version keeps a function Pending while its snapshot is made."""
    f = node.protocol.function
    slow = {"index.py": "import time\ntime.sleep(4)\ndef handler(event, context):\n    return 1\n"}
    name = deploy(e2e.PYTHON, slow, wait=False,
                  snap_start=f.SnapStart(apply_on=f.SNAP_START_APPLY_ON_LATEST))
    assert node.get(name).state == f.FUNCTION_STATE_PENDING
    refusal = node.refusal(node.invocations.Invoke, node.protocol.invoke.InvokeRequest(function_name=name))
    assert (refusal.status, refusal.reason) == (Status.ABORTED, "ResourceConflictException"), refusal
    assert refusal.message == ("The operation cannot be performed at this time. "
                               "The function is currently in the following state: Pending")
    update = node.refusal(node.functions.UpdateConfiguration, f.UpdateFunctionConfigurationRequest(
        function_name=name, description="x"))
    assert (update.status, update.reason) == (Status.ABORTED, "ResourceConflictException"), update
    node.wait_active(name)
    assert node.invoke(name).json == 1


# -- archives ---------------------------------------------------------------------------------


def archive(*entries):
    """A ZIP of (name, content, mode) whatever the names are."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = mode << 16
            made.writestr(info, content)
    return out.getvalue()


FILE, LINK = stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777


def encrypted():
    """A flag in both headers says so."""
    data = bytearray(e2e.make_zip(GOOD))
    for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.index(magic) + offset
        struct.pack_into("<H", data, at, struct.unpack_from("<H", data, at)[0] | 1)
    return bytes(data)


def damaged():
    content = bytes(range(256)) * 64
    data = bytearray(archive(("index.py", content, FILE)))
    at = data.index(b"PK\3\4") + 30 + len("index.py") + 8
    for i in range(at, at + 16):
        data[i] ^= 0x5A
    return bytes(data)


UNZIP = r"^Could not unzip uploaded file\. Please check your file, then try to upload again\."
ARCHIVES = {
    "nothing": (lambda: b"", r""),
    "no zip": (lambda: b"this is no archive at all" * 10, UNZIP),
    "cut": (lambda: e2e.make_zip({"index.py": "x = 1\n" * 1000})[:60], UNZIP),
    "damaged": (damaged, r""),
    "encrypted": (encrypted, r""),
    "path escape": (lambda: archive(("../evil", "x", FILE)), r"\.\./evil"),
    "path escape inside": (lambda: archive(("a/../../evil", "x", FILE)), r"a/\.\./\.\./evil"),
    "absolute path": (lambda: archive(("/etc/evil", "x", FILE)), r"/etc/evil"),
    "link out": (lambda: archive(("link", "../../etc/passwd", LINK)), r"link"),
    "absolute link": (lambda: archive(("link", "/etc/passwd", LINK)), r"link"),
    "device": (lambda: archive(("dev", "", stat.S_IFCHR | 0o666)), r"dev"),
    "twice": (lambda: archive(("a", "1", FILE), ("a", "2", FILE)), r"a"),
    "file as folder": (lambda: archive(("a", "1", FILE), ("a/b", "2", FILE)), r"a"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_archive(node, case):
    make, text = ARCHIVES[case]
    name = e2e.unique("zip")
    before = node.gauges().functions_total
    refusal = node.refusal(node.functions.Create, node.create_request(name, e2e.PYTHON, make()))
    assert refusal.status == Status.INVALID_ARGUMENT, refusal
    assert refusal.reason in ("InvalidZipFileException", "InvalidParameterValueException"), refusal
    assert re.search(text, refusal.message), refusal
    assert node.gauges().functions_total == before
    assert node.refusal(node.functions.Get, node.protocol.function.GetFunctionRequest(
        function_name=name)).status == Status.NOT_FOUND


def test_links_inside_are_kept(node, deploy):
    data = archive(("index.py", "def handler(event, context):\n    return open('inner/link').read()\n", FILE),
                   ("inner/link", "../target", LINK), ("target", "linked", FILE))
    assert node.invoke(deploy(e2e.PYTHON, data)).json == "linked"


def test_zip_over_50_mb(node):
    data = archive(("index.py", "x", FILE))
    request = node.create_request(e2e.unique("zip"), e2e.PYTHON, b"\0" * (52428801 - len(data)) + data)
    refusal = node.refusal(node.functions.Create, request)
    assert refusal.reason == "RequestTooLargeException", refusal
    assert refusal.message == "Zipped size must be smaller than 52428800 bytes"


def bomb(megabytes, files=1):
    block = b"\0" * (1 << 20)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for i in range(files):
            with made.open(f"zeros{i}", "w") as entry:
                for _ in range(megabytes):
                    entry.write(block)
    return out.getvalue()


@pytest.mark.parametrize("megabytes, files", [(251, 1), (26, 10)], ids=["one file", "ten files"])
def test_zip_bomb(node, megabytes, files):
    refusal = node.refusal(node.functions.Create, node.create_request(
        e2e.unique("zip"), e2e.PYTHON, bomb(megabytes, files)))
    assert_invalid(refusal, None, r"^Unzipped size must be smaller than 262144000 bytes")


def test_too_many_entries(node):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for i in range(100001):
            made.writestr(zipfile.ZipInfo(f"d/{i}"), b"")
    refusal = node.refusal(node.functions.Create, node.create_request(e2e.unique("zip"), e2e.PYTHON, out.getvalue()))
    assert refusal.status == Status.INVALID_ARGUMENT, refusal


def test_refused_archives_leave_nothing(node):
    """No upload, no half image: only packages that a function has."""
    e2e.wait_until(lambda: not [p for p in node.state.glob("uploads/*")], 30, "no upload left")
    names = [p.name for p in node.state.glob("packages/*")]
    assert all(re.fullmatch(r"[0-9a-f]{64}\.(erofs|files|[0-9a-f]{16}\.bytecode)", name)
               for name in names), names
    images = {name[:64] for name in names if name.endswith(".erofs")}
    assert {name[:64] for name in names} == images, names


# -- other services ---------------------------------------------------------------------------


def test_templates_refuse(node):
    n = node.protocol.node

    def build(request, timeout):
        return list(node.templates.Build(request, timeout=timeout))

    assert_invalid(node.refusal(build, n.BuildTemplateRequest(runtime="cobol", memory_size_mb=128)), "runtime", "cobol")
    assert_invalid(node.refusal(build, n.BuildTemplateRequest(runtime=e2e.PYTHON, memory_size_mb=1)),
                   "memory_size_mb", "")
    for name in ("nonsense", "../../etc"):
        refusal = node.refusal(node.templates.Drop, n.DropTemplateRequest(template_id=name))
        assert refusal.status == Status.NOT_FOUND, refusal


def test_logs_refuse(node, python_probe):
    get, request = node.logs.Get, node.protocol.log.GetLogEventsRequest
    for bad in (request(), request(function_name=python_probe.name, log_group_name="/x"),
                request(function_name=python_probe.name, next_token="nonsense"),
                request(log_group_name="no blanks"), request(log_group_name="g" * 513)):
        assert node.refusal(get, bad).status in (Status.INVALID_ARGUMENT, Status.NOT_FOUND), bad
    # Names that are no paths, whatever they look like.
    for empty in (request(log_group_name="../../etc"),
                  request(function_name=python_probe.name, log_stream_name="../../../registry.db")):
        assert not get(empty, timeout=30).events
    assert node.refusal(get, request(function_name="missing")).status == Status.NOT_FOUND


def test_unknown_method_and_garbage(node):
    def raw(method, data):
        call = node.channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
        return node.refusal(call, data)

    assert raw("/mayfly.v1.FunctionService/Nothing", b"").status == Status.UNIMPLEMENTED
    assert raw("/no.such.Service/Get", b"").status == Status.UNIMPLEMENTED
    garbage = raw("/mayfly.v1.FunctionService/Create", b"\xff" * 100)
    assert garbage.status in (Status.INVALID_ARGUMENT, Status.INTERNAL), garbage
    assert node.health() == "SERVING"
