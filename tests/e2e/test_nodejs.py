# SPDX-License-Identifier: Apache-2.0
"""The Node.js runtime: module kinds, callbacks, streaming, context, errors."""

import json
import re

import pytest

import node as e2e

ESM = "export const handler = async (event, context) => ({ kind: 'esm', url: import.meta.url });\n"
COMMON = "exports.handler = async () => ({ kind: 'common', dir: __dirname });\n"

HANDLERS = {
    "mjs": ({"index.mjs": ESM}, "index.handler", {"kind": "esm", "url": "file:///var/task/index.mjs"}),
    "js_module": ({"index.js": ESM, "package.json": '{"type": "module"}'}, "index.handler",
                  {"kind": "esm", "url": "file:///var/task/index.js"}),
    "js": ({"index.js": COMMON}, "index.handler", {"kind": "common", "dir": "/var/task"}),
    "cjs": ({"index.cjs": COMMON}, "index.handler", {"kind": "common", "dir": "/var/task"}),
    "folder": ({"src/app.js": COMMON}, "src/app.handler", {"kind": "common", "dir": "/var/task/src"}),
    "nested": ({"index.js": "exports.a = { b: async () => 'nested' };\n"}, "index.a.b", "nested"),
    "callback": ({"index.js": "exports.handler = (event, context, callback) => "
                  "setTimeout(() => callback(null, 'called'), 10);\n"}, "index.handler", "called"),
    "top_level_await": ({"index.mjs": "const value = await Promise.resolve('awaited');\n"
                         "export const handler = async () => value;\n"}, "index.handler", "awaited"),
    "nothing": ({"index.js": "exports.handler = async () => {};\n"}, "index.handler", None),
    "module": ({"index.js": "const m = require('m'); exports.handler = async () => m.x;\n",
                "node_modules/m/index.js": "exports.x = 'module';\n"}, "index.handler", "module"),
    "relative_esm": ({"index.mjs": "import { x } from './lib/x.mjs';\nexport const handler = async () => x;\n",
                      "lib/x.mjs": "export const x = 'relative';\n"}, "index.handler", "relative"),
}

ERRORS = {
    "throws": ({"index.js": "exports.handler = async () => { throw new TypeError('no'); };\n"},
               "TypeError", "no"),
    "callback_error": ({"index.js": "exports.handler = (e, c, cb) => cb(new Error('called back'));\n"},
                       "Error", "called back"),
    "non_error": ({"index.js": "exports.handler = async () => { throw 'text'; };\n"}, "string", "text"),
    "import": ({"index.js": "require('no-such-module');\n"}, "Runtime.ImportModuleError",
               "Cannot find module 'no-such-module'"),
    "no_file": ({"other.js": ""}, "Runtime.ImportModuleError", "Cannot find module 'index'"),
    "no_handler": ({"index.js": ""}, "Runtime.HandlerNotFound", "index.handler is undefined or not exported"),
    "syntax": ({"index.js": "exports.handler = async ( => {};\n"}, "Runtime.UserCodeSyntaxError", "SyntaxError"),
    "at_load": ({"index.js": "throw new RangeError('at load');\n"}, "RangeError", "at load"),
    "rejection": ({"index.js": "exports.handler = () => new Promise(() => "
                   "{ Promise.reject(new Error('lost')); });\n"}, "Runtime.UnhandledPromiseRejection", "lost"),
    "uncaught": ({"index.js": "exports.handler = () => new Promise(() => "
                  "{ setTimeout(() => { throw new Error('late'); }, 5); });\n"}, "Error", "late"),
    "exit": ({"index.js": "exports.handler = async () => { process.exit(7); };\n"}, "Runtime.ExitError",
             "Runtime exited with error: exit status 7"),
}


def run_all(node, cases, handler_of):
    def run(case):
        name = node.create(e2e.NODEJS, cases[case][0], handler_of(case), name=e2e.unique("js"), timeout_seconds=60)
        try:
            return node.invoke(name, {})
        finally:
            node.delete(name)

    names = list(cases)
    results = []
    for start in range(0, len(names), 2):
        results += e2e.in_parallel([lambda n=n: run(n) for n in names[start:start + 2]])
    return dict(zip(names, results))


@pytest.fixture(scope="module")
def handler_results(node):
    return run_all(node, HANDLERS, lambda case: HANDLERS[case][1])


@pytest.fixture(scope="module")
def error_results(node):
    return run_all(node, ERRORS, lambda case: "index.handler")


@pytest.mark.parametrize("case", HANDLERS)
def test_handler(handler_results, case):
    result = handler_results[case]
    assert result.error == "", result
    assert result.json == HANDLERS[case][2]


@pytest.mark.parametrize("case", ERRORS)
def test_error(error_results, case):
    _, kind, text = ERRORS[case]
    result = error_results[case]
    assert result.error == "Unhandled", result
    assert result.json["errorType"] == kind, result
    assert text in result.json["errorMessage"]
    assert list(result.json)[:2] == ["errorType", "errorMessage"]
    if case == "throws":
        assert set(result.json) == {"errorType", "errorMessage", "trace"}
        assert result.json["trace"][0] == "TypeError: no"
        assert re.match(r"    at .*/var/task/index\.js:1:\d+", result.json["trace"][1])
        assert re.search(rf"Z\t{result.request_id}\tERROR\tInvoke Error ?\t", result.log)
    if case == "non_error":
        assert result.json["trace"] == []


def test_context(nodejs_probe):
    result = nodejs_probe.result("""
const c = context;
return { id: c.awsRequestId, name: c.functionName, version: c.functionVersion, arn: c.invokedFunctionArn,
  memory: c.memoryLimitInMB, group: c.logGroupName, stream: c.logStreamName,
  waits: c.callbackWaitsForEmptyEventLoop, left: c.getRemainingTimeInMillis(),
  kinds: [typeof c.done, typeof c.fail, typeof c.succeed], node: process.version, uid: process.getuid(),
  env: process.env, cwd: process.cwd() };
""")
    seen = result.json
    assert seen["id"] == result.request_id
    assert seen["name"] == nodejs_probe.name
    assert seen["arn"] == f"arn:aws:lambda:us-east-1:123456789012:function:{nodejs_probe.name}"
    assert (seen["version"], seen["memory"]) == ("$LATEST", "128")
    assert seen["group"] == f"/aws/lambda/{nodejs_probe.name}"
    assert seen["stream"] == seen["env"]["AWS_LAMBDA_LOG_STREAM_NAME"]
    assert seen["waits"] is True
    assert 0 < seen["left"] <= 20000
    assert seen["kinds"] == ["function"] * 3
    assert seen["node"].startswith("v20.")
    assert seen["uid"] != 0
    assert seen["cwd"] == "/var/task"
    assert seen["env"]["AWS_EXECUTION_ENV"] == "AWS_Lambda_nodejs20.x"
    assert seen["env"]["USER_KEY"] == "user value"
    assert seen["env"]["NODE_PATH"] == ("/opt/nodejs/node20/node_modules:/opt/nodejs/node_modules:"
                                        "/var/runtime/node_modules:/var/runtime:/var/task")


def test_console_levels(nodejs_probe):
    result = nodejs_probe.result("""
console.debug('d %s', 'ebug'); console.info('info'); console.warn('warn'); console.error(new Error('err'));
console.trace('trace'); console.log({ a: 1 }); console.log('two\\nlines');
""")
    for pattern in (r"Z\t@ID@\tDEBUG\td ebug\n", r"Z\t@ID@\tINFO\tinfo\n", r"Z\t@ID@\tWARN\twarn\n",
                    r"Z\t@ID@\tERROR\tError: err\n", r"Z\t@ID@\tTRACE\tTrace: trace\n", r"Z\t@ID@\tINFO\t\{ a: 1 \}\n",
                    r"Z\t@ID@\tINFO\ttwo\nlines\n"):
        assert re.search(pattern.replace("@ID@", result.request_id), result.log), (pattern, result.log)


STREAMING = """
exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  stream.setContentType(event.type || 'text/plain');
  for (let i = 0; i < event.chunks; i++) {
    stream.write(`chunk ${i};`);
    await new Promise((done) => setTimeout(done, 20));
    if (event.failAt === i) throw new Error('mid-stream');
  }
  stream.end();
});
"""


@pytest.fixture(scope="module")
def streaming(node):
    name = node.create(e2e.NODEJS, {"index.js": STREAMING}, name=e2e.unique("stream"), timeout_seconds=20)
    yield name
    node.delete(name)


def stream(node, name, event, **options):
    i = node.protocol.invoke
    request = i.InvokeRequest(function_name=name, payload=json.dumps(event).encode(), **options)
    return list(node.invocations.InvokeStream(request, timeout=120))


def test_streaming_passes_chunks_as_they_come(node, streaming):
    messages = stream(node, streaming, {"chunks": 5, "type": "text/x-mayfly"},
                      log_type=node.protocol.invoke.LOG_TYPE_TAIL)
    kinds = [m.WhichOneof("event") for m in messages]
    assert kinds[0] == "start" and kinds[-1] == "complete" and set(kinds[1:-1]) == {"payload_chunk"}
    assert messages[0].start.content_type == "text/x-mayfly"
    assert messages[0].start.executed_version == "$LATEST"
    assert re.fullmatch(e2e.UUID, messages[0].start.request_id)
    assert b"".join(m.payload_chunk for m in messages) == b"chunk 0;chunk 1;chunk 2;chunk 3;chunk 4;"
    assert kinds.count("payload_chunk") > 1, "the response came in one piece"
    assert messages[-1].complete.error_code == ""
    assert b"REPORT RequestId: " in messages[-1].complete.log_result


def test_streaming_function_invoked_for_a_whole_response(node, streaming):
    assert node.invoke(streaming, {"chunks": 3}).payload == b"chunk 0;chunk 1;chunk 2;"


def test_streaming_fails_in_the_middle(node, streaming):
    messages = stream(node, streaming, {"chunks": 5, "failAt": 1})
    assert b"".join(m.payload_chunk for m in messages).startswith(b"chunk 0;chunk 1;")
    complete = messages[-1].complete
    assert complete.error_code
    assert "mid-stream" in complete.error_details
    assert node.invoke(streaming, {"chunks": 1}).payload == b"chunk 0;"


def test_plain_function_invoked_for_a_stream(node, nodejs_probe):
    messages = stream(node, nodejs_probe.name, {"code": "return 'plain';"})
    assert b"".join(m.payload_chunk for m in messages) == b'"plain"'
    assert messages[-1].complete.error_code == ""
    failed = stream(node, nodejs_probe.name, {"code": "throw new Error('refused');"})
    assert failed[-1].complete.error_code
    assert "refused" in failed[-1].complete.error_details


def test_large_stream_is_not_bounded_by_the_buffered_limit(node, deploy):
    name = deploy(e2e.NODEJS, {"index.js": """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const block = Buffer.alloc(1 << 20, 'x');
  for (let i = 0; i < 12; i++)
    if (!stream.write(block)) await new Promise((go) => stream.once('drain', go));
  stream.end();
});
"""}, timeout_seconds=60)
    messages = stream(node, name, {})
    assert sum(len(m.payload_chunk) for m in messages) == 12 << 20
    assert messages[-1].complete.error_code == ""


def test_event_loop_is_awaited_with_callbacks(node, deploy):
    """callbackWaitsForEmptyEventLoop: the answer waits for a timer, unless it is switched off."""
    name = deploy(e2e.NODEJS, {"index.js": """
let late = 0;
exports.handler = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = event.wait;
  const seen = late;
  setTimeout(() => { late += 1; }, 100);
  callback(null, seen);
};
"""}, timeout_seconds=10)
    assert [node.invoke(name, {"wait": True}).json for _ in range(3)] == [0, 1, 2]
