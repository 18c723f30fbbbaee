# SPDX-License-Identifier: Apache-2.0
"""The Lambda Runtime API from inside a microVM: every endpoint, header, status and error body, by a
custom runtime that makes the requests its events tell it to."""

import json
import re
import time

import pytest

import node as e2e

OK = [202, {"status": "OK"}]


@pytest.fixture(scope="module")
def bootstrap(static_program):
    return static_program("scripted_bootstrap.c")


class Scripted:
    def __init__(self, node, name):
        self.node, self.name = node, name

    def steps(self, *steps, **options):
        return self.node.invoke(self.name, "~".join(steps), **options)

    def report(self):
        """What the Runtime API answered since the last report: [status, body]."""
        def decoded(text):
            try:
                return json.loads(text)
            except ValueError:
                return text

        result = self.node.invoke(self.name, "report")
        assert result.error == "", result
        return [[status, decoded(text)] for status, text in result.json]


@pytest.fixture(scope="module")
def scripted(node, bootstrap):
    name = node.create(e2e.PROVIDED, {"bootstrap": bootstrap}, "any.thing", name=e2e.unique("api"),
                       timeout_seconds=5)
    yield Scripted(node, name)
    node.delete(name)


def test_response_is_passed_on_byte_for_byte(scripted):
    result = scripted.steps("POST|/invocation/@/response||{ 'not' :  json }  ")
    assert result.payload == b"{ 'not' :  json }  "
    assert result.error == ""
    assert scripted.report() == [OK]


def test_error_is_passed_on_unchanged(scripted):
    body = '{"any": "thing", "errorType": "X"}'.replace('"', "'")
    result = scripted.steps(f"POST|/invocation/@/error|Lambda-Runtime-Function-Error-Type: Runtime.Own|{body}")
    assert result.error == "Unhandled"
    assert result.payload.decode() == body
    assert scripted.report() == [OK]


def test_headers_of_next(scripted):
    before = time.time()
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    result = scripted.steps("headers", "POST|/invocation/@/response||null", trace_id=trace,
                            client_context=b'{"custom": {"k": "v"}}')
    [[_, head], _] = scripted.report()
    lines = head.split("\n")
    assert re.match(r"HTTP/1\.1 200 ", lines[0])
    headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:] if line)}
    assert headers["lambda-runtime-aws-request-id"] == result.request_id
    assert headers["lambda-runtime-invoked-function-arn"] == \
        f"arn:aws:lambda:us-east-1:123456789012:function:{scripted.name}"
    assert headers["lambda-runtime-trace-id"] == trace
    assert json.loads(headers["lambda-runtime-client-context"]) == {"custom": {"k": "v"}}
    assert headers["content-type"] == "application/json"
    assert "lambda-runtime-cognito-identity" not in headers
    deadline = int(headers["lambda-runtime-deadline-ms"]) / 1000
    # The guest's clock is the host's, within the second that it may take from there to here.
    assert before + 4 < deadline < time.time() + 6


def test_empty_values_have_no_header(scripted):
    scripted.steps("headers", "POST|/invocation/@/response||null")
    head = scripted.report()[0][1].lower()
    assert "lambda-runtime-client-context" not in head
    assert "lambda-runtime-aws-tenant-id" not in head
    # A trace there always is.
    assert re.search(r"^lambda-runtime-trace-id: root=1-[0-9a-f]{8}-[0-9a-f]{24};parent=[0-9a-f]{16};sampled=0$",
                     head, re.M)


def test_wrong_request_id(scripted):
    other = "11111111-2222-3333-4444-555555555555"
    scripted.steps(f"POST|/invocation/{other}/response||null", f"POST|/invocation/{other}/error||null",
                   "POST|/invocation/@/response||null")
    invalid = [400, {"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"}]
    assert scripted.report() == [invalid, invalid, OK]


def test_answering_twice(scripted):
    result = scripted.steps("POST|/invocation/@/response||1", "POST|/invocation/@/response||2",
                            "POST|/invocation/@/error||3")
    assert result.payload == b"1" and result.error == ""
    first, second, third = scripted.report()
    assert first == OK
    for status, body in (second, third):
        assert (status, body["errorType"]) in ((403, "InvalidStateTransition"), (400, "InvalidRequestID"))


def test_next_while_an_invocation_runs(scripted):
    scripted.steps("GET|/invocation/next", "POST|/invocation/@/response||null")
    [[status, body], last] = scripted.report()
    assert status == 403
    assert body["errorType"] == "InvalidStateTransition"
    assert re.fullmatch(r"State transition from \S+ to \S+ failed for runtime\. Error: .+", body["errorMessage"])
    assert last == OK


def test_init_error_after_init(scripted):
    scripted.steps("POST|/init/error||{}", "POST|/invocation/@/response||null")
    [[status, body], last] = scripted.report()
    assert (status, body["errorType"]) == (403, "InvalidStateTransition")
    assert last == OK


def test_response_mode(scripted):
    result = scripted.steps("POST|/invocation/@/response|Lambda-Runtime-Function-Response-Mode: bogus|1")
    assert result.error == "Unhandled"
    assert result.json["errorType"] == "Runtime.InvalidResponseModeHeader"
    assert scripted.report() == [[400, {"errorMessage": "Invalid function response mode",
                                        "errorType": "InvalidFunctionResponseMode"}]]


def test_too_large(scripted):
    result = scripted.steps(f"large|{e2e.RESPONSE_MAX + 1}")
    assert result.json == {
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        "errorType": "Function.ResponseSizeTooLarge"}
    assert scripted.report() == [[413, {"errorMessage": "Exceeded maximum allowed payload size (6291556 bytes).",
                                        "errorType": "RequestEntityTooLarge"}]]
    largest = scripted.steps(f"large|{e2e.RESPONSE_MAX}")
    assert len(largest.payload) == e2e.RESPONSE_MAX and largest.error == ""
    scripted.report()


def test_truncated_request(scripted):
    """The runtime ends its side in the midst of the response: told to it, and to the caller."""
    result = scripted.steps("truncated")
    assert result.error == "Unhandled"
    assert result.json == {"errorType": "Runtime.TruncatedResponse", "errorMessage": "Truncated response"}
    assert scripted.report() == [[400, {"errorMessage": "HTTP request detected as truncated",
                                        "errorType": "TruncatedHTTPRequest"}]]
    assert scripted.node.invoke(scripted.name, "report").sandbox == result.sandbox


def test_exit_within_a_response(scripted):
    """How the process ended says more than that its response is not whole."""
    result = scripted.steps("truncated|exit")
    assert result.json == {"errorType": "Runtime.ExitError", "errorMessage":
                           f"RequestId: {result.request_id} Error: Runtime exited with error: exit status 7"}


def test_no_http(scripted):
    scripted.steps("raw|nonsense", "POST|/invocation/@/response||null")
    assert scripted.report() == [[400, "400 Bad Request"], OK]


def test_ping_and_unknown_paths(scripted):
    scripted.steps("GET|2018-06-01/ping", "GET|nowhere", "DELETE|/invocation/next", "POST|/invocation/@/response||null")
    ping, unknown, method, _ = scripted.report()
    assert ping == [200, "pong"]
    assert unknown[0] == 404
    assert method[0] in (404, 405)


def test_streaming_with_error_in_the_trailers(node, scripted):
    def stream(step):
        i = node.protocol.invoke
        return list(node.invocations.InvokeStream(
            i.InvokeRequest(function_name=scripted.name, payload=json.dumps(step).encode()), timeout=60))

    good = stream("stream|ok")
    assert b"".join(m.payload_chunk for m in good) == b"part;" * 4
    assert good[0].start.content_type == "text/x-stream"
    assert sum(m.WhichOneof("event") == "payload_chunk" for m in good) > 1
    assert good[-1].complete.error_code == ""
    bad = stream("stream|fail")
    assert b"".join(m.payload_chunk for m in bad) == b"part;" * 4
    assert bad[-1].complete.error_code == "Function.Broken"
    assert json.loads(bad[-1].complete.error_details) == \
        {"errorMessage": "in the trailer", "errorType": "Function.Broken"}
    assert [status for status, _ in scripted.report()] == [202, 202]


def test_exit_and_signal_in_an_invocation(scripted):
    for step, text in (("exit|5", "exit status 5"), ("signal|9", "signal: killed"), ("signal|11", "signal: "),
                       ("exit|0", None)):
        result = scripted.steps("print|last words", step)
        reason = f"Runtime exited with error: {text}" if text else "Runtime exited without providing a reason"
        assert result.json["errorType"] == "Runtime.ExitError"
        assert result.json["errorMessage"].startswith(f"RequestId: {result.request_id} Error: {reason}")
        assert "last words\n" in result.log
    assert scripted.report() == []


def init_result(node, files, mode="", timeout_seconds=5):
    name = node.create(e2e.PROVIDED, files, "any", name=e2e.unique("init"), timeout_seconds=timeout_seconds,
                       environment={"MODE": mode} if mode else {})
    try:
        return node.invoke(name)
    finally:
        node.delete(name)


def test_init_error_reaches_the_caller(node, bootstrap):
    result = init_result(node, {"bootstrap": bootstrap}, "init-error")
    assert result.error == "Unhandled"
    assert result.json == {"errorMessage": "told at init", "errorType": "Runtime.Own", "more": [1]}


def test_exit_at_init(node, bootstrap):
    result = init_result(node, {"bootstrap": bootstrap}, "exit")
    assert result.error == "Unhandled"
    assert result.json["errorType"] == "Runtime.ExitError"
    assert result.json["errorMessage"].endswith("Error: Runtime exited with error: exit status 3")


def test_no_bootstrap(node):
    result = init_result(node, {"other": "x"})
    assert result.error == "Unhandled"
    assert result.json["errorType"] == "Runtime.InvalidEntrypoint"
    assert "bootstrap" in result.json["errorMessage"]


def test_bootstrap_that_is_not_executable(node, bootstrap):
    import io
    import zipfile
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("bootstrap")
        info.external_attr = 0o100644 << 16
        archive.writestr(info, bootstrap)
    result = init_result(node, out.getvalue())
    assert result.error == "Unhandled"
    assert result.json["errorType"] == "Runtime.InvalidEntrypoint"


def test_bootstrap_that_is_no_program(node):
    result = init_result(node, {"bootstrap": b"\x7fELFnonsense"})
    assert result.error == "Unhandled"
    assert result.json["errorType"] in ("Runtime.InvalidEntrypoint", "Runtime.ExitError")
