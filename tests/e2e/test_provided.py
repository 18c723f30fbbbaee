# SPDX-License-Identifier: Apache-2.0
"""The custom runtime as a tenant meets it: an executable of their own, in C, with its environment."""

import re

import pytest

import node as e2e

# A whole runtime in a shell script, without any program but what the script's interpreter has.
SCRIPT = """#!/bin/sh
set -eu
echo "script begins"
exec /var/task/inner/bootstrap
"""


@pytest.fixture(scope="module")
def bootstrap(static_program):
    return static_program("scripted_bootstrap.c")


def test_cold_and_warm(node, deploy, bootstrap):
    name = deploy(e2e.PROVIDED, {"bootstrap": bootstrap}, "not.used")
    step = "print|hello from C~POST|/invocation/@/response||" + "[1,2]"
    cold, warm = node.invoke(name, step), node.invoke(name, step)
    assert (cold.payload, cold.error, cold.start) == (b"[1,2]", "", "RESTORE")
    assert (warm.payload, warm.error, warm.start) == (b"[1,2]", "", "WARM")
    assert "hello from C\n" in cold.log
    lines = node.log_text(name).split("\n")
    assert re.match(r"INIT_START Runtime Version: provided:al2023\.\S+\tRuntime Version ARN: ", lines[0])
    assert lines[1] == "bootstrap begins" and lines[2].startswith("START RequestId: ")
    assert "Init Duration: " in cold.log and "Init Duration: " not in warm.log


def test_script_as_bootstrap(node, deploy, bootstrap):
    name = deploy(e2e.PROVIDED, {"bootstrap": SCRIPT, "inner/bootstrap": bootstrap}, "not.used")
    result = node.invoke(name, "POST|/invocation/@/response||true")
    assert result.payload == b"true", result
    assert "script begins\n" in node.log_text(name)


def test_environment_has_no_execution_env(node, deploy, bootstrap):
    name = deploy(e2e.PROVIDED, {"bootstrap": """#!/bin/sh
echo "env=${AWS_EXECUTION_ENV-absent} handler=$_HANDLER root=$LAMBDA_TASK_ROOT user=$USER_KEY name=$AWS_LAMBDA_FUNCTION_NAME pwd=$(pwd)"
exec /var/task/inner/bootstrap
""", "inner/bootstrap": bootstrap}, "my.handler", environment={"USER_KEY": "u"})
    result = node.invoke(name, "POST|/invocation/@/response||true")
    assert result.json is True
    assert f"env=absent handler=my.handler root=/var/task user=u name={name} pwd=/var/task\n" in node.log_text(name)
