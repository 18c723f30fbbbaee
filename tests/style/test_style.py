# SPDX-License-Identifier: Apache-2.0
"""The house's own rules, one lint each."""

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77


@pytest.fixture(scope="session")
def build(pytestconfig):
    return (ROOT / pytestconfig.getoption("--build")).resolve()


def run(*command):
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True,
                          text=True, check=False)
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr


def test_layers():
    run("tools/lint-layers")


def test_rooms():
    run("tools/lint-rooms")


def test_banned():
    run("tools/lint-banned")


def test_shell():
    run("tools/lint-shell")


def test_format():
    run("tools/lint-format")


def test_every_header_compiles_alone(build):
    run("tools/lint-headers", build)


def test_tidy(build):
    run("tools/lint-tidy", build)


def test_docs_are_what_the_agent_prints(build):
    run("tools/lint-docs", build / "agent/mayflyd")


def test_function_errors_are_in_the_docs():
    """Every errorType that the code names, and no other."""
    literal = re.compile(r"""["']((?:Sandbox|Runtime|Function|Extension)\.[A-Z][A-Za-z]+)["']""")
    used = {match for top in ("agent", "guest") for path in (ROOT / top).rglob("*")
            if path.suffix in (".c", ".h", ".py", ".cjs", ".mjs") and path.is_file()
            for match in literal.findall(path.read_text())}
    told = set(re.findall(r"^\| ((?:Sandbox|Runtime|Function|Extension)\.\w+) \|",
                          (ROOT / "docs/errors.md").read_text(), re.M))
    assert used == told, f"not documented: {used - told}; not in the code: {told - used}"
