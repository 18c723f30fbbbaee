# SPDX-License-Identifier: Apache-2.0
"""The tutorial of Lambda's guide, in both languages, through the command and through gRPC. Every
line of the log is compared whole; only ids and times may differ."""

import json
import re
import time

import pytest

import node as e2e

EVENT = {"length": 6, "width": 7}
NAME = "myLambdaFunction"
TIME = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z"

PYTHON_CODE = '''import json
import logging

logger = logging.getLogger()
logger.setLevel(logging.INFO)

def lambda_handler(event, context):

    # Get the length and width parameters from the event object. The
    # runtime converts the event object to a Python dictionary
    length = event['length']
    width = event['width']

    area = calculate_area(length, width)
    print(f"The area is {area}")

    logger.info(f"CloudWatch logs group: {context.log_group_name}")

    # return the calculated area as a JSON string
    data = {"area": area}
    return json.dumps(data)

def calculate_area(length, width):
    return length*width
'''

NODEJS_CODE = '''export const handler = async (event, context) => {

  const length = event.length;
  const width = event.width;
  let area = calculateArea(length, width);
  console.log(`The area is ${area}`);

  console.log('CloudWatch log group: ', context.logGroupName);

  let data = {
    "area": area,
  };
    return JSON.stringify(data);

    function calculateArea(length, width) {
      return length * width;
    }
};
'''

LANGUAGES = {
    "python": {
        "runtime": e2e.PYTHON, "file": "lambda_function.py", "code": PYTHON_CODE,
        "handler": "lambda_function.lambda_handler", "payload": rb'"{\"area\": 42}"',
        "version": r"python:3\.13\.\S+",
        "lines": [r"The area is 42",
                  rf"\[INFO\]\t{TIME}\t@ID@\tCloudWatch logs group: /aws/lambda/{NAME}"],
    },
    "nodejs": {
        "runtime": e2e.NODEJS, "file": "index.mjs", "code": NODEJS_CODE,
        "handler": "index.handler", "payload": rb'"{\"area\":42}"',
        "version": r"nodejs:20\.\S+",
        "lines": [rf"{TIME}\t@ID@\tINFO\tThe area is 42",
                  rf"{TIME}\t@ID@\tINFO\tCloudWatch log group:  /aws/lambda/{NAME}"],
    },
}

INIT_START = r"INIT_START Runtime Version: {version}\tRuntime Version ARN: arn:aws:lambda:[a-z0-9-]+::runtime:[0-9a-f]{{64}}"
START = r"START RequestId: @ID@ Version: \$LATEST"
END = r"END RequestId: @ID@"
REPORT = (r"REPORT RequestId: @ID@\tDuration: (\d+\.\d\d) ms\tBilled Duration: (\d+) ms\t"
          r"Memory Size: 128 MB\tMax Memory Used: (\d+) MB\t")
INIT = r"Init Duration: (\d+\.\d\d) ms\t"


def lines_of(language, cold):
    """Of one invocation, as its answer's log result has them."""
    return [START, *language["lines"], END, REPORT + (INIT if cold else "")]


def assert_log(text, request_id, patterns):
    """Every line is matched whole, in order, with nothing besides; returns REPORT's numbers."""
    lines = text.split("\n")
    assert lines.pop() == "", "the log must end with a newline"
    assert len(lines) == len(patterns), text
    for line, pattern in zip(lines, patterns):
        match = re.fullmatch(pattern.replace("@ID@", re.escape(request_id)), line)
        assert match, f"{line!r} is not {pattern!r}"
    return match.groups()


def assert_report(numbers):
    duration, billed, used = float(numbers[0]), int(numbers[1]), int(numbers[2])
    init = float(numbers[3]) if len(numbers) > 3 else 0.0
    assert duration > 0
    # Two decimals are shown, so the sum may be a hair off the ceiling's argument.
    assert duration + init - 0.02 <= billed < duration + init + 1.02
    assert 1 <= used <= 128


@pytest.fixture(params=sorted(LANGUAGES))
def language(request, node):
    """A log group outlives its function, so each test looks at what came since it began."""
    language = {**LANGUAGES[request.param], "begun_us": int(time.time() * 1e6)}
    yield language
    try:
        node.delete(NAME)
    except e2e.grpc.RpcError as error:
        assert error.code() == e2e.grpc.StatusCode.NOT_FOUND


def test_by_grpc(node, language):
    node.create(language["runtime"], {language["file"]: language["code"]}, language["handler"], name=NAME)

    cold = node.invoke(NAME, EVENT)
    assert cold.error == ""
    assert cold.payload == language["payload"]
    assert cold.response.status_code == 200
    assert cold.response.executed_version == "$LATEST"
    assert cold.start == "RESTORE"
    assert_report(assert_log(cold.log, cold.request_id, lines_of(language, cold=True)))

    warm = node.invoke(NAME, EVENT)
    assert warm.payload == language["payload"]
    assert warm.start == "WARM"
    assert warm.sandbox == cold.sandbox
    assert warm.request_id != cold.request_id
    assert_report(assert_log(warm.log, warm.request_id, lines_of(language, cold=False)))

    assert cold.trailers["mayfly-request-id"] == cold.request_id
    assert cold.trailers["mayfly-executed-version"] == "$LATEST"
    assert "mayfly-function-error" not in cold.trailers

    # The group has the same lines below that of INIT, in one stream of the documented name.
    events = node.log_events(NAME, start_time_us=language["begun_us"])
    assert re.fullmatch(INIT_START.format(version=language["version"]), events[0].message)
    text = "".join(event.message + "\n" for event in events[1:])
    assert text == cold.log + warm.log
    streams = {event.log_stream_name for event in events}
    assert len(streams) == 1
    assert re.fullmatch(r"\d{4}/\d{2}/\d{2}/\[\$LATEST\][0-9a-f]{32}", streams.pop())


def test_phases_add_up(node, language):
    node.create(language["runtime"], {language["file"]: language["code"]}, language["handler"], name=NAME)
    cold, warm = node.invoke(NAME, EVENT).phases, node.invoke(NAME, EVENT).phases
    for phases in (cold, warm):
        parts = (phases.admit_us + phases.place_us + phases.spawn_us + phases.load_us + phases.resume_us +
                 phases.init_us + phases.handler_us + phases.reply_us)
        assert 0 < parts <= phases.total_us
        assert phases.handler_us >= phases.guest_us > 0
    assert cold.spawn_us > 0 and cold.load_us > 0 and cold.resume_us > 0 and cold.init_us > 0
    assert warm.spawn_us == 0 and warm.load_us == 0 and warm.init_us == 0


def test_by_command(mayfly, language, tmp_path):
    package = tmp_path / "function.zip"
    package.write_bytes(e2e.make_zip({language["file"]: language["code"]}))
    mayfly("function", "create", NAME, "--runtime", language["runtime"], "--handler", language["handler"],
           "--zip", package)

    for cold in (True, False):
        done = mayfly("invoke", NAME, "--payload", json.dumps(EVENT), "--log", "tail", "--output", "json")
        answer = json.loads(done.stdout)
        assert_report(assert_log(answer["LogResult"], answer["RequestId"], lines_of(language, cold)))
        assert json.dumps(answer["Payload"]).encode() == language["payload"]

    plain = mayfly("invoke", NAME, "--payload", json.dumps(EVENT))
    assert plain.stdout.rstrip(b"\n") == language["payload"]

    since = f"{int(time.time() * 1e3 - language['begun_us'] / 1e3)}ms"
    shown = mayfly("logs", NAME, "--since", since).stdout.decode()
    for pattern in (r"INIT_START Runtime Version: ", r"The area is 42", r"REPORT RequestId: "):
        assert len(re.findall(pattern, shown)) == (1 if "INIT_START" in pattern else 3), shown
