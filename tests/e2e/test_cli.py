# SPDX-License-Identifier: Apache-2.0
"""The command: every verb, for people and for scripts, with its documented exit codes."""

import base64
import json
import os
import signal
import subprocess

import pytest

import node as e2e

CODE = "import os\ndef handler(event, context):\n    if event.get('fail'):\n        raise ValueError('told to')\n" \
       "    print('it ran')\n    return [event, os.environ.get('WHO')]\n"
OK, NODE_FAILED, USAGE, NOT_FOUND, CONFLICT, UNAVAILABLE, FUNCTION_ERROR = 0, 1, 2, 3, 4, 6, 8


@pytest.fixture(scope="module")
def function(mayfly, node, tmp_path_factory):
    """Made by --dir, as a person would."""
    folder = tmp_path_factory.mktemp("code")
    (folder / "app").mkdir()
    (folder / "app" / "main.py").write_text(CODE)
    name = e2e.unique("cli")
    done = mayfly("function", "create", name, "--runtime", e2e.PYTHON, "--handler", "app/main.handler", "--dir", folder,
                  "--environment", "Variables={WHO=me}", "--timeout", "5", "--output", "json")
    made = json.loads(done.stdout)
    assert made["FunctionName"] == name and made["State"] == "Active"
    assert made["Environment"] == {"Variables": {"WHO": "me"}}
    yield name
    node.delete(name)


def test_invoke_forms(mayfly, function, tmp_path):
    event = tmp_path / "event.json"
    event.write_text('{"from": "file"}')
    for arguments, stdin, expected in (
            (("--payload", '{"a": 1}'), None, {"a": 1}), ((), None, {}),
            (("--payload", f"@{event}"), None, {"from": "file"}),
            (("--payload", "-"), b'{"from": "stdin"}', {"from": "stdin"})):
        done = mayfly("invoke", function, *arguments, stdin=stdin)
        assert json.loads(done.stdout) == [expected, "me"]
        assert done.stderr == b""
    streamed = mayfly("invoke", function, "--stream")
    assert json.loads(streamed.stdout) == [{}, "me"]


def test_invoke_stream_as_json(mayfly, function):
    """An object per line; as with the aws command, pieces of a response are base64."""
    def lines(*arguments, **options):
        done = mayfly("invoke", function, "--stream", "--output", "json", *arguments, **options)
        assert done.stderr == b""
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    code, (start, *chunks, end) = lines("--log", "tail", "--payload", '{"a": "\u00e4"}')
    assert code == 0
    assert start["Start"]["ExecutedVersion"] == "$LATEST" and start["Start"]["ContentType"] == "application/json"
    payload = b"".join(base64.b64decode(chunk["PayloadChunk"]["Payload"], validate=True) for chunk in chunks)
    assert json.loads(payload) == [{"a": "\u00e4"}, "me"]
    assert f"START RequestId: {start['Start']['RequestId']}" in end["InvokeComplete"]["LogResult"]
    assert end["InvokeComplete"]["Phases"] and "ErrorCode" not in end["InvokeComplete"]
    code, (*_, end) = lines("--payload", '{"fail": true}', check=False)
    assert code == FUNCTION_ERROR
    assert end["InvokeComplete"]["ErrorCode"]
    assert json.loads(end["InvokeComplete"]["ErrorDetails"])["errorType"] == "ValueError"


def test_invoke_shows_log_and_phases(mayfly, function):
    done = mayfly("invoke", function, "--log", "tail", "-v")
    assert json.loads(done.stdout) == [{}, "me"]
    text = done.stderr.decode()
    for part in ("START RequestId: ", "it ran\n", "REPORT RequestId: ", "handler", "total"):
        assert part in text
    answer = json.loads(mayfly("invoke", function, "--output", "json", "--log", "tail").stdout)
    assert answer["StatusCode"] == 200 and answer["ExecutedVersion"] == "$LATEST"
    assert answer["Payload"] == [{}, "me"]
    assert "it ran" in answer["LogResult"]
    assert answer["Phases"]


def test_function_error_has_its_exit_code(mayfly, function):
    done = mayfly("invoke", function, "--payload", '{"fail": true}', check=False)
    assert done.returncode == FUNCTION_ERROR
    assert json.loads(done.stdout)["errorType"] == "ValueError"
    assert b"Unhandled" in done.stderr
    as_json = mayfly("invoke", function, "--payload", '{"fail": true}', "-o", "json", check=False)
    assert as_json.returncode == FUNCTION_ERROR
    assert json.loads(as_json.stdout)["FunctionError"] == "Unhandled"


@pytest.mark.parametrize("code, arguments, text", [
    (NOT_FOUND, ("invoke", "missing"), "Function not found: "),
    (NOT_FOUND, ("function", "get", "missing"), "Function not found: "),
    (NOT_FOUND, ("logs", "missing"), "missing"),
    (USAGE, ("invoke", "@name", "--payload", "{"), "Could not parse request body into json"),
    (USAGE, ("invoke",), "mayfly invoke"),
    (USAGE, ("invoke", "@name", "--no-such-option"), "--no-such-option"),
    (USAGE, ("nonsense",), "nonsense"),
    (USAGE, ("function",), "function"),
    (USAGE, ("function", "create", "x", "--runtime", "python3.13", "--handler", "a.b", "--zip", "/no/such/file"), "/no/such/file"),
    (USAGE, ("function", "update-configuration", "@name", "--memory-size", "1"), "memorySize"),
    (CONFLICT, ("function", "create", "@name", "--runtime", "python3.13", "--handler", "a.b", "--dir", "@dir"), "already exist"),
])
def test_exit_codes(mayfly, function, tmp_path, code, arguments, text):
    (tmp_path / "a.py").write_text("")
    arguments = [a.replace("@name", function).replace("@dir", str(tmp_path)) for a in arguments]
    done = mayfly(*arguments, check=False)
    assert done.returncode == code, done
    assert text in done.stderr.decode()
    assert done.stdout == b""


def test_no_node_there(mayfly, tmp_path):
    done = mayfly("node", check=False, socket=tmp_path / "no.sock")
    assert done.returncode == UNAVAILABLE, done
    assert b"no.sock" in done.stderr


def test_update_get_list_delete(mayfly, node, tmp_path):
    name = e2e.unique("cli")
    (tmp_path / "index.py").write_text("def handler(e, c):\n    return 'one'\n")
    mayfly("function", "create", name, "--runtime", e2e.PYTHON, "--handler", "index.handler", "--dir", tmp_path)
    assert mayfly("invoke", name).stdout.strip() == b'"one"'
    (tmp_path / "index.py").write_text("def handler(e, c):\n    return c.memory_limit_in_mb\n")
    mayfly("function", "update-code", name, "--dir", tmp_path)
    mayfly("function", "update-configuration", name, "--timeout", "7", "--description", "words of mine")
    assert mayfly("invoke", name).stdout.strip() == b'"128"'
    got = json.loads(mayfly("function", "get", name, "-o", "json").stdout)
    assert (got["Timeout"], got["Description"], got["LastUpdateStatus"]) == (7, "words of mine", "Successful")
    table = mayfly("function", "get", name).stdout.decode()
    assert name in table and "words of mine" in table
    listed = json.loads(mayfly("function", "list", "-o", "json").stdout)["Functions"]
    assert name in [f["FunctionName"] for f in listed]
    assert name in mayfly("function", "list").stdout.decode()
    mayfly("function", "delete", name)
    assert mayfly("function", "get", name, check=False).returncode == NOT_FOUND


def test_same_folder_same_package(mayfly, node, tmp_path):
    """--dir is reproducible, so that an unchanged deploy is seen as unchanged."""
    digests = []
    for folder in ("a", "b"):
        code = tmp_path / folder
        code.mkdir()
        for file in ("index.py", "x.txt"):
            (code / file).write_text("def handler(e, c):\n    return 1\n")
        name = e2e.unique("cli")
        mayfly("function", "create", name, "--runtime", e2e.PYTHON, "--handler", "index.handler", "--dir", code)
        digests.append(json.loads(mayfly("function", "get", name, "-o", "json").stdout)["CodeSha256"])
        mayfly("function", "delete", name)
    assert digests[0] == digests[1]


def test_node_sandboxes_templates(mayfly, function, node):
    mayfly("invoke", function)
    facts = json.loads(mayfly("node", "-o", "json").stdout)
    assert facts["Accelerator"] in ("TCG", "KVM") and facts["AcceleratorReason"]
    assert {r["Runtime"] for r in facts["Runtimes"]} == {e2e.PYTHON, e2e.NODEJS, e2e.PROVIDED}
    text = mayfly("node").stdout.decode()
    assert facts["Accelerator"] in text and facts["AcceleratorReason"] in text
    sandboxes = json.loads(mayfly("sandboxes", "-o", "json").stdout)["Sandboxes"]
    own = [s for s in sandboxes if s["FunctionName"] == function]
    assert own and own[0]["State"] in ("Frozen", "Ready", "Busy") and own[0]["Invocations"] >= 1
    assert function in mayfly("sandboxes").stdout.decode()
    templates = json.loads(mayfly("templates", "-o", "json").stdout)["Templates"]
    assert any(t["Kind"] == "Base" and t["Runtime"] == e2e.PYTHON and t["State"] == "Ready" for t in templates)
    assert e2e.PYTHON in mayfly("templates", "list").stdout.decode()


def test_build_and_drop_a_template(mayfly):
    built = json.loads(mayfly("templates", "build", e2e.PROVIDED, "--memory-size", "192", "-o", "json").stdout)
    assert built["State"] == "Ready" and built["MemorySize"] == 192
    mayfly("templates", "drop", built["TemplateId"])
    left = json.loads(mayfly("templates", "-o", "json").stdout)["Templates"]
    assert built["TemplateId"] not in [t["TemplateId"] for t in left]
    assert mayfly("templates", "drop", built["TemplateId"], check=False).returncode == NOT_FOUND


def test_logs(mayfly, function):
    mayfly("invoke", function)
    assert "it ran\n" in mayfly("logs", function, "--since", "10m").stdout.decode()
    assert mayfly("logs", f"/aws/lambda/{function}").stdout
    events = json.loads(mayfly("logs", function, "-o", "json").stdout)["events"]
    assert any(e["message"] == "it ran" and e["logStreamName"] and e["timestamp"] for e in events)


def test_follow_one_stream(build, node, mayfly, function):
    """The stream of one sandbox, though another writes to the same group."""
    mayfly("invoke", function)
    node.end_idle(function)
    one = json.loads(mayfly("invoke", function, "-o", "json").stdout)
    [stream] = {e.log_stream_name for e in node.log_events(function) if one["RequestId"] in e.message}
    log = node.folder / "follow-one.txt"
    with open(log, "wb") as out:
        process = subprocess.Popen([build / "cli/mayfly", "logs", function, "--follow", "--since", "1h", "-o", "json",
                                    "--log-stream-name", stream], stdout=out, stderr=subprocess.STDOUT,
                                   env={**os.environ, "MAYFLY_ADDRESS": f"unix:{node.socket}"})
    try:
        def events():
            return [json.loads(line) for line in log.read_text().splitlines()]

        e2e.wait_until(lambda: "REPORT RequestId: " + one["RequestId"] in log.read_text(), 30, "what was written")
        two = json.loads(mayfly("invoke", function, "-o", "json").stdout)
        assert two["Phases"]["sandbox_id"] == one["Phases"]["sandbox_id"]
        node.end_idle(function)
        three = json.loads(mayfly("invoke", function, "-o", "json").stdout)
        assert three["Phases"]["sandbox_id"] != one["Phases"]["sandbox_id"]
        e2e.wait_until(lambda: "REPORT RequestId: " + two["RequestId"] in log.read_text(), 30, "what came")
        e2e.wait_until(lambda: three["RequestId"] in node.log_text(function), 30, "what came elsewhere")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert {event["logStreamName"] for event in events()} == {stream}


@pytest.mark.parametrize("arguments, text", [(("logs", "@", "--follow"), b"report requestid: "),
                                             (("watch",), b"sandbox"), (("watch", "-o", "json"), b"sandbox")],
                         ids=["logs", "watch", "watch-json"])
def test_followers_end_on_interrupt(build, node, mayfly, function, arguments, text):
    process = subprocess.Popen([build / "cli/mayfly", *[a.replace("@", function) for a in arguments]],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env={**e2e.os.environ, "MAYFLY_ADDRESS": f"unix:{node.socket}"})
    try:
        def heard():
            mayfly("invoke", function)
            e2e.os.set_blocking(process.stdout.fileno(), False)
            return text in (process.stdout.read() or b"").lower()

        e2e.wait_until(heard, 60, "output", interval=0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (0, 130)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def test_help_of_every_verb(mayfly):
    text = mayfly("--help").stdout.decode()
    verbs = [line[2:34].strip() for line in text.split("Verbs:\n")[1].split("\n\n")[0].split("\n")]
    for verb in ("function create", "function get", "function list", "function update-code",
                 "function update-configuration", "function delete", "invoke", "logs", "node", "sandboxes",
                 "templates", "watch", "completion"):
        assert verb in verbs
    assert any(verb.startswith("bench") for verb in verbs)
    for verb in verbs:
        shown = mayfly(*verb.split(), "--help").stdout.decode()
        assert shown.startswith(f"Usage: mayfly {verb}")
    assert mayfly("--version").stdout.startswith(b"mayfly ")


def test_completion_is_a_working_script(mayfly, tmp_path):
    script = tmp_path / "completion.bash"
    script.write_bytes(mayfly("completion", "bash").stdout)
    program = f"""set -e
. {script}
complete -p mayfly >/dev/null
COMP_WORDS=(mayfly function cre); COMP_CWORD=2; COMP_LINE='mayfly function cre'; COMP_POINT=${{#COMP_LINE}}
function=$(complete -p mayfly | sed -n 's/.*-F \\([^ ]*\\).*/\\1/p')
$function mayfly cre function || true
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", program], capture_output=True, timeout=30)
    assert done.stdout.decode().split() == ["create"], done
